"""Chapter 07's checkers: the solution passes, mistakes get hints (starters: test_exercises.py)."""

import math

import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import OneCycleLR

from lrlib import LRTrace, OneCycle, ScheduledLR, lab
from lrlib.exercises import Mistake
from lrlib.exercises import one_cycle as check
from lrlib.lab import NoisyQuadratic

# --------------------------------------------------------------------------------------
# 1. The factor


def cosine(p):
    return (1 - math.cos(math.pi * p)) / 2


def factor_with(
    up=lambda total, pct: pct * total - 1,
    last=lambda total: total - 1,
    first=lambda div, final: 1 / div,
    end=lambda div, final: 1 / (div * final),
    rise=cosine,
    fall=cosine,
):
    """A factor in which any part can be made wrong."""

    def factor(t, total, pct_start, div, final):
        peak = up(total, pct_start)
        if t <= peak:
            s = rise(t / peak)
            return (1 - s) * first(div, final) + s
        s = fall((t - peak) / (last(total) - peak))
        return (1 - s) + s * end(div, final)

    return factor


factor = factor_with()


def torch_factor(t, total, pct_start, div, final):
    """The factor that torch applies."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = OneCycleLR(
        optimizer, 1.0, total, pct_start=pct_start, div_factor=div, final_div_factor=final
    )
    for _ in range(t):
        optimizer.step()
        scheduler.step()
    return optimizer.param_groups[0]["lr"]


def stateful():
    """Counts its calls instead of looking at t."""
    seen = {}

    def counting(t, *case):
        seen[case] = seen.get(case, -1) + 1
        return factor(seen[case] % case[0], *case)

    return counting


def fall_over(done):
    """A factor with its own idea of how much of the fall is done."""

    def wrong(t, total, pct_start, div, final):
        peak = pct_start * total - 1
        if t <= peak:
            return factor(t, total, pct_start, div, final)
        s = cosine(done(t, peak, total))
        return (1 - s) + s / (div * final)

    return wrong


# --------------------------------------------------------------------------------------
# 2. Momentum as a shape


def steady_with(says=lambda f, mu, h, m: f * (1 - m) / (1 - mu), follows="height", down=True):
    def steady(shape, high, low, momentum):
        factors = shape.sample(shape.total_steps)
        height = np.array([shape.height(t) for t in range(shape.total_steps)])
        by = height if follows == "height" else factors
        mu = high - (high - low) * by if down else low + (high - low) * by
        return says(factors, mu, height, momentum)

    return steady


steady = steady_with()


def steady_with_lrlib(shape, high, low, momentum):
    mu = shape.momentum(low / high)
    return [shape(t) * (1 - momentum) / (1 - high * mu(t)) for t in range(shape.total_steps)]


# --------------------------------------------------------------------------------------
# 3. A speed-up


def needed_with(
    scale=math.log,
    back=math.exp,
    level=float,
    pick=lambda reached: int(np.argmax(reached)),
    never=math.inf,
    guard=True,
):
    def updates_needed(budgets, errors, target):
        reached = errors <= target
        if not reached.any():
            return never
        if reached[0] and guard:
            raise ValueError("shorter ones")
        k = pick(reached)
        y0, y1, y = level(errors[k - 1]), level(errors[k]), level(target)
        x0, x1 = scale(budgets[k - 1]), scale(budgets[k])
        return back(x0 + (x1 - x0) * (y0 - y) / (y0 - y1))

    return updates_needed


updates_needed = needed_with()


def needed_by_interp(budgets, errors, target):
    k = int(np.argmax(errors <= target))
    if errors.min() > target:
        return np.inf
    if k == 0:
        raise ValueError("shorter ones")
    two = errors[[k, k - 1]], np.log2(budgets[[k, k - 1]])
    return torch.tensor(2 ** np.interp(target, *two))


def budget_that(offset):
    return lambda budgets, errors, target: float(budgets[int(np.argmax(errors <= target)) + offset])


def speed_with(
    says=lambda r: (r[1], np.median(r), r[-2]),
    ratio=lambda ours, rival: np.sort(rival / ours),
    needed=updates_needed,
    guard=True,
):
    """A speed-up in which any part can be made wrong; `says` sees the sorted ratios."""

    def speed_up(budgets, ours, rival, target):
        n = [np.array([needed(budgets, row, target) for row in it]) for it in (ours, rival)]
        if guard and (np.isinf(n[0]) & np.isinf(n[1])).any():
            raise ValueError("neither")
        with np.errstate(all="ignore"):
            return says(ratio(*n))

    return speed_up


speed_up = speed_with()


def refuses_infinity(budgets, ours, rival, target):
    if rival.min(1).max() > target:
        raise ValueError("not reached")
    return speed_up(budgets, ours, rival, target)


def of_means(budgets, ours, rival, target):
    low, _, high = speed_up(budgets, ours, rival, target)
    means = [updates_needed(budgets, it.mean(0), target) for it in (ours, rival)]
    return low, means[1] / means[0], high


def of_medians(budgets, ours, rival, target):
    low, _, high = speed_up(budgets, ours, rival, target)
    n = [np.median([updates_needed(budgets, r, target) for r in it]) for it in (ours, rival)]
    return low, n[1] / n[0], high


# --------------------------------------------------------------------------------------
# 4. The experiment


def run(start, peak, seed, epochs, batches):
    optimizer, update, loss = start(peak, seed)
    scheduler = ScheduledLR(optimizer, OneCycle(epochs * batches))
    for _ in range(epochs * batches):
        update()
        scheduler.step()
    return loss()


def with_torch(cycle_momentum=False, top=lambda peak: peak, total=lambda n: n, **options):
    """The run with torch's OneCycleLR."""

    def run(start, peak, seed, epochs, batches):
        optimizer, update, loss = start(peak, seed)
        scheduler = OneCycleLR(
            optimizer,
            top(peak),
            total(epochs * batches),
            cycle_momentum=cycle_momentum,
            **options,
        )
        for _ in range(epochs):
            for _ in range(batches):
                update()
                scheduler.step()
        return loss()

    return run


