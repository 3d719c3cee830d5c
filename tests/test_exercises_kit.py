"""The kit of the checkers: relations to the right answer, and what it says when there is none."""

import math

import numpy as np
import pytest
import torch

from lrlib.exercises import Mistake, array, exercise, number, over, parts, to_number, to_whole
from lrlib.step_decay import StepDecay


def named(check, function, **settings):
    with pytest.raises(Mistake) as caught:
        check(function, **settings)
    return getattr(caught.value, "named", ""), str(caught.value)


def curve(t, n, peak):
    return peak * (0.9 - t / n) ** 2 + 0.1 * t


def of_a_curve(**told):
    return exercise(
        "A curve.",
        right=curve,
        cases=((12, 0.5), (9, 0.25), (20, 3.0)),
        read=over(lambda n, _: range(n + 1)),
        passed="a curve.",
        **told,
    )


RELATIONS = {
    "early": lambda t, n, p: curve(t + 1, n, p),
    "late": lambda t, n, p: curve(max(t - 1, 0), n, p),
    "twice": lambda t, n, p: curve(2 * t, n, p),
    "negative": lambda t, n, p: -curve(t, n, p),
    "reciprocal": lambda t, n, p: 1 / curve(t, n, p),
    "complement": lambda t, n, p: 1 - curve(t, n, p),
    "percent": lambda t, n, p: 100 * curve(t, n, p),
    "scaled": lambda t, n, p: 0.7 * curve(t, n, p),
    "times": lambda t, n, p: p * curve(t, n, p),
    "divided": lambda t, n, p: np.float32(curve(t, n, p) / n),
    "shifted": lambda t, n, p: curve(t, n, p) + 1,
    "plus": lambda t, n, p: curve(t, n, p) + n,
    "square": lambda t, n, p: curve(t, n, p) ** 2,
    "root": lambda t, n, p: math.sqrt(curve(t, n, p)),
    "log": lambda t, n, p: math.log(curve(t, n, p)),
    "rounded": lambda t, n, p: round(curve(t, n, p), 3),
    "floor": lambda t, n, p: int(curve(t, n, p)),
    "constant": lambda t, n, p: p * n,
    "reversed": lambda t, n, p: curve(n - t, n, p),
    "sums": lambda t, n, p: sum(curve(s, n, p) for s in range(t + 1)),
    "unused": lambda t, n, p: curve(t, n, 0.5),
    "row 0 negative": lambda t, n, p: -(p * (0.9 - t / n)),
    "": lambda t, n, p: curve(t, n, p) + (t == 3) / 7,
}


@pytest.mark.parametrize("name", RELATIONS)
def test_a_relation_to_the_right_answer_is_named_and_shown(name):
    check = of_a_curve(wrong=(("no square.", lambda t, n, p: p * (0.9 - t / n)),))
    found, message = named(check, RELATIONS[name])
    assert found == name, (found, message)
    if not name:
        assert "at 3 you have" in message and "Up to there all is right" in message
    of_a_curve()(lambda t, n, p: np.float32(curve(t, n, p)))


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        (lambda x: x.mean(), "mean"),
        (lambda x: x[:, np.newaxis], "shape"),
        (lambda x: x[:-1], "no last"),
        (lambda x: x[1:], "no first"),
        (lambda x: np.append(x, 1), "extra last"),
        (lambda x: np.append(1, x), "extra first"),
        (lambda x: np.diff(x), "differences"),
        (lambda x: sorted(x), "sorted"),
        (lambda x: x[:4], ""),
    ],
)
def test_shapes_are_named(wrong, name):
    check = exercise(
        "An array.",
        right=lambda n: np.sin(np.arange(n)),
        cases=((7,), (9,)),
        read=array,
        passed="",
    )
    assert named(check, lambda n: wrong(np.sin(np.arange(n))))[0] == name


