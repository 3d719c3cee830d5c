"""What the documentation says: its code runs, its links lead somewhere, its cover is current."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import cover
import nbformat
import notebooks
import pytest

import lrlib

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [*ROOT.glob("*.md"), *ROOT.glob("chapters/*.md"), ROOT / "data/README.md"]
)
MODULES = [
    module.name
    for module in pkgutil.walk_packages(lrlib.__path__, "lrlib.")
    if ">>>" in Path(importlib.util.find_spec(module.name).origin).read_text(encoding="utf-8")
]


FRAMEWORKS = "## In Trainer, Lightning and accelerate\n"  # tests/test_frameworks.py runs its code


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a page in one language ("" for none), but for the frameworks'."""
    text = (ROOT / page).read_text(encoding="utf-8")
    text = re.sub(rf"(?ms)^{FRAMEWORKS}.*?(?=^## |\Z)", "", text)
    found = re.findall(r"(?ms)^```(\w*)\n(.*?)^```$", text)
    return [block for named, block in found if named == language]


# --- code


def test_some_docstrings_have_examples():
    assert {"lrlib.schedule", "lrlib.trace"} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings_say_what_happens(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0 and result.failed == 0


def test_the_code_in_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # it saves a checkpoint
    namespace = {"__name__": "readme"}
    found = blocks("README.md", "python")
    assert len(found) >= 2
    for number, block in enumerate(found, start=1):
        exec(compile(block, f"README.md, block {number}", "exec"), namespace)


def test_the_code_for_contributors_runs():
    """Its block shows a class without the imports around it."""
    (block,) = blocks("CONTRIBUTING.md", "python")
    namespace = {"__name__": "contributing"}
    exec("from dataclasses import dataclass\nfrom lrlib import Schedule, _checks", namespace)
    exec(compile(block, "CONTRIBUTING.md", "exec", dont_inherit=True), namespace)
    assert [namespace["Halving"](10, 30)(step) for step in (0, 10, 20, 99)] == [1, 0.5, 0.25, 1 / 8]


def shell(page: str) -> str:
    """What a page shows as commands: its other blocks, and what stands between backticks."""
    text = (ROOT / page).read_text(encoding="utf-8")
    prose = re.sub(r"(?ms)^```.*?^```$", "", text)
    fenced = [b for language in ("", "bash", "sh") for b in blocks(page, language)]
    return "\n".join([*fenced, *re.findall(r"`([^`\n]+)`", prose)])


@pytest.mark.parametrize("page", PAGES)
def test_every_command_shown_exists(page):
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"(?m)^([a-z]+):", makefile))
    assert {"read", "test"} <= targets
    commands = shell(page)
    assert set(re.findall(r"(?m)(?:^|\s)make ([a-z]+)", commands)) <= targets
    for tool, command in re.findall(r"tools/(\w+)\.py(?: ([a-z-]+))?", commands):
        source = (ROOT / f"tools/{tool}.py").read_text()
        assert command == "" or f"tools/{tool}.py {command}" in source


def test_make_help_knows_every_target():
    makefile = (ROOT / "Makefile").read_text()
    targets = re.search(r"(?m)^\.PHONY: (.*)", makefile)[1].split()
    for target in set(targets) - {"help"}:
        assert f'@echo "make {target} ' in makefile, target


@pytest.mark.parametrize("page", PAGES)
def test_every_link_within_the_repository_leads_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    for link in links:
        if not re.match(r"[a-z]+:", link):
            assert ((ROOT / page).parent / link.split("#")[0]).exists(), link


# --- the cover


def test_the_committed_cover_is_current():
    assert cover.check(ROOT) == []


def test_the_cover_lists_every_chapter_and_its_exercises():
    links = re.findall(r"\]\((.*?\.ipynb)\)", (ROOT / cover.COVER).read_text(encoding="utf-8"))
    chapters = [path.name for path in ROOT.glob("chapters/*.ipynb")]
    sheets = [f"exercises/{name[:-6]}/exercises.ipynb" for name in chapters]
    assert sorted(links) == sorted(chapters + sheets)


