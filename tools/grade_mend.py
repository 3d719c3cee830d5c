"""Bring a handed-in notebook back to the sheet's form, and say what had to be mended.

nbgrader finds cells by the ids in their metadata. A copied cell, a deleted one or metadata that
another program threw away stops it, or costs points without a word. `mend` finds each cell of the
sheet in what was handed in, by id or by content, and puts the sheet's own cells back.
"""

from __future__ import annotations

import ast
import copy
import json
import re
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import nbformat
from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode

LARGEST = 200_000_000  # bytes of a notebook
CONFLICT = re.compile(
    r"^<{7}[^\n]*\n(.*?)(?:^\|{7}[^\n]*\n.*?)?^={7}[^\n]*\n(.*?)^>{7}[^\n]*\n?",
    re.MULTILINE | re.DOTALL,
)


class Unreadable(Exception):
    """No notebook can be made of this file; the message says why."""


class Note(NamedTuple):
    """What was mended or happened; `look` asks the teacher to look at it."""

    text: str
    look: bool = False


@dataclass
class Mended:
    notebook: NotebookNode
    notes: list[Note] = field(default_factory=list)
    answered: int = 0  # answers that are no longer the starter
    untouched: list[str] = field(default_factory=list)  # answers in code that still are


# --------------------------------------------------------------------------------------
# Reading


def read(data: bytes) -> tuple[NotebookNode, list[Note]]:
    """The cells of a handed-in file, with type, source and nbgrader's metadata, and no more."""
    notes: list[Note] = []
    if len(data) > LARGEST:
        raise Unreadable(f"the file is too large (more than {LARGEST / 1e6:.0f} MB)")
    text = decoded(data)
    if not text.strip():
        raise Unreadable("the file is empty")
    if text.lstrip().startswith("<") and not text.lstrip().startswith("<<<<<<<"):
        raise Unreadable("the file is a web page, not a notebook")
    if re.search(r"^(<{7}|>{7})", text, re.MULTILINE):
        text = without_conflict(text)
        notes.append(Note("a merge conflict was left in the file, outside its cells"))
    return parsed(text), notes


def decoded(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    return data.decode("utf-8-sig", errors="replace")


def without_conflict(text: str) -> str:
    """The text with one side of each conflict, if both sides have the same cells."""
    sides = [CONFLICT.sub(side, text) for side in (r"\1", r"\2")]
    try:
        mine, theirs = (
            [(cell.cell_type, cell.source) for cell in parsed(side).cells] for side in sides
        )
    except Unreadable:
        mine, theirs = [], None
    if mine != theirs:
        raise Unreadable("a merge conflict was left in the file (lines with <<<<<<< and >>>>>>>)")
    return sides[0]


def parsed(text: str) -> NotebookNode:
    try:
        document = json.loads(text)
        if isinstance(document, dict) and "worksheets" in document:  # format 3
            document = nbformat.convert(nbformat.from_dict(document), 4)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"the file is not JSON, or only a part of it ({error})") from None
    except Exception as error:  # nbformat raises whatever the damaged part gives rise to
        raise Unreadable(f"the file is no notebook ({type(error).__name__}: {error})") from None
    if not isinstance(document, dict) or not isinstance(document.get("cells"), list):
        raise Unreadable("the file is JSON, but no notebook: it has no list of cells")
    cells = [clean(cell) for cell in document["cells"] if isinstance(cell, dict)]
    if not any(cell.source.strip() for cell in cells):
        raise Unreadable("the notebook has no cells")
    return nbformat.v4.new_notebook(cells=cells)


