# %% [markdown] nbgrader={"grade": false, "grade_id": "title", "locked": true, "schema_version": 3, "solution": false, "task": false}
# # Exercises to chapter 4: cosine annealing
#
# Write your code where it says `YOUR CODE HERE`, and run the cell below it: it tests your function
# and says what is likely wrong. You may run it as often as you like. A function leaves the lists and
# arrays that it is given as they are. Where it says `YOUR ANSWER HERE`, double-click and answer in a
# few sentences; your teacher marks these.
#
# Four exercises, 13 points. Core: exercises 1, 2 and 3, 45 minutes; all: 75 minutes.

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
import math

import numpy as np
import torch
from lrlib import Constant, CosineAnnealing, PolynomialDecay, ScheduledLR, lab
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR

# %% [markdown] nbgrader={"grade": false, "grade_id": "factor-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 1. From a rate to a factor (core, 2 points, 10 minutes)
#
# The paper gives the learning rate of one run of `T_max` steps, between a highest and a lowest rate:
#
# $$\eta_t = \eta_{\min} + \tfrac12\,(\eta_{\max} - \eta_{\min})\,\bigl(1 + \cos(\pi t / T_{\max})\bigr)$$
#
# Write the *factor* at step `t`, the rate over its peak $\eta_{\max}$. It begins at 1, reaches
# `min_factor` at step `T_max`, and stays there, however long the run goes on. Do not call
# `lrlib.CosineAnnealing`, nor any other shape of `lrlib`.


# %% nbgrader={"grade": false, "grade_id": "factor", "locked": false, "schema_version": 3, "solution": true, "task": false}
def factor(t, T_max, min_factor):
    """The factor at step t: half a cosine, and after it `min_factor`."""
    ### BEGIN SOLUTION
    half_cosine = (1 + math.cos(math.pi * min(t, T_max) / T_max)) / 2
    return min_factor + (1 - min_factor) * half_cosine
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "factor-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.cosine_annealing import check_factor

check_factor(factor)

# %% [markdown] nbgrader={"grade": false, "grade_id": "share-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 2. How long does it stay high? (core, 3 points, 15 minutes)
#
# A factor for a given step is one question. The other way round: which share of the run, a number from 0
# to 1, does a shape spend at or above a given `level`? Answer it for three shapes that start at 1 and
# never rise:
#
# - half a cosine from 1 to 0;
# - linear decay from 1 to 0;
# - exponential decay from 1 to `final_factor`, which lies between 0 and 1.
#
# `level` is above 0 and at most 1. Solve each for the time: there is a formula, and no run length in it.
# An answer within 0.001 is right, so counting the steps of a long run would do too.
#
# Before you start: which of the three is longest at or above 0.9, and which at or above 0.1?


# %% nbgrader={"grade": false, "grade_id": "cosine-share", "locked": false, "schema_version": 3, "solution": true, "task": false}
def cosine_share(level):
    """The share of the run at or above `level`, for half a cosine from 1 to 0."""
    ### BEGIN SOLUTION
    return math.acos(2 * level - 1) / math.pi
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "cosine-share-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.cosine_annealing import check_cosine_share

check_cosine_share(cosine_share)


# %% nbgrader={"grade": false, "grade_id": "linear-share", "locked": false, "schema_version": 3, "solution": true, "task": false}
def linear_share(level):
    """The share of the run at or above `level`, for a straight line from 1 to 0."""
    ### BEGIN SOLUTION
    return 1 - level
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "linear-share-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.cosine_annealing import check_linear_share

check_linear_share(linear_share)


# %% nbgrader={"grade": false, "grade_id": "exponential-share", "locked": false, "schema_version": 3, "solution": true, "task": false}
def exponential_share(level, final_factor):
    """The share at or above `level`, for exponential decay to `final_factor`."""
    ### BEGIN SOLUTION
    return min(1, math.log(level) / math.log(final_factor))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "exponential-share-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.cosine_annealing import check_exponential_share

check_exponential_share(exponential_share)

