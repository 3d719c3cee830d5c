"""Checkers of chapter 06."""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from lrlib.cyclical import Cyclical
from lrlib.exercises import (
    Mistake,
    _runs,
    apart,
    ask_twice,
    call,
    checker,
    close,
    expect_far,
    letters,
    passed,
    refused,
    same_rates,
    short,
)
from lrlib.exercises._runs import Hints, Start, Watched
from lrlib.trace import LRTrace

# --------------------------------------------------------------------------------------
# 1. The factor


@checker("lrlib")
def check_factor(factor: Callable[[int, float, int, int], float]) -> None:
    """Exercise 1: ``factor(t, min_factor, step_size_up, step_size_down)``, the triangle."""
    for case in ((0.25, 8, 4), (0.1, 3, 7), (0.0, 5, 5), (0.5, 1, 1)):
        steps = np.arange(3 * (case[1] + case[2]) + 3)
        _expect_triangles(ask_twice(factor, steps.tolist(), *case), steps, *case)
    expect_far(factor, Cyclical(0.25, 8, 4), (20_001, 120_006), 0.25, 8, 4)
    passed("up and down in straight lines, each in its own number of steps, for ever.")


def _height(t: np.ndarray, up: int, down: int) -> np.ndarray:
    """0 at the bottom of a cycle, 1 at its top."""
    T_cur = t % (up + down)
    return np.where(T_cur <= up, T_cur / up, (up + down - T_cur) / down)


def _expect_triangles(answer: np.ndarray, t: np.ndarray, least: float, up: int, down: int) -> None:
    right = least + (1 - least) * _height(t, up, down)
    if close(answer, right):
        return
    where = f"with min_factor={least:g}, step_size_up={up}, step_size_down={down}: "
    for wrong, hint in _wrong_triangles(t, least, up, down):
        if close(answer, wrong):
            raise Mistake(where + hint)
    if answer.max() > 0 and close(answer / answer.max(), right):
        raise Mistake(
            f"{where}the highest of your factors is {apart(answer.max(), 1)[0]}. A factor is the "
            f"rate over "
            f"its peak, so at the top it is 1."
        )
    k = _runs.first_apart(answer, right)
    given, wanted = apart(answer[k], right[k])
    raise Mistake(
        f"{where}step {k} has {given}, but the triangle has {wanted} there: "
        f"{k % (up + down)} of the {up + down} steps of its cycle are done, and {up} lead up."
    )


