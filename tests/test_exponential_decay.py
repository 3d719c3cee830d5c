"""ExponentialDecay, InverseTimeDecay and PolynomialDecay, against torch, fractions and by hand."""

import math
from fractions import Fraction

import numpy as np
import pytest
from conftest import assert_equals_torch, torch_rates
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import ExponentialLR, LambdaLR, LinearLR, PolynomialLR

from lrlib import Constant, ExponentialDecay, InverseTimeDecay, PolynomialDecay

GAMMAS, PEAKS = st.floats(1e-3, 1), st.floats(1e-5, 10)
STEPS, SHARES, POWERS = st.integers(1, 150), st.floats(0, 1), st.floats(0.05, 6)


@given(GAMMAS | st.floats(0.95, 1), PEAKS)
def test_exponential_decay_equals_torch(gamma, peak):
    assert_equals_torch(ExponentialDecay(gamma), lambda o: ExponentialLR(o, gamma), peak, 200)


@given(STEPS, POWERS, PEAKS)
def test_polynomial_decay_equals_torch_and_is_held_as_there(total_iters, power, peak):
    shape = PolynomialDecay(total_iters, power)
    n = 2 * total_iters + 2
    assert_equals_torch(shape, lambda o: PolynomialLR(o, total_iters, power), peak, n)


@given(STEPS, SHARES, PEAKS)
def test_linear_decay_to_any_factor_equals_torch(total_iters, min_factor, peak):
    def linear(optimizer):
        return LinearLR(optimizer, 1.0, min_factor, total_iters)

    shape = PolynomialDecay(total_iters, min_factor=min_factor)
    assert_equals_torch(shape, linear, peak, total_iters + 10)


def test_polynomial_decay_where_torch_takes_a_length_that_is_no_integer_and_goes_wrong():
    # PolynomialLR(total_iters=2.5) stops at a fifth of the peak instead of at 0.
    rates = torch_rates(lambda o: PolynomialLR(o, 2.5), 1.0, 6)[:, 0]
    assert rates[3:] == pytest.approx([0.2] * 3)
    assert PolynomialDecay(3).sample(6)[3:].tolist() == [0, 0, 0]


@pytest.mark.parametrize("gamma", [0.999, 0.9999])
def test_long_runs_equal_torch(gamma):
    # The recursion of torch drifts by far less than 1e-12 with Python floats.
    assert_equals_torch(ExponentialDecay(gamma), lambda o: ExponentialLR(o, gamma), 0.1, 10_000)


@given(st.floats(0, 100), st.integers(1, 10**6), PEAKS)
def test_inverse_time_decay_equals_the_formula_in_torch(rate, steps, peak):
    # Torch has no scheduler of this name.
    def written_out(optimizer):
        return LambdaLR(optimizer, lambda t: 1 / (1 + rate * (t / steps)))

    assert_equals_torch(InverseTimeDecay(rate, steps), written_out, peak, 100)


@given(st.floats(0, 1e6), st.integers(1, 10**6), st.integers(0, 10**15))
def test_inverse_time_decay_is_the_exact_fraction_rounded(rate, steps, step):
    exact = 1 / (1 + Fraction(rate) * step / steps)
    assert InverseTimeDecay(rate, steps)(step) == pytest.approx(float(exact), rel=1e-15, abs=0)


@given(GAMMAS, st.integers(0, 10**6), st.integers(0, 10**6))
def test_exponential_decay_multiplies(gamma, s, t):
    shape = ExponentialDecay(gamma)
    assert 0 <= shape(t) <= 1
    assert shape(s + t) == pytest.approx(shape(s) * shape(t), rel=1e-12, abs=1e-300)
    assert shape.length is None


@given(st.floats(0, 20), st.integers(0, 300))
def test_from_rate_is_the_exponential(k, step):
    shape = ExponentialDecay.from_rate(k)
    assert shape.gamma == math.exp(-k)
    assert shape(step) == pytest.approx(math.exp(-k * step), rel=1e-12, abs=1e-300)


