"""Checkers of chapter 02."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch.optim import Optimizer

from lrlib.exercises import (
    Limit,
    Mistake,
    apart,
    ask_twice,
    call,
    checker,
    close,
    expect_far,
    letters,
    numbers,
    passed,
    refused,
    same_rates,
    sampled,
    schedule,
)
from lrlib.fixed_learning_rate import Constant
from lrlib.lab.noisy_quadratic import NoisyQuadratic
from lrlib.schedule import Schedule
from lrlib.step_decay import MultiStepDecay
from lrlib.trace import LRTrace


@checker("lrlib")
def check_factor(factor: Callable[[int, int, float], float]) -> None:
    """Exercise 1: ``factor(t, step_size, gamma)``, step decay as a function of the step."""
    # No gamma here is a peak that somebody would put in front.
    for step_size, gamma in ((30, 0.37), (7, 0.62), (1, 0.93)):
        steps = np.arange(3 * step_size + 2)
        answer = ask_twice(factor, steps.tolist(), step_size, gamma)
        _expect_stairs(answer, steps, step_size, gamma)
    gamma = 1 - 2**-12  # exact in float32 too: its rounding would grow with 5,000 drops
    expect_far(factor, lambda t: gamma ** (t // 4), (20_000, 19_999), 4, gamma)
    passed("a function of the step alone, and every drop is on time.")


def _expect_stairs(answer: np.ndarray, t: np.ndarray, step_size: int, gamma: float) -> None:
    drops = t // step_size
    right = gamma**drops
    if close(answer, right):
        return
    mistakes = [
        (
            gamma ** (drops + 1),
            "there is one drop too many: the first step already has the factor gamma. Does the "
            "loop drop at t = 0?",
        ),
        (
            gamma ** ((t + 1) // step_size),
            "every drop comes one step early. Step step_size is the first with the lower rate, "
            "and steps count from 0.",
        ),
        (
            gamma ** (np.maximum(t - 1, 0) // step_size),
            "every drop comes one step late. Step step_size is the first with the lower rate, "
            "not the last with the higher one.",
        ),
        (
            gamma ** ((t - 1) // step_size),
            "every drop comes one step late, and the first step has a factor above 1. Steps count "
            "from 0.",
        ),
        (
            gamma ** (t / step_size),
            "it falls at every step, as in the next chapter: t / step_size is not a whole number. "
            "How many whole stages lie before step t?",
        ),
        (
            gamma ** np.round(t / step_size),
            "rounding to the nearest drops half a stage early. Round down.",
        ),
        (
            1 - gamma * drops,
            "you subtract gamma at every drop, and the factor goes below 0. The loop multiplies "
            "by it.",
        ),
        (
            1 - (1 - gamma) * drops,
            "you subtract the same amount at every drop, and the factor goes below 0. The loop "
            "multiplies by gamma.",
        ),
        (
            gamma * drops,
            "gamma is multiplied by the number of drops. Multiplying by gamma again and again is "
            "a power.",
        ),
        (
            np.where(t < step_size, 1.0, gamma),
            "it drops once and never again. After two stages the factor is gamma * gamma.",
        ),
        (1 / right, "it rises. Look at the sign of the exponent."),
    ]
    where = f"with step_size={step_size}, gamma={gamma:g}: "
    for wrong, hint in mistakes:
        if close(answer, wrong):
            raise Mistake(where + hint)
    if answer[0] > 0 and not close(answer[0], 1) and close(answer / answer[0], right):
        raise Mistake(
            f"{where}the first step has {apart(answer[0], 1)[0]}. That looks like a rate; a "
            f"factor is the "
            f"rate over its peak, and begins at 1."
        )
    i = next(i for i in range(len(t)) if not close(answer[i], right[i]))
    given, wanted = apart(answer[i], right[i])
    raise Mistake(f"{where}step {i} has {given}, but the loop has {wanted}.")


@checker()
def check_to_steps(to_steps: Callable[[Sequence[int], int, int, bool], Schedule]) -> None:
    """Exercise 2: ``to_steps(epochs, examples, batch_size, drop_last)``, a recipe in steps."""
    cases = (
        ((6, 12, 16), 1000, 16, False),  # 62 full batches, and one of 8
        ((6, 12, 16), 1000, 16, True),
        ((2, 5), 960, 16, False),  # no rest
        ((2, 5), 960, 16, True),
        ((12, 16, 6), 1000, 16, False),
        ((60, 120, 160), 100, 128, False),  # less than one batch
    )
    for case in cases:
        epochs, *rest = case
        try:
            answer = schedule(
                to_steps, list(epochs), *rest, example="MultiStepDecay((100, 200), 0.5)"
            )
        except Mistake as error:
            if "gamma" in str(error.__cause__):
                hint = "gamma multiplies the rate. Which number divides it by five?"
            elif "ascend" in str(error.__cause__):
                hint = "the epochs may come in any order, and no two of them are the same step."
            else:
                raise
            raise Mistake(f"{error}: {hint}") from error
        # Long enough to see milestones counted in examples.
        _expect_milestones(sampled(answer, max(epochs) * rest[0] + 1), *case)
    what = "100 examples do not fill a batch of 128. If it is dropped, an epoch has no step"
    refused(to_steps, [60, 120], 100, 128, True, what=what)
    passed("your milestones are steps, and the last batch counts where it is kept.")


def _expect_milestones(
    factors: np.ndarray, epochs: Sequence[int], examples: int, batch_size: int, drop_last: bool
) -> None:
    kept, dropped = -(-examples // batch_size), examples // batch_size
    right, other = (dropped, kept) if drop_last else (kept, dropped)
    ordered = sorted(epochs)
    milestones = _changes(factors)
    where = (
        f"for epochs={list(epochs)}, examples={examples}, batch_size={batch_size}, "
        f"drop_last={drop_last} "
    )
    if milestones != [epoch * right for epoch in ordered]:
        last = f"the last batch of {examples % batch_size} is " + (
            "dropped: round down." if drop_last else "kept, and is a step too: round up."
        )
        mistakes = [
            (ordered, "those are the epochs. An epoch has many steps."),
            ([epoch * other for epoch in ordered], last),
            (
                [epoch * (dropped + 1) for epoch in ordered],
                "there is no partial batch here, so nothing is to be added.",
            ),
            (
                [epoch * examples // batch_size for epoch in ordered],
                "no batch crosses from one epoch into the next: round the steps of one epoch, and "
                "then multiply.",
            ),
            (
                [-(-epoch * examples // batch_size) for epoch in ordered],
                "no batch crosses from one epoch into the next: round the steps of one epoch, and "
                "then multiply.",
            ),
            (
                [(epoch - 1) * right for epoch in ordered],
                "every drop comes one epoch early. After 6 epochs, 6 epochs are over.",
            ),
            (
                [epoch * right - 1 for epoch in ordered],
                "every drop comes one step early. Steps count from 0, so the step with the number "
                "epochs times steps is already the first of the next epoch.",
            ),
            (
                [epoch * right + 1 for epoch in ordered],
                "every drop comes one step late. A milestone is the first step with the lower "
                "rate.",
            ),
            (
                [epoch * examples for epoch in ordered],
                "those count examples. A step uses batch_size of them.",
            ),
        ]
        for wrong, hint in mistakes:
            if milestones == wrong:
                raise Mistake(f"{where}your rate drops at the steps {milestones}: {hint}")
        raise Mistake(
            f"{where}your rate drops at the steps {milestones[:10]}, but an epoch has {right} "
            f"steps."
        )
    levels = 0.2 ** np.arange(len(ordered) + 1)
    reached = factors[[0, *milestones]]
    if close(reached, levels):
        return
    if close(reached, 0.1 ** np.arange(len(levels))):
        hint = "gamma is still at its default, 0.1, which divides by ten."
    else:
        hint = "dividing by five multiplies by 0.2, each time."
    raise Mistake(f"{where}your factors are {[float(f'{x:.4g}') for x in reached]}: {hint}")


@checker()
def check_flaws(flaws: Callable[[], set[str]]) -> None:
    """Exercise 3a: which of the statements A to E name a flaw of the experiment."""
    hints = {
        "A": "same seed, same weights and batches: only then is the difference the schedule's.",
        "B": "what is the rate of a torch scheduler that was stepped 8 times, past both drops?",
        "C": "that is the right order. The other way round the run never uses the first rate.",
        "D": "at which batch does a scheduler stepped once per batch reach its milestone 6?",
        "E": "the best peak of one schedule need not be that of another. How many peaks did the "
        "schedule with the drops get to try?",
    }
    letters(flaws, {"B", "D", "E"}, hints)
    passed("a used scheduler, epochs for steps, and a peak tuned for the rival.")


Run = Callable[[Callable[[], Optimizer], Schedule, int], np.ndarray]


@checker()
def check_fair_run(fair_run: Run) -> None:
    """Exercise 3b: ``fair_run(make_optimizer, shape, steps)``, the rates that were applied."""
    plan = MultiStepDecay((5, 12), 0.5)
    _observe(fair_run, 0.25, plan, 20)
    try:
        _observe(fair_run, 0.25, plan, 20)
    except Mistake as error:
        raise Mistake(
            f"your first run was right and a second one, on a new optimizer, was not. Something "
            f"outlives the run: make the optimizer, the scheduler and the trace inside your "
            f"function. ({error})"
        ) from error
    # Another peak and another length: nothing may be written into the function.
    _observe(fair_run, 0.0625, MultiStepDecay((3, 4, 9), 0.25), 11)
    passed("the plan is applied from step 0, in every run, and you can show it.")


def _observe(fair_run: Run, peak: float, plan: Schedule, steps: int) -> None:
    """Let the learner's function run; compare what it did and says with the plan."""
    traces: list[LRTrace] = []
    limit = Limit(100 * steps, "updates and optimizers")
    idle = "the optimizer made no update, so no rate was applied. Call optimizer.step()."

    def make_optimizer() -> Optimizer:
        limit()
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=peak)
        optimizer.register_step_pre_hook(limit.hook)
        traces.append(LRTrace(optimizer))
        return optimizer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's on the order of the calls: the hint is ours
        try:
            answer = call(fair_run, make_optimizer, plan, steps)
        except Mistake as error:
            # An empty trace has no first column.
            if isinstance(error.__cause__, IndexError) and traces and not any(map(len, traces)):
                raise Mistake(f"{idle} ({error})") from error
            raise
    if not traces:
        raise Mistake("make_optimizer was not called, so this was not a new run.")
    used = [trace for trace in traces if len(trace)]
    if not used:
        raise Mistake(idle)
    applied = used[-1].lr[:, 0]  # a scratch optimizer, for a plot, is no fault
    planned = peak * plan.sample(steps)
    _expect_applied(applied, planned, peak * plan.sample(3 * steps))
    said = numbers(answer, "an array of rates")
    if said.shape != (steps,):
        raise Mistake(
            f"return one rate for each update, shape ({steps},), not shape {said.shape}. (A "
            f"trace's lr has one column for each parameter group.)"
        )
    if same_rates(said, applied):
        return
    if same_rates(said, applied / peak):
        raise Mistake("you returned factors. The rate is the peak times the factor.")
    if same_rates(said[:-1], applied[1:]):
        raise Mistake(
            "the run was right, but you read each rate after scheduler.step(): by then it is the "
            "rate of the next update. An LRTrace reads it when it is used."
        )
    raise Mistake("the run was right, but the rates you returned are not those it used.")


