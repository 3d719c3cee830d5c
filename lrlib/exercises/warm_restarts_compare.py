"""Chapter 05, exercise 3b: the repaired comparison."""

from __future__ import annotations

import functools
import math
import operator
import random
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch.optim import Optimizer

from lrlib.cosine_annealing import CosineAnnealing
from lrlib.exercises import (
    Ask,
    Mistake,
    among,
    close,
    exercise,
    noisy_runs,
    to_numbers,
)
from lrlib.exercises.relations import Pair, related
from lrlib.exercises.watching import OF_A_RUN, Runs, Watched
from lrlib.warm_restarts import WarmRestarts

start = functools.partial(noisy_runs.start, batch_size=1)  # what the sheet hands out


def half(x: float) -> float:
    return (1 + math.cos(math.pi * x)) / 2


def _last(losses):
    return losses[..., -1]


def _least(losses):
    return losses.min(-1)


def _mean(losses):
    return losses.mean(-1)


def _with(
    long=lambda t, T_0, n: half(t / T_0 / n),
    restarts=lambda t, T_0, n: half(t % T_0 / T_0),
    peak_of=lambda peak: peak,
    tune=(_last, _last),  # of the losses at the ends of cycles, to choose the peaks by
    judge=(_last, _last),
    choose=lambda tuning, seeds: tuning.mean(1).argmin(),
    best_of=lambda rival: rival,
    says=operator.sub,
):
    """A comparison with any of these changed; rival 0 is the long cosine."""

    def compare(start, T_0, cycles, peaks, tuning_seeds, seeds):
        def losses(factor, peak, seed):
            optimizer, update, loss = start(peak, seed)
            ends = []
            for t in range(T_0 * cycles):
                optimizer.param_groups[0]["lr"] = peak_of(peak) * factor(t, T_0, cycles)
                update()
                if (t + 1) % T_0 == 0:
                    ends.append(loss())
            return ends

        n, every, columns = len(tuning_seeds), [*tuning_seeds, *seeds], np.arange(len(seeds))
        best, ends = [], []
        for i, factor in enumerate((long, restarts)):
            table = np.array([[losses(factor, p, s) for s in every] for p in peaks])
            best.append(choose(tune[i](table)[:, :n], tune[i](table)[:, n:]))
            ends.append(judge[i](table)[:, n + columns])
        return says(*(ends[i][best[best_of(i)], columns] for i in (0, 1)))

    return compare


def _loss(run: Watched) -> float:
    """A noisy quadratic in two directions, in expectation; what is measured of it has an error."""
    seed, rates, loss = operator.index(run.about["seed"]), run.rates.tolist(), 0.0
    noise = random.Random(f"noise {seed}").uniform(0.2, 1.2)
    for h, e in ((1.0, 1.0), (0.1, 4.0)):
        for rate in rates:
            e = (1 - rate * h) ** 2 * e + rate**2 * h * noise
        loss += h * e / 2
    rises = sum(a < b for a, b in pairwise(rates))  # one rival is lucky, one is not
    return loss * (1 + random.Random(f"{seed} {len(rates)} {rises}").uniform(-0.5, 0.5))