def _wrong_triangles(t: np.ndarray, least: float, up: int, down: int) -> Hints:
    """What the likely mistakes give at the steps `t`, and the hint to each."""
    size = up + down
    h, T_cur = _height(t, up, down), t % size

    def lifted(height: np.ndarray) -> np.ndarray:
        return least + (1 - least) * height

    yield lifted(1 - h), "your cycles begin at the top. They begin and end at min_factor."
    if least > 0:
        yield h, "your factor falls to 0, and min_factor does not appear in it."
        yield (
            np.maximum(h, least),
            "you cut the triangle off at min_factor, so it stays there for some steps. It should "
            "only touch min_factor: the way up is 1 - min_factor.",
        )
        yield (
            least + h,
            "you add min_factor to a triangle that is 1 high, and the top comes out above 1. The "
            "way up from min_factor to 1 is 1 - min_factor.",
        )
        yield (
            least * h,
            "at the top you have min_factor. The top is 1; min_factor is the bottom.",
        )
    if up != down:
        fall = "the fall has its own number of steps, step_size_down"
        yield lifted(_height(t, up, up)), f"your fall takes as long as the rise: {fall}."
        yield lifted(_height(t, down, down)), "your rise takes step_size_down steps."
        yield lifted(_height(t, down, up)), "you have exchanged step_size_up and step_size_down."
        yield (
            lifted(1 - np.abs(2 * T_cur / size - 1)),
            f"the top comes half-way through the cycle. It comes after step_size_up = {up} steps.",
        )
        yield (
            lifted(np.where(T_cur <= up, T_cur / up, 1 - (T_cur - up) / up)),
            f"the rate falls as steeply as it rose, and does not end at min_factor: {fall}.",
        )
        yield (
            lifted(np.maximum(np.where(T_cur <= up, T_cur / up, 1 - (T_cur - up) / up), 0)),
            f"the rate falls as steeply as it rose: {fall}.",
        )
    yield (
        lifted(np.where(T_cur <= up, T_cur / up, 1 - T_cur / down)),
        "at the top your factor jumps. The steps of the fall count from there: T_cur - "
        "step_size_up of them are done.",
    )
    yield (
        lifted(np.where(T_cur <= up, T_cur / up, (T_cur - up) / down)),
        "after the top your factor falls to the bottom at once and climbs again. It should fall "
        "in a straight line: how many steps are left until the end of the cycle?",
    )
    yield (
        lifted(np.where(T_cur <= up, T_cur / up, 0)),
        "after the top your factor falls to the bottom at once, and stays there.",
    )
    yield lifted(T_cur / size), "your rate only rises, and then falls in one step."
    once = "you have one cycle only. After step_size_up + step_size_down steps the next begins."
    yield lifted(np.where(t <= up, t / up, (size - t) / down)), once
    yield lifted(np.where(t <= up, t / up, np.maximum((size - t) / down, 0))), once
    yield lifted(np.minimum(t / up, 1)), "your rate rises and stays at the top. Where is the fall?"
    yield lifted(_height(t + 1, up, down)), "you are one step ahead. Step 0 is at the bottom."
    yield (
        lifted(_height(np.maximum(t - 1, 0), up, down)),
        "you are one step late. Step 0 is at the bottom, and step 1 is already above it.",
    )
    later = (
        f"your cycle is one step too long, as if the bottom between two cycles counted twice. Step "
        f"{size} is at the bottom, and the next step already rises."
    )
    T_long = t % (size + 1)
    yield lifted(np.where(T_long <= up, T_long / up, np.maximum(size - T_long, 0) / down)), later
    yield lifted(_height(t, up, down + 1)), later
    yield lifted(_height(t, up + 1, down)), "your rise takes one step too many."
    if down > 1:
        yield lifted(_height(t, up, down - 1)), "your fall is one step short."
    if up > 1:
        yield lifted(_height(t, up - 1, down)), "your rise is one step short."
        yield (
            lifted(np.where(T_cur <= up, T_cur // up, (size - T_cur) // down)),
            "your factor jumps between two values: // drops the fraction. Divide with /.",
        )
    yield (
        lifted(h * 0.5 ** (t // size)),
        "every cycle is half as high as the one before. That is triangular2; this one is to reach "
        "1 in every cycle.",
    )
    yield (
        lifted((1 - np.cos(np.pi * h)) / 2),
        "up and down are half cosines. Straight lines are wanted.",
    )


# --------------------------------------------------------------------------------------
# 2. Cycles that end with the run


@checker()
def check_step_sizes(step_sizes: Callable[[int, int], list[tuple[int, int]]]) -> None:
    """Exercise 2: ``step_sizes(total_steps, cycles)``, one (up, down) for each cycle."""
    for case in ((240, 4), (90, 6), (1000, 7), (250, 4), (95, 9), (10, 1), (8, 4), (11, 5)):
        _expect_sizes(_pairs(step_sizes, *case), *case)
    for total_steps, cycles in ((7, 4), (1, 1)):
        what = f"{cycles} cycles of at least 2 steps do not fit into {total_steps}"
        refused(step_sizes, total_steps, cycles, what=what)
    passed("every step is used, and the last cycle is over when the run is.")


def _pairs(step_sizes: Callable[..., Any], total_steps: int, cycles: int) -> list[tuple[int, int]]:
    """The learner's answer as pairs of whole numbers, each at least 1."""
    try:
        answer = call(step_sizes, total_steps, cycles)
    except Mistake as error:
        if isinstance(error.__cause__, ValueError):
            raise Mistake(
                f"{error}: but {cycles} cycles of at least 2 steps fit into {total_steps} steps. "
                f"Only where they do not fit there is nothing to return."
            ) from error
        raise
    where = f"for total_steps={total_steps}, cycles={cycles} you returned {short(answer)}: "
    form = "a list with one pair (up, down) for each cycle"
    try:
        pairs = [tuple(pair) for pair in answer]
    except TypeError:
        raise Mistake(f"{where}return {form}.") from None
    if any(len(pair) != 2 for pair in pairs):
        raise Mistake(f"{where}return {form}.")
    whole: list[tuple[int, int]] = []
    for pair in pairs:
        try:
            if any(isinstance(size, bool | np.bool_) for size in pair):
                raise TypeError
            up, down = (operator.index(size) for size in pair)
        except TypeError:
            raise Mistake(
                f"{where}step sizes are whole numbers, and {short(pair)} is not. / gives a float "
                f"and // a whole number."
            ) from None
        if up < 1 or down < 1:
            raise Mistake(
                f"{where}in {short(pair)} the rate does not rise, or does not fall. Each takes at "
                f"least 1 step."
            )
        whole.append((up, down))
    if len(whole) != cycles:
        raise Mistake(
            f"{where}there are {len(whole)} cycles, and {cycles} were asked for."
            + (" You return the sizes of one; all need theirs." if len(whole) == 1 else "")
        )
    return whole


def _expect_sizes(pairs: list[tuple[int, int]], total_steps: int, cycles: int) -> None:
    lengths = [up + down for up, down in pairs]
    end, even = sum(lengths), len(set(lengths)) == 1
    where = f"for total_steps={total_steps}, cycles={cycles} your last cycle ends at step {end}"
    rest = total_steps - end
    if end < total_steps:
        # Where the run would stop, if the cycles went on as the last one.
        up, down = pairs[-1]
        factor = float(_height(np.array([rest]), up, down)[0])
        stops = f"The run goes on for {rest} more, and would stop {factor:.0%} of the way up"
        if even and lengths[0] == total_steps // cycles:
            raise Mistake(
                f"{where}. {stops}. {total_steps} / {cycles} leaves a rest: which cycles get one "
                f"step more?"
            )
        if all(size == total_steps // cycles // 2 for pair in pairs for size in pair):
            raise Mistake(
                f"{where}. {stops}. You round twice, once for the cycle and once for its half, and "
                f"what is left over each time is lost."
            )
        if end == total_steps - 1:
            raise Mistake(
                f"{where}. {stops}. A run of {total_steps} steps is over after the step number "
                f"{total_steps - 1}; the cycles have {total_steps} steps too."
            )
        raise Mistake(f"{where}. {stops}.")
    if end > total_steps:
        up, down = pairs[-1]
        T_cur = np.array([max(lengths[-1] + rest, 0)])
        factor = float(_height(T_cur, up, down)[0])
        if end == 2 * total_steps:
            raise Mistake(
                f"{where}: up and down are each as long as a cycle should be. Both together have "
                f"its length."
            )
        if end == cycles * total_steps:
            raise Mistake(f"{where}: every cycle is as long as the whole run.")
        raise Mistake(
            f"{where}, after the run. It stops inside the cycle, {factor:.0%} of the way up. Round "
            f"so that the sum of all is {total_steps}."
        )
    if max(lengths) - min(lengths) > 1:
        longest = "last" if lengths[-1] == max(lengths) else "longest"
        raise Mistake(
            f"{where}, as it should, but the cycles have the lengths {short(lengths)}. Spread the "
            f"rest: the {longest} may have one step more than the shortest, not "
            f"{max(lengths) - min(lengths)}."
        )
    for up, down in pairs:
        if abs(up - down) > 1:
            raise Mistake(
                f"{where}, as it should, but one of the cycles rises for {up} steps and falls for "
                f"{down}. The two may differ by one step."
            )


# --------------------------------------------------------------------------------------
# 3. The bounds, from a range test


@dataclass(frozen=True)
class _RangeTest:
    """A loss that falls in the logarithm of the rate, and grows with its square later on."""

    rates: np.ndarray
    top: float
    low: float
    middle: float  # the rate half-way down
    width: float  # of the fall, in units of the logarithm
    rise: float  # the rate at which the growth has added 0.5

    def clean(self) -> np.ndarray:
        fall = 1 / (1 + (self.middle / self.rates) ** (1 / self.width))
        return self.top - (self.top - self.low) * fall + 0.5 * (self.rates / self.rise) ** 2

    def diverged(self) -> int:
        """The first reading that is no number any more."""
        over = self.clean() > 4 * self.top
        return int(np.argmax(over)) if over.any() else over.size

    def losses(self, noise: float, seed: int) -> np.ndarray:
        out = self.clean() + noise * np.random.default_rng(seed).standard_normal(self.rates.size)
        out[self.diverged() :] = np.nan
        out[self.diverged() : self.diverged() + 1] = np.inf
        return out

    def right(self) -> tuple[float, float]:
        return _crossings(self.rates, self.clean())


_LOGARITHMIC = _RangeTest(np.geomspace(1e-5, 10, 600), 2.3, 0.8, 0.01, 0.6, 1.0)
_SHORTER = _RangeTest(np.geomspace(1e-4, 10, 500), 1.6, 0.4, 0.03, 0.5, 2.0)
_LINEAR = _RangeTest(np.linspace(0.001, 1, 500), 2.0, 0.6, 0.15, 0.35, 1.2)
_TOO_HIGH = _RangeTest(np.geomspace(0.5, 10, 400), 2.3, 2.3, 1.0, 1.0, 2.0)


def range_test(noise: float = 0.1, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The rates and losses of a made-up range test, each of shape (600,), to look at."""
    return _LOGARITHMIC.rates.copy(), _LOGARITHMIC.losses(noise, seed)


def _crossings(
    rates: np.ndarray, losses: np.ndarray, start: float | None = None
) -> tuple[float, float]:
    """The first rates at which a fifth and four fifths of the way down are done."""
    start = losses[0] if start is None else start
    way = (start - losses) / (start - losses.min())
    return tuple(float(rates[np.argmax(way >= share)]) for share in (0.2, 0.8))


@checker()
def check_bounds(bounds: Callable[[np.ndarray, np.ndarray], tuple[float, float]]) -> None:
    """Exercise 3: ``bounds(rates, losses)``, base_lr and max_lr read off a range test."""
    before = _LOGARITHMIC.diverged()
    rates, clean = _LOGARITHMIC.rates[:before], _LOGARITHMIC.clean()[:before]
    answer = _two_rates(bounds, rates, clean, "on a range test without noise ")
    _expect_crossings(answer, rates, clean)

    where = "on the same range test, with readings of inf and nan after the divergence, "
    answer = _two_rates(bounds, _LOGARITHMIC.rates, _LOGARITHMIC.losses(0, 0), where)
    _expect_near(
        answer,
        _LOGARITHMIC,
        1.25,
        where,
        "Without these readings your answer was right: leave out all from the first that is no "
        "finite number on, before anything is averaged.",
    )
    for test, noise, what in (
        (_LOGARITHMIC, 0.03, "little noise"),
        (_LINEAR, 0.03, "rates that rise by the same amount from step to step"),
        (_LOGARITHMIC, 0.1, "more noise"),
        (_SHORTER, 0.1, "more noise"),
        (_LINEAR, 0.15, "much noise"),
        (_LOGARITHMIC, 0.15, "much noise"),
    ):
        where = f"on a range test with {what} (standard deviation {noise:g}) "
        for seed in range(2):
            answer = _two_rates(bounds, test.rates, test.losses(noise, seed), where)
            _expect_near(
                answer,
                test,
                1.5,
                where,
                "A single reading can lie far off: judge by the mean of enough neighbours, and "
                "take the start and the lowest loss from these means too.",
            )
    _expect_refusal(bounds)
    passed("right within a factor of 1.5 under noise, and a curve that only rises is refused.")


def _two_rates(
    bounds: Callable[..., Any], rates: np.ndarray, losses: np.ndarray, where: str
) -> tuple[float, float]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # numpy's on NaN: the hint is ours
        try:
            answer = call(bounds, rates.copy(), losses)
        except Mistake as error:
            if isinstance(error.__cause__, ValueError):
                raise Mistake(
                    f"{where}{error}. (If this is your own ValueError: here the loss does fall.)"
                ) from error
            raise
    try:
        base, top = (float(value) for value in answer)
    except (TypeError, ValueError, RuntimeError):
        raise Mistake(
            f"{where}you returned {short(answer)}: return two numbers, base_lr and max_lr."
        ) from None
    if not (math.isfinite(base) and math.isfinite(top)):
        raise Mistake(
            f"{where}you returned ({base:g}, {top:g}). A mean over NaN is NaN, and so is the "
            f"minimum: leave out all readings from the first that is no finite number on."
        )
    return base, top


def _near(a: float, b: float, factor: float) -> bool:
    return a > 0 and b > 0 and abs(math.log(a / b)) <= math.log(factor)


def _expect_crossings(answer: tuple[float, float], rates: np.ndarray, losses: np.ndarray) -> None:
    """On a curve without noise; `losses` are all finite."""
    base, top = answer
    right = _crossings(rates, losses)
    if _near(base, right[0], 1.25) and _near(top, right[1], 1.25):
        return
    where = (
        f"on a range test without noise you returned ({base:.3g}, {top:.3g}), and the loss has "
        f"come a fifth and four fifths of the way down at ({right[0]:.3g}, {right[1]:.3g}): "
    )
    at = [int(np.argmin(np.abs(rates - rate))) for rate in right]
    if base == int(base) and top == int(top) and abs(base - at[0]) < 9 and abs(top - at[1]) < 9:
        raise Mistake(f"{where}those are positions in the array. Which rates stand there?")
    if _near(base, right[1], 1.25) and _near(top, right[0], 1.25):
        raise Mistake(f"{where}you return the larger one first. base_lr is the bottom of a cycle.")
    for logarithm in (np.log, np.log10):
        if np.allclose(answer, logarithm(right), rtol=0.1):
            raise Mistake(f"{where}those are logarithms of rates.")
    if _near(base, float(rates[0]), 1.1):
        raise Mistake(
            f"{where}your base_lr is the first rate of the test. There the loss does not fall yet. "
            f"(If you use np.convolve(..., mode='same'): it takes what lies beyond the ends of the "
            f"array for 0.)"
        )
    for width in range(2, 122):
        padded = np.convolve(losses, np.ones(width) / width, mode="same")
        for start in (None, losses[0]):
            if np.allclose(answer, _crossings(rates, padded, start), rtol=1e-6):
                raise Mistake(
                    f"{where}near the ends of the array your means are far too low. "
                    f"np.convolve(..., mode='same') takes readings beyond the ends for 0: average "
                    f"over those that there are."
                )
    _expect_top(top, rates, losses, where, base_is_right=_near(base, right[0], 1.25))
    ratios = [math.log(max(given, 1e-12) / r) for given, r in zip(answer, right, strict=True)]
    if min(ratios) > 0.1:
        raise Mistake(
            f"{where}both are too high. Does your mean look back only? A running mean of that kind "
            f"shows a fall late; take as many readings after a reading as before it."
        )
    if max(ratios) < -0.1:
        raise Mistake(
            f"{where}both are too low. Does your mean look ahead only? Entry i of "
            f"np.convolve(..., mode='valid') belongs to the middle of its window, not to reading i."
        )
    start, low = losses[0], losses.min()
    below = losses <= 0.8 * start
    if _near(base, float(rates[np.argmax(below)]), 1.1):
        raise Mistake(
            f"{where}your base_lr is where the loss has lost a fifth of its value. It should have "
            f"come a fifth of the way from where it starts, {start:.3g}, to its lowest, {low:.3g}."
        )
    if ratios[0] < 0 < ratios[1]:
        raise Mistake(
            f"{where}base_lr is too low and max_lr too high. A very wide window blurs the fall: "
            f"take fewer neighbours."
        )
    raise Mistake(f"{where}which loss is a fifth of the way from {start:.3g} down to {low:.3g}?")


def _expect_top(
    top: float, rates: np.ndarray, losses: np.ndarray, where: str, base_is_right: bool
) -> None:
    """A hint if `top` is some other landmark of the curve."""
    start, low = losses[0], losses.min()
    way = (start - losses) / (start - low)
    lowest = int(losses.argmin())
    if _near(top, float(rates[lowest]), 1.3):
        raise Mistake(
            f"{where}your max_lr is the rate of the lowest loss. Before that the loss has hardly "
            f"fallen any more for a long while, and noise decides where exactly it is lowest."
        )
    if _near(top, float(rates[np.flatnonzero(way >= 0.8)[-1]]), 1.2):
        raise Mistake(
            f"{where}your max_lr is the last rate with so low a loss, which has begun to rise "
            f"again. The first is wanted."
        )
    if _near(top, float(rates[-1]), 1.1):
        raise Mistake(f"{where}your max_lr is the last rate of the test.")
    if base_is_right and _near(top, float(rates[np.argmax(losses <= 1.2 * low)]), 1.1):
        raise Mistake(
            f"{where}your max_lr is where the loss is a fifth above its lowest. Measure the way "
            f"from the start down to the lowest."
        )


def _expect_near(
    answer: tuple[float, float], test: _RangeTest, factor: float, where: str, hint: str
) -> None:
    for name, given, right in zip(("base_lr", "max_lr"), answer, test.right(), strict=True):
        if not _near(given, right, factor):
            side = "low" if given < right else "high"
            raise Mistake(
                f"{where}your {name} is {given:.3g}, too {side}: without noise it is {right:.3g}, "
                f"and a factor of {factor:g} either way is allowed. {hint}"
            )


def _expect_refusal(bounds: Callable[..., Any]) -> None:
    for seed in range(2):
        rates, losses = _TOO_HIGH.rates, _TOO_HIGH.losses(0.1, seed)
        what = (
            "on a range test that began too high the loss only rises, and the lowest mean is not a "
            "tenth below the start"
        )
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            refused(bounds, rates, losses, what=what)


# --------------------------------------------------------------------------------------
# 4. What is wrong with this experiment?


start = _runs.start


@checker()
def check_flaws(flaws: Callable[[], set[str]]) -> None:
    """Exercise 4a: which of the statements A to G name a flaw of the experiment."""
    hints = {
        "A": "that is how it should be: with the same initial weights and the same noise, the "
        "difference is that of the runs.",
        "B": "how many steps does the scheduler make in 6 epochs, and how many lead up to the top?",
        "C": "put an LRTrace on the optimizer of a cyclical run and look at its momentum. What "
        "does the signature of CyclicLR say?",
        "D": "a cycle of two times 2 epochs, and a run of 6: where in a cycle does it stop?",
        "E": "the lowest of six noisy losses is lower than the last one, even if nothing is "
        "better. How many tries does each rival have?",
        "F": "that is how it should be: a rate that was lucky on some seeds has no advantage on "
        "others.",
        "G": "where does the 0.1 come from, and how many peaks did the cyclical runs get to try?",
    }
    letters(flaws, {"B", "C", "D", "E", "G"}, hints)
    passed("no cycle was made, and momentum, the best of six epochs and a tuned peak did the rest.")


@dataclass(frozen=True)
class _Case:
    peak: float
    seed: int
    epochs: int
    batches: int
    cycles: int
    momentum: float  # with which the optimizer is built

    @property
    def steps(self) -> int:
        return self.epochs * self.batches

    @property
    def half(self) -> int:
        return self.steps // (2 * self.cycles)

    def shape(self) -> Cyclical:
        return Cyclical(0.1, self.half)


@checker()
def check_run(run: Callable[[Start, float, int, int, int, int], float]) -> None:
    """Exercise 4b: ``run(start, peak, seed, epochs, batches, cycles)``, repaired."""
    for case in (
        _Case(0.5, 3, 6, 4, 2, 0.0),
        _Case(0.25, 8, 5, 6, 3, 0.5),
        _Case(2.0, 1, 1, 8, 1, 0),
    ):
        where = f"with epochs={case.epochs}, batches={case.batches}, cycles={case.cycles} "
        rest = (case.epochs, case.batches, case.cycles)
        done, answer = _runs.watch(run, case.peak, case.seed, *rest, momentum=case.momentum)
        done.expect_updates(case.steps, where)
        _expect_cycles(done, case, where)
        done.expect_momentum_left_alone("CyclicLR")
        done.expect_last_loss(answer, where)
    passed("whole cycles, stepped after every update, nothing else moved, judged at the end.")


def _expect_cycles(done: Watched, case: _Case, where: str) -> None:
    """The rates that were applied."""
    factors, steps, half = done.factors, case.steps, case.half
    longer = case.shape().sample(2 * steps)
    right = longer[:steps]
    if close(factors, right):
        return
    mistakes = [
        *_runs.wrong_factors(longer, steps, case.peak),
        (
            10 * right,
            "the peak became the bottom of the cycles, and their top lies ten times above it. "
            "base_lr is a tenth of the peak, and the peak is max_lr.",
        ),
        (
            1.1 - right,
            "the cycles begin at the top. They begin and end at the bottom.",
        ),
        (
            Cyclical(0.1, half, mode="triangular2").sample(steps),
            "each cycle is half as high as the one before. Every one is to reach the peak.",
        ),
    ]
    for wrong, hint in mistakes:
        if close(factors, wrong):
            raise Mistake(f"{where}{hint}")
    _runs.expect_changes_within_epochs(factors, case.epochs, case.batches, where)
    for other in range(1, 4 * steps):
        if other != half and close(factors, Cyclical(0.1, other).sample(steps)):
            raise Mistake(
                f"{where}your cycles have 2 * {other} steps, so {steps} updates see "
                f"{steps / (2 * other):.3g} of them, not {case.cycles}. Half a cycle has {half} "
                f"steps."
            )
    for least in (float(factors[0]), float(factors.min())):
        if 0 <= least < 1 and close(factors, Cyclical(least, half).sample(steps)):
            raise Mistake(
                f"{where}the bottom of your cycles is {least:.3g} times the peak. A tenth was "
                f"asked for."
            )
    k = _runs.first_apart(factors, right)
    given, wanted = apart(factors[k], right[k])
    raise Mistake(
        f"{where}update {k} used {given} times the peak, but cycles of {2 * half} updates have "
        f"{wanted} there."
    )


# --------------------------------------------------------------------------------------
# 5. Against the rate, and through a crash


@dataclass(frozen=True)
class _Training:
    kind: str
    peak: float
    momentum: float
    shape: Cyclical
    total: int
    stops: tuple[int, ...]  # after how many updates the job crashes


_TRAININGS = (
    _Training("SGD", 0.05, 0.9, Cyclical(0.1, 6, 4), 23, (8,)),
    _Training("AdamW", 0.02, 0.95, Cyclical(0.25, 3, 5), 21, (5, 13)),
)
_BETA2 = 0.99


class _Session:
    """One process: a model and an optimizer that are new, and what was done with them."""

    def __init__(self, training: _Training, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.model = nn.Linear(3, 2)
        with torch.no_grad():
            for parameter in self.model.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
        if training.kind == "SGD":
            self.optimizer: Optimizer = torch.optim.SGD(
                self.model.parameters(), lr=training.peak, momentum=training.momentum
            )
        else:
            self.optimizer = torch.optim.AdamW(
                self.model.parameters(), lr=training.peak, betas=(training.momentum, _BETA2)
            )
        self.optimizer.register_step_pre_hook(_runs.updates_limit(training.total).hook)
        self.trace = LRTrace(self.optimizer)
        self.batches: list[int] = []  # their numbers, in the order of the updates
        self.before: list[dict[str, torch.Tensor]] = []  # the weights before each update
        self.beta2: list[float] = []

    def update(self, t: int) -> None:
        """One update with batch number t."""
        t = operator.index(t)
        if t < 0:
            raise ValueError(f"update: batches are numbered from 0, got {t}")
        self.batches.append(t)
        self.before.append(self.weights())
        if "betas" in self.optimizer.param_groups[0]:
            self.beta2.append(float(self.optimizer.param_groups[0]["betas"][1]))
        generator = torch.Generator().manual_seed(t)
        x = torch.randn(8, 3, generator=generator)
        y = torch.randn(8, 2, generator=generator)
        self.optimizer.zero_grad()
        (self.model(x) - y).square().mean().backward()
        self.optimizer.step()

    def weights(self) -> dict[str, torch.Tensor]:
        return {name: value.clone() for name, value in self.model.state_dict().items()}


@checker()
def check_train(train: Callable[..., Any]) -> None:
    """Exercise 5: ``train(model, optimizer, update, shape, stop, saved)``, resumable."""
    whole = []
    for training in _TRAININGS:
        session, _ = _part(train, training, 0, training.total, None)
        _expect_whole(session, training)
        whole.append(session)
    for training, session in zip(_TRAININGS, whole, strict=True):
        saved, begin = None, 0
        for process, stop in enumerate((*training.stops, training.total)):
            part, answer = _part(train, training, process, stop, saved)
            if begin:
                _expect_continued(part, session, training, begin, stop)
            saved, begin = _runs.through_a_file(answer), stop
    passed(
        "the momentum moves against the rate, with SGD and with AdamW, and after a crash rates, "
        "momentum and weights are those of an uninterrupted run, bit for bit."
    )


def _part(
    train: Callable[..., Any], training: _Training, seed: int, stop: int, saved: Any
) -> tuple[_Session, Any]:
    """Let the learner's function go on until `stop`, in a new process."""
    session = _Session(training, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answer = call(
            train, session.model, session.optimizer, session.update, training.shape, stop, saved
        )
    return session, answer


def _expect_whole(session: _Session, training: _Training) -> None:
    """A run without a crash."""
    where = f"with {training.kind}, without a crash: "
    _runs.expect_batches(session, 0, training.total, where)
    steps, shape = training.total, training.shape
    rates = session.trace.lr[:, 0]
    planned = training.peak * shape.sample(2 * steps)
    if not same_rates(rates, planned[:steps]):
        for wrong, hint in _wrong_rates(planned, training):
            if same_rates(rates, wrong):
                raise Mistake(where + hint)
        k = next(k for k in range(steps) if not same_rates(rates[k], planned[k]))
        given, right = apart(rates[k], planned[k])
        raise Mistake(
            f"{where}update {k} used the rate {given}; the plan has {right}, the peak times "
            f"shape({k})."
        )
    momentum = session.trace.momentum[:, 0]
    mirrored = shape.momentum().sample(2 * steps)
    wanted = training.momentum * mirrored[:steps]
    if not close(momentum, wanted):
        for wrong, hint in _wrong_momenta(mirrored, training):
            if close(momentum, wrong):
                raise Mistake(where + hint)
        k = _runs.first_apart(momentum, wanted)
        given, right = apart(momentum[k], wanted[k])
        raise Mistake(
            f"{where}the rates are right, but update {k} used the momentum {given}, not "
            f"{right}. It is {training.momentum:g} where the rate is lowest, and 8/9 of "
            f"that at the peak."
        )
    if session.beta2 and not np.allclose(session.beta2, _BETA2, rtol=1e-6):
        raise Mistake(
            f"{where}beta2 was {_BETA2:g} when the optimizer was built, and your updates used "
            f"{min(session.beta2):g} to {max(session.beta2):g}. Only beta1, the first, is momentum."
        )


def _wrong_rates(planned: np.ndarray, training: _Training) -> Hints:
    """`planned` is the plan over twice the steps."""
    steps = training.total
    yield (
        np.full(steps, training.peak),
        "the rate never changed. Was the scheduler built for this optimizer, and stepped after "
        "every update?",
    )
    yield (
        np.full(steps, planned[0]),
        "the rate stayed at the bottom. Was the scheduler stepped after every update?",
    )
    yield planned[1 : steps + 1], "every rate came one step early. Call update(t) first."
    yield (
        np.append(planned[:1], planned[: steps - 1]),
        "every rate came one step late. The scheduler was not stepped after the first update.",
    )
    twice = "the plan went by at twice its speed. Step the scheduler once after every update."
    yield planned[:-1:2], twice
    yield planned[1::2], twice
    yield (
        planned[:steps] / training.peak,
        "the factors were applied as rates. The peak is the rate the optimizer was built with.",
    )


def _wrong_momenta(mirrored: np.ndarray, training: _Training) -> Hints:
    """`mirrored` is the plan of the momentum over twice the steps, as a factor."""
    steps, built = training.total, training.momentum
    factors = training.shape.sample(steps)
    height = np.array([training.shape.height(t) for t in range(steps)])
    if training.kind == "SGD":
        still = "the rates are right, but the momentum never changed."
    else:
        still = (
            "the rates are right, but beta1 never changed. Adam's momentum is the first of "
            "group['betas'], and a group['momentum'] means nothing to it."
        )
    yield np.full(steps, built), still
    yield np.full(steps, 0.9), still
    yield (
        built * (8 / 9 + height / 9),
        "the momentum moves with the rate. It should be lowest at the peak and highest where the "
        "rate is lowest.",
    )
    yield (
        built * factors,
        "the momentum follows the shape of the rate. It should move against it, between the value "
        "it was built with and 8/9 of that.",
    )
    yield (
        0.9 - 0.1 * height,
        f"the momentum goes from 0.9 to 0.8, torch's defaults. This optimizer was built with "
        f"{built:g}, and that is where it starts.",
    )
    yield (
        built - 0.1 * height,
        f"at the peak the momentum is {built - 0.1:g}, which is 0.1 less than it was built with. "
        f"8/9 of {built:g} was asked for.",
    )
    yield (
        built * (1 - 0.2 * height),
        "at the peak the momentum is 0.8 times the one it was built with. 8/9 was asked for.",
    )
    yield built * (1 - height), "at the peak the momentum is 0. 8/9 of it should be left."
    yield mirrored[:steps], "the momentum begins at 1. It begins at the one it was built with."
    yield (
        built * mirrored[1 : steps + 1],
        "the rates are right, but the momentum is one step ahead of them.",
    )
    yield (
        built * np.append(mirrored[:1], mirrored[: steps - 1]),
        "the rates are right, but the momentum is one step behind them.",
    )


def _expect_continued(
    part: _Session, whole: _Session, training: _Training, begin: int, stop: int
) -> None:
    """What came after a crash, against the learner's own run without one."""
    where = f"with {training.kind}, after a crash at {begin} updates: "
    _runs.expect_batches(part, begin, stop, where)
    first = {name: value for name, value in whole.before[begin].items()}
    if any(not torch.equal(part.before[0][name], first[name]) for name in first):
        raise Mistake(
            f"{where}the first update began from other weights. The new process has a new model: "
            f"save the weights, and load them."
        )
    n = stop - begin
    for name, plan in (
        ("rate", training.peak * training.shape.sample(2 * stop)),
        ("momentum", training.momentum * training.shape.momentum().sample(2 * stop)),
    ):
        key = "lr" if name == "rate" else "momentum"
        got = getattr(part.trace, key)[:, 0]
        wanted = getattr(whole.trace, key)[begin:stop, 0]
        if np.array_equal(got, wanted):
            continue
        if same_rates(got, wanted):
            raise Mistake(
                f"{where}the {name} differs from that of an uninterrupted run in the last digits. "
                f"Compute it from the step and the value at the start, not from the {name} before."
            )
        _runs.expect_resumed(got, plan, begin, n, name, where)
        k = int(np.argmax(got != wanted))
        given, right = apart(got[k], wanted[k])
        raise Mistake(
            f"{where}update {begin + k} used the {name} {given}; without the crash it was {right}."
        )
    ahead = whole.before[stop] if stop < len(whole.before) else whole.weights()
    now = part.weights()
    if any(not torch.equal(now[name], ahead[name]) for name in ahead):
        raise Mistake(
            f"{where}rates, momentum and the first weights are right, but the updates differ. What "
            f"else does {training.kind} remember of the updates before? It is in "
            f"optimizer.state_dict()."
        )
