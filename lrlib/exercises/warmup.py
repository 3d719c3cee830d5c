"""Checkers of chapter 08."""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from lrlib.exercises import (
    Limit,
    Mistake,
    _runs,
    apart,
    ask_twice,
    call,
    checker,
    close,
    expect_far,
    letters,
    numbers,
    passed,
    same_rates,
    sampled,
    schedule,
    short,
)
from lrlib.exercises._runs import Hints
from lrlib.schedule import Schedule
from lrlib.trace import LRTrace


def _expect(answer: np.ndarray, right: np.ndarray, wrongs: Hints, where: str, what: str) -> None:
    """Raise the hint of the first of the `wrongs` that the `answer` is, unless it is `right`."""
    if close(answer, right):
        return
    for wrong, hint in wrongs:
        if close(answer, wrong):
            raise Mistake(where + hint)
    k = _runs.first_apart(answer, right)
    given, wanted = apart(answer[k], right[k])
    raise Mistake(f"{where}step {k} has the {what} {given}, and {wanted} is right.")


# --------------------------------------------------------------------------------------
# 1. The factor


@checker("lrlib")
def check_factor(factor: Callable[[int, int], float]) -> None:
    """Exercise 1: ``factor(t, n)``, a linear warm-up that wastes no update."""
    for n in (4, 10, 7, 2, 1):
        t = np.arange(3 * n + 2)
        answer = ask_twice(factor, t.tolist(), n)
        right, where = np.minimum(1, (t + 1) / n), f"with n={n}: "
        if answer[-1] > 0 and not close(answer[-1], 1) and close(answer / answer[-1], right):
            raise Mistake(
                f"{where}after the warm-up your factor is {apart(answer[-1], 1)[0]}. A factor is "
                f"the rate over its peak, so there it is 1."
            )
        _expect(answer, right, _wrong_factors(t, n), where, "factor")
    expect_far(factor, lambda t: 1.0, (20_000, 1_000_000), 4)
    expect_far(factor, lambda t: (t + 1) / 40_000, (20_000,), 40_000)
    passed("the first update has a share of the peak, and update number n has all of it.")


