"""Fine-tuning in a sweep equals a plain loop with one parameter group for each layer."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lrlib import Constant, LRTrace, PolynomialDecay, ScheduledLR
from lrlib.lab import Task, batches, load_digits, mlp, sweep
from lrlib.lab.fine_tuning import (
    FineTuning,
    LayerAdamW,
    LayerSGD,
    fine_tuning,
    renumbered,
    rewired,
    with_fewer,
)
from lrlib.lab.sweep.parts import Part, Training

STEPS = 12
SHAPES = (Constant(0, 5).then(Constant(0.25)), Constant(4))  # unfrozen at 5, and four times
FALL = PolynomialDecay(STEPS)


@pytest.fixture(scope="module")
def trained():
    task = with_fewer(Task(load_digits(), lambda: mlp(64, 16, 10)), 400)  # 600 for later
    return sweep(task, {"fall": FALL}, [0.1], [3, 5], steps=STEPS, keep_states=True, progress=False)


def by_hand(task, seed, peak, optimizer):
    """Weights after a run in plain PyTorch, one group for each layer, and the rates applied."""
    data, model = task.data.draw(seed), task.model(seed)
    layers = [m for m in model if isinstance(m, nn.Linear)]
    made = optimizer([{"params": list(layer.parameters())} for layer in layers], lr=peak)
    scheduler, trace = ScheduledLR(made, [FALL * shape for shape in SHAPES]), LRTrace(made)
    for index in batches(seed, len(data.train_x), STEPS, 8):
        made.zero_grad()
        F.cross_entropy(model(data.train_x[index]), data.train_y[index]).backward()
        made.step()
        scheduler.step()
    return model.state_dict(), trace.lr


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (LayerSGD(shapes=SHAPES), lambda g, lr: torch.optim.SGD(g, lr, momentum=0.9)),
        (
            LayerAdamW(shapes=SHAPES),
            lambda g, lr: torch.optim.AdamW(g, lr, weight_decay=0.0),
        ),
    ],
)
def test_it_equals_a_plain_loop_with_a_group_for_each_layer(trained, ours, theirs):
    task = fine_tuning(trained, rewired, examples=40, validation=50, test=60)
    peaks = [0.01, 0.03]
    result = sweep(
        task, {"fall": FALL}, peaks, [3, 5], steps=STEPS, batch_size=8, optimizer=ours,
        keep_states=True, progress=False,
    )  # fmt: skip
    for seed in (3, 5):
        for peak in peaks:
            weights, rates = by_hand(task, seed, peak, theirs)
            state = result.model("fall", peak, seed).state_dict()
            for name, value in weights.items():
                assert torch.allclose(state[name], value, rtol=1e-4, atol=1e-6), name
            assert (rates[:5, 0] == 0).all() and (rates[5:, 0] > 0).all()


@pytest.mark.parametrize("make", [LayerSGD, LayerAdamW])
def test_training_that_stops_goes_on_the_same(trained, make):
    """As on a cluster, where a part is trained in turns."""
    optimizer, rates = make(shapes=SHAPES), np.full((6, 1), 0.01, np.float32)
    part = Part(
        np.array([0]), np.array([0]), rates, None, optimizer, (6,), (), True, torch.device("cpu")
    )
    model, grads = trained.task.model(3), None

    def training():
        return Training(part, F.cross_entropy, [model])

    def steps(it, n):
        for _ in range(n):
            x = torch.linspace(-1, 1, 5 * 64).view(1, 5, 64)
            _, grads = it.stacked.gradients(x, torch.arange(5).view(1, 5))
            it.update.step(grads, torch.tensor([0.01]))

    whole, first = training(), training()
    steps(whole, 6)
    steps(first, 3)
    second = training()
    second.load(first.saved())
    assert second.update.taken == 3 and grads is None
    steps(second, 3)
    for name, p in whole.stacked.params.items():
        assert torch.equal(p, second.stacked.params[name]), name


def test_every_seed_goes_on_from_its_weights_with_new_examples(trained):
    task = fine_tuning(trained, renumbered, examples=40, validation=50, test=60)
    assert isinstance(task, FineTuning)
    for seed in (3, 5):
        theirs = trained.model("fall", 0.1, seed).state_dict()
        assert all(torch.equal(theirs[k], v) for k, v in task.model(seed).state_dict().items())
        old, new = trained.task.data.draw(seed), task.data.draw(seed)
        assert [len(new.split(s)[0]) for s in ("train", "val", "test")] == [40, 50, 60]
        seen = {tuple(x.tolist()) for x in torch.cat([old.train_x, old.val_x, old.test_x])}
        assert not any(tuple(x.tolist()) in seen for x in torch.cat([new.train_x, new.val_x]))
        assert torch.equal(new.test_x, old.test_x[:60])
        pairs = set(zip(old.test_y[:60].tolist(), new.test_y.tolist(), strict=True))
        assert len(pairs) == 10 and {a for a, _ in pairs} == {b for _, b in pairs}  # one to one


def test_a_permuted_layer_undoes_each_change(trained):
    """What the two changes have in common: one layer could put it right."""
    x, y = torch.randn(5, 64), torch.arange(5)
    model = trained.task.model(3)
    right = model(x)
    order = torch.from_numpy(np.random.default_rng(1).permutation(64))
    moved, _ = rewired(x, y, np.random.default_rng(1))
    model[0].weight.data = model[0].weight.data[:, order]
    assert torch.allclose(model(moved), right, atol=1e-5)
    order = torch.from_numpy(np.random.default_rng(1).permutation(10))
    _, numbers = renumbered(x, y, np.random.default_rng(1))
    last = model[2]
    last.weight.data[order], last.bias.data[order] = (
        last.weight.data.clone(),
        last.bias.data.clone(),
    )
    assert torch.allclose(
        model(moved).gather(1, numbers[:, None]), right.gather(1, y[:, None]), atol=1e-5
    )


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda r: LayerSGD(shapes=(1.0,)), TypeError, "LayerSGD: shapes must be a tuple"),
        (lambda r: LayerAdamW(shapes=[Constant()]), TypeError, "LayerAdamW: shapes must be a tup"),
        (lambda r: LayerSGD(momentum=1), ValueError, "SGD: momentum"),
        (lambda r: fine_tuning(r, rewired, examples=0), ValueError, "fine_tuning: examples"),
        (
            lambda r: fine_tuning(r, rewired, examples=601).data.draw(3),
            ValueError,
            r"must be at most 600 together, got 601 \+ 800",
        ),
        (lambda r: with_fewer(fine_tuning(r, rewired), 9), TypeError, "must be a Pool"),
        (lambda r: fine_tuning(r, rewired).model(4), ValueError, "weights must have the seed 4"),
        (
            lambda r: sweep(
                r.task, {"c": FALL}, [1], [3], steps=1, optimizer=LayerSGD(shapes=(Constant(),))
            ),
            ValueError,
            "one for each of the 2 layers, got 1",
        ),
    ],
)
def test_bad_arguments_are_named(trained, make, error, words):
    with pytest.raises(error, match=words):
        make(trained)


def test_only_one_run_per_seed_can_be_gone_on_with(trained):
    two = sweep(
        trained.task, {"c": FALL}, [0.1, 0.2], [3], steps=2, keep_states=True, progress=False
    )
    with pytest.raises(ValueError, match="one schedule and one peak, got 2"):
        fine_tuning(two, rewired)
