"""Points by hand for the open questions, without nbgrader's formgrader.

marking/QUESTION.html has the rubric and every student's answer, marks.csv a line for each answer. A
teacher writes points into it; the next run of tools/grade.py puts them into nbgrader's gradebook.
What a teacher has written into marks.csv is never changed.
"""

from __future__ import annotations

import csv
import hashlib
import html
import io
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import nbformat
import sheets
from grade_collect import Submission
from grade_report import ToMark, label, page
from nbconvert.filters import markdown2html
from nbformat import NotebookNode
from nbgrader.api import Grade, Gradebook, MissingEntry
from notebooks import Fault, write_whole

STUB = "YOUR ANSWER HERE"
COLUMNS = ("student", "name", "question", "of", "points", "remark", "look")
AGAIN, NOTHING, IN_GRADEBOOK = "answered again since", "no answer now", "in the gradebook"


class Question(NamedTuple):
    """An open question of the sheet; `key` is its name in grades.csv."""

    key: str
    notebook: str
    name: str
    points: float
    text: str
    model: str  # model answer and rubric


class Answer(NamedTuple):
    """What a student wrote, and what came of it."""

    student: Submission
    text: str
    points: float | None  # None: it waits
    entered: bool  # the points are those of marks.csv
    again: bool  # it was marked, and has changed since


@dataclass
class Kept:
    """What the last run saw of a line of marks.csv."""

    marked: str  # the digest of the answer that the points are for
    shown: str  # and of that on the page
    points: float | None
    remark: str


@dataclass
class Marking:
    """What came of marks.csv, for the report."""

    faults: list[str] = field(default_factory=list)  # of single lines
    to_mark: list[ToMark] = field(default_factory=list)
    entered: dict[str, list[str]] = field(default_factory=dict)  # student -> questions
    again: dict[str, list[str]] = field(default_factory=dict)  # the same: answered again since
    changed: set[str] = field(default_factory=set)  # keys of students with other marks than before


# --------------------------------------------------------------------------------------
# Questions and answers


def questions(folder: Path) -> list[Question]:
    """The open questions of the solutions in `folder`, in their order."""
    found = []
    paths = sorted(folder.glob("*.ipynb"))
    for path in paths:
        cells = nbformat.read(path, as_version=4).cells
        for before, cell in zip([None, *cells], cells, strict=False):
            if sheets.by_hand(cell):
                name = sheets.grade_id(cell)
                key = f"{path.stem}/{name}" if len(paths) > 1 else name
                asked = before.source if before else ""
                points = sheets.points_of(cell)
                found.append(Question(key, path.stem, name, points, asked, cell.source))
    return found


def written(notebook: NotebookNode, name: str) -> str:
    """The answer in the cell `name` and in the student's own cells beside it; "" if untouched."""
    names = [sheets.grade_id(cell) for cell in notebook.cells]
    if name not in names:
        return ""
    first = last = names.index(name)
    while first > 0 and not names[first - 1]:
        first -= 1
    while last + 1 < len(names) and not names[last + 1]:
        last += 1
    texts = [cell.source.strip() for cell in notebook.cells[first : last + 1]]
    return "\n\n".join(text for text in texts if text and text != STUB)


# --------------------------------------------------------------------------------------
# marks.csv


class Table:
    """The lines of marks.csv, in their order; what is not understood stays as it is."""

    def __init__(self, path: Path) -> None:
        self.path, self.header, self.delimiter = path, [*COLUMNS], ","
        self.rows: list[list[str]] = []
        self.lines: list[int] = []  # of the file, where each row begins
        self.before = ""
        if path.exists():
            self._read()

    def _read(self) -> None:
        data = self.path.read_bytes()
        try:
            self.before = data.decode("utf-8-sig")
        except UnicodeDecodeError:  # as some spreadsheets save it
            self.before = data.decode("cp1252", "replace")
        first_line = self.before.lstrip().split("\n")[0]
        self.delimiter = next((sign for sign in ";\t," if sign in first_line), ",")
        text = io.StringIO(self.before, newline="")
        reader = csv.reader(text, delimiter=self.delimiter, strict=True)
        line = 1
        try:
            for row in reader:
                if any(cell.strip() for cell in row):
                    self.rows.append(row)
                    self.lines.append(line)
                line = reader.line_num + 1
        except csv.Error as error:  # a quote that is not closed would swallow what follows
            raise Fault(f"line {line}: {error}") from None
        if not self.rows:
            return
        self.header, *self.rows = self.rows
        del self.lines[0]
        self.header = [cell.strip() for cell in self.header]
        if missing := {"student", "question", "points"} - {*self.header}:
            raise Fault(f"it has no column {', '.join(sorted(missing))}")
        self.header += [column for column in COLUMNS if column not in self.header]

    def get(self, row: list[str], column: str) -> str:
        at = self.header.index(column)
        return row[at].strip() if at < len(row) else ""

    def put(self, row: list[str], column: str, text: str) -> None:
        if self.get(row, column) != text:
            row += [""] * (len(self.header) - len(row))
            row[self.header.index(column)] = text

    def add(self) -> list[str]:
        self.rows.append([""] * len(self.header))
        return self.rows[-1]

    def write(self) -> None:
        out = io.StringIO()
        writer = csv.writer(out, delimiter=self.delimiter, lineterminator="\n")
        writer.writerows([self.header, *self.rows])
        # A spreadsheet takes it for UTF-8 only if it begins so.
        if out.getvalue() != self.before.replace("\r\n", "\n"):
            write_whole(self.path, "\ufeff" + out.getvalue())


