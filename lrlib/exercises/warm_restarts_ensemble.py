"""Chapter 05, exercise 4: an ensemble of snapshots, which are to stay as they are."""

from __future__ import annotations

import copy
import functools
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lrlib.exercises import Ask, Limit, Mistake, exercise, short
from lrlib.warm_restarts import ensemble_probabilities


def _snapshots(n_models: int, classes: int, n: int) -> tuple[list[nn.Sequential], Tensor]:
    """Models of one shape that disagree, in several modes, and inputs without a close decision."""
    generator = torch.Generator().manual_seed(classes)
    models = []
    for i in range(n_models):
        norm, last = nn.BatchNorm1d(16), nn.Linear(16, classes)
        model = nn.Sequential(nn.Linear(6, 16), norm, nn.ReLU(), nn.Dropout(0.5), last)
        with torch.no_grad():
            for tensor in (*model.parameters(), norm.get_buffer("running_mean")):
                tensor.copy_(torch.randn(tensor.shape, generator=generator))
            last.weight.mul_((0.2, 1.5, 0.5)[i % 3])  # some are surer of themselves
        models.append(model)
    models[1].eval()
    models[2][1].eval()  # a frozen batch norm in a model that is being trained
    inputs = torch.randn(40 * n, 6, generator=generator)
    each = torch.stack([ensemble_probabilities([model], inputs) for model in models])
    votes = nn.functional.one_hot(each.argmax(-1), classes).sum(0)
    mean, vote = (scores.topk(2).values.T for scores in (each.mean(0), votes))
    clear = (mean[0] - mean[1] > 0.01) & (vote[0] > vote[1])
    return models, inputs[clear.nonzero()[:n, 0]]


def _put_back(modes):
    for module, training in modes:
        module.training = training


def _with(
    scores=lambda x: x.softmax(-1).mean(0),
    answer=lambda scores: scores.argmax(1),
    prepare=nn.Module.eval,
    context=torch.no_grad,
    restore=_put_back,
):
    """The ensemble with any of these changed; `scores` are of the logits of all models."""

    def predict(models, inputs):
        modes = [(module, module.training) for model in models for module in model.modules()]
        for model in models:
            prepare(model)
        with context():
            logits = torch.stack([model(inputs) for model in models])
        restore(modes)
        return answer(scores(logits))

    return predict


def _merging(names):
    """One model, in which the mean over the models stands under these names."""

    def predict(models, inputs):
        merged = copy.deepcopy(models[0])
        states = [model.state_dict() for model in models]
        mean = {name: sum(state[name] for state in states) / len(states) for name in names(merged)}
        merged.load_state_dict(mean, strict=False)
        return _with()([merged], inputs)

    return predict


def _observed(ask: Ask, models: list[nn.Sequential], inputs: Tensor) -> dict[str, Any]:
    """How the models were called, what was left of them, and the answer."""
    models, before, limit = copy.deepcopy(models), copy.deepcopy(models), Limit(10_000, "calls")
    seen: set[str] = set()

    def look(layer: nn.Module, _: Any, output: Tensor) -> None:
        limit()
        seen.add("called")
        if layer.training and isinstance(layer, nn.BatchNorm1d | nn.Dropout):
            seen.add("training")
        if output.requires_grad:
            seen.add("gradients")

    for model in models:
        for layer in model:
            layer.register_forward_hook(look)
    with torch.enable_grad(), torch.random.fork_rng(devices=[]):
        answer = ask(models, inputs)
        left_off = not torch.is_grad_enabled()
    classes = _classes(answer, len(inputs), models[0][-1].out_features)
    modes, kept = "as found", True
    for model, old in zip(models, before, strict=True):
        kept &= all(map(torch.equal, model.state_dict().values(), old.state_dict().values()))
        now, then = ([layer.training for layer in each.modules()] for each in (model, old))
        if now != then and modes == "as found":
            modes = "eval" if not any(now) else "training" if not any(then) else "a layer"
    return {
        "calls": "training" if "training" in seen else "eval" if seen else "none",
        "requires_grad": all(p.requires_grad for model in models for p in model.parameters()),
        "gradients": "left off" if left_off else "recorded" if "gradients" in seen else "off",
        "weights": kept,
        "modes": modes,
        "classes": classes,
    }


