"""The recorded league: made, stopped, added to, damaged, stale, verified; and the book's own."""

import json
import shutil
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import record
import record_league
from test_recorded import forks

from lrlib import Constant, PolynomialDecay
from lrlib.lab import StaleRecording, data, recordings
from lrlib.lab.league import LEAGUES, LeagueTask, Network, book, cells, playing, recorded
from lrlib.lab.league import recording as units_of
from lrlib.lab.models import digits_task
from lrlib.recipes import RECIPES, Recipe

ROOT = Path(__file__).resolve().parent.parent


def network(**changed):
    settings = {"name": "digits", "margin": 1.0, "worst": 90.0, "steps": 50, "middle": 0.1}
    settings |= {"make": digits_task, "seeds": 3, "batch_size": 16, "data_files": ("digits.npz",)}
    return Network(**settings | changed)


@dataclass(frozen=True, kw_only=True, eq=False)
class Valley(LeagueTask):
    """A made-up task whose result is known: the squared distance of the peak from the best."""

    best: float = 1.0

    def train(self, recipe, peaks, seed):
        away = (np.log2(np.array(peaks) / self.best)) ** 2 + seed / 10
        return {"val": away, "test": away + len(recipe.name)}


def valley(**changed):
    return Valley(
        **{"name": "a valley", "margin": 1, "worst": 99, "steps": 9, "middle": 1} | changed
    )


SOME = {name: RECIPES[name] for name in ("linear", "average", "plateau")}


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A folder with the digits, where "league" is a tiny one of two tasks and three recipes."""
    (tmp_path / "data").mkdir()
    for name in ("digits.npz", "SHA256SUMS"):
        shutil.copy(data.DATA_DIR / name, tmp_path / "data")
    monkeypatch.setattr(data, "DATA_DIR", tmp_path / "data")
    monkeypatch.setattr(record, "ROOT", tmp_path)
    tasks = {task.name: task for task in (network(), valley(seeds=4))}
    monkeypatch.setitem(LEAGUES, "league", tasks)
    some = dict(SOME)
    monkeypatch.setattr(units_of, "RECIPES", some)
    return Course(tmp_path, tasks, some)


@dataclass
class Course:
    folder: Path
    tasks: dict
    recipes: dict

    def parts(self):
        return {p: p.stat().st_mtime_ns for p in self.folder.glob(".recording/league/*.npz")}

    def about(self):
        return self.folder / "data" / "recorded" / "league.json"


@pytest.fixture
def made(course):
    record_league.record_league("league", jobs=2)
    return course


@forks
def test_it_is_made(made, capsys):
    found = recorded()
    assert found.tasks == ("digits", "a valley") and found.recipes == tuple(SOME)
    e = found.entries["digits"]
    print(e.numbers("test").round(1))
