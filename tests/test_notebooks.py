"""tools/notebooks.py on a small made-up course, and nbgrader on the real one."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import notebooks
import pytest
from jupytext import TextFileContentsManager
from nbgrader.api import Gradebook

from lrlib.lab import evidence

ROOT = Path(__file__).resolve().parent.parent
SOLUTIONS = sorted(path.parent for path in ROOT.glob("chapters/solutions/*/exercises.ipynb"))

CHAPTER = """\
# %% [markdown]
# # A chapter
#
# Its text.

# %%
import matplotlib.pyplot as plt

# %% tags=["nbval-check-output"]
print("first")
print("second")

# %% jupyter={"source_hidden": true} tags=["hide-input"]
figure, axes = plt.subplots()
_ = axes.plot([1, 2])
"""

EXERCISES = """\
# %% [markdown]
# # Exercises

# %% nbgrader={"grade": false, "grade_id": "double", "locked": false, "schema_version": 3, "solution": true, "task": false}
def double(x):
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-double", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
assert double(2) == 4, "double(2) should be 4"
"""  # noqa: E501


# jupytext's, by default.
HEADER = """\
# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

"""


def write_course(root: Path) -> Path:
    (root / "chapters/solutions/01_demo").mkdir(parents=True)
    (root / "chapters/01_demo.py").write_text(CHAPTER)
    (root / "chapters/solutions/01_demo/exercises.py").write_text(EXERCISES)
    for name in ("nbgrader_config.py", "pyproject.toml"):
        shutil.copy(ROOT / name, root)
    return root


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """A course that is in order. Not to be changed: `course` is a copy that may be."""
    root = write_course(tmp_path_factory.mktemp("course"))
    assert notebooks.build(root, []) == []
    notebooks.release_into_place(root)
    return root


@pytest.fixture
def course(built, tmp_path):
    return shutil.copytree(built, tmp_path / "course")


def change(path: Path, edit) -> None:
    """Apply `edit` to the cells of a notebook."""
    content = json.loads(path.read_text())
    edit(content["cells"])
    path.write_text(json.dumps(content))


# --- build


def test_build_executes_and_leaves_no_noise(built):
    notebook = nbformat.read(built / "chapters/01_demo.ipynb", as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [1, 2, 3]
    assert [output.text for output in code[1].outputs] == ["first\nsecond\n"]
    assert "image/png" in code[2].outputs[0].data
    assert code[1].metadata == {"tags": ["nbval-check-output"]}
    assert notebook.metadata == notebooks.NOTEBOOK_METADATA
    assert not list(built.rglob("*.tmp"))


def test_build_again_changes_nothing(course):
    before = (course / "chapters/01_demo.ipynb").read_bytes()
    assert notebooks.build(course, ["01_demo"]) == []
    assert (course / "chapters/01_demo.ipynb").read_bytes() == before


def test_an_inserted_cell_leaves_the_other_ids_alone(course):
    script = course / "chapters/01_demo.py"
    before = [cell.id for cell in notebooks.read_script(script).cells]
    script.write_text(CHAPTER.replace("# %%\nimport", "# %%\n1 + 1\n\n# %%\nimport"))
    after = [cell.id for cell in notebooks.read_script(script).cells]
    assert len(after) == len(before) + 1
    assert [name for name in after if name in before] == before


def test_equal_cells_have_different_ids(course):
    script = course / "chapters/01_demo.py"
    script.write_text("# %%\n1 + 1\n\n# %%\n1 + 1\n")
    first, second = notebooks.read_script(script).cells
    assert first.id != second.id


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("import warnings; warnings.warn('careful')", "wrote to stderr"),
        ("object()", "shows an object's address"),
        ("import os; os._exit(1)", "kernel died"),
    ],
)
def test_build_refuses_and_writes_nothing(course, code, message):
    script, notebook = course / "chapters/01_demo.py", course / "chapters/01_demo.ipynb"
    script.write_text(f"# %%\na = 1\n\n# %%\n{code}\n")
    before = notebook.read_bytes()
    (course / "chapters/solutions/01_demo/exercises.py").unlink()
    (fault,) = notebooks.build(course, [])
    assert fault.startswith(f"chapters/01_demo.py: cell 2 (code: {code[:50]})")
    assert message in fault
    assert notebook.read_bytes() == before


def test_build_knows_its_chapters(course):
    with pytest.raises(notebooks.Fault, match="no chapter is named 02_nope; there are 01_demo"):
        notebooks.build(course, ["02_nope"])


def test_kernels_are_this_interpreter(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    with notebooks.notebook_environment():
        kernel = Path(os.environ["JUPYTER_PATH"], "kernels/python3/kernel.json")
        assert json.loads(kernel.read_text())["argv"][0] == sys.executable
        assert "MPLBACKEND" not in os.environ
    assert not kernel.exists()
    assert os.environ["MPLBACKEND"] == "Agg"


# --- check


def test_check_accepts_what_build_made(built):
    assert notebooks.check(built) == []


def set_source(number, text):
    return lambda cells: cells[number - 1].update(source=text)


FAULTS = {
    "changed text": (set_source(2, "import torch"), "cell 2 (code: import matplotlib"),
    "changed prose": (set_source(1, "# Another"), "cell 1 (markdown: # A chapter) has another"),
    "changed tags": (lambda cells: cells[2]["metadata"].clear(), "has other metadata"),
    "changed type": (
        lambda cells: cells.__setitem__(
            0, {"cell_type": "raw", "id": "a", "metadata": {}, "source": "# A chapter"}
        ),
        "is a raw cell in the notebook",
    ),
    "lost cell": (lambda cells: cells.pop(), "the script has 4 cells, the notebook 3"),
    "unexecuted": (
        lambda cells: [cell.update(execution_count=None) for cell in cells[1:]],
        "was executed as [None], not as [1]",
    ),
    "out of order": (lambda cells: cells[3].update(execution_count=9), "as [9], not as [3]"),
    "stderr": (
        lambda cells: cells[2]["outputs"].append(
            {"output_type": "stream", "name": "stderr", "text": "careful"}
        ),
        'cell 3 (code: print("first")) wrote to stderr: careful',
    ),
    "error": (
        lambda cells: cells[2]["outputs"].append(
            {"output_type": "error", "ename": "E", "evalue": "bad", "traceback": []}
        ),
        "shows an error: E: bad",
    ),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_check_catches(course, kind):
    edit, message = FAULTS[kind]
    change(course / "chapters/01_demo.ipynb", edit)
    faults = notebooks.check(course)
    assert any(message in fault for fault in faults), faults
    assert all(fault.startswith("chapters/01_demo.ipynb: ") for fault in faults)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("\n".join(["x = 1"] * 26), "cell 1 (code: x = 1) has 26 lines; 25 at most"),
        (f"x = '{'y' * 90}'", "line 1 is 96 wide; 88 at most"),
    ],
)
def test_check_catches_cells_that_do_not_fit(course, cell, message):
    (course / "chapters/01_demo.py").write_text(f"# %%\n{cell}\n")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell, execution_count=1)])
    notebooks.write_notebook(notebook, course / "chapters/01_demo.ipynb")
    notebooks.pair_up(course, [])
    (fault,) = notebooks.check(course)
    assert message in fault


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("chapters/01_demo.ipynb", "chapters/01_demo.py has no notebook"),
        ("chapters/01_demo.py", "chapters/01_demo.ipynb has no script"),
        ("chapters/solutions/01_demo/exercises.ipynb", "exercises.py has no notebook"),
    ],
)
def test_check_catches_a_missing_partner(course, lost, message):
    (course / lost).unlink()
    (fault,) = notebooks.check(course)
    assert message in fault


# What a save in JupyterLab would change, in the script or in the notebook; the outputs are not at
# stake.
UNSAVED = {
    "a header": ("py", "# %% [markdown]\n# # A", HEADER + "# %% [markdown]\n# # A", 1),
    "a loose cell marker": ("py", "# %%\nimport", "#%%\nimport", 6),
    "metadata out of order": (
        "py",
        'jupyter={"source_hidden": true} tags=["hide-input"]',
        'tags=["hide-input"] jupyter={"source_hidden": true}',
        13,
    ),
    "a blank line": ("py", "plt\n\n# %% tags", "plt\n\n\n\n# %% tags", None),
    "no filters": ("ipynb", '"cell_metadata_filter"', '"cell_metadata"', None),
    "another kernel": ("ipynb", '"Python 3"', '"Python 3 (ipykernel)"', None),
    "an id": ("ipynb", '"id": "cell-', '"id": "cell_', None),
    "an indent": ("ipynb", '"nbformat": 4', '  "nbformat": 4', None),
}


@pytest.mark.parametrize("kind", UNSAVED)
def test_check_catches_what_a_save_would_change_and_pair_mends_it(course, kind):
    suffix, good, bad, line = UNSAVED[kind]
    path = course / f"chapters/01_demo.{suffix}"
    text = path.read_text()
    assert good in text
    path.write_text(text.replace(good, bad))
    (fault,) = notebooks.check(course)
    assert fault.startswith("chapters/01_demo.ipynb: a save in JupyterLab would change line ")
    assert fault.endswith("; run: python tools/notebooks.py pair 01_demo")
    if line:
        assert f"line {line} of 01_demo.py" in fault
    assert notebooks.pair_up(course, []) == []
    assert notebooks.check(course) == []
    if kind != "a blank line":  # which jupytext keeps
        assert path.read_text() == text


def test_a_number_that_a_save_would_change_is_caught(course):
    path = course / "chapters/01_demo.ipynb"
    change(path, lambda cells: cells[3]["outputs"][0]["metadata"].update(dpi=2.0))
    notebook = notebooks.read_notebook(path)
    path.write_text(nbformat.writes(notebook) + "\n")
    (fault,) = notebooks.check(course)
    assert "a save in JupyterLab would change line" in fault
    assert notebooks.pair_up(course, []) == [] == notebooks.check(course)
    assert '"dpi": 2\n' in path.read_text()


def test_pair_keeps_the_outputs_and_leaves_a_stale_notebook_alone(course):
    script, path = course / "chapters/01_demo.py", course / "chapters/01_demo.ipynb"
    outputs = [cell.get("outputs") for cell in notebooks.read_notebook(path).cells]
    script.write_text(CHAPTER.replace('tags=["nbval-check-output"]', 'tags=["other"]'))
    assert notebooks.pair_up(course, ["01_demo"]) == []
    cells = notebooks.read_notebook(path).cells
    assert [cell.get("outputs") for cell in cells] == outputs and any(outputs)
    assert cells[2].metadata == {"tags": ["other"]}

    before = path.read_bytes()
    script.write_text(CHAPTER.replace("second", "third"))
    (fault,) = notebooks.pair_up(course, [])
    assert "has another text in the notebook; run: make chapters NAME=01_demo" in fault
    assert path.read_bytes() == before
    with pytest.raises(notebooks.Fault, match="no chapter is named 02_nope"):
        notebooks.pair_up(course, ["02_nope"])


@pytest.mark.parametrize(
    ("number", "saved"),
    [
        *[(0.0, "0"), (-0.0, "0"), (2.5, "2.5"), (3, "3"), (True, "true"), (1e-7, "1e-07")],
        *[(1e16, "10000000000000000"), (1e21, "1e+21"), (2**53 + 1, "9007199254740992")],
    ],
)
def test_numbers_are_written_as_a_browser_saves_them(tmp_path, number, saved):
    """JSON.parse and JSON.stringify give the same text, but for the zero in 1e-07."""
    cell = nbformat.v4.new_code_cell("x", metadata={"a": [{"number": number}]})
    text = notebooks.notebook_text(nbformat.v4.new_notebook(cells=[cell]))
    assert f'"number": {saved}\n' in text


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_no_browser_reads_is_a_fault(course, number):
    path = course / "chapters/01_demo.ipynb"
    change(path, carries({"rows": [number]}))
    assert any("which JSON does not know" in fault for fault in notebooks.check(course))
    with pytest.raises(notebooks.Fault, match="carries the number"):
        notebooks.write_notebook(notebooks.read_notebook(path), path)


def test_check_catches_a_broken_file(course):
    (course / "chapters/01_demo.ipynb").write_text("{")
    (fault,) = notebooks.check(course)
    assert "01_demo.ipynb: not a valid notebook" in fault


def test_the_command_lists_every_fault_and_fails(course):
    change(course / "chapters/01_demo.ipynb", set_source(2, "import torch"))
    (course / "chapters/solutions/01_demo/exercises.py").unlink()
    command = [sys.executable, ROOT / "tools/notebooks.py", "--root", course, "check"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 2


# --- release


def test_student_version_has_no_solution(built):
    folder = built / "chapters/exercises/01_demo"
    assert [path.name for path in folder.iterdir()] == ["exercises.ipynb"]
    text = (folder / "exercises.ipynb").read_text()
    assert "raise NotImplementedError" in text
    assert "SOLUTION" not in text and "2 * x" not in text
    assert not (built / "gradebook.db").exists()


def test_release_is_deterministic(course):
    student = course / "chapters/exercises/01_demo/exercises.ipynb"
    before = student.read_bytes()
    for version in ("exercises", "solutions"):  # what JupyterLab leaves behind is not ours
        leftovers = course / "chapters" / version / "01_demo/.ipynb_checkpoints"
        leftovers.mkdir()
        (leftovers / "exercises-checkpoint.ipynb").write_text("{}")
    assert notebooks.check_release(course) == []
    notebooks.release_into_place(course)
    assert student.read_bytes() == before
    assert [path.name for path in student.parent.iterdir()] == ["exercises.ipynb"]


def test_check_release_catches(course):
    exercises = course / "chapters/exercises"
    change(exercises / "01_demo/exercises.ipynb", set_source(1, "# Edited"))
    (exercises / "02_gone").mkdir()
    (exercises / "02_gone/exercises.ipynb").write_text("{}")
    edited, extra = notebooks.check_release(course)
    assert "01_demo/exercises.ipynb is not what its solution makes" in edited
    assert "02_gone/exercises.ipynb is made by no solution" in extra
    shutil.rmtree(exercises)
    (missing,) = notebooks.check_release(course)
    assert "01_demo/exercises.ipynb is missing" in missing


# --- claims and measurements


def row(text, kind="claim", **changes):
    """A row as the notebooks carry it."""
    made = {
        "kind": kind,
        "text": text,
        "measured": "1.50 points [1.20, 1.80]",
        "effect": 1.5,
        "low": 1.2,
        "high": 1.8,
        "n": 8,
        "of": "seeds",
        "unit": "points",
        "scale": "linear",
        "confidence": 0.95,
        "wanted": "> 0.3 points",
        "bounds": [0.3, None],
        "power": 4.0,
        "seeds_needed": 7,
        "verdict": "supported",
    }
    if kind == "measurement":
        made |= {"wanted": None, "bounds": [None, None], "power": None, "verdict": "measured"}
    return made | changes


SUPPORTED = row("2 * x_1 <b> ~ y", power=4.16)
ALIKE = row("A | B", verdict="no difference we can detect", wanted="within a factor 1.1", power=3.0)
EXACT = row("C", measured="-0.2", n=0, verdict="a difference, smaller than the margin", power=None)
MEASURED = row("D", "measurement", n=12, of="problems")
LOOP = "for made in rows:\n    lab.claim(*made)"


def write_chapter(course: Path, *cells: tuple[str, list[dict]]) -> None:
    """chapters/02_claims.ipynb, with code cells given as (source, the rows it shows)."""
    made = [nbformat.v4.new_markdown_cell("# 2 · Some_claims\n\n# Not the title")]
    for i, (source, rows) in enumerate(cells, start=1):
        made.append(nbformat.v4.new_code_cell(source, execution_count=i))
        data = {"text/plain": "a table", notebooks.CLAIMS_DATA: {"rows": rows}}
        made[-1].outputs = [nbformat.v4.new_output("display_data", data)] if rows else []
    notebook = nbformat.v4.new_notebook(cells=made)
    notebooks.write_notebook(notebook, course / "chapters/02_claims.ipynb")


def write_audit(course: Path, *rows: dict, chapter: str = "02_claims") -> None:
    audit = {"draws": [1, 2, 3], "chapters": {chapter: {"rows": list(rows)}}}
    (course / "chapters/audit.json").write_text(json.dumps(audit))


def test_the_lab_and_the_tool_agree():
    assert notebooks.CLAIMS_DATA == evidence.MIMETYPE
    assert (notebooks.ENOUGH, notebooks.FAILED) == (evidence.ENOUGH, evidence.FAILED)
    assert set(row("x")) == set(evidence.claim("x", 1.0, above=0).row()) >= notebooks.ROW_KEYS


def test_the_table_has_every_row_and_shows_it_as_the_notebook_does(course):
    write_chapter(
        course, (LOOP, [SUPPORTED, ALIKE]), ("lab.claims([lab.measure(1)])", [EXACT, MEASURED])
    )
    write_audit(
        course,
        {"text": SUPPORTED["text"], "kind": "claim", "held": 12, "of": 12},
        {"text": "A | B", "kind": "claim", "held": 11, "of": 12, "low": 0.9, "chance": 1e-5},
        {"text": "D", "kind": "measurement", "held": None, "of": 12},
        {"text": "of an older version", "kind": "claim", "held": 1, "of": 12},
    )
    table = notebooks.claims_table(course)
    assert table.startswith(notebooks.CLAIMS_HEADER)
    expected = """
