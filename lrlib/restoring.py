"""Putting back whatever an experiment changed: weights, optimizer, generators, bit for bit."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lrlib import _optimizers


def restored(
    optimizer: Optimizer,
    *,
    model: nn.Module | Iterable[nn.Module] | None = None,
    scaler: Any = None,
    stateful: Any = (),
    data: Any = (),
) -> AbstractContextManager[Callable[[], None]]:
    """A ``with`` block at whose end, however it ends, everything is bit for bit as before.

    The arguments are those of `find_lr`. What is put back: the optimizer with its parameters,
    their gradients and its state; `model` with its buffers and modes; `scaler`; `stateful`;
    `data`; the random states of Python, NumPy, torch and its devices. Tensors are written in
    place, so they stay the same objects. Gives a function that puts back all but `data` and the
    random states at once, for the next repeat of an experiment. Raises TypeError for arguments of
    the wrong kind, ValueError for a model whose lazy parameters have no shape yet.
    """
    return restored_for("restored", optimizer, model, scaler, stateful, data)


@contextmanager
def restored_for(
    owner: str, optimizer: Optimizer, model: Any, scaler: Any, stateful: Any, data: Any
) -> Iterator[Callable[[], None]]:
    """`restored`, for the caller that errors are to name."""
    _optimizers.check(owner, optimizer)
    memo: dict[int, Callable] = {}
    modules = several(model)
    for module in modules:
        if not isinstance(module, nn.Module):
            raise TypeError(f"{owner}: model must be a module or several, got {module!r:.200}")
        for tensor in (*module.parameters(), *module.buffers()):
            if nn.parameter.is_lazy(tensor):
                raise ValueError(
                    f"{owner}: model must have been run once, got one with {tensor!r:.200}"
                )
    between = [_keep_optimizer(optimizer, memo), *(_keep_module(m, memo) for m in modules)]
    between += [_keep_object(owner, "stateful", thing, memo) for thing in several(stateful)]
    if scaler is not None:
        between.append(_keep(vars(scaler), memo))
    at_end = [_keep_object(owner, "data", thing, memo) for thing in several(data)]
    at_end.append(_keep_random_states())

    def put_back(keepers: list[Callable]) -> None:
        with torch.no_grad(), ExitStack() as stack:  # each runs, also if another raises
            for keeper in keepers:
                stack.callback(keeper)

    try:
        yield lambda: put_back(between)
    finally:
        put_back(between + at_end)


def several(value: Any) -> list[Any]:
    """None, one object or several, as a list."""
    if value is None:
        return []
    return list(value) if isinstance(value, tuple | list) else [value]


def _keep(value: Any, memo: dict[int, Callable]) -> Callable[[], Any]:
    """A function that returns `value` as it is now; tensors, dicts and lists are put back in place.

    `memo` holds what was done for each tensor: the copies are what costs.
    """
    if isinstance(value, Tensor):
        if id(value) not in memo:
            memo[id(value)] = _keep_tensor(value, memo)
        return memo[id(value)]
    if isinstance(value, dict):
        return _keep_dict(value, memo)
    if isinstance(value, list):
        return _keep_list(value, memo)
    if type(value) is tuple:
        entries = [_keep(item, memo) for item in value]
        return lambda: tuple(keeper() for keeper in entries)
    saved = copy.deepcopy(value)
    return lambda: copy.deepcopy(saved)


def _keep_dict(value: dict, memo: dict[int, Callable]) -> Callable[[], dict]:
    items = {key: _keep(item, memo) for key, item in value.items()}

    def back() -> dict:
        old = {key: keeper() for key, keeper in items.items()}
        for key in value.keys() - old.keys():
            del value[key]
        value.update(old)
        return value

    return back


def _keep_list(value: list, memo: dict[int, Callable]) -> Callable[[], list]:
    entries = [_keep(item, memo) for item in value]

    def back() -> list:
        value[:] = [keeper() for keeper in entries]
        return value

    return back


def _keep_tensor(tensor: Tensor, memo: dict[int, Callable]) -> Callable[[], Tensor]:
    content = tensor.detach().clone()
    keep_grad = _keep(tensor.grad, memo) if tensor.is_leaf else None

    def back() -> Tensor:
        tensor.copy_(content)
        if keep_grad is not None:
            tensor.grad = keep_grad()
        return tensor

    return back


def _keep_module(module: nn.Module, memo: dict[int, Callable]) -> Callable[[], None]:
    keepers, modes, extras = [], [], []
    for part in module.modules():
        keepers += [_keep(tensors, memo) for tensors in _optimizers.tensors_of(part)]
        modes.append((part, part.training))
        if type(part).get_extra_state is not nn.Module.get_extra_state:
            extras.append((part, copy.deepcopy(part.get_extra_state())))

    def back() -> None:
        for keeper in keepers:
            keeper()
        for part, mode in modes:
            part.training = mode
        for part, extra in extras:
            part.set_extra_state(copy.deepcopy(extra))

    return back


def _keep_optimizer(optimizer: Optimizer, memo: dict[int, Callable]) -> Callable[[], None]:
    """Not by `load_state_dict`, which makes new tensors, casts them, and runs hooks."""
    attributes = dict(vars(optimizer))  # flags that torch's schedulers set, for example
    contents = [optimizer.defaults, optimizer.param_groups, optimizer.state]
    keepers = [_keep(content, memo) for content in contents]

    def back() -> None:
        for name in vars(optimizer).keys() - attributes.keys():
            delattr(optimizer, name)
        vars(optimizer).update(attributes)
        for keeper in keepers:
            keeper()

    return back


def _keep_object(owner: str, name: str, thing: Any, memo: dict[int, Callable]) -> Callable[[], Any]:
    if isinstance(thing, Optimizer):
        return _keep_optimizer(thing, memo)
    if isinstance(thing, nn.Module):
        return _keep_module(thing, memo)
    if isinstance(thing, torch.Generator):
        state = thing.get_state()
        return lambda: thing.set_state(state)
    if isinstance(thing, np.random.Generator):
        state = copy.deepcopy(thing.bit_generator.state)
        return lambda: setattr(thing.bit_generator, "state", state)
    if hasattr(thing, "state_dict") and hasattr(thing, "load_state_dict"):
        state = copy.deepcopy(thing.state_dict())
        return lambda: thing.load_state_dict(copy.deepcopy(state))
    raise TypeError(
        f"{owner}: {name} must hold objects with state_dict and load_state_dict, or random "
        f"generators, got {thing!r:.200}"
    )


def _keep_random_states() -> Callable[[], None]:
    states: list[tuple[Callable, Any]] = [
        (random.setstate, random.getstate()),
        (np.random.set_state, np.random.get_state()),  # noqa: NPY002 (the global state is meant)
        (torch.set_rng_state, torch.get_rng_state()),
    ]
    if torch.cuda.is_initialized():
        states.append((torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all()))
    if torch.backends.mps.is_available():
        states.append((torch.mps.set_rng_state, torch.mps.get_rng_state()))

    def back() -> None:
        for set_state, state in states:
            set_state(state)

    return back
