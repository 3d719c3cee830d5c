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
import os
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

# %% [markdown]
# *Build everything, then load optimizer and scheduler*: right for all 15. Every shortcut is wrong for some; `last_epoch=n`, the natural
# guess, for 11 of 13. What would make a scheduler safe in any order?
#
# ## A schedule needs to remember two numbers
#
# $$\text{torch:}\quad \eta_{t+1}=\eta_t\,\frac{f(t+1)}{f(t)}\qquad\qquad\text{here:}\quad \eta_t=\eta_{\text{base}}\,f(t)$$
#
# with the rate $\eta_t$ of update $t$, the shape $f$ and the peak $\eta_{\text{base}}$. Most of torch's schedulers use the left form and
# read $\eta_t$ back from the optimizer, where others may have written. On the right the state is $(t, \eta_{\text{base}})$.
#
# The file must be whole, too. A job killed while it saves leaves half a file where the last good one was; so write
# beside it, and rename:


# %%
def save(path, parts):
    unfinished = f"{path}.unfinished"
    with open(unfinished, "wb") as file:
        torch.save({name: part.state_dict() for name, part in parts.items()}, file)
        file.flush()
        os.fsync(file.fileno())  # on the disk, before the old file goes
    os.replace(unfinished, path)  # in one step: all or nothing


# %% [markdown]
# ## A run killed twice, and the same bits
#
# This loop saves every 100 steps. The data order is a function of the step, too (`ShuffledBatches`): no iterator has to be saved.

# %%
LOOP = """
import pathlib, sys, torch
from lrlib import (
    CosineAnnealing, ScheduledLR, ShuffledBatches, load_checkpoint, save_checkpoint
)
torch.manual_seed(0), torch.set_num_threads(1)
data, path = torch.load("data.pt"), pathlib.Path(sys.argv[1])
model = torch.nn.Sequential(
    torch.nn.Linear(40, 100), torch.nn.ReLU(), torch.nn.Dropout(0.1), torch.nn.Linear(100, 10)
)
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
parts = {"model": model, "optimizer": optimizer}
parts["scheduler"] = ScheduledLR(optimizer, CosineAnnealing(1000))
start = load_checkpoint(path, **parts)["step"] if path.exists() else 0
for step, batch in enumerate(ShuffledBatches(4000, 16, 1000, start=start), start):
    if step % 100 == 0:
        save_checkpoint(path, step=step, **parts)
    loss = torch.nn.functional.cross_entropy(model(data["x"][batch]), data["y"][batch])
    optimizer.zero_grad(), loss.backward(), optimizer.step()
    parts["scheduler"].step()
    print(step, flush=True)
save_checkpoint(path, step=1000, **parts)
"""


# %%
def run(folder, checkpoint, kill_after=None):
    """Run the loop in a process of its own; SIGKILL after a step. Its first and last step."""
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
    print("whole:  ", run(folder, "whole.pt"))
    for kill_after in (437, 700, None):
        print("resumed:", run(folder, "killed.pt", kill_after))
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
# The same kind of loop, one pass over 16,000 signals, stopped half-way and resumed without one part each. Against the run without a stop:

# %% jupyter={"source_hidden": true} tags=["hide-input"]
POOL = lab.load_mnist1d()
HALF, ALL = 250, 500  # steps of 32 signals


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


def resumed_without(omitted, seed, states, random_states, x, y):
    """Test error and weights of a run that goes on without one part of its checkpoint."""
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
for seed in lab.seeds(12):
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
# TEXT. A gradient scaler is in Depth.
#
# ## The budget has doubled
#
# The run is finished, its rate at zero; now there is money for as many steps again.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
fig, axes = plt.subplots(1, 3, sharey=True, figsize=(8.6, 2.7))
x = np.linspace(-1.5, 1.5, 301)
brown = figures.look("cooldown")["color"]
captions = ("finished: the rate is low", "re-warmed to the old peak", "to a share of it")
for ax, level, drift, caption in zip(
    axes, (0.06, 1.25, 0.42), (0, 0.5, 0.36), captions, strict=True
):
    floor = -drift
    ax.plot(x, x**2 + floor, color="0.35")
    inside = abs(x) <= level**0.5
    ax.fill_between(
        x[inside], x[inside] ** 2 + floor, level + floor, color=brown, alpha=0.25
    )
    if drift:
        ax.plot(x, x**2, color="0.8", linewidth=1)
        ax.annotate("", (-1.3, 0.9), xytext=(-1.3, 1.6), arrowprops={"arrowstyle": "->"})
    ax.plot(level**0.5 * 0.75, 0.56 * level + floor + 0.1, "o", color=brown, markersize=9)
    ax.set(xlabel=caption, xticks=[], yticks=[], ylim=(-0.7, 2.1))
    ax.grid(False)
