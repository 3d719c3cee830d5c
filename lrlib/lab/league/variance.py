"""Of what the spread of final results is made: peak, shape, and what the seed draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lrlib import _checks
from lrlib.lab.intervals import Estimate, interval, student
from lrlib.lab.league.results import Entry, League

Scale = Literal["ranks", "linear"]
PARTS = ("peak", "shape", "peak × shape", "seed")
SEED_PARTS = ("data", "weights", "data × weights", "batches")


@dataclass(frozen=True, eq=False)
class Shares:
    """Shares of a variance, task by task.

    Attributes:
        tasks, parts: names.
        shares: float64, (tasks, parts); each row sums to 1.
        half: half of each share's 95 % interval within its task (a jackknife over seeds, or over
            draws of the data).
        total: float64, (tasks,): the whole standard deviation, in ranks (uniform between 0 and 1)
            or in the task's own unit.
    """

    tasks: tuple[str, ...]
    parts: tuple[str, ...]
    shares: np.ndarray
    half: np.ndarray
    total: np.ndarray

    def of(self, part: str) -> np.ndarray:
        """One part's share, (tasks,)."""
        _checks.choice("Shares.of", "part", part, self.parts)
        return self.shares[:, self.parts.index(part)]

    def mean(self, part: str) -> Estimate:
        """The mean share over tasks, with Student's 95 % interval over tasks (at least 3)."""
        values = self.of(part)
        return Estimate(*interval("Shares.mean", values, 0.95, "linear"), len(values))


def variance(
    league: League,
    span: int | None = 5,
    recipes: Sequence[str] | None = None,
    scale: Scale = "ranks",
) -> Shares:
    """Peak, shape and seed: whose choice moves a task's test result how much.

    The analysis of variance of shape × peak × seed with fixed shapes and peaks and random seeds,
    every part estimated without bias (and at least 0), in shares of their sum: "shape", between the
    means of the recipes; "peak", between those of the peaks, counted from each recipe's own best
    one; "peak × shape", what is left between cells; "seed", between runs of one cell that differ
    in their seed alone, which draws data, initial weights and batches.

    Args:
        league: as recorded or played.
        span: how many peaks of each recipe's grid, with its best one in the middle (as far as the
            grid reaches); 5, a factor of two apart by the square root, span a factor of four. None
            is the whole grid, from its lowest peak up.
        recipes: whose; default all.
        scale: "ranks", the place of each run among all that are compared on its task, so that no
            run that diverged outweighs the rest; or "linear", the task's own unit.

    Raises ValueError for bad arguments, GridEdgeError as `League.best_peaks`.
    """
    owner = "variance"
    names = league.recipes if recipes is None else tuple(recipes)
    for name in names:
        _checks.choice(owner, "recipes", name, league.recipes)
    if len(names) < 2:
        raise ValueError(f"{owner}: recipes must be at least 2, got {names}")
    _checks.choice(owner, "scale", scale, ("ranks", "linear"))
    best = league.best_peaks() if span is not None else {}
    rows = []
    for task, entry in league.entries.items():
        every, grid = entry.numbers("test"), entry.results.peaks
        places = [league.recipes.index(name) for name in names]
        values = every[places]
        if span is not None:
            span = _checks.integer(owner, "span", span, minimum=2)
            values = np.stack(
                [_around(every[i], grid[i], best[task][league.recipes[i]], span) for i in places]
            )
        values = _scaled(values, scale)
        rows.append(_with_half(values, parts_of, 2))
    return _gathered(league.tasks, PARTS, rows)


def seeds_apart(league: League, recipes: Sequence[str] | None = None) -> Shares:
    """What a seed draws, apart: of the spread between runs that differ in their seed alone.

    For the recorded league "league_seeds", whose seeds count through draws of the data, initial
    weights, and orders of the batches. Within each cell (a recipe at a peak), data and weights are
    crossed and orders of batches nested in both; the mean of every part over the cells, estimated
    without bias (and at least 0), in shares of their sum, in the task's own unit. "data" is all
    that a draw decides: where each has a test set of its own (images), the luck of that is in it.

    Raises ValueError if the seeds of a task are not drawn apart, or for an unknown recipe.
    """
    names = league.recipes if recipes is None else tuple(recipes)
    rows = []
    for task, entry in league.entries.items():
        if entry.design is None:
            raise ValueError(f"seeds_apart: the seeds of {task!r} are not drawn apart")
        for name in names:
            _checks.choice("seeds_apart", "recipes", name, league.recipes)
        rows.append(_with_half(_by_design(entry, names), seed_parts_of, 1))
    return _gathered(league.tasks, SEED_PARTS, rows)


