"""Chapter 05, exercise 5: good whenever it is stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import numpy as np

from lrlib.cosine_annealing import CosineAnnealing
from lrlib.exercises import Mistake, apart, checker, passed, sampled, schedule
from lrlib.lab.noisy_quadratic import NoisyQuadratic
from lrlib.schedule import Schedule

STOPS = (200, 500, 1000)
_SPANS = ((0, 200), (200, 500), (500, 1000))
_PROBLEM = NoisyQuadratic(batch_size=256)


@checker()
def check_anytime(anytime: Callable[[], Schedule]) -> None:
    """Exercise 5: at every stop no worse than a cosine that was planned for this stop."""
    factors = sampled(schedule(anytime, example="WarmRestarts(100)"), STOPS[-1])
    if not factors.any():
        raise Mistake("all your factors are 0, so nothing moves, whatever the peak.")
    peak, ratios = at_stops(factors)
    each = "{:.2f} after 200, {:.2f} after 500 and {:.2f} after 1,000 steps".format(*ratios)
    each = f"the ratios are {each}, at your best peak, {peak:.3g}"
    if round(ratios.max(), 3) > 1:
        worst = apart(ratios.max(), 1)[0]
        raise Mistake(f"{each}; the worst, {worst}, is above 1. {_why(factors, peak, ratios)}")
    if (np.diff(factors) <= 0).all():
        also = "Yours never rises: on this problem, being ready takes no restart."
    else:
        also = (
            "You know the stops. Constant(total_iters=120).then(InverseTimeDecay(1, 14)) never "
            "rises, has 0.92 as its worst, and was below 1 wherever else we stopped it from step "
            "150 on."
        )
    passed(f"{each}. {also}")


@cache
def _planned() -> np.ndarray:
    """The losses of the cosines that are planned and tuned for a stop, one per stop."""
    return np.array([_PROBLEM.tune(CosineAnnealing(stop), stop)[1] for stop in STOPS])


def _ratios(rates: np.ndarray) -> np.ndarray:
    """The loss at every stop over that of the cosine planned for it, shape (…, stops)."""
    return _PROBLEM.loss(rates)[..., STOPS] / _planned()


def at_stops(factors: np.ndarray) -> tuple[float, np.ndarray]:
    """The peak with the lowest worst ratio, and all ratios at it."""
    shape = factors / factors.max()
    peaks = np.geomspace(0.005, 1, 121) * _PROBLEM.stability_limit()
    for _ in range(4):  # each time between the neighbours of the best
        ratios = _ratios(peaks[:, None] * shape)
        i = int(ratios.max(-1).argmin())
        best, at_best = peaks[i], ratios[i]
        peaks = np.geomspace(peaks[max(i - 1, 0)], peaks[min(i + 1, len(peaks) - 1)], 21)
    return float(best / factors.max()), at_best


def _why(factors: np.ndarray, peak: float, ratios: np.ndarray) -> str:
    """What is wrong at the worst stop, or at those that are about as bad."""
    rates = peak * factors
    bad = [i for i in range(3) if ratios[i] > 0.97 * ratios.max()]
    for begin, stop in (_SPANS[i] for i in bad):
        if not factors[begin:stop].any():
            begin = int(np.append(0, np.flatnonzero(factors[:stop]) + 1)[-1])
            return f"From step {begin} to step {stop} all your factors are 0, so nothing moves."

    silent = NoisyQuadratic(gradient_variance=0, batch_size=256)
    distance = silent.loss(rates)[list(STOPS)] / _planned() / ratios
    shares = " and ".join(f"{distance[i]:.0%} after {STOPS[i]:,} steps" for i in bad)
    return (
        f"Distance still to go is {shares} of your loss, the rest is noise. "
        + min(_advice(factors, peak))[1]
    )


def _advice(factors: np.ndarray, peak: float) -> Iterator[tuple[float, str]]:
    """What to change between two stops, after what the score would be with a small such change."""
    limit = _PROBLEM.stability_limit()
    peaks = np.minimum(peak * factors.max() * np.geomspace(0.6, 1.6, 41), limit)
    for begin, end in _SPANS:
        t = np.arange(end - begin) / (end - begin)
        part, span = factors[begin:end], f"between step {begin} and step {end}"
        for hint, *others in (
            (f"Your factors {span} are low, compared with the others.", 1.2 * part, 4 * part),
            (f"Your factors {span} are high, compared with the others.", part / 1.2, part / 4),
            (
                f"The rate at the stop after {end} steps is high: fall before it.",
                part * (1 - 0.9 * t),
            ),
            (f"What falls {span} falls too early.", part[(len(t) * t**1.4).astype(int)]),
            (f"What falls {span} falls too late.", part[(len(t) * t**0.7).astype(int)]),
        ):
            for other in others:
                shape = np.concatenate([factors[:begin], other, factors[end:]])
                yield _ratios(peaks[:, None] * shape / shape.max()).max(-1).min(), hint