Claims: 3; 1 *supported*, 1 *no difference we can detect*, \
1 *a difference, smaller than the margin*. Of them exact: 1.
Measurements: 1. Of them exact: 0.

## [A chapter](01_demo.ipynb)

No claims.

## [2 · Some\\_claims](02_claims.ipynb)

| claim | measured | seeds | wanted | half-widths | verdict | audit |
| --- | --- | --- | --- | --- | --- | --- |
| 2 \\* x\\_1 \\<b> \\~ y | 1.50 points [1.20, 1.80] | 8 | > 0.3 points | 4.1 | supported | \
12 of 12 |
| A \\| B | 1.50 points [1.20, 1.80] | 8 | within a factor 1.1 | 3.0 | \
no difference we can detect | 11 of 12 |
| C | -0.2 | exact | > 0.3 points | – | a difference, smaller than the margin | – |
| D | 1.50 points [1.20, 1.80] | 12 problems | – | – | *measured* | – |
"""
    assert table.removeprefix(notebooks.CLAIMS_HEADER) == expected


def test_the_tables_numbers_do_not_flatter(course):
    write_chapter(course, ("x", [row("weak", power=2.99), row("beyond", power=-0.01)]))
    weak, beyond = notebooks.claims_table(course).splitlines()[-2:]
    assert "| 2.9 |" in weak and "| -0.1 |" in beyond


def test_without_an_audit_its_column_is_empty(course):
    write_chapter(course, (LOOP, [SUPPORTED]))
    assert notebooks.claims_table(course).endswith("| supported | – |\n")
    write_audit(course, {"text": SUPPORTED["text"], "kind": "claim", "held": 3, "of": 3})
    assert notebooks.claims_table(course).endswith("| supported | 3 of 3 |\n")
    write_audit(
        course, {"text": SUPPORTED["text"], "kind": "claim", "held": 3, "of": 3}, chapter="01_demo"
    )
    assert notebooks.claims_table(course).endswith("| supported | – |\n")


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"chapters": {"a": {}}}', '{"chapters": {"a": {"rows": [{}]}}}']
)
def test_an_audit_cut_short_is_a_fault(course, text):
    (course / "chapters/audit.json").write_text(text)
    with pytest.raises(notebooks.Fault, match=r"^chapters/audit.json is not what make audit"):
        notebooks.claims_table(course)


def carries(data):
    """A cell's output that carries `data` in the place of rows."""
    return lambda cells: cells[2].update(
        outputs=[
            {"output_type": "display_data", "metadata": {}, "data": {notebooks.CLAIMS_DATA: data}}
        ]
    )


