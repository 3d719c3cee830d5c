"""Checkpoints that a run survives: all that it needs, in one file, written whole or not at all.

One process writes one file: a run on one machine, or rank 0 of a run whose every process holds
all weights. For sharded models there is ``torch.distributed.checkpoint``.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import random
import shutil
import warnings
from collections import OrderedDict
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lrlib import _checks

_FORMAT = "lrlib checkpoint 1"
_PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.Tensor, torch.dtype)
_PLAIN += (torch.device, torch.Size)


def save_checkpoint(
    path: str | os.PathLike[str], /, *, previous: bool = True, **parts: Any
) -> None:
    """Write `parts`, and the random states, to `path`: the whole file, or nothing.

    ``save_checkpoint("run.pt", model=model, optimizer=optimizer, scheduler=scheduler, step=step)``.
    The new file is written beside the old one, forced to the disk, and only then takes its name,
    so that at every moment `path` is a whole checkpoint, wherever the process is killed. What a
    killed process leaves, ``<path>.unfinished``, the next call overwrites.

    Args:
        path: where to write; its folder must be there. One process may write to it at a time.
        previous: keep the checkpoint that was there as ``<path>.previous``.
        parts: by name, objects with `state_dict` and `load_state_dict` (model, optimizer,
            scheduler, gradient scaler, …), whose state is saved; random generators (of torch,
            NumPy, ``random.Random``); and plain data: numbers, text, tensors, and dicts, lists
            and tuples of them. A part that is None is left out.

    The random states of Python, NumPy, torch and its CUDA devices are always saved. The file
    loads with ``torch.load(…, weights_only=True)``; NumPy's numbers become Python's. Raises
    TypeError for what such a file cannot hold, naming the part; OSError if writing fails, and
    then the checkpoint that was there is still there.
    """
    target = Path(os.path.realpath(path))
    states = {name: _state(part) for name, part in parts.items() if part is not None}
    content = {
        "format": _FORMAT,
        "states": {name: _plain(f"parts[{name!r}]", s) for name, s in states.items()},
        "objects": [name for name in states if _is_object(parts[name])],
        "random": _random_states(),
    }
    unfinished = _beside(target, "unfinished")
    try:
        with open(unfinished, "wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        if previous and target.exists():
            _keep(target, _beside(target, "previous"))
        os.replace(unfinished, target)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def load_checkpoint(
    path: str | os.PathLike[str],
    /,
    *,
    ignore: Collection[str] = (),
    random_states: bool = True,
    **objects: Any,
) -> dict[str, Any]:
    """Load what `save_checkpoint` wrote into `objects`; returns the plain data, by name.

    ``load_checkpoint("run.pt", model=model, optimizer=optimizer, scheduler=scheduler)["step"]``.
    Build all of them first, as at the start of the run; then this call is the whole of resuming.
    It is also the last thing to do before the loop: the random states are set at its end, and a
    DataLoader without a `generator` of its own draws from torch's when its loop begins.

    Args:
        path: the file. It is read with ``weights_only=True``: no code of the file is run.
        ignore: names of saved objects that are not wanted; to evaluate, say, all but the model.
        random_states: whether to set the random states as they were.
        objects: by the names that they were saved under. None stands for an object not there.

    Raises FileNotFoundError if there is no such file; ValueError if it is damaged or not a
    checkpoint of `save_checkpoint`, if an object was not saved, or if a saved one is neither
    given nor ignored (before anything is loaded); and what an object's own `load_state_dict`
    raises, with a note that names it.
    """
    owner, file = "load_checkpoint", os.fspath(path)
    content = _read(file)
    states, saved = content["states"], set(content["objects"])
    given = {name: thing for name, thing in objects.items() if thing is not None}
    for name in given:
        if not _is_object(given[name]):
            raise TypeError(
                f"{owner}: {name} must be an object with state_dict and load_state_dict, or a "
                f"random generator, got {given[name]!r:.200}"
            )
    if missing := given.keys() - saved:
        raise ValueError(
            f"{owner}: {file} was saved without {', '.join(sorted(missing))}; it has the objects "
            f"{sorted(saved)} and the data {sorted(states.keys() - saved)}"
        )
    if left := saved - given.keys() - set(ignore):
        raise ValueError(
            f"{owner}: {file} also holds {', '.join(sorted(left))}, without which the run would "
            f"go on otherwise; give them, or name them in ignore"
        )
    for name in states:
        if name in given:
            try:
                _load_into(given[name], states[name])
            except Exception as error:
                error.add_note(f"{owner}: this was {name}, from {file}")
                raise
    if random_states:
        _set_random_states(content["random"])
    return {name: states[name] for name in states if name not in saved}


class ShuffledBatches:
    """The batches of a run, as a function of the step: its only state is how far the run is.

    For ``DataLoader(data, batch_sampler=ShuffledBatches(len(data), 64, steps, start=step))``:
    one flat loop over the steps `start`, …, ``steps - 1``, each a batch of indices. Every epoch is
    a permutation of its own, made from the seed and the epoch's number alone, so a run that begins
    at step 700 sees what the whole run sees from there on, however many batches a worker had
    fetched ahead when it was stopped; and a longer run has the same past.

    Args:
        n: examples, at least 1.
        batch_size: examples in a batch, in [1, n].
        steps: batches in the whole run, at least 0.
        seed: of the order, at least 0.
        start: batches already used, in [0, steps].
        drop_last: leave out the last batch of an epoch if it is not whole.

    Raises TypeError or ValueError for bad arguments.

    >>> whole = list(ShuffledBatches(10, 4, steps=6))
    >>> list(ShuffledBatches(10, 4, steps=6, start=3)) == whole[3:]
    True
    """

    def __init__(
        self,
        n: int,
        batch_size: int,
        steps: int,
        *,
        seed: int = 0,
        start: int = 0,
        drop_last: bool = True,
    ) -> None:
        owner = "ShuffledBatches"
        self.n = _checks.integer(owner, "n", n, minimum=1)
        self.batch_size = _checks.integer(owner, "batch_size", batch_size, minimum=1)
        self.steps = _checks.integer(owner, "steps", steps, minimum=0)
        self.seed = _checks.integer(owner, "seed", seed, minimum=0)
        self.start = _checks.integer(owner, "start", start, minimum=0)
        for name, value, most in (
            ("batch_size", self.batch_size, self.n),
            ("start", self.start, self.steps),
        ):
            if value > most:
                raise ValueError(f"{owner}: {name} must be at most {most}, got {value!r}")
        whole, rest = divmod(self.n, self.batch_size)
        self.per_epoch = whole + bool(rest and not drop_last)

    def __len__(self) -> int:
        return self.steps - self.start

    def __iter__(self) -> Iterator[list[int]]:
        epoch, order = -1, np.empty(0, dtype=np.int64)
        for step in range(self.start, self.steps):
            now, place = divmod(step, self.per_epoch)
            if now != epoch:
                epoch, order = now, np.random.default_rng([self.seed, now]).permutation(self.n)
            yield order[place * self.batch_size : (place + 1) * self.batch_size].tolist()


def _is_object(part: Any) -> bool:
    if isinstance(part, torch.Generator | np.random.Generator | random.Random):
        return True
    return hasattr(part, "state_dict") and hasattr(part, "load_state_dict")


def _state(part: Any) -> Any:
    """What is saved of a part."""
    if isinstance(part, torch.Generator):
        return part.get_state()
    if isinstance(part, np.random.Generator):
        return _without_arrays(part.bit_generator.state)
    if isinstance(part, random.Random):
        return part.getstate()
    return part.state_dict() if _is_object(part) else part


def _load_into(thing: Any, state: Any) -> None:
    if isinstance(thing, torch.Generator):
        thing.set_state(state)
    elif isinstance(thing, np.random.Generator):
        thing.bit_generator.state = state
    elif isinstance(thing, random.Random):
        thing.setstate(state)
    else:
        thing.load_state_dict(state)


def _plain(where: str, value: Any) -> Any:
    """`value` with NumPy's numbers as Python's; TypeError if the file could not hold it."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, dict):
        made = OrderedDict() if isinstance(value, OrderedDict) else {}
        for key, item in value.items():
            made[_plain(where, key)] = _plain(f"{where}[{key!r}]", item)
        if hasattr(value, "_metadata"):  # of a module's state: the versions of its layers
            vars(made)["_metadata"] = vars(value)["_metadata"]
        return made
    if type(value) in (list, tuple, set):
        return type(value)(_plain(f"{where}[{i}]", item) for i, item in enumerate(value))
    raise TypeError(
        f"save_checkpoint: {where} must be a number, a text, a tensor, or a dict, list or tuple of "
        f"them, which load without running code, got {type(value).__qualname__}: {value!r:.200}"
    )


