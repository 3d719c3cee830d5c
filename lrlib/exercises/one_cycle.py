"""Checkers of chapter 07; those of exercises 3 and 5b are in modules of their own."""

from __future__ import annotations

from math import ceil, cos, floor, pi, sin
from typing import Any

import numpy as np
from torch.optim.lr_scheduler import LambdaLR

from lrlib.exercises import Ask, Mistake, array, exercise, flaws, over, to_number
from lrlib.exercises.noisy_runs import BEFORE, DIFFERS, LOWEST, MEAN, OF_A_NOISY_RUN, one_run, start
from lrlib.exercises.one_cycle_landscape import best_loss, check_landscape
from lrlib.exercises.one_cycle_speed import check_speed_up, check_updates_needed
from lrlib.one_cycle import OneCycle

# Of the exercises 2, 5b, 3 and 4.
__all__ = ["best_loss", "check_landscape", "check_speed_up", "check_updates_needed", "start"]

# --- 1. The factor of a step


def _factor(
    t: int, total_steps: int, pct_start: float, div_factor: float, final_div_factor: float
) -> float:
    return OneCycle(total_steps, pct_start, "cos", div_factor, final_div_factor)(t)


def _ease(p):
    return (1 - cos(pi * p)) / 2


def _phases(
    up=lambda n, pct: pct * n - 1,
    last=lambda n: n - 1,
    first=lambda d, f: 1 / d,
    end=lambda d, f: 1 / (d * f),
    rise=_ease,
    fall=_ease,
    risen=lambda t, up, last: t / up,
    fallen=lambda t, up, last: (t - up) / (last - up),
    mixed=lambda a, b, s: (1 - s) * a + s * b,
):
    """A factor in which any part can be made wrong."""

    def factor(t, n, pct, d, f):
        peak = up(n, pct)
        if t <= peak:
            return mixed(first(d, f), 1, rise(risen(t, peak, last(n))))
        return mixed(1, end(d, f), fall(fallen(t, peak, last(n))))

    return factor


def _both(phase):
    return _phases(rise=phase, fall=phase)


