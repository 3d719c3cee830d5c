"""Which runs a recorded league is made of, and how each is known again.

A *unit* is one recipe on one task with one seed, at all its peaks. Its key is a hash of all that
decides its numbers: so a recipe or a task that is added, or changed, leaves the others' units as
they are.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache
from pathlib import Path

import lrlib
from lrlib.lab import data
from lrlib.lab.league import apart, book
from lrlib.lab.league.network import Network
from lrlib.lab.league.tasks import LeagueTask
from lrlib.lab.recordings import hash_with
from lrlib.recipes import RECIPES, Recipe
from lrlib.schedule import Schedule

_INSTRUCTED = {
    "": (),
    "average": ("pretraining.py", "lab/league/training.py"),
    "plateau": ("plateau.py", "lab/watching.py"),
}
# The recorded leagues: of the book's tasks, and of some of them with what a seed draws apart.
_TASKS_APART = ("MNIST-1D, short", "images", "language, hard")
_SHAPES_APART = ("fixed", "linear")
LEAGUES: dict[str, dict[str, LeagueTask]] = {
    "league": book.TASKS,
    "league_seeds": {
        name: apart.SeedsApart.of(network, (6, 4, 4), _SHAPES_APART)
        for name, network in book.TASKS.items()
        if name in _TASKS_APART and isinstance(network, Network)
    },
}


@dataclass(frozen=True)
class Cell:
    """One recipe on one task: as many units as the task has seeds."""

    task: LeagueTask
    recipe: Recipe

    @property
    def key(self) -> str:
        """A hash of all that decides the numbers of this cell, but the seed."""
        made_by = [self.configuration(), _code(self.code()), data_hashes(self.task)]
        return hashlib.sha256(json.dumps(made_by, sort_keys=True).encode()).hexdigest()[:16]

    def configuration(self) -> dict[str, object]:
        """The task's, and the recipe's: its shape, its instruction, its peaks."""
        recipe = self.recipe
        rule = [repr(recipe.rule()), recipe.evaluations] if recipe.then == "plateau" else []
        return {
            "task": self.task.configuration(),
            "shape": repr(self.task.shape(recipe)),
            "then": [recipe.then, *rule],
            "peaks": list(self.task.grid(recipe)),
        }

    def code(self) -> tuple[str, ...]:
        """The modules that decide its numbers, besides those of every recording."""
        shapes = _classes(self.task.shape(self.recipe))
        modules = self.task.modules() | {kind.__module__ for kind in shapes}
        package = Path(lrlib.__file__).parent
        files = [Path(str(sys.modules[m].__file__)) for m in modules if m.startswith("lrlib.")]
        own = {f.relative_to(package).as_posix() for f in files}
        own |= {*_INSTRUCTED[self.recipe.then], *self.task.code}
        return tuple(sorted(own))


@lru_cache
def _code(modules: tuple[str, ...]) -> str:
    return hash_with(modules)


def data_hashes(task: LeagueTask) -> dict[str, str]:
    """The listed SHA-256 of every data file that a task reads."""
    listed = data.checksums()
    return {name: listed[name] for name in task.data_files}


def _classes(shape: object) -> set[type]:
    """The classes of a schedule and of all that it is composed of."""
    if isinstance(shape, tuple):
        return set().union(*map(_classes, shape))
    if not isinstance(shape, Schedule) or not is_dataclass(shape):
        return set()
    inside = (_classes(getattr(shape, f.name)) for f in fields(shape))
    return {type(shape), *set().union(*inside)}


def cells(
    tasks: Mapping[str, LeagueTask], recipes: Mapping[str, Recipe] | None = None
) -> list[Cell]:
    """Every task with every recipe that is run on it; by default all of `RECIPES`."""
    recipes = RECIPES if recipes is None else recipes
    return [
        Cell(task, recipe)
        for task in tasks.values()
        for name, recipe in recipes.items()
        if not task.only or name in task.only
    ]
