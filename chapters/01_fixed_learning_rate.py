# %% [markdown]
# # 1 · The fixed learning rate
#
# **What you will see.** Why one number is asked to do two jobs that need different numbers; the rate
# at which gradient descent breaks, exact on a quadratic and several times off on a network; the floor
# that noise puts under the loss; what a schedule could win over the best fixed rate, measured; and two
# cases in which a fixed rate does better than its reputation.
#
# **What you will do.** Predict before you run, and hold every statement against the cell that measures
# it; what the argument rests on is a claim, whose cell fails if the numbers do not bear it out.
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
# MNIST-1D (Greydanus and Kobak, 2024) is a set of short signals in ten classes. In this book every seed
# draws 4,000 of its own to train on; all are judged on the same 10,000. A network
# with two hidden layers of 100 units learns it slowly by SGD: the best fixed rate of this chapter still
# gets two test signals in five wrong after 2,000 steps. Below it is trained from the same initial
# weights, on the same batches of 16, with momentum 0.9, three times. Only the learning rate $\eta$
# differs.

# %%
task = lab.mnist1d_task()
fixed = {"constant": Constant()}
three = lab.sweep(
    task,
    fixed,
    [0.0003, 0.03, 0.6],
    lab.seeds(11),
    steps=400,
    batch_size=16,
    evaluate=(),
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
    ylim=(1.1, 3.8), title="Too small has hardly moved; too large has learned nothing"
)
bottom.set_yscale("log")
plt.show()

# %% [markdown]
# Lines are medians over eleven seeds of the mean over 20 steps, bands the 10th to 90th percentile. The
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
# Here are five directions at once, one per cent on either side of that limit:


# %% tags=["nbval-check-output"]
def distance(hessian, eta, momentum, steps=1000):
    """Distance to the minimum after `steps` of heavy-ball gradient descent."""
    theta, v = np.ones(len(hessian)), np.zeros(len(hessian))
    for _ in range(steps):
        v = momentum * v + hessian @ theta
        theta = theta - eta * v
    return np.linalg.norm(theta)


a = np.random.default_rng(0).standard_normal((8, 5))
hessian = a.T @ a
for momentum in (0.0, 0.9):
    limit = lrlib.stability_limit(np.linalg.eigvalsh(hessian).max(), momentum)
    below, above = (distance(hessian, r * limit, momentum) for r in (0.99, 1.01))
    print(f"momentum {momentum}: {below:.0e} below the limit, {above:.0e} above it")

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
lab.claims(
    [
        lab.claim(
            "simulated runs settle at the predicted floor: measured over predicted",
            at_rest[0.2, 1] / quadratic.noise_floor(0.2),
            no_difference=lab.MARGINS["quadratic"],
            scale="ratio",
        ),
        lab.measure(
            "floor at twice the rate, over that at the rate",
            at_rest[0.4, 1] / at_rest[0.2, 1],
            scale="ratio",
        ),
        lab.measure(
            "floor of a batch of 1, over that of a batch of 8",
            at_rest[0.2, 1] / at_rest[0.2, 8],
            scale="ratio",
        ),
    ]
)

# %% [markdown]
# Every section that measures something ends in such a table. A *measurement* is an estimate with its
# 95 % interval over seeds (Student's t, or a bootstrap that contains the tuning; a geometric mean
# where it is of ratios). A *claim* says beforehand where the *whole* interval must lie, or its cell
# raises, and the table tells how many half-widths of the interval lie between the estimate and the
# nearest bound: at three or more, a fair repetition hardly ever overturns it. For "no difference"
# the bounds are the smallest difference that matters on a task, set once in `lab.MARGINS`: here a
# factor of 1.1 between losses, on MNIST-1D two points of test error.
#
# For the networks below a seed is initial weights, batches *and* its own draw of the training and
# validation data, so an interval over seeds contains all three. The 10,000 test signals of MNIST-1D
# are the same for all.

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
    evaluate=("train",),
    keep_states=True,
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
gain = short - long  # from 100 steps to the end
at = {f"{eta:.4f}": i for i, eta in enumerate(rates)}
small, middle, large = at["0.0055"], at["0.0221"], at["0.0625"]
matters = task.margin.ratio  # of losses
steps_100, whole = (
    "100 steps: loss at η = {} over 0.022",
    "whole run: loss at η = {} over 0.022",
)
ratios = {
    steps_100.format(0.0625): (short[large] / short[middle], {"below": matters}),
    whole.format(0.0625): (long[large] / long[middle], {"above": matters}),
    whole.format(0.0055): (long[small] / long[middle], {"above": matters}),
}
best_rates = rates[short.argmin(0)] / rates[long.argmin(0)]

