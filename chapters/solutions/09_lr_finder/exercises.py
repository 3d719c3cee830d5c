# %% [markdown] nbgrader={"grade": false, "grade_id": "title", "locked": true, "schema_version": 3, "solution": false, "task": false}
# # Exercises to chapter 9: the learning-rate finder
#
# Write your code where it says `YOUR CODE HERE`, and run the cell below it: it tests your function
# and says what is likely wrong. You may run it as often as you like. A function leaves the lists and
# arrays that it is given as they are. Where it says `YOUR ANSWER HERE`, double-click and answer in a
# few sentences; your teacher marks these.
#
# Five exercises, 17 points. Core: exercises 1, 2 and 3, 44 minutes; all: 99 minutes.

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
import copy
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from lrlib import lab, training_step
from lrlib import lr_finder as finder
from lrlib.lab import figures
from torch.utils.data import DataLoader, TensorDataset

figures.use_style()

# %% [markdown] nbgrader={"grade": false, "grade_id": "rates-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 1. The rates of a test (core, 1 point, 6 minutes)
#
# A range test makes `num_iter` updates, each with a larger rate than the last. The first has `start_lr`, the last
# `end_lr`, and from one to the next the rate is multiplied by the same number.
#
# Return the rates, in ascending order. Before you start: in a test of 100 updates from 1e-6 to 10, how many
# updates have a rate below 0.1? And how many would have one if the rates were equally spaced themselves?


# %% nbgrader={"grade": false, "grade_id": "rates", "locked": false, "schema_version": 3, "solution": true, "task": false}
def rates(start_lr, end_lr, num_iter):
    """The learning rates of a range test, equally spaced in the logarithm."""
    ### BEGIN SOLUTION
    return np.geomspace(start_lr, end_lr, num_iter)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "rates-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.lr_finder import check_rates

check_rates(rates)

# %% [markdown] nbgrader={"grade": false, "grade_id": "test-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 2. The test (core, 3 points, 18 minutes)
#
# `train_step()` takes the next batch, zeroes the gradients, runs forward and backward, and returns the loss, a tensor
# of one element. It does not step the optimizer: that is your part, once for each of the `rates`. Return the
# losses, one number for each rate.
#
# - `rates` are those of the first parameter group. The other groups keep the ratios to it that they have when
#   the test begins.
# - Beside a rate stands the loss that came of it. `train_step()` returns the loss of the present weights, which is the loss
#   *before* the update that follows.
# - A loss that is not finite ends the test. It is recorded, as it is or as NaN, and the rates that were not tried
#   have the loss NaN. A loss that is merely large ends nothing.
#
# Before you start: how often is `train_step()` called for `n` rates?


# %% nbgrader={"grade": false, "grade_id": "test", "locked": false, "schema_version": 3, "solution": true, "task": false}
def range_test(optimizer, train_step, rates):
    """Make one update with each rate; the losses after them."""
    ### BEGIN SOLUTION
    groups = optimizer.param_groups
    ratios = [group["lr"] / groups[0]["lr"] for group in groups]
    losses = [math.nan] * len(rates)
    train_step()
    for k, rate in enumerate(rates):
        for group, ratio in zip(groups, ratios, strict=True):
            group["lr"] = rate * ratio
        optimizer.step()
        losses[k] = float(train_step())
        if not math.isfinite(losses[k]):
            break
    return losses
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.lr_finder import check_range_test

check_range_test(range_test, part=("updates", "gradients", "rates"))

# %% nbgrader={"grade": true, "grade_id": "test-losses-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.lr_finder import check_range_test

check_range_test(range_test)  # and their losses

# %% [markdown] nbgrader={"grade": false, "grade_id": "trace-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 3. Leave no trace (core, 3 points, 20 minutes)
#
# Your test trains the model, and then ruins it. Write a function that calls `test()` without arguments, returns what it
# returns, and puts everything back as it was before, bit for bit:
#
# - the weights and the buffers, in the same tensors, so that the optimizer goes on training these;
# - the mode, train or eval, of every part of the model;
# - the optimizer's state and its rates;
# - the state of torch's random numbers on the CPU.
#
# The gradients may be as before or `None` afterwards, but not those of the test. If `test()` raises an exception, the
# caller gets that exception, and everything is put back all the same. Someone who sees the loss blow up presses the
# stop button, so this includes a `KeyboardInterrupt`. Do not call `lrlib`.
#
# Before you start: what does `model.state_dict()` hold, copies or the tensors themselves? What of the list above is not
# in it?