def _wrong_factors(t: np.ndarray, n: int) -> Hints:
    s = (t + 1) / n
    yield (
        np.minimum(1, t / n),
        "the first update has the factor 0 and changes nothing: it is wasted. t counts the updates "
        "already made, so the one being made has the number t + 1.",
    )
    yield s, "your factor goes on rising past 1. After the warm-up it stays at 1."
    yield t / n, "the first update is wasted, its factor is 0; and the last ones lie above 1."
    yield (
        np.minimum(1, (t + 1) / (n + 1)),
        "the peak comes one update too late: update number n, at step n - 1, has the factor 1.",
    )
    yield (
        np.where(t <= n, s, 1),
        "at step n your factor is above 1: there n updates are made already.",
    )
    if n > 1:
        yield (
            np.minimum(1, (t + 2) / n),
            "you are one step ahead: t + 1 is the number of the update, and the first has 1/n.",
        )
        yield np.maximum(1, s), "your factor is 1 first and rises after. Did you take max for min?"
        yield np.minimum(1, (t + 1) // n), "// drops the fraction, and all but the peak is 0."
        yield np.full(len(t), 1 / n), "your factor never rises. It should be 1 at step n - 1."
        yield np.where(t < n, s, 0), "after the warm-up your factor is 0. It stays at 1."
        yield (
            np.where(t < n - 1, s, 0),
            "from step n - 1 on your factor is 0. It is 1 there, and stays so.",
        )
        yield (
            np.minimum(1, 1 / n + (1 - 1 / n) * t / n),
            "the first factor is right and the line too flat: from update 1 to update n it is "
            "n - 1 steps, not n. Each adds 1/n.",
        )
        yield (
            np.minimum(1, np.maximum(t, 1) / n),
            "the first two updates have the same factor. Update number 2 has 2/n.",
        )
        yield (
            np.minimum(1, n ** (np.minimum(t, n - 1) / (n - 1) - 1)),
            "your factor rises by the same ratio from step to step, which is exponential. By the "
            "same amount is wanted.",
        )
        yield np.maximum(0, 1 - t / n), "your factor falls. It should rise to 1."
        yield np.minimum(s, s**-0.5), "your factor falls after the peak. Here it stays at 1."


# --------------------------------------------------------------------------------------
# 2. Warm-up and cosine


def _line_and_cosine(
    t: np.ndarray, start: float, rise: int, fall: int, ahead: int = 0
) -> np.ndarray:
    """From `start` to 1 in `rise` steps; half a cosine of `fall` steps, `ahead` steps into it."""
    x = np.clip((t - rise + ahead) / fall, 0, 1)
    up = start + (1 - start) * t / max(rise, 1)
    return np.where(t < rise, up, (1 + np.cos(np.pi * x)) / 2)


def _recipe(t: np.ndarray, total: int, n: int, from_zero: bool) -> np.ndarray:
    if from_zero:
        return _line_and_cosine(t, 0, n, total - n)
    return _line_and_cosine(t, 1 / n, n - 1, total - n + 1)


@checker()
def check_recipe(recipe: Callable[[int, int, bool], Schedule]) -> None:
    """Exercise 2: ``recipe(total_steps, n, from_zero)``, warm-up and cosine in one schedule."""
    example = "Warmup(500).then(CosineAnnealing(T_max=9_500))"
    for case in ((40, 8, True), (40, 8, False), (25, 5, True), (90, 30, False), (30, 1, False)):
        total, n, from_zero = case
        where = f"with total_steps={total}, n={n}, from_zero={from_zero}: "
        try:
            shape = schedule(recipe, *case, example=example)
        except Mistake as error:
            if n == 1 and isinstance(error.__cause__, ValueError):
                raise Mistake(
                    f"{where}{error}. The first update has the peak already, so there is nothing "
                    f"to warm up: what is left of the recipe?"
                ) from error
            raise
        t = np.arange(2 * total)
        factors = sampled(shape, len(t))
        right = _recipe(t, total, n, from_zero)
        _expect(factors, right, _wrong_recipes(t, *case), where, "factor")
    passed("no jump, no step twice, and the rate is 0 when the run is over, not before.")


def _wrong_recipes(t: np.ndarray, total: int, n: int, from_zero: bool) -> Hints:
    start, rise = (0, n) if from_zero else (1 / n, n - 1)
    fall = total - rise
    cosine, s = _line_and_cosine(t, 1, 0, total), (t + 1) / n
    yield (
        _line_and_cosine(t, start, rise, total),
        f"the cosine is as long as the whole run. It begins at step {rise}, and the run ends at "
        f"{_line_and_cosine(np.array([total]), start, rise, total)[0]:.2g} of the peak. How many "
        f"steps are left for it?",
    )
    if n > 1:
        other = _recipe(t, total, n, not from_zero)
        if from_zero:
            zero = "the first factor is 1/n, as with from_zero=False. Here it is 0."
            yield other, zero
            yield _line_and_cosine(t, 1 / n, n, fall), zero
        else:
            yield (
                other,
                "the first update has the factor 0. Here it is 1/n, so no update is wasted.",
            )
            yield (
                _line_and_cosine(t, 1 / n, n, total - n),
                "the line from 1/n reaches the peak after n steps. Update number n, step n - 1, "
                "should have it: from 1/n to 1 it is n - 1 steps of 1/n.",
            )
            yield (
                _line_and_cosine(t, 1 / (n + 1), n, total - n),
                "the first update has 1/(n + 1), and update n + 1 the peak. Here update 1 has 1/n "
                "and update n the peak.",
            )
        up = np.minimum(1, t / n if from_zero else s)
        yield up * cosine, "you multiply the two, and no update has the peak. Use then(…)."
        yield up, "after the warm-up the rate stays at the peak. Where is the cosine?"
        yield (
            np.where(t < rise, up, cosine),
            f"the rate jumps at the hand-over: your cosine counts from step 0 of the run. Its own "
            f"step 0 is step {rise} of the run.",
        )
        yield cosine, "there is no warm-up."
        yield (
            np.where(t < rise - 1, up, _line_and_cosine(t + 1, start, rise, fall)),
            "the cosine begins a step too early: the line has not reached the peak.",
        )
        yield (
            _line_and_cosine(t, start, rise, fall, ahead=1),
            "the cosine is one step ahead: no update has the peak.",
        )
        yield (
            np.where(t <= rise, up, _line_and_cosine(t - 1, start, rise, fall - 1)),
            "two updates have the peak: the last step of the warm-up comes again as the first of "
            "the cosine.",
        )
        yield (
            np.where(t < rise, up, np.clip(1 - (t - rise) / fall, 0, 1)),
            "the rate falls in a straight line. Half a cosine is wanted.",
        )
    else:
        for left in (total, total - 1):
            yield (
                np.where(t < 1, 1, _line_and_cosine(t - 1, 1, 0, left)),
                "two updates have the peak. A warm-up of no steps is no Warmup: leave it out.",
            )
    for off in (-1, 1):
        said = "a step before the run is over, so its last update is wasted" if off < 0 else "late"
        yield (
            _line_and_cosine(t, start, rise, fall + off),
            f"the rate reaches 0 at step {total + off}, {said}. It should be at step {total}: "
            f"the warm-up takes {rise} steps here, and the cosine the rest.",
        )


# --------------------------------------------------------------------------------------
# 3. Adam's first updates


def _adam(
    g: np.ndarray, beta1: float, beta2: float, fix_m: bool, fix_v: bool, **change: Any
) -> np.ndarray:
    """The updates of Adam in units of the rate; `change` makes some likely mistake."""
    out, m, v = [], np.zeros(g.shape[1]), np.zeros(g.shape[1])
    power, late = change.get("power", 0.5), change.get("late", 0)
    new1, new2 = change.get("new", (1 - beta1, 1 - beta2))
    for t, now in enumerate(g, start=1 + late):
        if change.get("first") and not out:
            m, v = now, now**2
        else:
            m, v = beta1 * m + new1 * now, beta2 * v + new2 * now**2
        m_hat = m / (1 - beta1**t) if fix_m else m
        v_hat = v / (1 - beta2**t) if fix_v else v
        if change.get("kept"):
            m, v = m_hat, v_hat
        out.append(m_hat / (v_hat**power + change.get("eps", 0)))
    return np.array(out)


@checker()
def check_updates(updates: Callable[[np.ndarray, float, float, bool], np.ndarray]) -> None:
    """Exercise 3: ``updates(gradients, beta1, beta2, correct)``, Adam's update sizes."""
    draw = np.random.default_rng(8).standard_normal
    for g, betas in (
        (np.full((4, 2), 3.0), (0.9, 0.999)),
        (1 + draw((12, 3)), (0.9, 0.999)),
        (1e-6 * draw((7, 2)), (0.8, 0.95)),
        (100 * draw((5, 1)), (0.95, 0.99)),
    ):
        for correct in (True, False):
            where = (
                f"for {len(g)} gradients of size {np.abs(g).mean():.1g}, beta1={betas[0]}, "
                f"beta2={betas[1]}, correct={correct}: "
            )
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")  # numpy's on a division by 0: the hint is ours
                given = numbers(call(updates, g.copy(), *betas, correct), "an array")
                _expect_updates(given, g, *betas, correct, where)
    passed("the first corrected update has the size 1 whatever the gradient.")


def _expect_updates(
    given: np.ndarray, g: np.ndarray, beta1: float, beta2: float, correct: bool, where: str
) -> None:
    if given.shape != g.shape:
        raise Mistake(
            f"{where}return an array of shape {g.shape}, one row for each update, not of shape "
            f"{given.shape}."
        )
    right = _adam(g, beta1, beta2, correct, correct)
    if np.allclose(given, right, rtol=1e-4, atol=1e-6):
        return
    if not np.isfinite(given).all():
        row = int(np.argmax(~np.isfinite(given).all(1)))
        raise Mistake(
            f"{where}update {row + 1} is no finite number. In the correction the power of beta is "
            f"the number of the update, from 1: with the power 0 you divide by 1 - 1."
        )

    def adam(fix_m: bool = correct, fix_v: bool = correct, **change: Any) -> np.ndarray:
        return _adam(g, beta1, beta2, fix_m, fix_v, **change)

    both = (1 - beta1, 1 - beta2)
    wrongs: Iterable[tuple[np.ndarray, str]] = (
        (
            adam(not correct, not correct),
            "the bias is not corrected." if correct else "you correct the bias. Look at `correct`.",
        ),
        (-right, "the sign is wrong. The update is what is subtracted: its sign is that of m."),
        (
            np.cumsum(right, 0),
            "you add the updates up, as the weight does. Every update by itself is asked for.",
        ),
        (_adam(g, beta2, beta1, correct, correct), "beta1 and beta2 are exchanged."),
        (adam(eps=1e-8), "Adam's ε is left out here; with gradients of 1e-6 one sees it."),
        (adam(power=1), "you divide by v. The square root of it is missing."),
        (adam(fix_m=True, fix_v=False), "m is corrected and v is not. Both begin at 0."),
        (adam(fix_m=False, fix_v=True), "v is corrected and m is not. Both begin at 0."),
        (adam(late=1), "the correction is one update late: at the first update the power is 1."),
        (adam(new=(1, 1)), "the factors 1 - beta1 and 1 - beta2 of the new gradient are missing."),
        (adam(new=(1, both[1])), "the factor 1 - beta1 of the new gradient is missing in m."),
        (adam(new=(both[0], 1)), "the factor 1 - beta2 of the squared gradient is missing in v."),
        (
            _adam(g, *both, correct, correct),
            "beta and 1 - beta are exchanged: m keeps beta1 of the old and takes 1 - beta1 of the "
            "new.",
        ),
        (
            adam(kept=True),
            "you keep the corrected m and v for the next update. Adam corrects copies; m and v "
            "themselves go on uncorrected.",
        ),
        (adam(first=True), "m and v begin at the first gradient. In Adam they begin at 0."),
        (np.abs(right), "you return absolute values. The sign belongs to the update."),
        (g + 0 * right, "those are the gradients, as in SGD."),
    )
    for wrong, hint in wrongs:
        if np.allclose(given, wrong, rtol=1e-4, atol=1e-9):
            raise Mistake(where + hint)
    row = int(np.argmax(~np.isclose(given, right, rtol=1e-4, atol=1e-6).all(1)))
    k = int(np.argmax(~np.isclose(given[row], right[row], rtol=1e-4, atol=1e-6)))
    said, wanted = apart(given[row, k], right[row, k])
    raise Mistake(
        f"{where}update {row + 1} should be {wanted} for weight {k}, and you return {said}."
    )


# --------------------------------------------------------------------------------------
# 4. What is wrong with this experiment?


_SPREAD = torch.arange(1, 21).rsqrt()  # of the inputs: the curvature is 1, 1/2, …, 1/20


@lru_cache(maxsize=10_000)
def _batch(seed: int, t: int) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(1_000_003 * (seed + 1) + t)
    x = torch.randn(8, 20, generator=draw) * _SPREAD
    return x, torch.randn(8, 1, generator=draw)  # the right weights are 0


class _Job:
    """One process of a run: a linear regression with noise, 20 weights, batches of 8."""

    def __init__(self, peak: float, seed: int, process: int = 0) -> None:
        draw = torch.Generator().manual_seed(1000 * seed + process)
        self.seed = seed
        self.model = nn.Linear(20, 1, bias=False)
        with torch.no_grad():
            self.model.weight.copy_(torch.randn(1, 20, generator=draw))
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=peak, momentum=0.9)
        self.limit = Limit(math.inf, "updates and losses")
        self.optimizer.register_step_pre_hook(self.limit.hook)
        self.trace = LRTrace(self.optimizer)
        self.batches: list[int] = []  # their numbers, in the order of the updates
        self.before: list[torch.Tensor] = []  # the weights before each update

    def update(self, t: int) -> None:
        """One update with batch number t."""
        t = operator.index(t)
        if t < 0:
            raise ValueError(f"update: batches are numbered from 0, got {t}")
        self.batches.append(t)
        self.before.append(self.weights())
        x, y = _batch(self.seed, t)
        weight = self.model.weight
        # The gradient of half the mean squared error, without the cost of autograd.
        weight.grad = (x @ weight.detach().T - y).T @ x / 8
        self.optimizer.step()

    def weights(self) -> torch.Tensor:
        return self.model.weight.detach().clone()

    def loss(self) -> float:
        """The expected loss of the present weights above the lowest there is."""
        self.limit()
        return float((self.weights() * _SPREAD).square().sum()) / 2


