# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 6 · Cyclical learning rates
#
# **What you will see.** A policy that climbs as slowly as it falls and beats the best fixed rate; the same rates in
# another order that beat it by as much again; a famous headline that had two drops in it; and a saddle that any rate
# leaves, or none does.
#
# **What you will do.** Read two bounds off one short run, and take a schedule apart into what its rates do and
# what their order does.
#
# **What you need.** Chapters 1 to 5, or this much of them. $\eta$ is the learning rate, $t$ counts optimizer
# steps (updates already made), and a schedule is a *shape* whose factor multiplies the *peak* $\eta_{\max}$. On a
# quadratic the loss is the sum of the *distance* still to go, which depends on the area $\sum_t\eta_t$ under the rate,
# and the *noise*, which depends on the rates at the end. A claim's line gives mean, 95 % interval over seeds and what
# it had to satisfy. Less than a minute on two CPU cores. `LRLIB_SEED` shifts every seed; `LRLIB_SCALE` multiplies the
# seeds.

# %%
import warnings

import matplotlib.pyplot as plt
import numpy as np
import torch
from lrlib import (
    Constant,
    CosineAnnealing,
    Cyclical,
    LRTrace,
    MultiStepDecay,
    PolynomialDecay,
    ScheduledLR,
    Warmup,
    lab,
)
from lrlib.fixed_learning_rate import largest_hessian_eigenvalue
from lrlib.lab import figures

figures.use_style()
schedulers = torch.optim.lr_scheduler

# %% [markdown]
# ## A fixed rate has a cliff on one side
#
# Before anything is scheduled, you have to find a rate. MNIST-1D, two hidden layers of 100 units, SGD with momentum
# 0.9, batches of 16, 2,000 steps (eight epochs of 250), seven fixed rates, ten seeds:

# %%
task, T = lab.mnist1d_task(), 2000
settings = {"steps": T, "batch_size": 16}
seeds = lab.seeds(10)
grid = 0.01 * 2.0 ** np.arange(0, 3.6, 0.5)
fixed = lab.sweep(task, {"fixed": Constant()}, grid[:7], seeds, **settings)

# %%
fig, ax = plt.subplots()
error = 100 * fixed.at("test_error")[0]
figures.valley(ax, grid[:7], error, **figures.look("constant"))
ax.set(xlabel="fixed learning rate", ylabel="test error (%)")
ax.set_xticks(grid[::2], [f"{rate:.2g}" for rate in grid[::2]])
ax.minorticks_off()
ax.set_title("A third of the best rate costs little, three times as much ruins the run")
plt.show()

# %%
best = error.mean(-1).argmin()
cliff = error[-1] - error[best]
lab.claim(f"{grid[6]:.2g} less the best fixed rate (points)", cliff, above=10)

# %% [markdown]
# So you search, and every trial is a whole run. Smith (2017) proposed to stop searching: read two *bounds* off a
# single short run, and let the rate go up and down between them, over and over. The right rate
# lies somewhere in between and is visited twice in every cycle.

# %% [markdown]
# ## Up as slowly as down
#
# A cycle rises in a straight line from $\eta_{\min}$ to $\eta_{\max}$ within `step_size_up` steps, and
# falls back within `step_size_down`, which is the same number unless you say otherwise. With $s$ for it, and $c=\lfloor t/2s\rfloor$ the cycles
# already over,
#
# $$\eta_t=\eta_{\min}+(\eta_{\max}-\eta_{\min})\,a_c\Bigl(1-\Bigl|\frac{t}{s}-2c-1\Bigr|\Bigr).$$
#
# The amplitude $a_c$ is 1 in the policy *triangular* and $2^{-c}$ in *triangular2*; in *exp_range* it
# is $\gamma^t$, and falls with every step. In `lrlib` $\eta_{\min}$ is a factor of the peak, as everywhere in this book.


