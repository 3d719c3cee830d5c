# %% [markdown] nbgrader={"grade": false, "grade_id": "title", "locked": true, "schema_version": 3, "solution": false, "task": false}
# # Exercises to chapter 2: step decay
#
# Write your code where it says `YOUR CODE HERE`, and run the cell below it: it tests your function
# and says what is likely wrong. You may run it as often as you like. A function leaves the lists and
# arrays that it is given as they are. Where it says `YOUR ANSWER HERE`, double-click and answer in a
# few sentences; your teacher marks these.
#
# Four exercises, 14 points. Core: exercises 1, 2 and 3, 40 minutes; all: 65 minutes.

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
from lrlib import LRTrace, MultiStepDecay, ScheduledLR

# %% [markdown] nbgrader={"grade": false, "grade_id": "factor-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 1. A loop as a function (core, 2 points, 8 minutes)
#
# This loop applies step decay. You can ask it for the rate at step 1,000 only by going through the
# thousand steps before it.
#
# ```python
# rate = peak
# for t in range(steps):
#     if t > 0 and t % step_size == 0:
#         rate = rate * gamma
#     update(rate)
# ```
#
# Write the *factor* at step `t`, the rate over its peak, as a function of `t` alone. The checker asks
# for the steps in several orders, and late in a long run. Do not call `lrlib.StepDecay`, nor any other
# shape of `lrlib`.


