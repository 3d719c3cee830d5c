"""The recorded league: made, stopped, added to, damaged, stale, verified; and the book's own."""

import json
import random
import shutil
import sys
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import record
import record_league
from test_league import network
from test_recorded import digits_alone, forks

from lrlib import PolynomialDecay, recipes
from lrlib.lab import StaleRecording, recordings
from lrlib.lab.league import LEAGUES, LeagueTask, cells, playing, recorded
from lrlib.lab.league import recording as units_of
from lrlib.lab.league.playing import staleness
from lrlib.recipes import RECIPES, Recipe, Row

ROOT = Path(__file__).resolve().parent.parent


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
    digits_alone(tmp_path, monkeypatch)
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
@pytest.mark.filterwarnings("error::lrlib.lab.StaleRecording")
def test_it_is_what_its_tasks_train(made, capsys):
    found = recorded()
    assert found.tasks == ("digits", "a valley") and found.recipes == tuple(SOME)
    digits = found.entries["digits"]
    assert (digits.unit, digits.margin, digits.worst, digits.regime) == (
        "points",
        1,
        90,
        "underfit",
    )
    assert digits.results.seeds == (0, 1, 2) and digits.results.eval_steps.tolist() == [50]
    task = made.tasks["digits"]
    for i, recipe in enumerate(SOME.values()):
        assert digits.results.peaks[i].tolist() == list(task.grid(recipe))
        direct = task.train(recipe, task.grid(recipe)[:6], 1)
        for name in ("val", "test"):
            assert digits.results.at(name)[i, :6, 1] == pytest.approx(direct[name], abs=0.6)
    assert found.entries["a valley"].results.at("val").shape == (3, 12, 4)
    assert found.regret().tasks == found.tasks
    assert found.runs == 3 * 12 * (3 + 4)


@forks
def test_its_file_says_what_made_it(made):
    about = json.loads(made.about().read_text())
    assert about == recorded().about
    told = about["tasks"]["digits"]
    assert told["configuration"] == made.tasks["digits"].configuration()
    cell = units_of.Cell(made.tasks["digits"], SOME["plateau"])
    assert told["cells"]["plateau"]["key"] == cell.key
    assert told["cells"]["plateau"]["then"][0] == "plateau"
    assert about["machine"].endswith("no GPU used") and about["made"][:2] == "20"


@forks
def test_it_goes_on_from_what_is_there_after_a_recipe_or_a_task_was_added(made, capsys):
    before = made.parts()
    assert len(before) == 3 * (3 + 4)
    record_league.record_league("league", jobs=2)
    assert "league: 21 units, 0 to train" in capsys.readouterr().out
    made.recipes["mine"] = Recipe("mine", _straight, "me")
    made.tasks["another"] = valley(name="another", best=2.0)
    assert staleness("league", recorded_quietly().about)
    record_league.record_league("league", jobs=2)
    # One recipe on two tasks with 3 and 4 seeds, four recipes on another with 8.
    assert f"league: {21 + 7 + 32} units, {7 + 32} to train" in capsys.readouterr().out
    after = made.parts()
    assert {path: after[path] for path in before} == before and len(after) == 60
    found = recorded()
    assert found.recipes == (*SOME, "mine") and found.tasks[-1] == "another"


def _straight(steps):
    return PolynomialDecay(steps)


def recorded_quietly():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return recorded()


@forks
def test_after_an_end_the_finished_units_are_not_trained_again(course, monkeypatch, capsys):
    class Enough(Exception):
        pass

    def some(path, content, write=recordings.write):
        write(path, content)
        if len(course.parts()) == 5:
            raise Enough

    with monkeypatch.context() as patch:
        patch.setattr(record_league.recordings, "write", some)
        with pytest.raises(Enough):
            record_league.record_league("league", jobs=1)
    done = course.parts()
    assert len(done) == 5 and not course.about().exists()
    next(iter(done)).write_bytes(b"half of it")
    capsys.readouterr()
    record_league.record_league("league", jobs=1)
    assert "league: 21 units, 17 to train" in capsys.readouterr().out
    kept = list(done)[1:]
    assert {path: made for path, made in course.parts().items() if path in kept} == {
        path: done[path] for path in kept
    }
    assert recorded().runs == 252


