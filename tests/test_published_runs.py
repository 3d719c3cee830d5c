"""Chapter 14's forecast: what is fitted at 25,000 steps knows nothing of 50,000."""

import re
from pathlib import Path

import notebooks
import numpy as np
import pytest

CHAPTER = Path(__file__).parent.parent / "chapters/14_pretraining.py"


def tagged(tag):
    cells = notebooks.read_script(CHAPTER).cells
    return [cell.source for cell in cells if tag in cell.metadata.get("tags", [])]


def fit(change=lambda table: table):
    """What the chapter's cells make of its table, or of a changed one."""
    names = {"np": np}
    first, *rest = tagged("published-runs")
    exec(first, names)
    names["PUBLISHED"] = change(names["PUBLISHED"])
    for source in (*rest, *tagged("published-fit")):
        exec(source, names)
    rng = np.random.default_rng(0)
    theory = {(name, steps): rng.random() for name in names["long"] for steps in (25_000, 50_000)}
    slope, level, residuals = names["fitted"](lambda name, steps: theory[name, steps])
    return slope, level, residuals, names["short"], names["long"]


def columns(line, where, value):
    parts = line.split("|")
    for i in where:
        parts[i] = re.sub(r"\d\.\d{4}", value, parts[i])
    return "|".join(parts)


def test_the_fit_uses_no_number_of_the_runs_that_test_it(capsys):
    def spoilt(table):
        return "\n".join(columns(line, (2, 3), "9.9999") for line in table.splitlines() if line)

    slope, level, residuals, short, long = fit()
    again = fit(spoilt)
    assert (slope, level) == again[:2]
    assert residuals == pytest.approx(again[2], abs=0)
    assert short == again[3] and set(again[4].values()) == {9.9999}
    assert len(short) == 9 and len(long) == 11 and set(short) < set(long)


def test_the_fit_uses_the_runs_it_is_fitted_on(capsys):
    def moved(table):
        first, *rest = table.strip().splitlines()
        return "\n".join([columns(first, (1,), "3.9999"), *rest])

    assert fit()[0] != fit(moved)[0]


def test_the_best_loss_is_that_of_a_mean_of_reruns(capsys):
    *_, short, long = fit()
    assert short["cosine"] == 3.0349
    assert long["cosine"] == pytest.approx((2.9534 + 2.9552) / 2)
    assert long["constant"] == pytest.approx((3.1083 + 3.1121) / 2)
    assert long["cosine to 10 %"] == 2.9819
