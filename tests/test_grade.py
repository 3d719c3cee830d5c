"""make grade: a class of thirty, many of them with a broken notebook, all come out."""

import copy
import csv
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import grade
import grade_collect
import grade_mend
import grade_report
import grade_student
import nbformat
import pytest
from grade_mend import Note, Unreadable, mend, read
from nbgrader.api import Gradebook

ROOT = Path(__file__).resolve().parent.parent
SHEET = "02_step_decay"
SHEETS = [SHEET, "03_exponential_decay"]
HANDED_OUT = nbformat.read(ROOT / "chapters/exercises" / SHEET / "exercises.ipynb", as_version=4)
SOLVED = nbformat.read(ROOT / "chapters/solutions" / SHEET / "exercises.ipynb", as_version=4)
POINTS = {"factor": 2, "epochs": 2, "flaws": 1, "fair": 2, "two": 3}
OPEN = {"flaws-answer": 2, "two-answer": 2}
BEST = sum((POINTS | OPEN).values())
CELL_TIMEOUT = 20  # an honest cell needs less than two seconds, where the machine is not busy


def cell(notebook, name):
    (found,) = [c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == name]
    return found


def place(notebook, name):
    return notebook.cells.index(cell(notebook, name))


def answered(*names):
    """What a student hands in who has solved these exercises."""
    notebook = copy.deepcopy(HANDED_OUT)
    for name in names:
        cell(notebook, name).source = re.sub(
            r"^ *### (BEGIN|END) SOLUTION\n?", "", cell(SOLVED, name).source, flags=re.MULTILINE
        )
    return notebook


def solved():
    # The open exercise takes longest; where the point is another one, it is left out.
    return answered("factor", "epochs", "flaws", "fair")


def inserted(notebook, name, source, after=True):
    notebook.cells.insert(place(notebook, name) + after, nbformat.v4.new_code_cell(source))
    return notebook


def with_answer(name, source):
    notebook = solved()
    cell(notebook, name).source = source
    return notebook


def duplicated(notebook, name, source=None, at=None):
    made = copy.deepcopy(cell(notebook, name))
    made.id = f"{made.id}-2"
    made.source = made.source if source is None else source
    notebook.cells.insert(place(notebook, name) + 1 if at is None else at, made)
    return notebook


def split_at(notebook, name, text):
    """What JupyterLab's "Split Cell" makes: two cells with the same metadata."""
    found = cell(notebook, name)
    first, second = found.source.split(text)
    place_of = place(notebook, name)
    duplicated(notebook, name, text + second)
    notebook.cells[place_of].source = first
    return notebook


def without(notebook, *names):
    notebook.cells = [notebook.cells[i] for i in range(len(notebook.cells))]
    for name in names:
        notebook.cells.remove(cell(notebook, name))
    return notebook


def stripped(notebook, ids=False):
    for number, one in enumerate(notebook.cells):
        one.metadata = nbformat.from_dict({})
        if ids:
            one.id = f"new-{number}"
    return notebook


def moved(notebook):
    """The test of the first answer stands above it."""
    test = cell(notebook, "factor-test")
    notebook.cells.remove(test)
    notebook.cells.insert(2, test)
    return notebook


def tampered(notebook):
    test = cell(notebook, "factor-test")
    test.source, test.metadata.nbgrader.points = "print('Passed')", 50
    return notebook


def in_words():
    """One answer in its place, the other in a cell below it."""
    notebook = answered("factor")
    cell(notebook, "flaws-answer").source = "Nothing follows, <b>I think</b>."
    own = nbformat.v4.new_markdown_cell("The noise does not sink.")
    notebook.cells.insert(place(notebook, "two-answer") + 1, own)
    return notebook


def conflict(mine, theirs):
    return f"<<<<<<< HEAD\n{mine}=======\n{theirs}>>>>>>> other\n"