# %%
def triangular(t, min_factor, step_size, mode="triangular", gamma=1.0):
    c = t // (2 * step_size)
    amplitude = {"triangular": 1, "triangular2": 0.5**c, "exp_range": gamma**t}[mode]
    triangle = 1 - abs(t / step_size - 2 * c - 1)
    return min_factor + (1 - min_factor) * amplitude * triangle


# %%
def traced(make_scheduler, optimizer, steps=400):
    """What an optimizer really used: a trace of its rates and momenta."""
    scheduler, trace = make_scheduler(optimizer), LRTrace(optimizer)
    for _ in range(steps):
        optimizer.step()
        scheduler.step()
    return trace


def sgd(lr=0.1, momentum=0.9):
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr, momentum)


# %% tags=["nbval-check-output"]
rates = {}
for mode, gamma in (("triangular", 1.0), ("triangular2", 1.0), ("exp_range", 0.995)):
    curve = [0.1 * triangular(t, 0.25, 50, mode, gamma) for t in range(400)]
    of_torch = traced(
        lambda opt, m=mode, g=gamma: schedulers.CyclicLR(
            opt, 0.025, 0.1, 50, mode=m, gamma=g, cycle_momentum=False
        ),
        sgd(),
    )
    shape = Cyclical(0.25, 50, mode=mode, gamma=gamma)
    rates[mode] = traced(lambda opt, s=shape: ScheduledLR(opt, s), sgd()).lr[:, 0]
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
# > **Predict.** The best fixed rate was 0.028. Which $\eta_{\max}$ will four epochs find?

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
top = float(np.median(bounds))
print(f"upper bound: {top:.3f} (single runs: {bounds.min():.3f} to {bounds.max():.3f})")

# %%
fig, ax = plt.subplots()
figures.band(ax, rate, accuracy, interval=(0, 100), **figures.look("warm-up"))
ax.plot(rate, accuracy[0], color="0.35", linewidth=0.8)
ax.axvspan(top / 4, top, color=figures.look("cyclical")["color"], alpha=0.25)
ax.axvline(grid[best], **figures.look("constant"), linewidth=1)
figures.name_line(ax, grid[best], 3, "best fixed rate", fontsize=9)
ax.set(
    xlabel="learning rate, rising by 0.0003 a step", ylabel="validation accuracy (%)"
)
ax.set(ylim=(0, None))
ax.set_title("One run of four epochs brackets the best fixed rate")
plt.show()

# %% [markdown]
# Median over ten runs, band from the lowest to the highest, one run as the thin line; the shaded range is from a fourth of $\eta_{\max}$ to $\eta_{\max}$. "Slows" had to
# be made a number to be repeatable; the function above is one choice. Nothing here was tuned on whole runs. Chapter 9 asks how
# much this answer moves with the length, the smoothing and the end of the test.

# %% [markdown]
# ## The exact case: the order of the rates decides
#
# What does the rise bring? Compare the cycles with *the same rates in another order*: sorted to fall from the
# peak to a fourth of it, or to rise. The area under the three is the same, and so is every single rate. On the
# noisy quadratic of the earlier chapters ($L=\tfrac12\sum_i h_i\theta_i^2$, curvatures $1,1/2,\dots,1/100$, gradient
# noise of batches of 256), each with its own best peak:
#
# > **Predict.** Rank fixed, cycles, falling and rising for a run of 1,000 steps.

