"""Train every combination of schedule, peak and seed at once, and pick peaks honestly."""

from __future__ import annotations

import inspect
import math
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial
from threading import Event, Thread

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import vmap

from lrlib import _checks
from lrlib.lab import settings
from lrlib.lab._progress import Progress
from lrlib.lab._stacked import StackedAdamW, StackedModule, StackedSGD, stack
from lrlib.lab.data import SPLITS, Data, Pool
from lrlib.lab.models import Task
from lrlib.lab.results import SweepResult
from lrlib.schedule import Schedule

_SETTINGS = {"sgd": ("momentum", "nesterov"), "adamw": ("betas", "eps")}  # each one's own
OPTIMIZERS = tuple(_SETTINGS)
_EVAL_CHUNK = 50_000  # slices × labels evaluated at once; bounds the memory of an evaluation
_PART = 32  # slices trained at once: the book's networks, so many, stay in a core's cache


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
    sizes = _checked_sizes("batches", batch_size, n, steps)
    if sizes is None:
        return (torch.arange(n, device="cpu") for _ in range(steps))
    return iter(_batches(seed, n, sizes))


def _checked_sizes(
    owner: str, batch_size: int | Sequence[int] | None, n: int, steps: int
) -> list[int] | None:
    """The batch size of every step; None for the full batch."""
    if batch_size is None:
        return None
    given = list(batch_size) if _is_sequence(batch_size) else [batch_size] * steps
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


def _batches(seed: int, n: int, sizes: list[int]) -> list[Tensor]:
    """One int64 tensor for each step."""
    rng, start, out = np.random.default_rng([seed, 1]), n, []
    for size in sizes:
        if start + size > n:
            epoch, start = torch.from_numpy(rng.permutation(n)), 0
        out.append(epoch[start : start + size])
        start += size
    return out


