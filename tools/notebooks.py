"""Make the notebooks from their scripts, and check that they belong together.

    python tools/notebooks.py build [NAME ...]   execute chapters and solutions (with --draft,
                                                 however weak their claims are)
    python tools/notebooks.py check              compare each script with its notebook
    python tools/notebooks.py pair [NAME ...]    write both in the form that a save in JupyterLab
                                                 leaves as it is; the outputs stay
    python tools/notebooks.py release            make the students' versions
    python tools/notebooks.py check-release      compare them with the committed ones
    python tools/notebooks.py claims             make chapters/CLAIMS.md from the notebooks
    python tools/notebooks.py check-claims       compare it with the committed one

The scripts (chapters/NN_slug.py and chapters/solutions/NN_slug/*.py, jupytext's percent format)
are the source. Everything else that lies beside them is generated.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import copy
import filecmp
import hashlib
import json
import math
import os
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from itertools import zip_longest
from pathlib import Path
from unittest.mock import patch

import edition
import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

TIMEOUT = 600  # seconds for one cell
MAX_LINES = 25  # a code cell fits on a screen
MAX_WIDTH = 88  # and in the notebook's column
VERDICTS = (  # of lab.claim, where it does not raise
    "supported",
    "no difference we can detect",
    "a difference, smaller than the margin",
)
# The same as in lrlib/lab/evidence.py, whose import takes seconds.
CLAIMS_DATA = "application/vnd.lrlib.claims+json"
FAILED = "NOT SUPPORTED"
ENOUGH = 3.0  # half-widths between an estimate and the nearest bound
CLAIMS_COLUMNS = ("claim", "measured", "seeds", "wanted", "half-widths", "verdict", "audit")
ROW_KEYS = {"kind", "text", "measured", "n", "of", "wanted", "power", "seeds_needed", "verdict"}
KEPT_METADATA = ("tags", "nbgrader", "jupyter", edition.COLLAPSED)
# What jupytext reads off the blank lines of a script. It asks for the same in the notebook: without
# it, JupyterLab refuses to open a notebook that is newer than its script.
LAYOUT_METADATA = ("lines_to_next_cell", "lines_to_end_of_cell_marker", "cell_marker")
CELL_METADATA = (*KEPT_METADATA, *LAYOUT_METADATA)

# The same wherever the notebook was executed: no patch version of Python, no local kernel.
NOTEBOOK_METADATA = {
    # As in pyproject.toml. jupytext writes it into every notebook that is saved through it.
    "jupytext": {
        "cell_metadata_filter": ",".join((*KEPT_METADATA, "-all")),
        "notebook_metadata_filter": "-all",
    },
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {
        "codemirror_mode": {"name": "ipython", "version": 3},
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "nbconvert_exporter": "python",
        "pygments_lexer": "ipython3",
    },
}

CLAIMS_HEADER = """\
# What the book claims

`make claims` makes this table from the rows that the executed notebooks carry as data, and \
`make test` fails when it is not what they show. There are two kinds of rows. A **claim** \
(`lab.claim`) is held to a bound and stops its chapter when the evidence does not clear it. A \
**measurement** (`lab.measure`) asserts nothing.

