"""What several draws say of one claim or measurement.

How the chance that a fresh draw breaks a claim is estimated: the claim breaks when its interval
reaches a bound, so when the estimate moves from where it is by the room between the two: its
distance from the bound less half the interval's width (both as means over the draws; of
logarithms, for ratios). A fresh estimate lies about the mean of k draws with the variance
v (1 + 1/k). v is the mean of two estimates that should agree: the variance of the estimates
between the draws, and the square of the standard error that the intervals imply; each counts for
k - 1 degrees of freedom. The chance is the tail of Student's t with 2 (k - 1) degrees of freedom
beyond room / sqrt(v (1 + 1/k)), summed over the bounds. A number without an interval has the
variance between draws alone, with k - 1; where nothing at all differs between draws the chance
is 0.

Simulated with twelve draws of normal effects, the chance is on the average right within a quarter
or too high for intervals over eight seeds and more (three half-widths from the bound, where the
truth is 1 in 30,000, five to fifteen times). Over five or six seeds, where half the width itself
varies, it is up to 2.7 times too low where the truth is 1 in 1,000 to 1 in 10.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from notebooks import FAILED

FEWEST = 3  # draws, for a chance
SAME = 1e-6  # relative: numbers closer than this do not differ between draws


class Point(NamedTuple):
    """An estimate and how far its interval reaches down and up; of logarithms, for ratios."""

    middle: float
    down: float
    up: float


def on_scale(number: float | None, scale: str, otherwise: float) -> float:
    """`number`, or its logarithm; `otherwise` where there is none."""
    if number is None:
        return otherwise
    if scale == "ratio":
        return math.log(number) if number > 0 else -math.inf
    return number


def off_scale(number: float, scale: str) -> float:
    return math.exp(number) if scale == "ratio" else number


def point(row: dict | None) -> Point | None:
    """Where a row of one draw lies; None if it was not reached, or diverged."""
    if row is None or any(row[key] is None for key in ("effect", "low", "high")):
        return None
    middle, low, high = (
        on_scale(row[key], row["scale"], math.nan) for key in ("effect", "low", "high")
    )
    place = Point(middle, middle - low, high - middle) if row["n"] else Point(middle, 0.0, 0.0)
    return place if all(map(math.isfinite, place)) else None


def tightest(rows: list[dict]) -> tuple[float, float]:
    """The bounds, on the row's scale; of several, those that are hardest to keep."""
    lows, highs = zip(*(row["bounds"] for row in rows), strict=True)
    scale = rows[0]["scale"]
    return (
        max(on_scale(low, scale, -math.inf) for low in lows),
        min(on_scale(high, scale, math.inf) for high in highs),
    )


def rooms(points: list[Point], bounds: tuple[float, float]) -> tuple[float, float]:
    """How far the mean estimate can move down and up until its interval reaches a bound."""
    middle, down, up = (statistics.fmean(values) for values in zip(*points, strict=True))
    return middle - down - bounds[0], bounds[1] - middle - up


@functools.cache
def quantile(n: int, confidence: float) -> float:
    """Half an interval's width in standard errors."""
    from scipy import stats

    return float(stats.t.ppf((1 + confidence) / 2, n - 1))


def chance_to_break(
    points: list[Point], bounds: tuple[float, float], errors: list[float] | None
) -> float:
    """The chance that a fresh draw's interval reaches a bound (see the top of this file).

    `errors` are the standard errors that the intervals imply; None for exact numbers.
    """
    from scipy import stats

    k = len(points)
    variance, df = statistics.variance(place.middle for place in points), k - 1
    if errors is not None:
        variance = (variance + statistics.fmean(error**2 for error in errors)) / 2
        df *= 2
    spread = math.sqrt(variance * (1 + 1 / k))
    tails = [
        float(stats.t.cdf(-room / spread, df)) if spread else float(room <= 0)
        for room in rooms(points, bounds)
        if room < math.inf
    ]
    return min(1.0, sum(tails))


def differ(points: list[Point], bounds: tuple[float, float]) -> bool:
    """Whether a row's numbers differ between draws, beside their size or the room they have."""
    size = max(abs(place.middle) for place in points)
    size = max(size, *(room for room in rooms(points, bounds) if room < math.inf), 0.0)
    columns = zip(*points, strict=True)
    return any(max(values) - min(values) > SAME * size for values in columns)


