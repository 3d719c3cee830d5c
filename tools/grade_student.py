"""Grade one student's files; run by tools/grade.py in a process of its own.

    python tools/grade_student.py JOB.json

What comes of it is written to the file that the job names, whole or not at all.
"""

from __future__ import annotations

import html
import importlib.util
import json
import os
import re
import sys
import traceback
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import nbformat
from grade_execute import STAY, STOPS, SturdyExecute
from grade_mend import LARGEST, Mended, Note, Unreadable, likeness, mend, read
from nbformat import NotebookNode
from nbgrader.converters import Autograde
from nbgrader.preprocessors import Execute
from notebooks import grader, notebook_environment, write_notebook, write_whole
from traitlets.config import Config

GRADED, IN_PART, FAILED = "graded", "graded in part", "could not be graded"
NOTHING = "nothing handed in"
NOTEBOOK_ENDINGS = (".ipynb", ".ipynb.json", ".ipynb.txt", ".json", ".txt")


@dataclass
class Job:
    """What the process is told; paths are absolute."""

    root: str  # of the book
    course: str  # nbgrader's folder
    sheet: str
    student: str  # a name that is safe for nbgrader
    files: list[str]
    named_by_student: bool  # the files are, as an LMS does it
    timeout: int  # seconds for one cell
    result: str


@dataclass
class Result:
    status: str
    notes: list[Note] = field(default_factory=list)
    feedback: list[str] = field(default_factory=list)  # paths
    untouched: list[str] = field(default_factory=list)  # answers in code, as notebook/name


class Candidate(NamedTuple):
    """A file that may be the student's notebook."""

    name: str
    mended: Mended | None  # None: it is unreadable
    why: str  # it is
    rank: tuple


def contents(files: list[str]) -> Iterator[tuple[str, bytes]]:
    """Name and content of every file, of those in zip archives too. Links are not followed."""
    for name in files:
        path = Path(name)
        if path.suffix.lower() != ".zip":
            with open(path, "rb") as file:
                yield path.name, file.read(LARGEST + 1)
            continue
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if not info.is_dir()]
            if sum(info.file_size for info in members) > 1_000_000_000:
                raise Unreadable(f"{path.name} unpacks to more than 1 GB")
            for info in members:
                hidden = any(part[:1] in "._" for part in Path(info.filename).parts)
                if not hidden:
                    with archive.open(info) as file:
                        yield Path(info.filename).name, file.read(LARGEST + 1)


def find_notebook(
    name: str, sheet: NotebookNode, files: list[tuple[str, bytes]], named_by_student: bool
) -> Candidate:
    """The file that is the sheet's notebook `name`, mended. Raises Unreadable if none is."""
    found = []
    for shown, data in files:
        if not shown.lower().endswith(NOTEBOOK_ENDINGS):
            continue
        try:
            notebook, notes = read(data)
            share = likeness(sheet, notebook)
            mended = mend(sheet, notebook)
        except Unreadable as error:
            found.append(Candidate(shown, None, str(error), (False, shown.endswith(".ipynb"))))
            continue
        mended.notes[:0] = notes
        exact = shown == f"{name}.ipynb"
        rank = (True, share >= 0.25, mended.answered > 0, exact, share)
        found.append(Candidate(shown, mended, "", rank))
    if not found:
        listed = ", ".join(shown for shown, _ in files[:5])
        raise Unreadable(f"there is no notebook{', only ' if listed else ''}{listed}")
    best = max(found, key=lambda candidate: candidate.rank)
    if best.mended is None:
        raise Unreadable(best.why if best.name == f"{name}.ipynb" else f"{best.name}: {best.why}")
    notes = best.mended.notes
    if best.name != f"{name}.ipynb" and not named_by_student:
        notes.insert(0, Note(f"the file was named {best.name}"))
    others = [candidate for candidate in found if candidate is not best]
    if others:
        answers = any(other.mended and other.mended.answered for other in others)
        listed = ", ".join(candidate.name for candidate in others)
        notes.insert(0, Note(f"there was more than one notebook; not graded: {listed}", answers))
    return best


def own_modules(files: list[tuple[str, bytes]]) -> tuple[dict[str, bytes], list[str]]:
    """Python files handed in beside the notebook, and the names of those left out."""
    found = {name: data for name, data in files if name.endswith(".py")}
    kept = {}
    for name, data in found.items():
        stem = name.removesuffix(".py")
        hides = stem in sys.stdlib_module_names or not stem.isidentifier()
        if not hides and importlib.util.find_spec(stem) is None:
            kept[name] = data
    return kept, [name for name in found if name not in kept]


def said_on_top(notes: list[Note]) -> NotebookNode:
    lines = "\n".join(f"- {html.escape(note.text)}" for note in notes)
    return nbformat.v4.new_markdown_cell(f"**Notes on how this notebook was graded**\n\n{lines}")


