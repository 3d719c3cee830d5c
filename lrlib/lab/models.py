"""Models small enough for the book, and the tasks that pair them with data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lrlib import _checks
from lrlib.lab.data import Data, Fresh, load_digits, load_images, load_mnist1d, load_text
from lrlib.lab.evidence import Margin
from lrlib.lab.language import SyntheticLanguage

_ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}
NORMS = ("pre", "post", "none")


def mlp(*sizes: int, activation: str = "relu", gain: float | None = None) -> nn.Sequential:
    """A multilayer perceptron with torch's default initialisation: ``mlp(40, 100, 100, 10)``.

    `sizes` are the widths from input to output, at least two; `activation` is "relu" or "tanh".
    With `gain`, above 0, the weights start as He et al.'s (2015) normal ones times `gain`, and the
    biases at 0.
    """
    if len(sizes) < 2:
        raise ValueError(f"mlp: sizes must name at least input and output, got {sizes!r}")
    sizes = tuple(_checks.integer("mlp", "sizes", size, minimum=1) for size in sizes)
    _checks.choice("mlp", "activation", activation, tuple(_ACTIVATIONS))
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), _ACTIVATIONS[activation]()]
    model = nn.Sequential(*layers[:-1])
    if gain is not None:
        gain = _checks.number("mlp", "gain", gain, above=0)
        for layer in model:
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                layer.weight.data *= gain
                nn.init.zeros_(layer.bias)
    return model


class Block(nn.Module):
    """Causal self-attention, then a ReLU network of four times the width, each with a residual.

    `norm` says where layer norm stands: "pre", ``x + f(norm(x))``; "post", ``norm(x + f(x))``, as
    in the paper; "none", ``x + f(x)``.
    """

    def __init__(self, width: int, heads: int, norm: str) -> None:
        super().__init__()
        self.heads, self.norm = heads, norm
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)
        self.norm1, self.norm2 = _norm(width, norm != "none"), _norm(width, norm != "none")

    def attention(self, x: Tensor) -> Tensor:
        batch, context, width = x.shape
        # Each (batch, heads, context, width / heads). Written out, since torch's fused attention
        # has no batching rule for vmap on the CPU.
        q, k, v = self.qkv(x).view(batch, context, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = q * (width / self.heads) ** -0.5 @ k.mT
        future = torch.full((context, context), -torch.inf, dtype=x.dtype, device=x.device).triu(1)
        fetched = (scores + future).softmax(-1) @ v
        return self.out(fetched.transpose(1, 2).reshape(x.shape))

    def network(self, x: Tensor) -> Tensor:
        return self.down(self.up(x).relu())

    def forward(self, x: Tensor) -> Tensor:
        if self.norm == "pre":
            x = x + self.attention(self.norm1(x))
            return x + self.network(self.norm2(x))
        x = self.norm1(x + self.attention(x))
        return self.norm2(x + self.network(x))


def _norm(width: int, there: bool) -> nn.Module:
    return nn.LayerNorm(width, bias=False) if there else nn.Identity()


class Transformer(nn.Module):
    """Tokens int64 (batch, context) -> logits (batch, context, vocabulary); see `transformer`."""

    def __init__(
        self, vocabulary: int, context: int, width: int, depth: int, heads: int, norm: str
    ) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(torch.randn(context, width))
        self.blocks = nn.Sequential(*(Block(width, heads, norm) for _ in range(depth)))
        # A post-norm block ends in a norm already.
        self.norm = _norm(width, norm == "pre")
        self.head = nn.Linear(width, vocabulary, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tokens(tokens) + self.positions[: tokens.shape[1]]
        return self.head(self.norm(self.blocks(x)))


def transformer(
    vocabulary: int,
    context: int,
    *,
    width: int = 16,
    depth: int = 2,
    heads: int = 2,
    norm: str = "pre",
) -> Transformer:
    """A small decoder-only transformer without biases, buffers and dropout.

    It maps int64 tokens (batch, up to `context`) to logits (…, vocabulary) of the token after
    each; no output depends on a later token. `depth` blocks of attention with `heads` heads
    and a ReLU network; `norm` places their layer norm: "pre" (with one more before the head),
    "post" or "none".

    Initial weights are Xavier-uniform, as in torch's nn.Transformer and Xiong et al. (2020), On
    layer normalization in the Transformer architecture; embeddings of tokens and positions are
    standard normal, as nn.Embedding's. Raises TypeError or ValueError for bad arguments. Source:
    Vaswani et al. (2017), Attention is all you need.
    """
    owner = "transformer"
    vocabulary = _checks.integer(owner, "vocabulary", vocabulary, minimum=2)
    context = _checks.integer(owner, "context", context, minimum=1)
    width = _checks.integer(owner, "width", width, minimum=1)
    depth = _checks.integer(owner, "depth", depth, minimum=1)
    heads = _checks.integer(owner, "heads", heads, minimum=1)
    if width % heads:
        raise ValueError(f"{owner}: heads must divide the width {width}, got {heads!r}")
    _checks.choice(owner, "norm", norm, NORMS)
    return Transformer(vocabulary, context, width, depth, heads, norm)


def token_loss(outputs: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy averaged over batch and context, in nats per token; a scalar.

    `outputs` (batch, context, vocabulary); `labels` int64 (batch, context), or distributions,
    (batch, context, vocabulary).
    """
    return F.cross_entropy(outputs.flatten(0, 1), labels.flatten(0, 1))


