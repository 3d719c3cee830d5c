"""An exercise: its cases, the right answer as a function, and one table of likely mistakes.

A row of the table is a hint, and the functions that learners with this mistake would write. The
checker reads all cases, and takes the row that gives the learner's answers where they are wrong;
without one, it looks for a relation to the right answer, or shows the first place that differs.
The table is the test as well: tests/test_exercises_tables.py gives every one of its functions to
the checker, and expects its hint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lrlib.exercises import _base
from lrlib.exercises._base import Mistake, checker
from lrlib.exercises._calls import letters
from lrlib.exercises.declared import Exercise, Outcome
from lrlib.exercises.reading import expect_far
from lrlib.exercises.verdicts import Answers, verdict


def exercise(
    doc: str, *, rules_out: tuple[str, ...] | str = (), **told: Any
) -> Callable[..., None]:
    """A checker ``check(function, part=None)``. `told` are the fields of `Exercise`.

    With `part`, one name or several, only these parts of an answer are looked at, so that each can
    have points of its own. `rules_out` is what the text forbids to call: a module, or a module and
    a function in it.
    """
    made = Exercise(doc=doc, **told)

    def check(function: Any, part: str | Sequence[str] | None = None) -> None:
        outcomes = _expect(made, function, part)
        _base.passed(made.passed if isinstance(made.passed, str) else made.passed(outcomes))

    check.__doc__, check.__module__ = doc, made.right.__module__
    guarded = checker(*([rules_out] if isinstance(rules_out, str) else rules_out))(check)
    guarded.exercise = made  # type: ignore[attr-defined]
    return guarded


def rows(
    table: Mapping[str, Any], make: Callable[..., Any] = lambda wrong: wrong
) -> list[tuple[Any, ...]]:
    """The rows of a table of hints, each with one function or a list of them."""
    lists = [wrong if isinstance(wrong, list) else [wrong] for wrong in table.values()]
    return [(hint, *map(make, wrong)) for hint, wrong in zip(table, lists, strict=True)]


def flaws(doc: str, *, right: Callable[[], set[str]], hints: dict[str, str], passed: str) -> Any:
    """A checker of the letters of the statements that are true; `hints` has one for each."""

    def check(function: Any) -> None:
        letters(function, right(), hints)
        _base.passed(passed)

    check.__doc__, check.__module__ = doc, right.__module__
    guarded = checker()(check)
    guarded.flaws = (right, hints)  # type: ignore[attr-defined]
    return guarded


def _expect(made: Exercise, function: Any, part: str | Sequence[str] | None) -> list[Outcome]:
    """Raise the Mistake that says most of what is wrong with `function`, if anything is."""
    asked = (part,) if isinstance(part, str) else part
    wanted = [made.expected(case) for case in made.cases]
    given: list[Outcome] = []
    for i, case in enumerate(made.cases):
        given.append(made.learners(function, case))
        if not i:
            _expect_same_again(made, function, given[0], wanted[0], asked)
    answers = Answers(made, function, made.cases, given, wanted)
    if places := answers.places(asked):
        raise verdict(answers, places)
    for step, *rest in made.far:
        expect_far(function, lambda t, rest=rest: made.right(t, *rest), step, *rest)
    return given


def _expect_same_again(
    made: Exercise, function: Any, given: Outcome, wanted: Outcome, parts: Sequence[str] | None
) -> None:
    """Ask for the first case once more, if it was right."""
    cases = made.cases[:1]
    if Answers(made, function, cases, [given], [wanted]).places(parts):
        return
    again = Answers(made, function, cases, [made.learners(function, cases[0])], [wanted])
    if places := again.places(parts):
        error = verdict(again, places)
        raise Mistake(
            f"your first {made.noun} was right and a second one, the same again, was not. "
            f"Something outlives the {made.noun}: make all that it needs inside your function. "
            f"({error})"
        ) from error.__cause__
