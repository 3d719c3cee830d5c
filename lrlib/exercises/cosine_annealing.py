"""Checkers of chapter 04."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch.optim import Optimizer

from lrlib.cosine_annealing import CosineAnnealing
from lrlib.exercises import (
    Limit,
    Mistake,
    apart,
    call,
    checker,
    close,
    letters,
    name_of,
    number,
    passed,
    sampled,
    schedule,
    short,
    stepped,
)
from lrlib.exponential_decay import ExponentialDecay, PolynomialDecay
from lrlib.lab.noisy_quadratic import NoisyQuadratic
from lrlib.schedule import Schedule
from lrlib.trace import LRTrace


@checker("lrlib")
def check_factor(factor: Callable[[int, int, float], float]) -> None:
    """Exercise 1: ``factor(t, T_max, min_factor)``, half a cosine, held past its end."""
    # Without a min_factor first: its mistakes are then told apart from those of the cosine.
    for T_max, min_factor in ((20, 0.0), (20, 0.1), (7, 0.25), (1, 0.5)):
        t = np.arange(3 * T_max + 2)
        where = f"with T_max={T_max}, min_factor={min_factor:g}: "
        answer = np.array([number(factor, step, T_max, min_factor) for step in t.tolist()])
        if np.isnan(answer).any():
            raise Mistake(f"{where}step {int(np.argmax(np.isnan(answer)))} has NaN.")
        _expect_half_cosine(answer, t, T_max, min_factor, where)
    passed("half a cosine, from 1 to min_factor, and nothing moves after it.")


def _expect_half_cosine(
    answer: np.ndarray, t: np.ndarray, T_max: int, min_factor: float, where: str
) -> None:
    right = CosineAnnealing(T_max, min_factor).sample(len(t))
    if close(answer, right):
        return
    run = slice(0, T_max + 1)  # the end included

    def cosine(angle: np.ndarray) -> np.ndarray:
        return (1 + np.cos(angle)) / 2

    def down(part: np.ndarray) -> np.ndarray:
        """From 1 to min_factor, where `part` goes from 1 to 0."""
        return min_factor + (1 - min_factor) * part

    angle = np.pi * t / T_max
    # Compared up to T_max alone: each may go on past it in several ways.
    mistakes = [
        (
            down(cosine(2 * angle)),
            "it falls, and is back at 1 at step T_max: that is a whole period of the cosine. "
            "Which part of the period only falls?",
        ),
        (
            down(cosine(angle / 2)),
            "it is only half-way down at step T_max. What is the angle at which a cosine is at "
            "its lowest?",
        ),
        (
            down(cosine(t / T_max)),
            "it hardly falls: the angle goes from 0 to 1, and a cosine is at its lowest at π.",
        ),
        (
            down(cosine(180 * t / T_max)),
            "the angle goes from 0 to 180. That would be degrees, and cos takes radians.",
        ),
        (
            down(cosine(np.radians(angle))),
            "it hardly falls: the angle is turned into radians twice. With π it is in radians.",
        ),
        (
            down(cosine(np.pi * (t // T_max))),
            "it stays at 1 until the end: t // T_max is a whole number. The angle should grow at "
            "every step.",
        ),
        (
            down(1 - cosine(angle)),
            "it rises. At t = 0 the cosine is 1, and so should the factor be: look at the sign.",
        ),
        (
            down(np.cos(angle)),
            "the cosine itself ends at -1, so it does not end at min_factor. How does the paper's "
            "formula bring it between 0 and 1?",
        ),
        (
            down(np.cos(angle / 2)),
            "that is a quarter of the period: flat at the top, steep at the end. Half a period is "
            "flat at both ends.",
        ),
        (
            down(1 - t / T_max),
            "that is a straight line. Where is the cosine?",
        ),
        (
            down(2 * cosine(angle)),
            "it begins above 1. In the paper's formula a ½ stands before the bracket.",
        ),
        (
            min_factor + cosine(angle),
            "min_factor is added on top, so that the first step has more than 1. It should move "
            "the end up and leave the start: what of the range above it is the cosine to cover?",
        ),
        (
            np.maximum(min_factor, cosine(angle)),
            "it follows a cosine to 0, cut off at min_factor before step T_max. A cosine that "
            "ends at min_factor has a smaller range, not a shorter one.",
        ),
        (
            cosine(angle),
            "it ends at 0. Where does min_factor come in?",
        ),
        (
            min_factor * cosine(angle),
            "it begins at min_factor and ends at 0. min_factor is where it ends.",
        ),
        (
            (1 - min_factor) * cosine(angle),
            "the range is right, and it ends at 0. Something is to be added.",
        ),
        (
            down(cosine(np.pi * (t + 1) / T_max)),
            "it is one step early, and the first step has less than 1. Steps count from 0.",
        ),
        (
            down(cosine(np.pi * np.maximum(t - 1, 0) / T_max)),
            "it is one step late. Step 0 has the factor 1, and step 1 has less.",
        ),
        (
            down(cosine(np.pi * t / (T_max + 1))),
            "it has not arrived at step T_max: you divide by T_max + 1. From step 0 to step T_max "
            "there are T_max steps.",
        ),
    ]
    if T_max > 1:
        early = down(cosine(np.pi * t / (T_max - 1)))
        hint = (
            "it arrives one step early: you divide by T_max - 1. From step 0 to step T_max there "
            "are T_max steps."
        )
        mistakes += [
            (early, hint),
            (np.where(t < T_max, early, min_factor), hint),
        ]
    if not close(answer[run], right[run]):
        for wrong, hint in mistakes:
            if close(answer[run], wrong[run]):
                raise Mistake(where + hint)
        if answer[0] > 0 and close(answer[run], answer[0] * right[run]):
            raise Mistake(
                f"{where}the first step has {apart(answer[0], 1)[0]}. That looks like a rate; a "
                f"factor is "
                f"the rate over its peak, and begins at 1."
            )
        if not close(answer[T_max], right[T_max]) and close(answer[:T_max], right[:T_max]):
            raise Mistake(
                f"{where}right as far as step {T_max - 1}, but step T_max itself has "
                f"{apart(answer[T_max], right[T_max])[0]}. It is the first of those that are held"
                + (". Does a remainder (%) start you again?" if close(answer[T_max], 1) else ".")
            )
        i = _first(answer[run], right[run])
        given, wanted = apart(answer[i], right[i])
        raise Mistake(f"{where}step {i} has {given}, but the formula has {wanted}.")
    for wrong, hint in (
        (
            right[np.where(t <= T_max, t, t % T_max)],
            "right as far as T_max, but then it starts again. Without a remainder (%), what is t "
            "to be in the formula, once it is past T_max?",
        ),
        (
            down(cosine(angle)),
            f"right as far as T_max, but then it climbs, and at step {2 * T_max} it is back at 1. "
            "That is what torch's CosineAnnealingLR does. Hold the last value: what is t to be in "
            "the formula, once it is past T_max?",
        ),
        (
            np.where(t <= T_max, right, 0.0),
            "right as far as T_max, but then it falls to 0. The value reached is min_factor.",
        ),
        (
            np.where(t <= T_max, right, 1.0),
            "right as far as T_max, but then it jumps to 1. The value reached is min_factor.",
        ),
    ):
        if close(answer, wrong):
            raise Mistake(where + hint)
    i = _first(answer, right)
    given, wanted = apart(answer[i], right[i])
    raise Mistake(
        f"{where}right as far as T_max, but step {i} has {given}, and {wanted} is to be held."
    )


def _first(answer: np.ndarray, right: np.ndarray) -> int:
    """The first step at which the two differ."""
    return next(i for i in range(len(right)) if not close(answer[i], right[i]))


LEVELS = (0.9, 0.5, 0.25, 0.1, 0.999, 1.0)


@checker()
def check_cosine_share(share: Callable[[float], float]) -> None:
    """Exercise 2a: ``cosine_share(level)``, the share of the run at or above `level`."""
    for level in LEVELS:
        right = _counted(CosineAnnealing(RUN), level)
        angle = math.acos(2 * level - 1)
        mistakes = [
            (
                1 - right,
                "that is the share spent below the level. The factor begins high and falls.",
            ),
            (
                angle,
                "that is an angle, in radians. How large is the angle at the end of the run?",
            ),
            (
                math.degrees(angle),
                "that is an angle, in degrees. How large is the angle at the end of the run?",
            ),
            (
                math.degrees(angle) / math.pi,
                "the angle is in degrees, the end of the run in radians.",
            ),
            (
                angle / (2 * math.pi),
                "you divide by a whole period. How much of it does the run cover?",
            ),
            (
                math.acos(level) / math.pi,
                "you solved cos(angle) = level. But the factor is not the cosine: it goes from 1 "
                "to 0, the cosine from 1 to -1.",
            ),
            (
                2 * math.acos(level) / math.pi,
                "you solved cos(angle) = level. But the factor is not the cosine: it goes from 1 "
                "to 0, the cosine from 1 to -1.",
            ),
            (
                (1 + math.cos(math.pi * level)) / 2,
                "that is the factor when a share of `level` is over. The question is the other "
                "way round: the level is given, the time is sought.",
            ),
            (
                1 - level,
                "that is right for a straight line.",
            ),
            (
                level,
                "that is the level itself. Set the formula equal to it, and solve for t / T_max.",
            ),
        ]
        _expect_share(share, (level,), right, mistakes)
    passed("at or above 0.9 for 20 % of the run, below 0.1 for another 20 %.")


@checker()
def check_linear_share(share: Callable[[float], float]) -> None:
    """Exercise 2b: ``linear_share(level)``, likewise for linear decay."""
    for level in LEVELS:
        right = _counted(PolynomialDecay(RUN), level)
        mistakes = [
            (
                level,
                "that is the share spent below the level. The factor begins high and falls.",
            ),
            (
                math.acos(2 * level - 1) / math.pi,
                "that is right for half a cosine.",
            ),
            (
                -level,
                "a share is not negative. Set 1 - t / T_max equal to the level.",
            ),
            (
                level - 1,
                "the sign is turned round. Set 1 - t / T_max equal to the level.",
            ),
            (
                1 / level,
                "Set 1 - t / T_max equal to the level, and solve for t / T_max.",
            ),
        ]
        _expect_share(share, (level,), right, mistakes)
    passed("at or above 0.9 for 10 % of the run, below 0.1 for another 10 %.")


@checker()
def check_exponential_share(share: Callable[[float, float], float]) -> None:
    """Exercise 2c: ``exponential_share(level, final_factor)``, likewise for exponential decay."""
    cases = [(level, final) for final in (0.01, 0.2) for level in LEVELS] + [(0.1, 0.1)]
    for level, final in sorted(cases, key=lambda case: case[0] < case[1]):  # the flat part last
        right = _counted(ExponentialDecay.to_factor(final, RUN), level)
        logs = math.log(level), math.log(final)
        mistakes = [
            (1 - logs[0] / logs[1], "that is the share spent below the level."),
            (-logs[0] / logs[1], "the sign is wrong: both logarithms are negative."),
            (
                -logs[0],
                "after one run, exp(-t / T_max) is at 0.37, whatever final_factor is. Which power "
                "of what reaches final_factor at the end of the run?",
            ),
            (
                logs[0],
                "a share is not negative, and final_factor does not come in. Which power of what "
                "reaches final_factor at the end of the run?",
            ),
            (
                logs[0] / final,
                "final_factor, too, belongs into a logarithm: the factor is a power of it.",
            ),
            (
                logs[0] - logs[1],
                "a product turns into a difference of logarithms, but a power does not.",
            ),
            (
                logs[1] - logs[0],
                "a product turns into a difference of logarithms, but a power does not.",
            ),
            (
                final**level,
                "that is the factor when a share of `level` is over. The question is the other "
                "way round: the level is given, the time is sought.",
            ),
            (
                (1 - level) / (1 - final),
                "that is right for a straight line from 1 to final_factor.",
            ),
            (
                1 - level,
                "that is right for a straight line from 1 to 0.",
            ),
        ]
        if level < 1:
            inverse = logs[1] / logs[0]
            mistakes.append((inverse, "the fraction is upside down."))
        if level < final:
            mistakes.insert(
                0,
                (
                    logs[0] / logs[1],
                    "no run spends more than all of itself above a level. This one ends before it "
                    "gets down there.",
                ),
            )
        _expect_share(share, (level, final), right, mistakes)
    passed(
        "to a final factor of 0.01, it is at or above 0.9 for 2 % of the run, below 0.1 for half."
    )


RUN = 4000  # steps: long enough for a count to be within 0.001 of the share


@cache
def _sampled(shape: Schedule) -> np.ndarray:
    # The small excess is for the levels that a shape meets exactly, but for rounding.
    factors = shape.sample(RUN) * (1 + 1e-12)
    factors.flags.writeable = False
    return factors


def _counted(shape: Schedule, level: float) -> float:
    """The share of the steps of `shape` at or above `level`, by counting."""
    return float((_sampled(shape) >= level).mean())


def _expect_share(
    share: Callable[..., float],
    args: tuple[float, ...],
    right: float,
    mistakes: list[tuple[float, str]],
) -> None:
    answer = number(share, *args)
    if abs(answer - right) <= 1e-3:
        return
    shown = ", ".join(f"{arg:g}" for arg in args)
    given, counted = apart(answer, right, 3)
    where = f"{name_of(share)}({shown}) is {given}, by counting {counted}: "
    for wrong, hint in mistakes:
        if abs(answer - wrong) <= 1e-3:
            raise Mistake(where + hint)
    if math.isnan(answer):
        hint = "an arccosine or a logarithm got a number that it is not defined for."
    elif not 0 <= answer <= 1:
        hint = "a share is a number from 0 to 1."
    elif abs(answer - right) < 0.03:
        hint = "close, but not exact. If you count steps, solve the formula for the time instead."
    else:
        hint = "set the factor equal to the level, and solve for t / T_max."
    raise Mistake(where + hint)


@checker()
def check_flaws(flaws: Callable[[], set[str]]) -> None:
    """Exercise 3a: which of the statements A to F name a flaw of the experiment."""
    hints = {
        "A": "same start, same noise: only then is the difference the schedule's.",
        "B": "with T_max=20, what is the rate of torch's cosine after 20 batches, after 40, and "
        "after 1,000?",
        "C": "the steep group begins at a twentieth of the larger peak. Which way does its rate "
        "go?",
        "D": "the best peak of one shape need not be that of another. Each had the same six to "
        "choose from, and other runs to choose by.",
        "E": "a peak for each group is a setting like any other, and the same for both rivals.",
        "F": "how far down is a straight line half-way, and what of the noise is left at that "
        "rate?",
    }
    letters(flaws, {"B", "C", "F"}, hints)
    passed("epochs for steps, one lowest rate for two groups, and a plan for another run.")


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
    optimizer.register_step_pre_hook(Limit(100 * epochs * batches, "updates").hook)
    trace = LRTrace(optimizer)
    where = f"name={name!r}, epochs={epochs}, batches={batches}, min_factor={min_factor:g}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's on the order of the calls: the hint is ours
        scheduler = call(fair, optimizer, *case)
        if isinstance(scheduler, Schedule):
            raise Mistake(
                f"fair should return a scheduler, but {short(scheduler)} is a shape. "
                f"ScheduledLR(optimizer, shape) is its scheduler."
            )
        if isinstance(scheduler, type) or not callable(getattr(scheduler, "step", None)):
            raise Mistake(
                f"fair should return a scheduler, an object with a method step(), not "
                f"{short(scheduler)}."
            )
        if scheduler is optimizer:
            raise Mistake("fair should return the scheduler, not the optimizer.")
        if len(trace):
            raise Mistake(
                f"fair made {len(trace)} updates itself. Return the scheduler alone: whoever calls "
                f"fair makes the updates."
            )
        for update in range(epochs * batches):
            optimizer.step()
            stepped(scheduler, f"for {where} your scheduler's step()", f" after update {update}")
    return trace.lr


def _expect_fair(
    applied: np.ndarray,
    peaks: np.ndarray,
    name: str,
    epochs: int,
    batches: int,
    min_factor: float,
) -> None:
    steps = epochs * batches
    factors = applied / peaks

    def plan(name: str, steps: int, total: int) -> np.ndarray:
        """Factors of every group, shape (total, groups), of a run of `steps` updates."""
        shape = CosineAnnealing if name == "cosine" else PolynomialDecay
        column = shape(steps, min_factor=min_factor).sample(total)[:, np.newaxis]
        return np.broadcast_to(column, (total, len(peaks)))

    planned = plan(name, steps, steps)
    # To arrive with the last update, and not just after it, is as fair.
    if any(close(factors, right) for right in (planned, plan(name, steps - 1, steps))):
        return
    shown = f"for name={name!r}, epochs={epochs}, batches={batches}, min_factor={min_factor:g} "
    if not np.isfinite(factors).all() or (factors < 0).any():
        update, group = np.argwhere(~(np.isfinite(factors) & (factors >= 0)))[0]
        raise Mistake(
            f"{shown}update {update} used the rate {applied[update, group]:.4g} in group {group}."
        )
    if not close(factors[0], np.ones(len(peaks))):
        group = int(np.argmax(~np.isclose(factors[0], 1.0, rtol=3e-6)))
        raise Mistake(
            f"{shown}the first update of group {group} used the rate "
            f"{apart(applied[0, group], peaks[group])[0]}; its peak is {peaks[group]:g}. "
            f"{_first_hint(factors, planned, applied, peaks)}"
        )
    if close(factors, np.ones_like(factors)):
        raise Mistake(
            f"{shown}the rates never changed. Was the scheduler built for this optimizer?"
        )
    moves = np.diff(factors, axis=0)
    moves[np.abs(moves) < 1e-9] = 0
    both = (moves > 0).any(axis=0) & (moves < 0).any(axis=0)
    if both.any():
        rates = factors[:, int(np.argmax(both))]
        turns = [
            t
            for t in range(1, steps - 1)
            if (rates[t] - rates[t - 1]) * (rates[t + 1] - rates[t]) < 0
        ]
        raise Mistake(
            f"{shown}the rates go down and up again; they turn at the updates {turns[:4]}. The run "
            f"has {steps} updates, and step() is called after each: in which unit is the length "
            f"that you gave?"
        )
    if (moves > 0).any():
        group = int(np.argmax((moves > 0).any(axis=0)))
        first, last = apart(applied[0, group], applied[-1, group])
        raise Mistake(
            f"{shown}the rate of group {group} rises, from {first} to "
            f"{last}. Its end lies above its peak. Is the lowest rate that you "
            f"gave meant for every group?"
        )
    stairs = (moves != 0).any(axis=1)
    if stairs.sum() < epochs and all((t + 1) % batches == 0 for t in np.flatnonzero(stairs)):
        raise Mistake(
            f"{shown}the rates change once per epoch, in {epochs} stairs. The scheduler is "
            f"stepped after every batch; let it move at each."
        )
    ends = factors[-1]
    if not close(ends, np.full(len(peaks), ends[0])):
        low, high = int(np.argmin(ends)), int(np.argmax(ends))
        if close(factors[:, high], np.ones(steps)):
            raise Mistake(f"{shown}the rate of group {high} never changed, that of another did.")
        least, most = apart(ends[low], ends[high], 3)
        raise Mistake(
            f"{shown}the groups end at different factors: group {low} at {least} of its "
            f"peak, group {high} at {most}. One lowest rate for all is not one lowest "
            f"factor: torch's eta_min is a rate."
        )
    # From here on all groups have the same factors, or nearly.
    rest = factors[:, 0]
    held = steps - 1 - int(np.flatnonzero(stairs)[-1])  # how many updates use the last value
    other = "linear" if name == "cosine" else "cosine"
    shapes = {"cosine": "half a cosine", "linear": "a straight line"}
    for length in (steps, steps - 1):
        if close(factors, plan(other, length, steps)):
            raise Mistake(f"{shown}the rates follow {shapes[other]}. What does name say?")
    if held > 1:
        uncut = (CosineAnnealing if name == "cosine" else PolynomialDecay)(steps).sample(steps)
        if close(rest, np.maximum(uncut, min_factor)):
            hint = "A shape that would go on to 0, cut off at min_factor, is another shape."
        else:
            hint = (
                f"The run has {steps} updates, and step() is called after each: in which unit is "
                f"the length that you gave?"
            )
        raise Mistake(
            f"{shown}the rates are down at update {steps - held} of {steps}, at a factor of "
            f"{rest[-1]:.3g}, and stay there. {hint}"
        )
    for length in (2 * steps, steps + batches):
        if close(factors, plan(name, length, steps)):
            raise Mistake(
                f"{shown}the run ends at a factor of {rest[-1]:.3g}, with the plan still under "
                f"way: it is one for {length} updates, and the run has {steps}."
            )
    if rest[-1] < 0.9 * min_factor:
        raise Mistake(
            f"{shown}the run ends at a factor of {rest[-1]:.3g}, on the way to less than "
            f"min_factor. Where does min_factor come in?"
        )
    if rest[-1] > 1.5 * float(planned[-1, 0]):
        raise Mistake(
            f"{shown}the run ends at a factor of {rest[-1]:.3g}, and should be near "
            f"{min_factor:g}. For how many updates is your plan made?"
        )
    update = _first(rest, planned[:, 0])
    given, wanted = apart(rest[update], planned[update, 0])
    raise Mistake(
        f"{shown}update {update} used a factor of {given}, where {shapes[name]} has {wanted}."
    )


def _first_hint(
    factors: np.ndarray, planned: np.ndarray, applied: np.ndarray, peaks: np.ndarray
) -> str:
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
    past, tail = factors[:MADE], factors[MADE:]
    made = CosineAnnealing(MADE).sample(MADE)
    if not close(past, made):
        if close(factors, CosineAnnealing(2 * MADE).sample(2 * MADE)):
            hint = "That is the plan for whoever knew the end from the start."
        else:
            hint = "Begin with CosineAnnealing(1000), whole, and put what follows after it."
        t = _first(past, made)
        given, wanted = apart(past[t], made[t])
        raise Mistake(
            f"the first 1,000 steps have been made, and cannot be changed: step {t} had the factor "
            f"{wanted}, and your schedule has {given} there. {hint}"
        )
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
