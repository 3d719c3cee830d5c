"""Chapter 03's checkers, beyond their tables (test_exercises_tables.py)."""

import math

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

from lrlib import Constant, ExponentialDecay, LRTrace, PolynomialDecay, ScheduledLR
from lrlib.exercises import Mistake
from lrlib.exercises import exponential_decay as check
from lrlib.exercises.exponential_decay_runs import _comparison as comparison
from lrlib.lab import NoisyQuadratic

root, factor = check._root, check._factor


def factor_with_min(t, total, power, least):
    passed = min(t, total) / total
    return 1 * (1 - passed) ** power + least * (1 - (1 - passed) ** power)


def factor_with_if(t, total, power, least):
    if t >= total:
        return least
    return np.power(np.float64(total - t) / total, power) * (1 - least) + least


def straight_line(optimizer, epochs, batches):
    return lr_scheduler.PolynomialLR(optimizer, total_iters=epochs * batches)


def with_linear_lr(optimizer, epochs, batches):
    return lr_scheduler.LinearLR(optimizer, 1.0, 0.0, epochs * batches)


def with_lambda_lr(optimizer, epochs, batches):
    return lr_scheduler.LambdaLR(optimizer, lambda t: 1 - t / (epochs * batches))


def with_lrlib(optimizer, epochs, batches):
    return ScheduledLR(optimizer, PolynomialDecay(epochs * batches))


def compare_by_hand(train, a, b, peaks, tuning_seeds, test_seeds):
    """Plain Python, and a list for an answer."""
    best = []
    for schedule in (a, b):
        sums = {peak: sum(train(schedule, peak, s) for s in tuning_seeds) for peak in peaks}
        best.append(min(sums, key=sums.get))
    return [train(b, best[1], s) - train(a, best[0], s) for s in test_seeds]


def polynomial(power, min_factor=0.0):
    return lambda total_iters: PolynomialDecay(total_iters, power, min_factor)


@pytest.mark.parametrize(
    ("checker", "solution"),
    [
        (check.check_per_step, lambda g, n: ExponentialDecay.to_factor(g, n).gamma),
        (check.check_per_step, lambda g, n: np.float32(g) ** np.float32(1 / n)),
        (check.check_per_step, lambda g, n: torch.tensor(g) ** (1 / n)),
        (check.check_gamma_to, lambda f, n: 10 ** (np.log10(f) / n)),
        (check.check_gamma_to, lambda f, n: torch.tensor(f).log().div(n).exp()),
        (check.check_factor, factor_with_min),
        (check.check_factor, factor_with_if),
        (check.check_factor, lambda *args: np.float32(factor(*args))),
        (check.check_flaws, lambda: ["f", "c", "a"]),
        (check.check_straight_line, straight_line),
        (check.check_straight_line, with_linear_lr),
        (check.check_straight_line, with_lambda_lr),
        (check.check_straight_line, with_lrlib),
        (check.check_compare, compare_by_hand),
        (check.check_for_both, polynomial(0.58)),
        (check.check_for_both, polynomial(0.62, 0.03)),
    ],
)
def test_right_answers_pass(checker, solution, capsys):
    checker(solution)
    assert capsys.readouterr().out.startswith("Passed: ")


# --- mistakes


def stepped_already(optimizer, epochs, batches):
    scheduler = straight_line(optimizer, epochs, batches)
    scheduler.step()
    return scheduler


def runs_by_itself(optimizer, epochs, batches):
    scheduler = straight_line(optimizer, epochs, batches)
    for _ in range(epochs * batches):
        optimizer.step()
        scheduler.step()
    return scheduler


def of_another_optimizer(optimizer, epochs, batches):
    other = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.25)
    return straight_line(other, epochs, batches)


def one_peak_for_both(train, a, b, peaks, tuning_seeds, test_seeds):
    means = [np.mean([train(a, peak, s) for s in tuning_seeds]) for peak in peaks]
    best = peaks[np.argmin(means)]
    return np.array([train(b, best, s) - train(a, best, s) for s in test_seeds])