def _expect_applied(applied: np.ndarray, planned: np.ndarray, longer: np.ndarray) -> None:
    """`longer` is the plan over three times the steps."""
    steps = len(planned)
    if len(applied) != steps:
        raise Mistake(f"the optimizer made {len(applied)} updates; {steps} were asked for.")
    if same_rates(applied, planned):
        return
    mistakes = [
        (
            longer[1 : steps + 1],
            "every rate came one step early, and the first was never used. Call optimizer.step() "
            "first and scheduler.step() after it.",
        ),
        (
            np.concatenate([planned[:1], planned[:-1]]),
            "every rate came one step late. The scheduler was not stepped after the first update.",
        ),
        (
            longer[: 2 * steps : 2],
            "the plan went by at twice its speed. Step the scheduler once for each update.",
        ),
        (
            longer[1 : 2 * steps : 2],
            "the plan went by at twice its speed. Step the scheduler once for each update.",
        ),
        (
            np.full(steps, planned[0]),
            "the rate never changed. Was the scheduler built for this optimizer, and stepped "
            "after every update?",
        ),
        (
            longer[steps : 2 * steps],
            "the run began where the plan ends. The scheduler had been stepped before, perhaps to "
            "draw it: shape.sample(steps) draws without stepping anything.",
        ),
        (
            planned / planned[0],
            "the factors were applied as rates. The peak is the rate the optimizer was made with.",
        ),
        (
            planned * (planned / planned[0]),
            "the factor was applied twice. Is there more than one scheduler on this optimizer?",
        ),
        (
            np.cumprod(planned / planned[0]) * planned[0],
            "each factor was multiplied onto the rate before it. A factor belongs to the peak.",
        ),
    ]
    for wrong, hint in mistakes:
        if same_rates(applied, wrong):
            raise Mistake(hint)
    t = next(t for t in range(steps) if not same_rates(applied[t], planned[t]))
    given, wanted = apart(applied[t], planned[t])
    raise Mistake(f"update {t} used the rate {given}, but the plan has {wanted} there.")


