"""Chapter 04's checkers: the solution passes, mistakes get hints (starters: test_exercises.py)."""

import math

import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LinearLR, PolynomialLR

from lrlib import (
    Constant,
    CosineAnnealing,
    ExponentialDecay,
    MultiStepDecay,
    PolynomialDecay,
    Schedule,
    ScheduledLR,
)
from lrlib.exercises import Mistake
from lrlib.exercises import cosine_annealing as check
from lrlib.lab import NoisyQuadratic


def half(x):
    """Half a cosine from 1 at x = 0 to 0 at x = 1."""
    return (1 + math.cos(math.pi * x)) / 2


def factor(t, T, m):
    return m + (1 - m) * half(min(t, T) / T)


def with_torch_numbers(t, T, m):
    angle = torch.pi * torch.tensor(min(t / T, 1.0))
    return m + (1 - m) * (1 + torch.cos(angle)) / 2


def as_a_square(t, T, m):
    return m + (1 - m) * math.cos(math.pi * min(t, T) / (2 * T)) ** 2 if t < T else m


def cosine_share(level):
    return math.acos(2 * level - 1) / math.pi


def by_counting(level):
    return np.mean(CosineAnnealing(5000).sample(5000) >= level)


def linear_share(level):
    return 1 - level


def exponential_share(level, final):
    return min(1, math.log(level) / math.log(final))


def with_a_gamma(level, final):
    steps = 1000
    gamma = final ** (1 / steps)
    return np.clip(np.log10(level) / np.log10(gamma) / steps, 0, 1)


def shape(name, steps, m):
    return (CosineAnnealing if name == "cosine" else PolynomialDecay)(steps, min_factor=m)


def fair(optimizer, name, epochs, batches, m):
    return ScheduledLR(optimizer, shape(name, epochs * batches, m))


def with_torch(optimizer, name, epochs, batches, min_factor):
    steps = epochs * batches
    if name == "linear":
        return LinearLR(optimizer, 1.0, min_factor, total_iters=steps)
    return LambdaLR(optimizer, lambda t: min_factor + (1 - min_factor) * half(t / steps))


def arrives_with_the_last_update(optimizer, name, epochs, batches, m):
    return ScheduledLR(optimizer, shape(name, epochs * batches - 1, m))


class ByHand:
    """A scheduler that is no LRScheduler."""

    def __init__(self, optimizer, shape):
        self.groups = optimizer.param_groups
        self.peaks, self.shape, self.t = [g["lr"] for g in self.groups], shape, 0

    def step(self):
        self.t += 1
        for group, peak in zip(self.groups, self.peaks, strict=True):
            group["lr"] = peak * self.shape(self.t)


def by_hand(optimizer, name, epochs, batches, m):
    return ByHand(optimizer, shape(name, epochs * batches, m))


def after(following, at=None):
    return lambda: CosineAnnealing(1000).then(following, at)


def again(peak, following=None):
    """A restart at `peak`, on a straight line to 0 unless said otherwise."""
    return after(Constant(peak) * (following or PolynomialDecay(1000)))


@pytest.mark.parametrize(
    ("checker", "solution"),
    [
        (check.check_factor, factor),
        (check.check_factor, with_torch_numbers),
        (check.check_factor, as_a_square),
        (check.check_factor, lambda *args: np.float32(factor(*args))),
        (check.check_factor, lambda t, T, m: m + (1 - m) * half(t / T) if t < T else m),
        (check.check_cosine_share, cosine_share),
        (check.check_cosine_share, lambda level: 2 * np.arccos(np.sqrt(level)) / np.pi),
        (check.check_cosine_share, lambda level: np.degrees(np.arccos(2 * level - 1)) / 180),
        (check.check_cosine_share, by_counting),
        (check.check_linear_share, linear_share),
        (check.check_exponential_share, exponential_share),
        (check.check_exponential_share, with_a_gamma),
        (check.check_flaws, lambda: {"B", "C", "F"}),
        (check.check_flaws, lambda: ["f", "b", "c"]),
        (check.check_fair, fair),
        (check.check_fair, with_torch),
        (check.check_fair, arrives_with_the_last_update),
        (check.check_fair, by_hand),
        (check.check_longer, again(0.1)),
        (check.check_longer, again(0.2)),
        (check.check_longer, again(0.1, CosineAnnealing(1000))),
        (check.check_longer, again(0.1, CosineAnnealing(1000, min_factor=0.1))),
        (check.check_longer, again(0.2, ExponentialDecay.to_factor(1 / 30, 1000))),
        (check.check_longer, again(0.06, MultiStepDecay((600,), 0.2))),
    ],
)
def test_the_solution_passes(checker, solution, capsys):
    checker(solution)
    assert capsys.readouterr().out.startswith("Passed: ")


