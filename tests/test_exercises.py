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
from lrlib import exercises
from lrlib.exercises import Mistake, NotAttempted
from lrlib.exercises import fixed_learning_rate as check


def starter(*args):
    raise NotImplementedError


# Of every chapter, so that a new checker is held to the two tests below from the start.
CHECKERS = [
    function
    for module in pkgutil.iter_modules(lrlib.exercises.__path__, "lrlib.exercises.")
    for name, function in vars(importlib.import_module(module.name)).items()
    if name.startswith("check_")
]


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