- **measured**: the mean over seeds (of ratios, the geometric mean as a rule) and in brackets its \
95 % interval: Student's t over seeds or, where shapes are compared at their own tuned peaks, one \
that contains the tuning too. Each interval stands for itself: of twenty, one is expected to miss.
- **seeds**: how many, or of what else the effects are; *exact* marks a single number without an \
interval.
- **wanted**: where the whole interval had to lie. The margin of a *no difference* (±, or a \
factor) was set before looking: the smallest difference that matters on the task, one for each task.
- **half-widths**: how many halves of the interval's width lie between the estimate and the \
nearest bound it is held to. A chapter with fewer than three is not built: at three, about one \
fresh draw of the seeds in 30,000 would overturn the claim.
- **verdict**: where the interval lies within a margin and holds zero (for a ratio, one), there is \
*no difference we can detect*; if it leaves that out, *a difference, smaller than the margin*.
- **audit**: these rows belong to `LRLIB_SEED=0`; `make audit` runs every chapter under twelve \
other draws of all seeds and data. Here is in how many of them the claim held; what failed in one \
is not a claim. *–* marks what asserts nothing or has not been audited.
"""


class Fault(Exception):
    """Something is wrong with a notebook; the message says what and where."""


# --------------------------------------------------------------------------------------
# Which files there are


def scripts_and_notebooks(root: Path) -> list[Path]:
    """Each pair's path without its suffix, chapters first; a lone file counts as a pair."""
    chapters = root / "chapters"
    found = [*chapters.glob("*.*"), *chapters.glob("solutions/*/*.*")]
    return sorted(
        {path.with_suffix("") for path in found if path.suffix in (".py", ".ipynb")},
        key=lambda path: (len(path.parts), path),
    )


def name_of(pair: Path) -> str:
    """`01_fixed_learning_rate`, for the chapter and for its solutions."""
    return pair.name if pair.parent.name == "chapters" else pair.parent.name


def pairs_named(root: Path, names: list[str]) -> list[Path]:
    """The pairs of the named chapters (all, if none is named) that have a script."""
    pairs = [pair for pair in scripts_and_notebooks(root) if pair.with_suffix(".py").exists()]
    known = sorted({name_of(pair) for pair in pairs})
    if unknown := sorted(set(names) - set(known)):
        raise Fault(f"no chapter is named {', '.join(unknown)}; there are {', '.join(known)}")
    return [pair for pair in pairs if not names or name_of(pair) in names]


def read_script(path: Path) -> NotebookNode:
    """The script as a notebook without outputs, with ids that depend on the cells alone."""
    notebook = jupytext.read(path, fmt="py:percent")
    notebook.metadata = NotebookNode(nbformat.from_dict(NOTEBOOK_METADATA))
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    seen: Counter[str] = Counter()
    for cell in notebook.cells:
        cell.metadata = NotebookNode(kept_metadata(cell, CELL_METADATA))
        # An id made from the text moves with its cell, so that an insertion changes one id.
        digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:8]
        cell.id = f"cell-{digest}" + (f"-{seen[digest]}" if seen[digest] else "")
        seen[digest] += 1
    return notebook


def read_notebook(path: Path) -> NotebookNode:
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except (nbformat.ValidationError, nbformat.reader.NotJSONError) as error:
        raise Fault(f"not a valid notebook: {str(error).splitlines()[0]}") from None
    return notebook


def write_whole(path: Path, text: str) -> None:
    """Write all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")  # of this process alone
    unfinished.write_text(text, encoding="utf-8", newline="\n")
    os.replace(unfinished, path)


def as_javascript(value: object) -> object:
    """The value as a browser gives it back. JavaScript has one kind of number: 2.0 is saved as 2.

    Raises Fault for NaN and infinity, at which a browser refuses the whole notebook.
    """
    if isinstance(value, dict):
        return {key: as_javascript(part) for key, part in value.items()}
    if isinstance(value, list):
        return [as_javascript(part) for part in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise Fault(f"carries the number {value}, which JSON does not know")
        if float(value).is_integer() and abs(value) < 1e21:  # beyond, both write 1e+21
            return int(Decimal(repr(float(value))))
    return value


def notebook_text(notebook: NotebookNode) -> str:
    """The content of the notebook's file, as JupyterLab writes it when the notebook is saved."""
    return nbformat.writes(nbformat.from_dict(as_javascript(notebook))) + "\n"


def script_text(notebook: NotebookNode) -> str:
    """The content of the script's file, as JupyterLab writes it when the notebook is saved."""
    return jupytext.writes(notebook, fmt="py:percent")