# %% [markdown] nbgrader={"grade": false, "grade_id": "wrong-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 3. What is wrong with this experiment? (core, 5 points, 20 minutes)
#
# A colleague asks whether a cosine or a straight line is the better decay, in plain PyTorch on a noisy
# quadratic. The three steepest directions are a group of their own, with a peak twenty times lower than
# that of the rest. Both shapes are to end at a tenth of the peak. This cell makes 64 runs at once, of 20
# epochs of 50 batches, and returns their losses.

# %% nbgrader={"grade": false, "grade_id": "runs", "locked": true, "schema_version": 3, "solution": false, "task": false}
EPOCHS, BATCHES, RUNS = 20, 50, 64
h = 1 / torch.arange(1, 101)  # the curvatures
noise = torch.sqrt(h / 256)  # of a gradient, in batches of 256


def final_losses(make_scheduler, name, peak, seed):
    """The losses at the end of all runs, shape (64,)."""
    random = torch.Generator().manual_seed(seed)
    theta = torch.randn(RUNS, 100, generator=random)
    steep, rest = theta[:, :3], theta[:, 3:]
    groups = [{"params": [steep], "lr": peak / 20}, {"params": [rest], "lr": peak}]
    optimizer = torch.optim.SGD(groups)
    scheduler = make_scheduler(optimizer, name, EPOCHS, BATCHES, min_factor=0.1)
    for _ in range(EPOCHS * BATCHES):
        gradient = h * theta + noise * torch.randn(RUNS, 100, generator=random)
        steep.grad, rest.grad = gradient[:, :3], gradient[:, 3:]
        optimizer.step()
        scheduler.step()
    return (h / 2 * theta**2).sum(dim=1)


# %% [markdown] nbgrader={"grade": false, "grade_id": "compare-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# Each shape gets the best of six peaks, chosen on other runs than those that are compared.


# %% nbgrader={"grade": false, "grade_id": "compare", "locked": true, "schema_version": 3, "solution": false, "task": false}
def compare(make_scheduler):
    """Print the mean ratio of the losses, cosine over linear, and its 95 % interval."""
    tune, judge = lab.seeds(1, "tune")[0], lab.seeds(1)[0]
    losses = {}
    for name in ("cosine", "linear"):
        peaks = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4)
        tried = [
            final_losses(make_scheduler, name, peak, tune).mean() for peak in peaks
        ]
        best = peaks[int(np.argmin(tried))]
        losses[name] = final_losses(make_scheduler, name, best, judge)
        print(f"{name}: peak {best}, mean loss {losses[name].mean():.5f}")
    logs = torch.log(losses["cosine"] / losses["linear"])
    half = 2 * logs.std() / RUNS**0.5
    low, middle, high = (logs.mean() + half * torch.tensor([-1, 0, 1])).exp().tolist()
    print(f"cosine over linear: {middle:.2f} [{low:.2f}, {high:.2f}]")


# %% nbgrader={"grade": false, "grade_id": "careless", "locked": true, "schema_version": 3, "solution": false, "task": false}
def careless(optimizer, name, epochs, batches, min_factor):
    if name == "cosine":
        lowest = min_factor * optimizer.param_groups[1]["lr"]
        return CosineAnnealingLR(optimizer, T_max=epochs, eta_min=lowest)
    steps = 40 * batches  # the runs to come will have 40 epochs
    return LinearLR(optimizer, 1.0, end_factor=min_factor, total_iters=steps)


compare(careless)

# %% [markdown] nbgrader={"grade": false, "grade_id": "flaws-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# The colleague wrote: "At the best peak of each, cosine annealing ends far above linear decay, paired
# over 64 runs. Do not use it."
#
# Which of these are flaws of the experiment? Return the set of their letters.
#
# - **A** Both rivals start from the same points, and the same noise is added to their gradients.
# - **B** `T_max` is a number of epochs, and the scheduler is stepped after every batch.
# - **C** `eta_min` is one rate for both groups, a tenth of the larger peak.
# - **D** The two rivals run at different peaks.
# - **E** The two groups have different peaks.
# - **F** The straight line is planned for 40 epochs, and the loss is taken after 20.


