"""What ScheduledLR says where the calls of its step() and the optimizer's updates part ways."""

from __future__ import annotations

CURE = (
    "Call step() once after every optimizer.step(), or let ScheduledLR(..., self_driving=True) "
    "count the updates itself."
)


def ahead(calls: int, updates: int, skipped: bool) -> str:
    """More calls than updates."""
    counts = f"{calls} call(s) of step() and {updates} update(s) so far"
    if skipped:
        return (
            f"ScheduledLR: {counts}: a gradient scaler let a fused optimizer skip an update, and "
            f"step() was called all the same, so the schedule runs ahead of the training. {CURE}"
        )
    if updates == 0:
        return (
            f"scheduler.step() was called before any optimizer.step() ({counts}): the first rate "
            f"of the schedule is skipped. Call optimizer.step() first (a gradient scaler that "
            f"skipped the first update also causes this, and an optimizer.step() that is not the "
            f"one of the scheduler's optimizer). {CURE}"
        )
    return (
        f"ScheduledLR: {counts}, so the schedule runs ahead of the training. Likely causes: step() "
        f"is called twice per update, once per micro-batch of an accumulated gradient, once per "
        f"process (as a scheduler prepared by accelerate does without split_batches), or after an "
        f"update that a gradient scaler skipped. {CURE}"
    )


def behind(calls: int, updates: int) -> str:
    """More updates than calls."""
    counts = f"{calls} call(s) of step() and {updates} update(s) so far"
    cause = "step() is called once per epoch" if calls else "step() is never called"
    return (
        f"ScheduledLR: {counts}, so the schedule falls behind the training. Likely cause: {cause}, "
        f"or not after every update. {CURE}"
    )


def past_the_end(end: float, step: int) -> str:
    return (
        f"ScheduledLR: the schedule ended at step {end} and an update was made past it (step "
        f"{step}); the last rates are held. A longer run needs a longer schedule."
    )


def other_writer(index: int, found: object, written: object, step: int) -> str:
    return (
        f"ScheduledLR: at step {step} the rate of parameter group {index} is {found!r} where this "
        f"scheduler wrote {written!r}: something else writes rates (a ReduceLROnPlateau or another "
        f"scheduler beside this one, or code of your own), and is overwritten. Multiply shapes, "
        f"set scheduler.base_lrs, or detach() this scheduler."
    )
