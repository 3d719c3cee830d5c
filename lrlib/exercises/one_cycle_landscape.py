"""Checkers of chapter 07, exercise 5b: a loss on which a rise pays; and the runs of exercise 2."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from lrlib.exercises import Mistake, call, checker, passed, short
from lrlib.lab.noisy_quadratic import NoisyQuadratic
from lrlib.one_cycle import OneCycle

STEPS, NOISE, PAYS = 300, 0.1, 2.0
Landscape = Callable[[Tensor], Tensor]


@checker()
def check_landscape(landscape: Landscape) -> None:
    """Exercise 5b: ``landscape(x)``, a loss on which the rise pays twofold or more."""
    values = _loss(landscape, torch.linspace(-3, 3, 601, dtype=torch.float64))
    if not torch.isfinite(values).all() or values.min() < 0:
        raise Mistake(
            f"between -3 and 3 your loss goes from {float(values.min()):.3g} to "
            f"{float(values.max()):.3g}. It should be finite there, and nowhere below 0."
        )
    fall_peak, fall, _ = best_run(landscape, 0.0)
    rise_peak, rise, end = best_run(landscape, 0.3)
    if not math.isfinite(min(rise, fall)):
        raise Mistake("every run diverged, even with a peak of 1e-4. Make your loss less steep.")
    found = (
        f"with the rise the loss is {rise:.3g} (best peak {rise_peak:.3g}), without it {fall:.3g} "
        f"(best peak {fall_peak:.3g})."
    )
    if fall > 0 and fall >= PAYS * rise:
        passed(found)
        return
    first, last = _curvature(landscape, 1.5), _curvature(landscape, end)
    curved = f"Your curvature is {first:.3g} where the runs begin and {last:.3g} where they end"
    if rise == fall:
        hint = "The two are the same. Does a weight move at all, and does it not simply arrive?"
    elif max(first, last) <= 1.01 * min(first, last):
        hint = f"{curved}: on a quadratic the price of every rise is above 0. It has to change."
    elif first <= last:
        hint = f"{curved}. Where should it be high for a small rate to be needed at first?"
    else:
        hint = (
            f"{curved}. That is the right order, but not steep enough at the start: see what one "
            f"update at the best peak of the rise does there."
        )
    raise Mistake(f"{found} {hint}")


def _loss(landscape: Landscape, x: Tensor) -> Tensor:
    try:
        answer = call(landscape, x)
    except Mistake as error:
        if "converted to Python scalars" in str(error) or "is ambiguous" in str(error):
            raise Mistake(
                f"{error} x holds many weights at once: torch.exp(x) works on all, math.exp(x) and "
                f"`if x > 1` do not. torch.where(x > 1, one, other) chooses for each."
            ) from error.__cause__
        raise
    if not isinstance(answer, Tensor) or answer.shape != x.shape:
        shape = tuple(answer.shape) if isinstance(answer, Tensor) else short(answer)
        raise Mistake(
            f"landscape should return a tensor with one loss for each entry of x, of shape "
            f"{tuple(x.shape)}, not {shape}. Use torch's functions, and sum nothing."
        )
    return answer.double()


def _gradient(landscape: Landscape, x: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        total = _loss(landscape, x).sum()
        try:
            return torch.autograd.grad(total, x)[0]
        except RuntimeError as error:
            raise Mistake(
                f"your loss has no gradient ({short(str(error))}). Compute it from x by torch's "
                f"functions, without .item(), .detach() or numpy."
            ) from error


def _curvature(landscape: Landscape, x: float, step: float = 1e-3) -> float:
    """The mean of |loss''| near x, from differences: a kink has none at a point."""
    near = torch.linspace(x - 0.5, x + 0.5, 101, dtype=torch.float64)
    low, high = (_gradient(landscape, near + shift) for shift in (-step, step))
    return float(((high - low) / (2 * step)).abs().mean())


def best_run(landscape: Landscape, pct_start: float) -> tuple[float, float, float]:
    """The best peak, its mean final loss over 64 runs, and where these end in the median."""
    peaks = torch.tensor(np.geomspace(1e-4, 10, 81))[:, None]
    generator = torch.Generator().manual_seed(0)
    x = 1 + torch.rand(64, generator=generator, dtype=torch.float64).expand(len(peaks), 64)
    for factor in OneCycle(STEPS, pct_start).sample(STEPS).tolist():
        noise = NOISE * torch.randn(64, generator=generator, dtype=torch.float64)
        x = x - peaks * factor * (_gradient(landscape, x) + noise)
    losses = _loss(landscape, x.detach()).detach().mean(1)
    losses = torch.where(torch.isfinite(losses) & (losses >= 0), losses, math.inf)
    i = int(losses.argmin())
    return float(peaks[i]), float(losses[i]), float(x[i].median())


def best_loss(factors: np.ndarray, momenta: np.ndarray) -> tuple[float, float]:
    """The best peak of the `factors`, and its loss on the noisy quadratic with batches of 16.

    `factors` and `momenta` have shape (steps,), one for every update. Exact: an expectation, by
    the recursion of `NoisyQuadratic.loss`, with a momentum that may change.
    """
    quadratic = NoisyQuadratic(batch_size=16)
    h = np.array(quadratic.curvature)
    noise = h / quadratic.batch_size
    peaks = np.geomspace(1e-3, 4, 241)
    rates = peaks[:, None] * np.asarray(factors, dtype=float)
    a = np.ones((peaks.size, h.size))
    b, v = np.zeros_like(a), np.zeros_like(a)
    with np.errstate(over="ignore", invalid="ignore"):
        for eta, mu in zip(rates.T[:, :, None], momenta, strict=True):
            v = mu**2 * v + 2 * mu * h * b + h**2 * a + noise
            s = mu * b + h * a
            a, b = a - 2 * eta * s + eta**2 * v, s - eta * v
        losses = a @ h / 2
    losses[~np.isfinite(losses)] = math.inf
    i = int(losses.argmin())
    return float(peaks[i]), float(losses[i])
