"""WarmRestarts against torch and against cycles counted one by one; snapshot ensembles."""

import math

import numpy as np
import pytest
import torch
from conftest import assert_equals_torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts

from lrlib import CosineAnnealing, WarmRestarts, ensemble_probabilities

LENGTHS, MULTIPLES, SHARES = st.integers(1, 60), st.integers(1, 4), st.floats(0, 1)
PEAKS, DECAYS = st.floats(1e-5, 10), st.floats(0.01, 1)


def counted(T_0, T_mult, step):
    """The cycle of a step, by walking through the cycles."""
    i, T_i = 0, T_0
    while step >= T_i:
        step -= T_i
        i, T_i = i + 1, T_i * T_mult
    return i, step, T_i


@given(LENGTHS, MULTIPLES, SHARES | st.just(0.0), PEAKS)
def test_it_equals_torch(T_0, T_mult, min_factor, peak):
    def build(optimizer):
        return CosineAnnealingWarmRestarts(optimizer, T_0, T_mult, min_factor * peak)

    assert_equals_torch(WarmRestarts(T_0, T_mult, min_factor), build, peak, 300)


# Where torch is wrong, the cycles counted one by one decide. Both cases concern schedulers that
# are set to a step instead of being stepped there.


def torch_at(step, T_0, T_mult, **options):
    """The rate, for a peak of 1, of a torch scheduler that is set to a step."""
    group = {"params": [nn.Parameter(torch.zeros(1))], "lr": 1.0, "initial_lr": 1.0}
    optimizer = torch.optim.SGD([group])
    scheduler = CosineAnnealingWarmRestarts(optimizer, T_0, T_mult, **options)
    if not options:
        scheduler.step(step)
    return optimizer.param_groups[0]["lr"]


@pytest.mark.parametrize(
    ("T_0", "T_mult", "step"),
    [(1, 3, 121), (2, 3, 242), (7, 3, 847), (1, 10, 111), (1, 9, 7381), (1, 11, 1948717)],
)
def test_torchs_logarithm_in_floats_misses_a_restart(T_0, T_mult, step):
    # int(math.log(243, 3)) is 4: scheduler.step(121) gives the minimum where the peak is due.
    assert torch_at(step, T_0, T_mult) == 0
    i, T_cur, T_i = counted(T_0, T_mult, step)
    assert (T_cur, T_i) == (0, T_0 * T_mult**i)
    assert WarmRestarts(T_0, T_mult)(step) == 1


@pytest.mark.parametrize(("T_0", "T_mult", "step"), [(10, 2, 26), (10, 2, 100), (10, 3, 100)])
def test_torchs_last_epoch_forgets_the_cycles_done(T_0, T_mult, step):
    # Built with last_epoch it leaves at most one cycle behind, whatever the step.
    _, T_cur, T_i = counted(T_0, T_mult, step)
    due = (1 + math.cos(math.pi * T_cur / T_i)) / 2
    assert abs(torch_at(step, T_0, T_mult, last_epoch=step - 1) - due) > 0.3
    assert WarmRestarts(T_0, T_mult)(step) == due


@given(LENGTHS, MULTIPLES, st.integers(0, 2000))
def test_cycle_equals_counting(T_0, T_mult, step):
    assert WarmRestarts(T_0, T_mult).cycle(step) == counted(T_0, T_mult, step)


@given(st.integers(1, 10**6), st.integers(2, 12), st.integers(10**15, 10**18))
def test_cycle_equals_counting_far_out(T_0, T_mult, step):
    assert WarmRestarts(T_0, T_mult).cycle(step) == counted(T_0, T_mult, step)


@given(st.integers(10**11, 10**13), st.integers(10**15, 10**16))
def test_equal_cycles_equal_counting_far_out(T_0, step):
    assert WarmRestarts(T_0).cycle(step) == counted(T_0, 1, step)
    assert WarmRestarts(1000).cycle(10**15) == (10**12, 0, 1000)


