"""Checkers of chapter 15."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lrlib.exercises import Ask, Mistake, exercise, parts, to_number, to_numbers
from lrlib.exercises.choosing_league import check_mine

__all__ = ["check_bought", "check_mine", "check_regret", "check_shares"]


def _valleys(seed: int, recipes: int, peaks: int, seeds: int, lost: int = 0) -> np.ndarray:
    """Made-up errors, (recipes, peaks, seeds): a valley over the peaks for each recipe, and noise.

    At the `lost` highest peaks all runs diverge.
    """
    rng = np.random.default_rng(seed)
    grid = np.arange(peaks) - rng.uniform(1, peaks - 2 - lost, (recipes, 1))
    level = rng.uniform(10, 13, (recipes, 1))
    errors = (level + 0.5 * grid**2)[:, :, None] + rng.normal(0, 1, (recipes, peaks, seeds))
    errors[:, peaks - lost :] = np.nan
    return errors


# --- 1. Regret, tuned and judged apart


def _pick(val: np.ndarray, test: np.ndarray) -> np.ndarray:
    return np.nanargmin(val[:, :, 0], axis=1)


def _at(errors: np.ndarray, at: np.ndarray) -> np.ndarray:
    """(recipes, seeds): each recipe at its peak."""
    return errors[np.arange(len(errors)), at]


def _behind(
    pick: Callable[..., np.ndarray] = _pick,
    judge: Callable[..., np.ndarray] = lambda val, test, at: _at(test, at)[:, 1:].mean(1),
    less: Callable[[np.ndarray], Any] = np.min,
):
    """Regret, with a peak, a score, and what it is measured from, of its own."""

    def regret(val: np.ndarray, test: np.ndarray, margin: float) -> np.ndarray:
        scores = judge(val, test, pick(val, test))
        return (scores - less(scores)) / margin

    return regret


def _of_each_seed(val, test, margin):
    found = _at(test, _pick(val, test))[:, 1:]
    return (found - found.min(0)).mean(1) / margin


def _of_peaks_and_seeds_exchanged(val, test, margin):
    at = np.nanargmin(val[:, 0], axis=1)
    found = np.array([np.delete(test[r, :, p], 0).mean() for r, p in enumerate(at)])
    return (found - found.min()) / margin


def _regrets(ask: Ask, val: np.ndarray, test: np.ndarray, margin: float) -> tuple[float, ...]:
    found = to_numbers(ask(val, test, margin), ask.name)
    if found.shape != (len(val),):
        raise Mistake(
            f"{ask.name} returned an answer of shape {found.shape} for {len(val)} recipes. Each "
            f"recipe has one regret."
        )
    return tuple(map(float, found))


check_regret = exercise(
    "Exercise 1: ``regret(val, test, margin)``, tuned on seed 0 and judged on the others.",
    right=_behind(),
    names=("_val", "_test", "margin"),
    cases=(
        (_valleys(0, 3, 6, 5), _valleys(0, 3, 6, 5) + _valleys(9, 3, 6, 5) / 4, 0.5),
        (
            _valleys(4, 4, 7, 4, lost=2),
            _valleys(4, 4, 7, 4, lost=2) - _valleys(8, 4, 7, 4) / 3,
            2.0,
        ),
        (_valleys(6, 5, 5, 6, lost=1), _valleys(6, 5, 5, 6) + _valleys(3, 5, 5, 6) / 3, 0.2),
    ),
    read=_regrets,
    wrong=(
        (
            "a diverged run was taken for the best: np.argmin takes a NaN for the least number. "
            "np.nanargmin passes it over.",
            _behind(lambda val, test: val[:, :, 0].argmin(1)),
            _behind(lambda val, test: val[:, :, 0].argmin(1), less=np.nanmin),
        ),
        (
            "the peak was chosen by the validation results of all seeds. Those that judge may have "
            "no say in it: choose by seed 0 alone.",
            _behind(lambda val, test: np.nanargmin(val.mean(2), axis=1)),
            _behind(lambda val, test: np.nanargmin(val[:, :, 1:].mean(2), axis=1)),
        ),
        (
            "the peak was chosen by the test results that judge it. Choose it by `val`, in seed 0, "
            "and look at `test` once it is chosen.",
            _behind(lambda val, test: np.nanargmin(test[:, :, 1:].mean(2), axis=1)),
            _behind(lambda val, test: np.nanargmin(test.mean(2), axis=1)),
            _behind(
                lambda val, test: np.nanargmin(test.mean(2), axis=1),
                lambda val, test, at: _at(test, at).mean(1),
            ),
        ),
        (
            "the peak was chosen by seed 0's test results. Choosing is what `val` is for.",
            _behind(lambda val, test: np.nanargmin(test[:, :, 0], axis=1)),
        ),
        (
            "seed 0 judges as well, the seed for which the peak was chosen. Judge by the others.",
            _behind(judge=lambda val, test, at: _at(test, at).mean(1)),
        ),
        (
            "the seed that chose the peak judges it, alone. Judge by the others.",
            _behind(judge=lambda val, test, at: _at(test, at)[:, 0]),
            _behind(judge=lambda val, test, at: _at(val, at)[:, 0]),
        ),
        (
            "the recipes are judged by `val`. Choose by validation results, judge by test results.",
            _behind(judge=lambda val, test, at: _at(val, at)[:, 1:].mean(1)),
            _behind(judge=lambda val, test, at: _at(val, at).mean(1)),
        ),
        (
            "one peak was chosen for all recipes. Each has its own best one.",
            _behind(
                lambda val, test: np.full(
                    len(val), np.unravel_index(np.nanargmin(val[:, :, 0]), val.shape[:2])[1]
                )
            ),
            _behind(
                lambda val, test: np.full(len(val), np.nanargmin(np.nanmean(val[:, :, 0], axis=0)))
            ),
        ),
        (
            "it is measured from the mean of the recipes. Regret is what is lost against the best.",
            _behind(less=np.mean),
        ),
        (
            "it is measured from the worst recipe. Errors are lost, so the best has the lowest.",
            _behind(less=np.max),
        ),
        (
            "it is measured from the first recipe. Regret is what is lost against the best.",
            _behind(less=lambda scores: scores[0]),
        ),
        (
            "that is each recipe's result, and not how far it lies above the best one's.",
            _behind(less=lambda scores: 0.0),
        ),
        (
            "every seed has a best recipe of its own there, at times by luck. One recipe is the "
            "best: the one with the lowest mean.",
            _of_each_seed,
        ),
        (
            "the middle one of the judging seeds is taken. Take their mean.",
            _behind(judge=lambda val, test, at: np.median(_at(test, at)[:, 1:], axis=1)),
        ),
        (
            "the highest validation result was taken for the best. These are errors.",
            _behind(lambda val, test: np.nanargmax(val[:, :, 0], axis=1)),
        ),
        (
            "peaks and seeds have changed places. The axes are recipe, peak, seed.",
            _of_peaks_and_seeds_exchanged,
        ),
        (
            "it is a share of the best result. Divide the difference by the margin.",
            lambda val, test, margin: (
                _behind(less=lambda s: 0.0)(val, test, 1.0)
                / _behind(less=lambda s: 0.0)(val, test, 1.0).min()
                - 1
            ),
        ),
    ),
    say={
        "times margin": "it is in points. Divide by the margin: count in differences that matter.",
        "negative": "the sign is turned round: a recipe that is behind has a regret above 0.",
    },
    differs="the regrets are {given}, but {wanted} is right.",
    passed="chosen by one seed, judged by the others, in margins.",
)


# --- 2. What a budget buys


def _bought(
    tried: Callable[[np.ndarray, int], np.ndarray] = lambda x, runs: x[:: len(x) // runs],
    promise: Callable[[np.ndarray, int, int], Any] = lambda few, peak, seed: few[peak, seed],
    keep: Callable[..., Any] = lambda few, peak, seed, _: np.delete(few[peak], seed).mean(),
    pick: Callable[[np.ndarray], Any] = np.argmin,
    tuners: Callable[[int], Any] = range,
):
    """What is promised and kept, with a step of its own."""

    def bought(results: np.ndarray, runs: int) -> tuple[float, float]:
        few = tried(results, runs)
        peaks = [(seed, pick(few[:, seed])) for seed in tuners(few.shape[1])]
        promised = [promise(few, peak, seed) for seed, peak in peaks]
        kept = [keep(few, peak, seed, results) for seed, peak in peaks]
        return float(np.mean(promised)), float(np.mean(kept))

    return bought


def _one_peak_for_all(results, runs):
    few = results[:: len(results) // runs]
    return few.mean(1).min(), few.mean(1).min()


check_bought = exercise(
    "Exercise 2: ``bought(results, runs)``, what the best of so many runs promises, and keeps.",
    right=_bought(),
    names=("_results", "runs"),
    cases=(
        (_valleys(11, 1, 12, 5)[0], 4),
        (_valleys(12, 1, 12, 3)[0], 6),
        (_valleys(13, 1, 9, 4)[0], 3),
        (_valleys(14, 1, 6, 7)[0], 2),
    ),
    read=parts(promised=to_number, kept=to_number),
    wrong=(
        ("promised and kept have changed places.", lambda *case: _bought()(*case)[::-1]),
        (
            "those are the first {runs} peaks. Spread the budget: every (peaks / runs)-th.",
            _bought(lambda x, runs: x[:runs]),
        ),
        (
            "every {runs}-th peak is tried, which is another number of them. With 12 peaks and "
            "3 runs try every fourth.",
            _bought(lambda x, runs: x[::runs]),
        ),
        (
            "all peaks are tried. The budget is {runs}.",
            _bought(lambda x, runs: x),
        ),
        (
            "the peaks that are tried do not begin with the first.",
            _bought(lambda x, runs: x[len(x) // runs - 1 :: len(x) // runs]),
            _bought(lambda x, runs: x[len(x) // runs // 2 :: len(x) // runs]),
        ),
        (
            "one peak is chosen for all seeds, by their mean. Each seed in turn chooses alone, as "
            "someone would who pays for {runs} runs.",
            _one_peak_for_all,
        ),
        (
            "the promise is the lowest number of the whole table. Each seed has its own lowest; "
            "take their mean.",
            _bought(promise=lambda few, peak, seed: few.min()),
        ),
        (
            "only seed 0 chooses. Let every seed choose in turn, and take the means.",
            _bought(tuners=lambda seeds: range(1)),
        ),
        (
            "the seed that chose is judged along with the others. It is what chose: leave it out.",
            _bought(keep=lambda few, peak, seed, _: few[peak].mean()),
        ),
        (
            "what is kept is the promise again, each seed at its own lowest. Look at the chosen "
            "peak in the other seeds, good there or not.",
            _bought(keep=lambda few, peak, seed, _: few[peak, seed]),
            _bought(keep=lambda few, peak, seed, _: np.delete(few, seed, axis=1).min(0).mean()),
        ),
        (
            "of the other seeds the lowest is taken, a promise again. Take their mean.",
            _bought(keep=lambda few, peak, seed, _: np.delete(few[peak], seed).min()),
        ),
        (
            "the chosen peak's place among those that were tried is taken for its place in the "
            "whole grid.",
            _bought(keep=lambda few, peak, seed, x: np.delete(x[peak], seed).mean()),
        ),
        (
            "the highest result was chosen. These are errors.",
            _bought(pick=np.argmax),
        ),
        (
            "the promise is the mean over all seeds at the chosen peak. Whoever chose has seen one "
            "of them, the lowest.",
            _bought(promise=lambda few, peak, seed: few[peak].mean()),
            _bought(promise=lambda few, peak, seed: np.delete(few[peak], seed).mean()),
        ),
    ),
    differs={
        "promised": "{given} is promised, and {wanted} is right.",
        "kept": "{given} is kept, and {wanted} is right.",
    },
    passed="what the winner promises, and what it keeps.",
)


# --- 3. What matters: a variance, split

_OTHERS = ((1, 2), (0, 2), (0, 1))


def _split(
    part: Callable[[np.ndarray, int], Any],
    total: Callable[[np.ndarray], Any] = np.var,
    rest: Callable[[float, list[float]], float] = lambda total, found: total - sum(found),
):
    """The parts of the three factors and what is left, over the total."""

    def shares(table: np.ndarray) -> tuple[float, ...]:
        whole, found = float(total(table)), [float(part(table, axis)) for axis in range(3)]
        return tuple(x / whole for x in (*found, rest(whole, found)))

    return shares


def _effect(table: np.ndarray, axis: int) -> Any:
    return table.mean(_OTHERS[axis]).var()


def _not_divided(table):
    found = [_effect(table, axis) for axis in range(3)]
    return (*found, table.var() - sum(found))


def _of_the_three(table):
    found = np.array([_effect(table, axis) for axis in range(3)])
    return (*(found / found.sum()), 0.0)


check_shares = exercise(
    "Exercise 3: ``shares(table)``, how much of the variance each factor explains.",
    right=_split(_effect),
    names=("_table",),
    cases=(
        (_valleys(21, 3, 4, 5),),
        (_valleys(22, 5, 3, 4),),
        (_valleys(23, 4, 6, 2),),
    ),
    read=parts(peak=to_number, shape=to_number, seed=to_number, rest=to_number),
    wrong=(
        (
            "those are standard deviations. Only variances add up.",
            _split(lambda table, axis: table.mean(_OTHERS[axis]).std(), np.std),
            _split(lambda table, axis: table.mean(_OTHERS[axis]).std()),
        ),
        ("those are variances. Divide by that of the whole table.", _not_divided),
        (
            "the mean was taken over one axis, the factor's own. For the peak's share take the "
            "mean over shapes and seeds, so that one number is left for every peak.",
            _split(lambda table, axis: table.mean(axis).var()),
        ),
        (
            "the three add up to 1, and the rest is nothing. What no single factor explains (the "
            "best peak depends on the shape, runs on luck) belongs to the total, too.",
            _of_the_three,
        ),
        (
            "that is the variance along the factor, averaged, and it has the other factors' "
            "interplay and the noise in it. Average over the others first, then take the variance.",
            _split(lambda table, axis: table.var(axis).mean()),
        ),
        (
            "that is the mean variance within a level of the factor: what it does not explain.",
            _split(lambda table, axis: table.var(_OTHERS[axis]).mean()),
        ),
        (
            "those are sample variances (ddof=1), which divide by one less. The shares no longer "
            "add up.",
            _split(
                lambda table, axis: table.mean(_OTHERS[axis]).var(ddof=1),
                lambda table: table.var(ddof=1),
            ),
            _split(lambda table, axis: table.mean(_OTHERS[axis]).var(ddof=1)),
        ),
        (
            "those are ranges, the highest less the lowest. Only variances add up.",
            _split(lambda table, axis: np.ptp(table.mean(_OTHERS[axis])), np.ptp),
        ),
        (
            "the sums of squares are of means in one place and of single runs in the other: each "
            "mean stands for many runs. Take variances, or count every mean as often.",
            _split(
                lambda table, axis: ((table.mean(_OTHERS[axis]) - table.mean()) ** 2).sum(),
                lambda table: ((table - table.mean()) ** 2).sum(),
            ),
        ),
        (
            "the rest is all of it. Take away what the three explain.",
            _split(_effect, rest=lambda total, found: total),
        ),
        (
            "the rest is what the three explain. It is what they leave.",
            _split(_effect, rest=lambda total, found: sum(found)),
        ),
        (
            "the means are taken over the wrong axes: axis 0 is the peak, 1 the shape, 2 the seed.",
            _split(lambda table, axis: _effect(table, 2 - axis)),
            _split(lambda table, axis: _effect(table, (axis + 1) % 3)),
            _split(lambda table, axis: _effect(table, (axis + 2) % 3)),
        ),
    ),
    differs={
        name: f"the share of the {name} is {{given}}, and {{wanted}} is right."
        for name in ("peak", "shape", "seed")
    }
    | {"rest": "what is left is {given}, and {wanted} is right."},
    passed="three factors, and what none of them explains alone.",
)
