"""Checkers of chapter 07."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lrlib.exercises import (
    Mistake,
    _runs,
    apart,
    ask_twice,
    call,
    checker,
    close,
    finite,
    letters,
    number,
    passed,
    refused,
    short,
)
from lrlib.exercises._runs import Hints, Start, Watched
from lrlib.lab.noisy_quadratic import NoisyQuadratic
from lrlib.one_cycle import OneCycle


def _same(answer: Any, right: Any) -> bool:
    """Equal but for rounding, that of a float32 included; infinity equals itself."""
    return np.shape(answer) == np.shape(right) and np.allclose(answer, right, rtol=1e-5, atol=1e-9)


def _give_hint(answer: Any, mistakes: Any, where: str = "") -> None:
    """Raise Mistake with the hint of the first mistake that gives this answer."""
    for wrong, hint in mistakes:
        if _same(answer, wrong):
            raise Mistake(where + hint)


# --------------------------------------------------------------------------------------
# 1. The factor


@checker("lrlib")
def check_factor(factor: Callable[[int, int, float, float, float], float]) -> None:
    """Exercise 1: ``factor(t, total_steps, pct_start, div_factor, final_div_factor)``."""
    for case in ((20, 0.25, 4, 10), (100, 0.3, 25, 1e4), (25, 0.3, 10, 100), (40, 0.75, 2, 1)):
        total, pct_start, div, final = case
        steps = np.arange(total)
        answer = ask_twice(factor, steps.tolist(), *case)
        right = OneCycle(total, pct_start, "cos", div, final).sample(total)
        if close(answer, right):
            continue
        where = (
            f"with total_steps={total}, pct_start={pct_start:g}, div_factor={div:g}, "
            f"final_div_factor={final:g}: "
        )
        for wrong, hint in _wrong_factors(steps, *case):
            if close(answer, wrong):
                raise Mistake(where + hint)
        if answer.max() > 0 and close(answer / answer.max(), right):
            raise Mistake(
                f"{where}the highest of your factors is {apart(answer.max(), 1)[0]}. A factor is "
                f"the rate "
                f"over its peak, so at the top it is 1."
            )
        k = _runs.first_apart(answer, right)
        given, wanted = apart(answer[k], right[k])
        raise Mistake(
            f"{where}step {k} has {given}, but the formula has {wanted}. The rise "
            f"ends at step {pct_start * total - 1:g}, the fall at step {total - 1}."
        )
    passed("up to 1 and down to the last factor, each on a half cosine that ends on its step.")


def _ease(pct: np.ndarray) -> np.ndarray:
    return (1 - np.cos(np.pi * pct)) / 2


def _quarter(pct: np.ndarray) -> np.ndarray:
    return 1 - np.cos(np.pi * pct / 2)


def _wrong_factors(t: np.ndarray, total: int, pct_start: float, div: float, final: float) -> Hints:
    """What the likely mistakes give at the steps `t`, and the hint to each."""
    up, last, start = pct_start * total - 1, total - 1, 1 / div
    bottom = start / final

    def shape(up=up, last=last, first=start, top=1.0, end=bottom, rise=_ease, fall=_ease):
        s, r = rise(t / up), fall((t - up) / (last - up))
        return np.where(t <= up, (1 - s) * first + s * top, (1 - r) * top + r * end)

    for peak, end in ((up + 1, last), (up + 1, total), (pct_start * last, last)):
        yield (
            shape(up=peak, last=end),
            f"torch puts the peak at step pct_start * total_steps - 1 = {up:g}, since the first of "
            f"the steps is step 0. Yours comes at step {peak:g}.",
        )
    for peak in (math.floor(up), math.ceil(up)):
        yield shape(up=peak), f"you round the step of the peak, {up:g}. It may lie between two."
    yield (
        shape(last=total),
        f"the fall ends one step too late. The last step of the run is {last}, and it has the last "
        f"factor.",
    )
    lines = "your phases are straight lines. A half cosine is wanted, (1 - cos(pi * p)) / 2."
    yield shape(rise=lambda p: p, fall=lambda p: p), lines
    yield (
        shape(rise=_quarter, fall=_quarter),
        "you use a quarter of a cosine. A phase goes from cos(0) = 1 to cos(pi) = -1.",
    )
    yield (
        shape(rise=lambda p: (1 - np.cos(p)) / 2, fall=lambda p: (1 - np.cos(p)) / 2),
        "pi is missing: a phase goes from cos(0) = 1 to cos(pi) = -1.",
    )
    turned = {"rise": lambda p: 1 - _ease(p), "fall": lambda p: 1 - _ease(p)}
    for phases in (("rise", "fall"), ("rise",), ("fall",)):
        yield (
            shape(**{phase: turned[phase] for phase in phases}),
            f"the {' and the '.join(phases)} should begin where you let it end: (1 + cos(pi * p)) "
            f"/ 2 goes from 1 to 0, and s from 0 to 1.",
        )
    if final != 1:
        yield (
            shape(end=1 / final),
            "the run should end at 1 / (div_factor * final_div_factor): final_div_factor divides "
            "the first factor, not the peak.",
        )
        yield shape(end=start), "the fall ends where the rise began. final_div_factor is missing."
    yield shape(end=0.0), "the fall ends at 0, not at 1 / (div_factor * final_div_factor)."
    yield shape(first=0.0), "the rise begins at 0. It begins at 1 / div_factor."
    yield shape(first=bottom), "the rise begins where the run ends. It begins at 1 / div_factor."
    for done in (t / last, (t - up) / last, (t - up) / total):
        yield (
            np.where(t <= up, shape(), 1 - _ease(done) + _ease(done) * bottom),
            f"the fall begins at the peak, step {up:g}, and ends at step {last}. Which part of it "
            f"is done at step t?",
        )


# --------------------------------------------------------------------------------------
# 2. Momentum as a shape


@checker()
def check_steady(steady: Callable[[OneCycle, float, float, float], np.ndarray]) -> None:
    """Exercise 2a: ``steady(shape, high, low, momentum)``, the same effective rate."""
    for shape, high, low, momentum in (
        (OneCycle(40, 0.25), 0.95, 0.85, 0.9),
        (OneCycle(30, 0.5, "linear", 4, 10), 0.9, 0.5, 0.0),
        (OneCycle(40, three_phase=True), 0.99, 0.8, 0.95),
    ):
        where = f"for {short(shape)}, high={high:g}, low={low:g}, momentum={momentum:g}: "
        no_factor = "What shape.momentum() gives is a factor on the highest momentum."
        try:
            answer = call(steady, shape, high, low, momentum)
        except Mistake as error:
            if isinstance(error.__cause__, ZeroDivisionError):
                raise Mistake(f"{error}. Where is your momentum 1? {no_factor}") from error
            raise
        try:
            given = np.array([float(value) for value in answer])
        except (TypeError, ValueError, RuntimeError):
            raise Mistake(f"{where}return an array of factors, not {short(answer)}.") from None
        steps = shape.total_steps
        if given.shape != (steps,):
            raise Mistake(
                f"{where}return one factor for each of the {steps} steps, not {given.size}."
            )
        if not np.isfinite(given).all():
            raise Mistake(f"{where}some of your factors are not finite. {no_factor}")
        factors = shape.sample(steps)
        height = np.array([shape.height(t) for t in range(steps)])
        mu = high - (high - low) * height
        right = factors * (1 - momentum) / (1 - mu)
        if _same(given, right):
            continue
        _give_hint(given, _wrong_steady(factors, height, high, low, momentum), where)
        k = next(k for k in range(steps) if not _same(given[k], right[k]))
        said, wanted = apart(given[k], right[k])
        raise Mistake(
            f"{where}step {k} has {said}. There the rate has the factor {factors[k]:.4g} and the "
            f"momentum is {mu[k]:.4g}; with the momentum {momentum:g} the factor {wanted} has the "
            f"same effective rate."
        )
    passed("the same effective rate at every step, with a momentum that stays where it is.")


def _wrong_steady(
    factors: np.ndarray, height: np.ndarray, high: float, low: float, momentum: float
) -> Hints:
    mu, keep = high - (high - low) * height, 1 - momentum
    right = factors * keep / (1 - mu)
    with_rate = low + (high - low) * height
    yield (
        factors * keep / (1 - with_rate),
        "your momentum moves with the rate. It is high at the start and the end, and low at the "
        "peak.",
    )
    for of_rate in (factors, (factors - factors[0]) / (1 - factors[0])):
        yield (
            factors * keep / (1 - (high - (high - low) * of_rate)),
            "your momentum follows the factor. It follows the height, shape.height(t), which is 0 "
            "at the start and at the end, where the factors differ.",
        )
    yield (
        factors / (1 - mu),
        "that is the effective rate. With a fixed momentum, which rate has this effective rate?",
    )
    yield (
        right / right.max(),
        "you scaled the factors to a peak of 1. They belong to the peak of the one-cycle, and with "
        "the same peak they should have the same effective rate.",
    )
    yield (
        factors * (1 - mu) / keep,
        "it is the wrong way round: the higher the momentum, the larger the effective rate.",
    )
    yield factors * (1 - mu), "you multiply by 1 - momentum where you should divide by it."
    yield (
        factors * mu / (momentum or 1),
        "the effective rate is the rate over 1 - momentum, not times the momentum.",
    )
    yield factors, "you return the factors as they are, and no momentum has moved."
    yield mu, "those are the momenta. Which rates do the same without them?"
    yield factors * keep / (1 - low), "you took the momentum of the peak for every step."
    yield factors * keep / (1 - high), "you took the highest momentum for every step."
    yield height * keep / (1 - mu), "you took the height for the rate. The rate is shape(t)."


@checker()
def check_least_div_factor(least_div_factor: Callable[[float, float], float]) -> None:
    """Exercise 2b: ``least_div_factor(high, low)``, below which the effective rate never rises."""
    for high, low in ((0.95, 0.85), (0.9, 0.5), (0.99, 0.9)):
        answer = finite(least_div_factor, high, low)
        right = (1 - low) / (1 - high)
        if _same(answer, right):
            continue
        where = f"for high={high:g}, low={low:g} you returned {answer:.4g}: "
        mistakes = [
            (1 / right, "that is the other way round; a div_factor is at least 1."),
            (high / low, "the effective rate has 1 - momentum in it, not the momentum."),
            (1 / (1 - high), "that is the effective rate at momentum high. At the peak it is low."),
            (1 / (1 - low), "that is the effective rate at the peak. Where does the run start?"),
            (right - 1, "what are the effective rates at the first step and at the peak?"),
            (25.0, "that is torch's default. Which one makes start and peak equally high?"),
        ]
        _give_hint(answer, mistakes, where)
        ratio = answer / right
        raise Mistake(
            f"{where}with this div_factor the effective rate at the peak is {apart(ratio, 1)[0]} "
            f"times that "
            f"of the first step. From which one on is it above 1?"
        )
    passed("with a smaller div_factor the run starts at its highest effective rate.")


def best_loss(factors: np.ndarray, momenta: np.ndarray) -> tuple[float, float]:
    """The best peak of the `factors`, and its loss on the noisy quadratic with batches of 16.

    `factors` and `momenta` have shape (steps,), one for every update. Exact: an expectation, by
    the recursion of `NoisyQuadratic.loss`, with a momentum that may change.
    """
    quadratic = NoisyQuadratic(batch_size=16)
    h = np.array(quadratic.curvature)
    noise = h / quadratic.batch_size
    peaks = np.geomspace(1e-3, 4, 241)
    rates = peaks[:, None] * np.asarray(factors, dtype=float)
    a = np.ones((peaks.size, h.size))
    b, v = np.zeros_like(a), np.zeros_like(a)
    with np.errstate(over="ignore", invalid="ignore"):
        for eta, mu in zip(rates.T[:, :, None], momenta, strict=True):
            v = mu**2 * v + 2 * mu * h * b + h**2 * a + noise
            s = mu * b + h * a
            a, b = a - 2 * eta * s + eta**2 * v, s - eta * v
        losses = a @ h / 2
    losses[~np.isfinite(losses)] = math.inf
    i = int(losses.argmin())
    return float(peaks[i]), float(losses[i])


# --------------------------------------------------------------------------------------
# 3. A speed-up


@checker()
def check_updates_needed(
    updates_needed: Callable[[np.ndarray, np.ndarray, float], float],
) -> None:
    """Exercise 3a: ``updates_needed(budgets, errors, target)``, read off one curve."""
    for budgets, errors, target in (
        ((50, 100, 200, 400, 800), (0.9, 0.7, 0.5, 0.3, 0.2), 0.4),
        ((30, 100, 1000), (0.8, 0.6, 0.1), 0.35),
        ((50, 100, 200, 400), (0.9, 0.7, 0.5, 0.3), 0.75),
        ((50, 100, 200, 400), (0.9, 0.7, 0.5, 0.3), 0.5),
        ((50, 100, 200, 400, 800), (0.9, 0.4, 0.6, 0.45, 0.2), 0.5),
    ):
        answer = number(updates_needed, np.array(budgets), np.array(errors), target)
        right = _crossing(budgets, errors, target)
        if _same(answer, right):
            continue
        given, wanted = apart(answer, right, 5)
        where = (
            f"for budgets={list(budgets)}, errors={list(errors)}, target={target:g} you returned "
            f"{given}: "
        )
        k = int(np.argmax(np.array(errors) <= target))
        x = [math.log(n) for n in budgets]
        backwards = float(np.exp(np.interp(target, errors, x)))
        mistakes = [
            (math.log(right), "that is the logarithm of the number of updates."),
            (math.log2(right), "that is the logarithm of the number of updates."),
            (math.log10(right), "that is the logarithm of the number of updates."),
            (
                _crossing(budgets, errors, target, scale=float),
                "you drew the line against the number of updates. Draw it against its logarithm.",
            ),
            (
                _crossing(budgets, errors, target, level=math.log),
                "you took the logarithm of the errors too. The line is straight in the error.",
            ),
            (
                _crossing(budgets[::-1], errors[::-1], target, below=False),
                "the curve comes down to the target earlier, rises again and comes down once more. "
                "The first time counts.",
            ),
            (budgets[k], "that is the first budget that reaches it. Where between the two?"),
            (budgets[k - 1], "that is the last budget before the target is reached."),
            (k, "that is a position in the array."),
            (
                backwards,
                "np.interp needs its second argument to rise, and errors fall. It says nothing if "
                "they do not.",
            ),
        ]
        _give_hint(answer, mistakes, where)
        raise Mistake(
            f"{where}the error is {errors[k - 1]:g} after {budgets[k - 1]} updates and "
            f"{errors[k]:g} after {budgets[k]}; on a straight line in the logarithm of the updates "
            f"it comes to {target:g} after {wanted}."
        )
    _expect_never(updates_needed)
    refused(
        updates_needed,
        *(np.array([50, 100, 200]), np.array([0.4, 0.3, 0.2]), 0.5),
        what="where the shortest budget is below the target already, the answer is less than 50, "
        "nobody knows how much",
    )
    passed("the first crossing, on a line in log updates, and no number where there is none.")


def _crossing(budgets, errors, target, scale=math.log, level=float, below=True) -> float:
    """Where the errors first reach the target, from above (or, read backwards, from below)."""
    reached = [error <= target if below else error > target for error in errors]
    if not any(reached):
        return math.inf
    k = reached.index(True)
    if k == 0:
        return float(budgets[0])
    y0, y1, y = level(errors[k - 1]), level(errors[k]), level(target)
    x0, x1 = scale(budgets[k - 1]), scale(budgets[k])
    x = x0 + (x1 - x0) * (y0 - y) / (y0 - y1)
    return math.exp(x) if scale is math.log else x


def _expect_never(updates_needed: Callable[..., Any]) -> None:
    budgets = np.array([50, 100, 200])
    what = "where no budget comes down to the target, return math.inf"
    try:
        answer = number(updates_needed, budgets, np.array([0.9, 0.8, 0.7]), 0.5)
    except Mistake as error:
        raise Mistake(f"{what}: {error}") from error
    if answer == math.inf:
        return
    hint = f"{what}, not {answer:g}."
    if answer == 200:
        hint += " The longest budget was not enough."
    elif math.isnan(answer):
        hint += " The number is not unknown, it is larger than every budget."
    elif answer > 200:
        hint += " Beyond the longest budget nothing was measured."
    elif answer == 50:
        hint += " (np.argmax of an array that is False everywhere is 0.)"
    raise Mistake(hint)


_BUDGETS = np.array([50, 100, 200, 400, 800, 1600])
_TARGET = 0.3
# What nine seeds need to reach the target, and how many times as much they need with the rival.
_OURS = np.array([310, 95, 520, 130, 240, 76, 160, 410, 200])
_TIMES = np.array([1.5, 3.0, 0.8, 4.0, 2.2, 9.0, 2.7, 1.2, 6.0])


def _table(needed: np.ndarray) -> np.ndarray:
    """Errors, shape (seeds, budgets), that are straight in log updates and reach the target."""
    slopes = 0.02 + 0.004 * np.arange(9)
    return _TARGET - slopes[:, None] * np.log2(_BUDGETS / needed[:, None])


@checker()
def check_speed_up(speed_up: Callable[..., tuple[float, float, float]]) -> None:
    """Exercise 3b: ``speed_up(budgets, ours, rival, target)``, paired, with an interval."""
    never = np.full(9, 1e4)
    slow, slowest = np.arange(9) % 3 == 1, np.arange(9) % 3 != 1
    for ours, rival, what in (
        (_OURS, _OURS * _TIMES, ""),
        (_OURS, np.where(slow, never, _OURS * _TIMES), "where three rivals never get there, "),
        (np.where(_OURS == 95, never, _OURS), _OURS * _TIMES, "where one of ours never does, "),
        (_OURS, np.where(slowest, never, _OURS * _TIMES), "where six rivals never get there, "),
    ):
        tables = _table(ours), _table(rival)
        try:
            answer = call(speed_up, _BUDGETS.copy(), *(table.copy() for table in tables), _TARGET)
        except Mistake as error:
            if isinstance(error.__cause__, ValueError):
                raise Mistake(
                    f"{what}your function raised ValueError: {error.__cause__}. On every seed here "
                    f"one of the two gets there, and infinity and 0 are ratios like others."
                ) from error
            raise
        try:
            given = np.array([float(value) for value in answer])
        except (TypeError, ValueError, RuntimeError):
            given = np.array([])
        if given.shape != (3,):
            raise Mistake(
                f"{what}you returned {short(answer)}: return three numbers, the second lowest "
                f"ratio, the median and the second highest."
            )
        most = _BUDGETS[-1]
        needed = [np.where(n <= most, n, math.inf) for n in (ours, rival)]
        ratios = needed[1] / needed[0]
        if _same(given, _summary(ratios)):
            continue
        where = f"{what}you returned ({', '.join(f'{value:.4g}' for value in given)}): "
        with np.errstate(all="ignore"):  # infinity over infinity
            _give_hint(given, _wrong_speed_ups(*needed, *tables), where)
        shown = ", ".join(f"{value:.4g}" for value in sorted(ratios))
        raise Mistake(f"{where}the ratios, rival over ours, are {shown}, from low to high.")
    both = np.where(slow, never, _OURS)
    refused(
        speed_up,
        *(_BUDGETS.copy(), _table(both), _table(both), _TARGET),
        what="on some seeds neither of the two reaches the target, and inf / inf is no ratio",
    )
    passed("seed by seed, the median and an interval, and no seed was left out.")


def _summary(ratios: np.ndarray) -> tuple[float, float, float]:
    ordered = np.sort(ratios)
    return float(ordered[1]), float(np.median(ordered)), float(ordered[-2])


def _wrong_speed_ups(
    ours: np.ndarray, rival: np.ndarray, our_table: np.ndarray, rival_table: np.ndarray
) -> Hints:
    ratios = rival / ours
    inverse, logs = ours / rival, np.log(ratios)
    low, middle, high = _summary(ratios)
    ordered = np.sort(ratios)
    yield (
        _summary(inverse),
        "those are ours over the rival's. A speed-up of 2 means that the rival needs twice as many "
        "updates.",
    )
    paired = (
        "the two rows of one seed belong together: same start, same noise. Take the ratio seed by "
        "seed, and sort the ratios."
    )
    yield _summary(np.sort(rival) / np.sort(ours)), paired
    yield (low, np.median(rival) / np.median(ours), high), f"your middle is no median: {paired}"
    curves = [_crossing(_BUDGETS, table.mean(0), _TARGET) for table in (our_table, rival_table)]
    yield (low, curves[1] / curves[0], high), f"you averaged the curves: {paired}"
    means = [ratios.mean(), math.exp(logs.mean())] if np.isfinite(logs).all() else [math.inf]
    for mean in means:
        yield (low, mean, high), "the middle is the median, which no single seed can pull away."
    yield (
        (ordered[0], middle, ordered[-1]),
        "your interval goes from the lowest to the highest, and so follows the oddest seed. The "
        "second lowest and the second highest are asked for.",
    )
    yield (ordered[2], middle, ordered[-3]), "those are the third lowest and the third highest."
    yield (ratios[1], middle, ratios[-2]), "sort the ratios before you take the second."
    yield (middle, low, high), "the order is low, middle, high."
    yield (high, middle, low), "the order is low, middle, high."
    for kept in (ratios[np.isfinite(ratios)], ratios[np.isfinite(ratios) & (ratios > 0)]):
        if 2 < kept.size < 9:
            yield (
                _summary(kept),
                "you left out the seeds on which one of the two does not get there. It is the "
                "slowest of all on them: infinity and 0 have their place in the order.",
            )
    capped = [np.where(np.isinf(n), _BUDGETS[-1], n) for n in (ours, rival)]
    yield (
        _summary(capped[1] / capped[0]),
        "you took the longest budget where the target was not reached. It was not enough.",
    )
    if np.isfinite(ratios).all():
        for share in (2.5, 5.0, 10.0, 25.0):
            low, high = np.percentile(ratios, [share, 100 - share])
            yield (
                (low, middle, high),
                "percentiles of the ratios say where seeds lie, not where the median lies. The "
                "second lowest and the second highest are asked for.",
            )


# --------------------------------------------------------------------------------------
# 4. What is wrong with this experiment?


start = _runs.start


@checker()
def check_flaws(flaws: Callable[[], set[str]]) -> None:
    """Exercise 4a: which of the statements A to H name a flaw of the experiment."""
    hints = {
        "A": "compare the seven losses that were printed for the seven peaks. What does OneCycleLR "
        "do with the rate that the optimizer was built with?",
        "B": "epochs * batches is the number of updates of the run, and in total_steps torch wants "
        "that. What is wrong is how often it is stepped.",
        "C": "how many steps does the scheduler make in 4 epochs, and how many lead up to the top?",
        "D": "put an LRTrace on the optimizer of a one-cycle run and look at its momentum. What "
        "does the signature of OneCycleLR say, and what does it make of the effective rate?",
        "E": "that is how it should be: with the same initial weights and the same noise, the "
        "difference is that of the runs.",
        "F": "after how many of its 1,600 updates did the fixed rate reach the loss that one-cycle "
        "ends at? Could it have been sooner with another rate, or with one that comes down?",
        "G": "where does the 0.02 come from? One-cycle got to try seven peaks.",
        "H": "how far apart are two seeds of the same run? One of each cannot say.",
    }
    letters(flaws, {"A", "C", "D", "F", "G", "H"}, hints)
    passed("no cycle, no peak, a momentum on one side, and a rival that was never asked how fast.")


@dataclass(frozen=True)
class _Case:
    peak: float
    seed: int
    epochs: int
    batches: int
    momentum: float  # with which the optimizer is built

    @property
    def steps(self) -> int:
        return self.epochs * self.batches


@checker()
def check_run(run: Callable[[Start, float, int, int, int], float]) -> None:
    """Exercise 4b: ``run(start, peak, seed, epochs, batches)``, repaired."""
    for case in (
        _Case(0.5, 3, 5, 8, 0.0),
        _Case(2.0, 8, 3, 10, 0.5),
        _Case(0.1, 1, 1, 30, 0.0),
    ):
        where = f"with peak={case.peak:g}, epochs={case.epochs}, batches={case.batches}: "
        rest = (case.epochs, case.batches)
        try:
            done, answer = _runs.watch(run, case.peak, case.seed, *rest, momentum=case.momentum)
        except Mistake as error:
            if isinstance(error.__cause__, ValueError) and "Tried to step" in str(error):
                raise Mistake(
                    f"{where}{error} That is OneCycleLR's: its plan is shorter than the run. "
                    f"total_steps counts updates, {case.steps} here."
                ) from error
            raise
        done.expect_updates(case.steps, where)
        _expect_one_cycle(done, case, where)
        done.expect_momentum_left_alone("OneCycleLR")
        done.expect_last_loss(answer, where)
    passed("one cycle that ends with the run, at the peak that was asked for, and nothing else.")


def _expect_one_cycle(done: Watched, case: _Case, where: str) -> None:
    """The rates that were applied."""
    factors, steps = done.factors, case.steps
    longer = OneCycle(steps).sample(2 * steps)
    right = longer[:steps]
    if close(factors, right):
        return
    for wrong, hint in (*_wrong_peaks(right, case), *_runs.wrong_factors(longer, steps, case.peak)):
        if close(factors, wrong):
            raise Mistake(where + hint)
    _runs.expect_changes_within_epochs(factors, case.epochs, case.batches, where)
    for total in range(2, 4 * steps + 1):
        if total == steps:
            continue
        plan = OneCycle(total)
        if close(factors, plan.sample(steps)):
            ends = f"and would end after {total}" if total > steps else "and ends too soon"
            raise Mistake(
                f"{where}the run has {steps} updates, {ends}: your one-cycle has total_steps="
                f"{total}, and the last update used {factors[-1]:.3g} times the peak."
            )
    if factors[-1] > factors[-2] and close(
        factors[: steps - 1], OneCycle(steps - 1).sample(steps - 1)
    ):
        raise Mistake(
            f"{where}your last update used {factors[-1]:.3g} times the peak, after one with "
            f"{factors[-2]:.3g}: OneCycleLR rebounds past its end. Its plan is a step too short."
        )
    k = _runs.first_apart(factors, right)
    given, wanted = apart(factors[k], right[k])
    raise Mistake(
        f"{where}update {k} used {given} times the peak, but a one-cycle of {steps} updates with "
        f"torch's defaults has {wanted} there."
    )


def _wrong_peaks(right: np.ndarray, case: _Case) -> Hints:
    yield (
        right / case.peak,
        "the highest rate is 1, whatever the peak. The peak of this run is the one in the "
        "arguments; for OneCycleLR it is max_lr.",
    )
    yield right / 25, "the peak is divided by 25 twice: max_lr is the peak, not the first rate."
    yield 25 * right, "the run begins at the peak and rises to 25 times that."
    steps = len(right)
    options = {
        "straight lines": {"anneal_strategy": "linear"},
        "three phases": {"three_phase": True},
    }
    for what, option in options.items():
        yield (
            OneCycle(steps, **option).sample(steps),
            f"your run has {what}. torch's defaults were asked for.",
        )


# --------------------------------------------------------------------------------------
# 5. When does a rise pay?


@checker()
def check_price(price: Callable[[float, float, float, float], float]) -> None:
    """Exercise 5a: ``price(a, b, h, c)``, the loss of the order a, b above that of b, a."""
    for a, b, h, c in ((0.1, 0.4, 0.4, 3.0), (0.3, 0.5, 0.25, 1.0), (0.5, 0.2, 1.0, 2.0)):
        answer = finite(price, a, b, h, c)
        right = a * b * (b - a) * h**2 * c
        if math.isclose(answer, right, rel_tol=1e-4):  # a difference, in float32
            continue
        where = f"for a={a:g}, b={b:g}, h={h:g}, c={c:g} you returned {answer:.5g}: "
        mistakes = [
            (-right, "look at the sign. The price of a first and b second is what it costs more."),
            (
                right * 2 / h,
                "that is the difference in E θ². The loss is h/2 times that.",
            ),
            (right / h, "one factor h is missing. Is your loss ½ θ²? It is ½ h θ²."),
            (right * 2, "a factor of 2 is wrong. The loss is ½ h θ², with the ½."),
            (right * c, "c is the variance of the noise, not its standard deviation."),
            (
                h / 2 * c * (b**2 - a**2),
                "you have the noise of the second update only. That of the first is still there, "
                "times (1 - b h)² or (1 - a h)².",
            ),
            (
                h / 2 * c * (a**2 * (1 - b * h) ** 2 - b**2 * (1 - a * h) ** 2),
                "you have the noise of the first update only. The second adds its own.",
            ),
            (0.0, "the start shrinks by the same factor in both orders, but the noise does not."),
        ]
        _give_hint(answer, mistakes, where)
        raise Mistake(
            f"{where}with e = E θ², an update at the rate η turns e into (1 - η h)² e + η² c. Do "
            f"it twice in both orders, and subtract."
        )
    if abs(finite(price, 0.3, 0.3, 1.0, 1.0)) > 1e-6:
        raise Mistake("two equal rates have no order, so the price is 0.")
    passed("the lower rate first costs a b (b - a) h² c, wherever the run begins.")


_STEPS, _NOISE, _PAYS = 300, 0.1, 2.0


@checker()
def check_landscape(landscape: Callable[[Tensor], Tensor]) -> None:
    """Exercise 5b: ``landscape(x)``, a loss on which the rise pays twofold or more."""
    grid = torch.linspace(-3, 3, 601, dtype=torch.float64)
    values = _loss(landscape, grid)
    if not torch.isfinite(values).all() or values.min() < 0:
        raise Mistake(
            f"between -3 and 3 your loss goes from {float(values.min()):.3g} to "
            f"{float(values.max()):.3g}. It should be finite there, and nowhere below 0."
        )
    fall_peak, fall, _ = _best_run(landscape, 0.0)
    rise_peak, rise, end = _best_run(landscape, 0.3)
    if not math.isfinite(min(rise, fall)):
        raise Mistake("every run diverged, even with a peak of 1e-4. Make your loss less steep.")
    gain = fall / rise if rise > 0 else math.inf if fall > 0 else 1.0
    if gain >= _PAYS:
        passed(
            f"with the rise the loss is {rise:.3g} (peak {rise_peak:.3g}), without it {fall:.3g} "
            f"(peak {fall_peak:.3g})."
        )
        return
    found = (
        f"with the rise the loss is {rise:.3g}, without it {fall:.3g}, each at its best peak "
        f"({rise_peak:.3g} and {fall_peak:.3g}). "
    )
    first, last = _curvature(landscape, 1.5), _curvature(landscape, end)
    if rise == fall:
        hint = "The two are the same. Does a weight move at all, and does it not simply arrive?"
    elif max(first, last) <= 1.01 * min(first, last):
        hint = (
            f"Your curvature is {first:.3g} at the start and {last:.3g} at the end: on a quadratic "
            f"the price of every rise is above 0. It has to change on the way."
        )
    elif first <= last:
        hint = (
            f"Your curvature is {first:.3g} where the runs begin and {last:.3g} where they end. "
            f"Where should it be high for a small rate to be needed at first?"
        )
    else:
        hint = (
            f"Your curvature is {first:.3g} where the runs begin and {last:.3g} where they end. "
            f"That is the right order, but not steep enough at the start: see what one update at "
            f"the best peak of the rise does there."
        )
    raise Mistake(found + hint)


def _loss(landscape: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    answer = call(landscape, x)
    if not isinstance(answer, Tensor) or answer.shape != x.shape:
        shape = tuple(answer.shape) if isinstance(answer, Tensor) else short(answer)
        raise Mistake(
            f"landscape should return a tensor with one loss for each entry of x, of shape "
            f"{tuple(x.shape)}, not {shape}. Use torch's functions, and sum nothing."
        )
    return answer.double()


def _gradient(landscape: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        total = _loss(landscape, x).sum()
        try:
            return torch.autograd.grad(total, x)[0]
        except RuntimeError as error:
            raise Mistake(
                f"your loss has no gradient ({short(str(error))}). Compute it from x by torch's "
                f"functions, without .item(), .detach() or numpy."
            ) from error


def _curvature(landscape: Callable[[Tensor], Tensor], x: float, step: float = 1e-3) -> float:
    """The mean of |loss''| near x, from differences: a kink has none at a point."""
    near = torch.linspace(x - 0.5, x + 0.5, 101, dtype=torch.float64)
    slopes = [_gradient(landscape, near + shift) for shift in (-step, step)]
    return float(((slopes[1] - slopes[0]) / (2 * step)).abs().mean())


def _best_run(
    landscape: Callable[[Tensor], Tensor], pct_start: float, runs: int = 64
) -> tuple[float, float, float]:
    """The best peak, its mean final loss over 64 runs, and where these end in the median."""
    factors = OneCycle(_STEPS, pct_start).sample(_STEPS)
    peaks = torch.tensor(np.geomspace(1e-4, 10, 81))[:, None]
    generator = torch.Generator().manual_seed(0)
    x = 1 + torch.rand(runs, generator=generator, dtype=torch.float64).expand(len(peaks), runs)
    for factor in factors.tolist():
        noise = _NOISE * torch.randn(runs, generator=generator, dtype=torch.float64)
        x = x - peaks * factor * (_gradient(landscape, x) + noise)
    losses = _loss(landscape, x.detach()).detach().mean(1)
    losses = torch.where(torch.isfinite(losses) & (losses >= 0), losses, math.inf)
    i = int(losses.argmin())
    return float(peaks[i]), float(losses[i]), float(x[i].median())
