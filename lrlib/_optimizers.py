"""What ScheduledLR, LRTrace and find_lr know about torch's optimizers and the wrappers around them.

Every private name of torch that this package uses is in this module.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

Function = TypeVar("Function", bound=Callable)

# Wrappers that a framework puts around the user's optimizer. The framework looks for the optimizer
# inside, not for its own wrapper, where it asks a scheduler for its optimizer.
FRAMEWORKS = {"accelerate", "lightning", "lightning_fabric", "pytorch_lightning"}


def check(owner: str, optimizer: object) -> None:
    """Raise TypeError unless `optimizer` is a torch optimizer that runs hooks."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{owner}: optimizer must be a torch Optimizer, got {optimizer!r:.200}")
    if not runs_load_hooks(optimizer):
        raise TypeError(
            f"{owner}: optimizer must be a torch Optimizer itself, got the wrapper "
            f"{type(optimizer).__name__}; build {owner} on the optimizer inside the wrapper, "
            f"before accelerator.prepare"
        )


def find(owner: str, optimizer: object) -> tuple[Any, Optimizer]:
    """The optimizer that a scheduler should name as its own, and the one whose updates count.

    The second is the innermost: in a wrapper (accelerate's, timm's Lookahead, fastai's,
    Schedule-Free's) or an outer optimizer (SAM) it makes the updates, whatever is called outside.
    Raises TypeError if there is no torch optimizer that runs hooks.
    """
    innermost = optimizer
    while (inside := _inside(innermost)) is not None:
        innermost = inside
    if not isinstance(innermost, Optimizer):
        hint = ""
        if hasattr(optimizer, "step") and not isinstance(optimizer, type):
            hint = (
                f"; build {owner} on the torch optimizer that makes the updates (with fastai: "
                f"opt_func=partial(OptimWrapper, opt=torch.optim.AdamW), then learn.opt in a "
                f"callback's before_fit)"
            )
        raise TypeError(
            f"{owner}: optimizer must be a torch Optimizer, got {optimizer!r:.200}{hint}"
        )
    check(owner, innermost)
    named = optimizer
    while named is not innermost and type(named).__module__.partition(".")[0] in FRAMEWORKS:
        named = _inside(named)
    return named if isinstance(named, Optimizer) else innermost, innermost


def _inside(optimizer: object) -> Any:
    """The optimizer that `optimizer` wraps: the one it holds that has the same groups."""
    groups = getattr(optimizer, "param_groups", None)
    held = [
        value for value in getattr(optimizer, "__dict__", {}).values() if value is not optimizer
    ]
    inside = [
        value
        for value in held
        if groups is not None
        and hasattr(value, "step")
        and getattr(value, "param_groups", None) is groups
    ]
    if not inside and not isinstance(optimizer, Optimizer):
        # fastai's wrapper makes its param_groups anew for every question.
        inside = [value for value in held if isinstance(value, Optimizer)]
    return inside[0] if len({id(value) for value in inside}) == 1 else None


def step_pre_hooks(optimizer: Optimizer) -> dict[int, Callable]:
    """The hooks that run before each update, in their order; may be changed."""
    return optimizer._optimizer_step_pre_hooks


def runs_load_hooks(optimizer: Optimizer) -> bool:
    return hasattr(optimizer, "_optimizer_load_state_dict_post_hooks")


def register_first(optimizer: Optimizer, hook: Callable) -> Any:
    """Register a step pre-hook that runs before all others; returns its handle."""
    handle = optimizer.register_step_pre_hook(hook)
    # Declared as a dict, it is an OrderedDict.
    optimizer._optimizer_step_pre_hooks.move_to_end(  # pyright: ignore[reportAttributeAccessIssue]
        handle.id, last=False
    )
    return handle


def of_the_run(hook: Function) -> Function:
    """Mark a hook that follows the training run, and is not to see updates beside it."""
    vars(hook)["of_the_run"] = True
    return hook


