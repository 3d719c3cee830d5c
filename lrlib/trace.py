"""LRTrace: what the optimizer really used, step by step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from torch.optim import Optimizer

from lrlib import _checks
from lrlib.schedule import Schedule

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class LRTrace:
    """Records learning rate, momentum and weight decay at every ``optimizer.step()``.

    It is an optimizer step pre-hook: it sees the values the update is about to use, whoever set
    them. An update skipped by a gradient scaler leaves no record, because it did not happen.

    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    >>> trace = LRTrace(optimizer)
    >>> optimizer.step()
    >>> trace.lr
    array([[0.1]])

    Attributes `lr`, `momentum` (Adam's beta1 where that is what there is) and `weight_decay` are
    float64 arrays of shape (steps, groups); NaN where a group did not exist yet or the optimizer
    has no such setting. `detach()` stops recording; a trace is also a context manager.
    """

    QUANTITIES = ("lr", "momentum", "weight_decay")

    def __init__(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"LRTrace: optimizer must be a torch Optimizer, got {optimizer!r}")
        self._rows: dict[str, list[list[float]]] = {name: [] for name in self.QUANTITIES}
        self._handle = optimizer.register_step_pre_hook(self._record)

    def _record(self, optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
        groups = optimizer.param_groups
        self._rows["lr"].append([_value(g["lr"]) for g in groups])
        self._rows["momentum"].append(
            [_value(g["betas"][0] if "betas" in g else g.get("momentum")) for g in groups]
        )
        self._rows["weight_decay"].append([_value(g.get("weight_decay")) for g in groups])

    def __len__(self) -> int:
        return len(self._rows["lr"])

    def _array(self, name: str) -> np.ndarray:
        rows = self._rows[name]
        width = max((len(row) for row in rows), default=0)
        filled = [row + [math.nan] * (width - len(row)) for row in rows]
        return np.array(filled, dtype=np.float64).reshape(len(rows), width)

    @property
    def lr(self) -> np.ndarray:
        return self._array("lr")

    @property
    def momentum(self) -> np.ndarray:
        return self._array("momentum")

    @property
    def weight_decay(self) -> np.ndarray:
        return self._array("weight_decay")

    def detach(self) -> None:
        """Stop recording; what was recorded stays."""
        self._handle.remove()

    def __enter__(self) -> LRTrace:
        return self

    def __exit__(self, *exc: object) -> None:
        self.detach()

    def _compare(
        self, shape: Schedule, peak: float, group: int, start: int, quantity: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """Applied and planned values of one group, each of shape (steps,)."""
        if not isinstance(shape, Schedule):
            raise TypeError(f"LRTrace: shape must be a Schedule, got {shape!r}")
        peak = _checks.number("LRTrace", "peak", peak, minimum=0)
        start = _checks.integer("LRTrace", "start", start, minimum=0)
        applied = self._applied(group, quantity)
        return applied, np.array([peak * shape(start + i) for i in range(len(self))])

    def _applied(self, group: int, quantity: str) -> np.ndarray:
        """Applied values of one group, shape (steps,)."""
        _checks.choice("LRTrace", "quantity", quantity, self.QUANTITIES)
        if not len(self):
            raise ValueError(
                "LRTrace: nothing was recorded; build the trace before the first optimizer.step()"
            )
        values = self._array(quantity)
        group = _checks.integer("LRTrace", "group", group, minimum=0)
        if group >= values.shape[1]:
            raise ValueError(f"LRTrace: group must be below {values.shape[1]}, got {group}")
        return values[:, group]

    def assert_matches(
        self,
        shape: Schedule,
        peak: float,
        *,
        group: int = 0,
        start: int = 0,
        quantity: str = "lr",
        rtol: float = 0.0,
    ) -> None:
        """Raise AssertionError unless every applied value equals ``peak * shape(step)``.

        `start` is the schedule's step at the first recorded update (for a resumed run). Steps
        before the group existed are passed over. `rtol` is the relative tolerance: 0 demands
        equality; a float32 tensor rate needs about 1e-7.
        """
        rtol = _checks.number("LRTrace", "rtol", rtol, minimum=0)
        applied, planned = self._compare(shape, peak, group, start, quantity)
        if np.isnan(applied).all():
            raise AssertionError(f"group {group} has no {quantity} to compare")
        seen = np.array([len(row) > group for row in self._rows[quantity]])
        # "not close" rather than "far": a rate of NaN that was applied is no match.
        close = np.abs(applied - planned) <= rtol * np.abs(planned)
        wrong = np.flatnonzero(seen & ~close)
        if wrong.size:
            i = wrong[0]
            raise AssertionError(
                f"{quantity} of group {group} left the plan at step {start + i}: applied "
                f"{float(applied[i])!r}, planned {float(planned[i])!r} ({wrong.size} of "
                f"{int(seen.sum())} steps differ)"
            )

    def plot(
        self,
        shape: Schedule | None = None,
        peak: float | None = None,
        *,
        group: int = 0,
        start: int = 0,
        quantity: str = "lr",
        ax: Axes | None = None,
    ) -> Axes:
        """Draw what was applied, over what was planned if a `shape` and its `peak` are given."""
        if (shape is None) != (peak is None):
            raise ValueError(
                f"LRTrace: shape and peak go together, got shape={shape!r}, peak={peak!r}"
            )
        if shape is not None:
            applied, planned = self._compare(shape, peak, group, start, quantity)
        else:
            applied, planned = self._applied(group, quantity), None
            start = _checks.integer("LRTrace", "start", start, minimum=0)
        if ax is None:
            import matplotlib.pyplot as plt

            ax = plt.figure().add_subplot()
        steps = start + np.arange(len(applied))
        if planned is not None:
            ax.plot(steps, planned, color="0.75", linewidth=5, label="planned")
        ax.plot(steps, applied, color="black", linewidth=1.2, label="applied")
        ax.set(xlabel="step", ylabel={"lr": "learning rate"}.get(quantity, quantity))
        ax.legend()
        return ax


def _value(setting: object) -> float:
    return math.nan if setting is None else float(setting)
