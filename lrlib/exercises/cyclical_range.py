"""Exercise 3 of chapter 06: a made-up range test, and the checker of the bounds read off it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from lrlib.exercises import Ask, Mistake, exercise, short, to_number


@dataclass(frozen=True)
class RangeTest:
    """A loss that falls in the logarithm of the rate, and grows with its square later on."""

    rates: np.ndarray
    top: float
    low: float
    middle: float  # the rate half-way down
    width: float  # of the fall, in units of the logarithm
    rise: float  # the rate at which the growth has added 0.5

    def clean(self) -> np.ndarray:
        fall = 1 / (1 + (self.middle / self.rates) ** (1 / self.width))
        return self.top - (self.top - self.low) * fall + 0.5 * (self.rates / self.rise) ** 2

    def diverged(self) -> int:
        """The first reading that is no number any more."""
        over = self.clean() > 4 * self.top
        return int(np.argmax(over)) if over.any() else over.size

    def losses(self, noise: float, seed: int) -> np.ndarray:
        out = self.clean() + noise * np.random.default_rng(seed).standard_normal(self.rates.size)
        out[self.diverged() :] = np.nan
        out[self.diverged() : self.diverged() + 1] = np.inf
        return out

    def right(self) -> tuple[float, float]:
        """The first rates at which a fifth and four fifths of the way down are done."""
        losses = self.clean()
        way = (losses[0] - losses) / max(losses[0] - losses.min(), 1e-9)
        base, top = (float(self.rates[np.argmax(way >= share)]) for share in (0.2, 0.8))
        return base, top


LOGARITHMIC = RangeTest(np.geomspace(1e-5, 10, 600), 2.3, 0.8, 0.01, 0.6, 1.0)
SHORTER = RangeTest(np.geomspace(1e-4, 10, 500), 1.6, 0.4, 0.03, 0.5, 2.0)
LINEAR = RangeTest(np.linspace(0.001, 1, 500), 2.0, 0.6, 0.15, 0.35, 1.2)
TOO_HIGH = RangeTest(np.geomspace(0.5, 10, 400), 2.3, 2.3, 1.0, 1.0, 2.0)


def range_test(noise: float = 0.1, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The rates and losses of a made-up range test, each of shape (600,), to look at."""
    return LOGARITHMIC.rates.copy(), LOGARITHMIC.losses(noise, seed)


def _finite(losses):
    """The readings up to the first that is no finite number."""
    finite = np.isfinite(losses)
    return losses if finite.all() else losses[: np.argmin(finite)]


def _means(back, ahead):
    """Means over the readings before and after each, as many as there are."""

    def smooth(losses):
        kept = _finite(losses)
        sums, i = np.append(0, np.cumsum(kept)), np.arange(len(kept))
        first, end = np.maximum(i - back, 0), np.minimum(i + ahead + 1, len(kept))
        return (sums[end] - sums[first]) / (end - first)

    return smooth


def _convolved(width, mode):
    return lambda losses: np.convolve(_finite(losses), np.ones(width) / width, mode=mode)


def _bounds(smooth, base=None, top=None, says=lambda rates, i, j: (rates[i], rates[j])):
    """With these means; where ``base(means, way)`` and ``top(means, way)`` are first true."""

    def bounds(rates, losses):
        means = smooth(losses)
        start, lowest = means[0], means.min()
        if lowest > 0.9 * start:
            raise ValueError("the test began too high: the lowest mean is no tenth below the start")
        way = (start - means) / (start - lowest)
        i = np.argmax(base(means, way) if base else way >= 0.2)
        j = np.argmax(top(means, way) if top else way >= 0.8)
        return says(rates, i, j)

    return bounds


