"""Chapter 05's checkers: the solution passes, mistakes get hints (starters: test_exercises.py)."""

import copy
import itertools
import math
import re
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
import torch
from scipy import stats
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    LambdaLR,
)

from lrlib import (
    Constant,
    CosineAnnealing,
    ExponentialDecay,
    InverseTimeDecay,
    LRTrace,
    PolynomialDecay,
    Schedule,
    ScheduledLR,
    WarmRestarts,
    ensemble_probabilities,
    lab,
)
from lrlib.exercises import Mistake
from lrlib.exercises import warm_restarts as check

# --------------------------------------------------------------------------------------
# 1. The factor


def half(x):
    return (1 + math.cos(math.pi * x)) / 2


def factor(t, T_0, T_mult):
    T_cur, T_i = t, T_0
    while T_cur >= T_i:
        T_cur, T_i = T_cur - T_i, T_i * T_mult
    return half(T_cur / T_i)


def recursive(t, T_0, T_mult):
    return half(t / T_0) if t < T_0 else recursive(t - T_0, T_0 * T_mult, T_mult)


def closed_form(t, T_0, T_mult, rounded=lambda x: math.floor(x + 1e-9)):
    """The cycle by a logarithm, as torch finds it; its own rounding is int."""
    if T_mult == 1:
        return half(t % T_0 / T_0)
    i = rounded(math.log(t / T_0 * (T_mult - 1) + 1, T_mult))
    start = T_0 * (T_mult**i - 1) / (T_mult - 1)
    return half((t - start) / (T_0 * T_mult**i))


