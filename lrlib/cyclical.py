"""Chapter 06: the rate rises and falls in cycles, and the momentum moves against it."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from lrlib import _checks
from lrlib.schedule import Schedule

MODES = ("triangular", "triangular2", "exp_range")


class Cycle(Schedule):
    """A schedule that rises and falls again, so that a momentum can move against it.

    `Cyclical` and `OneCycle` are such; `CyclicalMomentum` needs one.
    """

    @abstractmethod
    def height(self, step: int) -> float:
        """How far up the rate is at `step`: 0 where it is lowest, 1 at the peak."""


@dataclass(frozen=True)
class Cyclical(Cycle):
    """Up in a straight line from `min_factor` and down again, over and over.

    ``min_factor + (1 - min_factor) * height(t)``, where the height goes from 0 up to 1 in
    `step_size_up` steps and back to 0 in `step_size_down`, and is scaled by the mode.

    Args:
        min_factor: where the cycles start and end, in [0, 1]; torch's ``base_lr`` is
            ``min_factor * peak``, and the peak is its ``max_lr``.
        step_size_up: optimizer steps from the bottom to the top, an integer, at least 1.
        step_size_down: optimizer steps back down, at least 1; None stands for `step_size_up`.
        mode: "triangular" always climbs to the peak; "triangular2" halves the height with every
            cycle; "exp_range" multiplies it by `gamma` at every step.
        gamma: per optimizer step, in (0, 1]; it counts in mode "exp_range" alone.

    The factor lies in [min_factor, 1] and is `min_factor` exactly where a cycle ends; there is no
    end, so `then` needs `at`. The run should end where a cycle does: see `cycle_ends` and
    `check_end`. The factors are those of torch's CyclicLR, whose own differ by rounding errors
    that grow with the step, and whose triangular2 overflows in cycle 1025. CyclicLR also drives
    the momentum: see `momentum`. Raises TypeError or ValueError for bad arguments. Source: Smith
    (2017), Cyclical learning rates for training neural networks, section 3.
    """

    min_factor: float
    step_size_up: int
    step_size_down: int | None = None
    mode: str = "triangular"
    gamma: float = 1.0

    def __post_init__(self) -> None:
        owner = "Cyclical"
        min_factor = _checks.number(owner, "min_factor", self.min_factor, minimum=0, maximum=1)
        object.__setattr__(self, "min_factor", min_factor)
        up = _checks.integer(owner, "step_size_up", self.step_size_up, minimum=1)
        object.__setattr__(self, "step_size_up", up)
        down = up if self.step_size_down is None else self.step_size_down
        down = _checks.integer(owner, "step_size_down", down, minimum=1)
        object.__setattr__(self, "step_size_down", down)
        _checks.choice(owner, "mode", self.mode, MODES)
        gamma = _checks.number(owner, "gamma", self.gamma, above=0, maximum=1)
        object.__setattr__(self, "gamma", gamma)

    @property
    def _down(self) -> int:
        return self.step_size_up if self.step_size_down is None else self.step_size_down

    def formula(self, step: int) -> float:
        return self.min_factor + (1 - self.min_factor) * self.height(step)

    def height(self, step: int) -> float:
        """How far up the rate is at `step`: 0 where a cycle starts, 1 at the peak."""
        step = _checks.integer("Cyclical", "step", step, minimum=0)
        up, down = self.step_size_up, self._down
        i, T_cur = divmod(step, up + down)
        triangle = T_cur / up if T_cur <= up else (up + down - T_cur) / down
        if self.mode == "triangular2":
            return triangle * 0.5**i
        if self.mode == "exp_range":
            return triangle * self.gamma**step
        return triangle

    def momentum(self, min_factor: float = 0.8 / 0.9) -> CyclicalMomentum:
        """The momentum that moves against the rate: 1 where that is lowest, lowest at its peak.

        To be given to ``ScheduledLR(optimizer, shape, momentum=shape.momentum())``. `min_factor`,
        in [0, 1], is the momentum at the peak as a factor on the one the optimizer was built
        with: torch's ``base_momentum / max_momentum``, of which the default is torch's.
        """
        return CyclicalMomentum(self, min_factor)

    def cycle_ends(self, n: int) -> tuple[int, ...]:
        """The step counts at which the first `n` cycles end, ascending.

        After that many updates the cycle is done and the factor is back at `min_factor`.
        """
        n = _checks.integer("Cyclical", "n", n, minimum=0)
        return tuple((self.step_size_up + self._down) * i for i in range(1, n + 1))

    def check_end(self, total_steps: int) -> None:
        """Raise ValueError unless a run of `total_steps` (at least 1) ends at the end of a cycle.

        A run that stops inside a cycle stops at a high rate. The message names the nearest ends.
        """
        total_steps = _checks.integer("Cyclical", "total_steps", total_steps, minimum=1)
        size = self.step_size_up + self._down
        _checks.cycle_end("Cyclical", total_steps, *divmod(total_steps, size), size)


@dataclass(frozen=True)
class CyclicalMomentum(Schedule):
    """The mirror image of a cycle, for the momentum; usually written ``shape.momentum()``.

    ``min_factor + (1 - min_factor) * (1 - shape.height(t))``: 1 where the rate of `shape` is
    lowest, `min_factor` at its peak.

    Args:
        shape: a `Cyclical` or `OneCycle`, the schedule of the rate.
        min_factor: in [0, 1], the momentum at the peak as a factor on the one the optimizer was
            built with, which is torch's ``max_momentum``; ``base_momentum / max_momentum`` there.

    It equals what torch's CyclicLR and OneCycleLR do to the momentum or Adam's beta1. Those set
    it to their own default; here it starts from the optimizer's, so build that with the highest
    momentum you want. Raises TypeError or ValueError for bad arguments. Source: Smith (2018), A
    disciplined approach to neural network hyper-parameters, part 1, section 4.3.
    """

    shape: Cycle
    min_factor: float

    def __post_init__(self) -> None:
        owner = "CyclicalMomentum"
        if not isinstance(self.shape, Cycle):
            raise TypeError(f"{owner}: shape must be a Cyclical or a OneCycle, got {self.shape!r}")
        min_factor = _checks.number(owner, "min_factor", self.min_factor, minimum=0, maximum=1)
        object.__setattr__(self, "min_factor", min_factor)

    @property
    def length(self) -> int | None:
        return self.shape.length

    def formula(self, step: int) -> float:
        return self.min_factor + (1 - self.min_factor) * (1 - self.shape.height(step))
