"""Train many models whose rates are set by rules that watch the loss: plateau rules and others.

`lab.sweep` trains planned schedules alone. Here every slice has a rule of its own, which is told a
loss after every `every` updates and says by which factor the rate is multiplied until the next.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import torch
from torch import nn

from lrlib import Constant, _checks
from lrlib.lab import settings
from lrlib.lab.data import SPLITS
from lrlib.lab.models import Task
from lrlib.lab.results import Results
from lrlib.lab.sweep.batching import checked_sizes
from lrlib.lab.sweep.examples import Source
from lrlib.lab.sweep.optimizers import SGD, AdamW
from lrlib.lab.sweep.parts import Part, Training, evaluated
from lrlib.lab.sweep.plan import Plan
from lrlib.lab.sweep.processes import can_fork, end_with
from lrlib.schedule import Schedule

METRICS = ("val_loss", "val_error", "batch_loss", "mean_batch_loss")
_PART = 32  # slices trained at once; see lrlib.lab.sweep.work


class Rule(Protocol):
    """What decides while a run goes on, such as `lrlib.PlateauRule`."""

    @property
    def level(self) -> float:
        """What the rate is multiplied by now."""
        ...

    def observe(self, metric: float, /) -> object:
        """Hear of an evaluation."""
        ...


@dataclass(frozen=True)
class Watched:
    """A rule and what it is told: ``Watched(lambda: PlateauRule(patience=3), examples=200)``.

    Attributes:
        rule: makes a new `Rule` for every run.
        metric: "val_loss" or "val_error"; "batch_loss", the training loss of the last batch, or
            "mean_batch_loss", its mean since the last evaluation.
        examples: watch only the first so many of the validation set, the same at every
            evaluation; None is all.
        shape: the level of the rule multiplies this schedule.

    Raises ValueError or TypeError for bad settings.
    """

    rule: Callable[[], Rule]
    metric: str = "val_loss"
    examples: int | None = None
    shape: Schedule = field(default_factory=Constant)

    def __post_init__(self) -> None:
        if not callable(self.rule):
            raise TypeError(f"Watched: rule must make a rule when called, got {self.rule!r}")
        _checks.choice("Watched", "metric", self.metric, METRICS)
        if self.examples is not None:
            _checks.integer("Watched", "examples", self.examples, minimum=1)
        if not isinstance(self.shape, Schedule):
            raise TypeError(f"Watched: shape must be a Schedule, got {self.shape!r}")


@dataclass(frozen=True, eq=False)
class WatchedResult(Results):
    """What `watch` measured: `Results`, with `metrics` at the end of the run alone, and

    Attributes:
        heard: float64, (schedules, peaks, seeds, evaluations): what the rules were told.
        factors: float64, the same shape: the factor that each answered with.
        heard_at: int, (evaluations,): updates made at each evaluation.
        lr: float32, (schedules, peaks, seeds, steps): the rates that were applied.
    """

    heard: np.ndarray
    factors: np.ndarray
    heard_at: np.ndarray
    lr: np.ndarray

    def drops(self) -> np.ndarray:
        """How often each run's factor fell, int, (schedules, peaks, seeds)."""
        return (np.diff(self.factors, axis=-1, prepend=1.0) < 0).sum(-1)


