"""LRTrace: what the optimizer really used, step by step."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor
from torch.optim import Optimizer

from lrlib import _checks, _optimizers
from lrlib.schedule import Schedule

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class LRTrace:
    """Records learning rate, momentum and weight decay at every ``optimizer.step()``.

    Its hooks on the optimizer see the values that an update is about to use, whoever set them. An
    update skipped by a gradient scaler, or one that raised, leaves no record: it did not happen.
    In a wrapper, or an outer optimizer such as SAM, the updates of the optimizer inside count.

    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    >>> trace = LRTrace(optimizer)
    >>> optimizer.step()
    >>> trace.lr
    array([[0.1]])

    Attributes `lr`, `momentum` (Adam's beta1 where that is what there is) and `weight_decay` are
    float64 arrays of shape (steps, groups); NaN where a group did not exist yet or the optimizer
    has no such setting. `detach()` stops recording; a trace is also a context manager.

    Build the trace, or `clear()` it, after loading a checkpoint: some libraries call
    ``optimizer.step()`` once, without gradients, to make the state they load into.

    A step costs a few microseconds and 24 bytes per group, plus 4. A rate held in a tensor on
    another device is read back, which waits for that device. A copied or unpickled trace is
    detached and keeps its records.

    Raises TypeError if `optimizer` is not a torch Optimizer and holds none.
    """

    QUANTITIES = ("lr", "momentum", "weight_decay")

    def __init__(self, optimizer: Optimizer) -> None:
        _, inner = _optimizers.find("LRTrace", optimizer)
        self.clear()
        self._handles = (
            inner.register_step_pre_hook(self._look),
            inner.register_step_post_hook(self._record),
        )

    @_optimizers.of_the_run
    @_optimizers.uncompiled
    def _look(self, optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
        """See the values before the update, which may change them."""
        self._seen = None
        if not _optimizers.update_is_skipped(optimizer):
            groups = optimizer.param_groups
            self._seen = [
                [_value(_optimizers.read(group, name)) for group in groups]
                for name in self.QUANTITIES
            ]

    @_optimizers.of_the_run
    @_optimizers.uncompiled
    def _record(self, *_: object) -> None:
        """Keep them, once: a step() that calls that of a base class is one update."""
        if self._seen is not None:
            for name, values in zip(self.QUANTITIES, self._seen, strict=True):
                self._values[name].extend(values)
            self._groups.append(len(self._seen[0]))
            self._seen = None

    def clear(self) -> None:
        """Forget what was recorded, and go on recording."""
        self._seen: list[list[float]] | None = None
        # The rows lie one after another; how many groups a row has is kept beside them.
        self._values = {name: array("d") for name in self.QUANTITIES}
        self._groups = array("I")

    def __len__(self) -> int:
        return len(self._groups)

    def __getstate__(self) -> dict[str, Any]:
        # Optimizers leave their hooks behind when they are copied or pickled.
        return {**self.__dict__, "_handles": ()}

    def _existed(self) -> np.ndarray:
        """Which groups existed at which step, a boolean array of shape (steps, groups)."""
        groups = np.array(self._groups)
        return np.arange(groups.max(initial=0)) < groups[:, np.newaxis]

    def _array(self, name: str) -> np.ndarray:
        existed = self._existed()
        out = np.full(existed.shape, math.nan)
        out[existed] = self._values[name]
        return out

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
        for handle in self._handles:
            handle.remove()

    def __enter__(self) -> LRTrace:
        return self

    def __exit__(self, *exc: object) -> None:
        self.detach()

    def _compare(
        self,
        shape: Schedule,
        peak: float,
        group: int,
        start: int,
        quantity: str,
        by: int | Sequence[int],
    ) -> tuple[np.ndarray, np.ndarray, list[int]]:
        """Applied and planned values of one group, and the steps: each of shape (updates,)."""
        if not isinstance(shape, Schedule):
            raise TypeError(f"LRTrace: shape must be a Schedule, got {shape!r}")
        peak = _checks.number("LRTrace", "peak", peak, minimum=0)
        applied = self._applied(group, quantity)
        steps = self._steps(start, by)
        return applied, np.array([peak * shape(step) for step in steps]), steps

    def _steps(self, start: int, by: int | Sequence[int]) -> list[int]:
        """The schedule's step at each recorded update."""
        start = _checks.integer("LRTrace", "start", start, minimum=0)
        several = by if isinstance(by, Sequence | np.ndarray) else [by] * len(self)
        sizes = [_checks.integer("LRTrace", "by", size, minimum=1) for size in several]
        if len(sizes) not in (len(self), len(self) - 1):
            raise ValueError(
                f"LRTrace: by must be one number, or one per update ({len(self)}), got {len(sizes)}"
            )
        return list(accumulate(sizes, initial=start))[: len(self)]

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
        by: int | Sequence[int] = 1,
        rtol: float = 0.0,
    ) -> None:
        """Raise AssertionError unless every applied value equals ``peak * shape(step)``.

        `start` is the schedule's step at the first recorded update (for a resumed run), `by` what
        each update added to it, one number or one per update, where ``scheduler.step(by=n)``
        counts tokens or samples. Steps before the group existed are passed over. `rtol` is the
        relative tolerance: 0 demands equality; a float32 tensor rate needs about 1e-7.
        """
        rtol = _checks.number("LRTrace", "rtol", rtol, minimum=0)
        applied, planned, steps = self._compare(shape, peak, group, start, quantity, by)
        if np.isnan(applied).all():
            raise AssertionError(f"group {group} has no {quantity} to compare")
        seen = self._existed()[:, group]
        # "not close" rather than "far": a rate of NaN that was applied is no match.
        close = np.abs(applied - planned) <= rtol * np.abs(planned)
        wrong = np.flatnonzero(seen & ~close)
        if wrong.size:
            i = wrong[0]
            raise AssertionError(
                f"{quantity} of group {group} left the plan at step {steps[i]}: applied "
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
        by: int | Sequence[int] = 1,
        ax: Axes | None = None,
    ) -> Axes:
        """Draw what was applied, over what was planned if a `shape` and its `peak` are given."""
        if (shape is None) != (peak is None):
            raise ValueError(
                f"LRTrace: shape and peak go together, got shape={shape!r}, peak={peak!r}"
            )
        if shape is not None and peak is not None:
            applied, planned, steps = self._compare(shape, peak, group, start, quantity, by)
        else:
            applied, planned = self._applied(group, quantity), None
            steps = self._steps(start, by)
        if ax is None:
            import matplotlib.pyplot as plt

            ax = plt.figure().add_subplot()
        if planned is not None:
            ax.plot(
                steps, planned, color="0.75", linewidth=5, label="planned", drawstyle="steps-post"
            )
        ax.plot(
            steps, applied, color="black", linewidth=1.2, label="applied", drawstyle="steps-post"
        )
        ax.set(xlabel="step", ylabel={"lr": "learning rate"}.get(quantity, quantity))
        ax.legend()
        return ax


def _value(setting: float | Tensor | None) -> float:
    return math.nan if setting is None else float(setting)
