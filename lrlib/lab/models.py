"""Models small enough for the book, and the tasks that pair them with data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lrlib import _checks
from lrlib.lab.data import Dataset, load_digits, load_mnist1d
from lrlib.lab.language import SyntheticLanguage

_ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}
NORMS = ("pre", "post", "none")


def mlp(*sizes: int, activation: str = "relu") -> nn.Sequential:
    """A multilayer perceptron with torch's default initialisation: ``mlp(40, 100, 100, 10)``.

    `sizes` are the widths from input to output, at least two; `activation` is "relu" or "tanh".
    """
    if len(sizes) < 2:
        raise ValueError(f"mlp: sizes must name at least input and output, got {sizes!r}")
    sizes = tuple(_checks.integer("mlp", "sizes", size, minimum=1) for size in sizes)
    _checks.choice("mlp", "activation", activation, tuple(_ACTIVATIONS))
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), _ACTIVATIONS[activation]()]
    return nn.Sequential(*layers[:-1])


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


@dataclass(frozen=True, eq=False)
class Task:
    """What is trained: a data set, a function that builds the model, and the training loss.

    `build` takes no argument and returns a fresh ``nn.Module`` without buffers, initialised from
    torch's global random state; `loss(outputs, labels)` returns the batch mean as a scalar.
    """

    data: Dataset
    build: Callable[[], nn.Module]
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy

    def model(self, seed: int) -> nn.Module:
        """A new model with the initial weights of `seed`; the global random state is untouched."""
        seed = _checks.integer("Task.model", "seed", seed, minimum=0)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.build()


def mnist1d_task() -> Task:
    """MNIST-1D with the MLP 40-100-100-10 and cross-entropy: the book's main task."""
    return Task(load_mnist1d(), lambda: mlp(40, 100, 100, 10))


def digits_task(label_noise: float = 0.0, seed: int = 0) -> Task:
    """Digits with the MLP 64-64-10 and cross-entropy; a share of wrong training labels.

    `label_noise` in [0, 1]; `seed` decides which labels are wrong.
    """
    data = load_digits()
    if label_noise:
        data = data.with_label_noise(label_noise, seed)
    return Task(data, lambda: mlp(64, 64, 10))


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

    The loss on validation and test is expected, not sampled, and its floor is
    ``task.data.entropy("val")`` (see SyntheticLanguage.dataset); the other arguments are those of
    `transformer`, whose errors it raises.
    """
    language = SyntheticLanguage() if language is None else language
    if not isinstance(language, SyntheticLanguage):
        raise TypeError(f"language_task: language must be a SyntheticLanguage, got {language!r}")

    def build() -> Transformer:
        return transformer(
            language.vocabulary, context, width=width, depth=depth, heads=heads, norm=norm
        )

    build()  # refuses bad arguments here, before any training
    return Task(language.dataset(context), build, token_loss)