def watch(
    task: Task,
    rules: Mapping[str, Watched],
    peaks: Sequence[float] | Mapping[str, float | Sequence[float]],
    seeds: Sequence[int],
    *,
    steps: int,
    every: int,
    batch_size: int = 32,
    optimizer: SGD | AdamW | None = None,
    device: str | None = None,
) -> WatchedResult:
    """Train ``rules × peaks × seeds`` models, each at the rate that its own rule sets.

    After every `every` updates a run is evaluated, its rule told, and the rate from then on is
    peak × shape × factor. Initial weights and batches are those of ``lab.sweep``, so that results
    can be ``joined``; a run equals a plain torch loop with such a rule, to float32 rounding.

    Args:
        rules: name -> `Watched`.
        peaks, seeds, steps, batch_size, device: as of `lab.sweep`.
        every: updates between evaluations; divides `steps`.
        optimizer: ``lab.SGD(…)`` (default) or ``lab.AdamW(…)``.

    Raises ValueError or TypeError naming the argument; RuntimeError if an applied rate differs
    from the rule's; and what a rule, a model or a loss raises.
    """
    if not isinstance(task, Task):
        raise TypeError(f"watch: task must be a Task, got {task!r}")
    if not isinstance(rules, Mapping) or not rules:
        raise TypeError(f"watch: rules must map names to Watched, got {rules!r}")
    for name, rule in rules.items():
        if not isinstance(rule, Watched):
            raise TypeError(f"watch: rules[{name!r}] must be a Watched, got {rule!r}")
    if optimizer is not None and not isinstance(optimizer, SGD | AdamW):
        raise TypeError(f"watch: optimizer must be an SGD(…) or AdamW(…), got {optimizer!r}")
    try:
        plan = Plan.checked({name: r.shape for name, r in rules.items()}, peaks, seeds, steps)
    except (TypeError, ValueError) as error:
        raise type(error)(str(error).replace("sweep: ", "watch: ", 1)) from None
    every = _checks.integer("watch", "every", every, minimum=1)
    if plan.steps % every:
        raise ValueError(f"watch: every must divide the {plan.steps} steps, got {every}")
    sources = {split: Source.drawn(task.data, plan.seeds, split) for split in SPLITS}
    sizes = checked_sizes("watch", batch_size, sources["train"].n, plan.steps)
    if sizes is None:
        raise TypeError(f"watch: batch_size must be a number, got {batch_size!r}")
    for name, rule in rules.items():
        if rule.examples is not None and rule.examples > sources["val"].n:
            raise ValueError(
                f"watch: examples of rules[{name!r}] must be at most the {sources['val'].n} of "
                f"the validation set, got {rule.examples}"
            )
    return _Work(
        task, plan, rules, sources, sizes, every, optimizer or SGD(), settings.device(device)
    ).result()


