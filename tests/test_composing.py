"""FromFunction and layer_groups: every parameter in one group, at the rate of its layer."""

import math
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from lrlib import (
    Constant,
    CosineAnnealing,
    FromFunction,
    LRTrace,
    ScheduledLR,
    Warmup,
    layer_groups,
)
from lrlib.lab import applied


def wave(step):
    return 1 + math.sin(step) / 2


def mlp():
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))


class Tied(nn.Module):
    """A language model: embedding and head share their weights; positions are the model's own."""

    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(7, 4)
        self.positions = nn.Parameter(torch.zeros(3, 4))
        self.blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(2))
        self.norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.tokens.weight

    def layers(self):
        return [[self.tokens, self.positions], *self.blocks, [self.norm, self.head]]


# --- shapes from functions


def test_a_function_is_a_shape_like_any_other():
    shape = FromFunction(wave, total_iters=10)
    assert [shape(t) for t in (0, 3, 10, 11, 99)] == [wave(t) for t in (0, 3, 10, 10, 10)]
    assert shape == FromFunction(wave, 10) != FromFunction(wave) and hash(shape) is not None
    assert FromFunction(wave).length is None and shape.length == 10
    both = Warmup(4).then(shape) * Constant(0.5)
    assert both(6) == 0.5 * wave(2)
    assert pickle.loads(pickle.dumps(shape)) == shape


def test_it_gives_what_lambdalr_gives_for_the_same_function():
    shape = FromFunction(lambda step: 0.97**step)
    theirs = applied(lambda opt: torch.optim.lr_scheduler.LambdaLR(opt, shape.function), 300)
    assert theirs.lr[:, 0].tolist() == [0.1 * shape(t) for t in range(300)]


def test_a_run_with_it_resumes():
    def scheduler(optimizer):
        return ScheduledLR(optimizer, FromFunction(lambda t: 1 / (1 + t)))

    def optimizer():
        return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)

    first = optimizer()
    before = scheduler(first)
    for _ in range(3):
        first.step()
        before.step()
    second = optimizer()
    after = scheduler(second)
    after.load_state_dict(before.state_dict())
    assert after.get_last_lr() == [0.25]


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: FromFunction(0.5), TypeError, "FromFunction: function must be .* got 0.5"),
        (lambda: FromFunction(Constant), TypeError, "FromFunction: function must be"),
        (lambda: FromFunction(wave, -1), ValueError, "FromFunction: total_iters .* got -1"),
        (lambda: FromFunction(wave, 2.0), TypeError, "FromFunction: total_iters .* got 2.0"),
        (lambda: FromFunction(lambda t: -1.0)(0), ValueError, "FromFunction: .* step 0"),
        (lambda: FromFunction(lambda t: math.nan)(2), ValueError, "FromFunction: .* step 2"),
        (lambda: FromFunction(lambda t: None)(0), TypeError, "FromFunction: the formula"),
        (lambda: FromFunction(lambda t: torch.ones(1))(0), TypeError, "FromFunction: the form"),
        (lambda: FromFunction(wave).to_dict(), TypeError, "FromFunction must be registered"),
    ],
)
def test_what_is_no_function_of_the_step_is_refused(make, error, words):
    with pytest.raises(error, match=words):
        make()


# --- a rate for every layer


def rates(groups):
    return [group["lr"] for group in groups]


def spread(model, groups):
    """Name -> (rate, weight decay) of every parameter of a model, from the groups."""
    names = {id(p): name for name, p in model.named_parameters()}
    found = {}
    for group in groups:
        for p in group["params"]:
            assert names[id(p)] not in found, "twice"
            found[names[id(p)]] = group["lr"], group.get("weight_decay")
    assert set(found) == set(names.values()), "lost"
    return found


def test_rates_fall_towards_the_input_by_the_ratio():
    groups = layer_groups(mlp(), 0.8, 0.5)
    assert rates(groups) == [0.2, 0.4, 0.8] and [g["layer"] for g in groups] == [0, 1, 2]
    assert rates(layer_groups(mlp(), 0.8, 4)) == [12.8, 3.2, 0.8]
    assert rates(layer_groups(mlp(), 0.8, 1)) == [0.8] * 3
    assert "weight_decay" not in groups[0]


