"""Runs for the exercises that repair an experiment: real ones to look at, watched ones to judge."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.optim import Optimizer

from lrlib.exercises import Mistake, call, close, short
from lrlib.trace import LRTrace

Run = tuple[Optimizer, Callable[[], None], Callable[[], float]]
Start = Callable[[float, int], Run]
Hints = Iterator[tuple[np.ndarray, str]]  # what a likely mistake gives, and the hint to it


def start(peak: float, seed: int, batch_size: int) -> Run:
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


@dataclass
class Watched:
    """A run of the learner's: how it was begun, what it applied."""

    peak: Any
    seed: Any
    momentum: float
    trace: LRTrace
    updates: int = 0
    asked: list[int] = field(default_factory=list)  # after how many updates the loss was read

    @property
    def factors(self) -> np.ndarray:
        return self.trace.lr[:, 0] / self.peak

    def expect_updates(self, steps: int, where: str) -> None:
        if self.updates != steps:
            raise Mistake(
                f"{where}the run made {self.updates} updates. It has epochs * batches = {steps}."
            )

    def expect_momentum_left_alone(self, scheduler: str) -> None:
        momentum = self.trace.momentum[:, 0]
        if np.allclose(momentum, self.momentum, rtol=0, atol=1e-12):
            return
        raise Mistake(
            f"the rates are right, but the optimizer was built with the momentum "
            f"{self.momentum:g}, and your updates used {momentum.min():.3g} to "
            f"{momentum.max():.3g}. The fixed runs have none of that. {scheduler} sets the "
            f"momentum unless it is told cycle_momentum=False."
        )

    def expect_last_loss(self, answer: Any, where: str) -> None:
        try:
            loss = float(answer)
        except (TypeError, ValueError, RuntimeError):
            raise Mistake(f"{where}return one number, the loss, not {short(answer)}.") from None
        right = made_up_loss(self.updates)
        if math.isclose(loss, right, rel_tol=1e-6):
            return
        seen = [made_up_loss(updates) for updates in self.asked]
        if seen and math.isclose(loss, min(seen), rel_tol=1e-6):
            raise Mistake(
                "the updates are right, but you return the lowest of several losses. The fixed "
                "runs are judged by their last."
            )
        if seen and math.isclose(loss, float(np.mean(seen)), rel_tol=1e-6):
            raise Mistake(
                "the updates are right, but you return the mean of several losses. The fixed runs "
                "are judged by their last."
            )
        if seen and any(math.isclose(loss, other, rel_tol=1e-6) for other in seen):
            raise Mistake(
                "the updates are right, but you return a loss from before the end of the run. The "
                "last update counts too."
            )
        raise Mistake(
            f"{where}the updates are right, but you returned {loss:.4g}, and loss() is "
            f"{right:.4g} after the last of them."
        )


def watch(
    run: Callable[..., Any], peak: float, seed: int, *rest: Any, momentum: float
) -> tuple[Watched, Any]:
    """Call the learner's ``run(start, peak, seed, *rest)``; the one run it made, and its answer.

    Its losses are made up, and its optimizer is an SGD with `momentum`.
    """
    begun: list[Watched] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's on the order of the calls: the hint is ours
        answer = call(run, _watched_start(begun, momentum), peak, seed, *rest)
    if not begun:
        raise Mistake("no run was begun. Begin it by start(peak, seed).")
    made = [done for done in begun if len(done.trace)]
    if not made:
        raise Mistake(
            "the run made no update, so no rate was applied. Call update() once for every batch."
        )
    if len(made) > 1:
        raise Mistake(f"your function made {len(made)} runs; one was asked for.")
    (done,) = made
    if done.peak != peak or done.seed != seed:
        raise Mistake(
            f"the run was begun with the peak {short(done.peak)} and the seed {short(done.seed)}, "
            f"not with those it was given, {peak:g} and {seed}."
        )
    if done.updates != len(done.trace):
        raise Mistake(
            "optimizer.step() was called by itself, without a gradient. update() computes one and "
            "makes the step."
        )
    return done, answer


def _watched_start(begun: list[Watched], momentum: float) -> Start:
    def start(peak: float, seed: int) -> Run:
        parameter = torch.zeros(1, requires_grad=True)
        optimizer = torch.optim.SGD([parameter], lr=peak, momentum=momentum)
        done = Watched(peak, seed, momentum, LRTrace(optimizer))
        begun.append(done)

        def update() -> None:
            done.updates += 1
            optimizer.step()

        def loss() -> float:
            done.asked.append(len(done.trace))
            return made_up_loss(len(done.trace))

        return optimizer, update, loss

    return start


def made_up_loss(updates: int) -> float:
    """It falls, with so much noise that the last is not the lowest."""
    return 1 / (1 + updates) + 0.5 * random.Random(f"loss {updates}").random()


def wrong_factors(longer: np.ndarray, steps: int, peak: float) -> Hints:
    """Loops that go wrong, by the factors they apply; `longer` is the plan over twice the steps."""
    right = longer[:steps]
    yield (
        np.ones(steps),
        "the rate never changed. Was the scheduler built for the optimizer of this run, and "
        "stepped after every update?",
    )
    yield (
        np.full(steps, right[0]),
        "the rate stayed at the bottom. Was the scheduler stepped after every update?",
    )
    yield (
        longer[1 : steps + 1],
        "every rate came one step early. Call update() first and scheduler.step() after it.",
    )
    yield (
        np.append(right[:1], right[:-1]),
        "every rate came one step late. The scheduler was not stepped after the first update.",
    )
    twice = "the plan went by at twice its speed. Step the scheduler once after every update."
    yield longer[::2], twice
    yield longer[1::2], twice
    yield right / peak, "the factors were applied as rates. The rate is the peak times it."
    yield right**2, "the factor was applied twice. Is there more than one scheduler?"


def expect_changes_within_epochs(
    factors: np.ndarray, epochs: int, batches: int, where: str
) -> None:
    """Raise Mistake if the factors of a run change only where an epoch ends."""
    stairs = factors.reshape(epochs, batches)
    if batches > 1 and epochs > 1 and close(stairs, stairs[:, :1] + 0 * stairs):
        raise Mistake(
            f"{where}the rate changed only once per epoch: {factors.size} updates saw {epochs} "
            f"rates between {factors.min():.2f} and {factors.max():.2f} times the peak. Step the "
            f"scheduler after every update, in the inner loop."
        )