def rounded(number: float | None, *widths: float) -> float | None:
    """To five digits, and to a thousandth of the widths that it will be compared with."""
    if number is None or not math.isfinite(number):
        return None
    sizes = [abs(number) / 1e4, *(width / 1e3 for width in widths)]
    finest = min([size for size in sizes if 0 < size < math.inf], default=1.0)
    return float(f"{round(number, -math.floor(math.log10(finest))):.15g}")


def summarized(series: dict[int, dict | None], draws: list[int]) -> dict:
    """One row of audit.json, from the row that each draw shows (None: not reached)."""
    rows = [row for row in series.values() if row is not None]
    first, places = rows[0], [point(series[draw]) for draw in draws]
    there, scale = [place for place in places if place], first["scale"]
    bounds = tightest(rows)
    exact = all(row["n"] == 0 for row in rows)
    drawn = differ(there, bounds) if len(there) > 1 else True
    failed = [draw for draw in draws if (series[draw] or {"verdict": FAILED})["verdict"] == FAILED]

    chance = None
    if first["kind"] == "claim" and len(there) >= FEWEST:
        errors = [
            (place.down + place.up) / 2 / quantile(row["n"], row["confidence"])
            for row, place in ((row, point(row)) for row in rows if row["n"] > 1)
            if place
        ]
        chance = chance_to_break(there, bounds, errors or None)
        if not drawn:
            chance = float(min(rooms(there, bounds)) <= 0)

    room = [abs(room) for room in rooms(there, bounds)] if there else []
    effects = [place and rounded_effect(place, scale, room) for place in places]
    finite = [effect for effect in effects if effect is not None]
    ns = [row["n"] for row in rows]
    return {
        "kind": first["kind"],
        "text": first["text"],
        "held": len(draws) - len(failed),
        "of": len(draws),
        "failed": failed,
        "unreached": [draw for draw in draws if series[draw] is None],
        "low": min(finite, default=None),
        "high": max(finite, default=None),
        "unit": first["unit"],
        "scale": scale,
        "wanted": first["wanted"],
        "bounds": [rounded(off_scale(b, scale)) if math.isfinite(b) else None for b in bounds],
        "moving": any(row["bounds"] != first["bounds"] for row in rows),
        "chance": None if chance is None else float(f"{chance:.2g}"),
        "exact": exact,
        "drawn": drawn,
        "n": ns[0] if len(set(ns)) == 1 else min(ns),
        "confidence": first["confidence"],
        "effects": effects,
        "halves": [halves(place) for place in places],
    }


def rounded_effect(place: Point, scale: str, room: list[float]) -> float | None:
    effect = off_scale(place.middle, scale)
    size = effect if scale == "ratio" else 1.0  # of a small step in its logarithm
    return rounded(effect, *(size * width for width in (*room, place.down, place.up)))


def halves(place: Point | None) -> float | list[float] | None:
    """Half the interval's width; both halves, if it is lopsided."""
    if place is None:
        return None
    if abs(place.down - place.up) <= 1e-5 * (place.down + place.up):
        return rounded((place.down + place.up) / 2)
    return [rounded(place.down), rounded(place.up)]


def points_of(row: dict) -> list[Point | None]:
    """The points of a row of audit.json, one for each draw."""
    places = []
    for effect, half in zip(row["effects"], row["halves"], strict=True):
        down, up = half if isinstance(half, list) else (half, half)
        there = effect is not None
        places.append(Point(on_scale(effect, row["scale"], 0), down, up) if there else None)
    return places


def chapter_section(results: list[dict], digest: str) -> dict:
    """A chapter's part of audit.json, from its results in the order of the draws."""
    draws = [result["draw"] for result in results]
    series: dict[tuple, dict[int, dict | None]] = {}
    # In the order of the chapter: the longest run first, then what only others show.
    for result in sorted(results, key=lambda result: -len(result["rows"])):
        seen: Counter[tuple] = Counter()
        for row in result["rows"]:
            name = row["kind"], row["text"]
            seen[name] += 1
            of_row = series.setdefault((*name, seen[name]), dict.fromkeys(draws))
            of_row[result["draw"]] = row
    return {
        "hash": digest,
        "seconds": [result["seconds"] for result in results],
        "stopped": {str(r["draw"]): r["stopped"] for r in results if r["stopped"]},
        "rows": [summarized(of_row, draws) for of_row in series.values()],
    }


