"""Chapter 03's checkers: the solution passes, mistakes get hints (starters: test_exercises.py)."""

import math

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

from lrlib import Constant, ExponentialDecay, LRTrace, PolynomialDecay, ScheduledLR
from lrlib.exercises import Mistake
from lrlib.exercises import exponential_decay as check
from lrlib.lab import NoisyQuadratic


def root(whole, n):
    return whole ** (1 / n)


def factor(t, total, power, least):
    return least + (1 - least) * max(0, 1 - t / total) ** power


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


def mean_choice(losses):
    return np.mean(losses, axis=1).argmin()


def comparison(choose=mean_choice, tuned="{tuning}", judged="{test}", says=np.subtract):
    """A comparison which may choose, tune or report in another way.

    `choose` takes losses of shape (peaks, seeds); `says` the losses of b and a on the test seeds.
    """

    def compare(train, a, b, peaks, tuning_seeds, test_seeds):
        lists = {"{tuning}": tuning_seeds, "{test}": test_seeds}
        lists["{both}"] = [*tuning_seeds, *test_seeds]
        losses = {}
        for name, schedule in (("a", a), ("b", b)):
            table = [[train(schedule, peak, seed) for seed in lists[tuned]] for peak in peaks]
            peak = peaks[choose(np.array(table))]
            losses[name] = np.array([train(schedule, peak, seed) for seed in lists[judged]])
        return says(losses["b"], losses["a"])

    return compare


def compare_by_hand(train, a, b, peaks, tuning_seeds, test_seeds):
    """Plain Python, and a list for an answer."""
    best = []
    for schedule in (a, b):
        sums = {peak: sum(train(schedule, peak, s) for s in tuning_seeds) for peak in peaks}
        best.append(min(sums, key=sums.get))
    return [train(b, best[1], s) - train(a, best[0], s) for s in test_seeds]


def for_both(total_iters):
    return PolynomialDecay(total_iters, power=0.58)


def polynomial(power, min_factor=0.0):
    return lambda total_iters: PolynomialDecay(total_iters, power, min_factor)


@pytest.mark.parametrize(
    ("checker", "solution"),
    [
        (check.check_per_step, root),
        (check.check_per_step, lambda g, n: math.exp(math.log(g) / n)),
        (check.check_per_step, lambda g, n: ExponentialDecay.to_factor(g, n).gamma),
        (check.check_per_step, lambda g, n: torch.tensor(g, dtype=torch.float64) ** (1 / n)),
        (check.check_gamma_to, root),
        (check.check_gamma_to, lambda f, n: np.exp(np.log(f) / n)),
        (check.check_gamma_to, lambda f, n: 10 ** (np.log10(f) / n)),
        (check.check_factor, factor),
        (check.check_factor, factor_with_min),
        (check.check_factor, factor_with_if),
        (check.check_factor, lambda *args: np.float32(factor(*args))),
        (check.check_per_step, lambda g, n: np.float32(g) ** np.float32(1 / n)),
        (check.check_per_step, lambda g, n: torch.tensor(g) ** (1 / n)),
        (check.check_gamma_to, lambda f, n: torch.tensor(f).log().div(n).exp()),
        (check.check_flaws, lambda: {"A", "C", "F"}),
        (check.check_flaws, lambda: ["f", "c", "a"]),
        (check.check_straight_line, straight_line),
        (check.check_straight_line, with_linear_lr),
        (check.check_straight_line, with_lambda_lr),
        (check.check_straight_line, with_lrlib),
        (check.check_compare, comparison()),
        (check.check_compare, compare_by_hand),
        (check.check_for_both, for_both),
        (check.check_for_both, polynomial(0.62, 0.03)),
    ],
)
def test_right_answers_pass(checker, solution, capsys):
    checker(solution)
    assert capsys.readouterr().out.startswith("Passed: ")


# --- planted mistakes


def poly(left, power=None, scale=None, hold=True):
    """A factor with `left` for 1 - t / total_iters, and its own `power` or `scale`."""

    def wrong(t, total, p, least):
        if hold:
            t = min(t, total)
        x = left(t, total)
        y = x**p if power is None else power(x, p)
        return least + (1 - least) * y if scale is None else scale(y, least)

    return wrong


def usual(t, total):
    return 1 - t / total


def fails_past_the_end(t, total, power, least):
    return least + (1 - least) * math.pow(1 - t / total, power)


def nan_past_the_end(t, total, power, least):
    left = np.float64(1 - t / total)
    # Past the end the whole powers are set right, so that the roots remain.
    return least + (1 - least) * (max(left, 0.0) if power >= 1 else left) ** power


