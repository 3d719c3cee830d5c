"""The runs of the audit: chapters executed under other draws, each in a process of its own.

Each run of a chapter under a draw (a value of LRLIB_SEED) is kept in .audit/ under the chapter,
the draw and a hash of all that decides its numbers: the chapter's code cells and lrlib (comments
and docstrings apart; without lrlib/exercises and lrlib/lab/figures.py, which decide no number),
data/SHA256SUMS and, for chapters that use them, the recorded runs.

tools/audit.py is the command; executed itself, this file makes a single run.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil
from nbformat import NotebookNode
from notebooks import (
    FAILED,
    Fault,
    cell_name,
    evidence_rows,
    execute,
    notebook_environment,
    read_script,
    scripts_and_notebooks,
    write_whole,
)

FORMAT = 1  # of the files in .audit/; part of every hash
APART = (
    "exercises/",
    "lab/figures.py",
    "lab/folklore.py",
)  # parts of lrlib that decide no number in a chapter
KEPT = (  # of a row
    *("kind", "text", "effect", "low", "high", "n", "unit", "scale", "confidence", "wanted"),
    *("bounds", "verdict"),
)
MESSAGE = 300  # characters of an exception's that are kept
UNFINISHED = 3  # exit status of a run whose result is not to be kept

STARTUP = """\
# A figure nobody looks at is neither shown nor kept.
import sys as _sys
import warnings as _warnings

_warnings.filterwarnings("ignore", message=".*non-interactive, and thus cannot be shown")


def _close_figures():
    if "matplotlib.pyplot" in _sys.modules:
        _sys.modules["matplotlib.pyplot"].close("all")


get_ipython().events.register("post_execute", _close_figures)
"""


# --------------------------------------------------------------------------------------
# What decides a chapter's numbers


class Job(NamedTuple):
    """One run: a chapter under a draw, and the hash of all that decides its numbers."""

    chapter: str
    draw: int
    digest: str

    def file(self, root: Path) -> Path:
        return root / ".audit" / self.chapter / f"{self.draw}-{self.digest}.json"


def chapters(root: Path) -> list[str]:
    pairs = scripts_and_notebooks(root)
    return [
        pair.name
        for pair in pairs
        if pair.parent.name == "chapters" and pair.with_suffix(".py").exists()
    ]


def canonical(node: object) -> str:
    """A syntax tree as text: without docstrings, positions and comments, in any Python alike."""
    if isinstance(node, list):
        return f"[{','.join(map(canonical, node))}]"
    if not isinstance(node, ast.AST):
        return f"{type(node).__name__}:{node!a}"
    parts = []
    for name, value in ast.iter_fields(node):
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        if name == "body" and isinstance(node, documented) and ast.get_docstring(node) is not None:
            value = value[1:]
        # Newer Pythons have more fields, which are empty for code that older ones can read.
        if value is not None and value != [] and name not in ("ctx", "kind", "type_comment"):
            parts.append(f"{name}={canonical(value)}")
    return f"{type(node).__name__}({','.join(parts)})"


def code_of(source: str) -> str:
    """What `source` does, as text; as it stands if it is not Python (a line of IPython's own)."""
    try:
        return canonical(ast.parse(source))
    except SyntaxError:
        return source.strip()


def sources(root: Path) -> list[str]:
    """What lrlib does, as far as it decides a chapter's numbers."""
    library = root / "lrlib"
    parts = [f"format {FORMAT}"]
    for path in sorted(library.rglob("*.py")):
        name = path.relative_to(library).as_posix()
        if not name.startswith(APART):
            parts.append(f"{name}: {code_of(path.read_text(encoding='utf-8'))}")
    return parts


# Data that no chapter reads: recorded runs alone are trained on them, and have hashes of their own.
_OF_RECORDINGS = ("pycode.npz",)


def data_sums(root: Path) -> list[str]:
    sums = root / "data" / "SHA256SUMS"
    lines = sums.read_text().splitlines() if sums.exists() else []
    return sorted(line for line in lines if line and not line.endswith(_OF_RECORDINGS))


def digests(root: Path, library: bool = True) -> dict[str, str]:
    """Each chapter's hash; without `library`, of the chapter's own code and its data alone.

    Raises Fault for a script that is none.
    """
    shared = "\n".join([*(sources(root) if library else []), *data_sums(root)])
    recorded = list(root.glob("data/recorded/*.npz"))  # beside each, what made it and when
    hashes = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in recorded}
    found = {}
    for name in chapters(root):
        notebook = read_script(root / "chapters" / f"{name}.py")
        code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
        text = "\n".join(code)
        # A chapter that loads recorded runs says which; if it does not, it may load any.
        named = [path for path in recorded if re.search(f"[\"']{re.escape(path.stem)}[\"']", text)]
        used = named or (recorded if "recorded" in text else [])
        parts = [shared, *map(code_of, code), *sorted(f"{p.name} {hashes[p]}" for p in used)]
        found[name] = hashlib.sha256("\n\n".join(parts).encode()).hexdigest()[:16]
    return found


