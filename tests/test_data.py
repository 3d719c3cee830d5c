"""The data sets: what is in them, what a seed draws of them, and that damage is noticed."""

import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lrlib.lab import (
    Dataset,
    Fresh,
    Pool,
    continual_task,
    data,
    load_digits,
    load_images,
    load_mnist1d,
    load_text,
)

LOADERS = {
    "mnist1d": load_mnist1d,
    "digits": load_digits,
    "images": load_images,
    "images of 28": lambda: load_images(28),
}
FILES = {"mnist1d": load_mnist1d, "digits": load_digits, "mnist5k": load_images}
FILES["pydocs"] = load_text
FILES["pycode"] = lambda: continual_task("text", first=1, then=1)
# features, and how many of each split a seed draws
SIZES = {
    "mnist1d": (40, 4000, 1000, 10_000),
    "digits": (64, 1000, 397, 400),
    "images": (196, 3000, 500, 1500),
    "images of 28": (784, 3000, 500, 1500),
}
NAMES = {"images": "mnist 14×14", "images of 28": "mnist 28×28"}
STORED = {"mnist1d": 50_000, "digits": 1797, "images": 5000, "images of 28": 5000}


@pytest.fixture(scope="module")
def text():
    return load_text(64)


@pytest.fixture
def copied(tmp_path, monkeypatch):
    for file in data.DATA_DIR.iterdir():
        if file.is_file():
            shutil.copy(file, tmp_path)
    monkeypatch.setattr(data, "DATA_DIR", tmp_path)
    return tmp_path


def rows_of(pool, seed):
    return {split: set(getattr(pool.rows(seed), split).tolist()) for split in data.SPLITS}


def same(one, other):
    return all(
        torch.equal(a, b)
        for split in data.SPLITS
        for a, b in zip(one.split(split), other.split(split), strict=True)
    )


# --- what is in a draw


@pytest.mark.parametrize("name", LOADERS)
def test_shapes_and_types(name):
    pool, (features, *sizes) = LOADERS[name](), SIZES[name]
    assert (pool.name, pool.classes) == (NAMES.get(name, name), 10)
    assert pool.x.shape == (STORED[name], features) and pool.y.shape == (STORED[name],)
    for seed in (0, 123_456):
        dataset = pool.draw(seed)
        assert (dataset.name, dataset.classes) == (pool.name, 10)
        for split, size in zip(data.SPLITS, sizes, strict=True):
            x, y = dataset.split(split)
            assert (x.shape, x.dtype) == ((size, features), torch.float32)
            assert (y.shape, y.dtype) == ((size,), torch.int64)
            assert torch.isfinite(x).all() and y.unique().tolist() == list(range(10))
            assert y.bincount().min() > 0.5 * size / 10
            assert dataset.entropy(split) == 0


@pytest.mark.parametrize("name", ["digits", "images", "images of 28"])
def test_pixels_lie_between_zero_and_one(name):
    x = LOADERS[name]().x
    assert (x.min(), x.max()) == (0, 1)


@pytest.mark.parametrize("name", LOADERS)
def test_no_example_is_in_two_splits(name):
    pool = LOADERS[name]()
    for seed in (0, 1):
        rows = rows_of(pool, seed)
        sizes = [len(rows[split]) for split in data.SPLITS]
        assert sizes == list(SIZES[name][1:])  # nor twice in one
        assert len(set.union(*rows.values())) == sum(sizes)
        dataset = pool.draw(seed)
        seen = {s: {row.tobytes() for row in dataset.split(s)[0].numpy()} for s in data.SPLITS}
        for one, other in [("train", "val"), ("train", "test"), ("val", "test")]:
            assert not seen[one] & seen[other]


@pytest.mark.parametrize("name", LOADERS)
def test_a_draw_is_the_rows_of_the_pool(name):
    pool = LOADERS[name]()
    dataset, rows = pool.draw(5), pool.rows(5)
    for split in data.SPLITS:
        x, y = dataset.split(split)
        index = getattr(rows, split)
        assert torch.equal(x, pool.x[index]) and torch.equal(y, pool.y[index])
    kept = pool.x[rows.train[0]].clone()
    dataset.train_x[0] += 1  # the tensors are the draw's own
    assert torch.equal(pool.x[rows.train[0]], kept)


