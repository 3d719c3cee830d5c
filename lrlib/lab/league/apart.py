"""What a seed draws, drawn apart: the data, the initial weights, the order of the batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from torch import nn

from lrlib import _checks
from lrlib.lab.league.network import Network, remembered
from lrlib.lab.league.tasks import RATIO
from lrlib.lab.models import Task
from lrlib.recipes import Recipe

_WEIGHTS = 10_000  # the first seed of initial weights, beyond those of the data


@dataclass(frozen=True, kw_only=True, eq=False)
class SeedsApart(Network):
    """A `Network` whose seed number s stands for a data draw, initial weights and batches.

    With a `design` of (D, W, B), s counts through D draws of the data, each with the same W
    initial weights, each pair with B orders of the batches of its own: ``s = (d * W + w) * B + b``.
    The grid has three peaks: the middle of the usual grid, a half and a quarter of it.
    """

    design: tuple[int, int, int] = (2, 2, 2)

    def __post_init__(self) -> None:
        super().__post_init__()
        sizes = [_checks.integer("SeedsApart", "design", n, minimum=2) for n in self.design]
        if np.prod(sizes) != self.seeds:
            raise ValueError(
                f"SeedsApart: design must make up the {self.seeds} seeds, got {self.design!r}"
            )

    @classmethod
    def of(
        cls, network: Network, design: tuple[int, int, int], recipes: Sequence[str]
    ) -> SeedsApart:
        """The same network, run by some recipes, its seeds apart."""
        settings: dict[str, Any] = {f.name: getattr(network, f.name) for f in fields(Network)}
        settings |= {"design": design, "seeds": int(np.prod(design)), "only": tuple(recipes)}
        settings["seconds"] = network.seconds / 2
        return cls(**settings)

    def grid(self, recipe: Recipe) -> tuple[float, ...]:
        every = super().grid(recipe)
        middle = every[len(every) // 2 - 1] * RATIO**0.5
        return tuple(float(f"{middle * 2.0**k:.4g}") for k in (-2, -1, 0))

    def made(self, seed: int) -> Task:
        base = super().made(seed)
        return remembered(self, seed, lambda: self._given(base, seed))

    def _given(self, base: Task, seed: int) -> Task:
        _, weights, batches = self.design
        drawn = base.data.draw(seed // (weights * batches))
        number = seed // batches % weights
        return _Given(drawn, base.build, base.loss, base.margin, number)


@dataclass(frozen=True, eq=False)
class _Given(Task):
    """A task whose initial weights are given by a number, whatever the seed."""

    weights: int = 0

    def model(self, seed: int) -> nn.Module:
        return super().model(_WEIGHTS + self.weights)
