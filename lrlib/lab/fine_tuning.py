"""Fine-tuning in a sweep: from given weights, on changed data, with a shape for every layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lrlib import _checks
from lrlib.lab._stacked import Gradients
from lrlib.lab.data import Dataset, Fresh, Pool, Rows
from lrlib.lab.models import Task
from lrlib.lab.results import SweepResult
from lrlib.lab.sweep import SGD, AdamW
from lrlib.schedule import Schedule


@dataclass(frozen=True)
class LayerSGD(SGD):
    """SGD in which every layer has a rate of its own: the sweep's times the layer's shape.

    Attributes:
        shapes: one Schedule for each layer, input first: `Constant(0.25)` for a quarter of the
            rate, `Constant(0)` for a layer that is frozen. A layer is a module with parameters.

    It equals a ScheduledLR with one parameter group for each layer, the peak in all of them, and
    the shapes "the sweep's times the layer's". Raises ValueError or TypeError for bad settings,
    and ValueError from the sweep unless there is one shape for each layer.
    """

    shapes: tuple[Schedule, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_shapes("LayerSGD", self.shapes)

    def stacked(self, params: dict[str, Tensor]) -> Any:
        return _StackedLayers(type(self).__name__, super().stacked, params, self.shapes)


@dataclass(frozen=True)
class LayerAdamW(AdamW):
    """`LayerSGD` for AdamW."""

    shapes: tuple[Schedule, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_shapes("LayerAdamW", self.shapes)

    def stacked(self, params: dict[str, Tensor]) -> Any:
        return _StackedLayers(type(self).__name__, super().stacked, params, self.shapes)


def _check_shapes(owner: str, shapes: object) -> None:
    if not isinstance(shapes, tuple) or not all(isinstance(s, Schedule) for s in shapes):
        raise TypeError(f"{owner}: shapes must be a tuple of Schedules, got {shapes!r}")


class _StackedLayers:
    """The stacked optimizer of each layer; `applied` keeps the sweep's rates."""

    def __init__(
        self,
        owner: str,
        make: Callable[[dict[str, Tensor]], Any],
        params: dict[str, Tensor],
        shapes: tuple[Schedule, ...],
    ) -> None:
        layers: dict[str, dict[str, Tensor]] = {}
        for name, p in params.items():
            layers.setdefault(name.rpartition(".")[0], {})[name] = p
        if len(layers) != len(shapes):
            raise ValueError(
                f"{owner}: shapes must be one for each of the {len(layers)} layers, got "
                f"{len(shapes)}"
            )
        self.parts, self.shapes = [make(own) for own in layers.values()], shapes
        self.applied: list[Tensor] = []
        self.applied_momentum: list[np.ndarray] = []

    @property
    def taken(self) -> int:
        return self.parts[0].taken

    @taken.setter
    def taken(self, value: int) -> None:
        for part in self.parts:
            part.taken = value

    def memory(self) -> list[dict[str, Tensor]]:
        return [memory for part in self.parts for memory in part.memory()]

    def step(self, grads: Gradients, lr: Tensor, momentum: np.ndarray | None = None) -> None:
        t = self.taken
        for part, shape in zip(self.parts, self.shapes, strict=True):
            part.step(grads, lr * shape(t), momentum)
        self.applied.append(lr)
        if momentum is not None:
            self.applied_momentum.append(momentum.astype(np.float32))


@dataclass(frozen=True, eq=False)
class FineTuning(Task):
    """A task whose models start from `weights`, seed -> state_dict, instead of at random.

    Parameters that are not in the state_dict (adapters, a new head) start as `build` makes them.
    """

    weights: Mapping[int, Mapping[str, Tensor]] | None = None

    def model(self, seed: int) -> nn.Module:
        """A new model with the weights of `seed`.

        Raises ValueError if there are none, or some of parameters that the model does not have.
        """
        model = super().model(seed)
        if self.weights is None or seed not in self.weights:
            raise ValueError(f"FineTuning: weights must have the seed {seed}, got none for it")
        unknown = model.load_state_dict(dict(self.weights[seed]), strict=False).unexpected_keys
        if unknown:
            raise ValueError(
                f"FineTuning: weights must be of parameters of the model, got {unknown!r}"
            )
        return model


