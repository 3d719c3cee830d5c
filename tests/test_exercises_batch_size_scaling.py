"""Chapter 10's checkers: the solution passes, mistakes get hints (starters: test_exercises.py)."""

import math

import numpy as np
import pytest
import torch
from conftest import WEIRD
from torch.optim.lr_scheduler import LambdaLR

from lrlib import (
    Constant,
    CosineAnnealing,
    GradientNoiseScale,
    LRTrace,
    ScheduledLR,
    Warmup,
    scale_lr,
)
from lrlib.exercises import Mistake
from lrlib.exercises import batch_size_scaling as check

# --------------------------------------------------------------------------------------
# 1. The recipe


def recipe(lr, steps, warmup, old, new, rule):
    ratio = new / old
    return (
        lr * (ratio if rule == "linear" else math.sqrt(ratio)),
        -(-steps * old // new),
        -(-warmup * old // new),
    )


def by_lrlib(lr, steps, warmup, old, new, rule):
    return [
        scale_lr(lr, old, new, rule),
        np.ceil(steps * old / new).astype(int),
        torch.tensor(math.ceil(warmup * old / new)),
    ]


def rated(rate):
    """The recipe with another rate, `rate(lr, ratio, new, rule)`."""
    return lambda lr, s, w, b, n, rule: (
        rate(lr, n / b, n, rule),
        *recipe(lr, s, w, b, n, rule)[1:],
    )


def counted(count, warmup_only=False):
    """The recipe with other numbers of steps, `count(steps, old, new)`."""

    def wrong(lr, s, w, b, n, rule):
        steps = recipe(lr, s, w, b, n, rule)[1] if warmup_only else count(s, b, n)
        return recipe(lr, s, w, b, n, rule)[0], steps, count(w, b, n)

    return wrong


# --------------------------------------------------------------------------------------
# 2. Accumulation


def accumulating(
    weight=lambda size, m, n, pieces: size / n,
    zero="first",
    starts=lambda n, m: range(0, n, m),
    size=lambda m: m,
    answer=lambda losses, sizes: np.dot(losses, sizes) / sum(sizes),
    extra=lambda model: None,
):
    """A loop in which any part can be made wrong."""

    def accumulate(model, loss_fn, x, y, m):
        n, losses, sizes = len(x), [], []
        pieces = -(-n // m)
        if zero == "first":
            model.zero_grad()
        for begin in starts(n, m):
            part = slice(begin, begin + size(m))
            if zero == "each":
                model.zero_grad()
            loss = loss_fn(model(x[part]), y[part])
            losses.append(loss.item())
            sizes.append(len(x[part]))
            (loss * weight(sizes[-1], m, n, pieces)).backward()
        if zero == "last":
            model.zero_grad(set_to_none=False)
        if zero == "last, to none":
            model.zero_grad()
        extra(model)
        return answer(losses, sizes)

    return accumulate


accumulate = accumulating()


def in_stripes(model, loss_fn, x, y, m):
    """Every k-th sample; gradients by autograd.grad; a tensor is returned."""
    n, total = len(x), 0.0
    weights = list(model.parameters())
    for p in weights:
        p.grad = torch.zeros_like(p)
    pieces = -(-n // m)
    for k in range(pieces):
        mine = slice(k, None, pieces)
        loss = loss_fn(model(x[mine]), y[mine]) * len(x[mine]) / n
        for p, g in zip(weights, torch.autograd.grad(loss, weights), strict=True):
            p.grad += g
        total = total + loss
    return total


def loss_first(model, loss_fn, x, y, m):
    """The losses come from a pass of their own."""
    with torch.no_grad():
        pairs = list(zip(x.split(m), y.split(m), strict=True))
        loss = sum(len(a) * loss_fn(model(a), b) for a, b in pairs) / len(x)
    accumulate(model, loss_fn, x, y, m)
    return loss


def whole(model, loss_fn, x, y, m):
    return accumulate(model, loss_fn, x, y, len(x))


def backward_at_the_end(model, loss_fn, x, y, m):
    model.zero_grad()
    loss = sum(
        len(a) * loss_fn(model(a), b) for a, b in zip(x.split(m), y.split(m), strict=True)
    ) / len(x)
    loss.backward()
    return loss


def without_gradients(model, loss_fn, x, y, m):
    with torch.no_grad():
        return np.mean([float(loss_fn(model(a), b)) for a, b in zip(x.split(m), y.split(m))])  # noqa: B905


def makes_the_step(model):
    torch.optim.SGD(model.parameters(), lr=0.1).step()


def flips(model):
    for p in model.parameters():
        p.grad.neg_()


def adds_one(model):
    for p in model.parameters():
        p.grad.add_(1)


# --------------------------------------------------------------------------------------
# 3. The noise scale


def parts(updates, b):
    """Mean squared norms of the small and the large batch, and the large batch size."""
    if any(len(g) < 2 for g in updates):
        raise ValueError("one microbatch")
    small = np.array([float((g**2).sum(1).mean()) for g in updates])
    big = np.array([float((g.mean(0) ** 2).sum()) for g in updates])
    return small, big, b * np.array([len(g) for g in updates])


def two(updates, b):
    """(|G|², tr Σ) of every update."""
    small, big, size = parts(updates, b)
    return (size * big - b * small) / (size - b), (small - big) / (1 / b - 1 / size)


def noise_scale(updates, b):
    square, trace = two(updates, b)
    return trace.mean() / square.mean() if square.mean() > 0 else math.inf


def by_the_covariance(updates, b):
    if min(map(len, updates)) < 2:
        raise ValueError("one microbatch")
    trace = [b * float(g.var(0).sum()) for g in updates]
    square = [
        float(g.mean(0).square().sum()) - t / (len(g) * b)
        for g, t in zip(updates, trace, strict=True)
    ]
    return math.inf if sum(square) <= 0 else sum(trace) / sum(square)


def by_class(updates, b):
    estimate = GradientNoiseScale()
    for update in updates:
        estimate.update(update.float(), batch_size=b)
    return torch.tensor(estimate.value)


def estimated(formula):
    """The ratio by ``formula(g2, tr, small, big, B, b)``, all arrays over the updates."""

    def wrong(updates, b):
        square, trace = two(updates, b)
        with np.errstate(all="ignore"):
            value = formula(square, trace, *parts(updates, b), b)
        return value if np.mean(square) > 0 else math.inf

    return wrong


def biased(updates, b):
    """Variances divided by n."""
    parts(updates, b)
    trace = np.array([b * float(g.var(0, correction=0).sum()) for g in updates])
    square = [
        float(g.mean(0).square().sum()) - t / (len(g) * b)
        for g, t in zip(updates, trace, strict=True)
    ]
    return trace.mean() / np.mean(square)


def by_norms(updates, b):
    """The estimator with norms for squared norms."""
    parts(updates, b)
    size = b * np.array([len(g) for g in updates])
    small = np.array([float(g.norm(dim=1).mean()) for g in updates])
    big = np.array([float(g.mean(0).norm()) for g in updates])
    square = (size * big - b * small) / (size - b)
    return ((small - big) / (1 / b - 1 / size)).mean() / square.mean()


def pooled(updates, b):
    parts(updates, b)
    return noise_scale([torch.cat(updates)], b)


def by_coordinate(updates, b):
    parts(updates, b)
    trace = torch.stack([b * g.var(0) for g in updates])
    square = torch.stack([g.mean(0) ** 2 - g.var(0) / len(g) for g in updates])
    return float((trace.mean(0) / square.mean(0)).mean())


def unguarded(updates, b):
    """As by_the_covariance, and NaN for a single microbatch."""
    trace = np.mean([b * float(g.var(0).sum()) for g in updates])
    square = np.mean([float(g.mean(0).square().sum() - g.var(0).sum() / len(g)) for g in updates])
    return math.inf if square <= 0 else trace / square


# --------------------------------------------------------------------------------------
# 4. The script


def shape(steps, warmup):
    return Warmup(warmup - 1, 1 / warmup).then(CosineAnnealing(steps - warmup + 1))


class Held(LambdaLR):
    """torch's, with the shape as a function."""

    def __init__(self, optimizer, shape):
        super().__init__(optimizer, lambda t: shape(t))


def training(
    peak=lambda job: (job.processes * job.accumulate * job.microbatch_size / job.batch_size) ** 0.5,
    length=lambda right, job: right,
    warmup=lambda right, job: right,
    shape=shape,
    build=ScheduledLR,
    updates=lambda right, job: right,
    loop="bosz",
    by_microbatch="",
    due=lambda i, a: (i + 1) % a == 0,
    said=lambda trace: trace.lr[:, 0],
):
    """A loop in which any part can be made wrong.

    b: backward, o: optimizer.step, s: scheduler.step, z: zero_grad; after o, once per update.
    """

    def train(optimizer, backward, job):
        batch = job.processes * job.accumulate * job.microbatch_size
        steps = -(-job.steps * job.batch_size // batch)
        warm = -(-job.warmup_steps * job.batch_size // batch)
        optimizer.param_groups[0]["lr"] = job.lr * peak(job)
        trace = LRTrace(optimizer)
        scheduler = build(optimizer, shape(length(steps, job), warmup(warm, job)))
        a = job.accumulate
        for i in range(updates(steps, job) * a):
            for action in by_microbatch + (loop if due(i, a) else loop[: loop.index("b") + 1]):
                if action == "b":
                    backward(i)
                elif action == "o":
                    optimizer.step()
                elif action == "s":
                    scheduler.step()
                elif action == "p":
                    for _ in range(job.processes):
                        scheduler.step()
                elif action == "z":
                    optimizer.zero_grad()
        return said(trace)

    return train


def by_hand(t=lambda i, a: i // a, change=lambda grad: None, late=False):
    """No scheduler: the rate is written before every update."""

    def train(optimizer, backward, job):
        ratio = job.processes * job.accumulate * job.microbatch_size / job.batch_size
        steps, warmup = math.ceil(job.steps / ratio), math.ceil(job.warmup_steps / ratio)
        plan, said = shape(steps, warmup), []
        for i in range(steps * job.accumulate):
            if i % job.accumulate == 0:
                optimizer.zero_grad(set_to_none=False)
            backward(i)
            if (i + 1) % job.accumulate == 0:
                if late:
                    optimizer.step()
                optimizer.param_groups[0]["lr"] = job.lr * ratio**0.5 * plan(t(i, job.accumulate))
                change(optimizer.param_groups[0]["params"][0].grad)
                said.append(optimizer.param_groups[0]["lr"])
                if not late:
                    optimizer.step()
        return said

    return train


def batch_of(job):
    return job.processes * job.accumulate * job.microbatch_size


def careless(optimizer, backward, job):
    samples = job.steps * job.batch_size
    batch_size = job.microbatch_size * job.accumulate
    steps = samples // batch_size
    peak = job.lr * batch_size / job.batch_size
    plan = shape(steps, job.warmup_steps)
    for i in range(samples // (job.microbatch_size * job.processes)):
        optimizer.param_groups[0]["lr"] = peak * plan(i)
        backward(i)
        if (i + 1) % job.accumulate == 0:
            optimizer.step()
            optimizer.zero_grad()
    return steps


def ratio(samples, power=0.5):
    return lambda job: (samples(job) / job.batch_size) ** power


def steps_alone(optimizer, backward, job):
    optimizer.step()
    return 1


def repeats(optimizer, backward, job):
    return training()(optimizer, lambda i: backward(i // 2), job)


# --------------------------------------------------------------------------------------
# 5. The plan


def grow(lr, batch_size, steps, milestones, gamma, most):
    plan, factor = [], 1.0
    for begin, end in zip([0, *milestones], [*milestones, steps], strict=True):
        batch = min(most, int(batch_size / factor + 1e-6))
        updates = -(-(end - begin) * batch_size // batch)
        plan.append((batch, lr * factor * batch / batch_size, updates))
        factor *= gamma
    return plan


def floored(lr, batch_size, steps, milestones, gamma, most):
    """Without care for 32 / 0.1**2, which is a hair below 3200."""
    out = []
    for k, (begin, end) in enumerate(zip([0, *milestones], [*milestones, steps], strict=True)):
        batch = min(most, int(batch_size / gamma**k))
        rate = lr * gamma**k / batch_size * batch
        out.append(
            [np.int64(batch), torch.tensor(rate), math.ceil((end - begin) * batch_size / batch)]
        )
    return tuple(out)


def grown(
    batch=lambda right, k, case: right,
    rate=lambda right, k, case: right,
    updates=lambda right, k, case: right,
):
    """A plan in which any part can be made wrong; what is later follows what is earlier."""

    def wrong(*arguments):
        case = check._Decay(*arguments[:3], tuple(arguments[3]), *arguments[4:])
        out = []
        for k, length in enumerate(case.lengths()):
            b = batch(case.largest(k), k, case)
            r = rate(case.lr * case.gamma**k * b / case.batch_size, k, case)
            out.append((b, r, updates(-(-length * case.batch_size // b), k, case)))
        return out

    return wrong


def remembered(formula):
    """A rate from the one of the phase before."""
    before = {}

    def rate(right, k, case):
        before[k] = formula(right, before.get(k - 1), k, case)
        return before[k]

    return rate


def end_of(k, case):
    return (*case.milestones, case.steps)[k]


# --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("checker", "solution"),
    [
        (check.check_recipe, recipe),
        (check.check_recipe, by_lrlib),
        (check.check_accumulate, accumulate),
        (check.check_accumulate, in_stripes),
        (check.check_accumulate, loss_first),
        (check.check_noise_scale, noise_scale),
        (check.check_noise_scale, by_the_covariance),
        (check.check_noise_scale, by_class),
        (check.check_flaws, lambda: {"A", "C", "D", "E", "G"}),
        (check.check_flaws, lambda: ["g", "e", "d", "c", "a"]),
        (check.check_train, training()),
        (check.check_train, training(build=Held)),
        (check.check_train, training(loop="bozs")),
        (check.check_train, by_hand()),
        (check.check_grow, grow),
        (check.check_grow, floored),
    ],
)
def test_the_solution_passes(checker, solution, capsys):
    checker(solution)
    assert capsys.readouterr().out.startswith("Passed: ")


def ceil(a, b):
    return -(-a // b)


def clipped(change):
    """The ratio of the averages, with each estimate of |G|² treated before."""

    def noise_scale(updates, b):
        square, trace = map(np.array, two(updates, b))
        if square.mean() <= 0:
            return math.inf
        return trace.mean() / change(square).mean()

    return noise_scale


def in_mode(before, after=None):
    """Accumulates rightly, but sets the mode of the model."""

    def accumulate(model, loss_fn, x, y, size):
        before(model)
        loss = accumulating()(model, loss_fn, x, y, size)
        if after:
            after(model)
        return loss

    return accumulate


def stops_early(rest):
    """Makes as many microbatches as the samples fill, and `rest` decides on the last update."""

    def train(optimizer, backward, job):
        samples, a = job.steps * job.batch_size, job.accumulate
        one = job.processes * job.microbatch_size
        plan = shape(-(-samples // (a * one)), -(-job.warmup_steps * job.batch_size // (a * one)))
        peak, said = job.lr * (a * one / job.batch_size) ** 0.5, []
        for i in range(-(-samples // one)):
            backward(i)
            if (i + 1) % a == 0 or (rest and (i + 1) * one >= samples):
                said.append(peak * plan(len(said)))
                optimizer.param_groups[0]["lr"] = said[-1]
                optimizer.step()
                optimizer.zero_grad()
        return said

    return train


MISTAKES = [
    (check.check_noise_scale, clipped(lambda s: np.maximum(s, 0)), "below 0 to 0"),
    (check.check_noise_scale, clipped(lambda s: np.maximum(s, 1e-12)), "below 0 to 0"),
    (check.check_noise_scale, clipped(lambda s: s[s > 0]), "you leave out the updates"),
    (check.check_noise_scale, clipped(np.abs), "absolute value"),
    (check.check_accumulate, in_mode(lambda m: m.eval()), "changed the mode of the model"),
    (check.check_accumulate, in_mode(lambda m: m.train()), "changed the mode of the model"),
    (check.check_accumulate, in_mode(lambda m: None, lambda m: m.eval()), "in eval mode"),
    (check.check_accumulate, in_mode(lambda m: None, lambda m: m.train()), "in train mode"),
    (check.check_train, stops_early(rest=False), "41 updates.* 42 are due.* do not fill an update"),
    (check.check_train, stops_early(rest=True), "last update holds .* as large as the others"),
    (check.check_train, training(updates=lambda n, job: n - (n == 42)), "Round up"),
    (
        check.check_train,
        training(length=lambda n, job: job.steps * job.batch_size // batch_of(job)),
        "the schedule is 41 steps.*round up, to 42",
    ),
    (
        check.check_train,
        training(warmup=lambda n, job: job.warmup_steps * job.batch_size // batch_of(job)),
        "the warm-up is 5 steps.*round up, to 6",
    ),
    # the recipe: its rate
    (check.check_recipe, rated(lambda lr, k, n, rule: lr), "the rate is unchanged"),
    (check.check_recipe, rated(lambda lr, k, n, rule: lr * k), "Its square root is asked for"),
    (check.check_recipe, rated(lambda lr, k, n, rule: lr * k**0.5), "The linear rule is asked"),
    (
        check.check_recipe,
        lambda lr, s, w, b, n, rule: (
            recipe(lr, s, w, n, b, rule)[0],
            *recipe(lr, s, w, b, n, rule)[1:],
        ),
        "upside down: it is new over old",
    ),
    (
        check.check_recipe,
        rated(lambda lr, k, n, rule: lr * k if rule == "linear" else lr / k),
        "'sqrt': the ratio is upside down, and no root",
    ),
    (
        check.check_recipe,
        rated(lambda lr, k, n, rule: lr / math.sqrt(k)),
        "'linear': the ratio is upside down, and a root",
    ),
    (
        check.check_recipe,
        rated(lambda lr, k, n, rule: lr * k if rule == "linear" else math.sqrt(lr * k)),
        "root of the rate as well",
    ),
    (
        check.check_recipe,
        rated(lambda lr, k, n, rule: lr * (int(k) if rule == "linear" else k**0.5)),
        "// drops the fraction",
    ),
    (
        check.check_recipe,
        rated(lambda lr, k, n, rule: lr * (k if rule == "linear" else k**2)),
        "the ratio is squared",
    ),
    (check.check_recipe, rated(lambda lr, k, n, rule: lr * n), "by the new batch size"),
    (check.check_recipe, rated(lambda lr, k, n, rule: lr + k), "the new rate is 0.4, not 4.1"),
    # its numbers of steps
    (check.check_recipe, counted(lambda s, b, n: s), "1000 steps became 1000: unchanged"),
    (check.check_recipe, counted(lambda s, b, n: s * n // b), "1000 steps .* wrong direction"),
    (check.check_recipe, counted(lambda s, b, n: ceil(s * n, b)), "1000 steps .* wrong direct"),
    (check.check_recipe, counted(lambda s, b, n: s * b), "the number of samples"),
    (check.check_recipe, counted(lambda s, b, n: s * b // n), "50 warm-up steps .*rounded down"),
    (check.check_recipe, counted(lambda s, b, n: round(s * b / n)), "50 warm-up .*rounded down"),
    (
        check.check_recipe,
        counted(lambda s, b, n: int(s * b / n + 0.5)),
        "from batch size 8 to 1024, 4000 steps became 31: rounded down",
    ),
    (check.check_recipe, counted(lambda s, b, n: s * b // n + 1), "nothing is left over"),
    (check.check_recipe, counted(lambda s, b, n: max(1, ceil(s * b, n))), "there is none"),
    (check.check_recipe, counted(lambda s, b, n: math.ceil(s / (n / b))), "28 / 20 is not exact"),
    (check.check_recipe, counted(lambda s, b, n: math.ceil(s * (b / n))), "28 / 50 is not exact"),
    (
        check.check_recipe,
        counted(lambda s, b, n: math.ceil(s / math.sqrt(n / b))),
        "the square root is for the rate",
    ),
    (check.check_recipe, counted(lambda s, b, n: s // (n // b) if n > b else 0), "rounded down"),
    (check.check_recipe, counted(lambda s, b, n: s, True), "50 warm-up steps became 50: unch"),
    (check.check_recipe, counted(lambda s, b, n: s * b / n), "whole number"),
    (check.check_recipe, counted(lambda s, b, n: 7), "make 250 batches"),
    (check.check_recipe, lambda *case: recipe(*case)[:2], "three numbers"),
    (check.check_recipe, lambda *case: (math.nan, *recipe(*case)[1:]), "finite number"),
    # accumulation
    (check.check_accumulate, accumulating(lambda s, m, n, p: 1), "nothing is divided"),
    (check.check_accumulate, accumulating(lambda s, m, n, p: 1 / p), "weighs as much as one of 5"),
    (check.check_accumulate, accumulating(lambda s, m, n, p: m / n), "weighted with 5 / 12"),
    (check.check_accumulate, accumulating(lambda s, m, n, p: s), "the sum over all samples"),
    (check.check_accumulate, accumulating(lambda s, m, n, p: 1 / m), "size of a microbatch"),
    (check.check_accumulate, accumulating(lambda s, m, n, p: 1 / n), "by their size twice"),
    (check.check_accumulate, accumulating(lambda s, m, n, p: s / n**2), "number of samples twice"),
    (
        check.check_accumulate,
        accumulating(lambda s, m, n, p: 1 / max(1, n // m)),
        "divide by 2, and there are 3",
    ),
    (check.check_accumulate, accumulating(lambda s, m, n, p: s / (p * m)), "3 times 5"),
    (check.check_accumulate, accumulating(zero="each"), "only the last microbatch"),
    (
        check.check_accumulate,
        accumulating(lambda s, m, n, p: 1 / p, zero="each"),
        "only the last microbatch",
    ),
    (check.check_accumulate, accumulating(zero="never"), "zero the gradients first.$"),
    (
        check.check_accumulate,
        accumulating(lambda s, m, n, p: 1 / p, zero="never"),
        "first. And besides: you take the mean",
    ),
    (check.check_accumulate, accumulating(zero="last"), "they were zeroed last"),
    (check.check_accumulate, accumulating(zero="last, to none"), "grad is None in the end"),
    (
        check.check_accumulate,
        accumulating(starts=lambda n, m: range(0, n - m + 1, m)),
        r"only 10 samples .* \[5, 5\]",
    ),
    (check.check_accumulate, accumulating(starts=lambda n, m: [0]), "only 5 samples"),
    (check.check_accumulate, accumulating(starts=lambda n, m: range(0, n, 2)), "more than once"),
    (check.check_accumulate, accumulating(size=lambda m: m + 1), "6 samples at once"),
    (check.check_accumulate, whole, "12 samples at once"),
    (check.check_accumulate, backward_at_the_end, "all microbatches went forward before"),
    (check.check_accumulate, without_gradients, "no backward"),
    (check.check_accumulate, lambda *case: 1.0, "the model was not called"),
    (check.check_accumulate, accumulating(extra=makes_the_step), "changed the weights"),
    (check.check_accumulate, accumulating(extra=flips), "the sign of the gradient"),
    (check.check_accumulate, accumulating(extra=adds_one), "not that of the mean loss"),
    (
        check.check_accumulate,
        accumulating(answer=lambda losses, sizes: losses[-1]),
        "right, but you return the loss of the last microbatch",
    ),
    (check.check_accumulate, accumulating(answer=lambda x, n: sum(x)), "sum of the microbatches'"),
    (check.check_accumulate, accumulating(answer=lambda x, n: np.mean(x)), "the last is smaller"),
    (check.check_accumulate, accumulating(answer=lambda x, n: np.dot(x, n)), "over the samples"),
    (
        check.check_accumulate,
        accumulating(answer=lambda x, n: x[-1] * n[-1] / sum(n)),
        "last microbatch's share",
    ),
    (check.check_accumulate, accumulating(answer=lambda x, n: 7), "the mean loss over the batch"),
    (check.check_accumulate, accumulating(answer=lambda x, n: x), "finite number"),
    # the noise scale
    (check.check_noise_scale, estimated(lambda g, t, *rest: (t / g).mean()), "average the ratios"),
    (
        check.check_noise_scale,
        estimated(lambda g, t, *rest: np.median(t / g)),
        "you take the median",
    ),
    (
        check.check_noise_scale,
        estimated(lambda g, t, small, big, *rest: t.mean() / big.mean()),
        "still has noise in it: tr",
    ),
    (
        check.check_noise_scale,
        estimated(lambda g, t, small, big, *rest: (t / big).mean()),
        "you average ratios, and",
    ),
    (
        check.check_noise_scale,
        estimated(lambda g, t, small, *rest: t.mean() / small.mean()),
        "noise and all",
    ),
    (
        check.check_noise_scale,
        estimated(lambda g, t, small, big, B, b: t.mean() / g.mean() / b),
        "the result is in microbatches",
    ),
    (
        check.check_noise_scale,
        estimated(lambda g, t, small, big, B, b: t.mean() / b / big.mean()),
        "the trace is in microbatches",
    ),
    (
        check.check_noise_scale,
        estimated(lambda g, t, small, big, B, b: (t * B / b).mean() / g.mean()),
        "multiplied by B",
    ),
    (check.check_noise_scale, biased, "divided by n, not by n - 1"),
    (
        check.check_noise_scale,
        estimated(lambda g, t, small, big, B, b: (b * (small - big)).mean() / g.mean()),
        "of the trace is divided by n",
    ),
    (
        check.check_noise_scale,
        estimated(lambda g, t, small, big, B, b: (b * (small - big)).mean() / big.mean()),
        "and .G.² still has noise",
    ),
    (
        check.check_noise_scale,
        estimated(lambda g, t, *rest: t.mean() / math.sqrt(g.mean())),
        "is not squared",
    ),
    (check.check_noise_scale, by_norms, "They are to be squared"),
    (check.check_noise_scale, estimated(lambda g, t, *rest: g.mean() / t.mean()), "upside down"),
    (check.check_noise_scale, pooled, "you pool the microbatches"),
    (check.check_noise_scale, by_coordinate, "coordinate by coordinate"),
    (check.check_noise_scale, estimated(lambda g, t, *rest: t[-1] / g[-1]), "the last update"),
    (check.check_noise_scale, estimated(lambda g, t, *rest: t[0] / g[0]), "the first update"),
    (
        check.check_noise_scale,
        estimated(lambda g, t, small, big, B, b: t.mean() / (big + t / B).mean()),
        "is added",
    ),
    (
        check.check_noise_scale,
        estimated(lambda g, t, small, big, B, b: t.mean() / (big - t / b).mean()),
        "B = n b samples",
    ),
    (check.check_noise_scale, estimated(lambda g, t, *rest: -t.mean() / g.mean()), "the sign"),
    (check.check_noise_scale, estimated(lambda g, t, *rest: t.mean()), "Where is .G.²"),
    (check.check_noise_scale, estimated(lambda g, t, *rest: t.sum() / g.mean()), "is a sum over"),
    (
        check.check_noise_scale,
        estimated(lambda g, t, *rest: t.mean() / g.mean() + 1),
        "is right: on average",
    ),
    (
        check.check_noise_scale,
        lambda updates, b: np.divide(*[x.mean() for x in two(updates, b)[::-1]]),
        "return math.inf",
    ),
    (
        check.check_noise_scale,
        lambda updates, b: noise_scale([g for g in updates if len(g) > 1] or [torch.eye(2)], b),
        "yet you returned .*raise a ValueError",
    ),
    (check.check_noise_scale, unguarded, "yet you returned .*nan"),
    (
        check.check_noise_scale,
        lambda updates, b: 1 / 0 if min(map(len, updates)) < 2 else noise_scale(updates, b),
        "raise ValueError, not ZeroDivisionError",
    ),
    (check.check_noise_scale, two, "one number"),
    # what is wrong
    *((check.check_flaws, lambda x=x: set("ACDEG") - {x}, f"{x} is missing") for x in "ACDEG"),
    *((check.check_flaws, lambda x=x: set("ACDEG") | {x}, f"{x} is not a flaw") for x in "BFH"),
    (check.check_flaws, lambda: set("ACDEGZ"), "not among"),
    (check.check_flaws, lambda: "ACDEG", "set of letters"),
    # the script
    (check.check_train, careless, r"an AdamW.*\(4 more after"),
    (
        check.check_train,
        training(length=lambda right, job: right * job.processes),
        "the schedule is 120 steps, as if one process had to see all",
    ),
    (
        check.check_train,
        training(length=lambda right, job: right * job.accumulate),
        "the schedule is counted in microbatches, 80",
    ),
    (
        check.check_train,
        training(length=lambda right, job: right * job.accumulate * job.processes),
        "the schedule is counted in microbatches, and in those of all processes: 240",
    ),
    (
        check.check_train,
        training(length=lambda right, job: job.steps),
        "the schedule has as many steps as in the recipe, 480",
    ),
    (
        check.check_train,
        training(warmup=lambda right, job: job.warmup_steps, length=lambda right, job: job.steps),
        r"the schedule has as many.*\(1 more after this one.\)",
    ),
    (
        check.check_train,
        training(warmup=lambda right, job: right * job.accumulate),
        "the warm-up is counted in microbatches, 6",
    ),
    (
        check.check_train,
        training(warmup=lambda right, job: right * job.processes),
        "the warm-up is 9 steps, as if one process",
    ),
    (check.check_train, training(by_microbatch="s", loop="boz"), "moves on with every microbatch"),
    (check.check_train, by_hand(lambda i, a: i), "moves on with every microbatch"),
    (check.check_train, by_hand(lambda i, a: i // a * a), "moves on with every microbatch"),
    (check.check_train, training(loop="bopz"), "once for every process"),
    (
        check.check_train,
        training(ratio(lambda job: job.accumulate * job.microbatch_size)),
        "scaled by the samples of one process",
    ),
    (
        check.check_train,
        training(ratio(lambda job: job.microbatch_size)),
        "by the size of one microbatch",
    ),
    (
        check.check_train,
        training(ratio(lambda job: job.processes * job.microbatch_size)),
        "as if an update were one microbatch of each process",
    ),
    (
        check.check_train,
        training(ratio(lambda job: job.processes * job.accumulate * job.microbatch_size, power=1)),
        "an AdamW, and the rate follows the ratio of the batch sizes itself.*rule.$",
    ),
    (
        check.check_train,
        training(ratio(lambda job: job.accumulate * job.microbatch_size, power=1)),
        r"an AdamW, and the rate .*\(1 more",
    ),
    (check.check_train, training(lambda job: 1), "the peak is that of the recipe"),
    (
        check.check_train,
        training(
            ratio(lambda job: job.processes * job.accumulate * job.microbatch_size, power=-0.5)
        ),
        "upside down",
    ),
    (check.check_train, training(lambda job: 1 / job.lr), "without the peak"),
    (check.check_train, training(loop="bsoz"), "one update early"),
    (check.check_train, by_hand(lambda i, a: max(i // a - 1, 0)), "one update late"),
    (check.check_train, by_hand(late=True), "Write the rate before the update"),
    (check.check_train, training(loop="boz"), "the rate never changed"),
    (check.check_train, training(shape=lambda T, n: Constant()), "the rate never changed"),
    (
        check.check_train,
        training(shape=lambda T, n: Warmup(n).then(CosineAnnealing(T - n))),
        "the first update has the rate 0",
    ),
    (
        check.check_train,
        training(shape=lambda T, n: CosineAnnealing(T)),
        "update 0 has the rate 0.03464, and 0.01155 is right",
    ),
    (check.check_train, training(due=lambda i, a: True), "after every microbatch"),
    (check.check_train, training(due=lambda i, a: i % a == 0), "i counts from 0"),
    (check.check_train, training(loop="zbos", by_microbatch="z"), "zeroed between"),
    (check.check_train, training(loop="bos"), "zero them after every update"),
    (check.check_train, training(updates=lambda right, job: right * job.processes), "let it make"),
    (check.check_train, training(updates=lambda right, job: job.steps), "as many as in the rec"),
    (check.check_train, training(updates=lambda right, job: right * job.accumulate), "takes 2"),
    (check.check_train, training(updates=lambda right, job: right // job.accumulate), "twice"),
    (check.check_train, training(updates=lambda right, job: right + 1), "The job is 3840 samples"),
    (check.check_train, by_hand(change=lambda grad: grad.mul_(0.5)), "to 0.5 times its size"),
    (check.check_train, training(said=lambda trace: trace.lr), r"shape \(40, 1\)"),
    (check.check_train, training(said=lambda trace: len(trace)), r"an array of shape \(\)"),
    (check.check_train, training(said=lambda trace: "40"), "an array of"),
    (
        check.check_train,
        training(said=lambda trace: np.append(trace.lr[1:, 0], 0)),
        "that of the next update",
    ),
    (check.check_train, training(said=lambda trace: 2 * trace.lr[:, 0]), "not those you used"),
    (check.check_train, repeats, "update 0 holds the microbatches"),
    (check.check_train, training(loop="zzob"), "an update had no gradient"),
    (check.check_train, steps_alone, "an update had no gradient"),
    (check.check_train, lambda optimizer, backward, job: 1, "made no update"),
    # the plan
    (
        check.check_grow,
        grown(batch=lambda right, k, case: case.batch_size),
        "That is the original",
    ),
    (
        check.check_grow,
        grown(lambda right, k, case: int(case.batch_size / case.gamma**k)),
        "There is no room for more than 256",
    ),
    (
        check.check_grow,
        grown(rate=lambda right, k, case: case.lr),
        "in phase 2 .* What it cannot do, the rate must",
    ),
    (
        check.check_grow,
        grown(rate=lambda right, k, case: case.lr * case.gamma**k),
        "lowers the noise twice",
    ),
    (
        check.check_grow,
        grown(
            rate=remembered(
                lambda right, before, k, case: (
                    case.lr
                    if not before or case.batch_size / case.gamma**k <= case.max_batch_size
                    else before * case.gamma
                )
            )
        ),
        "The rate has to do the rest",
    ),
    (
        check.check_grow,
        grown(batch=lambda right, k, case: case.batch_size, rate=lambda right, k, case: case.lr),
        "Neither has the rate fallen",
    ),
    (
        check.check_grow,
        grown(
            batch=lambda right, k, case: max(1, int(case.batch_size * case.gamma**k)),
            rate=lambda right, k, case: case.lr,
        ),
        "The batch shrinks",
    ),
    (
        check.check_grow,
        grown(
            batch=lambda right, k, case: min(
                case.max_batch_size, int(case.batch_size * (1 + k / case.gamma))
            ),
            rate=lambda right, k, case: case.lr,
        ),
        "phase 1 would have 128",
    ),
    (
        check.check_grow,
        grown(
            batch=lambda right, k, case: min(
                case.max_batch_size, round(case.batch_size / case.gamma**k)
            )
        ),
        "The batch size was rounded up: round it down",
    ),
    (
        check.check_grow,
        grown(rate=lambda right, k, case: case.lr if right * 1.02 > case.lr or k == 0 else right),
        "from the batch size that you return",
    ),
    (
        check.check_grow,
        grown(batch=lambda right, k, case: case.max_batch_size),
        "in phase 0 .*The first phase is as in the original",
    ),
    (
        check.check_grow,
        grown(
            batch=lambda right, k, case: min(
                case.max_batch_size,
                int(case.batch_size / case.gamma ** (2 * k)),
            )
        ),
        "by no more than the rate was to fall",
    ),
    (
        check.check_grow,
        grown(
            batch=lambda right, k, case: int(
                min(case.max_batch_size, case.batch_size / math.sqrt(case.gamma) ** k)
            )
        ),
        "The rate falls more than it must",
    ),
    (
        check.check_grow,
        grown(
            batch=lambda right, k, case: (
                math.floor(case.largest(k - 1) / case.gamma) if k and case.gamma == 0.3 else right
            )
        ),
        "which was rounded itself",
    ),
    (check.check_grow, grown(rate=lambda right, k, case: 0.5 * right), "Divide one by the other"),
    (
        check.check_grow,
        grown(updates=lambda right, k, case: case.lengths()[k]),
        "as in the original. With",
    ),
    (
        check.check_grow,
        grown(
            updates=lambda right, k, case: case.lengths()[k] * case.batch_size // case.largest(k)
        ),
        "rounded down, so",
    ),
    (
        check.check_grow,
        grown(
            updates=lambda right, k, case: round(
                case.lengths()[k] * case.batch_size / case.largest(k)
            )
        ),
        "rounded down, so",
    ),
    (
        check.check_grow,
        grown(
            updates=lambda right, k, case: case.lengths()[k] * case.largest(k) // case.batch_size
        ),
        "the wrong direction",
    ),
    (
        check.check_grow,
        grown(updates=lambda right, k, case: case.lengths()[k] * case.batch_size),
        "the number of its samples",
    ),
    (
        check.check_grow,
        grown(updates=lambda right, k, case: end_of(k, case)),
        "where the phase ended",
    ),
    (
        check.check_grow,
        grown(
            updates=lambda right, k, case: ceil(end_of(k, case) * case.batch_size, case.largest(k))
        ),
        "from the beginning of the run",
    ),
    (check.check_grow, grown(updates=lambda right, k, case: right + 1), "one too many"),
    (check.check_grow, grown(updates=lambda right, k, case: 3), "which takes 400"),
    (check.check_grow, lambda *case: grow(*case)[1:], "You return 2"),
    (check.check_grow, lambda *case: [phase[:2] for phase in grow(*case)], "for every phase"),
    (
        check.check_grow,
        lambda *case: [(lr, batch, updates) for batch, lr, updates in grow(*case)],
        "the first of the three, should be a whole number",
    ),
    (
        check.check_grow,
        lambda *case: [(float(batch), lr, updates) for batch, lr, updates in grow(*case)],
        "batch size of phase 0.*whole number",
    ),
    (check.check_grow, lambda *case: [(0, *phase[1:]) for phase in grow(*case)], "above 0"),
    (check.check_grow, lambda *case: [(*phase[:2], 2.5) for phase in grow(*case)], "whole number"),
]


@pytest.mark.parametrize(("checker", "answer", "hint"), MISTAKES)
def test_each_mistake_gets_its_hint(checker, answer, hint):
    with pytest.raises(Mistake, match=hint):
        checker(answer)


CHECKERS = [value for name, value in vars(check).items() if name.startswith("check_")]


@pytest.mark.parametrize("checker", CHECKERS)
@pytest.mark.parametrize("value", WEIRD, ids=lambda value: str(value)[:20])
def test_whatever_is_returned_the_checker_does_not_crash(checker, value):
    with pytest.raises(Mistake):
        checker(lambda *args: value)