# %% tags=["nbval-check-output"]
problem = lab.NoisyQuadratic(batch_size=256)
scores = {}
print("final loss over that of the best schedule found")
for steps in (100, 300, 1000):
    shapes = {
        "fixed": Constant(),
        "cycles": Cyclical(0.25, steps // 10),
        "falling": PolynomialDecay(steps, min_factor=0.25),
        "rising": Warmup(steps, start_factor=0.25),
        "linear to 0": PolynomialDecay(steps),
    }
    scores[steps] = {name: problem.score(s, steps) for name, s in shapes.items()}
    print(f"{steps:5} steps", *(f"{k} {v:.2f} " for k, v in scores[steps].items()))

# %%
long = scores[1000]
lab.claim(
    "1,000 steps: cycles over fixed (ratio)", long["cycles"] / long["fixed"], below=0.85
)

# %%
lab.claim(
    "1,000 steps: falling over cycles (ratio)",
    long["falling"] / long["cycles"],
    below=0.85,
)

# %%
lab.claim(
    "1,000 steps: rising over fixed (ratio)", long["rising"] / long["fixed"], above=1.2
)

# %% [markdown]
# At every length the cycles lie between the fixed rate and the falling order. They beat the fixed rate because they *end* low (the last
# half cycle is a decay); they lose to the sorted rates because four of their five falls are undone. A rate that only rises is worst of all. In the
# short run, where distance limits, the gain over the fixed rate nearly vanishes.

# %% [markdown]
# ## The network agrees: cycles beat a fixed rate, and their own rates sorted beat the cycles
#
# Five cycles between $\eta_{\max}/4$ and $\eta_{\max}$, each half of 200 steps (0.8 epochs; Smith advises 2 to 10, of which this
# run has not enough). Beside them the same rates falling, two decays of part one, and cycles half as many and twice as long. The
# same grid of peaks for each; every seed is judged at the peak that the *other nine* choose by validation
# error.

# %%
cycles = Cyclical(0.25, 200)
shapes = {
    "five cycles": cycles,
    "same rates, falling": PolynomialDecay(T, min_factor=0.25),
    "linear to 0": PolynomialDecay(T),
    "cosine to 0": CosineAnnealing(T),
}
result = lab.sweep(task, shapes, grid[1:], seeds, **settings)
judged, peaks = result.judged()
judged_fixed, fixed_peaks = fixed.judged()
judged |= judged_fixed
peaks |= fixed_peaks
for name, runs in judged.items():
    print(
        f"{name:20}: peak {np.median(peaks[name]):.3f}, test error {100 * runs.mean():.1f} %"
    )

# %%
gain = {name: 100 * (runs - judged["fixed"]) for name, runs in judged.items()}
del gain["fixed"]
order = sorted(gain, key=lambda name: -gain[name].mean())
fig, ax = plt.subplots(figsize=(7.6, 2.6))
looks = ("cyclical", "exponential", "linear", "cosine")
colors = {n: figures.look(look)["color"] for n, look in zip(shapes, looks, strict=True)}
figures.intervals(ax, {name: gain[name] for name in order}, colors)
ax.set(
    xlabel="test error, points above the best fixed rate (left is better; 95 % interval)"
)
ax.set_title("Cycles gain on a fixed rate; sorted, their rates gain more")
plt.show()

# %%
lab.claim("best fixed rate less five cycles (points)", -gain["five cycles"], above=0)

# %%
lab.claim(
    "five cycles less the same rates, falling (points)",
    gain["five cycles"] - gain["same rates, falling"],
    above=2,
)

# %%
lab.claim(
    "five cycles less linear to 0 (points)",
    gain["five cycles"] - gain["linear to 0"],
    above=2,
)

# %% [markdown]
# The order is that of the quadratic at 300 and 1,000 steps, so noise counts in this run too. The cycles do gain on the best fixed rate,
# and they are not tuned worse than the others. But every rate they use, used once in falling order,
# does better: the gain is the decay's, and the rises cost about as much as the cycles gain. The comparison with a fixed
# rate could not have told you.
#
# **And the bounds from the range test?** No grid, no tuning: one run between $\eta_{\max}/4$ and the $\eta_{\max}$ read off above.

# %%
untuned = lab.sweep(task, {"cycles": cycles}, [top], seeds, **settings)
from_test = 100 * (untuned.at("test_error")[0, 0] - judged["five cycles"])
lab.claim("bounds from the range test less tuned ones (points)", from_test, below=2)

# %% [markdown]
# The short test replaced a search over seven peaks at no cost that we can see. That is worth having,
# and it does not depend on cycling: a decay needs a peak as well, and the same test gives you a first guess for it.

# %% [markdown]
# ## The headline run had two drops in it
#
# From the paper's table 1 (CIFAR-10, Caffe's network, one run each):
#
# | policy | steps | test accuracy (%) |
# | --- | --- | --- |
# | fixed | 70,000 | 81.4 |
# | triangular2 | 25,000 | 81.4 |
# | decay | 25,000 | 78.5 |
# | exp | 70,000 | 79.1 |
# | exp_range | 42,000 | 82.2 |
#
# 25,000 steps against 70,000 is what is quoted. Table 2 of the paper has the settings of that run: four cycles between
# 0.001 and 0.005, then three with *both bounds divided by ten* from step 16,000, and three divided by ten again from
# 22,000. And "decay", the control that was to show that falling is not enough, falls for 4,000 steps and then stays at 0.001
# for the other 21,000. Neither run separates the cycles from the drops. Ours, with 2,000 steps for 25,000 and the bounds' ratio of 1 to 5:

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
    {"cycles and drops": grid[3:], "drops alone": grid[1:6]},
    seeds,
    **settings,
)
judged |= headline.judged()[0]