FIRST = ("# 1 · One | two", "Text. An answer, in\nits own words. More.", "word " * 900)
SECOND = (
    "# 2 · Another\n\nThe path, down to *Depth*: 12 minutes. All: 40 minutes. "
    "The exercises: 45 minutes for the core (1 to 3), 75 minutes for all.",
    "**In short.** Take 0.5 points\n[0.1, 0.9]. Then stop.",
)


@pytest.fixture
def book(tmp_path, monkeypatch):
    """Two chapters, one of each edition."""
    monkeypatch.setattr(cover, "ANSWERS", {"01_one": "an answer, in its own words"})
    write_chapter(tmp_path, "01_one", *FIRST[:1], FIRST[1].replace("An", "an"), FIRST[2])
    write_chapter(tmp_path, "02_two", *SECOND)
    texts = [
        "Three exercises, 4 points. Core: exercises 1 and 2, 45 minutes; all: 75 minutes.",
        "## 1. A start (core, 1 point, 20 minutes)",
        "## 2. A middle (core, 1 point, 25 minutes)",
        "## 3. An end (2 points, 30 minutes, open-ended)",
    ]
    marked = {"nbgrader": {"points": 2, "grade_id": "a", "grade": True}}
    cells = [nbformat.v4.new_markdown_cell(text) for text in texts]
    cells += [nbformat.v4.new_code_cell("check(f)", metadata=marked) for _ in range(2)]
    sheet = nbformat.v4.new_notebook(cells=cells)
    notebooks.write_notebook(sheet, tmp_path / "chapters/exercises/02_two/exercises.ipynb")
    return tmp_path


def write_chapter(root: Path, name: str, *cells: str) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(c) for c in cells])
    notebooks.write_notebook(notebook, root / "chapters" / f"{name}.ipynb")


def test_the_cover_says_what_the_chapters_say(book):
    rows = [line for line in cover.cover(book).splitlines() if line.startswith(("| 1 ", "| 2 "))]
    assert rows == [
        r"| 1 | [One \| two](01_one.ipynb) | An answer, in its own words. | ≈ 15 min |  |",
        "| 2 | [Another](02_two.ipynb) | Take 0.5 points [0.1, 0.9]. | 12 min; all 40 | "
        "[three](exercises/02_two/exercises.ipynb), 4 points; core 45 min, all 75 |",
    ]


def test_a_stale_cover_is_noticed(book):
    stale = ["chapters/README.md is not what the chapters make; run: python tools/cover.py"]
    assert cover.check(book) == stale
    notebooks.write_whole(book / cover.COVER, cover.cover(book))
    assert cover.check(book) == []
    write_chapter(book, "02_two", SECOND[0].replace("12", "13"), SECOND[1])
    assert cover.check(book) == stale


@pytest.mark.parametrize(
    ("name", "cells", "fault"),
    [
        ("01_one", ("# 1 · One", "Another answer."), "no longer says what tools/cover.py quotes"),
        ("01_one", ("# 1 · One", SECOND[1]), "take its sentence out of tools/cover.py"),
        ("02_two", ("# 2 · Another", "Text."), "has neither 'In short' nor a sentence"),
        ("02_two", ("Another", SECOND[1]), "does not begin with a heading"),
        (
            "02_two",
            (SECOND[0].replace("75", "80"), SECOND[1]),
            "says that the exercises take 45 and 80 minutes; their sheet says 45 and 75",
        ),
    ],
)
def test_a_chapter_that_the_cover_cannot_quote_is_noticed(book, name, cells, fault):
    write_chapter(book, name, *cells)
    (found,) = cover.check(book)
    assert found.startswith(f"chapters/{name}.ipynb ") and fault in found