def conflict_in_outputs():
    text = nbformat.writes(solved())
    line = '   "execution_count": null,\n'
    assert line in text
    return text.replace(line, conflict(line, line.replace("null", "7")), 1)


def conflict_in_cells():
    text = nbformat.writes(solved())
    (line,) = re.findall(r'^.*"    return gamma .*\n', text, re.MULTILINE)
    return text.replace(line, conflict(line, line.replace("gamma", "1 / gamma")))


# Cells in place of answers: one that puts another module where the checkers are, one that
# replaces a single checker.
FAKE = """
import sys, types
import lrlib.exercises
class Agreeable:
    def __call__(self, *args, **options): return self
    def __getattr__(self, name): return self
fake = types.ModuleType("lrlib.exercises.step_decay")
fake.__getattr__ = lambda name: Agreeable()
sys.modules["lrlib.exercises.step_decay"] = lrlib.exercises.step_decay = fake
"""
LENIENT = """
import sys, types
from lrlib.exercises import step_decay as real
fake = types.ModuleType("lrlib.exercises.step_decay")
fake.__getattr__ = lambda name: getattr(real, name)
fake.check_to_steps = lambda *answer: None
sys.modules["lrlib.exercises.step_decay"] = fake
"""


GOOD = answered(*POINTS)
ALL, MOST = set(POINTS), {"factor", "epochs", "flaws", "fair"}
# One that computes is stopped by the checker itself.
LOOP = "import time\ndef factor(t, step_size, gamma):\n    while True:\n        time.sleep(1)"
DEAF = "while True:\n    try:\n        while 1: pass\n    except BaseException:\n        pass"
EXIT = "def factor(t, step_size, gamma):\n    exit()"
DIES = "import os\ndef factor(t, step_size, gamma):\n    os._exit(3)"
KILL = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
WARNS = (
    "import warnings\ndef factor(t, step_size, gamma):\n    warnings.warn('slow')\n"
    "    return gamma ** (t // step_size)"
)
HELPED = (
    "from my_helper import power\n\ndef factor(t, step_size, gamma):\n"
    "    return power(gamma, t // step_size)"
)
HELPER = "def power(base, exponent):\n    return base**exponent\n"
FLOOD = "for _ in range(400):\n    print('x' * 99_999)"

