"""From wrong answers to the one hint that says most of what is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lrlib.exercises._base import Mistake
from lrlib.exercises._calls import apart, short
from lrlib.exercises.declared import RAISED, REFUSED, Exercise, Hint, Outcome, cause_of
from lrlib.exercises.relations import NUMBERS, SAID, Pair, related, same


@dataclass(frozen=True)
class Answers:
    """What the learner's function gave in some of the cases, and what is right."""

    exercise: Exercise
    function: Any
    cases: Sequence[tuple[Any, ...]]
    given: list[Outcome]
    wanted: list[Outcome]

    def failed(self, part: str) -> list[int]:
        """The cases in which this part of the answer is not right."""
        return [i for i in range(len(self.cases)) if self._fails(i, part)]

    def _fails(self, i: int, part: str) -> bool:
        given, wanted = self.given[i], self.wanted[i]
        if REFUSED in wanted:  # any ValueError refuses
            refused = RAISED in given and isinstance(cause_of(given[RAISED]), ValueError)
            return part == REFUSED and not refused
        if RAISED in given or part == RAISED:
            return part == RAISED and RAISED in given
        return part in wanted and not self.agree(given, wanted, part)

    def agree(self, a: Outcome, b: Outcome, part: str) -> bool:
        """Whether two outcomes have the same part; of what should be refused, whether all is."""
        if part == REFUSED:
            return all(self.agree(a, b, name) for name in {*a, *b} - {REFUSED})
        if part not in a or part not in b:
            return part not in a and part not in b
        if part != RAISED:
            return same(a[part], b[part], self.exercise.rel, self.exercise.atol)
        x, y = cause_of(a[RAISED]), cause_of(b[RAISED])
        return type(x) is type(y) and str(x) == str(y)

    def places(self, parts: Sequence[str] | None = None) -> dict[str, list[int]]:
        """The failed cases of every part: what comes first, first; what to refuse, last."""
        every = dict.fromkeys(name for outcome in self.wanted for name in outcome)
        names = [RAISED, *(name for name in every if parts is None or name in parts), REFUSED]
        found = {name: failed for name in names if (failed := self.failed(name))}
        order = {name: (name == REFUSED, found[name][0], names.index(name)) for name in found}
        return {name: found[name] for name in sorted(found, key=order.__getitem__)}


def verdict(answers: Answers, places: dict[str, list[int]]) -> Mistake:
    """The hint to what is wrong with the first part of the answers in `places`."""
    part, failed = next(iter(places.items()))
    rows = list(_rows(answers, places))
    best = max(rows, key=lambda row: (len(row.explained.get(part, ())), *row.score), default=None)
    if best is not None and best.explained.get(part) == failed:
        return _told(answers, part, failed[0], best.hint, f"row {best.number}")
    if part == RAISED:
        return answers.given[failed[0]][RAISED]  # a Mistake, which says all
    if part == REFUSED:
        return _not_refused(answers, failed[0])
    for find in (_own_words, _exchanged, _remembered, _unused, _relation, _composed):
        if found := find(answers, part, failed, rows):
            return _told(answers, part, failed[0], *found)
    if best is not None and 2 * len(best.explained.get(part, ())) > len(failed):
        return _told(answers, part, best.explained[part][0], best.hint, f"row {best.number}")
    return _difference(answers, part, failed)


@dataclass(frozen=True)
class _Row:
    """A function of a row of the table, against the answers."""

    number: int
    hint: Hint
    outcomes: list[Outcome]
    explained: dict[str, list[int]]  # of each part, the failed cases where it gives what was given
    score: tuple[int, int, int]


def _rows(answers: Answers, places: dict[str, list[int]]) -> Iterator[_Row]:
    made, first = answers.exercise, next(iter(places))
    for number_, (hint, *functions) in enumerate(made.wrong):
        for function in functions:
            outcomes = [made.of_a_row(function, i) for i in range(len(answers.cases))]
            pairs = list(zip(answers.given, outcomes, strict=True))
            explained = {
                part: [i for i in failed if answers.agree(*pairs[i], part)]
                for part, failed in places.items()
            }
            # Among those that explain as much: who is right where the learner is right.
            alike = sum(all(answers.agree(a, b, name) for name in {*a, *b}) for a, b in pairs)
            if alike < len(pairs):  # many a wrong function does not refuse
                explained.pop(REFUSED, None)
            most = sum(map(len, explained.values()))
            # A hint is to the first part in which its function is wrong.
            before = [list(wanted)[: [*wanted, first].index(first)] for wanted in answers.wanted]
            if not all(answers.agree(*pairs[i], name) for i in places[first] for name in before[i]):
                explained.pop(first, None)
            yield _Row(number_, hint, outcomes, explained, (most, alike, -number_))


def _pairs(answers: Answers, part: str, failed: list[int], other: list[Outcome]) -> list[Pair]:
    inputs = [answers.exercise.inputs(case) for case in answers.cases]
    return [Pair(answers.given[i][part], other[i].get(part), inputs[i]) for i in failed]


