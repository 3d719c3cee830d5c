"""tools/audit.py on a small made-up book that trains nothing, and on made-up rows."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import audit
import audit_rows
import audit_runs
import notebooks
import numpy as np
import pytest
from audit_rows import Point
from nbformat.v4 import new_code_cell, new_notebook, new_output
from scipy import stats

from lrlib.lab import ClaimError, Estimate, claim

TOOL = Path(audit.__file__)
DRAWS = [101, 102, 103]

SETUP = """\
# %% [markdown]
# # A chapter

# %%
import os
import random
import time

from IPython.display import display

draw = int(os.environ["LRLIB_SEED"])
noise = random.Random(draw).gauss
row = {"kind": "claim", "unit": "points", "scale": "linear", "confidence": 0.95, "of": "seeds"}
row |= {"measured": "", "power": None, "seeds_needed": None, "wanted": "> 1", "bounds": [1, None]}
row |= {"verdict": "supported"}


def show(text, effect, half=0.0, n=0, **more):
    found = row | {"text": text, "effect": effect, "low": effect - half, "high": effect + half}
    found |= {"n": n} | more
    mime = "application/vnd.lrlib.claims+json"
    display({"text/plain": text, mime: {"rows": [found]}}, raw=True)
"""

FIRST = """
# %%
show("better by far", 9 + noise(0, 0.2), half=0.47, n=8)
show("two and two", 4.0)
show("nearly the same", 3 + 0.001 * draw)

# %%
asserting = {"kind": "measurement", "wanted": None, "bounds": [None, None], "verdict": "measured"}
cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
show("cores", cores, **asserting)
names = ("LRLIB_AUDIT", "LRLIB_SCALE", "OMP_NUM_THREADS")
for name in names:
    show(name, int(os.environ[name]), **asserting)
show("figures", float(os.environ["MPLBACKEND"] == "agg" and os.environ["LRLIB_DEVICE"] == "cpu"),
     **asserting)
"""

SECOND = """
# %%
time.sleep(float(os.environ.get("SLEEP", "0")))
show("also better", 9 + noise(0, 0.2), half=0.47, n=8)

# %%
if draw == 102:
    raise ValueError("the best peak lies\\non the edge")

# %%
show("never reached in one draw", 9 + noise(0, 0.2), half=0.47, n=8)
"""


def write_book(root: Path) -> Path:
    (root / "chapters").mkdir(parents=True)
    (root / "chapters/01_first.py").write_text(SETUP + FIRST)
    (root / "chapters/02_second.py").write_text(SETUP + SECOND)
    (root / "lrlib/lab").mkdir(parents=True)
    (root / "lrlib/lab/sweep.py").write_text('"""A module."""\n\nx = 1\n')
    (root / "lrlib/lab/figures.py").write_text("width = 1\n")
    (root / "data").mkdir()
    (root / "data/SHA256SUMS").write_text("abc  digits.npz\n")
    return root


def command(root, *names, jobs=2, **environment):
    """`audit.py run` as a process in a session of its own."""
    arguments = [sys.executable, TOOL, "run", *names, "--root", root, "--draws", *DRAWS]
    return subprocess.Popen(
        [*map(str, arguments), "--jobs", str(jobs)],
        env=os.environ | {"MARK": str(root)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Python listens to it only if it was not ignored, as in some background jobs.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def finished(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def processes(root):
    """Those that `command(root)` started, and all that these started, kernels too."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended, or is not ours
            if f"MARK={root}".encode() in path.joinpath("environ").read_bytes().split(b"\0"):
                found.append(path.name)
    return found


