"""What runs on another device than the CPU, and under another default device, is the same there.

No float64 is made on the device, and no tensor on the default device by oversight.
"""

import sys

import numpy as np
import pytest
import torch
from pretend_device import NAME, Inline, OnDevice, PretendDevice
from torch import nn
from torch.nn import functional as F

from lrlib import (
    Constant,
    CosineAnnealing,
    GradientNoiseScale,
    LRTrace,
    OneCycle,
    ScheduledLR,
    Warmup,
    find_lr,
    gradient_noise_scale,
    lab,
    largest_hessian_eigenvalue,
    training_step,
)
from lrlib.lab import data_parallel


@pytest.fixture(autouse=True)
def in_this_thread(monkeypatch):
    monkeypatch.setattr(sys.modules["lrlib.lab.sweep.processes"], "ThreadPoolExecutor", Inline)


@pytest.fixture
def default_meta():
    """Tensors whose device nobody names land on a device that holds no values."""
    torch.set_default_device("meta")
    yield
    torch.set_default_device(None)


# --- the pretence itself


def test_the_pretended_device_has_no_float64():
    with PretendDevice():
        x = torch.ones(3, device=NAME)
        assert x.device.type == NAME and isinstance(x, OnDevice)
        for make in (
            lambda: x.double(),
            lambda: x.to(torch.float64),
            lambda: x.sum(dtype=torch.float64),
            lambda: torch.zeros(2, dtype=torch.float64, device=NAME),
            lambda: torch.ones(2, dtype=torch.float64).to(NAME),
            lambda: torch.linalg.vector_norm(x, dtype=torch.float64),
        ):
            with pytest.raises(TypeError, match="float64 tensor on 'lazy', which has none"):
                make()
        assert x.cpu().double().tolist() == [1, 1, 1]


def test_the_pretended_device_does_not_mix_with_the_cpu():
    with PretendDevice():
        x = torch.ones(3, device=NAME)
        with pytest.raises(RuntimeError, match="expected all tensors on one device"):
            x + torch.ones(3)
        with pytest.raises(TypeError, match=r"use Tensor\.cpu"):
            x.numpy()
        assert (x + torch.tensor(1.0)).cpu().tolist() == [2, 2, 2]
        assert x[torch.tensor([0, 2])].device.type == NAME


# --- the public functions, each as a function of the device


def swept(task, device, **settings):
    shapes = {"a": Constant(), "b": CosineAnnealing(3)}
    good = {"steps": 3, "batch_size": 8, "eval_steps": [0, 3], "evaluate": ("val", "test")}
    settings = {**good, "keep_states": True, "progress": False, **settings}
    seeds = settings.pop("seeds", [0, 1])
    result = lab.sweep(task, shapes, [0.05], seeds, device=device, **settings)
    found = [result.train_loss, result.lr, np.array(result.momentum)]
    found += [result.metrics[name] for name in sorted(result.metrics)]
    return found + [p.numpy() for state in result.states for p in state.values()]


def small_images():
    return lab.Task(lab.load_images(shifts=True).with_label_noise(0.2), lambda: lab.mlp(196, 4, 10))


def one_conv(device):
    task, shapes = lab.images_task(channels=2), {"a": Constant()}
    settings = {"steps": 2, "batch_size": 4, "evaluate": ["val"], "progress": False}
    result = lab.sweep(task, shapes, [0.1], [0], device=device, **settings)
    return [result.train_loss, result.at("val_loss"), result.at("val_error")]


SWEEPS = {
    "MLP": lambda device: swept(lab.mnist1d_task(), device),
    "full batch": lambda device: swept(lab.digits_task(), device, batch_size=None),
    "label noise": lambda device: swept(small_images(), device),
    "squared error": lambda device: swept(
        lab.Task(lab.load_digits().draw(0), lambda: lab.mlp(64, 4, 10), lab.squared_error), device
    ),
    "momentum schedule": lambda device: swept(
        lab.digits_task(),
        device,
        nesterov=True,
        momentum_schedules={"b": OneCycle(3).momentum()},
    ),
    "convolutions": lambda device: swept(lab.images_task(channels=2), device, evaluate=["val"]),
    "one model": one_conv,
    "language": lambda device: swept(
        lab.language_task(depth=1), device, optimizer="adamw", evaluate=["train", "val"]
    ),
    "text": lambda device: swept(
        lab.text_task(context=8, depth=1, width=8, heads=2), device, evaluate=["val"]
    ),
}


def network(device):
    return lab.Task(None, lambda: lab.mlp(6, 5, 1, activation="tanh")).model(0).to(device)


def inputs(device, n=32):
    return torch.from_numpy(np.random.default_rng(0).standard_normal((n, 6), np.float32)).to(device)


def finder(device):
    model, x = network(device), inputs(device)
    loader = [(x[i : i + 8], x[i : i + 8, :1]) for i in range(0, 32, 8)]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    found = find_lr(optimizer, training_step(model, F.mse_loss, loader), num_iter=40)
    return [found.rates, found.losses, np.array(found.default)]


def noise_of_gradients(device):
    gradients = [[part, part.sum(0)] for part in inputs(device).chunk(4)]
    return [np.array(gradient_noise_scale(gradients, 8))]


