"""Warmup and InverseSquareRoot, against torch and against transformers, written out and real."""

import math

import numpy as np
import pytest
from conftest import assert_equals_torch, torch_rates
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LinearLR, SequentialLR

from lrlib import CosineAnnealing, InverseSquareRoot, PolynomialDecay, Warmup

STEPS, STARTS, PEAKS = st.integers(1, 150), st.floats(1e-6, 1), st.floats(1e-5, 10)


@given(STEPS, STARTS, PEAKS)
def test_it_equals_torch_and_is_held_as_there(total_iters, start_factor, peak):
    def build(optimizer):
        return LinearLR(optimizer, start_factor, 1.0, total_iters)

    assert_equals_torch(Warmup(total_iters, start_factor), build, peak, 2 * total_iters + 2)


@given(STEPS, STARTS, PEAKS)
def test_the_exponential_one_equals_the_formula_in_torch(total_iters, start_factor, peak):
    # Torch has no scheduler of this kind.
    def build(optimizer):
        left = lambda t: 1 - min(t, total_iters) / total_iters  # noqa: E731
        return LambdaLR(optimizer, lambda t: math.exp(math.log(start_factor) * left(t)))

    shape = Warmup(total_iters, start_factor, "exponential")
    assert_equals_torch(shape, build, peak, 2 * total_iters + 2)


@given(STEPS, STEPS, st.floats(0.01, 1), st.floats(0, 1), PEAKS)
def test_warm_up_and_cosine_equal_torchs_sequence(warmup, T_max, start_factor, least, peak):
    def build(optimizer):
        up = LinearLR(optimizer, start_factor, 1.0, warmup)
        down = CosineAnnealingLR(optimizer, T_max, least * peak)
        return SequentialLR(optimizer, [up, down], [warmup])

    shape = Warmup(warmup, start_factor).then(CosineAnnealing(T_max, least))
    assert_equals_torch(shape, build, peak, warmup + T_max + 1)


# Where torch is wrong.


def test_torch_cannot_start_from_zero():
    with pytest.raises(ValueError, match="greater than 0"):
        torch_rates(lambda o: LinearLR(o, 0.0, 1.0, 5), 1.0, 1)
    assert Warmup(5).sample(7) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1, 1])


def test_torch_takes_a_length_that_is_no_integer_and_never_gets_to_the_peak():
    rates = torch_rates(lambda o: LinearLR(o, 0.2, 1.0, 2.5), 1.0, 20)[:, 0]
    assert rates.max() == pytest.approx(0.84)
    assert Warmup(3, 0.2)(3) == 1


def test_torch_stays_at_the_start_of_a_warm_up_without_steps():
    assert (torch_rates(lambda o: LinearLR(o, 0.2, 1.0, 0), 1.0, 20) == 0.2).all()
    assert (Warmup(0, 0.2).sample(20) == 1).all()


@pytest.mark.parametrize("d_model", [None, 512])
def test_inverse_square_root_without_a_warm_up_falls_from_the_first_update_on(d_model):
    factors = InverseSquareRoot(0, d_model).sample(50)
    assert factors.tolist() == InverseSquareRoot(1, d_model).sample(50).tolist()
    peak = 1 if d_model is None else d_model**-0.5
    assert np.abs(factors - peak * np.arange(1, 51) ** -0.5).max() <= 1e-15


# What it is.


@given(STEPS, st.floats(0, 1), st.integers(0, 10**15))
def test_it_starts_where_it_should_and_holds_the_peak(total_iters, start_factor, beyond):
    for mode in ("linear", "exponential")[: 2 if start_factor else 1]:
        shape = Warmup(total_iters, start_factor, mode)
        factors = shape.sample(total_iters + 3)
        assert factors[0] == start_factor and shape.length == total_iters
        assert (np.diff(factors) >= 0).all() and (factors >= start_factor).all()
        assert shape(total_iters + beyond) == 1
        if start_factor < 0.99:
            assert (factors[:total_iters] < 1).all()


@given(STEPS)
def test_the_textbooks_line_wastes_the_first_update(n):
    assert Warmup(n).sample(n + 2) == pytest.approx([t / n for t in range(n)] + [1, 1], abs=1e-15)


@given(STEPS)
def test_one_step_up_the_same_line_no_update_is_wasted(n):
    after_n = Warmup(n, start_factor=1 / (n + 1)).sample(n + 2)
    expected = [(t + 1) / (n + 1) for t in range(n)] + [1, 1]
    assert after_n == pytest.approx(expected, abs=1e-15)
    assert after_n == pytest.approx(Warmup(n + 1).sample(n + 3)[1:], abs=1e-15)
    if n > 1:
        nth = Warmup(n - 1, start_factor=1 / n).sample(n)
        assert nth == pytest.approx([(t + 1) / n for t in range(n)], abs=1e-15)


def test_known_values():
    assert Warmup(4).sample(6).tolist() == [0, 0.25, 0.5, 0.75, 1, 1]
    assert Warmup(3, 1 / 4).sample(5).tolist() == [0.25, 0.5, 0.75, 1, 1]
    assert Warmup(1).sample(3).tolist() == [0, 1, 1]
    assert Warmup(2, 1 / 16, "exponential").sample(4).tolist() == [1 / 16, 1 / 4, 1, 1]
    assert (Warmup(5, 1).sample(9) == 1).all()
    whole = Warmup(500).then(CosineAnnealing(9_500))
    assert whole.length == 10_000
    assert [whole(t) for t in (0, 250, 500, 5_250, 10_000)] == pytest.approx([0, 0.5, 1, 0.5, 0])


