"""Checkers for the exercises, one module for each chapter, named as the chapter is.

A checker takes the learner's own function, tests properties of what it returns, and says in words
what the likely mistake is. It raises NotAttempted for an untouched starter, Mistake for a wrong
answer, and prints one line when all is well.
"""

from lrlib.exercises._base import (
    Interrupted,
    Mistake,
    NotAttempted,
    NotFinite,
    checker,
    passed,
    seal,
)
from lrlib.exercises._calls import (
    Limit,
    among,
    apart,
    ask_twice,
    call,
    close,
    expect_far,
    finite,
    letters,
    name_of,
    number,
    numbers,
    refused,
    run,
    same_rates,
    sampled,
    schedule,
    short,
    stepped,
)

__all__ = [
    "Interrupted",
    "Limit",
    "Mistake",
    "NotAttempted",
    "NotFinite",
    "among",
    "apart",
    "ask_twice",
    "call",
    "checker",
    "close",
    "expect_far",
    "finite",
    "letters",
    "name_of",
    "number",
    "numbers",
    "passed",
    "refused",
    "run",
    "same_rates",
    "sampled",
    "schedule",
    "short",
    "stepped",
]

for _module in ("", "._base", "._calls"):
    seal(__name__ + _module)
