"""The rules: each reads one rate, or none, off a curve of loss over rate."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from lrlib.lr_finder.curves import checked, crossing, start_level

Rule = Callable[[np.ndarray, np.ndarray], float | None]

CLIMB = 0.5  # the share of its gain that a loss has lost at the `edge`
_FLOOR = 0.2  # and the share that it may have lost on the `floor`


def steepest(rates: np.ndarray, losses: np.ndarray) -> float | None:
    """Where the loss falls fastest with the logarithm of the rate, before its minimum.

    The slope is taken over half a decade. With the *linear* rate, as some finders take it, the
    answer would lie near the first rate.
    """
    rates, losses = checked("steepest", rates, losses)
    x = np.log10(rates)
    inside = (x >= x[0] + 0.25) & (x <= min(x[losses.argmin()], x[-1] - 0.25))
    if not inside.any():
        return None
    fall = np.interp(x[inside] - 0.25, x, losses) - np.interp(x[inside] + 0.25, x, losses)
    return float(rates[inside][fall.argmax()]) if fall.max() > 0 else None


def minimum(rates: np.ndarray, losses: np.ndarray) -> float:
    """Where the loss is lowest: the edge of what training survives, rather than a setting."""
    rates, losses = checked("minimum", rates, losses)
    return float(rates[losses.argmin()])


def minimum_10(rates: np.ndarray, losses: np.ndarray) -> float:
    """A tenth of the rate where the loss is lowest: one of fastai's two suggestions until 2021."""
    return minimum(rates, losses) / 10


def valley(rates: np.ndarray, losses: np.ndarray) -> float | None:
    """The middle of the longest valley: the rule of fastai's ``lr_find`` since 2021.

    The valley is the longest strictly falling subsequence of the losses; it is taken to end where
    the subsequence ends and to be as many points long. (The documentation of fastai says "about
    2/3 through"; its code gives the middle.) fastai applies it to losses that were smoothed with
    lag and cut at both ends; on a curve without noise the valley starts at the first rate.
    """
    rates, losses = checked("valley", rates, losses)
    length = np.ones(losses.size, dtype=int)  # of the longest falling subsequence up to here
    for i in range(1, losses.size):
        length[i] += length[:i][losses[:i] > losses[i]].max(initial=0)
    end, n = length.argmax(), length.max()
    return float(rates[max(end - n + n // 3 + n // 6, 0)]) if n > 1 else None


def edge(rates: np.ndarray, losses: np.ndarray) -> float | None:
    """Where the loss, past its minimum, has lost half of what it had gained.

    The gain is from the level of the first tenth of the curve to the minimum. Blow-ups are steep,
    so unlike the minimum, which may lie anywhere in a flat valley, this point hardly moves with
    noise. Interpolated between the rates. None if the loss falls nowhere or does not climb back.
    """
    rates, losses = checked("edge", rates, losses)
    low = losses.argmin()
    level = losses[low] + CLIMB * (start_level(losses) - losses[low])
    return None if level <= losses[low] else crossing(rates[low:], losses[low:], level)


def floor(rates: np.ndarray, losses: np.ndarray) -> float | None:
    """The middle, in the logarithm, of the stretch where the loss has kept most of its gain.

    The stretch is the one around the minimum in which the loss lies above it by less than a fifth
    of the gain, which is counted from the level of the first tenth of the curve. Its middle lies
    near the minimum and moves less with noise, since both its ends lie where the curve is steep.
    Interpolated between the rates. None if the loss falls nowhere.
    """
    rates, losses = checked("floor", rates, losses)
    low = losses.argmin()
    level = losses[low] + _FLOOR * (start_level(losses) - losses[low])
    if level <= losses[low]:
        return None
    left = crossing(rates[low::-1], losses[low::-1], level) or rates[0]
    right = crossing(rates[low:], losses[low:], level) or rates[-1]
    return math.sqrt(left * right)


def floor_2(rates: np.ndarray, losses: np.ndarray) -> float | None:
    """Half the middle of the `floor`: the peak of a schedule that decays.

    A fixed rate should be half of that again, and that of a very long run lower still. The
    divisor was found by experiment (chapter 9).
    """
    found = floor(rates, losses)
    return None if found is None else found / 2


# The rules whose answers `find_lr` gives. "default" is the one of this library.
RULES: dict[str, Rule] = {
    "default": floor_2,
    "steepest": steepest,
    "minimum_10": minimum_10,
    "valley": valley,
}
