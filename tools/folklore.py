"""Make the ledger of folklore, chapters/FOLKLORE.md, from what the chapters measured.

    python tools/folklore.py          write it, and data/folklore.json, which chapter 15 reads
    python tools/folklore.py check    say whether both are what the notebooks make

chapters/folklore.toml names each statement and the claims and measurements that decide it; all
numbers come from the rows of the executed notebooks. The rules, from a row to a verdict:

1. A row has an *outcome*. A claim that is held to one bound, or a measurement, is `more` if its
   interval lies above the bound (of a measurement: above zero, for a ratio above one), `less` if it
   lies below, else `open`. A claim held between two bounds round zero (or one) is `level`, and so
   is a row in which every seed gave exactly zero. A row may be compared with another number
   (`than`).
2. The statement says which outcome speaks *for* it (`for`). Any other outcome speaks *against* it,
   and `open` for neither.
3. `holds`: every row speaks for it. `wrong`: at least one speaks against it and none for it.
   `depends`: one or more speak for it, but not all. `undecided`: all are open. `argued`: it has no
   row, and the chapter's reasoning or printed numbers decide.
4. The audit has the rows of twelve other draws, and each draw its own verdict. What ten of them
   share is the verdict. Where they share none it is `depends` if ten made it `depends` or `wrong`
   (either way the statement is no rule), else `undecided`.

The verdict that the file states must be the one that the rows make: where a chapter is built anew
and a row is gone, or says something else, this tool stops with the statement's name.
"""

from __future__ import annotations

import json
import math
import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from audit_rows import Point, off_scale, points_of
from notebooks import Fault, escaped, read_claims, read_notebook, scripts_and_notebooks, write_whole

SOURCE, LEDGER, DATA = "chapters/folklore.toml", "chapters/FOLKLORE.md", "data/folklore.json"
OUTCOMES = ("more", "less", "level")
VERDICTS = ("holds", "wrong", "depends", "undecided", "argued")
ENOUGH = 10 / 12  # of the draws have to share a verdict
KEYS = {"says", "chapter", "verdict", "so"}

TEXT = """\
# The folklore, with verdicts

What people say about learning rates, and what this book found where it tried. `make claims` makes \
this page from [the claims and measurements](CLAIMS.md) of the executed chapters; no number in its \
tables is written by hand, and `make test` fails when a row no longer says what a verdict rests on.

**{total} statements: {holds} hold, {wrong} are wrong, {depends} depend, {undecided} are \
undecided; {argued} are argued without a row.**

A verdict is about the runs in this book, small networks and exact quadratics, and not about every \
run there is. It follows by rule:

- Each row speaks *for* the statement, *against* it, or is *open* (its interval holds the number \
that it is compared with: zero, for a ratio one, or the bound of the claim). A difference that \
lies within the task's margin speaks against a statement that says one thing is better.
- **holds**: every row speaks for it. **wrong**: one or more speak against it and none for it. \
**depends**: some speak for it, not all. **undecided**: all are open. **argued**: no row decides; \
the chapter reasons, or prints.
- **audit**: the verdicts that the rules give in [twelve other draws](AUDIT.md) of all seeds and \
data. What ten of them share counts, whatever the numbers here say; where they share none it is \
*depends* if ten made it *depends* or *wrong* (either way the statement is no rule), else \
*undecided*. *exact* marks what has no seeds, *the same* numbers that no draw changes, such as \
those of recorded runs, *–* what has not been audited and rests on one draw. Of the {drawn} \
statements that other draws could change, {firm} came out the same in every one.

| chapter | statements | hold | wrong | depend | undecided | argued |
| --- | --- | --- | --- | --- | --- | --- |
{chapters}

## What holds

{holding}
"""


class Row(NamedTuple):
    """A row that decides a statement, and which of its outcomes speak for it."""

    text: str
    speaks_for: tuple[str, ...]
    than: float | None


class Statement(NamedTuple):
    """An entry of chapters/folklore.toml."""

    says: str
    chapter: str
    verdict: str
    so: str
    rows: tuple[Row, ...]


