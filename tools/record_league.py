"""Record the league of chapter 15: used by tools/record.py, whose options these are.

A unit (all peaks of one recipe, task and seed) is one file in .recording/NAME/, whose name ends in
a hash of all that decides its numbers. Units whose hash still fits are never trained again: a
league goes on from what is there, also after a recipe or a task was added.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import random
import re
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Executor, as_completed
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import record
import torch

from lrlib.lab import recordings
from lrlib.lab.league import LEAGUES, Cell, League, cells
from lrlib.lab.league.playing import (
    DESCRIBED,
    Unit,
    load,
    read,
    staleness,
    together,
    train_unit,
)
from lrlib.lab.results import GridEdgeError

Place = tuple[Cell, int]  # a cell and a seed


def part_path(name: str, place: Place) -> Path:
    cell, seed = place
    words = re.sub(r"[^A-Za-z0-9.]+", "-", f"{cell.task.name}.{cell.recipe.name}")
    return record.ROOT / ".recording" / name / f"{words}.{seed}.{cell.key}.npz"


def places(name: str) -> list[Place]:
    """Every unit, the dearest first."""
    every = [(cell, seed) for cell in cells(LEAGUES[name]) for seed in range(cell.task.seeds)]
    return sorted(every, key=lambda place: -place[0].task.seconds)


def train(cell: Cell, seed: int, peaks: list[float] | None = None) -> Unit:
    """Train a unit, or some of its peaks, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return train_unit(cell.task, cell.recipe, seed, peaks or cell.task.grid(cell.recipe))
    finally:
        torch.set_num_threads(threads)


@contextmanager
def workers(jobs: int, address: str | None) -> Iterator[Executor]:
    """Processes here, or the Dask cluster whose scheduler has that address."""
    if address is None:
        with record.workers(jobs) as pool:
            try:
                yield pool
            finally:
                pool.shutdown(cancel_futures=True)
        return
    try:
        from distributed import Client
    except ImportError:
        raise SystemExit("record: --executor needs Dask: pip install distributed") from None
    with Client(address, set_as_default=False) as client:
        yield client.get_executor(pure=False)


def record_league(name: str, jobs: int, address: str | None = None) -> None:
    every = places(name)
    missing = [place for place in every if record.read_part(part_path(name, place)) is None]
    work = sum(cell.task.seconds for cell, _ in missing)
    print(
        f"{name}: {len(every)} units, {len(missing)} to train, about {work / 60:.0f} minutes of "
        f"one core",
        flush=True,
    )
    began, done, told = time.monotonic(), 0.0, 0.0
    with workers(jobs, address) as pool:
        # In the order of their cost: the cheap ones fill the gaps at the end.
        futures = {pool.submit(train, *place): place for place in missing}
        for number, future in enumerate(as_completed(futures), start=1):
            place = futures.pop(future)
            recordings.write(part_path(name, place), record.packed(future.result()))
            done += place[0].task.seconds
            now = time.monotonic() - began
            if now - told > 5 or number == len(missing):
                told = now
                left = now / done * (work - done)
                print(
                    f"{number}/{len(missing)} {place[0].task.name}, {place[0].recipe.name}, seed "
                    f"{place[1]}; {now:.0f} s, about {left:.0f} s left",
                    flush=True,
                )
    write(name)