@pytest.mark.parametrize(
    ("source", "rows", "message"),
    [
        (LOOP, [], "calls claim and measure 1 times and shows 0 rows; show them with lab.claims"),
        (f"{LOOP}\n{LOOP}", [EXACT], "calls claim and measure 2 times and shows 1 rows"),
        (f"{LOOP}\nlab.measure(x)", [EXACT], "calls claim and measure 2 times and shows 1 rows"),
        (f"%time 1\n{LOOP}", [], "calls claim and measure 1 times and shows 0 rows"),
        (f"{LOOP}\nlab.claims([claim(x)])", [EXACT], "calls claim and measure 2 times and shows 1"),
        (LOOP, [EXACT, MEASURED, EXACT], "shows a second row that says 'C'"),
        (f"{LOOP})", [EXACT], "is not Python: unmatched ')'"),
    ],
)
def test_a_row_that_would_be_missing_is_a_fault(course, source, rows, message):
    write_chapter(course, ("rows = []", []), (source, rows))
    with pytest.raises(notebooks.Fault) as fault:
        notebooks.claims_table(course)
    where = f"chapters/02_claims.ipynb: cell 3 (code: {source.splitlines()[0]})"
    assert str(fault.value).startswith(f"{where} {message}")


@pytest.mark.parametrize(
    "source",
    ["# lab.claim(x)", "'lab.measure(x)'", "lab.claims([e])", "reclaim(x)", "check.measure(x)"],
)
def test_what_is_no_claim_needs_no_row(course, source):
    write_chapter(course, (source, []))
    assert notebooks.claims_table(course).endswith("No claims.\n")


