"""Checkers of chapter 03."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lrlib.exercises import (
    Limit,
    Mistake,
    NotFinite,
    among,
    apart,
    call,
    checker,
    close,
    finite,
    letters,
    number,
    numbers,
    passed,
    same_rates,
    schedule,
    short,
    stepped,
)
from lrlib.exponential_decay import PolynomialDecay
from lrlib.lab.noisy_quadratic import NoisyQuadratic
from lrlib.schedule import Schedule
from lrlib.trace import LRTrace

# --- 1. Which gamma?


@checker()
def check_per_step(per_step: Callable[[float, int], float]) -> None:
    """Exercise 1a: ``per_step(gamma_per_epoch, steps_per_epoch)``, the gamma of one step."""
    for gamma, steps in ((0.7, 10), (0.5, 391), (0.95, 1)):
        where = f"for gamma_per_epoch={gamma:g}, steps_per_epoch={steps}"
        _expect_root(_number(per_step, gamma, steps), gamma, steps, where)
    passed("at the end of an epoch the rate has fallen as far as the recipe says.")


@checker("lrlib.exponential_decay", "ExponentialDecay.to_factor")
def check_gamma_to(gamma_to: Callable[[float, int], float]) -> None:
    """Exercise 1b: ``gamma_to(final_factor, total_iters)``, the gamma that arrives there."""
    for final, steps in ((0.01, 20), (0.2, 1000), (0.5, 1)):
        where = f"for final_factor={final:g}, total_iters={steps}"
        _expect_root(_number(gamma_to, final, steps), final, steps, where)
    passed("your decay arrives on time. Both gammas are roots of a whole fall.")


def _expect_root(answer: float, whole: float, steps: int, where: str) -> None:
    """`answer`, multiplied `steps` times, should be `whole`."""
    right = float(np.exp(np.log(whole) / steps))
    with np.errstate(all="ignore"):
        reached = float(np.power(answer, steps))
    # The rounding of a float32 gamma grows with the steps.
    if np.isclose(answer, right, rtol=5e-7, atol=0):
        return
    log = float(np.log(whole))
    mistakes = [
        (
            whole / steps,
            f"you divided by the number of steps. Every step multiplies, and {answer:.3g} times "
            f"itself is soon next to nothing. (`a ** 1 / n` divides too: the power binds first.)",
        ),
        (
            whole,
            f"that is the whole fall, and you have it happen at each of the {steps} steps.",
        ),
        (
            whole**steps,
            "that is smaller still. One step should do less than all of them together: which "
            "operation undoes a power?",
        ),
        (
            1 - (1 - whole) / steps,
            "you shared out the fall evenly, as if every step subtracted. The steps multiply.",
        ),
        (
            1 - whole / steps,
            "you divided by the number of steps and took the rest. The steps multiply.",
        ),
        (1.0, "with that the rate never falls. Does `//` make the exponent 0?"),
        (
            np.exp(log / (steps - 1)) if steps > 1 else np.inf,
            "off by one: it arrives one step too soon. From step 0 to step n there are n "
            "multiplications.",
        ),
        (
            np.exp(log / (steps + 1)),
            "off by one: it arrives one step too late. From step 0 to step n there are n "
            "multiplications.",
        ),
        (
            np.exp(-log / steps),
            "that is above 1, and the rate would rise. Look at the sign of the exponent.",
        ),
        (
            1 - np.exp(log / steps),
            "that is what a step takes away. Gamma is what it leaves.",
        ),
        (
            1 + log / steps,
            "1 + x is the exponential of x only as long as x is tiny.",
        ),
        *(
            (
                sign * log / np.log(base) / steps,
                "that is a logarithm, shared among the steps. How do you get from the logarithm "
                "of gamma to gamma?",
            )
            for sign in (1, -1)
            for base in (np.e, 2, 10)
        ),
        *(
            (
                np.exp(log / np.log(out) * np.log(back) / steps),
                "your logarithm and the power that undoes it have different bases. (`log` has "
                "the base e in numpy, math and torch.)",
            )
            for out in (np.e, 2, 10)
            for back in (np.e, 2, 10)
            if out != back
        ),
    ]
    given = apart(answer, right, 6)[0]
    for wrong, hint in mistakes:
        if np.isclose(answer, wrong, rtol=5e-7, atol=0):
            raise Mistake(f"{where} you returned {given}: {hint}")
    if abs(answer - right) < 1e-2:
        hint = "That is close. Did you round, or is an approximation in it?"
    else:
        hint = "The factor is multiplied by gamma once in every step."
    raise Mistake(
        f"{where} you returned {given}: after step {steps} the factor would be "
        f"{apart(reached, whole)[0]}, not {whole:g}. {hint}"
    )


# --- 2. Polynomial decay from its formula


@checker("lrlib")
def check_factor(factor: Callable[[int, int, float, float], float]) -> None:
    """Exercise 2: ``factor(t, total_iters, power, min_factor)``, held past the end."""
    # First the power alone, then min_factor alone, then both: each mistake shows in one place.
    cases = ((10, 2.0, 0.0), (10, 1.0, 0.25), (8, 0.5, 0.2), (12, 3.0, 0.05), (1, 2.0, 0.5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's, on roots of negative numbers: the hint is ours
        for case in cases:
            steps = range(case[0] + 1)
            answer = np.array([_number(factor, t, *case) for t in steps])
            _expect_polynomial(answer, *case)
        for case in cases:
            _expect_held(factor, *case)
    passed("the formula up to the end, and the last value from there on.")


def _expect_polynomial(answer: np.ndarray, total: int, power: float, least: float) -> None:
    t = np.arange(total + 1)

    def formula(passed: np.ndarray) -> np.ndarray:
        """With `passed`, the part of the run that is over, in the place of t / total_iters."""
        return least + (1 - least) * np.clip(1 - passed, 0, None) ** power

    right = formula(t / total)
    if close(answer, right):
        return
    left = 1 - t / total
    mistakes = [
        (
            least + (1 - least) * (t / total) ** power,
            "it rises. The power is to be taken of what is left of the run, not of what is over.",
        ),
        (
            least + (1 - least) * (1 - (t / total) ** power),
            "you took the power of t / total_iters and then the difference from 1. What is left, "
            "1 - t / total_iters, comes first.",
        ),
        (
            least + (1 - least) * (1 - t / total**power),
            "the power was taken of total_iters alone. It binds before the division and the "
            "minus: set brackets.",
        ),
        (
            least + (1 - least) * (1 - t**power / total),
            "the power was taken of t alone. Set brackets round what is left of the run.",
        ),
        (least + (1 - least) * left, "it is a straight line. Is `power` used?"),
        (
            least + (1 - least) * left * power,
            "it is multiplied by `power`. A power is written `**`.",
        ),
        (
            least + (1 - least) * left ** (1 / power),
            "you took a root: 1 / power in the exponent.",
        ),
        (
            least + (1 - least) * (1 - t // total) ** power,
            "it stays at 1 until the end. `//` divides whole numbers and drops the rest.",
        ),
        (
            formula((t + 1) / total),
            "everything comes one step early: step 0 is the first, and its factor is 1.",
        ),
        (
            formula(t / (total + 1)),
            "it has not arrived at step total_iters, the first with t / total_iters = 1. Is there "
            "a 1 too many?",
        ),
        (
            formula(np.maximum(t - 1, 0) / total),
            "everything comes one step late. Step total_iters is the first with the last factor.",
        ),
        (
            formula(t / max(total - 1, 1)),
            "it arrives one step early, at step total_iters - 1. Is there a 1 too many?",
        ),
        (
            np.maximum(left**power, least),
            "min_factor cuts the curve off, so that it arrives early and then lies flat. In the "
            "formula it squeezes the whole curve into the range from min_factor to 1.",
        ),
        (left**power, "it ends at 0. Is `min_factor` used?"),
        (
            least + left**power,
            "min_factor is added to the whole curve, which then starts above 1. How large is the "
            "range that is left for the curve?",
        ),
        (
            (1 - least) * left**power,
            "the range has the right size but lies too low, from 1 - min_factor to 0.",
        ),
        (
            least * left**power,
            "the curve starts at min_factor and ends at 0. Where does the formula start?",
        ),
        (
            1 - (1 - least) * left**power,
            "it rises, from min_factor to 1. What is subtracted from 1 should be small at first.",
        ),
        (
            (least + (1 - least) * left) ** power,
            "the power was taken of everything, min_factor included. It belongs to what is left of "
            "the run alone.",
        ),
    ]
    where = f"with total_iters={total}, power={power:g}, min_factor={least:g}: "
    for wrong, hint in mistakes:
        if close(answer, wrong):
            raise Mistake(where + hint)
    if not close(answer[0], 1) and same_rates(answer, answer[0] * right):
        raise Mistake(
            f"{where}step 0 has {apart(answer[0], 1)[0]}. That looks like a rate; a factor is "
            f"the rate over "
            f"its peak, and begins at 1."
        )
    if np.isclose(answer[-1], 1) and np.allclose(answer[:-1], right[:-1]):
        raise Mistake(f"{where}the last step has the factor 1 again. Does a `%` turn it round?")
    i = next(i for i in range(len(t)) if not close(answer[i], right[i]))
    given, wanted = apart(answer[i], right[i])
    raise Mistake(f"{where}step {i} has {given}, but the formula gives {wanted}.")


def _expect_held(factor: Callable, total: int, power: float, least: float) -> None:
    """All is well up to step `total`; look beyond."""
    for t in (total + 1, 2 * total, 3 * total + 1):
        where = (
            f"up to the end all is well, but past it, at step {t} of total_iters={total} with "
            f"power={power:g}, min_factor={least:g}, "
        )
        negative = "Past the end 1 - t / total_iters is negative."
        try:
            answer = call(factor, t, total, power, least)
        except Mistake as error:
            if error.__cause__ is None:
                raise
            raise Mistake(f"{where}your function fails. {negative} ({error})") from error
        if isinstance(answer, complex | np.complexfloating):
            raise Mistake(
                f"{where}you return the complex number {complex(answer):.3g}. {negative} What is "
                f"its root?"
            )
        try:
            answer = number(lambda value=answer: value)
        except Mistake:
            raise Mistake(f"{where}you return {short(answer)}, which is no number.") from None
        if close(answer, least):
            continue
        if np.isnan(answer):
            hint = f"you return NaN. {negative} What is its root?"
        elif np.isclose(answer, 1):
            hint = "the factor is 1 again. It should stay where it was when the decay ended."
        elif answer < least:
            hint = f"the factor is {apart(answer, least)[0]}, less than min_factor. {negative}"
        else:
            hint = (
                f"the factor is {apart(answer, least)[0]}: it has risen again. {negative} What "
                f"does the power "
                f"make of it?"
            )
        raise Mistake(where + hint)


# --- 3. What is wrong with this experiment?


@checker()
def check_flaws(flaws: Callable[[], set[str]]) -> None:
    """Exercise 3a: which of the statements A to F name a flaw of the experiment."""
    hints = {
        "A": "the peak was picked because this seed's noise suited it. What would another seed "
        "have said, about the peak and about the winner?",
        "B": "how much is left after 500 multiplications, or after the 50 of one epoch?",
        "C": "at which update does a scheduler that is stepped after every batch arrive, if its "
        "total_iters is 10? What is the rate after that?",
        "D": "same start, same noise: only then is the difference the schedule's.",
        "E": "torch's schedulers count the calls of step(), whatever you take a call for. Stepping "
        "after every batch is right if all that they are given is counted in batches.",
        "F": "a third was a guess. How would exponential decay look at a peak somebody guessed?",
    }
    letters(flaws, {"A", "C", "F"}, hints)
    passed("one seed for everything, epochs for steps, and a peak that was guessed for the rival.")


@checker()
def check_straight_line(line: Callable[[Optimizer, int, int], LRScheduler]) -> None:
    """Exercise 3b: ``line(optimizer, epochs, batches)``, a scheduler from the peak to 0."""
    for peak, epochs, batches in ((0.25, 4, 7), (0.5, 3, 8), (1.0, 1, 12)):
        weight = torch.zeros(1, requires_grad=True)
        optimizer = torch.optim.SGD([weight], lr=peak)
        optimizer.register_step_pre_hook(Limit(100 * epochs * batches, "updates").hook)
        with warnings.catch_warnings(), LRTrace(optimizer) as trace:
            warnings.simplefilter("ignore")  # torch's on the order of the calls: the hint is ours
            scheduler = call(line, optimizer, epochs, batches)
            _expect_scheduler(scheduler, optimizer)
            if len(trace):
                raise Mistake(
                    f"your function made {len(trace)} updates itself. Only build the scheduler; "
                    f"the loop of the run does the rest."
                )
            for t in range(epochs * batches):
                optimizer.step()
                stepped(scheduler, f"after update {t} the step() of your scheduler")
        _expect_line(trace.lr[:, 0], peak, epochs, batches)
    passed("the applied rate falls over the whole run, whatever its length.")


def _expect_scheduler(answer: object, optimizer: Optimizer) -> None:
    if isinstance(answer, Schedule):
        raise Mistake(
            f"{short(answer)} is a shape, and knows of no optimizer. What of lrlib applies a shape?"
        )
    if isinstance(answer, type):
        raise Mistake(f"you returned the class {answer.__name__} itself; make one for `optimizer`.")
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


def _expect_line(applied: np.ndarray, peak: float, epochs: int, batches: int) -> None:
    total = epochs * batches
    t = np.arange(total)
    right = peak * (1 - t / total)
    if close(applied / peak, right / peak):
        return

    def line(length: int) -> np.ndarray:
        return peak * np.clip(1 - t / length, 0, None)

    where = f"in a run of {epochs} epochs of {batches} batches "
    third = 1 / 3 + (2 / 3) * t / total
    mistakes = [
        (
            line(epochs),
            f"the rate was 0 from update {epochs} on, of {total}. That is the colleague's mistake: "
            f"in which unit does a scheduler count that is stepped after every batch?",
        ),
        (
            line(batches),
            f"the rate was 0 from update {batches} on, of {total}. Then one epoch is over, and not "
            f"yet the run.",
        ),
        (
            line(5),
            f"the rate was 0 from update 5 on, of {total}. A total_iters of 5 is torch's default.",
        ),
        (
            line(total + 1),
            "the rate arrives at 0 one step late. The first step after the last epoch is the first "
            "at 0.",
        ),
        (
            line(total - 1) if total > 1 else right,
            "the last update had the rate 0, and did nothing. The first step after the last epoch "
            "is the first at 0; steps count from 0.",
        ),
        (
            peak * (1 - (t + 1) / total),
            "every rate came one step early, and the peak was never used. Was the scheduler "
            "stepped in your function?",
        ),
        (
            peak * third,
            "the rate rose from a third of the peak. Those are LinearLR's defaults, meant for a "
            "warm-up; set where it starts and where it ends.",
        ),
        (
            peak * (1 - t / total) / 3,
            "the rate fell from a third of the peak. That is where LinearLR starts unless you tell "
            "it otherwise.",
        ),
        (
            np.full(total, peak),
            "the rate never changed. (A LinearLR ends at the factor 1 unless you tell it "
            "otherwise.)",
        ),
        (
            peak * (1 - (t // batches) / epochs),
            "the rate fell once per epoch, as stairs. The scheduler is stepped after every batch.",
        ),
        (
            peak * right,
            "the rates were multiplied by the peak once more. A scheduler is given factors.",
        ),
        (peak * t / total, "the rate rose from 0. It is to fall."),
    ]
    for wrong, hint in mistakes:
        if close(applied / peak, wrong / peak):
            raise Mistake(where + hint)
    if (applied <= 0).any():
        first = int(np.argmax(applied <= 0))
        raise Mistake(
            f"{where}the rate was {applied[first]:.3g} at update {first}, but the last update is "
            f"number {total - 1}. The line should end with the run, and no sooner."
        )
    i = next(i for i in range(total) if not close(applied[i] / peak, right[i] / peak))
    given, wanted = apart(applied[i], right[i])
    raise Mistake(
        f"{where}and a peak of {peak:g} update {i} used the rate {given}; on a straight line from "
        f"the peak to 0 it is {wanted}."
    )


Train = Callable[[Callable, float, int], float]
Compare = Callable[
    [Train, Callable, Callable, Sequence[float], Sequence[int], Sequence[int]], np.ndarray
]

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


@checker()
def check_compare(compare: Compare) -> None:
    """Exercise 3c: ``compare(train, a, b, peaks, tuning_seeds, test_seeds)``: b less a."""
    _observe(compare, _TABLES, (4, 7, 9), (21, 3, 12, 5))
    _observe(compare, _TABLES[::-1], (30, 2, 11), (8, 40, 6, 17))
    passed("each at its own best peak, judged on seeds that had no say in it.")


def _observe(
    compare: Compare,
    tables: Sequence[np.ndarray],
    tuning: tuple[int, ...],
    test: tuple[int, ...],
) -> None:
    """Let the learner's function run on made-up losses; look at its calls and its answer."""
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

    answer = call(compare, train, a, b, list(_PEAKS), list(tuning), list(test))
    if strange:
        raise Mistake(strange[0])
    best = [_PEAKS[int(table[:, : len(tuning)].mean(axis=1).argmin())] for table in tables]
    for i, name in enumerate("ab"):
        used = {(peak, seed) for schedule, peak, seed in runs if schedule == name}
        _expect_tuned(name, used, tables[i], best[i], best[1 - i], tuning, test)
    answer = numbers(answer, "an array of differences")
    if answer.shape != (len(test),):
        raise Mistake(
            f"return one difference for each test seed, shape ({len(test)},), not shape "
            f"{answer.shape}: whoever reads it needs the spread."
        )
    loss_a, loss_b = (
        table[_PEAKS.index(peak), len(tuning) :] for table, peak in zip(tables, best, strict=True)
    )
    if np.allclose(answer, loss_b - loss_a):
        return
    if np.allclose(answer, loss_a - loss_b):
        raise Mistake("the sign is turned round: return the loss of `b` less that of `a`.")
    if np.allclose(answer, loss_a) or np.allclose(answer, loss_b):
        raise Mistake("those are losses of one of the two. Return differences.")
    if np.allclose(answer, loss_b / loss_a) or np.allclose(answer, loss_a / loss_b):
        raise Mistake("those are ratios. Return differences.")
    if np.allclose(np.sort(answer), np.sort(loss_b - loss_a)):
        raise Mistake("those are the right differences in another order than the test seeds.")
    raise Mistake(
        "the right runs were made, but the differences do not belong to single seeds. Subtract the "
        "two losses of the same seed, in the order of the test seeds."
    )


