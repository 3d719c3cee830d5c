"""Schedules as dicts that JSON can hold, and back."""

from __future__ import annotations

import dataclasses
import inspect
import reprlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, overload

from lrlib._encoding import CLASSES
from lrlib.choosing import CosineCycles, InverseSquareRootDecay
from lrlib.constant import Constant
from lrlib.cosine_annealing import CosineAnnealing
from lrlib.cyclical import Cyclical, CyclicalMomentum
from lrlib.exponential_decay import ExponentialDecay, InverseTimeDecay, PolynomialDecay
from lrlib.one_cycle import OneCycle
from lrlib.pretraining import WSD
from lrlib.schedule import Cooldown, Product, Schedule, Then
from lrlib.step_decay import MultiStepDecay, StepDecay
from lrlib.warm_restarts import WarmRestarts
from lrlib.warmup import InverseSquareRoot, Warmup

Shape = TypeVar("Shape", bound=type[Schedule])

_BUILT_IN: dict[str, type[Schedule]] = {
    shape.__name__: shape
    for shape in (
        *(Then, Product, Cooldown, Constant, StepDecay, MultiStepDecay, ExponentialDecay),
        *(InverseTimeDecay, PolynomialDecay, CosineAnnealing, WarmRestarts, Cyclical),
        *(CyclicalMomentum, OneCycle, Warmup, InverseSquareRoot, WSD, CosineCycles),
        *(InverseSquareRootDecay,),
    )
}
CLASSES.update(_BUILT_IN)


@overload
def register_schedule(shape: Shape, /) -> Shape: ...
@overload
def register_schedule(name: str, /) -> Callable[[Shape], Shape]: ...
def register_schedule(shape_or_name, /):
    """Give a schedule class of your own a name, so that `from_dict` can make it again.

    A decorator, with the class's own name or another one. The class must be a dataclass; its
    fields are its arguments. The program that reads the dict must have registered it as well.

    >>> from dataclasses import dataclass
    >>> import lrlib
    >>> @lrlib.register_schedule
    ... @dataclass(frozen=True)
    ... class Halving(lrlib.Schedule):
    ...     step_size: int
    ...     def formula(self, step):
    ...         return 0.5 ** (step // self.step_size)
    >>> Halving(10).to_dict()
    {'class': 'Halving', 'step_size': 10}
    >>> lrlib.from_dict({"class": "Halving", "step_size": 10})
    Halving(step_size=10)

    ``@lrlib.register_schedule("my_team.Halving")`` chooses the name. A class that is defined
    again, as a notebook's cell does, replaces itself. Raises TypeError for what is no schedule or
    no dataclass; ValueError for a name that another class has.
    """
    if isinstance(shape_or_name, str):
        if not shape_or_name:
            raise ValueError(f"register_schedule: name must not be empty, got {shape_or_name!r}")
        return lambda shape: _register(shape, shape_or_name)
    return _register(shape_or_name, getattr(shape_or_name, "__name__", ""))


def _register(shape: Shape, name: str) -> Shape:
    owner = "register_schedule"
    if not (isinstance(shape, type) and issubclass(shape, Schedule)):
        raise TypeError(f"{owner}: what is registered must be a class of Schedule, got {shape!r}")
    if not dataclasses.is_dataclass(shape) or "__dataclass_fields__" not in vars(shape):
        raise TypeError(f"{owner}: {shape.__name__} must be a dataclass, got {shape!r}")
    fields = {field.name for field in dataclasses.fields(shape) if field.init}
    if set(inspect.signature(shape).parameters) != fields:
        raise TypeError(
            f"{owner}: the constructor of {shape.__name__} must take its fields and nothing else, "
            f"so that it can be made again from them; got {inspect.signature(shape)}"
        )
    known = CLASSES.get(name)
    if known is not None and _place(known) != _place(shape):
        raise ValueError(f"{owner}: name must be a new one, but {name!r} is {known!r}")
    CLASSES[name] = shape
    return shape


def _place(shape: type) -> tuple[str, str]:
    return shape.__module__, shape.__qualname__


def from_dict(data: Mapping[str, Any]) -> Schedule:
    """The schedule that ``shape.to_dict()`` was made of, also after a way through JSON.

    >>> import json, lrlib
    >>> shape = lrlib.Warmup(500).then(lrlib.CosineAnnealing(9_500, min_factor=0.1))
    >>> lrlib.from_dict(json.loads(json.dumps(shape.to_dict()))) == shape
    True

    Written by hand, arguments with a default may be left out:

    >>> lrlib.from_dict({"class": "WSD", "total_steps": 1000, "warmup": 0.01, "cooldown": 0.2})
    WSD(total_steps=1000, warmup=10, cooldown=200, form='1-sqrt', min_factor=0.0)

    Args:
        data: a mapping with the key "class", the name of a schedule of lrlib or of a registered
            one (`register_schedule`), and its arguments; schedules inside are such mappings.

    Raises TypeError if `data` is no mapping, and ValueError for a class or an argument that is
    not known or is missing, each with the names that there are, or mappings nested too deep; and
    whatever the class raises for a bad value.
    """
    try:
        return _made(data)
    except RecursionError:
        raise ValueError(
            f"from_dict: data must be nested less deep, and not hold itself; got "
            f"{reprlib.repr(data)}"
        ) from None


def _made(data: Mapping[str, Any]) -> Schedule:
    if not isinstance(data, Mapping):
        raise TypeError(f"from_dict: data must be a mapping as of to_dict(), got {data!r}")
    if "class" not in data:
        raise ValueError(f'from_dict: data must have a key "class", got {dict(data)!r}')
    name = data["class"]
    if not isinstance(name, str) or name not in CLASSES:
        raise ValueError(
            f'from_dict: "class" must be one of {", ".join(sorted(CLASSES))}, or a name given with '
            f"register_schedule; got {name!r}"
        )
    arguments = {key: value for key, value in data.items() if key != "class"}
    parameters = inspect.signature(CLASSES[name]).parameters
    for key in arguments:
        if key not in parameters:
            known = ", ".join(parameters) or "none"
            raise ValueError(f"from_dict: {name} has the arguments {known}; got {key!r}")
    for key, parameter in parameters.items():
        if parameter.default is parameter.empty and key not in arguments:
            raise ValueError(f"from_dict: {name} needs the argument {key}, got {dict(data)!r}")
    return CLASSES[name](**{key: _decoded(value) for key, value in arguments.items()})


def _decoded(value: object) -> Any:
    if isinstance(value, Mapping):
        return _made(value)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return tuple(_decoded(entry) for entry in value)
    return value
