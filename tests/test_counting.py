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
    ChainedScheduler,
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


@pytest.mark.parametrize("accumulated", [2, 4, 7])
@pytest.mark.parametrize("call_first", [False, True])
def test_a_call_per_micro_batch_is_named(accumulated, call_first, said):
    optimizer = sgd()
    scheduler = ScheduledLR(optimizer, Constant())
    for batch in range(1, 8 * accumulated + 1):
        if call_first:
            scheduler.step()
        if batch % accumulated == 0:
            optimizer.step()
        if not call_first:
            scheduler.step()
    first, second = said()
    assert "before any optimizer.step()" in first and "micro-batch" in first
    assert f"2 update(s) so far, {accumulated} of them for one update" in second
    assert "once per micro-batch" in second


def test_first_updates_that_a_scaler_skipped_are_not_taken_for_micro_batches(said):
    optimizer = sgd(kind=AdamW)
    attempts(optimizer, ScheduledLR(optimizer, SHAPE), [1, 1, 1, 0, 0, 0, 0])
    assert len(said()) == 1


@pytest.mark.parametrize("moves", [2, 4])
@pytest.mark.parametrize("before", [True, False])
def test_a_wrapper_that_moves_last_epoch_too_often_is_told(moves, before, said):
    optimizer = sgd()
    scheduler = ScheduledLR(optimizer, SHAPE)
    for _ in range(4):
        if not before:
            optimizer.step()
        for _ in range(moves):
            scheduler.last_epoch += 1
        if before:
            optimizer.step()
    (message,) = said()
    assert f"{moves} of them for one update" in message and "move(s) of last_epoch" in message
    assert "once per micro-batch" in message


def test_a_wrapper_may_try_the_scheduler_out_without_updates(said):
    optimizer = sgd()
    scheduler = ScheduledLR(optimizer, SHAPE)
    state = copy.deepcopy(scheduler.state_dict())
    for _ in range(9):
        scheduler.last_epoch += 1
    scheduler.load_state_dict(state)
    for _ in range(5):
        scheduler.last_epoch += 1
        optimizer.step()
    assert said() == []


@pytest.mark.parametrize(("updates", "messages"), [(0, 0), (1, 0), (2, 1), (30, 1)])
def test_step_that_was_never_called_is_said_when_the_run_is_saved(updates, messages, said):
    optimizer = sgd()
    scheduler = ScheduledLR(optimizer, SHAPE)
    for _ in range(updates):
        optimizer.step()
    for _ in range(2):
        scheduler.state_dict()
    assert len(said()) == messages
    assert all(f"0 call(s) of step() and {updates} update(s)" in one for one in said())


def test_a_self_driving_run_is_saved_without_a_word(said):
    optimizer = sgd()
    scheduler = ScheduledLR(optimizer, SHAPE, self_driving=True)
    for _ in range(5):
        optimizer.step()
    assert scheduler.state_dict()["uncounted"] == 0 and said() == []


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


def test_saved_between_the_two_calls_after_a_call_too_many():
    """What was said about counts before has no part in what is saved."""
    optimizer = sgd()
    scheduler = ScheduledLR(optimizer, SHAPE)
    with pytest.warns(UserWarning, match="before any"):
        scheduler.step()
    for _ in range(6):
        optimizer.step()
        scheduler.step()
    optimizer.step()
    resumed = ScheduledLR(sgd(), SHAPE)
    resumed.load_state_dict(scheduler.state_dict())
    scheduler.step()
    assert resumed.last_epoch == scheduler.last_epoch == 8


def test_saved_after_the_first_of_several_updates_per_call_it_is_not_counted(said):
    optimizer = sgd()
    scheduler = ScheduledLR(optimizer, SHAPE)
    for _ in range(3):
        for _ in range(4):
            optimizer.step()
        scheduler.step()
    optimizer.step()
    assert scheduler.state_dict()["uncounted"] == 0
    scheduler.step()
    optimizer.step()
    assert scheduler.state_dict()["uncounted"] == 1 and len(said()) == 1


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


