"""Runs too long for a chapter: trained once by `make record`, kept in data/recorded/.

A recording is two files: ``<name>.npz`` with the numbers, and ``<name>.json`` with all that made
them: the configuration, the versions, the kind of machine, hashes of code and data. `recorded`
loads one and says if it is stale.
"""

from __future__ import annotations

import ast
import hashlib
import io
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import lrlib
from lrlib import (
    Constant,
    CosineAnnealing,
    MultiStepDecay,
    OneCycle,
    PolynomialDecay,
    Schedule,
    Warmup,
    _checks,
)
from lrlib.lab import data
from lrlib.lab.models import Task, task
from lrlib.lab.results import Results
from lrlib.lab.sweep import sweep

FIRST = 100  # steps whose every training loss is kept, for a retraining to be compared with
WINDOWS = 50  # over the run, the mean training loss of each is kept
# The modules whose code decides a recorded number, relative to the package.
_CODE = (
    *("schedule.py", "constant.py", "step_decay.py", "exponential_decay.py"),
    *("cosine_annealing.py", "cyclical.py", "one_cycle.py", "warmup.py"),
    *("lab/data.py", "lab/models.py", "lab/_stacked.py"),
    *("lab/sweep/batching.py", "lab/sweep/examples.py", "lab/sweep/optimizers.py"),
    *("lab/sweep/parts.py", "lab/sweep/plan.py", "lab/sweep/processes.py"),
    *("lab/sweep/run.py", "lab/sweep/work.py"),
)


class StaleRecording(UserWarning):
    """A recording was made by other code, data or settings than those that are here now."""


