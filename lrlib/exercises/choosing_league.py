"""Checker of chapter 15's last exercise: a recipe against the line, in a league of two tasks."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np

from lrlib.exercises import Ask, Mistake, checker, passed, short, to_schedule
from lrlib.exponential_decay import PolynomialDecay
from lrlib.lab.noisy_quadratic import NoisyQuadratic
from lrlib.schedule import Schedule

LENGTHS, ENOUGH = (100, 1000), 0.98


@functools.cache
def _problem() -> NoisyQuadratic:
    return NoisyQuadratic()


@functools.cache
def _of_a_line(steps: int) -> float:
    return _problem().tune(PolynomialDecay(steps), steps)[1]


@checker()
def check_mine(mine: Callable[[int], Schedule]) -> None:
    """Exercise 5: ``mine(total_steps)``, a recipe that beats the line in a league of two tasks."""
    ask = Ask(mine, guarded=True)
    for steps in (10, 57, *LENGTHS):
        _expect_recipe(ask, steps)
    shapes = [
        to_schedule(ask(steps), ask.name, "PolynomialDecay(total_steps)") for steps in LENGTHS
    ]
    ratios = [
        _problem().tune(shape, steps)[1] / _of_a_line(steps)
        for shape, steps in zip(shapes, LENGTHS, strict=True)
    ]
    score = math.prod(ratios) ** (1 / len(ratios))
    shown = ", ".join(f"{r:.3f} in {n:,} steps" for r, n in zip(ratios, LENGTHS, strict=True))
    if score < ENOUGH:
        return passed(f"the final loss over the line's is {shown}; together {score:.3f}.")
    raise Mistake(
        f"the final loss over the line's is {shown}; together (the root of their product) "
        f"{score:.3f}, and below {ENOUGH} is asked for. {_advice(shapes, ratios)}"
    )


def _expect_recipe(ask: Ask, steps: int) -> None:
    shape = to_schedule(ask(steps), ask.name, "PolynomialDecay(total_steps)")
    factors = shape.sample(steps)
    if not (np.isfinite(factors).all() and factors.min() >= 0):
        raise Mistake(
            f"for {steps} steps {short(shape)} has factors that are negative or not finite."
        )
    if factors[0] == 0:
        raise Mistake(
            f"for {steps} steps the first factor is 0: an update is made that changes nothing. A "
            f"warm-up of n steps can begin at 1 / (n + 1)."
        )
    if not math.isclose(factors.max(), 1, rel_tol=1e-6):
        raise Mistake(
            f"for {steps} steps the highest factor is {factors.max():.3g}. The peak is the "
            f"optimizer's, and tuned for you; a shape reaches 1."
        )


def _advice(shapes: list[Schedule], ratios: list[float]) -> str:
    short_run, long_run = (shape.sample(n) for shape, n in zip(shapes, LENGTHS, strict=True))
    if np.array_equal(short_run, long_run[: len(short_run)]) and np.ptp(long_run):
        return "Your shape has a length of its own: both runs begin alike, step by step."
    idle = [float((x == 0).mean()) for x in (short_run, long_run)]
    if max(idle) > 0.05:
        return f"For {max(idle):.0%} of a run the rate is 0."
    if ratios[0] < ratios[1]:
        return "Noise limits the long run: there, more of it at a low rate pays."
    return "The short run has far to go: there, more of it at a high rate pays."
