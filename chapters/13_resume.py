# %% [markdown]
# # 13 · Resume: stop, go on, extend, branch
#
# The path, down to *Depth*: 10 minutes. All: 40 minutes. The exercises: 45 minutes for the core (1 to 4), 80 minutes for all. You need
# chapters 1 to 4: a schedule is a *shape*, a function from the optimizer step $t$ to a factor; the learning rate is its *peak*
# times the factor.

# %% [markdown]
# **In short.** TO COME.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
import copy
import subprocess
import sys
import tempfile
import textwrap
import threading
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from lrlib import (
    Constant,
    CosineAnnealing,
    LRTrace,
    PolynomialDecay,
    ScheduledLR,
    ShuffledBatches,
    Warmup,
    lab,
    load_checkpoint,
    save_checkpoint,
)
from lrlib.lab import figures
from torch.optim import lr_scheduler as torch_lr

figures.use_style()
torch.set_num_threads(1)

# %% [markdown]
# ## It resumed, raised nothing, and ran at another rate
#
# Warm-up, then a cosine, from torch's parts; stopped after 400 of 1,000 steps. In the new process the optimizer is built and
# loaded, then the scheduler is built and loaded: each line looks right.


# %% jupyter={"source_hidden": true} tags=["hide-input"]
def sgd(lr=0.1):
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)


def warm_cosine(optimizer, last_epoch=-1):
    rise = torch_lr.LinearLR(optimizer, 0.1, total_iters=100)
    fall = torch_lr.CosineAnnealingLR(optimizer, 900)
    return torch_lr.SequentialLR(optimizer, [rise, fall], [100], last_epoch)


def rates(optimizer, scheduler, steps):
    """The rates that the optimizer uses in its next updates."""
    trace = LRTrace(optimizer)
    for _ in range(steps):
        optimizer.step()
        metric = [1.0] * isinstance(scheduler, torch_lr.ReduceLROnPlateau)
        scheduler.step(*metric)
    return trace.lr[:, 0]


# %%
optimizer = sgd()
scheduler = warm_cosine(optimizer)
before = rates(optimizer, scheduler, 400)
saved = copy.deepcopy([optimizer.state_dict(), scheduler.state_dict()])
whole = np.concatenate([before, rates(optimizer, scheduler, 600)])

optimizer = sgd()
optimizer.load_state_dict(saved[0])
scheduler = warm_cosine(optimizer)
scheduler.load_state_dict(saved[1])
resumed = rates(optimizer, scheduler, 600)
print(f"the rate after resuming: {resumed[0]:.4f}; in the whole run: {whole[400]:.4f}")

# %% jupyter={"source_hidden": true} tags=["hide-input"]
blue, red = figures.look("cosine")["color"], figures.look("warm-up")["color"]
fig, ax = plt.subplots(figsize=(7.6, 2.8))
ax.plot(whole, color=blue)
ax.plot(np.arange(400, 1000), resumed, color=red, linestyle="--")
ax.axvline(400, color="0.6", linewidth=1, linestyle=":")
ax.annotate("stopped and resumed", (395, 0.02), color="0.4", ha="right")
figures.name_line(ax, 600, 0.065, "the run without a stop", color=blue)
figures.name_line(ax, 430, 0.014, "the run that resumed", color=red)
ax.set(xlabel="step", ylabel="applied rate", ylim=(-0.003, 0.106))
ax.set_title("Build the scheduler after loading the optimizer: a tenth of the rate")
figures.show(
    "Applied rate over 1,000 steps. The run without a stop rises to 0.1 in 100 steps "
    "and falls along a cosine. The run resumed at step 400 goes on at a tenth of that "
    "rate, to the end."
)

# %% [markdown]
# torch's schedulers compute a rate from the rate that stands in the optimizer, and building one writes there. Here the new warm-up
# multiplied the loaded rate by its first factor, 0.1, and the cosine went on from that. Which orders are safe? All of torch's
# schedulers, run:

# %% jupyter={"source_hidden": true} tags=["hide-input"]
SCHEDULERS = {
    "LambdaLR": lambda o, n=-1: torch_lr.LambdaLR(o, lambda t: 1 / (1 + t), n),
    "MultiplicativeLR": lambda o, n=-1: torch_lr.MultiplicativeLR(o, lambda t: 0.95, n),
    "StepLR": lambda o, n=-1: torch_lr.StepLR(o, 10, 0.5, n),
    "MultiStepLR": lambda o, n=-1: torch_lr.MultiStepLR(o, [10, 30, 50], 0.5, n),
    "ConstantLR": lambda o, n=-1: torch_lr.ConstantLR(o, 0.3, 40, n),
    "LinearLR": lambda o, n=-1: torch_lr.LinearLR(o, 0.1, 1.0, 50, n),
    "ExponentialLR": lambda o, n=-1: torch_lr.ExponentialLR(o, 0.95, n),
    "PolynomialLR": lambda o, n=-1: torch_lr.PolynomialLR(o, 60, last_epoch=n),
    "CosineAnnealingLR": lambda o, n=-1: torch_lr.CosineAnnealingLR(o, 60, 0, n),
    "…WarmRestarts": lambda o, n=-1: torch_lr.CosineAnnealingWarmRestarts(
        o, 20, last_epoch=n
    ),
    "CyclicLR": lambda o, n=-1: torch_lr.CyclicLR(
        o, 0.01, 0.1, 10, cycle_momentum=False, last_epoch=n
    ),
    "OneCycleLR": lambda o, n=-1: torch_lr.OneCycleLR(
        o, 0.1, 60, cycle_momentum=False, last_epoch=n
    ),
}

