"""What a check tells the learner, and what keeps the checkers themselves out of sight and reach."""

from __future__ import annotations

import functools
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

_HERE = os.path.dirname(os.path.abspath(__file__))
_FRAMES = 8  # of the learner's code at most, in a traceback


class Told:
    """An exception that IPython shows as its message and the learner's own lines.

    The checker's lines would give answers away, and bury the hint.
    """

    def _render_traceback_(self) -> list[str]:
        lines = [f"{type(self).__name__}: {self}"]
        if frames := _learners_frames(self):
            lines += ["", "In your code:", *frames]
        return ["\n".join(lines)]


class Mistake(Told, AssertionError):
    """The answer is wrong; the message is the hint."""


class NotAttempted(Told, AssertionError):
    """The starter is untouched."""


class Interrupted(Told, KeyboardInterrupt):
    """The learner stopped a check."""


class Endless(BaseException):
    """Ends a call of the learner's function; no `except Exception` in it can hold this up."""


def _learners_frames(error: BaseException) -> list[str]:
    """The lines, outside the checkers, through which the first cause of `error` came."""
    cause = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    if cause is error or isinstance(cause, Mistake):
        return []
    frames = [
        frame
        for frame in traceback.extract_tb(cause.__traceback__)
        if os.path.dirname(os.path.abspath(frame.filename)) != _HERE
    ]
    if len(frames) > _FRAMES:
        frames = frames[: _FRAMES // 2] + frames[-_FRAMES // 2 :]
    shown = []
    for frame in frames:
        file = f"{frame.filename}, " if os.path.exists(frame.filename) else ""  # else a cell
        shown.append(f"  {file}line {frame.lineno}, in {frame.name}\n    {frame.line}")
    return shown


# --------------------------------------------------------------------------------------
# A check under way


@dataclass
class Check:
    rules_out: str = ""  # the module, or package, that the text of the exercise rules out
    name: str = ""  # the function in it; without one, all of it
    used: list[str] = field(default_factory=list)  # the first of it that the learner's called


_checks: list[Check] = []  # under way; a check may call another


def present() -> Check:
    """The check that is under way; outside of one, a check that rules nothing out."""
    return _checks[-1] if _checks else Check()


def checker(rules_out: str = "", name: str = "") -> Callable[[Callable], Callable]:
    """Make a function a checker: whatever goes wrong in it becomes a hint without its lines.

    `rules_out` is the module that the text of the exercise forbids to call, or lrlib itself, and
    `name` the function in it; without one, it is all of them.
    """

    def decorate(check: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(check)
        def guarded(*args: Any, **settings: Any) -> None:
            _checks.append(Check(rules_out, name))
            try:
                check(*args, **settings)
            except (Mistake, NotAttempted):
                raise
            except KeyboardInterrupt as error:
                raise Interrupted("the check was stopped.") from error
            except BaseException as error:
                raise as_mistake(error, "your code") from error
            finally:
                _checks.pop()

        seal(check.__module__)
        return guarded

    return decorate


def as_mistake(error: BaseException, what: str, when: str = "") -> Mistake:
    """The hint to an exception that came out of `what`, such as a call of the learner's."""
    if isinstance(error, Mistake):
        return error
    if isinstance(error, Endless):
        return Mistake(str(error))
    if isinstance(error, SystemExit):
        return Mistake(
            f"{what} wants to leave Python, by exit() or sys.exit(), which would end the "
            f"notebook. A function ends at `return`, or raises an exception."
        )
    hint = ""
    if isinstance(error, RecursionError):
        hint = (
            ". A function that calls itself once for every step, or every cycle, comes to Python's "
            "limit in a long run: use a loop, or a formula."
        )
    return Mistake(f"{what} raised {type(error).__name__}{when}: {error}{hint}")


def passed(what: str) -> None:
    """Tell the learner that the checks of an exercise passed, by the rules of its text."""
    check = present()
    if check.used:
        short = f"{check.used[0].removesuffix('.__post_init__')} of {check.rules_out}"
        raise Mistake(
            f"the answers are right, but your function calls {short}, which the text of the "
            f"exercise rules out. Write it yourself."
        )
    print(f"Passed: {what}")


# --------------------------------------------------------------------------------------
# Modules that stay as they are


class _Sealed(ModuleType):
    """A module whose names cannot be given another value from outside by accident or in passing.

    Whoever can run code in the process can still get round this; it takes intent.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        known = name in self.__dict__ and not name.startswith("__")
        if known and not isinstance(value, ModuleType):  # a package learns of its modules
            raise AttributeError(f"{self.__name__}.{name} belongs to the checks and stays as it is")
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{self.__name__}.{name} belongs to the checks and stays as it is")


def seal(module: str) -> None:
    """Let no name of the module be replaced from outside."""
    sys.modules[module].__class__ = _Sealed
