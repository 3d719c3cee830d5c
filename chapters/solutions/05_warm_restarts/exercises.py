# %% [markdown] nbgrader={"grade": false, "grade_id": "title", "locked": true, "schema_version": 3, "solution": false, "task": false}
# # Exercises to chapter 5: warm restarts
#
# Write your code where it says `YOUR CODE HERE`, and run the cell below it: it tests your function
# and says what is likely wrong. You may run it as often as you like. A function leaves the lists and
# arrays that it is given as they are. Where it says `YOUR ANSWER HERE`, double-click and answer in a
# few sentences; your teacher marks these.
#
# Five exercises, 17 points. Core: exercises 1, 2 and 3, 47 minutes; all: 97 minutes.

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
import math

import numpy as np
import torch
from lrlib import Constant, CosineAnnealing, ScheduledLR, WarmRestarts
from scipy import stats

# %% [markdown] nbgrader={"grade": false, "grade_id": "factor-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 1. The cycle of a step (core, 2 points, 12 minutes)
#
# Warm restarts in the form of SGDR: cycle $i = 0, 1, 2, \dots$ has the length $T_i = T_0 \cdot
# T_\text{mult}^{\,i}$ in steps, and the factor after $T_\text{cur}$ steps of it is
#
# $$\frac{1 + \cos(\pi\, T_\text{cur} / T_i)}{2}.$$
#
# Write the factor at step `t` as a function of `t` alone. `T_0` and `T_mult` are whole numbers, 1 or
# more. The formula is the easy part: which cycle does `t` belong to, and how far into it is it? The
# checker asks for the steps in several orders, and for long runs. Do not call `lrlib.WarmRestarts`,
# nor any other shape of `lrlib`.


# %% nbgrader={"grade": false, "grade_id": "factor", "locked": false, "schema_version": 3, "solution": true, "task": false}
def factor(t, T_0, T_mult):
    """The factor of SGDR at step t."""
    ### BEGIN SOLUTION
    T_cur, T_i = t, T_0
    while T_cur >= T_i:
        T_cur, T_i = T_cur - T_i, T_i * T_mult
    return (1 + math.cos(math.pi * T_cur / T_i)) / 2
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "factor-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.warm_restarts import check_factor

check_factor(factor)

# %% [markdown] nbgrader={"grade": false, "grade_id": "plan-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 2. A run that ends where a cycle does (core, 2 points, 8 minutes)
#
# A run that stops inside a cycle may stop at a high rate. You can afford `total_steps` steps and want
# `cycles` cycles, each `T_mult` times as long as the one before (a whole number, 1 or more). Return
# `T_0`, the length of the first: the largest whole number with which all the cycles fit. Steps left
# over are not run. If even `T_0 = 1` is too long, raise a `ValueError`.


# %% nbgrader={"grade": false, "grade_id": "plan", "locked": false, "schema_version": 3, "solution": true, "task": false}
def first_cycle(total_steps, T_mult, cycles):
    """The largest T_0 with which `cycles` whole cycles fit into `total_steps`."""
    ### BEGIN SOLUTION
    T_0 = total_steps // sum(T_mult**i for i in range(cycles))
    if T_0 == 0:
        raise ValueError(f"{cycles} cycles do not fit into {total_steps} steps")
    return T_0
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "plan-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.warm_restarts import check_first_cycle

check_first_cycle(first_cycle)

# %% [markdown] nbgrader={"grade": false, "grade_id": "wrong-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 3. What is wrong with this experiment? (core, 5 points, 27 minutes)
#
# A colleague asks whether restarts beat one long cosine of the same number of steps, on the noisy
# quadratic with batches of one and gradients that are drawn. `start(peak, seed)` begins a run. It
# returns the optimizer, whose rate is `peak`, and two functions: `update()` makes one optimizer step
# with a noisy gradient, `loss()` is the loss of the present weights. `seed` decides the initial
# weights and the noise.


# %% nbgrader={"grade": false, "grade_id": "careless", "locked": true, "schema_version": 3, "solution": false, "task": false}
def careless(start, T_0, cycles, peaks, tuning_seeds, seeds):
    """Loss of the long cosine minus that of the restarts, one entry for each seed."""

    def losses(T_max, peak, seed):
        optimizer, update, loss = start(peak, seed)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max)
        snapshots = []
        for t in range(1, cycles * T_0 + 1):
            update()
            scheduler.step()
            if t % T_0 == 0:  # a cycle is over
                snapshots.append(loss())
        return snapshots

    def restarts(peak, seed):
        return min(losses(T_0, peak, seed))

    means = [np.mean([restarts(peak, seed) for seed in tuning_seeds]) for peak in peaks]
    best = peaks[np.argmin(means)]
    usual = 0.1  # what the group has used for years
    long = [losses(cycles * T_0, usual, seed)[-1] for seed in seeds]
    return np.array(long) - [restarts(best, seed) for seed in seeds]


