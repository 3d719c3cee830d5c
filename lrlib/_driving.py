"""How ScheduledLR drives its optimizer: hooks, groups, base values, and what it writes."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, Protocol, TypeGuard, cast

from torch.optim import Optimizer

from lrlib import _counting, _optimizers, _resuming
from lrlib._optimizers import of_the_run, uncompiled
from lrlib._resuming import Shapes
from lrlib._writing import Setting
from lrlib.plateau import PlateauRule
from lrlib.schedule import Schedule

_INFINITY = float("inf")
_NEVER = 100  # updates without a call of step(), until that is said


class Hook(Protocol):
    """The step pre-hook of a scheduler, which can be told from those of others."""

    scheduled_lr: weakref.ref[Driver]
    handles: tuple[Any, ...]

    def __call__(self, *_: object) -> None: ...


class Driver(_counting.Counter):
    """The part of ScheduledLR that is not for its users.

    It keeps the counter and the base values, sees the updates and the groups that come, and writes
    the values that the schedules give. Its attributes are set, and explained, by ScheduledLR.
    """

    optimizer: Optimizer
    _torch: Optimizer
    _shapes: dict[str, Shapes]
    _floors: tuple[float, ...]
    _base: dict[str, list[float]]
    _rates: _optimizers.Rates
    _handles: tuple[Any, ...]
    _driving: bool
    _self_driving: bool
    _last_epoch: int
    _end: float
    _in_update: bool
    _at_zero: bool
    _lent: bool
    _skipped: bool
    _grace: bool
    _early: bool
    _attention: bool
    _credit: int
    _ahead: int
    _used: int | None
    _noted: dict[int, float]
    _settings: dict[str, Setting]
    _plain: tuple[Schedule | None, int | None] | None = None  # see `_plain_shape`
    _scaled = False  # whether a group has timm's lr_scale
    _rescale = False  # whether that was found out since rates were written
    _rule: PlateauRule | None = None  # of a PlateauLR
    _NO_EPOCH = "ScheduledLR: step() takes no epoch, it counts updates itself; got epoch="
    _loaded = False  # whether a state was loaded that says if an update was not yet counted

    def _earlier(self) -> Driver | None:
        """The ScheduledLR that drives the optimizer until this one does."""
        hooks = _optimizers.step_pre_hooks(self._torch).values()
        found = [hook.scheduled_lr() for hook in hooks if _of_a_scheduler(hook)]
        return found[0] if found else None

    def _attach(self) -> None:
        """Register the hooks, and end the control of an earlier scheduler of this optimizer."""
        for hook in list(_optimizers.step_pre_hooks(self._torch).values()):
            if _of_a_scheduler(hook):
                if (earlier := hook.scheduled_lr()) is not None:
                    earlier._driving = False
                for handle in hook.handles:
                    handle.remove()

        # The hooks hold the scheduler weakly: one that was thrown away must not act any more. Its
        # hooks go when the next one comes, not when it is collected: that may be during a step.
        me: weakref.ref[Driver] = weakref.ref(self)

        @of_the_run
        @uncompiled
        def before_step(*_: object) -> None:
            if (scheduler := me()) is not None:
                scheduler._before_optimizer_step()

        @of_the_run
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
        hook = cast(Hook, before_step)
        hook.scheduled_lr, hook.handles = me, self._handles

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

    def _advance_plainly(self, plain: tuple[Schedule | None, int | None], by: int) -> bool:
        """What `_advance` comes to in the common cases, written out: it is called very often.

        False, and nothing done, if the case is another one after all.
        """
        shape, length = plain
        groups, written, base = self._torch.param_groups, self._rates.values, self._base["lr"]
        if len(groups) != len(written):
            return False
        for i, group in enumerate(groups):
            if group["lr"] != written[i]:
                return False
        step = self._last_epoch + by
        if shape is None:
            rates = self._settings["lr"].values(step)
            others = self._others(step, self._base) if len(self._shapes) > 1 else ()
            for i, group in enumerate(groups):
                group["lr"] = written[i] = rates[i]
            for name, values in others:
                _optimizers.write_all(groups, name, values)
        else:
            factor = shape.formula(step if length is None or step < length else length)
            if factor.__class__ is not float or not 0 <= factor < _INFINITY:
                factor = shape(step)  # says what is wrong
            for i, group in enumerate(groups):
                group["lr"] = written[i] = base[i] * factor
        self._last_epoch = step
        return True

    def _advance(self, by: int) -> None:
        """Move the counter on and write the values for the next update."""
        groups = self._torch.param_groups
        index = self._rates.changed(groups)
        if index is not None and "writer" not in self._told:
            found, written = groups[index]["lr"], self._rates.values[index]
            if self._rates.tensors:
                at = max(self._last_epoch - self._ahead, 0)
                written = _optimizers.rounded(self._values("lr", at, self._base)[index], found)
            if float(found) != written:
                message = _counting.other_writer(index, float(found), written, self._last_epoch)
                self._say("writer", message, 4)
        if len(groups) != len(self._rates):
            self._adopt_new_groups()
        elif index is not None:
            self._rates = _optimizers.Rates(groups)
        self._apply(self._last_epoch + by)

    def _groups(self) -> list[dict[str, Any]]:
        return self._torch.param_groups

    def _values(
        self,
        name: str,
        step: int,
        base: dict[str, list[float]],
        groups: list[dict[str, Any]] | None = None,
    ) -> list[float]:
        """The values of all groups at a count of `step`; rates are multiplied by lr_scale."""
        setting = self._settings[name] if base is self._base else self._setting(name, base[name])
        if name != "lr" or not self._scaled:
            return setting.values(step)
        groups = self._groups() if groups is None else groups
        scales = [group.get("lr_scale", 1.0) for group in groups[: len(base[name])]]
        return setting.values(step, scales)

    def _setting(self, name: str, base: list[float]) -> Setting:
        floors = self._floors_of(len(base)) if name == "lr" and self._floors else None
        return Setting(self._shapes[name], base, floors)

    def _resumed_rule(self, state: _resuming.State) -> PlateauRule | None:
        """The plateau rule to go on with; ValueError if the state has none that can be read."""
        return None

    def _other_plateau(self, state: _resuming.State, count: int) -> list[str]:
        """What to say, on resuming, of the plateau rule of the saved run."""
        return _resuming.lost_plateau(state, count)

    def _floors_of(self, groups: int) -> list[float]:
        """The lowest rate of each group, 0 where there is no floor."""
        floors = list(self._floors) or [0.0]
        return floors * groups if len(floors) == 1 else floors

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
        known = base is None and groups is None
        base = self._base if base is None else base
        groups = self._groups() if groups is None else groups
        rates = self._values("lr", at, base, groups)
        others = self._others(at, base) if len(self._shapes) > 1 else []
        if not known:
            for name, starts in base.items():
                for group, start in zip(groups, starts, strict=True):
                    group[f"initial_{name}"] = start
            self._base, self._rates = base, _optimizers.Rates(groups)
            self._settings = {name: self._setting(name, values) for name, values in base.items()}
            self._plain = self._plain_shape()
        self._rates.write(groups, rates)
        for name, values in others:
            _optimizers.write_all(groups, name, values)
        self._last_epoch, self._rescale = step, False

    def _plain_shape(self) -> tuple[Schedule | None, int | None] | None:
        """What `_advance_plainly` needs: the one schedule and its length, if it is all there is.

        No schedule if there are several, or floors; None if it will not do.
        """
        shape = self._shapes["lr"]
        overridden = type(self)._values is not Driver._values
        if self._rates.tensors or self._scaled or self._ahead or overridden:
            return None
        if (
            type(self)._setting is Driver._setting
            and len(self._shapes) == 1
            and not self._floors
            and isinstance(shape, Schedule)
            and type(shape).__call__ is Schedule.__call__
        ):
            return shape, shape.length
        return None, None

    def _others(self, step: int, base: dict[str, list[float]]) -> list[tuple[str, list[float]]]:
        """Momentum and weight decay at `step`, where they are driven."""
        rows = [(name, self._values(name, step, base)) for name in self._shapes if name != "lr"]
        for name, values in rows:
            if name == "momentum" and max(values) >= 1:
                raise ValueError(
                    f"ScheduledLR: momentum must stay in [0, 1), got {max(values)!r} at step {step}"
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
            if not isinstance(values, tuple) or len(values) == len(groups):
                continue
            if name != "min_lr" or len(values) > 1:
                cure = "after adding a group build ScheduledLR(..., start=scheduler.last_epoch)"
                raise ValueError(
                    f"ScheduledLR: {'shape' if name == 'lr' else name} must be one, or one per "
                    f"parameter group, got {len(values)} for {len(groups)} group(s)"
                    f"{'; ' + cure if known else ''}"
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
        before, self._scaled = self._scaled, _scales(self._groups())
        for name in self._shapes:
            _optimizers.unshare(self._torch, name)
        try:
            self._apply(base=base)
        except BaseException:
            self._scaled = before
            raise
        self._noted.clear()

    def _before_optimizer_step(self) -> None:
        groups = self._groups()
        self._in_update = self._at_zero = False
        self._look_at_lent_zero()
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
        self._look_at_scales()
        if self._rescale and not self._rates.lent(groups):
            self._apply()
        self._at_zero = self._rates.lent_zero(groups)
        self._in_update = not self._at_zero
        self._grace = self._grace or self._at_zero  # a step() for it is not to blame

    def _after_optimizer_step(self) -> None:
        # A step() inside another (of a class and its base class) ends first, and is the one update.
        if self._in_update:
            self._count_update()
        elif self._at_zero:
            self._lent = self._attention = True
        self._in_update = self._at_zero = False

    def _look_at_lent_zero(self) -> None:
        """Count the last update after all if nobody took back the 0 that it was made with.

        Libraries that make an optimizer's state by an update at rate 0 put the rates back at once.
        """
        if self._zero_is_left():
            self._count_update()
        self._lent = False

    def _zero_is_left(self) -> bool:
        return self._lent and self._rates.lent_zero(self._groups())

    def _look_at_scales(self) -> None:
        """Take notice of timm's ``lr_scale``, which may come after this scheduler was built."""
        if not self._scaled and _scales(self._groups()):
            self._scaled, self._plain, self._rescale = True, None, True

    def _count_update(self) -> None:
        calls = self._calls()
        between, self._calls_then = calls - self._calls_then, calls
        self._updates += 1
        self._uncounted += 1
        self._credit, self._grace = 0, False
        if not self._driving:
            return
        if self._self_driving:
            if self._last_epoch >= self._end:
                self._say("end", _counting.past_the_end(self._end, self._last_epoch), 3)
            self._used = self._last_epoch
            self._check_unit(1)
            self._advance(1)
            self._say_again(3)
        elif between > 1 and self._ahead:
            # Not said by the setter of last_epoch: wrappers try a schedule out without updates.
            self._say("count", _counting.several(between, calls, self._updates, True), 3)
        elif between > 1 and self._early and self._updates > 1:
            self._say("cadence", _counting.several(between, calls, self._updates, False), 3)
        elif self._uncounted == self._updates == _NEVER:
            self._say("count", _counting.behind(0, self._updates), 3)

    def _after_optimizer_load(self, optimizer: Optimizer) -> None:
        self._noted.clear()
        self._lent = False
        self._adopt_new_groups()
        for name in self._shapes:
            _optimizers.unshare(optimizer, name)
        scaled = _scales(optimizer.param_groups)
        if self._scaled and not scaled:
            self._say("scale", _counting.NO_SCALES, 4)
        self._scaled = scaled
        self._apply(groups=optimizer.param_groups)


def _scales(groups: list[dict[str, Any]]) -> bool:
    return any("lr_scale" in group for group in groups)


def _of_a_scheduler(hook: Callable[..., Any]) -> TypeGuard[Hook]:
    return hasattr(hook, "scheduled_lr")
