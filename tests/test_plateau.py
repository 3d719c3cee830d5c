"""The plateau rule beside torch's, and its error rates against simulation and closed forms."""

import json
import math
import pickle
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lrlib import PlateauRule, false_drop_probability, patience_needed, plateau_delay
from lrlib.plateau import first_drop_probabilities

FACTORS, THRESHOLDS = st.floats(0.01, 0.99), st.just(0.0) | st.floats(0, 0.5)
# Ties and near ties are as likely as large steps; infinity is a loss that has blown up.
LEVELS = st.integers(0, 8).map(lambda i: i / 4)
METRICS = st.lists(LEVELS | st.floats(0, 10), min_size=1, max_size=40)


@st.composite
def settings_of_a_rule(draw):
    return {
        "mode": draw(st.sampled_from(("min", "max"))),
        "factor": draw(FACTORS),
        "patience": draw(st.integers(0, 5)),
        "threshold": draw(THRESHOLDS),
        "threshold_mode": draw(st.sampled_from(("rel", "abs"))),
        "cooldown": draw(st.integers(0, 4)),
    }


def sgd(lr=1.0):
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)


def torchs(eps=0.0, **arguments):
    """Torch's rule, and what its rate is now."""
    optimizer = sgd()
    rule = ReduceLROnPlateau(optimizer, eps=eps, **arguments)
    return rule, lambda: optimizer.param_groups[0]["lr"]


@settings(max_examples=1000)
@given(settings_of_a_rule(), METRICS, st.sets(st.integers(0, 39), max_size=3), st.floats(0, 1))
def test_it_equals_torch(arguments, metrics, blown_up, least):
    """Metrics of at least 0, and infinity on the bad side: where torch's rule has no fault."""
    theirs, rate = torchs(min_lr=least, **arguments)
    ours = PlateauRule(min_factor=least, **arguments)
    for i, metric in enumerate(metrics):
        if i in blown_up:
            metric = math.inf if arguments["mode"] == "min" else -math.inf
        before = rate()
        theirs.step(metric)
        assert ours.observe(metric) == (rate() < before)
        assert ours.level == pytest.approx(rate(), rel=1e-12)
        assert (ours.bad, ours.cooldown_left) == (theirs.num_bad_epochs, theirs.cooldown_counter)
        assert ours.best == (theirs.best if math.isfinite(theirs.best) else None)


@settings(max_examples=300)
@given(settings_of_a_rule(), METRICS)
def test_absolute_thresholds_equal_torchs_for_metrics_below_0_too(arguments, metrics):
    arguments["threshold_mode"] = "abs"
    theirs, rate = torchs(**arguments)
    ours = PlateauRule(**arguments)
    for metric in metrics:
        theirs.step(metric - 5)
        ours.observe(metric - 5)
        assert ours.level == pytest.approx(rate(), rel=1e-12) and ours.best == theirs.best


@given(settings_of_a_rule(), METRICS)
def test_falling_and_rising_metrics_are_mirror_images(arguments, metrics):
    """What torch's relative threshold breaks: -m under "max" is m under "min"."""
    other = {"min": "max", "max": "min"}[arguments["mode"]]
    rule, mirrored = PlateauRule(**arguments), PlateauRule(**{**arguments, "mode": other})
    for metric in metrics:
        assert rule.observe(metric - 1) == mirrored.observe(1 - metric)
        assert (rule.level, rule.bad) == (mirrored.level, mirrored.bad)


@given(settings_of_a_rule(), METRICS, st.integers(0, 40))
def test_it_resumes_anywhere(arguments, metrics, k):
    whole, first = PlateauRule(**arguments), PlateauRule(**arguments)
    for metric in metrics[:k]:
        first.observe(metric)
    resumed = PlateauRule(**arguments)
    resumed.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert resumed == first == pickle.loads(pickle.dumps(first))
    drops = [whole.observe(metric) for metric in metrics]
    assert [resumed.observe(metric) for metric in metrics[k:]] == drops[k:]
    assert resumed == whole


@given(settings_of_a_rule(), METRICS, st.integers(0, 40))
def test_it_goes_on_from_torchs_state(arguments, metrics, k):
    theirs, rate = torchs(**arguments)
    ours = PlateauRule(**arguments)
    for metric in metrics[:k]:
        theirs.step(metric)
    there = rate()
    ours.load_state_dict(theirs.state_dict())
    for metric in metrics[k:]:
        theirs.step(metric)
        ours.observe(metric)
    assert ours.level == pytest.approx(rate() / there, rel=1e-9)


def test_new_arguments_hold_and_what_was_seen_stays():
    old = PlateauRule(patience=0, factor=0.1, cooldown=3)
    assert [old.observe(metric) for metric in (1.0, 1.0)] == [False, True]
    new = PlateauRule(patience=1, factor=0.5)
    new.load_state_dict(old.state_dict())
    assert (new.level, new.cooldown_left, new.best, new.patience) == (0.1, 3, 1.0, 1)
    assert [new.observe(1.0) for _ in range(5)] == [False] * 4 + [True] and new.level == 0.05
    other = PlateauRule(mode="max", min_factor=0.2)
    other.load_state_dict(new.state_dict())
    assert (other.best, other.bad, other.level, other.drops) == (None, 0, 0.2, 2)
    # Torch: those of the old run come back over those just given.
    theirs, _ = torchs(patience=20, factor=0.5)
    theirs.load_state_dict(torchs(patience=2, factor=0.1)[0].state_dict())
    assert (theirs.patience, theirs.factor) == (2, 0.1)


