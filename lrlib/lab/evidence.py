"""`claim` and `measure`: one sentence, its evidence, and how far luck is from overturning it."""

from __future__ import annotations

import math
import os
import sys
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lrlib import _checks
from lrlib.lab import _tables
from lrlib.lab.intervals import Estimate, Scale, checked, half_interval, interval, student

__all__ = [
    "ENOUGH",
    "FAILED",
    "MIMETYPE",
    "ClaimError",
    "Estimate",
    "Evidence",
    "Margin",
    "claim",
    "claims",
    "half_interval",
    "measure",
    "student",
]

MIMETYPE = "application/vnd.lrlib.claims+json"  # under which a notebook carries the rows
FAILED = "NOT SUPPORTED"
ENOUGH = 3.0  # half-widths between estimate and bound: a fair redraw fails in one of 30,000
_MOST_SEEDS = 10**6


class ClaimError(AssertionError):
    """The evidence does not support the claim."""


@dataclass(frozen=True)
class Margin:
    """The smallest difference that matters on a task; smaller ones are "no difference".

    Attributes:
        points: of test error, in percentage points.
        ratio: of losses, as a factor above 1.
        nats: of losses, in nats.

    One per task, set before looking, and used for every ``claim(..., no_difference=margin)``.
    """

    points: float | None = None
    ratio: float = 1.1
    nats: float | None = None

    def __post_init__(self) -> None:
        for name in ("points", "nats"):
            if getattr(self, name) is not None:
                _checks.number("Margin", name, getattr(self, name), above=0)
        _checks.number("Margin", "ratio", self.ratio, above=1)


@dataclass(frozen=True)
class Evidence:
    """What `claim` and `measure` return: one row of a table of evidence.

    Attributes:
        kind, text: "claim" or "measurement", and what it says.
        effect, low, high, confidence: the estimate and its interval (NaN if a run diverged).
        seeds, of: how many numbers the effect is the mean of, and of what; 0 for an exact one.
        verdict: "supported", "no difference we can detect", "a difference, smaller than the
            margin", "NOT SUPPORTED" (see `claim`), or "measured".
        unit, scale: as given, the unit without spaces around it.
        bounds, wanted: between which numbers, in words too, the whole interval had to lie; a
            measurement is held to nothing: (-inf, inf) and None.
        power: half-widths of the interval (of logarithms, for ratios) from the estimate to the
            nearest bound; negative beyond it, infinite if the interval has no width, NaN if the
            effect is, None for a measurement.
        seeds_needed: the smallest number of seeds at which the power would be 3 if estimate and
            spread stayed the same; None for a measurement, for an interval without width, and
            where a million seeds would not do.
    """

    kind: Literal["claim", "measurement"]
    text: str
    effect: float
    low: float
    high: float
    seeds: int
    verdict: str
    unit: str = ""
    of: str = "seeds"
    scale: Scale = "linear"
    confidence: float = 0.95
    bounds: tuple[float, float] = (-math.inf, math.inf)
    wanted: str | None = None
    power: float | None = None
    seeds_needed: int | None = None

    @property
    def measured(self) -> str:
        """Effect, unit and interval as a reader sees them: ``0.25 nats [0.11, 0.39]``."""
        if not math.isfinite(self.effect):
            return "NaN"
        effect, low, high = _tables.rounded(self.effect, self.low, self.high, self.scale)
        shown = _tables.with_unit(effect, self.unit)
        return f"{shown} [{low}, {high}]" if self.seeds else shown

    @property
    def line(self) -> str:
        """All of it in one line."""
        found = f"{self.text} | {self.measured}, "
        found += f"{self.seeds} {self.of}" if self.seeds else "exact"
        if self.kind == "measurement":
            return f"Measured: {found}"
        parts = [f"Claim: {found}", f"wanted {self.wanted}"]
        if self.power is not None and math.isfinite(self.power):
            distance = f"{_tables.half_widths(self.power)} half-widths from its bound"
            if self.power < ENOUGH and self.seeds_needed is not None:
                distance += f" ({ENOUGH:g} take {self.seeds_needed} {self.of})"
            parts.append(distance)
        return " | ".join([*parts, self.verdict])

    def row(self) -> dict[str, object]:
        """The row as JSON holds it: numbers to ten digits, None for what is not finite.

        "n" is the number of seeds; "measured" is the text that a reader sees.
        """
        return {
            "kind": self.kind,
            "text": self.text,
            "measured": self.measured,
            "effect": _json(self.effect),
            "low": _json(self.low),
            "high": _json(self.high),
            "n": self.seeds,
            "of": self.of,
            "unit": self.unit,
            "scale": self.scale,
            "confidence": self.confidence,
            "wanted": self.wanted,
            "bounds": [_json(bound) for bound in self.bounds],
            "power": _json(self.power),
            "seeds_needed": self.seeds_needed,
            "verdict": self.verdict,
        }

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict:
        """What a notebook shows and keeps when this is the last value of a cell."""
        return _bundle([self], self.line)