def write_notebook(notebook: NotebookNode, path: Path) -> None:
    """Write the notebook, no newer than its script, if it has one: it was made from that."""
    write_whole(path, notebook_text(notebook))
    script = path.with_suffix(".py")
    if script.exists():
        written = script.stat().st_mtime_ns
        os.utime(path, ns=(written, written))


def kept_metadata(cell: NotebookNode, keys: Iterable[str]) -> dict:
    """In the order of a notebook's file, which is also that in which a script gets them back."""
    return {key: cell.metadata[key] for key in sorted(keys) if key in cell.metadata}


def cell_name(index: int, cell: NotebookNode) -> str:
    """`cell 7 (code: import torch)`; cells are counted from 1, as a reader counts them."""
    first_line = cell.source.strip().split("\n")[0]
    return f"cell {index + 1} ({cell.cell_type}: {first_line[:50]})"


# --------------------------------------------------------------------------------------
# Execution


@contextmanager
def notebook_environment(**variables: str) -> Iterator[None]:
    """Run kernels, here and in child processes, with this interpreter and nobody's settings."""
    with tempfile.TemporaryDirectory() as folder:
        kernel = Path(folder, "kernels", "python3", "kernel.json")
        kernel.parent.mkdir(parents=True)
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        command.append("--log-level=ERROR")  # no advice on encrypting a loopback connection
        kernel.write_text(
            json.dumps({"argv": command, "display_name": "Python 3", "language": "python"})
        )
        ours = {
            "JUPYTER_PATH": folder,  # looked at before every other place for kernels
            "JUPYTER_CONFIG_DIR": os.path.join(folder, "config"),
            "JUPYTER_DATA_DIR": os.path.join(folder, "data"),
            "JUPYTER_RUNTIME_DIR": os.path.join(folder, "runtime"),
            "IPYTHONDIR": os.path.join(folder, "ipython"),
            # nbgrader calls programs that are installed beside this interpreter.
            "PATH": os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")]),
            "LRLIB_PROGRESS": "0",
        }
        with patch.dict(os.environ, ours | variables):
            os.environ.pop("MPLBACKEND", None)  # it would keep figures out of the notebooks
            yield


def execute(notebook: NotebookNode, folder: Path) -> None:
    """Execute the notebook in place, in a fresh kernel, as if opened in `folder`."""
    running = ["before the first cell"]
    client = NotebookClient(
        notebook,
        timeout=TIMEOUT,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        coalesce_streams=True,
        on_cell_start=lambda cell, cell_index: running.append(cell_name(cell_index, cell)),
    )
    try:
        client.execute()
    except CellExecutionError as error:
        raise Fault(f"{running[-1]} raised\n{error.traceback}") from None
    except CellTimeoutError:
        raise Fault(f"{running[-1]} ran for more than {TIMEOUT} s") from None
    except DeadKernelError:
        raise Fault(f"{running[-1]}: the kernel died") from None


def strip_noise(notebook: NotebookNode) -> None:
    """Leave nothing that differs from one execution to the next without meaning anything."""
    notebook.metadata = NotebookNode(nbformat.from_dict(NOTEBOOK_METADATA))
    for cell in notebook.cells:
        cell.metadata = NotebookNode(kept_metadata(cell, CELL_METADATA))
        if cell.cell_type != "code":
            continue
        for output in cell.outputs:
            output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
        cell.outputs = [out for out in cell.outputs if out.get("data") or out.get("text", True)]


def output_faults(notebook: NotebookNode) -> Iterator[str]:
    """What no committed notebook may show."""
    for index, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            where = cell_name(index, cell)
            if output.output_type == "error":
                yield f"{where} shows an error: {output.ename}: {output.evalue}"
            elif output.get("name") == "stderr":
                yield f"{where} wrote to stderr: {output.text.strip()}"
            elif re.search(r" at 0x[0-9a-f]{6,}", str(output.get("data", {}).get("text/plain"))):
                yield f"{where} shows an object's address; give its last value a name, such as _"


