# %% [markdown] nbgrader={"grade": false, "grade_id": "title", "locked": true, "schema_version": 3, "solution": false, "task": false}
# # Exercises to chapter 3: exponential, inverse-time and polynomial decay
#
# Write your code where it says `YOUR CODE HERE`, and run the cell below it: it tests your function
# and says what is likely wrong. You may run it as often as you like. A function leaves the lists and
# arrays that it is given as they are. Where it says `YOUR ANSWER HERE`, double-click and answer in a
# few sentences; your teacher marks these.
#
# Four exercises, 13 points. Core: exercises 1, 2 and 3, 43 minutes; all: 58 minutes.

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
import numpy as np
import torch
from lrlib import PolynomialDecay, lab
from torch.optim.lr_scheduler import ExponentialLR, PolynomialLR

# %% [markdown] nbgrader={"grade": false, "grade_id": "epoch-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 1. Which gamma? (core, 2 points, 8 minutes)
#
# A recipe says "multiply the rate by 0.95 after every epoch". You want a rate that falls at every step
# instead and has come down as far when the epoch ends. Return the gamma for one step.


# %% nbgrader={"grade": false, "grade_id": "epoch", "locked": false, "schema_version": 3, "solution": true, "task": false}
def per_step(gamma_per_epoch, steps_per_epoch):
    """The gamma per step that falls by `gamma_per_epoch` in one epoch."""
    ### BEGIN SOLUTION
    return gamma_per_epoch ** (1 / steps_per_epoch)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "epoch-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.exponential_decay import check_per_step

check_per_step(per_step)

# %% [markdown] nbgrader={"grade": false, "grade_id": "final-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# Another recipe gives the end: the factor is 1 at step 0, `final_factor` at step `total_iters`, and each
# step multiplies it by the same gamma. Return that gamma. Do not call `ExponentialDecay.to_factor`. (Try
# it with `exp` and `log`: what you divide on the way is the $k$ of $e^{-kt}$.)


# %% nbgrader={"grade": false, "grade_id": "final", "locked": false, "schema_version": 3, "solution": true, "task": false}
def gamma_to(final_factor, total_iters):
    """The gamma per step that reaches `final_factor` at step `total_iters`."""
    ### BEGIN SOLUTION
    return np.exp(np.log(final_factor) / total_iters)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "final-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.exponential_decay import check_gamma_to

check_gamma_to(gamma_to)

# %% [markdown] nbgrader={"grade": false, "grade_id": "factor-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 2. Polynomial decay from its formula (core, 2 points, 10 minutes)
#
# $$f(t) = m + (1 - m)\left(1 - \frac{t}{T}\right)^p \quad\text{for } t \le T$$
#
# $t$ is the step, $T$ is `total_iters`, $p$ is `power`, a number above 0, and $m$ is `min_factor`. From
# step $T$ on the factor stays where it is; the formula alone does something else there, and what it does
# depends on $p$. Return the factor. Do not call `lrlib.PolynomialDecay`, nor any other shape of `lrlib`.


# %% nbgrader={"grade": false, "grade_id": "factor", "locked": false, "schema_version": 3, "solution": true, "task": false}
def factor(t, total_iters, power, min_factor):
    """The factor at step t, held from step `total_iters` on."""
    ### BEGIN SOLUTION
    left = max(0, 1 - t / total_iters)
    return min_factor + (1 - min_factor) * left**power
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "factor-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.exponential_decay import check_factor

check_factor(factor)

# %% [markdown] nbgrader={"grade": false, "grade_id": "wrong-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 3. What is wrong with this experiment? (core, 6 points, 25 minutes)
#
# A colleague compares exponential with linear decay on the noisy quadratic, with batches of 256. The runs
# are simulated, not computed: the seed fixes where a run starts, and its noise. A run has 10 epochs of 50
# batches.

