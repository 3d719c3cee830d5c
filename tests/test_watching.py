"""watch: every slice is the run that a plain torch loop with the same rule would have made."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lrlib import Constant, PlateauRule, PolynomialDecay
from lrlib.lab import SGD, AdamW, Watched, batches, digits_task, images_task, sweep, watch
from lrlib.lab.watching import METRICS

STEPS, EVERY = 60, 5
OPTIONS = {"steps": STEPS, "every": EVERY, "batch_size": 32}
QUICK = {"patience": 0, "factor": 0.5}  # fires within the run


def quick(**watched):
    return Watched(lambda: PlateauRule(**QUICK), **watched)


def plain_loop(task, seed, lr, examples, kind=torch.optim.SGD, **settings):
    """Torch's own loop and rule: the applied rates, what was heard, and the model."""
    data, model = task.data.draw(seed), task.model(seed)
    optimizer = kind(model.parameters(), lr=lr, **settings)
    rule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, eps=0, **QUICK)
    rates, heard = [], []
    for t, rows in enumerate(batches(seed, len(data.train_x), STEPS, 32), start=1):
        optimizer.zero_grad()
        F.cross_entropy(model(data.train_x[rows]), data.train_y[rows]).backward()
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if t % EVERY == 0:
            with torch.no_grad():
                loss = F.cross_entropy(model(data.val_x[:examples]), data.val_y[:examples])
            heard.append(loss.item())
            rule.step(loss)
    return np.array(rates), np.array(heard), model


@pytest.mark.parametrize("examples", [40, None])
@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_a_slice_equals_torchs_loop_and_rule(kind, examples):
    task, sgd = digits_task(), kind == "sgd"
    lr = 0.4 if sgd else 0.05
    optimizer = SGD(0.9) if sgd else AdamW()
    loop = {"momentum": 0.9} if sgd else {"kind": torch.optim.AdamW, "weight_decay": 0.0}
    rules = {"a": quick(examples=examples)}
    result = watch(task, rules, [lr / 2, lr], [3, 4, 5], optimizer=optimizer, **OPTIONS)
    rates, heard, model = plain_loop(task, 4, lr, examples, **loop)
    assert 0.5**6 * lr < rates[-1] < lr  # the rule fired, and not at every evaluation
    assert result.lr[0, 1, 1] == pytest.approx(rates, rel=1e-6)
    assert result.heard[0, 1, 1] == pytest.approx(heard, rel=1e-3)
    assert list(result.heard_at) == list(range(EVERY, STEPS + 1, EVERY))
    data = task.data.draw(4)
    with torch.no_grad():
        wrong = (model(data.test_x).argmax(1) != data.test_y).double().mean().item()
    assert result.at("test_error")[0, 1, 1] == pytest.approx(wrong, abs=0.006)
    assert result.drops()[0, 1, 1] == (np.diff(rates) < 0).sum() + (
        result.factors[0, 1, 1, -1] < result.factors[0, 1, 1, -2]
    )


@pytest.mark.parametrize("shape", [Constant(), PolynomialDecay(STEPS)])
def test_a_rule_that_never_fires_is_a_sweep(shape):
    task, grid, seeds = digits_task(), [0.05, 0.1], [0, 1, 2]
    rules = {"a": Watched(lambda: PlateauRule(patience=10**6), shape=shape)}
    ours = watch(task, rules, grid, seeds, **OPTIONS)
    theirs = sweep(task, {"b": shape}, grid, seeds, steps=STEPS, batch_size=32)
    assert np.array_equal(ours.lr, theirs.lr)
    for name, values in theirs.metrics.items():
        assert ours.metrics[name] == pytest.approx(values, abs=1e-6)
    assert (ours.drops() == 0).all() and (ours.factors == 1).all()
    assert theirs.joined(ours).schedules == ("b", "a")
    assert ours.heard[..., -1] == pytest.approx(theirs.at("val_loss"), abs=1e-6)


def test_the_level_multiplies_the_shape():
    shape = PolynomialDecay(STEPS)
    result = watch(digits_task(), {"a": quick(shape=shape)}, [0.4], [0], **OPTIONS)
    level = np.repeat(np.concatenate([[1], result.factors[0, 0, 0, :-1]]), EVERY)
    assert level[-1] < 1
    assert result.lr[0, 0, 0] == pytest.approx(0.4 * shape.sample(STEPS) * level, rel=1e-6)