def test_a_text_may_not_come_twice_in_a_chapter(course):
    write_chapter(course, ("x", [row("A")]), ("y", [row("A", "measurement")]))
    with pytest.raises(notebooks.Fault, match=r"cell 3 \(code: y\) shows a second row .* 'A'$"):
        notebooks.claims_table(course)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"rows": []}, "carries no rows under application/vnd.lrlib.claims"),
        ({}, "carries no rows"),
        ([], "carries no rows"),
        ({"rows": [3]}, "carries what is no row of lab.claims: 3"),
        ({"rows": [{"kind": "claim"}]}, "carries what is no row of lab.claims: {'kind': 'claim'}"),
    ],
)
def test_rows_that_are_none_are_a_fault(course, data, message):
    change(course / "chapters/01_demo.ipynb", carries(data))
    with pytest.raises(notebooks.Fault, match=r"^chapters/01_demo.ipynb: cell 3 ") as fault:
        notebooks.claims_table(course)
    assert message in str(fault.value)


@pytest.mark.parametrize("kind", ["unexecuted", "error"])
def test_a_notebook_that_did_not_run_through_is_a_fault(course, kind):
    edit, message = FAULTS[kind]
    change(course / "chapters/01_demo.ipynb", edit)
    with pytest.raises(
        notebooks.Fault, match=r"^chapters/01_demo.ipynb: cell \d .*" + re.escape(message)
    ):
        notebooks.claims_table(course)


