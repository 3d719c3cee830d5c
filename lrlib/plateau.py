"""Chapter 11: a rule that watches a metric, and how often it errs.

`PlateauRule` is the rule alone, without an optimizer; `lrlib.PlateauLR` lets it drive one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from lrlib import _checks

MODES = ("min", "max")
THRESHOLD_MODES = ("rel", "abs")


@dataclass
class PlateauRule:
    """Drops a factor when a metric has stopped improving; torch's rule, without an optimizer.

    An evaluation is *bad* unless it beats the best one so far by more than the threshold. When
    more than `patience` bad ones have come in a row, `level` is multiplied by `factor`, and the
    count starts anew; the best stays.

    >>> rule = PlateauRule(patience=2)
    >>> [rule.observe(loss) for loss in (1.0, 0.8, 0.9, 0.8, 0.85, 0.7)]
    [False, False, False, False, True, False]
    >>> rule.level, rule.drops, rule.best
    (0.1, 1, 0.7)

    Args:
        mode: "min" for a metric that should fall (a loss), "max" for one that should rise.
        factor: what a drop multiplies `level` by, in (0, 1).
        patience: bad evaluations in a row that are borne; the one after them is a drop.
        threshold: by how much an evaluation must beat the best, at least 0.
        threshold_mode: "rel": by that share of the best's size; "abs": by that much.
        cooldown: evaluations after a drop in which bad ones are not counted.
        min_factor: `level` does not fall below it, in [0, 1].

    Attributes: `level`, the product of the drops, 1 at first; `drops`, how many there were;
    `best`, None before the first evaluation; `bad`, the bad ones in a row; `cooldown_left`.

    The rule equals that of torch's ReduceLROnPlateau, except that

    - a relative threshold is a share of the best's *size*: torch multiplies the best by ``1 -
      threshold``, so that of two losses below 0 the worse can pass for an improvement;
    - None and NaN are no evaluation and change nothing, nor does an infinity on the good side:
      torch counts NaN as bad, and can never improve on ``-inf``. Infinity on the bad side is bad;
    - there is no ``eps``, below which torch leaves a rate as it is.

    Raises TypeError or ValueError for bad arguments.
    """

    mode: str = "min"
    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    threshold_mode: str = "rel"
    cooldown: int = 0
    min_factor: float = 0.0
    best: float | None = field(default=None, init=False)
    bad: int = field(default=0, init=False)
    cooldown_left: int = field(default=0, init=False)
    drops: int = field(default=0, init=False)
    level: float = field(default=1.0, init=False)

    def __post_init__(self) -> None:
        for name, value in checked("PlateauRule", self.arguments()).items():
            setattr(self, name, value)

    def arguments(self) -> dict[str, Any]:
        """What the rule was built with."""
        return {it.name: getattr(self, it.name) for it in fields(self) if it.init}

    def counts(self, metric: float | None) -> bool:
        """Whether `metric` is an evaluation: not None, not NaN, not infinitely good."""
        if metric is None or math.isnan(metric):
            return False
        return metric != (-math.inf if self.mode == "min" else math.inf)

    def improves(self, metric: float) -> bool:
        """Whether `metric` beats the best so far by more than the threshold."""
        best, sign = self.best, -1 if self.mode == "min" else 1
        if best is None:
            return math.isfinite(metric)
        if self.threshold_mode == "abs":
            bar = best + sign * self.threshold
        else:
            bar = best * (1 + (sign if best >= 0 else -sign) * self.threshold)
        return metric < bar if self.mode == "min" else metric > bar

    def observe(self, metric: float | None) -> bool:
        """Take one evaluation; True if `level` fell.

        Raises TypeError unless `metric` is a number (a tensor or array of no dimensions is one)
        or None.
        """
        metric = as_metric("PlateauRule", metric)
        if metric is None or not self.counts(metric):
            return False
        if self.improves(metric):
            self.best, self.bad = metric, 0
        else:
            self.bad += 1
        if self.cooldown_left:
            self.cooldown_left, self.bad = self.cooldown_left - 1, 0
        if self.bad <= self.patience:
            return False
        before, self.level = self.level, self._lowered()
        self.bad, self.cooldown_left = 0, self.cooldown
        fell = self.level < before
        self.drops += fell
        return fell

    def _lowered(self) -> float:
        # So many drops that the product would be 0 are one too many.
        return max(self.level * self.factor, self.min_factor) or self.level

    def state_dict(self) -> dict[str, Any]:
        """What was observed, and under "arguments" what the rule was built with."""
        state = {key: value for key, value in asdict(self).items() if key not in self.arguments()}
        return {**state, "arguments": self.arguments()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state. The arguments of *this* rule hold, not the saved ones.

        If the rules have another mode, the best and the bad ones mean nothing here and are left
        out. A level below this rule's `min_factor` is raised to it. The state of torch's
        ReduceLROnPlateau is taken too, which does not say how far the rates have fallen: `level`
        and `drops` are left as they are. Raises ValueError for anything else; nothing is changed
        then.
        """
        try:
            best, *counts, level, mode = self._read(state)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(
                f"PlateauRule: state must come from PlateauRule.state_dict(), got {state!r:.500}"
            ) from error
        self.bad, self.cooldown_left, self.drops = counts
        self.best, self.level = best, max(level, self.min_factor)
        if mode != self.mode:
            self.best, self.bad = None, 0

    def _read(self, state: Mapping[str, Any]) -> tuple[float | None, int, int, int, float, str]:
        if "num_bad_epochs" in state:
            names, drops, level, mode = _OF_TORCH, self.drops, self.level, state["mode"]
        else:
            names, drops, level = _OWN, state["drops"], state["level"]
            mode = state["arguments"]["mode"]
        best, bad, cooldown_left = (state[name] for name in names)
        if best is not None and names is _OF_TORCH and math.isinf(best):
            best = None
        return (
            None if best is None else _checks.number("PlateauRule", "best", best),
            _checks.integer("PlateauRule", "bad", bad, minimum=0),
            _checks.integer("PlateauRule", "cooldown_left", cooldown_left, minimum=0),
            _checks.integer("PlateauRule", "drops", drops, minimum=0),
            _checks.number("PlateauRule", "level", level, above=0, maximum=1),
            mode,
        )