def write(name: str) -> None:
    """Put the units together, and write the two files."""
    tasks, arrays = {}, {}
    for number, task in enumerate(LEAGUES[name].values()):
        own = cells({task.name: task})
        units = {
            cell.recipe.name: {
                seed: record.read_part(part_path(name, (cell, seed))) for seed in range(task.seeds)
            }
            for cell in own
        }
        found = together(units)
        seconds = float(found.pop("seconds").sum())
        arrays |= {f"{number}/{key}": values.astype(np.float32) for key, values in found.items()}
        tasks[task.name] = {
            **{key: getattr(task, key) for key in DESCRIBED},
            "steps": task.steps,
            "seeds": task.seeds,
            "seconds": round(seconds, 1),
            "design": getattr(task, "design", None),
            "configuration": task.configuration(),
            "cells": {cell.recipe.name: {"key": cell.key} | _of_recipe(cell) for cell in own},
        }
    content = record.packed(arrays)
    about = {
        "tasks": tasks,
        "made": datetime.date.today().isoformat(),
        "machine": record.machine(),
        "versions": record.versions(),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    recordings.write(recordings.folder() / f"{name}.npz", content)
    record.write_about(name, about)
    table = load(name)
    print(f"{name}: {len(content)} bytes, {table.seconds:.0f} seconds of processor time")
    if all(entry.design is None for entry in table.entries.values()):
        tell_edges(table)


def _of_recipe(cell: Cell) -> dict[str, object]:
    made = cell.configuration()
    return {key: made[key] for key in ("shape", "then", "peaks")}


def tell_edges(table: League) -> None:
    """Which best peaks lie on the edge of their grid: their cells need another grid."""
    for task, entry in table.entries.items():
        every = entry.results
        for i, recipe in enumerate(every.schedules):
            metrics = {key: values[i : i + 1] for key, values in every.metrics.items()}
            one = replace(every, schedules=(recipe,), peaks=every.peaks[[i]], metrics=metrics)
            try:
                one.best_peaks("val")
            except GridEdgeError as error:
                print(f"EDGE: {task}: {error}", file=sys.stderr)


def verify(name: str, count: int, jobs: int, address: str | None = None) -> int:
    """Retrain `count` random runs; stamp the recording with the present code if they agree."""
    about, arrays = read(name)
    now = {(cell.task.name, cell.recipe.name): cell for cell in cells(LEAGUES[name])}
    then = {(task, r): c for task, told in about["tasks"].items() for r, c in told["cells"].items()}
    for place, cell in now.items():
        told = about["tasks"].get(place[0], {})
        if (
            place not in then
            or told["configuration"] != cell.task.configuration()
            or told["seeds"] != cell.task.seeds
            or json.loads(json.dumps(_of_recipe(cell)))
            != {key: value for key, value in then[place].items() if key != "key"}
        ):
            print(
                f"{name}: {place[1]!r} on {place[0]!r} has other settings: nothing to verify, "
                f"train it again",
                file=sys.stderr,
            )
            return 1
    runs = [some_run(about, arrays, random.choice(list(now.values()))) for _ in range(count)]
    with workers(jobs, address) as pool:
        trained = list(
            pool.map(
                train,
                [cell for cell, _, _ in runs],
                [seed for _, seed, _ in runs],
                [[cell.task.grid(cell.recipe)[j]] for cell, _, j in runs],
            )
        )
    worst = {"first": 0.0, "final": 0.0}
    for run, again in zip(runs, trained, strict=True):
        apart = compare(about, arrays, run, again)
        print(f"{run[0].task.name}, {run[0].recipe.name}, peak {run[2]}, seed {run[1]}: {apart}")
        worst = {key: max(worst[key], apart[key]) for key in worst}
    if not (worst["first"] <= record.CLOSE and worst["final"] <= record.ALIKE):
        print(f"{name}: the present code trains other runs; train it again", file=sys.stderr)
        return 1
    for place, cell in now.items():
        then[place]["key"] = cell.key
    about["verified"] = {
        "on": datetime.date.today().isoformat(),
        "runs": count,
        "largest difference": worst,
        "machine": record.machine(),
        "versions": record.versions(),
    }
    record.write_about(name, about)
    print(f"{name}: {count} runs agree; stamped with the present code")
    return 0


def some_run(about: dict, arrays: dict[str, np.ndarray], cell: Cell) -> tuple[Cell, int, int]:
    """A random seed and peak of a cell, up to its best peak: beyond it runs are chaotic early."""
    number, i = _numbers(about, cell)
    val = arrays[f"{number}/val"][i]
    best = int(np.where(np.isnan(val), np.inf, val).mean(-1).argmin())
    return cell, random.randrange(cell.task.seeds), random.randint(0, best)


def _numbers(about: dict, cell: Cell) -> tuple[int, int]:
    """Where a recording has the cell: the numbers of its task and of its recipe."""
    number = list(about["tasks"]).index(cell.task.name)
    return number, list(about["tasks"][cell.task.name]["cells"]).index(cell.recipe.name)


def compare(
    about: dict, arrays: dict[str, np.ndarray], run: tuple[Cell, int, int], again: Unit
) -> dict[str, float]:
    """How far one retrained run is from the recorded one: as `record.compare_run` says it."""
    cell, seed, j = run
    number, i = _numbers(about, cell)
    # As `compare_run` knows a recording: the first losses, and metrics whose last axis is time.
    kept = {key: arrays[f"{number}/{key}"][..., None] for key in ("val", "test")}
    values = {key: again[key][:1] for key in ("val", "test")}
    none = np.zeros((*kept["val"].shape[:-1], 1))  # of a task that keeps no early numbers
    kept["first_losses"] = arrays.get(f"{number}/first", none)
    values["first_losses"] = again["first"][0] if "first" in again else none[0, 0, 0]
    return record.compare_run(kept, (i, j, seed), values)


def show(name: str) -> bool:
    """Say what there is; whether it is stale or missing."""
    try:
        about, _ = read(name)
    except (FileNotFoundError, ValueError) as error:
        print(f"{name}: {error}")
        return True
    reasons = staleness(name, about)
    print(f"{name}: made {about['made']}, {'STALE: ' + '; '.join(reasons) if reasons else 'ok'}")
    return bool(reasons)
