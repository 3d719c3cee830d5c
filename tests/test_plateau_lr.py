"""PlateauLR: what it applies, that it resumes amid anything, and that processes agree."""

import copy
import io
import json
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SHAPES, Formula, schedules
from hypothesis import given, settings
from hypothesis import strategies as st
from test_plateau import METRICS, settings_of_a_rule
from test_scheduler import CONFIGS, ORDERS, QUIET, STEPS, World, load, same, sgd
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR

from lrlib import (
    Constant,
    CosineAnnealing,
    LRTrace,
    MultiStepDecay,
    PlateauLR,
    PlateauRule,
    ScheduledLR,
    Warmup,
)

# Two drops within STEPS, each after patience, and a cooldown that outlasts bad evaluations.
RULE = {"factor": 0.5, "patience": 1, "cooldown": 2}
LOSSES = (3.0, 2.0, 2.5, 2.4, 2.3, 2.2, 1.9, 2.0, 2.1, 2.2, 2.3, 2.4)
FALLS = (3, 8)  # the evaluations after which the rates fall


def run(scheduler, metrics):
    """An update, a step and an evaluation, for each metric; the trace, and where the rates fell."""
    trace, falls = LRTrace(scheduler.optimizer), []
    for i, metric in enumerate(metrics):
        scheduler.optimizer.step()
        scheduler.step()
        if scheduler.observe(metric):
            falls.append(i)
    return trace, falls


def test_the_losses_of_these_tests():
    _, falls = run(PlateauLR(sgd(), Constant(), **RULE), LOSSES)
    assert tuple(falls) == FALLS and len(LOSSES) == STEPS


# What it applies.


@given(schedules(), settings_of_a_rule(), METRICS, st.floats(1e-3, 10))
@pytest.mark.filterwarnings("ignore:ScheduledLR. the schedule ended")
def test_it_multiplies_every_shape(shape, arguments, metrics, peak):
    rule, level, levels = PlateauRule(**arguments), 1.0, []
    for metric in metrics:
        levels.append(level)
        rule.observe(metric)
        level = rule.level
    trace, falls = run(PlateauLR(sgd(peak), shape, **arguments), metrics)
    planned = [peak * level * shape(t) for t, level in enumerate(levels)]
    assert trace.lr[:, 0] == pytest.approx(np.array(planned), rel=1e-12, abs=0)
    assert len(falls) == rule.drops


@settings(max_examples=200)
@given(settings_of_a_rule(), METRICS, st.floats(1e-3, 10))
def test_with_a_constant_shape_it_applies_what_torchs_does(arguments, metrics, peak):
    theirs = sgd(peak)
    scheduler, trace = ReduceLROnPlateau(theirs, eps=0.0, **arguments), LRTrace(theirs)
    for metric in metrics:
        theirs.step()
        scheduler.step(metric)
    ours, _ = run(PlateauLR(sgd(peak), Constant(), **arguments), metrics)
    assert ours.lr == pytest.approx(trace.lr, rel=1e-12)


def test_a_trace_shows_it():
    trace, _ = run(PlateauLR(sgd(), Warmup(2), **RULE), LOSSES)
    drops = MultiStepDecay(tuple(fall + 1 for fall in FALLS), 0.5)
    trace.assert_matches(Warmup(2) * drops, 0.1, rtol=1e-12)
    trace.plot(Warmup(2) * drops, 0.1)


@pytest.mark.parametrize("self_driving", [False, True])
def test_groups_floors_momentum_and_layer_decay(self_driving):
    optimizer = sgd(groups=2, momentum=0.9)
    optimizer.param_groups[1]["lr_scale"] = 0.5
    shapes, floors = (Constant(), CosineAnnealing(40)), (0.03, 0.0)
    scheduler = PlateauLR(
        optimizer,
        shapes,
        **RULE,
        momentum=Constant(0.8),
        min_lr=floors,
        self_driving=self_driving,
    )
    base = scheduler.base_lrs
    trace, _ = run(scheduler, LOSSES)
    level = np.array([1.0] * 4 + [0.5] * 5 + [0.25] * 3)
    assert trace.lr[:, 0] == pytest.approx(np.maximum(base[0] * level, 0.03))
    planned = base[1] * 0.5 * level * CosineAnnealing(40).sample(STEPS)
    assert trace.lr[:, 1] == pytest.approx(planned)
    assert (trace.momentum == 0.9 * 0.8).all()
    assert scheduler.base_lrs == base


