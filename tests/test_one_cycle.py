"""OneCycle and its momentum, against torch, by hand, and where no step is left for a phase."""

import math

import numpy as np
import pytest
import torch
from conftest import (
    assert_equals_torch,
    assert_momentum_equals_torch,
    drive,
    torch_rates,
)
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import OneCycleLR

from lrlib import Constant, CosineAnnealing, OneCycle, ScheduledLR, Warmup

STEPS, SHARES, PEAKS = st.integers(1, 200), st.floats(0, 1), st.floats(1e-5, 10)
STRATEGIES, DIVS, FINALS = st.sampled_from(("cos", "linear")), st.floats(1, 1e3), st.floats(1, 1e6)


@st.composite
def one_cycles(draw):
    """All settings but those at which torch divides by zero."""
    total, three_phase = draw(STEPS), draw(st.booleans())
    pct_start = draw(st.floats(0, 0.5) if three_phase else st.floats(0, 1, exclude_max=True))
    assume(pct_start * total not in (1, total))
    div = draw(DIVS)
    final = draw(FINALS | st.floats(1 / div, 1))
    return OneCycle(total, pct_start, draw(STRATEGIES), div, final, three_phase)


def torchs(shape, peak, **momentum):
    momentum = momentum or {"cycle_momentum": False}
    return lambda optimizer: OneCycleLR(optimizer, peak, **vars(shape), **momentum)


@given(one_cycles(), PEAKS)
def test_it_equals_torch_up_to_its_end(shape, peak):
    assert_equals_torch(shape, torchs(shape, peak), peak, shape.total_steps)


@given(one_cycles(), SHARES, st.floats(0.05, 0.99), st.sampled_from((SGD, AdamW)))
def test_rate_and_momentum_equal_torch(shape, least, top, kind):
    build = torchs(shape, 0.1, base_momentum=least * top, max_momentum=top)
    assert_momentum_equals_torch(shape, least, build, 0.1, top, kind, shape.total_steps)


@pytest.mark.parametrize("kind", [SGD, AdamW])
@pytest.mark.parametrize("three_phase", [False, True])
def test_the_defaults_are_those_of_torch(kind, three_phase):
    shape = OneCycle(100, three_phase=three_phase)

    def build(optimizer):
        return OneCycleLR(optimizer, 0.1, 100, three_phase=three_phase)

    assert_momentum_equals_torch(shape, 0.85 / 0.95, build, 0.1, 0.95, kind, 100)
    assert shape.momentum() == shape.momentum(0.85 / 0.95)


@pytest.mark.parametrize("three_phase", [False, True])
def test_long_runs_equal_torch(three_phase):
    shape = OneCycle(10_000, three_phase=three_phase)
    assert_equals_torch(shape, torchs(shape, 0.1), 0.1, 10_000)


# Where torch is wrong.


@pytest.mark.parametrize("strategy", ["cos", "linear"])
def test_past_its_end_torch_leaves_the_last_rate_and_then_raises(strategy):
    shape = OneCycle(10, anneal_strategy=strategy)
    rates = torch_rates(torchs(shape, 0.1), 0.1, 10)[:, 0]
    assert rates[-1] == pytest.approx(4e-7)
    optimizer = SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = torchs(shape, 0.1)(optimizer)
    for _ in range(10):
        optimizer.step()
        scheduler.step()
    after = optimizer.param_groups[0]["lr"]
    assert after > 4e-3 if strategy == "cos" else after < -0.01
    optimizer.step()
    with pytest.raises(ValueError, match="Tried to step 11 times"):
        scheduler.step()
    assert shape.sample(30)[9:] == pytest.approx([4e-6] * 21, rel=1e-14)


@pytest.mark.parametrize("three_phase", [False, True])
@pytest.mark.parametrize(
    ("total_steps", "pct_start"), [(2, 0.5), (3, 1 / 3), (10, 0.1), (100, 0.01), (1000, 0.001)]
)
def test_torch_divides_by_zero_where_the_rise_has_one_step_and_this_starts_at_the_peak(
    total_steps, pct_start, three_phase
):
    shape = OneCycle(total_steps, pct_start, three_phase=three_phase)
    with pytest.raises(ZeroDivisionError):
        torch_rates(torchs(shape, 0.1), 0.1, 1)
    factors = shape.sample(total_steps + 3)
    assert factors[0] == 1 and shape.momentum(0.5)(0) == 0.5
    assert (factors[total_steps - 1 :] == 1 / 25 / 1e4).all()
    before = OneCycle(total_steps, pct_start * (1 - 1e-9), three_phase=three_phase)
    if not three_phase:  # the limit of shorter rises
        assert factors == pytest.approx(before.sample(total_steps + 3), abs=1e-6)
        fall = CosineAnnealing(total_steps - 1, 1 / 25 / 1e4)
        assert factors == pytest.approx(fall.sample(total_steps + 3), abs=1e-15)