# %% nbgrader={"grade": false, "grade_id": "train", "locked": true, "schema_version": 3, "solution": false, "task": false}
EPOCHS, BATCHES = 10, 50
h = torch.tensor(lab.NoisyQuadratic(batch_size=256).curvature)


def train(schedule, peak, seed):
    """The loss after 500 updates. `schedule(optimizer)` makes the scheduler."""
    draw = torch.Generator().manual_seed(seed)
    theta = torch.randn(100, generator=draw)
    optimizer = torch.optim.SGD([theta], lr=peak)
    scheduler = schedule(optimizer)
    for _ in range(EPOCHS * BATCHES):
        noise = (h / 256).sqrt() * torch.randn(100, generator=draw)
        theta.grad = h * theta + noise
        optimizer.step()
        scheduler.step()
    return float(h @ theta**2 / 2)


# %% [markdown] nbgrader={"grade": false, "grade_id": "rivals-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# Exponential decay is to lose 15 % in every epoch, linear decay to reach 0 at the end of the run. Linear
# decay is given a third of the other's peak, "because its rate stays high for longer".


# %% nbgrader={"grade": false, "grade_id": "rivals", "locked": true, "schema_version": 3, "solution": false, "task": false}
def exponential(optimizer):
    return ExponentialLR(optimizer, gamma=0.9968)


def linear(optimizer):
    return PolynomialLR(optimizer, total_iters=EPOCHS)


seed = lab.seeds(1, "other")[0]
peaks = [0.5, 0.7, 1.0, 1.4, 1.9]
losses = [train(exponential, peak, seed) for peak in peaks]
best = peaks[np.argmin(losses)]
print(f"exponential, peak {best}: loss {min(losses):.4f}")
third = train(linear, best / 3, seed)
print(f"linear, peak {best / 3:.2f}: loss {third:.4f}")

# %% [markdown] nbgrader={"grade": false, "grade_id": "statements-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# The colleague wrote "exponential decay wins, by a factor of hundreds".
#
# Which of these are flaws of the experiment? Return the set of their letters.
#
# - **A** One seed chose the peak and gave the losses that are compared.
# - **B** A gamma of 0.9968 is so close to 1 that the rate hardly falls.
# - **C** The length of the linear decay is in epochs; its scheduler is stepped after every batch.
# - **D** Both runs start from the same point and meet the same noise.
# - **E** The scheduler is stepped after every batch, but a scheduler must be stepped once per epoch.
# - **F** The peak was tuned for one of the two rivals.


# %% nbgrader={"grade": false, "grade_id": "flaws", "locked": false, "schema_version": 3, "solution": true, "task": false}
def flaws():
    """The letters of the flaws, for example {"B", "E"}."""
    ### BEGIN SOLUTION
    return {"A", "C", "F"}
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "flaws-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.exponential_decay import check_flaws

check_flaws(flaws)

# %% [markdown] nbgrader={"grade": false, "grade_id": "repair-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# Now repair it, the schedule first. Return a scheduler for `optimizer` that is stepped after every batch
# and takes the rate on a straight line from the peak at step 0 to 0 at the end of the last epoch. Any
# scheduler of torch or `lrlib` will do. The checker makes the updates, and records the rate of each.


# %% nbgrader={"grade": false, "grade_id": "repair", "locked": false, "schema_version": 3, "solution": true, "task": false}
def straight_line(optimizer, epochs, batches):
    """A scheduler from the peak to 0 over `epochs` epochs of `batches` batches."""
    ### BEGIN SOLUTION
    return PolynomialLR(optimizer, total_iters=epochs * batches)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "repair-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.exponential_decay import check_straight_line

check_straight_line(straight_line)

# %% [markdown] nbgrader={"grade": false, "grade_id": "compare-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# Then the comparison. `a` and `b` are schedules, as `train` takes them. Each gets the peak, of all in
# `peaks`, with the lowest mean loss over the `tuning_seeds`. With these peaks compare them on the
# `test_seeds`: return an array with one difference for each, in their order, the loss of `b` less that
# of `a`.
#
# The cell after the check runs your comparison on the colleague's problem, and fails until both checks
# have passed. Who wins, do you think?


