"""Recorded runs: made, stopped, resumed, damaged, stale, verified; and those the book has."""

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import warnings
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import record

import lrlib
from lrlib import Constant, CosineAnnealing, PolynomialDecay, Schedule
from lrlib.lab import RECORDINGS, StaleRecording, data, recorded, recordings, sweep
from lrlib.lab.league import LEAGUES
from lrlib.lab.recorded_pretraining import VariedRecording
from lrlib.lab.recorded_streams import StreamRecording
from lrlib.lab.recordings import Recorded, Recording

ROOT = Path(__file__).resolve().parent.parent
TINY = Recording(
    task="digits",
    settings={"label_noise": 0.1},
    shapes={"constant": Constant(), "linear to 0 %": PolynomialDecay(20), "b": CosineAnnealing(20)},
    peaks={"constant": (0.05, 0.1), "linear to 0 %": (0.1, 0.2), "b": (0.1, 0.3)},
    seeds=2,
    steps=20,
    batch_size=16,
    data_files=("digits.npz",),
    evaluations=4,
)

forks = pytest.mark.skipif(
    multiprocessing.get_start_method() != "fork", reason="workers must inherit what is made up here"
)


def digits_alone(tmp_path, monkeypatch):
    """Make the folder that recordings are made in, with the digits for its data."""
    (tmp_path / "data").mkdir()
    for name in ("digits.npz", "SHA256SUMS"):
        shutil.copy(data.DATA_DIR / name, tmp_path / "data")
    monkeypatch.setattr(data, "DATA_DIR", tmp_path / "data")
    monkeypatch.setattr(record, "ROOT", tmp_path)


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A folder with the digits, where "tiny" is the name of a recording."""
    digits_alone(tmp_path, monkeypatch)
    monkeypatch.setitem(RECORDINGS, "tiny", TINY)
    return tmp_path


@pytest.fixture
def made(course):
    """The same, after "tiny" was recorded."""
    record.record("tiny", jobs=2)
    return course


def parts(course):
    return sorted(course.glob(".recording/*/*.npz"))


def change(course, **changed):
    """Change the numbers of a recording, with a right checksum."""
    result = recordings.load("tiny")
    content = record.packed(result.arrays() | changed)
    recordings.write(recordings.folder() / "tiny.npz", content)
    about = dict(result.about, sha256=record.hashlib.sha256(content).hexdigest())
    record.write_about("tiny", about)


def about_file(course):
    return course / "data" / "recorded" / "tiny.json"


# --- made and loaded


@forks
@pytest.mark.filterwarnings("error::lrlib.lab.StaleRecording")
def test_a_recording_is_the_result_of_a_sweep(made):
    result = recorded("tiny")
    assert isinstance(result, Recorded) and result.seeds == (0, 1)
    assert result.schedules == tuple(TINY.shapes) and result.eval_steps.tolist() == [5, 10, 15, 20]
    assert result.peaks.tolist() == [list(grid) for grid in TINY.peaks.values()]
    direct = sweep(
        TINY.made_task(),
        TINY.shapes,
        TINY.peaks,
        [0, 1],
        steps=20,
        batch_size=16,
        eval_steps=[5, 10, 15, 20],
        progress=False,
    )
    assert result.metrics.keys() == direct.metrics.keys()
    for name in direct.metrics:
        assert result.metrics[name].shape == (3, 2, 2, 4)
        assert result.metrics[name] == pytest.approx(direct.metrics[name], rel=1e-3, abs=0.006)
    assert result.first_losses == pytest.approx(direct.train_loss, rel=1e-4)
    # Twenty steps are fewer than the windows, so that each is one.
    assert result.train_loss == pytest.approx(direct.train_loss, rel=1e-4)
    assert result.arrays().keys() == {"train_loss", "first_losses", *direct.metrics}


@forks
def test_its_file_says_what_made_it(made):
    about = json.loads(about_file(made).read_text())
    assert about == recorded("tiny").about
    assert about["configuration"] == TINY.configuration()
    assert about["configuration"]["settings"] == {"label_noise": 0.1}
    assert about["code"] == recordings.code_hash(TINY)
    assert about["data"] == {"digits.npz": data.checksums()["digits.npz"]}
    assert set(about["versions"]) == {"python", "torch", "numpy"}
    assert about["machine"].endswith("no GPU used") and os.uname().nodename not in about["machine"]
    assert about["made"][:2] == "20"


def test_losses_are_kept_of_the_first_steps_and_as_means_of_windows():
    long = replace(TINY, steps=230, together=True)
    kept = long.train(TINY.made_task(), "constant", 1, [0.05, 0.1])
    direct = sweep(
        TINY.made_task(), {"a": Constant()}, [0.05, 0.1], [1], steps=230, batch_size=16
    ).train_loss[0, :, 0]
    assert kept["first_losses"] == pytest.approx(direct[:, :100], rel=1e-5)
    assert kept["train_loss"].shape == (2, 50)
    assert kept["train_loss"][:, 0] == pytest.approx(direct[:, :5].mean(-1), rel=1e-5)
    assert kept["train_loss"].dtype == kept["first_losses"].dtype == np.float32
    assert kept["val_error"].shape == (2, 4)
    first = long.train(TINY.made_task(), "constant", 1, [0.1], steps=60)
    assert first["first_losses"].shape == (1, 60)
    assert first["first_losses"][0] == pytest.approx(kept["first_losses"][1, :60], rel=1e-4)


@pytest.mark.parametrize("together", [True, False])
def test_peaks_trained_together_are_those_trained_alone(together):
    made, task = replace(TINY, together=together), TINY.made_task()
    kept = made.train(task, "b", 0, [0.1, 0.3])
    alone = made.train(task, "b", 0, [0.3])
    assert kept["first_losses"][1] == pytest.approx(alone["first_losses"][0], rel=1e-4)
    assert kept["test_loss"][1] == pytest.approx(alone["test_loss"][0], rel=1e-4)


def test_a_recording_does_not_depend_on_the_environment(monkeypatch):
    before = TINY.train(TINY.made_task(), "b", 0, [0.1])
    for name, value in {"LRLIB_SEED": "7", "LRLIB_SCALE": "3", "LRLIB_DEVICE": "abacus"}.items():
        monkeypatch.setenv(name, value)
    after = TINY.train(TINY.made_task(), "b", 0, [0.1])
    assert all(np.array_equal(before[key], after[key]) for key in before)


# --- stopped and resumed

DRIVER = """
    import sys
    from dataclasses import replace
    from pathlib import Path
    sys.path[:0] = [{tools!r}, {tests!r}]
    import record
    import test_recorded
    from lrlib.lab import data
    record.ROOT = Path({root!r})
    data.DATA_DIR = record.ROOT / "data"
    test_recorded.RECORDINGS["tiny"] = replace(test_recorded.TINY, seeds=6, steps=600)
    record.record("tiny", jobs=2)
