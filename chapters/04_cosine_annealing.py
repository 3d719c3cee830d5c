# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 4 · Cosine annealing
#
# **What you will see.** The cosine, perhaps the most used shape of all, tie with a single drop and lose to a
# straight line. Which of its two bends is to blame. What a plan costs that is half as long again as the run.
# And a scheduler that climbs back to the top when the run goes on.
#
# **What you will do.** Take the cosine apart, write a schedule of your own, and ask of every comparison
# what it could have told apart.
#
# **What you need.** Chapters 1 to 3, or this much of them. $\eta$ is the learning rate and $t$ counts
# optimizer steps (updates already made). A schedule is a *shape*, a function from the step to a factor;
# the rate is its *peak* $\eta_{\max}$ times the factor. On a quadratic with small steps, what is left of the
# *distance* to the minimum depends on the *area* $\sum_t\eta_t$ under the rate, and the *noise* on how high the
# rate still is when little of the area is left. A run in which distance is what remains is
# curvature-limited, one in which noise is, noise-limited. About
# half a minute on two CPU cores. `LRLIB_SEED` shifts every seed; `LRLIB_SCALE` multiplies the seeds.

# %%
import math
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import torch
from lrlib import (
    CosineAnnealing,
    ExponentialDecay,
    LRTrace,
    MultiStepDecay,
    PolynomialDecay,
    ScheduledLR,
    lab,
)
from lrlib.lab import figures
from lrlib.schedule import Schedule
from scipy import stats

figures.use_style()

# %% [markdown]
# ## A plan has to end somewhere
#
# Chapter 3 ended with linear decay, which leaves its peak at once and arrives at zero at full speed. A
# cosine bends the line at both ends: it leaves slowly, and it arrives slowly. Like the line, and unlike a
# fixed rate, it needs to know beforehand when the run will end. Here is what happens when it does not know:
# the network of the earlier chapters (MNIST-1D: 4,000 signals of 40 numbers, ten classes; two hidden layers of 100
# units, SGD with momentum 0.9, batches of 16) is trained for 2,000 steps, with cosines planned for other
# lengths, all from the peak 0.057.
#
# > **Predict.** Plans for 1,000, 1,500, 2,000, 3,000 and 4,000 steps, all stopped at 2,000 (a
# > plan that is over holds the rate 0). Rank the test errors. Which plan is best?

# %%
task = lab.mnist1d_task()
T = 2000
share = (0.5, 0.75, 1, 1.5, 2)
plans = lab.sweep(
    task,
    {f"planned for {x:g} T": CosineAnnealing(int(x * T)) for x in share},
    [0.057],
    lab.seeds(12),
    steps=T,
    batch_size=16,
)
by_plan = 100 * plans.at("test_error")[:, 0]

# %%
fig, ax = plt.subplots()
look = figures.look("cosine") | {"marker": "o"}
figures.band(ax, [x * T for x in share], by_plan.T, **look)
ax.axvline(T, color="0.6", linewidth=1, linestyle=":")
ax.text(T * 1.02, 46, "the run ends here", color="0.4")
ax.set(xscale="log", xlabel="planned length (steps)", ylabel="test error (%)")
ax.set_xticks([x * T for x in share], [f"{int(x * T):,}" for x in share])
ax.minorticks_off()
ax.set_title("At this peak, the best plan is longer than the run")
plt.show()

# %%
fits, longer, half = (by_plan[share.index(x)] for x in (1, 1.5, 0.5))
lab.claim("a plan of half the run, cost in test error (points)", half - fits, above=6)

# %%
lab.claim("a plan 1.5 times as long as the run, cost (points)", longer - fits, below=0)

# %% [markdown]
# Line: median over twelve seeds; band: 10th to 90th percentile. The left side is what the folklore says: the
# horizon must match; a plan of half the run costs about ten points. On the right side it does not hold. At one
# peak a longer plan has more area (0.71 of the box for 1.5 T, 0.50 for T), so perhaps this peak is
# wrong for the plan that fits; or the end of the cosine is not worth its time. The rest of the chapter finds out.

# %% [markdown]
# ## The formula
#
# $$\eta_t = \eta_{\min} + \tfrac12(\eta_{\max} - \eta_{\min})\left(1 + \cos\frac{\pi t}{T}\right),
# \qquad 0\le t\le T,$$
#
# with the peak $\eta_{\max}$, the final rate $\eta_{\min}$ and the length $T$ in steps (PyTorch: `eta_min`,
# `T_max`). It is equation 5 of Loshchilov and Hutter (2017) without their restarts, which are the next
# chapter's. In `lrlib` the peak is the optimizer's, and the final rate is a share of it, `min_factor`
# $=\eta_{\min}/\eta_{\max}$: an absolute $\eta_{\min}$ means another shape for every parameter group, and
# one whose peak is below $\eta_{\min}$ would be driven *up*.


