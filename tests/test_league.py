"""The league's tasks and tables: trained as they say, judged by numbers with known answers."""

import json
import pickle
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch.optim.swa_utils import AveragedModel

from lrlib import CosineAnnealing, PlateauRule, PolynomialDecay, ScheduledLR, growing_average
from lrlib.lab import batches, sweep
from lrlib.lab.league import (
    LEAGUES,
    TASKS,
    Cell,
    Entry,
    League,
    LeagueTask,
    Network,
    cells,
    play,
    seeds_apart,
    variance,
)
from lrlib.lab.league.apart import SeedsApart
from lrlib.lab.league.network import remembered
from lrlib.lab.league.variance import parts_of, seed_parts_of
from lrlib.lab.models import digits_task
from lrlib.lab.results import GridEdgeError, Results
from lrlib.recipes import RECIPES, Recipe


def network(**changed):
    settings = {"name": "digits", "margin": 1.0, "worst": 90.0, "steps": 50, "middle": 0.1}
    settings |= {"make": digits_task, "seeds": 3, "batch_size": 16, "data_files": ("digits.npz",)}
    return Network(**settings | changed)


@dataclass(frozen=True, kw_only=True, eq=False)
class Valley(LeagueTask):
    """A made-up task whose result is known: how far the peak is from the best one."""

    best: float = 1.0

    def train(self, recipe, peaks, seed):
        away = np.log2(np.array(peaks) / self.best) ** 2 + len(recipe.name)
        return {"val": away, "test": away + seed, "early": np.outer(away, [1.0, 2.0])}


def valley(**changed):
    settings = {"name": "a valley", "margin": 2.0, "worst": 99.0, "steps": 9, "middle": 1.0}
    return Valley(**settings | changed)


# --- a task


def test_its_grid_is_twelve_peaks_a_square_root_of_two_apart():
    task = valley(middle=0.5)
    line = task.grid(RECIPES["linear"])
    assert len(line) == 12 and np.prod(line) ** (1 / 12) == pytest.approx(0.5, rel=1e-3)
    assert np.divide(line[1:], line[:-1]) == pytest.approx(2**0.5, rel=1e-3)
    fixed = np.array(task.grid(RECIPES["fixed"]))
    assert fixed / line == pytest.approx(2**-1.5, rel=1e-3)
    moved = valley(middle=0.5, shifts={"fixed": 2}).grid(RECIPES["fixed"])
    assert np.divide(moved, line) == pytest.approx(2, rel=1e-3)
    assert task.grid(Recipe("mine", PolynomialDecay, "me")) == line


def test_its_shape_has_its_length_and_warm_up():
    task = valley(steps=100, warmup=10)
    assert task.shape(RECIPES["cosine"]) == RECIPES["cosine"](100, 10)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"name": ""}, TypeError, "Valley: name must be a text, got ''"),
        ({"margin": 0}, ValueError, "Valley: margin must be"),
        ({"worst": "x"}, TypeError, "Valley: worst must be"),
        ({"middle": -1}, ValueError, "Valley: middle must be"),
        ({"steps": 0}, ValueError, "Valley: steps must be"),
        ({"warmup": 9}, ValueError, "Valley: warmup must be below 9 steps, got 9"),
        ({"seeds": 2}, ValueError, "Valley: seeds must be"),
        ({"regime": "x"}, ValueError, "Valley: regime must be one of underfit, fitted, got 'x'"),
    ],
)
def test_a_bad_task_is_refused(changed, error, message):
    with pytest.raises(error, match=message):
        valley(**changed)


def test_what_a_run_is_belongs_to_its_configuration_and_nothing_else():
    task = network(settings={"label_noise": 0.1})
    found = task.configuration()
    assert found == json.loads(json.dumps(found))
    assert found["make"] == "digits_task" and found["settings"] == {"label_noise": 0.1}
    for same in (
        {"name": "b", "about": "b", "margin": 2.0, "worst": 1.0, "regime": "fitted"},
        {"middle": 3.0, "shifts": {"fixed": 3}, "seeds": 9, "seconds": 9.0, "only": ("fixed",)},
    ):
        assert replace(task, **same).configuration() == found
    for other in (
        {"steps": 60},
        {"warmup": 3},
        {"settings": {}},
        {"batch_size": 8},
        {"optimizer": "adamw"},
        {"together": False},
        {"metric": "test loss"},
    ):
        assert replace(task, **other).configuration() != found


