"""Models and tasks."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lrlib.lab import (
    SyntheticLanguage,
    Task,
    digits_task,
    language_task,
    load_digits,
    mlp,
    mnist1d_task,
    squared_error,
    token_loss,
    transformer,
)
from lrlib.lab.models import NORMS


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


def torch_layer(block, width, norm_first):
    """torch's own layer with the weights of a block."""
    heads = block.heads
    layer = nn.TransformerEncoderLayer(
        width, heads, 4 * width, dropout=0, batch_first=True, norm_first=norm_first, bias=False
    )
    weights = {
        "self_attn.in_proj_weight": block.qkv.weight,
        "self_attn.out_proj.weight": block.out.weight,
        "linear1.weight": block.up.weight,
        "linear2.weight": block.down.weight,
        "norm1.weight": block.norm1.weight,
        "norm2.weight": block.norm2.weight,
    }
    layer.load_state_dict(weights)
    return layer


@pytest.mark.parametrize("heads", [1, 2, 4])
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_the_transformer_equals_torchs_layers(norm, heads):
    torch.manual_seed(0)
    model = transformer(5, 7, width=8, depth=3, heads=heads, norm=norm)
    for name, p in model.named_parameters():
        if "norm" in name:
            nn.init.uniform_(p, 0.5, 2)
    tokens = torch.randint(5, (6, 7))
    x = model.tokens(tokens) + model.positions
    mask = nn.Transformer.generate_square_subsequent_mask(7)
    for block in model.blocks:
        x = torch_layer(block, 8, norm == "pre")(x, src_mask=mask, is_causal=True)
    if norm == "pre":
        x = model.norm(x)
    assert torch.allclose(model(tokens), model.head(x), atol=1e-5)
    assert model(tokens).shape == (6, 7, 5)


@pytest.mark.parametrize("norm", NORMS)
def test_no_output_depends_on_a_later_token(norm):
    torch.manual_seed(0)
    model = transformer(5, 7, depth=3, norm=norm)
    tokens = torch.randint(5, (4, 7))
    outputs = model(tokens)
    for t in range(7):
        changed = tokens.clone()
        changed[:, t] = (changed[:, t] + 1) % 5
        same = torch.isclose(model(changed), outputs, atol=1e-6).all(-1).all(0)
        assert same[:t].all() and not same[t:].any()
        assert torch.allclose(model(tokens[:, : t + 1]), outputs[:, : t + 1], atol=1e-6)


def test_no_norm_is_the_transformer_without_norms():
    model = transformer(5, 7, norm="none")
    assert not any(isinstance(m, nn.LayerNorm) for m in model.modules())
    norms = {
        n: sum(isinstance(m, nn.LayerNorm) for m in transformer(5, 7, norm=n).modules())
        for n in ("pre", "post")
    }
    assert norms == {"pre": 5, "post": 4}


def test_initial_weights_of_the_transformer():
    torch.manual_seed(0)
    model = transformer(500, 400, width=64)
    assert not list(model.buffers()) and all("bias" not in n for n, _ in model.named_parameters())
    block, deepest = model.blocks
    for weight, std in [
        (model.tokens.weight, 1),
        (model.positions, 1),
        *((w, (2 / sum(w.shape)) ** 0.5) for w in (block.qkv.weight, deepest.down.weight)),
    ]:
        assert weight.std().item() == pytest.approx(std, rel=0.03)


def test_token_loss_of_tokens_and_of_distributions():
    outputs, labels = torch.randn(4, 3, 5), torch.randint(5, (4, 3))
    expected = F.cross_entropy(outputs.view(12, 5), labels.view(12))
    assert token_loss(outputs, labels) == pytest.approx(expected.item())
    certain = F.one_hot(labels, 5).float()
    assert token_loss(outputs, certain) == pytest.approx(expected.item())


def test_the_language_task():
    language = SyntheticLanguage(4, (2.0,), seed=3)
    task = language_task("post", depth=1, width=8, context=6, language=language)
    assert (task.data.classes, task.loss) == (4, token_loss)
    assert task.model(0)(task.data.val_x).shape == (512, 6, 4)
    assert language_task().data.train_x.max() == 7
    first, again = (task.model(1).state_dict() for _ in range(2))
    assert all(torch.equal(p, again[name]) for name, p in first.items())
