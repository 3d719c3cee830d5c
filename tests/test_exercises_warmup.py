"""Chapter 08's checkers: the solution passes, mistakes get hints (starters: test_exercises.py)."""

import math

import numpy as np
import pytest
import torch
from conftest import WEIRD
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LinearLR, SequentialLR

from lrlib import (
    Constant,
    CosineAnnealing,
    InverseSquareRoot,
    PolynomialDecay,
    Schedule,
    ScheduledLR,
    Warmup,
)
from lrlib.exercises import Mistake
from lrlib.exercises import warmup as check
from lrlib.exercises import warmup_given as given

# --------------------------------------------------------------------------------------
# 1. The factor


def factor(t, n):
    return min(1, (t + 1) / n)


def stateful():
    seen = {}

    def counting(t, n):
        seen[n] = seen.get(n, -1) + 1
        return factor(seen[n], n)

    return counting


# --------------------------------------------------------------------------------------
# 2. The recipe


def recipe(total, n, from_zero):
    if from_zero:
        return Warmup(n).then(CosineAnnealing(total - n))
    if n == 1:
        return CosineAnnealing(total)
    return Warmup(n - 1, 1 / n).then(CosineAnnealing(total - n + 1))


class Written(Schedule):
    """A schedule from a function of the step."""

    def __init__(self, function):
        self.formula = function

    formula = None


def written_out(total, n, from_zero):
    done = 0 if from_zero else 1

    def formula(t):
        if t + done < n:
            return (t + done) / n
        x = min(1, (t + done - n) / (total - n + done))
        return (1 + math.cos(math.pi * x)) / 2

    return Written(formula)


def joined(start, rise, fall, after=CosineAnnealing):
    """A recipe of parts, each a function of (total, n), without the case of n=1."""

    def wrong(total, n, from_zero):
        if n == 1:
            return recipe(total, n, from_zero)
        return Warmup(rise(total, n), start(n)).then(after(fall(total, n)))

    return wrong


def unless_zero(wrong):
    return lambda total, n, from_zero: (recipe if from_zero else wrong)(total, n, from_zero)


def jumps(total, n, from_zero):
    right, cosine = recipe(total, n, from_zero), CosineAnnealing(total)
    return Written(lambda t: right(t) if t < n - (not from_zero) else cosine(t))


def broken(total, n, from_zero):
    return Written(lambda t: 1 / (t - 3))


# --------------------------------------------------------------------------------------
# 3. Adam


def updates(g, beta1, beta2, correct):
    return check._adam()(g, beta1, beta2, correct)


def changed(**change):
    return lambda g, b1, b2, correct: check._adam(g, b1, b2, correct, correct, **change)


def from_zero_power(g, beta1, beta2, correct):
    t = np.arange(len(g))[:, None]
    out = updates(g, beta1, beta2, False)
    return out / (1 - beta1**t) * np.sqrt(1 - beta2**t) if correct else out