@checker()
def check_two_drops(two_drops: Callable[[], Schedule], steps: int = 300) -> None:
    """Exercise 4: exactly two drops, within 12 % of the optimum on the noisy quadratic."""
    answer = schedule(two_drops, example="MultiStepDecay((100, 200), 0.5)")
    factors = sampled(answer, steps)
    changes = _changes(factors)
    if (np.diff(factors) > 0).any():
        t = int(np.argmax(np.diff(factors) > 0)) + 1
        raise Mistake(
            f"your schedule rises at step {t}. Two drops are asked for: what would a larger rate "
            f"late in the run do to the noise?"
        )
    if len(changes) > 2:
        raise Mistake(
            f"your schedule has {len(changes)} drops, the first at the steps {changes[:3]}. "
            f"Exactly two are asked for."
        )
    if len(changes) < 2:
        has = f"one drop, at step {changes[0]}," if changes else "no drop"
        raise Mistake(
            f"your schedule has {has} within the {steps} steps; two are asked for. Is a milestone "
            f"past the end of the run?"
        )
    if factors[-1] == 0:
        raise Mistake(
            f"your rate falls to 0 at step {changes[-1]}, and nothing happens after it. Divide it."
        )
    quadratic = NoisyQuadratic()
    best = quadratic.optimal(steps).loss
    peak, loss = quadratic.tune(answer, steps)
    if loss > 1.12 * best:
        raise Mistake(
            f"with its best peak, {peak:.3g}, your schedule ends at "
            f"{apart(loss / best, 1.12)[0]} times the best one found; 1.12 is asked for. "
            f"{_advice(quadratic, factors, changes)}"
        )
    passed(f"your two drops end at {loss / best:.3f} times the best one found (peak {peak:.3g}).")


