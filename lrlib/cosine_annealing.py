"""Chapter 04: the rate follows half a cosine, slow at both ends."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lrlib import _checks
from lrlib.schedule import Schedule


@dataclass(frozen=True)
class CosineAnnealing(Schedule):
    """Half a cosine from 1 down to `min_factor`.

    ``min_factor + (1 - min_factor) * (1 + cos(pi * t / T_max)) / 2``

    Args:
        T_max: its length in optimizer steps, at least 0. The run should end there.
        min_factor: the last factor, in [0, 1]; torch's ``eta_min`` is ``min_factor * peak``.

    The factor lies in [min_factor, 1] and never rises. Up to `T_max` it equals torch's
    CosineAnnealingLR; past it `min_factor` is held, where torch's climbs back to the peak, reached
    at ``2 * T_max``. Raises TypeError or ValueError for bad arguments. Source: Loshchilov & Hutter
    (2017), equation 5, without its restarts.
    """

    T_max: int
    min_factor: float = 0.0

    def __post_init__(self) -> None:
        owner = "CosineAnnealing"
        T_max = _checks.integer(owner, "T_max", self.T_max, minimum=0)
        object.__setattr__(self, "T_max", T_max)
        min_factor = _checks.number(owner, "min_factor", self.min_factor, minimum=0, maximum=1)
        object.__setattr__(self, "min_factor", min_factor)

    @property
    def length(self) -> int:
        return self.T_max

    def formula(self, step: int) -> float:
        if self.T_max == 0:
            return self.min_factor
        cosine = math.cos(math.pi * step / self.T_max)
        return self.min_factor + (1 - self.min_factor) * (1 + cosine) / 2
