"""A checked sweep, cut into parts that can be trained on their own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from lrlib.lab import settings
from lrlib.lab.models import Task
from lrlib.lab.sweep.batching import checked_sizes
from lrlib.lab.sweep.examples import Source
from lrlib.lab.sweep.optimizers import SGD, AdamW
from lrlib.lab.sweep.parts import Part, rehearse
from lrlib.lab.sweep.plan import Plan, checked_eval_steps, checked_splits

_PART = 32  # slices trained at once: the book's networks, so many, stay in a core's cache


@dataclass(frozen=True, eq=False)
class Work:
    """All that a sweep is to do."""

    task: Task
    plan: Plan
    sources: dict[str, Source]  # of "train" and of each split to evaluate
    sizes: list[int] | None  # the batch size of every step
    eval_steps: tuple[int, ...]
    evaluate: tuple[str, ...]
    keep_states: bool
    device: torch.device
    optimizer: SGD | AdamW

    @classmethod
    def checked(
        cls,
        task: object,
        plan: Plan,
        batch_size: int | Sequence[int] | None,
        eval_steps: Sequence[int] | None,
        evaluate: Sequence[str],
        keep_states: bool,
        device: str | None,
        optimizer: SGD | AdamW,
    ) -> Work:
        if not isinstance(task, Task):
            raise TypeError(f"sweep: task must be a Task, got {task!r}")
        evaluate = checked_splits(evaluate)
        splits = dict.fromkeys(("train", *evaluate))
        sources = {split: Source.drawn(task.data, plan.seeds, split) for split in splits}
        return cls(
            task,
            plan,
            sources,
            checked_sizes("sweep", batch_size, sources["train"].n, plan.steps),
            checked_eval_steps(eval_steps, plan.steps),
            evaluate,
            bool(keep_states),
            settings.device(device),
            optimizer,
        )

    def cores(self, processes: bool) -> int:
        """How many of this machine's cores are worth using, by processes or else by threads."""
        if self.device.type != "cpu":
            return 1
        slices, train = self.plan.slices, self.sources["train"]
        size = train.n if self.sizes is None else np.mean(self.sizes)
        labels = int(slices * size * train.y[0].numel())
        # A small part is mostly Python's own work, which processes can share, but threads hardly.
        few = max(1, labels // (64 if processes else 512))
        return min(torch.get_num_threads(), slices, few)

    def split(self, processes: bool) -> list[np.ndarray]:
        """The slices of every part: one for each of `cores`, or several.

        How slices are stacked decides their last bits, so it must not depend on where a part is
        trained.
        """
        slices, cores = self.plan.slices, self.cores(processes)
        rounds = math.ceil(slices / (cores * _PART)) if processes and cores > 1 else 1
        return np.array_split(np.arange(slices), cores * rounds)

    def part(self, slices: np.ndarray) -> Part:
        """What is to be done with these slices; `which` counts the seeds of the whole sweep."""
        pairs, pair = np.unique(slices // len(self.plan.seeds), return_inverse=True)
        return Part(
            slices % len(self.plan.seeds),
            pair,
            self.plan.rates(pairs),
            self.plan.momentum(pairs),
            self.optimizer,
            self.eval_steps,
            self.evaluate,
            self.keep_states,
            self.device,
        )

    def models(self) -> list[nn.Module]:
        """A new model for every seed. Built in one place: models share torch's random state."""
        return [self.task.model(seed) for seed in self.plan.seeds]

    def rehearse(self, model: nn.Module) -> None:
        rehearse(model, self.task.loss, self.sources["train"], self.device)
