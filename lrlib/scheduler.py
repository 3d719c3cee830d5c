"""ScheduledLR: the one bridge between a schedule and ``torch.optim``."""

from __future__ import annotations

import math
import operator
import re
import warnings
import weakref
from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lrlib import _checks
from lrlib.schedule import Schedule


class ScheduledLR(LRScheduler):
    """Sets every group's learning rate to ``base rate * shape(t)``, t being the updates made.

    The base rates (the peaks) are the rates the optimizer was built with, one per group, which
    keeps the ratios between groups. Call ``scheduler.step()`` once after every update, not once
    per epoch and not once per process.

    Args:
        optimizer: any torch optimizer; float and tensor learning rates (written in place).
        shape: the schedule of the learning rate.
        momentum: optional schedule of the momentum, or of Adam's beta1, again as a factor on the
            value the optimizer was built with.
        weight_decay: optional schedule of the weight decay, likewise.

    A step is computed from the counter and the base values alone, never from ``group["lr"]``, so
    neither other code nor the order of loading can bend it: after `load_state_dict` the rest of
    a run equals the uninterrupted run bit for bit, whether the optimizer is loaded before or
    after the scheduler is built or loaded. Groups added later join at the current step, with the
    rate they were added with as their base. A group whose momentum or weight decay is 0 stays
    at 0.

    All this holds while it is the only scheduler of the optimizer. A ScheduledLR built later takes
    over and ends the control of this one; call `detach` before any other scheduler takes over.
    To run one schedule after another use ``a.then(b)`` rather than torch's SequentialLR, which
    raises; to multiply two use ``a * b`` rather than ChainedScheduler, which cannot be noticed:
    what the other schedulers in it write is overwritten at the next step.

    As in torch, a group that holds ``initial_lr`` (one that a scheduler drove before, or a copy
    of one) keeps it as its base rate; to start a second phase at another peak, set
    ``group["initial_lr"]`` too. To resume at another peak:

    .. code-block:: python

        scheduler = ScheduledLR(optimizer, shape)
        scheduler.load_state_dict(state)  # the counter and the old peak
        scheduler.base_lrs = [0.05]  # the new peak, for the rest of the run

    Raises TypeError for an argument of the wrong kind, or an optimizer inside a wrapper;
    ValueError if a rate is not finite or if the optimizer has no momentum or weight decay to
    drive. RuntimeError comes later, from `step` and the others, if a group was removed.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        shape: Schedule,
        *,
        momentum: Schedule | None = None,
        weight_decay: Schedule | None = None,
    ) -> None:
        # The constructor of LRScheduler is not called: it would wrap optimizer.step and keep the
        # rates it last wrote. This class keeps the counter and the base values, nothing else.
        _check_optimizer("ScheduledLR", optimizer)
        shapes = {"lr": shape, "momentum": momentum, "weight_decay": weight_decay}
        for name, value in shapes.items():
            if value is None and name != "lr":
                continue
            if not isinstance(value, Schedule):
                argument = "shape" if name == "lr" else name
                raise TypeError(f"ScheduledLR: {argument} must be a Schedule, got {value!r}")
        self.optimizer = optimizer
        self._last_epoch = 0
        self._shapes = {name: value for name, value in shapes.items() if value is not None}
        self._base: dict[str, list[float]] = {name: [] for name in self._shapes}
        self._optimizer_called = False
        self._driving = True
        self._adopt_new_groups()
        self._attach()

    def _attach(self) -> None:
        """Register the hooks, and end the control of an earlier scheduler of this optimizer."""
        optimizer = self.optimizer
        for hook in list(optimizer._optimizer_step_pre_hooks.values()):
            if hasattr(hook, "scheduled_lr"):
                if (earlier := hook.scheduled_lr()) is not None:
                    earlier._driving = False
                for handle in hook.handles:
                    handle.remove()

        # The hooks hold the scheduler weakly: one that was thrown away must not act any more. Its
        # hooks go when the next one comes, not when it is collected: that may be during a step.
        me = weakref.ref(self)

        def before_step(*_: object) -> None:
            if (scheduler := me()) is not None:
                scheduler._before_optimizer_step()

        def after_load(*_: object) -> None:
            if (scheduler := me()) is not None:
                scheduler._after_optimizer_load()

        first = optimizer.register_step_pre_hook(before_step)
        # A group added since the last update gets its rate in this hook, so the hook has to run
        # before those that look at the rates, such as an LRTrace built earlier.
        optimizer._optimizer_step_pre_hooks.move_to_end(first.id, last=False)
        self._handles = (first, optimizer.register_load_state_dict_post_hook(after_load))
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
        return {key: value for key, value in self.__dict__.items() if key != "_handles"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._handles = ()
        if self._driving:
            self._attach()

    @property
    def last_epoch(self) -> int:
        """The optimizer updates counted so far (torch's name for it); read-only.

        Setting it raises AttributeError: torch's SequentialLR rewinds the counter of the
        schedulers inside it, and the checkpoints of such a pair could not be resumed.
        """
        return self._last_epoch

    @last_epoch.setter
    def last_epoch(self, value: object) -> None:
        raise AttributeError(
            "ScheduledLR: last_epoch cannot be set, neither by hand nor by another scheduler that "
            "this one is nested in; write one schedule after another as a.then(b), and resume "
            "with load_state_dict"
        )

    @property
    def shape(self) -> Schedule:
        """The schedule of the learning rate."""
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
        just made, after ``scheduler.step()`` those of the next one. Into a group added since they
        are written when its first update begins.
        """
        return self.get_lr()

    def step(self, epoch: None = None) -> None:
        """Count one optimizer update and write the values for the next one.

        Raises TypeError if given an epoch; RuntimeError after `detach`, after a later ScheduledLR
        took over, or if a parameter group was removed; ValueError if the momentum would leave
        [0, 1). Whatever it raises, nothing is written and nothing counted.
        """
        if epoch is not None:
            raise TypeError(
                f"ScheduledLR: step() takes no epoch, it counts updates itself; got epoch={epoch!r}"
            )
        self._check_driving()
        if self._last_epoch == 0 and not self._optimizer_called:
            warnings.warn(
                "scheduler.step() was called before any optimizer.step(): the first rate of the "
                "schedule is skipped. Call optimizer.step() first (a gradient scaler that skipped "
                "the first update also causes this).",
                UserWarning,
                stacklevel=2,
            )
        self._adopt_new_groups()
        self._apply(self._last_epoch + 1)

    def state_dict(self) -> dict[str, Any]:
        """Counter, base values, and the schedules as text; passes ``weights_only=True``."""
        return {
            "last_epoch": self._last_epoch,
            "base": {name: list(values) for name, values in self._bases().items()},
            "shapes": {name: _text(shape) for name, shape in self._shapes.items()},
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a saved state; nothing changes if the state does not fit.

        A schedule or a base value that differs from the saved one is legal (a run may be
        extended) and said aloud in a UserWarning: the new schedule and the saved base hold.

        Schedules are compared by their repr, memory addresses left out. That notices another
        class or another parameter of a dataclass, but not a formula or a function whose code has
        changed. The warning about a base cannot appear if the optimizer's state was loaded before
        this scheduler was built: the base was then taken from that state.

        Raises ValueError if the state is not one of ScheduledLR, or is of other groups;
        RuntimeError after `detach` or after a later ScheduledLR took over.
        """
        self._check_driving()
        try:
            last_epoch = operator.index(state_dict["last_epoch"])
            base = {name: [float(v) for v in vs] for name, vs in state_dict["base"].items()}
            shapes = {name: _text(text) for name, text in state_dict["shapes"].items()}
            saved_groups = len(base["lr"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(
                f"ScheduledLR: state_dict must come from ScheduledLR.state_dict(), got "
                f"{state_dict!r}"
            ) from error
        if last_epoch < 0:
            raise ValueError(f"ScheduledLR: last_epoch must be at least 0, got {last_epoch}")
        for name, values in base.items():
            if len(values) != saved_groups or not all(0 <= value < math.inf for value in values):
                raise ValueError(
                    f"ScheduledLR: state_dict must hold one finite base {name} of at least 0 for "
                    f"each of its {saved_groups} group(s), got {values!r}"
                )
        if saved_groups != len(self.optimizer.param_groups):
            raise ValueError(
                f"ScheduledLR: state_dict is of {saved_groups} parameter group(s), but the "
                f"optimizer has {len(self.optimizer.param_groups)}; add the groups before loading"
            )
        self._adopt_new_groups()
        for name in dict.fromkeys([*shapes, *self._shapes]):
            was, now = shapes.get(name), None
            if name in self._shapes:
                now = _text(self._shapes[name])
            if was != now:
                warnings.warn(
                    f"ScheduledLR: resuming at step {last_epoch} with another schedule of {name}: "
                    f"saved {was}, now {now}",
                    UserWarning,
                    stacklevel=2,
                )
            if name in base and name in self._base and base[name] != self._base[name]:
                warnings.warn(
                    f"ScheduledLR: the saved base {name} {base[name]} replaces {self._base[name]}",
                    UserWarning,
                    stacklevel=2,
                )
        merged = {name: base.get(name, values) for name, values in self._base.items()}
        self._apply(last_epoch, merged)

    def _values(self, name: str, step: int, base: dict[str, list[float]]) -> list[float]:
        factor = self._shapes[name](step)
        return [value * factor for value in base[name]]

    def _apply(self, step: int | None = None, base: dict[str, list[float]] | None = None) -> None:
        """Write what `step` and `base` (default: the current ones) give, and keep both.

        Whatever may fail comes before the first write, so it happens wholly or not at all.
        """
        step = self._last_epoch if step is None else step
        base = self._base if base is None else base
        rows = {name: self._values(name, step, base) for name in self._shapes}
        for value in rows.get("momentum", []):
            if not 0 <= value < 1:
                raise ValueError(
                    f"ScheduledLR: momentum must stay in [0, 1), got {value!r} at step {step}"
                )
        for name, values in rows.items():
            for group, start, value in zip(
                self.optimizer.param_groups, base[name], values, strict=True
            ):
                group[f"initial_{name}"] = start
                _write(group, name, value)
        self._base, self._last_epoch = base, step
        self._step_count = step + 1  # torch's schedulers have one, and accelerate adds to it

    def _unshare(self) -> None:
        """Give every group a tensor of its own where one was built on a common tensor.

        torch hands the tensor ``lr=`` to every group without its own, and keeps it as the default
        of groups added later. What is written for one group must reach neither.
        """
        for name in self._shapes:
            seen: set[int] = set()
            for group in self.optimizer.param_groups:
                current = _read(group, name)
                if not isinstance(current, Tensor):
                    continue
                if current is _read(self.optimizer.defaults, name):
                    _replace(self.optimizer.defaults, name, current.clone())
                if id(current) in seen:
                    _replace(group, name, current.clone())
                seen.add(id(current))

    def _bases(self) -> dict[str, list[float]]:
        """The base values of all groups, of those added since the last step as well.

        Writes nothing: a question must not change tensors that a saved state may share. Raises
        RuntimeError if there are fewer groups than before: which one went is not known, so the
        others would get their neighbours' rates.
        """
        known, groups = len(self._base["lr"]), self.optimizer.param_groups
        if not self._driving or len(groups) == known:
            return self._base
        if len(groups) < known:
            raise RuntimeError(
                f"ScheduledLR: the optimizer had {known} parameter group(s) and now has "
                f"{len(groups)}; after removing a group build a new ScheduledLR"
            )
        return {
            name: values + [_base_value(groups[i], name, i) for i in range(known, len(groups))]
            for name, values in self._base.items()
        }

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
        self._unshare()
        self._apply(base=base)

    def _before_optimizer_step(self) -> None:
        self._optimizer_called = self._optimizer_called or not _update_is_skipped(self.optimizer)
        self._adopt_new_groups()

    def _after_optimizer_load(self) -> None:
        self._adopt_new_groups()
        self._unshare()
        self._apply()


def _check_optimizer(owner: str, optimizer: object) -> None:
    """Raise TypeError unless `optimizer` is a torch optimizer that runs hooks."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{owner}: optimizer must be a torch Optimizer, got {optimizer!r}")
    if not hasattr(optimizer, "_optimizer_step_pre_hooks"):
        raise TypeError(
            f"{owner}: optimizer must be a torch Optimizer itself, got the wrapper "
            f"{type(optimizer).__name__}; build {owner} on the optimizer inside the wrapper, "
            f"before accelerator.prepare"
        )


def _update_is_skipped(optimizer: Optimizer) -> bool:
    """Whether a gradient scaler has told a fused optimizer to leave the parameters alone.

    For other optimizers the scaler does not call ``step()`` at all.
    """
    found_inf = getattr(optimizer, "found_inf", None)
    return found_inf is not None and bool(found_inf)


def _text(shape: Schedule | str) -> str:
    """The repr of a schedule without memory addresses, which differ from run to run."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", shape if isinstance(shape, str) else repr(shape))


def _base_value(group: dict[str, Any], name: str, index: int) -> float:
    """The group's own value of `name`, before any schedule touched it."""
    value = group.get(f"initial_{name}")
    if value is None:
        value = _read(group, name)
    if value is None:
        raise ValueError(
            f"ScheduledLR: {name} is scheduled, but parameter group {index} has {name}={value!r}; "
            f"build the optimizer with {name}, or leave the schedule out"
        )
    value = float(value)
    if not 0 <= value < math.inf:  # NaN is neither
        raise ValueError(
            f"ScheduledLR: {name} must be finite and at least 0, got {value!r} in parameter group "
            f"{index}"
        )
    return value


def _read(group: dict[str, Any], name: str) -> float | Tensor | None:
    if name == "momentum" and "betas" in group:
        return group["betas"][0]
    return group.get(name)


def _write(group: dict[str, Any], name: str, value: float) -> None:
    """Write a value, into the tensor itself where the setting is one."""
    current = _read(group, name)
    if isinstance(current, Tensor):
        current.fill_(value)
    else:
        _replace(group, name, value)


def _replace(group: dict[str, Any], name: str, value: float | Tensor) -> None:
    if name == "momentum" and "betas" in group:
        group["betas"] = (value, *group["betas"][1:])
    else:
        group[name] = value
