# %% [markdown]
# # 13 · Resume: stop, go on, extend, branch
#
# The path, down to *Depth*: 10 minutes. All: 40 minutes. The exercises: 45 minutes for the core (1 to 4), 75 minutes for all. You need
# chapters 1 to 4: a schedule is a *shape*, a function from the optimizer step $t$ to a factor; the learning rate is its *peak*
# times the factor.

# %% [markdown]
# **In short.** *Stopped*: build everything, then load everything, from a file written beside the old one and renamed. Of what can be
# forgotten, only the scheduler clearly cost test error: 1.7 points [0.6, 2.8]. *More steps than planned*: re-warm a finished run, and try three
# shares of its old peak: a half was best on our network, a fifth on a long quadratic (6 % ahead of one long line; at the old peak 59 % behind).
# *Several lengths*: one constant run, a cooldown for each. *Everything fitted*: more steps gained nothing.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
import copy
import os
import subprocess
import sys
import tempfile
import threading
import warnings
from pathlib import Path

# %% jupyter={"source_hidden": true} tags=["hide-input"]
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

# %% [markdown]
# ## It resumed, raised nothing, and ran at another rate
#
# Warm-up, then a cosine, from torch's parts; stopped after 400 of 1,000 steps. In the new process the optimizer is built and
# loaded, then the scheduler is built and loaded.


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
ax.set_title(
    "Scheduler built after the optimizer was loaded: 13 % of the rate, to the end"
)
figures.show(
    "Applied rate over 1,000 steps. The run without a stop rises to 0.1 in 100 steps "
    "and falls along a cosine. The run resumed at step 400 goes on at 13 percent of "
    "that rate, to the end."
)

# %% [markdown]
# Building `SequentialLR` wrote into the optimizer: it put the loaded rate back to the peak, 0.1, and its warm-up multiplied that by its
# first factor, 0.1. The cosine went on from there. Which orders are safe? torch's schedulers, run (rates alone; compare PyTorch's issues 65342, 60265, 162591; `lrlib`'s argument is
# `start=n`):

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


# %% jupyter={"source_hidden": true} tags=["hide-input"]
fig, ax = plt.subplots(figsize=(8.6, 5.6))
for y, row in enumerate(matrix.values()):
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

# %% [markdown]
# *Build everything, then load optimizer and scheduler*: right for all 15. Every shortcut is wrong for some; `last_epoch=n`, the natural
# guess, for 11 of 13. What would be safe in any order?
#
# ## A function of the step needs to remember two numbers
#
# $$\text{torch:}\quad \eta_{t+1}=\eta_t\,\frac{f(t+1)}{f(t)}\qquad\qquad\text{here:}\quad \eta_t=\eta_{\text{base}}\,f(t)$$
#
# with the rate $\eta_t$ of update $t$, the shape $f$ and the peak $\eta_{\text{base}}$. Most of torch's schedulers use the left form and read $\eta_t$ back from the optimizer; and building any of them writes $f(0)$ there, which loading its state does not undo. Hence
# "wrong" and "first wrong". On the right the state is $(t, \eta_{\text{base}})$, and loading writes the rate.
#
# The file must be whole, too. A job killed while it saves leaves half a file where the last good one was; so write
# beside it, and rename:


# %%
def save(path, states):
    unfinished = f"{path}.unfinished"
    with open(unfinished, "wb") as file:
        torch.save(states, file)
        file.flush()
        os.fsync(file.fileno())  # on the disk, before the old file goes
    os.replace(unfinished, path)  # in one step: all or nothing


# %% [markdown]
# ## A run killed twice, and the same bits
#
# This loop saves every 100 steps; `save_checkpoint` adds random states. The order of the data is a function of the step
# (`ShuffledBatches`): no iterator has to be saved.

# %%
LOOP = """
import pathlib, sys, torch
from lrlib import CosineAnnealing, ScheduledLR, ShuffledBatches
from lrlib import load_checkpoint, save_checkpoint
from torch import nn

torch.manual_seed(0)
data, path = torch.load("data.pt"), pathlib.Path(sys.argv[1])
layers = nn.Linear(40, 100), nn.ReLU(), nn.Dropout(0.1), nn.Linear(100, 10)
model = nn.Sequential(*layers)
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
scheduler = ScheduledLR(optimizer, CosineAnnealing(1000))
parts = {"model": model, "optimizer": optimizer, "scheduler": scheduler}
start = load_checkpoint(path, **parts)["step"] if path.exists() else 0
for step, batch in enumerate(ShuffledBatches(4000, 16, 1000, start=start), start):
    if step % 100 == 0:
        save_checkpoint(path, step=step, **parts)
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(data["x"][batch]), data["y"][batch]).backward()
    optimizer.step()
    scheduler.step()
    print(step, flush=True)
save_checkpoint(path, step=1000, **parts)
"""


# %%
def run(folder, checkpoint, kill_after=None):
    """Run the loop in a process of its own, to its end or to a SIGKILL after a step."""
    command = [sys.executable, "-c", LOOP, checkpoint]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, text=True
    ) as process:
        timer = threading.Timer(120, process.kill)  # whatever happens, it ends
        timer.start()
        steps = []
        for line in process.stdout:
            steps.append(int(line))
            if steps[-1] == kill_after:
                process.kill()
        timer.cancel()
    return f"steps {steps[0]} to {steps[-1]}, exit status {process.returncode}"


