"""claim and measure: what they show, when they raise, and that interval and power are right."""

import contextlib
import io
import json
import math
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from scipy.stats import t

from lrlib.lab.evidence import (
    MIMETYPE,
    ClaimError,
    Estimate,
    Evidence,
    Margin,
    claim,
    claims,
    half_interval,
    measure,
    student,
)

VALUES = np.array([0.1, 0.3, 0.2, 0.4, 0.25])  # 95 % interval about [0.11, 0.39]


@pytest.fixture(autouse=True)
def no_audit(monkeypatch):
    monkeypatch.delenv("LRLIB_AUDIT", raising=False)


def interval(values, confidence=0.95):
    half = t.ppf(0.5 + confidence / 2, len(values) - 1) * np.std(values, ddof=1)
    half /= np.sqrt(len(values))
    return np.mean(values) - half, np.mean(values) + half


def test_it_prints_one_line_with_all_there_is_to_know(capsys):
    evidence = claim("A beats B", VALUES, above=0.05, unit=" nats")
    assert capsys.readouterr().out == (
        "Claim: A beats B | 0.25 nats [0.11, 0.39], 5 seeds | wanted > 0.05 nats | "
        "1.4 half-widths from its bound (3 take 14 seeds) | supported\n"
    )
    claim("A beats B", VALUES, above=-0.25, unit="nats")
    assert "wanted > -0.25 nats | 3.6 half-widths from its bound | s" in capsys.readouterr().out
    assert isinstance(evidence, Evidence) and (evidence.seeds, evidence.verdict) == (5, "supported")
    assert (evidence.low, evidence.high) == pytest.approx(interval(VALUES), rel=1e-12)


def test_effects_that_are_not_of_seeds_say_so(capsys):
    claim("x", VALUES, above=0.05, of="problems")
    assert f"], {len(VALUES)} problems | " in capsys.readouterr().out
    for of in ("", "two words", 3):
        with pytest.raises(TypeError, match="claim: of must be one word"):
            claim("x", VALUES, above=0.05, of=of)


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.999])
def test_the_interval_is_students(confidence):
    evidence = claim("x", VALUES, above=-10, confidence=confidence)
    assert (evidence.low, evidence.high) == pytest.approx(interval(VALUES, confidence), rel=1e-12)


LOW, HIGH = interval(VALUES)
OUTCOMES = [
    ({"above": LOW - 0.001}, True),
    ({"above": LOW + 0.001}, False),
    ({"below": HIGH + 0.001}, True),
    ({"below": HIGH - 0.001}, False),
    ({"within": (LOW - 0.001, HIGH + 0.001)}, True),
    ({"within": (LOW + 0.001, 10)}, False),
    ({"within": (-10, HIGH - 0.001)}, False),
    ({"no_difference": HIGH + 0.001}, True),
    ({"no_difference": HIGH - 0.001}, False),
]


@pytest.mark.parametrize(("wanted", "supported"), OUTCOMES)
@pytest.mark.parametrize("scale", ["linear", "ratio"])
def test_the_whole_interval_has_to_support_the_claim(wanted, supported, scale, capsys):
    values = VALUES
    if scale == "ratio":
        values = np.exp(VALUES)
        wanted = {name: np.exp(bound).tolist() for name, bound in wanted.items()}
    if supported:
        claim("x", values, scale=scale, **wanted)
        assert capsys.readouterr().out.count("\n") == 1
        return
    with pytest.raises(
        ClaimError, match=r"^Claim: x \| .*5 seeds \| wanted .* half-widths .* \| NOT SUPPORTED$"
    ):
        claim("x", values, scale=scale, **wanted)
    assert capsys.readouterr().out == ""


def test_a_ratio_is_averaged_and_bounded_in_logarithms():
    evidence = claim("x", np.exp(VALUES), above=1, scale="ratio")
    assert evidence.effect == pytest.approx(np.exp(VALUES.mean()))
    assert (evidence.low, evidence.high) == pytest.approx(np.exp([LOW, HIGH]))
    inverse = claim("x", np.exp(-VALUES), below=1, scale="ratio")
    assert inverse.low == pytest.approx(1 / evidence.high)