# --- a network


def by_hand(task, shape, peak, seed, steps, size, average=False, rule=None, every=1):
    """A plain loop in torch: the error on the test set, in points."""
    data, model = task.data.draw(seed), task.model(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=peak, momentum=0.9)
    scheduler = ScheduledLR(optimizer, shape)
    mean = AveragedModel(model, avg_fn=growing_average())
    for t, rows in enumerate(batches(seed, len(data.train_x), steps, size), start=1):
        optimizer.zero_grad()
        task.loss(model(data.train_x[rows]), data.train_y[rows]).backward()
        optimizer.step()
        scheduler.step()
        mean.update_parameters(model)
        if rule is not None and t % every == 0:
            with torch.no_grad():
                rule.observe(float(task.loss(model(data.val_x), data.val_y)))
            for group in optimizer.param_groups:
                group["lr"] = peak * rule.level
    with torch.no_grad():
        outputs = (mean if average else model)(data.test_x)
    return 100 * float((outputs.argmax(-1) != data.test_y).float().mean())


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("name", ["linear", "average", "plateau"])
def test_it_trains_as_a_plain_loop_does(name, together):
    task, recipe = network(together=together), RECIPES[name]
    kept = task.train(recipe, [0.02, 0.05], 1)
    assert kept["val"].shape == kept["test"].shape == (2,)
    assert kept["first"].shape == (2, 3 if name == "plateau" else 10)
    for j, peak in enumerate((0.02, 0.05)):
        made = {"average": name == "average"}
        if name == "plateau":
            made = {"rule": PlateauRule(factor=0.3, patience=5), "every": 1}
        error = by_hand(digits_task(), recipe(50), peak, 1, 50, 16, **made)
        assert kept["test"][j] == pytest.approx(error, abs=0.26)  # one of 400 examples


def test_an_average_with_adamw_is_not_the_last_iterate():
    task = network(optimizer="adamw", middle=0.01)
    last = task.train(RECIPES["fixed"], [0.01], 1)
    mean = task.train(RECIPES["average"], [0.01], 1)
    assert np.array_equal(last["first"], mean["first"]) and np.array_equal(
        last["train"], mean["train"]
    )
    assert not np.array_equal(last["test"], mean["test"])


def test_a_loss_is_in_nats_and_an_error_in_points():
    errors = network().train(RECIPES["linear"], [0.05], 2)
    losses = network(metric="test loss", unit="nats").train(RECIPES["linear"], [0.05], 2)
    direct = sweep(digits_task(), {"a": PolynomialDecay(50)}, [0.05], [2], steps=50, batch_size=16)
    assert errors["test"] == pytest.approx(100 * direct.at("test_error")[0, 0], abs=0.26)
    assert losses["val"] == pytest.approx(direct.at("val_loss")[0, 0], rel=1e-3)
    late = direct.train_loss[0, 0, 0, -2:].mean()
    assert errors["train"] == pytest.approx(late, rel=1e-3)


def test_a_task_is_made_once_while_nothing_else_is_asked_for():
    calls = []

    def make():
        calls.append(1)
        return digits_task()

    task = network(make=make)
    same = replace(task, name="b")
    assert task.made(0) is task.made(1) is same.made(2) and len(calls) == 1
    for n in range(3):
        remembered(replace(task, steps=60 + n), None, digits_task)
    assert task.made(0) is not None and len(calls) == 2


