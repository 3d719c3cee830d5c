"""A batch that grows in place of a rate that falls; straight lines between given factors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrlib import CosineAnnealing
from lrlib.lab.ramps import BatchRamp, Knots


@given(st.integers(1, 300), st.integers(1, 40), st.integers(0, 5), st.floats(0, 1))
def test_a_ramp_sees_the_cosines_examples(steps, batch, doublings, power):
    ramp = BatchRamp(steps, batch, batch * 2**doublings, power)
    sizes, factors = np.array(ramp.sizes), ramp.sample(len(ramp.sizes))
    assert sizes.sum() == steps * batch and ramp.length == len(sizes) - 1
    assert sizes.min() >= 1 and sizes.max() <= batch * 2**doublings
    # Every update keeps to the rule, at the place in the cosine that its examples have reached.
    seen = np.append(0, np.cumsum(sizes)[:-1]) // batch
    cosine = np.array([CosineAnnealing(steps)(int(t)) for t in seen])
    assert factors == pytest.approx(cosine * (sizes / batch) ** (1 - power))


def test_the_root_rule_and_its_extremes():
    root, held, rate = (BatchRamp(2000, power=power) for power in (0.5, 0.0, 1.0))
    assert root.sizes == held.sizes == rate.sizes and len(root.sizes) == 1009
    n = len(root.sizes)
    growing = np.flatnonzero(np.array(root.sizes) < 512)
    growing = growing[growing < n - 1]
    assert held.sample(n)[growing] == pytest.approx(1, abs=0.5 / 16)  # sizes are whole numbers
    assert root.sample(n) == pytest.approx(np.sqrt(held.sample(n) * rate.sample(n)))
    assert rate.sizes[0] == 16 and max(rate.sizes) == 512


def test_without_room_to_grow_it_is_the_cosine():
    ramp = BatchRamp(50, 8, 8)
    assert ramp.sizes == (8,) * 50
    assert ramp.sample(50) == pytest.approx(CosineAnnealing(50).sample(50))


def test_knots_are_joined_by_straight_lines():
    shape = Knots(9, (1.0, 0.5, 0.0))
    assert shape.sample(11).tolist() == [1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0, 0, 0]
    assert shape.length == 8 and Knots(9, [1, 0.5, 0]) == shape
    assert Knots.rounded(3, np.array([1, 0.12345])) == Knots(3, (1.0, 0.123))
    assert eval(repr(shape), {"Knots": Knots}) == shape


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: BatchRamp(0), "BatchRamp: steps must be at least 1, got 0"),
        (lambda: BatchRamp(10, 0), "BatchRamp: batch"),
        (lambda: BatchRamp(10, 16, 8), "BatchRamp: most must be at least 16, got 8"),
        (lambda: BatchRamp(10, power=1.5), "BatchRamp: power"),
        (lambda: Knots(1, (1.0, 0.0)), "Knots: steps"),
        (lambda: Knots(5, (1.0,)), "Knots: factors must be two or more"),
        (lambda: Knots(5, (1.0, -0.1)), "Knots: every entry of factors"),
    ],
)
def test_bad_arguments(make, said):
    with pytest.raises(ValueError, match=said):
        make()
