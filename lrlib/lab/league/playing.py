"""Train a league here, or load the recorded one."""

from __future__ import annotations

import hashlib
import io
import json
import time
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np

from lrlib import _checks
from lrlib.lab.league.recording import LEAGUES, Cell, cells
from lrlib.lab.league.results import Entry, League
from lrlib.lab.league.tasks import LeagueTask
from lrlib.lab.recordings import StaleRecording, folder
from lrlib.lab.results import Results
from lrlib.recipes import RECIPES, Recipe

Unit = dict[str, np.ndarray]  # what is kept of a recipe, task and seed: "val", "test", …
DESCRIBED = ("name", "about", "metric", "unit", "margin", "worst", "regime")


def train_unit(task: LeagueTask, recipe: Recipe, seed: int, peaks: Sequence[float]) -> Unit:
    """Train one recipe on one task with one seed, at some peaks.

    What `LeagueTask.train` returned, checked, and "seconds", the processor time it took. Raises
    ValueError if it returned anything else than it should.
    """
    began = time.process_time()
    kept = {name: np.asarray(each) for name, each in task.train(recipe, peaks, seed).items()}
    for name in ("val", "test"):
        if name not in kept or kept[name].shape != (len(peaks),):
            found = kept[name].shape if name in kept else "none"
            raise ValueError(
                f"{type(task).__name__}.train: {name!r} must have one number for each of the "
                f"{len(peaks)} peaks, got {found} on {task.name!r}"
            )
    for name, values in kept.items():
        if values.shape[:1] != (len(peaks),):
            raise ValueError(
                f"{type(task).__name__}.train: {name!r} must have the {len(peaks)} peaks as its "
                f"first axis, got shape {values.shape} on {task.name!r}"
            )
    return kept | {"seconds": np.array(time.process_time() - began)}


def play(
    tasks: Mapping[str, LeagueTask] | Sequence[LeagueTask],
    recipes: Mapping[str, Recipe] = RECIPES,
    seeds: Sequence[int] | None = None,
    executor: Executor | None = None,
) -> League:
    """Train every recipe on every task, at all its peaks, and return the `League`.

    Args:
        tasks: `LeagueTask`, such as some of ``lab.TASKS.values()``, or your own.
        recipes: name -> `lrlib.recipes.Recipe`; all run on each task.
        seeds: for example ``lab.seeds(4)``, at least 3; default ``range(task.seeds)`` of each.
        executor: where units are trained, such as ``client.get_executor()`` of a Dask client;
            default here, one after the other.

    Raises TypeError or ValueError for bad arguments, and what a task raises.
    """
    owner = "play"
    listed = list(tasks.values()) if isinstance(tasks, Mapping) else list(tasks)
    for task in listed:
        if not isinstance(task, LeagueTask):
            raise TypeError(f"{owner}: tasks must be LeagueTasks, got {task!r}")
    names = [task.name for task in listed]
    if not listed or len(set(names)) < len(names):
        raise ValueError(f"{owner}: tasks must be at least one, of different names, got {names}")
    for name, recipe in recipes.items():
        if not isinstance(recipe, Recipe):
            raise TypeError(f"{owner}: recipes[{name!r}] must be a Recipe, got {recipe!r}")
    if seeds is not None:
        seeds = [_checks.integer(owner, "seeds", seed, minimum=0) for seed in seeds]
        if len(set(seeds)) < max(3, len(seeds)):
            raise ValueError(f"{owner}: seeds must be at least 3, all different, got {seeds}")
    jobs = [
        (task, recipe, seed, task.grid(recipe))
        for task in listed
        for recipe in recipes.values()
        for seed in (seeds or range(task.seeds))
    ]
    if executor is None:
        done = [train_unit(*job) for job in jobs]
    else:
        futures = [executor.submit(train_unit, *job) for job in jobs]
        done = [future.result() for future in futures]
    units = iter(done)
    entries = {}
    for task in listed:
        numbers = seeds or range(task.seeds)
        own = {r.name: {seed: next(units) for seed in numbers} for r in recipes.values()}
        entries[task.name] = entry(task, own, {r.name: task.grid(r) for r in recipes.values()})
    return League(entries, {})


def entry(
    task: LeagueTask,
    units: Mapping[str, Mapping[int, Unit]],
    grids: Mapping[str, Sequence[float]],
) -> Entry:
    """One task's units, by recipe and seed, put together."""
    described = {name: getattr(task, name) for name in DESCRIBED}
    arrays = together(units)
    seeds = tuple(next(iter(units.values())))
    made = _results(
        tuple(units), np.array([grids[name] for name in units]), seeds, arrays, task.steps
    )
    design, seconds = getattr(task, "design", None), float(arrays["seconds"].sum())
    return Entry(**described, results=made, design=design, seconds=seconds)