class Judged(NamedTuple):
    """A statement with the rows of its chapter, what each says, and what other draws say."""

    statement: Statement
    rows: list[dict]
    votes: list[str]
    same: int | None  # draws that share the verdict, of how many; None: no other draw could differ
    draws: int
    audit: str  # for readers: `12 of 12`, or why there is no such number


# --------------------------------------------------------------------------------------
# The source


def as_outcomes(value: Any) -> tuple[str, ...]:
    outcomes = (value,) if isinstance(value, str) else tuple(value or ())
    if not outcomes or not set(outcomes) <= set(OUTCOMES):
        raise Fault(f"needs `for`, of {', '.join(OUTCOMES)}; it has {value!r}")
    return outcomes


def as_row(entry: str | dict, default: object) -> Row:
    if isinstance(entry, str):
        return Row(entry, as_outcomes(default), None)
    if not isinstance(entry.get("row"), str) or entry.keys() - {"row", "for", "than"}:
        raise Fault(f"has a row with the keys {', '.join(entry)}; it takes row, for and than")
    return Row(entry["row"], as_outcomes(entry.get("for", default)), entry.get("than"))


def as_statement(entry: dict) -> Statement:
    if missing := KEYS - entry.keys():
        raise Fault(f"lacks {', '.join(sorted(missing))}")
    if unknown := entry.keys() - KEYS - {"for", "rows"}:
        raise Fault(f"has the unknown keys {', '.join(sorted(unknown))}")
    if entry["verdict"] not in VERDICTS:
        raise Fault(f"has the verdict {entry['verdict']!r}, none of {', '.join(VERDICTS)}")
    rows = tuple(as_row(row, entry.get("for")) for row in entry.get("rows", ()))
    return Statement(*(entry[key] for key in ("says", "chapter", "verdict", "so")), rows)


def read_statements(root: Path) -> list[Statement]:
    """The entries of chapters/folklore.toml. Raises Fault, with its name, for one that is wrong."""
    try:
        entries = tomllib.loads((root / SOURCE).read_text(encoding="utf-8")).get("statement", [])
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise Fault(f"{SOURCE}: {error}") from None
    found = []
    for entry in entries:
        says = entry.get("says", f"statement {len(found) + 1}")
        try:
            found.append(as_statement(entry))
        except Fault as fault:
            raise Fault(f"{SOURCE}: {says!r} {fault}") from None
    if twice := [says for says, n in Counter(entry.says for entry in found).items() if n > 1]:
        raise Fault(f"{SOURCE}: {twice[0]!r} is there twice")
    return found


# --------------------------------------------------------------------------------------
# From rows to verdicts


def outcome(
    low: float, high: float, bounds: tuple[float, float], scale: str, than: float | None
) -> str:
    """What an interval says (rule 1); unbounded ends are infinite, or zero for a ratio's lower."""
    neutral = 1.0 if scale == "ratio" else 0.0
    least = 0.0 if scale == "ratio" else -math.inf
    bounded = bounds[0] > least, bounds[1] < math.inf
    round_it = any(bounds[0] <= number <= bounds[1] for number in (neutral, 1.0))
    if than is None and all(bounded) and round_it:
        return "level" if bounds[0] <= low and high <= bounds[1] else "open"
    if than is None and any(bounded) and not all(bounded):
        than = bounds[0] if bounded[0] else bounds[1]
    than = neutral if than is None else than
    if low == high == than:
        return "level"
    return "more" if low > than else "less" if high < than else "open"


def bounds_of(row: dict) -> tuple[float, float]:
    low, high = row["bounds"]
    return (-math.inf if low is None else low, math.inf if high is None else high)


def vote(row: Row, said: str) -> str:
    return said if said == "open" else "for" if said in row.speaks_for else "against"


def verdict(votes: list[str]) -> str:
    """Rule 3."""
    if not votes:
        return "argued"
    if "for" in votes:
        return "holds" if set(votes) == {"for"} else "depends"
    return "wrong" if "against" in votes else "undecided"


def said_now(row: Row, shown: dict) -> str:
    """A row's vote in the committed notebook; without numbers (a run diverged) it says nothing."""
    if shown["low"] is None or shown["high"] is None:
        return "open"
    said = outcome(shown["low"], shown["high"], bounds_of(shown), shown["scale"], row.than)
    return vote(row, said)