with tempfile.TemporaryDirectory() as folder:
    data = lab.load_mnist1d().draw(lab.seeds(1)[0])
    torch.save({"x": data.train_x, "y": data.train_y}, Path(folder, "data.pt"))
    print("whole:          ", run(folder, "whole.pt"))
    for kill_after in (437, 700, None):
        print("killed, resumed:", run(folder, "killed.pt", kill_after))
    ends = [torch.load(Path(folder, f)) for f in ("whole.pt", "killed.pt")]

# %% jupyter={"source_hidden": true} tags=["hide-input"]
models = [end["states"]["model"] for end in ends]
bits = sum(value.numel() * 32 for value in models[0].values())
equal = all(torch.equal(models[0][key], models[1][key]) for key in models[0])
print(f"{bits:,} bits of weights, all equal: {equal}")
assert equal

# %% [markdown]
# ## What an omission costs
#
# The same kind of loop, one pass over 16,000 signals, stopped half-way and resumed without its moments ("optimizer"), its schedule, its place in the data, or its random states:

# %% jupyter={"source_hidden": true} tags=["hide-input"]
POOL, HALF, ALL = lab.load_mnist1d(), 250, 500  # steps of 32 signals


def parts_of_a_run(seed):
    torch.manual_seed(seed)
    layers = []
    for width in (40, 100):
        layers += [torch.nn.Linear(width, 100), torch.nn.ReLU(), torch.nn.Dropout(0.1)]
    model = torch.nn.Sequential(*layers, torch.nn.Linear(100, 10))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    scheduler = torch_lr.LambdaLR(optimizer, lambda t: max(0, 1 - t / ALL))
    return {"model": model, "optimizer": optimizer, "scheduler": scheduler}


def train(parts, x, y, batches):
    """The training loss of every batch."""
    losses = []
    for batch in batches:
        loss = torch.nn.functional.cross_entropy(parts["model"](x[batch]), y[batch])
        parts["optimizer"].zero_grad()
        loss.backward()
        parts["optimizer"].step()
        parts["scheduler"].step()
        losses.append(loss.item())
    return np.array(losses)


# %% jupyter={"source_hidden": true} tags=["hide-input"]
def judged(parts):
    """Test error in percent, and all weights in a row."""
    model = parts["model"].eval()
    with torch.no_grad():
        wrong = model(POOL.x[40_000:]).argmax(1) != POOL.y[40_000:]
    weights = torch.nn.utils.parameters_to_vector(model.parameters()).detach()
    return 100 * wrong.float().mean().item(), weights


OMITTED = ("nothing", "optimizer", "scheduler", "data order", "random states")


# %% jupyter={"source_hidden": true} tags=["hide-input"]


def resumed_without(omitted, seed, states, random_states, x, y):
    """Test error and weights of a run that goes on without one part."""
    parts = parts_of_a_run(seed)
    for name, part in parts.items():
        if name != omitted:
            part.load_state_dict(copy.deepcopy(states[name]))
    if omitted == "optimizer":  # its rate is the scheduler's to say
        rate = parts["scheduler"].get_last_lr()[0]
        parts["optimizer"].param_groups[0]["lr"] = rate
    if omitted != "random states":
        torch.set_rng_state(random_states)
    start, steps = (0, HALF) if omitted == "data order" else (HALF, ALL)
    train(parts, x, y, ShuffledBatches(len(x), 32, steps, seed=seed, start=start))
    return judged(parts)


# %%
moved = {name: [] for name in OMITTED}
worse = {name: [] for name in OMITTED}
for seed in lab.seeds(8):
    rows = np.random.default_rng([seed, 3]).permutation(40_000)[:16_000]
    x, y, parts = POOL.x[rows], POOL.y[rows], parts_of_a_run(seed)
    train(parts, x, y, ShuffledBatches(len(x), 32, HALF, seed=seed))
    states = copy.deepcopy({name: part.state_dict() for name, part in parts.items()})
    random_states = torch.get_rng_state()
    train(parts, x, y, ShuffledBatches(len(x), 32, ALL, seed=seed, start=HALF))
    error, weights = judged(parts)
    for name in OMITTED:
        e, w = resumed_without(name, seed, states, random_states, x, y)
        moved[name].append(float((w - weights).norm() / weights.norm()))
        worse[name].append(e - error)
for name, values in moved.items():
    print(f"without {name:14} the weights end {np.mean(values):5.1%} away")

# %% jupyter={"source_hidden": true} tags=["hide-input"]
lab.claims(
    [
        lab.measure(f"resumed without {name}: test error", worse[name], unit="points")
        for name in OMITTED[1:]
    ]
)

# %% [markdown]
# Every omission makes another run, the weights a fifth to a half of their length away. Test error shows it clearly for the scheduler alone, 1.7 points [0.6, 2.8]. For the rest, only comparing bits tells
# you that a part is missing.
#
# ## The budget has doubled
#
# The run is finished; now there are as many steps again. At what rate do you go on?

# %% jupyter={"source_hidden": true} tags=["hide-input"]
fig, axes = plt.subplots(1, 3, sharey=True, figsize=(8.6, 2.7))
x, brown = np.linspace(-1.5, 1.5, 301), figures.look("cooldown")["color"]
captions = "finished: a low rate", "re-warmed to the old peak", "to a share of it"
drawn = zip(axes, (0.06, 1.25, 0.42), (0, 0.5, 0.36), captions, strict=True)
for ax, level, drift, caption in drawn:
    ax.plot(x, x**2 - drift, color="0.35")
    inside = abs(x) <= level**0.5
    bowl = x[inside], x[inside] ** 2 - drift, level - drift
    ax.fill_between(*bowl, color=brown, alpha=0.25)
    if drift:
        ax.plot(x, x**2, color="0.8", linewidth=1)
        ax.annotate("", (-1.3, 0.9), (-1.3, 1.6), arrowprops={"arrowstyle": "->"})
    ball = 0.75 * level**0.5
    ax.plot(ball - 0.04, ball**2 - drift + 0.11, "o", color=brown, markersize=9)
    ax.set(xlabel=caption, xticks=[], yticks=[], ylim=(-0.7, 2.1))
    ax.grid(False)
