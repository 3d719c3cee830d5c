"""Checkers of chapter 09's exercises 4b and 5: what a range test says."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lrlib.exercises import Ask, Like, Mistake, apart, checker, exercise, number, passed, to_number
from lrlib.exercises.lr_finder_given import CURVES, Curve, Problem, problems

# --- 4b. The rate at which the loss falls fastest


def _finder(
    per_decade: bool = True,
    lag: float = 0,
    up_to_lowest: bool = True,
    skip: int = 0,
    finite: bool = True,
    box: float = 0.25,
    pick: Callable[[np.ndarray], Any] = np.argmin,
) -> Callable[[np.ndarray, np.ndarray], float]:
    """The careless finder without its faults, but for those asked for; `box` decades smooth it."""

    def suggest(rates: np.ndarray, losses: np.ndarray) -> float:
        keep = np.isfinite(losses) | (not finite)
        rates, losses = rates[keep], losses[keep]
        if up_to_lowest:
            rates, losses = (x[: np.argmin(losses) + 1] for x in (rates, losses))
        if lag:
            mean = np.cumsum(losses * lag ** -np.arange(len(losses))) * lag ** np.arange(
                len(losses)
            )
            losses = mean * (1 - lag) / (1 - lag ** np.arange(1, len(losses) + 1))
        elif box:
            half = max(1, round(box / math.log10(rates[1] / rates[0])))
            kernel = np.ones(2 * half + 1) / (2 * half + 1)
            losses, rates = np.convolve(losses, kernel, "valid"), rates[half:-half]
        slope = np.gradient(losses, np.log10(rates) if per_decade else rates)
        return rates[pick(slope[skip:])]

    return suggest


_UNITS = {  # losses times, losses plus, rates times
    "all losses are multiplied by 1000": (1000, 0, 1),
    "all losses are divided by 1000": (0.001, 0, 1),
    "all losses are lowered by 50, as some losses are": (1, -50, 1),
    "all losses are raised by 50": (1, 50, 1),
    "all rates are multiplied by 1e-4": (1, 0, 1e-4),
    "all rates are multiplied by 300": (1, 0, 300),
}


def _suggested(ask: Ask, made: Curve, units: str) -> dict[str, Any]:
    """Where a suggestion lies on the curve; or whether it stays there, in other units."""
    rates, losses = made.draw()
    answer = _one_of(ask, rates, losses)
    if not units:
        return {"": _place(made, answer, rates, losses)}
    times, plus, scale = _UNITS[units]
    other = _one_of(ask, scale * rates, times * losses + plus)
    same = math.isclose(other, scale * answer, rel_tol=0.02)
    return {"units": Like("the same" if same else f"from {answer:.3g} to {other:.3g}")}


def _one_of(ask: Ask, rates: np.ndarray, losses: np.ndarray) -> float:
    answer = to_number(ask(rates, losses), ask.name)
    hint = "That is none of the rates that were tried."
    if rates[0] * 0.999 <= answer <= rates[-1] * 1.001:
        return answer
    if not math.isfinite(answer):
        hint = "Leave out the losses that are not finite." * (not np.isfinite(losses).all())
    elif answer < 0 and rates[0] <= 10.0**answer:
        hint = "Is it a logarithm? The rate is 10 to its power."
    elif answer == int(answer) and 0 <= answer < len(rates):
        hint = "Is it an index? The rate stands in rates[index]."
    raise Mistake(f"you suggest {answer:.3g}, which is no rate of this test. {hint}")


def _place(made: Curve, answer: float, rates: np.ndarray, losses: np.ndarray) -> Like:
    x, bad, quiet = math.log10(answer), ~np.isfinite(losses), not made.noise
    step, off = math.log10(rates[1] / rates[0]), x - made.middle
    low = math.log10(rates[np.argmin(np.where(bad, np.inf, losses))])
    # Per unit of rate, the logistic function falls fastest where it has done this share.
    share = (1 - made.width * math.log(10)) / 2
    per_rate = made.width * math.log(share / (1 - share)) if share > 0 else -6 - made.middle
    places = {
        "right": abs(off) <= (0.15 if quiet else 0.3),
        "not finite": bad.any() and x > math.log10(rates[np.argmax(bad)]) - 0.35,
        "a tenth of the minimum": abs(x - low + 1) < step / 2,
        "the minimum": abs(x - low) < 1.5 * step,
        "after the blow-up": made.again and x > made.wall + 0.5,
        "rising": x > low,
        "per rate": quiet and abs(off - per_rate) < 0.09,
        "ten points early": quiet and abs(off + 10 * step) < 1.5 * step,
        "late": quiet and off > 0,
        f"early by {-off:.1f}": quiet,
        "noise": True,
    }
    given, right = apart(answer, 10.0**made.middle, 3)
    place = next(place for place, holds in places.items() if holds)
    return Like(place, f"your suggestion is {given}, and {right} is right")


check_suggest = exercise(
    "Exercise 4b: ``suggest(rates, losses)``, the rate at which the loss falls fastest.",
    right=_finder(),
    names=("curve", "_units"),
    cases=(*((made, "") for made in CURVES), *((CURVES[6], units) for units in _UNITS)),
    read=_suggested,
    noun="curve",
    rules_out="lrlib.lr_finder",
    wrong=(
        (
            "{given}: there it falls fastest per unit of rate. Take d loss / d log10(rate).",
            _finder(per_decade=False),
            _finder(per_decade=False, box=0),
            _finder(per_decade=False, lag=0.95, up_to_lowest=False, skip=10),
        ),
        (
            "{given}: it is late. If you average over the losses before, that lags behind the "
            "curve: take the neighbours on both sides, or fit a line to them.",
            _finder(lag=0.95),
            _finder(lag=0.9, up_to_lowest=False),
        ),
        (
            "{given}: it lies after the blow-up. Look for it before the lowest loss only.",
            _finder(up_to_lowest=False),
        ),
        (
            "{given}: it is ten points too low. If you skip ten, argmin counts from the eleventh.",
            _finder(skip=10),
        ),
        (
            "{given}: it lies at the losses that are not finite. np.argmin finds a NaN before "
            "any number: leave out those losses, and their rates.",
            _finder(finite=False),
        ),
        (
            "{given}: that is the minimum, where the loss no longer falls.",
            lambda rates, losses: rates[np.nanargmin(losses)],
        ),
        (
            "{given}: that is a tenth of the minimum, and not where the loss falls fastest.",
            lambda rates, losses: rates[np.nanargmin(losses)] / 10,
        ),
        (
            "{given}: there the loss rises fastest. The slope of a fall is negative: take argmin.",
            _finder(up_to_lowest=False, pick=np.argmax),
            lambda rates, losses: rates[np.nanargmax(np.gradient(losses))],
        ),
        (
            "{given}: that may be noise. Take slopes over half a decade or so, by a line fitted.",
            _finder(box=0),
            lambda rates, losses: rates[np.nanargmin(np.diff(losses)[: np.nanargmin(losses)])],
        ),
    ),
    differs={
        "": "{given}. Draw both. Is the slope taken over too much of the curve, or too little?",
        "units": lambda made, units: (
            f"if {units}, your suggestion goes {{given}}. The loss falls fastest where it did: "
            f"compare losses with each other, not with a fixed number, and work with differences "
            f"of the logarithms of the rates. Nothing in the curve says what a usual rate is. "
            f"(np.convolve(…, 'same') takes the losses beyond both ends to be 0.)"
        ),
    },
    passed="the steepest point, per decade, within a factor of 2 and whatever the units.",
)


# --- 5. A rule, judged by regret

BOUND = 1.4
_JUDGED = range(2**40, 2**40 + 24)  # problem seeds that lab.seeds never gives


@checker()
def check_rule(rule: Callable[[np.ndarray, np.ndarray], float]) -> None:
    """Exercise 5: ``rule(rates, losses)``, a peak for runs of 400 steps, judged by its regret."""
    judged = problems(_JUDGED)
    found = np.array([_peak(rule, problem.rates, problem.losses) for problem in judged])
    for problem, peak in zip(judged[:3], found, strict=False):
        scaled = _peak(rule, 100 * problem.rates, problem.losses)
        if not math.isclose(scaled, 100 * peak, rel_tol=0.02):
            raise Mistake(
                f"if all rates of a test are multiplied by 100, your peak goes from {peak:.3g} to "
                f"{scaled:.3g}. The best peak goes up a hundredfold then: the problem is the same "
                f"in other units. Read the peak from the curve: a multiple of one of its rates, no "
                f"index, no loss and no number of your own."
            )
    ratios = np.array([p.ratio(peak) for p, peak in zip(judged, found, strict=True)])
    median = float(np.median(ratios))
    if median > BOUND:
        shown = f"{apart(median, BOUND, 3)[0]} times" if median < math.inf else "infinitely"
        raise Mistake(
            f"the final loss is {shown} that of the best peak, in the median of {len(judged)} "
            f"problems; {BOUND} is allowed. {_advice(judged, found, int(np.isinf(ratios).sum()))}"
        )
    passed(f"the final loss is {median:.2f} times that of the best peak, in the median.")


def _advice(judged: Sequence[Problem], found: np.ndarray, lost: int) -> str:
    off = np.array([peak / p.best for p, peak in zip(judged, found, strict=True)])
    low, middle, high = np.quantile(off, [0.25, 0.5, 0.75])
    if np.allclose(found, [p.rates[p.losses.argmin()] for p in judged], rtol=1e-6):
        return (
            f"Your peak is the rate with the lowest loss: the edge of what the run survived, "
            f"{middle:.1f} times the best peak in the median."
        )
    if np.allclose(found, [p.rates[-1] for p in judged], rtol=1e-6):
        return "Your peak is the last rate, at which the test had broken down."
    if lost > len(judged) // 4:
        return f"{lost} of them diverged: your peaks are far too high."
    if not 0.6 < middle < 1.7:
        return (
            f"Your peaks are too {'high' if middle > 1 else 'low'}: {middle:.2g} times the best "
            f"one, in the median. What factor would problems(…) have taught you?"
        )
    return (
        f"Your peaks are right in the median, but they scatter: half of them lie outside {low:.2g} "
        f"to {high:.2g} times the best. Which point of the curve moves less from test to test? Is "
        f"the curve smooth enough to be read?"
    )


def _peak(rule: Callable[..., float], rates: np.ndarray, losses: np.ndarray) -> float:
    answer = number(Ask(rule, guarded=True), rates, losses)
    if not (math.isfinite(answer) and answer > 0):
        raise Mistake(f"your rule gave the peak {answer:g}. It should be finite and above 0.")
    return answer
