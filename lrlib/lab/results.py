"""What a sweep measured, and the questions that a chapter asks of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from torch import Tensor, nn

from lrlib import _checks
from lrlib.lab.evidence import Estimate
from lrlib.lab.models import Task


class GridEdgeError(RuntimeError):
    """The best peak lies on the edge of its grid, so a better one may lie outside."""


@dataclass(frozen=True, eq=False)
class Results:
    """What was measured on runs whose axes are (schedule, peak, seed) and then time.

    Attributes:
        schedules: names of the schedules.
        peaks: float64, (schedules, peaks): the grid of each schedule.
        seeds: the seeds.
        eval_steps: int, (evaluations,): updates made at each evaluation.
        metrics: "val_error", "val_loss", "test_error", … -> float64, (schedules, peaks, seeds,
            evaluations). Errors are shares in [0, 1].

    A run that diverged is NaN from the step of its first non-finite loss.
    """

    schedules: tuple[str, ...]
    peaks: np.ndarray
    seeds: tuple[int, ...]
    eval_steps: np.ndarray
    metrics: dict[str, np.ndarray]

    def at(self, metric: str, step: int | None = None) -> np.ndarray:
        """`metric` after `step` updates (default: the last evaluation), (schedules, peaks, seeds).

        `metric` is a key of `metrics`; `step` must be one of `eval_steps`.
        """
        _checks.choice(type(self).__name__, "metric", metric, tuple(self.metrics))
        return self.metrics[metric][..., self._evaluation(step)]

    def _evaluation(self, step: int | None) -> int:
        if step is None:
            return -1
        found = np.flatnonzero(self.eval_steps == step)
        if not found.size:
            raise ValueError(
                f"{type(self).__name__}: step must be one of {self.eval_steps.tolist()}, got "
                f"{step!r}"
            )
        return int(found[0])

    def best_peaks(self, metric: str = "val_error", step: int | None = None) -> dict[str, float]:
        """Each schedule's peak with the lowest mean `metric` over the seeds.

        A peak at which any run diverged counts as infinitely bad. Raises GridEdgeError if the
        best peak is the first or last of its grid: widen the grid then.
        """
        values = self.at(metric, step).astype(np.float64)
        means = np.where(np.isnan(values), np.inf, values).mean(-1)
        best = {}
        for name, peaks, row in zip(self.schedules, self.peaks, means, strict=True):
            i = int(np.argmin(row))
            if not np.isfinite(row[i]):
                raise GridEdgeError(f"{name}: at every peak of {peaks.tolist()} a run diverged")
            if i in (0, len(row) - 1):
                raise GridEdgeError(
                    f"{name}: the best peak, {peaks[i]:g}, lies on the edge of the grid "
                    f"{peaks.tolist()}; widen the grid"
                )
            best[name] = float(peaks[i])
        return best

    def judged(
        self,
        metric: str = "test_error",
        by: str = "val_error",
        step: int | None = None,
        schedules: Sequence[str] | None = None,
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Every seed's `metric` at the peak that all *other* seeds choose for its schedule.

        They choose the peak of their lowest mean `by`; one at which any of them diverged counts as
        infinitely bad. No seed is judged at a peak that it helped to choose, and no seed is spent
        on tuning alone. `schedules` (default all) are those to judge. Returns name -> metric,
        (seeds,), and name -> peak, (seeds,). Raises GridEdgeError if a chosen peak is the first
        or last of its grid: widen the grid then, and ValueError if there are fewer than three
        seeds.
        """
        if len(self.seeds) < 3:
            raise ValueError(
                f"{type(self).__name__}.judged: seeds must be at least 3, got {self.seeds}"
            )
        choice = self.at(by, step).astype(np.float64)
        choice[np.isnan(choice)] = np.inf
        values, judged, chosen = self.at(metric, step), {}, {}
        for name in self.schedules if schedules is None else schedules:
            _checks.choice(f"{type(self).__name__}.judged", "schedules", name, self.schedules)
            i = self.schedules.index(name)
            peaks, row, runs = self.peaks[i], choice[i], values[i]
            of_others = np.stack([np.delete(row, k, -1).mean(-1) for k in range(row.shape[-1])], -1)
            best = of_others.argmin(0)
            if not np.isfinite(of_others.min(0)).all():
                raise GridEdgeError(f"{name}: at every peak of {peaks.tolist()} a run diverged")
            if best.min() == 0 or best.max() == len(peaks) - 1:
                raise GridEdgeError(
                    f"{name}: the peaks chosen, {np.unique(peaks[best]).tolist()}, reach the edge "
                    f"of the grid {peaks.tolist()}; widen the grid"
                )
            judged[name], chosen[name] = runs[best, np.arange(len(best))], peaks[best]
        return judged, chosen

    def joined(self, other: Results) -> Results:
        """The schedules of both, on the seeds that they share; to compare across two sweeps.

        Both must have been evaluated after the same steps, on grids of one length, and have no
        schedule's name in common; only the metrics that both have are kept.
        """
        owner = f"{type(self).__name__}.joined"
        if not isinstance(other, Results):
            raise TypeError(f"{owner}: other must be what a sweep returned, got {other!r}")
        shared = tuple(seed for seed in self.seeds if seed in other.seeds)
        twice = set(self.schedules) & set(other.schedules)
        if not shared or twice:
            raise ValueError(
                f"{owner}: other must share seeds and no schedule, got seeds {other.seeds} beside "
                f"{self.seeds} and {sorted(twice)} in both"
            )
        if self.peaks.shape[1] != other.peaks.shape[1] or not np.array_equal(
            self.eval_steps, other.eval_steps
        ):
            raise ValueError(
                f"{owner}: other must have grids of {self.peaks.shape[1]} peaks and evaluations "
                f"after {self.eval_steps.tolist()}, got {other.peaks.shape[1]} and "
                f"{other.eval_steps.tolist()}"
            )
        ours, theirs = ([r.seeds.index(s) for s in shared] for r in (self, other))
        return Results(
            schedules=self.schedules + other.schedules,
            peaks=np.concatenate([self.peaks, other.peaks]),
            seeds=shared,
            eval_steps=self.eval_steps,
            metrics={
                name: np.concatenate([values[:, :, ours], other.metrics[name][:, :, theirs]])
                for name, values in self.metrics.items()
                if name in other.metrics
            },
        )

    def compare(
        self,
        a: str,
        b: str,
        metric: str = "test_error",
        by: str = "val_error",
        step: int | None = None,
        scale: Literal["linear", "ratio"] = "linear",
    ) -> Estimate:
        """`metric` of schedule `a` less that of `b`, each at its own tuned peak.

        The estimate is the mean over seeds of the paired differences, every seed judged at the
        peaks that all others choose (see `judged`); errors are in points (hundredths), losses as
        they are; with ``scale="ratio"`` it is the geometric mean of a over b.

        The interval contains the tuning: the seeds are drawn anew 2,000 times (a bootstrap), the
        peaks chosen anew by each draw's mean `by`, and the spread of the differences at them
        takes the place of Student's standard error. Both schedules are tuned and judged after
        `step` updates (default: the last evaluation). Raises as `judged` does.
        """
        from scipy import stats

        _checks.choice(f"{type(self).__name__}.compare", "scale", scale, ("linear", "ratio"))
        for name, schedule in (("a", a), ("b", b)):
            _checks.choice(f"{type(self).__name__}.compare", name, schedule, self.schedules)
        judged, _ = self.judged(metric, by, step, schedules=(a, b))
        n = len(self.seeds)
        weights = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), 2000) / n
        pairs, means = [], []
        for name in (a, b):
            i = self.schedules.index(name)
            choice = self.at(by, step)[i].astype(np.float64)
            usable = np.isfinite(choice).all(-1)  # a peak at which any seed diverged is none
            values = self.at(metric, step)[i][usable].astype(np.float64)
            pair = judged[name].astype(np.float64)
            if scale == "ratio":
                if (values <= 0).any() or (pair <= 0).any():
                    raise ValueError(
                        f"{type(self).__name__}.compare: scale='ratio' needs {metric!r} above 0, "
                        f"got {min(values.min(), pair.min()):g} in {name!r}"
                    )
                values, pair = np.log(values), np.log(pair)
            best = (weights @ choice[usable].T).argmin(1)
            pairs.append(pair)
            means.append((weights @ values.T)[np.arange(len(weights)), best])
        effect, spread = (pairs[0] - pairs[1]).mean(), (means[0] - means[1]).std()
        # The bootstrap's variance is (n − 1) / n of the right one.
        half = stats.t.ppf(0.975, n - 1) * spread * (n / (n - 1)) ** 0.5
        low, high = effect - half, effect + half
        if scale == "ratio":
            effect, low, high = np.exp([effect, low, high])
        elif metric.endswith("_error"):
            effect, low, high = 100 * effect, 100 * low, 100 * high
        return Estimate(float(effect), float(low), float(high), n, scale)


