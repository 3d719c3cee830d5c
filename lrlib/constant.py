"""The shape that does not change: what every other one is compared with."""

from __future__ import annotations

from dataclasses import dataclass

from lrlib import _checks
from lrlib.schedule import Schedule


@dataclass(frozen=True)
class Constant(Schedule):
    """The same factor at every step.

    Args:
        factor: at least 0. 1 is the peak itself.
        total_iters: its length in steps, for ``Constant(total_iters=100).then(…)``, at least 0;
            None (the default) never ends. Unlike torch's ConstantLR it does not jump back to 1 at
            its end.
    """

    factor: float = 1.0
    total_iters: int | None = None

    def __post_init__(self) -> None:
        factor = _checks.number("Constant", "factor", self.factor, minimum=0)
        object.__setattr__(self, "factor", factor)
        if self.total_iters is not None:
            total = _checks.integer("Constant", "total_iters", self.total_iters, minimum=0)
            object.__setattr__(self, "total_iters", total)

    @property
    def length(self) -> int | None:
        return self.total_iters

    def formula(self, step: int) -> float:
        return self.factor
