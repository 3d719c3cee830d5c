"""A small vision transformer: what it computes, and that a sweep trains it."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lrlib import Constant
from lrlib.lab import images_task, sweep
from lrlib.lab.models import Block
from lrlib.lab.vit import Seeing, vit, vit_task


def test_a_block_that_sees_all_is_attention_without_a_mask():
    torch.manual_seed(0)
    block, x = Seeing(8, 2, "none"), torch.randn(3, 5, 8)
    q, k, v = block.qkv(x).view(3, 5, 3, 2, 4).permute(2, 0, 3, 1, 4)
    mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(3, 5, 8)
    assert torch.allclose(block.attention(x), block.out(mixed), atol=1e-6)
    # With the mask, the last position alone sees all others.
    causal = Block(8, 2, "none")
    causal.load_state_dict(block.state_dict())
    assert torch.allclose(causal.attention(x)[:, -1], block.attention(x)[:, -1], atol=1e-6)
    assert not torch.allclose(causal.attention(x)[:, 0], block.attention(x)[:, 0], atol=1e-3)


def test_patches_are_squares_of_the_image_row_by_row():
    model, seen = vit(6, 3, width=4, depth=1, heads=1), []
    model.patches.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    image = torch.arange(36.0).view(6, 6)
    model(image.view(1, 36))
    corners = [image[i : i + 3, j : j + 3].flatten() for i in (0, 3) for j in (0, 3)]
    assert torch.equal(seen[0], torch.stack(corners)[None])


def test_only_the_positions_tell_patches_apart():
    torch.manual_seed(1)
    model, image = vit(14, 7), torch.rand(2, 14, 14)
    swapped = torch.cat([image[:, 7:], image[:, :7]], 1)
    first, second = (model(x.reshape(2, 196)) for x in (image, swapped))
    assert first.shape == (2, 10) and not torch.allclose(first, second, atol=1e-4)
    nn.init.zeros_(model.positions)
    first, second = (model(x.reshape(2, 196)) for x in (image, swapped))
    assert torch.allclose(first, second, atol=1e-5)


@pytest.mark.parametrize("norm", ["pre", "post", "none"])
def test_its_weights_start_as_said(norm):
    torch.manual_seed(2)
    model = vit(norm=norm)
    assert not list(model.buffers())
    assert isinstance(model.norm, nn.LayerNorm if norm == "pre" else nn.Identity)
    assert model.positions.shape == (16, 32) and 0.015 < model.positions.std() < 0.025
    limit = (6 / (49 + 32)) ** 0.5
    assert 0.9 * limit < model.patches.weight.abs().max() <= limit
    assert not model.head.bias.any() and not model.patches.bias.any()


BAD = [
    ({"patch": 2.0}, TypeError, "vit: patch must be an integer, got 2.0"),
    ({"patch": 5}, ValueError, "vit: patch must divide the size 28, got 5"),
    ({"width": 0}, ValueError, "vit: width must be at least 1, got 0"),
    ({"heads": 5}, ValueError, "vit: heads must divide the width 32, got 5"),
    ({"depth": "2"}, TypeError, "vit: depth must be an integer, got '2'"),
    ({"norm": "pro"}, ValueError, "vit: norm must be one of .* got 'pro'"),
]


@pytest.mark.parametrize(("arguments", "error", "match"), BAD)
@pytest.mark.parametrize("make", [vit, vit_task])
def test_bad_arguments_are_refused(make, arguments, error, match):
    with pytest.raises(error, match=match):
        make(**arguments)
    with pytest.raises(ValueError, match="vit: size must be at least 1, got 0"):
        vit(0)


def test_the_images_are_those_of_the_other_tasks():
    task, other = vit_task(), images_task(size=28)
    for ours, theirs in zip(
        task.data.draw(3).split("val"), other.data.draw(3).split("val"), strict=True
    ):
        assert torch.equal(ours, theirs)
    assert task.margin == other.margin
    with pytest.raises(ValueError, match="load_images: size must be one of"):
        vit_task(size=21)


def test_it_learns_in_a_sweep_alone_or_in_company():
    task = vit_task(width=16, depth=1, heads=2)
    settings = {"steps": 40, "batch_size": 32, "optimizer": "adamw", "progress": False}
    both = sweep(task, {"fixed": Constant()}, [0.003, 0.01], [0], **settings)
    alone = sweep(task, {"fixed": Constant()}, [0.01], [0], **settings)
    assert both.train_loss[0, 1, 0] == pytest.approx(alone.train_loss[0, 0, 0], rel=1e-3)
    assert np.mean(alone.train_loss[0, 0, 0, -5:]) < 1.9 < alone.train_loss[0, 0, 0, 0]
