"""Chapter 08's checkers, beyond their tables (test_exercises_tables.py)."""

import math

import numpy as np
import pytest
import torch
from conftest import WEIRD
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

from lrlib import InverseSquareRoot, Warmup
from lrlib.exercises import Mistake, warmup_length, warmup_runs
from lrlib.exercises import warmup as check

recipe, train, rates = warmup_runs._recipe, warmup_runs._train, warmup_runs._rates
updates, shortest_line, plan = check._adam(), warmup_length._shortest_line, warmup_length._plan


def by_torch(g, beta1, beta2, correct):
    """torch's Adam, whose correction is taken out again."""
    weight = torch.zeros(g.shape[1], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([weight], lr=1.0, betas=(beta1, beta2), eps=0)
    out = []
    for t, row in enumerate(g, start=1):
        before = weight.detach().clone()
        weight.grad = torch.tensor(row)
        optimizer.step()
        lost = 1 if correct else (1 - beta1**t) / math.sqrt(1 - beta2**t)
        out.append((before - weight.detach()) * lost)
    return torch.stack(out)


def in_torch(optimizer, shape):
    line, cosine = shape.schedules
    up = LinearLR(optimizer, line.start_factor, 1.0, line.total_iters)
    down = CosineAnnealingLR(optimizer, cosine.T_max)
    return SequentialLR(optimizer, [up, down], [line.total_iters])


def by_hand(model, optimizer, update, epochs, batches, warmup, stop, saved, off=0, error=0.0):
    """No scheduler: the rate is written before every update."""
    peak, shape = optimizer.param_groups[0]["lr"], recipe(epochs * batches, warmup * batches, False)
    if saved is not None:
        model.load_state_dict(saved[0])
        optimizer.load_state_dict(saved[1])
        peak *= 1 + error
    for t in range(saved[2] if saved else 0, stop):
        optimizer.param_groups[0]["lr"] = peak * shape(max(t + off, 0))
        update(t)
    return [model.state_dict(), optimizer.state_dict(), stop]


def in_blocks(measure, peak):
    """Measures after every third update only."""
    made = []
    while peak * (now := measure(made)[-1]) >= 2:
        made += [min(peak, 1.95 / now)] * 3
    return np.array(made)


@pytest.mark.parametrize(
    ("checker", "solution"),
    [
        (check.check_factor, lambda t, n: torch.tensor((t + 1) / n).clamp(max=1)),
        (check.check_updates, by_torch),
        (check.check_updates, lambda *case: torch.tensor(updates(*case), dtype=torch.float32)),
        (check.check_train, train(build=in_torch)),
        (check.check_resume, train(build=in_torch)),
        (check.check_resume, train(build=warmup_runs._in_a_lambda)),
        (check.check_resume, by_hand),
        (check.check_shortest_line, lambda *case: np.int64(shortest_line(*case) + 1)),
        (check.check_plan, lambda *case: torch.tensor([*plan(*case, 1.999), case[1]])),
        (check.check_plan, in_blocks),
    ],
)
def test_other_solutions_pass(checker, solution, capsys):
    checker(solution)
    assert capsys.readouterr().out.startswith("Passed: ")


def greedy(margin=1.9, limit=2.0, steps=None):
    """A plan that goes to the peak below another limit, or after so many steps."""

    def plan(measure, peak):
        rates = []
        while len(rates) < steps if steps else peak * measure(rates)[-1] >= limit:
            rates.append(min(peak, margin / measure(rates)[-1]))
        return rates

    return plan


def never_stable(measure, peak):
    n = 1
    while measure(peak * np.arange(1, n + 1) / n)[-1] > 0:
        n *= 2


def steps_itself(model, optimizer, update, *rest):
    update(0)
    optimizer.step()
    return 1


MISTAKES = [
    (check.check_factor, lambda t, n: InverseSquareRoot(n)(min(t, n - 1)), "calls Inverse"),
    (check.check_factor, lambda t, n: min(1, (t + 2) / n), "one step ahead"),
    (check.check_factor, lambda t, n: 0.1 * min(1, (t + 1) / n), "your factor is 0.1. A factor is"),
    (check.check_factor, lambda t, n: 1 / n, "never rises"),
    (check.check_factor, lambda t, n: min(n, t + 1), "numbers of updates"),
    (check.check_updates, lambda *case: -updates(*case), "the sign is wrong"),
    (check.check_updates, lambda *case: np.abs(updates(*case)), "absolute values"),
    (check.check_train, rates(lambda T, n, b, t: 1), "the rate never changed"),
    (check.check_train, lambda *args: by_hand(*args, 1), "one step early"),
    (check.check_train, lambda *args: by_hand(*args, -1), "one step late"),
    (check.check_train, rates(lambda T, n, b, t: recipe(T, n, False)(2 * t)), "twice its speed"),
    (check.check_train, lambda *args: 1, "no update was made"),
    (check.check_train, steps_itself, "called by itself"),
    (check.check_resume, lambda *args: {"o": args[1], "x": train()(*args)}, "could not read back"),
    (check.check_resume, lambda *args: by_hand(*args, -1), "without a crash already"),
    (check.check_resume, lambda *args: by_hand(*args, error=1e-15), "in the last digits"),
    (check.check_resume, train(build=in_torch, loads="first"), "Build all objects first"),
    (check.check_shortest_line, lambda *case: 2 * shortest_line(*case), "it would be too"),
    (check.check_shortest_line, lambda *case: 0, "at least 1 step"),
    (check.check_shortest_line, never_stable, "not come to an end after .* measure"),
    (check.check_plan, lambda *case: [], "Already the first rate is too large"),
    (check.check_plan, lambda *case: plan(*case)[:-9], "peak comes before"),
    (check.check_plan, lambda _, peak: peak * np.arange(1, 9) / 8, "rises faster there"),
    (check.check_plan, greedy(2.0), "leave a margin"),
    (check.check_plan, greedy(1.6), "was 1.6, far from 2"),
    (check.check_plan, greedy(1.96, 1.96), "times sharpness is 1.99.*go to it as soon"),
    (check.check_plan, greedy(steps=1000), "peak itself is below the limit"),
    (check.check_plan, greedy(limit=0), "not come to an end after .* measure"),
    (check.check_plan, lambda *case: [math.nan, *plan(*case)], "above 0"),
    (check.check_plan, lambda _, peak: np.float32([peak * 1.0001]), "of update 0 is 1.0001"),
    (check.check_plan, lambda *case: [plan(*case)], "list of rates"),
]


@pytest.mark.parametrize(("checker", "answer", "hint"), MISTAKES)
def test_each_mistake_gets_its_hint(checker, answer, hint):
    with pytest.raises(Mistake, match=hint):
        checker(answer)


@pytest.mark.parametrize("checker", [getattr(check, n) for n in check.__all__ if n[:6] == "check_"])
def test_whatever_is_returned_the_checker_does_not_crash(checker):
    for value in WEIRD:
        with pytest.raises(Mistake):
            checker(lambda *args, value=value: value)


def test_the_sharpness_is_the_largest_eigenvalue():
    valley = warmup_length.VALLEYS[1]

    def loss(p):
        x, y = p
        return ((valley.h + (valley.k - valley.h) * y**2) * x**2 + valley.c * y**2) / 2

    # Beyond the limit x grows, so that the coupling counts.
    p = torch.tensor([1e-6, 1.0], dtype=torch.float64)
    rates, expected = [0.09] * 30, []
    for rate in [*rates, 0.0]:
        hessian = torch.autograd.functional.hessian(loss, p)
        expected.append(float(torch.linalg.eigvalsh(hessian)[-1]))
        p = p - rate * torch.autograd.functional.jacobian(loss, p)
    assert valley.trainer()(rates) == pytest.approx(expected, rel=1e-9)
    assert np.isfinite(valley.trainer()([1e3] * 50)).all()


def test_what_the_model_answers_say_is_so():
    valley = warmup_length.VALLEYS[0]
    assert warmup_length._fewest(valley, straight=False) == 161
    assert valley.product(Warmup(177, 0.16, "exponential").sample(177)).max() < 2
    for start in np.linspace(0.001, 0.199, 100):
        assert valley.product(Warmup(177, start).sample(177)).max() > 2
    best = np.array(plan(valley.trainer(), valley.peak))
    assert [f"{x:.2g}" for x in np.sort(best[1:] / best[:-1] - 1)[[0, -1]]] == ["0.0064", "0.012"]
    lost = (1 - 0.999 ** np.array([100, 1_000, 2_000])) ** -0.5
    assert [f"{x:.3g}" for x in lost] == ["3.24", "1.26", "1.08"]
    assert f"{(0.1 / 1.9) ** 0.5:.2f}" == "0.23"