def by_torch(g, beta1, beta2, correct):
    """torch's Adam, whose correction is taken out again."""
    weight = torch.zeros(g.shape[1], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([weight], lr=1.0, betas=(beta1, beta2), eps=0)
    out = []
    for t, row in enumerate(g, start=1):
        before = weight.detach().clone()
        weight.grad = torch.tensor(row)
        optimizer.step()
        update = before - weight.detach()
        if not correct:
            update *= (1 - beta1**t) / math.sqrt(1 - beta2**t)
        out.append(update)
    return torch.stack(out)


def in_float32(g, *rest):
    return torch.tensor(updates(g, *rest), dtype=torch.float32)


# --------------------------------------------------------------------------------------
# 4. The run


def training(
    shape=lambda total, n, batches: recipe(total, n, False),
    keep=("model", "optimizer", "scheduler"),
    begin=lambda done: done,
    loop="us",
    build=ScheduledLR,
):
    """A loop in which any part can be made wrong; u: update, s: scheduler.step."""

    def train(model, optimizer, update, epochs, batches, warmup, stop, saved):
        total = epochs * batches
        scheduler = build(optimizer, shape(total, warmup * batches, batches))
        parts = {"model": model, "optimizer": optimizer, "scheduler": scheduler}
        done = 0
        if saved is not None:
            for name in keep:
                parts[name].load_state_dict(saved[name])
            done = begin(saved["done"])
        for t in range(done, stop):
            for action in loop:
                update(t) if action == "u" else scheduler.step()
        return {name: parts[name].state_dict() for name in keep} | {"done": stop}

    return train


def by_hand(rate=None, write_first=True, read_after_loading=False, restart=False):
    """No scheduler: the rate is written before (or after) every update."""

    def train(model, optimizer, update, epochs, batches, warmup, stop, saved):
        peak, done = optimizer.param_groups[0]["lr"], 0
        shape = recipe(epochs * batches, warmup * batches, False)
        if saved is not None:
            model.load_state_dict(saved[0])
            optimizer.load_state_dict(saved[1])
            done = saved[2]
        if read_after_loading:
            peak = optimizer.param_groups[0]["lr"]
        for t in range(done, stop):
            value = (rate or (lambda shape, peak, t: peak * shape(t)))(
                shape, peak, t - done if restart else t
            )
            if write_first:
                optimizer.param_groups[0]["lr"] = value
            update(t)
            if not write_first:
                optimizer.param_groups[0]["lr"] = value
        return [model.state_dict(), optimizer.state_dict(), stop]

    return train


def in_torch(load_last=True):
    def train(model, optimizer, update, epochs, batches, warmup, stop, saved):
        total, n = epochs * batches, warmup * batches
        if saved is not None and not load_last:
            optimizer.load_state_dict(saved["optimizer"])
        up = LinearLR(optimizer, 1 / n, 1.0, n - 1)
        down = CosineAnnealingLR(optimizer, total - n + 1)
        scheduler = SequentialLR(optimizer, [up, down], [n - 1])
        done = 0
        if saved is not None:
            model.load_state_dict(saved["model"])
            if load_last:
                optimizer.load_state_dict(saved["optimizer"])
            scheduler.load_state_dict(saved["scheduler"])
            done = scheduler.last_epoch
        for t in range(done, stop):
            update(t)
            scheduler.step()
        return {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "scheduler": scheduler.state_dict(),
        }

    return train


def side_by_side(share, swap=False):
    """The colleague's two schedulers, with the warm-up `share(t, epochs, batches)`."""

    def train(model, optimizer, update, epochs, batches, warmup, stop, saved):
        cosine = CosineAnnealingLR(optimizer, T_max=epochs * batches)
        linear = LambdaLR(optimizer, lambda t: min(1, share(t, warmup, batches)))
        for t in range(stop):
            update(t)
            for scheduler in (linear, cosine) if swap else (cosine, linear):
                scheduler.step()
        return 1

    return train


def fixed(model, optimizer, update, epochs, batches, warmup, stop, saved):
    for t in range(stop):
        update(t)
    return 1


def once_per_epoch(steps):
    def train(model, optimizer, update, epochs, batches, warmup, stop, saved):
        scheduler = ScheduledLR(optimizer, recipe(epochs * batches, warmup * batches, False))
        for t in range(stop):
            update(t)
            if (t + 1) % batches == 0:
                for _ in range(steps(batches)):
                    scheduler.step()
        return 1

    return train


def steps_itself(model, optimizer, update, *rest):
    update(0)
    optimizer.step()
    return 1


def saves_objects(model, optimizer, *rest):
    training()(model, optimizer, *rest)
    return {"model": model}


# --------------------------------------------------------------------------------------
# 5. The plan


def line(peak, n):
    return peak * np.arange(1, n + 1) / n


def stable(measure, peak, n):
    rates = line(peak, n)
    sharpness = measure(rates)
    return (rates * sharpness[:-1]).max() < 2 and peak * sharpness[-1] < 2


def shortest_line(measure, peak):
    n = 1
    while not stable(measure, peak, n):
        n += 1
    return n


def by_the_first(measure, peak):
    return math.ceil(peak * measure([])[0] / 2) + 1


def until_it_is_low(measure, peak):
    """At a low rate, how long until the peak would be stable?"""
    return int((measure(np.full(4000, peak / 5)) * peak >= 2).sum()) + 1


def plan(measure, peak, limit=1.9):
    rates = []
    while peak * (now := measure(rates)[-1]) >= 2:
        rates.append(min(peak, limit / now))
    return rates


def in_blocks(measure, peak):
    """Measures after every third update only."""
    rates = []
    while peak * (now := measure(rates)[-1]) >= 2:
        rates += [min(peak, 1.95 / now)] * 3
    return np.array(rates)


def from_first_rate(measure, peak):
    """A line that begins at the limit of the first measurement."""
    low, n = 1.999 / measure([])[0], 1
    if low >= peak:
        return []
    while True:
        rates = np.linspace(low, peak, n, endpoint=False)
        sharpness = measure(rates)
        if (np.append(rates, peak) * sharpness).max() < 2:
            return rates
        n += 1


# --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("checker", "solution"),
    [
        (check.check_factor, factor),
        (check.check_factor, lambda t, n: (t + 1) / n if t < n else 1.0),
        (check.check_factor, lambda t, n: np.float32(min(1, (t + 1) / n))),
        (check.check_factor, lambda t, n: torch.tensor((t + 1) / n).clamp(max=1)),
        (check.check_recipe, recipe),
        (check.check_recipe, written_out),
        (
            check.check_recipe,  # a warm-up of no steps contributes nothing
            unless_zero(lambda T, n, z: Warmup(n - 1, 1 / n).then(CosineAnnealing(T - n + 1))),
        ),
        (check.check_updates, updates),
        (check.check_updates, by_torch),
        (check.check_updates, in_float32),
        (check.check_updates, lambda *case: updates(*case).tolist()),
        (check.check_flaws, lambda: {"A", "B", "C", "D", "G"}),
        (check.check_flaws, lambda: ["g", "d", "c", "b", "a"]),
        (check.check_train, training()),
        (check.check_train, training(build=lambda o, shape: LambdaLR(o, lambda t: shape(t)))),
        (check.check_train, by_hand()),
        (check.check_train, in_torch()),
        (check.check_shortest_line, shortest_line),
        (check.check_shortest_line, lambda *case: np.int64(shortest_line(*case) + 1)),
        (check.check_plan, plan),
        (check.check_plan, lambda *case: [*plan(*case, 1.999), case[1], case[1]]),
        (check.check_plan, lambda *case: torch.tensor(plan(*case))),
        (check.check_plan, in_blocks),
    ],
)
def test_the_solution_passes(checker, solution, capsys):
    checker(solution)
    assert capsys.readouterr().out.startswith("Passed: ")


