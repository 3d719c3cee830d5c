"""Chapter 03: the rate falls a little at every step, by a factor, as 1/t, or as a power."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

from lrlib import _checks
from lrlib.schedule import Schedule


@dataclass(frozen=True)
class ExponentialDecay(Schedule):
    """The factor is multiplied by `gamma` at every step: ``gamma ** t``.

    Args:
        gamma: per optimizer step, in (0, 1]. A gamma meant per epoch is
            ``gamma ** (1 / steps_per_epoch)`` per step.

    The factor lies in [0, 1] and never rises (0 only where the power underflows); it has no end,
    so `then` needs `at`. The formula is that of torch's ExponentialLR. Raises TypeError or
    ValueError for bad arguments. `from_rate` and `to_factor` find the gamma.
    """

    gamma: float

    def __post_init__(self) -> None:
        gamma = _checks.number("ExponentialDecay", "gamma", self.gamma, above=0, maximum=1)
        object.__setattr__(self, "gamma", gamma)

    @classmethod
    def from_rate(cls, k: float) -> Self:
        """The decay ``exp(-k t)``: gamma is ``exp(-k)``, with `k` per step, in [0, 700].

        The factor halves every ``log(2) / k`` steps.
        """
        k = _checks.number("ExponentialDecay", "k", k, minimum=0, maximum=700)
        return cls(math.exp(-k))

    @classmethod
    def to_factor(cls, final_factor: float, total_iters: int) -> Self:
        """The decay that reaches `final_factor`, in (0, 1], after `total_iters` steps.

        It falls on beyond them. Gamma is rounded once, so that ``shape(total_iters)`` differs from
        `final_factor` by about ``total_iters`` × 1e-16 of it.
        """
        owner = "ExponentialDecay"
        final = _checks.number(owner, "final_factor", final_factor, above=0, maximum=1)
        total = _checks.integer(owner, "total_iters", total_iters, minimum=1)
        return cls(final ** (1 / total))

    def formula(self, step: int) -> float:
        return self.gamma**step


@dataclass(frozen=True)
class InverseTimeDecay(Schedule):
    """The factor falls as one over the time: ``1 / (1 + decay_rate * t / decay_steps)``.

    Args:
        decay_rate: at least 0; 1 halves the factor after `decay_steps` steps.
        decay_steps: the optimizer steps in which the denominator grows by `decay_rate`, at
            least 1.

    The factor lies in [0, 1] and never rises (0 only where the denominator overflows); it has no
    end, so `then` needs `at`. Raises TypeError or ValueError for bad arguments. Torch has no such
    scheduler. Source: the rates proportional to 1/t of Robbins & Monro (1951), whose sum is
    infinite while the sum of their squares is not.
    """

    decay_rate: float
    decay_steps: int = 1

    def __post_init__(self) -> None:
        owner = "InverseTimeDecay"
        decay_rate = _checks.number(owner, "decay_rate", self.decay_rate, minimum=0)
        object.__setattr__(self, "decay_rate", decay_rate)
        decay_steps = _checks.integer(owner, "decay_steps", self.decay_steps, minimum=1)
        object.__setattr__(self, "decay_steps", decay_steps)

    def formula(self, step: int) -> float:
        return 1 / (1 + self.decay_rate * step / self.decay_steps)


@dataclass(frozen=True)
class PolynomialDecay(Schedule):
    """From 1 down to `min_factor` as a power of the time left; linear if `power` is 1.

    ``min_factor + (1 - min_factor) * (1 - t / total_iters) ** power``

    Args:
        total_iters: its length in optimizer steps, at least 0.
        power: above 0. Above 1 the factor falls faster at first, below 1 at the end.
        min_factor: the last factor, in [0, 1].

    The factor lies in [min_factor, 1], never rises, and is held past the end. With `min_factor` 0
    it equals torch's PolynomialLR, with `power` 1 torch's LinearLR with ``start_factor=1`` and
    ``end_factor=min_factor``. Raises TypeError or ValueError for bad arguments.
    """

    total_iters: int
    power: float = 1.0
    min_factor: float = 0.0

    def __post_init__(self) -> None:
        owner = "PolynomialDecay"
        total_iters = _checks.integer(owner, "total_iters", self.total_iters, minimum=0)
        object.__setattr__(self, "total_iters", total_iters)
        power = _checks.number(owner, "power", self.power, above=0)
        object.__setattr__(self, "power", power)
        min_factor = _checks.number(owner, "min_factor", self.min_factor, minimum=0, maximum=1)
        object.__setattr__(self, "min_factor", min_factor)

    @property
    def length(self) -> int:
        return self.total_iters

    def formula(self, step: int) -> float:
        if self.total_iters == 0:
            return self.min_factor
        left = 1 - step / self.total_iters
        return self.min_factor + (1 - self.min_factor) * left**self.power
