# %% [markdown] nbgrader={"grade": false, "grade_id": "title", "locked": true, "schema_version": 3, "solution": false, "task": false}
# # Exercises to chapter 10: batch size
#
# Write your code where it says `YOUR CODE HERE`, and run the cell below it: it tests your function
# and says what is likely wrong. You may run it as often as you like. A function leaves the lists and
# arrays that it is given as they are. Where it says `YOUR ANSWER HERE`, double-click and answer in a few
# sentences; your teacher marks these.
#
# Five exercises, 20 points. Core: exercises 1, 2 and 3, 47 minutes; all: 105 minutes.

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
import math
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch
from lrlib import CosineAnnealing, LRTrace, ScheduledLR, Warmup, lab
from lrlib.lab import figures

figures.use_style()

# %% [markdown] nbgrader={"grade": false, "grade_id": "recipe-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 1. A recipe for another batch size (core, 2 points, 8 minutes)
#
# A recipe was tuned at `batch_size`: a peak, a number of steps, and how many of these are warm-up. You have room for
# `new_batch_size`, which may be larger or smaller. Return the new peak, steps and warm-up steps.
#
# - The peak follows the ratio $\kappa$ of the batch sizes, new over old: it is multiplied by $\kappa$ if `rule` is
#   `"linear"`, by $\sqrt\kappa$ if it is `"sqrt"`.
# - The run sees as many samples as before, and so does its warm-up. Where they do not fill the last batch, it counts
#   as a step too: round up. Both numbers are an `int`.
#
# Before you start: a recipe for batch size 8 has 4,000 steps, 10 of them warm-up. How many steps of warm-up are left
# at batch size 1,024, and what would become of them if you rounded down?


# %% nbgrader={"grade": false, "grade_id": "recipe", "locked": false, "schema_version": 3, "solution": true, "task": false}
def recipe(lr, steps, warmup_steps, batch_size, new_batch_size, rule):
    """(lr, steps, warmup_steps) for the new batch size and the same samples."""
    ### BEGIN SOLUTION
    ratio = new_batch_size / batch_size
    factor = ratio if rule == "linear" else math.sqrt(ratio)
    return (
        lr * factor,
        math.ceil(steps * batch_size / new_batch_size),
        math.ceil(warmup_steps * batch_size / new_batch_size),
    )
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "recipe-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.batch_size_scaling import check_recipe

check_recipe(recipe, part="lr")

# %% nbgrader={"grade": true, "grade_id": "recipe-steps-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.batch_size_scaling import check_recipe

check_recipe(recipe, part=("steps", "warmup_steps"))

# %% [markdown] nbgrader={"grade": false, "grade_id": "accumulate-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 2. A batch in pieces (core, 5 points, 17 minutes)
#
# A batch of 12 samples is to make one update, and there is memory for 5. So you run 5, 5 and 2 of them, and let
# the gradients add up. `loss_fn(model(x), y)` is the *mean* loss over the samples it is given. Leave in every
# parameter's `.grad` the gradient of the mean loss over the whole batch, and return that loss.
#
# - The model never sees more than `microbatch_size` samples at once, and a microbatch has gone backward before the next goes
#   forward: until then, what its backward needs stays in memory.
# - What stood in `.grad` before has no part in it. The weights stay as they are; the step is the caller's, and so is the
#   mode of the model and of its layers (train or eval).
#
# Before you start: how much does a sample count in the mean over all 12? And how much if you take the mean of the
# three microbatches' means, for a sample of the first and for one of the last?


# %% nbgrader={"grade": false, "grade_id": "accumulate", "locked": false, "schema_version": 3, "solution": true, "task": false}
def accumulate(model, loss_fn, x, y, microbatch_size):
    """Leave the gradient of the mean loss over (x, y) in .grad; return that loss."""
    ### BEGIN SOLUTION
    model.zero_grad()
    total = 0.0
    for begin in range(0, len(x), microbatch_size):
        part = slice(begin, begin + microbatch_size)
        share = len(x[part]) / len(x)
        loss = loss_fn(model(x[part]), y[part]) * share
        loss.backward()
        total += loss.item()
    return total
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "accumulate-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.batch_size_scaling import check_accumulate

check_accumulate(accumulate, part="gradient")

# %% nbgrader={"grade": true, "grade_id": "accumulate-loss-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.batch_size_scaling import check_accumulate

check_accumulate(accumulate, part="loss")

# %% [markdown] nbgrader={"grade": false, "grade_id": "accumulate-question", "locked": true, "schema_version": 3, "solution": false, "task": false}
# **Question** (2 points). The gradient is that of the whole batch only if the loss of a sample does not depend on who else is in
# its microbatch. Name a layer for which it does, and say why. And which batch size does a schedule see under accumulation, for its
# number of steps and for its rate?

