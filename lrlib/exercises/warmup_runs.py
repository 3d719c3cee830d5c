"""Exercises 2 and 4 of chapter 08: warm-up and cosine in one schedule, and in runs that crash."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from lrlib.constant import Constant
from lrlib.cosine_annealing import CosineAnnealing as Cosine
from lrlib.exercises import Ask, Limit, Mistake, exercise, flaws, over_a_run
from lrlib.exercises.watching import OF_A_RUN, Watched, through_a_file
from lrlib.exponential_decay import PolynomialDecay
from lrlib.schedule import Schedule
from lrlib.scheduler import ScheduledLR
from lrlib.warmup import Warmup

# --- 2. Warm-up and cosine


def _line(n: int, from_zero: bool) -> Warmup:
    return Warmup(n) if from_zero else Warmup(n - 1, 1 / n)


def _recipe(total_steps: int, n: int, from_zero: bool) -> Schedule:
    line = _line(n, from_zero)
    return line.then(Cosine(total_steps - line.length))


def _joined(line=_line, more=0, after=Cosine):
    """A recipe of ``line(n, from_zero)``, and `after` it the rest of the run and `more` steps."""

    def recipe(total, n, from_zero):
        first = line(n, from_zero)
        return first.then(after(total - first.length + more))

    return recipe


def _from_zero(n, _):
    return Warmup(n)


def _n_steps(n, from_zero, first=0):
    return Warmup(n, 0 if from_zero else 1 / (n + first))


def _less_one(n, from_zero):
    return Warmup(n - 1, 0 if from_zero else 1 / n)


def _written(formula):
    """A schedule from a function of the step."""
    return type("Written", (Schedule,), {"formula": lambda _, t: formula(t)})()


def _too_long(total: int, n: int, from_zero: bool) -> str:
    rise = _line(n, from_zero).length
    return (
        f"the cosine is as long as the whole run. It begins at step {rise}, and the run ends at "
        f"{Cosine(total)(total - rise):.2g} of the peak. How many steps are left for it?"
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
_NOT_ZERO = "the first factor is 1/n, as with from_zero=False. Here it is 0."
_LINES = _line, _from_zero, _n_steps
_MULTIPLIED = "you multiply the two, and no update has the peak. Use then(…)."

# fmt: off
check_recipe = exercise(
    "Exercise 2: ``recipe(total_steps, n, from_zero)``, warm-up and cosine in one schedule.",
    right=_recipe,
    cases=((40, 8, True), (40, 8, False), (25, 5, True), (90, 30, False), (30, 1, False)),
    read=over_a_run(lambda total, *_: 2 * total, "Warmup(500).then(CosineAnnealing(T_max=9_500))"),
    wrong=(
        (_too_long, *(lambda T, n, z, line=line: line(n, z).then(Cosine(T)) for line in _LINES)),
        (lambda T, n, z: _NOT_ZERO if z else _FLAT,
         lambda T, n, _: _recipe(T, n, False), _joined(lambda n, _: Warmup(n, 1 / n))),
        (_WASTED, _joined(_from_zero), _joined(lambda n, z: Warmup(n if z else n - 1))),
        ("that is the other convention: the one from 0 belongs to from_zero=True.",
         lambda T, n, z: _recipe(T, n, not z)),
        (_FLAT, _joined(_n_steps)),
        ("the first update has 1/(n + 1), and update n + 1 the peak. Here update 1 has 1/n and "
         "update n the peak.", _joined(lambda n, z: _n_steps(n, z, 1))),
        ("the peak comes a step early. From 0 to 1 it is n steps of 1/n.",
         _joined(_less_one), _joined(lambda n, _: Warmup(n - 1))),
        (_MULTIPLIED, *(lambda T, n, z, line=line: line(n, z) * Cosine(T) for line in _LINES),
         lambda T, n, z: _line(n, z) * Cosine(T - n)),
        ("after the warm-up the rate stays at the peak. Where is the cosine?",
         lambda _, n, z: _line(n, z), lambda _, n, z: Warmup(n)),
        ("there is no warm-up.", lambda T, *_: Cosine(T), lambda T, n, _: Cosine(T - n)),
        ("the cosine comes first. a.then(b) starts with a.",
         lambda T, n, z: Cosine(T - n).then(_line(n, z))),
        ("the rate jumps at the hand-over: your cosine counts from step 0 of the run. Its own step "
         "0 is the step at which the warm-up ends.", lambda T, n, z: _written(
             lambda t: _line(n, z)(t) if t < n - (not z) else Cosine(T)(t))),
        ("the cosine begins a step too early: the line has not reached the peak.",
         lambda T, n, z: Warmup(n).then(Cosine(T - n), at=n - 1)),
        ("two updates have the peak: the last step of the warm-up comes again as the first of the "
         "cosine.", lambda T, n, _: Warmup(n).then(Constant()).then(Cosine(T - n - 1), at=n + 1)),
        ("two updates have the peak. A warm-up of no steps is no Warmup: leave it out.",
         *(lambda T, n, z, more=more: (Warmup(1, 1) if n == 1 else _line(n, z)).then(
             Cosine(T - n + (not z) - more * (n == 1))) for more in (0, 1))),
        ("the rate falls in a straight line. Half a cosine is wanted.",
         _joined(after=PolynomialDecay), _joined(_from_zero, after=PolynomialDecay)),
        ("the warm-up rises by the same ratio from step to step. A straight line is wanted.",
         _joined(lambda n, z: Warmup(n) if z else Warmup(n - 1, 1 / n, "exponential"))),
        ("the cosine ends above 0. It falls to 0 here: leave min_factor at its default.",
         *(_joined(line, after=lambda fall, end=end: Cosine(fall, min_factor=end))
           for line in (_line, _from_zero) for end in (0.1, 0.01))),
        (_ENDS_EARLY, lambda T, n, z: _line(n, z).then(Cosine(T - n)), _joined(more=-1),
         _joined(_from_zero, -1)),
        (_ends(1, "late"), lambda T, n, z: _line(n, z).then(Cosine(T - n + 1)), _joined(more=1),
         _joined(_from_zero, 1)),
    ),
    differs="step {i} has the factor {given}, and {wanted} is right.",
    passed="no jump, no step twice, and the rate is 0 when the run is over, not before.",
)
# fmt: on

# --- 4. One process of a run: a linear regression with noise, 20 weights, batches of 8

_SPREAD = torch.arange(1, 21).rsqrt()  # of the inputs: the curvature is 1, 1/2, …, 1/20


@lru_cache(maxsize=10_000)
def _batch(seed: int, t: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1_000_003 * (seed + 1) + t)
    x = torch.randn(8, 20, generator=draw) * _SPREAD
    return x, torch.randn(8, 1, generator=draw)  # the right weights are 0


def job(
    peak: float, seed: int, process: int = 0
) -> tuple[nn.Module, Optimizer, Callable[[int], None], Callable[[], float]]:
    """A new process of a run: its model, its optimizer, ``update(t)`` and ``loss()``.

    The optimizer is SGD with momentum 0.9 whose rate is `peak`. `seed` sets the batches, and with
    the number of the `process` the initial weights; ``update(t)`` makes one update with batch
    number t, ``loss()`` is the loss in excess of the lowest there is.
    """
    draw = torch.Generator().manual_seed(1000 * seed + process)
    model = nn.Linear(20, 1, bias=False)
    weight = model.weight
    with torch.no_grad():
        weight.copy_(torch.randn(1, 20, generator=draw))
    optimizer = torch.optim.SGD(model.parameters(), lr=peak, momentum=0.9)

    def update(t: int) -> None:
        if operator.index(t) < 0:
            raise ValueError(f"update: batches are numbered from 0, got {t}")
        x, y = _batch(seed, operator.index(t))
        # The gradient of half the mean squared error, without the cost of autograd.
        weight.grad = (x @ weight.detach().T - y).T @ x / 8
        optimizer.step()

    def loss() -> float:
        return float((weight.detach() * _SPREAD).square().sum()) / 2

    return model, optimizer, update, loss


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


def _train(shape=None, keep="model optimizer scheduler", span=range, build=ScheduledLR, loads=None):
    """A run any part of which can be made wrong; `loads`: "first" or "never", of the optimizer."""

    def train(model, optimizer, update, epochs, batches, warmup_epochs, stop, saved):
        if saved is not None and loads == "first":
            optimizer.load_state_dict(saved["optimizer"])
        sizes = epochs * batches, warmup_epochs * batches
        scheduler = build(optimizer, shape(*sizes, batches) if shape else _recipe(*sizes, False))
        parts = {"model": model, "optimizer": optimizer, "scheduler": scheduler}
        if saved is not None:
            for name in keep.split():
                if name != "optimizer" or not loads:
                    parts[name].load_state_dict(saved[name])
        for t in span(0 if saved is None else saved["done"], stop):
            update(t)
            scheduler.step()
        return {name: part.state_dict() for name, part in parts.items()} | {"done": stop}

    return train


def _rates(factor):
    """A run with the rates ``factor(total steps, n, batches, t)`` times the peak."""
    return _train(lambda total, n, b: _written(lambda t: factor(total, n, b, t)))


def _in_a_lambda(optimizer: Optimizer, shape: Schedule) -> LambdaLR:
    return LambdaLR(optimizer, lambda t: shape(t))


def _reads_the_peak_late(model, optimizer, update, epochs, batches, warmup, stop, saved):
    shape = _recipe(epochs * batches, warmup * batches, False)
    if saved is not None:
        model.load_state_dict(saved[0])
        optimizer.load_state_dict(saved[1])
    (group,) = optimizer.param_groups
    peak = group["lr"]
    for t in range(0 if saved is None else saved[2], stop):
        group["lr"] = peak * shape(t)
        update(t)
    return [model.state_dict(), optimizer.state_dict(), stop]


def _go_on(ask: Ask, peak: float, sizes: tuple[int, ...], process: int, stop: int, saved: Any):
    """Let a function go on until `stop` in a new process: what it did, its batches, its answer."""
    model, optimizer, update, _ = job(peak, 5, process)
    run = Watched(optimizer, Limit(200 * sizes[0] * sizes[1], "updates"))
    answer = ask(model, optimizer, run.noted("update", update), *sizes, stop, saved)
    batches = tuple(t for (t,) in run.calls("update"))
    if not batches:
        raise Mistake("no update was made. Call update(t) for every t up to stop - 1.")
    run.expect_updates_by("update", ". update(t) makes the step.")
    return run, batches, answer


def _without_a_crash(ask: Ask, peak: float, *sizes: int) -> dict[str, Any]:
    """Its batches, and its rates in shares of the peak."""
    run, made, _ = _go_on(ask, peak, sizes, 0, sizes[0] * sizes[1], None)
    return {"batches": made, "rates": run.rates / peak}


def _of_a_run(hint: Callable[..., str]) -> Callable[..., str]:
    """A hint of exercise 2."""
    return lambda _, epochs, batches, warmup: hint(epochs * batches, warmup * batches, False)


def _over_soon(_: float, epochs: int, batches: int, warmup: int) -> str:
    n = warmup * batches
    return f"the warm-up is over after {warmup} updates. It should take {warmup} epochs: {n}."


_HELD = "the rate stays at the peak, as the warm-up is written over the cosine."
_BATCHES = "update was called for the batches {given}. "

# fmt: off
check_train = exercise(
    "Exercise 4b: the run repaired, ``train(model, …, warmup_epochs, stop, saved)``, uncrashed.",
    right=_train(),
    names=("peak", "epochs", "batches", "warmup_epochs"),
    cases=((0.05, 6, 5, 2), (0.02, 4, 6, 1)),
    read=_without_a_crash,
    noun="run",
    wrong=(
        (_BATCHES + "Batches are numbered from 0.",
         _train(span=lambda done, stop: range(done + 1, stop + 1))),
        (lambda *sizes: f"{_over_soon(*sizes)} And after that {_HELD}",
         *(_rates(lambda T, n, b, t, k=k: min(1, (t + k) / (n // b))) for k in (0, 1))),
        (f"after the warm-up {_HELD} Let one schedule have both.",
         *(_rates(lambda T, n, b, t, k=k: min(1, (t + k) / n)) for k in (0, 1))),
        (_over_soon, *(_train(lambda T, n, b, z=z: _recipe(T, n // b, z)) for z in (False, True))),
        ("the whole plan is over after {epochs} updates. It is counted in epochs, and the "
         "scheduler is stepped at every update.",
         _train(lambda T, n, b: _recipe(T // b, n // b, False))),
        ("the first update used the peak, the very update that the warm-up is for. Write the rate "
         "before the update that should use it.",
         _rates(lambda T, n, b, t: _recipe(T, n, False)(t - 1) if t else 1),
         _rates(lambda T, n, b, t: _recipe(T, n, False)(t) if t else 1)),
        ("the rate changed only once per epoch. Step the scheduler after every update.",
         _rates(lambda T, n, b, t: _recipe(T, n, False)(t // b)),
         _rates(lambda T, n, b, t: _recipe(T, n, False)(t // b * b)),
         _rates(lambda T, n, b, t: _recipe(T // b, n // b, False)(t // b))),
        (_WASTED, _train(lambda T, n, _: _recipe(T, n, True))),
        (_FLAT, _train(lambda T, n, _: Warmup(n, 1 / n).then(Cosine(T - n)))),
        (_of_a_run(_too_long), _train(lambda T, n, _: _line(n, False).then(Cosine(T)))),
        (_of_a_run(_ENDS_EARLY), _train(lambda T, n, _: _line(n, False).then(Cosine(T - n)))),
        (_MULTIPLIED, _train(lambda T, n, _: _line(n, False) * Cosine(T))),
        ("there is no warm-up.", _train(lambda T, *_: Cosine(T))),
    ),
    say={"rates": {
        **OF_A_RUN,
        "early": "every rate came one step early. Call update(t) first.",
        "late": "every rate came one step late. No scheduler.step() came after the first update.",
    }},
    differs={
        "batches": _BATCHES + "It should be 0 to epochs * batches - 1, each once.",
        "rates": "update {i} used {given} of the peak, and {wanted} is right.",
    },
    passed="no update is wasted, and the run ends at 0.",
)
# fmt: on


def _with_crashes(ask: Ask, peak: float, *case: Any) -> dict[str, Any]:
    """A run that crashes after so many updates, against the same function's run without.

    What can only be judged if all before it is right, is None otherwise.
    """
    *sizes, crashes = case
    total = sizes[0] * sizes[1]
    whole, batches, _ = _go_on(ask, peak, tuple(sizes), 0, total, None)
    run, _, answer = _go_on(ask, peak, tuple(sizes), 0, crashes[0], None)
    again: tuple[int, ...] = ()
    begun, rates = True, np.zeros(0)
    for process, stop in enumerate((*crashes[1:], total), start=1):
        before, saved = run.now(), through_a_file(answer)
        run, made, answer = _go_on(ask, peak, tuple(sizes), process, stop, saved)
        again, rates = again + made, np.append(rates, run.rates)
        begun &= torch.equal(run.weights[0], before)
    through_a_file(answer)
    there = whole.rates[crashes[0] :]
    counted = again == batches[crashes[0] :]
    alike = counted and np.allclose(rates, there, 1e-6)
    bits = np.array_equal(rates, there) if alike else None
    ended = torch.equal(run.now(), whole.now()) if bits else None
    return {"batches": batches, "rates": whole.rates / peak, "again": again,
            "begun": begun if counted else None, "resumed": rates / peak, "bits": bits,
            "ended": ended}  # fmt: skip


_ABOVE = "without a crash already, something is wrong: the cell above says what."
_RESUMED = "after the crash the rate "

# fmt: off
check_resume = exercise(
    "Exercise 4c: the same ``train``, whose run goes on after a crash as if nothing had been.",
    right=_train(),
    names=("peak", "epochs", "batches", "warmup_epochs", "crashes"),
    cases=((0.02, 4, 6, 1, (13,)), (0.05, 6, 5, 2, (7, 19))),
    read=_with_crashes,
    noun="run",
    wrong=(
        (_BATCHES + "It began again from batch 0. How many updates are done belongs to what you "
         "save.", _train(span=lambda done, stop: range(stop))),
        ("nothing of `saved` was used: the new process began a new run. Load what the last one "
         "returned.", _train(keep="", span=lambda done, stop: range(stop))),
        (_BATCHES + "One is left out: so many updates are done is the number of the next batch.",
         _train(span=lambda done, stop: range(done + bool(done), stop))),
        (_BATCHES + "The first of them was done before the crash. Save how many updates are done, "
         "one more than the number of the last.",
         _train(span=lambda done, stop: range(max(done - 1, 0), stop))),
        (_BATCHES + "stop counts the updates since the start of the run, not since the crash.",
         _train(span=lambda done, stop: range(done, done + stop))),
        ("after the crash the first update began from other weights. Save and load the model.",
         _train(keep="optimizer scheduler")),
        (_RESUMED + "began again from step 0. The scheduler's counter belongs to what you save.",
         _train(keep="model optimizer")),
        (_RESUMED + "went on from step 1 after one update, as if the run had just begun. The "
         "scheduler's counter belongs to what you save.",
         _train(keep="model optimizer", build=_in_a_lambda)),
        (_RESUMED + "has the right shape and another height. After loading, the optimizer's rate "
         "is that of the crash. The scale is the peak it was built with: read it before, or let a "
         "state_dict() restore it.", _reads_the_peak_late),
        ("only the first update after the crash used a wrong rate. Building a torch scheduler "
         "writes the rate of step 0 into the optimizer: load the optimizer's state after that.",
         _train(build=_in_a_lambda, loads="first"), _train(build=_in_a_lambda, loads="never")),
        ("rates and first weights are right, but the updates differ. What else does SGD with "
         "momentum remember? It is in optimizer.state_dict().", _train(loads="never")),
    ),
    say={"resumed": {
        "early": _RESUMED + "is one step ahead: the scheduler is a step too far.",
        "late": _RESUMED + "is one step behind: the scheduler missed a step.",
        "constant": _RESUMED + "never changed.",
    }},
    differs={
        "batches": _ABOVE,
        "rates": _ABOVE,
        "again": _BATCHES + "{wanted} is right.",
        "resumed": "update {i} after the crash used {given} of the peak; without the crash it was "
        "{wanted}. Build all objects first, then load what was saved of each.",
        "bits": _RESUMED + "differs from that of an uninterrupted run in the last digits. Compute "
        "it from the step and the peak, not from the rate before.",
    },
    passed="a crash changes nothing, bit for bit.",
)
# fmt: on