def claim(
    text: str,
    effect: float | np.ndarray | Estimate,
    *,
    above: float | None = None,
    below: float | None = None,
    within: tuple[float, float] | None = None,
    no_difference: float | Margin | None = None,
    unit: str = "",
    of: str = "seeds",
    confidence: float = 0.95,
    scale: Scale = "linear",
) -> Evidence:
    """Return the evidence for one sentence; raise if it does not support it.

    Args:
        text: the sentence, as the chapter says it.
        effect: one number per seed, shape (seeds,), such as paired differences; an `Estimate`,
            which brings its own interval and scale; or a single number for an exact result,
            which has no interval.
        above, below, within: the whole interval must lie above, below or inside these.
        no_difference: for differences (or ratios, with ``scale="ratio"``): the whole interval
            must lie inside ±no_difference (for ratios between 1/no_difference and no_difference).
            The verdict is then "no difference we can detect", or, if the interval leaves out
            zero, that there is one smaller than the margin. A `Margin` gives its `ratio` for
            ratios and otherwise what `unit` asks for, "points" or "nats".
            Exactly one of the four is given.
        unit: printed behind the numbers.
        of: what the effects are of, in the plural, if not seeds: "problems", say.
        confidence: of the interval, in (0, 1).
        scale: "ratio" averages and forms the interval in logarithms (a geometric mean).

    The interval is Student's t interval for the mean over seeds (SciPy). A NaN (a run that
    diverged) is never averaged away: it fails the claim.

    In a notebook the evidence shows itself as the last value of a cell, or in a table made by
    `claims`; elsewhere one line is printed at once. With the environment variable LRLIB_AUDIT=1
    a claim that fails is not raised but reported, with the verdict "NOT SUPPORTED".
    Raises ClaimError if the claim is not supported, TypeError or ValueError for bad arguments.
    """
    given = [x is not None for x in (above, below, within, no_difference)]
    if sum(given) != 1:
        raise ValueError(
            f"claim: give exactly one of above, below, within and no_difference, got {sum(given)}"
        )
    found = _found("claim", text, effect, unit, of, confidence, scale)
    if isinstance(no_difference, Margin):
        no_difference = _margin(no_difference, found["scale"], found["unit"])
    bounds = _bounds(above, below, within, no_difference, found["scale"])
    power = _half_widths(found["effect"], found["low"], found["high"], bounds, found["scale"])
    evidence = Evidence(
        kind="claim",
        verdict=_verdict(found, bounds, no_difference is not None),
        bounds=bounds,
        wanted=_wanted(above, below, within, no_difference, found["scale"], found["unit"]),
        power=power,
        seeds_needed=_seeds_needed(power, found["seeds"], found["confidence"]),
        **found,
    )
    if evidence.verdict == FAILED and not _audited():
        raise ClaimError(evidence.line)
    return _reported(evidence)


