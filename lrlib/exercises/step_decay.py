"""Checkers of chapter 02."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.optim import Optimizer

from lrlib.exercises import (
    Ask,
    Mistake,
    exercise,
    flaws,
    over,
    sampled,
    to_schedule,
)
from lrlib.exercises.step_decay_drops import changes, check_two_drops
from lrlib.exercises.watching import OF_A_RUN, Runs, rates_returned
from lrlib.schedule import Schedule
from lrlib.scheduler import ScheduledLR
from lrlib.step_decay import MultiStepDecay
from lrlib.trace import LRTrace

__all__ = ["check_factor", "check_fair_run", "check_flaws", "check_to_steps", "check_two_drops"]

# --- 1. A loop as a function


def _factor(t: int, step_size: int, gamma: float) -> float:
    return gamma ** (t // step_size)


check_factor = exercise(
    "Exercise 1: ``factor(t, step_size, gamma)``, step decay as a function of the step.",
    right=_factor,
    # No gamma here is a peak that somebody would put in front.
    cases=((30, 0.37), (7, 0.62), (1, 0.93)),
    # Exact in float32 too: its rounding would grow with 5,000 drops.
    far=((20_000, 4, 1 - 2**-12), (19_999, 4, 1 - 2**-12)),
    read=over(lambda step_size, _: range(3 * step_size + 2)),
    rules_out="lrlib",
    wrong=(
        (
            "there is one drop too many: the first step has the factor gamma already.",
            lambda t, k, g: g ** (t // k + 1),
        ),
        (
            "every drop comes one step late, and the first step has a factor above 1. Steps count "
            "from 0.",
            lambda t, k, g: g ** ((t - 1) // k),
        ),
        (
            "it falls at every step, as in the next chapter: t / step_size is not a whole number. "
            "How many whole stages lie before step t?",
            lambda t, k, g: g ** (t / k),
        ),
        (
            "rounding to the nearest drops half a stage early. Round down.",
            lambda t, k, g: g ** round(t / k),
        ),
        (
            "rounding up drops as soon as a stage begins. Round down.",
            lambda t, k, g: g ** -(-t // k),
        ),
        (
            "you subtract gamma at every drop, and the factor goes below 0. The loop multiplies "
            "by it.",
            lambda t, k, g: 1 - g * (t // k),
        ),
        (
            "you subtract the same amount at every drop, and the factor goes below 0. The loop "
            "multiplies by gamma.",
            lambda t, k, g: 1 - (1 - g) * (t // k),
        ),
        (
            "gamma is multiplied by the number of drops. Multiplying by gamma again and again is "
            "a power.",
            lambda t, k, g: g * (t // k),
        ),
        (
            "it drops once and never again. After two stages the factor is gamma * gamma.",
            lambda t, k, g: g if t >= k else 1.0,
        ),
        (
            "it drops at every step but the multiples of step_size. `%` tells where in a stage t "
            "is; how many whole stages lie before it?",
            lambda t, k, g: g if t % k else 1.0,
            lambda t, k, g: g ** (t % k),
        ),
        (
            "the rate comes back after the steps step_size, 2 step_size, … The loop keeps it low.",
            lambda t, k, g: g if t and t % k == 0 else 1.0,
            lambda t, k, g: g ** (t // k) if t % k == 0 else 1.0,
        ),
        ("base and exponent have changed places.", lambda t, k, g: (t // k) ** g),
        (
            "a drop leaves 1 - gamma. The loop multiplies by gamma itself.",
            lambda t, k, g: (1 - g) ** (t // k),
        ),
    ),
    say={
        "early": "every drop comes one step early. Step step_size is the first with the lower "
        "rate, and steps count from 0.",
        "late": "every drop comes one step late. Step step_size is the first with the lower rate, "
        "not the last with the higher one.",
        "reciprocal": "it rises. Look at the sign of the exponent.",
        "scaled": "the first step has {c}. That looks like a rate; a factor is the rate over its "
        "peak, and begins at 1.",
    },
    differs="step {i} has {given}, but the loop has {wanted}.",
    passed="a function of the step alone, and every drop is on time.",
)


# --- 2. A recipe in epochs


def _per_epoch(examples: int, batch_size: int, drop_last: bool) -> int:
    return examples // batch_size if drop_last else -(-examples // batch_size)


def _to_steps(
    epochs: Sequence[int], examples: int, batch_size: int, drop_last: bool
) -> MultiStepDecay:
    steps = _per_epoch(examples, batch_size, drop_last)
    if not steps:
        raise ValueError(
            f"{examples} examples do not fill a batch of {batch_size}. If it is dropped, an epoch "
            f"has no step"
        )
    return MultiStepDecay([epoch * steps for epoch in sorted(epochs)], 1 / 5)


def _with(milestone=None, steps=_per_epoch, gamma=1 / 5):
    """A recipe with its own ``milestone(epoch, steps in one, examples, batch_size)``."""

    def to_steps(epochs, n, b, drop_last):
        if not (right := steps(n, b, drop_last)):
            raise ValueError("no step")
        milestones = [milestone(e, right, n, b) if milestone else e * right for e in sorted(epochs)]
        return MultiStepDecay(milestones, gamma)

    return to_steps


def _drops(ask: Ask, epochs: Sequence[int], examples: int, *rest: Any) -> dict[str, Any]:
    """At which steps the factor changes, and to what."""
    answer = ask(list(epochs), examples, *rest)
    shape = to_schedule(answer, ask.name, "MultiStepDecay((100, 200), 0.5)")
    # Long enough to see milestones counted in examples.
    factors = sampled(shape, max(epochs) * examples + 1)
    milestones = changes(factors)
    return {
        "milestones": tuple(milestones),
        "factors": tuple(float(f"{x:.7g}") for x in factors[[0, *milestones]]),
    }


_SEEN = "your rate drops at the steps {given}: "
check_to_steps = exercise(
    "Exercise 2: ``to_steps(epochs, examples, batch_size, drop_last)``, a recipe in steps.",
    right=_to_steps,
    cases=(
        ((6, 12, 16), 1000, 16, False),  # 62 full batches, and one of 8
        ((6, 12, 16), 1000, 16, True),
        ((2, 5), 960, 16, False),  # no rest
        ((2, 5), 960, 16, True),
        ((12, 16, 6), 1000, 16, False),
        ((60, 120, 160), 100, 128, False),  # less than one batch
        ((60, 120), 100, 128, True),  # none
    ),
    read=_drops,
    wrong=(
        ("gamma multiplies the rate. Which number divides it by five?", _with(gamma=5)),
        (
            "the epochs may come in any order, and no two of them are the same step.",
            lambda epochs, *rest: MultiStepDecay([e * _per_epoch(*rest) for e in epochs], 0.2),
        ),
        (_SEEN + "those are the epochs. An epoch has many steps.", _with(lambda e, s, n, b: e)),
        (
            _SEEN + "the last batch is kept, and is a step too: round up.",
            _with(steps=lambda n, b, last: n // b),
        ),
        (
            _SEEN + "the last batch is dropped: round down.",
            _with(steps=lambda n, b, last: -(-n // b)),
        ),
        (
            _SEEN + "drop_last the other way round: if it is True the last batch is dropped, "
            "rounded down; if not, it is kept.",
            _with(steps=lambda n, b, last: _per_epoch(n, b, not last)),
        ),
        (
            _SEEN + "there is no partial batch here, so nothing is to be added.",
            _with(steps=lambda n, b, last: n // b + (not last)),
            _with(steps=lambda n, b, last: n // b + 1),
        ),
        (
            _SEEN + "no batch crosses from one epoch into the next: round the steps of one epoch, "
            "and then multiply.",
            _with(lambda e, s, n, b: e * n // b),
            _with(lambda e, s, n, b: -(-e * n // b)),
        ),
        (
            _SEEN + "every drop comes one epoch early. After 6 epochs, 6 epochs are over.",
            _with(lambda e, s, n, b: (e - 1) * s),
        ),
        (
            _SEEN + "every drop comes one epoch late. After 6 epochs, 6 epochs are over.",
            _with(lambda e, s, n, b: (e + 1) * s),
        ),
        (
            _SEEN + "every drop comes one step early. Steps count from 0, so the step with the "
            "number epochs times steps is already the first of the next epoch.",
            _with(lambda e, s, n, b: e * s - 1),
        ),
        (
            _SEEN + "every drop comes one step late. A milestone is the first step with the lower "
            "rate.",
            _with(lambda e, s, n, b: e * s + 1),
        ),
        (
            _SEEN + "those count examples. A step uses batch_size of them.",
            _with(lambda e, s, n, b: e * n),
        ),
        (
            "your factors are {given}: gamma is still at its default, 0.1, which divides by ten.",
            _with(gamma=0.1),
        ),
        (
            "your factors are {given}: dividing by five multiplies by 0.2, each time.",
            _with(gamma=0.5),
            _with(gamma=0.8),
        ),
        (
            "100 examples do not fill a batch of 128. A batch that is dropped is no step, and one "
            "step is not made of it: raise a ValueError.",
            _with(steps=lambda n, b, last: max(1, _per_epoch(n, b, last))),
        ),
    ),
    differs={
        "milestones": lambda _, *rest: (
            _SEEN + f"{{wanted}} is right, since an epoch has {_per_epoch(*rest)} steps."
        ),
        "factors": "your factors are {given}: dividing by five multiplies by 0.2, each time.",
    },
    passed="your milestones are steps, and the last batch counts where it is kept.",
)


# --- 3. What is wrong with this experiment?

check_flaws = flaws(
    "Exercise 3a: which of the statements A to E name a flaw of the experiment.",
    right=lambda: {"B", "D", "E"},
    hints={
        "A": "same seed, same weights and batches: only then is the difference the schedule's.",
        "B": "what is the rate of a torch scheduler that was stepped 8 times, past both drops?",
        "C": "that is the right order. The other way round the run never uses the first rate.",
        "D": "at which batch does a scheduler stepped once per batch reach its milestone 6?",
        "E": "the best peak of one schedule need not be that of another. How many peaks did the "
        "schedule with the drops get to try?",
    },
    passed="a used scheduler, epochs for steps, and a peak tuned for the rival.",
)


def _run(before=0, after=1, drawn=0, says=None, updates=None, shape_of=None):
    """A run with the scheduler stepped in given places, which returns ``says(rates, peak, …)``."""

    def fair_run(make_optimizer, shape, steps):
        optimizer = make_optimizer()
        peak = optimizer.param_groups[0]["lr"]
        scheduler = ScheduledLR(optimizer, shape_of(shape) if shape_of else shape)
        trace = LRTrace(optimizer)
        for _ in range(drawn * steps):
            scheduler.step()
        for _ in range(updates(steps) if updates else steps):
            for _ in range(before):
                scheduler.step()
            optimizer.step()
            for _ in range(after):
                scheduler.step()
        rates = trace.lr[:, 0]
        return says(rates, peak, shape, steps) if says else rates

    return fair_run


def _own(lead, compounds=False):
    """A run that writes its rates itself, `lead` updates ahead, and returns them."""

    def fair_run(make_optimizer, shape, steps):
        optimizer, rates = make_optimizer(), []
        (group,) = optimizer.param_groups
        peak = group["lr"]
        for t in range(steps):
            if not lead:
                group["lr"] = shape(t) * (group["lr"] if compounds else peak)
            optimizer.step()
            if lead:
                group["lr"] = peak * shape(t + lead)
            rates.append(group["lr"])
        return rates

    return fair_run


def _observed(ask: Ask, peak: float, plan: Schedule, steps: int) -> dict[str, Any]:
    runs = Runs(100 * steps, "updates and optimizers")

    def make_optimizer() -> Optimizer:
        parameter = torch.zeros(1, requires_grad=True)
        return runs.watch(torch.optim.SGD([parameter], lr=peak)).optimizer

    answer = runs.let(ask, make_optimizer, plan, steps)
    if not runs.begun:
        raise Mistake("make_optimizer was not called, so this was not a new run.")
    run = runs.used[-1]  # one more optimizer, for a plot, is no fault
    return {
        "updates": run.updates,
        "applied": run.rates,
        "returned": rates_returned(answer, run.updates, ask.name),
    }


check_fair_run = exercise(
    "Exercise 3b: ``fair_run(make_optimizer, shape, steps)``, the rates that were applied.",
    right=_run(),
    names=("peak", "shape", "steps"),
    # In the second, nothing of the first may be written into the function.
    cases=(
        (0.25, MultiStepDecay((5, 12), 0.5), 20),
        (0.0625, MultiStepDecay((3, 4, 9), 0.25), 11),
    ),
    read=_observed,
    noun="run",
    wrong=(
        (
            "the run began where the plan ends. The scheduler had been stepped before, perhaps to "
            "draw it: shape.sample(steps) draws without stepping anything.",
            _run(drawn=1),
        ),
        (OF_A_RUN["twice"], _run(after=2), _run(before=1)),
        (
            "the factor was applied twice. Is there more than one scheduler on this optimizer?",
            _run(shape_of=lambda shape: shape * shape),
        ),
        (OF_A_RUN["products"], _own(0, compounds=True)),
        (
            "the run was right, but you read each rate after scheduler.step(): by then it is the "
            "rate of the next update. An LRTrace reads it when it is used.",
            _own(1),
        ),
        (
            "you returned factors. The rate is the peak times the factor.",
            _run(says=lambda rates, peak, shape, n: shape.sample(n)),
        ),
    ),
    say={"applied": OF_A_RUN},
    differs={
        "updates": "the optimizer made {given} updates; {wanted} were asked for.",
        "applied": "update {i} used the rate {given}, but the plan has {wanted} there.",
        "returned": "the run was right, but the rates you returned are not those it used.",
    },
    passed="the plan is applied from step 0, in every run, and you can show it.",
)
