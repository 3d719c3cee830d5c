"""Cyclical and the momentum that moves against it, against torch, fractions and by hand."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from conftest import (
    assert_equals_torch,
    assert_momentum_equals_torch,
    drive,
    torch_rates,
)
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import CyclicLR

from lrlib import Constant, Cyclical, CyclicalMomentum, OneCycle, Schedule, ScheduledLR, Warmup
from lrlib.cyclical import MODES

SIZES, SHARES, PEAKS = st.integers(1, 60), st.floats(0, 1), st.floats(1e-5, 10)
GAMMAS = st.floats(1e-3, 1) | st.floats(0.95, 1)
CYCLES = st.tuples(SIZES, st.none() | SIZES, st.sampled_from(MODES), GAMMAS)


def torchs(base_lr, max_lr, up, down=None, mode="triangular", gamma=1.0, **momentum):
    momentum = momentum or {"cycle_momentum": False}
    return lambda optimizer: CyclicLR(optimizer, base_lr, max_lr, up, down, mode, gamma, **momentum)


def exact_height(up, down, step):
    """The triangle as a fraction."""
    T_cur = step % (up + down)
    return min(Fraction(T_cur, up), Fraction(up + down - T_cur, down))


@given(CYCLES, SHARES | st.just(0.0), PEAKS)
def test_it_equals_torch(cycle, min_factor, peak):
    shape = Cyclical(min_factor, *cycle)
    assert_equals_torch(shape, torchs(min_factor * peak, peak, *cycle), peak, 300)


@given(CYCLES, SHARES, SHARES, st.floats(0.05, 0.99), st.sampled_from((SGD, AdamW)))
def test_rate_and_momentum_equal_torch(cycle, min_factor, least, top, kind):
    shape = Cyclical(min_factor, *cycle)
    momentum = {"base_momentum": least * top, "max_momentum": top}
    build = torchs(min_factor * 0.1, 0.1, *cycle, **momentum)
    assert_momentum_equals_torch(shape, least, build, 0.1, top, kind, 60)


def test_the_default_momentum_is_that_of_torch():
    shape = Cyclical(0.1, 7)
    build = torchs(0.01, 0.1, 7, cycle_momentum=True)
    assert_momentum_equals_torch(shape, 0.8 / 0.9, build, 0.1, 0.9, SGD, 40)
    assert shape.momentum() == CyclicalMomentum(shape, 0.8 / 0.9)


# Where torch is wrong, fractions decide.


def torch_at(step, *cycle, **options):
    """The rate of a torch scheduler after `step` steps, of which it is spared all but the last."""
    optimizer = SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = torchs(0.0, 1.0, *cycle, **options)(optimizer)
    scheduler.last_epoch = step - 1
    optimizer.step()
    scheduler.step()
    return optimizer.param_groups[0]["lr"]


@pytest.mark.parametrize(("up", "down"), [(1, 2), (3, 4), (1, 999), (999, 1), (2000, 5000)])
def test_torch_loses_digits_in_long_runs(up, down):
    step = 7 * 10**9 + 1
    exact = exact_height(up, down, step)
    assert abs(torch_at(step, up, down) - exact) > 1e-11
    assert Cyclical(0, up, down)(step) == float(exact)


def test_torch_lost_every_digit_when_the_step_is_large_enough():
    # 1 + step / size is rounded: here to a whole number, which is the bottom instead of the top.
    step = 2 * 10**16 + 1
    assert torch_at(step, 1) == 0
    assert Cyclical(0, 1)(step) == 1


def test_torch_overflows_in_cycle_1025_of_triangular2():
    with pytest.raises(OverflowError):
        torch_at(2 * 1024 + 1, 1, 1, "triangular2")
    assert Cyclical(0, 1, 1, "triangular2")(2 * 1024 + 1) == 2.0**-1024
    assert Cyclical(0.25, 1, 1, "triangular2")(10**15 + 1) == 0.25  # underflows


def test_torch_takes_sizes_that_are_no_integers_and_never_gets_to_the_peak():
    assert torch_rates(torchs(0.0, 1.0, 2.5), 1.0, 100).max() == pytest.approx(0.8)
    assert Cyclical(0, 3).sample(100).max() == 1


def test_torch_divides_by_zero_without_steps_up():
    with pytest.raises(ZeroDivisionError):
        torch_rates(torchs(0.0, 1.0, 0, 5), 1.0, 1)
    with pytest.raises(ValueError, match="step_size_up must be at least 1, got 0"):
        Cyclical(0, 0, 5)


def test_torch_without_steps_down_never_gets_to_the_peak():
    assert torch_rates(torchs(0.0, 1.0, 4, 0), 1.0, 40).max() == 0.75
    with pytest.raises(ValueError, match="step_size_down must be at least 1, got 0"):
        Cyclical(0, 4, 0)


@pytest.mark.parametrize(
    ("gamma", "wrong"), [(1.1, lambda r: r.max() > 5), (-1.0, lambda r: r.min() < 0)]
)
def test_torch_takes_a_gamma_that_leaves_the_range(gamma, wrong):
    assert wrong(torch_rates(torchs(0.0, 1.0, 5, 5, "exp_range", gamma), 1.0, 40))
    with pytest.raises(ValueError, match="gamma must be"):
        Cyclical(0, 5, 5, "exp_range", gamma)


def test_torch_takes_a_bottom_above_the_peak_and_goes_down_first():
    assert (np.diff(torch_rates(torchs(1.0, 0.1, 5), 1.0, 6)[:, 0]) < 0).all()
    with pytest.raises(ValueError, match=r"min_factor must be at most 1, got 10\.0"):
        Cyclical(1.0 / 0.1, 5)


def test_torch_replaces_the_momentum_of_the_optimizer_and_this_starts_from_it():
    def optimizer():
        return SGD([nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.5)

    shape = Cyclical(0.1, 4)
    replaced = drive(optimizer(), torchs(0.01, 0.1, 4, cycle_momentum=True), 9).momentum[:, 0]
    assert (replaced.min(), replaced.max()) == pytest.approx((0.8, 0.9))
    kept = drive(optimizer(), lambda it: ScheduledLR(it, shape, momentum=shape.momentum()), 9)
    assert kept.momentum[[0, 4, 8], 0] == pytest.approx([0.5, 0.5 * 8 / 9, 0.5], abs=1e-15)
    assert (drive(optimizer(), lambda it: ScheduledLR(it, shape), 9).momentum == 0.5).all()


# What it is.


@given(SIZES, SIZES, st.integers(0, 10**15))
def test_the_triangle_is_the_exact_fraction_rounded(up, down, step):
    assert Cyclical(0, up, down)(step) == float(exact_height(up, down, step))


@given(SIZES, SIZES, SHARES, GAMMAS, st.integers(0, 500))
def test_the_modes_scale_the_height(up, down, min_factor, gamma, step):
    heights = [Cyclical(min_factor, up, down, mode, gamma).height(step) for mode in MODES]
    assert heights[1] == heights[0] / 2 ** (step // (up + down))
    assert heights[2] == heights[0] * gamma**step
    for mode, height in zip(MODES, heights, strict=True):
        factor = Cyclical(min_factor, up, down, mode, gamma)(step)
        assert factor == min_factor + (1 - min_factor) * height
        assert min_factor <= factor <= 1


@given(CYCLES, SHARES)
def test_the_mean_rate_of_a_triangular_cycle_is_half_way_up(cycle, min_factor):
    shape = Cyclical(min_factor, *cycle[:2])
    (end,) = shape.cycle_ends(1)
    assert shape.sample(end).mean() == pytest.approx((1 + min_factor) / 2)


@given(CYCLES, SHARES, st.integers(0, 12))
def test_where_a_cycle_ends_the_factor_is_at_its_lowest_exactly(cycle, min_factor, n):
    shape = Cyclical(min_factor, *cycle)
    ends = shape.cycle_ends(n)
    size = shape.step_size_up + shape.step_size_down
    assert ends == tuple(range(size, n * size + 1, size))
    for end in ends:
        assert shape(end) == min_factor == shape(0)
        shape.check_end(end)


@given(SIZES, SHARES, st.integers(0, 10**12))
def test_the_peak_is_the_peak_exactly(up, min_factor, i):
    shape = Cyclical(min_factor, up, up + 3)
    assert shape(i * (2 * up + 3) + up) == 1
    assert shape.length is None


@given(SIZES, SIZES, st.integers(1, 10**15))
def test_check_end_raises_everywhere_else_and_names_the_ends_around(up, down, total_steps):
    shape = Cyclical(0.1, up, down)
    T_cur = total_steps % (up + down)
    if T_cur == 0:
        return shape.check_end(total_steps)
    below, above = total_steps - T_cur, total_steps - T_cur + up + down
    words = f"the nearest are {below} and {above}" if below else f"the first is {above}"
    with pytest.raises(ValueError, match=rf"total_steps .*\({words}\), got {total_steps}$"):
        shape.check_end(total_steps)


def test_no_number_of_steps_down_is_as_many_as_up():
    assert Cyclical(0.1, 4) == Cyclical(0.1, 4, None) == Cyclical(0.1, 4, 4)
    assert Cyclical(0.1, 4).step_size_down == 4


def test_known_values():
    assert Cyclical(0, 4).sample(10).tolist() == [0, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25, 0, 0.25]
    assert Cyclical(0.5, 1, 2).sample(5).tolist() == [0.5, 1, 0.75, 0.5, 1]
    assert Cyclical(0, 1, 1, "triangular2").sample(6).tolist() == [0, 1, 0, 0.5, 0, 0.25]
    assert Cyclical(0, 1, 1, "exp_range", 0.5).sample(4).tolist() == [0, 0.5, 0, 0.125]
    assert Cyclical(0, 3, 2).cycle_ends(3) == (5, 10, 15)
    assert (Cyclical(1, 4).sample(20) == 1).all()


# The momentum.


@given(CYCLES, SHARES, SHARES, st.integers(0, 500))
def test_the_momentum_moves_against_the_rate(cycle, min_factor, least, step):
    shape = Cyclical(min_factor, *cycle)
    momentum = shape.momentum(least)
    assert least <= momentum(step) <= 1
    mirrored = 1 - (1 - least) * shape.height(step)
    assert momentum(step) == pytest.approx(mirrored, abs=1e-15)


@given(SIZES, SHARES)
def test_the_momentum_is_exact_at_both_ends(up, least):
    shape = Cyclical(0.1, up)
    assert [shape.momentum(least)(t) for t in (0, up, 2 * up)] == [1, least, 1]


def test_known_momenta():
    assert Cyclical(0.2, 2).momentum(0.5).sample(6).tolist() == [1, 0.75, 0.5, 0.75, 1, 0.75]
    halving = Cyclical(0, 1, 1, "triangular2").momentum(0)
    assert halving.sample(6).tolist() == [1, 0, 1, 0.5, 1, 0.75]


def test_the_length_of_the_momentum_is_that_of_its_shape():
    assert Cyclical(0.1, 4).momentum().length is None
    assert OneCycle(40).momentum().length == 40


def test_after_a_warm_up_the_momentum_starts_with_the_cycle():
    shape, optimizer = Cyclical(1 / 8, 4), SGD([nn.Parameter(torch.zeros(1))], 0.8, momentum=0.9)
    rate = (Warmup(3) * Constant(1 / 8)).then(shape, at=3)
    momentum = Constant(total_iters=3).then(shape.momentum(0.5))
    trace = drive(optimizer, lambda it: ScheduledLR(it, rate, momentum=momentum), 12)
    assert trace.lr[[0, 3, 7, 11], 0] == pytest.approx([0, 0.1, 0.8, 0.1])
    assert trace.momentum[[0, 3, 7, 11], 0] == pytest.approx([0.9, 0.9, 0.45, 0.9])


def test_a_schedule_without_a_height_has_no_momentum():
    for shape in (Constant(), Cyclical(0, 4).momentum(), Cyclical(0, 4) * Constant()):
        assert isinstance(shape, Schedule)
        with pytest.raises(TypeError, match=r"^CyclicalMomentum: shape must be a Cyclical or a On"):
            CyclicalMomentum(shape, 0.9)


def test_the_example_of_the_paper():
    # Smith (2017): rates from 0.001 to 0.006 and a stepsize of 2000.
    assert 0.006 * Cyclical(1 / 6, 2000)(3000) == pytest.approx(0.0035)
    assert math.isclose(0.006 * Cyclical(1 / 6, 2000)(2000), 0.006)
