"""tools/folklore.py: from rows to verdicts, and whether the committed ledger is what they make."""

import json
import math
import re
from pathlib import Path

import folklore
import nbformat
import notebooks
import pytest
from notebooks import Fault

from lrlib.lab import folklore as shown

ROOT = Path(__file__).resolve().parent.parent
NONE = (None, None)


def row(text, low, high, bounds=NONE, scale="linear", kind="measurement", **changes):
    """A row as the notebooks carry it."""
    made = {
        "kind": kind,
        "text": text,
        "measured": f"{(low + high) / 2:g} points [{low:g}, {high:g}]",
        "effect": (low + high) / 2,
        "low": low,
        "high": high,
        "n": 8,
        "of": "seeds",
        "unit": "points",
        "scale": scale,
        "confidence": 0.95,
        "wanted": None if bounds == NONE else "as it is",
        "bounds": list(bounds),
        "power": None,
        "seeds_needed": None,
        "verdict": "measured",
    }
    return made | changes


MORE, LESS, OPEN = row("more", 1, 2), row("less", -2, -1), row("open", -1, 2)
LEVEL = row("level", -0.5, 1, (-2, 2), kind="claim", verdict="no difference we can detect")


def draws(one: dict, *intervals: tuple[float, float], **changes) -> dict:
    """A row of audit.json, with an interval for each draw."""
    logs = [[math.log(x) if one["scale"] == "ratio" else x for x in pair] for pair in intervals]
    middles = [sum(pair) / 2 for pair in logs]
    ratio = one["scale"] == "ratio"
    return {
        **{key: one[key] for key in ("kind", "text", "scale", "bounds", "n")},
        "exact": False,
        "drawn": True,
        "effects": [math.exp(middle) if ratio else middle for middle in middles],
        "halves": [(high - low) / 2 for low, high in logs],
    } | changes


@pytest.fixture
def book(tmp_path):
    """A book of one chapter, with a function that writes its statements and its rows."""
    (tmp_path / "chapters").mkdir()
    (tmp_path / "data").mkdir()

    def write(source, rows, audit=None):
        cells = [nbformat.v4.new_markdown_cell("# 1 · Demo")]
        cells.append(nbformat.v4.new_code_cell("1", execution_count=1))
        data = {"text/plain": "table", notebooks.CLAIMS_DATA: {"rows": rows}}
        cells[-1].outputs = [nbformat.v4.new_output("display_data", data)]
        made = nbformat.v4.new_notebook(cells=cells)
        notebooks.write_notebook(made, tmp_path / "chapters/01_demo.ipynb")
        (tmp_path / "chapters/folklore.toml").write_text(source)
        if audit is not None:
            chapters = {"chapters": {"01_demo": {"rows": audit}}}
            (tmp_path / "chapters/audit.json").write_text(json.dumps(chapters))
        return tmp_path

    return write


def entry(verdict="holds", rows='["more"]', speaks_for='"more"', says="Folk say so."):
    return (
        f'[[statement]]\nsays = "{says}"\nchapter = "01_demo"\nverdict = "{verdict}"\n'
        f'so = "In short."\nfor = {speaks_for}\nrows = {rows}\n'
    )


# --- the rules


@pytest.mark.parametrize(
    ("interval", "bounds", "scale", "than", "expected"),
    [
        # measurements: against zero, or one
        ((1, 2), NONE, "linear", None, "more"),
        ((-2, -1), NONE, "linear", None, "less"),
        ((0, 2), NONE, "linear", None, "open"),
        ((0, 0), NONE, "linear", None, "level"),
        ((1.1, 1.2), NONE, "ratio", None, "more"),
        ((0.5, 0.9), NONE, "ratio", None, "less"),
        ((0.5, 1), NONE, "ratio", None, "open"),
        # claims with one bound: against it
        ((2.1, 3), (2, None), "linear", None, "more"),
        ((1, 3), (2, None), "linear", None, "open"),
        ((1, 1.5), (2, None), "linear", None, "less"),
        ((1.5, 2), (None, 3), "linear", None, "less"),
        ((0.5, 0.7), (0, 0.9), "ratio", None, "less"),  # a ratio's lower bound of zero is none
        # claims with two: level, where they are round zero or one
        ((0.2, 0.4), (-0.5, 0.5), "linear", None, "level"),
        ((0.2, 0.6), (-0.5, 0.5), "linear", None, "open"),
        ((0.95, 1.05), (0.9, 1.1), "ratio", None, "level"),
        ((1.166, 1.166), (0.5, 2), "linear", None, "level"),  # a ratio that is exact
        ((7.4, 7.5), (7, 8), "linear", None, "more"),
        # another number than the row's own
        ((1.4, 1.8), (1, None), "ratio", 10, "less"),
        ((1.4, 1.8), NONE, "ratio", 1.5, "open"),
        ((0.2, 0.4), (-0.5, 0.5), "linear", 0, "more"),
    ],
)
def test_a_row_has_an_outcome(interval, bounds, scale, than, expected):
    bounds = folklore.bounds_of({"bounds": bounds})
    assert folklore.outcome(*interval, bounds, scale, than) == expected


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        (["for", "for"], "holds"),
        (["for", "open"], "depends"),
        (["for", "against"], "depends"),
        (["against", "open"], "wrong"),
        (["against"], "wrong"),
        (["open", "open"], "undecided"),
        ([], "argued"),
    ],
)
def test_votes_make_a_verdict(votes, expected):
    assert folklore.verdict(votes) == expected