def greedy(margin=1.9, ends=lambda peak, sharpness: peak * sharpness < 2, steps=None):
    """A plan that measures after every update, and has another idea of when to go to the peak."""

    def plan(measure, peak):
        rates = []
        while steps is None or len(rates) < steps:
            sharpness = measure(rates)[-1]
            if steps is None and ends(peak, sharpness):
                break
            rates.append(min(peak, margin / sharpness))
        return rates

    return plan


def never_stable(measure, peak):
    n = 1
    while True:
        n, sharpness = 2 * n, measure(peak * np.arange(1, n + 1) / n)
        if sharpness[-1] < 0:
            return n


MISTAKES = [
    (
        check.check_factor,
        lambda t, n: InverseSquareRoot(n)(min(t, n - 1)),
        "calls InverseSquareRoot",
    ),
    (check.check_factor, lambda t, n: round(min(1, (t + 1) / n), 3), "0.143, and 0.1429 is right"),
    (check.check_factor, lambda t, n: 0.1 * min(1, (t + 1) / n), "your factor is 0.1. A factor is"),
    (
        check.check_plan,
        greedy(1.96, lambda peak, sharpness: peak * sharpness < 1.96),
        "peak itself is below the limit, peak times sharpness is 1.99.*go to it as soon",
    ),
    (check.check_plan, greedy(1.6), "was 1.6, far from 2"),
    (check.check_plan, greedy(ends=lambda *_: False), "not come to an end after .* measure"),
    (check.check_plan, greedy(steps=2000), "peak itself is below the limit"),
    (check.check_shortest_line, never_stable, "not come to an end after .* measure"),
    (check.check_plan, lambda measure, peak: np.float32([peak * 1.0001]), "of update 0 is 1.0001"),
    # the factor
    (check.check_factor, lambda t, n: min(1, t / n), "changes nothing: it is wasted"),
    (check.check_factor, lambda t, n: (t + 1) / n, "rising past 1"),
    (check.check_factor, lambda t, n: t / n, "and the last ones lie above 1"),
    (check.check_factor, lambda t, n: min(1, (t + 1) / (n + 1)), "one update too late"),
    (check.check_factor, lambda t, n: min(1, (t + 2) / n), "one step ahead"),
    (check.check_factor, lambda t, n: max(1, (t + 1) / n), "max for min"),
    (check.check_factor, lambda t, n: min(1, (t + 1) // n), "drops the fraction"),
    (check.check_factor, lambda t, n: 1 / n, "never rises"),
    (check.check_factor, lambda t, n: (t + 1) / n if t < n else 0, "after the warm-up"),
    (check.check_factor, lambda t, n: (t + 1) / n if t < n - 1 else 0, "on your factor is 0"),
    (check.check_factor, lambda t, n: Warmup(n, 1 / n)(t), "the line too flat"),
    (check.check_factor, lambda t, n: min(1, max(t, 1) / n), "first two updates"),
    (
        check.check_factor,
        lambda t, n: Warmup(n - 1, 1 / n, "exponential")(t),
        "same ratio from step to step",
    ),
    (check.check_factor, lambda t, n: max(0, 1 - t / n), "your factor falls. It"),
    (check.check_factor, lambda t, n: InverseSquareRoot(n)(t), "falls after the peak"),
    (check.check_factor, lambda t, n: factor(t, n) ** 2, "step 0 has the factor 0.0625"),
    (check.check_factor, stateful(), "remembers the calls before"),
    (check.check_factor, lambda t, n: t / (n - 1) if t < n else 1, "step 0 has the factor 0"),
    (check.check_factor, lambda t, n: math.nan, "no finite number"),
    (check.check_factor, lambda t, n: 10**400, "no finite number"),
    (check.check_factor, lambda t, n: [1, 2], "one number"),
    (check.check_factor, lambda t, n: (t + 1) / n if t <= n else 1, "at step n your factor is"),
    # the recipe
    (
        check.check_recipe,
        joined(lambda n: 0, lambda T, n: n, lambda T, n: T),
        "as long as the whole run.*the run ends at 0.095 of the peak",
    ),
    (check.check_recipe, lambda T, n, z: recipe(T, n, True), "Here it is 1/n, so no update"),
    (check.check_recipe, lambda T, n, z: recipe(T, n, False), "as with from_zero=False"),
    (
        check.check_recipe,
        unless_zero(joined(lambda n: 1 / n, lambda T, n: n, lambda T, n: T - n)),
        "n - 1 steps of 1/n",
    ),
    (
        check.check_recipe,
        unless_zero(joined(lambda n: 1 / (n + 1), lambda T, n: n, lambda T, n: T - n)),
        r"the first update has 1/\(n \+ 1\)",
    ),
    (
        check.check_recipe,
        unless_zero(joined(lambda n: 1 / n, lambda T, n: n - 1, lambda T, n: T - n)),
        "reaches 0 at step 39, a step before",
    ),
    (
        check.check_recipe,
        joined(lambda n: 0, lambda T, n: n, lambda T, n: T - n + 1),
        "reaches 0 at step 41, late",
    ),
    (
        check.check_recipe,
        joined(lambda n: 0, lambda T, n: n, lambda T, n: T - n - 1),
        "its last update is wasted",
    ),
    (check.check_recipe, lambda T, n, z: Warmup(n) * CosineAnnealing(T), "you multiply the two"),
    (check.check_recipe, lambda T, n, z: Warmup(n), "Where is the cosine"),
    (check.check_recipe, lambda T, n, z: CosineAnnealing(T), "there is no warm-up"),
    (check.check_recipe, jumps, "jumps at the hand-over"),
    (
        check.check_recipe,
        lambda T, n, z: Warmup(n).then(Constant()).then(CosineAnnealing(T - n - 1), at=n + 1),
        "two updates have the peak",
    ),
    (
        check.check_recipe,
        joined(lambda n: 0, lambda T, n: n, lambda T, n: T - n, PolynomialDecay),
        "in a straight line",
    ),
    (
        check.check_recipe,
        lambda T, n, z: Warmup(n).then(CosineAnnealing(T - n, min_factor=0.1)),
        "is right",
    ),
    (
        check.check_recipe,
        joined(lambda n: 1 / n, lambda T, n: n, lambda T, n: T - n),
        "as with from_zero=False",
    ),
    (
        check.check_recipe,
        lambda T, n, z: Warmup(n).then(CosineAnnealing(T - n), at=n - 1),
        "begins a step too early",
    ),
    (
        check.check_recipe,
        unless_zero(lambda T, n, z: Warmup(max(n - 1, 1), 1 / n).then(CosineAnnealing(T - n + 1))),
        "A warm-up of no steps",
    ),
    (check.check_recipe, broken, "your schedule raised"),
    (check.check_recipe, lambda T, n, z: [0.1] * T, "return a Schedule"),
    # Adam
    (check.check_updates, lambda g, a, b, c: updates(g, a, b, False), "bias is not corrected"),
    (check.check_updates, lambda g, a, b, c: updates(g, a, b, True), "you correct the bias"),
    (check.check_updates, lambda *case: -updates(*case), "the sign is wrong"),
    (check.check_updates, lambda *case: np.cumsum(updates(*case), 0), "add the updates up"),
    (check.check_updates, lambda g, a, b, c: updates(g, b, a, c), "exchanged"),
    (check.check_updates, changed(eps=1e-8), "ε is left out"),
    (check.check_updates, changed(power=1), "square root of it is missing"),
    (check.check_updates, lambda g, a, b, c: check._adam(g, a, b, c, False), "v is not"),
    (check.check_updates, lambda g, a, b, c: check._adam(g, a, b, False, c), "m is not"),
    (check.check_updates, changed(late=1), "one update late"),
    (check.check_updates, from_zero_power, "update 1 is no finite number"),
    (check.check_updates, changed(new=(1, 1)), "of the new gradient are missing"),
    (check.check_updates, changed(new=(1, 0.001)), "missing in m"),
    (check.check_updates, changed(new=(1 - 0.9, 1)), "missing in v"),
    (
        check.check_updates,
        lambda g, a, b, c: check._adam(g, 1 - a, 1 - b, c, c),
        "beta and 1 - beta are exchanged",
    ),
    (check.check_updates, changed(kept=True), "Adam corrects copies"),
    (check.check_updates, changed(first=True), "begin at the first gradient"),
    (check.check_updates, lambda *case: np.abs(updates(*case)), "absolute values"),
    (check.check_updates, lambda g, *rest: g, "as in SGD"),
    (check.check_updates, lambda *case: updates(*case) + 0.1, "update 1 should be"),
    (check.check_updates, lambda *case: updates(*case)[-1], "one row for each update"),
    (check.check_updates, lambda *case: "big", "return an array"),
    # what is wrong
    *((check.check_flaws, lambda x=x: set("ABCDG") - {x}, f"{x} is missing") for x in "ABCDG"),
    (check.check_flaws, lambda: set("ABCDEG"), "E is not a flaw"),
    (check.check_flaws, lambda: set("ABCDFG"), "F is not a flaw"),
    (check.check_flaws, lambda: set("ABCDGH"), "not among"),
    (check.check_flaws, lambda: "ABCDG", "set of letters"),
    # the run
    (check.check_train, fixed, "the rate never changed"),
    (
        check.check_train,
        side_by_side(lambda t, w, b: t / w),
        "2 updates.*2 epochs: 10.*rate stays at",
    ),
    (check.check_train, side_by_side(lambda t, w, b: (t + 1) / w), "2 updates.*stays at the peak"),
    (check.check_train, side_by_side(lambda t, w, b: t / (w * b)), "written over the cosine"),
    (
        check.check_train,
        side_by_side(lambda t, w, b: (t + 1) / (w * b)),
        "after the warm-up the rate stays at the peak",
    ),
    (
        check.check_train,
        training(shape=lambda T, n, b: recipe(T, n // b, False)),
        "should take 2 epochs: 10.$",
    ),
    (
        check.check_train,
        by_hand(write_first=False),
        "the first update used the peak, the very update",
    ),
    (
        check.check_train,
        by_hand(lambda shape, peak, t: peak * shape(t + 1), write_first=False),
        "the first update used the peak, the very update",
    ),
    (check.check_train, by_hand(lambda shape, peak, t: shape(t)), "without the peak"),
    (check.check_train, training(loop="su"), "one step early"),
    (check.check_train, by_hand(lambda s, p, t: p * s(max(t - 1, 0))), "one step late"),
    (check.check_train, training(loop="uss"), "twice its speed"),
    (check.check_train, training(loop="sus"), "twice its speed"),
    (check.check_train, once_per_epoch(lambda batches: 1), "once per epoch"),
    (check.check_train, once_per_epoch(lambda batches: batches), "once per epoch"),
    (
        check.check_train,
        training(shape=lambda T, n, b: recipe(T, n, True)),
        "the first update has the factor 0",
    ),
    (
        check.check_train,
        training(shape=lambda T, n, b: Warmup(n - 1, 1 / n).then(CosineAnnealing(T))),
        "as long as the whole run",
    ),
    (
        check.check_train,
        training(shape=lambda T, n, b: Warmup(n - 1, 1 / n) * CosineAnnealing(T)),
        "you multiply the two",
    ),
    (check.check_train, training(shape=lambda T, n, b: Warmup(n - 1, 1 / n)), "cosine"),
    (check.check_train, training(shape=lambda T, n, b: Warmup(3)), "has the share of the peak"),
    (check.check_train, lambda *args: 1, "no update was made"),
    (check.check_train, steps_itself, "batches"),
    (check.check_train, saves_objects, "torch.load could not read back"),
    (check.check_train, training(begin=lambda done: 0), "began again from batch 0"),
    (check.check_train, training(begin=lambda done: done + 1), "It should be 7 to"),
    (check.check_train, training(keep=("optimizer", "scheduler")), "from other weights"),
    (check.check_train, training(keep=("model", "scheduler")), "optimizer.state_dict"),
    (check.check_train, training(keep=("model", "optimizer")), "began again from step 0"),
    (
        check.check_train,
        training(keep=("model", "optimizer"), build=lambda o, s: LambdaLR(o, lambda t: s(t))),
        "as if the run had just begun",
    ),
    (check.check_train, by_hand(restart=True), "began again from step 0"),
    (check.check_train, by_hand(read_after_loading=True), "read it before"),
    (check.check_train, in_torch(load_last=False), "Build all objects first"),
    # the line
    (check.check_shortest_line, by_the_first, "rises faster there than the sharpness falls"),
    (check.check_shortest_line, lambda measure, peak: 1, "Already the first rate"),
    (check.check_shortest_line, until_it_is_low, "it would be too"),
    (check.check_shortest_line, lambda *case: 2 * shortest_line(*case), "it would be too"),
    (check.check_shortest_line, lambda *case: shortest_line(*case) - 1, "rate times the sharp"),
    (check.check_shortest_line, lambda *case: 1.0 * shortest_line(*case), "whole number"),
    (check.check_shortest_line, lambda *case: 0, "at least 1 step"),
    (check.check_shortest_line, lambda *case: 10**9, "is finite"),
    # the plan
    (check.check_plan, lambda measure, peak: [], "Already the first rate is too large"),
    (check.check_plan, lambda measure, peak: plan(measure, peak)[:-9], "peak comes before"),
    (
        check.check_plan,
        lambda measure, peak: line(peak, by_the_first(measure, peak)),
        "rises faster there",
    ),
    (check.check_plan, lambda *case: plan(*case, limit=2.05), "Already the first rate"),
    (check.check_plan, lambda *case: plan(*case, limit=2.0), "leave a margin"),
    (check.check_plan, lambda *case: plan(*case, limit=1.0), "161 would do"),
    (check.check_plan, lambda *case: line(case[1], shortest_line(*case)), "far from 2"),
    (check.check_plan, lambda *case: [0.0, *plan(*case)], "above 0"),
    (check.check_plan, lambda *case: [math.nan, *plan(*case)], "above 0"),
    (check.check_plan, lambda *case: [2 * case[1]], "at most the peak"),
    (check.check_plan, lambda *case: [plan(*case)], "list of rates"),
    (check.check_plan, lambda *case: Warmup(9), "list of rates"),
]


@pytest.mark.parametrize(("checker", "answer", "hint"), MISTAKES)
def test_each_mistake_gets_its_hint(checker, answer, hint):
    with pytest.raises(Mistake, match=hint):
        checker(answer)


def test_the_colleagues_run_writes_over_its_cosine():
    made = check._Job(0.1, 0)
    run = side_by_side(lambda t, warmup, batches: t / warmup)
    run(made.model, made.optimizer, made.update, 3, 10, 2, 30, None)
    rates = made.trace.lr[:, 0]
    assert rates.tolist() == pytest.approx([0, 0.05] + [0.1] * 28)


def test_the_sharpness_is_the_largest_eigenvalue():
    valley = given.VALLEYS[1]

    def loss(p):
        x, y = p
        return ((valley.h + (valley.k - valley.h) * y**2) * x**2 + valley.c * y**2) / 2

    # Beyond the limit x grows, so that the coupling counts.
    p = torch.tensor([1e-6, 1.0], dtype=torch.float64)
    rates, expected = [0.09] * 30, []
    for rate in [*rates, 0.0]:
        hessian = torch.autograd.functional.hessian(loss, p)
        expected.append(float(torch.linalg.eigvalsh(hessian)[-1]))
        p = p - rate * torch.autograd.functional.jacobian(loss, p)
    assert valley.measure(rates) == pytest.approx(expected, rel=1e-9)
    assert np.isfinite(valley.measure([1e3] * 50)).all()


def test_an_exponential_warm_up_comes_within_a_tenth_of_the_shortest_and_no_linear_one():
    valley = given.VALLEYS[0]
    tenth = round(1.1 * valley.shortest())
    assert valley.product(Warmup(tenth, 0.16, "exponential").sample(tenth)).max() < 2
    for start in np.linspace(0.001, 0.199, 100):
        assert valley.product(Warmup(tenth, start).sample(tenth)).max() > 2


CHECKERS = [value for name, value in vars(check).items() if name.startswith("check_")]


@pytest.mark.parametrize("checker", CHECKERS)
@pytest.mark.parametrize("value", WEIRD, ids=lambda value: str(value)[:20])
def test_whatever_is_returned_the_checker_does_not_crash(checker, value):
    with pytest.raises(Mistake):
        checker(lambda *args: value)
