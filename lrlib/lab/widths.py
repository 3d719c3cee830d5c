"""One network at many widths, as it is and in the maximal-update parametrisation."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lrlib import _checks
from lrlib.lab.data import load_mnist1d
from lrlib.lab.models import MARGINS, Task, mlp

BASE = 32  # the width at which both parametrisations are one network


class Scaled(nn.Linear):
    """A linear layer whose weight is `multiplier` times its parameter.

    To Adam, whose steps do not depend on the size of a gradient, the multiplier is one on this
    layer's rate. The weight starts as nn.Linear's does, times `start`.
    """

    def __init__(self, inputs: int, outputs: int, multiplier: float, start: float = 1.0) -> None:
        super().__init__(inputs, outputs)
        self.multiplier = multiplier
        with torch.no_grad():
            self.weight.mul_(start / multiplier)

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, x: Tensor
    ) -> Tensor:
        return F.linear(x, self.weight * self.multiplier, self.bias)


def wide_mlp(width: int, maximal_update: bool = False) -> nn.Sequential:
    """The MLP 40-width-width-10, in one of two parametrisations for Adam.

    With `maximal_update` (μP) and m = width / 32 the weights of the second and third layer learn
    at 1/m of the rate, and the third starts at 1/√m of its usual size, so that at any width an
    update changes every layer's outputs by as much; at width 32 nothing differs. Raises TypeError
    or ValueError for bad arguments. Source: Yang et al. (2022), Tensor programs V, table 8.
    """
    width = _checks.integer("wide_mlp", "width", width, minimum=1)
    if not isinstance(maximal_update, bool):
        raise TypeError(
            f"wide_mlp: maximal_update must be True or False, got {maximal_update!r:.200}"
        )
    if not maximal_update:
        return mlp(40, width, width, 10)
    m = width / BASE
    return nn.Sequential(
        nn.Linear(40, width),
        nn.ReLU(),
        Scaled(width, width, 1 / m),
        nn.ReLU(),
        Scaled(width, 10, 1 / m, start=m**-0.5),
    )


def width_task(width: int, maximal_update: bool = False) -> Task:
    """MNIST-1D with `wide_mlp` and cross-entropy; the errors are those of `wide_mlp`."""
    wide_mlp(width, maximal_update)  # refuses bad arguments here, before any training
    return Task(load_mnist1d(), lambda: wide_mlp(width, maximal_update), margin=MARGINS["mnist1d"])
