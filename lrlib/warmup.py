"""Chapter 08: the rate starts low and rises to its peak."""

from __future__ import annotations

from dataclasses import dataclass

from lrlib import _checks
from lrlib.schedule import Schedule

MODES = ("linear", "exponential")


@dataclass(frozen=True)
class Warmup(Schedule):
    """From `start_factor` up to 1, reached at step `total_iters`; usually ``.then(…)`` more.

    linear: ``start_factor + (1 - start_factor) * (t / total_iters)``;
    exponential: ``start_factor ** (1 - t / total_iters)``, the same ratio from step to step.

    Args:
        total_iters: its length in optimizer steps, at least 0. So many updates are made below
            the peak, and step `total_iters` is the first at the peak.
        start_factor: the factor at step 0, in [0, 1]; above 0 if exponential.
        mode: "linear" or "exponential".

    From 0, the textbooks' line, ``0, 1/n, 2/n, …``, the first update changes nothing: its rate
    is 0. To waste no step start one step up the same line:

    - ``Warmup(n, start_factor=1 / (n + 1))`` gives ``(t + 1) / (n + 1)``, the peak at step n;
    - ``Warmup(n - 1, start_factor=1 / n)`` gives ``(t + 1) / n``, the peak at step n - 1, which
      is the n-th update.

    The factor never falls, and is held at 1 past the end. The linear one equals torch's LinearLR
    with ``end_factor=1``, which refuses to start from 0. Raises TypeError or ValueError for bad
    arguments. Source: Goyal et al. (2017), Accurate, large minibatch SGD, section 2.2.
    """

    total_iters: int
    start_factor: float = 0.0
    mode: str = "linear"

    def __post_init__(self) -> None:
        owner = "Warmup"
        total_iters = _checks.integer(owner, "total_iters", self.total_iters, minimum=0)
        object.__setattr__(self, "total_iters", total_iters)
        _checks.choice(owner, "mode", self.mode, MODES)
        start = _checks.number(owner, "start_factor", self.start_factor, minimum=0, maximum=1)
        if self.mode == "exponential" and start == 0:
            raise ValueError(
                f"{owner}: start_factor must be greater than 0 if mode is 'exponential', got "
                f"{self.start_factor!r}"
            )
        object.__setattr__(self, "start_factor", start)

    @property
    def length(self) -> int:
        return self.total_iters

    def formula(self, step: int) -> float:
        if self.total_iters == 0:
            return 1.0
        if self.mode == "exponential":
            return self.start_factor ** (1 - step / self.total_iters)
        return self.start_factor + (1 - self.start_factor) * (step / self.total_iters)


@dataclass(frozen=True)
class InverseSquareRoot(Schedule):
    """A linear warm-up, then a fall as one over the square root of the step, without an end.

    ``min((t + 1) / warmup_steps, sqrt(warmup_steps / (t + 1)))``, which is 1 at its peak; with
    `d_model` times ``(d_model * warmup_steps) ** -0.5``, which makes it equation 3 of the paper,
    ``d_model**-0.5 * min(step**-0.5, step * warmup_steps**-1.5)``.

    Args:
        warmup_steps: optimizer steps of the warm-up, at least 0. The peak is the factor of the
            update of that number, that is of step ``warmup_steps - 1``; without a warm-up, as
            with one of a single step, it is that of the first.
        d_model: None, the default, for a peak factor of 1; or the width of the model, an integer,
            at least 1. The factor is then the rate itself: build the optimizer with ``lr=1.0``.

    The paper's step counts the update being made, from 1, where t counts those made, from 0. So
    the first factor is ``1 / warmup_steps`` and no update is wasted; get_inverse_sqrt_schedule of
    transformers counts from 0, and its step 0, of rate 0, is one that this schedule leaves out.
    Raises TypeError or ValueError for bad arguments. Source: Vaswani et al. (2017), Attention is
    all you need, equation 3.
    """

    warmup_steps: int
    d_model: int | None = None

    def __post_init__(self) -> None:
        owner = "InverseSquareRoot"
        warmup_steps = _checks.integer(owner, "warmup_steps", self.warmup_steps, minimum=0)
        object.__setattr__(self, "warmup_steps", warmup_steps)
        if self.d_model is not None:
            d_model = _checks.integer(owner, "d_model", self.d_model, minimum=1)
            object.__setattr__(self, "d_model", d_model)

    def formula(self, step: int) -> float:
        warmup_steps = max(1, self.warmup_steps)
        top = 1.0 if self.d_model is None else (self.d_model * warmup_steps) ** -0.5
        s = (step + 1) / warmup_steps
        return top * min(s, s**-0.5)