axes[0].set_ylabel("loss")
title = "The valley sinks while you move; the rate says how high you rattle"
fig.suptitle(title, x=0.01, ha="left")
figures.show(
    "A sketch: three valleys. A finished run lies at the bottom. Re-warmed to the old "
    "peak the ball rattles high up; re-warmed to a share of it, it rattles lower, in a "
    "valley that has sunk almost as much."
)

# %% [markdown]
# A high rate throws you up the walls within a few steps, and a fall brings you back; what stays is the way down the valley. *Which
# checkpoint*, then, or *which rate*? Exactly, on the noisy quadratic of chapter 1, as
# ratio to the final loss of one line tuned for the whole length:

# %% jupyter={"source_hidden": true} tags=["hide-input"]
SHARES = np.geomspace(0.02, 2, 81)
fall = PolynomialDecay  # a line to zero


def cooldown(steps):
    return Constant(total_iters=steps - steps // 5).then(fall(steps // 5))


def extended(first, second, share):
    """A run, and after it another at a share of its peak."""
    return first.then(Constant(share) * second)


def of_share(problem, first, second, peak, steps, shares):
    """The final loss with the second part at each of these shares of the peak."""
    shapes = [extended(first, second, share).sample(steps) for share in shares]
    return problem.loss(peak * np.array(shapes))[:, -1]


# %% tags=["nbval-check-output"]
exact = {}
for steps, batch in ((1000, 1), (1000, 256), (100, 256)):
    problem, keep = lab.NoisyQuadratic(batch_size=batch), steps - steps // 5
    line, cool = (problem.tune(shape(steps), steps)[0] for shape in (fall, cooldown))
    planned, reference = problem.tune(fall(2 * steps), 2 * steps)
    held, last = Constant(total_iters=keep), 2 * steps // 5
    tail = Constant(total_iters=2 * steps - keep - last).then(fall(last))
    print(f"{steps:5} steps, and as many again, batches of {batch}")
    for name, *run_and_peak in (
        ("finished line, re-warmed", fall(steps), fall(steps), line),
        ("from before a cooldown", held, tail, cool),
        ("the same, then a line", held, fall(2 * steps - keep), cool),
    ):
        losses = of_share(problem, *run_and_peak, 2 * steps, [*SHARES, 1]) / reference
        best = int(losses[:-1].argmin())
        exact[name, steps, batch] = losses[best], losses[-1]
        print(
            f"   {name:26} best share {SHARES[best]:4.2f}: {losses[best]:.2f}", end=""
        )
        print(f"   old rate: {losses[-1]:.2f}")

# %% [markdown]
# In 1,000 steps the decayed checkpoint, re-warmed to a fifth or a tenth, ends 6 to 26 % *below* the long line; at its
# old peak far above. In 100 steps, with little time to travel, it wants *more* than its old peak, and the held run is ahead.
#
# > **Predict.** The underfit network, 1,000 steps on MNIST-1D and as many again: finished on a line and re-warmed, or from before a
# > cooldown. What share does each want? And what are the steps worth on images that are already fitted?

# %% jupyter={"source_hidden": true} tags=["hide-input"]
GRID = 2.0 ** np.arange(-4, 2)  # shares of the old peak
PEAKS = 2.0 ** (np.arange(-3, 3) / 2)


def of_shares(task, ways, old, n, steps, **settings):
    """Each way at every share of its old peak, as results with the shares as peaks."""
    shapes = {f"{way} {s:g}": make(s) for way, make in ways.items() for s in GRID}
    peaks = {name: old[name.rsplit(" ", 1)[0]] for name in shapes}
    runs = lab.sweep(task, shapes, peaks, lab.seeds(n), steps=steps, **settings)
    grid = len(ways), len(GRID)
    return lab.Results(
        schedules=tuple(ways),
        peaks=np.tile(GRID, (len(ways), 1)),
        seeds=runs.seeds,
        eval_steps=runs.eval_steps,
        metrics={
            name: values.reshape(*grid, *values.shape[2:])
            for name, values in runs.metrics.items()
        },
    )


# %%
task, T = lab.mnist1d_task(), 1000
ways = {
    "finished": lambda share: extended(fall(T), fall(T), share),
    "before": lambda share: extended(
        Constant(total_iters=800), Constant(total_iters=800).then(fall(400)), share
    ),
}
old = {"finished": 0.08, "before": 0.048}  # from chapter 4
settings = {"steps": 2 * T, "batch_size": 16, "eval_steps": [T, 2 * T]}
shared = of_shares(task, ways, old, 16, **settings)
plan, seeds = {"planned": fall(2 * T)}, lab.seeds(16)
long_line = lab.sweep(task, plan, 0.068 * PEAKS, seeds, **settings)
underfit = shared.joined(long_line)

# %% jupyter={"source_hidden": true} tags=["hide-input"]
images, S = lab.images_task(hidden=(64,)), 700
again = {"finished": lambda share: extended(fall(S), fall(S), share)}
settings = {"steps": 2 * S, "batch_size": 64, "eval_steps": [S, 2 * S]}
fitted = of_shares(images, again, {"finished": 0.34}, 16, **settings)

# %% jupyter={"source_hidden": true} tags=["hide-input"]
green = figures.look("linear")["color"]
LOOKS = {
    "finished": (green, "o"),
    "before": (figures.look("cooldown")["color"], "s"),
}


def two_panels():
    fig, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.4), width_ratios=(1.5, 1))
    left.set(title="far from fitted", ylim=(30, 67), ylabel="test error (%)")
    label = "test error − stopped run's (points)"
    right.set(title="fitted", ylim=(-1.1, 1.1), ylabel=label)
    for ax in (left, right):
        ax.title.set_fontweight("normal")
        ax.set(xscale="log", xlabel="share of the old rate")
        ax.set_xticks(GRID, ["1/16", "1/8", "1/4", "1/2", "1", "2"])
        ax.minorticks_off()
    title = "Far from fitted: half the old peak, or the held rate. Fitted: no use"
    fig.suptitle(title, x=0.01, ha="left")
    return left, right