check_factor = exercise(
    "Exercise 1: ``factor(t, total_steps, pct_start, div_factor, final_div_factor)``.",
    right=_factor,
    cases=((20, 0.25, 4, 10), (100, 0.3, 25, 1e4), (25, 0.3, 10, 100), (40, 0.75, 2, 1)),
    read=over(lambda total_steps, *_: range(total_steps)),
    rules_out="lrlib",
    wrong=(
        (
            "the peak comes at step pct_start * total_steps - 1, as in torch: the first step is "
            "step 0. Yours comes at another.",
            *(_phases(up=lambda n, pct, of=of: of(pct * n)) for of in (float, int)),
            *(_phases(lambda n, pct, of=of: of(pct * n), lambda n: n) for of in (float, int)),
            _phases(up=lambda n, pct: pct * (n - 1)),
            _phases(up=lambda n, pct: pct),
            _phases(up=lambda n, pct: n - pct * n - 1),
        ),
        (
            "you round the step of the peak. It may lie between two steps.",
            *(_phases(up=lambda n, pct, to=to: to(pct * n) - 1) for to in (floor, ceil)),
        ),
        ("the last factor comes one step too late, after the run.", _phases(last=lambda n: n)),
        (
            "a phase of yours is a straight line. Both are half cosines.",
            *(_both(float), _phases(rise=float), _phases(fall=float)),
        ),
        (
            "that is a quarter of a cosine. A phase goes from cos(0) = 1 to cos(pi) = -1.",
            *(_both(lambda p: 1 - cos(pi * p / 2)), _both(lambda p: sin(pi * p / 2))),
            _phases(rise=lambda p: sin(pi * p / 2)),
        ),
        ("pi is missing in the cosine.", _both(lambda p: _ease(p / pi))),
        ("1 - cos goes from 0 to 2, and s from 0 to 1: halve it.", _both(lambda p: 2 * _ease(p))),
        (
            "you have a power, a line in the logarithm. (1 - s) * first + s * last is asked for.",
            _phases(mixed=lambda a, b, s: a ** (1 - s) * b**s),
        ),
        *(
            (
                f"the {' and the '.join(turned)} should begin where you let it end: "
                f"(1 + cos(pi * p)) / 2 goes from 1 to 0, and s from 0 to 1.",
                _phases(**dict.fromkeys(turned, lambda p: 1 - _ease(p))),
            )
            for turned in (("rise", "fall"), ("rise",), ("fall",))
        ),
        ("the fall ends at 0, not at the last factor.", _phases(end=lambda d, f: 0)),
        ("the fall ends where the rise began.", _phases(end=lambda d, f: 1 / d)),
        (
            "final_div_factor divides the first factor, 1 / div_factor. Your last one is another.",
            *(_phases(end=lambda d, f: 1 / f), _phases(end=lambda d, f: f / d)),
            _phases(end=lambda d, f: d / f),
        ),
        ("the rise begins at 0, not at 1 / div_factor.", _phases(first=lambda d, f: 0)),
        ("the rise begins where the run ends.", _phases(first=lambda d, f: 1 / (d * f))),
        (
            "the fall begins at the peak and ends at step total_steps - 1. Which part of it is "
            "done at step t?",
            _phases(fallen=lambda t, up, last: t / last),
            _phases(fallen=lambda t, up, last: (t - up) / last),
            _phases(fallen=lambda t, up, last: (t - up) / (last + 1)),
        ),
        (
            "the rise ends at the peak, not with the run. Which part of it is done at step t?",
            _phases(risen=lambda t, up, last: t / last),
            _phases(risen=lambda t, up, last: t / (last + 1)),
        ),
    ),
    say={
        "times div_factor": "you begin at 1. A factor is the rate over its peak, 1 at the top.",
        "scaled": "the highest is {c}. A factor is the rate over its peak, so at the top it is 1.",
    },
    differs=lambda n, pct, *_: (
        f"step {{i}} has {{given}}, but the formula has {{wanted}}. The rise ends at step "
        f"{pct * n - 1:g}, the fall at step {n - 1}."
    ),
    passed="up to 1 and down to the last factor, each on a half cosine that ends on its step.",
)


# --- 2. Momentum as a shape


def _steady(says=lambda f, mu, h, m: f * (1 - m) / (1 - mu)):
    """The factors, from those of the shape, its momenta and heights, and the fixed momentum."""

    def steady(shape, high, low, momentum):
        h = np.array([shape.height(t) for t in range(shape.total_steps)])
        return says(shape.sample(shape.total_steps), high - (high - low) * h, h, momentum)

    return steady


def _moved(by):
    """With a momentum of its own, ``by(factors, heights, high, low)``."""
    return _steady(lambda f, mu, h, m: f * (1 - m) / (1 - by(f, h, mu.max(), mu.min())))


def _by_zero(shape, high, low, momentum):
    return [1 / (1 - shape.momentum(low / high)(t)) for t in range(shape.total_steps)]


