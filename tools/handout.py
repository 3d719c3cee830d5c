"""Make what students get of a sheet: a folder and a zip archive of it, without the solutions.

    python tools/handout.py 02_step_decay                handout/02_step_decay.zip
    python tools/handout.py 02_step_decay --chapter      with the chapter's notebook
    python tools/handout.py 02_step_decay --solutions    the solutions alone, for later

A student needs Python and a network for one installation, and neither git nor make: the library
lies beside the notebook as a wheel, its data inside.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from notebooks import Fault, release, write_whole

ROOT = Path(__file__).resolve().parent.parent
# Of the extra `book`, what a student needs; the rest is for those who write and grade.
STUDENTS_NEED = ("scipy", "jupyterlab", "ipykernel")

README = """\
# {title}

You need Python 3.11 or newer. In this folder:

```
python -m pip install -r requirements.txt
python -m jupyter lab {notebook}
```

The first command is needed once. It brings PyTorch, which is large; on Linux, pip takes it with \
its CUDA packages, and PyTorch's installation page says how to get the smaller CPU build first. To \
keep all this apart from your other packages, begin with `python -m venv .venv` and \
`source .venv/bin/activate` (on Windows `.venv\\Scripts\\activate`).

Write your code where it says `YOUR CODE HERE` and run the cell below it: it says what is likely \
wrong. Where it says `YOUR ANSWER HERE`, double-click and answer in words. Save, and hand in \
`{notebook}` under this name.
"""


def build_wheel(root: Path, folder: Path) -> Path:
    """The library with its data as a wheel in `folder`; needs no network."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, root]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise Fault(f"the wheel could not be built:\n{result.stdout}{result.stderr}")
    (wheel,) = folder.glob("*.whl")
    return wheel


def requirements(root: Path, wheel: str) -> str:
    """For pip: the wheel and what opens the notebook, in the versions that the tests run with."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    book = project["optional-dependencies"]["book"]
    needed = [line for line in book if line.startswith(STUDENTS_NEED)]
    return "\n".join(["-c constraints.txt", f"./{wheel}", *needed]) + "\n"


def hand_out(root: Path, name: str, folder: Path, wheel: Path, chapter: bool = False) -> None:
    """Fill `folder` with the student's version, the library and how to begin."""
    with tempfile.TemporaryDirectory() as course:
        made = release(root, Path(course), [name]) / name
        shutil.copytree(made, folder)
    if chapter:
        shutil.copy(root / "chapters" / f"{name}.ipynb", folder)
    for path in (wheel, root / "constraints.txt", root / "LICENSE"):
        shutil.copy(path, folder)
    write_whole(folder / "requirements.txt", requirements(root, wheel.name))
    notebook = sorted(path.name for path in (root / "chapters/solutions" / name).glob("*.ipynb"))[0]
    title = f"Exercises to chapter {int(name.split('_')[0])}"
    write_whole(folder / "README.md", README.format(title=title, notebook=notebook))


def hand_out_solutions(root: Path, name: str, folder: Path) -> None:
    """Fill `folder` with the solutions, named so that they replace nobody's work."""
    folder.mkdir(parents=True)
    for path in sorted((root / "chapters/solutions" / name).glob("*.ipynb")):
        shutil.copy(path, folder / f"{path.stem}-solutions.ipynb")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sheet", help="such as 02_step_decay")
    parser.add_argument("--chapter", action="store_true", help="with the chapter's notebook")
    parser.add_argument("--solutions", action="store_true", help="the solutions alone")
    parser.add_argument("--out", type=Path, default=Path("handout"), help="where it goes")
    options = parser.parse_args(arguments)
    name = options.sheet + ("-solutions" if options.solutions else "")
    folder = options.out / name
    try:
        known = sorted(path.name for path in (ROOT / "chapters/solutions").glob("*/"))
        if options.sheet not in known:
            raise Fault(f"no sheet is named {options.sheet!r}; there are {', '.join(known)}")
        shutil.rmtree(folder, ignore_errors=True)
        if options.solutions:
            hand_out_solutions(ROOT, options.sheet, folder)
        else:
            with tempfile.TemporaryDirectory() as built:
                wheel = build_wheel(ROOT, Path(built))
                hand_out(ROOT, options.sheet, folder, wheel, options.chapter)
        archive = shutil.make_archive(str(folder), "zip", options.out, name)
    except (Fault, OSError) as fault:
        print(fault, file=sys.stderr)
        return 1
    print(f"{archive} has {', '.join(sorted(path.name for path in folder.iterdir()))}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
