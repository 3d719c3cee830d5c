"""What ScheduledLR is built with, checked."""

from __future__ import annotations

from lrlib import _checks, _resuming
from lrlib._resuming import Shapes
from lrlib.schedule import Schedule


def shapes(argument: str, value: object) -> Shapes:
    """One schedule, or a tuple of them; TypeError for anything else."""
    if isinstance(value, Schedule):
        return value
    if isinstance(value, list | tuple) and value and all(isinstance(v, Schedule) for v in value):
        return tuple(value)
    raise TypeError(
        f"ScheduledLR: {argument} must be a Schedule, or a sequence of them, one per parameter "
        f"group, got {value!r}"
    )


def floors(min_lr: object) -> tuple[float, ...]:
    """The lowest rates: of all groups, or one per group; empty if there is no floor."""
    several = min_lr if isinstance(min_lr, list | tuple) else [min_lr]
    if not several:
        raise ValueError(
            f"ScheduledLR: min_lr must be one number, or one per parameter group, got {min_lr!r}"
        )
    found = tuple(_checks.number("ScheduledLR", "min_lr", v, minimum=0) for v in several)
    return found if isinstance(min_lr, list | tuple) or any(found) else ()


def flag(argument: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"ScheduledLR: {argument} must be True or False, got {value!r}")
    return value


def start(start: object, last_epoch: object) -> int:
    start = _checks.integer("ScheduledLR", "start", start, minimum=0)
    last_epoch = _checks.integer("ScheduledLR", "last_epoch", last_epoch, minimum=-1)
    if start and last_epoch != -1:
        raise ValueError(
            f"ScheduledLR: start and last_epoch say the same, give one; got start={start}, "
            f"last_epoch={last_epoch}"
        )
    return start or last_epoch + 1


def end_of(shape: Shapes) -> float:
    """The step from which on an update is past the end of the schedule, of the last to end."""
    parts = shape if isinstance(shape, tuple) else (shape,)
    ends = [_resuming.falls_to_its_end(part) for part in parts]
    return max(float("inf") if end is None else end for end in ends)