# %% jupyter={"source_hidden": true} tags=["hide-input"]


def sequential(optimizer, last_epoch=-1):
    rise = torch_lr.LinearLR(optimizer, 0.1, total_iters=10)
    fall = torch_lr.CosineAnnealingLR(optimizer, 50)
    return torch_lr.SequentialLR(optimizer, [rise, fall], [10], last_epoch)


def chained(optimizer):
    rise = torch_lr.LinearLR(optimizer, 0.1, total_iters=10)
    return torch_lr.ChainedScheduler([rise, torch_lr.ExponentialLR(optimizer, 0.95)])


def scheduled(optimizer, start=0):
    return ScheduledLR(optimizer, Warmup(10).then(CosineAnnealing(50)), start=start)


SCHEDULERS |= {
    "SequentialLR": sequential,
    "ChainedScheduler": chained,
    "ReduceLROnPlateau": lambda o: torch_lr.ReduceLROnPlateau(o, patience=3),
    "lrlib.ScheduledLR": scheduled,
}


# %%
def resume(make, order, states, n):
    """A new optimizer and scheduler, built and loaded in this order."""
    optimizer, scheduler = sgd(), None
    for word in order.split():
        if word == "build":
            scheduler = make(optimizer)
        elif word == "optimizer":
            optimizer.load_state_dict(copy.deepcopy(states[0]))
        elif word == "scheduler":
            scheduler.load_state_dict(copy.deepcopy(states[1]))
        else:  # the counter by hand
            scheduler = make(optimizer, {"n": n, "n-1": n - 1}[word])
    return optimizer, scheduler


ORDERS = {
    "build,\nload optimizer,\nload scheduler": "build optimizer scheduler",
    "build,\nload scheduler,\nload optimizer": "build scheduler optimizer",
    "load optimizer,\nbuild,\nload scheduler": "optimizer build scheduler",
    "build,\nload the\nscheduler only": "build scheduler",
    "load optimizer,\nbuild with\nlast_epoch=n": "optimizer n",
    "load optimizer,\nbuild with\nlast_epoch=n−1": "optimizer n-1",
}


# %% jupyter={"source_hidden": true} tags=["hide-input"]
def wrong_steps(make, order, steps=59, n=25):
    """Of the updates after resuming, which have another rate; None: not offered."""
    if order.startswith("optimizer n") and make in (
        chained,
        SCHEDULERS["ReduceLROnPlateau"],
    ):
        return None
    optimizer = sgd()
    scheduler = make(optimizer)
    rates(optimizer, scheduler, n)
    states = copy.deepcopy([optimizer.state_dict(), scheduler.state_dict()])
    rest = rates(optimizer, scheduler, steps - n)
    again = rates(*resume(make, order, states, n), steps - n)
    return ~np.isclose(again, rest, rtol=1e-9, atol=1e-15)


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns of a scheduler stepped first
    matrix = {
        name: [wrong_steps(make, order) for order in ORDERS.values()]
        for name, make in SCHEDULERS.items()
    }


# %% jupyter={"source_hidden": true} tags=["hide-input"]
def verdict(wrong):
    if wrong is None:
        return "—", "white", "0.5"
    if not wrong.any():
        return "right", "#D5EFE6", "#00664B"
    if wrong.all():
        return "wrong", "#F3C9B5", "#7A2E00"
    first = wrong[0] and wrong.sum() == 1
    return ("first wrong" if first else "wrong later"), "#FBEBC0", "#6B5200"


fig, ax = plt.subplots(figsize=(8.6, 5.6))
for y, (name, row) in enumerate(matrix.items()):
    for x, wrong in enumerate(row):
        word, color, ink = verdict(wrong)
        ax.add_patch(plt.Rectangle((x, y), 0.97, 0.93, color=color, linewidth=0))
        ax.text(x + 0.48, y + 0.48, word, ha="center", va="center", size=9, color=ink)
ax.set(xlim=(0, 6), ylim=(16, 0))
ax.set_xticks(np.arange(6) + 0.48, list(ORDERS), fontsize=8.5)
ax.set_yticks(np.arange(16) + 0.48, list(matrix), fontsize=9.5)
ax.xaxis.tick_top()
ax.grid(False)
ax.tick_params(length=0)
ax.spines[:].set_visible(False)
ax.set_title("Build everything, then load everything: right for all", pad=14)
figures.show(
    "A table of 15 schedulers of torch and lrlib's ScheduledLR against six ways to "
    "resume. Building all and then loading optimizer and scheduler, in either order, "
    "is right for all. Building the scheduler after loading the optimizer is wrong "
    "for eight, loading the scheduler alone wrong for nearly all, last_epoch=n wrong "
    "for most, n−1 right for most. ScheduledLR is right in all but the last."
)

# %% tags=["nbval-check-output"]
for way, column in zip(ORDERS, zip(*matrix.values(), strict=True), strict=True):
    of_torch = [w for w in column[:-1] if w is not None]
    wrong = sum(w.any() for w in of_torch)
    print(f"{' '.join(way.split()):44} wrong for {wrong:2} of torch's {len(of_torch)}")
