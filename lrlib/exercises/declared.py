"""What an exercise is, to the checker: what it was told of it, and what functions give for it."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lrlib.exercises._base import Mistake
from lrlib.exercises._calls import short
from lrlib.exercises.reading import Ask, Reader, number
from lrlib.exercises.relations import REL

RAISED, REFUSED = "raised", "refused"  # the part of an outcome that is an exception; to be one
Outcome = dict[str, Any]
Hint = str | Callable[..., str]


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """What `kit.exercise` is told."""

    right: Callable[..., Any]
    cases: Sequence[tuple[Any, ...]]
    passed: str | Callable[[list[Outcome]], str]
    read: Reader = number
    wrong: Sequence[tuple[Any, ...]] = ()  # rows of a hint and functions
    names: Sequence[str] = ()  # of a case's entries; one that begins with _ is not shown
    # What to say instead of relations.SAID; for each part, if there are parts.
    say: Mapping[str, Any] = field(default_factory=dict)
    # Of {i}, {given} and {wanted}, and the inputs by name; for each part, if there are parts.
    differs: Hint | Mapping[str, Hint] = ""
    rel: float = REL
    atol: float = 0.0
    far: Sequence[tuple[Any, ...]] = ()  # arguments late in a long run
    noun: str = "call"  # what a case is: a call, a run
    doc: str = ""
    # What the rows' functions give, by function and case: the same in every check.
    kept: dict[tuple[int, int], Outcome] = field(default_factory=dict, repr=False, compare=False)

    def inputs(self, case: tuple[Any, ...]) -> dict[str, Any]:
        """The entries of a case by name: that of the parameter of `right`, unless `names`."""
        names = self.names or list(inspect.signature(self.right).parameters)
        return dict(zip(names[len(names) - len(case) :], case, strict=True))

    def where(self, case: tuple[Any, ...]) -> str:
        shown = [
            f"{name}={value:g}" if isinstance(value, float) else f"{name}={short(value)}"
            for name, value in self.inputs(case).items()
            if not name.startswith("_")
        ]
        return f"with {', '.join(shown)}: " if shown else ""

    def outcome(self, function: Callable[..., Any], case: tuple[Any, ...]) -> Outcome:
        """What one of the checker's own functions gives."""
        try:
            return self._read(Ask(function, guarded=False), case)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # `Endless` is no Exception
            return {RAISED: error}

    def of_a_row(self, function: Callable[..., Any], i: int) -> Outcome:
        """What a function of the table gives in case `i`."""
        key = id(function), i  # the table holds the function, so that no other gets its id
        if key not in self.kept:
            self.kept[key] = self.outcome(function, self.cases[i])
        return self.kept[key]

    def expected(self, case: tuple[Any, ...]) -> Outcome:
        """What is right; a ValueError is to be raised where `right` raises one."""
        outcome = self.outcome(self.right, case)
        if error := outcome.get(RAISED):
            if not isinstance(error, ValueError):
                raise error
            return {REFUSED: error}
        return outcome

    def words(self, part: str) -> Mapping[str, str]:
        """How `say` puts the relations, of this part if it has parts."""
        if any(isinstance(value, Mapping) for value in self.say.values()):
            return self.say.get(part, {})
        return self.say

    def learners(self, function: Any, case: tuple[Any, ...]) -> Outcome:
        """What the learner's function gives; what ends a check is raised."""
        try:
            return self._read(Ask(function, guarded=True), case)
        except Mistake as error:
            if not isinstance(cause_of(error), Exception):  # a loop without end, an exit
                raise
            return {RAISED: error}

    def _read(self, ask: Ask, case: tuple[Any, ...]) -> Outcome:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # numpy's and torch's: the hint is ours
            value = self.read(ask, *case)
        return value if isinstance(value, dict) else {"": value}


def cause_of(error: BaseException) -> BaseException:
    """What a learner's function raised; or the Mistake itself, if it raised nothing."""
    return error.__cause__ if isinstance(error, Mistake) and error.__cause__ else error
