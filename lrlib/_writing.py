"""What ScheduledLR computes at a step: every group's value of a setting."""

from __future__ import annotations

from collections.abc import Sequence

from lrlib._resuming import Shapes
from lrlib.schedule import Schedule

_INFINITY = float("inf")


class Setting:
    """One setting of all groups (the rates, say): base values times the factors of schedules.

    It is asked at every step. So what groups have in common is looked up once, here, and a
    schedule is computed once for all groups that follow it.
    """

    def __init__(
        self, shapes: Shapes, base: list[float], floors: Sequence[float] | None = None
    ) -> None:
        self.base = base
        parts = shapes if isinstance(shapes, tuple) else (shapes,)
        distinct = list({id(part): part for part in parts}.values())
        plain = [type(part).__call__ is Schedule.__call__ for part in distinct]
        self.schedules = [
            (part, part.length if simple else None, simple)
            for part, simple in zip(distinct, plain, strict=True)
        ]
        order = {id(part): i for i, part in enumerate(distinct)}
        # Which of the schedules each group follows; None if there is only one.
        self.which = [order[id(part)] for part in parts] if len(distinct) > 1 else None
        self.floors: list[float] | None = None
        if floors is not None:
            pairs = zip(floors, base, strict=True)
            self.floors = [floor if start else 0.0 for floor, start in pairs]
        # The floor, if it is one and the same for all.
        self.floor = self.floors[0] if self.floors and len(set(self.floors)) == 1 else None

    def values(self, step: int, scales: Sequence[float] | None = None) -> list[float]:
        """The values at `step`, times a number for each group, and not below the floors."""
        factors = []
        for schedule, length, simple in self.schedules:
            if simple:
                factor = schedule.formula(step if length is None or step < length else length)
                if factor.__class__ is not float or not 0 <= factor < _INFINITY:
                    factor = schedule(step)  # says what is wrong
            else:
                factor = schedule(step)
            factors.append(factor)
        if self.which is None:
            factor = factors[0]
            values = [start * factor for start in self.base]
        else:
            values = [start * factors[i] for start, i in zip(self.base, self.which, strict=True)]
        if scales is not None:
            values = [value * scale for value, scale in zip(values, scales, strict=True)]
        if self.floor is not None:
            floor = self.floor
            return [value if value > floor else floor for value in values]
        if self.floors is not None:
            pairs = zip(values, self.floors, strict=True)
            values = [value if value > floor else floor for value, floor in pairs]
        return values
