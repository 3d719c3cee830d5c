"""Checkers of chapter 01."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lrlib.exercises import (
    Limit,
    Mistake,
    among,
    apart,
    call,
    checker,
    letters,
    number,
    numbers,
    passed,
    refused,
    sampled,
    schedule,
)
from lrlib.fixed_learning_rate import noise_floor, stability_limit
from lrlib.lab.noisy_quadratic import NoisyQuadratic
from lrlib.schedule import Schedule


@checker("lrlib.fixed_learning_rate", "stability_limit")
def check_limit(limit: Callable[[np.ndarray, float], float]) -> None:
    """Exercise 1: ``limit(hessian, momentum)``, the largest stable rate of a quadratic."""
    rng = np.random.default_rng(5)
    for momentum in (0.0, 0.9):
        a = rng.standard_normal((6, 4))
        hessian = a.T @ a
        values = np.linalg.eigvalsh(hessian)
        right = stability_limit(values.max(), momentum)
        mistakes = {
            2 * (1 + momentum) / values.min(): (
                "you used the smallest eigenvalue. Which direction is the first to overshoot, the "
                "flat one or the steep one?"
            ),
            2 * (1 + momentum) / np.trace(hessian): (
                "you used the trace (the sum of all eigenvalues). That is safe, but it is not the "
                "limit."
            ),
            2 * (1 + momentum) / hessian.max(): (
                "you used the largest entry of the matrix. Its eigenvalues can be larger: the "
                "steepest direction need not be an axis."
            ),
            (1 + momentum) / values.max(): (
                "a factor of 2 is missing. At 1/λ the steep direction is solved in one step; it "
                "still converges up to twice that."
            ),
        }
        if momentum:
            mistakes[2 / values.max()] = (
                "momentum is ignored. At the limit θ changes its sign at every step: does the "
                "velocity left over from the last step then help or harm?"
            )
            mistakes[2 * (1 - momentum) / values.max()] = (
                "momentum does not lower the limit. lr / (1 - momentum) is the effective rate of a "
                "steady push, but at the limit the gradient changes its sign at every step."
            )
            mistakes[2 / (values.max() * (1 - momentum))] = (
                "the limit does not grow as 1/(1 - momentum): that is how much longer a steady "
                "push acts, but an overshoot changes its sign at every step. Try 1 + momentum."
            )
        _compare(number(limit, hessian, momentum), right, mistakes, f"momentum={momentum:g}")
    passed("the limit is set by the steepest direction, and momentum raises it.")


@checker()
def check_rate_for_floor(
    rate: Callable[[float, np.ndarray, np.ndarray, int], float],
) -> None:
    """Exercise 2: ``rate(target, h, c, batch_size)``, the largest rate whose floor is `target`."""
    h = np.array([1.0, 0.5, 0.1])
    c = np.array([1.0, 2.0, 0.3])
    for target, batch_size in ((0.01, 1), (0.5, 16), (30.0, 4)):
        answer = number(rate, target, h, c, batch_size)
        where = f"for target={target:g}, batch_size={batch_size}"
        if not 0 < answer < stability_limit(h.max()):
            raise Mistake(
                f"{where} you returned {answer:.4g}; a rate must lie between 0 and the stability "
                f"limit 2/h_max = {stability_limit(h.max()):g}."
            )
        floor = noise_floor(answer, h, c, batch_size)
        simple = 4 * batch_size * target / c.sum()
        if np.isclose(floor, target, rtol=1e-3):
            continue
        if np.isclose(floor * batch_size, target, rtol=1e-3) or np.isclose(
            noise_floor(answer, h, c), target, rtol=1e-3
        ):
            hint = "it looks as if the batch size were left out: the noise is divided by it."
        elif np.isclose(answer, simple, rtol=1e-5):
            hint = (
                "that is the formula for small rates, η ΣC / (4B). Near the limit the floor bends "
                "up; search for the rate instead of solving the approximation."
            )
        elif floor < target:
            hint = "that respects the budget, but a larger rate would too."
        else:
            hint = "that is over the budget."
        raise Mistake(
            f"{where} your rate {answer:.4g} has the floor {apart(floor, target)[0]}: {hint}"
        )
    passed("your rates sit exactly on the budget.")


@checker()
def check_choose_rate(choose: Callable[[np.ndarray, np.ndarray], float]) -> None:
    """Exercise 3: ``choose(rates, losses)``: lowest mean, NaN is infinitely bad, edges refused."""
    rates = np.array([0.01, 0.02, 0.04, 0.08, 0.16])
    losses = np.array(
        [[1.0, 1.1, 0.9], [0.55, 0.56, 1.35], [0.6, 0.62, 0.61], [0.2, 1.2, 1.1], [3.0, 2.0, 4.0]]
    )
    _expect_rate(
        number(choose, rates, losses),
        0.04,
        {
            0.02: "you took the lowest median. The mean is asked for: a bad run has to count.",
            0.08: (
                "you took the rate of the single best run. One lucky seed is not a good rate: "
                "compare the means over seeds."
            ),
            0.16: "you took the highest loss. Lower is better.",
        },
    )
    diverged = losses.copy()
    diverged[2] = [0.1, np.nan, 0.1]
    _expect_rate(
        number(choose, rates, diverged),
        0.02,
        {
            0.04: (
                "one run of this rate diverged (NaN), and you left it out of the mean. A rate at "
                "which one run in three is lost is not the best rate."
            ),
            0.01: "NaN won a comparison. Turn NaN into infinity before you compare.",
            0.08: "you took the rate of the single best run; compare means over seeds.",
        },
    )
    beside = losses.copy()
    beside[3:] = np.nan
    try:
        answer = number(choose, rates, beside)
    except Mistake as error:
        if not isinstance(error.__cause__, Exception):
            raise
        raise Mistake(
            f"0.04 was the best of {rates.tolist()} and its right-hand neighbours diverged: that "
            f"is no edge of the grid. Look for the edge in rates, not in what is left. ({error})"
        ) from error
    _expect_rate(answer, 0.04, {})
    for edge, row in (("smallest", 0), ("largest", 4)):
        at_edge = losses.copy()
        at_edge[row] = 0.1
        what = f"the best rate is the {edge} of the grid, and the true best may lie outside"
        refused(choose, rates, at_edge, what=what)
    passed("means over seeds, lost runs punished, edges refused.")


@checker()
def check_flaws(flaws: Callable[[], set[str]]) -> None:
    """Exercise 4a: which of the statements A to E name a flaw of the careless comparison."""
    hints = {
        "A": "look at the second argument of the two calls of train.",
        "B": "what does min() keep, if each list holds one loss for each seed?",
        "C": "the loss at the end is what a run is for; averaging over the run rewards haste.",
        "D": "could you tell from the one number returned whether a new set of seeds agrees?",
        "E": "a seed is a name, not a quantity: no list of distinct seeds is better than another.",
    }
    letters(flaws, {"A", "B", "D"}, hints)
    passed("unpaired, lucky and without a spread.")


@checker()
def check_compare(compare: Callable[[Callable, float, float, Sequence[int]], np.ndarray]) -> None:
    """Exercise 4b: ``compare(train, rate_a, rate_b, seeds)``, paired differences b - a."""
    calls: list[tuple[float | None, int]] = []
    limit = Limit(10_000, "runs of train")

    def train(rate: float, seed: int) -> float:
        limit()
        calls.append((among(rate, (0.1, 0.2)), seed))
        start, slope = np.random.default_rng(seed).normal(size=2)
        return start + 10 * rate * (1 + 0.5 * slope)

    seeds = [3, 11, 4, 8, 20]
    answer = numbers(call(compare, train, 0.1, 0.2, seeds), "an array of differences")
    used = {rate: sorted(s for r, s in calls if r == rate) for rate in (0.1, 0.2)}
    if {rate for rate, _ in calls} != {0.1, 0.2}:
        raise Mistake("call train for rate_a and for rate_b, and for no other rate.")
    if used[0.1] != used[0.2]:
        raise Mistake(
            f"the two rates ran on different seeds, {used[0.1]} and {used[0.2]}. The same seed "
            f"means the same initial weights and batches; only then is the difference the rate's."
        )
    if used[0.1] != sorted(seeds):
        raise Mistake(f"use every one of the seeds {sorted(seeds)} once; you used {used[0.1]}.")
    if answer.shape != (len(seeds),):
        raise Mistake(
            f"return one difference for each seed, shape ({len(seeds)},), not shape "
            f"{answer.shape}: whoever reads it needs the spread."
        )
    right = np.array([train(0.2, seed) - train(0.1, seed) for seed in seeds])
    if np.allclose(answer, -right):
        raise Mistake("the sign is turned round: positive should mean that rate_a is better.")
    if not np.allclose(answer, right):
        raise Mistake(
            "the differences do not belong to single seeds. Subtract the two losses of the same "
            "seed, in the order of the seeds."
        )
    passed("paired, complete, with the spread left in.")


@checker()
def check_beats_constant(shape: Callable[[], Schedule], steps: int = 300) -> None:
    """Exercise 5: a schedule that ends within 15 % of the optimum on the noisy quadratic."""
    answer = schedule(shape, example="Constant(total_iters=200).then(Constant(0.3))")
    factors = sampled(answer, steps)
    if np.ptp(factors) == 0:
        raise Mistake(
            f"your schedule is constant over the {steps} steps. Does its first part end before "
            f"the run does?"
        )
    quadratic = NoisyQuadratic()
    (peak, loss), best = quadratic.tune(answer, steps), quadratic.optimal(steps).loss
    if loss > 1.15 * best:
        first, last = factors[0], factors[-1]
        if last >= first:
            hint = (
                "It ends no lower than it starts. Late in a run, which is left: distance or noise?"
            )
        elif last < first / 100:
            hint = "Its last rate is so small that those steps do nothing. Where could they help?"
        elif len(set(factors)) < 3:
            hint = "One drop is not enough. Divide the fall into two or more."
        else:
            hint = "Try to fall earlier or later, and by factors of 2 to 4 at a time."
        raise Mistake(
            f"with its best peak, {peak:.3g}, your schedule ends at "
            f"{apart(loss / best, 1.15)[0]} times the best one found; the best fixed rate ends "
            f"at 1.65, and 1.15 is asked for. {hint}"
        )
    passed(f"your schedule ends at {loss / best:.3f} times the best one found (peak {peak:.3g}).")


def _compare(answer: float, right: float, mistakes: dict[float, str], where: str) -> None:
    if np.isclose(answer, right, rtol=2e-3):  # found by experiment, perhaps
        return
    for wrong, hint in mistakes.items():
        if np.isclose(answer, wrong, rtol=2e-3):
            raise Mistake(f"with {where} you returned {answer:.4g}: {hint}")
    given, limit = apart(answer, right)
    raise Mistake(f"with {where} you returned {given}, but the limit is {limit}.")


def _expect_rate(answer: float, right: float, mistakes: dict[float, str]) -> None:
    if among(answer, [right]):
        return
    chosen = among(answer, list(mistakes))
    hint = mistakes.get(chosen, "Return the entry of rates whose losses have the lowest mean.")
    given, wanted = apart(answer, right)
    raise Mistake(f"you chose {given}, but {wanted} is right: {hint}")
