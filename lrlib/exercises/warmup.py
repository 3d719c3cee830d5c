"""Checkers of chapter 08."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LinearLR, SequentialLR

from lrlib.cosine_annealing import CosineAnnealing
from lrlib.exercises import (
    Ask,
    Limit,
    Mistake,
    apart,
    exercise,
    flaws,
    over,
    over_a_run,
    short,
    to_numbers,
    to_whole,
)
from lrlib.exercises.warmup_given import VALLEYS, Measure, Valley, job, model
from lrlib.exercises.watching import OF_A_RUN, Watched, through_a_file
from lrlib.constant import Constant
from lrlib.exponential_decay import PolynomialDecay
from lrlib.schedule import Schedule
from lrlib.scheduler import ScheduledLR
from lrlib.warmup import Warmup

__all__ = ["job", "model"]  # what the sheet hands out; the rest are checks

# --- 1. The factor


def _factor(t: int, n: int) -> float:
    return min(1.0, (t + 1) / n)


check_factor = exercise(
    "Exercise 1: ``factor(t, n)``, a linear warm-up that wastes no update.",
    right=_factor,
    cases=((4,), (10,), (7,), (1,)),
    far=((20_000, 4), (1_000_000, 4), (20_000, 40_000)),
    read=over(lambda n: range(3 * n + 2)),
    rules_out="lrlib",
    wrong=(
        (
            "the first update has the factor 0 and changes nothing: it is wasted. t counts the "
            "updates already made, so the one being made has the number t + 1.",
            lambda t, n: min(1, t / n),
        ),
        (
            "your factor goes on rising past 1. After the warm-up it stays at 1.",
            lambda t, n: (t + 1) / n,
        ),
        (
            "the first update is wasted, its factor is 0; and the last ones lie above 1.",
            lambda t, n: t / n,
        ),
        (
            "the first update is wasted, its factor is 0: your line has n - 1 steps. It starts at "
            "1/n, and each step adds 1/n.",
            lambda t, n: min(1, t / (n - 1)) if n > 1 else 1,
        ),
        (
            "the peak comes one update too late: update number n, at step n - 1, has the factor 1.",
            lambda t, n: min(1, (t + 1) / (n + 1)),
        ),
        (
            "at step n your factor is above 1: there n updates are made already.",
            lambda t, n: (t + 1) / n if t <= n else 1,
        ),
        (
            "your factor is 1 first and rises after. Did you take max for min?",
            lambda t, n: max(1, (t + 1) / n),
        ),
        (
            "// drops the fraction, and all but the peak is 0.",
            lambda t, n: min(1, (t + 1) // n),
            lambda t, n: min(1, t // n),
        ),
        (
            "t + 1 / n is t + (1 / n). The sum needs brackets.",
            lambda t, n: min(1, t + 1 / n),
            lambda t, n: t + 1 / n,
        ),
        (
            "the fraction is upside down: update number t + 1 of n has (t + 1) / n.",
            lambda t, n: min(1, n / (t + 1)),
            lambda t, n: n / (t + 1),
        ),
        (
            "after the warm-up your factor is 0. It stays at 1.",
            lambda t, n: (t + 1) / n if t < n else 0,
            lambda t, n: t / n if t < n else 0,
        ),
        (
            "from step n - 1 on your factor is 0. It is 1 there, and stays so.",
            lambda t, n: (t + 1) / n if t < n - 1 else 0,
        ),
        (
            "the first factor is right and the line too flat: from update 1 to update n it is "
            "n - 1 steps, not n. Each adds 1/n.",
            lambda t, n: min(1, 1 / n + (1 - 1 / n) * t / n),
        ),
        (
            "the first two updates have the same factor. Update number 2 has 2/n.",
            lambda t, n: min(1, max(t, 1) / n),
        ),
        (
            "your factor rises by the same ratio from step to step, which is exponential. By the "
            "same amount is wanted.",
            lambda t, n: n ** (min(t, n - 1) / max(n - 1, 1) - 1),
        ),
        (
            "your factor falls. It should rise to 1.",
            lambda t, n: max(0, 1 - t / n),
            lambda t, n: max(0, 1 - (t + 1) / n),
        ),
        (
            "your factor falls after the peak. Here it stays at 1.",
            lambda t, n: min((t + 1) / n, (n / (t + 1)) ** 0.5),
        ),
        (
            "the warm-up has n steps and the run goes on: after them the factor is 1.",
            lambda t, n: [(k + 1) / n for k in range(n)][t],
            lambda t, n: np.linspace(1 / n, 1, n)[t],
        ),
    ),
    say={
        "early": "you are one step ahead: t + 1 is the number of the update, and the first has "
        "1/n.",
        "scaled": "after the warm-up your factor is {c}. A factor is the rate over its peak, so "
        "there it is 1.",
        "constant": "your factor never rises. It should be 1/n at step 0 and 1 at step n - 1.",
        "times n": "those are numbers of updates, n at last. The factor is the share of n.",
    },
    differs="step {i} has the factor {given}, and {wanted} is right.",
    passed="the first update has a share of the peak, and update number n has all of it.",
)


# --- 2. Warm-up and cosine


def _line(n: int, from_zero: bool) -> Warmup:
    return Warmup(n) if from_zero else Warmup(n - 1, 1 / n)


def _recipe(total_steps: int, n: int, from_zero: bool) -> Schedule:
    line = _line(n, from_zero)
    return line.then(CosineAnnealing(total_steps - line.length))


def _joined(line=_line, fall=lambda total, rise: total - rise, after=CosineAnnealing):
    """A recipe of the parts ``line(n, from_zero)`` and ``after(fall(total steps, length))``."""

    def recipe(total, n, from_zero):
        first = line(n, from_zero)
        return first.then(after(fall(total, first.length)))

    return recipe


class _Written(Schedule):
    """A schedule from a function of the step."""

    formula: Any = None

    def __init__(self, formula: Callable[[int], float]) -> None:
        self.formula = formula


def _jumps(total, n, from_zero):
    line, cosine = _line(n, from_zero), CosineAnnealing(total)
    return _Written(lambda t: line(t) if t < line.length else cosine(t))


def _too_long(total: int, n: int, from_zero: bool) -> str:
    rise = _line(n, from_zero).length
    return (
        f"the cosine is as long as the whole run. It begins at step {rise}, and the run ends at "
        f"{CosineAnnealing(total)(total - rise):.2g} of the peak. How many steps are left for it?"
    )


def _ends(off: int, what: str) -> Callable[..., str]:
    return lambda total, n, from_zero: (
        f"the rate reaches 0 at step {total + off}, {what}. It should be at step {total}: the "
        f"warm-up takes {_line(n, from_zero).length} steps here, and the cosine the rest."
    )


_ENDS_EARLY = _ends(-1, "a step before the run is over, so its last update is wasted")
_WASTED = "the first update has the factor 0. Here it is 1/n, so no update is wasted."
_FLAT = (
    "the line from 1/n reaches the peak after n steps. Update number n, step n - 1, should have "
    "it: from 1/n to 1 it is n - 1 steps of 1/n."
)
_MULTIPLIED = "you multiply the two, and no update has the peak. Use then(…)."

check_recipe = exercise(
    "Exercise 2: ``recipe(total_steps, n, from_zero)``, warm-up and cosine in one schedule.",
    right=_recipe,
    cases=((40, 8, True), (40, 8, False), (25, 5, True), (90, 30, False), (30, 1, False)),
    read=over_a_run(lambda total, *_: 2 * total, "Warmup(500).then(CosineAnnealing(T_max=9_500))"),
    wrong=(
        (
            _too_long,
            _joined(fall=lambda total, _: total),
            _joined(lambda n, _: Warmup(n), fall=lambda total, _: total),
            _joined(lambda n, z: Warmup(n, 0 if z else 1 / n), fall=lambda total, _: total),
        ),
        (
            "the first factor is 1/n, as with from_zero=False. Here it is 0.",
            lambda total, n, _: _recipe(total, n, False),
            _joined(lambda n, _: Warmup(n, 1 / n)),
        ),
        (
            _WASTED,
            lambda total, n, _: _recipe(total, n, True),
            _joined(lambda n, z: Warmup(n if z else n - 1)),
        ),
        (
            "that is the other convention: the one from 0 belongs to from_zero=True.",
            lambda total, n, z: _recipe(total, n, not z),
        ),
        (_FLAT, _joined(lambda n, z: Warmup(n, 0 if z else 1 / n))),
        (
            "the first update has 1/(n + 1), and update n + 1 the peak. Here update 1 has 1/n and "
            "update n the peak.",
            _joined(lambda n, z: Warmup(n, 0 if z else 1 / (n + 1))),
        ),
        (
            "the peak comes a step early. From 0 to 1 it is n steps of 1/n.",
            _joined(lambda n, z: Warmup(n - 1, 0 if z else 1 / n)),
            _joined(lambda n, _: Warmup(n - 1)),
        ),
        (
            _MULTIPLIED,
            lambda total, n, z: _line(n, z) * CosineAnnealing(total),
            lambda total, n, _: Warmup(n) * CosineAnnealing(total),
            lambda total, n, z: _line(n, z) * CosineAnnealing(total - n),
        ),
        (
            "after the warm-up the rate stays at the peak. Where is the cosine?",
            lambda _, n, z: _line(n, z),
            lambda _, n, z: Warmup(n),
        ),
        (
            "there is no warm-up.",
            lambda total, *_: CosineAnnealing(total),
            lambda total, n, _: CosineAnnealing(total - n),
        ),
        (
            "the cosine comes first. a.then(b) starts with a.",
            lambda total, n, z: CosineAnnealing(total - n).then(_line(n, z)),
        ),
        (
            "the rate jumps at the hand-over: your cosine counts from step 0 of the run. Its own "
            "step 0 is the step at which the warm-up ends.",
            _jumps,
        ),
        (
            "the cosine begins a step too early: the line has not reached the peak.",
            lambda total, n, z: Warmup(n).then(CosineAnnealing(total - n), at=n - 1),
        ),
        (
            "two updates have the peak: the last step of the warm-up comes again as the first of "
            "the cosine.",
            lambda total, n, _: (
                Warmup(n).then(Constant()).then(CosineAnnealing(total - n - 1), at=n + 1)
            ),
        ),
        (
            "two updates have the peak. A warm-up of no steps is no Warmup: leave it out.",
            _joined(lambda n, z: Warmup(n) if z else Warmup(max(n - 1, 1), 1 / n)),
        ),
        (
            "the rate falls in a straight line. Half a cosine is wanted.",
            _joined(after=PolynomialDecay),
        ),
        (
            "the warm-up rises by the same ratio from step to step. A straight line is wanted.",
            _joined(lambda n, z: Warmup(n) if z else Warmup(n - 1, 1 / n, "exponential")),
        ),
        (
            "the cosine ends above 0. It falls to 0 here: leave min_factor at its default.",
            _joined(after=lambda fall: CosineAnnealing(fall, min_factor=0.1)),
            _joined(after=lambda fall: CosineAnnealing(fall, min_factor=0.01)),
            _joined(lambda n, _: Warmup(n), after=lambda fall: CosineAnnealing(fall, 0.1)),
        ),
        (
            _ENDS_EARLY,
            lambda total, n, z: _line(n, z).then(CosineAnnealing(total - n)),
            _joined(fall=lambda total, rise: total - rise - 1),
        ),
        (
            _ends(1, "late"),
            lambda total, n, z: _line(n, z).then(CosineAnnealing(total - n + 1)),
            _joined(fall=lambda total, rise: total - rise + 1),
        ),
    ),
    differs="step {i} has the factor {given}, and {wanted} is right.",
    passed="no jump, no step twice, and the rate is 0 when the run is over, not before.",
)


# --- 3. Adam's first updates


def _adam(
    betas=lambda a, b: (a, b),
    new=lambda a, b: (1 - a, 1 - b),
    squared=np.square,
    bias=lambda m, v, a, b, t: (m / (1 - a**t), v / (1 - b**t)),
    fixes=lambda correct: (correct, correct),
    start=1,
    update=lambda m, v: m / np.sqrt(v),
    kept=False,
    first=False,
):
    """Adam's updates, any part of which can be made wrong."""

    def updates(gradients, beta1, beta2, correct):
        a, b = betas(beta1, beta2)
        new_m, new_v = new(a, b)
        m, v, out = 0 * gradients[0], 0 * gradients[0], []
        for t, g in enumerate(gradients, start):
            if first and not out:
                m, v = g, squared(g)
            else:
                m, v = a * m + new_m * g, b * v + new_v * squared(g)
            fixed = bias(m, v, a, b, t)
            used = [y if fix else x for x, y, fix in zip((m, v), fixed, fixes(correct), strict=True)]
            if kept:
                m, v = used
            out.append(update(*used))
        return np.array(out)

    return updates


