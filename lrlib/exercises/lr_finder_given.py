"""What the sheet of chapter 09 hands out: range tests, of which the right answer is known."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from lrlib.exercises import seal
from lrlib.lab.noisy_quadratic import NoisyQuadratic


@dataclass(frozen=True, repr=False)
class Curve:
    """A made-up range test: it falls as a logistic function of log10(rate), and blows up.

    The fall is steepest per decade at 10**`middle`; `width` is its scale in decades. Past
    10**`wall` the loss climbs, and with `again` falls back to where it began, steeply.
    """

    middle: float
    width: float
    wall: float
    noise: float = 0.0  # in shares of the fall
    again: bool = False
    gaps: tuple[float, ...] = ()  # the last losses, not finite
    num: int = 120
    last: float = 1.5
    height: float = 2.3

    def __repr__(self) -> str:
        told = [f"{self.num} points"] + [f"noise of {self.noise:.0%}"] * bool(self.noise)
        return ", ".join(
            told + ["losses not finite"] * bool(self.gaps) + ["back again"] * self.again
        )

    def draw(self) -> tuple[np.ndarray, np.ndarray]:
        x, fall = np.linspace(-6, self.last, self.num), 1.5
        losses = self.height - fall / (1 + np.exp(-(x - self.middle) / self.width))
        climb = np.minimum(10.0 ** np.minimum((x - self.wall) / 0.15, 3), 20.0)
        if self.again:
            climb = np.where(x < self.wall + 0.6, climb, 1.0)
        losses += fall * climb
        draw = np.random.default_rng(int(1000 * (self.middle + 9) + self.num))
        losses += self.noise * fall * draw.standard_normal(self.num)
        if self.gaps:
            losses[-len(self.gaps) :] = self.gaps
        return 10.0**x, losses


_NAN = (math.inf, *[math.nan] * 7)
CURVES = (
    Curve(-3.0, 0.5, -0.3),  # so wide that per unit of rate it is steepest at the first
    Curve(-2.5, 0.3, -0.5),
    Curve(-3.5, 0.25, -1.5, again=True),
    Curve(-2.2, 0.3, -0.4, gaps=_NAN),
    Curve(-3.1, 0.3, -1.0, num=60),
    Curve(-3.1, 0.3, -1.0, num=400),
    Curve(-2.6, 0.25, -0.6, noise=0.04),
    Curve(-4.0, 0.3, -2.0, noise=0.04, again=True, gaps=_NAN, num=160),
    Curve(-1.8, 0.25, -0.2, noise=0.03, gaps=_NAN, last=1.0),
    Curve(-3.3, 0.25, -1.2, noise=0.04, again=True, height=0.2),  # some losses are negative
)


def curve() -> tuple[np.ndarray, np.ndarray, float]:
    """Rates and losses of a made-up test, and the rate at which its loss falls fastest."""
    made = Curve(-2.5, 0.25, -0.6, noise=0.02, again=True, gaps=_NAN)
    return *made.draw(), 10.0**made.middle


_STEPS, _MOMENTUM = 400, 0.9


@dataclass(frozen=True, eq=False)
class Problem:
    """A noisy quadratic, range-tested once; its runs have 400 steps and decay linearly to 0.

    `rates` and `losses`, shape (n,): the test, which ends when the loss is above four times its
    first. ``ratio(peak)`` is the expected final loss of a run with this peak, over that with the
    best peak of a fine grid, `best`; both are exact. SGD with momentum 0.9 throughout.
    """

    rates: np.ndarray = field(repr=False)
    losses: np.ndarray = field(repr=False)
    best: float
    least: float
    quadratic: NoisyQuadratic = field(repr=False)

    def ratio(self, peak: float) -> float:
        """The final loss with this peak over that with the best, infinity if the run diverges."""
        return float(_final(self.quadratic, np.array([float(peak)]))[0]) / self.least


def _final(quadratic: NoisyQuadratic, peaks: np.ndarray) -> np.ndarray:
    left = 1 - np.arange(_STEPS) / _STEPS
    return quadratic.loss(peaks[:, None] * left, _MOMENTUM)[:, -1]


@lru_cache(maxsize=256)
def _problem(seed: int) -> Problem:
    draw = np.random.default_rng([9, seed])
    scale, power = 10 ** draw.uniform(-2, 2), draw.uniform(0.9, 1.2)
    h = scale * np.arange(1, 101) ** -power
    batch_size = int(2 ** draw.integers(3, 9))
    quadratic = NoisyQuadratic(tuple(h), tuple(scale * h), batch_size=batch_size)
    rates = 10 ** draw.uniform(-4.5, -3.5) / scale * np.geomspace(1, 1e6, 100)
    losses = quadratic.sample(rates, 1, int(draw.integers(2**31)), _MOMENTUM)[0]
    n = int(np.argmax(losses[1:] > 4 * losses[0])) + 1
    peaks = np.geomspace(1e-3, 3, 61) / scale
    finals = _final(quadratic, peaks)
    best = float(peaks[finals.argmin()])
    return Problem(rates[:n], losses[1 : n + 1], best, float(finals.min()), quadratic)


def problems(seeds: Sequence[int]) -> list[Problem]:
    """One `Problem` for each of the seeds."""
    return [copy.deepcopy(_problem(int(seed))) for seed in seeds]  # theirs to change


seal(__name__)