def noise_of_a_loss(device):
    model, parts = network(device), iter(inputs(device).chunk(4))
    loss = lambda: model(next(parts)).square().mean()  # noqa: E731
    params = model.parameters()
    return [np.array(gradient_noise_scale(loss, 8, params=params, microbatches=4))]


def noise_accumulated(device):
    model, estimate = network(device), GradientNoiseScale()
    for _ in range(2):
        model.zero_grad()
        for part in inputs(device).chunk(4):
            (model(part).square().mean() / 4).backward()
            estimate.after_backward(model.parameters())
        estimate.end_update(8)
    return [np.array([estimate.value, *estimate.interval()])]


def sharpness(device):
    model, x = network(device), inputs(device)
    loss = lambda: model(x).square().mean()  # noqa: E731
    value, vector = largest_hessian_eigenvalue(loss, model.parameters())
    again, _ = largest_hessian_eigenvalue(loss, model.parameters(), start=vector.cpu().double())
    assert vector.device.type == torch.device(device).type
    return [np.array([value, again]), vector.cpu().numpy()]


def language(device):
    source = lab.SyntheticLanguage()
    model = lab.language_task(depth=1, language=source).model(0).to(device)
    return [source.expected_loss(model, 2), source.expected_loss(model, 4, windows=9)]


def entropy(device):
    data = lab.SyntheticLanguage().dataset(4, 8, 8, 8)
    tensors = {name: value.to(device) for name, value in vars(data).items() if name[-2:] in XY}
    return [np.array(lab.Dataset(data.name, data.classes, **tensors).entropy("val"))]


XY = ("_x", "_y")


def scheduled(device):
    model, x = network(device), inputs(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=torch.tensor(0.1, device="cpu"))
    trace = LRTrace(optimizer)
    scheduler = ScheduledLR(optimizer, Warmup(3).then(CosineAnnealing(5)))
    for _ in range(8):
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()
        scheduler.step()
    return [trace.lr, *(p.detach().cpu().numpy() for p in model.parameters())]


FUNCTIONS = {f"sweep, {name}": function for name, function in SWEEPS.items()} | {
    function.__name__: function
    for function in (
        *(finder, noise_of_gradients, noise_of_a_loss, noise_accumulated, sharpness, language),
        *(entropy, scheduled),
    )
}


def assert_equal(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape
        assert np.array_equal(one, other, equal_nan=True)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_on_a_device_without_float64_the_numbers_are_the_same(name):
    expected = FUNCTIONS[name]("cpu")
    with PretendDevice():
        assert_equal(FUNCTIONS[name](NAME), expected)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_under_another_default_device_the_numbers_are_the_same(name, request):
    expected = FUNCTIONS[name]("cpu")
    request.getfixturevalue("default_meta")
    assert_equal(FUNCTIONS[name]("cpu"), expected)


# --- what makes tensors of its own

MADE = {
    "mnist1d": lambda: vars(lab.load_mnist1d().draw(0)),
    "digits": lambda: vars(lab.load_digits().draw(0)),
    "a data set with wrong labels": lambda: vars(lab.load_digits().draw(0).with_label_noise(0.3)),
    "a pool with wrong labels": lambda: vars(lab.load_digits().with_label_noise(0.3).draw(1)),
    "shifted images": lambda: vars(lab.load_images(28, shifts=True).draw(0)),
    "text": lambda: lab.load_text(16).rows(0)._asdict(),
    "language": lambda: vars(lab.SyntheticLanguage().dataset(4, 8, 8, 8)),
    "batches": lambda: dict(enumerate(lab.batches(0, 20, 5, 8))),
    "the full batch": lambda: dict(enumerate(lab.batches(0, 20, 2, None))),
    "a model": lambda: lab.images_task(channels=2).model(1).state_dict(),
    "a transformer": lambda: lab.language_task(depth=1).model(1).state_dict(),
    "a kept model": lambda: (
        lab.sweep(
            *(lab.digits_task(), {"a": Constant()}, [0.1], [0]),
            **{"steps": 1, "keep_states": True, "progress": False, "device": "cpu"},
        )
        .model("a", 0.1, 0)
        .state_dict()
    ),
    "one process": lambda: {
        name: value
        for name, value in data_parallel.train(microbatches=2).items()
        if isinstance(value, torch.Tensor)
    },
}


@pytest.mark.parametrize("name", MADE)
def test_under_another_default_device_what_is_made_is_on_the_cpu(name, request):
    expected = MADE[name]()
    request.getfixturevalue("default_meta")
    made = MADE[name]()
    tensors = {key: value for key, value in expected.items() if isinstance(value, torch.Tensor)}
    assert tensors and made.keys() == expected.keys()
    for key, value in tensors.items():
        assert made[key].device.type == "cpu", key
        assert made[key].dtype == value.dtype and torch.equal(made[key], value), key


def test_a_network_that_you_build_yourself_lands_where_torchs_layers_do(default_meta):
    for model in (lab.mlp(2, 3), lab.transformer(3, 4), lab.convnet()):
        assert {p.device.type for p in model.parameters()} == {nn.Linear(1, 1).weight.device.type}
    assert lab.device("cpu") == torch.device("cpu")
