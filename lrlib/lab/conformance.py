"""One schedule in several libraries: ten updates of warm-up, then a cosine, a hundred in all.

torch's and lrlib's are run. The others are formulas, written here from the libraries' source, so
that the book needs none of them; tests/test_conformance.py runs each one that is installed, and
compares the formula, and what chapter 12 prints, with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from torch.optim import Optimizer, lr_scheduler

from lrlib import CosineAnnealing, Warmup, _checks
from lrlib.lab.measuring import applied

WARMUP, TOTAL = 10, 100
COLUMNS = (0, 9, 10, 99, 100, 150)  # updates that the table shows; 99 is the last of the run


def _fall(share: float) -> float:
    return (1 + math.cos(math.pi * share)) / 2


def _torch(optimizer: Optimizer) -> lr_scheduler.LRScheduler:
    rise = lr_scheduler.LinearLR(optimizer, start_factor=1 / WARMUP, total_iters=WARMUP)
    fall = lr_scheduler.CosineAnnealingLR(optimizer, T_max=TOTAL - WARMUP)
    return lr_scheduler.SequentialLR(optimizer, [rise, fall], milestones=[WARMUP])


def transformers(t: int) -> float:
    """``get_cosine_schedule_with_warmup(optimizer, 10, 100)``, transformers 5.24."""
    if t < WARMUP:
        return t / WARMUP
    return max(0.0, _fall((t - WARMUP) / (TOTAL - WARMUP)))


def timm(t: int, prefix: bool = False) -> float:
    """timm 1.0's ``CosineLRScheduler``, warmup_t=10, stepped by updates.

    ``t_initial=100``; with `prefix` ``t_initial=90, warmup_prefix=True``.
    """
    length = TOTAL - WARMUP if prefix else TOTAL
    if t < WARMUP:
        return t / WARMUP
    t -= WARMUP if prefix else 0
    return _fall(t / length) if t < length else 0.0


def optax(t: int) -> float:
    """``warmup_cosine_decay_schedule(0.0, 1.0, 10, 100)``, optax 0.2.8."""
    if t < WARMUP:
        return t / WARMUP
    return _fall(min(t - WARMUP, TOTAL - WARMUP) / (TOTAL - WARMUP))


def _formula(function: Callable[[int], float]) -> Callable[[int], np.ndarray]:
    return lambda n: np.array([function(t) for t in range(n)])


LIBRARIES: dict[str, Callable[[int], np.ndarray]] = {
    "torch: LinearLR, CosineAnnealingLR": lambda n: applied(_torch, n, lr=1.0).lr[:, 0],
    "transformers: cosine": _formula(transformers),
    "timm: warmup_t=10": _formula(timm),
    "timm: the same, warmup_prefix": _formula(lambda t: timm(t, prefix=True)),
    "optax: warmup_cosine_decay": _formula(optax),
    "lrlib: Warmup(10)": Warmup(WARMUP).then(CosineAnnealing(TOTAL - WARMUP)).sample,
    "lrlib: Warmup(10, 1/11)": Warmup(WARMUP, 1 / (WARMUP + 1))
    .then(CosineAnnealing(TOTAL - WARMUP))
    .sample,
}


def factors(library: str, updates: int) -> np.ndarray:
    """The factor of every update, shape (updates,); `library` is a key of `LIBRARIES`.

    Raises ValueError for another name, ValueError or TypeError for a bad number of updates.
    """
    _checks.choice("factors", "library", library, tuple(LIBRARIES))
    updates = _checks.integer("factors", "updates", updates, minimum=1)
    return LIBRARIES[library](updates)


def table(run: dict[str, np.ndarray] | None = None) -> str:
    """A line for each library with its factors at some updates, and the highest of all.

    `run` has factors by library, (151,) each, that take the place of those computed here.
    """
    lines = [f"{'factor of update':34}" + "".join(f"{t:>8}" for t in [*COLUMNS, "highest"])]
    for name in LIBRARIES:
        values = (run or {}).get(name)
        values = factors(name, 151) if values is None else values
        row = [*(values[t] for t in COLUMNS), values[:TOTAL].max()]
        lines.append(f"{name:34}" + "".join(f"{abs(x):8.4f}" for x in row))
    return "\n".join(lines)