def clean(cell: dict) -> NotebookNode:
    """A new cell with what grading needs; whatever else was in the file cannot do harm."""
    source = cell.get("source", "")
    if isinstance(source, list):
        source = "".join(part for part in source if isinstance(part, str))
    if not isinstance(source, str):
        source = ""
    source = source.encode("utf-8", "replace").decode("utf-8")  # no half of a surrogate pair
    makers = {"code": nbformat.v4.new_code_cell, "markdown": nbformat.v4.new_markdown_cell}
    made = makers.get(cell.get("cell_type"), nbformat.v4.new_raw_cell)(source)
    metadata = cell.get("metadata")
    nbgrader = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    if isinstance(nbgrader, dict):
        made.metadata.nbgrader = nbformat.from_dict(nbgrader)
    if isinstance(cell.get("id"), str):
        made.metadata.handed_in_id = cell["id"]
    return made


# --------------------------------------------------------------------------------------
# What cells say


def same(one: str, other: str) -> bool:
    """Whether two sources differ in white space at line ends and around them at most."""
    return [line.rstrip() for line in one.strip().splitlines()] == [
        line.rstrip() for line in other.strip().splitlines()
    ]


def syntax_tree(source: str) -> ast.Module | None:
    """The cell as IPython reads it (%magic, !command), or None if it is not Python."""
    try:
        return ast.parse(TransformerManager().transform_cell(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def names_bound(source: str) -> set[str]:
    """The names that a cell defines, assigns or imports at its top level."""
    tree = syntax_tree(source)
    if tree is None:
        return set(re.findall(r"^(?:def|class)\s+(\w+)", source, re.MULTILINE))
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
            continue
        for part in ast.walk(node):
            if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                names.add(part.id)
            elif isinstance(part, ast.Import | ast.ImportFrom):
                names |= {alias.asname or alias.name.split(".")[0] for alias in part.names}
    return names


def grade_id(cell: NotebookNode) -> str | None:
    found = cell.metadata.get("nbgrader", {}).get("grade_id")
    return found if isinstance(found, str) else None


def is_answer(cell: NotebookNode) -> bool:
    return bool(cell.metadata.nbgrader.solution)


def in_words(cell: NotebookNode) -> bool:
    return is_answer(cell) and cell.cell_type != "code"


def is_test(cell: NotebookNode) -> bool:
    return bool(cell.metadata.nbgrader.grade) and not is_answer(cell)


def likeness(sheet: NotebookNode, handed_in: NotebookNode) -> float:
    """The share of the sheet's own texts and tests that are in the notebook, word for word."""
    own = [cell.source for cell in sheet.cells if not is_answer(cell)]
    theirs = [cell.source for cell in handed_in.cells]
    return sum(any(same(text, other) for other in theirs) for text in own) / len(own)


# --------------------------------------------------------------------------------------
# Mending


def mend(sheet: NotebookNode, handed_in: NotebookNode) -> Mended:
    """The sheet with the student's answers in it, and the student's other cells between.

    `sheet` is the version that was handed out; every cell of it has nbgrader's metadata.
    Raises Unreadable if nothing of the sheet is in the notebook.
    """
    notes: list[Note] = []
    share = likeness(sheet, handed_in)
    owners = find_cells(sheet, handed_in, notes)
    if not share and not any(owners):
        raise Unreadable("it is another notebook: nothing of this sheet is in it")
    if share < 0.25:
        notes.append(Note("little of this sheet is in the notebook: is it another one?", True))

    places = defaultdict(list)  # grade id -> its cells, in order
    for cell, owner in zip(handed_in.cells, owners, strict=True):
        if owner:
            places[owner].append(cell)
    chosen, dropped = {}, []
    for own in sheet.cells:
        name = own.metadata.nbgrader.grade_id
        if places[name]:
            chosen[name], unwanted = choose(own, places[name], notes)
            dropped += unwanted
    note_missing(sheet, chosen, notes)

    others = other_cells(handed_in, chosen, dropped)
    added = any(cell.source.strip() for cells in others.values() for cell in cells)
    order = [name for name in in_order(handed_in, chosen) if name in chosen]
    if order != [grade_id(cell) for cell in sheet.cells if grade_id(cell) in chosen]:
        notes.append(Note("cells had been moved; they are in the sheet's order again"))

    mended = Mended(copy.deepcopy(sheet), notes)
    mended.notebook.cells = others[None]
    for own in sheet.cells:
        name = own.metadata.nbgrader.grade_id
        mended.notebook.cells += restored(own, chosen.get(name), mended) + others[name]
    for cell in mended.notebook.cells:
        cell.metadata.pop("handed_in_id", None)
    for own in filter(is_answer, sheet.cells):
        name = own.metadata.nbgrader.grade_id
        if own.cell_type == "code" and same(chosen.get(name, own).source, own.source):
            mended.untouched.append(name)
    if not mended.answered:
        rest = "other cells were added" if added else "the sheet is as it was handed out"
        notes.append(Note(f"no answer was changed: {rest}"))
    return mended


def find_cells(sheet: NotebookNode, handed_in: NotebookNode, notes: list[Note]) -> list[str | None]:
    """For each cell of the notebook, the id of the sheet's cell that it is."""
    own = {grade_id(cell): cell for cell in sheet.cells}
    owners = [grade_id(cell) if grade_id(cell) in own else None for cell in handed_in.cells]
    found = 0

    def by(rule) -> None:
        nonlocal found
        for name, cell in own.items():
            if name in owners:
                continue
            # The last, as it is the last definition that holds.
            for index in reversed(range(len(owners))):
                if owners[index] is None and rule(cell, handed_in.cells[index]):
                    owners[index] = name
                    found += 1
                    break

    by(lambda cell, theirs: theirs.metadata.get("handed_in_id") == cell.id)
    by(lambda cell, theirs: not in_words(cell) and same(cell.source, theirs.source))
    # An answer in words has nothing but its place below the question.
    for question, name in pairwise(own):
        below = owners.index(question) + 1 if question in owners else len(owners)
        free = below < len(owners) and owners[below] is None
        if in_words(own[name]) and name not in owners and free:
            if handed_in.cells[below].cell_type != "code":
                owners[below] = name
                found += 1
    by(
        lambda cell, theirs: (
            is_answer(cell)
            and cell.cell_type == "code"
            and bool(names_bound(cell.source) & names_bound(theirs.source))
        )
    )
    # An answer that was written elsewhere, above or below the starter that was left as it is.
    for name, cell in own.items():
        at = [index for index, owner in enumerate(owners) if owner == name]
        if is_answer(cell) and all(same(cell.source, handed_in.cells[i].source) for i in at):
            for index, theirs in enumerate(handed_in.cells):
                names = names_bound(theirs.source) if theirs.cell_type == "code" else set()
                if owners[index] is None and names & names_bound(cell.source):
                    owners[index] = name
    if found:
        cells = "one cell" if found == 1 else f"{found} cells"
        notes.append(Note(f"nbgrader's metadata was missing from {cells}, found by content"))
    return owners


def choose(
    own: NotebookNode, cells: list[NotebookNode], notes: list[Note]
) -> tuple[NotebookNode, list[NotebookNode]]:
    """The cell that is graded among several with one id, and those to leave out."""
    name = own.metadata.nbgrader.grade_id
    if len(cells) == 1:
        return cells[0], []
    if not is_answer(own):
        if any(same(joint.join(cell.source for cell in cells), own.source) for joint in ("", "\n")):
            notes.append(Note(f"the cell '{name}' was split into {len(cells)} cells"))
            cells[0].source = own.source
            return cells[0], cells[1:]
        notes.append(Note(f"the cell '{name}' was there {len(cells)} times"))
        kept = next((cell for cell in cells if same(cell.source, own.source)), cells[0])
        others = [cell for cell in cells if cell is not kept]
        return kept, [cell for cell in others if not own_work(own, cell)]

    whole = "\n".join(cell.source for cell in cells)
    # IPython forgives a cell that begins with an indented line; a split function has one.
    broken = any(syntax_tree(cell.source) is None for cell in cells) or any(
        cell.source.lstrip("\r\n")[:1] in (" ", "\t") for cell in cells[1:]
    )
    if own.cell_type == "code" and broken and syntax_tree(whole) is not None:
        notes.append(Note(f"the answer '{name}' was split into {len(cells)} cells"))
        cells[0].source = whole
        return cells[0], cells[1:]
    notes.append(Note(f"the answer '{name}' was there {len(cells)} times"))
    unchanged = [cell for cell in cells if same(cell.source, own.source)]
    written = [cell for cell in cells if not same(cell.source, own.source)]
    # The last is graded, as it is the last definition that holds; an untouched copy is no work.
    return (written[-1], unchanged) if written else (cells[-1], cells[:-1])


def own_work(own: NotebookNode, theirs: NotebookNode) -> bool:
    """Whether a changed locked cell has something that the student may need or want kept."""
    if same(own.source, theirs.source):
        return False
    if theirs.cell_type == "code":
        return bool(names_bound(theirs.source) - names_bound(own.source))
    return own.cell_type == "markdown" and theirs.source.strip() not in own.source


def note_missing(sheet: NotebookNode, chosen: dict, notes: list[Note]) -> None:
    missing = [cell for cell in sheet.cells if grade_id(cell) not in chosen]
    for kind, wanted in (("test", is_test), ("answer", is_answer)):
        names = [f"'{grade_id(cell)}'" for cell in missing if wanted(cell)]
        if names:
            said = (
                f"the {kind}s {', '.join(names)} were"
                if names[1:]
                else f"the {kind} {names[0]} was"
            )
            notes.append(Note(f"{said} missing and put back", look=kind == "answer"))
    if any(not is_test(cell) and not is_answer(cell) for cell in missing):
        notes.append(Note("texts or cells of the sheet were missing and put back"))


def in_order(handed_in: NotebookNode, chosen: dict[str, NotebookNode]) -> list[str]:
    names = {id(cell): name for name, cell in chosen.items()}
    return [names[id(cell)] for cell in handed_in.cells if id(cell) in names]


def other_cells(
    handed_in: NotebookNode, chosen: dict[str, NotebookNode], dropped: list[NotebookNode]
) -> dict[str | None, list[NotebookNode]]:
    """The student's other cells, by the cell of the sheet that they follow."""
    names = {id(cell): name for name, cell in chosen.items()}
    unwanted = {id(cell) for cell in dropped}
    after, others = None, defaultdict(list)
    for cell in handed_in.cells:
        if id(cell) in names:
            after = names[id(cell)]
        elif id(cell) not in unwanted:
            others[after].append(plain(cell))
    return others


def plain(cell: NotebookNode) -> NotebookNode:
    """A cell of the student's own: without nbgrader's metadata."""
    made = copy.deepcopy(cell)
    made.metadata = nbformat.from_dict({})
    return made


def restored(own: NotebookNode, theirs: NotebookNode | None, mended: Mended) -> list[NotebookNode]:
    """The sheet's cell with the student's answer, or as it was, beside what they made of it."""
    cell = copy.deepcopy(own)
    if theirs is None:
        return [cell]
    name, notes = own.metadata.nbgrader.grade_id, mended.notes
    points = theirs.metadata.get("nbgrader", {}).get("points", own.metadata.nbgrader.get("points"))
    if points != own.metadata.nbgrader.get("points"):
        notes.append(Note(f"the points of '{name}' had been changed to {points}; restored", True))
    if is_answer(own):
        cell.source = theirs.source
        mended.answered += not same(own.source, theirs.source)
        if theirs.cell_type != own.cell_type:
            notes.append(Note(f"the answer '{name}' was a {theirs.cell_type} cell; restored"))
        return [cell]
    if same(own.source, theirs.source):
        return [cell]
    kept = [plain(theirs)] if own_work(own, theirs) else []
    if is_test(own):
        notes.append(Note(f"the test '{name}' had been changed; restored", True))
        return [*kept, cell]  # what they defined there, they may have meant to be tested
    if own.cell_type == "code" or kept:
        beside = ", with what was added beside it" if kept else ""
        notes.append(Note(f"the locked cell '{name}' had been changed; restored{beside}"))
    return [cell, *kept]
