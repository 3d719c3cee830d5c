"""Schedules that chapter 14 alone trains with: a batch that grows, and a list of factors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from lrlib import CosineAnnealing, _checks
from lrlib.schedule import Schedule


@dataclass(frozen=True)
class BatchRamp(Schedule):
    """What is left of a cosine's fall while the batch grows in its place.

    The cosine would take `steps` updates with batches of `batch`; here the same number of
    examples is seen, and where its factor is f, the batch is ``batch / f``, `most` at most, and
    the factor ``f * (size / batch) ** (1 - power)``: with `power` 0.5 the rate falls as the root
    of f (Seesaw's rule for Adam), with 0 it does not fall until the batch has reached `most`, and
    with 1 as the cosine does.

    Args:
        steps, batch: of the cosine, at least 1; most: the largest batch, at least `batch`.
        power: in [0, 1].

    Raises TypeError or ValueError for bad arguments. Source: Meterez et al. (2025), Seesaw.
    """

    steps: int
    batch: int = 16
    most: int = 512
    power: float = 0.5

    def __post_init__(self) -> None:
        _checks.integer("BatchRamp", "steps", self.steps, minimum=1)
        _checks.integer("BatchRamp", "batch", self.batch, minimum=1)
        _checks.integer("BatchRamp", "most", self.most, minimum=self.batch)
        _checks.number("BatchRamp", "power", self.power, minimum=0, maximum=1)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The examples in every batch; their sum is ``steps * batch``."""
        return _ramp(self)[0]

    @property
    def length(self) -> int:
        return len(self.sizes) - 1

    def formula(self, step: int) -> float:
        return _ramp(self)[1][step]


@lru_cache(maxsize=32)
def _ramp(ramp: BatchRamp) -> tuple[tuple[int, ...], tuple[float, ...]]:
    total, cosine = ramp.steps * ramp.batch, CosineAnnealing(ramp.steps)
    sizes, factors, seen = [], [], 0
    while seen < total:
        factor = cosine(seen // ramp.batch)
        size = min(ramp.most, round(ramp.batch / max(factor, 1e-9)), total - seen)
        sizes.append(size)
        factors.append(factor * (size / ramp.batch) ** (1 - ramp.power))
        seen += size
    return tuple(sizes), tuple(factors)


@dataclass(frozen=True)
class Knots(Schedule):
    """Straight lines between `factors`, which stand evenly over `steps` updates.

    The first is that of update 0, the last that of update ``steps - 1``. Raises TypeError or
    ValueError for bad arguments: `steps` at least 2, two factors or more, each at least 0.
    """

    steps: int
    factors: tuple[float, ...]

    def __post_init__(self) -> None:
        _checks.integer("Knots", "steps", self.steps, minimum=2)
        factors = _checks.array("Knots", "factors", self.factors, ndim=(1,), minimum=0)
        if len(factors) < 2:
            raise ValueError(f"Knots: factors must be two or more, got {self.factors!r}")
        object.__setattr__(self, "factors", tuple(factors.tolist()))

    @property
    def length(self) -> int:
        return self.steps - 1

    def formula(self, step: int) -> float:
        at = np.linspace(0, self.steps - 1, len(self.factors))
        return float(np.interp(step, at, self.factors))

    @classmethod
    def rounded(cls, steps: int, factors: Sequence[float]) -> Knots:
        """With three decimals, as they are printed."""
        return cls(steps, tuple(round(float(factor), 3) for factor in factors))
