"""WSD, against its three phases and transformers; the convex bound, against plain sums."""

import dataclasses
import math
import pickle
from fractions import Fraction

import numpy as np
import pytest
import torch
from conftest import torch_rates
from hypothesis import given
from hypothesis import strategies as st

from lrlib import (
    WSD,
    Constant,
    Cooldown,
    CosineAnnealing,
    ExponentialDecay,
    FromFunction,
    InverseSquareRoot,
    MultiStepDecay,
    PolynomialDecay,
    StepDecay,
    Warmup,
    growing_average,
    last_iterate_bound,
)
from lrlib.schedule import FORMS, Schedule

STEPS, SHARES = st.integers(0, 60), st.floats(0, 1)


@given(STEPS, STEPS, STEPS, st.sampled_from(FORMS), SHARES)
def test_it_is_a_warm_up_a_stable_phase_and_a_cooldown(warmup, stable, cooldown, form, least):
    total = warmup + stable + cooldown
    shape = WSD(total, warmup, cooldown, form, least)
    phases = Warmup(warmup, least).then(Constant(1.0, stable))
    phases = phases.then(Cooldown(cooldown, form, 1.0, least))
    assert shape.length == total
    assert np.abs(shape.sample(total + 5) - phases.sample(total + 5)).max() <= 1e-15 or total == 0


@given(STEPS, STEPS, STEPS, st.sampled_from(FORMS), SHARES)
def test_it_never_jumps(warmup, stable, cooldown, form, least):
    shape = WSD(warmup + stable + cooldown, warmup, cooldown, form, least)
    factors = shape.sample(shape.length + 10)
    # The steepest of the steps: one of the warm-up, the first of a root, the middle of a cosine.
    fall = {"linear": 1 / max(1, cooldown), "1-sqrt": max(1, cooldown) ** -0.5}.get(
        form, math.pi / 2 / max(1, cooldown)
    )
    steepest = max(fall if cooldown else 0, 1 / warmup if warmup else 0) * (1 - least)
    assert np.abs(np.diff(factors)).max() <= steepest + 1e-12
    assert factors[warmup : warmup + stable].tolist() == [1.0] * stable
    assert (factors >= least).all() and (factors <= 1).all()
    assert shape(10**9) == (least if cooldown else 1)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("least", [0.0, 0.1])
@pytest.mark.parametrize("phases", [(10, 60, 30), (0, 70, 30), (10, 0, 90), (100, 0, 0), (0, 0, 9)])
def test_it_equals_transformers(form, least, phases):
    transformers = pytest.importorskip("transformers")
    (warmup, _, cooldown), total = phases, sum(phases)

    def build(optimizer):
        return transformers.get_wsd_schedule(
            optimizer, warmup, cooldown, total, decay_type=form, min_lr_ratio=least
        )

    shape = WSD(total, warmup, cooldown, form, least)
    n = total + 20 if cooldown else total  # without a cooldown theirs drops at the end
    rates = torch_rates(build, 0.25, n)[:, 0]
    assert np.abs(rates - 0.25 * shape.sample(n)).max() <= 1e-15


def test_known_values():
    shape = WSD(100, warmup=10, cooldown=16, min_factor=0.2)
    assert [shape(t) for t in (0, 10, 50, 84)] == [0.2, 1, 1, 1]
    assert shape(5) == pytest.approx(0.6)
    assert [shape(t) for t in (88, 93, 100, 101)] == pytest.approx([0.6, 0.4, 0.2, 0.2])
    assert WSD(100, 10, 16, "linear")(92) == 0.5 and WSD(100, 10, 16, "cosine")(92) == 0.5
    assert WSD(100, 10, 16, "cosine")(88) == pytest.approx((1 + math.sqrt(0.5)) / 2)


def test_shares_of_the_run():
    assert WSD(1000, 0.01, 0.2) == WSD(1000, 10, 200) == WSD(1000, warmup=10)
    # As written, not as rounded to binary: 0.07 * 100 and (1 - 0.9) * 100 are not whole.
    assert WSD(100, 0.07, 0.29) == WSD(100, 7, 29)
    assert WSD(3, 0.5, 0.5) == WSD(3, 2, 1) and WSD(101, 0.1, 0.9) == WSD(101, 11, 90)
    assert WSD(100, np.float32(0.07), np.int32(20)) == WSD(100, 7, 20)
    assert WSD(100, 0.0, 0.0) == WSD(100, 0, 0)
    assert WSD(0) == WSD(0, 0, 0) and WSD(0).sample(2).tolist() == [1, 1]