def job(
    peak: float, seed: int
) -> tuple[nn.Module, Optimizer, Callable[[int], None], Callable[[], float]]:
    """A new process of a run: its model, its optimizer, ``update(t)`` and ``loss()``.

    The optimizer is SGD with momentum 0.9 whose rate is `peak`. `seed` sets the initial weights
    and the batches; ``update(t)`` makes one update with batch number t, ``loss()`` is the loss in
    excess of the lowest there is.
    """
    process = _Job(peak, seed)
    return process.model, process.optimizer, process.update, process.loss


@checker()
def check_flaws(flaws: Callable[[], set[str]]) -> None:
    """Exercise 4a: which of the statements A to G name a flaw of the experiment."""
    hints = {
        "A": "what does the lambda return for t = 0, and what does an update with that rate do?",
        "B": "after how many updates is the lambda at 1, and how many updates has an epoch?",
        "C": "what LambdaLR writes is the peak times the lambda, whatever stood there before. Who "
        "writes last?",
        "D": "what is t in the lambda after the crash? Which object knows it, and is it saved?",
        "E": "that is the right order: a rate is set before the update that uses it. The first is "
        "written when the scheduler is built.",
        "F": "that is the right order: building a torch scheduler writes the rate of step 0, and "
        "loading the optimizer puts the saved one back.",
        "G": "what is a warm-up for, if not for a larger peak? How many peaks did each rival try?",
    }
    letters(flaws, {"A", "B", "C", "D", "G"}, hints)
    passed("begun at 0, over in a moment, again after the crash, and the cosine never acted.")


