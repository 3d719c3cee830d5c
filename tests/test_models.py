"""Models and tasks."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lrlib.lab import Task, digits_task, load_digits, mlp, mnist1d_task, squared_error


@pytest.mark.parametrize(("name", "kind"), [("relu", nn.ReLU), ("tanh", nn.Tanh)])
def test_mlp_has_an_activation_between_its_layers_only(name, kind):
    model = mlp(4, 3, 2, activation=name)
    assert [type(layer) for layer in model] == [nn.Linear, kind, nn.Linear]
    assert model(torch.zeros(5, 4)).shape == (5, 2)
    assert [type(layer) for layer in mlp(4, 2)] == [nn.Linear]


def test_squared_error_is_half_the_squared_distance_to_the_label():
    outputs, labels = torch.tensor([[1.0, 2.0], [0.0, 1.0]]), torch.tensor([0, 1])
    assert squared_error(outputs, labels) == pytest.approx(0.5 * (0 + 4 + 0 + 0) / 2)


def test_a_seed_gives_the_same_weights_and_leaves_the_global_generator_alone():
    task = mnist1d_task()
    state = torch.get_rng_state()
    first, again, other = (task.model(seed).state_dict()["0.weight"] for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_the_tasks_of_the_book():
    task = mnist1d_task()
    sizes = [layer.out_features for layer in task.model(0) if isinstance(layer, nn.Linear)]
    assert (task.loss, sizes) == (F.cross_entropy, [100, 100, 10])
    assert task.model(0)(task.data.train_x).shape == (4000, 10)
    clean, noisy = load_digits(), digits_task(0.4, seed=2)
    assert noisy.model(0)(clean.train_x).shape == (1000, 10)
    assert (noisy.data.train_y != clean.train_y).float().mean() == pytest.approx(0.4)
    assert torch.equal(digits_task().data.train_y, clean.train_y)


def test_task_keeps_its_loss():
    assert Task(load_digits(), lambda: mlp(64, 10), squared_error).loss is squared_error
