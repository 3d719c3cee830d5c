"""Checkers of chapter 05."""

from __future__ import annotations

import copy
import math
import operator
import random
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn

from lrlib.cosine_annealing import CosineAnnealing
from lrlib.exercises import (
    Limit,
    Mistake,
    NotFinite,
    _runs,
    among,
    apart,
    ask_twice,
    call,
    checker,
    close,
    expect_far,
    finite,
    letters,
    numbers,
    passed,
    refused,
    sampled,
    schedule,
    short,
)
from lrlib.exercises._runs import Run, Start
from lrlib.lab.noisy_quadratic import NoisyQuadratic
from lrlib.lab.settings import seeds
from lrlib.schedule import Schedule
from lrlib.trace import LRTrace
from lrlib.warm_restarts import WarmRestarts, ensemble_probabilities

# --------------------------------------------------------------------------------------
# 1. The factor


@checker("lrlib")
def check_factor(factor: Callable[[int, int, int], float]) -> None:
    """Exercise 1: ``factor(t, T_0, T_mult)``, SGDR as a function of the step."""
    # Cycles that get shorter come to no end, and a loop over them neither: ask for two at first.
    steps = np.arange(18)
    answer = np.array([finite(factor, t, 12, 2) for t in steps.tolist()])
    if close(answer, _cosine(*_cycles(steps, lambda i: 12 / 2**i))):
        raise Mistake(
            "with T_0=12, T_mult=2: your second cycle is over after 6 steps. Every cycle is T_mult "
            "times as long as the one before, not as short."
        )
    # T_mult = 2 first: some loops do not end if T_mult is 1 and T_cur never falls. The last case
    # has a restart where a logarithm comes out a little too small.
    for T_0, T_mult, n in ((12, 2, 90), (10, 1, 45), (1, 3, 130)):
        steps = np.arange(n)
        try:
            answer = ask_twice(factor, range(n), T_0, T_mult)
        except Mistake as error:
            cause = error.__cause__
            if T_mult == 1 and isinstance(cause, ZeroDivisionError | ValueError | NotFinite):
                raise Mistake(
                    f"{error}: if T_mult is 1 all cycles have one length. The sum of a geometric "
                    f"series and the logarithm to base T_mult need T_mult > 1."
                ) from error
            raise
        _expect_cycles(answer, steps, T_0, T_mult)
    for T_0, T_mult, t in ((10, 1, (20_000, 200_003)), (50, 2, (20_000, 1_000_000))):
        expect_far(factor, WarmRestarts(T_0, T_mult), t, T_0, T_mult)
    passed("every restart is on time, however long the cycles get.")


def _expect_cycles(answer: np.ndarray, t: np.ndarray, T_0: int, T_mult: int) -> None:
    """`answer` at the steps `t`, which begin at 0 and lie one apart."""
    T_cur, T_i = _cycles(t, lambda i: T_0 * T_mult**i)
    right = _cosine(T_cur, T_i)
    if close(answer, right):
        return
    where = f"with T_0={T_0}, T_mult={T_mult}: "
    for wrong, hint in _wrong_factors(t, T_0, T_mult):
        if close(answer, wrong):
            raise Mistake(where + hint)
    if answer[0] > 0 and not close(answer[0], 1) and close(answer / answer[0], right):
        raise Mistake(
            f"{where}the first step has {apart(answer[0], 1)[0]}. A factor is the rate over its "
            f"peak, and "
            f"begins at 1."
        )
    wrong = np.array([not close(a, b) for a, b in zip(answer, right, strict=True)])
    k = int(np.argmax(wrong))
    if (T_cur[wrong] == 0).all() and (np.abs(answer[wrong]) < 1e-6).all():
        raise Mistake(
            f"{where}all is well but for the step {k}, a restart, where your factor is 0. "
            f"Do you find the cycle by a logarithm? math.log(243, 3) is 4.999999999999999, and "
            f"int() makes it 4. Stay with whole numbers, or check the cycle you found."
        )
    given, wanted = apart(answer[k], right[k])
    raise Mistake(
        f"{where}step {k} has {given}, but the formula gives {wanted}: "
        f"{T_cur[k]:g} of the {T_i[k]:g} steps of its cycle are done."
    )