def a_third(train, a, b, peaks, tuning_seeds, test_seeds):
    means = [np.mean([train(a, peak, s) for s in tuning_seeds]) for peak in peaks]
    best = peaks[np.argmin(means)]
    return np.array([train(b, best / 3, s) - train(a, best, s) for s in test_seeds])


def new_seeds(train, a, b, peaks, tuning_seeds, test_seeds):
    shifted = [seed + 1000 for seed in test_seeds]
    return comparison()(train, a, b, peaks, tuning_seeds, shifted)


def on(seeds):
    """The right comparison on other seeds, ``seeds(tuning, test)``."""
    return lambda train, a, b, peaks, tuning, test: comparison()(
        train, a, b, peaks, *seeds(tuning, test)
    )


def calls_the_schedule(train, a, b, peaks, tuning_seeds, test_seeds):
    return train(a(None), peaks[0], test_seeds[0])


MISTAKES = [
    (check.check_factor, lambda t, *args: PolynomialDecay(*args)(t), "calls PolynomialDecay"),
    (
        check.check_gamma_to,
        lambda f, n: ExponentialDecay.to_factor(f, n).gamma,
        "calls ExponentialDecay.to_factor",
    ),
    (check.check_per_step, lambda g, n: round(g ** (1 / n), 3), "rounded to 3 decimal places"),
    (check.check_per_step, lambda g, n: 0.5, "the same in all cases"),
    (check.check_per_step, lambda g, n: -(g ** (1 / n)), "sign is turned round"),
    (check.check_per_step, lambda g, n: ExponentialDecay(g), "one number"),
    (check.check_per_step, lambda g, n: float("nan"), "no finite number"),
    (check.check_gamma_to, lambda f, n: math.exp(math.log(-f) / n), "raised ValueError"),
    (check.check_gamma_to, lambda f, n: [f], "one number"),
    (check.check_factor, lambda t, n, p, m: factor(t + 1, n, p, m), "comes one step early"),
    (check.check_factor, lambda t, n, p, m: factor(max(t - 1, 0), n, p, m), "one step late"),
    (check.check_factor, lambda t, n, p, m: 0.1 * factor(t, n, p, m), "looks like a rate"),
    (check.check_factor, lambda t, n, p, m: 0.3, "but the formula gives"),
    (check.check_factor, lambda t, n, p, m: np.array([1.0, 0.5]), "one number"),
    (check.check_factor, lambda t, n, p, m: math.nan, "no finite number"),
    (
        check.check_factor,
        lambda t, n, p, m: "end" if t > n else factor(t, n, p, m),
        "gives .'no number'",
    ),
    (
        check.check_factor,
        lambda t, n, p, m: None if t > n else factor(t, n, p, m),
        "'return'",
    ),
    (check.check_flaws, lambda: {"A", "C", "F", "G"}, "not among"),
    # the line
    (
        check.check_straight_line,
        lambda o, e, b: lr_scheduler.PolynomialLR(o, 2 * e * b),
        "on a straight line",
    ),
    (check.check_straight_line, stepped_already, "one step early"),
    (
        check.check_straight_line,
        lambda o, e, b: lr_scheduler.LinearLR(o, start_factor=1, total_iters=e * b),
        "never changed",
    ),
    (
        check.check_straight_line,
        lambda o, e, b: lr_scheduler.LambdaLR(
            o, lambda t, p=o.param_groups[0]["lr"]: p * (1 - t / (e * b))
        ),
        "given factors",
    ),
    (
        check.check_straight_line,
        lambda o, e, b: lr_scheduler.LambdaLR(o, lambda t: 1 / (6 - t)),
        "raised ZeroDiv",
    ),
    (check.check_straight_line, lambda o, e, b: PolynomialDecay(e * b), "is a shape"),
    (check.check_straight_line, lambda o, e, b: lr_scheduler.PolynomialLR, "the class"),
    (check.check_straight_line, lambda o, e, b: o, "not an object of type SGD"),
    (check.check_straight_line, lambda o, e, b: LRTrace(o), "not an object of type LRTrace"),
    (check.check_straight_line, runs_by_itself, "updates itself"),
    (check.check_straight_line, of_another_optimizer, "another optimizer"),
    # the comparison
    (check.check_compare, one_peak_for_both, "`b` was tried at no peak"),
    (check.check_compare, a_third, "not in `peaks`"),
    (check.check_compare, new_seeds, "in neither list"),
    (check.check_compare, on(lambda tuning, test: (test, test)), "Seeds that have a say"),
    (check.check_compare, on(lambda tuning, test: (tuning + test, test)), "Seeds that have a say"),
    (check.check_compare, on(lambda tuning, test: (tuning, tuning)), "never ran on the test seeds"),
    (check.check_compare, on(lambda tuning, test: (tuning[:1], test)), "use all of them"),
    (check.check_compare, on(lambda tuning, test: (tuning, test[:2])), "2 of the 4 test seeds"),
    (check.check_compare, comparison(lambda x: x[:3].mean(1).argmin() * 0), "the lowest mean"),
    (check.check_compare, comparison(says=lambda b, a: a - b), "sign is turned round"),
    (check.check_compare, comparison(says=lambda b, a: (b - a).mean()), "needs the spread"),
    (check.check_compare, comparison(says=lambda b, a: np.sort(b - a)), "another order"),
    (check.check_compare, comparison(says=lambda b, a: {"b": b}), "array of differences"),
    (check.check_compare, calls_the_schedule, "give a and b to train"),
    (check.check_compare, lambda t, a, b, p, s, test: np.zeros(len(test)), "never trained"),
    (check.check_compare, lambda train, *args: train("a", 0.1, 4) or 1, "`a` or `b`"),
    # the open one
    (check.check_for_both, lambda n: (0.5, 0.1), "return a Schedule"),
    (check.check_for_both, lambda n: Constant(), "PolynomialDecay is asked for"),
    (check.check_for_both, lambda n: PolynomialDecay(1000, 0.58), "as long as the run"),
    (
        check.check_for_both,
        lambda n: PolynomialDecay(n, 0.5 if n < 500 else 1.0),
        "has to serve both",
    ),
    (check.check_for_both, polynomial(1.0), "short run is the worse.*high for longer"),
    (check.check_for_both, polynomial(0.5), "long run is the worse.*come down sooner"),
    (check.check_for_both, polynomial(0.6, 0.2), "long run is the worse.*End lower"),
]


