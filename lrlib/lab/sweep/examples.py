"""The examples of a sweep: one store of them, and which of its rows belong to which seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from lrlib.lab.data import Data, Pool
from lrlib.lab.sweep.batching import drawn_batches

Batch = tuple[Tensor, Tensor]  # the rows of inputs and of labels, each (seeds, batch)


@dataclass(frozen=True, eq=False)
class Source:
    """The examples of one split, for every seed: which rows of `x`, and of `y`, are its own.

    `rows` and `labels` are int64, (seeds, n); one row for all where every seed has the same. They
    are one tensor where inputs and labels have the same rows.
    """

    x: Tensor
    y: Tensor
    rows: Tensor
    labels: Tensor

    @classmethod
    def drawn(cls, data: Data, seeds: Sequence[int], split: str) -> Source:
        if isinstance(data, Pool):
            rows = _alike([getattr(data.rows(seed), split) for seed in seeds])
            y, labels = data.y, rows
            if split == "train" and data.noise:
                y = torch.cat([data.labels(seed) for seed in seeds])
                each = torch.arange(len(seeds), device="cpu").unsqueeze(1)
                labels = rows + len(data.y) * each
            return cls(data.x, y, rows, labels)
        draws = [data.draw(seed) for seed in seeds]
        draws = draws[:1] if all(draw is draws[0] for draw in draws) else draws
        x, y = zip(*(draw.split(split) for draw in draws), strict=True)
        sizes = {len(inputs) for inputs in x}
        if len(sizes) > 1:
            raise ValueError(
                f"sweep: every seed must draw as many examples, got {sorted(sizes)} in {split!r}"
            )
        rows = torch.arange(len(draws) * len(x[0]), device="cpu").view(len(draws), -1)
        return cls(torch.cat(x), torch.cat(y), rows, rows)

    @property
    def n(self) -> int:
        """Examples of each seed."""
        return self.rows.shape[1]

    def to(self, device: torch.device) -> Source:
        labels = self.labels.to(device)
        rows = labels if self.labels is self.rows else self.rows.to(device)
        return Source(self.x.to(device), self.y.to(device), rows, labels)

    def first(self) -> Source:
        """Only the first example of the first seed."""
        return replace(self, rows=self.rows[:1, :1], labels=self.labels[:1, :1])

    def only(self, places: list[int]) -> Source:
        """Only the seeds at these places, and in `x` and `y` only what they use."""
        rows = self.rows if len(self.rows) == 1 else self.rows[places]
        used, rows = torch.unique(rows, return_inverse=True)
        if self.labels is self.rows:
            return Source(self.x[used], self.y[used], rows, rows)
        labels = self.labels if len(self.labels) == 1 else self.labels[places]
        labelled, labels = torch.unique(labels, return_inverse=True)
        return Source(self.x[used], self.y[labelled], rows, labels)

    def order(self, seeds: Sequence[int], sizes: list[int], start: int = 0) -> Iterator[Batch]:
        """The rows of every step from `start` on, for seeds that draw batches of these sizes."""
        each = [islice(drawn_batches(seed, self.n, sizes), start, None) for seed in seeds]
        every = self.rows.expand(len(each), -1), self.labels.expand(len(each), -1)
        for step in zip(*each, strict=True):
            batch = torch.stack(step)
            rows = every[0].gather(1, batch)
            yield rows, rows if self.labels is self.rows else every[1].gather(1, batch)

    def examples(self, which: np.ndarray, part: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Inputs and labels of the seeds `which`, (len(which), n, …); of some examples only."""
        out = []
        for values, rows in ((self.x, self.rows[:, part]), (self.y, self.labels[:, part])):
            if len(rows) == 1:  # once for all
                out.append(gathered(values, rows).expand(len(which), -1, *values.shape[1:]))
            else:
                out.append(gathered(values, rows[which]))
        return out[0], out[1]


def _alike(rows: list[Tensor]) -> Tensor:
    """The rows of every seed, (seeds, n), or (1, n) if all have the same."""
    return rows[0][None] if all(r is rows[0] for r in rows) else torch.stack(rows)


def gathered(data: Tensor, index: Tensor) -> Tensor:
    """``data[index]``, several times as fast."""
    return data.index_select(0, index.flatten()).view(*index.shape, *data.shape[1:])