def _updates_of(ask: Ask, gradients: np.ndarray, *betas: float) -> dict[str, np.ndarray]:
    return {
        name: to_numbers(ask(gradients, *betas, correct), ask.name)
        for name, correct in (("uncorrected", False), ("corrected", True))
    }


def _gradients() -> tuple[tuple[np.ndarray, float, float], ...]:
    draw = np.random.default_rng(8).standard_normal
    return (
        (np.full((4, 2), 3.0), 0.9, 0.999),
        (1 + draw((12, 3)), 0.9, 0.999),
        (1e-6 * draw((7, 2)), 0.8, 0.95),
        (100 * draw((5, 1)), 0.95, 0.99),
    )


_ENTRY = (
    "with correct={}, row and column {{i}} (both from 0) have {{given}}, and {{wanted}} is right."
)
check_updates = exercise(
    "Exercise 3: ``updates(gradients, beta1, beta2, correct)``, Adam's update sizes.",
    right=_adam(),
    names=("gradients", "beta1", "beta2"),
    cases=_gradients(),
    read=_updates_of,
    rel=1e-4,  # in float32 1 - beta2 has an error of 6e-5
    wrong=(
        ("the bias is not corrected.", _adam(fixes=lambda _: (False, False))),
        ("you correct the bias. Look at `correct`.", _adam(fixes=lambda _: (True, True))),
        (
            "`correct` is the other way round: the bias is to be corrected if it is true.",
            _adam(fixes=lambda correct: (not correct, not correct)),
        ),
        (
            "you add the updates up, as the weight does. Every update by itself is asked for.",
            lambda *case: np.cumsum(_adam()(*case), 0),
        ),
        ("beta1 and beta2 are exchanged.", _adam(betas=lambda a, b: (b, a))),
        (
            "Adam's ε is left out here; with gradients of 1e-6 one sees it.",
            _adam(update=lambda m, v: m / (np.sqrt(v) + 1e-8)),
            _adam(update=lambda m, v: m / np.sqrt(v + 1e-8)),
        ),
        (
            "you divide by v. The square root of it is missing.",
            _adam(update=lambda m, v: m / v),
        ),
        ("that is m. It is to be divided by the square root of v.", _adam(update=lambda m, v: m)),
        (
            "m is corrected and v is not. Both begin at 0.",
            _adam(fixes=lambda correct: (correct, False)),
        ),
        (
            "v is corrected and m is not. Both begin at 0.",
            _adam(fixes=lambda correct: (False, correct)),
        ),
        (
            "v is corrected by beta1. It forgets at the speed of beta2, so that belongs to it.",
            _adam(bias=lambda m, v, a, b, t: (m / (1 - a**t), v / (1 - a**t))),
        ),
        (
            "the corrections have their betas exchanged: beta1 belongs to m, beta2 to v.",
            _adam(bias=lambda m, v, a, b, t: (m / (1 - b**t), v / (1 - a**t))),
        ),
        (
            "the correction divides by 1 - beta. Beta is to be raised to the number of the update.",
            _adam(bias=lambda m, v, a, b, t: (m / (1 - a), v / (1 - b))),
        ),
        (
            "the correction has (1 - beta)^t. It is 1 - beta^t, the power first.",
            _adam(bias=lambda m, v, a, b, t: (m / (1 - a) ** t, v / (1 - b) ** t)),
        ),
        (
            "the correction multiplies. It divides by 1 - beta^t, since m and v are too small.",
            _adam(bias=lambda m, v, a, b, t: (m * (1 - a**t), v * (1 - b**t))),
        ),
        (
            "the correction is one update late: at the first update the power is 1.",
            _adam(start=2),
        ),
        (
            "update 1 is no finite number. In the correction the power of beta is the number of "
            "the update, from 1: with the power 0 you divide by 1 - 1.",
            _adam(start=0),
        ),
        (
            "the factors 1 - beta1 and 1 - beta2 of the new gradient are missing.",
            _adam(new=lambda a, b: (1, 1)),
        ),
        (
            "the factor 1 - beta1 of the new gradient is missing in m.",
            _adam(new=lambda a, b: (1, 1 - b)),
        ),
        (
            "the factor 1 - beta2 of the squared gradient is missing in v.",
            _adam(new=lambda a, b: (1 - a, 1)),
        ),
        (
            "beta and 1 - beta are exchanged: m keeps beta1 of the old and takes 1 - beta1 of the "
            "new.",
            _adam(new=lambda a, b: (a, b), betas=lambda a, b: (1 - a, 1 - b)),
            _adam(betas=lambda a, b: (1 - a, 1 - b)),
        ),
        ("v takes the square of the gradient.", _adam(squared=lambda g: g), _adam(squared=np.abs)),
        (
            "you keep the corrected m and v for the next update. Adam corrects copies; m and v "
            "themselves go on uncorrected.",
            _adam(kept=True),
        ),
        ("m and v begin at the first gradient. In Adam they begin at 0.", _adam(first=True)),
        (
            "that is the gradient over its own size: m and v do not remember the updates before.",
            _adam(betas=lambda a, b: (0, 0), new=lambda a, b: (1, 1)),
        ),
        ("those are the gradients, as in SGD.", lambda g, *_: g),
    ),
    say={
        "negative": "the sign is wrong. The update is what is subtracted: its sign is that of m.",
        "absolute": "you return absolute values. The sign belongs to the update.",
    },
    differs={"uncorrected": _ENTRY.format(False), "corrected": _ENTRY.format(True)},
    passed="the first corrected update has the size 1 whatever the gradient.",
)


