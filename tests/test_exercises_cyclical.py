"""Chapter 06's checkers, beyond their tables (test_exercises_tables.py)."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import CyclicLR

from lrlib import Cyclical, LRTrace, PolynomialDecay
from lrlib.exercises import Mistake
from lrlib.exercises import cyclical as check
from lrlib.exercises import cyclical_range as given
from lrlib.exercises.noisy_runs import made_up_loss

factor, running = check._factor, check._running
step_sizes = check.check_step_sizes.exercise.right
bounds, means = given._bounds, given._means


def centred(half):
    return bounds(means(half, half))


def with_median(losses):
    n = len(given._finite(losses))
    return np.array([np.median(losses[max(0, i - 25) : min(n, i + 26)]) for i in range(n)])


def mask_and_shift(rates, losses):
    """Takes only finite readings, but averages before it does."""
    smooth, rates = np.convolve(losses, np.ones(41) / 41, mode="valid"), rates[20:-20]
    kept = np.isfinite(smooth)
    if not kept.any() or smooth[kept].min() > 0.9 * smooth[kept][0]:
        raise ValueError("no fall")
    way = (smooth[kept][0] - smooth[kept]) / (smooth[kept][0] - smooth[kept].min())
    return torch.tensor([rates[kept][np.argmax(way >= share)] for share in (0.2, 0.8)])


def with_torch(**options):
    """The run with torch's CyclicLR."""

    def run(start, peak, seed, epochs, batches, cycles):
        optimizer, update, loss = start(peak, seed)
        steps = epochs * batches
        scheduler = CyclicLR(optimizer, peak / 10, peak, steps // (2 * cycles), **options)
        for _ in range(steps):
            update()
            scheduler.step()
        return loss()

    return run


def by_hand(factors=lambda peak, shape, t: peak * shape(t), steps=lambda n: n):
    def run(start, peak, seed, epochs, batches, cycles):
        optimizer, update, loss = start(peak, seed)
        shape = Cyclical(0.1, epochs * batches // (2 * cycles))
        for t in range(steps(epochs * batches)):
            optimizer.param_groups[0]["lr"] = factors(peak, shape, t)
            update()
        return torch.tensor(loss(), dtype=torch.float64)

    return run


def careless(start, peak, seed, epochs, batches, cycles):
    """The colleague's, as the notebook has it."""
    optimizer, update, loss = start(peak, seed)
    scheduler = CyclicLR(optimizer, base_lr=peak / 10, max_lr=peak, step_size_up=2 * batches)
    losses = []
    for _ in range(epochs):
        for _ in range(batches):
            update()
        scheduler.step()
        losses.append(loss())
    return min(losses)


def steps_the_optimizer(start, peak, seed, epochs, batches, cycles):
    optimizer, _, loss = start(peak, seed)
    for _ in range(epochs * batches):
        optimizer.step()
    return loss()


@pytest.mark.parametrize(
    ("checker", "solution"),
    [
        (check.check_factor, lambda t, m, u, d: np.interp(t % (u + d), [0, u, u + d], [m, 1, m])),
        (check.check_factor, lambda t, *case: torch.tensor(factor(t, *case)).float()),
        (check.check_step_sizes, lambda n, k: np.array(step_sizes(n, k))),
        (check.check_step_sizes, lambda n, k: tuple((b, a) for a, b in step_sizes(n, k)[::-1])),
        (check.check_bounds, centred(10)),
        (check.check_bounds, centred(40)),
        (check.check_bounds, bounds(with_median)),
        (check.check_bounds, mask_and_shift),
        (check.check_flaws, lambda: ["g", "e", "d", "c", "b"]),
        (check.check_run, with_torch(cycle_momentum=False)),
        (check.check_run, by_hand()),
        (check.check_order, lambda: list("beafdc")),
        (check.check_order, lambda: "B, E, A, F, D, C"),
        (check.check_two_cycles, lambda: [(15, 119), (15, 151)]),
        (check.check_two_cycles, lambda: np.array([(40, 40), (40, 180)])),
    ],
)
def test_other_solutions_pass(checker, solution, capsys):
    checker(solution)
    assert capsys.readouterr().out.startswith("Passed: ")


def cycle_by_cycle(t, m, u, d):
    return factor(t, m, u, d) if t < u + d else cycle_by_cycle(t - u - d, m, u, d)


def refuses_never(rates, losses):
    try:
        return centred(20)(rates, losses)
    except ValueError:
        return 0.1, 1.0


MISTAKES = [
    (check.check_factor, lambda t, *case: Cyclical(*case)(t), "calls Cyclical"),
    (check.check_factor, cycle_by_cycle, "RecursionError.* use a loop"),
    (check.check_factor, lambda t, *case: factor(t + 1, *case), "one step ahead"),
    (check.check_factor, lambda t, *case: factor(max(t - 1, 0), *case), "one step late"),
    (check.check_factor, lambda *case: 0.1 * factor(*case), "highest of your factors is 0.1"),
    (check.check_factor, lambda t, m, u, d: factor(t, m, 8, 4) ** 2, "but the triangle has"),
    (check.check_step_sizes, lambda n, k: [(n / k / 2, n / k / 2)] * k, "whole number"),
    (check.check_step_sizes, lambda n, k: step_sizes(n, k)[0], r"one pair \(up, down\)"),
    (check.check_step_sizes, lambda n, k: step_sizes(n, k)[:1], "4 cycles need 4 pairs"),
    (check.check_step_sizes, lambda n, k: [(0, n // k)] * k, "at least 1 step"),
    (
        check.check_step_sizes,
        lambda n, k: [(1, sum(pair) - 1) for pair in step_sizes(n, k)],
        "differ by more than one",
    ),
    (
        check.check_step_sizes,
        lambda n, k: [(n // k // 2, n // k - n // k // 2)] * (k - 1) + [(n - n // k * (k - 1), 1)],
        r"ends at step 241",
    ),
    (
        check.check_step_sizes,
        lambda n, k: step_sizes(max(n, 2 * k), k),
        "4 cycles.*do not fit into 7, yet you returned",
    ),
    (check.check_step_sizes, lambda n, k: 1 // (n >= 2 * k) and step_sizes(n, k), "not ZeroDiv"),
    (check.check_step_sizes, lambda n, k: step_sizes(n if n % k == 0 else 0, k), "but 7 cycles"),
    (check.check_bounds, bounds(means(20, 20), says=lambda r, i, j: (2 * r[i], r[j])), "a fifth"),
    (
        check.check_bounds,
        bounds(lambda x: np.convolve(x, np.ones(3) / 3, "valid")),
        "Without these readings your answer was right",
    ),
    (
        check.check_bounds,
        bounds(lambda x: x, says=lambda r, i, j: (r[i], r[j]) if i else (math.nan, math.nan)),
        "minimum: leave out all readings",
    ),
    (check.check_bounds, lambda rates, losses: rates[0], "return two numbers"),
    (check.check_bounds, refuses_never, r"began too high, yet .* \(14 of the 17 range tests"),
    (check.check_bounds, lambda rates, losses: (None, 1.0), "for base_lr, should return one"),
    (check.check_run, careless, "changed only once per epoch"),
    (check.check_run, lambda s, p, *rest: s(p, 3) and 0.1, "made no update"),
    (check.check_run, lambda *case: 0.1, "no run was begun"),
    (check.check_run, by_hand(lambda peak, shape, t: peak), "rate never changed"),
    (check.check_run, running("su"), "one step early"),
    (check.check_run, by_hand(lambda p, shape, t: p * shape(max(t - 1, 0))), "one step late"),
    (check.check_run, running("uss"), "twice its speed"),
    (check.check_run, by_hand(lambda peak, shape, t: shape(t)), "factors were applied as rates"),
    (check.check_run, by_hand(lambda p, shape, t: 10 * p * shape(t)), "rates are 10 times as high"),
    (check.check_run, running(shape=lambda n, _: Cyclical(0.1, n, n + 1)), "update 7 used"),
    (check.check_run, with_torch(), r"built with the momentum 0.*cycle_momentum=False\.$"),
    (check.check_run, running(says=lambda losses: 7.0), "you returned 7"),
    (check.check_run, running("usu"), "made 48 updates"),
    (check.check_run, by_hand(steps=lambda n: n - 1), "made 23 updates"),
    (check.check_run, steps_the_optimizer, "called by itself"),
    (check.check_run, lambda s, p, *rest: running()(s, 0.1, *rest), "with the peak 0.1 and the"),
    (check.check_run, lambda *case: (running()(*case), running()(*case))[0], "made 2 runs"),
    (check.check_order, lambda: "CDFAEB", "from the highest loss to the lowest"),
    (check.check_order, lambda: "ABC", "each once"),
    (check.check_order, lambda: 7, "each once"),
    (check.check_order, lambda: "EBAFDC", "B and E have changed places: both end with a fall"),
    (check.check_order, lambda: "BAEFDC", "E and A have changed places: both end with a fall"),
    (check.check_order, lambda: "BEFADC", "A and F have changed places: which of them ends"),
    (check.check_order, lambda: "BEADFC", "F and D have changed places: F ends at its mean"),
    (check.check_order, lambda: "BEAFCD", "D and C have changed places: both end at the top"),
    (check.check_two_cycles, lambda: [(75, 75), (75, 75)], "2.63 .* step 225, and 75 steps"),
    (check.check_two_cycles, lambda: [(15, 255), (15, 15)], "15 steps are left"),
    (check.check_two_cycles, lambda: [(15, 15), (15, 256)], "ends at step 301"),
    (check.check_two_cycles, lambda: [(1, 1), (1, 297)], "at least 15 steps; one has 1"),
    (check.check_two_cycles, lambda: [(150, 150)], "2 cycles need 2 pairs"),
]  # fmt: skip


@pytest.mark.parametrize(("checker", "answer", "hint"), MISTAKES)
def test_each_mistake_gets_its_hint(checker, answer, hint):
    with pytest.raises(Mistake, match=hint):
        checker(answer)


def test_a_part_is_judged_alone(capsys):
    check.check_step_sizes(lambda n, k: [(1, sum(p) - 1) for p in step_sizes(n, k)], part="end")
    check.check_bounds(bounds(means(0, 0)), part=("clean", "with a tail"))
    check.check_run(with_torch(), part=("updates", "applied"))
    assert capsys.readouterr().out.count("Passed: ") == 3


def test_what_the_sheet_says_of_the_experiment():
    """The colleague's run never leaves the lowest part of the climb, and has a momentum."""
    traces = []

    def start(peak, seed):
        run = check.start(peak, seed)
        traces.append(LRTrace(run[0]))
        return run

    careless(start, 1.0, 0, epochs=6, batches=40, cycles=2)
    (trace,) = traces
    assert trace.lr.max() < 0.2
    assert trace.momentum.min() > 0.89
    # As planned, and stepped after every update, it would stop at a top.
    assert Cyclical(0.1, 80)(240) == 1


def test_the_made_up_losses_tell_the_likely_mistakes_apart():
    for _, _, epochs, batches, *_ in check.check_run.exercise.cases:
        losses = [made_up_loss(n) for n in range(1, epochs * batches + 1)]
        assert losses[-1] > min(losses)
        assert epochs == 1 or losses[-1] > min(losses[batches - 1 :: batches])


@pytest.mark.parametrize("half", [10, 20, 40])
def test_reasonable_windows_stay_within_the_tolerance_under_any_noise(half):
    """The checker's noise was not chosen for one window: other noise would hardly be worse."""
    missed = 0
    for test in (given.LOGARITHMIC, given.SHORTER, given.LINEAR):
        for seed in range(100, 120):
            answer = centred(half)(test.rates, test.losses(0.15, seed))
            missed += (np.abs(np.log(np.divide(answer, test.right()))) > math.log(1.5)).any()
    assert missed <= 2


def test_what_exercise_5_says_of_the_six_runs():
    quiet = dataclasses.replace(check.PROBLEM, gradient_variance=0)
    runs = check.six_runs()
    assert check.PROBLEM.tune(Cyclical(0.25, 100), 1000)[0] == pytest.approx(0.5, rel=0.01)
    losses = [check.PROBLEM.loss(runs[letter])[-1] for letter in "BEAFDC"]
    assert np.divide(losses[1:], losses[:-1]).min() > 1.09
    assert np.ptp([rates.sum() for rates in runs.values()]) < 1e-9
    distance = np.array([quiet.loss(rates)[-1] for rates in runs.values()])
    assert np.ptp(distance[:5]) < 1e-9 * distance[0] and np.ptp(distance) < 0.002 * distance[0]


def test_what_exercise_5_says_of_two_cycles():
    """The last fall decides: of the same length, it gives the same score."""

    def score(*sizes):
        up, down, again, last = sizes
        two = Cyclical(0.25, up, down).then(Cyclical(0.25, again, last), at=up + down)
        return round(check.PROBLEM.score(two, 300), 2)

    others = [(15, 15), (15, 105), (100, 15), (15, 60), (60, 15), (45, 45)]
    scores = [
        score(a, b, 300 - a - b - last, last) for a, b in others for last in (150, 155, 160)
        if 300 - a - b - last >= 15
    ]  # fmt: skip
    assert 2.29 <= min(scores) and max(scores) <= 2.34
    assert (score(75, 75, 75, 75), score(15, 15, 15, 255)) == (2.63, 2.16)
    assert round(check.PROBLEM.score(Cyclical(0.25, 150), 300), 2) == 2.33
    assert round(check.PROBLEM.score(PolynomialDecay(300, min_factor=0.25), 300), 2) == 2.11
