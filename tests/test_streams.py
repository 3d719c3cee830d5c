"""First one source of data, then another: the order that a sweep sees, and what is in it."""

import numpy as np
import pytest
import torch

from lrlib import Constant
from lrlib.lab import SyntheticLanguage, batches, continual_task, in_order, sweep
from lrlib.lab.data import read_data_file


@pytest.mark.parametrize(("seed", "n", "size"), [(0, 12, 3), (7, 40, 8), (123, 5, 5)])
def test_a_sweep_sees_examples_in_the_order_given(seed, n, size):
    x = torch.arange(n)[:, None].float()
    laid_x, laid_y = in_order(seed, x, 2 * x)
    seen = torch.cat([laid_x[i] for i in batches(seed, n, n // size, size)])
    assert torch.equal(seen, x) and torch.equal(laid_y, 2 * laid_x)


def in_turn(task, seed, steps, size):
    """The windows of a run, in the order in which a sweep takes them, by step."""
    drawn = task.data.draw(seed)
    order = list(batches(seed, len(drawn.train_x), steps, size))
    return drawn, torch.stack([drawn.train_x[i] for i in order])


def words(text, length=12):
    return {text[i : i + length] for i in range(len(text) - length)}


@pytest.fixture(scope="module")
def texts():
    found = {}
    for name in ("pydocs", "pycode"):
        arrays = read_data_file(f"{name}.npz")
        found[name] = "".join(map(chr, arrays["vocabulary"][arrays["tokens"]]))
    return found


def test_documentation_comes_first_and_code_then(texts):
    alphabet = sorted(set(texts["pydocs"]) | set(texts["pycode"]))
    task = continual_task("text", first=3, then=4, batch_size=5)
    drawn, seen = in_turn(task, 2, 7, 5)
    assert drawn.classes == len(alphabet) == 105
    read = [["".join(alphabet[i] for i in w) for w in step] for step in seen.tolist()]
    for step, windows in enumerate(read):
        assert all(w in texts["pydocs" if step < 3 else "pycode"] for w in windows)
    for split, name in (("val", "pycode"), ("test", "pydocs")):
        held = ["".join(alphabet[i] for i in w) for w in drawn.split(split)[0].tolist()]
        assert len(held) == len(set(held)) == 256 and all(w in texts[name] for w in held)


def test_what_is_held_out_is_not_trained_on(texts):
    """Of 64 characters, hardly ever: the texts repeat themselves a little."""
    drawn = continual_task("text", first=300, then=300).data.draw(0)
    trained = {w for x in drawn.train_x.tolist() for w in words(tuple(x), 40)}
    for split in ("val", "test"):
        held = [words(tuple(x), 40) for x in drawn.split(split)[0].tolist()]
        assert np.mean([bool(w & trained) for w in held]) < 0.1


def test_a_label_is_the_next_token():
    for kind in ("text", "language"):
        drawn = continual_task(kind, first=2, then=2, batch_size=4).data.draw(1)
        assert torch.equal(drawn.train_x[:, 1:], drawn.train_y[:, :-1])


def test_replay_puts_earlier_windows_among_the_later_ones():
    plain, replayed = (
        in_turn(continual_task(first=20, then=50, batch_size=10, replay=share), 3, 70, 10)[1]
        for share in (0.0, 0.2)
    )
    assert torch.equal(plain[:20], replayed[:20])
    changed = (plain[20:] != replayed[20:]).any(-1)
    assert 0.12 < changed.float().mean() < 0.26
    earlier = {tuple(w) for w in plain[:20].flatten(0, 1).tolist()}
    assert all(tuple(w) in earlier for w in replayed[20:][changed].tolist())


def test_the_two_languages_are_related():
    """As the docstring says: less apart than unrelated ones, after one token and after two."""

    def apart(one, other, tokens):
        return np.abs(one._conditional[tokens] - other._conditional[tokens]).sum(-1).mean() / 2

    first, second = SyntheticLanguage(), SyntheticLanguage(concentration=(8.0, 0.7))
    unrelated = SyntheticLanguage(concentration=(8.0, 0.7), seed=1)
    assert 0.5 < apart(first, second, 1) < 0.55 and 0.65 < apart(first, unrelated, 1) < 0.7
    assert apart(first, second, 2) < apart(first, unrelated, 2) - 0.1


def test_a_sweep_learns_the_second_source_and_forgets_the_first():
    task = continual_task(first=150, then=150)
    steps = {"steps": 300, "batch_size": 16, "optimizer": "adamw", "progress": False}
    run = sweep(task, {"constant": Constant()}, [0.01], [0], eval_steps=[150, 300], **steps)
    new, old = run.metrics["val_loss"][0, 0, 0], run.metrics["test_loss"][0, 0, 0]
    assert new[1] < new[0] - 0.2 and old[1] > old[0] + 0.2


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"kind": "speech"}, ValueError, "kind must be one of language, text, got 'speech'"),
        ({"first": 0}, ValueError, "first must be at least 1, got 0"),
        ({"then": 1.5}, TypeError, "then must be an integer, got 1.5"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ({"replay": 2}, ValueError, "replay must be at most 1, got 2"),
    ],
)
def test_bad_arguments(arguments, error, said):
    with pytest.raises(error, match=f"continual_task: {said}"):
        continual_task(**{"first": 2, "then": 2, **arguments})
