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
# **What you will see.** Stairs and a smooth curve give the same loss; the same curve, fallen a little too
# far, loses all it had gained; the oldest conditions on a decay, and how much they say about a run that
# ends; a straight line that beats the curves; and a bug that most people believe in and few have.
#
# **What you will do.** Measure rates of convergence, and find the run length at which a quadratic agrees
# with your network about which shape is best.
#
# **What you need.** Chapters 1 and 2, or this much of them. $\eta$ is the learning rate and $t$ counts
# optimizer steps (updates already made). A schedule is a *shape*, a function from the step to a factor;
# the rate is its *peak* $\eta_{\max}$ times the factor. On a quadratic with noisy gradients the loss is
# the sum of the *distance* still to go and the *noise* that the steps have put there. About a minute on
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
# direction of curvature $h$ shrinks by $\prod_t (1-\eta_t h)^2 \approx e^{-2h\sum_t \eta_t}$: it depends
# on the *area* under the rate and on nothing else. The noise depends on the *end*, because what the early
# steps put there has been forgotten. So give both the same area. Over one stair the smooth curve has a mean
# factor of

# %% tags=["nbval-check-output"]
stair = 125
stairs = StepDecay(stair, 0.5)
smooth = ExponentialDecay(0.5 ** (1 / stair))
mean_factor = smooth.sample(stair).mean()
print(f"{mean_factor:.3f}, so its peak must be {1 / mean_factor:.2f} times theirs")

# %%
T = 1000
problem = lab.NoisyQuadratic(batch_size=256)
for peak in (0.25, 0.5, 1.0):
    of_stairs = problem.loss(peak * stairs.sample(T))[-1]
    of_smooth = problem.loss(peak / mean_factor * smooth.sample(T))[-1]
    ratio = of_smooth / of_stairs
    print(f"peak {peak}: {of_stairs:.5f} and {of_smooth:.5f}, ratio {ratio:.3f}")
lab.claim(
    "quadratic: smooth over stairs of equal area (ratio)",
    ratio,
    within=(0.95, 1.05),
)

# %% [markdown]
# Now the network of the earlier chapters (MNIST-1D, two hidden layers of 100 units, SGD with momentum 0.9,
# batches of 16, 2,000 steps in 8 epochs of 250). The stairs have the peak 0.04 that chapter 2 found for
# them, the curve has 0.04 divided by the mean factor.

