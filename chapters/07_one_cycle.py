# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 7 · One-cycle and super-convergence
#
# **What you will see.** A speed-up of eight that is true and means little; one of two that is left when every rival is
# tuned; and a cycle of the momentum that works, until you see what it does to the rate.
#
# **What you will do.** Measure how many updates a schedule saves, and take the policy apart, piece by piece.
#
# **What you need.** Chapters 1 to 6, or this much of them. $\eta$ is the learning rate, $\mu$ the momentum, $t$ counts
# optimizer steps (updates already made); a schedule is a *shape* whose factor multiplies the *peak* $\eta_{\max}$. The
# distance that training covers depends on the area under the rate, the noise that is left on how high the rate is near
# the end. A claim's line gives mean, 95 % interval over seeds and what it had to satisfy; bands are the 10th to
# 90th percentile over seeds, lines the median. Under a minute on two CPU cores. `LRLIB_SEED` shifts every seed;
# `LRLIB_SCALE` multiplies the seeds.

# %%
from dataclasses import dataclass, replace
from math import cos, pi

import matplotlib.pyplot as plt
import numpy as np
import torch
from lrlib import (
    Constant,
    CosineAnnealing,
    LRTrace,
    MultiStepDecay,
    OneCycle,
    PolynomialDecay,
    Schedule,
    ScheduledLR,
    Warmup,
    lab,
)
from lrlib.lab import figures

figures.use_style()
schedulers = torch.optim.lr_scheduler

# %% [markdown]
# ## Eight times as fast, if the rival may not choose its rate
#
# The last chapter's cycles lost what all falls but the last had gained. So make one cycle of the whole run: up
# to a high peak, down to almost nothing. Smith and Topin (2018) call it *1cycle* and report *super-convergence*, training
# "an order of magnitude faster". MNIST-1D, two hidden layers of 100 units, SGD with momentum 0.9, batches of 16, as in all chapters.
# One-cycle gets 250 steps, the fixed rate 2,000, and both have the peak 0.08:

# %%
task, seeds = lab.mnist1d_task(), lab.seeds(8)
settings = {"batch_size": 16}
watch = {"eval_steps": list(range(0, 2001, 50)), "evaluate": ["test"]}
flat = lab.sweep(
    task, {"fixed": Constant()}, [0.08], seeds, steps=2000, **watch, **settings
)
watch["eval_steps"] = list(range(0, 251, 25))
quick = lab.sweep(
    task, {"one-cycle": OneCycle(250)}, [0.08], seeds, steps=250, **watch, **settings
)

# %%
fig, ax = plt.subplots()
for name, runs in (("constant", flat), ("one-cycle", quick)):
    errors = 100 * runs.metrics["test_error"][0, 0]
    figures.band(ax, runs.eval_steps, errors, **figures.look(name))
figures.name_line(ax, 1250, 67, "fixed rate")
figures.name_line(
    ax, 250, 53, "one-cycle, 250 steps", color=figures.look("one-cycle")["color"]
)
ax.set(xlabel="step", ylabel="test error (%)")
ax.set_title("At one peak, one-cycle needs an eighth of the steps")
plt.show()

# %%
unfair = 100 * (quick.at("test_error")[0, 0] - flat.at("test_error")[0, 0])
lab.claim("one-cycle, 250 steps, less fixed, 2,000 steps (points)", unfair, below=6)

# %% [markdown]
# Nothing is wrong with these runs. Something is wrong with the question.
#
# > **Predict.** Give every schedule its own best peak, at every budget. How many updates will one-cycle save over a
# > fixed rate: a half, three quarters, nine tenths? How many over a straight line to zero?

# %% [markdown]
# ## Up for three tenths, down for the rest
#
# With $T$ steps in all, the rate rises from $\eta_{\max}/d$ to $\eta_{\max}$ and falls to $\eta_{\max}/(d f)$; $d$ is
# `div_factor` (25), $f$ is `final_div_factor` (10,000). The peak is at step $p=$ `pct_start` $\cdot\,T-1$ (`pct_start` is 0.3), and both ways follow
# half a cosine, $c(x)=\frac12(1-\cos\pi x)$:
#
# $$\frac{\eta_t}{\eta_{\max}}=\begin{cases}\frac1d+\bigl(1-\frac1d\bigr)\,c\bigl(\frac tp\bigr)&t\le p\\[4pt]
# 1-\bigl(1-\frac1{df}\bigr)\,c\bigl(\frac{t-p}{T-1-p}\bigr)&t>p.\end{cases}$$
#
# The momentum mirrors it: high at both ends, low at the peak. Two variants: straight lines for the cosines
# (`anneal_strategy="linear"`), and *three phases*, in which the fall takes as long as the rise and the rest of the run goes from $\eta_{\max}/d$ on down.


