"""Chapter 06's checkers: the solution passes, mistakes get hints (starters: test_exercises.py)."""

import math

import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import CyclicLR, LambdaLR

from lrlib import Cyclical, LRTrace, ScheduledLR
from lrlib.exercises import Mistake
from lrlib.exercises import cyclical as check
from lrlib.exercises import cyclical_range as given
from lrlib.exercises.noisy_runs import made_up_loss

# --------------------------------------------------------------------------------------
# 1. The factor


def triangle(T_cur, up, down):
    return T_cur / up if T_cur <= up else (up + down - T_cur) / down


def factor(t, least, up, down):
    return least + (1 - least) * triangle(t % (up + down), up, down)


def interpolated(t, least, up, down):
    return np.interp(t % (up + down), [0, up, up + down], [least, 1, least])


def lower_line(t, least, up, down):
    """The lower of two lines."""
    T_cur = t % (up + down)
    return least + (1 - least) * min(T_cur / up, (up + down - T_cur) / down)


def lifted(height):
    """A factor with its own idea of the height, `height(t, T_cur, up, down)`."""

    def wrong(t, least, up, down):
        return least + (1 - least) * height(t, t % (up + down), up, down)

    return wrong


def stateful():
    """Counts its calls instead of looking at t."""
    seen = {}

    def counting(t, *case):
        seen[case] = seen.get(case, -1) + 1
        return factor(seen[case], *case)

    return counting


# --------------------------------------------------------------------------------------
# 2. Cycles that end with the run