# --------------------------------------------------------------------------------------
# Coverage


class Coverage(NamedTuple):
    """How many intervals cover the mean of the other draws, of how many, and of how many should."""

    covered: int = 0
    count: int = 0
    expected: float = 0.0

    def __str__(self) -> str:
        if not self.count:
            return "no interval that differs between draws"
        return (
            f"{self.covered / self.count:.1%} of {self.count} intervals "
            f"({self.expected / self.count:.1%} expected)"
        )


def coverage(rows: Iterable[dict]) -> Coverage:
    from scipy import stats

    covered, count, expected = 0, 0, 0.0
    for row in rows:
        places = [place for place in points_of(row) if place]
        k = len(places)
        if not row["n"] or not row["drawn"] or row["confidence"] != 0.95 or k < FEWEST:
            continue
        total = math.fsum(place.middle for place in places)
        for place in places:
            gap = (total - place.middle) / (k - 1) - place.middle
            covered += -place.down <= gap <= place.up
        reach = quantile(row["n"], 0.95) / math.sqrt(1 + 1 / (k - 1))
        count += k
        expected += k * float(1 - 2 * stats.t.sf(reach, row["n"] - 1))
    return Coverage(covered, count, expected)


# --------------------------------------------------------------------------------------
# What would break a claim


class Counterexample(NamedTuple):
    """An input to a claim, as numbers of a chapter, and whether the claim raises for it."""

    effect: float
    low: float
    high: float
    raises: bool


def counterexamples(row: dict) -> dict[str, Counterexample]:
    """Inputs to a claim, with intervals as wide as the draws' are on the average, by name.

    "zero", or "ratio 1"; "the reverse"; and "a shift", the smallest that makes the interval reach
    a bound, or "as it is", if it reaches one already. Without an estimate there is none of them,
    without a bound no shift.
    """
    places, scale = [place for place in points_of(row) if place], row["scale"]
    if not places:
        return {}
    low, high = tightest([row])
    middle, down, up = (statistics.fmean(values) for values in zip(*places, strict=True))

    def example(middle: float, down: float, up: float) -> Counterexample:
        raises = not (middle - down > low and middle + up < high)
        ends = (middle, middle - down, middle + up)
        return Counterexample(*(off_scale(end, scale) for end in ends), raises)

    nothing = "ratio 1" if scale == "ratio" else "zero"
    found = {nothing: example(0.0, down, up), "the reverse": example(-middle, up, down)}
    falls, rises = rooms(places, (low, high))
    if min(falls, rises) <= 0:
        found["as it is"] = example(middle, down, up)
    elif min(falls, rises) < math.inf:
        shift = -falls if falls < rises else rises
        # On the bound itself; a hair beyond it, so that no rounding undoes it.
        beyond = shift + math.copysign(1e-9 * (abs(middle) + abs(shift)), shift)
        found["a shift"] = example(middle + beyond, down, up)
    return found


def fails_for(row: dict) -> str:
    """The first input for which the claim raises; empty if there is none."""
    examples = counterexamples(row)
    for name in ("as it is", "zero", "ratio 1", "the reverse"):
        if name in examples and examples[name].raises:
            return name
    if "a shift" not in examples:
        return ""
    places = [place for place in points_of(row) if place]
    middle = statistics.fmean(place.middle for place in places)
    shift = on_scale(examples["a shift"].effect, row["scale"], 0) - middle
    if row["scale"] == "ratio":
        return f"only when multiplied by {math.exp(shift):.3g}"
    return f"only when moved by {with_unit(f'{shift:+.2g}', row['unit'])}"


def with_unit(number: str, unit: str) -> str:
    return f"{number} {unit}" if unit[:1].isalpha() else f"{number}{unit}"
