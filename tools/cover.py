"""Make the cover of the book, chapters/README.md, from its chapters; `make read` opens it.

python tools/cover.py          write it
python tools/cover.py check    say whether it is what the chapters make
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import edition
import sheets
from nbformat import NotebookNode
from notebooks import Fault, read_notebook, scripts_and_notebooks, write_whole

COVER = "chapters/README.md"

# One sentence, word for word, from each chapter that does not begin with "In short" yet.
ANSWERS = {
    "01_fixed_learning_rate": "two jobs for one number: large while there is far to go, small when "
    "only the floor is left",
    "02_step_decay": "Whether early drops beat one late one, or a fixed rate, depends on what "
    "limits the run",
    "03_exponential_decay": "if you know the length, take a line to zero and a peak from a coarse "
    "grid (here four times the best fixed rate)",
    "05_warm_restarts": "Doubling cycles make a run that is ready at the end of each, and 1.7 "
    "points [0.9, 2.4] worse at the end of the run",
    "06_cyclical": "Two cycles beat the best fixed rate by 3.9 points [3.1, 4.7]; a line to zero "
    "beats them by 3.7 [2.9, 4.6]",
    "07_one_cycle": "If you know the length of the run: tune the peak of a linear decay first",
    "08_warmup": "A badly scaled network needs it, a well scaled one does not",
    "09_lr_finder": "With a linear decay over as many steps as the test, the default cost 6 % of "
    "the loss in the mean of seven held-out problems",
    "10_batch_size_scaling": "On a network SGD's best peak grew linearly from 8 to 64 (0.94 of the "
    "rule [0.91, 0.98]); at 1,024 it was a quarter of the rule's [0.22, 0.27]",
}
# Words of text a minute, with the code and the figures between them: where no time is stated.
PACE = 60

TEXT = """\
# Learning-rate schedules, measured

One number, the learning rate: what goes wrong when it is fixed, and what each way of changing it \
wins. Each chapter starts from something you see fail, and every sentence that says one thing \
trains better than another stands beside a cell that measures it.

Click a chapter to open it. Its figures and numbers are there already: you can read without \
running anything.

| | chapter | the answer in one sentence | reading | exercises |
| --- | --- | --- | --- | --- |
{rows}

Reading times with ≈ are estimates from the number of words.

## How to run it

- **Shift+Enter** runs a cell and goes to the next; *Run ▸ Run All Cells* runs a chapter. It takes \
under a minute on two CPU cores, and needs neither a GPU nor a network.
- **Three dots** in place of a cell's code: it draws a figure; click them to see how. A **▸** \
before a heading: the section is folded; click it to open.
- **Other seeds**: `LRLIB_SEED=7 make read` draws all seeds and data of the book anew; the claims \
must hold all the same. `LRLIB_SCALE=4` takes more seeds, `LRLIB_DEVICE=cuda` another device.
- **Exercises**: write where it says `YOUR CODE HERE` and run the cell below; it says what is \
likely wrong. The solutions are in `chapters/solutions/`.
- **Your changes**: saving a chapter changes the notebook and the script beside it. \
`git restore chapters` brings the book back as it was.

[FOLKLORE.md](FOLKLORE.md) says what became of the things people say about learning rates. \
[CLAIMS.md](CLAIMS.md) lists everything the book claims, with its evidence; [AUDIT.md](AUDIT.md) \
says in how many other draws of all seeds and data each claim held. \
[The README](../README.md) is about the library.
"""


def plain(text: str) -> str:
    """The text without line breaks, as it can be compared."""
    return " ".join(text.split())


def title(notebook: NotebookNode) -> str:
    """`The fixed learning rate`, from the heading `# 1 · The fixed learning rate`."""
    heading = re.match(r"# \d+ · (.+)", notebook.cells[0].source) if notebook.cells else None
    if not heading:
        raise Fault("does not begin with a heading such as '# 1 · The fixed learning rate'")
    return heading[1].strip()


def answer(name: str, notebook: NotebookNode) -> str:
    """The chapter's answer in one sentence, in its own words."""
    if edition.is_second_edition(notebook):
        if name in ANSWERS:
            raise Fault("begins with 'In short'; take its sentence out of tools/cover.py")
        return edition.in_short(notebook)
    if name not in ANSWERS:
        raise Fault("has neither 'In short' nor a sentence in tools/cover.py")
    text = plain("\n".join(c.source for c in notebook.cells if c.cell_type == "markdown"))
    if ANSWERS[name] not in text:
        raise Fault(f"no longer says what tools/cover.py quotes: {ANSWERS[name]!r}")
    return ANSWERS[name][0].upper() + ANSWERS[name][1:] + "."


def reading(notebook: NotebookNode) -> str:
    """How long the chapter takes to read: as it states, else estimated from its words."""
    if stated := edition.minutes(notebook):
        return f"{stated.path} min; all {stated.all}"
    words = sum(edition.words(c.source) for c in notebook.cells if c.cell_type == "markdown")
    return f"≈ {5 * max(1, round(words / PACE / 5))} min"


def exercises(name: str, notebook: NotebookNode, sheet: NotebookNode) -> str:
    """A link to the student's version: how many exercises, points and, where stated, minutes."""
    count = sum(bool(re.match(r"## \d+\. ", cell.source)) for cell in sheet.cells)
    points = sum(map(sheets.points_of, sheet.cells))
    shown = f"[{sheets.counted(count)}](exercises/{name}/exercises.ipynb), {points:g} points"
    takes, chapter = sheets.minutes(sheet), edition.minutes(notebook)
    if takes and chapter and (chapter.core, chapter.exercises) != takes:
        raise Fault(
            f"says that the exercises take {chapter.core} and {chapter.exercises} minutes; "
            f"their sheet says {takes.core} and {takes.all}"
        )
    return shown + (f"; core {takes.core} min, all {takes.all}" if takes else "")


def cover(root: Path) -> str:
    """The cover's text. Raises Fault if a chapter lacks what it takes."""
    rows = []
    for pair in scripts_and_notebooks(root):
        if pair.parent.name != "chapters":
            continue
        sheet = root / "chapters" / "exercises" / pair.name / "exercises.ipynb"
        try:
            notebook = read_notebook(pair.with_suffix(".ipynb"))
            cells = (
                str(int(pair.name.split("_")[0])),
                f"[{title(notebook)}]({pair.name}.ipynb)",
                answer(pair.name, notebook),
                reading(notebook),
                exercises(pair.name, notebook, read_notebook(sheet)) if sheet.exists() else "",
            )
        except Fault as fault:
            raise Fault(f"chapters/{pair.name}.ipynb {fault}") from None
        rows.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    return TEXT.format(rows="\n".join(rows))


def check(root: Path) -> list[str]:
    """Whether the committed cover is what the chapters make."""
    try:
        text = cover(root)
    except Fault as fault:
        return [str(fault)]
    committed = root / COVER
    if not committed.exists() or committed.read_text(encoding="utf-8") != text:
        return [f"{COVER} is not what the chapters make; run: python tools/cover.py"]
    return []


def main() -> int:
    root = Path(__file__).resolve().parent.parent
    if sys.argv[1:] not in ([], ["check"]):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        faults = check(root) if sys.argv[1:] else write_whole(root / COVER, cover(root))
    except Fault as fault:
        faults = [str(fault)]
    for fault in faults or []:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