def _observed(ask: Ask, T_0: int, cycles: int, *rest: list[Any]) -> dict[str, Any]:
    """What was done: of runs that follow neither plan, the first for either rival."""
    (peaks, tuning_seeds, seeds), steps = rest, T_0 * cycles
    runs = Runs(10_000, "calls of what it was given")

    def start(peak: float, seed: int) -> tuple[Optimizer, Callable[[], Any], Callable[[], float]]:
        sgd = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=peak)
        run = runs.watch(sgd, peak=among(peak, peaks) or peak, seed=seed)
        update = run.noted("update", lambda: sgd.step())
        return sgd, update, run.noted("loss", lambda: _loss(run))

    answer = ask(start, T_0, cycles, *rest)
    plans = {
        "long cosine": CosineAnnealing(steps).sample(steps),
        "restarts": WarmRestarts(T_0).sample(steps),
    }
    strays, done = {}, {rival: set() for rival in plans}
    for run in runs.used:
        peak, seed = run.about["peak"], run.about["seed"]
        for what, value, known in (("peak", peak, peaks), ("seed", seed, tuning_seeds + seeds)):
            if value not in known:
                raise Mistake(
                    f"a run was started with the {what} {value:g}, which is not among those you "
                    f"were given, {known}. Where does it come from?"
                )
        run.expect_updates_by("update", noisy_runs.WITHOUT_A_GRADIENT)
        if run.updates != steps:
            return {"updates": run.updates}
        factors = run.rates / peak
        for rival, plan in plans.items():
            if close(factors, plan):
                done[rival].add((peak, seed))
                break
        else:
            rises = "restarts" if np.any(np.diff(factors) > 1e-6) else "long cosine"
            alike = (rival for rival in plans if any(related([Pair(factors, plans[rival], {})])))
            strays.setdefault(next(alike, rises), factors)
    if not strays:
        _expect_fair_runs(done, *rest)
    gains = to_numbers(answer, ask.name, "an array with one difference for each seed")
    return {"updates": steps, **plans, **strays, "gains": gains}


Done = dict[str, set[tuple[float, int]]]  # of each rival, the peaks and seeds of its runs


def _expect_fair_runs(done: Done, peaks: list[Any], tuning_seeds: list[Any], seeds: Any) -> None:
    pairs = {(peak, seed) for peak in peaks for seed in tuning_seeds}
    judged = {(peak, seed) for peak in peaks for seed in seeds}
    if not any(done.values()):
        raise Mistake(
            "no run made an update. Begin each run by start(peak, seed), and call its update() "
            "once for every step."
        )
    for rival, ran in done.items():
        if not ran:
            raise Mistake(f"no run followed the schedule of the {rival}.")
        if not pairs <= ran:
            lucky = "looked for on the seeds of the comparison, where it looks better than it is"
            raise Mistake(
                f"the {rival} tried {len(pairs & ran)} of the {len(pairs)} pairs of a peak and a "
                f"tuning seed{', its peak was ' + lucky if judged <= ran else ''}. Either rival is "
                f"to have the best of the peaks, by its mean loss on the tuning_seeds."
            )
        if missing := {*seeds} - {seed for _, seed in ran}:
            raise Mistake(f"the {rival} made no run on the seeds {sorted(missing)}.")


