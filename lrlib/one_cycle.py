"""Chapter 07: one rise to a high peak and one long fall, while the momentum does the reverse."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lrlib import _checks
from lrlib.cyclical import Cycle, CyclicalMomentum

STRATEGIES = ("cos", "linear")


@dataclass(frozen=True)
class OneCycle(Cycle):
    """From ``1 / div_factor`` up to 1, and down to ``1 / (div_factor * final_div_factor)``.

    In each phase ``(1 - s) * first + s * last``, where s goes from 0 to 1 as
    ``(1 - cos(pi * pct)) / 2`` or as ``pct``, the part of the phase that is done.

    Args:
        total_steps: length of the run in optimizer steps, at least 0. Not epochs: multiply by
            the steps per epoch.
        pct_start: share of the run spent rising, in [0, 1]; neither per cent nor steps. At most
            0.5 with `three_phase`.
        anneal_strategy: "cos" or "linear".
        div_factor: the run starts at the peak divided by this, at least 1.
        final_div_factor: the run ends at its first rate divided by this, at least
            ``1 / div_factor``.
        three_phase: fall back to the first rate as fast as it rose, then on to the last rate.

    The peak lies at step ``pct_start * total_steps - 1``, or between two steps if that is not
    whole; the last factor at step ``total_steps - 1``, and it is held from there on. At these
    steps it equals torch's OneCycleLR, which rebounds at the step after them and raises at the
    next. If ``pct_start * total_steps`` is less than 1, no step is left for the rise: as in torch
    the run starts past the peak, with three phases in the last of them. If it is exactly 1, where
    torch divides by zero, the first step has the peak. With `pct_start` 1 there is no fall.

    OneCycleLR also drives the momentum: see `momentum`. Raises TypeError or ValueError for bad
    arguments. Source: Smith & Topin (2018), Super-convergence; the cosine and the two phases
    are fast.ai's.
    """

    total_steps: int
    pct_start: float = 0.3
    anneal_strategy: str = "cos"
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    three_phase: bool = False

    def __post_init__(self) -> None:
        owner = "OneCycle"
        total = _checks.integer(owner, "total_steps", self.total_steps, minimum=0)
        object.__setattr__(self, "total_steps", total)
        pct_start = _checks.number(owner, "pct_start", self.pct_start, minimum=0)
        if pct_start > 1:
            hint = ""
            if pct_start.is_integer() and pct_start <= total:
                hint = f"; {pct_start:g} of {total} steps are pct_start={pct_start / total:g}"
            raise ValueError(
                f"{owner}: pct_start must be a share of the run in [0, 1], not a number of steps, "
                f"got {self.pct_start!r}{hint}"
            )
        object.__setattr__(self, "pct_start", pct_start)
        _checks.choice(owner, "anneal_strategy", self.anneal_strategy, STRATEGIES)
        div_factor = _checks.number(owner, "div_factor", self.div_factor, minimum=1)
        object.__setattr__(self, "div_factor", div_factor)
        final = _checks.number(
            owner, "final_div_factor", self.final_div_factor, minimum=1 / div_factor
        )
        object.__setattr__(self, "final_div_factor", final)
        if not isinstance(self.three_phase, bool):
            raise TypeError(f"{owner}: three_phase must be True or False, got {self.three_phase!r}")
        if self.three_phase and pct_start > 0.5:
            raise ValueError(
                f"{owner}: pct_start must be at most 0.5 with three_phase=True, since the fall "
                f"takes as long as the rise, got {self.pct_start!r}"
            )

    @property
    def length(self) -> int:
        return self.total_steps

    def formula(self, step: int) -> float:
        start = 1 / self.div_factor
        end = start / self.final_div_factor
        corners = (start, 1.0, start, end) if self.three_phase else (start, 1.0, end)
        i, s = self._phase(step)
        return (1 - s) * corners[i] + s * corners[i + 1]

    def height(self, step: int) -> float:
        """How far up the rate is at `step`: 1 at the peak, 0 at the start, the end and between."""
        i, s = self._phase(_checks.integer("OneCycle", "step", step, minimum=0))
        return (s, 1 - s, 0.0)[i]

    def momentum(self, min_factor: float = 0.85 / 0.95) -> CyclicalMomentum:
        """The momentum that moves against the rate: 1 at the start and the end, lowest at the peak.

        To be given to ``ScheduledLR(optimizer, shape, momentum=shape.momentum())``. `min_factor`,
        in [0, 1], is the momentum at the peak as a factor on the one the optimizer was built
        with: torch's ``base_momentum / max_momentum``, of which the default is torch's.
        """
        return CyclicalMomentum(self, min_factor)

    def _phase(self, step: int) -> tuple[int, float]:
        """The phase of `step`, counted from 0, and how far it has got, from 0 to 1."""
        last = max(self.total_steps - 1, 0)
        step = min(step, last)
        peak = self.pct_start * self.total_steps - 1
        bounds = (0.0, peak, 2 * peak, last) if self.three_phase else (0.0, peak, last)
        i = sum(step > bound for bound in bounds[1:-1])
        first, end = bounds[i], bounds[i + 1]
        pct = (step - first) / (end - first) if end > first else 1.0
        return i, (1 - math.cos(math.pi * pct)) / 2 if self.anneal_strategy == "cos" else pct
