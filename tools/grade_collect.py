"""Which student handed in which files: from nbgrader's folders, or as an LMS gives them."""

from __future__ import annotations

import csv
import hashlib
import io
import re
import shutil
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from grade_mend import Note, decoded

# How two systems name what a student handed in.
SYSTEMS = (
    re.compile(r"(.+?)_(\d+)_assignsubmission_"),  # Moodle
    re.compile(r"([^_]+)_(?:LATE_)?(\d+)_\d+_"),  # Canvas
)
COPY = re.compile(r"\s*(?:\(\d+\)|[-_ ]+copy\s*\d*)$", re.IGNORECASE)
HEADINGS = {"student", "id", "student_id", "username", "user", "login", "email", "name"}
ENDINGS = re.compile(r"(?:\.(?:ipynb|json|txt|zip))+$", re.IGNORECASE)


@dataclass
class Submission:
    """What one student handed in; `key` is a name that is safe for nbgrader and for files."""

    student: str
    files: list[Path] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    name: str = ""
    key: str = ""
    named_by_student: bool = False  # the files are: their names say nothing else


def read_roster(path: Path) -> dict[str, str]:
    """Each student's id and, where the file has a second column, name.

    The file has one student a line, the id first; a line of headings may come before.
    """
    text = decoded(path.read_bytes())
    first_line = text.lstrip().split("\n")[0]
    delimiter = next((sign for sign in ";\t," if sign in first_line), ",")
    rows = [
        [cell.strip() for cell in row] for row in csv.reader(io.StringIO(text), delimiter=delimiter)
    ]
    rows = [row for row in rows if row and row[0] and not row[0].startswith("#")]
    if rows and rows[0][0].casefold() in HEADINGS:
        rows = rows[1:]
    if not rows:
        raise ValueError(f"the roster {path} names no student")
    return {row[0]: " ".join(filter(None, row[1:])) for row in rows}


def unpacked(folder: Path, scratch: Path) -> Path:
    """The folder itself, or what is in the zip archive that an LMS gave."""
    if folder.is_dir():
        return folder
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    with zipfile.ZipFile(folder) as archive:
        archive.extractall(scratch)
    entries = visible(scratch)
    # Some archives hold one folder, which holds the rest.
    if len(entries) == 1 and entries[0].is_dir() and len(visible(entries[0])) > 1:
        return entries[0]
    return scratch


def visible(folder: Path) -> list[Path]:
    """What lies in the folder, without hidden files, links and pipes."""
    return sorted(
        path
        for path in folder.iterdir()
        if not path.name.startswith((".", "__MACOSX"))
        and not path.is_symlink()
        and (path.is_dir() or path.is_file())  # a pipe would be waited for
    )


def files_below(folder: Path) -> list[Path]:
    found = []
    for path in visible(folder):
        found += files_below(path) if path.is_dir() else [path]
    return found


def entries(folder: Path, sheet: str, sheets: list[str]) -> Iterator[tuple[Path, list[Path]]]:
    """Each file or folder that stands for a student, with the files in it.

    Three layouts are read: `STUDENT/SHEET/*.ipynb` (nbgrader's), one file or folder for each
    student, and the latter inside a folder that is named as the sheet.
    """
    found = visible(folder)
    many_sheets = any(
        path.is_dir() and (path.name == sheet or (path / sheet).is_dir()) for path in found
    )
    for path in found:
        if path.is_file():
            # Other files may be lists of the LMS's, and belong to no student.
            strange = path.suffix.lower() in (".csv", ".xlsx", ".md")
            work = path.suffix.lower() in (".ipynb", ".zip")
            if work or (not many_sheets and not strange):
                yield path, [path]
        elif path.name == sheet:
            for inner in visible(path):
                yield inner, files_below(inner) if inner.is_dir() else [inner]
        elif (path / sheet).is_dir():
            yield path, files_below(path / sheet)
        elif path.name not in sheets:
            files = files_below(path)
            # A student who forgot the folder of the sheet, or who handed in other sheets only.
            if not many_sheets or any(file.parent == path for file in files):
                yield path, files


def collect(
    folder: Path, sheet: str, sheets: list[str], notebooks: list[str], roster: dict[str, str]
) -> list[Submission]:
    """Every student who handed in something, and those of the roster who did not."""
    found: dict[str, Submission] = {student: Submission(student) for student in roster}
    listed = list(entries(folder, sheet, sheets))
    numbers = defaultdict(set)  # the LMS's, of those who have one name
    for path, _ in listed:
        numbers[system_name(path.name)[0]].add(system_name(path.name)[1])
    for path, files in listed:
        name, number = system_name(ENDINGS.sub("", path.name) if path.is_file() else path.name)
        if len(numbers[name] - {""}) > 1 and number:
            name = f"{name}_{number}"
        student, notes = who(name, sheet, notebooks, roster)
        submission = found.setdefault(student, Submission(student))
        submission.files += files
        submission.notes += notes
        submission.named_by_student = path.is_file() and not notes
    if roster:
        for student, submission in found.items():
            submission.name = roster.get(student, "")
            if student not in roster:
                submission.notes.append(Note("not in the roster", True))
    submissions = sorted(found.values(), key=lambda one: one.student.casefold())
    name_safely(submissions)
    return submissions


def system_name(name: str) -> tuple[str, str]:
    """The student's name and number, where an LMS put them in front of the name of the file."""
    for system in SYSTEMS:
        if match := system.match(name):
            return match[1], match[2]
    return name, ""


def who(
    name: str, sheet: str, notebooks: list[str], roster: dict[str, str]
) -> tuple[str, list[Note]]:
    """The student that the name of a file or folder stands for."""
    student = COPY.sub("", name).strip() or name
    by_folded = {known.casefold(): known for known in roster}
    for tried in (name, student):
        if tried.casefold() in by_folded:
            return by_folded[tried.casefold()], []
    named = [
        known
        for folded, known in by_folded.items()
        if re.search(rf"(?<![^\W_]){re.escape(folded)}(?![^\W_])", name.casefold())
        or (roster[known] and roster[known].casefold() == student.casefold())
    ]
    if len(named) == 1:
        return named[0], []
    if student in (*notebooks, sheet):
        return name, [Note(f"whose is it? The file is named {name}, without a student", True)]
    return student, []


def name_safely(submissions: list[Submission]) -> None:
    """Give each a key that no file system, pattern or template reads in another way."""
    taken: set[str] = set()
    for submission in submissions:
        student = submission.student
        key = re.sub(r"[^\w.@-]", "_", student).strip(".")
        if key != student or key.casefold() in taken:
            key += "-" + hashlib.sha256(student.encode("utf-8", "replace")).hexdigest()[:6]
        taken.add(key.casefold())
        submission.key = key
