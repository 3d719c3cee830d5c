"""find_lr: it leaves no trace, pairs rates with the right losses, and reads curves well."""

import copy
import json
import math
import random
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from conftest import Ramp
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, TensorDataset

from lrlib import (
    LRFinderResult,
    LRTrace,
    NoSuggestionError,
    ScheduledLR,
    find_lr,
    training_step,
)
from lrlib.lr_finder import (
    RULES,
    edge,
    floor,
    floor_2,
    minimum,
    minimum_10,
    smooth,
    steepest,
    valley,
)

X = torch.randn(64, 6, generator=torch.Generator().manual_seed(1))
Y = (X.sum(1) > 0).long() + (X[:, 0] > 0).long()


class Net(nn.Module):
    """An MLP with batch norm and dropout, a frozen layer, and a buffer that is replaced."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 8))
        )
        self.head, self.frozen = nn.Linear(8, 3), nn.BatchNorm1d(8)
        self.frozen.eval().requires_grad_(False)
        self.register_buffer("calls", torch.zeros(()), persistent=False)

    def forward(self, x):
        self.calls = self.calls + 1
        return self.head(self.frozen(self.body(x)).relu())


class World:
    """A model in the middle of its training, and a step that draws from every random source."""

    def __init__(self, kind, options, groups=1, scaler=None, accumulate=1, zero=True, tensor=False):
        torch.manual_seed(0), np.random.seed(0), random.seed(0)  # noqa: NPY002
        self.model, self.outside = Net(), nn.Parameter(torch.ones(3))
        lr = torch.tensor(0.01) if tensor else 0.01
        head = [*self.model.head.parameters(), self.outside]
        body = [*self.model.body.parameters()]
        parts = [{"params": body}, {"params": head, "lr": 0.1}] if groups == 2 else body + head
        self.optimizer = kind(parts, lr=lr, **options)
        self.scaler, self.accumulate, self.zero = scaler, accumulate, zero
        self.own = torch.Generator().manual_seed(5)

    def step(self):
        self.optimizer.zero_grad(set_to_none=self.zero)
        total = 0.0
        for _ in range(self.accumulate):
            i = torch.randint(64, (16,), generator=self.own)
            x = X[i] * (1 + 0.01 * random.random()) + 0.01 * np.random.randn()  # noqa: NPY002
            loss = F.cross_entropy(self.model(x) * self.outside, Y[i]) / self.accumulate
            (loss if self.scaler is None else self.scaler.scale(loss)).backward()
            total += loss.detach()
        return total

    def train(self, n):
        for _ in range(n):
            self.step()
            if self.scaler is None:
                self.optimizer.step()
            else:
                self.scaler.step(self.optimizer)
                self.scaler.update()
        return self

    def find(self, step=None, **arguments):
        good = {"model": self.model, "scaler": self.scaler, "data": self.own, "num_iter": 12}
        return find_lr(self.optimizer, step or self.step, **{**good, **arguments})

    def state(self):
        """Everything that must stay, as copies; tensors by their bits."""
        grads = [p.grad for p in (*self.model.parameters(), self.outside)]
        return copy.deepcopy(
            {
                "weights": self.model.state_dict(),
                "outside": self.outside.detach(),
                "calls": self.model.calls,
                "grads": grads,
                "optimizer": self.optimizer.state_dict(),
                "modes": [m.training for m in self.model.modules()],
                "scaler": self.scaler and self.scaler.state_dict(),
                "random": (random.getstate(), np.random.get_state(), torch.get_rng_state()),  # noqa: NPY002
                "own": self.own.get_state(),
            }
        )

    def objects(self):
        """The tensors themselves: others may hold them."""
        held = [*self.model.parameters(), *self.model.buffers(), self.outside]
        held += [p.grad for p in held]
        held += [v for s in self.optimizer.state.values() for v in s.values()]
        return [id(x) for x in [*held, *(g["lr"] for g in self.optimizer.param_groups)]]


def assert_same(left, right, where="state"):
    assert type(left) is type(right), where
    if isinstance(left, dict):
        assert list(left) == list(right), where
        for key in left:
            assert_same(left[key], right[key], f"{where}[{key!r}]")
    elif isinstance(left, list | tuple):
        assert len(left) == len(right), where
        for i, (one, other) in enumerate(zip(left, right, strict=True)):
            assert_same(one, other, f"{where}[{i}]")
    elif isinstance(left, torch.Tensor):
        assert left.dtype == right.dtype and left.shape == right.shape, where
        assert left.numpy().tobytes() == right.numpy().tobytes(), where
    elif isinstance(left, np.ndarray):
        assert left.tobytes() == right.tobytes(), where
    else:
        assert left == right, where


MOMENTUM = {"momentum": 0.9, "weight_decay": 1e-3}


def scaler(scale=1024.0):
    return torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=4)


WORLDS = {
    "sgd": lambda: World(SGD, MOMENTUM),
    "sgd, for loop": lambda: World(SGD, {**MOMENTUM, "foreach": False}),
    "adamw": lambda: World(AdamW, {}),
    "adamw, fused": lambda: World(AdamW, {"fused": True}),
    "two groups": lambda: World(AdamW, {"amsgrad": True}, groups=2),
    "two groups, sgd": lambda: World(SGD, MOMENTUM, groups=2),
    "gradients kept": lambda: World(SGD, MOMENTUM, zero=False),
    "accumulation": lambda: World(SGD, MOMENTUM, accumulate=3),
    "tensor rate": lambda: World(AdamW, {"foreach": False}, tensor=True),
    "scaler": lambda: World(SGD, MOMENTUM, scaler=scaler()),
    "scaler, overflow": lambda: World(AdamW, {}, scaler=scaler(1e38)),
    "adagrad": lambda: World(torch.optim.Adagrad, {}),
}


@pytest.fixture(params=WORLDS)
def build(request):
    return WORLDS[request.param]


@pytest.mark.parametrize("steps", [0, 5])
def test_it_leaves_no_trace(build, steps):
    world = build().train(steps)
    if steps:
        world.step()  # gradients that are there, and that no update has used
    before, objects = world.state(), world.objects()
    found = world.find()
    assert np.isfinite(found.losses).sum() > 12
    assert_same(before, world.state())
    assert objects == world.objects()


@pytest.mark.parametrize("repeat", [0, 1])
@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_it_leaves_no_trace_when_step_7_raises(build, error, repeat):
    world = build().train(5)
    before, objects, calls = world.state(), world.objects(), 0

    def step():
        nonlocal calls
        calls += 1
        if calls == 7 + repeat * 13:
            world.step()
            world.model.eval()
            raise error
        return world.step()

    with pytest.raises(error):
        world.find(step, diverge_factor=1e9)
    assert_same(before, world.state())
    assert objects == world.objects()


@pytest.mark.parametrize("where", ["step", "update"])
def test_a_scaler_that_was_interrupted_can_go_on(where):
    world = World(SGD, MOMENTUM, scaler=scaler()).train(3)
    before = world.state()
    with pytest.MonkeyPatch.context() as patch:
        broken = lambda *_: 1 / 0  # noqa: E731
        patch.setattr(world.scaler if where == "update" else world.optimizer, where, broken)
        with pytest.raises(ZeroDivisionError):
            world.find()
    assert_same(before, world.state())
    world.train(1)  # it would raise if the scaler believed that its update was still to come


def test_training_goes_on_as_if_nothing_had_been():
    expected = WORLDS["two groups"]().train(10).state()
    tested = WORLDS["two groups"]().train(4)
    tested.find()
    assert_same(expected, tested.train(6).state())


def test_a_skipped_and_a_missing_gradient():
    """A parameter that never gets one keeps None; one whose gradient is dropped gets it back."""
    world = World(SGD, MOMENTUM)
    unused = nn.Parameter(torch.ones(2))
    world.optimizer.add_param_group({"params": [unused]})
    grad = world.outside.grad = torch.full((3,), 7.0)
    world.find()
    assert unused.grad is None and world.outside.grad is grad and grad.tolist() == [7.0] * 3
    assert all(p.grad is None for p in world.model.parameters())


def test_other_things_that_hold_state():
    ema = torch.optim.swa_utils.AveragedModel(nn.Linear(2, 2))
    second = AdamW([nn.Parameter(torch.ones(2))])
    numbers, iterator = np.random.default_rng(3), Iterator()
    world, drawn = World(SGD, MOMENTUM), []

    def step():
        ema.update_parameters(ema.module)
        second.param_groups[0]["params"][0].square().sum().backward()
        second.step()
        count = int(second.state_dict()["state"][0]["step"])
        drawn.append((next(iterator), numbers.random(), count))
        return world.step()

    before = copy.deepcopy([ema.state_dict(), second.state_dict(), numbers.bit_generator.state])
    find_lr(
        world.optimizer, step, model=world.model, stateful=[ema, second], data=[numbers, iterator],
        num_iter=10, repeats=2, diverge_factor=1e9,
    )  # fmt: skip
    assert_same(before, [ema.state_dict(), second.state_dict(), numbers.bit_generator.state])
    assert iterator.n == 0 and len(drawn) == 22
    # Data goes on from repeat to repeat, the rest starts over.
    assert [n for n, *_ in drawn] == list(range(1, 23)) and len({x for _, x, _ in drawn}) == 22
    assert [n for *_, n in drawn] == [*range(1, 12)] * 2


class Iterator:
    n = 0

    def __next__(self):
        self.n += 1
        return self.n

    def state_dict(self):
        return {"n": self.n}

    def load_state_dict(self, state):
        self.n = state["n"]


def test_extra_state_and_a_list_of_modules():
    class Counting(nn.Linear):
        n = 0

        def get_extra_state(self):
            return {"n": self.n}

        def set_extra_state(self, state):
            self.n = state["n"]

    one, two = Counting(2, 1), nn.BatchNorm1d(1)
    optimizer = SGD(one.parameters(), lr=0.1)

    def step():
        one.n += 1
        optimizer.zero_grad()
        loss = two(one(X[:, :2])).square().mean() + one.weight.square().sum()
        loss.backward()
        return loss

    before = copy.deepcopy([one.state_dict(), two.state_dict()])
    find_lr(optimizer, step, model=[one, two], num_iter=10)
    assert_same(before, [one.state_dict(), two.state_dict()])


def test_several_failures_at_the_end_do_not_stop_each_other():
    class Broken(Iterator):
        def load_state_dict(self, state):
            raise OSError("broken")

    world = World(SGD, MOMENTUM).train(2)
    before = world.state()
    with pytest.raises(OSError, match="broken"):
        world.find(data=[Broken(), world.own])
    assert_same(before, world.state())


# --- what it does to the optimizer


def quadratic(lr=0.1, kind=SGD, **options):
    """One parameter, the loss w², no noise."""
    w = nn.Parameter(torch.tensor([3.0], dtype=torch.float64))
    optimizer = kind([w], lr=lr, **options)

    def step():
        optimizer.zero_grad()
        loss = w.square().sum()
        loss.backward()
        return loss

    return w, optimizer, step


def test_a_rate_is_paired_with_the_first_loss_it_had_a_part_in():
    _, optimizer, step = quadratic()
    found = find_lr(optimizer, step, start_lr=1e-3, end_lr=1.0, num_iter=10, repeats=1)
    assert found.rates == pytest.approx(np.geomspace(1e-3, 1, 10))
    weights = 3 * np.cumprod(1 - 2 * found.rates)
    assert found.losses == pytest.approx(np.atleast_2d(weights**2))


def test_rates_are_equally_spaced_in_the_logarithm_and_ratios_are_kept():
    world, rates = World(SGD, MOMENTUM, groups=2), []
    world.optimizer.register_step_pre_hook(
        lambda optimizer, *_: rates.append([g["lr"] for g in optimizer.param_groups])
    )
    found = world.find(start_lr=1e-5, end_lr=1e-2, num_iter=13, repeats=1, diverge_factor=1e9)
    rates = np.array(rates)
    assert rates.shape == (13, 2)
    assert np.ptp(np.diff(np.log(rates), axis=0)) < 1e-12
    assert rates[[0, -1], 0] == pytest.approx([1e-5, 1e-2])
    assert rates[:, 1] / rates[:, 0] == pytest.approx(10)
    assert found.ratios == pytest.approx((1, 10))


def test_the_ratios_are_those_of_the_peaks_where_a_scheduler_is_at_work():
    """In a warm-up from 0 the present rates have no ratio."""
    world = World(SGD, MOMENTUM, groups=2)
    ScheduledLR(world.optimizer, Ramp(4, 0.0, 1.0))
    assert [group["lr"] for group in world.optimizer.param_groups] == [0, 0]
    assert world.find().ratios == pytest.approx((1, 10))


def test_tensor_rates_are_written_in_place():
    world, seen = World(AdamW, {"foreach": False}, tensor=True), []
    lr = world.optimizer.param_groups[0]["lr"]
    world.optimizer.register_step_pre_hook(
        lambda optimizer, *_: seen.append((optimizer.param_groups[0]["lr"] is lr, float(lr)))
    )
    world.find(repeats=1)
    assert all(same for same, _ in seen) and len({rate for _, rate in seen}) == 12
    assert float(lr) == np.float32(0.01)


def test_a_trace_and_a_schedule_do_not_take_notice():
    world = World(SGD, MOMENTUM)
    order, calls = [], []
    trace = LRTrace(world.optimizer)
    scheduler = ScheduledLR(world.optimizer, Ramp(8))
    world.optimizer.register_step_pre_hook(lambda *_: calls.append(1))
    for step in range(8):
        if step == 3:
            # Added before the test: the schedule must not take the test's rate for its peak.
            late = {"params": [nn.Parameter(torch.zeros(1))], "lr": 0.5}
            world.optimizer.add_param_group(late)
            state = copy.deepcopy(scheduler.state_dict())
            order = list(world.optimizer._optimizer_step_pre_hooks.values())
            world.find(repeats=1)
            assert order == list(world.optimizer._optimizer_step_pre_hooks.values())
            assert state == scheduler.state_dict() and len(trace) == 3
        world.train(1)
        scheduler.step()
    trace.assert_matches(Ramp(8), 0.01)
    trace.assert_matches(Ramp(8), 0.5, group=1)
    assert len(calls) == 8 + 12  # other hooks belong to the training


def test_nor_do_they_after_an_update_that_raised():
    """It leaves a trace and a schedule in the middle of an update."""
    world = World(SGD, MOMENTUM)
    trace, scheduler = LRTrace(world.optimizer), ScheduledLR(world.optimizer, Ramp(8))
    broken = world.optimizer.register_step_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        world.optimizer.step()
    broken.remove()
    state = copy.deepcopy(scheduler.state_dict())
    world.find(repeats=1)
    assert len(trace) == 0 and scheduler.state_dict() == state


def test_torchs_scheduler_still_notices_a_wrong_order():
    world = World(SGD, MOMENTUM)
    scheduler = StepLR(world.optimizer, 5)
    world.find()
    with pytest.warns(UserWarning, match=r"before `optimizer.step\(\)`"):
        scheduler.step()


def test_it_stops_on_divergence():
    _, optimizer, step = quadratic()
    found = find_lr(optimizer, step, end_lr=1e4, num_iter=200, repeats=1)
    losses = found.losses[0]
    last = np.flatnonzero(~np.isnan(losses))[-1]
    assert np.isnan(losses[last + 1 :]).all() and last < 190
    assert sorted(losses[last - 2 : last + 1])[1] > 4 * 9 >= sorted(losses[last - 3 : last])[1]


def recorded(*losses, **arguments):
    """How many losses are recorded where `train_step` returns these."""
    w, left = nn.Parameter(torch.ones(1)), iter(losses)

    def step():
        w.grad = torch.zeros(1)
        return next(left)

    found = find_lr(SGD([w], lr=0.1), step, num_iter=len(losses) - 1, repeats=1, **arguments)
    return int(np.isfinite(found.losses).sum())


FALL = [5.0, 4.9, 3.0, 2.9, 2.8, *np.arange(2.7, 0.95, -0.1)]  # the median of its start is 3
CLIMB = np.arange(1.25, 30, 0.25)


@pytest.mark.parametrize(
    ("first", "factor", "last"),
    [
        (FALL, 4.0, 9.0),  # 3 + 3 · (3 − 1)
        (FALL, 2.0, 5.0),  # 3 + 1 · (3 − 1)
        ([1.0] * 6, 4.0, 1 + 3 * 4 * 1.48 * 0.25 / math.sqrt(2)),  # the noise, of steps of 0.25
    ],
    ids=["a fall", "a smaller factor", "no fall but noise"],
)
def test_where_a_test_ends(first, factor, last):
    """When the median of three, the last but one of a climb, is above `last`."""
    first = np.array(first)
    middle = np.flatnonzero(CLIMB > last + 1e-9)[0]
    count = recorded(*first, *CLIMB, diverge_factor=factor)
    assert count == len(first) + middle + 1  # the first loss of all is not recorded


def test_a_test_does_not_end_in_its_first_five_losses():
    assert recorded(1.0, 1.1, 1.0, 90.0, 90.0, 1.0, 1.0, 1.1, 1.0, 1.1, 1.0) == 10


def test_it_stops_on_a_loss_that_is_not_finite_before_it_is_used():
    w, optimizer, step = quadratic()
    calls, weights = 0, []
    optimizer.register_step_post_hook(lambda *_: weights.append(w.item()))

    def sick():
        nonlocal calls
        calls += 1
        return step() * (float("nan") if calls == 20 else 1)

    found = find_lr(optimizer, sick, num_iter=50, repeats=1)
    assert calls == 20 and len(weights) == 19
    assert found.losses[0, 18] == np.inf and np.isnan(found.losses[0, 19:]).all()


def test_a_loss_that_is_negative_does_not_stop_it():
    _, optimizer, step = quadratic()
    calls = 0

    def negative():
        nonlocal calls
        calls += 1
        return step() - 1000

    find_lr(optimizer, negative, end_lr=0.5, num_iter=30, repeats=1)
    assert calls == 31


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda o, s: (o, lambda: (s(), o.step())[0]), RuntimeError, "must not step the optimizer"),
        (lambda o, s: (o, lambda: 1.0), RuntimeError, "train_step left no gradients"),
        (lambda o, s: (o, lambda: s() * np.nan), ValueError, "finite loss before .* got nan"),
        (lambda o, s: (o, lambda: (s(), None)[1]), TypeError, "train_step must return .* got None"),
        (lambda o, s: (o, lambda: s().expand(2)), TypeError, "train_step must return .*tensor"),
    ],
)
def test_a_step_that_does_not_do_what_it_should(change, error, message):
    w, optimizer, step = quadratic()
    with pytest.raises(error, match=message):
        find_lr(*change(optimizer, step))
    assert w.item() == 3 and w.grad is None and optimizer.param_groups[0]["lr"] == 0.1


def test_lazy_parameters_are_refused():
    model = nn.LazyLinear(3)
    with pytest.raises(ValueError, match="find_lr: model must have been run once"):
        find_lr(SGD(model.parameters(), lr=0.1), lambda: 1.0, model=model)


def test_an_optimizer_that_needs_a_closure_is_left_as_it_was():
    w, optimizer, step = quadratic(kind=torch.optim.LBFGS)
    with pytest.raises(TypeError, match="closure"):
        find_lr(optimizer, step)
    assert w.item() == 3


# --- the convenience form


def loader(n=40, batch=16, **options):
    return DataLoader(TensorDataset(X[:n], Y[:n]), batch_size=batch, shuffle=True, **options)


def test_a_loader_shorter_than_the_test_is_started_over():
    torch.manual_seed(0)
    model, sizes = Net(), []
    model.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    optimizer = SGD(model.parameters(), lr=0.1)
    find_lr(optimizer, training_step(model, F.cross_entropy, loader()), num_iter=20, repeats=1)
    assert sizes == ([16, 16, 8] * 7)[:21]


@pytest.mark.parametrize("own", [False, True])
def test_the_convenience_form_knows_its_model_and_leaves_no_trace(own):
    torch.manual_seed(0)
    model = Net().eval()
    criterion = nn.CrossEntropyLoss()
    generator = torch.Generator().manual_seed(4) if own else None
    batches = loader(generator=generator)
    optimizer = AdamW(model.parameters(), lr=0.1)

    def state():
        return copy.deepcopy(
            [
                model.state_dict(),
                model.calls,
                optimizer.state_dict(),
                [m.training for m in model.modules()],
                torch.get_rng_state(),
                generator and generator.get_state(),
            ]
        )

    before = state()
    step = training_step(model, criterion, batches)
    first = find_lr(optimizer, step, num_iter=12)
    assert_same(before, state())
    assert step.state_dict()["generators"] == [] or own
    second = find_lr(optimizer, training_step(model, criterion, batches), num_iter=12)
    assert_same(first.losses, second.losses)
    assert len({row.tobytes() for row in first.losses}) == 3  # the repeats see other batches


def test_it_trains_a_model_in_eval_mode_but_keeps_frozen_parts_frozen():
    model, modes = Net().eval(), []
    model.register_forward_pre_hook(lambda m, _: modes.append((m.training, m.frozen.training)))
    step = training_step(model, F.cross_entropy, loader())
    step()
    model.frozen.eval()
    step()
    assert modes == [(True, True), (True, False)]


@pytest.mark.parametrize(
    ("batches", "error"),
    [([], ValueError), (iter([(X, Y)]), ValueError), ([X], TypeError), ([{"x": X}], TypeError)],
)
def test_a_loader_that_does_not_give_pairs(batches, error):
    step = training_step(nn.Linear(6, 3), F.cross_entropy, batches)
    with pytest.raises(error, match="training_step: loader must"):
        step(), step()


# --- reading curves


def curve(x, middle=-2.5, width=0.25, blow_up=-0.7, sharpness=0.1, high=2.3, low=0.5):
    """A loss that falls in a sigmoid of the logarithm x of the rate, and then blows up.

    What a rule should answer on it is known: `exact` has it from the formula on a fine grid.
    """
    fall = (high - low) / (1 + np.exp((x - middle) / width))
    return low + fall + 0.5 * np.exp((x - blow_up) / sharpness)


def exact(**shape):
    """The rates of each rule by its definition, without noise or smoothing."""
    x = np.linspace(-6, 1, 70_001)
    losses = curve(x, **shape)
    bottom = losses.argmin()
    kept = losses < losses[bottom] + 0.2 * (losses[0] - losses[bottom])
    return {
        "steepest": 10 ** x[np.gradient(losses)[:bottom].argmin()],
        "minimum_10": 10 ** x[bottom] / 10,
        "default": 10 ** x[kept][[0, -1]].mean() / 2,
    }


def noisy(noise, seed, repeats=3, **shape):
    """The result for such a curve; the noise is relative, and a test ends at 4 times the start."""
    x, rng = np.linspace(-6, 1, 100), np.random.default_rng(seed)
    losses = curve(x, **shape) * (1 + noise * rng.standard_normal((repeats, 100)))
    for row in losses:
        stop = np.flatnonzero(row > 4 * 2.3)
        row[stop[0] + 1 if stop.size else 100 :] = np.nan
    return LRFinderResult(10**x, losses)


SHAPES = {
    "plain": {},
    "gentle": {"middle": -3, "width": 0.5},
    "narrow": {"middle": -1.5, "width": 0.15, "blow_up": -0.9},
    "early": {"middle": -4, "blow_up": -2.5},
    "slow blow-up": {"sharpness": 0.3},
    "shallow": {"low": 1.8},
}


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.05, 0.1])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_default_is_within_a_factor_of_two(shape, noise):
    right = exact(**SHAPES[shape])["default"]
    found = [noisy(noise, seed, **SHAPES[shape]) for seed in range(50)]
    rates = np.array([result.default for result in found])
    assert np.abs(np.log2(rates / right)).max() <= 1
    assert all(s.low <= s.high for result in found for s in [result.suggestions["default"]])


@pytest.mark.parametrize("noise", [0.0, 0.05])
@pytest.mark.parametrize("name", ["steepest", "minimum_10"])
def test_other_rules_find_what_they_are_after(name, noise):
    right = exact()[name]
    rates = [noisy(noise, seed).suggestions[name].rate for seed in range(50)]
    assert np.abs(np.log2(np.array(rates) / right)).max() <= 1


def test_one_test_alone_is_good_enough_on_the_plain_curve():
    rates = [noisy(0.1, seed, repeats=1).default for seed in range(200)]
    assert np.abs(np.log2(np.array(rates) / exact()["default"])).max() <= 1


def test_smoothing_has_no_lag_and_keeps_straight_lines():
    rates = np.geomspace(1e-6, 1, 61)
    line = 3 - 0.4 * np.log10(rates)
    assert smooth(rates, line, 0.3) == pytest.approx(line)
    step = np.where(rates > 1e-3, 0.0, 1.0)
    assert smooth(rates, step, 0.3)[:30].mean() > 0.9
    i = 30  # the step lies half way between points 30 and 31, and so does the smoothed one
    assert smooth(rates, step, 0.3)[[i, i + 1]].mean() == pytest.approx(0.5)
    assert smooth(rates, step, 0.0) is not step and (smooth(rates, step, 0.0) == step).all()
    rng = np.random.default_rng(0)
    assert smooth(rates, rng.standard_normal(61), 0.3).std() < 0.5


STORED = json.loads(Path(__file__).with_name("lr_finder_curves.json").read_text())
# Each rule's rate, with the least and the greatest of the repeats, as far as there are any.
GOLDEN = {
    "digits": {
        "default": (0.3900241, 0.3722925, 0.4006626),
        "steepest": (0.3625117, 0.3625117, 0.4581598),
        "minimum_10": (0.09249147, 0.07318242, 0.09249147),
        "valley": (0.02758532, 0.03486365, 0.05568814),
    },
    "mnist1d": {
        "default": (0.006491316,),
        "steepest": (0.006260517,),
        "minimum_10": (0.001420831,),
        "valley": (0.0007038136,),
    },
    "squares": dict.fromkeys(RULES, ()),
    "whole batches": {
        "default": (0.1426737, 0.1426733, 0.1426742),
        "steepest": (0.1314147, 0.1314147, 0.1314147),
        "minimum_10": (0.03352924, 0.03352924, 0.03352924),
        "valley": (0.004237587, 0.004237587, 0.004237587),
    },
}
# The smoothed curve's length, first, middle and last loss; its minimum, edge and floor.
GOLDEN_CURVES = {
    "digits": (49, (2.335718, 2.314633, 2.45753), (0.9249147, 1.48712, 0.7800482)),
    "mnist1d": (51, (2.336702, 2.300721, 2.622289), (0.01420831, 0.02407618, 0.01298263)),
    "squares": (49, (7.905365, 7.288126, 13.59), (0.03625117, 0.05086891, 0.03242762)),
    "whole batches": (39, (8.214634, 8.014288, 9.214146), (0.3352924, 0.5206303, 0.2853475)),
}


@pytest.mark.parametrize("name", STORED)
def test_what_is_read_from_stored_curves(name):
    """Real tests, with losses rounded to five digits, and what was read from them when stored."""
    stored = STORED[name]
    losses = np.array(stored["losses"])
    rates = np.geomspace(stored["start_lr"], stored["end_lr"], losses.shape[1])
    found = LRFinderResult(rates, losses)
    size, heights, read = GOLDEN_CURVES[name]
    smoothed = found.smoothed
    assert smoothed.size == size
    assert smoothed[[0, size // 2, -1]] == pytest.approx(heights, rel=1e-6)
    again = [rule(rates[:size], smoothed) for rule in (minimum, edge, floor)]
    assert again == pytest.approx(read, rel=1e-6)
    assert (found.reason or "").startswith("no descent: ") is (name == "squares")
    for rule, wanted in GOLDEN[name].items():
        it = found.suggestions[rule]
        rates_read = [rate for rate in (it.rate, it.low, it.high) if rate is not None]
        assert rates_read == pytest.approx(list(wanted), rel=1e-6), rule


@pytest.mark.parametrize("n", [50, 100, 400])
def test_the_answer_does_not_depend_on_the_number_of_points(n):
    x = np.linspace(-6, 1, n)
    found = LRFinderResult(10**x, np.minimum(curve(x), 9.2))
    assert abs(np.log2(found.default / exact()["default"])) < 0.4


def test_rules_by_hand():
    rates = np.geomspace(1e-4, 1, 9)  # half a decade apart
    losses = np.array([2.0, 2.0, 1.9, 1.0, 0.4, 0.3, 0.5, 1.5, 4.0])
    assert steepest(rates, losses) == rates[3]
    assert minimum(rates, losses) == rates[5] and minimum_10(rates, losses) == rates[5] / 10
    # Level (2 + 0.3) / 2 = 1.15 lies 0.65 of the way from 0.5 to 1.5.
    assert edge(rates, losses) == pytest.approx(10 ** (-1 + 0.5 * 0.65))
    # Level 0.3 + (2 - 0.3) / 5 = 0.64: 0.4 of the way from 0.4 to 1.0, 0.14 from 0.5 to 1.5.
    ends = -2 - 0.5 * 0.4, -1 + 0.5 * 0.14
    assert floor(rates, losses) == pytest.approx(10 ** (sum(ends) / 2))
    assert floor_2(rates, losses) == floor(rates, losses) / 2
    # The longest fall is 2, 1.9, 1, 0.4, 0.3: five points up to number 5, from number 0 on.
    assert valley(rates, losses) == rates[0 + 1 + 0]


def test_valley_ends_where_the_longest_fall_ends():
    rates = np.geomspace(1e-3, 1, 13)
    losses = np.array([5, 9, 8, 7, 6, 7.5, 5, 4, 3, 2, 1, 6, 9.0])
    assert valley(rates, losses) == rates[10 - 9 + 3 + 1]  # 9, 8, 7, 6, 5, 4, 3, 2, 1


@pytest.mark.parametrize("rule", [steepest, edge, floor, floor_2, valley])
def test_a_rule_finds_nothing_on_a_rising_curve(rule):
    rates = np.geomspace(1e-3, 1, 12)
    assert rule(rates, np.linspace(1, 2, 12)) is None


def test_edge_needs_a_climb_and_floor_does_not():
    rates, losses = np.geomspace(1e-3, 1, 12), np.linspace(2, 1, 12)
    assert edge(rates, losses) is None
    assert 0.1 < floor(rates, losses) < 1


# --- refusing


def flat(seed, repeats):
    return 2.3 * (1 + 0.1 * np.random.default_rng(seed).standard_normal((repeats, 100)))


@pytest.mark.parametrize("repeats", [1, 3])
def test_a_curve_of_noise_is_refused(repeats):
    x = np.linspace(-6, 1, 100)
    found = [LRFinderResult(10**x, flat(seed, repeats)) for seed in range(200)]
    assert np.mean([result.reason is not None for result in found]) >= 0.95
    assert np.mean(["no descent" in (result.reason or "") for result in found]) >= 0.9


@pytest.mark.parametrize("level", [0.0, 5.0, -3.3, 1000.0, 0.1, 2.302585, 1e-9, 1e7])
@pytest.mark.parametrize("dtype", [None, torch.float64, torch.float32, torch.bfloat16])
def test_a_loss_that_stands_still_is_refused_whatever_its_level(level, dtype):
    parameter = nn.Parameter(torch.ones(2))

    def train_step():
        parameter.grad = torch.zeros(2)
        return level if dtype is None else torch.tensor(level, dtype=dtype)

    result = find_lr(SGD([parameter], lr=0.1), train_step)
    assert result.reason.startswith("no descent: ")
    assert all(found.rate is None for found in result.suggestions.values())


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("level", [5.0, 0.1, 800.0])
def test_so_is_one_that_moves_by_its_rounding(level, dtype):
    x, rng = np.linspace(-6, 1, 100), np.random.default_rng(2)
    for share in (0.1, 0.3, 0.5):
        up = rng.random((3, 100)) < share
        losses = np.where(up, np.nextafter(dtype(level), dtype(np.inf)), dtype(level))
        assert LRFinderResult(10**x, losses).reason.startswith("no descent: ")


@pytest.mark.parametrize("level", [0.0, 10.0, 1e4])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_fall_above_the_rounding_is_believed_at_any_level(level, dtype):
    x = np.linspace(-6, 1, 100)
    low = LRFinderResult(10**x, np.minimum(curve(x), 9.2).astype(dtype))
    high = LRFinderResult(10**x, (np.minimum(curve(x), 9.2) + level).astype(dtype))
    assert high.default == pytest.approx(low.default, rel=0.02)


@pytest.mark.parametrize("frozen", ["head", "dead"])
def test_so_is_a_network_that_does_not_train(frozen):
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1))
    with torch.no_grad():
        net[0].bias.fill_(-100 if frozen == "dead" else 0)
    head = [*net[2].parameters()]
    for parameter in head[1:] if frozen == "dead" else head:
        parameter.requires_grad_(False)
    other = nn.Parameter(torch.ones(3))
    trained = [*net[0].parameters(), head[0]] if frozen == "dead" else [other]
    optimizer = SGD(trained, lr=0.1)

    def train_step():
        optimizer.zero_grad()
        loss = (net(X) - 0.7).square().mean() + 0 * other.sum()
        loss.backward()
        return loss.detach()

    assert find_lr(optimizer, train_step).reason.startswith("no descent: ")


@pytest.mark.parametrize(("fall", "refused"), [(0.25, True), (0.27, False)])
def test_a_fall_is_believed_from_five_standard_errors_of_a_smoothed_loss_on(fall, refused):
    """As many losses count as the window covers: half or twice as many would move this by √2."""
    x, rng = np.linspace(-6, 1, 100), np.random.default_rng(3)
    losses = curve(x, low=2.3 - fall) + 0.2 * rng.standard_normal(100)
    reason = LRFinderResult(10**x, np.minimum(losses, 9.2)).reason
    assert (reason or "").startswith("no descent") is refused


def test_a_curve_that_only_blows_up_is_refused():
    x = np.linspace(-6, 1, 100)
    rise = 0.5 * np.exp((x + 0.7) / 0.1)
    blown_up = np.where(rise > 7, np.nan, rise)
    found = [LRFinderResult(10**x, flat(seed, 3) + blown_up) for seed in range(100)]
    assert np.mean(["no descent" in (result.reason or "") for result in found]) >= 0.95


def test_a_curve_that_does_not_blow_up_is_refused():
    x = np.linspace(-6, 1, 100)
    result = LRFinderResult(10**x, curve(x, blow_up=5))
    assert result.reason.startswith("no divergence: at 10, ")
    assert set(result.suggestions) == set(RULES)
    assert all(found.rate is None for found in result.suggestions.values())
    for use in (lambda: result.default, result.group_rates, lambda: result.rate("valley")):
        with pytest.raises(NoSuggestionError, match=r"find_lr: no divergence.* raise end_lr"):
            use()
    assert str(result).startswith("no suggestion: no divergence")


def test_a_rate_that_was_too_high_from_the_start_is_refused():
    _, optimizer, step = quadratic()
    result = find_lr(optimizer, step, start_lr=2.0, end_lr=100.0)
    assert "no descent" in result.reason


def test_it_works_on_a_real_problem():
    """Full batch, one layer: gradient descent diverges a little above 2 / curvature."""
    torch.manual_seed(0)
    model = nn.Linear(6, 1)
    target = X @ torch.ones(6, 1)
    optimizer = SGD(model.parameters(), lr=1.0)
    found = find_lr(optimizer, training_step(model, F.mse_loss, [(X, target)]), end_lr=100.0)
    moments = X.T @ X / 64
    limit = 2 / (2 * torch.linalg.eigvalsh(moments).max().item())
    assert found.reason is None
    assert limit / 5 < found.default < limit
    assert found.group_rates() == (found.default,)
    assert found.rate("steepest") == found.suggestions["steepest"].rate
    lines = str(found).splitlines()
    assert [line.split()[0] for line in lines] == list(RULES) and " to " in lines[0]


def test_one_repeat_has_no_spread():
    found = noisy(0.02, 0, repeats=1).suggestions["default"]
    assert found.rate > 0 and found.low is None and found.high is None


# --- the picture


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [(7.6, 3.8), (4.5, 3.0)])
def test_the_picture_marks_every_suggestion_and_no_label_lies_on_another(shape, size):
    result = noisy(0.05, 1, **SHAPES[shape])
    figure = plt.figure(figsize=size)
    ax = result.plot(figure.add_subplot())
    figure.canvas.draw()
    assert ax.get_xscale() == "log"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("learning rate", "loss")
    boxes = [text.get_window_extent() for text in ax.texts]
    assert len(boxes) == len(RULES)
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1
    marks = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "o"]
    assert sorted(marks) == sorted(found.rate for found in result.suggestions.values())


def test_the_picture_of_a_refusal_says_so():
    x = np.linspace(-6, 1, 100)
    ax = LRFinderResult(10**x, curve(x, blow_up=5)).plot()
    assert ax.get_title(loc="left") + ax.get_title() == "no suggestion: no divergence"
    assert len(ax.texts) == 0