# --- 4. What is wrong with this experiment?

check_flaws = flaws(
    "Exercise 4a: which of the statements A to G name a flaw of the experiment.",
    right=lambda: {"A", "B", "C", "D", "G"},
    hints={
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
    },
    passed="begun at 0, over in a moment, again after the crash, and the cosine never acted.",
)


def _train(
    shape=lambda total, n, batches: _recipe(total, n, False),
    keep=("model", "optimizer", "scheduler"),
    span=lambda done, stop: range(done, stop),
    loop="us",
    build=ScheduledLR,
    loads_first=False,
):
    """A run in which any part can be made wrong; in `loop` u is an update, s a scheduler step."""

    def train(model, optimizer, update, epochs, batches, warmup_epochs, stop, saved):
        if saved is not None and loads_first:
            optimizer.load_state_dict(saved["optimizer"])
        scheduler = build(optimizer, shape(epochs * batches, warmup_epochs * batches, batches))
        parts = {"model": model, "optimizer": optimizer, "scheduler": scheduler}
        if saved is not None:
            for name in keep:
                if name != "optimizer" or not loads_first:
                    parts[name].load_state_dict(saved[name])
        for t in span(0 if saved is None else saved["done"], stop):
            for action in loop:
                update(t) if action == "u" else scheduler.step()
        return {name: parts[name].state_dict() for name in keep} | {"done": stop}

    return train


