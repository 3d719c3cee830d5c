"""Checkers of chapter 04's runs: the repaired experiment, and a thousand steps more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch.optim import Optimizer

from lrlib.cosine_annealing import CosineAnnealing
from lrlib.exercises import (
    Mistake,
    apart,
    call,
    checker,
    close,
    passed,
    sampled,
    schedule,
    short,
)
from lrlib.exercises.watching import rates_under
from lrlib.exponential_decay import PolynomialDecay
from lrlib.lab.noisy_quadratic import NoisyQuadratic
from lrlib.schedule import Schedule

MakeScheduler = Callable[[Optimizer, str, int, int, float], Any]


@checker()
def check_fair(fair: MakeScheduler) -> None:
    """Exercise 3b: ``fair(optimizer, name, epochs, batches, min_factor)``, by the rates applied."""
    for epochs, batches, min_factor, peaks in (
        (6, 5, 0.1, (0.02, 0.5)),
        (4, 9, 0.25, (0.4, 0.1, 0.2)),
    ):
        for name in ("cosine", "linear"):
            case = (name, epochs, batches, min_factor)
            applied = _applied(fair, case, peaks)
            _expect_fair(applied, np.array(peaks), *case)
    passed("every group goes from its peak to the same factor, once, and arrives with the run.")


def _applied(
    fair: MakeScheduler, case: tuple[str, int, int, float], peaks: Sequence[float]
) -> np.ndarray:
    """The rates of a run with the learner's scheduler, shape (updates, groups)."""
    name, epochs, batches, min_factor = case
    groups = [{"params": [torch.zeros(1, requires_grad=True)], "lr": peak} for peak in peaks]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    where = f"name={name!r}, epochs={epochs}, batches={batches}, min_factor={min_factor:g}"

    def make() -> Any:
        return _checked_scheduler(call(fair, optimizer, *case), optimizer)

    return rates_under(make, optimizer, epochs * batches, f"for {where} ")


def _checked_scheduler(answer: Any, optimizer: Optimizer) -> Any:
    if isinstance(answer, Schedule):
        raise Mistake(
            f"fair should return a scheduler, but {short(answer)} is a shape. "
            f"ScheduledLR(optimizer, shape) is its scheduler."
        )
    if isinstance(answer, type) or not callable(getattr(answer, "step", None)):
        raise Mistake(
            f"fair should return a scheduler, an object with a method step(), not {short(answer)}."
        )
    if answer is optimizer:
        raise Mistake("fair should return the scheduler, not the optimizer.")
    return answer


def _expect_fair(
    applied: np.ndarray,
    peaks: np.ndarray,
    name: str,
    epochs: int,
    batches: int,
    min_factor: float,
) -> None:
    plan = Plan(name, epochs, batches, min_factor, len(peaks))
    factors = applied / peaks
    # To arrive with the last update, and not just after it, is as fair.
    if any(close(factors, plan.factors(name, n)) for n in (plan.steps, plan.steps - 1)):
        return
    hint = (
        _of_the_start(applied, peaks, plan)
        or _of_the_way(applied, factors, plan)
        or _of_the_ends(factors)
        or _of_the_plan(factors, plan)
    )
    raise Mistake(
        f"for name={name!r}, epochs={epochs}, batches={batches}, min_factor={min_factor:g} {hint}"
    )


@dataclass(frozen=True)
class Plan:
    """What the rates of a run should be."""

    name: str
    epochs: int
    batches: int
    min_factor: float
    groups: int

    @property
    def steps(self) -> int:
        return self.epochs * self.batches

    def factors(self, name: str, length: int) -> np.ndarray:
        """Of every group, shape (updates, groups), on the way over `length` updates."""
        shape = CosineAnnealing if name == "cosine" else PolynomialDecay
        column = shape(length, min_factor=self.min_factor).sample(self.steps)[:, np.newaxis]
        return np.broadcast_to(column, (self.steps, self.groups))


def _of_the_start(applied: np.ndarray, peaks: np.ndarray, plan: Plan) -> str:
    factors = applied / peaks
    if not np.isfinite(factors).all() or (factors < 0).any():
        update, group = np.argwhere(~(np.isfinite(factors) & (factors >= 0)))[0]
        return f"update {update} used the rate {applied[update, group]:.4g} in group {group}."
    if close(factors[0], np.ones(len(peaks))):
        return ""
    group = int(np.argmax(~np.isclose(factors[0], 1.0, rtol=3e-6)))
    hint = _first_hint(factors, plan.factors(plan.name, plan.steps), applied)
    return (
        f"the first update of group {group} used the rate "
        f"{apart(applied[0, group], peaks[group])[0]}; its peak is {peaks[group]:g}. {hint}"
    )


