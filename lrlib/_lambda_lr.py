"""Schedules as the function of torch's LambdaLR, whose checkpoints would rewrite them."""

from __future__ import annotations

from functools import cached_property
from typing import Any


class _Fields(dict):
    """What ``vars(schedule)`` shows: the fields, to read; writing here changes no schedule.

    Except for what a ``cached_property`` of a schedule has computed: it writes it here, to be kept.
    """

    def __init__(self, owner: _HasAttributes) -> None:
        super().__init__(_attributes(owner))
        self._owner = owner

    def __setitem__(self, name: str, value: object) -> None:
        super().__setitem__(name, value)
        if isinstance(getattr(type(self._owner), name, None), cached_property):
            _attributes(self._owner)[name] = value

    def copy(self) -> dict[str, Any]:
        """Nothing: LambdaLR saves this, and a schedule is built by the program, not loaded."""
        return {}


class _HasAttributes:
    """Has the plain ``__dict__`` that `Unsaved` hides."""


_attributes = vars(_HasAttributes)["__dict__"].__get__


class Unsaved(_HasAttributes):
    """Hides the attributes from ``LambdaLR(optimizer, schedule)``.

    LambdaLR puts a copy of the ``__dict__`` of a callable object into its state, and on resuming
    updates the object's ``__dict__`` from it: a frozen schedule would be changed, under whoever
    else uses it, and a nested one would need pickle to be loaded. So what is copied is empty.
    """

    # For the type checker `object` has an attribute of this name, and Python lets a class hide it.
    @property
    def __dict__(self) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return _Fields(self)

    # copy and pickle read the attributes themselves.
    def __getstate__(self) -> dict[str, Any]:
        return dict(_attributes(self))

    def __setstate__(self, state: dict[str, Any]) -> None:
        _attributes(self).update(state)
