"""An exercise: its cases, the right answer as a function, and one table of likely mistakes.

A row of the table is a hint, and the functions that learners with this mistake would write. The
checker reads all cases, and takes the row that gives the learner's answers where they are wrong;
without one, it looks for a relation to the right answer, or shows the first place that differs.
The table is the test as well: tests/test_exercises_tables.py gives every one of its functions to
the checker, and expects its hint.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from lrlib.exercises._base import Mistake, checker, passed, seal
from lrlib.exercises._calls import apart, expect_far, letters, short
from lrlib.exercises.reading import Ask, Reader, number
from lrlib.exercises.relations import NUMBERS, REL, SAID, Pair, close, related, same

RAISED = "raised"  # the part of an outcome that is an exception
Outcome = dict[str, Any]
Hint = str | Callable[..., str]


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """What `exercise` was told of it."""

    right: Callable[..., Any]
    cases: Sequence[tuple[Any, ...]]
    passed: str | Callable[[list[Outcome]], str]
    read: Reader = number
    wrong: Sequence[tuple[Any, ...]] = ()  # rows of a hint and functions
    names: Sequence[str] = ()  # of a case's entries; one that begins with _ is not shown
    say: Mapping[str, str] = field(default_factory=dict)  # instead of those of relations.SAID
    differs: str = ""  # of {i}, {given} and {wanted}, and the inputs by name
    rel: float = REL
    far: Sequence[tuple[Any, ...]] = ()  # arguments late in a long run
    noun: str = "call"  # what a case is: a call, a run
    doc: str = ""

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

    def learners(self, function: Any, case: tuple[Any, ...]) -> Outcome:
        """What the learner's function gives; what ends a check is raised."""
        try:
            return self._read(Ask(function, guarded=True), case)
        except Mistake as error:
            if not isinstance(_cause(error), Exception):  # a loop without end, an exit
                raise
            return {RAISED: error}

    def _read(self, ask: Ask, case: tuple[Any, ...]) -> Outcome:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # numpy's and torch's: the hint is ours
            value = self.read(ask, *case)
        return value if isinstance(value, dict) else {"": value}


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
        passed(made.passed if isinstance(made.passed, str) else made.passed(outcomes))

    check.__doc__, check.__module__ = doc, made.right.__module__
    guarded = checker(*([rules_out] if isinstance(rules_out, str) else rules_out))(check)
    guarded.exercise = made  # type: ignore[attr-defined]
    return guarded


def flaws(doc: str, *, right: Callable[[], set[str]], hints: dict[str, str], passed: str) -> Any:
    """A checker of the letters of the statements that are true; `hints` has one for each."""
    say = passed

    def check(function: Any) -> None:
        letters(function, right(), hints)
        _passed(say)

    check.__doc__, check.__module__ = doc, right.__module__
    guarded = checker()(check)
    guarded.flaws = (right, hints)  # type: ignore[attr-defined]
    return guarded


_passed = passed  # which `flaws` has as the name of an argument


# --------------------------------------------------------------------------------------
# From answers to a verdict


@dataclass(frozen=True)
class _Answers:
    """What the learner's function gave in all cases, and what is right."""

    exercise: Exercise
    function: Any
    given: list[Outcome]
    wanted: list[Outcome]

    def failed(self, part: str) -> list[int]:
        """The cases in which this part of the answer is not right."""
        return [
            i for i, (a, b) in enumerate(zip(self.given, self.wanted, strict=True))
            if (part == RAISED or not (RAISED in a or RAISED in b))
            and not self.agree(a, b, part, right=True)
        ]  # fmt: skip

    def agree(self, a: Outcome, b: Outcome, part: str, right: bool = False) -> bool:
        if part not in a or part not in b:
            return part not in a and part not in b
        if part != RAISED:
            return same(a[part], b[part], self.exercise.rel)
        x, y = _cause(a[RAISED]), _cause(b[RAISED])
        if right:  # any ValueError refuses
            return isinstance(x, type(y)) and not isinstance(x, Mistake)
        return type(x) is type(y) and str(x) == str(y)


def _cause(error: BaseException) -> BaseException:
    """What a learner's function raised; or the Mistake itself, if it raised nothing."""
    return error.__cause__ if isinstance(error, Mistake) and error.__cause__ else error


def _expect(made: Exercise, function: Any, part: str | Sequence[str] | None) -> list[Outcome]:
    """Raise the Mistake that says most of what is wrong with `function`, if anything is."""
    wanted = [made.outcome(made.right, case) for case in made.cases]
    given: list[Outcome] = []
    for i, case in enumerate(made.cases):
        given.append(made.learners(function, case))
        if not i:
            _expect_same_again(made, function, given[0], wanted[0])
    answers = _Answers(made, function, given, wanted)
    asked = (part,) if isinstance(part, str) else part
    every = list(dict.fromkeys(name for outcome in wanted for name in outcome if name != RAISED))
    for name in (RAISED, *(name for name in every if asked is None or name in asked)):
        if failed := answers.failed(name):
            raise _verdict(answers, name, failed, every)
    for arguments in made.far:
        expect_far(function, lambda t, rest=arguments[1:]: made.right(t, *rest), *_split(arguments))
    return given


