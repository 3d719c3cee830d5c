"""Chapter 05's checkers, beyond their tables (test_exercises_tables.py)."""

import copy
import math
import re

import notebooks
import numpy as np
import pytest
import torch
from test_exercises_tables import SHEETS, answers
from torch.optim.lr_scheduler import CosineAnnealingLR, CosineAnnealingWarmRestarts

import lrlib
from lrlib import Constant, CosineAnnealing, PolynomialDecay, WarmRestarts, lab
from lrlib.exercises import Mistake
from lrlib.exercises import warm_restarts as check
from lrlib.exercises import warm_restarts_ensemble as wrong
from lrlib.exercises.warm_restarts_anytime import at_stops

half, SOLUTION = check.half, answers(SHEETS["warm_restarts"])
factor, first_cycle = SOLUTION["check_factor"], SOLUTION["check_first_cycle"]


def recursive(t, T_0, T_mult):
    return half(t / T_0) if t < T_0 else recursive(t - T_0, T_0 * T_mult, T_mult)


def closed_form(t, T_0, T_mult):
    if T_mult == 1:
        return np.float32(half(t % T_0 / T_0))
    i = math.floor(math.log(t / T_0 * (T_mult - 1) + 1, T_mult) + 1e-9)
    return torch.tensor(half((t - T_0 * (T_mult**i - 1) / (T_mult - 1)) / (T_0 * T_mult**i)))


def divides_by_zero(t, T_0, T_mult):
    i = math.floor(math.log(t / T_0 * (T_mult - 1) + 1) / math.log(T_mult) + 1e-9)
    return half((t - T_0 * (T_mult**i - 1) / (T_mult - 1)) / (T_0 * T_mult**i))


def first_cycle_by_search(total_steps, T_mult, cycles):
    ends = {T: WarmRestarts(T, T_mult).cycle_ends(cycles)[-1] for T in range(1, total_steps + 1)}
    return np.int64(max(T for T, end in ends.items() if end <= total_steps))  # else a ValueError


def with_torch(loop="us", restarts=CosineAnnealingWarmRestarts):
    """Torch's schedulers, stepped where the loop has an s, and updates where it has a u."""

    def compare(start, T_0, cycles, peaks, tuning_seeds, seeds):
        def final(make, length, peak, seed):
            optimizer, update, loss = start(peak, seed)
            scheduler = make(optimizer, length)
            for _ in range(T_0 * cycles):
                for action in loop:
                    update() if action == "u" else scheduler.step()
            return loss()

        finals = []
        for one in ((CosineAnnealingLR, T_0 * cycles), (restarts, T_0)):
            means = [np.mean([final(*one, peak, s) for s in tuning_seeds]) for peak in peaks]
            finals.append([final(*one, peaks[np.argmin(means)], seed) for seed in seeds])
        return [a - b for a, b in zip(*finals, strict=True)]

    return compare


def given(peaks=lambda peaks: peaks, tuning=lambda tuning, seeds: tuning, says=lambda gain: gain):
    """A right comparison that goes on with other arguments, or with what it returns."""
    return lambda start, T_0, n, p, t, s: says(
        np.array(SOLUTION["check_compare"](start, T_0, n, peaks(p), tuning(t, s), s))
    )


def one_run(peak, seed, updates=1, stepping=False):
    def compare(start, T_0, cycles, peaks, tuning_seeds, seeds):
        optimizer, update, loss = start(peak or peaks[0], seed or seeds[0])
        for _ in range(updates):
            optimizer.step() if stepping else update()
        return loss()

    return compare


def without_asking_for_gradients(models, inputs):
    """Switches requires_grad off, where others use a context, and on again; on copies."""
    for model in models:
        model.requires_grad_(False)
    total = sum(
        copy.deepcopy(model).double().eval()(inputs.double()).softmax(1) for model in models
    )
    for model in models:
        model.requires_grad_(True)
    return total.max(dim=1).indices.tolist()


def predicting(answer):
    """What is made of the right mean probabilities."""
    return lambda models, inputs: answer(lrlib.ensemble_probabilities(models, inputs))


class Factors(lrlib.Schedule):
    """Any factors; the last is held."""

    def __init__(self, factors):
        self.factors = factors

    def formula(self, step):
        return float(self.factors[min(step, len(self.factors) - 1)])


def cycles(*peaks, shape=CosineAnnealing):
    """A schedule of cycles that begin at `peaks` and are over at the stops."""
    parts = [(Constant(p) * shape(n)).sample(n) for p, n in zip(peaks, (200, 300, 500))]  # noqa: B905
    return lambda: Factors(np.concatenate(parts))


never_rises = Constant(total_iters=120).then(lrlib.InverseTimeDecay(1, 14))