def _of_the_way(applied: np.ndarray, factors: np.ndarray, plan: Plan) -> str:
    if close(factors, np.ones_like(factors)):
        return "the rates never changed. Was the scheduler built for this optimizer?"
    moves = np.diff(factors, axis=0)
    moves[np.abs(moves) < 1e-9] = 0
    both = (moves > 0).any(axis=0) & (moves < 0).any(axis=0)
    if both.any():
        way = moves[:, int(np.argmax(both))]
        turns = [t for t in range(1, plan.steps - 1) if way[t - 1] * way[t] < 0]
        return (
            f"the rates go down and up again; they turn at the updates {turns[:4]}. {_unit(plan)}"
        )
    if (moves > 0).any():
        group = int(np.argmax((moves > 0).any(axis=0)))
        first, last = apart(applied[0, group], applied[-1, group])
        return (
            f"the rate of group {group} rises, from {first} to {last}. Its end lies above its "
            f"peak. Is the lowest rate that you gave meant for every group?"
        )
    stairs = np.flatnonzero((moves != 0).any(axis=1))
    if len(stairs) < plan.epochs and all((t + 1) % plan.batches == 0 for t in stairs):
        return (
            f"the rates change once per epoch, in {plan.epochs} stairs. The scheduler is stepped "
            f"after every batch; let it move at each."
        )
    return ""


def _unit(plan: Plan) -> str:
    return (
        f"The run has {plan.steps} updates, and step() is called after each: in which unit is the "
        f"length that you gave?"
    )


def _of_the_ends(factors: np.ndarray) -> str:
    ends = factors[-1]
    if close(ends, np.full(len(ends), ends[0])):
        return ""
    low, high = int(np.argmin(ends)), int(np.argmax(ends))
    if close(factors[:, high], np.ones(len(factors))):
        return f"the rate of group {high} never changed, that of another did."
    least, most = apart(ends[low], ends[high], 3)
    return (
        f"the groups end at different factors: group {low} at {least} of its peak, group {high} at "
        f"{most}. One lowest rate for all is not one lowest factor: torch's eta_min is a rate."
    )


def _of_the_plan(factors: np.ndarray, plan: Plan) -> str:
    """All groups have the same factors, or nearly."""
    steps, name, rest = plan.steps, plan.name, factors[:, 0]
    planned = plan.factors(name, steps)[:, 0]
    other = "linear" if name == "cosine" else "cosine"
    shapes = {"cosine": "half a cosine", "linear": "a straight line"}
    if any(close(factors, plan.factors(other, length)) for length in (steps, steps - 1)):
        return f"the rates follow {shapes[other]}. What does name say?"
    moving = np.flatnonzero(np.abs(np.diff(factors, axis=0)).max(axis=1) >= 1e-9)
    held = steps - 1 - int(moving[-1])  # how many updates use the last value
    if held > 1:
        uncut = (CosineAnnealing if name == "cosine" else PolynomialDecay)(steps).sample(steps)
        cut = "A shape that would go on to 0, cut off at min_factor, is another shape."
        hint = cut if close(rest, np.maximum(uncut, plan.min_factor)) else _unit(plan)
        return (
            f"the rates are down at update {steps - held} of {steps}, at a factor of "
            f"{rest[-1]:.3g}, and stay there. {hint}"
        )
    for length in (2 * steps, steps + plan.batches):
        if close(factors, plan.factors(name, length)):
            return (
                f"the run ends at a factor of {rest[-1]:.3g}, with the plan still under way: it is "
                f"one for {length} updates, and the run has {steps}."
            )
    ends = f"the run ends at a factor of {rest[-1]:.3g}, "
    if rest[-1] < 0.9 * plan.min_factor:
        return f"{ends}on the way to less than min_factor. Where does min_factor come in?"
    if rest[-1] > 1.5 * planned[-1]:
        return (
            f"{ends}and should be near {plan.min_factor:g}. For how many updates is your plan made?"
        )
    update = first_difference(rest, planned)
    given, wanted = apart(rest[update], planned[update])
    return f"update {update} used a factor of {given}, where {shapes[name]} has {wanted}."


def first_difference(answer: np.ndarray, right: np.ndarray) -> int:
    return next(i for i in range(len(right)) if not close(answer[i], right[i]))