def _split(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    return (arguments[0],), *arguments[1:]


def _expect_same_again(made: Exercise, function: Any, given: Outcome, wanted: Outcome) -> None:
    """Ask for the first case once more, if it was right."""
    first = _Answers(made, function, [given], [wanted])
    if any(first.failed(name) for name in (RAISED, *wanted)):
        return
    again = _Answers(made, function, [made.learners(function, made.cases[0])], [wanted])
    for name in (RAISED, *wanted):
        if again.failed(name):
            error = _verdict(again, name, [0], list(wanted))
            raise Mistake(
                f"your first {made.noun} was right and a second one, the same again, was not. "
                f"Something outlives the {made.noun}: make all that it needs inside your function. "
                f"({error})"
            ) from error.__cause__


def _verdict(answers: _Answers, part: str, failed: list[int], every: list[str]) -> Mistake:
    """The hint to what is wrong with one part of the answer, in the cases that `failed`."""
    made = answers.exercise
    rows = list(_rows(answers, part, failed))
    best = max(rows, key=lambda row: row.score, default=None)
    whole = best is not None and len(best.explained) == len(failed)
    if best is not None and whole:
        return _told(answers, part, best.explained[0], best.hint, f"row {best.number}")
    if part != RAISED:
        found = _relation(answers, part, failed) or _exchanged(answers, part, failed, every)
        found = found or _composed(answers, part, failed, rows) or _unused(answers, part)
        if found:
            return _told(answers, part, failed[0], *found)
    if best is not None and 2 * len(best.explained) > len(failed):
        return _told(answers, part, best.explained[0], best.hint, f"row {best.number}")
    return _difference(answers, part, failed) if part != RAISED else _raised(answers, failed[0])


@dataclass(frozen=True)
class _Row:
    """A row of the table against the answers; the best function of it."""

    number: int
    hint: Hint
    outcomes: list[Outcome]
    explained: list[int]  # the failed cases in which it gives what was given
    score: tuple[int, int, int]


def _rows(answers: _Answers, part: str, failed: list[int]) -> Iterator[_Row]:
    made = answers.exercise
    for number_, (hint, *functions) in enumerate(made.wrong):
        for function in functions:
            outcomes = [made.outcome(function, case) for case in made.cases]
            pairs = list(zip(answers.given, outcomes, strict=True))
            explained = [i for i in failed if answers.agree(*pairs[i], part)]
            # Among those that explain as much: who is right where the learner is right.
            alike = sum(all(answers.agree(a, b, name) for name in {*a, *b}) for a, b in pairs)
            yield _Row(number_, hint, outcomes, explained, (len(explained), alike, -number_))


def _pairs(answers: _Answers, part: str, failed: list[int], other: list[Outcome]) -> list[Pair]:
    made = answers.exercise
    return [
        Pair(answers.given[i][part], other[i].get(part), made.inputs(made.cases[i])) for i in failed
    ]


Found = tuple[Hint, str] | None


def _said(made: Exercise, name: str, fill: Mapping[str, Any]) -> str:
    text = made.say.get(name, SAID[name])
    return text.format(**fill) if fill else text


def _relation(answers: _Answers, part: str, failed: list[int]) -> Found:
    for name, fill in related(_pairs(answers, part, failed, answers.wanted)):
        return _literal(_said(answers.exercise, name, fill)), name
    return None


def _literal(text: str) -> Hint:
    """A hint that is said as it is."""
    return lambda *_: text


def _exchanged(answers: _Answers, part: str, failed: list[int], every: list[str]) -> Found:
    for a, b in combinations(every, 2):
        if part in (a, b) and all(
            same(answers.given[i].get(x), answers.wanted[i].get(y))
            for i in failed
            for x, y in ((a, b), (b, a))
        ):
            return _literal(f"{a} and {b} have changed places."), "exchanged"
    return None


def _composed(answers: _Answers, part: str, failed: list[int], rows: list[_Row]) -> Found:
    """The one row of which the answer is the early, negative, … version."""
    found: dict[int, tuple[Hint, str]] = {}
    for row in rows:
        if any(RAISED in row.outcomes[i] for i in failed) or all(
            answers.agree(row.outcomes[i], answers.wanted[i], part) for i in failed
        ):
            continue
        pairs = _pairs(answers, part, failed, row.outcomes)
        for name, fill in related(pairs, composed=True):
            besides = _said(answers.exercise, name, fill)
            hint = _with(row.hint, f" And besides, {besides}")
            found.setdefault(row.number, (hint, f"row {row.number} {name}"))
    return next(iter(found.values())) if len(found) == 1 else None


def _with(hint: Hint, more: str) -> Hint:
    if callable(hint):
        return lambda *case: hint(*case) + more
    return hint + more.replace("{", "{{").replace("}", "}}")


def _unused(answers: _Answers, part: str) -> Found:
    """The argument whose change changes the right answer, and never the learner's."""
    made, cases = answers.exercise, answers.exercise.cases
    if len(cases) < 2 or not cases[0]:
        return None
    for k, name in enumerate(made.inputs(cases[0])):
        tried = 0
        for i, case in enumerate(cases):
            value = cases[(i + 1) % len(cases)][k]
            if not isinstance(value, NUMBERS | str) or value == case[k]:
                continue
            changed = (*case[:k], value, *case[k + 1 :])
            right = made.outcome(made.right, changed)
            if RAISED in right or RAISED in answers.given[i]:
                continue
            if not _differ(right.get(part), answers.wanted[i].get(part)):
                continue
            if not answers.agree(made.learners(answers.function, changed), answers.given[i], part):
                break
            tried += 1
        else:
            if tried > 1:
                return _literal(f"your answer does not depend on {name}. Is it used?"), "unused"
    return None


def _differ(a: Any, b: Any) -> bool:
    """Of one shape, and different: else a change of it would show in the shape alone."""
    return np.shape(a) == np.shape(b) and not same(a, b)


# --------------------------------------------------------------------------------------
# From a verdict to words


def _told(answers: _Answers, part: str, i: int, hint: Hint, named: str) -> Mistake:
    """A hint with the case that shows it, and what `named` it: a row or a relation."""
    made, case = answers.exercise, answers.exercise.cases[i]
    error = answers.given[i].get(RAISED) if part == RAISED else None
    if callable(hint):
        text = hint(*case)
    else:
        text = hint.format(**made.inputs(case), given=_shown(answers, part, i))
    if error is not None and isinstance(_cause(error), Mistake):
        mistake = Mistake(text)
    elif error is not None:
        mistake = Mistake(f"{error}: {text}")
        mistake.__cause__ = _cause(error)
    else:
        mistake = Mistake(f"{made.where(case)}{text}")
    mistake.named = named
    return mistake


def _shown(answers: _Answers, part: str, i: int) -> str:
    value = answers.given[i].get(part)
    if isinstance(value, float) and isinstance(right := answers.wanted[i].get(part), float):
        return apart(value, right)[0]
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return short(value)


def _raised(answers: _Answers, i: int) -> Mistake:
    given, wanted = answers.given[i].get(RAISED), answers.wanted[i].get(RAISED)
    if wanted is None:
        return given  # a Mistake, which says all
    where = answers.exercise.where(answers.exercise.cases[i])
    if given is None:
        mistake = Mistake(
            f"{where}{wanted}, yet you returned {_shown(answers, next(iter(answers.given[i])), i)}: "
            f"raise a ValueError that says so."
        )
    elif isinstance(cause := _cause(given), Mistake):
        return given
    else:
        mistake = Mistake(f"{where}{wanted}: raise ValueError, not {type(cause).__name__}.")
        mistake.__cause__ = cause
    mistake.named = "refusal"
    return mistake


def _difference(answers: _Answers, part: str, failed: list[int]) -> Mistake:
    """The first place that differs."""
    made, i = answers.exercise, failed[0]
    given, wanted = answers.given[i][part], answers.wanted[i][part]
    fill: dict[str, Any] = {**made.inputs(made.cases[i]), "i": "", "part": part}
    before = ""
    if isinstance(wanted, np.ndarray | tuple | list) and len(wanted):
        if np.shape(given) != np.shape(wanted):
            text = (
                f"{part} of shape {np.shape(given)} came, and shape {np.shape(wanted)} is right."
                if isinstance(wanted, np.ndarray)
                else f"your answer is {short(given)}, and {short(wanted)} is right."
            )
            return Mistake(made.where(made.cases[i]) + text.strip())
        flat = list(zip(np.ravel(given), np.ravel(wanted), strict=True))
        k = next((k for k, (a, b) in enumerate(flat) if not close(a, b)), 0)
        given, wanted = (value.item() for value in flat[k])
        index = np.unravel_index(k, np.shape(answers.wanted[i][part]))
        fill["i"] = k if len(index) == 1 else tuple(map(int, index))
        before = " Up to there all is right." if len(index) == 1 and k > 1 else ""
    if isinstance(given, NUMBERS) and isinstance(wanted, float):
        fill["given"], fill["wanted"] = apart(float(given), float(wanted))
    else:
        fill["given"], fill["wanted"] = short(given), short(wanted)
    place = f"at {fill['i']} you have" if fill["i"] != "" else "you returned"
    usual = f"{f'{part}: ' if part else ''}{place} {{given}}, and {{wanted}} is right."
    text = (made.differs or usual).format(**fill) + before
    right = len(made.cases) - len(failed)
    if right:
        text += f" ({right} of the {len(made.cases)} {made.noun}s that are checked are right.)"
    if isinstance(given, NUMBERS) and not np.isfinite(given):
        text += (
            " Where is a 0 divided by, or the logarithm or root taken of a number that is not "
            "positive?"
        )
    return Mistake(made.where(made.cases[i]) + text)


seal(__name__)
