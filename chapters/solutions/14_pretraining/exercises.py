# %% [markdown] nbgrader={"grade": false, "grade_id": "title", "locked": true, "schema_version": 3, "solution": false, "task": false}
# # Exercises to chapter 14: pretraining schedules
#
# Write your code where it says `YOUR CODE HERE`, and run the cell below it: it tests your function
# and says what is likely wrong. You may run it as often as you like. A function leaves the lists and
# arrays that it is given as they are. Where it says `YOUR ANSWER HERE`, double-click and answer in a
# few sentences; your teacher marks these.
#
# Four exercises, 11 points. Core: exercises 1, 2 and 3, 45 minutes; all: 75 minutes.

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
import math

import numpy as np

# %% [markdown] nbgrader={"grade": false, "grade_id": "factor-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 1. WSD from its phases (core, 2 points, 10 minutes)
#
# Up in a straight line from 0, which is the factor at step 0, to 1 at step `warmup`; held at 1; and from
# `cooldown` steps before step `total` in a straight line to 0, which is reached at step `total` and held
# from there on. Write the factor at step `t`. Do not call `lrlib`.


# %% nbgrader={"grade": false, "grade_id": "factor", "locked": false, "schema_version": 3, "solution": true, "task": false}
def factor(t, total, warmup, cooldown):
    """The factor at step t."""
    ### BEGIN SOLUTION
    if t < warmup:
        return t / warmup
    return max(0.0, min(1.0, (total - t) / cooldown))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "factor-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.pretraining import check_factor

check_factor(factor)

# %% [markdown] nbgrader={"grade": false, "grade_id": "updates-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 2. What the branches cost (core, 4 points, 18 minutes)
#
# You hold the rate, and want a finished model at several lengths: `ends`, in steps, in any order. The
# model for an end is branched off the held run (the *trunk*) so that its cooldown, the last `share` of its
# steps rounded down, ends there. How many updates do you make in all? The trunk is trained no further than
# the last branch needs.


# %% nbgrader={"grade": false, "grade_id": "updates", "locked": false, "schema_version": 3, "solution": true, "task": false}
def updates(ends, share):
    """All updates that are made, those of the trunk and of every branch's cooldown."""
    ### BEGIN SOLUTION
    falls = [math.floor(share * end) for end in ends]
    trunk = max(end - fall for end, fall in zip(ends, falls, strict=True))
    return trunk + sum(falls)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "updates-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.pretraining import check_updates

check_updates(updates)

# %% [markdown] nbgrader={"grade": false, "grade_id": "updates-question", "locked": true, "schema_version": 3, "solution": false, "task": false}
# **Question** (2 points). Models are wanted after 1,000, 2,000 and 4,000 steps. How many updates do you
# save with branches of 20 % against three runs from the start, and what do the published runs of chapter 14
# say that each model may lose by its short cooldown?

# %% [markdown] nbgrader={"grade": true, "grade_id": "updates-answer", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# **Model answer.** 4,600 updates in place of 7,000: 2,400 saved, a third. In the published runs a cooldown of
# 20 % ended 0.013 nats above the cosine on a line, and 0.006 as a square root (after 50,000 steps); from 40 % on
# nothing was lost.
#
# **Rubric.**
#
# - 1 point: 2,400 updates, or 4,600 against 7,000
# - 1 point: 0.013 nats (on a line) or 0.006 (square root)

# %% [markdown] nbgrader={"grade": false, "grade_id": "average-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 3. An average without a horizon (core, 2 points, 17 minutes)
#
# The growing average of chapter 14: when value number $n$ arrives ($n = 1, 2, \dots$), the average moves
# $(c+1)/(n+c)$ of the way to it, with the emphasis $c$. Return the average after every value, an array as long
# as `values`. Do not call `lrlib`.


# %% nbgrader={"grade": false, "grade_id": "average", "locked": false, "schema_version": 3, "solution": true, "task": false}
def average(values, emphasis):
    """The growing average after each of the values."""
    ### BEGIN SOLUTION
    averages, mean = [], 0.0
    for n, value in enumerate(values, start=1):
        mean = mean + (value - mean) * (emphasis + 1) / (n + emphasis)
        averages.append(mean)
    return np.array(averages)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "average-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.pretraining import check_average

check_average(average)

# %% [markdown] nbgrader={"grade": false, "grade_id": "plan-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 4. A run that may grow (3 points, 30 minutes, open-ended)
#
# Your group trains a language model for 50,000 steps. If the result is promising, the run will be extended to
# 100,000, perhaps to 200,000. A first model has to be shown after 50,000, and once a week somebody wants to
# evaluate the model as it is.

# %% [markdown] nbgrader={"grade": false, "grade_id": "plan-question", "locked": true, "schema_version": 3, "solution": false, "task": false}
# **Question** (3 points). Write down a plan of at most ten lines: the shape, what is saved and when,
# what is evaluated, how the peak is chosen; and say which sentence of your plan chapter 14 did *not* show.

# %% [markdown] nbgrader={"grade": true, "grade_id": "plan-answer", "locked": false, "points": 3, "schema_version": 3, "solution": true, "task": false}
# **Model answer.** Warm up, then hold the rate; save weights, optimizer and counter before the cooldown. Branch off
# a cooldown so that it ends at step 50,000, over 40 % of the run (from step 30,000), or 20 % as 1 − √s if
# the decision to stop may come late; to zero, not to a tenth. For an extension go on from the saved trunk, not
# from the cooled model. Once a week evaluate a growing average (of the last quarter, say), not the raw weights. The
# peak from a sweep at a shorter length, then lowered: the longer the run the lower the best peak, and for a
# short cooldown about half of a line's. Not shown: that the best peak of 50,000 steps holds for 200,000, and that averaging
# equals a cooldown on a language model.
#
# **Rubric.**
#
# - 1 point: the rate is held, and the extension starts from before the cooldown
# - 1 point: a cooldown to zero, its length with a reason; or an average for the weekly evaluation
# - 1 point: names something the chapter did not show (no: "the plan is optimal")