def test_every_metric_is_what_it_says():
    task, quiet = digits_task(), {"rule": lambda: PlateauRule(patience=10**6)}
    rules = {metric: Watched(metric=metric, examples=50, **quiet) for metric in METRICS}
    result = watch(task, rules, [0.1], [1], **OPTIONS)
    swept = sweep(task, {"a": Constant()}, [0.1], [1], steps=STEPS, batch_size=32)
    each = swept.train_loss[0, 0, 0].reshape(-1, EVERY)
    heard = dict(zip(rules, result.heard[:, 0, 0], strict=True))
    assert heard["batch_loss"] == pytest.approx(each[:, -1], rel=1e-5)
    assert heard["mean_batch_loss"] == pytest.approx(each.mean(-1), rel=1e-5)
    assert set(np.round(heard["val_error"] * 50, 6)) <= set(range(51))
    assert not np.allclose(heard["val_loss"], heard["batch_loss"])


def test_runs_do_not_depend_on_what_else_is_watched():
    task = images_task(hidden=(8,))
    alone = watch(task, {"a": quick(examples=30)}, [0.1], [1], **OPTIONS)
    rules = {"b": Watched(lambda: PlateauRule()), "a": quick(examples=30)}
    among = watch(task, rules, [0.1, 0.3], [0, 1], **OPTIONS)
    assert among.heard[1, 0, 1] == pytest.approx(alone.heard[0, 0, 0], rel=1e-4)


def test_a_run_that_diverges_is_nan_and_alone():
    rules = {"a": Watched(lambda: PlateauRule())}
    result = watch(digits_task(), rules, [0.05, 1e30], [0, 1], **OPTIONS)
    assert np.isnan(result.at("test_error")[0, 1]).all()
    assert np.isfinite(result.at("test_error")[0, 0]).all()


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"task": 3}, "task"),
        ({"rules": {}}, "rules"),
        ({"rules": {"a": PlateauRule()}}, "rules"),
        ({"rules": {"a": quick(examples=398)}}, "examples"),
        ({"every": 7}, "every"),
        ({"every": 0}, "every"),
        ({"batch_size": None}, "batch_size"),
        ({"peaks": [-1.0]}, "peaks"),
        ({"seeds": [0, 0]}, "seeds"),
        ({"steps": 0}, "steps"),
        ({"optimizer": "sgd"}, "optimizer"),
    ],
)
def test_bad_arguments_are_named(changed, named):
    given = {"task": digits_task(), "rules": {"a": quick()}, "peaks": [0.1], "seeds": [0]}
    with pytest.raises((TypeError, ValueError), match=f"watch: .*{named}"):
        watch(**{**given, **OPTIONS, **changed})


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"rule": PlateauRule()}, "rule"),
        ({"metric": "loss"}, "metric"),
        ({"examples": 0}, "examples"),
        ({"shape": 1.0}, "shape"),
    ],
)
def test_bad_settings_of_a_rule_are_named(changed, named):
    with pytest.raises((TypeError, ValueError), match=f"Watched: {named}"):
        replace(quick(), **changed)


def test_a_rate_that_is_not_the_rules_is_an_error(monkeypatch):
    class Forgetful(SGD):
        def stacked(self, params):
            update = super().stacked(params)
            step = update.step
            update.step = lambda grads, lr, momentum=None: step(grads, lr * 2, momentum)
            return update

    with pytest.raises(RuntimeError, match="differ from the rules'"):
        watch(digits_task(), {"a": quick()}, [0.1], [0], optimizer=Forgetful(), **OPTIONS)


def test_any_object_with_a_level_is_a_rule():
    class Halving(SimpleNamespace):
        def observe(self, metric):
            self.level /= 2

    result = watch(digits_task(), {"a": Watched(lambda: Halving(level=1.0))}, [0.1], [0], **OPTIONS)
    assert result.factors[0, 0, 0] == pytest.approx(0.5 ** np.arange(1, STEPS // EVERY + 1))