# %%
task = lab.mnist1d_task()
T = 2000
stairs, smooth = StepDecay(T // 8, 0.5), ExponentialDecay(0.5 ** (8 / T))
pair = lab.sweep(
    task,
    {"stairs": stairs, "smooth": smooth},
    {"stairs": 0.04, "smooth": 0.04 / smooth.sample(T // 8).mean()},
    lab.seeds(16),
    steps=T,
    batch_size=16,
)

# %%
runs = {
    "seven halvings": ("stairs", 0, figures.look("step")),
    "exponential": ("smooth", 0, figures.look("exponential")),
}
top, bottom = figures.loss_and_rate(pair, runs, width=25)
bottom.set_yscale("log")
top.legend()
top.set_title("Equal areas, equal losses")
plt.show()

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
    task, {"smooth": smooth}, [0.04], lab.seeds(16), steps=T, batch_size=16
)
control_loss = control.train_loss[0, 0, :, -250:].mean(-1)
lab.claim(
    "network: smooth over stairs from the same peak (ratio)",
    control_loss / stairs_loss,
    above=1.05,
    scale="ratio",
)

# %% [markdown]
# It does notice: 28 % less area costs more than the interval above is wide. The stairs themselves leave no
# trace. What counts is how much area a shape has and how it ends, and a smooth shape says the same with
# one number instead of two. That number is the subject of the next section.

# %% [markdown]
# ## One curve, written in three ways
#
# Exponential decay multiplies the rate by $\gamma$ at every step:
#
# $$\eta_t = \eta_{\max}\,\gamma^{t} = \eta_{\max}\,e^{-kt}, \qquad k = -\ln\gamma .$$
#
# Here $\gamma$ has no unit and $k$ is per step; $1/k$ is the number of steps in which the rate falls to
# $1/e$. Some texts list $\gamma^t$ and $e^{-kt}$ as two schedules. They are one. A third way to name
# it is by its end: $\gamma = f^{1/T}$ reaches the factor $f$ after $T$ steps. We write "÷10" for
# $f=0.1$ at the end of the run. The other two shapes of this chapter are
#
# $$\text{inverse time:}\quad \frac{1}{1 + r\,t/T}, \qquad\qquad
# \text{polynomial:}\quad f + (1-f)\left(1 - \frac{t}{T}\right)^{p},$$
#
# with $r$ the rate of decay over $T$ steps ($r=3$ ends at a quarter), $p$ the power and $f$ the final
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
    lab.seeds(8),
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
# No exception, no NaN, a loss that falls a little at first: this run looks like a bad peak, and a search
# over peaks would not mend it. The sum of a geometric series, $1/(1-\gamma)$, is all the area there is.

# %% [markdown]
# ## How far to fall: it depends on how long you run
#
# Exponential decay asks for one number, the final factor. Two values are common, ÷10 and ÷100. On the
# quadratic of chapter 2 (curvatures $1, 1/2, \dots, 1/100$, batches of 256) every shape gets its best peak
# and is scored: its final loss over that of the best schedule found, so that 1 is perfect. In that
# chapter the run of 1,000 steps was limited by noise, the run of 100 by curvature (the flat directions were
# not done). Here are the lengths between as well.


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
lengths = (100, 200, 300, 500, 1000)
scores = {
    steps: [problem.score(shape, steps) for shape in shapes_for(steps).values()]
    for steps in lengths
}
print(f"{'steps':12}", *(f"{steps:7}" for steps in lengths))
for name, *row in zip(shapes_for(100), *scores.values(), strict=True):
    print(f"{name:12}", *(f"{x:7.2f}" for x in row))

# %%
LOOKS = {
    "fixed": figures.look("constant"),
    "one drop": figures.look("step"),
    "30/60/90": figures.look("step") | {"linestyle": (0, (1, 1))},
    "÷10": figures.look("exponential"),
    "÷100": figures.look("exponential") | {"linestyle": ":"},
    "inverse time": figures.look("inverse time"),
    "linear": figures.look("linear"),
}
fig, ax = plt.subplots()
for look, column in zip(
    LOOKS.values(), zip(*scores.values(), strict=True), strict=True
):
    ax.plot(lengths, column, **look, marker="o", markersize=4)
ax.set(xscale="log", yscale="log", xlim=(95, 1700), xlabel="length of the run (steps)")
ax.set(ylabel="final loss / best schedule's", xticks=lengths, yticks=(1, 2, 5, 10, 20))
ax.set_xticklabels(lengths)
ax.set_yticklabels((1, 2, 5, 10, 20))
ax.minorticks_off()
ax.set_title("The longer the run, the further the rate should fall")
ends = zip(LOOKS.items(), scores[1000], strict=True)
figures.name_ends(ax, 1000, {n: (y, look["color"]) for (n, look), y in ends})
plt.show()

# %% [markdown]
# ÷100 is the worst of the seven in the short run and the best in the long one, with nothing changed but the
# length. Extremes win at the ends: hold and drop when distance limits, fall early and far when noise does.
# The line is the best from 200 steps to 500, and nowhere the worst.

# %%
names = list(LOOKS)
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
# ## The oldest conditions
#
# Robbins and Monro (1951) gave conditions under which a noisy search finds its goal:
#
# $$\sum_t \eta_t = \infty, \qquad \sum_t \eta_t^2 < \infty .$$
#
# The first says that the area must not run out: from any start, you can get there. The second makes the
# noise that you let in finite in total. $\eta_t \propto 1/t$ satisfies both. A fixed rate fails the second,
# exponential decay the first. Take one direction ($h = c = B = 1$, so that everything is exact) and look:

# %%
one = lab.NoisyQuadratic(curvature=1.0, gradient_variance=1.0)
n = 20_000
t = np.arange(n)
families = {
    "fixed": (np.full(n, 0.5), figures.look("constant")),
    "$1/\\sqrt{t}$": (0.5 / np.sqrt(1 + t), figures.look("inverse square root")),
    "$0.25/t$": (
        InverseTimeDecay(1).sample(n) * 0.25,
        {"color": "#8C6D31", "ls": "--"},
    ),
    "$1/t$": (InverseTimeDecay(1).sample(n), figures.look("inverse time")),
    "$1/t^2$": (1 / (1.0 + t) ** 2, {"color": "0.5", "linestyle": "-"}),
    "exponential": (0.5 * 0.99**t, figures.look("exponential")),
}
fig, ax = plt.subplots()
ends = {}
for name, (rates, look) in families.items():
    loss = one.loss(rates)
    ax.plot(np.arange(1, n + 1), loss[1:], **look)
    slope = np.log10(loss[n // 10] / loss[n])
    ends[f"{name}: {slope:.2f}"] = loss[n], look["color"]
ax.set(xscale="log", yscale="log", xlim=(1, 4e5), xlabel="step", ylabel="expected loss")
ax.set_title("Loss falls as a power of the time, or stops falling")
figures.name_ends(ax, n, ends)
plt.show()

# %% [markdown]
# The number behind each name is the exponent measured over the last decade, $-\mathrm d\log L/\mathrm
# d\log t$. The fixed rate stops at its floor; $1/t^2$ and the exponential run out of area and stop where
# they are. Rates of $\theta/t$ go on for ever, and the constant $\theta$ matters: below $1/(2h)$ the
# exponent is $2\theta h$, above it 1.


# %%
def exponent(theta, n=20_000):
    loss = one.loss(theta * InverseTimeDecay(1).sample(n))
    return np.log10(loss[n // 10] / loss[n])


print({x: f"{exponent(x):.2f}" for x in (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)})
lab.claim(
    "exponent with θ = 0.25 (half of 1/(2h))", exponent(0.25), within=(0.49, 0.51)
)

# %%
lab.claim("exponent with θ = 2 (four times 1/(2h))", exponent(2.0), within=(0.99, 1.01))

# %% [markdown]
# At exactly $1/(2h)$ a logarithm slows it (0.91 here). So $\theta$ should be too large rather than too
# small. That is easy with one direction. With a hundred, $\theta$ has to be large enough for the flattest
# ($h = 1/100$ wants $\theta > 50$) while the first steps must respect the steepest, $\eta < 2/h = 2$.
# The shape $1/(1+rt/T)$ holds the start down, and pays for it: inverse time is never within a factor of 2
# of the best in the table above.
#
# Two warnings about reading the conditions. They are sufficient, not necessary: $1/\sqrt t$ violates the
# second, and converges here all the same, at exponent 0.5. And they speak of infinitely many steps. In a
# run of $T$ steps every sum is finite, and exponential decay, which fails the first condition, is within
# 10 % of the best schedule for 1,000 steps. What you need to know of a finite run is whether its area is
# enough, not whether it is infinite.

# %% [markdown]
# ## On the network, the line wins
#
# > **Predict.** The same seven shapes on MNIST-1D, 2,000 steps, each with its own best peak from the same
# > grid. Where will ÷100 end: above the fixed rate, or below? Which shape is best?


# %%
def tune_and_judge(shapes, steps, seeds):
    """Peaks by validation error on 4 tuning seeds; then runs on other seeds."""
    grid = 0.01 * 2.0 ** np.arange(6)
    settings = {"steps": steps, "batch_size": 16}
    peaks = lab.sweep(task, shapes, grid, lab.seeds(4, "tune"), **settings).best_peaks(
        "val_error"
    )
    print(f"{steps:5,} steps:", {name: round(peak, 4) for name, peak in peaks.items()})
    return lab.sweep(task, shapes, peaks, lab.seeds(seeds), **settings)


def errors(result):
    """Test error in per cent, one row of seeds per shape."""
    return dict(zip(result.schedules, 100 * result.at("test_error")[:, 0], strict=True))


# %%
result = tune_and_judge(shapes_for(T), T, seeds=12)
error = errors(result)

# %%
runs = {name: (name, 0, LOOKS[name]) for name in ("fixed", "÷10", "÷100", "linear")}
top, bottom = figures.loss_and_rate(result, runs, width=25)
bottom.set(yscale="log", ylim=(3e-4, 0.15))
top.legend()
top.set_title("The line is last for half of the run, and first at its end")
plt.show()

# %%
fig, ax = plt.subplots(figsize=(7.6, 3.2))
for y, (name, look) in enumerate(LOOKS.items()):
    gain = error["fixed"] - error[name]
    half = stats.sem(gain) * stats.t.ppf(0.975, gain.size - 1)
    ax.errorbar(gain.mean(), -y, xerr=half, fmt="o", color=look["color"], capsize=4)
ax.axvline(0, color="0.6", linewidth=1)
ax.set_yticks([-y for y in range(len(LOOKS))], LOOKS)
ax.set(xlabel="gain over the fixed rate (points of test error, 95 % interval)")
ax.set_title("A curve that falls too far gains nothing; the line gains most")
plt.show()

# %%
lab.claim(
    "gain of ÷100 over the fixed rate (points)", error["fixed"] - error["÷100"], below=3
)

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
# The fixed rate and ÷100 tie, from opposite ends: one rattles, the other ran out of area. The line goes down
# as late as possible without going down at once, and no shape here beats it. That is not what the quadratic
# says of its shortest run or of its longest. Which length orders the seven shapes as the network does?

# %%
mean_error = [error[name].mean() for name in LOOKS]
for steps in lengths:
    print(f"quadratic, {steps:5} steps: rank correlation", end=" ")
    print(f"{stats.spearmanr(mean_error, scores[steps]).statistic:+.2f}")

# %% [markdown]
# The lengths in between: distance and noise both limit this run. (Seven ranks describe, they do not test.)
# Chapter 2 looked at the two ends only, and the same network sided with the short one.

# %% [markdown]
# ## A short budget, a long one
#
# Li et al. (2020) asked what to do when the budget is a fraction of what the recipe was made for. Their
# answer: scale the schedule to the budget, and linear decay is robust at every length; step decay
# catches up when the budget is long.
#
# > **Predict.** The fixed rate, the 30/60/90 recipe of chapter 2 and the line, with 500, 1,000, 2,000 and
# > 4,000 steps. Each is tuned at each length. Does the recipe catch up with the line? With the fixed rate?


# %%
def three_shapes(steps):
    every = shapes_for(steps)
    return {name: every[name] for name in ("fixed", "30/60/90", "linear")}


by_budget = {
    steps: errors(tune_and_judge(three_shapes(steps), steps, seeds=12))
    for steps in (500, 1000, 4000)
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
ax.set_title("With time the recipe catches the fixed rate, not the line")
figures.name_ends(ax, 4000, ends)
plt.show()

# %%
behind = {steps: e["30/60/90"] - e["linear"] for steps, e in by_budget.items()}
lab.claim("500 steps: recipe behind linear (points)", behind[500], above=2)

# %%
lab.claim("4,000 steps: recipe behind linear (points)", behind[4000], above=4)

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
# The first half of the answer holds here at every budget. Of the second half we see a beginning: the gap
# to the line grows up to 2,000 steps and narrows after it. Whether it closes, 4,000 steps (16
# epochs) cannot say.

# %% [markdown]
# ## Folklore and pitfalls
#
# **"Linear decay is optimal."** For convex losses with bounded gradients, in the worst case, it is: the
# bound for the last iterate is best for a line to zero (Defazio et al., 2023, theorem 1). A quadratic is not the
# worst case:

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
# What makes it a serious default is the middle column of the table and the experiments above: at equal
# tuning it was never far from the best, it needs no second number, and the literature agrees for larger
# models (Defazio et al., 2023: it matches or beats the cosine on ten problems; Bergsma et al., 2025: for
# language models, all the way to zero).
#
# **"A recursive scheduler drifts."** PyTorch's `ExponentialLR` does not evaluate $\gamma^t$; it multiplies
# the current rate by $\gamma$. Rounding errors pile up, so people write closed forms. How much is it?


# %%
def drift(make_scheduler, lr, steps=20_000):
    """Largest relative error of the applied rate."""
    exact = 0.1 * gamma ** np.arange(steps)
    return np.abs(applied(make_scheduler, lr, steps) / exact - 1).max()


gamma = 0.01 ** (1 / 20_000)
recursive = lambda opt: schedulers.ExponentialLR(opt, gamma)  # noqa: E731
closed = lambda opt: ScheduledLR(opt, ExponentialDecay(gamma))  # noqa: E731
in_float = drift(recursive, 0.1)
in_tensor = drift(recursive, torch.tensor(0.1))
print(f"Python float:   recursive {in_float:.0e}, closed form {drift(closed, 0.1):.0e}")
print(f"float32 tensor: recursive {in_tensor:.0e}, ", end="")
print(f"closed form {drift(closed, torch.tensor(0.1)):.0e}")

# %%
lab.claim("drift over 20,000 steps, Python float (relative)", in_float, below=1e-12)

# %%
lab.claim("drift over 20,000 steps, float32 tensor (relative)", in_tensor, above=1e-4)

# %% [markdown]
# In double precision the drift is a myth. It is real where the rate is a float32 tensor, as compiled
# optimizers want it: every step rounds to seven digits, and the errors add up. Even then it is
# 0.04 %, far too little to change a run.
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
# ## In your own code

# %%
model, steps_per_epoch, epochs = lab.mlp(40, 100, 100, 10), 250, 8
total_steps = epochs * steps_per_epoch
optimizer = torch.optim.SGD(model.parameters(), lr=0.08, momentum=0.9)

# plain torch, both stepped after every batch
linear = torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=total_steps)

# %%
optimizer = torch.optim.SGD(model.parameters(), lr=0.08, momentum=0.9)
gamma = 0.1 ** (1 / total_steps)  # to a tenth
falling = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma)

# %%
optimizer = torch.optim.SGD(model.parameters(), lr=0.08, momentum=0.9)
shape = PolynomialDecay(total_steps)  # or ExponentialDecay.to_factor(0.1, total_steps)
scheduler, trace = ScheduledLR(optimizer, shape), LRTrace(optimizer)
# then, after every optimizer.step(): scheduler.step()
print(shape, [float(factor) for factor in shape.sample(total_steps)[[0, 1000, 1999]]])

# %% [markdown]
# ## Summary
#
# - Seven stairs and the smooth curve of equal area train alike, on the quadratic and on the network. What
#   counts is the area under the rate, and how it ends.
# - $\gamma^t$ and $e^{-kt}$ are one curve with $k=-\ln\gamma$; $\gamma$ per epoch is the root of it per
#   step. Forget the root, and the whole run amounts to $1/(1-\gamma)$ steps.
# - How far to fall depends on the length of the run. ÷10 gained several points on the fixed rate here,
#   ÷100 none.
# - The conditions of Robbins and Monro are about infinite runs. With $\theta/t$ the exponent is
#   $\min(1, 2\theta h)$; of a finite run, ask whether its area is enough.
# - At equal tuning the line to zero beat every other shape of this chapter on MNIST-1D, at all budgets
#   tried.
# - Float drift is no reason for a closed form. A rate that others may edit is.
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
