"""Checkers of chapter 10."""

from __future__ import annotations

import math
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

from lrlib.exercises import Ask, Mistake, exercise, parts, rows, short, to_number, to_whole
from lrlib.exercises.batch_size_scaling_gradients import check_accumulate, check_noise_scale
from lrlib.exercises.batch_size_scaling_script import Job, check_flaws, check_train, process

__all__ = ["Job", "check_accumulate", "check_flaws", "check_grow", "check_noise_scale"]
__all__ += ["check_recipe", "check_train", "process"]


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
    "the rate follows the root. The linear rule is asked for.": _recipe(lambda k, *_: k**0.5),
    "the two rules have changed places.": _recipe(lambda k, *_: k**0.5, lambda k, *_: k),
    "the ratio is upside down: it is new over old. A larger batch has less noise and bears "
    "a larger rate.": _recipe(lambda k, *_: 1 / k, lambda k, *_: k**-0.5),
    "rule {rule!r}: the ratio is upside down, and no root was taken.": [
        *(_recipe(linear, lambda k, *_: 1 / k) for linear in (lambda k, *_: k, lambda k, *_: 1 / k))
    ],
    "rule {rule!r}: the ratio is upside down, and a root was taken. The rate goes with new over "
    "old.": _recipe(lambda k, *_: k**-0.5, lambda k, *_: k**-0.5),
    "the root of the rate was taken, too.": _recipe(sqrt=lambda k, n, lr: (k / lr) ** 0.5),
    "// drops the fraction of the ratio.": _recipe(lambda k, *_: k // 1, lambda k, *_: k**0.5 // 1),
    "the ratio is squared. Its root is asked for.": _recipe(sqrt=lambda k, *_: k**2),
    "the ratio is halved. Its root is asked for.": _recipe(sqrt=lambda k, *_: k / 2),
    "the rate is multiplied by the new batch size, not by the ratio of the two.": [
        *(_recipe(lambda k, n, _: n, lambda k, n, _, e=e: n**e) for e in (1, 0.5))
    ],
}
_STEP_COUNTS = {  # from s steps with batches of b to those with batches of n
    "{given} steps, as before: they hold another number of samples now.": lambda s, b, n: s,
    "{given} steps: that is the wrong direction. The larger the batch, the fewer of them hold the "
    "same samples.": [lambda s, b, n: s * n // b, lambda s, b, n: _ceil(s * n, b)],
    "{given} is the number of samples.": lambda s, b, n: s * b,
    "{given} steps: rounded down, as // does, and round for less than a half. The samples that are "
    "left over count too.": lambda s, b, n: s * b // n,
    "{given} steps: one was added with nothing left over. Round up.": lambda s, b, n: (
        s * b // n + 1
    ),
    "{given} steps: {new_batch_size} / {batch_size} is not exact, and the quotient a hair too "
    "high. Multiply first, then divide.": lambda s, b, n: math.ceil(s / (n / b)),
    "{given} steps: {batch_size} / {new_batch_size} is not exact, and the product a hair too "
    "high. Multiply first, then divide.": lambda s, b, n: math.ceil(s * (b / n)),
    "the square root is for the rate. Samples are steps times the batch size, whatever the "
    "rule.": lambda s, b, n: math.ceil(s / math.sqrt(n / b)),
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
    wrong=[
        *rows(_RECIPES),
        *rows(_STEP_COUNTS, lambda count: _recipe(count=count)),
        (
            "where there was no warm-up, there is none.",
            _recipe(warm=lambda s, b, n: max(1, _ceil(s * b, n))),
        ),
        (
            "{given} steps of warm-up, from steps that were rounded. Count its own samples.",
            lambda lr, s, w, b, n, rule: (
                *_recipe()(lr, s, w, b, n, rule)[:2],
                _ceil(w * _ceil(s * b, n), s),
            ),
        ),
    ],
    passed="every sample is seen as often as before, and the warm-up keeps its samples.",
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
    "{given}: the batch shrinks. A larger one has less noise, as a lower rate has, so it has to "
    "grow.": lambda p: max(1, p.B * p.gamma**p.k),
    "{given}: the batch was rounded up. Round it down, or the rate is above the original's "
    "first.": [lambda p: round(p.size), lambda p: math.ceil(p.size)],
    "{given}: each comes from the one before, which was rounded itself. Begin with batch_size each "
    "time.": lambda p: p.plan[-1][0] / p.gamma if p.k else p.B,
    "{given}: the first phase is as in the original. The batch grows at the milestones alone, not "
    "before.": [lambda p: p.most, lambda p: p.size / p.gamma],
    "{given}: the batch grows by more than the rate was to fall. Four times the batch stands for a "
    "quarter of the rate.": lambda p: p.B / p.gamma ** (2 * p.k),
    "{given}: the rate falls more than it must, since the batch could grow more. Four times the "
    "batch stands for a quarter of the rate.": lambda p: p.B / p.gamma ** (p.k / 2),
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
    "the rates are {given}. The batch grows and the rate falls too: that lowers the noise twice.": [
        lambda p: p.lr * p.gamma**p.k,
        lambda p: p.lr * p.B / p.batch,
    ],
    "the rates are {given}. The batch grows in place of a drop, and the rate is not to grow with "
    "it.": lambda p: p.lr * p.batch / p.B,
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
    "{given} updates: rounded down, as // does, and round for less than a half. The last samples "
    "of the phase are not seen.": lambda p: p.length * p.B // p.batch,
    "{given} updates: that is the wrong direction. The larger the batch, the fewer there are.": [
        lambda p: p.length * p.batch // p.B,
        lambda p: _ceil(p.length * p.batch, p.B),
    ],
    "{given} updates: you divide the steps of a phase by the batch size. Its samples are "
    "steps times the original's batch_size.": lambda p: _ceil(p.length, p.batch),
    "{given} is the number of samples.": lambda p: p.length * p.B,
    "{given} is where the phases end in the original. How long is each of them, and how many are "
    "its samples?": lambda p: p.end,
    "{given} updates, counted from the beginning of the run. A phase begins at a "
    "milestone.": lambda p: _ceil(p.end * p.B, p.batch),
    "{given} updates: one was added with nothing left over, so that it finds no samples. Round "
    "up.": lambda p: p.length * p.B // p.batch + 1,
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
