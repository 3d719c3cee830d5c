"""Chapter 05: the cosine starts again and again, and what every cycle leaves behind is kept."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lrlib import _checks
from lrlib.schedule import Schedule

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class WarmRestarts(Schedule):
    """Cosine annealing in cycles (SGDR): each falls to `min_factor`, then the rate jumps back up.

    ``min_factor + (top - min_factor) * (1 + cos(pi * T_cur / T_i)) / 2``, where ``T_cur`` steps
    of the current cycle i = 0, 1, … are done, its length ``T_i`` is ``T_0 * T_mult ** i`` and
    its ``top`` is ``peak_decay ** i``, but never below `min_factor`.

    Args:
        T_0: length of the first cycle in optimizer steps, at least 1.
        T_mult: each cycle is this many times as long as the one before, an integer, at least 1.
        min_factor: what every cycle falls to, in [0, 1]; torch's ``eta_min`` is
            ``min_factor * peak``.
        peak_decay: in (0, 1]. The default 1 restarts every cycle from the peak, as in the paper.

    The factor lies in [min_factor, 1] and never rises inside a cycle; there is no end, so `then`
    needs `at`. The run should end where a cycle does: see `cycle_ends` and `check_end`. With
    `peak_decay` 1 it equals torch's CosineAnnealingWarmRestarts, stepped without an epoch. The
    cycle of a step is found in integers, so that no restart comes a step early or late, however
    long the run. Raises TypeError or ValueError for bad arguments. Source: Loshchilov & Hutter
    (2017), equation 5.
    """

    T_0: int
    T_mult: int = 1
    min_factor: float = 0.0
    peak_decay: float = 1.0

    def __post_init__(self) -> None:
        owner = "WarmRestarts"
        T_0 = _checks.integer(owner, "T_0", self.T_0, minimum=1)
        object.__setattr__(self, "T_0", T_0)
        T_mult = _checks.integer(owner, "T_mult", self.T_mult, minimum=1)
        object.__setattr__(self, "T_mult", T_mult)
        min_factor = _checks.number(owner, "min_factor", self.min_factor, minimum=0, maximum=1)
        object.__setattr__(self, "min_factor", min_factor)
        peak_decay = _checks.number(owner, "peak_decay", self.peak_decay, above=0, maximum=1)
        object.__setattr__(self, "peak_decay", peak_decay)

    def formula(self, step: int) -> float:
        i, T_cur, T_i = self.cycle(step)
        top = max(self.peak_decay**i, self.min_factor)
        return self.min_factor + (top - self.min_factor) * (1 + math.cos(math.pi * T_cur / T_i)) / 2

    def cycle(self, step: int) -> tuple[int, int, int]:
        """The cycle that `step` belongs to: (its index from 0, the steps into it, its length)."""
        step = _checks.integer("WarmRestarts", "step", step, minimum=0)
        if self.T_mult == 1:
            return step // self.T_0, step % self.T_0, self.T_0
        # Cycle i is the last that starts by now: T_0 (T_mult^i - 1) / (T_mult - 1) <= step.
        bound = step * (self.T_mult - 1) // self.T_0 + 1  # that is, T_mult^i <= bound
        i = round(math.log(bound, self.T_mult))
        if self.T_mult**i > bound:
            i -= 1
        return i, step - self._start(i), self.T_0 * self.T_mult**i

    def cycle_ends(self, n: int) -> tuple[int, ...]:
        """The step counts at which the first `n` cycles end, ascending.

        After that many updates the cycle is done: the place for a snapshot, and for the end of
        the run. The step of that number is the first of the next cycle.
        """
        n = _checks.integer("WarmRestarts", "n", n, minimum=0)
        return tuple(self._start(i) for i in range(1, n + 1))

    def check_end(self, total_steps: int) -> None:
        """Raise ValueError unless a run of `total_steps` (at least 1) ends at the end of a cycle.

        A run that stops inside a cycle stops at a high rate. The message names the nearest ends.
        """
        total_steps = _checks.integer("WarmRestarts", "total_steps", total_steps, minimum=1)
        _checks.cycle_end("WarmRestarts", total_steps, *self.cycle(total_steps))

    def _start(self, i: int) -> int:
        """The first step of cycle `i`."""
        if self.T_mult == 1:
            return self.T_0 * i
        return self.T_0 * ((self.T_mult**i - 1) // (self.T_mult - 1))


def ensemble_probabilities(models: Iterable[nn.Module], inputs: torch.Tensor) -> torch.Tensor:
    """The mean of several classifiers' softmax probabilities, as in a snapshot ensemble.

    Args:
        models: one or more modules; each takes `inputs`, of shape (n, …), and returns logits of
            shape (n, classes). Softmax is taken over the last dimension.
        inputs: passed to every model as it is; move it to their device first.

    Returns a tensor of shape (n, classes), without gradient, at least in float32. Every model is
    evaluated in eval mode, and afterwards, also if one raises, each of its submodules is back in
    the mode it was in. Raises TypeError if something is not a module or does not return floating
    logits, ValueError if there is no model or if two return different shapes. Source: Huang et
    al. (2017), Snapshot ensembles.
    """
    import torch
    from torch import nn

    owner = "ensemble_probabilities"
    single = isinstance(models, nn.Module) and not isinstance(models, nn.ModuleList)
    if single or not isinstance(models, Iterable):
        raise TypeError(f"{owner}: models must be a list of modules, got {models!r:.200}")
    models = list(models)
    if not models:
        raise ValueError(f"{owner}: models must not be empty, got {models!r}")
    for model in models:
        if not isinstance(model, nn.Module):
            raise TypeError(f"{owner}: models must hold modules only, got {model!r:.200}")
    modes = [(module, module.training) for model in models for module in model.modules()]
    total: torch.Tensor | None = None
    try:
        with torch.no_grad():
            for model in models:
                logits = model.eval()(inputs)
                if not isinstance(logits, torch.Tensor) or not logits.is_floating_point():
                    raise TypeError(
                        f"{owner}: models must return floating logits, got {logits!r:.200}"
                    )
                if total is not None and logits.shape != total.shape:
                    raise ValueError(
                        f"{owner}: models must return logits of one shape, got "
                        f"{tuple(total.shape)} and {tuple(logits.shape)}"
                    )
                dtype = torch.promote_types(logits.dtype, torch.float32)
                probabilities = logits.softmax(-1, dtype=dtype)
                total = probabilities if total is None else total + probabilities
    finally:
        for module, training in modes:
            module.training = training
    assert total is not None  # there is a model
    return total / len(models)
