"""StepDecay and MultiStepDecay, against torch and by hand."""

import json
import pickle

import numpy as np
import pytest
import torch
from conftest import assert_equals_torch, torch_rates
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import MultiStepLR, StepLR

from lrlib import MultiStepDecay, StepDecay

GAMMAS, PEAKS = st.floats(1e-3, 1), st.floats(1e-5, 10)
MILESTONES = st.sets(st.integers(1, 150), min_size=1, max_size=6).map(sorted)


@given(st.integers(1, 80), GAMMAS, PEAKS)
def test_step_decay_equals_torch(step_size, gamma, peak):
    assert_equals_torch(
        StepDecay(step_size, gamma), lambda o: StepLR(o, step_size, gamma), peak, 200
    )


@given(MILESTONES, GAMMAS, PEAKS)
def test_multi_step_decay_equals_torch(milestones, gamma, peak):
    shape = MultiStepDecay(milestones, gamma)
    assert_equals_torch(shape, lambda o: MultiStepLR(o, milestones, gamma), peak, 200)


def test_where_torch_takes_steps_that_are_no_integers_and_goes_wrong():
    # A milestone computed as a share of the run is never met: 0.29 * 100 is 28.999999999999996.
    rates = torch_rates(lambda o: MultiStepLR(o, [0.29 * 100]), 1.0, 100)
    assert (rates == 1).all()
    assert MultiStepDecay((29,)).sample(100).tolist() == [1] * 29 + [0.1] * 71
    # Nor does a step size of 3.0000000000000004 divide any step.
    rates = torch_rates(lambda o: StepLR(o, 0.1 * 3 * 10), 1.0, 100)
    assert (rates == 1).all()
    assert StepDecay(3).sample(100)[[2, 3, 6]].tolist() == [1, 0.1, 0.1**2]


@given(st.integers(1, 50), GAMMAS, st.integers(0, 10**15))
def test_step_decay_counts_the_full_periods(step_size, gamma, step):
    shape = StepDecay(step_size, gamma)
    assert 0 <= shape(step) <= 1
    assert shape(step) == gamma ** (step // step_size)
    assert shape(step_size - 1) == 1 and shape(step_size) == gamma
    assert shape.length is None


@given(MILESTONES, GAMMAS)
def test_multi_step_decay_drops_at_each_milestone_and_is_held_after_the_last(milestones, gamma):
    shape = MultiStepDecay(milestones, gamma)
    for i, milestone in enumerate(milestones):
        assert shape(milestone - 1) == gamma**i and shape(milestone) == gamma ** (i + 1)
    assert shape.length == milestones[-1]
    assert shape(10**15) == shape(shape.length) == gamma ** len(milestones)


@given(st.integers(1, 30), MILESTONES, GAMMAS)
def test_neither_ever_rises(step_size, milestones, gamma):
    for shape in (StepDecay(step_size, gamma), MultiStepDecay(milestones, gamma)):
        factors = shape.sample(200)
        assert factors[0] == 1
        assert (np.diff(factors) <= 0).all() and (factors >= 0).all()


@given(st.integers(1, 20), st.integers(1, 5), GAMMAS)
def test_even_milestones_are_step_decay_until_the_last(step_size, drops, gamma):
    even = MultiStepDecay([step_size * i for i in range(1, drops + 1)], gamma)
    n = step_size * (drops + 1)
    assert even.sample(n).tolist() == StepDecay(step_size, gamma).sample(n).tolist()


def test_known_values():
    imagenet = MultiStepDecay((30, 60, 90))
    assert [imagenet(t) for t in (0, 29, 30, 59, 60, 90, 1000)] == [
        *[1, 1, 0.1, 0.1, 0.1**2, 0.1**3, 0.1**3]
    ]
    assert StepDecay(10, 0.5).sample(31)[::10].tolist() == [1, 0.5, 0.25, 0.125]
    assert StepDecay(1)(10**15) == 0.0  # the power underflows


@pytest.mark.parametrize(
    "milestones",
    [
        range(3, 10, 3),
        (m for m in (3, 6, 9)),
        np.arange(3, 10, 3),
        np.array([3, 6, 9], dtype=np.uint8),
        (np.int16(3), 6, np.uint64(9)),
        iter([3, 6, 9]),
        torch.tensor([3, 6, 9]),
        [torch.tensor(3), 6, torch.tensor(9, dtype=torch.int16)],
    ],
    ids=lambda it: type(it).__name__,
)
def test_milestones_are_any_iterable_of_integers(milestones):
    shape = MultiStepDecay(milestones, 0.5)
    assert shape == MultiStepDecay((3, 6, 9), 0.5) and hash(shape) == hash(eval(repr(shape)))
    assert all(type(milestone) is int for milestone in shape.milestones)
    assert pickle.loads(pickle.dumps(shape)) == shape
    assert json.loads(json.dumps(shape.to_dict()))["milestones"] == [3, 6, 9]
    assert shape.sample(12).tolist() == shape.sample(12).tolist()  # a generator is not used up


def test_defaults_and_lists():
    assert StepDecay(5).gamma == MultiStepDecay((5,)).gamma == 0.1
    assert MultiStepDecay([3, 8]) == MultiStepDecay((3, 8))
    assert hash(MultiStepDecay([np.int64(3)])) == hash(MultiStepDecay((3,)))
    assert repr(MultiStepDecay([3, 8], 1)) == "MultiStepDecay(milestones=(3, 8), gamma=1.0)"