# %%
fig, ax = plt.subplots(figsize=(7.6, 2.6))
ax.plot(of_table_2.sample(T), **figures.look("cyclical"))
ax.plot(drops.sample(T), **figures.look("step"))
ax.set(xlabel="step", ylabel="factor", yscale="log")
figures.name_line(ax, 250, 1.4, "drops alone", color=figures.look("step")["color"])
figures.name_line(
    ax, 380, 0.14, "cycles and drops", color=figures.look("cyclical")["color"]
)
ax.set_ylim(0.001, 2.5)
ax.set_title("The run behind 25,000 against 70,000: cycles on a staircase")
plt.show()

# %%
added = 100 * (judged["drops alone"] - judged["cycles and drops"])
lab.claim("gained by adding the cycles to the drops (points)", added, below=0.5)

# %% [markdown]
# Without its cycles the staircase does a little better here, as the sorted rates did. What the paper
# measured, on its network, may still be so; what it did not measure is what the rises add. Where its own
# tables compare cycles with a tuned fixed rate over five runs or with Adam (tables 3 and 4), they are within half a point of each other more often
# than not: Adam 81.4 fixed and 81.1 triangular after 70,000 steps.

# %% [markdown]
# ## Cycling does not make the valley wider
#
# "Practically eliminates the need to tune" could mean that the peak matters less. Count the range of peaks that
# end within three points of a schedule's own best (in factors of two), and the range that beats the *best* fixed
# rate:


# %%
def octaves(values, level):
    """Factors of two in the peak over which the values, interpolated, lie below a level."""
    fine = np.linspace(0, 3, 1501)  # the grids have seven peaks, a factor of eight
    return 3 * (np.interp(fine, np.arange(0, 3.1, 0.5), values) <= level).mean()


val = {n: 100 * v for n, v in zip(shapes, result.at("val_error"), strict=True)}
val["fixed"] = 100 * fixed.at("val_error")[0]
width = {
    n: np.array([octaves(v, v.min() + 3) for v in runs.T]) for n, runs in val.items()
}
beats = {n: octaves(v.mean(-1), val["fixed"].mean(-1).min()) for n, v in val.items()}
for name in val:
    print(f"{name:20}: within 3 points {width[name].mean():.1f} octaves, ", end="")
    print(f"better than the best fixed rate {beats[name]:.1f}")

# %%
fig, ax = plt.subplots()
named = {"fixed": "constant", "five cycles": "cyclical", "linear to 0": "linear"}
for name, look in named.items():
    line, own = figures.look(look), grid[:7] if name == "fixed" else grid[1:]
    figures.band(ax, own, val[name].T, marker="o", **line)
    medians = np.median(val[name], axis=-1)
    lowest = medians.argmin()
    ax.plot(own[lowest], medians[lowest], "v", color=line["color"], markersize=11)
    figures.name_line(ax, own[-1], medians[-1], name, color=line["color"])
