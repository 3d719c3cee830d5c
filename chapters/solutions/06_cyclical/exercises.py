# %% [markdown] nbgrader={"grade": false, "grade_id": "title", "locked": true, "schema_version": 3, "solution": false, "task": false}
# # Exercises to chapter 6: cyclical learning rates
#
# Write your code where it says `YOUR CODE HERE`, and run the cell below it: it tests your function
# and says what is likely wrong. You may run it as often as you like. A function leaves the lists and
# arrays that it is given as they are. Where it says `YOUR ANSWER HERE`, double-click and answer in a
# few sentences; your teacher marks these.
#
# Five exercises, 15 points. Core: exercises 1, 4 and 5, 48 minutes; all: 85 minutes.

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
import matplotlib.pyplot as plt
import numpy as np
import torch
from lrlib import Cyclical, PolynomialDecay, ScheduledLR, lab
from lrlib.lab import figures

figures.use_style()

# %% [markdown] nbgrader={"grade": false, "grade_id": "factor-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 1. The triangle of a step (core, 2 points, 8 minutes)
#
# The triangular policy begins at the bottom, with the factor `min_factor`. It climbs in a straight line to 1
# in `step_size_up` steps, falls in a straight line back to `min_factor` in `step_size_down` steps, and begins
# again. With `min_factor=0.5`, 2 steps up and 4 down, the factors from step 0 on are
#
# 0.5, 0.75, 1, 0.875, 0.75, 0.625, 0.5, 0.75, 1, …
#
# Write the factor at step `t` as a function of its arguments. Smith's formula for it (2017, section 3) has as
# many steps down as up; here the two may differ. The checker asks for the steps in several orders, and late in a
# long run. Do not call `lrlib.Cyclical`, nor any other shape of `lrlib`.


# %% nbgrader={"grade": false, "grade_id": "factor", "locked": false, "schema_version": 3, "solution": true, "task": false}
def factor(t, min_factor, step_size_up, step_size_down):
    """The factor of the triangular policy at step t."""
    ### BEGIN SOLUTION
    T_cur = t % (step_size_up + step_size_down)
    if T_cur <= step_size_up:
        height = T_cur / step_size_up
    else:
        height = (step_size_up + step_size_down - T_cur) / step_size_down
    return min_factor + (1 - min_factor) * height
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "factor-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.cyclical import check_factor

check_factor(factor)

# %% [markdown] nbgrader={"grade": false, "grade_id": "sizes-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 2. Cycles that end with the run (2 points, 12 minutes)
#
# A run has `total_steps` steps and is to see `cycles` cycles. If they are all alike, a rest is left over, and
# the run stops on the way up. So let them differ by a step. Return a list of pairs
# `(step_size_up, step_size_down)`, one for each cycle, such that
#
# - the last cycle is over when the run is: all sizes together are `total_steps`;
# - no cycle is more than one step longer than another;
# - within a cycle, up and down differ by at most one step.
#
# Sizes are whole numbers, at least 1. If the cycles do not fit, raise a `ValueError`. The first point is for
# the first of the three.


