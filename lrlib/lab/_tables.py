"""How evidence is shown: its numbers, and tables of it as text and as HTML."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lrlib.lab.evidence import Evidence

_COLUMNS = ("seeds", "wanted", "half-widths", "verdict")
_CELL = "text-align: left; vertical-align: top; padding: 0.3em 1em 0.3em 0"
_NUMBER = f"{_CELL}; white-space: nowrap; font-variant-numeric: tabular-nums"


def with_unit(number: str, unit: str) -> str:
    """The number and its unit: ``2 points``, ``2%``."""
    return f"{number} {unit}" if unit[:1].isalpha() else f"{number}{unit}"


def rounded(effect: float, low: float, high: float, scale: str) -> tuple[str, str, str]:
    """The three with as many decimals as show two digits of half the interval's width."""
    values, half = (effect, low, high), (high - low) / 2
    if half == 0:
        return f"{effect:z.4g}", f"{low:z.4g}", f"{high:z.4g}"
    if scale == "ratio" and high > 10 * low:  # no number of decimals serves both ends
        return f"{effect:.2g}", f"{low:.2g}", f"{high:.2g}"
    order = math.floor(math.log10(max(abs(x) for x in values)))
    decimals = min(1 - math.floor(math.log10(half)), 5 - order)  # six digits at most
    power = ""
    if not -4 < order < 6:
        values, decimals = [x / 10.0**order for x in values], decimals + order
        power = f"e{order:+03d}"
    a, b, c = (f"{round(x, decimals):z.{max(decimals, 0)}f}{power}" for x in values)
    return a, b, c


def half_widths(power: float | None) -> str:
    """With one decimal, cut off, so that 2.96 is not 3; a dash where there is no number."""
    if power is None or not math.isfinite(power):
        return "–"
    return f"{math.floor(10 * power) / 10:.1f}"


def cells(evidence: Sequence[Evidence]) -> list[tuple[str, ...]]:
    """What a reader sees, row by row, the header first."""
    levels = {row.confidence for row in evidence if row.seeds}
    level = f"{100 * levels.pop():g} % " if len(levels) == 1 else ""
    table: list[tuple[str, ...]] = [("what", f"measured [{level}interval]", *_COLUMNS)]
    for row in evidence:
        measured = row.measured
        if row.seeds and not level:
            measured += f" ({100 * row.confidence:g} %)"
        counted = "exact" if not row.seeds else f"{row.seeds} {row.of}".removesuffix(" seeds")
        wanted = "–" if row.wanted is None else row.wanted
        table.append((row.text, measured, counted, wanted, half_widths(row.power), row.verdict))
    return table


def as_text(evidence: Sequence[Evidence]) -> str:
    """An aligned table for a terminal."""
    table = cells(evidence)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in table
    )
    return "\n".join(line.rstrip() for line in lines)


def as_html(evidence: Sequence[Evidence]) -> str:
    """A table that takes its colours from the page, light or dark."""
    header, *rows = cells(evidence)
    lines = ['<table class="lrlib-claims" style="border-collapse: collapse; width: auto">']
    heads = [
        f'<th scope="col" style="{_CELL}; border-bottom: 1px solid">{html.escape(name)}</th>'
        for name in header
    ]
    lines += [f"<thead><tr>{''.join(heads)}</tr></thead>", "<tbody>"]
    for row in rows:
        shown = [html.escape(cell) for cell in row]
        if row[-1] == "NOT SUPPORTED":
            shown[-1] = f"<strong>{shown[-1]}</strong>"
        styles = (_CELL, _NUMBER, _NUMBER, _NUMBER, _NUMBER, _CELL)
        data = [f'<td style="{style}">{x}</td>' for style, x in zip(styles, shown, strict=True)]
        lines.append(f"<tr>{''.join(data)}</tr>")
    return "\n".join([*lines, "</tbody>", "</table>"])