# The faults of torch's rule.


def test_losses_below_0():
    """Torch never sees that a loss of -100, -99.995, … gets worse and worse."""
    worse = np.linspace(-100, -90, 2000).tolist()
    theirs, rate = torchs()
    ours = PlateauRule()
    for metric in worse:
        theirs.step(metric)
        ours.observe(metric)
    assert rate() == 1.0 and theirs.best == -90
    assert ours.level < 1e-100 and ours.best == -100


@pytest.mark.parametrize("nothing", [math.nan, None, torch.tensor(math.nan), -math.inf])
def test_what_is_no_evaluation_changes_nothing(nothing):
    rule = PlateauRule(patience=1, cooldown=2)
    for metric in (1.0, 2.0, 2.0, 0.5):  # in the cooldown
        rule.observe(metric)
    before = rule.state_dict()
    assert [rule.observe(nothing) for _ in range(20)] == [False] * 20
    assert rule.state_dict() == before and rule.cooldown_left == 1 and rule.level == 0.1


def test_torch_counts_nan_and_can_never_beat_infinity():
    theirs, rate = torchs(patience=1)
    for metric in (1.0, math.nan, math.nan):
        theirs.step(metric)
    assert rate() == 0.1
    theirs, rate = torchs(patience=1)
    for metric in (1.0, -math.inf, 0.9, 0.8):  # steady progress, but for a glitch
        theirs.step(metric)
    assert rate() == 0.1
    ours = PlateauRule(patience=1)
    assert not any(ours.observe(metric) for metric in (1.0, -math.inf, 0.9, 0.8))
    assert PlateauRule(mode="max").observe(math.inf) is False


def test_there_is_no_least_rate_below_which_nothing_falls():
    optimizer = sgd(5e-9)
    theirs = ReduceLROnPlateau(optimizer, patience=0)
    ours = PlateauRule(patience=0)
    for metric in (1.0, 1.0):
        theirs.step(metric)
        ours.observe(metric)
    assert optimizer.param_groups[0]["lr"] == 5e-9 and ours.level == 0.1


def test_levels_end_at_the_floor_and_never_at_0():
    rule = PlateauRule(patience=0, factor=0.1, min_factor=0.03)
    assert [rule.observe(1.0) for _ in range(5)] == [False, True, True, False, False]
    assert (rule.level, rule.drops) == (0.03, 2)
    endless = PlateauRule(patience=0)
    for _ in range(500):
        endless.observe(1.0)
    assert endless.level > 0 and endless.drops < 400


@pytest.mark.parametrize("metric", [1, np.float32(1), np.array(1.0), torch.tensor(1.0), 1.0])
def test_metrics_of_all_kinds(metric):
    rule = PlateauRule()
    rule.observe(metric)
    assert rule.best == 1.0 and type(rule.best) is float


# How often it errs.


def simulated(patience, slope, evaluations, threshold, runs=4000, seed=0):
    """The share of runs that have dropped by each evaluation."""
    rng = np.random.default_rng(seed)
    best, bad = np.full(runs, np.inf), np.zeros(runs, int)
    dropped, share = np.zeros(runs, bool), np.zeros(evaluations)
    for t in range(evaluations):
        metric = rng.normal(size=runs) - slope * t
        better = metric < best - threshold
        best, bad = np.where(better, metric, best), np.where(better, 0, bad + 1)
        dropped |= bad > patience
        share[t] = dropped.mean()
    return share


@pytest.mark.parametrize(
    ("patience", "slope", "threshold"),
    [
        *((0, 1.0, 0.0), (2, 1.0, 0.5), (5, 0.5, 0.0), (10, 0.3, 0.0), (10, 0.3, 0.3)),
        *((20, 0.1, 0.0), (50, 0.03, 0.0), (100, 0.01, 0.0), (5, 0.0, 0.0), (5, 0.0, 0.2)),
        *((1, 4.0, 1.5), (1, 6.0, 6.0)),
    ],
)
def test_the_probabilities_are_those_of_simulated_runs(patience, slope, threshold):
    exact = first_drop_probabilities(patience, slope, 300, threshold).cumsum().clip(0, 1)
    found = simulated(patience, slope, 300, threshold)
    deviation = np.sqrt(exact * (1 - exact) / 4000) + 1e-4
    # At each time within four standard errors, and on the whole within what 300 tell.
    assert np.abs(found - exact).max() <= 4 * deviation.max()
    assert abs(found[-1] - exact[-1]) <= 4 * deviation[-1]


