"""Training runs of a learner's: what was done with an optimizer, as values that can be compared.

A reader for a run makes the optimizer itself, lets the function train, and returns what came of
it as parts: how many updates, their rates, what was returned. Right and wrong functions are run
in the same way, so that a table of mistakes works for runs as it does for numbers.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from lrlib.exercises import Ask, Limit, Mistake, seal, stepped, to_numbers
from lrlib.trace import LRTrace

# What `say` of an exercise may hold for the rates of a run.
OF_A_RUN = {
    "early": "every rate came one step early, and the first was never used. Call optimizer.step() "
    "first and scheduler.step() after it.",
    "late": "every rate came one step late. The scheduler was not stepped after the first update.",
    "twice": "the plan went by at twice its speed. Step the scheduler once for each update.",
    "constant": "the rate never changed. Was the scheduler built for this optimizer, and stepped "
    "after every update?",
    "products": "each factor was multiplied onto the rate before it. A factor belongs to the peak.",
    "divided peak": "the factors were applied as rates. The peak is the rate the optimizer was "
    "made with.",
    "times peak": "the rates were multiplied by the peak once more. A scheduler is given factors.",
}
IDLE = "the optimizer made no update, so no rate was applied. Call optimizer.step()."


class Watched:
    """An optimizer, and a record of all that is done with it.

    `trace` has the rates and momenta that were applied; `log` has (what, updates before it,
    arguments) for every call of a function that `noted` has wrapped; `weights` the parameters, in
    one vector, before every update, and `idle` the updates that found no gradient. `about` is
    kept for whoever made it, such as a peak and a seed.
    """

    def __init__(self, optimizer: Optimizer, limit: Limit | None = None, **about: Any) -> None:
        self.optimizer, self.about = optimizer, about
        self.limit = limit or Limit(10_000, "updates and calls of what it was given")
        self.log: list[tuple[str, int, tuple[Any, ...]]] = []
        self.weights: list[Tensor] = []
        self.idle: list[int] = []
        optimizer.register_step_pre_hook(self._before)
        self.trace = LRTrace(optimizer)

    def _parameters(self) -> list[Tensor]:
        return [p for group in self.optimizer.param_groups for p in group["params"]]

    def _before(self, *_: Any) -> None:
        self.limit()
        if all(p.grad is None or not p.grad.any() for p in self._parameters()):
            self.idle.append(self.updates)
        self.weights.append(self.now())

    def now(self) -> Tensor:
        """The present weights, in one vector."""
        return torch.cat([p.detach().flatten() for p in self._parameters()]).clone()

    def noted(self, what: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, whose calls are counted and logged."""

        def call(*args: Any) -> Any:
            self.limit()
            self.log.append((what, self.updates, args))
            return function(*args)

        return call

    def calls(self, what: str) -> list[tuple[Any, ...]]:
        """The arguments of the calls of `what`, in their order."""
        return [args for name, _, args in self.log if name == what]

    def expect_updates_by(self, what: str, rest: str) -> None:
        """Raise Mistake if an update was not made by `what`, which was noted; it ends by `rest`."""
        if self.updates != len(self.calls(what)):
            raise Mistake(f"optimizer.step() was called by itself{rest}")

    @property
    def updates(self) -> int:
        return len(self.trace)

    @property
    def rates(self) -> np.ndarray:
        """The rate of the first group at every update, shape (updates,)."""
        return self.trace.lr[:, 0] if self.updates else np.zeros(0)

    @property
    def momenta(self) -> np.ndarray:
        """Momentum, or beta1, of the first group at every update, shape (updates,)."""
        return self.trace.momentum[:, 0] if self.updates else np.zeros(0)


class Runs:
    """The runs that one call of a learner's function begins; their updates are counted together."""

    def __init__(self, most: float, what: str = "updates and runs", idle: str = IDLE) -> None:
        self.limit, self.idle = Limit(most, what), idle  # what is said of a run without updates
        self.begun: list[Watched] = []

    def watch(self, optimizer: Optimizer, **about: Any) -> Watched:
        self.limit()
        self.begun.append(Watched(optimizer, self.limit, **about))
        return self.begun[-1]

    def let(self, ask: Ask, *args: Any) -> Any:
        """``ask(*args)``, which ends with a hint if it began no run, or made no update."""
        try:
            answer = ask(*args)
        except (Mistake, IndexError) as error:
            cause = error.__cause__ or error
            if isinstance(cause, IndexError) and self.begun and not self.used:
                raise Mistake(
                    f"{self.idle} ({error})"
                ) from cause  # an empty trace has no first column
            raise
        if self.begun and not self.used:
            raise Mistake(self.idle)
        return answer

    @property
    def used(self) -> list[Watched]:
        """Those that made updates; one more, for a plot, is no fault."""
        return [run for run in self.begun if run.updates]


def rates_under(
    make: Callable[[], Any], optimizer: Optimizer, updates: int, where: str = ""
) -> np.ndarray:
    """The rates, shape (updates, groups), of a run whose scheduler the learner's ``make()`` builds.

    It is stepped after every update. `where`, a clause, is said if its step() fails.
    """
    optimizer.register_step_pre_hook(Limit(100 * updates, "updates").hook)
    with warnings.catch_warnings(), LRTrace(optimizer) as trace:
        warnings.simplefilter("ignore")  # torch's on the order of the calls: the hint is ours
        scheduler = make()
        if len(trace):
            raise Mistake(
                f"your function made {len(trace)} updates itself. Return the scheduler alone: the "
                f"loop of the run does the rest."
            )
        for t in range(updates):
            optimizer.step()
            stepped(scheduler, f"{where}your scheduler's step()", f" after update {t}")
    return trace.lr


def rates_returned(answer: Any, updates: int, name: str) -> np.ndarray:
    """The rates that a function says it applied, one for each of its updates."""
    said = to_numbers(answer, name, "an array of rates")
    if said.shape != (updates,):
        raise Mistake(
            f"return one rate for each update, shape ({updates},), not shape {said.shape}. (A "
            f"trace's lr has one column for each parameter group.)"
        )
    return said


def through_a_file(answer: Any) -> Any:
    """What is saved of a run, written and read back as after a crash."""
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


seal(__name__)
