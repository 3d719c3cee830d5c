"""Exercise 5 of chapter 08: the length of a warm-up, on models whose sharpness is measured."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from lrlib.exercises import Ask, Limit, Mistake, apart, exercise, short, to_numbers, to_whole

Measure = Callable[[Any], np.ndarray]


@dataclass(frozen=True)
class Valley:
    """``½ (h + (k - h) y²) x² + ½ c y²``: steep across, in x, at first; flat along, in y.

    Gradient descent from x = 1e-6, y = 1. The curvature across falls from k to h as y goes to 0.
    `peak` is the rate that a warm-up is to reach.
    """

    k: float
    h: float
    c: float
    peak: float

    def trainer(self, limited: bool = True) -> Measure:
        """``measure(rates)`` trains anew: the sharpness before each update and after the last.

        It goes on from the last run as far as the rates are the same: whoever builds a warm-up
        step by step measures after each, and to train anew each time would take minutes.
        """
        limit = Limit(500_000 if limited else math.inf, "calls of measure and updates in it")
        done: list[float] = []  # the rates of the last run
        states = [(1e-6, 1.0)]  # (x, y) before each of its updates, and after the last
        seen = [self._sharpness(1e-6, 1.0)]

        def measure(rates: Any) -> np.ndarray:
            rates = np.asarray(rates, dtype=float).ravel().tolist()
            kept = len(done)
            if rates[:kept] != done:
                pairs = enumerate(zip(rates, done, strict=False))
                kept = next((i for i, (a, b) in pairs if a != b), min(len(rates), kept))
            limit(1 + len(rates) // 10 + len(rates) - kept)  # a long list costs time as well
            del done[kept:], states[kept + 1 :], seen[kept + 1 :]
            for rate in rates[kept:]:
                done.append(rate)
                states.append(self._update(*states[-1], rate))
                seen.append(self._sharpness(*states[-1]))
            return np.array(seen)

        return measure

    def _sharpness(self, x: float, y: float) -> float:
        """The largest eigenvalue of the Hessian."""
        across, along = self._curvatures(x, y)
        coupling = 2 * (self.k - self.h) * x * y
        return (across + along) / 2 + math.hypot((across - along) / 2, coupling)

    def _update(self, x: float, y: float, rate: float) -> tuple[float, float]:
        across, along = self._curvatures(x, y)
        x, y = x - rate * across * x, y - rate * along * y
        return max(-1e30, min(1e30, x)), max(-1e30, min(1e30, y))  # diverged

    def _curvatures(self, x: float, y: float) -> tuple[float, float]:
        return self.h + (self.k - self.h) * y * y, self.c + (self.k - self.h) * x * x

    def product(self, rates: np.ndarray, rest: int = 50) -> np.ndarray:
        """The rate times the sharpness, at every update with `rates` and at some at the peak."""
        rates = np.append(rates, np.full(rest, self.peak))
        return rates * self.trainer()(rates)[:-1]


VALLEYS = (
    Valley(10, 1.6, 0.02, 1.0),
    Valley(30, 4, 0.2, 0.4),
    Valley(20, 15, 0.05, 0.12),
    Valley(8, 0.1, 0.1, 4.0),
    Valley(5, 1, 0.05, 0.3),  # stable at the peak from the first update on
)


def model() -> tuple[Measure, float]:
    """The first of the checker's models, to look at: ``measure(rates)`` and the peak."""
    return VALLEYS[0].trainer(limited=False), VALLEYS[0].peak


@dataclass(frozen=True)
class _Stable:
    """A warm-up that is short enough; all of them are equally right."""

    steps: int = field(compare=False)
    fewest: int = field(compare=False)


def _line(n: int, peak: float) -> np.ndarray:
    return peak * np.arange(1, n + 1) / n


