"""Averaged weights of a sweep's runs, evaluated as what they are: models of their own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from lrlib import _checks
from lrlib.lab.results import Results, SweepResult
from lrlib.pretraining import growing_average

_SPLITS = ("val", "test")


def averaged(result: SweepResult, steps: Sequence[int], emphasis: float = 3.0) -> Results:
    """The runs of a sweep, judged on a growing average of their checkpoints.

    Checkpoints are the evaluations that a sweep with ``keep_states=True`` kept. After each of
    `steps`, which must be evaluations, those up to there are averaged as `growing_average` does,
    the n-th one made counting as the n-th update, and the averaged model is evaluated on
    validation and test data. The lab's models have no buffers that would have to be renewed.

    Raises ValueError if no states were kept or a step is no evaluation; TypeError for a bad
    `result`.
    """
    if not isinstance(result, SweepResult):
        raise TypeError(f"averaged: result must be what a sweep returned, got {result!r:.200}")
    if not result.states:
        raise ValueError("averaged: result kept no parameters; sweep with keep_states=True")
    made = result.eval_steps.tolist()
    for step in steps:
        if step not in made:
            raise ValueError(f"averaged: steps must be among the evaluations {made}, got {step!r}")
    average = growing_average(_checks.number("averaged", "emphasis", emphasis, minimum=0))
    shape = (*result.peaks.shape, len(result.seeds))
    metrics = {
        f"{split}_{what}": np.full((*shape, len(steps)), np.nan)
        for split in _SPLITS
        for what in ("error", "loss")
    }
    state = {}
    for n, checkpoint in enumerate(result.states):
        state = {
            name: average(state[name], new, n) if n else new.clone()
            for name, new in checkpoint.items()
        }
        for place in (i for i, step in enumerate(steps) if step == made[n]):
            _evaluate(result, state, metrics, place)
    return Results(result.schedules, result.peaks, result.seeds, np.array(steps), metrics)


@torch.no_grad()
def _evaluate(
    result: SweepResult,
    state: dict[str, torch.Tensor],
    metrics: dict[str, np.ndarray],
    place: int,
) -> None:
    shape = (*result.peaks.shape, len(result.seeds))
    models = [result.task.model(seed) for seed in result.seeds]
    data = [result.task.data.draw(seed) for seed in result.seeds]
    for run in np.ndindex(shape):
        model, index = models[run[-1]], int(np.ravel_multi_index(run, shape))
        model.load_state_dict({name: values[index] for name, values in state.items()})
        for split in _SPLITS:
            x, y = data[run[-1]].split(split)
            outputs = model(x)
            metrics[f"{split}_loss"][(*run, place)] = float(result.task.loss(outputs, y))
            metrics[f"{split}_error"][(*run, place)] = _error(outputs, y)


def _error(outputs: torch.Tensor, y: torch.Tensor) -> float:
    """The share of wrong answers; where the labels are distributions, its expectation."""
    best = outputs.argmax(-1)
    if y.is_floating_point():
        return float(1 - y.gather(-1, best.unsqueeze(-1)).mean())
    return float((best != y).float().mean())
