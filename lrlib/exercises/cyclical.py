"""Checkers of chapter 06."""

from __future__ import annotations

import math
import operator
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
)
from lrlib.exercises.cyclical_range import check_bounds, range_test  # exercise 3
from lrlib.exercises.noisy_runs import OF_A_NOISY_RUN, one_run, start
from lrlib.lab.noisy_quadratic import NoisyQuadratic

__all__ = ["check_bounds", "range_test", "start"]  # what is not of this module

# --- 1. The triangle of a step


def _height(T_cur: float, up: int, down: int) -> float:
    return T_cur / up if T_cur <= up else (up + down - T_cur) / down


def _factor(t: int, min_factor: float, step_size_up: int, step_size_down: int) -> float:
    T_cur = t % (step_size_up + step_size_down)
    return min_factor + (1 - min_factor) * _height(T_cur, step_size_up, step_size_down)


def _lifted(height):
    """A factor with its own ``height(T_cur, up, down)``."""
    return lambda t, m, u, d: m + (1 - m) * height(t % (u + d), u, d)


check_factor = exercise(
    "Exercise 1: ``factor(t, min_factor, step_size_up, step_size_down)``, the triangle.",
    right=_factor,
    cases=((0.25, 8, 4), (0.1, 3, 7), (0.0, 5, 5), (0.5, 1, 1)),
    far=((20_001, 0.25, 8, 4), (120_006, 0.25, 8, 4)),
    read=over(lambda _, up, down: range(3 * (up + down) + 3)),
    rules_out="lrlib",
    wrong=(
        (
            "your cycles begin at the top. They begin and end at min_factor.",
            _lifted(lambda T, u, d: 1 - _height(T, u, d)),
        ),
        (
            "your factor falls to 0, and min_factor does not appear in it.",
            lambda t, m, u, d: _height(t % (u + d), u, d),
        ),
        (
            "you cut the triangle off at min_factor, so it stays there for some steps. It should "
            "only touch min_factor: the way up is 1 - min_factor.",
            lambda t, m, u, d: max(m, _height(t % (u + d), u, d)),
        ),
        (
            "you add min_factor to a triangle that is 1 high, and the top comes out above 1. The "
            "way up from min_factor to 1 is 1 - min_factor.",
            lambda t, m, u, d: m + _height(t % (u + d), u, d),
        ),
        (
            "at the top you have min_factor. The top is 1; min_factor is the bottom.",
            lambda t, m, u, d: m * _height(t % (u + d), u, d),
        ),
        (
            "one of your two lines has its bottom at 0. Both have it at min_factor.",
            lambda t, m, u, d: _factor(t, m if t % (u + d) <= u else 0, u, d),
            lambda t, m, u, d: _factor(t, 0 if t % (u + d) <= u else m, u, d),
        ),
        (
            "your fall takes as long as the rise. It has its own length, step_size_down.",
            lambda t, m, u, d: _factor(t, m, u, u),
        ),
        ("your rise takes step_size_down steps.", lambda t, m, u, d: _factor(t, m, d, d)),
        (
            "you have exchanged step_size_up and step_size_down.",
            lambda t, m, u, d: _factor(t, m, d, u),
        ),
        (
            "the top comes half-way through the cycle. It comes after {step_size_up} steps.",
            _lifted(lambda T, u, d: 1 - abs(2 * T / (u + d) - 1)),
        ),
        (
            "the rate falls as steeply as it rose, and does not end at min_factor: the fall has "
            "its own number of steps, step_size_down.",
            _lifted(lambda T, u, d: 1 - abs(T - u) / u),
            _lifted(lambda T, u, d: max(0, 1 - abs(T - u) / u)),
        ),
        (
            "at the top your factor jumps. The steps of the fall count from there: T_cur - "
            "step_size_up of them are done.",
            _lifted(lambda T, u, d: T / u if T <= u else 1 - T / d),
            _lifted(lambda T, u, d: T / u if T <= u else max(0, 1 - T / d)),
        ),
        (
            "you divide by the length of the whole cycle. Up and down have their own.",
            _lifted(lambda T, u, d: T / u if T <= u else 1 - (T - u) / (u + d)),
            _lifted(lambda T, u, d: T / u if T <= u else (u + d - T) / (u + d)),
            _lifted(lambda T, u, d: (T if T <= u else u + d - T) / (u + d)),
        ),
        (
            "after the top your factor falls to the bottom at once and climbs again. It should "
            "fall in a straight line: how many steps are left until the end of the cycle?",
            _lifted(lambda T, u, d: T / u if T <= u else (T - u) / d),
        ),
        (
            "after the top your factor falls to the bottom at once, and stays there.",
            _lifted(lambda T, u, d: T / u if T <= u else 0),
        ),
        (
            "your rate only rises, and then falls in one step.",
            _lifted(lambda T, u, d: T / (u + d)),
            lambda t, m, u, d: m + (1 - m) * (t % u / u),
        ),
        (
            "you have one cycle only. After step_size_up + step_size_down steps the next begins.",
            lambda t, m, u, d: m + (1 - m) * _height(t, u, d),
            lambda t, m, u, d: m + (1 - m) * max(0, _height(t, u, d)),
        ),
        (
            "your rate rises and stays at the top. Where is the fall?",
            lambda t, m, u, d: m + (1 - m) * min(1, t / u),
        ),
        (
            "your cycle is one step too long, as if the bottom between two cycles, or the top, "
            "counted twice. It has step_size_up + step_size_down steps.",
            lambda t, m, u, d: m + (1 - m) * max(0, _height(t % (u + d + 1), u, d)),
            lambda t, m, u, d: _factor(t, m, u, d + 1),
            lambda t, m, u, d: _factor(t, m, u + 1, d),
        ),
        (
            "your cycle is one step short. It has step_size_up + step_size_down steps.",
            lambda t, m, u, d: _factor(t, m, u, max(d - 1, 1)),
            lambda t, m, u, d: _factor(t, m, max(u - 1, 1), d),
        ),
        (
            "your factor jumps between two values: // drops the fraction. Divide with /.",
            _lifted(lambda T, u, d: T // u if T <= u else (u + d - T) // d),
        ),
        (
            "every cycle is half as high as the one before. That is triangular2; here all reach 1.",
            lambda t, m, u, d: Cyclical(m, u, d, "triangular2")(t),
        ),
        (
            "up and down are half cosines. Straight lines are wanted.",
            _lifted(lambda T, u, d: (1 - math.cos(math.pi * _height(T, u, d))) / 2),
        ),
    ),
    say={
        "early": "you are one step ahead. Step 0 is at the bottom.",
        "late": "you are one step late. Step 0 is at the bottom, and step 1 is already above it.",
        "scaled": "the highest of your factors is {c}. A factor is the rate over its peak, so at "
        "the top it is 1.",
    },
    differs="step {i} has {given}, but the triangle has {wanted} there. {step_size_up} steps lead "
    "up, and {step_size_down} down.",
    passed="up and down in straight lines, each in its own number of steps, for ever.",
)


# --- 2. Cycles that end with the run


def _pairs(answer: Any, cycles: int, where: str) -> list[tuple[int, int]]:
    """The answer as pairs of whole numbers, each at least 1; `where` begins the hints."""
    where = f"{where}you returned {short(answer)}: "
    form = f"{where}return a list with one pair (up, down) for each cycle."
    try:
        pairs = [tuple(pair) for pair in answer]
    except TypeError:
        raise Mistake(form) from None
    if any(len(pair) != 2 for pair in pairs):
        raise Mistake(form)
    for pair in pairs:
        try:
            if any(isinstance(size, bool | np.bool_) for size in pair):
                raise TypeError
            sizes = [operator.index(size) for size in pair]
        except TypeError:
            raise Mistake(
                f"{where}step sizes are whole numbers, and {short(pair)} is not. / gives a float "
                f"and // a whole number."
            ) from None
        if min(sizes) < 1:
            raise Mistake(
                f"{where}in {short(pair)} the rate does not rise, or does not fall. Each takes at "
                f"least 1 step."
            )
    if len(pairs) != cycles:
        raise Mistake(
            f"{where}there are {len(pairs)} cycles, and {cycles} were asked for."
            + (" You return the sizes of one; all need theirs." if len(pairs) == 1 else "")
        )
    return [(int(up), int(down)) for up, down in pairs]


def _sized(length):
    """Step sizes with their own ``length(i, total_steps, cycles)`` of cycle i."""

    def step_sizes(total_steps, cycles):
        if total_steps < 2 * cycles:
            raise ValueError(f"{cycles} cycles of at least 2 steps do not fit into {total_steps}")
        sizes = [length(i, total_steps, cycles) for i in range(cycles)]
        return [(n // 2, n - n // 2) for n in sizes]

    return step_sizes


_step_sizes = _sized(lambda i, n, k: n // k + (i < n % k))


def _sizes(ask: Ask, total_steps: int, cycles: int) -> dict[str, Any]:
    where = f"for total_steps={total_steps}, cycles={cycles} "
    try:
        answer = ask(total_steps, cycles)
    except Mistake as error:
        if isinstance(error.__cause__, ValueError):
            why = f"{cycles} cycles of at least 2 steps fit into {total_steps} steps."
            raise Mistake(f"{error}: but {why}") from error.__cause__
        raise
    if total_steps < 2 * cycles:
        return {"": answer}  # which is to be refused
    pairs = _pairs(answer, cycles, where)
    # In any order of the cycles: they are determined by the rules of the text.
    pairs = sorted(pairs, key=sum, reverse=True)
    lengths = tuple(sum(pair) for pair in pairs)
    return {"end": sum(lengths), "lengths": lengths, "apart": tuple(abs(u - d) for u, d in pairs)}


_ENDS = "your last cycle ends at step {given}"
check_step_sizes = exercise(
    "Exercise 2: ``step_sizes(total_steps, cycles)``, one (up, down) for each cycle.",
    right=lambda total_steps, cycles: _step_sizes(total_steps, cycles),
    # The last two do not fit.
    cases=(
        (240, 4),
        (90, 6),
        (1000, 7),
        (250, 4),
        (95, 9),
        (10, 1),
        (8, 4),
        (11, 5),
        (7, 4),
        (1, 1),
    ),
    read=_sizes,
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
        ),
        (
            _ENDS + ", and the run has {total_steps} steps: rounding up makes the cycles too long "
            "together. Only some of them get one step more.",
            _sized(lambda i, n, k: -(-n // k)),
        ),
        (
            _ENDS + ": every cycle is rounded to the nearest by itself, and the sum is whatever "
            "comes out. Let the sum decide.",
            _sized(lambda i, n, k: round(n / k)),
        ),
        (
            _ENDS + ". A run of {total_steps} steps is over after the step number "
            "{total_steps} - 1; its cycles have {total_steps} steps too.",
            _sized(lambda i, n, k: (n - 1) // k + (i < (n - 1) % k)),
        ),
        (
            _ENDS + ": up and down are each as long as a cycle should be. Both together have its "
            "length.",
            _sized(lambda i, n, k: 2 * (n // k + (i < n % k))),
            _sized(lambda i, n, k: 2 * (n // k)),
        ),
        (_ENDS + ": every cycle is as long as the whole run.", _sized(lambda i, n, k: n)),
        (
            "the cycles end with the run, but one of them has the whole rest: the lengths are "
            "{given}. Spread it: a cycle may have one step more than another.",
            _sized(lambda i, n, k: n // k + (i == 0) * (n % k)),
        ),
        (
            "the cycles end with the run, but within a cycle up and down differ by more than one "
            "step. The length of each is halved.",
            lambda n, k: [(1, sum(pair) - 1) for pair in _step_sizes(n, k)],
            lambda n, k: [
                (sum(pair) // 3, sum(pair) - sum(pair) // 3) for pair in _step_sizes(n, k)
            ],
        ),
    ),
    differs={
        "end": "your last cycle ends at step {given}, and the run at {wanted}: all sizes together "
        "are its steps.",
        "lengths": "the cycles end with the run, but they have the lengths {given}. Spread the "
        "rest: a cycle may have one step more than another, and not more.",
        "apart": "the cycles end with the run, but in some of them up and down differ by more than "
        "one step.",
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


def _running(loop="us", shape=None, says=None, every=1):
    """A run in which any part can be made wrong; u: update, s: scheduler.step."""

    def run(start, peak, seed, epochs, batches, cycles):
        optimizer, update, loss = start(peak, seed)
        half, steps = epochs * batches // (2 * cycles), epochs * batches
        scheduler = LambdaLR(optimizer, shape(half, batches) if shape else Cyclical(0.1, half))
        losses = []
        for t in range(1, steps + 1):
            for action in loop:
                update() if action == "u" else scheduler.step()
            if t % (batches if every == "epoch" else every) == 0:
                losses.append(loss())
        return says(losses) if says else losses[-1]

    return run


def _observed(
    ask: Ask, peak: float, seed: int, epochs: int, batches: int, cycles: int, momentum: float
) -> dict[str, Any]:
    run = one_run(ask, peak, seed, epochs, batches, cycles, momentum=momentum)
    rates = run["applied"]
    if run["updates"] == epochs * batches and epochs > 1 and np.ptp(rates):
        stairs = rates.reshape(epochs, batches) / peak
        if np.allclose(stairs, stairs[:, :1]):
            raise Mistake(
                f"the rate changed only once per epoch: {rates.size} updates saw {epochs} rates "
                f"between {stairs.min():.2f} and {stairs.max():.2f} times the peak. Step the "
                f"scheduler after every update, in the inner loop."
            )
    return run


check_run = exercise(
    "Exercise 4b: ``run(start, peak, seed, epochs, batches, cycles)``, repaired.",
    right=_running(),
    names=("peak", "seed", "epochs", "batches", "cycles", "_momentum"),
    cases=((0.5, 3, 6, 4, 2, 0.0), (0.25, 8, 5, 6, 3, 0.5), (2.0, 1, 1, 8, 1, 0.0)),
    read=_observed,
    noun="run",
    wrong=(
        (
            "the rate stayed at the bottom. Was the scheduler stepped after every update?",
            _running("u"),
        ),
        (
            "the factor was applied twice. Is there more than one scheduler?",
            _running(shape=lambda n, _: lambda t: Cyclical(0.1, n)(t) ** 2),
        ),
        (
            "the cycles begin at the top. They begin and end at the bottom.",
            _running(shape=lambda n, _: lambda t: 1.1 - Cyclical(0.1, n)(t)),
        ),
        (
            "each cycle is half as high as the one before. Every one is to reach the peak.",
            _running(shape=lambda n, _: Cyclical(0.1, n, mode="triangular2")),
        ),
        (
            "half a cycle takes as long as a whole one should. A cycle is up and down.",
            _running(shape=lambda n, _: Cyclical(0.1, 2 * n)),
        ),
        (
            "half a cycle has a number of epochs that does not depend on the run. How many steps "
            "has it, if `cycles` cycles fill the run?",
            _running(shape=lambda _, batches: Cyclical(0.1, 2 * batches)),
            _running(shape=lambda _, batches: Cyclical(0.1, batches)),
        ),
        (
            "the bottom of your cycles is not a tenth of the peak.",
            *(
                _running(shape=lambda n, _, low=low: Cyclical(low, n))
                for low in (0, 0.01, 0.2, 0.25, 0.5)
            ),
        ),
        (
            "the updates are right, but you return the lowest of several losses. The fixed runs "
            "are judged by their last.",
            _running(says=min),
            _running(says=min, every="epoch"),
        ),
        (
            "the updates are right, but you return the mean of several losses. The fixed runs are "
            "judged by their last.",
            _running(says=np.mean),
            _running(says=np.mean, every="epoch"),
        ),
        (
            "the updates are right, but you return a loss from before the end of the run. The last "
            "update counts too.",
            _running(says=lambda losses: losses[-2]),
            _running(says=lambda losses: losses[0]),
        ),
    ),
    say={
        "applied": OF_A_NOISY_RUN
        | {
            "scaled": "the rates are {c} times as high as they should be. The peak is the top of "
            "the cycles, max_lr, and a tenth of it is the bottom, base_lr."
        }
    },
    differs={
        "updates": "the run made {given} updates. It has epochs * batches = {wanted}.",
        "applied": "update {i} used the rate {given}, but whole cycles between a tenth of the peak "
        "and the peak have {wanted} there.",
        "momentum": "the rates are right, but the optimizer was built with the momentum {wanted}, "
        "and update {i} used {given}. The fixed runs have none of that. CyclicLR sets the momentum "
        "unless it is told cycle_momentum=False.",
        "returned": "the updates are right, but you returned {given}, and loss() is {wanted} after "
        "the last of them.",
    },
    passed="whole cycles, stepped after every update, nothing else moved, judged at the end.",
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


_PAIRS = {
    "AF": "A ends with a fall, at a fourth of its peak, and F at its usual rate. Which of them has "
    "less noise at its end?",
    "FD": "F ends at its mean rate, and D at the peak, in the middle of a cycle. The noise at the "
    "end is that of the rates there.",
    "DC": "both end at the peak. Which of them has been near it for longer?",
    "EA": "both end with a fall to the bottom. Which fall has more steps in which to forget the "
    "noise of the top?",
    "BE": "both end with a fall to the bottom. Which fall is the longer one?",
}


def _read_order(ask: Ask) -> dict[str, bool]:
    answer = ask()
    letters = [str(x).strip().upper() for x in answer] if hasattr(answer, "__iter__") else []
    letters = [letter for letter in letters if letter not in ("", ",")]
    if sorted(letters) != list("ABCDEF"):
        raise Mistake(f"return the six letters, each once, such as 'ABCDEF', not {short(answer)}.")
    if letters == _order()[::-1]:
        raise Mistake("that is the order from the highest loss to the lowest.")
    return {a + b: letters.index(a) < letters.index(b) for a, b in _PAIRS}


def _order() -> list[str]:
    losses = {letter: PROBLEM.loss(rates)[-1] for letter, rates in six_runs().items()}
    return sorted(losses, key=losses.__getitem__)


check_order = exercise(
    "Exercise 5a: ``order()``, six orders of the same rates from the lowest final loss upwards.",
    right=_order,
    cases=((),),
    read=_read_order,
    differs={
        pair: f"{pair[0]} and {pair[1]} stand the wrong way round: {hint}"
        for pair, hint in _PAIRS.items()
    },
    passed="what comes last counts, and each rise undoes a part of the fall before it.",
)


@checker()
def check_two_cycles(two_cycles: Callable[[], Any], steps: int = 300) -> None:
    """Exercise 5b: two cycles that end lower than one that rises and falls for half the run."""
    pairs = _pairs(call(two_cycles), 2, "")
    (up, down), (again, last) = pairs
    if (end := sum(map(sum, pairs))) != steps:
        raise Mistake(f"your second cycle ends at step {end}, and the run at {steps}.")
    if (least := min(map(min, pairs))) < steps // 20:
        raise Mistake(f"each of the four takes at least {steps // 20} steps; one has {least}.")
    shape = Cyclical(0.25, up, down).then(Cyclical(0.25, again, last), at=up + down)
    score, one = PROBLEM.score(shape, steps), PROBLEM.score(Cyclical(0.25, steps // 2), steps)
    if score >= one:
        given, wanted = apart(score, one, 3)
        raise Mistake(
            f"your two cycles end at {given} times the best loss, and one cycle at {wanted}. Your "
            f"rate is at its peak for the last time at step {steps - last}, and {last} steps are "
            f"left in which that noise is forgotten. The one cycle has {steps // 2}."
        )
    passed(f"your two cycles end at {score:.2f} times the best loss, and one cycle at {one:.2f}.")