@dataclass(frozen=True, eq=False)
class _Work:
    """All that is to be done; slices are ordered by rule, then peak, then seed."""

    task: Task
    plan: Plan
    rules: Mapping[str, Watched]
    sources: dict[str, Source]
    sizes: list[int]
    every: int
    optimizer: SGD | AdamW
    device: torch.device

    def parts(self) -> list[tuple[str, np.ndarray]]:
        """Slices of one rule each, so that no evaluation is wider than its rule asks for."""
        of_one = self.plan.slices // len(self.rules)
        cores = max(1, min(torch.get_num_threads(), os.cpu_count() or 1))
        pieces = max(-(-of_one // _PART), 1 if len(self.rules) >= cores else cores)
        return [
            (name, slices)
            for i, name in enumerate(self.rules)
            for slices in np.array_split(i * of_one + np.arange(of_one), min(pieces, of_one))
        ]

    def result(self) -> WatchedResult:
        parts, models = self.parts(), [self.task.model(seed) for seed in self.plan.seeds]
        threads = torch.get_num_threads()
        if self.device.type == "cpu":
            torch.set_num_threads(1)
        try:
            with self._pool(models, threads) as pool:
                done = list(pool.map(_job, parts))
        finally:
            torch.set_num_threads(threads)
        shape = (*self.plan.peaks.shape, len(self.plan.seeds))
        whole = {
            key: np.concatenate([piece[key] for piece in done]).reshape(*shape, -1)
            for key in done[0]
        }
        kept = {key: whole.pop(key) for key in ("heard", "factors", "lr")}
        steps = self.plan.steps
        return WatchedResult(
            tuple(self.rules),
            self.plan.peaks,
            self.plan.seeds,
            np.array([steps]),
            whole,
            heard_at=np.arange(self.every, steps + 1, self.every),
            **kept,
        )

    def _pool(self, models: list[nn.Module], cores: int) -> Executor:
        """Forked processes where there may be some; they inherit what they need."""
        if can_fork() and cores > 1 and self.device.type == "cpu":
            context = multiprocessing.get_context("fork")
            return ProcessPoolExecutor(cores, context, _begin, (self, models, os.getpid()))
        return ThreadPoolExecutor(1, initializer=_begin, initargs=(self, models, None))

    def train(self, name: str, slices: np.ndarray, models: list[nn.Module]) -> dict:
        """What these slices measured, by name, each (slices, …)."""
        watched = self.rules[name]
        pairs, pair = np.unique(slices // len(self.plan.seeds), return_inverse=True)
        planned = self.plan.rates(pairs)[:, pair].astype(np.float64)
        which = slices % len(self.plan.seeds)
        rates = planned.astype(np.float32)  # filled in while the run goes on
        part = Part(
            which, np.arange(len(slices)), rates, None, self.optimizer, (), (), False, self.device
        )
        training = Training(part, self.task.loss, [models[k] for k in which])
        order = self.sources["train"].order(self.plan.seeds, self.sizes)
        val = self._watched_examples(watched)
        decide, heard, factors, losses = [watched.rule() for _ in slices], [], [], []
        for start in range(0, self.plan.steps, self.every):
            end = start + self.every
            measured = training.go_on(
                self.sources, order, lambda _: None, lambda end=end: training.update.taken == end
            )
            losses.append(measured.losses)
            heard.append(self._metric(watched, training, measured.losses, val))
            for rule, metric in zip(decide, heard[-1], strict=True):
                rule.observe(float(metric))
            factors.append([float(rule.level) for rule in decide])
            rates[end:] = planned[end:] * np.array(factors[-1])
        applied = torch.stack(training.update.applied).cpu().numpy()
        if (applied != rates).any():
            raise RuntimeError("watch: the applied learning rates differ from the rules'")
        return self._ending(training, np.concatenate(losses)) | {
            "heard": np.array(heard).T,
            "factors": np.array(factors).T,
            "lr": applied.T,
        }

    def _watched_examples(self, watched: Watched) -> Source:
        val = self.sources["val"].to(self.device)
        n = watched.examples
        return replace(val, rows=val.rows[:, :n], labels=val.labels[:, :n])

    def _metric(
        self, watched: Watched, training: Training, losses: np.ndarray, val: Source
    ) -> np.ndarray:
        """What the rules are told: float64, (slices,)."""
        if watched.metric == "batch_loss":
            return losses[-1].astype(np.float64)
        if watched.metric == "mean_batch_loss":
            return losses.mean(0, dtype=np.float64)
        with torch.no_grad():
            loss, error = evaluated(training.stacked, val, training.part.which)
        return (loss if watched.metric == "val_loss" else error).numpy()

    def _ending(self, training: Training, losses: np.ndarray) -> dict[str, np.ndarray]:
        """Loss and error on validation and test set at the end; NaN for a run that diverged."""
        lost = ~np.isfinite(losses).all(0)
        found = {}
        for split in ("val", "test"):
            source = self.sources[split].to(self.device)
            with torch.no_grad():
                values = evaluated(training.stacked, source, training.part.which)
            for name, value in zip(("loss", "error"), values, strict=True):
                found[f"{split}_{name}"] = np.where(lost, np.nan, value.numpy())
        return found


_work: tuple[_Work, list[nn.Module]]


def _begin(work: _Work, models: list[nn.Module], parent: int | None) -> None:
    """Begin a worker, in a forked process or in a thread."""
    global _work
    _work = work, models
    if parent is not None:
        import signal
        from threading import Thread

        signal.signal(signal.SIGINT, signal.SIG_IGN)
        Thread(target=end_with, args=(parent,), daemon=True).start()


def _job(part: tuple[str, np.ndarray]) -> dict[str, np.ndarray]:
    work, models = _work
    return work.train(*part, models)
