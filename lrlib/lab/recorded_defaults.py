"""The recordings of chapter 15: the defaults that textbooks list, each beside its rivals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lrlib import Constant, CosineAnnealing, PolynomialDecay, Schedule, Warmup
from lrlib.lab.control import PPO, shortfall
from lrlib.lab.models import Task
from lrlib.lab.recorded_streams import FINE_TUNING, FIRST_PEAKS, StreamRecording
from lrlib.lab.recordings import RECORDINGS, WINDOWS, Recording
from lrlib.lab.vit import vit_task


@dataclass(frozen=True)
class VisionRecording(Recording):
    """A `Recording` of `vit_task`."""

    code: tuple[str, ...] = ("lab/vit.py",)

    def made_task(self) -> Task:
        return vit_task(**self.settings)


@dataclass(frozen=True)
class ControlRecording(Recording):
    """A `Recording` of `PPO`, of which `settings` are the arguments and `steps` the updates.

    Its metrics are "val_return" and "test_return", of the greedy policy at every evaluation, and
    "val_shortfall" and "test_shortfall", by which runs are judged (see `shortfall`).
    """

    code: tuple[str, ...] = ("lab/control.py",)

    def made_task(self) -> Any:
        return PPO(**self.settings)

    def train(
        self, task: Any, shape: str, seed: int, peaks: Sequence[float], steps: int | None = None
    ) -> dict[str, np.ndarray]:
        each = task.epochs * task.minibatches
        iterations = None if steps is None else -(-steps // each)
        runs = [task.run(self.shapes[shape], peak, seed, iterations=iterations) for peak in peaks]
        kept: dict[str, Any] = {"first_losses": [], "train_loss": []}
        for run in runs:
            # Two iterations: a little later, another processor's rounding may choose another
            # action.
            kept["first_losses"].append(run.losses[: 2 * each])
            windows = np.array_split(run.losses, min(WINDOWS, len(run.losses)))
            kept["train_loss"].append([window.mean() for window in windows])
        kept = {name: np.array(values, np.float32) for name, values in kept.items()}
        for split in ("val", "test"):
            returns = np.stack([getattr(run, split) for run in runs])
            kept |= {f"{split}_return": returns, f"{split}_shortfall": shortfall(returns)}
        return kept


def _rise(steps: int) -> Schedule:
    return Warmup(steps, start_factor=1 / (steps + 1))


# --- vision: a cosine after five epochs of warm-up of ninety; the league has the line

SHARE = 5 / 90


def _risen(steps: int) -> Schedule:
    rise = round(SHARE * steps)
    return _rise(rise).then(CosineAnnealing(steps - rise))


_CONVNET = RECORDINGS["convnet"]
# Beside the recording "convnet", whose seeds and grids these are.
RECORDINGS["convnet_warmup"] = Recording(
    task="images",
    settings=_CONVNET.settings,
    shapes={"warm-up, cosine": _risen(_CONVNET.steps)},
    peaks={"warm-up, cosine": _CONVNET.peaks["cosine"]},
    seeds=_CONVNET.seeds,
    steps=_CONVNET.steps,
    batch_size=_CONVNET.batch_size,
    data_files=_CONVNET.data_files,
)

_VIT_STEPS = 500
_VIT_SHAPES: dict[str, Schedule] = {
    "constant": Constant(),
    "cosine": CosineAnnealing(_VIT_STEPS),
    "warm-up, cosine": _risen(_VIT_STEPS),
}
RECORDINGS["vit"] = VisionRecording(
    task="vit",
    shapes=_VIT_SHAPES,
    peaks=dict.fromkeys(_VIT_SHAPES, (0.001, 0.002, 0.004, 0.008, 0.016, 0.032))
    | {"constant": (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016)},
    seeds=5,
    steps=_VIT_STEPS,
    batch_size=32,
    data_files=("mnist5k.npz",),
    optimizer={"optimizer": "adamw"},
)

# --- language: one or two per cent of warm-up, then a cosine

_LANGUAGE_STEPS = 500
_START = _LANGUAGE_STEPS // 50
_LANGUAGE: dict[str, Schedule] = {
    "constant": Constant(),
    "cosine": CosineAnnealing(_LANGUAGE_STEPS),
    "warm-up 2 %, constant": _rise(_START).then(Constant()),
    "warm-up 2 %, cosine": _rise(_START).then(CosineAnnealing(_LANGUAGE_STEPS - _START)),
}
# The recording "transformer" has real text, and shapes that all rise for 5 % of the run.
RECORDINGS["language_warmup"] = Recording(
    task="language",
    settings={"depth": 2},
    shapes=_LANGUAGE,
    peaks={
        name: (0.004, 0.008, 0.016, 0.032, 0.064)
        if name.endswith("constant")
        else (0.008, 0.016, 0.032, 0.064, 0.128)
        for name in _LANGUAGE
    },
    seeds=8,
    steps=_LANGUAGE_STEPS,
    batch_size=16,
    data_files=(),
    optimizer={"optimizer": "adamw"},
    together=True,
    code=("lab/language.py",),
)

# --- fine-tuning: a constant rate, beside the lines of the recording "fine_tuning"

_TUNED = RECORDINGS["fine_tuning"]
_FIRST, _PEAK = _TUNED.settings["first"], FIRST_PEAKS["line"]


def _held(rate: float) -> Schedule:
    """A finished line, then `rate`, after the ten steps of warm-up that the lines have."""
    first = _rise(40).then(PolynomialDecay(_FIRST - 40))
    return first.then(Constant(rate / _PEAK) * _rise(10).then(Constant()))


_HELD: Mapping[str, Schedule] = {f"held {rate:g}": _held(rate) for rate in FINE_TUNING}
RECORDINGS["fine_tuning_constant"] = StreamRecording(
    task=_TUNED.task,
    settings=_TUNED.settings,
    shapes=_HELD,
    peaks=dict.fromkeys(_HELD, (_PEAK,)),
    seeds=8,
    steps=_TUNED.steps,
    batch_size=_TUNED.batch_size,
    optimizer=_TUNED.optimizer,
    evaluations=_TUNED.evaluations,
    data_files=(),
    together=True,
)

# --- reinforcement learning: a constant rate or a line

_POLE = PPO()
_FALLS: dict[str, Schedule] = {
    "constant": Constant(),
    "linear": PolynomialDecay(_POLE.updates),
    "cosine": CosineAnnealing(_POLE.updates),
    "WSD 20 %": Constant(total_iters=_POLE.updates * 4 // 5).then(
        PolynomialDecay(_POLE.updates // 5)
    ),
}
RECORDINGS["ppo"] = ControlRecording(
    task="pole",
    shapes=_FALLS,
    peaks=dict.fromkeys(_FALLS, (0.0028, 0.0056, 0.0112, 0.0224, 0.0448))
    | {"constant": (0.001, 0.002, 0.004, 0.008, 0.016)}
    | {"WSD 20 %": (0.0007, 0.0014, 0.0028, 0.0056, 0.0112)},
    seeds=16,
    steps=_POLE.updates,
    batch_size=_POLE.environments * _POLE.horizon // _POLE.minibatches,
    data_files=(),
    optimizer={"optimizer": "adam", "eps": 1e-5},
    evaluations=_POLE.evaluations,
)
