"""ScheduledLR: what it applies, and that nothing about resuming changes it."""

import copy
import gc
import io
import pickle
import warnings
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from conftest import SHAPES, Formula, HalfCosine, Ramp, Sawtooth
from torch import nn
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import ConstantLR, SequentialLR
from torch.optim.swa_utils import SWALR

from lrlib import Constant, Cyclical, LRTrace, OneCycle, Schedule, ScheduledLR

STEPS = 12
ADDED_AT = 5  # the update before which the late group joins
SHAPE = SHAPES["nested"]


class World:
    """A small model, its optimizer and scheduler, trained on data that depends on the step only."""

    def __init__(self, config, seed=0, late=False):
        torch.manual_seed(seed)
        self.config, self.late = config, late
        self.model = nn.ModuleList([nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2)])
        self.optimizer = config.optimizer(self.groups())
        if late:
            self.add_late_group()

    def groups(self):
        first, second, _ = (list(layer.parameters()) for layer in self.model)
        if self.config.groups == 1:
            return [{"params": first + second}]
        return [{"params": first}, {"params": second, "lr": self.config.rate(0.02)}]

    def add_late_group(self):
        rate = {} if self.config.groups == 1 else {"lr": self.config.rate(0.3)}
        self.optimizer.add_param_group({"params": list(self.model[2].parameters()), **rate})

    def schedule(self):
        self.scheduler = ScheduledLR(self.optimizer, **self.config.shapes)

    def train(self, start, stop, save=None, between=None):
        trace, without_effect = LRTrace(self.optimizer), []
        for step in range(start, stop):
            if step == ADDED_AT and self.config.late:
                self.add_late_group()
                if self.config.lent:
                    without_effect.append(step - start)
                    self.update_at_rate_0()
            if save is not None:
                save.append(self.checkpoint())
            x = torch.randn(8, 3, generator=torch.Generator().manual_seed(step))
            for layer in self.model:
                x = layer(x).tanh()
            self.optimizer.zero_grad()
            x.square().sum().backward()
            self.optimizer.step()
            if between is not None:
                between.append(self.checkpoint())
            self.scheduler.step(by=self.config.by)
        trace.detach()
        rows = np.stack([trace.lr, trace.momentum, trace.weight_decay]) if len(trace) else None
        return np.delete(rows, without_effect, axis=1) if without_effect else rows

    def update_at_rate_0(self):
        """As libraries make an optimizer's state: rates of 0 are lent, and taken back."""
        rates = [group["lr"] for group in self.optimizer.param_groups]
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = torch.tensor(0.0) if isinstance(rate, torch.Tensor) else 0.0
        self.optimizer.zero_grad()
        self.optimizer.step(closure=None)
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate

    def checkpoint(self):
        file = io.BytesIO()
        parts = (self.model, self.optimizer, self.scheduler)
        torch.save([part.state_dict() for part in parts], file)
        return file.getvalue()


@dataclass(frozen=True)
class Config:
    kind: type = SGD
    options: tuple = (("momentum", 0.9),)
    groups: int = 1
    late: bool = False
    tensor: bool = False
    driven: tuple = ()
    by: int = 1
    lent: bool = False

    def rate(self, value):
        return torch.tensor(value) if self.tensor else value

    def optimizer(self, groups):
        return self.kind(groups, lr=self.rate(0.1), **dict(self.options))

    @property
    def shapes(self):
        return {"shape": SHAPE, **dict(self.driven)}


