"""What became of the things people say about learning rates, as chapters/FOLKLORE.md has it.

`make claims` makes the ledger from the rows that the executed chapters carry; tools/folklore.py has
the rules from rows to verdicts. Not imported by `lrlib.lab`: it decides no number in a chapter.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from lrlib import _checks
from lrlib.lab.data import DATA_DIR

VERDICTS = ("holds", "wrong", "depends", "undecided", "argued")


@dataclass(frozen=True)
class Statement:
    """One piece of folklore.

    Attributes:
        says: the statement, as people say it.
        chapter: the number of the chapter that tests it.
        verdict: "holds", "wrong", "depends", "undecided", or "argued" where no row decides.
        so: what to remember instead.
        measured: the rows that decide it, each as text with its estimate and interval.
        audit: in how many of the audit's draws the verdict is the same, or why none is counted.
    """

    says: str
    chapter: int
    verdict: str
    so: str
    measured: tuple[str, ...]
    audit: str


@dataclass(frozen=True)
class Ledger:
    """The statements, in the order of the book."""

    statements: tuple[Statement, ...]

    def counts(self) -> dict[str, int]:
        """How many statements have each verdict; all five are there."""
        verdicts = [one.verdict for one in self.statements]
        return {verdict: verdicts.count(verdict) for verdict in VERDICTS}

    def of(self, *verdicts: str) -> Ledger:
        """Those with one of these verdicts. Raises ValueError for a verdict that there is not."""
        for verdict in verdicts:
            _checks.choice("Ledger.of", "verdict", verdict, VERDICTS)
        return Ledger(tuple(one for one in self.statements if one.verdict in verdicts))

    def __len__(self) -> int:
        return len(self.statements)

    def __str__(self) -> str:
        """For a notebook: `94 statements: 15 hold, 41 are wrong, …`."""
        n = self.counts()
        return (
            f"{len(self)} statements: {n['holds']} hold, {n['wrong']} are wrong, "
            f"{n['depends']} depend, {n['undecided']} are undecided; "
            f"{n['argued']} are argued without a row"
        )


def folklore(last: int | None = None, *, path: Path | None = None) -> Ledger:
    """The ledger of the whole book, or of chapters 1 to `last`.

    A chapter that prints the ledger gives `last`, so that its own statements, which are judged by
    its own notebook, cannot make its output stale.

    Raises TypeError or ValueError for a `last` that is no chapter's number, and FileNotFoundError
    if data/folklore.json is missing.
    """
    if last is not None:
        _checks.integer("folklore", "last", last, minimum=1)
    path = DATA_DIR / "folklore.json" if path is None else path
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; make it with 'make claims'")
    entries = json.loads(path.read_text(encoding="utf-8"))
    made = (Statement(**{**entry, "measured": tuple(entry["measured"])}) for entry in entries)
    return Ledger(tuple(one for one in made if last is None or one.chapter <= last))
