"""Checkers of chapter 15."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lrlib.exercises import Ask, Mistake, exercise, parts, to_number, to_numbers
from lrlib.exercises.choosing_given import valleys
from lrlib.exercises.choosing_league import check_mine
from lrlib.exercises.choosing_shares import check_shares

__all__ = ["check_bought", "check_mine", "check_regret", "check_shares"]


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
        (valleys(0, 3, 6, 5), valleys(0, 3, 6, 5) + valleys(9, 3, 6, 5) / 4, 0.5),
        (
            valleys(4, 4, 7, 4, lost=2),
            valleys(4, 4, 7, 4, lost=2) - valleys(8, 4, 7, 4) / 3,
            2.0,
        ),
        (valleys(6, 5, 5, 6, lost=1), valleys(6, 5, 5, 6, lost=1) + valleys(3, 5, 5, 6) / 3, 0.2),
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
            "one seed judges, alone. Take the mean of all but seed 0.",
            _behind(judge=lambda val, test, at: _at(test, at)[:, 1]),
            _behind(judge=lambda val, test, at: _at(test, at)[:, -1]),
        ),
        (
            "the judging seeds' results are added up. Take their mean.",
            _behind(judge=lambda val, test, at: _at(test, at)[:, 1:].sum(1)),
        ),
        (
            "it is multiplied by the margin. Divide, to count in margins.",
            lambda val, test, margin: _behind()(val, test, 1 / margin),
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
    mean: Callable[[list[float]], Any] = np.mean,
):
    """What is promised and kept, with a step of its own."""

    def bought(results: np.ndarray, runs: int) -> tuple[float, float]:
        few = tried(results, runs)
        peaks = [(seed, pick(few[:, seed])) for seed in tuners(few.shape[1])]
        promised = [promise(few, peak, seed) for seed, peak in peaks]
        kept = [keep(few, peak, seed, results) for seed, peak in peaks]
        return float(mean(promised)), float(mean(kept))

    return bought


def _one_peak_for_all(results, runs):
    few = results[:: len(results) // runs]
    return few.mean(1).min(), few.mean(1).min()


check_bought = exercise(
    "Exercise 2: ``bought(results, runs)``, what the best of so many runs promises, and keeps.",
    right=_bought(),
    names=("_results", "runs"),
    cases=(
        (valleys(11, 1, 12, 5, steep=0.03)[0], 4),
        (valleys(12, 1, 12, 3, steep=0.03)[0], 6),
        (valleys(13, 1, 9, 4, steep=0.03)[0], 3),
        (valleys(14, 1, 6, 7, steep=0.03)[0], 2),
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
            "the peaks that are tried reach from the first to the last. Try every "
            "(peaks / runs)-th: the last ones are left out.",
            _bought(lambda x, runs: x[np.linspace(0, len(x) - 1, runs).round().astype(int)]),
            _bought(lambda x, runs: x[np.linspace(0, len(x) - 1, runs).astype(int)]),
        ),
        (
            "every peak chooses among the seeds there. It is the seeds, in turn, that choose among "
            "the peaks.",
            lambda results, runs: (
                (few := results[:: len(results) // runs]).min(1).mean(),
                few.mean(),
            ),
        ),
        (
            "what is kept is the mean of all that was tried. It is that of the chosen peak, in the "
            "seeds that did not choose it.",
            _bought(keep=lambda few, peak, seed, _: few.mean()),
            _bought(keep=lambda few, peak, seed, _: np.delete(few, seed, axis=1).mean()),
        ),
        (
            "those are medians over the seeds. Means are asked for.",
            _bought(mean=np.median),
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
