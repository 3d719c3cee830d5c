"""Checkers of chapter 11."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lrlib.exercises import Ask, Mistake, exercise, flaws, short, to_whole
from lrlib.exercises.plateau_runs import check_false_drops, check_observe, check_seldom

__all__ = [
    "check_drops",
    "check_false_drops",
    "check_improves",
    "check_observe",
    "check_seldom",
    "check_statements",
]

# --- 1. The rule


def _rule(
    fires: Callable[[int, int], bool] = lambda bad, patience: bad > patience,
    better: Callable[[float, float], bool] = lambda metric, best: metric < best,
    *,
    best: float = math.inf,
    previous: bool = False,
    all_of_them: bool = False,
    goes_on: bool = False,
    forgets: bool = False,
    falls_back: bool = False,
    left: int = 0,
    once: bool = False,
):
    """A rule, right unless it is told otherwise."""

    def drops(metrics, patience):
        found, least, bad = [], best, 0
        for i, metric in enumerate(metrics):
            if better(metric, least):
                least, bad = metric, bad if all_of_them else 0
            else:
                bad += 1
            if previous:
                least = metric
            if fires(bad, patience) and not (once and found):
                found.append(i)
                bad = bad if goes_on else left
                least = best if forgets else metric if falls_back else least
        return found

    return drops


def _indices(ask: Ask, metrics: Sequence[float], patience: int) -> tuple[int, ...]:
    answer = ask(list(metrics), patience)
    if not isinstance(answer, list | tuple | np.ndarray):
        raise Mistake(f"{ask.name} should return a list of indices, not {short(answer)}.")
    return tuple(to_whole(index, ask.name) for index in answer)


check_drops = exercise(
    "Exercise 1: ``drops(metrics, patience)``, the evaluations after which the rate falls.",
    right=_rule(),
    names=("metrics", "patience"),
    rules_out="lrlib",
    cases=(
        ((5.0, 4.0, 4.5, 4.2, 4.1, 3.9, 3.9, 4.0, 3.95, 3.92), 2),
        ((5.0, 6.0, 4.0, 4.5, 4.25, 4.75, 4.8, 4.9, 3.0, 3.5, 3.25), 1),
        ((3.0, 3.0, 3.0, 2.0, 2.5, 2.3, 2.2), 0),
        ((2.0, 1.0, 3.0, 1.5, 1.25, 1.125, 1.25, 0.5, 1.0, 0.75, 0.6, 0.55, 0.7), 2),
        ((4.0, 3.0, 2.0, 1.0), 3),
    ),
    read=_indices,
    wrong=(
        (
            "it drops one bad evaluation too soon. Patience 2 bears two bad ones; the third drops.",
            _rule(lambda bad, patience: bad >= patience and bad > 0),
        ),
        (
            "it drops one bad evaluation too late. Patience 2 bears two bad ones; the third drops.",
            _rule(lambda bad, patience: bad > patience + 1),
        ),
        (
            "an evaluation that equals the best counts as an improvement. It must beat it.",
            _rule(better=lambda metric, least: metric <= least),
        ),
        (
            "the first evaluation counts as bad: nothing is there yet for it to beat. What must "
            "the best be before it?",
            _rule(best=0.0),
            _rule(best=-math.inf),
        ),
        (
            "each evaluation is compared with the one before. A metric that wobbles on the spot "
            "beats its predecessor every other time; compare with the best so far.",
            _rule(previous=True),
        ),
        (
            "the bad ones are counted in all, not in a row. An improvement sets the count to 0.",
            _rule(all_of_them=True),
        ),
        (
            "after a drop the count goes on, and every further bad one drops. It starts anew.",
            _rule(goes_on=True),
            _rule(lambda bad, patience: bad > patience, all_of_them=True, goes_on=True),
        ),
        (
            "the count fires when it equals patience + 1, and was not set back by the drop: there "
            "is no second drop without an improvement.",
            _rule(lambda bad, patience: bad == patience + 1, goes_on=True),
        ),
        (
            "the best is forgotten after a drop. It stays, and the next evaluations must beat it.",
            _rule(forgets=True),
            _rule(falls_back=True),
        ),
        ("after a drop the count starts at 1. It starts at 0.", _rule(left=1)),
        ("there is one drop at most. The rule goes on after it.", _rule(once=True)),
        (
            "it takes rising for improving. The metric is a loss.",
            _rule(better=lambda metric, least: metric > least, best=-math.inf),
        ),
        (
            "those are counted from 1. Indices begin at 0.",
            lambda metrics, patience: [i + 1 for i in _rule()(metrics, patience)],
        ),
        (
            "those are where the bad ones began. The rate falls after the evaluation that is one "
            "too many.",
            lambda metrics, patience: [i - patience for i in _rule()(metrics, patience)],
        ),
        (
            "those are the bad evaluations. The rate falls when more than patience of them have "
            "come in a row.",
            lambda metrics, patience: _rule()(metrics, 0),
        ),
    ),
    differs="your rate falls after the evaluations {given}; {wanted} is right.",
    passed="patience is borne, one more is not, and the best stays.",
)

# --- 2. Losses below zero


def _improves(metric: float, best: float, threshold: float) -> bool:
    return metric < best - threshold * abs(best)


def _yes_or_no(ask: Ask, *case: Any) -> bool:
    answer = ask(*case)
    if not isinstance(answer, bool | np.bool_):
        raise Mistake(f"{ask.name} should return True or False, not {short(answer)}.")
    return bool(answer)


_NAN = math.nan
check_improves = exercise(
    "Exercise 2a: ``improves(metric, best, threshold)``, for losses of any sign.",
    right=_improves,
    cases=(
        (1.95, 2.0, 0.01),
        (1.99, 2.0, 0.01),
        (-2.01, -2.0, 0.01),
        (-1.99, -2.0, 0.01),
        (-2.05, -2.0, 0.01),
        (-2.015, -2.0, 0.01),
        (-1.0, -2.0, 0.01),
        (-0.5, 2.0, 0.01),
        (-3.0, 2.0, 0.01),
        (2.005, 2.0, 0.01),
        (-0.1, 0.0, 0.01),
        (0.1, 0.0, 0.01),
        (-2.0, -2.0, 0.0),
        (0.2, 2.0, 0.5),
        (1.2, 2.0, 0.5),
        (0.0, 0.006, 0.1),
        (_NAN, 2.0, 0.01),
        (_NAN, -2.0, 0.01),
    ),
    read=_yes_or_no,
    wrong=(
        (
            lambda m, b, t: (
                f"that is torch's rule. For a best of {b:g} its bar lies at best * (1 - threshold) "
                f"= {b * (1 - t):g}. Is a loss between the two an improvement?"
            ),
            lambda m, b, t: m < b * (1 - t),
        ),
        (
            "your threshold is absolute. It is a share of the best's size.",
            lambda m, b, t: m < b - t,
            lambda m, b, t: m < b * (1 - t) if b > 0 else m < b - t,
        ),
        ("the threshold is left out: any small step would be progress.", lambda m, b, t: m < b),
        ("a loss improves by falling.", lambda m, b, t: m > b + t * abs(b)),
        (
            "the bar lies above the best, so that a worse loss can pass. Which sign has the "
            "threshold?",
            lambda m, b, t: m < b + t * abs(b),
            lambda m, b, t: m - b < t,
        ),
        (
            "a division by the best turns the comparison round when the best is below 0.",
            lambda m, b, t: (b - m) / b > t if b else m < 0,
            lambda m, b, t: m / b < 1 - t if b else m < 0,
            lambda m, b, t: m / b < 1 - t if b else False,
        ),
        (
            "that measures how far it moved, up or down. A loss improves by falling.",
            lambda m, b, t: abs(m - b) > t * abs(b),
        ),
        (
            "the size of the loss is compared: -2 is a better loss than 1, and 0 better than 1.",
            lambda m, b, t: abs(m) < abs(b) * (1 - t),
        ),
        (
            "NaN passes for an improvement, and would be the best for ever. Every comparison with "
            "NaN is False: which way round did you ask?",
            lambda m, b, t: not m >= b - t * abs(b),
            lambda m, b, t: not b - t * abs(b) <= m,
        ),
        (
            "a loss just at the bar, or at the best with a threshold of 0, is none that beats it.",
            lambda m, b, t: m <= b - t * abs(b),
        ),
        (
            "the threshold is a share of the new loss. Take it of the best: the bar must not move "
            "with what is measured against it.",
            lambda m, b, t: m < b - t * abs(m),
        ),
        (
            "no loss below 0 is ever progress for you. It is; a density can be above 1, and its "
            "negative logarithm below 0.",
            lambda m, b, t: b > 0 and m < b - t * b,
            lambda m, b, t: m >= 0 and m < b - t * abs(b),
        ),
    ),
    differs=lambda m, b, t: f"you say {{given}}. To improve it must be below {b - t * abs(b):g}.",
    passed="progress is progress on both sides of 0, and NaN is none.",
)

check_statements = flaws(
    "Exercise 2b: which of the statements A to E are true of torch's rule.",
    right=lambda: {"B", "C", "E"},
    hints={
        "A": "the rate drops when the count is *more* than patience: the third bad one for 2.",
        "B": "is NaN below the best? Whatever is not, is counted as bad.",
        "C": "for a best of -2 and a threshold of 0.01, where does best * (1 - threshold) lie?",
        "D": "only the count of bad evaluations starts anew after a drop. What would reset best?",
        "E": "what does load_state_dict put into the scheduler: what it has seen alone, or its "
        "arguments too?",
    },
    passed="NaN is bad, below 0 the bar lies on the wrong side, and old arguments come back.",
)