@pytest.mark.parametrize("total_steps", [1, 2, 3, 40])
def test_all_of_the_run_may_rise_and_torch_raises_after_it(total_steps):
    shape = OneCycle(total_steps, 1.0)
    factors = shape.sample(total_steps + 3)
    assert (factors[total_steps - 1 :] == 1).all()
    if total_steps == 1:
        with pytest.raises(ZeroDivisionError):
            torch_rates(torchs(shape, 0.1), 0.1, 1)
        return
    assert_equals_torch(shape, torchs(shape, 0.1), 0.1, total_steps - 1)
    with pytest.raises(ZeroDivisionError):
        torch_rates(torchs(shape, 0.1), 0.1, total_steps)
    assert factors[0] == 1 / 25


@given(STEPS, st.floats(0, 0.999), STRATEGIES, st.booleans())
def test_without_a_step_for_the_rise_the_run_starts_past_the_peak(total, part, strategy, three):
    # pct_start * total_steps is below 1: what torch does is the limit, and is kept.
    shape = OneCycle(total, part / max(total, 2), strategy, three_phase=three)
    factors = shape.sample(total + 3)
    assert (np.diff(factors) <= 0).all()
    assert (factors[total - 1 :] == 1 / 25 / 1e4).all()
    assert (factors <= (1 / 25 if three else 1)).all()
    assert_equals_torch(shape, torchs(shape, 0.1), 0.1, total)


def test_no_rise_by_hand():
    assert OneCycle(4, 0.0, "linear", 2, 1).sample(5).tolist() == [0.875, 0.75, 0.625, 0.5, 0.5]
    assert OneCycle(1).sample(3) == pytest.approx([4e-6] * 3)
    assert OneCycle(2, 0.0, "linear", 2, 1).sample(3).tolist() == [0.75, 0.5, 0.5]


@given(STEPS, SHARES, STRATEGIES, st.booleans())
def test_no_setting_divides_by_zero(total, pct_start, strategy, three_phase):
    for share in (pct_start, 1 / total, 2 / total, 0.0, 0.5, 1.0):
        if share > (0.5 if three_phase else 1):
            continue
        shape = OneCycle(total, share, strategy, three_phase=three_phase)
        factors = shape.sample(total + 5)
        assert np.isfinite(factors).all() and (factors <= 1).all() and (factors >= 3.9e-6).all()
        assert len(set(factors[total - 1 :])) == 1
        assert (shape.momentum(0.3).sample(total + 5) >= 0.3).all()


def test_steps_for_a_share_raise_and_say_which_share_they_are():
    with pytest.raises(
        ValueError, match=r"pct_start must be a share .* not a number of steps, got"
    ):
        OneCycle(1000, 2000)
    with pytest.raises(ValueError, match=r"got 300; 300 of 1000 steps are pct_start=0\.3$"):
        OneCycle(1000, 300)
    with pytest.raises(ValueError, match=r"got 1\.5$"):
        OneCycle(1000, 1.5)


def test_torch_ends_high_if_the_second_of_three_phases_does_not_fit():
    def build(optimizer):
        return OneCycleLR(optimizer, 1.0, 100, pct_start=0.8, three_phase=True)

    assert torch_rates(build, 1.0, 100)[-1, 0] > 0.8
    with pytest.raises(ValueError, match=r"pct_start must be at most 0\.5 with three_phase=True"):
        OneCycle(100, 0.8, three_phase=True)
    assert OneCycle(100, 0.5, three_phase=True)(99) == 1 / 25 / 1e4


def test_torch_takes_a_start_above_the_peak():
    def build(optimizer):
        return OneCycleLR(optimizer, 1.0, 10, div_factor=0.1)

    assert torch_rates(build, 1.0, 10)[0, 0] == 10
    with pytest.raises(ValueError, match=r"div_factor must be at least 1, got 0\.1"):
        OneCycle(10, div_factor=0.1)
    for name in ("div_factor", "final_div_factor"):
        with pytest.raises(ZeroDivisionError):
            OneCycleLR(SGD([nn.Parameter(torch.zeros(1))], lr=0.1), 1.0, 10, **{name: 0.0})


# What it is.