def _first_hint(factors: np.ndarray, planned: np.ndarray, applied: np.ndarray) -> str:
    if close(applied, planned):
        return "The factors were applied as rates."
    if close(factors[:-1], planned[1:]):
        return "Every rate came one step early: is the scheduler stepped before it is returned?"
    if len(set(applied[0].tolist())) == 1:
        return "All groups got the same rate. Each has its own peak, in optimizer.param_groups."
    return "A run begins at the peak."


PEAK = 0.8  # of the run that was made; the best for a cosine of 1,000 steps
MADE = 1000  # steps


@cache
def _planned() -> tuple[NoisyQuadratic, float, float]:
    """The problem; the losses of a cosine planned for all the steps, and of stopping."""
    quadratic = NoisyQuadratic(batch_size=256)
    planned = quadratic.tune(CosineAnnealing(2 * MADE), 2 * MADE)[1]
    stopped = float(quadratic.loss(PEAK * CosineAnnealing(MADE).sample(MADE))[-1])
    return quadratic, planned, stopped


@checker()
def check_longer(longer: Callable[[], Schedule]) -> None:
    """Exercise 4: 2,000 steps of which 1,000 are past, no worse than a cosine planned for all."""
    answer = schedule(longer, example="CosineAnnealing(1000).then(Constant(0.5))")
    factors = sampled(answer, 2 * MADE)
    past = factors[:MADE]
    made = CosineAnnealing(MADE).sample(MADE)
    if not close(past, made):
        if close(factors, CosineAnnealing(2 * MADE).sample(2 * MADE)):
            hint = "That is the plan for whoever knew the end from the start."
        else:
            hint = "Begin with CosineAnnealing(1000), whole, and put what follows after it."
        t = first_difference(past, made)
        given, wanted = apart(past[t], made[t])
        raise Mistake(
            f"the first 1,000 steps have been made, and cannot be changed: step {t} had the factor "
            f"{wanted}, and your schedule has {given} there. {hint}"
        )
    _expect_as_good(factors)


def _expect_as_good(factors: np.ndarray) -> None:
    """As a cosine that was planned for all the steps."""
    tail = factors[MADE:]
    quadratic, planned, stopped = _planned()
    stop = stopped / planned
    if not tail.any():
        raise Mistake(
            f"after step 1000 your factors are all 0, so nothing moves: the loss stays at "
            f"{stop:.2f} times that of the planned cosine. What is to follow?"
        )
    loss = float(quadratic.loss(PEAK * factors)[-1])
    if not loss < 1e6 * planned:
        raise Mistake(
            f"the iterates diverge: your factors go up to {tail.max():.3g}, and with the peak 0.8 "
            f"the largest stable factor is {quadratic.stability_limit() / PEAK:.3g}."
        )
    ratio = loss / planned
    if ratio > 1:
        if ratio > stop:
            compared = f"worse than stopping at step 1000 would have been ({stop:.2f})"
        else:
            gain = (stop - ratio) / (stop - 1)
            compared = (
                f"stopping at step 1000 gives {stop:.2f}, so {100 * gain:.0f} % of that gap is "
                f"closed"
            )
        raise Mistake(
            f"you end at {apart(ratio, 1)[0]} times the loss of the planned cosine; {compared}. "
            f"{_advice(quadratic, tail)}"
        )
    passed(
        f"you end at {ratio:.3f} times the loss of the cosine planned for 2,000 steps, where "
        f"stopping gives {stop:.2f}. Below 1 says that a cosine is not the best shape here: "
        f"exponential decay to 1/100, planned for 2,000 steps, ends at 0.75."
    )


def _advice(quadratic: NoisyQuadratic, tail: np.ndarray) -> str:
    """What to change: of several small changes, the one that helps most."""
    made = CosineAnnealing(MADE).sample(MADE)
    t = np.arange(len(tail))
    tilted = tail * (1.2 - 0.9 * t / len(tail))
    changed = {
        "It comes back too high: its first steps bring in noise, and the rest of the run is spent "
        "on getting rid of it. Had the run not been down already?": tail * 0.7,
        "It comes back too low: such small steps cover little ground.": tail * 1.4,
        "It ends too high. What is left at the end, distance or noise?": tilted
        * (tail.sum() / tilted.sum()),
        "It is down too early, and the steps after that do next to nothing.": tail[
            (0.7 * t).astype(int)
        ],
        "It is up too late: the steps before do next to nothing.": tail[
            np.minimum(t + 150, len(tail) - 1)
        ],
    }
    rates = PEAK * np.array([np.concatenate([made, other]) for other in changed.values()])
    losses = quadratic.loss(rates)[:, -1]
    return list(changed)[int(np.argmin(losses))]