"""


def wait_for(happened, seconds=90):
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@forks
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_after_a_kill_the_finished_runs_are_not_trained_again(course, monkeypatch, capsys):
    # More units than two workers can have taken over (five) when the parent is killed after a few.
    slow, units = replace(TINY, seeds=6, steps=600), 18
    monkeypatch.setitem(RECORDINGS, "tiny", slow)
    program = textwrap.dedent(DRIVER).format(
        tools=str(ROOT / "tools"), tests=str(ROOT / "tests"), root=str(course)
    )
    process = subprocess.Popen([sys.executable, "-c", program], start_new_session=True)
    try:
        wait_for(lambda: len(parts(course)) >= 3 or process.poll() is not None)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)
        # Its workers end by themselves: nobody trains on beside the next recording.
        wait_for(lambda: not of_session(process.pid), 30)
    finally:
        for pid in of_session(process.pid):
            os.kill(pid, signal.SIGKILL)
    done = {path: path.stat().st_mtime_ns for path in parts(course)}
    assert 3 <= len(done) < units and not about_file(course).exists()
    with pytest.raises(FileNotFoundError):
        recorded("tiny")

    record.record("tiny", jobs=2)
    assert f"tiny: {units} units, {units - len(done)} to train" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert len(parts(course)) == units
    resumed = recorded("tiny")

    shutil.rmtree(course / ".recording")
    record.record("tiny", jobs=1)
    assert f"{units} units, {units} to train" in capsys.readouterr().out
    assert all(np.array_equal(a, recorded("tiny").arrays()[k]) for k, a in resumed.arrays().items())


def of_session(session):
    """The numbers of the processes of a session that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, of = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:  # it has just ended
            continue
        if int(of) == session and state != "Z":
            found.append(int(path.parent.name))
    return found


