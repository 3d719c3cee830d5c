"""What ScheduledLR says where the calls of its step() and the optimizer's updates part ways."""

from __future__ import annotations

import warnings
from typing import Any

from torch.optim.lr_scheduler import LRScheduler

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
            f"of the schedule is skipped. Call optimizer.step() first. Other likely causes: step() "
            f"is called once per micro-batch of an accumulated gradient, a gradient scaler skipped "
            f"the first update, or the optimizer.step() is not that of the scheduler's optimizer. "
            f"{CURE}"
        )
    return (
        f"ScheduledLR: {counts}, so the schedule runs ahead of the training. Likely causes: step() "
        f"is called twice per update, once per micro-batch of an accumulated gradient, once per "
        f"process (as a scheduler prepared by accelerate does without split_batches), or after an "
        f"update that a gradient scaler skipped. {CURE}"
    )


def several(between: int, calls: int, updates: int, moved: bool) -> str:
    """Several calls for one update; `moved` by a wrapper that sets last_epoch, rather than step."""
    call = "move(s) of last_epoch" if moved else "call(s) of step()"
    cure = (
        "Move the scheduler on once per update (with ignite: attach it to an event that is fired "
        "once per update)."
    )
    return (
        f"ScheduledLR: {calls} {call} and {updates} update(s) so far, {between} of them for "
        f"one update: the schedule runs ahead of the training. Most likely the "
        f"gradient is accumulated and the scheduler is moved on once per micro-batch; or it is "
        f"moved on several times per update, or after updates that a gradient scaler skipped. "
        f"{cure if moved else CURE}"
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


def another_unit(saved: int, by: int) -> str:
    """A run that counted tokens or samples goes on in updates, or the other way round."""
    return (
        f"ScheduledLR: the saved run counted with step(by={saved}), this one counts with "
        f"step(by={by}): the schedule's steps are tokens or samples in the one and updates in the "
        f"other. Give step() the same kind of `by` as before."
    )


NO_SCALES = (
    "ScheduledLR: the parameter groups had an lr_scale, and the optimizer state that was loaded "
    "has none: from now on the rates are not scaled. Set group['lr_scale'] again after loading."
)


def other_writer(index: int, found: float, written: float, step: int) -> str:
    return (
        f"ScheduledLR: at step {step} the rate of parameter group {index} is {found!r} where this "
        f"scheduler wrote {written!r}: something else writes rates (a ReduceLROnPlateau or another "
        f"scheduler beside this one, or code of your own), and is overwritten. Multiply shapes, "
        f"set scheduler.base_lrs, or detach() this scheduler."
    )


class Counter(LRScheduler):
    """The part of ScheduledLR that counts calls and updates, and says things once."""

    _updates: int
    _lead: int
    _uncounted: int
    _calls_then: int
    _saved_by: int
    _unsaid: list[str]
    _told: set[str]
    _said_under: Any = None

    def _calls(self) -> int:
        """The calls of `step` since this scheduler was built or loaded a state."""
        return self._lead + self._updates - self._uncounted

    def _check_unit(self, by: int) -> None:
        """On the first count after loading: whether the run counted the same unit before."""
        if self._saved_by and (self._saved_by == 1) != (by == 1):
            self._say("unit", another_unit(self._saved_by, by), 4)
        self._saved_by = 0

    def _say(self, kind: str, message: str, stacklevel: int) -> None:
        """Warn, once of each kind. `stacklevel` is seen from here, 1."""
        if kind not in self._told:
            self._told.add(kind)
            warnings.warn(message, UserWarning, stacklevel=stacklevel)

    def _say_again(self, stacklevel: int) -> None:
        """Say what there was to say on loading, if it was said where nobody listens any more.

        Frameworks load states inside ``warnings.catch_warnings``, which puts a list of filters of
        its own in place while it lasts.
        """
        if self._unsaid and self._said_under is not warnings.filters:
            for message in self._unsaid:
                warnings.warn(message, UserWarning, stacklevel=stacklevel)
        self._unsaid = []
