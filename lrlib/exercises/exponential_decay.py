"""Checkers of chapter 03."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from lrlib.exercises import (
    Ask,
    Mistake,
    apart,
    checker,
    exercise,
    flaws,
    passed,
    schedule,
    short,
    to_number,
)
from lrlib.exercises.exponential_decay_runs import check_compare, check_straight_line
from lrlib.exponential_decay import PolynomialDecay
from lrlib.lab.noisy_quadratic import NoisyQuadratic
from lrlib.schedule import Schedule

__all__ = [
    "check_compare",
    "check_factor",
    "check_flaws",
    "check_for_both",
    "check_gamma_to",
    "check_per_step",
    "check_straight_line",
]

# --- 1. Which gamma?


def _root(whole: float, steps: int) -> float:
    """What is multiplied `steps` times to give `whole`."""
    return float(np.exp(np.log(whole) / steps))


_LOGS = ((np.log, np.exp), (np.log2, np.exp2), (np.log10, lambda x: 10.0**x))
_ROOTS = (
    (
        "you divided by the number of steps. Every step multiplies, and {given} times itself is "
        "soon next to nothing. (`a ** 1 / n` divides too: the power binds first.)",
        lambda w, n: w / n,
    ),
    ("that is the whole fall, and you have it happen at every step.", lambda w, n: w),
    (
        "that is smaller still. One step should do less than all of them together: which operation "
        "undoes a power?",
        lambda w, n: w**n,
    ),
    (
        "you shared out the fall evenly, as if every step subtracted. The steps multiply.",
        lambda w, n: 1 - (1 - w) / n,
        lambda w, n: (1 - w) / n,
    ),
    (
        "you divided by the number of steps and took the rest. The steps multiply.",
        lambda w, n: 1 - w / n,
    ),
    ("with that the rate never falls. Does `//` make the exponent 0?", lambda w, n: w ** (1 // n)),
    (
        "off by one: it arrives one step too soon. From step 0 to step n there are n "
        "multiplications.",
        lambda w, n: w ** (1 / (n - 1)),
    ),
    (
        "off by one: it arrives one step too late. From step 0 to step n there are n "
        "multiplications.",
        lambda w, n: w ** (1 / (n + 1)),
    ),
    (
        "that is above 1, and the rate would rise. Look at the sign of the exponent.",
        lambda w, n: w ** (-1 / n),
    ),
    ("that is what a step takes away. Gamma is what it leaves.", lambda w, n: 1 - w ** (1 / n)),
    (
        "1 + x is the exponential of x only as long as x is tiny.",
        lambda w, n: 1 + np.log(w) / n,
    ),
    (
        "base and exponent have changed places: the fall is what the root is taken of.",
        lambda w, n: float(n) ** (1 / w),
        lambda w, n: (1 / n) ** w,
    ),
    (
        "the root is taken of what a step takes away, 1 less the fall. What it leaves is "
        "multiplied.",
        lambda w, n: (1 - w) ** (1 / n),
        lambda w, n: 1 - (1 - w) ** (1 / n),
    ),
    (
        "that is a logarithm, shared among the steps. How do you get from the logarithm of gamma "
        "to gamma?",
        *(lambda w, n, f=log, s=s: s * f(w) / n for log, _ in _LOGS for s in (1, -1)),
    ),
    (
        "your logarithm and the power that undoes it have different bases. (`log` has the base e "
        "in numpy, math and torch.)",
        *(
            lambda w, n, f=log, g=power: float(g(f(w) / n))
            for i, (log, _) in enumerate(_LOGS)
            for j, (_, power) in enumerate(_LOGS)
            if i != j
        ),
    ),
)
_FAR_OFF = "you returned {given}, and {wanted} is right: the factor is multiplied by gamma once in "
# The rounding of a float32 gamma grows with the steps.
check_per_step = exercise(
    "Exercise 1a: ``per_step(gamma_per_epoch, steps_per_epoch)``, the gamma of one step.",
    right=_root,
    names=("gamma_per_epoch", "steps_per_epoch"),
    cases=((0.7, 10), (0.5, 391), (0.95, 1)),
    rel=5e-7,
    wrong=_ROOTS,
    differs=_FAR_OFF + "every step.",
    passed="at the end of an epoch the rate has fallen as far as the recipe says.",
)
check_gamma_to = exercise(
    "Exercise 1b: ``gamma_to(final_factor, total_iters)``, the gamma that arrives there.",
    right=_root,
    names=("final_factor", "total_iters"),
    cases=((0.01, 20), (0.2, 1000), (0.5, 1)),
    rel=5e-7,
    rules_out=("lrlib.exponential_decay", "ExponentialDecay.to_factor"),
    wrong=_ROOTS,
    differs=_FAR_OFF + "every step.",
    passed="your decay arrives on time. Both gammas are roots of a whole fall.",
)


# --- 2. Polynomial decay from its formula


def _factor(t: int, total: int, power: float, least: float) -> float:
    return least + (1 - least) * max(0.0, 1 - t / total) ** power


def _of(
    left: Callable[[int, int], float] = lambda t, n: 1 - t / n,
    power: Callable[[float, float], float] = lambda x, p: x**p,
    scale: Callable[[float, float], float] = lambda y, m: m + (1 - m) * y,
    held: bool = True,
) -> Callable[[int, int, float, float], float]:
    """The formula with another part left of the run, power or scale."""

    def factor(t: int, total: int, p: float, least: float) -> float:
        return scale(power(left(min(t, total) if held else t, total), p), least)

    return factor


def _curve(ask: Ask, total: int, power: float, least: float) -> dict[str, Any]:
    """The factors up to the end, and what is given past it: a number, or what else it is."""

    def past(t: int) -> float | str:
        try:
            answer = ask(t, total, power, least)
        except Exception as error:
            if isinstance(error, Mistake) and error.__cause__ is None:
                raise
            return "an exception"
        if isinstance(answer, complex | np.complexfloating):
            return "a complex number"
        try:
            value = to_number(answer, ask.name)
        except Mistake:
            return "no number"
        return "NaN" if np.isnan(value) else value

    up = [to_number(ask(t, total, power, least), ask.name) for t in range(total + 1)]
    beyond = tuple(past(t) for t in (total + 1, 2 * total, 3 * total + 1))
    return {"up to the end": np.array(up), "past the end": beyond}


def _unheld(total: int, power: float, least: float) -> str:
    what = {1.0: "the line goes on, to less than min_factor", 0.5: "its root is no real number"}
    rises = "the factor has risen again" if power == 2 else "the factor is less than min_factor"
    return (
        f"up to the end all is well, but past it 1 - t / total_iters is negative, and "
        f"{what.get(power, rises)}. From step total_iters on the factor stays."
    )


check_factor = exercise(
    "Exercise 2: ``factor(t, total_iters, power, min_factor)``, held past the end.",
    right=_factor,
    names=("total_iters", "power", "min_factor"),
    # First the power alone, then min_factor alone, then both: each mistake shows in one place.
    cases=((10, 2.0, 0.0), (10, 1.0, 0.25), (8, 0.5, 0.2), (12, 3.0, 0.05), (2, 2.0, 0.5)),
    read=_curve,
    rules_out="lrlib",
    wrong=(
        (
            _unheld,
            _of(held=False),
            _of(held=False, power=lambda x, p: np.float64(x) ** p),
            _of(held=False, power=lambda x, p: float(np.sqrt(x)) if p == 0.5 else x**p),
            _of(held=False, power=lambda x, p: 1 / 0 if x < 0 and p == 0.5 else x**p),
            _of(held=False, power=lambda x, p: abs(x) ** p),
        ),
        (
            "it rises. The power is to be taken of what is left of the run, not of what is over.",
            _of(lambda t, n: t / n),
        ),
        (
            "you took the power of t / total_iters and then the difference from 1. What is left, "
            "1 - t / total_iters, comes first.",
            _of(lambda t, n: t / n, lambda x, p: 1 - x**p),
        ),
        (
            "the power was taken of total_iters alone. It binds before the division and the minus: "
            "set brackets.",
            lambda t, n, p, m: m + (1 - m) * (1 - t / n**p),
        ),
        (
            "the power was taken of t alone. Set brackets round what is left of the run.",
            lambda t, n, p, m: m + (1 - m) * (1 - t**p / n),
        ),
        ("it is a straight line. Is `power` used?", _of(power=lambda x, p: x)),
        (
            "it is multiplied by `power`. A power is written `**`.",
            _of(power=lambda x, p: x * p),
        ),
        ("you took a root: 1 / power in the exponent.", _of(power=lambda x, p: x ** (1 / p))),
        (
            "it is an exponential: the base is what is left of the run, and power the exponent.",
            _of(power=lambda x, p: p**x),
        ),
        (
            "it stays at 1 until the end. `//` divides whole numbers and drops the rest.",
            _of(lambda t, n: 1 - t // n),
        ),
        (
            "it has not arrived at step total_iters, the first with t / total_iters = 1. Is there "
            "a 1 too many?",
            _of(lambda t, n: 1 - t / (n + 1)),
        ),
        (
            "it arrives one step early, at step total_iters - 1. Is there a 1 too many?",
            _of(lambda t, n: max(0.0, 1 - t / max(n - 1, 1))),
            _of(lambda t, n: max(0.0, 1 - t / (n - 1))),
        ),
        (
            "min_factor cuts the curve off, so that it arrives early and then lies flat. In the "
            "formula it squeezes the whole curve into the range from min_factor to 1.",
            _of(scale=lambda y, m: max(y, m)),
        ),
        ("it ends at 0. Is `min_factor` used?", _of(scale=lambda y, m: y)),
        (
            "min_factor is added to the whole curve, which then starts above 1. How large is the "
            "range that is left for the curve?",
            _of(scale=lambda y, m: m + y),
        ),
        (
            "the range has the right size but lies too low, from 1 - min_factor to 0.",
            _of(scale=lambda y, m: (1 - m) * y),
        ),
        (
            "the curve starts at min_factor and ends at 0. Where does the formula start?",
            _of(scale=lambda y, m: m * y),
        ),
        (
            "it rises, from min_factor to 1. What is subtracted from 1 should be small at first.",
            _of(scale=lambda y, m: 1 - (1 - m) * y),
        ),
        (
            "the power was taken of everything, min_factor included. It belongs to what is left of "
            "the run alone.",
            lambda t, n, p, m: (m + (1 - m) * max(0.0, 1 - t / n)) ** p,
        ),
        (
            "the last step has the factor 1 again. Does a `%` turn it round?",
            _of(lambda t, n: 1 - (t % n) / n),
            _of(lambda t, n: 1 - (t % n) / n, held=False),
        ),
        (
            "past the end the factor is 1 again. It should stay where it was when the decay ended.",
            lambda t, n, p, m: 1.0 if t > n else _factor(t, n, p, m),
        ),
        (
            "past the end the factor is 0, less than min_factor. It should stay where it was when "
            "the decay ended.",
            lambda t, n, p, m: 0.0 if t > n else _factor(t, n, p, m),
        ),
    ),
    say={
        "up to the end": {
            "early": "everything comes one step early: step 0 is the first, and its factor is 1.",
            "late": "everything comes one step late. Step total_iters is the first with the last "
            "factor.",
            "scaled": "step 0 has {c}. That looks like a rate; a factor is the rate over its peak, "
            "and begins at 1.",
        },
        "past the end": {},
    },
    differs={
        "up to the end": "step {i} has {given}, but the formula gives {wanted}.",
        "past the end": "up to the end all is well, but past it, 1 step, one run and two runs "
        "later, your function gives {given}; {wanted} is right.",
    },
    passed="the formula up to the end, and the last value from there on.",
)


# --- 3. What is wrong with this experiment?

check_flaws = flaws(
    "Exercise 3a: which of the statements A to F name a flaw of the experiment.",
    right=lambda: {"A", "C", "F"},
    hints={
        "A": "the peak was picked because this seed's noise suited it. What would another seed "
        "have said, about the peak and about the winner?",
        "B": "how much is left after 500 multiplications, or after the 50 of one epoch?",
        "C": "at which update does a scheduler that is stepped after every batch arrive, if its "
        "total_iters is 10? What is the rate after that?",
        "D": "same start, same noise: only then is the difference the schedule's.",
        "E": "torch's schedulers count the calls of step(), whatever you take a call for. Stepping "
        "after every batch is right if all that they are given is counted in batches.",
        "F": "a third was a guess. How would exponential decay look at a peak somebody guessed?",
    },
    passed="one seed for everything, epochs for steps, and a peak that was guessed for the rival.",
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