def test_the_rule_itself_drops_as_often():
    rng, hits = np.random.default_rng(1), 0
    for _ in range(1000):
        rule = PlateauRule(patience=5, threshold=0.0)
        metrics = rng.normal(size=60) - 0.4 * np.arange(60)
        hits += any([rule.observe(metric) for metric in metrics.tolist()])
    exact = false_drop_probability(5, 0.4, 60)
    assert abs(hits / 1000 - exact) <= 4 * math.sqrt(exact * (1 - exact) / 1000)


@pytest.mark.parametrize("patience", [0, 1, 3, 10, 40])
def test_on_a_plateau_a_record_comes_with_probability_1_in_k(patience):
    """Without slope or threshold all is combinatorics: records are independent (Rényi)."""
    bad, expected = np.zeros(patience + 1), np.zeros(200)
    bad[0] = 1.0
    for k in range(2, 201):
        expected[k - 1] = bad[-1] * (1 - 1 / k)
        bad = np.append(bad.sum() / k, bad[:-1] * (1 - 1 / k))
    found = first_drop_probabilities(patience, 0.0, 200)
    assert np.abs(found - expected).max() <= 1e-12
    mean = (np.arange(200) * expected).sum() + 200 * (1 - expected.sum())
    if patience <= 10:
        assert plateau_delay(patience) == pytest.approx(mean, rel=1e-3)


@pytest.mark.parametrize("slope", [0.0, 0.01, 0.3, 2.0, 7.0])
@pytest.mark.parametrize("threshold", [0.0, 0.4, 3.0])
def test_the_first_comparison_is_one_normal_integral(slope, threshold):
    """Two evaluations, no patience: m[1] - m[0] is normal of mean -slope and variance 2."""
    expected = math.erfc((slope - threshold) / 2) / 2
    assert false_drop_probability(0, slope, 2, threshold) == pytest.approx(expected, abs=1e-11)


# Of 300 evaluations, without a threshold: the chapter's table, to ten digits.
TABLE = {
    2: (0.8354784695, 1.0000000000, 1.0000000000, 1.0000000000, 1.0000000000),
    5: (0.0000898421, 0.9971900700, 1.0000000000, 1.0000000000, 1.0000000000),
    10: (0.0000000000, 0.0858515544, 0.9998298295, 1.0000000000, 1.0000000000),
    20: (0.0000000000, 0.0000001602, 0.3819724316, 0.9998764640, 0.9999999997),
    50: (0.0000000000, 0.0000000000, 0.0000016117, 0.3320594987, 0.9702482909),
    100: (0.0000000000, 0.0000000000, 0.0000000000, 0.0012337691, 0.3357697483),
}


@pytest.mark.parametrize("patience", TABLE)
def test_the_table_of_false_drops(patience):
    found = [false_drop_probability(patience, slope, 300) for slope in (1, 0.3, 0.1, 0.03, 0.01)]
    assert found == pytest.approx(TABLE[patience], abs=1e-9)


def test_more_patience_or_slope_drops_less():
    by_patience = [false_drop_probability(patience, 0.1, 200) for patience in range(0, 60, 6)]
    by_slope = [false_drop_probability(10, slope, 200) for slope in (0, 0.1, 0.2, 0.4, 0.8)]
    by_threshold = [false_drop_probability(10, 0.3, 200, threshold) for threshold in (2, 1, 0.3, 0)]
    for chances in (by_patience, by_slope, by_threshold):
        assert all(a >= b - 1e-12 for a, b in pairwise(chances))
        assert 0 <= min(chances) < max(chances) <= 1 + 1e-12


@pytest.mark.parametrize(("slope", "needed"), [(1.0, 4), (0.3, 11), (0.1, 27), (0.03, 70)])
def test_the_patience_needed_is_the_least(slope, needed):
    assert patience_needed(slope, 300) == needed
    assert false_drop_probability(needed, slope, 300) <= 0.05
    assert false_drop_probability(needed - 1, slope, 300) > 0.05
    assert patience_needed(50.0, 5) == 0


def test_the_patience_needed_is_found_wherever_it_lies():
    for slope in (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 4.5):
        needed = patience_needed(slope, 30, threshold=0.1)
        every = (false_drop_probability(patience, slope, 30, 0.1) <= 0.05 for patience in range(31))
        assert needed == list(every).index(True), slope


@pytest.mark.parametrize(("patience", "seen"), [(10, 1), (10, 10), (10, 100), (3, 5), (0, 1)])
def test_the_delay_on_a_plateau_is_that_of_simulated_ones(patience, seen):
    rng, runs = np.random.default_rng(2), 4000
    # The best of `seen` uniform numbers, without drawing them; the noise's shape does not matter.
    best = 1 - rng.uniform(size=runs) ** (1 / seen)
    bad, delay, on = np.zeros(runs, int), np.zeros(runs), np.ones(runs, bool)
    while on.any():
        metric = rng.uniform(size=runs)
        delay += on
        better = metric < best
        best, bad = np.where(better, metric, best), np.where(better, 0, bad + 1)
        on &= bad <= patience
    error = delay.std() / math.sqrt(runs)
    assert abs(delay.mean() - plateau_delay(patience, seen)) <= 4 * error + 1e-12
