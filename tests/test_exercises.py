"""The checkers: the solution passes, the starter is not attempted, each mistake gets its hint."""

import importlib
import math
import pkgutil
import signal
import time

import numpy as np
import pytest
import torch

import lrlib
from lrlib import Constant, exercises
from lrlib.exercises import Mistake, NotAttempted
from lrlib.exercises import fixed_learning_rate as check


def starter(*args):
    raise NotImplementedError


def eigenvalues(hessian):
    return np.linalg.eigvalsh(hessian)


def limit(hessian, momentum):
    return 2 * (1 + momentum) / eigenvalues(hessian).max()


def rate_for_floor(target, h, c, batch_size):
    low, high = 0.0, 2 / h.max()
    for _ in range(60):
        middle = (low + high) / 2
        if lrlib.noise_floor(middle, h, c, batch_size) <= target:
            low = middle
        else:
            high = middle
    return low


def choose(rates, losses):
    means = np.where(np.isnan(losses), np.inf, losses).mean(axis=1)
    best = int(np.argmin(means))
    if best in (0, len(rates) - 1):
        raise ValueError("edge")
    return rates[best]


def choose_without_edges(pick):
    """A chooser that refuses edges, but finds the best entry by `pick`."""

    def chooser(rates, losses):
        best = int(pick(losses))
        if best in (0, len(rates) - 1) and np.nanmin(losses) == 0.1 and losses[best].max() == 0.1:
            raise ValueError("edge")
        return rates[best]

    return chooser


def compare(train, rate_a, rate_b, seeds):
    return np.array([train(rate_b, seed) - train(rate_a, seed) for seed in seeds])


def shape():
    return Constant(total_iters=150).then(Constant(0.3, 75)).then(Constant(0.1))


SOLUTIONS = [
    (check.check_limit, limit),
    (check.check_rate_for_floor, rate_for_floor),
    (check.check_choose_rate, choose),
    (check.check_flaws, lambda: {"A", "B", "D"}),
    (check.check_compare, compare),
    (check.check_beats_constant, shape),
]
# Of every chapter, so that a new checker is held to the two tests below from the start.
CHECKERS = [
    function
    for module in pkgutil.iter_modules(lrlib.exercises.__path__, "lrlib.exercises.")
    for name, function in vars(importlib.import_module(module.name)).items()
    if name.startswith("check_")
]


@pytest.mark.parametrize(("checker", "solution"), SOLUTIONS)
def test_the_solution_passes(checker, solution, capsys):
    checker(solution)
    assert capsys.readouterr().out.startswith("Passed: ")


@pytest.mark.parametrize("checker", CHECKERS)
def test_the_starter_is_reported_as_not_attempted(checker):
    with pytest.raises(NotAttempted, match="not attempted"):
        checker(starter)


@pytest.mark.parametrize("checker", CHECKERS)
def test_a_forgotten_return_and_a_crash_are_named(checker):
    with pytest.raises(Mistake, match="'return'"):
        checker(lambda *args: None)
    with pytest.raises(Mistake, match="ZeroDivisionError"):
        checker(lambda *args: 1 / 0)


def unpaired(train, rate_a, rate_b, seeds):
    return np.array([train(rate_b, seed + 1000) - train(rate_a, seed) for seed in seeds])


def sorted_apart(train, rate_a, rate_b, seeds):
    return np.sort([train(rate_b, s) for s in seeds]) - np.array([train(rate_a, s) for s in seeds])


def sorted_both(train, rate_a, rate_b, seeds):
    return np.sort([train(rate_b, s) for s in seeds]) - np.sort([train(rate_a, s) for s in seeds])


def drop_first(rates, losses):
    """Takes the edge of what is left once the diverged rates are gone."""
    kept = ~np.isnan(losses).any(axis=1)
    return choose(rates[kept], losses[kept])


