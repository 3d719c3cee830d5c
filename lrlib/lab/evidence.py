"""`claim`: one sentence, its evidence, and an error if the evidence does not support it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from lrlib import _checks


class ClaimError(AssertionError):
    """The evidence does not support the claim."""


@dataclass(frozen=True)
class Evidence:
    """What a claim rests on: the mean effect, its interval, the number of seeds (0: exact)."""

    effect: float
    low: float
    high: float
    seeds: int
    verdict: str

    def _ipython_display_(self) -> None:
        """Show nothing: `claim` has printed its line already."""


def claim(
    text: str,
    effect: float | np.ndarray,
    *,
    above: float | None = None,
    below: float | None = None,
    within: tuple[float, float] | None = None,
    no_difference: float | None = None,
    unit: str = "",
    of: str = "seeds",
    confidence: float = 0.95,
    scale: Literal["linear", "ratio"] = "linear",
) -> Evidence:
    """Print one line (claim, effect, interval, seeds, verdict); raise if it is not supported.

    Args:
        text: the sentence, as the chapter says it.
        effect: one number per seed, shape (seeds,), such as paired differences; or a single
            number for an exact result, which has no interval.
        above, below, within: the whole interval must lie above, below or inside these.
        no_difference: for differences (or ratios, with ``scale="ratio"``): the whole interval
            must lie inside ±no_difference (for ratios between 1/no_difference and no_difference).
            The verdict is then "no difference we can detect", or, if the interval leaves out
            zero, that there is one smaller than the margin. Exactly one of the four is given.
        unit: printed behind the numbers.
        of: what the effects are of, in the plural, if not seeds: "problems", say.
        confidence: of the interval, in (0, 1).
        scale: "ratio" averages and forms the interval in logarithms (a geometric mean).

    The interval is Student's t interval for the mean over seeds (SciPy). A NaN (a run that
    diverged) is never averaged away: it fails the claim.
    Raises ClaimError if the claim is not supported, TypeError or ValueError for bad arguments.
    """
    given = [x is not None for x in (above, below, within, no_difference)]
    if sum(given) != 1:
        raise ValueError(
            f"claim: give exactly one of above, below, within and no_difference, got {sum(given)}"
        )
    if not isinstance(text, str) or not text:
        raise TypeError(f"claim: text must be a sentence, got {text!r}")
    if not isinstance(of, str) or not of.isalpha():
        raise TypeError(f"claim: of must be one word, got {of!r}")
    _checks.choice("claim", "scale", scale, ("linear", "ratio"))
    confidence = _checks.number("claim", "confidence", confidence, above=0, below=1)
    try:
        values = np.asarray(effect, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"claim: effect must be one or more numbers, got {effect!r}") from None
    if values.ndim > 1 or values.size == 0 or (values.ndim == 1 and values.size < 3):
        raise ValueError(
            f"claim: effect must be a number or one number for each of at least 3 seeds, got "
            f"shape {values.shape}: {effect!r:.200}"
        )
    low_bound, high_bound = _bounds(above, below, within, no_difference, scale)
    mean, low, high = _interval(values, confidence, scale)
    seeds = values.size if values.ndim else 0

    supported = bool(low > low_bound and high < high_bound)  # False for NaN
    neutral = 1.0 if scale == "ratio" else 0.0
    if not supported:
        verdict = "NOT SUPPORTED"
    elif no_difference is None:
        verdict = "supported"
    elif low <= neutral <= high:
        verdict = "no difference we can detect"
    else:
        verdict = "a difference, smaller than the margin"

    measured = f"{mean:.4g}{unit}"
    measured += f" [{low:.4g}, {high:.4g}], {seeds} {of}" if seeds else ", exact"
    wanted = _wanted(above, below, within, no_difference, scale)
    line = f"Claim: {text} | {measured} | wanted {wanted}{unit} | {verdict}"
    if not supported:
        raise ClaimError(line)
    print(line)
    return Evidence(mean, low, high, seeds, verdict)


def _bounds(
    above: float | None,
    below: float | None,
    within: tuple[float, float] | None,
    no_difference: float | None,
    scale: str,
) -> tuple[float, float]:
    if above is not None:
        return _checks.number("claim", "above", above), np.inf
    if below is not None:
        return -np.inf, _checks.number("claim", "below", below)
    if no_difference is not None:
        if scale == "ratio":
            margin = _checks.number("claim", "no_difference", no_difference, above=1)
            return 1 / margin, margin
        margin = _checks.number("claim", "no_difference", no_difference, above=0)
        return -margin, margin
    if not isinstance(within, tuple | list) or len(within) != 2:
        raise ValueError(f"claim: within must be two numbers, got {within!r}")
    low, high = (_checks.number("claim", "within", bound) for bound in within)
    if low >= high:
        raise ValueError(f"claim: within must ascend, got {within!r}")
    return low, high


def _wanted(above, below, within, no_difference, scale) -> str:
    if above is not None:
        return f"> {above:g}"
    if below is not None:
        return f"< {below:g}"
    if within is not None:
        return f"{within[0]:g} to {within[1]:g}"
    return f"within a factor {no_difference:g}" if scale == "ratio" else f"±{no_difference:g}"


def _interval(values: np.ndarray, confidence: float, scale: str) -> tuple[float, float, float]:
    if not np.isfinite(values).all():
        return np.nan, np.nan, np.nan
    if scale == "ratio" and (values <= 0).any():
        raise ValueError(
            f"claim: effect must hold ratios above 0 with scale='ratio', got "
            f"{values.min().item()!r}"
        )
    if values.ndim == 0:
        return (float(values),) * 3
    if scale == "ratio":
        return tuple(np.exp(x) for x in _interval(np.log(values), confidence, "linear"))
    if np.ptp(values) == 0:  # every seed agrees; the t interval would warn and give NaN
        return (float(values[0]),) * 3
    mean, half = float(values.mean()), float(half_interval(values, confidence))
    return mean, mean - half, mean + half


def half_interval(values: np.ndarray, confidence: float = 0.95) -> np.ndarray:
    """Half the width of Student's t interval for the mean over the last axis (the seeds)."""
    from scipy import stats

    values = np.asarray(values, dtype=np.float64)
    quantile = stats.t.ppf((1 + confidence) / 2, values.shape[-1] - 1)
    return stats.sem(values, axis=-1) * quantile
