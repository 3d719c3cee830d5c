"""Checkers of chapter 07, exercise 3: how many updates it takes, and how many times as many."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lrlib.exercises import Ask, Mistake, exercise, to_number, to_numbers

# --- 3a. The updates that one curve needs


def _line(
    scale=math.log,
    back=math.exp,
    level=float,
    first=lambda reached: int(np.argmax(reached)),
    never=lambda budgets: math.inf,
    part=lambda share: share,
    reaches=np.less_equal,
    asks_whether_any=True,
):
    """The updates needed, in which any part can be made wrong."""

    def updates_needed(budgets, errors, target):
        reached = reaches(errors, target)
        if not reached.any() and asks_whether_any:
            return never(budgets)
        if reached[0]:
            raise ValueError(
                f"the first budget is at or below the target already, so the answer is at most "
                f"{budgets[0]}, nobody knows how much less"
            )
        k = first(reached)
        y0, y1, y = level(errors[k - 1]), level(errors[k]), level(target)
        x0, x1 = scale(budgets[k - 1]), scale(budgets[k])
        return back(x0 + (x1 - x0) * part((y0 - y) / (y0 - y1)))

    return updates_needed


def _interp(turn=1, scale=np.log, back=np.exp):
    return lambda n, errors, y: back(np.interp(y, errors[::turn], scale(n[::turn])))


_NEEDED = _line()
_NEVER = "where no budget comes down to the target, return math.inf"


def _read_needed(ask: Ask, budgets: Any, errors: Any, target: float) -> float:
    try:
        return to_number(ask(np.array(budgets), np.array(errors), target), ask.name)
    except Mistake as error:
        if min(errors) > target:
            raise Mistake(f"{_NEVER}: {error}") from error.__cause__
        raise


def _between(budgets: Any, errors: Any, target: float) -> str:
    if min(errors) > target:
        return f"{_NEVER}, not {{given}}. Beyond the longest budget nothing was measured."
    k = int(np.argmax(np.array(errors) <= target))
    return (
        f"you returned {{given}}. The error is {errors[k - 1]:g} after {budgets[k - 1]} updates "
        f"and {errors[k]:g} after {budgets[k]}; on a straight line in the logarithm of the updates "
        f"it comes to {target:g} after {{wanted}}."
    )


check_updates_needed = exercise(
    "Exercise 3a: ``updates_needed(budgets, errors, target)``, read off one curve.",
    right=_NEEDED,
    cases=(
        ((50, 100, 200, 400, 800), (0.9, 0.7, 0.5, 0.3, 0.2), 0.4),
        ((30, 100, 1000), (0.8, 0.6, 0.1), 0.35),
        ((50, 100, 200, 400), (0.9, 0.7, 0.5, 0.3), 0.75),
        ((50, 100, 200, 400), (0.9, 0.7, 0.5, 0.3), 0.5),
        ((50, 100, 200, 400, 800), (0.9, 0.4, 0.6, 0.55, 0.2), 0.5),
        ((50, 100, 200), (0.9, 0.7, 0.5), 0.5),
        ((50, 100, 200), (0.9, 0.8, 0.7), 0.5),
        ((50, 100, 200), (0.4, 0.3, 0.2), 0.5),
        ((50, 100, 200), (0.5, 0.3, 0.2), 0.5),
    ),
    read=_read_needed,
    rel=1e-5,
    wrong=(
        (
            "that is the logarithm of the number of updates.",
            *(_line(log, float) for log in (math.log, math.log2, math.log10)),
        ),
        ("you drew the line against the updates, not their logarithm.", _line(float, float)),
        (
            "you took the logarithm of the errors too. The line is straight in the error.",
            *(_line(level=math.log), _line(float, float, math.log)),
        ),
        (
            "the curve comes down to the target earlier, and rises again. The first time counts.",
            _line(first=lambda reached: len(reached) - int(np.argmin(reached[::-1]))),
        ),
        (
            "that is a budget, or the middle of two. Where on the line between them is the target?",
            *(_line(part=lambda share, at=at: at) for at in (0, 0.5, 1)),
            _line(float, float, part=lambda share: 0.5),
            lambda n, errors, y: n[np.argmin(abs(errors - y))],
        ),
        ("that is the share of the way, but from its other end.", _line(part=lambda x: 1 - x)),
        ("that is a position in the array.", lambda n, errors, y: np.argmax(errors <= y)),
        (
            "np.interp needs its second argument to rise, and errors fall, with ups and downs. It "
            "says nothing if they do not.",
            *(_interp(turn, *of) for turn in (1, -1) for of in ((), (np.asarray, float))),
        ),
        ("a target that is met exactly counts: <=, not <.", _line(reaches=np.less)),
        (
            _NEVER + ", not {given}. The number is larger than every budget, and no more is known. "
            "(np.argmax of an array that is False everywhere is 0.)",
            *(_line(never=lambda n, k=k: n[k]) for k in (0, -1)),
            *(_line(never=lambda n, x=x: x) for x in (math.nan, 0, -1)),
            _line(asks_whether_any=False),
        ),
    ),
    differs=_between,
    passed="the first crossing, on a line in log updates, and no number where there is none.",
)


# --- 3b. The rival's over ours

_BUDGETS, _TARGET = np.array([50, 100, 200, 400, 800, 1600]), 0.3
# What nine seeds need to reach the target, and how many times as much they need with the rival.
_OURS = np.array([310, 95, 520, 130, 240, 76, 160, 410, 200])
_RIVAL = _OURS * np.array([1.5, 3.0, 0.8, 4.0, 2.2, 9.0, 2.7, 1.2, 6.0])
_SLOW, _LONG = np.arange(9) % 3 == 1, 1e4  # which is past the budgets


def _summary(ratios):
    ordered = np.sort(ratios)
    return ordered[1], np.median(ordered), ordered[-2]


def _speeds(says=_summary, ratio=lambda ours, rival: rival / ours, needed=_NEEDED):
    """A speed-up in which any part can be made wrong; `says` sees the ratios, seed by seed."""

    def speed_up(budgets, ours, rival, target):
        n = [np.array([needed(budgets, row, target) for row in it]) for it in (ours, rival)]
        if np.isinf(n).all(0).any():
            raise ValueError(
                "on some seeds neither of the two reaches the target, and inf / inf is no ratio"
            )
        return says(ratio(*n))

    return speed_up


def _middle(of):
    """With another middle, ``of(ratios)``."""
    return _speeds(lambda r: (_summary(r)[0], of(r), _summary(r)[2]))


def _around(of, k):
    """`k` standard deviations on both sides."""
    return _speeds(lambda r: (of(r) - k * np.std(r), of(r), of(r) + k * np.std(r)))


def _of_sums(of):
    """A middle that is no median of ratios but the ratio of two numbers, ``of(need, table)``."""

    def speed_up(budgets, ours, rival, target):
        low, _, high = _speeds()(budgets, ours, rival, target)
        middle = [of(lambda row: _NEEDED(budgets, row, target), table) for table in (rival, ours)]
        return low, middle[0] / middle[1], high

    return speed_up


def _table(needed: np.ndarray) -> np.ndarray:
    """Errors, shape (seeds, budgets), that are straight in log updates and reach the target."""
    slopes = 0.02 + 0.004 * np.arange(9)
    return _TARGET - slopes[:, None] * np.log2(_BUDGETS / needed[:, None])


def _read_speeds(ask: Ask, _: str, ours: np.ndarray, rival: np.ndarray) -> dict[str, float]:
    try:
        answer = ask(_BUDGETS, _table(ours), _table(rival), _TARGET)
    except Mistake as error:
        if isinstance(error.__cause__, ValueError) and (np.fmin(ours, rival) < _LONG).all():
            raise Mistake(
                f"{error}. On every seed here one of the two gets there, and infinity and 0 are "
                f"ratios like others."
            ) from error.__cause__
        raise
    three = "three numbers, the second lowest ratio, the median and the second highest"
    given = to_numbers(answer, ask.name, three)
    if given.shape != (3,):
        raise Mistake(f"return {three}, not shape {given.shape}.")
    return dict(zip(("low", "middle", "high"), given.tolist(), strict=True))


def _ratios(_: str, ours: np.ndarray, rival: np.ndarray) -> str:
    ratios = np.where(rival < _LONG, rival, np.inf) / np.where(ours < _LONG, ours, np.inf)
    shown = ", ".join(f"{ratio:.4g}" for ratio in sorted(ratios))
    return f"your {{part}} is {{given}}, not {{wanted}}. From low to high the ratios are {shown}."


check_speed_up = exercise(
    "Exercise 3b: ``speed_up(budgets, ours, rival, target)``, paired, with an interval.",
    right=_speeds(),
    names=("seeds", "_ours", "_rival"),
    cases=(
        ("all get there", _OURS, _RIVAL),
        ("three rivals never get there", _OURS, np.where(_SLOW, _LONG, _RIVAL)),
        ("one of ours never gets there", np.where(_OURS == 95, _LONG, _OURS), _RIVAL),
        ("six rivals never get there", _OURS, np.where(_SLOW, _RIVAL, _LONG)),
        ("some pairs never get there", *[np.where(_SLOW, _LONG, _OURS)] * 2),
    ),
    read=_read_speeds,
    rel=1e-5,
    wrong=(
        (
            "those are ours over the rival's. A speed-up of 2 means that the rival needs twice as "
            "many updates.",
            _speeds(ratio=lambda ours, rival: ours / rival),
        ),
        (
            "the two rows of one seed belong together: same start, same noise. Take the ratio seed "
            "by seed, and sort the ratios; not that of mean curves, of means or of medians.",
            _speeds(ratio=lambda ours, rival: np.sort(rival) / np.sort(ours)),
            _of_sums(lambda need, table: need(table.mean(0))),
            *(
                _of_sums(lambda need, table, f=f: f([*map(need, table)]))
                for f in (np.median, np.mean)
            ),
        ),
        (
            "the middle is the median, which no single seed can pull away.",
            *(_middle(np.mean), _middle(lambda r: np.exp(np.log(r).mean()))),
            _middle(lambda r: np.mean(r[np.isfinite(r)])),
        ),
        (
            "your interval should go from the second lowest ratio to the second highest. The "
            "lowest and the highest follow the oddest seed; percentiles and standard deviations "
            "say where seeds lie, not where the median lies.",
            *(_speeds(lambda r, k=k: np.sort(r)[[k, 4, 8 - k]]) for k in (0, 2)),
            *(_speeds(lambda r, k=k: np.percentile(r, (k, 50, 100 - k))) for k in (2.5, 5, 10, 25)),
            *(
                _around(of, k / root)
                for of in (np.mean, np.median)
                for k in (1, 1.96, 2, 2.306)
                for root in (1, 3, 8**0.5)
            ),
        ),
        (
            "sort the ratios before you take the second.",
            *(_speeds(lambda r: (r[1], np.median(r), r[7])), _speeds(lambda r: r[[1, 4, 7]])),
            _middle(lambda r: r[4]),
        ),
        (
            "you left out the seeds on which one of the two does not get there. It is the slowest "
            "of all on them: infinity and 0 have their place in the order.",
            _speeds(lambda r: _summary(r[np.isfinite(r)])),
            _speeds(lambda r: _summary(r[np.isfinite(r) & (r > 0)])),
        ),
        (
            "where the rival never gets there the ratio is infinite, the highest of all, not 0.",
            _speeds(lambda r: _summary(np.where(np.isinf(r), 0, r))),
        ),
        (
            "you took the longest budget where the target was not reached. It was not enough.",
            _speeds(needed=_line(never=lambda budgets: budgets[-1])),
        ),
        (
            "that is a difference. A speed-up is a ratio, the rival's updates over ours.",
            _speeds(ratio=lambda ours, rival: rival - ours),
            _speeds(ratio=lambda ours, rival: 1 - ours / rival),
            _speeds(ratio=lambda ours, rival: rival / ours - 1),
        ),
    ),
    differs=dict.fromkeys(("low", "middle", "high"), _ratios),
    passed="seed by seed, and no seed was left out.",
)
