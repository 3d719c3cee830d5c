"""The form of a chapter in the second edition: what a page may hold, and what must be folded.

A chapter is held to it once its second cell begins with "**In short**".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from nbformat import NotebookNode

SHORT_WORDS = 90  # In short
PATH_WORDS = 900  # from there to the heading "## Depth"
PATH_FIGURES = 5
COLLAPSED = "jp-MarkdownHeadingCollapsed"  # JupyterLab's name in a cell's metadata
STATED = (
    "The path …: N minutes. All: N minutes. "
    "The exercises: N minutes for the core …, N minutes for all."
)
_MINUTES = re.compile(
    r"\bpath\b.*?(\d+) minutes.*?\bAll: (\d+) minutes.*?\bexercises\b.*?(\d+) minutes for the core"
    r".*?(\d+) minutes for all",
    re.DOTALL,
)
_IMAGE = re.compile(r"<img\b[^>]*>")
_ALT = re.compile(r'\balt="\s*[^"\s][^"]*"')


def is_second_edition(notebook: NotebookNode) -> bool:
    cells = notebook.cells
    return len(cells) > 1 and cells[1].source.lstrip().startswith("**In short")


def words(text: str) -> int:
    """Words of Markdown: a formula and a link count by what is read of them."""
    text = re.sub(r"\$\$.*?\$\$", " formula ", text, flags=re.DOTALL)
    text = re.sub(r"\$[^$]*\$", " formula ", text)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    return len(re.findall(r"[\w'’−.,%/-]*\w[\w'’−.,%/-]*", text))


class Minutes(NamedTuple):
    """How long a chapter takes, as its first cell states it."""

    path: int
    all: int
    core: int
    exercises: int


def minutes(notebook: NotebookNode) -> Minutes | None:
    """The minutes that the first cell states; None if it does not."""
    stated = _MINUTES.search(notebook.cells[0].source) if notebook.cells else None
    return Minutes(*map(int, stated.groups())) if stated else None


def in_short(notebook: NotebookNode) -> str:
    """The first sentence of "In short"."""
    text = re.sub(r"^\s*\*\*In short[.:]?\*\*[.:]?", "", notebook.cells[1].source)
    return re.split(r"(?<=[.?])\s", " ".join(text.split()))[0]


def images(cell: NotebookNode) -> list[bool]:
    """Of every figure that a cell shows, whether it has an alternative text."""
    found = []
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        found += [
            bool(_ALT.search(tag)) for tag in _IMAGE.findall("".join(data.get("text/html", "")))
        ]
        if "image/png" in data or "image/svg+xml" in data:
            found.append(False)  # Jupyter's own images have none
    return found


def faults(notebook: NotebookNode) -> Iterator[str]:
    """Where a chapter of the second edition leaves its form; nothing for the others."""
    if not is_second_edition(notebook):
        return
    cells = notebook.cells
    if (n := words(cells[1].source)) > SHORT_WORDS:
        yield f"'In short' has {n} words; {SHORT_WORDS} at most"
    if not minutes(notebook):
        yield f"the first cell does not state the minutes as the others do: {STATED}"

    headings = [
        cell.source.split("\n")[0] if cell.cell_type == "markdown" else "" for cell in cells
    ]
    if "## Depth" not in headings:
        yield "there is no heading '## Depth'"
        return
    depth = headings.index("## Depth")
    after = [i for i in range(depth + 1, len(cells)) if headings[i].startswith("## ")]
    end = after[0] if after else len(cells)

    path = [cell for cell in cells[1:depth] if cell.cell_type == "markdown"]
    if (n := sum(words(cell.source) for cell in path)) > PATH_WORDS:
        yield f"the path has {n} words; {PATH_WORDS} at most"
    if (n := sum(len(images(cell)) for cell in cells[:depth])) > PATH_FIGURES:
        yield f"the path has {n} figures; {PATH_FIGURES} at most"
    for i in range(depth + 1, end):
        if headings[i].startswith("#") and not cells[i].metadata.get(COLLAPSED):
            yield f"cell {i + 1} ({headings[i]}) is not collapsed"
    for i, cell in enumerate(cells):
        if not all(images(cell)):
            yield f"cell {i + 1} shows a figure without alternative text; use figures.show(alt)"
        if cell.cell_type == "code" and "plt." in cell.source:
            hidden = cell.metadata.get("jupyter", {}).get("source_hidden")
            if not hidden or "hide-input" not in cell.metadata.get("tags", []):
                yield f"cell {i + 1} draws a figure and its code is not folded"