def measure(
    text: str,
    effect: float | np.ndarray | Estimate,
    *,
    unit: str = "",
    of: str = "seeds",
    confidence: float = 0.95,
    scale: Scale = "linear",
) -> Evidence:
    """Return an effect with its interval, asserting nothing; NaN is shown as such.

    Arguments, reporting and errors for bad arguments are those of `claim`.
    """
    found = _found("measure", text, effect, unit, of, confidence, scale)
    return _reported(Evidence(kind="measurement", verdict="measured", **found))


def claims(evidence: list[Evidence]) -> None:
    """Show claims and measurements as one table: displayed in a notebook, printed elsewhere.

    The notebook carries the rows as data too, under the type ``MIMETYPE``: {"rows": [...]}, each
    as `Evidence.row` makes it. Raises TypeError or ValueError if there is nothing to show.
    """
    if not isinstance(evidence, list | tuple):
        raise TypeError(f"claims: evidence must be a list of Evidence, got {evidence!r:.200}")
    if not evidence:
        raise ValueError(f"claims: evidence must not be empty, got {evidence!r}")
    for row in evidence:
        if not isinstance(row, Evidence):
            raise TypeError(
                f"claims: evidence must hold what claim and measure return, got {row!r:.200}"
            )
    table = _tables.as_text(evidence)
    if _in_ipython():
        from IPython.display import display

        display(_bundle(evidence, table), raw=True)
    else:
        print(table)


# --------------------------------------------------------------------------------------
# What was found, and what it is held to


def _found(owner, text, effect, unit, of, confidence, scale) -> dict:
    """The fields of `Evidence` that a claim and a measurement share."""
    if not isinstance(text, str) or not text.strip() or "\n" in text:
        raise TypeError(f"{owner}: text must be a sentence on one line, got {text!r}")
    if not isinstance(unit, str):
        raise TypeError(f"{owner}: unit must be a string, got {unit!r}")
    if not isinstance(of, str) or not of.isalpha():
        raise TypeError(f"{owner}: of must be one word, got {of!r}")
    _checks.choice(owner, "scale", scale, ("linear", "ratio"))
    confidence = _checks.number(owner, "confidence", confidence, above=0, below=1)
    if isinstance(effect, Estimate):
        if scale not in ("linear", effect.scale):
            raise ValueError(f"{owner}: scale must be that of the Estimate, got {scale!r}")
        if confidence != 0.95:
            raise ValueError(
                f"{owner}: confidence must be 0.95 with an Estimate, got {confidence!r}"
            )
        scale, seeds = effect.scale, int(effect.seeds)
        ends = tuple(float(x) for x in (effect.effect, effect.low, effect.high))
        if not all(map(math.isfinite, ends)):
            ends = (math.nan,) * 3
    else:
        values = checked(owner, effect)
        seeds = values.size if values.ndim else 0
        ends = interval(owner, values, confidence, scale)
    fields = ("text", "unit", "of", "confidence", "scale", "seeds", "effect", "low", "high")
    found = (text, unit.strip(), of, confidence, scale, seeds, *ends)
    return dict(zip(fields, found, strict=True))


def _margin(margin: Margin, scale: str, unit: str) -> float:
    """The number in `margin` that an effect of this scale and unit is compared with."""
    if scale == "ratio":
        return margin.ratio
    if unit not in ("points", "nats"):
        raise ValueError(
            f"claim: unit must be 'points' or 'nats' when no_difference is a Margin, got {unit!r}"
        )
    if getattr(margin, unit) is None:
        raise ValueError(f"claim: no_difference has no margin in {unit}, got {margin!r}")
    return getattr(margin, unit)