# %% [markdown] nbgrader={"grade": true, "grade_id": "accumulate-answer", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# **Model answer.** Batch norm in training mode: it takes off the mean of the microbatch and divides by its standard deviation, so
# that the loss of a sample depends on the others in it. The schedule sees the whole batch, 12 samples. Its step is an update, and an
# update takes 12; and the noise that limits the rate is that of a mean over 12.
#
# **Rubric.**
#
# - 1 point: batch norm (or a loss that compares samples), since its statistics are those of the microbatch
# - 1 point: the whole batch, for both: an update is a step, and its gradient the mean over all 12
# - 0 points: dropout, which treats every sample alone

# %% [markdown] nbgrader={"grade": false, "grade_id": "noise-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 3. The noise scale, without bias (core, 4 points, 22 minutes)
#
# With $G$ the true gradient and $\Sigma$ the covariance of one sample's gradient, the noise scale is $\operatorname{tr} \Sigma / |G|^2$,
# in samples. The squared norm of a mean over $b$ samples is $|G|^2 + \operatorname{tr} \Sigma / b$ on average. An update with $n$ microbatches of $b$ samples
# shows it at two batch sizes: $|g_b|^2$, the mean over the microbatches' squared norms, and $|g_B|^2$, the squared norm of their mean, with
# $B = nb$. Two equations, two unknowns:
#
# $$|G|^2 \approx \frac{B |g_B|^2 - b |g_b|^2}{B - b}, \qquad
# \operatorname{tr} \Sigma \approx \frac{|g_b|^2 - |g_B|^2}{1/b - 1/B}.$$
#
# `updates` is a list with a tensor for every update, of shape (microbatches, parameters): a row is the mean gradient over the
# `b` samples of a microbatch. Their number may differ from update to update. Average both estimates over the updates, each update
# counting the same, and return the ratio of the averages. If that of $|G|^2$ is not above 0, return `math.inf`. If an
# update has one microbatch alone, raise a `ValueError`: it does not tell noise from gradient.
#
# Before you start: one estimate of $|G|^2$ can come out close to 0, or below. What would that do to an average
# of ratios?


# %% nbgrader={"grade": false, "grade_id": "noise-scale", "locked": false, "schema_version": 3, "solution": true, "task": false}
def noise_scale(updates, b):
    """tr Σ / |G|², in samples, each of the two averaged over the updates."""
    ### BEGIN SOLUTION
    squares, traces = [], []
    for gradients in updates:
        if len(gradients) < 2:
            raise ValueError("noise_scale: an update needs at least 2 microbatches")
        small = gradients.square().sum(1).mean().item()
        large = gradients.mean(0).square().sum().item()
        B = b * len(gradients)
        squares.append((B * large - b * small) / (B - b))
        traces.append((small - large) / (1 / b - 1 / B))
    square, trace = np.mean(squares), np.mean(traces)
    return trace / square if square > 0 else math.inf
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "noise-scale-test", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.batch_size_scaling import check_noise_scale

check_noise_scale(noise_scale)

# %% [markdown] nbgrader={"grade": false, "grade_id": "noise-run-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# Now made-up gradients whose noise scale is 64 samples, in updates of 4 microbatches with 8 samples each. Before you
# run the cell: how far from 64 do you expect a single update to be, in either direction?

# %% nbgrader={"grade": false, "grade_id": "noise-run", "locked": true, "schema_version": 3, "solution": false, "task": false}
draw = torch.Generator().manual_seed(lab.seeds(1)[0])
b, count = 8, 400
spread = math.sqrt(64 / b / 50)  # 50 parameters and |G|² = 1, so that tr Σ = 64
gradient = torch.full((50,), 1 / math.sqrt(50))
updates = [gradient + spread * torch.randn(4, 50, generator=draw) for _ in range(count)]
single = np.array([noise_scale([update], b) for update in updates])
shown = np.arange(4, count + 1, 4)
running = np.array([noise_scale(updates[:t], b) for t in shown])
seen = np.isfinite(single)
fig, ax = plt.subplots()
ax.plot(np.flatnonzero(seen) + 1, single[seen], ".", color="gray", markersize=3)
ax.plot(shown, running, color="black")
ax.plot([0, count], [64, 64], ":", color="black", linewidth=1)
ax.annotate("one update", (count + 6, 150), color="gray")
ax.annotate("all updates so far", (count + 6, running[-1]), va="center")
ax.set(yscale="log", xlabel="update", ylabel="noise scale (samples)", xlim=(0, 500))
ax.set_title("One update says little; the ratio of averages settles")
plt.show()
print(f"ratio of averages {running[-1]:.0f}; infinite in {(~seen).mean():.0%} of the")
print(f"updates, mean of the other ratios {single[seen].mean():.0f}")