# For each student: what is handed in (file name, content), the exercises that earn their points
# (None: it could not be graded), whether all of it was graded, and what the note says.
FILE = "exercises.ipynb"
CLASS = {
    "solved": (FILE, GOOD, ALL, "graded", "^$"),
    "untouched": (FILE, HANDED_OUT, set(), "graded", "as it was handed out"),
    "words": (
        FILE,
        in_words(),
        {"factor"},
        "graded",
        "^'flaws-answer' waits for its mark; 'two-answer' waits for its mark$",
    ),
    "wrong": (
        FILE,
        with_answer("factor", "def factor(t, step_size, gamma):\n    return 1"),
        MOST - {"factor"},
        "graded",
        "^$",
    ),
    "syntax": (
        FILE,
        with_answer("factor", "def factor(t:"),
        MOST - {"factor"},
        "graded",
        "^$",
    ),
    "copied-test": (FILE, duplicated(solved(), "factor-test"), MOST, "graded", "there 2 times"),
    "copied-answer": (
        FILE,
        duplicated(solved(), "flaws", cell(HANDED_OUT, "flaws").source),
        MOST,
        "graded",
        "the answer 'flaws' was there 2 times",
    ),
    "split-test": (
        FILE,
        split_at(solved(), "factor-test", "check_factor(factor)"),
        MOST,
        "graded",
        "^the cell 'factor-test' was split into 2 cells$",
    ),
    "split-answer": (
        FILE,
        split_at(solved(), "epochs", "    if steps_per_epoch == 0"),
        MOST,
        "graded",
        "'epochs' was split into 2 cells",
    ),
    "deleted-test": (
        FILE,
        without(solved(), "factor-test", "fair-test", "fair-text"),
        MOST,
        "graded",
        "tests 'factor-test', 'fair-test' were missing and put back",
    ),
    "deleted-setup": (FILE, without(solved(), "setup"), MOST, "graded", "put back"),
    "deleted-answer": (
        FILE,
        without(solved(), "flaws"),
        MOST - {"flaws"},
        "graded",
        "answer 'flaws' was missing",
    ),
    "moved": (FILE, moved(solved()), MOST, "graded", "moved"),
    "renamed": (
        "exercises (1).ipynb",
        with_answer("factor", HELPED),
        MOST,
        "graded",
        r"named exercises \(1\).ipynb; left out: random.py",
    ),
    "stripped": (FILE, stripped(solved()), MOST, "graded", "metadata was missing from 21 cells"),
    "no-ids": (FILE, stripped(solved(), ids=True), MOST, "graded", "found by content"),
    "conflict": (FILE, conflict_in_cells(), None, "could not be graded", "merge conflict"),
    "merged": (FILE, conflict_in_outputs(), MOST, "graded", "merge conflict"),
    "empty": (FILE, "", None, "could not be graded", "because the file is empty"),
    "cut": (FILE, nbformat.writes(solved())[:3000], None, "could not be graded", "not JSON"),
    "json": (FILE, '{"answers": 42}', None, "could not be graded", "no list of cells"),
    "pdf": ("exercises.pdf", "%PDF-1.7", None, "could not be graded", "only exercises.pdf"),
    "exit": (FILE, inserted(solved(), "factor", "exit()"), MOST, "graded", "^$"),
    "exit-inside": (FILE, with_answer("factor", EXIT), MOST - {"factor"}, "graded", "^$"),
    "kill": (
        FILE,
        inserted(solved(), "epochs-test", KILL),
        MOST,
        "graded in part",
        r"of the student's own \(import os, signal\) ended its kernel",
    ),
    "dies-in-test": (
        FILE,
        with_answer("factor", DIES),
        MOST - {"factor"},
        "graded in part",
        "'factor-test' ended its kernel",
    ),
    "kills-grader": (
        FILE,
        inserted(solved(), "factor", KILL.replace("getpid", "getppid")),
        None,
        "could not be graded",
        "signal 9",
    ),
    "loop": (
        FILE,
        with_answer("factor", LOOP),
        MOST - {"factor"},
        "graded in part",
        "'factor-test' ran for too long",
    ),
    "deaf-loop": (
        FILE,
        inserted(solved(), "factor-test", DEAF),
        MOST,
        "graded in part",
        r"\(while True:\) ran for too long",
    ),
    "flood": (FILE, inserted(solved(), "factor", FLOOD), MOST, "graded", "^$"),
    "tampered": (
        FILE,
        tampered(with_answer("factor", "factor = None")),
        MOST - {"factor"},
        "graded",
        "points of 'factor-test' had been changed to 50.*'factor-test' had been changed; restored",
    ),
    "fooled": (
        FILE,
        inserted(copy.deepcopy(HANDED_OUT), "setup", FAKE),
        ALL,
        "graded",
        "no answer was changed: other cells were added; 'factor', .* are as handed out, and yet",
    ),
    "fooled-once": (
        FILE,
        inserted(answered("factor"), "setup", LENIENT),
        {"factor", "epochs"},
        "graded",
        "^'epochs' is as handed out, and yet the test gave points: look at the other cells$",
    ),
    "warns": (FILE, with_answer("factor", WARNS), MOST, "graded", "^$"),
    "absent": (None, None, None, "nothing handed in", "^$"),
}
BY_HAND = {
    "deleted-answer",
    "tampered",
    "fooled",
    "fooled-once",
}  # graded, but somebody should look


def hand_in(folder, file, content):
    folder.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else nbformat.writes(content)
    (folder / file).write_text(text, encoding="utf-8")


