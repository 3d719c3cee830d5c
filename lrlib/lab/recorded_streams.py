"""The recordings of chapter 13: one source of data, then another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lrlib import Constant, PolynomialDecay, Schedule, Warmup
from lrlib.lab.models import Task
from lrlib.lab.recordings import RECORDINGS, Recording
from lrlib.lab.streams import continual_task


@dataclass(frozen=True)
class StreamRecording(Recording):
    """A `Recording` of `continual_task`."""

    code: tuple[str, ...] = ("lab/language.py", "lab/streams.py")

    def made_task(self) -> Task:
        return continual_task(**self.settings)


def _rise(steps: int) -> Schedule:
    return Warmup(steps, start_factor=1 / (steps + 1))


def _finish(steps: int, form: str) -> Schedule:
    """A run of so many steps that ends as its name says, after 40 steps of warm-up."""
    left = steps - 40
    last = {"constant": 0, "cooldown": steps // 5, "line": left}[form]
    shape = _rise(40).then(Constant(total_iters=left - last))
    return shape.then(PolynomialDecay(last)) if last else shape


# Peaks placed by pilot runs of other seeds: what a run that ends so wants on the first source.
FIRST_PEAKS = {"constant": 0.011, "cooldown": 0.02, "line": 0.028}
FINE_TUNING = (0.004, 0.008, 0.016, 0.032, 0.064)  # rates


def _fine_tuning(first: int, then: int) -> dict[str, Any]:
    """Every start × every rate of the second run, each a shape with one peak."""
    shapes, peaks = {}, {}
    for start, peak in FIRST_PEAKS.items():
        for rate in FINE_TUNING:
            again = Constant(rate / peak) * _rise(10).then(PolynomialDecay(then - 10))
            shapes[f"{start} {rate:g}"] = _finish(first, start).then(again)
            peaks[f"{start} {rate:g}"] = (peak,)
    return {"shapes": shapes, "peaks": peaks}


SHARES = (1.0, 0.3, 0.1)


def _to_code(first: int, then: int) -> dict[str, Any]:
    """A finished line re-warmed to shares of its peak; and a rate held, cooled at the very end."""
    shapes: dict[str, Schedule] = {
        f"re-warmed to {share:g}": _finish(first, "line").then(
            Constant(share) * _rise(20).then(PolynomialDecay(then - 20))
        )
        for share in SHARES
    }
    last = then // 5
    shapes["held"] = _finish(first, "constant").then(
        Constant(total_iters=then - last).then(PolynomialDecay(last))
    )
    peaks = dict.fromkeys(shapes, (0.0226,)) | {"held": (0.0113,)}
    return {"shapes": shapes, "peaks": peaks}


def _stream(kind: str, first: int, then: int, replay: float = 0.0) -> dict[str, Any]:
    settings = {"kind": kind, "first": first, "then": then, "replay": replay}
    return {
        "task": "continual",
        "settings": settings,
        "steps": first + then,
        "batch_size": 16,
        "optimizer": {"optimizer": "adamw"},
    }


_TEXTS = ("pydocs.npz", "pycode.npz")
RECORDINGS["fine_tuning"] = StreamRecording(
    **_stream("language", 800, 200),
    **_fine_tuning(800, 200),
    seeds=12,
    evaluations=5,
    data_files=(),
    together=True,
)
RECORDINGS["to_code"] = StreamRecording(
    **_stream("text", 500, 300), **_to_code(500, 300), seeds=4, evaluations=16, data_files=_TEXTS
)
RECORDINGS["to_code_replay"] = StreamRecording(
    **_stream("text", 500, 300, replay=0.05),
    **_to_code(500, 300),
    seeds=4,
    evaluations=16,
    data_files=_TEXTS,
)