# %% [markdown] nbgrader={"grade": false, "grade_id": "noise-question", "locked": true, "schema_version": 3, "solution": false, "task": false}
# **Question** (1 point). An update that gives infinity cannot enter a mean of ratios, and a median of them would be of something else.
# What is wrong with a logger that shows `trace / squared_norm` of each update, smoothed? And what has to be smoothed?

# %% [markdown] nbgrader={"grade": true, "grade_id": "noise-answer", "locked": false, "points": 1, "schema_version": 3, "solution": true, "task": false}
# **Model answer.** It averages ratios, of which a few with an estimate of $|G|^2$ close to 0 are huge and decide the mean. Smooth the
# estimate of $\operatorname{tr} \Sigma$ and that of $|G|^2$ each by itself, and divide what comes out.
#
# **Rubric.**
#
# - 1 point: smooth the two estimates first and divide then, since a single $|G|^2$ can be close to 0, or below

# %% [markdown] nbgrader={"grade": false, "grade_id": "wrong-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 4. What is wrong with this script? (6 points, 33 minutes)
#
# A recipe was tuned on one process: AdamW, batch size 4, 1,600 steps, 160 of them warm-up. A colleague moves it to eight
# processes, each of which adds up two microbatches of 4 samples before an update, and writes a script that every process runs.
#
# `job` holds it all: the recipe in `job.lr`, `job.steps`, `job.warmup_steps` and `job.batch_size`; the machine in `job.processes`,
# `job.accumulate` (microbatches that a process adds up) and `job.microbatch_size`. `process(job, seed)` begins a process, on a
# linear regression with noise, and stands for the others too, since all have the same weights. It returns an AdamW whose rate is `job.lr`;
# `backward(i)`, which adds to `.grad` what microbatch number `i` of *every* process contributes to the mean over the update,
# already divided by their number; and `loss()`, the loss in excess of the lowest there is.


# %% nbgrader={"grade": false, "grade_id": "careless", "locked": true, "schema_version": 3, "solution": false, "task": false}
def shape(steps, warmup):
    """A warm-up that wastes no update, then half a cosine."""
    line = Warmup(warmup - 1, 1 / warmup)
    return line.then(CosineAnnealing(steps - warmup + 1))


