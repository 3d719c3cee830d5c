"""Checkers for the exercises, one module for each chapter, named as the chapter is.

A checker takes the learner's own function, tests properties of what it returns, and says in words
what the likely mistake is. It raises NotAttempted for an untouched starter, Mistake for a wrong
answer, and prints one line when all is well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from inspect import isfunction
from typing import Any

import numpy as np

from lrlib.schedule import Schedule


class Mistake(AssertionError):
    """The answer is wrong; the message is the hint."""


class NotAttempted(AssertionError):
    """The starter is untouched."""


class NotFinite(Exception):
    """The cause of a Mistake: infinity or NaN."""


def call(function: Callable[..., Any], *args: Any) -> Any:
    """The learner's answer for `args`; a crash or a missing return becomes a hint."""
    shown = ", ".join(short(arg) for arg in args)
    try:
        answer = function(*args)
    except NotImplementedError:
        raise NotAttempted(
            f"{function.__name__} is not attempted yet: replace 'raise NotImplementedError' by "
            f"your own code."
        ) from None
    except Exception as error:
        raise Mistake(
            f"{function.__name__}({shown}) raised {type(error).__name__}: {error}"
        ) from error
    if answer is None:
        raise Mistake(f"{function.__name__}({shown}) returned None. Is a 'return' missing?")
    return answer


def number(function: Callable[..., Any], *args: Any) -> float:
    """Like `call`, for a function that returns one number."""
    answer = call(function, *args)
    try:
        return float(answer)
    except OverflowError:  # an integer too large for a float
        return math.inf
    except (TypeError, ValueError):
        raise Mistake(
            f"{function.__name__} should return one number, but returned {short(answer)}."
        ) from None


def finite(function: Callable[..., Any], *args: Any) -> float:
    """Like `number`, and finite."""
    answer = number(function, *args)
    if not math.isfinite(answer):
        shown = ", ".join(short(arg) for arg in args)
        raise Mistake(
            f"{function.__name__}({shown}) returned {answer}, which is no finite number."
        ) from NotFinite()
    return answer


def ask_twice(function: Callable[..., Any], steps: Iterable[int], *case: Any) -> np.ndarray:
    """``function(t, *case)`` at all `steps`, asked forwards and backwards: it may not remember."""
    steps = list(steps)
    forward = [finite(function, t, *case) for t in steps]
    backward = [finite(function, t, *case) for t in reversed(steps)][::-1]
    for t, first, second in zip(steps, forward, backward, strict=True):
        if first != second:
            raise Mistake(
                f"asked twice for step {t}, your function gave {first:.4g} and then {second:.4g}: "
                f"it remembers the calls before. Compute the factor from the arguments alone."
            )
    return np.array(forward)


def close(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal factors but for rounding: some compute them in float32."""
    return np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=0, atol=1e-6)


def schedule(function: Callable[..., Any], *args: Any, example: str) -> Schedule:
    """Like `call`, for a function that returns a Schedule, such as the `example`."""
    answer = call(function, *args)
    if not isinstance(answer, Schedule):
        raise Mistake(
            f"{function.__name__} should return a Schedule, such as {example}, not {short(answer)}."
        )
    return answer


def letters(function: Callable[[], set[str]], right: set[str], hints: dict[str, str]) -> None:
    """Expect the set of letters `right`; `hints` has an entry for every letter on offer."""
    answer = call(function)
    if isinstance(answer, str) or not isinstance(answer, set | list | tuple | frozenset):
        raise Mistake(f"return a set of letters such as {{'A', 'E'}}, not {short(answer)}.")
    given = {str(letter).upper() for letter in answer}
    if unknown := given - set(hints):
        raise Mistake(f"{sorted(unknown)} is not among the statements {', '.join(hints)}.")
    for letter in sorted(given ^ right):
        kind = "is not a flaw" if letter in given else "is missing"
        raise Mistake(f"{letter} {kind}: {hints[letter]}")


def passed(what: str) -> None:
    """Tell the learner that the checks of an exercise passed."""
    print(f"Passed: {what}")


def short(value: Any) -> str:
    """`value` as it stands in a hint: a function by its name, the rest in 60 characters at most."""
    if isfunction(value):
        return value.__name__
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