# %%
lab.claims(
    [
        *(
            lab.claim(text, ratio, **wanted, scale="ratio")
            for text, (ratio, wanted) in ratios.items()
        ),
        lab.measure("best rate, 100 steps over whole run", best_rates, scale="ratio"),
        lab.measure("gain of the later steps at η = 0.0039", gain[0], unit="nats"),
        lab.measure("gain of the later steps at η = 0.177", gain[-2], unit="nats"),
    ]
)

# %% [markdown]
# After 100 steps a rate of 0.0625 costs nothing that matters, and after 2,000 it multiplies the
# loss by 1.7 [1.6, 1.9]. The best rates lie a factor of 2.2 [1.9, 2.6] apart, less than on the quadratic (4.5 between 100 and 2,000
# steps). Compare the walls of the two curves. The left one moves as training goes on, because a small
# rate only needs time: at 0.0039 the 1,900 later steps gain 1.02 nats [1.00, 1.04]. The right one does not give way: at
# 0.177 they gain nothing that can be seen, −0.07 [−0.19, 0.05].
#
# ### The same U in a test error
#
# Training loss is what the optimizer sees; you care about data it has not seen. The next data set is
# handwritten digits, with 30 % of the *training* labels wrong. The test labels are right. Every seed draws its
# own split and its own wrong labels.

# %%
noisy_digits = lab.digits_task(label_noise=0.3)
digit_rates = 0.3 * 2.0 ** np.arange(-10, 2)
digits = lab.sweep(
    noisy_digits,
    fixed,
    digit_rates,
    lab.seeds(18),
    steps=1000,
    batch_size=16,
    evaluate=("test",),
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
gap = error - error[6]  # from the error at η = 0.019, for every rate and seed
text = "digits, test error: at η = {}, less that at 0.019"
lab.claims(
    [
        lab.claim(text.format(0.15), gap[9], above=0, unit="points"),
        lab.claim(text.format(0.0012), gap[2], above=0, unit="points"),
        lab.measure(text.format(0.0047), gap[4], unit="points"),
        lab.measure(text.format(0.0094), gap[5], unit="points"),
        lab.measure(text.format(0.038), gap[7], unit="points"),
    ]
)

# %% [markdown]
# The first two are the walls; between them, four of the rates stand side by side. An interval
# that contains zero does not make a tie: two rates are alike if the *whole* interval lies within what matters, on the
# digits one point. For 0.0047, 0.0 points [−1.1, 1.1], and 0.0094, −0.5 [−1.0, 0.1], that is just not settled; 0.038 is worse
# than 0.019, by 1.6 [0.7, 2.4]. Where the curve is this flat, a tuned rate is a region and not a number.

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
    "quadratic: best fixed rate over the best schedule found, final loss",
    best_loss / optimum.loss,
    above=lab.MARGINS["quadratic"].ratio,
    scale="ratio",
)

# %% [markdown]
# Look where the curves cross. For about a third of the run the better schedule has the *higher*
# loss: it takes larger steps than the fixed rate would, which adds noise, and gets rid of that
# noise later. A schedule must be judged at its end.
#
# Does the network know about this? The simplest schedule with a second number in it holds the rate
# for 80 % of the run and then divides it by ten: `Constant(total_iters=1600).then(Constant(0.1))`.
# Both shapes get their peak from the same grid, by validation error. `compare` judges every seed at the
# peaks that all *other* seeds choose: to choose and judge on the same runs would flatter the choice,
# most of all where the curve is flat and the winner is luck. Its interval contains the choosing.

# %%
steps = lab.steps(2000)
drop = int(0.8 * steps)
shapes = {
    "constant": Constant(),
    "step": Constant(total_iters=drop).then(Constant(0.1)),
}
pair = lab.sweep(
    task,
    shapes,
    rates[2:11:2],
    lab.seeds(12),
    steps=steps,
    batch_size=16,
)
pair.best_peaks()

