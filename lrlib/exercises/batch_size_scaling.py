"""Checkers of chapter 10."""

from __future__ import annotations

import math
from dataclasses import fields
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import torch

from lrlib import Constant, CosineAnnealing, Warmup
from lrlib.exercises import (
    Ask,
    Mistake,
    exercise,
    flaws,
    parts,
    rows,
    short,
    to_number,
    to_numbers,
    to_whole,
)
from lrlib.exercises.batch_size_scaling_given import Job, process
from lrlib.exercises.batch_size_scaling_gradients import check_accumulate as check_accumulate
from lrlib.exercises.batch_size_scaling_gradients import check_noise_scale as check_noise_scale
from lrlib.exercises.watching import Runs


def _ceil(a: int, b: int) -> int:
    return -(-a // b)


# --- 1. A recipe for another batch size


def _recipe(linear=lambda k, *_: k, sqrt=lambda k, *_: k**0.5, count=None, warm=None):
    """A recipe. Its factors, from the ratio k, and numbers of steps can be made wrong."""

    def recipe(lr, steps, warmup_steps, batch_size, new_batch_size, rule):
        b, n = batch_size, new_batch_size
        factor = (linear if rule == "linear" else sqrt)(n / b, n, lr)
        counted = count or (lambda s, b, n: _ceil(s * b, n))
        return lr * factor, counted(steps, b, n), (warm or counted)(warmup_steps, b, n)

    return recipe


_RECIPES = {
    "the rate is unchanged.": _recipe(lambda *_: 1, lambda *_: 1),
    "the rate follows the ratio. Its square root is asked for.": _recipe(sqrt=lambda k, *_: k),
    "the rate follows the square root of the ratio. The linear rule is asked for.": _recipe(
        lambda k, *_: k**0.5
    ),
    "the two rules have changed places.": _recipe(lambda k, *_: k**0.5, lambda k, *_: k),
    "the ratio is upside down: it is new over old. A larger batch has less noise and bears "
    "a larger rate.": _recipe(lambda k, *_: 1 / k, lambda k, *_: k**-0.5),
    "rule {rule!r}: the ratio is upside down, and no root was taken.": [
        *(_recipe(linear, lambda k, *_: 1 / k) for linear in (lambda k, *_: k, lambda k, *_: 1 / k))
    ],
    "rule {rule!r}: the ratio is upside down, and a root was taken.": _recipe(
        lambda k, *_: k**-0.5, lambda k, *_: k**-0.5
    ),
    "you took the root of the rate as well. Only the ratio is under it.": _recipe(
        sqrt=lambda k, n, lr: (k / lr) ** 0.5
    ),
    "// drops the fraction of the ratio.": _recipe(lambda k, *_: k // 1, lambda k, *_: k**0.5 // 1),
    "the ratio is squared. Its root is asked for.": _recipe(sqrt=lambda k, *_: k**2),
    "the ratio is halved. Its root is asked for.": _recipe(sqrt=lambda k, *_: k / 2),
    "the rate is multiplied by the new batch size, not by the ratio of the two.": [
        *(_recipe(lambda k, n, _: n, lambda k, n, _, e=e: n**e) for e in (1, 0.5))
    ],
    "{given} steps, as before: they hold another number of samples now.": _recipe(
        count=lambda s, b, n: s
    ),
    "{given} steps: that is the wrong direction. The larger the batch, the fewer of them hold the "
    "same samples.": [
        _recipe(count=lambda s, b, n: s * n // b),
        _recipe(count=lambda s, b, n: _ceil(s * n, b)),
    ],
    "{given} is the number of samples.": _recipe(count=lambda s, b, n: s * b),
    "{given} steps: rounded down, as // does, and round for less than a half. The samples that are "
    "left over count too.": _recipe(count=lambda s, b, n: s * b // n),
    "{given} steps: 1 was added although nothing is left over. Round up.": _recipe(
        count=lambda s, b, n: s * b // n + 1
    ),
    "where there was no warm-up, there is none.": _recipe(
        warm=lambda s, b, n: max(1, _ceil(s * b, n))
    ),
    "{given} steps: {new_batch_size} / {batch_size} is not exact, and the quotient a hair too "
    "high. Multiply first, then divide.": _recipe(count=lambda s, b, n: math.ceil(s / (n / b))),
    "{given} steps: {batch_size} / {new_batch_size} is not exact, and the product a hair too "
    "high. Multiply first, then divide.": _recipe(count=lambda s, b, n: math.ceil(s * (b / n))),
    "the square root is for the rate. Samples are steps times the batch size.": _recipe(
        count=lambda s, b, n: math.ceil(s / math.sqrt(n / b))
    ),
    "{given} steps of warm-up: from steps that were rounded. Count its samples.": (
        lambda lr, s, w, b, n, rule: (
            *_recipe()(lr, s, w, b, n, rule)[:2],
            _ceil(w * _ceil(s * b, n), s),
        )
    ),
}
check_recipe = exercise(
    "Exercise 1: ``recipe(lr, steps, warmup_steps, batch_size, new_batch_size, rule)``.",
    right=_recipe(),
    cases=(
        (0.1, 1000, 50, 32, 128, "linear"),
        (3e-4, 1000, 50, 32, 128, "sqrt"),
        (0.8, 100, 9, 256, 96, "linear"),  # a smaller batch
        (2e-3, 100, 9, 256, 96, "sqrt"),
        (0.05, 4000, 10, 8, 1024, "sqrt"),  # less than one step of warm-up
        (0.05, 200, 0, 8, 32, "linear"),  # none
        (0.1, 700, 35, 20, 28, "linear"),  # 700 / (28 / 20) is not 500 in floating point,
        (0.1, 300, 15, 28, 50, "sqrt"),  # and 300 * (28 / 50) not 168
    ),
    read=parts(lr=to_number, steps=to_whole, warmup_steps=to_whole),
    wrong=rows(_RECIPES),
    passed="every sample is seen as often as before, and the warm-up keeps its samples.",
)


# --- 4. What is wrong with this script?

check_flaws = flaws(
    "Exercise 4a: which of the statements A to H name a flaw of the script.",
    right=lambda: {"A", "C", "D", "E", "G"},
    hints={
        "A": "how many samples does the job have per update, all processes together, and how many "
        "updates does it make?",
        "B": "what would they tell each other? Each counts the same updates by the same schedule.",
        "C": "how many samples did the warm-up of the recipe see, and how many does it see now?",
        "D": "the mean in an update is over the samples of all processes. What sets its noise?",
        "E": "the optimizer is an AdamW. Which of the two rules is Adam's?",
        "F": "each process sees its own share of the samples, and that is all of them together.",
        "G": "which i does the second update have? And how many updates are done by then?",
        "H": "that is as good: the first microbatch of an update finds no gradient either way.",
    },
    passed="five choices that are right on one process, and wrong on eight.",
)


def _shape(steps, warmup):
    return Warmup(warmup - 1, 1 / warmup).then(CosineAnnealing(steps - warmup + 1))


def _train(
    peak=lambda j: (j.B / j.b) ** 0.5,
    T=lambda j: j.T,
    warm=lambda j: j.w,
    shape=_shape,
    at=lambda t, i, j: t,
    count=lambda j: j.T * j.a,
    zero=lambda i, j: i % j.a == 0,
    due=lambda i, j: (i + 1) % j.a == 0,
    number=lambda i, j: i,
    says=list,
):
    """A loop over `count` microbatches i, of which any part can be made wrong.

    j has the job by letters: p, a, m, b, steps, warm, and what follows from it: B, T, w.
    """

    def train(optimizer, backward, job):
        p, a, m, b = job.processes, job.accumulate, job.microbatch_size, job.batch_size
        j = SimpleNamespace(p=p, a=a, m=m, b=b, B=p * a * m, lr=job.lr)
        j.steps, j.warm = job.steps, job.warmup_steps
        j.T, j.w = _ceil(j.steps * b, j.B), _ceil(j.warm * b, j.B)
        plan, rates = shape(T(j), warm(j)), []
        for i in range(count(j)):
            if zero(i, j):
                optimizer.zero_grad()
            backward(number(i, j))
            if due(i, j):
                if (t := at(len(rates), i, j)) is not None:
                    optimizer.param_groups[0]["lr"] = job.lr * peak(j) * plan(t)
                rates.append(optimizer.param_groups[0]["lr"])
                optimizer.step()
        return says(rates)

    return train


def _trained(ask: Ask, *case: Any) -> dict[str, Any]:
    job = Job(*case)
    optimizer, backward, _ = process(job, 10)
    (weight,) = optimizer.param_groups[0]["params"]
    held, total, updates, scales = [], torch.zeros(20), [], []

    def add(i: int) -> None:
        kept, weight.grad = weight.grad, None
        backward(i)
        if kept is None or not kept.any():
            held.clear()
            total.zero_()
        held.append(int(i))
        total.add_(weight.grad)
        weight.grad = weight.grad if kept is None else kept + weight.grad

    def record(*_: Any) -> None:
        updates.append(tuple(held))
        scales.append(
            float(weight.grad @ total / (total @ total)) if weight.grad is not None else 1
        )

    optimizer.register_step_pre_hook(record)
    runs = Runs(20 * job.steps * job.batch_size, "microbatches and updates")
    run = runs.watch(optimizer)
    answer = runs.let(ask, optimizer, run.noted("backward", add), job)
    if run.idle:
        raise Mistake("an update had no gradient. Zero the gradients after the step.")
    for scale in scales:
        if abs(scale - 1) > 1e-3:
            raise Mistake(
                f"the gradient was changed before the step, to {scale:.3g} times its size. "
                f"backward has divided it already, by processes and by microbatches."
            )
    return {
        "updates": run.updates,
        "microbatches": tuple(updates),
        "peak": float(run.rates.max()),
        "warm-up": int(run.rates.argmax()) + 1,
        "rates": run.rates,
        "returned": to_numbers(answer, ask.name, "an array of rates"),
    }


_COUNTS = {  # of microbatches in the run
    "{given} updates: each of the {processes} processes has its share of the samples; you let it "
    "make them all.": lambda j: j.T * j.p * j.a,
    "{given} updates, as many as in the recipe, of another batch size.": lambda j: j.steps * j.a,
    "{given} updates. One takes {accumulate} microbatches.": lambda j: j.T * j.a**2,
    "{given} updates. One takes {accumulate} microbatches of each process.": lambda j: (
        j.T * j.a**2 * j.p
    ),
    "{given} updates: you make one microbatch for each, and it takes {accumulate}.": lambda j: j.T,
    "{given} updates: the last samples of the recipe do not fill one, and count too. Round up, and "
    "make the last update as large as the others.": lambda j: j.steps * j.b // j.B * j.a,
}
_LOOPS = {
    "the last update is to be as large as the others: backward goes on with the first samples.": [
        _train(
            count=lambda j: _ceil(j.steps * j.b, j.p * j.m),
            due=lambda i, j: (i + 1) % j.a == 0 or (i + 1) * j.p * j.m >= j.steps * j.b,
        )
    ],
    "optimizer.step() comes after every microbatch. It belongs after every {accumulate} of "
    "them.": _train(due=lambda i, j: True, zero=lambda i, j: True),
    "an update comes when {accumulate} microbatches are added up: i counts from 0, so that is when "
    "i + 1 is a multiple.": _train(due=lambda i, j: i % j.a == 0, zero=lambda i, j: i % j.a == 1),
    "gradients are zeroed between the microbatches of an update.": _train(zero=lambda i, j: True),
    "gradients of earlier updates are still in .grad: zero them after every one.": _train(
        zero=lambda i, j: False
    ),
    "every update takes the microbatches 0 to {accumulate} - 1. They are numbered through.": _train(
        number=lambda i, j: i % j.a
    ),
    "an update takes one microbatch again and again: i is its number, not the update's.": _train(
        number=lambda i, j: i // j.a
    ),
    "there is no warm-up.": _train(shape=lambda steps, warmup: CosineAnnealing(steps)),
    "the first update has the rate 0. Use shape(steps, warmup).": _train(
        shape=lambda steps, warmup: Warmup(warmup).then(CosineAnnealing(steps - warmup))
    ),
}
_PEAKS = {  # over that of the recipe
    "the optimizer is an AdamW, and the rate follows the ratio of the batch sizes itself. For Adam "
    "the root of it is the rule.": [
        *(lambda j, n=n: n(j) / j.b for n in (lambda j: j.B, lambda j: j.a * j.m, lambda j: j.m)),
        lambda j: j.p * j.m / j.b,
    ],
    "the rate is scaled by the samples of one process. An update is the mean over those of "
    "all.": lambda j: (j.a * j.m / j.b) ** 0.5,
    "the rate is scaled as if an update were one microbatch of each process. It adds up "
    "several.": lambda j: (j.p * j.m / j.b) ** 0.5,
    "the rate is scaled by the size of one microbatch. An update is the mean over the microbatches "
    "of all processes.": lambda j: (j.m / j.b) ** 0.5,
    "the peak is that of the recipe, for another batch size. (A scheduler keeps the rate that it "
    "finds when it is built.)": lambda j: 1,
    "the ratio of the batch sizes is upside down.": lambda j: (j.b / j.B) ** 0.5,
    "the factors were applied as rates, without the peak.": lambda j: 1 / j.lr,
}
_LENGTHS = {  # of the schedule or its warm-up, whose right length is n, and was s in the recipe
    "the schedule or its warm-up is counted in microbatches. Its step is an update.": [
        *(lambda n, s, j, q=q: n * j.a * j.p**q for q in (0, 1))
    ],
    "the schedule or its warm-up is as long as if one process had to see all samples. They share "
    "them.": lambda n, s, j: n * j.p,
    "the schedule or its warm-up has as many steps as in the recipe. They hold more samples "
    "now.": lambda n, s, j: s,
    "the schedule or its warm-up is rounded down. The rest of the samples counts too: round "
    "up.": lambda n, s, j: s * j.b // j.B,
}
_STEPS = {  # of the schedule at update t
    "the schedule moves on with every microbatch. Its step is one update.": [
        lambda t, i, j: i,
        lambda t, i, j: i + 1,
        lambda t, i, j: t * j.a,
    ],
    "the schedule moves on once for every process. All of them make the same "
    "update.": lambda t, i, j: t * j.p,
    "every rate came one update early. The schedule moves on after the step.": lambda t, *_: t + 1,
    "every rate came one update late. Write it before the update that should use it.": [
        lambda t, *_: max(t - 1, 0),
        lambda t, *_: t - 1 if t else None,
    ],
    "the rate never changed.": lambda *_: 0,
}
check_train = exercise(
    "Exercise 4b: the script repaired, ``train(optimizer, backward, job)``, and its rates.",
    right=_train(),
    names=tuple(field.name for field in fields(Job)),
    cases=(
        (0.01, 240, 18, 8, 3, 2, 16),  # 12 times the batch; the warm-up leaves a rest
        (0.002, 75, 15, 16, 5, 3, 4),
        (0.02, 40, 8, 8, 1, 4, 4),
        (0.02, 20, 6, 8, 1, 1, 8),
        (0.01, 47, 15, 10, 2, 3, 4),  # 470 samples are 19 updates of 24 and 14 samples more
    ),
    read=_trained,
    noun="run",
    wrong=[
        *rows(_COUNTS, lambda count: _train(count=count)),
        *rows(_LOOPS),
        *rows(_PEAKS, _train),
        *rows(_LENGTHS, lambda n: _train(T=lambda j: n(j.T, j.steps, j))),
        *rows(_LENGTHS, lambda n: _train(warm=lambda j: n(j.w, j.warm, j))),
        *rows(_STEPS, lambda at: _train(at=at, says=len)),
        ("the rate never changed.", _train(shape=lambda steps, warmup: Constant())),
    ],
    say={
        "returned": {
            "early": "the rates are right, but you read each when it was that of the next update. "
            "An LRTrace reads it when it is used.",
            "shape": "return one rate for each update, shape {wanted}, not {given}. (A "
            " trace's lr has one column for each parameter group.)",
        }
    },
    differs={
        "updates": "{given} updates were made, and {wanted} are due.",
        "microbatches": "your updates hold the microbatches {given}; {wanted} is right.",
        "peak": "the highest rate is {given}, and {wanted} is right.",
        "warm-up": "the rate is highest at update number {given}, counted from 1; the warm-up has "
        "{wanted} updates.",
        "rates": "update {i} has the rate {given}, and {wanted} is right.",
        "returned": "the rates are right, but those you return are not those you used.",
    },
    passed="counted in updates, scaled by their samples, whoever computes them.",
)


# --- 5. A larger batch for a lower rate

_GROW = {
    "size": lambda p: p.B / p.gamma**p.k,
    "batch": lambda p: min(p.most, int(p.size)),
    "rate": lambda p: p.lr * p.gamma**p.k * p.batch / p.B,
    "updates": lambda p: _ceil(p.length * p.B, p.batch),
}


def _grow(**wrong):
    """A plan, of whose phases p a number in `_GROW` can be made wrong."""

    def grow(lr, batch_size, steps, milestones, gamma, max_batch_size):
        plan = []
        for k, (begin, end) in enumerate(pairwise([0, *milestones, steps])):
            p = SimpleNamespace(lr=lr, B=batch_size, gamma=gamma, most=max_batch_size, k=k)
            p.end, p.length, p.plan = end, end - begin, plan
            for name, right in _GROW.items():
                setattr(p, name, right(p))
                setattr(p, name, wrong.get(name, right)(p))
            plan.append((p.batch, p.rate, p.updates))
        return plan

    return grow


def _phases(ask: Ask, *case: Any) -> dict[str, Any]:
    answer, count = ask(*case), len(case[3]) + 1
    phases = answer if isinstance(answer, list | tuple) else ()
    if len(phases) != count or not all(
        isinstance(phase, list | tuple) and len(phase) == 3 for phase in phases
    ):
        raise Mistake(
            f"return a list with (batch_size, lr, updates) for each of the {count} phases, from "
            f"step 0 to the end of the run, not {short(answer)}."
        )
    sizes, rates, updates = zip(*phases, strict=True)
    return {
        "batch sizes": tuple(to_whole(size, f"{ask.name}, for a batch size,") for size in sizes),
        "rates": tuple(float(f"{to_number(rate, ask.name):.7g}") for rate in rates),
        "updates": tuple(to_whole(n, f"{ask.name}, for the updates,") for n in updates),
    }


_SIZES = {  # of a batch, before it is made whole and kept to the maximum
    "{given}: the batch shrinks. A larger one has less noise, as a lower rate has.": lambda p: max(
        1, p.B * p.gamma**p.k
    ),
    "{given}: the batch was rounded up. Round it down, or the rate is above the first.": [
        *(lambda p, up=up: up(p.B / p.gamma**p.k) for up in (round, math.ceil))
    ],
    "{given}: each comes from the one before, which was rounded itself.": lambda p: (
        p.plan[-1][0] / p.gamma if p.k else p.B
    ),
    "{given}: the first phase is as in the original.": [
        lambda p: p.most,
        lambda p: p.size / p.gamma,
    ],
    "{given}: the batch grows by more than the rate was to fall.": lambda p: (
        p.B / p.gamma ** (2 * p.k)
    ),
    "{given}: the rate falls more than it must, since the batch could grow more.": lambda p: (
        p.B / p.gamma ** (p.k / 2)
    ),
    "{given}: every drop multiplies the batch once more, as it multiplies the rate.": [
        lambda p: p.B / p.gamma ** min(p.k, 1),
        lambda p: p.B * (1 + p.k / p.gamma),
        lambda p: p.B * max(1, p.k / p.gamma),
    ],
    "{given}: where the batch has no room for all of a drop, it grows as far as there "
    "is.": lambda p: p.B if p.size > p.most else p.size,
}
_RATES = {
    "the rates are {given}. Where the batch has come to its maximum, the rate must do what the "
    "batch cannot.": lambda p: p.lr,
    "the rates are {given}. The batch grows and the rate falls too: that lowers the noise "
    "twice.": lambda p: p.lr * p.gamma**p.k,
    "the rates are {given}. The batch did part of a drop before it came to its maximum. The rate "
    "has to do the rest, not all of it.": [
        lambda p: p.plan[-1][1] * p.gamma if p.size > p.most else p.lr,
        lambda p: p.lr * p.gamma**p.k if p.size > p.most else p.lr,
    ],
    "the rates are {given}. A batch was rounded down: compute its rate from the size that you "
    "return.": lambda p: min(p.lr, p.lr * p.gamma**p.k * p.most / p.B),
}
_OF_PHASES = {
    "{given} updates, as in the original. With a larger batch that is more samples than it "
    "saw.": lambda p: p.length,
    "{given} updates: rounded down, so the last samples of the phase are not seen.": [
        *(lambda p, down=down: down(p.length * p.B / p.batch) for down in (int, round))
    ],
    "{given} updates: that is the wrong direction. The larger the batch, the fewer there "
    "are.": lambda p: p.length * p.batch // p.B,
    "{given} is the number of samples.": lambda p: p.length * p.B,
    "{given} is where the phases end in the original. How long are they, in samples?": lambda p: (
        p.end
    ),
    "{given} updates, counted from the beginning of the run. A phase begins at a "
    "milestone.": lambda p: _ceil(p.end * p.B, p.batch),
    "{given} updates, one too many: the last finds no samples left.": lambda p: (
        p.length * p.B // p.batch + 1
    ),
    "{given} updates: samples that fill no batch are left to the next phase. Each keeps its "
    "own.": lambda p: _ceil(p.end * p.B - sum(size * n for size, _, n in p.plan), p.batch),
}
check_grow = exercise(
    "Exercise 5: ``grow(lr, batch_size, steps, milestones, gamma, max_batch_size)``.",
    right=_grow(),
    cases=(
        (0.1, 32, 900, [400, 700], 0.25, 10_000),  # room for all
        (0.2, 32, 1000, [300, 600, 800], 0.25, 256),  # until the third phase, half of it
        (0.05, 20, 700, [201, 433], 0.3, 1000),  # 20 / 0.3 is no whole number
        (0.05, 64, 500, [100, 250], 0.1, 64),  # no room
        (0.3, 32, 1200, [400, 800], 0.15, 1000),
        (0.1, 16, 300, [], 0.5, 512),  # no decay
    ),
    read=_phases,
    wrong=[
        (
            "{given}: that is the original. The rate falls although there is room for more.",
            *(_grow(size=lambda p: p.B, rate=rate) for rate in (_GROW["rate"], lambda p: p.lr)),
        ),
        (
            "{given}: there is no room for more than {max_batch_size}.",
            _grow(batch=lambda p: int(p.size)),
        ),
        *rows(_SIZES, lambda size: _grow(size=size)),
        *rows(_RATES, lambda rate: _grow(rate=rate)),
        *rows(_OF_PHASES, lambda updates: _grow(updates=updates)),
    ],
    passed="the ratio and the samples of every phase are kept, in fewer updates.",
)