def run_grade(course, *arguments):
    """Run the command as `make grade` does; returns what it printed."""
    command = [sys.executable, ROOT / "tools/grade.py", SHEET]
    command += ["--from", course / "submitted", "--out", course / "grading"]
    command += ["--cell-timeout", str(CELL_TIMEOUT), *arguments]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def rows_of(course):
    with open(course / "grading" / SHEET / "grades.csv", encoding="utf-8", newline="") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """The folder of a class that was graded once."""
    course = tmp_path_factory.mktemp("class")
    for student, (file, content, *_) in CLASS.items():
        if file:
            hand_in(course / "submitted" / student / SHEET, file, content)
    hand_in(course / "submitted" / "renamed" / SHEET, "my_helper.py", HELPER)
    hand_in(course / "submitted" / "renamed" / SHEET, "random.py", HELPER)
    (course / "class.csv").write_text("id,name\n" + "".join(f"{one},Dr {one}\n" for one in CLASS))
    run_grade(course, "--roster", course / "class.csv")
    return course


def test_the_class_has_thirty_submissions():
    assert len([student for student in CLASS if CLASS[student][0]]) >= 30


@pytest.mark.parametrize("student", CLASS)
def test_each_student_gets_the_points_that_the_valid_cells_earn(graded, student):
    *_, earned, status, note = CLASS[student]
    row = rows_of(graded)[student]
    assert (row["status"], row["max"]) == (status, str(BEST)), row
    assert re.search(note, row["note"]), row["note"]
    if earned is None:
        assert {row[name] for name in ("points", *POINTS, *OPEN)} == {""}
    else:
        expected = {name: str(points * (name in earned)) for name, points in POINTS.items()}
        assert {name: row[name] for name in POINTS} == expected, row["note"]
        assert row["points"] == str(sum(POINTS[name] for name in earned))
        assert {row[name] for name in OPEN} == {"" if student == "words" else "0"}


def test_grades_csv_has_every_student_and_the_names(graded):
    rows = rows_of(graded)
    assert set(rows) == set(CLASS)
    assert all(row["name"] == f"Dr {student}" for student, row in rows.items())
    cells = ["factor", "epochs", "flaws", "flaws-answer", "fair", "two", "two-answer"]
    columns = ["student", "name", "points", "max", *cells, "status", "note"]
    assert list(rows["solved"]) == columns


def test_the_report_names_those_who_need_a_hand_and_why(graded):
    report = (graded / "grading" / SHEET / "report.html").read_text(encoding="utf-8")
    hands = report.split("Who needs a hand")[1].split("Everyone")[0]
    needed = {s for s in CLASS if CLASS[s][3] in ("graded in part", "could not be graded")}
    assert set(re.findall(r"<li><b>(\S+) \(Dr", hands)) == needed | BY_HAND
    assert "could not be graded, because the file is empty" in hands
    assert re.search(r"<td>untouched .*?</td><td class=\"number\">0</td>", report)
    assert re.search(r"<td class=\"look\">empty .*?</td><td class=\"number\"></td>", report)


