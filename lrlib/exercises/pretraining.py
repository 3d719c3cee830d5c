"""Checkers of chapter 14."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from lrlib.exercises import Ask, Mistake, exercise, over, to_numbers, whole

__all__ = ["check_average", "check_factor", "check_updates"]

# --- 1. WSD from its phases


def _factor(t: int, total: int, warmup: int, cooldown: int) -> float:
    if t < warmup:
        return t / warmup
    return max(0.0, min(1.0, (total - t) / cooldown))


def _wsd(t, total, warmup, cooldown, rise=None, fall=None):
    """A wrong one, of a rise and a fall of its own."""
    if t < warmup:
        return (rise or (lambda: t / warmup))()
    if t < total - cooldown:
        return 1.0
    return (fall or (lambda: max(0.0, (total - t) / cooldown)))()


check_factor = exercise(
    "Exercise 1: ``factor(t, total, warmup, cooldown)``, the three phases as one function.",
    right=_factor,
    cases=((40, 6, 10), (37, 5, 14), (23, 4, 9)),
    read=over(lambda total, *_: range(total + 4)),
    rules_out="lrlib",
    wrong=(
        (
            "the last phase falls from 1 - cooldown / total, so it begins with a jump. Its share "
            "is (total - t) / cooldown, the steps left over the steps it has.",
            lambda t, n, w, c: _wsd(t, n, w, c, fall=lambda: max(0.0, (n - t) / n)),
        ),
        (
            "the cooldown rises. It begins at 1 and ends at 0.",
            lambda t, n, w, c: _wsd(t, n, w, c, fall=lambda: min(1.0, (t - n + c) / c)),
        ),
        (
            "past the end it goes on falling, below 0. Hold it at 0.",
            lambda t, n, w, c: _wsd(t, n, w, c, fall=lambda: (n - t) / c),
        ),
        (
            "the cooldown is a jump to 0. Let it fall on a line.",
            lambda t, n, w, c: _wsd(t, n, w, c, fall=lambda: 0.0),
        ),
        (
            "there is no cooldown: the rate is held to the end.",
            lambda t, n, w, c: _wsd(t, n, w, c, fall=lambda: 1.0),
        ),
        (
            "there is no warm-up: the first step has the peak already.",
            lambda t, n, w, c: _wsd(t, n, w, c, rise=lambda: 1.0),
        ),
        (
            "the first step is above 0. Step t of the warm-up has t / warmup.",
            lambda t, n, w, c: _wsd(t, n, w, c, rise=lambda: (t + 1) / w),
            lambda t, n, w, c: _wsd(t, n, w, c, rise=lambda: (t + 1) / (w + 1)),
        ),
        (
            "the fall takes all the steps after the warm-up: that is the line of chapter 3. Hold "
            "the rate until `cooldown` steps are left.",
            lambda t, n, w, c: t / w if t < w else max(0.0, (n - t) / (n - w)),
        ),
        (
            "the cooldown has the form 1 - sqrt(s). A line is wanted.",
            lambda t, n, w, c: _wsd(
                t, n, w, c, fall=lambda: max(0.0, 1 - math.sqrt((t - n + c) / c))
            ),
        ),
    ),
    say={
        "late": "it comes one step late. Steps count from 0.",
        "early": "it comes one step early. Step warmup is the first at the peak.",
    },
    differs="step {i} has {given}, but {wanted} is due.",
    passed="three phases, no jump, and 0 past the end.",
)


# --- 2. What the branches cost


def _updates(ends: Sequence[int], share: float) -> int:
    falls = [math.floor(share * end) for end in ends]
    trunk = max(end - fall for end, fall in zip(ends, falls, strict=True))
    return trunk + sum(falls)


check_updates = exercise(
    "Exercise 2: ``updates(ends, share)``, what a trunk and its branches cost.",
    right=_updates,
    cases=(([1000, 2000, 4000], 0.2), ([4000, 700, 1500], 0.4), ([300, 900], 0.125), ([990], 0.3)),
    read=whole,
    rules_out="lrlib",
    wrong=(
        (
            "that trains every model from the start. What is held is held once, for all: a branch "
            "costs its cooldown alone.",
            lambda ends, share: sum(ends),
        ),
        (
            "only the longest model is counted. The shorter ones cost their cooldowns.",
            lambda ends, share: max(ends),
        ),
        (
            "only the cooldowns are counted. The trunk up to the last branch is trained too.",
            lambda ends, share: sum(math.floor(share * end) for end in ends),
        ),
        (
            "the trunk is counted up to the last model's end. It stops where the last branch "
            "leaves it.",
            lambda ends, share: max(ends) + sum(math.floor(share * end) for end in ends),
        ),
        (
            "the longest run is taken to be the last of the list. Its order may be any.",
            lambda ends, share: (
                ends[-1]
                - math.floor(share * ends[-1])
                + sum(math.floor(share * end) for end in ends)
            ),
        ),
        (
            "the branches come on top of their ends: the cooldown is the last part of the `end` "
            "steps, not added to them.",
            lambda ends, share: max(ends) + sum(math.floor(share * end) for end in ends[:-1]),
        ),
        (
            "every cooldown is as long as the longest model's. Each is a share of its own end.",
            lambda ends, share: (
                max(ends)
                - math.floor(share * max(ends))
                + len(ends) * math.floor(share * max(ends))
            ),
        ),
    ),
    differs="it is {given}, but {wanted} updates are made.",
    passed="the trunk once, and each branch's cooldown.",
)


# --- 3. An average without a horizon


def _average(values: np.ndarray, emphasis: float) -> np.ndarray:
    out, mean = [], 0.0
    for n, value in enumerate(values, start=1):
        mean = mean + (value - mean) * (emphasis + 1) / (n + emphasis)
        out.append(mean)
    return np.array(out)


def _running(weight, start=None):
    """A wrong one: another weight of the newest."""

    def average(values, emphasis):
        out, mean = [], 0.0 if start is None else start(values)
        for n, value in enumerate(values, start=1):
            mean = mean + (value - mean) * weight(n, emphasis)
            out.append(mean)
        return np.array(out)

    return average


def _averages(ask: Ask, values: np.ndarray, emphasis: float) -> np.ndarray:
    found = to_numbers(ask(values, emphasis), ask.name)
    if len(found) != len(values):
        raise Mistake(
            f"{ask.name} returned {len(found)} averages for {len(values)} values. After every "
            f"value there is one."
        )
    return np.asarray(found)


check_average = exercise(
    "Exercise 3: ``average(values, emphasis)``, the growing average after every value.",
    right=_average,
    cases=(
        (np.array([3.0, -1.0, 4.0, 1.5, -5.0, 9.0, 2.6]), 3.0),
        (np.array([0.7, 2.2, -3.1, 8.0, 0.3]), 1.0),
        (np.array([-2.0, 5.5, 1.1, 7.3, -4.2, 6.6]), 0.5),
    ),
    read=_averages,
    rules_out="lrlib",
    wrong=(
        (
            "that is the plain mean of all values so far: the emphasis has no say in it.",
            _running(lambda n, c: 1 / n),
        ),
        (
            "the newest enters with (emphasis + 1) / (n + emphasis + 1), which is for n values "
            "before it. Count the newest: after one value the average is that value.",
            _running(lambda n, c: (c + 1) / (n + c + 1)),
        ),
        (
            "the weight of the newest never changes: that is an exponential average, which forgets "
            "in a fixed number of steps however long the run.",
            _running(lambda n, c: 1 / (c + 1)),
            _running(lambda n, c: 1 / (c + 1), lambda values: values[0]),
        ),
        (
            "the newest enters with 1 / (n + emphasis). The numerator is emphasis + 1.",
            _running(lambda n, c: 1 / (n + c)),
        ),
        (
            "the newest enters with emphasis / (n + emphasis). The numerator is emphasis + 1.",
            _running(lambda n, c: c / (n + c)),
        ),
        (
            "new and old have changed places: it is the average that moves towards the newest.",
            _running(lambda n, c: 1 - (c + 1) / (n + c)),
        ),
        ("those are the values themselves.", lambda values, emphasis: np.array(values)),
    ),
    differs="after value {i} the average is {given}, but {wanted} is right.",
    passed="one setting for a run of any length.",
)