@forks
def test_a_change_of_one_cell_leaves_the_others(made, monkeypatch, capsys):
    made.tasks["digits"] = replace(made.tasks["digits"], shifts={"average": 3})
    with pytest.warns(StaleRecording, match="'average' on 'digits' was made by other code, data"):
        recorded()
    record_league.record_league("league", jobs=1)
    assert "league: 21 units, 3 to train" in capsys.readouterr().out
    made.tasks["digits"] = replace(made.tasks["digits"], seeds=4)
    with pytest.warns(StaleRecording, match=r"'linear' on 'digits' \(and 2 more\) was made by"):
        recorded()
    record_league.record_league("league", jobs=1)
    assert "league: 24 units, 3 to train" in capsys.readouterr().out
    assert recorded().entries["digits"].results.at("test").shape == (3, 12, 4)
    del made.recipes["linear"]
    with pytest.warns(StaleRecording, match=r"'linear' on 'a valley' \(and 1 more\) is no longer"):
        recorded()


@forks
def test_the_dear_units_are_trained_first(course):
    course.tasks["a valley"] = valley(seeds=4, seconds=5.0)
    order = [cell.task.name for cell, _ in record_league.places("league")]
    assert order == ["a valley"] * 12 + ["digits"] * 9


@forks
def test_edges_are_told_by_task_and_recipe(course, capsys):
    course.tasks["a valley"] = valley(seeds=4, best=9e3)
    record_league.record_league("league", jobs=1)
    err = capsys.readouterr().err
    assert "EDGE: a valley: linear: the best peak" in err and "EDGE: digits" not in err


@forks
@pytest.mark.parametrize("damage", ["missing npz", "missing json", "cut", "json"])
def test_a_damaged_recording_is_noticed(made, damage):
    about, path = made.about(), made.about().with_suffix(".npz")
    if damage.startswith("missing"):
        (about if damage.endswith("json") else path).unlink()
        with pytest.raises(
            FileNotFoundError, match=r"is missing; restore .*make record NAME=league"
        ):
            recorded()
        return
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-9])
    else:
        about.write_text(about.read_text()[:-30])
    with pytest.raises(ValueError, match=r"is damaged or cut short \(.*make record NAME=league"):
        recorded()


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="recorded: name must be one of league, league_seeds, got"):
        recorded("mlp_clean")


# --- verified


def other_code(monkeypatch):
    monkeypatch.setattr(units_of, "_code", lambda modules: "another")


@forks
def test_where_retrained_runs_agree_it_is_stamped(made, monkeypatch, capsys):
    before = recorded()
    other_code(monkeypatch)
    with pytest.warns(StaleRecording, match=r"'linear' on 'digits' \(and 5 more\) was made by"):
        recorded()
    assert record_league.verify("league", 10, 2) == 0
    assert "10 runs agree" in capsys.readouterr().out
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        after = recorded()
    assert after.about["sha256"] == before.about["sha256"]
    assert after.about["verified"]["largest difference"]["first"] <= 1e-3


@forks
@pytest.mark.parametrize("what", ["first", "test"])
def test_where_they_do_not_it_is_not(made, what, monkeypatch, capsys):
    about, arrays = playing.read("league")
    for key in arrays:
        if key.endswith(what):
            arrays[key] = arrays[key] * np.float32(1.01) + (99 if what == "test" else 0)
    content = record.packed(arrays)
    recordings.write(made.about().with_suffix(".npz"), content)
    about["sha256"] = record.hashlib.sha256(content).hexdigest()
    record.write_about("league", about)
    other_code(monkeypatch)
    made.tasks.pop("a valley")
    assert record_league.verify("league", 3, 1) == 1
    assert "the present code trains other runs" in capsys.readouterr().err
    assert json.loads(made.about().read_text()) == about


