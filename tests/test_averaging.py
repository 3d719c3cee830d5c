"""Averaged checkpoints: judged as the models that they are."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lrlib import Constant, growing_average
from lrlib.lab import averaged, language_task, mnist1d_task, sweep


@pytest.fixture(scope="module")
def kept():
    return sweep(
        mnist1d_task(),
        {"constant": Constant(), "tenth": Constant(0.1)},
        [0.02, 0.05],
        [0, 1],
        steps=40,
        batch_size=16,
        eval_steps=[10, 20, 30, 40],
        evaluate=["val"],
        keep_states=True,
        progress=False,
    )


def test_the_average_is_that_of_torchs_averaged_model(kept):
    found = averaged(kept, [20, 40], emphasis=2)
    assert found.eval_steps.tolist() == [20, 40]
    assert found.peaks is kept.peaks and found.seeds == kept.seeds
    model = kept.model("tenth", 0.05, 1, 10)
    mean = torch.optim.swa_utils.AveragedModel(model, avg_fn=growing_average(2))
    data = kept.task.data.draw(1)
    for step in (10, 20, 30, 40):
        mean.update_parameters(kept.model("tenth", 0.05, 1, step))
        if step in (20, 40):
            with torch.no_grad():
                outputs = mean(data.test_x)
            place = [20, 40].index(step)
            loss = F.cross_entropy(outputs, data.test_y).item()
            error = (outputs.argmax(1) != data.test_y).float().mean().item()
            assert found.metrics["test_loss"][1, 1, 1, place] == pytest.approx(loss, rel=1e-5)
            assert found.metrics["test_error"][1, 1, 1, place] == pytest.approx(error)


def test_the_first_average_is_the_checkpoint(kept):
    found = averaged(kept, [10])
    assert found.at("val_loss") == pytest.approx(kept.at("val_loss", 10), rel=1e-5)
    assert found.at("val_error") == pytest.approx(kept.at("val_error", 10))


def test_labels_may_be_distributions():
    task = language_task(depth=1)
    run = sweep(
        task,
        {"constant": Constant()},
        [0.01],
        [0],
        steps=4,
        batch_size=8,
        optimizer="adamw",
        eval_steps=[2],
        keep_states=True,
        progress=False,
    )
    found = averaged(run, [2])
    assert found.at("test_loss") == pytest.approx(run.at("test_loss"), rel=1e-5)
    assert found.at("test_error") == pytest.approx(run.at("test_error"), rel=1e-4)


def test_bad_arguments_are_refused(kept):
    with pytest.raises(TypeError, match="averaged: result must be"):
        averaged(np.ones(3), [10])
    with pytest.raises(ValueError, match=r"averaged: steps must be among .*got 15"):
        averaged(kept, [15])
    with pytest.raises(ValueError, match="averaged: emphasis"):
        averaged(kept, [10], emphasis=-1)
    bare = sweep(
        mnist1d_task(),
        {"constant": Constant()},
        [0.02],
        [0],
        steps=2,
        batch_size=16,
        progress=False,
    )
    with pytest.raises(ValueError, match="averaged: result kept no parameters"):
        averaged(bare, [2])
