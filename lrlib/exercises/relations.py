"""How a wrong answer is related to the right one, for answers that no row of a table explains.

An answer may be the right one a step early, upside down, in percent, or a `peak` times too large,
whatever the exercise. What is said of it here holds for all failed cases, and is certain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

REL = 2e-6  # the rounding of a float32, which learners may compute in
NUMBERS = int | float | np.integer | np.floating


@dataclass(frozen=True)
class Pair:
    """What was given and wanted in one case, whose `inputs` have names."""

    given: Any
    wanted: Any
    inputs: Mapping[str, Any]


def exact(value: Any) -> bool:
    """Whether `value` is to be met exactly: all but floats, alone or in an array or tuple."""
    if isinstance(value, np.ndarray):
        return value.dtype.kind not in "fc"
    if isinstance(value, tuple | list):
        return all(map(exact, value))
    return not isinstance(value, float | np.floating)


def same(given: Any, wanted: Any, rel: float = REL, atol: float = 0.0) -> bool:
    """Equal, but for the relative rounding `rel`, or `atol`, where floats are wanted.

    In an array of floats the rounding is that of its largest entry as well.
    """
    if isinstance(wanted, np.ndarray):
        if np.shape(given) != wanted.shape:
            return False
        if exact(wanted):
            return bool(np.array_equal(given, wanted))
        scale = np.abs(wanted[np.isfinite(wanted)]).max(initial=0)
        return bool(np.allclose(given, wanted, rel, max(atol, rel / 2 * scale), equal_nan=True))
    if isinstance(wanted, tuple | list):
        if not isinstance(given, tuple | list) or len(given) != len(wanted):
            return False
        return all(same(a, b, rel, atol) for a, b in zip(given, wanted, strict=True))
    if exact(wanted) or not isinstance(given, NUMBERS):
        return type(given) is type(wanted) and bool(given == wanted)
    return bool(np.isclose(given, wanted, rel, atol or (wanted == 0) * 1e-12, equal_nan=True))


def close(a: Any, b: Any) -> bool:
    """`same` for what is computed here: floats, of equal shapes."""
    return same(np.asarray(a, dtype=float), np.asarray(b, dtype=float))


# --------------------------------------------------------------------------------------
# One relation is a name and what is said of it; `say` of an exercise may say it better

SAID = {
    "early": "everything comes one step early.",
    "late": "everything comes one step late.",
    "negative": "the sign is turned round.",
    "reciprocal": "it is upside down: 1 divided by what is right.",
    "complement": "it is 1 minus what is right.",
    "percent": "it is in percent. 1 is the whole.",
    "hundredth": "it is a hundredth of what is right. Is a percentage divided by 100 twice?",
    "scaled": "it is {c} times what is right, everywhere.",
    "times": "it is what is right, multiplied by {name}.",
    "divided": "it is what is right, divided by {name}.",
    "shifted": "it is {c} too {much}, everywhere.",
    "plus": "it is what is right, plus {name}.",
    "minus": "it is what is right, less {name}.",
    "square": "it is the square of what is right.",
    "root": "it is the square root of what is right.",
    "log": "it is the logarithm of what is right.",
    "exp": "it is the exponential of what is right.",
    "rounded": "it is rounded to {c} decimal places. Leave it as it is.",
    "floor": "it is rounded down to a whole number.",
    "ceil": "it is rounded up to a whole number.",
    "absolute": "it has lost its sign.",
    "constant": "it never changes.",
    "reversed": "it is in the opposite order.",
    "sorted": "it has the right values in another order.",
    "sums": "it adds up: each value has all those before it in it.",
    "products": "each value is multiplied onto those before it.",
    "differences": "it holds the differences from one value to the next.",
    "mean": "it is the mean of what is right; every value is asked for.",
    "sum": "it is the sum of what is right; every value is asked for.",
    "least": "it is the lowest of what is right; every value is asked for.",
    "most": "it is the highest of what is right; every value is asked for.",
    "last": "it is the last of what is right; every value is asked for.",
    "first": "it is the first of what is right; every value is asked for.",
    "extra last": "there is one value too many, at the end.",
    "extra first": "there is one value too many, at the beginning.",
    "no last": "the last value is missing.",
    "no first": "the first value is missing.",
    "shape": "the values are right, and their shape {given} is not: {wanted} is asked for.",
    "twice": "it goes by at twice its speed.",
}
# What a wrong formula may be subject to besides.
COMPOSED = {"early", "late", "negative", "reciprocal", "scaled", "percent", "times", "divided"}


def related(pairs: Sequence[Pair], composed: bool = False) -> Iterator[tuple[str, dict[str, Any]]]:
    """The names of the relations that hold in all `pairs`, and what fills in what is said."""
    numeric = _numeric(pairs)
    if not numeric:
        return
    alike = all(p.given.shape == p.wanted.shape for p in numeric)
    finders = (_moved, _mapped, _scaled, _shifted, _rounded, _rearranged) if alike else (_shapes,)
    for finder in finders:
        for name, fill in finder(numeric):
            if not composed or name in COMPOSED:
                yield name, fill


def _numeric(pairs: Sequence[Pair]) -> list[Pair]:
    """As arrays of floats; none if one is something else, or if they say too little."""
    out = []
    for p in pairs:
        try:
            if isinstance(p.given, str | dict | set | frozenset) or isinstance(p.wanted, str):
                return []
            given, wanted = np.asarray(p.given, dtype=float), np.asarray(p.wanted, dtype=float)
        except (TypeError, ValueError, RuntimeError):
            return []
        if not (np.isfinite(given).all() and np.isfinite(wanted).all()) or not given.size:
            return []
        out.append(Pair(given, wanted, p.inputs))
    return out if out and _vary(np.concatenate([p.wanted.ravel() for p in out])) else []


def _vary(values: np.ndarray) -> bool:
    return bool(np.ptp(values) > 1e-3 * np.abs(values).max(initial=0)) if values.size else False


def _everywhere(pairs: Sequence[Pair], test: Callable[[Pair], bool]) -> bool:
    with np.errstate(all="ignore"):
        return all(test(p) for p in pairs)


def _series(pairs: Sequence[Pair], least: int = 3) -> bool:
    """Whether all are long enough for an order, and change."""
    return all(p.wanted.ndim == 1 and p.wanted.size >= least for p in pairs)


def _moved(pairs: Sequence[Pair]) -> Iterator[tuple[str, dict[str, Any]]]:
    if not _series(pairs) or not all(_vary(p.given) for p in pairs):
        return
    if _everywhere(pairs, lambda p: close(p.given[:-1], p.wanted[1:])):
        yield "early", {}
    if _everywhere(pairs, lambda p: close(p.given[1:], p.wanted[:-1])):
        yield "late", {}
    if _series(pairs, 8):
        half = [(p.given[: (p.wanted.size + 1) // 2], p.wanted) for p in pairs]
        later = [(p.given[: p.wanted.size // 2], p.wanted) for p in pairs]
        if all(_vary(a) for a, _ in half) and (
            all(close(a, b[::2]) for a, b in half) or all(close(a, b[1::2]) for a, b in later)
        ):
            yield "twice", {}


def _mapped(pairs: Sequence[Pair]) -> Iterator[tuple[str, dict[str, Any]]]:
    maps: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "negative": lambda x: -x,
        "absolute": np.abs,
        "reciprocal": lambda x: 1 / x,
        "complement": lambda x: 1 - x,
        "percent": lambda x: 100 * x,
        "hundredth": lambda x: x / 100,
        "square": np.square,
        "root": np.sqrt,
        "log": np.log,
        "exp": np.exp,
    }
    for name, change in maps.items():
        if _everywhere(pairs, lambda p, change=change: close(p.given, change(p.wanted))):
            yield name, {}


def _values(p: Pair) -> Iterator[tuple[str, float]]:
    """The inputs that are numbers, by name."""
    for name, value in p.inputs.items():
        if isinstance(value, NUMBERS) and not isinstance(value, bool):
            yield name, float(value)


def _by_an_input(pairs: Sequence[Pair], found: list[float]) -> str:
    """The name of the input whose values are those `found`, if there is one, in two cases."""
    if len(pairs) < 2 or not _vary(np.array(found)):
        return ""
    for name, _ in _values(pairs[0]):
        inputs = [dict(_values(p)).get(name, np.nan) for p in pairs]
        if all(np.isclose(a, b, 1e-5, 0) for a, b in zip(inputs, found, strict=True)):
            return name
    return ""


def _scaled(pairs: Sequence[Pair]) -> Iterator[tuple[str, dict[str, Any]]]:
    found = []
    for p in pairs:
        k = np.argmax(np.abs(p.wanted))
        largest = p.wanted.flat[k]
        if largest == 0 or p.given.flat[k] == 0:
            return
        c = float(p.given.flat[k] / largest)
        if not close(p.given, c * p.wanted):
            return
        found.append(c)
    if not _vary(np.array(found)) and close(found, np.full(len(found), found[0])):
        yield "scaled", {"c": _shown(found[0])}
    elif name := _by_an_input(pairs, found):
        yield "times", {"name": name}
    elif name := _by_an_input(pairs, [1 / c for c in found]):
        yield "divided", {"name": name}


def _shifted(pairs: Sequence[Pair]) -> Iterator[tuple[str, dict[str, Any]]]:
    found = []
    for p in pairs:
        c = float((p.given - p.wanted).flat[0])
        if c == 0 or not close(p.given, p.wanted + c) or abs(c) < 1e-4 * np.abs(p.wanted).max():
            return
        found.append(c)
    if close(found, np.full(len(found), found[0])):
        much = "large" if found[0] > 0 else "small"
        yield "shifted", {"c": _shown(abs(found[0])), "much": much}
    elif name := _by_an_input(pairs, found):
        yield "plus", {"name": name}
    elif name := _by_an_input(pairs, [-c for c in found]):
        yield "minus", {"name": name}


def _shown(c: float) -> str:
    return next((text for d in range(3, 9) if np.isclose(float(text := f"{c:.{d}g}"), c, 1e-6)), "")


def _rounded(pairs: Sequence[Pair]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, change in (("floor", np.floor), ("ceil", np.ceil)):
        if _everywhere(pairs, lambda p, change=change: bool((p.given == change(p.wanted)).all())):
            yield name, {}
    for places in range(7):
        unit = 10.0**-places
        if _everywhere(pairs, lambda p, unit=unit: _is_rounded(p.given, p.wanted, unit)):
            yield "rounded", {"c": places}
            return


def _is_rounded(given: np.ndarray, wanted: np.ndarray, unit: float) -> bool:
    whole = np.abs(given / unit - np.rint(given / unit)).max() < 1e-6
    return bool(whole and np.abs(given - wanted).max() <= unit / 2 * (1 + 1e-6))


def _rearranged(pairs: Sequence[Pair]) -> Iterator[tuple[str, dict[str, Any]]]:
    if not _series(pairs):
        return
    if _everywhere(pairs, lambda p: not np.ptp(p.given) and _vary(p.wanted)):
        yield "constant", {}
    changes: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "reversed": lambda x: x[::-1],
        "sums": np.cumsum,
        "products": np.cumprod,
    }
    for name, change in changes.items():
        if _everywhere(pairs, lambda p, change=change: close(p.given, change(p.wanted))):
            yield name, {}
    if _everywhere(pairs, lambda p: close(np.sort(p.given), np.sort(p.wanted))):
        yield "sorted", {}


def _shapes(pairs: Sequence[Pair]) -> Iterator[tuple[str, dict[str, Any]]]:
    if not all(p.wanted.ndim and p.wanted.size > 1 for p in pairs):
        return
    changes: dict[str, Callable[[np.ndarray], Any]] = {
        "mean": np.mean,
        "sum": np.sum,
        "least": np.min,
        "most": np.max,
        "last": lambda x: x.flat[-1],
        "first": lambda x: x.flat[0],
        "no last": lambda x: x[:-1],
        "no first": lambda x: x[1:],
        "differences": lambda x: np.diff(x, axis=0),
    }
    for name, change in changes.items():
        if _everywhere(pairs, lambda p, change=change: _flat_close(p.given, change(p.wanted))):
            yield name, {}
    for name, part in (("extra last", slice(None, -1)), ("extra first", slice(1, None))):
        if _everywhere(
            pairs, lambda p, part=part: p.given.ndim and _flat_close(p.given[part], p.wanted)
        ):
            yield name, {}
    if _everywhere(pairs, lambda p: _flat_close(p.given, p.wanted)):
        yield "shape", {"given": pairs[0].given.shape, "wanted": pairs[0].wanted.shape}


def _flat_close(a: np.ndarray, b: Any) -> bool:
    return close(np.ravel(a), np.ravel(b))
