# %% [markdown]
# # 6 · Cyclical learning rates
#
# **What you will see.** A schedule that rises as slowly as it falls and beats a fixed rate; a falling one that beats
# both; a famous comparison taken apart; and a saddle at which only the area under the rate counts.
#
# **What you will do.** Read two bounds off one short run, and take a schedule apart into what its rates do and
# what their order does.
#
# **What you need.** Chapters 1 to 5, or this much of them. $\eta$ is the learning rate, $t$ counts optimizer
# steps (updates already made), and a schedule is a *shape* whose factor multiplies the *peak* $\eta_{\max}$. On a
# quadratic the loss is the sum of the *distance* still to go, which depends on the area $\sum_t\eta_t$ under the rate,
# and the *noise*, which depends on the rates at the end. A claim's line gives mean, 95 % interval over seeds and what
# it had to satisfy; bands are the 10th to 90th percentile over seeds, lines the median. About half a minute on two CPU cores. `LRLIB_SEED` shifts every seed; `LRLIB_SCALE` multiplies the
# seeds.

# %%
import warnings

import matplotlib.pyplot as plt
import numpy as np
import torch
from lrlib import (
    Constant,
    Cyclical,
    LRTrace,
    MultiStepDecay,
    PolynomialDecay,
    ScheduledLR,
    Warmup,
    lab,
)
from lrlib.lab import figures

figures.use_style()
schedulers = torch.optim.lr_scheduler

# %% [markdown]
# ## A fixed rate has a cliff on one side
#
# Before anything is scheduled, you have to find a rate. MNIST-1D, two hidden layers of 100 units, SGD with momentum
# 0.9, batches of 16, 2,000 steps (eight epochs of 250), four fixed rates, twelve seeds, each with its own data:

# %%
task, T = lab.mnist1d_task(), 2000
settings = {"steps": T, "batch_size": 16}
seeds = lab.seeds(12)
grid = 0.01 * 2.0 ** np.arange(4)
fixed = lab.sweep(task, {"fixed": Constant()}, grid, seeds, **settings)

# %%
fig, ax = plt.subplots()
error = 100 * fixed.at("test_error")[0]
figures.valley(ax, grid, error, **figures.look("constant"))
ax.set(xlabel="fixed learning rate", ylabel="test error (%)")
ax.set_xticks(grid, [f"{rate:.2g}" for rate in grid])
ax.minorticks_off()
ax.set_ylim(34)
ax.set_title("Half the best rate costs one or two points, four times as much eighteen")
plt.show()

# %%
best = fixed.at("val_error")[0].mean(-1).argmin()
high, low = error[-1] - error[best], error[0] - error[best]
lab.claims(
    [
        lab.claim("0.08 less the best fixed rate", high, above=0, unit="points"),
        lab.measure("0.01 less the best fixed rate", low, unit="points"),
    ]
)

# %% [markdown]
# So you search, and every trial is a whole run. Smith (2017) proposed to stop searching: read two *bounds* off a
# single short run, and let the rate go up and down between them, over and over. The right rate
# lies somewhere in between and is visited twice in every cycle.

# %% [markdown]
# ## Up as slowly as down
#
# A cycle rises in a straight line from $\eta_{\min}$ to $\eta_{\max}$ within `step_size_up` steps and
# falls back within `step_size_down`. With both $s$ steps long and $c=\lfloor t/2s\rfloor$ cycles finished,
#
# $$\eta_t=\eta_{\min}+(\eta_{\max}-\eta_{\min})\,a\Bigl(1-\Bigl|\frac{t}{s}-2c-1\Bigr|\Bigr).$$
#
# The amplitude $a$ is 1 in the policy *triangular*, $2^{-c}$ in *triangular2*, and $\gamma^t$ in *exp_range*, with a
# $\gamma\le1$ per step. In `lrlib`, $\eta_{\min}$ is `min_factor` times the peak.


# %%
def triangular(t, min_factor, step_size, mode="triangular", gamma=1.0):
    c = t // (2 * step_size)
    amplitude = {"triangular": 1, "triangular2": 0.5**c, "exp_range": gamma**t}[mode]
    triangle = 1 - abs(t / step_size - 2 * c - 1)
    return min_factor + (1 - min_factor) * amplitude * triangle