@dataclass(frozen=True)
class Recording:
    """What to train: every schedule × peak × seed, in units of one schedule and one seed.

    `task` and `settings` are the arguments of `lab.task`; `shapes` maps names to schedules and
    `peaks` each name to its grid, all of one length; `optimizer` are further arguments of
    `lab.sweep`; evaluations lie `evaluations` times evenly over the run, the last at its end;
    `data_files` are those in data/ that the task reads; `together` trains the peaks of a
    unit as one stack, which suits an MLP (larger networks are faster one by one); `code` are
    further modules that decide its numbers, relative to the package.
    """

    task: str
    shapes: Mapping[str, Schedule]
    peaks: Mapping[str, tuple[float, ...]]
    seeds: int
    steps: int
    batch_size: int
    data_files: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    optimizer: Mapping[str, Any] = field(default_factory=dict)
    evaluate: tuple[str, ...] = ("val", "test")
    evaluations: int = 10
    together: bool = False
    code: tuple[str, ...] = ()

    @property
    def eval_steps(self) -> list[int]:
        return [self.steps * i // self.evaluations for i in range(1, self.evaluations + 1)]

    def configuration(self) -> dict[str, object]:
        """All of it, as JSON keeps it: two recordings with one configuration train the same."""
        return {
            "task": self.task,
            "settings": dict(self.settings),
            "shapes": {name: repr(shape) for name, shape in self.shapes.items()},
            "peaks": {name: list(self.peaks[name]) for name in self.shapes},
            "seeds": list(range(self.seeds)),
            "steps": self.steps,
            "batch_size": self.batch_size,
            "optimizer": dict(self.optimizer),
            "evaluate": list(self.evaluate),
            "eval_steps": self.eval_steps,
        }

    def made_task(self) -> Task:
        return task(self.task, **self.settings)

    def train(
        self, task: Task, shape: str, seed: int, peaks: Sequence[float], steps: int | None = None
    ) -> dict[str, np.ndarray]:
        """Train some peaks of one schedule and seed, or their first `steps`, on `made_task()`.

        Returns what is kept of them, by name, each (peaks, …).
        """
        if not self.together and len(peaks) > 1:
            each = [self.train(task, shape, seed, [peak], steps) for peak in peaks]
            return {key: np.concatenate([kept[key] for kept in each]) for key in each[0]}
        steps = self.steps if steps is None else steps
        result = sweep(
            task,
            {shape: self.shapes[shape]},
            peaks,
            [seed],
            steps=steps,
            batch_size=self.batch_size,
            eval_steps=[step for step in self.eval_steps if step <= steps] or [steps],
            evaluate=self.evaluate,
            device="cpu",
            progress=False,
            **self.optimizer,
        )
        loss = result.train_loss[0, :, 0]
        windows = np.array_split(loss, min(WINDOWS, steps), axis=-1)
        kept = {
            "first_losses": loss[..., :FIRST].astype(np.float32),
            "train_loss": np.stack([w.mean(-1) for w in windows], -1).astype(np.float32),
        }
        return kept | {name: values[0, :, 0] for name, values in result.metrics.items()}


@dataclass(frozen=True, eq=False)
class Recorded(Results):
    """A recording: `Results`, and

    Attributes:
        train_loss: float32, (schedules, peaks, seeds, windows): the mean training loss of each
            of the equal windows that the run is cut into.
        first_losses: float32, (schedules, peaks, seeds, steps): that of each of the first steps.
        about: what the JSON file says: configuration, versions, machine, date, hashes.
    """

    train_loss: np.ndarray
    first_losses: np.ndarray
    about: dict[str, Any]

    def arrays(self) -> dict[str, np.ndarray]:
        """All that is kept, by name, each (schedules, peaks, seeds, …)."""
        kept = {"train_loss": self.train_loss, "first_losses": self.first_losses}
        return kept | self.metrics


def _shapes(steps: int, warmup: int = 0) -> dict[str, Schedule]:
    """The nine rivals of the recorded runs; `warmup` steps rise to the peak, but for one-cycle."""

    def cooldown(share: float) -> Schedule:
        last = round(share * steps)
        return Constant(total_iters=steps - warmup - last).then(PolynomialDecay(last))

    left = steps - warmup
    shapes: dict[str, Schedule] = {
        "constant": Constant(),
        "one drop": MultiStepDecay([round(0.8 * steps) - warmup]),
        "linear": PolynomialDecay(left),
        "cosine": CosineAnnealing(left),
        "cosine to 10 %": CosineAnnealing(left, 0.1),
        "cooldown 10 %": cooldown(0.1),
        "cooldown 20 %": cooldown(0.2),
        "cooldown 40 %": cooldown(0.4),
    }
    if warmup:
        rise = Warmup(warmup, start_factor=1 / (warmup + 1))
        shapes = {name: rise.then(shape) for name, shape in shapes.items()}
    return shapes | {"one-cycle": OneCycle(steps)}


def _grids(middle: Mapping[str, float], ratio: float, points: int) -> dict[str, tuple[float, ...]]:
    """Grids of `points` peaks, a factor `ratio` apart, around the middle of each schedule."""
    powers = np.arange(points) - (points - 1) / 2
    return {
        name: tuple(float(f"{peak * ratio**k:.3g}") for k in powers)
        for name, peak in middle.items()
    }


_ENDING = ("one drop", "linear", "cosine", "cosine to 10 %", "one-cycle")
_COOLING = ("cooldown 10 %", "cooldown 20 %", "cooldown 40 %")


def _middles(constant: float, cooling: float, ending: float, **others: float) -> dict[str, float]:
    """The middle of each schedule's grid, by its kind; placed by pilot runs of other seeds."""
    middle = {"constant": constant} | dict.fromkeys(_COOLING, cooling)
    return middle | dict.fromkeys(_ENDING, ending) | others


_IMAGES: dict[str, Any] = {"task": "images", "batch_size": 64, "data_files": ("mnist5k.npz",)}
_ROOT2 = 2**0.5

RECORDINGS = {
    # Every training image is fitted.
    "mlp_clean": Recording(
        **_IMAGES,
        steps=1400,
        settings={"hidden": [64]},
        shapes=_shapes(1400),
        peaks=_grids(_middles(0.24, 0.24, 0.34), _ROOT2, 6),
        seeds=64,
        together=True,
    ),
    # A fifth of the training labels is wrong.
    "mlp_noisy": Recording(
        **_IMAGES,
        steps=1400,
        settings={"hidden": [64], "label_noise": 0.2},
        shapes=_shapes(1400),
        peaks=_grids(_middles(0.018, 0.035, 0.05), 2, 6),
        seeds=32,
        together=True,
    ),
    # A network too small to fit the images in all their places.
    "mlp_shifted": Recording(
        **_IMAGES,
        steps=1400,
        settings={"hidden": [32], "shifts": True},
        shapes=_shapes(1400),
        peaks=_grids(_middles(0.06, 0.12, 0.17), _ROOT2, 6),
        seeds=32,
        together=True,
    ),
    # A convolutional network that fits every training image.
    "convnet": Recording(
        **_IMAGES,
        steps=1000,
        settings={"channels": 16},
        shapes=_shapes(1000),
        peaks=_grids(_middles(0.084, 0.1, 0.14), _ROOT2, 6),
        seeds=6,
    ),
    # The network of most chapters, for four times their steps.
    "mnist1d_long": Recording(
        task="mnist1d",
        data_files=("mnist1d.npz",),
        shapes=_shapes(8000),
        peaks=_grids(
            _middles(0.014, 0.034, 0.068, **{"one drop": 0.034, "one-cycle": 0.034}), _ROOT2, 6
        ),
        seeds=16,
        steps=8000,
        batch_size=16,
        together=True,
    ),
    # Real English text, character by character; far from fitted.
    "transformer": Recording(
        task="text",
        data_files=("pydocs.npz",),
        shapes=_shapes(800, warmup=40),
        peaks=_grids(_middles(0.0113, 0.0113, 0.0113, **{"one-cycle": 0.0226}), 2, 4),
        seeds=6,
        steps=800,
        batch_size=16,
        optimizer={"optimizer": "adamw"},
    ),
}


def code_hash(recording: Recording | None = None) -> str:
    """SHA-256 of the code that decides a recorded number: its statements, not its comments."""
    return hash_with(recording.code if recording else ())


def hash_with(further: Sequence[str]) -> str:
    """`code_hash` with further modules, relative to the package, that decide the number."""
    digest, package = hashlib.sha256(), Path(lrlib.__file__).parent
    for name in (*_CODE, *further):
        tree = ast.parse((package / name).read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list) and body and _is_docstring(body[0]):
                del body[0]
        digest.update(f"{name}\n{_dumped(tree)}\n".encode())
    return digest.hexdigest()


def _dumped(node: object) -> str:
    """What ``ast.dump`` of Python 3.11 gives, in every Python: later ones write it otherwise."""
    if isinstance(node, list):
        return f"[{', '.join(map(_dumped, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = [(name, getattr(node, name, None)) for name in node._fields]
    kept = [
        f"{name}={_dumped(value)}"
        for name, value in fields
        # Left out: what is optional and not there, and a field that 3.11 does not know.
        if not (value is None and getattr(type(node), name, ...) is None)
        and (value or name != "type_params")
    ]
    return f"{type(node).__name__}({', '.join(kept)})"


def _is_docstring(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def data_hashes(recording: Recording) -> dict[str, str]:
    """The listed SHA-256 of every data file that a recording reads."""
    listed = data.checksums()
    return {name: listed[name] for name in recording.data_files}


def folder() -> Path:
    return data.DATA_DIR / "recorded"


def recorded(name: str) -> Recorded:
    """The recording of that name, to be asked like the result of a sweep.

    Warns with `StaleRecording` if the code, the data or the settings that made it are no longer
    those that are here. Raises ValueError for an unknown name or a damaged file, and
    FileNotFoundError if it was never made.
    """
    result = load(name)
    if reasons := staleness(RECORDINGS[name], result.about):
        warnings.warn(
            f"recorded: {name!r} is stale: {'; '.join(reasons)}. Its numbers may no longer be "
            f"those of this book; make record NAME={name} trains it again",
            StaleRecording,
            stacklevel=2,
        )
    return result


def load(name: str) -> Recorded:
    """As `recorded`, stale or not."""
    _checks.choice("recorded", "name", name, tuple(RECORDINGS))
    about = read_about(name)
    path = folder() / f"{name}.npz"
    if not path.is_file():
        raise FileNotFoundError(
            f"recorded: {path} is missing; restore it with 'git checkout -- data/recorded', or "
            f"train it again: make record NAME={name}"
        )
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != about["sha256"]:
        raise ValueError(
            f"recorded: {path} is damaged or cut short: its SHA-256 is {found}, not "
            f"{about['sha256']}; restore it with 'git checkout -- data/recorded'"
        )
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays = dict(file)
    made = about["configuration"]
    return Recorded(
        schedules=tuple(made["shapes"]),
        peaks=np.array(list(made["peaks"].values())),
        seeds=tuple(made["seeds"]),
        eval_steps=np.array(made["eval_steps"]),
        metrics={key: a for key, a in arrays.items() if key not in ("train_loss", "first_losses")},
        train_loss=arrays["train_loss"],
        first_losses=arrays["first_losses"],
        about=about,
    )


def read_about(name: str) -> dict[str, Any]:
    """What ``<name>.json`` says; the errors are those of `recorded`."""
    path = folder() / f"{name}.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"recorded: {path} is missing; restore it with 'git checkout -- data/recorded', or "
            f"train it: make record NAME={name}"
        )
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        for key in ("configuration", "code", "data", "sha256"):
            about[key]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise ValueError(
            f"recorded: {path} is damaged or cut short ({type(error).__name__}: {error}); restore "
            f"it with 'git checkout -- data/recorded'"
        ) from None
    return about


def staleness(recording: Recording, about: Mapping[str, object]) -> list[str]:
    """In what the recording differs from what would be made now; empty if in nothing."""
    reasons = []
    if about["configuration"] != json.loads(json.dumps(recording.configuration())):
        reasons.append("its settings have changed")
    if about["code"] != code_hash(recording):
        reasons.append("the code that made it has changed")
    if about["data"] != data_hashes(recording):
        reasons.append("its data have changed")
    return reasons


def write(path: Path, content: bytes) -> None:
    """Write all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")  # of this process alone
    unfinished.write_bytes(content)
    os.replace(unfinished, path)