def build(root: Path, names: list[str], draft: bool = False) -> list[str]:
    """Execute the named chapters (all, if none is named) and their solutions.

    A notebook with a fault is not written. With `draft`, faults of its claims are only printed.
    """
    faults = []
    # What is committed is what every reader can make again: the book's seeds, on a CPU.
    with notebook_environment(LRLIB_SEED="0", LRLIB_SCALE="1", LRLIB_DEVICE="cpu", LRLIB_AUDIT="0"):
        for pair in pairs_named(root, names):
            script = pair.with_suffix(".py")
            shown = script.relative_to(root)
            print(f"{shown} ...", flush=True)
            try:
                notebook = read_script(script)
                execute(notebook, script.parent)
            except Fault as fault:
                faults.append(f"{shown}: {fault}")
                continue
            strip_noise(notebook)
            problems = [f"{shown}: {problem}" for problem in output_faults(notebook)]
            # Only a chapter's rows go into the table of claims.
            found = [*evidence_faults(notebook)] if pair.parent.name == "chapters" else []
            unsound = [f"{shown}: {problem}" for problem in (*found, *weak_claims(notebook))]
            for problem in unsound:
                if draft:
                    print(f"draft: {problem}", flush=True)
                else:
                    problems.append(problem)
            if problems:
                faults += problems
            else:
                write_notebook(notebook, pair.with_suffix(".ipynb"))
    return faults


# --------------------------------------------------------------------------------------
# Checks


def check(root: Path) -> list[str]:
    """Every fault of every pair of script and notebook."""
    faults = []
    for pair in scripts_and_notebooks(root):
        script, notebook = pair.with_suffix(".py"), pair.with_suffix(".ipynb")
        remake = f"run: make chapters NAME={name_of(pair)}"
        if not notebook.exists():
            faults.append(f"{script.relative_to(root)} has no notebook; {remake}")
        elif not script.exists():
            faults.append(f"{notebook.relative_to(root)} has no script")
        else:
            shown = notebook.relative_to(root)
            try:
                made, kept = read_script(script), read_notebook(notebook)
            except Fault as fault:
                faults.append(f"{shown}: {fault}")
                continue
            unlike = [f"{shown}: {fault}; {remake}" for fault in pair_faults(made, kept)]
            faults += unlike or [f"{shown}: {fault}" for fault in saving_faults(pair, made, kept)]
            faults += [f"{shown}: {fault}" for fault in form_faults(kept)]
            if pair.parent.name == "chapters":
                faults += [f"{shown}: {fault}" for fault in margin_faults(kept)]
    return faults


def pair_faults(made: NotebookNode, kept: NotebookNode) -> Iterator[str]:
    """Where the committed notebook is not what its script says."""
    yield from text_faults(made, kept)
    for index, (ours, theirs) in enumerate(zip(made.cells, kept.cells, strict=False)):
        wanted, found = kept_metadata(ours, KEPT_METADATA), kept_metadata(theirs, KEPT_METADATA)
        if wanted != found:
            yield f"{cell_name(index, ours)} has other metadata in the notebook: {found}"

    yield from execution_faults(kept)


def text_faults(made: NotebookNode, kept: NotebookNode) -> Iterator[str]:
    """Where the cells of script and notebook differ in kind or text."""
    for index, (ours, theirs) in enumerate(zip(made.cells, kept.cells, strict=False)):
        where = cell_name(index, ours)
        if ours.cell_type != theirs.cell_type:
            yield f"{where} is a {theirs.cell_type} cell in the notebook"
        elif ours.source.strip("\n") != theirs.source.strip("\n"):
            yield f"{where} has another text in the notebook"
    if len(made.cells) != len(kept.cells):
        yield f"the script has {len(made.cells)} cells, the notebook {len(kept.cells)}"


