"""The range test: train with a rate that grows from step to step, and leave no trace."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from numbers import Real
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.optim import Optimizer

from lrlib import _checks, _optimizers
from lrlib.lr_finder.curves import noise_of
from lrlib.lr_finder.result import LRFinderResult
from lrlib.lr_finder.training import TrainingStep
from lrlib.restoring import restored_for, several


def find_lr(
    optimizer: Optimizer,
    train_step: Callable[[], Tensor | float],
    *,
    model: nn.Module | Iterable[nn.Module] | None = None,
    scaler: Any = None,
    stateful: Any = (),
    data: Any = (),
    start_lr: float = 1e-6,
    end_lr: float = 10.0,
    num_iter: int = 100,
    repeats: int = 3,
    diverge_factor: float = 4.0,
    smoothing: float = 0.2,
) -> LRFinderResult:
    """Train with a rate that grows from step to step, and put everything back as it was.

    Args:
        optimizer: any torch optimizer that steps without a closure. Its rates keep their ratios
            (those of ``initial_lr`` where a scheduler has left one); rates that are tensors are
            written in place.
        train_step: zeroes the gradients, runs forward and backward, and returns the loss, a float
            or a tensor of one element. It does not step the optimizer. Gradient accumulation,
            clipping and autocast are in its hands. ``training_step(model, loss_fn, loader)``
            makes one.
        model: the module, or several, whose parameters, buffers and train/eval modes are put
            back. Without it only the optimizer's parameters are. A step that `training_step` made
            knows its model.
        scaler: a gradient scaler. `train_step` calls ``scaler.scale(loss).backward()`` and
            returns the loss unscaled; the update is made by ``scaler.step`` and ``scaler.update``.
        stateful: anything else that the training changes, one object or several: with
            ``state_dict`` and ``load_state_dict``, or a random generator of torch or NumPy.
        data: the same, for where the batches come from. It goes on from repeat to repeat and is
            put back at the end.
        start_lr, end_lr: first and last rate of the first parameter group; the rates between are
            equally spaced in the logarithm.
        num_iter: updates in one test, at least 10. `train_step` is called once more than that.
        repeats: tests from the same state, with the batches and random numbers that come next.
        diverge_factor: a test ends when its losses stand this many times as far above the lowest
            as they stood at the start, or when one is not finite. What counts is the median of
            the last three, that of the first five, and a fall of at least four times the noise of
            one loss; of a loss that falls to 0 it is a multiple of the start.
        smoothing: width of the smoothing: the standard deviation of its window in decades of the
            rate. 0 is none.

    The loss that `train_step` returns belongs to the weights before the update that follows. So
    the loss that shows what a rate did is the *next* one, and this is the one recorded beside it.
    Common finders are off by one step here.

    Afterwards, also if `train_step` raises or the user interrupts, all this is bit for bit as it
    was: weights, buffers, gradients (the same tensors; None stays None), the optimizer, modes,
    the scaler, and the random states of Python, NumPy, torch and its devices. Ordinary Python
    attributes of the model are not covered. An LRTrace attached to the optimizer records nothing
    of the test, and a ScheduledLR does not take notice of it; other hooks run as in training. It
    needs the memory for a second copy of weights, gradients and optimizer state.

    With several processes, return the loss averaged over them, so that all stop at one step.

    Returns an `LRFinderResult`: the curve, the suggestions, and why there are none if so.
    Raises TypeError or ValueError for bad arguments, RuntimeError if `train_step` steps the
    optimizer or leaves no gradients. Source: Smith (2017), section 3.3, for the test.
    """
    owner = "find_lr"
    _optimizers.check(owner, optimizer)
    if not callable(train_step):
        raise TypeError(f"{owner}: train_step must be a function, got {train_step!r:.200}")
    if scaler is not None and not (hasattr(scaler, "step") and hasattr(scaler, "update")):
        raise TypeError(f"{owner}: scaler must be a gradient scaler, got {scaler!r:.200}")
    start_lr = _checks.number(owner, "start_lr", start_lr, above=0)
    end_lr = _checks.number(owner, "end_lr", end_lr, above=start_lr)
    num_iter = _checks.integer(owner, "num_iter", num_iter, minimum=10)
    repeats = _checks.integer(owner, "repeats", repeats, minimum=1)
    diverge_factor = _checks.number(owner, "diverge_factor", diverge_factor, above=1)
    smoothing = _checks.number(owner, "smoothing", smoothing, minimum=0)
    ratios = _ratios(optimizer)
    if isinstance(train_step, TrainingStep):
        model = [*train_step.modules, *several(model)]
        data = [train_step, *several(data)]

    rates = np.geomspace(start_lr, end_lr, num_iter)
    losses = np.full((repeats, num_iter), math.nan)
    with (
        restored_for(owner, optimizer, model, scaler, stateful, data) as rewind,
        _guarded(optimizer, train_step) as step,
    ):
        for i, row in enumerate(losses):
            if i:
                rewind()
            _range_test(optimizer, step, scaler, rates, ratios, diverge_factor, row)
    return LRFinderResult(rates, losses, ratios=ratios, smoothing=smoothing)


def _range_test(
    optimizer: Optimizer,
    step: Callable[[], float],
    scaler: Any,
    rates: np.ndarray,
    ratios: tuple[float, ...],
    diverge_factor: float,
    losses: np.ndarray,
) -> None:
    """One test; fills `losses`, of the shape of `rates`, as far as it gets."""
    first = step()
    if not math.isfinite(first):
        raise ValueError(
            f"find_lr: train_step must return a finite loss before the first update, got {first!r}"
        )
    if all(p.grad is None for group in optimizer.param_groups for p in group["params"]):
        raise RuntimeError(
            "find_lr: train_step left no gradients in the optimizer's parameters; it must call "
            "backward()"
        )
    seen = [first]
    for k, rate in enumerate(rates.tolist()):
        for group, ratio in zip(optimizer.param_groups, ratios, strict=True):
            _optimizers.write(group, "lr", rate * ratio)
        if scaler is None:
            optimizer.step()
        else:
            scaler.step(optimizer)
            scaler.update()
        loss = step()  # the first that this rate has had a part in
        losses[k] = loss if math.isfinite(loss) else math.inf
        seen.append(loss)
        if not math.isfinite(loss) or _diverged(np.array(seen), diverge_factor):
            return


def _diverged(seen: np.ndarray, factor: float) -> bool:
    """Whether the losses seen so far stand `factor` times as far above their lowest as at first.

    Only differences of losses count, so that a constant added to the loss changes nothing.
    """
    if seen.size <= 5:
        return False
    # Where a loss moves by less than its rounding, most differences are 0, and say nothing.
    steps = np.diff(seen)
    moves = steps[steps != 0]
    noise = noise_of(moves) if moves.size else 0.0
    start = np.median(seen[:5])
    fall = max(start - seen.min(), 4 * noise)
    return bool(np.median(seen[-3:]) > start + (factor - 1) * fall)


def _ratios(optimizer: Optimizer) -> tuple[float, ...]:
    """Every group's peak as a multiple of the first group's."""
    peaks = [float(group.get("initial_lr", group["lr"])) for group in optimizer.param_groups]
    if not (peaks[0] > 0 and all(0 <= peak < math.inf for peak in peaks)):
        raise ValueError(
            f"find_lr: optimizer must have finite rates, at least 0, and the first group's above "
            f"0, since the others are multiples of it; got {peaks!r}"
        )
    return tuple(peak / peaks[0] for peak in peaks)


@contextmanager
def _guarded(optimizer: Optimizer, train_step: Callable) -> Iterator[Callable[[], float]]:
    """`train_step` returning a float, and refused if it steps the optimizer.

    Meanwhile the hooks of LRTrace and ScheduledLR are off: these updates are not the run's.
    """
    inside = False

    def refuse(*_: object) -> None:
        if inside:
            raise RuntimeError(
                "find_lr: train_step must not step the optimizer; find_lr sets the rate and steps"
            )

    def step() -> float:
        nonlocal inside
        inside = True
        loss = train_step()
        inside = False
        if isinstance(loss, Tensor) and loss.numel() == 1:
            return float(loss.detach())
        if isinstance(loss, Real) and not isinstance(loss, bool):
            return float(loss)
        raise TypeError(
            f"find_lr: train_step must return the loss, a number or a tensor of one element, "
            f"got {loss!r:.200}"
        )

    with _optimizers.silenced(optimizer):
        optimizer.register_step_pre_hook(refuse)
        yield step