def _results(
    recipes: tuple[str, ...],
    peaks: np.ndarray,
    seeds: tuple[int, ...],
    arrays: Mapping[str, np.ndarray],
    steps: int,
) -> Results:
    """Arrays (recipes, peaks, seeds) as results at the end of the run; others are left out."""
    shape = (*peaks.shape, len(seeds))
    metrics = {name: a[..., None] for name, a in arrays.items() if a.shape == shape}
    return Results(recipes, peaks, seeds, np.array([steps]), metrics)


def together(units: Mapping[str, Mapping[int, Unit]]) -> dict[str, np.ndarray]:
    """Every kept array over (recipes, peaks, seeds, …); NaN where a unit has less of it."""
    rows = [list(by_seed.values()) for by_seed in units.values()]
    kept: dict[str, np.ndarray] = {}
    for name in dict.fromkeys(name for row in rows for unit in row for name in unit):
        arrays = [[unit.get(name) for unit in row] for row in rows]
        shapes = [a.shape for row in arrays for a in row if a is not None]
        shape = tuple(max(sizes) for sizes in zip(*shapes, strict=True))
        whole = np.full((len(rows), len(rows[0]), *shape), np.nan)
        for i, row in enumerate(arrays):
            for k, values in enumerate(row):
                if values is not None:
                    whole[(i, k, *(slice(n) for n in values.shape))] = values
        kept[name] = np.moveaxis(whole, 1, 2) if shape else whole
    return kept


def recorded(name: str = "league") -> League:
    """The recorded league of the book, or "league_seeds": some tasks with their seeds apart.

    Warns with `StaleRecording` if the code, the data, a task or a recipe that made it are no longer
    those that are here. Raises ValueError for an unknown name or a damaged file, and
    FileNotFoundError if it was never made.
    """
    found = load(name)
    if reasons := staleness(name, found.about):
        warnings.warn(
            f"recorded: {name!r} is stale: {'; '.join(reasons)}. Its numbers may no longer "
            f"be those of this book; make record NAME={name} trains what is missing",
            StaleRecording,
            stacklevel=2,
        )
    return found


def staleness(name: str, about: Mapping[str, Any]) -> list[str]:
    """In what a recorded league differs from what would be made now; empty if in nothing."""
    now = {(c.task.name, c.recipe.name): c for c in cells(LEAGUES[name])}
    then = {(t, r) for t, told in about["tasks"].items() for r in told["cells"]}
    reasons = []
    for words, places in (
        ("is missing", [place for place in now if place not in then]),
        ("is no longer part of it", [place for place in sorted(then) if place not in now]),
        ("was made by other code, data or settings", [p for p in now if _changed(now[p], about)]),
    ):
        if places:
            task, recipe = places[0]
            others = f" (and {len(places) - 1} more)" if len(places) > 1 else ""
            reasons.append(f"{recipe!r} on {task!r}{others} {words}")
    return reasons


def _changed(cell: Cell, about: Mapping[str, Any]) -> bool:
    told = about["tasks"].get(cell.task.name, {"cells": {}, "seeds": 0})
    known = told["cells"].get(cell.recipe.name)
    return known is not None and (known["key"] != cell.key or told["seeds"] != cell.task.seeds)


def load(name: str) -> League:
    """As `recorded`, stale or not."""
    about, arrays = read(name)
    entries = {}
    for number, (task, told) in enumerate(about["tasks"].items()):
        own = {
            key.partition("/")[2]: a for key, a in arrays.items() if key.startswith(f"{number}/")
        }
        peaks = np.array([cell["peaks"] for cell in told["cells"].values()])
        seeds = tuple(range(told["seeds"]))
        made = _results(tuple(told["cells"]), peaks, seeds, own, told["steps"])
        described = {key: told[key] for key in DESCRIBED}
        design = tuple(told["design"]) if told["design"] else None
        entries[task] = Entry(**described, results=made, design=design, seconds=told["seconds"])
    return League(entries, about)


def read(name: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What the two files of a recorded league hold; the errors are those of `recorded`."""
    _checks.choice("recorded", "name", name, tuple(LEAGUES))
    about_path, path = (folder() / f"{name}.{end}" for end in ("json", "npz"))
    restore = f"restore it with 'git checkout -- data/recorded', or make record NAME={name}"
    for each in (about_path, path):
        if not each.is_file():
            raise FileNotFoundError(f"recorded: {each} is missing; {restore}")
    content = path.read_bytes()
    try:
        about = json.loads(about_path.read_text(encoding="utf-8"))
        if hashlib.sha256(content).hexdigest() != about["sha256"]:
            raise ValueError(f"the SHA-256 of {path.name} is not the one that it lists")
        about["tasks"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"recorded: {about_path} or {path.name} is damaged or cut short "
            f"({type(error).__name__}: {error}); {restore}"
        ) from None
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return about, dict(file)