@forks
@pytest.mark.parametrize("damage", ["half", "empty", "garbage", "flipped"])
def test_a_half_written_run_is_trained_again(made, damage, capsys):
    whole = recorded("tiny")
    path = parts(made)[2]
    content = path.read_bytes()
    flipped = bytearray(content)
    for i in range(60, len(content) - 200, 40):
        flipped[i] ^= 255
    path.write_bytes(
        {"half": content[: len(content) // 2], "empty": b"", "garbage": b"x" * 99}.get(
            damage, bytes(flipped)
        )
    )
    assert record.read_part(path) is None
    capsys.readouterr()
    record.record("tiny", jobs=1)
    assert "tiny: 6 units, 1 to train" in capsys.readouterr().out
    assert all(np.array_equal(a, recorded("tiny").arrays()[k]) for k, a in whole.arrays().items())


@forks
def test_runs_of_other_settings_are_not_used(made, monkeypatch, capsys):
    monkeypatch.setitem(RECORDINGS, "tiny", replace(TINY, batch_size=8))
    capsys.readouterr()
    record.record("tiny", jobs=1)
    assert "6 units, 6 to train" in capsys.readouterr().out
    monkeypatch.setattr(recordings, "code_hash", lambda *_: "another")
    record.record("tiny", jobs=1)
    assert "6 units, 6 to train" in capsys.readouterr().out
    assert recorded("tiny").about["code"] == "another"


def test_every_run_has_a_file_of_its_own():
    for made in RECORDINGS.values():
        files = [record.part_path(Path("x"), unit) for unit in record.units(made)]
        assert len(set(files)) == len(files) == len(made.shapes) * made.seeds
        assert all(path.name.isascii() and " " not in path.name for path in files)


@pytest.mark.parametrize("where", ["writing", "renaming"])
def test_a_file_is_written_whole_or_not_at_all(where, tmp_path, monkeypatch):
    path = tmp_path / "new" / "file.json"
    recordings.write(path, b"first")
    assert path.read_bytes() == b"first" and list(path.parent.iterdir()) == [path]

    def half(self, content):
        self.open("wb").write(content[:2])
        raise OSError("the disk is full")

    def refused(*paths):
        raise OSError("the disk is full")

    if where == "writing":
        monkeypatch.setattr(Path, "write_bytes", half)
    else:
        monkeypatch.setattr(recordings.os, "replace", refused)
    with pytest.raises(OSError, match="the disk is full"):
        recordings.write(path, b"second")
    assert path.read_bytes() == b"first"


# --- missing and damaged


@pytest.mark.parametrize("name", ["mlp", "", None, 3])
def test_an_unknown_name_is_refused_with_the_names_there_are(name):
    with pytest.raises(
        ValueError, match=rf"recorded: name must be one of .*\bvit\b.*, got {name!r}"
    ):
        recorded(name)


@forks
@pytest.mark.parametrize("end", ["npz", "json"])
def test_a_missing_file_is_named(made, end):
    (about_file(made).with_suffix(f".{end}")).unlink()
    with pytest.raises(
        FileNotFoundError, match=rf"tiny\.{end} is missing; .*make record NAME=tiny"
    ):
        recorded("tiny")


@forks
@pytest.mark.parametrize("position", [slice(0, -50), slice(0, 100), slice(0, 0), slice(1, None)])
def test_a_recording_cut_short_is_noticed(made, position):
    path = about_file(made).with_suffix(".npz")
    path.write_bytes(path.read_bytes()[position])
    with pytest.raises(
        ValueError, match=r"tiny\.npz is damaged or cut short: its SHA-256 .*git checkout"
    ):
        recorded("tiny")


@forks
@pytest.mark.parametrize("damage", ["half", "empty", "list", "number", "bytes", "code", "sha256"])
def test_a_damaged_description_is_noticed(made, damage):
    path = about_file(made)
    text, about = path.read_text(), json.loads(path.read_text())
    about.pop(damage, None)
    path.write_bytes(
        {
            "half": text[: len(text) // 2].encode(),
            "empty": b"",
            "list": b"[1, 2]",
            "number": b"3",
            "bytes": b"\xff\xfe\xfd",
        }.get(damage, json.dumps(about).encode())
    )
    with pytest.raises(ValueError, match=r"tiny\.json is damaged or cut short \(.*git checkout"):
        recorded("tiny")


# --- stale


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the code that decides a recorded number, in place of it."""
    here = Path(lrlib.__file__).parent
    for name in recordings._CODE:
        target = tmp_path / "lrlib" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(here / name, target)
    fake = SimpleNamespace(__file__=str(tmp_path / "lrlib" / "__init__.py"))
    monkeypatch.setattr(recordings, "lrlib", fake)
    return tmp_path / "lrlib"


@pytest.mark.parametrize("name", recordings._CODE)
def test_a_changed_line_of_code_is_noticed_and_a_comment_is_not(name, copy):
    before, file = recordings.code_hash(), copy / name
    text = file.read_text()
    file.write_text(f"# A comment.\n\n\n{text}\n\n# Another.\n")
    assert recordings.code_hash() == before
    file.write_text(text + "\n_more = 1\n")
    assert recordings.code_hash() != before
    file.write_text(text)
    assert recordings.code_hash() == before


def test_the_modules_that_a_recording_names_count_for_it_alone(copy):
    (made,) = [replace(TINY, code=("lab/streams.py",))]
    shutil.copy(ROOT / "lrlib" / "lab" / "streams.py", copy / "lab" / "streams.py")
    before, alone = recordings.code_hash(made), recordings.code_hash()
    assert recordings.code_hash(TINY) == alone != before
    file = copy / "lab" / "streams.py"
    file.write_text(file.read_text() + "\n_more = 1\n")
    assert recordings.code_hash() == alone and recordings.code_hash(made) != before


def test_recordings_of_streams_name_what_makes_their_data():
    for made in RECORDINGS.values():
        if isinstance(made, StreamRecording):
            assert set(made.code) == {"lab/language.py", "lab/streams.py"}
            assert made.made_task().data.name == f"continual {made.settings['kind']}"
            files = ("pydocs.npz", "pycode.npz") if made.settings["kind"] == "text" else ()
            assert made.data_files == files


CHANGES = {
    "docstring of the module": ("sweep/run", '"""Train every combination', '"""Train all', True),
    "docstring of a function": ("_stacked", '"""The fastest stack', '"""A fast stack', True),
    "docstring of a class": ("_stacked", '"""A stack of one model', '"""One model', True),
    "line break": ("data", "    labels[chosen] = (", "    labels[chosen] = (\n\n        ", True),
    "number": ("sweep/batching", "default_rng([seed, 1])", "default_rng([seed, 4])", False),
    "operator": ("_stacked", "beta1**t", "beta1*t", False),
    "default": ("models", "channels: int = 16", "channels: int = 17", False),
    "string": ("models", '("pre", "post", "none")', '("pre", "post", "no")', False),
    "line left out": ("data", "        drawn = _drawn(seed, pool)\n", "", False),
    "name": ("data", "labels[chosen] + shift", "labels[among] + shift", False),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_counts_as_a_change_of_the_code(what, copy):
    name, old, new, same = CHANGES[what]
    before, file = recordings.code_hash(), copy / "lab" / f"{name}.py"
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))
    assert (recordings.code_hash() == before) is same


def test_the_hash_is_the_same_in_every_python():
    """Python 3.12 and 3.13 dump a syntax tree otherwise: a recording would be stale there."""
    source = """
        class A(B, metaclass=C):
            x: int = -1.5e3 + 2j

            async def f(self, a, /, *b, c=None, **d) -> "A":
                return f"{a!r:>3} {b}" if (y := a) else [*b, {**d}, ..., b"x", True]
    """
    tree = recordings.ast.parse(textwrap.dedent(source))
    dumped = recordings._dumped(tree)
    assert record.hashlib.sha256(dumped.encode()).hexdigest() == GOLDEN
    if sys.version_info[:2] == (3, 11):
        assert dumped == recordings.ast.dump(tree)
        for name in recordings._CODE:
            tree = recordings.ast.parse((Path(lrlib.__file__).parent / name).read_text())
            assert recordings._dumped(tree) == recordings.ast.dump(tree)


GOLDEN = "16bf9986150c920d11b4165781de6ebb1efa0034a90a9cb7ba88f35be6afb791"


def test_the_code_of_every_recorded_schedule_counts():
    package = Path(lrlib.__file__).parent

    def classes(shape):
        if isinstance(shape, tuple):
            return set().union(*map(classes, shape))
        if not isinstance(shape, Schedule):
            return set()
        assert is_dataclass(shape)
        inside = (classes(getattr(shape, f.name)) for f in fields(shape))
        return {type(shape), *set().union(*inside)}

    seen = set()
    for made in RECORDINGS.values():
        every = {c for s in made.shapes.values() for c in classes(s)}
        files = {
            Path(sys.modules[c.__module__].__file__).relative_to(package).as_posix() for c in every
        }
        assert files <= {*recordings._CODE, *made.code}
        seen |= files
    assert len(seen) >= 6
    assert all((package / name).is_file() for name in recordings._CODE)


@forks
def test_a_recording_of_other_code_data_or_settings_is_said_to_be_stale(made, monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fresh = recorded("tiny")
    with monkeypatch.context() as patch:
        patch.setattr(recordings, "code_hash", lambda *_: "another")
        with pytest.warns(StaleRecording, match="'tiny' is stale: the code that made it has"):
            stale = recorded("tiny")
        assert np.array_equal(stale.at("val_error"), fresh.at("val_error"))
    for changed in (
        {"steps": 21},
        {"batch_size": 8},
        {"seeds": 3},
        {"settings": {"label_noise": 0.2}},
        {"optimizer": {"momentum": 0.8}},
        {"evaluations": 2},
        {"shapes": TINY.shapes | {"b": CosineAnnealing(20, 0.1)}},
        {"peaks": TINY.peaks | {"b": (0.1, 0.4)}},
    ):
        with monkeypatch.context() as patch:
            patch.setitem(RECORDINGS, "tiny", replace(TINY, **changed))
            with pytest.warns(StaleRecording, match="is stale: its settings have changed"):
                recorded("tiny")
    sums = made / "data" / "SHA256SUMS"
    listed = data.checksums()["digits.npz"]
    sums.write_text(sums.read_text().replace(listed, listed[::-1]))
    with pytest.warns(StaleRecording, match="is stale: its data have changed.*make record NAME="):
        recorded("tiny")


@forks
def test_the_list_says_what_is_stale_and_what_is_missing(made, monkeypatch, capsys):
    for name in reversed([name for name in RECORDINGS if name != "tiny"]):
        monkeypatch.delitem(RECORDINGS, name)
    assert record.show() == 0 and "tiny: made 20" in capsys.readouterr().out
    monkeypatch.setitem(RECORDINGS, "tiny", replace(TINY, steps=21))
    assert record.show() == 1
    assert "STALE: its settings have changed" in capsys.readouterr().out
    about_file(made).unlink()
    assert record.show() == 1 and "is missing" in capsys.readouterr().out


@pytest.mark.parametrize(
    "given", [["tiny"], ["mlp_clean", "--jobs", "0"], [], ["list", "--runs=0"]]
)
def test_bad_arguments_of_the_tool(given, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["record.py", *given])
    with pytest.raises(SystemExit) as error:
        record.main()
    assert error.value.code == 2 and capsys.readouterr().err.startswith("usage:")


# --- verified


@forks
def test_where_retrained_runs_agree_the_recording_is_stamped(made, monkeypatch, capsys):
    before = recorded("tiny")
    monkeypatch.setattr(recordings, "code_hash", lambda *_: "another")
    assert record.verify("tiny", 100, 2) == 0  # as many as there are units
    assert "6 runs agree" in capsys.readouterr().out
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        after = recorded("tiny")
    assert after.about["code"] == "another" and after.about["sha256"] == before.about["sha256"]
    verified = after.about["verified"]
    assert verified["runs"] == 6 and verified["largest difference"]["first"] <= 1e-3
    assert after.about | {"code": 0, "verified": 0} == before.about | {"code": 0, "verified": 0}


@forks
@pytest.mark.parametrize("what", ["first_losses", "val_error", "diverged"])
def test_where_they_do_not_it_is_not(made, what, monkeypatch, capsys):
    result = recorded("tiny")
    if what == "diverged":
        first = result.first_losses.copy()
        first[..., 10:] = np.nan
        change(made, first_losses=first)
    elif what == "first_losses":
        change(made, first_losses=result.first_losses * np.float32(1.002))
    else:
        change(made, val_error=result.metrics["val_error"] + 0.5)
    about = about_file(made).read_text()
    monkeypatch.setattr(recordings, "code_hash", lambda *_: "another")
    assert record.verify("tiny", 2, 1) == 1
    assert "the present code trains other runs; train it again" in capsys.readouterr().err
    assert about_file(made).read_text() == about


@forks
def test_other_settings_cannot_be_verified(made, monkeypatch, capsys):
    about = about_file(made).read_text()
    monkeypatch.setitem(RECORDINGS, "tiny", replace(TINY, steps=21))
    assert record.verify("tiny", 1, 1) == 1
    assert "its settings have changed: nothing to verify" in capsys.readouterr().err
    assert about_file(made).read_text() == about


def kept_runs(**changed):
    seeds = np.array([0.1, 0.2, 0.3])
    kept = {
        "first_losses": np.full((1, 1, 3, 4), 2.0, np.float32),
        "train_loss": np.zeros((1, 1, 3, 2)),
        "val_error": np.stack([seeds + 1, seeds], -1)[None, None],
    }
    return kept | changed


def test_how_far_a_retrained_run_is_from_the_recorded_one():
    kept = kept_runs()
    again = {"first_losses": np.array([2.0, 2.0, 2.02]), "val_error": np.array([9.0, 0.35])}
    apart = record.compare_run(kept, (0, 0, 1), again)
    assert apart == {"first": pytest.approx(0.01), "final": pytest.approx(1.5)}  # the SD is 0.1


def test_a_run_that_diverged_agrees_with_one_that_diverged_only():
    diverged = np.array([2.0, 2.0, np.nan, np.nan], np.float32)
    both = kept_runs(
        first_losses=np.tile(diverged, (1, 1, 3, 1)), val_error=np.full((1, 1, 3, 2), np.nan)
    )
    again = {"first_losses": diverged, "val_error": np.array([np.nan, np.nan])}
    assert record.compare_run(both, (0, 0, 1), again) == {"first": 0, "final": 0}
    apart = record.compare_run(kept_runs(), (0, 0, 1), again)
    assert apart["first"] > 1e300 or np.isinf(apart["first"])
    assert apart["final"] > 1e300 or np.isinf(apart["final"])
    tame = {"first_losses": np.full(4, 2.0), "val_error": np.array([0.2, 0.2])}
    assert record.compare_run(both, (0, 0, 1), tame)["final"] == np.inf


# --- what the book has

# Those with tests of their own, in test_recorded_defaults.py.
DEFAULTS = {"convnet_warmup", "vit", "language_warmup", "fine_tuning_constant", "ppo"}
MADE = [name for name in RECORDINGS if (ROOT / "data" / "recorded" / f"{name}.json").exists()]


def test_every_recording_is_there_and_nothing_else():
    found = sorted(path.name for path in (ROOT / "data" / "recorded").iterdir())
    every = (*RECORDINGS, *LEAGUES)
    assert found == sorted(f"{name}.{end}" for name in every for end in ("json", "npz"))


@pytest.mark.parametrize("name", [name for name in MADE if name not in DEFAULTS])
@pytest.mark.filterwarnings("error::lrlib.lab.StaleRecording")
def test_a_recording_of_the_book_is_complete_and_not_stale(name):
    result, made = recorded(name), RECORDINGS[name]
    shape = len(made.shapes), len(next(iter(made.peaks.values()))), made.seeds
    streams = isinstance(made, StreamRecording)  # one peak for each shape
    varied = isinstance(made, VariedRecording)
    if varied:
        assert len(result.schedules) >= 3
    else:
        assert len(result.schedules) >= 4 if streams else len(result.schedules) == 9
    assert made.seeds >= (4 if streams or varied else 6)
    for split in ("val", "test"):
        for metric in ("loss", "error"):
            assert result.metrics[f"{split}_{metric}"].shape == (
                *shape,
                made.evaluations,
            )
    assert result.train_loss.shape == (*shape, 50)
    assert result.first_losses.shape == (*shape, 100)
    assert np.isfinite(result.first_losses[..., 0]).all()
    assert (result.metrics["val_error"][np.isfinite(result.metrics["val_error"])] <= 1).all()


@pytest.mark.parametrize(
    "name",
    [n for n in MADE if n not in DEFAULTS and not isinstance(RECORDINGS[n], StreamRecording)],
)
def test_the_best_peak_of_every_recorded_schedule_lies_inside_its_grid(name):
    result = recorded(name)
    by = "val_loss" if RECORDINGS[name].task == "text" else "val_error"
    for schedule, peak in result.best_peaks(by).items():
        grid = RECORDINGS[name].peaks[schedule]
        assert grid[0] < peak < grid[-1]


def chosen_at_random(name, count):
    seed = int.from_bytes(os.urandom(4))
    print(f"{name}: random.Random({seed})")  # to repeat a failure
    rng, made = random.Random(seed), RECORDINGS[name]
    for _ in range(count):
        shape, seed = rng.choice(list(made.shapes)), rng.randrange(made.seeds)
        yield shape, rng.randrange(len(made.peaks[shape])), seed


# Of these, rounding tells runs apart after a dozen steps: their peaks are high from the first on.
EARLY = {"language_warmup": 10, "widths": 10}


@pytest.mark.parametrize("name", MADE)
def test_three_runs_retrained_reproduce_their_first_losses(name):
    if name == "ppo":
        pytest.importorskip("gymnasium")
    made, result = RECORDINGS[name], recorded(name)
    task, steps = made.made_task(), EARLY.get(name, 60)
    for shape, j, k in chosen_at_random(name, 3):
        again = made.train(task, shape, k, [made.peaks[shape][j]], steps=steps)["first_losses"][0]
        kept = result.first_losses[result.schedules.index(shape), j, k, :steps]
        assert again == pytest.approx(kept, rel=1e-3, nan_ok=True), (shape, j, k)


@pytest.mark.parametrize("name", [name for name in MADE if RECORDINGS[name].together])
def test_a_whole_run_retrained_ends_where_the_recorded_one_did(name):
    made, result = RECORDINGS[name], recorded(name)
    for shape, j, k in chosen_at_random(name, 1):
        again = made.train(made.made_task(), shape, k, [made.peaks[shape][j]])
        i = result.schedules.index(shape)
        for metric, values in result.metrics.items():
            ends = values[i, j, :, -1]
            apart = abs(again[metric][0, -1] - ends[k])
            assert apart <= 4 * ends.std(ddof=1) or np.isnan(ends[k]), (shape, j, k, metric)
