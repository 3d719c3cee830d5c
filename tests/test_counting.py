"""ScheduledLR counts what happens: calls beside updates, states saved in between, what it says."""

import copy
import logging
import re
import warnings

import pytest
import torch
from conftest import HalfCosine, Ramp
from torch import nn
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict
from torch.optim import LBFGS, SGD, AdamW
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LambdaLR,
    OneCycleLR,
    ReduceLROnPlateau,
    StepLR,
)

from lrlib import (
    Constant,
    CosineAnnealing,
    LRTrace,
    MultiStepDecay,
    OneCycle,
    PolynomialDecay,
    ScheduledLR,
    Warmup,
)

SHAPE = CosineAnnealing(40)


def sgd(lr=0.1, groups=1, kind=SGD, **options):
    parameters = [{"params": [nn.Parameter(torch.ones(2))]} for _ in range(groups)]
    return kind(parameters, lr=lr, **options)


def late_group(lr=5.0):
    return {"params": [nn.Parameter(torch.ones(1))], "lr": lr}


@pytest.fixture
def said():
    """The messages of ScheduledLR, as they come."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        messages = []

        def new():
            messages[:] = [str(one.message) for one in caught if one.category is UserWarning]
            return messages

        yield new


# --- calls beside updates


@pytest.mark.parametrize(
    ("calls", "updates", "counts", "cause"),
    [
        (2, 1, r"2 call\(s\) of step\(\) and 1 update", "twice per update, once per micro-batch"),
        (4, 1, r"2 call\(s\) of step\(\) and 1 update", "once per process"),
        (1, 10, r"1 call\(s\) of step\(\) and 10 update", "once per epoch"),
        (1, 2, r"1 call\(s\) of step\(\) and 2 update", "not after every update"),
        (0, 300, r"0 call\(s\) of step\(\) and 100 update", "never called"),
    ],
)
def test_another_cadence_is_said_once_with_both_counts(calls, updates, counts, cause):
    optimizer = sgd()
    scheduler = ScheduledLR(optimizer, Constant())
    with pytest.warns(UserWarning, match=f"{counts}.*{cause}") as caught:
        for _ in range(4):
            for _ in range(updates):
                optimizer.step()
            for _ in range(calls):
                scheduler.step()
    assert len(caught) == 1


def test_a_miscount_that_begins_later_is_said_with_the_counts_of_then():
    optimizer = sgd()
    scheduler = ScheduledLR(optimizer, Constant())
    for _ in range(5):
        optimizer.step()
        scheduler.step()
    with pytest.warns(UserWarning, match=r"6 call\(s\) of step\(\) and 5 update"):
        scheduler.step()


def attempts(optimizer, scheduler, overflows):
    """Updates under a gradient scaler, with step() called whether or not they were skipped."""
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**4)
    parameter = optimizer.param_groups[0]["params"][0]
    for overflow in overflows:
        optimizer.zero_grad()
        scaler.scale(parameter.sum() * (float("inf") if overflow else 1)).backward()
        scaler.step(optimizer)
        scaler.update()
        scheduler.step()


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("overflows", [[0, 0, 1, 0], [1, 0, 0]])
def test_an_update_that_a_gradient_scaler_skipped_is_said(fused, overflows):
    optimizer = sgd(kind=AdamW, fused=fused)
    scheduler = ScheduledLR(optimizer, SHAPE)
    with pytest.warns(UserWarning, match="gradient scaler .*skip") as caught:
        attempts(optimizer, scheduler, overflows)
    assert len(caught) == 1


@pytest.mark.parametrize("fused", [False, True])
def test_self_driving_counts_only_the_updates_that_were_made(fused, said):
    optimizer = sgd(kind=AdamW, fused=fused)
    trace = LRTrace(optimizer)
    scheduler = ScheduledLR(optimizer, SHAPE, self_driving=True)
    attempts(optimizer, scheduler, [1, 0, 1, 0, 0, 1, 0])
    assert scheduler.last_epoch == len(trace) == 4
    trace.assert_matches(SHAPE, 0.1)
    assert said() == []


@pytest.mark.parametrize("calls", [0, 1, 2, 5])
def test_self_driving_is_exact_whatever_is_done_with_step(calls, said):
    optimizer = sgd(momentum=0.9)
    trace = LRTrace(optimizer)
    scheduler = ScheduledLR(optimizer, SHAPE, momentum=HalfCosine(50), self_driving=True)
    for t in range(20):
        if t == 7:
            optimizer.add_param_group(late_group())
        optimizer.step()
        assert scheduler.get_last_lr()[0] == 0.1 * SHAPE(t)  # of the update just made
        for _ in range(calls):
            scheduler.step()
        assert scheduler.get_lr()[0] == optimizer.param_groups[0]["lr"] == 0.1 * SHAPE(t + 1)
        assert scheduler.get_last_lr()[0] == 0.1 * SHAPE(t + 1 if calls else t)
    trace.assert_matches(SHAPE, 0.1)
    trace.assert_matches(SHAPE, 5.0, group=1)
    trace.assert_matches(HalfCosine(50), 0.9, quantity="momentum")
    assert said() == []
    with pytest.raises(ValueError, match="by must be left out"):
        scheduler.step(by=2)


class Calling(SGD):
    """Its step() calls that of its base class: torch runs the hooks of both."""

    def step(self, closure=None):
        return super().step(closure)


def updates_of(name):
    """A scheduler, and a function that makes one update; its use is right."""
    kind = {"lbfgs": LBFGS, "nested": Calling}.get(name, SGD)
    if name == "lbfgs":
        optimizer = LBFGS([nn.Parameter(torch.ones(2))], lr=0.1)
    else:
        sgd().step()  # from now on SGD's own step() runs hooks as well
        optimizer = sgd(kind=kind, momentum=0.9)
    parameter = optimizer.param_groups[0]["params"][0]

    def closure():
        optimizer.zero_grad()
        loss = parameter.square().sum()
        loss.backward()
        return loss

    closure()
    if name == "has run":
        optimizer.step()
    if name == "torch's beside":
        CosineAnnealingLR(optimizer, 5)  # wraps optimizer.step; not used further
    scheduler = ScheduledLR(optimizer, SHAPE, start=3 if name == "start" else 0)
    if name == "patched":
        inner = optimizer.step
        optimizer.step = lambda *args: inner(*args)
    if name in ("has run", "start"):
        scheduler.step()  # the one of the update before it was built
    return scheduler, lambda: optimizer.step(closure)


@pytest.mark.parametrize(
    "name", ["plain", "lbfgs", "nested", "has run", "torch's beside", "patched", "start"]
)
def test_right_use_is_not_blamed(name, said):
    scheduler, update = updates_of(name)
    trace, start = LRTrace(scheduler.optimizer), scheduler.last_epoch
    for _ in range(12):
        update()
        scheduler.step()
    assert said() == []
    assert len(trace) == 12
    trace.assert_matches(SHAPE, 0.1, start=start)


def test_an_update_that_raises_is_none(said):
    optimizer = sgd()
    scheduler, trace = ScheduledLR(optimizer, SHAPE), LRTrace(optimizer)

    def fails():
        raise KeyError("no loss")

    for _ in range(3):
        with pytest.raises(KeyError):
            optimizer.step(fails)
        optimizer.step()
        scheduler.step()
    assert said() == [] and len(trace) == 3
    trace.assert_matches(SHAPE, 0.1)


# --- saved between the two calls


@pytest.mark.parametrize("called_after", [True, False])
@pytest.mark.parametrize("k", [0, 1, 5])
@pytest.mark.parametrize("by", [1, 64])
def test_saved_between_the_two_calls_it_resumes_exactly(k, by, called_after, said):
    shape = CosineAnnealing(40 * by)

    def build():
        optimizer = sgd(momentum=0.9)
        return optimizer, ScheduledLR(optimizer, shape)

    optimizer, scheduler = build()
    for _ in range(k):
        optimizer.step()
        scheduler.step(by=by)
    optimizer.step()
    saved = copy.deepcopy((optimizer.state_dict(), scheduler.state_dict()))
    assert saved[1]["last_epoch"] == k * by and saved[1]["uncounted"] > 0
    resumed, scheduler = build()
    resumed.load_state_dict(saved[0])
    scheduler.load_state_dict(saved[1])
    if called_after:
        scheduler.step(by=by)  # the one of the update that was made before saving
    elif k == 0 and by > 1:
        return  # nothing says yet how much an update adds
    assert scheduler.last_epoch == (k + 1) * by and scheduler.state_dict()["uncounted"] == 0
    trace = LRTrace(resumed)
    for _ in range(6):
        resumed.step()
        scheduler.step(by=by)
    trace.assert_matches(shape, 0.1, start=(k + 1) * by, by=by)
    assert said() == []


def test_the_call_after_loading_says_how_much_the_update_before_added():
    first = ScheduledLR(sgd(), CosineAnnealing(1_000))
    first.optimizer.step()
    first.step(by=100)
    first.optimizer.step()
    resumed = ScheduledLR(sgd(), CosineAnnealing(1_000))
    resumed.load_state_dict(first.state_dict())
    assert resumed.last_epoch == 200
    resumed.step(by=37)
    assert resumed.last_epoch == 137


def test_a_call_too_many_after_loading_is_said():
    first = ScheduledLR(sgd(), SHAPE)
    first.optimizer.step()
    first.step()
    optimizer = sgd()
    resumed = ScheduledLR(optimizer, SHAPE)
    resumed.load_state_dict(first.state_dict())
    resumed.step()
    optimizer.step()
    with pytest.warns(UserWarning, match=r"2 call\(s\) of step\(\) and 1 update"):
        resumed.step()


# --- what there is to say on resuming


def resumed(old, new, swallow, steps=6, lr=0.1):
    first = ScheduledLR(sgd(), old)
    for _ in range(steps):
        first.optimizer.step()
        first.step()
    scheduler = ScheduledLR(sgd(lr), new)
    if swallow:
        with warnings.catch_warnings():  # as transformers does
            warnings.simplefilter("ignore")
            scheduler.load_state_dict(first.state_dict())
    else:
        scheduler.load_state_dict(first.state_dict())
    for _ in range(3):
        scheduler.optimizer.step()
        scheduler.step()


@pytest.mark.parametrize("swallow", [True, False])
@pytest.mark.parametrize(
    ("new", "lr", "message"),
    [
        (CosineAnnealing(60), 0.1, "another schedule of lr.*would have been different"),
        (SHAPE, 0.3, r"saved base lr \[0\.1\] replaces \[0\.3\]"),
    ],
)
def test_what_loading_has_to_say_is_heard_exactly_once(swallow, new, lr, message, said):
    resumed(SHAPE, new, swallow, lr=lr)
    (heard,) = said()
    assert re.search(message, heard)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (Warmup(20), Warmup(20).then(CosineAnnealing(10))),
        (MultiStepDecay((3, 10)), MultiStepDecay((3, 12))),
        (Constant(1.0), Constant(1.0, 50).then(PolynomialDecay(10))),
    ],
)
def test_an_extension_whose_past_is_unchanged_is_a_note(old, new, said, caplog):
    with caplog.at_level(logging.INFO, logger="lrlib"):
        resumed(old, new, swallow=False)
    assert said() == []
    (record,) = caplog.records
    assert record.levelno == logging.INFO and "up to here they are the same" in record.message


def test_a_past_that_differs_in_one_step_is_a_warning(said):
    resumed(MultiStepDecay((3, 10)), MultiStepDecay((4, 10)), swallow=False)
    assert len(said()) == 1


# --- the end of a plan, and other writers


@pytest.mark.parametrize(
    "shape",
    [CosineAnnealing(5), CosineAnnealing(5, 0.1), OneCycle(5), Warmup(2).then(PolynomialDecay(3))],
)
def test_training_past_the_end_of_a_falling_plan_is_said_once(shape, said):
    optimizer = sgd()
    scheduler = ScheduledLR(optimizer, shape)
    for _ in range(5):
        optimizer.step()
        scheduler.step()
    assert said() == []
    for _ in range(4):
        optimizer.step()
        scheduler.step()
    (message,) = said()
    assert "ended at step 5" in message


@pytest.mark.parametrize(
    "shape", [Warmup(4), MultiStepDecay((2, 4)), Constant(0.5, 3), SHAPE.then(Constant(0.1, 2))]
)
def test_a_plan_that_holds_by_design_may_be_outlived(shape, said):
    optimizer = sgd()
    scheduler = ScheduledLR(optimizer, shape)
    for _ in range(50):
        optimizer.step()
        scheduler.step()
    assert said() == []


@pytest.mark.parametrize("tensor", [False, True])
@pytest.mark.parametrize("self_driving", [False, True])
def test_a_plateau_rule_beside_it_is_said_once(tensor, self_driving, said):
    optimizer = sgd(torch.tensor(0.1) if tensor else 0.1, groups=2)
    scheduler = ScheduledLR(optimizer, Constant(), self_driving=self_driving)
    plateau = ReduceLROnPlateau(optimizer, patience=0)
    for _ in range(6):
        optimizer.step()
        scheduler.step()
        plateau.step(1.0)
    (message,) = said()
    assert "something else writes rates (a ReduceLROnPlateau" in message
    assert scheduler.last_epoch == 6


# --- moving a run over


@pytest.mark.parametrize(
    ("build", "shape", "exact"),
    [
        (lambda o: LambdaLR(o, SHAPE), SHAPE, True),
        (lambda o: CosineAnnealingLR(o, 40), SHAPE, True),
        (lambda o: OneCycleLR(o, 0.1, 40, cycle_momentum=False), OneCycle(40), True),
        (lambda o: StepLR(o, 2), SHAPE, False),
    ],
)
def test_a_run_of_torchs_schedulers_is_moved_over(build, shape, exact, said):
    optimizer = sgd()
    theirs = build(optimizer)
    for _ in range(7):
        optimizer.step()
        theirs.step()
    saved = copy.deepcopy((optimizer.state_dict(), theirs.state_dict()))
    moved = sgd()
    moved.load_state_dict(saved[0])
    scheduler, trace = ScheduledLR(moved, shape), LRTrace(moved)
    scheduler.load_state_dict(saved[1])
    for _ in range(5):
        moved.step()
        scheduler.step()
    trace.assert_matches(shape, 0.1, start=7)
    messages = said()
    assert [("would have gone on with" in one) for one in messages] == ([] if exact else [True])


def test_a_plateau_schedulers_state_says_what_to_do_instead():
    state = ReduceLROnPlateau(sgd()).state_dict()
    with pytest.raises(ValueError, match=r"state_dict"):
        ScheduledLR(sgd(), SHAPE).load_state_dict(state)


@pytest.mark.parametrize("how", [{"start": 7}, {"last_epoch": 6}])
def test_starting_at_a_count(how, said):
    optimizer = sgd()
    scheduler, trace = ScheduledLR(optimizer, SHAPE, **how), LRTrace(optimizer)
    assert scheduler.last_epoch == 7
    for _ in range(3):
        optimizer.step()
        scheduler.step()
    trace.assert_matches(SHAPE, 0.1, start=7)
    assert said() == []


@pytest.mark.parametrize(
    "bad", [{"start": -1}, {"start": 1.5}, {"last_epoch": -2}, {"start": 1, "last_epoch": 0}]
)
def test_a_bad_start(bad):
    with pytest.raises((TypeError, ValueError), match=r"^ScheduledLR: (start|last_epoch)"):
        ScheduledLR(sgd(), SHAPE, **bad)


# --- rates that other code has lent


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(2, 2), nn.Linear(2, 2)


@pytest.mark.parametrize("self_driving", [False, True])
@pytest.mark.parametrize("shape", [SHAPE, Ramp(20, 0.0, 1.0)])
@pytest.mark.parametrize("tensor", [False, True])
def test_a_state_made_by_an_update_at_rate_0_is_no_update_and_no_base(
    shape, self_driving, tensor, said
):
    def rate(value):
        return torch.tensor(value) if tensor else value

    net = Net()
    optimizer = AdamW(net.first.parameters(), lr=rate(0.5), foreach=False)
    scheduler = ScheduledLR(optimizer, shape, self_driving=self_driving)
    optimizer.add_param_group({"params": list(net.second.parameters()), "lr": rate(0.25)})
    before = copy.deepcopy(net.state_dict())
    get_optimizer_state_dict(net, optimizer)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert scheduler.base_lrs == (0.5, 0.25) and scheduler.last_epoch == 0
    trace = LRTrace(optimizer)
    for _ in range(6):
        optimizer.step()
        scheduler.step()
    trace.assert_matches(shape, 0.5, rtol=1e-6)
    trace.assert_matches(shape, 0.25, group=1, rtol=1e-6)
    assert said() == [] and scheduler.last_epoch == 6


@pytest.mark.parametrize("lent", [0.0, 0.7])
@pytest.mark.parametrize("which", ["all", "new"])
@pytest.mark.parametrize("ask", ["base_lrs", "get_lr", "state_dict"])
def test_a_base_is_not_read_while_another_rate_is_lent(lent, which, ask):
    if lent and which == "new":
        pytest.skip("a rate set in the new group alone is its user's")
    optimizer = sgd()
    scheduler = ScheduledLR(optimizer, Constant(0.5))
    optimizer.step()
    scheduler.step()
    optimizer.add_param_group(late_group(5.0))
    groups = optimizer.param_groups if which == "all" else optimizer.param_groups[1:]
    rates = [group["lr"] for group in groups]
    for group in groups:
        group["lr"] = lent
    if which == "all":
        getattr(scheduler, ask) if ask == "base_lrs" else getattr(scheduler, ask)()
    optimizer.step()
    for group, rate in zip(groups, rates, strict=True):
        group["lr"] = rate
    scheduler.step()
    assert scheduler.base_lrs == (0.1, 5.0)
    assert [group["lr"] for group in optimizer.param_groups] == [0.05, 2.5]


def test_a_plateau_rule_does_not_change_the_base_of_a_new_group():
    optimizer = sgd()
    scheduler = ScheduledLR(optimizer, Constant())
    plateau = ReduceLROnPlateau(optimizer, patience=0)
    optimizer.step()
    scheduler.step()
    plateau.step(1.0)
    optimizer.add_param_group(late_group(5.0))
    for group in optimizer.param_groups:
        group["lr"] *= 0.1
    optimizer.step()
    with pytest.warns(UserWarning, match="something else writes"):
        scheduler.step()
    assert scheduler.base_lrs == (0.1, 5.0)


def test_a_rate_that_the_user_sets_in_a_new_group_is_its_base():
    optimizer = sgd()
    scheduler, trace = ScheduledLR(optimizer, SHAPE), LRTrace(optimizer)
    optimizer.add_param_group(late_group(5.0))
    optimizer.param_groups[1]["lr"] = 2.0
    for _ in range(3):
        optimizer.step()
        scheduler.step()
    trace.assert_matches(SHAPE, 2.0, group=1)


# --- groups and units


def test_a_shape_per_group():
    shapes = SHAPE, Ramp(9)
    optimizer = sgd(groups=2, momentum=0.9)
    trace = LRTrace(optimizer)
    scheduler = ScheduledLR(optimizer, list(shapes), momentum=(HalfCosine(30), Constant(0.5)))
    for _ in range(12):
        optimizer.step()
        scheduler.step()
    assert scheduler.shape == shapes
    for group, (shape, momentum) in enumerate(
        zip(shapes, (HalfCosine(30), Constant(0.5)), strict=True)
    ):
        trace.assert_matches(shape, 0.1, group=group)
        trace.assert_matches(momentum, 0.9, group=group, quantity="momentum")


def test_there_must_be_a_shape_and_a_floor_for_every_group():
    for bad in ({"shape": [SHAPE] * 3}, {"shape": SHAPE, "min_lr": [0.1] * 3}):
        with pytest.raises(ValueError, match=r"(shape|min_lr) must be one, or one per parameter"):
            ScheduledLR(sgd(groups=2), **bad)
    optimizer = sgd(groups=2)
    scheduler = ScheduledLR(optimizer, [SHAPE] * 2)
    optimizer.add_param_group(late_group())
    for _ in range(2):
        with pytest.raises(ValueError, match="got 2 for 3 group"):
            optimizer.step()
    new = ScheduledLR(optimizer, [SHAPE] * 3, start=scheduler.last_epoch)
    optimizer.step()
    new.step()
    assert new.base_lrs == (0.1, 0.1, 5.0)


@pytest.mark.parametrize("bad", [[], [SHAPE, 1], "ab", [None], {}])
def test_what_is_no_shape(bad):
    with pytest.raises(TypeError, match=r"^ScheduledLR: shape must be a Schedule"):
        ScheduledLR(sgd(), bad)


def test_a_floor_is_absolute_one_or_one_per_group():
    optimizer = sgd(groups=3)
    for group, lr in zip(optimizer.param_groups, (0.1, 0.01, 0.0), strict=True):
        group["lr"] = lr
    for floors in (0.004, [0.004, 0.002, 0.001]):
        trace = LRTrace(optimizer)
        scheduler = ScheduledLR(optimizer, CosineAnnealing(10), min_lr=floors)
        for _ in range(10):
            optimizer.step()
            scheduler.step()
        each = [floors] * 3 if isinstance(floors, float) else floors
        for t, row in enumerate(trace.lr):
            factor = CosineAnnealing(10)(t)
            assert row.tolist() == [max(0.1 * factor, each[0]), max(0.01 * factor, each[1]), 0.0]
        trace.detach()
    for bad in (-1, float("nan"), "0", [0.1, None, 0.1]):
        with pytest.raises((TypeError, ValueError), match="min_lr must be"):
            ScheduledLR(optimizer, SHAPE, min_lr=bad)


def test_tokens_are_counted():
    shape = Warmup(100).then(CosineAnnealing(1_000))
    optimizer = sgd()
    scheduler, trace = ScheduledLR(optimizer, shape), LRTrace(optimizer)
    sizes = [17, 64, 64, 3, 128, 40, 40]
    for size in sizes:
        optimizer.step()
        scheduler.step(by=size)
    assert scheduler.last_epoch == sum(sizes)
    trace.assert_matches(shape, 0.1, by=sizes)
    with pytest.raises(AssertionError, match="at step 80"):
        trace.assert_matches(shape, 0.1, by=[17, 63, 64, 3, 128, 40, 40])
    with pytest.raises(ValueError, match="by must be one number, or one per update"):
        trace.assert_matches(shape, 0.1, by=[17])
    for bad in (0, -3, 2.5, True, "7"):
        with pytest.raises((TypeError, ValueError), match="by must be"):
            scheduler.step(by=bad)


def test_layer_decay_is_applied_as_in_timm():
    optimizer = sgd(groups=3)
    for group, scale in zip(optimizer.param_groups, (0.75**7, 0.75, 1.0), strict=True):
        group["lr_scale"] = scale
    trace, scheduler = LRTrace(optimizer), ScheduledLR(optimizer, SHAPE)
    for t in range(5):
        if t == 3:
            optimizer.add_param_group({**late_group(0.1), "lr_scale": 0.5})
        optimizer.step()
        scheduler.step()
    scales = (0.75**7, 0.75, 1.0, 0.5)
    assert trace.lr[4].tolist() == [0.1 * SHAPE(4) * scale for scale in scales]
    assert scheduler.base_lrs == (0.1,) * 4
