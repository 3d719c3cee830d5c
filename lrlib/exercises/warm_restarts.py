"""Checkers of chapter 05."""

from __future__ import annotations

import math

import numpy as np

from lrlib.exercises import (
    Ask,
    Mistake,
    close,
    exercise,
    flaws,
    over,
    to_number,
    to_whole,
)
from lrlib.exercises.warm_restarts_anytime import check_anytime as check_anytime
from lrlib.exercises.warm_restarts_compare import check_compare as check_compare
from lrlib.exercises.warm_restarts_compare import half
from lrlib.exercises.warm_restarts_compare import start as start
from lrlib.exercises.warm_restarts_ensemble import check_predict as check_predict
from lrlib.warm_restarts import WarmRestarts

# --- 1. The cycle of a step


def _cos(x: float) -> float:
    return math.cos(math.pi * x)


def _factor(t: int, T_0: int, T_mult: int) -> float:
    return WarmRestarts(T_0, T_mult)(t)


def _shaped(shape):
    """Has another ``shape(T_cur / T_i)`` in the right cycles."""
    return _placed(lambda t, T_cur, T_i, T_0: shape(T_cur / T_i))


def _placed(shape):
    """Finds the right cycle, and makes ``shape(t, T_cur, T_i, T_0)`` of it."""
    return lambda t, T_0, m: shape(t, *WarmRestarts(T_0, m).cycle(t)[1:], T_0)


def _cycles(length, late=0):
    """Counts through cycles of ``length(i, T_0, T_mult)``, and leaves each `late`."""

    def factor(t, T_0, T_mult):
        T_cur, i = t, 0
        while T_cur >= (T_i := length(i, T_0, T_mult)) + late:
            T_cur, i = T_cur - T_i, i + 1
        return half(T_cur / T_i)

    return factor


def _by_logarithm(rounded):
    def factor(t, T_0, m):
        i = t // T_0 if m == 1 else rounded(math.log(t / T_0 * (m - 1) + 1, m))
        return half((t - sum(T_0 * m**j for j in range(i))) / (T_0 * m**i))

    return factor


def _subtracts_late(t, T_0, T_mult):
    T_i = T_0
    while t >= T_i:
        T_i *= T_mult
        t -= T_i
    return half(t / T_i)


SHORTER = (
    "your cycles get shorter. Each is T_mult times as long as the one before: for T_0 = 12 and "
    "T_mult = 2 they have 12, 24, 48, … steps."
)
NEVER_FALLS = (
    "T_cur never falls: it is t itself. It should count from the start of the cycle, without the "
    "steps of all the cycles before."
)
ONE = (
    "if T_mult is 1 all cycles have one length. The sum of a geometric series divides by "
    "T_mult - 1, and a logarithm to base T_mult by log(1), and both are 0 then."
)


def _expect_no_division_by(T_mult: int, error: Mistake) -> None:
    """Raise the hint to a division by 0 that comes of ``T_mult = 1``."""
    if T_mult == 1 and isinstance(error.__cause__, ZeroDivisionError):
        raise Mistake(f"{error}: {ONE}") from error.__cause__


def _factors(ask: Ask, T_0: int, T_mult: int) -> np.ndarray:
    # The loops of these two may have no end: look for them first.
    for hint, t, x in ((SHORTER, 17, 5 / 6), (NEVER_FALLS, 50, 50 / 96)):
        if close(to_number(ask(t, 12, 2), ask.name), half(x)):
            raise Mistake(hint)
    try:
        return over(lambda *_: range(130))(ask, T_0, T_mult)
    except Mistake as error:
        _expect_no_division_by(T_mult, error)
        raise


