"""What a league measured, and its tables: regret, wins, cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from lrlib import _checks
from lrlib.lab.intervals import Estimate, interval, student
from lrlib.lab.league.tasks import PEAKS
from lrlib.lab.results import Results

Tuned = Literal["one", "others"]


@dataclass(frozen=True, eq=False)
class Entry:
    """One task of a league, and what was measured on it.

    Attributes:
        name, about, metric, unit, margin, worst, regime: as of `LeagueTask`.
        results: `Results` over recipes, peaks and seeds, whose metrics "val" and "test" are in the
            task's unit; `at`, `best_peaks`, `judged` and `compare` take them by name.
        design: for a task whose seeds are drawn apart, (data draws, initial weights, orders of the
            batches) that its seeds count through; else None.
        seconds: the processor time that all of its runs took.
    """

    name: str
    about: str
    metric: str
    unit: str
    margin: float
    worst: float
    regime: str
    results: Results
    design: tuple[int, int, int] | None = None
    seconds: float = 0.0

    def numbers(self, metric: str = "test") -> np.ndarray:
        """float64, (recipes, peaks, seeds): what diverged, or is worse than `worst`, is `worst`."""
        values = self.results.at(metric).astype(np.float64)
        return np.minimum(np.where(np.isnan(values), np.inf, values), self.worst)


@dataclass(frozen=True, eq=False)
class Regret:
    """How far each recipe ends behind the best one of each task.

    Attributes:
        tasks, recipes: names.
        own: float64, (tasks, recipes): mean regret in each task's own unit; below 0 where a recipe
            did better than the one that the other seeds called the best.
        margins: the same in units of the task's margin.
        half: half of its 95 % interval over seeds (a jackknife), in margins.
        score: float64, (tasks, recipes): the mean test result itself, in the task's own unit.
    """

    tasks: tuple[str, ...]
    recipes: tuple[str, ...]
    own: np.ndarray
    margins: np.ndarray
    half: np.ndarray
    score: np.ndarray

    def of(self, recipe: str) -> np.ndarray:
        """One recipe's regret in margins, (tasks,): for `lab.measure`, with of="tasks"."""
        _checks.choice("Regret.of", "recipe", recipe, self.recipes)
        return self.margins[:, self.recipes.index(recipe)]

    def mean(self, recipe: str) -> Estimate:
        """The mean over tasks, in margins, with Student's 95 % interval over tasks (at least 3)."""
        values = self.of(recipe)
        return Estimate(*interval("Regret.mean", values, 0.95, "linear"), len(values))

    def order(self) -> tuple[str, ...]:
        """The recipes by their mean regret, the best first."""
        return tuple(self.recipes[i] for i in np.argsort(self.margins.mean(0), kind="stable"))

    def wins(self, recipe: str, within: float = 1.0) -> Estimate:
        """The share of tasks on which the regret is at most `within` margins.

        With Wilson's 95 % interval over tasks.
        """
        within = _checks.number("Regret.wins", "within", within, minimum=0)
        values = self.of(recipe) <= within
        n, share, z = len(values), float(values.mean()), 1.959964
        middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
        low, high = min(share, middle - half), max(share, middle + half)
        return Estimate(share, max(0.0, low), min(1.0, high), n)

    def between(self, a: str, b: str) -> np.ndarray:
        """Regret of `a` less that of `b`, task by task, in margins, (tasks,)."""
        return self.of(a) - self.of(b)

    def worst(self, recipe: str) -> tuple[str, float]:
        """The task on which the recipe does worst, and its regret there, in margins."""
        values = self.of(recipe)
        return self.tasks[int(values.argmax())], float(values.max())