ax.set(xscale="log", xlabel="peak learning rate", ylabel="validation error (%)")
ax.set(xlim=(0.009, 0.16))
ax.set_xticks(grid[::2], [f"{rate:.2g}" for rate in grid[::2]])
ax.minorticks_off()
ax.set_title("The valley moves and deepens; it does not widen")
plt.show()

# %%
lab.claim(
    "width of the valley: cycles less fixed (octaves)",
    width["five cycles"] - width["fixed"],
    below=1.2,
)

# %% [markdown]
# The cycles' valley lies at a higher peak (their mean rate is five eighths of it) and is about as wide as that of the fixed rate. What is
# wide is the range in which they beat the best fixed rate: two octaves. Any decay has that too, and the line more.

# %% [markdown]
# ## At the top of a cycle the loss is high, and so is the curvature
#
# Now look inside the cycles, at the tuned peak: test error, training loss and *sharpness* (largest eigenvalue of the
# Hessian of the training loss, here on the first 500 signals), with the rate below.
#
# > **Predict.** Where is the sharpness highest: at the tops, where a large rate should drive the network to flat places, or
# > at the bottoms?

# %%
peak = float(np.median(peaks["five cycles"]))
moments = list(range(0, T + 1, 50))
inside = lab.sweep(
    task,
    {"cycles": cycles},
    [peak],
    seeds,
    eval_steps=moments,
    evaluate=["train", "test"],
    keep_states=True,
    **settings,
)


# %%
def sharpness(seed, step):
    model, (x, y) = inside.model("cycles", peak, seed, step), task.data.split("train")
    loss = lambda: task.loss(model(x[:500]), y[:500])  # noqa: E731
    return largest_hessian_eigenvalue(loss, model.parameters(), tol=0.05)[0]


turns = [1200, 1400, 1600, 1800, 2000]  # bottom, top, bottom, ...
measured_at = list(range(1000, T + 1, 100))
with warnings.catch_warnings():
    warnings.simplefilter("ignore", RuntimeWarning)  # nearly equal eigenvalues are slow
    sharp = np.array([[sharpness(s, t) for t in measured_at] for s in seeds])

# %%
fig, axes = plt.subplots(3, 1, sharex=True, height_ratios=(3, 3, 1.4), figsize=(7.6, 6))
line = figures.look("cyclical")
figures.band(axes[0], moments, 100 * inside.metrics["test_error"][0, 0], **line)
figures.band(axes[1], measured_at, sharp, marker="o", **line)
axes[2].plot(inside.lr[0, 0, 0], **line)
for ax in axes:
    for t in (1000, *turns[1::2]):
        ax.axvline(t, color="0.85", linewidth=1, zorder=0)
axes[0].set(ylabel="test error (%)", ylim=(35, 60), xlim=(990, 2010))
axes[1].set(ylabel="sharpness")
axes[2].set(xlabel="step", ylabel="applied rate")
axes[0].set_title("Test error and sharpness are higher at the tops (grey lines)")
plt.show()

# %%
at = {t: sharp[:, measured_at.index(t)] for t in turns}
ratio = (at[1400] * at[1800]) ** 0.5 / (at[1600] * at[2000]) ** 0.5
lab.claim(
    "sharpness at the tops over that at the bottoms", ratio, scale="ratio", above=1.1
)

# %%
limit = 2 * (1 + 0.9) / peak  # of full-batch gradient descent with momentum 0.9
lab.claim(
    "stability limit over sharpness at the tops",
    limit / at[1800],
    scale="ratio",
    above=4,
)

# %%
test_error = 100 * inside.metrics["test_error"][0, 0]
up = test_error[:, moments.index(1800)] - test_error[:, moments.index(2000)]
lab.claim("stopped at the last top instead of the end (points)", up, above=3)

