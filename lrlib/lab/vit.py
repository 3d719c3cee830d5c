"""A vision transformer small enough for the book, and the task that pairs it with images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lrlib import _checks
from lrlib.lab.data import load_images
from lrlib.lab.models import MARGINS, Block, Task, transformer


class Seeing(Block):
    """A `Block` of which every position sees every other."""

    def attention(self, x: Tensor) -> Tensor:
        batch, places, width = x.shape
        q, k, v = self.qkv(x).view(batch, places, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        fetched = (q * (width / self.heads) ** -0.5 @ k.mT).softmax(-1) @ v
        return self.out(fetched.transpose(1, 2).reshape(x.shape))


class VisionTransformer(nn.Module):
    """Flat images (batch, size²) -> logits (batch, 10); see `vit`."""

    def __init__(
        self, size: int, patch: int, width: int, depth: int, heads: int, norm: str
    ) -> None:
        super().__init__()
        self.size, self.patch = size, patch
        self.patches = nn.Linear(patch * patch, width)
        self.positions = nn.Parameter(0.02 * torch.randn((size // patch) ** 2, width))
        self.blocks = nn.Sequential(*(Seeing(width, heads, norm) for _ in range(depth)))
        # As in the decoder of models.py: a post-norm block ends in a norm already.
        self.norm = nn.LayerNorm(width, bias=False) if norm == "pre" else nn.Identity()
        self.head = nn.Linear(width, 10)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        batch, side, patch = len(images), self.size // self.patch, self.patch
        cut = images.view(batch, side, patch, side, patch).transpose(2, 3)
        x = self.patches(cut.reshape(batch, side * side, patch * patch)) + self.positions
        return self.head(self.norm(self.blocks(x)).mean(1))


def vit(
    size: int = 28,
    patch: int = 7,
    *,
    width: int = 32,
    depth: int = 2,
    heads: int = 4,
    norm: str = "pre",
) -> VisionTransformer:
    """A small vision transformer without buffers and dropout.

    It maps flat images (batch, size²) to logits (batch, 10): square patches of `patch`² pixels
    each become a vector by one linear layer, a learnt position is added, `depth` blocks of
    attention and a ReLU network follow, and the mean over the patches goes to the linear head.
    `norm` is that of `lrlib.lab.transformer`, whose blocks these are, but for its mask.

    Weights start Xavier-uniform, biases at 0, positions normal with deviation 0.02. Raises
    TypeError or ValueError for bad arguments, among them a `patch` that does not divide `size`.
    Sources: Dosovitskiy et al. (2021), An image is worth 16×16 words; Beyer et al. (2022), Better
    plain ViT baselines for ImageNet-1k, for the mean in place of a class token.
    """
    size = _checks.integer("vit", "size", size, minimum=1)
    patch = _checks.integer("vit", "patch", patch, minimum=1)
    if size % patch:
        raise ValueError(f"vit: patch must divide the size {size}, got {patch!r}")
    try:  # the other arguments are those of the transformer
        transformer(2, 1, width=width, depth=depth, heads=heads, norm=norm)
    except (TypeError, ValueError) as error:
        raise type(error)(str(error).replace("transformer: ", "vit: ", 1)) from None
    return VisionTransformer(size, patch, width, depth, heads, norm)


def vit_task(
    *,
    size: int = 28,
    patch: int = 7,
    width: int = 32,
    depth: int = 2,
    heads: int = 4,
    norm: str = "pre",
) -> Task:
    """MNIST's digits with a small vision transformer and cross-entropy.

    `size`, 14 or 28: see `lrlib.lab.load_images`; the other arguments are those of `vit`, whose
    errors it raises. The data and the margin are those of `lrlib.lab.images_task`.
    """
    data = load_images(size)

    def build() -> VisionTransformer:
        return vit(size, patch, width=width, depth=depth, heads=heads, norm=norm)

    build()  # refuses bad arguments here, before any training
    return Task(data, build, margin=MARGINS["images"])