def _wrong_factors(t: np.ndarray, T_0: int, T_mult: int) -> Iterator[tuple[np.ndarray, str]]:
    """What the likely mistakes give at the steps `t`, and the hint to each."""

    def grown(i: int) -> int:
        return T_0 * T_mult**i

    T_cur, T_i = _cycles(t, grown)
    right = _cosine(T_cur, T_i)
    x = T_cur / T_i

    climbs = (
        "it climbs back where it should jump. That is torch's CosineAnnealingLR past T_max; here "
        "the first step of a cycle has the factor 1, and T_cur counts from there."
    )
    late = (
        f"every restart comes one step late. Step {T_0} is the first of the second cycle, not the "
        f"last of the first, and has the factor 1."
    )
    early = (
        "you are one step ahead. T_cur counts the steps of the cycle that are done: at its first "
        "step that is 0, and the factor is 1."
    )
    lengths = f"the cycles should have the lengths {T_0}, {grown(1)}, {grown(2)}, …: "
    yield _cosine(t, T_0), climbs
    yield (
        _cosine(np.minimum(t, T_0), T_0),
        "it stays at 0 after the first cycle. Where does the next one begin?",
    )
    yield np.where((T_cur == 0) & (t > 0), 0.0, right), late
    counted, one_more = _cycles(t, lambda i: grown(i) + 1)
    yield _cosine(counted, one_more), late
    yield _cosine(counted, one_more - 1), late
    yield np.concatenate([right[:1], right[:-1]]), late
    yield _cosine(T_cur + 1, T_i), early
    yield _cosine(*_cycles(t + 1, grown)), early
    if T_0 > 1:
        yield _cosine(*_cycles(t, lambda i: grown(i) - 1)), early
        yield (
            _cosine(T_cur, np.maximum(T_i - 1, 1)),
            "the last step of a cycle has the factor 0. In the formula 0 is reached after T_i "
            "steps, where the next cycle has begun: divide T_cur by T_i.",
        )
    if T_mult > 1:
        yield (
            _cosine(t % T_0, T_0),
            "all your cycles have the same length, which is right only if T_mult is 1.",
        )
        yield (
            _cosine(*_cycles(t, lambda i: T_0 + i * (T_mult - 1))),
            f"{lengths}you add T_mult - 1 to the length where it should be multiplied by T_mult.",
        )
        linear = f"{lengths}yours grow by the same amount each time. Multiply again and again."
        yield _cosine(*_cycles(t, lambda i: T_0 * (1 + i * (T_mult - 1)))), linear
        yield _cosine(*_cycles(t, lambda i: T_0 * (1 + i))), linear
        yield _cosine(*_cycles(t, lambda i: T_0 * max(1, T_mult * i))), linear
        yield (
            _cosine(*_cycles(t, lambda i: grown(i + 1))),
            f"{lengths}your first cycle is already T_mult times T_0 long. i counts from 0.",
        )
        yield (
            _cosine(*_cycles(t, lambda i: grown(max(i - 1, 0)))),
            f"{lengths}your second is as long as your first.",
        )
        yield (
            _cosine(t, T_i),
            "T_cur never falls: it is t itself. It should count from the start of the cycle, that "
            "is, without the steps of all the cycles before.",
        )
        yield (
            _cosine(T_cur, T_0),
            "the restarts are on time, but inside the later cycles the cosine runs too fast. "
            "Divide T_cur by the length of its own cycle.",
        )
        yield (
            _cosine(t % T_i, T_i),
            "T_cur is not t % T_i if the cycles before had other lengths. How many steps did all "
            "of them have together?",
        )
        yield (
            _cosine(t % T_0, T_0 * float(T_mult) ** (t // T_0)),
            "you take t // T_0 for the number of cycles that are over. Later cycles are longer "
            "than T_0.",
        )
        for rounded in (np.round, np.ceil):
            yield (
                _by_logarithm(t, T_0, T_mult, rounded),
                "some cycles begin before the one before is over. The cycle of step t is the last "
                "that has begun: round down.",
            )
    yield (
        _cosine(*_cycles(t, lambda i: T_0 + i * T_mult)),
        f"{lengths}you add T_mult to the length where it should be multiplied by T_mult.",
    )
    yield (
        np.cos(np.pi * x),
        "the factor falls to -1. Bring the cosine between 0 and 1.",
    )
    yield 1 + np.cos(np.pi * x), "the factor begins at 2. Half of it is wanted."
    yield np.cos(np.pi * x) / 2, "the factor falls below 0. Add 1 to the cosine before you halve."
    yield (1 - np.cos(np.pi * x)) / 2, "it rises inside a cycle. Look at the sign of the cosine."
    yield (
        np.cos(np.pi * x / 2),
        "that is a quarter of a cosine, which ends steeply. Take half.",
    )
    yield (
        (1 + np.cos(2 * np.pi * x)) / 2,
        "it falls and rises again within one cycle: that is a whole cosine, and half of one is "
        "wanted.",
    )
    yield (
        (1 + np.cos(x)) / 2,
        "a cycle does not come near 0. The angle goes from 0 to pi: is pi missing?",
    )
    yield (
        (1 + np.cos(180 * x)) / 2,
        "it jumps about inside a cycle. math.cos takes radians: half a turn is pi, not 180.",
    )
    yield 1 - x, "a cycle falls in a straight line. The formula has a cosine."


def _cycles(t: np.ndarray, length: Callable[[int], float]) -> tuple[np.ndarray, np.ndarray]:
    """(T_cur, T_i) at the ascending steps `t`, for cycles of `length(0)`, `length(1)`, …."""
    T_cur, T_i, start, i = [], [], 0.0, 0
    for step in t.tolist():
        while step >= start + length(i):
            start, i = start + length(i), i + 1
        T_cur.append(step - start)
        T_i.append(length(i))
    return np.array(T_cur, dtype=float), np.array(T_i, dtype=float)


def _by_logarithm(
    t: np.ndarray, T_0: int, T_mult: int, rounded: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    i = rounded(np.log(t / T_0 * (T_mult - 1) + 1) / np.log(T_mult))
    return _cosine(t - T_0 * (T_mult**i - 1) / (T_mult - 1), T_0 * T_mult**i)


def _cosine(T_cur: np.ndarray, T_i: np.ndarray | float) -> np.ndarray:
    return (1 + np.cos(np.pi * T_cur / T_i)) / 2


# --------------------------------------------------------------------------------------
# 2. A run that ends where a cycle does


@checker()
def check_first_cycle(first_cycle: Callable[[int, int, int], int]) -> None:
    """Exercise 2: ``first_cycle(total_steps, T_mult, cycles)``, the longest T_0 that fits."""
    for case in (
        (4000, 3, 4),  # 100 + 300 + 900 + 2700
        (1000, 2, 4),  # 66 fits; 67 is nearer, and does not
        (364, 3, 4),
        (300, 1, 3),
        (100, 1, 6),
        (50, 3, 1),
        (15, 2, 4),
    ):
        _expect_first_cycle(_whole(first_cycle, *case), *case)
    for case in ((14, 2, 4), (2, 1, 3)):
        total_steps, T_mult, cycles = case
        what = (
            f"{cycles} cycles do not fit into {total_steps} steps with T_mult={T_mult}, not even "
            f"with a first cycle of one step"
        )
        refused(first_cycle, *case, what=what)
    passed("your runs end where a cycle does, and no longer cycle would fit.")


def _whole(first_cycle: Callable[[int, int, int], int], *case: int) -> int:
    total_steps, T_mult, cycles = case
    try:
        answer = call(first_cycle, *case)
    except Mistake as error:
        if T_mult == 1 and isinstance(error.__cause__, ZeroDivisionError):
            raise Mistake(
                f"{error}: with T_mult = 1 the closed form of the sum divides by T_mult - 1 = 0. "
                f"How long are all the cycles together if every one has T_0 steps?"
            ) from error
        if isinstance(error.__cause__, ValueError):
            raise Mistake(
                f"{error}: but {cycles} cycles do fit, if the first is short enough. Only where "
                f"T_0 = 1 is too long there is nothing to return."
            ) from error
        raise
    where = f"for total_steps={total_steps}, T_mult={T_mult}, cycles={cycles} you returned "
    if isinstance(answer, bool | np.bool_) or not isinstance(answer, int | np.integer):
        if isinstance(answer, float | np.floating) and math.isfinite(answer):
            raise Mistake(
                f"{where}{float(answer):.6g}, a float. T_0 counts steps: make it an int, in the "
                f"direction in which the cycles still fit."
            )
        raise Mistake(f"{where}{short(answer)}: return one whole number, the T_0 to use.")
    if answer < 1:
        raise Mistake(f"{where}{answer}: a cycle has at least one step.")
    return int(answer)


def _expect_first_cycle(T_0: int, total_steps: int, T_mult: int, cycles: int) -> None:
    powers = [T_mult**i for i in range(cycles)]
    right = total_steps // sum(powers)
    if T_0 == right:
        return

    def fits(length: int) -> set[int]:
        """The T_0 for a run of that many times T_0, rounded in either way."""
        return {math.floor(total_steps / length), math.ceil(total_steps / length)}

    end = T_0 * sum(powers)
    where = (
        f"for total_steps={total_steps}, T_mult={T_mult}, cycles={cycles} you returned {T_0}, with "
        f"which the last cycle ends at step {end}: "
    )
    if T_0 == right + 1 and total_steps % sum(powers):
        raise Mistake(
            f"{where}you rounded up. The run stops at step {total_steps}, before its last cycle is "
            f"over."
        )
    mistakes = []
    if cycles > 1:
        if T_mult > 1:
            mistakes += [
                (
                    fits(cycles),
                    "the cycles do not have the same length. How many times T_0 is the second one, "
                    "and the third?",
                ),
                (
                    fits(T_mult ** (cycles - 1)),
                    "that makes the last cycle as long as the whole run. The ones before it take "
                    "steps too.",
                ),
                (
                    fits(T_mult**cycles),
                    "T_mult to the power cycles is not the sum of the lengths. Write the lengths "
                    "of the first three down, in units of T_0.",
                ),
                (
                    fits(cycles * T_mult),
                    "the length is multiplied by T_mult again with every cycle, so the sum is not "
                    "cycles times T_mult.",
                ),
                (
                    fits(sum(1 + i * (T_mult - 1) for i in range(cycles))),
                    "you let the cycles grow by the same amount each time. They grow by the same "
                    "factor.",
                ),
            ]
        mistakes += [
            (
                fits(sum(powers) + T_mult**cycles),
                "your sum has one cycle too many. The first is T_mult ** 0 times T_0 long.",
            ),
            (
                fits(sum(powers[:-1])),
                "your sum is one cycle short. How many times T_0 is the last one long?",
            ),
        ]
    if T_0 in (total_steps, right * sum(powers)):
        raise Mistake(
            f"{where}that is the length of the whole run. T_0 is the length of its first cycle."
        )
    for wrong, hint in mistakes:
        if T_0 in wrong:
            raise Mistake(where + hint)
    if end > total_steps:
        raise Mistake(f"{where}that is more than there are.")
    raise Mistake(f"{where}that fits, but a longer first cycle would too.")


# --------------------------------------------------------------------------------------
# 3. What is wrong with this experiment?


def colleague() -> dict[str, Any]:
    """The settings of the experiment that is to be repaired, by the names of its arguments."""
    return {
        "T_0": 75,
        "cycles": 4,
        "peaks": [0.05, 0.1, 0.2, 0.4, 0.8],
        "tuning_seeds": seeds(4, "tune"),
        "seeds": seeds(20),
    }


def start(peak: float, seed: int) -> Run:
    """Begin a run on the noisy quadratic of the chapters, with gradients that are drawn.

    Returns the SGD optimizer, whose rate is `peak`; ``update()``, which makes one optimizer step
    with the gradient of one sample; and ``loss()``, the loss ½ Σ hᵢ θᵢ² of the present weights.
    `seed` sets the initial weights and the noise.
    """
    return _runs.start(peak, seed, batch_size=1)


@checker()
def check_flaws(flaws: Callable[[], set[str]]) -> None:
    """Exercise 3a: which of the statements A to E name a flaw of the experiment."""
    hints = {
        "A": "the minimum of four noisy numbers is lower than one of them, even if nothing is "
        "better. How many tries does each rival have?",
        "B": "that is how it should be: a peak that was lucky on some seeds has no advantage on "
        "others.",
        "C": "where does the 0.1 come from, and how many peaks did the restarts get to try?",
        "D": "scheduler.step() sets the next rate. Does it change the weights?",
        "E": "which rates does torch's CosineAnnealingLR give after T_max? lrlib.LRTrace on "
        "the optimizer shows what was applied.",
    }
    letters(flaws, {"A", "C", "E"}, hints)
    passed("no restart, one rival tuned, and the best snapshot against the last.")


@dataclass
class _Small:
    """A comparison small enough to look at every run of it."""

    T_0: int
    cycles: int
    peaks: tuple[float, ...]
    tuning_seeds: tuple[int, ...]
    seeds: tuple[int, ...]

    @property
    def steps(self) -> int:
        return self.T_0 * self.cycles

    @property
    def rivals(self) -> dict[str, np.ndarray]:
        """The factors that either rival should apply."""
        return {
            "long cosine": CosineAnnealing(self.steps).sample(self.steps),
            "restarts": WarmRestarts(self.T_0).sample(self.steps),
        }


# In the first, every mistake we know gives other numbers; a test holds this.
_SMALL = (
    _Small(5, 4, (0.25, 0.35, 0.5, 0.7, 1.0, 1.4), (4, 0, 29), (11, 5, 15, 23)),
    _Small(7, 3, (0.3, 0.6, 1.2), (8, 1), (6, 2)),
)


@dataclass
class _Watched:
    peak: float
    seed: int
    trace: LRTrace
    updates: int = 0

    @property
    def factors(self) -> np.ndarray:
        return self.trace.lr[:, 0] / self.peak


@checker()
def check_compare(compare: Callable[..., np.ndarray], settings: Mapping | None = None) -> None:
    """Exercise 3b: ``compare(start, T_0, cycles, peaks, tuning_seeds, seeds)``, repaired.

    `settings` are those of the colleague; if given, the repaired experiment is run with them.
    """
    for small in _SMALL:
        runs: list[_Watched] = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's on the order of the calls: the hint is ours
            answer = call(
                compare,
                _watched_start(runs, small),
                small.T_0,
                small.cycles,
                list(small.peaks),
                list(small.tuning_seeds),
                list(small.seeds),
            )
        _expect_fair_runs([run for run in runs if len(run.trace)], small)
        _expect_gains(answer, small)
    result = ""
    if settings is not None:
        from scipy import stats

        names = ("T_0", "cycles", "peaks", "tuning_seeds", "seeds")
        gain = numbers(call(compare, start, *(settings[name] for name in names)), "an array")
        half = stats.sem(gain) * stats.t.ppf(0.975, gain.size - 1)  # 95 % interval
        result = f" On the colleague's runs, restarts gain {gain.mean():+.3f} ± {half:.3f}."
    passed(f"both rivals tuned, restarted where they should be, and judged at the end.{result}")


def _watched_start(runs: list[_Watched], small: _Small) -> Start:
    """A start whose losses follow a formula, and whose runs are kept in `runs`."""

    # Ten times the runs that are asked for, all of their updates and losses.
    runs_due = 2 * len(small.peaks) * (len(small.tuning_seeds) + len(small.seeds))
    limit = Limit(10 * runs_due * (2 * small.steps + 1), "calls of what it was given")

    def start(peak: float, seed: int) -> Run:
        limit()
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=peak)
        optimizer.register_step_pre_hook(limit.hook)
        trace = LRTrace(optimizer)
        known = among(peak, small.peaks)
        run = _Watched(float(peak) if known is None else known, operator.index(seed), trace)
        runs.append(run)

        def update() -> None:
            run.updates += 1
            optimizer.step()

        def loss() -> float:
            limit()
            return _small_loss(trace.lr[:, 0] if len(trace) else np.array([]), run.seed)

        return optimizer, update, loss

    return start


def _small_loss(rates: np.ndarray, seed: int) -> float:
    """A noisy quadratic in two directions, in expectation; what is measured of it has an error."""
    h = np.array([1.0, 0.1])
    noise = h * random.Random(f"noise {seed}").uniform(0.2, 1.2)
    e = np.array([1.0, 4.0])
    for rate in rates:
        e = (1 - rate * h) ** 2 * e + rate**2 * noise
    error = random.Random(f"{seed} {len(rates)}").uniform(-0.25, 0.25)
    return float(h @ e / 2 * (1 + error))


def _expect_fair_runs(runs: list[_Watched], small: _Small) -> None:
    """Which rates were applied, with which peaks, on which seeds."""
    if not runs:
        raise Mistake(
            "no run made an update. Begin each run by start(peak, seed), and call its update() "
            "once for every step."
        )
    where = f"with T_0={small.T_0} and cycles={small.cycles} "
    done: dict[str, set[tuple[float, int]]] = {rival: set() for rival in small.rivals}
    for run in runs:
        if run.peak not in small.peaks:
            raise Mistake(
                f"a run was started with the peak {run.peak:g}, which is not among the peaks "
                f"{list(small.peaks)}. Where does it come from?"
            )
        if run.seed not in (*small.tuning_seeds, *small.seeds):
            raise Mistake(
                f"a run was started with the seed {run.seed}, which is neither among the "
                f"tuning_seeds {list(small.tuning_seeds)} nor the seeds {list(small.seeds)}."
            )
        if run.updates != len(run.trace):
            raise Mistake(
                "optimizer.step() was called by itself, without a gradient. update() computes one "
                "and makes the step."
            )
        if len(run.trace) != small.steps:
            raise Mistake(
                f"{where}a run made {len(run.trace)} updates. Each rival has cycles * T_0 = "
                f"{small.steps} of them, and ends at the end of a cycle."
            )
        done[_rival(run, small, where)].add((run.peak, run.seed))
    for rival, other in (("long cosine", "restarts"), ("restarts", "long cosine")):
        if not done[rival]:
            raise Mistake(
                f"every run followed the schedule of the {other}. Where is the one of the {rival}?"
            )
    _expect_tuning(done, small)
    used = {rival: {seed for _, seed in done[rival]} for rival in done}
    for rival, seen in used.items():
        if missing := sorted(set(small.seeds) - seen):
            raise Mistake(
                f"the {rival} made no run on the seeds {missing}. Both rivals are compared on "
                f"each of the seeds {list(small.seeds)}."
            )


def _rival(run: _Watched, small: _Small, where: str) -> str:
    """Whose schedule the run followed; a hint if nobody's."""
    factors, T_0, steps = run.factors, small.T_0, small.steps
    for rival, planned in small.rivals.items():
        if close(factors, planned):
            return rival
    t, late = np.arange(steps), "The scheduler was not stepped after the first update."
    order = "Call update() first and scheduler.step() after it, once each."
    twice = "went by at twice its speed. Step the scheduler once for each update."
    mistakes = [
        (
            _cosine(t, T_0),
            f"the rate of a run fell for {T_0} steps and climbed back for {T_0}: that is "
            f"CosineAnnealingLR, which does not restart. Look for a schedule that does.",
        ),
        (
            _cosine(np.minimum(t, T_0), T_0),
            f"the rate of a run fell to 0 in {T_0} steps and stayed there. One cosine of T_0 steps "
            f"does not restart.",
        ),
        (
            np.ones(steps),
            "the rate of a run never changed. Was the scheduler built for the optimizer of this "
            "run, and stepped after every update?",
        ),
        *(
            (
                _cosine(counted, small.cycles),
                "a cosine of a run ended after as many steps as there are cycles. T_max and T_0 "
                "count steps.",
            )
            for counted in (t, t % small.cycles, np.minimum(t, small.cycles))
        ),
        (
            _cosine(t // T_0, small.cycles),
            f"the rate of a run changed only every {T_0} steps. Step the scheduler after every "
            f"update, not after every cycle.",
        ),
        (
            np.where((t % T_0 == 0) & (t > 0), 0.0, _cosine(t % T_0, T_0)),
            f"a run restarted one step late. Step {T_0} is the first of the second cycle.",
        ),
        (
            _cosine(*_cycles(t, lambda i: T_0 * 2**i)),
            f"each cycle of a run was twice as long as the one before, so that it stopped inside a "
            f"cycle. All {small.cycles} cycles are to have T_0 steps: T_mult is 1.",
        ),
    ]
    longer = {
        "long cosine": CosineAnnealing(steps).sample(2 * steps),
        "restarts": WarmRestarts(T_0).sample(2 * steps),
    }
    for rival, plan in longer.items():
        plain = plan[:steps]
        mistakes += [
            (plan[1 : steps + 1], f"the rates of the {rival} came one step early. {order}"),
            (np.append(plain[:1], plain[:-1]), f"the rates of the {rival} came one late. {late}"),
            (plan[::2], f"the {rival} {twice}"),
            (plan[1::2], f"the {rival} {twice}"),
            (
                plain**2,
                f"the factor of the {rival} was applied twice. Is there more than one scheduler "
                f"on the optimizer?",
            ),
            (
                plain / run.peak,
                f"the factors of the {rival} were applied as rates. The rate is the peak, which "
                f"the optimizer has, times the factor.",
            ),
        ]
    for wrong, hint in mistakes:
        if close(factors, wrong):
            raise Mistake(f"{where}{hint}")
    k = {
        rival: next(t for t in range(steps) if not close(factors[t], planned[t]))
        for rival, planned in small.rivals.items()
    }
    rival = max(k, key=lambda name: k[name])
    given, wanted = apart(factors[k[rival]], small.rivals[rival][k[rival]])
    raise Mistake(
        f"{where}a run followed neither schedule. It agrees with the {rival} up to step "
        f"{k[rival]}, where it applied {given} times its peak, not {wanted} times."
    )


def _expect_tuning(done: Mapping[str, set[tuple[float, int]]], small: _Small) -> None:
    """Each rival must have run with every peak on every tuning seed."""
    wanted = {(peak, seed) for peak in small.peaks for seed in small.tuning_seeds}
    judged = {(peak, seed) for peak in small.peaks for seed in small.seeds}
    untuned = {rival: wanted - pairs for rival, pairs in done.items()}
    if not any(untuned.values()):
        return
    for rival in done:
        if untuned[rival] and judged <= done[rival]:
            raise Mistake(
                f"the peak of the {rival} was looked for on the seeds of the comparison, where it "
                f"then looks better than it is. That is what tuning_seeds are for."
            )
    if all(len({peak for peak, _ in pairs}) == 1 for pairs in done.values()):
        raise Mistake("only one peak was tried. Each rival is to have the best of the peaks.")
    for rival, other in (("long cosine", "restarts"), ("restarts", "long cosine")):
        if untuned[rival] == wanted and not untuned[other]:
            raise Mistake(
                f"you looked for a peak for the {other} alone. What is best for one rival need not "
                f"be best for the other: the {rival} should try every peak too."
            )
    rival = max(untuned, key=lambda name: len(untuned[name]))
    raise Mistake(
        f"the {rival} tried {len(wanted) - len(untuned[rival])} of the {len(wanted)} pairs of a "
        f"peak and a tuning seed. The lowest mean needs all of them."
    )


def _expect_gains(answer: Any, small: _Small) -> None:
    n = len(small.seeds)
    gains = numbers(answer, "an array with one difference for each seed")
    if gains.shape != (n,):
        raise Mistake(
            f"return one difference for each of the {n} seeds, shape ({n},), not shape "
            f"{gains.shape}: whoever reads it needs the spread."
        )
    if not np.isfinite(gains).all():
        raise Mistake(f"your differences are {gains.tolist()}; each should be a finite number.")
    right, mistakes = _gains(small)
    if np.allclose(gains, right, rtol=1e-6):
        return
    for wrong, hint in mistakes:
        if np.allclose(gains, wrong, rtol=1e-6):
            raise Mistake(hint)
    raise Mistake(
        "the runs were right, but what you returned is not, seed by seed, the final loss of the "
        "long cosine minus that of the restarts, each with its best peak."
    )


def _gains(small: _Small) -> tuple[np.ndarray, list[tuple[np.ndarray, str]]]:
    """The right differences, and those of the likely mistakes, each with its hint."""
    seeds = (*small.tuning_seeds, *small.seeds)
    ends = range(small.T_0, small.steps + 1, small.T_0)
    losses = {  # at the end of every cycle: shape (peaks, seeds, cycles)
        rival: np.array(
            [
                [[_small_loss(peak * factors[:end], seed) for end in ends] for seed in seeds]
                for peak in small.peaks
            ]
        )
        for rival, factors in small.rivals.items()
    }
    tuning = slice(0, len(small.tuning_seeds))
    judging = slice(len(small.tuning_seeds), None)
    last = {rival: table[..., -1] for rival, table in losses.items()}
    least = {rival: table.min(-1) for rival, table in losses.items()}

    def peak(table: np.ndarray, on: slice = tuning) -> int:
        return int(table[:, on].mean(1).argmin())

    def judged(table: np.ndarray, peak: int) -> np.ndarray:
        return table[peak, judging]

    best = {rival: peak(table) for rival, table in last.items()}
    long, restarts = (judged(last[rival], best[rival]) for rival in ("long cosine", "restarts"))
    snapshot = peak(least["restarts"])
    right = long - restarts
    own = (
        "the restarts are still judged by the best of their snapshots, the long cosine by its "
        "end. Take the loss after the last update for both."
    )
    both = (
        "both rivals are judged by the lowest of several losses. The one whose losses vary more "
        "gains by that; take the loss after the last update."
    )
    lucky = (
        "the peak is that of the single best run. One lucky seed is not a good peak: compare the "
        "means over the tuning seeds."
    )
    each = "each seed got the peak that is best on this seed. Choose one peak on the tuning seeds."
    one = "both rivals use the peak that is best for the {}. Each is to have its own."

    def judged_by(choose: Callable[[np.ndarray], int]) -> np.ndarray:
        a, b = (judged(last[rival], choose(last[rival])) for rival in ("long cosine", "restarts"))
        return a - b

    mistakes = [
        (-right, "the sign is turned round: positive should mean that restarts have less loss."),
        (long - judged(least["restarts"], best["restarts"]), own),
        (long - judged(least["restarts"], snapshot), own),
        (
            long - judged(last["restarts"], snapshot),
            "the peak of the restarts is chosen by their best snapshot, and then judged by the "
            "end. Tune by the loss you judge by.",
        ),
        (
            judged(least["long cosine"], best["long cosine"])
            - judged(least["restarts"], best["restarts"]),
            both,
        ),
        (
            judged(least["long cosine"], peak(least["long cosine"]))
            - judged(least["restarts"], snapshot),
            both,
        ),
        *(
            (
                judged(last["long cosine"], best[rival]) - judged(last["restarts"], best[rival]),
                one.format(rival),
            )
            for rival in best
        ),
        (
            judged_by(lambda table: peak(table, judging)),
            "the peaks were chosen on the seeds of the comparison, where they then look better "
            "than they are. That is what tuning_seeds are for.",
        ),
        (
            judged_by(lambda table: peak(table, slice(None))),
            "the peaks were chosen with the help of the seeds of the comparison. Leave those out "
            "until the peaks are fixed.",
        ),
        (
            judged_by(lambda table: int(table[:, tuning].min(1).argmin())),
            lucky,
        ),
        (
            judged_by(lambda table: int(table[:, tuning].mean(1).argmax())),
            "you chose the peaks with the highest loss. Lower is better.",
        ),
        (last["long cosine"][:, judging].min(0) - last["restarts"][:, judging].min(0), each),
        (
            np.sort(long) - np.sort(restarts),
            "the losses were sorted before they were subtracted. Subtract those of the same seed.",
        ),
        (
            right[np.argsort(small.seeds)],
            "the differences are right, but come in another order than the seeds.",
        ),
        (
            np.full(len(right), right.mean()),
            "every entry is the mean. Return the differences of the single seeds.",
        ),
        (
            judged(losses["long cosine"].mean(-1), best["long cosine"])
            - judged(losses["restarts"].mean(-1), best["restarts"]),
            "you averaged the losses at the ends of all cycles. A run is for its last loss.",
        ),
    ]
    return right, mistakes


# --------------------------------------------------------------------------------------
# 4. An ensemble of snapshots


@checker("lrlib.warm_restarts", "ensemble_probabilities")
def check_predict(predict: Callable[[list[nn.Module], torch.Tensor], torch.Tensor]) -> None:
    """Exercise 4: ``predict(models, inputs)``, the classes of an ensemble of snapshots."""
    for models, inputs in (_snapshots(3, 4, 60), _snapshots(5, 3, 1)):
        n, classes = len(inputs), models[0][-1].out_features
        before = copy.deepcopy(models)
        modes = [[module.training for module in model.modules()] for model in models]
        with _watch(models) as seen, torch.enable_grad(), torch.random.fork_rng(devices=[]):
            answer = call(predict, models, inputs.clone())
            switched_off = not torch.is_grad_enabled()
        answer = _classes(answer, n, classes)
        _expect_untouched(models, before, seen, switched_off)
        _expect_modes(models, modes)
        _expect_classes(answer, before, inputs)
    passed("mean probabilities, in eval mode, and the models are as they were.")


def _snapshots(n_models: int, classes: int, n: int) -> tuple[list[nn.Module], torch.Tensor]:
    """Models of one shape that disagree, in several modes, and inputs without a close decision."""
    generator = torch.Generator().manual_seed(classes)
    models = []
    for i in range(n_models):
        model = nn.Sequential(
            nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, classes)
        )
        with torch.no_grad():
            for tensor in (*model.parameters(), model[1].running_mean):
                tensor.copy_(torch.randn(tensor.shape, generator=generator))
            model[-1].weight.mul_((0.2, 1.5, 0.5)[i % 3])  # some are surer of themselves
        models.append(model)
    models[1].eval()
    models[2][1].eval()  # a frozen batch norm in a model that is being trained
    inputs = torch.randn(40 * n, 6, generator=generator)
    two = ensemble_probabilities(models, inputs).topk(2).values
    kept = (two[:, 0] - two[:, 1] > 0.01).nonzero()[:n, 0]
    return models, inputs[kept]


@contextmanager
def _watch(models: list[nn.Module]) -> Iterator[dict[str, bool]]:
    """Says whether anything ran in training mode, or recorded a gradient, meanwhile."""
    seen = {"called": False, "training": False, "gradient": False}
    limit = Limit(10_000, "calls of the models")

    def record(module: nn.Module, _: tuple, output: torch.Tensor) -> None:
        limit()
        seen["called"] = True
        if isinstance(module, nn.BatchNorm1d | nn.Dropout):
            seen["training"] |= module.training
        # Where no weight asks for a gradient, none is recorded.
        seen["gradient"] |= output.requires_grad

    handles = [layer.register_forward_hook(record) for model in models for layer in model]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _classes(answer: Any, n: int, classes: int) -> torch.Tensor:
    if isinstance(answer, tuple) and hasattr(answer, "indices"):
        raise Mistake(
            "max over an axis returns two things, the largest values and their positions. Which "
            "of them is the class?"
        )
    try:
        answer = torch.as_tensor(answer)
    except Exception:
        raise Mistake(f"return a tensor of classes, not {short(answer)}.") from None
    if answer.shape == (n, classes):
        rows = answer.real.double().sum(1)
        what = "probabilities" if torch.allclose(rows, torch.ones(n).double()) else "scores"
        raise Mistake(
            f"you returned {what}, shape ({n}, {classes}). The class of an input is the position "
            f"of the largest in its row."
        )
    if answer.shape != (n,):
        raise Mistake(
            f"return one class for each of the {n} inputs, shape ({n},), not shape "
            f"{tuple(answer.shape)}. There were {classes} classes: look at the axis of each of "
            f"your operations."
        )
    if answer.is_floating_point() or answer.is_complex() or answer.dtype == torch.bool:
        raise Mistake(
            f"classes are whole numbers from 0 to {classes - 1}; you returned {answer.dtype}, "
            f"beginning with {answer[0].item():.4g}. Is it the largest probability, and not its "
            f"position?"
        )
    return answer.detach().cpu().long()


def _expect_untouched(
    models: list[nn.Module], before: list[nn.Module], seen: dict[str, bool], switched_off: bool
) -> None:
    if not seen["called"]:
        raise Mistake("no model was called. Each of models is to predict from the inputs.")
    if seen["training"]:
        raise Mistake(
            "a model was called with a dropout or a batch norm in training mode: dropout then "
            "draws, and batch norm uses (and changes) the statistics of your inputs. Every model "
            "needs eval() before it is called."
        )
    for model, old in zip(models, before, strict=True):
        pairs = zip(model.parameters(), old.parameters(), strict=True)
        if any(p.requires_grad != q.requires_grad for p, q in pairs):
            raise Mistake(
                "your function changed requires_grad of a model's weights. They could be trained "
                "no longer: use a context instead."
            )
    if seen["gradient"]:
        raise Mistake(
            "the models were called while gradients are recorded, which costs memory for nothing. "
            "Which context of torch turns that off?"
        )
    if switched_off:
        raise Mistake(
            "your function switched gradients off and left them off: the training that goes on "
            "after it would fail. Use a context, which restores them."
        )
    for model, old in zip(models, before, strict=True):
        now, then = model.state_dict(), old.state_dict()
        if any(not torch.equal(now[name], then[name]) for name in then):
            raise Mistake(
                "your function changed the weights of a model. They are snapshots to be kept: "
                "average what the models return, not what they are made of."
            )


def _expect_modes(models: list[nn.Module], modes: list[list[bool]]) -> None:
    for i, (model, then) in enumerate(zip(models, modes, strict=True)):
        now = [module.training for module in model.modules()]
        if now == then:
            continue
        if not any(now):
            raise Mistake(
                f"models[{i}] was in training mode, and your function left it in eval mode. "
                f"Training that goes on would have no dropout: put back what you found."
            )
        if not any(then):
            raise Mistake(
                f"models[{i}] was in eval mode, and your function left it in training mode. Put "
                f"back the mode you found, not always the same."
            )
        raise Mistake(
            f"models[{i}] is in training mode again, but one of its layers was in eval mode, a "
            f"frozen batch norm. train() sets every layer: note the mode of each of "
            f"model.modules(), and put each back."
        )


def _expect_classes(answer: torch.Tensor, models: list[nn.Module], inputs: torch.Tensor) -> None:
    probabilities = ensemble_probabilities(models, inputs)
    right = probabilities.argmax(1)
    if torch.equal(answer, right):
        return
    for wrong, hint in _wrong_classes(models, inputs):
        if torch.equal(answer, wrong):
            raise Mistake(hint)
    votes = _votes(models, inputs)
    majority = votes.max(1).values > len(models) / 2
    if torch.equal(answer[majority], votes.argmax(1)[majority]):
        raise Mistake(
            "you let the models vote. A vote forgets how sure each of them was: average their "
            "probabilities, and then choose the class."
        )
    i = int((answer != right).nonzero()[0, 0])
    shown = ", ".join(f"{p:.2f}" for p in probabilities[i])
    raise Mistake(
        f"for one of the inputs the mean probabilities are {shown}, and you returned class "
        f"{int(answer[i])}."
    )


def _wrong_classes(
    models: list[nn.Module], inputs: torch.Tensor
) -> Iterator[tuple[torch.Tensor, str]]:
    """What the likely mistakes predict, and the hint to each."""
    with torch.no_grad():
        logits = torch.stack([copy.deepcopy(model).eval()(inputs) for model in models])
    each = logits.softmax(-1)
    mean = each.mean(0)
    weights = "you averaged the weights of the models. Average what they return."
    yield (
        logits.mean(0).argmax(1),
        "you averaged logits (or logarithms of probabilities, which comes to the same). A model "
        "with large logits then outvotes the others: turn each model's logits into probabilities "
        "first.",
    )
    yield each[-1].argmax(1), "only the last model counts. Is the result overwritten in a loop?"
    yield each[0].argmax(1), "only the first model counts. Does a loop return too early?"
    if len(inputs) > 1:
        yield (
            logits.softmax(1).mean(0).argmax(1),
            "your softmax runs over the inputs. The probabilities of one input sum to 1 over its "
            "classes: which axis is that?",
        )
    yield (
        logits.softmax(0).mean(0).argmax(1),
        "your softmax runs over the models. The probabilities of one input sum to 1 over its "
        "classes: which axis is that?",
    )
    yield (
        logits.softmax(0).sum(0).argmax(1),
        "your softmax runs over the models. The probabilities of one input sum to 1 over its "
        "classes: which axis is that?",
    )
    yield (
        logits.sigmoid().mean(0).argmax(1),
        "those are sigmoids. Probabilities of classes that exclude each other come from softmax.",
    )
    yield (
        each.amax(0).argmax(1),
        "the model that is surest decides alone. Average the probabilities of all.",
    )
    running = each[0]
    for later in each[1:]:
        running = (running + later) / 2
    yield (
        running.argmax(1),
        "halving after each model gives the last one half of the weight. Every model counts the "
        "same.",
    )
    yield mean.argmin(1), "you chose the least probable class."
    yield mean.argmax(1) + 1, "classes count from 0."
    merged = copy.deepcopy(models[0]).eval()
    states = [model.state_dict() for model in models]
    for names in (dict(merged.named_parameters()), merged.state_dict()):
        average = {name: sum(state[name] for state in states) / len(states) for name in names}
        merged.load_state_dict(average, strict=False)
        with torch.no_grad():
            yield merged(inputs).argmax(1), weights


def _votes(models: list[nn.Module], inputs: torch.Tensor) -> torch.Tensor:
    """How many models choose each class, shape (n, classes)."""
    with torch.no_grad():
        logits = torch.stack([copy.deepcopy(model).eval()(inputs) for model in models])
    return nn.functional.one_hot(logits.argmax(-1), logits.shape[-1]).sum(0)


# --------------------------------------------------------------------------------------
# 5. Good whenever it is stopped

STOPS = (200, 500, 1000)
_PEAKS = np.geomspace(0.005, 1, 121)  # of the largest rate, as a share of the stability limit


@checker()
def check_anytime(anytime: Callable[[], Schedule]) -> None:
    """Exercise 5: at every stop no worse than a cosine that was planned for this stop."""
    answer = schedule(anytime, example="WarmRestarts(100)")
    factors = sampled(answer, STOPS[-1])
    if not factors.any():
        raise Mistake("all your factors are 0, so nothing moves, whatever the peak.")
    peak, ratios = _at_stops(factors)
    parts = [f"{ratio:.2f} after {stop:,}" for ratio, stop in zip(ratios, STOPS, strict=True)]
    each = f"{', '.join(parts[:-1])} and {parts[-1]} steps"
    worst = ratios.max()
    if round(worst, 3) > 1:
        raise Mistake(
            f"at your best peak, {peak:.3g}, the ratios are {each}, and the worst, "
            f"{apart(worst, 1)[0]}, is above 1. {_why_not(factors, peak, ratios)}"
        )
    if (np.diff(factors) <= 0).all():
        also = "Yours never rises: on this problem, being ready takes no restart."
    else:
        also = (
            "You know the stops. Constant(total_iters=120).then(InverseTimeDecay(1, 14)) never "
            "rises, has 0.92 as its worst, and was below 1 wherever else we stopped it from step "
            "150 on."
        )
    passed(f"the ratios are {each}, at your best peak, {peak:.3g}. {also}")


@cache
def _stopped() -> tuple[NoisyQuadratic, NoisyQuadratic, np.ndarray]:
    """The problem, the same without noise, and the planned cosines' losses, one per stop."""
    quadratic = NoisyQuadratic(batch_size=256)
    planned = [quadratic.tune(CosineAnnealing(stop), stop)[1] for stop in STOPS]
    return quadratic, NoisyQuadratic(gradient_variance=0, batch_size=256), np.array(planned)


def _ratios(rates: np.ndarray) -> np.ndarray:
    """The loss at every stop over that of the cosine planned for it, shape (…, stops)."""
    quadratic, _, planned = _stopped()
    return quadratic.loss(rates)[..., STOPS] / planned


def _at_stops(factors: np.ndarray) -> tuple[float, np.ndarray]:
    """The peak with the lowest worst ratio, and all ratios at it."""
    shape = factors / factors.max()
    peaks = _PEAKS * _stopped()[0].stability_limit()
    for _ in range(4):  # each time between the neighbours of the best
        ratios = _ratios(peaks[:, None] * shape)
        i = int(ratios.max(-1).argmin())
        best, at_best = peaks[i], ratios[i]
        peaks = np.geomspace(peaks[max(i - 1, 0)], peaks[min(i + 1, len(peaks) - 1)], 21)
    return float(best / factors.max()), at_best


def _why_not(factors: np.ndarray, peak: float, ratios: np.ndarray) -> str:
    """What is wrong at the worst stop, or at those that are about as bad."""
    quadratic, noiseless, planned = _stopped()
    rates = peak * factors
    bad = [i for i in range(len(STOPS)) if ratios[i] > 0.97 * ratios.max()]
    for i in bad:
        begin, stop = (0, *STOPS)[i : i + 2]
        if not factors[begin:stop].any():
            begin = int(np.append(0, np.flatnonzero(factors[:stop]) + 1)[-1])
            return f"From step {begin} to step {stop} all your factors are 0, so nothing moves."

    # The last rate before the stop: where would the loss settle if it went on for ever?
    last = rates[np.array(STOPS) - 1]
    floors = [quadratic.noise_floor(r) if r > 0 else 0.0 for r in last] / planned
    i = max(bad, key=lambda i: floors[i])
    if floors[i] > 1:
        settles = f"settles at {floors[i]:.2g} times the loss of the planned cosine"
        return (
            f"The last rate before the stop at {STOPS[i]} is {last[i]:.2g}, and a run at this rate "
            f"{settles if np.isfinite(floors[i]) else 'does not settle at all'}. You are stopped "
            f"at a high rate."
        )

    distance = noiseless.loss(rates)[list(STOPS)] / planned / ratios
    higher = _ratios(1.02 * rates) < ratios
    up, down = [i for i in bad if higher[i]], [i for i in bad if not higher[i]]
    if up and down:
        return (
            f"A higher peak would help after {STOPS[up[0]]:,} steps, where {distance[up[0]]:.0%} "
            f"of your loss is distance still to go, and a lower one after {STOPS[down[0]]:,}, "
            f"where {1 - distance[down[0]]:.0%} is noise. All stops share the peak. Which of your "
            f"factors are too high, compared with which?"
        )
    i = int(ratios.argmax())
    return (
        f"After {STOPS[i]:,} steps {distance[i]:.0%} of your loss is distance still to go, and "
        f"the rest is noise. {_advice(factors, peak)}"
    )


def _advice(factors: np.ndarray, peak: float) -> str:
    """What to change between two stops: of several changes, the one that helps most."""
    hints, changed = [], []
    for begin, end in zip((0, *STOPS[:-1]), STOPS, strict=True):
        t = np.arange(end - begin) / (end - begin)
        part = factors[begin:end]
        span = f"between step {begin} and step {end}"
        low = f"Your factors {span} are low, compared with the others."
        high = f"Your factors {span} are high, compared with the others."
        for hint, other in (
            (low, 1.2 * part),
            (low, 4 * part),
            (high, part / 1.2),
            (high, part / 4),
            (f"What falls {span} falls too early.", part[(len(t) * t**1.4).astype(int)]),
            (f"What falls {span} falls too late.", part[(len(t) * t**0.7).astype(int)]),
        ):
            hints.append(hint)
            changed.append(np.concatenate([factors[:begin], other, factors[end:]]))
    shapes = np.array([other / other.max() for other in changed])
    limit = _stopped()[0].stability_limit()
    peaks = np.minimum(peak * factors.max() * np.geomspace(0.6, 1.6, 41), limit)
    worst = _ratios(peaks[:, None] * shapes[:, None, :]).max(-1).min(-1)
    return hints[int(np.argmin(worst))]
