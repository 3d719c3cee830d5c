"""Argument checks shared by the package: each names the owner, the argument and the value."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Set
from fractions import Fraction
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, TypeVar

import numpy as np

Option = TypeVar("Option")


def needs_torch(name: str) -> str:
    """What to say where torch is missing."""
    return (
        f"lrlib.{name} needs torch, which is not installed (pip install torch); the schedules work "
        f"without it"
    )


def plain(value: Any) -> Any:
    """An array or tensor as Python's own numbers, in lists where it has dimensions."""
    return value.tolist() if hasattr(value, "tolist") else value


def integer(owner: str, name: str, value: object, *, minimum: int | None = None) -> int:
    """Return `value` as an int; TypeError if it is not an integer, ValueError if too small."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral):
        raise TypeError(f"{owner}: {name} must be an integer, got {value!r}")
    if minimum is not None and value < minimum:
        raise ValueError(f"{owner}: {name} must be at least {minimum}, got {value!r}")
    return int(value)


def ascending(owner: str, name: str, value: object, *, minimum: int) -> tuple[int, ...]:
    """Return `value`, any iterable of integers that ascend strictly, as a tuple of ints."""
    # A set has no order, of a mapping only the keys would be taken, and bytes would be numbers.
    if isinstance(value, Set | Mapping | str | bytes) or not isinstance(value, Iterable):
        raise TypeError(f"{owner}: {name} must be a sequence of integers, got {value!r}")
    try:
        entries = [plain(entry) for entry in plain(value)]
    except TypeError:  # an array without dimensions
        raise TypeError(f"{owner}: {name} must be a sequence of integers, got {value!r}") from None
    integers = tuple(integer(owner, name, entry, minimum=minimum) for entry in entries)
    if any(a >= b for a, b in pairwise(integers)):
        raise ValueError(f"{owner}: {name} must ascend strictly, got {integers!r}")
    return integers


def steps(
    owner: str,
    name: str,
    value: object,
    total_steps: int,
    rounding: Callable[[Fraction], int] = math.ceil,
) -> int:
    """Return the steps that `value` stands for: an int is steps, a float below 1 a share of a run.

    The share is taken as it is written: 0.07 of 100 steps are 7, where ``ceil(0.07 * 100)`` is 8.
    """
    if isinstance(value, Real) and not isinstance(value, Integral) and value < 1 and not value < 0:
        return rounding(Fraction(str(value)) * total_steps)
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise TypeError(f"{owner}: {name} must be steps or a share of the run, got {value!r}")
    if not isinstance(value, Integral):
        raise ValueError(
            f"{owner}: {name} must be an integer, the steps, or a float in [0, 1), a share of the "
            f"run, got {value!r}"
        )
    return integer(owner, name, value, minimum=0)


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
    # Of the comparisons, a Real need have these two alone.
    for bound, broken, words in (
        (minimum, minimum is not None and value < minimum, "at least"),
        (maximum, maximum is not None and not value <= maximum, "at most"),
        (above, above is not None and value <= above, "greater than"),
        (below, below is not None and not value < below, "less than"),
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


def choice(owner: str, name: str, value: object, options: tuple[Option, ...]) -> Option:
    """Return the one of `options` that `value` is."""
    if value not in options:
        listed = ", ".join(map(str, options))
        raise ValueError(f"{owner}: {name} must be one of {listed}, got {value!r}")
    return next(option for option in options if option == value)
