"""sweep: every slice is the run a plain torch.optim loop would have made, and nothing else."""

import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import FrozenInstanceError, replace
from importlib import import_module

import nbformat
import numpy as np
import pytest
import torch
from conftest import HalfCosine, Ramp, Sawtooth, interruptible, processes_of
from nbclient import NotebookClient
from torch import nn
from torch.nn import functional as F

from lrlib import Constant, Cyclical, LRTrace, ScheduledLR, lab
from lrlib.lab import (
    SGD,
    AdamW,
    Fresh,
    GridEdgeError,
    SyntheticLanguage,
    Task,
    batches,
    digits_task,
    images_task,
    language_task,
    load_digits,
    mlp,
    mnist1d_task,
    squared_error,
    sweep,
    text_task,
)
from lrlib.lab._progress import Progress
from lrlib.lab._stacked import StackedAdamW, StackedMLP, StackedModule, StackedSGD, stack
from lrlib.lab.sweep import SweepResult, parts, processes
from lrlib.lab.sweep.examples import Source

DATA = load_digits()  # every seed draws its own split
SHAPE = Ramp(20, 0.1, 1.0).then(HalfCosine(300))


def normalised():
    return nn.Sequential(nn.Linear(64, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 10))


# (task, does the fast path fit)
TASKS = {
    "relu": (Task(DATA, lambda: mlp(64, 16, 16, 10)), True),
    "tanh, squared error": (
        Task(DATA, lambda: mlp(64, 16, 10, activation="tanh"), squared_error),
        True,
    ),
    "linear": (Task(DATA, lambda: mlp(64, 10)), True),
    "loss of one's own": (
        Task(DATA, lambda: mlp(64, 16, 10), lambda outputs, y: F.cross_entropy(outputs, y)),
        False,
    ),
    "normalised": (Task(DATA, normalised), False),
    "without bias": (Task(DATA, lambda: nn.Sequential(nn.Linear(64, 10, bias=False))), False),
}

# name -> (keywords of sweep, the torch optimizer, peak)
OPTIMIZERS = {
    "momentum": ({}, lambda p: torch.optim.SGD(p, lr=0.03, momentum=0.9)),
    "plain": ({"momentum": 0.0}, lambda p: torch.optim.SGD(p, lr=0.03)),
    "decay": (
        {"momentum": 0.8, "weight_decay": 0.05},
        lambda p: torch.optim.SGD(p, lr=0.03, momentum=0.8, weight_decay=0.05),
    ),
    "nesterov": (
        {"nesterov": True, "weight_decay": 0.05},
        lambda p: torch.optim.SGD(p, lr=0.03, momentum=0.9, nesterov=True, weight_decay=0.05),
    ),
    "adamw": (
        {"optimizer": "adamw", "weight_decay": 0.1, "betas": (0.8, 0.99), "eps": 1e-6},
        lambda p: torch.optim.AdamW(p, lr=0.03, weight_decay=0.1, betas=(0.8, 0.99), eps=1e-6),
    ),
}