def complex_past_the_end(t, total, power, least):
    left = 1 - t / total
    return least + (1 - least) * (max(left, 0.0) if power >= 1 else left) ** power


def negative_past_the_end(t, total, power, least):
    left = 1 - t / total
    return least + (1 - least) * (max(left, 0.0) ** power if power != 1 else left)


def past_the_end(value):
    return lambda t, total, p, least: value if t > total else factor(t, total, p, least)


def nothing_past_the_end(t, total, power, least):
    if t <= total:
        return factor(t, total, power, least)


def line(length):
    """A scheduler over `length(epochs, batches)` steps."""
    return lambda optimizer, e, b: lr_scheduler.PolynomialLR(optimizer, total_iters=length(e, b))


def lambda_line(make):
    """A LambdaLR with `make(t, epochs, batches, peak)`."""

    def scheduler(optimizer, epochs, batches):
        peak = optimizer.param_groups[0]["lr"]
        return lr_scheduler.LambdaLR(optimizer, lambda t: make(t, epochs, batches, peak))

    return scheduler


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


def the_others_peak(train, a, b, peaks, tuning_seeds, test_seeds):
    def best(schedule):
        means = [np.mean([train(schedule, peak, s) for s in tuning_seeds]) for peak in peaks]
        return peaks[np.argmin(means)]

    best_a, best_b = best(b), best(a)
    return np.array([train(b, best_b, s) - train(a, best_a, s) for s in test_seeds])


def a_third(train, a, b, peaks, tuning_seeds, test_seeds):
    means = [np.mean([train(a, peak, s) for s in tuning_seeds]) for peak in peaks]
    best = peaks[np.argmin(means)]
    return np.array([train(b, best / 3, s) - train(a, best, s) for s in test_seeds])


def new_seeds(train, a, b, peaks, tuning_seeds, test_seeds):
    shifted = [seed + 1000 for seed in test_seeds]
    return comparison()(train, a, b, peaks, tuning_seeds, shifted)


def with_part_of(peaks=slice(None), tuning=slice(None), test=slice(None)):
    def compare(train, a, b, all_peaks, tuning_seeds, test_seeds):
        parts = all_peaks[peaks], tuning_seeds[tuning], test_seeds[test]
        return comparison()(train, a, b, *parts)

    return compare


def calls_the_schedule(train, a, b, peaks, tuning_seeds, test_seeds):
    return train(a(None), peaks[0], test_seeds[0])


def no_training(train, a, b, peaks, tuning_seeds, test_seeds):
    return np.zeros(len(test_seeds))


