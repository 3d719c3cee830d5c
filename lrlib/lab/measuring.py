"""What the chapters measure beside losses: the rates that were applied, and the sharpness."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lrlib import _checks
from lrlib.fixed_learning_rate import largest_hessian_eigenvalue
from lrlib.lab.models import Task
from lrlib.trace import LRTrace


def applied(
    make_scheduler: Callable[[Optimizer], LRScheduler],
    steps: int,
    *,
    lr: float = 0.1,
    momentum: float = 0.0,
    optimizer: Optimizer | None = None,
) -> LRTrace:
    """What an optimizer really uses under a scheduler, stepped once after each of `steps` updates.

    ``make_scheduler(optimizer)`` is torch's, lrlib's or any other. The optimizer is SGD with one
    parameter, the peak `lr` and `momentum`, unless another is handed over. Returns the trace:
    ``.lr`` and ``.momentum`` have shape (steps, groups).
    """
    steps = _checks.integer("applied", "steps", steps, minimum=1)
    if optimizer is None:
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr, momentum)
    scheduler, trace = make_scheduler(optimizer), LRTrace(optimizer)
    for _ in range(steps):
        optimizer.step()
        scheduler.step()
    return trace


def sharpness(
    task: Task,
    model: nn.Module,
    seed: int,
    *,
    examples: int | None = None,
    start: torch.Tensor | None = None,
    tol: float = 0.02,
) -> tuple[float, torch.Tensor]:
    """The largest Hessian eigenvalue of a model's loss on the training examples of a seed.

    Of the examples the first `examples` count, or all. `start` and `tol` are those of
    `largest_hessian_eigenvalue`, which also says what is returned: the eigenvalue and its vector.
    """
    if examples is not None:
        examples = _checks.integer("sharpness", "examples", examples, minimum=1)
    x, y = (part[:examples] for part in task.data.draw(seed).split("train"))
    return largest_hessian_eigenvalue(
        lambda: task.loss(model(x), y), model.parameters(), start=start, tol=tol
    )