def parts_of(values: np.ndarray) -> np.ndarray:
    """Unbiased parts of the variance of (shapes, peaks, seeds), as `PARTS` names them.

    Shapes and peaks are fixed, their parts mean squares of their effects; seeds are random, and
    their part is the variance within a cell.
    """
    shapes, peaks, seeds = values.shape
    cell = values.mean(-1)
    shape = cell.mean(1, keepdims=True) - cell.mean()
    peak = cell.mean(0, keepdims=True) - cell.mean()
    both = cell - cell.mean() - shape - peak
    seed = values.mean((0, 1)) - values.mean()
    # What a seed does to all runs alike is no error of a comparison; what it does to one cell is.
    error = values - cell[..., None] - seed
    rest = (error**2).sum() / ((shapes * peaks - 1) * (seeds - 1))
    alike = (seed**2).sum() / (seeds - 1) - rest / (shapes * peaks)
    noise = rest / seeds / (shapes * peaks)  # of the mean of a cell, over its degrees of freedom
    found = [
        (peak**2).mean() - (peaks - 1) * noise,
        (shape**2).mean() - (shapes - 1) * noise,
        (both**2).mean() - (shapes - 1) * (peaks - 1) * noise,
        rest + alike,
    ]
    return np.maximum(found, 0)


def seed_parts_of(values: np.ndarray) -> np.ndarray:
    """Unbiased parts of the variance of (cells, data, weights, batches), as `SEED_PARTS` says."""
    data, weights, batches = values.shape[1:]
    pair = values.mean(-1)
    of_data, of_weights = pair.mean(2, keepdims=True), pair.mean(1, keepdims=True)
    middle = pair.mean((1, 2), keepdims=True)
    nested = ((values - pair[..., None]) ** 2).sum((1, 2, 3)) / (data * weights * (batches - 1))
    crossed = ((pair - of_data - of_weights + middle) ** 2).sum((1, 2))
    crossed *= batches / ((data - 1) * (weights - 1))
    rows = ((of_data - middle) ** 2).sum((1, 2)) * weights * batches / (data - 1)
    columns = ((of_weights - middle) ** 2).sum((1, 2)) * data * batches / (weights - 1)
    found = [
        (rows - crossed) / (weights * batches),
        (columns - crossed) / (data * batches),
        (crossed - nested) / batches,
        nested,
    ]
    return np.maximum(np.mean(found, axis=1), 0)


def _around(values: np.ndarray, grid: np.ndarray, best: float, span: int) -> np.ndarray:
    """The results at `span` neighbouring peaks, the best in their middle if the grid reaches."""
    if span > len(grid):
        raise ValueError(f"variance: span must be at most the {len(grid)} peaks, got {span}")
    first = int(np.argmin(abs(grid - best))) - span // 2
    first = min(max(first, 0), len(grid) - span)
    return values[first : first + span]


def _scaled(values: np.ndarray, scale: str) -> np.ndarray:
    if scale == "linear":
        return values
    from scipy import stats

    return (stats.rankdata(values).reshape(values.shape) - 0.5) / values.size


def _by_design(entry: Entry, names: Sequence[str]) -> np.ndarray:
    assert entry.design is not None
    places = [entry.results.schedules.index(name) for name in names]
    values = entry.numbers("test")[places]
    return values.reshape(-1, *entry.design)


def _with_half(values: np.ndarray, parts, axis: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Shares, half of their intervals by leaving out each draw along an axis, and the whole SD."""

    def shares(values: np.ndarray) -> np.ndarray:
        found = parts(values)
        return found / found.sum() if found.sum() else np.full(len(found), np.nan)

    n = values.shape[axis]
    left = [shares(np.delete(values, k, axis)) for k in range(n) if n > 3]
    half = np.full(len(shares(values)), np.nan)
    if left:
        half = student(n) * np.sqrt((n - 1) * np.var(left, axis=0))
    return shares(values), half, float(np.sqrt(parts(values).sum()))


def _gathered(
    tasks: tuple[str, ...],
    parts: tuple[str, ...],
    rows: list[tuple[np.ndarray, np.ndarray, float]],
) -> Shares:
    shares, half, total = (np.array(column) for column in zip(*rows, strict=True))
    return Shares(tasks, parts, shares, half, total)