@given(st.integers(1, 10**6), st.integers(2, 12), st.integers(1, 200))
def test_the_ends_of_cycles_are_exact_however_long(T_0, T_mult, i):
    shape = WarmRestarts(T_0, T_mult)
    end = sum(T_0 * T_mult**k for k in range(i))
    T_before = T_0 * T_mult ** (i - 1)
    assert shape.cycle(end - 1) == (i - 1, T_before - 1, T_before)
    assert shape.cycle(end) == (i, 0, T_0 * T_mult**i)
    assert shape(end) == 1


@pytest.mark.parametrize("T_mult", [1, 2, 3, 4])
@pytest.mark.parametrize("T_0", [1, 7])
def test_every_step_of_a_run_against_counting(T_0, T_mult):
    shape = WarmRestarts(T_0, T_mult)
    assert [shape.cycle(t) for t in range(3000)] == [counted(T_0, T_mult, t) for t in range(3000)]


@given(LENGTHS, MULTIPLES, st.integers(0, 12))
def test_cycle_ends_are_where_the_next_cycle_starts(T_0, T_mult, n):
    shape = WarmRestarts(T_0, T_mult)
    ends = shape.cycle_ends(n)
    assert len(ends) == n
    assert [shape.cycle(end)[:2] for end in ends] == [(i + 1, 0) for i in range(n)]
    for end in ends:
        shape.check_end(end)


@given(LENGTHS, MULTIPLES, st.integers(1, 10**15))
def test_check_end_raises_everywhere_else_and_names_the_ends_around(T_0, T_mult, total_steps):
    shape = WarmRestarts(T_0, T_mult)
    i, T_cur, T_i = shape.cycle(total_steps)
    if T_cur == 0:
        return shape.check_end(total_steps)
    below, above = total_steps - T_cur, total_steps - T_cur + T_i
    words = f"the nearest are {below} and {above}" if i else f"the first is {above}"
    with pytest.raises(ValueError, match=rf"total_steps .*\({words}\), got {total_steps}$"):
        shape.check_end(total_steps)
    for end in {below, above} - {0}:
        shape.check_end(end)


def test_check_end_by_hand():
    assert WarmRestarts(10, 2).cycle_ends(4) == (10, 30, 70, 150)
    assert WarmRestarts(50).cycle_ends(3) == (50, 100, 150)
    assert WarmRestarts(10, 2).check_end(150) is None
    with pytest.raises(ValueError, match=r"the nearest are 70 and 150\), got 100"):
        WarmRestarts(10, 2).check_end(100)
    with pytest.raises(ValueError, match=r"the first is 10\), got 9"):
        WarmRestarts(10, 2).check_end(9)


@given(LENGTHS, MULTIPLES, SHARES, DECAYS)
def test_every_cycle_falls_from_its_peak_and_the_next_one_starts_up_again(
    T_0, T_mult, least, decay
):
    shape = WarmRestarts(T_0, T_mult, least, decay)
    factors = shape.sample(300)
    assert factors[0] == 1 and shape.length is None
    assert (factors >= least).all() and (factors <= 1).all()
    starts = [0, *(end for end in shape.cycle_ends(300) if end < 300)]
    for i, start in enumerate(starts):
        assert shape(start) == pytest.approx(max(decay**i, least), abs=1e-15)
    rises = np.flatnonzero(np.diff(factors) > 0) + 1
    assert set(rises.tolist()) <= set(starts[1:])


@given(LENGTHS, MULTIPLES, SHARES, st.data())
def test_each_cycle_is_a_cosine_annealing_of_its_length(T_0, T_mult, least, data):
    shape = WarmRestarts(T_0, T_mult, least)
    i, T_cur, T_i = shape.cycle(data.draw(st.integers(0, 10**6)))
    start = (0, *shape.cycle_ends(i))[i]
    assert shape(start + T_cur) == CosineAnnealing(T_i, least)(T_cur)


@given(LENGTHS, MULTIPLES, DECAYS, st.integers(0, 10**6))
def test_a_decaying_peak_scales_each_cycle(T_0, T_mult, decay, step):
    plain, decaying = WarmRestarts(T_0, T_mult), WarmRestarts(T_0, T_mult, peak_decay=decay)
    i, _, _ = plain.cycle(step)
    assert decaying(step) == pytest.approx(decay**i * plain(step), rel=1e-14, abs=1e-300)