def both(n, b):
    if not b:
        raise ValueError("there are no batches of 0")
    return n / b, -(-n // b)


PARTS = exercise(
    "Two parts, and a refusal.",
    right=both,
    cases=((10, 4), (9, 2), (3, 0), (100, 7)),
    read=parts(ratio=to_number, batches=to_whole),
    wrong=(
        ("rounded down.", lambda n, b: (n / b, n // b)),
        ("upside down.", lambda n, b: (b / n, -(-b // n))),
        ("{n} twice.", lambda n, b: (2 * n / b, -(-n // b))),
    ),
    passed="both.",
)


def refusing(function):
    return lambda n, b: function(n, b) if b else both(n, b)


@pytest.mark.parametrize(
    ("wrong", "name", "says"),
    [
        (lambda n, b: (n / b, n // b), "row 0", "with n=10, b=4: rounded down"),
        (refusing(lambda n, b: (2 * n / b, n // b)), "row 2", "10 twice"),
        (refusing(lambda n, b: (b / n, -(-n // b))), "row 1", "upside down"),
        (refusing(lambda n, b: both(n, b)[::-1]), "", "whole number"),
        (lambda n, b: both(n, b or 1), "refusal", "no batches of 0, yet you returned 3.0"),
        (lambda n, b: (n / b, -(-n // b)), "refusal", "raise ValueError, not ZeroDivisionError"),
        (refusing(lambda n, b: (n / b, -(-n // b) + (n > 9))), "shifted", "1 too large"),
        (lambda n, b: n / b, "", "ZeroDivisionError|2 values"),
        (lambda n, b: "both", "", "That is text"),
    ],
)
def test_parts_and_refusals(wrong, name, says):
    import re

    found, message = named(PARTS, wrong)
    assert found == name and re.search(says, message), (found, message)


def test_a_part_can_be_checked_alone(capsys):
    half = refusing(lambda n, b: (n / b, n // b))
    PARTS(half, part="ratio")
    assert capsys.readouterr().out == "Passed: both.\n"
    assert named(PARTS, half, part="batches")[0] == "row 0"
    PARTS(both)


def test_a_row_does_not_speak_of_a_part_that_is_right():
    """Upside down are both parts of row 1; here the ratio is right."""
    found, message = named(PARTS, refusing(lambda n, b: (n / b, -(-b // n))))
    assert found != "row 1" and "upside down" not in message, (found, message)


def counting():
    calls = []

    def counts(n, b):
        calls.append(n)
        return n / b + len(calls) // 4 if b else both(n, b)

    return counts


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda t, n, p: None, "Is a 'return' missing"),
        (lambda t, n, p: print(t), "prints its answer"),
        (lambda t, n, p: (yield t), "a `yield`"),
        (lambda t, n, p: (curve(t, n, p),), "A comma"),
        (lambda t, n, p: curve, "Was it to be called"),
        (lambda t, n, p: "0.5", "That is text"),
        (lambda t, n, p: 1j, "root of a negative"),
        (lambda t, n, p: [1, 2], "one number"),
        (lambda t, n, p: math.nan, "no finite number"),
        (lambda t, n, p: curve(t, n, p) if t < 5 else math.inf, "has inf|have inf"),
        (lambda t, n, p: 1 / 0, "raised ZeroDivisionError"),
        (lambda t, n, p: exit(), "wants to leave Python"),
        (lambda t, n, p: StepDecay(n)(t) * 0 + curve(t, n, p), "calls StepDecay.* rules out"),
    ],
)
def test_what_is_no_answer_is_said_in_words(wrong, says):
    with pytest.raises(Mistake, match=says):
        of_a_curve(rules_out="lrlib")(wrong)


def test_what_outlives_a_call_is_named():
    of = exercise("", right=lambda n: n, cases=((2.0,), (3.0,)), read=number, passed="")
    kept = []

    def appends(n):
        kept.append(n)
        return sum(kept)

    with pytest.raises(Mistake, match="Something outlives the call"):
        of(appends)
    with pytest.raises(Mistake, match="remembers the calls before"):
        of_a_curve()(lambda t, n, p: kept.append(t) or len(kept))


def test_long_runs_end():
    def by_itself(t, n, p):
        return by_itself(t - 1, n, p) + 0.1 if t > n else curve(t, n, p)

    check = of_a_curve(far=((20_000, 4, 0.5),))
    check(curve)
    with pytest.raises(Mistake, match=r"RecursionError.* use a loop"):
        check(by_itself)


def test_arguments_are_the_learners_to_read():
    check = exercise("", right=lambda x: max(x), cases=(([3, 5, 1],),), read=number, passed="")
    check(lambda x: torch.tensor(max(x)))
    with pytest.raises(Mistake, match=r"changes its argument x: it was \[3, 5, 1\]"):
        check(lambda x: x.sort() or x[-1])
