"""Argument checks shared by the package: each names the owner, the argument and the value."""

from __future__ import annotations

import math
from numbers import Integral, Real

import numpy as np


def integer(owner: str, name: str, value: object, *, minimum: int | None = None) -> int:
    """Return `value` as an int; TypeError if it is not an integer, ValueError if too small."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral):
        raise TypeError(f"{owner}: {name} must be an integer, got {value!r}")
    if minimum is not None and value < minimum:
        raise ValueError(f"{owner}: {name} must be at least {minimum}, got {value!r}")
    return int(value)


def number(
    owner: str,
    name: str,
    value: object,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> float:
    """Return `value` as a finite float inside [minimum, maximum] and (above, below)."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise TypeError(f"{owner}: {name} must be a number, got {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{owner}: {name} must be finite, got {value!r}")
    for bound, broken, words in (
        (minimum, minimum is not None and value < minimum, "at least"),
        (maximum, maximum is not None and value > maximum, "at most"),
        (above, above is not None and value <= above, "greater than"),
        (below, below is not None and value >= below, "less than"),
    ):
        if broken:
            raise ValueError(f"{owner}: {name} must be {words} {bound:g}, got {value!r}")
    return float(value)


def array(
    owner: str,
    name: str,
    value: object,
    *,
    ndim: int | tuple[int, ...] | None = None,
    minimum: float | None = None,
    above: float | None = None,
) -> np.ndarray:
    """Return `value` as a non-empty float64 array of finite numbers, of (one of) `ndim`."""
    try:
        if np.asarray(value).dtype == object:  # it may hold None, which numpy takes for NaN
            raise TypeError
        out = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{owner}: {name} must be an array of numbers, got {value!r}") from None
    wanted_ndim = (ndim,) if isinstance(ndim, int) else ndim
    if wanted_ndim is not None and out.ndim not in wanted_ndim:
        words = " or ".join(str(n) for n in wanted_ndim)
        raise ValueError(f"{owner}: {name} must have {words} dimension(s), got {value!r:.200}")
    if out.size == 0:
        raise ValueError(f"{owner}: {name} must not be empty, got {value!r}")
    bad = ~np.isfinite(out)
    if minimum is not None:
        bad |= out < minimum
    if above is not None:
        bad |= out <= above
    if bad.any():
        wanted = "finite"
        if minimum is not None:
            wanted += f" and at least {minimum:g}"
        if above is not None:
            wanted += f" and greater than {above:g}"
        first = out[bad][0].item()
        raise ValueError(f"{owner}: every entry of {name} must be {wanted}, got {first!r}")
    return out


def cycle_end(owner: str, total_steps: int, i: int, T_cur: int, T_i: int) -> None:
    """ValueError unless cycle `i`, of `T_i` steps, has just begun, `T_cur` being the steps into it.

    The message names the nearest ends of cycles.
    """
    if T_cur:
        below, above = total_steps - T_cur, total_steps - T_cur + T_i
        ends = f"the nearest are {below} and {above}" if i else f"the first is {above}"
        raise ValueError(
            f"{owner}: total_steps must be the end of a cycle ({ends}), got {total_steps}"
        )


def choice(owner: str, name: str, value: object, options: tuple[str | int, ...]) -> str | int:
    """Return `value` if it is one of `options`."""
    if value not in options:
        listed = ", ".join(map(str, options))
        raise ValueError(f"{owner}: {name} must be one of {listed}, got {value!r}")
    return value