@given(one_cycles())
def test_it_goes_up_to_one_and_down_to_the_last_factor_which_is_held(shape):
    total, start = shape.total_steps, 1 / shape.div_factor
    factors, peak = shape.sample(total + 5), shape.pct_start * shape.total_steps - 1
    end = start / shape.final_div_factor
    assert (factors <= 1).all() and (factors >= min(start, end) * (1 - 1e-15)).all()
    assert (factors[total - 1 :] == end).all() and shape.length == total
    rise, fall = factors[: max(0, math.floor(peak) + 1)], factors[max(0, math.ceil(peak)) :]
    assert (np.diff(rise) >= -1e-15).all()
    if not shape.three_phase or end <= start:
        assert (np.diff(fall) <= 1e-15).all()
    if peak > 0:
        assert factors[0] == start


@given(st.integers(1, 50), st.integers(2, 50), STRATEGIES, DIVS, st.booleans())
def test_a_whole_peak_is_one_exactly(rise, rest, strategy, div, three_phase):
    # With a power of two of steps the share is exact.
    total = 2 ** math.ceil(math.log2(2 * rise + rest))
    shape = OneCycle(total, (rise + 1) / total, strategy, div, three_phase=three_phase)
    assert shape(rise) == 1 == shape.height(rise)
    assert [shape(0), shape.height(0)] == [1 / div, 0]
    if three_phase:
        assert [shape(2 * rise), shape.height(2 * rise)] == [1 / div, 0]
        assert shape.height(2 * rise + 1) == 0


@given(one_cycles(), st.integers(0, 10**15))
def test_rate_and_momentum_are_held_past_the_end(shape, beyond):
    last = shape.total_steps - 1
    assert shape(last + beyond) == shape(last)
    assert shape.height(last + beyond) == shape.height(last) == 0
    assert shape.momentum(0.3)(last + beyond) == 1


@given(one_cycles(), SHARES, st.integers(0, 250))
def test_the_momentum_moves_against_the_rate(shape, least, step):
    value = shape.momentum(least)(step)
    assert least <= value <= 1
    assert value == pytest.approx(1 - (1 - least) * shape.height(step), abs=1e-15)


def test_known_values():
    linear = OneCycle(8, 0.5, "linear", 4, 1)
    assert linear.sample(10) == pytest.approx(
        [1 / 4, 1 / 2, 3 / 4, 1, 13 / 16, 10 / 16, 7 / 16, 1 / 4, 1 / 4, 1 / 4]
    )
    assert linear.momentum(0).sample(9) == pytest.approx(
        [1, 2 / 3, 1 / 3, 0, 1 / 4, 1 / 2, 3 / 4, 1, 1]
    )
    three = OneCycle(8, 3 / 8, "linear", 2, 2, three_phase=True)
    assert three.sample(9) == pytest.approx([0.5, 0.75, 1, 0.75, 0.5, 5 / 12, 1 / 3, 0.25, 0.25])
    assert three.momentum(0.5).sample(9).tolist() == [1, 0.75, 0.5, 0.75, 1, 1, 1, 1, 1]
    cosine = OneCycle(8, 3 / 8, div_factor=2, final_div_factor=1)
    assert cosine.sample(3).tolist() == [0.5, 0.75, 1]


def test_it_is_a_warm_up_and_an_annealing():
    # 400 steps up, 600 down, on lines between the same corners.
    shape = OneCycle(1001, 401 / 1001, "linear", 10, 1e5)
    down = OneCycle(601, 1 / 601, "linear", 10, 1e5)
    assert shape.sample(1001) == pytest.approx(Warmup(400, 0.1).then(down).sample(1001), abs=1e-12)


def test_what_follows_starts_after_the_last_step():
    shape = OneCycle(5, 0.4).then(Constant(0.5))
    assert shape.sample(7)[4:].tolist() == [1 / 25 / 1e4, 0.5, 0.5]


def test_groups_keep_the_ratio_of_their_rates_and_of_their_momenta():
    shape = OneCycle(20)
    groups = [
        {"params": [nn.Parameter(torch.zeros(1))], "lr": lr, "momentum": momentum}
        for lr, momentum in ((0.1, 0.95), (0.01, 0.5))
    ]
    trace = drive(SGD(groups), lambda it: ScheduledLR(it, shape, momentum=shape.momentum()), 25)
    for group, (lr, momentum) in enumerate(((0.1, 0.95), (0.01, 0.5))):
        trace.assert_matches(shape, lr, group=group)
        trace.assert_matches(shape.momentum(), momentum, group=group, quantity="momentum")