# %% jupyter={"source_hidden": true} tags=["hide-input"]
left, right = two_panels()
for way, (color, marker) in LOOKS.items():
    error = 100 * underfit.at("test_error")[list(ways).index(way)]
    style = {"marker": marker, "capsize": 3, "color": color}
    left.errorbar(GRID, error.mean(-1), lab.half_interval(error), **style)
more = 100 * (fitted.at("test_error")[0] - fitted.at("test_error", S)[0, :1])
style |= {"marker": "o", "color": green}
right.errorbar(GRID, more.mean(-1), lab.half_interval(more), **style)
stopped = 100 * underfit.at("test_error", T)[0, 0].mean()
level = 100 * underfit.judged(schedules=["planned"])[0]["planned"].mean()
left.axhline(stopped, color="0.55", linewidth=1, linestyle="--")
left.axhline(level, color="black", linestyle=":")
right.axhline(0, color="0.55", linewidth=1, linestyle="--")
for y, text, color in (
    (level - 1.7, "one line, planned and tuned for 2,000 steps", "black"),
    (stopped + 1, "stopped at 1,000", "0.35"),
    (stopped + 5, "from before a cooldown (squares)", LOOKS["before"][0]),
    (stopped + 8, "finished and re-warmed (circles)", green),
):
    left.text(0.06, y, text, size=9.5, color=color)
figures.show(
    "Test error over the share. Far from fitted: both checkpoints fall from 41 percent "
    "at a sixteenth to 34 at a half, near one line of 2,000 steps, and rise steeply at "
    "twice the rate; stopped, 44. Fitted: no difference up to share 1."
)

# %% jupyter={"source_hidden": true} tags=["hide-input"]
points, over = {"unit": "points"}, {"above": task.margin.points}
at_end = 100 * underfit.at("test_error")[0]
gain = 100 * underfit.at("test_error", T)[0, 0] - 100 * underfit.judged()[0]["finished"]
tie = {"no_difference": images.margin, **points}
_, chosen = underfit.judged()
print("shares chosen:", {way: sorted(set(chosen[way].tolist())) for way in ways})
lab.claims(
    [
        lab.claim("underfit: gained by re-warming", gain, **over, **points),
        lab.claim("an eighth less a half", at_end[1] - at_end[3], **over, **points),
        lab.measure("the old peak less a half", at_end[4] - at_end[3], **points),
        lab.measure(
            "re-warmed less planned", underfit.compare("finished", "planned"), **points
        ),
        lab.measure(
            "from before less planned", underfit.compare("before", "planned"), **points
        ),
        lab.claim("fitted: re-warmed to a quarter less stopped", more[2], **tie),
        lab.measure(
            "fitted: re-warmed to the old peak less stopped", more[4], **points
        ),
    ]
)

# %% [markdown]
# A half; the old rate; nothing. Far from fitted, the steps are worth nine points: re-warmed to half, the finished run ends 0.9 points [0.2, 1.6] behind
# one line tuned for 2,000 steps, the held one level with it, −0.2 [−0.9, 0.5]; two points would matter. A factor of two too low costs
# more than one too high; at four it is the reverse. Where all is fitted, as many steps again change nothing up to the old peak.
#
# ## One run, several lengths
#
# Hold the rate, and you can cool down from every checkpoint: `shape.cooldown(at=s, steps=s // 4)`. One trunk at one rate against a
# line planned for each length, at its own tuned peak:

# %%
LENGTHS = 500, 1000, 2000
trunk, each = {}, {2000: long_line}
for n in LENGTHS:
    branch = {"branch": Constant().cooldown(at=n - n // 5, steps=n // 5, form="linear")}
    settings = {"steps": n, "batch_size": 16}
    trunk[n] = lab.sweep(task, branch, 0.034 * PEAKS, lab.seeds(16), **settings)
    if n not in each:
        plan = {"planned": fall(n)}
        each[n] = lab.sweep(task, plan, 0.068 * PEAKS, lab.seeds(16), **settings)

# %% jupyter={"source_hidden": true} tags=["hide-input"]
one_rate = np.mean([runs.at("val_error") for runs in trunk.values()], axis=0)[..., None]
compared, errors, height = {}, {}, {}
for n in LENGTHS:
    plan = each[n]
    metrics = {
        "test_error": np.concatenate(
            [trunk[n].at("test_error"), plan.at("test_error")]
        )[..., None],
        "choice": np.concatenate([one_rate, plan.at("val_error")[..., None]]),
    }
    both = lab.Results(
        ("branch", "planned"),
        np.concatenate([trunk[n].peaks, plan.peaks]),
        plan.seeds,
        np.array([n]),
        metrics,
    )
    compared[n] = both.compare("branch", "planned", by="choice")
    errors[n], peaks = both.judged(by="choice")
    height[n] = np.median(peaks["planned"]) / np.median(peaks["branch"])
print("the trunk's rate:", sorted(set(peaks["branch"].tolist())))
branched = LENGTHS[-1] - LENGTHS[-1] // 5 + sum(n // 5 for n in LENGTHS)
print(f"steps: {branched} in branches, {sum(LENGTHS)} in runs of their own")


# %% jupyter={"source_hidden": true} tags=["hide-input"]
def draw_rates(ax):
    ax.plot([0, 1600], [1, 1], color=brown, linewidth=3)
    for n in LENGTHS:
        ax.plot([n - n // 5, n], [1, 0], color=brown, linewidth=2)
        ax.plot([0, n], [height[n], 0], color=green, linestyle="--", linewidth=1.5)
    ax.text(1030, 0.3, "one trunk, three branches", color=brown)
    ax.text(1000, 1.9, "three lines of their own", color=green)
    ax.set(ylabel="rate (trunk's = 1)", ylim=(-0.1, 3.1))


def draw_errors(ax):
    for name, color, marker, side in (
        ("branch", brown, "s", "right"),
        ("planned", green, "o", "left"),
    ):
        shift = 25 if side == "left" else -25
        for n in LENGTHS:
            values = 100 * errors[n][name]
            at, half = values.mean(), lab.half_interval(values)
            ax.errorbar(n + shift, at, half, color=color, marker=marker, capsize=4)
            style = {"ha": side, "va": "center", "color": color}
            ax.text(n + 2.3 * shift, at, f"{at:.1f}", **style)
    ax.set(xlabel="steps", ylabel="test error (%)", ylim=(30, 55), xlim=(0, 2200))


# %% jupyter={"source_hidden": true} tags=["hide-input"]
fig, (top, bottom) = plt.subplots(2, 1, sharex=True, figsize=(7.6, 4.2))
draw_rates(top)
draw_errors(bottom)
top.set_title(
    "One trunk with branches: two thirds of the steps, and nowhere far behind"
)
figures.show(
    "Above, the rate of one constant trunk with three cooldowns, ending at 500, 1,000 "
    "and 2,000 steps, and three separate lines, higher at first. Below, the test "
    "errors of branch and line: about 52 and 51 percent at 500 steps, 42 and 43 at "
    "1,000, 34 and 34 at 2,000."
)

# %% jupyter={"source_hidden": true} tags=["hide-input"]
lab.claims(
    [
        lab.measure(f"{n} steps: branch less planned", compared[n], **points)
        for n in LENGTHS
    ]
)

# %% [markdown]
# At 1,000 steps the branch is 1.5 points ahead [0.6, 2.3]; at 500 and 2,000 it is 0.7 [−0.1, 1.4] and 0.4 [−0.6, 1.3] behind, less than what matters.
# Branched from checkpoints it takes 2,300 steps, against 3,500. Hägele et al. (2024) propose the same for language models.
#
# ## The decision
#
# - *Stopped*: build everything, load everything, compare bits once with a run that was not stopped (on a GPU, in deterministic mode).
# - *More steps*: a held run goes on and cools down later; a finished one is re-warmed. Try three shares around a half, lower for
#   a long run, higher where steps are few: each costs only the added steps. If all is fitted, do not.
# - *Length open, or several*: hold the rate, keep checkpoints, and cool down from each that you need.
#
# ## In your own code
#
# Plain torch first. The order of the data is made from the epoch's number, so that the step says where to go on.


# %%
def make_model():
    layers = torch.nn.Linear(40, 100), torch.nn.ReLU(), torch.nn.Dropout(0.1)
    return torch.nn.Sequential(*layers, torch.nn.Linear(100, 10))


# %%
def run_in_torch(path, steps, until):
    torch.manual_seed(0)
    model = make_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    scheduler = torch_lr.CosineAnnealingLR(optimizer, steps)
    parts, step = {"m": model, "o": optimizer, "s": scheduler}, 0
    if path.exists():  # all is built; now all is loaded
        saved = torch.load(path, weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(saved[name])
        step = saved["step"]
        torch.set_rng_state(saved["random"])
    while step < until:
        epoch, i = divmod(step, 250)
        order = torch.Generator().manual_seed(epoch)
        batch = torch.randperm(4000, generator=order)[16 * i : 16 * (i + 1)]
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
        optimizer.step()
        scheduler.step()
        step += 1
    states = {name: part.state_dict() for name, part in parts.items()}
    save(path, states | {"step": step, "random": torch.get_rng_state()})
    return model


# %%
x, y = data.train_x, data.train_y
with tempfile.TemporaryDirectory() as folder:
    folder = Path(folder)
    whole = run_in_torch(folder / "a.pt", 600, until=600)
    run_in_torch(folder / "b.pt", 600, until=333)
    resumed = run_in_torch(folder / "b.pt", 600, until=600)
same = all(map(torch.equal, whole.parameters(), resumed.parameters()))
print("stopped at 333, resumed, the same weights:", same)

# %% [markdown]
# With `lrlib` it is the loop that was killed above. To extend a finished run, give it a longer shape
# with the same past and load as before; a different past raises a warning:


# %%
def run(path, shape, until):
    torch.manual_seed(0)
    model = make_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    scheduler = ScheduledLR(optimizer, shape)
    parts = {"model": model, "optimizer": optimizer, "scheduler": scheduler}
    start = load_checkpoint(path, **parts)["step"] if path.exists() else 0
    trace = LRTrace(optimizer)
    for batch in ShuffledBatches(4000, 16, until, start=start):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
        optimizer.step()
        scheduler.step()
    save_checkpoint(path, step=until, **parts)
    return trace.lr[:, 0]


with tempfile.TemporaryDirectory() as folder:
    path, shape = Path(folder, "run.pt"), PolynomialDecay(400)
    run(path, shape, until=400)
    longer = shape.then(Constant(0.5) * Warmup(20).then(PolynomialDecay(380)))
    second = run(path, longer, until=800)
assert np.allclose(second, 0.01 * longer.sample(800)[400:])
print(f"re-warmed to {second.max():.3f}, ended at {second[-1]:.6f}")

# %% [markdown]
# ## Depth
#
# Each part stands on its own, folded under a heading that says what it finds.

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ### From documentation to code: the held rate ended lower on both than re-warming to the old peak

# %% [markdown]
# Continual training: the small transformer of chapter 4 reads Python's documentation for 500 steps, then the source code of its library for
# 300, character by character (recorded; four seeds, each with its own windows). A line to zero is re-warmed to 1, 0.3 or 0.1 of its peak
# and decays again; or the first rate is held throughout, and cooled over the last 60 steps. With 5 % of *replay*, every twentieth
# window is documentation again. The height: the loss on held-out documentation at the end, less
# that of the finished line at step 500, for all.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
replays = {"0 %": lab.recorded("to_code"), "5 %": lab.recorded("to_code_replay")}
was = replays["0 %"].at("test_loss", 500)[0, 0]  # of the finished line


def draw_front(ax):
    for runs, filled in zip(replays.values(), (True, False), strict=True):
        for i, name in enumerate(runs.schedules):
            held = name == "held"
            color = figures.look("cooldown" if held else "linear")["color"]
            old_loss = (runs.at("test_loss")[i, 0] - was).mean()
            new_loss = runs.at("val_loss")[i, 0].mean()
            face = color if filled else "white"
            marker = "s" if held else "o"
            ax.plot(new_loss, old_loss, marker, color=color, mfc=face, markersize=9)
            text = name.removeprefix("re-warmed ") + ("" if filled else ", replay")
            at = new_loss + 0.006, old_loss + 0.004
            ax.annotate(text, at, color=color, size=9.5)
    ylabel = "documentation, over the finished line (nats)"
    ax.set(xlabel="loss on code (nats)", ylabel=ylabel)


# %% jupyter={"source_hidden": true} tags=["hide-input"]
fig, ax = plt.subplots(figsize=(7.6, 3.6))
draw_front(ax)
ax.set(xlim=(1.5, 1.87), ylim=(0, 0.2))
ax.set_title(
    "Held and cooled at the end is ahead on both; replay costs next to nothing"
)
figures.show(
    "Loss on documentation over that on code. Re-warmed lines: to 1, 1.59 nats "
    "and 0.17 forgotten; to 0.3, 1.66 and 0.14; to 0.1, 1.78 and 0.14. The held "
    "rate is ahead of all, 1.52 and 0.10. With replay each point is 0.03 to 0.07 nats "
    "lower at the same loss on code."
)

# %% jupyter={"source_hidden": true} tags=["hide-input"]
plain, replayed = replays.values()
nats = {"unit": "nats"}


def of_run(runs, name, metric):
    return runs.at(metric)[runs.schedules.index(name), 0]


def less(a, b, metric):
    return of_run(plain, a, metric) - of_run(plain, b, metric)


# %% jupyter={"source_hidden": true} tags=["hide-input"]
high, low = "re-warmed to 1", "re-warmed to 0.1"
rows = [
    lab.claim(
        "code: to a tenth less to 1", less(low, high, "val_loss"), above=0, **nats
    ),
    lab.claim("code: held less to 1", less("held", high, "val_loss"), below=0, **nats),
    lab.measure(
        "documentation: to 1 less to a tenth", less(high, low, "test_loss"), **nats
    ),
    lab.measure(
        "documentation: held less to 1", less("held", high, "test_loss"), **nats
    ),
]
for name in plain.schedules:
    saved_ = of_run(replayed, name, "test_loss") - of_run(plain, name, "test_loss")
    text = f"documentation, {name}: replay less none"
    rows.append(lab.claim(text, saved_, below=0, **nats))
    cost = of_run(replayed, name, "val_loss") - of_run(plain, name, "val_loss")
    text = f"code, {name}: replay less none"
    rows.append(lab.claim(text, cost, no_difference=lab.MARGINS["text"], **nats))
lab.claims(rows)

# %% [markdown]
# Among the re-warmings more rate learned more, 0.19 nats [0.15, 0.23] from a tenth to 1, and forgot a little more, 0.034 [0.007, 0.062]. The held
# rate was ahead of re-warming to 1 on the code, by 0.07 nats [0.05, 0.09], and on the documentation, by 0.07 [0.03, 0.11]. With replay the trade between shares is gone: a tenth is behind on both. The held rate stood at half of the line's peak, both
# placed by pilot runs, and 500 steps are few: on short runs of text chapter 4 found the held rate ahead, too. Replay took 0.03 to 0.07 nats off what was
# forgotten and cost 0.006 on the code at most, a quarter of what matters. Ibrahim et al. (2024) find re-warming, decay and replay enough to match
# training anew, with models of up to 10B parameters, and propose schedules with a long constant part for the same purpose.

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ### "Decay now, fine-tune worse?" Not here: fine-tuning levelled what the decay had gained

# %% [markdown]
# Yano et al. (2026) report, for models of 1B and 8B parameters, that a rate held to the end is worse after pre-training and *better* after
# fine-tuning. Here: a transformer on the synthetic language of chapter 8, 800 steps, then 200 on a related one: after a token, half of the
# probability lies elsewhere (recorded, 12 seeds). Three ends of the first run, each at its own peak; the rate of the second is tuned for each.

# %%
tuned = lab.recorded("fine_tuning")
STARTS, FINE = ("constant", "cooldown", "line"), (0.004, 0.008, 0.016, 0.032, 0.064)
order = [[tuned.schedules.index(f"{s} {rate:g}") for rate in FINE] for s in STARTS]
starts = lab.Results(
    schedules=STARTS,
    peaks=np.tile(FINE, (3, 1)),
    seeds=tuned.seeds,
    eval_steps=tuned.eval_steps,
    metrics={name: values[order, 0] for name, values in tuned.metrics.items()},
)
early = dict(zip(STARTS, starts.at("test_loss", 800)[:, 0], strict=True))
rows, by = [], ("val_loss", "val_loss")
for start in ("constant", "cooldown"):
    before, after = early[start] - early["line"], starts.compare(start, "line", *by)
    bound = (
        {"above": 0}
        if start == "constant"
        else {"no_difference": lab.MARGINS["language"]}
    )
    rows.append(lab.claim(f"{start} less line, before", before, **bound, **nats))
    rows.append(lab.measure(f"{start} less line, after", after, **nats))
lab.claims(rows)

# %% [markdown]
# Before, the constant rate is 0.035 nats behind [0.029, 0.041]; after fine-tuning 0.006 [−0.006, 0.018]: of the lead of the
# decay half at most is left, and no lead of the constant rate shows; the cooldown, level before, ends 0.006 behind the line [0.000, 0.013]. That the constant
# rate is worse before is seen here; that it is better after is not. With 200 steps the second run rewrites most
# of what the first had learned; what is kept of a large model after a little fine-tuning, this cannot say. (Adam's moments were kept.)

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ### On the quadratic the bump after re-warming is noise, not damage; resetting Adam's moments cost a third of a point

# %% [markdown]
# On the quadratic the loss after re-warming to the old peak rises within thirty steps, and falls again with the rate. In units of
# the finished run's loss:

# %% tags=["nbval-check-output"]
problem = lab.NoisyQuadratic()
peak = problem.tune(fall(1000), 1000)[0]
print("steps after re-warming:     1     10     30    300   1000")
for share in (1, 0.5, 0.2):
    loss = problem.loss(peak * extended(fall(1000), fall(1000), share).sample(2000))
    after = loss[[1001, 1010, 1030, 1300, 2000]] / loss[1000]
    print(f"   to {share:3} of the peak", *(f"{value:6.2f}" for value in after))

# %% [markdown]
# No direction of the quadratic forgets: its loss is the distance to one minimum, and the last column is what counts. A network with
# AdamW (the omission table's, a line over 250 steps, then another to half of its peak) shows how much of the bump is
# the optimizer's: its moments kept; reset, as when only the weights are loaded; reset, and warmed up over 50 steps.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
WAYS = ("kept", "reset", "reset, 50 steps of warm-up")
bump, end = {way: [] for way in WAYS}, {way: [] for way in WAYS}
for seed in lab.seeds(6):
    rows = np.random.default_rng([seed, 3]).permutation(40_000)[:16_000]
    x, y, parts = POOL.x[rows], POOL.y[rows], parts_of_a_run(seed)
    parts["scheduler"] = ScheduledLR(parts["optimizer"], fall(250))
    finished = train(parts, x, y, ShuffledBatches(len(x), 32, 250, seed=seed))
    weights = copy.deepcopy(parts["model"].state_dict())
    moments = copy.deepcopy(parts["optimizer"].state_dict()["state"])
    for way in WAYS:
        parts = parts_of_a_run(seed)
        parts["model"].load_state_dict(weights)
        if way == "kept":
            groups = parts["optimizer"].state_dict()["param_groups"]
            state = {"state": copy.deepcopy(moments), "param_groups": groups}
            parts["optimizer"].load_state_dict(state)
        rise = Warmup(50 if "warm" in way else 0)
        shape = Constant(0.5) * rise.then(fall(250 - rise.length))
        parts["scheduler"] = ScheduledLR(parts["optimizer"], shape)
        batches = ShuffledBatches(len(x), 32, 500, seed=seed, start=250)
        losses = train(parts, x, y, batches)
        bump[way].append(losses[:20].mean() - finished[-20:].mean())
        end[way].append(judged(parts)[0])

# %% jupyter={"source_hidden": true} tags=["hide-input"]
rows = [
    lab.measure(f"{way}: loss in 20 steps, less before", bump[way], unit="nats")
    for way in WAYS
]
rows += [
    lab.measure(
        f"{way}, less kept: test error",
        np.subtract(end[way], end["kept"]),
        unit="points",
    )
    for way in WAYS[1:]
]
lab.claims(rows)

# %% [markdown]
# At half the peak the network's bump is within its noise, with the moments kept or not. In test error a reset cost 0.35 points [0.02, 0.68], and
# the warm-up did not win it back, 0.47 [0.29, 0.65]: six seeds, and less than what matters here. Keep the moments, they are in the checkpoint.

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ### Beside the paper: extending language models of 124 and 210 million parameters

# %% [markdown]
# Schaipp et al. (2025) derive from a convex bound that a cooldown extended from its checkpoint before the fall should get a lower
# rate or a longer cooldown, and publish their logs (github.com/fabian-sp/lr-scheduling, MIT; one seed each; final validation
# loss, nats). A held run of 50,000 steps is extended:
#
# | parameters | to steps | same rate, 20 % | lowered rate, 20 % | same rate, 60 % |
# | --- | --- | --- | --- | --- |
# | 124M | 100,000 | 2.904 | 2.898 | **2.888** |
# | 124M | 200,000 | 2.861 | **2.855** | |
# | 210M | 100,000 | 2.794 | 2.784 | **2.772** |
# | 210M | 200,000 | 2.746 | **2.735** | |
#
# At 100,000 steps the longer fall gains two to three times what the lower rate does. On the long quadratic above, the lower rate and a fall from 800 to 2,000 at the old
# rate are about level with batches of 1 (1.56; lower 1.09; longer fall 1.07), and with batches of 256 the lower rate is ahead (2.04; 0.97; 1.19). Our network wanted its
# old rate.

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ### Pitfalls: a loader draws, a state overrules, a new rate is ignored, a scaler begins again

# %% [markdown]
# **A DataLoader draws a number when its loop begins**, from torch's global state unless it has a `generator`. So a resumed run with
# dropout differs, though all states were loaded. Give it one and save its state, or load after ``iter(loader)``.

# %% tags=["nbval-check-output"]
examples = torch.utils.data.TensorDataset(torch.zeros(4))
for generator in (None, torch.Generator()):
    before = torch.get_rng_state()
    iter(torch.utils.data.DataLoader(examples, generator=generator))
    print("global state untouched:", torch.equal(before, torch.get_rng_state()))

# %% [markdown]
# **torch's `load_state_dict` overwrites the new length.** The cosine built for 200 steps goes on with the loaded `T_max` of 100 (and so climbs, chapter 4).
# **A new `lr=` is ignored**: the loaded `initial_lr` wins. `ScheduledLR` takes the new shape, says what it finds, and keeps the saved
# peak; to change that, set `scheduler.base_lrs`.

# %% tags=["nbval-check-output"]
first = torch_lr.CosineAnnealingLR(sgd(), T_max=100)
second = torch_lr.CosineAnnealingLR(sgd(lr=0.02), T_max=200)
second.load_state_dict(first.state_dict())
print("torch: T_max", second.T_max, "and peak", second.base_lrs[0])
saved = ScheduledLR(sgd(), CosineAnnealing(100)).state_dict()
ours = ScheduledLR(sgd(lr=0.02), CosineAnnealing(200))
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    ours.load_state_dict(saved)
print("here: ", ours.shape, "and peak", ours.base_lrs[0])
print(*(warning.message for warning in said), sep="\n")

# %% [markdown]
# **A NumPy scalar in a state** (`eta_min=np.float64(…)`) makes ``torch.load(…, weights_only=True)`` refuse the file, at resuming;
# `save_checkpoint` writes it as Python's, and refuses at saving what could not be loaded.
#
# **A gradient scaler that is left out** begins again at 65,536. Every halving down to what the run had found is an update skipped:

# %% tags=["nbval-check-output"]
weight = torch.ones(1, requires_grad=True)
optimizer, scaler = torch.optim.SGD([weight], lr=0.01), torch.amp.GradScaler("cpu")
updates = 0
for _ in range(8):
    loss = (100 * weight.half()).sum()  # float16 overflows at 65,504
    optimizer.zero_grad()
    scaler.scale(loss).backward()
    updates += bool(torch.isfinite(weight.grad).all())
    scaler.step(optimizer)
    scaler.update()
print(f"8 steps, {updates} updates; scale {scaler.get_scale():.0f}")

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ### Folklore, with verdicts

# %% [markdown]
# - *"Restart from the checkpoint before the decay."* Not on the long quadratic (0.94 with the decayed one, 1.09 without);
#   the short quadratic (0.79 against 0.97) and the underfit network, by a point (below), were better off with the earlier one.
# - *"Re-warm to the old peak."* On the long quadratic that ends 59 to 82 % above one long line; on the underfit network it costs 0.7 points
#   [0.2, 1.2] against half of it; on text it learned most. It is one end of the sweep, not the rule.
# - *"The bump means damage."* On the quadratic the loss quadruples within 30 steps, and ends below the finished run's. Judge at the end.

# %%
lab.measure(
    "underfit: finished, re-warmed, less from before the fall",
    underfit.compare("finished", "before"),
    **points,
)

# %% [markdown]
# ## Exercises
#
# In `exercises/13_resume/`; the core is 1 to 4, 45 minutes.
#
# 1. What is missing from this checkpoint? (8 minutes). 2. Write it whole or not at all (12). 3. Resume, bit for bit (15). 4. Extend without
#    changing the past (10). 5. Open: several lengths, one budget (30).
#
# ## References
#
# - A. Ibrahim, B. Thérien, K. Gupta, M. L. Richter, Q. Anthony, T. Lesort, E. Belilovsky, I. Rish (2024). *Simple and scalable strategies
#   to continually pre-train large language models.* TMLR.
# - A. Hägele, E. Bakouch, A. Kosson, L. Ben Allal, L. von Werra, M. Jaggi (2024). *Scaling laws and compute-optimal training beyond fixed
#   training durations.* NeurIPS.
# - F. Schaipp, A. Hägele, A. Taylor, U. Simsekli, F. Bach (2025). *The surprising agreement between convex optimization theory and
#   learning-rate scheduling for large model training.* ICML.
# - K. Yano, S. Kiyono, S. Kobayashi, S. Takase, J. Suzuki (2026). *Pre-training LLM without learning rate decay enhances supervised
#   fine-tuning.* ICLR. arXiv:2603.16127.
# - PyTorch, github.com/pytorch/pytorch, issues 65342, 60265 and 162591, on resuming schedulers.