check_steady = exercise(
    "Exercise 2a: ``steady(shape, high, low, momentum)``, the same effective rate.",
    right=_steady(),
    cases=(
        (OneCycle(40, 0.25), 0.95, 0.85, 0.9),
        (OneCycle(30, 0.5, "linear", 4, 10), 0.9, 0.5, 0.0),
        (OneCycle(40, three_phase=True), 0.99, 0.8, 0.95),
    ),
    read=array,
    rel=2e-5,
    wrong=(
        (
            "where is your momentum 1? shape.momentum() gives a factor on the highest momentum.",
            _by_zero,
            _moved(lambda f, h, high, low: 1 - (1 - low / high) * h),
            _moved(lambda f, h, high, low: 1 - (1 - 0.85 / 0.95) * h),
            _moved(lambda f, h, high, low: 1 - (1 - low) * h),
        ),
        (
            "shape.momentum(min_factor) wants the lowest momentum as a factor, low / high.",
            _moved(lambda f, h, high, low: high * (1 - (1 - 0.85 / 0.95) * h)),
            _moved(lambda f, h, high, low: high * (1 - (1 - low) * h)),
        ),
        (
            "your momentum moves with the rate. It is low at the peak, and high at both ends.",
            _moved(lambda f, h, high, low: low + (high - low) * h),
        ),
        (
            "your momentum follows something else. It follows shape.height(t), which is 0 at the "
            "start and at the end, where the factors differ.",
            _moved(lambda f, h, high, low: high - (high - low) * f),
            _moved(lambda f, h, high, low: high - (high - low) * (f - f[0]) / (1 - f[0])),
            _moved(lambda f, h, high, low: np.linspace(high, low, len(h))),
        ),
        (
            "at the peak the momentum is low, so the way down is high - low.",
            _moved(lambda f, h, high, low: high - low * h),
            _moved(lambda f, h, high, low: high * (1 - h)),
        ),
        (
            "you took one momentum for every step, that of the peak or of the start.",
            *(_moved(lambda *given: given[2]), _moved(lambda *given: given[3])),
        ),
        ("that is the effective rate. Which rate has it?", _steady(lambda f, mu, *_: f / (1 - mu))),
        (
            "you scaled the factors to a peak of 1. They belong to the peak of the one-cycle.",
            _steady(lambda f, mu, h, m: (x := f / (1 - mu)) / x.max()),
        ),
        (
            "the effective rate is the rate divided by 1 - momentum, and grows with the momentum. "
            "Which effective rate has your factor, and which the one-cycle's?",
            _steady(lambda f, mu, h, m: f / (1 - mu) / (1 - m)),
            _steady(lambda f, mu, h, m: f * (1 - mu) / (1 - m)),
            _steady(lambda f, mu, h, m: f * (1 - mu) * (1 - m)),
            _steady(lambda f, mu, h, m: f * (1 - mu)),
            _steady(lambda f, mu, h, m: f * mu / (m or 1)),
            _steady(lambda f, mu, h, m: f * m / mu),
        ),
        ("you return the factors as they are.", _steady(lambda f, *_: f)),
        ("those are momenta. Which rates do the same?", _steady(lambda f, mu, *_: mu)),
        (
            "you took the height for the rate. The rate is shape(t).",
            _steady(lambda f, mu, h, m: h * (1 - m) / (1 - mu)),
        ),
    ),
    differs="step {i} has {given}. With the momentum {momentum} the factor {wanted} has the "
    "effective rate that the one-cycle has there.",
    passed="the same effective rate at every step, with a momentum that stays where it is.",
)

check_least_div_factor = exercise(
    "Exercise 2b: ``least_div_factor(high, low)``, below which the effective rate never rises.",
    right=lambda high, low: (1 - low) / (1 - high),
    cases=((0.95, 0.85), (0.92, 0.5), (0.99, 0.9)),
    rel=2e-5,
    wrong=(
        (
            "the effective rate has 1 - momentum in it, not the momentum.",
            *(lambda high, low: high / low, lambda high, low: low / high),
        ),
        (
            "that is one effective rate, at the start or at the peak. Which ratio have the two?",
            *(lambda high, low: 1 / (1 - high), lambda high, low: 1 / (1 - low)),
        ),
        (
            "that is a difference. Which ratio of the rates makes the effective rates equal?",
            *(lambda high, low: (high - low) / (1 - high), lambda high, low: 1 / (high - low)),
            lambda high, low: 1 / (1 - high) - 1 / (1 - low),
        ),
        ("torch's default? Which one makes start and peak equally high?", lambda high, low: 25),
    ),
    say={"reciprocal": "that is the other way round; a div_factor is at least 1."},
    differs="with div_factor={given} the rate at the peak is {given} times that of the first step. "
    "What does a momentum of {high} make of the first, and one of {low} of the peak?",
    passed="with a smaller div_factor the run starts at its highest effective rate.",
)