def test_the_rates_fall_at_once_and_for_late_groups_and_new_peaks_too():
    optimizer = sgd()
    scheduler = PlateauLR(optimizer, Constant(), patience=0)
    assert scheduler.observe(1.0) is False and scheduler.observe(1.0) is True
    assert scheduler.get_last_lr() == [optimizer.param_groups[0]["lr"]] == [0.1 * 0.1]
    optimizer.add_param_group({"params": [torch.zeros(1, requires_grad=True)], "lr": 2.0})
    optimizer.step()
    scheduler.step()
    assert scheduler.get_last_lr() == pytest.approx([0.01, 0.2])
    scheduler.base_lrs = [1.0, 3.0]
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.1, 0.3])
    assert scheduler.rule.level == 0.1 and scheduler.rule.drops == 1


def test_a_self_driving_one_tells_the_rates_of_the_next_update_after_a_drop():
    scheduler = PlateauLR(sgd(), Warmup(10, 0.1), patience=0, self_driving=True)
    scheduler.optimizer.step()
    assert scheduler.get_last_lr() == [0.1 * 0.1]  # of the update just made
    scheduler.observe(1.0), scheduler.observe(1.0)
    assert scheduler.get_last_lr() == pytest.approx([0.1 * Warmup(10, 0.1)(1) * 0.1])


def test_rates_in_tensors_are_written_in_place():
    rate = torch.tensor(0.1)
    optimizer = sgd(rate)
    scheduler = PlateauLR(optimizer, Constant(), patience=0)
    scheduler.observe(1.0), scheduler.observe(1.0)
    assert optimizer.param_groups[0]["lr"] is rate and rate.item() == pytest.approx(0.01)


def test_the_habits_of_torch_are_told_what_to_do_instead():
    scheduler = PlateauLR(sgd(), Constant())
    with pytest.raises(TypeError, match=r"and observe\(metric\) after every evaluation"):
        scheduler.step(0.5)
    assert scheduler.last_epoch == 0
    scheduler.detach()
    with pytest.raises(RuntimeError, match="no longer drives"):
        scheduler.observe(1.0)


@pytest.mark.parametrize("nothing", [float("nan"), None, torch.tensor(float("nan")), -np.inf])
def test_no_evaluation_is_said_once_and_changes_nothing(nothing):
    scheduler = PlateauLR(sgd(), Constant(), patience=0)
    scheduler.observe(1.0)
    before = scheduler.state_dict()
    with pytest.warns(UserWarning, match="no evaluation: the rule passes over") as caught:
        assert not any([scheduler.observe(nothing) for _ in range(5)])
    assert len(caught) == 1 and caught[0].filename == __file__
    assert scheduler.state_dict() == before


def test_an_evaluation_after_which_nothing_can_be_written_is_not_kept():
    optimizer = sgd(groups=2)
    scheduler = PlateauLR(optimizer, Constant(), patience=0)
    scheduler.observe(1.0)
    before = scheduler.rule.state_dict()
    del optimizer.param_groups[1]
    with pytest.raises(RuntimeError, match="after removing a group"):
        scheduler.observe(1.0)
    assert scheduler.rule.state_dict() == before


# Resuming.


class PlateauWorld(World):
    """A World whose scheduler is told a loss after each step."""

    def schedule(self):
        self.scheduler = PlateauLR(self.optimizer, **RULE, **self.config.shapes)

    def train(self, start, stop, save=None, between=None):
        rows = []
        for step in range(start, stop):
            rows.append(super().train(step, step + 1, save, between))
            self.scheduler.observe(LOSSES[step])
        return rows


@pytest.mark.filterwarnings(*QUIET)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", [n for n in CONFIGS if n.removeprefix("sgd, ") not in SHAPES])
def test_resuming_at_any_step_is_bit_identical(name, order):
    config = CONFIGS[name]
    whole, saved, between = PlateauWorld(config), [], []
    whole.schedule()
    rows = whole.train(0, STEPS, saved, between)
    assert whole.scheduler.rule.drops == 2
    states = [(k, file, False) for k, file in enumerate(saved)]
    # Between two calls: nothing says after the first update how many tokens an update is.
    states += [(k + 1, f, True) for k, f in enumerate(between[:-1]) if k or config.by == 1]
    for k, file, told_later in states:
        model, optimizer, scheduler = torch.load(io.BytesIO(file), weights_only=True)
        joined = len(optimizer["param_groups"]) == len(whole.optimizer.param_groups)
        world = PlateauWorld(config, seed=99, late=config.late and joined)
        world.model.load_state_dict(model)
        load(world, order, optimizer, scheduler)
        if told_later:
            world.scheduler.observe(LOSSES[k - 1])
        world.late = joined
        world.config = type(config)(**{**vars(config), "late": config.late and not joined})
        resumed = world.train(k, STEPS)
        for ours, theirs in zip(resumed, rows[k:], strict=True):
            assert np.array_equal(ours, theirs[..., : ours.shape[-1]], equal_nan=True), k
        assert same(world.model.state_dict(), whole.model.state_dict()), k
        assert same(world.optimizer.state_dict(), whole.optimizer.state_dict()), k
        assert same(world.scheduler.state_dict(), whole.scheduler.state_dict()), k