def plain_loop(task, build, shape, seed, steps, batch_size=32, momentum=None):
    """Losses, the model and the trace of a run as anyone would write it."""
    x, y = task.data.draw(seed).split("train")
    model = task.model(seed)
    optimizer = build(model.parameters())
    trace, losses = LRTrace(optimizer), []
    scheduler = ScheduledLR(optimizer, shape, momentum=momentum)
    for index in batches(seed, len(x), steps, batch_size):
        loss = task.loss(model(x[index]), y[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        losses.append(loss.detach())
    return torch.stack(losses).numpy(), model, trace


def assert_same_run(result, task, build, shape, seed, steps, batch_size=32, momentum=None):
    losses, model, trace = plain_loop(task, build, shape, seed, steps, batch_size, momentum)
    i = result.seeds.index(seed)
    peak = result.peaks[0, 0]
    assert losses[-1] < losses[0]
    assert result.train_loss[0, 0, i] == pytest.approx(losses, rel=2e-4, abs=2e-5)
    assert result.lr[0, 0, i] == pytest.approx(trace.lr[:, 0], rel=1e-7)
    assert result.momentum[0, 0, i] == pytest.approx(trace.momentum[:, 0], rel=1e-7)
    trained = result.model(result.schedules[0], peak, seed).state_dict()
    for name, p in model.state_dict().items():
        assert torch.allclose(trained[name], p, rtol=1e-3, atol=1e-4), name


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("task", ["relu", "normalised"])
def test_a_slice_equals_a_plain_loop_for_every_optimizer(task, optimizer):
    (task, _), (options, build) = TASKS[task], OPTIMIZERS[optimizer]
    result = sweep(task, {"a": SHAPE}, 0.03, [4], steps=200, keep_states=True, **options)
    assert_same_run(result, task, build, SHAPE, 4, 200)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_may_be_a_value(name):
    """It is what its name is with the same settings; their defaults are those of the value."""
    (task, _), options = TASKS["linear"], dict(OPTIMIZERS[name][0])
    kind = {"sgd": SGD, "adamw": AdamW}[options.get("optimizer", "sgd")]
    value = kind(**{key: given for key, given in options.items() if key != "optimizer"})
    by_value, by_name = (
        sweep(task, {"a": SHAPE}, [0.03], [4], steps=5, **how)
        for how in ({"optimizer": value}, options)
    )
    assert np.array_equal(by_value.train_loss, by_name.train_loss)
    assert np.array_equal(by_value.momentum, by_name.momentum)


def test_optimizers_are_values():
    assert SGD() == SGD(0.9, False, 0.0) and AdamW() == AdamW((0.9, 0.999), 1e-8, 0.0)
    assert hash(AdamW(betas=[0.8, 0.9])) == hash(AdamW(betas=(0.8, 0.9)))
    assert repr(SGD(0.5, nesterov=True)) == "SGD(momentum=0.5, nesterov=True, weight_decay=0.0)"
    assert pickle.loads(pickle.dumps(AdamW(eps=1e-6))) == AdamW(eps=1e-6)
    with pytest.raises(FrozenInstanceError):
        SGD().momentum = 0.5


@pytest.mark.parametrize(
    "options",
    [
        {"betas": (0.9, 0.999), "eps": 1e-8},
        {"optimizer": "adamw", "momentum": 0.9, "nesterov": False},
    ],
)
def test_the_other_optimizers_defaults_change_nothing(options):
    task, kept = TASKS["linear"][0], {"optimizer": options.get("optimizer", "sgd")}
    with_them, without = (
        sweep(task, {"a": SHAPE}, [0.03], [4], steps=5, **how) for how in (options, kept)
    )
    assert np.array_equal(with_them.train_loss, without.train_loss)


def test_old_import_paths_lead_to_the_same_objects():
    module = import_module("lrlib.lab.sweep")
    assert callable(lab.sweep) and module.sweep is lab.sweep and module.batches is lab.batches
    assert module.SweepResult is lab.SweepResult and module.OPTIMIZERS == ("sgd", "adamw")


@pytest.mark.parametrize("name", TASKS)
def test_a_slice_equals_a_plain_loop_for_every_kind_of_task(name):
    (task, fits), (_, build) = TASKS[name], OPTIMIZERS["momentum"]
    assert StackedMLP.fits(task.model(0), task.loss) is fits
    result = sweep(task, {"a": SHAPE}, [0.03], [4, 7], steps=200, keep_states=True)
    assert_same_run(result, task, build, SHAPE, 7, 200)


def test_a_slice_of_the_books_main_task_equals_a_plain_loop():
    task, (_, build) = mnist1d_task(), OPTIMIZERS["momentum"]
    result = sweep(task, {"a": SHAPE}, [0.03], [1], steps=200, keep_states=True)
    assert_same_run(result, task, build, SHAPE, 1, 200)


def test_the_full_batch_equals_a_plain_loop():
    (task, _), (_, build) = TASKS["tanh, squared error"], OPTIMIZERS["momentum"]
    result = sweep(task, {"a": SHAPE}, 0.03, [2], steps=60, batch_size=None, keep_states=True)
    assert_same_run(result, task, build, SHAPE, 2, 60, batch_size=None)


LANGUAGE = SyntheticLanguage(5, (4.0, 1.0))


def language(norm):
    return language_task(norm, depth=2, width=8, context=6, language=LANGUAGE)


@pytest.mark.parametrize("norm", ["pre", "post", "none"])
@pytest.mark.filterwarnings("error", "ignore::ResourceWarning")  # vmap warns of what it must loop
def test_a_transformer_equals_a_plain_loop(norm):
    (options, build), task = OPTIMIZERS["adamw"], language(norm)
    shape = Ramp(10, 0.03, 0.1).then(HalfCosine(50))
    result = sweep(task, {"a": shape}, 0.03, [4, 6], steps=60, keep_states=True, **options)
    assert_same_run(result, task, build, shape, 6, 60)


def test_metrics_of_a_transformer_equal_a_direct_computation(monkeypatch):
    monkeypatch.setattr(parts, "EVAL_CHUNK", 2_000)
    task = language("pre")
    result = sweep(
        task,
        SHAPES,
        [0.01, 0.02],
        [5, 3],
        steps=20,
        optimizer="adamw",
        evaluate=("train", "val"),
        keep_states=True,
    )
    model = result.model("ramp", 0.02, 3)
    for split in ("train", "val"):
        x, y = task.data.draw(3).split(split)
        with torch.no_grad():
            outputs = model(x)
        answers = outputs.argmax(-1)
        right = answers == y if split == "train" else y.gather(-1, answers.unsqueeze(-1))
        error = 1 - right.double().mean().item()
        assert result.at(f"{split}_error")[1, 1, 1] == pytest.approx(error, abs=1e-3)
        loss = task.loss(outputs, y).item()
        assert result.at(f"{split}_loss")[1, 1, 1] == pytest.approx(loss, rel=1e-4)


@pytest.mark.parametrize("norm", ["pre", "none"])
@pytest.mark.filterwarnings("error", "ignore::ResourceWarning")
def test_a_transformer_that_diverges_leaves_the_others_bit_identical(norm):
    wild, tame = (
        sweep(language(norm), SHAPES, [0.01, 0.02, last], [5, 3], steps=20, optimizer="adamw")
        for last in (1e30, 0.03)
    )
    assert np.isfinite(tame.train_loss).all()
    assert (wild.train_loss[:, :2] == tame.train_loss[:, :2]).all()
    assert np.isnan(wild.train_loss[:, 2, :, 5:]).all()
    for metric in tame.metrics:
        assert (wild.at(metric)[:, :2] == tame.at(metric)[:, :2]).all()
        assert np.isnan(wild.at(metric)[:, 2]).all()


# --- every seed draws its own data

MOMENTUM, ADAMW = OPTIMIZERS["momentum"], OPTIMIZERS["adamw"]
SPLITS = ("train", "val", "test")
# name -> (task, optimizer, splits to evaluate)
DRAWN = {
    "mnist1d": (mnist1d_task(), MOMENTUM, SPLITS),
    "digits": (digits_task(), MOMENTUM, SPLITS),
    "digits, wrong labels": (digits_task(0.3), MOMENTUM, SPLITS),
    "wrong labels, general path": (
        Task(load_digits().with_label_noise(0.3), normalised),
        MOMENTUM,
        SPLITS,
    ),
    "images": (images_task(hidden=(16,)), MOMENTUM, SPLITS),
    "images, shifted": (images_task(hidden=(16,), shifts=True), MOMENTUM, ("val", "test")),
    "images, shifted, wrong labels": (
        images_task(hidden=(16,), shifts=True, label_noise=0.2),
        MOMENTUM,
        ("val", "test"),
    ),
    "convolutional": (images_task(channels=3), MOMENTUM, SPLITS),
    "convolutional, shifted, wrong labels": (
        images_task(channels=3, shifts=True, label_noise=0.2),
        MOMENTUM,
        ("val",),
    ),
    "language": (language("pre"), ADAMW, SPLITS),
    "text": (text_task(context=12, depth=1, width=8, heads=2), ADAMW, ("val", "test")),
    "made anew": (
        Task(Fresh("anew", 10, load_digits().with_label_noise(0.2).draw), lambda: mlp(64, 16, 10)),
        MOMENTUM,
        SPLITS,
    ),
    "the same for all": (Task(load_digits().draw(0), lambda: mlp(64, 16, 10)), MOMENTUM, SPLITS),
}


def plain_evaluation(task, model, seed, split):
    """Loss and share of wrong answers on what the seed drew."""
    x, y = task.data.draw(seed).split(split)
    with torch.no_grad():
        outputs = model(x)
    if y.is_floating_point():
        wrong = 1 - y.gather(-1, outputs.argmax(-1, keepdim=True)).double()
    else:
        wrong = (outputs.argmax(-1) != y).double()
    return task.loss(outputs, y).item(), wrong.mean().item(), wrong.numel()


@pytest.mark.parametrize("name", DRAWN)
def test_with_data_of_their_own_all_seeds_equal_plain_loops(name):
    task, (options, build), splits = DRAWN[name]
    shape, seeds = Ramp(10, 0.1, 1.0).then(HalfCosine(60)), (4, 0, 7)
    result = sweep(
        task, {"a": shape}, 0.03, seeds, steps=40, evaluate=splits, keep_states=True, **options
    )
    assert set(result.metrics) == {f"{s}_{m}" for s in splits for m in ("loss", "error")}
    for i, seed in enumerate(seeds):
        losses, model, _ = plain_loop(task, build, shape, seed, 40)
        assert result.train_loss[0, 0, i] == pytest.approx(losses, rel=2e-4, abs=2e-5)
        trained = result.model("a", 0.03, seed)
        for key, p in model.state_dict().items():
            assert torch.allclose(trained.state_dict()[key], p, rtol=1e-3, atol=1e-4), key
        for split in splits:
            loss, error, n = plain_evaluation(task, trained, seed, split)
            assert result.at(f"{split}_loss")[0, 0, i] == pytest.approx(loss, rel=1e-4)
            assert result.at(f"{split}_error")[0, 0, i] == pytest.approx(error, abs=2.5 / n)
            loss, error, _ = plain_evaluation(task, model, seed, split)
            assert result.at(f"{split}_loss")[0, 0, i] == pytest.approx(loss, rel=1e-3)
    # A run on another seed's data would have shown.
    labels = [task.data.draw(seed).train_y for seed in seeds[:2]]
    assert torch.equal(*labels) is (name == "the same for all")


@pytest.mark.parametrize("batch_size", [None, [8] * 10 + [32] * 10 + [64] * 10])
@pytest.mark.parametrize("name", ["digits, wrong labels", "wrong labels, general path"])
def test_with_data_of_their_own_any_batch_equals_plain_loops(name, batch_size):
    task, (_, build), _ = DRAWN[name]
    result = sweep(
        task, {"a": SHAPE}, 0.03, [4, 2], steps=30, batch_size=batch_size, keep_states=True
    )
    for seed in (4, 2):
        assert_same_run(result, task, build, SHAPE, seed, 30, batch_size)


@pytest.mark.parametrize("name", DRAWN)
def test_a_seed_does_not_depend_on_what_else_is_in_the_sweep(name):
    task, (options, _), splits = DRAWN[name]
    options = {**options, "steps": 12, "evaluate": splits[-1:]}
    many = sweep(task, SHAPES, [0.01, 0.03], [5, 3, 8], **options)
    few = sweep(task, {"ramp": SHAPES["ramp"]}, [0.03], [8, 3], **options)
    alone = sweep(task, {"ramp": SHAPES["ramp"]}, [0.03], [3], **options)
    for other in (few, alone):
        k = other.seeds.index(3)
        assert many.train_loss[1, 1, 1] == pytest.approx(other.train_loss[0, 0, k], rel=2e-4)
        for metric in other.metrics:
            if metric.endswith("loss"):
                assert many.at(metric)[1, 1, 1] == pytest.approx(
                    other.at(metric)[0, 0, k], rel=2e-4
                )


@pytest.mark.parametrize("name", ["digits, wrong labels", "convolutional", "text"])
@pytest.mark.filterwarnings("error", "ignore::ResourceWarning")
def test_with_data_of_their_own_a_diverged_slice_harms_no_other(name):
    task, (options, _), splits = DRAWN[name]
    wild, tame = (
        sweep(
            task,
            SHAPES,
            [0.001, 0.002, last],
            [5, 3],
            steps=20,
            evaluate=splits[-1:],
            eval_steps=(0, 20),
            **options,
        )
        for last in (1e30, 0.003)
    )
    assert np.isfinite(tame.train_loss).all()
    assert (wild.train_loss[:, :2] == tame.train_loss[:, :2]).all()
    assert np.isnan(wild.train_loss[:, 2, :, 5:]).all()
    for metric, values in wild.metrics.items():
        assert (values[:, :2] == tame.metrics[metric][:, :2]).all()
        assert np.isnan(values[:, 2, :, 1]).all() and np.isfinite(values[:, 2, :, 0]).all()


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux alone")
@pytest.mark.parametrize("name", ["digits, wrong labels", "images, shifted", "convolutional"])
def test_processes_threads_and_one_core_agree(name, monkeypatch):
    task, (options, _), splits = DRAWN[name]
    before, pids = torch.get_num_threads(), []
    results = {}
    try:
        for how, cores in (("processes", 3), ("threads", 3), ("one core", 1)):
            torch.set_num_threads(cores)
            monkeypatch.setattr(processes, "can_fork", lambda how=how: how == "processes")
            pools = {"ProcessPoolExecutor": 0}

            def counted(*arguments, kind=processes.ProcessPoolExecutor, pools=pools):
                pools["ProcessPoolExecutor"] += 1
                return kind(*arguments)

            with monkeypatch.context() as patch:
                patch.setattr(processes, "ProcessPoolExecutor", counted)
                results[how] = sweep(
                    task, SHAPES, [0.01, 0.03], range(6), steps=10, evaluate=splits[-1:], **options
                )
            pids.append(pools["ProcessPoolExecutor"])
    finally:
        torch.set_num_threads(before)
    assert pids == [1, 0, 0]
    expected = results.pop("one core")
    for result in results.values():
        assert np.allclose(result.train_loss, expected.train_loss, rtol=1e-4, atol=1e-5)
        assert np.array_equal(result.lr, expected.lr)
        loss = f"{splits[-1]}_loss"
        assert np.allclose(result.at(loss), expected.at(loss), rtol=1e-4)


def test_seeds_that_draw_other_numbers_of_examples_are_refused():
    drawn = load_digits().draw(0)

    def make(seed):
        return replace(drawn, val_x=drawn.val_x[seed:], val_y=drawn.val_y[seed:])

    task = Task(Fresh("uneven", 10, make), lambda: mlp(64, 10))
    with pytest.raises(
        ValueError, match=r"every seed must draw as many examples, got \[395, 397\] in 'val'"
    ):
        sweep(task, {"a": Constant()}, 0.1, [0, 2], steps=1)
    sweep(task, {"a": Constant()}, 0.1, [0, 2], steps=1, evaluate=["test"])  # which all draw alike


def test_a_pool_is_not_copied_for_every_seed():
    """A sweep of many seeds holds the examples once."""
    pool = load_digits()
    source = Source.drawn(pool, range(50), "train")
    assert source.x is pool.x and source.y is pool.y
    noisy = Source.drawn(pool.with_label_noise(0.1), range(50), "train")
    assert noisy.x is pool.x and len(noisy.y) == 50 * len(pool.y)
    judged = Source.drawn(mnist1d_task().data, range(50), "test")
    assert judged.rows.shape == (1, 10_000)  # one row for all: the same test set


@pytest.mark.parametrize("name", [name for name, (_, fits) in TASKS.items() if fits])
def test_the_fast_path_equals_the_general_one(name):
    task, _ = TASKS[name]
    models = [task.model(seed) for seed in range(3)]
    drawn = DATA.draw(0)
    x, y = drawn.train_x[:24].view(3, 8, 64), drawn.train_y[:24].view(3, 8)
    fast = stack(models, task.loss, torch.device("cpu"))
    assert type(fast) is StackedMLP
    losses, grads = fast.gradients(x, y)
    general = StackedModule(models, task.loss, torch.device("cpu"))
    expected_losses, expected = general.gradients(x, y)
    assert torch.allclose(losses, expected_losses, atol=1e-6)
    assert torch.allclose(fast.forward(x), general.forward(x), atol=1e-6)
    assert grads.keys() == expected.keys()
    for key in grads:
        assert torch.allclose(grads[key].dense(), expected[key].dense(), atol=1e-6), key
        buffer = torch.ones_like(expected[key].dense())
        grads[key].accumulate(buffer, 0.5)
        assert torch.allclose(buffer, 0.5 + expected[key].dense(), atol=1e-6), key


SHAPES = {"constant": Constant(), "ramp": Ramp(30), "saw": Sawtooth(7)}


@pytest.mark.parametrize("name", ["relu", "normalised"])
def test_a_slice_does_not_depend_on_what_else_is_in_the_sweep(name):
    task, _ = TASKS[name]
    large = sweep(task, SHAPES, [0.01, 0.03, 0.1], [5, 3, 8], steps=60)
    alone = sweep(task, {"ramp": Ramp(30)}, [0.03], [3], steps=60)
    assert large.train_loss[1, 1, 1] == pytest.approx(alone.train_loss[0, 0, 0], rel=1e-4)
    assert large.at("test_loss")[1, 1, 1] == pytest.approx(alone.at("test_loss").item(), rel=1e-4)


@pytest.mark.parametrize("options", [{}, {"momentum": 0.0}, {"nesterov": True}])
@pytest.mark.parametrize("name", ["relu", "tanh, squared error", "normalised"])
@pytest.mark.filterwarnings("error", "ignore::ResourceWarning")
def test_a_slice_that_diverges_is_nan_and_leaves_the_others_bit_identical(name, options):
    task, _ = TASKS[name]
    if name == "normalised":  # layer norm keeps its outputs finite at any rate
        task = replace(task, loss=squared_error)
    runs = [
        sweep(task, SHAPES, [0.01, 0.02, last], [5, 3], steps=40, eval_steps=(0, 20, 40), **options)
        for last in (1e25, 0.03)
    ]
    wild, tame = runs
    assert np.isfinite(tame.train_loss).all()
    assert (wild.train_loss[:, :2] == tame.train_loss[:, :2]).all()
    assert np.isnan(wild.train_loss[:, 2, :, 5:]).all()
    assert np.isfinite(wild.train_loss[:, 2, :, 0]).all()
    for metric, values in wild.metrics.items():
        assert (values[:, :2] == tame.metrics[metric][:, :2]).all()
        assert np.isnan(values[:, 2, :, 1:]).all() and np.isfinite(values[:, 2, :, 0]).all()


def test_a_run_is_nan_from_its_first_non_finite_loss_on():
    bad = DATA.draw(3).train_y[list(batches(3, 1000, 10, 8))[4]]

    def loss(outputs, y):  # infinite for one batch, without an effect on the parameters
        blow = y.shape == bad.shape and (y == bad).all()
        return F.cross_entropy(outputs, y) + torch.where(torch.as_tensor(blow), torch.inf, 0.0)

    task = Task(DATA, lambda: mlp(64, 10), loss)
    result = sweep(task, {"a": Constant()}, 1e-3, [3], steps=10, batch_size=8, eval_steps=[3, 4, 5])
    assert np.isnan(result.train_loss[0, 0, 0]).tolist() == [False] * 4 + [True] * 6
    assert np.isnan(result.metrics["val_error"][0, 0, 0]).tolist() == [False, True, True]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_the_applied_rates_are_the_plan_rounded_to_float32(optimizer):
    task, peaks = Task(DATA, lambda: mlp(64, 10)), {"ramp": [0.1, 0.2], "saw": [1e-3, 3e-3]}
    result = sweep(
        task, {k: SHAPES[k] for k in peaks}, peaks, [0, 1], steps=50, optimizer=optimizer
    )
    assert (result.lr.shape, result.lr.dtype) == ((2, 2, 2, 50), np.float32)
    for i, name in enumerate(result.schedules):
        for j, peak in enumerate(peaks[name]):
            planned = (peak * SHAPES[name].sample(50)).astype(np.float32)
            assert (result.lr[i, j] == planned).all()


@pytest.fixture(params=["processes", "threads"])
def three_cores(request, monkeypatch):
    """A sweep of many slices is trained in parts, on three cores."""
    if request.param == "threads":
        monkeypatch.setattr(processes, "can_fork", lambda: False)
    elif sys.platform != "linux":
        pytest.skip("processes are forked on Linux alone")
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


DRIVABLE = [name for name in OPTIMIZERS if name != "plain"]
# "zeros" is 0 at the start and at every tenth step: a momentum of 0 is a case of its own in torch.
MOMENTA = {
    "cycle": Cyclical(0.1, 15).momentum(0.5),
    "above": Ramp(40, 0.3, 1.08),
    "zeros": Cyclical(0, 5),
}


@pytest.mark.parametrize("momentum", MOMENTA)
@pytest.mark.parametrize("optimizer", DRIVABLE)
def test_a_driven_momentum_equals_a_plain_loop(optimizer, momentum):
    (task, _), (options, build), shape = TASKS["relu"], OPTIMIZERS[optimizer], MOMENTA[momentum]
    options = {**options, "momentum_schedules": {"a": shape}}
    result = sweep(task, {"a": SHAPE}, 0.03, [4], steps=200, keep_states=True, **options)
    assert_same_run(result, task, build, SHAPE, 4, 200, momentum=shape)


@pytest.mark.parametrize("optimizer", DRIVABLE)
def test_a_driven_momentum_equals_a_plain_loop_on_the_general_path(optimizer):
    (task, _), (options, build) = TASKS["normalised"], OPTIMIZERS[optimizer]
    options = {**options, "momentum_schedules": {"a": MOMENTA["cycle"]}}
    result = sweep(task, {"a": SHAPE}, 0.03, [4], steps=200, keep_states=True, **options)
    assert_same_run(result, task, build, SHAPE, 4, 200, momentum=MOMENTA["cycle"])


@pytest.mark.parametrize("name", ["relu", "normalised"])
@pytest.mark.parametrize("optimizer", DRIVABLE)
def test_a_factor_of_1_and_a_neighbour_that_is_driven_change_no_bit(name, optimizer):
    (task, _), (options, _) = TASKS[name], OPTIMIZERS[optimizer]
    options = {**options, "steps": 40, "keep_states": True}
    momenta = {"constant": Constant(1), "saw": MOMENTA["zeros"]}  # and none for the ramp
    plain = sweep(task, SHAPES, [0.01, 0.03], [5, 3], **options)
    driven = sweep(task, SHAPES, [0.01, 0.03], [5, 3], momentum_schedules=momenta, **options)
    same = (plain.train_loss == driven.train_loss).all((1, 2, 3))
    assert dict(zip(SHAPES, same, strict=True)) == {"constant": True, "ramp": True, "saw": False}
    assert np.array_equal(plain.momentum[:2], driven.momentum[:2])
    for key, p in driven.states[0].items():
        assert torch.equal(p[:8], plain.states[0][key][:8]), key  # the slices of the first two


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_the_applied_momenta_are_the_plan_rounded_to_float32(optimizer, three_cores):
    task, seeds, options = Task(DATA, lambda: mlp(64, 10)), range(20), {"optimizer": optimizer}
    momenta = {"saw": MOMENTA["cycle"], "constant": MOMENTA["zeros"]}
    result = sweep(task, SHAPES, [0.1, 0.2], seeds, steps=30, momentum_schedules=momenta, **options)
    assert (result.momentum.shape, result.momentum.dtype) == (result.lr.shape, np.float32)
    for i, name in enumerate(SHAPES):
        planned = (0.9 * momenta.get(name, Constant()).sample(30)).astype(np.float32)
        assert (result.momentum[i] == planned).all()


@pytest.mark.parametrize("momenta", [None, {}])
def test_a_momentum_that_is_not_driven_takes_no_memory(momenta):
    task, options = Task(DATA, lambda: mlp(64, 10)), {"momentum": 0.8}
    result = sweep(task, SHAPES, [0.1, 0.2], [0], steps=5, momentum_schedules=momenta, **options)
    assert (result.momentum == np.float32(0.8)).all()
    assert (result.momentum.shape, set(result.momentum.strides)) == (result.lr.shape, {0})


@pytest.mark.parametrize(("optimizer", "kind"), [("sgd", StackedSGD), ("adamw", StackedAdamW)])
def test_an_applied_momentum_that_differs_from_the_plan_is_an_error(optimizer, kind, monkeypatch):
    step = kind.step
    monkeypatch.setattr(kind, "step", lambda self, grads, lr, m: step(self, grads, lr, m * 0.99))
    with pytest.raises(RuntimeError, match="applied momenta differ from the planned ones"):
        sweep(
            TASKS["linear"][0],
            {"a": Constant()},
            0.1,
            [0],
            steps=2,
            optimizer=optimizer,
            momentum_schedules={"a": Ramp(5)},
        )


@pytest.mark.parametrize("name", ["relu", "normalised"])
def test_parts_start_from_the_weights_of_their_seeds(name, three_cores):
    task, _ = TASKS[name]
    seeds, state = tuple(range(40, 70)), torch.get_rng_state()
    result = sweep(
        task, SHAPES, [0.02], seeds, steps=1, eval_steps=[0], evaluate=(), keep_states=True
    )
    assert torch.get_num_threads() == 3
    assert torch.equal(torch.get_rng_state(), state)
    for seed in seeds:
        for schedule in SHAPES:
            started = result.model(schedule, 0.02, seed, 0).state_dict()
            for key, p in task.model(seed).state_dict().items():
                assert torch.equal(started[key], p), (schedule, seed)


def test_parts_are_put_together_in_order(three_cores):
    task, peaks, seeds = TASKS["relu"][0], [0.01, 0.02, 1e25], [5, 3, 8]
    options = {"steps": 30, "eval_steps": (0, 30), "keep_states": True}
    many = sweep(task, SHAPES, peaks, seeds, **options)
    torch.set_num_threads(1)
    one = sweep(task, SHAPES, peaks, seeds, **options)
    for a, b in [
        (many.train_loss, one.train_loss),
        *((many.metrics[m], one.metrics[m]) for m in one.metrics),
    ]:
        assert np.allclose(a, b, rtol=1e-4, atol=1e-5, equal_nan=True)
    assert np.array_equal(many.lr, one.lr)
    assert np.isnan(many.train_loss[:, 2, :, 5:]).all()
    for key, p in many.model("saw", 0.02, 3).state_dict().items():
        assert torch.allclose(p, one.model("saw", 0.02, 3).state_dict()[key], atol=1e-4)


def test_an_error_in_a_part_is_the_error_that_is_raised(three_cores):
    calls = []

    def loss(outputs, y):
        calls.append(y)
        if len(calls) > 4:  # not in the rehearsal
            raise ArithmeticError("of one's own")
        return F.cross_entropy(outputs, y)

    with pytest.raises(ArithmeticError, match="of one's own"):
        sweep(Task(DATA, lambda: mlp(64, 10), loss), SHAPES, [0.1], range(10), steps=5)
    assert torch.get_num_threads() == 3


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux alone")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_sweep(number):
    program = (
        "import torch; from lrlib import Constant, lab; torch.set_num_threads(2);"
        "lab.sweep(lab.mnist1d_task(), {'a': Constant()}, [0.1], range(9), steps=10_000,"
        "batch_size=None)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=interruptible,
    )
    try:
        deadline = time.monotonic() + 60
        while len(processes_of(process.pid)) < 3:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(number)  # to the one process alone, as a kernel that is killed
        error = process.communicate(timeout=30)[1]
        assert number == signal.SIGKILL or error.rstrip().endswith("KeyboardInterrupt")
        while processes_of(process.pid):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        if processes_of(process.pid):
            os.killpg(process.pid, signal.SIGKILL)


def test_a_seed_gives_every_schedule_the_same_weights_and_batches():
    task, _ = TASKS["relu"]
    result = sweep(task, SHAPES, [1e-12, 1e-11, 1e-10], [5, 3], steps=20, eval_steps=[0])
    assert np.ptp(result.train_loss, axis=(0, 1)).max() < 1e-6
    assert np.ptp(result.at("val_loss"), axis=(0, 1)).max() < 1e-12
    assert (result.train_loss[0, 0, 0] != result.train_loss[0, 0, 1]).all()


def test_global_random_state_is_untouched():
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    sweep(TASKS["relu"][0], SHAPES, [0.1], [5], steps=3)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.random.get_state()[1].tolist() == numpy_state  # noqa: NPY002


def test_batches_are_the_epochs_of_a_data_loader():
    drawn = list(batches(7, 10, 8, 3))
    assert [len(index) for index in drawn] == [3] * 8
    epochs = [torch.cat(drawn[i : i + 3]) for i in (0, 3)]
    assert all(len(epoch.unique()) == 9 for epoch in epochs)
    assert not torch.equal(*epochs)
    for again, index in zip(batches(7, 10, 5, 3), drawn, strict=False):
        assert torch.equal(again, index) and index.dtype == torch.int64
    assert not torch.equal(next(batches(8, 10, 1, 3)), drawn[0])
    assert [index.tolist() for index in batches(7, 4, 2, None)] == [[0, 1, 2, 3]] * 2
    assert list(batches(7, 4, 0, 2)) == []


def test_batches_may_grow():
    drawn = list(batches(7, 10, 5, [3, 3, 4, 8, 2]))
    assert [len(index) for index in drawn] == [3, 3, 4, 8, 2]
    assert torch.equal(drawn[0], next(batches(7, 10, 1, 3)))
    assert len(torch.cat(drawn[:3]).unique()) == 10 == len(torch.cat(drawn[3:]).unique())


def test_a_slice_with_growing_batches_equals_a_plain_loop():
    (task, _), (options, build) = TASKS["relu"], OPTIMIZERS["momentum"]
    sizes = [8] * 40 + [32] * 40 + [128] * 40
    result = sweep(
        task, {"a": SHAPE}, 0.03, [4, 2], steps=120, batch_size=sizes, keep_states=True, **options
    )
    assert_same_run(result, task, build, SHAPE, 4, 120, sizes)


@pytest.mark.parametrize("name", ["relu", "tanh, squared error", "normalised"])
def test_metrics_equal_a_direct_computation(name, monkeypatch):
    # Several chunks, the last one partial.
    monkeypatch.setattr(parts, "EVAL_CHUNK", 700)
    task, _ = TASKS[name]
    result = sweep(
        task,
        SHAPES,
        [0.02, 0.05],
        [5, 3],
        steps=30,
        eval_steps=[0, 10, 30],
        evaluate=("train", "val", "test"),
        keep_states=True,
    )
    assert set(result.metrics) == {
        f"{s}_{m}" for s in ("train", "val", "test") for m in ("loss", "error")
    }
    for step in (0, 10, 30):
        model = result.model("ramp", 0.05, 3, step)
        for split in ("train", "val", "test"):
            x, y = DATA.draw(3).split(split)
            with torch.no_grad():
                outputs = model(x)
            error = (outputs.argmax(-1) != y).double().mean().item()
            measured = result.at(f"{split}_error", step)[1, 1, 1]
            assert measured == pytest.approx(error, abs=1.5 / len(y))
            loss = result.at(f"{split}_loss", step)[1, 1, 1]
            assert loss == pytest.approx(task.loss(outputs, y).item(), rel=1e-4)
    first = result.model("saw", 0.02, 5, 0).state_dict()
    assert all(torch.equal(p, first[n]) for n, p in task.model(5).state_dict().items())


def result_of(val_error, peaks=(0.1, 0.2, 0.4)):
    """A result with these validation errors, (peaks, seeds)."""
    errors = np.array(val_error, dtype=np.float64)[None, :, :, None]
    return SweepResult(
        task=TASKS["linear"][0],
        schedules=("a",),
        peaks=np.array([peaks]),
        seeds=tuple(range(errors.shape[2])),
        eval_steps=np.array([10]),
        train_loss=errors,
        metrics={"val_error": errors},
        lr=errors,
        momentum=errors,
    )


def test_best_peak_is_the_lowest_mean_over_seeds():
    assert result_of([[0.5, 0.5], [0.1, 0.5], [0.4, 0.4]]).best_peaks() == {"a": 0.2}


def test_a_peak_at_which_a_run_diverged_is_not_the_best():
    errors = [[0.9, 0.9], [0.0, np.nan], [0.5, 0.5], [0.6, 0.6]]
    assert result_of(errors, (1, 2, 3, 4)).best_peaks() == {"a": 3}


@pytest.mark.parametrize(
    ("errors", "message"),
    [
        ([[0.1], [0.2], [0.3]], r"a: the best peak, 0\.1, lies on the edge of the grid .*widen"),
        ([[0.3], [0.2], [0.1]], r"a: the best peak, 0\.4, lies on the edge of the grid .*widen"),
        ([[0.3], [0.2], [np.nan]], None),
        ([[0.2], [np.nan], [np.nan]], r"a: the best peak, 0\.1, lies on the edge"),
        ([[np.nan]] * 3, r"a: at every peak of \[0\.1, 0\.2, 0\.4\] a run diverged"),
    ],
)
def test_a_best_peak_on_the_edge_of_the_grid_is_refused(errors, message):
    if message is None:  # divergence to the right is what bounds a grid
        assert result_of(errors).best_peaks() == {"a": 0.2}
        return
    with pytest.raises(GridEdgeError, match=message):
        result_of(errors).best_peaks()


def test_a_seed_is_judged_at_the_peak_that_the_others_choose():
    errors = [[0.9, 0.9, 0.9], [0.1, 0.3, 0.3], [0.4, 0.2, 0.2], [0.9, 0.9, 0.9]]
    judged, peaks = result_of(errors, (1, 2, 3, 4)).judged("val_error")
    # Seed 0 favours peak 2, and its own vote would have made it the choice of all.
    assert peaks["a"].tolist() == [3, 2, 2]
    assert judged["a"].tolist() == [0.4, 0.3, 0.3]


def test_seeds_that_diverge_count_for_the_others_choice():
    errors = [[0.9, 0.9, 0.9], [0.3, 0.3, 0.3], [np.nan, 0.1, 0.1], [0.9, 0.9, 0.9]]
    judged, peaks = result_of(errors, (1, 2, 3, 4)).judged("val_error")
    assert peaks["a"].tolist() == [3, 2, 2]
    assert np.isnan(judged["a"]).tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("errors", "error", "message"),
    [
        ([[0.1] * 3, [0.2] * 3, [0.3] * 3], GridEdgeError, r"a: the peaks chosen, \[0\.1\], reach"),
        (
            [[0.0, 0.3, 0.3], [0.2, 0.2, 0.2], [0.3, 0.3, 0.3]],
            GridEdgeError,
            r"a: the peaks chosen, \[0\.1, 0\.2\], reach the edge .* widen",
        ),
        ([[np.nan] * 3] * 3, GridEdgeError, "a: at every peak of .* a run diverged"),
        (
            [[0.2, 0.2], [0.1, 0.1], [0.2, 0.2]],
            ValueError,
            r"seeds must be at least 3, got \(0, 1\)",
        ),
    ],
)
def test_judging_refuses_edges_divergence_and_too_few_seeds(errors, error, message):
    with pytest.raises(error, match=message):
        result_of(errors).judged("val_error")


def test_a_real_grid_has_its_best_peak_inside():
    result = sweep(digits_task(), {"a": Constant()}, [1e-4, 0.05, 1e3], [1, 2], steps=60)
    assert result.best_peaks() == {"a": 0.05}


@pytest.mark.parametrize("seeds", [[0], [0, 1]])
@pytest.mark.parametrize("kind", [nn.BatchNorm1d, nn.BatchNorm2d])
def test_batch_norm_is_refused(kind, seeds):
    def build():
        if kind is nn.BatchNorm1d:
            return nn.Sequential(nn.Linear(64, 10), nn.BatchNorm1d(10))
        layers = nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten()
        return nn.Sequential(*layers, nn.Linear(72, 10))

    with pytest.raises(ValueError, match=rf"(?s)must have no buffers .*{kind.__name__}"):
        sweep(Task(DATA, build), {"a": Constant()}, 0.1, seeds, steps=1)


def test_states_are_only_there_if_they_were_kept():
    result = sweep(TASKS["linear"][0], {"a": Constant()}, 0.1, [0], steps=1)
    with pytest.raises(ValueError, match="sweep with keep_states=True"):
        result.model("a", 0.1, 0)


def test_progress_stays_silent_away_from_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr("sys.modules", {})
    with Progress(10, "training") as bar:
        assert bar.where is None
        bar.update(5)
    assert capsys.readouterr() == ("", "")


NOTEBOOK = """
from types import SimpleNamespace
from lrlib.lab import _progress
now = iter(range(0, 10_000, 3))
_progress.time = SimpleNamespace(monotonic=lambda: next(now))
with _progress.Progress(10, "training") as bar:
    for done in range(1, 11):
        bar.update(done)
    assert bar.drawn and bar.where == "notebook"
    {inside}
"""


@pytest.mark.parametrize("interrupted", [False, True])
def test_progress_leaves_nothing_in_a_saved_notebook(interrupted):
    inside = "raise KeyboardInterrupt" if interrupted else ""
    cells = [nbformat.v4.new_code_cell(NOTEBOOK.format(inside=inside))]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, kernel_name="python3", allow_errors=True).execute()
    outputs = notebook.cells[0].outputs
    assert [o.ename for o in outputs if o.output_type == "error"] == (
        ["KeyboardInterrupt"] if interrupted else []
    )
    assert not any(o.get("data") or o.get("text") for o in outputs)