# %% nbgrader={"grade": false, "grade_id": "careless-run", "locked": true, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.warm_restarts import start
from lrlib.lab import seeds

settings = {"T_0": 75, "cycles": 4, "peaks": [0.05, 0.1, 0.2, 0.4, 0.8]}
settings |= {"tuning_seeds": seeds(4, "tune"), "seeds": seeds(20)}


def report(gain):
    half = stats.sem(gain) * stats.t.ppf(0.975, gain.size - 1)  # 95 % interval
    print(f"restarts lower the loss by {gain.mean():.3f} ± {half:.3f}")


report(careless(start, **settings))

# %% [markdown] nbgrader={"grade": false, "grade_id": "flaws-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# The interval lies above zero, and the colleague wrote "restarts win".
#
# Which of these are flaws of the experiment? Return the set of their letters.
#
# - **A** The restarts are judged by their best snapshot, the long cosine by its last.
# - **B** Tuning and comparison use different seeds.
# - **C** The best of several peaks was looked for on one side only.
# - **D** The loss is measured after `scheduler.step()`, when the rate is already the next one.
# - **E** The schedule that is to restart does not.


# %% nbgrader={"grade": false, "grade_id": "flaws", "locked": false, "schema_version": 3, "solution": true, "task": false}
def flaws():
    """The letters of the flaws, for example {"A", "B"}."""
    ### BEGIN SOLUTION
    return {"A", "C", "E"}
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "flaws-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.warm_restarts import check_flaws

check_flaws(flaws)

# %% [markdown] nbgrader={"grade": false, "grade_id": "compare-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# Now repair it. The arguments and the meaning of what is returned stay as they are: one difference for
# each seed, in the order of `seeds`, positive where restarts have the lower loss. Both rivals make
# `cycles * T_0` updates and are judged by the loss after the last; the cycles all have the length
# `T_0`. The peak of each is the one of `peaks` with the lowest mean loss over `tuning_seeds`. The
# checker passes in a `start` of its own and watches which rates your runs apply: the first test below
# looks at the runs alone, the second also at what you return. After them your function runs with the
# colleague's settings. Predict the sign.


# %% nbgrader={"grade": false, "grade_id": "compare", "locked": false, "schema_version": 3, "solution": true, "task": false}
def compare(start, T_0, cycles, peaks, tuning_seeds, seeds):
    """Loss of the long cosine minus that of the restarts, one entry for each seed."""
    ### BEGIN SOLUTION
    steps = cycles * T_0

    def final_loss(shape, peak, seed):
        optimizer, update, loss = start(peak, seed)
        scheduler = ScheduledLR(optimizer, shape)
        for _ in range(steps):
            update()
            scheduler.step()
        return loss()

    def judged(shape):
        means = [
            np.mean([final_loss(shape, p, s) for s in tuning_seeds]) for p in peaks
        ]
        best = peaks[np.argmin(means)]
        return np.array([final_loss(shape, best, seed) for seed in seeds])

    return judged(CosineAnnealing(steps)) - judged(WarmRestarts(T_0))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "compare-runs-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.warm_restarts import check_compare

check_compare(compare, part=("updates", "long cosine", "restarts"))

# %% nbgrader={"grade": true, "grade_id": "compare-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.warm_restarts import check_compare

check_compare(compare)

# %% nbgrader={"grade": false, "grade_id": "compare-run", "locked": true, "schema_version": 3, "solution": false, "task": false}
report(compare(start, **settings))

# %% [markdown] nbgrader={"grade": false, "grade_id": "compare-question", "locked": true, "schema_version": 3, "solution": false, "task": false}
# **Question** (2 points). What does the repaired comparison say about restarts, and what does it leave
# open? Give the reason for its sign: what happens to the noise in a run with restarts?

# %% [markdown] nbgrader={"grade": true, "grade_id": "compare-answer", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# **Model answer.** After 300 steps on this quadratic, with batches of one, four cycles end with *more*
# loss than one cosine: 0.049 ± 0.021. Each restart brings the noise back, and only the last cycle, of
# 75 steps, is left to take it away; the long cosine has the rate low for longer. It does not say that
# restarts are of no use: not for a run that is stopped earlier, such as after 75 steps, where one cycle is
# over and the long cosine still has a high rate; and nothing about other problems or lengths.
#
# **Rubric.**
#
# - 1 point: each restart puts the noise back, and the last cycle alone has to remove it
# - 1 point: it holds for the loss at the end of these runs; earlier stops, other lengths, networks (one of
#   these is enough) are left open
# - 0 points: "restarts are useless", or "restarts win"

