"""Chapter 01's checkers, beyond their tables (test_exercises_tables.py)."""

import numpy as np
import pytest

from lrlib import Constant, PolynomialDecay
from lrlib.exercises import Mistake
from lrlib.exercises import fixed_learning_rate as check

differences, on_the_budget = check._differences, check._on_the_budget


def by_hand(rates, losses):
    best, least = None, np.inf
    for k, row in enumerate(losses):
        mean = sum(np.inf if x != x else x for x in row) / len(row)
        if mean < least:
            best, least = k, mean
    if best == 0 or best == len(rates) - 1:
        raise ValueError(best)
    return list(rates)[best]


@pytest.mark.parametrize(
    ("checker", "solution"),
    [
        (check.check_limit, lambda h, m: np.float32(2 * (1 + m) / np.linalg.norm(h, 2))),
        (check.check_limit, lambda h, m: 1.0015 * 2 * (1 + m) / np.linalg.norm(h, 2)),
        (check.check_choose_rate, by_hand),
        (check.check_flaws, lambda: ["d", "a", "b"]),
        (check.check_compare, lambda f, a, b, s: list(differences(f, a, b, s))),
        (
            check.check_beats_constant,
            lambda: Constant(total_iters=150).then(Constant(0.3, 75)).then(Constant(0.1)),
        ),
    ],
)
def test_other_solutions_pass(checker, solution, capsys):
    checker(solution)
    assert capsys.readouterr().out.startswith("Passed: ")


def unpaired(train, rate_a, rate_b, seeds):
    return differences(train, rate_a, rate_b, seeds, shift=1000)


def keeps_what_is_left(rates, losses):
    kept = ~np.isnan(losses).any(axis=1)
    return by_hand(rates[kept], losses[kept])


MISTAKES = [
    (check.check_limit, lambda h, m: 0.5, "the limit is .* the same in all cases"),
    (check.check_limit, lambda h, m: "big", "one number"),
    (check.check_rate_for_floor, lambda *a: 0.5 * on_the_budget(*a), "a larger rate would too"),
    (
        check.check_rate_for_floor,
        lambda *a: min(1.9, 2 * on_the_budget(*a)),
        "over the budget",
    ),
    (check.check_rate_for_floor, lambda t, h, c, b: 7.0, "between 0 and the stability"),
    (check.check_choose_rate, keeps_what_is_left, "no edge of the grid"),
    (
        check.check_choose_rate,
        lambda r, x: r[np.where(np.isnan(x), np.inf, x).mean(axis=1).argmin()],
        "smallest of the grid, .* raise a ValueError",
    ),
    (check.check_flaws, lambda: {"Z"}, "not among"),
    (check.check_flaws, lambda: "ABD", "set of letters"),
    (check.check_compare, unpaired, "different seeds"),
    (check.check_compare, lambda *a: -differences(*a), "sign"),
    (check.check_compare, lambda *a: differences(*a).mean(), "the spread"),
    (check.check_compare, lambda t, a, b, s: np.ones(len(s)), "for no other rate"),
    (check.check_beats_constant, lambda: 0.1, "return a Schedule"),
    (check.check_beats_constant, Constant, "is constant over"),
    (check.check_beats_constant, lambda: PolynomialDecay(300), "a handful of constants"),
    *(
        (check.check_beats_constant, lambda first=first: first, hint)
        for first, hint in (
            (Constant(total_iters=290).then(Constant(0.1)), "One drop is not enough"),
            (Constant(0.1, total_iters=150).then(Constant()), "no lower than it starts"),
            (Constant(total_iters=100).then(Constant(0.001)), "do nothing"),
            (
                Constant(total_iters=20).then(Constant(0.9, 20)).then(Constant(0.8)),
                "earlier or later",
            ),
        )
    ),
]


@pytest.mark.parametrize(("checker", "answer", "hint"), MISTAKES)
def test_each_mistake_gets_its_hint(checker, answer, hint):
    with pytest.raises(Mistake, match=hint):
        checker(answer)
