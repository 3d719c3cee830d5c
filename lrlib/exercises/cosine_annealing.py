"""Checkers of chapter 04."""

from __future__ import annotations

import math
from collections.abc import Callable

from lrlib.cosine_annealing import CosineAnnealing
from lrlib.exercises import exercise, flaws, over
from lrlib.exercises.cosine_annealing_runs import check_fair, check_longer

__all__ = [
    "check_cosine_share",
    "check_exponential_share",
    "check_factor",
    "check_fair",
    "check_flaws",
    "check_linear_share",
    "check_longer",
]

# --- 1. From a rate to a factor


def _half(x: float) -> float:
    """Half a cosine, from 1 at x = 0 to 0 at x = 1."""
    return (1 + math.cos(math.pi * x)) / 2


def _factor(t: int, T_max: int, min_factor: float) -> float:
    return CosineAnnealing(T_max, min_factor)(t)


def _of(
    part: Callable[[int, int], float] = lambda t, T: _half(t / T),
    scale: Callable[[float, float], float] = lambda y, m: m + (1 - m) * y,
    held: bool = True,
) -> tuple[Callable[[int, int, float], float], ...]:
    """The formula with another `part` from 1 to 0, or another `scale`; held at the end or not."""
    ways = [
        lambda t, T, m: scale(part(min(t, T), T), m),
        lambda t, T, m: scale(part(t, T), m) if t < T else m,
        lambda t, T, m: scale(part(t, T), m),
    ]
    return tuple(ways if held else ways[2:])


