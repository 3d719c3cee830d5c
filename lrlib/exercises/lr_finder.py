"""Checkers of chapter 09."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lrlib.exercises import (
    Ask,
    Like,
    Mistake,
    apart,
    checker,
    exercise,
    flaws,
    number,
    passed,
    short,
    to_number,
    to_numbers,
)
from lrlib.exercises.lr_finder_given import CURVES, Curve, Problem, curve, problems
from lrlib.exercises.lr_finder_trace import check_without_trace
from lrlib.exercises.watching import Watched

__all__ = ["check_without_trace", "curve", "problems"]  # what the sheet imports from here


def _list(answer: Any, name: str, what: str) -> np.ndarray:
    given = to_numbers(answer, name, f"a list of {what}")
    if given.ndim != 1:
        raise Mistake(f"{name} should return a list of {what} alone, not {short(answer)}.")
    return given


# --- 1. The rates


def _rates(start_lr: float, end_lr: float, num_iter: int) -> np.ndarray:
    return np.geomspace(start_lr, end_lr, num_iter)


def _times(ratio: Callable[[float, float, int], float]) -> Callable[..., np.ndarray]:
    """The rates if each is the one before, multiplied by ``ratio(start_lr, end_lr, num_iter)``."""
    return lambda a, b, n: a * ratio(a, b, n) ** np.arange(n)


def _logs(start: float, end: float, n: int) -> np.ndarray:
    return np.linspace(math.log10(start), math.log10(end), n)


check_rates = exercise(
    "Exercise 1: ``rates(start_lr, end_lr, num_iter)``, equally spaced in the logarithm.",
    right=_rates,
    cases=((1e-6, 10.0, 100), (1e-4, 1.0, 5), (0.003, 0.7, 12), (0.5, 8.0, 3)),
    read=lambda ask, *case: _list(ask(*case), ask.name, "rates"),
    rel=1e-5,  # of powers in float32
    wrong=(
        (
            "your rates are equally spaced themselves: nearly all lie in the last decade. Their "
            "logarithms should be.",
            np.linspace,
            lambda a, b, n: np.linspace(a, b, n, endpoint=False),
        ),
        (
            "your rates are equally spaced in a power. In the logarithm is asked for.",
            lambda a, b, n: np.sqrt(np.linspace(a**2, b**2, n)),
            lambda a, b, n: a + (b - a) * np.linspace(0, 1, n) ** 2,
        ),
        (
            "the last rate is not end_lr. From the first of n rates to the last it is n - 1 steps.",
            _times(lambda a, b, n: (b / a) ** (1 / n)),
        ),
        (
            "the first rate is not start_lr, and there are n. From the first to the last it is "
            "n - 1 steps.",
            lambda a, b, n: np.geomspace(a, b, n + 1)[1:],
            lambda a, b, n: np.geomspace(a, b, n + 2)[1:-1],
        ),
        ("you return one rate too many: n steps join n + 1.", lambda a, b, n: _rates(a, b, n + 1)),
        ("you return one rate too few: n steps join n + 1.", lambda a, b, n: _rates(a, b, n - 1)),
        (
            "num_iter is not used. np.geomspace makes 50 numbers if it is not told how many.",
            lambda a, b, n: np.geomspace(a, b),
        ),
        (
            "the factor from each rate to the next follows from the ends and num_iter: n - 1 of "
            "them, multiplied, make end_lr / start_lr. (`x ** 1 / n` is `(x ** 1) / n`.)",
            _times(lambda a, b, n: 10.0),
            _times(lambda a, b, n: 2.0),
            _times(lambda a, b, n: b / a / (n - 1)),
            _times(lambda a, b, n: b / a / n),
            _times(lambda a, b, n: (b - a) ** (1 / (n - 1))),
        ),
        (
            "your rates fall below start_lr: the ratio of the ends is upside down.",
            _times(lambda a, b, n: (a / b) ** (1 / (n - 1))),
        ),
        (
            "num_iter rates are asked for, also between the powers of ten.",
            lambda *case: 10 ** _logs(*case).round(),
            lambda a, b, n: 10.0 ** np.arange(round(math.log10(a)), round(math.log10(b)) + 1),
            lambda a, b, n: 10.0 ** np.arange(round(math.log10(a)), round(math.log10(b))),
        ),
        ("those are the logarithms. The rates are 10 to their power.", _logs),
        (
            "np.logspace takes the exponents of the ends. np.geomspace takes the ends themselves.",
            np.logspace,
        ),
        (
            "the logarithm and the power have different bases. Take 10 in both, or e.",
            lambda *case: np.exp(_logs(*case)),
            lambda *case: 10 ** np.log(_rates(*case)),
        ),
    ),
    say={
        "early": "the first rate is start_lr itself. You multiply once before it.",
        "reversed": "your rates fall. The test goes from small rates to large.",
        "log": "those are the logarithms. The rates are e to their power.",
        "divided start_lr": "those are the factors on start_lr, not the rates.",
        "no last": "the last rate, end_lr, is missing.",
        "no first": "the first rate, start_lr, is missing.",
    },
    differs="rate {i} is {given}, and {wanted} is right.",
    passed="every update multiplies the rate by the same factor, from the first to the last.",
)


# --- 2. The range test


def _loss(updates: int) -> float:
    """A made-up loss: it falls, with so much noise that the last is not the lowest."""
    return 1 / (1 + updates) + 0.5 * random.Random(f"loss {updates}").random()


_NEVER = lambda *_: False  # noqa: E731


def _test(
    loop: str = "rsb",
    first: str = "b",
    rate: Callable[..., float] = lambda rate, k, groups, began: rate * began[k] / began[0],
    stop: Callable[..., bool] = lambda loss, losses: not math.isfinite(loss),
    pad: float | None = math.nan,
    then: Callable[[np.ndarray], Any] = lambda losses: losses,
) -> Callable[..., Any]:
    """A range test. r writes the rates, s steps, z zeroes gradients, b: train_step, l: losses."""

    def range_test(optimizer: Any, train_step: Callable[[], Tensor], rates: Sequence[float]) -> Any:
        groups, loss, losses = optimizer.param_groups, math.nan, []
        began = [group["lr"] for group in groups]
        for letter, value in [
            *((x, 0) for x in first),
            *((x, r) for r in rates for x in loop + "."),
        ]:
            if letter == "r":
                for k, group in enumerate(groups):
                    group["lr"] = rate(value, k, groups, began)
            elif letter in "bc":
                loss = float(train_step() if letter == "b" else optimizer.step(train_step))
            elif letter in "sz":
                optimizer.step() if letter == "s" else optimizer.zero_grad()
            elif letter == "l" or "l" not in loop:
                losses.append(loss)
            if letter == "." and stop(loss, losses):
                break
        return then(np.array(losses + [pad] * (pad is not None and len(rates) - len(losses))))

    return range_test


def _tested(ask: Ask, n: int, peaks: Sequence[float], odd: dict[int, float]) -> dict[str, Any]:
    """What a range test did; the loss after so many updates is made up, or that in `odd`."""
    weights = [torch.zeros(2, dtype=torch.float64).requires_grad_() for _ in peaks]
    pairs = zip(weights, peaks, strict=True)
    optimizer = torch.optim.SGD([{"params": [w], "lr": lr} for w, lr in pairs])
    run, gradients = Watched(optimizer), []
    optimizer.register_step_pre_hook(
        lambda *_: gradients.append(min(0 if w.grad is None else float(w.grad[0]) for w in weights))
    )

    def train_step() -> Tensor:
        optimizer.zero_grad()
        total = torch.stack([w.sum() for w in weights]).sum()
        loss = total - total.detach() + odd.get(run.updates, _loss(run.updates))
        loss.backward()
        return loss

    answer = ask(optimizer, run.noted("train_step", train_step), np.geomspace(1e-3, 1, n))
    entries = answer if isinstance(answer, list | tuple) else [answer]
    if any(isinstance(entry, Tensor) and entry.requires_grad for entry in entries):
        raise Mistake(
            "your losses are tensors that still hang on the graphs of their computation, which "
            "stay in memory with them. Take the number: loss.item() or float(loss)."
        )
    losses = _list(answer, ask.name, "losses")
    end = min((k for k, loss in odd.items() if not math.isfinite(loss)), default=0)
    known, last, rest = np.split(losses, [end - 1, end]) if end else (losses, [], [])
    return {
        "updates": run.updates,
        "calls": tuple(updates for _, updates, _ in run.log),
        "gradients": np.array(gradients),
        "rates": run.trace.lr if run.updates else np.zeros((0, len(peaks))),
        "count": len(losses),
        "losses": known,
        "ended": Like(next((f"{x:.4g}" for x in last if np.isfinite(x)), "NaN")),
        "untried": Like(next((f"{x:.4g}" for x in rest if not np.isnan(x)), "NaN")),
    }


check_range_test = exercise(
    "Exercise 2: ``range_test(optimizer, train_step, rates)``, the losses after each update.",
    right=_test(),
    names=("n_rates", "lr_of_groups", "losses"),
    cases=(
        (6, (0.1, 0.01, 0.4), {}),
        (9, (0.5, 0.05), {3: 1e4}),  # large, but a number
        (5, (0.3, 0.2), {}),
        (9, (0.5, 0.05), {5: math.nan}),
        (7, (2.0,), {4: math.inf}),
    ),
    read=_tested,
    noun="test",
    rel=1e-5,
    wrong=(
        ("no update was made. train_step() does not step the optimizer.", _test("rb")),
        (
            "the test went on. The weights are spoilt by then: stop at the first loss that is not "
            "finite, be it NaN or infinite.",
            _test(stop=_NEVER),
            _test(stop=lambda loss, _: math.isnan(loss)),
        ),
        (
            "after {given} updates you stop. A loss that is not finite ends the test, no other.",
            _test(stop=lambda loss, _: loss > 3 or not math.isfinite(loss)),
            _test(stop=lambda loss, losses: len(losses) > 1 and loss > losses[-2]),
        ),
        (
            "two updates came one after the other, without a gradient between them. Step the "
            "optimizer once for every rate.",
            _test("rssb"),
        ),
        (
            "train_step() returns the loss of the weights before the update. You put that loss "
            "beside the rate of the update that follows, which had no part in it. The loss after "
            "the last update is missing: train_step() is called once more.",
            _test("brs", ""),
        ),
        (
            "train_step() ran twice for every update, which uses up twice the batches. One call "
            "gives both: the loss after the last update, and the gradient for the next.",
            _test("rbsb", ""),
        ),
        (
            "the first update came before train_step() had computed any gradient. It is called "
            "once before the first update.",
            _test("rsb", ""),
        ),
        (
            "train_step ran inside optimizer.step(…), before the weights moved, so its loss is "
            "that before the update. Call the two one after the other.",
            _test("rc", "", stop=_NEVER),
        ),
        (
            "an update found no gradient. train_step() has zeroed the old ones and leaves the new: "
            "do not zero them again before the update.",
            _test("rzsb"),
        ),
        ("the rate never changed. Write it into group['lr'] of every group.", _test("sb")),
        ("every rate came one update late. Set the rate, then step.", _test("srb")),
        (
            "only the first group's rate changed. The others keep their ratios to it, not their "
            "rates. (Did you compute a ratio when the first rate was the new one?)",
            _test(rate=lambda rate, k, groups, _: groups[k]["lr"] if k else rate),
            _test(rate=lambda rate, k, groups, _: rate * groups[k]["lr"] / groups[0]["lr"]),
        ),
        (
            "all groups got the same rate. Keep the ratios that they had at the start.",
            _test(rate=lambda rate, *_: rate),
        ),
        (
            "the rates were applied as factors on what the groups had. They are the rates of the "
            "first group.",
            _test(rate=lambda rate, k, _, began: rate * began[k]),
            _test(rate=lambda rate, k, groups, _: rate * groups[k]["lr"]),
        ),
        (
            "the ratios are upside down: divide each group's rate by the first one's.",
            _test(rate=lambda rate, k, _, began: rate / began[k] * began[0]),
        ),
        (
            "you return {given} losses. The one from before the first update belongs to no rate.",
            lambda *args: np.append(_loss(0), _test()(*args)),
        ),
        (
            "you return {given} losses. Return one for every rate, NaN for those that were not "
            "tried, so that rates and losses fit together.",
            _test(pad=None),
            _test(then=lambda losses: losses[np.isfinite(losses)]),
        ),
        (
            "the loss beside each rate is that from before its update. Beside it belongs the loss "
            "that train_step() returns next.",
            _test("lrsb"),
        ),
        (
            "you return the lowest loss so far. A blow-up cannot be seen in that.",
            _test(then=np.minimum.accumulate),
        ),
        ("your losses are in reverse order.", _test(then=lambda losses: losses[::-1])),
    ),
    differs={
        "updates": "{given} updates were made, and {wanted} are right: one for each rate, up to "
        "the first loss that is not finite.",
        "calls": "train_step() was called after so many updates: {given}. It is called once before "
        "the first update and once after each: {wanted}.",
        "gradients": "in update {i} the gradient was {given} times that of train_step(), which "
        "zeroes the old ones and runs backward itself.",
        "rates": "in update and group {i} the rate was {given}, and {wanted} is right: that of "
        "`rates`, times the group's ratio to the first one at the start.",
        "count": "you return {given} losses for {n_rates} rates.",
        "losses": "beside rate {i} you have the loss {given}; after that update it was {wanted}.",
        "ended": "the loss that was not finite stands there as {given}. NaN says it is no number.",
        "untried": "a rate that was not tried has the loss {given}. Fill the rest with NaN.",
    },
    passed="an update for each rate, at this rate, until the loss is not finite.",
)


# --- 4. What is wrong with this finder?

check_flaws = flaws(
    "Exercise 4a: which of the statements A to G name a flaw of the finder.",
    right=lambda: {"C", "D", "F", "G"},
    hints={
        "A": "the rates of the losses that are not finite are dropped as well, so the two still "
        "fit together.",
        "B": "divided by 1 - 0.95**t, the mean of losses that are all 2 is 2 from the first on.",
        "C": "over how many of the last losses does it average, and how many decades are that? "
        "Where is the fall seen then?",
        "D": "the loss falls by 1 from 1e-6 to 1e-5, and by 1 from 0.1 to 1. Which fall has the "
        "larger slope per unit of rate? On the axis of the figure both look the same.",
        "E": "np.gradient takes the neighbours on both sides, and so its slopes lie where the "
        "rates are.",
        "F": "where may the loss fall fastest, once it has blown up?",
        "G": "argmin counts from the first entry of what it is given. Which rate belongs to that?",
    },
    passed="too late, per the wrong unit, after the blow-up, and at another rate than it found.",
)


def _finder(
    per_decade: bool = True,
    lag: float = 0,
    up_to_lowest: bool = True,
    skip: int = 0,
    finite: bool = True,
    box: float = 0.25,
    pick: Callable[[np.ndarray], Any] = np.argmin,
) -> Callable[[np.ndarray, np.ndarray], float]:
    """The careless finder without its faults, but for those asked for; `box` decades smooth it."""

    def suggest(rates: np.ndarray, losses: np.ndarray) -> float:
        keep = np.isfinite(losses) | (not finite)
        rates, losses = rates[keep], losses[keep]
        if up_to_lowest:
            rates, losses = (x[: np.argmin(losses) + 1] for x in (rates, losses))
        if lag:
            mean = np.cumsum(losses * lag ** -np.arange(len(losses))) * lag ** np.arange(
                len(losses)
            )
            losses = mean * (1 - lag) / (1 - lag ** np.arange(1, len(losses) + 1))
        elif box:
            half = max(1, round(box / math.log10(rates[1] / rates[0])))
            kernel = np.ones(2 * half + 1) / (2 * half + 1)
            losses, rates = np.convolve(losses, kernel, "valid"), rates[half:-half]
        slope = np.gradient(losses, np.log10(rates) if per_decade else rates)
        return rates[pick(slope[skip:])]

    return suggest


_UNITS = {  # losses times, losses plus, rates times
    "all losses are multiplied by 1000": (1000, 0, 1),
    "all losses are divided by 1000": (0.001, 0, 1),
    "all losses are lowered by 50, as some losses are": (1, -50, 1),
    "all losses are raised by 50": (1, 50, 1),
    "all rates are multiplied by 1e-4": (1, 0, 1e-4),
    "all rates are multiplied by 300": (1, 0, 300),
}


def _suggested(ask: Ask, made: Curve, units: str) -> dict[str, Any]:
    """Where a suggestion lies on the curve; or whether it stays there, in other units."""
    rates, losses = made.draw()
    answer = _one_of(ask, rates, losses)
    if not units:
        return {"": _place(made, answer, rates, losses)}
    times, plus, scale = _UNITS[units]
    other = _one_of(ask, scale * rates, times * losses + plus)
    same = math.isclose(other, scale * answer, rel_tol=0.02)
    return {"units": Like("the same" if same else f"from {answer:.3g} to {other:.3g}")}


def _one_of(ask: Ask, rates: np.ndarray, losses: np.ndarray) -> float:
    answer = to_number(ask(rates, losses), ask.name)
    hint = "That is none of the rates that were tried."
    if rates[0] * 0.999 <= answer <= rates[-1] * 1.001:
        return answer
    if not math.isfinite(answer):
        hint = "Leave out the losses that are not finite." * (not np.isfinite(losses).all())
    elif answer < 0 and rates[0] <= 10.0**answer:
        hint = "Is it a logarithm? The rate is 10 to its power."
    elif answer == int(answer) and 0 <= answer < len(rates):
        hint = "Is it an index? The rate stands in rates[index]."
    raise Mistake(f"you suggest {answer:.3g}, which is no rate of this test. {hint}")


def _place(made: Curve, answer: float, rates: np.ndarray, losses: np.ndarray) -> Like:
    x, bad, quiet = math.log10(answer), ~np.isfinite(losses), not made.noise
    step, off = math.log10(rates[1] / rates[0]), x - made.middle
    low = math.log10(rates[np.argmin(np.where(bad, np.inf, losses))])
    places = {
        "right": abs(off) <= (0.15 if quiet else 0.3),
        "not finite": bad.any() and x > math.log10(rates[np.argmax(bad)]) - 0.35,
        "a tenth of the minimum": abs(x - low + 1) < step / 2,
        "the minimum": abs(x - low) < 1.5 * step,
        "after the blow-up": made.again and x > made.wall + 0.5,
        "rising": x > low,
        "ten points early": quiet and abs(off + 10 * step) < 1.5 * step,
        "per rate": x < -5,
        "late": quiet and off > 0,
        "early": quiet,
        "noise": True,
    }
    given, right = apart(answer, 10.0**made.middle, 3)
    place = next(place for place, holds in places.items() if holds)
    return Like(place, f"your suggestion is {given}, and {right} is right")


check_suggest = exercise(
    "Exercise 4b: ``suggest(rates, losses)``, the rate at which the loss falls fastest.",
    right=_finder(),
    names=("curve", "_units"),
    cases=(*((made, "") for made in CURVES), *((CURVES[6], units) for units in _UNITS)),
    read=_suggested,
    noun="curve",
    rules_out="lrlib.lr_finder",
    wrong=(
        (
            "{given}: there the loss falls fastest per unit of rate, and small rates have small "
            "units. Take the slope per decade, d loss / d log10(rate).",
            _finder(per_decade=False),
            _finder(per_decade=False, box=0),
            _finder(per_decade=False, lag=0.95, up_to_lowest=False, skip=10),
        ),
        (
            "{given}: it is late. A mean of the losses before lags behind the curve: average over "
            "the neighbours on both sides, or fit a line to them.",
            _finder(lag=0.95),
            _finder(lag=0.9, up_to_lowest=False),
        ),
        (
            "{given}: it lies after the blow-up, where the loss falls back. Look for it before the "
            "lowest loss only.",
            _finder(up_to_lowest=False),
        ),
        (
            "{given}: it is ten points too low. If you skip the first ten slopes, argmin counts "
            "from the eleventh.",
            _finder(skip=10),
        ),
        (
            "{given}: it lies at the losses that are not finite. np.argmin finds a NaN before any "
            "number: leave out those losses, and their rates.",
            _finder(finite=False),
        ),
        (
            "{given}: that is the minimum, where the loss no longer falls. The rate at which it "
            "falls fastest is asked for.",
            lambda rates, losses: rates[np.nanargmin(losses)],
        ),
        (
            "{given}: that is a tenth of the minimum, and not where the loss falls fastest.",
            lambda rates, losses: rates[np.nanargmin(losses)] / 10,
        ),
        (
            "{given}: there the loss rises fastest. The slope of a fall is negative: take argmin.",
            _finder(up_to_lowest=False, pick=np.argmax),
            lambda rates, losses: rates[np.nanargmax(np.gradient(losses))],
        ),
        (
            "{given}: that may be noise, as the slope between two neighbours is nearly all noise. "
            "Take it over half a decade or so, by a line fitted to all points there.",
            _finder(box=0),
        ),
    ),
    differs={
        "": "{given}: look at the curve, and at what your function makes of it.",
        "units": lambda made, units: (
            f"if {units}, your suggestion goes {{given}}. The loss falls fastest where it did: "
            f"compare losses with each other and not with a fixed number, and work with "
            f"differences of the logarithms of the rates. Nothing in the curve says what a usual "
            f"rate is."
        ),
    },
    passed="the steepest point, per decade, within a factor of 2 and whatever the units.",
)


# --- 5. A rule, judged by regret

BOUND = 1.4
_JUDGED = range(2**40, 2**40 + 24)  # problem seeds that lab.seeds never gives


@checker()
def check_rule(rule: Callable[[np.ndarray, np.ndarray], float]) -> None:
    """Exercise 5: ``rule(rates, losses)``, a peak for runs of 400 steps, judged by its regret."""
    judged = problems(_JUDGED)
    found = np.array([_peak(rule, problem.rates, problem.losses) for problem in judged])
    for problem, peak in zip(judged[:3], found, strict=False):
        scaled = _peak(rule, 100 * problem.rates, problem.losses)
        if not math.isclose(scaled, 100 * peak, rel_tol=0.02):
            raise Mistake(
                f"if all rates of a test are multiplied by 100, your peak goes from {peak:.3g} to "
                f"{scaled:.3g}. The best peak goes up a hundredfold then: the problem is the same "
                f"in other units. Read the peak from the curve."
            )
    ratios = np.array([p.ratio(peak) for p, peak in zip(judged, found, strict=True)])
    median = float(np.median(ratios))
    if median > BOUND:
        shown = f"{apart(median, BOUND, 3)[0]} times" if median < math.inf else "infinitely"
        raise Mistake(
            f"the final loss is {shown} that of the best peak, in the median of {len(judged)} "
            f"problems; {BOUND} is allowed. {_advice(judged, found, int(np.isinf(ratios).sum()))}"
        )
    passed(f"the final loss is {median:.2f} times that of the best peak, in the median.")


def _advice(judged: Sequence[Problem], found: np.ndarray, lost: int) -> str:
    off = np.array([peak / p.best for p, peak in zip(judged, found, strict=True)])
    low, middle, high = np.quantile(off, [0.25, 0.5, 0.75])
    if np.allclose(found, [p.rates[p.losses.argmin()] for p in judged], rtol=1e-6):
        return (
            f"Your peak is the rate with the lowest loss: the edge of what the run survived, "
            f"{middle:.1f} times the best peak in the median."
        )
    if np.allclose(found, [p.rates[-1] for p in judged], rtol=1e-6):
        return "Your peak is the last rate, at which the test had broken down."
    if lost > len(judged) // 4:
        return f"{lost} of them diverged: your peaks are far too high."
    if not 0.6 < middle < 1.7:
        return (
            f"Your peaks are too {'high' if middle > 1 else 'low'}: {middle:.2g} times the best "
            f"one, in the median. What factor would problems(…) have taught you?"
        )
    return (
        f"Your peaks are right in the median, but they scatter: half of them lie outside {low:.2g} "
        f"to {high:.2g} times the best. Which point of the curve moves less from test to test? Is "
        f"the curve smooth enough to be read?"
    )


def _peak(rule: Callable[..., float], rates: np.ndarray, losses: np.ndarray) -> float:
    answer = number(rule, rates, losses)
    if not (math.isfinite(answer) and answer > 0):
        raise Mistake(f"your rule gave the peak {answer:g}. It should be finite and above 0.")
    return answer