axes[0].set_ylabel("loss")
fig.suptitle("The valley sinks while you move; the rate says how high you rattle")
figures.show(
    "A sketch: three valleys. A finished run lies at the bottom. Re-warmed to the old "
    "peak the ball rattles high up in a valley that has sunk a little. Re-warmed to a "
    "share of it, it rattles lower, in a valley that has sunk almost as much."
)

# %% [markdown]
# Re-warming throws you up the walls at once, and back when the rate falls; what stays is the way down the valley. So the question is
# not *which checkpoint* but *which rate*. On the noisy quadratic of chapter 1, final loss over that of a line planned for the whole length:

# %% jupyter={"source_hidden": true} tags=["hide-input"]
SHARES = np.geomspace(0.02, 2, 81)


def fall(steps):
    return PolynomialDecay(steps)


def cooldown(steps):
    return Constant(total_iters=steps - steps // 5).then(fall(steps // 5))


def extended(first, second, share):
    """A run, and after it another at a share of its peak."""
    return first.then(Constant(share) * second)


def best_share(problem, first, second, peak, steps):
    """Over all shares: the best, its final loss, and the loss at share 1."""
    shapes = [extended(first, second, share).sample(steps) for share in [*SHARES, 1.0]]
    losses = problem.loss(peak * np.array(shapes))[:, -1]
    best = int(np.argmin(losses[:-1]))
    return SHARES[best], losses[best], losses[-1]


# %% tags=["nbval-check-output"]
exact = {}
for steps, batch in ((1000, 1), (1000, 256), (100, 256)):
    problem, keep = lab.NoisyQuadratic(batch_size=batch), steps - steps // 5
    line, cool = (problem.tune(shape(steps), steps)[0] for shape in (fall, cooldown))
    planned, reference = problem.tune(fall(2 * steps), 2 * steps)
    held, rest = Constant(total_iters=keep), 2 * steps - keep
    tail = Constant(total_iters=rest - steps // 5 * 2).then(fall(steps // 5 * 2))
    ways = {
        "finished line, re-warmed": (fall(steps), fall(steps), line),
        "cooldown, from before its fall": (held, tail, cool),
        "the same, and a line from there": (held, fall(rest), cool),
    }
    print(f"{steps:5} steps and as many again, batch {batch}: ", end="")
    print(f"the long line is at {planned / line / 2:.2f} of the old peak there")
    for name, (first, second, peak) in ways.items():
        share, best, old = best_share(problem, first, second, peak, 2 * steps)
        exact[name, steps, batch] = share, best / reference, old / reference
        print(f"   {name:32} share {share:4.2f}: {best / reference:.2f}", end="")
        print(f"   share 1: {old / reference:.2f}")

# %% [markdown]
# TEXT exact.
#
# > **Predict.** The underfit network, 1,000 steps of SGD on MNIST-1D, and as many again. Finished on a line and re-warmed; or from
# > before the fall, with a lower rate. Which checkpoint is ahead, and what share of its old peak does it want? And images that the network
# > has fitted: what are the steps worth there?

# %% jupyter={"source_hidden": true} tags=["hide-input"]
GRID = 2.0 ** np.arange(-3, 2)  # shares of the old peak


def of_shares(task, ways, old, n, steps, **settings):
    """Each way at every share of its old peak, as results with the shares as peaks."""
    shapes = {f"{way} {s:g}": ways[way](s) for way in ways for s in GRID}
    peaks = {name: old[name.rsplit(" ", 1)[0]] for name in shapes}
    runs = lab.sweep(task, shapes, peaks, lab.seeds(n), steps=steps, **settings)
    grid = (len(ways), len(GRID))
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
T = 1000
HELD = Constant(total_iters=T - T // 5)
TAIL = Constant(total_iters=T + T // 5 - 2 * T // 5).then(fall(2 * T // 5))
ways = {
    "finished": lambda share: extended(fall(T), fall(T), share),
    "before the fall": lambda share: extended(HELD, TAIL, share),
}
old = {"finished": 0.08, "before the fall": 0.048}  # tuned for 1,000 steps
task, settings = lab.mnist1d_task(), {"batch_size": 16, "eval_steps": [T, 2 * T]}
shared = of_shares(task, ways, old, 24, 2 * T, **settings)
around = 0.068 * 2.0 ** (np.arange(-2, 3) / 2)
planned = lab.sweep(
    task, {"planned": fall(2 * T)}, around, lab.seeds(24), steps=2 * T, **settings
)
underfit = shared.joined(planned)

# %% jupyter={"source_hidden": true} tags=["hide-input"]
images, S = lab.images_task(hidden=(64,)), 700
fitted_ways = {"finished": lambda share: extended(fall(S), fall(S), share)}
settings = {"batch_size": 64, "eval_steps": [S, 2 * S]}
fitted_shares = of_shares(images, fitted_ways, {"finished": 0.34}, 12, 2 * S, **settings)
around = 0.34 * 2.0 ** (np.arange(-2, 3) / 2)
long = {"planned": fall(2 * S)}
runs = lab.sweep(images, long, around, lab.seeds(12), steps=2 * S, **settings)
fitted = fitted_shares.joined(runs)

# %% jupyter={"source_hidden": true} tags=["hide-input"]
green, brown = figures.look("linear")["color"], figures.look("cooldown")["color"]
LOOKS = {"finished": (green, "o"), "before the fall": (brown, "s")}
fig, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.3), width_ratios=(1.5, 1))
for ax, runs, n in ((left, underfit, 2 * T), (right, fitted, 2 * S)):
    for way, (color, marker) in LOOKS.items():
        if way in runs.schedules:
            error = 100 * runs.at("test_error")[runs.schedules.index(way)]
            half = lab.half_interval(error)
            ax.errorbar(GRID, error.mean(-1), half, color=color, marker=marker)
    level = 100 * runs.judged(schedules=["planned"])[0]["planned"].mean()
    ax.axhline(level, color="black", linestyle=":")
    stop = 100 * runs.at("test_error", n // 2)[0, 0].mean()
    ax.axhline(stop, color="0.6", linewidth=1)
    ax.set(xscale="log", xlabel="share of the old peak", ylabel="test error (%)")
    ax.set_xticks(GRID, ["⅛", "¼", "½", "1", "2"])
    ax.minorticks_off()
fig.suptitle("TITLE", x=0.01, ha="left")
figures.show("ALT")

# %% jupyter={"source_hidden": true} tags=["hide-input"]
points = {"unit": "points"}
error, share = underfit.judged(schedules=list(ways))
print("shares chosen:", {way: sorted(set(share[way].tolist())) for way in ways})
eighth = 100 * (underfit.at("test_error")[0, 0] - underfit.at("test_error")[0, 2])
rows = [
    lab.measure(f"underfit: {way} less planned", underfit.compare(way, "planned"), **points)
    for way in ways
]
gain = 100 * underfit.at("test_error", T)[0, 0] - 100 * error["finished"]
rows += [
    lab.claim("underfit: what the second half gains", gain, above=task.margin.points, **points),
    lab.claim("underfit: an eighth of the old peak less a half", eighth, above=task.margin.points, **points),
    lab.measure("underfit: the old peak less half of it", 100*(underfit.at("test_error")[0, 3] - underfit.at("test_error")[0, 2]), **points),
    lab.measure("underfit: finished less before the fall", underfit.compare("finished", "before the fall"), **points),
]
fitted_error = 100 * fitted.at("test_error")
rows += [
    lab.measure(f"fitted: re-warmed to {s:g} less stopped", fitted_error[0, i] - 100*fitted.at("test_error", S)[0, 0], **points)
    for i, s in enumerate(GRID)
]
lab.claims(rows)

# %% [markdown]
# ## Branching

# %%
LENGTHS = (500, 1000, 2000)
branches = {
    n: lab.sweep(
        task,
        {"branch": cooldown(n), "planned": fall(n)},
        {
            "branch": 0.034 * 2.0 ** (np.arange(-2, 3) / 2),
            "planned": 0.068 * 2.0 ** (np.arange(-3, 2) / 2),
        },
        lab.seeds(24),
        steps=n,
        batch_size=16,
    )
    for n in LENGTHS
}

# %%
# one trunk: the peak with the lowest validation error over the three lengths
choice = np.stack([runs.at("val_error") for runs in branches.values()])
choice[:, 0] = choice[:, 0].mean(0)
rows = []
for i, (n, runs) in enumerate(branches.items()):
    runs.metrics["choice_error"] = choice[i][..., None]
    rows.append(lab.measure(f"{n} steps: branch less planned", runs.compare("branch", "planned", by="choice_error"), **points))
    j = runs.judged(by="choice_error")
    print(n, {k: (100 * v.mean(), set(j[1][k])) for k, v in j[0].items()})
lab.claims(rows)
trunk = LENGTHS[-1] - LENGTHS[-1] // 5
print(trunk + sum(n // 5 for n in LENGTHS), "steps against", sum(LENGTHS))
