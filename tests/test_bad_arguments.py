"""Malformed arguments, one a line: each raises an error that names the argument and its value."""

import math
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from conftest import Formula, HalfCosine, Ramp, Sawtooth
from torch import nn

from lrlib import (
    WSD,
    Constant,
    Cooldown,
    CosineAnnealing,
    CosineCycles,
    Cyclical,
    CyclicalMomentum,
    ExponentialDecay,
    GradientNoiseScale,
    InverseSquareRoot,
    InverseSquareRootDecay,
    InverseTimeDecay,
    LRFinderResult,
    LRTrace,
    MultiStepDecay,
    OneCycle,
    PlateauLR,
    PlateauRule,
    PolynomialDecay,
    Product,
    ScheduledLR,
    StepDecay,
    Then,
    WarmRestarts,
    Warmup,
    ensemble_probabilities,
    false_drop_probability,
    find_lr,
    from_dict,
    from_name,
    gradient_noise_scale,
    largest_hessian_eigenvalue,
    noise_floor,
    patience_needed,
    plateau_delay,
    register_schedule,
    scale_lr,
    stability_limit,
    training_step,
)
from lrlib.lab import (
    SGD,
    AdamW,
    Fresh,
    NoisyQuadratic,
    Results,
    SyntheticLanguage,
    Task,
    batches,
    claim,
    convnet,
    device,
    digits_task,
    figures,
    images_task,
    language_task,
    load_digits,
    load_images,
    load_text,
    mlp,
    recorded,
    scale,
    seed_offset,
    seeds,
    squared_error,
    steps,
    sweep,
    task,
    text_task,
    transformer,
)
from lrlib.lr_finder import edge, floor, restored, smooth, steepest, valley

NAN, INF = math.nan, math.inf
POOL = load_digits()
TASK, DRAWN = Task(POOL, lambda: mlp(64, 10)), POOL.draw(0)
THETA = torch.ones(2, requires_grad=True)


def optimizer(**options):
    return torch.optim.SGD([nn.Parameter(torch.zeros(2))], **{"lr": 0.1, **options})


def trace():
    it = LRTrace(opt := optimizer())
    opt.step()
    return it


def run(**arguments):
    good = {"schedules": {"a": Constant()}, "peaks": [0.1], "seeds": [0], "steps": 1}
    return sweep(**{"task": TASK, **good, **arguments})


def environment(name, function):
    def call(value):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(name, value)
            return function()

    return call


def result(**arguments):
    return run(keep_states=True, steps=2).model(
        **{"schedule": "a", "peak": 0.1, "seed": 0, **arguments}
    )


def three():
    """Results of two schedules, three peaks and three seeds."""
    errors = np.array([0.3, 0.1, 0.2])[:, None, None] + np.zeros((2, 3, 3, 1))
    metrics = {"val_error": errors, "test_error": errors}
    return Results(("a", "b"), np.tile([0.1, 0.2, 0.4], (2, 1)), (0, 1, 2), np.array([1]), metrics)


def quadratic(**arguments):
    return NoisyQuadratic(**{"curvature": [1.0, 2.0], **arguments})


def sharpness(**arguments):
    good = {"loss": lambda: THETA.square().sum(), "params": [THETA]}
    return largest_hessian_eigenvalue(**{**good, **arguments})


def band(**arguments):
    good = {"x": [1, 2], "runs": np.ones((3, 2))}
    return figures.band(plt.figure().add_subplot(), **{**good, **arguments})


def state(**change):
    good = {"last_epoch": 1, "base": {"lr": [0.1]}, "shapes": {"lr": "Constant()"}}
    return ScheduledLR(optimizer(), Constant()).load_state_dict({**good, **change})


def finder(**arguments):
    good = {"optimizer": optimizer(), "train_step": lambda: 1.0}
    return find_lr(**{**good, **arguments})


def kept(**arguments):
    with restored(optimizer(), **arguments):
        raise AssertionError("not refu")


def noise(method="update_norms", **arguments):
    norms = {"small_sq": 2.0, "big_sq": 1.0, "batch_size": 8, "big_batch_size": 32}
    gradients = {"gradients": [THREE, THREE], "batch_size": 8}
    good = {"update_norms": norms, "update": gradients, "end_update": {}}[method]
    getattr(scale := GradientNoiseScale(), method)(**{**good, **arguments})
    return scale


def rule_state(name, value):
    return PlateauRule().load_state_dict({**PlateauRule().state_dict(), name: value})


def peaks(value):
    ScheduledLR(optimizer(), Constant()).base_lrs = value


RAMP, ENDLESS = Ramp(5), Sawtooth(3)
NET, ONES = nn.Sequential(nn.Linear(1, 2)), torch.ones(1, 1)
LANGUAGE = SyntheticLanguage(4, (8.0, 2.0))
TOKENS = ([0, 1], [[0.0, 1.0]], [[0, 4]], [[-1, 0]], [["a"]])
RATES, LOSSES, THREE = [0.1, 0.2, 0.3], [2.0, 1.0, 3.0], torch.ones(3)
NAMED = SimpleNamespace()  # something of the wrong kind, with a repr