def with_floor(min_lr, groups=2):
    scheduler = ScheduledLR(sgd(groups=groups), SHAPE, min_lr=min_lr)
    for _ in range(3):
        scheduler.optimizer.step()
        scheduler.step()
    return scheduler


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (0.05, 0.0, True),
        (0.0, 0.05, True),
        (0.05, [0.05, 0.01], True),
        (0.05, 0.05, False),
        (0.05, [0.05, 0.05], False),
        (0.0, [0.0, 0.0], False),
    ],
)
def test_another_floor_is_said_on_resuming(old, new, told, said):
    state = with_floor(old).state_dict()
    scheduler = ScheduledLR(sgd(groups=2), SHAPE, min_lr=new)
    scheduler.load_state_dict(state)
    assert [("another min_lr: saved" in one) for one in said()] == [True] * told
    del state["min_lr"]  # as of an earlier release
    scheduler.load_state_dict(state)
    assert len(said()) == told


@pytest.mark.parametrize("how", ["step", "self_driving", "last_epoch"])
@pytest.mark.parametrize(("old", "new"), [(50, 1), (50, 50), (50, 17), (1, 1), (1, 50)])
def test_another_unit_is_said_on_resuming(old, new, how, said):
    if new != 1 and how != "step":
        pytest.skip("counts updates")
    first = ScheduledLR(sgd(), CosineAnnealing(10_000))
    for _ in range(4):
        first.optimizer.step()
        first.step(by=old)
    state = first.state_dict()
    for there in (True, False):
        optimizer = sgd()
        resumed = ScheduledLR(
            optimizer, CosineAnnealing(10_000), self_driving=how == "self_driving"
        )
        resumed.load_state_dict(state)
        for _ in range(3):
            optimizer.step()
            if how == "last_epoch":
                resumed.last_epoch += 1
            elif how == "step":
                resumed.step(by=new)
        told = (old == 1) != (new == 1) and there
        assert [f"step(by={old}), this one" in one for one in said()] == [True] * told
        if there:
            state = {name: value for name, value in state.items() if name != "by"}
            if told:
                return


def test_a_run_of_samples_whose_last_batch_holds_one_is_still_known(said):
    first = ScheduledLR(sgd(), CosineAnnealing(10_000))
    for by in (50, 50, 1):
        first.optimizer.step()
        first.step(by=by)
    resumed = ScheduledLR(sgd(), CosineAnnealing(10_000))
    resumed.load_state_dict(first.state_dict())
    resumed.optimizer.step()
    resumed.step(by=50)
    assert said() == []


# --- the end of a plan, and other writers


@pytest.mark.parametrize(
    "shape",
    [
        *(CosineAnnealing(5), CosineAnnealing(5, 0.1), OneCycle(5), CosineAnnealing(2, 0.1)),
        *(PolynomialDecay(1), Warmup(2).then(PolynomialDecay(3))),
    ],
)
def test_training_past_the_end_of_a_falling_plan_is_said_once(shape, said):
    optimizer = sgd()
    scheduler = ScheduledLR(optimizer, shape)
    for _ in range(shape.length):
        optimizer.step()
        scheduler.step()
    assert said() == []
    for _ in range(4):
        optimizer.step()
        scheduler.step()
    (message,) = said()
    assert f"ended at step {shape.length}" in message


