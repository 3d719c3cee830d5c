"""Two tasks of the league: a pole to be balanced, and a small vision transformer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from lrlib.lab.control import MARGIN, PPO, shortfall
from lrlib.lab.league.tasks import FIRST, LeagueTask, Network
from lrlib.lab.models import MARGINS
from lrlib.lab.vit import vit_task
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


POLE = Control(
    name="pole",
    about="PPO balances a pole (CartPole-v1), Adam",
    metric="shortfall",
    unit="steps",
    margin=MARGIN,
    steps=PPO().updates,
    middle=0.0112,
    seconds=16.0,
    code=("lab/control.py",),
)

VIT = Network(
    name="vision transformer",
    about="a vision transformer of 27,000 weights on MNIST's digits, AdamW",
    make=vit_task,
    batch_size=32,
    optimizer="adamw",
    together=False,
    margin=MARGINS["images"].points or 0.0,
    steps=500,
    warmup=28,
    middle=0.008,
    seeds=5,
    seconds=20.0,
    data_files=("mnist5k.npz",),
    code=("lab/vit.py",),
)