def _read(ask: Ask, test: RangeTest, noise: float, tail: bool, seed: int) -> dict[str, Any]:
    """Two rates, in three digits; one that is near enough to the right one counts as that."""
    n = None if tail else test.diverged()
    try:
        answer = ask(test.rates[:n], test.losses(noise, seed)[:n])
    except (Mistake, ValueError) as error:
        if test is TOO_HIGH and noise and isinstance(error.__cause__ or error, ValueError):
            return {"under noise": "a ValueError"}
        if test is TOO_HIGH or not isinstance(error.__cause__, ValueError):
            raise
        raise Mistake(f"{error}: but here the loss does fall.") from error.__cause__
    try:
        base, top = answer
    except (TypeError, ValueError):
        what = f"return two numbers, (base_lr, max_lr), not {short(answer)}."
        raise Mistake(what) from None
    kind, factor = ("under noise", 1.5) if noise else ("with a tail" if tail else "clean", 1.25)
    found = []
    for name, value, right in zip(("base_lr", "max_lr"), (base, top), test.right(), strict=True):
        value = to_number(value, f"{ask.name}, for {name},")
        if not math.isfinite(value):
            raise Mistake(
                f"your {name} is {value:g}. A mean over NaN is NaN, and so is the minimum: leave "
                f"out all readings from the first that is no finite number on."
            )
        near = value > 0 and abs(math.log(value / right)) <= math.log(factor)
        found.append(float(f"{right if near else value:.3g}"))
    return {kind: tuple(found)}


