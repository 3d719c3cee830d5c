"""A training step for the range test, from a model and a loader."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn


def training_step(model: nn.Module, loss_fn: Callable, loader: Iterable) -> TrainingStep:
    """A `train_step` for `find_lr`: the next batch, gradients zeroed, forward, backward.

    Args:
        model: called with the inputs. If it is in eval mode it is put into train mode; if it is
            in train mode, submodules in eval mode (frozen batch norm) stay so.
        loss_fn: ``loss_fn(outputs, targets)`` returns a scalar tensor.
        loader: yields pairs (inputs, targets); tensors are moved to the model's device. It may be
            shorter than the test, and is then started over.

    A generator that belongs to the loader or its sampler is put back after the test. Raises
    TypeError for bad arguments or a loader that yields something else than pairs, ValueError for
    one that yields nothing.
    """
    return TrainingStep(model, loss_fn, loader)


class TrainingStep:
    """What `training_step` returns."""

    def __init__(self, model: nn.Module, loss_fn: Callable, loader: Iterable) -> None:
        owner = "training_step"
        if not isinstance(model, nn.Module):
            raise TypeError(f"{owner}: model must be a module, got {model!r:.200}")
        if not callable(loss_fn):
            raise TypeError(f"{owner}: loss_fn must be a function, got {loss_fn!r:.200}")
        if not isinstance(loader, Iterable):
            raise TypeError(f"{owner}: loader must be iterable, got {loader!r:.200}")
        self.model, self.loss_fn, self.loader = model, loss_fn, loader
        self.modules = [m for m in (model, loss_fn) if isinstance(m, nn.Module)]
        self._batches: Iterator | None = None

    def __call__(self) -> Tensor:
        if not self.model.training:
            self.model.train()
        inputs, targets = self._next_batch()
        for module in self.modules:
            module.zero_grad()
        loss = self.loss_fn(self.model(inputs), targets)
        loss.backward()
        return loss.detach()

    def _next_batch(self) -> tuple[Any, Any]:
        for _ in range(2):  # a second time, from the start, when the loader is at its end
            if self._batches is None:
                self._batches = iter(self.loader)
            for batch in self._batches:
                if not isinstance(batch, tuple | list) or len(batch) != 2:
                    raise TypeError(
                        f"training_step: loader must yield pairs (inputs, targets), got "
                        f"{batch!r:.200}; for anything else write the step as a function"
                    )
                return self._moved(batch[0]), self._moved(batch[1])
            self._batches = None
        raise ValueError(
            f"training_step: loader must have batches, also when it is started over, got "
            f"{self.loader!r:.200}"
        )

    def _moved(self, value: Any) -> Any:
        parameter = next(self.model.parameters(), None)
        if isinstance(value, Tensor) and parameter is not None:
            return value.to(parameter.device)
        return value

    def _generators(self) -> list[torch.Generator]:
        holders = self.loader, getattr(self.loader, "sampler", None)
        found = [getattr(holder, "generator", None) for holder in holders]
        return [generator for generator in found if isinstance(generator, torch.Generator)]

    def state_dict(self) -> dict[str, Any]:
        """The states of the loader's own random generators."""
        return {"generators": [generator.get_state() for generator in self._generators()]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put the generators back; the next call starts the loader anew."""
        self._batches = None
        for generator, old in zip(self._generators(), state["generators"], strict=True):
            generator.set_state(old)