def _advice(quadratic: NoisyQuadratic, factors: np.ndarray, milestones: list[int]) -> str:
    """What to change: of several small changes, the one that helps most."""
    steps = len(factors)
    first, second = milestones
    levels = factors[[0, first, second]] / factors[0]
    ratios = (levels[1], levels[2] / levels[1])
    for which, ratio in zip(("first", "second"), ratios, strict=True):
        if ratio > 0.85:
            return (
                f"Your {which} drop takes away {1 - ratio:.2g} of the rate, which is hardly a "
                f"drop. Divide by more there."
            )

    def loss(m1: int, m2: int, ratios: tuple[float, float]) -> float:
        if not 0 < m1 < m2 < steps:
            return np.inf
        a, b = ratios
        shape = Constant(1.0, m1).then(Constant(a, m2 - m1)).then(Constant(a * b))
        return quadratic.tune(shape, steps)[1]

    shift = 15
    late, early = "Each step at a low rate covers little ground.", "What noise is left at the end?"
    changed = {
        f"Your drops come too early. {late}": (first + shift, second + shift, ratios),
        f"Your drops come too late. {early}": (first - shift, second - shift, ratios),
        f"Your first drop comes too early. {late}": (first + shift, second, ratios),
        f"Your first drop comes too late. {early}": (first - shift, second, ratios),
        f"Your second drop comes too early. {late}": (first, second + shift, ratios),
        f"Your second drop comes too late. {early}": (first, second - shift, ratios),
        "Your rate falls too far at each drop. Divide by less.": (
            first,
            second,
            tuple(ratio**0.8 for ratio in ratios),
        ),
        "Your rate does not fall far enough at each drop. Divide by more.": (
            first,
            second,
            tuple(ratio**1.25 for ratio in ratios),
        ),
    }
    return min(changed, key=lambda hint: loss(*changed[hint]))


def _changes(factors: np.ndarray) -> list[int]:
    """The steps whose factor is not that of the step before."""
    return [t for t, (a, b) in enumerate(pairwise(factors), start=1) if a != b]