def torch_by_epoch(t, T_0, T_mult):
    """torch's own, asked for a step: it misses restarts if T_mult is 3."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    CosineAnnealingWarmRestarts(optimizer, T_0, T_mult).step(t)
    return optimizer.param_groups[0]["lr"]


def looping(length, late=False, shape=half):
    """A factor that subtracts cycles of `length(i, T_0, T_mult)` until `t` lies in one."""

    def wrong(t, T_0, T_mult):
        T_cur, i = t, 0
        while T_cur >= length(i, T_0, T_mult) + late:
            T_cur, i = T_cur - length(i, T_0, T_mult), i + 1
        return shape(T_cur / length(i, T_0, T_mult))

    return wrong


def grown(i, T_0, T_mult):
    return T_0 * T_mult**i


def place(t, T_0, T_mult):
    """(the cycle, the steps into it, its length)."""
    return WarmRestarts(T_0, T_mult).cycle(t)


def unbounded_shorter(t, T_0, T_mult):
    """Cycles that get shorter: this loop has no end once they are all over."""
    T_cur, T_i = t, T_0
    while T_cur >= T_i:
        T_cur, T_i = T_cur - T_i, T_i / T_mult
    return half(T_cur / T_i)


def never_subtracts(t, T_0, T_mult):
    """Finds the cycle, but keeps counting from step 0."""
    return half(t / place(t, T_0, T_mult)[2])


def divides_by_zero(t, T_0, T_mult):
    i = math.floor(math.log(t / T_0 * (T_mult - 1) + 1) / math.log(T_mult) + 1e-9)
    return half((t - T_0 * (T_mult**i - 1) / (T_mult - 1)) / (T_0 * T_mult**i))


def nan_by_numpy(t, T_0, T_mult):
    with np.errstate(all="ignore"):
        i = np.floor(np.log(t / T_0 * (T_mult - 1) + 1) / np.log(T_mult) + 1e-9)
        start = T_0 * (T_mult**i - 1) / np.float64(T_mult - 1)
        return (1 + np.cos(np.pi * (t - start) / (T_0 * T_mult**i))) / 2


def stateful():
    """Counts its calls instead of looking at t."""
    seen = {}

    def counting(t, T_0, T_mult):
        seen[T_0, T_mult] = seen.get((T_0, T_mult), -1) + 1
        return factor(seen[T_0, T_mult] % 60, T_0, T_mult)

    return counting


def ends_at_zero(t, T_0, T_mult):
    _, T_cur, T_i = place(t, T_0, T_mult)
    return half(T_cur / (T_i - 1))


# --------------------------------------------------------------------------------------
# 2. Planning


def first_cycle(total_steps, T_mult, cycles):
    T_0 = total_steps // sum(T_mult**i for i in range(cycles))
    if T_0 == 0:
        raise ValueError("too short")
    return T_0


def first_cycle_in_closed_form(total_steps, T_mult, cycles):
    length = cycles if T_mult == 1 else (T_mult**cycles - 1) / (T_mult - 1)
    if total_steps < length:
        raise ValueError("too short")
    return int(total_steps / length)


def first_cycle_by_search(total_steps, T_mult, cycles):
    fits = [
        T_0
        for T_0 in range(1, total_steps + 1)
        if WarmRestarts(T_0, T_mult).cycle_ends(cycles)[-1] <= total_steps
    ]
    return np.int64(max(fits))  # of nothing: a ValueError


def planned(length, rounded=math.floor):
    """A plan with its own idea of how many times T_0 the run is long."""
    return lambda total_steps, T_mult, cycles: rounded(total_steps / length(T_mult, cycles))


def total(T_mult, cycles):
    return sum(T_mult**i for i in range(cycles))


def unguarded(total_steps, T_mult, cycles):
    return int(total_steps * (T_mult - 1) / (T_mult**cycles - 1))


def refuses(condition):
    def wrong(total_steps, T_mult, cycles):
        if condition(total_steps, T_mult, cycles):
            raise ValueError("no")
        return first_cycle(total_steps, T_mult, cycles)

    return wrong


def divides_by_T_0(total_steps, T_mult, cycles):
    T_0 = total_steps // total(T_mult, cycles)
    return T_0 * (T_0 // T_0)


# --------------------------------------------------------------------------------------
# 3. The comparison


def by_end(found):
    return found[-1]


def comparing(
    restarting=lambda optimizer, T_0, steps: ScheduledLR(optimizer, WarmRestarts(T_0)),
    long=lambda optimizer, T_0, steps: ScheduledLR(optimizer, CosineAnnealing(steps)),
    loop="us",  # u: update, s: scheduler.step
    length=lambda T_0, cycles: T_0 * cycles,
    tuned=(by_end, by_end),  # of the restarts, of the long cosine
    judge=(by_end, by_end),
    choose=lambda table: np.mean(table, axis=1).argmin(),
    tune_on=lambda tuning_seeds, seeds: tuning_seeds,
    judge_on=lambda rival, seeds: seeds,
    peaks_of=lambda rival, best, peaks: best[rival],
    tries=lambda rival, peaks: peaks,
    says=lambda long, restarts: long - restarts,
):
    """A comparison in which any part can be made wrong; rival 0 restarts, rival 1 does not."""

    def compare(start, T_0, cycles, peaks, tuning_seeds, seeds):
        def losses(rival, peak, seed):
            optimizer, update, loss = start(peak, seed)
            scheduler = (restarting, long)[rival](optimizer, T_0, cycles * T_0)
            found = []
            for t in range(1, length(T_0, cycles) + 1):
                for action in loop:
                    update() if action == "u" else scheduler.step()
                if t % T_0 == 0:
                    found.append(loss())
            return found

        def best_of(rival):
            tried, on = tries(rival, peaks), tune_on(tuning_seeds, seeds)
            if len(tried) == 1:
                return tried[0]
            table = [[tuned[rival](losses(rival, peak, seed)) for seed in on] for peak in tried]
            return tried[int(choose(table))]

        best = [best_of(rival) for rival in (0, 1)]
        restarts, single = (
            np.array(
                [
                    judge[rival](losses(rival, peaks_of(rival, best, peaks), seed))
                    for seed in judge_on(rival, seeds)
                ]
            )
            for rival in (0, 1)
        )
        return says(single, restarts)

    return compare


def from_table(pick):
    """Plain torch; every run is made in advance, and `pick` says what is returned."""

    def compare(start, T_0, cycles, peaks, tuning_seeds, seeds):
        def final(long, peak, seed):
            optimizer, update, loss = start(peak, seed)
            if long:
                scheduler = CosineAnnealingLR(optimizer, T_0 * cycles)
            else:
                scheduler = CosineAnnealingWarmRestarts(optimizer, T_0)
            for _ in range(T_0 * cycles):
                update()
                scheduler.step()
            return loss()

        on = [*tuning_seeds, *seeds]
        tables = [
            np.array([[final(long, peak, seed) for seed in on] for peak in peaks])
            for long in (True, False)
        ]
        return pick(*tables, len(tuning_seeds))

    return compare


def with_torch(long, restarts, n):
    """The right `pick`: peaks by the first `n` columns, differences of the others, as a list."""
    best = [table[:, :n].mean(1).argmin() for table in (long, restarts)]
    return list(long[best[0], n:] - restarts[best[1], n:])


def by_hand(start, T_0, cycles, peaks, tuning_seeds, seeds):
    """Writes the rates into the optimizer, and returns a tensor."""

    def final(length, peak, seed):
        optimizer, update, loss = start(peak, seed)
        for t in range(T_0 * cycles):
            optimizer.param_groups[0]["lr"] = peak * half(t % length / length)
            update()
        return loss()

    finals = []
    for length in (T_0 * cycles, T_0):
        means = [np.mean([final(length, p, s) for s in tuning_seeds]) for p in peaks]
        finals.append(torch.tensor([final(length, peaks[np.argmin(means)], s) for s in seeds]))
    return finals[0].double() - finals[1].double()


def scheduled(shape_of):
    return lambda optimizer, T_0, steps: ScheduledLR(optimizer, shape_of(T_0, steps))


def lambda_lr(factor_of):
    """A scheduler that applies `factor_of(t, T_0)`."""
    return lambda optimizer, T_0, steps: LambdaLR(optimizer, lambda t: factor_of(t, T_0))


def sets_factors(optimizer, T_0, steps):
    optimizer.param_groups[0]["lr"] = 1.0
    return LambdaLR(optimizer, WarmRestarts(T_0))


def stepped_per_cycle(start, T_0, cycles, peaks, tuning_seeds, seeds):
    optimizer, update, loss = start(peaks[0], seeds[0])
    scheduler = CosineAnnealingLR(optimizer, cycles)
    for t in range(1, T_0 * cycles + 1):
        update()
        if t % T_0 == 0:
            scheduler.step()
    return loss()


def steps_the_optimizer(start, T_0, cycles, peaks, tuning_seeds, seeds):
    optimizer, _, loss = start(peaks[0], seeds[0])
    for _ in range(T_0 * cycles):
        optimizer.step()
    return loss()


def one_run(peak, seed):
    """A single run with a `peak` and a `seed` of its own."""

    def compare(start, T_0, cycles, peaks, tuning_seeds, seeds):
        _, update, loss = start(peak or peaks[0], seeds[0] if seed is None else seed)
        update()
        return loss()

    return compare


def careless(start, T_0, cycles, peaks, tuning_seeds, seeds):
    """The colleague's, as the notebook has it."""

    def losses(T_max, peak, seed):
        optimizer, update, loss = start(peak, seed)
        scheduler = CosineAnnealingLR(optimizer, T_max)
        snapshots = []
        for t in range(1, cycles * T_0 + 1):
            update()
            scheduler.step()
            if t % T_0 == 0:
                snapshots.append(loss())
        return snapshots

    def restarts(peak, seed):
        return min(losses(T_0, peak, seed))

    means = [np.mean([restarts(peak, seed) for seed in tuning_seeds]) for peak in peaks]
    best = peaks[np.argmin(means)]
    usual = 0.1
    long = [losses(cycles * T_0, usual, seed)[-1] for seed in seeds]
    return np.array(long) - [restarts(best, seed) for seed in seeds]