# --------------------------------------------------------------------------------------
# One run


def run_one(root: Path, job: Job, core: int | None, parent: int) -> int:
    """Run a chapter in a kernel, on one core, and keep what it showed; returns the exit status."""
    threading.Thread(target=end_with, args=(parent,), daemon=True).start()
    if core is not None:
        os.sched_setaffinity(0, {core})  # of the kernel too, which inherits it
    folder = root / "chapters"
    notebook, start = read_script(folder / f"{job.chapter}.py"), time.monotonic()
    stopped = None
    try:
        execute(notebook, folder)
    except Fault as fault:
        stopped = stopped_at(notebook)
        if stopped is None:  # not the chapter's doing: the kernel died, or took too long
            print(fault, file=sys.stderr)
            return UNFINISHED
    seconds = round(time.monotonic() - start, 1)
    rows = [kept_row(row) for cell in notebook.cells for row in evidence_rows(cell)]
    if digests(root)[job.chapter] != job.digest:
        print("the chapter, lrlib or the data changed while it ran; run again", file=sys.stderr)
        return UNFINISHED
    write_run(job, root, {"seconds": seconds, "stopped": stopped, "rows": rows})
    return 0


def end_with(parent: int) -> None:
    """End this process and all below it when the one that started it has ended."""
    while os.getppid() == parent:
        time.sleep(0.5)
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    os._exit(UNFINISHED)


def stopped_at(notebook: NotebookNode) -> str | None:
    """`cell 7 (code: import torch): GridEdgeError: …` in one line, if a cell raised."""
    for index, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                said = " ".join(f"{output.ename}: {output.evalue}".split())
                return f"{cell_name(index, cell)}: {said[:MESSAGE]}"
    return None


def kept_row(row: dict) -> dict:
    if missing := [key for key in KEPT if key not in row]:
        raise Fault(f"the row {row.get('text')!r} has no {', '.join(missing)}")
    return {key: row[key] for key in KEPT}


def checksum(result: dict) -> str:
    return hashlib.sha256(json.dumps(result, sort_keys=True).encode()).hexdigest()


def write_run(job: Job, root: Path, result: dict) -> None:
    result = job._asdict() | result
    write_whole(job.file(root), json.dumps(result | {"checksum": checksum(result)}))


def read_run(job: Job, root: Path) -> dict | None:
    """What the run showed; None if it has not been made, or if its file is damaged."""
    path = job.file(root)
    try:
        result = json.loads(path.read_bytes())
        if result.pop("checksum") == checksum(result) and job._asdict().items() <= result.items():
            return result
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    print(f"{path.relative_to(root)} is damaged; the run is made again", flush=True)
    path.unlink()
    return None


# --------------------------------------------------------------------------------------
# All runs


def cores_for(jobs: int) -> list[int | None]:
    """A core for each of so many runs at a time, fewer if there are not as many."""
    if not hasattr(os, "sched_getaffinity"):  # not Linux, which alone can pin
        return [None] * min(jobs, os.cpu_count() or 1)
    return sorted(os.sched_getaffinity(0))[:jobs]


def start(root: Path, job: Job, core: int | None, log: Path) -> subprocess.Popen:
    paths = [str(root), os.environ.get("PYTHONPATH")]
    environment = {
        "LRLIB_SEED": str(job.draw),
        "LRLIB_AUDIT": "1",
        "LRLIB_SCALE": "1",
        "LRLIB_DEVICE": "cpu",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "MPLBACKEND": "agg",
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }
    command = [sys.executable, __file__, root, *job, os.getpid()]
    command += [] if core is None else [core]
    with log.open("wb") as output:
        return subprocess.Popen(
            [*map(str, command)],
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for this process, which then ends the others
        )


