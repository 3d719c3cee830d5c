"""WSD, against its three phases and against transformers."""

import dataclasses
import math
import pickle

import numpy as np
import pytest
from conftest import torch_rates
from hypothesis import given
from hypothesis import strategies as st

from lrlib import WSD, Constant, Cooldown, Warmup
from lrlib.schedule import FORMS

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
