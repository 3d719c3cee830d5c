"""First one text, then another: the tasks of continual training."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from lrlib import _checks
from lrlib.lab.data import Dataset, Fresh, read_data_file
from lrlib.lab.language import SyntheticLanguage
from lrlib.lab.models import MARGINS, Task, token_loss, transformer

_BLOCK = 2048  # characters of text that go to one split together
_HELD = 256  # windows that are held out of each text
_CONTEXT = {"language": 8, "text": 64}

Windows = tuple[Tensor, Tensor]  # inputs and labels, each (n, context)


def in_order(seed: int, x: Tensor, y: Tensor) -> Windows:
    """Examples laid out so that a sweep sees them in the order in which they are given here.

    A sweep goes through its examples in a random order of the seed's own (see `lab.batches`). If
    it makes no more than one pass, and `x` and `y` are laid out by this, its first batch holds
    the first of them. So a run can be given one source of data, and later another.
    """
    seed = _checks.integer("in_order", "seed", seed, minimum=0)
    # The order of `batches`, in lrlib/lab/sweep/batching.py; a test holds the two together.
    place = torch.from_numpy(np.random.default_rng([seed, 1]).permutation(len(x)))
    laid = torch.empty_like(x), torch.empty_like(y)
    laid[0][place], laid[1][place] = x, y
    return laid


def continual_task(
    kind: str = "language", *, first: int, then: int, batch_size: int = 16, replay: float = 0.0
) -> Task:
    """`first` updates on one source, then `then` updates on another, with a transformer.

    On this task the splits are two places to look at: "val" is held out of the *second* source,
    "test" of the *first*, so a rise of the test loss is what was forgotten.

    Args:
        kind: "language", from one synthetic language to a related one, losses being expected
            ones; or "text", character by character, from Python's documentation to the source
            code of its library.
        first, then: updates on each, at least 1; the sweep must have their sum as steps.
        batch_size: windows in a batch; the sweep must have the same.
        replay: share of the later windows, in [0, 1], that are again of the first source.

    Every seed draws its own text. Raises TypeError or ValueError for bad arguments.
    """
    owner = "continual_task"
    _checks.choice(owner, "kind", kind, tuple(_CONTEXT))
    first = _checks.integer(owner, "first", first, minimum=1)
    then = _checks.integer(owner, "then", then, minimum=1)
    batch_size = _checks.integer(owner, "batch_size", batch_size, minimum=1)
    replay = _checks.number(owner, "replay", replay, minimum=0, maximum=1)
    classes, draw = (_languages if kind == "language" else _texts)()
    context = _CONTEXT[kind]

    def make(seed: int) -> Dataset:
        sizes = first * batch_size, then * batch_size
        (old, test), (new, val) = draw(seed, sizes)
        if replay:
            rng = np.random.default_rng([seed, 4])
            again = torch.from_numpy(rng.random(sizes[1]) < replay)
            rows = torch.from_numpy(rng.integers(0, sizes[0], int(again.sum())))
            for values, earlier in zip(new, old, strict=True):
                values[again] = earlier[rows]
        x, y = (torch.cat(both) for both in zip(old, new, strict=True))
        return Dataset(f"continual {kind}", classes, *in_order(seed, x, y), *val, *test)

    width, depth, heads = (16, 2, 2) if kind == "language" else (64, 2, 4)

    def build():
        return transformer(classes, context, width=width, depth=depth, heads=heads)

    data = Fresh(f"continual {kind}", classes, make)
    return Task(data, build, token_loss, MARGINS[kind])


Draw = Callable[[int, tuple[int, int]], list[tuple[Windows, Windows]]]


def _languages() -> tuple[int, Draw]:
    """Two related languages: their rows are drawn around the same rows of one token of context.

    After a token, half of the probability lies elsewhere in the second; in an unrelated language
    two thirds would.
    """
    both, context = (SyntheticLanguage(), SyntheticLanguage(concentration=(8.0, 0.7))), 8

    def draw(seed: int, sizes: tuple[int, int]) -> list[tuple[Windows, Windows]]:
        made = [
            language.dataset(context, train=size, val=1, test=2 * _HELD, seed=seed)
            for language, size in zip(both, sizes, strict=True)
        ]
        return [((d.train_x, d.train_y), (d.test_x, d.test_y)) for d in made]

    return both[0].vocabulary, draw


def _texts() -> tuple[int, Draw]:
    """Documentation and code, in one alphabet; a tenth of the blocks of each is held out."""
    files = [read_data_file(f"{name}.npz") for name in ("pydocs", "pycode")]
    alphabet = np.unique(np.concatenate([file["vocabulary"] for file in files]))
    texts = [
        torch.from_numpy(np.searchsorted(alphabet, file["vocabulary"])[file["tokens"]])
        for file in files
    ]
    context = _CONTEXT["text"]

    def draw(seed: int, sizes: tuple[int, int]) -> list[tuple[Windows, Windows]]:
        made = []
        for number, (text, size) in enumerate(zip(texts, sizes, strict=True)):
            rng = np.random.default_rng([seed, 5, number])
            blocks = rng.permutation(len(text) // _BLOCK)
            held = len(blocks) // 10
            apart = rng.choice(held * (_BLOCK // context - 1), _HELD, replace=False)
            which, place = np.divmod(apart, _BLOCK // context - 1)
            starts = blocks[:held][which] * _BLOCK + place * context
            trained = blocks[held:][rng.integers(0, len(blocks) - held, size)] * _BLOCK
            trained += rng.integers(0, _BLOCK - context, size)
            windows = [
                text[torch.from_numpy(s)[:, None] + torch.arange(context + 1, device="cpu")]
                for s in (trained, starts)
            ]
            made.append(tuple((w[:, :-1].clone(), w[:, 1:].clone()) for w in windows))
        return made

    return len(alphabet), draw
