"""Schedules and their combinators, as properties of arbitrarily nested ones."""

import copy
import math
import pickle

import conftest
import numpy as np
import pytest
import torch
from conftest import SHAPES, Formula, HalfCosine, Ramp, Sawtooth, schedules
from hypothesis import assume, given
from hypothesis import strategies as st

import lrlib
from lrlib import Constant, Product, Schedule, Then

STEPS = st.integers(0, 300)


@given(schedules(), STEPS)
def test_factors_are_finite_and_not_negative(shape, step):
    value = shape(step)
    assert type(value) is float
    assert math.isfinite(value) and value >= 0


@given(st.floats(0, 1e300), st.none() | st.integers(1, 50), st.integers(0, 10**12))
def test_constant_is_its_factor_exactly(factor, total_iters, step):
    assert Constant(factor, total_iters)(step) == factor


@given(schedules(), st.integers(0, 10**9))
def test_the_last_value_is_held_past_the_end(shape, beyond):
    assume(shape.length is not None)
    assert shape(shape.length + beyond) == shape(shape.length)


@given(schedules(), schedules(), schedules(), st.data())
def test_then_is_associative(a, b, c, data):
    at = data.draw(st.integers(1, 40)) if a.length is None else a.length
    gap = data.draw(st.integers(1, 40)) if b.length is None else b.length
    left = a.then(b, at).then(c, at + gap)
    right = a.then(b.then(c, gap), at)
    assert left == right
    assert left.sample(200).tolist() == right.sample(200).tolist()


@given(schedules(), schedules(), STEPS, st.data())
def test_then_runs_the_first_and_from_at_on_the_second(a, b, step, data):
    at = data.draw(st.integers(1, 60))
    assert a.then(b, at)(step) == (a(step) if step < at else b(step - at))


@given(schedules(), schedules(), STEPS)
def test_product_is_the_product_step_by_step(a, b, step):
    assert (a * b)(step) == pytest.approx(a(step) * b(step), rel=1e-14, abs=1e-300)


@given(schedules(3), schedules(3), schedules(3))
def test_product_is_associative(a, b, c):
    assert (a * b) * c == a * (b * c)


@given(schedules(), st.integers(0, 120))
def test_sample_equals_pointwise_calls(shape, n):
    sampled = shape.sample(n)
    assert sampled.shape == (n,) and sampled.dtype == np.float64
    assert sampled.tolist() == [shape(step) for step in range(n)]


@given(schedules(12))
def test_repr_pickle_and_deepcopy_round_trip(shape):
    names = vars(lrlib) | vars(conftest)
    for twin in (eval(repr(shape), names), pickle.loads(pickle.dumps(shape)), copy.deepcopy(shape)):
        assert twin == shape and hash(twin) == hash(shape) and repr(twin) == repr(shape)
        assert twin.sample(100).tolist() == shape.sample(100).tolist()


@given(schedules(2), schedules(2))
def test_schedules_are_equal_exactly_if_their_reprs_are(a, b):
    assert (a == b) == (repr(a) == repr(b))
    assert len({a, b}) == (1 if a == b else 2)


def test_default_of_then_is_the_length_of_the_first():
    shape = Ramp(4).then(HalfCosine(6)).then(Sawtooth(2))
    assert shape == Then((Ramp(4), HalfCosine(6), Sawtooth(2)), (4, 10))
    assert [shape.length, Ramp(4).then(HalfCosine(6)).length] == [None, 10]


def test_at_truncates_what_comes_before_it():
    long = Ramp(10).then(HalfCosine(10)).then(Ramp(10))
    assert long.then(Constant(2), at=12) == Then((Ramp(10), HalfCosine(10), Constant(2)), (10, 12))
    assert long.then(Constant(2), at=10) == Then((Ramp(10), Constant(2)), (10,))
    assert long.then(Constant(2), at=3) == Then((Ramp(10), Constant(2)), (3,))


def test_at_beyond_the_end_holds_the_last_value_until_then():
    shape = Ramp(2, 0, 1).then(Constant(0.5), at=5)
    assert shape.sample(7).tolist() == [0, 0.5, 1, 1, 1, 0.5, 0.5]


def test_a_schedule_is_immutable():
    with pytest.raises(AttributeError):
        Constant(1).factor = 2


def test_lists_are_taken_for_tuples():
    assert Then([Ramp(2), Constant()], [2]) == Ramp(2).then(Constant())
    assert hash(Product([Ramp(2), Constant()])) == hash(Ramp(2) * Constant())


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, -0.1])
def test_a_shape_that_breaks_the_rules_raises_wherever_it_is_nested(bad):
    breaks = Formula(lambda step: bad if step == 3 else 1.0)
    for shape in (breaks, breaks * Constant(), Constant(1, 2).then(breaks), Ramp(2).then(breaks)):
        with pytest.raises(ValueError, match=r"Formula: the factor at step 3 must be finite"):
            shape.sample(10)
    assert breaks(2) == 1


@pytest.mark.parametrize("bad", [None, 1j, "1", torch.tensor(0.5), np.array(0.5)], ids=repr)
def test_a_formula_must_return_a_number(bad):
    for shape in (Formula(lambda step: bad), Constant() * Formula(lambda step: bad)):
        with pytest.raises(TypeError, match=r"Formula: the formula must return a number, got .* 3"):
            shape(3)


def test_a_product_that_overflows_raises():
    with pytest.raises(ValueError, match="Product: the factor at step 0 must be finite"):
        (Constant(1e200) * Constant(1e200))(0)


def test_schedule_is_abstract():
    with pytest.raises(TypeError, match="formula"):
        Schedule()


@pytest.mark.parametrize("name", SHAPES)
def test_plot_draws_peak_times_factor(name):
    shape = SHAPES[name]
    (line,) = shape.plot(15, peak=0.2, color="red").lines
    assert line.get_xdata().tolist() == list(range(15))
    assert line.get_ydata().tolist() == (0.2 * shape.sample(15)).tolist()
    assert line.get_color() == "red"


def test_plot_names_its_axes_and_shows_what_is_held():
    ax = Ramp(20).plot()
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("step", "factor")
    assert len(ax.lines[0].get_xdata()) == 23
    assert Ramp(20).plot(peak=0.1).get_ylabel() == "learning rate"
    assert Sawtooth(3).plot(5, ax=ax) is ax and len(ax.lines) == 2