def test_no_difference_tells_none_from_a_small_one():
    assert claim("x", VALUES - 0.25, no_difference=1).verdict == "no difference we can detect"
    small = claim("x", VALUES, no_difference=1)
    assert small.verdict == "a difference, smaller than the margin"
    ratio = claim("x", np.exp(VALUES - 0.25), no_difference=2, scale="ratio")
    assert ratio.verdict == "no difference we can detect"
    with pytest.raises(ClaimError, match=r"wanted within a factor 1\.2"):
        claim("x", np.exp(VALUES), no_difference=1.2, scale="ratio")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "wanted", [{"above": -9}, {"below": 9}, {"within": (-9, 9)}, {"no_difference": 9}]
)
def test_a_run_that_diverged_fails_every_claim(bad, wanted):
    with pytest.raises(ClaimError, match="NOT SUPPORTED"):
        claim("x", [0.1, 0.2, bad, 0.3], **wanted)
    with pytest.raises(ClaimError, match="NOT SUPPORTED"):
        claim("x", bad, **wanted)


def test_an_exact_result_has_no_interval(capsys):
    evidence = claim("2 is 2", 2.0, within=(1.9, 2.1))
    assert (evidence.low, evidence.effect, evidence.high, evidence.seeds) == (2, 2, 2, 0)
    assert "| 2, exact | wanted 1.9 to 2.1 | supported" in capsys.readouterr().out
    with pytest.raises(ClaimError):
        claim("2 is more than 2", 2.0, above=2.0)


@pytest.mark.filterwarnings("error", "ignore::ResourceWarning")
def test_seeds_that_all_agree_give_an_interval_of_no_width():
    evidence = claim("x", [0.3] * 4, above=0.2)
    assert (evidence.low, evidence.high, evidence.seeds) == (0.3, 0.3, 4)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng, covered = np.random.default_rng(0), 0
    with contextlib.redirect_stdout(io.StringIO()):
        for _ in range(600):
            evidence = claim("x", rng.normal(1, 2, size=6), within=(-99, 99), confidence=0.9)
            covered += evidence.low <= 1 <= evidence.high
    assert 0.86 < covered / 600 < 0.94


def test_student_and_half_interval_belong_together():
    assert student(5) == pytest.approx(2.7764451)
    assert student(16, 0.99) == pytest.approx(2.9467129)
    both = np.array([VALUES, 2 * VALUES])
    assert half_interval(both) == pytest.approx([HIGH - VALUES.mean(), 2 * (HIGH - VALUES.mean())])
    assert half_interval(VALUES, 0.9) == pytest.approx(
        student(5, 0.9) * np.std(VALUES, ddof=1) / 5**0.5
    )


# --- margins and estimates


def test_a_margin_gives_what_scale_and_unit_ask_for():
    margin = Margin(points=2.0, nats=0.5)
    around = VALUES - 0.25  # 0 ± 0.139
    points = claim("x", around, no_difference=margin, unit="points")
    assert (points.bounds, points.wanted) == ((-2, 2), "±2 points")
    nats = claim("x", around, no_difference=margin, unit="nats")
    assert (nats.bounds, nats.wanted) == ((-0.5, 0.5), "±0.5 nats")
    wide = Margin(points=2.0, ratio=1.25)
    ratio = claim("x", np.exp(around), no_difference=wide, scale="ratio")
    assert (ratio.bounds, ratio.wanted) == ((0.8, 1.25), "within a factor 1.25")
    with pytest.raises(ClaimError, match=r"wanted within a factor 1\.1 "):
        claim("x", np.exp(around), no_difference=margin, scale="ratio")


@pytest.mark.parametrize("unit", ["", "%", "nat", "steps"])
def test_a_margin_does_not_guess_the_unit(unit):
    with pytest.raises(ValueError, match=f"claim: unit must be 'points' or 'nats' .* got '{unit}'"):
        claim("x", VALUES, no_difference=Margin(points=2, nats=1), unit=unit)


def test_a_margin_that_is_not_there_is_not_made_up():
    with pytest.raises(ValueError, match="no_difference has no margin in nats, got Margin"):
        claim("x", VALUES, no_difference=Margin(points=2), unit="nats")
    with pytest.raises(ValueError, match="no_difference has no margin in points, got Margin"):
        claim("x", VALUES, no_difference=Margin(nats=2), unit="points")


