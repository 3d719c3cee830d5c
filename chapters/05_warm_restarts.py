# %% [markdown]
# # 5 · Warm restarts and snapshot ensembles
#
# **What you will see.** A schedule that is ready at the end of every cycle, and what that costs; noise taken away five
# times and put back four; restarts that are said to reach other minima, and at a good peak show no sign of it; and
# an ensemble that helps most where the peak is too high.
#
# **What you will do.** Walk along the straight line between two trained networks, and compare an ensemble
# with what else its steps could have bought.
#
# **What you need.** Chapters 1 to 4, or this much of them. $\eta$ is the learning rate, $t$ counts optimizer
# steps (updates already made), and a schedule is a *shape* whose factor multiplies the *peak* $\eta_{\max}$.
# Cosine annealing is the shape $\frac12(1+\cos(\pi t/T))$ over $T$ steps. On a quadratic the loss is the sum of the
# *distance* still to go, which depends on the area $\sum_t\eta_t$ under the rate, and the *noise*, for which
# the rate has to fall. A claim's line gives mean, 95 % interval over seeds and what it had to satisfy;
# losses are in nats (natural logarithms). About half a minute on two CPU cores.
# `LRLIB_SEED` shifts every seed; `LRLIB_SCALE` multiplies the seeds.

# %%
import copy
import math
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch
from lrlib import (
    Constant,
    CosineAnnealing,
    InverseTimeDecay,
    LRTrace,
    ScheduledLR,
    WarmRestarts,
    ensemble_probabilities,
    lab,
)
from lrlib.lab import figures

figures.use_style()

# %% [markdown]
# ## A cosine is not ready before its end
#
# The last two chapters planned for a length. Suppose you do not know it: the job may be stopped, or the
# error may be good enough at some point. Loshchilov and Hutter (2017) let the cosine fall within a few
# steps, jump back to the peak and fall again, in longer and longer cycles (SGDR, stochastic gradient descent
# with warm restarts). *Warm* means that the weights (and the optimizer's momentum) stay as they are; only the rate starts
# again. At the end of every cycle the network should be *ready*: as good as if that had been the plan.
#
# The network is that of the earlier chapters (MNIST-1D, two hidden layers of 100 units, SGD with momentum
# 0.9, batches of 16). One cosine over 2,100 steps, and cycles of 300, 600 and 1,200 steps, both from the peak
# 0.057:

# %%
task = lab.mnist1d_task()
T, seeds = 2100, lab.seeds(12)
settings = {"steps": T, "batch_size": 16}
watched = lab.sweep(
    task,
    {"cosine": CosineAnnealing(T), "restarts": WarmRestarts(300, T_mult=2)},
    [0.057],
    seeds[:8],
    eval_steps=list(range(100, T + 1, 100)),
    evaluate=["val"],
    **settings,
)

# %%
fig, (top, bottom) = plt.subplots(
    2, 1, sharex=True, height_ratios=(3, 1), figsize=(7.6, 4.8)
)
for i, name in enumerate(watched.schedules):
    look = figures.look({"cosine": "cosine", "restarts": "warm restarts"}[name])
    runs = 100 * watched.metrics["val_error"][i, 0]
    figures.band(top, watched.eval_steps, runs, label=name, **look)
    bottom.plot(watched.lr[i, 0, 0], **look)
top.legend()
top.set(ylabel="validation error (%)")
bottom.set(xlabel="step", ylabel="applied rate")
top.set_title("Restarts lead at their early ends, and trail after each jump")
plt.show()

# %% [markdown]
# Lines are medians over eight seeds, bands the 10th to 90th percentile. At step 300 the restarts are far
# ahead. Then the rate jumps up, and the error with it, and it takes more than a third of the cycle to win
# them back. Suppose you are stopped, and use the best network that you have saved so far, by validation error, at steps
# 300, 900, 1,500 and 2,100. Is it better to have restarted? That depends on the peak, and the peak on what you tuned for: for
# this stop, or, since you did not know it, for the end. Five peaks for each shape answer both (the third shape is for later):

# %%
shapes = {
    "one cosine": CosineAnnealing(T),
    "300, 600, 1200": WarmRestarts(300, T_mult=2),
    "hold, then 1/t": Constant(total_iters=300).then(InverseTimeDecay(1, 300)),
}
peaks = {
    "one cosine": [0.01, 0.03, 0.08, 0.16],
    "300, 600, 1200": [0.01, 0.028, 0.057, 0.16],
    "hold, then 1/t": [0.01, 0.03, 0.08, 0.16],
}
stops = [300, 900, 1500, T]
keep = {"eval_steps": stops, "keep_states": True}  # the states are for later, too
result = lab.sweep(task, shapes, peaks, seeds, **keep, **settings)