MISTAKES = [
    (check.check_factor, lambda t, *args: PolynomialDecay(*args)(t), "calls PolynomialDecay"),
    (
        check.check_gamma_to,
        lambda f, n: ExponentialDecay.to_factor(f, n).gamma,
        "calls ExponentialDecay.to_factor",
    ),
    # gamma per step
    (check.check_per_step, lambda g, n: g / n, "divided by the number"),
    (check.check_per_step, lambda g, n: g**1 / n, "the power binds first"),
    (check.check_per_step, lambda g, n: g, "the whole fall"),
    (check.check_per_step, lambda g, n: g**n, "undoes a power"),
    (check.check_per_step, lambda g, n: 1 - (1 - g) / n, "shared out the fall evenly"),
    (check.check_per_step, lambda g, n: 1 - g / n, "took the rest"),
    (check.check_per_step, lambda g, n: g ** (1 // n), "Does `//`"),
    (check.check_per_step, lambda g, n: g ** (1 / (n - 1)), "too soon"),
    (check.check_per_step, lambda g, n: g ** (1 / (n + 1)), "too late"),
    (check.check_per_step, lambda g, n: g ** (-1 / n), "above 1"),
    (check.check_per_step, lambda g, n: 1 - g ** (1 / n), "takes away"),
    (check.check_per_step, lambda g, n: round(g ** (1 / n), 3), "Did you round"),
    (check.check_per_step, lambda g, n: 0.5, "once in every step"),
    (check.check_per_step, lambda g, n: -(g ** (1 / n)), "once in every step"),
    (check.check_per_step, lambda g, n: ExponentialDecay(g), "one number"),
    (check.check_per_step, lambda g, n: float("nan"), "returned nan"),
    # gamma from the final factor
    (check.check_gamma_to, lambda f, n: f / n, "divided by the number"),
    (check.check_gamma_to, lambda f, n: 1 - (1 - f) / n, "shared out the fall evenly"),
    (check.check_gamma_to, lambda f, n: f ** (1 / (n - 1)), "too soon"),
    (check.check_gamma_to, lambda f, n: f ** (1 / (n + 1)), "too late"),
    (check.check_gamma_to, lambda f, n: math.exp(math.log(f) * n), "undoes a power"),
    (check.check_gamma_to, lambda f, n: math.exp(-math.log(f) / n), "sign of the exponent"),
    (check.check_gamma_to, lambda f, n: math.log(f) / n, "that is a logarithm"),
    (check.check_gamma_to, lambda f, n: -math.log(f) / n, "that is a logarithm"),
    (check.check_gamma_to, lambda f, n: math.log10(f) / n, "that is a logarithm"),
    (check.check_gamma_to, lambda f, n: 10 ** (math.log(f) / n), "different bases"),
    (check.check_gamma_to, lambda f, n: math.exp(math.log10(f) / n), "different bases"),
    (check.check_gamma_to, lambda f, n: 2 ** (math.log(f) / n), "different bases"),
    (check.check_gamma_to, lambda f, n: 1 + math.log(f) / n, "as long as x is tiny"),
    (check.check_gamma_to, lambda f, n: math.exp(math.log(-f) / n), "raised ValueError"),
    (check.check_gamma_to, lambda f, n: math.inf, "returned inf"),
    (check.check_gamma_to, lambda f, n: [f], "one number"),
    # the polynomial
    (check.check_factor, poly(lambda t, n: t / n), "it rises"),
    (check.check_factor, poly(lambda t, n: t / n, lambda x, p: 1 - x**p), "then the difference"),
    (check.check_factor, poly(usual, lambda x, p: x), "straight line"),
    (check.check_factor, poly(usual, lambda x, p: x * p), "multiplied by `power`"),
    (check.check_factor, poly(usual, lambda x, p: x ** (1 / p)), "a root"),
    (check.check_factor, poly(lambda t, n: 1 - t // n), "stays at 1"),
    (check.check_factor, lambda t, n, p, m: m + (1 - m) * (1 - t / n**p), "total_iters alone"),
    (check.check_factor, lambda t, n, p, m: m + (1 - m) * (1 - t**p / n), "power was taken of t"),
    (check.check_factor, poly(lambda t, n: max(0, 1 - (t + 1) / n)), "comes one step early"),
    (check.check_factor, poly(lambda t, n: 1 - t / (n + 1)), "has not arrived"),
    (check.check_factor, poly(lambda t, n: 1 - max(t - 1, 0) / n), "one step late"),
    (check.check_factor, poly(lambda t, n: max(0, 1 - t / (n - 1))), "arrives one step early"),
    (check.check_factor, poly(lambda t, n: 1 - (t % n) / n), "Does a `%`"),
    (check.check_factor, poly(usual, scale=lambda y, m: max(y, m)), "cuts the curve off"),
    (check.check_factor, poly(usual, scale=lambda y, m: y), "it ends at 0"),
    (check.check_factor, poly(usual, scale=lambda y, m: m + y), "starts above 1"),
    (check.check_factor, poly(usual, scale=lambda y, m: (1 - m) * y), "lies too low"),
    (check.check_factor, poly(usual, scale=lambda y, m: m * y), "Where does the formula start"),
    (
        check.check_factor,
        poly(usual, scale=lambda y, m: 1 - (1 - m) * y),
        "it rises, from min_factor",
    ),
    (
        check.check_factor,
        lambda t, n, p, m: (m + (1 - m) * max(0, 1 - t / n)) ** p,
        "min_factor included",
    ),
    (check.check_factor, lambda t, n, p, m: 0.1 * factor(t, n, p, m), "looks like a rate"),
    (check.check_factor, lambda t, n, p, m: 0.3, "but the formula gives"),
    (check.check_factor, lambda t, n, p, m: np.array([1.0, 0.5]), "one number"),
    (check.check_factor, lambda t, n, p, m: math.nan, "returned nan"),
    (check.check_factor, poly(usual, hold=False), "risen again"),
    (check.check_factor, negative_past_the_end, "less than min_factor"),
    (check.check_factor, complex_past_the_end, "complex number"),
    (check.check_factor, nan_past_the_end, "you return NaN"),
    (check.check_factor, past_the_end(1.0), "is 1 again"),
    (check.check_factor, past_the_end(0.0), "less than min_factor"),
    (check.check_factor, past_the_end("end"), "is no number"),
    (check.check_factor, nothing_past_the_end, "'return'"),
    # what is wrong
    (check.check_flaws, lambda: {"C", "F"}, "A is missing"),
    (check.check_flaws, lambda: {"A", "F"}, "C is missing"),
    (check.check_flaws, lambda: {"A", "C"}, "F is missing"),
    (check.check_flaws, lambda: {"A", "B", "C", "F"}, "B is not a flaw"),
    (check.check_flaws, lambda: {"A", "C", "D", "F"}, "D is not a flaw"),
    (check.check_flaws, lambda: {"A", "C", "E", "F"}, "E is not a flaw"),
    (check.check_flaws, lambda: {"A", "C", "F", "G"}, "not among"),
    (check.check_flaws, lambda: "ACF", "set of letters"),
    # the line
    (check.check_straight_line, line(lambda e, b: e), "colleague's mistake"),
    (check.check_straight_line, line(lambda e, b: b), "one epoch is over"),
    (
        check.check_straight_line,
        lambda o, e, b: lr_scheduler.PolynomialLR(o),
        "torch's default",
    ),
    (check.check_straight_line, line(lambda e, b: e * b + 1), "one step late"),
    (check.check_straight_line, line(lambda e, b: e * b - 1), "did nothing"),
    (check.check_straight_line, line(lambda e, b: e + b), "no sooner"),
    (check.check_straight_line, line(lambda e, b: 2 * e * b), "on a straight line"),
    (check.check_straight_line, stepped_already, "one step early"),
    (
        check.check_straight_line,
        lambda o, e, b: lr_scheduler.LinearLR(o, total_iters=e * b),
        "meant for a warm-up",
    ),
    (
        check.check_straight_line,
        lambda o, e, b: lr_scheduler.LinearLR(o, end_factor=0, total_iters=e * b),
        "fell from a third",
    ),
    (
        check.check_straight_line,
        lambda o, e, b: lr_scheduler.LinearLR(o, start_factor=1, total_iters=e * b),
        "never changed",
    ),
    (check.check_straight_line, lambda_line(lambda t, e, b, peak: 1 - t // b / e), "as stairs"),
    (
        check.check_straight_line,
        lambda_line(lambda t, e, b, peak: peak * (1 - t / (e * b))),
        "given factors",
    ),
    (check.check_straight_line, lambda_line(lambda t, e, b, peak: t / (e * b)), "rose from 0"),
    (check.check_straight_line, lambda_line(lambda t, e, b, peak: 1 / (6 - t)), "raised ZeroDiv"),
    (check.check_straight_line, lambda o, e, b: PolynomialDecay(e * b), "is a shape"),
    (check.check_straight_line, lambda o, e, b: lr_scheduler.PolynomialLR, "the class"),
    (check.check_straight_line, lambda o, e, b: o, "not an object of type SGD"),
    (check.check_straight_line, lambda o, e, b: LRTrace(o), "not an object of type LRTrace"),
    (check.check_straight_line, runs_by_itself, "updates itself"),
    (check.check_straight_line, of_another_optimizer, "another optimizer"),
    # the comparison
    (check.check_compare, one_peak_for_both, "no peak was tried for schedule `b`"),
    (check.check_compare, the_others_peak, "best for the other"),
    (check.check_compare, a_third, "not in `peaks`"),
    (check.check_compare, new_seeds, "in neither list"),
    (check.check_compare, comparison(tuned="{test}"), "Seeds that have a say"),
    (check.check_compare, comparison(tuned="{both}"), "Seeds that have a say"),
    (check.check_compare, comparison(judged="{tuning}"), "never ran on the test seeds"),
    (check.check_compare, comparison(lambda x: x.min(axis=1).argmin()), "single best run"),
    (check.check_compare, comparison(lambda x: np.median(x, axis=1).argmin()), "lowest median"),
    (check.check_compare, comparison(lambda x: x.mean(axis=1).argmax()), "Lower is better"),
    (check.check_compare, comparison(lambda x: 0), "have the lowest mean"),
    (check.check_compare, with_part_of(tuning=slice(1)), "use all of them"),
    (check.check_compare, with_part_of(test=slice(2)), "2 of the 4 test seeds"),
    (check.check_compare, with_part_of(peaks=slice(3)), "was not tried at"),
    (check.check_compare, comparison(says=lambda b, a: a - b), "sign is turned round"),
    (check.check_compare, comparison(says=lambda b, a: (b - a).mean()), "needs the spread"),
    (check.check_compare, comparison(says=lambda b, a: b), "losses of one of the two"),
    (check.check_compare, comparison(says=lambda b, a: b / a), "ratios"),
    (check.check_compare, comparison(says=lambda b, a: np.sort(b - a)), "another order"),
    (check.check_compare, comparison(says=lambda b, a: b - a[::-1]), "single seeds"),
    (check.check_compare, comparison(says=lambda b, a: {"b": b}), "array of differences"),
    (check.check_compare, calls_the_schedule, "give a and b to train"),
    (check.check_compare, no_training, "never trained"),
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
    (check.check_for_both, lambda n: PolynomialDecay(n, -1), "raised ValueError"),
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