def read_points(text: str, most: float) -> float | None:
    """The points of a line; None if it has none yet. Raises Fault if they are no points."""
    if not text:
        return None
    try:
        points = float(text.replace(",", "."))
    except ValueError:
        points = math.nan
    if not 0 <= points <= most:
        raise Fault(f"{text!r} is not a number of points from 0 to {most:g}")
    return points


class Line(NamedTuple):
    """A line of marks.csv that names a student and a question."""

    row: list[str]
    points: float | None
    valid: bool


def understood(
    table: Table, asked: list[Question], students: list[str], faults: list[str]
) -> dict[tuple[str, str], Line]:
    """The line for each student and question; what is wrong with others is added to `faults`."""
    best = {question.key: question.points for question in asked}
    folded = {student.casefold(): student for student in students}
    found: dict[tuple[str, str], Line] = {}
    for line, row in zip(table.lines, table.rows, strict=True):
        student, question = table.get(row, "student"), table.get(row, "question")
        known = student if student in students else folded.get(student.casefold())
        where = f"marks.csv, line {line}"
        if known is None:
            faults.append(f"{where}: no student is named {student!r}")
        elif question not in best:
            faults.append(f"{where}: no question is named {question!r}")
        elif (known, question) in found:
            faults.append(f"{where}: {student}, {question} is there twice; the first line counts")
        elif len(row) > len(table.header):
            faults.append(f"{where}: more fields than columns; put a remark with a comma in quotes")
            found[known, question] = Line(row, None, False)
        else:
            try:
                points = read_points(table.get(row, "points"), best[question])
                found[known, question] = Line(row, points, True)
            except Fault as fault:
                faults.append(f"{where} ({student}, {question}): {fault}")
                found[known, question] = Line(row, None, False)
    return found


# --------------------------------------------------------------------------------------
# Marks


class Marker:
    """Brings marks.csv, the answers and the gradebook together, once."""

    def __init__(self, out: Path, sheet: str, gradebook: Gradebook, marking: Marking) -> None:
        self.sheet, self.gradebook, self.marking = sheet, gradebook, marking
        self.table = Table(out / "marks.csv")
        self.state_path = out / "results" / ".marks.json"
        self.state = read_state(self.state_path)

    def mark(self, question: Question, student: Submission, text: str, line: Line | None) -> Answer:
        """Settle one answer: its points, its line in marks.csv and what the gradebook has."""
        kept = self.state.get(question.key, {}).get(student.student)
        if line is None and (text or (kept and kept.points is not None)):
            line = self.new_line(question, student, kept)
        now = hashlib.sha256(text.encode()).hexdigest()[:16]
        seen = judged(kept, line, self.table, now)
        mark = self.gradebook.find_grade(question.name, question.notebook, self.sheet, student.key)
        if line and line.valid:
            remark = self.table.get(line.row, "remark")
            self.enter(question, student, mark, line.points, remark, kept)
            seen.points, seen.remark = line.points, remark
        mark.auto_score = None if text else 0
        mark.needs_manual_grade = bool(text) and mark.manual_score is None
        points = mark.manual_score if mark.manual_score is not None else mark.auto_score
        again = seen.points is not None and seen.marked != now
        if line and len(line.row) <= len(self.table.header):
            of_gradebook = seen.points is None and mark.manual_score is not None
            look = AGAIN if again else "" if text else NOTHING
            if of_gradebook:
                look = f"{mark.manual_score:g} {IN_GRADEBOOK}"
            self.table.put(line.row, "look", look)
        self.state.setdefault(question.key, {})[student.student] = seen
        return Answer(student, text, points, seen.points is not None, again)

    def new_line(self, question: Question, student: Submission, kept: Kept | None) -> Line:
        """A line for an answer that has none, or whose line was deleted."""
        row, points = self.table.add(), kept.points if kept else None
        values = (student.student, student.name, question.key, f"{question.points:g}")
        for column, text in zip(("student", "name", "question", "of"), values, strict=True):
            self.table.put(row, column, text)
        if kept and points is not None:
            self.table.put(row, "points", f"{points:g}")
            self.table.put(row, "remark", kept.remark)
            if kept.marked != kept.shown:
                self.table.put(row, "look", AGAIN)
        return Line(row, points, True)

    def enter(
        self,
        question: Question,
        student: Submission,
        mark: Grade,
        points: float | None,
        remark: str,
        kept: Kept | None,
    ) -> None:
        """Give the gradebook the points and the remark of a line, as the formgrader would."""
        # Points of the gradebook's own stay where marks.csv has never had any.
        if points is None and not (kept and kept.points is not None):
            return
        comment = self.gradebook.find_comment(
            question.name, question.notebook, self.sheet, student.key
        )
        if (mark.manual_score, comment.manual_comment) != (points, remark or None):
            mark.manual_score, comment.manual_comment = points, remark or None
            self.marking.changed.add(student.key)

    def write(self) -> None:
        self.gradebook.db.commit()
        self.table.write()
        state = {
            question: {student: asdict(each) for student, each in kept.items()}
            for question, kept in self.state.items()
        }
        write_whole(self.state_path, json.dumps(state, ensure_ascii=False))


