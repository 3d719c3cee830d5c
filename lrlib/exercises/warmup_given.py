"""What the sheet of chapter 08 hands out: a job that can crash, and models to measure."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lrlib.exercises import Limit, seal

Measure = Callable[[Any], np.ndarray]

# --- 4. One process of a run: a linear regression with noise, 20 weights, batches of 8

_SPREAD = torch.arange(1, 21).rsqrt()  # of the inputs: the curvature is 1, 1/2, …, 1/20


@lru_cache(maxsize=10_000)
def _batch(seed: int, t: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1_000_003 * (seed + 1) + t)
    x = torch.randn(8, 20, generator=draw) * _SPREAD
    return x, torch.randn(8, 1, generator=draw)  # the right weights are 0


def job(
    peak: float, seed: int, process: int = 0
) -> tuple[nn.Module, Optimizer, Callable[[int], None], Callable[[], float]]:
    """A new process of a run: its model, its optimizer, ``update(t)`` and ``loss()``.

    The optimizer is SGD with momentum 0.9 whose rate is `peak`. `seed` sets the batches, and with
    the number of the `process` the initial weights; ``update(t)`` makes one update with batch
    number t, ``loss()`` is the loss in excess of the lowest there is.
    """
    draw = torch.Generator().manual_seed(1000 * seed + process)
    model = nn.Linear(20, 1, bias=False)
    weight = model.weight
    with torch.no_grad():
        weight.copy_(torch.randn(1, 20, generator=draw))
    optimizer = torch.optim.SGD(model.parameters(), lr=peak, momentum=0.9)

    def update(t: int) -> None:
        if operator.index(t) < 0:
            raise ValueError(f"update: batches are numbered from 0, got {t}")
        x, y = _batch(seed, operator.index(t))
        # The gradient of half the mean squared error, without the cost of autograd.
        weight.grad = (x @ weight.detach().T - y).T @ x / 8
        optimizer.step()

    def loss() -> float:
        return float((weight.detach() * _SPREAD).square().sum()) / 2

    return model, optimizer, update, loss


# --- 5. Models whose sharpness falls


@dataclass(frozen=True)
class Valley:
    """``½ (h + (k - h) y²) x² + ½ c y²``: steep across, in x, at first; flat along, in y.

    Gradient descent from x = 1e-6, y = 1. The curvature across falls from k to h as y goes to 0.
    `peak` is the rate that a warm-up on it is to reach.
    """

    k: float
    h: float
    c: float
    peak: float

    def trainer(self, limited: bool = True) -> Measure:
        """``measure(rates)``: trains anew; the sharpness before each update and after the last.

        It goes on from the last run as far as the rates are the same: whoever builds a warm-up
        step by step measures after each, and to train anew each time would take minutes.
        """
        calls = Limit(100_000 if limited else math.inf, "calls of measure")
        asked = Limit(5_000_000 if limited else math.inf, "rates given to measure")
        made = Limit(500_000 if limited else math.inf, "updates that measure made")
        done: list[float] = []  # the rates of the last run
        states = [(1e-6, 1.0)]  # (x, y) before each of its updates, and after the last
        seen = [self._sharpness(1e-6, 1.0)]

        def measure(rates: Any) -> np.ndarray:
            rates = np.asarray(rates, dtype=float).ravel().tolist()
            calls()
            asked(len(rates))
            kept = len(done)
            if rates[:kept] != done:
                pairs = enumerate(zip(rates, done, strict=False))
                kept = next((i for i, (a, b) in pairs if a != b), min(len(rates), kept))
            made(len(rates) - kept)
            del done[kept:], states[kept + 1 :], seen[kept + 1 :]
            for rate in rates[kept:]:
                done.append(rate)
                states.append(self._update(*states[-1], rate))
                seen.append(self._sharpness(*states[-1]))
            return np.array(seen)

        return measure

    def _sharpness(self, x: float, y: float) -> float:
        """The largest eigenvalue of the Hessian."""
        across = self.h + (self.k - self.h) * y * y
        coupling, along = 2 * (self.k - self.h) * x * y, self.c + (self.k - self.h) * x * x
        return (across + along) / 2 + math.hypot((across - along) / 2, coupling)

    def _update(self, x: float, y: float, rate: float) -> tuple[float, float]:
        across = self.h + (self.k - self.h) * y * y
        along = self.c + (self.k - self.h) * x * x
        x, y = x - rate * across * x, y - rate * along * y
        return max(-1e30, min(1e30, x)), max(-1e30, min(1e30, y))  # diverged

    def product(self, rates: np.ndarray, rest: int = 50) -> np.ndarray:
        """The rate times the sharpness, at every update with `rates` and at some at the peak."""
        rates = np.append(rates, np.full(rest, self.peak))
        return rates * self.trainer()(rates)[:-1]


VALLEYS = (
    Valley(10, 1.6, 0.02, 1.0),
    Valley(30, 4, 0.2, 0.4),
    Valley(20, 15, 0.05, 0.12),
    Valley(8, 0.1, 0.1, 4.0),
    Valley(5, 1, 0.05, 0.3),  # stable at the peak from the first update on
)


def model() -> tuple[Measure, float]:
    """The first of the checker's models, to look at: ``measure(rates)`` and the peak."""
    return VALLEYS[0].trainer(limited=False), VALLEYS[0].peak


seal(__name__)