@given(st.floats(1e-9, 1), st.integers(1, 20_000))
def test_to_factor_gets_there(final_factor, total_iters):
    shape = ExponentialDecay.to_factor(final_factor, total_iters)
    assert shape(total_iters) == pytest.approx(final_factor, rel=1e-11)
    rate = -math.log(final_factor) / total_iters
    assert shape.gamma == pytest.approx(ExponentialDecay.from_rate(rate).gamma, rel=1e-14)


def test_to_factor_then_the_factor_holds_it():
    shape = ExponentialDecay.to_factor(0.01, 100).then(Constant(0.01), at=100)
    assert shape(50) == pytest.approx(0.1, rel=1e-12)
    assert shape(99) > 0.01 and shape(100) == shape(1000) == 0.01


@pytest.mark.parametrize("k", [0, 700])
def test_rates_at_their_limits(k):
    assert ExponentialDecay.from_rate(k)(1) == math.exp(-k) > 0


@given(GAMMAS, st.floats(0, 100), STEPS, POWERS, SHARES)
def test_none_ever_rises_and_all_start_at_the_peak(gamma, rate, steps, power, min_factor):
    for shape in (
        ExponentialDecay(gamma),
        InverseTimeDecay(rate, steps),
        PolynomialDecay(steps, power, min_factor),
    ):
        factors = shape.sample(200)
        assert factors[0] == 1
        assert (np.diff(factors) <= 0).all()
        assert (factors >= getattr(shape, "min_factor", 0)).all()


@given(STEPS, POWERS, SHARES, st.integers(0, 10**15))
def test_polynomial_decay_ends_at_its_last_factor_and_holds_it(steps, power, min_factor, beyond):
    shape = PolynomialDecay(steps, power, min_factor)
    assert shape.length == steps
    assert shape(steps + beyond) == min_factor
    if steps > 1 and min_factor < 0.99 and power < 2:
        assert shape(steps - 1) > min_factor


@given(STEPS, SHARES, STEPS)
def test_power_one_is_a_straight_line(total_iters, min_factor, step):
    t = min(step, total_iters)
    line = 1 - (1 - min_factor) * t / total_iters
    assert PolynomialDecay(total_iters, 1, min_factor)(step) == pytest.approx(line, abs=1e-15)


@given(STEPS, POWERS, POWERS, STEPS)
def test_a_higher_power_is_never_above_a_lower(total_iters, p, q, step):
    low, high = sorted((p, q))
    assert PolynomialDecay(total_iters, high)(step) <= PolynomialDecay(total_iters, low)(step)


def test_known_values():
    assert ExponentialDecay(0.5).sample(4).tolist() == [1, 0.5, 0.25, 0.125]
    assert InverseTimeDecay(1).sample(4).tolist() == [1, 1 / 2, 1 / 3, 1 / 4]
    assert InverseTimeDecay(0.5, 10)(20) == 0.5
    assert PolynomialDecay(4).sample(6).tolist() == [1, 0.75, 0.5, 0.25, 0, 0]
    assert PolynomialDecay(4, 2.0).sample(5).tolist() == [1, 9 / 16, 1 / 4, 1 / 16, 0]
    assert PolynomialDecay(4, min_factor=0.5).sample(5).tolist() == [1, 0.875, 0.75, 0.625, 0.5]
    assert InverseTimeDecay(0)(10**15) == ExponentialDecay(1)(10**15) == 1
    assert ExponentialDecay(0.5)(10**15) == InverseTimeDecay(1e300)(10**15) == 0  # out of range


def test_gamma_per_epoch_becomes_gamma_per_step():
    per_step = ExponentialDecay(0.9 ** (1 / 391))
    assert [per_step(391 * epoch) for epoch in range(50)] == pytest.approx(
        ExponentialDecay(0.9).sample(50), rel=1e-11
    )