def squared_error(outputs: Tensor, labels: Tensor) -> Tensor:
    """Half the squared distance to the one-hot label, summed over outputs, averaged over examples.

    `outputs` (batch, classes), `labels` int64 (batch,); a scalar. The loss of Cohen et al. (2021).
    """
    target = F.one_hot(labels, outputs.shape[-1]).to(outputs.dtype)
    return 0.5 * (outputs - target).square().sum(-1).mean()


def convnet(size: int = 14, channels: int = 16) -> nn.Sequential:
    """Two 3×3 convolutions, each with ReLU and 2×2 max pooling, and a linear layer.

    It maps flat images (batch, size²), `size` at least 4, to logits (batch, 10); the second
    convolution has twice the `channels` of the first, and pooling leaves out an odd last row and
    column. No buffers, torch's default initialisation.
    """
    size = _checks.integer("convnet", "size", size, minimum=4)
    channels = _checks.integer("convnet", "channels", channels, minimum=1)
    return nn.Sequential(
        nn.Unflatten(1, (1, size, size)),
        nn.Conv2d(1, channels, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(channels, 2 * channels, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(2 * channels * (size // 4) ** 2, 10),
    )


# The smallest differences that matter, one for each task and set before any result was seen: a
# difference that a practitioner would change a schedule for. Every "no difference" uses them.
MARGINS = {
    "mnist1d": Margin(points=2.0),
    "digits": Margin(points=1.0),
    "images": Margin(points=0.5),
    "language": Margin(nats=0.02),
    "text": Margin(nats=0.02),
    "quadratic": Margin(),  # a factor between losses
}


@dataclass(frozen=True, eq=False)
class Task:
    """What is trained: data, a function that builds the model, and the training loss.

    `data` has a method ``draw(seed)`` (see lrlib.lab.data). `build` takes no argument and returns
    a fresh ``nn.Module`` without buffers, initialised from torch's global random state;
    `loss(outputs, labels)` returns the batch mean as a scalar; `margin` is the smallest
    difference that matters on the task.
    """

    data: Data
    build: Callable[[], nn.Module]
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy
    margin: Margin | None = None

    def model(self, seed: int) -> nn.Module:
        """A new model with the initial weights of `seed`, on the CPU.

        The global random state is untouched, and torch's default device has no say in it.
        """
        seed = _checks.integer("Task.model", "seed", seed, minimum=0)
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            torch.manual_seed(seed)
            return self.build()


def mnist1d_task() -> Task:
    """MNIST-1D with the MLP 40-100-100-10 and cross-entropy: the book's main task."""
    return Task(load_mnist1d(), lambda: mlp(40, 100, 100, 10), margin=MARGINS["mnist1d"])


def digits_task(label_noise: float = 0.0) -> Task:
    """Digits with the MLP 64-64-10 and cross-entropy; a share of wrong training labels.

    `label_noise` in [0, 1]; each seed has its own wrong labels.
    """
    data = load_digits()
    if label_noise:
        data = data.with_label_noise(label_noise)
    return Task(data, lambda: mlp(64, 64, 10), margin=MARGINS["digits"])


def images_task(
    *,
    size: int = 14,
    hidden: Sequence[int] = (128,),
    channels: int | None = None,
    shifts: bool = False,
    label_noise: float = 0.0,
) -> Task:
    """MNIST's digits with an MLP or, if `channels` is given, a convolutional network.

    `size`, `shifts`: see load_images; `hidden` are the widths of the MLP's hidden layers;
    `channels`: see convnet; `label_noise` in [0, 1], each seed with its own wrong labels.
    """
    data = load_images(size, shifts)
    if label_noise:
        data = data.with_label_noise(label_noise)
    if channels is None:
        sizes = (size * size, *hidden, 10)
        mlp(*sizes)  # refuses bad arguments here, before any training
        return Task(data, lambda: mlp(*sizes), margin=MARGINS["images"])
    convnet(size, channels)
    return Task(data, lambda: convnet(size, channels), margin=MARGINS["images"])


def language_task(
    norm: str = "pre",
    *,
    depth: int = 4,
    width: int = 16,
    heads: int = 2,
    context: int = 8,
    language: SyntheticLanguage | None = None,
) -> Task:
    """A synthetic language (default: ``SyntheticLanguage()``) with a transformer and `token_loss`.

    Each seed draws its own text from the language. The loss on validation and test is expected,
    not sampled, and its floor is ``task.data.draw(seed).entropy("val")`` (see
    SyntheticLanguage.dataset); the other arguments are those of `transformer`, whose errors it
    raises.
    """
    language = SyntheticLanguage() if language is None else language
    if not isinstance(language, SyntheticLanguage):
        raise TypeError(f"language_task: language must be a SyntheticLanguage, got {language!r}")

    def build() -> Transformer:
        return transformer(
            language.vocabulary, context, width=width, depth=depth, heads=heads, norm=norm
        )

    build()  # refuses bad arguments here, before any training
    data = Fresh(
        "synthetic language",
        language.vocabulary,
        lambda seed: language.dataset(context, seed=seed),
    )
    return Task(data, build, token_loss, MARGINS["language"])


def text_task(*, context: int = 64, depth: int = 2, width: int = 64, heads: int = 4) -> Task:
    """Python's documentation, character by character, with a transformer and `token_loss`.

    See load_text; the other arguments are those of `transformer`, whose errors it raises.
    """
    data = load_text(context)

    def build() -> Transformer:
        return transformer(data.classes, context, width=width, depth=depth, heads=heads)

    build()  # refuses bad arguments here, before any training
    return Task(data, build, token_loss, MARGINS["text"])


_TASKS = {
    "mnist1d": mnist1d_task,
    "digits": digits_task,
    "images": images_task,
    "language": language_task,
    "text": text_task,
}


def task(name: str, **settings: object) -> Task:
    """The task of that name: "mnist1d", "digits", "images", "language" or "text".

    `settings` are the arguments of ``<name>_task``. Raises ValueError for an unknown name.
    """
    _checks.choice("task", "name", name, tuple(_TASKS))
    return _TASKS[name](**settings)
