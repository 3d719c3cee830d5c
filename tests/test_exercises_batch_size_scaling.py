"""Chapter 10's checkers, beyond their tables (test_exercises_tables.py)."""

import math

import numpy as np
import pytest
import torch

from lrlib import Constant, GradientNoiseScale, LRTrace, ScheduledLR, scale_lr
from lrlib.exercises import Mistake
from lrlib.exercises import batch_size_scaling as check
from lrlib.exercises import batch_size_scaling_gradients as gradients
from lrlib.exercises import batch_size_scaling_script as script

add_up, grow = gradients._add_up, check._grow()


def by_lrlib(lr, steps, warmup, old, new, rule):
    return [
        scale_lr(lr, old, new, rule),
        np.ceil(steps * old / new).astype(int),
        torch.tensor(math.ceil(warmup * old / new)),
    ]


def in_stripes(model, loss_fn, x, y, m):
    """Every k-th sample; a loss from a pass of its own; gradients by autograd.grad."""
    weights, pieces = list(model.parameters()), -(-len(x) // m)
    with torch.no_grad():
        total = sum(loss_fn(model(a), b) * len(a) for a, b in zip(x.split(m), y.split(m)))  # noqa: B905
    for p in weights:
        p.grad = torch.zeros_like(p)
    for k in range(pieces):
        loss = loss_fn(model(x[k::pieces]), y[k::pieces]) * len(x[k::pieces]) / len(x)
        for p, g in zip(weights, torch.autograd.grad(loss, weights), strict=True):
            p.grad += g
    return total / len(x)


def one_by_one(model, loss_fn, x, y, m):
    """Each sample alone, without a dimension for the batch."""
    model.zero_grad()
    total = 0
    for a, b in zip(x, y, strict=True):
        loss = loss_fn(model(a), b) / len(x)
        loss.backward()
        total += loss
    return total


def by_class(updates, b):
    estimate = GradientNoiseScale()
    for update in updates:
        estimate.update(update.float(), batch_size=b)
    return torch.tensor(estimate.value)


def with_scheduler(optimizer, backward, job, order="osz", says=lambda trace: trace.lr[:, 0]):
    """o: optimizer.step, s: scheduler.step, z: zero_grad, after every update."""
    batch_size = job.microbatch_size * job.accumulate * job.processes
    tuned = job.lr, job.steps, job.warmup_steps, job.batch_size
    lr, steps, warmup = by_lrlib(*tuned, batch_size, "sqrt")
    optimizer.param_groups[0]["lr"] = lr
    scheduler = ScheduledLR(optimizer, script._shape(int(steps), int(warmup)))
    acts = {"o": optimizer.step, "s": scheduler.step, "z": optimizer.zero_grad}
    trace = LRTrace(optimizer)
    for i in range(steps * job.accumulate):
        backward(i)
        for act in order if (i + 1) % job.accumulate == 0 else "":
            acts[act]()
    return says(trace)


def careless(optimizer, backward, job):
    """As in the sheet, with a return of its own."""
    samples, batch_size = job.steps * job.batch_size, job.microbatch_size * job.accumulate
    plan = script._shape(samples // batch_size, job.warmup_steps)
    for i in range(samples // (job.microbatch_size * job.processes)):
        optimizer.param_groups[0]["lr"] = job.lr * batch_size / job.batch_size * plan(i)
        backward(i)
        if (i + 1) % job.accumulate == 0:
            optimizer.step()
            optimizer.zero_grad()
    return 1


@pytest.mark.parametrize(
    ("checker", "solution"),
    [
        (check.check_recipe, by_lrlib),
        (check.check_accumulate, in_stripes),
        (check.check_accumulate, one_by_one),
        (check.check_noise_scale, by_class),
        (check.check_flaws, lambda: ["g", "e", "d", "c", "a"]),
        (check.check_train, lambda *args: with_scheduler(*args)),
        (check.check_train, lambda *args: np.float32(with_scheduler(*args, order="ozs"))),
        (check.check_grow, lambda *args: tuple(map(list, grow(*args)))),
    ],
)
def test_other_solutions_pass(checker, solution, capsys):
    checker(solution)
    assert capsys.readouterr().out.startswith("Passed: ")


def backward_at_the_end(model, loss_fn, x, y, m):
    model.zero_grad()
    loss = sum(loss_fn(model(a), b) * len(a) for a, b in zip(x.split(m), y.split(m), strict=True))
    (loss / len(x)).backward()
    return loss / len(x)


def then(act):
    """Accumulates rightly, and then does something to the model."""

    def accumulate(model, *rest):
        loss = add_up()(model, *rest)
        act(model)
        return loss

    return accumulate


def first(act):
    def accumulate(model, *rest):
        act(model)
        return add_up()(model, *rest)

    return accumulate


def change_gradients(change):
    return then(lambda model: [change(p.grad) for p in model.parameters()])


def changed(part, value):
    """The right plan with another entry in every phase."""
    return lambda *case: [(*p[:part], value, *p[part + 1 :]) for p in grow(*case)]


def whole(model, loss_fn, x, y, m):
    return add_up()(model, loss_fn, x, y, len(x))


def doubles_gradients(optimizer, backward, job):
    (weight,) = optimizer.param_groups[0]["params"]
    return with_scheduler(optimizer, lambda i: [backward(i), weight.grad.mul_(2)], job)


def scheduled(**changed):
    return lambda *args: with_scheduler(*args, **changed)


recipe, train, estimate = check._recipe, script._train, gradients._estimate
PLANTED = {
    check.check_recipe: [
        (recipe(lambda k, n, lr: 1 + k / lr), "lr: you returned 4.1"),
        (recipe(count=lambda s, b, n: s * b / n), "whole number"),
        (recipe(count=lambda s, b, n: round(s * b / n)), "rounded down"),
        (lambda *case: recipe()(*case)[:2], "return 3 values"),
    ],
    check.check_accumulate: [
        (add_up(lambda s, m, n: s), "that is the gradient of the sum"),
        (add_up(lambda s, m, n: s / n**2), "the number of samples twice"),
        (add_up(zero="never"), "what was in .grad before is still in it"),
        (add_up(starts=lambda n, m: range(0, n - m + 1, m)), "only 10 samples"),
        (add_up(starts=lambda n, m: [0]), "number 5, 6, 7, 8, 9, 10, 11 did"),
        (add_up(starts=lambda n, m: range(0, n, 2)), "more than once"),
        (whole, "12 samples at once"),
        (backward_at_the_end, "all microbatches went forward before"),
        (lambda *case: torch.no_grad()(add_up())(*case), "element 0 of tensors"),
        (lambda model, loss_fn, x, y, m: float(model(x[:1]).sum()), "no backward"),
        (lambda *case: 1.0, "the model was not called"),
        (then(lambda model: model.zero_grad()), "grad is None in the end"),
        (then(lambda model: model[0].bias.data.add_(1)), "changed the weights"),
        (then(lambda model: model.eval()), "in eval mode"),
        (then(lambda model: model.train()), "in train mode"),
        (then(lambda model: model.requires_grad_(False)), "switched off"),
        (first(lambda model: model.eval()), "changed the mode"),
        (first(lambda model: model.train()), "changed the mode"),
        (change_gradients(lambda grad: grad.neg_()), "sign of the gradient"),
        (change_gradients(lambda grad: grad.add_(1)), "gradient: at 0"),
        (add_up(says=lambda losses, weights: 7), "loss: you returned 7"),
        (add_up(says=lambda losses, weights: np.dot(losses, weights)), "sum of the loss"),
    ],
    check.check_noise_scale: [
        (estimate(lambda u: (u.g, u.t / u.b)), "in microbatches"),
        (estimate(lambda u: (u.g, -u.t)), "the sign is wrong"),
        (estimate(lambda u: u.t.mean() / u.g.mean() + 1), "16.24 is right"),
    ],
    check.check_train: [
        (careless, "does not depend on processes"),
        (train(count=lambda j: (j.T + 1) * j.a), "21 .* and 20 are due"),
        (train(says=lambda rates: [*rates[1:], 0]), "of the next update"),
        (train(says=lambda rates: 2 * np.array(rates)), "not those you used"),
        (train(says=np.mean), r"shape \(\)"),
        (train(says=str), "an array of rates"),
        (train(shape=lambda *_: Constant(0.5)), "the highest rate is 0.01732"),
        (scheduled(says=lambda trace: trace.lr), r"shape \(20,\), not \(20, 1\)"),
        (scheduled(order="soz"), "one update early"),
        (scheduled(order="zos"), "had no gradient"),
        (scheduled(order=""), "made no update"),
        (doubles_gradients, "to .* times its size"),
    ],
    check.check_grow: [
        (lambda *case: grow(*case)[1:], "for each of the 3 phases"),
        (lambda *case: [phase[:2] for phase in grow(*case)], "for each of the 3 phases"),
        (changed(0, 64.0), "for a batch size, should return a whole number"),
        (changed(0, 0), r"batch sizes: you returned \(0, 0, 0\)"),
        (changed(1, 0.7), "rates: you returned"),
        (changed(2, 2.5), "for the updates, should return a whole number"),
    ],
}
MISTAKES = [(checker, *row) for checker, rows in PLANTED.items() for row in rows]


@pytest.mark.parametrize(("checker", "answer", "hint"), MISTAKES)
def test_each_mistake_gets_its_hint(checker, answer, hint):
    with pytest.raises(Mistake, match=hint):
        checker(answer)
