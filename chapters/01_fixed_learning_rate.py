# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 1 · The fixed learning rate
#
# **What you will see.** Why one number is asked to do two jobs that need different numbers; the rate
# at which gradient descent breaks, exact on a quadratic and several times off on a network; the floor
# that noise puts under the loss; what a schedule could win over the best fixed rate, measured; and two
# cases in which a fixed rate does better than its reputation.
#
# **What you will do.** Predict before you run, and check every statement against a cell that would
# fail if the statement were false.
#
# **What you need.** Gradient descent, some PyTorch, and about half a minute on two CPU cores. The
# environment variables `LRLIB_SEED` (another integer shifts every seed below), `LRLIB_SCALE` (more
# seeds and steps) and `LRLIB_DEVICE` change the run; no claim may depend on the first.

# %%
from dataclasses import replace

import lrlib
import matplotlib.pyplot as plt
import numpy as np
import torch
from lrlib import Constant, LRTrace, ScheduledLR, lab
from lrlib.lab import figures

figures.use_style()

# %% [markdown]
# ## Three rates, one network: one of them learns
#
# MNIST-1D (Greydanus and Kobak, 2024) has 4,000 short signals to train on, in ten classes. A network
# with two hidden layers of 100 units learns it slowly by SGD: the best fixed rate of this chapter still
# gets two test signals in five wrong after 2,000 steps. Below it is trained from the same initial
# weights, on the same batches of 16, with momentum 0.9, three times. Only the learning rate $\eta$
# differs.

# %%
task = lab.mnist1d_task()
fixed = {"constant": Constant()}
three = lab.sweep(
    task, fixed, [0.0003, 0.03, 0.6], lab.seeds(6), steps=400, batch_size=16
)

# %%
names = ["η = 0.0003", "η = 0.03", "η = 0.6"]
looks = [{"color": color} for color in figures.shades(3)]
runs = {names[i]: ("constant", i, looks[i]) for i in range(3)}

# %%
top, bottom = figures.loss_and_rate(three, runs, width=20)
for name, look, y in zip(names, looks, (2.06, 1.28, 2.62), strict=True):
    top.text(398, y, name, ha="right", fontweight="bold", **look)
figures.guessing(top, classes=10, name="")
top.set(
    ylim=(1.1, 3), title="Too small has hardly moved; too large has learned nothing"
)
bottom.set_yscale("log")
plt.show()

# %% [markdown]
# Lines are medians over six seeds of the mean over 20 steps, bands the 10th to 90th percentile. The
# lower panel shows the rate the optimizer applied; it is recorded at every step, in every experiment
# of this book. The dotted line is guessing: $\ln 10$ nats, the loss of a network that gives all ten
# classes the same probability.
#
# The failure at the top is quiet. No run became NaN. The loss sits a little *above* guessing, and
# later you will compute by how much.
#
# So there is a rate below which training crawls, and one above which it fails. On a quadratic the
# second can be computed exactly.

# %% [markdown]
# ## Where gradient descent breaks: $2/\lambda$
#
# > **Predict.** On the parabola $L(\theta) = \tfrac12 h\theta^2$ with curvature $h = 1$, gradient
# > descent starts at $\theta = 1$. At which of the rates 0.1, 1, 1.9, 2, 2.1 does it reach the
# > minimum fastest, and at which does it no longer reach it?
#
# One update of gradient descent is $\theta_{t+1} = \theta_t - \eta\, g_t$, where $t$ counts the
# updates already made, $g_t = \partial L/\partial\theta$ and $\eta$, the learning rate, carries
# the unit that makes $\eta\,g$ a step in $\theta$. On the parabola $g_t = h\theta_t$, so
#
# $$\theta_{t+1} = (1 - \eta h)\,\theta_t .$$
#
# Every step multiplies the distance to the minimum by the same number. The iterates shrink if and only
# if $|1-\eta h| < 1$, that is
#
# $$0 < \eta < \frac{2}{h}.$$


# %%
def descend(eta, h, theta, steps):
    """Gradient descent on ½hθ²: the path θ_0 … θ_steps."""
    path = [theta]
    for _ in range(steps):
        theta = theta - eta * (h * theta)
        path.append(theta)
    return np.array(path)


# %% tags=["nbval-check-output"]
for eta in (0.1, 1.0, 1.9, 1.99, 2.0, 2.01, 2.1):
    path = np.abs(descend(eta, h=1.0, theta=1.0, steps=200))
    print(f"η·h = {eta:4.2f}: |θ| {path[10]:.1e} at step 10, {path[200]:.1e} at 200")


# %% [markdown]
# $\eta = 1/h$ lands on the minimum in one step; at $2/h$ the iterate jumps from side to side for
# ever. Note how little warning there is: half a percent on either side of the limit, the distances
# differ by a fifth after ten steps, and by a factor of 55 after 200.
#
# Is this what PyTorch does? Here the same path is walked by `torch.optim.SGD`, once under a torch
# scheduler that holds the rate and once under `lrlib`'s `Constant`. A schedule in `lrlib` is a
# *shape*, a function from the step to a factor; the rate is the optimizer's own rate, the *peak*,
# times the factor. For `Constant()` the factor is 1 at every step.


