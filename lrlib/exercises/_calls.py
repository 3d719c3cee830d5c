"""Calls of the learner's functions: whatever they do, the check goes on or ends with a hint."""

from __future__ import annotations

import importlib
import inspect
import math
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from inspect import isfunction
from typing import Any

import numpy as np

from lrlib.exercises._base import (
    Check,
    Endless,
    Mistake,
    NotAttempted,
    as_mistake,
    present,
)
from lrlib.schedule import Schedule

SECONDS = 10  # of computing, after which a call of the learner's function is taken for endless


def short(value: Any) -> str:
    """`value` as it stands in a hint: a function by its name, the rest in 60 characters at most."""
    if isfunction(value):
        return value.__name__
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def apart(a: float, b: float, digits: int = 4) -> tuple[str, str]:
    """Two numbers that differ, as they stand in a hint: with so many digits that one sees it."""
    while digits < 17 and f"{a:.{digits}g}" == f"{b:.{digits}g}":
        digits += 1
    return f"{a:.{digits}g}", f"{b:.{digits}g}"


# --------------------------------------------------------------------------------------
# Under guard


def run(function: Callable[..., Any], *args: Any) -> Any:
    """``function(*args)``, which may not go on for ever and cannot end the notebook.

    Raises what the function raises, `Endless` after `SECONDS` of computing, SystemExit for any way
    of leaving, and notes in the present check what the function used of what is ruled out.
    """
    with ExitStack() as guards:
        guards.enter_context(_time_limit())
        guards.enter_context(_no_exit())
        if present().rules_out:
            guards.enter_context(_watched_for(present()))
        return function(*args)


@contextmanager
def _time_limit() -> Iterator[None]:
    # The clock counts the time that the process computes, so that neither a debugger nor a busy
    # machine sets it off. Windows has no such clock, and other threads cannot set it.
    if (
        not hasattr(signal, "SIGVTALRM")
        or threading.current_thread() is not threading.main_thread()
    ):
        yield
        return

    def stop(*_: Any) -> None:
        raise Endless(
            f"after {SECONDS} s of computing your function had not come to an end. Is there a loop "
            f"that never ends?"
        )

    before = signal.signal(signal.SIGVTALRM, stop)
    # Every second again, for functions that catch all exceptions.
    rest = signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, *rest)
        signal.signal(signal.SIGVTALRM, before or signal.SIG_DFL)


@contextmanager
def _no_exit() -> Iterator[None]:
    """Let IPython's ``exit()`` raise SystemExit, as Python's does, and not end the kernel."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is None or "ask_exit" in vars(shell):
        yield
        return

    def leave(*_: Any) -> None:
        raise SystemExit

    shell.ask_exit = leave
    try:
        yield
    finally:
        del shell.ask_exit


@contextmanager
def _watched_for(check: Check) -> Iterator[None]:
    """Note in the check which functions are called of those that it rules out."""
    path = os.path.abspath(importlib.import_module(check.rules_out).__file__)
    own = os.path.dirname(os.path.abspath(__file__))
    if os.path.basename(path) == "__init__.py":
        path = os.path.dirname(path) + os.sep

    def note(frame: Any, event: str, _: Any) -> None:
        code = frame.f_code
        # The bodies of modules and classes, which an import runs, are not optimized.
        if event != "call" or not code.co_flags & inspect.CO_OPTIMIZED:
            return
        ours = code.co_filename.startswith(path) and not code.co_filename.startswith(own)
        if ours and code.co_qualname.startswith(check.name) and not check.used:
            check.used.append(code.co_qualname)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(before)


class Limit:
    """Counts the calls of something that the learner is given, and ends those that never end.

    ``limit()`` counts one, ``limit(n)`` n of them; after `most` it raises `Endless`, with `what`
    was called so often, such as "update()", in the hint.
    """

    def __init__(self, most: float, what: str) -> None:
        self.most, self.what, self.calls = most, what, 0

    def __call__(self, n: int = 1) -> None:
        self.calls += n
        if self.calls > self.most:
            raise Endless(
                f"your function has not come to an end after {self.most:,} {self.what}. Is there a "
                f"loop that never ends?"
            )

    def hook(self, *_: Any) -> None:
        """The same, as a hook of an optimizer."""
        self()


# --------------------------------------------------------------------------------------
# With a hint


def call(function: Callable[..., Any], *args: Any) -> Any:
    """The learner's answer for `args`; a crash or a missing return becomes a hint."""
    answer = _ask(function, *args)
    if answer is None:
        raise Mistake(f"{shown_call(function, args)} returned None. Is a 'return' missing?")
    return answer


