"""Chapter 05, exercise 5: good whenever it is stopped."""

from __future__ import annotations

from collections.abc import Callable
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

    # The last rate before the stop: where would the loss settle if it went on for ever?
    last = rates[np.array(STOPS) - 1]
    floors = [_PROBLEM.noise_floor(r) if r > 0 else 0.0 for r in last] / _planned()
    i = max(bad, key=lambda i: floors[i])
    if floors[i] > 1:
        settles = f"settles at {floors[i]:.2g} times the loss of the planned cosine"
        return (
            f"The last rate before the stop at {STOPS[i]} is {last[i]:.2g}, and a run at this rate "
            f"{settles if np.isfinite(floors[i]) else 'does not settle at all'}. You are stopped "
            f"at a high rate."
        )

    silent = NoisyQuadratic(gradient_variance=0, batch_size=256)
    distance = silent.loss(rates)[list(STOPS)] / _planned() / ratios
    higher = _ratios(1.02 * rates) < ratios
    up, down = [i for i in bad if higher[i]], [i for i in bad if not higher[i]]
    if up and down:
        return (
            f"A higher peak would help after {STOPS[up[0]]:,} steps, where {distance[up[0]]:.0%} "
            f"of your loss is distance still to go, and a lower one after {STOPS[down[0]]:,}, "
            f"where {1 - distance[down[0]]:.0%} is noise. All stops share the peak. Which of your "
            f"factors are too high, compared with which?"
        )
    i = int(ratios.argmax())
    return (
        f"After {STOPS[i]:,} steps {distance[i]:.0%} of your loss is distance still to go, and "
        f"the rest is noise. {_advice(factors, peak)}"
    )


def _advice(factors: np.ndarray, peak: float) -> str:
    """What to change between two stops: of several changes, the one that helps most."""
    limit = _PROBLEM.stability_limit()
    peaks = np.minimum(peak * factors.max() * np.geomspace(0.6, 1.6, 41), limit)
    found: list[tuple[float, str]] = []
    for begin, end in _SPANS:
        t = np.arange(end - begin) / (end - begin)
        part, span = factors[begin:end], f"between step {begin} and step {end}"
        for hint, other in (
            (f"Your factors {span} are low, compared with the others.", 1.2 * part),
            (f"Your factors {span} are low, compared with the others.", 4 * part),
            (f"Your factors {span} are high, compared with the others.", part / 1.2),
            (f"Your factors {span} are high, compared with the others.", part / 4),
            (f"What falls {span} falls too early.", part[(len(t) * t**1.4).astype(int)]),
            (f"What falls {span} falls too late.", part[(len(t) * t**0.7).astype(int)]),
        ):
            shape = np.concatenate([factors[:begin], other, factors[end:]])
            worst = _ratios(peaks[:, None] * shape / shape.max()).max(-1).min()
            found.append((worst, hint))
    return min(found)[1]