def test_the_method_of_every_schedule_is_not_hidden_by_the_argument():
    shape = WSD(100, 10, 20)
    early = shape.cooldown(at=50, steps=10, form="linear")
    assert early.sample(70)[[5, 49, 50, 55, 60, 69]].tolist() == [0.5, 1, 1, 0.5, 0, 0]


def test_repr_equality_hash_pickle_and_frozen():
    shape = WSD(100, 0.1, 20)
    assert repr(shape) == (
        "WSD(total_steps=100, warmup=10, cooldown=20, form='1-sqrt', min_factor=0.0)"
    )
    assert eval(repr(shape), {"WSD": WSD}) == shape and len({shape, WSD(100, 10, 20)}) == 1
    assert pickle.loads(pickle.dumps(shape)) == shape != WSD(100, 10, 21)
    with pytest.raises(dataclasses.FrozenInstanceError):
        shape.warmup = 3


def test_phases_that_do_not_fit_are_refused():
    for warmup, cooldown in ((60, 60), (0.6, 0.5), (101, 0), (0, 101)):
        with pytest.raises(ValueError, match=f"fit into total_steps=100, got warmup={warmup} and"):
            WSD(100, warmup, cooldown)


# --- the convex bound of the last iterate


def bound(rates, norms, distance):
    """The formula as it is written, in fractions."""
    eta, squares = [Fraction(r) for r in rates], [Fraction(g) ** 2 for g in norms]
    n, total = len(eta), Fraction(0)
    for k in range(n - 1):
        weighted = sum(eta[t] ** 2 * squares[t] for t in range(k, n))
        total += eta[k] / sum(eta[k + 1 :]) * weighted / sum(eta[k:])
    first = Fraction(distance) ** 2 + sum(e**2 * g for e, g in zip(eta, squares, strict=True))
    return float(first / (2 * sum(eta)) + total / 2)


@given(
    st.lists(st.floats(0.01, 1), min_size=1, max_size=12),
    st.floats(0.01, 10),
    st.floats(0.1, 10),
    st.data(),
)
def test_the_bound_is_the_formula(factors, peak, distance, data):
    norms = data.draw(st.lists(st.floats(0.1, 5), min_size=len(factors), max_size=len(factors)))
    shape = Listed(tuple(factors))
    found = last_iterate_bound(shape, len(factors), distance=distance, gradient_norm=norms)
    rates = [peak * factor for factor in factors]
    assert found.at(peak) == pytest.approx(bound(rates, norms, distance), rel=1e-9)
    assert found.value == pytest.approx(found.at(found.peak), rel=1e-12)
    assert found.value <= min(found.at(0.99 * found.peak), found.at(1.01 * found.peak))


@dataclasses.dataclass(frozen=True)
class Listed(Schedule):
    factors: tuple[float, ...]

    @property
    def length(self):
        return len(self.factors) - 1

    def formula(self, step):
        return self.factors[step]


@pytest.mark.parametrize(
    ("shape", "value", "peak"),
    [  # computed once, with the formula as it is written; times sqrt(400)
        (PolynomialDecay(400), 2.0126, 0.9913),
        (WSD(400, 0, 400), 2.0249, 1.4759),
        (CosineAnnealing(400), 2.0677, 0.9648),
        (CosineAnnealing(400, 0.1), 2.0811, 0.8719),
        (FromFunction(lambda t: (400 - t) / (400 - t / 2), 400), 2.0337, 0.7996),  # REX
        (WSD(400, 0, 0.4, "linear"), 2.0752, 0.6014),
        (WSD(400, 0, 0.2, "linear"), 2.1865, 0.5075),
        (ExponentialDecay(0.01 ** (1 / 400)), 2.2652, 2.0418),
        (MultiStepDecay([200, 300]), 2.5027, 0.7575),
        (InverseSquareRoot(1), 2.4453, 4.2417),
        (Constant(), 2.7509, 0.3635),
    ],
)
def test_the_order_of_the_shapes(shape, value, peak):
    found = last_iterate_bound(shape, 400)
    assert found.value * 20 == pytest.approx(value, abs=1e-4)
    assert found.peak * 20 == pytest.approx(peak, abs=1e-4)
    scaled = last_iterate_bound(shape, 400, distance=3, gradient_norm=5)
    assert scaled.value == pytest.approx(15 * found.value)
    assert scaled.peak == pytest.approx(0.6 * found.peak)


