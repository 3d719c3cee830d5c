"""The form of a sheet of exercises, and where a sheet leaves it.

The title cell states the totals of what the headings state, word for word:

    Four exercises, 14 points. Core: exercises 1, 2 and 3, 40 minutes; all: 65 minutes.

    ## 1. A loop as a function (core, 2 points, 8 minutes)
    ## 4. The best two drops (5 points, 25 minutes, open-ended)

An open question is a locked text `NAME-question` that states its points, such as (2 points), and
below it `NAME-answer`, nbgrader's "manually graded answer". That cell holds the model answer and
the rubric; nbgrader puts "YOUR ANSWER HERE" in their place for the students:

    **Model answer.** Both drops have come before the first update.

    **Rubric.**

    - 1 point: both drops are over when the run begins
    - 1 point: so the two errors say nothing about step decay
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from nbformat import NotebookNode

CORE = range(35, 51)  # minutes
NUMBERS = "none one two three four five six seven eight nine ten".split()
HEADING = re.compile(
    r"## (?P<number>\d+)\. (?P<title>.+) "
    r"\((?P<core>core, )?(?P<points>\d+) points?, (?P<minutes>\d+) minutes(?:, open-ended)?\)"
)
MODEL, RUBRIC = "**Model answer.** ", "\n\n**Rubric.**\n\n"


class Exercise(NamedTuple):
    """What a heading states, and the cells under it."""

    number: int
    core: bool
    points: int
    minutes: int
    cells: list[NotebookNode]


class Minutes(NamedTuple):
    """How long the exercises of a sheet take."""

    core: int
    all: int


class Rubric(NamedTuple):
    """What an answer cell of the solutions holds."""

    model: str
    items: list[tuple[int, str]]  # points, what for

    @property
    def points(self) -> int:
        return sum(points for points, _ in self.items)


def about(cell: NotebookNode) -> dict:
    """nbgrader's metadata."""
    return cell.metadata.get("nbgrader", {})


def grade_id(cell: NotebookNode) -> str:
    return about(cell).get("grade_id", "")


def by_hand(cell: NotebookNode) -> bool:
    """Whether it is the answer to an open question, whose points a teacher gives."""
    return bool(about(cell).get("grade") and about(cell).get("solution"))


def points_of(cell: NotebookNode) -> float:
    return about(cell).get("points", 0) if about(cell).get("grade") else 0


def exercises(sheet: NotebookNode) -> list[Exercise]:
    """The exercises whose heading has the form above, in order."""
    found: list[Exercise] = []
    for cell in sheet.cells:
        line = cell.source.split("\n")[0]
        if cell.cell_type == "markdown" and line.startswith("## "):
            stated = HEADING.fullmatch(line)
            if not stated:
                continue
            numbers = (int(stated[name]) for name in ("points", "minutes"))
            found.append(Exercise(int(stated["number"]), bool(stated["core"]), *numbers, []))
        if found:
            found[-1].cells.append(cell)
    return found


def totals(listed: list[Exercise]) -> str:
    """The sentence that the title cell must have."""
    core = [exercise for exercise in listed if exercise.core]
    *first, last = [str(exercise.number) for exercise in core] or ["none"]
    names = f"exercises {', '.join(first)} and {last}" if first else f"exercise {last}"
    return (
        f"{counted(len(listed)).capitalize()} exercises, "
        f"{sum(exercise.points for exercise in listed)} points. Core: {names}, "
        f"{sum(exercise.minutes for exercise in core)} minutes; "
        f"all: {sum(exercise.minutes for exercise in listed)} minutes."
    )


def counted(number: int) -> str:
    return NUMBERS[number] if number < len(NUMBERS) else str(number)


def minutes(sheet: NotebookNode) -> Minutes | None:
    """The minutes that the sheet states; None if it does not."""
    listed = exercises(sheet)
    if not listed or totals(listed) not in flowing(sheet.cells[0].source):
        return None
    core = sum(exercise.minutes for exercise in listed if exercise.core)
    return Minutes(core, sum(exercise.minutes for exercise in listed))


def flowing(text: str) -> str:
    """The text without line breaks."""
    return " ".join(text.split())


def read_rubric(source: str) -> Rubric:
    """Model answer and rubric. Raises ValueError if the cell has another form."""
    model, found, listed = source.strip().partition(RUBRIC)
    if not model.startswith(MODEL) or not found:
        raise ValueError("has no model answer with a rubric: **Model answer.** … **Rubric.** …")
    items = []
    for item in re.split(r"(?:^|\n)- ", listed.strip())[1:]:
        stated = re.fullmatch(r"(\d+) points?: (.+)", flowing(item))
        if not stated:
            raise ValueError(f"has a line in its rubric that is not as '- 1 point: …': {item}")
        items.append((int(stated[1]), stated[2]))
    return Rubric(model.removeprefix(MODEL).strip(), items)


def faults(sheet: NotebookNode) -> Iterator[str]:
    """Where a sheet, as it is in the solutions, leaves the form."""
    for cell in sheet.cells:
        line = cell.source.split("\n")[0]
        heading = cell.cell_type == "markdown" and line.startswith("## ")
        if heading and not HEADING.fullmatch(line):
            yield f"the heading {line!r} is not as '## 1. A title (core, 2 points, 8 minutes)'"
    listed = exercises(sheet)
    if [exercise.number for exercise in listed] != [*range(1, len(listed) + 1)]:
        yield f"the exercises are numbered {[exercise.number for exercise in listed]}"
    for exercise in listed:
        if (given := sum(map(points_of, exercise.cells))) != exercise.points:
            yield f"exercise {exercise.number} states {exercise.points} points and gives {given:g}"
    core = sum(exercise.minutes for exercise in listed if exercise.core)
    if core not in CORE:
        yield f"the core takes {core} minutes; {CORE[0]} to {CORE[-1]} are wanted"
    if totals(listed) not in flowing(sheet.cells[0].source):
        yield f"the title cell does not say: {totals(listed)}"
    if not any(map(by_hand, sheet.cells)):
        yield "no open question has a place for its answer"
    for before, cell in zip([None, *sheet.cells], sheet.cells, strict=False):
        if by_hand(cell) or grade_id(cell).endswith("-answer"):
            yield from answer_faults(before, cell)


def answer_faults(before: NotebookNode | None, cell: NotebookNode) -> Iterator[str]:
    """Where an answer by hand and the cell before it are not question and answer."""
    name = grade_id(cell)
    if not by_hand(cell) or cell.cell_type != "markdown" or not name.endswith("-answer"):
        yield f"the cell {name!r} is not a manually graded answer in Markdown named …-answer"
        return
    points = points_of(cell)
    try:
        rubric = read_rubric(cell.source)
        if rubric.points != points:
            yield f"the rubric of {name!r} gives {rubric.points} points, the cell {points:g}"
    except ValueError as error:
        yield f"the cell {name!r} {error}"
    question = name.removesuffix("answer") + "question"
    if before is None or grade_id(before) != question or not about(before).get("locked"):
        yield f"before {name!r} there is no locked text {question!r}"
    elif f"({points:g} point{'s' * (points != 1)})" not in before.source:
        yield f"the text {question!r} does not state its points: ({points:g} points)"