def _ask(function: Callable[..., Any], *args: Any) -> Any:
    """The answer, None included; an exception becomes a hint."""
    if not callable(function):
        raise Mistake(
            f"a function is to be checked, and its name stands for {short(function)}. Was it given "
            f"to something else?"
        )
    kept = [copied(arg) for arg in args]
    try:
        answer = run(function, *args)
    except (KeyboardInterrupt, NotAttempted, Mistake):
        raise
    except BaseException as error:
        if isinstance(error, NotImplementedError) and not str(error):
            # Perhaps the starter of an earlier exercise, which this function calls.
            name = traceback.extract_tb(error.__traceback__)[-1].name
            raise NotAttempted(
                f"{name if name.isidentifier() else name_of(function)} is not attempted yet: "
                f"replace 'raise NotImplementedError' by your own code."
            ) from None
        # Shown as they were before the function had them.
        raise as_mistake(error, shown_call(function, kept)) from error
    _expect_kept(function, args, kept)
    return answer


def name_of(function: Callable[..., Any]) -> str:
    """Its name, as it stands in a hint."""
    return getattr(function, "__name__", short(function))


def shown_call(function: Callable[..., Any], args: Iterable[Any]) -> str:
    """A call as it stands in a hint."""
    return f"{name_of(function)}({', '.join(short(arg) for arg in args)})"


def copied(value: Any) -> Any:
    """A copy of a list, array or tensor of data; everything else as it is."""
    if isinstance(value, list):
        return [copied(entry) for entry in value]
    if isinstance(value, np.ndarray):
        return value.copy()
    if type(value).__module__ == "torch" and hasattr(value, "detach"):
        return value.detach().clone()
    return value


def _kept(now: Any, before: Any) -> bool:
    if isinstance(now, list):
        return len(now) == len(before) and all(map(_kept, now, before))
    if isinstance(now, np.ndarray):
        same = now.shape == before.shape and now.dtype == before.dtype
        return same and np.array_equal(now, before, equal_nan=now.dtype.kind in "fc")
    if type(now).__module__ == "torch" and hasattr(now, "detach"):
        return now.shape == before.shape and _kept(now.detach().numpy(), before.numpy())
    return now is before or (isinstance(now, int | float | str) and now == before)


def _expect_kept(function: Callable[..., Any], args: Sequence[Any], kept: list[Any]) -> None:
    """Raise Mistake if a list, array or tensor that the learner was given is another now."""
    for i, (now, before) in enumerate(zip(args, kept, strict=True)):
        if _kept(now, before):
            continue
        try:
            which = f"its argument {list(inspect.signature(function).parameters)[i]}"
        except (TypeError, ValueError, IndexError):
            which = f"its argument number {i + 1}"
        was, is_now = short(before), short(now)
        told = f": it was {was} before the call and is {is_now} after it" if was != is_now else ""
        raise Mistake(
            f"{name_of(function)} changes {which}{told}. Whoever calls your function goes on with "
            f"it: work on a copy, such as sorted(…) or ….copy()."
        )


def among(value: Any, options: Sequence[Any]) -> Any:
    """The entry of `options` that `value` is, but for the rounding of a float32; None if none."""
    for option in options:
        try:
            if math.isclose(float(value), option, rel_tol=1e-6):
                return option
        except (TypeError, ValueError, RuntimeError, OverflowError):
            return None
    return None


def sampled(shape: Schedule, steps: int) -> np.ndarray:
    """The factors of the learner's schedule, which may be of a class of their own."""
    try:
        return run(shape.sample, steps)
    except (KeyboardInterrupt, Mistake):
        raise
    except BaseException as error:
        raise as_mistake(error, "your schedule", " when it was sampled") from error


def stepped(scheduler: Any, what: str, when: str = "") -> None:
    """One ``scheduler.step()`` of the learner's; `what` raised something, and `when`, if it "
    "does."""
    try:
        run(scheduler.step)
    except (KeyboardInterrupt, Mistake):
        raise
    except BaseException as error:
        raise as_mistake(error, what, when) from error


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