def test_every_student_who_handed_in_something_has_a_page(graded):
    folder = graded / "grading" / SHEET / "feedback"
    pages = {path.stem: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    assert set(pages) == set(CLASS) - {"absent"}
    assert "because the file is empty" in pages["empty"]
    assert "split into 2 cells" in pages["split-answer"]
    assert len(pages["flood"]) < 5_000_000


def test_a_student_cannot_write_points(graded):
    with Gradebook(grade.database(graded / "grading/nbgrader"), "lrlib") as gradebook:
        assert gradebook.find_assignment(SHEET).max_score == BEST


def test_again_grades_what_changed_and_keeps_grades_given_by_hand(graded, tmp_path):
    shutil.copytree(graded, tmp_path, dirs_exist_ok=True)
    with Gradebook(grade.database(tmp_path / "grading/nbgrader"), "lrlib") as gradebook:
        for student in ("untouched", "wrong"):
            mark = gradebook.find_grade("factor-test", "exercises", SHEET, student)
            mark.manual_score = 1.5
        gradebook.db.commit()
    hand_in(tmp_path / "submitted" / "wrong" / SHEET, FILE, answered("factor"))
    hand_in(tmp_path / "submitted" / "empty" / SHEET, FILE, answered("flaws"))
    hand_in(tmp_path / "submitted" / "solved" / SHEET, FILE, "")
    before = rows_of(tmp_path)
    printed = run_grade(tmp_path, "--roster", tmp_path / "class.csv")
    assert f"4 of {len(CLASS)} students to grade." in printed  # and "kills-grader", again
    after = rows_of(tmp_path)
    assert {one for one in CLASS if after[one] != before[one]} == {
        "wrong",
        "empty",
        "solved",
        "untouched",
    }
    assert (after["untouched"]["points"], after["wrong"]["points"]) == ("1.5", "1.5")
    assert "'factor-test' was graded by hand" in after["wrong"]["note"]
    assert (after["empty"]["points"], after["empty"]["status"]) == ("1", "graded")
    assert (after["solved"]["points"], after["solved"]["status"]) == ("", "could not be graded")


def test_marks_written_by_hand_are_in_everything_that_comes_out(graded, tmp_path):
    folder = graded / "grading" / SHEET
    assert "1 of 1 answers wait" in (folder / "report.html").read_text(encoding="utf-8")
    shutil.copytree(graded, tmp_path, dirs_exist_ok=True)
    folder = tmp_path / "grading" / SHEET
    page = (folder / "marking" / "flaws-answer.html").read_text(encoding="utf-8")
    assert "Nothing follows, &lt;b&gt;I think&lt;/b&gt;." in page and "1 point: " in page
    assert page.split("0 points: ")[1].count("solved (Dr solved)") == 1
    lines = (folder / "marks.csv").read_text(encoding="utf-8-sig").splitlines()
    assert lines[1:] == [f"words,Dr words,{name},2,,," for name in OPEN]
    lines = [
        lines[0],
        "words,,flaws-answer,2,2,Well seen.,",
        "words,,two-answer,2,3,,",
        "eve,,x,,1,,",
    ]
    (folder / "marks.csv").write_text("\n".join(lines), encoding="utf-8")
    printed = run_grade(tmp_path, "--roster", tmp_path / "class.csv")
    assert "two-answer: 1 of 1, marking/two-answer.html" in printed
    faults = [
        "marks.csv, line 3 (words, two-answer): '3' is not a number of points from 0 to 2",
        "marks.csv, line 4: no student is named 'eve'",
    ]
    assert all(fault in printed for fault in faults)
    row = rows_of(tmp_path)["words"]
    assert [row[name] for name in ("points", *OPEN)] == ["4", "2", ""]
    assert row["note"] == "'two-answer' waits for its mark"
    feedback = (folder / "feedback" / "words.html").read_text(encoding="utf-8")
    assert "(Score: 4.0 / 14.0)" in feedback and "Well seen." in feedback


# --- mending


def mended(notebook):
    notebook, notes = read(nbformat.writes(notebook).encode())
    made = mend(HANDED_OUT, notebook)
    return made.notebook, [note.text for note in [*notes, *made.notes]]


def test_a_good_notebook_is_left_as_it_is():
    notebook, notes = mended(GOOD)
    assert notes == []
    assert [one.source for one in notebook.cells] == [one.source for one in GOOD.cells]
    assert [one.metadata for one in notebook.cells] == [one.metadata for one in HANDED_OUT.cells]


@pytest.mark.parametrize("student", [one for one in CLASS if isinstance(CLASS[one][1], dict)])
def test_a_mended_notebook_has_each_cell_of_the_sheet_once_and_in_order(student):
    notebook, _ = mended(CLASS[student][1])
    names = [grade_mend.grade_id(one) for one in notebook.cells]
    assert [name for name in names if name] == [grade_mend.grade_id(c) for c in HANDED_OUT.cells]
    for own in HANDED_OUT.cells:
        kept = cell(notebook, own.metadata.nbgrader.grade_id)
        assert kept.metadata.nbgrader == own.metadata.nbgrader
        if not own.metadata.nbgrader.solution:
            assert (kept.source, kept.cell_type) == (own.source, own.cell_type)
    assert len({one.id for one in notebook.cells}) == len(notebook.cells)
    nbformat.validate(notebook)


def test_imports_added_to_the_locked_set_up_are_kept():
    notebook = solved()
    cell(notebook, "setup").source += "\nimport math as m"
    made, notes = mended(notebook)
    assert made.cells[place(made, "setup") + 1].source.endswith("import math as m")
    assert "'setup' had been changed" in notes[0]


def test_words_in_a_locked_text_are_kept():
    notebook = solved()
    cell(notebook, "two-text").source += "\n\nThe first stage, I think."
    made, _ = mended(notebook)
    assert made.cells[place(made, "two-text") + 1].source.endswith("I think.")


def test_an_answer_in_a_new_cell_is_found():
    notebook = without(solved(), "factor")
    inserted(notebook, "factor-text", cell(solved(), "factor").source)
    made, notes = mended(notebook)
    assert cell(made, "factor").source == cell(solved(), "factor").source
    assert notes == ["nbgrader's metadata was missing from one cell, found by content"]


@pytest.mark.parametrize("text", ["    if not drop_last", "    steps_per_epoch = ", "    return"])
def test_a_split_function_is_joined(text):
    made, notes = mended(split_at(solved(), "epochs", text))
    assert cell(made, "epochs").source.split() == cell(solved(), "epochs").source.split()
    assert notes == ["the answer 'epochs' was split into 2 cells"]


@pytest.mark.parametrize("after", ["factor-text", "factor-test", "two-test"])
def test_an_answer_beside_the_untouched_starter_is_found(after):
    notebook = answered("flaws")
    inserted(notebook, after, cell(solved(), "factor").source)
    made, notes = mended(notebook)
    assert cell(made, "factor").source == cell(solved(), "factor").source
    assert cell(HANDED_OUT, "factor").source not in [one.source for one in made.cells]
    assert notes[0] == "the answer 'factor' was there 2 times"
    assert place(made, "factor") < place(made, "factor-test")


def test_an_answer_that_became_a_text_is_code_again():
    notebook = solved()
    found = cell(notebook, "factor")
    text = nbformat.v4.new_markdown_cell(found.source, metadata=found.metadata)
    notebook.cells[place(notebook, "factor")] = text
    made, notes = mended(notebook)
    assert cell(made, "factor").cell_type == "code"
    assert notes == ["the answer 'factor' was a markdown cell; restored"]


def test_an_answer_in_words_is_found_by_its_place():
    made, notes = mended(stripped(in_words(), ids=True))
    assert cell(made, "flaws-answer").source == "Nothing follows, <b>I think</b>."
    assert cell(made, "two-answer").source == "YOUR ANSWER HERE"
    assert made.cells[-1].source == "The noise does not sink."
    assert notes == ["nbgrader's metadata was missing from 21 cells, found by content"]


def test_both_versions_of_an_answer_are_run_and_the_last_is_graded():
    notebook = duplicated(solved(), "flaws", "def flaws():\n    return {'A'}")
    made, _ = mended(notebook)
    assert cell(made, "flaws").source == "def flaws():\n    return {'A'}"
    assert made.cells[place(made, "flaws") - 1].source == cell(solved(), "flaws").source


def test_metadata_of_any_kind_do_no_harm():
    notebook = json.loads(nbformat.writes(solved()))
    for number, junk in enumerate([None, 3, [], {"nbgrader": 7}, {"nbgrader": {"grade_id": []}}]):
        notebook["cells"][number]["metadata"] = junk
    notebook["cells"] += [None, 3, {}, {"cell_type": "odd", "source": 5}, {"source": ["a", 1]}]
    notebook["cells"][5]["outputs"] = "junk"
    notebook["nbformat"], notebook["metadata"] = 99, []
    made = mend(HANDED_OUT, read(json.dumps(notebook).encode())[0])
    assert cell(made.notebook, "factor").source == cell(solved(), "factor").source


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_other_encodings_are_read(encoding):
    notebook, notes = read(nbformat.writes(solved()).encode(encoding))
    assert (len(notebook.cells), notes) == (len(HANDED_OUT.cells), [])


def test_the_sheet_of_another_chapter_is_noticed():
    other = ROOT / "chapters/exercises/03_exponential_decay/exercises.ipynb"
    made = mend(HANDED_OUT, read(other.read_bytes())[0])
    assert Note("little of this sheet is in the notebook: is it another one?", True) in made.notes
    empty = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 + 1")])
    with pytest.raises(Unreadable, match="another notebook"):
        mend(HANDED_OUT, empty)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b" \n", "empty"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"\x00\x01\x02", "not JSON"),
        (b"[1, 2]", "no list of cells"),
        (b"[" * 100_000, "not JSON"),
        (b'{"cells": []}', "no cells"),
        (b'{"cells": {"a": 1}}', "no list of cells"),
    ],
)
def test_what_is_no_notebook_is_said(data, why):
    with pytest.raises(Unreadable, match=why):
        read(data)