# %% [markdown]
# Here are both at that rate, in runs that are stopped for a look at the whole training set at the drop
# and 100 steps later.

# %%
shown = lab.sweep(
    task,
    shapes,
    rates[6:7],
    lab.seeds(8),
    steps=steps,
    batch_size=16,
    eval_steps=[drop, drop + 100],
    evaluate=("train",),
)
runs = {
    "fixed rate": ("constant", 0, figures.look("constant")),
    "one drop": ("step", 0, figures.look("step")),
}
top, bottom = figures.loss_and_rate(shown, runs, width=20)
bottom.set_ylim(bottom=0)
top.legend()
top.set_title("One drop by ten: the loss falls within 100 steps and stays below")
plt.show()

# %%
judged, _ = pair.judged()
for name, error in judged.items():
    print(f"{name}: test error {100 * error.mean():.1f} %")
before, after = (shown.at("train_loss", t)[:, 0] for t in (drop, drop + 100))
text = "loss 100 steps after the drop over loss at the drop"
lab.claims(
    [
        lab.claim(
            "test error: the best fixed rate less one drop, tuned alike",
            pair.compare("constant", "step"),
            above=0,
            unit="points",
        ),
        lab.claim(f"{text}, one drop", after[1] / before[1], below=1, scale="ratio"),
        lab.measure(f"{text}, fixed rate", after[0] / before[0], scale="ratio"),
    ]
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
print(f"peak {peak:.3f}, best fixed rate {quadratic.tune(Constant(), 2000)[0]:.3f}")
for name, value in (("100 steps", loss[1700]), ("end", loss[2000]), ("floor", floor)):
    print(f"{name:9}: {value / loss[1600]:.2f} times the loss at the drop")

# %% [markdown]
# A fall to 0.74, beside 0.79 [0.75, 0.82] on the network, and it can be taken apart: the steep directions shed their noise at once, the
# flat ones do not before the run ends. Whether that is all that happens on a network is where the next
# chapter starts. The quadratic's second shape was tuned to
# 1.6 times the fixed rate: once noise is taken care of at the end, the beginning can afford a larger step.
# On the network, whose grid has steps of two, both have the same best peak.

# %% [markdown]
# ## Full-batch gradient descent drives a network to its own limit
#
# The limit $2/\lambda$ was derived for a loss whose curvature does not change. A network's curvature
# changes as it trains. Its largest Hessian eigenvalue, the *sharpness*, can be measured without
# forming the Hessian: `lrlib.largest_hessian_eigenvalue` multiplies it with vectors (by
# the Lanczos method), each product costing about as much as one or two gradients (Pearlmutter, 1994).
#
# > **Predict.** A small tanh network is trained by gradient descent on the full batch, without
# > momentum, so there is no noise. At the start its sharpness is below $2/\eta$ for all three rates.
# > Will it stay there? And if it reaches $2/\eta$, will training diverge?

# %%
pool = lab.load_mnist1d()


def few(seed):
    """The rows that a seed draws, but of the training rows only 256."""
    rows = pool.rows(seed)
    return rows._replace(train=rows.train[:256])


tanh_task = lab.Task(
    replace(pool, rows=few),
    lambda: lab.mlp(40, 64, 64, 10, activation="tanh"),
    lab.squared_error,
)
edge_rates = [0.05, 0.2, 0.4]
checkpoints = list(range(0, 1501, 100))

# %%
edge = lab.sweep(
    tanh_task,
    fixed,
    edge_rates,
    lab.seeds(4),
    steps=1500,
    batch_size=None,
    momentum=0.0,
    eval_steps=checkpoints,
    evaluate=(),
    keep_states=True,
)


# %%
def sharpness(eta, seed):
    """The largest Hessian eigenvalue at every checkpoint of one run."""
    values, vector = [], None
    for step in checkpoints:
        model = edge.model("constant", eta, seed, step)
        value, vector = lab.sharpness(tanh_task, model, seed, start=vector)
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
limits = 2 / np.array(edge_rates)[:, None]
settled_at = sharp[..., late].mean(-1) / limits
losses = edge.train_loss[0, 2]
rises = 100 * (np.diff(edge.train_loss[0], axis=-1) > 0).mean(-1)
text = "late sharpness over 2/η, at η = "
# nearer to its own limit than to that of half or twice the rate
nearer = (0.71, 1.41)

# %%
lab.claims(
    [
        lab.claim(f"{text}0.2", settled_at[1], within=nearer, scale="ratio"),
        lab.claim(f"{text}0.4", settled_at[2], within=nearer, scale="ratio"),
        lab.claim(
            "highest sharpness over 2/η, at η = 0.05",
            sharp[0].max(-1) / limits[0],
            below=1,
            scale="ratio",
        ),
        lab.claim(
            "η = 0.4: mean loss of the last third of the run over that of the second",
            losses[:, 1000:].mean(-1) / losses[:, 500:1000].mean(-1),
            below=1,
            scale="ratio",
        ),
        lab.measure("steps at which the loss rises, η = 0.2", rises[1], unit="%"),
        lab.measure("steps at which the loss rises, η = 0.4", rises[2], unit="%"),
    ]
)

# %% [markdown]
# The curvature grows until the limit is reached, and then the limit holds the curvature down. On a
# quadratic $\eta > 2/\lambda$ is the end. At 0.4 the sharpness stays at 1.04 [1.04, 1.05] times the limit,
# and the loss keeps falling: the iterate is thrown along the sharp direction, and the
# loss's third derivative turns that motion into a step towards flatter ground (Damian, Nichani and Lee,
# 2023, derive it); the loss bumps, and training goes on.

# %% [markdown]
# **Beside the paper.** Cohen et al. (2021) report for full-batch gradient descent, over many
# architectures, that the sharpness hovers just above $2/\eta$, while the loss falls, but not at every
# step. Both are found above: at 0.2 and 0.4 it ends at 1.04 times the limit [1.02, 1.06] and
# 1.04 [1.04, 1.05], and the loss rises at 34 % of the steps [32, 37] and at 41 % [39, 44]. (The Lanczos method stopped at two per cent and
# never overestimates, so the true ratios are a little larger.) What differs here: 256 examples, a network of
# 7,434 parameters, squared error alone, four seeds, one architecture.
#
# So $2/\lambda$ is not a wall you compute once. It is a thermostat, and the rate you set decides at
# which curvature this network will live.

# %% [markdown]
# ## With larger batches, a rate that failed works
#
# The network of the opening fails at $\eta = 0.25$ with batches of 16. The curvature of the full batch
# does not know how large the batches are. If its limit were what fails here, larger batches would
# not help:

# %%
at_quarter = {
    batch: lab.sweep(
        task,
        fixed,
        [0.25],
        lab.seeds(6),
        steps=400,
        batch_size=batch,
        evaluate=("train",),
    ).at("train_loss")[0, 0]
    for batch in (16, 64, 256)
}

# %%
text = "η = 0.25, training loss after 400 steps"
lab.claims(
    [
        *(
            lab.measure(f"{text}, batches of {batch}", loss, unit="nats")
            for batch, loss in at_quarter.items()
        ),
        lab.claim(
            f"{text}: batches of 16 less batches of 256",
            at_quarter[16] - at_quarter[256],
            above=0,
            unit="nats",
        ),
    ]
)

# %% [markdown]
# So it is something that a larger batch averages away. That need not be noise of the kind above, which
# is added to the gradient whatever $\theta$ is. A batch has a curvature of its own, too, and that varies
# from batch to batch: the mean square distance then stays bounded only below a rate that rises with $B$, up to a
# critical batch size (Ma, Bassily and Belkin, 2018). This experiment does not tell the two apart.
#
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
text = "excess loss, end over middle of the run"
lab.claims(
    [
        lab.claim(
            f"30 examples: {text}", fits[:, -1] / fits[:, 49], below=1, scale="ratio"
        ),
        lab.measure(
            f"200 examples: {text}",
            cannot[:, -20:].mean(-1) / cannot[:, 30:50].mean(-1),
            scale="ratio",
        ),
    ]
)

# %% [markdown]
# Lines are medians, bands the full range over twelve seeds. A network that fits all its training data
# is of the first kind; the one above, whose training loss after 2,000 steps is still 0.7 nats at the best fixed
# rate, is far from it.

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
# What has become of them? A hidden unit that is zero for every signal passes nothing on and
# gets no gradient.


# %%
@torch.no_grad()
def alive(eta, seed):
    """Share (%) of training signals to which any unit of the last layer responds."""
    hidden = wide.model("constant", eta, seed)[:-1]
    return (
        100 * hidden(task.data.draw(seed).train_x).gt(0).any(-1).float().mean().item()
    )


dead = rates[-1]
responding = np.sort([alive(dead, seed) for seed in wide.seeds])
print("% of signals with a response, one number a run:", responding.round(2))
floor = lrlib.noise_floor(dead, [0.1] * 9, [0.1] * 9, batch_size=16, momentum=0.9)
print(f"predicted for η = {dead}: {np.log(10) + floor:.3f} nats")
late = wide.train_loss[0, -1, :, -horizons[-1] // 2 :].mean(-1)
lab.measure(
    "η = 0.25: loss of the second half of the run, less the prediction",
    late - np.log(10) - floor,
    unit="nats",
)

# %% [markdown]
# In four of the ten runs no unit of the last hidden layer responds to any signal, in four more to a few in a
# thousand at most. Where all are silent, nothing but the output biases still moves, and what that costs can be
# computed. At equal probabilities the softmax over ten classes has curvature 0.1 in nine directions,
# and gradients of variance 0.1; so the floor of the biases alone is known, and the loss should lie by
# that much above $\ln 10$. It misses by 0.003 nats [0.000, 0.005]. (The same formula gives 2.39 for the rate 0.6 of the opening.)
#
# Compare a loss with $\ln(\text{classes})$, not with NaN.
#
# **"The best rate is just below the one at which training fails."** Here is the largest rate that ends
# below 2.2 nats, over the best rate:


# %%
def headroom(loss):
    """The largest usable rate over the best one, for each seed."""
    usable = [rates[np.flatnonzero(column < 2.2).max()] for column in loss.T]
    return usable / rates[loss.argmin(0)]


lab.claims(
    [
        lab.claim(
            "whole run: largest usable rate over the best one",
            headroom(long),
            above=1,
            scale="ratio",
        ),
        lab.measure(
            "100 steps: largest usable rate over the best one",
            headroom(short),
            scale="ratio",
        ),
    ]
)

# %% [markdown]
# A rate found by "raise it until it fails, then take a little less" is 4.9 times [4.3, 5.6] too large
# for this run.

# %% [markdown]
# **A pitfall: `reduction="sum"`.** All limits above are for the mean over the batch. A summed loss
# has $B$ times the gradient and $B$ times the curvature, so the same rate is $B$ times as large:

# %%
model = task.model(lab.seeds(1)[0])
x, y = (part[:64] for part in task.data.draw(lab.seeds(1)[0]).split("train"))
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
x, y = task.data.draw(lab.seed_offset()).split("train")
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
# of 256. The formula speaks of the full batch, of this point and of small steps around it. It is a
# diagnosis of this run, and no bound for another: at another rate the same network lives at another
# curvature, and one that starts above its limit may be thrown to flatter ground and train on from
# there (a *catapult*, Lewkowycz et al., 2020). What is the best rate, a sweep will tell you.

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
#   fixed rate by 4.8 points [4.0, 5.5].
# - Two corrections to folklore: full-batch gradient descent on a small network did not diverge at
#   $2/\lambda$, its sharpness stayed near $2/\eta$ instead; and a fixed rate does converge where the model
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
# - A. Lewkowycz, Y. Bahri, E. Dyer, J. Sohl-Dickstein, G. Gur-Ari (2020). *The large learning rate phase
#   of deep learning: the catapult mechanism.* arXiv:2003.02218.
# - S. Ma, R. Bassily, M. Belkin (2018). *The power of interpolation: understanding the effectiveness
#   of SGD in modern over-parametrized learning.* ICML.
# - B. A. Pearlmutter (1994). *Fast exact multiplication by the Hessian.* Neural Computation 6(1).
# - B. T. Polyak (1964). *Some methods of speeding up the convergence of iteration methods.* USSR
#   Computational Mathematics and Mathematical Physics 4(5).
# - G. Zhang, L. Li, Z. Nado, J. Martens, S. Sachdeva, G. Dahl, C. Shallue, R. Grosse (2019). *Which
#   algorithmic choices matter at which batch sizes? Insights from a noisy quadratic model.* NeurIPS.
