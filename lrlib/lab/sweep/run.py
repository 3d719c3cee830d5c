"""Train every combination of schedule, peak and seed at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from typing import Unpack

import numpy as np
import torch

from lrlib.lab import settings as environment
from lrlib.lab._progress import Progress
from lrlib.lab.models import Task
from lrlib.lab.results import SweepResult
from lrlib.lab.sweep.executors import train_on
from lrlib.lab.sweep.optimizers import SGD, AdamW, Settings, checked_optimizer
from lrlib.lab.sweep.parts import Measured
from lrlib.lab.sweep.plan import Plan
from lrlib.lab.sweep.processes import train_here
from lrlib.lab.sweep.work import Work
from lrlib.schedule import Schedule


def sweep(
    task: Task,
    schedules: Mapping[str, Schedule],
    peaks: Sequence[float] | Mapping[str, float | Sequence[float]],
    seeds: Sequence[int],
    *,
    steps: int,
    batch_size: int | Sequence[int] | None = 32,
    optimizer: str | SGD | AdamW = "sgd",
    momentum_schedules: Mapping[str, Schedule] | None = None,
    eval_steps: Sequence[int] | None = None,
    evaluate: Sequence[str] = ("val", "test"),
    keep_states: bool = False,
    executor: Executor | None = None,
    device: str | None = None,
    progress: bool = True,
    **settings: Unpack[Settings],
) -> SweepResult:
    """Train ``schedules × peaks × seeds`` models as one stack, each at its own rate.

    Runs with the same seed start from the same weights and see the same batches, whatever the
    schedule and the peak, so their differences are paired. Run (schedule, peak, seed) equals a
    plain torch.optim loop over ``batches(seed, …)`` from ``task.model(seed)``, to float32
    rounding, and does not depend on what else is in the sweep.

    Args:
        schedules: name -> shape.
        peaks: one grid for all schedules, or name -> grid (or a single tuned peak); grids of one
            length, each above 0.
        seeds: for example ``lab.seeds(8)``.
        steps: updates of every run.
        batch_size: examples per update, or a sequence with those of every update; None is the
            whole training set.
        optimizer: ``lab.SGD(…)`` or ``lab.AdamW(…)``; or "sgd" or "adamw", whose settings
            (`momentum`, `nesterov`, `betas`, `eps`, `weight_decay`) are then arguments of their
            own. The settings of the one are refused with the other.
        momentum_schedules: name of a schedule -> schedule of the momentum in its runs, or of
            AdamW's beta1, as a factor on `momentum` or ``betas[0]``, such as
            ``{"one-cycle": shape.momentum()}``. The runs of the others keep theirs.
        eval_steps: updates after which to evaluate, in [0, steps]; default the end only.
        evaluate: splits to evaluate: any of "train", "val", "test".
        keep_states: keep the parameters at every evaluation (see SweepResult.model).
        executor: where to train, such as ``client.get_executor()`` of a Dask client; default that
            of LRLIB_DASK, or else the cores of this machine. No bit depends on it, if the machines
            are of one kind. An interrupt cancels what waits; what trains ends in seconds.
        device: see lab.device.
        progress: show a progress line if it takes more than two seconds.

    Raises ValueError or TypeError naming the argument; RuntimeError if an applied rate or
    momentum differs from the plan; and what a model, a loss or the executor raises.
    """
    chosen, pool = checked_optimizer(optimizer, settings), environment.executor(executor)
    base = chosen.base_momentum
    plan = Plan.checked(schedules, peaks, seeds, steps, momentum_schedules, base)
    work = Work.checked(task, plan, batch_size, eval_steps, evaluate, keep_states, device, chosen)
    with Progress(plan.steps, f"training {plan.slices} models", progress) as bar:
        measured = train_here(work, bar) if pool is None else train_on(pool, work, bar)
    return _result(work, measured)


def _result(work: Work, measured: list[Measured]) -> SweepResult:
    """What was measured, part by part, put together and checked."""
    plan = work.plan
    pairs, seeds = np.arange(plan.peaks.size), len(plan.seeds)
    shape = (*plan.peaks.shape, seeds, plan.steps)
    applied = np.concatenate([part.applied for part in measured], axis=1)
    if (applied.reshape(plan.steps, -1, seeds) != plan.rates(pairs)[:, :, None]).any():
        raise RuntimeError("sweep: the applied learning rates differ from the planned ones")
    momentum = np.broadcast_to(np.float32(work.optimizer.base_momentum), shape)
    if plan.momenta is not None:
        rows = np.concatenate([part.applied_momentum for part in measured], axis=1)
        momentum = rows.T.reshape(shape)
        if (momentum != plan.momenta[:, None, None].astype(np.float32)).any():
            raise RuntimeError("sweep: the applied momenta differ from the planned ones")
    train_loss = np.concatenate([part.losses for part in measured], axis=1)
    finite = np.isfinite(train_loss)
    diverged_at = np.where(finite.all(0), plan.steps + 1, np.argmin(finite, axis=0))
    train_loss[np.arange(plan.steps)[:, None] >= diverged_at] = np.nan
    eval_steps, metrics = np.array(work.eval_steps), {}
    for name in measured[0].metrics:
        table = np.concatenate([part.metrics[name] for part in measured], axis=1)
        table[eval_steps[:, None] >= diverged_at] = np.nan
        metrics[name] = table.T.reshape(*shape[:-1], -1)
    states = [
        {name: torch.from_numpy(np.concatenate([s[name] for s in moment])) for name in moment[0]}
        for moment in zip(*(part.states for part in measured), strict=True)
    ]
    return SweepResult(
        task=work.task,
        schedules=tuple(plan.schedules),
        peaks=plan.peaks,
        seeds=plan.seeds,
        eval_steps=eval_steps,
        train_loss=train_loss.T.reshape(shape),
        metrics=metrics,
        lr=applied.T.reshape(shape),
        momentum=momentum,
        states=states,
    )
