"""Models small enough for the book, and the tasks that pair them with data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lrlib import _checks
from lrlib.lab.data import Dataset, load_digits, load_mnist1d

_ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}


def mlp(*sizes: int, activation: str = "relu") -> nn.Sequential:
    """A multilayer perceptron with torch's default initialisation: ``mlp(40, 100, 100, 10)``.

    `sizes` are the widths from input to output, at least two; `activation` is "relu" or "tanh".
    """
    if len(sizes) < 2:
        raise ValueError(f"mlp: sizes must name at least input and output, got {sizes!r}")
    sizes = tuple(_checks.integer("mlp", "sizes", size, minimum=1) for size in sizes)
    _checks.choice("mlp", "activation", activation, tuple(_ACTIVATIONS))
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), _ACTIVATIONS[activation]()]
    return nn.Sequential(*layers[:-1])


def squared_error(outputs: Tensor, labels: Tensor) -> Tensor:
    """Half the squared distance to the one-hot label, summed over outputs, averaged over examples.

    `outputs` (batch, classes), `labels` int64 (batch,); a scalar. The loss of Cohen et al. (2021).
    """
    target = F.one_hot(labels, outputs.shape[-1]).to(outputs.dtype)
    return 0.5 * (outputs - target).square().sum(-1).mean()


@dataclass(frozen=True, eq=False)
class Task:
    """What is trained: a data set, a function that builds the model, and the training loss.

    `build` takes no argument and returns a fresh ``nn.Module`` without buffers, initialised from
    torch's global random state; `loss(outputs, labels)` returns the batch mean as a scalar.
    """

    data: Dataset
    build: Callable[[], nn.Module]
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy

    def model(self, seed: int) -> nn.Module:
        """A new model with the initial weights of `seed`; the global random state is untouched."""
        seed = _checks.integer("Task.model", "seed", seed, minimum=0)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.build()


def mnist1d_task() -> Task:
    """MNIST-1D with the MLP 40-100-100-10 and cross-entropy: the book's main task."""
    return Task(load_mnist1d(), lambda: mlp(40, 100, 100, 10))


def digits_task(label_noise: float = 0.0, seed: int = 0) -> Task:
    """Digits with the MLP 64-64-10 and cross-entropy; a share of wrong training labels.

    `label_noise` in [0, 1]; `seed` decides which labels are wrong.
    """
    data = load_digits()
    if label_noise:
        data = data.with_label_noise(label_noise, seed)
    return Task(data, lambda: mlp(64, 64, 10))
