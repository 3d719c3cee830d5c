"""Curves of loss over rate: checked, smoothed, and what the rules and the result read off them."""

from __future__ import annotations

import math

import numpy as np

from lrlib import _checks


def smooth(rates: np.ndarray, losses: np.ndarray, width: float) -> np.ndarray:
    """Losses smoothed in the logarithm of the rate, without lag.

    At each rate a straight line is fitted to the losses around it, with Gaussian weights of
    standard deviation `width`, in decades; its height there is the smoothed loss. A straight
    stretch of the curve is returned as it is, also at the ends. Arrays of shape (n,).
    """
    rates, losses = checked("smooth", rates, losses)
    width = _checks.number("smooth", "width", width, minimum=0)
    x = np.log10(rates)
    if width < 0.3 * np.diff(x).min():  # the neighbours would have no weight
        return losses.copy()
    offset = x - x[:, np.newaxis]  # row i: seen from point i
    weight = np.exp(-0.5 * (offset / width) ** 2)
    s0, s1, s2 = (np.sum(weight * offset**power, axis=1) for power in (0, 1, 2))
    return np.sum(weight * (s2[:, np.newaxis] - s1[:, np.newaxis] * offset) * losses, axis=1) / (
        s0 * s2 - s1**2
    )


def checked(owner: str, rates: object, losses: object) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays of shape (n,), n at least 3."""
    given = rates
    rates = _checks.array(owner, "rates", rates, ndim=1, above=0)
    if rates.size < 3 or (np.diff(rates) <= 0).any():
        raise ValueError(f"{owner}: rates must be at least 3 and ascend, got {given!r:.200}")
    given, losses = losses, _checks.array(owner, "losses", losses, ndim=1)
    if losses.shape != rates.shape:
        raise ValueError(f"{owner}: losses must have shape {rates.shape}, got {given!r:.200}")
    return rates, losses


def start_level(losses: np.ndarray) -> float:
    """The median of the first tenth of the losses, of all repeats: shape (n,) or (repeats, n)."""
    return float(np.median(losses[..., : max(losses.shape[-1] // 10, 1)]))


def crossing(rates: np.ndarray, losses: np.ndarray, level: float) -> float | None:
    """The rate at which the losses first rise above `level`; they start below it."""
    above = np.flatnonzero(losses > level)
    if not above.size:
        return None
    i = above[0]
    share = (level - losses[i - 1]) / (losses[i] - losses[i - 1])
    return float(rates[i - 1] * (rates[i] / rates[i - 1]) ** share)


def noise_of(steps: np.ndarray) -> float:
    """Standard deviation of one loss around the curve, from differences of neighbours."""
    return 1.48 * float(np.median(np.abs(steps[np.isfinite(steps)]))) / math.sqrt(2)


def rounding_of(losses: np.ndarray) -> float:
    """The relative change of a smoothed loss that rounding alone may make, from the losses' format.

    A loss that stands still is rounded to one number or to neighbours of it, and smoothing rounds
    too. The losses came in the narrowest format of torch that holds them all.
    """
    finite = losses[np.isfinite(losses)]
    mantissas = np.abs(np.frexp(finite)[0])  # in [0.5, 1), or 0
    for bits in (8, 11, 24):  # of bfloat16, float16 and float32
        if (mantissas * 2.0**bits % 1 == 0).all():
            return 2.0 ** (2 - bits)
    return 1e-12
