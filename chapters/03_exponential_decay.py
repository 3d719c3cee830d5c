# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 3 · Exponential, inverse-time and polynomial decay
#
# **What you will see.** Stairs and a smooth curve give the same loss; the same curve, fallen ten times as
# far, loses all it had gained; the oldest conditions on a decay, and how much they say about a run that
# ends; a straight line that beats the curves on one data set and not on another; and a famous bug, measured.
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
from scipy import stats

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
lab.claim("same area, spent early (ratio of losses)", losses[1] / losses[0], above=1.5)

# %% [markdown]
# Now the network of the earlier chapters (MNIST-1D, two hidden layers of 100 units, SGD with momentum 0.9,
# batches of 16, 2,000 steps in 8 epochs of 250; momentum multiplies all areas by the same 10). The stairs have the peak 0.04 that chapter 2 found for
# them, the curve has 0.04 divided by the mean factor.

# %%
task = lab.mnist1d_task()
T = 2000
stairs, smooth = StepDecay(T // 8, 0.5), ExponentialDecay(0.5 ** (8 / T))
pair = lab.sweep(
    task,
    {"stairs": stairs, "smooth": smooth},
    {"stairs": 0.04, "smooth": 0.04 / smooth.sample(T // 8).mean()},
    lab.seeds(12),
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
top, bottom = figures.loss_and_rate(pair, runs, width=25)
bottom.set_yscale("log")
top.legend()
top.set_title("Equal area under every stair, equal loss")
plt.show()

# %% [markdown]
# Lines are medians over twelve seeds of the mean over 25 steps, bands the 10th to 90th percentile. Both losses fall
# at every 250 steps, also that of the smooth curve: an epoch begins, and the network sees its examples again.
# That is not the rate.

# %%
stairs_loss, smooth_loss = pair.train_loss[:, 0, :, -250:].mean(-1)
lab.claim(
    "network: smooth over stairs, training loss of the last epoch (ratio)",
    smooth_loss / stairs_loss,
    no_difference=1.04,
    scale="ratio",
)

# %%
stairs_error, smooth_error = 100 * pair.at("test_error")[:, 0]
lab.claim(
    "network: smooth less stairs, test error (points)",
    smooth_error - stairs_error,
    no_difference=2,
)

# %% [markdown]
# A null needs a control: would this comparison have noticed a difference? Take the area correction away,
# that is, start the smooth curve at 0.04 too.

# %%
control = lab.sweep(
    task, {"smooth": smooth}, [0.04], lab.seeds(12), steps=T, batch_size=16
)
control_loss = control.train_loss[0, 0, :, -250:].mean(-1)
lab.claim(
    "network: smooth over stairs from the same peak (ratio)",
    control_loss / stairs_loss,
    above=1.05,
    scale="ratio",
)

# %% [markdown]
# It does notice 28 % less rate. The stairs change nothing that twelve seeds can see. So a smooth shape may
# replace the stairs, and it says with one number what they say with two. That number is the subject of what
# follows.

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
def applied(make_scheduler, lr=0.1, steps=100):
    """The rates that an optimizer with peak lr really used."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    scheduler, trace = make_scheduler(optimizer), LRTrace(optimizer)
    for _ in range(steps):
        optimizer.step()
        scheduler.step()
    return trace.lr[:, 0]


# %% tags=["nbval-check-output"]
t = range(100)
schedulers = torch.optim.lr_scheduler
k = 0.05
curve = [0.1 * exponential(i, np.exp(-k)) for i in t]
of_torch = applied(lambda opt: schedulers.ExponentialLR(opt, np.exp(-k).item()))
of_lrlib = applied(lambda opt: ScheduledLR(opt, ExponentialDecay.from_rate(k)))
print("exponential:", np.allclose(of_torch, curve), np.allclose(of_lrlib, curve))
curve = [0.1 * polynomial(i, 80, 2.0) for i in t]
of_torch = applied(lambda opt: schedulers.PolynomialLR(opt, 80, 2.0))
of_lrlib = applied(lambda opt: ScheduledLR(opt, PolynomialDecay(80, 2.0)))
print("polynomial:", np.allclose(of_torch, curve), np.allclose(of_lrlib, curve))
curve = [0.1 * inverse_time(i, 3, 100) for i in t]
of_lrlib = applied(lambda opt: ScheduledLR(opt, InverseTimeDecay(3, 100)))
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
    above=30,
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
ax.set(xscale="log", yscale="log", xlim=(0.6, 0.0012), xlabel="final factor")
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
lab.claim(
    "curvature-limited: ÷100 over one drop (ratio of losses)",
    short["÷100"] / short["one drop"],
    above=5,
)

# %%
lab.claim(
    "noise-limited: ÷100 over one drop (ratio of losses)",
    long["÷100"] / long["one drop"],
    below=0.6,
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
    ends[f"{name}: {slope:.2f}"] = loss[n], look["color"]
ax.set(xscale="log", yscale="log", xlim=(1, 6e5), xlabel="step", ylabel="expected loss")
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


# %%
def exponent(a, n=20_000):
    loss = one.loss(a / (1 + np.arange(n)))
    return np.log10(loss[n // 10] / loss[n])


print({a: f"{exponent(a):.2f}" for a in (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)})
lab.claim("exponent with a = 1/(4h)", exponent(0.25), within=(0.49, 0.51))

# %%
lab.claim("exponent with a = 2/h", exponent(2.0), within=(0.99, 1.01))

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
# Where each grid of five peaks begins; all others: 0.02.
LOWEST = {"fixed": 0.005, "one drop": 0.01, "30/60/90": 0.01}


def tune_and_judge(shapes, steps, seeds, task=task, lowest=LOWEST):
    """Peaks by validation error on 3 tuning seeds; then runs on other seeds."""
    settings = {"steps": steps, "batch_size": 16}
    grid = {name: lowest.get(name, 0.02) * 2.0 ** np.arange(5) for name in shapes}
    tuning = lab.sweep(task, shapes, grid, lab.seeds(3, "tune"), **settings)
    peaks = tuning.best_peaks("val_error")
    print(f"{steps:5,} steps:", {name: round(peak, 4) for name, peak in peaks.items()})
    return lab.sweep(task, shapes, peaks, lab.seeds(seeds), **settings)


def errors(result):
    """Test error in per cent, one row of seeds per shape."""
    return dict(zip(result.schedules, 100 * result.at("test_error")[:, 0], strict=True))


# %%
result = tune_and_judge(shapes_for(T), T, seeds=10)
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
runs = {name: (name, 0, LOOKS[name]) for name in ("fixed", "÷10", "÷100", "linear")}
top, bottom = figures.loss_and_rate(result, runs, width=25)
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
ax.set_title("÷100 gains nothing that we can see; the line gains most")
plt.show()

# %%
gain = error["fixed"] - error["÷100"]
lab.claim("gain of ÷100 over the fixed rate (points)", gain, no_difference=4.5)

# %%
lab.claim("÷10 against ÷100 (points)", error["÷100"] - error["÷10"], above=3)

# %%
lab.claim(
    "gain of linear over the fixed rate (points)",
    error["fixed"] - error["linear"],
    above=5,
)

# %%
for name in ("one drop", "÷10", "inverse time"):
    lab.claim(f"linear against {name} (points)", error[name] - error["linear"], above=0)

# %% [markdown]
# The intervals in the figure are against the fixed rate; between two shapes the paired ones in the claims are
# narrower. ÷100 and the fixed rate end alike in test error, and not for the same reason: the training loss of
# ÷100 is the lower of the two, and still it has no gain that we can detect. At a common peak the line stays
# above the other smooth shapes for two thirds of the run, and still ends at zero: more area, and a lower
# end. Which length of the quadratic orders the seven shapes as the network does? And does one need the
# quadratic for that, or is the area of the tuned run enough?

# %%
mean_error = [error[name].mean() for name in LOOKS]
for steps in lengths:
    print(f"quadratic, {steps:5} steps: rank correlation", end=" ")
    print(f"{stats.spearmanr(mean_error, scores[steps]).statistic:+.2f}")
area = result.lr[:, 0, 0].sum(-1)
print(f"area, large to small: {stats.spearmanr(mean_error, -area).statistic:+.2f}")

# %% [markdown]
# The lengths in between agree best, as if distance and noise both limited this run. But the area alone orders
# the seven about as well, and the best of five correlations on seven ranks describes, it does not test. So
# take it as a hint. Chapter 2 looked at the two ends only, and the same network sided with the short one.
#
# **And where early falls won?** On the noisy digits of chapter 2 (1,000 examples, 30 % wrong training labels) the
# recipe beat the fixed rate. One data set is one data set:

# %%
digits = lab.digits_task(label_noise=0.3, seed=lab.seed_offset())
lowest = {"fixed": 0.0025, "÷100": 0.01, "linear": 0.005}
three = {name: shapes_for(T)[name] for name in lowest}
on_digits = errors(tune_and_judge(three, T, 16, digits, lowest))
gain = on_digits["fixed"] - on_digits["÷100"]
lab.claim("noisy digits: gain of ÷100 over the fixed rate (points)", gain, above=0)

# %%
lab.claim(
    "noisy digits: linear less ÷100 (points)",
    on_digits["linear"] - on_digits["÷100"],
    no_difference=1.5,
)

# %% [markdown]
# Here ÷100 does gain, and the line is not ahead of it; it is not far behind either. The order of shapes belongs to the
# run, not to the shapes. What speaks for the line is that on neither it was far from the
# best.

# %% [markdown]
# ## Does the recipe catch up if it gets more time?
#
# Li et al. (2020) asked what to do when the budget is a fraction of what the recipe was made for. Their
# answer: scale the schedule to the budget, and take linear decay, which is robust at every length; step decay
# catches up when the budget is long. All runs here are scaled to their budget.
#
# > **Predict.** The fixed rate, the 30/60/90 recipe of chapter 2 and the line, with 500, 2,000 and 4,000 steps. Each is tuned at each length. Does the recipe catch up with the line? With the fixed rate?


# %%
def three_shapes(steps):
    every = shapes_for(steps)
    return {name: every[name] for name in ("fixed", "30/60/90", "linear")}


by_budget = {
    steps: errors(tune_and_judge(three_shapes(steps), steps, seeds=10))
    for steps in (500, 4000)
}
by_budget[2000] = error

# %%
fig, ax = plt.subplots()
budgets, ends = sorted(by_budget), {}
for name, look in (("fixed", "constant"), ("30/60/90", "step"), ("linear", "linear")):
    runs = np.stack([by_budget[steps][name] for steps in budgets], axis=1)
    figures.band(ax, budgets, runs, marker="o", **figures.look(look))
    ends[name] = np.median(runs[:, -1]), figures.look(look)["color"]
ax.set(xscale="log", xlim=(450, 5600), xlabel="budget (steps)", ylabel="test error (%)")
ax.set_xticks(budgets, [f"{steps:,}" for steps in budgets])
ax.minorticks_off()
ax.set_title("The recipe falls behind and comes back; the line stays ahead")
figures.name_ends(ax, 4000, ends)
plt.show()

# %%
behind = {steps: e["30/60/90"] - e["linear"] for steps, e in by_budget.items()}
lab.claim("500 steps: recipe behind linear (points)", behind[500], above=2)

# %%
lab.claim("4,000 steps: recipe behind linear (points)", behind[4000], above=4)

# %%
for steps in (500, 4000):
    gain = by_budget[steps]["fixed"] - by_budget[steps]["linear"]
    lab.claim(f"{steps:,} steps: gain of linear over fixed (points)", gain, above=2)

# %%
lab.claim(
    "the gap narrows from 2,000 to 4,000 steps (points)",
    behind[2000] - behind[4000],
    above=1,
)

# %%
recipe_gain = {steps: e["fixed"] - e["30/60/90"] for steps, e in by_budget.items()}
lab.claim(
    "the recipe gains on the fixed rate from 2,000 to 4,000 (points)",
    recipe_gain[4000] - recipe_gain[2000],
    above=2,
)

# %% [markdown]
# The line is ahead at every budget tried. The recipe is level with the fixed rate in the short run, behind it at
# 2,000 steps, and level or ahead at 4,000. Its gap to the line is widest at 2,000 steps and narrows after that; whether
# it closes, 4,000 steps (16 epochs) cannot say.

# %% [markdown]
# ## Folklore and pitfalls
#
# **"Linear decay is optimal."** For convex losses with gradients bounded by $G$ and a start at distance $D$, a line
# to zero with a peak proportional to $D/(G\sqrt T)$ gives the last iterate the best guarantee possible (Zamani and
# Glineur, 2023; for stochastic gradients Defazio et al., 2023). The best guarantee for a class does not say
# what is best on one problem. On the quadratic (whose gradients are not bounded, so that it is not even in
# the class) the line is not:

# %%
lab.claim(
    "linear over the best schedule, 100 steps (ratio of losses)",
    short["linear"],
    above=2,
)

# %%
lab.claim(
    "linear over the best schedule, 1,000 steps (ratio of losses)",
    long["linear"],
    above=1.2,
)

# %% [markdown]
# What makes it a serious default is less: from 200 steps to 1,000 it was within 1.6 times the best schedule, and only
# in the shortest run far from it; it was ahead on one network and close on the other. Beside the peak it needs one
# number, the length of the run, and that before the run begins. The literature agrees for larger models: it
# matches or beats the other defaults on ten problems (Defazio et al., 2023), and after a warm-up, with AdamW and
# at its best peak, it is best for language models, all the way to zero (Bergsma et al., 2025).
#
# **"A recursive scheduler drifts."** PyTorch's `ExponentialLR` does not evaluate $\gamma^t$; it multiplies
# the current rate by $\gamma$. Rounding errors pile up, so people write closed forms. How much is it?


# %%
def drift(make_scheduler, gamma, lr, steps):
    """Relative error of the last rate applied."""
    exact = float(lr) * gamma ** (steps - 1)
    return abs(applied(make_scheduler, lr, steps)[-1] / exact - 1)


def recursive_drift(lr, steps=20_000):
    gamma = 0.01 ** (1 / steps)  # ÷100
    return drift(lambda opt: schedulers.ExponentialLR(opt, gamma), gamma, lr, steps)


in_float, in_tensor = recursive_drift(0.1), recursive_drift(torch.tensor(0.1))
gamma = 0.01 ** (1 / 20_000)
rounded = float(torch.tensor(gamma)) / gamma
print(f"Python float {in_float:.0e}, float32 tensor {in_tensor:.2e}")
print(f"from rounding γ once: {abs(rounded**19_999 - 1):.2e}")

# %%
lab.claim("drift over 20,000 steps, Python float (relative)", in_float, below=1e-12)

# %%
lab.claim("drift over 20,000 steps, float32 tensor (relative)", in_tensor, above=1e-4)

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
trace = disturbed(lambda opt: ScheduledLR(opt, plan))
print("ScheduledLR one step later:", trace.lr[51, 0] == 0.1 * plan(51))

# %% [markdown]
# `PolynomialLR` and `LinearLR` are recursive too. The reverse side of a closed form: it undoes a deliberate edit at
# the next step. Change the peak instead (`scheduler.base_lrs`).
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
# reaches its end. Count optimizer steps: `epochs * len(loader) // accumulate`.

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
# - Seven stairs and the curve with the same area under every stair train alike. What counts is how much area a
#   shape has, and how much of it is left when the rate is high.
# - $\gamma^t$ and $e^{-kt}$ are one curve with $k=-\ln\gamma$; $\gamma$ per epoch is the root of it per
#   step. Forget the root, and the whole run amounts to $1/(1-\gamma)$ steps.
# - How far to fall depends on the run: the longer, the further. ÷10 gained several points on the fixed rate on
#   MNIST-1D, ÷100 none that we could see; on noisy digits ÷100 did.
# - The conditions of Robbins and Monro are about infinite runs. With $a/(1+t)$ the exponent is $\min(1, 2ah)$.
# - With 2,000 steps on MNIST-1D, each shape at its own peak, the line to zero beat the six others; with 500
#   and 4,000 it beat the two that were tried. On noisy digits it was close to the best.
# - Float drift is no reason for a closed form. A rate that others may edit is.
#
# In practice: if you know the length, take a line to zero and a peak from a coarse grid (here two to four times the
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
# - M. Li, E. Yumer, D. Ramanan (2020). *Budgeted training: rethinking deep neural network training under
#   resource constraints.* ICLR.
# - H. Robbins, S. Monro (1951). *A stochastic approximation method.* Annals of Mathematical Statistics 22(3).
# - M. Zamani, F. Glineur (2023). *Exact convergence rate of the last iterate in subgradient methods.*