@pytest.mark.parametrize(
    ("checker", "solution"),
    [
        (check.check_factor, closed_form),
        (check.check_first_cycle, first_cycle_by_search),
        (check.check_flaws, lambda: ["e", "c", "a"]),
        (check.check_compare, with_torch()),
        (check.check_compare, given(says=torch.tensor)),
        (check.check_predict, without_asking_for_gradients),
        (check.check_anytime, SOLUTION["check_anytime"]),
        (check.check_anytime, lambda: Factors(1e-3 * never_rises.sample(1000))),
        (check.check_anytime, cycles(1, 0.15, 0.08, shape=lambda n: PolynomialDecay(n, power=0.5))),
    ],
)
def test_other_solutions_pass(checker, solution, capsys):
    checker(solution)
    assert capsys.readouterr().out.startswith("Passed: ")


MISTAKES = [
    (check.check_factor, lambda t, T_0, m: WarmRestarts(T_0, m)(t), "calls WarmRestarts"),
    (check.check_factor, recursive, "RecursionError.* use a loop"),
    (check.check_factor, divides_by_zero, "ZeroDivisionError.*if T_mult is 1"),
    (check.check_factor, lambda *a: 1 - factor(*a), "it rises inside a cycle"),
    (check.check_factor, lambda *a: 2 * factor(*a), "the first step has 2"),
    (check.check_factor, lambda *a: factor(*a) - 0.5, "0.5 too small: add 1 to the cosine"),
    (check.check_factor, lambda *a: 1.0, "Does // round"),
    (check.check_first_cycle, lambda s, m, n: s / sum(m**i for i in range(n)), "a float"),
    (check.check_first_cycle, lambda s, m, n: s * (m - 1) // (m**n - 1), "T_mult - 1.* both are 0"),
    (check.check_first_cycle, lambda s, m, n: int("no"), "but 4 cycles do fit"),
    (check.check_first_cycle, lambda s, m, n: s // sum(m**i for i in range(n)), "you returned 0"),
    (check.check_first_cycle, lambda s, m, n: 60, "the same in all cases"),
    (check.check_compare, with_torch("su"), "long cosine: every rate came one step early"),
    (check.check_compare, with_torch("uss"), "long cosine: .*twice its speed"),
    (check.check_compare, with_torch("u"), "the rate never changed"),
    (check.check_compare, with_torch("uus"), "made 24 updates"),
    (
        check.check_compare,
        with_torch(restarts=lambda o, T: CosineAnnealingWarmRestarts(o, T, eta_min=0.1)),
        "followed neither schedule: at step 1 it had .* where the restarts have",
    ),
    (check.check_compare, with_torch(restarts=lambda o, T: CosineAnnealingLR(o, 12)), "restarts."),
    (check.check_compare, one_run(0.1, None), "0.1, which is not among"),
    (check.check_compare, one_run(None, 1011), "the seed 1011, which is not among"),
    (check.check_compare, one_run(None, None, stepping=True), "called by itself"),
    (check.check_compare, one_run(None, None, updates=0), "no run made an update"),
    (check.check_compare, given(lambda peaks: peaks[1:]), "long cosine tried 12 of the 15 pairs"),
    (check.check_compare, given(tuning=lambda tuning, seeds: seeds), "0 of the 15.*better than"),
    (check.check_compare, given(says=lambda gain: -gain), "sign is turned round"),
    (check.check_compare, given(says=lambda gain: gain[::-1]), "another order than the seeds"),
    (check.check_compare, given(says=lambda gain: gain.mean()), "needs the spread"),
    (check.check_compare, given(says=lambda gain: {4: gain}), "array with one difference"),
    (check.check_predict, predicting(lambda p: p.argmax(1)), "calls ensemble_probabilities"),
    (check.check_predict, wrong._with(prepare=lambda model: None), "needs eval"),
    (check.check_predict, predicting(lambda p: p), "a number for every class"),
    (check.check_predict, predicting(lambda p: p.max(1)), "their positions"),
    (check.check_predict, predicting(lambda p: p.max(1).values), "largest probability"),
    (check.check_predict, predicting(lambda p: p.argmax(0)), r"60 inputs, .* not shape \(4,\)"),
    (check.check_predict, predicting(lambda p: p.argsort(1)[:, -2]), "by the mean it is"),
    (check.check_anytime, lambda: [1.0] * 1000, "should return a Schedule"),
    (check.check_anytime, lambda: CosineAnnealing(200), "7.69 after 1,000.*step 200 to step 1000"),
    (check.check_anytime, Constant, "6.73 after 1,000.* is 87% after 200 steps and 0% after 1,000"),
    (
        check.check_anytime,
        lambda: CosineAnnealing(1000),
        "rate at the stop after 500 steps is high",
    ),
    (check.check_anytime, cycles(0.3, 0.6, 1), "between step 0 and step 200 are low"),
    (check.check_anytime, cycles(1, 0.4, 0.16), "1.13 after 500.*11% .*step 200 falls too early"),
]


@pytest.mark.parametrize(("checker", "answer", "hint"), MISTAKES)
def test_each_mistake_gets_its_hint(checker, answer, hint):
    with pytest.raises(Mistake, match=hint):
        checker(answer)
    assert torch.is_grad_enabled()


def test_what_the_text_of_the_comparison_says(capsys):
    """The careless comparison finds that restarts win, the repaired one that they lose."""
    sheet = {}
    for cell in notebooks.read_script(SHEETS["warm_restarts"]).cells:
        if cell.metadata.nbgrader.grade_id in ("setup", "careless", "careless-run", "compare"):
            exec(cell.source, sheet)
    sheet["report"](sheet["compare"](check.start, **sheet["settings"]))
    said = re.findall(r"by (\S+) ± (\S+)\n", capsys.readouterr().out)
    assert float(said[0][0]) - float(said[0][1]) > 0.05
    assert said[1] == ("-0.049", "0.021")


def test_what_the_text_of_the_open_exercise_says():
    quadratic = lab.NoisyQuadratic(batch_size=256)
    planned = {stop: quadratic.tune(CosineAnnealing(stop), stop)[1] for stop in (200, 500, 1000)}
    for shape, ratios in (
        (Constant(), [6.73, 3.90, 6.73]),
        (WarmRestarts(100), [4.09, 2.25, 4.09]),
        (CosineAnnealing(1000), [2.82, 2.82, 1.00]),
    ):
        assert at_stops(shape.sample(1000))[1] == pytest.approx(ratios, abs=0.005)
    rates = at_stops(WarmRestarts(100).sample(1000))[0] * WarmRestarts(100).sample(1000)
    distance = lab.NoisyQuadratic(gradient_variance=0, batch_size=256).loss(rates)
    share = distance / quadratic.loss(rates)
    assert share[200] == pytest.approx(0.87, abs=0.005) and share[1000] < 1e-3
    alone = quadratic.tune(WarmRestarts(100), 1000)[1] / planned[1000]
    assert alone == pytest.approx(2.94, abs=0.005)
    best = Constant(total_iters=110).then(PolynomialDecay(90))
    best = best.then(Constant(0.2) * PolynomialDecay(300), at=200)
    best = best.then(Constant(0.08) * PolynomialDecay(500), at=500)
    assert at_stops(best.sample(1000))[1].max() == pytest.approx(0.82, abs=0.005)
    assert quadratic.optimal(500).loss / planned[500] == pytest.approx(0.78, abs=0.005)


def test_a_schedule_that_never_rises_is_good_at_every_stop(capsys):
    """As those are told who passed; it does not need to know the stops."""
    check.check_anytime(SOLUTION["check_anytime"])
    shown = "Constant(total_iters=120).then(InverseTimeDecay(1, 14)) never rises, has 0.92 as"
    assert shown in capsys.readouterr().out
    peak, ratios = at_stops(never_rises.sample(1000))
    assert ratios.max() == pytest.approx(0.92, abs=0.005)
    quadratic = lab.NoisyQuadratic(batch_size=256)
    losses = quadratic.loss(peak * never_rises.sample(1000))
    for stop in (150, 250, 300, 310, 350, 400, 700):
        assert losses[stop] < quadratic.tune(CosineAnnealing(stop), stop)[1]
    check.check_anytime(lambda: never_rises)
    assert "Yours never rises" in capsys.readouterr().out


@pytest.mark.parametrize("shape", [WarmRestarts(200), CosineAnnealing(1000), cycles(1, 1, 1)()])
def test_whoever_follows_the_hints_arrives(shape):
    factors = shape.sample(1000)
    begins = {200: 0, 500: 200, 1000: 500}
    for _ in range(20):
        try:
            check.check_anytime(lambda: Factors(factors))
            return
        except Mistake as error:
            hint = str(error)
        end = int(re.search(r"and step (\d+)|stop after (\d+) steps is", hint)[0].split()[2])
        part = factors[begins[end] : end]
        t = np.arange(len(part)) / len(part)
        if "falls" in hint:
            part[:] = part[(len(part) * t ** (1.5 if "too early" in hint else 0.7)).astype(int)]
        else:
            part *= 1 - 0.9 * t if "stop after" in hint else 1.3 if "low" in hint else 1 / 1.3
    pytest.fail(hint)
