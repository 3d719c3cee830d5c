"""Runs for the exercises that repair an experiment: real ones to look at, watched ones to judge."""

from __future__ import annotations

import io
import math
import random
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch.optim import Optimizer

from lrlib.exercises import (
    Limit,
    Mistake,
    among,
    apart,
    call,
    close,
    same_rates,
    short,
)
from lrlib.trace import LRTrace

Run = tuple[Optimizer, Callable[[], None], Callable[[], float]]
Start = Callable[[float, int], Run]
Hints = Iterator[tuple[np.ndarray, str]]  # what a likely mistake gives, and the hint to it


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
        if close(momentum, np.full(len(momentum), self.momentum)):
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
        given, wanted = apart(loss, right)
        raise Mistake(
            f"{where}the updates are right, but you returned {given}, and loss() is {wanted} after "
            f"the last of them."
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
    if among(done.peak, [peak]) is None or done.seed != seed:
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
    limit = Limit(10_000, "calls of what it was given")

    def start(peak: float, seed: int) -> Run:
        limit()
        parameter = torch.zeros(1, requires_grad=True)
        optimizer = torch.optim.SGD([parameter], lr=peak, momentum=momentum)
        optimizer.register_step_pre_hook(limit.hook)
        done = Watched(peak, seed, momentum, LRTrace(optimizer))
        begun.append(done)

        def update() -> None:
            done.updates += 1
            optimizer.step()

        def loss() -> float:
            limit()
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


class Process(Protocol):
    """One process of a run that crashes: what was done with its optimizer."""

    trace: LRTrace
    batches: list[int]  # their numbers, in the order of the updates


def through_a_file(answer: Any) -> Any:
    """What the learner saves, written and read back as after a crash."""
    file = io.BytesIO()
    try:
        torch.save(answer, file)
    except Exception as error:
        raise Mistake(
            f"torch.save could not write what you returned ({type(error).__name__}). Return the "
            f"state_dict() of each object, not the object."
        ) from error
    file.seek(0)
    try:
        return torch.load(file)
    except Exception as error:
        raise Mistake(
            f"torch.load could not read back what you returned ({type(error).__name__}): it "
            f"accepts tensors, numbers, text, lists and dictionaries of them. Return the "
            f"state_dict() of each object, not the object."
        ) from error


def expect_batches(process: Process, begin: int, stop: int, where: str) -> None:
    """Raise Mistake unless the process made the updates `begin` to `stop` - 1, each once."""
    if not process.batches:
        raise Mistake(f"{where}no update was made. Call update(t) for every t up to stop - 1.")
    if process.batches != list(range(begin, stop)):
        got = process.batches
        if begin and got[0] == 0:
            hint = (
                "It began again from batch 0. How many updates are done belongs to what you save."
            )
        elif begin and got[0] == begin - 1:
            hint = f"{begin} updates were done, so the last batch was number {begin - 1}."
        elif begin and len(got) == stop and got[0] == begin:
            hint = "stop counts the updates since the start of the run, not since the crash."
        elif got == list(range(begin + 1, stop + 1)):
            hint = "Batches are numbered from 0."
        else:
            hint = f"It should be {begin} to {stop - 1}, each once."
        raise Mistake(f"{where}update was called for the batches {short(got)}. {hint}")
    if len(process.trace) != len(process.batches):
        raise Mistake(f"{where}optimizer.step() was called by itself. update(t) makes the step.")


def first_apart(a: np.ndarray, b: np.ndarray) -> int:
    """The first place at which two arrays of factors differ by more than rounding."""
    return next(i for i in range(len(b)) if not close(a[i], b[i]))


def updates_limit(steps: int) -> Limit:
    """For a process that is to make `steps` updates at most."""
    return Limit(100 * steps, "updates")


def expect_resumed(
    got: np.ndarray, plan: np.ndarray, begin: int, n: int, name: str, where: str
) -> None:
    """The likely mistakes in the `name` after a crash; `plan` is that of the whole run."""
    wanted = plan[begin : begin + n]
    if same_rates(got, plan[:n]):
        raise Mistake(
            f"{where}the {name} began again from step 0. The scheduler's counter belongs to what "
            f"you save."
        )
    if same_rates(got[1:], wanted[1:]):
        given, right = apart(got[0], wanted[0])
        raise Mistake(
            f"{where}only the first update used a wrong {name}, {given}, not {right}. "
            f"Building a torch scheduler writes the values of step 0 into the optimizer: load the "
            f"optimizer's state after it was built."
        )
    if same_rates(got, plan[begin + 1 : begin + 1 + n]):
        raise Mistake(f"{where}the {name} is one step ahead: the scheduler is a step too far.")
    if same_rates(got, plan[begin - 1 : begin - 1 + n]):
        raise Mistake(f"{where}the {name} is one step behind: the scheduler missed a step.")
    if got[0] != 0 and np.allclose(got / got[0], wanted / wanted[0], rtol=1e-6):
        raise Mistake(
            f"{where}the {name} has the right shape, at {got[0] / wanted[0]:.3g} times its height. "
            f"After loading, the optimizer's {name} is that of the crash. The scale is the value "
            f"it was built with: read it before, or let a state_dict() restore it."
        )
    if same_rates(got, np.full(n, got[0])):
        raise Mistake(f"{where}the {name} never changed.")
