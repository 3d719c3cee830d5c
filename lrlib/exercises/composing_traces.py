"""Checkers of chapter 12's last two exercises: six traces, and a schedule for a stated run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lrlib.exercises import Ask, Mistake, call, checker, exercise, name_of, passed, sampled, short
from lrlib.schedule import Schedule

# --- 4. Find the fault in six traces

CAUSES = dict(zip(range(1, 7), "DACFBE", strict=True))
_HINTS = {
    1: "compare it with what was meant, entry by entry. What is their ratio?",
    2: "what was meant is there, but how far along is the trace after four updates?",
    3: "where is it highest, and has the fall begun before? Its first four entries, over those of "
    "what was meant, are themselves a shape.",
    4: "until the border it rises half as fast as was meant, and then?",
    5: "it is what was meant, from another step on. Which entry is missing?",
    6: "one of the two shapes is there undamaged. Where has the other gone?",
}


def _letters(ask: Ask) -> dict[str, str]:
    answer = ask()
    if isinstance(answer, dict):
        answer = [answer.get(i, "?") for i in range(1, 7)]
    given = [str(letter).strip().upper() for letter in answer] if answer is not None else []
    if len(given) != 6 or not all(letter in set("ABCDEFGH?") and letter for letter in given):
        raise Mistake(
            f"{ask.name} should return six letters from A to H, one for each trace, such as "
            f'"ABCDEF", not {short(answer)}.'
        )
    return {f"trace {i}": letter for i, letter in enumerate(given, start=1)}


check_causes = exercise(
    "Exercise 4: ``causes()``, the fault behind each of six traces.",
    right=lambda: "".join(CAUSES.values()),
    cases=((),),
    read=_letters,
    wrong=(
        (
            "a trace of a scheduler that drives another optimizer is flat. None of the six is.",
            lambda: "GGGGGG",
        ),
        (
            "stepped once per epoch, the rate would stay the same through an epoch. No trace has "
            "such stairs.",
            lambda: "HHHHHH",
        ),
    ),
    differs={f"trace {i}": hint for i, hint in _HINTS.items()},
    passed="six faults, each found by what it leaves in the trace.",
)

# --- 5. A schedule for a stated run


@checker()
def check_plan(plan: Callable[[], Sequence[Schedule]]) -> None:
    """Exercise 5: shapes for the old layers and the new head of a run of 10,000 updates."""
    answer = call(plan)
    if not isinstance(answer, list | tuple) or len(answer) != 2:
        raise Mistake(
            f"{name_of(plan)} should return two Schedules, (old, head), not {short(answer)}."
        )
    for shape in answer:
        if not isinstance(shape, Schedule):
            raise Mistake(f"both should be Schedules, such as Warmup(500), not {short(shape)}.")
    old, head = (sampled(shape, 11_000) for shape in answer)
    for name, factors, top, start in (("head", head, 1.0, 0), ("old layers", old, 0.25, 1000)):
        _expect_part(name, factors, top, start)
    passed("the head first, then the rest at a quarter, both held and cooled down together.")


def _expect_part(name: str, factors: np.ndarray, top: float, start: int) -> None:
    """One of the two shapes: silent until `start`, at `top` 500 steps later, 0 from 10,000 on."""
    if start and factors[:start].any():
        t = int(np.argmax(factors[:start] > 0))
        raise Mistake(f"the {name} move at update {t}; until update {start} they are to rest.")
    if not start and factors[0] == 0:
        raise Mistake(f"the first update of the {name} has rate 0: it is wasted.")
    rise, held = factors[start : start + 501], factors[start + 500 : 8000]
    if abs(held - top).max() > 1e-9:
        t = start + 500 + int(np.argmax(abs(held - top) > 1e-9))
        raise Mistake(
            f"the {name} should be at {top} from step {start + 500} to step 7,999; at step {t} "
            f"they have {factors[t]:.5g}."
        )
    if (np.diff(rise) < 0).any():
        raise Mistake(f"the warm-up of the {name} falls on the way.")
    jumps = abs(np.diff(factors))
    if jumps.max() > 0.01 * top:
        t = int(jumps.argmax())
        raise Mistake(
            f"the {name} jump from {factors[t]:.3g} to {factors[t + 1]:.3g} at step {t + 1}. What "
            f"does the next shape begin with?"
        )
    if (np.diff(factors[8000:]) > 0).any():
        raise Mistake(f"after step 8,000 the {name} rise again.")
    if factors[10_000:].any():
        raise Mistake(
            f"at step 10,000 the {name} should be at 0 and stay there; they have "
            f"{factors[10_000]:.3g}."
        )
    if (factors[8001:10_000] == 0).any():
        t = 8001 + int(np.argmax(factors[8001:10_000] == 0))
        raise Mistake(f"the {name} are at 0 from step {t} on: those updates are wasted.")
