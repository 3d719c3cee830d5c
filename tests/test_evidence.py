"""claim: what it prints, when it raises, and that its interval means what it says."""

import contextlib
import io

import numpy as np
import pytest
from scipy.stats import t

from lrlib.lab import ClaimError, Evidence, claim

VALUES = np.array([0.1, 0.3, 0.2, 0.4, 0.25])  # 95 % interval about [0.11, 0.39]


def interval(values, confidence=0.95):
    half = t.ppf(0.5 + confidence / 2, len(values) - 1) * np.std(values, ddof=1)
    half /= np.sqrt(len(values))
    return np.mean(values) - half, np.mean(values) + half


def test_it_prints_one_line_with_all_there_is_to_know(capsys):
    evidence = claim("A beats B", VALUES, above=0.05, unit=" nats")
    assert capsys.readouterr().out == (
        "Claim: A beats B | 0.25 nats [0.1112, 0.3888], 5 seeds | wanted > 0.05 nats | supported\n"
    )
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
    with pytest.raises(ClaimError, match=r"^Claim: x \| .*5 seeds \| wanted .* \| NOT SUPPORTED$"):
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
