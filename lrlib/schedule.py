"""Schedules: pure functions from the optimizer step to a factor.

The learning rate at step ``t`` is ``peak * shape(t)``. A shape knows nothing of the peak, of
parameter groups or of any optimizer; `lrlib.ScheduledLR` brings them together.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from lrlib import _checks
from lrlib._lambda_lr import Unsaved

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Schedule(Unsaved, ABC):
    """A shape: a pure function from the step to a factor, finite and at least 0.

    ``shape(t)`` is the factor at step `t`, where `t` counts the optimizer updates already made:
    the first update of a run uses ``shape(0)``. The unit is always optimizer steps, never epochs.
    Past its `length` a schedule holds the value it has reached.

    To write your own, subclass it as a frozen dataclass and give the formula:

    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Halving(Schedule):
    ...     step_size: int
    ...     def formula(self, step):
    ...         return 0.5 ** (step // self.step_size)
    >>> Halving(10)(25)
    0.25
    """

    @property
    def length(self) -> int | None:
        """Steps after which the value no longer changes; None if the schedule never ends."""
        return None

    @abstractmethod
    def formula(self, step: int) -> float:
        """The formula. `step` is an int in [0, length]."""

    def __call__(self, step: int) -> float:
        """The factor at `step` (an integer, at least 0).

        Raises TypeError if `step` is not an integer or the formula does not return a number (a
        tensor is none), ValueError if `step` is negative or the factor not finite and at least 0.
        """
        if step.__class__ is not int or step < 0:
            step = _checks.integer(type(self).__name__, "step", step, minimum=0)
        length = self.length
        if length is not None and step > length:
            step = length
        value = self.formula(step)
        if value.__class__ is float and 0 <= value < math.inf:
            return value
        if not isinstance(value, Real):
            raise TypeError(
                f"{type(self).__name__}: the formula must return a number, got {value!r} at step "
                f"{step}"
            )
        if not 0 <= value < math.inf:  # NaN is neither
            raise ValueError(
                f"{type(self).__name__}: the factor at step {step} must be finite and at least 0, "
                f"got {value!r}"
            )
        return float(value)

    def sample(self, n: int) -> np.ndarray:
        """The factors at steps 0 … n-1, a float64 array of shape (n,). Touches no optimizer."""
        n = _checks.integer(type(self).__name__, "n", n, minimum=0)
        return np.array([self(step) for step in range(n)], dtype=np.float64)

    def then(self, following: Schedule, at: int | None = None) -> Schedule:
        """This schedule, and from step `at` on `following`, which starts at its own step 0.

        `at` defaults to this schedule's length, so ``Warmup(500).then(CosineAnnealing(9_500))``
        needs no arithmetic. A schedule without an end needs `at`.
        """
        if not isinstance(following, Schedule):
            raise TypeError(f"then: following must be a Schedule, got {following!r}")
        if at is None:
            if self.length is None:
                raise ValueError(
                    f"then: {self!r} never ends, so at must say at which step the next schedule "
                    f"starts, got at=None"
                )
            at = self.length
        at = _checks.integer("then", "at", at, minimum=1)
        # Both sides are flattened, so that (a.then(b)).then(c) == a.then(b.then(c)).
        first, starts = _parts(self)
        kept = [i for i, start in enumerate(starts) if start < at]
        second, later = _parts(following)
        schedules = [first[i] for i in kept] + list(second)
        milestones = [starts[i] for i in kept[1:]] + [at + start for start in later]
        return Then(tuple(schedules), tuple(milestones))

    def __mul__(self, other: Schedule) -> Schedule:
        """The product of two schedules, step by step."""
        if not isinstance(other, Schedule):
            raise TypeError(
                f"a schedule is multiplied by another Schedule, got {other!r}; "
                f"to scale by a number use Constant(number)"
            )
        left = self.schedules if isinstance(self, Product) else (self,)
        right = other.schedules if isinstance(other, Product) else (other,)
        return Product((*left, *right))

    def __rmul__(self, other: object) -> Schedule:
        raise TypeError(
            f"a schedule is multiplied by another Schedule, got {other!r}; "
            f"to scale by a number use Constant(number)"
        )

    def plot(
        self, n: int | None = None, *, peak: float = 1.0, ax: Axes | None = None, **line: object
    ) -> Axes:
        """Draw ``peak * shape`` over the first `n` steps and return the axes.

        `n` defaults to a tenth more than the schedule's length, to show what is held; a schedule
        without an end needs it. Further keywords go to ``Axes.plot``. Needs matplotlib.
        """
        name = type(self).__name__
        peak = _checks.number(name, "peak", peak, above=0)
        if n is None:
            if self.length is None:
                raise ValueError(f"{name}: n must be given, since {self!r} never ends; got n=None")
            n = self.length + self.length // 10 + 1
        n = _checks.integer(name, "n", n, minimum=1)
        if ax is None:
            import matplotlib.pyplot as plt

            ax = plt.figure().add_subplot()
        ax.plot(np.arange(n), peak * self.sample(n), **line)
        ax.set(xlabel="step", ylabel="factor" if peak == 1.0 else "learning rate")
        return ax


def _parts(schedule: Schedule) -> tuple[tuple[Schedule, ...], tuple[int, ...]]:
    """The schedules that `schedule` runs through, and the step at which each starts."""
    if isinstance(schedule, Then):
        return schedule.schedules, (0, *schedule.milestones)
    return (schedule,), (0,)


def _schedules(owner: str, schedules: object) -> tuple[Schedule, ...]:
    if not isinstance(schedules, list | tuple) or not schedules:
        raise TypeError(f"{owner}: schedules must be a tuple of Schedules, got {schedules!r}")
    for part in schedules:
        if not isinstance(part, Schedule):
            raise TypeError(f"{owner}: schedules must hold Schedules only, got {part!r}")
    return tuple(schedules)


@dataclass(frozen=True)
class Then(Schedule):
    """One schedule after another; usually written ``a.then(b)``.

    `milestones` holds the steps at which the second, third, … schedule starts: one entry fewer
    than `schedules`, strictly ascending, the first at least 1. Each schedule counts from 0.
    """

    schedules: tuple[Schedule, ...]
    milestones: tuple[int, ...]

    def __post_init__(self) -> None:
        schedules = _schedules("Then", self.schedules)
        if not isinstance(self.milestones, list | tuple):
            raise TypeError(f"Then: milestones must be a tuple of steps, got {self.milestones!r}")
        milestones = tuple(
            _checks.integer("Then", "milestones", m, minimum=1) for m in self.milestones
        )
        if len(milestones) != len(schedules) - 1:
            raise ValueError(
                f"Then: milestones must have one entry fewer than schedules "
                f"({len(schedules) - 1}), got {self.milestones!r}"
            )
        if any(a >= b for a, b in pairwise(milestones)):
            raise ValueError(f"Then: milestones must ascend strictly, got {self.milestones!r}")
        object.__setattr__(self, "schedules", schedules)
        object.__setattr__(self, "milestones", milestones)

    @property
    def length(self) -> int | None:
        last = self.schedules[-1].length
        return None if last is None else sum(self.milestones[-1:]) + last

    def formula(self, step: int) -> float:
        i = bisect_right(self.milestones, step)
        return self.schedules[i](step - (self.milestones[i - 1] if i else 0))


@dataclass(frozen=True)
class Product(Schedule):
    """The product of schedules, step by step; usually written ``a * b``."""

    schedules: tuple[Schedule, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "schedules", _schedules("Product", self.schedules))

    @property
    def length(self) -> int | None:
        lengths = [schedule.length for schedule in self.schedules]
        return None if None in lengths else max(lengths)

    def formula(self, step: int) -> float:
        return math.prod(schedule(step) for schedule in self.schedules)