def _in_torch(optimizer: Optimizer, shape: Any) -> SequentialLR:
    """The recipe of a `shape`, from torch's own parts."""
    line, cosine = shape.schedules
    up = LinearLR(optimizer, line.start_factor, 1.0, line.total_iters)
    down = CosineAnnealingLR(optimizer, cosine.T_max)
    return SequentialLR(optimizer, [up, down], [line.total_iters])


def _with_lambda(optimizer: Optimizer, shape: Schedule) -> LambdaLR:
    return LambdaLR(optimizer, lambda t: shape(t))


def _writes(factor=None, after=False, reads_late=False, restarts=False):
    """A run without scheduler: ``factor(total, n, batches, t)`` of the peak is written."""

    def train(model, optimizer, update, epochs, batches, warmup_epochs, stop, saved):
        peak, done = optimizer.param_groups[0]["lr"], 0
        total, n = epochs * batches, warmup_epochs * batches
        shape = _recipe(total, n, False)
        if saved is not None:
            model.load_state_dict(saved[0])
            optimizer.load_state_dict(saved[1])
            done = saved[2]
        if reads_late:
            peak = optimizer.param_groups[0]["lr"]
        for t in range(done, stop):
            s = t - done if restarts else t
            rate = peak * (factor(total, n, batches, s) if factor else shape(s))
            if after:
                update(t)
            optimizer.param_groups[0]["lr"] = rate
            if not after:
                update(t)
        return [model.state_dict(), optimizer.state_dict(), stop]

    return train


