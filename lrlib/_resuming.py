"""The saved states of schedulers: reading them, ours and torch's, and comparing the schedules."""

from __future__ import annotations

import hashlib
import math
import operator
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from lrlib import _optimizers
from lrlib.schedule import Schedule

Shapes = Schedule | tuple[Schedule, ...]
COMPARED = 2_000  # so many steps of the past are compared, all of them if there are no more


@dataclass
class State:
    """What a saved state says, in one form for all schedulers."""

    last_epoch: int
    base: dict[str, list[float]]
    shapes: dict[str, Any] = field(default_factory=dict)
    past: dict[str, Any] = field(default_factory=dict)
    uncounted: int = 0  # what an update that no step() had counted yet adds to the counter
    by: int = 0  # what a call of step() added, 0 if that is not known
    floors: list[float] | None = None  # of the rates, None if the state does not say
    ahead: int = 0  # 1 where a wrapper moves the counter on before the update, not after it
    last_lr: list[float] | None = None  # of another scheduler: the rates it would go on with
    plateau: Mapping[str, Any] | None = None  # what a PlateauLR's rule had seen
    foreign: bool = False


def parse(state: Any) -> State:
    """Read a state of ScheduledLR or of one of torch's schedulers; ValueError if it is neither."""
    if isinstance(state, Mapping) and "base" not in state:
        _refuse_without_counter(state)
    try:
        parsed = _parse_torch(state) if "base" not in state else _parse_own(state)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"ScheduledLR: state_dict must come from ScheduledLR.state_dict() or a scheduler of "
            f"torch, got {state!r:.500}"
        ) from error
    groups = len(parsed.base.get("lr", ()))
    for name, values in parsed.base.items():
        if len(values) != groups or not all(0 <= value < math.inf for value in values):
            raise ValueError(
                f"ScheduledLR: state_dict must hold one finite base {name} of at least 0 for "
                f"each of its {groups} group(s), got {values!r}"
            )
    if parsed.last_epoch < 0 or parsed.uncounted < 0:
        raise ValueError(f"ScheduledLR: last_epoch must be at least 0, got {parsed.last_epoch}")
    return parsed


def _parse_own(state: Mapping[str, Any]) -> State:
    floors = state.get("min_lr")
    base = {name: [float(v) for v in vs] for name, vs in state["base"].items()}
    return State(
        last_epoch=operator.index(state["last_epoch"]),
        base={"lr": base["lr"], **base},  # without one it is no state
        shapes={name: text(value) for name, value in state["shapes"].items()},
        past=dict(state.get("past", {})),
        uncounted=operator.index(state.get("uncounted", 0)),
        by=operator.index(state.get("by", 0)),
        floors=None if floors is None else [float(floor) for floor in floors],
        ahead=operator.index(state.get("ahead", 0)),
        plateau=state.get("plateau"),
    )


def _parse_torch(state: Mapping[str, Any]) -> State:
    peaks, last_lr = _optimizers.rates_in_state(state)
    return State(
        last_epoch=operator.index(state["last_epoch"]),
        base={} if peaks is None else {"lr": peaks},
        last_lr=last_lr,
        foreign=True,
    )


def _refuse_without_counter(state: Mapping[str, Any]) -> None:
    """ValueError for the states of torch's schedulers that count no updates."""
    instead = "build ScheduledLR(optimizer, shape, start=<updates made>) instead"
    if "num_bad_epochs" in state:
        raise ValueError(
            f"ScheduledLR: state_dict is of ReduceLROnPlateau, which counts evaluations; "
            f"{instead}; or load the optimizer's state, build PlateauLR(optimizer, shape, "
            f"start=<updates made>), and its rule.load_state_dict takes this state"
        )
    if "_schedulers" in state and "last_epoch" not in state:
        raise ValueError(
            f"ScheduledLR: state_dict is of ChainedScheduler, which has no counter of its own; "
            f'load the state of one of its schedulers, state_dict["_schedulers"][0], or {instead}'
        )


