"""Every sheet: what it states; and in a real kernel, what a learner sees, and what a name can do.

One kernel runs all of it, since torch takes seconds to load. Planted mistakes are those of the
tests of the single chapters.
"""

import ast
import re
from pathlib import Path

import nbformat
import notebooks
import pytest
import sheets
from jupyter_client.manager import start_new_kernel

from lrlib.exercises import Mistake, NotAttempted, call, checker, passed

ROOT = Path(__file__).parent.parent
SHEETS = sorted((ROOT / "chapters/solutions").glob("*/exercises.py"))
SLUGS = [path.parent.name[3:] for path in SHEETS]
PLANTED = [slug for slug in SLUGS if (ROOT / f"tests/test_exercises_{slug}.py").exists()]
# So long that no learner's own line is one of them by chance.
LINES = {
    line.strip()
    for path in (ROOT / "lrlib/exercises").glob("*.py")
    for line in path.read_text().splitlines()
    if len(line.strip()) >= 24 and not line.strip().startswith(("#", '"""', '"', 'f"'))
}


@pytest.fixture(scope="module")
def kernel():
    path = ":".join(map(str, (ROOT, ROOT / "tests", ROOT / "tools")))
    with notebooks.notebook_environment(MPLBACKEND="agg", PYTHONPATH=path):
        manager, client = start_new_kernel(kernel_name="python3", cwd=str(ROOT))
        try:
            yield client
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)


def execute(client, code: str) -> tuple[str, str]:
    """All that the cell shows, without colours, and the name of the error, if any."""
    shown, name = [], ""

    def keep(message):
        nonlocal name
        content = message["content"]
        if message["msg_type"] == "stream":
            shown.append(content["text"])
        elif message["msg_type"] == "error":
            name = content["ename"]
            shown.extend([*content["traceback"], f"\n{content['evalue']}"])

    client.execute_interactive(code, output_hook=keep, timeout=300)
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(shown)), name


def leaked(text: str) -> list[str]:
    """The lines of a checker that the text shows."""
    found = []
    for line in text.splitlines():
        bare = re.sub(r"^\s*(-+>)?\s*\d*\s*", "", line).strip()  # IPython numbers lines
        if bare in LINES or "lrlib/exercises" in line:
            found.append(line)
    return found


def cells(path: Path) -> list[tuple[str, str, str]]:
    """("set-up", "answer", "test" or "other", grade_id, source) of the code cells of a sheet."""
    out = []
    for cell in notebooks.read_script(path).cells:
        if cell.cell_type == "code":
            about = cell.metadata.nbgrader
            kind = "answer" if about.solution else "test" if about.grade else "other"
            kind = "set-up" if about.grade_id == "setup" else kind
            out.append((kind, about.grade_id, cell.source))
    return out


def starter(source: str) -> str:
    """An answer's cell as nbgrader hands it out."""
    return re.sub(
        r"( *)### BEGIN SOLUTION.*?### END SOLUTION",
        r"\1# YOUR CODE HERE\n\1raise NotImplementedError()",
        source,
        flags=re.S,
    )


def run_sheet(client, path, edit=lambda source: source, kinds=("set-up", "answer", "test")):
    """Runs the cells of these kinds as a starter's, edited; yields what each test cell shows."""
    for kind, name, source in cells(path):
        if kind in kinds:
            shown, error = execute(client, edit(starter(source)) if kind == "answer" else source)
            if kind == "test":
                yield name, shown, error


# --- what a sheet states, and its open questions


@pytest.mark.parametrize("path", SHEETS, ids=SLUGS)
def test_times_points_core_and_rubrics_are_as_they_are_stated(path):
    assert "\n".join(sheets.faults(notebooks.read_script(path))) == ""


