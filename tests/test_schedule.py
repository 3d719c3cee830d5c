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
from lrlib import (
    WSD,
    Constant,
    Cooldown,
    CosineAnnealing,
    CosineCycles,
    OneCycle,
    PolynomialDecay,
    Product,
    Schedule,
    Then,
    Warmup,
)
from lrlib.schedule import FORMS

STEPS = st.integers(0, 300)


def begins_at(shape, step):
    """Whether a phase of the schedule begins at that step, where the factor may jump."""
    return isinstance(shape, Then) and step in shape.milestones


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
    at = data.draw(st.integers(0, 40)) if a.length is None else a.length
    gap = data.draw(st.integers(0, 40)) if b.length is None else b.length
    left = a.then(b, at).then(c, at + gap)
    right = a.then(b.then(c, gap), at)
    assert left == right
    assert left.sample(200).tolist() == right.sample(200).tolist()


@given(schedules(), schedules(), STEPS, st.data())
def test_then_runs_the_first_and_from_at_on_the_second(a, b, step, data):
    at = data.draw(st.integers(0, 60))
    both = a.then(b, at)(step)
    if b.length == 0 and at:  # nothing follows: what a has reached is held
        held = a.then(b, at)(at) if begins_at(a, at) else a(at)
        assert both == (a(step) if step < at else held)
    else:
        assert both == (a(step) if step < at else b(step - at))


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


# --- phases without steps

EMPTY = {
    "constant": Constant(0.5, 0),
    "polynomial decay": PolynomialDecay(0, 2.0, 0.2),
    "cosine annealing": CosineAnnealing(0, 0.3),
    "cosine cycles": CosineCycles(0, 2.0, 0.3),
    "cosine cycles, restarts": CosineCycles(0, 2, 0.3, restarts=True),
    "warm-up": Warmup(0, 0.1),
    "exponential warm-up": Warmup(0, 0.1, "exponential"),
    "one-cycle": OneCycle(0),
    "one-cycle, three phases": OneCycle(0, 0.4, three_phase=True),
    "momentum of one-cycle": OneCycle(0).momentum(0.8),
    "cooldown": Cooldown(0, "linear", 0.8, 0.4),
    "WSD": WSD(0),
    "product": Warmup(0) * Constant(0.5, 0),
    "then": Warmup(0).then(CosineAnnealing(0, 0.3)),
    "one of your own": Ramp(0),  # whose formula divides by its length
}
LAST = [0.5, 0.2, 0.3, 1.0, 0.3, 1, 1, 1 / (25 * 1e4), 1 / (25 * 1e4), 1, 0.4, 1, 0.5, 0.3]


@pytest.mark.parametrize("name", EMPTY)
def test_an_empty_phase_contributes_nothing_wherever_it_is(name):
    empty = EMPTY[name]
    assert empty.length == 0
    for x in (Ramp(5), Ramp(5).then(HalfCosine(6)), Sawtooth(3), Sawtooth(3) * Ramp(4)):
        assert empty.then(x) == x == x.then(x, at=0) == empty.then(empty).then(x)
        if x.length is not None:
            assert x.then(empty) == x == x.then(empty).then(empty) == x.then(empty.then(empty))
            assert x.then(empty).then(Sawtooth(3)) == x.then(Sawtooth(3))
            assert x.then(empty.then(Sawtooth(3))) == x.then(Sawtooth(3))
        for at in (2, 9):  # cut, or held
            held = [x(min(step, at)) for step in range(15)]
            assert x.then(empty, at).sample(15).tolist() == held
            assert Then((x, empty), (at,)).sample(15).tolist() == held
            assert x.then(empty, at).then(Constant(2)) == x.then(Constant(2), at)
            assert x.then(empty, at).length == at


@pytest.mark.parametrize(("name", "last"), [*zip([*EMPTY][:-1], LAST, strict=True)])
def test_an_empty_schedule_alone_is_its_last_value(name, last):
    empty = EMPTY[name]
    assert empty.sample(3).tolist() == [empty(0)] * 3 == [empty(10**9)] * 3
    assert empty(0) == pytest.approx(last, rel=1e-15)
    assert (empty * Ramp(4)).sample(6) == pytest.approx(last * Ramp(4).sample(6), rel=1e-15)
    assert empty.sample(0).shape == (0,)
    (line,) = empty.plot().lines
    assert line.get_ydata().tolist() == [empty(0)]