check_factor = exercise(
    "Exercise 1: ``factor(t, T_max, min_factor)``, half a cosine, held past its end.",
    right=_factor,
    # Without a min_factor first: its mistakes are then told apart from those of the cosine.
    cases=((20, 0.0), (20, 0.1), (7, 0.25), (2, 0.5)),
    read=over(lambda T_max, _: range(3 * T_max + 2)),
    rules_out="lrlib",
    wrong=(
        (
            "right as far as T_max, but then it climbs, and is back at 1 at twice T_max. That is "
            "what torch's CosineAnnealingLR does. Hold the last value: what is t to be in the "
            "formula, once it is past T_max?",
            *_of(held=False),
        ),
        (
            "it falls, and is back at 1 at step T_max: that is a whole period of the cosine. Which "
            "part of the period only falls?",
            *_of(lambda t, T: _half(2 * t / T)),
        ),
        (
            "it is only half-way down at step T_max. What is the angle at which a cosine is at its "
            "lowest?",
            *_of(lambda t, T: _half(t / T / 2)),
        ),
        (
            "it hardly falls: the angle goes from 0 to 1, and a cosine is at its lowest at π.",
            *_of(lambda t, T: (1 + math.cos(t / T)) / 2),
        ),
        (
            "the angle goes from 0 to 180. That would be degrees, and cos takes radians.",
            *_of(lambda t, T: (1 + math.cos(180 * t / T)) / 2),
        ),
        (
            "it hardly falls: the angle is turned into radians twice. With π it is in radians.",
            *_of(lambda t, T: (1 + math.cos(math.radians(math.pi * t / T))) / 2),
        ),
        (
            "it stays at 1 until the end: t // T_max is a whole number. The angle should grow at "
            "every step.",
            *_of(lambda t, T: _half(t // T))[:2],
        ),
        (
            "it rises. At t = 0 the cosine is 1, and so should the factor be: look at the sign.",
            *_of(lambda t, T: 1 - _half(t / T)),
        ),
        (
            "the cosine itself ends at -1, so it does not end at min_factor. How does the paper's "
            "formula bring it between 0 and 1?",
            *_of(lambda t, T: math.cos(math.pi * t / T)),
        ),
        (
            "that is a quarter of the period: flat at the top, steep at the end. Half a period is "
            "flat at both ends.",
            *_of(lambda t, T: math.cos(math.pi * t / T / 2)),
        ),
        (
            "that is a sine, which begins in the middle of its range. A cosine begins at its top.",
            *_of(lambda t, T: (1 + math.sin(math.pi * t / T)) / 2),
        ),
        ("that is a straight line. Where is the cosine?", *_of(lambda t, T: 1 - t / T)),
        (
            "it begins above 1. In the paper's formula a ½ stands before the bracket.",
            *_of(lambda t, T: 2 * _half(t / T)),
        ),
        (
            "the ½ belongs before the whole bracket: 1 + cos, and then the half.",
            *_of(lambda t, T: 1 + math.cos(math.pi * t / T) / 2),
            *_of(lambda t, T: 0.5 + math.cos(math.pi * t / T)),
        ),
        (
            "min_factor is added on top, so that the first step has more than 1. It should move "
            "the end up and leave the start: what of the range above it is the cosine to cover?",
            *_of(scale=lambda y, m: m + y),
        ),
        (
            "it follows a cosine to 0, cut off at min_factor before step T_max. A cosine that ends "
            "at min_factor has a smaller range, not a shorter one.",
            *_of(scale=lambda y, m: max(m, y))[:1],
        ),
        ("it ends at 0. Where does min_factor come in?", *_of(scale=lambda y, m: y)[:1]),
        (
            "it begins at min_factor and ends at 0. min_factor is where it ends.",
            *_of(scale=lambda y, m: m * y)[:1],
        ),
        (
            "the range is right, and it ends at 0. Something is to be added.",
            *_of(scale=lambda y, m: (1 - m) * y)[:1],
        ),
        (
            "it has not arrived at step T_max: you divide by T_max + 1. From step 0 to step T_max "
            "there are T_max steps.",
            *_of(lambda t, T: _half(t / (T + 1))),
        ),
        (
            "it is one step late. Step 0 has the factor 1, and step 1 has less.",
            *_of(lambda t, T: _half(max(t - 1, 0) / T))[:2],
        ),
        (
            "it arrives one step early: you divide by T_max - 1. From step 0 to step T_max there "
            "are T_max steps.",
            *_of(lambda t, T: _half(t / (T - 1))),
            lambda t, T, m: m + (1 - m) * _half(min(t, T - 1) / (T - 1)),
        ),
        (
            "right as far as T_max, but then it starts again. Without a remainder (%), what is t "
            "to be in the formula, once it is past T_max?",
            lambda t, T, m: _factor(t % T if t > T else t, T, m),
        ),
        (
            "right up to the end, but step T_max is the first again. Does a remainder (%) start "
            "you again?",
            lambda t, T, m: _factor(t % T, T, m),
            lambda t, T, m: _factor(t % (T + 1), T, m),
        ),
        (
            "right as far as T_max, but then it falls to 0. The value reached is min_factor.",
            lambda t, T, m: _factor(t, T, m) if t <= T else 0.0,
        ),
        (
            "right as far as T_max, but then it jumps to 1. The value reached is min_factor.",
            lambda t, T, m: _factor(t, T, m) if t <= T else 1.0,
        ),
    ),
    say={
        "early": "it is one step early, and the first step has less than 1. Steps count from 0.",
        "late": "it is one step late. Step 0 has the factor 1, and step 1 has less.",
        "scaled": "the first step has {c}. That looks like a rate; a factor is the rate over its "
        "peak, and begins at 1.",
    },
    differs="step {i} has {given}, but the formula has {wanted}.",
    passed="half a cosine, from 1 to min_factor, and nothing moves after it.",
)


# --- 2. How long does it stay high?

_LEVELS = tuple((level,) for level in (0.9, 0.5, 0.25, 0.1, 0.999, 1.0))


def _angle(level: float) -> float:
    return math.acos(2 * level - 1)


_BELOW = "that is the share spent below the level. The factor begins high and falls."
_OTHER_WAY = (
    "that is the factor when a share of `level` is over. The question is the other way round: the "
    "level is given, the time is sought."
)
_SOLVE = "{given} is no share that a count gives, which is {wanted}: set the factor equal to the "
check_cosine_share = exercise(
    "Exercise 2a: ``cosine_share(level)``, the share of the run at or above `level`.",
    right=lambda level: _angle(level) / math.pi,
    cases=_LEVELS,
    atol=1e-3,
    wrong=(
        (_BELOW, lambda x: 1 - _angle(x) / math.pi),
        (
            "that is an angle, in radians. How large is the angle at the end of the run?",
            _angle,
        ),
        (
            "that is an angle, in degrees. How large is the angle at the end of the run?",
            lambda x: math.degrees(_angle(x)),
        ),
        (
            "the angle is in degrees, the end of the run in radians.",
            lambda x: math.degrees(_angle(x)) / math.pi,
        ),
        (
            "the angle is in radians, the end of the run in degrees.",
            lambda x: _angle(x) / 180,
        ),
        (
            "you divide by a whole period. How much of it does the run cover?",
            lambda x: _angle(x) / (2 * math.pi),
        ),
        (
            "you solved cos(angle) = level. But the factor is not the cosine: it goes from 1 to 0, "
            "the cosine from 1 to -1.",
            lambda x: math.acos(x) / math.pi,
            lambda x: 2 * math.acos(x) / math.pi,
        ),
        (
            "the arccosine undoes the cosine; you took the arcsine, or the cosine itself.",
            lambda x: math.asin(2 * x - 1) / math.pi,
            lambda x: math.cos(2 * x - 1) / math.pi,
        ),
        (_OTHER_WAY, _half),
        ("that is right for a straight line.", lambda x: 1 - x),
        (
            "that is the level itself. Set the formula equal to it, and solve for t / T_max.",
            lambda x: x,
        ),
    ),
    differs=_SOLVE + "level, and solve for t / T_max.",
    passed="at or above 0.9 for 20 % of the run, below 0.1 for another 20 %.",
)
check_linear_share = exercise(
    "Exercise 2b: ``linear_share(level)``, likewise for linear decay.",
    right=lambda level: 1 - level,
    cases=_LEVELS,
    atol=1e-3,
    wrong=(
        (_BELOW, lambda x: x),
        ("that is right for half a cosine.", lambda x: _angle(x) / math.pi),
        (
            "a share is not negative. Set 1 - t / T_max equal to the level.",
            lambda x: -x,
            lambda x: x - 1,
        ),
        (
            "set 1 - t / T_max equal to the level, and solve for t / T_max.",
            lambda x: 1 / x,
            lambda x: 1 - 1 / x,
            lambda x: 1 / x - 1,
        ),
    ),
    differs=_SOLVE + "level, and solve for t / T_max.",
    passed="at or above 0.9 for 10 % of the run, below 0.1 for another 10 %.",
)


def _logs(level: float, final: float) -> float:
    return math.log(level) / math.log(final)


check_exponential_share = exercise(
    "Exercise 2c: ``exponential_share(level, final_factor)``, likewise for exponential decay.",
    right=lambda level, final_factor: min(1.0, _logs(level, final_factor)),
    # What the run does not get down to comes last.
    cases=(*((x[0], f) for f in (0.01, 0.2) for x in _LEVELS if x[0] >= f), (0.1, 0.1), (0.1, 0.2)),
    atol=1e-3,
    wrong=(
        (
            "no run spends more than all of itself above a level. This one ends before it gets "
            "down there.",
            _logs,
            lambda x, f: _logs(x, f) if x >= f else 0.0,
        ),
        (
            "that is the share spent below the level.",
            lambda x, f: 1 - min(1.0, _logs(x, f)),
            lambda x, f: 1 - _logs(x, f),
        ),
        ("the sign is wrong: both logarithms are negative.", lambda x, f: -_logs(x, f)),
        (
            "after one run, exp(-t / T_max) is at 0.37, whatever final_factor is. Which power of "
            "what reaches final_factor at the end of the run?",
            lambda x, f: -math.log(x),
            lambda x, f: min(1.0, -math.log(x)),
        ),
        (
            "a share is not negative, and final_factor does not come in. Which power of what "
            "reaches final_factor at the end of the run?",
            lambda x, f: math.log(x),
        ),
        (
            "final_factor, too, belongs into a logarithm: the factor is a power of it.",
            lambda x, f: math.log(x) / f,
        ),
        (
            "a product turns into a difference of logarithms, but a power does not.",
            lambda x, f: math.log(x) - math.log(f),
            lambda x, f: math.log(f) - math.log(x),
            lambda x, f: math.log(x / f),
        ),
        (_OTHER_WAY, lambda x, f: f**x),
        (
            "that is right for a straight line from 1 to final_factor.",
            lambda x, f: (1 - x) / (1 - f),
            lambda x, f: min(1.0, (1 - x) / (1 - f)),
        ),
        ("that is right for a straight line from 1 to 0.", lambda x, f: 1 - x),
        (
            "the two logarithms have different bases: one share needs one base.",
            lambda x, f: math.log(x) / math.log10(f),
            lambda x, f: math.log10(x) / math.log(f),
        ),
        (
            "the fraction is upside down.",
            lambda x, f: math.log(f) / math.log(x),
            lambda x, f: 1 / _logs(x, f) if x < 1 else 0.0,
        ),
    ),
    differs=_SOLVE + "level, and solve for t / T_max.",
    passed="to a final factor of 0.01, it is at or above 0.9 for 2 % of the run, below 0.1 for "
    "half.",
)


# --- 3. What is wrong with this experiment?

check_flaws = flaws(
    "Exercise 3a: which of the statements A to F name a flaw of the experiment.",
    right=lambda: {"B", "C", "F"},
    hints={
        "A": "same start, same noise: only then is the difference the schedule's.",
        "B": "with T_max=20, what is the rate of torch's cosine after 20 batches, after 40, and "
        "after 1,000?",
        "C": "the steep group begins at a twentieth of the larger peak. Which way does its rate "
        "go?",
        "D": "the best peak of one shape need not be that of another. Each had the same six to "
        "choose from, and other runs to choose by.",
        "E": "a peak for each group is a setting like any other, and the same for both rivals.",
        "F": "how far down is a straight line half-way, and what of the noise is left at that "
        "rate?",
    },
    passed="epochs for steps, one lowest rate for two groups, and a plan for another run.",
)