# %% nbgrader={"grade": false, "grade_id": "trace", "locked": false, "schema_version": 3, "solution": true, "task": false}
def without_trace(model, optimizer, test):
    """What test() returns; all that it changed is put back."""
    ### BEGIN SOLUTION
    weights = copy.deepcopy(model.state_dict())
    state = copy.deepcopy(optimizer.state_dict())
    modes = [(part, part.training) for part in model.modules()]
    random = torch.get_rng_state()
    try:
        return test()
    finally:
        model.load_state_dict(weights)
        model.zero_grad()
        optimizer.load_state_dict(state)
        for part, mode in modes:
            part.training = mode
        torch.set_rng_state(random)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "trace-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.lr_finder import ENDED, check_without_trace

check_without_trace(without_trace, part=ENDED)

# %% nbgrader={"grade": true, "grade_id": "trace-exception-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.lr_finder import check_without_trace

check_without_trace(without_trace)  # also if the test breaks off

# %% [markdown] nbgrader={"grade": false, "grade_id": "digits-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# Your three functions make a finder. Here it tests a network on handwritten digits, twice from the same
# weights, with other batches. Before you run the cell: will the two curves be alike where they fall, where they are
# lowest, or where they blow up?

# %% nbgrader={"grade": false, "grade_id": "digits", "locked": true, "schema_version": 3, "solution": false, "task": false}
task = lab.digits_task()
model = task.model(lab.seeds(1)[0])
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
pairs = TensorDataset(*task.data.draw(lab.seeds(1)[0]).split("train"))
batches = torch.Generator().manual_seed(lab.seeds(1)[0])
loader = DataLoader(pairs, batch_size=32, shuffle=True, generator=batches)
train_step = training_step(model, task.loss, loader)

tried = rates(1e-5, 100, 140)


def test():
    return range_test(optimizer, train_step, tried)


fig, ax = plt.subplots()
for style in ("-", ":"):
    losses = np.array(without_trace(model, optimizer, test))
    ax.plot(tried, losses, style, color="black")
ax.set(
    xscale="log", ylim=(0, 4), xlabel="learning rate", ylabel="loss of the next batch"
)
ax.set_title("Where the loss blows up, each test goes its own way")
plt.show()
print(f"rate now {optimizer.param_groups[0]['lr']}, first loss {train_step():.2f}")

# %% [markdown] nbgrader={"grade": false, "grade_id": "digits-after", "locked": true, "schema_version": 3, "solution": false, "task": false}
# The last line shows that the network is still untrained. `train_step` has gone on in its data, as a test may: how would
# you put that back too?

# %% [markdown] nbgrader={"grade": false, "grade_id": "wrong-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 4. What is wrong with this finder? (4 points, 25 minutes)
#
# A colleague wants the rate at which the loss falls fastest, on the logarithmic axis on which everyone draws the
# curve, and before the loss blows up. `losses` and `rates` are those of a test such as yours. Of the curve in
# the next cell we know the answer, since we made it: it falls as a logistic function of the logarithm of the rate, and noise is added.


# %% nbgrader={"grade": false, "grade_id": "careless", "locked": true, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.lr_finder import curve


def careless(rates, losses):
    keep = np.isfinite(losses)
    rates, losses = rates[keep], losses[keep]
    mean, smooth = 0, []
    for t, loss in enumerate(losses, start=1):
        mean = 0.95 * mean + 0.05 * loss
        smooth.append(mean / (1 - 0.95**t))
    slope = np.gradient(smooth, rates)
    return rates[np.argmin(slope[10:-5])]


example, its_losses, right = curve()
print(f"right {right:.2g}, suggested {careless(example, its_losses):.2g}")

# %% [markdown] nbgrader={"grade": false, "grade_id": "flaws-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# Which of these are flaws of the finder? Return the set of their letters. If you are in doubt, change one thing at a time
# and draw what comes of it.
#
# - **A** Losses that are not finite are dropped, and their rates too.
# - **B** The running mean begins at 0.
# - **C** The running mean takes the losses of smaller rates alone.
# - **D** The slope is taken with respect to `rates`.
# - **E** `np.gradient` uses a point's neighbours instead of the point itself.
# - **F** The search goes on past the lowest loss.
# - **G** What `argmin` finds in `slope[10:-5]` is looked up in `rates`.