# %% nbgrader={"grade": false, "grade_id": "sizes", "locked": false, "schema_version": 3, "solution": true, "task": false}
def step_sizes(total_steps, cycles):
    """One pair (step_size_up, step_size_down) for each cycle."""
    ### BEGIN SOLUTION
    if total_steps < 2 * cycles:
        raise ValueError(f"{cycles} cycles do not fit into {total_steps} steps")
    shortest, rest = divmod(total_steps, cycles)
    lengths = [shortest + 1] * rest + [shortest] * (cycles - rest)
    return [(length // 2, length - length // 2) for length in lengths]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "sizes-end-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.cyclical import check_step_sizes

check_step_sizes(step_sizes, part="end")

# %% nbgrader={"grade": true, "grade_id": "sizes-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.cyclical import check_step_sizes

check_step_sizes(step_sizes)

# %% [markdown] nbgrader={"grade": false, "grade_id": "bounds-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 3. Read a range test (3 points, 25 minutes)
#
# A range test is one short run whose rate rises from step to step, while you note the loss before each update.
# The bottom of the cycles goes where the loss begins to fall, the top where it stops falling. Here is one
# (made up, so that the right answer is known).

# %% nbgrader={"grade": false, "grade_id": "range-test", "locked": true, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.cyclical import range_test

rates, losses = range_test(noise=0.1)
fig, ax = plt.subplots()
ax.plot(rates, losses, ".", color="black", markersize=3)
ax.set(xscale="log", xlabel="learning rate", ylabel="training loss (nats)", ylim=(0, 4))
ax.set_title("Where does the loss begin to fall, and where does it stop?")
plt.show()

# %% [markdown] nbgrader={"grade": false, "grade_id": "bounds-rule", "locked": true, "schema_version": 3, "solution": false, "task": false}
# "Begins" and "stops" need a measure. Call the loss at the start $a$ and the lowest loss $b$. `base_lr` is the
# first rate at which the loss has come a fifth of the way from $a$ down to $b$, `max_lr` the first at which it
# has come four fifths of the way. All this is meant without the noise, which you have to average away. In the
# checker's tests 60 readings or more lie between the two rates, and the noise has a standard deviation of up to
# 0.15 nats.
#
# `rates` and `losses` are arrays of the same length, the rates rising, by a constant factor or by a constant amount.
# From some step on the losses may be infinite or NaN. Return `(base_lr, max_lr)`; under noise a factor of 1.5
# either way is allowed. A test that began at too high a rate shows no fall: if $b$ is not at least a tenth
# below $a$, raise a `ValueError`. The first point is for curves without noise.
#
# Before you start: what is wrong with taking the rate of the lowest loss for `max_lr`?


# %% nbgrader={"grade": false, "grade_id": "bounds", "locked": false, "schema_version": 3, "solution": true, "task": false}
def bounds(rates, losses):
    """(base_lr, max_lr) from a range test."""
    ### BEGIN SOLUTION
    finite = np.isfinite(losses)
    n = len(losses) if finite.all() else np.argmin(finite)
    means = np.array([losses[max(0, i - 20) : min(n, i + 21)].mean() for i in range(n)])
    start, lowest = means[0], means.min()
    if lowest > 0.9 * start:
        raise ValueError("the loss does not fall: begin the test at a lower rate")
    way = (start - means) / (start - lowest)
    return rates[np.argmax(way >= 0.2)], rates[np.argmax(way >= 0.8)]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "bounds-clean-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.cyclical import check_bounds

check_bounds(bounds, part=("clean", "with a tail"))

# %% nbgrader={"grade": true, "grade_id": "bounds-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.cyclical import check_bounds

check_bounds(bounds)

# %% [markdown] nbgrader={"grade": false, "grade_id": "wrong-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 4. What is wrong with this experiment? (core, 5 points, 22 minutes)
#
# A colleague asks whether cyclical rates beat a fixed one, on the noisy quadratic with batches of 16 and
# gradients that are drawn. `start(peak, seed)` begins a run. It returns the optimizer, plain SGD whose rate is
# `peak`, and two functions: `update()` makes one optimizer step with a noisy gradient, `loss()` is the loss
# of the present weights. `seed` decides the initial weights and the noise. A run has 6 epochs of 40 batches;
# the rate is to climb for two epochs and to fall for two, as Smith recommends (a step size of 2 to 10 epochs).


# %% nbgrader={"grade": false, "grade_id": "careless", "locked": true, "schema_version": 3, "solution": false, "task": false}
def careless(start, peak, seed, epochs, batches, cycles):
    optimizer, update, loss = start(peak, seed)
    scheduler = torch.optim.lr_scheduler.CyclicLR(
        optimizer, base_lr=peak / 10, max_lr=peak, step_size_up=2 * batches
    )
    losses = []
    for _ in range(epochs):
        for _ in range(batches):
            update()
        scheduler.step()
        losses.append(loss())
    return min(losses)


def fixed(start, peak, seed, epochs, batches, cycles):
    _, update, loss = start(peak, seed)
    for _ in range(epochs * batches):
        update()
    return loss()


# %% nbgrader={"grade": false, "grade_id": "careless-run", "locked": true, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.cyclical import start

sizes = {"epochs": 6, "batches": 40, "cycles": 2}
peaks = [0.18, 0.35, 0.5, 0.7, 1.0, 1.4, 1.8]
tuning_seeds, seeds = lab.seeds(4, "tune"), lab.seeds(12)


def losses(run, peak, seeds):
    return np.array([run(start, peak, seed, **sizes) for seed in seeds])


def tuned(run):
    means = [losses(run, peak, tuning_seeds).mean() for peak in peaks]
    return peaks[np.argmin(means)]


cyclical = losses(careless, tuned(careless), seeds)
usual = losses(fixed, 0.1, seeds)  # the rate the group has used for years
print(f"cyclical {cyclical.mean():.3f}, fixed {usual.mean():.3f}")

# %% [markdown] nbgrader={"grade": false, "grade_id": "flaws-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# The colleague wrote: "Letting the rate rise and fall leaves a fifth of the loss."
#
# Which of these are flaws of the experiment? Return the set of their letters.
#
# - **A** Both rivals run on the same twelve seeds.
# - **B** The step size counts updates, and the scheduler is stepped once per epoch.
# - **C** The rate is not the only thing in which the updates of the two rivals differ.
# - **D** Even if the scheduler were stepped after every update, the run would stop inside a cycle.
# - **E** The cyclical runs are judged by their best epoch, the fixed ones by their last.
# - **F** The peak was chosen on other seeds than those that are compared.
# - **G** The fixed rate is the usual one.


# %% nbgrader={"grade": false, "grade_id": "flaws", "locked": false, "schema_version": 3, "solution": true, "task": false}
def flaws():
    """The letters of the flaws, for example {"A", "B"}."""
    ### BEGIN SOLUTION
    return {"B", "C", "D", "E", "G"}
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "flaws-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.cyclical import check_flaws

check_flaws(flaws)

# %% [markdown] nbgrader={"grade": false, "grade_id": "run-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# Write what `careless` should have been: a run of `epochs * batches` updates, filled by `cycles` whole cycles.
# Each climbs from a tenth of the peak to the peak and falls for as long; how many steps that takes now follows
# from the length of the run, which `2 * cycles` divides. Nothing but the rate is to change, and the run is
# judged by the loss after its last update. Return this loss. The checker passes in a `start` of its own and
# watches what your updates apply; the first point is for the rates.


# %% nbgrader={"grade": false, "grade_id": "run", "locked": false, "schema_version": 3, "solution": true, "task": false}
def run(start, peak, seed, epochs, batches, cycles):
    """The last loss of a run with whole cycles."""
    ### BEGIN SOLUTION
    optimizer, update, loss = start(peak, seed)
    steps = epochs * batches
    scheduler = ScheduledLR(optimizer, Cyclical(0.1, steps // (2 * cycles)))
    for _ in range(steps):
        update()
        scheduler.step()
    return loss()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "run-rates-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.cyclical import check_run

check_run(run, part=("updates", "applied"))

# %% nbgrader={"grade": true, "grade_id": "run-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.cyclical import check_run

check_run(run)

# %% [markdown] nbgrader={"grade": false, "grade_id": "again-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# Now every rival gets its best peak. There are two more of them: one that climbs for 80 updates and falls for
# 80, as the colleague had planned, and so stops at the top of its second cycle; and one that never climbs, a
# straight line from the peak to a tenth of it. Put the four in order before you run the cell.


# %% nbgrader={"grade": false, "grade_id": "again", "locked": true, "schema_version": 3, "solution": false, "task": false}
def scheduled(shape):
    def run(start, peak, seed, epochs, batches, cycles):
        optimizer, update, loss = start(peak, seed)
        scheduler = ScheduledLR(optimizer, shape)
        for _ in range(epochs * batches):
            update()
            scheduler.step()
        return loss()

    return run


fair = losses(fixed, tuned(fixed), seeds)
rivals = {
    "two whole cycles": run,
    "a cycle and a half": scheduled(Cyclical(0.1, 80)),
    "a straight line down": scheduled(PolynomialDecay(240, min_factor=0.1)),
}
for name, rival in rivals.items():
    logs = np.log(losses(rival, tuned(rival), seeds) / fair)
    half = lab.half_interval(logs)
    low, middle, high = np.exp(logs.mean() + half * np.array([-1, 0, 1]))
    print(f"{name}: {middle:.2f} [{low:.2f}, {high:.2f}] of the loss of the fixed rate")

# %% [markdown] nbgrader={"grade": false, "grade_id": "again-question", "locked": true, "schema_version": 3, "solution": false, "task": false}
# **Question** (2 points). What would you write now, in place of the colleague's sentence? Which part of the cycles'
# gain comes from rising and falling, and which from ending low?

# %% [markdown] nbgrader={"grade": true, "grade_id": "again-answer", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# **Model answer.** Two whole cycles leave 0.68 of the loss of a fixed rate [0.61, 0.75], if both have their best
# peak; not a fifth. Rising and falling gains nothing: the cycles that stop at a top leave 1.52 of it. What gains is
# ending low, and the straight line ends just as low, never rises, and leaves 0.44. So the rises cost something.
#
# **Rubric.**
#
# - 1 point: about two thirds of the loss of a fixed rate, for cycles that end at a bottom, each rival at its best
#   peak (not: a fifth; not: cycles as such)
# - 1 point: all of the gain comes from ending low, since cycles that stop at a top are worse than the fixed rate,
#   or since a line that ends as low without rising is better still

# %% [markdown] nbgrader={"grade": false, "grade_id": "order-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 5. What rising again costs (core, 3 points, 18 minutes)
#
# Six runs of 1,000 steps on the chapter's noisy quadratic, with batches of 256. A has five cycles, at their best
# peak. B to E use the very same rates in another order; F has their mean rate throughout. The area under the
# rate is the same in all six. So is, within two thousandths, the distance that is still to go at the end: only the noise
# differs.


# %% nbgrader={"grade": false, "grade_id": "six-runs", "locked": true, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.cyclical import six_runs

fig, axes = plt.subplots(2, 3, sharex=True, sharey=True, figsize=(9.4, 4))
for ax, (letter, applied) in zip(axes.flat, six_runs().items(), strict=True):
    ax.plot(applied, **figures.look("cyclical"))
    ax.set(title=letter, ylim=(0, 0.55))
for ax in axes[1]:
    ax.set(xlabel="step")
for ax in axes[:, 0]:
    ax.set(ylabel="learning rate")
plt.show()

# %% [markdown] nbgrader={"grade": false, "grade_id": "order-rule", "locked": true, "schema_version": 3, "solution": false, "task": false}
# Put the six in order by their final loss, the lowest first. Decide before you compute anything: the noise that a
# step adds is forgotten in the steps after it, the faster the higher *their* rates are.


# %% nbgrader={"grade": false, "grade_id": "order", "locked": false, "schema_version": 3, "solution": true, "task": false}
def order():
    """The six letters, from the lowest final loss to the highest, such as "ABCDEF"."""
    ### BEGIN SOLUTION
    return "BEAFDC"
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "order-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.cyclical import check_order

check_order(order)

# %% [markdown] nbgrader={"grade": false, "grade_id": "two-cycles-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# Now design one. Runs of 300 steps on the same quadratic, cycles between a fourth of the peak and the peak; a score is
# the final loss at the best peak, over that of the best schedule there is. One cycle, 150 steps up and 150 down,
# scores 2.33; two equal cycles score 2.63.
#
# Yet two cycles can end lower than that one. Return their sizes as in exercise 2, a list of two pairs
# `(step_size_up, step_size_down)`, which fill the 300 steps. Each size is at least 15.


# %% nbgrader={"grade": false, "grade_id": "two-cycles", "locked": false, "schema_version": 3, "solution": true, "task": false}
def two_cycles():
    """Two pairs (step_size_up, step_size_down), 300 steps together."""
    ### BEGIN SOLUTION
    return [(15, 15), (15, 255)]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "two-cycles-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.cyclical import check_two_cycles

check_two_cycles(two_cycles)

# %% [markdown] nbgrader={"grade": false, "grade_id": "two-cycles-question", "locked": true, "schema_version": 3, "solution": false, "task": false}
# **Question** (1 point). If not the number of cycles, what decides how low such a run ends, and why?

# %% [markdown] nbgrader={"grade": true, "grade_id": "two-cycles-answer", "locked": false, "points": 1, "schema_version": 3, "solution": true, "task": false}
# **Model answer.** The length of the last fall: what noise the earlier tops have let in is forgotten by its end, if it
# is long. Two cycles whose last fall has 150 to 160 steps score 2.29 to 2.34, however the other steps are divided;
# the one cycle, with 150, scores 2.33. That does not make a second rise useful, it only makes it cheap: a fall over all
# 300 steps without any rise scores 2.11, and two cycles with rises of 15 steps score 2.16.
#
# **Rubric.**
#
# - 1 point: the length of the last fall (or: the steps since the rate was last at its peak), in which the noise of the
#   earlier steps is forgotten
# - 0 points: the number of cycles, the mean rate or the area