@pytest.mark.parametrize("twin_of", [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_a_copy_goes_on_by_itself(twin_of):
    scheduler = PlateauLR(sgd(), Warmup(3), **RULE)
    run(scheduler, LOSSES[:8])
    twin = twin_of(scheduler)
    ours, _ = run(scheduler, LOSSES[8:])
    theirs, falls = run(twin, LOSSES[8:])
    assert np.array_equal(ours.lr, theirs.lr) and falls == [0]


def messages(of):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        of()
    assert all(one.filename == __file__ for one in caught)
    return [str(one.message) for one in caught]


def test_new_arguments_hold_and_are_said():
    scheduler = PlateauLR(sgd(), Warmup(3), **RULE)
    run(scheduler, LOSSES[:8])
    fresh = PlateauLR(sgd(), Warmup(3), factor=0.1, patience=2, cooldown=2, min_factor=0.3)
    said = messages(lambda: fresh.load_state_dict(scheduler.state_dict()))
    assert [s.partition("another ")[2] for s in said] == [
        "factor: saved 0.5, now 0.1",
        "patience: saved 1, now 2",
        "min_factor: saved 0.0, now 0.3",
    ]
    assert all(s.startswith("PlateauLR: resuming at step 8 with") for s in said)
    assert fresh.get_last_lr() == [0.05] and fresh.rule.bad == 1 and fresh.rule.best == 1.9
    assert [fresh.observe(2.0), fresh.observe(2.0)] == [False, True]
    assert fresh.get_last_lr() == pytest.approx([0.03])


def test_the_state_of_a_scheduler_without_a_rule_and_the_other_way():
    plain = ScheduledLR(sgd(), Warmup(3))
    for _ in range(5):
        plain.optimizer.step()
        plain.step()
    scheduler = PlateauLR(sgd(), Warmup(3), **RULE)
    run(scheduler, LOSSES[:6])
    (said,) = messages(lambda: scheduler.load_state_dict(plain.state_dict()))
    assert "step 5 from the state of a scheduler without a plateau rule" in said
    assert scheduler.last_epoch == 5 and scheduler.rule == PlateauRule(**RULE)
    assert scheduler.get_last_lr() == [0.1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what was caught is said again
        run(scheduler, LOSSES[:6])
    (said,) = messages(lambda: plain.load_state_dict(scheduler.state_dict()))
    assert "step 11 without the plateau rule" in said and "multiplied the rates by 0.5" in said
    assert plain.last_epoch == 11 and plain.get_last_lr() == [0.1]


def test_a_run_moves_over_from_torch():
    theirs = sgd()
    counting = StepLR(theirs, 100)
    scheduler = PlateauLR(sgd(), Constant(), **RULE)
    (said,) = messages(lambda: scheduler.load_state_dict(counting.state_dict()))
    assert "the rule starts anew" in said

    theirs = sgd()
    rule = ReduceLROnPlateau(theirs, **RULE)
    for loss in LOSSES[:8]:
        rule.step(loss)
    with pytest.raises(ValueError, match=r"its rule\.load_state_dict takes this state"):
        scheduler.load_state_dict(rule.state_dict())
    optimizer = sgd()
    optimizer.load_state_dict(theirs.state_dict())
    scheduler = PlateauLR(optimizer, Constant(), **RULE, start=8)
    scheduler.rule.load_state_dict(rule.state_dict())
    _, falls = run(scheduler, LOSSES[8:])
    assert falls == [0] and scheduler.get_last_lr() == pytest.approx([0.025])


@pytest.mark.parametrize("bad", [{"level": 2.0}, {"best": "1"}, {"bad": None}, {"arguments": {}}])
def test_a_state_that_cannot_be_read_changes_nothing(bad):
    scheduler = PlateauLR(sgd(), Warmup(3), **RULE)
    run(scheduler, LOSSES[:8])
    before = scheduler.state_dict()
    state = {**before, "last_epoch": 3, "plateau": {**before["plateau"], **bad}}
    with pytest.raises(ValueError, match="PlateauRule: state must come from"):
        scheduler.load_state_dict(state)
    assert scheduler.state_dict() == before and scheduler.get_last_lr() == [0.05]


@pytest.mark.filterwarnings("error")
def test_a_warning_that_is_an_error_leaves_all_as_it_was():
    scheduler = PlateauLR(sgd(), Warmup(3), **RULE)
    run(scheduler, LOSSES[:8])
    before = scheduler.state_dict()
    state = PlateauLR(sgd(), Warmup(3)).state_dict()
    with pytest.raises(UserWarning, match="another factor"):
        scheduler.load_state_dict(state)
    assert scheduler.state_dict() == before


def test_a_shape_that_fails_on_resuming_leaves_the_rule_as_it_was():
    scheduler = PlateauLR(sgd(), Formula(lambda step: 1.0 if step < 20 else -1.0), **RULE)
    run(scheduler, LOSSES[:8])
    before = scheduler.state_dict()
    rule = PlateauRule(**RULE)
    rule.observe(0.1)
    with pytest.raises(ValueError, match="at least 0"):
        scheduler.load_state_dict({**before, "last_epoch": 30, "plateau": rule.state_dict()})
    assert scheduler.state_dict() == before and scheduler.get_last_lr() == [0.05]


# Several processes.

OF_EACH = (LOSSES, tuple(reversed(LOSSES)))  # the metrics of the two processes


def in_a_process(folder: Path, rank: int) -> None:
    """One of two processes, which see other metrics."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )
    pair = torch.distributed.new_group([0, 1])
    alone = [torch.distributed.new_group([rank]) for rank in (0, 1)][rank]
    reports, nothing = {}, [None] * STEPS
    for case, group, metrics in (
        ("all", None, OF_EACH[rank]),
        ("a group", pair, OF_EACH[rank]),
        ("one tells", None, OF_EACH[0] if rank == 0 else nothing),
        ("each for itself", False, OF_EACH[rank]),
        ("groups of one", alone, OF_EACH[rank]),
    ):
        scheduler = PlateauLR(sgd(), Warmup(2), **RULE, process_group=group)
        trace, falls = run(scheduler, [None if m is None else torch.tensor(m) for m in metrics])
        reports[case] = {"rates": trace.lr[:, 0].tolist(), "falls": falls}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        scheduler = PlateauLR(sgd(), Warmup(2))
        scheduler.observe(float("nan") if rank == 0 else 1.0)
    reports["nan"] = {"said": len(caught), "best": scheduler.rule.best}
    optimizer = sgd()
    theirs, reports["torch"] = ReduceLROnPlateau(optimizer, **RULE), []
    for metric in OF_EACH[rank]:
        theirs.step(metric)
        reports["torch"].append(optimizer.param_groups[0]["lr"])
    (folder / f"{rank}.json").write_text(json.dumps(reports))
    torch.distributed.barrier()
    os._exit(0)  # without the clean-up at exit, in which gloo's threads abort now and then


def test_two_processes_with_different_metrics_stay_in_step(tmp_path):
    loopback = "lo0" if sys.platform == "darwin" else "lo"
    here = Path(__file__).resolve()
    paths = [str(here.parents[1]), str(here.parent), os.environ.get("PYTHONPATH")]
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": loopback, "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    processes = [
        subprocess.Popen(
            [sys.executable, str(here), str(tmp_path), str(rank)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in (0, 1)
    ]
    try:
        output = [process.communicate(timeout=120)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], output
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    expected, falls = run(PlateauLR(sgd(), Warmup(2), **RULE), LOSSES)
    for case in ("all", "a group", "one tells"):
        assert first[case] == second[case], case
        assert first[case] == {"rates": expected.lr[:, 0].tolist(), "falls": falls}, case
    for case in ("each for itself", "groups of one"):
        assert first[case] == first["all"] != second[case], case
    assert second["groups of one"] == second["each for itself"]
    assert first["nan"] == second["nan"] == {"said": 1, "best": None}
    assert first["torch"] != second["torch"]  # of torch's rule, each follows its own metric


if __name__ == "__main__":
    in_a_process(Path(sys.argv[1]), int(sys.argv[2]))