@pytest.mark.parametrize(
    "shape",
    [
        Warmup(4),
        Warmup(2),
        MultiStepDecay((2, 4)),
        MultiStepDecay((2,)),
        Constant(0.5, 3),
        SHAPE.then(Constant(0.1, 2)),
    ],
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
    found, written = re.findall(r" (?:is|wrote) ([\d.e-]+)[: ]", message)
    assert float(found) == pytest.approx(0.01) and float(written) == pytest.approx(0.1)
    assert scheduler.last_epoch == 6


def test_a_tensor_that_was_written_with_what_it_held_is_not_another_rate(said):
    optimizer = sgd(torch.tensor(0.1))
    scheduler, trace = ScheduledLR(optimizer, SHAPE), LRTrace(optimizer)
    for _ in range(4):
        optimizer.step()
        optimizer.param_groups[0]["lr"].mul_(1.0)
        scheduler.step()
    assert said() == []
    trace.assert_matches(SHAPE, 0.1, rtol=1e-6)


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


def test_the_state_of_a_scheduler_that_counts_no_updates_says_what_to_do_instead():
    optimizer = sgd()
    chained = ChainedScheduler([StepLR(optimizer, 2), StepLR(optimizer, 3)], optimizer)
    for theirs, message in (
        (ReduceLROnPlateau(sgd()), r"is of ReduceLROnPlateau, which counts .*start=<updates made>"),
        (chained, r'is of ChainedScheduler.*state_dict\["_schedulers"\]\[0\]'),
    ):
        with pytest.raises(ValueError, match=message):
            ScheduledLR(sgd(), SHAPE).load_state_dict(theirs.state_dict())
    optimizer.step()
    chained.step()
    scheduler = ScheduledLR(sgd(), SHAPE)
    with pytest.warns(UserWarning, match="would have gone on with"):
        scheduler.load_state_dict(chained.state_dict()["_schedulers"][0])
    assert scheduler.last_epoch == 1


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -0.1])
def test_a_peak_of_another_scheduler_that_is_none(bad):
    scheduler = ScheduledLR(sgd(), SHAPE)
    with pytest.raises(ValueError, match="one finite base lr of at least 0"):
        scheduler.load_state_dict({"last_epoch": 3, "base_lrs": [bad]})
    assert scheduler.last_epoch == 0 and scheduler.base_lrs == (0.1,)


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


@pytest.mark.parametrize("how", ["", "self_driving", "self_driving, no calls"])
@pytest.mark.parametrize("tensor", [False, True])
@pytest.mark.parametrize("groups", [1, 2])
def test_a_zero_that_nobody_takes_back_is_counted_and_overwritten(how, tensor, groups, said):
    optimizer = sgd(torch.tensor(0.1) if tensor else 0.1, groups=groups)
    scheduler = ScheduledLR(optimizer, SHAPE, self_driving=bool(how))
    trace = LRTrace(optimizer)
    for t in range(8):
        if t == 3:
            for group in optimizer.param_groups:
                group["lr"] = torch.tensor(0.0) if tensor else 0.0
        optimizer.step()
        if "no calls" not in how:
            scheduler.step()
    applied = [0.0 if t == 3 else 0.1 * SHAPE(t) for t in range(8)]
    assert trace.lr[:, 0] == pytest.approx(applied, rel=1e-6)
    assert scheduler.last_epoch == 8
    (message,) = said()
    assert "at step 3 the rate of parameter group 0 is 0.0 where" in message


def test_a_zero_that_was_not_yet_taken_back_is_in_the_saved_state():
    for self_driving in (False, True):
        optimizer = sgd()
        scheduler = ScheduledLR(optimizer, SHAPE, self_driving=self_driving)
        for _ in range(3):
            optimizer.step()
            scheduler.step()
        rate = optimizer.param_groups[0]["lr"]
        optimizer.param_groups[0]["lr"] = 0.0
        optimizer.step()
        assert scheduler.state_dict()["uncounted"] == 1
        optimizer.param_groups[0]["lr"] = rate
        assert scheduler.state_dict()["uncounted"] == 0


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
        with pytest.raises(
            ValueError, match=r"(shape|min_lr) must be one, or one per parameter.*2 group\(s\)$"
        ):
            ScheduledLR(sgd(groups=2), **bad)
    optimizer = sgd(groups=2)
    scheduler = ScheduledLR(optimizer, [SHAPE] * 2)
    optimizer.add_param_group(late_group())
    for _ in range(2):
        with pytest.raises(ValueError, match=r"got 2 for 3 group.*after adding a group build"):
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
    for bad in (-1, float("nan"), "0", [0.1, None, 0.1], []):
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