@pytest.mark.parametrize("path", SHEETS, ids=SLUGS)
def test_students_see_the_question_and_nothing_of_its_answer(path):
    solutions = {sheets.grade_id(cell): cell for cell in notebooks.read_script(path).cells}
    folder = ROOT / "chapters/exercises" / path.parent.name
    handed_out = nbformat.read(folder / "exercises.ipynb", as_version=4)
    seen = sheets.flowing((folder / "exercises.ipynb").read_text(encoding="utf-8"))
    assert "Model answer" not in seen and "Rubric" not in seen
    answers = [cell for cell in handed_out.cells if sheets.by_hand(cell)]
    assert {*map(sheets.grade_id, answers)} == {
        name for name, cell in solutions.items() if sheets.by_hand(cell)
    }
    for cell in answers:
        assert cell.source == "YOUR ANSWER HERE"
        assert cell.metadata.get("editable", True)
        question = sheets.grade_id(cell).removesuffix("answer") + "question"
        assert solutions[question].source in [one.source for one in handed_out.cells]


# --- what a learner sees


@pytest.mark.parametrize("path", SHEETS, ids=SLUGS)
def test_an_untouched_sheet_shows_no_line_of_a_checker(kernel, path):
    seen = list(run_sheet(kernel, path))
    assert len(seen) >= 3
    for name, shown, error in seen:
        assert error == "NotAttempted", (name, shown)
        assert "is not attempted yet" in shown
        assert leaked(shown) == [] and len(shown.splitlines()) <= 4, (name, shown)


def test_the_starter_made_here_is_the_one_handed_out():
    """For those sheets whose student version is as new as the solution."""
    ours = {source for kind, _, source in cells(SHEETS[0]) if kind == "answer"}
    sheet = nbformat.read(
        ROOT / "chapters/exercises" / SHEETS[0].parent.name / "exercises.ipynb", as_version=4
    )
    handed_out = [cell.source for cell in sheet.cells]
    assert all(starter(source) in handed_out for source in ours)


@pytest.mark.parametrize("slug", SLUGS)
def test_no_planted_mistake_shows_a_line_of_a_checker(kernel, slug):
    """Neither one of a table nor one that is planted by the tests of the sheet."""
    execute(kernel, "import test_exercises_tables")
    execute(kernel, f"planted = list(test_exercises_tables.planted('{slug}'))")
    if slug in PLANTED:
        execute(kernel, f"import test_exercises_{slug} as rest\nplanted += rest.MISTAKES")
    listed, _ = execute(kernel, "print(len(planted))")
    assert int(listed) > 15 or slug not in PLANTED
    for k in range(int(listed)):
        code = f"check, wrong, *_ = planted[{k}]\ncheck(wrong)"
        shown, error = execute(kernel, code)
        assert error == "Mistake", (k, shown)
        assert leaked(shown) == [], (k, shown)


@pytest.mark.parametrize("path", SHEETS, ids=SLUGS)
@pytest.mark.parametrize(
    "body", ["return 1 / 0", "return undefined_name", "import sys; sys.exit()"]
)
def test_an_error_of_the_learner_shows_the_learners_line_alone(kernel, path, body):
    def edit(source):
        return source.replace("raise NotImplementedError()", body)

    for name, shown, error in run_sheet(kernel, path, edit):
        assert error == "Mistake", (name, shown)
        assert f"    {body}" in shown and "In your code:" in shown, (name, shown)
        assert leaked(shown) == [], (name, shown)


@pytest.mark.parametrize(
    "ending", ["exit()", "quit()", "raise SystemExit", "import sys; sys.exit(1)"]
)
def test_leaving_in_a_checked_function_leaves_the_kernel_alive(kernel, ending):
    code = f"""
    from lrlib.exercises.step_decay import check_factor

    def factor(t, step_size, gamma):
        {ending}

    check_factor(factor)
    """
    shown, error = execute(kernel, "import textwrap\n" + re.sub(r"(?m)^    ", "", code))
    assert error == "Mistake" and "by exit() or sys.exit()" in shown, shown
    assert execute(kernel, "print(40 + 2)")[0].strip() == "42"
    # Outside of a check it is what it was.
    assert "ask_exit" not in execute(kernel, "print(*vars(get_ipython()))")[0].split()