BAD_MARGINS = [("points", 0), ("points", -1), ("points", "2"), ("nats", math.nan), ("nats", True)]
BAD_MARGINS += [("ratio", 1.0), ("ratio", 0.9), ("ratio", math.inf), ("ratio", None)]


@pytest.mark.parametrize(("name", "value"), BAD_MARGINS)
def test_a_bad_margin_is_refused(name, value):
    with pytest.raises((TypeError, ValueError), match=f"Margin: {name} must be .* got {value!r}"):
        Margin(**{name: value})


def test_an_estimate_brings_its_own_interval():
    estimate = Estimate(1.0, 0.8, 1.4, seeds=12)
    evidence = claim("x", estimate, above=0.5, unit="points")
    assert (evidence.effect, evidence.low, evidence.high) == (1.0, 0.8, 1.4)
    assert (evidence.seeds, evidence.scale, evidence.verdict) == (12, "linear", "supported")
    assert measure("x", estimate).measured == "1.00 [0.80, 1.40]"
    for wanted in ({"above": 0.8}, {"below": 1.4}, {"no_difference": 1.3}):
        with pytest.raises(ClaimError):
            claim("x", estimate, **wanted)


def test_an_estimate_brings_its_own_scale():
    ratio = Estimate(1.0, 0.9, 1.15, seeds=8, scale="ratio")
    for scale in ("linear", "ratio"):  # the default, or to say it again
        evidence = claim("x", ratio, no_difference=Margin(points=9, ratio=1.2), scale=scale)
        assert evidence.scale == "ratio"
        assert evidence.verdict == "no difference we can detect"
    with pytest.raises(
        ValueError, match="measure: scale must be that of the Estimate, got 'ratio'"
    ):
        measure("x", Estimate(1.0, 0.9, 1.1, 8), scale="ratio")
    with pytest.raises(ValueError, match=r"confidence must be 0\.95 with an Estimate, got 0\.9"):
        measure("x", ratio, confidence=0.9)


@pytest.mark.parametrize("ends", [(math.nan, 0, 1), (1, math.nan, 2), (1, 0, math.inf)])
def test_an_estimate_of_runs_that_diverged_fails_every_claim(ends):
    estimate = Estimate(*ends, seeds=5)
    with pytest.raises(ClaimError, match=r"x \| NaN, 5 seeds \| wanted > -9 \| NOT SUPPORTED$"):
        claim("x", estimate, above=-9)
    assert measure("x", estimate).measured == "NaN"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": 2}, "Estimate: seeds must be at least 3, got 2"),
        ({"seeds": 5.0}, r"Estimate: seeds must be an integer, got 5\.0"),
        ({"low": "0"}, "Estimate: low must be a number, got '0'"),
        ({"effect": None}, "Estimate: effect must be a number, got None"),
        ({"high": 0.9}, r"effect must lie between low and high, got 1, 0.5 and 0\.9"),
        ({"low": 1.5}, r"effect must lie between low and high, got 1, 1.5 and 2"),
        ({"scale": "log"}, "Estimate: scale must be one of linear, ratio, got 'log'"),
        ({"scale": "ratio", "low": -0.5}, r"low must be above 0 with .* got -0\.5"),
    ],
)
def test_a_bad_estimate_is_refused(change, message):
    good = {"effect": 1, "low": 0.5, "high": 2, "seeds": 8}
    Estimate(**good)
    with pytest.raises((TypeError, ValueError), match=message):
        Estimate(**(good | change))


@pytest.mark.parametrize("function", [lambda *a: claim(*a, above=-9), measure])
@pytest.mark.parametrize(
    "effect", [[1.0, 2.0], [1.0], [], [[1.0] * 3], None, "1", ["a"] * 3, [1, None, 2], [1j] * 3]
)
def test_what_cannot_be_evidence_is_refused(function, effect):
    owner = "measure" if function is measure else "claim"
    with pytest.raises((TypeError, ValueError), match=f"{owner}: effect must be ") as error:
        function("x", effect)
    assert repr(effect) in str(error.value)


