# %% [markdown] nbgrader={"grade": false, "grade_id": "title", "locked": true, "schema_version": 3, "solution": false, "task": false}
# # Exercises to chapter 7: one-cycle
#
# Write your code where it says `YOUR CODE HERE`, and run the cell below it: it tests your function
# and says what is likely wrong. You may run it as often as you like. A function leaves the lists and
# arrays that it is given as they are. Where it says `YOUR ANSWER HERE`, double-click and answer in a
# few sentences; your teacher marks these.
#
# Five exercises, 20 points. Core: exercises 1, 3 and 4, 48 minutes; all: 96 minutes.

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from lrlib import Constant, OneCycle, PolynomialDecay, ScheduledLR, lab
from lrlib.lab import figures

figures.use_style()

# %% [markdown] nbgrader={"grade": false, "grade_id": "factor-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 1. The factor of a step (core, 2 points, 10 minutes)
#
# A one-cycle has two phases. From `1 / div_factor` the factor rises to 1, then it falls to
# `1 / (div_factor * final_div_factor)`. In each phase it goes from its first value to its last as
# $(1 - s) \cdot \text{first} + s \cdot \text{last}$ with $s = (1 - \cos \pi p) / 2$, where $p$ is the part of
# the phase that is done. The first factor is at step 0, the peak at step `pct_start * total_steps - 1`, as in
# torch, and the last factor at step `total_steps - 1`. If the step of the peak is not whole, the peak lies
# between two steps, and none of them has the factor 1.
#
# Write the factor at step `t`, from 0 to `total_steps - 1`. In the checker's tests the peak lies after step 0
# and before the last step. Do not call `lrlib.OneCycle`, nor any other shape of `lrlib`.


# %% nbgrader={"grade": false, "grade_id": "factor", "locked": false, "schema_version": 3, "solution": true, "task": false}
def factor(t, total_steps, pct_start, div_factor, final_div_factor):
    """The factor of the one-cycle at step t."""
    ### BEGIN SOLUTION
    peak, start = pct_start * total_steps - 1, 1 / div_factor
    if t <= peak:
        first, last, pct = start, 1, t / peak
    else:
        first, last = 1, start / final_div_factor
        pct = (t - peak) / (total_steps - 1 - peak)
    s = (1 - math.cos(math.pi * pct)) / 2
    return (1 - s) * first + s * last
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "factor-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.one_cycle import check_factor

check_factor(factor)

# %% [markdown] nbgrader={"grade": false, "grade_id": "steady-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 2. Momentum as a shape (5 points, 18 minutes)
#
# While the rate goes up, the momentum goes down: from `high` at the first step to `low` at the peak, and back
# to `high` at the last step. In between it follows the height of the rate, $h(t)$, in a straight line.
# `shape.height(t)` is 0 at the start and at the end and 1 at the peak.
#
# With a momentum $\mu$ a rate $\eta$ moves the weights, in the long run, as far as the effective rate
# $\eta / (1 - \mu)$ would without momentum. So moving the momentum is another way of changing the rate. Return
# the factors that do the same with a fixed `momentum`: an array with one factor for each of the
# `shape.total_steps` steps, such that every step has the effective rate of the one-cycle `shape` whose
# momentum moves between `high` and `low`. Both are multiplied by the same peak.
#
# Before you start: torch's defaults are 0.95 and 0.85. Does the effective rate have a sharper peak than the rate, or
# a flatter one?


# %% nbgrader={"grade": false, "grade_id": "steady", "locked": false, "schema_version": 3, "solution": true, "task": false}
def steady(shape, high, low, momentum):
    """The factors with the same effective rates, one a step, at a fixed momentum."""
    ### BEGIN SOLUTION
    steps = range(shape.total_steps)
    height = np.array([shape.height(t) for t in steps])
    moving = high - (high - low) * height
    return shape.sample(len(steps)) * (1 - momentum) / (1 - moving)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "steady-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.one_cycle import check_steady

check_steady(steady)

# %% [markdown] nbgrader={"grade": false, "grade_id": "compare-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# How good is the replacement? The noisy quadratic says it exactly, for 1,000 steps and batches of 16. Each of
# the three gets its best peak.