def careless(start, peak, seed, epochs, batches, top=1.0):
    """The colleague's, as the notebook has it."""
    optimizer, update, loss = start(peak, seed)
    scheduler = OneCycleLR(optimizer, max_lr=top, total_steps=epochs * batches)
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


def running(loop="us", shape=OneCycle, says=lambda losses: losses[-1]):
    """A run in which any part can be made wrong; u: update, s: scheduler.step."""

    def run(start, peak, seed, epochs, batches):
        optimizer, update, loss = start(peak, seed)
        scheduler = ScheduledLR(optimizer, shape(epochs * batches))
        losses = []
        for _ in range(epochs * batches):
            for action in loop:
                update() if action == "u" else scheduler.step()
            losses.append(loss())
        return says(losses)

    return run


def by_hand(start, peak, seed, epochs, batches):
    optimizer, update, loss = start(peak, seed)
    for t in range(epochs * batches):
        optimizer.param_groups[0]["lr"] = peak * factor(t, epochs * batches, 0.3, 25, 1e4)
        update()
    return torch.tensor(loss(), dtype=torch.float64)


def one_step_short(start, peak, seed, epochs, batches):
    """Torch's plan is a step too short, and the last update has what is past its end."""
    optimizer, update, loss = start(peak, seed)
    steps = epochs * batches
    scheduler = OneCycleLR(optimizer, peak, steps - 1, cycle_momentum=False)
    for t in range(steps):
        update()
        if t < steps - 1:
            scheduler.step()
    return loss()


# --------------------------------------------------------------------------------------
# 5. The rise


def price(a, b, h, c):
    return a * b * (b - a) * h**2 * c


def price_by_recursion(a, b, h, c):
    def loss(*rates):
        e = 3.0
        for rate in rates:
            e = (1 - rate * h) ** 2 * e + rate**2 * c
        return h * e / 2

    return loss(a, b) - loss(b, a)


def price_in_the_lab(a, b, h, c):
    model = NoisyQuadratic((h,), (c,), start=1.0)
    return float(model.loss([a, b])[-1] - model.loss([b, a])[-1])