@dataclass(frozen=True, eq=False)
class League:
    """Every recipe on every task, at all its peaks, with all seeds.

    Attributes:
        entries: name of a task -> `Entry`.
        about: of a recorded league, what its file says: versions, machine, date, keys.
    """

    entries: Mapping[str, Entry]
    about: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not self.entries:
            raise ValueError(f"League: entries must not be empty, got {self.entries!r}")
        first = next(iter(self.entries.values())).results.schedules
        for name, entry in self.entries.items():
            if entry.results.schedules != first:
                raise ValueError(
                    f"League: every task must have the same recipes, got {first} and, on "
                    f"{name!r}, {entry.results.schedules}"
                )

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(self.entries)

    @cached_property
    def recipes(self) -> tuple[str, ...]:
        return next(iter(self.entries.values())).results.schedules

    @property
    def runs(self) -> int:
        """How many models were trained."""
        return sum(entry.results.at("test").size for entry in self.entries.values())

    @property
    def seconds(self) -> float:
        """The processor time that they took."""
        return sum(entry.seconds for entry in self.entries.values())

    def best_peaks(self) -> dict[str, dict[str, float]]:
        """Of every task and recipe the peak with the lowest mean "val".

        Raises GridEdgeError, naming the task, if one lies on the edge of its grid.
        """
        best = {}
        for name, entry in self.entries.items():
            try:
                best[name] = entry.results.best_peaks("val")
            except RuntimeError as error:
                raise type(error)(f"{name}: {error}") from None
        return best

    def regret(self, tuned: Tuned = "one", runs: int = PEAKS) -> Regret:
        """How far every recipe ends behind the best, with a budget of `runs` runs for its peak.

        tuned: "one": the peak is chosen by "val" of the `runs` runs of a single seed, and judged by
        "test" of the other seeds, averaged over which seed tuned: what so many runs buy. "others":
        every seed is judged at the peak that all others choose.

        The best recipe of a task is the one that does best on seeds other than the one it is judged
        on, so that no recipe is called the best for the luck of the runs that are counted. Runs
        that diverged count as the task's `worst`.

        `runs` divides the number of peaks: of 12, 6 are every second one, a factor of two apart,
        averaged over which of the two sets it is.

        Raises GridEdgeError if the best peak of a cell, over all seeds, is the first or last of its
        grid; ValueError for bad arguments, or if a task has fewer than 3 seeds.
        """
        _checks.choice("League.regret", "tuned", tuned, ("one", "others"))
        self.best_peaks()
        found = []
        for name, entry in self.entries.items():
            val, test = entry.numbers("val"), entry.numbers("test")
            peaks, seeds = val.shape[1:]
            runs = _checks.integer("League.regret", "runs", runs, minimum=1)
            if peaks % runs:
                raise ValueError(f"League.regret: runs must divide the {peaks} peaks, got {runs}")
            if seeds < 3:
                raise ValueError(f"League.regret: {name!r} must have at least 3 seeds, got {seeds}")
            own, score = _regret(val, test, tuned, runs)
            left = [
                _regret(np.delete(val, k, -1), np.delete(test, k, -1), tuned, runs)[0]
                for k in range(seeds)
                if seeds > 3
            ]
            half = np.full_like(own, np.nan)
            if left:
                spread = np.sqrt((seeds - 1) * np.var(left, axis=0))
                half = student(seeds) * spread
            found.append((own, own / entry.margin, half / entry.margin, score))
        arrays = (np.stack(column) for column in zip(*found, strict=True))
        return Regret(self.tasks, self.recipes, *arrays)


def _regret(
    val: np.ndarray, test: np.ndarray, tuned: str, runs: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean regret and mean test result of every recipe, each (recipes,), over the sets of peaks."""
    apart = val.shape[1] // runs
    one = _tuned_on_one if tuned == "one" else _tuned_on_others
    pieces = [one(val[:, i::apart], test[:, i::apart]) for i in range(apart)]
    return np.mean([p[0] for p in pieces], 0), np.mean([p[1] for p in pieces], 0)


def _tuned_on_one(val: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    seeds = val.shape[-1]
    # (recipes, tuning seed, judged seed)
    results = np.take_along_axis(test, val.argmin(1)[:, :, None], axis=1)
    total = results.sum(-1) - np.diagonal(results, axis1=1, axis2=2)
    # How well each did on the seeds that are neither tuned nor judged on.
    elsewhere = (total[:, :, None] - results) / (seeds - 2)
    best = np.take_along_axis(results, elsewhere.argmin(0)[None], axis=0)
    judged = ~np.eye(seeds, dtype=bool)
    return (results - best)[:, judged].mean(-1), results[:, judged].mean(-1)


def _tuned_on_others(val: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    seeds = val.shape[-1]
    of_others = val.sum(-1, keepdims=True) - val  # (recipes, peaks, judged seed)
    chosen = of_others.argmin(1)  # (recipes, judged seed)
    results = np.take_along_axis(test, chosen[:, :, None], axis=1)  # (…, judged, seed)
    own = np.diagonal(results, axis1=1, axis2=2)
    elsewhere = (results.sum(-1) - own) / (seeds - 1)
    best = np.take_along_axis(own, elsewhere.argmin(0)[None], axis=0)
    return (own - best).mean(-1), own.mean(-1)