def wait(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def kept(root):
    return sorted(path.relative_to(root).as_posix() for path in root.glob(".audit/*/*.json"))


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A book whose audit was killed in the middle, and went on; not to be changed."""
    root = write_book(tmp_path_factory.mktemp("book"))
    process = command(root, SLEEP="2")
    wait(lambda: len(kept(root)) >= 2)
    process.kill()
    process.communicate()
    if sys.platform == "linux":
        wait(lambda: not processes(root))
    before = {name: (root / name).stat().st_mtime_ns for name in kept(root)}
    assert not (root / "chapters/audit.json").exists()
    status, out, err = finished(command(root))
    after = {name: (root / name).stat().st_mtime_ns for name in kept(root)}
    return root, before, after, status, out, err


@pytest.fixture
def book(killed, tmp_path):
    """A copy of that book, audited."""
    return shutil.copytree(killed[0], tmp_path / "book")


def load(root):
    return json.loads((root / "chapters/audit.json").read_text())


def rows_of(root, chapter):
    return {row["text"]: row for row in load(root)["chapters"][chapter]["rows"]}


# --- runs


def test_killed_in_the_middle_it_goes_on_where_it_was(killed):
    _, before, after, _, out, _ = killed
    assert 2 <= len(before) < 6 and len(after) == 6
    assert before.items() <= after.items()  # nothing was made twice
    assert f"6 runs, {len(before)} of them there already; {6 - len(before)} to make" in out
    lines = [line for line in out.splitlines() if line.startswith("[")]
    assert len(lines) == 6 - len(before)
    assert lines[-1].startswith(f"[{len(lines)}/{len(lines)}] 02_second, draw 10")
    assert any("s, 0 of 2 claims failed" in line for line in lines)
    assert sum("0 of 1 claims failed, stopped at cell 4" in line for line in lines) == 1
    assert "left" not in lines[-1] and all("; about " in line for line in lines[:-1])


def test_a_run_is_alone_on_its_core_and_draws_nothing(killed):
    rows = rows_of(killed[0], "01_first")
    for name in ("cores", "LRLIB_AUDIT", "LRLIB_SCALE", "OMP_NUM_THREADS", "figures"):
        assert rows[name]["effects"] == [1, 1, 1], name


def test_exit_status_and_what_failed(killed):
    *_, status, out, err = killed
    assert status == 1
    reached = "'never reached in one draw' held in 2 of 3 draws; not in 102"
    assert f"FAILED: 02_second, {reached}" in err
    stopped = "cell 4 (code: if draw == 102:): ValueError: the best peak lies on the edge"
    assert f"FAILED: 02_second stopped in draw 102 at {stopped}" in err
    assert "01_first" not in err
    assert "01_first: 3 of 3 claims held in every draw; coverage" in out
    assert "coverage of measurements: no interval" in out


def test_a_chapter_that_stops(killed):
    root = killed[0]
    section = load(root)["chapters"]["02_second"]
    assert list(section["stopped"]) == ["102"]
    row = rows_of(root, "02_second")["never reached in one draw"]
    assert (row["held"], row["of"], row["failed"], row["unreached"]) == (2, 3, [102], [102])
    assert row["effects"][1] is row["halves"][1] is None and row["chance"] is None
    page = (root / "chapters/AUDIT.md").read_text()
    assert "**Stopped** in draw 102 at cell 4 (code: if draw == 102:): ValueError" in page
    assert "**2 of 3** (not in 102); not made in 102 |" in page


def test_exact_and_exact_that_varies(killed):
    rows = rows_of(killed[0], "01_first")
    same, varies = rows["two and two"], rows["nearly the same"]
    assert same["exact"] and not same["drawn"] and same["chance"] == 0
    assert varies["exact"] and varies["drawn"] and 0 < varies["chance"] < 1e-3
    page = (killed[0] / "chapters/AUDIT.md").read_text()
    assert "| two and two | 3 of 3 | 4 points | > 1 | exact | zero |" in page
    assert ", **varies** | zero |" in page and page.count("**varies**") == 2  # and the header


def test_files_are_readable_and_whole(killed):
    root = killed[0]
    lines = (root / "chapters/audit.json").read_text().splitlines()
    assert sum(line.startswith('{"kind"') for line in lines) == 10
    assert audit.as_json(load(root)).splitlines() == lines
    assert list(load(root)["chapters"]) == ["01_first", "02_second"]
    assert not list(root.rglob("*.tmp"))
    assert [len(part["seconds"]) for part in load(root)["chapters"].values()] == [3, 3]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("number", "jobs"), [(signal.SIGINT, 2), (signal.SIGTERM, 1)])
def test_stopping_it_leaves_no_process(tmp_path, number, jobs):
    root = write_book(tmp_path)
    process = command(root, "02_second", jobs=jobs, SLEEP="60")

    def kernels():
        return sum(
            b"ipykernel_launcher" in Path("/proc", name, "cmdline").read_bytes()
            for name in processes(root)
        )

    wait(lambda: kernels() == min(jobs, len(os.sched_getaffinity(0))))
    process.send_signal(number)
    status, _, err = finished(process)
    assert status == 130
    assert "the same command goes on from here" in err
    wait(lambda: not processes(root), 10)
    assert kept(root) == [] and not (root / "chapters/audit.json").exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: text.replace('"held"', '"h"').replace("4.0", "5.0"),
        lambda text: "[]",
        lambda text: '{"checksum": null}',
    ],
)
def test_a_damaged_run_is_noticed(book, damage, capsys):
    path = book / kept(book)[0]
    job = audit_runs.Job("01_first", 101, path.stem.split("-")[1])
    assert audit_runs.read_run(job, book) is not None
    path.write_text(damage(path.read_text()))
    assert audit_runs.read_run(job, book) is None
    assert not path.exists()
    assert "is damaged; the run is made again" in capsys.readouterr().out


def test_a_run_of_another_draw_is_no_run(book):
    path = book / kept(book)[0]
    job = audit_runs.Job("01_first", 109, path.stem.split("-")[1])
    path.rename(job.file(book))
    assert audit_runs.read_run(job, book) is None


def test_no_result_is_kept_of_a_dead_kernel_or_of_code_that_changed(tmp_path):
    root = write_book(tmp_path)
    change(root / "chapters/02_second.py", "if draw == 102:", "if draw == 102:\n    os._exit(1)")
    hashes = audit_runs.digests(root)
    dead = audit_runs.Job("02_second", 102, hashes["02_second"])
    changed = audit_runs.Job("01_first", 101, "0" * 16)
    done = []
    faults = audit_runs.run_all(root, [dead, changed], audit_runs.cores_for(2), done.append)
    assert sorted(done) == sorted([dead, changed]) and kept(root) == []
    assert sorted(faults) == [
        "01_first, draw 101, did not finish: the chapter, lrlib or the data changed while it ran; "
        "run again",
        "02_second, draw 102, did not finish: cell 4 (code: if draw == 102:): the kernel died",
    ]


def test_runs_that_do_not_finish_leave_their_chapter_as_it_was(book, monkeypatch, capsys):
    change(book / "chapters/02_second.py", "if draw", "1\nif draw")
    monkeypatch.setattr(audit, "run_all", lambda *_: ["02_second, draw 101, did not finish: why"])
    before = load(book)
    assert audit.run(book, [], DRAWS, 2) == 1
    out, err = capsys.readouterr()
    assert "6 runs, 3 of them there already; 3 to make" in out
    assert err == "FAILED: 02_second, draw 101, did not finish: why\n"
    assert load(book) == before
    page = (book / "chapters/AUDIT.md").read_text()
    assert page.count("**Stale**") == 1 and "make audit NAME=02_second" in page


def test_everything_there_runs_nothing(book, capsys):
    before = (book / "chapters/audit.json").read_text(), (book / "chapters/AUDIT.md").read_text()
    (book / "chapters/AUDIT.md").unlink()
    assert audit.run(book, ["01_first"], DRAWS, 2) == 0
    assert "3 runs, 3 of them there already; 0 to make" in capsys.readouterr().out
    assert before == (
        (book / "chapters/audit.json").read_text(),
        (book / "chapters/AUDIT.md").read_text(),
    )


def test_other_draws_leave_the_files_alone(book, capsys):
    before = (book / "chapters/audit.json").read_bytes()
    assert audit.run(book, ["01_first"], DRAWS[:2], 2) == 0
    assert "nothing is written: chapters/audit.json is of the draws" in capsys.readouterr().out
    assert (book / "chapters/audit.json").read_bytes() == before
    for path in audit.files(book):
        path.unlink()
    assert audit.run(book, ["01_first"], DRAWS[:2], 2) == 0
    assert "nothing is written: a table takes at least 3 draws" in capsys.readouterr().out


def test_unknown_chapters_and_bad_arguments(book, monkeypatch, capsys):
    with pytest.raises(notebooks.Fault, match="no chapter is named 09_nope; there are 01_first"):
        audit.run(book, ["09_nope"], DRAWS, 2)
    for arguments in (["--jobs", "0"], ["--draws", "-1"], ["--draws"], ["--root", "/nowhere"]):
        monkeypatch.setattr(sys, "argv", ["audit.py", "run", *arguments])
        if arguments[0] == "--root":
            assert audit.main() == 1
        else:
            with pytest.raises(SystemExit, match="2"):
                audit.main()
    assert "/nowhere has no folder chapters/" in capsys.readouterr().err


# --- what decides a chapter's numbers


@pytest.mark.parametrize(
    ("path", "old", "new", "changed"),
    [
        ("lrlib/lab/sweep.py", "x = 1", "x = 1.0", "12"),
        ("lrlib/lab/sweep.py", "x = 1", "x=(1)  # a comment", ""),
        ("lrlib/lab/sweep.py", "A module.", "Another docstring.", ""),
        ("lrlib/lab/figures.py", "1", "2", ""),
        ("data/SHA256SUMS", "abc", "abd", "12"),
        ("chapters/01_first.py", "# # A chapter", "# # Another\n#\n# With prose.", ""),
        ("chapters/01_first.py", "4.0", "4.1", "1"),
        ("chapters/01_first.py", "show(", "show (", ""),
    ],
)
def test_what_makes_a_run_again(book, path, old, new, changed):
    before = audit_runs.digests(book)
    change(book / path, old, new)
    after = audit_runs.digests(book)
    assert "".join(name[1] for name in before if before[name] != after[name]) == changed


def test_recorded_runs_make_those_stale_that_load_them(book):
    folder = book / "data/recorded"
    folder.mkdir()
    (folder / "conv.npz").write_bytes(b"1")
    change(book / "chapters/01_first.py", "4.0", "4.0)\nlab.recorded('conv'")
    change(book / "chapters/02_second.py", "if draw", "lab.recorded(name)\nif draw")
    before = audit_runs.digests(book)
    (folder / "other.npz").write_bytes(b"1")
    after = audit_runs.digests(book)
    assert [name for name in before if before[name] != after[name]] == ["02_second"]
    (folder / "conv.npz").write_bytes(b"2")
    assert audit_runs.digests(book)["01_first"] != after["01_first"]


def test_the_hash_is_the_same_in_every_python():
    source = 'def f(x: int = 2) -> str:\n    """Doc."""\n    return f"{x:>{3}}" + "é"  # no\n'
    assert audit_runs.code_of(source) == (
        "Module(body=[FunctionDef(name=str:'f',args=arguments(args=[arg(arg=str:'x',"
        "annotation=Name(id=str:'int'))],defaults=[Constant(value=int:2)]),"
        "body=[Return(value=BinOp(left=JoinedStr(values=[FormattedValue(value=Name(id=str:'x'),"
        "conversion=int:-1,format_spec=JoinedStr(values=[Constant(value=str:'>'),"
        "FormattedValue(value=Constant(value=int:3),conversion=int:-1)]))]),op=Add(),"
        "right=Constant(value=str:'\\xe9')))],returns=Name(id=str:'str'))])"
    )
    assert audit_runs.code_of("%timeit x\n") == "%timeit x"


# --- check


def committed(root, *texts, effect=9.0, n=8):
    """Write the notebooks of the book, the first with claims that say `texts`."""
    keys = [*notebooks.ROW_KEYS, *audit_runs.KEPT]
    found = {"kind": "claim", "effect": effect, "low": 8.5, "high": 9.5, "n": n}
    rows = [dict.fromkeys(keys) | found | {"text": text} for text in texts]
    shown = new_output("display_data", {notebooks.CLAIMS_DATA: {"rows": rows}})
    for name, outputs in {"01_first": [shown] if rows else [], "02_second": []}.items():
        cells = [new_code_cell("1", execution_count=1, outputs=outputs)]
        notebooks.write_notebook(new_notebook(cells=cells), root / f"chapters/{name}.ipynb")


@pytest.fixture
def sound(book):
    """An audited book of one chapter, in which nothing is wrong."""
    (book / "chapters/02_second.py").unlink()
    committed(book, "better by far", "two and two")
    (book / "chapters/02_second.ipynb").unlink()
    audit.run(book, [], DRAWS, 2)
    assert audit.check(book, DRAWS) == []
    return book


def test_check_of_the_book_says_what_failed(book):
    faults = "\n".join(audit.check(book, DRAWS))
    assert "02_second stopped in draw 102" in faults and "held in 2 of 3 draws" in faults
    assert "01_first" not in faults


def test_check_wants_the_draws_of_the_book(sound, monkeypatch, capsys):
    assert audit.check(sound) == ["chapters/audit.json is of the draws [101, 102, 103]"]
    for arguments, status in ((["--draws", *map(str, DRAWS)], 0), ([], 1)):
        monkeypatch.setattr(sys, "argv", ["audit.py", "check", "--root", str(sound), *arguments])
        assert audit.main() == status
    assert capsys.readouterr().err == "chapters/audit.json is of the draws [101, 102, 103]\n"


def test_check_sees_what_is_stale_or_missing(sound):
    stale, remake = "the audit of 01_first is stale: ", "; run: make audit NAME=01_first"
    change(sound / "data/SHA256SUMS", "abc", "abd")
    assert audit.check(sound, DRAWS) == [
        f"{stale}the chapter's code or its data have changed{remake}"
    ]
    change(sound / "data/SHA256SUMS", "abd", "abc")
    committed(sound, "better by far", "two and two", "something else")
    assert audit.check(sound, DRAWS) == [
        f"{stale}its notebook now shows another 'something else'{remake}"
    ]
    committed(sound, "better by far")
    assert f"{stale}its notebook now shows another 'two and two'{remake}" in audit.check(
        sound, DRAWS
    )
    write_book(sound.parent / "again")
    shutil.copy(sound.parent / "again/chapters/02_second.py", sound / "chapters/02_second.py")
    assert "02_second has not been audited; run: make audit NAME=02_second" in audit.check(
        sound, DRAWS
    )
    (sound / "chapters/audit.json").unlink()
    assert audit.check(sound, DRAWS) == ["chapters/audit.json is missing; run: make audit"]


def test_an_audit_belongs_to_the_numbers_that_the_notebook_shows(sound):
    texts = "better by far", "two and two"
    change(sound / "lrlib/lab/sweep.py", "1", "2")  # seen once it changes a number
    committed(sound, *texts, effect=9.4)  # within half an interval of 9
    assert audit.check(sound, DRAWS) == []
    for effect in (9.6, None):
        committed(sound, *texts, effect=effect)
        assert audit.check(sound, DRAWS)[0] == (
            "the audit of 01_first is stale: its notebook now shows another 'better by far'; "
            "run: make audit NAME=01_first"
        )
    committed(sound, *texts, n=0)  # a number without an interval
    audit.run(sound, [], DRAWS, 2)
    committed(sound, *texts, effect=9 + 1e-9, n=0)
    assert audit.check(sound, DRAWS) == []
    committed(sound, *texts, effect=9 + 1e-3, n=0)
    assert "is stale" in audit.check(sound, DRAWS)[0]


def test_a_tidied_cell_keeps_its_audit_and_a_changed_number_does_not(sound, capsys):
    script, before = sound / "chapters/01_first.py", load(sound)["chapters"]["01_first"]
    change(script, "9 + noise(0, 0.2), half=0.47, n=8)", "9.0 + noise(0, 0.2), half=0.47, n=8)")
    assert "code or its data have changed" in audit.check(sound, DRAWS)[0]
    assert audit.same(sound, ["01_first"], 2) == 0
    assert "01_first: 8 rows of draw 101 are the same" in capsys.readouterr().out
    assert audit.check(sound, DRAWS) == []
    after = load(sound)["chapters"]["01_first"]
    assert after.pop("hash") != before.pop("hash")
    assert after == before

    change(script, 'show("two and two", 4.0)', 'show("two and two", 4.01)')
    assert audit.same(sound, ["01_first"], 2) == 1
    assert "01_first: 'two and two' was 4.0 and is 4.01; run: make audit" in capsys.readouterr().err
    change(script, 'show("two and two", 4.01)\n', "")
    assert audit.same(sound, ["01_first"], 2) == 1
    assert "'two and two' is in one of the two alone" in capsys.readouterr().err
    assert "code or its data have changed" in audit.check(sound, DRAWS)[0]


def test_a_number_of_the_notebook_is_looked_at_too(sound, capsys):
    change(sound / "chapters/01_first.py", "9 + noise", "9.0 + noise")
    committed(sound, "better by far", "two and two", effect=9.01)
    assert audit.same(sound, ["01_first"], 2) == 1
    assert "its notebook now shows another 'better by far'" in capsys.readouterr().err
    with pytest.raises(notebooks.Fault, match=r"audit\.json has no 07_none"):
        audit.same(sound, ["07_none"], 2)


def test_check_sees_what_no_draw_showed(book):
    (book / "chapters/02_second.py").unlink()
    committed(book, "better by far", "two and two", "two and two")
    (book / "chapters/02_second.ipynb").unlink()
    audit.run(book, [], DRAWS, 2)
    assert audit.check(book, DRAWS) == [
        "01_first, 'two and two' is in the notebook and not in chapters/audit.json"
    ]


def test_check_sees_an_edited_page_and_damaged_data(sound):
    page, data = sound / "chapters/AUDIT.md", sound / "chapters/audit.json"
    change(page, "3 of 3", "4 of 4")
    assert audit.check(sound, DRAWS) == [
        "chapters/AUDIT.md is not what chapters/audit.json makes; run: make audit"
    ]
    data.write_text(data.read_text()[:100])
    with pytest.raises(notebooks.Fault, match="damaged; restore it"):
        audit.check(sound, DRAWS)


def test_a_chapter_that_is_gone_leaves_the_table(sound):
    assert list(load(sound)["chapters"]) == ["01_first"]
    (sound / "chapters/01_first.py").rename(sound / "chapters/03_third.py")
    assert "chapters/audit.json has 01_first, which is no chapter; run: make audit" in audit.check(
        sound, DRAWS
    )


# --- what the draws say of a row


def made_row(effect, half=0.5, n=8, text="a", bounds=(1, None), scale="linear", **more):
    """A row as a run keeps it; for ratios `half` is that of the logarithm."""
    if scale == "ratio":
        low, high = effect / math.exp(half), effect * math.exp(half)
    else:
        low, high = effect - half, effect + half
    inside = (bounds[0] is None or low > bounds[0]) and (bounds[1] is None or high < bounds[1])
    row = {"kind": "claim", "text": text, "effect": effect, "low": low, "high": high, "n": n}
    row |= {"unit": "points", "scale": scale, "confidence": 0.95, "wanted": "it"}
    row |= {"bounds": list(bounds), "verdict": "supported" if inside else notebooks.FAILED}
    return row | more


def made_section(*draws):
    """The section of a chapter whose n-th draw showed these rows."""
    return audit_rows.chapter_section(
        [
            {"draw": 101 + i, "seconds": 1.0, "stopped": None, "rows": rows}
            for i, rows in enumerate(draws)
        ],
        "hash",
    )


def summary(*effects, **settings):
    (row,) = made_section(*([made_row(effect, **settings)] for effect in effects))["rows"]
    return row


def faults(section):
    return list(audit.claim_faults("01_a", section))


def test_a_row_by_hand():
    row = summary(3.0, 3.4, 2.9, 3.1)
    middles, k = np.array([3.0, 3.4, 2.9, 3.1]), 4
    error = 0.5 / stats.t.ppf(0.975, 7)
    spread = math.sqrt((middles.var(ddof=1) + error**2) / 2 * (1 + 1 / k))
    chance = stats.t.cdf(-(middles.mean() - 1 - 0.5) / spread, 2 * (k - 1))
    assert row["chance"] == pytest.approx(chance, rel=0.05) and 1e-5 < chance < 1e-2
    assert (row["low"], row["high"], row["held"], row["of"]) == (2.9, 3.4, 4, 4)
    assert row["effects"] == [3.0, 3.4, 2.9, 3.1] and row["halves"] == [0.5] * 4
    # A bound on the other side counts as well, and in logarithms all is the same.
    both = summary(3.0, 3.4, 2.9, 3.1, bounds=(1, 5.2))
    assert both["chance"] == pytest.approx(2 * row["chance"], rel=0.05)
    logs = summary(*np.exp(middles), bounds=(math.e, None), scale="ratio")
    assert logs["chance"] == pytest.approx(row["chance"], rel=0.05)
    assert logs["halves"] == [0.5] * 4
    assert logs["effects"] == pytest.approx(np.exp(middles), rel=1e-4)


def test_a_ratio_below_a_bound_and_a_lopsided_interval():
    row = summary(0.5, 0.6, 0.55, bounds=(None, 1.0), scale="ratio")
    assert row["bounds"] == [None, 1.0] and 0 < row["chance"] < 0.5
    lopsided = summary(3.0, 3.4, 2.9, low=2.0, high=9.0)
    assert lopsided["halves"][0] == [1.0, 6.0]
    nearer = summary(3.0, 3.4, 2.9, low=2.0, high=3.9)
    assert lopsided["chance"] > nearer["chance"]  # its standard error is larger


def test_a_draw_that_failed_diverged_or_said_something_else():
    section = made_section(*([made_row(e)] for e in (3.0, 1.4, 2.9)))
    assert section["rows"][0]["failed"] == [102]
    assert any("held in 2 of 3 draws; not in 102" in fault for fault in faults(section))

    gone = made_row(3.0) | dict.fromkeys(("effect", "low", "high"))
    section = made_section([made_row(3.0)], [made_row(3.1)], [gone | {"verdict": notebooks.FAILED}])
    assert section["rows"][0]["effects"] == [3.0, 3.1, None]
    assert section["rows"][0]["failed"] == [103] and section["rows"][0]["unreached"] == []
    json.dumps(section, allow_nan=False)

    section = made_section(*([made_row(9 + i / 10, text=f"{i} of 9")] for i in range(3)))
    assert [row["held"] for row in section["rows"]] == [1, 1, 1]
    assert "was not made in draws 102, 103: does its text change with the draw?" in "".join(
        faults(section)
    )


def test_draws_that_stop_for_one_reason_are_named_together():
    section = made_section([made_row(9)], [made_row(9.1)], [made_row(9.2)])
    section["stopped"] = {"101": "cell 2: A", "102": "cell 3: B", "103": "cell 2: A"}
    assert faults(section) == [
        "01_a stopped in draws 101, 103 at cell 2: A",
        "01_a stopped in draw 102 at cell 3: B",
    ]


def test_rows_that_say_the_same_are_kept_apart():
    section = made_section(*[[made_row(9 + i / 10), made_row(5 - i / 10)] for i in range(3)])
    assert [row["effects"] for row in section["rows"]] == [[9, 9.1, 9.2], [5, 4.9, 4.8]]


def test_faults_of_chance_bounds_and_claims_that_cannot_fail():
    assert faults(made_section(*([made_row(9 + i / 10)] for i in range(12)))) == []
    (fault,) = faults(made_section(*([made_row(1.9 + i / 100)] for i in range(12))))
    assert "breaks in a fresh draw with chance 0.0" in fault
    moving = [[made_row(9 + i / 10, bounds=(1 + i / 10, None))] for i in range(12)]
    assert faults(made_section(*moving)) == [
        "01_a, 'a' is held to bounds that change with the draw"
    ]
    assert "(**moves**)" in audit.claim_line(made_section(*moving)["rows"][0])
    unbound = made_section(*([made_row(9 + i / 10, bounds=(None, None))] for i in range(12)))
    assert faults(unbound) == ["01_a, 'a' has no bound, and cannot fail"]


def test_exact_numbers_and_such_that_no_draw_changes():
    same = summary(*[2.0] * 12, half=0, n=0)
    assert (same["exact"], same["drawn"], same["chance"]) == (True, False, 0)
    assert audit.shown_chance(same) == "exact"
    noise = summary(*2 + 1e-9 * np.arange(12), half=0, n=0)
    assert not noise["drawn"]
    # Tiny beside the room it has, however it varies beside its own size.
    assert not summary(*1e-16 * np.arange(12), half=0, n=0, bounds=(None, 1e-6))["drawn"]
    varies = 2 + 0.01 * np.arange(12)
    row = summary(*varies, half=0, n=0, bounds=(1.9, None))
    chance = stats.t.cdf(-(varies.mean() - 1.9) / math.sqrt(varies.var(ddof=1) * 13 / 12), 11)
    assert row["drawn"] and row["chance"] == pytest.approx(chance, rel=0.05)
    assert audit.shown_chance(summary(*[2.0] * 12)) == "not redrawn"
    assert summary(*[1.2] * 12)["chance"] == 1  # none can break it, but it is broken


def test_numbers_keep_the_digits_that_matter():
    row = summary(1.00000123, 1.00000223, 1.00000323, half=1e-6, bounds=(1.0, None))
    assert row["effects"] == pytest.approx([1.00000123, 1.00000223, 1.00000323], abs=1e-9)
    assert audit_rows.rounded(123456.789) == 123460 and audit_rows.rounded(0.0) == 0
    assert audit_rows.rounded(math.nan) is None
    tiny = summary(1e-3, 1.0001e-3, 0.9999e-3, half=1e-4, bounds=(9e-4, None), scale="ratio")
    assert tiny["effects"] == pytest.approx([1e-3, 1.0001e-3, 0.9999e-3], abs=1e-10)


@pytest.mark.parametrize("n", [8, 24])
@pytest.mark.parametrize("away", [1.3, 2.0])
def test_the_chance_is_what_fresh_draws_do(n, away):
    """In half-widths from the bound, which is 0: a claim's chance, beside how many redraws fail."""
    rng, k, draws = np.random.default_rng(n), 12, 300
    reach = stats.t.ppf(0.975, n - 1)
    middle = away * reach / math.sqrt(n)

    def draw(*shape):
        sample = middle + rng.standard_normal((*shape, n))
        return sample.mean(-1), sample.std(-1, ddof=1) / math.sqrt(n)

    chances = []
    for means, errors in zip(*draw(draws, k), strict=True):
        points = [Point(m, reach * e, reach * e) for m, e in zip(means, errors, strict=True)]
        chances.append(audit_rows.chance_to_break(points, (0, math.inf), list(errors)))
    means, errors = draw(200_000)
    broken = (means - reach * errors <= 0).mean()
    assert 0.8 * broken < np.mean(chances) < 1.7 * broken


def test_two_bounds_are_broken_by_either():
    points = [Point(x, 0.3, 0.3) for x in (-0.2, 0.0, 0.2)]
    below = audit_rows.chance_to_break(points, (-1.0, math.inf), [0.1] * 3)
    both = audit_rows.chance_to_break(points, (-1.0, 1.0), [0.1] * 3)
    assert both == pytest.approx(2 * below) and 0 < below < 0.1
    assert audit_rows.chance_to_break(points, (0.0, 1.0), [0.1] * 3) > 0.9


# --- coverage


def drawn_rows(rng, rows, k, n, width=1.0, kind="claim"):
    values = rng.standard_normal((k, rows, n))
    half = width * stats.t.ppf(0.975, n - 1) * values.std(-1, ddof=1) / math.sqrt(n)
    return [
        [
            made_row(float(x), float(h), n=n, text=f"{i}", bounds=(-99, None), kind=kind)
            for i, (x, h) in enumerate(zip(values[j].mean(-1), half[j], strict=True))
        ]
        for j in range(k)
    ]


def test_coverage_of_true_intervals_is_what_is_expected():
    section = made_section(*drawn_rows(np.random.default_rng(1), 200, 12, 8))
    found = audit_rows.coverage(section["rows"])
    assert found.count == 2400
    share, expected = found.covered / found.count, found.expected / found.count
    assert 0.93 < expected < 0.95  # the others' mean is an estimate too
    assert abs(share - expected) < 0.015
    assert str(found).endswith("of 2400 intervals (94.2% expected)")
    assert list(audit.coverage_faults({"chapters": {"01_a": section}})) == []


@pytest.mark.parametrize("width", [0.5, 2.0])
def test_coverage_of_false_intervals_is_a_fault(width):
    rows = drawn_rows(np.random.default_rng(2), 50, 12, 8, width)
    (fault,) = audit.coverage_faults({"chapters": {"01_a": made_section(*rows)}})
    assert fault.startswith("coverage is not between 90% and 98%: ")


def test_coverage_leaves_out_what_is_not_drawn():
    for row in (
        summary(*[2.0] * 5),
        summary(*2 + 0.1 * np.arange(5), half=0, n=0),
        summary(2.0, 2.1),
        summary(2.0, 2.1, 2.2, confidence=0.8),
    ):
        assert audit_rows.coverage([row]).count == 0
    row = summary(2.0, 2.5, 2.1, 2.2, half=0.3)
    assert audit_rows.coverage([row])[:2] == (3, 4)
    ratio = summary(*np.exp([2.0, 2.5, 2.1, 2.2]), half=0.3, scale="ratio")
    assert audit_rows.coverage([ratio])[:2] == (3, 4)


# --- an input for which a claim raises

CLAIMS = {
    "above": (dict(effects=(3.0, 3.4, 2.9)), {"above": 1}, "zero"),
    "below": (dict(effects=(-3.0, -3.4, -2.9), bounds=(None, -1)), {"below": -1}, "zero"),
    "above a negative bound": (
        dict(effects=(3.0, 3.4, 2.9), bounds=(-1, None)),
        {"above": -1},
        "the reverse",
    ),
    "no difference": (
        dict(effects=(0.1, 0.2, -0.1), bounds=(-2, 2)),
        {"no_difference": 2},
        "only when moved by +1.4 points",
    ),
    "far above a low bound": (
        dict(effects=(0.1, 0.2, 0.0), bounds=(-2, None)),
        {"above": -2},
        "only when moved by -1.6 points",
    ),
    "a ratio": (
        dict(effects=(3.0, 3.4, 2.9), scale="ratio", bounds=(1.2, None)),
        {"above": 1.2},
        "ratio 1",
    ),
    "a ratio within a factor": (
        dict(effects=(1.02, 0.99, 1.05), half=0.02, scale="ratio", bounds=(1 / 1.1, 1.1)),
        {"no_difference": 1.1},
        "only when multiplied by 1.06",
    ),
    "a ratio above a small bound": (
        dict(effects=(2.0, 2.2, 1.9), half=0.1, scale="ratio", bounds=(0.8, None)),
        {"above": 0.8},
        "the reverse",
    ),
    "exact": (dict(effects=(2.0, 2.0, 2.0), half=0, n=0, bounds=(1.9, 2.1)), {"within": (1.9, 2.1)},
              "zero"),
}  # fmt: skip


@pytest.mark.parametrize("name", CLAIMS)
def test_claims_raise_for_the_inputs_shown(name, capsys):
    settings, bound, shown = CLAIMS[name]
    effects = settings["effects"]
    row = summary(*effects, **{key: settings[key] for key in settings if key != "effects"})
    assert audit_rows.fails_for(row) == shown
    examples = audit_rows.counterexamples(row)
    nothing = "ratio 1" if row["scale"] == "ratio" else "zero"
    assert list(examples) == [nothing, "the reverse", "a shift"]
    assert examples["a shift"].raises

    def raises(effect, low, high):
        exact = row["n"] == 0
        evidence = effect if exact else Estimate(effect, low, high, 8, row["scale"])
        try:
            claim("it", evidence, scale=row["scale"], **bound)
        except ClaimError:
            return True
        return False

    for example in examples.values():
        assert raises(example.effect, example.low, example.high) == example.raises
    # The shift is the smallest: a little less of it, and the claim stands.
    middle = audit_rows.off_scale(
        np.mean([audit_rows.on_scale(e, row["scale"], 0) for e in row["effects"]]), row["scale"]
    )
    shift = examples["a shift"]
    if row["scale"] == "ratio":
        back = (middle / shift.effect) ** 0.01
        assert not raises(shift.effect * back, shift.low * back, shift.high * back)
    else:
        back = 0.01 * (middle - shift.effect)
        assert not raises(shift.effect + back, shift.low + back, shift.high + back)


def test_a_claim_broken_by_its_own_numbers_says_so():
    assert audit_rows.fails_for(summary(1.2, 1.3, 1.1)) == "as it is"
