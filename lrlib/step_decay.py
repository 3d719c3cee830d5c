"""Chapter 02: the rate is held, and divided at chosen steps."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from lrlib import _checks
from lrlib.schedule import Schedule


@dataclass(frozen=True)
class StepDecay(Schedule):
    """The factor is multiplied by `gamma` every `step_size` steps: ``gamma ** (t // step_size)``.

    Args:
        step_size: optimizer steps between two drops, at least 1. Not epochs: multiply by the
            steps per epoch.
        gamma: in (0, 1].

    The factor lies in [0, 1] and never rises (0 only where the power underflows); it has no end,
    so `then` needs `at`. The formula is that of torch's StepLR. Raises TypeError or ValueError for
    bad arguments.
    """

    step_size: int
    gamma: float = 0.1

    def __post_init__(self) -> None:
        step_size = _checks.integer("StepDecay", "step_size", self.step_size, minimum=1)
        object.__setattr__(self, "step_size", step_size)
        gamma = _checks.number("StepDecay", "gamma", self.gamma, above=0, maximum=1)
        object.__setattr__(self, "gamma", gamma)

    def formula(self, step: int) -> float:
        return self.gamma ** (step // self.step_size)


@dataclass(frozen=True)
class MultiStepDecay(Schedule):
    """The factor is multiplied by `gamma` at each milestone: ``gamma ** (milestones passed)``.

    Args:
        milestones: the steps at which the rate drops, strictly ascending, the first at least 1;
            any iterable of integers, kept as a tuple (a set, which has no order, is refused).
            Step `m` is the first with the lower rate. Not epochs: multiply by the steps per epoch.
            Integers: torch's MultiStepLR takes ``0.29 * 100``, which is 28.999999999999996, and
            then never drops.
        gamma: in (0, 1].

    The factor lies in [0, 1] and never rises (0 only where the power underflows); it is held
    after the last milestone, which is the schedule's length. The formula is that of torch's
    MultiStepLR. Raises TypeError or ValueError for bad arguments.

    Sources: He et al. (2016) divide by 10 whenever the error stalls; Goyal et al. (2017) fix that
    at epochs 30, 60 and 80 of 90.
    """

    milestones: Sequence[int]
    gamma: float = 0.1

    def __post_init__(self) -> None:
        owner = "MultiStepDecay"
        milestones = _checks.ascending(owner, "milestones", self.milestones, minimum=1)
        if not milestones:
            raise ValueError(f"{owner}: milestones must not be empty, got {self.milestones!r}")
        object.__setattr__(self, "milestones", milestones)
        gamma = _checks.number(owner, "gamma", self.gamma, above=0, maximum=1)
        object.__setattr__(self, "gamma", gamma)

    @property
    def length(self) -> int:
        return self.milestones[-1]

    def formula(self, step: int) -> float:
        return self.gamma ** bisect_right(self.milestones, step)