@dataclass(frozen=True, eq=False)
class SweepResult(Results):
    """What a sweep measured: `Results`, and what belongs to runs made here and now.

    Attributes:
        task: what was trained.
        train_loss: float32, (schedules, peaks, seeds, steps): loss of each step's batch, before
            its update, in nats for cross-entropy.
        lr: float32, (schedules, peaks, seeds, steps): the rates that were applied.
        momentum: the same for the momentum, or AdamW's beta1; if no schedule drove it, a
            read-only view of its one value.
        states: parameters at each evaluation if they were kept, else empty.
    """

    task: Task
    train_loss: np.ndarray
    lr: np.ndarray
    momentum: np.ndarray
    states: list[dict[str, Tensor]] = field(default_factory=list, repr=False)

    def model(self, schedule: str, peak: float, seed: int, step: int | None = None) -> nn.Module:
        """The trained model of one run after `step` updates; needs ``keep_states=True``."""
        if not self.states:
            raise ValueError("SweepResult: no parameters were kept; sweep with keep_states=True")
        _checks.choice("SweepResult", "schedule", schedule, self.schedules)
        i = self.schedules.index(schedule)
        j = np.flatnonzero(self.peaks[i] == peak)
        if not j.size:
            raise ValueError(
                f"SweepResult: peak must be one of {self.peaks[i].tolist()}, got {peak!r}"
            )
        if seed not in self.seeds:
            raise ValueError(f"SweepResult: seed must be one of {self.seeds}, got {seed!r}")
        k = self.seeds.index(seed)
        index = (i * self.peaks.shape[1] + int(j[0])) * len(self.seeds) + k
        model = self.task.model(seed)
        state = self.states[self._evaluation(step)]
        model.load_state_dict({name: p[index] for name, p in state.items()})
        return model