@pytest.mark.parametrize(("checker", "answer", "hint"), MISTAKES)
def test_each_mistake_gets_its_hint(checker, answer, hint):
    with pytest.raises(Mistake, match=hint):
        checker(answer)


def test_what_the_text_of_the_open_exercise_says():
    quadratic = NoisyQuadratic(batch_size=256)
    table = {(1.0, 0.0): (3.46, 1.53), (1.0, 0.1): (2.75, 1.95), (0.5, 0.0): (1.73, 2.11)}
    for (power, least), scores in table.items():
        for steps, score in zip((100, 1000), scores, strict=True):
            measured = quadratic.score(PolynomialDecay(steps, power, least), steps)
            assert measured == pytest.approx(score, abs=0.005)


def test_what_is_said_of_the_best_choice():
    """Where the two runs are equally bad, a floor makes both worse."""
    equal = {0.0: 0.5842, 0.005: 0.5896, 0.02: 0.6074}
    worse = [max(check._scores(power, least)) for least, power in equal.items()]
    assert worse[0] == pytest.approx(1.951, abs=0.001)
    assert worse == sorted(worse)
    for least, power in equal.items():
        assert np.ptp(check._scores(power, least)) < 0.002


@pytest.mark.parametrize("start", [(1.0, 0.0), (0.45, 0.0), (0.7, 0.1)])
def test_whoever_follows_the_hints_arrives(start):
    power, least = start
    for _ in range(20):
        try:
            check.check_for_both(polynomial(power, least))
            return
        except Mistake as error:
            hint = str(error).lower()
        power *= 1.1 if "sooner" in hint else 1 / 1.1 if "high for longer" in hint else 1.0
        least += 0.03 * (("end higher" in hint) - ("end lower" in hint))
        least = max(0.0, least)
    pytest.fail(f"not there yet: {power}, {least}")