def test_seeds_apart_share_data_and_weights_as_they_say():
    task = SeedsApart.of(network(), (2, 3, 2), ["linear"])
    assert task.seeds == 12 and task.only == ("linear",)
    grid = task.grid(RECIPES["linear"])
    assert grid == pytest.approx((0.025, 0.05, 0.1), rel=1e-3)
    tasks = [task.made(seed) for seed in range(12)]
    data = [t.data.draw(0).train_x for t in tasks]
    weights = [next(t.model(seed).parameters()) for seed, t in enumerate(tasks)]
    for a in range(12):
        for b in range(12):
            assert torch.equal(data[a], data[b]) == (a // 6 == b // 6)
            assert torch.equal(weights[a], weights[b]) == (a // 2 % 3 == b // 2 % 3)
    first = [task.train(RECIPES["linear"], [0.05], seed)["first"][0, 0] for seed in range(4)]
    assert len(set(first)) == 4  # the order of the batches is each seed's own
    with pytest.raises(ValueError, match="SeedsApart: design must make up the 12 seeds, got"):
        replace(task, design=(2, 2, 2))


# --- the book's


def test_the_book_has_at_least_ten_tasks_of_both_regimes_and_both_optimizers():
    assert len(TASKS) >= 10 and all(name == task.name for name, task in TASKS.items())
    assert {task.regime for task in TASKS.values()} == {"underfit", "fitted"}
    assert {getattr(task, "optimizer", "") for task in TASKS.values()} >= {"sgd", "adamw"}
    for task in TASKS.values():
        assert task.steps % 50 == 0 and task.about and task.worst > task.margin
        assert pickle.loads(pickle.dumps(task)).configuration() == task.configuration()


def test_every_unit_has_a_key_of_its_own():
    for tasks in LEAGUES.values():
        keys = [cell.key for cell in cells(tasks)]
        assert len(set(keys)) == len(keys)
    assert len(cells(TASKS)) == len(TASKS) * len(RECIPES)


def test_a_key_changes_with_what_decides_the_numbers_alone(monkeypatch):
    cell = Cell(network(), RECIPES["linear"])
    assert replace(cell, task=network(name="b", margin=2.0, seeds=9)).key == cell.key
    renamed = Recipe("straight", PolynomialDecay, "another source")
    assert replace(cell, recipe=renamed).key == cell.key
    others = [
        replace(cell, task=network(steps=60)),
        replace(cell, task=network(middle=0.2)),
        replace(cell, task=network(code=("lab/streams.py",))),
        replace(cell, task=network(data_files=())),
        replace(cell, recipe=RECIPES["cosine"]),
        replace(cell, recipe=replace(RECIPES["linear"], then="average")),
    ]
    assert len({cell.key, *(other.key for other in others)}) == 7
    code = Cell(TASKS["pole"], RECIPES["average"]).code()
    assert {"lab/control.py", "lab/league/control.py", "pretraining.py"} <= set(code)
    assert "lab/league/book.py" not in code and "recipes.py" not in code
    assert "plateau.py" in Cell(network(), RECIPES["plateau"]).code()
    assert "pretraining.py" in Cell(network(), RECIPES["WSD 20 %"]).code()


# --- played


def test_a_small_league_is_played_and_its_numbers_are_the_tasks_own():
    three = {name: RECIPES[name] for name in ("linear", "cosine", "average")}
    found = play([network(seeds=4), valley()], three, seeds=[5, 6, 8])
    assert found.tasks == ("digits", "a valley") and found.recipes == tuple(three)
    assert found.runs == 2 * 3 * 12 * 3 and found.seconds > 0
    entry = found.entries["digits"]
    assert entry.results.seeds == (5, 6, 8) and entry.unit == "points" and entry.margin == 1
    alone = network().train(RECIPES["cosine"], network().grid(RECIPES["cosine"]), 6)
    assert entry.results.at("test")[1, :, 1] == pytest.approx(alone["test"], abs=0.3)
    other = found.entries["a valley"].results
    away = np.log2(np.array(valley().grid(RECIPES["cosine"]))) ** 2 + 6
    assert other.at("test")[1] == pytest.approx(away[:, None] + [5, 6, 8])
    assert set(other.metrics) == {"val", "test"}


def test_units_may_be_trained_elsewhere():
    two = {name: RECIPES[name] for name in ("linear", "fixed")}
    here = play([valley()], two)
    with ProcessPoolExecutor(2) as pool:
        there = play({"x": valley()}, two, executor=pool)
    assert np.array_equal(
        here.entries["a valley"].results.at("test"), there.entries["a valley"].results.at("test")
    )


class Broken(Valley):
    def train(self, recipe, peaks, seed):
        return self.gives


@pytest.mark.parametrize(
    ("gives", "message"),
    [
        ({"val": np.zeros(12)}, "Broken.train: 'test' must have one number for each .* got none"),
        ({"val": np.zeros(3), "test": np.zeros(12)}, r"'val' must have one number .* got \(3,\)"),
        (
            {"val": np.zeros(12), "test": np.zeros(12), "early": np.zeros(3)},
            r"'early' must have the 12 peaks as its first axis, got shape \(3,\) on 'a valley'",
        ),
    ],
)
def test_a_task_that_gives_something_else_is_named(gives, message, monkeypatch):
    monkeypatch.setattr(Broken, "gives", gives, raising=False)
    task = Broken(name="a valley", margin=1.0, worst=9.0, steps=9, middle=1.0)
    with pytest.raises(ValueError, match=message):
        play([task])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([],), ValueError, "play: tasks must be at least one, of different names, got"),
        (([valley(), valley()],), ValueError, "play: tasks must be at least one, of different"),
        ((["a"],), TypeError, "play: tasks must be LeagueTasks, got 'a'"),
        (([valley()], {"a": CosineAnnealing(9)}), TypeError, r"play: recipes\['a'\] must be a"),
        (([valley()], RECIPES, [1, 2]), ValueError, "play: seeds must be at least 3, all differ"),
        (([valley()], RECIPES, [1, 2, 2]), ValueError, "play: seeds must be at least 3, all"),
        (([valley()], RECIPES, [1, 2, "x"]), TypeError, "play: seeds must be"),
    ],
)
def test_bad_arguments_of_play_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        play(*arguments)


