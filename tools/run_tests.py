"""Run everything that CI runs, stage by stage, and end with the counts.

No stage stops the next; any that fails makes the exit status 1. The tests and the notebooks run
with tests/guard/ on their path, which refuses network connections.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from notebooks import TIMEOUT, notebook_environment, scripts_and_notebooks

ROOT = Path(__file__).resolve().parent.parent
GUARD = ROOT / "tests" / "guard"


class Counts(NamedTuple):
    passed: int
    failed: int


def run(stage: str, *arguments: str) -> bool:
    """Run `python -m ...`, showing its output as it comes; says whether it succeeded."""
    print(f"\n=== {stage}", flush=True)
    start = time.monotonic()
    status = subprocess.run([sys.executable, *arguments], cwd=ROOT).returncode
    outcome = "ok" if status == 0 else f"FAILED (exit status {status})"
    print(f"=== {stage}: {outcome}, {time.monotonic() - start:.0f} s", flush=True)
    return status == 0


def counts(report: Path) -> Counts:
    """What a JUnit report says was run; nothing, if pytest did not get as far as writing one."""
    if not report.exists():
        return Counts(0, 0)
    suites = list(ElementTree.parse(report).getroot().iter("testsuite"))
    total, skipped, failed = (
        sum(int(suite.get(key, 0)) for suite in suites for key in keys)
        for keys in (["tests"], ["skipped"], ["failures", "errors"])
    )
    return Counts(total - skipped - failed, failed)


def main() -> int:
    notebooks = [pair.with_suffix(".ipynb") for pair in scripts_and_notebooks(ROOT)]
    notebooks = [str(path.relative_to(ROOT)) for path in notebooks if path.exists()]
    path = os.pathsep.join(filter(None, [str(GUARD), os.environ.get("PYTHONPATH")]))

    with tempfile.TemporaryDirectory() as folder, notebook_environment(PYTHONPATH=path):
        unit_report, cell_report = Path(folder, "unit.xml"), Path(folder, "cells.xml")
        tool = "tools/notebooks.py"
        stages = {
            "format": ["-m", "ruff", "format", "--check", "."],
            "lint": ["-m", "ruff", "check", "."],
            "types": ["-m", "basedpyright", "--pythonpath", sys.executable],
            "scripts and notebooks agree": [tool, "check"],
            "the table of claims is current": [tool, "check-claims"],
            "the folklore is current": ["tools/folklore.py", "check"],
            "the audit is current": ["tools/audit.py", "check"],
            "student versions are current": [tool, "check-release"],
            "unit tests": ["-m", "pytest", "tests", f"--junitxml={unit_report}"],
        }
        if notebooks:
            stages["notebook cells"] = [
                *("-m", "pytest", "--nbval-lax", "--nbval-current-env"),
                *(f"--nbval-cell-timeout={TIMEOUT}", f"--junitxml={cell_report}"),
                *notebooks,
            ]
        failures = [stage for stage, arguments in stages.items() if not run(stage, *arguments)]
        unit, cells = counts(unit_report), counts(cell_report)

    if sum(unit) == 0:
        failures.append("no unit test ran")
    if sum(cells) == 0:
        failures.append("no notebook cell ran")

    print()
    for failure in failures:
        print(f"FAILED: {failure}")
    print(f"unit tests: {unit.passed} passed, {unit.failed} failed")
    print(f"notebook cells: {sum(cells)} run, {cells.failed} failed")
    print(f"{unit.passed + cells.passed} passed, {unit.failed + cells.failed} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