Found = tuple[Hint, str] | None


def _key(name: str, fill: Mapping[str, Any]) -> str:
    """With the input that is in it, such as "divided peak"."""
    return f"{name} {fill['name']}" if "name" in fill else name


def _said(words: Mapping[str, str], name: str, fill: Mapping[str, Any]) -> str:
    text = words.get(_key(name, fill)) or words.get(name, SAID[name])
    return text.format(**fill) if fill else text


def _literal(text: str) -> Hint:
    """A hint that is said as it is."""
    return lambda *_: text


def _own_words(answers: Answers, part: str, failed: list[int], _: Any) -> Found:
    """The first relation to the right answer that the exercise has words for."""
    words = answers.exercise.words(part)
    for name, fill in related(_pairs(answers, part, failed, answers.wanted)):
        if {name, _key(name, fill)} & set(words):
            return _literal(_said(words, name, fill)), name
    return None


def _relation(answers: Answers, part: str, failed: list[int], _: Any) -> Found:
    """The first relation to the right answer, after the first place that shows it."""
    for name, fill in related(_pairs(answers, part, failed, answers.wanted)):
        return _literal(_beside(answers, part, failed, _said({}, name, fill))), name
    return None


def _beside(answers: Answers, part: str, failed: list[int], text: str) -> str:
    return f"{_place(answers, part, failed[0])} {text[0].upper()}{text[1:]}"


def _exchanged(answers: Answers, part: str, failed: list[int], _: Any) -> Found:
    parts = [name for name in answers.wanted[failed[0]] if name != part]
    for other in parts:
        if all(
            same(answers.given[i].get(x), answers.wanted[i].get(y))
            for i in failed
            for x, y in ((part, other), (other, part))
        ):
            return _literal(f"{part} and {other} have changed places."), "exchanged"
    return None


def _composed(answers: Answers, part: str, failed: list[int], rows: list[_Row]) -> Found:
    """The one row of which the answer is the early, negative, … version."""
    found: dict[int, tuple[Hint, str]] = {}
    for row in rows:
        if any(RAISED in row.outcomes[i] for i in failed) or all(
            answers.agree(row.outcomes[i], answers.wanted[i], part) for i in failed
        ):
            continue
        pairs = _pairs(answers, part, failed, row.outcomes)
        if sum(map(np.size, (pair.given for pair in pairs))) < 3:
            continue  # one or two numbers are always related somehow
        for name, fill in related(pairs, composed=True):
            besides = _said(answers.exercise.words(part), name, fill)
            hint = _with(row.hint, f" And besides, {besides}")
            found.setdefault(row.number, (hint, f"row {row.number} {name}"))
    return next(iter(found.values())) if len(found) == 1 else None


def _with(hint: Hint, more: str) -> Hint:
    if callable(hint):
        return lambda *case: hint(*case) + more
    return hint + more.replace("{", "{{").replace("}", "}}")


def _remembered(answers: Answers, part: str, failed: list[int], _: Any) -> Found:
    """Whether all that is wrong was right in a case before, as where answers are kept."""
    for i in failed:
        given, wanted = np.asarray(answers.given[i][part]), np.asarray(answers.wanted[i].get(part))
        wrong = given != wanted if given.shape == wanted.shape else np.zeros(0)
        before = [np.asarray(answers.wanted[j].get(part)) for j in range(i)]
        if given.dtype.kind not in "fi" or not given.ndim or not np.any(wrong):
            return None
        for k in np.flatnonzero(wrong):
            kept = [b[k] for b in before if b.ndim == 1 and k < b.size and b.dtype.kind in "fi"]
            if not any(same(float(given[k]), float(value)) for value in kept):
                return None
    text = (
        "it gives again what was right in a call before, with other arguments. Does it keep "
        "answers from call to call?"
    )
    return _literal(_beside(answers, part, failed, text)), "remembered"


def _unused(answers: Answers, part: str, failed: list[int], _: Any) -> Found:
    """The argument whose change changes the right answer, and never the learner's."""
    made, cases = answers.exercise, answers.cases
    given = [outcome.get(part) for outcome in answers.given]
    if not any(np.any(value) for value in given):
        return None  # 0, whatever the reason
    if not all(
        np.isfinite(value).all() for value in given if isinstance(value, NUMBERS | np.ndarray)
    ):
        return None
    if isinstance(given[0], NUMBERS) and given.count(given[0]) == len(given) > 1:
        text = "your answer is the same in all cases, whatever the arguments."
        return _literal(_beside(answers, part, failed, text)), "same everywhere"
    for k, name in enumerate(made.inputs(cases[0]) if len(cases) > 1 else ()):
        if name.startswith("_"):
            continue
        tried = 0
        for i, case in enumerate(cases):
            value = cases[(i + 1) % len(cases)][k]
            if (
                name.startswith("_")  # not shown, and perhaps not an argument
                or not isinstance(value, NUMBERS | str)
                or value == case[k]
                or RAISED in answers.given[i]
            ):
                continue
            changed = (*case[:k], value, *case[k + 1 :])
            right = made.expected(changed)
            # Of one shape, and different: else a change of it would show in the shape alone.
            if np.shape(right.get(part)) != np.shape(answers.wanted[i].get(part)):
                continue
            if part not in right or answers.agree(right, answers.wanted[i], part):
                continue
            if not answers.agree(made.learners(answers.function, changed), answers.given[i], part):
                break
            tried += 1
        else:
            if tried > 1:
                text = f"your answer does not depend on {name}: is it used?"
                return _literal(_beside(answers, part, failed, text)), "unused"
    return None


