"""Schedules: pure functions from the optimizer step to a factor.

The learning rate at step ``t`` is ``peak * shape(t)``. A shape knows nothing of the peak, of
parameter groups or of any optimizer; `lrlib.ScheduledLR` brings them together.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from lrlib import _checks, _encoding
from lrlib._lambda_lr import Unsaved

if TYPE_CHECKING:
    from matplotlib.axes import Axes


FORMS = ("1-sqrt", "linear", "cosine")  # of a cooldown


class Schedule(Unsaved, ABC):
    """A shape: a pure function from the step to a factor, finite and at least 0.

    ``shape(t)`` is the factor at step `t`, where `t` counts the optimizer updates already made:
    the first update of a run uses ``shape(0)``. The unit is what the counter counts: optimizer
    steps, unless you have it count tokens or samples; never epochs. Past its `length` a schedule
    holds the value it has reached. A length of 0 is legal: such an empty schedule contributes
    nothing to ``a.then(b)``, and alone it is its last value.

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

        A phase without steps contributes nothing: with `at` 0 this schedule is left out, and if
        `following` is empty, this one ends at `at` and the value it has reached is held (a phase
        of it that would begin at that very step is left out).
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
        at = _checks.integer("then", "at", at, minimum=0)
        # Both sides are flattened, so that (a.then(b)).then(c) == a.then(b.then(c)).
        first, starts = _parts(self)
        kept = [i for i, start in enumerate(starts) if start < at]
        second, later = _parts(following)
        schedules = [first[i] for i in kept] + list(second)
        begins = [starts[i] for i in kept] + [at + start for start in later]
        if len(schedules) > 1 and schedules[-1].length == 0:
            before = schedules[-2].length
            if before is not None and begins[-2] + before == begins[-1]:
                del schedules[-1], begins[-1]  # what it would hold is held without it
        return Then(tuple(schedules), tuple(begins[1:])) if len(schedules) > 1 else schedules[0]

    def cooldown(self, *, at: int, steps: int, form: str = "1-sqrt", to: float = 0.0) -> Schedule:
        """This schedule up to step `at`, and from the factor reached there down to `to`.

        "Start the cooldown now", for any schedule: the fall begins at ``self(at)`` without a jump,
        takes `steps` steps, and `to` is held from step ``at + steps`` on.

        Args:
            at: the step at which the fall begins, at least 0: the updates made by then.
            steps: its length, at least 0. With 0 there is no fall: the schedule ends at `at`, as
                with ``then`` and an empty phase, and the factor is held.
            form: "1-sqrt", "linear" or "cosine"; see `Cooldown`.
            to: the last factor, at least 0 and at most the one reached at `at`.

        Raises TypeError or ValueError for bad arguments.

        >>> from lrlib import CosineAnnealing
        >>> shape = CosineAnnealing(100).cooldown(at=50, steps=20)
        >>> [round(shape(t), 3) for t in (49, 50, 55, 70)]
        [0.516, 0.5, 0.25, 0.0]
        """
        at = _checks.integer("cooldown", "at", at, minimum=0)
        steps = _checks.integer("cooldown", "steps", steps, minimum=0)
        _checks.choice("cooldown", "form", form, FORMS)
        reached, to = self(at), _checks.number("cooldown", "to", to, minimum=0)
        if to > reached:
            raise ValueError(
                f"cooldown: to must be at most the factor reached at step {at}, {reached:g}, "
                f"got {to!r}"
            )
        return self.then(Cooldown(steps, form, reached, to if steps else reached), at)

    def to_dict(self) -> dict[str, Any]:
        """The schedule as a dict that JSON can hold; `lrlib.from_dict` makes it again.

        ``{"class": "Warmup", "total_iters": 500, "start_factor": 0.0, "mode": "linear"}``: the
        name of the class and the arguments of its constructor; schedules inside are such dicts
        themselves, tuples are lists. The names of arguments and classes are part of the format.

        Raises TypeError for a class of your own that is not registered (`register_schedule`) and
        for an argument that JSON does not have; ValueError for NaN and infinity.
        """
        return _encoding.to_dict(self, Schedule)

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
        self, n: int | None = None, *, peak: float = 1.0, ax: Axes | None = None, **line: Any
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
            try:
                import matplotlib.pyplot as plt
            except ModuleNotFoundError as error:
                raise ImportError(
                    f"{name}: plot needs matplotlib, which is not installed (pip install "
                    f"matplotlib); sample gives the factors without it"
                ) from error

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
    than `schedules`, strictly ascending, the first at least 1; any iterable of integers. Each
    schedule counts from 0. If the last one is empty, the factor reached before it is held.
    """

    schedules: tuple[Schedule, ...]
    milestones: Sequence[int]

    def __post_init__(self) -> None:
        schedules = _schedules("Then", self.schedules)
        milestones = _checks.ascending("Then", "milestones", self.milestones, minimum=1)
        if len(milestones) != len(schedules) - 1:
            raise ValueError(
                f"Then: milestones must have one entry fewer than schedules "
                f"({len(schedules) - 1}), got {milestones!r}"
            )
        object.__setattr__(self, "schedules", schedules)
        object.__setattr__(self, "milestones", milestones)

    @property
    def length(self) -> int | None:
        last = self.schedules[-1].length
        return None if last is None else sum(self.milestones[-1:]) + last

    def formula(self, step: int) -> float:
        i = bisect_right(self.milestones, step)
        if i and self.schedules[i].length == 0 and i == len(self.milestones):
            i -= 1
        return self.schedules[i](step - (self.milestones[i - 1] if i else 0))


@dataclass(frozen=True)
class Cooldown(Schedule):
    """A fall from `first` to `last`; usually written ``shape.cooldown(at=…, steps=…)``.

    ``last + (first - last) * height``, where, with the share ``s = t / total_iters`` of the
    fall that is done, the height is

    - "1-sqrt": ``1 - sqrt(s)``, steepest at its start;
    - "linear": ``1 - s``;
    - "cosine": ``(1 + cos(pi * s)) / 2``, slow at both ends.

    Args:
        total_iters: its length in steps, at least 0.
        form: "1-sqrt", "linear" or "cosine".
        first: the factor at step 0, at least 0.
        last: the last factor, in [0, first]; reached at step `total_iters` and held.

    The factor never rises. Raises TypeError or ValueError for bad arguments. Source: Hägele et
    al. (2024), Scaling laws and compute-optimal training beyond fixed training durations,
    section 3, for the square root.
    """

    total_iters: int
    form: str = "1-sqrt"
    first: float = 1.0
    last: float = 0.0

    def __post_init__(self) -> None:
        total_iters = _checks.integer("Cooldown", "total_iters", self.total_iters, minimum=0)
        object.__setattr__(self, "total_iters", total_iters)
        _checks.choice("Cooldown", "form", self.form, FORMS)
        first = _checks.number("Cooldown", "first", self.first, minimum=0)
        object.__setattr__(self, "first", first)
        last = _checks.number("Cooldown", "last", self.last, minimum=0, maximum=first)
        object.__setattr__(self, "last", last)

    @property
    def length(self) -> int:
        return self.total_iters

    def formula(self, step: int) -> float:
        height = falling(self.form, step / self.total_iters) if self.total_iters else 0.0
        if height == 1:
            return self.first  # exactly, which the rounded sum need not be
        return min(self.first, self.last + (self.first - self.last) * height)


def falling(form: str, share: float) -> float:
    """How high a cooldown of that form is when `share` of it is done: from 1 at 0 to 0 at 1."""
    if form == "linear":
        return 1 - share
    if form == "cosine":
        return (1 + math.cos(math.pi * share)) / 2
    return 1 - math.sqrt(share)


@dataclass(frozen=True)
class Product(Schedule):
    """The product of schedules, step by step; usually written ``a * b``."""

    schedules: tuple[Schedule, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "schedules", _schedules("Product", self.schedules))

    @property
    def length(self) -> int | None:
        lengths = [schedule.length for schedule in self.schedules]
        ends = [length for length in lengths if length is not None]
        return max(ends) if len(ends) == len(lengths) else None

    def formula(self, step: int) -> float:
        return math.prod(schedule(step) for schedule in self.schedules)
