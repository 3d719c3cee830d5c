"""Checkers of chapter 09."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lrlib.exercises import Ask, Like, Mistake, exercise, flaws, short, to_numbers
from lrlib.exercises.lr_finder_given import curve, problems
from lrlib.exercises.lr_finder_reading import check_rule, check_suggest
from lrlib.exercises.lr_finder_trace import ENDED, check_without_trace
from lrlib.exercises.watching import Watched

# What the sheet imports from here.
__all__ = ["ENDED", "check_rule", "check_suggest", "check_without_trace", "curve", "problems"]


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
            "your rates are equally spaced themselves: nearly all lie in the last decade.",
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
            "the first rate is not start_lr. From the first of n to the last it is n - 1 steps.",
            lambda a, b, n: np.geomspace(a, b, n + 1)[1:],
            lambda a, b, n: np.geomspace(a, b, n + 2)[1:-1],
        ),
        ("you return one too many: n steps join n + 1 rates.", lambda a, b, n: _rates(a, b, n + 1)),
        ("you return one too few: n steps join n + 1 rates.", lambda a, b, n: _rates(a, b, n - 1)),
        (
            "num_iter rates are asked for. np.geomspace makes 50 if it is not told how many.",
            lambda a, b, n: np.geomspace(a, b),
            lambda a, b, n: np.geomspace(a, b, 100),
        ),
        (
            "the factor from each rate to the next follows from the ends and num_iter: n - 1 of "
            "them, multiplied, make end_lr / start_lr. (`x ** 1 / n` is `(x ** 1) / n`.)",
            _times(lambda a, b, n: 10.0),
            _times(lambda a, b, n: 2.0),
            _times(lambda a, b, n: b / a / (n - 1)),
            _times(lambda a, b, n: b / a / n),
            _times(lambda a, b, n: (b - a) / (n - 1)),
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
            lambda a, b, n: a * 10.0 ** np.arange(int(math.log10(b / a)) + 1),
        ),
        (
            "those are logarithms. The rates are 10 to their power, and these equally spaced.",
            _logs,
            lambda a, b, n: np.log10(np.linspace(a, b, n)),
        ),
        (
            "np.logspace takes the exponents of the ends. np.geomspace takes the ends themselves.",
            np.logspace,
        ),
        (
            "the logarithm and the power have different bases. Take 10 in both, or e.",
            lambda *case: np.exp(_logs(*case)),
            lambda *case: 10 ** np.log(_rates(*case)),
            lambda a, b, n: a * np.exp(np.linspace(0, math.log10(b / a), n)),
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
        "gradients": np.array(gradients),
        "calls": tuple(updates for _, updates, _ in run.log),
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
            "the test went on with spoilt weights. Stop at a loss that is NaN, or infinite.",
            _test(stop=_NEVER),
            _test(stop=lambda loss, _: math.isnan(loss)),
        ),
        (
            "after {given} updates you stop. A loss that is not finite ends the test, no other.",
            _test(stop=lambda loss, _: loss > 3 or not math.isfinite(loss)),
            _test(stop=lambda loss, losses: len(losses) > 1 and loss > losses[-2]),
        ),
        ("two updates came one after the other. Step once for every rate.", _test("rssb")),
        (
            "train_step() returns the loss before the update. You put it beside the rate of the "
            "update that follows, which had no part in it. The loss after the last is missing.",
            _test("brs", ""),
            _test("brs", "", stop=_NEVER),
        ),
        (
            "train_step() ran twice for every update, and used twice the batches. One call gives "
            "both: the loss after the last update, and the gradient for the next.",
            _test("rbsb", ""),
        ),
        (
            "the first update found no gradient. Call train_step() once before it.",
            _test("rsb", ""),
            _test("rsb", "", stop=_NEVER),
        ),
        (
            "train_step ran inside optimizer.step(…), before the weights moved: call it after.",
            _test("rc", "", stop=_NEVER),
        ),
        ("an update found no gradient. Do not zero what train_step() leaves.", _test("rzsb")),
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
            "the rates were applied as factors. They are the rates of the first group.",
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
            "beside each rate is the loss from before its update, not what train_step() says next.",
            _test("lrsb"),
        ),
        (
            "you return the lowest loss so far, in which no blow-up can be seen.",
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