# %% [markdown] nbgrader={"grade": false, "grade_id": "predict-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 4. An ensemble of snapshots (3 points, 20 minutes)
#
# `models` is a list of classifiers, the snapshots at the ends of the cycles: each maps `inputs`, of
# shape (n, features), to logits of shape (n, classes). Return the classes that the ensemble predicts,
# a tensor of whole numbers of shape (n,): the models' probabilities are averaged, and the class with
# the highest mean is chosen.
#
# Training goes on after your function. So call every model in eval mode and without recording
# gradients, and leave everything as you found it: the weights, and the mode of every model and of each
# of its layers, which need not be that of the model. Do not call `lrlib.ensemble_probabilities`.


# %% nbgrader={"grade": false, "grade_id": "predict", "locked": false, "schema_version": 3, "solution": true, "task": false}
def predict(models, inputs):
    """The classes predicted by the models' mean probabilities, shape (n,)."""
    ### BEGIN SOLUTION
    modes = [(m, m.training) for model in models for m in model.modules()]
    with torch.no_grad():
        mean = sum(model.eval()(inputs).softmax(dim=1) for model in models) / len(
            models
        )
    for module, training in modes:
        module.training = training
    return mean.argmax(dim=1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "predict-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.warm_restarts import check_predict

check_predict(predict, part=("calls", "classes"))

# %% nbgrader={"grade": true, "grade_id": "predict-kept-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.warm_restarts import check_predict

check_predict(predict, part=("calls", "requires_grad", "gradients", "weights", "modes"))

# %% [markdown] nbgrader={"grade": false, "grade_id": "anytime-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 5. Good whenever it is stopped (5 points, 30 minutes, open-ended)
#
# On the noisy quadratic with batches of 256, `lrlib.lab.NoisyQuadratic(batch_size=256)`, a run may go on for
# 1,000 steps, or be stopped after 200, or after 500. Which of the three it will be, nobody knows when it
# starts. Wherever it stops, its loss is divided by that of a cosine that was planned for this stop and has
# the best peak for it. The worst of the three ratios is your score. At most 1 is asked for: wherever it
# stops, no worse than if that had been known.
#
# Return the schedule of all 1,000 steps. The checker finds the peak with the lowest score, one for all
# stops; no rate may be above $2/h_{\max}$, and none of the cosines' was.
#
# | | after 200 | after 500 | after 1,000 | score |
# | --- | --- | --- | --- | --- |
# | `Constant()` | 6.73 | 3.90 | 6.73 | 6.73 |
# | `WarmRestarts(100)` | 4.09 | 2.25 | 4.09 | 4.09 |
# | `CosineAnnealing(1000)` | 2.82 | 2.82 | 1.00 | 2.82 |
#
# The best we found has 0.82. Do not hope for less than 0.78: that is what the best schedule we know for
# 500 steps, and for nothing else, has there.
#
# `a.then(b, at=500)` starts `b` at step 500, counted from the start of `a`. `Constant(c) * shape` scales a
# shape by `c`. Every schedule of `lrlib` is allowed; import what you need.
#
# Before you search: does a schedule that is good at all three have to rise?


# %% nbgrader={"grade": false, "grade_id": "anytime", "locked": false, "schema_version": 3, "solution": true, "task": false}
def anytime():
    """A schedule of 1,000 steps, good after 200, 500 and 1,000."""
    ### BEGIN SOLUTION
    first = Constant(total_iters=100).then(CosineAnnealing(100))
    second = Constant(0.3) * CosineAnnealing(300)
    third = Constant(0.1) * CosineAnnealing(500)
    return first.then(second, at=200).then(third, at=500)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "anytime-test", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.warm_restarts import check_anytime

check_anytime(anytime)

# %% [markdown] nbgrader={"grade": false, "grade_id": "anytime-question", "locked": true, "schema_version": 3, "solution": false, "task": false}
# **Question** (2 points). With `WarmRestarts(100)` every stop is the end of a cycle. Why is it still so
# far behind? At its best peak, 87 % of its loss after 200 steps is distance still to go, and less than
# 0.1 % after 1,000. What would a higher peak do to the ratios, and what a lower one?

# %% [markdown] nbgrader={"grade": true, "grade_id": "anytime-answer", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# **Model answer.** After 200 steps it has not gone far enough, and a higher peak would help; after 1,000 all
# of its loss is noise, and a lower one would. All stops share the peak, so at the best one both ratios
# are 4.09, and any other makes one of them worse. Nine times the rate goes back to this peak, and the last 100
# steps cannot remove the noise that it brings: even with a peak chosen for 1,000 steps alone the ratio
# would be 2.94. Late cycles would have to begin lower.
#
# **Rubric.**
#
# - 1 point: a higher peak lowers the ratio after 200 and raises that after 1,000, a lower one the reverse, so no
#   peak serves both
# - 1 point: each cycle begins at the full peak again, and its noise is not removed within 100 steps