MISTAKES = [
    # the limit
    (check.check_limit, lambda h, m: 2 * (1 + m) / eigenvalues(h).min(), "smallest eigenvalue"),
    (check.check_limit, lambda h, m: 2 * (1 + m) / np.trace(h), "trace"),
    (check.check_limit, lambda h, m: 2 * (1 + m) / h.max(), "largest entry"),
    (check.check_limit, lambda h, m: (1 + m) / eigenvalues(h).max(), "factor of 2"),
    (check.check_limit, lambda h, m: 2 / eigenvalues(h).max(), "momentum is ignored"),
    (check.check_limit, lambda h, m: 2 / (eigenvalues(h).max() * (1 - m)), r"1/\(1 - momentum\)"),
    (check.check_limit, lambda h, m: 0.5, "but the limit is"),
    (check.check_limit, lambda h, m: "big", "one number"),
    (check.check_limit, lambda h, m: 2 * (1 - m) / eigenvalues(h).max(), "does not lower"),
    # the floor
    (check.check_rate_for_floor, lambda t, h, c, b: rate_for_floor(t, h, c, 1), "batch size"),
    (check.check_rate_for_floor, lambda t, h, c, b: 4 * b * t / c.sum(), "formula for small rates"),
    (
        check.check_rate_for_floor,
        lambda t, h, c, b: rate_for_floor(t, h, c, b) * 0.5,
        "a larger rate would too",
    ),
    (
        check.check_rate_for_floor,
        lambda t, h, c, b: min(1.9, 2 * rate_for_floor(t, h, c, b)),
        "over the budget",
    ),
    (check.check_rate_for_floor, lambda t, h, c, b: 7.0, "between 0 and the stability"),
    # choosing
    (
        check.check_choose_rate,
        choose_without_edges(
            lambda losses: np.unravel_index(np.nanargmin(losses), losses.shape)[0]
        ),
        "single best run",
    ),
    (
        check.check_choose_rate,
        choose_without_edges(lambda losses: np.nanmean(losses, axis=1).argmin()),
        "left it out of the mean",
    ),
    (
        check.check_choose_rate,
        choose_without_edges(lambda losses: np.median(losses, axis=1).argmin()),
        "lowest median",
    ),
    (check.check_choose_rate, lambda r, x: drop_first(r, x), "no edge of the grid"),
    (
        check.check_choose_rate,
        choose_without_edges(lambda losses: losses.mean(axis=1).argmax()),
        "highest loss",
    ),
    (
        check.check_choose_rate,
        lambda r, x: r[np.where(np.isnan(x), np.inf, x).mean(axis=1).argmin()],
        "edge|outside",
    ),
    # what is wrong
    (check.check_flaws, lambda: {"A", "B"}, "D is missing"),
    (check.check_flaws, lambda: {"A", "B", "C", "D"}, "C is not a flaw"),
    (check.check_flaws, lambda: {"A", "B", "D", "E"}, "E is not a flaw"),
    (check.check_flaws, lambda: {"B", "D"}, "A is missing"),
    (check.check_flaws, lambda: {"Z"}, "not among"),
    (check.check_flaws, lambda: "ABD", "set of letters"),
    (check.check_compare, unpaired, "different seeds"),
    (check.check_compare, lambda t, a, b, s: -compare(t, a, b, s), "sign"),
    (check.check_compare, lambda t, a, b, s: compare(t, a, b, s).mean(), "the spread"),
    (check.check_compare, lambda t, a, b, s: compare(t, a, b, s[:2]), "every one of the seeds"),
    (check.check_compare, sorted_apart, "same\\s+seed"),
    (check.check_compare, sorted_both, "same\\s+seed"),
    (check.check_compare, lambda t, a, b, s: compare(t, a, b, sorted(s)), "order of the seeds"),
    (check.check_compare, lambda t, a, b, s: np.ones(len(s)), "for no other rate"),
    # the open one
    (check.check_beats_constant, lambda: 0.1, "return a Schedule"),
    (check.check_beats_constant, Constant, "is constant over"),
    (
        check.check_beats_constant,
        lambda: Constant(total_iters=290).then(Constant(0.1)),
        "One drop is not enough",
    ),
    (
        check.check_beats_constant,
        lambda: Constant(0.1, total_iters=150).then(Constant()),
        "no lower than it starts",
    ),
    (
        check.check_beats_constant,
        lambda: Constant(total_iters=100).then(Constant(0.001)),
        "do nothing",
    ),
    (
        check.check_beats_constant,
        lambda: Constant(total_iters=20).then(Constant(0.9, 20)).then(Constant(0.8)),
        "earlier or later",
    ),
]


