"""lrlib.lab.measuring and lrlib.lab.tuning: what several chapters do in the same way."""

import numpy as np
import pytest
import torch
from torch import nn

import lrlib
from lrlib import CosineAnnealing, CyclicalMomentum, OneCycle, PolynomialDecay, ScheduledLR, lab


def test_applied_shows_what_torch_really_used():
    schedulers = torch.optim.lr_scheduler
    trace = lab.applied(lambda opt: schedulers.CosineAnnealingLR(opt, 8), 20)
    assert trace.lr.shape == (20, 1)
    assert np.allclose(trace.lr[:, 0], 0.05 * (1 + np.cos(np.pi * np.arange(20) / 8)))


def test_applied_shows_the_momentum_too():
    shape = OneCycle(30)
    momentum = CyclicalMomentum(shape, 0.85 / 0.95)
    trace = lab.applied(
        lambda opt: ScheduledLR(opt, shape, momentum=momentum), 30, lr=0.5, momentum=0.95
    )
    assert np.allclose(trace.lr[:, 0], 0.5 * shape.sample(30))
    assert np.allclose(trace.momentum[:, 0], 0.95 * momentum.sample(30))


def test_applied_takes_an_optimizer():
    groups = [{"params": [torch.zeros(2, requires_grad=True)], "lr": lr} for lr in (0.1, 0.3)]
    optimizer = torch.optim.AdamW(groups)
    trace = lab.applied(lambda opt: ScheduledLR(opt, PolynomialDecay(4)), 3, optimizer=optimizer)
    assert np.allclose(trace.lr, np.outer([1, 0.75, 0.5], [0.1, 0.3]))


@pytest.mark.parametrize("steps", [0, -1, 1.5, "10"])
def test_applied_refuses(steps):
    with pytest.raises((TypeError, ValueError), match=f"applied: steps .* got {steps!r}"):
        lab.applied(lambda opt: ScheduledLR(opt, CosineAnnealing(10)), steps)


def test_sharpness_is_that_of_the_task_on_the_seeds_examples():
    task = lab.digits_task()
    model = task.model(3)
    x, y = (part[:20] for part in task.data.draw(3).split("train"))
    value, vector = lab.sharpness(task, model, 3, examples=20, tol=1e-4)
    again, _ = lrlib.largest_hessian_eigenvalue(
        lambda: task.loss(model(x), y), model.parameters(), tol=1e-4
    )
    assert value == again
    assert vector.shape == (sum(p.numel() for p in model.parameters()),)
    assert lab.sharpness(task, model, 3, tol=0.1)[0] != value  # all examples
    # From its own eigenvector one product is enough, and a bad tolerance is still refused.
    assert lab.sharpness(task, model, 3, examples=20, start=vector, tol=1e-3)[0] == pytest.approx(
        value, rel=1e-3
    )
    with pytest.raises(ValueError, match="sharpness: examples must be at least 1, got 0"):
        lab.sharpness(task, model, 3, examples=0)


def test_a_gain_starts_the_weights_as_hes_times_it():
    torch.manual_seed(0)
    model = lab.mlp(300, 400, 10, gain=1.6)
    first = model[0]
    assert first.weight.std().item() == pytest.approx(1.6 * (2 / 300) ** 0.5, rel=0.01)
    assert not first.bias.any()
    torch.manual_seed(0)
    once = lab.mlp(300, 400, 10, gain=1.0)
    assert torch.equal(1.6 * once[2].weight, model[2].weight)
    assert isinstance(model[1], nn.ReLU)
    assert len(model) == 3


@pytest.mark.parametrize("gain", [0, -1, float("nan"), "2"])
def test_a_bad_gain_is_refused(gain):
    with pytest.raises((TypeError, ValueError), match=f"mlp: gain .* got {gain!r}"):
        lab.mlp(4, 2, gain=gain)


def test_tune_is_a_sweep_over_doubling_peaks():
    task, shapes = lab.digits_task(), {"line": PolynomialDecay(6), "cosine": CosineAnnealing(6)}
    tuned = lab.tune(task, shapes, {"line": 0.1, "cosine": 0.02}, [1, 2], steps=6, count=3)
    grid = {"line": [0.1, 0.2, 0.4], "cosine": [0.02, 0.04, 0.08]}
    plain = lab.sweep(task, shapes, grid, [1, 2], steps=6, batch_size=16)
    assert np.array_equal(tuned.peaks, plain.peaks)
    assert np.array_equal(tuned.train_loss, plain.train_loss)
    same = lab.tune(task, shapes, 0.1, [1], steps=6, count=2, batch_size=8)
    assert np.allclose(same.peaks, [[0.1, 0.2]] * 2)


@pytest.mark.parametrize(
    ("lowest", "message"),
    [
        ({"line": 0.1}, "lowest must have a peak for each of"),
        ({"line": 0.1, "cosine": 0.1, "step": 0.1}, "lowest must have a peak for each of"),
        (0.0, "tune: lowest must be greater than 0, got 0.0"),
        ("0.1", "tune: lowest must be"),
    ],
)
def test_tune_refuses(lowest, message):
    shapes = {"line": PolynomialDecay(6), "cosine": CosineAnnealing(6)}
    with pytest.raises((TypeError, ValueError), match=message):
        lab.tune(lab.digits_task(), shapes, lowest, [1], steps=6)
