"""Checkers of chapter 12."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from torch import Tensor, nn

from lrlib.constant import Constant
from lrlib.exercises import (
    Ask,
    Mistake,
    call,
    checker,
    exercise,
    name_of,
    over,
    passed,
    sampled,
    short,
)
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

# --- 4. Find the fault in six traces

CAUSES = dict(zip(range(1, 7), "DACFBE", strict=True))
_HINTS = {
    1: "compare it with what was meant, entry by entry. What is their ratio?",
    2: "what was meant is there, but how far along is the trace after four updates?",
    3: "where is it highest, and has the fall begun before? Its first four entries, over those of "
    "what was meant, are themselves a shape.",
    4: "until the border it rises half as fast as was meant, and then?",
    5: "it is what was meant, from another step on. Which entry is missing?",
    6: "one of the two shapes is there undamaged. Where has the other gone?",
}


def _letters(ask: Ask) -> dict[str, str]:
    answer = ask()
    if isinstance(answer, dict):
        answer = [answer.get(i, "?") for i in range(1, 7)]
    given = [str(letter).strip().upper() for letter in answer] if answer is not None else []
    if len(given) != 6 or not all(letter in set("ABCDEFGH?") and letter for letter in given):
        raise Mistake(
            f"{ask.name} should return six letters from A to H, one for each trace, such as "
            f'"ABCDEF", not {short(answer)}.'
        )
    return {f"trace {i}": letter for i, letter in enumerate(given, start=1)}


check_causes = exercise(
    "Exercise 4: ``causes()``, the fault behind each of six traces.",
    right=lambda: "".join(CAUSES.values()),
    cases=((),),
    read=_letters,
    wrong=(
        (
            "a trace of a scheduler that drives another optimizer is flat. None of the six is.",
            lambda: "GGGGGG",
        ),
        (
            "stepped once per epoch, the rate would stay the same through an epoch. No trace has "
            "such stairs.",
            lambda: "HHHHHH",
        ),
    ),
    differs={f"trace {i}": hint for i, hint in _HINTS.items()},
    passed="six faults, each found by what it leaves in the trace.",
)

# --- 5. A schedule for a stated run


@checker()
def check_plan(plan: Callable[[], Sequence[Schedule]]) -> None:
    """Exercise 5: shapes for the old layers and the new head of a run of 10,000 updates."""
    answer = call(plan)
    if not isinstance(answer, list | tuple) or len(answer) != 2:
        raise Mistake(
            f"{name_of(plan)} should return two Schedules, (old, head), not {short(answer)}."
        )
    for shape in answer:
        if not isinstance(shape, Schedule):
            raise Mistake(f"both should be Schedules, such as Warmup(500), not {short(shape)}.")
    old, head = (sampled(shape, 11_000) for shape in answer)
    for name, factors, top, start in (("head", head, 1.0, 0), ("old layers", old, 0.25, 1000)):
        _expect_part(name, factors, top, start)
    passed("the head first, then the rest at a quarter, both held and cooled down together.")


def _expect_part(name: str, factors: np.ndarray, top: float, start: int) -> None:
    """One of the two shapes: silent until `start`, at `top` 500 steps later, 0 from 10,000 on."""
    if start and factors[:start].any():
        t = int(np.argmax(factors[:start] > 0))
        raise Mistake(f"the {name} move at update {t}; until update {start} they are to rest.")
    if not start and factors[0] == 0:
        raise Mistake(f"the first update of the {name} has rate 0: it is wasted.")
    rise, held = factors[start : start + 501], factors[start + 500 : 8000]
    if abs(held - top).max() > 1e-9:
        t = start + 500 + int(np.argmax(abs(held - top) > 1e-9))
        raise Mistake(
            f"the {name} should be at {top} from step {start + 500} to step 7,999; at step {t} "
            f"they have {factors[t]:.3g}."
        )
    if (np.diff(rise) < 0).any():
        raise Mistake(f"the warm-up of the {name} falls on the way.")
    jumps = abs(np.diff(factors))
    if jumps.max() > 0.01 * top:
        t = int(jumps.argmax())
        raise Mistake(
            f"the {name} jump from {factors[t]:.3g} to {factors[t + 1]:.3g} at step {t + 1}. What "
            f"does the next shape begin with?"
        )
    if (np.diff(factors[8000:]) > 0).any():
        raise Mistake(f"after step 8,000 the {name} rise again.")
    if factors[10_000:].any():
        raise Mistake(
            f"at step 10,000 the {name} should be at 0 and stay there; they have "
            f"{factors[10_000]:.3g}."
        )
    if (factors[8001:10_000] == 0).any():
        t = 8001 + int(np.argmax(factors[8001:10_000] == 0))
        raise Mistake(f"the {name} are at 0 from step {t} on: those updates are wasted.")
