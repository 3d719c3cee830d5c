"""Checkers of chapter 08: factor and Adam; the runs and the measurements are in modules beside."""

from __future__ import annotations

import numpy as np

from lrlib.exercises import Ask, exercise, over, to_numbers
from lrlib.exercises.warmup_length import check_plan, check_shortest_line, model
from lrlib.exercises.warmup_runs import check_flaws, check_recipe, check_resume, check_train, job

__all__ = ["check_factor", "check_flaws", "check_plan", "check_recipe", "check_resume",
           "check_shortest_line", "check_train", "check_updates", "job", "model"]  # fmt: skip


def _factor(t: int, n: int) -> float:
    return min(1.0, (t + 1) / n)


# fmt: off
check_factor = exercise(
    "Exercise 1: ``factor(t, n)``, a linear warm-up that wastes no update.",
    right=_factor,
    cases=((4,), (10,), (7,), (1,)),
    far=((20_000, 4), (1_000_000, 4), (20_000, 40_000)),
    read=over(lambda n: range(3 * n + 2)),
    rules_out="lrlib",
    wrong=(
        ("the first update has the factor 0 and changes nothing: it is wasted. t counts the updates"
         " already made, so the one being made has the number t + 1.",
         lambda t, n: min(1, t / n), lambda t, n: t / n if t < n - 1 else 1),
        ("your factor goes on rising past 1. After the warm-up it stays at 1.",
         lambda t, n: (t + 1) / n),
        ("the first update is wasted, its factor is 0; and the last ones lie above 1.",
         lambda t, n: t / n),
        ("the first update is wasted, its factor is 0, and your line has n - 1 steps. It starts at "
         "1/n, and each step adds 1/n.", lambda t, n: min(1, t / (n - 1)) if n > 1 else 1),
        ("the peak comes one update too late: update number n, at step n - 1, has the factor 1.",
         lambda t, n: min(1, (t + 1) / (n + 1))),
        ("at step n your factor is above 1: there n updates are made already.",
         lambda t, n: (t + 1) / n if t <= n else 1),
        ("your factor is 1 first and rises after. Did you take max for min?",
         lambda t, n: max(1, (t + 1) / n)),
        ("// and int() drop the fraction, and all but the peak is 0.",
         lambda t, n: min(1, (t + 1) // n), lambda t, n: min(1, t // n)),
        ("t + 1 / n is t + (1 / n). The sum needs brackets.",
         lambda t, n: min(1, t + 1 / n), lambda t, n: t + 1 / n),
        ("the fraction is upside down: update number t + 1 of n has (t + 1) / n.",
         lambda t, n: min(1, n / (t + 1)), lambda t, n: n / (t + 1)),
        ("after the warm-up your factor is 0. It stays at 1.",
         lambda t, n: (t + 1) / n if t < n else 0, lambda t, n: t / n if t < n else 0),
        ("from step n - 1 on your factor is 0. It is 1 there, and stays so.",
         lambda t, n: (t + 1) / n if t < n - 1 else 0),
        ("the first factor is right and the line too flat: from update 1 to update n it is n - 1 "
         "steps, not n. Each adds 1/n.", lambda t, n: min(1, 1 / n + (1 - 1 / n) * t / n)),
        ("the first two updates have the same factor. Update number 2 has 2/n.",
         lambda t, n: min(1, max(t, 1) / n)),
        ("your factor rises along a curve. By the same amount, 1/n, at every step is wanted.",
         lambda t, n: n ** (min(t, n - 1) / max(n - 1, 1) - 1),
         lambda t, n: (1 - np.cos(np.pi * min(1, (t + 1) / n))) / 2),
        ("t % n begins again after n steps. After the warm-up the factor stays at 1.",
         lambda t, n: (t % n + 1) / n),
        ("your factor falls. It should rise to 1.",
         lambda t, n: max(0, 1 - t / n), lambda t, n: max(0, 1 - (t + 1) / n)),
        ("your factor falls after the peak. Here it stays at 1.",
         lambda t, n: min((t + 1) / n, (n / (t + 1)) ** 0.5)),
        ("the warm-up has n steps and the run goes on: after them the factor is 1.",
         lambda t, n: [(k + 1) / n for k in range(n)][t], lambda t, n: np.linspace(1 / n, 1, n)[t]),
    ),
    say={
        "early": "you are one step ahead: t + 1 is the number of the update; the first has 1/n.",
        "scaled": "after the warm-up your factor is {c}. A factor is the rate over its peak, so "
        "there it is 1.",
        "constant": "your factor never rises. It should be 1/n at step 0 and 1 at step n - 1.",
        "times n": "those are numbers of updates, n at last. The factor is the share of n.",
    },
    differs="step {i} has the factor {given}, and {wanted} is right.",
    passed="the first update has a share of the peak, and update number n has all of it.",
)
# fmt: on


# --- 3. Adam's first updates


def _adam(
    betas=lambda a, b: (a, b),
    new=lambda a, b: (1 - a, 1 - b),
    squared=np.square,
    bias=lambda m, v, a, b, t: (m / (1 - a**t), v / (1 - b**t)),
    fixes=lambda correct: (correct, correct),
    start=1,
    update=lambda m, v: m / np.sqrt(v),
    kept=False,
    first=False,
):
    """Adam's updates, any part of which can be made wrong."""

    def updates(gradients, beta1, beta2, correct):
        a, b = betas(beta1, beta2)
        new_m, new_v = new(a, b)
        m, v, out = 0 * gradients[0], 0 * gradients[0], []
        for t, g in enumerate(gradients, start):
            if first and not out:
                m, v = g, squared(g)
            else:
                m, v = a * m + new_m * g, b * v + new_v * squared(g)
            fixed = bias(m, v, a, b, t)
            used = [
                y if fix else x for x, y, fix in zip((m, v), fixed, fixes(correct), strict=True)
            ]
            if kept:
                m, v = used
            out.append(update(*used))
        return np.array(out)

    return updates


def _updates_of(ask: Ask, gradients: np.ndarray, *betas: float) -> dict[str, np.ndarray]:
    return {
        name: to_numbers(ask(gradients, *betas, correct), ask.name)
        for name, correct in (("uncorrected", False), ("corrected", True))
    }


_draw = np.random.default_rng(8).standard_normal
_ENTRY = "with correct={}, row and column {{i}}, from 0, have {{given}}, and {{wanted}} is right."

# fmt: off
check_updates = exercise(
    "Exercise 3: ``updates(gradients, beta1, beta2, correct)``, Adam's update sizes.",
    right=_adam(),
    names=("gradients", "beta1", "beta2"),
    cases=((np.full((4, 2), 3.0), 0.9, 0.999), (1 + _draw((12, 3)), 0.9, 0.999),
           (1e-6 * _draw((7, 2)), 0.8, 0.95), (100 * _draw((5, 1)), 0.95, 0.99)),
    read=_updates_of,
    rel=1e-4,  # in float32 1 - beta2 has an error of 6e-5
    wrong=(
        ("the bias is not corrected.", _adam(fixes=lambda _: (False, False))),
        ("you correct the bias. Look at `correct`.", _adam(fixes=lambda _: (True, True))),
        ("`correct` is the other way round: the bias is to be corrected if it is true.",
         _adam(fixes=lambda correct: (not correct, not correct))),
        ("you add the updates up, as the weight does. Every update by itself is asked for.",
         lambda *case: np.cumsum(_adam()(*case), 0)),
        ("beta1 and beta2 are exchanged.", _adam(betas=lambda a, b: (b, a))),
        ("Adam's ε is left out here; with gradients of 1e-6 one sees it.",
         _adam(update=lambda m, v: m / (np.sqrt(v) + 1e-8)),
         _adam(update=lambda m, v: m / np.sqrt(v + 1e-8))),
        ("you divide by v. The square root of it is missing.", _adam(update=lambda m, v: m / v)),
        ("that is m. It is to be divided by the square root of v.", _adam(update=lambda m, _: m)),
        ("m is corrected and v is not. Both begin at 0.", _adam(fixes=lambda yes: (yes, False))),
        ("v is corrected and m is not. Both begin at 0.", _adam(fixes=lambda yes: (False, yes))),
        ("v is corrected by beta1. It remembers as long as beta2 says, so that belongs to it.",
         _adam(bias=lambda m, v, a, b, t: (m / (1 - a**t), v / (1 - a**t)))),
        ("the corrections have their betas exchanged: beta1 belongs to m, beta2 to v.",
         _adam(bias=lambda m, v, a, b, t: (m / (1 - b**t), v / (1 - a**t)))),
        ("the correction divides by 1 - beta^t: raise beta to the number of the update.",
         *(_adam(bias=lambda m, v, a, b, t, k=k: (m / (1 - a * k(t)), v / (1 - b * k(t))))
           for k in (int, bool))),
        ("the correction has (1 - beta)^t. It is 1 - beta^t, the power first.",
         _adam(bias=lambda m, v, a, b, t: (m / (1 - a) ** t, v / (1 - b) ** t))),
        ("the correction multiplies. It divides by 1 - beta^t, since m and v are too small.",
         _adam(bias=lambda m, v, a, b, t: (m * (1 - a**t), v * (1 - b**t)))),
        ("the correction is one update late: at the first update the power is 1.", _adam(start=2)),
        ("update 1 is no finite number. In the correction the power of beta is the number of the "
         "update, from 1: with the power 0 you divide by 1 - 1.", _adam(start=0)),
        ("the factors 1 - beta1 and 1 - beta2 of the new gradient are missing.",
         _adam(new=lambda a, b: (1, 1))),
        ("the factor 1 - beta1 of the new gradient is missing in m.",
         _adam(new=lambda a, b: (1, 1 - b))),
        ("the factor 1 - beta2 of the squared gradient is missing in v.",
         _adam(new=lambda a, b: (1 - a, 1))),
        ("beta and 1 - beta are exchanged: m keeps beta1 of the old, and 1 - beta1 of the new.",
         _adam(betas=lambda a, b: (1 - a, 1 - b))),
        ("v takes the square of the gradient.", _adam(squared=lambda g: g), _adam(squared=np.abs)),
        ("every weight has a v of its own.", _adam(squared=lambda g: g @ g)),
        ("you keep the corrected m and v for the next update. Adam corrects copies; m and v "
         "themselves go on uncorrected.", _adam(kept=True)),
        ("m and v begin at the first gradient. In Adam they begin at 0.", _adam(first=True)),
        ("that is the gradient over its own size: m and v do not remember the updates before.",
         _adam(betas=lambda a, b: (0, 0))),
        ("those are the gradients, as in SGD.", lambda g, *_: g),
    ),
    say={
        "negative": "the sign is wrong. The update is what is subtracted: its sign is that of m.",
        "absolute": "you return absolute values. The sign belongs to the update.",
    },
    differs={"uncorrected": _ENTRY.format(False), "corrected": _ENTRY.format(True)},
    passed="the first corrected update has the size 1 whatever the gradient.",
)
# fmt: on