def _without_arrays(state: Any) -> Any:
    """A NumPy generator's state with lists in place of arrays."""
    if isinstance(state, dict):
        return {key: _without_arrays(value) for key, value in state.items()}
    return state.tolist() if isinstance(state, np.ndarray) else state


def _random_states() -> dict[str, Any]:
    states: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": _without_arrays(np.random.get_state(legacy=False)),  # noqa: NPY002 (the global one)
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        states["cuda"] = torch.cuda.get_rng_state_all()
    return states


def _set_random_states(states: dict[str, Any]) -> None:
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])  # noqa: NPY002 (the global one is meant)
    torch.set_rng_state(states["torch"])
    if "cuda" in states:
        here = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if here != len(states["cuda"]):
            warnings.warn(
                f"load_checkpoint: the run that was saved had {len(states['cuda'])} CUDA "
                f"device(s), here are {here}: their random states are left as they are",
                UserWarning,
                stacklevel=3,
            )
        else:
            torch.cuda.set_rng_state_all(states["cuda"])


def _beside(target: Path, what: str) -> Path:
    return target.with_name(f"{target.name}.{what}")


def _keep(target: Path, previous: Path) -> None:
    """Let `previous` be what `target` is, without a moment in which one of them is missing."""
    new = _beside(previous, "unfinished")
    new.unlink(missing_ok=True)
    try:
        os.link(target, new)
    except OSError:  # a file system without links
        shutil.copyfile(target, new)
    try:
        os.replace(new, previous)
    finally:
        new.unlink(missing_ok=True)  # renaming a link to its own file leaves both


def _sync_folder(folder: Path) -> None:
    """Force the new name to the disk, where a folder can be opened for that."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _read(file: str) -> dict[str, Any]:
    before = f"{os.path.realpath(file)}.previous"
    hint = f"; the checkpoint before it is {before}" if os.path.isfile(before) else ""
    if not os.path.isfile(file):
        raise FileNotFoundError(f"load_checkpoint: path must be a file, got {file}{hint}")
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError, ValueError) as error:
        said = str(error).partition("\n")[0]
        raise ValueError(
            f"load_checkpoint: {file} is damaged, cut short or no checkpoint of save_checkpoint "
            f"({type(error).__name__}: {said:.200}){hint}"
        ) from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        keys = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise ValueError(
            f"load_checkpoint: {file} must be written by save_checkpoint, got a file of "
            f"{keys!r:.300}; load that with torch.load(path, weights_only=True)"
        )
    return content