MALFORMED = [("text", ""), ("text", " "), ("text", "two\nlines"), ("text", None), ("unit", None)]
MALFORMED += [("unit", 3), ("of", "two words"), ("confidence", 95), ("scale", "log")]


@pytest.mark.parametrize(("name", "value"), MALFORMED)
def test_measure_refuses_what_claim_refuses(name, value):
    arguments = {"text": "x", "effect": VALUES} | {name: value}
    for function, wanted in ((claim, {"above": -9}), (measure, {})):
        with pytest.raises((TypeError, ValueError)) as error:
            function(**arguments, **wanted)
        assert str(error.value).startswith(f"{function.__name__}: {name} must be ")
        assert repr(value) in str(error.value)


@pytest.mark.parametrize("bound", [0, -1])
@pytest.mark.parametrize("name", ["above", "below"])
def test_a_bound_that_every_ratio_clears_is_refused(name, bound):
    with pytest.raises(ValueError, match=f"claim: {name} must be greater than 0, got {bound}"):
        claim("x", np.exp(VALUES), **{name: bound}, scale="ratio")
    with pytest.raises(ValueError, match="claim: within must be greater than 0, got"):
        claim("x", np.exp(VALUES), within=(bound, 9), scale="ratio")


# --- power

E = math.e
POWERS = [  # by hand: the distance to the nearest bound over the half that faces it
    (Estimate(2.0, 1.5, 2.5, 9), {"above": 0.5}, 3.0),
    (Estimate(2.0, 1.5, 2.5, 9), {"above": 1.0}, 2.0),
    (Estimate(2.0, 1.5, 2.5, 9), {"below": 4.0}, 4.0),
    (Estimate(2.0, 1.5, 2.5, 9), {"within": (0.0, 3.0)}, 2.0),
    (Estimate(2.0, 1.5, 2.5, 9), {"within": (1.25, 9.0)}, 1.5),
    (Estimate(0.0, -0.5, 0.5, 9), {"no_difference": 2.0}, 4.0),
    (Estimate(-1.0, -1.5, -0.5, 9), {"no_difference": 2.0}, 2.0),
    (Estimate(1.0, 0.9, 1.5, 9), {"above": 0.0}, 10.0),  # the low half is the short one
    (Estimate(1.0, 0.9, 1.5, 9), {"below": 2.0}, 2.0),
    (Estimate(1.0, 0.9, 1.5, 9), {"within": (0.75, 3.0)}, 2.5),
    (Estimate(E, E**0.5, E**1.5, 9, "ratio"), {"above": 1.0}, 2.0),
    (Estimate(E, E**0.5, E**1.5, 9, "ratio"), {"below": E**4}, 6.0),
    (Estimate(1.0, 1 / E, E, 9, "ratio"), {"no_difference": E**3}, 3.0),
    (np.exp([0.5, 1.0, 1.5, 1.0]), {"above": 1.0}, 1 / (student(4) * (0.5 / 3) ** 0.5 / 2)),
    ([1.0, 2.0, 3.0], {"above": -10.0}, 12 / (4.3026527 / 3**0.5)),
    ([2.0, 2.0, 2.0], {"above": 0.0}, math.inf),
    (2.0, {"below": 3.0}, math.inf),
]


@pytest.mark.parametrize(("effect", "wanted", "power"), POWERS)
def test_power_is_half_widths_to_the_nearest_bound(effect, wanted, power):
    scale = "ratio" if isinstance(effect, np.ndarray) else "linear"
    assert claim("x", effect, **wanted, scale=scale).power == pytest.approx(power, rel=1e-7)


def test_a_claim_that_fails_has_the_power_to_show_for_it(monkeypatch):
    monkeypatch.setenv("LRLIB_AUDIT", "1")
    crossing = claim("x", Estimate(2.0, 1.0, 3.0, 9), above=1.5)
    assert (crossing.power, crossing.verdict) == (0.5, "NOT SUPPORTED")
    beyond = claim("x", Estimate(2.0, 1.0, 3.0, 9), above=4)
    assert (beyond.power, beyond.seeds_needed) == (-2.0, None)
    touching = claim("x", Estimate(2.0, 1.0, 3.0, 9), above=1.0)
    assert (touching.power, touching.verdict) == (1.0, "NOT SUPPORTED")
    on_the_bound = claim("x", 2.0, below=2.0)
    assert (on_the_bound.power, on_the_bound.verdict) == (-math.inf, "NOT SUPPORTED")
    diverged = claim("x", [1.0, math.nan, 1.0], above=0)
    assert math.isnan(diverged.power) and diverged.seeds_needed is None