@pytest.mark.parametrize("name", LOADERS)
def test_a_seed_draws_the_same_again_and_other_seeds_draw_others(name):
    pool = LOADERS[name]()
    assert same(pool.draw(3), LOADERS[name]().draw(3))
    one, other = rows_of(pool, 3), rows_of(pool, 4)
    judged_alike = name == "mnist1d"
    for split in data.SPLITS:
        if split == "test" and judged_alike:
            continue
        n = len(one[split])
        by_chance = n * n / (40_000 if judged_alike else STORED[name])
        shared = len(one[split] & other[split])
        assert abs(shared - by_chance) < 0.15 * n, split


def test_all_seeds_are_judged_on_the_same_test_set_of_mnist1d():
    pool, stored = load_mnist1d(), data.read_data_file("mnist1d.npz")
    for seed in (0, 9):
        x, y = pool.draw(seed).split("test")
        assert torch.equal(x, torch.from_numpy(stored["test_x"].astype(np.float32)))
        assert y.tolist() == stored["test_y"].tolist()
        assert max(rows_of(pool, seed)["train"] | rows_of(pool, seed)["val"]) < 40_000


def test_every_example_of_a_pool_is_drawn_by_some_seed():
    pool = load_digits()
    for split, seeds in (("train", 30), ("test", 60)):
        drawn = set.union(*(rows_of(pool, seed)[split] for seed in range(seeds)))
        assert drawn == set(range(1797))


