"""A schedule gone wrong: its applied rate drawn, then the code that made it."""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.optim import Optimizer

from lrlib.lab import figures
from lrlib.schedule import Schedule
from lrlib.trace import LRTrace

Run = Callable[[Callable[..., Optimizer]], None]


def traced(run: Run) -> tuple[np.ndarray, str]:
    """The rates that a run applied, (updates, groups), and the error that ended it, or "".

    ``run(make_optimizer)`` is a training loop without a model: ``make_optimizer(0.1, 0.01)``
    gives SGD with one group for each rate, each of one parameter. Updates of several optimizers
    are recorded one after another. Warnings are not shown.
    """
    traces: list[LRTrace] = []

    def make_optimizer(*rates: float, **settings: Any) -> Optimizer:
        groups = [{"params": [torch.zeros(1, requires_grad=True)], "lr": lr} for lr in rates]
        optimizer = torch.optim.SGD(groups, **settings)
        traces.append(LRTrace(optimizer))
        return optimizer

    error = ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            run(make_optimizer)
        except Exception as raised:
            error = f"{type(raised).__name__}: {raised}"
    return np.concatenate([trace.lr for trace in traces if len(trace)]), error


def fault(
    title: str, alt: str, meant: Sequence[tuple[float, Schedule]] = ()
) -> Callable[[Run], np.ndarray]:
    """A decorator: draws what the function applied over what was meant, and shows its code.

    `title` is the symptom, `alt` the figure's alternative text, `meant` a (peak, shape) for each
    curve that was wanted. The function's name then stands for the applied rates, (updates,
    groups).
    """

    def decorate(run: Run) -> np.ndarray:
        rates, error = traced(run)
        _, ax = plt.subplots(figsize=(6.4, 1.9))
        plans = [peak * shape.sample(len(rates)) for peak, shape in meant]
        for plan in plans:
            ax.step(range(len(plan)), plan, where="post", color="0.78", linewidth=4)
        for group, style in zip(rates.T, ("-", "--", ":", "-."), strict=False):
            steps = range(len(group))
            ax.step(steps, group, where="post", color="black", linewidth=1.2, linestyle=style)
        if error:
            ax.axvline(len(rates) - 1, color="0.5", linewidth=1, linestyle=":")
        top = max(np.nanmax(rates), *(plan.max() for plan in plans), 0)
        ax.set(xlabel="update", ylabel="applied rate", ylim=(-0.06 * top, 1.1 * top))
        ax.set_title(title, fontsize=10.5)
        figures.show(alt)
        _show_code(run, error)
        return rates

    return decorate


def _show_code(run: Run, error: str) -> None:
    """The function without its decorator, and the error that it ended with."""
    lines = inspect.getsource(run).splitlines()
    first = next(i for i, line in enumerate(lines) if line.lstrip().startswith("def "))
    code = "\n".join(lines[first:])
    text = f"```python\n{code}\n```" + (f"\n\nIt ended: `{error}`" if error else "")
    ipython = sys.modules.get("IPython")
    if ipython is not None and ipython.get_ipython() is not None:
        ipython.display.display({"text/markdown": text, "text/plain": code}, raw=True)
    else:
        print(code, *([error] if error else []), sep="\n")