def test_a_chapter_without_a_notebook_is_a_fault(course):
    (course / "chapters/01_demo.ipynb").unlink()
    with pytest.raises(notebooks.Fault, match="is missing; run: make chapters NAME=01_demo"):
        notebooks.claims_table(course)


def test_check_claims_catches_a_stale_table(course):
    stale = ["chapters/CLAIMS.md is not what the notebooks show; run: make claims"]
    assert notebooks.check_claims(course) == stale
    notebooks.write_claims(course)
    assert notebooks.check_claims(course) == []
    write_chapter(course, (LOOP, [SUPPORTED]))
    assert notebooks.check_claims(course) == stale
    notebooks.write_claims(course)
    write_audit(course, {"text": SUPPORTED["text"], "kind": "claim", "held": 3, "of": 3})
    assert notebooks.check_claims(course) == stale


WEAK = row("W", power=1.44, seeds_needed=14)
HOPELESS = row("H", power=0.001, seeds_needed=None, n=9, of="problems")
REFUTED = row("R", power=-1.0, seeds_needed=None, verdict="NOT SUPPORTED")


def test_check_claims_lists_every_weak_claim(course):
    write_chapter(
        course,
        (LOOP, [SUPPORTED, WEAK, EXACT, MEASURED]),
        ("x", [ALIKE, row("just short", power=2.9999), REFUTED, HOPELESS]),
    )
    notebooks.write_claims(course)
    weak, short, refuted, hopeless = notebooks.check_claims(course)
    assert weak == (
        "chapters/02_claims.ipynb: cell 2 (code: for made in rows:), the claim 'W' lies 1.44 "
        "half-widths from its bound (1.50 points [1.20, 1.80], wanted > 0.3 points), 1.6 short "
        "of 3; it has 8 seeds, 14 would do if estimate and spread stayed"
    )
    assert "cell 3 (code: x), the claim 'just short' lies 3 half-widths" in short
    assert "0.0001 short of 3" in short
    assert refuted.endswith(
        "the claim 'R' is not supported: 1.50 points [1.20, 1.80], wanted > 0.3 points"
    )
    assert "it has 9 problems, no number of them would do if" in hopeless


