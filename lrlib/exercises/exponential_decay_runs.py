"""Checkers of chapter 03's experiment: the line that is to be repaired, and the comparison."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from lrlib.exercises import Ask, Limit, Mistake, among, exercise, short, to_numbers
from lrlib.exercises.watching import rates_under
from lrlib.schedule import Schedule

# --- 3b. The line


def _line(
    factor: Callable[[int, int, int], float],
) -> Callable[[Optimizer, int, int], LRScheduler]:
    """A scheduler with ``factor(t, epochs, batches)``."""
    return lambda opt, e, b: LambdaLR(opt, lambda t: factor(t, e, b))


def _over(
    length: Callable[[int, int], int], start: float = 1.0
) -> Callable[[Optimizer, int, int], LRScheduler]:
    return _line(lambda t, e, b: max(0.0, start * (1 - t / length(e, b))))


def _applied(ask: Ask, peak: float, epochs: int, batches: int) -> dict[str, np.ndarray]:
    """The factors that a run uses, stepped after every batch."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=peak)

    def make() -> LRScheduler:
        return _checked_scheduler(ask(optimizer, epochs, batches), optimizer)

    return {"rates": rates_under(make, optimizer, epochs * batches)[:, 0]}


def _checked_scheduler(answer: Any, optimizer: Optimizer) -> LRScheduler:
    if isinstance(answer, Schedule):
        raise Mistake(
            f"{short(answer)} is a shape, and knows of no optimizer. What of lrlib applies a shape?"
        )
    if isinstance(answer, type):
        raise Mistake(f"you returned the class {answer.__name__}; make one for `optimizer`.")
    if not isinstance(answer, LRScheduler):
        raise Mistake(
            f"return a scheduler, of torch or of lrlib, not an object of type "
            f"{type(answer).__name__}."
        )
    if getattr(answer, "optimizer", optimizer) is not optimizer:
        raise Mistake(
            "your scheduler belongs to another optimizer. Build it for the one handed to your "
            "function."
        )
    return answer


def _early_end(end: Callable[[int, int], int], why: str) -> Callable[[float, int, int], str]:
    return lambda _, e, b: f"the rate was 0 from update {end(e, b)} on, of {e * b}. {why}"