@contextmanager
def silenced(optimizer: Optimizer) -> Iterator[None]:
    """While it lasts, LRTrace and ScheduledLR take no notice of updates.

    Afterwards the optimizer has the hooks again that it had before, in their order, and no other.
    """
    kept = [
        (hooks, dict(hooks))
        for hooks in (step_pre_hooks(optimizer), optimizer._optimizer_step_post_hooks)
    ]
    for hooks, before in kept:
        for key, hook in before.items():
            if getattr(hook, "of_the_run", False):
                del hooks[key]
    try:
        yield
    finally:
        for hooks, before in kept:
            hooks.clear()
            hooks.update(before)


class _Added:
    """Puts an optimizer's own ``add_param_group`` back, as the handles of hooks do."""

    def __init__(self, optimizer: Optimizer, added: Callable) -> None:
        self.optimizer, self.added = optimizer, added

    def remove(self) -> None:
        if vars(self.optimizer).get("add_param_group") is self.added:
            del self.optimizer.add_param_group


def after_add_param_group(optimizer: Optimizer, hook: Callable[[], None]) -> _Added:
    """Call `hook` after every ``add_param_group``, for which torch has no hooks."""
    original = optimizer.add_param_group

    @functools.wraps(original)
    def add_param_group(param_group: dict[str, Any]) -> None:
        original(param_group)
        hook()

    optimizer.add_param_group = add_param_group
    return _Added(optimizer, add_param_group)


def has_run(optimizer: Optimizer) -> bool:
    """Whether the optimizer is known to have made an update already."""
    return bool(optimizer.state) or getattr(optimizer, "_opt_called", False)


def update_is_skipped(optimizer: Optimizer) -> bool:
    """Whether a gradient scaler has told a fused optimizer to leave the parameters alone.

    For other optimizers the scaler does not call ``step()`` at all.
    """
    found_inf = getattr(optimizer, "found_inf", None)
    return found_inf is not None and bool(found_inf)


def uncompiled(function: Function) -> Function:
    """Keep torch.compile from tracing `function` and what it calls, which then run as they are.

    ``torch.compiler.disable`` would do the same, at the cost of a microsecond per call and of
    importing the compiler.
    """
    vars(function)["_torchdynamo_disable"] = True  # where it would be traced into
    # A module that torch's stubs leave out.
    frames = torch._C._dynamo.eval_frame  # pyright: ignore[reportAttributeAccessIssue]
    skip = frames._FrameAction.SKIP  # where it would be compiled by itself
    frames.set_code_exec_strategy(function.__code__, frames._FrameExecStrategy(skip, skip))
    return function


def tensors_of(module: nn.Module) -> tuple[dict[str, Any], dict[str, Any]]:
    """The module's own parameters and buffers by name, None where there is none; may be changed."""
    return module._parameters, module._buffers


def rates_in_state(state: Mapping[str, Any]) -> tuple[list[float] | None, list[float] | None]:
    """The peaks and the last rates that a saved state of one of torch's schedulers holds, if any.

    The one-cycle and the cyclical scheduler keep the lowest rate as their base, not the peak.
    """
    low = "_schedule_phases" in state
    peaks = state.get("max_lrs", None if low else state.get("base_lrs"))
    rates = peaks, state.get("_last_lr")
    peaks, last = (None if it is None else [float(value) for value in it] for it in rates)
    return peaks, last


def read(group: dict[str, Any], name: str) -> float | Tensor | None:
    """A group's setting; "momentum" is Adam's beta1 where that is what there is."""
    if name == "momentum" and "betas" in group:
        return group["betas"][0]
    return group.get(name)


def write(group: dict[str, Any], name: str, value: float) -> None:
    """Write a value, into the tensor itself where the setting is one."""
    current = read(group, name)
    if isinstance(current, Tensor):
        current.fill_(value)
    else:
        replace(group, name, value)


def write_all(groups: list[dict[str, Any]], name: str, values: list[float]) -> None:
    """Write a value into each group, as `write` does."""
    for group, value in zip(groups, values, strict=True):
        if name != "momentum" or "betas" not in group:
            if group[name].__class__ is float:
                group[name] = value
                continue
        elif group["betas"][0].__class__ is float:
            group["betas"] = (value, *group["betas"][1:])
            continue
        write(group, name, value)