# %%
def cosine(t, T, min_factor=0.0):
    half_wave = (1 + math.cos(math.pi * min(t, T) / T)) / 2
    return min_factor + (1 - min_factor) * half_wave


# %%
def applied(make_scheduler, steps, lr=0.1):
    """The rates that an optimizer with peak lr really used."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    scheduler, trace = make_scheduler(optimizer), LRTrace(optimizer)
    for _ in range(steps):
        optimizer.step()
        scheduler.step()
    return trace.lr[:, 0]


# %% tags=["nbval-check-output"]
CosineAnnealingLR = torch.optim.lr_scheduler.CosineAnnealingLR
curve = [0.1 * cosine(t, 100, 0.01) for t in range(100)]
of_torch = applied(lambda opt: CosineAnnealingLR(opt, T_max=100, eta_min=0.001), 100)
of_lrlib = applied(lambda opt: ScheduledLR(opt, CosineAnnealing(100, 0.01)), 100)
print(np.allclose(of_torch, curve), np.allclose(of_lrlib, curve))

# %% [markdown]
# **How long a shape stays high, and how long low**, can be read off a table. Its rivals from chapters 2 and 3: *one
# drop* by ten at 80 % of the run; *÷10*, the exponential $0.1^{t/T}$; and *linear*, $1-t/T$.
#
# > **Predict.** For what share of the run is a cosine above half of its peak? Above 90 %? And the line?

# %%
SHAPES = {
    "one drop": (lambda T: MultiStepDecay([int(0.8 * T)]), figures.look("step")),
    "÷10": (lambda T: ExponentialDecay.to_factor(0.1, T), figures.look("exponential")),
    "linear": (PolynomialDecay, figures.look("linear")),
    "cosine": (CosineAnnealing, figures.look("cosine")),
}

# %% tags=["nbval-check-output"]
print(f"{'factor':9} ≥ 0.9  ≥ 0.5  ≤ 0.1   area")
for name, (shape, _) in SHAPES.items():
    factor = shape(10_000).sample(10_000)
    shares = ((factor >= 0.9).mean(), (factor >= 0.5).mean(), (factor <= 0.1).mean())
    print(f"{name:9}", *(f"{x:6.0%}" for x in shares), f"{factor.mean():7.2f}")

# %%
fig, ax = plt.subplots(figsize=(7.6, 3.4))
t = np.arange(1000)
for name, (shape, look) in SHAPES.items():
    ax.plot(t / 10, shape(1000).sample(1000), label=name, **look)
for level in (0.1, 0.9):
    ax.axhline(level, color="0.6", linewidth=1, linestyle=":")
ax.legend()
ax.set(xlabel="share of the run (%)", ylabel="factor", ylim=(-0.03, 1.05))
ax.set_title("The cosine and the line have one area, and differ at the ends")
plt.show()

# %% [markdown]
# Both are above half of the peak for half of the run, and both have the area 0.50. The cosine spends a
# fifth of the run above 90 % of the peak and a fifth below 10 %; the line a tenth each.

# %% [markdown]
# ## The exact case: one area, one loss
#
# Equal areas, said chapter 3, shrink the distance alike. Then only the noise can tell cosine and line apart,
# by how they end. On the noisy quadratic $L=\tfrac12\sum_i h_i\theta_i^2$ ($\theta_i$:
# distance from the minimum in direction $i$; curvatures $h = 1, 1/2, \dots, 1/100$; gradient noise of
# batches of 256), every shape with its best peak below the stability limit $2/h_{\max}=2$. The
# score is the final loss over that of the best schedule that chapter 1's search found:

# %% tags=["nbval-check-output"]
problem = lab.NoisyQuadratic(batch_size=256)
lengths = (100, 200, 300, 500, 1000)
scores = {}
print(f"{'steps':15}", *(f"{steps:7}" for steps in lengths))
for name, (shape, _) in SHAPES.items():
    scores[name] = [problem.score(shape(steps), steps) for steps in lengths]
    print(f"{name:15}", *(f"{x:7.2f}" for x in scores[name]))
ratio = np.array(scores["cosine"]) / scores["linear"]
lab.claim(
    "quadratic: cosine over linear, 100 steps (ratio)", ratio[0], within=(0.9, 1.1)
)

# %%
lab.claim(
    "quadratic: cosine over linear, 1,000 steps (ratio)", ratio[-1], within=(0.9, 1.1)
)

# %% [markdown]
# In the curvature-limited run of 100 steps they agree to three digits: both stand at the limit of the peak, and
# have the same area. In the noise-limited run of 1,000 the slow arrival is worth 6 %. Next to the
# differences between other shapes this is nothing. Anyone who says that the cosine is better than the
# line has to say on what.
#
# **What the final factor does**, and **what a plan of another length does**, on the same quadratic:

# %% tags=["nbval-check-output"]
for factor in (0.0, 0.01, 0.03, 0.1, 0.3):
    row = [problem.score(CosineAnnealing(steps, factor), steps) for steps in lengths]
    scores[f"to {factor:g}"] = row
    print(f"{f'cosine to {factor:g}':15}", *(f"{x:7.2f}" for x in row))
for stretch in (0.75, 1.25, 1.5, 2):
    row = [problem.score(CosineAnnealing(int(stretch * n)), n) for n in lengths]
    scores[f"plan {stretch:g}"] = row
    print(f"{f'plan of {stretch:g} T':15}", *(f"{x:7.2f}" for x in row))

# %% [markdown]
# In the short runs the peak is at its limit, and more area can only be had from a fuller shape: at 100 steps a third
# of the peak at the end, or a plan of 2 T, beats the cosine by far; at 200 a tenth, or a plan of 1.25 T, still does.
# In the long runs area can be bought by the peak, a plan of 2 T costs up to nearly three times the loss,
# and the best of these floors is 3 %, worth 6 to 8 %.

# %%
plan_2 = np.array(scores["plan 2"]) / scores["cosine"]
lab.claim(
    "100 steps: stopping a plan of 2 T, over the plan that fits (ratio)",
    plan_2[0],
    below=0.6,
)

# %%
lab.claim(
    "1,000 steps: stopping a plan of 2 T, over the plan that fits (ratio)",
    plan_2[-1],
    above=2,
)

# %% [markdown]
# ## Two halves of a cosine
#
# The bends can be tested one at a time. Keep the slow start and arrive at full speed: a quarter of a wave,
# $\cos(\pi t/2T)$. Or leave at full speed and keep the slow arrival: $1-\sin(\pi t/2T)$. Neither is in the
# library; a schedule of your own is a frozen dataclass with a formula:


# %%
@dataclass(frozen=True)
class LeaveSlowly(Schedule):
    T: int

    @property
    def length(self):
        return self.T

    def formula(self, step):
        return math.cos(math.pi * step / (2 * self.T))


@dataclass(frozen=True)
class ArriveSlowly(LeaveSlowly):  # the same length, another formula
    def formula(self, step):
        return 1 - math.sin(math.pi * step / (2 * self.T))


# %% [markdown]
# With the line and the cosine they make a square: leave fast or slowly, arrive fast or slowly. (Their areas differ,
# though: 0.64 for the slow start alone, 0.36 for the slow arrival alone, 0.50 for the other two.)
#
# Seven shapes, each with the best of five peaks by the validation error of four tuning seeds. The differences are
# small: so the peaks are in steps of $\sqrt2$, twice as fine as before, and the shapes are compared on twenty other
# seeds.
#
# > **Predict.** Which of the two halves is better than the line, which is worse? And can cosine be told from
# > one drop at 80 %, or from the exponential?

# %%
shapes = {name: shape(T) for name, (shape, _) in SHAPES.items()} | {
    "plan of 1.5 T": CosineAnnealing(3 * T // 2),
    "leave slowly": LeaveSlowly(T),
    "arrive slowly": ArriveSlowly(T),
}
low, middle, high = (0.02 * 2.0 ** (np.arange(i, i + 5) / 2) for i in range(3))
grids = dict.fromkeys(shapes, middle) | {"one drop": low}
grids |= dict.fromkeys(("÷10", "linear", "arrive slowly"), high)
settings = {"steps": T, "batch_size": 16}
tuning = lab.sweep(task, shapes, grids, lab.seeds(4, "tune"), **settings)
peaks = tuning.best_peaks("val_error")
result = lab.sweep(task, shapes, peaks, lab.seeds(20), **settings)
error = dict(zip(shapes, 100 * result.at("test_error")[:, 0], strict=True))

# %%
print("peaks: validation error (%) of the tuning seeds; peak chosen: test error (%)")
for name, row in zip(shapes, 100 * tuning.at("val_error").mean(-1), strict=True):
    tried = zip(grids[name], row, strict=True)
    print(f"{name:13}", *(f"{peak:.3f}: {e:.1f} " for peak, e in tried), end=" ")
    print(f"{peaks[name]:.3f}: {error[name].mean():.1f}")

# %%
order = sorted(shapes, key=lambda name: error[name].mean())
fig, ax = plt.subplots(figsize=(7.6, 3.6))
colors = dict.fromkeys(order, "0.4")
colors |= {name: look["color"] for name, (_, look) in SHAPES.items()}
figures.intervals(ax, {name: error[name] - error["cosine"] for name in order}, colors)
ax.set(xlabel="test error, points above the cosine's (left is better; 95 % interval)")
ax.set_title("What beats the cosine does not arrive slowly")
plt.show()

# %%
drop = error["one drop"] - error["cosine"]
lab.claim("one drop less cosine (points)", drop, no_difference=2)

# %%
lab.claim("÷10 less cosine (points)", error["÷10"] - error["cosine"], no_difference=2)

# %%
lab.claim("cosine less linear (points)", error["cosine"] - error["linear"], above=0.5)

# %%
arrival = {
    "fast": error["arrive slowly"] - error["linear"],
    "slow": error["cosine"] - error["leave slowly"],
}
for start, cost in arrival.items():
    lab.claim(f"slow arrival after a {start} start, cost (points)", cost, above=0.5)

# %%
lab.claim(
    "slow start before a fast arrival, cost (points)",
    error["leave slowly"] - error["linear"],
    no_difference=2,
)

# %% [markdown]
# *Does cosine beat step decay?* On this problem we cannot tell; a difference of two points would have shown.
# *Does it beat the line?* It loses to it by about two points. Read as a square: a slow arrival costs
# whichever way the curve has started; a slow start costs nothing that we can see. Whether it is the arrival itself
# or what it takes the place of, this square cannot separate, because the areas differ too. But the one thing
# that the quadratic says about cosine and line, that the slow arrival helps where noise limits, came out
# reversed here.

# %%
factors = (0.0, 0.1, 0.3, 0.5)
at_008 = {"linear": PolynomialDecay(T)}
# Not all end at zero: three are for the next section.
at_008 |= {f"cosine to {f:.0%}": CosineAnnealing(T, f) for f in factors}
same = lab.sweep(task, at_008, [0.08], lab.seeds(10), **settings)
line_loss, cosine_loss = same.train_loss[:2, 0]

# %%
fig, (top, bottom) = plt.subplots(
    2, 1, sharex=True, height_ratios=(3, 1), figsize=(7.6, 4.4)
)
figures.band(
    top, np.arange(T), figures.smooth(cosine_loss - line_loss, 50), color="0.3"
)
top.axhline(0, color="0.6", linewidth=1)
for i, name in enumerate(("linear", "cosine")):
    bottom.plot(same.lr[i, 0, 0], label=name, **figures.look(name))
bottom.legend()
top.set(ylabel="training loss, cosine − linear")
bottom.set(xlabel="step", ylabel="applied rate")
top.set_title("The cosine is behind where its rate is higher, and again at the end")
plt.show()

# %% [markdown]
# Both from the peak 0.08, paired by seed (median and 10th to 90th percentile). And the opening question: does the
# plan of 1.5 T win only because the peak 0.057 was wrong for the one that fits? The table has both at every
# peak, and the claim each at its own:

# %%
lab.claim(
    "plan of 1.5 T less plan of T, each at its own peak (points)",
    error["plan of 1.5 T"] - error["cosine"],
    below=1,
)

# %% [markdown]
# Cutting off the last third of a cosine costs nothing: at most a point, and in most draws of the seeds it gains
# one or two. This is one network, for eight epochs. Which length of the quadratic orders the seven shapes as it does?

# %%
scores["plan of 1.5 T"] = scores["plan 1.5"]
for name, shape in (("leave slowly", LeaveSlowly), ("arrive slowly", ArriveSlowly)):
    scores[name] = [problem.score(shape(steps), steps) for steps in lengths]
mean_error = [error[name].mean() for name in shapes]
for i, steps in enumerate(lengths):
    rank = stats.spearmanr(mean_error, [scores[name][i] for name in shapes])
    print(f"quadratic, {steps:5} steps: rank correlation {rank.statistic:+.2f}")

# %% [markdown]
# The short lengths come nearest. From 500 on the order is turned round, because there the slow arriver is among the best
# and the plan of 1.5 T among the worst. Chapter 3, with other shapes, found 200 to 300; so distance seems to
# count in this run as well as noise. Several of the seven tie on the network, and their ranks are partly
# chance: take it as a description.

# %% [markdown]
# ## What the final factor does
#
# > **Predict.** Cosines from the peak 0.08 down to 0, 10, 30 and 50 % of it. Which is best? How far
# > apart are the first three?

# %%
by_factor = dict(zip(factors, 100 * same.at("test_error")[1:, 0], strict=True))
for f, e in by_factor.items():
    more = e - by_factor[0.1]
    half_width = lab.half_interval(more)
    print(f"to {f:4.0%}: {e.mean():.1f} %, against 10 %:", end=" ")
    print(f"{more.mean():+.1f} ± {half_width:.1f} points")

# %%
zero, tenth, fifty = (by_factor[f] for f in (0.0, 0.1, 0.5))
lab.claim("to zero less to a tenth (points)", zero - tenth, above=-1.5)

# %%
lab.claim("to a half less to a tenth (points)", fifty - tenth, above=0)

# %% [markdown]
# Zero is no better than a tenth here, and in some draws of the seeds a few points worse; a half is worse than
# either, because the noise is back. The habit of ending language models at 10 % does no harm in so short a run. Bergsma et al. (2025) find it costly for
# language models, with linear decay and far more steps; that is at least not at odds with the
# quadratic, whose best floor falls with the length.

# %% [markdown]
# ## Folklore and pitfalls
#
# **"`CosineAnnealingLR` restarts at `T_max`."** Its name comes from the paper on restarts, and tutorials
# show it as such. Go on past the end and look:

# %%
plan = CosineAnnealing(100)
past = applied(lambda opt: CosineAnnealingLR(opt, T_max=100), 250)
held = applied(lambda opt: ScheduledLR(opt, plan), 250)
fig, ax = plt.subplots(figsize=(7.6, 3.2))
ax.plot(past, color="black", label="torch, CosineAnnealingLR")
ax.plot(
    held, **figures.look("cosine") | {"linestyle": "--"}, label="lrlib, CosineAnnealing"
)
ax.axvline(100, color="0.6", linewidth=1, linestyle=":")
ax.text(103, 0.09, "T_max", color="0.4")
ax.legend(loc="upper right")
ax.set(xlabel="step", ylabel="applied rate", ylim=(-0.004, 0.125))
ax.set_title("It does not restart: it climbs back the way it came")
plt.show()

# %%
jump = np.abs(np.diff(past)).max() / 0.1
lab.claim("largest change from one step to the next, of the peak", jump, below=0.02)

# %%
lab.claim(
    "torch's rate at step 2 T_max, of the peak", past[200] / 0.1, within=(0.99, 1.01)
)

# %% [markdown]
# There is no jump; the period is $2T_\max$. The cosine of the transformers library,
# $\max(0, \tfrac12(1+\cos(2\pi c\,x)))$ with $x$ the share of the steps done and $c=\tfrac12$ cycles, climbs back in the
# same way for $x>1$:

# %% tags=["nbval-check-output"]
for x in (0.9, 1.0, 1.1, 1.5, 2.0):
    print(
        x,
        round(max(0.0, 0.5 * (1 + math.cos(2 * math.pi * 0.5 * x))), 3),
        round(plan(int(100 * x)), 3),
    )

# %% [markdown]
# A count off by one does no harm: 1 % beyond the end the factor is 0.0002, 10 % beyond it 0.02. A job that is
# resumed, or given half as many steps again, is back at half of the peak. In `lrlib` a shape holds its
# last value; to train on, plan again from the present step.
#
# **A pitfall: `T_max` in epochs, stepped per batch.** With `T_max=8` for eight epochs, and a call of
# `scheduler.step()` after every batch, the rate goes up and down every 16 batches, and the run ends
# wherever it happens to be. Nothing raises; the trace tells. (`rtol`, because torch's recursion leaves the
# closed form by a rounding error.)


# %%
def trace_of(T_max, steps=2000):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.08)
    scheduler, trace = CosineAnnealingLR(optimizer, T_max), LRTrace(optimizer)
    for _ in range(steps):
        optimizer.step()
        scheduler.step()
    return trace


for T_max in (2000, 8):
    try:
        trace_of(T_max).assert_matches(CosineAnnealing(2000), peak=0.08, rtol=1e-6)
        print(f"T_max={T_max}: as planned")
    except AssertionError as message:
        print(f"T_max={T_max}: {message}")


# %%
@dataclass(frozen=True)
class PerBatch(Schedule):  # no length: it goes on for ever, as torch's does
    T_max: int

    def formula(self, step):
        return (1 + math.cos(math.pi * step / self.T_max)) / 2


per_batch = {"stepped per batch": PerBatch(8)}
mistake = lab.sweep(
    task, per_batch, [0.08], same.seeds, eval_steps=[1992, T], **settings
)
top_end, low_end = (100 * mistake.at("test_error", n)[0, 0] for n in (T, 1992))
print(f"meant {zero.mean():.1f} %, stopped at the top {top_end.mean():.1f} %, ", end="")
print(f"stopped at the bottom, 8 steps earlier, {low_end.mean():.1f} %")
lab.claim("per batch, stopped at the top: cost (points)", top_end - zero, above=3)

# %%
lab.claim("per batch, stopped at the bottom: cost (points)", low_end - zero, above=3)

# %% [markdown]
# **A pitfall: `eta_min` for all groups.** `eta_min=0.01` with groups at 0.1 and 0.001 sends the second one
# *up* tenfold, and PyTorch accepts it. A `min_factor` above 1 is refused.

# %%
weights = [torch.zeros(1, requires_grad=True) for _ in range(2)]
groups = [
    {"params": [w], "lr": lr} for w, lr in zip(weights, (0.1, 0.001), strict=True)
]
optimizer = torch.optim.SGD(groups)
scheduler, trace = CosineAnnealingLR(optimizer, 100, eta_min=0.01), LRTrace(optimizer)
for _ in range(101):
    optimizer.step()
    scheduler.step()
print("first and last rates of the groups:", trace.lr[0], trace.lr[-1])

# %% [markdown]
# ## In your own code

# %%
model, steps_per_epoch, epochs = lab.mlp(40, 100, 100, 10), 250, 8
total_steps = epochs * steps_per_epoch
optimizer = torch.optim.SGD(model.parameters(), lr=0.08, momentum=0.9)

# plain torch, one group; call step() after every batch, total_steps times
plain = CosineAnnealingLR(optimizer, T_max=total_steps, eta_min=0.01 * 0.08)

# %%
optimizer = torch.optim.SGD(model.parameters(), lr=0.08, momentum=0.9)
shape = CosineAnnealing(total_steps, min_factor=0.01)
scheduler, trace = ScheduledLR(optimizer, shape), LRTrace(optimizer)
# then, after every optimizer.step(): scheduler.step()
print(
    shape,
    [round(float(factor), 4) for factor in shape.sample(3000)[[0, 1000, 2000, 2999]]],
)

# %% [markdown]
# ## Summary
#
# - $\eta_t = \eta_{\min} + \frac12(\eta_{\max}-\eta_{\min})(1+\cos(\pi t/T))$. It has the area of a line,
#   and twice its share of the run near the peak and near the end.
# - On the quadratic the two are within a few per cent. On the network the line is about two points better, and
#   cosine, one drop at 80 % and the exponential to a tenth cannot be told apart.
# - A slow arrival cost two points or more here, a slow start nothing.
# - A plan much shorter than the run costs most; one half as long again costs nothing here. On the quadratic
#   that holds for short runs; in a long, noise-limited one the plan has to fit.
# - In a run of this length, ending at zero was no better than ending at a tenth of the peak.
# - `CosineAnnealingLR` does not restart; it climbs back. Count in steps, and end with the plan.
#
# If nothing ties you to a cosine, the line of chapter 3 is the better default on what we have measured.
#
# What if it did restart? That is the next chapter.
#
# ## Exercises
#
# In `exercises/04_cosine_annealing/`:
#
# 1. the cosine from its formula; 2. how long a shape stays high; 3. what is wrong with this comparison?
# 4. open: go on after the end.
#
# ## References
#
# - S. Bergsma, N. Dey, G. Gosal, G. Gray, D. Soboleva, J. Hestness (2025). *Straight to zero: why linearly
#   decaying the learning rate to zero works best for LLMs.* ICLR.
# - I. Loshchilov, F. Hutter (2017). *SGDR: stochastic gradient descent with warm restarts.* ICLR. (Equation
#   5.)
# - T. Wolf et al. (2020). *Transformers: state-of-the-art natural language processing.* EMNLP, system
#   demonstrations. (`get_cosine_schedule_with_warmup`.)