def test_a_peak_that_has_decayed_to_the_minimum_stays_there():
    shape = WarmRestarts(5, min_factor=0.2, peak_decay=0.5)
    assert [shape(5 * i) for i in range(4)] == pytest.approx([1, 0.5, 0.25, 0.2])
    assert (shape.sample(100)[15:] == 0.2).all()


def test_known_values():
    assert WarmRestarts(2).sample(5) == pytest.approx([1, 0.5, 1, 0.5, 1], abs=1e-15)
    assert WarmRestarts(1, 2).sample(7) == pytest.approx(
        [1, 1, 0.5, 1, (2 + math.sqrt(2)) / 4, 0.5, (2 - math.sqrt(2)) / 4], abs=1e-15
    )
    assert WarmRestarts(2, 1, 0.2, 0.5).sample(4) == pytest.approx([1, 0.6, 0.5, 0.35])
    assert WarmRestarts(5) == WarmRestarts(5, 1, 0.0, 1.0)


# snapshot ensembles


def network(seed, classes=3):
    torch.manual_seed(seed)
    layers = nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, classes)
    return nn.Sequential(*layers)


def training_flags(model):
    return [module.training for module in model.modules()]


def test_the_ensemble_is_the_mean_of_the_softmax_outputs_in_eval_mode():
    models, inputs = [network(seed) for seed in range(3)], torch.randn(5, 4)
    alone = [ensemble_probabilities([model], inputs) for model in models]
    for model, one in zip(models, alone, strict=True):
        assert torch.equal(one, model.eval()(inputs).softmax(1).detach())
    ensemble = ensemble_probabilities(models, inputs)
    assert ensemble.shape == (5, 3) and not ensemble.requires_grad
    torch.testing.assert_close(ensemble, torch.stack(alone).mean(0))
    torch.testing.assert_close(ensemble.sum(1), torch.ones(5))
    for same in (iter(models), tuple(models), nn.ModuleList(models)):
        assert torch.equal(ensemble_probabilities(same, inputs), ensemble)


def test_two_opposite_models_by_hand():
    yes, no = nn.Linear(1, 2, bias=False), nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        yes.weight.copy_(torch.tensor([[math.log(3)], [0.0]]))  # 3/4 and 1/4
        no.weight.copy_(torch.tensor([[0.0], [0.0]]))  # 1/2 each
    mean = ensemble_probabilities([yes, no], torch.ones(1, 1))
    assert mean[0].tolist() == pytest.approx([5 / 8, 3 / 8])


def test_models_come_back_in_their_modes_and_unchanged():
    models = [network(0).train(), network(1).eval(), network(2).train()]
    models[2][1].eval()  # a frozen batch norm inside a model in training
    flags = [training_flags(model) for model in models]
    states = [{k: v.clone() for k, v in model.state_dict().items()} for model in models]
    ensemble_probabilities(models, torch.randn(5, 4))
    assert [training_flags(model) for model in models] == flags
    for model, state in zip(models, states, strict=True):
        assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    with pytest.raises(RuntimeError):
        ensemble_probabilities(models, torch.randn(5, 9))  # does not fit
    assert [training_flags(model) for model in models] == flags
    assert torch.is_grad_enabled()


def test_low_precision_is_averaged_in_float32_and_double_in_double():
    inputs = torch.randn(5, 4)
    half = ensemble_probabilities([nn.Linear(4, 3).bfloat16()], inputs.bfloat16())
    double = ensemble_probabilities([nn.Linear(4, 3).double()], inputs.double())
    assert (half.dtype, double.dtype) == (torch.float32, torch.float64)


def test_outputs_that_do_not_fit():
    inputs = torch.randn(5, 4)
    with pytest.raises(ValueError, match=r"logits of one shape, got \(5, 3\) and \(5, 2\)"):
        ensemble_probabilities([network(0), network(1, 2)], inputs)
    with pytest.raises(TypeError, match="floating logits, got"):
        ensemble_probabilities([nn.Identity()], torch.tensor([[1, 2]]))
