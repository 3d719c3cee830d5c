"""Checkers of chapter 11 that run a rule: false drops, resuming, and the open exercise."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from lrlib.exercises import (
    Ask,
    Mistake,
    call,
    checker,
    exercise,
    parts,
    passed,
    short,
    to_number,
    to_whole,
)
from lrlib.plateau import false_drop_probability, plateau_delay

# --- 3. False drops


def _drops(metrics: np.ndarray, patience: int, previous: bool = False) -> list[int]:
    best, bad, found = math.inf, 0, []
    for i, metric in enumerate(metrics):
        bad = 0 if metric < best else bad + 1
        best = metric if previous else min(best, metric)
        if bad > patience:
            found.append(i)
            bad = 0
    return found


def _falling(noise: np.ndarray, slope: float) -> np.ndarray:
    return noise - slope * np.arange(noise.shape[1])


def _share(found: list[list[int]]) -> float:
    return sum(map(bool, found)) / len(found)


def _mean(found: list[list[int]]) -> float:
    return float(np.mean([drops[0] for drops in found if drops]))


def _simulation(
    metrics: Callable[[np.ndarray, float], np.ndarray] = _falling,
    share: Callable[..., float] = lambda found, noise: _share(found),
    first: Callable[..., float] = lambda found, noise: _mean(found),
    more: int = 0,
    previous: bool = False,
):
    """A simulation, right unless it is told otherwise; ``share(drops of every run, noise)``."""

    def false_drops(noise, slope, patience):
        found = [_drops(row, patience + more, previous) for row in metrics(noise, slope)]
        return share(found, noise), first(found, noise)

    return false_drops


_rng = np.random.default_rng(11)
check_false_drops = exercise(
    "Exercise 3: ``false_drops(noise, slope, patience)``: the share of runs, and when.",
    right=_simulation(),
    names=("_noise", "slope", "patience"),
    cases=(
        (_rng.normal(size=(50, 40)), 0.3, 4),
        (0.5 * _rng.normal(size=(40, 60)), 0.125, 3),
        (_rng.normal(size=(30, 35)), 0.05, 6),
    ),
    read=parts(share=to_number, first=to_number),
    wrong=(
        (
            "as many as if the metric rose. At evaluation t it lies slope * t *lower* than at 0.",
            _simulation(lambda noise, slope: noise + slope * np.arange(noise.shape[1])),
        ),
        (
            "your line does not fall: that is how often a rule drops on a true plateau. At "
            "evaluation t the metric lies slope * t lower.",
            _simulation(lambda noise, slope: noise),
            _simulation(lambda noise, slope: noise - slope),
            _simulation(lambda noise, slope: noise - slope * np.arange(len(noise))[:, None]),
        ),
        (
            "the noise adds up from one evaluation to the next. Each has its own, independent.",
            _simulation(lambda noise, slope: _falling(noise.cumsum(axis=1), slope)),
        ),
        (
            "the drop comes one bad evaluation too soon: more than patience of them make one.",
            _simulation(more=-1),
        ),
        (
            "the drop comes one bad evaluation too late: patience + 1 of them make one.",
            _simulation(more=1),
        ),
        (
            "each evaluation is compared with the one before, and not with the best so far.",
            _simulation(previous=True),
        ),
        (
            "the share is of all evaluations. How many *runs* have at least one false drop?",
            _simulation(share=lambda found, noise: sum(map(bool, found)) / noise.size),
            _simulation(share=lambda found, noise: sum(map(len, found)) / noise.size),
        ),
        (
            "that is a number of runs. The share is that over all runs.",
            _simulation(share=lambda found, noise: sum(map(bool, found))),
        ),
        (
            "that is the mean number of drops in a run. A run with three counts once.",
            _simulation(share=lambda found, noise: sum(map(len, found)) / len(found)),
        ),
        (
            "the mean takes the runs without a drop along, as 0. Average over those that drop.",
            _simulation(first=lambda found, noise: _mean(found) * _share(found)),
        ),
        (
            "the mean takes the runs without a drop along, as if the drop came at their end. "
            "Average over those that drop.",
            _simulation(
                first=lambda found, noise: (
                    _mean(found) * _share(found) + noise.shape[1] * (1 - _share(found))
                )
            ),
        ),
        (
            "that is the earliest drop of all. Take each run's first, and average these.",
            _simulation(first=lambda found, noise: min(drops[0] for drops in found if drops)),
        ),
        (
            "later drops are in your mean. Of each run, take the first.",
            _simulation(first=lambda found, noise: np.mean(np.concatenate(found))),
            _simulation(first=lambda found, noise: np.mean([d[-1] for d in found if d])),
        ),
        (
            "evaluations are counted from 1 in your mean. Indices begin at 0.",
            _simulation(first=lambda found, noise: _mean(found) + 1),
        ),
        (
            "that is where the bad ones begin. The drop comes when one more than patience is bad.",
            lambda noise, slope, patience: (
                (right := _simulation()(noise, slope, patience))[0],
                right[1] - patience,
            ),
        ),
        (
            "that is the median of the first drops. The mean was asked for.",
            _simulation(first=lambda found, noise: np.median([d[0] for d in found if d])),
        ),
    ),
    say={"share": {"complement": "that is the share of runs *without* a false drop."}},
    differs={
        "share": "your share of runs with a false drop is {given}; {wanted} is right.",
        "first": "your mean first drop comes at {given}; {wanted} is right.",
    },
    passed=lambda outcomes: (
        f"a metric that improves all the time, and a rule that drops all the same. What you "
        f"guessed is {false_drop_probability(10, 0.1, 300):.2%} of the runs."
    ),
)

# --- 4. A rule that can be saved


def _observer(
    kept: tuple[str, ...] = ("best", "bad", "left"),
    *,
    rests: bool = True,
    longer: int = 0,
    learns: bool = True,
    counts_on: bool = False,
    forgets: bool = False,
    fires: bool = True,
    early: int = 0,
    first: bool = False,
    keeps: bool = False,
):
    """A rule as a function of its state, right unless it is told otherwise."""

    def observe(state, metric, patience, cooldown):
        state = {"best": None, "bad": 0, "left": 0, **(state or {})}
        best, bad, left = (state[name] for name in ("best", "bad", "left"))
        if left and first:
            left, bad = left - 1, 0
        if best is None or metric < best:
            best, bad = metric if learns or not left else best, 0
        else:
            bad += 1
        if left and rests and not first:
            left, bad = left - 1, bad if counts_on else 0
        fell = bad + early > patience and bad > 0 and not (counts_on and left)
        if fell:
            best, left = None if forgets else best, max(0, cooldown + longer)
            bad = bad if keeps else 0
        state = {"best": best, "bad": bad, "left": left}
        return {name: state[name] for name in kept}, fell is fires

    return observe


def _falls(ask: Ask, state: Any, metrics: tuple[float, ...], first: int, *rest: int) -> Any:
    """The indices at which the rates fall from evaluation `first` on, and all states before it."""
    falls, states = [], []
    for i in range(first, len(metrics)):
        states.append(state)
        answer = ask(state, metrics[i], *rest)
        if not isinstance(answer, tuple | list) or len(answer) != 2:
            raise Mistake(f"return two values, (state, fell), not {short(answer)}.")
        state, fell = answer
        if not isinstance(fell, bool | np.bool_):
            raise Mistake(f"fell should be True or False, not {short(fell)}.")
        try:
            state = json.loads(json.dumps(state))
        except (TypeError, ValueError) as error:
            raise Mistake(f"the state cannot be saved as JSON: {error}.") from None
        falls += [i] * bool(fell)
    return tuple(falls), states


def _saved(ask: Ask, metrics: tuple[float, ...], patience: int, cooldown: int) -> dict[str, Any]:
    falls, states = _falls(ask, None, metrics, 0, patience, cooldown)
    made = {"whole run": falls}
    for k in range(1, len(metrics)):
        later, _ = _falls(ask, states[k], metrics, k, patience, cooldown)
        made[f"resumed at {k}"] = later
    return made


_LOSSES = (5.0, 4.0, 4.5, 4.6, 4.7, 3.9, 3.8, 3.85, 3.9, 4.0, 4.1, 4.2, 4.3, 3.7, 3.8, 3.9)
check_observe = exercise(
    "Exercise 4: ``observe(state, metric, patience, cooldown)``, a rule that can be saved.",
    right=_observer(),
    names=("_metrics", "patience", "cooldown"),
    cases=(
        (_LOSSES, 1, 3),
        ((2.0, 2.0, 1.5, 1.9, 1.8, 1.7, 1.6, 1.55, 1.4, 1.45, 1.5), 0, 2),
        (_LOSSES, 2, 0),
    ),
    read=_saved,
    noun="run",
    wrong=(
        (
            "bad evaluations in the cooldown are counted. Is what is left of it in your state?",
            _observer(rests=False),
            _observer(("best", "bad")),
        ),
        (
            "the cooldown is one evaluation too short. The drop itself is none of it.",
            _observer(longer=-1),
        ),
        ("the cooldown is one evaluation too long.", _observer(longer=1)),
        (
            "in the cooldown no best is taken. Only the bad ones are passed over.",
            _observer(learns=False),
        ),
        (
            "bad ones of the cooldown are counted, and drop the rate when it is over.",
            _observer(counts_on=True),
        ),
        ("the best is forgotten after a drop. It stays.", _observer(forgets=True)),
        (
            "it drops one bad evaluation too soon: more than patience of them drop the rate.",
            _observer(early=1),
        ),
        ("after a drop the count starts anew.", _observer(keeps=True)),
        (
            "in the cooldown you set the count back first and then count the evaluation, so that "
            "one bad one is left.",
            _observer(first=True),
        ),
        ("fell is the wrong way round.", _observer(fires=False)),
        (
            "the count of bad evaluations is not in your state: it is 0 again at every call.",
            _observer(("best", "left")),
        ),
        ("the best is not in your state.", _observer(("bad", "left"))),
    ),
    differs=(
        "{part}: your rate falls after the evaluations {given}; {wanted} is right. All that the "
        "rule knows must come in with the state, and go out with it."
    ),
    passed="the state says all, wherever the run is cut.",
)

# --- 5. Seldom and well, or often and badly

UPDATES, FALL, EXAMPLES, RISK, ASKED = 6_000, 2e-4, 2, 0.05, 1_100


@checker()
def check_seldom(plan: Callable[[], tuple[int, int]]) -> None:
    """Exercise 5: how often to evaluate, and which patience, for a fixed number of examples."""
    answer = call(plan)
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise Mistake(f"return two values, (every, patience), not {short(answer)}.")
    every, patience = (to_whole(value, "plan") for value in answer)
    if not 1 <= every <= UPDATES // 2:
        raise Mistake(f"every must lie between 1 and {UPDATES // 2}, and is {every}.")
    if patience < 0:
        raise Mistake(f"patience must be at least 0, and is {patience}.")
    # No rule can wait longer than the run is.
    patience = min(patience, UPDATES // every)
    slope = FALL * every * math.sqrt(EXAMPLES * every)
    risk = false_drop_probability(patience, slope, UPDATES // every)
    delay = every * plateau_delay(patience)
    shown = (
        f"an evaluation sees {EXAMPLES * every} examples, between two of them the loss falls by "
        f"{slope:.3g} standard deviations, a false drop has a probability of {risk:.2g}, and a "
        f"true plateau costs {delay:,.0f} updates"
    )
    if risk > RISK:
        raise Mistake(
            f"{shown}. {RISK:.0%} is the most that is asked for: more patience, or fewer and "
            f"better evaluations."
        )
    if delay > ASKED:
        cure = (
            "Evaluate a little more often."
            if patience == 0
            else "Less patience would do with a metric that has less noise. Which of the two is "
            "cheaper: to wait for several evaluations, or to put their examples into one?"
        )
        raise Mistake(f"{shown}. {ASKED:,} is the most that is asked for. {cure}")
    passed(f"{shown}.")