finite = st.floats(-100, 100).map(lambda x: round(x, 3))


@given(finite, finite, st.floats(0.01, 5), st.floats(0.01, 5))
def test_a_claim_is_supported_exactly_where_its_power_exceeds_one(effect, bound, left, right):
    estimate = Estimate(effect, effect - left, effect + right, 9)
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        patch.setenv("LRLIB_AUDIT", "1")
        for wanted in ({"above": bound}, {"below": bound}, {"within": (bound, bound + 3)}):
            evidence = claim("x", estimate, **wanted)
            if abs(evidence.power - 1) > 1e-9:
                assert (evidence.verdict == "supported") == (evidence.power > 1)


@pytest.mark.parametrize("n", [3, 4, 8, 25])
@pytest.mark.parametrize("power", [0.05, 0.4, 1.1, 2.0, 2.99, 3.0, 3.01, 8.0, 60.0])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_seeds_needed_is_the_first_number_with_enough_power(n, power, confidence):
    values = np.random.default_rng(n).normal(size=n)
    values = (values - values.mean()) / values.std(ddof=1)  # mean 0, spread 1
    bound = -power * float(half_interval(values, confidence))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LRLIB_AUDIT", "1")
        evidence = claim("x", values, above=bound, confidence=confidence)
    assert evidence.power == pytest.approx(power)

    def power_with(seeds):  # the same estimate and spread, in data of `seeds` numbers
        return -bound / (t.ppf((1 + confidence) / 2, seeds - 1) / seeds**0.5)

    needed = evidence.seeds_needed
    assert power_with(needed) >= 3 * (1 - 1e-12)
    assert needed == 3 or power_with(needed - 1) < 3 * (1 + 1e-12)


def test_seeds_needed_with_data_of_that_many_seeds():
    few = claim("x", VALUES, above=0.05)  # five seeds, 1.4 half-widths
    shape = np.random.default_rng(1).normal(size=few.seeds_needed)
    shape = (shape - shape.mean()) / shape.std(ddof=1)
    more = VALUES.mean() + VALUES.std(ddof=1) * shape
    assert claim("x", more, above=0.05).power >= 3
    fewer = shape[:-1] - shape[:-1].mean()
    fewer = VALUES.mean() + VALUES.std(ddof=1) * fewer / fewer.std(ddof=1)
    assert claim("x", fewer, above=0.05).power < 3


def test_no_number_of_seeds_helps_where_there_is_nothing_to_gain():
    assert claim("x", 1.0, above=0).seeds_needed is None
    assert claim("x", [1.0, 1.0, 1.0], above=0).seeds_needed is None
    assert measure("x", VALUES).seeds_needed is None
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LRLIB_AUDIT", "1")
        hopeless = claim("x", Estimate(1e-9, -1, 1, 9), above=0)
    assert hopeless.seeds_needed is None


# --- the audit


@pytest.mark.parametrize(
    "wanted", [{"above": 9}, {"below": -9}, {"within": (8, 9)}, {"no_difference": 0.01}]
)
def test_an_audit_sees_a_claim_that_fails(wanted, monkeypatch, capsys):
    for off in ("", "0"):
        monkeypatch.setenv("LRLIB_AUDIT", off)
        with pytest.raises(ClaimError, match="NOT SUPPORTED"):
            claim("x", VALUES, **wanted)
    assert capsys.readouterr().out == ""
    monkeypatch.setenv("LRLIB_AUDIT", "1")
    evidence = claim("x", VALUES, **wanted)
    assert evidence.verdict == evidence.row()["verdict"] == "NOT SUPPORTED"
    assert capsys.readouterr().out.endswith("| NOT SUPPORTED\n")
    with pytest.raises(ValueError):  # what is malformed stays so
        claim("x", [1.0, 2.0], **wanted)


# --- how it is shown


