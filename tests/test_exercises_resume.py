"""Chapter 13's checkers, beyond their tables (test_exercises_tables.py)."""

import pytest
import torch

from lrlib import Constant, PolynomialDecay, Warmup
from lrlib.exercises import Mistake
from lrlib.exercises import resume as check
from lrlib.exercises.resume_disk import _steps

go_on = check._go_on


def through_a_nested_dict(make, loss, steps, saved=None):
    names = ("m", "o", "s")
    objects, step = dict(zip(names, make(), strict=True)), 0
    if saved:
        step = saved["at"]
        for name, part in objects.items():
            part.load_state_dict(saved["all"][name])
    for at in range(step, steps):
        objects["o"].zero_grad()
        loss(objects["m"], at).backward()
        objects["o"].step()
        objects["s"].step()
    return {"at": steps, "all": {name: part.state_dict() for name, part in objects.items()}}


def by_hand(shape, more, share, warmup):
    rise = Warmup(warmup).then(Constant(1.0, more))
    fall = Constant(share, warmup).then(Constant(share) * PolynomialDecay(more - warmup))
    return shape.then((rise * fall).then(Constant(0.0), more))


@pytest.mark.parametrize(
    ("checker", "solution"),
    [
        (check.check_flaws, lambda: list("FDCA")),
        (check.check_save, _steps("write o, sync o, rename o N")),
        (check.check_save, _steps("write n, sync n, sync n, rename n N, sync N")),
        (check.check_go_on, through_a_nested_dict),
        (check.check_extend, by_hand),
        (check.check_cost, lambda ns: sum(n // 5 for n in {*ns}) + max(ns) - max(ns) // 5),
    ],
)
def test_other_solutions_pass(checker, solution):
    checker(solution)


def saves_objects(make, loss, steps, saved=None):
    make()[1].step()
    return {"step": steps, "batches": lambda: 0}


def keeps_weights_outside(make, loss, steps, saved=None, kept=[]):  # noqa: B006
    kept.append(go_on()(make, loss, steps, saved))
    return kept[-1]


MISTAKES = [
    (check.check_save, _steps("write n, rename N n"), "way round|good file|no such file|cut short"),
    (check.check_save, lambda disk, name, text: "done", "should return the disk"),
    (check.check_save, lambda disk, name, text: disk, "at the end the file is the old one, and"),
    (check.check_save, _steps("sync n"), "there is no file 'run.pt.new' on the disk"),
    (check.check_go_on, saves_objects, "could not write|batches"),
    (
        check.check_go_on,
        lambda make, loss, steps, saved=None: {},
        "no update|not called|IndexError",
    ),
    (check.check_go_on, go_on(says=lambda saved: saved["step"]), "return a dict"),
    (check.check_cost, lambda ns: 0.5, "whole number"),
]


@pytest.mark.parametrize(("checker", "answer", "words"), MISTAKES)
def test_mistakes_beyond_the_tables(checker, answer, words):
    with pytest.raises(Mistake, match=words):
        checker(answer)


def test_the_numbers_of_the_question():
    lengths = [10_000, 20_000, 40_000, 80_000]
    assert check._cost(lengths) == 94_000 and sum(lengths) == 150_000
    assert 64_000 == 80_000 - 80_000 // 5 and 128_000 == 160_000 - 160_000 // 5


def test_what_the_statements_of_exercise_1_say():
    """A: the rates are wrong. C: the loader begins anew. F: the masks repeat."""
    weight = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.AdamW([weight], lr=3e-4)
    rise = torch.optim.lr_scheduler.LinearLR(optimizer, 0.01, total_iters=1_000)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(3e-6) and rise.last_epoch == 0