def saving_faults(pair: Path, made: NotebookNode, kept: NotebookNode) -> Iterator[str]:
    """Where JupyterLab would refuse the pair, or change it when it is saved unedited."""
    remake = f"run: python tools/notebooks.py pair {name_of(pair)}"
    texts = {".py": script_text(made)}
    try:
        texts[".ipynb"] = notebook_text(with_outputs(made, kept))
    except Fault as fault:
        yield str(fault)
    for suffix, text in texts.items():
        lines = pair.with_suffix(suffix).read_text(encoding="utf-8").split("\n")
        for number, (line, saved) in enumerate(zip_longest(lines, text.split("\n")), start=1):
            if line != saved:
                name = pair.with_suffix(suffix).name
                yield f"a save in JupyterLab would change line {number} of {name}; {remake}"
                break


def with_outputs(made: NotebookNode, kept: NotebookNode) -> NotebookNode:
    """The notebook made from the script, with the outputs of the one that was executed."""
    made = copy.deepcopy(made)
    for ours, theirs in zip(made.cells, kept.cells, strict=True):
        if ours.cell_type == "code":
            ours.outputs, ours.execution_count = theirs.outputs, theirs.execution_count
    return made


def pair_up(root: Path, names: list[str]) -> list[str]:
    """Write the named pairs (all, if none is named) as JupyterLab leaves them; nothing is executed.

    A notebook whose cells are not its script's stays as it is and is a fault: run the chapter.
    """
    faults = []
    for pair in pairs_named(root, names):
        script, path = pair.with_suffix(".py"), pair.with_suffix(".ipynb")
        made = read_script(script)
        text = script_text(made)
        if script.read_text(encoding="utf-8") != text:
            write_whole(script, text)
        if not path.exists():
            continue  # `check` tells
        try:
            kept = read_notebook(path)
            if unlike := list(text_faults(made, kept)):
                raise Fault(f"{unlike[0]}; run: make chapters NAME={name_of(pair)}")
            write_notebook(with_outputs(made, kept), path)
        except Fault as fault:
            faults.append(f"{path.relative_to(root)}: {fault}")
    return faults


def execution_faults(notebook: NotebookNode) -> Iterator[str]:
    """Where a notebook was not executed from top to bottom."""
    expected = 0
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and cell.source.strip():
            expected += 1
            if cell.execution_count != expected:
                where = cell_name(index, cell)
                yield f"{where} was executed as [{cell.execution_count}], not as [{expected}]"


def form_faults(notebook: NotebookNode) -> Iterator[str]:
    """Where a notebook is hard to read or shows what it should not."""
    yield from output_faults(notebook)
    yield from edition.faults(notebook)
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        lines = cell.source.splitlines()
        if len(lines) > MAX_LINES:
            yield f"{cell_name(index, cell)} has {len(lines)} lines; {MAX_LINES} at most"
        for number, line in enumerate(lines, start=1):
            if len(line) > MAX_WIDTH:
                where = cell_name(index, cell)
                yield f"{where}, line {number} is {len(line)} wide; {MAX_WIDTH} at most"


# --------------------------------------------------------------------------------------
# Students' versions


def grader(root: Path, course: Path):
    """nbgrader, with the settings in `root`, working in the folder `course`."""
    from nbgrader.apps import NbGraderAPI
    from traitlets.config import PyFileConfigLoader

    # Its constructors ask for the current event loop; Python 3.14 no longer makes one.
    asyncio.set_event_loop(asyncio.new_event_loop())
    config = PyFileConfigLoader("nbgrader_config.py", path=str(root)).load_config()
    config.CourseDirectory.root = str(course)
    return NbGraderAPI(config=config)


def release(root: Path, course: Path, names: Iterable[str] = ()) -> Path:
    """Make the named student versions (all, if none is named) in the folder `course`.

    Returns where they are.
    """
    source, target = course / "chapters" / "solutions", course / "chapters" / "exercises"
    target.mkdir(parents=True)
    source.mkdir()
    folders = sorted(path for path in (root / "chapters" / "solutions").glob("*") if path.is_dir())
    api = grader(root, course)
    for folder in folders:
        if names and folder.name not in names:
            continue
        shutil.copytree(folder, source / folder.name)
        with notebook_environment():
            result = api.generate_assignment(folder.name)
        if not result["success"]:
            raise Fault(
                f"{folder.name}: nbgrader failed:\n{result['log']}{result.get('error', '')}"
            )
    return target