# %% [markdown]
# The tops are not flat. With cross-entropy the curvature follows the loss: where many examples are still
# undecided, there is more of it. Nor is the top unstable: its sharpness is far below the
# $2(1+\mu)/\eta$ of chapter 1 ($\mu$ the momentum), so what lifts the loss is gradient noise, and it
# falls with the rate within half a cycle. That is also why the run must end at the bottom. `shape.check_end(T)` tells you whether it does.

# %% [markdown]
# ## Does a rising rate escape saddle points?
#
# Smith's explanation: small gradients near a saddle slow training down, and a rising rate crosses
# them faster. Take the surface $f=\tfrac12x^2-\tfrac12y^2+\tfrac14y^4$: a saddle at the origin, minima at
# $y=\pm1$. Near it each step multiplies $y$ by $1+\eta_t$, so the logarithm of $|y|$ grows by about the *area* under the rate,
# in whatever order the rates come.
#
# > **Predict.** Start at $x=1$, $y=10^{-6}$. Who leaves first: cycles between 0.025 and 0.1, or a fixed rate of
# > 0.0625, their mean? And who leaves from $y=0$ exactly?


# %%
def height(rates, y, noise=0.0, runs=200):
    """|y| over the steps, (runs, steps): gradient descent near the saddle, with noise."""
    rng = np.random.default_rng(lab.seeds(1, "other")[0])
    y, path = np.full(runs, y), []
    for rate in rates:
        y = y - rate * (y**3 - y + noise * rng.standard_normal(runs))
        path.append(np.abs(y))
    return np.array(path).T


def escape(rates, y, noise=0.0):
    """The step at which |y| first exceeds 1/2 (median run)."""
    out = height(rates, y, noise) > 0.5
    return float(np.median(np.where(out.any(1), out.argmax(1), np.inf)))


rising = 0.1 * Cyclical(0.25, 40).sample(1000)
level = np.full(1000, 0.1 * 0.625)

# %%
fig, ax = plt.subplots()
rows = {
    "cycles": (rising, 0.0, figures.look("cyclical")),
    "their mean rate": (level, 0.0, figures.look("constant")),
    "mean rate, noise 0.01": (level, 0.01, {"color": "0.6", "linestyle": "--"}),
}
for name, (rates, noise, look) in rows.items():
    ax.plot(np.median(height(rates, 1e-6, noise), axis=0)[:320], label=name, **look)
ax.set(xlabel="step", ylabel="|y|, distance from the saddle", yscale="log")
ax.legend(loc="lower right")
ax.set_title("Cycles leave when a fixed rate of equal area does; noise leaves first")
plt.show()

# %%
equal = escape(rising, 1e-6) / escape(level, 1e-6)
lab.claim(
    "escape: cycles over their mean rate (steps, ratio)", equal, within=(0.9, 1.1)
)

# %%
noisy = escape(level, 1e-6, noise=0.01) / escape(level, 1e-6)
lab.claim("escape: noise 0.01 over no noise (steps, ratio)", noisy, below=0.6)

# %%
print(
    "from y = 0 exactly:", escape(rising, 0.0), "with noise:", escape(level, 0.0, 0.01)
)

# %% [markdown]
# The cycles leave when their area has been spent, like the fixed rate; from the ridge itself no rate leaves, and any noise
# does. Minibatch gradients have that noise at every step. A larger rate is faster, of course; it need not rise and fall for that.

# %% [markdown]
# ## Folklore and pitfalls
#
# **Momentum against the rate.** Where the rate is high, let the momentum be low: torch's `CyclicLR` does it by default, from 0.9 at the
# bottoms to 0.8 at the tops; here it is `cycles.momentum()`. The effective rate is $\eta/(1-\mu)$, so with a lower momentum the peak may be higher. Does it help?

