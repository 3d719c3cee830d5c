"""Try the book's claims under other draws of all seeds and data.

    python tools/audit.py run [NAME ...]   run chapters (all, if none is named) under twelve draws
                                           and write chapters/audit.json and chapters/AUDIT.md
    python tools/audit.py same NAME ...    the audit of chapters whose code was tidied and whose
                                           numbers are the same: tried under the first draw alone
    python tools/audit.py check            compare these two with the chapters as they are

A draw is a value of LRLIB_SEED, which shifts every seed and every draw of data in the book. Each
run of a chapter under a draw has a process and a core of its own, and is kept in .audit/; one that
is there and still fits is not repeated, so an audit that was stopped goes on. What decides
whether it fits is said in audit_runs.py. The two files belong to a chapter as long as its code, its
data and the numbers in its notebook are those they were made with; after a change that moves no
number `same` lets them belong to it again, if every row of the notebook and of the first draw is
what it was, to the digits that are kept. How the chance that a fresh
draw breaks a claim is estimated is said in audit_rows.py and, for readers, at the top of AUDIT.md.

The exit status of `run` is 1 if a claim failed in any draw or was not reached, if its chance to
break in a fresh draw is 1 in 1,000 or more, and, when all chapters were run, if coverage is not
between 90 and 98 %. Draws other than those of audit.json are tried and reported without touching
the files.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from pathlib import Path

from audit_rows import FEWEST, chapter_section, coverage, fails_for, with_unit
from audit_runs import Job, Progress, cores_for, digests, kept_row, read_run, run_all
from notebooks import Fault, escaped, evidence_rows, read_notebook, write_whole

DRAWS = tuple(range(101, 113))
CHANCE = 1e-3  # of breaking in a fresh draw: every claim's is below
COVERAGE = (0.90, 0.98)  # between these lies the share of intervals that cover
FEWEST_INTERVALS = 100  # for a judgement on it: the share of fewer says little

HEADER = """\
# What other draws say

`make audit` makes this table; `tools/audit.py check` says whether it belongs to the chapters as \
they are. It runs every chapter under {k} draws (`LRLIB_SEED` = {draws}) that no one looked at \
when the claims were written: each shifts all seeds and draws other data. The committed notebooks \
show draw 0.