def _go_on(
    ask: Ask, peak: float, sizes: tuple[int, int, int], process: int, stop: int, saved: Any
) -> tuple[Watched, tuple[Any, ...], Any]:
    """Let a function go on until `stop` in a new process: what it did, its batches, its answer."""
    made = job(peak, 5, process)
    run = Watched(made[1], Limit(200 * sizes[0] * sizes[1], "updates"))
    answer = ask(*made[:2], run.noted("update", made[2]), *sizes, stop, saved)
    batches = tuple(t for (t,) in run.calls("update"))
    if not batches:
        raise Mistake("no update was made. Call update(t) for every t up to stop - 1.")
    if run.updates != len(batches):
        raise Mistake("optimizer.step() was called by itself. update(t) makes the step.")
    return run, batches, answer


def _without_a_crash(ask: Ask, peak: float, *sizes: int) -> dict[str, Any]:
    """Its batches, and its rates in shares of the peak."""
    epochs, batches, warmup_epochs = sizes
    run, made, _ = _go_on(ask, peak, (epochs, batches, warmup_epochs), 0, epochs * batches, None)
    return {"batches": made, "rates": run.rates / peak}


def _run_hint(hint: Callable[..., str]) -> Callable[..., str]:
    """A hint of the recipe, for a run."""
    return lambda _, epochs, batches, warmup: hint(epochs * batches, warmup * batches, False)


def _over_soon(_: float, epochs: int, batches: int, warmup: int) -> str:
    return (
        f"the warm-up is over after {warmup} updates. It should take {warmup} epochs: "
        f"{warmup * batches}."
    )


