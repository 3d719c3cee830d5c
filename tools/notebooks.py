"""Make the notebooks from their scripts, and check that they belong together.

    python tools/notebooks.py build [NAME ...]   execute chapters and solutions
    python tools/notebooks.py check              compare each script with its notebook
    python tools/notebooks.py release            make the students' versions
    python tools/notebooks.py check-release      compare them with the committed ones
    python tools/notebooks.py claims             make chapters/CLAIMS.md from the notebooks
    python tools/notebooks.py check-claims       compare it with the committed one

The scripts (chapters/NN_slug.py and chapters/solutions/NN_slug/*.py, jupytext's percent format)
are the source. Everything else that lies beside them is generated.
"""

from __future__ import annotations

import argparse
import asyncio
import filecmp
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

TIMEOUT = 600  # seconds for one cell
MAX_LINES = 25  # a code cell fits on a screen
MAX_WIDTH = 88  # and in the notebook's column
VERDICTS = (  # of lab.claim
    "supported",
    "no difference we can detect",
    "a difference, smaller than the margin",
)
CLAIM = re.compile(
    r"Claim: (.+) \| (.+), (exact|\d+ [a-z]+) \| wanted (.+) \| (" + "|".join(VERDICTS) + ")"
)
KEPT_METADATA = ("tags", "nbgrader", "jupyter")  # as cell_metadata_filter in pyproject.toml