@pytest.mark.parametrize("how", ["set", "before get_lr", "loaded", "lent"])
@pytest.mark.parametrize("self_driving", [False, True])
@pytest.mark.parametrize("late", [0, 3])
def test_layer_decay_that_comes_late_is_applied(how, self_driving, late):
    if how == "lent" and self_driving:
        pytest.skip("writes its own rate before the lent one is taken back")
    optimizer = sgd(groups=2)
    trace = LRTrace(optimizer)
    scheduler = ScheduledLR(optimizer, SHAPE, self_driving=self_driving)
    for t in range(6):
        if t == late and how == "loaded":
            state = copy.deepcopy(optimizer.state_dict())
            for group, scale in zip(state["param_groups"], (0.5, 1.0), strict=True):
                group["lr_scale"] = scale
            optimizer.load_state_dict(state)
        elif t == late:
            for group, scale in zip(optimizer.param_groups, (0.5, 1.0), strict=True):
                group["lr_scale"] = scale
        if t == late and how == "before get_lr":
            assert scheduler.get_lr() == [0.05 * SHAPE(t), 0.1 * SHAPE(t)]
            assert scheduler.get_last_lr()[1] == 0.1 * SHAPE(t)
        if t == late and how == "lent":
            kept = optimizer.param_groups[0]["lr"]
            optimizer.param_groups[0]["lr"] = 7.0
        optimizer.step()
        if t == late and how == "lent":
            optimizer.param_groups[0]["lr"] = kept
        scheduler.step()
    scales = [0.5 if t >= late + (how == "lent") else 1.0 for t in range(6)]
    expected = [0.1 * SHAPE(t) * scale for t, scale in enumerate(scales)]
    if how == "lent":
        expected[late] = 7.0
    assert trace.lr[:, 0].tolist() == expected
    assert trace.lr[:, 1].tolist() == [0.1 * SHAPE(t) for t in range(6)]
    assert scheduler.base_lrs == (0.1, 0.1)


def test_layer_decay_that_a_loaded_state_lacks_is_said_to_be_lost(said):
    state = copy.deepcopy(sgd().state_dict())
    optimizer = sgd()
    optimizer.param_groups[0]["lr_scale"] = 0.5
    scheduler, trace = ScheduledLR(optimizer, SHAPE), LRTrace(optimizer)
    optimizer.load_state_dict(state)
    (message,) = said()
    assert "had an lr_scale" in message
    optimizer.step()
    scheduler.step()
    optimizer.param_groups[0]["lr_scale"] = 0.25
    optimizer.step()
    assert trace.lr[:, 0].tolist() == [0.1, 0.1 * SHAPE(1) * 0.25]


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


@pytest.mark.parametrize("bad", ["yes", 1, None])
def test_self_driving_is_true_or_false(bad):
    with pytest.raises(TypeError, match="ScheduledLR: self_driving must be True or False, got"):
        ScheduledLR(sgd(), SHAPE, self_driving=bad)


@pytest.mark.parametrize("kind", [SGD, AdamW])
@pytest.mark.parametrize("tensor", [False, True])
def test_the_short_way_and_the_long_one_give_the_same(kind, tensor):
    """Floors, a schedule per group and a driven momentum, beside what they come to."""
    shapes = [SHAPE, SHAPE, Warmup(5), HalfCosine(9)]
    floors = [0.02, 0.0, 0.01, 0.3]
    for min_lr in (0.02, floors):
        options = {"momentum": 0.9} if kind is SGD else {}
        optimizer = sgd(torch.tensor(0.1) if tensor else 0.1, groups=4, kind=kind, **options)
        scheduler = ScheduledLR(optimizer, shapes, min_lr=min_lr, momentum=HalfCosine(30))
        trace = LRTrace(optimizer)
        for _ in range(12):
            optimizer.step()
            scheduler.step()
        each = floors if min_lr is floors else [min_lr] * 4
        for t in range(12):
            expected = [max(0.1 * s(t), low) for s, low in zip(shapes, each, strict=True)]
            assert trace.lr[t] == pytest.approx(expected, rel=1e-6 if tensor else 0, abs=0)
        for group in range(4):
            trace.assert_matches(HalfCosine(30), 0.9, group=group, quantity="momentum")


def test_each_schedule_is_asked_once_per_step_however_many_groups_follow_it():
    asked = []

    class Asked(Constant):
        def formula(self, step):
            asked.append(step)
            return 1.0

    optimizer = sgd(groups=20)
    a, b = Asked(), Asked()
    scheduler = ScheduledLR(optimizer, [a, b] * 10)
    asked.clear()
    optimizer.step()
    scheduler.step()
    assert asked == [1, 1]