def careless(optimizer, backward, job):
    samples = job.steps * job.batch_size
    batch_size = job.microbatch_size * job.accumulate
    steps = samples // batch_size
    peak = job.lr * batch_size / job.batch_size
    plan, trace = shape(steps, job.warmup_steps), LRTrace(optimizer)
    for i in range(samples // (job.microbatch_size * job.processes)):
        optimizer.param_groups[0]["lr"] = peak * plan(i)
        backward(i)
        if (i + 1) % job.accumulate == 0:
            optimizer.step()
            optimizer.zero_grad()
    return trace.lr[:, 0]


# %% nbgrader={"grade": false, "grade_id": "careless-run", "locked": true, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.batch_size_scaling import Job, process

one = Job(0.02, 1_600, 160, 4, processes=1, accumulate=1, microbatch_size=4)
eight = replace(one, processes=8, accumulate=2)
seeds = lab.seeds(8)


def measure(run, job):
    """Samples seen before each update, the rates, and the mean final loss."""
    losses = []
    for seed in seeds:
        optimizer, backward, loss = process(job, seed)
        rates = run(optimizer, backward, job)
        losses.append(loss())
    batch_size = job.microbatch_size * job.accumulate * job.processes
    return batch_size * np.arange(len(rates)), rates, np.mean(losses)


# %% nbgrader={"grade": false, "grade_id": "careless-plot", "locked": true, "schema_version": 3, "solution": false, "task": false}
def compare(title, runs):
    _, ax = plt.subplots()
    for (name, (run, job)), line in zip(
        runs.items(), ("-", "--", "-.", ":"), strict=False
    ):
        samples, rates, loss = measure(run, job)
        ax.plot(samples, rates, line, color="black", label=name)
        print(f"{name}: {len(rates)} updates, final loss {loss:.4f}")
    ax.set(xlabel="samples seen", ylabel="learning rate", title=title)
    ax.legend()
    plt.show()


title = "On eight processes the schedule does not get far"
compare(title, {"one process": (careless, one), "eight": (careless, eight)})

# %% [markdown] nbgrader={"grade": false, "grade_id": "flaws-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# The colleague wrote: "Large batches do not train as well, even with the linear rule." On one process the same script does
# what the recipe says. (Take Adam's rule to be the one that the chapter derives. The chapter's network followed it up to a
# batch of 64 only, and with warm-up. For this regression you will see below how much it matters.)
#
# Which of these are flaws of the script? Return the set of their letters.
#
# - **A** `steps` leaves out the number of processes.
# - **B** No process tells the others its rate.
# - **C** The warm-up has as many steps as in the recipe.
# - **D** `peak` is scaled by the samples of one process.
# - **E** `peak` follows the ratio of the batch sizes, not its root.
# - **F** The loop ends after an eighth of the recipe's microbatches.
# - **G** `plan` is asked for the rate of microbatch `i`.
# - **H** Gradients are set to zero after the update, not before the first `backward`.


# %% nbgrader={"grade": false, "grade_id": "flaws", "locked": false, "schema_version": 3, "solution": true, "task": false}
def flaws():
    """The letters of the flaws, for example {"A", "B"}."""
    ### BEGIN SOLUTION
    return {"A", "C", "D", "E", "G"}
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "flaws-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.batch_size_scaling import check_flaws

check_flaws(flaws)

# %% [markdown] nbgrader={"grade": false, "grade_id": "train-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# Write what `careless` should have been, for any job, with `shape(steps, warmup)`. Where the samples do not
# fill the last update, or the last of the warm-up, it counts too: round up, as in exercise 1. The last update is as large as the
# others, with `accumulate` microbatches (`backward` goes on with the first samples when all are used). Return the rates that the
# updates used, as an `LRTrace` has them. You may call your `recipe`.


# %% nbgrader={"grade": false, "grade_id": "train", "locked": false, "schema_version": 3, "solution": true, "task": false}
def train(optimizer, backward, job):
    """Train as `job` says; return the rate of every update, shape (updates,)."""
    ### BEGIN SOLUTION
    batch_size = job.microbatch_size * job.accumulate * job.processes
    tuned = job.lr, job.steps, job.warmup_steps, job.batch_size
    lr, steps, warmup = recipe(*tuned, batch_size, "sqrt")
    optimizer.param_groups[0]["lr"] = lr
    scheduler = ScheduledLR(optimizer, shape(steps, warmup))
    trace = LRTrace(optimizer)
    for i in range(steps * job.accumulate):
        backward(i)
        if (i + 1) % job.accumulate == 0:
            optimizer.step()
            optimizer.zero_grad()
            scheduler.step()
    return trace.lr[:, 0]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "train-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.batch_size_scaling import check_train

check_train(train, part=("updates", "microbatches"))

# %% nbgrader={"grade": true, "grade_id": "train-rates-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.batch_size_scaling import check_train

check_train(train, part=("peak", "warm-up", "rates", "returned"))

# %% [markdown] nbgrader={"grade": false, "grade_id": "again-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# Now warm-up and cosine cover the same samples on one process and on eight. How much of the colleague's gap is left? What
# does a peak that is four times as high cost? And which of the flaws can you see in the picture?

# %% nbgrader={"grade": false, "grade_id": "again", "locked": true, "schema_version": 3, "solution": false, "task": false}
title = "The same shape over the same samples, and a higher peak"
runs = {"one process": (train, one), "eight, careless": (careless, eight)}
runs["eight, repaired"] = (train, eight)
runs["eight, 4 times the peak"] = (train, replace(eight, lr=4 * eight.lr))
compare(title, runs)

# %% [markdown] nbgrader={"grade": false, "grade_id": "again-question", "locked": true, "schema_version": 3, "solution": false, "task": false}
# **Question** (2 points). Some training libraries step the scheduler once for every process at each update, so that a length that was
# counted for one process comes out right. What happens to a script that counts its updates as yours does? And which two of the flaws
# cancel each other, as to the length of the schedule, when `accumulate` equals `processes`?

# %% [markdown] nbgrader={"grade": true, "grade_id": "again-answer", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# **Model answer.** On $p$ processes its schedule goes by $p$ times too fast. It is over after a $p$-th of the updates, and all that
# follow have the rate 0 and change nothing. A and G cancel: A makes the schedule `processes` times too long, and with G it goes by
# `accumulate` times too fast.
#
# **Rubric.**
#
# - 1 point: the schedule is over after a $p$-th of the run, and the rest has the rate 0 (or: its last rate)
# - 1 point: A and G, too long and too fast by the same factor

# %% [markdown] nbgrader={"grade": false, "grade_id": "grow-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 5. A larger batch in place of a lower rate (3 points, 25 minutes, open-ended)
#
# A step decay has the rate `lr` until the first of the `milestones`, and from each of them on `gamma` times the rate before. The
# drops lower the noise in the weights, which goes with `lr / batch_size`. A larger batch lowers it too (Smith et al. 2018), and the
# same samples then take fewer updates. The original makes `steps` updates of `batch_size` samples; a phase is what lies between
# two milestones, before the first, or after the last.
#
# Return a plan with a larger batch in place of each drop, `[(batch_size, lr, updates), …]`, one entry for each phase.
#
# - `lr / batch_size` is that of the original in every phase.
# - No batch is larger than `max_batch_size`, and no rate above the original's first. Within that every rate is as high as it can be: it
#   falls only where the batch cannot grow enough. `max_batch_size` is at least `batch_size`.
# - A batch size is an `int`. Where the drops ask for a fraction of a sample, take the next smaller one, and the rate that
#   belongs to it.
# - Each phase sees the samples that it saw in the original, the last batch perhaps not full.
#
# Before you start, on paper: batch size 32, rate 0.2, three drops to a quarter, room for 256 samples. Which batch
# sizes and rates have the four phases?


# %% nbgrader={"grade": false, "grade_id": "grow", "locked": false, "schema_version": 3, "solution": true, "task": false}
def grow(lr, batch_size, steps, milestones, gamma, max_batch_size):
    """[(batch_size, lr, updates), …] for the phases of a step decay."""
    ### BEGIN SOLUTION
    plan, edges = [], [0, *milestones, steps]
    for k in range(len(edges) - 1):
        grown = math.floor(batch_size / gamma**k + 1e-6)
        batch = min(grown, max_batch_size)
        rate = lr * gamma**k * batch / batch_size
        samples = (edges[k + 1] - edges[k]) * batch_size
        plan.append((batch, rate, math.ceil(samples / batch)))
    return plan
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "grow-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.batch_size_scaling import check_grow

check_grow(grow, part=("batch sizes", "rates"))

# %% nbgrader={"grade": true, "grade_id": "grow-updates-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.batch_size_scaling import check_grow

check_grow(grow, part="updates")

# %% [markdown] nbgrader={"grade": false, "grade_id": "grow-run-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# Three plans for the noisy quadratic, whose expected loss is exact: the original, the plan with room for every batch, and
# one with little room. Before you run the cell: on which of the two axes, samples or updates, will the three curves lie on each
# other?

# %% nbgrader={"grade": false, "grade_id": "grow-run", "locked": true, "schema_version": 3, "solution": false, "task": false}
h = 1 / np.arange(1, 101)  # curvature, and the variance of one sample's gradient


def expected(plan):
    """Samples seen and expected loss after every update."""
    error, losses, seen = np.ones(100), [], []
    for batch, rate, updates in plan:
        for _ in range(updates):
            error = (1 - rate * h) ** 2 * error + rate**2 * h / batch
            losses.append(error @ h / 2)
            seen.append(batch)
    return np.cumsum(seen), np.array(losses)


decay = (0.2, 8, 4_000, [2_000, 3_000], 0.25)
plans = {
    "original": [(8, 0.2, 2_000), (8, 0.05, 1_000), (8, 0.0125, 1_000)],
    "at most 16": grow(*decay, 16),
    "no limit": grow(*decay, 8_000),
}

# %% nbgrader={"grade": false, "grade_id": "grow-plot", "locked": true, "schema_version": 3, "solution": false, "task": false}
fig, axes = plt.subplots(1, 2, figsize=(9, 3.5), sharey=True)
for (name, plan), line in zip(plans.items(), ("-", "--", ":"), strict=True):
    samples, losses = expected(plan)
    axes[0].plot(samples, losses, line, color="black")
    axes[1].plot(1 + np.arange(len(losses)), losses, line, color="black", label=name)
    print(f"{name}: {len(losses)} updates, final loss {losses[-1]:.5f}")
axes[0].set(yscale="log", xlabel="samples", ylabel="expected loss")
axes[0].set_title("The same loss for the same samples,")
axes[1].set(xlabel="updates", title="in fewer updates")
axes[1].legend()
plt.show()

# %% [markdown] nbgrader={"grade": false, "grade_id": "grow-after", "locked": true, "schema_version": 3, "solution": false, "task": false}
# Now make the first phase larger too: `grow` with 8 times the batch and 8 times the rate from the start. What does the exact
# model say, and where does $\eta h < 2$ come in? What would you measure in a real run before you chose `max_batch_size`? And why is a
# batch close to the whole data set another matter than one close to the noise scale?