check_straight_line = exercise(
    "Exercise 3b: ``line(optimizer, epochs, batches)``, a scheduler from the peak to 0.",
    right=_over(lambda e, b: e * b),
    names=("peak", "epochs", "batches"),
    cases=((0.25, 4, 7), (0.5, 3, 8), (1.0, 1, 12)),
    read=_applied,
    noun="run",
    wrong=(
        (
            _early_end(
                lambda e, b: e,
                "That is the colleague's mistake: in which unit does a scheduler count that is "
                "stepped after every batch?",
            ),
            _over(lambda e, b: e),
        ),
        (
            _early_end(lambda e, b: b, "Then one epoch is over, and not yet the run."),
            _over(lambda e, b: b),
        ),
        (
            _early_end(lambda e, b: 5, "A total_iters of 5 is torch's default."),
            _over(lambda e, b: 5),
        ),
        (
            _early_end(lambda e, b: e + b, "Epochs times batches are the updates of a run."),
            _over(lambda e, b: e + b),
        ),
        (
            "the rate arrives at 0 one step late. The first step after the last epoch is the first "
            "at 0.",
            _over(lambda e, b: e * b + 1),
        ),
        (
            "the last update had the rate 0, and did nothing. The first step after the last epoch "
            "is the first at 0; steps count from 0.",
            _over(lambda e, b: e * b - 1),
        ),
        (
            "the rate rose from a third of the peak. Those are LinearLR's defaults, meant for a "
            "warm-up; set where it starts and where it ends.",
            _line(lambda t, e, b: 1 / 3 + 2 / 3 * t / (e * b)),
        ),
        (
            "the rate fell from a third of the peak. That is where LinearLR starts unless you tell "
            "it otherwise.",
            _over(lambda e, b: e * b, start=1 / 3),
        ),
        (
            "the rate fell once per epoch, as stairs. The scheduler is stepped after every batch.",
            _line(lambda t, e, b: 1 - (t // b) / e),
        ),
        ("the rate rose from 0. It is to fall.", _line(lambda t, e, b: t / (e * b))),
    ),
    say={
        "rates": {
            "early": "every rate came one step early, and the peak was never used. Was the "
            "scheduler stepped in your function?",
            "late": "every rate came one step late.",
            "constant": "the rate never changed. (A LinearLR ends at the factor 1 unless you tell "
            "it otherwise.)",
            "times peak": "the rates were multiplied by the peak once more. A scheduler is given "
            "factors.",
        }
    },
    differs={
        "rates": "update {i} used the rate {given}; on a straight line from the peak to 0 it is "
        "{wanted}."
    },
    passed="the applied rate falls over the whole run, whatever its length.",
)


# --- 3c. The comparison

Train = Callable[[Callable, float, int], float]
Compare = Callable[[Train, Callable, Callable, Sequence[float], Sequence[int], Sequence[int]], Any]

_PEAKS = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
# Made-up final losses: a row for each peak, a column for each of three tuning and four test seeds.
# Every wrong way of choosing a peak leads to another row.
_TABLES = (
    np.array(
        [
            [0.90, 0.91, 0.92, 0.90, 0.93, 0.91, 0.92],
            [0.50, 0.52, 0.55, 0.51, 0.58, 0.47, 0.54],  # the best mean
            [0.10, 0.93, 0.94, 0.55, 0.60, 0.57, 0.61],  # the luckiest run
            [0.41, 0.43, 1.50, 0.80, 0.70, 0.75, 0.77],  # the best median
            [0.80, 0.82, 0.81, 0.20, 0.23, 0.26, 0.21],  # the best test seeds
            [1.20, 1.21, 1.22, 1.25, 1.27, 1.23, 1.24],
        ]
    ),
    np.array(
        [
            [0.95, 0.12, 0.96, 0.73, 0.72, 0.78, 0.71],  # the luckiest run
            [0.99, 0.98, 0.97, 0.96, 0.95, 0.94, 0.93],
            [0.77, 0.80, 0.79, 0.30, 0.33, 0.37, 0.32],  # the best test seeds
            [0.53, 0.52, 1.70, 0.83, 0.85, 0.81, 0.87],  # the best median
            [0.60, 0.62, 0.63, 0.70, 0.62, 0.66, 0.69],  # the best mean
            [1.30, 1.31, 1.32, 1.35, 1.37, 1.33, 1.34],
        ]
    ),
)


def _comparison(
    choose: Callable[[np.ndarray], Any] = lambda x: x.mean(1).argmin(),
    says: Callable[[np.ndarray, np.ndarray], Any] = np.subtract,
    swapped: bool = False,
) -> Compare:
    """A comparison that may choose or report in another way, or exchange the two best peaks.

    `choose` takes losses of shape (peaks, tuning seeds); `says` those of b and a on the test seeds.
    """

    def compare(train, a, b, peaks, tuning_seeds, test_seeds):
        chosen = []
        for schedule_ in (a, b):
            losses = [[train(schedule_, peak, seed) for seed in tuning_seeds] for peak in peaks]
            chosen.append(peaks[int(choose(np.array(losses)))])
        of_a, of_b = reversed(chosen) if swapped else chosen
        on_test = [
            np.array([train(schedule_, peak, seed) for seed in test_seeds])
            for schedule_, peak in ((b, of_b), (a, of_a))
        ]
        return says(*on_test)

    return compare


def _observed(
    ask: Ask, tables: Sequence[np.ndarray], tuning: tuple[int, ...], test: tuple[int, ...]
) -> dict[str, Any]:
    """Let a function run on made-up losses: the peaks that it took to the test, what it returns."""
    runs: set[tuple[str, float, int]] = set()
    strange: list[str] = []
    limit = Limit(10_000, "runs of train")

    def a(optimizer: Optimizer) -> None:
        raise TypeError("give a and b to train; it calls them with an optimizer")

    def b(optimizer: Optimizer) -> None:
        a(optimizer)

    def train(schedule: Callable, peak: float, seed: int) -> float:
        limit()
        known, place = among(peak, _PEAKS), among(seed, tuning + test)
        if schedule is not a and schedule is not b:
            strange.append("the first argument of train is a schedule, `a` or `b`.")
        elif known is None:
            strange.append(f"train was asked for the peak {short(peak)}, which is not in `peaks`.")
        elif place is None:
            strange.append(f"train was asked for the seed {short(seed)}, which is in neither list.")
        else:
            runs.add((schedule.__name__, known, place))
            table = tables[0] if schedule is a else tables[1]
            return float(table[_PEAKS.index(known), (tuning + test).index(place)])
        return 1.0

    answer = ask(train, a, b, list(_PEAKS), list(tuning), list(test))
    if strange:
        raise Mistake(strange[0])
    used = {name: {(peak, seed) for s, peak, seed in runs if s == name} for name in "ab"}
    peaks = {f"peak of {name}": _judged(name, used[name], tuning, test) for name in "ab"}
    answer = to_numbers(answer, ask.name, "an array of differences")
    return {**peaks, "differences": answer}


def _judged(
    name: str, used: set[tuple[float, int]], tuning: tuple[int, ...], test: tuple[int, ...]
) -> float:
    """The one peak with which the schedule `name` ran on the test seeds, after fair tuning."""
    if not used:
        raise Mistake(f"schedule `{name}` was never trained.")
    judged = sorted({peak for peak, seed in used if seed in test})
    tuned = {(peak, seed) for peak, seed in used if seed in tuning}
    missing = [peak for peak in _PEAKS if not any(peak == p for p, _ in tuned)]
    every = len(_PEAKS) * len(tuning)
    if len(judged) > 1:
        what = (
            f"ran with {len(judged)} peaks on the test seeds. Seeds that have a say in the peak "
            f"flatter it: choose on the tuning seeds, and bring one peak to the test."
        )
    elif not judged:
        what = "never ran on the test seeds. The losses that chose the peak must not judge it."
    elif not tuned:
        what = "was tried at no peak on the tuning seeds. Its best peak need not be the other's."
    elif missing:
        what = f"was not tried at {missing}. Each of the two gets all the peaks."
    elif len(tuned) < every:
        what = (
            f"made {len(tuned)} tuning runs. With {len(_PEAKS)} peaks on {len(tuning)} tuning "
            f"seeds there are {every}: use all of them."
        )
    elif {seed for _, seed in used if seed in test} != set(test):
        ran = len({seed for _, seed in used if seed in test})
        what = (
            f"ran on {ran} of the {len(test)} test seeds. Use all of them, and the same for both: "
            f"only then is the difference the schedule's."
        )
    else:
        return judged[0]
    raise Mistake(f"schedule `{name}` {what}")


_SINGLE = (
    "the right runs were made, but the differences do not belong to single seeds. Subtract the two "
    "losses of the same seed, in the order of the test seeds."
)
_SPREAD = "return one difference for each test seed: whoever reads it needs the spread."
_MADE = {"peak of a": {}, "peak of b": {}}
check_compare = exercise(
    "Exercise 3c: ``compare(train, a, b, peaks, tuning_seeds, test_seeds)``: b less a.",
    right=_comparison(),
    names=("_tables", "_tuning", "_test"),
    cases=((_TABLES, (4, 7, 9), (21, 3, 12, 5)), (_TABLES[::-1], (30, 2, 11), (8, 40, 6, 17))),
    read=_observed,
    noun="comparison",
    wrong=(
        (
            "you chose the peak {given}: it had the single best run. One lucky seed does not make "
            "a good peak.",
            _comparison(lambda x: x.min(1).argmin()),
        ),
        (
            "you chose the peak {given}: it has the lowest median. The mean is asked for: a bad "
            "run has to count.",
            _comparison(lambda x: np.median(x, 1).argmin()),
        ),
        (
            "you chose the peak {given}: it is the best for the other. Each gets its own.",
            _comparison(swapped=True),
        ),
        (
            "you chose the peak {given}: it has the highest mean loss. Lower is better.",
            _comparison(lambda x: x.mean(1).argmax()),
        ),
        (
            "those are losses of one of the two. Return differences.",
            _comparison(says=lambda b, a: b),
            _comparison(says=lambda b, a: a),
        ),
        (
            "those are ratios. Return differences.",
            _comparison(says=lambda b, a: b / a),
            _comparison(says=lambda b, a: a / b),
            _comparison(says=lambda b, a: (b - a) / a),
        ),
        (
            _SINGLE,
            _comparison(says=lambda b, a: b - a[::-1]),
            _comparison(says=lambda b, a: np.sort(b) - np.sort(a)),
            _comparison(says=lambda b, a: b - a.mean()),
            _comparison(says=lambda b, a: b.mean() - a),
        ),
    ),
    say=_MADE
    | {
        "differences": {
            "negative": "the sign is turned round: return the loss of `b` less that of `a`.",
            "absolute": "the sign is lost: return the loss of `b` less that of `a`.",
            "sorted": "those are the right differences in another order than the test seeds.",
            "mean": _SPREAD,
            "sum": _SPREAD,
        },
    },
    differs={
        name: f"for schedule `{name[-1]}` you chose the peak {{given}}. Take the one whose losses "
        f"on the tuning seeds have the lowest mean."
        for name in _MADE
    },
    passed="each at its own best peak, judged on seeds that had no say in it.",
)