# --- 4. What is wrong with this experiment?

check_flaws = flaws(
    "Exercise 4a: which of the statements A to H name a flaw of the experiment.",
    right=lambda: {"A", "C", "D", "F", "G", "H"},
    hints={
        "A": "compare the seven losses that were printed for the seven peaks. What does OneCycleLR "
        "do with the rate that the optimizer was built with?",
        "B": "epochs * batches is the number of updates of the run, and in total_steps torch wants "
        "that. What is wrong is how often it is stepped.",
        "C": "how many steps does the scheduler make in 4 epochs, and how many lead up to the top?",
        "D": "put an LRTrace on the optimizer of a one-cycle run and look at its momentum. What "
        "does the signature of OneCycleLR say, and what does it make of the effective rate?",
        "E": "that is how it should be: with the same initial weights and the same noise, the "
        "difference is that of the runs.",
        "F": "after how many of its 1,600 updates did the fixed rate reach the loss that one-cycle "
        "ends at? Could it have been sooner with another rate, or with one that comes down?",
        "G": "where does the 0.02 come from? One-cycle got to try seven peaks.",
        "H": "how far apart are two seeds of the same run? One of each cannot say.",
    },
    passed="no cycle, no peak, a momentum on one side, and a rival that was never asked how fast.",
)


def _running(loop="us", shape=lambda n, *_: OneCycle(n), says=lambda losses: losses[-1]):
    """A run in which any part can be made wrong; u: update, s: scheduler.step."""

    def run(start, peak, seed, epochs, batches):
        optimizer, update, loss = start(peak, seed)
        scheduler = LambdaLR(optimizer, shape(epochs * batches, epochs, batches))
        losses = []
        for _ in range(epochs * batches):
            for action in loop:
                update() if action == "u" else scheduler.step()
            losses.append(loss())
        return says(losses)

    return run


def _read_run(ask: Ask, *case: Any) -> dict[str, Any]:
    try:
        return one_run(ask, *case)
    except Mistake as error:
        if isinstance(error.__cause__, ValueError) and "Tried to step" in str(error):
            raise Mistake(
                f"{error}. That is OneCycleLR's: its plan is shorter than the run. total_steps "
                f"counts updates, {case[2] * case[3]} here."
            ) from error.__cause__
        raise


check_run = exercise(
    "Exercise 4b: ``run(start, peak, seed, epochs, batches)``, repaired.",
    right=_running(),
    names=("peak", "_seed", "epochs", "batches", "_momentum"),
    cases=((0.5, 3, 5, 8, 0.0), (2.0, 8, 3, 10, 0.5), (0.1, 1, 1, 30, 0.0)),
    read=_read_run,
    noun="run",
    wrong=(
        ("the rate stayed at the bottom: step the scheduler after every update.", _running("u")),
        (
            "the factor was applied twice. Is there more than one scheduler?",
            _running(shape=lambda n, *_: OneCycle(n) * OneCycle(n)),
        ),
        (
            "torch's defaults are asked for: two phases, both half cosines, the peak after 0.3 of "
            "the run, from peak / 25 down to a 10,000th of that.",
            *(
                _running(shape=lambda n, *_, options=options: OneCycle(n, **options))
                for options in (
                    *({"anneal_strategy": "linear"}, {"three_phase": True}),
                    *({"div_factor": 10}, {"div_factor": 1}, {"final_div_factor": 25}),
                    *({"pct_start": share} for share in (0, 0.1, 0.2, 0.25, 1 / 3, 0.4, 0.5)),
                )
            ),
        ),
        (
            "your cycle and the run are not equally long. total_steps counts updates, epochs * "
            "batches.",
            *(_running(shape=lambda n, *_, k=k: OneCycle(int(k * n))) for k in (0.5, 2, 10)),
            *(_running(shape=lambda n, *_, k=k: OneCycle(n + k)) for k in (-1, 1, 2)),
            *(_running(shape=lambda *n, k=k: OneCycle(n[k])) for k in (1, 2)),
        ),
        (
            "your last update used a higher rate than the one before: OneCycleLR rebounds past its "
            "end. Its plan is a step too short.",
            _running(shape=lambda n, *_: lambda t: _phases()(t, n - 1, 0.3, 25, 1e4)),
        ),
        (LOWEST, _running(says=min)),
        (MEAN, _running(says=np.mean)),
        (BEFORE, *(_running(says=lambda losses, k=k: losses[k]) for k in (0, -2))),
    ),
    say={
        "applied": OF_A_NOISY_RUN
        | {
            "divided peak": "the highest rate is 1, whatever the peak. The peak of this run is the "
            "one in the arguments; for OneCycleLR it is max_lr.",
            "scaled": "the rates are {c} times as high as they should be. The peak is the highest "
            "rate, max_lr, not the first; the first is peak / 25.",
        }
    },
    differs=DIFFERS
    | {
        "applied": "update {i} used the rate {given}, but a one-cycle with torch's defaults has "
        "{wanted} there."
    },
    passed="one cycle that ends with the run, at the peak that was asked for, and nothing else.",
)

