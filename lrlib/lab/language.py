"""A synthetic language: a language model's loss on it has a floor that is known exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from lrlib import _checks
from lrlib.lab.data import Dataset

_MAX_CONTEXTS = 1_024  # the stationary distribution comes from a dense system of this size
_MAX_WINDOWS = 20_000  # windows that expected_loss enumerates
_UNIFORM = 0.01  # weight of the uniform distribution in every row: any token can follow any other


@dataclass(frozen=True)
class SyntheticLanguage:
    """A stationary Markov source: the next token depends on the last ``order`` tokens.

    What follows a long context resembles what follows its last tokens, as in real languages: the
    row of a context of k tokens is Dirichlet-distributed around the row of its last k - 1, the
    row of no context is uniform (MacKay and Peto 1995, A hierarchical Dirichlet language model).
    So the entropies for contexts of 0, 1, …, ``order`` tokens are levels well apart, which a
    model's loss passes one after the other on its way to the floor.

    Args:
        vocabulary: number of tokens, at least 2.
        concentration: for k = 1, …, order the sum of the Dirichlet's parameters, above 0: the
            smaller, the more a row differs from the one before it and the more certain it is.
            Its length is the order; vocabulary to the power of order is at most 1024.
        seed: of the rows, at least 0.

    Entropies are in nats per token. Raises TypeError or ValueError for bad arguments.
    """

    vocabulary: int = 8
    concentration: tuple[float, ...] = (8.0, 1.0)
    seed: int = 0

    def __post_init__(self) -> None:
        owner = "SyntheticLanguage"
        vocabulary = _checks.integer(owner, "vocabulary", self.vocabulary, minimum=2)
        total = _checks.array(owner, "concentration", self.concentration, ndim=1, above=0)
        if vocabulary ** len(total) > _MAX_CONTEXTS:
            raise ValueError(
                f"{owner}: vocabulary ** len(concentration) must be at most {_MAX_CONTEXTS}, got "
                f"{self.vocabulary!r} ** {len(total)}"
            )
        seed = _checks.integer(owner, "seed", self.seed, minimum=0)
        # A tuple keeps the language hashable.
        object.__setattr__(self, "vocabulary", vocabulary)
        object.__setattr__(self, "concentration", tuple(total.tolist()))
        object.__setattr__(self, "seed", seed)

    @property
    def order(self) -> int:
        """The tokens that the next one depends on."""
        return len(self.concentration)

    @cached_property
    def transitions(self) -> np.ndarray:
        """P(next | context), float64, (vocabulary,) * order + (vocabulary,), oldest token first."""
        v = self.vocabulary
        rng, rows = np.random.default_rng([self.seed, 0]), np.full((1, v), 1 / v)
        for total in self.concentration:
            # One more token of context, in front: v new rows around each of the present ones.
            rows = np.array([rng.dirichlet(total * row) for _ in range(v) for row in rows])
            rows = (1 - _UNIFORM) * rows + _UNIFORM / v
        return rows.reshape((v,) * (self.order + 1))

    @cached_property
    def _joint(self) -> list[np.ndarray]:
        """P(context, next) of the stationary source, for contexts of 0, …, order tokens."""
        v, n = self.vocabulary, self.vocabulary**self.order
        # The chain of contexts: from context i the token j leads to context (i v + j) mod n.
        step, i = np.zeros((n, n)), np.arange(n)
        for j in range(v):
            step[(i * v + j) % n, i] = self.transitions.reshape(n, v)[:, j]
        # Its stationary distribution π: step @ π = π and Σ π = 1, in place of a redundant row.
        system, right = step - np.eye(n), np.zeros(n)
        system[-1], right[-1] = 1, 1
        context = np.linalg.solve(system, right).reshape((v,) * self.order)
        joint = context[..., None] * self.transitions
        return [joint.sum(tuple(range(self.order - k))) for k in range(self.order + 1)]

    @cached_property
    def _conditional(self) -> list[np.ndarray]:
        """P(next | context) of the stationary source, for contexts of 0, …, order tokens."""
        return [joint / joint.sum(-1, keepdims=True) for joint in self._joint]

    def entropies(self, context: int) -> np.ndarray:
        """H(next | k tokens) for k = 0, …, `context`, exactly: float64, (context + 1,).

        They never rise with k, and from k = order on they are the entropy rate.
        """
        context = _checks.integer("SyntheticLanguage.entropies", "context", context, minimum=0)
        levels = [
            -(joint * np.log(conditional)).sum()
            for joint, conditional in zip(self._joint, self._conditional, strict=True)
        ]
        return np.array([levels[min(k, self.order)] for k in range(context + 1)])

    def entropy_rate(self) -> float:
        """H(next | all that went before), exactly."""
        return float(self.entropies(self.order)[-1])

    def floor(self, context: int) -> float:
        """The lowest expected loss that any model can have on windows of `context` tokens.

        The mean of the entropies at its positions. With an order above 1 it is above the entropy
        rate, since the first positions see fewer tokens than the next one depends on.
        """
        context = _checks.integer("SyntheticLanguage.floor", "context", context, minimum=1)
        return float(self.entropies(context)[1:].mean())

    def sample(self, sequences: int, length: int, seed: int) -> np.ndarray:
        """Independent stretches of the stationary source, int64, (sequences, length)."""
        owner = "SyntheticLanguage.sample"
        sequences = _checks.integer(owner, "sequences", sequences, minimum=1)
        length = _checks.integer(owner, "length", length, minimum=1)
        seed = _checks.integer(owner, "seed", seed, minimum=0)
        uniform = np.random.default_rng([self.seed, seed, 1]).random((length, sequences, 1))
        tokens = np.empty((sequences, length), dtype=np.int64)
        for t in range(length):
            cumulative = self._after(tokens[:, :t]).cumsum(-1)
            tokens[:, t] = (uniform[t] > cumulative[..., :-1]).sum(-1)
        return tokens

    def _after(self, tokens: np.ndarray) -> np.ndarray:
        """P(next | all of `tokens`), (n, vocabulary) or, without tokens, (vocabulary,)."""
        known = min(tokens.shape[1], self.order)
        return self._conditional[known][tuple(tokens[:, tokens.shape[1] - known :].T)]

    def next_token(self, tokens: np.ndarray) -> np.ndarray:
        """The true distribution of the next token at every position, given it and those before.

        `tokens` int64, (n, length); float64, (n, length, vocabulary).
        """
        tokens = np.asarray(tokens)
        if tokens.ndim != 2 or tokens.dtype.kind not in "iu":
            raise TypeError(
                f"SyntheticLanguage.next_token: tokens must be integers of shape (n, length), got "
                f"{tokens!r}"
            )
        if tokens.size == 0 or tokens.min() < 0 or tokens.max() >= self.vocabulary:
            raise ValueError(
                f"SyntheticLanguage.next_token: tokens must lie in [0, {self.vocabulary}), got "
                f"{tokens!r}"
            )
        ends = range(1, tokens.shape[1] + 1)
        return np.stack([self._after(tokens[:, :end]) for end in ends], axis=1)

    def dataset(
        self, context: int, train: int = 8_192, val: int = 512, test: int = 512, seed: int = 0
    ) -> Dataset:
        """Windows of `context` tokens to predict the next token of, at every position.

        Inputs are int64, (n, context). The training labels are the tokens that followed, int64,
        (n, context). Those of validation and test are the true distributions of the next token,
        float32, (n, context, vocabulary): a loss on them is an expectation, free of the noise of
        sampled labels, and never below the split's ``Dataset.entropy``. An error on them is the
        probability that the likeliest token of the model is not the next one.

        `train`, `val` and `test` are numbers of windows.
        """
        owner = "SyntheticLanguage.dataset"
        context = _checks.integer(owner, "context", context, minimum=1)
        sizes = [
            _checks.integer(owner, name, size, minimum=1)
            for name, size in (("train", train), ("val", val), ("test", test))
        ]
        seed = _checks.integer(owner, "seed", seed, minimum=0)
        tokens = self.sample(sum(sizes), context + 1, seed)
        tensors = {}
        splits = np.split(tokens, np.cumsum(sizes)[:-1])
        for name, windows in zip(("train", "val", "test"), splits, strict=True):
            x = windows[:, :-1]
            y = windows[:, 1:] if name == "train" else self.next_token(x).astype(np.float32)
            tensors[f"{name}_x"] = torch.from_numpy(x.copy())
            tensors[f"{name}_y"] = torch.from_numpy(y.copy())
        return Dataset(name="synthetic language", classes=self.vocabulary, **tensors)

    def expected_loss(
        self,
        model: Callable[[Tensor], Tensor],
        context: int,
        windows: int | None = None,
        seed: int = 0,
    ) -> np.ndarray:
        """The expected cross-entropy of a model at every position of a window, float64, (context,).

        `model` maps int64 tokens (n, context) to logits (n, context, vocabulary). The expectation
        is exact, over all windows, if `windows` is None (for at most 20,000 of them). Else it is
        exact over the next token and the mean over so many windows, drawn by `seed`.

        Either way it is the entropy of the position plus a mean of relative entropies, so at no
        position is it below ``entropies(context)[1:]``.
        """
        owner = "SyntheticLanguage.expected_loss"
        context = _checks.integer(owner, "context", context, minimum=1)
        if windows is None:
            if self.vocabulary**context > _MAX_WINDOWS:
                raise ValueError(
                    f"{owner}: context must leave at most {_MAX_WINDOWS} windows to enumerate, got "
                    f"{context!r}, which makes {self.vocabulary**context}; or sample some: "
                    f"windows=1000"
                )
            tokens = np.indices((self.vocabulary,) * context).reshape(context, -1).T.copy()
            truth = self.next_token(tokens)
            # The probability of a window: its first token's, times that of each that follows.
            following = np.take_along_axis(truth[:, :-1], tokens[:, 1:, None], -1)
            weight = self._conditional[0][tokens[:, 0]] * following.prod((1, 2))
        else:
            windows = _checks.integer(owner, "windows", windows, minimum=1)
            tokens = self.sample(windows, context, seed)
            truth, weight = self.next_token(tokens), np.full(windows, 1 / windows)
        parameter = next(model.parameters(), None) if isinstance(model, torch.nn.Module) else None
        with torch.no_grad():
            where = None if parameter is None else parameter.device
            logits = model(torch.from_numpy(tokens).to(where))
        if logits.shape != truth.shape:
            raise ValueError(
                f"{owner}: model must give outputs of shape {truth.shape}, got "
                f"{tuple(logits.shape)}"
            )
        log_q = logits.cpu().double().log_softmax(-1).numpy()
        # Σ p log(p / q), written so that every term is at least 0 but for rounding.
        excess = truth * (np.log(truth) - log_q) - truth + np.exp(log_q)
        return self.entropies(context)[1:] + weight @ np.maximum(excess, 0).sum(-1)