@pytest.mark.parametrize(("checker", "answer", "hint"), MISTAKES)
def test_each_mistake_gets_its_hint(checker, answer, hint):
    with pytest.raises(Mistake, match=hint):
        checker(answer)


# --- what all checkers share


@pytest.mark.parametrize(
    ("a", "b", "shown"),
    [
        (0.1, 0.2, ("0.1", "0.2")),
        (0.1, np.float32(0.1), ("0.1", "0.100000001")),
        (1.96, 2.0, ("1.96", "2")),
        (1.99999, 2, ("1.99999", "2")),
        (1.0, math.inf, ("1", "inf")),
    ],
)
def test_numbers_that_differ_are_never_shown_alike(a, b, shown):
    assert exercises.apart(float(a), float(b)) == shown


@pytest.mark.parametrize(
    ("change", "argument", "shown"),
    [
        (list.sort, [3, 1, 2], r"it was \[3, 1, 2\] before the call and is \[1, 2, 3\]"),
        (lambda x: x.append(1), [3], r"is \[3, 1\]"),
        (lambda x: x.clear(), [3], r"is \[\]"),
        (lambda x: x.__setitem__(0, 7), np.zeros(2), "work on a copy"),
        (lambda x: x.sort(), np.array([2.0, 1.0]), "work on a copy"),
        (lambda x: x.add_(1), torch.zeros(2), "work on a copy"),
        (lambda x: x[0].mul_(2), [torch.ones(2)], "work on a copy"),
        (lambda x: x.__setitem__(0, 0), np.array([math.nan, 1]), "work on a copy"),
    ],
)
def test_a_function_that_changes_its_arguments_is_told(change, argument, shown):
    def learners(values):
        change(values)
        return 1

    with pytest.raises(Mistake, match=rf"learners changes its argument values: .*{shown}"):
        exercises.call(learners, argument)


def test_arguments_left_alone_are_no_mistake():
    for argument in ([1, [2.5, math.nan]], np.array([math.nan, 1]), torch.tensor([math.nan]), {}):
        assert exercises.call(lambda x: 3, argument) == 3


def test_the_name_of_something_else_is_no_function():
    with pytest.raises(Mistake, match=r"its name stands for 0\.1"):
        exercises.call(0.1)


def test_an_answer_that_calls_a_starter_names_the_starter():
    def recipe():
        raise NotImplementedError

    def refuses():
        raise NotImplementedError("no such layer")  # a library's, say

    with pytest.raises(NotAttempted, match=r"^recipe is not attempted yet"):
        exercises.call(lambda: recipe())
    with pytest.raises(Mistake, match="raised NotImplementedError: no such layer"):
        exercises.call(refuses)


def test_an_exit_is_a_mistake_and_an_interrupt_passes():
    def leave():
        raise SystemExit(2)

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(Mistake, match=r"leave\(\) wants to leave Python"):
        check.check_flaws(leave)
    with pytest.raises(exercises.Interrupted) as caught:
        check.check_flaws(stop)
    (text,) = caught.value._render_traceback_()
    assert text.startswith("Interrupted: the check was stopped.") and "in stop" in text
    assert "letters(" not in text


@pytest.mark.skipif(not hasattr(signal, "SIGVTALRM"), reason="Windows has no such clock")
def test_time_is_up_only_for_what_computes():
    calls = importlib.import_module("lrlib.exercises._calls")
    vars(calls)["SECONDS"] = 0.2
    before = signal.getsignal(signal.SIGVTALRM)
    try:
        with pytest.raises(Mistake, match="a loop that never ends"):
            exercises.call(lambda: [None for _ in iter(int, 1)])
        assert exercises.call(lambda: time.sleep(0.5) or 1) == 1
    finally:
        vars(calls)["SECONDS"] = 10
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0, 0)
    assert signal.getsignal(signal.SIGVTALRM) == before