_OWN = ("best", "bad", "cooldown_left")
_OF_TORCH = ("best", "num_bad_epochs", "cooldown_counter")


def checked(owner: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a rule, each of its kind and in its range; the errors name `owner`."""
    number, integer, given = _checks.number, _checks.integer, dict(arguments)
    given["mode"] = _checks.choice(owner, "mode", given["mode"], MODES)
    given["factor"] = number(owner, "factor", given["factor"], above=0, below=1)
    given["patience"] = integer(owner, "patience", given["patience"], minimum=0)
    given["threshold"] = number(owner, "threshold", given["threshold"], minimum=0)
    given["threshold_mode"] = _checks.choice(
        owner, "threshold_mode", given["threshold_mode"], THRESHOLD_MODES
    )
    given["cooldown"] = integer(owner, "cooldown", given["cooldown"], minimum=0)
    given["min_factor"] = number(owner, "min_factor", given["min_factor"], minimum=0, maximum=1)
    return given


def as_metric(owner: str, metric: Any) -> float | None:
    """A metric as a float, NaN and infinities included; None stays None."""
    value = _checks.plain(metric)
    if value is None:
        return None
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise TypeError(f"{owner}: metric must be one number, or None, got {metric!r:.200}")
    return float(value)


# --- How often the rule errs


def first_drop_probabilities(
    patience: int, slope: float, evaluations: int, threshold: float = 0.0
) -> np.ndarray:
    """The probability that a plateau rule drops for the first time at each of its evaluations.

    The metric falls by `slope` from one evaluation to the next, under independent normal noise of
    standard deviation 1: ``m[t] = -slope * t + noise[t]``. So with ``slope > 0`` every drop is a
    false one. `threshold` is absolute. Divide all by the noise's standard deviation σ if it is
    another.

    Args:
        patience: as in `PlateauRule`, at least 0.
        slope: δ/σ, at least 0; 0 is a true plateau from the first evaluation on.
        evaluations: how many there are, at least 1; the first of them sets the best.
        threshold: as in `PlateauRule`, in units of σ, at least 0.

    Returns a float64 array of shape (evaluations,): P(first drop at evaluation t). Exact up to
    about 1e-10: what is computed is the density of the best value, relative to the falling line,
    whenever a new best comes, from those of the last ``patience + 1`` evaluations; the integrals
    are Fourier sums of smooth functions. Raises TypeError or ValueError for bad arguments.
    """
    owner = "first_drop_probabilities"
    patience = _checks.integer(owner, "patience", patience, minimum=0)
    slope = _checks.number(owner, "slope", slope, minimum=0)
    evaluations = _checks.integer(owner, "evaluations", evaluations, minimum=1)
    threshold = _checks.number(owner, "threshold", threshold, minimum=0)
    # x: the best, less the line at the evaluation that set it. The line then falls below it.
    low, high = -_FAR, _FAR + slope + threshold
    n = 2 ** math.ceil(math.log2((high - low) / _STEP))
    step = (high - low) / n
    x = low + step * np.arange(n)
    density = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    lags = np.arange(1, patience + 2)[:, np.newaxis]
    stands = _above(x + lags * slope - threshold)  # the best outlives the evaluation `lag` later
    survival = np.cumprod(np.vstack([np.ones_like(x), stands]), axis=0)
    waves = 2j * np.pi * np.fft.rfftfreq(n, step)
    fall = np.exp(-waves * lags * slope)
    drops = np.zeros(evaluations)
    if patience > evaluations - 2 or survival[-1].max() < _NOTHING:
        return drops
    records = np.zeros((patience + 1, n))  # newest first
    records[0] = density  # the first evaluation is the best so far
    for t in range(1, evaluations):
        drops[t] = step * records[-1] @ survival[-1]
        if drops.sum() > 1 - _NOTHING:
            break
        spectrum = (np.fft.rfft(records * survival[:-1]) * fall).sum(axis=0)
        records[1:] = records[:-1]
        records[0] = density * _mass_above(spectrum, waves, x - low, threshold)
    return np.clip(drops, 0, 1)


_FAR, _STEP = 8.5, 0.05  # standard deviations that are looked at; of the grid
_NOTHING = 1e-14  # of probability


def _above(x: np.ndarray) -> np.ndarray:
    """P(noise > x), of standard normal noise."""
    return np.array([math.erfc(it / math.sqrt(2)) / 2 for it in x.ravel()]).reshape(x.shape)


def _mass_above(
    spectrum: np.ndarray, waves: np.ndarray, x: np.ndarray, threshold: float
) -> np.ndarray:
    """The integral of a density from ``x + threshold`` to the end of the grid, for every x.

    The density is given by its Fourier coefficients; x is counted from the start of the grid.
    """
    n, length = len(x), len(x) * (x[1] - x[0])
    total = spectrum[0].real * length / n
    integrated = np.zeros_like(spectrum)
    integrated[1:] = spectrum[1:] / waves[1:]
    start = np.fft.irfft(integrated, n)[0]
    there = np.fft.irfft(integrated * np.exp(waves * threshold), n)
    return total - (total / length * (x + threshold) + there - start)


def false_drop_probability(
    patience: int, slope: float, evaluations: int, threshold: float = 0.0
) -> float:
    """The probability that a plateau rule drops although the metric still improves.

    That is, at least once in so many evaluations of a metric that falls by `slope` standard
    deviations of its noise from each to the next. See `first_drop_probabilities`, also for the
    errors.

    >>> round(false_drop_probability(patience=10, slope=0.3, evaluations=300), 3)
    0.086
    """
    drops = first_drop_probabilities(patience, slope, evaluations, threshold)
    return min(1.0, float(drops.sum()))


def patience_needed(
    slope: float, evaluations: int, probability: float = 0.05, threshold: float = 0.0
) -> int:
    """The least patience whose `false_drop_probability` is at most `probability`.

    `slope` must be above 0 here. `probability` lies in (0, 1); the errors are those of
    `first_drop_probabilities`.

    >>> patience_needed(slope=0.1, evaluations=300)
    27
    """
    owner = "patience_needed"
    slope = _checks.number(owner, "slope", slope, above=0)
    probability = _checks.number(owner, "probability", probability, above=0, below=1)
    evaluations = _checks.integer(owner, "evaluations", evaluations, minimum=1)

    def enough(patience: int) -> bool:
        return false_drop_probability(patience, slope, evaluations, threshold) <= probability

    # More patience never drops earlier; with as much as there are evaluations it never drops.
    least, most = 0, 1
    while not enough(most):
        least, most = most + 1, 2 * most
    while least < most:
        middle = (least + most) // 2
        least, most = (least, middle) if enough(middle) else (middle + 1, most)
    return least


def plateau_delay(patience: int, seen: int = 1) -> float:
    """The mean number of evaluations until a plateau rule drops, once the metric is flat.

    `seen` evaluations of the same plateau have been made, and the last of them was the best (at
    least 1: the one that sets the best). Whatever the noise's distribution, as long as the
    evaluations are independent and no two equal: evaluation k is the best so far with probability
    1/k, whatever came before (Rényi 1962). The threshold is 0. Raises TypeError or ValueError for
    bad arguments.

    >>> [round(plateau_delay(10, seen), 1) for seen in (1, 10, 100)]
    [19.5, 15.2, 11.6]
    """
    owner = "plateau_delay"
    patience = _checks.integer(owner, "patience", patience, minimum=0)
    seen = _checks.integer(owner, "seen", seen, minimum=1)
    bad = np.zeros(patience + 1)  # the probability of so many bad ones in a row, and no drop yet
    bad[0], mean, k = 1.0, 0.0, seen
    while (left := bad.sum()) > 1e-16:
        mean, k = mean + left, k + 1
        bad[1:] = bad[:-1] * (1 - 1 / k)
        bad[0] = left / k
    return float(mean)