# %% nbgrader={"grade": false, "grade_id": "flaws", "locked": false, "schema_version": 3, "solution": true, "task": false}
def flaws():
    """The letters of the flaws, for example {"A", "B"}."""
    ### BEGIN SOLUTION
    return {"B", "C", "F"}
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "flaws-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.cosine_annealing import check_flaws

check_flaws(flaws)

# %% [markdown] nbgrader={"grade": false, "grade_id": "fair-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# Write what `careless` should have been. Return a scheduler of `optimizer`, which is stepped after every
# batch of a run of `epochs * batches` updates. Over this run every group, of which there may be any
# number, is to fall from its own peak to `min_factor` times its own peak: along half a cosine if `name` is
# `"cosine"`, along a straight line if it is `"linear"`. Schedulers of PyTorch and `ScheduledLR` will both
# do. The checker makes a run and looks at the rates that were applied.


# %% nbgrader={"grade": false, "grade_id": "fair", "locked": false, "schema_version": 3, "solution": true, "task": false}
def fair(optimizer, name, epochs, batches, min_factor):
    """A scheduler that brings every group down over the whole run."""
    ### BEGIN SOLUTION
    steps = epochs * batches
    if name == "cosine":
        shape = CosineAnnealing(steps, min_factor=min_factor)
    else:
        shape = PolynomialDecay(steps, min_factor=min_factor)
    return ScheduledLR(optimizer, shape)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "fair-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.cosine_annealing import check_fair

check_fair(fair)

# %% [markdown] nbgrader={"grade": false, "grade_id": "again-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# Run the comparison again:

# %% nbgrader={"grade": false, "grade_id": "again", "locked": true, "schema_version": 3, "solution": false, "task": false}
compare(fair)

# %% [markdown] nbgrader={"grade": false, "grade_id": "again-question", "locked": true, "schema_version": 3, "solution": false, "task": false}
# **Question** (2 points). What would you write now, in one or two sentences that claim no more than was measured?
# And why is the cosine ahead here, where in the chapter no cosine led the line?

# %% [markdown] nbgrader={"grade": true, "grade_id": "again-answer", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# **Model answer.** On this quadratic, over 1,000 updates and down to a tenth of each group's peak, the cosine at its
# best of six peaks ends at 0.86 [0.85, 0.87] times the loss of the line at its own. That says nothing of other
# lengths, other final factors or networks. Ending at a tenth, a run keeps some noise; the cosine is flat at its
# end and spends more of its last steps near that tenth than the line does.
#
# **Rubric.**
#
# - 1 point: the ratio with its interval, said of this problem and these settings alone (not: "cosine is better")
# - 1 point: more steps at a low rate near the end, so less noise is left

# %% [markdown] nbgrader={"grade": false, "grade_id": "longer-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 4. A thousand steps more (3 points, 30 minutes, open-ended)
#
# A cosine must know where its run ends, and sometimes the end moves. On the noisy quadratic with batches
# of 256, a run was planned with `CosineAnnealing(1000)` and the peak 0.8, the best for 1,000 steps. It is
# over, its rate is 0, and now you may have 1,000 steps more.
#
# Return the schedule of all 2,000 steps. Its first 1,000 factors are those of the run that was made; what
# follows is yours, and `a.then(b)` puts it there. The factors belong to the same peak, 0.8; `Constant(c) *
# shape` scales a shape by `c`.
#
# The checker prints your final loss over that of a cosine planned for 2,000 steps from the start, at its
# own best peak, 0.44. Stopping after 1,000 steps gives 1.95. At most 1 is asked for: no worse than if the
# end had been known. Going on at a fixed rate comes close, with 1.01 at best. The best we found is 0.79.


# %% nbgrader={"grade": false, "grade_id": "longer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def longer():
    """The schedule of 2,000 steps, of which the first 1,000 have been made."""
    ### BEGIN SOLUTION
    return CosineAnnealing(1000).then(Constant(0.1) * PolynomialDecay(1000))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "longer-test", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.cosine_annealing import check_longer

check_longer(longer)
