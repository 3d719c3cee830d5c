# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 2 · Step decay
#
# **What you will see.** A much copied recipe lose to a rate that never changes, and win on other data;
# why the loss falls at the very moment of a drop; what a drop that comes too early costs; and a question
# that may tell which kind of run you have.
#
# **What you will do.** Take a run apart into what is left of the distance and what the noise put on
# top, exactly on a quadratic, then on a network by averaging its weights.
#
# **What you need.** Chapter 1, or this much of it: $\eta$ is the learning rate; $t$ counts optimizer
# steps (updates already made); a schedule is a *shape*, a function from the step to a factor, and the
# rate is its *peak* times the factor; noise in the gradients puts a floor under the loss that is
# proportional to the rate (for small rates). About half a minute on two CPU cores. `LRLIB_SEED` shifts every
# seed; `LRLIB_SCALE` multiplies the seeds, not the steps: the length of a run is the subject here.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch
from lrlib import Constant, LRTrace, MultiStepDecay, ScheduledLR, StepDecay, lab
from lrlib.lab import figures
from scipy import stats

figures.use_style()

# %% [markdown]
# ## One drop helped, and the recipe with three loses
#
# The last chapter ended with a single drop: hold the rate for 80 % of the run, divide it by ten, and
# the test error falls by several points. Published recipes drop more than once. PyTorch's ImageNet
# example divides the rate by ten every 30 epochs of 90: two drops, at 33 and 67 % of the run. Goyal et
# al. (2017) add a third, at epochs 30, 60 and 80 of 90: 33, 67 and 89 %. Rounded to 30, 60 and 90 % of
# the run, this is *the recipe* below.
#
# > **Predict.** The network of chapter 1 (MNIST-1D, 2,000 steps) is trained in five ways: at a fixed
# > rate; with one drop by ten at 80 %; with two, at 50 and 75 %; with three, at 30, 60 and 90 %; and
# > with seven halvings, evenly spaced. Each has the peak that suits it best. Rank the five.


