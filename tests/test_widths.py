"""One network at many widths: what the maximal-update parametrisation does to Adam's rates."""

import pytest
import torch
from torch import nn

from lrlib.lab.widths import BASE, Scaled, wide_mlp, width_task


def made(width, maximal_update):
    torch.manual_seed(3)
    return wide_mlp(width, maximal_update)


def weights(model):
    """What every layer multiplies its inputs with."""
    return [
        m.weight.detach() * getattr(m, "multiplier", 1.0) for m in model if isinstance(m, nn.Linear)
    ]


def test_at_the_base_width_both_are_one_network():
    x = torch.randn(5, 40)
    assert torch.equal(made(BASE, True)(x), made(BASE, False)(x))


def test_weights_start_as_usual_but_for_the_last_layer():
    usual, scaled = weights(made(4 * BASE, False)), weights(made(4 * BASE, True))
    for a, b, start in zip(usual, scaled, (1, 1, 0.5), strict=True):
        assert torch.allclose(b, start * a, rtol=1e-6)


@pytest.mark.parametrize("m", [2, 8])
def test_a_step_of_adam_moves_the_later_layers_by_the_mth_part(m):
    model, x, y = made(m * BASE, True), torch.randn(64, 40), torch.arange(64) % 10
    before = weights(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, eps=1e-20)
    nn.functional.cross_entropy(model(x), y).backward()
    optimizer.step()
    moved = [(a - b).abs().max().item() for a, b in zip(weights(model), before, strict=True)]
    assert moved == pytest.approx([0.01, 0.01 / m, 0.01 / m], rel=1e-3)


def test_a_scaled_layer_is_a_linear_one():
    layer, x = Scaled(6, 3, multiplier=0.25), torch.randn(4, 6)
    assert torch.allclose(layer(x), x @ (0.25 * layer.weight).T + layer.bias)


def test_the_task_has_the_width():
    model = width_task(64, True).model(0)
    assert [m.out_features for m in model if isinstance(m, nn.Linear)] == [64, 64, 10]
    assert isinstance(model[2], Scaled) and not isinstance(width_task(64).model(0)[2], Scaled)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ((0,), ValueError, "wide_mlp: width must be at least 1, got 0"),
        ((32.5,), TypeError, "wide_mlp: width"),
        ((32, "yes"), TypeError, "wide_mlp: maximal_update must be True or False, got 'yes'"),
    ],
)
def test_bad_arguments(arguments, error, said):
    for of in (wide_mlp, width_task):
        with pytest.raises(error, match=said):
            of(*arguments)