def sweep(
    task: Task,
    schedules: Mapping[str, Schedule],
    peaks: Sequence[float] | Mapping[str, float | Sequence[float]],
    seeds: Sequence[int],
    *,
    steps: int,
    batch_size: int | Sequence[int] | None = 32,
    optimizer: str = "sgd",
    momentum: float = 0.9,
    nesterov: bool = False,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum_schedules: Mapping[str, Schedule] | None = None,
    eval_steps: Sequence[int] | None = None,
    evaluate: Sequence[str] = ("val", "test"),
    keep_states: bool = False,
    device: str | None = None,
    progress: bool = True,
) -> SweepResult:
    """Train ``schedules × peaks × seeds`` models as one stack, each at its own rate.

    Runs with the same seed start from the same weights and see the same batches, whatever the
    schedule and the peak, so their differences are paired. Run (schedule, peak, seed) equals a
    plain torch.optim loop over ``batches(seed, …)`` from ``task.model(seed)``, to float32
    rounding, and does not depend on what else is in the sweep.

    Args:
        schedules: name -> shape.
        peaks: one grid for all schedules, or name -> grid (or a single tuned peak); grids of one
            length, each above 0.
        seeds: for example ``lab.seeds(8)``.
        steps: updates of every run.
        batch_size: examples per update, or a sequence with those of every update; None is the
            whole training set.
        optimizer: "sgd" (with `momentum`, `nesterov`, `weight_decay`) or "adamw" (with `betas`,
            `eps`, `weight_decay`), defined as in torch.optim. The settings of the one are
            refused with the other.
        momentum_schedules: name of a schedule -> schedule of the momentum in its runs, or of
            AdamW's beta1, as a factor on `momentum` or ``betas[0]``, such as
            ``{"one-cycle": shape.momentum()}``. The runs of the others keep theirs.
        eval_steps: updates after which to evaluate, in [0, steps]; default the end only.
        evaluate: splits to evaluate: any of "train", "val", "test".
        keep_states: keep the parameters at every evaluation (see SweepResult.model).
        device: see lab.device.
        progress: show a progress line if it takes more than two seconds.

    Raises ValueError or TypeError naming the argument; RuntimeError if an applied rate or
    momentum differs from the plan.
    """
    plan = _Plan.checked(schedules, peaks, seeds, steps)
    if not isinstance(task, Task):
        raise TypeError(f"sweep: task must be a Task, got {task!r}")
    evaluate = _checked_splits(evaluate)
    splits = dict.fromkeys(("train", *evaluate))
    sources = {split: _Source.drawn(task.data, plan.seeds, split) for split in splits}
    sizes = _checked_sizes("sweep", batch_size, sources["train"].rows.shape[1], plan.steps)
    eval_steps = _checked_eval_steps(eval_steps, plan.steps)
    where = settings.device(device)

    given = {"momentum": momentum, "nesterov": nesterov, "betas": betas, "eps": eps}
    optimize = _checked_optimizer(optimizer, given, weight_decay)
    base = optimize({}).momentum
    driven = _checked_momentum(momentum_schedules, schedules, base, plan.steps)
    plan = replace(plan, momentum=driven)
    work = _Work(
        task, sources, plan, sizes, tuple(eval_steps), evaluate, bool(keep_states), where, optimize
    )
    with Progress(plan.steps, f"training {plan.slices} models", progress) as bar:
        parts = _train_in_parts(work, bar)

    applied = np.concatenate([part.applied for part in parts], axis=1)
    if not np.array_equal(applied, plan.rates().astype(np.float32)):
        raise RuntimeError("sweep: the applied learning rates differ from the planned ones")
    shape = (len(schedules), plan.peaks.shape[1], len(plan.seeds), plan.steps)
    applied_momentum = np.broadcast_to(np.float32(base), shape)
    if plan.momentum is not None:
        rows = np.concatenate([part.applied_momentum for part in parts], axis=1)
        applied_momentum = rows.T.reshape(shape)
        if (applied_momentum != plan.momentum[:, None, None].astype(np.float32)).any():
            raise RuntimeError("sweep: the applied momenta differ from the planned ones")
    train_loss = np.concatenate([part.losses for part in parts], axis=1)
    finite = np.isfinite(train_loss)
    diverged_at = np.where(finite.all(0), plan.steps + 1, np.argmin(finite, axis=0))
    train_loss[np.arange(plan.steps)[:, None] >= diverged_at] = np.nan
    measured = {}
    for name in parts[0].metrics:
        table = np.concatenate([part.metrics[name] for part in parts], axis=1)
        table[np.array(eval_steps)[:, None] >= diverged_at] = np.nan
        measured[name] = table.T.reshape(*shape[:-1], -1)
    states = [
        {name: torch.cat([state[name] for state in moment]) for name in moment[0]}
        for moment in zip(*(part.states for part in parts), strict=True)
    ]
    return SweepResult(
        task=task,
        schedules=tuple(schedules),
        peaks=plan.peaks,
        seeds=plan.seeds,
        eval_steps=np.array(eval_steps),
        train_loss=train_loss.T.reshape(shape),
        metrics=measured,
        lr=applied.T.reshape(shape),
        momentum=applied_momentum,
        states=states,
    )


@dataclass(frozen=True, eq=False)
class _Part:
    """What was measured on some of the slices; arrays have the slices on their second axis."""

    losses: np.ndarray  # (steps, slices)
    applied: np.ndarray  # (steps, slices)
    applied_momentum: np.ndarray  # (steps, slices), empty if no schedule drives it
    metrics: dict[str, np.ndarray]  # each (evaluations, slices)
    states: list[dict[str, Tensor]]  # one for each evaluation, slices first


