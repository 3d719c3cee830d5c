"""Checkers of chapter 13."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from lrlib.constant import Constant
from lrlib.exercises import Ask, Mistake, exercise, flaws, over_a_run, short, whole
from lrlib.exercises.resume_disk import check_save
from lrlib.exercises.watching import Runs, Watched, through_a_file
from lrlib.exponential_decay import PolynomialDecay
from lrlib.schedule import Schedule
from lrlib.warmup import Warmup

__all__ = ["check_cost", "check_extend", "check_flaws", "check_go_on", "check_save"]

# --- 1. What is missing from this checkpoint?

check_flaws = flaws(
    "Exercise 1: which of the statements A to G name a fault of the script.",
    right=lambda: {"A", "C", "D", "F"},
    hints={
        "A": "building a LinearLR multiplies the rate that stands in the optimizer by its first "
        "factor. What stands there, when it was loaded before?",
        "B": "Adam's moments are in optimizer.state_dict()['state'], with the weights' numbers.",
        "C": "which examples does the resumed run see first, and which does it see least?",
        "D": "kill the script when half of run.pt is written. What is left of the run?",
        "E": "the rate is in the optimizer's state, and the scheduler's has its counter.",
        "F": "the dropout masks come from torch's generator. What did line 1 do to it?",
        "G": "weights_only=True loads tensors, numbers, text and containers of them, all that "
        "state_dict() has here.",
    },
    passed="the order of building and loading, the data, the file, and the random state.",
)


# --- 3. Resume, bit for bit

PARTS = ("model", "optimizer", "scheduler")


def _go_on(
    leave: Sequence[str] = (),
    until: Callable[[int, int], int] = lambda steps, step: steps,
    step_of: Callable[[int], int] = lambda step: step,
    batch_of: Callable[[int, int], int] = lambda step, start: step,
    keeps_gradients: bool = False,
    forward: bool = False,
    says: Callable[[Any], Any] = lambda saved: saved,
    ignores: bool = False,
):
    """A `go_on` with a fault in a given place."""

    def go_on(make, loss, steps, saved=None):
        made = make()
        objects, step = dict(zip(PARTS, made, strict=True)), 0
        if saved is not None and not ignores:
            for name in PARTS:
                if name not in leave:
                    objects[name].load_state_dict(saved[name])
            step = step_of(saved["step"])
            for _ in range(step if forward else 0):
                objects["scheduler"].step()
        model, optimizer, scheduler = objects.values()
        start, last = step, until(steps, step)
        while step < last:
            if not keeps_gradients:
                optimizer.zero_grad()
            loss(model, batch_of(step, start)).backward()
            optimizer.step()
            scheduler.step()
            step += 1
        states = {name: copy.deepcopy(part.state_dict()) for name, part in objects.items()}
        return says({**states, "step": step})

    return go_on


def _data(peak: float) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(round(1000 * peak))
    return (torch.randn(40, 8, 3, generator=generator), torch.randn(40, 8, generator=generator))


def _leg(ask: Ask, runs: Runs, peak: float, steps: int, saved: Any) -> tuple[Any, Watched]:
    """One call of the function, and what it did with the optimizer."""
    x, y = _data(peak)
    seen: list[int] = []

    def make() -> tuple[nn.Module, torch.optim.Optimizer, Any]:
        model = nn.Linear(3, 1)
        nn.init.zeros_(model.weight), nn.init.zeros_(model.bias)
        optimizer = torch.optim.SGD(model.parameters(), lr=peak, momentum=0.9)
        runs.watch(optimizer, seen=seen)
        return model, optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 40)

    def loss(model: nn.Module, step: int) -> torch.Tensor:
        if not 0 <= step < 40:
            raise IndexError(f"there is no batch {step}; the batches are 0 to 39")
        seen.append(int(step))
        return (model(x[step])[:, 0] - y[step]).square().mean()

    answer = runs.let(ask, make, loss, steps, saved) if saved else runs.let(ask, make, loss, steps)
    return answer, runs.used[-1]


def _resumed(ask: Ask, peak: float, stop: int, steps: int) -> dict[str, Any]:
    whole_run = _leg(Ask(_go_on(), guarded=False), Runs(1e4), peak, steps, None)[1]
    saved, first = _leg(ask, Runs(1e4), peak, stop, None)
    saved = through_a_file(saved)
    if not isinstance(saved, dict):
        raise Mistake(f"return a dict of what is to be saved, not {short(saved)}.")
    _, second = _leg(ask, Runs(1e4), peak, steps, saved)
    again = _leg(ask, Runs(1e4), peak, steps, None)[1]
    return {
        "first batches": tuple(first.about["seen"]),
        "batches": tuple(second.about["seen"]),
        "updates": second.updates,
        "rates": second.rates,
        "start": "as saved" if torch.equal(second.weights[0], first.now()) else "new weights",
        "end": "the same" if torch.equal(second.now(), whole_run.now()) else "other weights",
        "whole": "the same" if torch.equal(again.now(), whole_run.now()) else "other weights",
    }


check_go_on = exercise(
    "Exercise 3: ``go_on(make, loss, steps, saved=None)``, resumed bit for bit.",
    right=_go_on(),
    names=("peak", "stop", "steps"),
    cases=((0.05, 12, 30), (0.03, 5, 26)),
    read=_resumed,
    noun="run",
    wrong=(
        (
            "the resumed run begins with new weights: the model's state was not loaded.",
            _go_on(leave=("model",)),
        ),
        (
            "weights, rates and batches are right, and yet it ends elsewhere: the optimizer has a "
            "momentum, and its state was not loaded.",
            _go_on(leave=("optimizer",)),
        ),
        (
            "the schedule begins anew after the first rate: the scheduler's state was not loaded.",
            _go_on(leave=("scheduler",)),
        ),
        (
            "a new scheduler was stepped to its place, on the loaded rate: it goes on from a rate "
            "that had already fallen. Load the scheduler's state.",
            _go_on(leave=("scheduler",), forward=True),
        ),
        (
            "the gradients of all batches add up: optimizer.zero_grad() is missing.",
            _go_on(keeps_gradients=True),
        ),
        (
            "the rates begin anew: neither optimizer nor scheduler was loaded.",
            _go_on(leave=("optimizer", "scheduler")),
        ),
        (
            "the resumed run begins with batch 0 again. Save the step, and go on from it.",
            _go_on(step_of=lambda step: 0),
            _go_on(step_of=lambda step: 0, until=lambda steps, step: steps),
            _go_on(batch_of=lambda step, start: step - start),
        ),
        (
            "it makes `steps` more updates. `steps` is where the run ends, counted from its "
            "beginning.",
            _go_on(until=lambda steps, step: min(steps + step, 40)),
        ),
        (
            "one batch comes twice: the step that is saved is the last one made, not the number "
            "of steps made.",
            _go_on(step_of=lambda step: step - 1),
        ),
        (
            "one batch is left out: the first step of the resumed run is the number of those made.",
            _go_on(step_of=lambda step: step + 1),
        ),
        ("`saved` is not used: the run begins anew.", _go_on(ignores=True)),
        (
            "the run ends one update too early.",
            _go_on(until=lambda steps, step: steps - 1),
        ),
    ),
    differs={
        "first batches": "the run without `saved` used the batches {given}, not {wanted}.",
        "batches": "the resumed run used the batches {given}, not {wanted}.",
        "rates": "its update {i} used the rate {given}; in the whole run it is {wanted}.",
        "end": "batches and rates are right, but the weights at the end are not, bit for bit.",
        "whole": "the run in one piece does not end where it should.",
    },
    passed="stopped and resumed, the same bits.",
)


# --- 4. Extend without changing the past


def _extend(shape: Schedule, more: int, share: float, warmup: int) -> Schedule:
    assert shape.length is not None
    again = Warmup(warmup).then(PolynomialDecay(more - warmup))
    return shape.then(Constant(share) * again)


def _again(more: int, warmup: int) -> Schedule:
    return Warmup(warmup).then(PolynomialDecay(more - warmup))


check_extend = exercise(
    "Exercise 4: ``extend(shape, more, share, warmup)``, a finished run with more steps.",
    right=_extend,
    cases=(
        (Warmup(4).then(PolynomialDecay(26)), 20, 0.4, 5),
        (PolynomialDecay(17, min_factor=0.2), 31, 0.7, 3),
    ),
    read=over_a_run(lambda shape, more, *_: shape.length + more + 4, "PolynomialDecay(100)"),
    wrong=(
        (
            "the past has changed: what comes before the end of `shape` must be `shape` itself.",
            lambda s, n, r, w: PolynomialDecay(s.length).then(Constant(r) * _again(n, w)),
            lambda s, n, r, w: Constant(r) * s.then(_again(n, w)),
            lambda s, n, r, w: _again(s.length + n, w),
            lambda s, n, r, w: s * Constant(r, n),
        ),
        (
            "it re-warms to the old peak. The share is a factor on the second part.",
            lambda s, n, r, w: s.then(_again(n, w)),
        ),
        (
            "the second part has a share of the *last* factor of the run. It is a share of the "
            "peak.",
            lambda s, n, r, w: s.then(Constant(r * s(s.length)) * _again(n, w)),
        ),
        (
            "the fall ends too late: the warm-up is one part of the `more` steps.",
            lambda s, n, r, w: s.then(Constant(r) * Warmup(w).then(PolynomialDecay(n))),
        ),
        (
            "the rate jumps up at once. Rise over `warmup` steps first.",
            lambda s, n, r, w: s.then(Constant(r) * PolynomialDecay(n)),
            lambda s, n, r, w: s.then(Constant(r) * PolynomialDecay(n - w)),
        ),
        (
            "the rise begins at zero, not at the share.",
            lambda s, n, r, w: s.then(Constant(r, w).then(Constant(r) * PolynomialDecay(n - w))),
            lambda s, n, r, w: s.then(
                Constant(r) * Warmup(w, start_factor=r).then(PolynomialDecay(n - w))
            ),
        ),
        (
            "it rises to the old peak and falls to the share. It rises to the share, and falls "
            "to zero.",
            lambda s, n, r, w: s.then(Warmup(w).then(PolynomialDecay(n - w, min_factor=r))),
        ),
        (
            "it rises to the share and stays there. A line to zero follows.",
            lambda s, n, r, w: s.then(Constant(r) * Warmup(w)),
        ),
        (
            "only the rise has the share; the fall begins at the old peak.",
            lambda s, n, r, w: s.then((Constant(r) * Warmup(w)).then(PolynomialDecay(n - w), w)),
        ),
        (
            "only the fall has the share; the rise goes to the old peak.",
            lambda s, n, r, w: s.then(Warmup(w).then(Constant(r) * PolynomialDecay(n - w))),
        ),
        (
            "the second part begins `more` steps too early or late. It begins at shape.length.",
            lambda s, n, r, w: s.then(Constant(r) * _again(n, w), n),
        ),
        (
            "the first part runs over all the steps of both. It ends at shape.length, and "
            "`following` counts from 0 there.",
            lambda s, n, r, w: s.then(Constant(r) * _again(s.length + n, w)),
        ),
        (
            "dividing by the share makes the rate larger. Multiply by it.",
            lambda s, n, r, w: _extend(s, n, 1 / r, w),
        ),
        ("nothing was added to the run.", lambda s, n, r, w: s),
    ),
    differs="step {i} has the factor {given}, and {wanted} is right.",
    passed="the past is what it was, and the run goes on.",
)


# --- 5. Several lengths, one budget


def _cost(lengths: Sequence[int]) -> int:
    return max(n - n // 5 for n in lengths) + sum(n // 5 for n in set(lengths))


check_cost = exercise(
    "Exercise 5: ``cost(lengths)``, the updates of one trunk and a cooldown for every length.",
    right=_cost,
    cases=(([504, 2003, 1004],), ([750, 300],), ([640],), ([900, 400, 900],)),
    read=whole,
    wrong=(
        ("those are the updates of separate runs. The trunk is trained once.", sum),
        (
            "that is the longest run and every cooldown, so the longest run's cooldown is counted "
            "twice.",
            lambda lengths: max(lengths) + sum(n // 5 for n in set(lengths)),
        ),
        ("the cooldowns are missing; each is n // 5.", lambda ns: max(n - n // 5 for n in ns)),
        (
            "the shorter lengths' cooldowns cost updates too; they are not part of the trunk.",
            max,
        ),
        (
            "the trunk ends where the cooldown of the *longest* length begins, wherever that "
            "stands in the list.",
            lambda ns: ns[-1] - ns[-1] // 5 + sum(n // 5 for n in set(ns)),
            lambda ns: ns[0] - ns[0] // 5 + sum(n // 5 for n in set(ns)),
        ),
        (
            "a length that is named twice needs one cooldown.",
            lambda ns: max(n - n // 5 for n in ns) + sum(n // 5 for n in ns),
        ),
        (
            "the trunk is trained once, and every length has its own cooldown of n // 5.",
            lambda ns: sum(n - n // 5 for n in set(ns)) + max(ns) // 5,
            lambda ns: sum(set(ns)),
        ),
        ("that is a trunk for every length.", lambda ns: sum(n - n // 5 for n in ns)),
        (
            "a cooldown of n // 5 is rounded down for each length, and the trunk is n - n // 5.",
            lambda ns: max(ns) * 4 // 5 + sum(n // 5 for n in set(ns)),
            lambda ns: max(n - n // 5 for n in ns) + sum(set(ns)) // 5,
        ),
    ),
    passed="the trunk once, and a cooldown for each length.",
)
