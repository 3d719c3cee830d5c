"""Chapter 02's checkers, beyond their tables (test_exercises_tables.py)."""

import numpy as np
import pytest
import torch

from lrlib import Constant, LRTrace, MultiStepDecay, ScheduledLR, StepDecay
from lrlib.exercises import Mistake
from lrlib.exercises import step_decay as check
from lrlib.lab import NoisyQuadratic

run, fair_run = check._run, check._run()


def by_hand(make_optimizer, shape, steps):
    optimizer, rates = make_optimizer(), []
    (group,) = optimizer.param_groups
    peak = group["lr"]
    for t in range(steps):
        group["lr"] = peak * shape(t)
        optimizer.step()
        rates.append(group["lr"])
    return rates


def draws_on_a_scratch_optimizer(make_optimizer, shape, steps):
    fair_run(make_optimizer, shape, steps)
    return fair_run(make_optimizer, shape, steps)


def with_torch(make_optimizer, shape, steps):
    optimizer = make_optimizer()
    scheduler, trace = torch.optim.lr_scheduler.LambdaLR(optimizer, shape), LRTrace(optimizer)
    for _ in range(steps):
        optimizer.step()
        scheduler.step()
    return trace.lr[:, 0]


def two_drops():
    return MultiStepDecay((110, 230), 1 / 3)


def drops_of_different_size():
    return Constant(0.9, 110).then(Constant(0.42, 125)).then(Constant(0.1))