SETTINGS = {"T_0": 75, "cycles": 4, "peaks": [0.05, 0.1, 0.2, 0.4, 0.8]}

# --------------------------------------------------------------------------------------
# 4. The ensemble


@contextmanager
def as_found(models):
    """Every layer gets its mode back."""
    modes = [(module, module.training) for model in models for module in model.modules()]
    yield
    for module, training in modes:
        module.training = training


def combining(combine, context=torch.no_grad):
    """Stacks the logits, shape (models, n, classes), in eval mode, and combines them."""

    def predict(models, inputs):
        with as_found(models), context():
            logits = torch.stack([model.eval()(inputs) for model in models])
        return combine(logits)

    return predict


def mean_of(probabilities):
    return combining(lambda logits: probabilities(logits).mean(0).argmax(-1))


def on_copies(models, inputs):
    """Never touches the models; counts in double precision, and returns a list."""
    total = 0
    for model in models:
        twin = copy.deepcopy(model).double().eval()
        with torch.inference_mode():
            total = total + torch.softmax(twin(inputs.double()), -1)
    return [int(row.argmax()) for row in total]


def looped(models, inputs):
    modes = [[module.training for module in model.modules()] for model in models]
    total = None
    with torch.no_grad():
        for model in models:
            model.eval()
            p = torch.exp(model(inputs) - torch.logsumexp(model(inputs), 1, keepdim=True))
            total = p if total is None else total + p
    for model, kept in zip(models, modes, strict=True):
        for module, training in zip(model.modules(), kept, strict=True):
            module.train(training)
    return total.max(dim=1).indices.numpy()


def without_asking_for_gradients(restore):
    """Switches requires_grad off, where others use a context."""

    def predict(models, inputs):
        asked = [(p, p.requires_grad) for model in models for p in model.parameters()]
        with as_found(models):
            for p, _ in asked:
                p.requires_grad_(False)
            mean = sum(model.eval()(inputs).softmax(1) for model in models)
        for p, before in asked if restore else ():
            p.requires_grad_(before)
        return mean.argmax(1)

    return predict


def halves(logits):
    running, *later = logits.softmax(-1)
    for p in later:
        running = (running + p) / 2
    return running.argmax(1)


def evaluating(prepare, restore=lambda models: None, no_grad=torch.no_grad):
    """Right but for what it does to the models before and after."""

    def predict(models, inputs):
        prepare(models)
        with no_grad():
            mean = sum(model(inputs).softmax(1) for model in models) / len(models)
        restore(models)
        return mean.argmax(1)

    return predict


def all_eval(models):
    for model in models:
        model.eval()


def all_train(models):
    for model in models:
        model.train()


def restores_the_top_level(models, inputs):
    modes = [model.training for model in models]
    answer = evaluating(all_eval)(models, inputs)
    for model, training in zip(models, modes, strict=True):
        model.train(training)
    return answer


def keeping_modes(function):
    def predict(models, inputs):
        with as_found(models):
            return function(models, inputs)

    return predict


def no_gradients_ever(models, inputs):
    torch.set_grad_enabled(False)
    return looped(models, inputs)


def freezes(models, inputs):
    for model in models:
        model.requires_grad_(False)
    return looped(models, inputs)


def averaging_weights(only_parameters=False, in_place=False):
    def predict(models, inputs):
        merged = models[0] if in_place else copy.deepcopy(models[0])
        states = [model.state_dict() for model in models]
        names = dict(merged.named_parameters()) if only_parameters else states[0]
        mean = {name: sum(state[name] for state in states) / len(states) for name in names}
        merged.load_state_dict(mean, strict=False)
        with torch.no_grad(), as_found([merged]):
            return merged.eval()(inputs).argmax(1)

    return predict


# --------------------------------------------------------------------------------------
# 5. Good whenever it is stopped


def anytime(hold=100, second=0.3, third=0.1):
    first = Constant(total_iters=hold).then(CosineAnnealing(200 - hold))
    later = Constant(second) * CosineAnnealing(300)
    return first.then(later, at=200).then(Constant(third) * CosineAnnealing(500), at=500)


def cycles(*peaks, ends=(200, 500, 1000), shape=CosineAnnealing):
    """Returns a schedule of cycles that begin at `peaks` and are over at `ends`."""
    starts = (0, *ends)
    parts = [
        (Constant(p) * shape(b - a)).sample(b - a)
        for p, a, b in zip(peaks, starts, ends, strict=False)
    ]
    return lambda: Factors(np.concatenate(parts))


def square_root(n):
    return PolynomialDecay(n, power=0.5)


class Factors(Schedule):
    """Any factors; the last is held."""

    def __init__(self, factors):
        self.factors = factors

    def formula(self, step):
        return float(self.factors[min(step, len(self.factors) - 1)])


class NotFinite(Schedule):
    """Fails only late in the run."""

    def formula(self, step):
        return math.nan if step > 700 else 1.0


spike = np.repeat([0.005, 1.0, 0.1], [199, 1, 800])
never_rises = Constant(total_iters=120).then(InverseTimeDecay(1, 14))


# --------------------------------------------------------------------------------------

SOLUTIONS = [
    (check.check_factor, factor),
    (check.check_first_cycle, first_cycle),
    (check.check_flaws, lambda: {"A", "C", "E"}),
    (check.check_compare, comparing()),
    (check.check_predict, mean_of(lambda logits: logits.softmax(-1))),
    (check.check_anytime, anytime),
]


