"""Some slices of a sweep, and their training, which may stop after any step and go on elsewhere."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import vmap

from lrlib.lab._stacked import Loss, StackedModule, stack
from lrlib.lab.sweep.examples import Batch, Source, gathered
from lrlib.lab.sweep.optimizers import SGD, AdamW

EVAL_CHUNK = 50_000  # slices × labels evaluated at once; bounds the memory of an evaluation


@dataclass(frozen=True, eq=False)
class Part:
    """Some slices of a sweep and all that is to be done with them: plain data, and small."""

    which: np.ndarray  # (slices,), the seed of each, by its place among those there are
    pair: np.ndarray  # (slices,), the column of each in `rates` and `momentum`
    rates: np.ndarray  # float32, (steps, pairs)
    momentum: np.ndarray | None  # float64, (steps, pairs), if schedules drive it
    optimizer: SGD | AdamW
    eval_steps: tuple[int, ...]
    evaluate: tuple[str, ...]
    keep_states: bool
    device: torch.device

    @property
    def steps(self) -> int:
        return len(self.rates)


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured in some steps of a part; arrays have the slices on their second axis."""

    losses: np.ndarray  # (steps, slices)
    applied: np.ndarray  # (steps, slices)
    applied_momentum: np.ndarray  # (steps, slices), empty if no schedule drives it
    metrics: dict[str, np.ndarray]  # each (evaluations, slices)
    states: list[dict[str, np.ndarray]]  # one for each evaluation, slices first

    @classmethod
    def joined(cls, pieces: Sequence[Measured]) -> Measured:
        """Pieces of one training, in order of their steps, as one."""
        if len(pieces) == 1:
            return pieces[0]
        arrays = {
            name: np.concatenate([getattr(piece, name) for piece in pieces])
            for name in ("losses", "applied", "applied_momentum")
        }
        metrics = {
            name: np.concatenate([piece.metrics[name] for piece in pieces])
            for name in pieces[0].metrics
        }
        return cls(**arrays, metrics=metrics, states=[s for piece in pieces for s in piece.states])


class Training:
    """The training of a part from `models`, one for each slice, on the part's device."""

    def __init__(self, part: Part, loss: Loss, models: list[nn.Module]) -> None:
        self.part, self.stacked = part, stack(models, loss, part.device)
        self.update = part.optimizer.stacked(self.stacked.params)

    @property
    def finished(self) -> bool:
        return self.update.taken == self.part.steps

    def saved(self) -> bytes:
        """All that going on elsewhere depends on: tensors alone, no function and no class."""
        taken, tensors = self.update.taken, [self.stacked.params]
        if taken:
            tensors += self.update.memory()
        content = [{name: t.cpu() for name, t in each.items()} for each in tensors]
        return pickle.dumps((taken, content))

    def load(self, saved: bytes) -> None:
        """Go on from there. Raises nothing of its own: `saved` is what such a training gave."""
        self.update.taken, content = pickle.loads(saved)
        # At the start the optimizer has nothing to remember, and nothing was saved of it.
        for mine, theirs in zip(
            [self.stacked.params, *self.update.memory()], content, strict=False
        ):
            for name, tensor in theirs.items():
                mine[name].copy_(tensor)

    @torch.no_grad()
    def go_on(
        self,
        sources: Mapping[str, Source],
        order: Iterable[Batch] | None,
        done: Callable[[int], None],
        stop: Callable[[], bool],
    ) -> Measured:
        """Train to the end, or until `stop` says so after a step.

        `order` has the rows of every step from here on, None if all examples are used at once;
        `done` is told the steps.
        """
        part, stacked, start = self.part, self.stacked, self.update.taken
        data = {split: source.to(part.device) for split, source in sources.items()}
        x, y = data["train"].x, data["train"].y
        rates = torch.from_numpy(part.rates[start:, part.pair]).to(part.device)
        # In one piece: a new tensor at every step would pin the heap that gradients leave free.
        losses = torch.empty(len(rates), len(part.which), device=part.device)
        records = _Records(self, data)
        # Without an order all examples make every batch: no need to gather them again.
        batch = data["train"].examples(part.which) if order is None else (x, y)
        order = None if order is None else iter(order)
        for t in range(start, part.steps):
            if t > start and stop():
                break
            if t in part.eval_steps:
                records.add()
            if order is not None:
                of_x, of_y = next(order)
                index = of_x[part.which].to(part.device)
                labels = index if of_y is of_x else of_y[part.which].to(part.device)
                batch = gathered(x, index), gathered(y, labels)
            loss, grads = stacked.gradients(*batch)
            driven = None if part.momentum is None else part.momentum[t, part.pair]
            self.update.step(grads, rates[t - start], driven)
            losses[t - start] = loss
            done(t + 1)
        if self.finished and part.steps in part.eval_steps:
            records.add()
        return records.measured(losses[: self.update.taken - start])


