"""Chapter 15's checkers, beyond their tables (test_exercises_tables.py)."""

import numpy as np
import pytest

from lrlib import (
    Constant,
    CosineAnnealing,
    MultiStepDecay,
    PolynomialDecay,
    Warmup,
)
from lrlib.exercises import Mistake
from lrlib.exercises import choosing as check


def regret_by_loops(val, test, margin):
    scores = []
    for r in range(len(val)):
        peaks = [p for p in range(val.shape[1]) if not np.isnan(val[r, p, 0])]
        best = min(peaks, key=lambda p: val[r, p, 0])
        others = [test[r, best, s] for s in range(1, test.shape[2])]
        scores.append(sum(others) / len(others))
    return [(score - min(scores)) / margin for score in scores]


def bought_at_once(results, runs):
    few = results[:: results.shape[0] // runs]
    at, n = few.argmin(0), few.shape[1]
    chosen = few[at]  # (chooser, seed)
    own = np.diagonal(chosen)
    return {"promised": own.mean(), "kept": ((chosen.sum(1) - own) / (n - 1)).mean()}


def shares_by_sums_of_squares(table):
    total, found = ((table - table.mean()) ** 2).sum(), []
    for axes in ((1, 2), (0, 2), (0, 1)):
        means = table.mean(axis=axes, keepdims=True) + 0 * table
        found.append(((means - table.mean()) ** 2).sum() / total)
    return [*found, 1 - sum(found)]


@pytest.mark.parametrize(
    ("checker", "solution"),
    [
        (check.check_regret, regret_by_loops),
        (check.check_bought, bought_at_once),
        (check.check_shares, shares_by_sums_of_squares),
        (check.check_shares, lambda table: np.float32(check.check_shares.exercise.right(table))),
        (check.check_mine, lambda n: PolynomialDecay(n, 2, min_factor=0.05)),
    ],
)
def test_other_solutions_pass(checker, solution):
    checker(solution)


MISTAKES = [
    (check.check_regret, lambda val, test, margin: 0.5, r"answer of shape \(\) for 3 recipes"),
    (check.check_regret, lambda val, test, margin: test, "Each recipe has one regret"),
    (
        check.check_regret,
        lambda *a: margins_behind(*a) * a[-1],
        "in points. Divide by the margin",
    ),
    (check.check_regret, lambda *a: -margins_behind(*a), "behind has a regret above 0"),
    (check.check_bought, lambda results, runs: 3.0, r"return 2 values, \(promised, kept\)"),
    (check.check_shares, lambda table: (0.1, 0.2, 0.3), "return 4 values"),
    (
        check.check_shares,
        lambda table: 100 * np.array(check.check_shares.exercise.right(table)),
        "in percent",
    ),
    (check.check_mine, lambda n: [0.05 ** (t / n) for t in range(n)], "should return a Schedule"),
    (check.check_mine, PolynomialDecay, r"1\.000 in 100 steps, 1\.000 in 1,000 steps; together"),
    (check.check_mine, CosineAnnealing, "short run has far to go"),
    (check.check_mine, lambda n: Constant(), "Noise limits the long run"),
    (check.check_mine, lambda n: MultiStepDecay([800]), "a length of its own: both runs begin"),
    (check.check_mine, lambda n: PolynomialDecay(n // 2, 2), "For 50% of a run the rate is 0"),
    (check.check_mine, lambda n: Constant(0.1) * PolynomialDecay(n), "highest factor is 0.1"),
    (check.check_mine, lambda n: Warmup(4).then(PolynomialDecay(n - 4)), "first factor is 0: an"),
    (check.check_mine, lambda n: PolynomialDecay(n - 50), "raised ValueError"),
]


def margins_behind(*args):
    return check.check_regret.exercise.right(*args)


@pytest.mark.parametrize(("checker", "answer", "words"), MISTAKES)
def test_mistakes_beyond_the_tables(checker, answer, words):
    with pytest.raises(Mistake, match=words):
        checker(answer)


def test_half_of_the_second_exercise_can_be_right():
    def half(results, runs):
        return check.check_bought.exercise.right(results, runs)[0], 0.0

    check.check_bought(half, part="promised")
    with pytest.raises(Mistake, match="is kept, and"):
        check.check_bought(half, part="kept")


def test_the_numbers_of_the_questions():
    line, cosine = (
        ([12.4, 11.9, 12.6], [12.1, 11.5, 12.2]),
        ([12.9, 12.2, 13.0], [12.0, 11.8, 12.5]),
    )
    judged = np.array([[12.8, 12.4, 12.1], [13.0, 13.2, 12.3]])
    val, test = np.array([*line]), np.array([*cosine])  # of seed 0; rows: line, cosine
    at = val.argmin(1)
    assert at.tolist() == [1, 1]
    scores = judged[[0, 1], at]
    assert (scores - scores.min()) / 0.5 == pytest.approx([0, 1.6])
    ann, ben = test[[0, 1], at], judged.min(1)
    assert (ann[0] - ann[1]) / 0.5 == pytest.approx(0.8)
    assert (ben[1] - ben[0]) / 0.5 == pytest.approx(0.4)

    alike = np.random.default_rng(0).normal(20, 1, (12, 4000))
    found = {runs: check.check_bought.exercise.right(alike, runs) for runs in (1, 3, 12)}
    assert found[12] == pytest.approx((18.4, 20), abs=0.05)
    assert found[1] == pytest.approx((20, 20), abs=0.05)
    assert found[3][0] - found[12][0] == pytest.approx(0.8, abs=0.05)
    assert found[3][0] == pytest.approx(19.15, abs=0.05)