def lay_out(
    job: Job, files: list[tuple[str, bytes]], untouched: list[str]
) -> tuple[list[Note], list[str]]:
    """Write the mended notebooks where nbgrader looks for them.

    Returns the notes, and for each notebook of the sheet that is missing why; adds the answers
    that are as they were handed out to `untouched`.
    """
    target = Path(job.course, "submitted", job.student, job.sheet)
    for old in target.glob("*"):
        old.unlink()
    notes, missing = [], []
    released = sorted(Path(job.course, "chapters", "exercises", job.sheet).glob("*.ipynb"))
    for path in released:
        sheet = nbformat.read(path, as_version=4)
        try:
            found = find_notebook(path.stem, sheet, files, job.named_by_student)
        except Unreadable as error:
            missing.append(str(error))
            continue
        notebook, own = found.mended.notebook, found.mended.notes
        if own:
            notebook.cells.insert(0, said_on_top(own))
        write_notebook(notebook, target / path.name)
        notes += own
        untouched += [f"{path.stem}/{name}" for name in found.mended.untouched]
    if len(missing) < len(released):
        kept, left_out = own_modules(files)
        for name, data in kept.items():
            (target / name).write_bytes(data)
        if left_out:
            hide = "which would hide a module or cannot be imported"
            notes.append(Note(f"left out: {', '.join(left_out)}, {hide}"))
    return notes, missing


def settings(job: Job) -> Config:
    config = Config()
    config.CourseDirectory.db_url = database(job.course)
    steps = [*Autograde.autograde_preprocessors.default_args[0]]
    steps[steps.index(Execute)] = SturdyExecute
    config.Autograde.autograde_preprocessors = steps
    config.SturdyExecute.timeout = job.timeout
    config.SturdyExecute.notebook_timeout = 10 * job.timeout
    config.SturdyExecute.startup_timeout = 180
    config.SturdyExecute.iopub_timeout = 10  # for a cell that was stopped to say that it has
    config.SturdyExecute.shutdown_kernel = "immediate"
    config.SturdyExecute.extra_arguments = [
        "--HistoryManager.hist_file=:memory:",
        f"--IPKernelApp.exec_lines={STAY}",
    ]
    return config


def database(course: str | Path) -> str:
    """The gradebook's address; students graded at the same time wait for each other."""
    return f"sqlite:///{Path(course, 'gradebook.db').absolute()}?timeout=120"


def stopped_cells(job: Job) -> list[Note]:
    """What happened to the cells that have no result, from the notebooks as executed."""
    notes = []
    for path in sorted(Path(job.course, "autograded", job.student, job.sheet).glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            for output in cell.get("outputs", []):
                if output.get("ename") in STOPS:
                    notes.append(Note(f"{cell_name(cell)} {STOPS[output.ename]}", True))
                    break
    return notes


def cell_name(cell: NotebookNode) -> str:
    name = cell.metadata.get("nbgrader", {}).get("grade_id")
    first_line = cell.source.strip().split("\n")[0][:50]
    return f"the cell '{name}'" if name else f"a cell of the student's own ({first_line})"


def grade(job: Job) -> Result:
    if not job.files:
        return Result(NOTHING)
    untouched: list[str] = []
    try:
        files = list(contents(job.files))
        notes, missing = lay_out(job, files, untouched)
    except (Unreadable, zipfile.BadZipFile, OSError) as error:
        return Result(FAILED, [Note(str(error), True)])
    if not list(Path(job.course, "submitted", job.student, job.sheet).glob("*.ipynb")):
        return Result(FAILED, [Note(reason, True) for reason in missing])

    api = grader(Path(job.root), Path(job.course))
    api.coursedir.db_url = database(job.course)
    api.coursedir.ignore = [".ipynb_checkpoints", "__pycache__"]  # the student's .py files stay
    api.update_config(settings(job))
    with notebook_environment(LRLIB_SEED="0", LRLIB_SCALE="1", LRLIB_DEVICE="cpu"):
        outcome = api.autograde(job.sheet, job.student)
        print(outcome.get("log", ""), outcome.get("error", ""))
        if not outcome["success"]:
            reasons = re.findall(r"^\s*(\w[\w.]*(?:Error|Exception)\b.*)", outcome["log"], re.M)
            why = f"nbgrader failed ({reasons[-1] if reasons else 'see the log'})"
            return Result(FAILED, [Note(why, True), *notes])
        notes += [Note(reason, True) for reason in missing]
        stopped = stopped_cells(job)
        feedback = api.generate_feedback(job.sheet, job.student)
        print(feedback.get("log", ""), feedback.get("error", ""))
    if not feedback["success"]:
        notes.append(Note("the page with feedback could not be made (see the log)", True))
    pages = sorted(Path(job.course, "feedback", job.student, job.sheet).glob("*.html"))
    status = IN_PART if stopped or missing else GRADED
    return Result(status, notes + stopped, [str(page) for page in pages], untouched)


def main() -> int:
    job = Job(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    os.chdir(job.course)
    try:
        result = grade(job)
    except Exception as error:  # whatever it is, it is this student's alone
        traceback.print_exc()
        result = Result(
            FAILED, [Note(f"the grader failed ({type(error).__name__}: {error})", True)]
        )
    write_whole(Path(job.result), json.dumps(asdict(result), ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