@forks
def test_other_settings_cannot_be_verified(made, capsys):
    made.tasks["digits"] = replace(made.tasks["digits"], steps=100)
    assert record_league.verify("league", 1, 1) == 1
    assert "'linear' on 'digits' has other settings: nothing to verify" in capsys.readouterr().err


# --- elsewhere, and by the tool


def test_units_are_trained_on_a_cluster(course, capsys):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        record_league.record_league("league", 1, cluster.scheduler_address)
    assert "league: 21 units, 21 to train" in capsys.readouterr().out
    there = recorded()
    shutil.rmtree(course.folder / ".recording")
    record_league.record_league("league", 1)
    for task, entry in recorded().entries.items():
        assert entry.results.at("test")[:, :6] == pytest.approx(
            there.entries[task].results.at("test")[:, :6], abs=0.3
        )


def test_the_tool_knows_the_leagues(made, monkeypatch, capsys):
    for name in reversed(list(recordings.RECORDINGS)):  # they come back the other way round
        monkeypatch.delitem(recordings.RECORDINGS, name)
    monkeypatch.delitem(LEAGUES, "league_seeds")

    def call(*given):
        monkeypatch.setattr(sys, "argv", ["record.py", *given])
        return record.main()

    assert call("list") == 0 and "league: made 20" in capsys.readouterr().out
    assert call("league", "--jobs", "1") == 0
    assert "league: 21 units, 0 to train" in capsys.readouterr().out
    assert call("league", "--verify", "--runs", "1", "--jobs", "1") == 0
    made.tasks["digits"] = replace(made.tasks["digits"], steps=100)
    assert call("list") == 1 and "league: made 20" in capsys.readouterr().out
    monkeypatch.setitem(recordings.RECORDINGS, "tiny", None)
    with pytest.raises(SystemExit):
        call("tiny", "--executor", "tcp://10.0.0.5:8786")


# --- the book's

THERE = [name for name in LEAGUES if (ROOT / "data" / "recorded" / f"{name}.json").exists()]


@pytest.mark.parametrize("name", THERE)
@pytest.mark.filterwarnings("error::lrlib.lab.StaleRecording")
def test_the_books_league_is_complete_and_not_stale(name):
    found = recorded(name)
    assert found.tasks == tuple(LEAGUES[name])
    for task, entry in found.entries.items():
        made = LEAGUES[name][task]
        assert entry.results.seeds == tuple(range(made.seeds))
        for split in ("val", "test"):
            assert np.isfinite(entry.results.at(split)[:, 0]).all()
    if name == "league":
        assert len(found.tasks) >= 12 and found.recipes == tuple(RECIPES)
        found.best_peaks()  # each inside its grid


@pytest.mark.skipif("league" not in THERE, reason="not recorded yet")
def test_the_rows_beside_the_recipes_are_those_of_the_league():
    found = recorded().regret()
    rows = {}
    for name in RECIPES:
        mean, wins = found.mean(name), round(found.wins(name).effect * len(found.tasks))
        numbers = [round(float(x), 2) for x in (mean.effect, mean.low, mean.high)]
        rows[name] = Row(*numbers, wins, len(found.tasks))
    told = "\n".join(f"    {name!r}: {row}," for name, row in rows.items())
    assert recipes.LEAGUE == rows, f"LEAGUE of lrlib/recipes.py should be\n{told}"


@pytest.mark.parametrize("name", THERE)
def test_some_runs_of_the_books_league_trained_again_agree(name):
    about, arrays = playing.read(name)
    cheap = [cell for cell in cells(LEAGUES[name]) if cell.task.seconds < 3]
    for cell in random.sample(cheap, 3):
        run = record_league.some_run(about, arrays, cell)
        again = record_league.train(cell, run[1], [cell.task.grid(cell.recipe)[run[2]]])
        apart = record_league.compare(about, arrays, run, again)
        where = f"{cell.task.name}, {cell.recipe.name}, seed {run[1]}, peak {run[2]}: {apart}"
        assert apart["first"] <= record.CLOSE and apart["final"] <= record.ALIKE, where