# %%
name = "five cycles"
with_momentum = lab.sweep(
    task,
    {name: cycles},
    2 * grid[2:7],
    seeds,
    momentum_schedules={name: cycles.momentum()},
    **settings,
)
moved, moved_peaks = with_momentum.judged()
gained = 100 * (judged[name] - moved[name])
print(
    f"peak {np.median(moved_peaks[name]):.3f} with cycled momentum, {peak:.3f} without"
)
lab.claim("gained by cycling the momentum (points)", gained, below=2.5)

# %% [markdown]
# The best peak moves up, as it should; the error does not go down. Chapter 7 asks again for one-cycle.
#
# **A pitfall: cycled momentum with Adam.** Adam's momentum is its $\beta_1$. `CyclicLR` used to refuse Adam unless
# `cycle_momentum=False`; today it takes it, and *overwrites* the $\beta_1$ that you chose:

# %% tags=["nbval-check-output"]
adam = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], betas=(0.95, 0.999))
trace = traced(lambda opt: schedulers.CyclicLR(opt, 1e-4, 1e-3, 50), adam, 200)
print("torch: chosen 0.95, applied", trace.momentum.min(), "to", trace.momentum.max())

adam = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], betas=(0.95, 0.999))
trace = traced(lambda opt: ScheduledLR(opt, Cyclical(0.1, 50)), adam, 200)
print("lrlib: chosen 0.95, applied", trace.momentum.min(), "to", trace.momentum.max())

# %% [markdown]
# Say `cycle_momentum=False` unless you mean it. With `ScheduledLR` the momentum moves only if you hand it a schedule, which
# is a factor on the value you chose.
#
# **A pitfall: stepped once per epoch.** `step_size_up` counts calls of `scheduler.step()`. Called
# at the end of each of this run's eight epochs, a cycle planned for 400 steps never gets off the ground:

# %%
optimizer = sgd(peak)
scheduler, trace = ScheduledLR(optimizer, cycles), LRTrace(optimizer)
for step in range(T):
    optimizer.step()
    if (step + 1) % 250 == 0:  # the end of an epoch: the wrong place
        scheduler.step()
print(f"planned {peak / 4:.3f} to {peak:.3f}, applied", end=" ")
print(f"{trace.lr.min():.4f} to {trace.lr.max():.4f}")
try:
    trace.assert_matches(cycles, peak)
except AssertionError as message:
    print(str(message).splitlines()[0])

# %% [markdown]
# **"Cycles need no tuning."** Their bounds can be read off one short run, and were good. They set a range; what you have to choose instead is the number of
# cycles. As on the quadratic, fewer are better: each rise undoes a fall.

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
# Which policy when? If you do not know how long you will train, cycles give you a usable network at every bottom, as
# restarts do. If you know, take one fall.
#
# ## Summary
#
# - A cycle rises and falls in straight lines between two bounds; *triangular2* halves its height each time, *exp_range* shrinks it with every step.
# - A run of four epochs with a rising rate gave bounds as good as those of a search over seven peaks.
# - Five cycles beat the best fixed rate. The same rates in falling order beat the cycles by more than
#   the cycles gain.
# - The quoted 25,000 against 70,000 steps had two drops by ten in it. Here the drops alone do better than with cycles.
# - The valley of good peaks is no wider with cycles than with a fixed rate.
# - At the tops test error and sharpness are higher than at the bottoms: end at a bottom.
# - A saddle is left after a given area under the rate, in any order; noise leaves it sooner. Cycling the momentum
#   gained nothing.
#
# If one rise costs less than five, how about a single cycle, with a peak far above what a fixed rate bears? That is
# the next chapter.
#
# ## Exercises
#
# In `exercises/06_cyclical/`.
#
# ## References
#
# - L. N. Smith (2017). *Cyclical learning rates for training neural networks.* WACV. (Sections 3.1 to 3.3; tables 1 to 4.)
# - Y. N. Dauphin, R. Pascanu, C. Gulcehre, K. Cho, S. Ganguli, Y. Bengio (2014). *Identifying and attacking the saddle
#   point problem in high-dimensional non-convex optimization.* NeurIPS.
