"""Chapter 12: shapes from functions, and parameter groups with a rate for every layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lrlib import _checks
from lrlib.schedule import Schedule

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class FromFunction(Schedule):
    """A shape from any function of the step, such as the lambda that a LambdaLR was given.

    >>> shape = FromFunction(lambda t: 1 / (1 + t), total_iters=3)
    >>> [shape(t) for t in (0, 1, 3, 100)]
    [1.0, 0.5, 0.25, 0.25]

    Args:
        function: step -> factor, a pure function of the step: an int in, a finite number of at
            least 0 out. It is asked for steps in any order.
        total_iters: the step whose factor is held from then on, at least 0; None, the default, for
            a shape without an end.

    Two are equal if they hold the same function. `to_dict` refuses it: for a configuration write
    a class (see `Schedule`). Raises TypeError or ValueError for bad arguments, and when a step is
    asked for whose factor is no number, not finite or below 0.
    """

    function: Callable[[int], float]
    total_iters: int | None = None

    def __post_init__(self) -> None:
        owner = "FromFunction"
        if not callable(self.function) or isinstance(self.function, type):
            raise TypeError(
                f"{owner}: function must be a function of the step, got {self.function!r}"
            )
        if self.total_iters is not None:
            total_iters = _checks.integer(owner, "total_iters", self.total_iters, minimum=0)
            object.__setattr__(self, "total_iters", total_iters)

    @property
    def length(self) -> int | None:
        return self.total_iters

    def formula(self, step: int) -> float:
        return self.function(step)


def layer_groups(
    model: nn.Module,
    lr: float,
    ratio: float,
    *,
    layers: Sequence[Any] | None = None,
    weight_decay: float | None = None,
    no_decay: Callable[[str, nn.Parameter], bool] | None = None,
) -> list[dict[str, Any]]:
    """Parameter groups in which every layer has `ratio` times the rate of the layer above it.

    Of L layers the last, nearest the output, has the rate `lr`, layer l the rate
    ``lr * ratio ** (L - 1 - l)``: with a ratio below 1 the layers near the input change least,
    above 1 most, with 1 all alike. Hand the groups to an optimizer, and that to a `ScheduledLR`.

    >>> from torch import nn
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.Linear(8, 2))
    >>> [(g["layer"], g["lr"]) for g in layer_groups(model, lr=0.1, ratio=0.5)]
    [(0, 0.025), (1, 0.05), (2, 0.1)]

    Args:
        model: its parameters are put into groups, each into exactly one. Frozen ones too, so that
            they can be unfrozen later; the optimizer passes over them until then.
        lr: the rate of the last layer, at least 0.
        ratio: of the rates of two neighbouring layers, above 0.
        layers: the layers, input first; each a module, a parameter, or a list of such. By default
            the modules of the model in their order, ``nn.Sequential`` and ``nn.ModuleList`` opened,
            those without parameters left out.
        weight_decay: of the weights, at least 0. A layer then has up to two groups, the second
            with ``weight_decay=0``. None, the default, leaves it to the optimizer.
        no_decay: ``no_decay(name, parameter)`` says whether a parameter is spared; by default
            those with fewer than two dimensions are, that is biases and the scales of norms.

    Each group has "params", "lr", "layer" (its number, from 0) and, if it is given,
    "weight_decay". A parameter that two layers share (tied weights) belongs to the first of them.
    For a shape per layer: ``ScheduledLR(optimizer, [shapes[g["layer"]] for g in groups])``.

    Raises TypeError or ValueError for bad arguments; ValueError that names the parameters if some
    are in no layer, or in `layers` but not in the model. Source: Howard and Ruder (2018), Universal
    language model fine-tuning for text classification, discriminative fine-tuning (ratio 1/2.6).
    """
    from torch import nn

    owner = "layer_groups"
    if not isinstance(model, nn.Module):
        raise TypeError(f"{owner}: model must be a torch module, got {model!r:.200}")
    lr = _checks.number(owner, "lr", lr, minimum=0)
    ratio = _checks.number(owner, "ratio", ratio, above=0)
    if weight_decay is not None:
        weight_decay = _checks.number(owner, "weight_decay", weight_decay, minimum=0)
    elif no_decay is not None:
        raise ValueError(f"{owner}: no_decay needs weight_decay, got weight_decay=None")
    parts = _assigned(owner, model, list(_opened(model)) if layers is None else layers)
    spared = no_decay or (lambda name, parameter: parameter.ndim < 2)
    groups: list[dict[str, Any]] = []
    for layer, named in enumerate(parts):
        rate = lr * ratio ** (len(parts) - 1 - layer)
        if weight_decay is None:
            kinds = [({}, list(named.values()))]
        else:
            kinds = [
                ({"weight_decay": decay}, [p for n, p in named.items() if spared(n, p) is spare])
                for decay, spare in ((weight_decay, False), (0.0, True))
            ]
        groups += [
            {"params": params, "lr": rate, "layer": layer, **decay}
            for decay, params in kinds
            if params
        ]
    return groups


def _opened(module: nn.Module) -> Iterator[nn.Module]:
    """The modules inside, in their order, those of plain containers in place of the container."""
    from torch import nn

    for child in module.children():
        if isinstance(child, nn.Sequential | nn.ModuleList):
            yield from _opened(child)
        elif any(True for _ in child.parameters()):
            yield child


def _assigned(owner: str, model: nn.Module, layers: object) -> list[dict[str, nn.Parameter]]:
    """Name -> parameter for every layer: each parameter of the model in exactly one."""
    if not isinstance(layers, list | tuple) or not layers:
        raise TypeError(f"{owner}: layers must be a list of modules, input first, got {layers!r}")
    names = {id(p): name for name, p in model.named_parameters()}
    left = dict(names)
    parts = []
    for layer in layers:
        own: dict[str, nn.Parameter] = {}
        for parameter in _parameters(owner, layer):
            if id(parameter) not in names:
                raise ValueError(
                    f"{owner}: layers must hold parameters of the model alone, got one of shape "
                    f"{tuple(parameter.shape)} that is not in it"
                )
            if left.pop(id(parameter), None) is not None:  # else an earlier layer has it
                own[names[id(parameter)]] = parameter
        parts.append(own)
    if left:
        raise ValueError(
            f"{owner}: layers must hold every parameter of the model, and these are in none: "
            f"{', '.join(left.values())}; give layers=[[model.embedding, …], *model.blocks, …]"
        )
    return parts


def _parameters(owner: str, layer: Any) -> Iterator[nn.Parameter]:
    from torch import nn

    if isinstance(layer, nn.Parameter):
        yield layer
    elif isinstance(layer, nn.Module):
        yield from layer.parameters()
    elif isinstance(layer, list | tuple):
        for part in layer:
            yield from _parameters(owner, part)
    else:
        raise TypeError(
            f"{owner}: layers must hold modules, parameters or lists of such, got {layer!r:.200}"
        )