# %% nbgrader={"grade": false, "grade_id": "compare", "locked": true, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.one_cycle import best_loss

shape = OneCycle(1000)
factors, fixed_momentum = shape.sample(1000), np.full(1000, 0.9)
rivals = {
    "moving momentum": (factors, 0.95 * shape.momentum().sample(1000)),
    "its effective rate, momentum 0.9": (
        steady(shape, 0.95, 0.85, 0.9),
        fixed_momentum,
    ),
    "one-cycle as it is, momentum 0.9": (factors, fixed_momentum),
}
fig, ax = plt.subplots()
for (name, (rates, momenta)), style in zip(
    rivals.items(), ("-", ":", "--"), strict=True
):
    peak, loss = best_loss(rates, momenta)
    print(f"{name}: loss {loss:.5f} (peak {peak:.3f})")
    ax.plot(peak * rates / (1 - momenta), style, label=name)
ax.set(xlabel="step", ylabel="effective rate")
ax.set_title("Moving the momentum makes a flatter cycle")
ax.legend()
plt.show()

# %% [markdown] nbgrader={"grade": false, "grade_id": "compare-question", "locked": true, "schema_version": 3, "solution": false, "task": false}
# **Question** (2 points). How much of the difference between the first and the last line does the effective rate
# account for? And was it worth moving the momentum?

# %% [markdown] nbgrader={"grade": true, "grade_id": "compare-answer", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# **Model answer.** The moving momentum ends 0.00863 - 0.00774 = 0.00089 higher. With the momentum fixed and
# the same effective rates, 0.00836 - 0.00774 = 0.00062 of it are still there, 70 %; the rest is the
# momentum's own doing. Moving it was not worth it here: each at its best peak, the one-cycle with a fixed momentum
# ends lowest.
#
# **Rubric.**
#
# - 1 point: about 70 %, 0.00062 of 0.00089 (two thirds to three quarters will do)
# - 1 point: no, for with the momentum fixed at 0.9 the loss is lower, each at its best peak

# %% [markdown] nbgrader={"grade": false, "grade_id": "least-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# The first factor is `1 / div_factor`, and the momentum is highest there. If `div_factor` is small, the effective
# rate is at its highest in the very first step: it falls while the rate rises. Return the `div_factor` at which
# the first step and the peak have the same effective rate.


# %% nbgrader={"grade": false, "grade_id": "least", "locked": false, "schema_version": 3, "solution": true, "task": false}
def least_div_factor(high, low):
    """The div_factor at which the effective rate begins as high as at the peak."""
    ### BEGIN SOLUTION
    return (1 - low) / (1 - high)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "least-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.one_cycle import check_least_div_factor

check_least_div_factor(least_div_factor)

# %% [markdown] nbgrader={"grade": false, "grade_id": "needed-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 3. A speed-up (core, 3 points, 16 minutes)
#
# "Twice as fast" means: the rival needs twice as many updates for the same error. To find out how many it
# needs, you train it several times, each run with a schedule planned for its own number of updates, its *budget*.
# `budgets` rises, and `errors` holds the error at the end of each run. Between two budgets the error is taken to lie on
# a straight line in the *logarithm* of the updates.
#
# Return the number of updates (not rounded) at which this line comes down to `target` for the first time. A target
# that is met exactly counts. If no budget gets there, return `math.inf`. If the shortest one is at or below the target,
# the answer is unknown: raise a `ValueError`.


# %% nbgrader={"grade": false, "grade_id": "needed", "locked": false, "schema_version": 3, "solution": true, "task": false}
def updates_needed(budgets, errors, target):
    """How many updates a run needs to reach the target error."""
    ### BEGIN SOLUTION
    reached = np.asarray(errors) <= target
    if not reached.any():
        return math.inf
    k = np.argmax(reached)
    if k == 0:
        raise ValueError("the shortest budget reaches the target: try shorter ones")
    share = (errors[k - 1] - target) / (errors[k - 1] - errors[k])
    return budgets[k - 1] * (budgets[k] / budgets[k - 1]) ** share
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "needed-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.one_cycle import check_updates_needed

check_updates_needed(updates_needed)

