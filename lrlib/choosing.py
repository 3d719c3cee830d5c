"""Chapter 15: schedules by the names that configurations have for them."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from lrlib import _checks
from lrlib.constant import Constant
from lrlib.cosine_annealing import CosineAnnealing
from lrlib.exponential_decay import PolynomialDecay
from lrlib.pretraining import WSD
from lrlib.schedule import Schedule
from lrlib.warmup import Warmup

Value = TypeVar("Value")


def from_name(
    name: str, total_steps: int, *, warmup: int | float = 0, **settings: object
) -> Schedule:
    """The schedule that transformers (5.24) has under that name, for a run of `total_steps`.

    A linear warm-up to 1, then:

    ===========================  ============================  =================================
    name                         falls                         settings
    ===========================  ============================  =================================
    "linear"                     in a straight line to 0
    "cosine"                     as half a cosine to 0         num_cycles=0.5, in waves
    "cosine_with_restarts"       num_cycles times to 0         num_cycles=1
    "cosine_with_min_lr"         as half a cosine to a floor   a floor, num_cycles=0.5
    "cosine_warmup_with_min_lr"  the same, see below           a floor, num_cycles=0.5,
                                                               warmup_lr_rate=1/warmup
    "polynomial"                 as a power of the time left   power=1.0, a floor
    "inverse_sqrt"               as one over the square root   timescale=warmup, or 10,000
                                                               without one
    "constant"                   not; takes no warm-up
    "constant_with_warmup"       not
    "warmup_stable_decay"        at the end: see `WSD`         num_decay_steps (or cooldown)=0.2,
                                                               decay_type (or form)="cosine",
                                                               a floor
    ===========================  ============================  =================================

    Args:
        name: as above. "reduce_lr_on_plateau" and "greedy" are refused: they answer a metric.
        total_steps: length of the run in optimizer steps, at least 0.
        warmup: length of the warm-up, at most `total_steps`: an integer, in steps, or a float in
            [0, 1), a share of the run, rounded up.
        settings: as in the table, with transformers' names. A floor is ``min_factor=``, which
            transformers calls ``min_lr_rate=`` (with "warmup_stable_decay" ``min_lr_ratio=``). It
            may also be the absolute rate ``min_lr=`` (with "polynomial" ``lr_end=``) together
            with ``peak=``, the rate it is a share of: a shape does not know it.

    The factors of the run, steps 0 to ``total_steps - 1``, are those of ``get_scheduler``, to
    rounding errors. On purpose different are:

    - Past the end the last factor is held, where "cosine" and both "…_with_min_lr" rebound.
    - "cosine_with_restarts" finds its cycles in integers, where rounding can bring a restart of
      theirs a step late; `num_cycles` must be an integer.
    - The floor of "polynomial" is 0 unless you give one, where `lr_end` is 1e-7.
    - "constant" refuses a warm-up, which transformers leaves out without a word.
    - A share is taken as it is written: 0.07 of 100 steps are 7. The Trainer takes the rounded
      ``0.07 * 100``, which is 7.000000000000001, and so 8.
    - "cosine_warmup_with_min_lr" has its peak at step ``warmup - 1`` and its floor at the last
      update, as theirs; without a warm-up it has the peak at the first update, where theirs
      begins one step into the fall and never has it. (Nor has a warm-up of a single step whose
      ``warmup_lr_rate`` is below 1, here and there.)
    - Warm-ups start at 0, as theirs, so that the first update changes nothing, but for
      "cosine_warmup_with_min_lr", which starts at ``1 / warmup``. ``Warmup(n - 1, 1 / n)`` is one
      that wastes no update.

    Raises ValueError for a name or a setting that is not known, naming those that are, and for a
    value that does not fit; TypeError for a value of the wrong kind.

    >>> from_name("linear", 100, warmup=10)(55)
    0.5
    >>> from_name("cosine", 1000, warmup=0.1, num_cycles=0.5).length
    1000
    """
    owner = "from_name"
    name = getattr(name, "value", name)  # transformers' SchedulerType
    if not isinstance(name, str):
        raise TypeError(f"{owner}: name must be a string, got {name!r}")
    if name in _NO_FUNCTION_OF_THE_STEP:
        raise ValueError(
            f"{owner}: name must be that of a function of the step, and {name!r} is none: "
            f"{_NO_FUNCTION_OF_THE_STEP[name]}"
        )
    if name not in _BUILDERS:
        raise ValueError(f"{owner}: name must be one of {', '.join(_BUILDERS)}, got {name!r}")
    total_steps = _checks.integer(owner, "total_steps", total_steps, minimum=0)
    steps = _checks.steps(owner, "warmup", warmup, total_steps)
    if steps > total_steps:
        raise ValueError(
            f"{owner}: warmup must be at most total_steps={total_steps}, got {warmup!r}"
        )
    build = _BUILDERS[name]
    known = list(inspect.signature(build).parameters)[2:]
    for setting in settings:
        if setting not in known:
            raise ValueError(
                f"{owner}: {name!r} has the settings {', '.join(known) or 'none'}, besides "
                f"total_steps and warmup; got {setting}={settings[setting]!r}"
            )
    return build(total_steps, steps, **settings)


@dataclass(frozen=True)
class CosineCycles(Schedule):
    """Several cosines between 1 and `min_factor`, as many as fit the run exactly.

    ``min_factor + (1 - min_factor) * (1 + cos(pi * x)) / 2``, where x is ``2 * num_cycles * s``,
    s being the share of the steps that is done; with `restarts` it is the part of the present
    cycle that is done, so that each falls from 1 and the next starts at 1 again.

    Args:
        total_iters: its length in optimizer steps, at least 0.
        num_cycles: above 0. Without `restarts` whole waves, down and up again: 0.5 is
            `CosineAnnealing`, 1 ends at the peak. With `restarts` falls, an integer.
        min_factor: the lowest factor, in [0, 1].
        restarts: whether the rate jumps back to the peak, rather than climbing.

    With `restarts` the last factor is `min_factor`. Cycles are found in integers, so that no
    restart comes late. Raises TypeError or ValueError for bad arguments. These are the cycles of
    transformers' "cosine" and "cosine_with_restarts": see `from_name`. `WarmRestarts` is the
    paper's, whose cycles have lengths in whole steps and may grow.
    """

    total_iters: int
    num_cycles: float = 1
    min_factor: float = 0.0
    restarts: bool = False

    def __post_init__(self) -> None:
        owner = "CosineCycles"
        total_iters = _checks.integer(owner, "total_iters", self.total_iters, minimum=0)
        object.__setattr__(self, "total_iters", total_iters)
        if not isinstance(self.restarts, bool):
            raise TypeError(f"{owner}: restarts must be True or False, got {self.restarts!r}")
        if self.restarts:
            num_cycles: float = _checks.integer(owner, "num_cycles", self.num_cycles, minimum=1)
        else:
            num_cycles = _checks.number(owner, "num_cycles", self.num_cycles, above=0)
        object.__setattr__(self, "num_cycles", num_cycles)
        min_factor = _checks.number(owner, "min_factor", self.min_factor, minimum=0, maximum=1)
        object.__setattr__(self, "min_factor", min_factor)

    @property
    def length(self) -> int:
        return self.total_iters

    def formula(self, step: int) -> float:
        total = max(1, self.total_iters)
        if step == self.total_iters:  # also of an empty one
            x = 1.0 if self.restarts else 2 * self.num_cycles
        elif self.restarts:
            x = (self.num_cycles * step % total) / total
        else:
            x = 2 * self.num_cycles * step / total
        return self.min_factor + (1 - self.min_factor) * (1 + math.cos(math.pi * x)) / 2


@dataclass(frozen=True)
class InverseSquareRootDecay(Schedule):
    """From 1 down as one over the square root: ``(1 + t / timescale) ** -0.5``, without an end.

    Args:
        timescale: optimizer steps, at least 1; after three times as many the factor is a half.

    The factor never rises; `then` needs `at`. It is the fall of transformers' "inverse_sqrt":
    see `from_name`. `InverseSquareRoot` is the paper's, with its warm-up. Raises TypeError or
    ValueError for bad arguments.
    """

    timescale: int

    def __post_init__(self) -> None:
        timescale = _checks.integer(
            "InverseSquareRootDecay", "timescale", self.timescale, minimum=1
        )
        object.__setattr__(self, "timescale", timescale)

    def formula(self, step: int) -> float:
        return (1 + step / self.timescale) ** -0.5


# What the names stand for. Each takes the length of the run and of the warm-up, in steps, and its
# settings, whose names are those that `from_name` knows.


def _linear(total: int, warmup: int) -> Schedule:
    return Warmup(warmup).then(PolynomialDecay(total - warmup))


def _cosine(total: int, warmup: int, num_cycles: float = 0.5) -> Schedule:
    return Warmup(warmup).then(_waves(total - warmup, num_cycles, 0.0))


def _cosine_with_restarts(total: int, warmup: int, num_cycles: int = 1) -> Schedule:
    num_cycles = _checks.integer("from_name", "num_cycles", num_cycles, minimum=1)
    if num_cycles == 1:
        return Warmup(warmup).then(CosineAnnealing(total - warmup))
    return Warmup(warmup).then(CosineCycles(total - warmup, num_cycles, restarts=True))


def _cosine_with_min_lr(
    total: int,
    warmup: int,
    num_cycles: float = 0.5,
    min_lr: float | None = None,
    min_lr_rate: float | None = None,
    min_factor: float | None = None,
    peak: float | None = None,
) -> Schedule:
    floor = _floor({"min_factor": min_factor, "min_lr_rate": min_lr_rate, "min_lr": min_lr}, peak)
    if floor is None:
        raise ValueError(
            "from_name: 'cosine_with_min_lr' needs one of min_factor, min_lr_rate and min_lr, got "
            "none"
        )
    return Warmup(warmup).then(_waves(total - warmup, num_cycles, floor))


def _cosine_warmup_with_min_lr(
    total: int,
    warmup: int,
    num_cycles: float = 0.5,
    min_lr: float | None = None,
    min_lr_rate: float | None = None,
    min_factor: float | None = None,
    warmup_lr_rate: float | None = None,
    peak: float | None = None,
) -> Schedule:
    floor = _floor({"min_factor": min_factor, "min_lr_rate": min_lr_rate, "min_lr": min_lr}, peak)
    if floor is None:
        raise ValueError(
            "from_name: 'cosine_warmup_with_min_lr' needs one of min_factor, min_lr_rate and "
            "min_lr, got none"
        )
    n = max(1, warmup)
    start = 1 / n if warmup_lr_rate is None else warmup_lr_rate
    start = _checks.number("from_name", "warmup_lr_rate", start, minimum=0, maximum=1)
    fall = _waves(max(1 if warmup == 1 else 0, total - n), num_cycles, floor)
    if warmup == 1 and start < 1:  # the one step of the warm-up has no room to climb
        first = Constant(start, 1).then(Constant(total_iters=max(1, total - 2)))
        return first * fall
    return Warmup(n - 1, start).then(fall)


def _polynomial(
    total: int,
    warmup: int,
    power: float = 1.0,
    lr_end: float | None = None,
    min_factor: float | None = None,
    peak: float | None = None,
) -> Schedule:
    floor = _floor({"min_factor": min_factor, "lr_end": lr_end}, peak) or 0.0
    return Warmup(warmup).then(PolynomialDecay(total - warmup, power, floor))


def _constant(total: int, warmup: int) -> Schedule:
    if warmup:
        raise ValueError(
            f"from_name: 'constant' has no warm-up, 'constant_with_warmup' has; got warmup={warmup}"
        )
    return Constant(total_iters=total)


def _constant_with_warmup(total: int, warmup: int) -> Schedule:
    return Warmup(warmup).then(Constant(total_iters=total - warmup))


def _inverse_sqrt(total: int, warmup: int, timescale: int | None = None) -> Schedule:
    timescale = (warmup or 10_000) if timescale is None else timescale
    return Warmup(warmup).then(InverseSquareRootDecay(timescale))


def _warmup_stable_decay(
    total: int,
    warmup: int,
    num_decay_steps: int | float | None = None,
    decay_type: str | None = None,
    min_lr_ratio: float | None = None,
    cooldown: int | float | None = None,
    form: str | None = None,
    min_factor: float | None = None,
    warmup_type: str = "linear",
) -> Schedule:
    if warmup_type != "linear":
        raise ValueError(f"from_name: warmup_type must be 'linear', got {warmup_type!r}")
    fall = _one_of({"cooldown": cooldown, "num_decay_steps": num_decay_steps}, 0.2)
    its_form = _one_of({"form": form, "decay_type": decay_type}, "cosine")
    floor = _floor({"min_factor": min_factor, "min_lr_ratio": min_lr_ratio}, None) or 0.0
    return WSD(total, warmup, fall, its_form, floor)


_BUILDERS: dict[str, Callable[..., Schedule]] = {
    "linear": _linear,
    "cosine": _cosine,
    "cosine_with_restarts": _cosine_with_restarts,
    "cosine_with_min_lr": _cosine_with_min_lr,
    "cosine_warmup_with_min_lr": _cosine_warmup_with_min_lr,
    "polynomial": _polynomial,
    "constant": _constant,
    "constant_with_warmup": _constant_with_warmup,
    "inverse_sqrt": _inverse_sqrt,
    "warmup_stable_decay": _warmup_stable_decay,
}
_NO_FUNCTION_OF_THE_STEP = {
    "reduce_lr_on_plateau": "it lowers the rate when a metric stops improving. torch's "
    "ReduceLROnPlateau does that",
    "greedy": "it raises and lowers the rate as a metric gets better or worse. transformers' "
    "GreedyLR does that",
}


def _waves(total_iters: int, num_cycles: float, min_factor: float) -> Schedule:
    if isinstance(num_cycles, float) and num_cycles == 0.5:
        return CosineAnnealing(total_iters, min_factor)
    return CosineCycles(total_iters, num_cycles, min_factor)


def _one_of(options: Mapping[str, Value | None], default: Value) -> Value:
    """The one value among several names of one setting, or the default."""
    given = {name: value for name, value in options.items() if value is not None}
    if len(given) > 1:
        listed = " and ".join(f"{name}={value!r}" for name, value in given.items())
        raise ValueError(f"from_name: only one of {', '.join(options)} may be given, got {listed}")
    return next(iter(given.values()), default)


def _floor(options: Mapping[str, float | None], peak: float | None) -> float | None:
    """The lowest factor, from one of several names for it; None if none is given.

    `min_lr` and `lr_end` are rates, shares of `peak`.
    """
    value = _one_of(options, None)
    if peak is not None:
        peak = _checks.number("from_name", "peak", peak, above=0)
    if value is None:
        return None
    (name,) = (name for name, it in options.items() if it is not None)
    if name not in ("min_lr", "lr_end"):
        return _checks.number("from_name", name, value, minimum=0, maximum=1)
    value = _checks.number("from_name", name, value, minimum=0)
    if value == 0:
        return 0.0
    if peak is None:
        raise ValueError(
            f"from_name: {name} is a rate, and a shape does not know the peak: give peak= too, or "
            f"min_factor={name} / peak; got {name}={value!r}"
        )
    return _checks.number("from_name", f"{name} / peak", value / peak, maximum=1)