def files_below(folder: Path) -> set[Path]:
    """The files in `folder`, as paths relative to it, without what JupyterLab leaves behind."""
    found = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    return {path for path in found if ".ipynb_checkpoints" not in path.parts}


def release_into_place(root: Path) -> None:
    """Replace chapters/exercises/."""
    with tempfile.TemporaryDirectory() as course:
        made = release(root, Path(course))
        shutil.rmtree(root / "chapters" / "exercises", ignore_errors=True)
        shutil.copytree(made, root / "chapters" / "exercises")


def check_release(root: Path) -> list[str]:
    """Where chapters/exercises/ is not what the solutions make."""
    committed = root / "chapters" / "exercises"
    with tempfile.TemporaryDirectory() as course:
        made = release(root, Path(course))
        faults = []
        for name in sorted(files_below(made) | files_below(committed)):
            shown = f"chapters/exercises/{name.as_posix()}"
            if not (committed / name).exists():
                faults.append(f"{shown} is missing; run: make exercises")
            elif not (made / name).exists():
                faults.append(f"{shown} is made by no solution; run: make exercises")
            elif not filecmp.cmp(made / name, committed / name, shallow=False):
                faults.append(f"{shown} is not what its solution makes; run: make exercises")
        return faults


# --------------------------------------------------------------------------------------
# Claims and measurements


