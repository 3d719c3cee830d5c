"""What a teacher gets to read: grades.csv, report.html and one page for each student."""

from __future__ import annotations

import csv
import html
import io
from dataclasses import dataclass, field
from typing import NamedTuple

from grade_mend import Note
from grade_student import FAILED, GRADED, IN_PART, NOTHING

STATUSES = (GRADED, IN_PART, FAILED, NOTHING)
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 75em; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; } caption { text-align: left; padding: .4em 0; }
th, td { border-bottom: 1px solid #ccc; padding: .3em .7em; text-align: left; vertical-align: top; }
td.number, th.number { text-align: right; } .look { font-weight: 600; }
.answer { white-space: pre-wrap; max-width: 45em; } blockquote { border-left: 3px solid #ccc;
margin-left: 0; padding-left: 1em; }
"""


@dataclass
class Row:
    """One student; `points` has a number for each graded cell that has been graded or marked."""

    student: str
    name: str
    status: str
    notes: list[Note]
    points: dict[str, float] = field(default_factory=dict)
    feedback: list[str] = field(default_factory=list)  # relative to the report

    @property
    def total(self) -> float | None:
        return sum(self.points.values()) if self.points else None

    @property
    def needs_a_hand(self) -> bool:
        return self.status in (IN_PART, FAILED) or any(note.look for note in self.notes)


class ToMark(NamedTuple):
    """An open question: its page, relative to the report, and how many answers it has."""

    question: str
    page: str
    waiting: int
    answers: int


def number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def short(cell: str) -> str:
    """`factor` for the test cell `factor-test`."""
    return cell.removesuffix("-test").removeprefix("test-")


def said(row: Row) -> str:
    text = "; ".join(note.text for note in row.notes)
    return f"because {text}" if row.status == FAILED and text else text


def grades_csv(rows: list[Row], best: dict[str, float]) -> str:
    """One line for each student; no points, rather than 0, where nothing could be graded."""
    named = any(row.name for row in rows)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = ["student", *(["name"] if named else []), "points", "max"]
    writer.writerow([*names, *map(short, best), "status", "note"])
    for row in rows:
        who = [row.student, *([row.name] if named else [])]
        cells = [number(row.points.get(cell)) for cell in best]
        total = [number(row.total), number(sum(best.values()))]
        writer.writerow([*who, *total, *cells, row.status, said(row)])
    return out.getvalue()


def counts(rows: list[Row]) -> str:
    found = {status: sum(row.status == status for row in rows) for status in STATUSES}
    return ", ".join(f"{n} {status}" for status, n in found.items() if n)


def marks_html(to_mark: list[ToMark], faults: list[str]) -> str:
    """What waits for points by hand, and what is wrong in marks.csv; nothing without questions."""
    if not to_mark and not faults:
        return ""
    lines = [
        f'<li><a href="{html.escape(one.page)}">{html.escape(one.question)}</a>: '
        f"{one.waiting} of {one.answers} answers wait</li>\n"
        for one in to_mark
    ]
    lines += [f'<li class="look">{html.escape(fault)}</li>\n' for fault in faults]
    return f"<h2>Open answers</h2>\n<ul>{''.join(lines)}</ul>"


def report_html(
    sheet: str,
    rows: list[Row],
    best: dict[str, float],
    to_mark: list[ToMark] = (),
    faults: list[str] = (),
) -> str:
    """The page for the teacher: who needs a hand and why, what is to be marked, then everyone."""
    hands = [row for row in rows if row.needs_a_hand]
    listed = "".join(
        f"<li><b>{html.escape(label(row))}</b>: {html.escape(reason(row))}</li>\n" for row in hands
    )
    heads = "".join(
        f'<th class="number">{html.escape(short(cell))}<br>of {points:g}</th>'
        for cell, points in best.items()
    )
    lines = "".join(table_row(row, best) for row in rows)
    body = f"""
<h1>{html.escape(sheet)}</h1>
<p>{len(rows)} students: {counts(rows)}. A student without a number was not graded; 0 means that
the notebook was graded and earned nothing. An open answer without a number waits for its mark.</p>
<h2>Who needs a hand</h2>
{f"<ul>{listed}</ul>" if hands else "<p>Nobody.</p>"}
{marks_html(to_mark, faults)}
<h2>Everyone</h2>
<table><tr><th>student</th><th class="number">points<br>of {sum(best.values()):g}</th>{heads}
<th>status</th><th>notes</th><th>feedback</th></tr>
{lines}</table>
"""
    return page(sheet, body)


def page(title: str, body: str) -> str:
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head>\n<body>{body}</body></html>\n"
    )


def label(row: Row) -> str:  # or a Submission
    return f"{row.student} ({row.name})" if row.name else row.student


def reason(row: Row) -> str:
    if row.status == FAILED:
        return f"{row.status}, {said(row)}"
    return "; ".join(note.text for note in row.notes if note.look)


def table_row(row: Row, best: dict[str, float]) -> str:
    points = [row.total, *(row.points.get(cell) for cell in best)]
    numbers = "".join(f'<td class="number">{number(value)}</td>' for value in points)
    links = " ".join(f'<a href="{html.escape(path)}">page</a>' for path in row.feedback)
    look = ' class="look"' if row.needs_a_hand else ""
    return (
        f"<tr><td{look}>{html.escape(label(row))}</td>{numbers}<td>{row.status}</td>"
        f"<td>{html.escape(said(row))}</td><td>{links}</td></tr>\n"
    )


def not_graded_html(sheet: str, row: Row) -> str:
    """What a student gets whose work could not be graded."""
    body = (
        f"<h1>{html.escape(sheet)}: {html.escape(label(row))}</h1>"
        f"<p>Your work {row.status}, {html.escape(said(row))}.</p>"
    )
    return page(sheet, body)


def summary(rows: list[Row], to_mark: list[ToMark] = (), faults: list[str] = ()) -> str:
    lines = [f"{len(rows)} students: {counts(rows)}."]
    hands = [row for row in rows if row.needs_a_hand]
    if hands:
        lines += ["", "Who needs a hand:"]
        lines += [f"  {label(row)}: {reason(row)}" for row in hands]
    if waiting := [one for one in to_mark if one.waiting]:
        lines += ["", "Answers that wait for points in marks.csv:"]
        lines += [
            f"  {one.question}: {one.waiting} of {one.answers}, {one.page}" for one in waiting
        ]
    return "\n".join([*lines, *([""] if faults else []), *faults])
