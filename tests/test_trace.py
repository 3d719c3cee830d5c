"""LRTrace: a true record, and an assertion that fails when it should."""

import copy
import pickle

import numpy as np
import pytest
import torch
from conftest import HalfCosine, Ramp
from torch import nn
from torch.optim import SGD, AdamW

from lrlib import LRTrace, ScheduledLR


def build(lr=0.1, kind=SGD, **options):
    return kind([nn.Parameter(torch.zeros(2))], lr=lr, **options)


def traced(steps=6, shape=Ramp(4), **options):  # noqa: B008
    optimizer = build(**options)
    trace, scheduler = LRTrace(optimizer), ScheduledLR(optimizer, shape)
    for _ in range(steps):
        optimizer.step()
        scheduler.step()
    return trace


def test_it_records_what_the_optimizer_is_about_to_use():
    optimizer = build(momentum=0.5, weight_decay=0.25)
    trace = LRTrace(optimizer)
    for lr in (0.1, 7.0):
        optimizer.param_groups[0]["lr"] = lr
        optimizer.step()
    assert (trace.lr.tolist(), len(trace)) == ([[0.1], [7.0]], 2)
    assert (trace.momentum.tolist(), trace.weight_decay.tolist()) == ([[0.5]] * 2, [[0.25]] * 2)


def test_beta1_is_the_momentum_of_adam_and_what_is_not_there_is_nan():
    optimizer, adagrad = build(kind=AdamW), build(kind=torch.optim.Adagrad)
    traces = LRTrace(optimizer), LRTrace(adagrad)
    optimizer.step(), adagrad.step()
    assert traces[0].momentum.tolist() == [[0.9]]
    assert np.isnan(traces[1].momentum).tolist() == [[True]]


def test_before_the_first_update_there_is_nothing():
    trace = LRTrace(build())
    assert len(trace) == 0 and trace.lr.shape == trace.momentum.shape == (0, 0)
    for use in (lambda: trace.assert_matches(Ramp(4), 0.1), trace.plot):
        with pytest.raises(ValueError, match="nothing was recorded"):
            use()


def test_assert_matches_accepts_the_plan():
    trace = traced()
    assert trace.assert_matches(Ramp(4), 0.1) is None
    assert traced(lr=torch.tensor(0.1)).assert_matches(Ramp(4), 0.1, rtol=1e-7) is None


@pytest.mark.parametrize(
    ("shape", "peak", "start", "message"),
    [
        (HalfCosine(4), 0.1, 0, r"^lr of group 0 left the plan at step 0: .*\(6 of 6 steps differ"),
        (Ramp(4, 0.1, 1.0).then(HalfCosine(9), at=3), 0.1, 0, r"at step 3: .*\(3 of 6 steps"),
        (Ramp(4), 0.1 * (1 + 1e-15), 0, r"at step 0: applied 0\.01\d*, planned 0\.01\d* "),
        (Ramp(4), 0.1, 7, r"at step 7: .*\(4 of 6 steps differ\)"),
    ],
)
def test_assert_matches_names_the_first_step_that_differs(shape, peak, start, message):
    with pytest.raises(AssertionError, match=message):
        traced().assert_matches(shape, peak, start=start)


def test_rounding_of_a_tensor_rate_is_a_difference_unless_allowed():
    with pytest.raises(AssertionError, match="left the plan"):
        traced(lr=torch.tensor(0.1)).assert_matches(Ramp(4), 0.1)


def test_a_rate_of_nan_that_was_applied_does_not_match():
    optimizer = build()
    trace = LRTrace(optimizer)
    for lr in (0.1 * Ramp(4)(0), float("nan")):
        optimizer.param_groups[0]["lr"] = lr
        optimizer.step()
    with pytest.raises(AssertionError, match="at step 1: applied nan"):
        trace.assert_matches(Ramp(4), 0.1)


def test_a_resumed_run_is_compared_from_its_start():
    first = ScheduledLR(build(), Ramp(9))
    for _ in range(3):
        first.optimizer.step()
        first.step()
    optimizer = build()
    trace, scheduler = LRTrace(optimizer), ScheduledLR(optimizer, Ramp(9))
    scheduler.load_state_dict(first.state_dict())
    for _ in range(4):
        optimizer.step()
        scheduler.step()
    trace.assert_matches(Ramp(9), 0.1, start=3)
    (planned, applied) = trace.plot(Ramp(9), 0.1, start=3).lines
    assert planned.get_xdata().tolist() == applied.get_xdata().tolist() == [3, 4, 5, 6]