SGD_MOMENTUM = (("momentum", 0.9), ("weight_decay", 0.01))
DRIVEN = (("momentum", Ramp(6, 1.0, 0.8) * Sawtooth(20)), ("weight_decay", HalfCosine(8)))
ONE_CYCLE, CYCLICAL = OneCycle(10), Cyclical(0.1, 2, 3, "triangular2")
ONE_CYCLE_DRIVEN = (("shape", ONE_CYCLE), ("momentum", ONE_CYCLE.momentum()))
CYCLICAL_DRIVEN = (("shape", CYCLICAL), ("momentum", CYCLICAL.momentum(0.5)))
CONFIGS = {
    "sgd": Config(),
    "sgd, plain": Config(options=()),
    "sgd, for loop, 2 groups": Config(options=(*SGD_MOMENTUM, ("foreach", False)), groups=2),
    "sgd, foreach, late group": Config(options=(*SGD_MOMENTUM, ("foreach", True)), late=True),
    "sgd, fused, 2 + late": Config(options=(*SGD_MOMENTUM, ("fused", True)), groups=2, late=True),
    "sgd, nesterov, driven, 2 + late": Config(
        options=(*SGD_MOMENTUM, ("nesterov", True)), groups=2, late=True, driven=DRIVEN
    ),
    "sgd, tensor, 2 + late": Config(groups=2, late=True, tensor=True),
    "sgd, tensor, late shares the default": Config(late=True, tensor=True),
    "adamw": Config(AdamW, ()),
    "adamw, foreach, driven": Config(AdamW, (("foreach", True),), driven=DRIVEN),
    "adamw, amsgrad, driven, 2 + late": Config(
        AdamW, (("amsgrad", True),), groups=2, late=True, driven=DRIVEN
    ),
    "adamw, fused, 2 + late": Config(AdamW, (("fused", True),), groups=2, late=True),
    "adamw, tensor, for loop, driven, 2 + late": Config(
        AdamW, (("foreach", False),), groups=2, late=True, tensor=True, driven=DRIVEN
    ),
    "adamw, tensor, fused, late": Config(AdamW, (("fused", True),), late=True, tensor=True),
    "sgd, one-cycle and its momentum, 2 + late": Config(
        options=SGD_MOMENTUM, groups=2, late=True, driven=ONE_CYCLE_DRIVEN
    ),
    "sgd, cyclical and its momentum": Config(driven=CYCLICAL_DRIVEN),
    "adamw, one-cycle and its beta1": Config(AdamW, (), driven=ONE_CYCLE_DRIVEN),
    "adamw, tensor, cyclical and its beta1, 2 + late": Config(
        AdamW, (("foreach", False),), groups=2, late=True, tensor=True, driven=CYCLICAL_DRIVEN
    ),
    "sgd, a shape per group": Config(groups=2, driven=(("shape", (SHAPE, Ramp(20))),)),
    "adamw, a shape and a floor per group, driven": Config(
        AdamW,
        (),
        groups=2,
        driven=(("shape", (Ramp(20), SHAPE)), ("min_lr", (0.02, 0.01)), *DRIVEN),
    ),
    "sgd, tokens, 2 + late": Config(groups=2, late=True, by=3),
    "adamw, tensor, tokens": Config(AdamW, (), tensor=True, by=3),
    "sgd, self-driving, 2 + late": Config(
        groups=2, late=True, driven=(("self_driving", True), *DRIVEN[:1])
    ),
    "adamw, fused, self-driving": Config(
        AdamW, (("fused", True),), driven=(("self_driving", True),)
    ),
    "sgd, rates lent to the late group": Config(options=SGD_MOMENTUM, late=True, lent=True),
    "adamw, tensor, rates lent to the late group": Config(
        AdamW, (), groups=2, late=True, tensor=True, lent=True
    ),
    "sgd, self-driving, rates lent to the late group": Config(
        late=True, lent=True, driven=(("self_driving", True),)
    ),
    **{f"sgd, {name}": Config(driven=(("shape", shape),)) for name, shape in SHAPES.items()},
}


def load(world, order, optimizer_state, scheduler_state):
    if order == "build, optimizer, scheduler":
        world.schedule()
        world.optimizer.load_state_dict(optimizer_state)
        world.scheduler.load_state_dict(scheduler_state)
    elif order == "optimizer, build, scheduler":
        world.optimizer.load_state_dict(optimizer_state)
        world.schedule()
        world.scheduler.load_state_dict(scheduler_state)
    else:
        world.schedule()
        world.scheduler.load_state_dict(scheduler_state)
        world.optimizer.load_state_dict(optimizer_state)


ORDERS = (
    "build, optimizer, scheduler",
    "optimizer, build, scheduler",
    "build, scheduler, optimizer",
)


