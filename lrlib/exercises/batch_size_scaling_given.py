"""What the sheet of chapter 10 hands out: a job, and a process of it."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.optim import Optimizer

from lrlib.exercises import seal


@dataclass(frozen=True)
class Job:
    """A recipe, and the machine it is to run on.

    The recipe: peak `lr`, `steps` updates, the first `warmup_steps` of them warm-up, tuned for
    updates of `batch_size` samples on one process. The machine: `processes`, each of which adds
    up the gradients of `accumulate` microbatches of `microbatch_size` samples for an update.
    """

    lr: float
    steps: int
    warmup_steps: int
    batch_size: int
    processes: int
    accumulate: int
    microbatch_size: int


def process(job: Job, seed: int) -> tuple[Optimizer, Callable[[int], None], Callable[[], float]]:
    """A process of the job: its optimizer, ``backward(i)`` and ``loss()``.

    The optimizer is an AdamW whose rate is ``job.lr``. ``backward(i)`` adds to ``.grad`` the
    gradient of the mean loss over microbatch number i of every process, divided by
    ``job.accumulate``. `seed` sets the initial weights and the samples. ``loss()`` is the loss in
    excess of the lowest there is.

    The task is a linear regression with 20 weights and noise. All processes hold the same weights,
    so that one of them stands for all.
    """
    draw = torch.Generator().manual_seed(seed)
    spread = torch.arange(1, 21).rsqrt()
    weight = torch.randn(20, generator=draw).requires_grad_()  # 0 is right
    x = torch.randn(job.steps * job.batch_size, 20, generator=draw) * spread
    y = 2 * torch.randn(len(x), generator=draw)

    def backward(i: int) -> None:
        i = operator.index(i)
        if i < 0:
            raise ValueError(f"backward: microbatches are numbered from 0, got {i}")
        n = job.processes * job.microbatch_size
        mine = torch.arange(i * n, (i + 1) * n) % len(x)
        error = x[mine] @ weight.detach() - y[mine]
        gradient = x[mine].T @ error / (n * job.accumulate)
        weight.grad = gradient if weight.grad is None else weight.grad + gradient

    def loss() -> float:
        return float((weight.detach() * spread).square().sum()) / 2

    return torch.optim.AdamW([weight], lr=job.lr, weight_decay=0), backward, loss


seal(__name__)
