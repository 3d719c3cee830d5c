"""CosineAnnealing, against torch and by hand."""

import math

import numpy as np
import pytest
from conftest import assert_equals_torch, torch_rates
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import CosineAnnealingLR

from lrlib import CosineAnnealing

STEPS, SHARES, PEAKS = st.integers(1, 200), st.floats(0, 1), st.floats(1e-5, 10)


def torchs(T_max, eta_min):
    return lambda optimizer: CosineAnnealingLR(optimizer, T_max, eta_min)


def closed_form(T_max, min_factor, n):
    t = np.minimum(np.arange(n), T_max)
    return min_factor + (1 - min_factor) * (1 + np.cos(np.pi * t / T_max)) / 2


@given(STEPS, SHARES | st.just(0.0), PEAKS)
def test_it_equals_torch_up_to_its_end(T_max, min_factor, peak):
    shape = CosineAnnealing(T_max, min_factor)
    assert_equals_torch(shape, torchs(T_max, min_factor * peak), peak, T_max + 1)


@pytest.mark.parametrize("min_factor", [0.0, 0.1])
def test_long_runs_equal_torch(min_factor):
    # The recursion of torch drifts by less than 1e-12 with Python floats.
    shape = CosineAnnealing(10_000, min_factor)
    assert_equals_torch(shape, torchs(10_000, min_factor * 0.1), 0.1, 10_001)


# Where torch is wrong, the closed form decides.


@given(st.integers(1, 60), st.floats(0, 0.9), PEAKS)
def test_past_the_end_torch_climbs_back_to_the_peak_and_this_stays(T_max, min_factor, peak):
    rates = torch_rates(torchs(T_max, min_factor * peak), peak, 3 * T_max + 1)[:, 0]
    assert rates[[2 * T_max, 3 * T_max]] == pytest.approx([peak, min_factor * peak], abs=1e-9)
    factors = CosineAnnealing(T_max, min_factor).sample(3 * T_max + 1)
    assert np.abs(factors - closed_form(T_max, min_factor, 3 * T_max + 1)).max() <= 1e-15
    assert (factors[T_max:] == min_factor).all()


def test_one_absolute_minimum_for_all_groups_makes_torch_raise_the_small_rates():
    # eta_min is above the peak of the second group, whose rate therefore grows.
    rates = torch_rates(torchs(10, 0.01), (1.0, 0.001), 11)
    assert rates[-1] == pytest.approx([0.01, 0.01])
    assert CosineAnnealing(10, 0.01)(10) * 0.001 == 0.01 * 0.001


def test_torch_takes_a_length_that_is_no_integer_and_never_gets_to_the_minimum():
    assert torch_rates(torchs(2.5, 0.0), 1.0, 50).min() > 0.09
    assert CosineAnnealing(3)(3) == 0


@given(STEPS, SHARES)
def test_it_falls_from_one_to_the_last_factor(T_max, min_factor):
    factors = CosineAnnealing(T_max, min_factor).sample(T_max + 5)
    assert factors[0] == 1 and (factors[T_max:] == min_factor).all()
    assert (factors >= min_factor).all() and (factors <= 1).all()
    assert (np.diff(factors) <= 0).all()


@given(STEPS, SHARES, st.integers(0, 10**15))
def test_it_is_held_past_its_end(T_max, min_factor, beyond):
    shape = CosineAnnealing(T_max, min_factor)
    assert shape.length == T_max
    assert shape(T_max + beyond) == min_factor


@given(STEPS, SHARES, st.data())
def test_it_is_symmetric_about_its_middle(T_max, min_factor, data):
    t = data.draw(st.integers(0, T_max))
    shape = CosineAnnealing(T_max, min_factor)
    assert shape(t) + shape(T_max - t) == pytest.approx(1 + min_factor, rel=1e-14)


def test_known_values():
    assert CosineAnnealing(4).sample(7) == pytest.approx(
        [1, (2 + math.sqrt(2)) / 4, 0.5, (2 - math.sqrt(2)) / 4, 0, 0, 0], abs=1e-15
    )
    assert CosineAnnealing(6, 0.1).sample(7)[[2, 3, 4]] == pytest.approx([0.775, 0.55, 0.325])
    assert CosineAnnealing(1).sample(3).tolist() == [1, 0, 0]
    assert (CosineAnnealing(7, 1).sample(9) == 1).all()
