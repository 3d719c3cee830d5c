"""make handout: what students get has no solution in it, and works without this repository."""

import subprocess
import sys
import zipfile
from pathlib import Path

import handout
import nbformat
import notebooks
import pytest
import sheets
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
SHEET = "02_step_decay"
STUBS = ("# YOUR CODE HERE\n", "YOUR ANSWER HERE")


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    assert handout.main([SHEET, "--chapter", "--out", str(out)]) == 0
    return out / f"{SHEET}.zip"


@pytest.fixture(scope="module")
def unpacked(archive, tmp_path_factory):
    folder = tmp_path_factory.mktemp("student")
    zipfile.ZipFile(archive).extractall(folder)
    (only,) = folder.iterdir()
    return only


def read(path):
    return nbformat.read(path, as_version=4)


def test_the_archive_is_one_folder_with_what_a_student_needs_and_nothing_else(unpacked):
    assert unpacked.name == SHEET
    (wheel,) = unpacked.glob("lrlib-*.whl")
    own = ["LICENSE", "README.md", "constraints.txt", "requirements.txt", wheel.name]
    notebooks_ = ["exercises.ipynb", f"{SHEET}.ipynb"]
    assert sorted(path.name for path in unpacked.rglob("*")) == sorted([*own, *notebooks_])
    inside = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert inside == {"lrlib", wheel.name.replace("-py3-none-any.whl", ".dist-info")}


def test_no_cell_has_a_solution_in_its_text_or_its_output(unpacked):
    solutions = read(ROOT / "chapters/solutions" / SHEET / "exercises.ipynb")
    sheet = read(unpacked / "exercises.ipynb")
    answers = [cell for cell in sheet.cells if sheets.about(cell)["solution"]]
    wanted = [sheets.grade_id(cell) for cell in solutions.cells if sheets.about(cell)["solution"]]
    assert [sheets.grade_id(cell) for cell in answers] == wanted
    assert all(any(stub in cell.source for stub in STUBS) for cell in answers)
    assert not any(cell.get("outputs") for cell in sheet.cells)
    seen = "\n".join(path.read_text(encoding="utf-8") for path in unpacked.glob("*.ipynb"))
    assert "BEGIN SOLUTION" not in seen and "Rubric" not in seen
    chapter = read(unpacked / f"{SHEET}.ipynb")
    assert not any("nbgrader" in cell.metadata for cell in chapter.cells)


def test_the_solutions_are_an_archive_of_their_own_that_replaces_nothing(archive):
    assert handout.main([SHEET, "--solutions", "--out", str(archive.parent)]) == 0
    names = zipfile.ZipFile(archive.parent / f"{SHEET}-solutions.zip").namelist()
    files = [name for name in names if not name.endswith("/")]
    assert files == [f"{SHEET}-solutions/exercises-solutions.ipynb"]
    assert archive.exists()


def test_pip_finds_all_that_is_asked_for(unpacked):
    """Without a network: the wheel in the folder, the rest in this environment."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-index"]
    command += ["--disable-pip-version-check", "-r", "requirements.txt"]
    result = subprocess.run(command, cwd=unpacked, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Processing ./lrlib-" in result.stdout


def test_the_notebook_runs_with_the_wheel_up_to_what_is_not_attempted(unpacked, tmp_path):
    (wheel,) = unpacked.glob("*.whl")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    install += ["--disable-pip-version-check", "--target", tmp_path / "site", wheel]
    subprocess.run(install, check=True)
    notebook = read(unpacked / "exercises.ipynb")
    tests = [cell for cell in notebook.cells if cell.cell_type == "code" and sheets.points_of(cell)]
    where = nbformat.v4.new_code_cell("import lrlib\nprint(lrlib.__file__)")
    notebook.cells.append(where)
    with notebooks.notebook_environment(PYTHONPATH=str(tmp_path / "site")):
        NotebookClient(
            notebook,
            timeout=120,
            kernel_name="python3",
            allow_errors=True,
            resources={"metadata": {"path": str(unpacked)}},
        ).execute()
    assert where.outputs[0].text.startswith(str(tmp_path / "site"))
    errors = [
        (sheets.grade_id(cell), output.ename)
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type == "error"
    ]
    assert errors == [(sheets.grade_id(cell), "NotAttempted") for cell in tests]
    assert len(errors) >= 4


def test_without_the_chapter_it_is_left_out(tmp_path):
    wheel = tmp_path / "lrlib-0-py3-none-any.whl"
    wheel.touch()
    handout.hand_out(ROOT, SHEET, tmp_path / "out", wheel)
    assert [path.name for path in (tmp_path / "out").glob("*.ipynb")] == ["exercises.ipynb"]
    listed = (tmp_path / "out" / "requirements.txt").read_text().splitlines()
    assert listed[:2] == ["-c constraints.txt", f"./{wheel.name}"]
    assert [line.split(">")[0] for line in listed[2:]] == ["scipy", "jupyterlab", "ipykernel"]


def test_an_unknown_sheet_is_said(tmp_path, capsys):
    assert handout.main(["99_none", "--out", str(tmp_path)]) == 1
    assert "no sheet is named '99_none'; there are 01_" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