@dataclass(frozen=True, eq=False)
class _Work:
    """A checked sweep, any part of which can be trained on its own."""

    task: Task
    sources: dict[str, _Source]  # of "train" and of each split to evaluate
    plan: _Plan
    sizes: list[int] | None  # the batch size of every step
    eval_steps: tuple[int, ...]
    evaluate: tuple[str, ...]
    keep_states: bool
    device: torch.device
    optimize: Callable[[dict[str, Tensor]], StackedSGD | StackedAdamW]

    @torch.no_grad()
    def train(
        self,
        slices: np.ndarray,
        models: list[nn.Module],
        order: tuple[list[Tensor], list[Tensor]] | None,
        done: Callable[[int], None],
        stop: Event,
    ) -> _Part:
        """Train the slices with these numbers, from one new model per seed.

        `order` has the rows of inputs and of labels of every step, each (seeds, batch), None if
        all examples are used at once; `done` is told the steps, `stop` ends it early.
        """
        task, steps = self.task, self.plan.steps
        which = slices % len(self.plan.seeds)  # the seed of every slice, by its place
        stacked = stack([models[k] for k in which], task.loss, self.device)
        update = self.optimize(stacked.params)
        rates = torch.from_numpy(self.plan.rates()[:, slices].astype(np.float32)).to(self.device)
        momentum = self.plan.momentum
        schedule = slices // (self.plan.slices // len(self.plan.shapes))  # of every slice
        data = {split: source.to(self.device) for split, source in self.sources.items()}
        x, y = data["train"].x, data["train"].y
        # In one piece: a new tensor at every step would pin the heap that gradients leave free.
        losses, states = torch.empty(steps, len(slices), device=self.device), []
        metrics = {f"{split}_{m}": [] for split in self.evaluate for m in ("loss", "error")}

        def record() -> None:
            for split in self.evaluate:
                loss, error = _evaluate(stacked, data[split], which)
                metrics[f"{split}_loss"].append(loss)
                metrics[f"{split}_error"].append(error)
            if self.keep_states:
                states.append({name: p.cpu().clone() for name, p in stacked.params.items()})

        if order is None:
            # The examples are the same at every step: no need to gather them again.
            batch = data["train"].examples(which)
        for t in range(steps):
            if stop.is_set():
                break
            if t in self.eval_steps:
                record()
            if order is not None:
                of_x, of_y = (rows[t] for rows in order)
                index = of_x[which].to(self.device)
                labels = index if of_y is of_x else of_y[which].to(self.device)
                batch = _rows(x, index), _rows(y, labels)
            loss, grads = stacked.gradients(*batch)
            update.step(grads, rates[t], None if momentum is None else momentum[schedule, t])
            losses[t] = loss
            done(t + 1)
        if steps in self.eval_steps:
            record()
        return _Part(
            losses.cpu().numpy(),
            torch.stack(update.applied).cpu().numpy(),
            np.array(update.applied_momentum),
            {name: torch.stack(values).cpu().numpy() for name, values in metrics.items()},
            states,
        )

    def rehearse(self, model: nn.Module) -> None:
        """Use everything once, on one example: what torch imports late, no process imports again.

        And a model or loss that fails does so here.
        """
        stacked = stack([model], self.task.loss, self.device)
        first = self.sources["train"].first().to(self.device)
        stacked.gradients(*first.examples(np.zeros(1, int)))
        _evaluate(stacked, first, np.zeros(1, int))