_HELD = "the rate stays at the peak, as the warm-up is written over the cosine."
_BATCHES = "update was called for the batches {given}. "
check_train = exercise(
    "Exercise 4b: the run repaired, ``train(model, …, warmup_epochs, stop, saved)``, uncrashed.",
    right=_train(),
    names=("peak", "epochs", "batches", "warmup_epochs"),
    cases=((0.05, 6, 5, 2), (0.02, 4, 6, 1)),
    read=_without_a_crash,
    noun="run",
    wrong=(
        (
            _BATCHES + "Batches are numbered from 0.",
            _train(span=lambda done, stop: range(done + 1, stop + 1)),
        ),
        (
            lambda *sizes: f"{_over_soon(*sizes)} And after that {_HELD}",
            _writes(lambda _, n, b, t: min(1, t / (n // b))),
            _writes(lambda _, n, b, t: min(1, (t + 1) / (n // b))),
        ),
        (
            f"after the warm-up {_HELD} Let one schedule have both.",
            _writes(lambda _, n, b, t: min(1, t / n)),
            _writes(lambda _, n, b, t: min(1, (t + 1) / n)),
        ),
        (
            _over_soon,
            _train(lambda total, n, b: _recipe(total, n // b, False)),
            _train(lambda total, n, b: _recipe(total, n // b, True)),
        ),
        (
            "the whole plan is over after {epochs} updates. It is counted in epochs, and the "
            "scheduler is stepped at every update.",
            _train(lambda total, n, b: _recipe(total // b, n // b, False)),
        ),
        (
            "the first update used the peak, the very update that the warm-up is for. Write the "
            "rate before the update that should use it.",
            _writes(after=True),
            _writes(lambda total, n, b, t: _recipe(total, n, False)(t + 1), after=True),
        ),
        (
            "the rate changed only once per epoch. Step the scheduler after every update.",
            _writes(lambda total, n, b, t: _recipe(total, n, False)(t // b)),
            _writes(lambda total, n, b, t: _recipe(total, n, False)(t // b * b)),
            _writes(lambda total, n, b, t: _recipe(total // b, n // b, False)(t // b)),
        ),
        (_WASTED, _train(lambda total, n, _: _recipe(total, n, True))),
        (_FLAT, _train(lambda total, n, _: _joined(lambda n, _: Warmup(n, 1 / n))(total, n, 0))),
        (
            _run_hint(_too_long),
            _train(lambda total, n, _: _line(n, False).then(CosineAnnealing(total))),
        ),
        (
            _run_hint(_ENDS_EARLY),
            _train(lambda total, n, _: _line(n, False).then(CosineAnnealing(total - n))),
        ),
        (_MULTIPLIED, _train(lambda total, n, _: _line(n, False) * CosineAnnealing(total))),
        ("there is no warm-up.", _train(lambda total, *_: CosineAnnealing(total))),
    ),
    say={
        "rates": {
            **OF_A_RUN,
            "early": "every rate came one step early. Call update(t) first.",
            "late": "every rate came one step late. No scheduler.step() came after the first "
            "update.",
        }
    },
    differs={
        "batches": _BATCHES + "It should be 0 to epochs * batches - 1, each once.",
        "rates": "update {i} used {given} of the peak, and {wanted} is right.",
    },
    passed="no update is wasted, and the run ends at 0.",
)


def _with_crashes(
    ask: Ask, peak: float, epochs: int, batches: int, warmup: int, crashes: tuple[int, ...]
) -> dict[str, Any]:
    """A run with `crashes` after so many updates, against the same function's run without."""
    sizes, total = (epochs, batches, warmup), epochs * batches
    whole, made, _ = _go_on(ask, peak, sizes, 0, total, None)
    before = [*whole.weights, whole.now()]
    found: dict[str, Any] = {"batches": made, "rates": whole.rates / peak}
    again, rates, same = (), np.zeros(0), {"weights": True, "bits": True, "updates": True}
    saved, begin = None, 0
    for process, stop in enumerate((*crashes, total)):
        run, made, answer = _go_on(ask, peak, sizes, process, stop, saved)
        if begin and max(begin, stop) < len(before):
            again, rates = again + made, np.append(rates, run.rates / peak)
            same["weights"] &= torch.equal(run.weights[0], before[begin])
            same["bits"] &= np.array_equal(run.rates, whole.rates[begin:stop])
            same["updates"] &= torch.equal(run.now(), before[stop])
        saved, begin = through_a_file(answer), stop
    return {**found, "again": again, "first weights": same["weights"], "resumed": rates,
            "bits": same["bits"], "last weights": same["updates"]}  # fmt: skip


_SEE_ABOVE = "without a crash already, something is wrong: the cell above says what."
_RESUMED = "after the crash the rate "
check_resume = exercise(
    "Exercise 4c: the same ``train``, whose run goes on after a crash as if nothing had been.",
    right=_train(),
    names=("peak", "epochs", "batches", "warmup_epochs", "crashes"),
    cases=((0.02, 4, 6, 1, (13,)), (0.05, 6, 5, 2, (7, 19))),
    read=_with_crashes,
    noun="run",
    wrong=(
        (
            _BATCHES + "It began again from batch 0. How many updates are done belongs to what "
            "you save.",
            _train(span=lambda done, stop: range(stop)),
        ),
        (
            "nothing of `saved` was used: the new process began a new run. Load what the last one "
            "returned.",
            _train(keep=(), span=lambda done, stop: range(stop)),
        ),
        (
            lambda *case: (
                _BATCHES.format(given="one too late") + f"{case[-1][0]} updates were done, so "
                f"{case[-1][0]} is the number of the next."
            ),
            _train(span=lambda done, stop: range(done + bool(done), stop)),
        ),
        (
            _BATCHES + "The first of them was done before the crash. Save how many updates are "
            "done, which is one more than the number of the last batch.",
            _train(span=lambda done, stop: range(max(done - 1, 0), stop)),
        ),
        (
            _BATCHES + "stop counts the updates since the start of the run, not since the crash.",
            _train(span=lambda done, stop: range(done, done + stop)),
        ),
        (
            "after the crash the first update began from other weights. Save and load the model.",
            _train(keep=("optimizer", "scheduler")),
        ),
        (
            _RESUMED + "began again from step 0. The scheduler's counter belongs to what you save.",
            _train(keep=("model", "optimizer")),
            _writes(restarts=True),
        ),
        (
            _RESUMED + "went on from step 1 after one update, as if the run had just begun. The "
            "scheduler's counter belongs to what you save.",
            _train(keep=("model", "optimizer"), build=_with_lambda),
        ),
        (
            _RESUMED + "has the right shape and another height. After loading, the optimizer's "
            "rate is that of the crash. The scale is the peak it was built with: read it before, "
            "or let a state_dict() restore it.",
            _writes(reads_late=True),
        ),
        (
            "only the first update after the crash used a wrong rate. Building a torch scheduler "
            "writes the rate of step 0 into the optimizer: load the optimizer's state after it "
            "was built.",
            _train(build=_with_lambda, loads_first=True),
            _train(build=_with_lambda, keep=("model", "scheduler")),
        ),
        (
            _RESUMED + "is another. A torch scheduler that is built writes into the optimizer. "
            "Build all objects first, then load what was saved of each.",
            _train(build=_in_torch, loads_first=True),
        ),
        (
            "rates and first weights are right, but the updates differ. What else does SGD with "
            "momentum remember? It is in optimizer.state_dict().",
            _train(keep=("model", "scheduler")),
        ),
    ),
    say={
        "resumed": {
            "early": _RESUMED + "is one step ahead: the scheduler is a step too far.",
            "late": _RESUMED + "is one step behind: the scheduler missed a step.",
            "constant": _RESUMED + "never changed.",
        }
    },
    differs={
        "batches": _SEE_ABOVE,
        "rates": _SEE_ABOVE,
        "again": _BATCHES + "{wanted} is right.",
        "first weights": "after the crash the first update began from other weights. Save and load "
        "the model.",
        "resumed": "update {i} after the crash used {given} of the peak; without the crash it was "
        "{wanted}. Build all objects first, then load what was saved of each.",
        "bits": _RESUMED + "differs from that of an uninterrupted run in the last digits. Compute "
        "it from the step and the peak, not from the rate before.",
        "last weights": "rates and first weights are right, but the updates differ. What else does "
        "SGD with momentum remember? It is in optimizer.state_dict().",
    },
    passed="a crash changes nothing, bit for bit.",
)


# --- 5. The length of a warm-up, from measurements


@dataclass(frozen=True)
class _Stable:
    """A warm-up that is short enough; all of them are equally right."""

    steps: int = field(compare=False)
    fewest: int = field(compare=False)


def _shortest_line(
    measure: Measure, peak: float, product=lambda rates, seen: (rates * seen[:-1]).max()
) -> int:
    def stable(n):
        rates = peak * np.arange(1, n + 1) / n
        seen = measure(rates)
        return product(rates, seen) < 2 and peak * seen[-1] < 2

    low, high = 0, 1
    while not stable(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if stable(middle) else (middle, high)
    return high


@cache
def _fewest(valley: Valley, line: bool) -> int:
    find = _shortest_line if line else lambda *model: len(_plan(*model, 1.9999))
    return find(valley.trainer(), valley.peak)


def _expect_stable(rates: np.ndarray, n: int, valley: Valley, what: str) -> None:
    product = valley.product(rates)
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
        f"of this model is {valley.peak:g}.)"
    )


def _length(ask: Ask, valley: Valley) -> _Stable:
    """The length of a line, if it is stable and at most 2 % longer than the shortest."""
    n = to_whole(ask(valley.trainer(), valley.peak), ask.name)
    if not 1 <= n <= 100_000:
        raise Mistake(f"you returned {n}. A warm-up has at least 1 step, and is finite.")
    best, what = _fewest(valley, line=True), f"with n={n}, "
    _expect_stable(valley.peak * np.arange(1, n + 1) / n, n, valley, what)
    if n > best + max(1, best // 50):
        raise Mistake(
            f"{what}the run is stable, and with n={best} it would be too (peak {valley.peak:g})."
        )
    return _Stable(n, best)


check_shortest_line = exercise(
    "Exercise 5a: ``shortest_line(measure, peak)``, the length of a linear warm-up.",
    right=_shortest_line,
    names=("_model",),
    cases=tuple((valley,) for valley in VALLEYS),
    read=_length,
    wrong=(
        (
            "that is what the first measurement alone asks for. Only the first update is sure to "
            "be stable then: the rate rises faster after it than the sharpness falls. Measure "
            "whole lines.",
            lambda measure, peak: math.ceil(peak * measure([])[0] / 2),
            lambda measure, peak: math.ceil(peak * measure([])[0] / 2) + 1,
            lambda measure, peak: int(peak * measure([])[0] / 2) + 1,
        ),
        (
            "that is the first stable line among 1, 2, 4, 8, … updates. Between the last that is "
            "not and the first that is, go on by halving.",
            lambda measure, peak: 2 ** math.ceil(math.log2(_shortest_line(measure, peak))),
        ),
        (
            "that is the longest line that is not stable; the next one is.",
            lambda *model: _shortest_line(*model) - 1,
        ),
        (
            "you look at the sharpness after the last update alone. The rate times the sharpness "
            "is to be below 2 at every update.",
            lambda measure, peak: _shortest_line(measure, peak, lambda rates, seen: 0),
        ),
        (
            "a rate is multiplied by the sharpness after its update. Before it counts: leave out "
            "the last measurement, not the first.",
            lambda measure, peak: _shortest_line(
                measure, peak, lambda rates, seen: (rates * seen[1:]).max()
            ),
        ),
    ),
    passed="as short as a straight line from peak / n can be, on five models.",
)


def _plan(measure: Measure, peak: float, limit: float = 1.9) -> list[float]:
    rates: list[float] = []
    while peak * (now := measure(rates)[-1]) >= 2:
        rates.append(min(peak, limit / now))
    return rates


def _why_long(rates: np.ndarray, valley: Valley) -> str:
    """Where a stable plan, whose last rate is below the peak, loses its updates."""
    sharpness = valley.trainer()(rates)[:-1]
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


def _steps_below(ask: Ask, valley: Valley) -> _Stable:
    """The steps below the peak, if the plan is stable and they are few enough."""
    answer = ask(valley.trainer(), valley.peak)
    rates = to_numbers(answer, ask.name, "a list of rates")
    if rates.ndim != 1 or len(rates) > 100_000:
        raise Mistake(f"{ask.name} should return a list of rates, not {short(answer)}.")
    allowed = (rates > 0) & (rates <= valley.peak * (1 + 1e-6))
    if not allowed.all():
        k = int(np.argmin(allowed))
        raise Mistake(
            f"your rate of update {k} is {apart(rates[k], valley.peak)[0]}. All should be above 0 "
            f"and at most the peak, {valley.peak:g}."
        )
    below = np.flatnonzero(rates < valley.peak * (1 - 1e-6))
    n = int(below[-1]) + 1 if below.size else 0
    what = f"with {n} steps below the peak, "
    _expect_stable(rates, n, valley, what)
    best = _fewest(valley, line=False)
    if n > 1.2 * best:
        raise Mistake(
            f"{what}the run is stable, and {best} would do; 1.2 times that is allowed. "
            f"{_why_long(rates[:n], valley)} (The peak of this model is {valley.peak:g}.)"
        )
    return _Stable(n, best)


def _first_rate_again(measure, peak):
    rate, n = 1.9 / measure([])[0], 0
    while peak * measure(np.full(n, rate))[-1] >= 2:
        n += 1
    return [rate] * n


def _line_again(measure, peak):
    n = _shortest_line(measure, peak)
    return peak * np.arange(1, n + 1) / n


check_plan = exercise(
    "Exercise 5b: ``plan(measure, peak)``, the rates of a warm-up of any shape.",
    right=_plan,
    names=("_model",),
    cases=tuple((valley,) for valley in VALLEYS),
    read=_steps_below,
    wrong=(
        (
            "those are shares of the peak. Return rates, the shares times the peak.",
            lambda measure, peak: [rate / peak for rate in _plan(measure, peak)],
        ),
        (
            "your rates never rise: all are what the first measurement allows. The sharpness "
            "falls, so measure again before every update.",
            _first_rate_again,
        ),
        (
            "that is the straight line of before. Every update of it but one has a rate that is "
            "far below its limit, 2 over the sharpness.",
            _line_again,
        ),
        (
            "the rate is the sharpness over 2, and the limit is 2 over the sharpness.",
            lambda measure, peak: [min(peak, measure([])[0] / 2)],
        ),
    ),
    passed=lambda outcomes: (
        "steps below the peak, and the fewest there can be: "
        + ", ".join(f"{found[''].steps} ({found[''].fewest})" for found in outcomes)
        + "."
    ),
)