_CENTRED = _means(20, 20)
_FIRST = lambda means, way: way <= 1  # noqa: E731
_FASTEST = lambda means, way: np.gradient(way) == np.gradient(way).max()  # noqa: E731
_LOWEST = lambda means, way: way == 1  # noqa: E731
_A_FIFTH = lambda means, way: means <= 0.8 * means[0]  # noqa: E731
_NEAR_LOWEST = lambda means, way: means <= 1.2 * means.min()  # noqa: E731
_GIVEN = "you returned {given}, and {wanted} is right, with a factor of 1.5 either way. "
_NOISE = (
    "A single reading can lie far off: judge by the mean of enough neighbours, and take the start "
    "and the lowest loss from these means too."
)
_RISES = "the test began too high, yet you returned {given}: raise a ValueError under noise too."
_WIDTHS = (25, 31, 41, 51, 61, 81, 101)
check_bounds = exercise(
    "Exercise 3: ``bounds(rates, losses)``, base_lr and max_lr read off a range test.",
    right=_bounds(_CENTRED),
    names=("_test", "noise", "_tail", "_seed"),
    cases=(
        (LOGARITHMIC, 0, False, 0),
        (LOGARITHMIC, 0, True, 0),
        *((LOGARITHMIC, noise, True, seed) for noise in (0.03, 0.1, 0.15) for seed in (0, 1)),
        *((LINEAR, noise, True, seed) for noise in (0.03, 0.15) for seed in (0, 1)),
        *((test, 0.1, True, seed) for test in (SHORTER, TOO_HIGH) for seed in (0, 1)),
        (TOO_HIGH, 0, True, 0),
    ),
    read=_read,
    rel=0.1,  # of wrong answers: means over some more or fewer readings differ by so much
    noun="range test",
    wrong=(
        (
            "{given}: those are positions in the array. Which rates stand there?",
            _bounds(_CENTRED, says=lambda rates, i, j: (i, j)),
        ),
        (
            "you return the larger one first. base_lr is the bottom of a cycle.",
            _bounds(_CENTRED, says=lambda rates, i, j: (rates[j], rates[i])),
        ),
        (
            "{given}: those are logarithms of rates.",
            _bounds(_CENTRED, says=lambda rates, i, j: np.log10([rates[i], rates[j]])),
            _bounds(_CENTRED, says=lambda rates, i, j: np.log([rates[i], rates[j]])),
        ),
        (
            "those are losses. Which rates belong to them?",
            lambda rates, losses: np.interp(
                _bounds(_CENTRED)(rates, losses), rates[: len(_finite(losses))], _finite(losses)
            ),
        ),
        (
            "your base_lr is the first rate of the test. There the loss does not fall yet.",
            _bounds(_CENTRED, base=_FIRST),
        ),
        (
            "your base_lr is where the loss falls fastest. A fifth of the way is done before.",
            _bounds(_CENTRED, base=_FASTEST),
        ),
        (
            "your base_lr is where the loss has lost a fifth of its value. It should have come a "
            "fifth of the way from where it starts to its lowest.",
            _bounds(_CENTRED, _A_FIFTH),
            _bounds(_CENTRED, _A_FIFTH, lambda means, way: means <= 0.2 * means[0]),
            _bounds(_CENTRED, _A_FIFTH, _NEAR_LOWEST),
        ),
        (
            "your max_lr is the rate of the lowest loss. Before that the loss has hardly fallen "
            "any more for a long while, and noise decides where exactly it is lowest.",
            _bounds(_CENTRED, top=_LOWEST),
        ),
        (
            "base_lr is not the first rate, nor where the fall is steepest, and max_lr not that of "
            "the lowest loss, nor the last: both are shares of the way down.",
            _bounds(_CENTRED, _FIRST, _LOWEST),
            _bounds(_CENTRED, _FASTEST, _LOWEST),
            lambda rates, losses: (rates[0], rates[len(_finite(losses)) - 1]),
        ),
        (
            "your max_lr is the last rate with so low a loss, which has begun to rise again. The "
            "first is wanted.",
            _bounds(
                _CENTRED, top=lambda _, way: np.arange(len(way)) == np.nonzero(way > 0.8)[0][-1]
            ),
        ),
        (
            "your max_lr is the last rate of the test.",
            _bounds(_CENTRED, says=lambda rates, i, j: (rates[i], rates[-1])),
        ),
        (
            "your max_lr is where the loss is a fifth above its lowest. Measure the way from the "
            "start down to the lowest.",
            _bounds(_CENTRED, top=_NEAR_LOWEST),
        ),
        (
            "near the ends of the array your means are far too low. np.convolve(..., mode='same') "
            "takes readings beyond the ends for 0: average over those that there are.",
            *(_bounds(_convolved(width, "same")) for width in (5, 11, 21, *_WIDTHS)),
        ),
        (
            "both are too high. Does your mean look back only? A running mean of that kind shows "
            "a fall late; take as many readings after a reading as before it.",
            *(_bounds(_means(width, 0)) for width in _WIDTHS),
        ),
        (
            "both are too low. Does your mean look ahead only? Entry i of np.convolve(..., "
            "mode='valid') belongs to the middle of its window, not to reading i.",
            *(_bounds(_convolved(width, "valid")) for width in _WIDTHS),
        ),
        (
            "base_lr is too low and max_lr too high. A very wide window blurs the fall: take fewer "
            "neighbours.",
            *(_bounds(_means(width, width)) for width in (70, 80, 90, 100, 120)),
        ),
        (
            "your base_lr is a fraction of max_lr, the other rule. Here both are read off "
            "the curve.",
            *(_bounds(_CENTRED, says=lambda r, _, j, c=c: (r[j] / c, r[j])) for c in (3, 4)),
            _bounds(_CENTRED, top=_LOWEST, says=lambda r, _, j: (r[j] / 4, r[j])),
        ),
        # It refuses as it should, or a learner who does not would seem to average too little.
        (_NOISE, lambda r, x: (_bounds(_CENTRED)(r, x), _bounds(_means(0, 0))(r, x))[1]),
    ),
    differs={
        "clean": "you returned {given}, and the loss has come a fifth and four fifths of the way "
        "from the start to the lowest at {wanted}.",
        "with a tail": _GIVEN + "The readings after the divergence are inf and nan. Without these "
        "readings your answer was right: leave out all from the first that is no finite number on, "
        "before anything is averaged.",
        "under noise": lambda test, *_: _RISES if test is TOO_HIGH else _GIVEN + _NOISE,
    },
    passed="these bounds are right, and a curve that only rises is refused.",
)