# %%
def sgd(lr=0.1, momentum=0.9):
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr, momentum)


# %% tags=["nbval-check-output"]
rates = {}
for mode, gamma in (("triangular", 1.0), ("triangular2", 1.0), ("exp_range", 0.995)):
    curve = [0.1 * triangular(t, 0.25, 50, mode, gamma) for t in range(400)]
    of_torch = lab.applied(
        lambda opt, m=mode, g=gamma: schedulers.CyclicLR(
            opt, 0.025, 0.1, 50, mode=m, gamma=g, cycle_momentum=False
        ),
        400,
    )
    shape = Cyclical(0.25, 50, mode=mode, gamma=gamma)
    rates[mode] = lab.applied(lambda opt, s=shape: ScheduledLR(opt, s), 400).lr[:, 0]
    print(mode, np.allclose(of_torch.lr[:, 0], curve), np.allclose(rates[mode], curve))

# %%
fig, axes = plt.subplots(1, 3, sharey=True, figsize=(9.4, 2.5))
for ax, (mode, applied) in zip(axes, rates.items(), strict=True):
    ax.plot(applied, **figures.look("cyclical"))
    ax.set(title=mode, xlabel="step", ylim=(0, 0.105))
axes[0].set(ylabel="applied rate")
plt.show()

# %% [markdown]
# (In the paper's exp_range both bounds shrink. In torch's, and so in `lrlib`'s, only the distance between them does;
# `Cyclical(…) * ExponentialDecay(gamma)` is the paper's.)

# %% [markdown]
# ## Two bounds from one short run
#
# The *range test*: one run of a few epochs in which the rate rises in a straight line from 0 to
# a value that is surely too large. Watch the validation accuracy. $\eta_{\min}$ is where it begins to rise;
# $\eta_{\max}$ where the rise "slows, becomes ragged, or starts to fall". Or take a third or a fourth of $\eta_{\max}$
# for $\eta_{\min}$ (Smith, section 3.3).
#
# > **Predict.** The best fixed rate was 0.02. Which $\eta_{\max}$ will four epochs find?

# %%
test = lab.sweep(
    task,
    {"range test": Warmup(1000)},
    [0.3],
    seeds,
    steps=1000,
    batch_size=16,
    eval_steps=list(range(0, 1001, 25)),
    evaluate=["val"],
)
accuracy = 100 * (1 - test.metrics["val_error"][0, 0])
rate = 0.3 * test.eval_steps / 1000


# %%
def slows(accuracy):
    """The first rate at which the accuracy is within a tenth of its highest value."""
    smooth = figures.smooth(accuracy, 3)
    return rate[(smooth >= 0.9 * smooth.max(-1, keepdims=True)).argmax(-1)]


bounds = slows(accuracy)
print(f"upper bound: median {np.median(bounds):.3f}", end=", ")
print(f"lowest {bounds.min():.3f}, highest {bounds.max():.3f}")
highest = rate[figures.smooth(accuracy, 3).argmax(-1)]
print(f"highest accuracy at: median {np.median(highest):.3f}")

# %%
fig, ax = plt.subplots()
top = np.median(bounds)
ax.axvspan(top / 4, top, color=figures.look("cyclical")["color"], alpha=0.25)
figures.band(ax, rate, accuracy, interval=(0, 100), **figures.look("warm-up"))
ax.plot(rate, accuracy[0], color="0.35", linewidth=0.8)
ax.axvline(grid[best], **figures.look("constant"), linewidth=1)
figures.name_line(ax, grid[best], 3, "best fixed rate", fontsize=9)
figures.name_line(ax, top, 8, "shaded: η_max/4 to η_max", fontsize=9)
figures.name_line(ax, 0.2, 26, "thin line: one run", color="0.35", fontsize=9)
ax.set(
    xlabel="learning rate, rising by 0.0003 a step", ylabel="validation accuracy (%)"
)
ax.set(ylim=(0, None))
ax.set_title("Four epochs bracket the best fixed rate")
plt.show()

# %%
above_best = bounds / grid[best]
lab.measure("upper bound over the best fixed rate", above_best, scale="ratio")