def read_state(path: Path) -> dict[str, dict[str, Kept]]:
    """For each question and student what the last run saw; nothing if there is no such file."""
    try:
        return {
            question: {student: Kept(**each) for student, each in kept.items()}
            for question, kept in json.loads(path.read_text(encoding="utf-8")).items()
        }
    except (OSError, ValueError, TypeError, AttributeError):  # marks.csv has the marks
        return {}


def judged(kept: Kept | None, line: Line | None, table: Table, now: str) -> Kept:
    """Which answer the points are for.

    They are for the answer that was on the page when they were written. Where a student has
    answered again, other points or an emptied column `look` say that the teacher has seen it.
    """
    if kept is None:
        return Kept(now, now, None, "")
    if kept.points is None:  # points that are there now were written for what was shown
        return Kept(kept.shown if line and line.points is not None else now, now, None, "")
    looked = kept.marked != kept.shown and line is not None and line.valid
    if looked and (line.points != kept.points or not table.get(line.row, "look")):
        return Kept(kept.shown, now, kept.points, kept.remark)
    return Kept(kept.marked, now, kept.points, kept.remark)


def answers(
    course: Path, sheet: str, question: Question, students: list[Submission]
) -> Iterator[tuple[Submission, str]]:
    """What each student wrote who handed in the notebook with the question."""
    for student in students:
        path = course / "autograded" / student.key / sheet / f"{question.notebook}.ipynb"
        if path.exists():
            yield student, written(nbformat.read(path, as_version=4), question.name)


def enter_marks(
    course: Path, out: Path, source: Path, db: str, everyone: list[Submission], graded: set[str]
) -> Marking:
    """Read marks.csv, give its points to the gradebook, write it and the pages anew.

    `graded` has the keys of the students whose notebooks could be graded.
    """
    marking, sheet = Marking(), source.name
    asked = questions(source)
    if not asked:
        return marking
    students = [student for student in everyone if student.key in graded]
    with Gradebook(db, "lrlib") as gradebook:
        try:
            marker = Marker(out, sheet, gradebook, marking)
        except Fault as fault:
            raise Fault(f"{out / 'marks.csv'} was not read and not changed: {fault}") from None
        names = [student.student for student in everyone]
        lines = understood(marker.table, asked, names, marking.faults)
        for question in asked:
            found = []
            for student, text in answers(course, sheet, question, students):
                try:
                    line = lines.get((student.student, question.key))
                    found.append(marker.mark(question, student, text, line))
                except MissingEntry:  # the report says that the gradebook has lost the student
                    continue
            for answer in found:
                for noted, holds in (
                    (marking.entered, answer.entered),
                    (marking.again, answer.again),
                ):
                    if holds:
                        noted.setdefault(answer.student.student, []).append(question.key)
            name = f"marking/{question.key.replace('/', '-')}.html"
            write_whole(out / name, answers_html(sheet, question, found))
            waiting = sum(answer.points is None for answer in found)
            given = sum(bool(answer.text) for answer in found)
            marking.to_mark.append(ToMark(question.key, name, waiting, given))
        marker.write()
    return marking


# --------------------------------------------------------------------------------------
# The page of a question


def answers_html(sheet: str, question: Question, found: list[Answer]) -> str:
    """Question, rubric and every answer, those that wait first. Answers are shown as text."""
    given = [answer for answer in found if answer.text]
    given.sort(key=lambda answer: answer.points is not None and not answer.again)
    silent = [html.escape(label(answer.student)) for answer in found if not answer.text]
    listed = "".join(
        f"<h3>{html.escape(label(answer.student))}: {stands(answer, question)}</h3>\n"
        f'<p class="answer">{html.escape(answer.text)}</p>\n'
        for answer in given
    )
    body = f"""
<h1>{html.escape(f"{sheet}: {question.key}, {question.points:g} points")}</h1>
<p>Write the points, and a remark for the student if you like, into marks.csv in the folder above,
and run the command again.</p>
<blockquote>{markdown2html(question.text)}</blockquote>
{markdown2html(question.model)}
<h2>{len(given)} answers</h2>
{listed}
{f"<p>No answer, 0 points: {', '.join(silent)}.</p>" if silent else ""}
"""
    return page(f"{sheet}: {question.key}", body)


def stands(answer: Answer, question: Question) -> str:
    if answer.points is None:
        return "waits"
    marked = f"{answer.points:g} of {question.points:g}"
    return f"{marked}, and has answered again since" if answer.again else marked