def calls(cell: NotebookNode) -> list[ast.Call]:
    """Every call in a code cell; a line of IPython's own (%, !) has none."""
    source = re.sub(r"^([ \t]*)[%!].*", r"\1pass", cell.source, flags=re.MULTILINE)
    try:
        return [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    except SyntaxError as error:
        raise Fault(f"is not Python: {error}") from None


def is_evidence(call: ast.Call) -> bool:
    """Whether it is a call of `claim` or `measure`, or of `lab.claim` or `lab.measure`."""
    called = ast.unparse(call.func)
    return called.rpartition("lab.")[2] in ("claim", "measure")


def margin_faults(notebook: NotebookNode) -> Iterator[str]:
    """Where a "no difference" has a margin of its own: there is one for each task, in the lab."""
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        try:
            margins = [kw for call in calls(cell) for kw in call.keywords]
        except Fault as fault:
            yield f"{cell_name(index, cell)} {fault}"
            continue
        for margin in margins:
            named = any(isinstance(node, ast.Name) for node in ast.walk(margin.value))
            if margin.arg == "no_difference" and not named:
                yield (
                    f"{cell_name(index, cell)} has no_difference={ast.unparse(margin.value)}; "
                    f"give the margin of the task, such as no_difference=task.margin"
                )


def evidence_rows(cell: NotebookNode) -> list[dict]:
    """The claims and measurements that a cell shows. Raises Fault if they are no such thing."""
    rows = []
    for output in cell.get("outputs", []):
        if CLAIMS_DATA not in output.get("data", {}):
            continue
        data = output.data[CLAIMS_DATA]
        found = data.get("rows") if isinstance(data, dict) else None
        if not isinstance(found, list) or not found:
            raise Fault(f"carries no rows under {CLAIMS_DATA}: {str(data)[:100]}")
        for row in found:
            if not isinstance(row, dict) or not ROW_KEYS <= row.keys():
                raise Fault(f"carries what is no row of lab.claims: {str(row)[:100]}")
            rows.append(dict(row))
    return rows


def evidence_faults(notebook: NotebookNode) -> Iterator[str]:
    """Claims and measurements that are made but not shown, or that the audit cannot tell apart."""
    seen = set()
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        where = cell_name(index, cell)
        try:
            rows, made = evidence_rows(cell), sum(map(is_evidence, calls(cell)))
        except Fault as fault:
            yield f"{where} {fault}"
            continue
        if len(rows) < made:  # a call in a loop makes several rows
            yield (
                f"{where} calls claim and measure {made} times and shows {len(rows)} rows; "
                f"show them with lab.claims([...])"
            )
        for row in rows:
            if row["text"] in seen:
                yield f"{where} shows a second row that says {row['text']!r}"
            seen.add(row["text"])


def weak_claims(notebook: NotebookNode) -> Iterator[str]:
    """Claims that another draw of the seeds could overturn."""
    for index, cell in enumerate(notebook.cells):
        try:
            rows = evidence_rows(cell)
        except Fault:  # evidence_faults tells
            continue
        for row in rows:
            where = f"{cell_name(index, cell)}, the claim {row['text']!r}"
            if row["kind"] != "claim":
                continue
            if row["verdict"] == FAILED:
                yield f"{where} is not supported: {row['measured']}, wanted {row['wanted']}"
            elif row["power"] is not None and row["power"] < ENOUGH:
                enough = row["seeds_needed"] or "no number of them"
                yield (
                    f"{where} lies {row['power']:.3g} half-widths from its bound "
                    f"({row['measured']}, wanted {row['wanted']}), "
                    f"{ENOUGH - row['power']:.2g} short of {ENOUGH:g}; it has {row['n']} "
                    f"{row['of']}, {enough} would do if estimate and spread stayed"
                )


def read_claims(notebook: NotebookNode) -> tuple[str, list[dict]]:
    """The first heading, and every claim and measurement as a row (see `Evidence.row`).

    Raises Fault if one could be missing.
    """
    faults = [
        *execution_faults(notebook),
        *output_faults(notebook),
        *evidence_faults(notebook),
    ]
    if faults:
        raise Fault(faults[0])
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    heading = re.search(r"^# (.+)", text, re.MULTILINE)
    if not heading:
        raise Fault("has no heading")
    return heading[1], [row for cell in notebook.cells for row in evidence_rows(cell)]


def read_audit(root: Path) -> dict[str, dict[str, str]]:
    """For each chapter, what the audit says of each text: `12 of 12`. Empty without an audit."""
    path = root / "chapters" / "audit.json"
    if not path.exists():
        return {}
    try:
        chapters = json.loads(path.read_text(encoding="utf-8"))["chapters"]
        return {
            name: {
                row["text"]: f"{row['held']} of {row['of']}"
                for row in chapter["rows"]
                if row["kind"] == "claim" and row["held"] is not None
            }
            for name, chapter in chapters.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"{type(error).__name__}: {error}"
        raise Fault(f"chapters/audit.json is not what make audit writes ({problem})") from None


def claims_table(root: Path) -> str:
    """chapters/CLAIMS.md: every claim and measurement. Raises Fault if one could be missing."""
    audit = read_audit(root)
    sections, every = [], []
    for pair in scripts_and_notebooks(root):
        if pair.parent.name != "chapters":
            continue
        path = pair.with_suffix(".ipynb")
        if not path.exists():
            raise Fault(f"{path.relative_to(root)} is missing; run: make chapters NAME={pair.name}")
        try:
            title, rows = read_claims(read_notebook(path))
        except Fault as fault:
            raise Fault(f"{path.relative_to(root)}: {fault}") from None
        every += rows
        lines = [f"\n## [{escaped(title)}]({path.name})\n"]
        if rows:
            lines += [f"| {' | '.join(CLAIMS_COLUMNS)} |", "| --- " * len(CLAIMS_COLUMNS) + "|"]
            held = audit.get(pair.name, {})
            lines += [table_row(row, held.get(row["text"], "–")) for row in rows]
        else:
            lines.append("No claims.")
        sections.append("\n".join(lines) + "\n")
    return CLAIMS_HEADER + summary(every) + "".join(sections)


def table_row(row: dict, audit: str) -> str:
    seeds = f"{row['n']} {row['of']}".removesuffix(" seeds") if row["n"] else "exact"
    power = "–" if row["power"] is None else f"{math.floor(10 * row['power']) / 10:.1f}"
    wanted = "–" if row["wanted"] is None else row["wanted"]
    cells = [row["text"], row["measured"], seeds, wanted, power, row["verdict"], audit]
    cells = [escaped(cell) for cell in cells]
    if row["kind"] == "measurement":
        cells[5] = f"*{cells[5]}*"
    return f"| {' | '.join(cells)} |"


def summary(rows: list[dict]) -> str:
    verdicts = Counter(row["verdict"] for row in rows)
    shown = [verdict for verdict in (*VERDICTS, FAILED) if verdict != FAILED or verdicts[FAILED]]
    counts = ", ".join(f"{verdicts[verdict]} *{verdict}*" for verdict in shown)
    kinds = Counter(row["kind"] for row in rows)
    exact = Counter(row["kind"] for row in rows if not row["n"])
    return (
        f"\nClaims: {kinds['claim']}; {counts}. Of them exact: {exact['claim']}.\n"
        f"Measurements: {kinds['measurement']}. Of them exact: {exact['measurement']}.\n"
    )


def escaped(text: str) -> str:
    """The text, so that Markdown shows it as it is."""
    return re.sub(r"([\\`*_<~$&|])", r"\\\1", text)


def write_claims(root: Path) -> None:
    write_whole(root / "chapters" / "CLAIMS.md", claims_table(root))


def check_claims(root: Path) -> list[str]:
    """Weak claims in the committed notebooks, and whether chapters/CLAIMS.md is what they show."""
    faults = []
    for pair in scripts_and_notebooks(root):
        path = pair.with_suffix(".ipynb")
        if path.exists():
            try:
                weak = [*weak_claims(read_notebook(path))]
            except Fault as fault:
                weak = [str(fault)]
            faults += [f"{path.relative_to(root)}: {fault}" for fault in weak]
    committed = root / "chapters" / "CLAIMS.md"
    try:
        table = claims_table(root)
    except Fault as fault:
        return [*faults, str(fault)]
    if not committed.exists() or committed.read_text(encoding="utf-8") != table:
        faults.append("chapters/CLAIMS.md is not what the notebooks show; run: make claims")
    return faults


# --------------------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--root", type=Path, default=Path(__file__).parent.parent, help="the folder with chapters/"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    build_command = commands.add_parser("build", help="execute chapters and solutions")
    build_command.add_argument("names", nargs="*", metavar="NAME", help="such as 04_cosine")
    build_command.add_argument(
        "--draft", action="store_true", help="write notebooks whose claims are too weak, too"
    )
    commands.add_parser("check", help="compare each script with its notebook")
    pair_command = commands.add_parser(
        "pair", help="write both as a save in JupyterLab leaves them"
    )
    pair_command.add_argument("names", nargs="*", metavar="NAME", help="such as 04_cosine")
    commands.add_parser("release", help="make the students' versions")
    commands.add_parser("check-release", help="compare them with the committed ones")
    commands.add_parser("claims", help="make chapters/CLAIMS.md from the notebooks")
    commands.add_parser("check-claims", help="compare it with the committed one")
    arguments = parser.parse_args()
    root = arguments.root.resolve()

    try:
        if not (root / "chapters").is_dir():
            raise Fault(f"{root} has no folder chapters/")
        if arguments.command == "build":
            faults = build(root, arguments.names, arguments.draft)
        elif arguments.command == "check":
            faults = check(root)
        elif arguments.command == "pair":
            faults = pair_up(root, arguments.names)
        elif arguments.command == "release":
            faults = release_into_place(root)
        elif arguments.command == "check-release":
            faults = check_release(root)
        elif arguments.command == "claims":
            faults = write_claims(root)
        else:
            faults = check_claims(root)
    except Fault as fault:
        faults = [str(fault)]
    for fault in faults or []:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