# %% [markdown] nbgrader={"grade": false, "grade_id": "speed-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# Now with seeds. `ours` and `rival` have one row for each of nine seeds and one column for each budget; a row of
# the one and the same row of the other come from the same initial weights and the same noise. The speed-up of a seed
# is the ratio of the updates needed, the rival's over ours. It is infinite if only the rival never gets there, 0 if only
# we do not. If neither does, it is unknown: raise a `ValueError`.
#
# Return three numbers: the second lowest of the nine ratios, their median, and the second highest. The first and
# the last are an interval. Each ratio lies above the true median or below it, like a coin; the interval misses only if at
# most one of nine coins shows heads, or at most one tails. So it holds the true median with 96 %, whatever the ratios are
# distributed like, and infinity does it no harm.


# %% nbgrader={"grade": false, "grade_id": "speed", "locked": false, "schema_version": 3, "solution": true, "task": false}
def speed_up(budgets, ours, rival, target):
    """The second lowest, the median and the second highest of nine ratios."""
    ### BEGIN SOLUTION
    ratios = []
    for our_errors, rival_errors in zip(ours, rival, strict=True):
        n_ours = updates_needed(budgets, our_errors, target)
        n_rival = updates_needed(budgets, rival_errors, target)
        if math.isinf(n_ours) and math.isinf(n_rival):
            raise ValueError("neither reaches the target: choose an easier one")
        ratios.append(n_rival / n_ours)
    ratios.sort()
    return ratios[1], ratios[4], ratios[7]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "speed-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.one_cycle import check_speed_up

check_speed_up(speed_up, part="middle")

# %% nbgrader={"grade": true, "grade_id": "interval-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.one_cycle import check_speed_up

check_speed_up(speed_up, part=("low", "high"))

# %% [markdown] nbgrader={"grade": false, "grade_id": "wrong-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 4. What is wrong with this experiment? (core, 5 points, 22 minutes)
#
# A colleague has read that one-cycle trains ten times as fast, and tries it on the noisy quadratic with batches of 16
# and gradients that are drawn. `start(peak, seed)` begins a run. It returns the optimizer, plain SGD whose rate is
# `peak`, and two functions: `update()` makes one optimizer step with a noisy gradient, `loss()` is the loss of the
# present weights. `seed` decides the initial weights and the noise.


# %% nbgrader={"grade": false, "grade_id": "careless", "locked": true, "schema_version": 3, "solution": false, "task": false}
def careless(start, peak, seed, epochs, batches):
    optimizer, update, loss = start(peak, seed)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1.0, total_steps=epochs * batches
    )
    for _ in range(epochs):
        for _ in range(batches):
            update()
        scheduler.step()
    return loss()


def fixed(start, peak, seed, epochs, batches):
    _, update, loss = start(peak, seed)
    for _ in range(epochs * batches):
        update()
    return loss()


# %% nbgrader={"grade": false, "grade_id": "careless-run", "locked": true, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.one_cycle import start

seed = lab.seeds(1)[0]
losses = {}
for peak in (0.05, 0.1, 0.2, 0.4, 0.8, 1.2, 1.6):
    losses[peak] = careless(start, peak, seed, epochs=4, batches=40)
    print(f"one-cycle, peak {peak}: {losses[peak]:.4f} after 160 updates")
best = min(losses, key=losses.get)
usual = fixed(start, 0.02, seed, epochs=40, batches=40)  # 0.02, as always
print(f"\nfixed rate: {usual:.4f} after 1600 updates")
print(f"one-cycle: {losses[best]:.4f} after 160 updates, at its best peak, {best}")

# %% [markdown] nbgrader={"grade": false, "grade_id": "flaws-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# The colleague wrote: "One-cycle gets further in 160 updates than a fixed rate in 1,600. It is more than ten times as
# fast."
#
# Which of these are flaws of the experiment? Return the set of their letters.
#
# - **A** Seven peaks were tried, and the runs use none of them.
# - **B** `total_steps` is the number of updates of the run.
# - **C** The scheduler is stepped once per epoch.
# - **D** The rate is not the only thing that differs between the updates of the two.
# - **E** Both begin with the same weights and draw the same noise.
# - **F** 1,600 is how long the fixed run was, not how many updates it takes without one-cycle.
# - **G** The fixed rate is the usual one.
# - **H** There is one seed.


