"""Chapter 11's checkers, beyond their tables (test_exercises_tables.py)."""

import json
import math

import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lrlib import PlateauRule, false_drop_probability, plateau_delay
from lrlib.exercises import Mistake
from lrlib.exercises import plateau as check
from lrlib.exercises import plateau_runs as runs

drops, false_drops, observe = check._rule(), runs._simulation(), runs._observer()


def with_torch(metrics, patience):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    plateau = ReduceLROnPlateau(optimizer, patience=patience, threshold=0.0, eps=0.0)
    found = []
    for i, metric in enumerate(metrics):
        before = optimizer.param_groups[0]["lr"]
        plateau.step(metric)
        if optimizer.param_groups[0]["lr"] < before:
            found.append(i)
    return np.array(found)


def of_the_library(metrics, patience):
    rule = PlateauRule(patience=patience, threshold=0.0)
    return [i for i, metric in enumerate(metrics) if rule.observe(metric)]


def with_a_rule(metric, best, threshold):
    rule = PlateauRule(threshold=threshold)
    rule.observe(best)
    return rule.improves(metric)


def as_a_rule(state, metric, patience, cooldown):
    rule = PlateauRule(patience=patience, cooldown=cooldown, threshold=0.0)
    if state is not None:
        rule.load_state_dict(json.loads(state))
    fell = rule.observe(metric)
    return json.dumps(rule.state_dict()), fell


def in_tensors(noise, slope, patience):
    metrics = torch.tensor(noise) - slope * torch.arange(noise.shape[1])
    share, first = false_drops(metrics.numpy(), 0.0, patience)
    return torch.tensor(share), torch.tensor(first)


@pytest.mark.parametrize(
    ("checker", "solution"),
    [
        (check.check_drops, with_torch),
        (check.check_improves, lambda m, b, t: np.bool_(b - m > t * abs(b))),
        (check.check_improves, lambda m, b, t: m < b * (1 - math.copysign(t, b))),
        (check.check_improves, with_a_rule),
        (check.check_statements, lambda: ["e", "c", "b"]),
        (check.check_false_drops, in_tensors),
        (check.check_observe, as_a_rule),
        (check.check_seldom, lambda: (550, 0)),
        (check.check_seldom, lambda: [np.int64(600), 0]),
    ],
)
def test_other_solutions_pass(checker, solution, capsys):
    checker(solution)
    assert capsys.readouterr().out.startswith("Passed: ")


def remembers(state, metric, patience, cooldown, kept={}):  # noqa: B006
    """Keeps what it has seen in a default argument."""
    if state is None:
        kept.clear()
    new, fell = observe(kept.get("state"), metric, patience, cooldown)
    kept["state"] = new
    return {"saved": True}, fell


MISTAKES = [
    (check.check_drops, of_the_library, "calls PlateauRule.* rules out"),
    (check.check_drops, lambda m, p: len(drops(m, p)), "a list of indices, not 2"),
    (check.check_drops, lambda m, p: [i in drops(m, p) for i in range(3)], "a whole number"),
    (check.check_drops, lambda m, p: drops(m, p)[:1], "there is one drop at most"),
    (check.check_improves, lambda m, b, t: b - t * abs(b), "True or False, not 1.98"),
    (check.check_false_drops, lambda *a: false_drops(*a)[::-1], "have changed places"),
    (check.check_false_drops, lambda n, s, p: 1 - false_drops(n, s, p)[0], "return 2 values"),
    (
        check.check_false_drops,
        lambda *a: (1 - false_drops(*a)[0], false_drops(*a)[1]),
        r"share of runs \*without\* a false drop",
    ),
    (check.check_false_drops, lambda n, s, p: false_drops(n, 0.3, p), "not depend on slope"),
    (check.check_observe, remembers, "resumed at 1.*must come in with the state"),
    (check.check_observe, lambda *a: observe(*a)[0], r"return two values, \(state, fell\)"),
    (check.check_observe, lambda *a: (observe(*a)[0], 1), "True or False, not 1"),
    (check.check_observe, lambda *a: ({1j}, True), "cannot be saved as JSON"),
    (check.check_seldom, lambda: 550, "return two values"),
    (check.check_seldom, lambda: (550.0, 0), "a whole number"),
    (check.check_seldom, lambda: (4000, 0), "between 1 and 3000, and is 4000"),
    (check.check_seldom, lambda: (100, -1), "patience must be at least 0"),
    (check.check_seldom, lambda: (50, 10), "probability of 0.96.*5% is the most"),
    (check.check_seldom, lambda: (100, 10), "costs 1,949 updates.*Which of the two is cheaper"),
    (check.check_seldom, lambda: (1000, 0), "costs 1,718 updates.*a little more often"),
    (check.check_seldom, lambda: (1, 10**9), "5% is the most|1,100 is the most"),
]


@pytest.mark.parametrize(("checker", "answer", "hint"), MISTAKES)
def test_each_mistake_gets_its_hint(checker, answer, hint):
    with pytest.raises(Mistake, match=hint):
        checker(answer)


# What the texts say.


def test_what_exercise_2_says_of_torch():
    """Three NaNs drop the rate; a worse loss below 0 is an improvement; old arguments come back."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    plateau, rates = ReduceLROnPlateau(optimizer, mode="min", patience=2), []
    for metric in (1.2, 0.4, math.nan, math.nan, math.nan, 0.1):
        plateau.step(metric)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == [1.0] * 4 + [0.1] * 2
    plateau = ReduceLROnPlateau(optimizer, patience=2)
    for metric in (-2.0, -1.9999):
        plateau.step(metric)
    assert plateau.best == -1.9999
    later = ReduceLROnPlateau(optimizer, patience=20)
    later.load_state_dict(plateau.state_dict())
    assert later.patience == 2


def test_the_numbers_of_exercise_3():
    chances = [
        false_drop_probability(10, 0.1, 300),
        false_drop_probability(27, 0.1, 300),
        false_drop_probability(10, 0.1 * math.sqrt(10), 300),
        false_drop_probability(10, 0.2, 150),
    ]
    assert chances == pytest.approx([0.9998, 0.047, 0.054, 0.42], abs=0.002)


def test_the_numbers_of_exercise_5():
    """What is given, and that no patience above 0 meets both demands."""
    slopes = {k: 2e-4 * k * math.sqrt(2 * k) for k in range(20, 1001, 20)}
    assert false_drop_probability(10, slopes[100], 60) == pytest.approx(0.02, abs=0.005)
    assert 100 * plateau_delay(10) == pytest.approx(1949, abs=0.5)
    for patience in range(1, 26):
        soon = [k for k in slopes if k * plateau_delay(patience) <= runs.ASKED]
        assert all(false_drop_probability(patience, slopes[k], 6_000 // k) > 0.05 for k in soon)
    # A mean of m evaluations is one evaluation of m times the slope, and a root of m less noise.
    assert slopes[300] == pytest.approx(slopes[100] * 3**1.5)
