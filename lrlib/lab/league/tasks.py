"""What a task of the league is."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

import numpy as np

from lrlib import _checks
from lrlib.recipes import Recipe
from lrlib.schedule import Schedule

PEAKS = 12  # runs that each recipe may spend on its peak
RATIO = 2**0.5  # from one peak to the next
REGIMES = ("underfit", "fitted")
# How many peaks of the grid a recipe's best one lies above that of a line to zero, by experience
# of pilot runs. A recipe that is not here has the line's grid.
SHIFTS = {
    **{"fixed": -3, "average": -1, "plateau": -1, "step": -1, "exponential": 1},
    **{"WSD 10 %": -2, "WSD 20 %": -2, "WSD 40 %": -1},
}
# Fields that say how a task is shown and which of its runs are made, not what a run is.
_SHOWN = ("name", "about", "unit", "margin", "worst", "regime")
_WHICH = ("middle", "shifts", "seeds", "seconds", "data_files", "code", "only")


@dataclass(frozen=True, kw_only=True, eq=False)
class LeagueTask(ABC):
    """Something to train by any recipe, at any peak, with any seed, judged by numbers.

    To make one, subclass it as a frozen dataclass and give it `train`. All fields that decide what
    a run is belong to its `configuration`, and must be JSON (or have a telling repr).

    Attributes:
        name: as tables call it, unlike all others.
        about: what is trained on what, in one line.
        metric, unit: what "val" and "test" are, such as "test error" in "points" (hundredths).
            Lower is better.
        margin: the smallest difference that matters, in that unit, set before any result.
        worst: what a run counts as, in that unit, that diverged or ended worse than this: what is
            to be had without training.
        steps: updates of every run.
        warmup: of them the warm-up, put before every recipe that has none of its own.
        middle: the middle of the grid of a line to zero, by pilot runs of other seeds.
        shifts: name of a recipe -> by how many peaks its grid lies above the line's, where that
            differs from `SHIFTS`.
        seeds: how many, at least 3; each draws data, initial weights and batches.
        regime: "underfit", or "fitted" if the training set is fitted in the end.
        seconds: what a unit, the peaks of one recipe and seed, takes on one core, roughly.
        data_files: those in data/ that it reads.
        code: modules that decide its numbers besides those of the sweep, such as
            ("lab/language.py",), relative to the package.
        only: the names of the recipes that are run on it; empty for all.

    Raises ValueError or TypeError for bad settings.
    """

    name: str
    about: str = ""
    metric: str = "test error"
    unit: str = "points"
    margin: float
    worst: float
    steps: int
    warmup: int = 0
    middle: float
    shifts: Mapping[str, float] = field(default_factory=dict)
    seeds: int = 8
    regime: str = "underfit"
    seconds: float = 1.0
    data_files: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    only: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        owner = type(self).__name__
        if not isinstance(self.name, str) or not self.name:
            raise TypeError(f"{owner}: name must be a text, got {self.name!r}")
        _checks.number(owner, "margin", self.margin, above=0)
        _checks.number(owner, "worst", self.worst)
        _checks.number(owner, "middle", self.middle, above=0)
        _checks.integer(owner, "steps", self.steps, minimum=1)
        if _checks.integer(owner, "warmup", self.warmup, minimum=0) >= self.steps:
            raise ValueError(f"{owner}: warmup must be below {self.steps} steps, got {self.warmup}")
        _checks.integer(owner, "seeds", self.seeds, minimum=3)
        _checks.choice(owner, "regime", self.regime, REGIMES)

    @abstractmethod
    def train(self, recipe: Recipe, peaks: Sequence[float], seed: int) -> Mapping[str, np.ndarray]:
        """Train ``len(peaks)`` runs; the same numbers whenever it is asked.

        Returns at least "val", by which a peak is chosen, and "test", by which it is judged, each
        (peaks,), lower is better, NaN for a run that diverged. "first" (peaks, …), the first
        losses or other early numbers of a run, lets a retraining be compared closely; what else
        it returns is kept.
        """

    def shape(self, recipe: Recipe) -> Schedule:
        """The recipe's shape for this task's length and warm-up."""
        return recipe(self.steps, self.warmup)

    def grid(self, recipe: Recipe) -> tuple[float, ...]:
        """The recipe's peaks: `PEAKS` of them, a factor of the square root of two apart."""
        shift = self.shifts.get(recipe.name, SHIFTS.get(recipe.name, 0))
        powers = np.arange(PEAKS) - (PEAKS - 1) / 2 + shift
        return tuple(float(f"{self.middle * RATIO**k:.4g}") for k in powers)

    def modules(self) -> set[str]:
        """The modules, by their names in Python, that the task's own code is in."""
        return {kind.__module__ for kind in type(self).__mro__ if kind is not LeagueTask}

    def configuration(self) -> dict[str, object]:
        """What decides a run of it, but for recipe, peak, seed and code; as JSON keeps it."""
        settings = {
            f.name: _plain(getattr(self, f.name))
            for f in fields(self)
            if f.name not in _SHOWN + _WHICH
        }
        return json.loads(json.dumps({"kind": type(self).__name__} | settings))


def _plain(value: object) -> object:
    """`value` as JSON can hold it: functions by name, other things by their repr."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return getattr(value, "__qualname__", None) or repr(value)