def test_check_claims_tells_of_weak_claims_and_missing_rows_at_once(course):
    write_chapter(course, (LOOP, [WEAK]), (LOOP, []))
    weak, missing = notebooks.check_claims(course)
    assert "the claim 'W' lies 1.44" in weak and "shows 0 rows" in missing


CLAIMING = """\
# %% [markdown]
# # A chapter

# %%
from lrlib.lab.evidence import claim, claims, measure

values = [0.1, 0.3, 0.2, 0.4, 0.25]

# %%
claims([claim("strong", values, above=-1), measure("gap", values, unit="nats")])

# %%
claim("<weak> & so", values, above=0.05)

# %%
for bound in (0, 0.01):
    claims([claim(f"above {bound}", values, above=bound)])
"""


def claiming(course: Path, text: str = CLAIMING) -> Path:
    """The chapter is one that makes claims, and has no notebook yet."""
    shutil.rmtree(course / "chapters/solutions")
    (course / "chapters/01_demo.py").write_text(text)
    (course / "chapters/01_demo.ipynb").unlink()
    return course / "chapters/01_demo.ipynb"


def test_build_refuses_weak_claims_and_lists_them(course):
    notebook = claiming(course)
    faults = notebooks.build(course, [])
    assert [re.search(r"claim '(.*?)' lies (\S+)", fault).groups() for fault in faults] == [
        ("<weak> & so", "1.44"),
        ("above 0", "1.8"),
        ("above 0.01", "1.73"),
    ]
    assert faults[0].startswith("chapters/01_demo.py: cell 4 (code: claim(")
    assert faults[0].endswith("it has 5 seeds, 14 would do if estimate and spread stayed")
    assert not notebook.exists()