def annealed(part, held=True):
    """min_factor + (1 - min_factor) * part(t, T), with t held at T unless said otherwise."""
    return lambda t, T, m: m + (1 - m) * part(min(t, T) if held else t, T)


def torch_cosine(length, lowest):
    """torch's cosine for both names: the mistakes are seen in the first, which is the cosine."""

    def make(optimizer, name, epochs, batches, m):
        peaks = [group["lr"] for group in optimizer.param_groups]
        return CosineAnnealingLR(optimizer, length(epochs, batches), eta_min=lowest(m, peaks))

    return make


def in_steps(epochs, batches):
    return epochs * batches


def of_length(length, low=lambda m: m):
    """The right shapes, over another length or to another end."""
    return lambda optimizer, name, epochs, batches, m: ScheduledLR(
        optimizer, shape(name, length(epochs, batches), low(m))
    )


def only_linear(length):
    """Right for the cosine."""

    def make(optimizer, name, epochs, batches, m):
        if name == "cosine":
            return fair(optimizer, name, epochs, batches, m)
        return LinearLR(optimizer, 1.0, m, total_iters=length(epochs, batches))

    return make


def stairs(optimizer, name, epochs, batches, m):
    plan = shape(name, epochs, m)
    return LambdaLR(optimizer, lambda t: plan(t // batches))


def cut_off(optimizer, name, epochs, batches, m):
    return LambdaLR(optimizer, lambda t: max(m, half(t / (epochs * batches))))


def stepped_before(optimizer, name, epochs, batches, m):
    scheduler = fair(optimizer, name, epochs, batches, m)
    scheduler.step()
    return scheduler


def makes_the_run(optimizer, name, epochs, batches, m):
    scheduler = fair(optimizer, name, epochs, batches, m)
    for _ in range(epochs * batches):
        optimizer.step()
        scheduler.step()
    return scheduler


def factors_as_rates(optimizer, name, epochs, batches, m):
    for group in optimizer.param_groups:
        group["lr"] = 1.0
    return fair(optimizer, name, epochs, batches, m)


def one_peak_for_all(optimizer, name, epochs, batches, m):
    for group in optimizer.param_groups:
        group["lr"] = optimizer.param_groups[0]["lr"]
    return fair(optimizer, name, epochs, batches, m)


def peaks_doubled(optimizer, name, epochs, batches, m):
    for group in optimizer.param_groups:
        group["lr"] *= 2
    return fair(optimizer, name, epochs, batches, m)


def first_group_only(optimizer, name, epochs, batches, m):
    plan = shape(name, epochs * batches, m)
    still = [lambda t: 1.0] * (len(optimizer.param_groups) - 1)
    return LambdaLR(optimizer, [plan, *still])


def keeps_its_scheduler():
    """Builds the scheduler for the first optimizer alone."""
    kept = []

    def make(*args):
        kept.append(kept[0] if kept else fair(*args))
        return kept[0]

    return make


class NaNs:
    def __init__(self, optimizer):
        self.groups = optimizer.param_groups

    def step(self):
        self.groups[-1]["lr"] = math.nan


class Broken(Schedule):
    """Fails only when it is asked for a factor."""

    def formula(self, step):
        return math.nan if step > 1500 else CosineAnnealing(1000)(step)


OPEN = "the groups end at different factors"
MISTAKES = [
    (check.check_factor, lambda t, T, m: CosineAnnealing(T, m)(t), "calls CosineAnnealing"),
    # the factor
    (check.check_factor, annealed(lambda t, T: half((t + 1) / T), held=False), "one step early"),
    (check.check_factor, lambda t, T, m: factor(t, T, m) if t < T else 0.7, "20 has 0.7.* right"),
    (check.check_factor, lambda t, T, m: factor(t, T, m) if t <= T else 0.7, "21 has 0.7.* right"),
    (check.check_factor, lambda t, T, m: 0.04 * factor(t, T, m), "looks like a rate"),
    (check.check_factor, lambda t, T, m: factor(t, 30, m), "but the formula has"),
    (check.check_factor, lambda t, T, m: math.nan if t == 3 else factor(t, T, m), "step 3 has nan"),
    (check.check_factor, lambda t, T, m: [1, 2], "one number"),
    # the shares
    (check.check_cosine_share, lambda x: by_counting(x) + 0.01, "by solving|set the factor equal"),
    (check.check_cosine_share, lambda x: math.nan, "no finite number"),
    (check.check_cosine_share, lambda x: 205, "same in all cases"),
    (check.check_cosine_share, lambda x: 0.6, "solve for t"),
    (check.check_cosine_share, lambda x: math.acos(2 * x) / math.pi, "ValueError"),
    (check.check_cosine_share, lambda x: "long", "one number"),
    (check.check_linear_share, lambda x: math.nan, "no finite number"),
    (check.check_linear_share, lambda x: (x, 1), "one number"),
    (check.check_exponential_share, lambda x, f: -exponential_share(x, f), "sign is turned round"),
    (check.check_exponential_share, lambda x, f: math.nan, "no finite number"),
    (check.check_exponential_share, lambda x, f: {x}, "one number"),
    # what is wrong
    (check.check_flaws, lambda: {"B", "C", "F", "G"}, "not among"),
    (check.check_flaws, lambda: "BCF", "set of letters"),
    # the repair, beginning with the colleague's own
    (
        check.check_fair,
        torch_cosine(lambda epochs, batches: epochs, lambda m, peaks: m * peaks[1]),
        r"at the updates \[6, 12, 18, 24\].*in which unit",
    ),
    (check.check_fair, torch_cosine(in_steps, lambda m, peaks: m * max(peaks)), "group 0 rises"),
    (check.check_fair, torch_cosine(in_steps, lambda m, peaks: m), "group 0 rises"),
    (check.check_fair, torch_cosine(in_steps, lambda m, peaks: m * min(peaks)), OPEN),
    (check.check_fair, torch_cosine(in_steps, lambda m, peaks: 0), "come in"),
    (check.check_fair, of_length(in_steps, low=lambda m: 0), "Where does min_factor come in"),
    (check.check_fair, of_length(lambda e, b: e), "in which unit"),
    (check.check_fair, of_length(lambda e, b: 2 * e * b), "one for 60 updates"),
    (check.check_fair, of_length(lambda e, b: (e + 1) * b), "one for 35 updates"),
    (check.check_fair, of_length(lambda e, b: 40 * b), "For how many updates"),
    (check.check_fair, only_linear(lambda e, b: e), "name='linear'.*in which unit"),
    (check.check_fair, only_linear(lambda e, b: 2 * e * b), "name='linear'.*60 updates"),
    (check.check_fair, lambda o, name, e, b, m: fair(o, "cosine", e, b, m), "What does name say"),
    (check.check_fair, lambda o, name, e, b, m: fair(o, "linear", e, b, m), "a straight line"),
    (
        check.check_fair,
        lambda o, name, e, b, m: PolynomialLR(o, e * b, power=2),
        "Where does min_factor come in",
    ),
    (
        check.check_fair,
        lambda o, name, e, b, m: ScheduledLR(o, ExponentialDecay.to_factor(m, e * b)),
        "half a cosine has",
    ),
    (check.check_fair, stairs, "once per epoch"),
    (check.check_fair, cut_off, "cut off at min_factor"),
    (check.check_fair, stepped_before, "stepped before it is returned"),
    (check.check_fair, makes_the_run, "made 30 updates itself"),
    (check.check_fair, factors_as_rates, "applied as rates"),
    (check.check_fair, one_peak_for_all, "All groups got the same rate"),
    (check.check_fair, peaks_doubled, "begins at the peak"),
    (check.check_fair, first_group_only, "group 1 never changed"),
    (check.check_fair, keeps_its_scheduler(), "never changed. Was the scheduler built"),
    (check.check_fair, lambda o, name, e, b, m: LambdaLR(o, lambda t: 1.0), "never changed"),
    (check.check_fair, lambda o, name, e, b, m: shape(name, e * b, m), "is a shape"),
    (check.check_fair, lambda o, name, e, b, m: o, "not the optimizer"),
    (check.check_fair, lambda o, name, e, b, m: CosineAnnealingLR, r"a method step\(\)"),
    (check.check_fair, lambda o, *rest: [group["lr"] for group in o.param_groups], "step"),
    (
        check.check_fair,
        lambda o, *rest: torch.optim.lr_scheduler.ReduceLROnPlateau(o),
        r"step\(\) raised TypeError after update 0",
    ),
    (check.check_fair, lambda o, *rest: NaNs(o), "used the rate nan in group 1"),
    # the open one
    (check.check_longer, lambda: 0.1, "return a Schedule"),
    (check.check_longer, lambda: CosineAnnealing(2000), "knew the end from the start"),
    (check.check_longer, lambda: Constant(0.1) * PolynomialDecay(1000), "step 0 had the factor 1"),
    (check.check_longer, after(PolynomialDecay(1000), at=900), "step 900 had"),
    (check.check_longer, lambda: CosineAnnealing(1000), "nothing moves.*1.95"),
    (check.check_longer, again(1.0), "worse than stopping.*comes back too high"),
    (
        check.check_longer,
        again(1.0, CosineAnnealing(1000)),
        "9 % of that gap is closed.*comes back too high",
    ),
    (check.check_longer, again(0.02), "comes back too low"),
    (check.check_longer, after(Constant(0.03)), "1.01.*ends too high"),
    (check.check_longer, after(Constant(0.1)), "too high"),
    (check.check_longer, again(0.15, PolynomialDecay(400)), "down too early"),
    (
        check.check_longer,
        after(Constant(0.0, 700).then(Constant(0.1) * PolynomialDecay(300))),
        "up too late",
    ),
    (check.check_longer, after(Constant(5.0)), "diverge"),
    (check.check_longer, Broken, "raised ValueError when it was sampled"),
]


@pytest.mark.parametrize(("checker", "answer", "hint"), MISTAKES)
def test_each_mistake_gets_its_hint(checker, answer, hint):
    with pytest.raises(Mistake, match=hint):
        checker(answer)


def test_the_experiment_and_its_repair_disagree():
    """Exactly, without sampling; each flaw of the colleague's alone changes the ratio by much."""
    h, t = 1 / np.arange(1, 101), np.arange(1000)
    peaks = np.array([[0.25], [0.35], [0.5], [0.7], [1.0], [1.4]])
    groups = [(NoisyQuadratic(tuple(h[:3]), batch_size=256), 1 / 20)]
    groups.append((NoisyQuadratic(tuple(h[3:]), batch_size=256), 1.0))

    def best(part, lowest=lambda ratio: 0.1 * ratio):
        """The loss at the best peak, which is not on the edge; `part` goes from 1 to 0."""
        losses = sum(
            problem.loss(peaks * (lowest(ratio) + (ratio - lowest(ratio)) * part))[:, -1]
            for problem, ratio in groups
        )
        assert 0 < np.argmin(losses) < len(peaks) - 1
        return losses.min()

    period, whole = [(1 + np.cos(np.pi * t / T)) / 2 for T in (20, 1000)]
    line, stopped = 1 - t / 1000, 1 - t / 2000
    assert best(period, lambda ratio: 0.1) / best(stopped) > 1.5  # what the colleague saw
    assert best(whole) / best(line) < 0.9  # what the learner sees
    assert best(period) / best(line) > 1.5
    assert best(whole, lambda ratio: 0.1) / best(line) > 1.05
    assert best(stopped) / best(line) > 1.5


def test_what_the_text_of_the_open_exercise_says():
    quadratic = NoisyQuadratic(batch_size=256)
    assert quadratic.tune(CosineAnnealing(1000), 1000)[0] == pytest.approx(0.8, rel=0.01)
    peak, planned = quadratic.tune(CosineAnnealing(2000), 2000)
    assert peak == pytest.approx(0.44, abs=0.005)

    made = 0.8 * CosineAnnealing(1000).sample(1000)
    assert quadratic.loss(made)[-1] / planned == pytest.approx(1.95, abs=0.005)
    h, moments = np.array(quadratic.curvature), np.ones(100)
    for rate in made:
        moments = (1 - rate * h) ** 2 * moments + rate**2 * h / 256
    rest = NoisyQuadratic(start=tuple(moments), batch_size=256)
    assert rest.tune(Constant(), 1000)[1] / planned == pytest.approx(1.01, abs=0.005)
    assert rest.optimal(1000).loss / planned == pytest.approx(0.79, abs=0.005)
    exponential = quadratic.tune(ExponentialDecay.to_factor(0.01, 2000), 2000)[1]
    assert exponential / planned == pytest.approx(0.75, abs=0.005)


def test_what_the_messages_on_shares_say():
    assert [round(cosine_share(x), 1) for x in (0.9, 0.1)] == [0.2, 0.8]
    assert exponential_share(0.9, 0.01) == pytest.approx(0.02, abs=0.005)
    assert exponential_share(0.1, 0.01) == pytest.approx(0.5)


@pytest.mark.parametrize(("peak", "length"), [(1.0, 1000), (0.01, 1000), (0.5, 500)])
def test_whoever_follows_the_hints_arrives(peak, length):
    for _ in range(12):
        try:
            check.check_longer(again(peak, PolynomialDecay(length)))
            return
        except Mistake as error:
            hint = str(error)
        peak *= 0.7 if "too high" in hint else 1.4 if "too low" in hint else 1.0
        length = min(1000, int(length / 0.7)) if "too early" in hint else length
    pytest.fail(f"not there yet: {peak}, {length}")