def test_of_several_notebooks_the_one_with_work_is_graded():
    files = [
        (FILE, nbformat.writes(HANDED_OUT).encode()),
        ("exercises (1).ipynb", nbformat.writes(solved()).encode()),
        ("notes.ipynb", b"{}"),
    ]
    found = grade_student.find_notebook("exercises", HANDED_OUT, files, False)
    assert found.name == "exercises (1).ipynb"
    assert "not graded: exercises.ipynb, notes.ipynb" in found.mended.notes[0].text


def test_a_file_that_hides_a_module_is_left_out():
    files = [(name, b"") for name in ("random.py", "torch.py", "my_helpers.py", "a-b.py")]
    kept, left_out = grade_student.own_modules(files)
    assert (list(kept), left_out) == (["my_helpers.py"], ["random.py", "torch.py", "a-b.py"])


# --- who handed in what

TREES = {
    "nbgrader's folders": [
        f"anna/{SHEET}/{FILE}",
        f"bob/{SHEET}/{FILE}",
        f"bob/03_exponential_decay/{FILE}",
    ],
    "files": ["anna.ipynb", "bob.ipynb", "grades.csv", ".DS_Store"],
    "files in the sheet's folder": [
        f"{SHEET}/anna.ipynb",
        f"{SHEET}/bob.ipynb",
        "03_exponential_decay/eve.ipynb",
    ],
    "folders": [f"anna/{FILE}", f"bob/deep/er/{FILE}", "bob/.ipynb_checkpoints/old.ipynb"],
    "a forgotten folder": [
        f"anna/{SHEET}/{FILE}",
        f"bob/{FILE}",
        "eve/03_exponential_decay/a.ipynb",
    ],
    "a loose file": [f"anna/{SHEET}/{FILE}", "bob.ipynb", "notes.txt"],
    "moodle": [
        f"anna_123_assignsubmission_file_/{FILE}",
        f"bob_456_assignsubmission_file_{FILE}",
    ],
    "canvas": ["anna_12_345_exercises.ipynb", "bob_LATE_12_346_exercises-1.ipynb"],
    "second downloads": ["anna (1).ipynb", "bob - Copy.ipynb"],
}