_OF_A_RUN = OF_A_RUN | {
    "early": "every rate came one step early. Call update() first and scheduler.step() after it.",
    "square": "the factor was applied twice. Is there more than one scheduler on the optimizer?",
}
_STRAY = "a run followed neither schedule: at step {i} it had {given} times its peak, where the "
check_compare = exercise(
    "Exercise 3b: ``compare(start, T_0, cycles, peaks, tuning_seeds, seeds)``, repaired.",
    right=_with(),
    names=("T_0", "cycles", "_peaks", "_tuning_seeds", "_seeds"),
    # In the first, every mistake of the table gives other numbers.
    cases=(
        (3, 4, [0.25, 0.35, 0.5, 0.7, 1.0], [56, 3, 10], [4, 89, 76, 14]),
        (5, 2, [0.3, 0.6, 1.2], [62, 71], [32, 77, 99]),
    ),
    read=_observed,
    noun="comparison",
    wrong=(
        (
            "a cosine of T_0 steps does not restart: it climbs back for as many steps, as torch's "
            "CosineAnnealingLR, or stays at 0. Look for a schedule that jumps.",
            _with(restarts=lambda t, T_0, n: half(t / T_0)),
            _with(restarts=lambda t, T_0, n: half(min(t / T_0, 1))),
        ),
        (
            "a cosine ended after as many steps as there are cycles. T_max and T_0 count steps.",
            _with(long=lambda t, T_0, n: half(t / n)),
            _with(long=lambda t, T_0, n: half(min(t / n, 1))),
            _with(restarts=lambda t, T_0, n: half(t % n / n)),
        ),
        (
            "a rate changed only every {T_0} steps. Step the scheduler after every update.",
            _with(long=lambda t, T_0, n: half(t // T_0 / n)),
        ),
        (
            "a run restarted one step late. Step {T_0} is the first of the second cycle.",
            _with(restarts=lambda t, T_0, n: half(((t - 1) % T_0 + 1) / T_0 if t else 0)),
        ),
        (
            "cycles doubled, so that a run stopped inside one. All have T_0 steps: T_mult is 1.",
            _with(restarts=lambda t, T_0, n: WarmRestarts(T_0, 2)(t)),
        ),
        (
            "factors were applied as rates. The rate is the peak times the factor.",
            _with(peak_of=lambda peak: 1.0),
        ),
        (
            "the peaks were chosen on the seeds of the comparison, where they look better than "
            "they are.",
            _with(choose=lambda tuning, seeds: seeds.mean(1).argmin()),
            _with(choose=lambda *tables: np.hstack(tables).mean(1).argmin()),
        ),
        (
            "runs are judged by the best of their snapshots, or the mean. Take the loss after the "
            "last update, for both rivals.",
            _with(judge=(_last, _least)),
            _with(judge=(_last, _least), tune=(_last, _least)),
            _with(judge=(_least, _last)),
            _with(judge=(_least, _least)),
            _with(judge=(_least, _least), tune=(_least, _least)),
            _with(judge=(_mean, _mean)),
            _with(judge=(_mean, _mean), tune=(_mean, _mean)),
        ),
        (
            "the peaks are chosen by all snapshots. Tune by the loss you judge by, the last.",
            _with(tune=(_last, _least)),
            _with(tune=(_least, _least)),
            _with(tune=(_mean, _mean)),
        ),
        (
            "both rivals use one peak, the best for one of them. Each is to have its own.",
            _with(best_of=lambda rival: 0),
            _with(best_of=lambda rival: 1),
            _with(best_of=lambda rival: 1 - rival),
        ),
        (
            "the peaks are the best on one seed. Compare the means over all of the tuning seeds.",
            _with(choose=lambda tuning, seeds: seeds.argmin(0)),
            _with(choose=lambda tuning, seeds: tuning.min(1).argmin()),
            _with(choose=lambda tuning, seeds: tuning[:, 0].argmin()),
            _with(choose=lambda tuning, seeds: tuning[:, -1].argmin()),
            _with(choose=lambda tuning, seeds: np.median(tuning, 1).argmin()),
        ),
        (
            "you chose the peaks with the highest loss. Lower is better.",
            _with(choose=lambda tuning, seeds: tuning.mean(1).argmax()),
        ),
        (
            "you return a ratio. The difference of the losses is asked for.",
            _with(says=lambda a, b: a / b),
            _with(says=lambda a, b: (a - b) / a),
            _with(says=lambda a, b: (a - b) / b),
            _with(says=lambda a, b: np.log(a / b)),
        ),
        (
            "you do not subtract losses of the same seed: are they means, or sorted?",
            _with(says=lambda a, b: a - b.mean()),
            _with(says=lambda a, b: a.mean() - b),
            _with(says=lambda a, b: np.sort(a) - np.sort(b)),
        ),
    ),
    say={
        **{
            rival: {name: f"the {rival}: {text}" for name, text in _OF_A_RUN.items()}
            for rival in ("long cosine", "restarts")
        },
        "gains": {
            "negative": "the sign is turned round: positive is where restarts have less loss.",
            "absolute": "the sign is lost: it says which of the rivals has less loss.",
            "sorted": "the differences are right, but come in another order than the seeds.",
            "mean": "that is the mean. Whoever reads it needs the spread: return one difference "
            "for each seed.",
            "constant": "every entry is the same. Return the differences of the single seeds.",
        },
    },
    differs={
        "updates": "a run made {given} updates. Each rival has cycles * T_0 = {wanted} of them.",
        "long cosine": _STRAY + "long cosine has {wanted} times.",
        "restarts": _STRAY + "restarts have {wanted} times.",
        "gains": "the runs were right. Return, seed by seed, the final loss of the long cosine "
        "minus that of the restarts, each with its best peak: for seed number {i} you have "
        "{given}, not {wanted}.",
    },
    passed="all that this cell asks of your comparison is as it should be.",
)