# %% nbgrader={"grade": false, "grade_id": "factor", "locked": false, "schema_version": 3, "solution": true, "task": false}
def factor(t, step_size, gamma):
    """The factor at step t, when the rate drops every `step_size` steps."""
    ### BEGIN SOLUTION
    return gamma ** (t // step_size)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "factor-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.step_decay import check_factor

check_factor(factor)

# %% [markdown] nbgrader={"grade": false, "grade_id": "epochs-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 2. A recipe in epochs (core, 2 points, 10 minutes)
#
# "The rate is divided by five after 60, 120 and 160 epochs." That is a published recipe for wide
# residual networks on CIFAR-10, which has 50,000 training images; with batches of 128 the last batch
# of an epoch holds only 80. Some data loaders keep such a batch, others drop it (`drop_last`).
#
# Return the recipe as a `MultiStepDecay`, in steps, for any `epochs`. The list may come in any order.
# After 60 epochs means: the first step of the 61st has the lower rate. If an epoch has no step at all,
# raise a `ValueError`.


# %% nbgrader={"grade": false, "grade_id": "epochs", "locked": false, "schema_version": 3, "solution": true, "task": false}
def to_steps(epochs, examples, batch_size, drop_last):
    """The schedule that divides the rate by five after each of the `epochs`."""
    ### BEGIN SOLUTION
    steps_per_epoch = examples // batch_size
    if not drop_last and examples % batch_size:
        steps_per_epoch += 1
    if steps_per_epoch == 0:
        raise ValueError(f"{examples} examples do not fill a batch of {batch_size}")
    milestones = [epoch * steps_per_epoch for epoch in sorted(epochs)]
    return MultiStepDecay(milestones, gamma=1 / 5)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "epochs-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.step_decay import check_to_steps

check_to_steps(to_steps)

# %% [markdown] nbgrader={"grade": false, "grade_id": "wrong-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 3. What is wrong with this experiment? (core, 5 points, 22 minutes)
#
# A colleague asks whether two drops by ten beat a fixed rate on MNIST-1D. A run has 8 epochs of 250
# batches; the drops are to come after the fourth and the sixth.
#
# ```python
# def final_error(seed, milestones):
#     model = new_model(seed)
#     optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
#     scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones)
#     plot_rates(scheduler, epochs=8)     # steps it 8 times, and draws the rates
#     for x, y in batches(seed, epochs=8):
#         optimizer.zero_grad()
#         loss(model(x), y).backward()
#         optimizer.step()
#         scheduler.step()
#     return test_error(model)
#
# fixed = [final_error(seed, []) for seed in range(12)]
# drops = [final_error(seed, [4, 6]) for seed in range(12)]
# ```
#
# The peak, 0.02, is the best of seven for the fixed rate, by the validation error of four other seeds.
# The plot showed two drops, where they should be. The errors came out at 41 and 80 %, and the colleague
# wrote "step decay costs 39 points, paired over 12 seeds, ± 1.4".
#
# Which of these are flaws of the experiment? Return the set of their letters.
#
# - **A** Both rivals run on the same twelve seeds.
# - **B** The run starts with a scheduler that has been stepped before.
# - **C** `scheduler.step()` comes after `optimizer.step()`.
# - **D** The milestones are counted in epochs, the scheduler's steps in batches.
# - **E** The peak was chosen for one of the two rivals.


# %% nbgrader={"grade": false, "grade_id": "flaws", "locked": false, "schema_version": 3, "solution": true, "task": false}
def flaws():
    """The letters of the flaws, for example {"A", "C"}."""
    ### BEGIN SOLUTION
    return {"B", "D", "E"}
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "flaws-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.step_decay import check_flaws

check_flaws(flaws)

# %% [markdown] nbgrader={"grade": false, "grade_id": "flaws-question", "locked": true, "schema_version": 3, "solution": false, "task": false}
# **Question** (2 points). Which rates did the colleague's two runs really use, and from which update on?
# What do 41 and 80 % say about step decay?

# %% [markdown] nbgrader={"grade": true, "grade_id": "flaws-answer", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# **Model answer.** With drops, 0.0002 from the first update to the last: the plot had stepped the
# scheduler eight times, past both milestones. Without, 0.02 throughout. The two errors compare a fixed rate
# with a hundredth of it; step decay was not tried, and they say nothing about it.
#
# **Rubric.**
#
# - 1 point: 0.02 and 0.0002, both from the first update on, since the plot had used up the drops
# - 1 point: two fixed rates were compared, so nothing follows for step decay (not: "it is worse", nor: "it
#   is worse on this task")

# %% [markdown] nbgrader={"grade": false, "grade_id": "fair-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# The plot was right and the run was not, because the plot showed a plan. Write a run that reports what
# it did. `make_optimizer()` returns a new optimizer whose rate is the peak; `shape` is a schedule of
# `lrlib`. Make `steps` updates (a bare `optimizer.step()`, without gradients, is enough here) so that
# update `t` uses the peak times `shape(t)`, and return the rates the optimizer really used, an array of
# shape (steps,).


# %% nbgrader={"grade": false, "grade_id": "fair", "locked": false, "schema_version": 3, "solution": true, "task": false}
def fair_run(make_optimizer, shape, steps):
    """The rates applied in a new run of `steps` updates, shape (steps,)."""
    ### BEGIN SOLUTION
    optimizer = make_optimizer()
    scheduler, trace = ScheduledLR(optimizer, shape), LRTrace(optimizer)
    for _ in range(steps):
        optimizer.step()
        scheduler.step()
    return trace.lr[:, 0]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "fair-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.step_decay import check_fair_run

check_fair_run(fair_run)

# %% [markdown] nbgrader={"grade": false, "grade_id": "two-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 4. The best two drops (5 points, 25 minutes, open-ended)
#
# The chapter's noisy quadratic again, with batches of one and 300 steps. Build a schedule that drops
# exactly twice. The checker finds the best peak for it and prints its score, the final loss over that
# of the best schedule there is. 1.12 is asked for. Dividing by ten cannot reach it, wherever the drops
# come, and nor can halving. The best two drops we found come to 1.10; the fixed rate to 1.65.
#
# Before you search: which should be longer, the stage before the first drop or the one after the
# second?


# %% nbgrader={"grade": false, "grade_id": "two", "locked": false, "schema_version": 3, "solution": true, "task": false}
def two_drops():
    """A schedule for 300 steps with exactly two drops."""
    ### BEGIN SOLUTION
    return MultiStepDecay([110, 230], gamma=1 / 3)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "two-test", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.step_decay import check_two_drops

check_two_drops(two_drops)

# %% [markdown] nbgrader={"grade": false, "grade_id": "two-question", "locked": true, "schema_version": 3, "solution": false, "task": false}
# **Question** (2 points). Divide by ten at the steps of your own two drops, with the best peak for that, and
# the score becomes 1.45 or more. The rates after the drops are lower than yours, and yet *more* noise is
# left at the end, not only more of the distance. How can that be?

# %% [markdown] nbgrader={"grade": true, "grade_id": "two-answer", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# **Model answer.** A lower rate puts less new noise on top, but it also forgets the old noise more slowly:
# in a direction of curvature $h$, what is there shrinks by the factor $(1 - \eta h)^2$ at each update.
# After a division by ten the flat directions need ten times as many updates to forget what the first
# stage put there, and the run ends before.
#
# **Rubric.**
#
# - 1 point: noise that is there decays at a speed proportional to the rate, as the distance does
# - 1 point: at a tenth of the rate the steps that are left do not suffice, above all in flat directions
