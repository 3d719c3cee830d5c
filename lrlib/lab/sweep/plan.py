"""What a sweep is to do: the grid of its runs, and the rate and momentum of each at every step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from lrlib import _checks
from lrlib.lab.data import SPLITS
from lrlib.lab.sweep.batching import is_sequence
from lrlib.schedule import Schedule


@dataclass(frozen=True, eq=False)
class Plan:
    """The checked grid of a sweep; slices are ordered by schedule, then peak, then seed.

    A *pair* is a schedule at one of its peaks, by its number in that order.
    """

    schedules: Mapping[str, Schedule]
    peaks: np.ndarray  # (schedules, peaks)
    seeds: tuple[int, ...]
    steps: int
    momenta: np.ndarray | None  # float64, (schedules, steps), if schedules drive the momentum

    @classmethod
    def checked(
        cls,
        schedules: object,
        peaks: object,
        seeds: object,
        steps: object,
        momentum_schedules: object = None,
        base_momentum: float = 0.0,
    ) -> Plan:
        if not isinstance(schedules, Mapping) or not schedules:
            raise TypeError(f"sweep: schedules must map names to Schedules, got {schedules!r}")
        for name, shape in schedules.items():
            if not isinstance(shape, Schedule):
                raise TypeError(f"sweep: schedules[{name!r}] must be a Schedule, got {shape!r}")
        grids = _checked_grids(peaks, schedules)
        if not is_sequence(seeds) or not len(seeds):
            raise TypeError(f"sweep: seeds must be a non-empty sequence of integers, got {seeds!r}")
        seeds = tuple(_checks.integer("sweep", "seeds", s, minimum=0) for s in seeds)
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"sweep: seeds must differ, got {seeds!r}")
        steps = _checks.integer("sweep", "steps", steps, minimum=1)
        momenta = _checked_momenta(momentum_schedules, schedules, base_momentum, steps)
        return cls(schedules, grids, seeds, steps, momenta)

    @property
    def slices(self) -> int:
        return self.peaks.size * len(self.seeds)

    @cached_property
    def factors(self) -> np.ndarray:
        """float64, (schedules, steps)."""
        return np.stack([shape.sample(self.steps) for shape in self.schedules.values()])

    def rates(self, pairs: np.ndarray) -> np.ndarray:
        """The planned rate of every step in the runs of some pairs, float32, (steps, pairs)."""
        rates = self.peaks.ravel()[pairs, None] * self.factors[pairs // self.peaks.shape[1]]
        return np.ascontiguousarray(rates.T, dtype=np.float32)

    def momentum(self, pairs: np.ndarray) -> np.ndarray | None:
        """The same for the momentum, float64, (steps, pairs); None if no schedule drives it."""
        if self.momenta is None:
            return None
        return np.ascontiguousarray(self.momenta[pairs // self.peaks.shape[1]].T)


def _checked_grids(peaks: Any, schedules: Mapping[str, Schedule]) -> np.ndarray:
    """The grid of every schedule, float64, (schedules, peaks)."""
    if isinstance(peaks, Mapping):
        if set(peaks) != set(schedules):
            raise ValueError(
                f"sweep: peaks must name the schedules {sorted(schedules)}, got {sorted(peaks)}"
            )
        grids = [np.atleast_1d(peaks[name]) for name in schedules]
    else:
        grids = [np.atleast_1d(peaks)] * len(schedules)
    grids = [_checks.array("sweep", "peaks", grid, ndim=1, above=0) for grid in grids]
    if len({len(grid) for grid in grids}) > 1:
        raise ValueError(
            f"sweep: peaks must be grids of one length, got lengths {[len(g) for g in grids]}"
        )
    for grid in grids:
        if (np.diff(grid) <= 0).any():
            raise ValueError(f"sweep: peaks must ascend strictly, got {grid.tolist()}")
    return np.array(grids)


def _checked_momenta(
    momentum_schedules: object, schedules: Mapping[str, Schedule], base: float, steps: int
) -> np.ndarray | None:
    """The planned momentum of every schedule and step, (schedules, steps); None if it is `base`."""
    given = {} if momentum_schedules is None else momentum_schedules
    if not isinstance(given, Mapping):
        raise TypeError(
            f"sweep: momentum_schedules must map names of schedules to Schedules, got {given!r}"
        )
    if not given:
        return None
    if not base:
        raise ValueError(
            f"sweep: momentum_schedules needs a momentum, or betas[0], above 0, got {base!r}"
        )
    planned = np.full((len(schedules), steps), base)
    for name, shape in given.items():
        if name not in schedules:
            raise ValueError(
                f"sweep: momentum_schedules must name some of {list(schedules)}, got {name!r}"
            )
        if not isinstance(shape, Schedule):
            raise TypeError(
                f"sweep: momentum_schedules[{name!r}] must be a Schedule, got {shape!r}"
            )
        row = planned[list(schedules).index(name)] = base * shape.sample(steps)
        if row.max() >= 1:
            raise ValueError(
                f"sweep: momentum_schedules[{name!r}] must keep the momentum below 1, got "
                f"{row.max():g} from {shape!r}"
            )
    return planned


def checked_splits(evaluate: Sequence[str]) -> tuple[str, ...]:
    """The splits to evaluate, each once."""
    if not is_sequence(evaluate):
        raise TypeError(f"sweep: evaluate must be a sequence of splits, got {evaluate!r}")
    for split in evaluate:
        _checks.choice("sweep", "evaluate", split, SPLITS)
    return tuple(dict.fromkeys(evaluate))


def checked_eval_steps(eval_steps: Sequence[int] | None, steps: int) -> tuple[int, ...]:
    """The updates after which to evaluate."""
    if eval_steps is None:
        return (steps,)
    if not is_sequence(eval_steps):
        raise TypeError(f"sweep: eval_steps must be a sequence of steps, got {eval_steps!r}")
    out = [_checks.integer("sweep", "eval_steps", s, minimum=0) for s in eval_steps]
    if not out or out != sorted(set(out)) or out[-1] > steps:
        raise ValueError(
            f"sweep: eval_steps must ascend within [0, {steps}], got {list(eval_steps)!r}"
        )
    return tuple(out)