@pytest.mark.parametrize("tree", TREES.values(), ids=TREES)
def test_students_are_found_in_each_layout(tmp_path, tree):
    for name in tree:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    found = grade_collect.collect(tmp_path, SHEET, SHEETS, ["exercises"], {})
    assert [(one.student, len(one.files)) for one in found] == [("anna", 1), ("bob", 1)]


def test_two_students_of_one_name_stay_two(tmp_path):
    for number in (12, 34):
        (tmp_path / f"Participant_{number}_assignsubmission_file_{FILE}").write_text("x")
    found = grade_collect.collect(tmp_path, SHEET, SHEETS, ["exercises"], {})
    assert [one.student for one in found] == ["Participant_12", "Participant_34"]


def test_links_and_pipes_are_left_alone(tmp_path):
    (tmp_path / "secret.ipynb").write_text("x")
    folder = tmp_path / "in" / "anna"
    folder.mkdir(parents=True)
    (folder / "link.ipynb").symlink_to(tmp_path / "secret.ipynb")
    os.mkfifo(folder / "pipe.ipynb")
    (found,) = grade_collect.collect(tmp_path / "in", SHEET, SHEETS, ["exercises"], {})
    assert found.files == []


def test_the_archive_of_an_lms_is_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "lms.zip", "w") as archive:
        archive.writestr("week 2/anna.ipynb", "x")
        archive.writestr("week 2/bob.zip", "x")
    folder = grade_collect.unpacked(tmp_path / "lms.zip", tmp_path / "unpacked")
    found = grade_collect.collect(folder, SHEET, SHEETS, ["exercises"], {})
    assert [one.student for one in found] == ["anna", "bob"]


