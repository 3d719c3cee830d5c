"""Optimizers whose weights end as their own growing average."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lrlib.lab._stacked import Gradients
from lrlib.lab.sweep import SGD, AdamW
from lrlib.pretraining import growing_average


@dataclass(frozen=True)
class AveragedSGD(SGD):
    """SGD that takes the growing average of its weights after every update.

    Attributes:
        ends: after so many updates the weights become their average, so that what is evaluated at
            the end of such a run is the averaged model.
    """

    ends: int = 1

    def stacked(self, params: dict[str, Tensor]) -> Any:
        return _StackedAverage(super().stacked(params), self.ends)


@dataclass(frozen=True)
class AveragedAdamW(AdamW):
    """`AveragedSGD` for AdamW."""

    ends: int = 1

    def stacked(self, params: dict[str, Tensor]) -> Any:
        return _StackedAverage(super().stacked(params), self.ends)


def averaging(optimizer: SGD | AdamW, steps: int) -> SGD | AdamW:
    """The same optimizer; after `steps` updates the weights are their growing average."""
    kind = AveragedSGD if isinstance(optimizer, SGD) else AveragedAdamW
    return kind(**asdict(optimizer), ends=steps)


class _StackedAverage:
    """A stacked optimizer, and the growing average of the parameters it moves."""

    def __init__(self, inner: Any, ends: int) -> None:
        self.inner, self.ends = inner, ends
        self.params: dict[str, Tensor] = inner.params
        self.average = {name: torch.zeros_like(p) for name, p in self.params.items()}
        self.take_in = growing_average()

    @property
    def taken(self) -> int:
        return self.inner.taken

    @taken.setter
    def taken(self, value: int) -> None:
        self.inner.taken = value

    @property
    def applied(self) -> list[Tensor]:
        return self.inner.applied

    @property
    def applied_momentum(self) -> list[np.ndarray]:
        return self.inner.applied_momentum

    def memory(self) -> list[dict[str, Tensor]]:
        return [*self.inner.memory(), self.average]

    def step(self, grads: Gradients, lr: Tensor, momentum: np.ndarray | None = None) -> None:
        before = self.inner.taken
        self.inner.step(grads, lr, momentum)
        for name, p in self.params.items():
            # The first enters an average of none with weight one.
            self.average[name].copy_(self.take_in(self.average[name], p, before) if before else p)
            if before + 1 == self.ends:
                p.copy_(self.average[name])