def _expect_tuned(
    name: str,
    used: set[tuple[float, int]],
    table: np.ndarray,
    best: float,
    rivals: float,
    tuning: tuple[int, ...],
    test: tuple[int, ...],
) -> None:
    """`used`: the peaks and seeds with which the schedule `name` ran."""
    if not used:
        raise Mistake(f"schedule `{name}` was never trained.")
    judged = sorted({peak for peak, seed in used if seed in test})
    tuned = {(peak, seed) for peak, seed in used if seed in tuning}
    if len(judged) > 1:
        raise Mistake(
            f"schedule `{name}` ran with {len(judged)} peaks on the test seeds. Seeds that have a "
            f"say in the peak flatter it: choose on the tuning seeds, and bring one peak to the "
            f"test."
        )
    if not judged:
        raise Mistake(
            f"schedule `{name}` never ran on the test seeds. The losses that chose the peak must "
            f"not judge it."
        )
    if not tuned:
        raise Mistake(
            f"no peak was tried for schedule `{name}` on the tuning seeds. Its best peak need not "
            f"be the other's."
        )
    if missing := [peak for peak in _PEAKS if not any(peak == p for p, _ in tuned)]:
        raise Mistake(
            f"schedule `{name}` was not tried at {missing}. Each of the two gets all the peaks."
        )
    if len(tuned) < len(_PEAKS) * len(tuning):
        raise Mistake(
            f"schedule `{name}` made {len(tuned)} tuning runs. With {len(_PEAKS)} peaks on "
            f"{len(tuning)} tuning seeds there are {len(_PEAKS) * len(tuning)}: use all of them."
        )
    (chosen,) = judged
    tries = table[:, : len(tuning)]
    if chosen != best:
        mistakes = [
            (
                tries.min(axis=1).argmin(),
                "it had the single best run. One lucky seed does not make a good peak.",
            ),
            (
                np.median(tries, axis=1).argmin(),
                "it has the lowest median. The mean is asked for: a bad run has to count.",
            ),
            (_PEAKS.index(rivals), "it is the best for the other. Each gets its own."),
            (tries.mean(axis=1).argmax(), "it has the highest mean loss. Lower is better."),
        ]
        for wrong, hint in mistakes:
            if chosen == _PEAKS[int(wrong)]:
                raise Mistake(f"for schedule `{name}` you chose the peak {chosen:g}: {hint}")
        raise Mistake(
            f"for schedule `{name}` you chose the peak {chosen:g}. Take the one whose losses on "
            f"the tuning seeds have the lowest mean."
        )
    ran = {seed for _, seed in used if seed in test}
    if ran != set(test):
        raise Mistake(
            f"schedule `{name}` ran on {len(ran)} of the {len(test)} test seeds. Use all of them, "
            f"and the same for both: only then is the difference the schedule's."
        )