def step_sizes(total_steps, cycles):
    if total_steps < 2 * cycles:
        raise ValueError("they do not fit")
    ends = [total_steps * i // cycles for i in range(cycles + 1)]
    lengths = np.diff(ends)
    return [(int(n) // 2, int(n) - int(n) // 2) for n in lengths]


def sizes_of(length, guard=True):
    """Sizes with their own idea of the length of cycle i, `length(i, total_steps, cycles)`."""

    def wrong(total_steps, cycles):
        if guard and total_steps < 2 * cycles:
            raise ValueError("they do not fit")
        lengths = [length(i, total_steps, cycles) for i in range(cycles)]
        return [(n // 2, n - n // 2) for n in lengths]

    return wrong


def rest_last(i, total_steps, cycles):
    n = total_steps // cycles
    return n if i < cycles - 1 else total_steps - n * (cycles - 1)


def halved_twice(total_steps, cycles):
    half = total_steps // cycles // 2
    return [(half, half)] * cycles


# --------------------------------------------------------------------------------------
# 3. The bounds


def readings(losses):
    finite = np.isfinite(losses)
    return len(losses) if finite.all() else int(np.argmin(finite))


def centred(losses, half=20):
    n = readings(losses)
    return np.array([losses[max(0, i - half) : min(n, i + half + 1)].mean() for i in range(n)])


def trailing(losses, width=41):
    n = readings(losses)
    return np.array([losses[max(0, i - width + 1) : i + 1].mean() for i in range(n)])


def leading(losses, width=41):
    return np.convolve(losses[: readings(losses)], np.ones(width) / width, mode="valid")


def padded(losses, width=41):
    return np.convolve(losses[: readings(losses)], np.ones(width) / width, mode="same")


def exponential(losses, beta=0.97):
    """An exponential mean, corrected for its start."""
    mean, out = 0.0, []
    for i, loss in enumerate(losses[: readings(losses)], start=1):
        mean = beta * mean + (1 - beta) * loss
        out.append(mean / (1 - beta**i))
    return np.array(out)


def bounding(
    smooth=centred,
    base=lambda way: np.argmax(way >= 0.2),
    top=lambda way: np.argmax(way >= 0.8),
    says=lambda rates, i, j: (rates[i], rates[j]),
    refuse=lambda a, b: b > 0.9 * a,
):
    """An answer in which any part can be made wrong."""

    def bounds(rates, losses):
        means = smooth(losses)
        a, b = means[0], means.min()
        if refuse(a, b):
            raise ValueError("no fall")
        way = (a - means) / (a - b)
        return says(rates, int(base(way)), int(top(way)))

    return bounds


def with_median(losses):
    n = readings(losses)
    return np.array([np.median(losses[max(0, i - 25) : min(n, i + 26)]) for i in range(n)])


def by_shares_of_the_loss(rates, losses):
    means = centred(losses)
    a, b = means[0], means.min()
    if b > 0.9 * a:
        raise ValueError("no fall")
    return rates[np.argmax(means <= 0.8 * a)], bounding()(rates, losses)[1]


def by_share_of_the_lowest(rates, losses):
    base, _ = bounding()(rates, losses)
    means = centred(losses)
    return base, rates[np.argmax(means <= 1.2 * means.min())]


def mask_and_shift(rates, losses):
    """Takes only finite readings, but averages before it does."""
    means = np.convolve(losses, np.ones(41) / 41, mode="valid")
    rates = rates[20:-20]
    kept = np.isfinite(means)
    if not kept.any() or means[kept].min() > 0.9 * means[kept][0]:
        raise ValueError("no fall")
    way = (means[kept][0] - means[kept]) / (means[kept][0] - means[kept].min())
    return torch.tensor([rates[kept][np.argmax(way >= 0.2)], rates[kept][np.argmax(way >= 0.8)]])


# --------------------------------------------------------------------------------------
# 4. The experiment


def run(start, peak, seed, epochs, batches, cycles):
    optimizer, update, loss = start(peak, seed)
    steps = epochs * batches
    scheduler = ScheduledLR(optimizer, Cyclical(0.1, steps // (2 * cycles)))
    for _ in range(steps):
        update()
        scheduler.step()
    return loss()


def with_torch(cycle_momentum=False, size=None, base=0.1, top=1.0, **options):
    """The run with torch's CyclicLR."""

    def run(start, peak, seed, epochs, batches, cycles):
        optimizer, update, loss = start(peak, seed)
        half = epochs * batches // (2 * cycles) if size is None else size(epochs, batches)
        scheduler = CyclicLR(
            optimizer, base * peak, top * peak, half, cycle_momentum=cycle_momentum, **options
        )
        for _ in range(epochs * batches):
            update()
            scheduler.step()
        return loss()

    return run


def by_hand(start, peak, seed, epochs, batches, cycles):
    optimizer, update, loss = start(peak, seed)
    half = epochs * batches // (2 * cycles)
    for t in range(epochs * batches):
        optimizer.param_groups[0]["lr"] = peak * factor(t, 0.1, half, half)
        update()
    return torch.tensor(loss(), dtype=torch.float64)


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


def running(loop="us", shape=lambda half: Cyclical(0.1, half), says=lambda losses: losses[-1]):
    """A run in which any part can be made wrong; u: update, s: scheduler.step."""

    def run(start, peak, seed, epochs, batches, cycles):
        optimizer, update, loss = start(peak, seed)
        scheduler = LambdaLR(optimizer, shape(epochs * batches // (2 * cycles)))
        losses = []
        for _ in range(epochs * batches):
            for action in loop:
                update() if action == "u" else scheduler.step()
            losses.append(loss())
        return says(losses)

    return run


def fixed(start, peak, seed, epochs, batches, cycles):
    _, update, loss = start(peak, seed)
    for _ in range(epochs * batches):
        update()
    return loss()


def sets_factors(start, peak, seed, epochs, batches, cycles):
    optimizer, update, loss = start(peak, seed)
    shape = Cyclical(0.1, epochs * batches // (2 * cycles))
    for t in range(epochs * batches):
        optimizer.param_groups[0]["lr"] = shape(t)
        update()
    return loss()


def one_late(start, peak, seed, epochs, batches, cycles):
    optimizer, update, loss = start(peak, seed)
    scheduler = ScheduledLR(optimizer, Cyclical(0.1, epochs * batches // (2 * cycles)))
    for t in range(epochs * batches):
        update()
        if t:
            scheduler.step()
    return loss()


def steps_the_optimizer(start, peak, seed, epochs, batches, cycles):
    optimizer, _, loss = start(peak, seed)
    for _ in range(epochs * batches):
        optimizer.step()
    return loss()


# --------------------------------------------------------------------------------------

SOLUTIONS = [
    (check.check_factor, factor),
    (check.check_step_sizes, step_sizes),
    (check.check_bounds, bounding()),
    (check.check_flaws, lambda: {"B", "C", "D", "E", "G"}),
    (check.check_run, run),
]


@pytest.mark.parametrize(
    ("checker", "solution"),
    [
        *SOLUTIONS,
        (check.check_factor, interpolated),
        (check.check_factor, lower_line),
        (check.check_factor, lambda *args: torch.tensor(interpolated(*args)).float()),
        (check.check_step_sizes, lambda n, k: np.array(step_sizes(n, k))),
        (check.check_step_sizes, lambda n, k: tuple((b, a) for a, b in step_sizes(n, k)[::-1])),
        (check.check_bounds, bounding(smooth=lambda losses: centred(losses, 10))),
        (check.check_bounds, bounding(smooth=lambda losses: centred(losses, 40))),
        (check.check_bounds, bounding(smooth=with_median)),
        (check.check_bounds, mask_and_shift),
        (check.check_flaws, lambda: ["g", "e", "d", "c", "b"]),
        (check.check_run, with_torch()),
        (check.check_run, by_hand),
        (check.check_run, running()),
    ],
)
def test_the_solution_passes(checker, solution, capsys):
    checker(solution)
    assert capsys.readouterr().out.startswith("Passed: ")


def cycle_by_cycle(t, least, up, down):
    if t >= up + down:
        return cycle_by_cycle(t - up - down, least, up, down)
    return least + (1 - least) * min(t / up, (up + down - t) / down)


MISTAKES = [
    (check.check_factor, lambda t, *case: Cyclical(*case)(t), "calls Cyclical"),
    (check.check_factor, cycle_by_cycle, "RecursionError.* use a loop"),
    # the factor
    (check.check_factor, lifted(lambda t, T, u, d: 1 - triangle(T, u, d)), "begin at the top"),
    (check.check_factor, lambda t, m, u, d: triangle(t % (u + d), u, d), "falls to 0, and min"),
    (check.check_factor, lambda t, m, u, d: max(m, triangle(t % (u + d), u, d)), "cut the tri"),
    (check.check_factor, lambda t, m, u, d: m + triangle(t % (u + d), u, d), "you add min_factor"),
    (check.check_factor, lambda t, m, u, d: m * triangle(t % (u + d), u, d), "you have min_factor"),
    (check.check_factor, lambda t, m, u, d: factor(t, m, u, u), "as long as the rise"),
    (check.check_factor, lambda t, m, u, d: factor(t, m, d, d), "your rise takes"),
    (check.check_factor, lambda t, m, u, d: factor(t, m, d, u), "have exchanged"),
    (
        check.check_factor,
        lifted(lambda t, T, u, d: 1 - abs(2 * T / (u + d) - 1)),
        "half-way through",
    ),
    (check.check_factor, lifted(lambda t, T, u, d: 1 - abs(T - u) / u), "as steeply as it rose"),
    (
        check.check_factor,
        lifted(lambda t, T, u, d: max(0, 1 - abs(T - u) / u)),
        "as steeply as it rose",
    ),
    (
        check.check_factor,
        lifted(lambda t, T, u, d: T / u if T <= u else 1 - T / d),
        "it jumps|jumps",
    ),
    (
        check.check_factor,
        lifted(lambda t, T, u, d: T / u if T <= u else (T - u) / d),
        "at once and",
    ),
    (check.check_factor, lifted(lambda t, T, u, d: T / u if T <= u else 0), "and stays there"),
    (check.check_factor, lifted(lambda t, T, u, d: T / (u + d)), "falls in one step"),
    (check.check_factor, lifted(lambda t, T, u, d: triangle(t, u, d)), "one cycle only"),
    (check.check_factor, lifted(lambda t, T, u, d: max(0, triangle(t, u, d))), "one cycle only"),
    (check.check_factor, lifted(lambda t, T, u, d: min(1, t / u)), "Where is the fall"),
    (check.check_factor, lambda t, *case: factor(t + 1, *case), "one step ahead"),
    (check.check_factor, lambda t, *case: factor(max(t - 1, 0), *case), "one step late"),
    (
        check.check_factor,
        lifted(lambda t, T, u, d: max(0, triangle(t % (u + d + 1), u, d))),
        "counted twice",
    ),
    (check.check_factor, lambda t, m, u, d: factor(t, m, u, d + 1), "counted twice"),
    (check.check_factor, lambda t, m, u, d: factor(t, m, u + 1, d), "one step too many"),
    (check.check_factor, lambda t, m, u, d: factor(t, m, u, max(d - 1, 1)), "fall is one step"),
    (check.check_factor, lambda t, m, u, d: factor(t, m, max(u - 1, 1), d), "rise is one step"),
    (
        check.check_factor,
        lifted(lambda t, T, u, d: T // u if T <= u else (u + d - T) // d),
        "drops the fraction",
    ),
    (
        check.check_factor,
        lambda t, m, u, d: Cyclical(m, u, d, "triangular2")(t),
        "triangular2",
    ),
    (
        check.check_factor,
        lifted(lambda t, T, u, d: (1 - math.cos(math.pi * triangle(T, u, d))) / 2),
        "half cosines",
    ),
    (check.check_factor, lambda *case: 0.1 * factor(*case), "highest of your factors is 0.1"),
    (check.check_factor, lambda t, m, u, d: factor(t, m, 8, 4) ** 2, "but the triangle has"),
    (check.check_factor, stateful(), "remembers the calls before"),
    (check.check_factor, lambda *case: [1, 2], "one number"),
    (check.check_factor, lambda *case: math.nan, "no finite number"),
    (check.check_factor, lambda *case: 10**400, "no finite number"),
    # the sizes
    (check.check_step_sizes, sizes_of(lambda i, n, k: n // k), "which cycles get one step more"),
    (check.check_step_sizes, sizes_of(lambda i, n, k: -(-n // k)), "after the run"),
    (check.check_step_sizes, sizes_of(rest_last), "Spread the rest: the last"),
    (check.check_step_sizes, halved_twice, "You round twice"),
    (check.check_step_sizes, sizes_of(lambda i, n, k: 2 * (n // k)), "each as long as a cycle"),
    (check.check_step_sizes, sizes_of(lambda i, n, k: n), "as long as the whole run"),
    (
        check.check_step_sizes,
        lambda n, k: [(1, up + down - 1) for up, down in step_sizes(n, k)],
        "may differ by one step",
    ),
    (
        check.check_step_sizes,
        lambda n, k: [*step_sizes(n, k)[:-1], (step_sizes(n, k)[-1][0], n // k // 2 - 1)],
        "is over after the step number",
    ),
    (check.check_step_sizes, lambda n, k: [(n / k / 2, n / k / 2)] * k, "whole numbers"),
    (check.check_step_sizes, lambda n, k: [(True, True)] * k, "whole numbers"),
    (check.check_step_sizes, lambda n, k: step_sizes(n, k)[0], r"one pair \(up, down\)"),
    (check.check_step_sizes, lambda n, k: step_sizes(n, k)[:1], "1 cycles.*all need theirs"),
    (check.check_step_sizes, lambda n, k: n // k, "return a list"),
    (check.check_step_sizes, lambda n, k: Cyclical(0, 4), "return a list"),
    (check.check_step_sizes, lambda n, k: "ab", r"one pair \(up, down\)"),
    (check.check_step_sizes, lambda n, k: [(0, n // k)] * k, "does not rise"),
    (
        check.check_step_sizes,
        sizes_of(lambda i, n, k: n * (i + 1) // k - n * i // k, guard=False),
        "4 cycles.*do not fit into 7, yet",
    ),
    (check.check_step_sizes, lambda n, k: 1 // (n >= 2 * k) and step_sizes(n, k), "not ZeroDiv"),
    (
        check.check_step_sizes,
        lambda n, k: step_sizes(n if n % k == 0 else 0, k),
        "nothing to return",
    ),
    # the bounds: without noise
    (check.check_bounds, bounding(says=lambda r, i, j: (i, j)), "positions in the array"),
    (check.check_bounds, bounding(says=lambda r, i, j: (r[j], r[i])), "larger one first"),
    (check.check_bounds, bounding(says=lambda r, i, j: np.log10([r[i], r[j]])), "logarithms"),
    (check.check_bounds, bounding(says=lambda r, i, j: (r[i], r[-1])), "last rate of the test"),
    (check.check_bounds, bounding(says=lambda r, i, j: (r[0], r[j])), "first rate of the test"),
    (check.check_bounds, bounding(top=lambda way: np.argmax(way)), "rate of the lowest loss"),
    (
        check.check_bounds,
        bounding(top=lambda way: np.flatnonzero(way >= 0.8)[-1]),
        "begun to rise again",
    ),
    (check.check_bounds, by_shares_of_the_loss, "lost a fifth of its value"),
    (check.check_bounds, by_share_of_the_lowest, "a fifth above its lowest"),
    (check.check_bounds, bounding(smooth=padded), "readings beyond the ends for 0"),
    (check.check_bounds, bounding(smooth=trailing), "look back only"),
    (check.check_bounds, bounding(smooth=exponential), "look back only"),
    (check.check_bounds, bounding(smooth=leading), "look ahead only"),
    (check.check_bounds, bounding(smooth=lambda x: centred(x, 90)), "very wide window"),
    (
        check.check_bounds,
        bounding(says=lambda r, i, j: (2.0 * r[i], r[j])),
        "which loss is a fifth of the way",
    ),
    (check.check_bounds, bounding(refuse=lambda a, b: True), "here the loss does fall"),
    # the bounds: the tail, the noise, the refusal
    (
        check.check_bounds,
        bounding(smooth=lambda x: np.convolve(x, np.ones(3) / 3, "valid")),
        "Without these readings your answer was right",
    ),
    (
        check.check_bounds,
        bounding(
            smooth=lambda x: x, says=lambda r, i, j: (r[i], r[j]) if i else (math.nan, math.nan)
        ),
        "minimum: leave out all readings",
    ),
    (
        check.check_bounds,
        bounding(smooth=lambda x: x[: readings(x)]),
        "A single reading can lie far off",
    ),
    (check.check_bounds, bounding(refuse=lambda a, b: False), "began too high.*you returned"),
    (
        check.check_bounds,
        bounding(refuse=lambda a, b: b > 0.9 * a and 1 / 0),
        "raise ValueError, not ZeroDivisionError",
    ),
    (check.check_bounds, lambda rates, losses: rates[0], "return two numbers"),
    (check.check_bounds, lambda rates, losses: (None, 1.0), "return two numbers"),
    (check.check_bounds, lambda rates, losses: rates, "return two numbers"),
    (check.check_bounds, lambda rates, losses: (0.0, 0.0), "which loss|first rate|look ahead"),
    (check.check_bounds, lambda rates, losses: (-1.0, 0.1), "without noise you returned"),
    # what is wrong
    (check.check_flaws, lambda: {"C", "D", "E", "G"}, "B is missing"),
    (check.check_flaws, lambda: {"B", "D", "E", "G"}, "C is missing"),
    (check.check_flaws, lambda: {"B", "C", "E", "G"}, "D is missing"),
    (check.check_flaws, lambda: {"B", "C", "D", "G"}, "E is missing"),
    (check.check_flaws, lambda: {"B", "C", "D", "E"}, "G is missing"),
    (check.check_flaws, lambda: set("ABCDEG"), "A is not a flaw"),
    (check.check_flaws, lambda: set("BCDEFG"), "F is not a flaw"),
    (check.check_flaws, lambda: set("BCDEGH"), "not among"),
    (check.check_flaws, lambda: "BCDEG", "set of letters"),
    # the run
    (check.check_run, careless, "changed only once per epoch"),
    (check.check_run, fixed, "rate never changed"),
    (check.check_run, running(loop="u"), "stayed at the bottom"),
    (check.check_run, running(loop="su"), "one step early"),
    (check.check_run, one_late, "one step late"),
    (check.check_run, running(loop="uss"), "twice its speed"),
    (check.check_run, running(loop="sus"), "twice its speed"),
    (check.check_run, sets_factors, "factors were applied as rates"),
    (check.check_run, running(shape=lambda n: lambda t: Cyclical(0.1, n)(t) ** 2), "applied twice"),
    (check.check_run, with_torch(base=1.0, top=10.0), "became the bottom"),
    (check.check_run, with_torch(base=1.0, top=0.1), "begin at the top"),
    (check.check_run, with_torch(mode="triangular2"), "half as high"),
    (
        check.check_run,
        with_torch(size=lambda epochs, batches: 2 * batches),
        r"cycles have 2 \* 8 steps, so 24 updates see 1.5 of them",
    ),
    (check.check_run, running(shape=lambda n: Cyclical(0.1, 2 * n)), "24 updates see 1 of them"),
    (check.check_run, with_torch(base=0.25), "is 0.25 times the peak"),
    (check.check_run, running(shape=lambda n: Cyclical(0.1, n, n + 1)), "update 7 used"),
    (check.check_run, with_torch(cycle_momentum=True), "cycle_momentum=False"),
    (
        check.check_run,
        with_torch(cycle_momentum=True, base_momentum=0.0, max_momentum=0.0),
        "built with the momentum 0.5",
    ),
    (check.check_run, running(says=min), "lowest of several"),
    (check.check_run, running(says=np.mean), "mean of several"),
    (check.check_run, running(says=lambda losses: losses[-2]), "before the end of the run"),
    (check.check_run, running(says=lambda losses: 7.0), "you returned 7"),
    (check.check_run, running(says=lambda losses: losses), "return one number"),
    (check.check_run, running(says=lambda losses: "low"), "return one number"),
    (check.check_run, running(loop="usu"), "made 48 updates"),
    (check.check_run, steps_the_optimizer, "called by itself"),
    (check.check_run, lambda start, *case: start(*case[:2])[2](), "made no update"),
    (check.check_run, lambda *case: 0.1, "no run was begun"),
    (
        check.check_run,
        lambda start, peak, *rest: run(start, 0.1, *rest),
        "with the peak 0.1 and the seed 3",
    ),
    (check.check_run, lambda *case: (run(*case), run(*case))[0], "made 2 runs"),
    # the crash: before it
    # the crash: after it
]


@pytest.mark.parametrize(("checker", "answer", "hint"), MISTAKES)
def test_each_mistake_gets_its_hint(checker, answer, hint):
    with pytest.raises(Mistake, match=hint):
        checker(answer)


WEIRD = ["text", b"bytes", 3, True, 2.5, {}, [], set(), (1, 2, 3), object(), Cyclical, math.inf]
WEIRD += [
    np.zeros((2, 2)),
    np.array("a"),
    torch.zeros(3),
    torch.zeros(2, 2),
    [None, None],
    {"a": 1},
]
CHECKERS = [checker for checker, _ in SOLUTIONS]


@pytest.mark.parametrize("checker", CHECKERS)
@pytest.mark.parametrize("value", WEIRD, ids=lambda value: str(value)[:20])
def test_whatever_is_returned_the_checker_does_not_crash(checker, value):
    with pytest.raises(Mistake):
        checker(lambda *args: value)


def test_what_the_sheet_says_of_the_experiment():
    """The colleague's run never leaves the lowest part of the climb, and has a momentum."""
    traces = []

    def start(peak, seed):
        optimizer, update, loss = check.start(peak, seed)
        traces.append(LRTrace(optimizer))
        return optimizer, update, loss

    careless(start, 1.0, 0, epochs=6, batches=40, cycles=2)
    (trace,) = traces
    assert trace.lr.max() < 0.2
    assert trace.momentum.min() > 0.89
    # As planned, and stepped after every update, it would stop at a top.
    assert Cyclical(0.1, 80)(240) == 1


def test_the_made_up_losses_tell_the_likely_mistakes_apart():
    for steps, epochs in ((24, 6), (30, 5), (8, 1)):
        losses = [made_up_loss(n) for n in range(1, steps + 1)]
        at_epochs = losses[steps // epochs - 1 :: steps // epochs]
        assert len(at_epochs) == epochs
        assert losses[-1] > min(losses)
        assert epochs == 1 or losses[-1] > min(at_epochs)


@pytest.mark.parametrize("half", [10, 20, 40])
def test_reasonable_windows_stay_within_the_tolerance_under_any_noise(half):
    """The checker's noise was not chosen for one window: other noise would hardly be worse."""
    missed, smooth = 0, bounding(smooth=lambda losses: centred(losses, half))
    for test in (given.LOGARITHMIC, given.SHORTER, given.LINEAR):
        for seed in range(100, 120):
            answer = smooth(test.rates, test.losses(0.15, seed))
            missed += any(
                abs(math.log(a / r)) > math.log(1.5)
                for a, r in zip(answer, test.right(), strict=True)
            )
    assert missed <= 2
