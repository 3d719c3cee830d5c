"""The usual experiment: each schedule at its own peaks, all on the same seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lrlib import _checks
from lrlib.lab.models import Task
from lrlib.lab.results import SweepResult
from lrlib.lab.sweep import sweep
from lrlib.schedule import Schedule


def tune(
    task: Task,
    schedules: Mapping[str, Schedule],
    lowest: float | Mapping[str, float],
    seeds: Sequence[int],
    *,
    steps: int,
    count: int = 5,
    batch_size: int = 16,
    **settings: Any,
) -> SweepResult:
    """A sweep of each schedule over `count` peaks, doubling from its `lowest`.

    `lowest` is one peak, or one for each schedule by name. ``.judged()`` of the result gives each
    seed the peak that the other seeds choose, and raises if a best peak lies at the grid's edge.
    The other arguments are those of `lrlib.lab.sweep`, whose errors it raises; ValueError if
    `lowest` does not have the names of `schedules`.
    """
    count = _checks.integer("tune", "count", count, minimum=1)
    lows = dict(lowest) if isinstance(lowest, Mapping) else dict.fromkeys(schedules, lowest)
    if set(lows) != set(schedules):
        raise ValueError(
            f"tune: lowest must have a peak for each of {list(schedules)}, got {lowest!r}"
        )
    doubling = 2.0 ** np.arange(count)
    grid = {
        name: (_checks.number("tune", "lowest", low, above=0) * doubling).tolist()
        for name, low in lows.items()
    }
    return sweep(task, schedules, grid, seeds, steps=steps, batch_size=batch_size, **settings)
