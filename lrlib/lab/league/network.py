"""A network as a task of the league: trained by the lab's sweeps."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lrlib.lab.league.tasks import LeagueTask
from lrlib.lab.league.training import averaging
from lrlib.lab.models import Task
from lrlib.lab.results import Results
from lrlib.lab.sweep import SGD, AdamW, sweep
from lrlib.lab.watching import Watched, watch
from lrlib.recipes import Recipe
from lrlib.schedule import Schedule

FIRST = 10  # losses kept of every run, for a retraining to be compared with


@dataclass(frozen=True, kw_only=True, eq=False)
class Network(LeagueTask):
    """A network that `lab.sweep` trains: most tasks of the league.

    Attributes:
        make: makes the `lab.Task`, when called with `settings`; a function of a module.
        settings: its arguments.
        batch_size: examples per update.
        optimizer: "sgd" (momentum 0.9) or "adamw" (no weight decay).
        together: train the peaks as one stack, which suits an MLP; larger networks are faster one
            by one.
        watched: how many validation examples a plateau rule is told the loss on, at most.

    "val" and "test" are errors in points where `metric` is an error, else losses in nats; "train"
    is the mean training loss of the last twentieth of the run.
    """

    make: Callable[..., Task]
    settings: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int = 32
    optimizer: str = "sgd"
    together: bool = True
    watched: int = 500

    def modules(self) -> set[str]:
        return super().modules() | {self.make.__module__}

    def made(self, seed: int) -> Task:
        """The task of a seed: the same for all. It is kept until another is asked for."""
        return remembered(self, None, lambda: self.make(**self.settings))

    def train(self, recipe: Recipe, peaks: Sequence[float], seed: int) -> dict[str, np.ndarray]:
        if not self.together and len(peaks) > 1:
            each = [self.train(recipe, [peak], seed) for peak in peaks]
            return {key: np.concatenate([kept[key] for kept in each]) for key in each[0]}
        task, shape = self.made(seed), self.shape(recipe)
        optimizer = SGD() if self.optimizer == "sgd" else AdamW()
        if recipe.then == "plateau":
            return self._watched(task, recipe, shape, peaks, seed, optimizer)
        if recipe.then == "average":
            optimizer = averaging(optimizer, self.steps)
        result = sweep(
            task,
            {recipe.name: shape},
            list(peaks),
            [seed],
            steps=self.steps,
            batch_size=self.batch_size,
            optimizer=optimizer,
            device="cpu",
            progress=False,
        )
        losses = result.train_loss[0, :, 0]
        return self._judged(result) | {
            "first": losses[:, :FIRST],
            "train": losses[:, -max(1, self.steps // 20) :].mean(-1),
        }

    def _watched(
        self,
        task: Task,
        recipe: Recipe,
        shape: Schedule,
        peaks: Sequence[float],
        seed: int,
        optimizer: SGD | AdamW,
    ) -> dict[str, np.ndarray]:
        """The same with a plateau rule for every run."""
        every = max(1, self.steps // recipe.evaluations)
        examples = min(self.watched, len(task.data.draw(seed).val_x))
        result = watch(
            task,
            {recipe.name: Watched(recipe.rule, examples=examples, shape=shape)},
            list(peaks),
            [seed],
            steps=self.steps,
            every=every,
            batch_size=self.batch_size,
            optimizer=optimizer,
            device="cpu",
        )
        heard = result.heard[0, :, 0]
        return self._judged(result) | {"first": heard[:, :3]}

    def _judged(self, result: Results) -> dict[str, np.ndarray]:
        kind, scale = ("error", 100) if self.metric.endswith("error") else ("loss", 1)
        return {split: scale * result.at(f"{split}_{kind}")[0, :, 0] for split in ("val", "test")}


_KEPT = 3
_last: dict[str, Task] = {}


def remembered(network: Network, seed: int | None, make: Callable[[], Task]) -> Task:
    """What `make` makes for this network and seed, kept while little else is asked for.

    Networks that train the same are the same here: every unit comes with a copy of its own.
    """
    key = json.dumps([type(network).__name__, network.configuration(), seed], sort_keys=True)
    _last[key] = made = _last.pop(key) if key in _last else make()  # the latest comes last
    for oldest in list(_last)[:-_KEPT]:
        del _last[oldest]
    return made