def test_a_phase_that_would_begin_where_nothing_follows_is_left_out():
    # As a.then(b.then(c, at=0)) says it: of b no step is made.
    a, b = Ramp(4, 0, 1), Constant(3)
    assert a.then(b).then(Warmup(0), at=4).sample(7).tolist() == [0, 0.25, 0.5, 0.75, 1, 1, 1]
    assert a.then(b).then(Warmup(0), at=5).sample(7).tolist() == [0, 0.25, 0.5, 0.75, 3, 3, 3]


def test_an_empty_schedule_that_is_given_steps_holds_its_last_value_in_them():
    assert Warmup(0).then(Ramp(2, 0, 1), at=3).sample(6).tolist() == [1, 1, 1, 0, 0.5, 1]


@pytest.mark.parametrize("name", ["warm-up", "one-cycle", "then"])
def test_an_optimizer_can_be_driven_by_an_empty_schedule(name):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    trace = conftest.drive(optimizer, lambda it: lrlib.ScheduledLR(it, EMPTY[name]), 3)
    assert trace.lr[:, 0].tolist() == [0.5 * EMPTY[name](0)] * 3


# --- cooling down from wherever it is


@given(schedules(), st.integers(0, 60), st.integers(1, 40), st.sampled_from(FORMS), st.floats(0, 1))
def test_a_cooldown_starts_where_the_schedule_is_and_never_jumps(shape, at, steps, form, share):
    reached, factors = shape(at), shape.sample(at)
    cooled = shape.cooldown(at=at, steps=steps, form=form, to=share * reached)
    sampled = cooled.sample(at + steps + 5)
    assert sampled[:at].tolist() == factors.tolist()
    assert sampled[at] == reached
    assert (sampled[at + steps :] == share * reached).all() and cooled(10**9) == share * reached
    assert (np.diff(sampled[at:]) <= 0).all()
    s = np.arange(steps + 1) / steps
    height = {"1-sqrt": 1 - np.sqrt(s), "linear": 1 - s, "cosine": (1 + np.cos(np.pi * s)) / 2}
    expected = reached * (share + (1 - share) * height[form])
    assert np.abs(sampled[at : at + steps + 1] - expected).max() <= 1e-12 * max(1, reached)


@given(schedules(3), st.integers(0, 60))
def test_a_cooldown_without_steps_holds_what_is_reached(shape, at):
    cooled = shape.cooldown(at=at, steps=0)
    assert cooled.length == at
    assert cooled.sample(at).tolist() == shape.sample(at).tolist()
    assert (cooled.sample(80)[at:] == cooled(at)).all()
    if not begins_at(shape, at):
        assert cooled(at) == shape(at)


def test_cooling_down_a_cosine_is_not_starting_another_schedule():
    cosine = CosineAnnealing(100)
    assert cosine.then(PolynomialDecay(20), at=50)(50) == 1  # it jumps
    cooled = cosine.cooldown(at=50, steps=20, form="linear")
    assert cooled(50) == cosine(50) == pytest.approx(0.5) and cooled(60) == pytest.approx(0.25)
    assert cooled.length == 70 and cooled(70) == cooled(1000) == 0
    assert cosine.cooldown(at=500, steps=9)(505) == 0  # after its end, where it has reached 0


def test_a_cooldown_can_be_nested_and_cooled_down_again():
    shape = (Warmup(5).then(Constant()) * Sawtooth(4)).cooldown(at=9, steps=8, to=0.25)
    again = shape.cooldown(at=11, steps=2, form="cosine", to=0.1)
    assert again.sample(12).tolist() == shape.sample(12).tolist() and again(13) == 0.1
    assert (again.then(Ramp(3)) * Constant(2))(13) == 0.2
    with pytest.raises(ValueError, match=r"to must be at most the factor .* step 2, 0.4, got 0.5"):
        Warmup(5).cooldown(at=2, steps=3, to=0.5)


def test_milestones_of_then_are_any_iterable_of_integers():
    parts = (Ramp(2), Ramp(3), Constant())
    for milestones in ((2, 5), range(2, 6, 3), np.array([2, 5]), (m for m in (2, 5))):
        assert Then(parts, milestones) == Ramp(2).then(Ramp(3)).then(Constant())


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
