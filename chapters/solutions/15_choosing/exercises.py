# %% [markdown] nbgrader={"grade": false, "grade_id": "title", "locked": true, "schema_version": 3, "solution": false, "task": false}
# # Exercises to chapter 15: choosing
#
# Write your code where it says `YOUR CODE HERE`, and run the cell below it: it tests your function
# and says what is likely wrong. You may run it as often as you like. A function leaves the lists and
# arrays that it is given as they are. Where it says `YOUR ANSWER HERE`, double-click and answer in a
# few sentences; your teacher marks these.
#
# Five exercises, 15 points. Core: exercises 1, 2 and 3, 45 minutes; all: 80 minutes.

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
import lrlib
import numpy as np

# %% [markdown] nbgrader={"grade": false, "grade_id": "regret-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 1. Regret, tuned and judged apart (core, 4 points, 18 minutes)
#
# A small league. `val[r, p, s]` and `test[r, p, s]` are the validation and the test error, in points, of
# recipe `r` at its peak number `p` with seed `s`; a diverged run is NaN in both. You can pay for the runs of
# one seed: for each recipe choose the peak with the lowest *validation* error in *seed 0*. Then judge the
# recipe by its mean *test* error at that peak over all *other* seeds. Its *regret* is how far that lies above the
# best recipe's, in margins: divided by `margin`, the smallest difference that matters. Return an array with one
# regret for each recipe. (No run of another seed has diverged at a peak that is chosen.)


# %% nbgrader={"grade": false, "grade_id": "regret", "locked": false, "schema_version": 3, "solution": true, "task": false}
def regret(val, test, margin):
    """How many margins each recipe ends behind the best one."""
    ### BEGIN SOLUTION
    chosen = np.nanargmin(val[:, :, 0], axis=1)
    scores = np.array([test[r, p, 1:].mean() for r, p in enumerate(chosen)])
    return (scores - scores.min()) / margin
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "regret-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.choosing import check_regret

check_regret(regret)

# %% [markdown] nbgrader={"grade": false, "grade_id": "regret-question", "locked": true, "schema_version": 3, "solution": false, "task": false}
# **Question** (2 points). By hand. Two recipes, three peaks each, a margin of 0.5 points:
#
# | recipe | peak | validation, seed 0 | test, seed 0 | test, mean of seeds 1 to 4 |
# | --- | --- | --- | --- | --- |
# | line | 0.02 | 12.4 | 12.9 | 12.8 |
# | line | 0.04 | 11.9 | 12.2 | 12.4 |
# | line | 0.08 | 12.6 | 13.0 | 12.1 |
# | cosine | 0.02 | 12.1 | 12.0 | 13.0 |
# | cosine | 0.04 | 11.5 | 11.8 | 13.2 |
# | cosine | 0.08 | 12.2 | 12.5 | 12.3 |
#
# What are the two regrets? Ann reports the test error of seed 0 at the chosen peaks. Ben chooses each peak by the
# last column. Which recipe is ahead for each of them, by how many margins, and what is wrong with either way of counting?

# %% [markdown] nbgrader={"grade": true, "grade_id": "regret-answer", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# **Model answer.** Both recipes choose 0.04. The line has 12.4 and the cosine 13.2, so the regrets are 0 and
# 1.6. For Ann the cosine is ahead, 11.8 against 12.2, by 0.8 margins: she judges by the one seed that the peak was chosen for,
# whose luck is in both numbers. For Ben the line is ahead, 12.1 against 12.3, by 0.4 margins: he
# chooses by the numbers that judge, so each recipe has the luckiest of three peaks, and nobody who has one seed's
# runs would get it.
#
# **Rubric.**
#
# - 1 point: regrets 0 (line) and 1.6 (cosine)
# - 1 point: Ann's cosine is ahead by 0.8, Ben's line by 0.4, and for one of them the reason: tuned and judged on the same runs

# %% [markdown] nbgrader={"grade": false, "grade_id": "bought-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 2. What a budget buys (core, 4 points, 14 minutes)
#
# One recipe, `results[p, s]` at peak number `p` with seed `s`; lower is better. With a budget of `runs` runs you
# try every (number of peaks / `runs`)-th peak, beginning with the first, and choose the one with the lowest result in
# your one seed. That number is what the choice *promises*. What it *keeps* is the mean result of the
# other seeds at that peak. Every seed in turn is the one that chooses: return the mean promise and the mean of what is kept.
# (`runs` divides the number of peaks.)


