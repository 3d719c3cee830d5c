"""The defaults of the textbooks: what is recorded of them, and the rows made of it."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lrlib import Constant, PolynomialDecay, Warmup
from lrlib.lab import RECORDINGS, Results, defaults, recorded
from lrlib.lab.defaults import Default, fine_tuned, spread_between_seeds
from lrlib.lab.intervals import Estimate
from lrlib.lab.recorded_streams import FINE_TUNING

FOLDER = Path(__file__).resolve().parent.parent / "data" / "recorded"
NAMES = ("convnet_warmup", "vit", "language_warmup", "fine_tuning_constant", "ppo")
MADE = [name for name in NAMES if (FOLDER / f"{name}.json").exists()]
BESIDE = {
    "convnet_warmup": "convnet",
    "fine_tuning_constant": "fine_tuning",
}


# --- what is trained


@pytest.mark.parametrize("name", BESIDE)
def test_it_differs_from_the_recording_beside_it_in_its_shapes_alone(name):
    ours, theirs = RECORDINGS[name].configuration(), RECORDINGS[BESIDE[name]].configuration()
    assert ours.keys() == theirs.keys()
    differing = {key for key in ours if ours[key] != theirs[key]}
    assert differing <= {"shapes", "peaks", "seeds"}
    assert set(ours["seeds"]) <= set(theirs["seeds"])
    # Grids of one length, so that the two can be joined.
    lengths = {len(grid) for made in (ours, theirs) for grid in made["peaks"].values()}
    assert len(lengths) == 1


@pytest.mark.parametrize(
    ("name", "shape", "rise"),
    [
        ("convnet_warmup", "warm-up, cosine", 56),  # five of ninety epochs
        ("vit", "warm-up, cosine", 28),
        ("vit", "warm-up, linear", 28),
        ("vit", "cosine", 0),
        ("language_warmup", "warm-up 2 %, cosine", 10),
        ("language_warmup", "cosine", 0),
        ("ppo", "linear", 0),
    ],
)
def test_shapes_rise_as_long_as_said_and_fall_to_zero(name, shape, rise):
    made = RECORDINGS[name]
    factors = made.shapes[shape].sample(made.steps + 1)
    assert factors[:rise] == pytest.approx(np.arange(1, rise + 1) / (rise + 1))
    assert factors[rise] == 1 and (np.diff(factors[rise:]) < 0).all()
    assert factors[-1] == pytest.approx(0, abs=1e-12)


def test_a_second_run_at_a_constant_rate_begins_where_the_line_ends():
    made, lines = RECORDINGS["fine_tuning_constant"], RECORDINGS["fine_tuning"]
    (peak,) = made.peaks["held 0.008"]
    ours = peak * made.shapes["held 0.008"].sample(1000)
    theirs = lines.peaks["line 0.008"][0] * lines.shapes["line 0.008"].sample(1000)
    assert ours[:811] == pytest.approx(theirs[:811])  # the first run, and the second's warm-up
    assert ours[810:] == pytest.approx(0.008) and theirs[-1] < 0.0001
    first = Warmup(40, start_factor=1 / 41).then(PolynomialDecay(760))
    assert ours[:800] == pytest.approx(peak * first.sample(800))


def test_the_pole_is_recorded_with_the_numbers_of_its_settings():
    made = RECORDINGS["ppo"]
    ppo = made.made_task()
    assert made.steps == ppo.updates == 800 and made.evaluations == ppo.evaluations
    assert made.batch_size * ppo.minibatches == ppo.environments * ppo.horizon
    assert list(made.shapes) == ["constant", "linear", "cosine", "WSD 20 %"]
    cooled = made.shapes["WSD 20 %"].sample(801)
    assert (cooled[:641] == 1).all() and cooled[720] == 0.5 and cooled[-1] == 0
    assert made.shapes["constant"] == Constant()


# --- what is kept


@pytest.mark.parametrize("name", MADE)
@pytest.mark.filterwarnings("error::lrlib.lab.StaleRecording")
def test_a_recording_is_complete_not_stale_and_its_best_peaks_lie_inside(name):
    result, made = recorded(name), RECORDINGS[name]
    shape = len(made.shapes), len(next(iter(made.peaks.values()))), made.seeds
    values = {"ppo": ("return", "shortfall")}.get(name, ("loss", "error"))
    metrics = {f"{split}_{value}" for split in ("val", "test") for value in values}
    assert result.metrics.keys() == metrics
    assert all(kept.shape == (*shape, made.evaluations) for kept in result.metrics.values())
    assert result.train_loss.shape == (*shape, 50)
    assert result.first_losses.shape == (*shape, 32 if name == "ppo" else 100)
    if name != "fine_tuning_constant":
        by = {"ppo": "val_shortfall", "language_warmup": "val_loss"}.get(name, "val_error")
        result.best_peaks(by)  # raises at the edge of a grid
    if name == "ppo":
        assert (result.metrics["test_return"] <= 500).all()


@pytest.mark.skipif(len(MADE) < len(NAMES), reason="not all are recorded")
@pytest.mark.filterwarnings("error::lrlib.lab.StaleRecording")
def test_every_kind_of_default_has_its_rows():
    rows = defaults()
    kinds = [row.kind for row in rows]
    assert set(kinds) == {"vision", "language", "fine-tuning", "reinforcement learning"}
    assert len({(row.kind, row.default, row.rival, row.run) for row in rows}) == len(rows)
    for row in rows:
        assert np.isfinite([row.effect.low, row.effect.high]).all() and row.margin > 0
        assert row.verdict and row.effect.seeds >= 4
    points = next(row for row in rows if row.rival == "cosine" and row.unit == "points")
    joined = recorded("convnet").joined(recorded("convnet_warmup"))
    assert points.effect == joined.compare("warm-up, cosine", "cosine")


@pytest.mark.skipif("fine_tuning_constant" not in MADE, reason="not recorded")
def test_second_runs_are_put_beside_each_other():
    found = fine_tuned()
    lines, held = recorded("fine_tuning"), recorded("fine_tuning_constant")
    assert found.schedules == ("linear", "constant")
    assert found.peaks[0].tolist() == found.peaks[1].tolist() == [0.004, 0.008, 0.016, 0.032, 0.064]
    i, j = lines.schedules.index("line 0.016"), held.schedules.index("held 0.032")
    assert np.array_equal(found.metrics["val_loss"][0, 2], lines.metrics["val_loss"][i, 0])
    assert np.array_equal(found.metrics["test_error"][1, 3], held.metrics["test_error"][j, 0])


# --- the rows


def test_every_row_compares_what_it_says(monkeypatch):
    """With made-up recordings, in which the runs of each schedule end higher than the last's."""

    def made_up(name):
        made = RECORDINGS[name]
        peaks, values = len(next(iter(made.peaks.values()))), "return shortfall loss error".split()
        noise = np.random.default_rng(len(name)).normal(size=(made.seeds, made.evaluations))
        ends = np.array([HEIGHTS[name_of] for name_of in made.shapes], float)
        bowl = (np.arange(peaks) - peaks // 2) ** 2  # the best peak is the middle one
        ends = ends[:, None, None, None] + bowl[:, None, None] + 0.001 * noise
        if name.startswith("fine_tuning"):  # whose rates are in the names
            rates = np.array([float(name_of.split()[1]) for name_of in made.shapes])
            ends = ends + (np.log2(rates / 0.016) ** 2)[:, None, None, None]
        metrics = {f"{split}_{value}": ends for split in ("val", "test") for value in values}
        grids = np.array(list(made.peaks.values()))
        seeds = tuple(range(made.seeds))
        return Results(tuple(made.shapes), grids, seeds, np.array(made.eval_steps), metrics)

    monkeypatch.setattr(sys.modules["lrlib.lab.defaults"], "recorded", made_up)
    found = {(row.kind, row.default, row.rival, row.run.split()[0]): row for row in defaults()}
    assert len(found) == 15
    for (kind, default, rival, _), row in found.items():
        wanted = HEIGHTS[SHORT.get(default, default)] - HEIGHTS[SHORT.get(rival, rival)]
        if default.startswith("linear from"):
            wanted = 4.0  # two factors of two below the best
        scale = 100 if kind == "vision" else 1
        assert row.effect.effect == pytest.approx(scale * wanted, abs=0.005 * scale)
        assert row.effect.low <= row.effect.effect <= row.effect.high


HEIGHTS = {
    **{"constant": 1, "linear": 2, "cosine": 4, "warm-up, linear": 8, "warm-up, cosine": 16},
    **{"warm-up 2 %, cosine": 32, "warm-up 2 %, constant": 64, "WSD 20 %": 128},
    **dict.fromkeys([f"held {rate:g}" for rate in FINE_TUNING], 256),
    **dict.fromkeys([f"line {rate:g}" for rate in FINE_TUNING], 512),
    **dict.fromkeys([f"constant {rate:g}" for rate in FINE_TUNING], 0),
    **dict.fromkeys([f"cooldown {rate:g}" for rate in FINE_TUNING], 0),
    **dict.fromkeys(RECORDINGS["transformer"].shapes, 0),
    **{"constant": 1, "cosine": 4, "linear": 2},
}
SHORT = {
    **{"warm-up 5 %, cosine": "cosine", "warm-up 5 %, constant": "constant"},
    **{f"linear, {where} language": "line 0.004" for where in ("new", "old")},
    **{f"constant, {where} language": "held 0.004" for where in ("new", "old")},
    **{f"linear from 0.004, {where} language": "line 0.004" for where in ("new", "old")},
    **{f"linear from the tuned rate, {where} language": "line 0.004" for where in ("new", "old")},
}


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-3, -1.5, "better, by more than matters"),
        (-3, -0.5, "better"),
        (-0.9, -0.1, "better, by less than matters"),
        (-0.9, 0.9, "no difference we can detect"),
        (-0.9, 1.1, "not settled"),
        (0.1, 0.9, "worse, by less than matters"),
        (0.1, 1.2, "worse"),
        (1.1, 1.2, "worse, by more than matters"),
        (np.nan, np.nan, "a run diverged"),
    ],
)
def test_verdicts_are_by_the_whole_interval(low, high, verdict):
    row = Default("a", "b", "c", "d", Estimate((low + high) / 2, low, high, 5), "points", 1.0)
    assert row.verdict == verdict
    assert replace(row, margin=10.0).verdict == {
        "not settled": "no difference we can detect",
        "better": "better, by less than matters",
        "worse": "worse, by less than matters",
        "better, by more than matters": "better, by less than matters",
        "worse, by more than matters": "worse, by less than matters",
    }.get(verdict, verdict)


def test_the_spread_between_seeds_is_that_at_the_tuned_peak():
    rng = np.random.default_rng(0)
    values = np.stack([10 + rng.normal(size=8), rng.normal(size=8), 9 + rng.normal(size=8)])
    found = Results(("a",), np.array([[1.0, 2, 4]]), tuple(range(8)), np.array([5]), {})
    found.metrics.update({"test": values[None, ..., None], "val": values[None, ..., None]})
    spread = spread_between_seeds(found, "test", "val")
    assert spread == {"a": pytest.approx(values[1].std(ddof=1))}
