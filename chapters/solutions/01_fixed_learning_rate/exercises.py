# %% [markdown] nbgrader={"grade": false, "grade_id": "title", "locked": true, "schema_version": 3, "solution": false, "task": false}
# # Exercises to chapter 1: the fixed learning rate
#
# Write your code where it says `YOUR CODE HERE`, and run the cell below it: it tests your function
# and says what is likely wrong. You may run it as often as you like. A function leaves the lists and
# arrays that it is given as they are. Five exercises, 12 points.

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
import lrlib
import numpy as np
from lrlib import Constant

# %% [markdown] nbgrader={"grade": false, "grade_id": "limit-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 1. The limit of a matrix (2 points)
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

# %% [markdown] nbgrader={"grade": false, "grade_id": "floor-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 2. A budget for noise (2 points)
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
# ## 3. Choosing a rate from a sweep (3 points)
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
# ## 4. What is wrong with this experiment? (3 points)
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

# %% [markdown] nbgrader={"grade": false, "grade_id": "beat-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 5. Beat the fixed rate (2 points, open-ended)
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