# %%
def torch_path(make_scheduler, eta=0.3, steps=20):
    theta = torch.ones(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([theta], lr=eta)
    scheduler, trace = make_scheduler(optimizer), LRTrace(optimizer)
    path = [theta.item()]
    for _ in range(steps):
        optimizer.zero_grad()
        (0.5 * theta**2).sum().backward()
        optimizer.step()
        scheduler.step()
        path.append(theta.item())
    return np.array(path), trace


# %% tags=["nbval-check-output"]
by_hand = descend(0.3, 1.0, 1.0, 20)
by_torch, _ = torch_path(
    lambda opt: torch.optim.lr_scheduler.ConstantLR(opt, factor=1.0)
)
by_lrlib, trace = torch_path(lambda opt: ScheduledLR(opt, Constant()))
trace.assert_matches(Constant(), peak=0.3)
print("torch equals by hand:", np.allclose(by_torch, by_hand, rtol=1e-14))
print("lrlib equals torch, bit for bit:", np.array_equal(by_lrlib, by_torch))

# %% [markdown]
# With more than one parameter the parabola becomes $L = \tfrac12\theta^\top H\theta$. Along each
# eigenvector of the Hessian $H$ the iteration is the one above with that direction's eigenvalue, so
# the steepest direction, with the largest eigenvalue $\lambda$, sets the limit: $\eta < 2/\lambda$.
# With momentum $\mu$ in PyTorch's form, $v \leftarrow \mu v + g$ and $\theta \leftarrow \theta - \eta
# v$, it is $2(1+\mu)/\lambda$ (Polyak, 1964). `lrlib.stability_limit(λ, momentum)` returns it.
#
# To see that this is the limit and not just a bound, the next cells find the breaking rate of random
# quadratics by bisection: take many steps at a rate, look whether the distance grew. They know nothing
# of eigenvalues.
#
# `lab.claim` prints the result of a check: the sentence, the mean over seeds with its 95 % interval
# (Student's t; a geometric mean for `scale="ratio"`), what was wanted, the verdict. The *whole* interval
# must lie where it is wanted, or the cell raises. `lab.seeds(20, "other")` hands out 20 seeds that are
# used for nothing else.


# %%
def breaking_rate(hessian, momentum, steps=2**14):
    """The largest rate at which the distance does not grow, by bisection."""
    n = len(hessian)
    eye, start, low, high = np.eye(n), np.repeat([1.0, 0.0], n), 0.0, 100.0
    for _ in range(40):
        eta = (low + high) / 2
        step = [[eye - eta * hessian, -eta * momentum * eye], [hessian, momentum * eye]]
        end = np.linalg.matrix_power(np.block(step), steps) @ start
        grew = not np.isfinite(end).all() or np.linalg.norm(end[:n]) > np.sqrt(n)
        low, high = (low, eta) if grew else (eta, high)
    return low


# %%
def measured_over_predicted(momentum, seed):
    a = np.random.default_rng(seed).standard_normal((8, 5))
    limit = lrlib.stability_limit(np.linalg.eigvalsh(a.T @ a).max(), momentum)
    with np.errstate(all="ignore"):
        return breaking_rate(a.T @ a, momentum) / limit


# %%
for momentum in (0.0, 0.9):
    ratio = [measured_over_predicted(momentum, seed) for seed in lab.seeds(20, "other")]
    lab.claim(
        f"momentum {momentum}: breaking rate of a quadratic, measured over predicted",
        np.array(ratio),
        within=(0.999, 1.001),
    )

# %% [markdown]
# ## The steep direction sets the rate, the flat one waits
#
# A valley that is 25 times as steep across as along. The rate is given as a share of the limit.

# %%
valley = np.array([1.0, 25.0])
limit = lrlib.stability_limit(valley.max())
start = np.array([-9.0, 1.4])
grid_x, grid_y = np.meshgrid(np.linspace(-10, 3, 120), np.linspace(-2.2, 2.2, 120))
height = 0.5 * (valley[0] * grid_x**2 + valley[1] * grid_y**2)

# %%
fig, axes = plt.subplots(1, 4, figsize=(9.6, 2.9), sharex=True, sharey=True)
for ax, share in zip(axes, (0.05, 0.5, 0.96, 1.015), strict=True):
    path = np.array([(1 - share * limit * valley) ** t * start for t in range(31)])
    ax.contour(grid_x, grid_y, height, levels=[0.5, 3, 10, 25, 50], colors="0.8")
    ax.plot(*path.T, "o-", color="#0072B2", markersize=2.5, linewidth=1)
    ax.plot(0, 0, "k+", markersize=9)
    ax.set(xlim=(-10, 3), ylim=(-2.2, 2.2), xlabel="$θ_1$ (flat)")
    ax.set_title(f"η = {share:g} × limit", fontsize=10)
    ax.grid(False)
axes[0].set_ylabel("$θ_2$ (steep)")
title = "30 steps: below the limit, the wildest path gets furthest"
fig.suptitle(title, x=0.01, ha="left")
plt.show()

# %% [markdown]
# At half the limit the steep direction is solved in one step, and then nearly nothing happens. The
# zigzag at 0.96 of the limit ends closer to the minimum. Each step leaves the share
# $1-\eta h_{\min}$ of the distance along the flat direction, and the steep one keeps $\eta$ down. What
# counts is their ratio, the *condition number* $\kappa = h_{\max}/h_{\min}$: the slower of the two
# directions is fastest where both are equally slow, $1-\eta h_{\min} = \eta h_{\max} - 1$, at $\eta =
# 2/(h_{\max}+h_{\min})$. Even there the valley takes about $\tfrac\kappa2\ln\tfrac1\varepsilon$ steps
# to shrink every distance to $\varepsilon$. Do the steps bear that out?


# %% tags=["nbval-check-output"]
def fewest_steps(kappa, share=1e-6):
    """Fewest steps that shrink both distances to `share`, over a grid of rates."""
    etas = np.linspace(0.2, 1.999, 4001) / kappa  # the curvatures are kappa and 1
    slower = np.maximum(abs(1 - etas * kappa), abs(1 - etas))
    return int(np.ceil(np.log(share) / np.log(slower.min())))


for kappa in (3, 10, 30, 100, 1000):
    formula = kappa / 2 * np.log(1e6)
    print(f"κ = {kappa:5d}: {fewest_steps(kappa):6d} steps, formula {formula:7.0f}")

# %% [markdown]
# That is the first job of the learning rate: to be as large as the steepest direction allows, because
# every flatter one is waiting. Without noise it would be the only job.

# %% [markdown]
# ## Noise puts a floor under the loss, proportional to the rate
#
# A batch gives a noisy gradient: $g = h\theta + \varepsilon$, with $\operatorname{Var}\varepsilon =
# c/B$ for a batch of $B$ examples, $c$ being the variance of a single example's gradient. One update
# changes the mean square distance $e = \mathbb E\theta^2$ (with $\mathbb E\varepsilon = 0$, and noise that does not depend on $\theta$) by
#
# $$e_{t+1} = (1-\eta h)^2\, e_t + \eta^2 \frac cB ,$$
#
# a contraction that needs $\eta$ large, and a disturbance that wants it small. Where they balance,
# $e_{t+1} = e_t$, progress ends, at $e_\infty = \eta c / (Bh(2-\eta h))$. Multiply by $h/2$ to get the
# loss and the curvature cancels: a flat direction sits as high as a steep one, it only takes longer to
# get there. Summed over all directions $i$,
#
# $$L_\infty = \frac12\sum_i \frac{\eta\, c_i}{B\,(2-\eta h_i)} .$$
#
# For small $\eta$ that is $\tfrac{\eta}{4B}\sum_i c_i$, proportional to $\eta/B$. (Momentum multiplies
# both floor and speed by about $1/(1-\mu)$: a rate of 0.02 with momentum 0.9 acts much like 0.2
# without.) `lrlib.noise_floor` computes it, and `lab.NoisyQuadratic` follows the whole recursion, for any sequence of rates, without sampling. Its
# default has 100 directions with curvatures $1, \tfrac12, \tfrac13, \dots$ and gradient variance
# $c_i = h_i$, a spectrum that imitates a network's (Zhang et al., 2019), starting from
# $\mathbb E\theta_i^2 = 1$ in each.

# %%
quadratic = lab.NoisyQuadratic()
rates = [0.04, 0.2, 1.0]
T = 3000
exact = quadratic.loss(np.outer(rates, np.ones(T)))
sampled = [quadratic.sample(np.full(T, eta), 40, seed=lab.seeds(1)[0]) for eta in rates]

# %%
fig, ax = plt.subplots()
t = np.unique(np.geomspace(1, T, 150).astype(int))
for i, color in enumerate(figures.shades(3)):
    figures.band(ax, t, sampled[i][:, t], color=color, linewidth=0.8)
    ax.plot(t, exact[i, t], color=color, linewidth=2.4)
    ax.axhline(quadratic.noise_floor(rates[i]), color=color, linewidth=1, linestyle=":")
    x, y = [(1, 0.055), (1, 0.285), (200, 3.2)][i]
    ax.text(x, y, f"η = {rates[i]:g}", color=color, fontweight="bold")
ax.set(xscale="log", yscale="log", xlabel="step", ylabel="loss")
ax.set_title("A larger rate reaches its floor sooner, and the floor is higher")
plt.show()

# %% [markdown]
# Thick lines are exact expectations; bands and thin lines are percentiles and median of 40 simulated
# runs (the median lies below the mean: at any step a few runs happen to be far out, never the same
# for long); dotted lines are the floors. The smallest rate has not arrived after 3,000 steps.

# %%
fig, ax = plt.subplots(figsize=(7.6, 3.4))
etas = np.geomspace(0.005, 1.99, 200)
for batch, color in zip((1, 8, 64), figures.shades(3), strict=True):
    problem = lab.NoisyQuadratic(batch_size=batch)
    floors = [problem.noise_floor(eta) for eta in etas]
    ax.plot(etas, floors, color=color)
    name = f"B = {batch} "
    ax.text(0.06, 1.3 * floors[80], name, ha="right", color=color, fontweight="bold")
ax.axvline(2, color="0.5", linewidth=1, linestyle=":")
ax.text(1.85, 3e-4, "2/λ", ha="right", color="0.4")
ax.set(xscale="log", yscale="log", xlabel="learning rate", ylabel="floor of the loss")
ax.set_title("The floor is proportional to η/B, until the limit is near")
plt.show()


# %%
def settled(eta, batch_size, seed):
    """Mean loss of 16 simulated runs, over their last 800 steps."""
    problem = lab.NoisyQuadratic(batch_size=batch_size)
    return problem.sample(np.full(2000, eta), 16, seed)[:, 1200:].mean()


# %%
at_rest = {
    setting: np.array([settled(*setting, seed) for seed in lab.seeds(6)])
    for setting in ((0.2, 1), (0.4, 1), (0.2, 8))
}

# %%
lab.claim(
    "simulated runs settle at the predicted floor (measured over predicted)",
    at_rest[0.2, 1] / quadratic.noise_floor(0.2),
    within=(0.95, 1.05),
)

# %%
doubled = at_rest[0.4, 1] / at_rest[0.2, 1]
lab.claim("at twice the rate they settle about twice as high", doubled, within=(2, 2.2))

# %%
divided = at_rest[0.2, 1] / at_rest[0.2, 8]
lab.claim("with 8 times the batch, 8 times as low", divided, within=(7.5, 8.5))

# %% [markdown]
# For the networks below, an interval over seeds covers initial weights and batches. The data and the
# test set stay the same, so it does not say what another test set would give.

# %% [markdown]
# ## 100 steps and 2,000 steps want different rates
#
# > **Predict.** The network of the opening is trained at thirteen fixed rates, 2,000 steps each. One rate
# > gives the lowest loss after 100 steps, one after 2,000. Are they the same? If not, which is
# > larger, and by how much?
#
# On the noisy quadratic the answer is exact. For every length of run there is a best fixed rate:

# %% tags=["nbval-check-output"]
for steps in (10, 30, 100, 300, 1000, 2000, 3000):
    eta, loss = quadratic.tune(Constant(), steps)
    print(f"{steps:5d} steps: best fixed rate {eta:.3f}, final loss {loss:.3f}")

# %% [markdown]
# From 10 steps to 3,000 the best rate falls to a tenth: after 10 steps most of the loss is distance,
# after 3,000 it is floor. Now the network, with momentum 0.9 as in all later chapters. A grid of
# rates, each with paired seeds, is trained as one stack of models by `lab.sweep`.

# %%
rates = 0.25 * 2.0 ** (np.arange(-12, 1) / 2)
horizons = [100, lab.steps(2000)]
wide = lab.sweep(
    task,
    fixed,
    rates,
    lab.seeds(10),
    steps=horizons[-1],
    batch_size=16,
    eval_steps=horizons,
    evaluate=("train", "test"),
)

# %% [markdown]
# A result has the axes shape, rate, seed; there is one shape here, so `wide.at("train_loss", 100)[0]`
# holds the loss on the training set after 100 steps, one row for each rate, one column for each seed.

# %%
fig, ax = plt.subplots()
for steps, color in zip(horizons, figures.shades(2), strict=True):
    loss = wide.at("train_loss", steps)[0]
    figures.valley(ax, rates, loss, f"{steps:,} steps: ", color=color)
figures.guessing(ax, classes=10)
ax.set(ylabel="loss on the training set (nats)", ylim=(0.45, 2.6))
ax.set_title("The rate that is best after 2,000 steps is smaller than after 100")
plt.show()

# %%
short, long = (wide.at("train_loss", steps)[0] for steps in horizons)
ratio = rates[short.argmin(0)] / rates[long.argmin(0)]
lab.claim(
    f"the best rate for 100 steps is larger than the best for {horizons[1]:,} (ratio)",
    ratio,
    above=1,
    scale="ratio",
)


# %%
def chosen_by(loss, seed):
    """The rate that is best on average over all seeds but this one."""
    return np.delete(loss, seed, axis=1).mean(1).argmin()


cost = [
    long[chosen_by(short, k), k] / long[chosen_by(long, k), k]
    for k in range(long.shape[1])
]
lab.claim(
    f"to choose the rate by 100 steps costs loss after {horizons[1]:,} (ratio)",
    np.array(cost),
    above=1,
    scale="ratio",
)

# %% [markdown]
# The last claim chooses each seed's two rates on the *other* seeds. Choosing and judging on the same
# runs would flatter the choice, most of all where the curve is flat and the winner is luck.

# %%
seeds = range(long.shape[1])
best = np.array([chosen_by(long, k) for k in seeds])
for name, away in (("small", -4), ("large", 4)):
    gap = long[best + away, seeds] - long[best, seeds]
    lab.claim(f"a rate 4 times too {name} costs loss (nats)", gap, above=0.1)

# %%
gain = short - long  # from 100 steps to the end
lab.claim("what the later steps gain at the smallest rate (nats)", gain[0], above=0.5)

# %%
lab.claim("what they gain at η = 0.177 (nats)", gain[-2], below=0.1)

# %% [markdown]
# The best rates lie about a factor of two apart, less than on the quadratic (4.5 between 100 and 2,000
# steps). Compare the walls of the two curves. The left one moves as training goes on, because a small
# rate only needs time. The right one does not give way: at its end, 1,900 more steps gain nothing.
#
# ### The same U in a test error
#
# Training loss is what the optimizer sees; you care about data it has not seen. The next data set is
# handwritten digits, with 30 % of the *training* labels wrong. The test labels are right.

# %%
noisy_digits = lab.digits_task(label_noise=0.3, seed=lab.seed_offset())
digit_rates = 0.3 * 2.0 ** np.arange(-10, 3)
digits = lab.sweep(
    noisy_digits, fixed, digit_rates, lab.seeds(8), steps=1000, batch_size=16
)

# %%
fig, ax = plt.subplots(figsize=(7.6, 3.4))
error = 100 * digits.at("test_error")[0]
figures.valley(ax, digit_rates, error, color="black")
ax.set(yscale="log", ylabel="test error (%)", ylim=(4, 110))
ax.set_yticks([5, 10, 20, 50, 90], labels=["5", "10", "20", "50", "90"])
ax.minorticks_off()
ax.set_title("With wrong labels, the test error has a best rate, too")
plt.show()

# %%
small, middle, large = (error[i] for i in (2, 6, 9))
lab.claim("test error at η = 0.15 less that at 0.019 (points)", large - middle, above=5)

# %%
lab.claim(
    "test error at η = 0.0012 less that at 0.019 (points)", small - middle, above=5
)

# %% [markdown]
# Those are the walls. On the floor, four of the rates stand side by side; here are their paired
# differences from 0.019.

# %%
for i in (4, 5, 7):
    gap = error[i] - error[6]
    spread = 2.36 * gap.std(ddof=1) / np.sqrt(gap.size)  # Student's t, 8 seeds
    print(f"η = {digit_rates[i]:.4f}: {gap.mean():+.1f} points, ± {spread:.1f}")

# %% [markdown]
# An interval that contains zero is a tie: eight seeds and 400 test digits do not tell those two rates
# apart. Where the curve is this flat, a tuned rate is a region and not a number.

# %% [markdown]
# ## What a schedule could win
#
# If a large rate is right early and a small one late, then the best fixed rate is a compromise.
# How bad a compromise can be computed on the noisy quadratic. `quadratic.optimal` looks for the best
# of all sequences of rates (by coordinate descent from several starts, each rate at most $2/\lambda$).
# There is no proof that none is better, so the gap below is a lower bound.

# %%
T = 300
best_eta, best_loss = quadratic.tune(Constant(), T)
optimum = quadratic.optimal(T)
curves = {
    "best fixed rate": (np.full(T, best_eta), figures.look("constant")),
    "best schedule found": (optimum.rates, figures.look("optimal")),
}

# %%
fig, (top, bottom) = plt.subplots(
    2, 1, sharex=True, height_ratios=(3, 2), figsize=(7.6, 4.8)
)
for etas, line in curves.values():
    top.plot(quadratic.loss(etas), **line)
    bottom.plot(etas, **line)
top.set(yscale="log", ylabel="expected loss")
top.set_yticks([0.2, 0.5, 1, 2], labels=["0.2", "0.5", "1", "2"])
top.minorticks_off()
top.text(210, 0.47, "best fixed rate", color="black")
top.text(205, 0.22, "best schedule found", color="0.4", ha="right")
bottom.set(xlabel="step", ylabel="learning rate", yscale="log")
top.set_title("The best schedule is behind at first, and far ahead at the end")
plt.show()

# %%
lab.claim(
    "the best fixed rate ends above the best schedule found (ratio of losses)",
    best_loss / optimum.loss,
    above=1.5,
)

# %% [markdown]
# Look where the curves cross. For about a third of the run the better schedule has the *higher*
# loss: it takes larger steps than the fixed rate would, which adds noise, and gets rid of that
# noise later. A schedule must be judged at its end.
#
# Does the network know about this? The simplest schedule with a second number in it holds the rate
# for 80 % of the run and then divides it by ten: `Constant(total_iters=1600).then(Constant(0.1))`.
# Both shapes get their peak from the same grid, on the same four tuning seeds, by validation error;
# they are compared on eight other seeds.

# %%
steps = lab.steps(2000)
shapes = {
    "constant": Constant(),
    "step": Constant(total_iters=int(0.8 * steps)).then(Constant(0.1)),
}
grid = 0.01 * 2.0 ** np.arange(-1, 4)
tuning = lab.sweep(task, shapes, grid, lab.seeds(4, "tune"), steps=steps, batch_size=16)
peaks = tuning.best_peaks("val_error")
peaks

# %%
drop = int(0.8 * steps)
judged = lab.sweep(
    task,
    shapes,
    peaks,
    lab.seeds(8),
    steps=steps,
    batch_size=16,
    eval_steps=[drop, drop + 100, steps],
    evaluate=("train", "test"),
)

# %%
runs = {
    "fixed rate": ("constant", 0, figures.look("constant")),
    "one drop": ("step", 0, figures.look("step")),
}
top, bottom = figures.loss_and_rate(judged, runs, width=20)
bottom.set_ylim(bottom=0)
top.legend()
top.set_title("One drop by ten: the loss falls within 100 steps and stays below")
plt.show()

# %%
fixed_error, drop_error = 100 * judged.at("test_error")[:, 0]
print(f"fixed rate {fixed_error.mean():.1f} %, one drop {drop_error.mean():.1f} %")
lab.claim(
    "one drop beats the best fixed rate, tuned alike (points of test error)",
    fixed_error - drop_error,
    above=1.5,
)

# %%
fixed_loss, drop_loss = judged.at("train_loss")[:, 0]
ratio = fixed_loss / drop_loss
lab.claim("its training loss is lower (ratio)", ratio, above=1.1, scale="ratio")

# %%
at_drop, later = (judged.at("train_loss", t)[:, 0] for t in (drop, drop + 100))
for name, ratio in zip(runs, later / at_drop, strict=True):
    print(f"{name}: training-set loss times {ratio.mean():.2f} in these 100 steps")
lab.claim(
    "the loss falls within 100 steps of the drop (after over before)",
    later[1] / at_drop[1],
    below=0.9,
    scale="ratio",
)

# %% [markdown]
# (The curves are means over 20 steps.) The fall is measured on the whole training set, because the
# curves have stairs: they show the loss on batches, 250 steps see all 4,000 examples once, and what a
# batch holds was last seen 125 steps ago on average at the start of an epoch, 375 at its end.
#
# Does the quadratic do the same?

# %%
shape = Constant(total_iters=1600).then(Constant(0.1))
peak, _ = quadratic.tune(shape, 2000)
loss = quadratic.loss(peak * shape.sample(2000))
floor = quadratic.noise_floor(peak / 10)
for name, value in (("100 steps", loss[1700]), ("end", loss[2000]), ("floor", floor)):
    print(f"{name:9}: {value / loss[1600]:.2f} times the loss at the drop")

# %% [markdown]
# Nearly the same fall, and it can be taken apart: the steep directions shed their noise at once, the
# flat ones do not before the run ends. Whether that is all that happens on a network is where the next
# chapter starts. In this run the second shape was tuned to twice the fixed rate (lower panel): once
# noise is taken care of at the end, the beginning can afford a larger step.

# %% [markdown]
# ## Full-batch gradient descent drives a network to its own limit
#
# The limit $2/\lambda$ was derived for a loss whose curvature does not change. A network's curvature
# changes as it trains. Its largest Hessian eigenvalue, the *sharpness*, can be measured without
# forming the Hessian: `lrlib.largest_hessian_eigenvalue` multiplies it with vectors (by
# the Lanczos method), each product costing about one backward pass (Pearlmutter, 1994).
#
# > **Predict.** A small tanh network is trained by gradient descent on the full batch, without
# > momentum, so there is no noise. At the start its sharpness is below $2/\eta$ for all three rates.
# > Will it stay there? And if it reaches $2/\eta$, will training diverge?

# %%
data = lab.load_mnist1d()
data = replace(data, train_x=data.train_x[:256], train_y=data.train_y[:256])
tanh_task = lab.Task(
    data, lambda: lab.mlp(40, 64, 64, 10, activation="tanh"), lab.squared_error
)
edge_rates = [0.05, 0.2, 0.4]
checkpoints = list(range(0, 1501, 100))
edge = lab.sweep(
    tanh_task,
    fixed,
    edge_rates,
    lab.seeds(4),
    steps=1500,
    batch_size=None,
    momentum=0.0,
    eval_steps=checkpoints,
    evaluate=("train",),
    keep_states=True,
)


# %%
def sharpness(eta, seed):
    """The largest Hessian eigenvalue at every checkpoint of one run."""
    values, vector = [], None
    for step in checkpoints:
        model = edge.model("constant", eta, seed, step)
        value, vector = lrlib.largest_hessian_eigenvalue(
            lambda model=model: lab.squared_error(model(data.train_x), data.train_y),
            model.parameters(),
            start=vector,
            tol=0.02,
        )
        values.append(value)
    return values


sharp = np.array([[sharpness(eta, seed) for seed in edge.seeds] for eta in edge_rates])

# %%
fig, ax = plt.subplots(figsize=(7.6, 3.6))
places = ((1020, 6.4), (330, 12.8), (520, 3.9))
for i, (place, color) in enumerate(zip(places, figures.shades(3), strict=True)):
    figures.band(ax, checkpoints, sharp[i], color=color, interval=(0, 100))
    ax.axhline(2 / edge_rates[i], color=color, linewidth=1, linestyle=":")
    ax.text(*place, f"η = {edge_rates[i]:g}", color=color, fontweight="bold")
ax.set(xlabel="step", ylabel="largest eigenvalue λ", yscale="log", ylim=(2.6, 50))
ax.set_yticks([5, 10, 40], labels=["2/0.4 = 5", "2/0.2 = 10", "2/0.05 = 40"])
ax.minorticks_off()
ax.set_title("Sharpness climbs until 2/η stops it")
plt.show()

# %% [markdown]
# Medians and full range over four seeds; dotted: $2/\eta$. At $\eta = 0.05$ it has not got there yet.

# %%
fig, ax = plt.subplots(figsize=(7.6, 3.2))
for i, color in enumerate(figures.shades(3)):
    loss = edge.train_loss[0, i]
    figures.band(ax, np.arange(1500), loss, color=color, interval=(0, 100), linewidth=1)
    end = np.median(loss[:, -40:])
    figures.name_line(ax, 1500, end, f"η = {edge_rates[i]:g}", color=color)
ax.set(xlabel="step", ylabel="training loss", yscale="log", xlim=(0, 1680))
ax.set_xticks(range(0, 1501, 250))
ax.set_title("The loss keeps falling all the same, in bumps")
plt.show()

# %%
late = np.array(checkpoints) >= 1000
for i in (1, 2):
    ratio = sharp[i][:, late].mean(-1) * edge_rates[i] / 2
    lab.claim(
        f"η = {edge_rates[i]}: late sharpness over 2/η", ratio, within=(0.98, 1.1)
    )

# %%
share = sharp[0].max(-1) * edge_rates[0] / 2
lab.claim("at η = 0.05 sharpness stays below 2/η (share of it)", share, below=0.8)

# %%
losses = edge.train_loss[0, 2]
still = losses[:, 1000:].mean(-1) / losses[:, 500:1000].mean(-1)
lab.claim(
    "at η = 0.4, beyond the limit, the loss still falls (last third over second)",
    still,
    below=0.8,
    scale="ratio",
)

# %% [markdown]
# The curvature grows until the limit is reached, and then the limit holds the curvature down. On a
# quadratic $\eta > 2/\lambda$ is the end. Here the iterate is thrown along the sharp direction, and the
# loss's third derivative turns that motion into a step towards flatter ground (Damian, Nichani and Lee,
# 2023, derive it); the loss bumps, and training goes on.

# %%
rises = (np.diff(edge.train_loss[0], axis=-1) > 0).mean(-1)
for eta, share in zip(edge_rates, rises, strict=True):
    print(f"η = {eta}: the full-batch loss rises at {share.mean():.0%} of the steps")
lab.claim("share of steps at which the loss rises, η = 0.4", rises[2], above=0.2)

# %% [markdown]
# **Beside the paper.** Cohen et al. (2021) report for full-batch gradient descent, over many
# architectures, that the sharpness hovers just above $2/\eta$, while the loss falls, but not at every
# step. Both are what the claims above find. (The Lanczos method stopped at two per cent and
# never overestimates, so the true ratios are a little larger.) What differs here: 256 examples, a network of
# 7,434 parameters, squared error alone, four seeds, one architecture.
#
# So $2/\lambda$ is not a wall you compute once. It is a thermostat, and the rate you set decides at
# which curvature this network will live.

# %% [markdown]
# ## With larger batches, a rate that failed works
#
# The network of the opening fails at $\eta = 0.25$ with batches of 16. If that were the curvature's
# doing, larger batches would not help. If it is noise, they must:

# %%
at_quarter = {
    batch: lab.sweep(
        task,
        fixed,
        [0.25],
        lab.seeds(8),
        steps=400,
        batch_size=batch,
        evaluate=("train",),
    ).at("train_loss")[0, 0]
    for batch in (16, 64, 256)
}
for batch, loss in at_quarter.items():
    print(f"η = 0.25, B = {batch:3d}: training loss {loss.mean():.2f} after 400 steps")

# %%
lab.claim("at η = 0.25 batches of 16 learn nothing (nats)", at_quarter[16], above=2.2)

# %%
lab.claim("at η = 0.25 batches of 256 learn (nats)", at_quarter[256], below=0.6)

# %% [markdown]
# The comparison gives each batch size the same number of steps, not of examples; it says which rates
# work, not which batch is economical. That is the subject of the chapter on batch-size scaling.

# %% [markdown]
# ## Without noise at the minimum, a fixed rate converges
#
# "SGD with a fixed rate never converges, it only reaches a neighbourhood" is true where the
# gradient noise at the minimum is not zero. If a model with a squared loss can fit every example
# exactly, every single example's gradient is zero there, and the noise dies out on the way (Ma, Bassily
# and Belkin, 2018).
#
# Two linear regressions in 50 dimensions, one example per step, the same rate, the same noise in the
# targets. With 30 examples all can be fitted; with 200 they cannot.


# %%
def regression(examples, seed, steps=6000, dims=50, eta=0.01):
    """Training loss above the best possible, while SGD runs on single examples."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((examples, dims))
    y = x @ rng.standard_normal(dims) / np.sqrt(dims) + 0.5 * rng.standard_normal(
        examples
    )
    best = np.mean((x @ np.linalg.lstsq(x, y, rcond=None)[0] - y) ** 2) / 2
    theta, excess = np.zeros(dims), []
    for step in range(steps):
        i = rng.integers(examples)
        theta -= eta * (x[i] @ theta - y[i]) * x[i]
        if step % 60 == 59:
            excess.append(np.mean((x @ theta - y) ** 2) / 2 - best)
    return np.array(excess)


# %%
fits = np.array([regression(30, seed) for seed in lab.seeds(12)])
cannot = np.array([regression(200, seed) for seed in lab.seeds(12)])

# %%
fig, ax = plt.subplots(figsize=(7.6, 3.5))
at = np.arange(60, 6001, 60)
figures.band(ax, at, fits, color="#0072B2", interval=(0, 100))
figures.band(ax, at, cannot, color="#D55E00", interval=(0, 100), linestyle="--")
ax.text(250, 1e-6, "30 examples: every one can be fitted", color="#0072B2")
ax.text(1900, 0.1, "200 examples: they contradict each other", color="#D55E00")
ax.set(xlabel="step", ylabel="loss above the minimum", yscale="log", ylim=(1e-11, 5))
ax.set_title("The same fixed rate converges where the model interpolates")
plt.show()

# %%
lab.claim(
    "interpolating: the excess loss goes on falling (end over middle of the run)",
    fits[:, -1] / fits[:, 49],
    below=0.1,
    scale="ratio",
)

# %%
lab.claim(
    "not interpolating: the excess loss stays (end over middle of the run)",
    cannot[:, -20:].mean(-1) / cannot[:, 30:50].mean(-1),
    within=(0.7, 1.4),
    scale="ratio",
)

# %% [markdown]
# Lines are medians, bands the full range over twelve seeds. A network that fits all its training data
# is of the first kind; the one above, with a training loss of 0.5 nats and more after 2,000 steps, is
# far from it.

# %% [markdown]
# ## Folklore and pitfalls
#
# **"If the loss is not NaN, the rate is not too large."** Count what the three largest rates
# of the wide sweep did:

# %%
for eta, losses in zip(rates[-3:], long[-3:], strict=True):
    lost, nan = (losses > 2.2).sum(), np.isnan(losses).sum()
    print(
        f"η = {eta:.3f}: {lost:2d} of {losses.size} runs end near guessing, {nan} NaN"
    )

# %% [markdown]
# These networks are dead: nothing but the output biases still moves. That can be checked by
# computation. At equal probabilities the softmax over ten classes has curvature 0.1 in nine directions,
# and gradients of variance 0.1; so the floor of the biases alone is known, and the loss should lie by
# that much above $\ln 10$. (The same formula gives 2.39 for the rate 0.6 of the opening.)

# %%
floor = lrlib.noise_floor(rates[-1], [0.1] * 9, [0.1] * 9, batch_size=16, momentum=0.9)
print(f"predicted for η = {rates[-1]}: {np.log(10) + floor:.3f} nats")
lab.claim(
    "loss of the largest rate less the prediction for dead networks (nats)",
    long[-1] - (np.log(10) + floor),
    within=(-0.03, 0.03),
)

# %% [markdown]
# Compare a loss with $\ln(\text{classes})$, not with NaN.
#
# **"The best rate is just below the one at which training fails."** Here is the largest rate that ends
# below 2.2 nats, over the best rate:


# %%
def headroom(loss):
    """The largest usable rate over the best one, for each seed."""
    usable = [rates[np.flatnonzero(column < 2.2).max()] for column in loss.T]
    return usable / rates[loss.argmin(0)]


print(f"after 100 steps: {headroom(short).mean():.1f} on average")
lab.claim(
    f"the largest usable rate over the best one, {horizons[1]:,} steps",
    headroom(long),
    above=2,
    scale="ratio",
)

# %% [markdown]
# A rate found by "raise it until it fails, then take a little less" is several times too large for
# this run.

# %% [markdown]
# **A pitfall: `reduction="sum"`.** All limits above are for the mean over the batch. A summed loss
# has $B$ times the gradient and $B$ times the curvature, so the same rate is $B$ times as large:

# %%
model = task.model(lab.seeds(1)[0])
x, y = task.data.train_x[:64], task.data.train_y[:64]
for reduction in ("mean", "sum"):
    loss = torch.nn.CrossEntropyLoss(reduction=reduction)
    value, _ = lrlib.largest_hessian_eigenvalue(
        lambda loss=loss: loss(model(x), y), model.parameters(), tol=0.02
    )
    print(f"reduction={reduction!r:6}: λ = {value:7.2f}, limit 2/λ = {2 / value:.3f}")

# %% [markdown]
# Change the batch size of such a run and you have changed its learning rate without touching it.

# %% [markdown]
# ## In your own code
#
# Plain PyTorch holds the rate you give the optimizer; there is nothing to add. What is worth adding
# is a record of what was applied, and, once, a look at how far the rate is from the limit:

# %%
torch.manual_seed(lab.seed_offset())
model = lab.mlp(40, 100, 100, 10)
x, y = task.data.split("train")
loss_fn = torch.nn.CrossEntropyLoss()

# %%
optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
scheduler = ScheduledLR(optimizer, Constant())  # any other shape goes here later
trace = LRTrace(optimizer)

for batch in lab.batches(seed=0, n=len(x), steps=100, batch_size=16):
    optimizer.zero_grad()
    loss_fn(model(x[batch]), y[batch]).backward()
    optimizer.step()
    scheduler.step()

trace.assert_matches(Constant(), peak=0.02)

# %%
value, _ = lrlib.largest_hessian_eigenvalue(
    lambda: loss_fn(model(x[:512]), y[:512]), model.parameters(), tol=0.02
)
limit = lrlib.stability_limit(value, momentum=0.9)
print(f"after {len(trace)} steps λ = {value:.1f}, so 2(1 + μ)/λ = {limit:.2f}")

# %% [markdown]
# That lies far above 0.25, at which the same network failed with batches of 16 and trained with batches
# of 256. The formula speaks of the full batch, of this point and of small steps around it. Take it as an
# upper bound for a search, not as a setting.

# %% [markdown]
# Save `scheduler.state_dict()` beside the optimizer's. Its content is a counter and the base rates:

# %%
scheduler.state_dict()

# %% [markdown]
# ## Summary
#
# - On a quadratic, gradient descent converges if and only if $\eta < 2/\lambda$, with momentum
#   $2(1+\mu)/\lambda$. The steepest direction sets the rate, the flattest one sets the time.
# - Noise puts a floor under the loss, $\approx \tfrac{\eta}{4B}\sum_i c_i$ for small rates.
# - Hence two jobs for one number: large while there is far to go, small when only the floor is left.
#   On the noisy quadratic the best fixed rate ends at 1.65 times the loss of the best schedule found
#   (300 steps); on the network, one drop at 80 % of the run lowered the test error of an equally tuned
#   fixed rate by about six points.
# - Two corrections to folklore: full-batch gradient descent on a small network did not diverge at
#   $2/\lambda$, its sharpness stayed at $2/\eta$ instead; and a fixed rate does converge where the model
#   fits every example.
# - A rate that is too large need not announce itself as NaN.
#
# ## Exercises
#
# In `exercises/01_fixed_learning_rate/`, with feedback that names the likely mistake:
#
# 1. the stability limit of a matrix, with momentum;
# 2. the largest rate that respects a noise budget;
# 3. the best rate of a sweep in which some runs diverged;
# 4. what is wrong with this comparison of two rates?
# 5. open: beat the best fixed rate with a handful of constants, scored against the optimum.
#
# ## References
#
# - J. M. Cohen, S. Kaur, Y. Li, J. Z. Kolter, A. Talwalkar (2021). *Gradient descent on neural
#   networks typically occurs at the edge of stability.* ICLR. Figure 1.
# - A. Damian, E. Nichani, J. D. Lee (2023). *Self-stabilization: the implicit bias of gradient descent
#   at the edge of stability.* ICLR.
# - S. Greydanus, D. Kobak (2024). *Scaling down deep learning with MNIST-1D.* ICML.
# - S. Ma, R. Bassily, M. Belkin (2018). *The power of interpolation: understanding the effectiveness
#   of SGD in modern over-parametrized learning.* ICML.
# - B. A. Pearlmutter (1994). *Fast exact multiplication by the Hessian.* Neural Computation 6(1).
# - B. T. Polyak (1964). *Some methods of speeding up the convergence of iteration methods.* USSR
#   Computational Mathematics and Mathematical Physics 4(5).
# - G. Zhang, L. Li, Z. Nado, J. Martens, S. Sachdeva, G. Dahl, C. Shallue, R. Grosse (2019). *Which
#   algorithmic choices matter at which batch sizes? Insights from a noisy quadratic model.* NeurIPS.
