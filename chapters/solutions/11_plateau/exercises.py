# %% [markdown] nbgrader={"grade": false, "grade_id": "title", "locked": true, "schema_version": 3, "solution": false, "task": false}
# # Exercises to chapter 11: a rule that watches the loss
#
# Write your code where it says `YOUR CODE HERE`, and run the cell below it: it tests your function
# and says what is likely wrong. You may run it as often as you like. A function leaves the lists and
# arrays that it is given as they are. Where it says `YOUR ANSWER HERE`, double-click and answer in a
# few sentences; your teacher marks these.
#
# Five exercises, 20 points. Core: exercises 1, 2 and 3, 45 minutes; all: 85 minutes.

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
import math

import numpy as np
from lrlib import false_drop_probability, plateau_delay

# %% [markdown] nbgrader={"grade": false, "grade_id": "rule-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 1. The rule (core, 2 points, 10 minutes)
#
# A plateau rule takes one evaluation of a loss after another. An evaluation that is below the best so
# far is an improvement; any other is *bad*. When more than `patience` bad ones have come in a row, the
# rate falls, and the count starts anew. The best stays.
#
# Return the indices of the evaluations after which the rate falls, for a list of losses. The first
# evaluation has index 0, and is an improvement. Do not call anything of `lrlib`.


# %% nbgrader={"grade": false, "grade_id": "rule", "locked": false, "schema_version": 3, "solution": true, "task": false}
def drops(metrics, patience):
    """The indices of the evaluations after which the rate falls."""
    ### BEGIN SOLUTION
    found, best, bad = [], math.inf, 0
    for i, metric in enumerate(metrics):
        if metric < best:
            best, bad = metric, 0
        else:
            bad += 1
        if bad > patience:
            found.append(i)
            bad = 0
    return found
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "rule-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.plateau import check_drops

check_drops(drops)

# %% [markdown] nbgrader={"grade": false, "grade_id": "below-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 2. A loss below zero (core, 5 points, 15 minutes)
#
# A colleague trains a density model, whose loss, the mean negative log-likelihood, may be negative. The
# evaluations run in half precision, and now and then one is NaN. The schedule is torch's, with its
# defaults but for the patience:
#
# ```python
# plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode="min", patience=2)
# ```
#
# A step, however small, is not always progress: the rule has a `threshold`, a share of the best's size,
# by which an evaluation must beat the best. Say whether a loss `metric` improves on `best`, for losses of
# either sign. NaN improves on nothing. (`best` is never NaN.)


# %% nbgrader={"grade": false, "grade_id": "improves", "locked": false, "schema_version": 3, "solution": true, "task": false}
def improves(metric, best, threshold):
    """Whether the loss beats the best by more than that share of the best's size."""
    ### BEGIN SOLUTION
    return metric < best - threshold * abs(best)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "improves-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.plateau import check_improves

check_improves(improves)

# %% [markdown] nbgrader={"grade": false, "grade_id": "statements-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# Which of these are true of torch's rule? Return the set of their letters.
#
# - **A** With patience 2, the second bad evaluation in a row lowers the rate.
# - **B** NaN is counted as a bad evaluation.
# - **C** When the best is below 0, an evaluation that is a little worse can pass for an improvement.
# - **D** After a drop the best so far is forgotten.
# - **E** Whoever builds the rule with patience 20, and loads the state of a run with patience 2, goes on
#   with patience 2.


# %% nbgrader={"grade": false, "grade_id": "statements", "locked": false, "schema_version": 3, "solution": true, "task": false}
def statements():
    """The letters of the true statements, for example {"A", "D"}."""
    ### BEGIN SOLUTION
    return {"B", "C", "E"}
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "statements-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.plateau import check_statements

check_statements(statements)

# %% [markdown] nbgrader={"grade": false, "grade_id": "nan-question", "locked": true, "schema_version": 3, "solution": false, "task": false}
# **Question** (2 points). The colleague's evaluations are 1.2, 0.4, NaN, NaN, NaN, 0.1. What does torch's
# rule do, and when? What should a rule do with a NaN, and why is a lower rate no answer to it?

# %% [markdown] nbgrader={"grade": true, "grade_id": "nan-answer", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# **Model answer.** The third NaN is the third bad evaluation in a row, so the rate falls by ten, although
# the loss never stopped improving; the 0.1 does not bring it back. A NaN says nothing about progress, so a
# rule should pass over it, neither good nor bad, and say so. If the weights are NaN, every later update
# leaves them NaN at any rate; if the evaluation alone failed, there was nothing wrong with the rate.
#
# **Rubric.**
#
# - 1 point: the rate falls after the third NaN, and stays low
# - 1 point: a NaN is no evidence about progress, or: weights that are NaN stay so at any rate

# %% [markdown] nbgrader={"grade": false, "grade_id": "false-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 3. How often is it wrong? (core, 5 points, 20 minutes)
#
# A loss that improves steadily, seen through noise, is `metric[t] = noise[t] - slope * t` at evaluation
# `t` = 0, 1, 2, … Whenever the rule drops, it is wrong. `noise` is an array of shape (runs, evaluations).
#
# Return the share of the runs in which your rule of exercise 1 drops at least once, and the mean index of
# the first drop, over the runs that have one (some do). Before you run it, guess: a loss that falls by a
# tenth of its noise's standard deviation per evaluation, patience 10, 300 evaluations. In how many of 100
# runs is there a false drop?


