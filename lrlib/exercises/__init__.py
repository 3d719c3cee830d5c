"""Checkers for the exercises, one module for each chapter, named as the chapter is.

A checker takes the learner's own function, tests properties of what it returns, and says in words
what the likely mistake is. It raises NotAttempted for an untouched starter, Mistake for a wrong
answer, and prints one line when all is well.
"""

from lrlib.exercises._base import (
    Interrupted,
    Mistake,
    NotAttempted,
    checker,
    passed,
    seal,
)
from lrlib.exercises._calls import (
    Limit,
    among,
    apart,
    call,
    letters,
    name_of,
    run,
    sampled,
    short,
    stepped,
)
from lrlib.exercises.declared import Exercise
from lrlib.exercises.kit import exercise, flaws, rows
from lrlib.exercises.reading import (
    Ask,
    Like,
    array,
    number,
    over,
    over_a_run,
    parts,
    schedule,
    to_number,
    to_numbers,
    to_schedule,
    to_whole,
    whole,
)
from lrlib.exercises.relations import close

__all__ = [
    "Ask",
    "Exercise",
    "Interrupted",
    "Like",
    "Limit",
    "Mistake",
    "NotAttempted",
    "among",
    "apart",
    "array",
    "call",
    "checker",
    "close",
    "exercise",
    "flaws",
    "letters",
    "name_of",
    "number",
    "over",
    "over_a_run",
    "parts",
    "passed",
    "rows",
    "run",
    "sampled",
    "schedule",
    "seal",
    "short",
    "stepped",
    "to_number",
    "to_numbers",
    "to_schedule",
    "to_whole",
    "whole",
]

_KIT = ("_base", "_calls", "declared", "kit", "reading", "relations", "verdicts")
for _module in ("", *(f".{name}" for name in _KIT)):
    seal(__name__ + _module)
