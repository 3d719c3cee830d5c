"""Checkers of chapter 06."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from torch.optim.lr_scheduler import LambdaLR

from lrlib.cyclical import Cyclical
from lrlib.exercises import (
    Ask,
    Mistake,
    apart,
    call,
    checker,
    exercise,
    flaws,
    over,
    passed,
    short,
    to_whole,
)
from lrlib.exercises.cyclical_range import check_bounds, range_test
from lrlib.exercises.noisy_runs import BEFORE, DIFFERS, LOWEST, MEAN, OF_A_NOISY_RUN, one_run, start
from lrlib.lab.noisy_quadratic import NoisyQuadratic

__all__ = ["check_bounds", "range_test", "start"]  # exercise 3, and the run of exercise 4

# --- 1. The triangle of a step


def _height(T_cur: float, up: int, down: int) -> float:
    return T_cur / up if T_cur <= up else (up + down - T_cur) / down


def _factor(t: int, min_factor: float, step_size_up: int, step_size_down: int) -> float:
    T_cur = t % (step_size_up + step_size_down)
    return min_factor + (1 - min_factor) * _height(T_cur, step_size_up, step_size_down)


def _of(height):
    """A factor with its own ``height(h, T_cur, up, down)``, where h is right."""
    return lambda t, m, u, d: m + (1 - m) * height(_factor(t, 0, u, d), t % (u + d), u, d)


_NO_TRIANGLES = (
    ("your cycles begin at the top. They begin at min_factor.", _of(lambda h, T, u, d: 1 - h)),
    ("your factor falls to 0. Where is min_factor?", lambda t, m, u, d: _factor(t, 0, u, d)),
    (
        "you cut the triangle off at min_factor, which it should only touch: the way up is "
        "1 - min_factor.",
        lambda t, m, u, d: max(m, _factor(t, 0, u, d)),
    ),
    (
        "you add min_factor to a triangle that is 1 high: its top lies above 1. The way up from "
        "min_factor to 1 is 1 - min_factor.",
        lambda t, m, u, d: m + _factor(t, 0, u, d),
    ),
    (
        "at the top you have min_factor. The top is 1; min_factor is the bottom.",
        lambda t, m, u, d: m * _factor(t, 0, u, d),
    ),
    (
        "one of your two lines has its bottom at 0. Both have it at min_factor.",
        lambda t, m, u, d: _factor(t, m if t % (u + d) <= u else 0, u, d),
        lambda t, m, u, d: _factor(t, 0 if t % (u + d) <= u else m, u, d),
    ),
    (
        "one of your two lines has another height than 1 - min_factor.",
        lambda t, m, u, d: (lambda T: m + T / u if T < u else _factor(T, m, u, d))(t % (u + d)),
        lambda t, m, u, d: (lambda T: _factor(T, m, u, d) if T < u else 1 - m * (T - u) / d)(
            t % (u + d)
        ),
    ),
    ("your fall takes as long as the rise.", lambda t, m, u, d: _factor(t, m, u, u)),
    ("your rise takes step_size_down steps.", lambda t, m, u, d: _factor(t, m, d, d)),
    ("you exchange step_size_up and step_size_down.", lambda t, m, u, d: _factor(t, m, d, u)),
    (
        "the top comes half-way through the cycle. It comes after {step_size_up} steps.",
        _of(lambda h, T, u, d: 1 - abs(2 * T / (u + d) - 1)),
    ),
    (
        "the rate falls as steeply as it rose. The fall has its own length, step_size_down.",
        _of(lambda h, T, u, d: 1 - abs(T - u) / u),
        _of(lambda h, T, u, d: max(0, 1 - abs(T - u) / u)),
    ),
    (
        "at the top your factor jumps. The steps of the fall count from there.",
        _of(lambda h, T, u, d: h if T <= u else 1 - T / d),
        _of(lambda h, T, u, d: h if T < u else 1 - T / d),
        _of(lambda h, T, u, d: h if T <= u else max(0, 1 - T / d)),
    ),
    (
        "you divide by the length of the whole cycle. Up and down have their own.",
        _of(lambda h, T, u, d: h if T <= u else 1 - (T - u) / (u + d)),
        _of(lambda h, T, u, d: h if T <= u else (u + d - T) / (u + d)),
        _of(lambda h, T, u, d: (T if T <= u else u + d - T) / (u + d)),
    ),
    (
        "after the top your factor is at the bottom at once. How many steps are left until the end "
        "of the cycle?",
        _of(lambda h, T, u, d: h if T <= u else (T - u) / d),
        _of(lambda h, T, u, d: h if T < u else (T - u) / d),
        _of(lambda h, T, u, d: h if T <= u else 0),
    ),
    (
        "your rate only rises, and then falls in one step.",
        _of(lambda h, T, u, d: T / (u + d)),
        lambda t, m, u, d: m + (1 - m) * (t % u / u),
    ),
    (
        "you have one cycle only. After step_size_up + step_size_down steps the next begins.",
        lambda t, m, u, d: m + (1 - m) * _height(t, u, d),
        lambda t, m, u, d: m + (1 - m) * max(0, _height(t, u, d)),
    ),
    ("you stay at the top. Where is the fall?", lambda t, m, u, d: m + (1 - m) * min(1, t / u)),
    (
        "your cycle is a step too long or too short: a bottom, or a top, counts twice or is "
        "missing. It has step_size_up + step_size_down steps.",
        lambda t, m, u, d: m + (1 - m) * max(0, _height(t % (u + d + 1), u, d)),
        lambda t, m, u, d: _factor(t, m, u, d + 1),
        lambda t, m, u, d: _factor(t, m, u + 1, d),
        lambda t, m, u, d: _factor(t, m, u, max(d - 1, 1)),
        lambda t, m, u, d: _factor(t, m, max(u - 1, 1), d),
    ),
    (
        "the top comes twice. np.linspace(a, b, n) has both ends, and so n - 1 steps.",
        lambda t, m, u, d: np.append(np.linspace(m, 1, u), np.linspace(1, m, d))[t % (u + d)],
    ),
    (
        "your factor jumps between two values: // drops the fraction. Divide with /.",
        _of(lambda h, T, u, d: T // u if T <= u else (u + d - T) // d),
    ),
    (
        "every cycle is half as high as the one before. That is triangular2; here all reach 1.",
        lambda t, m, u, d: Cyclical(m, u, d, "triangular2")(t),
    ),
    (
        "up and down are half cosines. Straight lines are wanted.",
        _of(lambda h, T, u, d: (1 - math.cos(math.pi * h)) / 2),
    ),
)
check_factor = exercise(
    "Exercise 1: ``factor(t, min_factor, step_size_up, step_size_down)``, the triangle.",
    right=_factor,
    cases=((0.25, 8, 4), (0.1, 3, 7), (0.0, 5, 5), (0.5, 1, 1)),
    far=((20_001, 0.25, 8, 4), (120_006, 0.25, 8, 4)),
    read=over(lambda _, up, down: range(3 * (up + down) + 3)),
    rules_out="lrlib",
    wrong=_NO_TRIANGLES,
    say={
        "early": "you are one step ahead. Step 0 is at the bottom.",
        "late": "you are one step late. Step 0 is at the bottom, and step 1 is already above it.",
        "scaled": "the highest of your factors is {c}. A factor is the rate over its peak, so at "
        "the top it is 1.",
    },
    differs="step {i} has {given}, but the triangle has {wanted} there.",
    passed="up and down in straight lines, each in its own number of steps, for ever.",
)


# --- 2. Cycles that end with the run


def _pairs(answer: Any, cycles: int, who: str) -> list[tuple[int, int]]:
    """The answer of `who` as pairs of whole numbers, each at least 1."""
    try:
        pairs = [(up, down) for up, down in answer]
    except (TypeError, ValueError):
        form = "return a list with one pair (up, down) for each cycle"
        raise Mistake(f"{who} returned {short(answer)}: {form}.") from None
    if len(pairs) != cycles:
        raise Mistake(f"{who} returned {short(answer)}: {cycles} cycles need {cycles} pairs.")
    whole = [(to_whole(up, who), to_whole(down, who)) for up, down in pairs]
    if min(map(min, whole)) < 1:
        raise Mistake(f"{who} returned {short(answer)}: up and down take at least 1 step each.")
    return whole


def _read_sizes(ask: Ask, total_steps: int, cycles: int) -> dict[str, Any]:
    """What the rules of the text determine, whatever the order of the cycles."""
    try:
        answer = ask(total_steps, cycles)
    except Mistake as error:
        if isinstance(error.__cause__, ValueError):
            why = f"{cycles} cycles of at least 2 steps fit into {total_steps} steps"
            raise Mistake(f"{error}: but {why}.") from error.__cause__
        raise
    if total_steps < 2 * cycles:
        return {"": answer}  # which is to be refused
    pairs = _pairs(answer, cycles, f"for total_steps={total_steps}, cycles={cycles} {ask.name}")
    lengths = [up + down for up, down in pairs]
    return {
        "end": sum(lengths),
        "shortest and longest": (min(lengths), max(lengths)),
        "halves": max(abs(up - down) for up, down in pairs) <= 1,
    }


def _sized(length, halves=lambda n: (n // 2, n - n // 2)):
    """Step sizes with their own ``length(i, total_steps, cycles)`` of cycle i."""

    def step_sizes(total_steps, cycles):
        if total_steps < 2 * cycles:
            raise ValueError(f"{cycles} cycles of at least 2 steps do not fit into {total_steps}")
        return [halves(length(i, total_steps, cycles)) for i in range(cycles)]

    return step_sizes


def _length(i: int, total_steps: int, cycles: int) -> int:
    return total_steps // cycles + (i < total_steps % cycles)


_ENDS = "your last cycle ends at step {given}"
check_step_sizes = exercise(
    "Exercise 2: ``step_sizes(total_steps, cycles)``, one (up, down) for each cycle.",
    right=lambda total_steps, cycles: _sized(_length)(total_steps, cycles),
    cases=((240, 4), (90, 6), (1000, 7), (250, 4), (95, 9), (10, 1), (8, 4), (7, 4), (1, 1)),
    read=_read_sizes,
    wrong=(
        (
            _ENDS + ", and the run goes on, up into a cycle that never ends. {total_steps} / "
            "{cycles} leaves a rest: which cycles get one step more?",
            _sized(lambda i, n, k: n // k),
        ),
        (
            _ENDS + ", before the run does. You round twice, once for the cycle and once for its "
            "half, and what is left over each time is lost.",
            _sized(lambda i, n, k: n // k // 2 * 2),
            _sized(_length, lambda n: (n // 2, n // 2)),
        ),
        (
            _ENDS + ", after the run: rounding up makes the cycles too long together. Only some of "
            "them get one step more.",
            _sized(lambda i, n, k: -(-n // k)),
            _sized(_length, lambda n: (-(-n // 2), -(-n // 2))),
        ),
        (
            _ENDS + ": every cycle is rounded to the nearest by itself. Let their sum decide.",
            _sized(lambda i, n, k: round(n / k)),
        ),
        (
            _ENDS + ". A run of {total_steps} steps is over after the step before that number; its "
            "cycles have {total_steps} steps too.",
            _sized(lambda i, n, k: _length(i, n - 1, k)),
        ),
        (
            _ENDS + ": up and down are each as long as a cycle. Both together have its length.",
            _sized(_length, lambda n: (n, n)),
            _sized(lambda i, n, k: 2 * (n // k)),
        ),
        (_ENDS + ": every cycle is as long as the whole run.", _sized(lambda i, n, k: n)),
        (
            "one cycle has the whole rest: the shortest and longest have {given} steps. Spread it.",
            _sized(lambda i, n, k: n // k + (i == 0) * (n % k)),
        ),
    ),
    differs={
        "end": _ENDS + ", and the run at {wanted}: all sizes together are its steps.",
        "shortest and longest": "the cycles end with the run, but the shortest and the longest "
        "have {given} steps. Spread the rest: a cycle may have one step more than another.",
        "halves": "the cycles are right, but in some of them up and down differ by more than one "
        "step.",
    },
    passed="every step is used, and the last cycle is over when the run is.",
)


# --- 4. What is wrong with this experiment?

check_flaws = flaws(
    "Exercise 4a: which of the statements A to G name a flaw of the experiment.",
    right=lambda: {"B", "C", "D", "E", "G"},
    hints={
        "A": "with the same initial weights and the same noise, the difference is the runs'.",
        "B": "how many steps does the scheduler make in 6 epochs, and how many lead up to the top?",
        "C": "put an LRTrace on the optimizer of a cyclical run and look at its momentum. What "
        "does the signature of CyclicLR say?",
        "D": "a cycle of two times 2 epochs, and a run of 6: where in a cycle does it stop?",
        "E": "the lowest of six noisy losses is lower than the last one, even if nothing is "
        "better. How many tries does each rival have?",
        "F": "a rate that was lucky on some seeds has no advantage on others.",
        "G": "where does the 0.1 come from, and how many peaks did the cyclical runs get to try?",
    },
    passed="no cycle was made, and momentum, the best of six epochs and a tuned peak did the rest.",
)


def _running(loop="us", shape=lambda half, _: Cyclical(0.1, half), says=lambda x: x[-1], keep=1):
    """A run in which any part can be made wrong; u: update, s: scheduler.step."""

    def run(start, peak, seed, epochs, batches, cycles):
        optimizer, update, loss = start(peak, seed)
        steps, losses = epochs * batches, []
        scheduler = LambdaLR(optimizer, shape(steps // (2 * cycles), batches))
        for t in range(1, steps + 1):
            for action in loop:
                update() if action == "u" else scheduler.step()
            if t % (keep or batches) == 0:
                losses.append(loss())
        return says(losses)

    return run


check_run = exercise(
    "Exercise 4b: ``run(start, peak, seed, epochs, batches, cycles)``, repaired.",
    right=_running(),
    names=("peak", "seed", "epochs", "batches", "cycles", "_momentum"),
    cases=((0.5, 3, 6, 4, 2, 0.0), (0.25, 8, 5, 6, 3, 0.5), (2.0, 1, 1, 8, 1, 0.0)),
    read=one_run,
    noun="run",
    wrong=(
        (
            "the rate stayed at the bottom. Was the scheduler stepped after every update?",
            _running("u"),
        ),
        (
            "the factor was applied twice. Is there more than one scheduler?",
            _running(shape=lambda half, _: Cyclical(0.1, half) * Cyclical(0.1, half)),
        ),
        (
            "the cycles begin at the top. They begin and end at the bottom.",
            _running(shape=lambda half, _: lambda t: 1.1 - Cyclical(0.1, half)(t)),
        ),
        (
            "each cycle is half as high as the one before. Every one is to reach the peak.",
            _running(shape=lambda half, _: Cyclical(0.1, half, mode="triangular2")),
        ),
        (
            "half a cycle takes as long as a whole one should. A cycle is up and down.",
            _running(shape=lambda half, _: Cyclical(0.1, 2 * half)),
        ),
        (
            "half a cycle has as many steps as it should have epochs.",
            _running(shape=lambda half, batches: Cyclical(0.1, max(1, half // batches))),
        ),
        (
            "the length of your cycles does not depend on the length of the run. How many steps "
            "has half a cycle, if {cycles} cycles fill the run?",
            _running(shape=lambda _, batches: Cyclical(0.1, 2 * batches)),
            _running(shape=lambda _, batches: Cyclical(0.1, batches)),
        ),
        (
            "the bottom of your cycles is not a tenth of the peak.",
            *(_running(shape=lambda n, _, low=x: Cyclical(low, n)) for x in (0, 0.01, 0.2, 0.25)),
        ),
        (LOWEST, _running(says=min), _running(says=min, keep=0)),
        (MEAN, _running(says=np.mean), _running(says=np.mean, keep=0)),
        (BEFORE, _running(says=lambda x: x[-2]), _running(says=lambda x: x[0])),
    ),
    say={
        "applied": OF_A_NOISY_RUN
        | {
            "scaled": "the rates are {c} times as high as they should be. The peak is the top of "
            "the cycles, max_lr, and a tenth of it is the bottom, base_lr."
        }
    },
    differs=DIFFERS
    | {
        "applied": "update {i} used the rate {given}, but whole cycles between a tenth of the peak "
        "and the peak have {wanted} there.",
    },
    passed="whole cycles, stepped after every update.",
)


# --- 5. What rising again costs

PROBLEM = NoisyQuadratic(batch_size=256)  # the chapter's


def six_runs() -> dict[str, np.ndarray]:
    """Six runs of 1,000 steps by letter, with the same sum of rates; in all but F, the same rates.

    They are those of five cycles between 0.125 and 0.5, their best peak on the noisy quadratic.
    """
    rates = 0.5 * Cyclical(0.25, 100).sample(1000)
    rising = np.sort(rates)
    return {
        "A": rates,
        "B": rising[::-1],
        "C": rising,
        "D": np.roll(rates, 100),  # begun at a top
        "E": np.concatenate([rising[::2], rising[1::2][::-1]]),  # one cycle
        "F": np.full(1000, rates.mean()),
    }


_NEIGHBOURS = {
    "AF": "which of them ends at the lower rates, and so with less noise?",
    "FD": "F ends at its mean rate. Where in a cycle does D end?",
    "DC": "both end at the top. Which of them has been near it for longer?",
    "EA": "both end with a fall. Which fall has more steps to forget the noise of the top?",
    "BE": "both end with a fall. Which fall has more steps to forget the noise of the top?",
}


def _order() -> list[str]:
    losses = {letter: PROBLEM.loss(rates)[-1] for letter, rates in six_runs().items()}
    return sorted(losses, key=losses.__getitem__)


def _read_order(ask: Ask) -> dict[str, bool]:
    answer = ask()
    order = "".join(map(str, answer)) if isinstance(answer, list | tuple) else str(answer)
    order = "".join(filter(str.isalpha, order.upper()))
    if sorted(order) != list("ABCDEF"):
        raise Mistake(f"return the six letters, each once, such as 'ABCDEF', not {short(answer)}.")
    if [*order[::-1]] == _order():
        raise Mistake("that is the order from the highest loss to the lowest.")
    return {a + b: order.index(a) < order.index(b) for a, b in _NEIGHBOURS}


check_order = exercise(
    "Exercise 5a: ``order()``, six runs from the lowest final loss to the highest.",
    right=_order,
    cases=((),),
    read=_read_order,
    differs={
        pair: f"{pair[0]} and {pair[1]} have changed places: {hint}"
        for pair, hint in _NEIGHBOURS.items()
    },
    passed="the same rates, and what comes last decides.",
)


@checker()
def check_two_cycles(two_cycles: Callable[[], Any], steps: int = 300) -> None:
    """Exercise 5b: two cycles that end lower than one, which rises and falls for half the run."""
    (up, down), (again, last) = pairs = _pairs(call(two_cycles), 2, "two_cycles")
    if (end := sum(map(sum, pairs))) != steps:
        raise Mistake(f"your second cycle ends at step {end}, and the run at {steps}.")
    if (least := min(map(min, pairs))) < steps // 20:
        raise Mistake(f"each of the four takes at least {steps // 20} steps; one has {least}.")
    shape = Cyclical(0.25, up, down).then(Cyclical(0.25, again, last), at=up + down)
    score, one = PROBLEM.score(shape, steps), PROBLEM.score(Cyclical(0.25, steps // 2), steps)
    if score >= one:
        given, wanted = apart(score, one, 3)
        raise Mistake(
            f"with its best peak, your run ends at {given} times the best loss, and one cycle at "
            f"{wanted}. Your rate is at its peak for the last time at step {steps - last}, and "
            f"{last} steps are left to forget that noise. The one cycle has {steps // 2}."
        )
    passed(f"your two cycles end at {score:.2f} times the best loss, and one cycle at {one:.2f}.")
