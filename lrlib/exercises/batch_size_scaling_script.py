"""Checkers of chapter 10: a script for several processes."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, fields
from types import SimpleNamespace
from typing import Any

import torch
from torch.optim import Optimizer

from lrlib import Constant, CosineAnnealing, Warmup
from lrlib.exercises import Ask, Mistake, exercise, flaws, rows, to_numbers
from lrlib.exercises.watching import Runs

# --- 4. What is wrong with this script?


@dataclass(frozen=True)
class Job:
    """A recipe, and the machine it is to run on.

    The recipe: peak `lr`, `steps` updates, the first `warmup_steps` of them warm-up, tuned for
    updates of `batch_size` samples on one process. The machine: `processes`, each of which adds
    up the gradients of `accumulate` microbatches of `microbatch_size` samples for an update.
    """

    lr: float
    steps: int
    warmup_steps: int
    batch_size: int
    processes: int
    accumulate: int
    microbatch_size: int


def process(job: Job, seed: int) -> tuple[Optimizer, Callable[[int], None], Callable[[], float]]:
    """A process of the job: its optimizer, ``backward(i)`` and ``loss()``.

    The optimizer is an AdamW whose rate is ``job.lr``. ``backward(i)`` adds to ``.grad`` the
    gradient of the mean loss over microbatch number i of every process, divided by
    ``job.accumulate``. `seed` sets the initial weights and the samples. ``loss()`` is the loss in
    excess of the lowest there is.

    The task is a linear regression with 20 weights and noise. All processes hold the same weights,
    so that one of them stands for all.
    """
    draw = torch.Generator().manual_seed(seed)
    spread = torch.arange(1, 21).rsqrt()
    weight = torch.randn(20, generator=draw).requires_grad_()  # 0 is right
    x = torch.randn(job.steps * job.batch_size, 20, generator=draw) * spread
    y = 2 * torch.randn(len(x), generator=draw)

    def backward(i: int) -> None:
        i = operator.index(i)
        if i < 0:
            raise ValueError(f"backward: microbatches are numbered from 0, got {i}")
        n = job.processes * job.microbatch_size
        mine = torch.arange(i * n, (i + 1) * n) % len(x)
        error = x[mine] @ weight.detach() - y[mine]
        gradient = x[mine].T @ error / (n * job.accumulate)
        weight.grad = gradient if weight.grad is None else weight.grad + gradient

    def loss() -> float:
        return float((weight.detach() * spread).square().sum()) / 2

    return torch.optim.AdamW([weight], lr=job.lr, weight_decay=0), backward, loss


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


def _shape(steps, warmup, _=None):
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
        j.T, j.w = -(-j.steps * b // j.B), -(-j.warm * b // j.B)
        plan, rates = shape(T(j), warm(j), j), []
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
    "{given} updates. One takes {accumulate} microbatches from each of the {processes} processes, "
    "which share the samples.": lambda j: j.T * j.a**2 * j.p,
    "{given} updates: you make one microbatch for each, and it takes {accumulate}.": lambda j: j.T,
    "{given} updates: the last samples of the recipe do not fill one, and count too. Round up, and "
    "make the last update as large as the others.": lambda j: j.steps * j.b // j.B * j.a,
}
_LOOPS = {
    "the last update is to be as large as the others: backward goes on with the first samples.": [
        _train(
            count=lambda j: -(-j.steps * j.b // (j.p * j.m)),
            due=lambda i, j: (i + 1) % j.a == 0 or (i + 1) * j.p * j.m >= j.steps * j.b,
        )
    ],
    "optimizer.step() comes after every microbatch. It belongs after every {accumulate} of "
    "them.": _train(due=lambda i, j: True, zero=lambda i, j: True),
    "an update comes when {accumulate} microbatches are added up: i counts from 0, so that is when "
    "i + 1 is a multiple.": _train(due=lambda i, j: i % j.a == 0, zero=lambda i, j: i % j.a == 1),
    "gradients are zeroed between the microbatches of an update.": _train(zero=lambda i, j: True),
    "gradients of earlier updates are still in .grad, and are applied again: zero them after every "
    "update.": _train(zero=lambda i, j: False),
    "every update takes the microbatches 0 to {accumulate} - 1. They are numbered through, over "
    "the run.": _train(number=lambda i, j: i % j.a),
    "an update takes one microbatch again and again: i is the number of a microbatch, not of an "
    "update.": _train(number=lambda i, j: i // j.a),
    "the scheduler was built before the peak was set: it keeps the rate that it finds, and the "
    "first update has another.": _train(
        shape=lambda T, w, j: lambda t: _shape(T, w)(t) / (j.B / j.b) ** 0.5 if t else 1
    ),
    "there is no warm-up.": _train(shape=lambda steps, *_: CosineAnnealing(steps)),
    "the first update has the rate 0. Use shape(steps, warmup).": _train(
        shape=lambda steps, warmup, _: Warmup(warmup).then(CosineAnnealing(steps - warmup))
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
    "the peak is that of the recipe, for another batch size. Scale it before the "
    "scheduler is built.": lambda j: 1,
    "the ratio of the batch sizes is upside down.": lambda j: (j.b / j.B) ** 0.5,
    "the factors were applied as rates, without the peak.": lambda j: 1 / j.lr,
}
_LENGTHS = {  # of the schedule or its warm-up, whose right length is n, and was s in the recipe
    "the schedule or its warm-up is counted in microbatches. Its step is one update of all "
    "processes.": [lambda n, s, j: n * j.a, lambda n, s, j: n * j.a * j.p],
    "the schedule or its warm-up is as long as if one process had to see all samples. They share "
    "them.": lambda n, s, j: n * j.p,
    "the schedule or its warm-up has as many steps as in the recipe. They hold more samples "
    "now.": lambda n, s, j: s,
    "the schedule or its warm-up is rounded down. The rest of the samples counts too: round "
    "up.": lambda n, s, j: s * j.b // j.B,
}
_STEPS = {  # of the schedule at update t
    "the schedule moves on with every microbatch. Its step is one update, for which several are "
    "added up.": [lambda t, i, j: i, lambda t, i, j: i + 1, lambda t, i, j: t * j.a],
    "the schedule moves on once for every process. All of them make the same "
    "update.": lambda t, i, j: t * j.p,
    "every rate came one update early. The schedule moves on after the step.": lambda t, *_: t + 1,
    "every rate came one update late. Write it before the update that should use it, the first "
    "too.": [lambda t, *_: max(t - 1, 0), lambda t, *_: t - 1 if t else None],
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
        ("the rate never changed.", _train(shape=lambda *_: Constant())),
    ],
    say={
        "returned": {
            "early": "the rates are right, but you read each when it was that of the next update. "
            "An LRTrace reads it when it is used.",
            "shape": "return one rate for each update, shape {wanted}, not {given}. (A "
            "trace's lr has one column for each parameter group.)",
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