def _shortest_line(measure: Measure, peak: float, looks=lambda rates, seen: rates * seen[:-1]):
    """By doubling and halving; what `looks` gives is to be below 2."""

    def stable(n: int) -> bool:
        rates = _line(n, peak)
        seen = measure(rates)
        return looks(rates, seen).max() < 2 and peak * seen[-1] < 2

    low, high = 0, 1
    while not stable(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if stable(middle) else (middle, high)
    return high


def _plan(measure: Measure, peak: float, limit: float = 1.9) -> list[float]:
    rates: list[float] = []
    while peak * (now := measure(rates)[-1]) >= 2:
        rates.append(min(peak, limit / now))
    return rates


@cache
def _fewest(valley: Valley, straight: bool) -> int:
    if straight:
        return _shortest_line(valley.trainer(), valley.peak)
    return len(_plan(valley.trainer(), valley.peak, 1.9999))


def _expect_stable(rates: np.ndarray, n: int, valley: Valley, what: str) -> None:
    product = valley.product(rates)
    if product.max() < 2:
        return
    t = int(np.argmax(product >= 2))
    if product.max() < 2 + 1e-9:
        hint = "At 2 exactly the error along this direction does not shrink: leave a margin."
    elif t == 0:
        hint = "Already the first rate is too large: look at the first measurement."
    elif t >= n:
        hint = "The peak comes before the sharpness is below 2 / peak."
    else:
        hint = "The rate rises faster there than the sharpness falls."
    shown = "2" if product[t] == 2 else apart(product[t], 2, 3)[0]
    raise Mistake(
        f"{what}at update {t} the rate times the sharpness is {shown}. {hint} (The peak "
        f"of this model is {valley.peak:g}.)"
    )


def _length(ask: Ask, valley: Valley) -> _Stable:
    """The length of a line, if it is stable and at most 2 % longer than the shortest."""
    n = to_whole(ask(valley.trainer(), valley.peak), ask.name)
    if not 1 <= n <= 100_000:
        raise Mistake(f"you returned {n}. A warm-up has at least 1 step, and is finite.")
    best, what = _fewest(valley, straight=True), f"with n={n}, "
    _expect_stable(_line(n, valley.peak), n, valley, what)
    if n > best + max(1, best // 50):
        raise Mistake(
            f"{what}the run is stable, and with n={best} it would be too (peak {valley.peak:g})."
        )
    return _Stable(n, best)


# fmt: off
check_shortest_line = exercise(
    "Exercise 5a: ``shortest_line(measure, peak)``, the length of a linear warm-up.",
    right=_shortest_line,
    names=("_model",),
    cases=tuple((valley,) for valley in VALLEYS),
    read=_length,
    wrong=(
        ("that is what the first measurement alone asks for. Only the first update is sure to be "
         "stable then: the rate rises faster after it than the sharpness falls. Measure lines.",
         lambda measure, peak: math.ceil(peak * measure([])[0] / 2),
         lambda measure, peak: math.ceil(peak * measure([])[0] / 2) + 1,
         lambda measure, peak: int(peak * measure([])[0] / 2) + 1),
        ("that is the first stable line of 1, 2, 4, 8, … updates. Between the last that is not and "
         "this one go on by halving.", lambda *case: 1 << (_shortest_line(*case) - 1).bit_length()),
        ("that is the longest line that is not stable; the next one is.",
         lambda *case: _shortest_line(*case) - 1),
        ("you look at the sharpness after the last update alone. The rate times the sharpness is "
         "to be below 2 at every update.",
         lambda *case: _shortest_line(*case, lambda rates, seen: np.zeros(1))),
        ("a rate is multiplied by the sharpness after its update. That before it counts: leave out "
         "the last measurement, not the first.",
         lambda *case: _shortest_line(*case, lambda rates, seen: rates * seen[1:])),
    ),
    passed="as short as a straight line from peak / n can be, on five models.",
)
# fmt: on


def _why_long(rates: np.ndarray, valley: Valley) -> str:
    """Where a stable plan, whose last rate is below the peak, loses its updates."""
    sharpness = valley.trainer()(rates)[:-1]
    product = rates * sharpness
    ready = valley.peak * sharpness < 2
    if ready.any() and not (ready & (product < 1.8)).any() and product[~ready].min(initial=2) > 1.8:
        k = int(np.argmax(ready))
        return (
            f"Your rates below the peak are large enough. But at update {k} the peak itself is "
            f"below the limit, peak times sharpness is {apart(valley.peak * sharpness[k], 2)[0]}, "
            f"and your plan has {len(rates) - k} more updates below it. The margin that you keep "
            f"there is not needed at the peak: go to it as soon as it is below 2."
        )
    k = int(product.argmin())
    far = ", far from 2" if product[k] < 1.8 else ": each a little below 2, and it adds up"
    return f"At update {k} your rate times the sharpness was {apart(product[k], 2, 3)[0]}{far}."


def _steps_below(ask: Ask, valley: Valley) -> _Stable:
    """The steps below the peak, if the plan is stable and they are few enough."""
    answer = ask(valley.trainer(), valley.peak)
    rates = to_numbers(answer, ask.name, "a list of rates")
    if rates.ndim != 1 or len(rates) > 100_000:
        raise Mistake(f"{ask.name} should return a list of rates, not {short(answer)}.")
    allowed = (rates > 0) & (rates <= valley.peak * (1 + 1e-6))
    if not allowed.all():
        k = int(np.argmin(allowed))
        raise Mistake(
            f"your rate of update {k} is {apart(rates[k], valley.peak)[0]}. All should be above 0 "
            f"and at most the peak, {valley.peak:g}."
        )
    below = np.flatnonzero(rates < valley.peak * (1 - 1e-6))
    n = int(below[-1]) + 1 if below.size else 0
    what = f"with {n} steps below the peak, "
    _expect_stable(rates, n, valley, what)
    best = _fewest(valley, straight=False)
    if n > 1.2 * best:
        raise Mistake(
            f"{what}the run is stable, and {best} would do; 1.2 times that is allowed. "
            f"{_why_long(rates[:n], valley)} (The peak of this model is {valley.peak:g}.)"
        )
    return _Stable(n, best)


def _first_rate_again(measure, peak):
    rate, n = min(peak, 1.9 / measure([])[0]), 0
    while peak * measure(np.full(n, rate))[-1] >= 2:
        n += 1
    return [rate] * n


# fmt: off
check_plan = exercise(
    "Exercise 5b: ``plan(measure, peak)``, the rates of a warm-up of any shape.",
    right=_plan,
    names=("_model",),
    cases=tuple((valley,) for valley in VALLEYS),
    read=_steps_below,
    wrong=(
        ("those are shares of the peak. Return rates, the shares times the peak.",
         lambda measure, peak: [rate / peak for rate in _plan(measure, peak)]),
        ("your rates never rise: all are what the first measurement allows. The sharpness falls, "
         "so measure again before every update.", _first_rate_again),
        ("that is the straight line of before. Most of its rates are far below their limit, 2 over "
         "the sharpness.", lambda measure, peak: _line(_shortest_line(measure, peak), peak)),
    ),
    passed=lambda outcomes: "steps below the peak, and the fewest there can be: "
    + ", ".join(f"{found[''].steps} ({found[''].fewest})" for found in outcomes) + ".",
)
# fmt: on