# %% [markdown]
# The band reaches from the lowest to the highest of twelve runs. "Slows" had to be made a number to be repeatable, and
# the function above, with its window and its threshold, is one choice: its bound lies where the rise bends, and the accuracy is highest only
# near 0.075. With a fourth of the bound for $\eta_{\min}$, the
# tests bracket the best fixed rate, each for the price of half a run. Chapter 9 asks how much the answer moves with the
# length, the smoothing and the end of the test.

# %% [markdown]
# ## The exact case: all that the cycles gain is in the last fall
#
# What do the rises bring? On the noisy quadratic of the earlier chapters ($L=\tfrac12\sum_i h_i\theta_i^2$, curvatures
# $1,1/2,\dots,1/100$, gradient noise of batches of 256, no momentum) compare five cycles between $\eta_{\max}/4$ and
# $\eta_{\max}$ with a fixed rate; with the cycles' mean rate held flat and only their *last* half cycle at the end;
# with the same cycles begun at the top, so that they end there; and with a line that falls from $\eta_{\max}$ to
# $\eta_{\max}/4$. Each gets its own best peak below the stability limit.
#
# > **Predict.** Rank them for a run of 1,000 steps.

# %% tags=["nbval-check-output"]
problem = lab.NoisyQuadratic(batch_size=256)
scores = {}
for steps in (100, 300, 1000):
    half = steps // 10
    fall = PolynomialDecay(half, min_factor=0.25)
    shapes = {
        "fixed": Constant(),
        "five cycles": Cyclical(0.25, half),
        "flat, last fall": Constant(0.625, total_iters=steps - half).then(fall),
        "ending at the top": fall.then(Cyclical(0.25, half)),
        "falling to 1/4": PolynomialDecay(steps, min_factor=0.25),
        "linear to 0": PolynomialDecay(steps),
    }
    scores[steps] = {name: problem.score(s, steps) for name, s in shapes.items()}
print("final loss over that of the best schedule found")
print(f"{'steps':18}", *(f"{steps:6}" for steps in scores))
for name in shapes:
    print(f"{name:18}", *(f"{row[name]:6.2f}" for row in scores.values()))

# %%
margin, text = lab.MARGINS["quadratic"], "1,000 steps: final loss of {} over that of {}"
pairs = {
    pair: scores[1000][pair[0]] / scores[1000][pair[1]]
    for pair in (
        ("five cycles", "fixed"),
        ("flat, last fall", "five cycles"),
        ("falling to 1/4", "five cycles"),
    )
}
lower = {"below": 1 / margin.ratio, "scale": "ratio"}
same = {"no_difference": margin, "scale": "ratio"}
lab.claims(
    [
        lab.claim(
            text.format(*pair), ratio, **(same if "last fall" in pair[0] else lower)
        )
        for pair, ratio in pairs.items()
    ]
)

# %% [markdown]
# Take away all rises and all falls but the last, and nothing is lost. End at the top, and the cycles are worse than a
# fixed rate. One slow fall over the whole run does better than five quick ones of which four are undone. That is not
# only a matter of the peak: take the very rates that the cycles use, at the cycles' own best peak, and put them in
# falling or in rising order.