def _bounds(above, below, within, no_difference, scale) -> tuple[float, float]:
    least = 0.0 if scale == "ratio" else None  # every ratio lies above 0
    if above is not None:
        return _checks.number("claim", "above", above, above=least), math.inf
    if below is not None:
        return -math.inf, _checks.number("claim", "below", below, above=least)
    if no_difference is not None:
        if scale == "ratio":
            margin = _checks.number("claim", "no_difference", no_difference, above=1)
            return 1 / margin, margin
        margin = _checks.number("claim", "no_difference", no_difference, above=0)
        return -margin, margin
    if not isinstance(within, tuple | list) or len(within) != 2:
        raise ValueError(f"claim: within must be two numbers, got {within!r}")
    low, high = (_checks.number("claim", "within", bound, above=least) for bound in within)
    if low >= high:
        raise ValueError(f"claim: within must ascend, got {within!r}")
    return low, high


def _wanted(above, below, within, no_difference, scale, unit) -> str:
    if above is not None:
        return f"> {_tables.with_unit(f'{above:g}', unit)}"
    if below is not None:
        return f"< {_tables.with_unit(f'{below:g}', unit)}"
    if within is not None:
        return f"{within[0]:g} to {_tables.with_unit(f'{within[1]:g}', unit)}"
    if scale == "ratio":
        return f"within a factor {no_difference:g}"
    return f"±{_tables.with_unit(f'{no_difference:g}', unit)}"


def _verdict(found: dict, bounds: tuple[float, float], no_difference: bool) -> str:
    low, high = found["low"], found["high"]
    if not (low > bounds[0] and high < bounds[1]):  # also for NaN
        return FAILED
    if not no_difference:
        return "supported"
    neutral = 1.0 if found["scale"] == "ratio" else 0.0
    alike = low <= neutral <= high
    return "no difference we can detect" if alike else "a difference, smaller than the margin"


def _half_widths(
    effect: float, low: float, high: float, bounds: tuple[float, float], scale: str
) -> float:
    """How many half-widths lie between `effect` and the nearest of `bounds`.

    On either side of the effect it is that side's half that counts, so that the power exceeds 1
    exactly where the interval clears the bounds, also if the effect is not its middle.
    """
    if math.isnan(effect):
        return math.nan
    lower, upper = bounds
    if scale == "ratio":
        effect, low, high = _log(effect), _log(low), _log(high)
        lower, upper = _log(lower), _log(upper)
    sides = [(effect - lower, effect - low), (upper - effect, high - effect)]
    return min(_distance(gap, half) for gap, half in sides)


def _distance(gap: float, half: float) -> float:
    if gap == math.inf:
        return gap
    if half > 0:
        return gap / half
    return math.inf if gap > 0 else -math.inf  # no width: it has to clear the bound, not touch it


def _log(number: float) -> float:
    return math.log(number) if number > 0 else -math.inf


def _seeds_needed(power: float, seeds: int, confidence: float) -> int | None:
    """The smallest number of seeds, at least 3, at which the power would be `ENOUGH`."""
    if not seeds or not math.isfinite(power) or power <= 0:
        return None

    def width(n: int) -> float:  # of the interval, in standard deviations; falls with n
        return student(n, confidence) / math.sqrt(n)

    wanted = width(seeds) * power / ENOUGH
    fail, enough = 2, 3
    while width(enough) > wanted:
        fail, enough = enough, 2 * enough
        if fail > _MOST_SEEDS:
            return None
    while enough - fail > 1:
        middle = (fail + enough) // 2
        fail, enough = (middle, enough) if width(middle) > wanted else (fail, middle)
    return enough


def _audited() -> bool:
    return os.environ.get("LRLIB_AUDIT", "0") == "1"


def _in_ipython() -> bool:
    ipython = sys.modules.get("IPython")  # not imported for this: it takes half a second
    return ipython is not None and ipython.get_ipython() is not None


def _reported(evidence: Evidence) -> Evidence:
    if not _in_ipython():
        print(evidence.line)
    return evidence


def _json(number: float | None) -> float | None:
    return float(f"{number:.10g}") if number is not None and math.isfinite(number) else None


def _bundle(evidence: list[Evidence], plain: str) -> dict[str, object]:
    return {
        "text/plain": plain,
        "text/html": _tables.as_html(evidence),
        MIMETYPE: {"rows": [row.row() for row in evidence]},
    }