def same(a, b):
    """Equal to the last bit, through nested containers."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


QUIET = ("error", "ignore::ResourceWarning", "ignore:ScheduledLR. the schedule ended at step")


@pytest.mark.filterwarnings(*QUIET)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", CONFIGS)
def test_resuming_at_any_step_is_bit_identical(name, order):
    config = CONFIGS[name]
    whole, saved, between = World(config), [], []
    whole.schedule()
    rows = whole.train(0, STEPS, saved, between)
    assert len(saved) == len(between) == STEPS
    # A state saved between the two calls goes on with the next update; with the first one, nothing
    # says yet how many tokens an update is.
    states = list(enumerate(saved))
    states += [(k + 1, file) for k, file in enumerate(between) if k or config.by == 1]
    for k, file in states[:-1]:
        model, optimizer, scheduler = torch.load(io.BytesIO(file), weights_only=True)
        # The checkpoint of step ADDED_AT was taken just after the late group joined, the one
        # between two calls just before.
        joined = len(optimizer["param_groups"]) == len(whole.optimizer.param_groups)
        world = World(config, seed=99, late=config.late and joined)
        world.model.load_state_dict(model)
        load(world, order, optimizer, scheduler)
        world.config = Config(**{**vars(config), "late": config.late and not joined})
        resumed = world.train(k, STEPS)
        assert np.array_equal(resumed, rows[:, k:, : resumed.shape[-1]], equal_nan=True), k
        assert same(world.model.state_dict(), whole.model.state_dict()), k
        assert same(world.optimizer.state_dict(), whole.optimizer.state_dict()), k
        assert same(world.scheduler.state_dict(), whole.scheduler.state_dict()), k


def sgd(lr=0.1, groups=1, **options):
    parameters = [{"params": [nn.Parameter(torch.zeros(2))]} for _ in range(groups)]
    return SGD(parameters, lr=lr, **options)


def adamw(**options):
    return AdamW([nn.Parameter(torch.zeros(2))], lr=0.1, **options)


def drive(optimizer, scheduler, steps):
    for _ in range(steps):
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize("name", SHAPES)
def test_applied_rates_are_exactly_peak_times_shape(name):
    shape, peaks = SHAPES[name], (0.1, 0.037, 3.0)
    optimizer = sgd(groups=3)
    for group, peak in zip(optimizer.param_groups, peaks, strict=True):
        group["lr"] = peak
    trace = LRTrace(optimizer)
    drive(optimizer, ScheduledLR(optimizer, shape), 30)
    assert trace.lr.tolist() == [[peak * shape(t) for peak in peaks] for t in range(30)]
    trace.assert_matches(shape, peaks[2], group=2)


@pytest.mark.parametrize("name", SHAPES)
def test_tensor_rates_are_the_rounding_of_the_plan_written_in_place(name):
    shape, rate = SHAPES[name], torch.tensor(0.1)
    optimizer, peak = sgd(rate), float(rate)
    trace = LRTrace(optimizer)
    drive(optimizer, ScheduledLR(optimizer, shape), 30)
    assert optimizer.param_groups[0]["lr"] is rate
    assert trace.lr[:, 0].tolist() == [float(np.float32(peak * shape(t))) for t in range(30)]


@pytest.mark.parametrize("build", [sgd, adamw])
def test_momentum_and_weight_decay_follow_their_schedules(build):
    optimizer = build(weight_decay=0.01, **({"momentum": 0.8} if build is sgd else {}))
    base = 0.8 if build is sgd else 0.9
    trace = LRTrace(optimizer)
    scheduler = ScheduledLR(optimizer, Ramp(5), momentum=HalfCosine(9), weight_decay=Sawtooth(4))
    drive(optimizer, scheduler, 15)
    trace.assert_matches(HalfCosine(9), base, quantity="momentum")
    trace.assert_matches(Sawtooth(4), 0.01, quantity="weight_decay")
    trace.assert_matches(Ramp(5), 0.1)
    if build is adamw:
        assert optimizer.param_groups[0]["betas"][1] == 0.999


def test_tensor_betas_are_written_in_place():
    betas = torch.tensor(0.9), torch.tensor(0.999)
    optimizer = adamw(betas=betas, foreach=False)
    ScheduledLR(optimizer, Constant(), momentum=Constant(0.5))
    assert optimizer.param_groups[0]["betas"][0] is betas[0]
    assert float(betas[0]) == np.float32(0.5 * float(np.float32(0.9)))


@pytest.mark.parametrize("trace_first", [True, False])
def test_a_trace_built_before_or_after_sees_the_same(trace_first):
    optimizer = sgd()
    if trace_first:
        trace = LRTrace(optimizer)
    scheduler = ScheduledLR(optimizer, Ramp(4))
    if not trace_first:
        trace = LRTrace(optimizer)
    drive(optimizer, scheduler, 2)
    optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))], "lr": 5.0})
    drive(optimizer, scheduler, 3)
    expected = [[0.1 * Ramp(4)(t), 5.0 * Ramp(4)(t) if t >= 2 else np.nan] for t in range(5)]
    assert np.array_equal(trace.lr, expected, equal_nan=True)


def test_groups_that_share_a_rate_tensor_get_one_each():
    rate = torch.tensor(0.5)
    optimizer = sgd(rate, groups=2)
    scheduler = ScheduledLR(optimizer, Constant(1, 2).then(Constant(0.5)))
    drive(optimizer, scheduler, 3)
    optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))]})
    optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))]})
    drive(optimizer, scheduler, 1)
    rates = [group["lr"] for group in optimizer.param_groups]
    assert rates[0] is rate and len({id(r) for r in rates}) == 4
    assert scheduler.base_lrs == (0.5,) * 4
    assert [float(r) for r in rates] == [0.25] * 4
    assert float(optimizer.defaults["lr"]) == 0.5


def test_what_others_write_into_the_groups_is_never_read_back():
    optimizer = sgd(momentum=0.9)
    trace = LRTrace(optimizer)
    scheduler = ScheduledLR(optimizer, Ramp(5), momentum=Ramp(5))
    for step in range(8):
        optimizer.step()
        optimizer.param_groups[0].update(lr=123.0, momentum=0.123)
        if step == 5:  # a detour by way of the saved state, in the middle of an update
            scheduler.load_state_dict(scheduler.state_dict())
        if step == 0:
            with pytest.warns(UserWarning, match="something else writes rates"):
                scheduler.step()
        else:
            scheduler.step()
    trace.assert_matches(Ramp(5), 0.1)
    trace.assert_matches(Ramp(5), 0.9, quantity="momentum")


def test_it_is_a_torch_scheduler():
    scheduler = ScheduledLR(sgd(groups=2), Ramp(5))
    assert isinstance(scheduler, torch.optim.lr_scheduler.LRScheduler)
    assert not hasattr(scheduler, "total_steps")  # a popular launcher stops those that have it
    assert scheduler.get_last_lr() == scheduler.get_lr() == [0.1 * Ramp(5)(0)] * 2
    drive(scheduler.optimizer, scheduler, 3)
    assert scheduler.last_epoch == 3
    assert scheduler._step_count == 4  # what torch's own would have
    assert scheduler.get_last_lr() == [g["lr"] for g in scheduler.optimizer.param_groups]
    assert scheduler.base_lrs == (0.1, 0.1)
    assert scheduler.shape == Ramp(5)


def test_building_and_stepping_in_the_right_order_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        optimizer = sgd()
        scheduler = ScheduledLR(optimizer, Ramp(5))
        drive(optimizer, scheduler, 3)
        resumed = ScheduledLR(sgd(), Ramp(5))
        resumed.load_state_dict(scheduler.state_dict())
        resumed.step()  # after resuming, the update belongs to the other life


def test_the_wrong_order_warns_exactly_once():
    optimizer = sgd()
    scheduler = ScheduledLR(optimizer, Ramp(5))
    with pytest.warns(UserWarning, match=r"before any optimizer\.step") as caught:
        for _ in range(4):
            scheduler.step()
            optimizer.step()
    assert len(caught) == 1


def test_a_discarded_scheduler_acts_no_more():
    optimizer = sgd()
    trace = LRTrace(optimizer)
    scheduler = ScheduledLR(optimizer, Ramp(5))
    drive(optimizer, scheduler, 2)
    del scheduler
    gc.collect()
    optimizer.param_groups[0]["lr"] = 0.7
    optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))], "lr": 0.6})
    optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer.step()
    assert trace.lr[2:].tolist() == [[0.7, 0.6]] * 2


def test_a_second_scheduler_starts_from_the_first_ones_base():
    optimizer = sgd()
    drive(optimizer, ScheduledLR(optimizer, Ramp(5)), 5)
    assert ScheduledLR(optimizer, Constant()).base_lrs == (0.1,)


def test_a_deep_copy_of_the_optimizer_is_free_and_can_be_scheduled_anew():
    optimizer = sgd(torch.tensor(0.5))
    scheduler = ScheduledLR(optimizer, Constant(0.5))
    twin = copy.deepcopy(optimizer)
    drive(twin, ScheduledLR(twin, Sawtooth(4)), 1)
    assert float(twin.param_groups[0]["lr"]) == 0.375
    assert float(optimizer.param_groups[0]["lr"]) == 0.25
    assert scheduler.last_epoch == 0


def scaled_attempts(kind, fused, overflows):
    """One attempt at an update for each entry; a gradient scaler skips those that overflow."""
    parameter = nn.Parameter(torch.ones(2))
    optimizer = kind([parameter], lr=0.1, fused=fused)
    trace, scheduler = LRTrace(optimizer), ScheduledLR(optimizer, Ramp(5))
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**4)
    for overflow in overflows:
        scale = scaler.get_scale()
        optimizer.zero_grad()
        scaler.scale(parameter.sum() * (float("inf") if overflow else 1)).backward()
        scaler.step(optimizer)
        scaler.update()
        yield scaler.get_scale() < scale, trace, scheduler


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("kind", [SGD, AdamW])
def test_updates_that_a_gradient_scaler_skips_are_not_counted(kind, fused):
    for attempt in scaled_attempts(kind, fused, [0, 1, 0, 1, 0, 0]):
        skipped, trace, scheduler = attempt
        if not skipped:
            scheduler.step()
    assert scheduler.last_epoch == len(trace) == 4
    trace.assert_matches(Ramp(5), 0.1)


@pytest.mark.parametrize("fused", [False, True])
def test_a_scaler_that_skips_the_first_update_is_mentioned_in_the_warning(fused):
    ((skipped, trace, scheduler),) = scaled_attempts(SGD, fused, [1])
    assert skipped and len(trace) == 0
    with pytest.warns(UserWarning, match="gradient scaler"):
        scheduler.step()


@pytest.mark.parametrize("order", ORDERS)
def test_extending_a_run_is_legal_and_said_aloud(order):
    config = Config()
    short = World(config)
    short.schedule()
    short.train(0, 6)
    longer = World(Config(driven=(("shape", Ramp(50)),)))
    with pytest.warns(UserWarning, match=r"step 6 with another schedule of lr: saved .*Ramp\(tot"):
        load(longer, order, short.optimizer.state_dict(), short.scheduler.state_dict())
    assert longer.train(6, 9)[0, :, 0].tolist() == [0.1 * Ramp(50)(t) for t in (6, 7, 8)]


def test_another_base_rate_is_replaced_and_said_aloud():
    saved = ScheduledLR(sgd(0.1), Ramp(5)).state_dict()
    scheduler = ScheduledLR(sgd(0.2), Ramp(5))
    with pytest.warns(UserWarning, match=r"saved base lr \[0\.1\] replaces \[0\.2\]"):
        scheduler.load_state_dict(saved)
    assert scheduler.base_lrs == (0.1,)
    assert scheduler.get_last_lr() == [0.1 * Ramp(5)(0)]


def test_driving_something_more_or_less_after_resuming_is_said_aloud():
    plain, driving = (
        ScheduledLR(sgd(momentum=0.9), Ramp(5), momentum=momentum) for momentum in (None, Ramp(3))
    )
    states = plain.state_dict(), driving.state_dict()
    with pytest.warns(UserWarning, match="schedule of momentum: saved Ramp.*, now None"):
        plain.load_state_dict(states[1])
    with pytest.warns(UserWarning, match="schedule of momentum: saved None, now Ramp"):
        driving.load_state_dict(states[0])


GOOD_STATE = {"last_epoch": 3, "base": {"lr": [0.1]}, "shapes": {"lr": repr(Ramp(5))}}


@pytest.mark.parametrize(
    "change",
    [
        {"last_epoch": -1},
        {"last_epoch": 2.5},
        {"last_epoch": "3"},
        {"base": {"lr": [0.1, 0.1]}},
        {"base": {"lr": []}},
        {"base": {"lr": [float("nan")]}},
        {"base": {"lr": [-0.1]}},
        {"base": {"lr": [0.1], "momentum": []}},
        {"base": {"lr": "none"}},
        {"base": [0.1]},
        {"base": None},
        {"shapes": 3},
    ],
    ids=repr,
)
def test_a_state_that_does_not_fit_raises_and_changes_nothing(change):
    scheduler = ScheduledLR(sgd(), Ramp(5))
    drive(scheduler.optimizer, scheduler, 2)
    before = scheduler.state_dict(), copy.deepcopy(scheduler.optimizer.state_dict())
    with pytest.raises(ValueError, match=r"^ScheduledLR: (state_dict|last_epoch) "):
        scheduler.load_state_dict({**GOOD_STATE, **change})
    assert (scheduler.state_dict(), scheduler.optimizer.state_dict()) == before
    scheduler.load_state_dict(GOOD_STATE)
    assert scheduler.last_epoch == 3


def test_what_is_no_state_of_a_scheduler_raises():
    for state in (sgd().state_dict(), {}, None, [1]):
        with pytest.raises(ValueError, match=r"must come from ScheduledLR\.state_dict"):
            ScheduledLR(sgd(), Ramp(5)).load_state_dict(state)


def test_a_shape_that_fails_on_resuming_leaves_the_scheduler_as_it_was():
    scheduler = ScheduledLR(sgd(0.2), Formula(lambda step: -1 if step == 3 else 1))
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="factor at step 3"):
        scheduler.load_state_dict(GOOD_STATE)
    assert (scheduler.last_epoch, scheduler.base_lrs) == (0, (0.2,))


def test_a_step_that_fails_writes_nothing_and_does_not_count():
    optimizer = sgd(momentum=0.5, weight_decay=0.1)
    scheduler = ScheduledLR(optimizer, Ramp(5), weight_decay=Ramp(5), momentum=Ramp(1, 1.0, 2.0))
    optimizer.step()
    before = copy.deepcopy(optimizer.state_dict())
    for _ in range(2):
        with pytest.raises(ValueError, match=r"momentum must stay in \[0, 1\), got 1\.0 at step 1"):
            scheduler.step()
    assert scheduler.last_epoch == 0
    assert optimizer.state_dict() == before


def test_a_momentum_out_of_range_at_once_raises_and_leaves_the_optimizer_alone():
    optimizer = sgd(momentum=0.9)
    with pytest.raises(ValueError, match=r"momentum must stay in \[0, 1\), got 1\.8 at step 0"):
        ScheduledLR(optimizer, Constant(0.5), momentum=Constant(2))
    assert optimizer.param_groups[0]["lr"] == 0.1
    optimizer.step()
    assert optimizer.param_groups[0]["momentum"] == 0.9


def test_what_is_not_there_cannot_be_driven():
    adagrad = torch.optim.Adagrad([nn.Parameter(torch.zeros(1))])
    with pytest.raises(ValueError, match=r"momentum is scheduled, but parameter group 0 has"):
        ScheduledLR(adagrad, Ramp(5), momentum=Ramp(5))
    for name in ("momentum", "weight_decay"):
        with pytest.raises(ValueError, match=rf"{name} is scheduled, but every .* {name}=0;"):
            ScheduledLR(sgd(groups=2), Ramp(5), **{name: Ramp(5)})


@pytest.mark.parametrize("name", ["momentum", "weight_decay"])
def test_a_group_without_what_is_driven_stays_without(name):
    optimizer = sgd(groups=2)
    optimizer.param_groups[0][name] = 0.1
    scheduler = ScheduledLR(optimizer, Ramp(5), **{name: Constant(0.5)})
    drive(optimizer, scheduler, 2)
    optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))]})
    drive(optimizer, scheduler, 2)
    assert [group[name] for group in optimizer.param_groups] == [0.05, 0, 0]


def late_group(lr=5.0):
    return {"params": [nn.Parameter(torch.zeros(1))], "lr": lr}


def hooks(optimizer):
    return [
        *optimizer._optimizer_step_pre_hooks,
        *optimizer._optimizer_load_state_dict_post_hooks,
    ]


@pytest.mark.parametrize("trace_first", [True, False])
def test_a_later_scheduler_takes_over_from_one_that_is_still_referenced(trace_first):
    optimizer = sgd()
    trace = LRTrace(optimizer) if trace_first else None
    old = ScheduledLR(optimizer, Ramp(5))
    new = ScheduledLR(optimizer, Constant(0.01))
    trace = trace or LRTrace(optimizer)
    optimizer.add_param_group(late_group())
    drive(optimizer, new, 1)
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer.step()
    assert trace.lr.tolist() == [[0.1 * 0.01, 5.0 * 0.01]] * 2
    state = old.state_dict()
    for use in (old.step, lambda: old.load_state_dict(state), lambda: setattr(old, "base_lrs", 1)):
        with pytest.raises(RuntimeError, match=r"a later ScheduledLR, or detach\(\), ended"):
            use()
    assert old.get_last_lr() == [0.1 * Ramp(5)(0)] and old.base_lrs == (0.1,)
    assert state == old.state_dict() and state["base"] == {"lr": [0.1]}


def test_a_scheduler_that_cannot_be_built_takes_nothing_over():
    optimizer = sgd()
    scheduler = ScheduledLR(optimizer, Ramp(5))
    with pytest.raises(ValueError, match="momentum is scheduled"):
        ScheduledLR(optimizer, Ramp(5), momentum=Ramp(5))
    drive(optimizer, scheduler, 1)


def test_hooks_of_discarded_schedulers_do_not_pile_up():
    optimizer = sgd()
    for _ in range(5):
        ScheduledLR(optimizer, Ramp(5))
        gc.collect()
    assert len(hooks(optimizer)) == 2


def test_a_scheduler_collected_during_a_step_does_not_disturb_it():
    optimizer = sgd()
    cycle = [ScheduledLR(optimizer, Ramp(5))]
    cycle.append(cycle)
    del cycle

    def collect(*_):
        gc.collect()

    optimizer.register_step_pre_hook(collect)
    optimizer.step()


def test_it_cannot_be_nested_in_a_scheduler_that_rewinds_it():
    optimizer = sgd()
    for order in (1, -1):
        both = [ScheduledLR(optimizer, Ramp(5)), ConstantLR(optimizer)][::order]
        with pytest.raises(AttributeError, match=r"last_epoch cannot be set.* a\.then\(b\)"):
            SequentialLR(optimizer, both, milestones=[3])
    with pytest.raises(AttributeError, match="last_epoch cannot be set"):
        both[1].last_epoch = 7


@pytest.mark.filterwarnings("error", "ignore::ResourceWarning")
@pytest.mark.parametrize("twin_of", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copied_scheduler_drives_the_copied_optimizer(twin_of):
    optimizer = sgd()
    scheduler = ScheduledLR(optimizer, Ramp(5))
    twin = twin_of(scheduler)
    trace = LRTrace(twin.optimizer)
    drive(twin.optimizer, twin, 2)
    twin.optimizer.add_param_group(late_group())
    drive(twin.optimizer, twin, 1)
    twin.optimizer.load_state_dict(twin.optimizer.state_dict())
    drive(twin.optimizer, twin, 1)
    trace.assert_matches(Ramp(5), 0.1)
    trace.assert_matches(Ramp(5), 5.0, group=1)
    drive(optimizer, scheduler, 1)  # the first goes on by itself
    assert (scheduler.last_epoch, len(hooks(optimizer))) == (1, 2)
    scheduler.detach()
    assert hooks(twin_of(scheduler).optimizer) == []


@pytest.mark.parametrize("k", range(3, 9))
def test_handing_over_to_another_scheduler_and_resuming_there(k):
    def build():
        optimizer = sgd()
        return optimizer, ScheduledLR(optimizer, Ramp(4)), SWALR(optimizer, 0.02, anneal_epochs=3)

    def train(optimizer, first, second, start, stop):
        for step in range(start, stop):
            if step == 5:
                first.detach()
            optimizer.step()
            (first if step < 5 else second).step()

    whole = build()
    with LRTrace(whole[0]) as planned:
        train(*whole, 0, k)
        saved = [copy.deepcopy(part.state_dict()) for part in whole]
        train(*whole, k, 10)
    assert planned.lr[-1, 0] == 0.02
    optimizer, first, second = resumed = build()
    first.load_state_dict(saved[1])
    if k > 5:
        first.detach()
    optimizer.load_state_dict(saved[0])
    second.load_state_dict(saved[2])
    with LRTrace(optimizer) as applied:
        train(*resumed, k, 10)
    assert applied.lr.tolist() == planned.lr[k:].tolist()


def test_detaching_twice_is_fine_and_the_values_stay():
    optimizer = sgd()
    scheduler = ScheduledLR(optimizer, Ramp(5))
    scheduler.detach(), scheduler.detach()
    optimizer.param_groups[0]["lr"] = 0.7
    optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
    assert optimizer.param_groups[0]["lr"] == 0.7
    with pytest.raises(RuntimeError, match=r"or detach\(\), ended"):
        scheduler.step()


def test_a_removed_group_is_noticed():
    optimizer = sgd(groups=2)
    scheduler = ScheduledLR(optimizer, Ramp(5))
    drive(optimizer, scheduler, 1)
    del optimizer.param_groups[0]
    for use in (optimizer.step, scheduler.step, scheduler.get_last_lr, scheduler.state_dict):
        with pytest.raises(RuntimeError, match=r"had 2 parameter group\(s\) and now has 1"):
            use()
    drive(optimizer, ScheduledLR(optimizer, Ramp(5)), 1)


def test_an_optimizer_loaded_just_after_a_group_was_added_keeps_its_base():
    worlds = []
    for lr in (5.0, 1.0):
        optimizer = sgd()
        scheduler = ScheduledLR(optimizer, Ramp(5))
        drive(optimizer, scheduler, 2)
        optimizer.add_param_group(late_group(lr))
        worlds.append((optimizer, scheduler))
    (saved, _), (optimizer, scheduler) = worlds
    saved.step()
    optimizer.load_state_dict(saved.state_dict())
    assert scheduler.base_lrs == (0.1, 5.0)
    assert optimizer.param_groups[1]["lr"] == 5.0 * Ramp(5)(2)


@pytest.mark.parametrize("order", ORDERS)
def test_resuming_at_another_peak(order):
    config = Config(groups=2, late=True)
    short = World(config)
    short.schedule()
    short.train(0, 7)
    world = World(config, late=True)
    load(world, order, short.optimizer.state_dict(), short.scheduler.state_dict())
    world.scheduler.base_lrs = [0.05, 0.0, 2]
    assert world.scheduler.get_last_lr() == [g["lr"] for g in world.optimizer.param_groups]
    world.optimizer.load_state_dict(short.optimizer.state_dict())
    assert world.scheduler.base_lrs == (0.05, 0.0, 2.0)
    rows = world.train(7, 10)[0].tolist()
    assert rows == [[peak * SHAPE(t) for peak in (0.05, 0.0, 2.0)] for t in (7, 8, 9)]


def test_a_peak_that_does_not_fit_changes_nothing():
    scheduler = ScheduledLR(sgd(groups=2), Ramp(5))
    for bad in ([0.1], [0.1, float("nan")], [0.1, -1], [0.1, None], 0.1, None, "ab"):
        with pytest.raises((TypeError, ValueError), match="base_lrs must be"):
            scheduler.base_lrs = bad
    assert scheduler.base_lrs == (0.1, 0.1)
    with pytest.raises(TypeError):
        scheduler.base_lrs[0] = 9.0


def test_groups_added_since_the_last_step_are_seen_and_not_written():
    optimizer = sgd(torch.tensor(0.5))
    scheduler = ScheduledLR(optimizer, Constant(0.25))
    optimizer.add_param_group(late_group(torch.tensor(4.0)))
    saved = optimizer.state_dict()  # holds the tensors themselves
    assert scheduler.get_lr() == scheduler.get_last_lr() == [0.125, 1.0]
    assert scheduler.base_lrs == (0.5, 4.0)
    assert scheduler.state_dict()["base"] == {"lr": [0.5, 4.0]}
    assert float(saved["param_groups"][1]["lr"]) == 4.0
    scheduler.base_lrs = [0.5, 2.0]
    assert float(optimizer.param_groups[1]["lr"]) == 0.5


def test_a_late_group_that_cannot_be_driven_is_refused_every_time():
    optimizer = sgd(momentum=0.9)
    scheduler = ScheduledLR(optimizer, Ramp(5), momentum=Constant())
    optimizer.add_param_group({**late_group(), "momentum": 1.5})
    for _ in range(2):
        with pytest.raises(ValueError, match=r"momentum must stay in \[0, 1\), got 1\.5"):
            optimizer.step()
    assert optimizer.param_groups[1]["lr"] == 5.0
    assert scheduler.last_epoch == 0


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), torch.tensor(float("nan"))])
def test_a_rate_that_is_not_finite_is_refused(bad):
    with pytest.raises(ValueError, match=r"lr must be finite and at least 0, got (nan|inf) in par"):
        ScheduledLR(sgd(bad), Ramp(5))


class Plain(Schedule):
    """Not a dataclass: its repr is an address."""

    def formula(self, step):
        return 1.0


@pytest.mark.filterwarnings("error", "ignore::ResourceWarning")
@pytest.mark.parametrize("build", [Plain, lambda: Formula(lambda step: 1.0)])
def test_addresses_in_a_repr_are_not_a_change_of_schedule(build):
    old, new = ScheduledLR(sgd(), build()), ScheduledLR(sgd(), build())
    assert repr(old.shape) != repr(new.shape)
    state = old.state_dict()
    new.load_state_dict(state)
    assert new.state_dict() == state
    state["shapes"]["lr"] = repr(old.shape)
    new.load_state_dict(state)


def test_tensors_that_a_checkpoint_shares_are_parted():
    shared = sgd(torch.tensor(0.5), groups=2).state_dict()
    optimizer = sgd(torch.tensor(0.5), groups=2)
    scheduler = ScheduledLR(optimizer, Constant(1.0))
    scheduler.base_lrs = [0.5, 0.25]
    optimizer.load_state_dict(shared)
    assert [float(group["lr"]) for group in optimizer.param_groups] == [0.5, 0.25]
