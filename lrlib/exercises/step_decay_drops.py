"""Checker of chapter 02's open exercise: the best two drops."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from lrlib.constant import Constant
from lrlib.exercises import Mistake, apart, checker, passed, sampled, schedule
from lrlib.lab.noisy_quadratic import NoisyQuadratic
from lrlib.schedule import Schedule


@checker()
def check_two_drops(two_drops: Callable[[], Schedule], steps: int = 300) -> None:
    """Exercise 4: exactly two drops, within 12 % of the optimum on the noisy quadratic."""
    answer = schedule(two_drops, example="MultiStepDecay((100, 200), 0.5)")
    factors = sampled(answer, steps)
    drops = changes(factors)
    if (np.diff(factors) > 0).any():
        t = int(np.argmax(np.diff(factors) > 0)) + 1
        raise Mistake(
            f"your schedule rises at step {t}. Two drops are asked for: what would a larger rate "
            f"late in the run do to the noise?"
        )
    if len(drops) > 2:
        raise Mistake(
            f"your schedule has {len(drops)} drops, the first at the steps {drops[:3]}. "
            f"Exactly two are asked for."
        )
    if len(drops) < 2:
        has = f"one drop, at step {drops[0]}," if drops else "no drop"
        raise Mistake(
            f"your schedule has {has} within the {steps} steps; two are asked for. Is a milestone "
            f"past the end of the run?"
        )
    if factors[-1] == 0:
        raise Mistake(
            f"your rate falls to 0 at step {drops[-1]}, and nothing happens after it. Divide it."
        )
    quadratic = NoisyQuadratic()
    best = quadratic.optimal(steps).loss
    peak, loss = quadratic.tune(answer, steps)
    if loss > 1.12 * best:
        raise Mistake(
            f"with its best peak, {peak:.3g}, your schedule ends at "
            f"{apart(loss / best, 1.12)[0]} times the best one found; 1.12 is asked for. "
            f"{_advice(quadratic, factors, drops)}"
        )
    passed(f"your two drops end at {loss / best:.3f} times the best one found (peak {peak:.3g}).")


def _advice(quadratic: NoisyQuadratic, factors: np.ndarray, milestones: list[int]) -> str:
    """What to change: of several small changes, the one that helps most."""
    steps = len(factors)
    first, second = milestones
    levels = factors[[0, first, second]] / factors[0]
    ratios = (levels[1], levels[2] / levels[1])
    for which, ratio in zip(("first", "second"), ratios, strict=True):
        if ratio > 0.85:
            return (
                f"Your {which} drop takes away {1 - ratio:.2g} of the rate, which is hardly a "
                f"drop. Divide by more there."
            )

    def loss(m1: int, m2: int, ratios: tuple[float, float]) -> float:
        if not 0 < m1 < m2 < steps:
            return np.inf
        a, b = ratios
        shape = Constant(1.0, m1).then(Constant(a, m2 - m1)).then(Constant(a * b))
        return quadratic.tune(shape, steps)[1]

    shift = 15
    late, early = "Each step at a low rate covers little ground.", "What noise is left at the end?"
    changed = {
        f"Your drops come too early. {late}": (first + shift, second + shift, ratios),
        f"Your drops come too late. {early}": (first - shift, second - shift, ratios),
        f"Your first drop comes too early. {late}": (first + shift, second, ratios),
        f"Your first drop comes too late. {early}": (first - shift, second, ratios),
        f"Your second drop comes too early. {late}": (first, second + shift, ratios),
        f"Your second drop comes too late. {early}": (first, second - shift, ratios),
        "Your rate falls too far at each drop. Divide by less.": (
            first,
            second,
            tuple(ratio**0.8 for ratio in ratios),
        ),
        "Your rate does not fall far enough at each drop. Divide by more.": (
            first,
            second,
            tuple(ratio**1.25 for ratio in ratios),
        ),
    }
    return min(changed, key=lambda hint: loss(*changed[hint]))


def changes(factors: np.ndarray) -> list[int]:
    """The steps whose factor is not that of the step before."""
    return [t for t, (a, b) in enumerate(pairwise(factors), start=1) if a != b]