# --- judged


def made_up(val, test, margin=1.0, worst=1e9, names=None, name="a", design=None):
    recipes, peaks, seeds = np.shape(test)
    grid = np.tile(2.0 ** (np.arange(peaks) / 2), (recipes, 1))
    metrics = {"val": np.array(val)[..., None], "test": np.array(test)[..., None]}
    names = names or tuple("abcdefghijklmnop"[:recipes])
    results = Results(names, grid, tuple(range(seeds)), np.array([9]), metrics)
    return Entry(name, "", "test error", "points", margin, worst, "underfit", results, design)


def league(*entries):
    return League({entry.name: entry for entry in entries}, {})


def valleys(offsets, seeds=5, peaks=12, best=5):
    """Recipes that differ by an offset alone, without noise but for one that all share."""
    curve = 0.1 * (np.arange(peaks) - best) ** 2
    shared = np.linspace(-1, 1, seeds)
    return np.asarray(offsets, float)[:, None, None] + curve[:, None] + shared


@pytest.mark.parametrize("tuned", ["one", "others"])
def test_without_noise_a_regret_is_the_difference(tuned):
    y = valleys([3.0, 1.0, 2.5])
    found = league(made_up(y, y, margin=0.5)).regret(tuned)
    assert found.own[0] == pytest.approx([2, 0, 1.5])
    assert found.margins[0] == pytest.approx([4, 0, 3])
    assert found.half[0] == pytest.approx([0, 0, 0], abs=1e-9)
    assert found.score[0] == pytest.approx([3, 1, 2.5])
    assert found.order() == ("b", "c", "a")


def brute_force(val, test, tuned, places):
    """The definition, in loops."""
    recipes, _, seeds = test.shape
    total, count = np.zeros(recipes), 0

    def chosen(r, among):
        return min(places, key=lambda p: np.mean([val[r, p, k] for k in among]))

    pairs = [(i, j) for i in range(seeds) for j in range(seeds) if i != j]
    if tuned == "others":
        pairs = [(None, j) for j in range(seeds)]
    for i, j in pairs:
        others = [k for k in range(seeds) if k not in (i, j)]
        tuning = others if i is None else [i]
        peak = [chosen(r, tuning) for r in range(recipes)]
        elsewhere = [np.mean([test[r, peak[r], k] for k in others]) for r in range(recipes)]
        best = int(np.argmin(elsewhere))
        total += [test[r, peak[r], j] - test[best, peak[best], j] for r in range(recipes)]
        count += 1
    return total / count


@pytest.mark.parametrize("tuned", ["one", "others"])
@pytest.mark.parametrize("runs", [12, 6, 3])
def test_a_regret_is_what_its_definition_says(tuned, runs):
    rng = np.random.default_rng(runs)
    val, test = (valleys([0, 0.5, 1]) + rng.normal(0, 0.4, (3, 12, 5)) for _ in range(2))
    apart = 12 // runs
    want = np.mean(
        [brute_force(val, test, tuned, range(first, 12, apart)) for first in range(apart)], 0
    )
    assert league(made_up(val, test)).regret(tuned, runs).own[0] == pytest.approx(want)


