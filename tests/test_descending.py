"""descend: methods written by hand; chapter 11's beside the packages they stand for."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from lrlib import Constant, PolynomialDecay
from lrlib.lab import convnet, descend, digits_task, images_task, sweep

CHAPTER = Path(__file__).parent.parent / "chapters" / "11_plateau.py"


class HeavyBall:
    def __init__(self, x, lr):
        self.answer, self.lr, self.v = x, lr, 0 * x

    def step(self, g):
        self.v = 0.9 * self.v + g
        self.answer = self.answer - self.lr * self.v
        return self.answer


@pytest.mark.parametrize("task", [digits_task(), images_task(channels=2)], ids=["mlp", "convnet"])
def test_sgd_written_by_hand_is_a_sweep(task):
    assert convnet  # the general path, and the fast one
    options = {"steps": 30, "batch_size": 32}
    found = descend(task, lambda x: HeavyBall(x, 0.05), [2, 0, 2], **options)
    swept = sweep(task, {"a": Constant()}, [0.05], [0, 2], **options)
    for name, values in swept.metrics.items():
        assert found[name] == pytest.approx(values[0, 0, [1, 0, 1], 0], abs=2e-3)


def test_a_run_that_diverges_is_nan_and_alone():
    rates = torch.tensor([[0.05], [1e30]])
    options = {"steps": 30, "batch_size": 32}
    found = descend(digits_task(), lambda x: HeavyBall(x, rates), [0, 0], **options)
    assert np.isfinite(found["test_error"]).tolist() == [True, False]


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"task": 1}, "task"),
        ({"runs": [-1]}, "runs"),
        ({"steps": 0}, "steps"),
        ({"batch_size": None}, "batch_size"),
        ({"batch_size": 10**6}, "batch_size"),
    ],
)
def test_bad_arguments_are_named(changed, named):
    given = {"task": digits_task(), "make": lambda x: HeavyBall(x, 0.1), "runs": [0]}
    with pytest.raises((TypeError, ValueError), match=f"descend: {named}"):
        descend(**{**given, "steps": 3, "batch_size": 8, **changed})


def of_the_chapter(*names):
    """Classes and functions as the chapter's cells define them."""
    cells = re.split(r"^# %%.*$", CHAPTER.read_text(encoding="utf-8"), flags=re.MULTILINE)
    space = {"torch": torch, "math": math, "Constant": Constant}
    for cell in cells:
        if any(re.search(rf"^(class|def) {name}\b", cell, re.MULTILINE) for name in names):
            exec(compile(cell, str(CHAPTER), "exec"), space)
    return [space[name] for name in names]


def quadratic(method, package, factors):
    """Where both end after noisy steps on a quadratic of 30 parameters."""
    generator = torch.Generator().manual_seed(0)
    curvature = torch.linspace(0.1, 1, 30)
    start = torch.randn(1, 30, generator=generator)
    ours, x = method(start.clone()), start.clone()
    weight = torch.nn.Parameter(start[0].clone())
    theirs = package([weight])
    base = theirs.param_groups[0]["lr"]
    if hasattr(theirs, "train"):
        theirs.train()
    for factor in factors:
        noise = 0.3 * torch.randn(1, 30, generator=generator)
        x = ours.step(curvature * x + noise)
        theirs.param_groups[0]["lr"] = base * factor
        weight.grad = (curvature * weight.data + noise[0]).clone()
        theirs.step()
    if hasattr(theirs, "eval"):
        theirs.eval()
    return ours.answer[0], weight.data


FLAT, LINE = np.ones(200), PolynomialDecay(200).sample(200)


@pytest.mark.parametrize("factors", [FLAT, LINE], ids=["constant", "line"])
def test_prodigy_is_the_packages(factors):
    package = pytest.importorskip("prodigyopt")
    (prodigy, _) = of_the_chapter("Prodigy", "dot")
    shape = Constant() if factors is FLAT else PolynomialDecay(200)
    ours, theirs = quadratic(
        lambda x: prodigy(x, 0.5, shape), lambda p: package.Prodigy(p, lr=0.5), factors
    )
    assert ours.numpy() == pytest.approx(theirs.numpy(), abs=1e-5)


@pytest.mark.parametrize("factors", [FLAT, LINE], ids=["constant", "line"])
def test_d_adaptation_is_the_packages(factors):
    package = pytest.importorskip("dadaptation")
    (adapted, _) = of_the_chapter("DAdaptation", "dot")
    shape = Constant() if factors is FLAT else PolynomialDecay(200)
    ours, theirs = quadratic(
        lambda x: adapted(x, 1.0, shape),
        lambda p: package.DAdaptSGD(p, lr=1.0, momentum=0.9),
        factors,
    )
    assert ours.numpy() == pytest.approx(theirs.numpy(), abs=1e-5)


def test_schedule_free_is_the_packages():
    package = pytest.importorskip("schedulefree")
    (free,) = of_the_chapter("ScheduleFree")
    ours, theirs = quadratic(
        lambda x: free(x, 0.3), lambda p: package.SGDScheduleFree(p, lr=0.3), FLAT
    )
    assert ours.numpy() == pytest.approx(theirs.numpy(), abs=1e-5)


@pytest.mark.parametrize("peak", [0.1, 2e-5])
def test_the_chapters_greedy_rule_is_that_of_transformers(peak):
    optimization = pytest.importorskip("transformers.optimization")
    (greedy,) = of_the_chapter("Greedy")
    rng = np.random.default_rng(0)
    for noise in (0.0, 1e-4, 0.1):
        losses = np.exp(-np.arange(600) / 300) + noise * rng.standard_normal(600)
        weight = torch.zeros(1, requires_grad=True)
        optimizer = torch.optim.SGD([weight], lr=peak)
        theirs, ours = optimization.GreedyLR(optimizer), greedy(peak)
        for loss in losses:
            theirs.step(loss)
            ours.observe(loss)
            assert ours.lr == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)


def test_dog_starts_small_and_grows():
    """The rate is the distance from the start over the root of the squared gradients."""
    (dog, _) = of_the_chapter("DoG", "dot")
    method = dog(torch.ones(1, 2), 1.0)
    g = torch.tensor([[3.0, 4.0]])
    first = method.step(g) - 1
    assert first.norm().item() == pytest.approx(1e-6 * (1 + 2**0.5), rel=0.1)
    second = method.step(g) - 1 - first
    assert second.norm().item() == pytest.approx(1e-6 * (1 + 2**0.5) / 2**0.5, rel=0.1)
