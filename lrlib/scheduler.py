"""ScheduledLR: the one bridge between a schedule and ``torch.optim``."""

from __future__ import annotations

import logging
import warnings
import weakref
from collections.abc import Sequence
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lrlib import _checks, _counting, _optimizers, _resuming
from lrlib._optimizers import uncompiled
from lrlib.schedule import Schedule

log = logging.getLogger(__name__)


class ScheduledLR(LRScheduler):
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
            name: _shapes("shape" if name == "lr" else name, value)
            for name, value in shapes.items()
            if value is not None or name == "lr"
        }
        self._floors = _floors(min_lr)
        self._self_driving = bool(self_driving)
        self._last_epoch = _start(start, last_epoch)
        if last_epoch != -1 and (earlier := self._earlier()) is not None:
            # skorch gives a second fit's scheduler the number of epochs, whatever step() counted.
            self._last_epoch = earlier._last_epoch
        self._base: dict[str, list[float]] = {name: [] for name in self._shapes}
        self._driving = True
        # How calls and updates have gone since this scheduler was built or loaded a state.
        self._updates = self._lead = 0  # updates seen; calls of step() less counted updates
        self._uncounted = 0  # updates since the last call of step()
        self._by = 1  # what that call added to the counter
        self._in_update = self._skipped = False
        self._grace = self._last_epoch > 0 or _optimizers.has_run(self._torch)
        self._surplus = False  # a call too many just after loading, not yet said
        self._credit = 0  # what loading added for an update that was not yet counted
        self._attention = True  # whether the next step() has more to look at than the counts
        self._ahead = 0  # 1 if a wrapper moves last_epoch on before the update, not after it
        self._used: int | None = None  # self-driving: the step of the update just made
        self._unsaid: list[str] = []  # what was said on loading
        self._told: set[str] = set()
        self._end = _end(self._shapes["lr"])
        self._noted: dict[int, float] = {}  # the rates of new groups when they were added
        self._rates = _optimizers.Rates([])
        self._adopt_new_groups()
        self._attach()

    def _earlier(self) -> ScheduledLR | None:
        """The ScheduledLR that drives the optimizer until this one does."""
        hooks = _optimizers.step_pre_hooks(self._torch).values()
        found = [hook.scheduled_lr() for hook in hooks if hasattr(hook, "scheduled_lr")]
        return found[0] if found else None

    def _attach(self) -> None:
        """Register the hooks, and end the control of an earlier scheduler of this optimizer."""
        for hook in list(_optimizers.step_pre_hooks(self._torch).values()):
            if hasattr(hook, "scheduled_lr"):
                if (earlier := hook.scheduled_lr()) is not None:
                    earlier._driving = False
                for handle in hook.handles:
                    handle.remove()

        # The hooks hold the scheduler weakly: one that was thrown away must not act any more. Its
        # hooks go when the next one comes, not when it is collected: that may be during a step.
        me = weakref.ref(self)

        @uncompiled
        def before_step(*_: object) -> None:
            if (scheduler := me()) is not None:
                scheduler._before_optimizer_step()

        @uncompiled
        def after_step(*_: object) -> None:
            if (scheduler := me()) is not None:
                scheduler._after_optimizer_step()

        def after_load(optimizer: Optimizer, *_: object) -> None:
            if (scheduler := me()) is not None:
                scheduler._after_optimizer_load(optimizer)

        def after_add() -> None:
            if (scheduler := me()) is not None and scheduler._driving:
                scheduler._note_new_groups()

        # A group added since the last update gets its rate in the first hook, so that has to run
        # before those that look at the rates, such as an LRTrace built earlier.
        handles = [
            _optimizers.register_first(self._torch, before_step),
            self._torch.register_step_post_hook(after_step),
        ]
        for optimizer in {id(it): it for it in (self._torch, self.optimizer)}.values():
            if _optimizers.runs_load_hooks(optimizer):
                handles.append(optimizer.register_load_state_dict_post_hook(after_load))
            handles.append(_optimizers.after_add_param_group(optimizer, after_add))
        self._handles = tuple(handles)
        before_step.scheduled_lr, before_step.handles = me, self._handles

    def detach(self) -> None:
        """End this scheduler's control for good; the values it wrote stay in the groups.

        Call it before another scheduler (torch's SWALR, say) takes over. On resuming in that
        phase: build, load and detach this one, and only then load the optimizer and the other.
        """
        self._driving = False
        for handle in self._handles:
            handle.remove()

    def _check_driving(self) -> None:
        if not self._driving:
            raise RuntimeError(
                "ScheduledLR: this scheduler no longer drives its optimizer: a later ScheduledLR, "
                "or detach(), ended its control"
            )

    # Optimizers leave their hooks behind when they are copied or pickled. So does the scheduler,
    # and registers new ones with the copy.
    def __getstate__(self) -> dict[str, Any]:
        left_out = ("_handles", "_rates", "_said_under")
        return {key: value for key, value in self.__dict__.items() if key not in left_out}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._handles = ()
        self._rates = _optimizers.Rates(self._torch.param_groups[: len(self._base["lr"])])
        if self._driving:
            self._attach()

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
    def last_epoch(self, value: object) -> None:
        if value != self._last_epoch + 1 or self._self_driving:
            raise AttributeError(
                "ScheduledLR: last_epoch cannot be set, neither by hand nor by another scheduler "
                "that this one is nested in; write one schedule after another as a.then(b), and "
                "resume with load_state_dict"
            )
        self._check_driving()
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

    @property
    def base_lrs(self) -> tuple[float, ...]:
        """The base learning rate (the peak) of each group, in the order of the groups.

        May be set, one number per group: the rates change at once. Raises TypeError or ValueError
        unless there is one finite number of at least 0 for every group, RuntimeError after
        `detach`.
        """
        return tuple(self._bases()["lr"])

    @base_lrs.setter
    def base_lrs(self, values: Sequence[float]) -> None:
        self._check_driving()
        self._adopt_new_groups()
        groups = len(self._base["lr"])
        if isinstance(values, str) or not isinstance(values, Sequence) or len(values) != groups:
            raise ValueError(
                f"ScheduledLR: base_lrs must be a sequence of {groups} number(s), one per "
                f"parameter group, got {values!r}"
            )
        new = [_checks.number("ScheduledLR", "base_lrs", value, minimum=0) for value in values]
        self._apply(base={**self._base, "lr": new})

    def get_lr(self) -> list[float]:
        """The learning rates at the current count, one float per group.

        Computed, not read back: what other code wrote into the groups does not show, nor does
        the rounding to a float32 tensor. Groups added since the last step are included.
        """
        return self._values("lr", self._last_epoch, self._bases())

    def get_last_lr(self) -> list[float]:
        """The same as `get_lr`; the name is torch's.

        Between ``optimizer.step()`` and ``scheduler.step()`` these are the rates of the update
        just made (of a self-driving scheduler too), after ``scheduler.step()`` those of the next
        one. Into a group added since they are written when its first update begins.
        """
        step = self._last_epoch if self._used is None else self._used
        return self._values("lr", step, self._bases())

    @uncompiled
    def step(self, epoch: None = None, *, by: int = 1) -> None:
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
            raise TypeError(
                f"ScheduledLR: step() takes no epoch, it counts updates itself; got epoch={epoch!r}"
            )
        if by.__class__ is not int or by < 1:
            by = _checks.integer("ScheduledLR", "by", by, minimum=1)
        if not self._driving:
            self._check_driving()
        if self._self_driving:
            if by != 1:
                raise ValueError(
                    f"ScheduledLR: by must be left out of step() if self_driving=True, got {by!r}"
                )
            self._used = None
            return self._say_again(4)
        if (self._uncounted != 1 or self._attention) and self._settle(by):
            return None
        if self._last_epoch >= self._end:
            self._say("end", _counting.past_the_end(self._end, self._last_epoch), 3)
        if self._plain is None or not self._advance_plainly(by):
            self._advance(by)
        self._by, self._uncounted = by, 0
        return None

    def _advance_plainly(self, by: int) -> bool:
        """What `_advance` comes to in the common case, written out: it is called very often.

        False, and nothing done, if the case is another one after all.
        """
        shape, length = self._plain
        groups, written, base = self._torch.param_groups, self._rates.values, self._base["lr"]
        if len(groups) != len(written):
            return False
        for i, group in enumerate(groups):
            if group["lr"] != written[i]:
                return False
        step = self._last_epoch + by
        factor = shape.formula(step if step < length else length)
        if factor.__class__ is not float or not 0 <= factor < _INFINITY:
            factor = shape(step)  # says what is wrong
        for i, group in enumerate(groups):
            group["lr"] = written[i] = base[i] * factor
        self._last_epoch = step
        return True

    def _settle(self, by: int) -> bool:
        """Look at a call of `step` that is not just one after one update; True if it counted."""
        self._say_again(5)
        if self._credit and not self._uncounted:
            # The update was made in the run that saved the state, and was counted on loading.
            self._apply(self._last_epoch - self._credit + by)
            self._attention, self._credit, self._by = True, 0, by
            return True
        first = self._lead + self._updates == self._uncounted
        self._lead += 1 - self._uncounted
        calls, updates = self._updates + self._lead, self._updates
        if self._uncounted > 1:
            self._say("count", _counting.behind(calls, updates), 4)
        elif self._surplus or not (self._uncounted or self._grace):
            self._say("count", _counting.ahead(calls, updates, self._skipped), 4)
        self._surplus = self._grace and not self._uncounted and first and self._loaded
        self._attention, self._grace, self._skipped = self._surplus, False, False
        return False

    def _advance(self, by: int) -> None:
        """Move the counter on and write the values for the next update."""
        groups = self._torch.param_groups
        index = self._rates.changed(groups)
        if index is not None:
            written, step = self._rates.values[index], self._last_epoch
            found = groups[index]["lr"]
            self._say("writer", _counting.other_writer(index, found, written, step), 4)
        if len(groups) != len(self._rates):
            self._adopt_new_groups()
        elif index is not None:
            self._rates = _optimizers.Rates(groups)
        self._apply(self._last_epoch + by)

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

    def state_dict(self) -> dict[str, Any]:
        """Counter, base values, and the schedules as text; passes ``weights_only=True``.

        "uncounted" is what an update that no `step` has counted yet will add to the counter, 0 if
        there is none. "past" is a digest of the factors so far, which tells a longer schedule from
        another one.
        """
        between = self._uncounted == 1 and not self._ahead and "count" not in self._told
        return {
            "last_epoch": self._last_epoch,
            "uncounted": self._by if between and not self._self_driving else 0,
            "ahead": self._ahead,
            "base": {name: list(values) for name, values in self._bases().items()},
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

        A schedule or a base value that differs from the saved one is legal and said aloud in a
        UserWarning: the new schedule and the saved base hold. If the new schedule is the same as
        the old up to here (a run that is extended), a note in the log is enough. If the warnings
        were caught by a framework, they come again with the first `step`.

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
        self._adopt_new_groups()
        count = state.last_epoch + state.uncounted
        messages, notes = _resuming.differences(state, self._shapes, self._base, count)
        merged = {name: state.base.get(name, values) for name, values in self._base.items()}
        if state.foreign and all("max_lr" in group for group in groups):
            # Of OneCycleLR, whose own base is the lowest rate.
            merged["lr"] = [float(group["max_lr"]) for group in groups]
        if state.last_lr is not None:
            messages += _resuming.jump(state, self._values("lr", count, merged))
        for message in messages:
            warnings.warn(message, UserWarning, stacklevel=2)
        for message in notes:
            log.info(message)
        before, self._ahead = self._ahead, state.ahead
        try:
            self._apply(count, merged)
        except BaseException:
            self._ahead = before
            raise
        self._unsaid, self._said_under = messages, warnings.filters
        self._credit = state.uncounted
        self._lead = self._updates = self._uncounted = 0
        self._by, self._used = state.uncounted or self._by, None
        self._grace = self._attention = True
        self._loaded = "uncounted" in state_dict
        self._surplus = self._skipped = False

    def _groups(self) -> list[dict[str, Any]]:
        return self._torch.param_groups

    def _values(self, name: str, step: int, base: dict[str, list[float]]) -> list[float]:
        """The values of all groups at a count of `step`."""
        shape = self._shapes[name]
        if shape.__class__ is tuple:
            values = [value * part(step) for value, part in zip(base[name], shape, strict=True)]
        else:
            factor = shape(step)
            values = [value * factor for value in base[name]]
        if name == "lr" and (self._scaled or self._floors):
            values = self._adjusted(values, base["lr"])
        return values

    def _adjusted(self, rates: list[float], base: list[float]) -> list[float]:
        """The rates times timm's ``lr_scale``, and not below the floor."""
        if self._scaled:
            groups = self._groups()
            rates = [
                r * g.get("lr_scale", 1.0) for r, g in zip(rates, groups[: len(rates)], strict=True)
            ]
        floors = self._floors
        if not floors:
            return rates
        if len(floors) == 1:
            floors = floors * len(rates)
        return [
            max(rate, floor) if peak else rate
            for rate, floor, peak in zip(rates, floors, base, strict=True)
        ]

    def _apply(
        self,
        step: int | None = None,
        base: dict[str, list[float]] | None = None,
        groups: list[dict[str, Any]] | None = None,
    ) -> None:
        """Write what `step` and `base` (default: the current ones) give, and keep both.

        Whatever may fail comes before the first write, so it happens wholly or not at all.
        """
        step = self._last_epoch if step is None else step
        at = max(step - self._ahead, 0)  # the step of the next update
        rates = self._values("lr", at, self._base if base is None else base)
        others = []
        if len(self._shapes) > 1:
            others = self._others(at, self._base if base is None else base)
        known = base is None and groups is None
        groups = self._groups() if groups is None else groups
        if not known:
            base = self._base if base is None else base
            for name, starts in base.items():
                for group, start in zip(groups, starts, strict=True):
                    group[f"initial_{name}"] = start
            self._base, self._rates = base, _optimizers.Rates(groups)
            self._plain = self._plain_shape()
        self._rates.write(groups, rates)
        for name, values in others:
            for group, value in zip(groups, values, strict=True):
                _optimizers.write(group, name, value)
        self._last_epoch = step

    def _plain_shape(self) -> tuple[Schedule, float] | None:
        """The schedule and its length, if every rate is a float, base times the one schedule."""
        shape = self._shapes["lr"]
        if (
            len(self._shapes) > 1
            or not isinstance(shape, Schedule)
            or type(shape).__call__ is not Schedule.__call__
            or self._rates.tensors
            or self._scaled
            or self._floors
            or self._ahead
            or type(self)._values is not ScheduledLR._values
        ):
            return None
        return shape, _INFINITY if shape.length is None else shape.length

    def _others(self, step: int, base: dict[str, list[float]]) -> list[tuple[str, list[float]]]:
        """Momentum and weight decay at `step`, where they are driven."""
        rows = [(name, self._values(name, step, base)) for name in self._shapes if name != "lr"]
        for value in dict(rows).get("momentum", []):
            if not 0 <= value < 1:
                raise ValueError(
                    f"ScheduledLR: momentum must stay in [0, 1), got {value!r} at step {step}"
                )
        return rows

    def _note_new_groups(self) -> None:
        """Remember the rates that new groups are added with; others may lend them other ones."""
        groups = self._groups()
        for index in range(len(self._base["lr"]), len(groups)):
            if index not in self._noted and "initial_lr" not in groups[index]:
                self._noted[index] = float(groups[index]["lr"])

    def _bases(self) -> dict[str, list[float]]:
        """The base values of all groups, of those added since the last step as well.

        Writes nothing: a question must not change tensors that a saved state may share. Raises
        RuntimeError if there are fewer groups than before: which one went is not known, so the
        others would get their neighbours' rates; ValueError if a group has no shape or floor.
        """
        known, groups = len(self._base["lr"]), self._groups()
        if not self._driving or len(groups) == known:
            return self._base
        if len(groups) < known:
            raise RuntimeError(
                f"ScheduledLR: the optimizer had {known} parameter group(s) and now has "
                f"{len(groups)}; after removing a group build a new ScheduledLR"
            )
        for name, values in (*self._shapes.items(), ("min_lr", self._floors)):
            few = isinstance(values, tuple) and len(values) != len(groups)
            if few and not (name == "min_lr" and len(values) < 2):
                raise ValueError(
                    f"ScheduledLR: {'shape' if name == 'lr' else name} must be one, or one per "
                    f"parameter group, got {len(values)} for {len(groups)} group(s); after adding "
                    f"a group build ScheduledLR(optimizer, ..., start=scheduler.last_epoch)"
                )
        return {
            name: values + [self._new_base(name, i) for i in range(known, len(groups))]
            for name, values in self._base.items()
        }

    def _new_base(self, name: str, index: int) -> float:
        group = self._groups()[index]
        value = _optimizers.base_value("ScheduledLR", group, name, index)
        noted = self._noted.get(index)
        if name != "lr" or noted is None or noted == value or "initial_lr" in group:
            return value
        # Either the user has set the new group's rate, or other code has written rates to all.
        return noted if self._ahead or self._rates.lent(self._groups()) else value

    def _adopt_new_groups(self) -> None:
        """Take up the groups that have no base value yet, and write their current values."""
        base = self._bases()
        if base is self._base:
            return
        for name in ("momentum", "weight_decay"):
            if not self._base["lr"] and name in base and not any(base[name]):
                raise ValueError(
                    f"ScheduledLR: {name} is scheduled, but every parameter group has {name}=0; "
                    f"build the optimizer with {name}, or leave the schedule out"
                )
        before, self._scaled = self._scaled, any("lr_scale" in group for group in self._groups())
        for name in self._shapes:
            _optimizers.unshare(self._torch, name)
        try:
            self._apply(base=base)
        except BaseException:
            self._scaled = before
            raise
        self._noted.clear()

    _plain: tuple[Schedule, float] | None = None  # what the short way through `step` needs
    _scaled = False  # whether a group has timm's lr_scale
    _loaded = False  # whether a state was loaded that says if an update was not yet counted
    _said_under: Any = None

    def _before_optimizer_step(self) -> None:
        groups = self._groups()
        self._in_update = False
        if _optimizers.update_is_skipped(self._torch):
            self._skipped = True
            return
        known = len(self._base["lr"])
        if len(groups) != known:
            # A base is not read, nor a rate written, while other code has lent the groups other
            # rates for this update; a new group's 0 may be lent, and trains nothing anyway.
            zero = any(float(group["lr"]) == 0 for group in groups[known:])
            if len(groups) < known or not (zero or self._rates.lent(groups)):
                self._adopt_new_groups()
        self._in_update = not self._rates.lent_zero(groups)
        self._grace = self._grace or not self._in_update  # a step() for it is not to blame

    def _after_optimizer_step(self) -> None:
        # A step() inside another (of a class and its base class) ends first, and is the one update.
        if not self._in_update:
            return
        self._in_update = False
        self._updates += 1
        self._uncounted += 1
        self._credit, self._grace = 0, False
        if not self._driving:
            return
        if self._self_driving:
            if self._last_epoch >= self._end:
                self._say("end", _counting.past_the_end(self._end, self._last_epoch), 2)
            self._used = self._last_epoch
            self._advance(1)
            self._say_again(2)
        elif self._uncounted == self._updates == _NEVER:
            self._say("count", _counting.behind(0, self._updates), 2)

    def _after_optimizer_load(self, optimizer: Optimizer) -> None:
        self._noted.clear()
        self._adopt_new_groups()
        for name in self._shapes:
            _optimizers.unshare(optimizer, name)
        self._apply(groups=optimizer.param_groups)


_INFINITY = float("inf")
_NEVER = 100  # updates without a call of step(), until that is said


def _shapes(argument: str, value: object) -> Schedule | tuple[Schedule, ...]:
    """One schedule, or a tuple of them; TypeError for anything else."""
    if isinstance(value, Schedule):
        return value
    if isinstance(value, list | tuple) and value and all(isinstance(v, Schedule) for v in value):
        return tuple(value)
    raise TypeError(
        f"ScheduledLR: {argument} must be a Schedule, or a sequence of them, one per parameter "
        f"group, got {value!r}"
    )


def _floors(min_lr: object) -> tuple[float, ...]:
    """The lowest rates: of all groups, or one per group; empty if there is no floor."""
    several = min_lr if isinstance(min_lr, list | tuple) else [min_lr]
    floors = tuple(_checks.number("ScheduledLR", "min_lr", v, minimum=0) for v in several)
    return floors if isinstance(min_lr, list | tuple) or any(floors) else ()


def _start(start: object, last_epoch: object) -> int:
    start = _checks.integer("ScheduledLR", "start", start, minimum=0)
    last_epoch = _checks.integer("ScheduledLR", "last_epoch", last_epoch, minimum=-1)
    if start and last_epoch != -1:
        raise ValueError(
            f"ScheduledLR: start and last_epoch say the same, give one; got start={start}, "
            f"last_epoch={last_epoch}"
        )
    return start or last_epoch + 1


def _end(shape: Schedule | tuple[Schedule, ...]) -> float:
    """The step from which on an update is past the end of the schedule, of the last to end."""
    ends = [_resuming.falls_to_its_end(part) for part in _parts(shape)]
    return _INFINITY if None in ends else max(ends)


def _parts(shape: Schedule | tuple[Schedule, ...]) -> tuple[Schedule, ...]:
    return shape if isinstance(shape, tuple) else (shape,)
