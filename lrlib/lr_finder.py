"""Chapter 09: the learning-rate range test, which leaves no trace, and rules to read it by."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lrlib import _checks, _optimizers
from lrlib.trace import LRTrace

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
        model = [*train_step.modules, *_several(model)]
        data = [train_step, *_several(data)]

    rates = np.geomspace(start_lr, end_lr, num_iter)
    losses = np.full((repeats, num_iter), math.nan)
    with (
        _restored(owner, optimizer, model, scaler, stateful, data) as rewind,
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
    noise = _noise_of(moves) if moves.size else 0.0
    start = np.median(seen[:5])
    fall = max(start - seen.min(), 4 * noise)
    return bool(np.median(seen[-3:]) > start + (factor - 1) * fall)


def _noise_of(steps: np.ndarray) -> float:
    """Standard deviation of one loss around the curve, from differences of neighbours."""
    return 1.48 * float(np.median(np.abs(steps[np.isfinite(steps)]))) / math.sqrt(2)


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
    hooks = optimizer._optimizer_step_pre_hooks
    before, inside = dict(hooks), False

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

    for key, hook in before.items():
        if isinstance(getattr(hook, "__self__", None), LRTrace) or hasattr(hook, "scheduled_lr"):
            del hooks[key]
    optimizer.register_step_pre_hook(refuse)
    try:
        yield step
    finally:
        hooks.clear()
        hooks.update(before)


# --- a training step from a model and a loader


def training_step(model: nn.Module, loss_fn: Callable, loader: Iterable) -> TrainingStep:
    """A `train_step` for `find_lr`: the next batch, gradients zeroed, forward, backward.

    Args:
        model: called with the inputs. If it is in eval mode it is put into train mode; if it is
            in train mode, submodules in eval mode (frozen batch norm) stay so.
        loss_fn: ``loss_fn(outputs, targets)`` returns a scalar tensor.
        loader: yields pairs (inputs, targets); tensors are moved to the model's device. It may be
            shorter than the test, and is then started over.

    A generator that belongs to the loader or its sampler is put back after the test. Raises
    TypeError for bad arguments or a loader that yields something else than pairs, ValueError for
    one that yields nothing.
    """
    return TrainingStep(model, loss_fn, loader)


class TrainingStep:
    """What `training_step` returns."""

    def __init__(self, model: nn.Module, loss_fn: Callable, loader: Iterable) -> None:
        owner = "training_step"
        if not isinstance(model, nn.Module):
            raise TypeError(f"{owner}: model must be a module, got {model!r:.200}")
        if not callable(loss_fn):
            raise TypeError(f"{owner}: loss_fn must be a function, got {loss_fn!r:.200}")
        if not isinstance(loader, Iterable):
            raise TypeError(f"{owner}: loader must be iterable, got {loader!r:.200}")
        self.model, self.loss_fn, self.loader = model, loss_fn, loader
        self.modules = [m for m in (model, loss_fn) if isinstance(m, nn.Module)]
        self._batches: Iterator | None = None

    def __call__(self) -> Tensor:
        if not self.model.training:
            self.model.train()
        inputs, targets = self._next_batch()
        for module in self.modules:
            module.zero_grad()
        loss = self.loss_fn(self.model(inputs), targets)
        loss.backward()
        return loss.detach()

    def _next_batch(self) -> tuple[Any, Any]:
        for _ in range(2):  # a second time, from the start, when the loader is at its end
            if self._batches is None:
                self._batches = iter(self.loader)
            for batch in self._batches:
                if not isinstance(batch, tuple | list) or len(batch) != 2:
                    raise TypeError(
                        f"training_step: loader must yield pairs (inputs, targets), got "
                        f"{batch!r:.200}; for anything else write the step as a function"
                    )
                return self._moved(batch[0]), self._moved(batch[1])
            self._batches = None
        raise ValueError(
            f"training_step: loader must have batches, also when it is started over, got "
            f"{self.loader!r:.200}"
        )

    def _moved(self, value: Any) -> Any:
        parameter = next(self.model.parameters(), None)
        moves = isinstance(value, Tensor) and parameter is not None
        return value.to(parameter.device) if moves else value

    def _generators(self) -> list[torch.Generator]:
        holders = self.loader, getattr(self.loader, "sampler", None)
        found = [getattr(holder, "generator", None) for holder in holders]
        return [generator for generator in found if isinstance(generator, torch.Generator)]

    def state_dict(self) -> dict[str, Any]:
        """The states of the loader's own random generators."""
        return {"generators": [generator.get_state() for generator in self._generators()]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put the generators back; the next call starts the loader anew."""
        self._batches = None
        for generator, old in zip(self._generators(), state["generators"], strict=True):
            generator.set_state(old)


# --- reading the curve

Rule = Callable[[np.ndarray, np.ndarray], float | None]


def smooth(rates: np.ndarray, losses: np.ndarray, width: float) -> np.ndarray:
    """Losses smoothed in the logarithm of the rate, without lag.

    At each rate a straight line is fitted to the losses around it, with Gaussian weights of
    standard deviation `width`, in decades; its height there is the smoothed loss. A straight
    stretch of the curve is returned as it is, also at the ends. Arrays of shape (n,).
    """
    rates, losses = _curve("smooth", rates, losses)
    width = _checks.number("smooth", "width", width, minimum=0)
    x = np.log10(rates)
    if width < 0.3 * np.diff(x).min():  # the neighbours would have no weight
        return losses.copy()
    offset = x - x[:, np.newaxis]  # row i: seen from point i
    weight = np.exp(-0.5 * (offset / width) ** 2)
    s0, s1, s2 = (np.sum(weight * offset**power, axis=1) for power in (0, 1, 2))
    return np.sum(weight * (s2[:, np.newaxis] - s1[:, np.newaxis] * offset) * losses, axis=1) / (
        s0 * s2 - s1**2
    )


def steepest(rates: np.ndarray, losses: np.ndarray) -> float | None:
    """Where the loss falls fastest with the logarithm of the rate, before its minimum.

    The slope is taken over half a decade. With the *linear* rate, as some finders take it, the
    answer would lie near the first rate.
    """
    rates, losses = _curve("steepest", rates, losses)
    x = np.log10(rates)
    inside = (x >= x[0] + 0.25) & (x <= min(x[losses.argmin()], x[-1] - 0.25))
    if not inside.any():
        return None
    fall = np.interp(x[inside] - 0.25, x, losses) - np.interp(x[inside] + 0.25, x, losses)
    return float(rates[inside][fall.argmax()]) if fall.max() > 0 else None


def minimum(rates: np.ndarray, losses: np.ndarray) -> float | None:
    """Where the loss is lowest: the edge of what training survives, rather than a setting."""
    rates, losses = _curve("minimum", rates, losses)
    return float(rates[losses.argmin()])


def minimum_10(rates: np.ndarray, losses: np.ndarray) -> float | None:
    """A tenth of the rate where the loss is lowest: one of fastai's two suggestions until 2021."""
    return minimum(rates, losses) / 10


def valley(rates: np.ndarray, losses: np.ndarray) -> float | None:
    """The middle of the longest valley: the rule of fastai's ``lr_find`` since 2021.

    The valley is the longest strictly falling subsequence of the losses; it is taken to end where
    the subsequence ends and to be as many points long. (The documentation of fastai says "about
    2/3 through"; its code gives the middle.) fastai applies it to losses that were smoothed with
    lag and cut at both ends; on a curve without noise the valley starts at the first rate.
    """
    rates, losses = _curve("valley", rates, losses)
    length = np.ones(losses.size, dtype=int)  # of the longest falling subsequence up to here
    for i in range(1, losses.size):
        length[i] += length[:i][losses[:i] > losses[i]].max(initial=0)
    end, n = length.argmax(), length.max()
    return float(rates[max(end - n + n // 3 + n // 6, 0)]) if n > 1 else None


def edge(rates: np.ndarray, losses: np.ndarray) -> float | None:
    """Where the loss, past its minimum, has lost half of what it had gained.

    The gain is from the level of the first tenth of the curve to the minimum. Blow-ups are steep,
    so unlike the minimum, which may lie anywhere in a flat valley, this point hardly moves with
    noise. Interpolated between the rates. None if the loss falls nowhere or does not climb back.
    """
    rates, losses = _curve("edge", rates, losses)
    low = losses.argmin()
    level = losses[low] + _CLIMB * (_start_level(losses) - losses[low])
    return None if level <= losses[low] else _crossing(rates[low:], losses[low:], level)


def floor(rates: np.ndarray, losses: np.ndarray) -> float | None:
    """The middle, in the logarithm, of the stretch where the loss has kept most of its gain.

    The stretch is the one around the minimum in which the loss lies above it by less than a fifth
    of the gain, which is counted from the level of the first tenth of the curve. Its middle lies
    near the minimum and moves less with noise, since both its ends lie where the curve is steep.
    Interpolated between the rates. None if the loss falls nowhere.
    """
    rates, losses = _curve("floor", rates, losses)
    low = losses.argmin()
    level = losses[low] + _FLOOR * (_start_level(losses) - losses[low])
    if level <= losses[low]:
        return None
    left = _crossing(rates[low::-1], losses[low::-1], level) or rates[0]
    right = _crossing(rates[low:], losses[low:], level) or rates[-1]
    return math.sqrt(left * right)


def floor_2(rates: np.ndarray, losses: np.ndarray) -> float | None:
    """Half the middle of the `floor`: the peak of a schedule that decays.

    A fixed rate should be half of that again, and that of a very long run lower still. The
    divisor was found by experiment (chapter 9).
    """
    found = floor(rates, losses)
    return None if found is None else found / 2


# The rules whose answers `find_lr` gives. "default" is the one of this library.
RULES: dict[str, Rule] = {
    "default": floor_2,
    "steepest": steepest,
    "minimum_10": minimum_10,
    "valley": valley,
}

_CLIMB = 0.5
_FLOOR = 0.2


def _crossing(rates: np.ndarray, losses: np.ndarray, level: float) -> float | None:
    """The rate at which the losses first rise above `level`; they start below it."""
    above = np.flatnonzero(losses > level)
    if not above.size:
        return None
    i = above[0]
    share = (level - losses[i - 1]) / (losses[i] - losses[i - 1])
    return float(rates[i - 1] * (rates[i] / rates[i - 1]) ** share)


def _start_level(losses: np.ndarray) -> float:
    return float(np.median(losses[..., : max(losses.shape[-1] // 10, 1)]))


def _curve(owner: str, rates: object, losses: object) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays of shape (n,), n at least 3."""
    given = rates
    rates = _checks.array(owner, "rates", rates, ndim=1, above=0)
    if rates.size < 3 or (np.diff(rates) <= 0).any():
        raise ValueError(f"{owner}: rates must be at least 3 and ascend, got {given!r:.200}")
    given, losses = losses, _checks.array(owner, "losses", losses, ndim=1)
    if losses.shape != rates.shape:
        raise ValueError(f"{owner}: losses must have shape {rates.shape}, got {given!r:.200}")
    return rates, losses


# --- the result


class NoSuggestionError(RuntimeError):
    """The curve does not bear a suggestion; the message says why."""


@dataclass(frozen=True)
class Suggestion:
    """What one rule says.

    Attributes: `rate`, from the mean curve of all repeats; `low` and `high`, the least and the
    greatest from the curve of a single repeat, None if there was one repeat only. A rate is None
    if the result has a `reason` to refuse, or if the rule finds nothing.
    """

    rate: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, eq=False)
class LRFinderResult:
    """The curve of a range test, and what rules read from it. It can be built from any curve.

    Args:
        rates: shape (n,), ascending: rates of the first parameter group.
        losses: shape (repeats, n) or (n,): the loss that followed the update with that rate. NaN
            where a test had ended, infinity for a loss that was not finite.
        ratios: each group's rate as a multiple of the first group's.
        smoothing: see `find_lr`.

    Rules read a curve that is prepared thus: losses far above the start (by more than the
    greatest fall below it) are cut to that height, and tests that ended count as that high, so
    that a blow-up does not reach back through the smoothing; the mean over the repeats is taken
    as far as the longest went, and smoothed in the logarithm of the rate.

    Attributes: `smoothed`, that curve, of shape (m,), m ≤ n; `reason`, None or why there is no
    suggestion; `suggestions`, a dict from the names in `RULES` to a `Suggestion`; `default`, the
    library's own one as a number. Raises TypeError or ValueError for bad arguments.
    """

    rates: np.ndarray
    losses: np.ndarray
    ratios: tuple[float, ...] = (1.0,)
    smoothing: float = 0.2

    def __post_init__(self) -> None:
        owner = "LRFinderResult"
        losses = np.atleast_2d(np.array(self.losses, dtype=np.float64))
        bad = losses.ndim != 2 or losses.shape[1] != np.size(self.rates)
        if bad or not np.isfinite(losses[:, 0]).any():
            raise ValueError(
                f"{owner}: losses must have shape (repeats, {np.size(self.rates)}) and start with "
                f"numbers, got {self.losses!r:.200}"
            )
        rates, _ = _curve(owner, self.rates, np.zeros(np.size(self.rates)))
        object.__setattr__(self, "rates", rates)
        object.__setattr__(self, "losses", losses)
        smoothing = _checks.number(owner, "smoothing", self.smoothing, minimum=0)
        object.__setattr__(self, "smoothing", smoothing)

    @cached_property
    def _cut(self) -> np.ndarray:
        """The losses cut at a height and filled up to the end of the longest test, (repeats, m)."""
        ran = ~np.isnan(self.losses)
        m = max(int(np.flatnonzero(ran.any(0)).max()) + 1, 3)
        losses = np.where(ran, self.losses, math.inf)[:, :m]
        start = _start_level(losses)
        low = self._smooth(np.minimum(losses, start).mean(0)).min()
        return np.minimum(losses, start + max(0.5 * (start - low), 4 * self._noise))

    def _smooth(self, losses: np.ndarray) -> np.ndarray:
        return smooth(self.rates[: losses.size], losses, self.smoothing)

    @cached_property
    def _noise(self) -> float:
        """Standard deviation of one loss around the curve, from differences of neighbours."""
        with np.errstate(invalid="ignore"):  # infinity less infinity
            return _noise_of(np.diff(self.losses))

    @cached_property
    def smoothed(self) -> np.ndarray:
        return self._smooth(self._cut.mean(0))

    @cached_property
    def reason(self) -> str | None:
        curve, rates = self.smoothed, self.rates
        if curve.size < 10:
            return f"no descent: the test ended after {curve.size} updates; lower start_lr"
        start, low = _start_level(self._cut), curve.min()
        # Standard error of a smoothed loss: as many losses count as the window covers.
        spacing = math.log10(rates[-1] / rates[0]) / (rates.size - 1)
        window = max(2 * math.sqrt(math.pi) * self.smoothing / spacing, 1) * len(self.losses)
        doubt = 5 * self._noise / math.sqrt(window)
        if start - low <= doubt:
            return (
                f"no descent: the loss falls from {start:.4g} to {low:.4g} at most, and its noise "
                f"alone may do that; test more often (num_iter, repeats), from a smaller "
                f"start_lr, with larger batches, or check that the model trains at all"
            )
        climb = curve[curve.argmin() :].max() - low
        if climb <= max(_CLIMB * (start - low), doubt):
            return (
                f"no divergence: at {rates[curve.size - 1]:.4g}, the last rate, the loss has not "
                f"climbed back from its minimum; raise end_lr"
            )
        return None

    @cached_property
    def suggestions(self) -> dict[str, Suggestion]:
        if self.reason is not None:
            return dict.fromkeys(RULES, Suggestion(None))
        rates, found = self.rates[: self.smoothed.size], {}
        rows = [self._smooth(row) for row in self._cut] if len(self._cut) > 1 else []
        for name, rule in RULES.items():
            single = [rate for row in rows if (rate := rule(rates, row)) is not None]
            found[name] = Suggestion(
                rule(rates, self.smoothed),
                min(single, default=None),
                max(single, default=None),
            )
        return found

    def rate(self, name: str = "default") -> float:
        """The rate that a rule suggests; NoSuggestionError with the reason if it does not."""
        _checks.choice("LRFinderResult", "name", name, tuple(RULES))
        rate = self.suggestions[name].rate
        if rate is None:
            raise NoSuggestionError(
                f"find_lr: {self.reason or f'{name} finds nothing on this curve'}"
            )
        return rate

    @property
    def default(self) -> float:
        return self.rate()

    def group_rates(self, name: str = "default") -> tuple[float, ...]:
        """The suggestion for each parameter group, in the ratios that they had."""
        return tuple(self.rate(name) * ratio for ratio in self.ratios)

    def __str__(self) -> str:
        if self.reason is not None:
            return f"no suggestion: {self.reason}"
        lines = [f"{name:12s}{_words(found)}" for name, found in self.suggestions.items()]
        return "\n".join(lines)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the losses, the smoothed curve, and each suggestion with its spread over repeats."""
        if ax is None:
            import matplotlib.pyplot as plt

            ax = plt.figure().add_subplot()
        curve = self.smoothed
        rates = self.rates[: curve.size]
        for losses in self.losses[:, : curve.size]:
            ax.plot(rates, losses, ".", color="0.75", markersize=4, zorder=1)
        ax.plot(rates, curve, color="black", linewidth=1.8, zorder=3)
        found = {name: s for name, s in self.suggestions.items() if s.rate is not None}
        # A row above the curve for each label. They all stand on that side of their lines where
        # there is room, and no line goes through a label if the one that reaches furthest that
        # way is on top.
        row = 0.1 * np.ptp(curve)
        top = curve.max() + row * (len(found) + 0.5)
        ax.set(xscale="log", xlabel="learning rate", ylabel="loss", ylim=(curve.min() - row, top))
        left = sum(math.log(s.rate**2 / (rates[0] * rates[-1])) for s in found.values()) > 0
        colors = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")  # Okabe & Ito
        ordered = sorted(found.items(), key=lambda item: item[1].rate, reverse=left)
        for i, (name, s) in enumerate(ordered):
            color = colors[list(RULES).index(name) % len(colors)]
            height = float(np.interp(math.log(s.rate), np.log(rates), curve))
            level = top - row * (i + 0.75)
            ax.plot([s.rate] * 2, [height, level], color=color, linewidth=1.2, zorder=2)
            ax.plot(s.rate, height, "o", color=color, markersize=7, zorder=4)
            if s.low is not None:
                ax.plot([s.low, s.high], [height] * 2, color=color, linewidth=3, zorder=4)
            ax.annotate(
                f"{name.replace('_', '/')} {s.rate:.2g}",
                (s.rate, level),
                xytext=(-5 if left else 5, 0),
                textcoords="offset points",
                ha="right" if left else "left",
                va="center",
                color=color,
                fontsize=9.5,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1},
                zorder=5,
            )
        if self.reason is not None:
            ax.set_title(f"no suggestion: {self.reason.split(':')[0]}")
        return ax


def _words(found: Suggestion) -> str:
    if found.rate is None:
        return "none"
    spread = "" if found.low is None else f" ({found.low:.2g} to {found.high:.2g})"
    return f"{found.rate:.2g}{spread}"


# --- putting things back


def restored(
    optimizer: Optimizer,
    *,
    model: nn.Module | Iterable[nn.Module] | None = None,
    scaler: Any = None,
    stateful: Any = (),
    data: Any = (),
) -> AbstractContextManager[Callable[[], None]]:
    """A ``with`` block at whose end, however it ends, everything is bit for bit as before.

    The arguments are those of `find_lr`. What is put back: the optimizer with its parameters,
    their gradients and its state; `model` with its buffers and modes; `scaler`; `stateful`;
    `data`; the random states of Python, NumPy, torch and its devices. Tensors are written in
    place, so they stay the same objects. Gives a function that puts back all but `data` and the
    random states at once, for the next repeat of an experiment. Raises TypeError for arguments of
    the wrong kind.
    """
    return _restored("restored", optimizer, model, scaler, stateful, data)


@contextmanager
def _restored(
    owner: str, optimizer: Optimizer, model: Any, scaler: Any, stateful: Any, data: Any
) -> Iterator[Callable[[], None]]:
    _optimizers.check(owner, optimizer)
    memo: dict[int, Callable] = {}
    modules = _several(model)
    for module in modules:
        if not isinstance(module, nn.Module):
            raise TypeError(f"{owner}: model must be a module or several, got {module!r:.200}")
        for tensor in (*module.parameters(), *module.buffers()):
            if nn.parameter.is_lazy(tensor):
                raise ValueError(
                    f"{owner}: model must have been run once, got one with {tensor!r:.200}"
                )
    between = [_keep_optimizer(optimizer, memo), *(_keep_module(m, memo) for m in modules)]
    between += [_keep_object(owner, "stateful", thing, memo) for thing in _several(stateful)]
    if scaler is not None:
        between.append(_keep(vars(scaler), memo))
    at_end = [_keep_object(owner, "data", thing, memo) for thing in _several(data)]
    at_end.append(_keep_random_states())

    def put_back(keepers: list[Callable]) -> None:
        with torch.no_grad(), ExitStack() as stack:  # each runs, also if another raises
            for keeper in keepers:
                stack.callback(keeper)

    try:
        yield lambda: put_back(between)
    finally:
        put_back(between + at_end)


def _several(value: Any) -> list[Any]:
    """None, one object or several, as a list."""
    if value is None:
        return []
    return list(value) if isinstance(value, tuple | list) else [value]


def _keep(value: Any, memo: dict[int, Callable]) -> Callable[[], Any]:
    """A function that returns `value` as it is now; tensors, dicts and lists are put back in place.

    `memo` holds what was done for each tensor: the copies are what costs.
    """
    if isinstance(value, Tensor):
        if id(value) not in memo:
            memo[id(value)] = _keep_tensor(value, memo)
        return memo[id(value)]
    if isinstance(value, dict):
        items = {key: _keep(item, memo) for key, item in value.items()}

        def back() -> dict:
            old = {key: keeper() for key, keeper in items.items()}
            for key in value.keys() - old.keys():
                del value[key]
            value.update(old)
            return value

    elif isinstance(value, list):
        entries = [_keep(item, memo) for item in value]

        def back() -> list:
            value[:] = [keeper() for keeper in entries]
            return value

    elif type(value) is tuple:
        entries = [_keep(item, memo) for item in value]

        def back() -> tuple:
            return tuple(keeper() for keeper in entries)

    else:
        saved = copy.deepcopy(value)

        def back() -> Any:
            return copy.deepcopy(saved)

    return back


def _keep_tensor(tensor: Tensor, memo: dict[int, Callable]) -> Callable[[], Tensor]:
    content = tensor.detach().clone()
    keep_grad = _keep(tensor.grad, memo) if tensor.is_leaf else None

    def back() -> Tensor:
        tensor.copy_(content)
        if keep_grad is not None:
            tensor.grad = keep_grad()
        return tensor

    return back


def _keep_module(module: nn.Module, memo: dict[int, Callable]) -> Callable[[], None]:
    keepers, modes, extras = [], [], []
    for part in module.modules():
        keepers += [_keep(part._parameters, memo), _keep(part._buffers, memo)]
        modes.append((part, part.training))
        if type(part).get_extra_state is not nn.Module.get_extra_state:
            extras.append((part, copy.deepcopy(part.get_extra_state())))

    def back() -> None:
        for keeper in keepers:
            keeper()
        for part, mode in modes:
            part.training = mode
        for part, extra in extras:
            part.set_extra_state(copy.deepcopy(extra))

    return back


def _keep_optimizer(optimizer: Optimizer, memo: dict[int, Callable]) -> Callable[[], None]:
    """Not by `load_state_dict`, which makes new tensors, casts them, and runs hooks."""
    attributes = dict(vars(optimizer))  # flags that torch's schedulers set, for example
    contents = [optimizer.defaults, optimizer.param_groups, optimizer.state]
    keepers = [_keep(content, memo) for content in contents]

    def back() -> None:
        for name in vars(optimizer).keys() - attributes.keys():
            delattr(optimizer, name)
        vars(optimizer).update(attributes)
        for keeper in keepers:
            keeper()

    return back


def _keep_object(owner: str, name: str, thing: Any, memo: dict[int, Callable]) -> Callable[[], Any]:
    if isinstance(thing, Optimizer):
        return _keep_optimizer(thing, memo)
    if isinstance(thing, nn.Module):
        return _keep_module(thing, memo)
    if isinstance(thing, torch.Generator):
        state = thing.get_state()
        return lambda: thing.set_state(state)
    if isinstance(thing, np.random.Generator):
        state = copy.deepcopy(thing.bit_generator.state)
        return lambda: setattr(thing.bit_generator, "state", state)
    if hasattr(thing, "state_dict") and hasattr(thing, "load_state_dict"):
        state = copy.deepcopy(thing.state_dict())
        return lambda: thing.load_state_dict(copy.deepcopy(state))
    raise TypeError(
        f"{owner}: {name} must hold objects with state_dict and load_state_dict, or random "
        f"generators, got {thing!r:.200}"
    )


def _keep_random_states() -> Callable[[], None]:
    states: list[tuple[Callable, Any]] = [
        (random.setstate, random.getstate()),
        (np.random.set_state, np.random.get_state()),  # noqa: NPY002 (the global state is meant)
        (torch.set_rng_state, torch.get_rng_state()),
    ]
    if torch.cuda.is_initialized():
        states.append((torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all()))
    if torch.backends.mps.is_available():
        states.append((torch.mps.set_rng_state, torch.mps.get_rng_state()))

    def back() -> None:
        for set_state, state in states:
            set_state(state)

    return back