def _classes(answer: Any, n: int, classes: int) -> np.ndarray:
    if isinstance(answer, tuple) and hasattr(answer, "indices"):
        raise Mistake(
            "max over an axis returns two things, the largest values and their positions. Which "
            "of them is the class?"
        )
    try:
        found = np.asarray(torch.as_tensor(answer).detach())
    except Exception:
        raise Mistake(f"return a tensor of classes, not {short(answer)}.") from None
    if found.shape == (n, classes):
        raise Mistake(
            f"you returned shape ({n}, {classes}), a number for every class. The class of an input "
            f"is the position of the largest in its row."
        )
    if found.shape != (n,):
        raise Mistake(
            f"return one class for each of the {n} inputs, shape ({n},), not shape {found.shape}. "
            f"There were {classes} classes: look at the axis of each of your operations."
        )
    if found.dtype.kind not in "iu":
        raise Mistake(
            f"classes are whole numbers from 0 to {classes - 1}; you returned {found.dtype}. Is it "
            f"the largest probability, and not its position?"
        )
    return found


_AXIS = "your softmax runs over the {}. Which axis is that of the classes?"
check_predict = exercise(
    "Exercise 4: ``predict(models, inputs)``, the classes of an ensemble of snapshots.",
    right=lambda models, inputs: ensemble_probabilities(models, inputs).argmax(1),
    names=("_models", "_inputs"),
    cases=(_snapshots(5, 4, 60), _snapshots(3, 3, 1)),
    read=_observed,
    rules_out=("lrlib.warm_restarts", "ensemble_probabilities"),
    wrong=(
        ("no model was called.", lambda models, inputs: torch.zeros(len(inputs)).long()),
        (
            "your function changed requires_grad of a model's weights. They could be trained no "
            "longer: use a context instead.",
            _with(prepare=lambda model: model.eval().requires_grad_(False)),
        ),
        (
            "the models were called while gradients are recorded, which costs memory for nothing. "
            "Which context of torch turns that off?",
            _with(context=nullcontext),
        ),
        (
            "gradients were switched off and left off: training would fail. A context restores.",
            _with(prepare=lambda model: torch.set_grad_enabled(model.eval() is None)),
        ),
        (
            "your function changed the weights of a model. Average what the models return, not "
            "what they are made of.",
            _with(prepare=lambda model: nn.init.zeros_(model.eval()[0].bias)),
        ),
        (
            "a model was in training mode, and your function left it in eval mode. Training that "
            "goes on would have no dropout: put back what you found.",
            _with(restore=lambda modes: None),
        ),
        (
            "a model was in eval mode, and was left in training mode. Put back what you found.",
            _with(restore=lambda modes: [module.train() for module, _ in modes]),
        ),
        (
            "a model is in training mode again, but one of its layers was in eval mode, a frozen "
            "batch norm. train() sets every layer: note the mode of each of model.modules().",
            _with(restore=lambda modes: [m.train(was) for m, was in modes if len([*m.children()])]),
        ),
        (
            "you averaged logits (or logarithms of probabilities, which is the same). A model "
            "with large logits outvotes the others: turn each one's into probabilities first.",
            _with(lambda x: x.mean(0)),
        ),
        (
            "you averaged the weights of the models. Average what they return.",
            _merging(lambda model: dict(model.named_parameters())),
            _merging(lambda model: model.state_dict()),
        ),
        (
            "you let the models vote. A vote forgets how sure each of them was: average their "
            "probabilities, and then choose the class.",
            _with(lambda x: x.argmax(-1), lambda votes: votes.mode(0).values),
        ),
        (
            "you averaged the numbers of the classes. Average their probabilities.",
            _with(lambda x: x.argmax(-1), lambda x: x.float().mean(0).round().long()),
            _with(lambda x: x.argmax(-1), lambda x: x.float().mean(0).long()),
        ),
        ("only the last model counts. Is the result overwritten?", _with(lambda x: x[-1])),
        ("only the first model counts. Does a loop return too early?", _with(lambda x: x[0])),
        (_AXIS.format("inputs"), _with(lambda x: x.softmax(1).mean(0))),
        (_AXIS.format("models"), _with(lambda x: x.softmax(0).mean(0))),
        ("those are sigmoids: classes have softmax.", _with(lambda x: x.sigmoid().mean(0))),
        (
            "the model that is surest decides alone.",
            _with(lambda x: x.softmax(-1).amax(0)),
            _with(lambda x: x.amax(0)),
        ),
        ("that is a median, not a mean.", _with(lambda x: x.softmax(-1).median(0).values)),
        (
            "halving after each model gives the last one half of the weight. All count the same.",
            _with(lambda x: functools.reduce(lambda a, b: (a + b) / 2, x.softmax(-1))),
        ),
        ("you chose the least probable class.", _with(answer=lambda x: x.argmin(1))),
        ("classes count from 0.", _with(answer=lambda x: x.argmax(1) + 1)),
    ),
    differs={
        "calls": "a model was called with a dropout or a batch norm in training mode: dropout "
        "draws, batch norm uses the statistics of your inputs. Every model needs eval() before.",
        "classes": "for input {i} you have class {given}; by the mean it is {wanted}.",
    },
    passed="all that this cell asks of your ensemble is as it should be.",
)