@dataclass(frozen=True)
class _Case:
    peak: float
    sizes: tuple[int, int, int]  # epochs, batches, warmup_epochs
    stops: tuple[int, ...]  # after how many updates the job crashes

    @property
    def total(self) -> int:
        return self.sizes[0] * self.sizes[1]

    def plan(self) -> np.ndarray:
        """The rates of twice the steps."""
        t = np.arange(2 * self.total)
        return self.peak * _recipe(t, self.total, self.sizes[1] * self.sizes[2], False)


@checker()
def check_train(train: Callable[..., Any]) -> None:
    """Exercise 4b: the run repaired, ``train(model, …, warmup_epochs, stop, saved)``."""
    for case in (_Case(0.05, (6, 5, 2), (7, 19)), _Case(0.02, (4, 6, 1), (13,))):
        whole, _ = _part(train, case, 0, case.total, None)
        epochs, batches, warmup = case.sizes
        where = f"with epochs={epochs}, batches={batches}, warmup_epochs={warmup}, no crash: "
        _runs.expect_batches(whole, 0, case.total, where)
        rates, plan = whole.trace.lr[:, 0] / case.peak, case.plan() / case.peak
        _expect(rates, plan[: case.total], _wrong_rates(case, plan), where, "share of the peak")
        saved, begin = None, 0
        for process, stop in enumerate((*case.stops, case.total)):
            part, answer = _part(train, case, process, stop, saved)
            if begin:
                _expect_continued(part, whole, case, begin, stop)
            saved, begin = _runs.through_a_file(answer), stop
    passed("no update is wasted, the run ends at 0, and a crash changes nothing, bit for bit.")


