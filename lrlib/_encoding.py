"""Schedules as dicts: the names of their classes, and what ``Schedule.to_dict()`` makes of them."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

# Name → class, of lrlib's schedules and of the registered ones. `lrlib.serialization` fills it: it
# knows all shapes, and so lies above `lrlib.schedule`, which needs the names.
CLASSES: dict[str, type] = {}


def to_dict(shape: Any, schedule: type) -> dict[str, Any]:
    """As ``shape.to_dict()``, which see; `schedule` is the class `Schedule`."""
    kind = type(shape)
    name = next((name for name, it in CLASSES.items() if it is kind), None)
    if name is None:
        raise TypeError(
            f"to_dict: {kind.__name__} must be registered, so that from_dict finds it by its name: "
            f"decorate the class with lrlib.register_schedule; got {shape!r}"
        )
    out: dict[str, Any] = {"class": name}
    for field in dataclasses.fields(shape):
        if field.init:
            argument = field.metadata.get("argument", field.name)
            value = getattr(shape, field.name)
            out[argument] = _encoded(f"{name}: {argument}", value, schedule)
    return out


def _encoded(what: str, value: object, schedule: type) -> Any:
    """`value` as JSON has it; `what` names it in messages."""
    if isinstance(value, schedule):
        return to_dict(value, schedule)
    if isinstance(value, tuple):
        return [_encoded(what, entry, schedule) for entry in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool):
        return value
    # Plain numbers and text, also where an enumeration or another subclass had them.
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"to_dict: {what} must be finite, since JSON has no {value!r}")
        return float(value)
    if isinstance(value, str):
        return str.__str__(value)
    raise TypeError(
        f"to_dict: {what} must be a number, text, True, False, None, a schedule or a tuple of such "
        f"(not a list, which a schedule could not be compared and hashed with), got {value!r}"
    )