def said_in(row: Row, audited: dict, place: Point | None) -> str:
    """A row's vote in one of the audit's draws."""
    if place is None:
        return "open"
    scale = audited["scale"]
    low = off_scale(place.middle - place.down, scale)
    high = off_scale(place.middle + place.up, scale)
    return vote(row, outcome(low, high, bounds_of(audited), scale, row.than))


def in_draws(statement: Statement, audited: dict[str, dict]) -> list[str] | str:
    """The verdict in each of the audit's draws, or why there are none."""
    if not statement.rows or not all(row.text in audited for row in statement.rows):
        return "–"
    rows = [audited[row.text] for row in statement.rows]
    if all(row["exact"] for row in rows):
        return "exact"
    if not any(row["drawn"] for row in rows):
        return "the same"
    series = [
        [said_in(row, there, place) for place in points_of(there)]
        for row, there in zip(statement.rows, rows, strict=True)
    ]
    return [verdict(list(votes)) for votes in zip(*series, strict=True)]


def kept(draws: list[str]) -> str:
    """The verdict that the draws leave, by rule 4."""
    found, enough = Counter(draws), ENOUGH * len(draws)
    common, times = found.most_common(1)[0]
    if times >= enough:
        return common
    return "depends" if found["depends"] + found["wrong"] >= enough else "undecided"


def as_counts(draws: list[str]) -> str:
    """`12 of 12` for draws that agree, else `9 wrong, 3 undecided`."""
    found = Counter(draws).most_common()
    if len(found) == 1:
        return f"{len(draws)} of {len(draws)}"
    return ", ".join(f"{n} {verdict}" for verdict, n in found)


def judge(statement: Statement, shown: dict[str, dict], audited: dict[str, dict]) -> Judged:
    """Raises Fault, with the statement's name, if a row is gone or its verdict does not fit."""
    name = f"{SOURCE}: {statement.says!r}"
    if gone := [row.text for row in statement.rows if row.text not in shown]:
        raise Fault(f"{name} rests on a row that chapters/{statement.chapter} lacks: {gone[0]!r}")
    rows = [shown[row.text] for row in statement.rows]
    votes = [said_now(row, there) for row, there in zip(statement.rows, rows, strict=True)]
    made, draws = verdict(votes), in_draws(statement, audited)
    same, of, audit = None, 0, draws if isinstance(draws, str) else ""
    if isinstance(draws, list):
        made = kept(draws)
        same, of, audit = draws.count(made), len(draws), as_counts(draws)
    if made != statement.verdict:
        said = "; ".join(
            f"{row['text']!r} {row['measured']}: {vote}"
            for row, vote in zip(rows, votes, strict=True)
        )
        other = f" (other draws: {audit})" if same is not None else ""
        raise Fault(
            f"{name} is said to be {statement.verdict!r}, its rows make it {made!r}{other}: {said}"
        )
    return Judged(statement, rows, votes, same, of, audit)


def read_audit(root: Path) -> dict[str, dict[str, dict]]:
    """For each chapter, the rows of chapters/audit.json by their texts."""
    path = root / "chapters" / "audit.json"
    if not path.exists():
        return {}
    chapters = json.loads(path.read_text(encoding="utf-8"))["chapters"]
    return {name: {row["text"]: row for row in found["rows"]} for name, found in chapters.items()}


def ledger(root: Path) -> dict[str, tuple[str, list[Judged]]]:
    """Each chapter's title and judged statements. Raises Fault with all that does not fit."""
    statements, audit, made, faults = read_statements(root), read_audit(root), {}, []
    for pair in scripts_and_notebooks(root):
        mine = [one for one in statements if one.chapter == pair.name]
        if pair.parent.name != "chapters" or not mine:
            continue
        title, rows = read_claims(read_notebook(pair.with_suffix(".ipynb")))
        shown, judged = {row["text"]: row for row in rows}, []
        for one in mine:
            try:
                judged.append(judge(one, shown, audit.get(pair.name, {})))
            except Fault as fault:
                faults.append(str(fault))
        made[pair.name] = title, judged
    for one in statements:
        if one.chapter not in made:
            faults.append(f"{SOURCE}: {one.says!r} names no chapter: {one.chapter!r}")
    if faults:
        raise Fault("\n".join(faults))
    return made