# %% nbgrader={"grade": false, "grade_id": "compare", "locked": false, "schema_version": 3, "solution": true, "task": false}
def compare(train, a, b, peaks, tuning_seeds, test_seeds):
    """Loss of `b` less that of `a`, each at its own best peak, on each test seed."""

    ### BEGIN SOLUTION
    def best(schedule):
        means = [
            np.mean([train(schedule, peak, seed) for seed in tuning_seeds])
            for peak in peaks
        ]
        return peaks[np.argmin(means)]

    peak_a, peak_b = best(a), best(b)
    return np.array([train(b, peak_b, s) - train(a, peak_a, s) for s in test_seeds])
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "compare-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.exponential_decay import check_compare

check_compare(compare)


# %% nbgrader={"grade": false, "grade_id": "verdict", "locked": true, "schema_version": 3, "solution": false, "task": false}
def repaired(optimizer):
    return straight_line(optimizer, EPOCHS, BATCHES)


tuning, test = lab.seeds(3, "tune"), lab.seeds(20)
effect = compare(train, repaired, exponential, peaks, tuning, test)
lab.claim("exponential (0.9968) less linear, final loss", effect, above=0)

# %% [markdown] nbgrader={"grade": false, "grade_id": "verdict-question", "locked": true, "schema_version": 3, "solution": false, "task": false}
# **Question** (2 points). Has exponential decay lost, or only this gamma? Put 0.994 and then 0.99 in its place,
# run the cells again, and say what each does to the claim and why.

# %% [markdown] nbgrader={"grade": true, "grade_id": "verdict-answer", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# **Model answer.** Only this gamma. With 0.994 the difference is 0.00003 [−0.00007, 0.00014]: no difference that
# twenty seeds can show. The rate ends at 0.994⁵⁰⁰ = 0.05 of its peak instead of 0.2, so that less noise is left.
# With 0.99 exponential decay is behind again, by 0.0020 [0.0017, 0.0022]: it ends at 0.007, and most steps were
# too small to cover ground. Gamma is a second thing to tune, and the line has none.
#
# **Rubric.**
#
# - 1 point: at 0.994 no difference can be seen (not: "exponential wins", nor: "they are equal")
# - 1 point: too high a gamma leaves noise at the end, too low a one leaves distance; so gamma has to be tuned
#   to the length of the run

# %% [markdown] nbgrader={"grade": false, "grade_id": "both-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 4. One shape for a short and a long run (3 points, 15 minutes, open-ended)
#
# On this quadratic, `lab.NoisyQuadratic(batch_size=256)`, a run of 100 steps is limited by curvature: it
# ends before it has got near the minimum. A run of 1,000 steps is limited by noise. Choose one `power`
# and one `min_factor` that serve both. The checker asks for your schedule over 100 and over 1,000 steps,
# finds the best peak for each (at most $2/h_{\max}$) and compares its final loss with that of the best
# schedule there is. The worse of the two ratios is your score. 2.0 is asked for.
#
# | | 100 steps | 1,000 steps |
# | --- | --- | --- |
# | `power=1`, `min_factor=0` | 3.46 | 1.53 |
# | `power=1`, `min_factor=0.1` | 2.75 | 1.95 |
# | `power=0.5`, `min_factor=0` | 1.73 | 2.11 |
#
# Before you search: which of the two arguments do you expect to matter more?


# %% nbgrader={"grade": false, "grade_id": "both", "locked": false, "schema_version": 3, "solution": true, "task": false}
def for_both(total_iters):
    """A PolynomialDecay over `total_iters` steps."""
    ### BEGIN SOLUTION
    return PolynomialDecay(total_iters, power=0.58)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "both-test", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.exponential_decay import check_for_both

check_for_both(for_both)