@pytest.mark.parametrize(
    ("said", "speaks_for", "expected"),
    [
        ("more", ("more",), "for"),
        ("level", ("more",), "against"),
        ("less", ("less", "level"), "for"),
        ("open", ("more", "less", "level"), "open"),
    ],
)
def test_an_outcome_speaks_for_a_statement_or_against_it(said, speaks_for, expected):
    assert folklore.vote(folklore.Row("x", speaks_for, None), said) == expected


@pytest.mark.parametrize(
    ("draws", "expected"),
    [
        (["holds"] * 10 + ["undecided"] * 2, "holds"),
        (["holds"] * 9 + ["undecided"] * 3, "undecided"),
        (["wrong"] * 6 + ["depends"] * 4 + ["holds"] * 2, "depends"),
        (["wrong"] * 6 + ["depends"] * 3 + ["holds"] * 3, "undecided"),
        (["undecided"] * 12, "undecided"),
    ],
)
def test_the_verdict_is_what_other_draws_share(draws, expected):
    assert folklore.kept(draws) == expected


# --- a book


def test_the_ledger_shows_rows_votes_and_audit(book):
    rows = '["more", { row = "ratio", than = 10, for = "more" }]'
    ratio = row("ratio", 1.4, 1.8, (1, None), "ratio", "claim", measured="1.6 [1.4, 1.8]", n=0)
    audit = [draws(MORE, (1, 2), (-1, 2)), draws(ratio, (1.4, 1.8), (1.2, 1.4))]
    audit[1]["halves"] = [0, [0.1, 0.1]]
    source = entry("depends", rows) + entry("undecided", '["open"]', says="Nobody | knows.")
    root = book(source, [MORE, ratio, OPEN], [*audit, draws(OPEN, (-1, 1), (-1, 2))])
    assert "| 1 depends, 1 wrong |" in folklore.as_markdown(folklore.ledger(root))
    audit[0] = draws(MORE, (1, 2), (0.5, 2))
    root = book(source, [MORE, ratio, OPEN], [*audit, draws(OPEN, (-1, 1), (-1, 2))])
    page, data = folklore.files(root).values()
    assert (
        "| *“Folk say so.”*<br>In short. | depends | more: 1.5 points [1, 2] (8 seeds), *for*<br>"
        "ratio, against 10: 1.6 [1.4, 1.8] (exact), *against* | 2 of 2 |"
    ) in page
    assert "| *“Nobody \\| knows.”*<br>" in page
    assert "| [1 · Demo](01_demo.ipynb) | 2 | 0 | 0 | 1 | 1 | 0 |" in page
    assert "**2 statements: 0 hold, 0 are wrong, 1 depend, 1 are undecided; 0 are argued" in page
    assert "Of the 2 statements that other draws could change, 2 came out the same" in page
    assert json.loads(data)[0]["measured"] == ["more: 1.5 points [1, 2]", "ratio: 1.6 [1.4, 1.8]"]


def test_what_is_exact_recorded_or_not_audited_is_said_to_be(book):
    source = "".join(
        entry(rows=f'["{text}"]', says=text) for text in ("exact", "recorded", "neither")
    )
    rows = [row(text, 1, 2) for text in ("exact", "recorded", "neither")]
    audit = [
        draws(rows[0], (1, 2), exact=True, drawn=False),
        draws(rows[1], (1, 2), drawn=False),
    ]
    page, _ = folklore.files(book(source, rows, audit)).values()
    found = re.findall(r"\| (exact|the same|–) \|$", page, re.MULTILINE)
    assert found == ["exact", "the same", "–"]


