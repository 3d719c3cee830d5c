# %% [markdown]
# # 3 · Exponential, inverse-time and polynomial decay
#
# **What you will see.** Stairs and a smooth curve give the same loss; the same curve, fallen ten times as
# far, loses most of what it had gained, or all; the oldest conditions on a decay, and how much they say about a
# run that ends; a straight line that beats the curves on one data set and does not stand out on another; and a
# famous bug, measured.
#
# **What you will do.** Measure rates of convergence, score shapes over the length of a run, and ask of a
# schedule how much it does and when.
#
# **What you need.** Chapters 1 and 2, or this much of them. $\eta$ is the learning rate and $t$ counts
# optimizer steps (updates already made). A schedule is a *shape*, a function from the step to a factor;
# the rate is its *peak* $\eta_{\max}$ times the factor. On a quadratic with noisy gradients the loss is,
# in each direction of curvature $h$, the sum of the *distance* still to go and the *noise* that the
# steps have put there; steps are stable below $\eta = 2/h$. About half a minute on
# two CPU cores. `LRLIB_SEED` shifts every seed; `LRLIB_SCALE` multiplies the seeds, not the steps: the
# length of a run is a subject here.

# %%
import warnings

import matplotlib.pyplot as plt
import numpy as np
import torch
from lrlib import (
    Constant,
    ExponentialDecay,
    InverseTimeDecay,
    LRTrace,
    MultiStepDecay,
    PolynomialDecay,
    ScheduledLR,
    StepDecay,
    lab,
)
from lrlib.lab import figures

figures.use_style()

# %% [markdown]
# ## Do the stairs matter?
#
# The last chapter left a question. Seven halvings of the rate, evenly spaced, are a curve drawn with
# stairs. Smooth the stairs away, and you have a rate that falls by the same tiny factor at every step.
# Does the network notice?
#
# To compare the two fairly, look at what each part of the loss feels. With small steps, the distance in a
# direction of curvature $h$ shrinks by $\prod_t (1-\eta_t h)^2 \approx e^{-2h\sum_t \eta_t}$. It depends
# on the *area* $\sum_t\eta_t$ under the rate and on nothing else. The noise let in at step $t$ shrinks by the
# area that is still to come. So the loss feels the area, and how high the rate is when a given area is
# left. If stairs and curve have the same area under every stair, they agree in both but for the details
# within one stair. Over one stair the curve has a mean factor of

# %% tags=["nbval-check-output"]
stair = 125
stairs = StepDecay(stair, 0.5)
smooth = ExponentialDecay(0.5 ** (1 / stair))
mean_factor = smooth.sample(stair).mean()
print(f"{mean_factor:.3f}, so its peak must be {1 / mean_factor:.2f} times theirs")

# %% tags=["nbval-check-output"]
T = 1000
problem = lab.NoisyQuadratic(batch_size=256)
for peak in (0.25, 0.5, 1.0):
    of_stairs = problem.loss(peak * stairs.sample(T))[-1]
    of_smooth = problem.loss(peak / mean_factor * smooth.sample(T))[-1]
    ratio = of_smooth / of_stairs
    print(f"peak {peak}: {of_stairs:.5f} and {of_smooth:.5f}, ratio {ratio:.3f}")
lab.claim("quadratic: smooth over stairs, peak 1 (ratio)", ratio, within=(0.95, 1.05))

# %% [markdown]
# The area alone is not enough. Hold the peak for 207 steps and then a hundredth of it, and you have the area of
# an exponential ÷100, its first rate and its last. But nearly all of the area is over before the noise comes in
# for good:

# %% tags=["nbval-check-output"]
curve = ExponentialDecay.to_factor(0.01, T).sample(T)
box = np.where(np.arange(T) < 207, 1.0, 0.01)
losses = [problem.loss(rates)[-1] for rates in (curve, box)]
print(f"areas {curve.sum():.0f} and {box.sum():.0f}, losses", np.round(losses, 5))
lab.claim("same area, spent early (ratio of losses)", losses[1] / losses[0], above=1)

# %% [markdown]
# Now the network of the earlier chapters (MNIST-1D, two hidden layers of 100 units, SGD with momentum 0.9,
# batches of 16, 2,000 steps in 8 epochs of 250; momentum multiplies all areas by the same 10). The stairs have
# the peak 0.08 that chapter 2 found for them, and half of it; the curve has each of these divided by the mean
# factor.