# %% nbgrader={"grade": false, "grade_id": "flaws", "locked": false, "schema_version": 3, "solution": true, "task": false}
def flaws():
    """The letters of the flaws, for example {"A", "B"}."""
    ### BEGIN SOLUTION
    return {"A", "C", "D", "F", "G", "H"}
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "flaws-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.one_cycle import check_flaws

check_flaws(flaws)

# %% [markdown] nbgrader={"grade": false, "grade_id": "run-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# Write what `careless` should have been: a run of `epochs * batches` updates with one cycle that ends with the run.
# The highest rate is `peak`; otherwise the shape has torch's defaults (which are also those of `OneCycle`). Nothing but
# the rate is to change. Return the loss after the last update. The checker passes in a `start` of its own and watches
# what your updates apply.


# %% nbgrader={"grade": false, "grade_id": "run", "locked": false, "schema_version": 3, "solution": true, "task": false}
def run(start, peak, seed, epochs, batches):
    """The last loss of a run with one cycle."""
    ### BEGIN SOLUTION
    optimizer, update, loss = start(peak, seed)
    scheduler = ScheduledLR(optimizer, OneCycle(epochs * batches))
    for _ in range(epochs * batches):
        update()
        scheduler.step()
    return loss()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "run-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.one_cycle import check_run

check_run(run)

# %% [markdown] nbgrader={"grade": false, "grade_id": "again-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# Now measure with what you have: the runs from this exercise, the speed-up from exercise 3. There are five budgets and nine
# seeds, and three rivals: the colleague's fixed rate; a fixed rate with the best peak for each budget; and a straight line
# from the peak to 0, which never rises, with the best peak for each budget. One-cycle gets its best peaks too. Write
# down the three speed-ups you expect before you run the cell. An infinite speed-up means
# that the rival does not get there in 400 updates.


# %% nbgrader={"grade": false, "grade_id": "again", "locked": true, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.one_cycle import start


def table(run, shape=None):
    """Losses, one row for each seed, at the peak that is best for the budget."""
    quadratic, rows = lab.NoisyQuadratic(batch_size=16), []
    for n in budgets:
        peak = 0.02 if shape is None else quadratic.tune(shape(n), n)[0]
        rows.append([run(start, peak, seed, 1, n) for seed in lab.seeds(9)])
    return np.transpose(rows)


def line(start, peak, seed, epochs, batches):
    optimizer, update, loss = start(peak, seed)
    scheduler = ScheduledLR(optimizer, PolynomialDecay(epochs * batches))
    for _ in range(epochs * batches):
        update()
        scheduler.step()
    return loss()


# %% nbgrader={"grade": false, "grade_id": "again-run", "locked": true, "schema_version": 3, "solution": false, "task": false}
budgets = np.array([25, 50, 100, 200, 400])
ours = table(run, OneCycle)
rivals = {
    "the fixed rate 0.02": table(fixed),
    "the best fixed rate": table(fixed, lambda n: Constant()),
    "a straight line down": table(line, PolynomialDecay),
}
for name, rival in rivals.items():
    low, middle, high = speed_up(budgets, ours, rival, target=0.08)
    print(f"speed-up over {name}: {middle:.2f} [{low:.2f}, {high:.2f}]")

# %% [markdown] nbgrader={"grade": false, "grade_id": "again-question", "locked": true, "schema_version": 3, "solution": false, "task": false}
# **Question** (2 points). What would you write now about how fast one-cycle is? Which part of its gain is due to the
# rise?

# %% [markdown] nbgrader={"grade": true, "grade_id": "again-answer", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# **Model answer.** One-cycle is 1.99 times as fast as a fixed rate with a peak of its own [1.69, 2.40], to the
# loss 0.08 on this problem. The infinite speed-up says that 0.02 is too low a rate, and nothing about one-cycle. The rise
# has no part in the gain: a line that only falls needs 0.92 times as many updates as one-cycle [0.91, 0.95].
#
# **Rubric.**
#
# - 1 point: about twice as fast as the best fixed rate, with the interval (not: infinitely, nor ten times)
# - 1 point: none of it, the fall alone is faster still: 0.92, and the interval lies below 1