def test_a_measurement_asserts_nothing(capsys):
    evidence = measure("the gap", VALUES, unit="nats")
    assert capsys.readouterr().out == "Measured: the gap | 0.25 nats [0.11, 0.39], 5 seeds\n"
    assert (evidence.kind, evidence.verdict) == ("measurement", "measured")
    assert (evidence.wanted, evidence.power, evidence.bounds) == (None, None, (-np.inf, np.inf))
    measure("exact", 0.5)
    measure("gone", [1.0, np.nan, 2.0])
    assert capsys.readouterr().out == (
        "Measured: exact | 0.5, exact\nMeasured: gone | NaN, 3 seeds\n"
    )


@pytest.mark.parametrize(
    ("ends", "scale", "shown"),
    [
        ((0.25, 0.1112, 0.3888), "linear", "0.25 [0.11, 0.39]"),
        ((1.0441, 1.0379, 1.0503), "linear", "1.0441 [1.0379, 1.0503]"),
        ((51.28, 38.98, 63.58), "linear", "51 [39, 64]"),
        ((-0.001, -0.31, 0.308), "linear", "0.00 [-0.31, 0.31]"),
        ((1250, 1130, 1370), "linear", "1250 [1130, 1370]"),
        ((2.4e-7, 1.9e-7, 2.9e-7), "linear", "2.40e-07 [1.90e-07, 2.90e-07]"),
        ((3.2e7, 3.0e7, 3.4e7), "linear", "3.20e+07 [3.00e+07, 3.40e+07]"),
        ((1 + 1e-9, 1, 1 + 2e-9), "linear", "1.00000 [1.00000, 1.00000]"),
        ((1.137, 1.088, 1.188), "ratio", "1.137 [1.088, 1.188]"),
        ((0.01, 0.0001, 1.0), "ratio", "0.01 [0.0001, 1]"),
    ],
)
def test_effect_and_interval_have_the_decimals_that_the_interval_warrants(ends, scale, shown):
    assert measure("x", Estimate(*ends, 5, scale)).measured == shown


@pytest.mark.parametrize(
    ("unit", "shown"), [("points", "2 points"), (" points", "2 points"), ("%", "2%"), ("×", "2×")]
)
def test_a_unit_stands_as_it_should(unit, shown):
    evidence = claim("x", 2.0, above=1, unit=unit)
    assert evidence.measured == shown and evidence.wanted == f"> {shown.replace('2', '1')}"


def rows():
    with contextlib.redirect_stdout(io.StringIO()):
        return [
            claim("A <b>beats</b> B & C", VALUES, above=0.05, unit="nats"),
            measure("the gap", [1.0, np.nan, 2.0], of="problems"),
            claim("two is two", 2.0, within=(1.9, 2.1)),
        ]


TABLE = """\
what                  measured [95 % interval]  seeds       wanted       half-widths  verdict
A <b>beats</b> B & C  0.25 nats [0.11, 0.39]    5           > 0.05 nats  1.4          supported
the gap               NaN                       3 problems  –            –            measured
two is two            2                         exact       1.9 to 2.1   –            supported
"""


def test_claims_prints_one_table(capsys):
    assert claims(rows()) is None
    assert capsys.readouterr().out == TABLE


def test_a_table_of_several_confidences_says_which(capsys):
    claims([measure("a", VALUES, confidence=0.9), measure("b", VALUES), measure("c", 1.0)])
    header, a, b, c = capsys.readouterr().out.splitlines()[-4:]
    assert "measured [interval]" in header
    assert "] (90 %)" in a and "] (95 %)" in b and "%" not in c


def test_power_is_not_rounded_up_to_what_would_be_enough():
    almost = claim("x", Estimate(2.99, 1.99, 3.99, 9), above=0)
    assert "| 2.9 half-widths from its bound" in almost.line


@pytest.mark.parametrize("bad", [None, 3, "x", {}, (row for row in [])])
def test_claims_takes_a_list(bad):
    with pytest.raises(TypeError, match="claims: evidence must be a list of Evidence, got"):
        claims(bad)
    with pytest.raises(TypeError, match="claims: evidence must hold what claim and measure return"):
        claims([*rows(), bad])
    with pytest.raises(TypeError, match="claims: evidence must be a list of Evidence"):
        claims(rows()[0])


