"""The recordings of chapter 14: runs that differ in more than their schedule and peak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from lrlib import CosineAnnealing, PolynomialDecay, Warmup
from lrlib.lab.models import Task
from lrlib.lab.ramps import BatchRamp
from lrlib.lab.recordings import RECORDINGS, Recording
from lrlib.lab.widths import width_task


@dataclass(frozen=True)
class VariedRecording(Recording):
    """A `Recording` in which a shape's name may also stand for other settings.

    `own` maps names of shapes to the attributes of `Recording` that they have instead, such as
    ``{"decay 0.1": {"optimizer": {…}}}``.
    """

    own: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def configuration(self) -> dict[str, object]:
        own = {name: dict(settings) for name, settings in self.own.items()}
        return super().configuration() | {"own": own}

    def made_task(self) -> Task:
        if self.task == "width":
            return width_task(**self.settings)
        return super().made_task()

    def of(self, shape: str, steps: int | None = None) -> Recording:
        """The recording of that shape alone, or of its first steps, with its own settings."""
        given = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "own"}
        given |= dict(self.own.get(shape, {}))
        ramp = self.shapes[shape]
        if isinstance(ramp, BatchRamp):  # its batches are its own, and so is their number
            given |= {"steps": len(ramp.sizes), "batch_size": ramp.sizes[:steps]}
        return type(self)(**given)

    def train(
        self, task: Task, shape: str, seed: int, peaks: Sequence[float], steps: int | None = None
    ) -> dict[str, np.ndarray]:
        alone = self.of(shape, steps)
        if alone.settings != self.settings:
            task = alone.made_task()
        return Recording.train(alone, task, shape, seed, peaks, steps)


def _doubling(lowest: float, count: int) -> tuple[float, ...]:
    return tuple(lowest * 2**k for k in range(count))


# --- one network at many widths

WIDTHS = (32, 64, 128, 256)
_WIDE = {
    f"{kind}, width {width}": {"width": width, "maximal_update": kind == "μP"}
    for kind in ("standard", "μP")
    for width in WIDTHS
}
RECORDINGS["widths"] = VariedRecording(
    task="width",
    settings={"width": 32},
    shapes=dict.fromkeys(_WIDE, PolynomialDecay(400)),
    peaks=dict.fromkeys(_WIDE, _doubling(0.002, 7)),
    own={name: {"settings": settings} for name, settings in _WIDE.items()},
    seeds=16,
    steps=400,
    batch_size=32,
    optimizer={"optimizer": "adamw"},
    evaluations=4,
    data_files=("mnist1d.npz",),
    together=True,
    code=("lab/widths.py",),
)

# --- weight decay and rate, on real text

DECAYS = (0.0, 0.0125, 0.025, 0.05, 0.1, 0.2, 0.4)
_DECAYED = {f"decay {decay:g}": decay for decay in DECAYS}
# A transformer of 20,000 parameters, which is shown a million characters.
RECORDINGS["decay_grid"] = VariedRecording(
    task="text",
    settings={"context": 32, "depth": 1, "width": 32, "heads": 2},
    shapes=dict.fromkeys(_DECAYED, Warmup(100, start_factor=1 / 101).then(PolynomialDecay(1900))),
    peaks=dict.fromkeys(_DECAYED, _doubling(0.00375, 6)),
    own={
        name: {"optimizer": {"optimizer": "adamw", "weight_decay": decay}}
        for name, decay in _DECAYED.items()
    },
    seeds=4,
    steps=2000,
    batch_size=16,
    data_files=("pydocs.npz",),
)

# --- a batch that grows in place of a rate that falls

_RAMPS = {"root": BatchRamp(2000, power=0.5), "held rate": BatchRamp(2000, power=0.0)}
RECORDINGS["batch_ramp"] = VariedRecording(
    task="mnist1d",
    shapes={"cosine": CosineAnnealing(2000), **_RAMPS},
    peaks=dict.fromkeys(("cosine", *_RAMPS), _doubling(0.001, 6)),
    seeds=64,
    steps=2000,
    batch_size=16,
    optimizer={"optimizer": "adamw"},
    evaluations=1,
    data_files=("mnist1d.npz",),
    together=True,
    code=("lab/ramps.py",),
)
