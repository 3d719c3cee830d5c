"""Train the parts of a sweep on any `concurrent.futures.Executor`, such as that of a cluster.

Parts are trained in turns of a few seconds. A turn is a job of its own: it gets all it needs and
returns what it measured and where the next one goes on, so nothing is left behind on a machine,
nobody has to be told to stop, and a worker that is lost takes little with it.
"""

from __future__ import annotations

import pickle
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from lrlib.lab._progress import Progress
from lrlib.lab.data import Pool, Recipe
from lrlib.lab.sweep.examples import Source
from lrlib.lab.sweep.parts import Measured, Part, Training
from lrlib.lab.sweep.work import Work

TURN = 5.0  # seconds; what a part has left after an interrupt
AHEAD = 128  # turns that wait or run at a time, which bounds the memory they take


@dataclass(frozen=True, eq=False)
class Turn:
    """All that a turn needs. Tensors are pickled already: executors have ways of their own."""

    part: Part
    functions: dict[str, Any]  # the loss, and a model for its architecture; or both pickled
    data: Recipe | bytes  # pickled: a Source for each split
    seeds: tuple[int, ...]  # of the part
    sizes: list[int] | None
    saved: bytes
    seconds: float

    def sources(self) -> dict[str, Source]:
        if isinstance(self.data, bytes):
            return pickle.loads(self.data)
        pool, splits = self.data.pool(), dict.fromkeys(("train", *self.part.evaluate))
        return {split: Source.drawn(pool, self.seeds, split) for split in splits}


def take(turn: Turn) -> tuple[Measured, int, bytes]:
    """Train for a while, wherever this runs: what was measured, the steps taken, where to go on."""
    part = turn.part
    with _one_thread(part.device):
        loss, model = (_function(turn.functions, name) for name in ("task.loss", "task.build"))
        training = Training(part, loss, [model] * len(part.which))
        training.load(turn.saved)
        sources, order = turn.sources(), None
        if turn.sizes is not None:
            order = sources["train"].order(turn.seeds, turn.sizes, training.update.taken)
        end = time.monotonic() + turn.seconds
        measured = training.go_on(sources, order, lambda _: None, lambda: time.monotonic() >= end)
        return measured, training.update.taken, b"" if training.finished else training.saved()


@contextmanager
def _one_thread(device: torch.device) -> Iterator[None]:
    """One thread of torch's, as on this machine: their number decides the last bits, and there
    are other workers to take the other cores."""
    before = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _function(functions: dict[str, Any], name: str) -> Any:
    if not isinstance(functions[name], bytes):
        return functions[name]
    try:
        return pickle.loads(functions[name])
    except Exception as error:
        raise TypeError(f"{_cannot(name)}: a worker could not load it ({error})") from None


def _cannot(name: str) -> str:
    return (
        f"sweep: executor is a ProcessPoolExecutor, which sends functions and classes by the name "
        f"of their module, so {name} must be defined in a module that its processes can import, "
        f"not in a notebook or within a function (the executor of a Dask client takes any)"
    )


def train_on(executor: Executor, work: Work, bar: Progress) -> list[Measured]:
    """Train every part in turns on the executor; what it measured, part by part."""
    threads, every = torch.get_num_threads(), work.split(processes=True)
    make = _turns(executor, work)
    pieces: list[list[Measured]] = [[] for _ in every]
    taken, waiting = [0] * len(every), iter(range(len(every)))
    running: dict[Future, tuple[int, Turn]] = {}

    def submit(i: int, turn: Turn) -> None:
        with warnings.catch_warnings():
            # Dask would have data sent by ways of its own; a turn has a few megabytes of them.
            warnings.filterwarnings("ignore", "Sending large graph")
            running[executor.submit(take, turn)] = i, turn

    try:
        for i in waiting:
            submit(i, make(every[i]))
            if len(running) == AHEAD:
                break
        while running:
            for future in wait(running, timeout=0.2, return_when=FIRST_COMPLETED).done:
                i, turn = running.pop(future)
                measured, taken[i], saved = _result(future, executor)
                pieces[i].append(measured)
                if saved:
                    submit(i, replace(turn, saved=saved))
                elif (following := next(waiting, None)) is not None:
                    submit(following, make(every[following]))
            bar.update(sum(taken) // len(every))
    finally:
        for future in running:  # also when the user interrupts
            future.cancel()
        torch.set_num_threads(threads)  # turns in threads of this process changed it
    return [Measured.joined(measured) for measured in pieces]


def _result(future: Future, executor: Executor) -> tuple[Measured, int, bytes]:
    try:
        return future.result()
    except CancelledError:
        raise RuntimeError(
            f"sweep: executor cancelled what it was given; it was shut down, or has lost its "
            f"cluster: {executor!r}"
        ) from None


def _turns(executor: Executor, work: Work) -> Callable[[np.ndarray], Turn]:
    """What makes the first turn of a part, from its slices."""
    models, task, seeds = work.models(), work.task, work.plan.seeds
    work.rehearse(models[0])
    functions = {"task.loss": task.loss, "task.build": models[0]}
    if isinstance(executor, ProcessPoolExecutor):
        functions = {name: _pickled(name, value) for name, value in functions.items()}
    recipe = None
    if isinstance(task.data, Pool) and (known := task.data.recipe) and known.gives(task.data):
        recipe = known

    def make(slices: np.ndarray) -> Turn:
        part = work.part(slices)
        training = Training(part, task.loss, [models[k] for k in part.which])
        places = sorted(set(part.which.tolist()))
        data = recipe or pickle.dumps(
            {split: source.only(places) for split, source in work.sources.items()}
        )
        return Turn(
            replace(part, which=np.searchsorted(places, part.which)),
            functions,
            data,
            tuple(seeds[k] for k in places),
            work.sizes,
            training.saved(),
            TURN,
        )

    return make


def _pickled(name: str, value: object) -> bytes:
    try:
        return pickle.dumps(value)
    except Exception as error:
        raise TypeError(f"{_cannot(name)}, got {value!r:.200} ({error})") from None
