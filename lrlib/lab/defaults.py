"""The defaults that textbooks list, each run here: what it gains over its rival."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lrlib.lab.control import MARGIN
from lrlib.lab.intervals import Estimate, interval
from lrlib.lab.models import MARGINS
from lrlib.lab.recordings import recorded
from lrlib.lab.results import Results


@dataclass(frozen=True)
class Default:
    """One row: a default, what it was held against, and what came out.

    Attributes:
        kind: "vision", "language", "fine-tuning" or "reinforcement learning".
        default, rival: the two that were compared, each at its own tuned peak.
        run: what was trained, in a few words.
        effect: of the default, less that of its rival, lower being better.
        unit: of the effect.
        margin: the smallest difference that matters, in that unit.
    """

    kind: str
    default: str
    rival: str
    run: str
    effect: Estimate
    unit: str
    margin: float

    @property
    def verdict(self) -> str:
        """By the whole interval, against zero and the margin."""
        low, high, margin = self.effect.low, self.effect.high, self.margin
        if not np.isfinite([low, high]).all():
            return "a run diverged"
        inside = -margin < low and high < margin
        if low <= 0 <= high:
            return "no difference we can detect" if inside else "not settled"
        word = "better" if high < 0 else "worse"
        if inside:
            return f"{word}, by less than matters"
        return f"{word}, by more than matters" if min(abs(low), abs(high)) > margin else word


def defaults() -> list[Default]:
    """Every default that the book has run, from its recordings.

    Each seed is judged at the peaks that all others choose, and the interval contains the tuning
    (see `Results.compare`). Raises as `recorded` does.
    """
    return [*_vision(), *_language(), *_fine_tuning(), *_control()]


def _vision() -> list[Default]:
    points = MARGINS["images"].points or 0.0
    convnet = recorded("convnet").joined(recorded("convnet_warmup"))
    of_convnet = "convolutional network, SGD, 1,000 steps", convnet
    of_vit = "small vision transformer, AdamW, 500 steps", recorded("vit")
    return [
        Default("vision", a, b, run, found.compare(a, b), "points", points)
        for (run, found), a, b in (
            (of_convnet, "warm-up, cosine", "constant"),
            (of_convnet, "warm-up, cosine", "cosine"),
            (of_vit, "warm-up, cosine", "constant"),
            (of_vit, "warm-up, linear", "constant"),
            (of_vit, "warm-up, cosine", "cosine"),
        )
    ]


def _language() -> list[Default]:
    of_text = "transformer on text, AdamW, 800 steps", recorded("transformer"), MARGINS["text"]
    small = "small transformer, synthetic language, AdamW, 500 steps"
    of_language = small, recorded("language_warmup"), MARGINS["language"]
    names = {"cosine": "warm-up 5 %, cosine", "constant": "warm-up 5 %, constant"}
    rows = []
    for (run, found, margin), a, b in (
        (of_text, "cosine", "constant"),
        (of_language, "warm-up 2 %, cosine", "warm-up 2 %, constant"),
        (of_language, "warm-up 2 %, cosine", "cosine"),
    ):
        said = names if found is of_text[1] else {}
        effect = found.compare(a, b, "test_loss", "val_loss")
        nats = margin.nats or 0.0
        rows.append(Default("language", said.get(a, a), said.get(b, b), run, effect, "nats", nats))
    return rows


def fine_tuned() -> Results:
    """The recorded second runs, on a related language: "linear" and "constant" × rate × seed.

    `peaks` are the rates of the second run (the first had 0.028 and ended in a line to zero).
    "val_loss" and "val_error" are of the new language, "test_loss" and "test_error" of the old
    one; the last evaluation before the second run is after 800 steps.
    """
    lines, held = recorded("fine_tuning"), recorded("fine_tuning_constant")
    found, metrics = {"linear": ("line", lines), "constant": ("held", held)}, {}
    rates = [float(name.split()[1]) for name in held.schedules]
    for metric in held.metrics:
        rows = [
            [of.metrics[metric][of.schedules.index(f"{start} {rate:g}"), 0] for rate in rates]
            for start, of in found.values()
        ]
        metrics[metric] = np.array(rows)
    peaks = np.tile(rates, (len(found), 1))
    return Results(tuple(found), peaks, held.seeds, held.eval_steps, metrics)


def _fine_tuning() -> list[Default]:
    found, nats = fine_tuned(), MARGINS["language"].nats or 0.0
    run, kind = "transformer on a related language, AdamW, 200 steps after 800", "fine-tuning"
    rows = [
        Default(
            *(kind, f"linear, {where}", f"constant, {where}", run),
            *(found.compare("linear", "constant", metric, "val_loss"), "nats", nats),
        )
        for where, metric in (("new language", "val_loss"), ("old language", "test_loss"))
    ]
    # A smaller peak: the smallest rate against the one that the other seeds choose.
    for where, metric in (("new language", "val_loss"), ("old language", "test_loss")):
        chosen, _ = found.judged(metric, "val_loss")
        apart = found.at(metric)[0, 0] - chosen["linear"]
        effect = Estimate(*interval("defaults", apart, 0.95, "linear"), len(apart))
        smallest = f"linear from {found.peaks[0, 0]:g}, {where}"
        rows.append(
            Default(
                kind, smallest, f"linear from the tuned rate, {where}", run, effect, "nats", nats
            )
        )
    return rows


def _control() -> list[Default]:
    found, run = recorded("ppo"), "PPO on CartPole-v1, Adam, 800 steps"
    return [
        Default(
            *("reinforcement learning", a, "constant", run),
            *(found.compare(a, "constant", "test_shortfall", "val_shortfall"), "steps", MARGIN),
        )
        for a in ("linear", "cosine", "WSD 20 %")
    ]


def spread_between_seeds(found: Results, metric: str, by: str) -> dict[str, float]:
    """Each schedule's standard deviation of `metric` over the seeds, each at its tuned peak.

    Every seed is judged at the peak that all others choose, as in `Results.judged`, whose errors
    it raises.
    """
    judged, _ = found.judged(metric, by)
    return {name: float(values.std(ddof=1)) for name, values in judged.items()}
