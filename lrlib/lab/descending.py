"""Train many models with an update written by hand, on all parameters as one vector.

`lab.sweep` knows two optimizers. What a chapter writes in ten lines, such as a method that finds
its own rate, is trained here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from lrlib import _checks
from lrlib.lab import settings
from lrlib.lab._stacked import StackedModule, stack
from lrlib.lab.data import SPLITS
from lrlib.lab.models import Task
from lrlib.lab.sweep.batching import checked_sizes
from lrlib.lab.sweep.examples import Source, gathered
from lrlib.lab.sweep.parts import evaluated


class Method(Protocol):
    """An optimizer of `runs` vectors at once; its tensors have the runs on their first axis."""

    @property
    def answer(self) -> Tensor:
        """Where the runs are to be judged, (runs, parameters)."""
        ...

    def step(self, gradient: Tensor, /) -> Tensor:
        """Take a gradient, (runs, parameters); return where the next is to be taken."""
        ...


def descend(
    task: Task,
    make: Callable[[Tensor], Method],
    runs: Sequence[int],
    *,
    steps: int,
    batch_size: int,
    device: str | None = None,
) -> dict[str, np.ndarray]:
    """Train a model for each of `runs` with the method ``make(start)``, all as one stack.

    `runs` are seeds, in any order, each as often as it is wanted; `start` are their initial
    weights, float32, (runs, parameters), in the order of ``model.parameters()``. Weights and
    batches are those of ``lab.sweep``. Returns "val_error", "val_loss", … -> float64, (runs,);
    NaN where a run diverged. Raises ValueError or TypeError for bad arguments.
    """
    if not isinstance(task, Task):
        raise TypeError(f"descend: task must be a Task, got {task!r}")
    steps = _checks.integer("descend", "steps", steps, minimum=1)
    seeds, which = np.unique(np.asarray(runs), return_inverse=True)
    seeds = tuple(_checks.integer("descend", "runs", int(seed), minimum=0) for seed in seeds)
    where = settings.device(device)
    sources = {split: Source.drawn(task.data, seeds, split).to(where) for split in SPLITS}
    train = sources["train"]
    sizes = checked_sizes("descend", batch_size, train.n, steps)
    if sizes is None:
        raise TypeError(f"descend: batch_size must be a number, got {batch_size!r}")
    models = [task.model(seed) for seed in seeds]
    stacked, threads = stack([models[k] for k in which], task.loss, where), torch.get_num_threads()
    if where.type == "cpu":
        torch.set_num_threads(1)  # threads that wait would spin; see lrlib.lab.sweep.processes
    try:
        return _descended(stacked, models[0], make, which, seeds, sources, sizes)
    finally:
        torch.set_num_threads(threads)


def _descended(
    stacked: StackedModule,
    model: nn.Module,
    make: Callable[[Tensor], Method],
    which: np.ndarray,
    seeds: Sequence[int],
    sources: dict[str, Source],
    sizes: list[int],
) -> dict[str, np.ndarray]:
    train = sources["train"]
    with torch.no_grad():
        names = [name for name, _ in model.named_parameters()]
        x = torch.cat([stacked.params[name].flatten(1) for name in names], 1)
        _place(stacked.params, names, x)
        method, ended = make(x.clone()), torch.zeros(len(which), dtype=torch.bool, device=x.device)
        for rows, labels in train.order(seeds, sizes):
            batch = gathered(train.x, rows[which]), gathered(train.y, labels[which])
            loss, grads = stacked.gradients(*batch)
            ended |= ~loss.isfinite()
            x.copy_(method.step(torch.cat([grads[name].dense().flatten(1) for name in names], 1)))
        x.copy_(method.answer)
        found = {}
        for split in ("val", "test"):
            values = evaluated(stacked, sources[split], which)
            for kind, value in zip(("loss", "error"), values, strict=True):
                found[f"{split}_{kind}"] = np.where(ended.cpu().numpy(), np.nan, value.numpy())
    return found


def _place(params: dict[str, Tensor], names: Sequence[str], x: Tensor) -> None:
    """Make the parameters views of `x`, (runs, parameters), one behind the other."""
    start = 0
    for name in names:
        shape = params[name].shape
        end = start + shape[1:].numel()
        params[name] = x[:, start:end].view(shape)
        start = end
