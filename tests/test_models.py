"""Models and tasks."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lrlib.lab import (
    MARGINS,
    Margin,
    SyntheticLanguage,
    Task,
    convnet,
    digits_task,
    images_task,
    language_task,
    load_digits,
    mlp,
    mnist1d_task,
    squared_error,
    task,
    text_task,
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
    main = mnist1d_task()
    state = torch.get_rng_state()
    first, again, other = (main.model(seed).state_dict()["0.weight"] for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, again) and not torch.equal(first, other)


def widths(model):
    return [layer.out_features for layer in model if isinstance(layer, nn.Linear)]


def test_the_tasks_of_the_book():
    main = mnist1d_task()
    assert (main.loss, widths(main.model(0))) == (F.cross_entropy, [100, 100, 10])
    assert main.model(0)(main.data.draw(0).train_x).shape == (4000, 10)
    clean, noisy = load_digits().draw(2), digits_task(0.4).data.draw(2)
    assert digits_task(0.4).model(0)(clean.train_x).shape == (1000, 10)
    assert (noisy.train_y != clean.train_y).float().mean() == pytest.approx(0.4)
    assert torch.equal(digits_task().data.draw(2).train_y, clean.train_y)


def test_the_task_of_images():
    made = images_task()
    assert (made.loss, widths(made.model(0))) == (F.cross_entropy, [128, 10])
    assert made.model(0)(made.data.draw(0).val_x).shape == (500, 10)
    assert widths(images_task(hidden=(64, 32)).model(0)) == [64, 32, 10]
    assert images_task(size=28).model(0)[0].in_features == 784
    shifted = images_task(shifts=True, label_noise=0.2).data
    assert (shifted.views, shifted.noise) == (9, 0.2)
    convolutional = images_task(channels=4)
    assert convolutional.model(0)(convolutional.data.draw(0).val_x).shape == (500, 10)
    assert [type(m) for m in convolutional.model(0)] == [type(m) for m in convnet(14, 4)]


def test_the_task_of_text():
    made = text_task(context=16, depth=1, width=8, heads=2)
    assert made.loss is token_loss
    x, y = made.data.draw(0).split("val")
    outputs = made.model(0)(x[:5])
    assert outputs.shape == (5, 16, made.data.classes)
    assert token_loss(outputs, y[:5]).item() > 1
    # About a hundred thousand parameters: the model of the recorded runs.
    assert 80_000 < sum(p.numel() for p in text_task().model(0).parameters()) < 200_000


@pytest.mark.parametrize("size", [4, 14, 28])
def test_the_convolutional_network_written_out(size):
    torch.manual_seed(0)
    model = convnet(size, 3)
    x = torch.rand(5, size * size)
    weights = list(model.parameters())
    h = x.view(5, 1, size, size)
    for weight, bias in (weights[:2], weights[2:4]):
        h = F.max_pool2d(F.conv2d(h, weight, bias, padding=1).relu(), 2)
    expected = h.flatten(1) @ weights[4].T + weights[5]
    assert torch.allclose(model(x), expected, atol=1e-6)
    assert [tuple(w.shape) for w in weights[::2]] == [
        (3, 1, 3, 3),
        (6, 3, 3, 3),
        (10, 6 * (size // 4) ** 2),
    ]
    assert not list(model.buffers())


def test_a_size_that_is_no_multiple_of_4_loses_its_last_rows_and_columns():
    model = convnet(14, 2)
    assert model(torch.zeros(3, 196)).shape == (3, 10)
    assert model[-1].in_features == 4 * 3 * 3


NAMED = {
    "mnist1d": ({}, mnist1d_task),
    "digits": ({"label_noise": 0.1}, digits_task),
    "images": ({"hidden": [8], "shifts": True}, images_task),
    "language": ({"norm": "post", "depth": 1}, language_task),
    "text": ({"context": 8, "depth": 1, "width": 4, "heads": 1}, text_task),
}


@pytest.mark.parametrize("name", NAMED)
def test_a_task_by_its_name_is_that_of_its_function(name):
    settings, function = NAMED[name]
    by_name, direct = task(name, **settings), function(**settings)
    assert by_name.loss is direct.loss and by_name.margin == direct.margin == MARGINS[name]
    for key, p in by_name.model(3).state_dict().items():
        assert torch.equal(p, direct.model(3).state_dict()[key]), key
    one, other = by_name.data.draw(4), direct.data.draw(4)
    for split in ("train", "val", "test"):
        rows = slice(0, 500)
        for a, b in zip(one.split(split), other.split(split), strict=True):
            assert torch.equal(a[rows], b[rows])


@pytest.mark.parametrize("name", ["mnist", "MNIST1D", "", None, "images_task"])
def test_an_unknown_task_is_refused_with_the_names_there_are(name):
    names = "mnist1d, digits, images, language, text"
    with pytest.raises(ValueError, match=rf"task: name must be one of {names}, got {name!r}"):
        task(name)


def test_the_smallest_differences_that_matter():
    assert set(MARGINS) == {*NAMED, "quadratic"}
    assert all(isinstance(margin, Margin) for margin in MARGINS.values())
    # One number for each unit in which the task is judged.
    for name in ("mnist1d", "digits", "images"):
        assert 0 < MARGINS[name].points <= 2 and MARGINS[name].nats is None
    for name in ("language", "text"):
        assert 0 < MARGINS[name].nats <= 0.05 and MARGINS[name].points is None
    assert Task(load_digits(), lambda: mlp(64, 10)).margin is None


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
    made = language_task("post", depth=1, width=8, context=6, language=language)
    assert (made.data.classes, made.loss) == (4, token_loss)
    assert made.model(0)(made.data.draw(0).val_x).shape == (512, 6, 4)
    assert language_task().data.draw(0).train_x.max() == 7
    first, again = (made.model(1).state_dict() for _ in range(2))
    assert all(torch.equal(p, again[name]) for name, p in first.items())


def test_every_seed_has_a_text_of_its_own_in_the_one_language():
    language = SyntheticLanguage(4, (2.0,), seed=3)
    made = language_task(depth=1, width=8, context=6, language=language)
    one, again, other = (made.data.draw(seed) for seed in (1, 1, 2))
    assert torch.equal(one.train_x, again.train_x) and not torch.equal(one.train_x, other.train_x)
    assert not torch.equal(one.val_x, other.val_x)
    direct = language.dataset(6, seed=1)
    assert torch.equal(one.train_x, direct.train_x) and torch.equal(one.val_y, direct.val_y)
    floors = [made.data.draw(seed).entropy("val") for seed in range(5)]
    assert sum(floors) / 5 == pytest.approx(language.floor(6), rel=0.02)