def test_the_smaller_images_are_the_larger_ones_pooled():
    large, small = load_images(28), load_images(14)
    assert torch.equal(large.y, small.y)
    for i in (0, 1234, 4999):
        image = large.x[i].view(28, 28)
        for row, column in ((0, 0), (6, 7), (9, 4), (13, 13)):
            patch = image[2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            assert small.x[i].view(14, 14)[row, column] == pytest.approx(patch.mean().item())
    stored = data.read_data_file("mnist5k.npz")
    assert (255 * large.x[77]).round().tolist() == stored["x"][77].ravel().tolist()


# --- shifted images


def moved(image, down, right):
    """The image moved by whole pixels, filled up with 0: pixel for pixel."""
    size, out = len(image), torch.zeros_like(image)
    for i in range(size):
        for j in range(size):
            if 0 <= i - down < size and 0 <= j - right < size:
                out[i, j] = image[i - down, j - right]
    return out


@pytest.mark.parametrize("size", [14, 28])
def test_a_shifted_image_is_the_image_moved_pixel_for_pixel(size):
    plain, shifted = load_images(size), load_images(size, shifts=True)
    assert shifted.views == 9 and len(shifted.x) == 9 * len(plain.x)
    assert shifted.name == f"mnist {size}×{size}, shifted"
    for i in (0, 3456):
        image = plain.x[i].view(size, size)
        views = shifted.x[9 * i : 9 * i + 9].view(9, size, size)
        assert torch.equal(views[0], image)
        every = [moved(image, down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
        found = [sum(torch.equal(view, wanted) for view in views) for wanted in every]
        assert found == [1] * 9
    assert torch.equal(shifted.y, plain.y.repeat_interleave(9))


def test_with_shifts_training_sees_every_view_and_the_judges_none():
    plain, shifted = load_images(), load_images(shifts=True)
    for seed in (0, 8):
        one, nine = plain.rows(seed), shifted.rows(seed)
        expected = {9 * i + k for i in one.train.tolist() for k in range(9)}
        assert len(nine.train) == 27_000 and set(nine.train.tolist()) == expected
        for split in ("val", "test"):
            for a, b in zip(
                plain.draw(seed).split(split), shifted.draw(seed).split(split), strict=True
            ):
                assert torch.equal(a, b)


# --- text


def test_text_says_what_follows(text):
    stored = data.read_data_file("pydocs.npz")
    assert (text.name, text.classes) == ("python docs", len(stored["vocabulary"]))
    dataset = text.draw(2)
    for split in data.SPLITS:
        x, y = dataset.split(split)
        assert x.dtype == y.dtype == torch.int64 and x.shape == y.shape == (len(x), 64)
        assert 0 <= x.min() and x.max() < text.classes
        assert torch.equal(x[:, 1:], y[:, :-1])
    tokens = torch.from_numpy(stored["tokens"].astype(np.int64))
    for split in data.SPLITS:  # the label of a window's last character, too, is what the text has
        starts = getattr(text.rows(2), split)
        assert torch.equal(dataset.split(split)[1][:, -1], tokens[starts + 64])
    some = "".join(map(chr, stored["vocabulary"][dataset.val_x[:50].numpy()].ravel()))
    assert " the " in some  # it is English


@given(st.integers(0, 10**6), st.sampled_from((1, 7, 64, 500)))
@settings(max_examples=12)
def test_no_training_window_reaches_into_text_that_is_held_out(seed, context):
    pool = load_text(context)
    rows = pool.rows(seed)
    read = {}
    for split in data.SPLITS:
        starts = getattr(rows, split)
        # A window reads `context` characters and the one to predict after them.
        read[split] = torch.zeros(len(pool.x) + context + 1, dtype=torch.int64)
        for k in range(context + 1):
            read[split].index_add_(0, starts + k, torch.ones_like(starts))
        assert len(starts.unique()) == len(starts)
    for one, other in [("train", "val"), ("train", "test"), ("val", "test")]:
        assert not (read[one].bool() & read[other].bool()).any()
    blocks = (len(pool.x) + context) // 2048
    held, per = blocks // 10, len(range(0, 2048 - context, context))
    assert len(rows.val) == len(rows.test) == held * per
    assert len(rows.train) == (blocks - 2 * held) * (2048 - context)
    # What is predicted in a held-out window is predicted in that window alone.
    for split in ("val", "test"):
        predicted = (getattr(rows, split)[:, None] + 1 + torch.arange(context)).flatten()
        assert len(predicted.unique()) == len(predicted)


def test_text_costs_no_memory_for_its_windows(text):
    assert text.x.untyped_storage().nbytes() < 10 * len(text.x)


def test_text_of_a_seed_is_its_own(text):
    assert torch.equal(text.rows(1).train, load_text(64).rows(1).train)
    one, other = (set((text.rows(seed).val // 2048).tolist()) for seed in (1, 2))
    assert one != other and len(one) == len(other) == 18


# --- damage


@pytest.mark.parametrize("position", [0, 1000, -1])
@pytest.mark.parametrize("name", FILES)
def test_one_wrong_byte_is_noticed(name, position, copied):
    FILES[name]()
    file = copied / f"{name}.npz"
    content = bytearray(file.read_bytes())
    content[position] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}\.npz is damaged: .*git checkout -- data"):
        FILES[name]()


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_short_is_noticed(name, copied):
    file = copied / f"{name}.npz"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match=rf"{name}\.npz is damaged: its SHA-256 is"):
        FILES[name]()


def test_a_wrong_line_in_the_list_of_checksums_is_noticed(copied):
    sums = copied / "SHA256SUMS"
    listed = data.checksums()["digits.npz"]
    sums.write_text(sums.read_text().replace(listed, listed[::-1]))
    with pytest.raises(ValueError, match=rf"digits\.npz is damaged: .* not {listed[::-1]}"):
        load_digits()


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


# --- wrong labels


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.25, 1.0])
def test_label_noise_makes_the_stated_share_wrong_and_spares_the_judges(rate):
    pool = load_digits()
    clean = pool.draw(3)
    for noisy in (clean.with_label_noise(rate, seed=3), pool.with_label_noise(rate).draw(3)):
        assert noisy.name == f"digits, {rate:.0%} wrong labels"
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
    clean = load_digits().draw(0)
    before = clean.train_y.clone()
    labels = [clean.with_label_noise(0.3, seed).train_y for seed in (1, 1, 2)]
    assert torch.equal(labels[0], labels[1]) and not torch.equal(labels[0], labels[2])
    assert torch.equal(clean.train_y, before)


def test_every_seed_of_a_pool_has_wrong_labels_of_its_own():
    pool = load_digits()
    before, noisy = pool.y.clone(), pool.with_label_noise(0.3)
    assert torch.equal(noisy.draw(1).train_y, noisy.draw(1).train_y)
    wrong = [set(torch.nonzero(noisy.labels(seed) != pool.y).flatten().tolist()) for seed in (1, 2)]
    for seed, rows in zip((1, 2), wrong, strict=True):
        assert len(rows) == 300 and rows <= rows_of(pool, seed)["train"]
    # Of the rows that both train on, each has its own 30 %.
    common = rows_of(pool, 1)["train"] & rows_of(pool, 2)["train"]
    both = wrong[0] & wrong[1] & common
    assert len(both) == pytest.approx(0.09 * len(common), rel=0.5)
    assert torch.equal(pool.y, before) and not pool.noise


def test_a_label_is_wrong_in_all_nine_views_or_in_none():
    pool = load_images(shifts=True).with_label_noise(0.2)
    clean = load_images(shifts=True)
    for seed in (0, 1):
        drawn, truth = pool.draw(seed), clean.draw(seed)
        assert torch.equal(drawn.train_x, truth.train_x)
        wrong = (drawn.train_y != truth.train_y).view(-1, 9)
        assert (wrong.all(1) | ~wrong.any(1)).all()
        assert wrong[:, 0].sum() == 600
        given = drawn.train_y.view(-1, 9)
        assert (given == given[:, :1]).all()
        for split in ("val", "test"):
            assert torch.equal(drawn.split(split)[1], truth.split(split)[1])
    # The same labels are wrong without the views.
    alone = load_images().with_label_noise(0.2).draw(1)
    assert torch.equal(alone.train_y, given[:, 0])


def test_where_an_example_has_many_labels_there_is_no_label_noise(text):
    with pytest.raises(ValueError, match=r"one label, got y of shape \(\d+, 64\)"):
        text.with_label_noise(0.1)


# --- data that is fixed, and data made anew


def test_a_data_set_is_its_own_draw_for_every_seed():
    dataset = load_digits().draw(0)
    assert dataset.draw(1) is dataset is dataset.draw(2)


def test_fresh_data_is_made_for_the_seed():
    asked = []

    def make(seed):
        asked.append(seed)
        return load_digits().draw(seed)

    fresh = Fresh("digits again", 10, make)
    assert same(fresh.draw(4), load_digits().draw(4))
    assert asked == [4] and not same(fresh.draw(5), load_digits().draw(4))


@pytest.mark.parametrize("seed", [-1, 0.5, None, True])
@pytest.mark.parametrize("kind", [Pool, Fresh, Dataset])
def test_a_seed_that_is_none_is_refused(kind, seed):
    pool = load_digits()
    made = {Pool: pool, Fresh: Fresh("x", 10, pool.draw), Dataset: pool.draw(0)}[kind]
    with pytest.raises((TypeError, ValueError), match=rf"{kind.__name__}\.draw: seed must be"):
        made.draw(seed)


@pytest.mark.parametrize("size", [8, 0, 14.5, "14", None])
def test_images_come_in_two_sizes(size):
    with pytest.raises(ValueError, match=rf"load_images: size must be one of 14, 28, got {size!r}"):
        load_images(size)


@pytest.mark.parametrize(
    ("context", "error"),
    [(0, ValueError), (2048, ValueError), (64.0, TypeError), ("64", TypeError)],
)
def test_a_window_of_text_fits_its_block(context, error):
    with pytest.raises(error, match=rf"load_text: context must be .*{context}"):
        load_text(context)
