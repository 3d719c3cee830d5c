"""Which examples a run sees at which step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeGuard, cast

import numpy as np
import torch
from torch import Tensor

from lrlib import _checks


def batches(
    seed: int, n: int, steps: int, batch_size: int | Sequence[int] | None
) -> Iterator[Tensor]:
    """The indices of the examples of every step: `steps` int64 tensors of shape (batch_size,).

    Every epoch is a fresh permutation of ``range(n)``, cut into whole batches, the rest dropped,
    as a DataLoader with ``shuffle=True, drop_last=True`` does. `batch_size` may be a sequence, one
    for each step. None means the full batch, in order.
    """
    seed = _checks.integer("batches", "seed", seed, minimum=0)
    n = _checks.integer("batches", "n", n, minimum=1)
    steps = _checks.integer("batches", "steps", steps, minimum=0)
    sizes = checked_sizes("batches", batch_size, n, steps)
    if sizes is None:
        return (torch.arange(n, device="cpu") for _ in range(steps))
    return drawn_batches(seed, n, sizes)


def checked_sizes(
    owner: str, batch_size: int | Sequence[int] | None, n: int, steps: int
) -> list[int] | None:
    """The batch size of every step; None for the full batch."""
    if batch_size is None:
        return None
    given = list(batch_size) if is_sequence(batch_size) else [cast(int, batch_size)] * steps
    if len(given) != steps:
        raise ValueError(
            f"{owner}: batch_size must be one number, or one for each of the {steps} steps, got "
            f"{batch_size!r:.200}"
        )
    for size in dict.fromkeys(given) if steps else [batch_size]:
        if _checks.integer(owner, "batch_size", size, minimum=1) > n:
            raise ValueError(
                f"{owner}: batch_size must be at most the {n} training examples, got {size}"
            )
    return given


def drawn_batches(seed: int, n: int, sizes: list[int]) -> Iterator[Tensor]:
    """What `batches` gives for checked arguments: one int64 tensor for each of `sizes`."""
    rng, start = np.random.default_rng([seed, 1]), n
    epoch = torch.empty(0, dtype=torch.int64, device="cpu")
    for size in sizes:
        if start + size > n:
            epoch, start = torch.from_numpy(rng.permutation(n)), 0
        yield epoch[start : start + size]
        start += size


def is_sequence(value: object) -> TypeGuard[Sequence[Any]]:
    """Whether it is a sequence or a one-dimensional array, but not a string."""
    if isinstance(value, np.ndarray):
        return value.ndim == 1
    return isinstance(value, Sequence) and not isinstance(value, str)