def test_a_students_archive_is_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "anna.zip", "w") as archive:
        archive.writestr(f"home/{FILE}", "{}")
        archive.writestr(f"__MACOSX/._{FILE}", "x")
    assert list(grade_student.contents([str(tmp_path / "anna.zip")])) == [(FILE, b"{}")]


def test_the_roster_tells_who_is_who_and_who_is_missing(tmp_path):
    (tmp_path / "roster.csv").write_text("id;name\nab12;Anna B\ncd34;Carl D\nef56;Eve F\n")
    roster = grade_collect.read_roster(tmp_path / "roster.csv")
    assert roster == {"ab12": "Anna B", "cd34": "Carl D", "ef56": "Eve F"}
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("exercises_AB12", "Carl D_1_assignsubmission_file_x", "exercises (2)", "guest"):
        (folder / f"{name}.ipynb").write_text("x")
    found = {
        one.student: one
        for one in grade_collect.collect(folder, SHEET, SHEETS, ["exercises"], roster)
    }
    assert [len(found[one].files) for one in roster] == [1, 1, 0]
    assert [note.text for note in found["guest"].notes] == ["not in the roster"]
    assert "whose is it?" in found["exercises (2)"].notes[0].text


def test_keys_are_safe_and_differ():
    names = ["O'Brien, Pat", "O Brien; Pat", "a/b", "a*b", "anna", "Anna", "..", "[x]"]
    submissions = [grade_collect.Submission(name) for name in names]
    grade_collect.name_safely(submissions)
    keys = [one.key for one in submissions]
    assert len({key.casefold() for key in keys}) == len(names)
    assert all(re.fullmatch(r"[\w@-][\w.@-]*", key) for key in keys)
    assert "anna" in keys


def test_what_a_student_wrote_is_no_html_in_the_report():
    row = grade_report.Row("<b>x", "", "could not be graded", [Note("<script>", True)])
    page = grade_report.report_html(SHEET, [row], {"factor-test": 2})
    assert "<script>" not in page and "<b>x" not in page


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["99_none"], "no sheet is named '99_none'"),
        ([SHEET, "--from", "nowhere"], "there is no file or folder nowhere"),
        ([SHEET, "--from", "."], "holds nothing"),
    ],
)
def test_a_wrong_call_is_said(arguments, said, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert grade.main([*arguments, "--out", str(tmp_path / ".grading")]) == 1
    assert said in capsys.readouterr().err