def test_a_loop_that_never_ends_is_stopped_and_shown(kernel):
    execute(kernel, "import lrlib.exercises._calls as calls\nvars(calls)['SECONDS'] = 1")
    for body in ("pass", "\n        try: 1 / 0\n        except: pass"):
        code = "def factor(t, step_size, gamma):\n    rate = 1\n    while rate > 0:" + body
        execute(kernel, code)
        shown, error = execute(
            kernel, "from lrlib.exercises.step_decay import check_factor\ncheck_factor(factor)"
        )
        assert error == "Mistake" and "a loop that never ends?" in shown, shown
        assert "line 3, in factor" in shown or "try: 1 / 0" in shown or "except" in shown, shown
        assert leaked(shown) == []
    execute(kernel, "vars(calls)['SECONDS'] = 10")


FAKES = {
    "a variable": "check = step_decay = check_factor = 0.1",
    "a fake": "class check:\n    def __getattr__(self, name): return print\ncheck = check()",
    "an imported fake": "import types\nstep_decay = check = types.SimpleNamespace()",
}
PATCHES = [
    "import lrlib.exercises.{slug}\nlrlib.exercises.{slug}.{check} = lambda *a: None",
    "from lrlib.exercises import {slug} as module\nmodule.{check} = print",
    "from lrlib.exercises import {slug} as module\nsetattr(module, 'Mistake', print)",
    "import lrlib.exercises._calls as module\nmodule.call = print",
    "import lrlib.exercises as module\nmodule.Mistake = Warning",
    "from lrlib.exercises import {slug} as module\ndel module.{check}",
]


@pytest.mark.parametrize("path", SHEETS, ids=SLUGS)
@pytest.mark.parametrize("fake", FAKES.values(), ids=FAKES)
def test_a_name_buys_nothing(kernel, path, fake):
    for name, shown, error in run_sheet(kernel, path, lambda source: f"{source}\n\n\n{fake}"):
        assert error == "NotAttempted", (name, shown)


@pytest.mark.parametrize("fake", FAKES.values(), ids=FAKES)
def test_a_name_costs_nothing(kernel, fake):
    """On the sheets whose solutions are quick."""
    for path in (SHEETS[0], SHEETS[1], SHEETS[2]):
        for kind, name, source in cells(path):
            if kind == "answer":
                source += f"\n\n\n{fake}"
            if kind in ("set-up", "answer", "test"):
                shown, error = execute(kernel, source)
                assert not error, (name, shown)
            if kind == "test":
                assert shown.startswith("Passed: "), (name, shown)


@pytest.mark.parametrize("patch", PATCHES)
def test_a_checker_cannot_be_replaced_in_passing(kernel, patch):
    path, slug = SHEETS[1], SLUGS[1]
    code = patch.format(slug=slug, check="check_factor")
    shown, error = execute(kernel, code)
    assert error == "AttributeError" and "belongs to the checks" in shown, shown
    assert all(error == "NotAttempted" for *_, error in run_sheet(kernel, path))


@pytest.mark.parametrize("path", SHEETS, ids=SLUGS)
def test_test_cells_use_nothing_but_what_they_import_and_the_answer(path):
    answers = set()
    for kind, name, source in cells(path):
        tree = ast.parse(source)
        if kind == "answer":
            answers |= {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        if kind != "test":
            continue
        imported = {
            alias.asname or alias.name
            for node in tree.body
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert used <= imported | answers, (name, used - imported - answers)
        assert used & answers, name


def test_a_check_that_rules_something_out_says_so_only_of_right_answers():
    @checker("lrlib.step_decay", "StepDecay")
    def check_(function):
        if call(function) != 0.5:
            raise Mistake("not a half")
        passed("a half")

    from lrlib import Constant, MultiStepDecay, StepDecay

    check_(lambda: Constant(0.5)(1))
    check_(lambda: MultiStepDecay((1,), 0.5)(1))
    with pytest.raises(Mistake, match=r"calls StepDecay.* of lrlib\.step_decay"):
        check_(lambda: StepDecay(1, 0.5)(1))
    with pytest.raises(Mistake, match="not a half"):
        check_(lambda: StepDecay(1, 0.25)(1))
    with pytest.raises(NotAttempted):
        check_(starter_function)


def starter_function():
    raise NotImplementedError