# %%
def best_so_far(runs):
    """The same runs: at every stop, the best network so far by validation error."""
    val = runs.metrics["val_error"]
    best = [val[..., : n + 1].argmin(-1) for n in range(val.shape[-1])]
    best = np.stack(best, axis=-1)
    kept = {
        name: np.take_along_axis(runs.metrics[name], best, axis=-1)
        for name in ("val_error", "test_error")
    }
    kept["error at the end"] = np.broadcast_to(val[..., -1:], val.shape)
    return replace(runs, metrics=kept)


# %%
anytime, pair = best_so_far(result), ("300, 600, 1200", "one cosine")
text, by_end = (
    "stopped at {:,}: restarts less cosine, peaks tuned for ",
    "error at the end",
)
early, middle, late = (
    anytime.compare(*pair, by=by_end, step=stop) for stop in stops[:-1]
)
rows = [
    lab.claim(text.format(300) + "the end", early, below=0, unit="points"),
    lab.measure(text.format(900) + "the end", middle, unit="points"),
    lab.claim(text.format(1500) + "the end", late, above=0, unit="points"),
]
for stop in stops[:-1]:
    less = anytime.compare(*pair, step=stop)
    rows.append(lab.measure(text.format(stop) + "that stop", less, unit="points"))
lab.claims(rows)

# %% [markdown]
# With both peaks tuned for the end, a run stopped at 300 has 12 points [10, 13] less error with restarts, at 900 it has 7 [5, 9]; at 1,500, in the
# middle of the third cycle, the cosine is ahead by 6.5 [4.9, 8.1]. Part of the early lead is a matter of the peak: if the cosine's, too, is tuned for
# the early stop, 4.7 points [3.2, 6.2] are left at 300, and at 900 we see no difference (−0.3 [−1.5, 0.9]). So being
# ready early has a price, and whether it is worth it depends on when you will be stopped, which is what you
# do not know. What remains to be asked is what the restarts cost if you do run to the end, and whether each
# of them brings something that steps alone would not.

# %% [markdown]
# ## Every cycle starts from the full peak
#
# Cycle $i = 0, 1, \dots$ has $T_i = T_0\,T_{\text{mult}}^{\,i}$ steps. After $T_{\text{cur}}$ steps in it,
#
# $$\eta_t = \eta_{\min} + \tfrac12(\eta_{\max}-\eta_{\min})
# \left(1+\cos\frac{\pi\,T_{\text{cur}}}{T_i}\right).$$
#
# The rate falls from the peak $\eta_{\max}$ to $\eta_{\min}$ (0 here; `min_factor` is their ratio). With $T_{\text{mult}} = 1$ all cycles are equal; with 2 each is twice as long as the one before, and cycle
# $i$ ends after $T_0(2^{i+1}-1)$ steps.


# %%
def warm_restarts(t, T_0, T_mult):
    T_cur, T_i = t, T_0
    while T_cur >= T_i:  # leave the cycles that are over
        T_cur, T_i = T_cur - T_i, T_i * T_mult
    return (1 + math.cos(math.pi * T_cur / T_i)) / 2


# %%
def rates_of(make_scheduler):
    """What an optimizer with peak 0.1 really used, step by step."""
    return lab.applied(make_scheduler, 300).lr[:, 0]


# %% tags=["nbval-check-output"]
schedulers = torch.optim.lr_scheduler
for T_mult in (1, 2, 3):
    curve = [0.1 * warm_restarts(t, 20, T_mult) for t in range(300)]
    of_torch = rates_of(
        lambda opt, m=T_mult: schedulers.CosineAnnealingWarmRestarts(opt, 20, m)
    )
    of_lrlib = rates_of(lambda opt, m=T_mult: ScheduledLR(opt, WarmRestarts(20, m)))
    print(T_mult, np.allclose(of_torch, curve), np.allclose(of_lrlib, curve), end=" ")
    print("cycles end at", WarmRestarts(20, T_mult).cycle_ends(4))

# %% [markdown]
# One sometimes reads that SGDR's cycles get shorter, or its peaks lower. With $T_{\text{mult}}>1$ they get
# longer, and every one starts from the full peak. A lower peak per cycle is an option of `lrlib`
# (`peak_decay`), off unless you ask for it.

# %% [markdown]
# ## The exact case: every restart puts the noise back
#
# On the noisy quadratic $L=\tfrac12\sum_i h_i\theta_i^2$ ($\theta_i$: distance from the minimum in direction $i$;
# curvatures $h_i = 1,1/2,\dots,1/100$; gradient noise of batches of 256) both parts of the loss are known
# exactly. Each shape gets its best peak below the stability limit; its score is the final loss over that of the
# best schedule found.
#
# > **Predict.** Take a run of fixed length, and cut its one cosine into 2, 5 or 10 equal cycles. At one peak
# > the area under the rate stays the same. When does that cost something: when distance limits the run, or
# > when noise does?

