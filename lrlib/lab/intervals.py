"""Estimates with their intervals: Student's over seeds, or one that contains more."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Literal

import numpy as np

from lrlib import _checks

Scale = Literal["linear", "ratio"]


@dataclass(frozen=True)
class Estimate:
    """An effect with a 95 % interval that contains more than the spread over `seeds`.

    Attributes:
        effect, low, high: the estimate and the ends of its interval; NaN where a run diverged.
        seeds: how many it rests on, at least 3.
        scale: "ratio" if the effect is a ratio, whose interval was formed in logarithms.
    """

    effect: float
    low: float
    high: float
    seeds: int
    scale: Scale = "linear"

    def __post_init__(self) -> None:
        _checks.choice("Estimate", "scale", self.scale, ("linear", "ratio"))
        _checks.integer("Estimate", "seeds", self.seeds, minimum=3)
        values = (self.effect, self.low, self.high)
        for name, value in zip(("effect", "low", "high"), values, strict=True):
            if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
                raise TypeError(f"Estimate: {name} must be a number, got {value!r}")
        if not np.isfinite(values).all():
            return
        if not self.low <= self.effect <= self.high:
            raise ValueError(
                f"Estimate: effect must lie between low and high, got {self.effect!r}, "
                f"{self.low!r} and {self.high!r}"
            )
        if self.scale == "ratio" and self.low <= 0:
            raise ValueError(f"Estimate: low must be above 0 with scale='ratio', got {self.low!r}")


def half_interval(values: np.ndarray, confidence: float = 0.95) -> np.ndarray:
    """Half the width of Student's t interval for the mean over the last axis (the seeds)."""
    from scipy import stats

    values = np.asarray(values, dtype=np.float64)
    return stats.sem(values, axis=-1) * student(values.shape[-1], confidence)


def student(seeds: int, confidence: float = 0.95) -> float:
    """How many standard errors of a mean over `seeds` half its interval is wide (Student's t)."""
    from scipy import stats

    return float(stats.t.ppf((1 + confidence) / 2, seeds - 1))


def checked(owner: str, effect: object) -> np.ndarray:
    """`effect` as one number, shape (), or one for each of at least 3 seeds, shape (seeds,)."""
    try:
        values = np.asarray(effect)
        if values.dtype.kind not in "buif":  # numpy reads None as NaN, and "1" as 1
            raise TypeError
    except (TypeError, ValueError):
        raise TypeError(f"{owner}: effect must be one or more numbers, got {effect!r}") from None
    if values.ndim > 1 or values.size == 0 or (values.ndim == 1 and values.size < 3):
        raise ValueError(
            f"{owner}: effect must be a number or one number for each of at least 3 seeds, got "
            f"shape {values.shape}: {effect!r:.200}"
        )
    return values.astype(np.float64)


def interval(
    owner: str, values: np.ndarray, confidence: float, scale: str
) -> tuple[float, float, float]:
    """Effect, low and high of what `checked` returned; NaN if any of it is not finite."""
    if not np.isfinite(values).all():
        return math.nan, math.nan, math.nan
    if scale == "ratio" and (values <= 0).any():
        raise ValueError(
            f"{owner}: effect must hold ratios above 0 with scale='ratio', got "
            f"{values.min().item()!r}"
        )
    if np.ptp(values) == 0:  # one number, or every seed agrees: the t interval would give NaN
        only = float(values.flat[0])
        return only, only, only
    if scale == "ratio":
        logs = interval(owner, np.log(values), confidence, "linear")
        effect, low, high = (math.exp(x) if x < 700 else math.inf for x in logs)
        return effect, low, high
    mean, half = float(values.mean()), float(half_interval(values, confidence))
    return mean, mean - half, mean + half
