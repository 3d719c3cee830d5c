"""Runs on the noisy quadratic with batches that are drawn: real ones to look at, watched ones."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.optim import Optimizer

from lrlib.exercises import Ask, Mistake, among, seal, short, to_number
from lrlib.exercises.watching import OF_A_RUN, Runs

Run = tuple[Optimizer, Callable[[], None], Callable[[], float]]
Start = Callable[[float, int], Run]

IDLE = "the run made no update, so no rate was applied. Call update() once for every batch."
WITHOUT_A_GRADIENT = ", without a gradient. update() computes one and makes the step."
# What `say` may hold for the rates of such a run.
OF_A_NOISY_RUN = OF_A_RUN | {
    "early": "every rate came one step early. Call update() first and scheduler.step() after it.",
}
# The same of what else may be wrong: what `differs` may hold, and hints for rows of a table.
DIFFERS = {
    "updates": "the run made {given} updates. It has epochs * batches = {wanted}.",
    "momentum": "the rates are right, but the optimizer was built with the momentum {wanted}, and "
    "update {i} used {given}. The fixed runs have none of that. torch's scheduler sets the "
    "momentum unless it is told cycle_momentum=False.",
    "returned": "the updates are right, but you returned {given}, and loss() is {wanted} after the "
    "last of them.",
}
LOWEST, MEAN, BEFORE = (
    f"the updates are right, but you return {what}. The fixed runs are judged by their last loss."
    for what in ("the lowest of several losses", "the mean of several losses", "an earlier loss")
)


def start(peak: float, seed: int, batch_size: int = 16) -> Run:
    """Begin a run on the noisy quadratic of the chapters, with batches that are drawn.

    Returns the SGD optimizer, without momentum, whose rate is `peak`; ``update()``, which makes
    one optimizer step with a noisy gradient; and ``loss()``, the loss ½ Σ hᵢ θᵢ² of the present
    weights. `seed` sets the initial weights and the noise.
    """
    generator = torch.Generator().manual_seed(seed)
    h = 1 / torch.arange(1, 101, dtype=torch.float32)
    spread = (h / batch_size).sqrt()
    theta = torch.randn(100, generator=generator).requires_grad_()
    optimizer = torch.optim.SGD([theta], lr=peak)

    def update() -> None:
        theta.grad = h * theta.detach() + spread * torch.randn(100, generator=generator)
        optimizer.step()

    def loss() -> float:
        return float(h @ theta.detach() ** 2) / 2

    return optimizer, update, loss


def made_up_loss(updates: int) -> float:
    """It falls, with so much noise that the last is not the lowest."""
    return 1 / (1 + updates) + 0.5 * random.Random(f"loss {updates}").random()


def one_run(ask: Ask, *case: Any) -> dict[str, Any]:
    """Reads what ``run(start, peak, seed, epochs, batches, …)`` did, in one run.

    The parts are the updates made, the rates and momenta they applied, and what was returned,
    where every loss is made up. The last entry of a case is the momentum of the optimizer.
    """
    *told, momentum = case
    peak, seed, epochs, batches = told[:4]
    runs = Runs(10_000, "calls of what it was given", IDLE)

    def start(peak: float, seed: int) -> Run:
        parameter = torch.zeros(1, requires_grad=True)
        optimizer = torch.optim.SGD([parameter], lr=peak, momentum=momentum)
        run = runs.watch(optimizer, peak=peak, seed=seed)
        loss = run.noted("loss", lambda: made_up_loss(run.updates))
        return optimizer, run.noted("update", lambda: optimizer.step()), loss

    answer = runs.let(ask, start, *told)
    if not runs.begun:
        raise Mistake("no run was begun. Begin it by start(peak, seed).")
    if len(runs.used) > 1:
        raise Mistake(f"your function made {len(runs.used)} runs; one was asked for.")
    (run,) = runs.used
    if among(run.about["peak"], [peak]) is None or run.about["seed"] != seed:
        raise Mistake(
            f"the run was begun with the peak {short(run.about['peak'])} and the seed "
            f"{short(run.about['seed'])}, not with those it was given, {peak:g} and {seed}."
        )
    run.expect_updates_by("update", WITHOUT_A_GRADIENT)
    _expect_changes_within_epochs(run.rates / peak, epochs, batches)
    return {
        "updates": run.updates,
        "applied": run.rates,
        "momentum": run.momenta,
        "returned": to_number(answer, ask.name),
    }


def _expect_changes_within_epochs(factors: np.ndarray, epochs: int, batches: int) -> None:
    """Raise Mistake if the factors of a run change, and only where an epoch ends."""
    if factors.size == epochs * batches and epochs > 1 and np.ptp(factors):
        stairs = factors.reshape(epochs, batches)
        if np.allclose(stairs, stairs[:, :1]):
            raise Mistake(
                f"the rate changed only once per epoch: {factors.size} updates saw {epochs} rates "
                f"between {factors.min():.2f} and {factors.max():.2f} times the peak. Step the "
                f"scheduler after every update, in the inner loop."
            )


seal(__name__)