def test_containers_are_opened_and_what_is_empty_left_out():
    model = nn.Sequential(
        nn.Linear(2, 2), nn.Sequential(nn.ReLU(), nn.Linear(2, 2), nn.ModuleList([nn.Linear(2, 1)]))
    )
    assert rates(layer_groups(model, 1.0, 0.5)) == [0.25, 0.5, 1.0]


def test_biases_and_norms_are_spared_weight_decay():
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    groups = layer_groups(model, 1.0, 0.5, weight_decay=0.1)
    assert spread(model, groups) == {
        "0.weight": (0.25, 0.1),
        "0.bias": (0.25, 0.0),
        "1.weight": (0.5, 0.0),
        "1.bias": (0.5, 0.0),
        "2.weight": (1.0, 0.1),
        "2.bias": (1.0, 0.0),
    }
    assert [g["layer"] for g in groups] == [0, 0, 1, 2, 2]  # the norm has no second group
    mine = layer_groups(model, 1.0, 1, weight_decay=0.1, no_decay=lambda name, p: "1." in name)
    assert [decay for _, decay in spread(model, mine).values()] == [0.1, 0.1, 0, 0, 0.1, 0.1]


def test_tied_weights_are_in_one_group_that_of_the_first_layer():
    model = Tied()
    found = spread(model, layer_groups(model, 1.0, 0.5, layers=model.layers(), weight_decay=0.1))
    assert found["tokens.weight"] == (0.125, 0.1) and found["positions"] == (0.125, 0.1)
    assert found["blocks.1.weight"] == (0.5, 0.1) and found["norm.weight"] == (1.0, 0.0)


def test_frozen_parameters_are_kept_for_later():
    model = mlp()
    model[0].requires_grad_(False)
    groups = layer_groups(model, 0.1, 0.5)
    optimizer = torch.optim.AdamW(groups, weight_decay=0.5)
    before = model[0].weight.clone()
    for frozen in (True, False):
        model[0].requires_grad_(not frozen)
        model(torch.ones(1, 3)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        assert torch.equal(model[0].weight, before) is frozen
    spread(model, groups)


def test_a_shape_per_layer_is_applied_at_the_layers_rate():
    groups = layer_groups(mlp(), 0.4, 0.5, weight_decay=0.0)
    optimizer = torch.optim.SGD(groups)
    fall = CosineAnnealing(6)
    shapes = [Constant(0, 2 * (2 - layer)).then(Constant()) * fall for layer in range(3)]
    per_group = [shapes[group["layer"]] for group in groups]
    scheduler, trace = ScheduledLR(optimizer, per_group), LRTrace(optimizer)
    for _ in range(6):
        optimizer.step()
        scheduler.step()
    for i, group in enumerate(groups):
        trace.assert_matches(per_group[i], 0.4 * 0.5 ** (2 - group["layer"]), group=i)
    assert np.array_equal(trace.lr[:, 0] > 0, [False] * 4 + [True] * 2)
    assert (trace.lr[:, -1] > 0).all()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"model": [1]}, TypeError, r"layer_groups: model must be a torch module, got \[1\]"),
        ({"lr": -0.1}, ValueError, "layer_groups: lr must be at least 0, got -0.1"),
        ({"lr": "0.1"}, TypeError, "layer_groups: lr must be a number, got '0.1'"),
        ({"ratio": 0}, ValueError, "layer_groups: ratio must be greater than 0, got 0"),
        ({"weight_decay": -1}, ValueError, "layer_groups: weight_decay must be at least 0"),
        ({"no_decay": lambda *_: True}, ValueError, "layer_groups: no_decay needs weight_decay"),
        ({"layers": []}, TypeError, r"layer_groups: layers must be a list .* got \[\]"),
        ({"layers": ["0"]}, TypeError, "layer_groups: layers must hold modules, .* got '0'"),
        ({"layers": [nn.Linear(1, 1)]}, ValueError, r"of the model alone, got one of shape \(1, 1"),
        ({"model": Tied()}, ValueError, "layer_groups: .* in none: positions;"),
    ],
)
def test_bad_arguments_are_named(change, error, words):
    with pytest.raises(error, match=words):
        layer_groups(**{"model": mlp(), "lr": 0.1, "ratio": 0.5} | change)


def test_layers_that_leave_something_out_are_refused_by_name():
    model = mlp()
    with pytest.raises(ValueError, match=r"in none: 2.weight, 2.bias; give layers"):
        layer_groups(model, 0.1, 0.5, layers=[model[0], model[4]])
