"""Checkers of chapter 12."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from lrlib.constant import Constant
from lrlib.exercises import (
    Ask,
    Mistake,
    exercise,
    over,
    short,
)
from lrlib.exercises.composing_traces import check_causes, check_plan
from lrlib.exponential_decay import ExponentialDecay, PolynomialDecay
from lrlib.schedule import Schedule
from lrlib.warmup import Warmup

__all__ = ["check_causes", "check_groups", "check_peak_for", "check_plan", "check_trapezoid"]

# --- 1. A product and its peak


def _product(a: Schedule, b: Schedule, steps: int) -> list[float]:
    return [a(t) * b(t) for t in range(steps)]


check_peak_for = exercise(
    "Exercise 1: ``peak_for(a, b, steps, wanted)``, the rate that makes a product's highest right.",
    right=lambda a, b, steps, wanted: wanted / max(_product(a, b, steps)),
    cases=(
        (Warmup(10, 0.1), PolynomialDecay(40) * Constant(0.8), 40, 0.3),
        (Warmup(60, 0.2), ExponentialDecay(0.99), 25, 0.05),  # highest at its last update
        (Warmup(8, 0.5), PolynomialDecay(30, power=2.0) * Constant(0.6), 30, 0.7),
    ),
    wrong=(
        (
            "each shape has its highest step, and they are not the same one. Multiply step by "
            "step, then look for the highest.",
            lambda a, b, steps, wanted: (
                wanted / max(a(t) for t in range(steps)) / max(b(t) for t in range(steps))
            ),
        ),
        ("the second shape is left out.", lambda a, b, n, w: w / max(a(t) for t in range(n))),
        ("the first shape is left out.", lambda a, b, n, w: w / max(b(t) for t in range(n))),
        (
            "that is the highest factor of the product. The rate times that factor is to be "
            "{wanted}.",
            lambda a, b, n, w: max(_product(a, b, n)),
        ),
        (
            "with that rate the run would use {wanted} times the highest factor squared. Divide.",
            lambda a, b, n, w: w * max(_product(a, b, n)),
        ),
        (
            "the shapes are added. `a * b` multiplies.",
            lambda a, b, n, w: w / max(a(t) + b(t) for t in range(n)),
        ),
        (
            "that makes the first update use {wanted}. The highest is asked for.",
            lambda a, b, n, w: w / (a(0) * b(0)),
        ),
        (
            "that makes the last update use {wanted}. The highest is asked for.",
            lambda a, b, n, w: w / (a(n - 1) * b(n - 1)),
        ),
        (
            "that makes the mean rate {wanted}. The highest is asked for.",
            lambda a, b, n, w: w * n / sum(_product(a, b, n)),
        ),
        (
            "at each step only the larger of the two factors is taken. Multiply them.",
            lambda a, b, n, w: w / max(max(a(t), b(t)) for t in range(n)),
        ),
        (
            "at each step only the smaller of the two factors is taken. Multiply them.",
            lambda a, b, n, w: w / max(min(a(t), b(t)) for t in range(n)),
        ),
        (
            "the last of the updates is left out. `steps` updates have the numbers 0 to steps - 1.",
            lambda a, b, n, w: w / max(_product(a, b, n - 1)),
        ),
        (
            "there is one update too many. `steps` updates have the numbers 0 to steps - 1.",
            lambda a, b, n, w: w / max(_product(a, b, n + 1)),
        ),
        (
            "one shape follows the other here. In a product both act at every step.",
            lambda a, b, n, w: w / max(a.then(b).sample(n)),
        ),
    ),
    differs="you gave {given}; with {wanted} the highest rate is what was wanted.",
    passed="the highest rate of the run is the one that was wanted.",
)

# --- 2. A shape from an idea


def _trapezoid(t: int, rise: int, hold: int, fall: int, low: float) -> float:
    if t < rise:
        return t / rise
    share = min(max(t - rise - hold, 0) / fall, 1)
    return 1 - (1 - low) * share


def _shape(first=None, share=None, last=None):
    """The trapezoid with another rise, another share of the fall, or another fall."""

    def trapezoid(t, rise, hold, fall, low):
        if t < rise:
            return first(t, rise) if first else t / rise
        s = (share or (lambda t, r, h, f: (t - r - h) / f))(t, rise, hold, fall)
        s = min(max(s, 0), 1)
        return last(s, low) if last else 1 - (1 - low) * s

    return trapezoid


check_trapezoid = exercise(
    "Exercise 2: ``trapezoid(t, rise, hold, fall, low)``, a shape from its description.",
    right=_trapezoid,
    cases=((4, 6, 5, 0.25), (7, 3, 9, 0.1), (3, 11, 4, 0.6)),
    far=((20_000, 4, 6, 5, 0.25),),
    read=over(lambda rise, hold, fall, _: range(rise + hold + fall + 4)),
    wrong=(
        (
            "past its end the factor goes on falling. Hold it at low: limit the share of the fall "
            "that is done to 1.",
            lambda t, r, h, f, low: t / r if t < r else 1 - (1 - low) * max(t - r - h, 0) / f,
        ),
        (
            "before the fall begins the factor is above 1: the share that is done is negative "
            "there. Limit it to 0.",
            lambda t, r, h, f, low: t / r if t < r else 1 - (1 - low) * min((t - r - h) / f, 1),
        ),
        ("it falls to 0, and is to fall to low.", _shape(last=lambda s, low: 1 - s)),
        (
            "it falls *by* low, and is to fall *to* low. What is to be lost is 1 - low.",
            _shape(last=lambda s, low: 1 - low * s),
        ),
        (
            "the fall is geometric. A line loses the same at every step.",
            _shape(last=lambda s, low: low**s),
        ),
        (
            "it falls to 0 and jumps to low. The line itself is to end at low.",
            _shape(last=lambda s, low: 1 - s if s < 1 else low),
        ),
        (
            "it is a line to 0 that is cut off at low, so that it arrives before its time.",
            _shape(last=lambda s, low: max(low, 1 - s)),
        ),
        (
            "it drops to low at once. The fall takes `fall` steps.",
            _shape(share=lambda t, r, h, f: float(t >= r + h)),
        ),
        (
            "the hold is counted from step 0. It begins when the rise has ended.",
            _shape(share=lambda t, r, h, f: (t - max(h, r)) / f),
        ),
        (
            "the fall begins right after the rise: where is the hold?",
            _shape(share=lambda t, r, h, f: (t - r) / f),
        ),
        (
            "the fall is counted in steps of the whole run. Its first step is rise + hold.",
            _shape(share=lambda t, r, h, f: (t - r - h) / (r + h + f)),
        ),
        (
            "the rise begins one step up and is at 1 a step too early: it is t / rise.",
            _shape(first=lambda t, r: (t + 1) / r),
        ),
        (
            "the rise does not begin at 0: it is t / rise.",
            _shape(first=lambda t, r: (t + 1) / (r + 1)),
        ),
        ("there is no rise.", _shape(first=lambda t, r: 1.0)),
        (
            "the rise is at 1 a step too early. Step `rise` is the first at 1.",
            lambda t, r, *rest: min(t / (r - 1), 1) if t < r else _trapezoid(t, r, *rest),
        ),
        (
            "hold and fall have changed places.",
            lambda t, r, h, f, low: _trapezoid(t, r, f, h, low),
        ),
        (
            "the hold is a step too long: at step rise + hold the fall begins.",
            lambda t, r, h, f, low: _trapezoid(t, r, h + 1, f, low),
        ),
        (
            "the hold is a step too short: at step rise + hold the factor is still 1.",
            lambda t, r, h, f, low: _trapezoid(t, r, h - 1, f, low),
        ),
        (
            "the fall takes a step too many: step rise + hold + fall is the first at low.",
            lambda t, r, h, f, low: _trapezoid(t, r, h, f + 1, low),
        ),
        (
            "the fall takes a step too few: step rise + hold + fall is the first at low.",
            lambda t, r, h, f, low: _trapezoid(t, r, h, f - 1, low),
        ),
        (
            "past its end it is at 0. It is held at low.",
            lambda t, r, h, f, low: _trapezoid(t, r, h, f, low) if t <= r + h + f else 0.0,
            lambda t, r, h, f, low: _trapezoid(t, r, h, f, low) if t < r + h + f else 0.0,
        ),
        (
            "past its end it is back at 1. It is held at low.",
            lambda t, r, h, f, low: _trapezoid(t, r, h, f, low) if t <= r + h + f else 1.0,
        ),
        (
            "the fall is a wave, or bent. A line loses the same at every step.",
            _shape(last=lambda s, low: low + (1 - low) * (1 + math.cos(math.pi * s)) / 2),
            _shape(last=lambda s, low: low + (1 - low) * (1 - s) ** 2),
        ),
        (
            "the rise begins at low. It begins at 0.",
            lambda t, r, h, f, low: (
                low + (1 - low) * t / r if t < r else _trapezoid(t, r, h, f, low)
            ),
        ),
    ),
    say={
        "early": "everything comes one step early. Steps count from 0.",
        "late": "everything comes one step late. Steps count from 0.",
    },
    differs="step {i} has {given}, and {wanted} is right.",
    passed="up, held, down to low and held: at every step, in any order.",
)

# --- 3. A rate for every layer


def _grouped(rate=None, weights=None, biases=None, keep=None):
    """Groups with another rate, other decays, or fewer layers."""

    def groups(layers, lr, ratio, weight_decay):
        made, n = [], len(layers)
        for i, layer in enumerate(layers):
            if keep and not keep(i, n, layer):
                continue
            eta = rate(lr, ratio, i, n) if rate else lr * ratio ** (n - 1 - i)
            kinds = ((layer.weight, weights, weight_decay), (layer.bias, biases, 0.0))
            for parameter, decay, default in kinds:
                used = decay(weight_decay, lr / eta) if decay else default
                made.append({"params": [parameter], "lr": eta, "weight_decay": used})
        return made

    return groups


def _without_biases(layers, lr, ratio, weight_decay):
    return _grouped()(layers, lr, ratio, weight_decay)[::2]


def _biases_twice(layers, lr, ratio, weight_decay):
    made = _grouped()(layers, lr, ratio, weight_decay)
    for group, layer in zip(made[::2], layers, strict=True):
        group["params"] = list(layer.parameters())
    return made


def _biases_at_the_full_rate(layers, lr, ratio, weight_decay):
    made = _grouped()(layers, lr, ratio, weight_decay)
    return [{**g, "lr": lr} if i % 2 else g for i, g in enumerate(made)]


def _entries(group: Any) -> list[Tensor]:
    if not isinstance(group, dict) or "params" not in group:
        raise Mistake(
            f'a group is a dict such as {{"params": […], "lr": 0.1}}, not {short(group)}.'
        )
    for key in ("lr", "weight_decay"):
        if key not in group:
            raise Mistake(f'a group has no "{key}". Give each its own, or the default is used.')
    params = group["params"]
    return [params] if isinstance(params, Tensor) else list(params)


def _groups_read(ask: Ask, widths: Sequence[int], *case: float) -> dict[str, Any]:
    layers = [nn.Linear(a, b) for a, b in pairwise(widths)]
    layers[1].requires_grad_(False)
    everyone = [p for layer in layers for p in (layer.weight, layer.bias)]
    answer = ask(layers, *case)
    if not isinstance(answer, list | tuple):
        raise Mistake(f"return a list of groups, not {short(answer)}.")
    found: dict[int, list[tuple[float, float]]] = {id(p): [] for p in everyone}
    for group in answer:
        for p in _entries(group):
            if id(p) not in found:
                raise Mistake('"params" holds something that is no parameter of these layers.')
            found[id(p)].append((float(group["lr"]), float(group["weight_decay"])))
    once = tuple(len(found[id(p)]) for p in everyone)
    if any(n != 1 for n in once):
        return {"groups": once}
    rates, decays = zip(*(found[id(p)][0] for p in everyone), strict=True)
    return {"groups": once, "rates": rates, "decays": decays}


check_groups = exercise(
    "Exercise 3: ``groups(layers, lr, ratio, weight_decay)``, a rate for every layer.",
    right=_grouped(),
    names=("widths", "lr", "ratio", "weight_decay"),
    cases=(((2, 3, 4, 2), 0.1, 0.5, 0.01), ((3, 2, 5, 4, 1), 0.02, 3.0, 0.2)),
    read=_groups_read,
    wrong=(
        ("the biases are in no group, and would never be trained.", _without_biases),
        ("the biases are in two groups. An optimizer refuses that.", _biases_twice),
        (
            "a layer that is frozen now (`requires_grad` is False) is left out. If it is unfrozen "
            "later, nothing will train it: put it into a group; an optimizer passes over it.",
            _grouped(keep=lambda i, n, layer: layer.weight.requires_grad),
        ),
        ("the last layer is in no group.", _grouped(keep=lambda i, n, layer: i < n - 1)),
        ("the first layer is in no group.", _grouped(keep=lambda i, n, layer: i > 0)),
        (
            "the ratio is counted from the wrong end: the *last* layer has the rate lr.",
            _grouped(rate=lambda lr, ratio, i, n: lr * ratio**i),
        ),
        (
            "the ratio is applied once too often: the last layer itself has the rate lr.",
            _grouped(rate=lambda lr, ratio, i, n: lr * ratio ** (n - i)),
        ),
        (
            "you divide by the ratio. A layer has ratio times the rate of the layer above it.",
            _grouped(rate=lambda lr, ratio, i, n: lr / ratio ** (n - 1 - i)),
        ),
        (
            "all layers below the last have one rate. The ratio is between neighbours, and two "
            "layers down it is there twice.",
            _grouped(rate=lambda lr, ratio, i, n: lr if i == n - 1 else lr * ratio),
        ),
        (
            "the ratio is multiplied by the number of layers above. Two layers down it is ratio "
            "times ratio.",
            _grouped(rate=lambda lr, r, i, n: lr * (r * (n - 1 - i) if i < n - 1 else 1)),
        ),
        (
            "only the first layer has another rate. The ratio is between every two neighbours.",
            _grouped(rate=lambda lr, ratio, i, n: lr if i else lr * ratio),
        ),
        (
            "only the weights have the rate of their layer. A layer is its weight and its bias.",
            _biases_at_the_full_rate,
        ),
        ("all layers have one rate.", _grouped(rate=lambda lr, ratio, i, n: lr)),
        ("the biases have weight decay too.", _grouped(biases=lambda decay, _: decay)),
        (
            "weights and biases have changed places: it is the biases that are spared.",
            _grouped(weights=lambda *_: 0.0, biases=lambda decay, _: decay),
        ),
        ("no parameter has weight decay.", _grouped(weights=lambda *_: 0.0)),
        (
            "the decay is divided by the layer's share of the rate. That keeps what AdamW takes "
            "away alike, but here every weight is to have the decay that is given.",
            _grouped(weights=lambda decay, over: decay * over),
        ),
        (
            "the decay is multiplied by the layer's share of the rate. Every weight is to have the "
            "decay that is given.",
            _grouped(weights=lambda decay, over: decay / over),
        ),
    ),
    differs={
        "groups": "weight and bias of each layer are to be in one group each; they are in {given}.",
        "rates": "the rates of weight and bias, layer by layer, are {given}, not {wanted}.",
        "decays": "the decays of weight and bias, layer by layer, are {given}, not {wanted}.",
    },
    passed="every parameter is in one group, at the rate of its layer, and the biases are spared.",
)