def rounded(value: float, like: float | Tensor) -> float:
    """What is left of `value` when it is written into `like`."""
    if not isinstance(like, Tensor):
        return value
    return torch.tensor(value, dtype=like.dtype, device="cpu").item()


def replace(group: dict[str, Any], name: str, value: float | Tensor) -> None:
    """Put a value or a tensor in the setting's place."""
    if name == "momentum" and "betas" in group:
        group["betas"] = (value, *group["betas"][1:])
    else:
        group[name] = value


def base_value(owner: str, group: dict[str, Any], name: str, index: int) -> float:
    """The group's own value of `name`, before any schedule touched it.

    Raises ValueError if it has none, or one that is not finite and at least 0.
    """
    value = group.get(f"initial_{name}")
    if value is None:
        value = read(group, name)
    if value is None:
        raise ValueError(
            f"{owner}: {name} is scheduled, but parameter group {index} has {name}={value!r}; "
            f"build the optimizer with {name}, or leave the schedule out"
        )
    value = float(value)
    if not 0 <= value < math.inf:  # NaN is neither
        raise ValueError(
            f"{owner}: {name} must be finite and at least 0, got {value!r} in parameter group "
            f"{index}"
        )
    return value


def unshare(optimizer: Optimizer, name: str) -> None:
    """Give every group a tensor of its own where one was built on a common tensor.

    torch hands the tensor ``lr=`` to every group without its own, and keeps it as the default of
    groups added later. What is written for one group must reach neither.
    """
    seen: set[int] = set()
    for group in optimizer.param_groups:
        current = read(group, name)
        if not isinstance(current, Tensor):
            continue
        if current is read(optimizer.defaults, name):
            replace(optimizer.defaults, name, current.clone())
        if id(current) in seen:
            replace(group, name, current.clone())
        seen.add(id(current))


class Rates:
    """The rates that a scheduler wrote last, to tell them from what others write.

    A tensor is known by how often it was written to, so that no device is waited for.
    """

    def __init__(self, groups: list[dict[str, Any]]) -> None:
        self.values = [group["lr"] for group in groups]
        self.versions = [
            value._version if isinstance(value, Tensor) else None for value in self.values
        ]
        self.tensors = any(version is not None for version in self.versions)

    def __len__(self) -> int:
        return len(self.values)

    def write(self, groups: list[dict[str, Any]], values: list[float]) -> None:
        """Write the rates into the groups, and remember them."""
        if not self.tensors:
            for group, value in zip(groups, values, strict=True):
                group["lr"] = value
            self.values = values
            return
        for group, value in zip(groups, values, strict=True):
            write(group, "lr", value)
        self.__init__(groups)

    def changed(self, groups: list[dict[str, Any]]) -> int | None:
        """The first group whose rate others have changed, None if there is none."""
        if not self.tensors and [group["lr"] for group in groups] == self.values:
            return None
        for i, (group, ours) in enumerate(zip(groups, self.values, strict=False)):
            now = group["lr"]
            if now is not ours and (isinstance(ours, Tensor) or float(now) != ours):
                return i
            if self.versions[i] is not None and now._version != self.versions[i]:
                return i
        return None

    def lent(self, groups: list[dict[str, Any]]) -> bool:
        """Whether others have, at this moment, put another rate into some group."""
        # 0 is what is lent most, and may be the planned rate too: then it is another object.
        changed = self.changed(groups) is not None
        pairs = zip(groups, self.values, strict=False)
        return changed or any(group["lr"] is not ours and ours == 0 for group, ours in pairs)

    def lent_zero(self, groups: list[dict[str, Any]]) -> bool:
        """Whether every rate is a 0 that others wrote: nothing is trained.

        So do libraries that make an optimizer's state by an update without effect.
        """
        for group, ours in zip(groups, self.values, strict=False):
            now = group["lr"]
            if now is ours or now != 0:
                return False
        return True