# %% nbgrader={"grade": false, "grade_id": "false", "locked": false, "schema_version": 3, "solution": true, "task": false}
def false_drops(noise, slope, patience):
    """The share of runs with a false drop, and the mean index of their first."""
    ### BEGIN SOLUTION
    metrics = noise - slope * np.arange(noise.shape[1])
    firsts = [found[0] for row in metrics if (found := drops(row, patience))]
    return len(firsts) / len(noise), np.mean(firsts)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "share-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.plateau import check_false_drops

check_false_drops(false_drops, part="share")

# %% nbgrader={"grade": true, "grade_id": "first-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.plateau import check_false_drops

check_false_drops(false_drops, part="first")

# %% [markdown] nbgrader={"grade": false, "grade_id": "remedies-question", "locked": true, "schema_version": 3, "solution": false, "task": false}
# **Question** (2 points). Three remedies are proposed for that loss: patience 27; ten times as many validation
# examples, which divides the noise by $\sqrt{10}$; half as many evaluations, each twice as many updates
# after the last, with patience 10 as before. Your function can try each. Which bring false drops down to
# about 5 %, and what does each of the three cost?

# %% [markdown] nbgrader={"grade": true, "grade_id": "remedies-answer", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# **Model answer.** Patience 27 does (4.7 %), and so do ten times the examples (5.4 %). Half the evaluations
# do not (42 %): the fall per evaluation doubles, which is less than $\sqrt{10}$. Patience costs time on a
# true plateau: 17 more evaluations, at least, at a rate that is too high. Examples cost computation, ten times
# as much per evaluation. Seldom evaluations save computation, but every bad one that is borne takes twice
# the updates.
#
# **Rubric.**
#
# - 1 point: patience 27 and ten times the examples do, half the evaluations do not
# - 1 point: patience is paid by a later drop on a true plateau, and examples by computation

# %% [markdown] nbgrader={"grade": false, "grade_id": "state-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 4. A rule that survives a restart (4 points, 20 minutes)
#
# Write the rule of exercise 1 as a function of what it has seen. `observe(state, metric, patience,
# cooldown)` returns the new state, and whether the rate falls now (`True` or `False`). The first state is
# `None`; what you return as a state is up to you, but between any two calls the checker saves it as JSON,
# and it may go on from any saved one. Nothing else may be remembered.
#
# With a `cooldown`: in so many evaluations after a drop, bad ones are not counted. The best is taken all
# the same.


# %% nbgrader={"grade": false, "grade_id": "state", "locked": false, "schema_version": 3, "solution": true, "task": false}
def observe(state, metric, patience, cooldown):
    """The state after one more evaluation, and whether the rate falls."""
    ### BEGIN SOLUTION
    best, bad, left = state or (math.inf, 0, 0)
    if metric < best:
        best, bad = metric, 0
    else:
        bad += 1
    if left > 0:
        left, bad = left - 1, 0
    fell = bad > patience
    if fell:
        bad, left = 0, cooldown
    return (best, bad, left), fell
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "state-test", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.plateau import check_observe

check_observe(observe)

# %% [markdown] nbgrader={"grade": false, "grade_id": "seldom-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 5. Often and badly, or seldom and well? (4 points, 20 minutes, open-ended)
#
# You can afford two validation examples per update, in a run of 6,000 updates: an evaluation every 100
# updates may use 200 examples, one every 500 may use 1,000, fresh ones each time. The loss falls by
# 0.0002 per update, and differs by a standard deviation of 1 from one example to the next. So evaluations
# every `k` updates fall by
#
# $$\frac{\delta}{\sigma} = \frac{0.0002\,k}{1/\sqrt{2k}}$$
#
# standard deviations of their noise. Choose `every` (the `k`) and `patience`: at most 5 % of the runs may
# have a false drop, and a true plateau must be noticed within 1,100 updates, in the mean.
# `false_drop_probability(patience, slope, evaluations)` and `plateau_delay(patience)`, which counts in
# evaluations, are exact. Every 100 updates with patience 10 has 2 % of false drops, and takes 1,949
# updates.


# %% nbgrader={"grade": false, "grade_id": "seldom", "locked": false, "schema_version": 3, "solution": true, "task": false}
def plan():
    """Updates between two evaluations, and the patience."""
    ### BEGIN SOLUTION
    good = []
    for every in range(50, 1001, 50):
        slope = 0.0002 * every * math.sqrt(2 * every)
        for patience in range(30):
            if false_drop_probability(patience, slope, 6_000 // every) <= 0.05:
                good.append((every * plateau_delay(patience), every, patience))
                break
    return min(good)[1:]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "seldom-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.plateau import check_seldom

check_seldom(plan)

# %% [markdown] nbgrader={"grade": false, "grade_id": "seldom-question", "locked": true, "schema_version": 3, "solution": false, "task": false}
# **Question** (2 points). Patience waits for several evaluations, and so does a mean of several. Why does the
# mean notice a plateau sooner, at the same share of false drops? And what must be true of the noise for
# that, which a validation set that stays the same does not give?

# %% [markdown] nbgrader={"grade": true, "grade_id": "seldom-answer", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# **Model answer.** A mean of $m$ evaluations uses all of them: its noise is smaller by $\sqrt{m}$, and between
# two means the loss has fallen $m$ times as far, so that $\delta/\sigma$ grows as $m^{3/2}$. Patience looks
# only at whether one of them is a record, and the record to beat is the luckiest of many. It holds if the
# noise is independent from one evaluation to the next. With the same validation examples each time, the
# part of the error that comes from the choice of the examples is common to all evaluations: a larger set
# changes what they all say, and not how they differ from each other.
#
# **Rubric.**
#
# - 1 point: averaging divides the noise, while patience compares single values with the luckiest so far
# - 1 point: the evaluations' noise must be independent; with fixed examples the sampling error is shared
