"""A policy as a task of the league: trained by `lrlib.lab.PPO`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from lrlib.lab.control import PPO, shortfall
from lrlib.lab.league.network import FIRST
from lrlib.lab.league.tasks import LeagueTask
from lrlib.recipes import Recipe


@dataclass(frozen=True, kw_only=True, eq=False)
class Control(LeagueTask):
    """`PPO` on CartPole-v1, judged by how many of 500 steps the policy misses.

    Attributes:
        ppo: the settings; ``ppo.updates`` must equal `steps`.

    "val" and "test" are shortfalls on different episodes (see `lrlib.lab.control.shortfall`),
    "return" is that of the last evaluation, on test episodes. A plateau rule is told after every
    iteration what the training episodes were short of. Raises ValueError or TypeError for bad
    settings, and ImportError from `train` if gymnasium is missing.
    """

    ppo: PPO = field(default_factory=PPO)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ppo.updates != self.steps:
            raise ValueError(
                f"Control: steps must be the {self.ppo.updates} updates of ppo, got {self.steps}"
            )

    def train(self, recipe: Recipe, peaks: Sequence[float], seed: int) -> dict[str, np.ndarray]:
        shape = self.shape(recipe)
        runs = [
            self.ppo.run(
                *(shape, peak, seed),
                average=recipe.then == "average",
                rule=recipe.rule() if recipe.then == "plateau" else None,
            )
            for peak in peaks
        ]
        val, test = (np.stack([getattr(run, split) for run in runs]) for split in ("val", "test"))
        return {
            "val": shortfall(val)[:, -1],
            "test": shortfall(test)[:, -1],
            "first": np.stack([run.losses[:FIRST] for run in runs]),
            "return": test[:, -1],
        }