@pytest.mark.parametrize("n", [1, 2, 100, 10_000])
def test_the_bound_of_a_constant_rate_in_closed_form(n):
    harmonic = sum(1 / k for k in range(1, n))
    assert last_iterate_bound(Constant(), n).value == pytest.approx(math.sqrt((1 + harmonic) / n))


def test_updates_at_rate_zero_change_nothing():
    assert last_iterate_bound(PolynomialDecay(50), 80) == last_iterate_bound(
        PolynomialDecay(50), 50
    )
    warmed = Warmup(10, start_factor=0.0).then(Constant())
    assert last_iterate_bound(warmed, 60).value > last_iterate_bound(Constant(), 60).value


def test_it_bounds_the_worst_case():
    """Of |x|, from a distance of 1: the subgradients are ±1, and every peak keeps to the bound."""
    for shape in (Constant(), PolynomialDecay(40), StepDecay(10, 0.5)):
        found = last_iterate_bound(shape, 40)
        for peak in np.geomspace(0.01, 3, 40):
            x = 1.0
            for factor in shape.sample(39):
                x -= peak * factor * math.copysign(1, x)
            assert abs(x) <= found.at(peak)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"shape": 0.5}, TypeError, "shape must be a Schedule, got 0.5"),
        ({"steps": 0}, ValueError, "steps must be at least 1, got 0"),
        ({"distance": 0}, ValueError, "distance must be .*greater than 0.*got 0"),
        ({"gradient_norm": [1.0, 2.0]}, ValueError, "gradient_norm must have 10 entries, got 2"),
        ({"gradient_norm": -1.0}, ValueError, "gradient_norm must be .*got -1"),
        ({"shape": Constant(0.0)}, ValueError, "above 0 in 10 steps, got Constant"),
    ],
)
def test_bad_arguments_of_the_bound(settings, error, message):
    settings = {"shape": Constant(), "steps": 10} | settings
    with pytest.raises(error, match=f"last_iterate_bound: .*{message}"):
        last_iterate_bound(**settings)
    with pytest.raises(ValueError, match=r"LastIterateBound\.at: peak"):
        last_iterate_bound(Constant(), 10).at(0)


# --------------------------------------------------------------------------------------
# A growing average


@pytest.mark.parametrize("emphasis", [0, 1, 3.0])
def test_the_growing_average_weighs_updates_by_their_number(emphasis):
    values = np.random.default_rng(0).standard_normal(50)
    average, seen = growing_average(emphasis), values[0]
    for n in range(1, 50):
        seen = average(seen, values[n], n)
    # The weight of the k-th is that of its entry, times what later entries leave of it.
    entries = (emphasis + 1) / (np.arange(1, 51) + emphasis)
    weights = entries * np.append(np.cumprod((1 - entries)[:0:-1])[::-1], 1)
    assert seen == pytest.approx(weights @ values)
    assert weights.sum() == pytest.approx(1)
    late = weights[20:] / weights[-1]
    assert late == pytest.approx((np.arange(21, 51) / 50) ** emphasis, abs=0.07)


def test_the_growing_average_drives_torchs_averaged_model():
    model = torch.nn.Linear(1, 1, bias=False)
    averaged = torch.optim.swa_utils.AveragedModel(model, avg_fn=growing_average(0))
    for value in (1.0, 2.0, 6.0):
        torch.nn.init.constant_(model.weight, value)
        averaged.update_parameters(model)
    assert averaged.module.weight.item() == pytest.approx(3)


@pytest.mark.parametrize("bad", [-1, float("nan"), float("inf"), "1", None, True])
def test_the_growing_average_refuses_a_bad_emphasis(bad):
    with pytest.raises((TypeError, ValueError), match="growing_average: emphasis"):
        growing_average(bad)