# --------------------------------------------------------------------------------------
# From a verdict to words


def _told(answers: Answers, part: str, i: int, hint: Hint, named: str) -> Mistake:
    """A hint with the case that shows it, and what `named` it: a row or a relation."""
    made, case = answers.exercise, answers.cases[i]
    error = answers.given[i].get(RAISED)
    if callable(hint):
        text = hint(*case)
    else:
        text = hint.format(**made.inputs(case), given=_shown(answers, part, i))
    if error is None:
        mistake = Mistake(f"{made.where(case)}{text}")
    elif (cause := cause_of(error)) is error:
        mistake = Mistake(text)
    else:
        mistake = Mistake(f"{error}: {text}")
        mistake.__cause__ = cause
    mistake.named = named
    return mistake


def _shown(answers: Answers, part: str, i: int) -> str:
    value = answers.given[i].get(part)
    if isinstance(value, float) and isinstance(right := answers.wanted[i].get(part), float):
        return apart(value, right)[0]
    return short(value.tolist() if isinstance(value, np.ndarray) else value)


def _not_refused(answers: Answers, i: int) -> Mistake:
    """The hint where a ValueError is due."""
    given, why = answers.given[i], answers.wanted[i][REFUSED]
    where = answers.exercise.where(answers.cases[i])
    if RAISED not in given:
        shown = _shown(answers, next(iter(given)), i)
        mistake = Mistake(
            f"{where}{why}, yet you returned {shown}: raise a ValueError that says so."
        )
    elif isinstance(cause := cause_of(given[RAISED]), Mistake):
        if "returned None" not in str(cause):
            return cause
        mistake = Mistake(f"{where}{why}, yet you returned None: raise a ValueError that says so.")
    else:
        mistake = Mistake(f"{where}{why}: raise ValueError, not {type(cause).__name__}.")
        mistake.__cause__ = cause
    mistake.named = "refusal"
    return mistake


def _difference(answers: Answers, part: str, failed: list[int]) -> Mistake:
    """The first place that differs."""
    made, i = answers.exercise, failed[0]
    text = made.where(answers.cases[i]) + _place(answers, part, i)
    wrong = {k for places in answers.places().values() for k in places}
    if right := len(answers.cases) - len(wrong):
        text += f" ({right} of the {len(answers.cases)} {made.noun}s that are checked are right.)"
    return Mistake(text)


def _place(answers: Answers, part: str, i: int) -> str:
    """What is given and wanted at the first place of a case that differs."""
    made, given, wanted = answers.exercise, answers.given[i][part], answers.wanted[i][part]
    own = made.differs.get(part, "") if isinstance(made.differs, Mapping) else made.differs
    own = own(*answers.cases[i]) if callable(own) else own
    what = f"{part}: " if part else ""
    fill = {**made.inputs(answers.cases[i]), "i": "", "part": part}
    usual, before = "you returned {given}, and {wanted} is right.", ""
    if np.shape(given) != np.shape(wanted) and isinstance(wanted, np.ndarray):
        return f"{what}you have shape {np.shape(given)}, and {np.shape(wanted)} is right."
    if isinstance(wanted, np.ndarray):
        flat = list(zip(np.ravel(given), np.ravel(wanted), strict=True))
        k = next((k for k, pair in enumerate(flat) if not same(*pair)), 0)
        given, wanted = (value.item() for value in flat[k])
        index = np.unravel_index(k, np.shape(answers.wanted[i][part]))
        fill["i"] = k if len(index) == 1 else tuple(map(int, index))
        usual = "at {i} you have {given}, and {wanted} is right."
        before = " Up to there all is right." if len(index) == 1 and k > 1 else ""
    if isinstance(given, NUMBERS) and isinstance(wanted, float):
        fill["given"], fill["wanted"] = apart(float(given), float(wanted))
    else:
        fill["given"], fill["wanted"] = short(given), short(wanted)
    text = (own or what + usual).format(**fill) + before
    if isinstance(given, float) and not np.isfinite(given):
        text += f" That is no finite number: {NOT_FINITE}"
    return text


NOT_FINITE = (
    "where is a 0 divided by, or the logarithm or root taken of a number that is not positive?"
)