# %% nbgrader={"grade": false, "grade_id": "flaws", "locked": false, "schema_version": 3, "solution": true, "task": false}
def flaws():
    """The letters of the flaws, for example {"A", "B"}."""
    ### BEGIN SOLUTION
    return {"C", "D", "F", "G"}
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "flaws-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.lr_finder import check_flaws

check_flaws(flaws)

# %% [markdown] nbgrader={"grade": false, "grade_id": "suggest-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# Write what `careless` should have been. The checker knows the right answer on ten made-up curves, and allows a factor
# of 2 on those with noise, of which there is up to 4 % of the height of the fall; without noise it allows a factor of 1.4.
# Losses may be negative, the last ones not finite, and a loss that has blown up may come down again, though not as low as
# before. There are 60 to 400 rates, 7 or 7.5 decades in all. The answer may not depend on the units of losses or
# rates.
#
# You may smooth, if you do it without lag, or take each slope from a line through the points of half a decade or so,
# which smooths by itself. Do not call `lrlib.lr_finder`.


# %% nbgrader={"grade": false, "grade_id": "suggest", "locked": false, "schema_version": 3, "solution": true, "task": false}
def suggest(rates, losses):
    """The rate at which the loss falls fastest per decade, before it blows up."""
    ### BEGIN SOLUTION
    keep = np.isfinite(losses)
    x, y = np.log10(rates[keep]), losses[keep]
    slopes = []
    for here in x[: np.argmin(y) + 1]:
        near = np.abs(x - here) < 0.3
        slopes.append(np.polyfit(x[near], y[near], 1)[0])
    return 10 ** x[np.argmin(slopes)]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "suggest-test", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.lr_finder import check_suggest

check_suggest(suggest)

# %% [markdown] nbgrader={"grade": false, "grade_id": "both-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# The curve of above with both answers, and your answer to the test on the digits.

# %% nbgrader={"grade": false, "grade_id": "both", "locked": true, "schema_version": 3, "solution": false, "task": false}
fig, ax = plt.subplots()
ax.plot(example, its_losses, ".", color="0.6")
answers = {"careless": careless, "yours": suggest}
for (name, function), style in zip(answers.items(), ("--", "-"), strict=True):
    found = function(example, its_losses)
    ax.axvline(found, color="black", linestyle=style)
    ax.annotate(f" {name}", (found, 3.2))
ax.set(xscale="log", ylim=(0, 3.5), xlabel="learning rate", ylabel="loss")
ax.set_title("Per unit of rate, a fall is steepest where it begins")
plt.show()
print(f"on the digits: {suggest(tried, losses):.2g}")

# %% [markdown] nbgrader={"grade": false, "grade_id": "both-after", "locked": true, "schema_version": 3, "solution": false, "task": false}
# The steepest point is well defined on these curves. Is it a good learning rate? Nothing so far says so: the
# definition mentions the test and no training.

# %% [markdown] nbgrader={"grade": false, "grade_id": "rule-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 5. Your own rule, judged by regret (6 points, 30 minutes, open-ended)
#
# A rule is good if runs at the peaks it names end low. Here that is known exactly. A *problem* is a noisy quadratic
# that was range-tested once. Its runs have 400 steps, SGD with momentum 0.9, and a rate that decays linearly to 0; the same
# momentum was used in the test. Problems differ in spectrum, batch size and scale. `problems(seeds)` makes
# one for each seed:
#
# - `problem.rates` and `problem.losses` are the test, which ended when the loss was above four times its first;
# - `problem.best` is the best peak;
# - `problem.ratio(peak)` is the expected final loss with this peak, over that with the best one. Its logarithm is the
#   *regret*.

# %% nbgrader={"grade": false, "grade_id": "problems", "locked": true, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.lr_finder import problems

tuning = problems(lab.seeds(12, "tune"))
fig, ax = plt.subplots()
for problem, style in zip(tuning[:3], ("-", "--", ":"), strict=True):
    shares = problem.losses / problem.losses[0]
    ax.plot(problem.rates, shares, style, color="black")
    height = np.interp(problem.best, problem.rates, shares)
    ax.plot(problem.best, height, "o", color="#B22222", markersize=9)