# InverseSquareRoot.


@given(st.integers(1, 10**5), st.integers(1, 10**4), st.integers(0, 10**7))
def test_it_is_equation_3_with_the_step_counted_from_one(warmup, d_model, t):
    step = t + 1
    paper = d_model**-0.5 * min(step**-0.5, step * warmup**-1.5)
    assert InverseSquareRoot(warmup, d_model)(t) == pytest.approx(paper, rel=1e-12, abs=0)
    assert InverseSquareRoot(warmup)(t) == pytest.approx(
        paper * math.sqrt(d_model * warmup), rel=1e-12, abs=0
    )


@given(st.integers(1, 500))
def test_the_peak_is_one_and_is_the_update_that_ends_the_warm_up(warmup):
    factors = InverseSquareRoot(warmup).sample(4 * warmup)
    assert factors[warmup - 1] == 1 and factors.argmax() == warmup - 1
    assert factors[0] == 1 / warmup  # the first update is not wasted
    assert factors[4 * warmup - 1] == 0.5
    assert InverseSquareRoot(warmup, 512)(warmup - 1) == (512 * warmup) ** -0.5
    assert InverseSquareRoot(warmup).length is None


@given(st.integers(2, 200))
def test_its_warm_up_is_the_one_that_wastes_no_update(warmup):
    rise = Warmup(warmup - 1, start_factor=1 / warmup).sample(warmup)
    assert InverseSquareRoot(warmup).sample(warmup) == pytest.approx(rise, abs=1e-15)


def test_the_rate_of_the_base_transformer():
    # d_model 512 and 4000 steps of warm-up: the peak is 7.0e-4.
    shape = InverseSquareRoot(4000, 512)
    assert shape(3999) == pytest.approx(6.98771e-4, rel=1e-6)
    assert shape(0) == pytest.approx(1.746928e-7, rel=1e-6)
    assert shape(99_999) == pytest.approx(1.397542e-4, rel=1e-6)


def test_known_factors():
    assert InverseSquareRoot(4).sample(4).tolist() == [0.25, 0.5, 0.75, 1]
    assert InverseSquareRoot(4)(15) == 0.5 and InverseSquareRoot(4)(63) == 0.25
    assert InverseSquareRoot(1).sample(4).tolist() == pytest.approx([1, 2**-0.5, 3**-0.5, 0.5])
    assert InverseSquareRoot(1, 1).sample(4).tolist() == InverseSquareRoot(1).sample(4).tolist()


# The schedules of transformers, as that library writes them.


def hf_cosine(step, warmup, total, num_cycles=0.5):
    if step < warmup:
        return step / max(1, warmup)
    progress = (step - warmup) / max(1, total - warmup)
    return max(0.0, 0.5 * (1.0 + math.cos(math.pi * num_cycles * 2.0 * progress)))


def hf_linear(step, warmup, total):
    if step < warmup:
        return step / max(1, warmup)
    return max(0.0, (total - step) / max(1, total - warmup))


def hf_inverse_sqrt(step, warmup):
    if step < warmup:
        return step / max(1, warmup)
    shift, timescale = 0, warmup
    return 1.0 / math.sqrt((step + shift) / timescale)


@given(STEPS, STEPS)
def test_warm_up_and_cosine_equal_those_of_transformers_up_to_their_end(warmup, rest):
    factors = Warmup(warmup).then(CosineAnnealing(rest)).sample(warmup + 2 * rest + 1)
    theirs = np.array([hf_cosine(t, warmup, warmup + rest) for t in range(len(factors))])
    assert np.abs(factors - theirs)[: warmup + rest + 1].max() <= 1e-12
    assert theirs[-1] == 1  # theirs climbs back to the peak
    assert factors[warmup + rest :].max() == 0


@given(STEPS, STEPS)
def test_warm_up_and_linear_decay_equal_those_of_transformers(warmup, rest):
    factors = Warmup(warmup).then(PolynomialDecay(rest)).sample(warmup + rest + 20)
    theirs = [hf_linear(t, warmup, warmup + rest) for t in range(len(factors))]
    assert np.abs(factors - theirs).max() <= 1e-12


@given(STEPS)
def test_inverse_square_root_equals_that_of_transformers_less_its_wasted_step(warmup):
    factors = InverseSquareRoot(warmup).sample(500)
    theirs = [hf_inverse_sqrt(t, warmup) for t in range(501)]
    assert theirs[0] == 0  # transformers#34754
    assert np.abs(factors - theirs[1:]).max() <= 1e-12


@pytest.mark.parametrize(("warmup", "total"), [(1, 2), (10, 100), (37, 190)])
def test_transformers_itself(warmup, total):
    transformers = pytest.importorskip("transformers")
    peak = 3e-4

    def assert_equal(shape, name, n, first=0, **options):
        build = getattr(transformers, name)
        rates = torch_rates(lambda o: build(o, warmup, **options), peak, first + n)[first:, 0]
        assert np.abs(rates - peak * shape.sample(n)).max() <= 1e-12 * peak

    whole, up = {"num_training_steps": total}, Warmup(warmup)
    cosine, linear = up.then(CosineAnnealing(total - warmup)), PolynomialDecay(total - warmup)
    assert_equal(cosine, "get_cosine_schedule_with_warmup", total + 1, **whole)
    assert_equal(up.then(linear), "get_linear_schedule_with_warmup", total + 20, **whole)
    assert_equal(up, "get_constant_schedule_with_warmup", total)
    root = InverseSquareRoot(warmup)
    assert_equal(root, "get_inverse_sqrt_schedule", 3 * total, first=1, timescale=warmup)