# The same wherever the notebook was executed: no patch version of Python, no local kernel.
NOTEBOOK_METADATA = {
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

`make claims` makes this table from the executed notebooks, and `make test` fails when it is not \
what they show. Each row is a line that `lab.claim` printed in a chapter:

- **measured**: the mean over seeds (of ratios, the geometric mean as a rule) and in brackets its \
95 % interval over seeds (Student's t). Each interval stands for itself: of twenty, one is \
expected to miss. *exact* marks a single number without an interval; effects that are not of seeds \
say of what.
- **wanted**: the whole interval had to lie there; otherwise the chapter stops with an error, so \
that no row can show a failure. The bounds were set with results in view. What tests them is other \
seeds: these rows belong to `LRLIB_SEED=0`, and `LRLIB_SEED=3 make test` runs every chapter with \
others. The numbers change then; no claim may fail.
- **verdict**: where a margin is wanted (±, or a factor), the whole interval lies within it; if it \
holds zero (for a ratio, one), there is *no difference we can detect*, otherwise *a difference, \
smaller than the margin*.
"""

HEADER = """\
# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---
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


def read_script(path: Path) -> NotebookNode:
    """The script as a notebook without outputs, with ids that depend on the cells alone."""
    notebook = jupytext.read(path, fmt="py:percent")
    if notebook.metadata.get("kernelspec") != NOTEBOOK_METADATA["kernelspec"]:
        # JupyterLab can refuse to open a pair whose files differ in this.
        raise Fault(f"{path.name} does not begin with the lines\n{HEADER}")
    notebook.metadata = NotebookNode(nbformat.from_dict(NOTEBOOK_METADATA))
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    seen: Counter[str] = Counter()
    for cell in notebook.cells:
        cell.metadata = NotebookNode(kept_metadata(cell))
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


def write_notebook(notebook: NotebookNode, path: Path) -> None:
    """Write all of it or nothing."""
    unfinished = path.with_name(path.name + ".tmp")
    unfinished.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
    os.replace(unfinished, path)


def kept_metadata(cell: NotebookNode) -> dict:
    return {key: cell.metadata[key] for key in KEPT_METADATA if key in cell.metadata}


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
        cell.metadata = NotebookNode(kept_metadata(cell))
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


def build(root: Path, names: list[str]) -> list[str]:
    """Execute the named chapters (all, if none is named) and their solutions."""
    pairs = [pair for pair in scripts_and_notebooks(root) if pair.with_suffix(".py").exists()]
    known = sorted({name_of(pair) for pair in pairs})
    if unknown := sorted(set(names) - set(known)):
        raise Fault(f"no chapter is named {', '.join(unknown)}; there are {', '.join(known)}")

    faults = []
    # What is committed is what every reader can make again: the book's seeds, on a CPU.
    with notebook_environment(LRLIB_SEED="0", LRLIB_SCALE="1", LRLIB_DEVICE="cpu"):
        for pair in pairs:
            if names and name_of(pair) not in names:
                continue
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
            if problems := [f"{shown}: {problem}" for problem in output_faults(notebook)]:
                faults += problems
            else:
                write_notebook(notebook, pair.with_suffix(".ipynb"))
                # JupyterLab takes a notebook newer than its script for one edited elsewhere.
                written = script.stat().st_mtime_ns
                os.utime(pair.with_suffix(".ipynb"), ns=(written, written))
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
            faults += [f"{shown}: {fault}; {remake}" for fault in pair_faults(made, kept)]
            faults += [f"{shown}: {fault}" for fault in form_faults(kept)]
    return faults


def pair_faults(made: NotebookNode, kept: NotebookNode) -> Iterator[str]:
    """Where the committed notebook is not what its script says."""
    for index, (ours, theirs) in enumerate(zip(made.cells, kept.cells, strict=False)):
        where = cell_name(index, ours)
        if ours.cell_type != theirs.cell_type:
            yield f"{where} is a {theirs.cell_type} cell in the notebook"
        elif ours.source.strip("\n") != theirs.source.strip("\n"):
            yield f"{where} has another text in the notebook"
        elif kept_metadata(ours) != kept_metadata(theirs):
            yield f"{where} has other metadata in the notebook: {kept_metadata(theirs)}"
    if len(made.cells) != len(kept.cells):
        yield f"the script has {len(made.cells)} cells, the notebook {len(kept.cells)}"

    yield from execution_faults(kept)


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


def release(root: Path, course: Path) -> Path:
    """Make every student version in the folder `course`; returns where they are."""
    source, target = course / "chapters" / "solutions", course / "chapters" / "exercises"
    target.mkdir(parents=True)
    source.mkdir()
    if (root / "chapters" / "solutions").exists():
        shutil.copytree(root / "chapters" / "solutions", source, dirs_exist_ok=True)
    api = grader(root, course)
    for folder in sorted(path for path in source.iterdir() if path.is_dir()):
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
# The table of claims


def claims_table(root: Path) -> str:
    """chapters/CLAIMS.md: every claim of every chapter. Raises Fault if one could be missing."""
    sections, every = [], []
    for pair in scripts_and_notebooks(root):
        if pair.parent.name != "chapters":
            continue
        path = pair.with_suffix(".ipynb")
        if not path.exists():
            raise Fault(f"{path.relative_to(root)} is missing; run: make chapters NAME={pair.name}")
        try:
            title, claims = read_claims(read_notebook(path))
        except Fault as fault:
            raise Fault(f"{path.relative_to(root)}: {fault}") from None
        every += claims
        lines = [f"\n## [{escaped(title)}]({path.name})\n"]
        if claims:
            lines += ["| claim | measured | seeds | wanted | verdict |", "| --- " * 5 + "|"]
            lines += [f"| {' | '.join(map(escaped, row))} |" for row in claims]
        else:
            lines.append("No claims.")
        sections.append("\n".join(lines) + "\n")
    verdicts = Counter(verdict for *_, verdict in every)
    counts = ", ".join(f"{verdicts[verdict]} *{verdict}*" for verdict in VERDICTS)
    exact = sum(seeds == "exact" for _, _, seeds, _, _ in every)
    summary = f"\nClaims: {len(every)}; {counts}. Of them exact: {exact}.\n"
    return CLAIMS_HEADER + summary + "".join(sections)


def read_claims(notebook: NotebookNode) -> tuple[str, list[tuple[str, ...]]]:
    """The first heading, and (claim, measured, seeds, wanted, verdict) of every claim."""
    if faults := [*execution_faults(notebook), *output_faults(notebook)]:
        raise Fault(faults[0])
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    heading = re.search(r"^# (.+)", text, re.MULTILINE)
    if not heading:
        raise Fault("has no heading")
    claims = []
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        printed = "".join(output.get("text", "") for output in cell.outputs).splitlines()
        lines = [line for line in printed if line.startswith("Claim:")]
        # A call in a loop prints several lines.
        calls = len(re.findall(r"\bclaim\(", cell.source))
        if len(lines) < calls:
            where = cell_name(index, cell)
            raise Fault(f"{where} calls claim {calls} times and shows {len(lines)} claims")
        for line in lines:
            if not (match := CLAIM.fullmatch(line)):
                raise Fault(f"{cell_name(index, cell)} shows no line of lab.claim: {line}")
            claims.append(tuple(part.removesuffix(" seeds") for part in match.groups()))
    return heading[1], claims


def escaped(text: str) -> str:
    """The text, so that Markdown shows it as it is."""
    return re.sub(r"([\\`*_<~$&|])", r"\\\1", text)


def write_claims(root: Path) -> None:
    (root / "chapters" / "CLAIMS.md").write_text(claims_table(root), encoding="utf-8")


def check_claims(root: Path) -> list[str]:
    """Whether chapters/CLAIMS.md is what the notebooks show."""
    committed = root / "chapters" / "CLAIMS.md"
    if committed.exists() and committed.read_text(encoding="utf-8") == claims_table(root):
        return []
    return ["chapters/CLAIMS.md is not what the notebooks show; run: make claims"]


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
    commands.add_parser("check", help="compare each script with its notebook")
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
            faults = build(root, arguments.names)
        elif arguments.command == "check":
            faults = check(root)
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
