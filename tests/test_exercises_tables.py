"""The tables of mistakes: every function of a row gets the hint of its row, and no other."""

import ast
import importlib
import traceback
from pathlib import Path

import notebooks
import pytest

from lrlib.exercises import Mistake, NotAttempted

ROOT = Path(__file__).parent.parent
SHEETS = {path.parent.name[3:]: path for path in ROOT.glob("chapters/solutions/*/exercises.py")}


def checkers(slug):
    """Name and checker of those exercises of a sheet that have a table, or letters."""
    module = importlib.import_module(f"lrlib.exercises.{slug}")
    for name, check in vars(module).items():
        if name.startswith("check_") and (hasattr(check, "exercise") or hasattr(check, "flaws")):
            yield name, check


def planted(slug):
    """(checker, wrong answer, how its hint is named) for each function of each row of a sheet."""
    for _, check in checkers(slug):
        if hasattr(check, "flaws"):
            right, hints = check.flaws
            for letter in hints:
                yield check, lambda right=right, letter=letter: right() ^ {letter}, hints[letter]
        else:
            for k, (_, *functions) in enumerate(check.exercise.wrong):
                yield from ((check, function, f"row {k}") for function in functions)


def answers(path):
    """The functions of a sheet, by name, and which of them each check is given."""
    namespace, given = {}, {}
    for cell in notebooks.read_script(path).cells:
        if cell.cell_type == "code":
            about = cell.metadata.nbgrader
            tree = ast.parse(cell.source)
            functions = all(isinstance(node, ast.FunctionDef) for node in tree.body)
            if about.solution or about.grade_id == "setup" or functions:
                exec(compile(cell.source, str(path), "exec"), namespace)
            elif about.grade:
                for node in ast.walk(ast.parse(cell.source)):
                    if isinstance(node, ast.Call) and getattr(node.func, "id", "")[:6] == "check_":
                        given[node.func.id] = node.args[0].id
    return {name: namespace[answer] for name, answer in given.items()}


TABLES = [(slug, name, check) for slug in SHEETS for name, check in checkers(slug)]
PLANTED = [(f"{slug} {check.__doc__[:12]}", *row) for slug in SHEETS for row in planted(slug)
           for check in row[:1]]  # fmt: skip


@pytest.mark.parametrize(("slug", "name", "check"), TABLES, ids=[f"{t[0]} {t[1]}" for t in TABLES])
def test_the_solution_passes_and_the_starter_is_not_attempted(slug, name, check, capsys):
    check(answers(SHEETS[slug])[name])
    assert capsys.readouterr().out.startswith("Passed: ")

    def starter(*args):
        raise NotImplementedError

    with pytest.raises(NotAttempted):
        check(starter)


@pytest.mark.parametrize(
    ("check", "wrong", "hint"), [p[1:] for p in PLANTED], ids=[p[0] for p in PLANTED]
)
def test_each_function_gets_the_hint_of_its_row(check, wrong, hint):
    with pytest.raises(Mistake) as caught:
        check(wrong)
    assert hint in (getattr(caught.value, "named", None), str(caught.value).partition(": ")[2])
    shown = "".join(caught.value._render_traceback_())
    for frame in traceback.extract_tb(caught.value.__traceback__):
        assert not frame.line or frame.line not in shown