# --- 4. One shape for a short and a long run

_SHORT, _LONG = 100, 1000
_BAR = 2.0


@checker()
def check_for_both(for_both: Callable[[int], Schedule]) -> None:
    """Exercise 4: one power and min_factor, at most twice the optimum over 100 and 1,000 steps."""
    shapes = []
    for steps in (_SHORT, _LONG):
        example = "PolynomialDecay(total_iters, power=1, min_factor=0.1)"
        shape = schedule(for_both, steps, example=example)
        if not isinstance(shape, PolynomialDecay):
            raise Mistake(f"a PolynomialDecay is asked for, such as {example}, not {short(shape)}.")
        if shape.total_iters != steps:
            raise Mistake(
                f"for a run of {steps} steps you returned total_iters={shape.total_iters}. The "
                f"decay should be as long as the run."
            )
        shapes.append((shape.power, shape.min_factor))
    if shapes[0] != shapes[1]:
        raise Mistake(
            f"you returned power={shapes[0][0]:g}, min_factor={shapes[0][1]:g} for {_SHORT} steps "
            f"and power={shapes[1][0]:g}, min_factor={shapes[1][1]:g} for {_LONG:,}. One choice "
            f"has to serve both: the length of a run may be all that you know."
        )
    scores = _scores(*shapes[0])
    if max(scores) > _BAR:
        shown = [apart(score, _BAR)[0] for score in scores]
        raise Mistake(
            f"your schedule ends at {shown[0]} times the best loss over {_SHORT} steps and at "
            f"{shown[1]} times the best over {_LONG:,}; at most {_BAR:.1f} is asked for in both. "
            f"{_advice(*shapes[0])}"
        )
    passed(
        f"{scores[0]:.3f} over {_SHORT} steps and {scores[1]:.3f} over {_LONG:,}. The best "
        f"choice we found "
        f"has 1.951 in both and min_factor=0: a floor under the rate only costs here."
    )


