"""Chapter 12's checkers, beyond their tables (test_exercises_tables.py)."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from lrlib import Constant, CosineAnnealing, LRTrace, PolynomialDecay, Warmup, layer_groups
from lrlib.exercises import Mistake
from lrlib.exercises import composing as check
from lrlib.exercises.composing_traces import CAUSES

SHEET = Path(__file__).parent.parent / "chapters/solutions/12_composing/exercises.py"
REST, FALL = Constant(0, 1000), PolynomialDecay(2000)
RISE = Warmup(500, 1 / 501)


def plan(rest=REST, rise=RISE, up=None, top=0.25, fall=FALL, at=8000, head_fall=FALL):
    up = Warmup(500) if up is None else up
    old = rest.then(up.then(Constant(total_iters=6500)) * Constant(top)).then(
        fall * Constant(top), at=at
    )
    return lambda: (old, rise.then(Constant(total_iters=7500)).then(head_fall))


def by_layer(layers, lr, ratio, weight_decay):
    model = torch.nn.Sequential(*layers)
    return layer_groups(model, lr, ratio, weight_decay=weight_decay)


def with_generators(layers, lr, ratio, weight_decay):
    made = check._grouped()(layers, lr, ratio, weight_decay)
    return tuple({**g, "params": iter(g["params"])} for g in reversed(made))


def in_pieces(t, rise, hold, fall, low):
    return np.interp(t, [0, rise, rise + hold, rise + hold + fall], [0, 1, 1, low])


@pytest.mark.parametrize(
    ("checker", "solution"),
    [
        (check.check_peak_for, lambda a, b, n, w: w / (a * b).sample(n).max()),
        (check.check_trapezoid, in_pieces),
        (check.check_groups, by_layer),
        (check.check_groups, with_generators),
        (check.check_causes, lambda: list("dacfbe")),
        (check.check_causes, lambda: dict(CAUSES)),
        (check.check_plan, plan()),
        (check.check_plan, plan(head_fall=CosineAnnealing(2000))),
        (check.check_plan, plan(fall=CosineAnnealing(2000))),
    ],
)
def test_other_solutions_pass(checker, solution, capsys):
    checker(solution)
    assert capsys.readouterr().out.startswith("Passed: ")


MISTAKES = [
    (check.check_peak_for, lambda a, b, n, w: 0.4, "the same in all cases"),
    (check.check_peak_for, lambda a, b, n, w: w / max((a * b).sample(n)) * n, "you gave"),
    (check.check_trapezoid, lambda t, *c: check._trapezoid(t + 1, *c), "one step early"),
    (check.check_trapezoid, lambda t, *c: check._trapezoid(max(t - 1, 0), *c), "one step late"),
    (check.check_groups, lambda layers, *_: None, "returned None"),
    (check.check_groups, lambda layers, *_: [1.0], "a group is a dict"),
    (check.check_groups, lambda layers, *_: [{"params": [layers[0].bias]}], 'no "lr"'),
    (
        check.check_groups,
        lambda layers, lr, *_: [{"params": [torch.nn.Linear(1, 1).bias], "lr": lr,
                                 "weight_decay": 0.0}],
        "no parameter of these layers",
    ),
    (check.check_causes, lambda: "DACFEB", "trace 5 and trace 6 have changed places"),
    (check.check_causes, lambda: "DACFGE", "what was meant, from another step on"),
    (check.check_causes, lambda: "ABCDEF", "What is their ratio"),
    (check.check_causes, lambda: "DAC", "six letters from A to H"),
    (check.check_causes, lambda: "DACFBX", "six letters from A to H"),
    (check.check_plan, lambda: FALL, "two Schedules"),
    (check.check_plan, lambda: (0.25, FALL), "both should be Schedules"),
    (check.check_plan, plan(rise=Warmup(500)), "first update of the head has rate 0"),
    (check.check_plan, plan(rise=Warmup(600, 1 / 601)), "should be at 1.0 from step 500"),
    (check.check_plan, plan(rest=Constant(0, 900)), "move at update 901"),
    (check.check_plan, plan(top=1.0), "should be at 0.25 from step 1500"),
    (check.check_plan, plan(up=Constant(total_iters=500)), "jump from 0 to 0.25 at step 1000"),
    (check.check_plan, plan(fall=Constant(0)), "jump from 0.25 to 0 at step 8000"),
    (check.check_plan, plan(head_fall=PolynomialDecay(1500)), "at 0 from step 9500 on"),
    (check.check_plan, plan(head_fall=PolynomialDecay(2000, min_factor=0.1)), "at 0 and stay"),
    (check.check_plan, lambda: plan()()[::-1], "head"),
]  # fmt: skip


@pytest.mark.parametrize(("checker", "answer", "hint"), MISTAKES)
def test_each_mistake_gets_its_hint(checker, answer, hint):
    with pytest.raises(Mistake, match=hint):
        checker(answer)


# --- the traces of exercise 4, made by their faults


def meant(t):
    return (t + 1) / 4 if t < 4 else (1 + math.cos(math.pi * (t - 4) / 8)) / 2


def early_fall(t):
    return (1 + math.cos(math.pi * t / 12)) / 2


def two_schedulers(optimizer):
    """The second one writes over what the first wrote."""
    schedulers = torch.optim.lr_scheduler
    both = [schedulers.LambdaLR(optimizer, lambda t: min(1, (t + 1) / 4))]
    both.append(schedulers.LambdaLR(optimizer, early_fall))
    return both


def rates(make, lr=1.0, first=0, each=1):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    schedulers, trace = make(optimizer), LRTrace(optimizer)
    for _ in range(first):
        schedulers[0].last_epoch += 1
        optimizer.param_groups[0]["lr"] = lr * schedulers[0].lr_lambdas[0](first)
    for _ in range(12):
        optimizer.step()
        for _ in range(each):
            for scheduler in schedulers:
                scheduler.step()
    return trace.lr[:, 0]


def driven(function):
    return lambda optimizer: [torch.optim.lr_scheduler.LambdaLR(optimizer, function)]


def cut_short(t):
    return (t + 1) / 8 if t < 4 else meant(t)


TRACES = {
    "meant": lambda: rates(driven(meant)),
    "D": lambda: rates(driven(lambda t: 0.1 * meant(t)), lr=0.1),
    "A": lambda: rates(driven(meant), each=2),
    "C": lambda: rates(driven(lambda t: min(1, (t + 1) / 4) * early_fall(t))),
    "F": lambda: rates(driven(cut_short)),
    "B": lambda: rates(driven(meant), first=1),
    "E": lambda: rates(two_schedulers),
}


@pytest.mark.parametrize("cause", TRACES)
def test_the_sheet_prints_the_trace_of_each_fault(cause):
    name = "meant " if cause == "meant" else f"trace {'DACFBE'.index(cause) + 1}"
    (line,) = (x for x in SHEET.read_text().splitlines() if x.startswith(f"# {name}  "))
    printed = [float(x) for x in line.removeprefix(f"# {name}").split()]
    digits = 4 if cause == "D" else 2
    assert np.allclose(printed, TRACES[cause](), atol=0.5001 * 10**-digits)
