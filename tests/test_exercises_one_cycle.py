"""Chapter 07's checkers, beyond their tables; and what its sheet says."""

import math

import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import OneCycleLR

from lrlib import LRTrace, OneCycle, lab
from lrlib.exercises import Mistake
from lrlib.exercises import one_cycle as check
from lrlib.exercises.one_cycle_landscape import best_run
from lrlib.exercises.one_cycle_speed import _line, _speeds
from lrlib.lab import NoisyQuadratic

factor, steady, run = check._phases(), check._steady(), check._running()
updates_needed, speed_up = _line(), _speeds()
price = check.check_price.exercise.right


def steady_with_lrlib(shape, high, low, momentum):
    mu = shape.momentum(low / high)
    return [shape(t) * (1 - momentum) / (1 - high * mu(t)) for t in range(shape.total_steps)]


def needed_by_interp(budgets, errors, target):
    k = int(np.argmax(errors <= target))
    if errors.min() > target:
        return np.inf
    if k == 0:
        raise ValueError("shorter ones")
    return torch.tensor(2 ** np.interp(target, errors[[k, k - 1]], np.log2(budgets[[k, k - 1]])))


def with_torch(top=lambda peak: peak, total=lambda n: n, **options):
    """The run with torch's OneCycleLR."""

    def run(start, peak, seed, epochs, batches):
        optimizer, update, loss = start(peak, seed)
        settings = {"cycle_momentum": False} | options
        scheduler = OneCycleLR(optimizer, top(peak), total(epochs * batches), **settings)
        for _ in range(epochs * batches):
            update()
            scheduler.step()
        return loss()

    return run


def careless(start, peak, seed, epochs, batches):
    """The colleague's, as the notebook has it."""
    optimizer, update, loss = start(peak, seed)
    scheduler = OneCycleLR(optimizer, max_lr=1.0, total_steps=epochs * batches)
    for _ in range(epochs):
        for _ in range(batches):
            update()
        scheduler.step()
    return loss()


def fixed(start, peak, seed, epochs, batches):
    _, update, loss = start(peak, seed)
    for _ in range(epochs * batches):
        update()
    return loss()


def price_in_the_lab(a, b, h, c):
    model = NoisyQuadratic((h,), (c,), start=1.0)
    return float(model.loss([a, b])[-1] - model.loss([b, a])[-1])


@pytest.mark.parametrize(
    ("checker", "solution"),
    [
        (check.check_factor, lambda *args: np.float32(factor(*args))),
        (check.check_steady, steady_with_lrlib),
        (check.check_steady, lambda *args: torch.tensor(steady(*args), dtype=torch.float32)),
        (check.check_updates_needed, needed_by_interp),
        (check.check_updates_needed, lambda *args: np.float32(updates_needed(*args))),
        (check.check_speed_up, lambda *args: np.float32(speed_up(*args))),
        (check.check_flaws, lambda: ["h", "g", "f", "d", "c", "a"]),
        (check.check_run, with_torch()),
        (check.check_price, price_in_the_lab),
        (check.check_price, lambda *args: price(*map(torch.tensor, args))),
        (check.check_landscape, lambda x: 25 * x**4),
        (check.check_landscape, lambda x: torch.exp(3 * x) - 3 * x - 1),
        (check.check_landscape, lambda x: x.float() ** 8),
    ],
)
def test_other_solutions_pass(checker, solution, capsys):
    checker(solution)
    assert capsys.readouterr().out.startswith("Passed: ")


def refuses_infinity(budgets, ours, rival, target):
    if rival.min(1).max() > target:
        raise ValueError("not reached")
    return speed_up(budgets, ours, rival, target)


def divides_infinities(budgets, *args):
    try:
        return speed_up(budgets, *args)
    except ValueError:
        return math.nan, math.nan, math.nan