@dataclass(frozen=True, eq=False)
class _Source:
    """The examples of one split, for every seed: which rows of `x`, and of `y`, are its own.

    `rows` and `labels` are int64, (seeds, n); one row for all where every seed has the same.
    """

    x: Tensor
    y: Tensor
    rows: Tensor
    labels: Tensor

    @classmethod
    def drawn(cls, data: Data, seeds: Sequence[int], split: str) -> _Source:
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

    def to(self, device: torch.device) -> _Source:
        labels = self.labels.to(device)
        rows = labels if self.labels is self.rows else self.rows.to(device)
        return _Source(self.x.to(device), self.y.to(device), rows, labels)

    def first(self) -> _Source:
        """Only the first example of the first seed."""
        return replace(self, rows=self.rows[:1, :1], labels=self.labels[:1, :1])

    def order(self, batches: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """The rows of inputs and of labels in every batch, where `batches`, (seeds, batch), count
        the examples of each seed; the same list twice if they are the same rows."""
        rows = _taken(self.rows, batches)
        return rows, rows if self.labels is self.rows else _taken(self.labels, batches)

    def examples(self, which: np.ndarray, part: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Inputs and labels of the seeds `which`, (len(which), n, …); of some examples only."""
        out = []
        for values, rows in ((self.x, self.rows[:, part]), (self.y, self.labels[:, part])):
            if len(rows) == 1:  # once for all
                out.append(_rows(values, rows).expand(len(which), -1, *values.shape[1:]))
            else:
                out.append(_rows(values, rows[which]))
        return out[0], out[1]


def _alike(rows: list[Tensor]) -> Tensor:
    """The rows of every seed, (seeds, n), or (1, n) if all have the same."""
    return rows[0][None] if all(r is rows[0] for r in rows) else torch.stack(rows)


def _taken(rows: Tensor, batches: list[Tensor]) -> list[Tensor]:
    rows = rows.expand(len(batches[0]), -1)
    return [rows.gather(1, batch) for batch in batches]


def _train_in_parts(work: _Work, bar: Progress) -> list[_Part]:
    """Train the slices in parts, on every core one part at a time, each core in its own process.

    With one thread per part, torch's own threads have nothing to share out. Those wait by
    spinning, which makes training many times slower as soon as another program uses a core.
    """
    slices, threads = work.plan.slices, torch.get_num_threads()
    on_cpu, forks = work.device.type == "cpu", _can_fork()
    source = work.sources["train"]
    n = source.rows.shape[1]
    size = n if work.sizes is None else np.mean(work.sizes)
    labels = int(slices * size * source.y[0].numel())
    # A small part is mostly Python's own work, which processes can share, but threads hardly.
    cores = min(threads, slices, max(1, labels // (64 if forks else 512))) if on_cpu else 1
    forks = forks and cores > 1
    rounds = math.ceil(slices / (cores * _PART)) if forks else 1
    parts = np.array_split(np.arange(slices), cores * rounds)

    # Built here, not in the parts: models share torch's random state.
    models, order = [work.task.model(seed) for seed in work.plan.seeds], None
    if work.sizes is not None:
        drawn = [_batches(seed, n, work.sizes) for seed in work.plan.seeds]
        order = source.order([torch.stack(step) for step in zip(*drawn, strict=True)])

    def train(i: int) -> _Part:
        return work.train(parts[i], models, order, partial(done.__setitem__, i), stop)

    if on_cpu:
        torch.set_num_threads(1)
    try:
        if forks:
            work.rehearse(models[0])
            context = multiprocessing.get_context("fork")
            done, stop, job = context.RawArray("q", len(parts)), context.Event(), _inherited
            pool = ProcessPoolExecutor(cores, context, _inherit, (train, os.getpid()))
        else:
            done, stop, job = [0] * len(parts), Event(), train
            pool = ThreadPoolExecutor(cores)
        with pool:
            jobs = [pool.submit(job, i) for i in range(len(parts))]
            try:
                while wait(jobs, timeout=0.2, return_when=FIRST_EXCEPTION).not_done:
                    for part in jobs:
                        if part.done():
                            part.result()  # raises at once what a part failed of
                    bar.update(sum(done) // len(parts))
            finally:
                stop.set()  # also when the user interrupts: no part trains on in the background
            return [part.result() for part in jobs]
    finally:
        torch.set_num_threads(threads)


def _can_fork() -> bool:
    """Whether parts may train in forked processes: not beside CUDA, whose threads do not survive.

    Only on Linux; macOS can fork, but its own libraries then fail at times.
    """
    return sys.platform == "linux" and not torch.cuda.is_initialized()


_train: Callable[[int], _Part]  # in a forked process, what its parent would have run


def _inherit(train: Callable[[int], _Part], parent: int) -> None:
    """Begin a forked process: it holds all that `train` needs, so nothing has to be pickled."""
    global _train
    _train = train
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides, and sets `stop`
    Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """End this process when its parent has been killed and so cannot."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _inherited(i: int) -> _Part:
    return _train(i)


@dataclass(frozen=True, eq=False)
class _Plan:
    """The checked grid of a sweep; slices are ordered by schedule, then peak, then seed."""

    shapes: tuple[Schedule, ...]
    peaks: np.ndarray
    seeds: tuple[int, ...]
    steps: int
    momentum: np.ndarray | None = None  # float64, (schedules, steps), if schedules drive it

    @classmethod
    def checked(cls, schedules: object, peaks: object, seeds: object, steps: object) -> _Plan:
        if not isinstance(schedules, Mapping) or not schedules:
            raise TypeError(f"sweep: schedules must map names to Schedules, got {schedules!r}")
        for name, shape in schedules.items():
            if not isinstance(shape, Schedule):
                raise TypeError(f"sweep: schedules[{name!r}] must be a Schedule, got {shape!r}")
        if isinstance(peaks, Mapping):
            if set(peaks) != set(schedules):
                raise ValueError(
                    f"sweep: peaks must name the schedules {sorted(schedules)}, got {sorted(peaks)}"
                )
            grids = [np.atleast_1d(peaks[name]) for name in schedules]
        else:
            grids = [np.atleast_1d(peaks)] * len(schedules)
        grids = [_checks.array("sweep", "peaks", grid, ndim=1, above=0) for grid in grids]
        if len({len(grid) for grid in grids}) > 1:
            raise ValueError(
                f"sweep: peaks must be grids of one length, got lengths {[len(g) for g in grids]}"
            )
        for grid in grids:
            if (np.diff(grid) <= 0).any():
                raise ValueError(f"sweep: peaks must ascend strictly, got {grid.tolist()}")
        if not _is_sequence(seeds) or not len(seeds):
            raise TypeError(f"sweep: seeds must be a non-empty sequence of integers, got {seeds!r}")
        seeds = tuple(_checks.integer("sweep", "seeds", s, minimum=0) for s in seeds)
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"sweep: seeds must differ, got {seeds!r}")
        steps = _checks.integer("sweep", "steps", steps, minimum=1)
        return cls(tuple(schedules.values()), np.array(grids), seeds, steps)

    @property
    def slices(self) -> int:
        return self.peaks.size * len(self.seeds)

    def rates(self) -> np.ndarray:
        """The planned rate of every step and slice, float64, (steps, slices)."""
        factors = np.stack([shape.sample(self.steps) for shape in self.shapes])
        rates = self.peaks[:, :, None] * factors[:, None, :]  # (schedules, peaks, steps)
        return np.repeat(rates.reshape(-1, self.steps), len(self.seeds), axis=0).T


def _checked_momentum(
    momentum_schedules: object, schedules: Mapping[str, Schedule], base: float, steps: int
) -> np.ndarray | None:
    """The planned momentum of every schedule and step, (schedules, steps); None if it is `base`."""
    given = {} if momentum_schedules is None else momentum_schedules
    if not isinstance(given, Mapping):
        raise TypeError(
            f"sweep: momentum_schedules must map names of schedules to Schedules, got {given!r}"
        )
    if not given:
        return None
    if not base:
        raise ValueError(
            f"sweep: momentum_schedules needs a momentum, or betas[0], above 0, got {base!r}"
        )
    planned = np.full((len(schedules), steps), base)
    for name, shape in given.items():
        if name not in schedules:
            raise ValueError(
                f"sweep: momentum_schedules must name some of {list(schedules)}, got {name!r}"
            )
        if not isinstance(shape, Schedule):
            raise TypeError(
                f"sweep: momentum_schedules[{name!r}] must be a Schedule, got {shape!r}"
            )
        row = planned[list(schedules).index(name)] = base * shape.sample(steps)
        if row.max() >= 1:
            raise ValueError(
                f"sweep: momentum_schedules[{name!r}] must keep the momentum below 1, got "
                f"{row.max():g} from {shape!r}"
            )
    return planned


def _is_sequence(value: object) -> bool:
    if isinstance(value, np.ndarray):
        return value.ndim == 1
    return isinstance(value, Sequence) and not isinstance(value, str)


def _checked_splits(evaluate: Sequence[str]) -> tuple[str, ...]:
    if not _is_sequence(evaluate):
        raise TypeError(f"sweep: evaluate must be a sequence of splits, got {evaluate!r}")
    for split in evaluate:
        _checks.choice("sweep", "evaluate", split, SPLITS)
    return tuple(dict.fromkeys(evaluate))


def _checked_eval_steps(eval_steps: Sequence[int] | None, steps: int) -> list[int]:
    if eval_steps is None:
        return [steps]
    if not _is_sequence(eval_steps):
        raise TypeError(f"sweep: eval_steps must be a sequence of steps, got {eval_steps!r}")
    out = [_checks.integer("sweep", "eval_steps", s, minimum=0) for s in eval_steps]
    if not out or out != sorted(set(out)) or out[-1] > steps:
        raise ValueError(
            f"sweep: eval_steps must ascend within [0, {steps}], got {list(eval_steps)!r}"
        )
    return out


def _checked_optimizer(
    optimizer: str, given: dict[str, object], weight_decay: float
) -> Callable[[dict[str, Tensor]], StackedSGD | StackedAdamW]:
    """What makes the optimizer of some stacked parameters; `given` are the settings of either.

    Those of the other optimizer must be what they are by default: nothing would use them.
    """
    _checks.choice("sweep", "optimizer", optimizer, OPTIMIZERS)
    weight_decay = _checks.number("sweep", "weight_decay", weight_decay, minimum=0)
    default = inspect.signature(sweep).parameters
    for name, value in given.items():
        is_default = np.array_equal(value, default[name].default)
        if name not in _SETTINGS[optimizer] and not is_default:
            other = next(kind for kind, names in _SETTINGS.items() if name in names)
            raise ValueError(
                f"sweep: {name} is a setting of {other!r}, which optimizer={optimizer!r} does not "
                f"have, got {name}={value!r:.200}; leave it out, or set optimizer={other!r}"
            )
    if optimizer == "sgd":
        momentum = _checks.number("sweep", "momentum", given["momentum"], minimum=0, below=1)
        if given["nesterov"] and not momentum:
            raise ValueError("sweep: nesterov needs momentum above 0, got momentum=0")
        nesterov = bool(given["nesterov"])
        return lambda params: StackedSGD(params, momentum, nesterov, weight_decay)
    betas = given["betas"]
    if not isinstance(betas, tuple | list) or len(betas) != 2:
        raise ValueError(f"sweep: betas must be two numbers, got {betas!r}")
    betas = tuple(_checks.number("sweep", "betas", b, minimum=0, below=1) for b in betas)
    eps = _checks.number("sweep", "eps", given["eps"], above=0)
    return lambda params: StackedAdamW(params, betas, eps, weight_decay)


def _rows(data: Tensor, index: Tensor) -> Tensor:
    """``data[index]``, several times as fast."""
    return data.index_select(0, index.flatten()).view(*index.shape, *data.shape[1:])


def _evaluate(stacked: StackedModule, source: _Source, which: np.ndarray) -> tuple[Tensor, Tensor]:
    """Mean loss and share of wrong answers of every slice on one split, each of shape (slices,).

    `which` is the seed of every slice. The loss is averaged over examples, in chunks; a slice with
    a non-finite loss is NaN in both. Where labels are distributions, an answer is wrong with the
    probability of all other classes. The sums are float64, and so on the CPU: not every device has
    it.
    """
    slices, n, y = len(which), source.rows.shape[1], source.y
    soft = y.is_floating_point()
    chunk = max(1, _EVAL_CHUNK // (slices * (y[0, ..., 0] if soft else y[0]).numel()))
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