# (what is called with the value, the argument as the message names it, bad values)
TABLE = [
    # schedules
    ("Constant", Constant, "factor", [-1, NAN, INF, "1", None, True, 1j, [1]]),
    ("Constant", lambda v: Constant(1, v), "total_iters", [-1, -5, 2.0, "3", True, NAN]),
    ("call", RAMP, "step", [-1, 0.5, "0", None, True, NAN]),
    ("sample", RAMP.sample, "n", [-1, 2.5, None, "5"]),
    ("then", RAMP.then, "following", [None, 0.5, "cosine", Constant]),
    ("then", lambda v: RAMP.then(RAMP, v), "at", [-1, -3, 2.5, "4", True]),
    ("then, endless", lambda v: ENDLESS.then(RAMP, v), "at", [None]),
    ("product", lambda v: RAMP * v, "Schedule", [0.5, None, "x"]),
    ("scaled", lambda v: v * RAMP, "Schedule", [0.5, 2]),
    ("Then", lambda v: Then((RAMP, RAMP, RAMP), v), "milestones", [(3, 3), (5, 2), (1,), 5]),
    ("Then", lambda v: Then(v, ()), "schedules", [(), None, RAMP]),
    ("Then", lambda v: Then((RAMP, RAMP), (v,)), "milestones", [0, -1, 2.5]),
    ("Then", lambda v: Then((RAMP, v), (3,)), "schedules", [None, 1]),
    ("Product", Product, "schedules", [(), None, RAMP]),
    ("Product", lambda v: Product((RAMP, v)), "schedules", [None, 2]),
    ("plot", RAMP.plot, "n", [0, -1, 1.5, "10"]),
    ("plot, endless", ENDLESS.plot, "n", [None]),
    ("plot", lambda v: RAMP.plot(peak=v), "peak", [0, -1, NAN, "1", None]),
    # step decay
    ("StepDecay", StepDecay, "step_size", [0, -1, 2.5, 30.0, "30", None, True, NAN]),
    ("StepDecay", lambda v: StepDecay(3, v), "gamma", [0, -1, 1.5, NAN, INF, "0.1", None]),
    (
        "MultiStepDecay",
        MultiStepDecay,
        "milestones",
        [(), range(0), 5, None, "3", b"3", (3, 3), (5, 2), {3, 5}, {3: 1}, np.array(5)],
    ),
    ("MultiStepDecay", lambda v: MultiStepDecay((v,)), "milestones", [0, -1, 0.29 * 100, "3"]),
    ("MultiStepDecay", lambda v: MultiStepDecay(np.array([v])), "milestones", [0, -1, 3.0, True]),
    ("MultiStepDecay", lambda v: MultiStepDecay((3,), v), "gamma", [0, -0.1, 10, NAN, None]),
    # exponential decay
    ("ExponentialDecay", ExponentialDecay, "gamma", [0, -1, 1.01, NAN, INF, "0.9", None, True]),
    ("from_rate", ExponentialDecay.from_rate, "k", [-0.1, 701, NAN, INF, "1", None]),
    (
        "to_factor",
        lambda v: ExponentialDecay.to_factor(v, 10),
        "final_factor",
        [0, -0.1, 1.5, NAN, None],
    ),
    (
        "to_factor",
        lambda v: ExponentialDecay.to_factor(0.1, v),
        "total_iters",
        [0, -5, 2.5, "10", None],
    ),
    ("InverseTimeDecay", InverseTimeDecay, "decay_rate", [-0.1, NAN, INF, "1", None]),
    ("InverseTimeDecay", lambda v: InverseTimeDecay(1, v), "decay_steps", [0, -1, 0.5, None]),
    ("PolynomialDecay", PolynomialDecay, "total_iters", [-1, -5, 2.5, "9", None, NAN]),
    ("PolynomialDecay", lambda v: PolynomialDecay(9, v), "power", [0, -1, NAN, INF, "1", None]),
    ("PolynomialDecay", lambda v: PolynomialDecay(9, 1, v), "min_factor", [-0.1, 1.1, NAN, None]),
    # cosine annealing and warm restarts
    ("CosineAnnealing", CosineAnnealing, "T_max", [-1, -5, 2.5, "9", None, True, NAN]),
    ("CosineAnnealing", lambda v: CosineAnnealing(9, v), "min_factor", [-0.1, 1.1, NAN, "0"]),
    ("WarmRestarts", WarmRestarts, "T_0", [0, -5, 2.5, "9", None, True, NAN]),
    ("WarmRestarts", lambda v: WarmRestarts(9, v), "T_mult", [0, -1, 1.5, 2.0, "2", None]),
    ("WarmRestarts", lambda v: WarmRestarts(9, 1, v), "min_factor", [-0.1, 1.1, NAN, None]),
    ("WarmRestarts", lambda v: WarmRestarts(9, 1, 0, v), "peak_decay", [0, -1, 1.1, NAN, None]),
    ("cycle", WarmRestarts(9).cycle, "step", [-1, 2.5, "3", None, NAN]),
    ("cycle_ends", WarmRestarts(9).cycle_ends, "n", [-1, 2.5, "3", None]),
    ("check_end", WarmRestarts(9, 2).check_end, "total_steps", [0, -9, 1, 9.0, 28, None]),
    ("ensemble", lambda v: ensemble_probabilities(v, ONES), "models", [[], 3, None, NET]),
    ("ensemble", lambda v: ensemble_probabilities([v], ONES), "models", [None, torch.sigmoid]),
    # cyclical and one-cycle
    ("Cyclical", lambda v: Cyclical(v, 5), "min_factor", [-0.1, 1.1, NAN, "0", None]),
    ("Cyclical", lambda v: Cyclical(0, v), "step_size_up", [0, -5, 2.5, 5.0, "5", None, True, NAN]),
    ("Cyclical", lambda v: Cyclical(0, 5, v), "step_size_down", [0, -5, 2.5, "5", True, NAN]),
    ("Cyclical", lambda v: Cyclical(0, 5, mode=v), "mode", ["triangle", "Triangular", None, 2]),
    ("Cyclical", lambda v: Cyclical(0, 5, gamma=v), "gamma", [0, -1, 1.01, NAN, INF, "1", None]),
    ("height", Cyclical(0, 5).height, "step", [-1, 2.5, "3", None, NAN]),
    ("momentum", Cyclical(0, 5).momentum, "min_factor", [-0.1, 1.1, NAN, "0.85", None]),
    ("cycle_ends", Cyclical(0, 5).cycle_ends, "n", [-1, 2.5, "3", None]),
    ("check_end", Cyclical(0, 5, 4).check_end, "total_steps", [0, -9, 1, 9.0, 28, None]),
    ("CyclicalMomentum", lambda v: CyclicalMomentum(v, 0.9), "shape", [None, 0.5, RAMP, OneCycle]),
    ("CyclicalMomentum", lambda v: CyclicalMomentum(OneCycle(5), v), "min_factor", [-1, 2, None]),
    ("OneCycle", OneCycle, "total_steps", [-1, -5, 2.5, 100.0, "9", None, True, NAN]),
    (
        "OneCycle",
        lambda v: OneCycle(1000, v),
        "pct_start",
        [300, 30, 2000, 1.01, -0.1, NAN, INF, "0.3", None, True],
    ),
    ("OneCycle", lambda v: OneCycle(9, 0.3, v), "anneal_strategy", ["cosine", "Linear", None]),
    ("OneCycle", lambda v: OneCycle(9, div_factor=v), "div_factor", [0, -25, 0.5, NAN, INF, "25"]),
    (
        "OneCycle",
        lambda v: OneCycle(9, final_div_factor=v),
        "final_div_factor",
        [0, -1, 0.039, NAN, INF, None],
    ),
    ("OneCycle", lambda v: OneCycle(9, three_phase=v), "three_phase", [1, "yes", None]),
    ("OneCycle", lambda v: OneCycle(9, v, three_phase=True), "pct_start", [0.51, 1, 1.0]),
    ("height", OneCycle(9).height, "step", [-1, 2.5, "3", None, NAN]),
    ("momentum", OneCycle(9).momentum, "min_factor", [-0.1, 1.1, NAN, "0.85", None]),
    # warm-up
    ("Warmup", Warmup, "total_iters", [-1, -5, 2.5, 500.0, "9", None, True, NAN]),
    ("Warmup", lambda v: Warmup(9, v), "start_factor", [-0.1, 1.1, NAN, INF, "0", None, True]),
    ("Warmup", lambda v: Warmup(9, v, "exponential"), "start_factor", [0, 0.0, -1, 2]),
    ("Warmup", lambda v: Warmup(9, 0.1, v), "mode", ["cosine", "Linear", None, 1]),
    ("InverseSquareRoot", InverseSquareRoot, "warmup_steps", [-1, -5, 2.5, "9", None, True, NAN]),
    (
        "InverseSquareRoot",
        lambda v: InverseSquareRoot(9, v),
        "d_model",
        [0, -1, 512.0, "512", True],
    ),
    # cooldown, WSD and the names
    ("cooldown", lambda v: RAMP.cooldown(at=v, steps=2), "at", [-1, 2.5, "4", None, True]),
    ("cooldown", lambda v: RAMP.cooldown(at=2, steps=v), "steps", [-1, 2.5, 0.5, "4", None, True]),
    ("cooldown", lambda v: RAMP.cooldown(at=2, steps=2, form=v), "form", ["sqrt", None, 1]),
    ("cooldown", lambda v: RAMP.cooldown(at=2, steps=2, to=v), "to", [-0.1, 0.9, NAN, INF, "0"]),
    ("Cooldown", Cooldown, "total_iters", [-1, 2.5, "9", None, True, NAN]),
    ("Cooldown", lambda v: Cooldown(9, v), "form", ["sqrt", None, 1]),
    ("Cooldown", lambda v: Cooldown(9, first=v), "first", [-1, NAN, INF, "1", None]),
    ("Cooldown", lambda v: Cooldown(9, first=0.5, last=v), "last", [-0.1, 0.6, NAN, None]),
    ("WSD", WSD, "total_steps", [-1, 2.5, 0.5, 100.0, "9", None, True, NAN]),
    ("WSD", lambda v: WSD(9, v), "warmup", [-1, -0.1, 1.0, 1.5, NAN, INF, "1", None, True]),
    ("WSD", lambda v: WSD(9, 0, v), "cooldown", [-1, -0.1, 1.0, 2.0, NAN, "1", None, True, 10]),
    ("WSD", lambda v: WSD(9, form=v), "form", ["sqrt", "1-Sqrt", None]),
    ("WSD", lambda v: WSD(9, min_factor=v), "min_factor", [-0.1, 1.1, NAN, "0", None]),
    ("from_name", lambda v: from_name(v, 9), "name", ["cos", "greedy", "Linear", "", None, 3]),
    ("from_name", lambda v: from_name("linear", v), "total_steps", [-1, 2.5, "9", None, True]),
    (
        "from_name",
        lambda v: from_name("linear", 9, warmup=v),
        "warmup",
        [-1, 10, 1.0, -0.1, NAN, "1", None, True],
    ),
    (
        "from_name",
        lambda v: from_name("cosine_with_restarts", 9, num_cycles=v),
        "num_cycles",
        [0, 2.5, "2", None],
    ),
    ("from_name", lambda v: from_name("cosine", 9, num_cycles=v), "num_cycles", [0, -1, NAN, "2"]),
    ("from_name", lambda v: from_name("polynomial", 9, power=v), "power", [0, NAN, "1"]),
    ("from_name", lambda v: from_name("polynomial", 9, lr_end=v, peak=1), "lr_end", [-1, 2, "0"]),
    ("from_name", lambda v: from_name("polynomial", 9, lr_end=1, peak=v), "peak", [0, -1, "1"]),
    ("from_name", lambda v: from_name("inverse_sqrt", 9, timescale=v), "timescale", [0, 2.5, "9"]),
    (
        "from_name",
        lambda v: from_name("warmup_stable_decay", 9, decay_type=v),
        "form",
        ["sqrt", 1],
    ),
    ("CosineCycles", CosineCycles, "total_iters", [-1, 2.5, "9", None, True]),
    ("CosineCycles", lambda v: CosineCycles(9, v), "num_cycles", [0, -1, NAN, "2", None]),
    ("CosineCycles", lambda v: CosineCycles(9, v, restarts=True), "num_cycles", [0, 1.0, None]),
    ("CosineCycles", lambda v: CosineCycles(9, 1, v), "min_factor", [-0.1, 1.1, NAN, None]),
    ("CosineCycles", lambda v: CosineCycles(9, restarts=v), "restarts", [1, "yes", None]),
    ("InverseSquareRootDecay", InverseSquareRootDecay, "timescale", [0, -1, 2.5, "9", None, True]),
    ("from_dict", from_dict, "data", [None, 3, "Warmup", []]),
    ("from_dict", lambda v: from_dict({"class": v}), "class", ["Warmpu", 3, None]),
    ("register", register_schedule, "registered", [None, 3, int]),
    # a plateau rule
    *(
        (owner, lambda v, build=build, name=name: build(**{name: v}), name, values)
        for owner, build in (
            ("PlateauRule", PlateauRule),
            ("PlateauLR", lambda **given: PlateauLR(optimizer(), RAMP, **given)),
        )
        for name, values in {
            "mode": ["lower", None, "MIN"],
            "factor": [0, 1, -0.1, 1.5, NAN, "0.1", None, True],
            "patience": [-1, 2.5, "3", None, True],
            "threshold": [-1e-4, NAN, INF, "0", None],
            "threshold_mode": ["relative", None],
            "cooldown": [-1, 2.5, None],
            "min_factor": [-0.1, 1.1, NAN, None],
        }.items()
    ),
    ("PlateauLR", lambda v: PlateauLR(optimizer(), v), "shape", [None, 0.1]),
    ("PlateauLR", lambda v: PlateauLR(v, RAMP), "optimizer", [None, "sgd"]),
    (
        "PlateauLR",
        lambda v: PlateauLR(optimizer(), RAMP, process_group=v),
        "process_group",
        [True, 0, "gloo"],
    ),
    ("stepped", lambda v: PlateauLR(optimizer(), RAMP).step(v), "observe(metric)", [0.5, 3]),
    ("observed", PlateauRule().observe, "metric", ["0.5", [0.5], True, 1j, np.array([1.0])]),
    ("observed", lambda v: PlateauLR(optimizer(), RAMP).observe(v), "metric", ["0.5", [0.5], True]),
    ("rule", PlateauRule().load_state_dict, "state", [None, {}, 3, PlateauRule]),
    *(
        ("rule", lambda v, name=name: rule_state(name, v), "state", values)
        for name, values in {
            "best": ["1", NAN, INF],
            "bad": [-1, 0.5, None],
            "level": [0, 1.5, NAN],
            "arguments": [None, {}],
        }.items()
    ),
    ("false drops", lambda v: false_drop_probability(v, 0.1, 9), "patience", [-1, 2.5, None]),
    ("false drops", lambda v: false_drop_probability(3, v, 9), "slope", [-0.1, NAN, INF, "1"]),
    ("false drops", lambda v: false_drop_probability(3, 0.1, v), "evaluations", [0, 2.5, None]),
    ("false drops", lambda v: false_drop_probability(3, 1, 9, v), "threshold", [-0.1, NAN, None]),
    ("patience", lambda v: patience_needed(v, 9), "slope", [0, -1, NAN, None]),
    ("patience", lambda v: patience_needed(0.1, v), "evaluations", [0, 2.5]),
    ("patience", lambda v: patience_needed(0.1, 9, v), "probability", [0, 1, NAN, "x"]),
    ("patience", lambda v: patience_needed(0.1, 9, 0.1, v), "threshold", [-0.1, NAN]),
    ("delay", plateau_delay, "patience", [-1, 2.5, None]),
    ("delay", lambda v: plateau_delay(3, v), "seen", [0, 2.5, None]),
    # ScheduledLR and LRTrace
    ("ScheduledLR", lambda v: ScheduledLR(v, RAMP), "optimizer", [None, "sgd", NAMED]),
    ("ScheduledLR", lambda v: ScheduledLR(optimizer(), v), "shape", [None, 0.1, math.cos]),
    ("driven", lambda v: ScheduledLR(optimizer(momentum=0.9), RAMP, momentum=v), "momentum", [0.9]),
    ("driven", lambda v: ScheduledLR(optimizer(), RAMP, weight_decay=v), "weight_decay", [0.1]),
    ("stepped", lambda v: ScheduledLR(optimizer(), RAMP).step(v), "epoch", [3, "1"]),
    ("resumed", lambda v: state(last_epoch=v), "last_epoch", [-1, 1.5]),
    ("resumed", lambda v: state(base=v), "base", [{"lr": [NAN]}["lr"], None, {"lr": 3}]),
    ("peak", peaks, "base_lrs", [0.1, None, "a", [], [0.1, 0.1]]),
    ("peak", lambda v: peaks([v]), "base_lrs", [-1, NAN, INF, "1", None, True]),
    ("built with", lambda v: ScheduledLR(optimizer(lr=v), RAMP), "lr", [NAN, INF]),
    ("formula", lambda v: Formula(lambda step: v)(0), "formula", [None, "1", torch.tensor(0.5)]),
    ("LRTrace", LRTrace, "optimizer", [None, "sgd", NAMED]),
    ("matches", lambda v: trace().assert_matches(v, 0.1), "shape", [None, 0.5]),
    ("matches", lambda v: trace().assert_matches(RAMP, v), "peak", [-1, NAN, None]),
    ("matches", lambda v: trace().assert_matches(RAMP, 1, group=v), "group", [-1, 1, 0.5]),
    ("matches", lambda v: trace().assert_matches(RAMP, 1, start=v), "start", [-1, 0.5]),
    ("matches", lambda v: trace().assert_matches(RAMP, 1, quantity=v), "quantity", ["rate", None]),
    ("matches", lambda v: trace().assert_matches(RAMP, 1, rtol=v), "rtol", [-1, NAN]),
    ("trace plot", lambda v: trace().plot(v), "shape", [RAMP]),
    ("trace plot", lambda v: trace().plot(group=v), "group", [-1, 1, "0"]),
    ("trace plot", lambda v: trace().plot(quantity=v), "quantity", ["rate"]),
    ("trace plot", lambda v: trace().plot(start=v), "start", [-1]),
    # chapter 01
    ("stability_limit", stability_limit, "curvature", [0, -1, NAN, INF, "1", None]),
    ("stability_limit", lambda v: stability_limit(1, v), "momentum", [1, -0.1, 1.5, NAN]),
    ("noise_floor", lambda v: noise_floor(v, 1, 1), "lr", [0, -1, NAN, None]),
    ("noise_floor", lambda v: noise_floor(0.1, v, 1), "curvature", ["a", [[1, 2]], []]),
    ("noise_floor", lambda v: noise_floor(0.1, [1, v], 1), "curvature", [-1.0, 0.0, NAN]),
    ("noise_floor", lambda v: noise_floor(0.1, [1, 2], v), "gradient_variance", [[1, 2, 3], -1.0]),
    ("noise_floor", lambda v: noise_floor(0.1, 1, 1, v), "batch_size", [0, 1.5]),
    ("noise_floor", lambda v: noise_floor(0.1, 1, 1, 1, v), "momentum", [1, -1]),
    ("sharpness", lambda v: sharpness(loss=v), "loss", [None, 3.0]),
    ("sharpness", lambda v: sharpness(loss=lambda: v), "loss", [1.0, torch.ones(2)]),
    ("sharpness", lambda v: sharpness(params=v), "params", [[], [None], [torch.ones(2)]]),
    ("sharpness", lambda v: sharpness(start=v), "start", [torch.zeros(2), torch.ones(3), "x"]),
    ("sharpness", lambda v: sharpness(tol=v), "tol", [0, 1, NAN]),
    ("sharpness", lambda v: sharpness(max_iter=v), "max_iter", [0, 1.5]),
    # the lab's settings, data and models
    ("seeds", seeds, "n", [0, -1, 1.5, "3", 20_000]),
    ("seeds", lambda v: seeds(2, v), "purpose", ["test", None]),
    ("steps", steps, "n", [0, 2.5]),
    ("seed_offset", environment("LRLIB_SEED", seed_offset), "LRLIB_SEED", ["-1", "x", "", "1.5"]),
    ("scale", environment("LRLIB_SCALE", scale), "LRLIB_SCALE", ["0", "-2", "big", "0.5"]),
    ("device", environment("LRLIB_DEVICE", device), "device", ["abacus", "meta"]),
    ("device", device, "device", ["abacus", 3.5]),
    ("split", DRAWN.split, "name", ["validation", None]),
    ("noise", DRAWN.with_label_noise, "rate", [-0.1, 1.1, NAN, "0.1"]),
    ("noise", lambda v: DRAWN.with_label_noise(0.1, v), "seed", [-1, 0.5, None]),
    ("noise of a pool", POOL.with_label_noise, "rate", [-0.1, 1.1, NAN, "0.1", None]),
    ("draw", POOL.draw, "seed", [-1, 0.5, None, "0"]),
    ("draw, fixed", DRAWN.draw, "seed", [-1, 0.5, None]),
    ("draw, fresh", Fresh("x", 10, POOL.draw).draw, "seed", [-1, 0.5, None]),
    ("load_images", load_images, "size", [8, 0, 14.5, "14", None]),
    ("load_text", load_text, "context", [0, 2048, 2.5, "64", None, True]),
    ("digits_task", digits_task, "rate", [-0.1, 1.1, NAN]),
    ("images_task", lambda v: images_task(label_noise=v), "rate", [-0.1, 1.1, NAN]),
    ("images_task", lambda v: images_task(size=v), "size", [8, "28"]),
    ("images_task", lambda v: images_task(hidden=(v,)), "sizes", [0, 2.5, "8"]),
    ("images_task", lambda v: images_task(channels=v), "channels", [0, 2.5, "8"]),
    ("convnet", convnet, "size", [3, 0, 14.0, "14", None]),
    ("convnet", lambda v: convnet(14, v), "channels", [0, -1, 2.5, None]),
    ("text_task", lambda v: text_task(context=v), "context", [0, 2048, 2.5]),
    ("text_task", lambda v: text_task(context=8, heads=v), "heads", [0, 3, 2.0]),
    ("text_task", lambda v: text_task(context=8, depth=v), "depth", [0, None]),
    ("task", task, "name", ["mnist", "", None, 3]),
    ("recorded", recorded, "name", ["mlp", "", None, 3]),
    ("mlp", lambda v: mlp(*v), "sizes", [(), (3,)]),
    ("mlp", lambda v: mlp(3, v), "sizes", [0, -1, 2.5, "2"]),
    ("mlp", lambda v: mlp(3, 2, activation=v), "activation", ["gelu", None]),
    ("model", TASK.model, "seed", [-1, 0.5, "0"]),
    ("entropy", DRAWN.entropy, "name", ["validation", None]),
    ("transformer", lambda v: transformer(v, 4), "vocabulary", [1, 0, 2.5, "9", None, True]),
    ("transformer", lambda v: transformer(4, v), "context", [0, -1, 2.5, None]),
    ("transformer", lambda v: transformer(4, 4, width=v), "width", [0, -16, 2.5, "16"]),
    ("transformer", lambda v: transformer(4, 4, depth=v), "depth", [0, -1, 2.0, None]),
    ("transformer", lambda v: transformer(4, 4, heads=v), "heads", [0, 3, 32, 2.0, None]),
    ("transformer", lambda v: transformer(4, 4, norm=v), "norm", ["Pre", "batch", None, 1]),
    ("language_task", language_task, "norm", ["Pre", None]),
    ("language_task", lambda v: language_task(depth=v), "depth", [0, 1.5]),
    ("language_task", lambda v: language_task(language=v), "language", ["latin", 16]),
    # the synthetic language
    ("SyntheticLanguage", SyntheticLanguage, "vocabulary", [1, 0, 33, 16.0, "16", None, True]),
    (
        "SyntheticLanguage",
        lambda v: SyntheticLanguage(4, v),
        "concentration",
        [(), 8.0, "x", None, [[8.0, 2.0]]],
    ),
    ("SyntheticLanguage", lambda v: SyntheticLanguage(4, (8, v)), "concentration", [0.0, NAN, INF]),
    ("SyntheticLanguage", lambda v: SyntheticLanguage(seed=v), "seed", [-1, 0.5, None]),
    ("entropies", LANGUAGE.entropies, "context", [-1, 2.5, None]),
    ("floor", LANGUAGE.floor, "context", [0, 2.5, None]),
    ("sample", lambda v: LANGUAGE.sample(v, 3, 0), "sequences", [0, 1.5, None]),
    ("sample", lambda v: LANGUAGE.sample(3, v, 0), "length", [0, 1.5, None]),
    ("sample", lambda v: LANGUAGE.sample(3, 3, v), "seed", [-1, 1.5, None]),
    ("next_token", LANGUAGE.next_token, "tokens", [np.array(v) for v in TOKENS]),
    ("dataset", LANGUAGE.dataset, "context", [0, 1.5, None]),
    ("dataset", lambda v: LANGUAGE.dataset(3, train=v), "train", [0, 1.5]),
    ("dataset", lambda v: LANGUAGE.dataset(3, val=v), "val", [0, 1.5]),
    ("dataset", lambda v: LANGUAGE.dataset(3, test=v), "test", [0, 1.5]),
    ("dataset", lambda v: LANGUAGE.dataset(3, seed=v), "seed", [-1, 1.5]),
    ("expected_loss", lambda v: LANGUAGE.expected_loss(None, v), "context", [0, 8, 1.5, None]),
    ("expected_loss", lambda v: LANGUAGE.expected_loss(None, 3, v), "windows", [0, 1.5]),
    ("expected_loss", lambda v: LANGUAGE.expected_loss(None, 3, 5, v), "seed", [-1, None]),
    # sweep
    ("sweep", lambda v: run(task=v), "task", ["mnist1d", None]),
    ("sweep", lambda v: run(schedules=v), "schedules", [{}, None, Constant(), [Constant()]]),
    ("sweep", lambda v: run(schedules={"a": v}), "schedules['a']", [0.1, None]),
    ("sweep", lambda v: run(peaks=v), "peaks", [[], "x", None, [[0.1]], [0.2, 0.1], [0.1, 0.1]]),
    ("sweep", lambda v: run(peaks=[v]), "peaks", [0.0, -0.1, NAN, INF]),
    ("sweep", lambda v: run(peaks={v: [0.1]}), "peaks", ["b"]),
    ("sweep", lambda v: run(seeds=v), "seeds", [[], 3, "3", None, 5.0, (1, 1)]),
    ("sweep", lambda v: run(seeds=[v]), "seeds", [-1, 0.5, None]),
    ("sweep", lambda v: run(steps=v), "steps", [0, -1, 2.5, None]),
    ("sweep", lambda v: run(batch_size=v), "batch_size", [0, -1, 1001, 2.5, "32", [], [8] * 3]),
    ("sweep", lambda v: run(optimizer=v), "optimizer", ["adam", "SGD", None, torch.optim.SGD]),
    ("sweep", lambda v: run(momentum=v), "momentum", [1, -0.1, NAN, "0.9"]),
    ("sweep", lambda v: run(nesterov=True, momentum=v), "momentum", [0]),
    ("sweep", lambda v: run(optimizer="adamw", betas=v), "betas", [0.9, (0.9,), "ab"]),
    ("sweep", lambda v: run(optimizer="adamw", betas=(0.9, v)), "betas", [1, -0.1, NAN]),
    ("sweep", lambda v: run(optimizer="adamw", eps=v), "eps", [0, -1, NAN]),
    ("sweep", lambda v: run(weight_decay=v), "weight_decay", [-0.1, NAN, None]),
    ("sweep", lambda v: run(nesterov=v), "nesterov", ["yes", None, 2]),
    ("sweep", lambda v: run(optimizer="adamw", weight_decay=v), "weight_decay", [-0.1, NAN]),
    # the settings of the other optimizer, or beside an optimizer that has its own
    ("sweep", lambda v: run(betas=v), "betas", ["nonsense", (0.9,), 0.9, (0.8, 0.99), None]),
    ("sweep", lambda v: run(optimizer="sgd", eps=v), "eps", ["nonsense", 0, 1e-7, NAN]),
    ("sweep", lambda v: run(optimizer="adamw", momentum=v), "momentum", ["nonsense", 0.8, None]),
    ("sweep", lambda v: run(optimizer="adamw", nesterov=v), "nesterov", ["nonsense", True]),
    ("sweep", lambda v: run(optimizer=SGD(), momentum=v), "momentum", [0.9, 0.8, "nonsense"]),
    ("sweep", lambda v: run(optimizer=AdamW(), weight_decay=v), "weight_decay", [0.0, -1]),
    ("sweep", lambda v: run(optimizer=SGD(), betas=v), "betas", [(0.9, 0.999), "nonsense"]),
    ("sweep", lambda v: run(optimizer=v), "optimizer", [SGD, AdamW, 3, ["sgd"]]),
    ("sweep", lambda v: run(executor=v), "executor", [3, "dask", ThreadPoolExecutor]),
    ("SGD", lambda v: SGD(momentum=v), "momentum", [1, -0.1, NAN, "0.9", None, True]),
    ("SGD", lambda v: SGD(nesterov=v), "nesterov", ["yes", None, 1, 0]),
    ("SGD", lambda v: SGD(v, nesterov=True), "momentum", [0, 0.0]),
    ("SGD", lambda v: SGD(weight_decay=v), "weight_decay", [-0.1, NAN, INF, None]),
    ("AdamW", lambda v: AdamW(betas=v), "betas", [0.9, (0.9,), "ab", None, (0.1, 0.2, 0.3)]),
    ("AdamW", lambda v: AdamW(betas=(v, 0.9)), "betas", [1, -0.1, NAN, "0.9", None]),
    ("AdamW", lambda v: AdamW(betas=(0.9, v)), "betas", [1, -0.1, NAN, "0.9", None]),
    ("AdamW", lambda v: AdamW(eps=v), "eps", [0, -1, NAN, INF, None]),
    ("AdamW", lambda v: AdamW(weight_decay=v), "weight_decay", [-0.1, NAN, None]),
    ("sweep", lambda v: run(momentum_schedules=v), "momentum_schedules", [RAMP, 0.9, "a"]),
    ("sweep", lambda v: run(momentum_schedules={v: RAMP}), "momentum_schedules", ["b", None]),
    (
        "sweep",
        lambda v: run(momentum_schedules={"a": v}),
        "momentum_schedules['a']",
        [0.9, None, Constant, Constant(1.2), Constant(10 / 9)],
    ),
    ("sweep", lambda v: run(momentum_schedules={"a": RAMP}, momentum=v), "momentum", [0.0]),
    (
        "sweep",
        lambda v: run(momentum_schedules={"a": RAMP}, optimizer=SGD(v)),
        "momentum",
        [0.0],
    ),
    (
        "sweep",
        lambda v: run(momentum_schedules={"a": RAMP}, optimizer="adamw", betas=(v, 0.9)),
        "betas[0]",
        [0.0],
    ),
    ("sweep", lambda v: run(eval_steps=v), "eval_steps", [[], [2], [1, 0], [0, 0], 1, "1"]),
    ("sweep", lambda v: run(eval_steps=[v]), "eval_steps", [-1, 0.5]),
    ("sweep", lambda v: run(evaluate=v), "evaluate", ["val", None, 3]),
    ("sweep", lambda v: run(evaluate=[v]), "evaluate", ["validation", None]),
    ("sweep", lambda v: run(device=v), "device", ["abacus", "cuda:77"]),
    ("result", lambda v: run().at(v), "metric", ["loss", None]),
    ("result", lambda v: run().at("val_loss", v), "step", [0, 2, "1"]),
    ("result", lambda v: run().best_peaks(v), "metric", ["val"]),
    ("result", lambda v: result(schedule=v), "schedule", ["b"]),
    ("result", lambda v: result(peak=v), "peak", [0.2, NAN]),
    ("result", lambda v: result(seed=v), "seed", [1, None]),
    ("result", lambda v: result(step=v), "step", [1]),
    ("judged", lambda v: three().judged(v), "metric", ["error", None]),
    ("judged", lambda v: three().judged(by=v), "metric", ["error", None]),
    ("judged", lambda v: three().judged(step=v), "step", [2, "1"]),
    ("judged", lambda v: three().judged(schedules=[v]), "schedules", ["c", None]),
    ("compare", lambda v: three().compare(v, "b"), "a", ["c", None]),
    ("compare", lambda v: three().compare("a", v), "b", ["c", None]),
    ("compare", lambda v: three().compare("a", "b", v), "metric", ["error", None]),
    ("compare", lambda v: three().compare("a", "b", by=v), "metric", ["error", None]),
    ("compare", lambda v: three().compare("a", "b", step=v), "step", [0, 2, "1"]),
    ("compare", lambda v: three().compare("a", "b", scale=v), "scale", ["log", None]),
    ("joined", lambda v: three().joined(v), "other", [None, "results", NAMED]),
    ("batches", lambda v: batches(v, 10, 1, 2), "seed", [-1, 0.5]),
    ("batches", lambda v: batches(0, v, 1, 2), "n", [0, 2.5]),
    ("batches", lambda v: batches(0, 10, v, 2), "steps", [-1, None]),
    ("batches", lambda v: batches(0, 10, 1, v), "batch_size", [0, 11, 2.5, [], [8, 8]]),
    # the noisy quadratic
    ("quadratic", lambda v: quadratic(curvature=v), "curvature", [[], "x", None, [[1.0, 2.0]]]),
    ("quadratic", lambda v: quadratic(curvature=[1, v]), "curvature", [0.0, -1.0, NAN]),
    (
        "quadratic",
        lambda v: quadratic(gradient_variance=v),
        "gradient_variance",
        [-1.0, "x", [1.0] * 3],
    ),
    ("quadratic", lambda v: quadratic(start=v), "start", [-1.0, NAN, [1.0] * 3, None]),
    ("quadratic", lambda v: quadratic(batch_size=v), "batch_size", [0, 0.5, None]),
    ("loss", lambda v: quadratic().loss(v), "rates", [[], 0.1, "x", None]),
    ("loss", lambda v: quadratic().loss([0.1, v]), "rates", [-0.1, NAN, INF]),
    ("loss", lambda v: quadratic().loss([0.1], v), "momentum", [1, -0.1]),
    ("sampled", lambda v: quadratic().sample(v, 1, 0), "rates", [[[0.1]], 0.1]),
    ("sampled", lambda v: quadratic().sample([0.1], v, 0), "runs", [0, 1.5]),
    ("sampled", lambda v: quadratic().sample([0.1], 1, v), "seed", [-1, None]),
    ("sampled", lambda v: quadratic().sample([0.1], 1, 0, v), "momentum", [1]),
    ("greedy", lambda v: quadratic().greedy(v), "steps", [0, 1.5]),
    ("greedy", lambda v: quadratic().greedy(1, v), "cap", [0, -1, NAN, "2"]),
    ("optimal", lambda v: quadratic().optimal(v), "steps", [0, None]),
    ("optimal", lambda v: quadratic().optimal(1, v), "cap", [0, -INF, NAN]),
    ("tune", lambda v: quadratic().tune(v, 5), "shape", [None, 0.1, Constant(0)]),
    ("tune", lambda v: quadratic().tune(RAMP, v), "steps", [0, 2.5]),
    ("tune", lambda v: quadratic().tune(RAMP, 5, v), "momentum", [1, -1]),
    ("tune", lambda v: quadratic().tune(RAMP, 5, cap=v), "cap", [0, INF, NAN]),
    ("score", lambda v: quadratic().score(v, 5), "shape", [None, "cosine"]),
    ("stability", lambda v: quadratic().stability_limit(v), "momentum", [1]),
    ("floor", lambda v: quadratic().noise_floor(v), "lr", [0, NAN]),
    # the finder
    ("find_lr", lambda v: finder(optimizer=v), "optimizer", [None, 0.1, NET]),
    ("find_lr", lambda v: finder(optimizer=optimizer(lr=v)), "optimizer", [0.0]),
    ("find_lr", lambda v: finder(train_step=v), "train_step", [None, 1.0]),
    ("find_lr", lambda v: finder(model=v), "model", ["net", NAMED]),
    ("find_lr", lambda v: finder(scaler=v), "scaler", [True, NAMED]),
    ("find_lr", lambda v: finder(stateful=v), "stateful", [NAMED, 3]),
    ("find_lr", lambda v: finder(data=v), "data", [NAMED, 3]),
    ("find_lr", lambda v: finder(start_lr=v), "start_lr", [0, -1, NAN, INF, "1e-6", None]),
    ("find_lr", lambda v: finder(end_lr=v), "end_lr", [0, 1e-6, NAN, INF, "10", None]),
    ("find_lr", lambda v: finder(num_iter=v), "num_iter", [0, 9, 20.0, "100", None]),
    ("find_lr", lambda v: finder(repeats=v), "repeats", [0, -1, 1.5, None]),
    ("find_lr", lambda v: finder(diverge_factor=v), "diverge_factor", [1, 0, NAN, INF]),
    ("find_lr", lambda v: finder(smoothing=v), "smoothing", [-0.1, NAN, "0.2"]),
    ("restored", lambda v: kept(model=v), "model", ["net", NAMED]),
    ("restored", lambda v: kept(stateful=v), "stateful", [NAMED]),
    ("step", lambda v: training_step(v, len, []), "model", [None, NAMED]),
    ("step", lambda v: training_step(NET, v, []), "loss_fn", [None, "mse"]),
    ("step", lambda v: training_step(NET, len, v), "loader", [None, 3]),
    ("smooth rule", lambda v: smooth(RATES, LOSSES, v), "width", [-1, NAN, "1"]),
    ("steepest", lambda v: steepest(v, LOSSES), "rates", [[1.0, 2.0], [3, 2, 1], [1, 1, 2], "x"]),
    ("valley", lambda v: valley(RATES, v), "losses", [[1.0, 2.0], "x", None, [[1.0] * 3]]),
    ("edge", lambda v: edge(RATES, [1.0, 2.0, v]), "losses", [NAN, INF]),
    ("edge", lambda v: edge([v, 2.0, 3.0], LOSSES), "rates", [NAN, INF, 0.0, -1.0]),
    ("floor", lambda v: floor(RATES, [1.0, 2.0, v]), "losses", [NAN, INF]),
    ("curve", lambda v: LRFinderResult(RATES, v), "losses", [[1.0, 2.0], [[[1.0] * 3]], [NAN] * 3]),
    ("curve", lambda v: LRFinderResult(v, LOSSES), "rates", [[3, 2, 1]]),
    ("curve", lambda v: LRFinderResult(RATES, LOSSES, smoothing=v), "smoothing", [-1, NAN]),
    ("curve", lambda v: LRFinderResult(RATES, LOSSES).rate(v), "name", ["best", None]),
    # the batch size
    ("scale_lr", lambda v: scale_lr(v, 8, 16), "lr", [0, -1, NAN, INF, "0.1", None]),
    ("scale_lr", lambda v: scale_lr(0.1, v, 16), "batch_size", [0, -8, 2.5, "8", None]),
    ("scale_lr", lambda v: scale_lr(0.1, 8, v), "new_batch_size", [0, -8, 2.5, "8", None]),
    ("scale_lr", lambda v: scale_lr(0.1, 8, 16, v), "rule", ["cube", None, 2, int, NET]),
    ("noise", GradientNoiseScale, "decay", [0, 1, -0.5, NAN, "0.9"]),
    ("noise", lambda v: noise(small_sq=v), "small_sq", [-1, "1", None]),
    ("noise", lambda v: noise(big_sq=v), "big_sq", [-1, "1", None]),
    ("noise", lambda v: noise(batch_size=v), "batch_size", [0, 0.5, NAN, None]),
    ("noise", lambda v: noise(big_batch_size=v), "big_batch_size", [8, 1, NAN, None]),
    ("noise", lambda v: noise("update", gradients=v), "gradients", [None, 3]),
    ("noise", lambda v: noise("update", gradients=[[v], [THREE]]), "gradients", [1.0, "x"]),
    ("noise", lambda v: noise("update", batch_size=v), "batch_size", [0, 2.5, None, [8], [8] * 3]),
    ("noise", lambda v: noise("end_update", batch_size=v), "batch_size", [0, 2.5, None]),
    ("noise", lambda v: noise().interval(v), "confidence", [0, 1, 95, NAN]),
    ("noise scale", lambda v: gradient_noise_scale(v, 8), "gradients", [None, 3]),
    ("noise scale", lambda v: gradient_noise_scale(len, 8, params=v), "params", [[], [1.0]]),
    (
        "noise scale",
        lambda v: gradient_noise_scale(len, 8, params=NET.parameters(), microbatches=v),
        "microbatches",
        [1, 0, 2.5, None],
    ),
    # evidence and figures
    ("claim", lambda v: claim(v, 1.0, above=0), "text", ["", None, 3]),
    (
        "claim",
        lambda v: claim("x", v, above=0),
        "effect",
        ["a", [], [1.0, 2.0], [[1.0] * 3], ["a"] * 3],
    ),
    ("claim", lambda v: claim("x", 1.0, above=v), "above", [NAN, "0"]),
    ("claim", lambda v: claim("x", 1.0, below=v), "below", [NAN, INF]),
    ("claim", lambda v: claim("x", 1.0, within=v), "within", [(2, 1), (1, 1), 3, (1, 2, 3)]),
    ("claim", lambda v: claim("x", 1.0, within=(0, v)), "within", [NAN, "1"]),
    ("claim", lambda v: claim("x", 1.0, no_difference=v), "no_difference", [0, -1, NAN]),
    ("claim", lambda v: claim("x", 1.0, no_difference=v, scale="ratio"), "no_difference", [1, 0.5]),
    ("claim", lambda v: claim("x", 1.0, above=0, confidence=v), "confidence", [0, 1, 95, NAN]),
    ("claim", lambda v: claim("x", 1.0, above=0, scale=v), "scale", ["log", None]),
    ("claim", lambda v: claim("x", [1.0, 2.0, v], above=0, scale="ratio"), "effect", [0.0, -1.0]),
    ("claim", lambda v: claim("x", v, below=3, scale="ratio"), "effect", [-2.0, 0.0]),
    ("band", lambda v: band(runs=v), "runs", [[1, 2], [[1, 2, 3]], "x"]),
    ("band", lambda v: band(interval=v), "interval", [(90, 10), (0, 101), 5, (NAN, 90)]),
    ("smooth", lambda v: figures.smooth([1.0, 2.0], v), "width", [0, 1.5]),
    ("smooth", lambda v: figures.smooth(v, 2), "values", [[], 1.0, "x"]),
    ("show", figures.show, "alt", ["", "  ", None, 3]),
    ("look", figures.look, "schedule", ["zigzag", None]),
    ("shades", figures.shades, "n", [0, 1.5]),
]
CASES = [
    pytest.param(call, name, value, id=f"{owner}-{name}-{str(value)[:20]}")
    for owner, call, name, values in TABLE
    for value in values
]