# %% tags=["nbval-check-output"]
problem = lab.NoisyQuadratic(batch_size=256)
cycles, scores = (1, 2, 5, 10), {}
print("final loss over that of the best schedule found")
print("cycles:", *(f"{n:7}" for n in cycles))
for steps in (100, 300, 1000):
    scores[steps] = [problem.score(WarmRestarts(steps // n), steps) for n in cycles]
    print(f"{steps:5} steps", *(f"{score:6.2f} " for score in scores[steps]))

# %%
five = {steps: row[2] / row[0] for steps, row in scores.items()}
text, margin = (
    "{:,} steps: final loss of five cycles over one",
    lab.MARGINS["quadratic"],
)
few, many = text.format(100), text.format(1000)
lab.claims(
    [
        lab.claim(few, five[100], no_difference=margin, scale="ratio"),
        lab.claim(many, five[1000], above=margin.ratio, scale="ratio"),
    ]
)

# %% [markdown]
# In the short, curvature-limited run nothing is lost (ten cycles even gain a little). From 300 steps on, five cycles double
# the loss: only the last one is there to take the noise away, and it is short. What restarts can give
# here is a low loss earlier, never a lower one at the end of a noise-limited run. That would need
# something which a quadratic, with its one minimum, has not got.

# %% [markdown]
# ## Five cycles cost about three points at the end
#
# > **Predict.** Four shapes over 2,100 steps, each with its own peak: one cosine; cycles of 300, 600, 1,200; five
# > equal cycles; and one that knows of no end, held for 300 steps and falling as $1/t$ from there. Rank their test
# > errors at the end.
#
# Every shape has five peaks, and a seed is judged at the peak that the *other* seeds choose by validation error. First the mean
# test error at every peak:

# %%
of_five = {"5 × 420": [0.014, 0.028, 0.057, 0.113]}
ends = list(WarmRestarts(420).cycle_ends(5))
keep = {"eval_steps": ends, "keep_states": True}  # the snapshots are for below
five = lab.sweep(
    task, {"5 × 420": WarmRestarts(420)}, of_five, seeds, **keep, **settings
)


def at_end(runs):
    """The same runs with their last evaluation alone."""
    last = {name: values[..., -1:] for name, values in runs.metrics.items()}
    return replace(runs, metrics=last, eval_steps=runs.eval_steps[-1:])


final = at_end(result).joined(at_end(five))
for name, grid, row in zip(
    final.schedules, final.peaks, final.at("test_error"), strict=True
):
    pairs = zip(grid, 100 * row.mean(-1), strict=True)
    print(f"{name:14}", *(f"{peak:6g}: {mean:.1f} %" for peak, mean in pairs))

# %%
text, one = "at the end: {} less one cosine", "one cosine"
less = {name: final.compare(name, one) for name in final.schedules if name != one}
rows = [
    lab.claim(text.format(name), effect, above=0, unit="points")
    if name == "5 × 420"
    else lab.measure(text.format(name), effect, unit="points")
    for name, effect in less.items()
]
lab.claims(rows)

# %% [markdown]
# Five equal cycles cost 3.3 points [2.6, 4.0]; cycles that double 1.7 [0.9, 2.4], the last of them has
# more than half of the run to itself. So cutting costs, as on the quadratic from 300 steps on: noise counts in this
# run, as chapters 3 and 4 found. At the common peak of the first figure the doubling cycles and the cosine end about level; the cosine's own peak is higher. The table also shows what the peak does: at 0.16 every row is lost, and cycles stand a high peak less well than one
# cosine does. (This network has not fitted its training set. Below is one that has.)
#
# And was the network ready at the ends? The first cycle *is* a cosine of 300 steps. For the second, train a
# cosine of 900 steps with a peak of its own, beside the doubling plan at the peak that suits its end:

# %%
planned, own = {"cosine": CosineAnnealing(900)}, {"steps": 900, "batch_size": 16}
single = lab.sweep(task, planned, [0.02, 0.04, 0.08, 0.16], seeds, **own)
doubling = ["300, 600, 1200"]
second, _ = anytime.judged(by=by_end, step=900, schedules=doubling)
at_end_of_second = 100 * (second[doubling[0]] - single.judged()[0]["cosine"])
text = "end of the second cycle less a cosine planned for 900 steps"
lab.measure(text, at_end_of_second, unit="points")

# %% [markdown]
# So the doubling plan keeps its word: after 900 steps it is where a cosine planned for them would be, give or take a point (0.2 [−0.5, 0.9]). One run of 2,100 steps gives you networks for
# 300, 900 and 2,100 steps; three separate runs would have taken 3,300 and ended with a better last network. That is
# the case for restarts, and the one that the paper's abstract makes: *anytime performance*, though at the ends of
# cycles only.
#
# **Ready without restarts.** But is a restart needed for that? Inverse-time decay (chapter 3) has no end to plan
# for either. Hold the peak, then fall as $1/t$. On the quadratic, from the largest rate that chapter 1 allows
# ($\eta = 2/h_{\max}$), against cosines planned and tuned for every stop:

# %% tags=["nbval-check-output"]
hold = Constant(total_iters=120).then(InverseTimeDecay(1, 14))
loss = problem.loss(2.0 * hold.sample(1000))
planned = {n: problem.tune(CosineAnnealing(n), n)[1] for n in (100, 200, 500, 1000)}
ratios = {n: loss[n] / best for n, best in planned.items()}
print({n: round(float(ratio), 2) for n, ratio in ratios.items()})
text = "final loss of hold, then 1/t, over that of a cosine planned for 1,000 steps"
lab.claim(text, ratios[1000], below=1, scale="ratio")

# %% [markdown]
# Once the flat part is over, it beats each cosine at that cosine's own stop. And the network?

# %%
text = "stopped at {:,}: hold, then 1/t, less restarts"
pair = ("hold, then 1/t", "300, 600, 1200")
rows = []
for stop in stops:
    less = anytime.compare(*pair, by=by_end, step=stop)
    rows.append(lab.measure(text.format(stop), less, unit="points"))
lab.claims(rows)

# %% [markdown]
# (Best network so far, both peaks tuned for the end.) On the network neither is better at all stops. This one falls too late for the first, where it
# is 12 points behind [10, 14], is ahead by 3.5 [1.6, 5.4] at 1,500, and ends 0.7 points [0.0, 1.5] behind the doubling plan. It needs no plan of the end and no
# cycles.
#
# The paper's own table (test error in per cent, Wide ResNet 28-10, median of five runs):
#
# | schedule | ends after epoch | CIFAR-10 | CIFAR-100 |
# | --- | --- | --- | --- |
# | steps at 60, 120, 160 (peak 0.1) | 200 | 4.24 | 20.33 |
# | steps at 60, 120, 160 (peak 0.05) | 200 | 4.13 | 20.21 |
# | one cosine, $T_0=200$ (peak 0.05, as below) | 200 | 3.86 | 19.98 |
# | $T_0=100$ | 200 | 4.07 | 19.87 |
# | $T_0=50$ | 200 | 4.17 | 19.99 |
# | $T_0=10$, $T_{\text{mult}}=2$ | 150 | 4.03 | 19.58 |
# | $T_0=1$, $T_{\text{mult}}=2$ | 127 | 4.09 | 19.74 |
#
# (Loshchilov and Hutter, 2017, table 1; the epochs of the last two rows are the ends of their last whole
# cycles within 200.) All rows lie within 0.4 points on CIFAR-10 and 0.8 on CIFAR-100, from five runs and without
# intervals; no row's lead is established. What it does show is 150 epochs reaching what 200 do.

# %% [markdown]
# ## Do restarts reach other minima?
#
# The jump of the rate is often explained as a jump out of a minimum. If both ends of a straight line in the space of
# the weights were strict minima, the loss would have to rise between them: a *hump*. So walk along lines between
# snapshots and look. A falling line proves little by itself, since two points on one descent are joined by one; what counts is
# whether restarts add a hump that one cosine has not got.
#
# The question only makes sense where a snapshot is near a minimum. On MNIST-1D a cycle of 420 steps is 1.7 epochs, and the first
# snapshot has not fitted its training set by far. So here is a second regime: 3,000 real digits of 14 × 14 pixels, one hidden layer of 64
# units, batches of 32, five cycles of 8 epochs (744 steps), and one cosine over the 40.

# %%
images, epochs = lab.images_task(hidden=(64,)), 8
six = seeds[:6]
length = epochs * (3000 // 32)  # steps of a cycle
settings = {"steps": 5 * length, "batch_size": 32}
grid = [0.025, 0.05, 0.1, 0.2, 0.4]
in_cycles = lab.sweep(
    images,
    {"5 × 744": WarmRestarts(length)},
    grid,
    six,
    eval_steps=[length * i for i in range(1, 6)],
    evaluate=["train", "val", "test"],
    keep_states=True,
    **settings,
)
keep = {"eval_steps": [length, 5 * length], "keep_states": True}
alone = lab.sweep(
    images, {"one cosine": CosineAnnealing(5 * length)}, grid, six, **keep, **settings
)
for peak, row in zip(grid, in_cycles.metrics["train_error"][0].mean(1), strict=True):
    cycles = ", ".join(f"{100 * error:.2f}" for error in row)
    print(f"peak {peak:4}: training error after each cycle {cycles} %")

# %% [markdown]
# At the peaks 0.1 and 0.2 every snapshot from the second on gets more than 99.5 % of its training set right, from the third on nearly all of it.
# On MNIST-1D the peak is 0.057 and nothing is fitted; there the lines only say how one descent runs.
#
# > **Predict.** Draw the training loss along the line from the first of five snapshots to the last, from the second
# > to the last, from the end of the first cycle to that of the run in one cosine, and between the ends of two independent runs. Which
# > lines have a hump?

# %%
a = np.linspace(0, 1, 11)


@torch.no_grad()
def along(task, first, last, seeds):
    """Loss at the weights (1 - a) first + a last, on what these seeds train on."""
    drawn = [task.data.draw(seed).split("train") for seed in seeds]
    x, y = (torch.cat(part) for part in zip(*drawn, strict=True))
    pairs = list(zip(first.parameters(), last.parameters(), strict=True))
    between, losses = copy.deepcopy(first), []
    for share in a:
        for w, (p, q) in zip(between.parameters(), pairs, strict=True):
            w.copy_((1 - share) * p + share * q)
        losses.append(task.loss(between(x), y).item())
    return np.array(losses)


def snapshot(runs, peak, seed, i=-1):
    """The network at evaluation i: the end of a cycle, counted from 0."""
    return runs.model(runs.schedules[0], peak, seed, int(runs.eval_steps[i]))


# %%
def lines(runs, peak, i):
    """The line from evaluation i to the last, of every run."""
    ends = [(snapshot(runs, peak, s, i), snapshot(runs, peak, s)) for s in runs.seeds]
    return np.array(
        [along(runs.task, *pair, [s]) for pair, s in zip(ends, runs.seeds, strict=True)]
    )


def independent(runs, peak):
    """The line from the end of every run to that of the next, on what both train on."""
    walks = []
    for s, r in zip(runs.seeds, runs.seeds[1:] + runs.seeds[:1], strict=True):
        ends = snapshot(runs, peak, s), snapshot(runs, peak, r)
        walks.append(along(runs.task, *ends, [s, r]))
    return np.array(walks)


# %%
cases = {  # the runs in cycles, those in one cosine, and the tuned peaks of both
    "MNIST-1D": (five, result, 0.057, 0.08),
    "real digits": (in_cycles, alone, 0.2, 0.2),
}
walks = {
    task: {
        "snapshot 1 to 5": lines(runs, peak, 0),
        "snapshot 2 to 5": lines(runs, peak, 1),
        "one cosine": lines(whole, at, 0),
        "two independent runs": independent(runs, peak),
    }
    for task, (runs, whole, peak, at) in cases.items()
}

# %%
pink, blue = figures.look("warm restarts")["color"], figures.look("cosine")["color"]
styles = dict(
    zip(
        walks["MNIST-1D"],
        [(pink, ":"), (pink, "--"), (blue, "-"), ("black", "-")],
        strict=True,
    )
)
heading = {"x": 0.01, "ha": "left", "fontweight": "bold"}
fig, axes = plt.subplots(1, 2, figsize=(9.4, 3.9))
for ax, (task_name, of_task) in zip(axes, walks.items(), strict=True):
    for name, losses in of_task.items():
        color, dashes = styles[name]
        figures.band(ax, a, losses, label=name, color=color, linestyle=dashes)
    ax.set(xlabel="position on the line", title=task_name)
    ax.set_ylim(0, 1.5 * max(losses.max() for losses in of_task.values()))
figures.guessing(axes[0], 10)
axes[0].set(ylabel="training loss (nats)")
axes[1].legend()
fig.suptitle(
    "Between snapshots there is no hump, between independent runs there is",
    **heading,
)
plt.show()


# %%
def hump(losses):
    """How far a line rises above its higher end (nats)."""
    return losses.max(1) - np.maximum(losses[:, 0], losses[:, -1])


rows = []
for name, of_task in walks.items():
    high, low = hump(of_task["two independent runs"]), hump(of_task["snapshot 2 to 5"])
    rows += [
        lab.claim(
            f"{name}: hump between independent runs less snapshots 2 to 5",
            high - low,
            above=0,
            unit="nats",
        ),
        lab.measure(f"{name}: hump between snapshots 2 and 5", low, unit="nats"),
    ]
lab.claims(rows)

# %% [markdown]
# The middle of a line between independent runs is far above both ends (on MNIST-1D worse than guessing). Between snapshots the line rises nowhere, as within
# one cosine; on the digits both ends are fitted, so there the restarts had a chance to settle elsewhere. At a good peak they show no sign of having gone
# elsewhere: they interrupt one descent. (Lines between independent runs are evaluated on the training sets of both.)
#
# A hump shows less than it seems to. A copy of a network with its hidden units in another order
# computes the same function, and yet the line to it has in general a hump; once the units of one network are put in the other's order, most of
# the hump can go (Entezari et al. 2022, Ainsworth et al. 2023). Curved paths of low loss join even independent minima (Garipov et al. 2018, Draxler et al. 2018);
# Gotmare et al. (2019) find such paths between the snapshots of restarts and doubt that these are different minima. And runs that
# share their first part stay connected by a straight line, if that part was long enough (Frankle et al. 2020).

# %% [markdown]
# ## Does an ensemble of snapshots beat one cosine?
#
# Huang et al. (2017) use the snapshots differently: average the predicted *probabilities* of the networks at
# the ends of the cycles, and you have an ensemble for the training cost of one run (and five times the cost
# of every prediction). It can only help as far as the snapshots disagree. They find that a larger peak makes better ensembles.
#
# > **Predict.** At which peak will the ensemble of five gain most on the last snapshot? At which will it be
# > best? Will the best ensemble beat one cosine of the same cost?


# %%
def ensemble_errors(runs, split):
    """Errors (%) of the ensembles of snapshots i, ..., 5: (i, peaks, seeds)."""
    errors = np.zeros((5, runs.peaks.shape[1], len(runs.seeds)))
    for j, peak in enumerate(runs.peaks[0]):
        for k, seed in enumerate(runs.seeds):
            x, y = runs.task.data.draw(seed).split(split)
            models = [snapshot(runs, peak, seed, i) for i in range(5)]
            each = torch.stack([ensemble_probabilities([m], x) for m in models])
            for i in range(5):
                wrong = each[i:].mean(0).argmax(-1) != y
                errors[i, j, k] = 100 * wrong.double().mean()
    return errors


tests = {n: ensemble_errors(runs, "test") for n, (runs, *_) in cases.items()}

cosines = {
    "MNIST-1D": final.judged(schedules=[one])[0][one],
    "real digits": alone.judged()[0][one],
}

# %%
fig, axes = plt.subplots(1, 2, figsize=(9.4, 3.9))
for ax, (name, errors) in zip(axes, tests.items(), strict=True):
    rates = cases[name][0].peaks[0]
    for i, dashes, label in ((4, ":", "last snapshot"), (0, "-", "ensemble of 5")):
        half, x = lab.half_interval(errors[i]), rates * (1.02 if i else 0.98)
        look = {"color": pink, "linestyle": dashes, "marker": "o", "capsize": 3}
        ax.errorbar(x, errors[i].mean(1), yerr=half, label=label, **look)
    ax.axhline(100 * cosines[name].mean(), color=blue, label="one cosine, tuned")
    ax.set(xscale="log", xlabel="peak learning rate", title=name)
    ax.set_xticks(rates, [f"{rate:g}" for rate in rates])
    ax.minorticks_off()
axes[0].set(ylabel="test error (%)")
axes[0].legend()
fig.suptitle(
    "The ensemble gains where the peak is too high",
    **heading,
)
plt.show()


# %%
def disagreement(models):
    """Share of test signals (%) on which the first and the last model differ."""
    x, _ = task.data.draw(seeds[0]).split("test")  # the same for every seed
    with torch.no_grad():
        first, second = (models[i](x).argmax(-1) for i in (0, -1))
    return 100 * (first != second).double().mean().item()


for rate in five.peaks[0]:
    rise = hump(lines(five, rate, 0))
    pairs = [[snapshot(five, rate, s, i) for i in (3, 4)] for s in seeds]
    share = np.mean([disagreement(pair) for pair in pairs])
    print(f"MNIST-1D, peak {rate:.3f}: hump 1 to 5 {rise.mean():.2f} nats, ", end="")
    print(f"snapshots 4 and 5 disagree on {share:.0f} %")

# %% [markdown]
# On MNIST-1D the line from the first snapshot to the last has a hump at 0.113, and not at the peaks below: there restarts do take the network somewhere that the
# straight line does not lead to. There, too, the ensemble gains on its last member, 3.3 points [2.5, 4.1], and it is still far behind a run whose
# peak is right; at 0.057 the early members drag it down. On the digits the picture is the same, in small: at 0.4 the gain is 1.0 points [0.4, 1.5]. So a gain over the
# last snapshot says little. Give the ensemble what suits *it*: the peak, and the number of early snapshots to
# leave out, chosen for every seed by the validation error of the others.


# %%
def chosen(name):
    """Test error of the ensemble that the other seeds choose by validation error."""
    runs, n = cases[name][0], len(cases[name][0].seeds)
    val = ensemble_errors(runs, "val").reshape(-1, n)
    best = (val.sum(1, keepdims=True) - val).argmin(0)
    first, peak = np.divmod(best, runs.peaks.shape[1])
    print(f"{name}: peak {np.unique(runs.peaks[0][peak])}", end=", ")
    print(f"from snapshot {np.unique(first + 1)} on")
    return tests[name][first, peak, np.arange(n)]


# %%
gain = tests["MNIST-1D"][4] - tests["MNIST-1D"][0]
text = "MNIST-1D, peak {}: gain of the ensemble on its last snapshot"
rows = [
    lab.measure(text.format(0.057), gain[2], unit="points"),
    lab.measure(text.format(0.113), gain[3], unit="points"),
    lab.measure(
        "real digits, peak 0.4: gain of the ensemble on its last snapshot",
        (tests["real digits"][4] - tests["real digits"][0])[-1],
        unit="points",
    ),
]
for name in cases:
    less = chosen(name) - 100 * cosines[name]
    text = f"{name}: best snapshot ensemble less one cosine"
    rows.append(lab.measure(text, less, unit="points"))
less = in_cycles.judged()[0]["5 × 744"] - cosines["real digits"]
text = "real digits: five cycles less one cosine, at the end"
rows.append(lab.measure(text, 100 * less, unit="points"))
lab.claims(rows)

# %% [markdown]
# At equal cost the ensemble that validation picks on MNIST-1D, the last two snapshots, is 2.9 points [2.1, 3.7] behind one cosine. On the digits, where cutting the cosine costs
# nothing that we can see (0.2 points [−0.2, 0.7]), the ensemble gains nothing that we can see either (0.3 behind [−0.2, 0.8]; what
# matters there is half a point). What an ensemble needs is members that are each good and err in different places; restarts at a good
# peak change too little, and at a high one too much. Fort et al. (2019) find the same of the members: snapshots of one run predict alike, independent
# runs do not.
#
# Published snapshots do pay at equal cost. Against one cosine of 200 epochs (3.86 and 19.98 %), three snapshots of a run of
# 150 reach 3.51 and 17.75 % on CIFAR-10 and CIFAR-100, and three snapshots of each of 16 runs 3.14 and 16.21 %
# (Loshchilov and Hutter, table 2). Huang et al. go from 3.74 to 3.44 % and from 19.25 to 17.41 % with DenseNets, and find a bump in test
# error on most of the lines between their snapshots. Why there and not here we have not tested. Cycles long enough to fit the training set are not
# all of it: on the digits they are.

# %% [markdown]
# ## Folklore and pitfalls
#
# **"Restarts escape local minima."** At a good peak we saw no sign of it, fitted or not. At a peak that is too high they do go
# elsewhere, and it does not pay here.
#
# **A pitfall: the run that ends six steps after a restart.** 1,000 steps, $T_0 = 142$, $T_{\text{mult}} = 2$: the
# third cycle ends at step 994, and the rest is spent at the full peak.

# %%
shape = WarmRestarts(142, T_mult=2)
peak, _ = problem.tune(shape, 994)
loss = problem.loss(peak * shape.sample(1000))
print(f"loss after 994 steps {loss[994]:.2g}, after 1,000 {loss[1000]:.2g}")
try:
    shape.check_end(1000)
except ValueError as message:
    print(message)
text = "loss six steps after the restart over that before it"
lab.claim(text, loss[1000] / loss[994], above=margin.ratio, scale="ratio")

# %% [markdown]
# Ask `check_end` before the run, or let `cycle_ends` set its length. If you were stopped in
# mid-cycle, compare the last snapshot with the present weights on validation data and keep the better; late in a
# long cycle that is the present weights.
#
# **A pitfall: restarts that never come.** `CosineAnnealingWarmRestarts.step(epoch)`, with the epoch given by
# hand, finds the cycle by a logarithm in floating point, and can miss a restart:

# %%
optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
scheduler = schedulers.CosineAnnealingWarmRestarts(optimizer, T_0=1, T_mult=3)
for epoch in WarmRestarts(1, T_mult=3).cycle_ends(6):
    optimizer.step()
    scheduler.step(epoch)
    factor = WarmRestarts(1, T_mult=3)(epoch)
    print(f"step {epoch:3}: torch {scheduler.get_last_lr()[0]:.2f}, lrlib {factor:.2f}")

# %% [markdown]
# Each of these steps is the first of a cycle and should have the factor 1; at 121 it has 0. Called without an argument,
# torch's scheduler counts and is right.

# %% [markdown]
# ## In your own code

# %%
model, total_steps = lab.mlp(40, 100, 100, 10), 2100
optimizer = torch.optim.SGD(model.parameters(), lr=0.057, momentum=0.9)

# plain torch, stepped after every batch
plain = schedulers.CosineAnnealingWarmRestarts(optimizer, T_0=300, T_mult=2)

# %%
optimizer = torch.optim.SGD(model.parameters(), lr=0.057, momentum=0.9)
shape = WarmRestarts(T_0=300, T_mult=2)
shape.check_end(total_steps)
scheduler, trace = ScheduledLR(optimizer, shape), LRTrace(optimizer)
ends, snapshots = set(shape.cycle_ends(3)), []
for step in range(total_steps):
    # zero_grad, forward and backward go here
    optimizer.step()
    scheduler.step()
    if step + 1 in ends:  # or torch.save it, so that it outlives the job
        snapshots.append(copy.deepcopy(model))
trace.assert_matches(shape, peak=0.057)
print(len(snapshots), ensemble_probabilities(snapshots, torch.zeros(5, 40)).shape)

# %% [markdown]
# ## Summary
#
# - Cycle $i$ has $T_0\,T_{\text{mult}}^{\,i}$ steps; with $T_{\text{mult}}>1$ cycles get longer, and the peak
#   stays.
# - Doubling cycles make a run that is ready at the end of each, and 1.7 points [0.9, 2.4] worse at the end of the run. Five equal
#   cycles cost 3.3 [2.6, 4.0], on a network that has not fitted its training set; on one that has, 0.2 [−0.2, 0.7].
# - Stopped at 300 or 900 of 2,100 steps, restarts were ahead of a cosine tuned for the end; stopped at 1,500, behind it. A cosine
#   tuned for step 900 was no worse there.
# - Holding the peak and falling as $1/t$ needs no end and no cycles, and ended 0.7 points [0.0, 1.5] behind the doubling cycles.
# - On the quadratic restarts cost nothing when distance limits the run, and a factor of two and more when
#   noise does.
# - At a good peak the restarts showed no sign of reaching other minima, on a fitted network either; humps between snapshots
#   appear at peaks that are too high.
# - Snapshot ensembles gained on their last member only there. On MNIST-1D the best of them lost to one cosine of the same
#   cost; on the digits we see no difference.
# - End the run where a cycle ends.
#
# A restart jumps up in one step. The next chapter climbs as slowly as it falls.
#
# ## Exercises
#
# In `exercises/05_warm_restarts/`:
#
# 1. warm restarts from their formula; 2. cycles that end with the run; 3. what is wrong with this
# comparison? 4. a snapshot ensemble; 5. open: good whenever it is stopped.
#
# ## References
#
# - S. K. Ainsworth, J. Hayase, S. Srinivasa (2023). *Git re-basin: merging models modulo permutation symmetries.* ICLR.
# - F. Draxler, K. Veschgini, M. Salmhofer, F. A. Hamprecht (2018). *Essentially no barriers in neural network energy
#   landscape.* ICML.
# - R. Entezari, H. Sedghi, O. Saukh, B. Neyshabur (2022). *The role of permutation invariance in linear mode connectivity
#   of neural networks.* ICLR.
# - S. Fort, H. Hu, B. Lakshminarayanan (2019). *Deep ensembles: a loss landscape perspective.* arXiv:1912.02757.
# - J. Frankle, G. K. Dziugaite, D. M. Roy, M. Carbin (2020). *Linear mode connectivity and the lottery ticket hypothesis.*
#   ICML.
# - T. Garipov, P. Izmailov, D. Podoprikhin, D. Vetrov, A. G. Wilson (2018). *Loss surfaces, mode connectivity, and fast
#   ensembling of DNNs.* NeurIPS.
# - A. Gotmare, N. S. Keskar, C. Xiong, R. Socher (2019). *A closer look at deep learning heuristics: learning rate restarts,
#   warmup and distillation.* ICLR.
# - G. Huang, Y. Li, G. Pleiss, Z. Liu, J. E. Hopcroft, K. Q. Weinberger (2017). *Snapshot ensembles: train 1, get
#   M for free.* ICLR. (Figure 5: lines between snapshots.)
# - I. Loshchilov, F. Hutter (2017). *SGDR: stochastic gradient descent with warm restarts.* ICLR. (Equation 5,
#   tables 1 and 2.)