SOLUTIONS = [
    (check.check_factor, factor),
    (check.check_factor, torch_factor),
    (check.check_factor, lambda *args: np.float32(factor(*args))),
    (check.check_steady, steady),
    (check.check_steady, steady_with_lrlib),
    (check.check_steady, lambda *args: torch.tensor(steady(*args), dtype=torch.float32)),
    (check.check_least_div_factor, lambda high, low: (1 - low) / (1 - high)),
    (check.check_updates_needed, updates_needed),
    (check.check_updates_needed, needed_by_interp),
    (check.check_speed_up, speed_up),
    (check.check_speed_up, lambda *args: np.array(speed_up(*args))),
    (check.check_flaws, lambda: {"A", "C", "D", "F", "G", "H"}),
    (check.check_flaws, lambda: ["h", "g", "f", "d", "c", "a"]),
    (check.check_run, run),
    (check.check_run, with_torch()),
    (check.check_run, by_hand),
    (check.check_price, price),
    (check.check_price, price_by_recursion),
    (check.check_price, price_in_the_lab),
    (check.check_landscape, lambda x: 25 * x**4),
    (check.check_landscape, lambda x: x**6),
    (check.check_landscape, lambda x: torch.exp(3 * x) - 3 * x - 1),
    (check.check_landscape, lambda x: x.float() ** 8),
]
CHECKERS = list(dict.fromkeys(checker for checker, _ in SOLUTIONS))


@pytest.mark.parametrize(("checker", "solution"), SOLUTIONS)
def test_the_solution_passes(checker, solution, capsys):
    checker(solution)
    assert capsys.readouterr().out.startswith("Passed: ")


