"""Fine-tuning in a sweep: from given weights, on changed data, with a shape for every layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lrlib import _checks
from lrlib.lab._stacked import Gradients, StackedSGD
from lrlib.lab.data import Dataset, Fresh, Pool
from lrlib.lab.models import Task
from lrlib.lab.results import SweepResult
from lrlib.lab.sweep import SGD
from lrlib.schedule import Schedule


@dataclass(frozen=True)
class LayerSGD(SGD):
    """SGD in which every layer has a rate of its own: the sweep's times the layer's shape.

    Attributes:
        shapes: one Schedule for each layer, input first: `Constant(0.25)` for a quarter of the
            rate, `Constant(0)` for a layer that is frozen. A layer is a module with parameters.

    It equals a ScheduledLR with one parameter group per layer, whose rate is the peak, and the
    shapes ``sweep's * layer's``. Raises ValueError or TypeError for bad settings, and, when the
    sweep begins, ValueError unless there is one shape for each layer.
    """

    shapes: tuple[Schedule, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        for shape in self.shapes:
            if not isinstance(shape, Schedule):
                raise TypeError(f"LayerSGD: shapes must hold Schedules, got {shape!r}")

    def stacked(self, params: dict[str, Tensor]) -> StackedSGD:
        layers: dict[str, dict[str, Tensor]] = {}
        for name, p in params.items():
            layers.setdefault(name.rpartition(".")[0], {})[name] = p
        if len(layers) != len(self.shapes):
            raise ValueError(
                f"LayerSGD: shapes must be one for each of the {len(layers)} layers, got "
                f"{len(self.shapes)}"
            )
        settings = float(self.momentum), bool(self.nesterov), float(self.weight_decay)
        return _StackedLayers(params, *settings, list(zip(layers.values(), self.shapes)))


class _StackedLayers(StackedSGD):
    """One StackedSGD for each layer; `applied` keeps the sweep's rate."""

    def __init__(
        self,
        params: dict[str, Tensor],
        momentum: float,
        nesterov: bool,
        weight_decay: float,
        layers: Sequence[tuple[dict[str, Tensor], Schedule]],
    ) -> None:
        super().__init__(params, momentum, nesterov, weight_decay)
        self.layers = []
        for own, shape in layers:
            part = StackedSGD(own, momentum, nesterov, weight_decay)
            part.buffers = {name: self.buffers[name] for name in own}
            self.layers.append((part, shape))

    def step(self, grads: Gradients, lr: Tensor, momentum: np.ndarray | None = None) -> None:
        for part, shape in self.layers:
            part.step(grads, lr * shape(self.taken), momentum)
        self.taken += 1
        self.applied.append(lr)
        if momentum is not None:
            self.applied_momentum.append(momentum.astype(np.float32))


@dataclass(frozen=True, eq=False)
class FineTuning(Task):
    """A task whose models start from `weights`, seed -> state_dict, instead of at random."""

    weights: Mapping[int, Mapping[str, Tensor]] | None = None

    def model(self, seed: int) -> nn.Module:
        """A new model with the weights of `seed`. Raises ValueError if there are none."""
        model = super().model(seed)
        if self.weights is None or seed not in self.weights:
            raise ValueError(f"FineTuning: weights must have the seed {seed}, got none for it")
        model.load_state_dict(dict(self.weights[seed]))
        return model


Change = Callable[[Tensor, Tensor, np.random.Generator], tuple[Tensor, Tensor]]


def fine_tuning(
    trained: SweepResult, change: Change, *, examples: int = 200, validation: int = 1000
) -> FineTuning:
    """From the only schedule and peak of `trained`, swept with ``keep_states=True``.

    Every seed goes on from its own weights, with `examples` new training examples and
    `validation` more to choose the rate by, which it has never seen; it is judged on its test set
    as before. ``change(x, y, rng) -> x, y`` changes all of them alike: it is called three times,
    each time with a generator of the same state, the seed's own.
    """
    pool = trained.task.data
    if not isinstance(pool, Pool):
        raise TypeError(f"fine_tuning: trained must be on a Pool, got {pool!r:.200}")
    if trained.peaks.size != 1:
        raise ValueError(
            f"fine_tuning: trained must have one schedule and one peak, got {trained.peaks.size}"
        )
    examples = _checks.integer("fine_tuning", "examples", examples, minimum=1)
    validation = _checks.integer("fine_tuning", "validation", validation, minimum=1)

    def make(seed: int) -> Dataset:
        used, rng = pool.rows(seed), np.random.default_rng([seed, 5])
        new = np.setdiff1d(np.arange(len(pool.y)), torch.cat(used).numpy())
        new = torch.from_numpy(rng.permutation(new))
        if len(new) < examples + validation:
            raise ValueError(
                f"fine_tuning: examples and validation must be at most {len(new)} together, got "
                f"{examples} + {validation}"
            )
        rows = new[:examples], new[examples : examples + validation], used.test
        tensors: dict[str, Any] = {}
        for split, index in zip(("train", "val", "test"), rows, strict=True):
            x, y = change(pool.x[index], pool.y[index], np.random.default_rng([seed, 6]))
            tensors |= {f"{split}_x": x, f"{split}_y": y}
        return Dataset(f"{pool.name}, changed", pool.classes, **tensors)

    (schedule,), ((peak,),) = trained.schedules, trained.peaks
    weights = {
        seed: trained.model(schedule, peak, seed).state_dict() for seed in trained.seeds
    }
    old, data = trained.task, Fresh(f"{pool.name}, changed", pool.classes, make)
    return FineTuning(data, old.build, old.loss, old.margin, weights)