# %%
def one_cycle(t, T, pct_start=0.3, d=25, f=1e4):
    p = pct_start * T - 1
    if t <= p:
        return 1 / d + (1 - 1 / d) * (1 - cos(pi * t / p)) / 2
    return 1 - (1 - 1 / (d * f)) * (1 - cos(pi * (t - p) / (T - 1 - p))) / 2


# %%
def traced(make_scheduler, lr=0.1, momentum=0.95, steps=200):
    """What an optimizer really used: a trace of its rates and momenta."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr, momentum)
    scheduler, trace = make_scheduler(optimizer), LRTrace(optimizer)
    for _ in range(steps):
        optimizer.step()
        scheduler.step()
    return trace


# %% tags=["nbval-check-output"]
traces = {}
for three_phase in (False, True):
    for way in ("cos", "linear"):
        options = {"anneal_strategy": way, "three_phase": three_phase}
        shape = OneCycle(200, **options)
        ours = traced(lambda opt, s=shape: ScheduledLR(opt, s, momentum=s.momentum()))
        theirs = traced(
            lambda opt, o=options: schedulers.OneCycleLR(opt, 0.1, 200, **o)
        )
        same = (
            np.allclose(ours.lr, theirs.lr),
            np.allclose(ours.momentum, theirs.momentum),
        )
        print(options, "as torch, rate and momentum:", *same)
        traces[three_phase, way] = ours
curve = [0.1 * one_cycle(t, 200) for t in range(200)]
print("as the formula:", np.allclose(traces[False, "cos"].lr[:, 0], curve))

# %%
fig, axes = plt.subplots(2, 3, sharex=True, sharey="row", figsize=(9.4, 3.8))
names = {
    (False, "cos"): "cosine",
    (False, "linear"): "linear",
    (True, "cos"): "three phases",
}
for column, (key, name) in zip(axes.T, names.items(), strict=True):
    column[0].plot(traces[key].lr, **figures.look("one-cycle"))
    column[1].plot(traces[key].momentum, **figures.look("one-cycle"))
    column[0].set_title(name)
    column[1].set_xlabel("step")
axes[0, 0].set_ylabel("applied rate")
axes[1, 0].set_ylabel("applied momentum")
plt.show()

# %% [markdown]
# ## The exact case: the rise is paid for
#
# On the noisy quadratic of the earlier chapters ($L=\tfrac12\sum_i h_i\theta_i^2$, curvatures $1,1/2,\dots,1/100$,
# gradient noise of batches of 256, no momentum), each shape at its best peak below the stability limit:
#
# > **Predict.** Which is best after 1,000 steps: rising for 1 %, 10 %, 30 % or 50 % of the run?

# %% tags=["nbval-check-output"]
problem = lab.NoisyQuadratic(batch_size=256)
scores = {}
for steps in (100, 300, 1000):
    shapes = {
        f"rise {p:.0%}": OneCycle(steps, pct_start=p) for p in (0.05, 0.1, 0.3, 0.5)
    }
    shapes |= {"three phases": OneCycle(steps, three_phase=True)}
    shapes |= {"cosine": CosineAnnealing(steps), "linear": PolynomialDecay(steps)}
    shapes |= {"fixed": Constant()}
    scores[steps] = {name: problem.score(s, steps) for name, s in shapes.items()}
print("final loss over that of the best schedule found")
print(f"{'steps':13}", *(f"{steps:6}" for steps in scores))
for name in shapes:
    print(f"{name:13}", *(f"{row[name]:6.2f}" for row in scores.values()))

# %%
long = scores[1000]
paid = long["rise 30%"] / long["cosine"]
lab.claim("1,000 steps: one-cycle over cosine (ratio)", paid, within=(1.1, 1.5))

# %%
gained = long["fixed"] / long["rise 30%"]
lab.claim("1,000 steps: fixed over one-cycle (ratio)", gained, above=2)

# %% [markdown]
# The longer the rise, the worse, at every length: nothing on a quadratic wants a low rate first. One-cycle
# beats the fixed rate by far once noise counts, as every decay does. What the rise could be good for, a
# quadratic cannot show: it would have to be something that a high rate breaks at the start. The next chapter looks for it.

# %% [markdown]
# ## Every rival tuned: a factor of two, and the line has it too
#
# Four budgets from one epoch (250 steps) to eight, five schedules, four peaks for each at every budget, a
# factor of two apart and placed so that the best is inside. Eight seeds; every seed is judged at the peak
# that the *other seven* choose by validation error. One-cycle has its momentum cycle (0.9 to 0.8 and back), the others
# momentum 0.9. The step schedule drops by ten at 50 and 75 %. For reference, the fixed rate also gets 3,000 steps.

# %%
budgets, reference = (250, 500, 1000, 2000), 3000


def at_budget(T):
    """Test error (%) of every schedule over T steps: name -> one number per seed."""
    cycle = OneCycle(T)
    shapes = {
        "fixed": (Constant(), 0.01),
        "step": (MultiStepDecay([T // 2, 3 * T // 4], 0.1), 0.02 if T == 250 else 0.01),
        "cosine": (CosineAnnealing(T), 0.02),
        "linear": (PolynomialDecay(T), 0.02),
        "one-cycle": (cycle, 0.04),
    }
    if T == reference:
        shapes = {"fixed": shapes["fixed"]}
    runs = lab.sweep(
        task,
        {name: shape for name, (shape, _) in shapes.items()},
        {name: lowest * 2.0 ** np.arange(4) for name, (_, lowest) in shapes.items()},
        seeds,
        steps=T,
        momentum_schedules={"one-cycle": cycle.momentum()} if T != reference else None,
        **settings,
    )
    return {name: 100 * errors for name, errors in runs.judged()[0].items()}


by_budget = {T: at_budget(T) for T in (*budgets, reference)}


# %%
def saved(name):
    """Updates of the fixed rate over those that the schedule needs for the same error.

    For each seed by interpolation in the logarithm of the budget; a seed that does not get
    there counts as needing 2,000.
    """
    curves = np.array([by_budget[T][name] for T in budgets])
    falling = -np.minimum.accumulate(curves, axis=0).T
    goals = -by_budget[reference]["fixed"]
    pairs = zip(goals, falling, strict=True)
    needed = [np.interp(goal, row, np.log(budgets)) for goal, row in pairs]
    return reference / np.exp(needed)


# %%
look_of = {n: figures.look("constant" if n == "fixed" else n) for n in by_budget[250]}
fig, ax = plt.subplots()
ends = {}
for name, line in look_of.items():
    own = (*budgets, reference) if name == "fixed" else budgets
    curves = np.array([by_budget[T][name] for T in own]).T
    figures.band(ax, own, curves, marker="o", markersize=4, **line)
    if name != "fixed":
        ends[name] = (np.median(curves[:, -1]), line["color"])
goal = np.median(by_budget[reference]["fixed"])
ax.axhline(goal, color="0.5", linewidth=1, linestyle=":")
ax.set(
    xscale="log", xlabel="budget (updates)", ylabel="test error (%)", xlim=(230, 4200)
)
ax.set_xticks([*budgets, reference], [f"{T:,}" for T in (*budgets, reference)])
ax.minorticks_off()
figures.name_ends(ax, 2000, ends)
figures.name_line(ax, 3000, goal + 1, "fixed")
ax.set_title("One-cycle needs half the updates of a fixed rate; so does the line")
plt.show()

# %%
print(f"peaks: 4 for each schedule and budget, ×2 apart; {len(seeds)} seeds")
ratios = {name: saved(name) for name in ("step", "cosine", "linear", "one-cycle")}
for name, ratio in ratios.items():
    mean, half = np.log(ratio).mean(), lab.half_interval(np.log(ratio))
    low, high = np.exp([mean - half, mean + half])
    print(f"{name:9}: {np.exp(mean):.2f} times fewer [{low:.2f}, {high:.2f}]")

# %%
lab.claim(
    "updates of the fixed rate over one-cycle's",
    ratios["one-cycle"],
    scale="ratio",
    within=(1.4, 3),
)

# %%
lab.claim(
    "updates saved: one-cycle over linear",
    ratios["one-cycle"] / ratios["linear"],
    scale="ratio",
    no_difference=1.3,
)

# %% [markdown]
# The reference is 3,000 updates at the best fixed rate (dotted). Tuned rivals leave one-cycle a factor of about two, and a plain
# line from the peak to zero has the same. The ten-fold speed-up of the paper compares a ResNet-56 on CIFAR-10 trained for 10,000 updates with
# one-cycle (92.4 %) and for about 80,000 with a staircase from a rate of 0.35 (91.2 %; figure 1a). *Not* reproduced: an order of magnitude,
# or any advantage over the best decay. Reproduced: one rise and one fall beat a fixed rate by a wide margin, at every
# budget. What differs: a small network without batch normalisation, batches of 16 (theirs 1,000), budgets of one to
# eight epochs, and that our rivals could choose their peaks. A longer reference would give a larger factor: the fixed rate gains
# little from more steps, and any schedule that ends low gains much.

# %% [markdown]
# ## Which part does the work?
#
# Take the policy apart at 1,000 steps. Each variant has five peaks, a factor of $\sqrt2$ apart, and twelve seeds, each
# judged at the peak that the other eleven choose:
#
# | variant | what is missing |
# | --- | --- |
# | one-cycle | nothing |
# | no rise | cosine from the peak; the momentum still moves against it |
# | no high peak | the peak is that of the best fixed rate |
# | no fall | after the rise the rate stays |
# | not to zero | the fall ends at $\eta_{\max}/25$ |
# | no momentum cycle | momentum 0.9 throughout |
#
# > **Predict.** Order them by what they lose.


# %%
@dataclass(frozen=True)
class Against(Schedule):
    """A momentum that moves against a shape: 1 where the rate is 0, lowest at the peak."""

    shape: Schedule
    lowest: float = 0.85 / 0.95  # torch's default, as a factor

    @property
    def length(self):
        return self.shape.length

    def formula(self, step):
        return 1 - (1 - self.lowest) * self.shape(step)


# %%
T, twelve = 1000, lab.seeds(12)
cycle, falling = OneCycle(T), CosineAnnealing(T)
short_fall = OneCycle(T, final_div_factor=1)
variants = {  # shape, momentum, lowest peak
    "one-cycle": (cycle, cycle.momentum(), 0.057),
    "no rise": (falling, Against(falling), 0.057),
    "no fall": (Warmup(300, 1 / 25), None, 0.01),
    "not to zero": (short_fall, short_fall.momentum(), 0.057),
    "no momentum cycle": (cycle, None, 0.02),
    "fixed": (Constant(), None, 0.01),
    "linear": (PolynomialDecay(T), None, 0.028),
}


def ablation(variants):
    """A sweep over variants: name -> (shape, momentum schedule or None, lowest peak)."""
    return lab.sweep(
        task,
        {name: shape for name, (shape, _, _) in variants.items()},
        {n: low * 2 ** np.arange(0, 2.1, 0.5) for n, (_, _, low) in variants.items()},
        twelve,
        steps=T,
        momentum_schedules={n: m for n, (_, m, _) in variants.items() if m},
        **settings,
    )


# %%
parts = ablation(variants)
judged, peaks = parts.judged()
print({name: np.unique(peak).round(3).tolist() for name, peak in peaks.items()})
best_fixed = float(np.median(peaks["fixed"]))
cautious = lab.sweep(
    task,
    {"one-cycle": cycle},
    [best_fixed],
    twelve,
    steps=T,
    momentum_schedules={"one-cycle": cycle.momentum()},
    **settings,
)
judged["no high peak"] = cautious.at("test_error")[0, 0]
lost = {name: 100 * (runs - judged["one-cycle"]) for name, runs in judged.items()}

# %%
fig, ax = plt.subplots(figsize=(7.6, 3.2))
rows = sorted(lost.keys() - {"one-cycle"}, key=lambda name: -lost[name].mean())
colors = {name: figures.look("one-cycle")["color"] for name in rows}
colors |= {"fixed": look_of["fixed"]["color"], "linear": look_of["linear"]["color"]}
figures.intervals(ax, {name: lost[name] for name in rows}, colors)
ax.set(xlabel="change in test error against one-cycle (points; right is worse)")
ax.set_title("The peak and the fall do the work")
plt.show()

# %%
lab.claim("lost without the fall (points)", lost["no fall"], above=2)

# %%
lab.claim(
    "lost with the peak of the best fixed rate (points)", lost["no high peak"], above=2
)

# %%
lab.claim("lost without the rise (points)", lost["no rise"], no_difference=3)

# %%
lab.claim("lost when the fall ends at 1/25 (points)", lost["not to zero"], below=1.5)

# %%
lab.claim(
    "lost without the momentum cycle (points)", lost["no momentum cycle"], above=0
)

# %% [markdown]
# Peak and fall belong together: a high peak without a fall is too noisy, and a fall from a low peak does not get far enough. The
# last stretch from $\eta_{\max}/25$ to almost zero brings nothing that we can detect, and neither does the rise. The momentum cycle does bring something.

# %% [markdown]
# ## The momentum cycle is a change of the rate
#
# Under momentum a gradient moves the weights, over the steps that follow, by about $\eta/(1-\mu)$ times itself: the *effective rate*. At the peak $\mu$ is 0.805
# instead of 0.9, and the effective rate is about half of what the rate says. So cycling the momentum lowers the middle of the shape
# against its ends, and the tuned peak moves up by a factor of two. Is that all it does? Give one-cycle the
# constant momentum 0.9 and the *rate* that has the same effective rate:


# %%
@dataclass(frozen=True)
class SameEffectiveRate(Schedule):
    """Rates for a constant momentum that give the effective rate of a cycled one."""

    shape: Schedule
    momentum: Schedule
    constant: float = 0.9

    @property
    def length(self):
        return self.shape.length

    def formula(self, step):
        share = (1 - self.constant) / (1 - self.constant * self.momentum(step))
        return self.shape(step) * share


same = SameEffectiveRate(cycle, cycle.momentum())
print(
    f"its rate at the peak: {same(299):.2f} of one-cycle's, at the end {same(999) / cycle(999):.2f}"
)

# %%
equal = ablation({"same effective rate": (same, None, 0.057)})
same_rate = 100 * equal.judged()[0]["same effective rate"]
explained = same_rate - 100 * judged["one-cycle"]
lab.claim(
    "same effective rate less the momentum cycle (points)", explained, no_difference=3
)

# %%
closer = 100 * judged["no momentum cycle"] - same_rate
lab.claim("gained by that rate at constant momentum (points)", closer, above=0)

# %% [markdown]
# At constant momentum the reshaped rate recovers most of what the momentum cycle brought, and we cannot tell it from the
# whole. So read "one-cycle with momentum 0.95 to 0.85" as a rate whose top is cut in half. Before you credit the momentum with a gain, look at
# $\eta/(1-\mu)$.
#
# **And Adam?** There the same policy moves $\beta_1$. But Adam divides the step by the size of recent gradients, and its
# updates have the size $\eta$ whatever $\beta_1$ is, as long as gradients agree. AdamW, $\beta_1$ from 0.95 down to 0.85 and back, against 0.95 throughout:

# %%
adam = lab.sweep(
    task,
    {"cycled beta1": cycle, "constant beta1": cycle},
    0.0028 * 2 ** np.arange(0, 2.1, 0.5),
    seeds,
    steps=T,
    optimizer="adamw",
    betas=(0.95, 0.999),
    momentum_schedules={"cycled beta1": cycle.momentum()},
    **settings,
)
by_beta = adam.judged()[0]
gained = 100 * (by_beta["constant beta1"] - by_beta["cycled beta1"])
lab.claim("gained by cycling Adam's beta1 (points)", gained, no_difference=4)

# %% [markdown]
# ## With the wrong peak
#
# One-cycle asks for a high peak. What if you guess it wrong? The line has its grid from the ablation, one-cycle too; on the axis is what the
# optimizer sees, the effective rate at the peak:

# %%
fig, ax = plt.subplots()
lowest = 0.9 * 0.85 / 0.95  # one-cycle's momentum at its peak
for name, momentum in (("one-cycle", lowest), ("linear", 0.9), ("fixed", 0.9)):
    i, line = parts.schedules.index(name), look_of[name]
    rates, error = parts.peaks[i] / (1 - momentum), 100 * parts.at("test_error")[i]
    figures.band(ax, rates, error.T, marker="o", **line)
    end = np.median(error[-1])
    figures.name_line(ax, rates[-1], end, name, color=line["color"])
ax.set(xlabel="effective rate at the peak, η/(1 − μ)", ylabel="test error (%)")
ax.set(xscale="log", xlim=(0.09, 1.7))
ax.set_xticks([0.1, 0.2, 0.4, 0.8], ["0.1", "0.2", "0.4", "0.8"])
ax.minorticks_off()
ax.set_title("One-cycle's valley ends no later than the line's")
plt.show()

# %%
i, j = (parts.schedules.index(name) for name in ("one-cycle", "linear"))
reached = parts.peaks[i, -1] / (1 - lowest), parts.peaks[j, -1] / (1 - 0.9)
print("highest effective rates: {:.2f} and {:.2f}".format(*reached))
near = 100 * (parts.at("test_error")[i, -1] - parts.at("test_error")[j, -1])
lab.claim("error there: one-cycle less linear (points)", near, above=-1)

# %% [markdown]
# The rise does not buy tolerance: at about the same effective rate at the peak, one-cycle is no better than the line.

# %% [markdown]
# ## Do large rates regularise?
#
# Smith and Topin hold that large rates regularise, so that other regularisation must be reduced to make room for
# them. Regularisation is about fitting too well, so take 1,000 of the 4,000 training signals and no weight decay: a low
# peak (0.02) and a high one (0.16) over 2,000 steps (32 epochs), and the low one over 8,000 steps, in which it fits the training
# signals at least as well as the high one.

# %%
few = replace(
    task.data, train_x=task.data.train_x[:1000], train_y=task.data.train_y[:1000]
)
small = replace(task, data=few)


def fit(peak, steps, weight_decay=0.0):
    """Test error (%) and training loss of one-cycle on few signals, one per seed."""
    cycle = OneCycle(steps)
    runs = lab.sweep(
        small,
        {"one-cycle": cycle},
        [peak],
        seeds,
        steps=steps,
        weight_decay=weight_decay,
        momentum_schedules={"one-cycle": cycle.momentum()},
        evaluate=["train", "test"],
        **settings,
    )
    return 100 * runs.at("test_error")[0, 0], runs.at("train_loss")[0, 0]


low, long_low, high = fit(0.02, 2000), fit(0.02, 8000), fit(0.16, 2000)
for name, (test, train) in {"low": low, "low, long": long_low, "high": high}.items():
    print(
        f"{name:9}: training loss {train.mean():.3f} nats, test error {test.mean():.1f} %"
    )

# %%
lab.claim("equal fit: low and long less high (points)", long_low[0] - high[0], above=0)

# %% [markdown]
# Over 2,000 steps the low peak has simply not fitted the data, and no regularisation is needed to explain that it is
# worse. Given the time to fit, it is still one to three points worse: that much is left for "large rates regularise".
# And must weight decay make room?

# %%
with_decay = {peak: fit(peak, 2000, weight_decay=0.003)[0] for peak in (0.02, 0.16)}
at_high = high[0] - with_decay[0.16]
lab.claim("high peak: gained by weight decay 0.003 (points)", at_high, above=0.5)

# %%
more = at_high - (low[0] - with_decay[0.02])
lab.claim("gained at the high peak less gained at the low (points)", more, above=-1.5)

# %% [markdown]
# At the high peak weight decay helps, and no less than at the low one. (With SGD it shrinks the weights by $\eta\lambda$ in
# every step, so one $\lambda$ regularises more at a higher rate. A decay that is right at the low peak can be too much at
# the high one; that would look like "making room".)

# %% [markdown]
# ## Folklore and pitfalls
#
# **A pitfall: the rate you gave the optimizer is overwritten.** torch's `OneCycleLR` takes its own `max_lr`, and the optimizer's is lost. So is its
# momentum.

# %% tags=["nbval-check-output"]
trace = traced(lambda opt: schedulers.OneCycleLR(opt, 0.1, 200), lr=0.5, momentum=0.9)
print("optimizer built with 0.5; torch's peak:", trace.lr.max().round(3), end=", ")
print("momentum", trace.momentum.min().round(3), "to", trace.momentum.max().round(3))
trace = traced(lambda opt: ScheduledLR(opt, OneCycle(200)), lr=0.5, momentum=0.9)
print("optimizer built with 0.5; lrlib's peak:", trace.lr.max().round(3), end=", ")
print("momentum", trace.momentum.min().round(3), "to", trace.momentum.max().round(3))

# %% [markdown]
# **A pitfall: stepped once per epoch.** Planned in steps and stepped in epochs, eight epochs of 250:

# %% tags=["nbval-check-output"]
optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
scheduler, trace = (
    schedulers.OneCycleLR(optimizer, 0.1, 2000, cycle_momentum=False),
    LRTrace(optimizer),
)
for step in range(2000):
    optimizer.step()
    if (step + 1) % 250 == 0:  # the end of an epoch: the wrong place
        scheduler.step()
print(f"planned 0.004 to 0.1, applied {trace.lr.min():.4f} to {trace.lr.max():.4f}")

# %% [markdown]
# No error and no warning: the run has trained at a 25th of its peak. A test of two lines finds it,
# `trace = LRTrace(optimizer)` before the run and `trace.assert_matches(shape, peak)` after it.
#
# **A pitfall: `pct_start` taken for steps, and the step after the last.**


# %% tags=["nbval-check-output"]
def torch_one_cycle(total_steps=100, **options):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    return schedulers.OneCycleLR(
        optimizer, 0.1, total_steps, cycle_momentum=False, **options
    )


for pct_start in (30, 0.01):
    for make in (torch_one_cycle, lambda pct_start: OneCycle(100, pct_start=pct_start)):
        try:
            print(make(pct_start=pct_start).__class__.__name__, "is made")
        except (ValueError, ZeroDivisionError) as error:
            print(f"pct_start={pct_start}: {type(error).__name__}: {error}")

# %% tags=["nbval-check-output"]
scheduler, shape = torch_one_cycle(), OneCycle(100)
for step in range(102):
    if step >= 98:
        print(f"step {step}: torch {scheduler.get_last_lr()[0]:.1e}", end=", ")
        print(f"lrlib {0.1 * shape(step):.1e}")
    scheduler.optimizer.step()
    try:
        scheduler.step()
    except ValueError as error:
        print(error)
        break

# %% [markdown]
# Step 99 is the last of 100. One `scheduler.step()` more, which every loop of the usual form makes, and torch's rate has
# jumped up a hundredfold; an update made now, say in a run that was extended by an epoch, uses it. The next one raises. In `lrlib` the last value holds.

# %% [markdown]
# ## In your own code

# %%
model, total_steps = lab.mlp(40, 100, 100, 10), 2000
optimizer = torch.optim.SGD(model.parameters(), lr=0.11, momentum=0.9)

# plain torch, stepped after every batch; max_lr is the peak, and 0.9 the highest momentum
plain = schedulers.OneCycleLR(
    optimizer, 0.11, total_steps, base_momentum=0.8, max_momentum=0.9
)

# %%
optimizer = torch.optim.SGD(model.parameters(), lr=0.11, momentum=0.9)
shape = OneCycle(total_steps)
scheduler = ScheduledLR(optimizer, shape, momentum=shape.momentum())
trace = LRTrace(optimizer)
for _ in range(total_steps):
    # zero_grad, forward and backward go here
    optimizer.step()
    scheduler.step()
trace.assert_matches(shape, peak=0.11)
trace.assert_matches(shape.momentum(), peak=0.9, quantity="momentum")

# %% [markdown]
# Should you use it? If you know the length of the run: tune the peak of a linear decay first. One-cycle is about as
# good, with more to set. If your network breaks at a high rate in its first steps, read the next chapter.
#
# ## Summary
#
# - One-cycle rises for three tenths of the run and falls to nearly nothing; torch's and `lrlib`'s rates and momenta are the same.
# - Against a fixed rate at the same peak it was eight times as fast. Against one with a peak of its own, twice; a linear
#   decay saves as much. We did not reproduce an order of magnitude.
# - What works is the high peak together with the fall. The rise and the last stretch to zero brought nothing that
#   we can detect; on the quadratic a rise costs.
# - The momentum cycle brought a little at 1,000 steps, most of it by its effect on the effective rate.
# - At equal fit, a low peak was a little worse than a high one; weight decay helped at the high peak too.
# - In torch the optimizer's own rate and momentum are overwritten, a scheduler stepped per epoch stays at a
#   25th of the peak without a word, and the rate jumps up after the last step.
#
# If a rise gives nothing here, why does nearly every large model train with one?
#
# ## Exercises
#
# In `exercises/07_one_cycle/`.
#
# ## References
#
# - L. N. Smith (2018). *A disciplined approach to neural network hyper-parameters: part 1.* arXiv:1803.09820.
# - L. N. Smith, N. Topin (2018). *Super-convergence: very fast training of neural networks using large learning rates.*
#   arXiv:1708.07120v3. (Figure 1a.)
