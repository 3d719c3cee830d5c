# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

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

import matplotlib.pyplot as plt
import numpy as np
import torch
from lrlib import (
    Constant,
    CosineAnnealing,
    InverseTimeDecay,
    LRTrace,
    PolynomialDecay,
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
T = 2100
settings = {"steps": T, "batch_size": 16}
watched = lab.sweep(
    task,
    {"cosine": CosineAnnealing(T), "restarts": WarmRestarts(300, T_mult=2)},
    [0.057],
    lab.seeds(12),
    eval_steps=list(range(100, T + 1, 100)),
    **settings,
)

# %%
fig, (top, bottom) = plt.subplots(
    2, 1, sharex=True, height_ratios=(3, 1), figsize=(7.6, 4.8)
)
for i, name in enumerate(watched.schedules):
    look = figures.look({"cosine": "cosine", "restarts": "warm restarts"}[name])
    runs = 100 * watched.metrics["test_error"][i, 0]
    figures.band(top, watched.eval_steps, runs, label=name, **look)
    bottom.plot(watched.lr[i, 0, 0], **look)
top.legend()
top.set(ylabel="test error (%)")
bottom.set(xlabel="step", ylabel="applied rate")
top.set_title("Restarts lead at their early ends, and trail after each jump")
plt.show()

# %% [markdown]
# Lines are medians over twelve seeds, bands the 10th to 90th percentile. At step 300 the restarts are far
# ahead. Then the rate jumps up, and the test error with it, and it takes more than a third of the cycle to win
# them back. Suppose you are stopped, and use the best network that you have saved so far (every 100 steps, by validation
# error). Is it better to have restarted? On average over early stops, and over late ones:


# %%
def best_so_far(sweep, i, first=300):
    """Test error (%) of the best network so far, by validation error, at every stop."""
    start = list(sweep.eval_steps).index(first)
    val = sweep.metrics["val_error"][i, 0, :, start:]
    test = 100 * sweep.metrics["test_error"][i, 0, :, start:]
    stops = range(val.shape[1])
    best = np.stack([val[:, : n + 1].argmin(1) for n in stops], axis=1)
    return np.take_along_axis(test, best, axis=1)


cosine, restarts = best_so_far(watched, 0), best_so_far(watched, 1)
early = slice(0, 7)  # stopped at step 300, 400, ..., 900
late = slice(7, None)  # at 1,000, ..., 2,100
lab.claim(
    "stopped early: cosine less restarts (points)",
    (cosine - restarts)[:, early].mean(1),
    above=2,
)

# %%
lab.claim(
    "stopped late: restarts less cosine (points)",
    (restarts - cosine)[:, late].mean(1),
    above=1,
)

# %% [markdown]
# Stopped early, restarts are ahead; stopped late, the cosine (which was told the longest possible run). So being
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
def applied(make_scheduler, steps=300):
    """The rates that an optimizer with peak 0.1 really used."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    scheduler, trace = make_scheduler(optimizer), LRTrace(optimizer)
    for _ in range(steps):
        optimizer.step()
        scheduler.step()
    return trace.lr[:, 0]


# %% tags=["nbval-check-output"]
schedulers = torch.optim.lr_scheduler
for T_mult in (1, 2, 3):
    curve = [0.1 * warm_restarts(t, 20, T_mult) for t in range(300)]
    of_torch = applied(
        lambda opt, m=T_mult: schedulers.CosineAnnealingWarmRestarts(opt, 20, m)
    )
    of_lrlib = applied(lambda opt, m=T_mult: ScheduledLR(opt, WarmRestarts(20, m)))
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
lab.claim(
    "100 steps: five cycles over one (ratio of losses)", five[100], within=(0.9, 1.1)
)

# %%
lab.claim("1,000 steps: five cycles over one (ratio of losses)", five[1000], above=2)

# %% [markdown]
# In the short, curvature-limited run nothing is lost (ten cycles even gain a little). From 300 steps on, five cycles double
# the loss: only the last one is there to take the noise away, and it is short. What restarts can give
# here is a low loss earlier, never a lower one at the end of a noise-limited run. That would need
# something which a quadratic, with its one minimum, has not got.

# %% [markdown]
# ## Five cycles cost two points and more at the end
#
# > **Predict.** Five shapes over 2,100 steps, each with its own peak: one cosine; cycles of 300, 600, 1,200; five
# > equal cycles; a straight line; and one that knows of no end, held for
# > 300 steps and falling as $1/t$ from there. Rank their test errors at the end.

# %%
shapes = {
    "one cosine": CosineAnnealing(T),
    "300, 600, 1200": WarmRestarts(300, T_mult=2),
    "5 × 420": WarmRestarts(420),
    "linear": PolynomialDecay(T),
    "hold, then 1/t": Constant(total_iters=300).then(InverseTimeDecay(1, 300)),
}
grid = 0.02 * 2.0 ** np.arange(0.5, 2.6, 0.5)
ends = WarmRestarts(420).cycle_ends(5)
keep = {"eval_steps": list(ends), "keep_states": True}  # for the snapshots, below
tuning = lab.sweep(task, shapes, grid, lab.seeds(4, "tune"), **keep, **settings)
peaks = tuning.best_peaks("val_error")

# %%
stops = list(range(300, T + 1, 150))
result = lab.sweep(task, shapes, peaks, lab.seeds(12), eval_steps=stops, **settings)
print({name: round(peak, 3) for name, peak in peaks.items()})

# %%
error = dict(zip(shapes, 100 * result.at("test_error", T)[:, 0], strict=True))
for name, runs in error.items():
    more = runs - error["one cosine"]
    half = lab.half_interval(more)
    print(f"{name:17}: {runs.mean():.1f} %, {more.mean():+.1f} ± {half:.1f} points")

# %%
lab.claim(
    "five equal cycles less one cosine (points)",
    error["5 × 420"] - error["one cosine"],
    above=0.5,
)

# %%
lab.claim(
    "300, 600, 1200 less one cosine (points)",
    error["300, 600, 1200"] - error["one cosine"],
    below=5,
)

# %% [markdown]
# Five equal cycles cost two points and more, doubling cycles one or two; the last cycle of the doubling plan has
# more than half of the run to itself. So cutting costs, as on the quadratic from 300 steps on: noise counts in this
# run, as chapters 3 and 4 found. The straight line of chapter 3 is ahead of
# them all, so the cosine is not even the strongest rival. (The intervals do not cover the luck of tuning on four
# seeds.)
#
# And was the network ready at the ends? The first cycle *is* a cosine of 300 steps. For the second, train a
# cosine of 900 steps with a peak of its own:

# %%
planned, own = {"cosine": CosineAnnealing(900)}, {"steps": 900, "batch_size": 16}
tuned = lab.sweep(task, planned, grid, lab.seeds(4, "tune"), **own)
single = lab.sweep(task, planned, tuned.best_peaks("val_error"), lab.seeds(12), **own)
at_end = 100 * (result.at("test_error", 900)[1, 0] - single.at("test_error")[0, 0])
lab.claim(
    "end of the second cycle less a cosine of 900 steps (points)",
    at_end,
    no_difference=3,
)

# %% [markdown]
# So the doubling plan keeps its word to within a point or two. One run of 2,100 steps gives you networks for
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
lab.claim(
    "hold, then 1/t, over a cosine planned for 1,000 steps (ratio)",
    ratios[1000],
    below=1,
)

# %% [markdown]
# Once the flat part is over, it beats each cosine at that cosine's own stop. And the network?

# %%
hold = best_so_far(result, list(shapes).index("hold, then 1/t"))
restarts = best_so_far(result, list(shapes).index("300, 600, 1200"))
early, late = slice(0, 5), slice(5, None)  # here stopped at 300, 450, ..., 2,100
less = {"early": (hold - restarts)[:, early], "late": (restarts - hold)[:, late]}
lab.claim(
    "stopped early: hold, then 1/t, less restarts (points)",
    less["early"].mean(1),
    above=2,
)

# %%
lab.claim(
    "stopped late: restarts less hold, then 1/t (points)",
    less["late"].mean(1),
    above=0.5,
)

# %%
lab.claim(
    "stopped at any step from 300 on: hold, then 1/t, less restarts (points)",
    (hold - restarts).mean(1),
    no_difference=2.5,
)

# %% [markdown]
# On the network neither is better at all times. This one falls too late for the early stops and is ahead at the late ones, and
# over all stops they differ by about a point, in different directions in different draws of the seeds. It needs no plan of the end and no cycles.
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
# > **Predict.** Draw the training loss along the line from the first of five snapshots to the last, from the fourth
# > to the last, from step 420 to step 2,100 of one cosine, and between the ends of two independent runs. Which
# > lines have a hump?

# %%
rates, five = grid[1:], {"5 × 420": WarmRestarts(420)}
judged = lab.sweep(task, five, rates, lab.seeds(12), **keep, **settings)
one = {"one cosine": CosineAnnealing(T)}
keep = {"eval_steps": [420, T], "keep_states": True}
alone = lab.sweep(task, one, [rates[1]], lab.seeds(12), **keep, **settings)


def snapshot(runs, rate, seed, cycle):
    """The network at the end of a cycle, counted from 0."""
    return runs.model("5 × 420", rate, seed, ends[cycle])


# %%
a = np.linspace(0, 1, 11)


@torch.no_grad()
def along(first, last):
    """Training loss at the weights (1 - a) first + a last."""
    x, y = task.data.split("train")
    pairs = list(zip(first.parameters(), last.parameters(), strict=True))
    between, losses = copy.deepcopy(first), []
    for share in a:
        for w, (p, q) in zip(between.parameters(), pairs, strict=True):
            w.copy_((1 - share) * p + share * q)
        losses.append(task.loss(between(x), y).item())
    return np.array(losses)


# %%
tuned = rates[1]  # 0.057, the tuned peak or next to it
seeds = judged.seeds


def lines(rate, i, j):
    """The line from snapshot i to snapshot j of every run."""
    return np.array(
        [
            along(snapshot(judged, rate, s, i), snapshot(judged, rate, s, j))
            for s in seeds
        ]
    )


near, far = lines(tuned, 3, 4), lines(tuned, 0, 4)
control = np.array(
    [along(*(alone.model("one cosine", tuned, s, n) for n in (420, T))) for s in seeds]
)
others = np.array(
    [
        along(snapshot(judged, tuned, s, 4), snapshot(judged, tuned, r, 4))
        for s, r in zip(seeds, seeds[1:] + seeds[:1], strict=True)
    ]
)

# %%
fig, ax = plt.subplots()
color = figures.look("warm restarts")["color"]
figures.band(ax, a, near, label="snapshot 4 to 5", color=color, linestyle="--")
figures.band(ax, a, far, label="snapshot 1 to 5", color=color, linestyle=":")
figures.band(ax, a, control, label="one cosine, 420 to 2,100", **figures.look("cosine"))
figures.band(ax, a, others, label="two independent runs", color="black")
figures.guessing(ax, 10)
ax.legend()
ax.set(xlabel="position on the line", ylabel="training loss (nats)", ylim=(0, 3.6))
ax.set_title("Between snapshots there is no hump, between runs there is")
plt.show()


# %%
def hump(losses):
    """How far a line rises above its higher end (nats)."""
    return losses.max(1) - np.maximum(losses[:, 0], losses[:, -1])


lab.claim("rise above the higher end, snapshot 4 to 5 (nats)", hump(near), below=0.05)

# %%
lab.claim("rise above the higher end, snapshot 1 to 5 (nats)", hump(far), below=0.15)

# %%
over_guessing = others.max(1) - math.log(10)
lab.claim("independent runs: top of the line over guessing", over_guessing, above=0)

# %% [markdown]
# Between independent runs the line passes over a top that is worse than guessing. Between snapshots it falls, as it does within
# one cosine: at this peak the restarts show no sign of having gone elsewhere. They interrupt one descent, and cost
# what they cost above. (A hump shows less than it seems to. A copy of a network with its hidden units in another order
# computes the same function, and yet the line to it has in general a hump.)

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
def ensemble_error(models, split="test"):
    x, y = task.data.split(split)
    wrong = ensemble_probabilities(models, x).argmax(-1) != y
    return 100 * wrong.double().mean().item()


def by_peak(runs, first, split="test"):
    """Error of the ensemble of the snapshots from `first` on: one row per rate."""
    return np.array(
        [
            [
                ensemble_error(
                    [snapshot(runs, rate, s, i) for i in range(first, 5)], split
                )
                for s in runs.seeds
            ]
            for rate in rates
        ]
    )


# %%
last, all_five = by_peak(judged, 4), by_peak(judged, 0)
pink, blue = figures.look("warm restarts")["color"], figures.look("cosine")["color"]
fig, (left, right) = plt.subplots(1, 2, figsize=(9.4, 3.9))
figures.band(
    left, rates, last.T, marker="o", color=pink, linestyle=":", label="last snapshot"
)
figures.band(left, rates, all_five.T, marker="o", color=pink, label="ensemble of 5")
level = np.tile(error["one cosine"][:, None], len(rates))
figures.band(left, rates, level, color=blue, label="one cosine, tuned")
gain = last - all_five
half = lab.half_interval(gain)
right.errorbar(rates, gain.mean(1), yerr=half, color=pink, marker="o", capsize=4)
right.axhline(0, color="0.6", linewidth=1)
for ax, label in (
    (left, "test error (%)"),
    (right, "gain on the last snapshot (points)"),
):
    ax.set(xscale="log", xlabel="peak learning rate", ylabel=label)
    ax.set_xticks(rates, [f"{rate:.3f}" for rate in rates])
    ax.minorticks_off()
left.legend(loc="upper left")
fig.suptitle("The ensemble gains where the peak is too high", fontweight="bold")
plt.show()


# %%
def disagreement(models):
    """Share of test signals (%) on which the first and the last model differ."""
    x, _ = task.data.split("test")
    with torch.no_grad():
        first, second = (models[i](x).argmax(-1) for i in (0, -1))
    return 100 * (first != second).double().mean().item()


for rate, rise in zip(rates, (hump(lines(rate, 0, 4)) for rate in rates), strict=True):
    pairs = [[snapshot(judged, rate, s, i) for i in (3, 4)] for s in seeds]
    share = np.mean([disagreement(pair) for pair in pairs])
    print(f"peak {rate:.3f}: hump 1 to 5 {rise.mean():.2f} nats, ", end="")
    print(f"snapshots 4 and 5 disagree on {share:.0f} %")

# %% [markdown]
# From 0.08 on the line from the first snapshot to the last has a hump: now restarts do take the network somewhere that the
# straight line does not lead to. Only at 0.113 does the ensemble clearly gain on its last member, by
# several points, and it is still far behind a run whose peak is right; at 0.04 the early members drag it down. So a gain over the
# last snapshot says little. Give the ensemble what suits *it*: the peak, and the number of early snapshots to
# leave out, chosen by its own validation error on the tuning seeds.

# %%
lab.claim("peak 0.057: gain of the ensemble on its last (points)", gain[1], below=1)

# %%
lab.claim("peak 0.113: gain of the ensemble on its last (points)", gain[3], above=1)

# %%
by_choice = np.array([by_peak(tuning, first, "val").mean(1) for first in range(4)])
first, k = np.unravel_index(by_choice.argmin(), by_choice.shape)
print(f"peak {rates[k]:.3f}, without the first {first} of 5 snapshots")
best_ensemble = by_peak(judged, first)[k]
lab.claim(
    "best snapshot ensemble less one cosine (points)",
    best_ensemble - error["one cosine"],
    above=0,
)

# %%
members = [alone.model("one cosine", tuned, s, T) for s in seeds]
groups = [members[i : i + 4] for i in (0, 4, 8)]
of_four = [ensemble_error(group) for group in groups]
print("four independent cosines:", ", ".join(f"{e:.1f} %" for e in of_four), end="; ")
print(f"two of them disagree on {np.mean([disagreement(g) for g in groups]):.0f} %")

# %% [markdown]
# At equal cost one cosine is better than the best ensemble of snapshots that validation could find. Independent
# runs make a good ensemble, at four times the cost (whether one run of four times the length would have done as well, we
# did not ask). What an ensemble needs is members that are each good and err in different places; restarts at a good
# peak change too little, and at a high one too much.
#
# Published snapshots do pay at equal cost. Against one cosine of 200 epochs (3.86 and 19.98 %), three snapshots of a run of
# 150 reach 3.51 and 17.75 % on CIFAR-10 and CIFAR-100, and three snapshots of each of 16 runs 3.14 and 16.21 %
# (Loshchilov and Hutter, table 2). Huang et al. go from 3.74 to 3.44 % and from 19.25 to 17.41 % with DenseNets, and find a bump in test
# error on most of the lines between their snapshots. Why there and not here we have not tested. A guess: their cycles of
# many epochs leave less distance to go, so that a cycle can afford to go elsewhere.

# %% [markdown]
# ## Folklore and pitfalls
#
# **"Restarts escape local minima."** At a good peak we saw no sign of it. At a peak that is too high they do go
# elsewhere, and it does not pay.
#
# **A pitfall: the run that ends six steps after a restart.** 1,000 steps, $T_0 = 142$, $T_{\text{mult}} = 2$: the
# third cycle ends at step 994, and the rest is spent at the full peak.

# %%
shape = WarmRestarts(142, T_mult=2)
peak, _ = problem.tune(shape, 994)
loss = problem.loss(peak * shape.sample(1000))
print(f"loss after 994 steps {loss[994]:.2g}, after 1,000 {loss[1000]:.2g}")
lab.claim(
    "six steps after the restart (ratio of losses)", loss[1000] / loss[994], above=3
)
try:
    shape.check_end(1000)
except ValueError as message:
    print(message)

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
# - Doubling cycles make a run that is ready at the end of each, to within a point or two, and one or two points worse
#   at the end. Five equal cycles cost more. Stopped early, restarts were ahead of one long cosine; stopped
#   late, behind it.
# - Holding the peak and falling as $1/t$ needs no end and no cycles, and over all stops did about as well.
# - On the quadratic restarts cost nothing when distance limits the run, and a factor of two and more when
#   noise does.
# - At a good peak the restarts showed no sign of reaching other minima; humps between snapshots appear at peaks
#   that are too high.
# - Snapshot ensembles gained on their last member only there, and the best of them lost to one cosine of the same
#   cost.
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
# - G. Huang, Y. Li, G. Pleiss, Z. Liu, J. E. Hopcroft, K. Q. Weinberger (2017). *Snapshot ensembles: train 1, get
#   M for free.* ICLR. (Figure 5: lines between snapshots.)
# - I. Loshchilov, F. Hutter (2017). *SGDR: stochastic gradient descent with warm restarts.* ICLR. (Equation 5,
#   tables 1 and 2.)
