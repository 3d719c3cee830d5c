"""Two processes that average their gradients are one process with the doubled batch."""

import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from lrlib.lab import batches, data_parallel, mnist1d_task
from lrlib.lab.data_parallel import BATCH, LR, SCHEDULE, STEPS, launch, train

GUARD = Path(__file__).parent / "guard"


@pytest.fixture(scope="module")
def two():
    """The records of two processes, which could not have used the network."""
    with pytest.MonkeyPatch.context() as patch:
        paths = [str(GUARD), os.environ.get("PYTHONPATH")]
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
        return launch(2, timeout=100)


@pytest.fixture(scope="module")
def one():
    return train()


@pytest.fixture(scope="module")
def accumulated():
    return train(microbatches=2)


def close(left, right, rtol=1e-4):
    """Up to float32's rounding, which grows a little as the weights drift apart."""
    return torch.allclose(left, right, rtol=rtol, atol=rtol * right.abs().max().item())


def test_the_averaged_gradients_are_those_of_the_doubled_batch(one, two):
    assert one["gradient"].shape[0] == STEPS and one["gradient"].norm(dim=1).min() > 0.1
    for record in two:
        assert close(record["gradient"], one["gradient"])
        assert close(record["weights"], one["weights"])
        assert close(record["loss"], one["loss"])


def test_both_processes_have_the_same_weights_bit_for_bit(two):
    assert torch.equal(two[0]["weights"], two[1]["weights"])
    assert torch.equal(two[0]["gradient"], two[1]["gradient"])


def test_the_scheduler_stepped_once_per_update_gives_the_rates_of_one_process(one, two):
    plan = [LR * SCHEDULE(step) for step in range(STEPS)]
    for record in (one, *two):
        assert record["lr"].tolist() == plan
    assert np.ptp(plan) > LR / 2


def test_accumulated_microbatches_are_the_doubled_batch_too(one, accumulated):
    for name in ("gradient", "weights", "loss"):
        assert close(accumulated[name], one[name])


def test_the_noise_scale_is_the_same_from_processes_and_from_microbatches(one, two, accumulated):
    first, second = (record["noise_scale"] for record in two)
    assert one["noise_scale"] is None
    assert first == second > 0
    assert first == pytest.approx(accumulated["noise_scale"], rel=1e-3)


def test_it_trains_on_what_seed_0_draws(one):
    task = mnist1d_task()
    model = task.model(0)
    x, y = task.data.draw(0).split("train")
    index = next(batches(0, len(x), STEPS, BATCH))
    loss = task.loss(model(x[index]), y[index])
    loss.backward()
    assert one["loss"][0].item() == pytest.approx(loss.item(), rel=1e-6)
    gradient = torch.cat([p.grad.flatten() for p in model.parameters()])
    assert close(one["gradient"][0], gradient)


def test_processes_that_fail_say_why(monkeypatch):
    monkeypatch.setattr(data_parallel.sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match="launch: the 2 processes failed"):
        launch(2)


def test_processes_that_do_not_end_are_ended():
    start = time.monotonic()
    with pytest.raises(RuntimeError, match="launch: the 2 processes failed"):
        launch(2, timeout=1.5)
    assert time.monotonic() - start < 60


@pytest.mark.parametrize("value", [1, 0, 2.5, "2", None])
def test_bad_numbers_of_processes(value):
    with pytest.raises((TypeError, ValueError), match="launch: processes must be"):
        launch(value)


def test_a_batch_that_cannot_be_shared():
    with pytest.raises(ValueError, match="train: microbatches must share out 32 samples, got 3"):
        train(microbatches=3)
