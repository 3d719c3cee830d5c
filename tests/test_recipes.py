"""The recipes: what each makes of a length and a warm-up, and how bad ones are refused."""

import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from lrlib import (
    Constant,
    CosineAnnealing,
    PlateauRule,
    PolynomialDecay,
    Schedule,
    Warmup,
    patience_needed,
    recipes,
)
from lrlib.recipes import RECIPES, Recipe

# The factors of a run of 1,000 steps at steps 0, 250, 300, 500, 600, 750, 900, 950 and 999.
STEPS = (0, 250, 300, 500, 600, 750, 900, 950, 999)
GOLDEN = {
    "fixed": [1] * 9,
    "average": [1] * 9,
    "plateau": [1] * 9,
    "step": [1, 1, 1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.01],
    "30/60/90": [1, 1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001, 0.001],
    "exponential": [1, 0.316228, 0.251189, 0.1, 0.063096, 0.031623, 0.015849, 0.012589, 0.010046],
    "linear": [1, 0.75, 0.7, 0.5, 0.4, 0.25, 0.1, 0.05, 0.001],
    "cosine": [1, 0.853553, 0.793893, 0.5, 0.345492, 0.146447, 0.024472, 0.006156, 0.000002],
    "cosine to 10 %": [
        1,
        0.868198,
        0.814503,
        0.55,
        0.410942,
        0.231802,
        0.122025,
        0.10554,
        0.100002,
    ],
    "WSD 10 %": [1, 1, 1, 1, 1, 1, 1, 0.292893, 0.005013],
    "WSD 20 %": [1, 1, 1, 1, 1, 1, 0.292893, 0.133975, 0.002503],
    "WSD 40 %": [1, 1, 1, 1, 1, 0.387628, 0.133975, 0.064586, 0.001251],
}


@pytest.mark.parametrize("name", GOLDEN)
def test_the_factors_are_those_of_its_source(name):
    shape = RECIPES[name](1000)
    assert [shape(t) for t in STEPS] == pytest.approx(GOLDEN[name], abs=1e-6)


def test_one_cycle_rises_for_itself_whatever_the_warm_up():
    plain = recipes.one_cycle(1000).sample(1000)
    assert plain[299] == pytest.approx(1) and plain[0] == pytest.approx(0.04)
    assert plain[-1] == pytest.approx(4e-6)
    assert np.array_equal(recipes.one_cycle(1000, warmup=50).sample(1000), plain)


def test_the_inverse_root_rises_over_four_hundredths_of_the_run():
    factors = recipes.inverse_sqrt(1000, warmup=0.2).sample(1000)
    assert factors[39] == 1 and factors[0] == pytest.approx(1 / 40)
    assert factors[159] == pytest.approx(0.5) and factors[-1] == pytest.approx(0.2)


@pytest.mark.parametrize("steps", [14, 50, 600, 699, 700, 701, 3000])
def test_restarts_are_three_cycles_that_double_and_the_run_ends_low(steps):
    factors = recipes.restarts(steps).sample(steps)
    rises = np.flatnonzero(np.diff(factors) > 0) + 1
    assert len(rises) == 2 and (factors[rises] == 1).all()
    assert rises.tolist() == pytest.approx([steps / 7, 3 * steps / 7], abs=3)
    if steps >= 600:
        assert factors[-1] < 1e-3


@pytest.mark.parametrize("name", [n for n in RECIPES if n not in ("one-cycle", "inverse root")])
def test_a_warm_up_comes_before_the_whole_fall(name):
    shape, alone = RECIPES[name](500, warmup=0.1), RECIPES[name](450)
    assert shape.sample(50) == pytest.approx(np.arange(1, 51) / 51)
    assert np.array_equal(shape.sample(500)[50:], alone.sample(450))
    assert RECIPES[name](500, warmup=50) == shape
    assert RECIPES[name](500, warmup=0) == RECIPES[name](500)


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("steps", [1, 2, 3, 10, 97])
def test_any_length_will_do(name, steps):
    factors = RECIPES[name](steps).sample(steps)
    assert np.isfinite(factors).all() and (factors >= 0).all() and factors.max() <= 1
    assert isinstance(RECIPES[name](steps, warmup=steps), Schedule)


def test_there_are_fifteen_each_with_its_source_and_each_by_its_name():
    assert len(RECIPES) == 15 and all(name == r.name for name, r in RECIPES.items())
    assert all(len(r.source) > 5 for r in RECIPES.values())
    public = {v.name for v in vars(recipes).values() if isinstance(v, Recipe)}
    assert public == set(RECIPES)
    instructed = {name: r.then for name, r in RECIPES.items() if r.then}
    assert instructed == {"average": "average", "plateau": "plateau"}


def test_the_rule_is_chapter_elevens():
    rule = recipes.plateau.rule()
    assert rule == PlateauRule(factor=0.3, patience=5) and rule is not recipes.plateau.rule()
    assert replace(recipes.plateau, evaluations=100).rule().patience == 10
    assert replace(recipes.plateau, evaluations=3).rule().patience == 1
    # Of its chapter: what never drops falsely in fifty evaluations has a patience of the same size
    # where the loss falls by its noise in three evaluations.
    assert patience_needed(1 / 3, evaluations=50) > 5


def test_one_of_your_own():
    mine = Recipe("mine", lambda steps: PolynomialDecay(steps, 2.0), "me")
    assert mine(100) == PolynomialDecay(100, 2.0)
    assert mine(100, 20) == Warmup(20, start_factor=1 / 21).then(PolynomialDecay(80, 2.0))
    whole = Recipe("whole", CosineAnnealing, "me", rises=True)
    assert whole(100, 20) == CosineAnnealing(100)


def test_they_can_be_sent_to_other_processes():
    assert pickle.loads(pickle.dumps(RECIPES)) == RECIPES


def test_they_need_no_torch():
    program = "import sys; import lrlib.recipes; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


GOOD = {"name": "a", "fall": Constant, "source": "me"}


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"name": ""}, TypeError, "Recipe: name must be a text, got ''"),
        ({"source": None}, TypeError, "Recipe: source must be a text, got None"),
        ({"fall": 3}, TypeError, "Recipe: fall must make a Schedule from a length, got 3"),
        (
            {"then": "sing"},
            ValueError,
            "Recipe: then must be one of , average, plateau, got 'sing'",
        ),
        ({"evaluations": 0}, ValueError, "Recipe: evaluations must be"),
    ],
)
def test_a_bad_recipe_is_refused(changed, error, message):
    with pytest.raises(error, match=message):
        Recipe(**GOOD | changed)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0,), ValueError, "Recipe 'linear': total_steps must be"),
        ((10.5,), TypeError, "Recipe 'linear': total_steps must be"),
        ((10, 11), ValueError, "Recipe 'linear': warmup must be at most total_steps=10, got 11"),
        ((10, 1.5), ValueError, "Recipe 'linear': warmup must be an integer"),
        ((10, "5"), TypeError, "Recipe 'linear': warmup must be steps or a share"),
    ],
)
def test_a_bad_length_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        recipes.linear(*arguments)


def test_what_makes_no_schedule_is_refused():
    with pytest.raises(TypeError, match="Recipe 'a': fall must give a Schedule, got 10"):
        Recipe("a", lambda steps: steps, "me")(10)