_LENGTHS = "the lengths should be T_0, T_0 T_mult, T_0 T_mult², …: "
check_factor = exercise(
    "Exercise 1: ``factor(t, T_0, T_mult)``, SGDR as a function of the step.",
    right=_factor,
    cases=((12, 2), (10, 1), (1, 3)),
    far=((20_000, 10, 1), (200_003, 10, 1), (20_000, 50, 2), (1_000_000, 50, 2)),
    read=_factors,
    rules_out="lrlib",
    wrong=(
        (SHORTER, _cycles(lambda i, T_0, m: T_0 / m**i)),
        (
            NEVER_FALLS,
            _placed(lambda t, T_cur, T_i, T_0: half(t / T_i)),
            lambda t, T_0, m: half(t / next(T_0 * m**i for i in range(99) if T_0 * m**i > t)),
        ),
        (
            "it climbs back, as torch's CosineAnnealingLR does. A cycle begins at 1: jump.",
            lambda t, T_0, m: half(t / T_0),
        ),
        (
            "it stays at 0 after the first cycle. Where does the next one begin?",
            lambda t, T_0, m: half(min(t / T_0, 1)),
        ),
        (
            "only one cycle is ever subtracted. A long run has many: `while`, not `if`.",
            lambda t, T_0, m: half(t / T_0 if t < T_0 else (t - T_0) / (T_0 * m)),
        ),
        (
            "every restart comes one step late. Step T_0 is the first of the second cycle, not "
            "the last of the first, and has the factor 1.",
            _cycles(lambda i, T_0, m: T_0 * m**i, late=1),
            _cycles(lambda i, T_0, m: T_0 * m**i + 1),
            lambda t, *rest: _factor(max(t - 1, 0), *rest),
        ),
        (
            "you are one step ahead. T_cur counts the steps of the cycle that are done: at its "
            "first step that is 0, and the factor is 1.",
            _placed(lambda t, T_cur, T_i, T_0: half((T_cur + 1) / T_i)),
            _cycles(lambda i, T_0, m: T_0 * m**i - 1),
            lambda t, *rest: _factor(t + 1, *rest),
        ),
        (
            "the last step of a cycle has the factor 0. In the formula 0 is reached after T_i "
            "steps, where the next cycle has begun: divide T_cur by T_i.",
            _placed(lambda t, T_cur, T_i, T_0: half(T_cur / (T_i - 1))),
            _placed(lambda t, T_cur, T_i, T_0: half(T_cur / max(T_i - 1, 1))),
        ),
        (
            "all your cycles have the same length, which is right only if T_mult is 1.",
            lambda t, T_0, m: half(t % T_0 / T_0),
        ),
        (
            _LENGTHS + "yours grow by the same amount each time. Multiply, do not add.",
            _cycles(lambda i, T_0, m: T_0 + i * m),
            _cycles(lambda i, T_0, m: T_0 + i * (m - 1)),
            _cycles(lambda i, T_0, m: T_0 * (1 + i * (m - 1))),
            _cycles(lambda i, T_0, m: T_0 * (1 + i)),
            _cycles(lambda i, T_0, m: T_0 * max(1, m * i)),
        ),
        (
            _LENGTHS + "your power is one too high or too low. i counts from 0.",
            _cycles(lambda i, T_0, m: T_0 * m ** (i + 1)),
            _cycles(lambda i, T_0, m: T_0 * m ** max(i - 1, 0)),
        ),
        (_LENGTHS + "T_0 has no power.", _cycles(lambda i, T_0, m: (T_0 * m) ** i)),
        ("first subtract the length of the cycle that is over, then multiply it.", _subtracts_late),
        (
            "inside the later cycles the cosine runs too fast. Divide by the length of the cycle.",
            _placed(lambda t, T_cur, T_i, T_0: half(T_cur / T_0)),
        ),
        (
            "T_cur is not t % T_i. How many steps did all cycles before have together?",
            _placed(lambda t, T_cur, T_i, T_0: half(t % T_i / T_i)),
        ),
        (
            "you take t // T_0 for the number of cycles that are over. Later ones are longer.",
            lambda t, T_0, m: half(t % T_0 / (T_0 * m ** (t // T_0))),
            lambda t, T_0, m: half(
                (t - sum(T_0 * m**i for i in range(t // T_0))) / (T_0 * m ** (t // T_0))
            ),
        ),
        (
            "some cycles begin before the one before is over: round down.",
            _by_logarithm(round),
            _by_logarithm(math.ceil),
        ),
        (
            "all is well but for step 121, a restart. Do you find the cycle by a logarithm? "
            "math.log(243, 3) is 4.999999999999999, and int() makes it 4. Stay with whole numbers.",
            _by_logarithm(int),
        ),
        (ONE, lambda t, T_0, m: math.nan if m == 1 else _factor(t, T_0, m)),
        ("it falls to -1. Bring the cosine between 0 and 1.", _shaped(_cos)),
        ("that is a quarter of a cosine, which ends steeply.", _shaped(lambda x: _cos(x / 2))),
        ("it rises again in a cycle: a whole cosine, not half.", _shaped(lambda x: half(2 * x))),
        ("it does not come near 0. Is pi missing?", _shaped(lambda x: half(x / math.pi))),
        ("T_cur / T_i belongs inside the cosine.", _shaped(lambda x: (1 - x) / 2)),
        ("math.cos takes radians: pi, not 180.", _shaped(lambda x: half(x * 180 / math.pi))),
        ("it falls in a straight line. The formula has a cosine.", _shaped(lambda x: 1 - x)),
    ),
    say={
        "complement": "it rises inside a cycle. Look at the sign of the cosine, or does T_cur "
        "count back from the end?",
        "constant": "it never changes. Does // round T_cur / T_i down to 0?",
        "scaled": "the first step has {c}. A factor is the rate over its peak, and begins at 1.",
        "shifted": "it is {c} too {much}: add 1 to the cosine first, and halve the sum.",
    },
    differs="step {i} has {given}, but the formula gives {wanted}.",
    passed="every restart is on time, however long the cycles get.",
)


# --- 2. A run that ends where a cycle does


def _total(T_mult: int, cycles: int) -> int:
    """The length of all cycles, in units of the first."""
    return sum(T_mult**i for i in range(cycles))


def _first_cycle(total_steps: int, T_mult: int, cycles: int) -> int:
    if total_steps < _total(T_mult, cycles):
        raise ValueError(
            f"{cycles} cycles do not fit into {total_steps} steps with T_mult={T_mult}, not even "
            f"with a first cycle of one step"
        )
    return total_steps // _total(T_mult, cycles)


def _for(length):
    """Plans for ``length(T_mult, cycles)`` times T_0, rounded down and up."""
    return (
        lambda total, m, n: total // max(length(m, n), 1),
        lambda total, m, n: -(-total // max(length(m, n), 1)),
    )


def _T_0(ask: Ask, *case: int) -> int:
    total_steps, T_mult, cycles = case
    try:
        answer = ask(*case)
    except Mistake as error:
        _expect_no_division_by(T_mult, error)
        if isinstance(error.__cause__, ValueError) and total_steps >= _total(T_mult, cycles):
            text = f"{error}: but {cycles} cycles do fit, if the first is short enough."
            raise Mistake(text) from error.__cause__
        raise
    if isinstance(answer, float | np.floating):
        raise Mistake(
            f"you returned {answer:.6g}, a float. T_0 counts steps: make it an int, in the "
            f"direction in which the cycles still fit."
        )
    return to_whole(answer, ask.name)


check_first_cycle = exercise(
    "Exercise 2: ``first_cycle(total_steps, T_mult, cycles)``, the longest T_0 that fits.",
    right=_first_cycle,
    cases=(
        (4000, 3, 4),  # 100 + 300 + 900 + 2700
        (1000, 2, 4),  # 66 fits; 67 is nearer, and does not
        *((364, 3, 4), (300, 1, 3), (100, 1, 6), (50, 3, 1), (15, 2, 4)),
        *((14, 2, 4), (2, 1, 3)),  # too short
    ),
    read=_T_0,
    wrong=(
        (
            "you returned {given}, rounded up. The run stops at step {total_steps}, before its "
            "last cycle is over.",
            lambda total, m, n: -(-total // _total(m, n)),
            lambda total, m, n: round(total / _total(m, n)),
            lambda total, m, n: total // _total(m, n) + 1,
        ),
        (
            "with {given} there is room for a longer first cycle: no step need be left over.",
            lambda total, m, n: (total - 1) // _total(m, n),
        ),
        ("{given} would be right for cycles of one length.", *_for(lambda m, n: n)),
        ("{given} leaves room for the last cycle alone.", *_for(lambda m, n: m ** (n - 1))),
        (
            "that is not the sum of all lengths. Write those of the first three cycles down, in "
            "units of T_0.",
            *_for(lambda m, n: m**n),
            *_for(lambda m, n: m * n),
        ),
        (
            "you let the cycles grow by the same amount each time. They grow by the same factor.",
            *_for(lambda m, n: sum(1 + i * (m - 1) for i in range(n))),
            *_for(lambda m, n: 1 + sum(i * m for i in range(n))),
        ),
        ("your sum has one cycle too many: i counts from 0.", *_for(lambda m, n: _total(m, n + 1))),
        ("your sum is one cycle short.", *_for(lambda m, n: _total(m, n - 1))),
        ("your sum begins with T_mult, not 1.", *_for(lambda m, n: m * _total(m, n))),
        (
            "{given} is the length of the whole run. T_0 is the length of its first cycle.",
            lambda total, m, n: total,
            lambda total, m, n: total // _total(m, n) * _total(m, n),
        ),
        (
            "{given} is the length of the last cycle. T_0 is that of the first.",
            lambda total, m, n: total // _total(m, n) * m ** (n - 1),
        ),
        ("you returned 0, and a cycle has at least one step.", lambda *_: 0),
    ),
    differs="you returned {given}; {wanted} is the longest first cycle with which all of them fit.",
    passed="your runs end where a cycle does, and no longer cycle would fit.",
)


# --- 3. What is wrong with this experiment?

check_flaws = flaws(
    "Exercise 3a: which of the statements A to E name a flaw of the experiment.",
    right=lambda: {"A", "C", "E"},
    hints={
        "A": "the minimum of four noisy numbers is lower than one of them, even if nothing is "
        "better. How many tries does each rival have?",
        "B": "that is how it should be: a peak that was lucky on some seeds has no advantage on "
        "others.",
        "C": "where does the 0.1 come from, and how many peaks did the restarts get to try?",
        "D": "scheduler.step() sets the next rate. Does it change the weights?",
        "E": "which rates does torch's CosineAnnealingLR give after T_max? lrlib.LRTrace on "
        "the optimizer shows what was applied.",
    },
    passed="no restart, one rival tuned, and the best snapshot against the last.",
)
