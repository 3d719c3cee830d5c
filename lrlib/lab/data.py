"""The book's data sets: small, local, checksummed. data/README.md is their datasheet."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

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
        return float(torch.special.entr(labels.double()).sum(-1).mean())

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
        rng = np.random.default_rng(seed)
        labels = self.train_y.numpy().copy()
        chosen = rng.permutation(len(labels))[: round(rate * len(labels))]
        labels[chosen] += rng.integers(1, self.classes, size=len(chosen))
        return replace(
            self,
            name=f"{self.name}, {rate:.0%} wrong labels",
            train_y=torch.from_numpy(labels % self.classes),
        )


def load_mnist1d() -> Dataset:
    """MNIST-1D (Greydanus and Kobak 2024): 40 features, 10 classes, 4000/1000/1000 examples.

    Training and test split are the package's own defaults; the validation split is drawn by the
    same generator with another seed. Raises as `read_data_file` does.
    """
    return _load("mnist1d", classes=10)


def load_digits() -> Dataset:
    """Handwritten digits (UCI, as in scikit-learn): 8×8 pixels in [0, 1], 1000/397/400 examples."""
    return _load("digits", classes=10)


def read_data_file(name: str) -> dict[str, np.ndarray]:
    """The arrays of ``data/<name>``, after checking its SHA-256 against data/SHA256SUMS.

    Raises FileNotFoundError if the file or the list of checksums is missing, and ValueError if
    the file's checksum is not the one listed.
    """
    path, sums = DATA_DIR / name, DATA_DIR / "SHA256SUMS"
    for needed in (path, sums):
        if not needed.is_file():
            raise FileNotFoundError(
                f"data file {needed} is missing; restore it with 'git checkout -- data' or make "
                f"it again with the script described in data/README.md"
            )
    listed = dict(reversed(line.split()) for line in sums.read_text().splitlines() if line)
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


def _load(name: str, classes: int) -> Dataset:
    arrays = read_data_file(f"{name}.npz")
    tensors = {}
    for split in SPLITS:
        tensors[f"{split}_x"] = torch.from_numpy(arrays[f"{split}_x"].astype(np.float32))
        tensors[f"{split}_y"] = torch.from_numpy(arrays[f"{split}_y"].astype(np.int64))
    if name == "digits":
        for split in SPLITS:
            tensors[f"{split}_x"] /= 16
    return Dataset(name=name, classes=classes, **tensors)