@pytest.mark.parametrize(
    ("checker", "solution"),
    [
        *SOLUTIONS,
        (check.check_factor, closed_form),
        (check.check_factor, lambda *args: np.float32(factor(*args))),
        (check.check_factor, lambda *a: torch.tensor(factor(*a))),
        (check.check_first_cycle, first_cycle_in_closed_form),
        (check.check_first_cycle, first_cycle_by_search),
        (check.check_flaws, lambda: ["e", "c", "a"]),
        (check.check_compare, from_table(with_torch)),
        (check.check_compare, by_hand),
        (check.check_predict, looped),
        (check.check_predict, on_copies),
        (check.check_predict, without_asking_for_gradients(restore=True)),
        (check.check_predict, combining(lambda x: x.softmax(2).sum(0).argmax(1))),
        (check.check_anytime, lambda: never_rises),
        (check.check_anytime, cycles(1, 0.15, 0.08, shape=square_root)),
        (check.check_anytime, lambda: Factors(1e-3 * anytime().sample(1000))),
    ],
)
def test_the_solution_passes(checker, solution, capsys):
    checker(solution)
    assert capsys.readouterr().out.startswith("Passed: ")


MISTAKES = [
    (check.check_factor, lambda t, T_0, m: WarmRestarts(T_0, m)(t), "calls WarmRestarts"),
    (check.check_factor, recursive, "RecursionError.* use a loop"),
    (
        check.check_predict,
        lambda models, inputs: ensemble_probabilities(models, inputs).argmax(1),
        "calls ensemble_probabilities",
    ),
    (check.check_predict, without_asking_for_gradients(restore=False), "changed requires_grad"),
    # the factor
    (check.check_factor, lambda t, T_0, m: half(t / T_0), "climbs back"),
    (check.check_factor, lambda t, T_0, m: half(min(t / T_0, 1)), "stays at 0"),
    (check.check_factor, looping(grown, late=True), "restart comes one step late"),
    (check.check_factor, looping(lambda *a: grown(*a) + 1), "restart comes one step late"),
    (check.check_factor, lambda t, *a: factor(max(t - 1, 0), *a), "restart comes one step late"),
    (check.check_factor, lambda t, *a: factor(t + 1, *a), "one step ahead"),
    (
        check.check_factor,
        lambda *a: half((place(*a)[1] + 1) / place(*a)[2]),
        "one step ahead",
    ),
    (check.check_factor, looping(lambda *a: grown(*a) - 1), "one step ahead"),
    (check.check_factor, ends_at_zero, "last step of a cycle has the factor 0"),
    (check.check_factor, unbounded_shorter, "not as short"),
    (check.check_factor, lambda t, T_0, m: half(t % T_0 / T_0), "all your cycles have the same"),
    (check.check_factor, looping(lambda i, T_0, m: T_0 + i * m), "you add T_mult to the length"),
    (check.check_factor, looping(lambda i, T_0, m: T_0 + i * (m - 1)), "you add T_mult - 1"),
    (check.check_factor, looping(lambda i, T_0, m: T_0 * (1 + i * (m - 1))), "the same amount"),
    (check.check_factor, looping(lambda i, T_0, m: T_0 * max(1, i * m)), "the same amount"),
    (check.check_factor, looping(lambda i, T_0, m: T_0 * m ** (i + 1)), "first cycle is already"),
    (
        check.check_factor,
        looping(lambda i, T_0, m: T_0 * m ** max(i - 1, 0)),
        "second is as long as your first",
    ),
    (check.check_factor, never_subtracts, "T_cur never falls"),
    (check.check_factor, lambda t, T_0, m: half(place(t, T_0, m)[1] / T_0), "runs too fast"),
    (
        check.check_factor,
        lambda *a: half(a[0] % place(*a)[2] / place(*a)[2]),
        "not t % T_i",
    ),
    (
        check.check_factor,
        lambda t, T_0, m: half(t % T_0 / (T_0 * m ** (t // T_0))),
        "you take t // T_0",
    ),
    (check.check_factor, lambda *a: closed_form(*a, rounded=round), "before the one before is"),
    (check.check_factor, lambda *a: closed_form(*a, rounded=math.ceil), "before the one before"),
    (check.check_factor, lambda *a: closed_form(*a, rounded=int), r"step 121.*math.log\(243, 3\)"),
    (check.check_factor, torch_by_epoch, r"step 121.*math.log\(243, 3\)"),
    (check.check_factor, divides_by_zero, "ZeroDivisionError.*if T_mult is 1"),
    (check.check_factor, nan_by_numpy, "no finite number.*if T_mult is 1"),
    (check.check_factor, looping(grown, shape=lambda x: math.cos(math.pi * x)), "falls to -1"),
    (check.check_factor, looping(grown, shape=lambda x: 2 * half(x)), "begins at 2"),
    (check.check_factor, looping(grown, shape=lambda x: half(x) - 0.5), "falls below 0"),
    (check.check_factor, looping(grown, shape=lambda x: 1 - half(x)), "it rises inside a cycle"),
    (
        check.check_factor,
        looping(grown, shape=lambda x: math.cos(math.pi * x / 2)),
        "quarter of a cosine",
    ),
    (check.check_factor, looping(grown, shape=lambda x: half(2 * x)), "whole cosine"),
    (check.check_factor, looping(grown, shape=lambda x: half(x / math.pi)), "is pi missing"),
    (check.check_factor, looping(grown, shape=lambda x: half(x * 180 / math.pi)), "takes radians"),
    (check.check_factor, looping(grown, shape=lambda x: 1 - x), "straight line"),
    (check.check_factor, looping(grown, shape=lambda x: 0.1 * half(x)), "begins at 1"),
    (check.check_factor, looping(grown, shape=lambda x: half(x) ** 2), "but the formula gives"),
    (check.check_factor, stateful(), "remembers the calls before"),
    (check.check_factor, lambda t, T_0, m: [1, 2], "one number"),
    (check.check_factor, lambda t, T_0, m: math.nan, "no finite number"),
    (check.check_factor, lambda t, T_0, m: 10**400, "no finite number"),
    # planning
    (check.check_first_cycle, planned(lambda m, n: total(m, n + 1)), "one cycle too many"),
    (check.check_first_cycle, planned(lambda m, n: total(m, max(n - 1, 1))), "one cycle short"),
    (check.check_first_cycle, planned(total, math.ceil), "you rounded up"),
    (check.check_first_cycle, planned(total, round), "you rounded up"),
    (check.check_first_cycle, planned(total, float), "a float"),
    (check.check_first_cycle, lambda s, m, n: s / total(m, n), "a float"),
    (check.check_first_cycle, planned(lambda m, n: n), "do not have the same length"),
    (check.check_first_cycle, planned(lambda m, n: m ** (n - 1)), "last cycle as long as the"),
    (check.check_first_cycle, planned(lambda m, n: m**n), "T_mult to the power cycles"),
    (check.check_first_cycle, planned(lambda m, n: m * n), "cycles times T_mult"),
    (
        check.check_first_cycle,
        planned(lambda m, n: sum(1 + i * (m - 1) for i in range(n))),
        "by the same amount",
    ),
    (check.check_first_cycle, unguarded, "ZeroDivisionError.*T_mult - 1 = 0"),
    (
        check.check_first_cycle,
        lambda s, m, n: first_cycle(s, m, n) * total(m, n),
        "length of the whole run",
    ),
    (check.check_first_cycle, lambda s, m, n: 2 * first_cycle(s, m, n), "more than there are"),
    (check.check_first_cycle, lambda s, m, n: 60, "a longer first cycle would"),
    (check.check_first_cycle, lambda s, m, n: s // total(m, n), "14 steps.*you returned 0"),
    (check.check_first_cycle, lambda s, m, n: max(1, s // total(m, n)), "you returned 1: raise"),
    (check.check_first_cycle, refuses(lambda s, m, n: s % total(m, n)), "but 4 cycles do fit"),
    (check.check_first_cycle, refuses(lambda s, m, n: s <= total(m, n)), "but 4 cycles do fit"),
    (check.check_first_cycle, divides_by_T_0, "not ZeroDivisionError"),
    (check.check_first_cycle, lambda s, m, n: 0, "at least one step"),
    (check.check_first_cycle, lambda s, m, n: (100, 300), "one whole number"),
    (check.check_first_cycle, lambda s, m, n: math.nan, "one whole number"),
    (check.check_first_cycle, lambda s, m, n: True, "one whole number"),
    # what is wrong
    (check.check_flaws, lambda: {"C", "E"}, "A is missing"),
    (check.check_flaws, lambda: {"A", "E"}, "C is missing"),
    (check.check_flaws, lambda: {"A", "C"}, "E is missing"),
    (check.check_flaws, lambda: {"A", "B", "C", "E"}, "B is not a flaw"),
    (check.check_flaws, lambda: {"A", "C", "D", "E"}, "D is not a flaw"),
    (check.check_flaws, lambda: {"A", "C", "E", "F"}, "not among"),
    (check.check_flaws, lambda: "ACE", "set of letters"),
    # the repair: what was applied
    (check.check_compare, careless, "CosineAnnealingLR, which does not restart"),
    (
        check.check_compare,
        comparing(restarting=scheduled(lambda T_0, n: CosineAnnealing(T_0))),
        "fell to 0 in 5 steps and stayed",
    ),
    (
        check.check_compare,
        comparing(restarting=scheduled(lambda T_0, n: WarmRestarts(T_0, 2))),
        "stopped inside a cycle",
    ),
    (
        check.check_compare,
        comparing(restarting=lambda_lr(lambda t, T_0: half(t and (t - 1) % T_0 / T_0 + 1 / T_0))),
        "restarted one step late",
    ),
    (
        check.check_compare,
        comparing(restarting=lambda_lr(lambda t, T_0: WarmRestarts(T_0)(max(t - 1, 0)))),
        "restarts came one late",
    ),
    (check.check_compare, comparing(loop="su"), "restarts came one step early"),
    (check.check_compare, comparing(loop="uss"), "twice its speed"),
    (check.check_compare, comparing(loop="sus"), "twice its speed"),
    (check.check_compare, comparing(loop="u"), "never changed"),
    (
        check.check_compare,
        comparing(long=lambda optimizer, T_0, n: CosineAnnealingLR(optimizer, n // T_0)),
        "count steps",
    ),
    (
        check.check_compare,
        comparing(restarting=scheduled(lambda T_0, n: WarmRestarts(n // T_0))),
        "count steps",
    ),
    (check.check_compare, stepped_per_cycle, "changed only every 5 steps"),
    (
        check.check_compare,
        comparing(restarting=scheduled(lambda T_0, n: WarmRestarts(T_0) * WarmRestarts(T_0))),
        "applied twice",
    ),
    (check.check_compare, comparing(restarting=sets_factors), "factors of the restarts were"),
    (
        check.check_compare,
        comparing(restarting=scheduled(lambda T_0, n: WarmRestarts(T_0, min_factor=0.1))),
        "followed neither schedule",
    ),
    (check.check_compare, comparing(length=lambda T_0, n: T_0 * n - 1), "made 19 updates"),
    (check.check_compare, comparing(loop="uus"), "made 40 updates"),
    (check.check_compare, steps_the_optimizer, "called by itself"),
    (check.check_compare, lambda start, *a: start(0.25, 4)[2](), "no run made an update"),
    (check.check_compare, one_run(0.1, None), "0.1, which is not among the peaks"),
    (check.check_compare, one_run(None, 1011), "the seed 1011, which is neither"),
    (
        check.check_compare,
        comparing(long=scheduled(lambda T_0, n: WarmRestarts(T_0))),
        "Where is the one of the long cosine",
    ),
    (
        check.check_compare,
        comparing(restarting=scheduled(lambda T_0, n: CosineAnnealing(n))),
        "Where is the one of the restarts",
    ),
    # the repair: with which peaks, on which seeds
    (
        check.check_compare,
        comparing(tries=lambda rival, peaks: peaks[1:2] if rival else peaks),
        "for the restarts alone",
    ),
    (
        check.check_compare,
        comparing(
            tries=lambda rival, peaks: peaks if rival else peaks[:1],
            peaks_of=lambda rival, best, peaks: best[1],
        ),
        "for the long cosine alone",
    ),
    (check.check_compare, comparing(tries=lambda rival, peaks: peaks[2:3]), "only one peak"),
    (check.check_compare, comparing(tune_on=lambda tuning, seeds: seeds), "on the seeds of the"),
    (check.check_compare, comparing(tune_on=lambda tuning, seeds: tuning[:1]), "6 of the 18"),
    (check.check_compare, comparing(tries=lambda rival, peaks: peaks[1:]), "15 of the 18"),
    (
        check.check_compare,
        comparing(judge_on=lambda rival, seeds: seeds[:2]),
        r"no run on the seeds \[15, 23\]",
    ),
    # the repair: what was returned
    (check.check_compare, comparing(judge=(min, by_end)), "still judged by the best of"),
    (
        check.check_compare,
        comparing(tuned=(min, by_end), judge=(min, by_end)),
        "still judged by the best of",
    ),
    (check.check_compare, comparing(tuned=(min, by_end)), "Tune by the loss you judge by"),
    (check.check_compare, comparing(judge=(min, min)), "lowest of several losses"),
    (check.check_compare, comparing(tuned=(min, min), judge=(min, min)), "lowest of several"),
    (check.check_compare, comparing(judge=(np.mean, np.mean)), "averaged the losses"),
    (
        check.check_compare,
        comparing(peaks_of=lambda rival, best, peaks: best[0]),
        "best for the restarts",
    ),
    (
        check.check_compare,
        comparing(peaks_of=lambda rival, best, peaks: best[1]),
        "best for the long cosine",
    ),
    (
        check.check_compare,
        from_table(
            lambda a, b, n: a[a[:, n:].mean(1).argmin(), n:] - b[b[:, n:].mean(1).argmin(), n:]
        ),
        "chosen on the seeds of the comparison",
    ),
    (
        check.check_compare,
        from_table(lambda a, b, n: a[a.mean(1).argmin(), n:] - b[b.mean(1).argmin(), n:]),
        "with the help of the seeds",
    ),
    (
        check.check_compare,
        from_table(lambda a, b, n: a[:, n:].min(0) - b[:, n:].min(0)),
        "each seed got the peak",
    ),
    (
        check.check_compare,
        comparing(choose=lambda table: np.min(table, axis=1).argmin()),
        "single best run",
    ),
    (
        check.check_compare,
        comparing(choose=lambda table: np.mean(table, axis=1).argmax()),
        "Lower is better",
    ),
    (check.check_compare, comparing(says=lambda a, b: b - a), "sign is turned round"),
    (check.check_compare, comparing(says=lambda a, b: np.sort(a) - np.sort(b)), "were sorted"),
    (
        check.check_compare,
        comparing(judge_on=lambda rival, seeds: sorted(seeds)),
        "another order than the seeds",
    ),
    (
        check.check_compare,
        comparing(says=lambda a, b: np.full(4, (a - b).mean())),
        "every entry is the mean",
    ),
    (check.check_compare, comparing(says=lambda a, b: (a - b).mean()), "the spread"),
    (check.check_compare, comparing(says=lambda a, b: (a, b)), "the spread"),
    (check.check_compare, comparing(says=lambda a, b: a / b), "the runs were right, but"),
    (check.check_compare, comparing(says=lambda a, b: a * np.nan), "finite number"),
    (check.check_compare, comparing(says=lambda a, b: "restarts lose"), "array with one"),
    (check.check_compare, comparing(says=lambda a, b: {4: a}), "array with one"),
    # the ensemble
    (check.check_predict, mean_of(lambda logits: logits), "you averaged logits"),
    (check.check_predict, mean_of(lambda logits: logits.log_softmax(-1)), "you averaged logits"),
    (check.check_predict, averaging_weights(), "averaged the weights"),
    (check.check_predict, averaging_weights(only_parameters=True), "averaged the weights"),
    (check.check_predict, averaging_weights(in_place=True), "changed the weights"),
    (check.check_predict, combining(lambda x: x.argmax(-1).mode(0).values), "let the models vote"),
    (
        check.check_predict,
        combining(lambda x: torch.nn.functional.one_hot(x.argmax(-1)).sum(0).argmax(1)),
        "let the models vote",
    ),
    (check.check_predict, combining(lambda x: x[-1].argmax(1)), "only the last model"),
    (check.check_predict, combining(lambda x: x[0].argmax(1)), "only the first model"),
    (check.check_predict, mean_of(lambda logits: logits.softmax(1)), "runs over the inputs"),
    (check.check_predict, mean_of(lambda logits: logits.sigmoid()), "those are sigmoids"),
    (check.check_predict, combining(lambda x: x.softmax(-1).amax(0).argmax(1)), "surest decides"),
    (check.check_predict, combining(halves), "one half of the weight"),
    (check.check_predict, combining(lambda x: x.softmax(-1).mean(0).argmin(1)), "least probable"),
    (
        check.check_predict,
        combining(lambda x: x.softmax(-1).mean(0).argmax(1) + 1),
        "classes count from 0",
    ),
    (
        check.check_predict,
        combining(lambda x: x.softmax(-1).mean(0).argsort(1)[:, -2]),
        "the mean probabilities are",
    ),
    (check.check_predict, combining(lambda x: x.softmax(-1).mean(0)), "returned probabilities"),
    (check.check_predict, combining(lambda x: x.mean(0)), "returned scores"),
    (
        check.check_predict,
        combining(lambda x: x.softmax(-1).mean(0).max(1).values),
        "the largest probability, and not its position",
    ),
    (check.check_predict, combining(lambda x: x.softmax(-1).mean(0).max(1)), "their positions"),
    (check.check_predict, combining(lambda x: x.softmax(-1).mean(0).argmax(0)), r"not shape \(4,"),
    (check.check_predict, combining(lambda x: x.softmax(-1).mean(0).argmax()), r"not shape \(\)"),
    (
        check.check_predict,
        combining(lambda x: x.softmax(-1).mean(0).squeeze().argmax(-1)),
        "each of the 1 inputs",
    ),
    (check.check_predict, lambda models, inputs: "3", "a tensor of classes"),
    (check.check_predict, lambda models, inputs: torch.zeros(len(inputs)).long(), "no model was"),
    (check.check_predict, evaluating(lambda models: None), "needs eval"),
    (check.check_predict, keeping_modes(evaluating(lambda ms: ms[0].eval())), "needs eval"),
    (
        check.check_predict,
        keeping_modes(evaluating(lambda ms: [setattr(m, "training", False) for m in ms])),
        "needs eval",
    ),
    (
        check.check_predict,
        keeping_modes(evaluating(all_eval, no_grad=nullcontext)),
        "while gradients are recorded",
    ),
    (check.check_predict, no_gradients_ever, "left them off"),
    (check.check_predict, freezes, "changed requires_grad"),
    (check.check_predict, evaluating(all_eval), "left it in eval mode"),
    (check.check_predict, evaluating(all_eval, all_train), "left it in training mode"),
    (check.check_predict, restores_the_top_level, "one of its layers was in eval mode"),
    # good whenever it is stopped: what is no schedule, or none of 1,000 steps
    (check.check_anytime, lambda: [1.0] * 1000, "should return a Schedule"),
    (check.check_anytime, lambda: WarmRestarts, "should return a Schedule"),
    (check.check_anytime, lambda: (anytime(), 1.9), "should return a Schedule"),
    (
        check.check_anytime,
        lambda: (Constant(0.5) * CosineAnnealing(200)).then(Constant()),
        "ValueError: then: .* never ends",
    ),
    (check.check_anytime, NotFinite, "ValueError when it was sampled: .* step 701"),
    (check.check_anytime, lambda: Constant(0.0), "all your factors are 0"),
    (check.check_anytime, lambda: CosineAnnealing(200), "7.69 after 1,000.*step 200 to step 1000"),
    (check.check_anytime, lambda: CosineAnnealing(500), "From step 500 to step 1000 all"),
    (
        check.check_anytime,
        lambda: Constant(0.0, 300).then(CosineAnnealing(700)),
        "From step 0 to step 200 all",
    ),
    # stopped at a high rate
    (check.check_anytime, Constant, "2.*stop at 1000 is 0.54.* 6.7 times.*at a high rate"),
    (check.check_anytime, lambda: Factors(spike), "does not settle"),
    (check.check_anytime, lambda: CosineAnnealing(1000), "stop at 500 is 0.41.*2.6 times"),
    (check.check_anytime, lambda: WarmRestarts(200), "4.57 after 200.* stop at 500 is 0.6,"),
    (check.check_anytime, lambda: WarmRestarts(143, 2), "stop at 500 is 0.85.*at a high rate"),
    (check.check_anytime, cycles(1, 0.4, 0.15, ends=(199, 499, 1000)), "stop at 200 is 0.8,"),
    (
        check.check_anytime,
        lambda: ExponentialDecay.to_factor(0.01, 1000),
        "1.52 after 200, 1.40 after 500 and 0.77 after 1,000.*stop at 200 is 0.7,",
    ),
    # one peak cannot serve all
    (
        check.check_anytime,
        cycles(1, 1, 1),
        "1.91 after 200.* help after 200 steps, where 78%.* lower one after 1,000, where 100% is",
    ),
    (check.check_anytime, lambda: WarmRestarts(100), "4.09 after 1,000.* All stops share the peak"),
    # close
    (check.check_anytime, cycles(0.3, 0.6, 1), "between step 0 and step 200 are low"),
    (check.check_anytime, lambda: anytime(second=0.01), "distance.*step 200 and step 500 are low"),
    (check.check_anytime, lambda: anytime(third=0.3), "help after 500 .* lower one after 1,000,"),
    (check.check_anytime, cycles(1, 0.4, 0.16), "1.13 after 500.*11% .*step 200 falls too early"),
    (check.check_anytime, cycles(1, 0.3, 0.1), "worst, 1.14.* 22% .*step 200 falls too early"),
    (check.check_anytime, lambda: anytime(hold=180), "step 200 falls too late"),
    (check.check_anytime, lambda: anytime(third=0.005), "step 500 and step 1000 are low"),
    (
        check.check_anytime,
        cycles(1, 0.3, 0.1, shape=lambda n: PolynomialDecay(n, power=0.2)),
        "step 200 and step 500 are high",
    ),
]


@pytest.mark.parametrize(("checker", "answer", "hint"), MISTAKES)
def test_each_mistake_gets_its_hint(checker, answer, hint):
    with pytest.raises(Mistake, match=hint):
        checker(answer)
    assert torch.is_grad_enabled()


def test_the_mistakes_in_the_comparison_can_be_told_apart():
    """Of the first small comparison, each mistake with a hint of its own has its own numbers."""
    right, mistakes = check._gains(check._SMALL[0])
    for gains, hint in mistakes:
        assert not np.allclose(gains, right, rtol=1e-3), hint
    for (one, first), (other, second) in itertools.combinations(mistakes, 2):
        assert first == second or not np.allclose(one, other, rtol=1e-3), (first, second)


def test_what_the_text_of_the_comparison_says(capsys):
    """The careless comparison finds that restarts win, the repaired one that they lose."""
    settings = {**SETTINGS, "tuning_seeds": lab.seeds(4, "tune"), "seeds": lab.seeds(20)}
    gain = careless(check.start, **settings)
    assert stats.ttest_1samp(gain, 0).confidence_interval().low > 0.05
    check.check_compare(comparing(), settings)
    said = re.search(r"restarts gain (\S+) ± (\S+)\.$", capsys.readouterr().out)
    assert float(said[1]) + float(said[2]) < -0.02


def test_the_runs_are_those_of_the_noisy_quadratic():
    """Its expected loss, up to the noise of 200 runs; the same seed gives the same run."""
    rates = 0.4 * WarmRestarts(10).sample(20)

    def final(seed):
        optimizer, update, loss = check.start(1.0, seed)
        with LRTrace(optimizer) as trace:
            for rate in rates:
                optimizer.param_groups[0]["lr"] = rate
                update()
        assert len(trace) == 20
        return loss()

    losses = [final(seed) for seed in range(200)]
    assert losses[3] == final(3)
    expected = lab.NoisyQuadratic().loss(rates)[-1]
    assert abs(np.mean(losses) - expected) < 4 * stats.sem(losses)


def test_what_the_text_of_the_open_exercise_says():
    quadratic = lab.NoisyQuadratic(batch_size=256)
    for shape, ratios in (
        (Constant(), [6.73, 3.90, 6.73]),
        (WarmRestarts(100), [4.09, 2.25, 4.09]),
        (CosineAnnealing(1000), [2.82, 2.82, 1.00]),
    ):
        peak, found = check._at_stops(shape.sample(1000))
        assert found == pytest.approx(ratios, abs=0.005)
        for stop, ratio in zip((200, 500, 1000), found, strict=True):
            planned = quadratic.tune(CosineAnnealing(stop), stop)[1]
            assert quadratic.loss(peak * shape.sample(stop))[-1] / planned == pytest.approx(ratio)
    best = Constant(total_iters=110).then(PolynomialDecay(90))
    best = best.then(Constant(0.2) * PolynomialDecay(300), at=200)
    best = best.then(Constant(0.08) * PolynomialDecay(500), at=500)
    assert check._at_stops(best.sample(1000))[1].max() == pytest.approx(0.82, abs=0.005)
    lowest = quadratic.optimal(500).loss / quadratic.tune(CosineAnnealing(500), 500)[1]
    assert lowest == pytest.approx(0.78, abs=0.005)


def test_a_schedule_that_never_rises_is_good_at_every_stop(capsys):
    """As those are told who passed; it does not need to know the stops."""
    check.check_anytime(anytime)
    assert repr(never_rises.schedules[1]) == "InverseTimeDecay(decay_rate=1.0, decay_steps=14)"
    shown = "Constant(total_iters=120).then(InverseTimeDecay(1, 14)) never rises, has 0.92 as"
    assert shown in capsys.readouterr().out
    peak, ratios = check._at_stops(never_rises.sample(1000))
    assert ratios.max() == pytest.approx(0.92, abs=0.005)
    quadratic = lab.NoisyQuadratic(batch_size=256)
    losses = quadratic.loss(peak * never_rises.sample(1000))
    for stop in (150, 250, 300, 310, 350, 400, 700):
        assert losses[stop] < quadratic.tune(CosineAnnealing(stop), stop)[1]
    check.check_anytime(lambda: never_rises)
    assert "Yours never rises" in capsys.readouterr().out


@pytest.mark.parametrize(
    "shape",
    [
        CosineAnnealing(1000),
        WarmRestarts(200),
        ExponentialDecay.to_factor(0.01, 1000),
        cycles(1, 1, 1)(),
        cycles(0.3, 0.6, 1)(),
        cycles(1, 0.4, 0.16)(),
    ],
)
def test_whoever_follows_the_hints_arrives(shape):
    factors = shape.sample(1000)
    stops = (0, 200, 500, 1000)

    def before(stop):
        """The part of the factors that ends at `stop`."""
        return factors[stops[stops.index(stop) - 1] : stop]

    for _ in range(20):
        try:
            check.check_anytime(lambda: Factors(factors))
            return
        except Mistake as error:
            hint = str(error)
        if found := re.search(r"stop at (\d+) is", hint):
            part = before(int(found[1]))
            part *= np.linspace(1, 0.1, len(part))
        elif found := re.search(r"help after ([\d,]+) .* one after ([\d,]+),", hint):
            too_low, too_high = (int(stop.replace(",", "")) for stop in found.groups())
            before(too_high)[:] /= 1.3
            before(too_low)[:] *= 1.3
        else:
            part = before(int(re.search(r"and step (\d+)", hint)[1]))
            t = np.arange(len(part)) / len(part)
            if "falls" in hint:
                power = 1.5 if "too early" in hint else 0.7
                part[:] = part[(len(part) * t**power).astype(int)]
            else:
                part *= 1.3 if "low" in hint else 1 / 1.3
    pytest.fail(hint)
