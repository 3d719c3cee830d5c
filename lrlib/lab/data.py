"""The book's data sets: small, local, checksummed. data/README.md is their datasheet.

An experiment's data has a method ``draw(seed) -> Dataset``. A `Pool` draws for every seed its own
examples from one store; `Fresh` makes them anew; a `Dataset` is the same for every seed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from lrlib import _checks

# In a wheel the files lie inside the package; in a checkout they lie in data/.
_PACKAGED = Path(__file__).resolve().parents[1] / "_data"
DATA_DIR = _PACKAGED if _PACKAGED.is_dir() else Path(__file__).resolve().parents[2] / "data"

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, eq=False)
class Dataset:
    """Inputs and labels in three splits.

    Inputs are float32 features, (n, features), or int64 tokens, (n, context). Labels are classes,
    int64, (n,) or one for every token, (n, context); or distributions over the classes, float32,
    with the classes as a last dimension.
    """

    name: str
    classes: int
    train_x: torch.Tensor
    train_y: torch.Tensor
    val_x: torch.Tensor
    val_y: torch.Tensor
    test_x: torch.Tensor
    test_y: torch.Tensor

    def split(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        """(inputs, labels) of "train", "val" or "test"."""
        _checks.choice("Dataset.split", "name", name, SPLITS)
        return getattr(self, f"{name}_x"), getattr(self, f"{name}_y")

    def entropy(self, name: str) -> float:
        """The mean entropy of the labels of a split, in nats: no cross-entropy on it is lower.

        0 if the labels are classes.
        """
        labels = self.split(name)[1]
        if not labels.is_floating_point():
            return 0.0
        return float(torch.special.entr(labels.cpu().double()).sum(-1).mean())

    def draw(self, seed: int) -> Dataset:
        """This data set, whatever the seed."""
        _checks.integer("Dataset.draw", "seed", seed, minimum=0)
        return self

    def with_label_noise(self, rate: float, seed: int = 0) -> Dataset:
        """The same data with a share `rate` of the *training* labels made wrong.

        Each chosen label is replaced by one of the other classes, evenly. Validation and test
        labels stay clean, so an error measured on them is an error against the truth.
        """
        rate = _checks.number("with_label_noise", "rate", rate, minimum=0, maximum=1)
        seed = _checks.integer("with_label_noise", "seed", seed, minimum=0)
        if self.train_y.dim() != 1:
            raise ValueError(
                f"with_label_noise: every example must have one label, got train_y of shape "
                f"{tuple(self.train_y.shape)}"
            )
        labels = self.train_y.clone()
        everyone = torch.arange(len(labels), device="cpu")
        _make_wrong(labels, everyone, rate, self.classes, seed)
        return replace(self, name=f"{self.name}, {rate:.0%} wrong labels", train_y=labels)


def _make_wrong(
    labels: torch.Tensor, among: torch.Tensor, rate: float, classes: int, seed: int
) -> None:
    """Replace, in place, the labels of a share `rate` of the examples `among` by wrong ones."""
    rng = np.random.default_rng([seed, 2])
    chosen = among[torch.from_numpy(rng.permutation(len(among))[: round(rate * len(among))])]
    shift = torch.from_numpy(rng.integers(1, classes, size=len(chosen)))
    labels[chosen] = (labels[chosen] + shift) % classes


class Rows(NamedTuple):
    """Which rows of a pool are in each split: int64, (n,)."""

    train: torch.Tensor
    val: torch.Tensor
    test: torch.Tensor


@dataclass(frozen=True, eq=False)
class Pool:
    """One store of examples, from which every seed draws its own.

    Attributes:
        name, classes: as of `Dataset`.
        x: inputs, (N, …), as of `Dataset`.
        y: labels, int64, (N,) or (N, context).
        rows: seed -> the `Rows` that it draws; no example is in two of its splits.
        noise: share of each draw's training labels made wrong (see `with_label_noise`).
        views: consecutive rows that show one example; its label is wrong in all or in none.
        recipe: how another process makes the same pool, if it is one of the book's.
    """

    name: str
    classes: int
    x: torch.Tensor
    y: torch.Tensor
    rows: Callable[[int], Rows]
    noise: float = 0.0
    views: int = 1
    recipe: Recipe | None = field(default=None, init=False, repr=False)  # and so lost in a replace

    def draw(self, seed: int) -> Dataset:
        """What `seed` draws, as tensors of its own."""
        seed = _checks.integer("Pool.draw", "seed", seed, minimum=0)
        rows, labels = self.rows(seed), self.labels(seed)
        tensors = {}
        for split in SPLITS:
            index = getattr(rows, split)
            tensors[f"{split}_x"] = self.x[index]
            # Wrong labels are for training alone.
            tensors[f"{split}_y"] = (labels if split == "train" else self.y)[index]
        return Dataset(name=self.name, classes=self.classes, **tensors)

    def labels(self, seed: int) -> torch.Tensor:
        """The labels that `seed` trains on, (N, …): `y` itself if none is wrong."""
        if not self.noise:
            return self.y
        examples = self.rows(seed).train[:: self.views] // self.views
        labels = self.y[:: self.views].clone()
        _make_wrong(labels, examples, self.noise, self.classes, seed)
        return labels.repeat_interleave(self.views)

    def with_label_noise(self, rate: float) -> Pool:
        """The same pool; of the training labels that a seed draws, a share `rate` is wrong.

        Each seed has its own wrong labels, evenly over the other classes. Validation and test
        labels stay clean.
        """
        rate = _checks.number("with_label_noise", "rate", rate, minimum=0, maximum=1)
        if self.y.dim() != 1:
            raise ValueError(
                f"with_label_noise: every example must have one label, got y of shape "
                f"{tuple(self.y.shape)}"
            )
        noisy = replace(self, name=f"{self.name}, {rate:.0%} wrong labels", noise=rate)
        return noisy if self.recipe is None else replace(self.recipe, noise=rate).on(noisy)


@dataclass(frozen=True)
class Recipe:
    """How to make a pool of the book's: from the files in data/, which are on every machine.

    It is small and can be sent anywhere, which a pool is not and cannot.
    """

    load: Callable[..., Pool]
    arguments: tuple[int | bool, ...] = ()
    noise: float = 0.0

    def on(self, pool: Pool) -> Pool:
        """The pool, with this as its recipe."""
        object.__setattr__(pool, "recipe", self)
        return pool

    def pool(self) -> Pool:
        """The pool, made once in every process."""
        pool = _loaded(self.load, self.arguments)
        return pool.with_label_noise(self.noise) if self.noise else pool

    def gives(self, pool: Pool) -> bool:
        """Whether the pool still is what this makes: its tensors may have been changed in place."""
        again = self.pool()
        return torch.equal(again.x, pool.x) and torch.equal(again.y, pool.y)


@lru_cache(maxsize=2)
def _loaded(load: Callable[..., Pool], arguments: tuple[int | bool, ...]) -> Pool:
    return load(*arguments)


@dataclass(frozen=True, eq=False)
class Fresh:
    """Data that a generator makes anew for every seed: ``make(seed)`` returns a `Dataset`."""

    name: str
    classes: int
    make: Callable[[int], Dataset]

    def draw(self, seed: int) -> Dataset:
        return self.make(_checks.integer("Fresh.draw", "seed", seed, minimum=0))


Data = Dataset | Pool | Fresh


def load_mnist1d() -> Pool:
    """MNIST-1D (Greydanus and Kobak 2024): 40 features, 10 classes.

    Each seed draws 4,000 training and 1,000 validation examples from a pool of 40,000; all are
    judged on the same 10,000. Raises as `read_data_file` does.
    """
    arrays = read_data_file("mnist1d.npz")
    pool, test = len(arrays["train_x"]), len(arrays["test_x"])
    x = np.concatenate([arrays["train_x"], arrays["test_x"]]).astype(np.float32)
    y = np.concatenate([arrays["train_y"], arrays["test_y"]]).astype(np.int64)
    judged = torch.arange(pool, pool + test, device="cpu")

    def rows(seed: int) -> Rows:
        drawn = _drawn(seed, pool)
        return Rows(drawn[:4000], drawn[4000:5000], judged)

    made = Pool("mnist1d", 10, torch.from_numpy(x), torch.from_numpy(y), rows)
    return Recipe(load_mnist1d).on(made)


def load_digits() -> Pool:
    """Handwritten digits (UCI, as in scikit-learn): 8×8 pixels in [0, 1], 10 classes.

    Each seed draws its own split of the 1,797: 1,000 / 397 / 400.
    """
    arrays = read_data_file("digits.npz")
    x = torch.from_numpy(arrays["x"].astype(np.float32)) / 16
    y = torch.from_numpy(arrays["y"].astype(np.int64))

    def rows(seed: int) -> Rows:
        return Rows(*_drawn(seed, len(y)).split([1000, 397, 400]))

    return Recipe(load_digits).on(Pool("digits", 10, x, y, rows))


def load_images(size: int = 14, shifts: bool = False) -> Pool:
    """5,000 digits of MNIST: `size`² pixels in [0, 1] (14, pooled 2×2, or 28), 10 classes.

    Each seed draws its own split: 3,000 / 500 / 1,500. With `shifts`, a training image comes in
    nine rows, moved by −1, 0 or 1 pixels each way, so that one pass over the training set shows
    every image nine times; validation and test images stay where they are.
    """
    _checks.choice("load_images", "size", size, (14, 28))
    arrays = read_data_file("mnist5k.npz")
    x = torch.from_numpy(arrays["x"].astype(np.float32)).view(-1, 28, 28) / 255
    if size == 14:
        x = x.view(-1, 14, 2, 14, 2).mean((2, 4))
    y, views = torch.from_numpy(arrays["y"].astype(np.int64)), 9 if shifts else 1
    if shifts:
        padded = torch.nn.functional.pad(x, (1, 1, 1, 1))
        # The image in its place comes first.
        corners = [(1, 1)] + [(i, j) for i in range(3) for j in range(3) if (i, j) != (1, 1)]
        x = torch.stack([padded[:, i : i + size, j : j + size] for i, j in corners], 1)

    def rows(seed: int) -> Rows:
        train, val, test = _drawn(seed, len(y)).split([3000, 500, 1500])
        every = (train[:, None] * views + torch.arange(views, device="cpu")).flatten()
        return Rows(every, val * views, test * views)

    name = f"mnist {size}×{size}" + (", shifted" if shifts else "")
    x = x.reshape(-1, size * size).contiguous()
    pool = Pool(name, 10, x, y.repeat_interleave(views), rows, views=views)
    return Recipe(load_images, (size, shifts)).on(pool)


_BLOCK = 2048  # characters of text that go to one split together


def load_text(context: int = 64) -> Pool:
    """The prose of Python's documentation, to predict the next character at every position.

    Inputs and labels are int64 tokens, (n, context). The text is cut into stretches of 2,048
    characters, of which each seed draws 80 % for training, where windows begin at every
    character, and 10 % each for validation and test, in windows that do not overlap.
    """
    context = _checks.integer("load_text", "context", context, minimum=1)
    if context >= _BLOCK:
        raise ValueError(f"load_text: context must be below {_BLOCK}, got {context}")
    arrays = read_data_file("pydocs.npz")
    tokens = torch.from_numpy(arrays["tokens"].astype(np.int64))
    blocks = len(tokens) // _BLOCK

    def rows(seed: int) -> Rows:
        first = _drawn(seed, blocks) * _BLOCK
        held = blocks // 10
        everywhere = torch.arange(_BLOCK - context, device="cpu")
        apart = everywhere[::context]
        parts = first[2 * held :], first[:held], first[held : 2 * held]
        starts = everywhere, apart, apart
        return Rows(*((p[:, None] + s).flatten() for p, s in zip(parts, starts, strict=True)))

    # Views of the text: no window is copied.
    x, y = tokens[:-1].unfold(0, context, 1), tokens[1:].unfold(0, context, 1)
    pool = Pool("python docs", len(arrays["vocabulary"]), x, y, rows)
    return Recipe(load_text, (context,)).on(pool)


def _drawn(seed: int, n: int) -> torch.Tensor:
    """The numbers below `n`, in an order of the seed's own."""
    return torch.from_numpy(np.random.default_rng([seed, 3]).permutation(n))


def read_data_file(name: str) -> dict[str, np.ndarray]:
    """The arrays of ``data/<name>``, after checking its SHA-256 against data/SHA256SUMS.

    Raises FileNotFoundError if the file or the list of checksums is missing, and ValueError if
    the file's checksum is not the one listed.
    """
    path = DATA_DIR / name
    _must_exist(path)
    listed, sums = checksums(), DATA_DIR / "SHA256SUMS"
    if name not in listed:
        raise ValueError(f"{sums} has no checksum for {name!r}; it lists {sorted(listed)}")
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != listed[name]:
        raise ValueError(
            f"data file {path} is damaged: its SHA-256 is {found}, not {listed[name]}; restore it "
            f"with 'git checkout -- data'"
        )
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def checksums() -> dict[str, str]:
    """File name -> SHA-256, as data/SHA256SUMS lists them."""
    sums = DATA_DIR / "SHA256SUMS"
    _must_exist(sums)
    lines = (line.split() for line in sums.read_text().splitlines() if line)
    return {name: digest for digest, name in lines}


def _must_exist(path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(
            f"data file {path} is missing; restore it with 'git checkout -- data' or make "
            f"it again with the script described in data/README.md"
        )