@cache
def _scores(power: float, min_factor: float) -> tuple[float, float]:
    """Over the short and the long run."""
    quadratic = NoisyQuadratic(batch_size=256)
    short, long = (
        quadratic.score(PolynomialDecay(steps, power, min_factor), steps)
        for steps in (_SHORT, _LONG)
    )
    return short, long


def _advice(power: float, min_factor: float) -> str:
    """Which regime is the worse, and what to change: of several changes, what helps most."""
    short, long = _scores(power, min_factor)
    if short > long:
        why = (
            "The short run is the worse. It has covered too little ground, and its peak can go no "
            "higher: only the shape can help."
        )
    else:
        why = "The long run is the worse. Too much noise is left at its end."
    stay, fall = power / 1.05, power * 1.05
    lower, higher = max(0.0, min_factor - 0.02), min(1.0, min_factor + 0.02)
    changed = {
        "Keep the rate high for longer.": (stay, min_factor),
        "Let the rate come down sooner.": (fall, min_factor),
        "End lower.": (power, lower),
        "End higher.": (power, higher),
        "End lower, and stay high for longer before that.": (stay, lower),
        "Come down sooner, but end higher.": (fall, higher),
    }
    return f"{why} {min(changed, key=lambda hint: max(_scores(*changed[hint])))}"


def _number(function: Callable[..., float], *args: float) -> float:
    """Like `finite`, with a hint to where infinity and NaN come from."""
    try:
        return finite(function, *args)
    except Mistake as error:
        if not isinstance(error.__cause__, NotFinite):
            raise
        raise Mistake(
            f"{error} Where is a 0 divided by, or the logarithm or root taken of a number that is "
            f"not positive?"
        ) from error
