"""Checkers of chapter 01."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lrlib.exercises import (
    Ask,
    Limit,
    Mistake,
    among,
    apart,
    checker,
    exercise,
    flaws,
    passed,
    sampled,
    schedule,
    to_number,
    to_numbers,
)
from lrlib.exercises.declared import cause_of
from lrlib.fixed_learning_rate import noise_floor, stability_limit
from lrlib.lab.noisy_quadratic import NoisyQuadratic
from lrlib.schedule import Schedule

# --- 1. The limit of a matrix


def _hessians() -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    return [a.T @ a for a in rng.standard_normal((3, 6, 4))]


_values = np.linalg.eigvalsh

check_limit = exercise(
    "Exercise 1: ``limit(hessian, momentum)``, the largest stable rate of a quadratic.",
    right=lambda hessian, momentum: stability_limit(_values(hessian).max(), momentum),
    cases=tuple(zip(_hessians(), (0.0, 0.9, 0.5), strict=True)),
    names=("_hessian", "momentum"),
    rel=2e-3,  # found by experiment, perhaps
    rules_out=("lrlib.fixed_learning_rate", "stability_limit"),
    wrong=(
        (
            "you used the smallest eigenvalue. Which direction is the first to overshoot, the "
            "flat one or the steep one?",
            lambda h, m: 2 * (1 + m) / _values(h).min(),
        ),
        (
            "you used the trace, the sum of all eigenvalues: safe, and not the limit.",
            lambda h, m: 2 * (1 + m) / np.trace(h),
        ),
        (
            "you used the largest entry of the matrix. Its eigenvalues can be larger: the "
            "steepest direction need not be an axis.",
            lambda h, m: 2 * (1 + m) / h.max(),
        ),
        (
            "you used the norm of all entries (Frobenius'), which counts every direction. One "
            "decides, the steepest: np.linalg.norm(hessian, 2) is its eigenvalue.",
            lambda h, m: 2 * (1 + m) / np.linalg.norm(h),
        ),
        (
            "you used the largest sum of a row, a bound that the eigenvalue need not reach.",
            lambda h, m: 2 * (1 + m) / np.abs(h).sum(1).max(),
        ),
        (
            "a factor of 2 is missing. At 1/λ the steep direction is solved in one step; it still "
            "converges up to twice that.",
            lambda h, m: (1 + m) / _values(h).max(),
            lambda h, m: 1 / _values(h).max(),
        ),
        (
            "momentum is ignored. At the limit θ changes its sign at every step: does the velocity "
            "left over from the last step then help or harm?",
            lambda h, m: 2 / _values(h).max(),
        ),
        (
            "momentum does not lower the limit. lr / (1 - momentum) is the effective rate of a "
            "steady push, but at the limit the gradient changes its sign at every step.",
            lambda h, m: 2 * (1 - m) / _values(h).max(),
        ),
        (
            "the limit does not grow as 1/(1 - momentum): that is how much longer a steady push "
            "acts, but an overshoot changes its sign at every step. Try 1 + momentum.",
            lambda h, m: 2 / (_values(h).max() * (1 - m)),
            lambda h, m: 2 * (1 + m) / (_values(h).max() * (1 - m)),
        ),
        (
            "momentum acts on the whole limit: it multiplies 2/λ by 1 + momentum.",
            lambda h, m: 2 / _values(h).max() + m,
            lambda h, m: (2 + m) / _values(h).max(),
            lambda h, m: 2 / _values(h).max() * (1 + m) ** 2,
        ),
    ),
    differs="you returned {given}, but the limit is {wanted}.",
    passed="the limit is set by the steepest direction, and momentum raises it.",
)


# --- 2. A budget for noise

_H, _C = np.array([1.0, 0.5, 0.1]), np.array([1.0, 2.0, 0.3])


def _on_the_budget(target: float, h: np.ndarray, c: np.ndarray, batch_size: float) -> float:
    low, high = 0.0, 2 / h.max()
    for _ in range(60):
        middle = (low + high) / 2
        if noise_floor(middle, h, c, batch_size) <= target:
            low = middle
        else:
            high = middle
    return low


def _floor(ask: Ask, target: float, h: np.ndarray, c: np.ndarray, batch_size: int) -> float:
    """The floor of the rate that is returned."""
    rate = to_number(ask(target, h, c, batch_size), ask.name)
    if not 0 < rate < stability_limit(h.max()):
        raise Mistake(
            f"with target={target:g}, batch_size={batch_size} you returned {rate:.4g}; a rate must "
            f"lie between 0 and the stability limit 2/h_max = {stability_limit(h.max()):g}."
        )
    return float(noise_floor(rate, h, c, batch_size))


_SO = "your rate has the floor {given}: "
check_rate_for_floor = exercise(
    "Exercise 2: ``rate(target, h, c, batch_size)``, the largest rate whose floor is `target`.",
    right=_on_the_budget,
    names=("target", "_h", "_c", "batch_size"),
    cases=((0.01, _H, _C, 1), (0.5, _H, _C, 16), (30.0, _H, _C, 4)),
    read=_floor,
    rel=1e-3,
    wrong=(
        (
            _SO + "it looks as if the batch size were left out: the noise is divided by it.",
            lambda t, h, c, b: _on_the_budget(t, h, c, 1),
        ),
        (
            _SO + "the batch size acts the other way round: the noise is divided by it.",
            lambda t, h, c, b: _on_the_budget(t, h, c, 1 / b),
            lambda t, h, c, b: _on_the_budget(t / b, h, c, 1),
            lambda t, h, c, b: _on_the_budget(t * b, h, c, b),
        ),
        (
            _SO + "the noise is divided by the batch size itself, not by its root.",
            lambda t, h, c, b: _on_the_budget(t, h, c, b**0.5),
        ),
        (
            _SO + "that is the formula for small rates, η ΣC / (4B). Near the limit the floor "
            "bends up; search for the rate instead of solving the approximation.",
            lambda t, h, c, b: 4 * b * t / c.sum(),
        ),
        (
            _SO + "the search stops too early. Halve the interval until nothing changes: 50 times "
            "is enough.",
            *(lambda t, h, c, b, n=n: _halved(t, h, c, b, n) for n in (3, 4, 5, 6, 7, 8)),
        ),
    ),
    differs="your rate has the floor {given}, and the budget is {wanted}. The largest rate that "
    "respects it sits on it: a higher floor is over the budget, and with a lower one a larger "
    "rate would too.",
    passed="your rates sit exactly on the budget.",
)


def _halved(t: float, h: np.ndarray, c: np.ndarray, b: int, times: int) -> float:
    low, high = 0.0, 2 / h.max()
    for _ in range(times):
        middle = (low + high) / 2
        low, high = (middle, high) if noise_floor(middle, h, c, b) <= t else (low, middle)
    return low or high


# --- 3. Choosing a rate from a sweep

_RATES = np.array([0.01, 0.02, 0.04, 0.08, 0.16])
_LOSSES = np.array(
    [[1.0, 1.1, 0.9], [0.55, 0.56, 1.35], [0.6, 0.62, 0.61], [1.2, 0.2, 1.1], [3.0, 2.0, 4.0]]
)


def _with_rows(rows: dict[int, Any]) -> np.ndarray:
    losses = _LOSSES.copy()
    for row, values in rows.items():
        losses[row] = values
    return losses


def _pick(
    score: Callable[[np.ndarray], np.ndarray] = lambda x: x.mean(1),
    lost: float | None = np.inf,
    refuses: bool = True,
) -> Callable[[np.ndarray, np.ndarray], float]:
    """The rate with the least score of its losses, NaN being `lost`."""

    def choose(rates: np.ndarray, losses: np.ndarray) -> float:
        known = losses if lost is None else np.where(np.isnan(losses), lost, losses)
        best = int(np.argmin(score(known)))
        if refuses and best in (0, len(rates) - 1):
            side = "smallest" if best == 0 else "largest"
            raise ValueError(
                f"the best rate is the {side} of the grid, and the true best may lie outside"
            )
        return float(rates[best])

    return choose


def _chosen(ask: Ask, rates: np.ndarray, losses: np.ndarray) -> float:
    try:
        rate = to_number(ask(rates, losses), ask.name)
    except Mistake as error:
        if isinstance(cause_of(error), ValueError) and np.isnan(losses[3:]).all():
            raise Mistake(
                f"0.04 was the best of {rates.tolist()} and its right-hand neighbours diverged: "
                f"that is no edge of the grid. Look for the edge in rates, not in what is left. "
                f"({error})"
            ) from error
        raise
    return among(rate, rates.tolist()) or rate


_MEAN = "the mean is asked for: a bad run has to count."
check_choose_rate = exercise(
    "Exercise 3: ``choose(rates, losses)``: lowest mean, NaN is infinitely bad, edges refused.",
    right=_pick(),
    names=("_rates", "_losses"),
    cases=(
        (_RATES, _LOSSES),
        (_RATES, _with_rows({2: [0.1, np.nan, 0.1]})),
        (_RATES, _with_rows({1: [0.5, np.nan, 0.8]})),
        (_RATES, _with_rows({1: [1.2, np.nan, 0.8]})),
        (_RATES, _with_rows({3: np.nan, 4: np.nan})),
        (_RATES, _with_rows({0: 0.1})),
        (_RATES, _with_rows({4: 0.1})),
    ),
    read=_chosen,
    wrong=(
        (
            "you chose {given}, which has the lowest median. " + _MEAN.capitalize(),
            _pick(lambda x: np.median(x, axis=1)),
            _pick(lambda x: np.median(x, axis=1), None),
        ),
        (
            "you chose {given}, the rate of the single best run. One lucky seed is not a good "
            "rate: compare the means over seeds.",
            _pick(lambda x: x.min(1)),
            _pick(lambda x: np.nanmin(x, axis=1), None),
            _pick(lambda x: x.min(1), refuses=False),
        ),
        (
            "you chose {given}, which has the least spread. The lowest mean is asked for.",
            _pick(lambda x: np.nan_to_num(x, posinf=1e9).std(1)),
        ),
        (
            "you chose {given}, whose worst run is the least bad. " + _MEAN.capitalize(),
            _pick(lambda x: x.max(1)),
        ),
        (
            "you chose {given}, which has the highest loss. Lower is better.",
            _pick(lambda x: -x.mean(1), None, refuses=False),
            _pick(lambda x: -x.mean(1), refuses=False),
        ),
        (
            "one run of the rate {given} diverged (NaN), and you left it out of the mean. A rate "
            "at which one run in three is lost is not the best rate.",
            _pick(lambda x: np.nan_to_num(np.nanmean(x, axis=1), nan=np.inf), None),
            _pick(lambda x: np.nanmean(x, axis=1), None),
        ),
        (
            "one run of the rate {given} diverged (NaN), and you count it as 0. It is infinitely "
            "bad.",
            _pick(lost=0.0),
        ),
        (
            "NaN won a comparison. Turn NaN into infinity before you compare.",
            _pick(lambda x: x.mean(1), None),
        ),
        (
            "you chose from the first seed alone. Take the mean over all of them, along axis 1.",
            _pick(lambda x: x[:, 0]),
        ),
    ),
    differs="you chose {given}, but {wanted} is right: return the entry of rates whose losses have "
    "the lowest mean.",
    passed="means over seeds, lost runs punished, edges refused.",
)


# --- 4. What is wrong with this experiment?

check_flaws = flaws(
    "Exercise 4a: which of the statements A to E name a flaw of the careless comparison.",
    right=lambda: {"A", "B", "D"},
    hints={
        "A": "look at the second argument of the two calls of train.",
        "B": "what does min() keep, if each list holds one loss for each seed?",
        "C": "the loss at the end is what a run is for; averaging over the run rewards haste.",
        "D": "could you tell from the one number returned whether a new set of seeds agrees?",
        "E": "a seed is a name, not a quantity: no list of distinct seeds is better than another.",
    },
    passed="unpaired, lucky and without a spread.",
)

Train = Callable[[float, int], float]


def _differences(
    train: Train, a: float, b: float, seeds: Sequence[int], shift: int = 0
) -> np.ndarray:
    return np.array([train(b, s + shift) - train(a, s) for s in seeds])


def _each(train: Train, rate: float, seeds: Sequence[int]) -> np.ndarray:
    return np.array([train(rate, s) for s in seeds])


def _compared(ask: Ask, a: float, b: float, seeds: Sequence[int]) -> dict[str, Any]:
    """On which seeds the two rates ran, and the differences that are returned."""
    calls: list[tuple[float | None, int]] = []
    limit = Limit(10_000, "runs of train")

    def train(rate: float, seed: int) -> float:
        limit()
        calls.append((among(rate, (a, b)), seed))
        start, slope = np.random.default_rng(seed).normal(size=2)
        return start + 10 * rate * (1 + 0.5 * slope)

    answer = to_numbers(ask(train, a, b, seeds), ask.name, "an array of differences")
    used = {rate: tuple(sorted(s for r, s in calls if r == rate)) for rate in (a, b)}
    if {rate for rate, _ in calls} != {a, b}:
        raise Mistake("call train for rate_a and for rate_b, and for no other rate.")
    if used[a] != used[b]:
        raise Mistake(
            f"the two rates ran on different seeds, {list(used[a])} and {list(used[b])}. The same "
            f"seed means the same initial weights and batches; only then is the difference the "
            f"rate's."
        )
    return {"seeds": used[a], "differences": answer}


_SINGLE = (
    "the differences do not belong to single seeds. Subtract the two losses of the same seed, in "
    "the order of the seeds."
)
check_compare = exercise(
    "Exercise 4b: ``compare(train, rate_a, rate_b, seeds)``, paired differences b - a.",
    right=_differences,
    names=("rate_a", "rate_b", "seeds"),
    cases=((0.1, 0.2, [3, 11, 4, 8, 20]), (0.3, 0.05, [7, 2, 9])),
    read=_compared,
    wrong=(
        (
            _SINGLE,
            lambda f, a, b, s: np.sort(_each(f, b, s)) - _each(f, a, s),
            lambda f, a, b, s: np.sort(_each(f, b, s)) - np.sort(_each(f, a, s)),
            lambda f, a, b, s: _differences(f, a, b, sorted(s)),
            lambda f, a, b, s: _each(f, b, s)[::-1] - _each(f, a, s),
            lambda f, a, b, s: _each(f, b, s) - _each(f, a, s).mean(),
            lambda f, a, b, s: _each(f, b, s).mean() - _each(f, a, s),
        ),
        (
            "use every one of the seeds {seeds}, as they are given, once; you used {given}.",
            lambda f, a, b, s: _differences(f, a, b, range(len(s))),
            lambda f, a, b, s: _differences(f, a, b, s[:-1]),
            lambda f, a, b, s: _differences(f, a, b, s[:2]),
        ),
        (
            "those are the losses of one rate. The difference to those of the other is asked for.",
            lambda f, a, b, s: (_each(f, a, s), _each(f, b, s))[1],
            lambda f, a, b, s: (_each(f, b, s), _each(f, a, s))[1],
        ),
        (
            "those are ratios. The difference is asked for.",
            lambda f, a, b, s: _each(f, b, s) / _each(f, a, s),
            lambda f, a, b, s: _each(f, b, s) / _each(f, a, s) - 1,
        ),
        (
            "that is whether rate_a is better, and not by how much. The differences are asked for.",
            lambda f, a, b, s: _differences(f, a, b, s) > 0,
            lambda f, a, b, s: np.sign(_differences(f, a, b, s)),
        ),
    ),
    say={
        "seeds": {},
        "differences": {
            "negative": "the sign is turned round: positive should mean that rate_a is better.",
            "absolute": "the sign is lost: positive should mean that rate_a is better, and "
            "negative that rate_b is.",
            "mean": "return one difference for each seed: whoever reads it needs the spread.",
            "sum": "return one difference for each seed: whoever reads it needs the spread.",
            "sorted": _SINGLE,
            "reversed": _SINGLE,
        },
    },
    differs={"seeds": "use every one of the seeds {seeds} once; you used {given}."},
    passed="paired, complete, with the spread left in.",
)


# --- 5. Beat the fixed rate


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
        raise Mistake(
            f"with its best peak, {peak:.3g}, your schedule ends at "
            f"{apart(loss / best, 1.15)[0]} times the best one found; the best fixed rate ends "
            f"at 1.65, and 1.15 is asked for. {_advice(factors)}"
        )
    if len(set(factors.tolist())) > steps / 10:
        raise Mistake(
            f"your schedule ends at {loss / best:.3f} times the best one found, but it has "
            f"{len(set(factors.tolist()))} different factors: build it from a handful of constants."
        )
    passed(f"your schedule ends at {loss / best:.3f} times the best one found (peak {peak:.3g}).")


def _advice(factors: np.ndarray) -> str:
    first, last = factors[0], factors[-1]
    if last >= first:
        return "It ends no lower than it starts. Late in a run, which is left: distance or noise?"
    if last < first / 100:
        return "Its last rate is so small that those steps do nothing. Where could they help?"
    if len(set(factors.tolist())) < 3:
        return "One drop is not enough. Divide the fall into two or more."
    return "Try to fall earlier or later, and by factors of 2 to 4 at a time."