@pytest.mark.parametrize(("call", "name", "value"), CASES)
def test_the_error_names_the_argument_and_the_value(call, name, value):
    with pytest.raises((TypeError, ValueError)) as error:
        call(value)
    message = str(error.value)
    assert name in message
    assert repr(value) in message


def test_there_are_many():
    assert len(TABLE) >= 60 and len(CASES) >= 200


@pytest.mark.parametrize("given", [{}, {"above": 1, "below": 2}])
def test_a_claim_needs_exactly_one_bound(given):
    with pytest.raises(ValueError, match=rf"exactly one of above, below.* got {len(given)}"):
        claim("x", 1.0, **given)


def test_grids_of_two_lengths():
    schedules = {"a": Constant(), "b": HalfCosine(3)}
    with pytest.raises(
        ValueError, match=r"peaks must be grids of one length, got lengths \[1, 2\]"
    ):
        run(schedules=schedules, peaks={"a": [0.1], "b": [0.1, 0.2]})


def test_labels_outside_the_outputs():
    with pytest.raises((ValueError, RuntimeError)):
        squared_error(torch.zeros(2, 3), torch.tensor([0, 5]))


def test_an_argument_that_a_sweep_does_not_have():
    with pytest.raises(TypeError, match="unexpected keyword argument 'stepz'"):
        run(stepz=3)