# %% tags=["nbval-check-output"]
for steps in scores:
    peak, loss = problem.tune(Cyclical(0.25, steps // 10), steps)
    own_rates = np.sort(peak * Cyclical(0.25, steps // 10).sample(steps))
    for order, row in (("falling", own_rates[::-1]), ("rising", own_rates)):
        change = problem.loss(row)[-1] / loss
        print(f"{steps:5} steps, the cycles' own rates {order}: loss × {change:.2f}")
lab.claim(
    "1,000 steps: the cycles' own rates in rising order over as they come",
    change,
    above=margin.ratio,
    scale="ratio",
)

# %% tags=["nbval-check-output"]
counts = (1, 2, 5, 10)
print("score by the number of cycles", *(f"{n:6}" for n in counts))
for steps in scores:
    by_count = [problem.score(Cyclical(0.25, steps // (2 * n)), steps) for n in counts]
    print(f"{steps:5} steps {'':17}", *(f"{score:6.2f}" for score in by_count))
lab.claim(text.format("one cycle", "ten"), by_count[0] / by_count[-1], **lower)

# %% [markdown]
# The fewer the cycles, the longer the last fall, and the better. (In the short run, which distance limits, all
# differences are small, and the line to zero is worse than a fixed rate: its peak would have to pass the stability
# limit.)

# %% [markdown]
# ## The network gives the same order
#
# Five cycles between $\eta_{\max}/4$ and $\eta_{\max}$ (half cycles of 200 steps, 0.8 epochs), and two cycles with half
# cycles of 500 (two epochs; Smith advises 2 to 10). Beside them a line that falls over the same range, and the line to
# zero of chapter 3. All have the same grid of four peaks, and every seed is judged at the peak that the
# *others* choose by validation error.

# %%
cycles = Cyclical(0.25, 200)
shapes = {
    "five cycles": cycles,
    "two cycles": Cyclical(0.25, 500),
    "falling to 1/4": PolynomialDecay(T, min_factor=0.25),
    "linear to 0": PolynomialDecay(T),
}
higher = 0.02 * 2.0 ** np.arange(4)
result = lab.sweep(task, shapes, higher, seeds, **settings)
together = result.joined(fixed)
judged, peaks = together.judged()
for name, runs in judged.items():
    print(f"{name:14}: peak {np.median(peaks[name]):.3f}, ", end="")
    print(f"test error {100 * runs.mean():.1f} %")

# %%
change = {name: 100 * (runs - judged["fixed"]) for name, runs in judged.items()}
del change["fixed"]
fig, ax = plt.subplots(figsize=(7.6, 2.8))
looks = ("cyclical", "cyclical", "exponential", "linear")
colors = {n: figures.look(look)["color"] for n, look in zip(shapes, looks, strict=True)}
order = sorted(change, key=lambda name: -change[name].mean())
figures.intervals(ax, {name: change[name] for name in order}, colors)
ax.set(
    xlabel="change in test error against the best fixed rate (points; left is better)"
)
ax.set_title("Cycles beat a fixed rate; one slow fall beats the cycles")
plt.show()

# %%
rows = []
for a, b, sign in (
    ("five cycles", "fixed", None),
    ("two cycles", "fixed", "below"),
    ("five cycles", "falling to 1/4", None),
    ("two cycles", "linear to 0", "above"),
    ("five cycles", "two cycles", None),
):
    text, less = f"{a} less {b}", together.compare(a, b)
    if sign:
        rows.append(lab.claim(text, less, unit="points", **{sign: 0}))
    else:
        rows.append(lab.measure(text, less, unit="points"))
at_own = np.searchsorted(higher, peaks["five cycles"])
falls = result.at("test_error")[2, at_own, np.arange(len(seeds))]
text = "five cycles less falling to 1/4, both at the cycles' peak"
rows.append(lab.measure(text, 100 * (judged["five cycles"] - falls), unit="points"))
lab.claims(rows)

# %% [markdown]
# The figure's intervals are 95 %, of each schedule against the fixed rate; the table's contain the tuning. The order is that of the quadratic at 300 and 1,000
# steps, so noise counts in this run too. Cycles gain on the best fixed rate: five of them 3.0 points [2.0, 4.0], two 3.9 [3.1, 4.7]. But a fall over the same range
# gains 3.4 more than five cycles [2.4, 4.4], each at its own peak, and 1.6 more [1.0, 2.2] even at the peak that suits the cycles. A comparison with a fixed rate alone cannot
# show this.
#
# **And the bounds from the range test?** Give each seed's cycles the bounds of that seed's own test, without any tuning
# (the error is interpolated between the peaks of the grid):

# %%
curves = 100 * result.at("test_error")[0].T
untuned = [
    np.interp(np.log(bound), np.log(higher), curve)
    for bound, curve in zip(bounds, curves, strict=True)
]
lost = np.array(untuned) - 100 * judged["five cycles"]
lab.measure("bounds from one range test less tuned ones", lost, unit="points")

# %% [markdown]
# Half a run instead of four whole ones, for a loss of 2.2 points [1.2, 3.2]. As a first guess
# that is worth having, and it does not depend on cycling: a decay needs a peak as well.

# %% [markdown]
# ## The headline compares two staircases
#
# From the paper's table 1 (CIFAR-10, Caffe's network; no spread is given):
#
# | policy | steps | test accuracy (%) |
# | --- | --- | --- |
# | fixed | 70,000 | 81.4 |
# | triangular2 | 25,000 | 81.4 |
# | decay | 25,000 | 78.5 |
# | exp | 70,000 | 79.1 |
# | exp_range | 42,000 | 82.2 |
#
# 25,000 steps against 70,000 is what is quoted. The settings of that run are in table 2: cycles between
# 0.001 and 0.005, then *both bounds divided by ten* at step 16,000, and again at 22,000. "Fixed" is Caffe's own recipe,
# whose files drop the rate by ten at 60,000 and 65,000. So the shorter run also dropped earlier, and the table
# cannot say whether cycles or early drops saved the steps. "Decay", the control that was to show that falling is not
# enough, falls for 4,000 steps and then stays at 0.001 for the other 21,000. The comparison to make is this one: the
# staircase of table 2, scaled to our 2,000 steps, with cycles and without. (The paper calls its run triangular2 there
# and triangular in section 3.1; this is triangular.)

# %%
first, second = 16 * T // 25, 22 * T // 25  # 1,280 and 1,760
of_table_2 = (
    Cyclical(0.2, 160)
    .then(Constant(0.1) * Cyclical(0.2, 80), at=first)
    .then(Constant(0.01) * Cyclical(0.2, 40), at=second)
)
drops = MultiStepDecay([first, second], gamma=0.1)
headline = lab.sweep(
    task,
    {"cycles and drops": of_table_2, "drops alone": drops},
    # three peaks for each, around its own best
    {"cycles and drops": [0.024, 0.05, 0.1], "drops alone": [0.02, 0.04, 0.08]},
    seeds,
    **settings,
)

# %%
fig, axes = plt.subplots(1, 3, width_ratios=(4, 2, 1.5), figsize=(9.4, 2.6))
parts = ((0, first, 1), (first, second, 0.1), (second, T, 0.01))
for ax, (start, end, top) in zip(axes, parts, strict=True):
    x = np.arange(start, end)
    ax.plot(x, of_table_2.sample(T)[x], label="with cycles", **figures.look("cyclical"))
    ax.plot(x, drops.sample(T)[x], label="drops alone", **figures.look("step"))
    ax.set(xlabel="step", ylim=(0, 1.4 * top))
axes[0].set(ylabel="factor")
axes[0].legend(loc="upper left", ncols=2)
axes[0].set_title("Table 2 of the paper, scaled to 2,000 steps: cycles on a staircase")
plt.show()

# %%
less = headline.compare("cycles and drops", "drops alone")
lab.claim("cycles and drops less drops alone", less, above=0, unit="points")

# %% [markdown]
# Each row of steps has its own scale. Here the cycles add nothing to the staircase; they cost 2.0 points [1.6, 2.5]. The paper has
# the same comparison on larger networks (table 4: the same drops with a flat rate and with cycles, five runs each,
# three flat rates tried): on CIFAR-10 and -100 cycles are ahead in five of six rows, by 0.2 to 0.6 points, and 0.1
# behind in one. No spread is given. With Adam they are level (table 3: 81.4 fixed, 81.1 triangular after 70,000
# steps), although the fixed rate there was the lower bound and not tuned.

# %% [markdown]
# ## The valley moves to higher peaks
#
# "Practically eliminates the need to tune" could also mean that the peak matters less. Count the factors of two
# (octaves) in the peak within which a schedule beats the *best* fixed rate:


# %%
def octaves(values, level):
    """Octaves of the peak in which the values, interpolated, lie below a level."""
    fine = np.linspace(0, 3, 1501)  # each grid covers a factor of eight
    return 3 * (np.interp(fine, np.arange(4), values) <= level).mean()


val = {n: 100 * v for n, v in zip(shapes, result.at("val_error"), strict=True)}
val["fixed"] = 100 * fixed.at("val_error")[0]
goals = val["fixed"][val["fixed"].mean(-1).argmin()]
rows = []
for name in ("five cycles", "two cycles", "linear to 0"):
    beats = [octaves(v, goal) for v, goal in zip(val[name].T, goals, strict=True)]
    text = f"range of peaks at which {name} beats the best fixed rate"
    rows.append(lab.measure(text, np.array(beats), unit="octaves"))
lab.claims(rows)

# %%
fig, ax = plt.subplots()
named = {"fixed": "constant", "five cycles": "cyclical", "linear to 0": "linear"}
for name, look in named.items():
    line, own = figures.look(look), grid if name == "fixed" else higher
    figures.band(ax, own, val[name].T, marker="o", **line)
    medians = np.median(val[name], axis=-1)
    lowest = medians.argmin()
    ax.plot(own[lowest], medians[lowest], "v", color=line["color"], markersize=11)
    figures.name_line(ax, own[-1], medians[-1], name, color="0.2")
ax.set(xscale="log", xlabel="peak learning rate", ylabel="validation error (%)")
ax.set(xlim=(0.009, 0.23))
marks = [0.01, 0.02, 0.04, 0.08, 0.16]
ax.set_xticks(marks, [f"{rate:g}" for rate in marks])
ax.minorticks_off()
ax.set_title("The cycles' valley is that of the fixed rate, deeper and further right")
plt.show()

# %% [markdown]
# The cycles' valley lies at a higher peak (their mean rate is five eighths of it). What is wide is the range in which cycles beat
# the best fixed rate, 1.5 octaves for five cycles and 2.0 for two, read off four peaks; the line to zero has 2.3.

# %% [markdown]
# ## At the top of a cycle the error is high, and so is the curvature
#
# Now look inside the cycles, at the tuned peak: validation error and *sharpness* (the largest eigenvalue of the
# Hessian of the training loss, here on the first 500 signals), with the rate below.
#
# > **Predict.** Where is the sharpness highest: at the tops, where a large rate should drive the network to flat
# > places, or at the bottoms?

# %%
peak = float(np.median(peaks["five cycles"]))
moments = list(range(1000, T + 1, 50))
keep = {"eval_steps": moments, "evaluate": ["val"], "keep_states": True}
many = lab.seeds(20)
inside = lab.sweep(task, {"cycles": cycles}, [peak], many, **keep, **settings)


# %%
def sharpness(seed, step):
    model = inside.model("cycles", peak, seed, step)
    return lab.sharpness(task, model, seed, examples=500, tol=0.05)[0]


measured_at = list(range(1000, T + 1, 100))
sharp = np.array([[sharpness(s, t) for t in measured_at] for s in many])

# %%
fig, axes = plt.subplots(3, 1, sharex=True, height_ratios=(3, 3, 1.4), figsize=(7.6, 6))
line = figures.look("cyclical")
figures.band(axes[0], moments, 100 * inside.metrics["val_error"][0, 0], **line)
figures.band(axes[1], measured_at, sharp, marker="o", **line)
axes[2].plot(inside.lr[0, 0, 0], **line)
for ax in axes:
    for t in (1000, 1400, 1800):
        ax.axvline(t, color="0.4", linewidth=1, linestyle=":", zorder=0)
axes[0].set(ylabel="validation error (%)", ylim=(35, 60), xlim=(990, 2010))
axes[1].set(ylabel="sharpness")
axes[2].set(xlabel="step", ylabel="applied rate")
axes[0].set_title("Error and sharpness are higher at the tops (dotted)")
plt.show()

# %%
error = 100 * inside.metrics["val_error"][0, 0]


def tops_less_bottoms(values, moments):
    """Each top against the bottoms on both sides, so that no trend is left."""
    at = {t: values[:, moments.index(t)] for t in (1200, 1400, 1600, 1800, 2000)}
    return (at[1400] + at[1800] - at[1600]) / 2 - (at[1200] + at[2000]) / 4


ratio = np.exp(tops_less_bottoms(np.log(sharp), measured_at))
up = tops_less_bottoms(error, moments)
lab.claims(
    [
        lab.claim("sharpness at tops over bottoms", ratio, scale="ratio", above=1),
        lab.claim(
            "validation error at tops less at bottoms", up, above=0, unit="points"
        ),
    ]
)

# %% [markdown]
# The tops are not flat: where the rate is high, the curvature is high, and so is the error. Whether it is the noise of batches of 16 that raises it there, or steps that are too long
# for the curvature, these two curves cannot tell. Full-batch descent would be stable up to a sharpness of $2(1+\mu)/\eta$ (chapter 1; $\mu$ is the momentum), many
# times what is seen here (95 against 2 to 4), but with small batches that is the wrong limit: what runs into it is the curvature that the *batches* see along their own
# gradients, which is larger (Andreyev and Beneventano 2024). Either way the error falls with the rate within half a cycle. That is why the run
# must end at a bottom; `shape.check_end(T)` tells you whether it does.

# %% [markdown]
# ## Does a rising rate escape saddle points?
#
# Smith's explanation is that small gradients near a saddle slow training down, and that a rising rate crosses
# such places faster. Take the surface $f=\tfrac12x^2-\tfrac12y^2+\tfrac14y^4$: a saddle at the origin, minima at
# $y=\pm1$. There $x$ shrinks by itself and is left out. Near the saddle each step multiplies $y$ by $1+\eta_t$, so the
# logarithm of $|y|$ grows by about the *area* under the rate, in whatever order the rates come.
#
# > **Predict.** Start at $y=10^{-6}$. Who leaves first: cycles between 0.025 and 0.1, or a fixed rate of
# > 0.0625, their mean? And who leaves from $y=0$ exactly?


# %%
def height(rates, y, noise=0.0, runs=200):
    """|y| after each step of noisy descent near the saddle, (runs, steps)."""
    rng = np.random.default_rng(lab.seeds(1, "other")[0])
    y, path = np.full(runs, y), []
    for rate in rates:
        y = y - rate * (y**3 - y + noise * rng.standard_normal(runs))
        path.append(np.abs(y))
    return np.array(path).T


def escape(rates, y, noise=0.0):
    """The step at which |y| first exceeds 1/2, for every run."""
    out = height(rates, y, noise) > 0.5
    return np.where(out.any(1), out.argmax(1), np.inf)


rising = 0.1 * Cyclical(0.25, 40).sample(1000)
level = np.full(1000, 0.1 * 0.625)

# %%
fig, ax = plt.subplots()
rows = {
    "cycles": (rising, 0.0, figures.look("cyclical")),
    "their mean rate": (level, 0.0, figures.look("constant")),
    "mean rate, noise 0.01": (level, 0.01, {"color": "0.5", "linestyle": ":"}),
}
for name, (rates, noise, look) in rows.items():
    ax.plot(np.median(height(rates, 1e-6, noise), axis=0)[:320], label=name, **look)
ax.set(xlabel="step", ylabel="|y|", yscale="log")
ax.legend(loc="lower right")
ax.set_title("Cycles leave when a fixed rate of equal area does; noise can be faster")
plt.show()

# %%
steps = float(escape(level, 1e-6)[0])  # without noise all runs are one
equal = escape(rising, 1e-6)[0] / steps
noisy = escape(level, 1e-6, noise=0.01) / steps
text = "steps to leave the saddle: {} over the mean rate"
lab.claims(
    [
        lab.claim(text.format("cycles"), float(equal), **same),
        lab.claim(text.format("noise"), noisy, below=1, scale="ratio", of="runs"),
    ]
)

# %%
medians = [np.median(escape(*way)) for way in ((rising, 0.0), (level, 0.0, 0.01))]
print("from y = 0 exactly: {}, with noise: {} steps (median run)".format(*medians))

# %% [markdown]
# The cycles leave when their area has been spent, like the fixed rate. Noise that is larger than the distance from the
# ridge takes over, and the runs leave in about half the steps: the first steps already put $|y|$ near 0.001, and the way from there is shorter. From the ridge
# itself no rate leaves, and noise does. Minibatch gradients have noise at every step. A larger rate is
# faster, of course; it need not rise and fall for that.

# %% [markdown]
# ## Folklore and pitfalls
#
# **A pitfall: cycled momentum with Adam.** torch's `CyclicLR` moves the momentum against the rate unless you say
# `cycle_momentum=False`: from 0.9 at the bottoms to 0.8 at the tops. Adam's momentum is its $\beta_1$. Earlier versions
# refused Adam (pytorch#73910); today's takes it, and *overwrites* the $\beta_1$ that you chose:

# %% tags=["nbval-check-output"]
adam = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], betas=(0.95, 0.999))
trace = lab.applied(
    lambda opt: schedulers.CyclicLR(opt, 1e-4, 1e-3, 50), 200, optimizer=adam
)
print("torch: chosen 0.95, applied", trace.momentum.min(), "to", trace.momentum.max())

adam = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], betas=(0.95, 0.999))
trace = lab.applied(
    lambda opt: ScheduledLR(opt, Cyclical(0.1, 50)), 200, optimizer=adam
)
print("lrlib: chosen 0.95, applied", trace.momentum.min(), "to", trace.momentum.max())

# %% [markdown]
# Say `cycle_momentum=False` unless you mean it. `ScheduledLR` moves the momentum only if you hand it a schedule
# (`momentum=shape.momentum()`), which is a factor on the value you chose. Whether it helps is a question for chapter 7.
#
# **A pitfall: stepped once per epoch.** `step_size_up` counts calls of `scheduler.step()`. Called
# at the end of each of this run's eight epochs, a cycle planned for 400 steps never gets off the ground:

# %%
optimizer = sgd(peak)
scheduler, trace = ScheduledLR(optimizer, cycles), LRTrace(optimizer)
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    for step in range(T):
        optimizer.step()
        if (step + 1) % 250 == 0:  # the end of an epoch: the wrong place
            scheduler.step()
print(str(said[0].message).split(". ")[0])
print(f"planned {peak / 4:.3f} to {peak:.3f}, applied", end=" ")
print(f"{trace.lr.min():.4f} to {trace.lr.max():.4f}")
try:
    trace.assert_matches(cycles, peak)
except AssertionError as message:
    print(str(message).splitlines()[0])

# %% [markdown]
# **"Cycles need no tuning."** Their bounds can be read off one short run, and were good here. You still have to choose
# the number of cycles, and fewer were better.

# %% [markdown]
# ## In your own code

# %%
model, total_steps = lab.mlp(40, 100, 100, 10), 2000
optimizer = torch.optim.SGD(model.parameters(), lr=0.04, momentum=0.9)

# plain torch, stepped after every batch
plain = schedulers.CyclicLR(optimizer, 0.01, 0.04, 200, cycle_momentum=False)

# %%
optimizer = torch.optim.SGD(model.parameters(), lr=0.04, momentum=0.9)
shape = Cyclical(min_factor=0.25, step_size_up=200)
shape.check_end(total_steps)
scheduler, trace = ScheduledLR(optimizer, shape), LRTrace(optimizer)
for _ in range(total_steps):
    # zero_grad, forward and backward go here
    optimizer.step()
    scheduler.step()
trace.assert_matches(shape, peak=0.04)

# %% [markdown]
# Which policy when? If you do not know how long you will train, each bottom is a network to keep, as after a
# restart. If you know, take one fall.
#
# ## Summary
#
# - A cycle rises and falls in straight lines between two bounds; *triangular2* halves its height each time,
#   *exp_range* shrinks it with every step.
# - A range test of four epochs gave bounds that lose 2.2 points [1.2, 3.2] against a search over four peaks.
# - Two cycles beat the best fixed rate by 3.9 points [3.1, 4.7]; a line to zero beats them by 3.7 [2.9, 4.6]. On the
#   quadratic all that the cycles gain is in the last fall, and fewer are better than many.
# - The quoted 25,000 against 70,000 steps compares two staircases whose drops come at different times. Here cycles on a
#   staircase cost 2.0 points [1.6, 2.5].
# - Cycles move the valley of good peaks to higher rates.
# - At the tops error and sharpness are higher than at the bottoms: end at a bottom.
# - A saddle is left after a given area under the rate, in any order; noise larger than the distance from the ridge
#   leaves it sooner.
#
# If the last fall does the work and fewer cycles are better, how about a single one, ending near zero? That is the
# next chapter, and it is said to be ten times as fast.
#
# ## Exercises
#
# In `exercises/06_cyclical/`:
#
# 1. the triangle from its formula; 2. cycles that end with the run; 3. two bounds from a range test; 4. what is
# wrong with this comparison? 5. what rising again costs.
#
# ## References
#
# - A. Andreyev, P. Beneventano (2024). *Edge of stochastic stability: revisiting the edge of stability for SGD.*
#   arXiv:2412.20553.
# - L. N. Smith (2017). *Cyclical learning rates for training neural networks.* WACV. (Sections 3.1 to 3.3; tables 1 to 4.)
