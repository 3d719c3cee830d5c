"""What a task of the league is: a `LeagueTask`, and a `Network`, trained by the lab's sweeps."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any

import numpy as np

from lrlib import _checks
from lrlib.lab.league.training import averaging
from lrlib.lab.models import Task
from lrlib.lab.results import Results
from lrlib.lab.sweep import SGD, AdamW, sweep
from lrlib.lab.watching import Watched, watch
from lrlib.recipes import Recipe
from lrlib.schedule import Schedule

PEAKS = 12  # runs that each recipe may spend on its peak
RATIO = 2**0.5  # from one peak to the next
FIRST = 10  # losses kept of every run, for a retraining to be compared with
REGIMES = ("underfit", "fitted")
# How many peaks of the grid a recipe's best one lies above that of a line to zero, by experience
# of pilot runs. A recipe that is not here has the line's grid.
SHIFTS = {
    **{"fixed": -3, "average": -1, "plateau": -1, "inverse root": 1},
    **{"WSD 10 %": -2, "WSD 20 %": -2, "WSD 40 %": -1, "one-cycle": 1},
}
# Fields that say how a task is shown and which of its runs are made, not what a run is.
_SHOWN = ("name", "about", "metric", "unit", "margin", "regime")
_WHICH = ("middle", "shifts", "seeds", "seconds", "data_files", "code")


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

    Raises ValueError or TypeError for bad settings.
    """

    name: str
    about: str = ""
    metric: str = "test error"
    unit: str = "points"
    margin: float
    steps: int
    warmup: int = 0
    middle: float
    shifts: Mapping[str, float] = field(default_factory=dict)
    seeds: int = 8
    regime: str = "underfit"
    seconds: float = 1.0
    data_files: tuple[str, ...] = ()
    code: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        owner = type(self).__name__
        if not isinstance(self.name, str) or not self.name:
            raise TypeError(f"{owner}: name must be a text, got {self.name!r}")
        _checks.number(owner, "margin", self.margin, above=0)
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

    def configuration(self) -> dict[str, object]:
        """What decides a run of this task, but for recipe, peak, seed and code; as JSON keeps it."""
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

    def made(self) -> Task:
        """The task; made once, and kept until another is asked for."""
        return _made(self)

    def train(self, recipe: Recipe, peaks: Sequence[float], seed: int) -> dict[str, np.ndarray]:
        if not self.together and len(peaks) > 1:
            each = [self.train(recipe, [peak], seed) for peak in peaks]
            return {key: np.concatenate([kept[key] for kept in each]) for key in each[0]}
        task, shape = self.made(), self.shape(recipe)
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


@lru_cache(1)
def _made(network: Network) -> Task:
    return network.make(**network.settings)
