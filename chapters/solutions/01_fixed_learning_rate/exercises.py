# %% [markdown] nbgrader={"grade": false, "grade_id": "title", "locked": true, "schema_version": 3, "solution": false, "task": false}
# # Exercises to chapter 1: the fixed learning rate
#
# Write your code where it says `YOUR CODE HERE`, and run the cell below it: it tests your function
# and says what is likely wrong. You may run it as often as you like. A function leaves the lists and
# arrays that it is given as they are. Where it says `YOUR ANSWER HERE`, double-click and answer in a
# few sentences; your teacher marks these.
#
# Five exercises, 16 points. Core: exercises 1, 2, 3 and 4, 48 minutes; all: 63 minutes.

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
import lrlib
import numpy as np
from lrlib import Constant

# %% [markdown] nbgrader={"grade": false, "grade_id": "limit-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 1. The limit of a matrix (core, 4 points, 12 minutes)
#
# The loss is $\tfrac12\theta^\top H\theta$. `hessian` is $H$, a symmetric positive definite array;
# `momentum` is the heavy-ball momentum $\mu$ in PyTorch's form, $v \leftarrow \mu v + g$, $\theta
# \leftarrow \theta - \eta v$. Return the largest stable learning rate.
#
# The chapter has the formula for one direction. Which direction of a matrix decides? Do not call
# `lrlib.stability_limit`. An answer found by experiment is right if it is within 0.2 %.


# %% nbgrader={"grade": false, "grade_id": "limit", "locked": false, "schema_version": 3, "solution": true, "task": false}
def limit(hessian, momentum):
    """The largest learning rate at which the iterates do not grow."""
    ### BEGIN SOLUTION
    return 2 * (1 + momentum) / np.linalg.eigvalsh(hessian).max()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "limit-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.fixed_learning_rate import check_limit

check_limit(limit)

# %% [markdown] nbgrader={"grade": false, "grade_id": "limit-question", "locked": true, "schema_version": 3, "solution": false, "task": false}
# **Question** (2 points). Many texts say: with momentum 0.9 a rate acts like one ten times as large,
# η / (1 − 0.9). Your limit for 0.9 is nearly *twice* that of 0, not a tenth of it. Where is the text right, and
# why not here?

# %% [markdown] nbgrader={"grade": true, "grade_id": "limit-answer", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# **Model answer.** The factor 1 / (1 − μ) is for a gradient that keeps its direction: the pushes add up to
# $1 + \mu + \mu^2 + \dots$ of them. At the limit the iterate overshoots, so the gradient changes its sign at every
# step, and the velocity that is left points against the next push: the sum is $1 - \mu + \mu^2 - \dots =
# 1/(1 + \mu)$, and the rate may be $1 + \mu$ times as large.
#
# **Rubric.**
#
# - 1 point: the ten times are for a steady direction (flat directions, the way down a valley)
# - 1 point: at the limit the gradient alternates, so the old velocity opposes the new push, by 1/(1 + μ)


# %% [markdown] nbgrader={"grade": false, "grade_id": "floor-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 2. A budget for noise (core, 2 points, 8 minutes)
#
# `lrlib.noise_floor(lr, h, c, batch_size)` is the loss at which a fixed rate stops falling. Turn it
# round: return the largest rate whose floor is at most `target`. `h` and `c` are arrays, one entry
# for each direction. The floor grows with the rate and is infinite from `2 / h.max()` on, so halving
# an interval is enough.


# %% nbgrader={"grade": false, "grade_id": "floor", "locked": false, "schema_version": 3, "solution": true, "task": false}
def rate_for_floor(target, h, c, batch_size):
    """The largest fixed rate whose noise floor is at most `target`."""
    ### BEGIN SOLUTION
    low, high = 0.0, 2 / h.max()
    for _ in range(60):
        middle = (low + high) / 2
        if lrlib.noise_floor(middle, h, c, batch_size) <= target:
            low = middle
        else:
            high = middle
    return low
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "floor-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.fixed_learning_rate import check_rate_for_floor

check_rate_for_floor(rate_for_floor)

# %% [markdown] nbgrader={"grade": false, "grade_id": "choose-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 3. Choosing a rate from a sweep (core, 3 points, 12 minutes)
#
# `rates` has shape (n,), in ascending order; `losses` has shape (n, seeds) and holds the final
# losses, NaN where a run diverged. Return the rate with the lowest mean loss. A rate at which any
# run diverged must not win. If the best rate is the first or the last of the grid, the true best may
# lie outside: raise a `ValueError` that says so. (A best rate whose neighbour diverged is not on the
# edge of the grid.)


