# %% [markdown] nbgrader={"grade": false, "grade_id": "title", "locked": true, "schema_version": 3, "solution": false, "task": false}
# # Exercises to chapter 8: warm-up
#
# Write your code where it says `YOUR CODE HERE`, and run the cell below it: it tests your function
# and says what is likely wrong. You may run it as often as you like. A function leaves the lists and
# arrays that it is given as they are. Where it says `YOUR ANSWER HERE`, double-click and answer in a
# few sentences; your teacher marks these.
#
# Five exercises, 22 points. Core: exercises 1, 2 and 3, 42 minutes; all: 107 minutes.

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
import matplotlib.pyplot as plt
import numpy as np
from lrlib import CosineAnnealing, ScheduledLR, Warmup, lab
from lrlib.lab import figures
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR

figures.use_style()

# %% [markdown] nbgrader={"grade": false, "grade_id": "factor-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 1. No update wasted (core, 1 point, 6 minutes)
#
# A linear warm-up over `n` updates. Update number 1, step `t = 0`, has `1/n` of the peak, and update number `n`
# is the first that has all of it. So for `n = 4` the factors from step 0 on are
#
# 0.25, 0.5, 0.75, 1, 1, 1, …
#
# Write the factor at step `t`. Do not call `lrlib.Warmup`, nor any other shape of `lrlib`.


# %% nbgrader={"grade": false, "grade_id": "factor", "locked": false, "schema_version": 3, "solution": true, "task": false}
def factor(t, n):
    """The factor at step t of a warm-up over n updates."""
    ### BEGIN SOLUTION
    return min(1, (t + 1) / n)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "factor-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.warmup import check_factor

check_factor(factor)

# %% [markdown] nbgrader={"grade": false, "grade_id": "recipe-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 2. Warm-up and cosine (core, 2 points, 12 minutes)
#
# The usual recipe as one `Schedule`: a line up to the peak, then half a cosine down to 0. There are two conventions
# for the line.
#
# - `from_zero=True`: the factors are 0, `1/n`, `2/n`, …, and the peak comes at step `n`.
# - `from_zero=False`: they are `1/n`, `2/n`, …, and the peak comes at step `n - 1`, as in exercise 1.
#
# In both the cosine begins at the peak, which exactly one update has, and reaches 0 at step `total_steps`. The run
# is over then, so its last update, step `total_steps - 1`, still has a rate.
#
# Build it from `Warmup(total_iters, start_factor)`, `CosineAnnealing(T_max)` and `a.then(b)`, which starts `b` when
# `a` has come to its end. `n` is at least 1 and less than `total_steps`; a `Warmup` of 0 steps adds nothing. Before you
# start: how many steps is it from the first factor to the peak in each convention, and how many are left?


# %% nbgrader={"grade": false, "grade_id": "recipe", "locked": false, "schema_version": 3, "solution": true, "task": false}
def recipe(total_steps, n, from_zero):
    """Warm-up over n updates, then a cosine to the end of the run."""
    ### BEGIN SOLUTION
    if from_zero:
        return Warmup(n).then(CosineAnnealing(total_steps - n))
    return Warmup(n - 1, 1 / n).then(CosineAnnealing(total_steps - (n - 1)))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "recipe-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.warmup import check_recipe

check_recipe(recipe)

# %% [markdown] nbgrader={"grade": false, "grade_id": "updates-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 3. Adam's first updates (core, 5 points, 24 minutes)
#
# Adam keeps two running means for every weight, both 0 at first. With the gradient $g_t$ of update
# $t = 1, 2, \dots$
#
# $$m_t = \beta_1 m_{t-1} + (1 - \beta_1)\, g_t, \qquad v_t = \beta_2 v_{t-1} + (1 - \beta_2)\, g_t^2,$$
#
# and the weight changes by $-\eta\, \hat m_t / \sqrt{\hat v_t}$, where $\hat m_t = m_t / (1 - \beta_1^t)$ and
# $\hat v_t = v_t / (1 - \beta_2^t)$ correct the bias of the zeros they began with. (We leave out the small
# $\varepsilon$ in the denominator; no gradient here is 0.)
#
# Write the updates in units of the rate, $\hat m_t / \sqrt{\hat v_t}$. `gradients` is an array of shape
# (updates, weights), and so is what you return. If `correct` is false, use $m_t$ and $v_t$ as they are. Before you start,
# on paper: what is the first update for the gradient 3, and for the gradient 0.001, with the correction and
# without?