def test_a_draft_is_written_and_its_rows_survive(course, capsys, monkeypatch):
    monkeypatch.setenv("LRLIB_AUDIT", "1")  # no business of a build
    path = claiming(course)
    assert notebooks.build(course, ["01_demo"], draft=True) == []
    assert capsys.readouterr().out.count("draft: chapters/01_demo.py: cell ") == 3
    assert notebooks.check(course) == []
    title, rows = notebooks.read_claims(notebooks.read_notebook(path))
    assert title == "A chapter"
    assert [(row["kind"], row["text"]) for row in rows] == [
        *[("claim", "strong"), ("measurement", "gap"), ("claim", "<weak> & so")],
        *[("claim", "above 0"), ("claim", "above 0.01")],
    ]
    values = [0.1, 0.3, 0.2, 0.4, 0.25]
    assert rows[2] == evidence.claim("<weak> & so", values, above=0.05).row()
    cells = notebooks.read_notebook(path).cells
    assert [len(cell.get("outputs", [])) for cell in cells] == [0, 0, 1, 1, 2]
    shown = cells[3].outputs[0].data
    assert "&lt;weak&gt; &amp; so" in shown["text/html"]
    assert shown["text/plain"].startswith("Claim: <weak> & so | 0.25 [0.11, 0.39], 5 seeds |")
    notebooks.write_claims(course)
    assert "| *measured* | – |" in (course / "chapters/CLAIMS.md").read_text()
    assert len(notebooks.check_claims(course)) == 3


def test_build_stops_at_a_claim_that_fails_or_is_not_shown(course):
    path = claiming(course, CLAIMING.replace("above=0.05", "above=0.3"))
    (fault,) = notebooks.build(course, [], draft=True)
    assert "ClaimError" in fault and "NOT SUPPORTED" in fault
    hidden = CLAIMING.split("# %%\nclaim(")[0] + "_ = claim('x', values, above=-2)\n"
    path.with_suffix(".py").write_text(hidden)
    (fault,) = notebooks.build(course, [])
    assert "calls claim and measure 3 times and shows 2 rows" in fault
    assert not path.exists()


def test_an_audit_sees_the_claims_that_fail(course):
    path = claiming(course, CLAIMING.replace("above=0.05", "above=0.3"))
    notebook = notebooks.read_script(path.with_suffix(".py"))
    with notebooks.notebook_environment(LRLIB_AUDIT="1"):
        notebooks.execute(notebook, path.parent)
    _, rows = notebooks.read_claims(notebook)
    assert [row["verdict"] for row in rows] == [
        *["supported", "measured", "NOT SUPPORTED", "supported", "supported"]
    ]


@pytest.mark.parametrize("flags", [[], ["--draft"]])
def test_the_command_writes_a_draft_only_if_asked(course, flags):
    notebook = claiming(course)
    command = [sys.executable, ROOT / "tools/notebooks.py", "--root", course, "build", *flags]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode == 0) == notebook.exists() == bool(flags)
    assert len(result.stderr.splitlines()) == (0 if flags else 3)


@pytest.mark.parametrize("value", ["2", "2.5", "-1", "(3)", "2 * 1.5", "None"])
def test_a_margin_of_ones_own_is_a_fault(course, value):
    code = f"lab.claim('x', 1.0, no_difference={value})\n"
    write_chapter(course, (code, [row("x")]))
    (course / "chapters/02_claims.py").write_text(
        f"# %% [markdown]\n# # 2 · Some_claims\n#\n# # Not the title\n\n# %%\n{code}"
    )
    notebooks.pair_up(course, [])
    (fault,) = notebooks.check(course)
    assert fault.startswith("chapters/02_claims.ipynb: cell 2 (code: lab.claim('x', ")
    assert "give the margin of the task, such as no_difference=task.margin" in fault
    for path in course.glob("chapters/02_claims.*"):
        text = path.read_text().replace(f"no_difference={value}", "no_difference=task.margin")
        path.write_text(text)
    notebooks.pair_up(course, [])
    assert notebooks.check(course) == []


def test_the_committed_table_is_current():
    assert notebooks.check_claims(ROOT) == []


# --- grading