# --- 5. When does a rise pay?


def _read_price(ask: Ask, *case: float) -> float:
    """A difference, which in float32 may be a little beside 0."""
    price = to_number(ask(*case), ask.name)
    return price if abs(price) > 1e-6 else 0.0


def _noise(left):
    """The price, from the noise that is left by updates at a and then b."""
    return lambda a, b, h, c: h / 2 * c * (left(a, b, h) - left(b, a, h))


check_price = exercise(
    "Exercise 5a: ``price(a, b, h, c)``, the loss of the order a, b above that of b, a.",
    right=lambda a, b, h, c: a * b * (b - a) * h**2 * c,
    cases=((0.1, 0.4, 0.4, 3.0), (0.3, 0.5, 0.25, 1.0), (0.5, 0.2, 1.0, 2.0), (0.3, 0.3, 1.0, 1.0)),
    read=_read_price,
    rel=1e-4,  # a difference, in float32
    wrong=(
        (
            "that is the difference in E θ². The loss is h/2 times that.",
            lambda a, b, h, c: 2 * a * b * (b - a) * h * c,
        ),
        (
            "c is the variance of the noise, neither to be squared nor its root taken.",
            *(lambda a, b, h, c, k=k: a * b * (b - a) * h**2 * c**k for k in (0.5, 2)),
        ),
        (
            "both updates add noise, and the second shrinks that of the first.",
            *(_noise(lambda a, b, h: b**2), _noise(lambda a, b, h: (a * (1 - b * h)) ** 2)),
        ),
        (
            "an update at the rate η multiplies E θ² by (1 - η h)², and adds η² c.",
            _noise(lambda a, b, h: a**2 * (1 - b * h) + b**2),
            _noise(lambda a, b, h: (a * (1 - a * h)) ** 2 + b**2),
            _noise(lambda a, b, h: a * (1 - b * h) ** 2 + b),
            _noise(lambda a, b, h: h**2 * ((a * (1 - b * h)) ** 2 + b**2)),
        ),
        ("the start shrinks alike in both orders, but the noise does not.", lambda a, b, h, c: 0.0),
        (
            "that is the noise left in one order. Subtract that of the other.",
            lambda a, b, h, c: h / 2 * c * ((a * (1 - b * h)) ** 2 + b**2),
        ),
    ),
    say={
        "negative": "look at the sign. The price of a first and b second is what it costs more.",
        "divided h": "one factor h is missing. Is your loss ½ θ²? It is ½ h θ².",
        "scaled": "it is {c} times what is right. The loss is ½ h θ², with the ½.",
    },
    differs="you returned {given}, not {wanted}. With e = E θ², an update at the rate η turns e "
    "into (1 - η h)² e + η² c. Do it twice in both orders, and subtract.",
    passed="the lower rate first costs a b (b - a) h² c, wherever the run begins.",
)