# %% nbgrader={"grade": false, "grade_id": "updates", "locked": false, "schema_version": 3, "solution": true, "task": false}
def updates(gradients, beta1, beta2, correct):
    """Adam's updates in units of the learning rate, an array like `gradients`."""
    ### BEGIN SOLUTION
    m, v, out = 0.0, 0.0, []
    for t, g in enumerate(gradients, start=1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        if correct:
            out.append(m / (1 - beta1**t) / np.sqrt(v / (1 - beta2**t)))
        else:
            out.append(m / np.sqrt(v))
    return np.array(out)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "updates-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.warmup import check_updates

check_updates(updates, part="uncorrected")

# %% nbgrader={"grade": true, "grade_id": "corrected-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.warmup import check_updates

check_updates(updates, part="corrected")

# %% [markdown] nbgrader={"grade": false, "grade_id": "noise-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# Now gradients that are nothing but noise: whatever the updates do here, they do it for nothing. Before you run the
# cell, sketch the size of the updates over the first thousand steps, once with the correction and once without.

# %% nbgrader={"grade": false, "grade_id": "noise", "locked": true, "schema_version": 3, "solution": false, "task": false}
rng = np.random.default_rng(lab.seeds(1)[0])
noise = rng.standard_normal((3_000, 500))
fig, ax = plt.subplots()
for correct, line in ((True, "-"), (False, "--")):
    size = np.sqrt((updates(noise, 0.9, 0.999, correct) ** 2).mean(axis=1))
    ax.plot(np.arange(1, len(size) + 1), size, line, color="black")
    says = "corrected" if correct else "not corrected"
    ax.annotate(says, (2, size[1]), xytext=(8, 4), textcoords="offset points")
    print(f"{says}: {size[0]:.2f}, {size[9]:.2f}, {size[99]:.2f}, {size[-1]:.2f}")
ax.set(xscale="log", ylim=(0, None), xlabel="update", ylabel="size (in learning rates)")
ax.set_title("On pure noise, Adam's first updates are its largest")
plt.show()

# %% [markdown] nbgrader={"grade": false, "grade_id": "noise-question", "locked": true, "schema_version": 3, "solution": false, "task": false}
# **Question** (2 points). The lines print the root mean square of updates 1, 10, 100 and 3,000. With the correction, where
# does the factor between the first and the last come from, $m$ or $v$? Without it, how long would a warm-up have to be to
# make up for what is missing?

# %% [markdown] nbgrader={"grade": true, "grade_id": "noise-answer", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# **Model answer.** From $m$. At the first update $\hat m$ is the gradient and the size is 1. Later $\hat m$ is a mean of many
# gradients that cancel, of size $\sqrt{(1 - \beta_1) / (1 + \beta_1)} = 0.23$, while $\hat v$ estimates the same square
# from first to last. Without the correction the size is $1 / \sqrt{1 - \beta_2^t}$ times that as soon as $m$ has filled
# up: 3.2 times after 100 updates, 1.26 after 1,000, 1.08 after 2,000. A warm-up would have to last about 2,000 updates,
# $2 / (1 - \beta_2)$.
#
# **Rubric.**
#
# - 1 point: from m, which averages over gradients that cancel later on
# - 1 point: one to three thousand updates, since v needs some multiple of 1 / (1 - beta2) to fill up (not: ten updates, the
#   memory of m)

# %% [markdown] nbgrader={"grade": false, "grade_id": "wrong-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 4. What is wrong with this experiment? (7 points, 30 minutes)
#
# A colleague asks whether warm-up and cosine beat a fixed rate, on a linear regression with noise.
# `job(peak, seed)` begins a process. It returns a model, its optimizer (SGD with momentum 0.9 whose rate is
# `peak`), and two functions: `update(t)` makes one update with batch number `t`, `loss()` is the loss in excess of the
# lowest there is. A run has 12 epochs of 16 batches, and 2 epochs of warm-up. The machine is taken away after 70
# updates, and a new process goes on from what was saved.


# %% nbgrader={"grade": false, "grade_id": "careless", "locked": true, "schema_version": 3, "solution": false, "task": false}
def careless(model, optimizer, update, epochs, batches, warmup_epochs, stop, saved):
    cosine = CosineAnnealingLR(optimizer, T_max=epochs * batches)
    warmup = LambdaLR(optimizer, lambda t: min(1, t / warmup_epochs))
    parts = {"model": model, "optimizer": optimizer, "cosine": cosine}
    done = 0
    if saved is not None:
        for name, part in parts.items():
            part.load_state_dict(saved[name])
        done = saved["done"]
    for t in range(done, stop):
        update(t)
        cosine.step()
        warmup.step()
    return {name: part.state_dict() for name, part in parts.items()} | {"done": stop}


def fixed(model, optimizer, update, epochs, batches, warmup_epochs, stop, saved):
    if saved is not None:
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
    for t in range(0 if saved is None else saved["done"], stop):
        update(t)
    states = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    return states | {"done": stop}


# %% nbgrader={"grade": false, "grade_id": "careless-run", "locked": true, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.warmup import job

peaks = [0.005, 0.01, 0.02, 0.04, 0.08]
tuning_seeds, seeds = lab.seeds(4, "tune"), lab.seeds(12)


def final_loss(run, peak, seed):
    saved = None
    for stop in (70, 192):
        model, optimizer, update, loss = job(peak, seed)
        saved = run(model, optimizer, update, 12, 16, 2, stop, saved)
    return loss()


def losses(run, peak, seeds):
    return np.array([final_loss(run, peak, seed) for seed in seeds])


def tuned(run):
    return min(peaks, key=lambda peak: losses(run, peak, tuning_seeds).mean())


peak = tuned(fixed)
usual, scheduled = losses(fixed, peak, seeds), losses(careless, peak, seeds)
print(f"peak {peak}: fixed {usual.mean():.4f}, scheduled {scheduled.mean():.4f}")

# %% [markdown] nbgrader={"grade": false, "grade_id": "flaws-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# The colleague wrote: "At the best rate, warm-up and cosine make no difference."
#
# Which of these are flaws of the experiment? Return the set of their letters. If you are in doubt, put an
# `LRTrace` of `lrlib` on the optimizer and look at what was applied.
#
# - **A** The first update has the rate 0.
# - **B** The lambda divides updates by epochs.
# - **C** Two schedulers write the same rate, one after the other.
# - **D** `parts` has three entries, and four objects change during a run.
# - **E** Both `step()` calls come after the update.
# - **F** The schedulers are built first and the optimizer's state is loaded after that.
# - **G** Both rivals run at the peak that was the best for one of them.


# %% nbgrader={"grade": false, "grade_id": "flaws", "locked": false, "schema_version": 3, "solution": true, "task": false}
def flaws():
    """The letters of the flaws, for example {"A", "B"}."""
    ### BEGIN SOLUTION
    return {"A", "B", "C", "D", "G"}
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "flaws-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.warmup import check_flaws

check_flaws(flaws)

# %% [markdown] nbgrader={"grade": false, "grade_id": "train-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# Write what `careless` should have been. The warm-up takes `warmup_epochs * batches` updates and wastes none, the cosine
# takes the rest, as in exercise 2 with `from_zero=False`. The peak is the rate the optimizer was built with.
#
# The function goes on until `stop` updates have been made since the start of the run, and returns what the next process
# needs. `saved` is what the last one returned, or `None` at the start; between the two the checker writes it to a file and
# reads it with `torch.load`. `update(t)` makes update number `t = 0, 1, …`. After a crash the model and the optimizer
# are new, and rates and weights should be those of a run without a crash, bit for bit. You may call your `recipe`. The
# first cell below the function runs it without a crash, the second with one and with two.


# %% nbgrader={"grade": false, "grade_id": "train", "locked": false, "schema_version": 3, "solution": true, "task": false}
def train(model, optimizer, update, epochs, batches, warmup_epochs, stop, saved):
    """Go on until `stop` updates are made; return what the next call needs."""
    ### BEGIN SOLUTION
    shape = recipe(epochs * batches, warmup_epochs * batches, from_zero=False)
    scheduler, done = ScheduledLR(optimizer, shape), 0
    parts = {"model": model, "optimizer": optimizer, "scheduler": scheduler}
    if saved is not None:
        for name, part in parts.items():
            part.load_state_dict(saved[name])
        done = saved["done"]
    for t in range(done, stop):
        update(t)
        scheduler.step()
    return {name: part.state_dict() for name, part in parts.items()} | {"done": stop}
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "train-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.warmup import check_train

check_train(train)

# %% nbgrader={"grade": true, "grade_id": "resume-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.warmup import check_resume

check_resume(train)

# %% [markdown] nbgrader={"grade": false, "grade_id": "again-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# Now every rival gets its best peak, and there is a third: the cosine alone. Which part of the gain do you
# expect from the warm-up, and which from the cosine?


# %% nbgrader={"grade": false, "grade_id": "again", "locked": true, "schema_version": 3, "solution": false, "task": false}
def cosine_alone(model, optimizer, update, epochs, batches, warmup_epochs, stop, saved):
    if stop == epochs * batches:  # in one piece, which changes nothing
        scheduler = ScheduledLR(optimizer, CosineAnnealing(stop))
        for t in range(stop):
            update(t)
            scheduler.step()


for name, run in {"cosine": cosine_alone, "warm-up and cosine": train}.items():
    best = tuned(run)
    logs = np.log(losses(run, best, seeds) / usual)
    half = lab.half_interval(logs)
    low, middle, high = np.exp(logs.mean() + half * np.array([-1, 0, 1]))
    shown = f"{middle:.2f} [{low:.2f}, {high:.2f}]"
    print(f"{name}, peak {best}: {shown} of the loss of the fixed rate")

# %% [markdown] nbgrader={"grade": false, "grade_id": "again-question", "locked": true, "schema_version": 3, "solution": false, "task": false}
# **Question** (2 points). Which part of the gain does the cosine bring, and which the warm-up? The curvature of a linear
# regression is the same from the first update to the last: what would have to be different at the beginning of a run for
# a warm-up to allow a larger peak?

# %% [markdown] nbgrader={"grade": true, "grade_id": "again-answer", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# **Model answer.** All that can be seen is the cosine's: its falling rate lets the noise die out at the end, and so affords
# a peak of 0.04, twice that of the fixed rate. With a warm-up before it the peak is the same, and the loss, 0.69 of that of the
# fixed rate and not 0.66, is the same within the intervals. A warm-up pays where a rate that is stable later is too large
# at the beginning, because the sharpness is higher there and falls as training goes on.
#
# **Rubric.**
#
# - 1 point: the gain is the cosine's; of the warm-up these twelve seeds show no effect, neither on the peak nor on the loss
# - 1 point: the sharpness would have to be higher at the beginning than later (or, with Adam, the updates larger)

# %% [markdown] nbgrader={"grade": false, "grade_id": "line-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 5. The shortest warm-up (7 points, 35 minutes, open-ended)
#
# Gradient descent shrinks the error along the sharpest direction as long as $\eta_t \lambda_t < 2$; $\lambda_t$, the
# largest eigenvalue of the Hessian before update $t$, is the *sharpness*. In the models of this exercise it falls
# as training goes on. So the peak can be a rate that would be far too large for the first update, and the question is how
# long the warm-up has to be.
#
# `measure(rates)` trains a model anew, one update for each of the `rates`, without noise. It returns the sharpness before
# each update and after the last, an array of shape `(len(rates) + 1,)`.

# %% nbgrader={"grade": false, "grade_id": "model", "locked": true, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.warmup import model

measure, peak = model()
fig, ax = plt.subplots()
for share in (5, 20, 80):
    sharpness = measure(np.full(400, peak / share))
    ax.plot(sharpness, color="black", linewidth=4 / share**0.3)
    ax.annotate(f"rate = peak / {share}", (250, sharpness[250] + 0.15))
ax.axhline(2 / peak, **figures.look("warm-up"))
ax.annotate("2 / peak", (2, 2 / peak - 0.6), color="#B22222")
ax.set(xlabel="step", ylabel="sharpness", ylim=(0, None))
ax.set_title("The larger the rate, the sooner the sharpness allows a larger one")
plt.show()

# %% [markdown] nbgrader={"grade": false, "grade_id": "line-rule", "locked": true, "schema_version": 3, "solution": false, "task": false}
# First a straight line: update $t = 0, 1, \dots, n - 1$ has the rate `peak * (t + 1) / n`, and from then on the
# rate is the peak. Return the smallest `n` with which $\eta_t \lambda_t$ is below 2 at every update, those at the peak
# included. A longer line is stable too, so you may search by halving. The checker brings five models, on one of which
# the peak is stable from the start, and allows 2 % more than the shortest.
#
# Before you start: an obvious rule takes the first measurement alone, `peak / n < 2 / λ₀`. What does it leave
# out?


# %% nbgrader={"grade": false, "grade_id": "line", "locked": false, "schema_version": 3, "solution": true, "task": false}
def shortest_line(measure, peak):
    """The smallest n for which the line from peak / n is stable."""

    ### BEGIN SOLUTION
    def stable(n):
        rates = peak * np.arange(1, n + 1) / n
        sharpness = measure(rates)
        return (rates * sharpness[:-1]).max() < 2 and peak * sharpness[-1] < 2

    low, high = 0, 1
    while not stable(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if stable(middle) else (middle, high)
    return high
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "line-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.warmup import check_shortest_line

check_shortest_line(shortest_line)

# %% [markdown] nbgrader={"grade": false, "grade_id": "plan-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# A line is not the shortest way up. Return the rates of a warm-up of any shape, a list of numbers above 0 and at
# most the peak; after the last of them the rate is the peak. Again the rate times the sharpness is to be below 2 at
# every update. At most 1.2 times as many updates may lie below the peak as in the shortest warm-up there is, which the
# checker knows. That leaves room for a margin of some percent in the rates below the peak, and none at the peak itself: from
# the first update on at which the peak times the sharpness is below 2, use the peak. You may measure after every update, and
# several times. Where the peak is stable from the start, the list is empty.


# %% nbgrader={"grade": false, "grade_id": "plan", "locked": false, "schema_version": 3, "solution": true, "task": false}
def plan(measure, peak):
    """The rates of a warm-up, one for each of its updates."""
    ### BEGIN SOLUTION
    rates = []
    sharpness = measure(rates)[-1]
    while peak * sharpness >= 2:
        rates.append(min(peak, 1.9 / sharpness))
        sharpness = measure(rates)[-1]
    return rates
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "plan-test", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.warmup import check_plan

check_plan(plan)

# %% [markdown] nbgrader={"grade": false, "grade_id": "both-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# Both warm-ups on the model of the figure: the rates, and how far each stays below the limit.

# %% nbgrader={"grade": false, "grade_id": "both", "locked": true, "schema_version": 3, "solution": false, "task": false}
n = shortest_line(measure, peak)
warmups = {
    "line": peak * np.arange(1, n + 1) / n,
    "plan": np.array(plan(measure, peak)),
}
fig, axes = plt.subplots(1, 2, figsize=(9, 3.5))
for (name, rates), style in zip(warmups.items(), ("--", "-"), strict=True):
    rates = np.append(rates, np.full(n + 30 - len(rates), peak))
    axes[0].plot(rates, style, color="black", label=name)
    axes[1].plot(rates * measure(rates)[:-1], style, color="black", label=name)
axes[0].set(xlabel="step", ylabel="learning rate", title="Both reach the peak,")
axes[1].set(
    xlabel="step", ylabel="rate times sharpness", title="and stay below the limit"
)
axes[1].axhline(2, **figures.look("warm-up"))
axes[0].legend()
plt.show()

# %% [markdown] nbgrader={"grade": false, "grade_id": "both-question", "locked": true, "schema_version": 3, "solution": false, "task": false}
# **Question** (2 points). Your plan needed the sharpness before every update. One of the two modes of `Warmup` comes within
# a tenth of the shortest warm-up on this model, with the right `start_factor`: which, and what in the left picture says
# so? And what would you have to know of a real network, with noisy gradients, before you trusted any of the three?

# %% [markdown] nbgrader={"grade": true, "grade_id": "both-answer", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# **Model answer.** The exponential one, from 0.16 of the peak: 177 updates will do, where the shortest warm-up takes 161. The
# rates of the plan start well above 0 and bend upwards, by 0.6 to 1.2 % from step to step; no line of 177 updates
# stays below the limit, wherever it starts. Of a real network one would have to know that its sharpness falls at the rates
# of the warm-up, and how far it varies from batch to batch and from seed to seed: the limit is 2 over the sharpness for
# plain gradient descent without noise, and another with momentum or Adam.
#
# **Rubric.**
#
# - 1 point: exponential, since the rates of the plan bend upwards (or: rise by the same ratio)
# - 1 point: how the sharpness, measured on this network, develops during the warm-up, and how much it or the limit
#   varies (batches, seeds, momentum or Adam): one of these
