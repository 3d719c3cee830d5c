"""The data sets: what is in them, and that damage is noticed."""

import shutil

import numpy as np
import pytest
import torch

from lrlib.lab import data, load_digits, load_mnist1d

LOADERS = {"mnist1d": load_mnist1d, "digits": load_digits}
SIZES = {"mnist1d": (40, 4000, 1000, 1000), "digits": (64, 1000, 397, 400)}


@pytest.fixture
def copied(tmp_path, monkeypatch):
    for file in data.DATA_DIR.iterdir():
        if file.is_file():
            shutil.copy(file, tmp_path)
    monkeypatch.setattr(data, "DATA_DIR", tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", LOADERS)
def test_shapes_and_types(name):
    dataset, (features, *sizes) = LOADERS[name](), SIZES[name]
    assert (dataset.name, dataset.classes) == (name, 10)
    for split, size in zip(data.SPLITS, sizes, strict=True):
        x, y = dataset.split(split)
        assert (x.shape, x.dtype) == ((size, features), torch.float32)
        assert (y.shape, y.dtype) == ((size,), torch.int64)
        assert torch.isfinite(x).all() and y.unique().tolist() == list(range(10))
        assert y.bincount().min() > 0.5 * size / 10


def test_digits_lie_between_zero_and_one():
    x = load_digits().train_x
    assert (x.min(), x.max()) == (0, 1)


@pytest.mark.parametrize("name", LOADERS)
def test_no_example_is_in_two_splits(name):
    dataset = LOADERS[name]()
    rows = {s: {row.tobytes() for row in dataset.split(s)[0].numpy()} for s in data.SPLITS}
    assert not rows["train"] & rows["val"]
    assert not rows["train"] & rows["test"]
    assert not rows["val"] & rows["test"]


@pytest.mark.parametrize("position", [0, 1000, -1])
@pytest.mark.parametrize("name", LOADERS)
def test_one_wrong_byte_is_noticed(name, position, copied):
    LOADERS[name]()
    file = copied / f"{name}.npz"
    content = bytearray(file.read_bytes())
    content[position] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}\.npz is damaged: .*git checkout -- data"):
        LOADERS[name]()


@pytest.mark.parametrize("missing", ["mnist1d.npz", "SHA256SUMS"])
def test_a_missing_file_is_named(missing, copied):
    (copied / missing).unlink()
    with pytest.raises(FileNotFoundError, match=rf"{missing} is missing; restore it with"):
        load_mnist1d()


def test_a_file_that_is_not_listed_is_refused(copied):
    (copied / "other.npz").write_bytes(b"")
    with pytest.raises(ValueError, match=r"no checksum for 'other\.npz'; it lists \['digits\.npz'"):
        data.read_data_file("other.npz")
    with pytest.raises(FileNotFoundError, match=r"unknown\.npz is missing"):
        data.read_data_file("unknown.npz")


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.25, 1.0])
def test_label_noise_makes_the_stated_share_wrong_and_spares_the_judges(rate):
    clean = load_digits()
    noisy = clean.with_label_noise(rate, seed=3)
    wrong = noisy.train_y != clean.train_y
    assert wrong.float().mean() == pytest.approx(rate)
    assert torch.equal(noisy.train_x, clean.train_x)
    assert 0 <= noisy.train_y.min() and noisy.train_y.max() <= 9
    for split in ("val", "test"):
        for a, b in zip(noisy.split(split), clean.split(split), strict=True):
            assert torch.equal(a, b)
    if rate == 1:  # evenly over the other classes
        shift = (noisy.train_y - clean.train_y) % 10
        assert np.bincount(shift, minlength=10)[1:].min() > 70


def test_label_noise_depends_on_its_seed_only_and_leaves_the_original_alone():
    clean = load_digits()
    before = clean.train_y.clone()
    labels = [clean.with_label_noise(0.3, seed).train_y for seed in (1, 1, 2)]
    assert torch.equal(labels[0], labels[1]) and not torch.equal(labels[0], labels[2])
    assert torch.equal(clean.train_y, before)