def _part(
    train: Callable[..., Any], case: _Case, process: int, stop: int, saved: Any
) -> tuple[_Job, Any]:
    """Let the learner's function go on until `stop`, in a new process."""
    made = _Job(case.peak, 5, process)
    made.limit.most = 100 * case.total
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's on the order of the calls: the hint is ours
        parts = made.model, made.optimizer, made.update
        return made, call(train, *parts, *case.sizes, stop, saved)


def _wrong_rates(case: _Case, plan: np.ndarray) -> Hints:
    """`plan` in shares of the peak, over twice the steps."""
    (_, batches, warmup), total = case.sizes, case.total
    n, t = batches * warmup, np.arange(total)
    late = np.append(plan[:1], plan[: total - 1])
    yield np.ones(total), "the rate never changed."
    epochs = f"the warm-up is over after {warmup} updates. It should take {warmup} epochs: {n}."
    held = "the rate stays at the peak, as the warm-up is written over the cosine."
    for first in (0, 1):
        yield np.minimum(1, (t + first) / warmup), f"{epochs} And after that {held}"
        yield (
            np.minimum(1, (t + first) / n),
            f"after the warm-up {held} Let one schedule have both.",
        )
        yield _recipe(t, total, warmup, not first), epochs
    peak_first = (
        "the first update used the peak, the very update that the warm-up is for. Write the rate "
        "before the update that should use it."
    )
    yield np.append(1, plan[: total - 1]), peak_first
    yield np.append(1, plan[1:total]), peak_first
    yield plan[1 : total + 1], "every rate came one step early. Call update(t) first."
    yield late, "every rate came one step late. No scheduler.step() came after the first update."
    for first in (0, 1):
        yield plan[first::2][:total], "the plan went by at twice its speed."
    by_epoch = "the rate changed only once per epoch. Step the scheduler after every update."
    yield plan[t // batches], by_epoch
    yield plan[t // batches * batches], by_epoch
    yield plan[:total] / case.peak, "the factors were applied as rates, without the peak."
    yield from _wrong_recipes(np.arange(total), total, n, False)


def _expect_continued(part: _Job, whole: _Job, case: _Case, begin: int, stop: int) -> None:
    """What came after a crash, against the learner's own run without one."""
    where = f"after a crash at {begin} updates: "
    _runs.expect_batches(part, begin, stop, where)
    if not torch.equal(part.before[0], whole.before[begin]):
        raise Mistake(f"{where}the first update began from other weights. Save and load the model.")
    got, wanted = part.trace.lr[:, 0], whole.trace.lr[begin:stop, 0]
    if not np.array_equal(got, wanted):
        if same_rates(got, wanted):
            raise Mistake(
                f"{where}the rate differs from that of an uninterrupted run in the last digits. "
                f"Compute it from the step and the peak, not from the rate before."
            )
        restarted = np.append(wanted[0], case.plan()[1 : stop - begin])
        if same_rates(got, restarted):
            raise Mistake(
                f"{where}after one update the rate went on from step 1, as if the run had just "
                f"begun. The scheduler's counter belongs to what you save."
            )
        _runs.expect_resumed(got, case.plan(), begin, stop - begin, "rate", where)
        k = int(np.argmax(got != wanted))
        given, right = apart(got[k], wanted[k])
        raise Mistake(
            f"{where}update {begin + k} used the rate {given}; without the crash it was "
            f"{right}. Build all objects first, then load what was saved of each."
        )
    now = whole.before[stop] if stop < case.total else whole.weights()
    if not torch.equal(part.weights(), now):
        raise Mistake(
            f"{where}rates and first weights are right, but the updates differ. What else does SGD "
            f"with momentum remember? It is in optimizer.state_dict()."
        )


# --------------------------------------------------------------------------------------
# 5. The length of a warm-up, from measurements

Measure = Callable[[Any], np.ndarray]


@dataclass(frozen=True)
class _Valley:
    """``½ (h + (k - h) y²) x² + ½ c y²``: steep across, in x, at first; flat along, in y.

    Gradient descent from x = 1e-6, y = 1. The curvature across falls from k to h as y goes to 0.
    """

    k: float
    h: float
    c: float
    peak: float

    def measure(self, rates: Any) -> np.ndarray:
        """Train anew with these rates; the sharpness before each update and after the last."""
        return self.trainer()(rates)

    def trainer(self, limited: bool = True) -> Measure:
        """`measure`, which goes on from the last run as far as the rates are the same.

        Whoever builds a warm-up step by step measures after each; to train anew each time would
        take minutes.
        """
        calls = Limit(100_000 if limited else math.inf, "calls of measure")
        asked = Limit(5_000_000 if limited else math.inf, "rates given to measure")
        made = Limit(500_000 if limited else math.inf, "updates that measure made")
        done: list[float] = []  # the rates of the last run
        states = [(1e-6, 1.0)]  # (x, y) before each of its updates, and after the last
        seen = [self._sharpness(1e-6, 1.0)]

        def measure(rates: Any) -> np.ndarray:
            rates = np.asarray(rates, dtype=float).ravel().tolist()
            calls()
            asked(len(rates))
            kept = len(done)
            if rates[:kept] != done:
                pairs = enumerate(zip(rates, done, strict=False))
                kept = next((i for i, (a, b) in pairs if a != b), min(len(rates), kept))
            made(len(rates) - kept)
            del done[kept:], states[kept + 1 :], seen[kept + 1 :]
            for rate in rates[kept:]:
                done.append(rate)
                states.append(self._update(*states[-1], rate))
                seen.append(self._sharpness(*states[-1]))
            return np.array(seen)

        return measure

    def _sharpness(self, x: float, y: float) -> float:
        """The largest eigenvalue of the Hessian."""
        across = self.h + (self.k - self.h) * y * y
        coupling, along = 2 * (self.k - self.h) * x * y, self.c + (self.k - self.h) * x * x
        return (across + along) / 2 + math.hypot((across - along) / 2, coupling)

    def _update(self, x: float, y: float, rate: float) -> tuple[float, float]:
        across = self.h + (self.k - self.h) * y * y
        along = self.c + (self.k - self.h) * x * x
        x, y = x - rate * across * x, y - rate * along * y
        return max(-1e30, min(1e30, x)), max(-1e30, min(1e30, y))  # diverged

    def product(self, rates: np.ndarray, rest: int = 50) -> np.ndarray:
        """The rate times the sharpness, at every update with `rates` and at some at the peak."""
        rates = np.append(rates, np.full(rest, self.peak))
        return rates * self.measure(rates)[:-1]

    def line(self, n: int) -> np.ndarray:
        return self.peak * np.arange(1, n + 1) / n

    def shortest_line(self) -> int:
        low, high = 0, 1
        while self.product(self.line(high)).max() >= 2:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            stable = self.product(self.line(middle)).max() < 2
            low, high = (low, middle) if stable else (middle, high)
        return high

    def shortest(self) -> int:
        """Steps below the peak if every rate is as large as it may be."""
        rates: list[float] = []
        measure = self.trainer()
        while self.peak * (now := measure(rates)[-1]) >= 2:
            rates.append(1.9999 / now)
        return len(rates)


_VALLEYS = (
    _Valley(10, 1.6, 0.02, 1.0),
    _Valley(30, 4, 0.2, 0.4),
    _Valley(20, 15, 0.05, 0.12),
    _Valley(8, 0.1, 0.1, 4.0),
    _Valley(5, 1, 0.05, 0.3),  # stable at the peak from the first update on
)


def model() -> tuple[Measure, float]:
    """The first of the checker's models, to look at: ``measure(rates)`` and the peak."""
    return _VALLEYS[0].trainer(limited=False), _VALLEYS[0].peak


def _expect_stable(product: np.ndarray, n: int, peak: float, what: str) -> None:
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
        f"of this model is {peak:g}.)"
    )


@checker()
def check_shortest_line(shortest_line: Callable[[Measure, float], int]) -> None:
    """Exercise 5a: ``shortest_line(measure, peak)``, the length of a linear warm-up."""
    for valley in _VALLEYS:
        answer = call(shortest_line, valley.trainer(), valley.peak)
        try:
            if isinstance(answer, bool):
                raise TypeError
            n = operator.index(answer.item() if hasattr(answer, "item") else answer)
        except (TypeError, ValueError, RuntimeError):
            raise Mistake(f"return a whole number of steps, an int, not {short(answer)}.") from None
        if not 1 <= n <= 100_000:
            raise Mistake(f"you returned {n}. A warm-up has at least 1 step, and is finite.")
        best = valley.shortest_line()
        what = f"with n={n}, "
        _expect_stable(valley.product(valley.line(n)), n, valley.peak, what)
        if n > best + max(1, best // 50):
            at_first = math.ceil(valley.peak * valley.k / 2)
            raise Mistake(
                f"{what}the run is stable, and with n={best} it would be too (peak "
                f"{valley.peak:g}; the first measurement alone asks for {at_first})."
            )
    passed("as short as a straight line from peak / n can be, on five models.")


def _why_long(rates: np.ndarray, valley: _Valley) -> str:
    """Where a stable plan, whose last rate is below the peak, loses its updates."""
    sharpness = valley.measure(rates)[:-1]
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


@checker()
def check_plan(plan: Callable[[Measure, float], Any]) -> None:
    """Exercise 5b: ``plan(measure, peak)``, the rates of a warm-up of any shape."""
    told = []
    for valley in _VALLEYS:
        answer = call(plan, valley.trainer(), valley.peak)
        try:
            rates = np.asarray(answer, dtype=float)
        except (TypeError, ValueError, RuntimeError):
            rates = np.zeros((0, 0))
        if rates.ndim != 1 or len(rates) > 100_000:
            raise Mistake(f"return a list of rates, not {short(answer)}.")
        allowed = (rates > 0) & (rates <= valley.peak * (1 + 1e-6))
        if not allowed.all():
            k = int(np.argmin(allowed))
            raise Mistake(
                f"your rate of update {k} is {apart(rates[k], valley.peak)[0]}. "
                f"All should be above 0 and at most the peak, {valley.peak:g}."
            )
        below = np.flatnonzero(rates < valley.peak * (1 - 1e-6))
        n = int(below[-1]) + 1 if below.size else 0
        what = f"with {n} steps below the peak, "
        _expect_stable(valley.product(rates), n, valley.peak, what)
        best = valley.shortest()
        if n > 1.2 * best:
            raise Mistake(
                f"{what}the run is stable, and {best} would do; 1.2 times that is allowed. "
                f"{_why_long(rates[:n], valley)} (The peak of this model is {valley.peak:g}.)"
            )
        told.append(f"{n} ({best})")
    passed(f"steps below the peak, and the fewest there can be: {', '.join(told)}.")
