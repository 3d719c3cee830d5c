"""What a range test found: the curve, what the rules read from it, and the picture of both."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from lrlib import _checks
from lrlib.lr_finder.curves import checked, noise_of, rounding_of, smooth, start_level
from lrlib.lr_finder.rules import CLIMB, RULES

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class NoSuggestionError(RuntimeError):
    """The curve does not bear a suggestion; the message says why."""


@dataclass(frozen=True)
class Suggestion:
    """What one rule says.

    Attributes: `rate`, from the mean curve of all repeats; `low` and `high`, the least and the
    greatest from the curve of a single repeat, None if there was one repeat only. A rate is None
    if the result has a `reason` to refuse, or if the rule finds nothing.
    """

    rate: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, eq=False)
class LRFinderResult:
    """The curve of a range test, and what rules read from it. It can be built from any curve.

    Args:
        rates: shape (n,), ascending: rates of the first parameter group.
        losses: shape (repeats, n) or (n,): the loss that followed the update with that rate. NaN
            where a test had ended, infinity for a loss that was not finite.
        ratios: each group's rate as a multiple of the first group's.
        smoothing: see `find_lr`.

    Rules read a curve that is prepared thus: losses far above the start (by more than half the
    greatest fall below it, and four times the noise) are cut to that height, and tests that ended
    count as that high, so that a blow-up does not reach back through the smoothing; the mean over
    the repeats is taken as far as the longest went, and smoothed in the logarithm of the rate.

    Attributes: `smoothed`, that curve, of shape (m,), m ≤ n; `reason`, None or why there is no
    suggestion; `suggestions`, a dict from the names in `RULES` to a `Suggestion`; `default`, the
    library's own one as a number. Raises TypeError or ValueError for bad arguments.
    """

    rates: np.ndarray
    losses: np.ndarray
    ratios: tuple[float, ...] = (1.0,)
    smoothing: float = 0.2

    def __post_init__(self) -> None:
        owner = "LRFinderResult"
        losses = np.atleast_2d(np.array(self.losses, dtype=np.float64))
        bad = losses.ndim != 2 or losses.shape[1] != np.size(self.rates)
        if bad or not np.isfinite(losses[:, 0]).any():
            raise ValueError(
                f"{owner}: losses must have shape (repeats, {np.size(self.rates)}) and start with "
                f"numbers, got {self.losses!r:.200}"
            )
        rates, _ = checked(owner, self.rates, np.zeros(np.size(self.rates)))
        object.__setattr__(self, "rates", rates)
        object.__setattr__(self, "losses", losses)
        smoothing = _checks.number(owner, "smoothing", self.smoothing, minimum=0)
        object.__setattr__(self, "smoothing", smoothing)

    @cached_property
    def _cut(self) -> np.ndarray:
        """The losses cut at a height and filled up to the end of the longest test, (repeats, m)."""
        ran = ~np.isnan(self.losses)
        m = max(int(np.flatnonzero(ran.any(0)).max()) + 1, 3)
        losses = np.where(ran, self.losses, math.inf)[:, :m]
        start = start_level(losses)
        low = self._smooth(np.minimum(losses, start).mean(0)).min()
        return np.minimum(losses, start + max(0.5 * (start - low), 4 * self._noise))

    def _smooth(self, losses: np.ndarray) -> np.ndarray:
        return smooth(self.rates[: losses.size], losses, self.smoothing)

    @cached_property
    def _noise(self) -> float:
        """Standard deviation of one loss around the curve, from differences of neighbours."""
        with np.errstate(invalid="ignore"):  # infinity less infinity
            return noise_of(np.diff(self.losses))

    @cached_property
    def smoothed(self) -> np.ndarray:
        return self._smooth(self._cut.mean(0))

    @cached_property
    def reason(self) -> str | None:
        curve, rates = self.smoothed, self.rates
        if curve.size < 10:
            return f"no descent: the test ended after {curve.size} updates; lower start_lr"
        start, low = start_level(self._cut), curve.min()
        # Standard error of a smoothed loss: as many losses count as the window covers.
        spacing = math.log10(rates[-1] / rates[0]) / (rates.size - 1)
        window = max(2 * math.sqrt(math.pi) * self.smoothing / spacing, 1) * len(self.losses)
        doubt = max(5 * self._noise / math.sqrt(window), rounding_of(self.losses) * abs(start))
        if start - low <= doubt:
            return (
                f"no descent: the loss falls from {start:.4g} to {low:.4g} at most, and its noise "
                f"or rounding alone may do that; test more often (num_iter, repeats), from a "
                f"smaller start_lr, with larger batches, or check that the model trains at all"
            )
        climb = curve[curve.argmin() :].max() - low
        if climb <= max(CLIMB * (start - low), doubt):
            return (
                f"no divergence: at {rates[curve.size - 1]:.4g}, the last rate, the loss has not "
                f"climbed back from its minimum; raise end_lr"
            )
        return None

    @cached_property
    def suggestions(self) -> dict[str, Suggestion]:
        if self.reason is not None:
            return dict.fromkeys(RULES, Suggestion(None))
        rates, found = self.rates[: self.smoothed.size], {}
        rows = [self._smooth(row) for row in self._cut] if len(self._cut) > 1 else []
        for name, rule in RULES.items():
            single = [rate for row in rows if (rate := rule(rates, row)) is not None]
            found[name] = Suggestion(
                rule(rates, self.smoothed),
                min(single, default=None),
                max(single, default=None),
            )
        return found

    def rate(self, name: str = "default") -> float:
        """The rate that a rule suggests; NoSuggestionError with the reason if it does not."""
        _checks.choice("LRFinderResult", "name", name, tuple(RULES))
        rate = self.suggestions[name].rate
        if rate is None:
            raise NoSuggestionError(
                f"find_lr: {self.reason or f'{name} finds nothing on this curve'}"
            )
        return rate

    @property
    def default(self) -> float:
        return self.rate()

    def group_rates(self, name: str = "default") -> tuple[float, ...]:
        """The suggestion for each parameter group, in the ratios that they had."""
        return tuple(self.rate(name) * ratio for ratio in self.ratios)

    def __str__(self) -> str:
        if self.reason is not None:
            return f"no suggestion: {self.reason}"
        lines = [f"{name:12s}{_words(found)}" for name, found in self.suggestions.items()]
        return "\n".join(lines)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the losses, the smoothed curve, and each suggestion with its spread over repeats."""
        if ax is None:
            import matplotlib.pyplot as plt

            ax = plt.figure().add_subplot()
        curve = self.smoothed
        rates = self.rates[: curve.size]
        for losses in self.losses[:, : curve.size]:
            ax.plot(rates, losses, ".", color="0.75", markersize=4, zorder=1)
        ax.plot(rates, curve, color="black", linewidth=1.8, zorder=3)
        found = {name: s.rate for name, s in self.suggestions.items() if s.rate is not None}
        # A row above the curve for each label. They all stand on that side of their lines where
        # there is room, and no line goes through a label if the one that reaches furthest that
        # way is on top.
        row = 0.1 * np.ptp(curve)
        top = curve.max() + row * (len(found) + 0.5)
        ax.set(xscale="log", xlabel="learning rate", ylabel="loss", ylim=(curve.min() - row, top))
        left = sum(math.log(rate**2 / (rates[0] * rates[-1])) for rate in found.values()) > 0
        colors = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")  # Okabe & Ito
        ordered = sorted(found.items(), key=lambda item: item[1], reverse=left)
        for i, (name, rate) in enumerate(ordered):
            s = self.suggestions[name]
            color = colors[list(RULES).index(name) % len(colors)]
            height = float(np.interp(math.log(rate), np.log(rates), curve))
            level = top - row * (i + 0.75)
            ax.plot([rate] * 2, [height, level], color=color, linewidth=1.2, zorder=2)
            ax.plot(rate, height, "o", color=color, markersize=7, zorder=4)
            if s.low is not None and s.high is not None:
                ax.plot([s.low, s.high], [height] * 2, color=color, linewidth=3, zorder=4)
            ax.annotate(
                f"{name.replace('_', '/')} {rate:.2g}",
                (rate, level),
                xytext=(-5 if left else 5, 0),
                textcoords="offset points",
                ha="right" if left else "left",
                va="center",
                color=color,
                fontsize=9.5,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1},
                zorder=5,
            )
        if self.reason is not None:
            ax.set_title(f"no suggestion: {self.reason.split(':')[0]}")
        return ax


def _words(found: Suggestion) -> str:
    if found.rate is None:
        return "none"
    spread = "" if found.low is None else f" ({found.low:.2g} to {found.high:.2g})"
    return f"{found.rate:.2g}{spread}"