@pytest.mark.parametrize(
    ("checker", "solution"),
    [
        (check.check_factor, lambda t, k, g: torch.tensor(g) ** (t // k)),
        (check.check_fair_run, lambda *args: torch.tensor(fair_run(*args))),
        (check.check_fair_run, lambda *args: np.float32(by_hand(*args))),
        (check.check_flaws, lambda: ["e", "d", "b"]),
        (check.check_fair_run, by_hand),
        (check.check_fair_run, draws_on_a_scratch_optimizer),
        (check.check_fair_run, with_torch),
        (check.check_two_drops, two_drops),
        (check.check_two_drops, drops_of_different_size),
    ],
)
def test_other_solutions_pass(checker, solution, capsys):
    checker(solution)
    assert capsys.readouterr().out.startswith("Passed: ")


def divides_by_zero(epochs, examples, batch_size, drop_last):
    1 / check._per_epoch(examples, batch_size, drop_last)
    return check._to_steps(epochs, examples, batch_size, drop_last)


def sets_factors(make_optimizer, shape, steps):
    optimizer, rates = make_optimizer(), []
    for t in range(steps):
        optimizer.param_groups[0]["lr"] = shape(t)
        optimizer.step()
        rates.append(shape(t))
    return rates


def own_peak(make_optimizer, shape, steps):
    optimizer, rates = make_optimizer(), []
    for t in range(steps):
        optimizer.param_groups[0]["lr"] = 0.25 * shape(t)
        optimizer.step()
        rates.append(0.25 * shape(t))
    return rates


def keeps_its_optimizer():
    """Makes the optimizer once, and goes on with it in the next run."""
    kept = []

    def runner(make_optimizer, shape, steps):
        kept.append(kept[0] if kept else make_optimizer())
        return fair_run(lambda: kept[0], shape, steps)

    return runner


def keeps_its_scheduler():
    """Builds the scheduler for the first optimizer alone."""
    kept = []

    def runner(make_optimizer, shape, steps):
        optimizer = make_optimizer()
        if not kept:
            kept.append(ScheduledLR(optimizer, shape))
        trace = LRTrace(optimizer)
        for _ in range(steps):
            optimizer.step()
            kept[0].step()
        return trace.lr[:, 0]

    return runner


def keeps_its_list():
    """Goes on filling the list of the run before."""
    rates = []

    def runner(make_optimizer, shape, steps):
        rates.extend(fair_run(make_optimizer, shape, steps))
        return np.array(rates)

    return runner


def drops(*milestones, gamma=1 / 3, ratios=None):
    if ratios is None:
        return lambda: MultiStepDecay(milestones, gamma)
    (first, second), (a, b) = milestones, ratios
    return lambda: Constant(1, first).then(Constant(a, second - first)).then(Constant(a * b))


def sorts_in_place(epochs, examples, batch_size, drop_last):
    epochs.sort()
    return check._to_steps(epochs, examples, batch_size, drop_last)


def one_late(make_optimizer, shape, steps):
    optimizer = make_optimizer()
    scheduler, trace = ScheduledLR(optimizer, shape), LRTrace(optimizer)
    for t in range(steps):
        optimizer.step()
        if t > 0:
            scheduler.step()
    return trace.lr[:, 0]


MISTAKES = [
    # the factor
    (check.check_factor, lambda t, k, g: StepDecay(k, g)(t), "calls StepDecay.* rules out"),
    *(
        (check.check_factor, lambda t, k, g, c=c: c * g ** (t // k), "looks like a rate")
        for c in (0.1, 0.5, 0.9, 0.01, 3e-4, 2.0)
    ),
    (check.check_factor, lambda t, k, g: 1.0001 * g ** (t // k), r"first step has 1\.0001\."),
    (check.check_factor, lambda t, k, g: 0.1 ** (t // 30), "but the loop has"),
    # epochs
    (check.check_to_steps, sorts_in_place, r"changes its argument epochs: it was \[12, 16, 6\]"),
    (
        check.check_to_steps,
        lambda e, *rest: MultiStepDecay([7 * x for x in sorted(e)], 0.2),
        "an epoch has 63.*does not depend on examples",
    ),
    (check.check_to_steps, divides_by_zero, "not ZeroDivisionError"),
    # the run; what the plan does to the rates has words of its own
    (check.check_fair_run, lambda *a: fair_run(*a) * (1 + 1e-4), "not those it used"),
    (check.check_fair_run, run(before=1, after=0), "one step early"),
    (check.check_fair_run, run(after=0), "never changed"),
    (check.check_fair_run, one_late, "one step late"),
    (check.check_fair_run, run(shape_of=lambda shape: StepDecay(7)), "but the plan has"),
    (check.check_fair_run, run(updates=lambda n: n - 1), "19 updates"),
    (check.check_fair_run, run(updates=lambda n: 0), "made no update"),
    (check.check_fair_run, lambda make, s, n: make() and s.sample(n), "made no update"),
    (check.check_fair_run, lambda make, shape, n: 0.25 * shape.sample(n), "not called"),
    (check.check_fair_run, sets_factors, "factors were applied as rates"),
    (check.check_fair_run, own_peak, "but the plan has.*does not depend on peak"),
    (
        check.check_fair_run,
        run(says=lambda r, *rest: r[:, np.newaxis]),
        "one rate for each update",
    ),
    (check.check_fair_run, run(says=lambda rates, peak, s, n: np.ones(n)), "not those it used"),
    (check.check_fair_run, keeps_its_optimizer(), "outlives the run.*not called"),
    (check.check_fair_run, keeps_its_scheduler(), "outlives the run.*never changed"),
    (check.check_fair_run, keeps_its_list(), "outlives the run.*one rate for each update"),
    # the open one
    *(
        (check.check_two_drops, drops(first, second, ratios=ratios), f"{which} drop takes away")
        for first, second, ratios, which in (
            (110, 230, (1 / 3, 0.99), "second"),
            (110, 290, (0.2, 0.95), "second"),
            (20, 200, (0.999, 0.1), "first"),
        )
    ),
    (check.check_two_drops, lambda: (100, 200), "return a Schedule"),
    (check.check_two_drops, Constant, "no drop"),
    (check.check_two_drops, drops(110, 300), "one drop, at step 110"),
    (check.check_two_drops, drops(75, 150, 225), "3 drops"),
    (check.check_two_drops, lambda: StepDecay(30, 0.5), "9 drops"),
    (
        check.check_two_drops,
        lambda: Constant(0.5, 100).then(Constant(1, 100)).then(Constant(0.1)),
        "rises at step 100",
    ),
    (check.check_two_drops, drops(40, 80), "Your drops come too early"),
    (check.check_two_drops, drops(190, 290), "Your drops come too late"),
    (check.check_two_drops, drops(20, 230), "first drop comes too early"),
    (check.check_two_drops, drops(210, 235), "first drop comes too late"),
    (check.check_two_drops, drops(110, 130), "second drop comes too early"),
    (check.check_two_drops, drops(110, 295), "second drop comes too late"),
    (check.check_two_drops, drops(110, 230, gamma=0.1), "falls too far"),
    (check.check_two_drops, drops(110, 230, gamma=0.7), "not fall far enough"),
    (
        check.check_two_drops,
        lambda: Constant(1, 100).then(Constant(0.3, 100)).then(Constant(0)),
        "falls to 0",
    ),
]


@pytest.mark.parametrize(("checker", "answer", "hint"), MISTAKES)
def test_each_mistake_gets_its_hint(checker, answer, hint):
    with pytest.raises(Mistake, match=hint):
        checker(answer)


def test_what_the_text_of_the_open_exercise_says():
    """Neither tenths nor halves reach 1.12, wherever the drops come; a third comes to 1.10."""
    quadratic = NoisyQuadratic()

    def best(gamma):
        firsts = range(40, 281, 30)
        pairs = [(a, b) for a in firsts for b in (*range(a + 20, 300, 30), 290) if a < b]
        return min(quadratic.score(MultiStepDecay(pair, gamma), 300) for pair in pairs)

    assert best(0.1) > 1.3
    assert best(0.5) > 1.15
    assert 1.09 < quadratic.score(two_drops(), 300) < 1.10
    assert quadratic.score(Constant(), 300) == pytest.approx(1.65, abs=0.005)


@pytest.mark.parametrize(("first", "second", "gamma"), [(90, 180, 0.1), (270, 290, 0.5)])
def test_whoever_follows_the_hints_arrives(first, second, gamma):
    for _ in range(15):
        try:
            check.check_two_drops(drops(first, second, gamma=gamma))
            return
        except Mistake as error:
            hint = str(error)
        shift = 15 * ("too early" in hint) - 15 * ("too late" in hint)
        first += shift * ("Your second" not in hint)
        second += shift * ("Your first" not in hint)
        gamma **= 0.8 if "too far" in hint else 1.25 if "far enough" in hint else 1.0
    pytest.fail(f"not there yet: {first}, {second}, {gamma}")