def stop(process: subprocess.Popen) -> None:
    """End a run at once, with its kernel, which has a session of its own, and all below that."""
    with suppress(psutil.NoSuchProcess):
        top = psutil.Process(process.pid)
        top.suspend()  # so that it starts nothing more
        for member in [*top.children(recursive=True), top]:
            with suppress(psutil.NoSuchProcess):
                member.kill()
    process.wait()


def run_all(
    root: Path, jobs: Iterable[Job], cores: list[int | None], done: Callable[[Job], None]
) -> list[str]:
    """Make all runs, one on each core at a time; returns what is wrong with those without result.

    Calls `done` after each. Whatever ends this ends the runs.
    """
    pending, free, faults = deque(jobs), deque(cores), []
    running: list[tuple[subprocess.Popen, Job, int | None, Path]] = []
    with notebook_environment():
        startup = Path(os.environ["IPYTHONDIR"], "profile_default", "startup")
        startup.mkdir(parents=True)
        (startup / "00-audit.py").write_text(STARTUP)
        try:
            while pending or running:
                while pending and free:
                    job, core = pending.popleft(), free.popleft()
                    log = startup.parent / f"{job.chapter}-{job.draw}.log"
                    running.append((start(root, job, core, log), job, core, log))
                time.sleep(0.05)
                for run in [run for run in running if run[0].poll() is not None]:
                    process, job, core, log = run
                    running.remove(run)
                    free.append(core)
                    if process.returncode:
                        said = log.read_text(errors="replace").strip()
                        faults.append(f"{job.chapter}, draw {job.draw}, did not finish: {said}")
                    done(job)
        finally:
            before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # once is enough
            for process, *_ in running:
                stop(process)
            signal.signal(signal.SIGINT, before)
    return faults


class Progress:
    """A line for each finished run, with the time that the rest may take."""

    def __init__(self, root: Path, jobs: list[Job], workers: int, before: dict[str, list[float]]):
        self.root, self.jobs, self.workers = root, jobs, workers
        self.seconds = {name: [x for x in times if x] for name, times in before.items()}
        self.left = Counter(job.chapter for job in jobs)

    def rest(self) -> str:
        """From this chapter's other runs, those of an earlier audit, or else all runs."""
        known = {name: statistics.fmean(times) for name, times in self.seconds.items() if times}
        if not self.left.total() or not known:
            return ""
        usual = statistics.fmean(known.values())
        seconds = sum(known.get(name, usual) * n for name, n in self.left.items()) / self.workers
        left = f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
        return f"; about {left} left"

    def __call__(self, job: Job) -> None:
        self.left[job.chapter] -= 1
        result, n = read_run(job, self.root), len(self.jobs)
        where = f"[{n - self.left.total():{len(str(n))}d}/{n}] {job.chapter}, draw {job.draw}"
        if result is None:
            said = "did not finish"
        else:
            self.seconds.setdefault(job.chapter, []).append(result["seconds"])
            claims = [row for row in result["rows"] if row["kind"] == "claim"]
            failed = sum(row["verdict"] == FAILED for row in claims)
            said = f"{result['seconds']:.0f} s, {failed} of {len(claims)} claims failed"
            if result["stopped"]:
                said += f", stopped at {result['stopped']}"
        print(f"{where}: {said}{self.rest()}", flush=True)


# --------------------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(description="Make a single run (see tools/audit.py).")
    parser.add_argument("root", type=Path)
    parser.add_argument("chapter")
    parser.add_argument("draw", type=int)
    parser.add_argument("digest")
    parser.add_argument("parent", type=int, help="the process to end with")
    parser.add_argument("core", type=int, nargs="?")
    given = parser.parse_args()
    job = Job(given.chapter, given.draw, given.digest)
    try:
        return run_one(given.root, job, given.core, given.parent)
    except Fault as fault:
        print(fault, file=sys.stderr)
        return UNFINISHED


if __name__ == "__main__":
    sys.exit(main())