def autograde(root: Path, name: str, folder: Path) -> dict[str, tuple[float, float, list]]:
    """Grade the solution and the untouched starter as two students' work.

    Returns for each the score, the best possible score, and the test cells as executed.
    """
    notebooks.release(root, folder)
    for student, version in {"solution": "solutions", "starter": "exercises"}.items():
        submitted = folder / "submitted" / student / name
        submitted.mkdir(parents=True)
        shutil.copy(folder / "chapters" / version / name / "exercises.ipynb", submitted)

    api = notebooks.grader(root, folder)
    grades = {}
    for student in ("solution", "starter"):
        with notebooks.notebook_environment():
            result = api.autograde(name, student)
        assert result["success"], result["log"]
        with Gradebook(f"sqlite:///{folder}/gradebook.db", course_id="lrlib") as gradebook:
            marks = gradebook.find_submission(name, student).notebooks[0].grades
            marks = [
                (mark.auto_score, mark.max_score) for mark in marks if not mark.needs_manual_grade
            ]
        graded = nbformat.read(
            folder / "autograded" / student / name / "exercises.ipynb", as_version=4
        )
        tests = [
            cell
            for cell in graded.cells
            if cell.cell_type == "code"
            and cell.metadata.get("nbgrader", {}).get("grade")
            and not cell.metadata.nbgrader.solution
        ]
        grades[student] = (*map(sum, zip(*marks, strict=True)), tests)
    return grades


def test_autograde_gives_full_marks_to_the_solution_and_none_to_the_starter(built, tmp_path):
    grades = autograde(built, "01_demo", tmp_path)
    assert grades["solution"][:2] == (2, 2)
    assert grades["starter"][:2] == (0, 2)


@pytest.mark.parametrize("folder", SOLUTIONS, ids=lambda folder: folder.name)
def test_autograde_of_the_real_exercises(folder, tmp_path):
    grades = autograde(ROOT, folder.name, tmp_path)
    score, best, _ = grades["solution"]
    assert score == best > 0
    score, _, tests = grades["starter"]
    assert score == 0
    for cell in tests:
        assert "not attempted" in str(cell.outputs).lower(), cell.source


# --- pairing: JupyterLab, started at the root, loads and saves through this class


@pytest.fixture
def lab(course):
    return TextFileContentsManager(root_dir=str(course))


@pytest.mark.parametrize(
    "opened", ["chapters/01_demo.ipynb", "chapters/solutions/01_demo/exercises.py"]
)
def test_saving_a_notebook_updates_both_files(course, lab, opened):
    model = lab.get(opened, type="notebook", content=True)
    cells = model["content"]["cells"]
    cells[1]["source"] += "\nadded = 1"
    cells[1]["metadata"] |= {"scrolled": True, "jupyter": {"source_hidden": True}}
    lab.save(model, opened)

    script = (course / opened).with_suffix(".py")
    made = notebooks.read_script(script)
    assert made.cells[1].source.endswith("added = 1")
    assert made.cells[1].metadata.jupyter == {"source_hidden": True}
    text = script.read_text()
    assert "scrolled" not in text and "jupytext" not in text
    kept = nbformat.read(script.with_suffix(".ipynb"), as_version=4)
    assert [cell.source for cell in kept.cells] == [cell.source for cell in made.cells]


def test_saving_twice_changes_the_script_no_more(course, lab):
    texts = []
    for _ in range(2):
        lab.save(lab.get("chapters/01_demo.ipynb", content=True), "chapters/01_demo.ipynb")
        texts.append((course / "chapters/01_demo.py").read_text())
    assert texts[0] == texts[1]
    assert notebooks.check(course) == []


def test_a_notebook_newer_than_its_script_can_be_opened(course, lab):
    """As after `git pull`, when only the outputs have changed."""
    os.utime(course / "chapters/01_demo.ipynb")
    os.utime(course / "chapters/01_demo.py", (1, 1))
    assert len(lab.get("chapters/01_demo.ipynb", content=True)["content"]["cells"]) == 4


def test_saving_a_student_version_makes_no_script(course, lab):
    path = "chapters/exercises/01_demo/exercises.ipynb"
    lab.save(lab.get(path, content=True), path)
    assert (course / path).exists()
    assert [file.name for file in (course / path).parent.glob("*.py")] == []


@pytest.mark.parametrize("path", ["lrlib/schedule.py", "tools/notebooks.py", "tests/test_a.py"])
def test_library_files_are_not_paired(course, lab, path):
    file = course / path
    file.parent.mkdir()
    file.write_text("x = 1\n")
    lab.save(lab.get(path, type="notebook", content=True), path)
    assert not file.with_suffix(".ipynb").exists()