def test_what_the_draws_share_counts_and_not_what_this_one_shows(book):
    page, _ = folklore.files(
        book(entry("holds"), [row("more", -1, 2)], [draws(MORE, *[(1, 2)] * 12)])
    ).values()
    assert "| holds | more: 0.5 points [-1, 2] (8 seeds), *open* | 12 of 12 |" in page


def test_draws_that_do_not_agree_are_counted(book):
    audit = [draws(MORE, *[(1, 2)] * 10, (-2, -1), (-1, 1))]
    page, _ = folklore.files(book(entry(), [MORE], audit)).values()
    assert "| holds | more: 1.5 points [1, 2] (8 seeds), *for* | 10 holds, 1 wrong, 1 undec" in page


@pytest.mark.parametrize(
    ("source", "rows", "message"),
    [
        (entry(), [OPEN], r"'Folk say so\.' rests on a row that chapters/01_demo lacks: 'more'"),
        (
            entry(),
            [row("more", -1, 2)],
            r"'Folk say so\.' is said to be 'holds', its rows make it 'undecided': 'more' .*: open",
        ),
        (entry("right"), [MORE], r"'Folk say so\.' has the verdict 'right', none of holds"),
        (
            entry(speaks_for='"better"'),
            [MORE],
            r"'Folk say so\.' needs `for`, of more, less, level",
        ),
        (entry(speaks_for="[]"), [MORE], r"'Folk say so\.' needs `for`"),
        (entry(rows='[{ text = "more" }]'), [MORE], r"has a row with the keys text; it takes row"),
        (entry().replace("so =", "thus ="), [MORE], r"'Folk say so\.' lacks so"),
        (entry() + "than = 3\n", [MORE], r"'Folk say so\.' has the unknown keys than"),
        (entry() * 2, [MORE], r"'Folk say so\.' is there twice"),
        (entry().replace("01_demo", "02_demo"), [MORE], r"'Folk say so\.' names no chapter: '02"),
        (entry("argued"), [MORE], r"is said to be 'argued', its rows make it 'holds'"),
        ("[[statement", [MORE], r"chapters/folklore\.toml: "),
    ],
)
def test_what_does_not_fit_stops_the_tool_with_the_statements_name(book, source, rows, message):
    root = book(source, rows)
    with pytest.raises(Fault, match=message):
        folklore.files(root)
    (fault,) = folklore.check(root)
    assert re.search(message, fault)
    assert folklore.write(root) == [fault]
    assert not (root / folklore.LEDGER).exists()


def test_all_that_does_not_fit_is_told_at_once(book):
    root = book(entry() + entry("wrong", '["open"]', says="B"), [OPEN])
    assert len(folklore.check(root)) == 2


def test_check_catches_stale_files(book):
    root = book(entry(), [MORE])
    assert len(folklore.check(root)) == 2
    assert folklore.write(root) == folklore.check(root) == []
    book(entry(), [row("more", 1, 2.5)])
    assert folklore.check(root) == [
        f"{name} is not what the notebooks make; run: make claims"
        for name in (folklore.LEDGER, folklore.DATA)
    ]


# --- the real one


def test_the_committed_ledger_is_what_the_notebooks_make():
    assert folklore.check(ROOT) == []


def test_what_to_remember_brings_no_numbers_of_its_own():
    for one in folklore.read_statements(ROOT):
        assert not re.search(r"\d+(\.\d+)? ?(points?|nats|%|times)|\[\d", one.so), one.says
        assert one.so.endswith(".") and len(one.so.split()) <= 40, one.says


def test_the_library_counts_as_the_page_does():
    every = shown.folklore()
    page = (ROOT / folklore.LEDGER).read_text(encoding="utf-8")
    assert f"**{str(every)[:-20]}" in page.replace("\n", " ")
    assert sum(every.counts().values()) == len(every) >= 40
    assert every.of("holds", "wrong").counts()["depends"] == 0
    first = shown.folklore(1)
    assert {one.chapter for one in first.statements} == {1} and 0 < len(first) < len(every)
    assert first.statements[0].measured[0].startswith("η = 0.4: mean loss")


def test_the_library_says_what_is_wrong(tmp_path):
    with pytest.raises(ValueError, match="folklore: last must"):
        shown.folklore(0)
    with pytest.raises(TypeError, match="folklore: last must"):
        shown.folklore("14")
    with pytest.raises(ValueError, match="verdict must be"):
        shown.folklore().of("true")
    with pytest.raises(FileNotFoundError, match="make it with 'make claims'"):
        shown.folklore(path=tmp_path / "none.json")
    assert shown.VERDICTS == folklore.VERDICTS


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "chapters/README.md"])
def test_the_ledger_can_be_found(page):
    assert "FOLKLORE.md)" in (ROOT / page).read_text(encoding="utf-8")
