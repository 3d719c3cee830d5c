"""ScheduledLR: the one bridge between a schedule and ``torch.optim``."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from typing import Any

from torch.optim import Optimizer

from lrlib import _arguments, _checks, _counting, _optimizers, _resuming
from lrlib._driving import Driver
from lrlib._optimizers import uncompiled
from lrlib.schedule import Schedule

log = logging.getLogger(__name__)


class ScheduledLR(Driver):
    """Sets every group's learning rate to ``base rate * shape(t)``, t being the updates made.

    The base rates (the peaks) are the rates the optimizer was built with, one per group, which
    keeps the ratios between groups. Call ``scheduler.step()`` once after every update, not once
    per epoch and not once per process.

    Args:
        optimizer: any torch optimizer; float and tensor learning rates (written in place). Inside
            the wrappers of accelerate, timm, fastai and Schedule-Free, and inside an outer
            optimizer such as SAM, the optimizer that makes the updates is found.
        shape: the schedule of the learning rate, or a sequence of them, one per group.
        momentum: optional schedule of the momentum, or of Adam's beta1, again as a factor on the
            value the optimizer was built with; or one per group.
        weight_decay: optional schedule of the weight decay, likewise.
        min_lr: a rate below which no rate falls, whatever its peak, or one per group. A group
            whose base rate is 0 stays at 0.
        self_driving: count the updates in the optimizer's hook; `step` then does nothing. For
            frameworks that call it twice per update, per process, or for skipped updates.
        start: updates (tokens, samples) already made: the run goes on from there.
        last_epoch: torch's name for ``start - 1``, for code that builds torch's schedulers; if
            another ScheduledLR drives the optimizer, its count is gone on with instead.

    A step is computed from the counter and the base values alone, never from ``group["lr"]``, so
    neither other code nor the order of loading can bend it: after `load_state_dict` the rest of
    a run equals the uninterrupted run bit for bit, whether the optimizer is loaded before or
    after the scheduler is built or loaded, and if the state was saved between ``optimizer.step()``
    and ``scheduler.step()`` too. Groups added later join at the current step, with the rate they
    were added with as their base; where there is a shape per group, build a new scheduler with
    ``start``. A group whose momentum or weight decay is 0 stays at 0. A group's ``lr_scale``, from
    timm's layer decay, multiplies its rate.

    Where the calls of `step` and the optimizer's updates part ways, where an update is made past
    the end of a falling schedule, or where something else writes rates, a UserWarning says so,
    once each. The unit is updates, unless ``step(by=n)`` counts tokens or samples.

    All this holds while it is the only scheduler of the optimizer. A ScheduledLR built later takes
    over and ends the control of this one; call `detach` before any other scheduler takes over.
    To run one schedule after another use ``a.then(b)`` rather than torch's SequentialLR, which
    raises; to multiply two use ``a * b`` rather than ChainedScheduler: what the other schedulers
    in it write is overwritten at the next step.

    As in torch, a group that holds ``initial_lr`` (one that a scheduler drove before, or a copy
    of one) keeps it as its base rate; to start a second phase at another peak, set
    ``group["initial_lr"]`` too. To resume at another peak:

    .. code-block:: python

        scheduler = ScheduledLR(optimizer, shape)
        scheduler.load_state_dict(state)  # the counter and the old peak
        scheduler.base_lrs = [0.05]  # the new peak, for the rest of the run

    Raises TypeError for an argument of the wrong kind, or an optimizer in which no torch optimizer
    is found; ValueError if a rate is not finite, if the optimizer has no momentum or weight decay
    to drive, or if there is not one shape or floor per group. RuntimeError comes later, from
    `step` and the others, if a group was removed.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        shape: Schedule | Sequence[Schedule],
        *,
        momentum: Schedule | Sequence[Schedule] | None = None,
        weight_decay: Schedule | Sequence[Schedule] | None = None,
        min_lr: float | Sequence[float] = 0.0,
        self_driving: bool = False,
        start: int = 0,
        last_epoch: int = -1,
    ) -> None:
        # The constructor of LRScheduler is not called: it would wrap optimizer.step and keep the
        # rates it last wrote. This class keeps the counter and the base values, nothing else.
        self.optimizer, self._torch = _optimizers.find("ScheduledLR", optimizer)
        shapes = {"lr": shape, "momentum": momentum, "weight_decay": weight_decay}
        self._shapes = {
            name: _arguments.shapes("shape" if name == "lr" else name, value)
            for name, value in shapes.items()
            if value is not None or name == "lr"
        }
        self._floors = _arguments.floors(min_lr)
        self._self_driving = _arguments.flag("self_driving", self_driving)
        self._last_epoch = _arguments.start(start, last_epoch)
        if last_epoch != -1 and (earlier := self._earlier()) is not None:
            # skorch gives a second fit's scheduler the number of epochs, whatever step() counted.
            self._last_epoch = earlier._last_epoch
        self._base: dict[str, list[float]] = {name: [] for name in self._shapes}
        self._driving = True
        # How calls and updates have gone since this scheduler was built or loaded a state.
        self._updates = self._lead = 0  # updates seen; calls of step() less counted updates
        self._uncounted = 0  # updates since the last call of step()
        self._calls_then = 0  # calls of step() before the last update
        self._by = 0  # what the last call added that did not add 1; 0 as long as none did
        self._saved_by = 0  # what a call added in the run that was loaded, until the first call
        self._in_update = self._skipped = False
        self._at_zero = False  # in an update at rate 0, which others have written
        self._lent = False  # such an update was the last, and may have been none of the run
        self._grace = self._last_epoch > 0 or _optimizers.has_run(self._torch)
        self._surplus = False  # a call too many just after loading, not yet said
        self._early = False  # whether it was said that calls came before any update
        self._behind = False  # whether the last call came after several updates
        self._credit = 0  # what loading added for an update that was not yet counted
        self._attention = True  # whether the next step() has more to look at than the counts
        self._ahead = 0  # 1 if a wrapper moves last_epoch on before the update, not after it
        self._used: int | None = None  # self-driving: the step of the update just made
        self._unsaid: list[str] = []  # what was said on loading
        self._told: set[str] = set()
        self._end = _arguments.end_of(self._shapes["lr"])
        self._noted: dict[int, float] = {}  # the rates of new groups when they were added
        self._rates = _optimizers.Rates([])
        self._adopt_new_groups()
        self._attach()

    def detach(self) -> None:
        """End this scheduler's control for good; the values it wrote stay in the groups.

        Call it before another scheduler (torch's SWALR, say) takes over. On resuming in that
        phase: build, load and detach this one, and only then load the optimizer and the other.
        """
        self._driving = False
        for handle in self._handles:
            handle.remove()

    @property
    def last_epoch(self) -> int:
        """The optimizer updates counted so far (torch's name for it), or tokens, or samples.

        Wrappers that move torch's schedulers on by setting it to one more may do so; they write
        the rates themselves, from `get_lr`. Any other value raises AttributeError: torch's
        SequentialLR rewinds the counter of the schedulers inside it, and the checkpoints of such
        a pair could not be resumed.
        """
        return self._last_epoch

    @last_epoch.setter
    def last_epoch(self, value: int) -> None:
        if value != self._last_epoch + 1 or self._self_driving:
            raise AttributeError(
                "ScheduledLR: last_epoch cannot be set, neither by hand nor by another scheduler "
                "that this one is nested in; write one schedule after another as a.then(b), and "
                "resume with load_state_dict"
            )
        self._check_driving()
        self._look_at_lent_zero()
        self._check_unit(1)
        self._lead += 1 - self._uncounted
        if self._uncounted > 1:
            self._say("count", _counting.behind(self._updates + self._lead, self._updates), 3)
        self._last_epoch, self._uncounted, self._ahead, self._plain = value, 0, 1, None
        self._rates = _optimizers.Rates(self._torch.param_groups[: len(self._rates)])
        self._adopt_new_groups()

    @property
    def _step_count(self) -> int:
        """torch's schedulers have one: their last_epoch and 1."""
        return self._last_epoch + 1

    @_step_count.setter
    def _step_count(self, value: int) -> None:
        """accelerate adds to it, for the sake of a warning of torch's; there is no need to."""

    @property
    def shape(self) -> Schedule | tuple[Schedule, ...]:
        """The schedule of the learning rate, or those of the groups."""
        return self._shapes["lr"]

    # Where a type is ignored here and below, torch declares what this scheduler does not have: a
    # list that may be changed in place, tensors as rates, epochs.
    @property
    def base_lrs(self) -> tuple[float, ...]:
        """The base learning rate (the peak) of each group, in the order of the groups.

        May be set, one number per group: the rates change at once. Raises TypeError or ValueError
        unless there is one finite number of at least 0 for every group, RuntimeError after
        `detach`.
        """
        return tuple(self._bases()["lr"])

    @base_lrs.setter
    def base_lrs(  # pyright: ignore[reportIncompatibleVariableOverride]
        self, values: Sequence[float]
    ) -> None:
        self._check_driving()
        self._look_at_lent_zero()
        self._adopt_new_groups()
        groups = len(self._base["lr"])
        if isinstance(values, str) or not isinstance(values, Sequence) or len(values) != groups:
            raise ValueError(
                f"ScheduledLR: base_lrs must be a sequence of {groups} number(s), one per "
                f"parameter group, got {values!r}"
            )
        new = [_checks.number("ScheduledLR", "base_lrs", value, minimum=0) for value in values]
        self._apply(base={**self._base, "lr": new})

    def get_lr(self) -> list[float]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The learning rates at the current count, one float per group.

        Computed, not read back: what other code wrote into the groups does not show, nor does
        the rounding to a float32 tensor. Groups added since the last step are included.
        """
        self._look_at_scales()
        return self._values("lr", self._last_epoch, self._bases())

    def get_last_lr(self) -> list[float]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The same as `get_lr`; the name is torch's.

        Between ``optimizer.step()`` and ``scheduler.step()`` these are the rates of the update
        just made (of a self-driving scheduler too), after ``scheduler.step()`` those of the next
        one. Into a group added since they are written when its first update begins.
        """
        self._look_at_scales()
        step = self._last_epoch if self._used is None else self._used
        return self._values("lr", step, self._bases())

    @uncompiled
    def step(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, epoch: None = None, *, by: int = 1
    ) -> None:
        """Count one optimizer update, as `by`, and write the values for the next one.

        ``step(by=n)`` counts in tokens or samples: the schedule's steps are then tokens, and `n`
        is what the update just made has seen, in all processes together. A self-driving scheduler
        counts for itself and does nothing here.

        Raises TypeError if given an epoch, or a `by` that is no integer; RuntimeError after
        `detach`, after a later ScheduledLR took over, or if a parameter group was removed;
        ValueError if the momentum would leave [0, 1), if `by` is below 1, or if a self-driving
        scheduler is given one. Whatever it raises, nothing is written and nothing counted.
        """
        if epoch is not None:
            raise TypeError(f"{self._NO_EPOCH}{epoch!r}")
        if by.__class__ is not int or by < 1:
            by = _checks.integer("ScheduledLR", "by", by, minimum=1)
        if not self._driving:
            self._check_driving()
        if self._self_driving:
            if by != 1:
                raise ValueError(
                    f"ScheduledLR: by must be left out of step() if self_driving=True, got {by!r}"
                )
            self._look_at_lent_zero()
            self._used = None
            return self._say_again(4)
        if (self._uncounted != 1 or self._attention) and self._settle(by):
            return None
        if self._last_epoch >= self._end:
            self._say("end", _counting.past_the_end(self._end, self._last_epoch), 3)
        plain = self._plain
        if plain is None or not self._advance_plainly(plain, by):
            self._advance(by)
        if by != 1:
            self._by = by
        self._uncounted = 0
        return None

    def _settle(self, by: int) -> bool:
        """Look at a call of `step` that is not just one after one update; True if it counted."""
        self._look_at_lent_zero()
        self._say_again(5)
        self._check_unit(by)
        if self._credit and not self._uncounted:
            # The update was made in the run that saved the state, and was counted on loading.
            self._apply(self._last_epoch - self._credit + by)
            self._attention, self._credit = True, 0
            self._by = by if by != 1 else self._by
            return True
        first = self._calls() == 0
        self._lead += 1 - self._uncounted
        calls, updates = self._updates + self._lead, self._updates
        self._behind = self._uncounted > 1
        if self._behind:
            self._say("count", _counting.behind(calls, updates), 4)
        elif self._surplus or not (self._uncounted or self._grace):
            self._early = self._early or ("count" not in self._told and not updates)
            self._say("count", _counting.ahead(calls, updates, self._skipped), 4)
        self._surplus = self._grace and not self._uncounted and first and self._loaded
        self._attention = self._surplus or self._behind
        self._grace = self._skipped = False
        return False

    def state_dict(self) -> dict[str, Any]:
        """Counter, base values, and the schedules as text; passes ``weights_only=True``.

        "uncounted" is what an update that no `step` has counted yet will add to the counter, 0 if
        there is none; "by" what a call of `step` adds, 0 if there was none yet. "past" is a digest
        of the factors so far, which tells a longer schedule from another one.
        """
        waiting = int(self._zero_is_left()) + (0 if self._self_driving else self._uncounted)
        if waiting > 1 and self._driving:
            self._say("count", _counting.behind(self._calls(), self._updates), 3)
        between = waiting == 1 and not (self._ahead or self._behind)
        return {
            "last_epoch": self._last_epoch,
            "uncounted": (self._by or 1) if between else 0,
            "by": self._by or int(self._calls() > 0 or (self._self_driving and self._updates > 0)),
            "ahead": self._ahead,
            "base": {name: list(values) for name, values in self._bases().items()},
            "min_lr": self._floors_of(len(self._bases()["lr"])),
            "shapes": {name: _resuming.text(shape) for name, shape in self._shapes.items()},
            "past": {
                name: _resuming.past(shape, self._last_epoch)
                for name, shape in self._shapes.items()
            },
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a saved state; nothing changes if the state does not fit.

        An update that was made before the state was saved, and not yet counted, is counted now;
        if the first thing that follows is the `step` that belongs to it, that one adds nothing
        (or corrects by how much, if it is given another `by` than the last).

        A schedule, a floor or a base value that differs from the saved one is legal and said aloud
        in a UserWarning: the new schedule and floor and the saved base hold. So is, at the first
        count, another unit: a run in tokens that goes on in updates. If the new schedule is the
        same as the old up to here (a run that is extended), a note in the log is enough. If the
        warnings were caught by a framework, they come again with the first `step`.

        Schedules are compared by their repr, memory addresses left out. That notices another
        class or another parameter of a dataclass, but not a formula or a function whose code has
        changed. The warning about a base cannot appear if the optimizer's state was loaded before
        this scheduler was built: the base was then taken from that state.

        The state of one of torch's schedulers (and so of transformers') moves a run over: its
        counter and, where it has them, its peaks are taken. A warning says if the rates do not go
        on as they would have.

        Raises ValueError if the state is of neither kind, or is of other groups; RuntimeError
        after `detach` or after a later ScheduledLR took over.
        """
        self._check_driving()
        state = _resuming.parse(state_dict)
        saved_groups, groups = len(state.base.get("lr", self._bases()["lr"])), self._groups()
        if saved_groups != len(groups):
            raise ValueError(
                f"ScheduledLR: state_dict is of {saved_groups} parameter group(s), but the "
                f"optimizer has {len(groups)}; add the groups before loading"
            )
        rule = self._resumed_rule(state)
        self._adopt_new_groups()
        count = state.last_epoch + state.uncounted
        messages, notes = _resuming.differences(state, self._shapes, self._base, count)
        messages += _resuming.other_floors(state, self._floors_of(len(groups)), count)
        messages += self._other_plateau(state, count)
        merged = {name: state.base.get(name, values) for name, values in self._base.items()}
        if state.foreign and all("max_lr" in group for group in groups):
            # Of OneCycleLR, whose own base is the lowest rate.
            merged["lr"] = [float(group["max_lr"]) for group in groups]
        if state.last_lr is not None:
            messages += _resuming.jump(
                state.last_epoch, state.last_lr, self._values("lr", count, merged)
            )
        for message in messages:
            warnings.warn(message, UserWarning, stacklevel=2)
        for message in notes:
            log.info(message)
        before = self._ahead, self._rule
        self._ahead, self._rule = state.ahead, rule
        try:
            self._apply(count, merged)
        except BaseException:
            self._ahead, self._rule = before
            raise
        self._unsaid, self._said_under = messages, warnings.filters
        self._credit = state.uncounted
        self._lead = self._updates = self._uncounted = self._calls_then = 0
        self._by, self._used = state.by or state.uncounted or self._by, None
        self._saved_by = state.by
        self._lent = self._early = self._behind = False
        self._grace = self._attention = True
        self._loaded = "uncounted" in state_dict
        self._surplus = self._skipped = False