- **held**: in how many draws the claim was made and its evidence supported it.
- **estimates**: the lowest and the highest among the draws.
- **wanted**: where the whole interval has to lie.
- **chance**: that a fresh draw breaks the claim, estimated from these. It breaks when its \
interval reaches a bound: when the estimate moves by the *room* between them (its distance from \
the bound less half the interval's width, both averaged over the draws; of logarithms, for \
ratios). How far estimates move is known twice, from their spread between the draws and from the \
width of their intervals; the mean of the two variances, enlarged for the fresh draw and for what \
{k} draws can know, gives the chance as a tail of Student's t with {df} degrees of freedom (the \
sum of both tails where there are two bounds). *exact* marks a number without an interval, the \
same in every draw; one that differs between draws is marked **varies**, and judged by that \
difference alone. *not redrawn* marks an interval that is the same in every draw, as for recorded \
runs: no draw can break it, and its own width says how sure it is.
- **fails for**: an input for which the claim raises its error, with intervals as wide as those \
here: *zero* (for ratios, *ratio 1*), else *the reverse* (the opposite sign, or the inverse \
ratio), else the smallest shift of the estimate that does.

**Coverage**: of the 95 % intervals, the share that covers the mean of the other draws' estimates. \
That mean is an estimate too, so a little less than 95 % is expected; the expected number stands \
beside it. What does not differ between draws is left out.
"""


# --------------------------------------------------------------------------------------
# The files


def files(root: Path) -> tuple[Path, Path]:
    return root / "chapters" / "audit.json", root / "chapters" / "AUDIT.md"


def read_audit(root: Path) -> dict | None:
    """chapters/audit.json; None if there is none. Raises Fault if it is damaged."""
    path = files(root)[0]
    if not path.exists():
        return None
    try:
        audit = json.loads(path.read_text(encoding="utf-8"))
        sound = {"draws", "chapters"} <= audit.keys()
    except (ValueError, AttributeError):
        sound = False
    if not sound:
        raise Fault("chapters/audit.json is damaged; restore it, or delete it and run: make audit")
    return audit


def as_json(audit: dict) -> str:
    """One row a line, so that a diff shows which rows changed."""

    def line(value: object) -> str:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)

    sections = []
    for name, section in sorted(audit["chapters"].items()):
        keys = ("hash", "seconds", "stopped", "shown")
        parts = [f"{line(key)}: {line(section[key])}" for key in keys]
        rows = ",\n".join(map(line, section["rows"]))
        parts.append(f'"rows": [\n{rows}\n]' if rows else '"rows": []')
        sections.append(f"{line(name)}: {{\n" + ",\n".join(parts) + "\n}")
    body = '"chapters": {\n' + ",\n".join(sections) + "\n}"
    return f'{{\n"draws": {line(audit["draws"])},\n{body}\n}}\n'


def claims_of(section: dict) -> list[dict]:
    return [row for row in section["rows"] if row["kind"] == "claim"]


def all_rows(audit: dict) -> list[dict]:
    return [row for section in audit["chapters"].values() for row in section["rows"]]


def of_kind(rows: list[dict], kind: str) -> list[dict]:
    return [row for row in rows if row["kind"] == kind]


def as_markdown(audit: dict, stale: set[str]) -> str:
    draws, rows = audit["draws"], all_rows(audit)
    k, claims = len(draws), of_kind(rows, "claim")
    consecutive = draws == list(range(draws[0], draws[-1] + 1))
    shown = f"{draws[0]} to {draws[-1]}" if consecutive else ", ".join(map(str, draws))
    held = sum(row["held"] == row["of"] for row in claims)
    highest = max((row["chance"] for row in claims if row["chance"] is not None), default=0.0)
    parts = [
        HEADER.format(k=k, draws=shown, df=2 * (k - 1)),
        f"\nClaims: {len(claims)}; held in every draw: {held}. "
        f"The highest chance: {highest:.1g}.\n"
        f"Measurements: {len(rows) - len(claims)}.\n"
        f"Coverage: {coverage(rows)}; of claims {coverage(claims)}; "
        f"of measurements {coverage(of_kind(rows, 'measurement'))}.\n",
    ]
    parts += [
        chapter_markdown(name, section, name in stale)
        for name, section in sorted(audit["chapters"].items())
    ]
    return "".join(parts)


def chapter_markdown(name: str, section: dict, stale: bool) -> str:
    lines = [f"\n## [{name}]({name}.ipynb)\n"]
    if stale:
        lines.append(
            f"**Stale**: the chapter, its data or its numbers changed since. Run: "
            f"`make audit NAME={name}`\n"
        )
    for where, message in stops(section):
        lines.append(f"**Stopped** in {where} at {escaped(message)}\n")
    claims, measured = claims_of(section), of_kind(section["rows"], "measurement")
    lines.append(
        f"Claims: {len(claims)}. Measurements: {len(measured)}. Coverage: "
        f"{coverage(section['rows'])}. Seconds a draw: {statistics.fmean(section['seconds']):.0f}."
    )
    if claims:
        lines += ["", "| claim | held | estimates | wanted | chance | fails for |"]
        lines += ["| --- " * 6 + "|", *map(claim_line, claims)]
    if measured:
        lines += ["", "| measurement | made | estimates |", "| --- " * 3 + "|"]
        for row in measured:
            made = f"{row['of'] - len(row['unreached'])} of {row['of']}"
            lines.append(f"| {escaped(row['text'])} | {made} | {estimates(row)} |")
    return "\n".join(lines) + "\n"


def stops(section: dict) -> Iterator[tuple[str, str]]:
    """`draws 103, 107` and why the chapter stopped there, for each reason."""
    for message in dict.fromkeys(section["stopped"].values()):
        draws = [draw for draw, said in section["stopped"].items() if said == message]
        yield f"draw{'s' if len(draws) > 1 else ''} {', '.join(draws)}", message


def claim_line(row: dict) -> str:
    held = f"{row['held']} of {row['of']}"
    if row["failed"]:
        held = f"**{held}** (not in {', '.join(map(str, row['failed']))})"
        if row["unreached"]:
            held += f"; not made in {', '.join(map(str, row['unreached']))}"
    chance = shown_chance(row)
    if row["exact"] and row["drawn"]:
        chance += ", **varies**"
    wanted = escaped(str(row["wanted"])) + (" (**moves**)" if row["moving"] else "")
    cells = [escaped(row["text"]), held, estimates(row), wanted, chance, escaped(fails_for(row))]
    return f"| {' | '.join(cells)} |"


def estimates(row: dict) -> str:
    if row["low"] is None:
        return "NaN"
    ends = [f"{row[key]:.3g}" for key in ("low", "high")]
    shown = ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"
    return escaped(with_unit(shown, row["unit"]))


def shown_chance(row: dict) -> str:
    if row["chance"] is None:
        return "–"
    if not row["drawn"] and not row["failed"]:
        return "exact" if row["exact"] else "not redrawn"
    return "below 1e-6" if row["chance"] < 1e-6 else f"{row['chance']:.1g}"


# --------------------------------------------------------------------------------------
# Judgement


def claim_faults(name: str, section: dict) -> Iterator[str]:
    """Which claims of a chapter a draw broke, or may break."""
    for where, message in stops(section):
        yield f"{name} stopped in {where} at {message}"
    for row in claims_of(section):
        where = f"{name}, {row['text']!r}"
        if row["failed"]:
            yield (
                f"{where} held in {row['held']} of {row['of']} draws; not in "
                f"{', '.join(map(str, row['failed']))}"
            )
        if elsewhere := [d for d in row["unreached"] if str(d) not in section["stopped"]]:
            draws = ", ".join(map(str, elsewhere))
            yield f"{where} was not made in draws {draws}: does its text change with the draw?"
        if row["chance"] is not None and row["chance"] >= CHANCE:
            yield f"{where} breaks in a fresh draw with chance {row['chance']:.2g}"
        if row["moving"]:
            yield f"{where} is held to bounds that change with the draw"
        if row["low"] is not None and not fails_for(row):
            yield f"{where} has no bound, and cannot fail"


def unknown_faults(name: str, section: dict) -> Iterator[str]:
    """What the notebook showed when the audit was made, and no draw did."""
    known = Counter(row["text"] for row in section["rows"])
    for text, n in Counter(text for text, *_ in section["shown"]).items():
        if known[text] < n:
            yield f"{name}, {text!r} is in the notebook and not in chapters/audit.json"


def coverage_faults(audit: dict) -> Iterator[str]:
    found = coverage(all_rows(audit))
    if found.count < FEWEST_INTERVALS:
        return
    if not COVERAGE[0] <= found.covered / found.count <= COVERAGE[1]:
        yield f"coverage is not between {COVERAGE[0]:.0%} and {COVERAGE[1]:.0%}: {found}"


def check(root: Path, draws: Iterable[int] = DRAWS) -> list[str]:
    """Where audit.json and AUDIT.md do not belong to the chapters, or show a claim that fails."""
    audit = read_audit(root)
    if audit is None:
        return ["chapters/audit.json is missing; run: make audit"]
    faults, hashes = [], digests(root, library=False)
    stale = stale_chapters(root, audit)
    if audit["draws"] != list(draws):
        faults.append(f"chapters/audit.json is of the draws {audit['draws']}")
    for name in sorted({*hashes, *audit["chapters"]}):
        section, remake = audit["chapters"].get(name), f"run: make audit NAME={name}"
        if name not in hashes:
            faults.append(f"chapters/audit.json has {name}, which is no chapter; run: make audit")
        elif section is None:
            faults.append(f"{name} has not been audited; {remake}")
        elif name in stale:
            faults.append(f"the audit of {name} is stale: {stale[name]}; {remake}")
        else:
            faults += [*claim_faults(name, section), *unknown_faults(name, section)]
    if not stale:
        faults += coverage_faults(audit)
    path = files(root)[1]
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if text not in (as_markdown(audit, set(stale)), as_markdown(audit, set())):
        faults.append("chapters/AUDIT.md is not what chapters/audit.json makes; run: make audit")
    return faults


def stale_chapters(root: Path, audit: dict) -> dict[str, str]:
    """The chapters to which the audit no longer belongs, each with the reason.

    A change of lrlib is seen in the numbers of the notebook, once that has been built again.
    """
    found, hashes = {}, digests(root, library=False)
    for name, section in audit["chapters"].items():
        if section["hash"] != hashes.get(name):
            found[name] = "the chapter's code or its data have changed"
        elif (root / "chapters" / f"{name}.ipynb").exists():  # if not, tools/notebooks.py tells
            if moved := moved_row(section["shown"], shown(root, name)):
                found[name] = f"its notebook now shows another {moved!r}"
    return found


def shown(root: Path, name: str) -> list[list]:
    """[text, estimate, half the interval's width] of every row in the committed notebook."""
    path = root / "chapters" / f"{name}.ipynb"
    cells = read_notebook(path).cells if path.exists() else []
    rows = [kept_row(row) for cell in cells for row in evidence_rows(cell)]
    return [[row["text"], row["effect"], half_width(row)] for row in rows]


def half_width(row: dict) -> float | None:
    """Of rows without an interval, what another machine's rounding may change."""
    if row["effect"] is None:
        return None
    if row["low"] is None or row["high"] is None or not row["n"]:
        return 1e-6 * abs(row["effect"])
    return (row["high"] - row["low"]) / 2


def moved_row(before: list[list], now: list[list]) -> str:
    """The text of the first row that is new, gone, or further away than half its interval."""
    for old, new in zip_longest(before, now):
        if old is None or new is None or old[0] != new[0]:
            return (new or old)[0]
        if old[1] != new[1] and (None in (old[1], new[1]) or abs(old[1] - new[1]) > old[2]):
            return new[0]
    return ""


# --------------------------------------------------------------------------------------


def updated(root: Path, names: list[str], draws: list[int], hashes: dict[str, str]) -> dict:
    """The sections of those named chapters of which all runs are there."""
    sections, own = {}, digests(root, library=False)
    for name in names:
        results = [read_run(Job(name, draw, hashes[name]), root) for draw in draws]
        if None not in results:
            section = chapter_section(results, own[name])
            sections[name] = section | {"shown": shown(root, name)}
    return sections


def write_audit(root: Path, sections: dict, draws: list[int], hashes: dict[str, str]) -> str:
    """Put the sections into both files; if that cannot be, returns why and leaves the files alone.

    The files are of one list of draws.
    """
    audit = read_audit(root) or {"draws": draws, "chapters": {}}
    if audit["draws"] != draws:
        return f"chapters/audit.json is of the draws {audit['draws']}"
    if len(draws) < FEWEST:
        return f"a table takes at least {FEWEST} draws"
    kept = {name: part for name, part in audit["chapters"].items() if name in hashes}
    if not kept | sections:
        return "no chapter has all its runs"
    audit = {"draws": draws, "chapters": kept | sections}
    as_data, as_page = files(root)
    write_whole(as_data, as_json(audit))
    write_whole(as_page, as_markdown(audit, set(stale_chapters(root, audit))))
    return ""


def run(root: Path, names: list[str], draws: list[int], jobs: int) -> int:
    """Audit the named chapters, or all; returns the exit status."""
    hashes = digests(root)
    if unknown := sorted(set(names) - set(hashes)):
        raise Fault(f"no chapter is named {', '.join(unknown)}; there are {', '.join(hashes)}")
    names = sorted(set(names)) or sorted(hashes)
    before = read_audit(root) or {"chapters": {}}
    times = {name: part["seconds"] for name, part in before["chapters"].items()}

    every = [Job(name, draw, hashes[name]) for name in names for draw in draws]
    missing = [job for job in every if read_run(job, root) is None]
    cores = cores_for(jobs)
    print(
        f"{len(every)} runs, {len(every) - len(missing)} of them there already; "
        f"{len(missing)} to make, {len(cores)} at a time",
        flush=True,
    )
    progress, stopped = Progress(root, missing, len(cores), times), False
    try:
        faults = run_all(root, missing, cores, progress)
    except KeyboardInterrupt:
        faults, stopped = ["stopped; the same command goes on from here"], True
    sections = updated(root, names, draws, hashes)
    report(sections)
    if unwritten := write_audit(root, sections, draws, hashes):
        print(f"nothing is written: {unwritten}")
    faults += [fault for name, section in sections.items() for fault in claim_faults(name, section)]
    if sections.keys() == hashes.keys():
        faults += coverage_faults({"chapters": sections})
    for fault in faults:
        print(f"FAILED: {fault}", file=sys.stderr)
    return 130 if stopped else 1 if faults else 0


def same(root: Path, names: list[str], jobs: int) -> int:
    """Let the audit belong to chapters whose rows are what they were; returns the exit status."""
    audit, hashes, own = read_audit(root), digests(root), digests(root, library=False)
    if audit is None:
        raise Fault("chapters/audit.json is missing; run: make audit")
    if unknown := sorted(set(names) - set(audit["chapters"])):
        raise Fault(f"chapters/audit.json has no {', '.join(unknown)}")
    every = [Job(name, audit["draws"][0], hashes[name]) for name in sorted(set(names))]
    missing = [job for job in every if read_run(job, root) is None]
    cores = cores_for(jobs)
    faults = run_all(root, missing, cores, Progress(root, missing, len(cores), {}))
    sections = {}
    for job in every:
        if (result := read_run(job, root)) is None:
            continue
        section, now = audit["chapters"][job.chapter], shown(root, job.chapter)
        if difference := different_row(section, chapter_section([result], ""), now):
            faults.append(f"{job.chapter}: {difference}; run: make audit NAME={job.chapter}")
        else:
            sections[job.chapter] = section | {"hash": own[job.chapter], "shown": now}
            print(f"{job.chapter}: {len(section['rows'])} rows of draw {job.draw} are the same")
    if sections:
        write_audit(root, sections, audit["draws"], hashes)
    for fault in faults:
        print(f"FAILED: {fault}", file=sys.stderr)
    return 1 if faults else 0


def different_row(section: dict, of_first: dict, now: list[list]) -> str:
    """What differs, in the audit's first draw or in the notebook; empty if nothing does."""
    for old, new in zip_longest(section["shown"], now):
        if old is None or new is None or old[0] != new[0] or not close(old[1], new[1]):
            return f"its notebook now shows another {(new or old)[0]!r}"
    before = by_name(row for row in section["rows"] if row["effects"][0] is not None)
    after = by_name(of_first["rows"])
    for name in before.keys() | after.keys():
        if name not in before or name not in after:
            return f"{name[1]!r} is in one of the two alone"
        old, new = before[name], after[name]
        if not (close(old["effects"][0], new["effects"][0]) and old["wanted"] == new["wanted"]):
            return f"{name[1]!r} was {old['effects'][0]} and is {new['effects'][0]}"
    return ""


def by_name(rows: Iterable[dict]) -> dict[tuple, dict]:
    """By kind, text, and how many before it have the same."""
    found, seen = {}, Counter()
    for row in rows:
        name = row["kind"], row["text"]
        found[*name, seen[name]] = row
        seen[name] += 1
    return found


def close(a: float | None, b: float | None) -> bool:
    """The same, to the digits of audit.json."""
    return a == b or (a is not None and b is not None and abs(a - b) <= 1e-4 * abs(a))


def report(sections: dict) -> None:
    """Print the coverage of each chapter and of all."""
    rows = all_rows({"chapters": sections})
    claims, measured = of_kind(rows, "claim"), of_kind(rows, "measurement")
    for name, section in sections.items():
        mine = claims_of(section)
        held = sum(row["held"] == row["of"] for row in mine)
        print(f"{name}: {held} of {len(mine)} claims held in every draw; ", end="")
        print(f"coverage {coverage(section['rows'])}")
    print(f"coverage of all rows: {coverage(rows)}")
    print(f"coverage of claims: {coverage(claims)}")
    print(f"coverage of measurements: {coverage(measured)}", flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--root", type=Path, default=Path(__file__).parent.parent, help="the folder with chapters/"
    )
    drawn = argparse.ArgumentParser(add_help=False)
    drawn.add_argument(
        "--draws", type=int, nargs="+", default=DRAWS, help="values of LRLIB_SEED (101 to 112)"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run_command = commands.add_parser("run", parents=[common, drawn], help="audit chapters")
    run_command.add_argument("names", nargs="*", metavar="NAME", help="such as 04_cosine_annealing")
    run_command.add_argument("--jobs", type=int, default=2, help="how many runs at a time (2)")
    same_command = commands.add_parser("same", parents=[common], help="after a tidied cell")
    same_command.add_argument("names", nargs="+", metavar="NAME")
    same_command.add_argument("--jobs", type=int, default=2, help="how many runs at a time (2)")
    commands.add_parser("check", parents=[common, drawn], help="compare table and chapters")
    arguments = parser.parse_args()
    if arguments.command != "check" and arguments.jobs < 1:
        parser.error(f"--jobs must be at least 1, got {arguments.jobs}")
    if arguments.command != "same" and any(draw < 0 for draw in arguments.draws):
        parser.error(f"--draws must not be negative, got {arguments.draws}")
    return arguments


def main() -> int:
    arguments = parse()
    root = arguments.root.resolve()
    try:
        if not (root / "chapters").is_dir():
            raise Fault(f"{root} has no folder chapters/")
        # Ended by another program as by Ctrl-C: no run outlives it.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        if arguments.command == "same":
            return same(root, arguments.names, arguments.jobs)
        draws = sorted(set(arguments.draws))
        if arguments.command == "run":
            return run(root, arguments.names, draws, arguments.jobs)
        faults = check(root, draws)
    except KeyboardInterrupt:
        return 130
    except Fault as fault:
        faults = [str(fault)]
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