MISTAKES = [
    (
        check.check_factor,
        lambda t, n, pct, div, final: OneCycle(n, pct, "cos", div, final)(t),
        "calls OneCycle",
    ),
    # the factor
    (check.check_factor, factor_with(up=lambda n, pct: pct * n), "Yours comes at step 5"),
    (
        check.check_factor,
        factor_with(up=lambda n, pct: pct * n, last=lambda n: n),
        "Yours comes at step 5",
    ),
    (check.check_factor, factor_with(up=lambda n, pct: pct * (n - 1)), "at step 4.75"),
    (check.check_factor, factor_with(up=lambda n, pct: int(pct * n) - 1), "you round the step"),
    (check.check_factor, factor_with(last=lambda n: n), "one step too late"),
    (check.check_factor, factor_with(rise=float, fall=float), "straight lines"),
    (
        check.check_factor,
        factor_with(
            rise=lambda p: 1 - math.cos(math.pi * p / 2),
            fall=lambda p: 1 - math.cos(math.pi * p / 2),
        ),
        "quarter of a cosine",
    ),
    (check.check_factor, factor_with(rise=lambda p: 1 - cosine(p)), "the rise should begin"),
    (check.check_factor, factor_with(fall=lambda p: 1 - cosine(p)), "the fall should begin"),
    (
        check.check_factor,
        factor_with(rise=lambda p: 1 - cosine(p), fall=lambda p: 1 - cosine(p)),
        "the rise and the fall should",
    ),
    (check.check_factor, factor_with(end=lambda div, final: 1 / final), "not the peak"),
    (check.check_factor, factor_with(end=lambda div, final: 1 / div), "is missing"),
    (check.check_factor, factor_with(end=lambda div, final: 0), "ends at 0"),
    (check.check_factor, factor_with(first=lambda div, final: 0), "begins at 0"),
    (
        check.check_factor,
        factor_with(first=lambda div, final: 1 / (div * final)),
        "begins where the run ends",
    ),
    (check.check_factor, fall_over(lambda t, peak, n: t / (n - 1)), "the fall begins at the peak"),
    (
        check.check_factor,
        fall_over(lambda t, peak, n: (t - peak) / (n - 1)),
        "the fall begins at the peak",
    ),
    (
        check.check_factor,
        factor_with(rise=lambda p: (1 - math.cos(p)) / 2, fall=lambda p: (1 - math.cos(p)) / 2),
        "pi is missing",
    ),
    (
        check.check_factor,
        lambda t, n, p, d, f: d * factor(t, n, p, d, f),
        "highest of your factors",
    ),
    (check.check_factor, lambda t, *case: 0.5, "step 0 has 0.5"),
    (check.check_factor, stateful(), "remembers"),
    (check.check_factor, lambda *args: math.nan, "no finite number"),
    # the fixed momentum
    (check.check_steady, steady_with(down=False), "moves with the rate"),
    (check.check_steady, steady_with(follows="factor"), "follows the factor"),
    (check.check_steady, steady_with(lambda f, mu, h, m: f / (1 - mu)), "the effective rate. With"),
    (
        check.check_steady,
        steady_with(lambda f, mu, h, m: (x := f / (1 - mu)) / x.max()),
        "scaled the factors to a peak of 1",
    ),
    (
        check.check_steady,
        steady_with(lambda f, mu, h, m: f * (1 - mu) / (1 - m)),
        "the wrong way round",
    ),
    (check.check_steady, steady_with(lambda f, mu, h, m: f * (1 - mu)), "should divide"),
    (check.check_steady, steady_with(lambda f, mu, h, m: f * mu / m), "not times the momentum"),
    (check.check_steady, steady_with(lambda f, mu, h, m: f), "no momentum has moved"),
    (check.check_steady, steady_with(lambda f, mu, h, m: mu), "those are the momenta"),
    (
        check.check_steady,
        steady_with(lambda f, mu, h, m: f * (1 - m) / (1 - mu.min())),
        "momentum of the peak for every step",
    ),
    (
        check.check_steady,
        steady_with(lambda f, mu, h, m: f * (1 - m) / (1 - mu.max())),
        "highest momentum for every step",
    ),
    (
        check.check_steady,
        steady_with(lambda f, mu, h, m: h * (1 - m) / (1 - mu)),
        "took the height for the rate",
    ),
    (
        check.check_steady,
        lambda shape, high, low, m: [
            shape(t) / (1 - shape.momentum(low / high)(t)) for t in range(shape.total_steps)
        ],
        "ZeroDivisionError.* is a factor on the highest",
    ),
    (check.check_steady, lambda *args: steady(*args) * math.inf, "not finite"),
    (check.check_steady, lambda *args: steady(*args)[:-1], "not 39"),
    (check.check_steady, lambda *args: 2 * steady(*args), "step 0 has"),
    (check.check_steady, lambda shape, *args: shape, "array of factors"),
    # the div_factor
    (check.check_least_div_factor, lambda high, low: (1 - high) / (1 - low), "other way round"),
    (check.check_least_div_factor, lambda high, low: high / low, "has 1 - momentum in it"),
    (check.check_least_div_factor, lambda high, low: 1 / (1 - high), "At the peak it is low"),
    (check.check_least_div_factor, lambda high, low: 1 / (1 - low), "Where does the run start"),
    (check.check_least_div_factor, lambda high, low: 25, "torch's default"),
    (check.check_least_div_factor, lambda high, low: 6, "peak is 2 times that"),
    # the updates needed
    (check.check_updates_needed, needed_with(float, float), "against its logarithm"),
    (check.check_updates_needed, needed_with(level=math.log), "logarithm of the errors too"),
    (check.check_updates_needed, needed_with(back=float), "that is the logarithm"),
    (check.check_updates_needed, needed_with(math.log10, float), "that is the logarithm"),
    (
        check.check_updates_needed,
        needed_with(pick=lambda reached: len(reached) - int(np.argmin(reached[::-1]))),
        "The first time counts",
    ),
    (check.check_updates_needed, budget_that(0), "first budget that reaches it"),
    (check.check_updates_needed, budget_that(-1), "last budget before"),
    (
        check.check_updates_needed,
        lambda budgets, errors, target: np.exp(np.interp(target, errors, np.log(budgets))),
        "second argument to rise",
    ),
    (check.check_updates_needed, lambda *args: int(np.argmax(args[1] <= args[2])), "position"),
    (check.check_updates_needed, lambda *args: 7, "comes to 0.4 after"),
    (check.check_updates_needed, needed_with(never=200), "was not enough"),
    (check.check_updates_needed, needed_with(never=math.nan), "larger than every budget"),
    (check.check_updates_needed, needed_with(never=1e4), "nothing was measured"),
    (check.check_updates_needed, needed_with(never=50), "np.argmax"),
    (check.check_updates_needed, needed_with(never=None), "math.inf: .*returned None"),
    (check.check_updates_needed, needed_with(guard=False), "raise a ValueError that says so"),
    # the speed-up
    (check.check_speed_up, speed_with(ratio=lambda a, b: np.sort(a / b)), "ours over the rival's"),
    (
        check.check_speed_up,
        speed_with(ratio=lambda a, b: np.sort(np.sort(b) / np.sort(a))),
        "belong together",
    ),
    (check.check_speed_up, of_means, "you averaged the curves"),
    (check.check_speed_up, of_medians, "is no median"),
    (check.check_speed_up, speed_with(lambda r: (r[1], r.mean(), r[-2])), "the middle is the"),
    (
        check.check_speed_up,
        speed_with(lambda r: (r[1], np.exp(np.log(r).mean()), r[-2])),
        "the middle is the",
    ),
    (check.check_speed_up, speed_with(lambda r: (r[0], r[4], r[-1])), "follows the oddest"),
    (
        check.check_speed_up,
        speed_with(lambda r: (r[1], np.median(r), r[-2]), lambda a, b: b / a),
        "sort the ratios",
    ),
    (check.check_speed_up, refuses_infinity, "infinity and 0 are ratios like others"),
    (check.check_speed_up, speed_with(lambda r: (r[2], r[4], r[6])), "third lowest"),
    (check.check_speed_up, speed_with(lambda r: (r[4], r[1], r[7])), "order is low, middle"),
    (
        check.check_speed_up,
        speed_with(lambda r: (*np.percentile(r, [2.5, 50]), np.percentile(r, 97.5))),
        "percentiles",
    ),
    (
        check.check_speed_up,
        speed_with(lambda r: (lambda k: (k[1], np.median(k), k[-2]))(r[np.isfinite(r)])),
        "left out the seeds",
    ),
    (
        check.check_speed_up,
        speed_with(needed=needed_with(never=1600)),
        "took the longest budget",
    ),
    (check.check_speed_up, speed_with(guard=False), "inf / inf is no ratio"),
    (check.check_speed_up, speed_with(lambda r: r), "return three numbers"),
    (check.check_speed_up, speed_with(lambda r: r[4]), "return three numbers"),
    (check.check_speed_up, speed_with(lambda r: (1, 2, 3)), "from low to high"),
    # what is wrong
    (check.check_flaws, lambda: set("CDFGH"), "A is missing"),
    (check.check_flaws, lambda: set("ADFGH"), "C is missing"),
    (check.check_flaws, lambda: set("ACFGH"), "D is missing"),
    (check.check_flaws, lambda: set("ACDGH"), "F is missing"),
    (check.check_flaws, lambda: set("ACDFH"), "G is missing"),
    (check.check_flaws, lambda: set("ACDFG"), "H is missing"),
    (check.check_flaws, lambda: set("ABCDFGH"), "B is not a flaw"),
    (check.check_flaws, lambda: set("ACDEFGH"), "E is not a flaw"),
    (check.check_flaws, lambda: "ACDFGH", "set of letters"),
    # the run
    (check.check_run, careless, "changed only once per epoch"),
    (check.check_run, lambda s, peak, *rest: careless(s, peak, *rest, top=peak), "once per epoch"),
    (check.check_run, fixed, "rate never changed"),
    (check.check_run, running(loop="u"), "stayed at the bottom"),
    (check.check_run, running(loop="su"), "one step early"),
    (check.check_run, running(loop="uss"), "twice its speed"),
    (check.check_run, with_torch(top=lambda peak: 1.0), "highest rate is 1, whatever the peak"),
    (check.check_run, with_torch(top=lambda peak: peak / 25), "divided by 25 twice"),
    (check.check_run, with_torch(top=lambda peak: 25 * peak), "rises to 25 times"),
    (check.check_run, with_torch(anneal_strategy="linear"), "has straight lines"),
    (check.check_run, with_torch(three_phase=True), "has three phases"),
    (check.check_run, with_torch(pct_start=0.5), "torch's defaults has"),
    (check.check_run, with_torch(total=lambda n: 2 * n), "would end after 80"),
    (check.check_run, running(shape=lambda n: OneCycle(n // 2)), "ends too soon"),
    (check.check_run, with_torch(total=lambda n: n // 2), "its plan is shorter than the run"),
    (check.check_run, one_step_short, "rebounds past its end"),
    (check.check_run, with_torch(cycle_momentum=True), "OneCycleLR sets the momentum"),
    (check.check_run, running(says=min), "lowest of several"),
    (check.check_run, running(says=lambda losses: losses[-2]), "before the end of the run"),
    (check.check_run, running(says=lambda losses: "low"), "return one number"),
    (check.check_run, running(loop="usu"), "made 80 updates"),
    (check.check_run, lambda *case: 0.1, "no run was begun"),
    (
        check.check_run,
        lambda start, peak, *rest: run(start, 1.0, *rest),
        "with the peak 1.0 and the seed 3",
    ),
    # the price
    (check.check_price, lambda a, b, h, c: -price(a, b, h, c), "look at the sign"),
    (check.check_price, lambda a, b, h, c: 2 * price(a, b, h, c) / h, "difference in E"),
    (check.check_price, lambda a, b, h, c: 2 * price(a, b, h, c), "with the ½"),
    (check.check_price, lambda a, b, h, c: price(a, b, h, c) / h, "factor h is missing"),
    (check.check_price, lambda a, b, h, c: price(a, b, h, c**2), "not its standard deviation"),
    (check.check_price, lambda a, b, h, c: h / 2 * c * (b**2 - a**2), "second update only"),
    (
        check.check_price,
        lambda a, b, h, c: h / 2 * c * ((a * (1 - b * h)) ** 2 - (b * (1 - a * h)) ** 2),
        "first update only",
    ),
    (check.check_price, lambda a, b, h, c: 0.0, "the noise does not"),
    (check.check_price, lambda a, b, h, c: 1.0, "in both orders, and subtract"),
    (
        check.check_price,
        lambda a, b, h, c: price(a, b, h, c) if a != b else 1.0,
        "two equal rates",
    ),
    # the landscape
    (check.check_landscape, lambda x: x**2 / 2, "the price of every rise is above 0"),
    (check.check_landscape, lambda x: x**4, "not steep enough at the start"),
    (check.check_landscape, lambda x: x**2 / (1 + x**2), "Where should it be high"),
    (check.check_landscape, lambda x: 0 * x + 1, "Does a weight move"),
    (check.check_landscape, lambda x: x, "nowhere below 0"),
    (check.check_landscape, lambda x: torch.log(x), "should be finite"),
    (check.check_landscape, lambda x: (x**2).sum(), "sum nothing"),
    (check.check_landscape, lambda x: x.detach() ** 2, "no gradient"),
    (check.check_landscape, lambda x: x.detach().numpy() ** 2, "return a tensor"),
    (check.check_landscape, lambda x: torch.cosh(60 * x), "every run diverged"),
]


@pytest.mark.parametrize(("checker", "answer", "hint"), MISTAKES)
def test_each_mistake_gets_its_hint(checker, answer, hint):
    with pytest.raises(Mistake, match=hint):
        checker(answer)


WEIRD = ["text", b"bytes", 3, True, 2.5, {}, [], set(), (1, 2, 3), object(), OneCycle, math.inf]
WEIRD += [
    np.zeros((2, 2)),
    np.array("a"),
    torch.zeros(3),
    torch.zeros(2, 2),
    [None, None],
    {"a": 1},
    10**400,
]


@pytest.mark.parametrize("checker", CHECKERS)
@pytest.mark.parametrize("value", WEIRD, ids=lambda value: str(value)[:20])
def test_whatever_is_returned_the_checker_does_not_crash(checker, value):
    with pytest.raises(Mistake):
        checker(lambda *args: value)


# --------------------------------------------------------------------------------------
# What the sheet says


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
    assert check._best_run(landscape, 0.3)[1] == pytest.approx(rise, rel=0.01)
    assert check._best_run(landscape, 0.0)[1] == pytest.approx(fall, rel=0.01)


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