# --------------------------------------------------------------------------------------
# The page, and the numbers for chapter 15


def counts(judged: list[Judged]) -> dict[str, int]:
    found = Counter(one.statement.verdict for one in judged)
    return {verdict: found[verdict] for verdict in VERDICTS}


def evidence(one: Judged) -> str:
    """The deciding rows, one below the other."""
    shown = []
    for row, said, asked in zip(one.rows, one.votes, one.statement.rows, strict=True):
        seeds = f"{row['n']} {row['of']}" if row["n"] else "exact"
        than = "" if asked.than is None else f", against {asked.than:g}"
        shown.append(
            f"{escaped(row['text'])}{than}: {escaped(row['measured'])} ({seeds}), *{said}*"
        )
    return "<br>".join(shown) or "–"


def as_section(name: str, title: str, judged: list[Judged]) -> str:
    lines = [
        f"\n## [{escaped(title)}]({name}.ipynb)\n",
        "| people say | verdict | what decides it | audit |",
        "| --- | --- | --- | --- |",
    ]
    for one in judged:
        words = f"*“{one.statement.says}”*<br>{one.statement.so}".replace("|", r"\|")
        cells = (words, one.statement.verdict, evidence(one), one.audit)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def as_markdown(made: dict[str, tuple[str, list[Judged]]]) -> str:
    every = [one for _, judged in made.values() for one in judged]
    chapters = []
    for name, (title, judged) in made.items():
        numbers = " | ".join(str(n) for n in (len(judged), *counts(judged).values()))
        chapters.append(f"| [{escaped(title)}]({name}.ipynb) | {numbers} |")
    drawn = [one for one in every if one.same is not None]
    firm = sum(one.same == one.draws for one in drawn)
    numbers = {"total": len(every), "firm": firm, "drawn": len(drawn), **counts(every)}
    holding = [
        f"- *“{one.statement.says}”* {one.statement.so} [{escaped(title)}]({name}.ipynb)"
        for name, (title, judged) in made.items()
        for one in judged
        if one.statement.verdict == "holds"
    ]
    lists = {"chapters": "\n".join(chapters), "holding": "\n".join(holding) or "Nothing."}
    text = TEXT.format(**lists, **numbers)
    return text + "".join(as_section(name, *section) for name, section in made.items())


def as_data(made: dict[str, tuple[str, list[Judged]]]) -> str:
    """What lrlib.lab.folklore reads: one statement a line."""
    lines = [
        json.dumps(
            {
                "says": one.statement.says,
                "chapter": int(name.split("_")[0]),
                "verdict": one.statement.verdict,
                "so": one.statement.so,
                "measured": [f"{row['text']}: {row['measured']}" for row in one.rows],
                "audit": one.audit,
            },
            ensure_ascii=False,
        )
        for name, (_, judged) in made.items()
        for one in judged
    ]
    return "[\n" + ",\n".join(lines) + "\n]\n"


def files(root: Path) -> dict[Path, str]:
    made = ledger(root)
    return {root / LEDGER: as_markdown(made), root / DATA: as_data(made)}


def check(root: Path) -> list[str]:
    """Statements whose rows no longer fit, and whether the committed files are what is made."""
    try:
        made = files(root)
    except Fault as fault:
        return str(fault).splitlines()
    return [
        f"{path.relative_to(root)} is not what the notebooks make; run: make claims"
        for path, text in made.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]


def write(root: Path) -> list[str]:
    try:
        made = files(root)
    except Fault as fault:
        return str(fault).splitlines()
    for path, text in made.items():
        write_whole(path, text)
    return []


def main() -> int:
    root = Path(__file__).resolve().parent.parent
    if sys.argv[1:] not in ([], ["check"]):
        print(__doc__, file=sys.stderr)
        return 2
    faults = check(root) if sys.argv[1:] else write(root)
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