def test_no_recipe_is_called_the_best_for_its_luck():
    """Ten recipes that are one and the same: their mean regret is nothing."""
    rng = np.random.default_rng(0)
    entries = []
    for task in range(60):
        y = valleys(np.zeros(10)) + rng.normal(0, 1, (10, 12, 5))
        entries.append(made_up(valleys(np.zeros(10)), y, name=str(task)))
    for tuned in ("one", "others"):
        found = league(*entries).regret(tuned).margins.mean(1)
        assert abs(found.mean()) < 3 * found.std() / 60**0.5
    naive = [y.at("test")[:, 5].mean(-1) for y in (e.results for e in entries)]
    assert np.mean([y.mean() - y.min() for y in naive]) > 0.5


def test_what_diverged_counts_as_the_worst():
    y = valleys([0.0, 1.0])
    y[0, 6:, 2] = np.nan
    y[0, 8:, 1] = 1e7
    entry = made_up(y, y, worst=9.0)
    assert entry.numbers()[0, 7].tolist() == pytest.approx([0.4 - 1, 0.4 - 0.5, 9, 0.9, 1.4])
    assert entry.numbers("val")[0, 11, 1] == 9
    assert np.isfinite(league(entry).regret().own).all()


def test_a_best_peak_on_the_edge_is_refused_by_the_name_of_its_task():
    y = valleys([0.0, 1.0], best=0)
    with pytest.raises(GridEdgeError, match=r"a: a: the best peak, 1, lies on the edge"):
        league(made_up(y, y)).regret()
    up = valleys([0.0, 1.0], best=11)
    with pytest.raises(GridEdgeError, match="widen the grid"):
        league(made_up(up, up)).best_peaks()


def three_tasks():
    offsets = ([0, 1, 4], [0, 3, 2], [0.5, 0, 5])
    made = [made_up(valleys(o), valleys(o), name=str(n)) for n, o in enumerate(offsets)]
    return league(*made)


def test_a_recipe_over_all_tasks():
    found = three_tasks().regret()
    assert found.of("b") == pytest.approx([1, 3, 0])
    mean = found.mean("b")
    half = 4.302653 * np.std([1, 3, 0], ddof=1) / 3**0.5
    assert (mean.effect, mean.high - mean.effect, mean.seeds) == pytest.approx((4 / 3, half, 3))
    assert found.order() == ("a", "b", "c") and found.worst("c") == ("2", pytest.approx(5))
    assert found.between("c", "b") == pytest.approx([3, -1, 5])
    assert found.wins("b").effect == pytest.approx(2 / 3)
    assert found.wins("b", within=0.5).effect == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match=r"Regret.of: recipe must be one of a, b, c, got 'x'"):
        found.of("x")


def test_a_share_of_tasks_has_wilsons_interval():
    entries = [
        made_up(valleys([0, 3 if n >= 8 else 0.5]), valleys([0, 3 if n >= 8 else 0.5]), name=str(n))
        for n in range(10)
    ]
    found = league(*entries).regret()
    share = found.wins("b")  # 8 of 10; the interval as printed in textbooks
    assert (share.effect, share.low, share.high) == pytest.approx((0.8, 0.490, 0.943), abs=1e-3)
    every = found.wins("a")
    assert (every.effect, every.high) == (1, 1) and every.low == pytest.approx(0.722, abs=1e-3)


def test_bad_questions_are_refused():
    table = three_tasks()
    with pytest.raises(
        ValueError, match=r"League.regret: tuned must be one of one, others, got 'x'"
    ):
        table.regret("x")
    with pytest.raises(ValueError, match=r"League.regret: runs must divide the 12 peaks, got 5"):
        table.regret(runs=5)
    few = made_up(valleys([0, 1], seeds=2), valleys([0, 1], seeds=2))
    with pytest.raises(ValueError, match=r"League.regret: 'a' must have at least 3 seeds, got 2"):
        league(few).regret()
    other = made_up(valleys([0, 1]), valleys([0, 1]), names=("a", "z"), name="b")
    with pytest.raises(ValueError, match="League: every task must have the same recipes"):
        league(made_up(valleys([0, 1]), valleys([0, 1])), other)
    with pytest.raises(ValueError, match="League: entries must not be empty"):
        league()


# --- the parts of the variance


