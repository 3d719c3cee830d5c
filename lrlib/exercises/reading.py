"""Reading answers: what a learner's function returns, as a value that can be compared.

A reader is a function ``read(ask, *case)``. ``ask(*args)`` calls the function that is checked, or
one of the checker's own, with copies of its arguments. A reader returns a number, text, a tuple of
entries, an array over steps, or a dictionary of such parts by name; it raises Mistake for an
answer of another kind.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from lrlib.exercises._base import Mistake
from lrlib.exercises._calls import (
    apart,
    call,
    copied,
    name_of,
    run,
    sampled,
    short,
    shown_call,
)
from lrlib.schedule import Schedule

Reader = Callable[..., Any]


class Like(str):
    """What an answer is like, in a word. Equal words are the same; hints show `shown`."""

    def __new__(cls, word: str, shown: str = "") -> Like:
        made = super().__new__(cls, word)
        made.shown = shown or word
        return made

    def __repr__(self) -> str:
        return self.shown


class Ask:
    """Calls a function that is checked; or, without guard, one of the checker's own."""

    def __init__(self, function: Any, guarded: bool) -> None:
        self.function, self.guarded, self.name = function, guarded, name_of(function)

    def __call__(self, *args: Any) -> Any:
        args = tuple(map(copied, args))
        if not self.guarded:
            return self.function(*args)
        try:
            return call(self.function, *args)
        except Mistake as error:
            if "returned None" in str(error) and self._prints(args):
                raise Mistake(
                    f"{error} Your function prints its answer. Whoever calls it needs it returned."
                ) from None
            raise

    def _prints(self, args: tuple[Any, ...]) -> bool:
        with contextlib.redirect_stdout(io.StringIO()) as shown, contextlib.suppress(Exception):
            run(self.function, *map(copied, args))
        return bool(shown.getvalue().strip())


def _strange(answer: Any) -> str:
    """What may have gone wrong, if an answer is of no kind that was asked for."""
    if inspect.isgenerator(answer):
        return " It has a `yield`, so a call only makes a generator."
    if inspect.isfunction(answer) or inspect.isbuiltin(answer) or inspect.ismethod(answer):
        return " That is a function. Was it to be called?"
    if isinstance(answer, type):
        return " That is a class. Was one to be made of it?"
    if isinstance(answer, str):
        return " That is text."
    if isinstance(answer, tuple) and len(answer) == 1:
        return " A comma at the end of the line makes a tuple."
    if isinstance(answer, complex | np.complexfloating):
        return " A root of a negative number is complex."
    return ""


def to_number(answer: Any, name: str) -> float:
    """The answer of the function `name` as a float: infinite and NaN are let through."""
    try:
        if isinstance(answer, str):
            raise TypeError
        return float(answer)
    except OverflowError:  # an integer too large for a float
        return float("inf")
    except (TypeError, ValueError, RuntimeError):
        raise Mistake(
            f"{name} should return one number, but returned {short(answer)}.{_strange(answer)}"
        ) from None


def to_whole(answer: Any, name: str) -> int:
    """The answer as an int; a float is none, even if it is whole."""
    try:
        if isinstance(answer, bool):
            raise TypeError
        return operator.index(answer.item() if hasattr(answer, "item") else answer)
    except (TypeError, ValueError, RuntimeError):
        hint = _strange(answer) or " (math.ceil gives one; / gives a float.)"
        raise Mistake(
            f"{name} should return a whole number, an int, not {short(answer)}.{hint}"
        ) from None


def to_numbers(answer: Any, name: str, what: str = "an array of numbers") -> np.ndarray:
    """The answer as an array of floats, of any shape; `what` it should be, for the hint."""
    try:
        if isinstance(answer, str | dict | set | frozenset):
            raise TypeError
        if type(answer).__module__ == "torch" and hasattr(answer, "detach"):
            answer = answer.detach()
        return np.asarray(answer, dtype=float)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise Mistake(
            f"{name} should return {what}, not {short(answer)}.{_strange(answer)}"
        ) from None


def number(ask: Ask, *case: Any) -> float:
    """Reads one number."""
    return to_number(ask(*case), ask.name)


def whole(ask: Ask, *case: Any) -> int:
    """Reads one whole number, which is compared exactly."""
    return to_whole(ask(*case), ask.name)


def array(ask: Ask, *case: Any) -> np.ndarray:
    """Reads an array of numbers."""
    return to_numbers(ask(*case), ask.name)


def over(steps: Callable[..., Iterable[int]]) -> Reader:
    """Reads ``function(t, *case)`` at all ``steps(*case)``, forwards and backwards."""

    def read(ask: Ask, *case: Any) -> np.ndarray:
        ts = list(steps(*case))
        forward = [to_number(ask(t, *case), ask.name) for t in ts]
        backward = [to_number(ask(t, *case), ask.name) for t in reversed(ts)][::-1]
        for t, first, second in zip(ts, forward, backward, strict=True):
            if first != second and not (first != first and second != second):
                one, other = apart(first, second)
                raise Mistake(
                    f"asked twice for step {t}, your function gave {one} and then {other}: it "
                    f"remembers the calls before. Compute the factor from the arguments alone."
                )
        return np.array(forward)

    return read


def to_schedule(answer: Any, name: str, example: str) -> Schedule:
    """The answer, which should be a Schedule such as the `example`."""
    if not isinstance(answer, Schedule):
        raise Mistake(
            f"{name} should return a Schedule, such as {example}, not {short(answer)}."
            f"{_strange(answer)}"
        )
    return answer


def schedule(function: Callable[..., Any], *args: Any, example: str) -> Schedule:
    """The Schedule that a function of the learner's returns, such as the `example`."""
    return to_schedule(call(function, *args), name_of(function), example)


def over_a_run(steps: Callable[..., int], example: str) -> Reader:
    """Reads the factors of the Schedule that is returned, at the first ``steps(*case)`` steps."""

    def read(ask: Ask, *case: Any) -> np.ndarray:
        return sampled(to_schedule(ask(*case), ask.name, example), steps(*case))

    return read


def parts(**kinds: Callable[[Any, str], Any]) -> Reader:
    """Reads several answers in a tuple, list or dataclass, such as ``parts(lr=to_number)``."""

    def read(ask: Ask, *case: Any) -> dict[str, Any]:
        answer = ask(*case)
        if isinstance(answer, Mapping):
            answer = [answer.get(name) for name in kinds]
        elif all(hasattr(answer, name) for name in kinds):
            answer = [getattr(answer, name) for name in kinds]
        if not isinstance(answer, tuple | list | np.ndarray) or len(answer) != len(kinds):
            raise Mistake(
                f"return {len(kinds)} values, ({', '.join(kinds)}), not {short(answer)}."
                f"{_strange(answer)}"
            )
        return {
            name: kind(value, f"{ask.name}, for {name},")
            for (name, kind), value in zip(kinds.items(), answer, strict=True)
        }

    return read


def expect_far(
    function: Callable[..., Any], right: Callable[[int], float], t: int, *case: Any
) -> None:
    """``function(t, *case)`` late in a long run, where a call for each step before would fail."""
    answer, wanted = to_number(call(function, t, *case), name_of(function)), right(t)
    shown = shown_call(function, (t, *case))
    if not math.isfinite(answer):
        raise Mistake(f"{shown} returned {answer}, which is no finite number.")
    if not math.isclose(answer, wanted, rel_tol=1e-4, abs_tol=1e-4):
        given, rather = apart(answer, wanted)
        raise Mistake(
            f"{shown}, late in a long run, is {given}, and {rather} is right. What was asked about "
            f"earlier steps was right."
        )
