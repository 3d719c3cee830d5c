"""Chapter 14: the rate is held for as long as you like, and cooled down at the end."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lrlib import _checks
from lrlib.schedule import FORMS, Schedule, falling


@dataclass(frozen=True, init=False, repr=False)
class WSD(Schedule):
    """Warm-up, stable phase, decay: up in a straight line, held at 1, cooled down at the end.

    ``min_factor + (1 - min_factor) * height(t)``, where the height is ``t / warmup`` in the
    warm-up, then 1, and in the last `cooldown` steps falls to 0 in the given form, s being the
    share of the cooldown that is done: ``1 - sqrt(s)``, ``1 - s`` or ``(1 + cos(pi * s)) / 2``.

    Args:
        total_steps: length of the run in optimizer steps, at least 0.
        warmup: length of the warm-up: an integer, in steps, or a float in [0, 1), a share of the
            run, which is rounded up. Step `warmup` is the first at the peak.
        cooldown: length of the cooldown, likewise; a share is rounded down. Warm-up and cooldown
            may not be longer than the run.
        form: of the cooldown: "1-sqrt", "linear" or "cosine".
        min_factor: where the warm-up starts and the cooldown ends, in [0, 1].

    Any phase may be empty; the factor never jumps. `min_factor` is reached at step `total_steps`
    and held: the last update of the run, as with a cosine, is made just above it. The steps are
    kept, not the shares, as `total_steps`, `warmup` and `cooldown_steps`; ``shape.cooldown(…)``
    is the method of every schedule, which starts another cooldown wherever you are.

    The warm-up is ``Warmup(warmup, start_factor=min_factor)``: with `min_factor` 0 the first
    update changes nothing. It equals get_wsd_schedule of transformers (5.24) with the linear
    warm-up, `min_lr_ratio` as `min_factor` and the cooldown's form as `decay_type`, whose default
    there is "cosine". Theirs jumps where phases overlap or the stable phase ends before the run,
    and drops at the end if there is no cooldown; here the one is refused and the other held.

    Raises TypeError or ValueError for bad arguments. Sources: Hu et al. (2024), MiniCPM, section
    4; Hägele et al. (2024), Scaling laws and compute-optimal training beyond fixed training
    durations, for the square root and for a cooldown of a fifth of the run, the default.
    """

    total_steps: int
    warmup: int
    # Not named as its argument: `cooldown` is a method of every schedule.
    cooldown_steps: int = field(metadata={"argument": "cooldown"})
    form: str
    min_factor: float

    def __init__(
        self,
        total_steps: int,
        warmup: int | float = 0,
        cooldown: int | float = 0.2,
        form: str = "1-sqrt",
        min_factor: float = 0.0,
    ) -> None:
        total_steps = _checks.integer("WSD", "total_steps", total_steps, minimum=0)
        warmup_steps = _checks.steps("WSD", "warmup", warmup, total_steps)
        cooldown_steps = _checks.steps("WSD", "cooldown", cooldown, total_steps, math.floor)
        _checks.choice("WSD", "form", form, FORMS)
        if warmup_steps + cooldown_steps > total_steps:
            raise ValueError(
                f"WSD: warmup and cooldown must fit into total_steps={total_steps}, got "
                f"warmup={warmup!r} and cooldown={cooldown!r}"
            )
        object.__setattr__(self, "total_steps", total_steps)
        object.__setattr__(self, "warmup", warmup_steps)
        object.__setattr__(self, "cooldown_steps", cooldown_steps)
        object.__setattr__(self, "form", form)
        min_factor = _checks.number("WSD", "min_factor", min_factor, minimum=0, maximum=1)
        object.__setattr__(self, "min_factor", min_factor)

    def __repr__(self) -> str:
        return (
            f"WSD(total_steps={self.total_steps}, warmup={self.warmup}, "
            f"cooldown={self.cooldown_steps}, form={self.form!r}, min_factor={self.min_factor!r})"
        )

    @property
    def length(self) -> int:
        return self.total_steps

    def formula(self, step: int) -> float:
        start = self.total_steps - self.cooldown_steps
        if step < self.warmup:
            height = step / self.warmup
        elif step <= start:
            height = 1.0
        else:
            height = falling(self.form, (step - start) / self.cooldown_steps)
        return self.min_factor + (1 - self.min_factor) * height


@dataclass(frozen=True)
class LastIterateBound:
    """The bound ``distance / peak + peak * noise``, smallest at the best peak; loss units.

    `distance` and `noise` depend on the shape alone; see `last_iterate_bound`.
    """

    distance: float
    noise: float

    @property
    def peak(self) -> float:
        """The peak at which the bound is smallest."""
        return math.sqrt(self.distance / self.noise)

    @property
    def value(self) -> float:
        """The bound at the best peak."""
        return 2 * math.sqrt(self.distance * self.noise)

    def at(self, peak: float) -> float:
        """The bound at another peak, above 0."""
        peak = _checks.number("LastIterateBound.at", "peak", peak, above=0)
        return self.distance / peak + peak * self.noise


def last_iterate_bound(
    shape: Schedule,
    steps: int,
    *,
    distance: float = 1.0,
    gradient_norm: float | Sequence[float] | np.ndarray = 1.0,
) -> LastIterateBound:
    """How far above the minimum a convex problem's loss can be after `steps` updates of SGD.

    With rates ``peak * s_t`` and gradients of root-mean-square norm G_t at most, the expected loss
    at the last iterate, less the minimum, is at most

    ``(D² + Σ η_t² G_t²) / (2 Σ η_t) + ½ Σ_k (η_k / Σ_{t>k} η_t) (Σ_{t≥k} η_t² G_t² / Σ_{t≥k} η_t)``

    whose first half is what averaging the iterates would give, and whose second, over all but the
    last update, is the price of taking the last one instead. Both worst-case, for non-smooth
    functions: the level is loose, the order of shapes is what it is good for. O(steps).

    Args:
        shape: the schedule. Updates at its end whose factor is 0 change nothing
            and are left out.
        steps: number of updates, at least 1.
        distance: D, from the start to the minimum, in units of the parameters, above 0.
        gradient_norm: G, one number above 0, or one for each update, shape (steps,).

    Returns the bound as a function of the peak, with the best one. Raises TypeError or ValueError
    for bad arguments, or if no factor is above 0. Sources: Defazio et al. (2023), Optimal linear
    decay learning rate schedules and further refinements, theorem 10; Schaipp et al. (2025), The
    surprising agreement between convex optimization theory and learning-rate scheduling.
    """
    owner = "last_iterate_bound"
    if not isinstance(shape, Schedule):
        raise TypeError(f"{owner}: shape must be a Schedule, got {shape!r}")
    steps = _checks.integer(owner, "steps", steps, minimum=1)
    distance = _checks.number(owner, "distance", distance, above=0)
    norms = _checks.array(owner, "gradient_norm", gradient_norm, ndim=(0, 1), above=0)
    if norms.size not in (1, steps):
        raise ValueError(f"{owner}: gradient_norm must have {steps} entries, got {norms.size}")
    factors = shape.sample(steps)
    if not factors.any():
        raise ValueError(
            f"{owner}: shape must have a factor above 0 in {steps} steps, got {shape!r}"
        )
    last = int(np.flatnonzero(factors)[-1]) + 1
    squares = (np.broadcast_to(norms.ravel(), steps) * factors)[:last] ** 2
    factors = factors[:last]
    left = np.cumsum(factors[::-1])[::-1]  # of the distance that the rest of the run can cover
    noise = np.cumsum(squares[::-1])[::-1]
    price = np.sum(factors[:-1] / left[1:] * noise[:-1] / left[:-1])
    return LastIterateBound(
        distance=float(distance**2 / (2 * left[0])), noise=float(noise[0] / left[0] + price) / 2
    )


def growing_average(emphasis: float = 3.0) -> Callable[[Any, Any, Any], Any]:
    """A running average that needs no horizon, as torch's AveragedModel takes it.

    After n updates the weights of update k count in proportion to k^emphasis, nearly: the newest
    enters with ``(emphasis + 1) / (n + emphasis)``. So the average looks back over about
    ``1 / (emphasis + 1)`` of the run, however long it has become; 0 is the plain mean.

    >>> average = growing_average(emphasis=0)
    >>> average(2.0, 5.0, 2)  # the mean of two is 2; the third is 5
    3.0

    Use: ``AveragedModel(model, avg_fn=growing_average())`` of torch.optim.swa_utils, and its
    ``update_parameters(model)`` after every optimizer step. Evaluate the average; go on training
    the model. AveragedModel averages parameters; buffers, such as those of batch normalisation,
    are copied, and have to be renewed with ``update_bn``.

    Args:
        emphasis: of late updates, at least 0.

    Raises TypeError or ValueError for a bad argument. Source: Shamir and Zhang (2013), Stochastic
    gradient descent for non-smooth optimization, polynomial-decay averaging.
    """
    emphasis = _checks.number("growing_average", "emphasis", emphasis, minimum=0)

    def average(averaged: Any, new: Any, count: Any) -> Any:
        """`averaged` of `count` updates, with `new` taken in as the next one."""
        return averaged + (new - averaged) * ((emphasis + 1) / (count + 1 + emphasis))

    return average