# %%
task = lab.mnist1d_task()
T = 2000
stairs, smooth = StepDecay(T // 8, 0.5), ExponentialDecay(0.5 ** (8 / T))
peaks = np.array([0.04, 0.08])
pair = lab.sweep(
    task,
    {"stairs": stairs, "smooth": smooth},
    {"stairs": peaks, "smooth": peaks / smooth.sample(T // 8).mean()},
    lab.seeds(10),
    steps=T,
    batch_size=16,
)

# %%
thick = figures.look("step") | {"linestyle": "-", "linewidth": 5, "alpha": 0.4}
thin = {"color": "black", "linestyle": "-", "linewidth": 1}
runs = {
    "seven halvings": ("stairs", 0, thick),
    "exponential": ("smooth", 0, thin),
}
top, bottom = figures.loss_and_rate(pair, runs, width=50)
bottom.set_yscale("log")
top.legend()
top.set_title("Equal area under every stair, equal loss")
plt.show()

# %% [markdown]
# At the peak 0.04. Lines are medians over ten seeds of the mean over 50 steps, bands the 10th to 90th
# percentile. Both losses fall at every 250 steps, also that of the smooth curve: an epoch begins, and the
# network sees its examples again. That is not the rate.

# %% [markdown]
# A null needs a control: would this comparison have noticed a difference? Take the area correction away,
# that is, start the smooth curve where the stairs start.

# %%
control = lab.sweep(
    task,
    {"smooth": smooth},
    peaks,
    lab.seeds(10),
    steps=T,
    batch_size=16,
    evaluate=("val",),
)
stairs_loss, smooth_loss = pair.train_loss[..., -250:].mean(-1)
control_loss = control.train_loss[0, ..., -250:].mean(-1)
stairs_error, smooth_error = 100 * pair.at("test_error")

# %%
ratio = {"scale": "ratio"}
alike, noticed = smooth_loss / stairs_loss, control_loss / stairs_loss
lab.claims(
    [
        lab.claim(
            "peak 0.04, area matched: smooth over stairs, loss (ratio)",
            alike[0],
            no_difference=task.margin,
            **ratio,
        ),
        lab.claim("peak 0.04, area not matched (ratio)", noticed[0], above=1, **ratio),
        lab.measure("peak 0.08, area matched (ratio)", alike[1], **ratio),
        lab.measure("peak 0.08, area not matched (ratio)", noticed[1], **ratio),
        lab.measure(
            "peak 0.08, area matched: smooth less stairs, test error",
            smooth_error[1] - stairs_error[1],
            unit="points",
        ),
    ]
)

# %% [markdown]
# At half the best peak the comparison notices 28 % less rate, by a tenth of the loss [8 %, 12 %]; with the area
# matched it sees no difference, and excludes one of a tenth, the smallest that matters on this task. At the best
# peak the matched pair agrees too, but there the control fails as well: at the bottom of the valley a quarter
# less area changes nothing that we can see, so this null alone would prove little. A smooth shape may replace
# the stairs, and it says with one number what they say with two. That number is the subject of what follows.

# %% [markdown]
# ## One curve, written in three ways
#
# Exponential decay multiplies the rate by $\gamma$ at every step:
#
# $$\eta_t = \eta_{\max}\,\gamma^{t} = \eta_{\max}\,e^{-kt}, \qquad k = -\ln\gamma .$$
#
# Here $\gamma$ has no unit and $k$ is per step; $1/k$ is the number of steps in which the rate falls to
# $1/e$. (In chapter 2, $\gamma$ was per drop and $k$ a number of steps; PyTorch calls both gammas `gamma`.) Some
# texts list $\gamma^t$ and $e^{-kt}$ as two schedules. They are one. A third way to name
# it is by its end: $\gamma = f^{1/T}$ reaches the factor $f$ after $T$ steps. We write "÷10" for
# $f=0.1$ at the end of the run. The other two shapes of this chapter are
#
# $$\text{inverse time:}\quad \frac{1}{1 + r\,t/T}, \qquad\qquad
# \text{polynomial:}\quad f + (1-f)\left(1 - \frac{t}{T}\right)^{p},$$
#
# with $r$ the strength of the decay ($r=3$ ends at a quarter), $p$ the power and $f$ the final
# factor; the polynomial is held at $f$ after $T$. With $p=1$ it is *linear decay*, to zero unless said
# otherwise.


# %%
def exponential(t, gamma):
    return gamma**t


def inverse_time(t, r, T):
    return 1 / (1 + r * t / T)


def polynomial(t, T, p, f=0.0):
    return f + (1 - f) * (1 - min(t, T) / T) ** p


# %%
def rates_of(make_scheduler):
    """What an optimizer with peak 0.1 really used, step by step."""
    return lab.applied(make_scheduler, 100).lr[:, 0]


# %% tags=["nbval-check-output"]
t = range(100)
schedulers = torch.optim.lr_scheduler
k = 0.05
curve = [0.1 * exponential(i, np.exp(-k)) for i in t]
of_torch = rates_of(lambda opt: schedulers.ExponentialLR(opt, np.exp(-k).item()))
of_lrlib = rates_of(lambda opt: ScheduledLR(opt, ExponentialDecay.from_rate(k)))
print("exponential:", np.allclose(of_torch, curve), np.allclose(of_lrlib, curve))
curve = [0.1 * polynomial(i, 100, 2.0) for i in t]
of_torch = rates_of(lambda opt: schedulers.PolynomialLR(opt, 100, 2.0))
of_lrlib = rates_of(lambda opt: ScheduledLR(opt, PolynomialDecay(100, 2.0)))
print("polynomial:", np.allclose(of_torch, curve), np.allclose(of_lrlib, curve))
curve = [0.1 * inverse_time(i, 3, 100) for i in t]
of_lrlib = rates_of(lambda opt: ScheduledLR(opt, InverseTimeDecay(3, 100)))
print("inverse time:", np.allclose(of_lrlib, curve))

# %% [markdown]
# **Per epoch, per step.** A recipe says "$\gamma = 0.75$ per epoch": over the 8 epochs here that is a
# tenth. Per step, with 250 steps in an epoch, it is the 250th root.
#
# > **Predict.** Someone forgets the root and passes $\gamma=0.75$ to a scheduler that is stepped after
# > every batch. How many steps at the full peak does the whole run amount to?

# %% tags=["nbval-check-output"]
per_step = 0.75 ** (1 / 250)
print(f"per step {per_step:.6f}; after 2,000 steps {per_step**2000:.3f}")
for gamma in (0.75, per_step):
    area = ExponentialDecay(gamma).sample(2000).sum()
    print(f"γ = {gamma:.6f} per step: an area of {area:.1f} steps at the peak")

# %%
wrong = lab.sweep(
    task,
    {"per step": ExponentialDecay(per_step), "per epoch": ExponentialDecay(0.75)},
    [0.08],
    lab.seeds(4),
    steps=T,
    batch_size=16,
)
right_error, wrong_error = 100 * wrong.at("test_error")[:, 0]
lab.claim(
    "γ per epoch, stepped per batch: cost in test error (points)",
    wrong_error - right_error,
    above=task.margin.points,
)

# %% [markdown]
# No exception and no NaN; this run looks like one with a bad peak. The sum of a geometric series, $1/(1-\gamma)$
# = 4 steps at the peak, is all the area there is.

# %% [markdown]
# ## How far to fall: it depends on how long you run
#
# Exponential decay asks for one number, the final factor. On the quadratic of chapter 2 (curvatures $1, 1/2,
# \dots, 1/100$, batches of 256) every shape gets its best peak below the stability limit 2 and is scored: its
# final loss over that of the best schedule found, so that 1 is perfect. In chapter 2 the run of 1,000 steps
# was limited by noise, the run of 100 by curvature (the flat directions were not done). Here are the
# lengths between as well.
#
# > **Predict.** Final factors from 0.5 down to 0.003, runs of 100 to 1,000 steps. Where is the best one for
# > the short run, where for the long?

# %%
lengths = (100, 200, 300, 500, 1000)
finals = (0.5, 0.3, 0.1, 0.03, 0.01, 0.003)
fig, ax = plt.subplots()
ends = {}
for steps, color in zip(lengths, figures.shades(5), strict=True):
    falls = [ExponentialDecay.to_factor(f, steps) for f in finals]
    row = [problem.score(shape, steps) for shape in falls]
    ax.plot(finals, row, color=color, marker="o", markersize=4)
    ax.plot(finals[np.argmin(row)], min(row), "v", color=color, markersize=11)
    ends[f"{steps:,} steps"] = row[-1], color
ax.set(xscale="log", yscale="log", xlim=(0.6, 0.0012))
ax.set(xlabel="final factor (further down to the right)")
ax.set(ylabel="final loss / best schedule's")
ax.set_xticks(finals, [f"{f:g}" for f in finals])
ax.set_yticks((1, 2, 5, 10, 20), (1, 2, 5, 10, 20))
ax.minorticks_off()
ax.set_title("The longer the run, the further the rate should fall")
figures.name_ends(ax, finals[-1], ends)
plt.show()

# %% [markdown]
# The triangles mark the best final factor of each length: a half for 100 steps, a hundredth for 1,000. Now
# the exponentials beside the shapes you know, and the line:


# %%
def shapes_for(steps):
    recipe = [int(share * steps) for share in (0.3, 0.6, 0.9)]
    return {
        "fixed": Constant(),
        "one drop": MultiStepDecay([int(0.8 * steps)]),
        "30/60/90": MultiStepDecay(recipe),
        "÷10": ExponentialDecay.to_factor(1 / 10, steps),
        "÷100": ExponentialDecay.to_factor(1 / 100, steps),
        "inverse time": InverseTimeDecay(3, steps),
        "linear": PolynomialDecay(steps),
    }


# %% tags=["nbval-check-output"]
scores = {
    steps: [problem.score(shape, steps) for shape in shapes_for(steps).values()]
    for steps in lengths
}
print(f"{'steps':12}", *(f"{steps:7}" for steps in lengths))
for name, *row in zip(shapes_for(100), *scores.values(), strict=True):
    print(f"{name:12}", *(f"{x:7.2f}" for x in row))

# %% [markdown]
# ÷100 is the worst of the seven in the short run and the best in the long one, with nothing changed but the
# length. In the short run all but the fixed rate would like a peak above the limit, and what is left to
# rank them is their area: one drop has most of it, ÷100 least. In the long run area is plenty, and what
# counts is a low end. The line is the best from 200 steps to 500, and nowhere the worst.

# %%
names = list(shapes_for(100))
short, long = (dict(zip(names, scores[steps], strict=True)) for steps in (100, 1000))
lab.claims(
    [
        lab.claim(
            "curvature-limited: ÷100 over one drop (ratio of losses)",
            short["÷100"] / short["one drop"],
            above=1,
        ),
        lab.claim(
            "noise-limited: ÷100 over one drop (ratio of losses)",
            long["÷100"] / long["one drop"],
            below=1,
        ),
    ]
)

# %% [markdown]
# ## With 1/t the constant decides how fast
#
# Robbins and Monro (1951) gave conditions under which a noisy search finds its goal:
#
# $$\sum_t \eta_t = \infty, \qquad \sum_t \eta_t^2 < \infty .$$
#
# The first says that the area must not run out: from any start, you can get there. The second makes the
# noise that you let in finite in total. $\eta_t \propto 1/t$ satisfies both. A fixed rate fails the second,
# exponential decay the first. Take one direction, with curvature, noise variance and batch size 1:

# %%
one = lab.NoisyQuadratic(curvature=1.0, gradient_variance=1.0)
n = 20_000
t = np.arange(n)
late = {"color": "#8C6D31", "linestyle": "--"}
families = {
    "0.5": (np.full(n, 0.5), figures.look("constant")),
    "$0.5/\\sqrt{1+t}$": (0.5 / np.sqrt(1 + t), figures.look("inverse square root")),
    "$0.25/(1+t)$": (0.25 / (1 + t), late),
    "$1/(1+t)$": (1 / (1 + t), late | {"linestyle": "-"}),
    "$0.5/(1+t)^2$": (0.5 / (1.0 + t) ** 2, {"color": "0.5", "linestyle": "-."}),
    "$0.5\\cdot 0.5^t$": (0.5 * 0.5**t, figures.look("exponential")),
}
fig, ax = plt.subplots()
ends = {}
for name, (rates, look) in families.items():
    loss = one.loss(rates)
    ax.plot(np.arange(1, n + 1), loss[1:], **look)
    slope = np.log10(loss[n // 10] / loss[n])
    ends[f"{name}, exponent {slope:.2f}"] = loss[n], look["color"]
ax.set(xscale="log", yscale="log", xlim=(1, 4e6), xlabel="step", ylabel="expected loss")
ax.set_xticks([1, 10, 100, 1000, 10_000])
ax.set_title("Loss falls as a power of the time, or stops falling")
figures.name_ends(ax, n, ends)
plt.show()

# %% [markdown]
# The number behind each rate is the exponent measured over the last decade, $-\mathrm d\log L/\mathrm
# d\log t$. The fixed rate stops at its floor. $1/t^2$ and the exponential run out of area, and stop with a part of
# the distance not covered and a part of the noise not forgotten. $a/(1+t)$ goes on for ever, and its constant
# decides how fast: the distance falls with exponent $2ah$, the noise with exponent 1, and the slower of the two
# is what you see.


# %% tags=["nbval-check-output"]
def exponent(a, n=20_000):
    loss = one.loss(a / (1 + np.arange(n)))
    return np.log10(loss[n // 10] / loss[n])


print({a: f"{exponent(a):.2f}" for a in (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)})

# %% [markdown]
# At $a = 1/(2h)$, where the two are equal, a logarithm slows it (0.91 here). Too large a constant costs a factor
# ($a^2h^2/(2ah-1)$, best at $a=1/h$), too small a constant costs the exponent. With one direction the choice is
# easy. With a hundred, the flattest ($h = 1/100$) wants $a > 50$, and the first steps must respect the
# steepest. The shape $1/(1+rt/T)$ holds the start down; then either it ends too high or, with a large $r$, has
# too little area. Tuning $r$ as well does not bring it near the best at any length:

# %% tags=["nbval-check-output"]
for steps in lengths:
    falls = {r: InverseTimeDecay(r, steps) for r in (1, 3, 5, 10, 20)}
    row = {r: problem.score(shape, steps) for r, shape in falls.items()}
    r = min(row, key=row.get)
    print(f"{steps:5,} steps: best r = {r}, {row[r]:.2f} times the best schedule")

# %% [markdown]
# Two warnings about reading the conditions. On this quadratic the first cannot be spared, but the second can:
# $1/\sqrt t$ violates it, and the expected loss goes to zero all the same, with exponent 0.5. And they speak of
# infinitely many steps. In a run of $T$ steps every sum is finite, and exponential decay, which fails the
# first condition, is within 10 % of the best schedule for 1,000 steps. Of a finite run you need to
# know whether $h\sum_t\eta_t$ is well above 1 in the directions that matter, not whether the sum is infinite.

# %% [markdown]
# ## On MNIST-1D, the line wins
#
# > **Predict.** The same seven shapes on MNIST-1D, 2,000 steps, each with the best of five peaks, a factor of two
# > apart. Where will ÷100 end: above the fixed rate, or below? Which shape is best?


# %%
def tuned(shapes, steps, seeds, lowest, task=task):
    """Every shape at five peaks, doubling from its lowest, on the same seeds."""
    lowest = {name: lowest.get(name, 0.02) for name in shapes}
    result = lab.tune(task, shapes, lowest, lab.seeds(seeds), steps=steps)
    best = {name: round(peak, 4) for name, peak in result.best_peaks().items()}
    print(f"{steps:5,} steps:", best)
    return result


def errors(result):
    """Test error in per cent, each seed at the peak that all others choose."""
    return {name: 100 * values for name, values in result.judged()[0].items()}


# %%
lowest = {"fixed": 0.005, "one drop": 0.01, "30/60/90": 0.01}
result = tuned(shapes_for(T), T, 10, lowest)
error = errors(result)

# %%
LOOKS = {
    "fixed": figures.look("constant"),
    "one drop": figures.look("step"),
    "30/60/90": figures.look("step"),
    "÷10": figures.look("exponential"),
    "÷100": figures.look("exponential") | {"color": "#A0522D", "linestyle": ":"},
    "inverse time": figures.look("inverse time"),
    "linear": figures.look("linear"),
}
runs = {}
for name in ("fixed", "÷10", "÷100", "linear"):
    peaks = result.peaks[result.schedules.index(name)]
    runs[name] = (name, int(peaks.searchsorted(result.best_peaks()[name])), LOOKS[name])
top, bottom = figures.loss_and_rate(result, runs, width=100)
bottom.set(yscale="log", ylim=(3e-4, 0.15))
top.legend()
top.set_title("Behind for half of the run, the line is ahead at the end")
plt.show()

# %%
fig, ax = plt.subplots(figsize=(7.6, 3.2))
over_fixed = {name: error["fixed"] - error[name] for name in LOOKS}
colors = {name: look["color"] for name, look in LOOKS.items()}
figures.intervals(ax, over_fixed, colors)
ax.set(xlabel="gain over the fixed rate (points of test error, 95 % interval)")
ax.set_title("The line gains most over the fixed rate")
plt.show()

# %%
points = {"unit": "points"}
rows = [
    lab.claim(
        "gain of linear over the fixed rate",
        result.compare("fixed", "linear"),
        above=0,
        **points,
    ),
    lab.claim("÷10 ahead of ÷100", result.compare("÷100", "÷10"), above=0, **points),
]
for name in ("÷10", "÷100"):
    gain = result.compare("fixed", name)
    rows.append(lab.measure(f"gain of {name} over the fixed rate", gain, **points))
for name in ("one drop", "÷10", "÷100", "inverse time"):
    ahead = result.compare(name, "linear")
    rows.append(lab.measure(f"linear ahead of {name}", ahead, **points))
lab.claims(rows)

# %% [markdown]
# The table's intervals contain the tuning; the figure's are over seeds, each at the peak that the others choose.
# The line is ahead of the fixed rate by 7.4 points [6.0, 8.8], and of ÷10, which comes nearest, by 1.9
# [1.3, 2.4], about the two points that matter on this task. ÷100 has lost what ÷10 gains on the fixed rate: ten
# seeds cannot tell it from that, −0.5 points [−2.8, 1.7].
#
# At a common peak the line stays above the other smooth shapes for two thirds of the run, and still ends at zero:
# more area, and a lower end. A late drop gains and an early fall does not, so both distance and noise seem to
# limit this run. Which length of the quadratic it is most like, seven shapes cannot say.
#
# **And where early falls won?** On the noisy digits of chapter 2 (1,000 examples, 30 % wrong training labels) the
# recipe beat the fixed rate. One data set is one data set:

# %%
digits = lab.digits_task(label_noise=0.3)
lowest = {"fixed": 0.00125, "÷100": 0.01, "linear": 0.0025}
three = {name: shapes_for(T)[name] for name in lowest}
on_digits = tuned(three, T, 16, lowest, task=digits)
lab.claims(
    [
        lab.measure(
            f"noisy digits: gain of {name} over the fixed rate",
            on_digits.compare("fixed", name),
            **points,
        )
        for name in ("÷100", "linear")
    ]
    + [
        lab.measure(
            "noisy digits: linear less ÷100",
            on_digits.compare("linear", "÷100"),
            **points,
        )
    ]
)

# %% [markdown]
# Here ÷100 does gain on the fixed rate, 1.3 points [0.6, 2.0]; so does the line, 1.1 [0.1, 2.1]. Between the two
# no difference shows, 0.2 points [−0.7, 1.1], though one as large as the point that matters here is not excluded.
# The order of shapes belongs to the run, not to the shapes.

# %% [markdown]
# ## Does the recipe catch up if it gets more time?
#
# Li et al. (2020) asked what to do when the budget is a fraction of what the recipe was made for. Their
# answer: scale the schedule to the budget, and take linear decay, which is robust at every length; step decay
# catches up when the budget is long. All runs here are scaled to their budget.
#
# > **Predict.** The fixed rate, the 30/60/90 recipe of chapter 2 and the line, with 500, 2,000 and 4,000 steps.
# > Each is tuned at each length. Does the recipe catch up with the line? With the fixed rate?


# %%
def three_shapes(steps):
    every = shapes_for(steps)
    return {name: every[name] for name in ("fixed", "30/60/90", "linear")}


lowest = {"fixed": 0.005, "30/60/90": 0.01}
at_budget = {
    steps: tuned(three_shapes(steps), steps, seeds, lowest)
    for steps, seeds in ((500, 16), (4000, 6))
}
by_budget = {steps: errors(runs) for steps, runs in at_budget.items()}
at_budget[2000], by_budget[2000] = result, error

# %%
fig, ax = plt.subplots()
budgets, ends = sorted(by_budget), {}
for name, look in (("fixed", "constant"), ("30/60/90", "step"), ("linear", "linear")):
    runs = np.stack([by_budget[steps][name][:6] for steps in budgets], axis=1)
    figures.band(ax, budgets, runs, marker="o", **figures.look(look))
    ends[name] = np.median(runs[:, -1]), figures.look(look)["color"]
ax.set(xscale="log", xlim=(450, 5600), xlabel="budget (steps)", ylabel="test error (%)")
ax.set_xticks(budgets, [f"{steps:,}" for steps in budgets])
ax.minorticks_off()
ax.set_title("The recipe falls behind and comes back; the line stays ahead")
figures.name_ends(ax, 4000, ends)
plt.show()

# %%
rows = []
for steps in budgets:
    runs = at_budget[steps]
    behind = runs.compare("30/60/90", "linear")
    rows.append(
        lab.claim(f"{steps:,} steps: recipe behind linear", behind, above=0, **points)
    )
    for name, shape in (("the recipe", "30/60/90"), ("linear", "linear")):
        gain = runs.compare("fixed", shape)
        rows.append(lab.measure(f"{steps:,} steps: gain of {name}", gain, **points))
lab.claims(rows)

# %% [markdown]
# (Bands in the figure: six seeds, the same at each budget; the table has all.) The line is ahead of the recipe at
# every budget: by 5.7 points [4.7, 6.7] at 500 steps, 11.1 [9.7, 12.4] at 2,000 and 7.4 [6.9, 7.9] at 4,000.
# Against the fixed rate no difference shows at 500 steps, 0.6 points [−1.4, 2.5]; at 2,000 the recipe is 3.6
# [1.4, 5.9] behind; at 4,000 it is level again, 0.6 [−0.4, 1.6]. So from 2,000 to 4,000 steps it comes closer to
# both, as Li et al. would have it. Whether it reaches the line in longer runs, 16 epochs cannot say.

# %% [markdown]
# ## Folklore and pitfalls
#
# **"Linear decay is optimal."** For convex losses with gradients bounded by $G$ and a start at distance $D$, a line
# to zero with a peak proportional to $D/(G\sqrt T)$ gives the last iterate the best guarantee possible (Zamani and
# Glineur, 2023; for stochastic gradients Defazio et al., 2023). The best guarantee for a class does not say
# what is best on one problem. (Chapter 4 holds this bound against the network.) The quadratic is not even in
# the class, its gradients being unbounded, and there the line is not the best:

# %%
lab.claims(
    [
        lab.claim(
            f"linear over the best schedule, {steps} steps (ratio of losses)",
            by_length["linear"],
            above=lab.MARGINS["quadratic"].ratio,
        )
        for steps, by_length in (("100", short), ("1,000", long))
    ]
)

# %% [markdown]
# What makes it a serious default is less: on the quadratic, from 200 steps to 1,000, it was within 1.6 times the
# best schedule, and far from it only in the shortest run; it was ahead on MNIST-1D, and on noisy digits no
# difference from the best of three showed. Beside the peak it needs one number, the length of the run, and that
# before the run begins. Against it stands Ge et al. (2019): for the last iterate of noisy least squares, polynomial
# decays are far from the best possible, and a step decay with about $\log T$ cuts is within a logarithmic factor
# of it. For larger models the literature speaks for the line: it matches or beats the usual defaults on ten
# problems (Defazio et al., 2023), and after a warm-up, with AdamW and at its best peak, decaying all the way to
# zero is best for the language models of Bergsma et al. (2025).
#
# **"A recursive scheduler drifts."** PyTorch's `ExponentialLR` does not evaluate $\gamma^t$; it multiplies
# the current rate by $\gamma$. Rounding errors pile up, so people write closed forms. How much is it?


# %%
def drift(make_scheduler, gamma, lr, steps):
    """Relative error of the last rate applied."""
    exact = float(lr) * gamma ** (steps - 1)
    return abs(lab.applied(make_scheduler, steps, lr=lr).lr[-1, 0] / exact - 1)


def recursive_drift(lr, steps=20_000):
    gamma = 0.01 ** (1 / steps)  # ÷100
    return drift(lambda opt: schedulers.ExponentialLR(opt, gamma), gamma, lr, steps)


in_float, in_tensor = recursive_drift(0.1), recursive_drift(torch.tensor(0.1))
gamma = 0.01 ** (1 / 20_000)
rounded = float(torch.tensor(gamma)) / gamma
print(f"Python float {in_float:.0e}, float32 tensor {in_tensor:.2e}")
print(f"from rounding γ once: {abs(rounded**19_999 - 1):.2e}")

# %%
lab.claim("relative drift over 20,000 steps, Python float", in_float, below=1e-12)

# %% [markdown]
# In double precision the drift is a myth. It is real where the rate is a float32 tensor, as compiled optimizers
# want it, and it is one rounding rather than many: $\gamma$ itself is cut to seven digits, and $(\hat\gamma /
# \gamma)^T$ remembers. That is 0.04 % over 20,000 steps and 1.6 % over a million, still small beside the factor of
# two between neighbours on our grid of peaks. (`ScheduledLR` writes the closed form, rounded once.)
#
# **The real harm of recursion** is another: a recursive scheduler goes on from whatever it finds in the
# optimizer. Let something else touch the rate once, at step 50:


# %%
def disturbed(make_scheduler):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    scheduler, trace = make_scheduler(optimizer), LRTrace(optimizer)
    for step in range(100):
        if step == 50:
            optimizer.param_groups[0]["lr"] = 0.1
        optimizer.step()
        scheduler.step()
    return trace


plan = ExponentialDecay.to_factor(0.01, 100)
ax = disturbed(lambda opt: schedulers.ExponentialLR(opt, plan.gamma)).plot(
    plan, peak=0.1
)
ax.set(yscale="log", title="One edit at step 50, and the plan is left for good")
plt.show()
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    trace = disturbed(lambda opt: ScheduledLR(opt, plan))
print(str(said[0].message).split(" (")[0])
print("ScheduledLR one step later:", trace.lr[51, 0] == 0.1 * plan(51))

# %% [markdown]
# `PolynomialLR` and `LinearLR` are recursive too. The reverse side of a closed form: it undoes a deliberate edit at
# the next step, and says so once. Change the peak instead (`scheduler.base_lrs`).
#
# **A pitfall: the line that ended too soon.** `PolynomialLR`'s default is `total_iters=5`; with `total_iters=epochs`
# and a step after every batch, the line is over after as many batches as there are epochs. From then on the
# rate is 0, and nothing says so:

# %%
optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
scheduler, trace = schedulers.PolynomialLR(optimizer), LRTrace(optimizer)
for _ in range(8):
    optimizer.step()
    scheduler.step()
print(np.round(trace.lr[:, 0], 3))

# %% [markdown]
# With gradient accumulation it is the other way round: fewer optimizer steps than batches, and a line that never
# reaches its end. Count optimizer steps: an epoch has `math.ceil(len(loader) / accumulate)` of them if
# the loop steps on the last, partial group, `len(loader) // accumulate` if it does not.

# %% [markdown]
# ## In your own code

# %%
model, steps_per_epoch, epochs = lab.mlp(40, 100, 100, 10), 250, 8
total_steps = epochs * steps_per_epoch
optimizer = torch.optim.SGD(model.parameters(), lr=0.08, momentum=0.9)

# plain torch, stepped after every batch: a line to zero
plain = schedulers.PolynomialLR(optimizer, total_iters=total_steps)
# or, on an optimizer of its own, an exponential to a tenth:
# schedulers.ExponentialLR(optimizer, gamma=0.1 ** (1 / total_steps))

# %%
optimizer = torch.optim.SGD(model.parameters(), lr=0.08, momentum=0.9)
shape = PolynomialDecay(total_steps)  # or ExponentialDecay.to_factor(0.1, total_steps)
scheduler, trace = ScheduledLR(optimizer, shape), LRTrace(optimizer)
# then, after every optimizer.step(): scheduler.step()
print(shape, shape.sample(total_steps)[[0, 1000, 1999]].round(4))

# %% [markdown]
# ## Summary
#
# - Seven stairs and the curve with the same area under every stair train alike, to less than a tenth of the
#   loss. What counts is how much area a shape has, and how much of it is left when the rate is high.
# - $\gamma^t$ and $e^{-kt}$ are one curve with $k=-\ln\gamma$; $\gamma$ per epoch is the root of it per
#   step. Forget the root, and the whole run amounts to $1/(1-\gamma)$ steps.
# - How far to fall depends on the run; on the quadratic, the longer, the further. On MNIST-1D ÷10 gained 5.5
#   points [4.3, 6.8] on the fixed rate, ÷100 none that we could see, −0.5 [−2.8, 1.7]; on noisy digits ÷100
#   gained 1.3 [0.6, 2.0].
# - The conditions of Robbins and Monro are about infinite runs. With $a/(1+t)$ the exponent is $\min(1, 2ah)$.
# - With 2,000 steps on MNIST-1D, each shape at its own peak, the line to zero was ahead of the six others, of the
#   nearest by 1.9 points [1.3, 2.4]; with 500 and 4,000 it beat the two that were tried. On noisy digits it gained
#   1.1 [0.1, 2.1] on the fixed rate, and no difference from ÷100 showed.
# - Float drift is no reason for a closed form. A rate that others may edit is.
#
# In practice: if you know the length, take a line to zero and a peak from a coarse grid (here four times the
# best fixed rate). If you prefer an exponential, fix its final factor and derive $\gamma = f^{1/T}$; raise $f$
# if the run is short.
#
# The line leaves its peak at once and arrives at zero at full speed. Would it help to leave slowly, and to
# arrive slowly? The next chapter bends the line into a cosine.
#
# ## Exercises
#
# In `exercises/03_exponential_decay/`:
#
# 1. γ per step; 2. polynomial decay from its formula; 3. what is wrong with this comparison? 4. open: a
# polynomial for both regimes.
#
# ## References
#
# - S. Bergsma, N. Dey, G. Gosal, G. Gray, D. Soboleva, J. Hestness (2025). *Straight to zero: why linearly
#   decaying the learning rate to zero works best for LLMs.* ICLR.
# - A. Defazio, A. Cutkosky, H. Mehta, K. Mishchenko (2023). *Optimal linear decay learning rate schedules and
#   further refinements.*
# - R. Ge, S. M. Kakade, R. Kidambi, P. Netrapalli (2019). *The step decay schedule: a near optimal, geometrically
#   decaying learning rate procedure for least squares.* NeurIPS.
# - M. Li, E. Yumer, D. Ramanan (2020). *Budgeted training: rethinking deep neural network training under
#   resource constraints.* ICLR.
# - H. Robbins, S. Monro (1951). *A stochastic approximation method.* Annals of Mathematical Statistics 22(3).
# - M. Zamani, F. Glineur (2023). *Exact convergence rate of the last iterate in subgradient methods.*