def test_known_parts_are_found():
    rng = np.random.default_rng(1)
    shape, peak = np.array([-1.0, 0, 1]), np.array([-1.5, 0, 0, 1.5])
    both = np.array([[1, -1, 0, 0], [-1, 1, 0, 0], [0, 0, 0, 0]]) * 0.5
    found = []
    for _ in range(800):
        seeds, noise = rng.normal(0, 0.7, 6), rng.normal(0, 0.5, (3, 4, 6))
        found.append(parts_of((shape[:, None] + peak + both)[..., None] + seeds + noise))
    want = [(peak**2).mean(), (shape**2).mean(), (both**2).mean(), 0.49 + 0.25]
    assert np.mean(found, 0) == pytest.approx(want, rel=0.04)
    assert parts_of((shape[:, None] + peak)[..., None] + np.zeros(6)) == pytest.approx(
        [want[0], want[1], 0, 0], abs=1e-12
    )


def test_known_parts_of_a_seed_are_found():
    rng = np.random.default_rng(2)
    found = []
    for _ in range(800):
        y = rng.normal(0, 1, (2, 6, 1, 1)) + rng.normal(0, 0.5, (2, 1, 4, 1))
        y = y + rng.normal(0, 0.6, (2, 6, 4, 1)) + rng.normal(0, 0.9, (2, 6, 4, 3))
        found.append(seed_parts_of(y))
    assert np.mean(found, 0) == pytest.approx([1, 0.25, 0.36, 0.81], rel=0.06)


def test_shares_of_a_league():
    rng = np.random.default_rng(3)
    entries = []
    for n in range(4):
        clean = valleys([0, 0.5, 1.0], seeds=8)
        noisy = clean + rng.normal(0, 0.1, (3, 12, 8))
        entries.append(made_up(clean, noisy, name=str(n)))
    near = variance(league(*entries), scale="linear")
    assert near.parts == ("peak", "shape", "peak × shape", "seed")
    assert near.shares.shape == (4, 4) and near.shares.sum(1) == pytest.approx(1)
    # Round the best: peaks 0.1 * (4, 1, 0, 1, 4), of variance 0.028; shapes of variance 1/6.
    seed = (np.linspace(-1, 1, 8) ** 2).sum() / 7 + 0.01
    assert near.mean("shape").effect == pytest.approx(1 / 6 / (0.028 + 1 / 6 + seed), rel=0.05)
    assert near.mean("peak").effect == pytest.approx(0.028 / (0.028 + 1 / 6 + seed), rel=0.2)
    assert near.total == pytest.approx((0.028 + 1 / 6 + seed) ** 0.5, rel=0.05)
    assert near.half.shape == (4, 4) and (near.half >= 0).all()
    wide = variance(league(*entries), span=None)
    assert wide.mean("peak").effect > 0.6 and wide.mean("peak").seeds == 4
    two = variance(league(*entries), recipes=("a", "c"))
    assert two.mean("shape").effect > near.mean("shape").effect - 0.2
    with pytest.raises(ValueError, match="variance: recipes must be at least 2, got"):
        variance(league(*entries), recipes=("a",))
    with pytest.raises(ValueError, match="variance: span must be at most the 12 peaks, got 13"):
        variance(league(*entries), span=13)
    with pytest.raises(ValueError, match="variance: scale must be one of ranks, linear"):
        variance(league(*entries), scale="logs")
    with pytest.raises(ValueError, match=r"Shares.of: part must be one of peak, shape"):
        near.of("luck")


def test_ranks_do_not_care_how_bad_the_worst_is():
    y = valleys([0.0, 1.0], seeds=6)
    y[:, 11] += 10
    worse = y.copy()
    worse[:, 11] *= 1000
    a, b = (variance(league(made_up(v, v)), span=None).shares for v in (y, worse))
    assert a == pytest.approx(b)


def test_shares_of_seeds_apart():
    rng = np.random.default_rng(4)
    entries = []
    for n in range(3):
        y = rng.normal(0, 1, (2, 3, 6, 1, 1)) + rng.normal(0, 0.1, (2, 3, 6, 4, 4))
        y = y.reshape(2, 3, 96)
        entries.append(made_up(y, y, name=str(n), design=(6, 4, 4)))
    found = seeds_apart(league(*entries))
    assert found.parts == ("data", "weights", "data × weights", "batches")
    assert found.mean("data").effect > 0.95 and found.shares.sum(1) == pytest.approx(1)
    with pytest.raises(ValueError, match="seeds_apart: the seeds of 'a' are not drawn apart"):
        seeds_apart(league(made_up(valleys([0, 1]), valleys([0, 1]))))