class _Records:
    """What is recorded of a training while it goes on."""

    def __init__(self, training: Training, data: Mapping[str, Source]) -> None:
        self.training, self.data = training, data
        self.states: list[dict[str, np.ndarray]] = []
        self.metrics: dict[str, list[Tensor]] = {
            f"{split}_{m}": [] for split in training.part.evaluate for m in ("loss", "error")
        }

    def add(self) -> None:
        """Evaluate the models as they are now."""
        part, stacked = self.training.part, self.training.stacked
        for split in part.evaluate:
            loss, error = evaluated(stacked, self.data[split], part.which)
            self.metrics[f"{split}_loss"].append(loss)
            self.metrics[f"{split}_error"].append(error)
        if part.keep_states:
            state = {name: p.cpu().clone().numpy() for name, p in stacked.params.items()}
            self.states.append(state)

    def measured(self, losses: Tensor) -> Measured:
        update, slices = self.training.update, losses.shape[1]
        none = torch.empty(0, slices, dtype=torch.float64, device="cpu")
        return Measured(
            losses.cpu().numpy(),
            torch.stack(update.applied).cpu().numpy(),
            np.array(update.applied_momentum).reshape(-1, slices),
            {
                name: torch.stack(values).numpy() if values else none.numpy()
                for name, values in self.metrics.items()
            },
            self.states,
        )


def rehearse(model: nn.Module, loss: Loss, train: Source, device: torch.device) -> None:
    """Use everything once, on one example: what torch imports late, no process imports again.

    And a model or loss that fails does so here.
    """
    stacked, first = stack([model], loss, device), train.first().to(device)
    stacked.gradients(*first.examples(np.zeros(1, int)))
    with torch.no_grad():
        evaluated(stacked, first, np.zeros(1, int))


def evaluated(stacked: StackedModule, source: Source, which: np.ndarray) -> tuple[Tensor, Tensor]:
    """Mean loss and share of wrong answers of every slice on one split, each of shape (slices,).

    `which` is the seed of every slice. The loss is averaged over examples, in chunks; a slice with
    a non-finite loss is NaN in both. Where labels are distributions, an answer is wrong with the
    probability of all other classes. The sums are float64, and so on the CPU: not every device has
    it.
    """
    slices, n, y = len(which), source.n, source.y
    soft = y.is_floating_point()
    chunk = max(1, EVAL_CHUNK // (slices * (y[0, ..., 0] if soft else y[0]).numel()))
    loss, wrong = torch.zeros(2, slices, dtype=torch.float64, device="cpu")
    for start in range(0, n, chunk):
        xs, ys = source.examples(which, slice(start, start + chunk))
        outputs = stacked.forward(xs)
        losses = vmap(stacked.loss)(outputs, ys)
        loss += losses.cpu().double() * xs.shape[1]
        answers = outputs.argmax(-1)
        if soft:
            right = ys.gather(-1, answers.unsqueeze(-1))
            errors = 1 - right.squeeze(-1).cpu().double()
        else:
            errors = (answers != ys).cpu().double()
        wrong += errors.flatten(1).mean(1) * xs.shape[1]
    loss, wrong = loss / n, wrong / n
    bad = ~torch.isfinite(loss)
    return loss.masked_fill(bad, torch.nan), wrong.masked_fill(bad, torch.nan)
