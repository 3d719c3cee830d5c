"""Chapter 10: what the batch size does to the learning rate, and how large a batch is useful."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from numbers import Real
from statistics import NormalDist
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from lrlib import _checks

# How a rate follows the batch size: new rate / old rate, from new batch size / old batch size.
RULES: dict[str, Callable[[float], float]] = {
    "linear": lambda ratio: ratio,
    "sqrt": math.sqrt,
    "none": lambda ratio: 1.0,
}
_LINEAR = ("SGD", "ASGD")
_SQRT = (
    *("Adam", "AdamW", "Adamax", "NAdam", "RAdam", "SparseAdam"),
    *("RMSprop", "Adagrad", "Adadelta", "Adafactor"),
)


def scale_lr(
    lr: float,
    batch_size: int,
    new_batch_size: int,
    rule: str | Optimizer | type[Optimizer] = "linear",
) -> float:
    """The learning rate for another batch size, from one that is good for `batch_size`.

    Args:
        lr: the peak that was tuned at `batch_size`, above 0.
        batch_size, new_batch_size: samples per update, that is per process × processes ×
            accumulated microbatches; at least 1.
        rule: "linear" multiplies by κ = new_batch_size / batch_size, for SGD with or without
            momentum (Krizhevsky 2014, section 5; Goyal et al. 2017, section 2.1); "sqrt" by √κ,
            for Adam and its like (Malladi et al. 2022; Krizhevsky gives it for SGD by the
            variance of the update); "none" leaves the rate. An optimizer of torch, or its class,
            stands for the rule of its kind.

    The rules hold where noise limits the rate, with the number of samples kept rather than of
    updates. Towards the gradient noise scale they promise too much, and Goyal et al. needed a
    warm-up. Malladi et al. also move Adam's betas, to ``1 - κ (1 - beta)``, and eps, to
    ``eps / √κ``.

    Raises TypeError or ValueError for bad arguments, and for an optimizer without a known rule.
    """
    owner = "scale_lr"
    lr = _checks.number(owner, "lr", lr, above=0)
    batch_size = _checks.integer(owner, "batch_size", batch_size, minimum=1)
    new_batch_size = _checks.integer(owner, "new_batch_size", new_batch_size, minimum=1)
    kind = rule if isinstance(rule, type) else type(rule)
    if issubclass(kind, Optimizer):
        names = [parent.__name__ for parent in kind.__mro__]  # a subclass is of its parent's kind
        known = {**dict.fromkeys(_LINEAR, "linear"), **dict.fromkeys(_SQRT, "sqrt")}
        found = [known[name] for name in names if name in known]
        if not found:
            raise ValueError(
                f"{owner}: rule must be an optimizer like SGD or Adam, or one of "
                f"{', '.join(RULES)}; no rule is known for {rule!r:.200}"
            )
        rule = found[0]
    rule = _checks.choice(owner, "rule", rule, tuple(RULES))
    return lr * RULES[rule](new_batch_size / batch_size)


class GradientNoiseScale:
    """A running estimate of the simple gradient noise scale, ``B_simple = tr Σ / |G|²``.

    G is the true gradient and Σ the covariance of one sample's gradient. Up to about this batch
    size, in samples, a larger batch saves updates; far above it, it saves none. The expected
    squared norm of a mean over b samples is ``|G|² + tr Σ / b``; measured at two batch sizes, b of
    a microbatch and B of the whole batch, this gives both without bias:

    ``|G|² ≈ (B |g_B|² − b |g_b|²) / (B − b)``,  ``tr Σ ≈ (|g_b|² − |g_B|²) / (1/b − 1/B)``.

    One such estimate is noisy, and that of |G|² may even be negative. So each is averaged over
    the updates, and the ratio is that of the averages; an average of ratios would be biased.

    >>> import torch
    >>> scale = GradientNoiseScale()
    >>> for step in range(1000):
    ...     microbatches = 1 + torch.randn(4, 10, generator=torch.Generator().manual_seed(step))
    ...     scale.update(microbatches, batch_size=8)
    >>> round(scale.value)  # |G|² is 10 and tr Σ / 8 is 10
    8

    Args:
        decay: of exponential averages, in (0, 1), for a noise scale that changes in training;
            that they start empty is corrected for. None (the default) averages over all updates.
        scale: what the loss was multiplied by before its gradients were taken, above 0: a number
            or, in mixed precision, the gradient scaler, which is then asked at every update.

    Under a gradient scaler the scale changes, and some updates overflow. Those (their norm is not
    finite) are left out, as the scaler leaves them out of the training, and counted.

    Attributes: `value` in samples; `squared_norm` (|G|²) and `trace` (tr Σ), in squared units of
    the gradient of the loss itself; `updates` taken in; `overflows` left out. Raises TypeError or
    ValueError for bad arguments, ValueError if there is nothing to compare (one microbatch) or
    nothing taken in yet. Source: McCandlish et al. (2018), section 2.2 and appendix A.1.
    """

    def __init__(self, decay: float | None = None, scale: Any = 1.0) -> None:
        if decay is not None:
            decay = _checks.number(_OWNER, "decay", decay, above=0, below=1)
        _scale(_OWNER, scale)
        self.decay, self.scale = decay, scale
        self.updates = self.overflows = 0
        # Weighted sums over the updates: of the weights and their squares, of x = |G|² and
        # y = tr Σ as each update gives them, and of their products.
        names = ("w", "ww", "x", "y", "xx", "xy", "yy")
        self._sums: dict[str, float] = dict.fromkeys(names, 0.0)
        self._open: list[Tensor | None] = []  # what an unfinished update has accumulated, and
        self._parts: list[float] = []  # the squared norm of each of its parts
        self._open_scale = 1.0  # what its gradients are multiplied by

    def update(
        self, gradients: Iterable[Any], batch_size: int | Sequence[int], *, scale: Any = None
    ) -> None:
        """Take in the gradients of one update's microbatches.

        Args:
            gradients: one entry for each microbatch, at least two: a tensor, or a list with one
                for each parameter (None counts as zero), dense or sparse. Each is the *mean* over
                the microbatch.
            batch_size: samples in a microbatch: one number, or one for each.
            scale: of these gradients, if it is not that of the estimate; a number or the scaler,
                before its ``update()``.
        """
        scale = _scale(_OWNER, self.scale if scale is None else scale)
        self.update_norms(*_norms(_OWNER, gradients, batch_size), scale=scale)

    def update_norms(
        self,
        small_sq: float,
        big_sq: float,
        batch_size: float,
        big_batch_size: float,
        *,
        scale: Any = None,
    ) -> None:
        """Take in squared norms, for example from a data-parallel run.

        Args:
            small_sq: squared norm of the gradient averaged over `batch_size` samples; the mean of
                it over the microbatches or processes. Infinity or NaN is an overflow.
            big_sq: that of the gradient averaged over all of the `big_batch_size` samples.
            batch_size: at least 1; for microbatches of unequal sizes their harmonic mean.
            big_batch_size: above `batch_size`.
            scale: of the gradients whose norms these are; see `update`.
        """
        b = _checks.number(_OWNER, "batch_size", batch_size, minimum=1)
        big = _checks.number(_OWNER, "big_batch_size", big_batch_size, above=b)
        scale = _scale(_OWNER, self.scale if scale is None else scale)
        finite = True
        for name, value in (("small_sq", small_sq), ("big_sq", big_sq)):
            overflow = isinstance(value, Real) and not math.isfinite(value)
            finite = finite and not overflow
            if not overflow:
                _checks.number(_OWNER, name, value, minimum=0)
        if not finite:
            self.overflows += 1
            return
        small_sq, big_sq = float(small_sq) / scale**2, float(big_sq) / scale**2
        x = (big * big_sq - b * small_sq) / (big - b)
        y = (small_sq - big_sq) / (1 / b - 1 / big)
        keep = 1.0 if self.decay is None else self.decay
        new = {"w": 1.0, "ww": 1.0, "x": x, "y": y, "xx": x * x, "xy": x * y, "yy": y * y}
        for name, value in new.items():
            self._sums[name] = value + self._sums[name] * (keep**2 if name == "ww" else keep)
        self.updates += 1

    @torch.no_grad()
    def after_backward(self, params: Iterable[Tensor]) -> None:
        """Under gradient accumulation: call it after every backward of an update.

        The loss of each of the n microbatches, of equal sizes, must be divided by n, as usual;
        ``.grad`` then adds up to the mean. What a backward added is found by comparing with a
        copy, so this holds one more set of gradients. `end_update` closes the update.
        """
        grads = [None if p.grad is None else _plain(p.grad) for p in params]
        if not self._parts:
            self._open = [None] * len(grads)
            self._open_scale = _scale(_OWNER, self.scale)
        part = 0.0
        for i, grad in enumerate(grads):
            if grad is None:
                continue
            # The first gradient of some parameters comes in a later microbatch.
            before = self._open[i]
            part += _squared([grad if before is None else _sum(before, grad, -1)])
            self._open[i] = grad.clone()
        self._parts.append(part)

    def end_update(self, batch_size: int, *, scale: Any = None) -> None:
        """Take in what `after_backward` saw; `batch_size` is the samples in one microbatch.

        `scale` is that of the gradients, if it is not the one that the estimate had (or its scaler
        gave) at the first `after_backward`. Call it before a scaler that is given here updates.
        """
        batch_size = _checks.integer(_OWNER, "batch_size", batch_size, minimum=1)
        scale = _scale(_OWNER, self._open_scale if scale is None else scale)
        n, parts, whole = len(self._parts), self._parts, self._open
        self._parts, self._open = [], []
        _at_least_two(_OWNER, n)
        if all(gradient is None for gradient in whole):
            raise ValueError(f"{_OWNER}: params must have gradients, got none after {n} backwards")
        # A part is 1/n of its microbatch's gradient.
        norms = n * sum(parts), _squared(whole)
        self.update_norms(*norms, batch_size, n * batch_size, scale=scale)

    def _mean(self, name: str) -> float:
        if not self.updates:
            left_out = f" ({self.overflows} overflowed)" if self.overflows else ""
            raise ValueError(
                f"{_OWNER}: nothing was taken in yet{left_out}; call update with finite gradients"
            )
        return self._sums[name] / self._sums["w"]

    @property
    def squared_norm(self) -> float:
        """The estimate of |G|²; it may be negative while noise covers the gradient."""
        return self._mean("x")

    @property
    def trace(self) -> float:
        """The estimate of tr Σ, for one sample."""
        return self._mean("y")

    @property
    def value(self) -> float:
        """``trace / squared_norm``, in samples; infinity if the latter is not above 0.

        Infinity says that noise covers the gradient at this batch size: average over more
        updates, or look at `interval`, whose lower end is then still finite.
        """
        if self.squared_norm <= 0:
            return math.inf if self.trace > 0 else math.nan
        return max(self.trace, 0.0) / self.squared_norm

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """A confidence interval for the noise scale, from the scatter of the updates.

        It is Fieller's for a ratio of means, which needs no denominator far from 0: the upper end
        is infinity where |G|² cannot be told from 0. The updates count as independent. With fewer
        than two it is (0, infinity).
        """
        confidence = _checks.number(_OWNER, "confidence", confidence, above=0, below=1)
        x, y = self.squared_norm, self.trace
        n = self._sums["w"] ** 2 / self._sums["ww"]  # as many updates of equal weight
        if n < 1 + 1e-9:
            return 0.0, math.inf
        z2 = NormalDist().inv_cdf((1 + confidence) / 2) ** 2 / (n - 1)
        # The ratios r for which y − r x is not significantly different from 0:
        # a r² − 2 b r + c <= 0.
        a = x * x - z2 * (self._mean("xx") - x * x)
        b = x * y - z2 * (self._mean("xy") - x * y)
        c = y * y - z2 * (self._mean("yy") - y * y)
        root = math.sqrt(max(b * b - a * c, 0.0))
        if a > 0 and x > 0:
            return max((b - root) / a, 0.0), max((b + root) / a, 0.0)
        if a < 0 and y > 0 and c > 0:
            return (b - root) / a, math.inf
        return 0.0, math.inf

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` takes: plain numbers.

        An update that is still open is left out, and so is `scale`: a scaler has its own state.
        """
        counts = {"updates": self.updates, "overflows": self.overflows}
        return {"decay": self.decay, **counts, "sums": dict(self._sums)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`. Raises ValueError for one that is none of this class."""
        if (
            not isinstance(state, dict)
            or state.keys() | {"overflows"} != self.state_dict().keys()  # 0.1 did not count them
            or state["sums"].keys() != self._sums.keys()
        ):
            raise ValueError(f"{_OWNER}: state must come from state_dict, got {state!r:.200}")
        self.decay, self.updates = state["decay"], state["updates"]
        self.overflows = state.get("overflows", 0)
        self._sums, self._open, self._parts = dict(state["sums"]), [], []


def gradient_noise_scale(
    gradients: Iterable[Any] | Callable[[], Tensor],
    batch_size: int | Sequence[int],
    *,
    params: Iterable[Tensor] | None = None,
    microbatches: int = 64,
    scale: Any = 1.0,
) -> float:
    """The simple gradient noise scale ``tr Σ / |G|²`` at the present weights, in samples.

    Args:
        gradients: either the gradients of microbatches, one entry each, at least two: a tensor,
            or a list with one for each parameter, dense or sparse; or a function without
            arguments that returns the mean loss over a fresh microbatch, a scalar tensor.
        batch_size: samples in a microbatch: one number, or one for each.
        params: for a function: the tensors that its loss is differentiated by. Their ``.grad``
            is left alone.
        microbatches: for a function: how often it is called, at least 2.
        scale: what the loss was multiplied by, above 0: a number, or a gradient scaler.

    Both averages are over the microbatches: ``tr Σ`` from their scatter, ``|G|²`` from the norm
    of their mean less what the scatter adds to it. Infinity if the latter is not above 0: take
    more microbatches, or larger ones. Microbatches whose gradients are not finite are left out,
    and a RuntimeWarning says how many. For a running average over training, and intervals, use
    `GradientNoiseScale`. Raises TypeError or ValueError for bad arguments. Source: McCandlish et
    al. (2018), equation 2.9 and appendix A.1.
    """
    owner = "gradient_noise_scale"
    if callable(gradients):
        loss, params = gradients, [params] if isinstance(params, Tensor) else list(params or [])
        microbatches = _checks.integer(owner, "microbatches", microbatches, minimum=2)
        if not params or not all(isinstance(p, Tensor) and p.requires_grad for p in params):
            raise ValueError(
                f"{owner}: params must be tensors that require grad, got {params!r:.200}"
            )

        def gradient() -> tuple[Tensor | None, ...]:
            with torch.enable_grad():
                return torch.autograd.grad(loss(), params, allow_unused=True)

        gradients = (gradient() for _ in range(microbatches))
    _scale(owner, scale)  # refuses a bad one before any work is done
    norms = _norms(owner, gradients, batch_size, leave_out=True)
    estimate = GradientNoiseScale()
    estimate.update_norms(*norms, scale=_scale(owner, scale))
    return estimate.value


_OWNER = "GradientNoiseScale"


def _scale(owner: str, scale: Any) -> float:
    """The number by which a loss is multiplied: `scale` itself, or what the scaler says now."""
    number = scale.get_scale() if hasattr(scale, "get_scale") else scale
    if isinstance(number, Tensor) and number.numel() == 1:
        number = number.item()
    if isinstance(number, bool) or not isinstance(number, Real):
        raise TypeError(f"{owner}: scale must be a number or a gradient scaler, got {scale!r:.200}")
    return _checks.number(owner, "scale", number, above=0)


@torch.no_grad()
def _norms(
    owner: str,
    gradients: Iterable[Any],
    batch_size: int | Sequence[int],
    leave_out: bool = False,
) -> tuple[float, float, float, int]:
    """Mean squared norm of the microbatches' gradients, that of their mean, and the batch sizes.

    Holds one sum of gradients, whatever the number of microbatches. With `leave_out` those that
    are not finite do not count.
    """
    if not isinstance(gradients, Iterable):
        raise TypeError(f"{owner}: gradients must be one for each microbatch, got {gradients!r}")
    each = (
        batch_size if isinstance(batch_size, Sequence) and not isinstance(batch_size, str) else None
    )
    sizes, small_sq, given = [], 0.0, 0
    total: list[Tensor | None] = []
    for entry in gradients:
        one = isinstance(entry, Tensor) or not isinstance(entry, Iterable)
        tensors: list[Any] = [entry] if one else list(entry)
        if not all(t is None or isinstance(t, Tensor) for t in tensors):
            raise TypeError(f"{owner}: gradients must hold tensors, got {tensors!r:.200}")
        if all(t is None for t in tensors):
            raise ValueError(f"{owner}: gradients must hold a tensor each, got {entry!r:.200}")
        size: object = batch_size
        if each is not None:  # a missing one is found out below
            size = each[given] if given < len(each) else 1
        size = _checks.integer(owner, "batch_size", size, minimum=1)
        given += 1
        tensors = [None if t is None else _plain(t) for t in tensors]
        square = _squared(tensors)
        if leave_out and not math.isfinite(square):
            continue
        total = total or [None] * len(tensors)
        for i, tensor in enumerate(tensors):
            if tensor is not None:
                whole = total[i]
                total[i] = size * tensor if whole is None else _sum(whole, tensor, size)
        small_sq += square
        sizes.append(size)
    _at_least_two(owner, len(sizes), given - len(sizes))
    if each is not None and given != len(each):
        raise ValueError(
            f"{owner}: batch_size must be one number, or one for each microbatch, got "
            f"{batch_size!r:.200}"
        )
    if len(sizes) < given:
        warnings.warn(
            f"{owner}: the gradients of {given - len(sizes)} of {given} microbatches are not "
            f"finite and are left out",
            RuntimeWarning,
            stacklevel=3,
        )
    n, whole = len(sizes), sum(sizes)
    mean_inverse = sum(1 / size for size in sizes) / n  # E|g_b|² is linear in 1/b
    return small_sq / n, _squared(total) / whole**2, 1 / mean_inverse, whole


def _at_least_two(owner: str, microbatches: int, left_out: int = 0) -> None:
    if microbatches < 2:
        others = f", and {left_out} that are not finite" if left_out else ""
        raise ValueError(
            f"{owner}: gradients must be those of at least 2 microbatches, got {microbatches}"
            f"{others}; one batch does not tell noise from gradient"
        )


def _plain(gradient: Tensor) -> Tensor:
    """Dense, or sparse in coordinates, none twice; half precision as single, to add up without
    overflow."""
    gradient = gradient.to(torch.promote_types(gradient.dtype, torch.float32))
    if gradient.layout == torch.sparse_coo:
        return gradient.coalesce()
    return gradient if gradient.layout == torch.strided else gradient.to_dense()


def _sum(a: Tensor, b: Tensor, times: int) -> Tensor:
    """``a + times * b`` of plain gradients; dense unless both are sparse."""
    if a.layout != b.layout:
        a, b = a.to_dense(), b.to_dense()
    return torch.add(a, b, alpha=times)


def _squared(gradients: Iterable[Tensor | None]) -> float:
    """The squared norm of all entries of plain gradients together."""
    held = [g.coalesce().values() if g.is_sparse else g for g in gradients if g is not None]
    # float64 on the CPU alone: not every device has it.
    norms = [torch.linalg.vector_norm(values).cpu().double() for values in held]
    return float(torch.stack(norms).square().sum()) if norms else 0.0