def with_fewer(task: Task, examples: int) -> Task:
    """The task with the first `examples` of each seed's training examples: the rest stays unused.

    Raises TypeError if its data are no `Pool`, ValueError or TypeError for a bad number.
    """
    examples = _checks.integer("with_fewer", "examples", examples, minimum=1)
    if not isinstance(pool := task.data, Pool):
        raise TypeError(f"with_fewer: the task's data must be a Pool, got {pool!r:.200}")

    def rows(seed: int) -> Rows:
        drawn = pool.rows(seed)
        return Rows(drawn.train[:examples], drawn.val, drawn.test)

    return replace(task, data=replace(pool, rows=rows))


Change = Callable[[Tensor, Tensor, np.random.Generator], tuple[Tensor, Tensor]]


def rewired(x: Tensor, y: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """The inputs' features in another order: a permutation of the first layer's columns away."""
    return x[:, torch.from_numpy(rng.permutation(x.shape[1]))], y


def renumbered(x: Tensor, y: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """The classes with other numbers: a permutation of the last layer's rows away."""
    return x, torch.from_numpy(rng.permutation(10))[y]


def fine_tuning(
    trained: SweepResult,
    change: Change,
    *,
    examples: int = 200,
    validation: int = 800,
    test: int = 2000,
) -> FineTuning:
    """A task that goes on from the only schedule and peak of `trained`, on changed data.

    Args:
        trained: swept with ``keep_states=True`` on a `Pool`. Every seed goes on from its weights.
        change: ``change(x, y, rng) -> x, y``, as `rewired` and `renumbered`. It is called for each
            split, with a generator of the seed's own that is the same each time.
        examples: to train on, drawn from those that the seed has not used before.
        validation: the same, to choose the rate by.
        test: of the seed's test examples, the first so many (or all there are).

    Raises TypeError or ValueError for bad arguments, ValueError from ``draw`` if there are not so
    many examples left.
    """
    owner, pool = "fine_tuning", trained.task.data
    if not isinstance(pool, Pool):
        raise TypeError(f"{owner}: trained must be on a Pool, got {pool!r:.200}")
    if trained.peaks.size != 1:
        raise ValueError(
            f"{owner}: trained must have one schedule and one peak, got {trained.peaks.size}"
        )
    examples = _checks.integer(owner, "examples", examples, minimum=1)
    validation = _checks.integer(owner, "validation", validation, minimum=1)
    test = _checks.integer(owner, "test", test, minimum=1)

    def make(seed: int) -> Dataset:
        used, rng = pool.rows(seed), np.random.default_rng([seed, 5])
        left = np.setdiff1d(np.arange(len(pool.y)), torch.cat(used).numpy())
        if len(left) < examples + validation:
            raise ValueError(
                f"{owner}: examples and validation must be at most {len(left)} together, got "
                f"{examples} + {validation}"
            )
        new = torch.from_numpy(rng.permutation(left))
        rows = new[:examples], new[examples : examples + validation], used.test[:test]
        tensors: dict[str, Any] = {}
        for split, index in zip(("train", "val", "test"), rows, strict=True):
            x, y = change(pool.x[index], pool.y[index], np.random.default_rng([seed, 6]))
            tensors |= {f"{split}_x": x, f"{split}_y": y}
        return Dataset(f"{pool.name}, changed", pool.classes, **tensors)

    (schedule,), ((peak,),) = trained.schedules, trained.peaks
    weights = {seed: trained.model(schedule, peak, seed).state_dict() for seed in trained.seeds}
    old, data = trained.task, Fresh(f"{pool.name}, changed", pool.classes, make)
    return FineTuning(data, old.build, old.loss, old.margin, weights)