def test_steps_before_a_group_existed_are_passed_over_but_no_others():
    optimizer = build()
    trace, scheduler = LRTrace(optimizer), ScheduledLR(optimizer, Ramp(4))
    for step in range(5):
        if step == 2:
            optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))], "lr": 0.3})
        optimizer.step()
        scheduler.step()
    assert np.isnan(trace.lr[:, 1]).tolist() == [True, True, False, False, False]
    trace.assert_matches(Ramp(4), 0.3, group=1)
    with pytest.raises(AssertionError, match=r"group 1 left the plan at step 2: .*\(3 of 3 steps"):
        trace.assert_matches(Ramp(4), 0.1, group=1)


def test_a_quantity_that_is_not_there_cannot_match():
    optimizer = build(kind=torch.optim.Adagrad)
    trace = LRTrace(optimizer)
    optimizer.step()
    with pytest.raises(AssertionError, match="group 0 has no momentum"):
        trace.assert_matches(Ramp(4), 0.1, quantity="momentum")


def test_plot_draws_applied_over_planned():
    trace = traced()
    ax = trace.plot(HalfCosine(4), 0.2)
    planned, applied = ax.lines
    assert planned.get_ydata().tolist() == [0.2 * HalfCosine(4)(t) for t in range(6)]
    assert applied.get_ydata().tolist() == trace.lr[:, 0].tolist()
    assert [line.get_label() for line in ax.lines] == ["planned", "applied"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("step", "learning rate")
    (alone,) = trace.plot(quantity="weight_decay").lines
    assert alone.get_ydata().tolist() == [0] * 6
    with pytest.raises(ValueError, match="group must be below 1, got 3"):
        trace.plot(group=3)


def test_detaching_ends_the_record_and_keeps_it():
    optimizer = build()
    with LRTrace(optimizer) as inside:
        optimizer.step()
    outside = LRTrace(optimizer)
    optimizer.step()
    outside.detach()
    optimizer.step()
    assert len(inside) == len(outside) == 1


@pytest.mark.parametrize("twin_of", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copied_trace_keeps_its_records_and_is_detached(twin_of):
    optimizer = build()
    trace = LRTrace(optimizer)
    ScheduledLR(optimizer, Ramp(4))
    optimizer.step()
    twin = twin_of(trace)
    optimizer.step()
    twin.detach()
    assert (twin.lr.tolist(), len(trace)) == ([[0.1 * Ramp(4)(0)]], 2)


def test_cleared_it_starts_over():
    trace = traced(steps=3)
    trace.clear()
    assert len(trace) == 0 and trace.lr.shape == (0, 0)
    optimizer = build()
    with LRTrace(optimizer) as trace:
        optimizer.step()
        trace.clear()
        optimizer.param_groups[0]["lr"] = 0.7
        optimizer.step()
    assert trace.lr.tolist() == [[0.7]]


def test_a_setting_that_cannot_be_read_leaves_no_half_a_row():
    optimizer = build(momentum=0.5)
    trace = LRTrace(optimizer)
    optimizer.param_groups[0]["momentum"] = "much"
    with pytest.raises(ValueError, match="much"):
        optimizer.step()
    optimizer.param_groups[0]["momentum"] = 0.5
    optimizer.step()
    assert trace.lr.tolist() == [[0.1]] and trace.momentum.tolist() == [[0.5]]


def test_a_step_costs_few_bytes_even_with_groups_that_come_and_go():
    optimizer = build()
    trace = LRTrace(optimizer)
    late = {"params": [nn.Parameter(torch.zeros(1))], "lr": 0.3}
    optimizer.step()
    optimizer.add_param_group(late)
    optimizer.step()
    del optimizer.param_groups[1]
    optimizer.step()
    nan = np.nan
    assert np.array_equal(trace.lr, [[0.1, nan], [0.1, 0.3], [0.1, nan]], equal_nan=True)
    for _ in range(1_000):
        optimizer.step()
    assert len(pickle.dumps(trace)) < 1_003 * (24 + 4) + 1_000