@pytest.mark.parametrize("empty", [[], ()])
def test_claims_needs_something_to_show(empty):
    with pytest.raises(ValueError, match="claims: evidence must not be empty"):
        claims(empty)


KEYS = "kind text measured effect low high n of unit scale confidence wanted bounds power".split()
KEYS += ["seeds_needed", "verdict"]


def test_the_row_survives_json():
    a, gap, exact = (json.loads(json.dumps(row.row(), allow_nan=False)) for row in rows())
    assert list(a) == list(gap) == list(exact) == KEYS
    assert a == {
        "kind": "claim",
        "text": "A <b>beats</b> B & C",
        "measured": "0.25 nats [0.11, 0.39]",
        "effect": pytest.approx(0.25),
        "low": pytest.approx(LOW, rel=1e-9),
        "high": pytest.approx(HIGH, rel=1e-9),
        "n": 5,
        "of": "seeds",
        "unit": "nats",
        "scale": "linear",
        "confidence": 0.95,
        "wanted": "> 0.05 nats",
        "bounds": [0.05, None],
        "power": pytest.approx(0.2 / (HIGH - 0.25), rel=1e-9),
        "seeds_needed": 14,
        "verdict": "supported",
    }
    assert [gap[key] for key in ("effect", "low", "high", "power", "wanted")] == [None] * 5
    assert (gap["n"], gap["of"], gap["bounds"]) == (3, "problems", [None, None])
    assert (exact["n"], exact["power"], exact["seeds_needed"]) == (0, None, None)
    assert (exact["effect"], exact["low"], exact["high"]) == (2, 2, 2)


class Cells(HTMLParser):
    """The rows of an HTML table as lists of text, and whatever tags there were."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.tags, self.styles = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.styles += dict(attributes).get("style", "")
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data):
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip("\n")


def test_the_html_says_what_the_text_says():
    shown = rows()
    shown[2] = replace(shown[2], verdict="NOT SUPPORTED")
    cells = Cells(shown[0]._repr_mimebundle_()["text/html"])
    assert cells.rows[1][0] == "A <b>beats</b> B & C"
    assert "b" not in cells.tags  # the text is text
    assert cells.rows[0][1] == "measured [95 % interval]"
    assert cells.rows[1][1:] == ["0.25 nats [0.11, 0.39]", "5", "> 0.05 nats", "1.4", "supported"]
    assert "color" not in cells.styles and "background" not in cells.styles  # the page's own
    assert Cells(shown[2]._repr_mimebundle_()["text/html"]).tags.count("strong") == 1


@pytest.fixture
def notebook():
    """An IPython shell, as a kernel has one; what it displays is captured."""
    shell = InteractiveShell.instance()
    yield shell
    InteractiveShell.clear_instance()
    assert sys.modules["IPython"].get_ipython() is None


def test_in_a_notebook_evidence_shows_itself_and_nothing_is_printed(notebook, capsys):
    evidence = claim("A", VALUES, above=0.05)
    measured = measure("B", VALUES)
    assert capsys.readouterr().out == ""
    for shown in (evidence, measured):
        data, _ = notebook.display_formatter.format(shown)
        assert data["text/plain"] == shown.line
        assert data[MIMETYPE] == {"rows": [shown.row()]}
        assert "<table" in data["text/html"]


def test_in_a_notebook_claims_displays_one_table(notebook):
    shown = rows()
    with capture_output() as captured:
        assert claims(shown) is None
    (output,) = captured.outputs
    assert captured.stdout == ""
    assert output.data["text/plain"] == TABLE.rstrip("\n")
    assert output.data[MIMETYPE] == {"rows": [row.row() for row in shown]}
    html = Cells(output.data["text/html"]).rows
    plain = [line.split("  ") for line in TABLE.splitlines()]
    assert html == [[cell.strip() for cell in line if cell.strip()] for line in plain]


def test_ipython_is_not_imported_to_print():
    code = (
        "import sys; from lrlib.lab.evidence import claim, claims, measure; "
        "claims([claim('x', 1.0, above=0), measure('y', [1.0, 2.0, 3.0])]); "
        "assert 'IPython' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 5