ax.set(xscale="log", ylim=(0, 2), xlabel="learning rate", ylabel="loss / first loss")
ax.set_title("The best peak (dots) lies below the rate with the lowest loss")
plt.show()

# %% [markdown] nbgrader={"grade": false, "grade_id": "rule-task", "locked": true, "schema_version": 3, "solution": false, "task": false}
# Write a rule that reads a peak from `rates` and `losses`. The checker applies it to 24 other problems, and asks that the
# final loss be at most 1.4 times that of the best peak, in the median. You may call what you like, also the functions of
# `lrlib.lr_finder`, here named `finder`: `smooth`, `minimum`, `edge`, `steepest`, … All problems have finite losses.
#
# Before you start: which point of the curve would you start from, the steepest, the lowest, or the one where the loss has
# climbed back? Then find out, on the twelve `tuning` problems, by what factor the best peak lies below it.


# %% nbgrader={"grade": false, "grade_id": "rule", "locked": false, "schema_version": 3, "solution": true, "task": false}
def rule(rates, losses):
    """The peak for a run of 400 steps, read from a range test."""
    ### BEGIN SOLUTION
    return rates[np.argmin(losses)] / 5  # of 3 to 7, 5 does best on `tuning`
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "rule-test", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.lr_finder import check_rule

check_rule(rule)

# %% [markdown] nbgrader={"grade": false, "grade_id": "table-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# Your rule beside those of the chapter, on new problems. The others read a smoothed curve. Before you run the cell: the
# chapter's own rule, half of the floor's middle, got its divisor from networks. Will it hold here?

# %% nbgrader={"grade": false, "grade_id": "table", "locked": true, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.lr_finder import problems

rivals = {"yours": rule, "floor / 2": finder.floor_2, "minimum": finder.minimum}
rivals |= {"minimum / 10": finder.minimum_10, "steepest": finder.steepest}
fresh = problems(lab.seeds(24))
for name, rival in rivals.items():
    ratios = []
    for problem in fresh:
        curve = problem.losses
        if name != "yours":
            curve = finder.smooth(problem.rates, curve, 0.2)
        ratios.append(problem.ratio(rival(problem.rates, curve)))
    print(
        f"{name:13s}{np.median(ratios):6.2f} in the median, {max(ratios):.3g} at worst"
    )

# %% [markdown] nbgrader={"grade": false, "grade_id": "table-question", "locked": true, "schema_version": 3, "solution": false, "task": false}
# Your factor fits these problems; the chapter's was found on others, and fits as well. But make the test with 1,000
# updates in place of 100, over the same decades, and its lowest loss comes at about a third of the rate, in the median.
# And if the runs have 4,000 steps in place of 400, the best peak is about a seventh.
#
# **Question** (3 points). Why does the slower test have its lowest loss at a lower rate? (By how much does the rate
# grow in the ten updates over which momentum 0.9 averages?) What does your factor belong to, then? And is there
# anything in the curve that tells for how long a run your rule is good?

# %% [markdown] nbgrader={"grade": true, "grade_id": "table-answer", "locked": false, "points": 3, "schema_version": 3, "solution": true, "task": false}
# **Model answer.** With 100 updates the rate grows by 15 % each time, fourfold within ten updates. By the time a rate
# has shown in the loss what it does, by its fall or by its noise, the test is far beyond it, and the lowest loss is
# noted at too high a rate. With 1,000 updates it grows by 1.4 % each time, by 15 % within ten. The factor belongs to
# the test (its updates and its momentum) and to the length of the runs as much as to the problems. The curve says
# nothing of that length: the test is the same, whatever run comes after it. For 4,000 steps one has to find the best
# peaks of some problems by runs of 4,000 steps, and the factor from these.
#
# **Rubric.**
#
# - 1 point: in the slower test more updates are made near each rate, so that its effect is seen before the rate has moved
#   on (fourfold in ten updates, against 15 %)
# - 1 point: the factor belongs to this test or to runs of this length, not to the problems alone
# - 1 point: no, the test is the same for every length of run; it takes runs of the other length to know