MISTAKES = [
    (check.check_factor, lambda t, *case: check._factor(t, *case), "calls OneCycle"),
    (
        check.check_factor,
        lambda t, n, p, d, f: d * factor(t, n, p, d, f),
        "begin at 1.*1 at the top",
    ),
    (check.check_factor, lambda *args: factor(*args) / 2, "the highest is 0.5"),
    (check.check_factor, lambda t, *case: 0.5, "step 0 has 0.5.*rise ends at step 4"),
    (check.check_steady, lambda *args: 2 * steady(*args), "step 0 has.* 2 times what is right"),
    (check.check_steady, lambda shape, *args: shape, "an array of numbers"),
    (check.check_least_div_factor, lambda high, low: (1 - high) / (1 - low), "other way round"),
    (check.check_least_div_factor, lambda high, low: 6, "the peak is 6 times"),
    (check.check_updates_needed, lambda *args: 7, "comes to 0.4 after"),
    (check.check_updates_needed, _line(never=lambda n: 5e3), "nothing was measured"),
    (check.check_updates_needed, _line(never=lambda n: None), "math.inf: .*returned None"),
    (check.check_updates_needed, _line(never=lambda n: 1 / 0), "math.inf: .*ZeroDivisionError"),
    (
        check.check_updates_needed,
        lambda n, errors, y: n[0] if errors[0] <= y else updates_needed(n, errors, y),
        "raise a ValueError that says so",
    ),
    (check.check_speed_up, refuses_infinity, "infinity and 0 are ratios like others"),
    (check.check_speed_up, divides_infinities, "inf / inf is no ratio"),
    (check.check_speed_up, _speeds(lambda r: r), "return three numbers"),
    (check.check_speed_up, _speeds(lambda r: np.sort(r)[[4, 1, 7]]), "low and middle have changed"),
    (check.check_speed_up, _speeds(lambda r: (1, 2, 3)), "your low is 1, not 1.2.*ratios are"),
    (check.check_run, careless, "changed only once per epoch"),
    (check.check_run, fixed, "rate never changed"),
    (check.check_run, check._running("su"), "one step early"),
    (check.check_run, check._running("usu"), "made 80 updates"),
    (check.check_run, with_torch(lambda peak: 1.0), "highest rate is 1, whatever the peak"),
    (check.check_run, with_torch(lambda peak: peak / 25), "are 0.04 times as high"),
    (check.check_run, with_torch(total=lambda n: n // 2), "its plan is shorter than the run"),
    (check.check_run, with_torch(total=lambda n: 3 * n), "torch's defaults has"),
    (check.check_run, with_torch(cycle_momentum=True), "sets the momentum unless"),
    (check.check_price, lambda *args: -price(*args), "look at the sign"),
    (check.check_price, lambda *args: 2 * price(*args), "with the ½"),
    (check.check_price, lambda a, b, h, c: price(a, b, h, c) / h, "factor h is missing"),
    (check.check_price, lambda *args: price(*args) or 1.0, "1, not 0"),
    (check.check_landscape, lambda x: x**2 / 2, "the price of every rise is above 0"),
    (check.check_landscape, lambda x: x**4, "not steep enough at the start"),
    (check.check_landscape, lambda x: x**2 / (1 + x**2), "Where should it be high"),
    (check.check_landscape, lambda x: 0 * x + 1, "Does a weight move"),
    (check.check_landscape, lambda x: x, "nowhere below 0"),
    (check.check_landscape, lambda x: torch.log(x), "should be finite"),
    (check.check_landscape, lambda x: (x**2).sum(), "sum nothing"),
    (check.check_landscape, lambda x: math.exp(x), "many weights at once"),
    (check.check_landscape, lambda x: x**2 if x > 1 else x**4, "many weights at once"),
    (check.check_landscape, lambda x: x.detach() ** 2, "no gradient"),
    (check.check_landscape, lambda x: x.detach().numpy() ** 2, "return a tensor"),
    (check.check_landscape, lambda x: torch.cosh(60 * x), "every run diverged"),
]


@pytest.mark.parametrize(("checker", "answer", "hint"), MISTAKES)
def test_each_mistake_gets_its_hint(checker, answer, hint):
    with pytest.raises(Mistake, match=hint):
        checker(answer)


# --- What the sheet says


def test_the_colleagues_run_never_rises_and_has_a_momentum():
    traces, losses = [], []

    def start(peak, seed):
        optimizer, update, loss = check.start(peak, seed)
        traces.append(LRTrace(optimizer))
        return optimizer, update, loss

    for peak in (0.05, 1.6):
        losses.append(careless(start, peak, 0, epochs=4, batches=40))
    assert losses[0] == losses[1]
    assert traces[0].lr.max() < 0.05
    assert traces[0].momentum.min() > 0.94


@pytest.mark.parametrize("seed", [0, 1000, 2000, 3000])
def test_the_colleague_sees_what_is_quoted_with_any_seed(seed):
    assert careless(check.start, 0.1, seed, 4, 40) < fixed(check.start, 0.02, seed, 40, 40)
    # Another fixed rate gets there in 320 updates or less, so "ten times" is not right.
    assert fixed(check.start, 0.3, seed, 8, 40) < 0.2


def test_the_target_of_the_rerun_lies_between_the_budgets_for_any_seed():
    quadratic = lab.NoisyQuadratic(batch_size=16)
    for n, compare in ((25, np.greater), (400, np.less)):
        peak = quadratic.tune(OneCycle(n), n)[0]
        losses = quadratic.sample(peak * OneCycle(n).sample(n), 500, seed=1)[:, -1]
        assert compare(losses, 0.08).all()


def test_the_exact_losses_with_a_fixed_momentum_are_the_labs():
    shape = OneCycle(200)
    for momentum in (0.0, 0.9):
        peak, loss = check.best_loss(shape.sample(200), np.full(200, momentum))
        quadratic = NoisyQuadratic(batch_size=16)
        assert loss == pytest.approx(quadratic.loss(peak * shape.sample(200), momentum)[-1])
        assert loss == pytest.approx(quadratic.tune(shape, 200, momentum, cap=4)[1], rel=1e-3)


@pytest.mark.parametrize(
    ("landscape", "rise", "fall"),
    [
        (lambda x: x**2 / 2, 0.0000405, 0.0000309),
        (lambda x: x**4, 0.000101, 0.0000778),
        (lambda x: x.abs(), 0.00000112, 0.000000528),
    ],
)
def test_the_losses_in_the_table(landscape, rise, fall):
    assert best_run(landscape, 0.3)[1] == pytest.approx(rise, rel=0.01)
    assert best_run(landscape, 0.0)[1] == pytest.approx(fall, rel=0.01)


def test_every_rise_on_the_noisy_quadratic_can_be_sorted_away():
    rates = np.random.default_rng(0).uniform(0.01, 1.5, 12)
    quadratic = NoisyQuadratic(batch_size=4)
    losses = [quadratic.loss(rates)[-1]]
    while (rises := np.flatnonzero(np.diff(rates) > 0)).size:
        k = rises[0]
        rates[[k, k + 1]] = rates[[k + 1, k]]
        losses.append(quadratic.loss(rates)[-1])
    assert (np.diff(losses) < 0).all()


def test_the_interval_holds_the_median_with_96_percent():
    misses = 2 * sum(math.comb(9, k) for k in (0, 1)) / 2**9
    assert 1 - misses == pytest.approx(0.96, abs=0.002)
