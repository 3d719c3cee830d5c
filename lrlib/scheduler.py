"""ScheduledLR: the one bridge between a schedule and ``torch.optim``."""

from __future__ import annotations

import math
import operator
import warnings
import weakref
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

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
    rate they were added with as their base.

    As in torch, a group that holds ``initial_lr`` (one that a scheduler drove before) keeps it as
    its base rate; to start a second phase at another peak, set ``group["initial_lr"]`` too.

    Raises TypeError for an argument of the wrong kind; ValueError if the optimizer has no
    momentum or weight decay to drive.
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
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"ScheduledLR: optimizer must be a torch Optimizer, got {optimizer!r}")
        shapes = {"lr": shape, "momentum": momentum, "weight_decay": weight_decay}
        for name, value in shapes.items():
            if value is None and name != "lr":
                continue
            if not isinstance(value, Schedule):
                argument = "shape" if name == "lr" else name
                raise TypeError(f"ScheduledLR: {argument} must be a Schedule, got {value!r}")
        self.optimizer = optimizer
        self.last_epoch = 0
        self._shapes = {name: value for name, value in shapes.items() if value is not None}
        self._base: dict[str, list[float]] = {name: [] for name in self._shapes}
        self._optimizer_called = False
        self._adopt_new_groups()

        # The hooks hold the scheduler weakly: one that was thrown away must not act any more.
        me = weakref.ref(self)

        def before_step(*_: object) -> None:
            if (scheduler := me()) is not None:
                scheduler._before_optimizer_step()

        def after_load(*_: object) -> None:
            if (scheduler := me()) is not None:
                scheduler._apply()

        handle = optimizer.register_step_pre_hook(before_step)
        # A group added since the last update gets its rate in this hook, so the hook has to run
        # before those that look at the rates, such as an LRTrace built earlier.
        optimizer._optimizer_step_pre_hooks.move_to_end(handle.id, last=False)
        optimizer.register_load_state_dict_post_hook(after_load)

    @property
    def shape(self) -> Schedule:
        """The schedule of the learning rate."""
        return self._shapes["lr"]

    @property
    def base_lrs(self) -> list[float]:
        """The base learning rate of each group, in the order of ``optimizer.param_groups``."""
        return list(self._base["lr"])

    def get_lr(self) -> list[float]:
        """The learning rates of the coming update, one float per group."""
        return self._values("lr", self.last_epoch)

    def get_last_lr(self) -> list[float]:
        """The same as `get_lr`: the learning rates now written in the groups."""
        return self.get_lr()

    def step(self, epoch: None = None) -> None:
        """Count one optimizer update and write the values for the next one."""
        if epoch is not None:
            raise TypeError(
                f"ScheduledLR: step() takes no epoch, it counts updates itself; got epoch={epoch!r}"
            )
        if self.last_epoch == 0 and not self._optimizer_called:
            warnings.warn(
                "scheduler.step() was called before any optimizer.step(): the first rate of the "
                "schedule is skipped. Call optimizer.step() first (a gradient scaler that skipped "
                "the first update also causes this).",
                UserWarning,
                stacklevel=2,
            )
        self._adopt_new_groups()
        self._apply(self.last_epoch + 1)
        self.last_epoch += 1

    def state_dict(self) -> dict[str, Any]:
        """Counter, base values, and the schedules as text; passes ``weights_only=True``."""
        new = self._new_bases()  # of groups added since the last update
        return {
            "last_epoch": self.last_epoch,
            "base": {name: [*values, *new[name]] for name, values in self._base.items()},
            "shapes": {name: repr(shape) for name, shape in self._shapes.items()},
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a saved state; nothing changes if the state does not fit.

        A schedule or a base value that differs from the saved one is legal (a run may be
        extended) and said aloud in a UserWarning: the new schedule and the saved base hold.
        Raises ValueError if the state is not one of ScheduledLR, or is of other groups.
        """
        try:
            last_epoch = operator.index(state_dict["last_epoch"])
            base = {name: [float(v) for v in vs] for name, vs in state_dict["base"].items()}
            shapes = dict(state_dict["shapes"])
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
            was, now = shapes.get(name), repr(self._shapes[name]) if name in self._shapes else None
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
        old, self._base = self._base, merged
        try:
            self._apply(last_epoch)
        except Exception:
            self._base = old
            raise
        self.last_epoch = last_epoch

    def _values(self, name: str, step: int) -> list[float]:
        factor = self._shapes[name](step)
        return [base * factor for base in self._base[name]]

    def _apply(self, step: int | None = None) -> None:
        """Write the values of `step` (default: the current one) into the groups, or none at all."""
        step = self.last_epoch if step is None else step
        rows = {name: self._values(name, step) for name in self._shapes}
        for value in rows.get("momentum", []):
            if not 0 <= value < 1:
                raise ValueError(
                    f"ScheduledLR: momentum must stay in [0, 1), got {value!r} at step {step}"
                )
        for name in rows:
            self._unshare(name)
        for name, values in rows.items():
            for group, base, value in zip(
                self.optimizer.param_groups, self._base[name], values, strict=False
            ):
                group[f"initial_{name}"] = base
                _write(group, name, value)

    def _unshare(self, name: str) -> None:
        """Give every group a tensor of its own where one was built on a common tensor.

        torch hands the tensor ``lr=`` to every group without its own, and keeps it as the default
        of groups added later. What is written for one group must reach neither.
        """
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

    def _new_bases(self) -> dict[str, list[float]]:
        """The base values of the groups that were added since the last look."""
        known, groups = len(self._base["lr"]), self.optimizer.param_groups
        return {
            name: [_base_value(g, name, i) for i, g in enumerate(groups) if i >= known]
            for name in self._shapes
        }

    def _adopt_new_groups(self) -> None:
        """Take up the groups that have no base value yet, and write their current values."""
        found = self._new_bases()
        if not found["lr"]:
            return
        if not self._base["lr"] and "weight_decay" in found and not any(found["weight_decay"]):
            raise ValueError(
                "ScheduledLR: weight_decay is scheduled, but every parameter group has "
                "weight_decay=0; build the optimizer with weight_decay, or leave the schedule out"
            )
        for name, values in found.items():
            self._base[name].extend(values)
        self._apply()

    def _before_optimizer_step(self) -> None:
        self._optimizer_called = True
        self._adopt_new_groups()


def _base_value(group: dict[str, Any], name: str, index: int) -> float:
    """The group's own value of `name`, before any schedule touched it."""
    value = group.get(f"initial_{name}")
    if value is None:
        value = _read(group, name)
    if value is None or (name == "momentum" and float(value) == 0):
        raise ValueError(
            f"ScheduledLR: {name} is scheduled, but parameter group {index} has {name}={value!r}; "
            f"build the optimizer with {name}, or leave the schedule out"
        )
    return float(value)


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