# %% [markdown] nbgrader={"grade": false, "grade_id": "price-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 5. When does a rise pay? (5 points, 30 minutes, open-ended)
#
# In one direction of the noisy quadratic, with curvature $h$, an update at the rate $\eta$ turns
# $\theta$ into $(1 - \eta h)\,\theta - \eta\,\varepsilon$, and the noise $\varepsilon$ has mean 0 and variance $c$.
# The loss is $\frac12 h\,\mathrm E\,\theta^2$. Two updates are to be made, one at the rate $a$, one at the rate $b$. Return the
# loss after $a$ first and $b$ second, minus the loss after $b$ first and $a$ second. Take a pencil: how does one update
# change $\mathrm E\,\theta^2$? The result does not depend on where $\theta$ starts.


# %% nbgrader={"grade": false, "grade_id": "price", "locked": false, "schema_version": 3, "solution": true, "task": false}
def price(a, b, h, c):
    """What it costs, in loss, to make the update at rate a before that at rate b."""
    ### BEGIN SOLUTION
    a_first = (1 - b * h) ** 2 * a**2 * c + b**2 * c
    b_first = (1 - a * h) ** 2 * b**2 * c + a**2 * c
    return h / 2 * (a_first - b_first)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "price-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.one_cycle import check_price

check_price(price)

# %% [markdown] nbgrader={"grade": false, "grade_id": "landscape-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# What sign does the price have if the rates rise, $a < b$? Take any schedule that rises somewhere and swap two
# neighbours there, in all directions at once, and again until nothing rises. What have you shown about every
# schedule on the noisy quadratic?
#
# And yet people begin with a low rate, and have reasons. Find a loss on which it pays. `landscape(x)` is the loss of
# a single weight, computed with torch's functions, one value for each entry of the tensor `x`. It should be finite
# between -3 and 3, and nowhere below 0. The runs begin somewhere between 1 and 2; there are 64 of them, 300 steps
# long, and the gradients have noise with a standard deviation of 0.1. The checker trains with
# `OneCycle(300)` and with the fall alone, `OneCycle(300, pct_start=0)`, each at the best of 81 peaks between 0.0001 and 10. The mean loss at the end with the fall
# alone is to be at least twice that with the rise.
#
# | loss | with the rise | fall alone |
# | --- | --- | --- |
# | `x**2 / 2` | 0.0000405 | 0.0000309 |
# | `x**4` | 0.000101 | 0.0000778 |
# | `x.abs()` | 0.00000112 | 0.000000528 |
#
# Before you try: which property of the noisy quadratic did the price rest on? Change that.


# %% nbgrader={"grade": false, "grade_id": "landscape", "locked": false, "schema_version": 3, "solution": true, "task": false}
def landscape(x):
    """A loss, one value for each entry of x, on which the rise pays."""
    ### BEGIN SOLUTION
    # Steep where the runs begin, flat where they arrive: the curvature is 300 x².
    return 25 * x**4
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "landscape-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.one_cycle import check_landscape

check_landscape(landscape)

# %% [markdown] nbgrader={"grade": false, "grade_id": "landscape-question", "locked": true, "schema_version": 3, "solution": false, "task": false}
# **Question** (2 points). Your loss pays for a rise because of what happens in the first steps. How would you find
# out whether a network does too, and how many steps of rise it wants? Would you expect that number to grow with
# the length of the run, as `pct_start` makes it?

# %% [markdown] nbgrader={"grade": true, "grade_id": "landscape-answer", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# **Model answer.** Train it with rises of, say, 0, 10, 30, 100 and 300 steps before the same fall, each length with the
# best of several peaks, on several seeds that all of them share, and compare the errors at the end. Then do the same in a
# run that is several times as long. I expect the same number of steps there: what breaks at a high rate is the
# beginning, and a longer run has no longer beginning. `pct_start` would rise for several times as many steps.
#
# **Rubric.**
#
# - 1 point: several lengths of the rise, 0 among them, each with its own best peak, on several seeds (0 points if all
#   have one peak)
# - 1 point: no, since the rise is there for the first steps, however many follow