# %% nbgrader={"grade": false, "grade_id": "bought", "locked": false, "schema_version": 3, "solution": true, "task": false}
def bought(results, runs):
    """What the best of so many runs promises, and what it keeps."""
    ### BEGIN SOLUTION
    tried = results[:: len(results) // runs]
    promised, kept = [], []
    for seed in range(tried.shape[1]):
        chosen = tried[tried[:, seed].argmin()]
        promised.append(chosen[seed])
        kept.append(np.delete(chosen, seed).mean())
    return np.mean(promised), np.mean(kept)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "bought-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.choosing import check_bought

check_bought(bought, part="promised")

# %% nbgrader={"grade": true, "grade_id": "kept-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.choosing import check_bought

check_bought(bought, part="kept")

# %% [markdown] nbgrader={"grade": false, "grade_id": "alike-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# Here all twelve peaks are equally good, 20 points, and a run's luck has a standard deviation of 1 point.

# %% nbgrader={"grade": false, "grade_id": "alike", "locked": true, "schema_version": 3, "solution": false, "task": false}
alike = np.random.default_rng(0).normal(20, 1, (12, 4000))
for runs in (1, 3, 6, 12):
    promised, kept = bought(alike, runs)
    print(f"{runs:2} runs: promised {promised:.2f}, kept {kept:.2f}")

# %% [markdown] nbgrader={"grade": false, "grade_id": "bought-question", "locked": true, "schema_version": 3, "solution": false, "task": false}
# **Question** (2 points). What do twelve runs promise, and what do they keep? A paper tunes its own method
# with twelve runs and the method it compares with in three, and reports the lowest result of each. If the two are equally good,
# by how much does its method seem to be ahead, and which number should it have reported?

# %% [markdown] nbgrader={"grade": true, "grade_id": "bought-answer", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# **Model answer.** Twelve runs promise 18.4 points and keep 20.0, as one run does: what is chosen is the
# luckiest run. With three runs 19.2 is promised. So the paper's method seems 0.8 points ahead for nothing but nine
# more runs. It should give both the same budget, and report what is kept: runs with new seeds at the chosen peak.
#
# **Rubric.**
#
# - 1 point: 18.4 promised and 20.0 kept, or a promise that is 1.6 points too good
# - 1 point: 0.8 points ahead, and new seeds (or what is kept) at the chosen peak

# %% [markdown] nbgrader={"grade": false, "grade_id": "shares-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 3. What matters: a variance, split (core, 2 points, 13 minutes)
#
# `table[p, f, s]` holds the results of all peaks `p`, shapes `f` and seeds `s` of a small study, one run each. How
# much of the variance of all runs does each factor explain alone? A factor's part is the variance of its means: for the peak,
# of one number for each peak, the mean over all shapes and seeds. What the three leave over (peaks that suit one
# shape and not another, and luck) is the rest. Return four shares of the whole variance, which add up to 1: peak,
# shape, seed, rest. Variances divide by the number of values, as `np.var` does.


# %% nbgrader={"grade": false, "grade_id": "shares", "locked": false, "schema_version": 3, "solution": true, "task": false}
def shares(table):
    """The shares of the variance that peak, shape and seed explain, and the rest."""
    ### BEGIN SOLUTION
    total = table.var()
    peak = table.mean(axis=(1, 2)).var() / total
    shape = table.mean(axis=(0, 2)).var() / total
    seed = table.mean(axis=(0, 1)).var() / total
    return peak, shape, seed, 1 - peak - shape - seed
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "shares-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.choosing import check_shares

check_shares(shares)

# %% [markdown] nbgrader={"grade": false, "grade_id": "project-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 4. A recipe, defended (3 points, 20 minutes, open-ended)
#
# A group trains a network that finds cracks in X-ray images of welds: 4,000 labelled images, a network from
# scratch, 6,000 updates in all, 40 minutes a run on their one GPU. In earlier runs at a constant rate the training loss was flat after a
# third of the run, and fell at once when somebody divided the rate by ten. The network has batch normalisation. They have two
# nights, some 24 runs, and want one model at the end; nobody plans to train it further.

# %% [markdown] nbgrader={"grade": false, "grade_id": "project-question", "locked": true, "schema_version": 3, "solution": false, "task": false}
# **Question** (3 points). Write to them in at most ten lines. Answer the three questions of chapter 15's decision page from what is said here;
# give the recipe as one line of `lrlib`, with the regret that the page expects of it, interval and all; say how you spend the
# 24 runs, and what you would do if the page's evidence did not carry over to their network.

# %% [markdown] nbgrader={"grade": true, "grade_id": "project-answer", "locked": false, "points": 3, "schema_version": 3, "solution": true, "task": false}
# **Model answer.** The length is known: 6,000 updates. Noise limits the run: the loss is flat early and falls at
# once with the rate, so a decay pays, and a late one loses no progress. An average would do as well, and needs no length; but they know theirs, and with
# batch normalisation its statistics would have to be computed anew: so, no. Hold the rate and cool down over the last
# fifth, `recipes.wsd_20(6_000, warmup=120)`; the regret, in margins, and its interval are those that the page prints beside this line, over the
# league's tasks, and it may be more on a task unlike them. Runs: eight peaks, a factor of two apart, one seed, choose by validation; two peaks
# between the best ones; then three seeds at the chosen peak, whose mean is what we report; of the rest, four for a second recipe at its
# own peaks, and the last ones in reserve. If two recipes differ by less than the spread of their seeds, take the simpler one; if the best
# peak lies on the grid's edge, widen it before anything else.
#
# **Rubric.**
#
# - 1 point: the three questions, each with its reason from the text (known; noise, since the loss falls at once; average: no, or yes with new batch statistics)
# - 1 point: a recipe that decays late or averages, as one line, with its regret and interval from the page (no: "it is the best schedule")
# - 1 point: most runs go to the peak, some to new seeds that judge; and one sentence on what would change the choice

# %% [markdown] nbgrader={"grade": false, "grade_id": "mine-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 5. A recipe of your own (2 points, 15 minutes)
#
# A recipe makes a shape from a length: `mine(total_steps)` returns a `Schedule` of `lrlib` whose highest factor is 1. It enters a
# league of two tasks, the noisy quadratic of chapter 1 with 100 steps and with 1,000, its peak tuned for each. Beat the
# line, `lrlib.PolynomialDecay(total_steps)`: the final loss over the line's, the square root of the product of both tasks, must be below
# 0.98. The first update must not be wasted on a rate of 0.


# %% nbgrader={"grade": false, "grade_id": "mine", "locked": false, "schema_version": 3, "solution": true, "task": false}
def mine(total_steps):
    """A shape for a run of this length."""
    ### BEGIN SOLUTION
    return lrlib.ExponentialDecay.to_factor(0.05, total_steps)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "mine-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.choosing import check_mine

check_mine(mine)