# %%
def five_shapes(steps):
    return {
        "fixed": Constant(),
        "one drop": MultiStepDecay([int(0.8 * steps)]),
        "two drops": MultiStepDecay([steps // 2, 3 * steps // 4]),
        "30/60/90": MultiStepDecay([int(f * steps) for f in (0.3, 0.6, 0.9)]),
        "7 halvings": MultiStepDecay([i * steps // 8 for i in range(1, 8)], 0.5),
    }


# %%
def tune_and_judge(task, steps, lowest, count, seeds):
    """Peaks by validation error on 4 tuning seeds; then runs on other seeds.

    Each shape has `count` peaks to choose from, doubling from its `lowest`.
    """
    shapes = five_shapes(steps)
    doubling = 2.0 ** np.arange(count)
    grid = {name: low * doubling for name, low in zip(shapes, lowest, strict=True)}
    settings = {"steps": steps, "batch_size": 16}
    tuning = lab.sweep(task, shapes, grid, lab.seeds(4, "tune"), **settings)
    peaks = tuning.best_peaks("val_error")
    print({name: round(peak, 4) for name, peak in peaks.items()})
    splits = ("train", "test")
    return lab.sweep(task, shapes, peaks, lab.seeds(seeds), evaluate=splits, **settings)


# %%
task = lab.mnist1d_task()
hard = tune_and_judge(task, 2000, (0.01, 0.01, 0.01, 0.01, 0.02), 4, seeds=12)

# %%
drops = {
    "fixed": {"color": "black"},
    "one drop": {"color": "#D55E00", "linestyle": "--"},
    "30/60/90": {"color": "#E69F00", "linestyle": (0, (1, 1))},
}
runs = {name: (name, 0, line) for name, line in drops.items()}
top, bottom = figures.loss_and_rate(hard, runs, width=25)
bottom.set_yscale("log")
top.legend()
top.set_title("Three drops lead at first, then stand still")
plt.show()

# %% [markdown]
# Lines are medians over twelve seeds of the mean over 25 steps, bands the 10th to 90th percentile; below,
# the rate that was applied. (The stairs are epochs of 250 steps, as in chapter 1.) After its first drop
# the recipe has the lowest loss of the three, and after its second it hardly moves. Judged at step 1,000
# it would have won. The test error, as gain over the fixed rate, paired by seed:


# %%
def gains(result):
    """Points of test error gained over the fixed rate, one row per shape."""
    error = 100 * result.at("test_error")[:, 0]
    return dict(zip(result.schedules, error[0] - error, strict=True))


def show_gains(result):
    for name, gain in gains(result).items():
        half = lab.half_interval(gain)  # 95 %, over seeds
        print(f"{name:10}: {gain.mean():+5.1f} points, ± {half:.1f}")


show_gains(hard)

# %%
lab.claim("MNIST-1D: gain of one late drop (points)", gains(hard)["one drop"], above=2)

# %%
lab.claim("MNIST-1D: gain of 30/60/90 (points)", gains(hard)["30/60/90"], below=-1)

# %% [markdown]
# Even with a peak tuned for it, the recipe ends several points worse than a rate that never changes. It is
# not a bad recipe. It was made for another kind of run. To see which, you need to know what a drop does.

# %% [markdown]
# ## The formula
#
# With initial rate $\alpha_0$ (the peak, $\eta_{\max}$ elsewhere in this book), a drop by the factor
# $\gamma$ every $k$ steps is
#
# $$\alpha_t = \alpha_0\,\gamma^{\lfloor t/k \rfloor},$$
#
# and for given milestones $m_1 < m_2 < \dots$ the exponent is the number of milestones with $m_j \le
# t$. In PyTorch's names $k$ is `step_size` and $\gamma$ is `gamma`.


# %%
def step_decay(t, alpha_0, step_size, gamma):
    return alpha_0 * gamma ** (t // step_size)


def multi_step_decay(t, alpha_0, milestones, gamma):
    return alpha_0 * gamma ** sum(m <= t for m in milestones)


# %%
def applied(make_scheduler, steps=100):
    """The rates that an optimizer with peak 0.1 really used."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    scheduler, trace = make_scheduler(optimizer), LRTrace(optimizer)
    for _ in range(steps):
        optimizer.step()
        scheduler.step()
    return trace.lr[:, 0]


# %% tags=["nbval-check-output"]
t = range(100)
schedulers = torch.optim.lr_scheduler
every = [step_decay(i, 0.1, 30, 0.1) for i in t]
listed = [multi_step_decay(i, 0.1, [20, 70], 0.5) for i in t]
of_torch = applied(lambda opt: schedulers.StepLR(opt, 30, 0.1))
of_lrlib = applied(lambda opt: ScheduledLR(opt, StepDecay(30, 0.1)))
print("StepDecay:", np.allclose(of_torch, every), np.allclose(of_lrlib, every))
of_torch = applied(lambda opt: schedulers.MultiStepLR(opt, [20, 70], 0.5))
of_lrlib = applied(lambda opt: ScheduledLR(opt, MultiStepDecay([20, 70], 0.5)))
print("MultiStepDecay:", np.allclose(of_torch, listed), np.allclose(of_lrlib, listed))

# %% [markdown]
# **Epochs and steps.** `lrlib` counts optimizer steps. ImageNet has 1,281,167 training images; in
# batches of 256 an epoch has 5,005 steps, so "epochs 30, 60 and 80" is

# %% tags=["nbval-check-output"]
steps_per_epoch = -(-1_281_167 // 256)
MultiStepDecay([epoch * steps_per_epoch for epoch in (30, 60, 80)])

# %% [markdown]
# A recipe in epochs becomes another schedule when the batch size changes; one in steps becomes another
# share of the run. Write milestones as shares of the run and convert once, as `five_shapes` does.

# %% [markdown]
# ## Why the loss falls at the drop: the exact case
#
# On the noisy quadratic (Zhang et al., 2019) $L = \tfrac12\sum_i h_i\theta_i^2$, with curvatures $h_i$ and
# gradient noise of variance $c_i/B$ for batches of $B$ examples, the mean square $e = \mathbb E\theta^2$
# of each direction follows
#
# $$e_{t+1} = (1-\eta_t h)^2\, e_t + \eta_t^2\, c/B .$$
#
# Write $e = d + n$ with $d_0 = e_0$ and $n_0 = 0$. Then $d_{t+1} = (1-\eta_t h)^2 d_t$ and $n_{t+1} =
# (1-\eta_t h)^2 n_t + \eta_t^2 c/B$ add up to the line above (because the noise has mean zero and does
# not depend on $\theta$). So the loss is the sum of two runs: one that starts far away and has no noise,
# the *distance* still to go, and one that starts at the minimum, whose loss is the *noise* that the steps
# have put there.

# %%
T = 1000
quadratic = lab.NoisyQuadratic()
without_noise = lab.NoisyQuadratic(gradient_variance=0.0)
from_minimum = lab.NoisyQuadratic(start=0.0)
shape = MultiStepDecay([int(0.8 * T)])
peak, _ = quadratic.tune(shape, T)
rates = peak * shape.sample(T)
distance, noise = without_noise.loss(rates), from_minimum.loss(rates)

# %%
fig, ax = plt.subplots()
t = np.arange(T + 1)
ax.plot(t, quadratic.loss(rates), color="black")
ax.plot(t, distance, color="#0072B2", linestyle="--")
ax.plot(t, noise, color="#D55E00", linestyle="-.")
ax.axvline(800, color="0.6", linewidth=1, linestyle=":")
for y, name, color in ((0.5, "loss", "black"), (0.19, "noise", "#D55E00")):
    ax.text(420, y, name, color=color, fontweight="bold")
ax.text(790, 1.5, "drop", color="0.4", ha="right")
ax.text(520, 0.03, "distance", color="#0072B2", fontweight="bold")
ax.set(yscale="log", xlabel="step", ylabel="expected loss", ylim=(0.01, 3))
ax.set_title("After the drop the noise falls, and the distance almost stops")
plt.show()

# %%
before, after = 800, 850
fall = quadratic.loss(rates)[before] - quadratic.loss(rates)[after]
share = (noise[before] - noise[after]) / fall
lab.claim(
    "share of the fall within 50 steps of the drop that is noise", share, above=0.9
)

# %%
for name, part in (("distance", distance), ("noise", noise)):
    print(
        f"{name}: times {part[800] / part[600]:.2f} in the 200 steps before the drop,",
        end=" ",
    )
    print(f"{part[1000] / part[800]:.2f} in the 200 after")

# %% [markdown]
# Both halves matter. The noise in a direction of curvature $h$ sinks to the floor of the new rate, a tenth
# of the old one, over about $1/(2\eta h)$ steps: soon where it is steep, not within this run where it is
# flat. After 200 steps half of it is still there. And the distance almost stops: 200 steps at a tenth of
# the rate do what 20 did before, $0.49^{1/10} = 0.93$, as printed. A drop cashes in what the run has
# earned, and ends the earning.
#
# So the right time depends on what is left. Where noise limits the loss, drop; where distance does, a drop
# only makes you slow. The same quadratic shows both, in a long run and in a short one:

# %% tags=["nbval-check-output"]
problem = lab.NoisyQuadratic(batch_size=256)
settings = {"noise-limited": 1000, "curvature-limited": 100}
scores = {}
for setting, steps in settings.items():
    shapes = five_shapes(steps)
    scores[setting] = [problem.score(shape, steps) for shape in shapes.values()]
    print(f"{setting}, {steps:,} steps, times the loss of the best schedule found:")
    print("   ", {n: round(x, 2) for n, x in zip(shapes, scores[setting], strict=True)})

# %% tags=["nbval-check-output"]
calm = lab.NoisyQuadratic(batch_size=256, start=0.0)
for setting, steps in settings.items():
    for name in ("fixed", "30/60/90"):
        shape = five_shapes(steps)[name]
        peak, loss = problem.tune(shape, steps)
        share = calm.loss(peak * shape.sample(steps))[-1] / loss
        print(f"{setting:17}, {name:8}: {share:4.0%} of the final loss is noise")

# %% [markdown]
# Same curvatures, same noise, same start; only the length differs. Each shape has its best peak in each.
# In the long run every shape beats the fixed rate, and the more it falls early the better. In the short
# run one late drop wins, and what falls early loses to the fixed rate. The order of one setting is wrong
# in the other.
#
# For noisy least squares, cutting the rate by a constant factor at equal intervals, about $\log T$ times,
# is within a logarithmic factor of the best possible final error (Ge et al., 2019). The seven halvings
# are of that kind. Whether the stairs matter, or only how far and when the rate falls, is for the next
# chapter.

# %%
first, second = scores.values()
names = list(five_shapes(8))
recipe, fixed = names.index("30/60/90"), names.index("fixed")
lab.claim(
    "noise-limited: 30/60/90 over one drop (ratio of losses)",
    first[recipe] / first[names.index("one drop")],
    below=0.9,
)

# %%
lab.claim(
    "curvature-limited: 30/60/90 over the fixed rate (ratio of losses)",
    second[recipe] / second[fixed],
    above=2,
)

# %% [markdown]
# ## On the network, averaging does what the drop does
#
# A network's loss cannot be split into two runs. But there is another way to take the noise away without
# touching the rate: average the weights. If a run rattles about some point, the mean of its weights
# lies near that point. So: 1,600 steps at the rate 0.04. From there, (a) go on for 100 steps and average
# the weights on the way, or (b) drop the rate by ten and train for 100 steps.

# %%
at = [1600, *range(1604, 1701, 4)]
pair = lab.sweep(
    task,
    {"go on": Constant(), "drop": MultiStepDecay([1600])},
    [0.04],
    lab.seeds(8),
    steps=1700,
    batch_size=16,
    eval_steps=at,
    evaluate=("train",),
    keep_states=True,
)


# %%
@torch.no_grad()
def loss_of_mean_weights(k):
    """Training loss of the mean weights of seed k over the last 100 steps."""
    model = task.model(pair.seeds[k])
    mean = {
        name: torch.stack([state[name][k] for state in pair.states[1:]]).mean(0)
        for name in pair.states[0]
    }
    model.load_state_dict(mean)
    x, y = task.data.split("train")
    return task.loss(model(x), y).item()


# %%
averaged = np.array([loss_of_mean_weights(k) for k in range(len(pair.seeds))])
start, gone_on = (pair.at("train_loss", step)[0, 0] for step in (1600, 1700))
dropped = pair.at("train_loss", 1700)[1, 0]
for name, loss in (
    ("at step 1,600", start),
    ("100 steps on", gone_on),
    ("mean of weights", averaged),
    ("after the drop", dropped),
):
    print(f"{name:16}: training loss {loss.mean():.3f} nats")

# %%
lab.claim(
    "mean of the weights over drop, training loss (ratio)",
    averaged / dropped,
    no_difference=1.1,
    scale="ratio",
)

# %%
lab.claim(
    "100 steps on at the high rate, over the drop (ratio)",
    gone_on / dropped,
    above=1.1,
    scale="ratio",
)

# %% [markdown]
# The two differ by a few per cent at most, though the averaged run never used a smaller rate. Equal losses
# do not prove equal places, but no progress beyond that of the high rate is needed to explain the fall.
# Averaging in place of a fast decay goes back to Ruppert (1988) and Polyak and Juditsky (1992).

# %% [markdown]
# ## Too early costs more than never dropping
#
# > **Predict.** One drop by ten, always from the peak 0.04. It comes after 10, 20, 40, 60, 70, 80, 90 or 95 %
# > of the run. Draw the test error against the time of the drop. Where is the minimum, and is the curve
# > symmetric about it?

# %%
shares = (0.1, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95)
steps = 2000
early = lab.sweep(
    task,
    {f"{x:.0%}": MultiStepDecay([int(x * steps)]) for x in shares}
    | {"never": Constant()},
    [0.04],
    lab.seeds(12),
    steps=steps,
    batch_size=16,
)

# %%
fig, ax = plt.subplots()
error = 100 * early.at("test_error")[:, 0]
fixed_error = 100 * hard.at("test_error")[0, 0]
never = np.median(fixed_error)
at = 100 * np.array([*shares, 1.0])
figures.band(ax, at, error.T, color="#D55E00", marker="o")
ax.axhline(never, color="black", linewidth=1, linestyle=":")
ax.text(62, never + 0.4, "best fixed rate")
ax.set(xlabel="time of the drop (% of the run; 100: never)", ylabel="test error (%)")
ax.set_title("A drop that comes too early is worse than none")
plt.show()

# %% [markdown]
# Line: median over twelve seeds; band: 10th to 90th percentile. All points share the peak 0.04, tuned for
# the drop at 80 %; the dotted line is the fixed rate with its own peak.

# %%
at_20, at_80 = (error[shares.index(share)] for share in (0.2, 0.8))
gap = at_20 - fixed_error
lab.claim("a drop at 20 % against the best fixed rate (points)", gap, above=2)

# %%
lab.claim("a drop at 20 % against one at 80 % (points)", at_20 - at_80, above=5)

# %% [markdown]
# The curve is not symmetric. To the left it climbs for the whole width of the run; to the right there is a
# cliff close to the end, because the noise needs some steps to go. From 70 to 90 % the time hardly
# matters. If you do not know when to drop, try 80 %.

# %% [markdown]
# ## Where the recipe wins
#
# Handwritten digits with 30 % wrong training labels, 2,000 steps: 1,000 examples, so 32 epochs instead of
# the 8 of MNIST-1D. The same five shapes, tuned in the same way:

# %%
noisy_task = lab.digits_task(label_noise=0.3, seed=lab.seed_offset())
lowest = (0.0025, 0.0025, 0.005, 0.01, 0.01)
easy = tune_and_judge(noisy_task, steps, lowest, 5, seeds=20)
show_gains(easy)

# %%
lab.claim("noisy digits: gain of 30/60/90 (points)", gains(easy)["30/60/90"], above=0)

# %%
halvings_less_recipe = gains(easy)["7 halvings"] - gains(easy)["30/60/90"]
lab.claim(
    "noisy digits: seven halvings less 30/60/90 (points)",
    halvings_less_recipe,
    no_difference=1.5,
)

# %% [markdown]
# Here the recipe beats the fixed rate, and seven halvings do about as well. (All runs share one draw of
# wrong labels: the intervals cover initial weights and batches, not another draw.) Which quadratic does
# each run resemble? Correlate the order of the five shapes:

# %%
for name, result in (("MNIST-1D", hard), ("noisy digits", easy)):
    loss = [-gain.mean() for gain in gains(result).values()]
    noise, curvature = (stats.spearmanr(loss, s).statistic for s in scores.values())
    print(f"{name:12}: noise-limited {noise:+.1f}, curvature-limited {curvature:+.1f}")

# %% [markdown]
# In the run printed here, MNIST-1D orders the shapes as the short quadratic does, the digits as the long
# one. The two settings were picked to show the regimes, and five ranks describe, they do not test. For the
# digits another reading fits as well: a rate that falls early leaves the network less time to learn the
# wrong labels by heart; test error cannot separate the two.
#
# To separate length from data, run the first experiment once more with 4,000 steps and its own tuning,
# `tune_and_judge(task, 4000, …)`, five peaks each and the fixed rate's from 0.005. It takes about twenty
# seconds. Predict the gain of the recipe first.
#
# A question to ask of your own run follows from the quadratic, as a guess: is the loss still falling at
# the high rate? Then wait. Has it been flat for a while? Then drop.

# %% [markdown]
# ## Folklore and pitfalls
#
# **"Three drops by ten" is a default.** Its shape, tested above, is worse than nothing on one of two
# problems.
#
# **A pitfall: the plot that used up the schedule.** PyTorch's schedulers are stateful. To draw one, you
# step it; and then it has been stepped. It is easily done:


# %%
def train_a_little(scheduler, optimizer, steps=100):
    trace = LRTrace(optimizer)
    for _ in range(steps):
        optimizer.step()
        scheduler.step()
    return trace


# %%
optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [30, 60, 90])
drawn = []
for _ in range(100):  # to draw the schedule
    drawn.append(optimizer.param_groups[0]["lr"])
    optimizer.step()
    scheduler.step()
trace = train_a_little(scheduler, optimizer)

# %%
plan = MultiStepDecay([30, 60, 90])
ax = trace.plot(plan, peak=0.1)
ax.set(
    yscale="log",
    title="Planned: three drops. Applied: the last rate, from the start",
)
plt.show()

# %%
try:
    trace.assert_matches(plan, peak=0.1)
except AssertionError as error:
    print(error)

# %% [markdown]
# The run that follows the drawing never decays, and no error is raised. A schedule in `lrlib` is a pure
# function: `plan.plot()` and `plan.sample(100)` touch no optimizer. Whatever you use, record what was
# applied.

# %%
optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
scheduler = ScheduledLR(optimizer, plan)
plan.sample(100)
train_a_little(scheduler, optimizer).assert_matches(plan, peak=0.1)

# %% [markdown]
# **A pitfall: epochs taken for steps.** `MultiStepLR(optimizer, [30, 60, 90])` stepped after every batch
# has made all its drops before the first hundred batches are over. In `lrlib` a milestone is always a
# step.

# %% [markdown]
# ## In your own code

# %%
model, epochs, steps_per_epoch = lab.mlp(40, 100, 100, 10), 8, 250
total_steps = epochs * steps_per_epoch
optimizer = torch.optim.SGD(model.parameters(), lr=0.04, momentum=0.9)

# plain torch
plain = torch.optim.lr_scheduler.MultiStepLR(optimizer, [int(0.8 * total_steps)])

# %%
optimizer = torch.optim.SGD(model.parameters(), lr=0.04, momentum=0.9)
shape = MultiStepDecay([int(0.8 * total_steps)])
scheduler, trace = ScheduledLR(optimizer, shape), LRTrace(optimizer)
# then, after every optimizer.step(): scheduler.step()
print(shape, [float(factor) for factor in shape.sample(total_steps)[[0, 1599, 1600]]])

# %% [markdown]
# ## Summary
#
# - $\alpha_t = \alpha_0\gamma^{\lfloor t/k\rfloor}$, with $t$ and $k$ in optimizer steps.
# - A drop lets the noise sink, fastest in the steep directions, and slows the remaining progress by its
#   factor. On the network, 100 steps after a drop and the mean of the weights over 100 steps without one
#   have nearly the same training loss.
# - From 70 to 90 % of the run the time of the drop hardly mattered here; at 20 % it was worse than no drop,
#   and in the last 5 % the noise has no time to go.
# - Whether early drops beat one late one, or a fixed rate, depends on what limits the run. The 30/60/90
#   recipe lost to a fixed rate on MNIST-1D in 2,000 steps, and won on noisy digits.
# - Drawing a stateful scheduler uses it up. Record the rate that was applied.
#
# ## Exercises
#
# In `exercises/02_step_decay/`:
#
# 1. step decay from its formula; 2. a recipe in epochs, converted to steps; 3. what is wrong with this
# comparison? 4. open: the best step decay with two drops.
#
# ## References
#
# - P. Goyal, P. Dollár, R. Girshick, P. Noordhuis, L. Wesolowski, A. Kyrola, A. Tulloch, Y. Jia, K. He
#   (2017). *Accurate, large minibatch SGD: training ImageNet in 1 hour.* (Drops at epochs 30, 60, 80.)
# - R. Ge, S. M. Kakade, R. Kidambi, P. Netrapalli (2019). *The step decay schedule: a near optimal,
#   geometrically decaying learning rate procedure for least squares.* NeurIPS.
# - B. T. Polyak, A. B. Juditsky (1992). *Acceleration of stochastic approximation by averaging.* SIAM
#   Journal on Control and Optimization 30(4).
# - PyTorch, *ImageNet training in PyTorch*, `imagenet/main.py` of the repository pytorch/examples.
# - D. Ruppert (1988). *Efficient estimations from a slowly convergent Robbins–Monro process.* Cornell
#   University, technical report 781.
# - G. Zhang, L. Li, Z. Nado, J. Martens, S. Sachdeva, G. Dahl, C. Shallue, R. Grosse (2019). *Which
#   algorithmic choices matter at which batch sizes? Insights from a noisy quadratic model.* NeurIPS.