def text(shape: Shapes | str | Sequence[str]) -> str | list[str]:
    """The repr of a schedule, or of each, without memory addresses (another in every run)."""
    if isinstance(shape, list | tuple):
        return [_text(part) for part in shape]
    return _text(shape)


def _text(shape: object) -> str:
    return re.sub(r" at 0x[0-9a-fA-F]+", "", shape if isinstance(shape, str) else repr(shape))


def past(shape: Shapes, step: int) -> Any:
    """A digest of the factors before `step`, one per schedule, to compare two schedules' pasts.

    All steps enter it up to `COMPARED`; of a longer past, as many, evenly spread. None where the
    schedule has no factor.
    """
    if isinstance(shape, tuple):
        return [past(part, step) for part in shape]
    n = min(step, COMPARED)
    try:
        factors = [shape(i * step // n) for i in range(n)]
    except (ValueError, TypeError):
        return None
    return hashlib.blake2b(struct.pack(f"<{n}d", *factors), digest_size=16).hexdigest()


def differences(
    state: State, shapes: dict[str, Shapes], base: dict[str, list[float]], count: int
) -> tuple[list[str], list[str]]:
    """What to say on resuming from `state` at `count`: warnings, and notes."""
    warn, note = [], []
    if state.foreign:
        note.append(f"ScheduledLR: the counter of another scheduler is taken over, {count}")
    else:
        for name in dict.fromkeys([*state.shapes, *shapes]):
            was, now = state.shapes.get(name), None
            if name in shapes:
                now = text(shapes[name])
            if was == now:
                continue
            message = (
                f"ScheduledLR: resuming at step {count} with another schedule of {name}: "
                f"saved {was}, now {now}"
            )
            digest = state.past.get(name)
            if digest is None or name not in shapes:
                warn.append(message)
            elif past(shapes[name], state.last_epoch) == digest:
                note.append(f"{message}; up to here they are the same")
            else:
                warn.append(f"{message}; the past would have been different under it")
    for name, values in base.items():
        if name in state.base and state.base[name] != values:
            warn.append(f"ScheduledLR: the saved base {name} {state.base[name]} replaces {values}")
    return warn, note


def other_floors(state: State, floors: list[float], count: int) -> list[str]:
    """A warning where the saved run had other floors under its rates."""
    if state.floors is None or state.floors == floors:
        return []
    return [
        f"ScheduledLR: resuming at step {count} with another min_lr: saved {state.floors}, now "
        f"{floors}"
    ]


def lost_plateau(state: State, count: int) -> list[str]:
    """A warning where the rates of the saved run had fallen on a plateau."""
    if state.plateau is None:
        return []
    return [
        f"ScheduledLR: resuming at step {count} without the plateau rule of the saved run, whose "
        f"drops had multiplied the rates by {state.plateau.get('level')!r}; to go on with it, load "
        f"the state into a PlateauLR"
    ]


def jump(step: int, theirs: list[float], rates: list[float]) -> list[str]:
    """A warning where the rates do not go on as the other scheduler, at `step`, would have."""
    if np.shape(theirs) != np.shape(rates) or np.allclose(theirs, rates, rtol=1e-5, atol=0):
        return []
    return [
        f"ScheduledLR: the other scheduler, at its step {step}, would have gone on "
        f"with the rates {theirs}, this one goes on with {rates}: another schedule, another peak, "
        f"or it counted something else than updates (epochs, say; then start=<updates> is right)"
    ]


def falls_to_its_end(shape: Schedule) -> int | None:
    """The step at which a schedule ends that falls until then; None if there is no such step.

    A warm-up or a staircase holds its last value as a matter of course; to train on after a decay
    has come to its end is most often a mistake.
    """
    end = shape.length
    if not end:
        return None
    apart = max(1, end // 1_000)  # wide enough for the flat foot of a cosine
    if end == 1:
        return end if shape(end) == 0 else None
    # Some reach their last value one step before their end.
    before = [shape(end - i * apart) for i in range(min(4, end + 1))]
    falls = all(a < b for a, b in pairwise(before[1:]))
    return end if before[0] <= before[1] and falls else None