# %% nbgrader={"grade": false, "grade_id": "choose", "locked": false, "schema_version": 3, "solution": true, "task": false}
def choose(rates, losses):
    """The rate with the lowest mean loss; ValueError if it is on the grid's edge."""
    ### BEGIN SOLUTION
    means = np.where(np.isnan(losses), np.inf, losses).mean(axis=1)
    best = int(np.argmin(means))
    if best in (0, len(rates) - 1):
        raise ValueError(f"the best rate, {rates[best]}, is on the edge of the grid")
    return rates[best]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "choose-test", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.fixed_learning_rate import check_choose_rate

check_choose_rate(choose)

# %% [markdown] nbgrader={"grade": false, "grade_id": "wrong-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 4. What is wrong with this experiment? (core, 5 points, 16 minutes)
#
# A colleague compares two learning rates. `train(rate, seed)` trains a network whose initial weights
# and batches are drawn from `seed`, and returns the loss at the end. The function is meant to be
# positive if `rate_a` is better.
#
# ```python
# def careless(train, rate_a, rate_b, seeds):
#     losses_a = [train(rate_a, seed) for seed in seeds]
#     losses_b = [train(rate_b, seed + 1000) for seed in seeds]
#     return min(losses_b) - min(losses_a)
# ```
#
# It ran with `seeds=[0, 1, 2, 3]`, returned 0.04, and the colleague wrote "rate A wins".
#
# Which of these are flaws of the experiment? Return the set of their letters.
#
# - **A** The two rates do not start from the same weights, nor see the same batches.
# - **B** It compares the luckiest run of each rate, not the typical one.
# - **C** It looks at the loss at the end, not at the average over training.
# - **D** Nothing says how much the result would change with other seeds.
# - **E** The seeds are 0, 1, 2, 3 and not drawn at random.


# %% nbgrader={"grade": false, "grade_id": "flaws", "locked": false, "schema_version": 3, "solution": true, "task": false}
def flaws():
    """The letters of the flaws, for example {"C", "E"}."""
    ### BEGIN SOLUTION
    return {"A", "B", "D"}
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "flaws-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.fixed_learning_rate import check_flaws

check_flaws(flaws)

# %% [markdown] nbgrader={"grade": false, "grade_id": "compare-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# Now repair it. Return an array with one difference for each seed, in the order of `seeds`, positive
# where `rate_a` is better, so that whoever reads it can see the spread.


# %% nbgrader={"grade": false, "grade_id": "compare", "locked": false, "schema_version": 3, "solution": true, "task": false}
def compare(train, rate_a, rate_b, seeds):
    """Loss with `rate_b` minus loss with `rate_a`, one entry for each seed."""
    ### BEGIN SOLUTION
    return np.array([train(rate_b, seed) - train(rate_a, seed) for seed in seeds])
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "compare-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.fixed_learning_rate import check_compare

check_compare(compare)

# %% [markdown] nbgrader={"grade": false, "grade_id": "compare-question", "locked": true, "schema_version": 3, "solution": false, "task": false}
# **Question** (2 points). For eight seeds `compare` returned the differences 0.06, 0.01, −0.02, 0.05, 0.03, 0.00,
# 0.04 and −0.01 nats. What may the colleague write? Give a number that says how sure it is (for seven degrees of
# freedom, Student's t is 2.36 at 95 %).

# %% [markdown] nbgrader={"grade": true, "grade_id": "compare-answer", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# **Model answer.** The mean is 0.020 nats in favour of rate A; its standard error is $0.029/\sqrt{8} = 0.010$,
# so the 95 % interval is 0.020 ± 0.024, from −0.004 to 0.044. It contains 0: these eight seeds do not tell the two
# rates apart. More seeds would; the interval excludes a lead of B by more than 0.004 and one of A by more than
# 0.044.
#
# **Rubric.**
#
# - 1 point: mean 0.02 with an interval of about ± 0.024 (0.02 to 0.03 is close enough)
# - 1 point: it contains 0, so no winner (not: "the rates are equal", nor: "A wins in five of eight")


# %% [markdown] nbgrader={"grade": false, "grade_id": "beat-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 5. Beat the fixed rate (2 points, 15 minutes, open-ended)
#
# On the chapter's noisy quadratic, over 300 steps, the best fixed rate ends at 1.65 times the loss
# of the best schedule found. Build a better shape from constants alone: `Constant(factor,
# total_iters=n)` lasts `n` steps, and `a.then(b)` puts one after the other; only the last may lack
# `total_iters`. The checker finds the best peak for your shape and prints its score. 1.15 is asked for:
# two constants come to about 1.2, so you need a third. How close can you come with four?


# %% nbgrader={"grade": false, "grade_id": "beat", "locked": false, "schema_version": 3, "solution": true, "task": false}
def my_shape():
    """A schedule for 300 steps, made of constants."""
    ### BEGIN SOLUTION
    high = Constant(total_iters=100).then(Constant(0.5, total_iters=80))
    return high.then(Constant(0.25, total_iters=60)).then(Constant(0.1))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "beat-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.fixed_learning_rate import check_beats_constant

check_beats_constant(my_shape)
