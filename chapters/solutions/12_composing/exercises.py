# %% [markdown] nbgrader={"grade": false, "grade_id": "title", "locked": true, "schema_version": 3, "solution": false, "task": false}
# # Exercises to chapter 12: composing
#
# Write your code where it says `YOUR CODE HERE`, and run the cell below it: it tests your function
# and says what is likely wrong. You may run it as often as you like. A function leaves the lists and
# arrays that it is given as they are. Where it says `YOUR ANSWER HERE`, double-click and answer in a
# few sentences; your teacher marks these.
#
# Five exercises, 17 points. Core: exercises 1, 2, 3 and 4, 45 minutes; all: 70 minutes.

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
from lrlib import Constant, PolynomialDecay, Warmup

# %% [markdown] nbgrader={"grade": false, "grade_id": "peak-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 1. A product and its peak (core, 2 points, 8 minutes)
#
# A warm-up times a cosine that starts at step 0 never reaches 1, so the optimizer's `lr` is not the
# highest rate of the run. `a` and `b` are two shapes, and the rate of update `t` is
# `lr * a(t) * b(t)`. Which `lr` makes the highest rate of a run of `steps` updates equal to `wanted`?


# %% nbgrader={"grade": false, "grade_id": "peak", "locked": false, "schema_version": 3, "solution": true, "task": false}
def peak_for(a, b, steps, wanted):
    """The optimizer's lr with which the highest rate of the run is `wanted`."""
    ### BEGIN SOLUTION
    return wanted / max((a * b).sample(steps))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "peak-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.composing import check_peak_for

check_peak_for(peak_for)

# %% [markdown] nbgrader={"grade": false, "grade_id": "trapezoid-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 2. A shape from an idea (core, 3 points, 12 minutes)
#
# "Up in a straight line from 0 to 1 in `rise` steps, so that step `rise` is the first at 1. Held at 1,
# until at step `rise + hold` the fall begins; it takes `fall` steps and is a straight line to `low`,
# which is held for ever after."
#
# Write the factor at step `t`, as a function of its arguments alone. The checker asks for the steps in
# several orders, past the end, and late in a long run.


# %% nbgrader={"grade": false, "grade_id": "trapezoid", "locked": false, "schema_version": 3, "solution": true, "task": false}
def trapezoid(t, rise, hold, fall, low):
    """The factor at step t."""
    ### BEGIN SOLUTION
    if t < rise:
        return t / rise
    share = min(max(t - rise - hold, 0) / fall, 1)
    return 1 - (1 - low) * share
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "trapezoid-test", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.composing import check_trapezoid

check_trapezoid(trapezoid)

# %% [markdown] nbgrader={"grade": false, "grade_id": "groups-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 3. A rate for every layer (core, 3 points, 12 minutes)
#
# `layers` is a list of `torch.nn.Linear`, input first. Return the parameter groups for an optimizer, a
# list of dicts with `"params"`, `"lr"` and `"weight_decay"`:
#
# - the last layer has the rate `lr`, every other layer `ratio` times the rate of the layer above it;
# - weights have the decay `weight_decay`, biases none;
# - every weight and every bias is in exactly one group. Some layers may be frozen for now; they are to
#   be unfrozen later.
#
# Do not call `lrlib.layer_groups`.


# %% nbgrader={"grade": false, "grade_id": "groups", "locked": false, "schema_version": 3, "solution": true, "task": false}
def groups(layers, lr, ratio, weight_decay):
    """The parameter groups, with a rate for every layer and no decay for biases."""
    ### BEGIN SOLUTION
    made = []
    for above, layer in enumerate(reversed(layers)):
        rate = lr * ratio**above
        for parameter, decay in ((layer.weight, weight_decay), (layer.bias, 0.0)):
            made.append({"params": [parameter], "lr": rate, "weight_decay": decay})
    return made
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "groups-test", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.composing import check_groups

check_groups(groups)

# %% [markdown] nbgrader={"grade": false, "grade_id": "causes-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 4. Find the fault in six traces (core, 4 points, 13 minutes)
#
# A run of twelve updates was to warm up over four of them and then fall as half a cosine over eight, its
# peak being 0.1 in trace 1 and 1 in the others. For a peak of 1 that is
#
# ```
# meant     0.25 0.50 0.75 1.00 1.00 0.96 0.85 0.69 0.50 0.31 0.15 0.04
# ```
#
# Six people wrote it, and each has another fault. These rates were applied:
#
# ```
# trace 1   .0025 .0050 .0075 .0100 .0100 .0096 .0085 .0069 .0050 .0031 .0015 .0004
# trace 2   0.25 0.75 1.00 0.85 0.50 0.15 0.00 0.15 0.50 0.85 1.00 0.85
# trace 3   0.25 0.49 0.70 0.85 0.75 0.63 0.50 0.37 0.25 0.15 0.07 0.02
# trace 4   0.12 0.25 0.38 0.50 1.00 0.96 0.85 0.69 0.50 0.31 0.15 0.04
# trace 5   0.50 0.75 1.00 1.00 0.96 0.85 0.69 0.50 0.31 0.15 0.04 0.00
# trace 6   1.00 0.98 0.93 0.85 0.75 0.63 0.50 0.37 0.25 0.15 0.07 0.02
# ```
#
# What did they do?
#
# - **A** The scheduler is stepped twice for each update.
# - **B** The scheduler is stepped once before the first update.
# - **C** Two shapes are multiplied where one should follow the other.
# - **D** The function given to `LambdaLR` returns a rate, not a factor.
# - **E** Of two schedulers, the one that is stepped last writes over what the other wrote.
# - **F** The milestone comes when half of the warm-up is done.
# - **G** The scheduler drives another optimizer than the one that makes the updates.
# - **H** The scheduler is stepped once per epoch.
#
# Return six letters, the first for trace 1. Two of the eight are nobody's.


# %% nbgrader={"grade": false, "grade_id": "causes", "locked": false, "schema_version": 3, "solution": true, "task": false}
def causes():
    """Six letters, such as "ABCDEF"."""
    ### BEGIN SOLUTION
    return "DACFBE"
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "causes-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.composing import check_causes

check_causes(causes)

# %% [markdown] nbgrader={"grade": false, "grade_id": "causes-question", "locked": true, "schema_version": 3, "solution": false, "task": false}
# **Question** (2 points). The author of trace 6 had written both schedulers, and stepped both after every
# update. Which of the two wrote the rate that an update used, and what became of the other? Name one
# change that mends it for good.

# %% [markdown] nbgrader={"grade": true, "grade_id": "causes-answer", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# **Model answer.** Both write after every update. The one that is stepped last does not multiply the rate it
# finds but writes the peak times its own factor, so that the warm-up's rate is gone before the next update uses it. One
# function of the step that is the whole shape, and one scheduler, leave nothing to be overwritten.
#
# **Rubric.**
#
# - 1 point: the scheduler stepped last writes peak times its own factor, so what the first wrote is never used
# - 1 point: one scheduler with the whole shape (not: the other order of the calls, which loses the other one)

# %% [markdown] nbgrader={"grade": false, "grade_id": "plan-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 5. A schedule for a stated run (5 points, 25 minutes, open-ended)
#
# A network was trained on another task and gets a new head. The run has 10,000 updates, and you are told:
#
# - The head is at random. It warms up over the first 500 updates, none of which may be wasted at rate 0, and is at its
#   peak at step 500.
# - The old layers rest for the first 1,000 updates. Then they warm up to a *quarter* of the head's
#   factor, which they have from step 1,500 on.
# - From step 8,000 on both are cooled down, without a jump, and are at 0 at step 10,000 and after, not
#   before.
# - Neither jumps on the way: no step changes a factor by more than a hundredth of its highest.
#
# Return the two shapes, `(old, head)`. The group of the old layers and that of the head have the same
# `lr`. Any shapes of `lrlib` may be put together, or your own.


# %% nbgrader={"grade": false, "grade_id": "plan", "locked": false, "schema_version": 3, "solution": true, "task": false}
def plan():
    """Two shapes: of the old layers, and of the head."""
    ### BEGIN SOLUTION
    hold, fall = Constant(total_iters=6500), PolynomialDecay(2000)
    quarter = Constant(0, 1000).then(Warmup(500).then(hold) * Constant(0.25))
    old = quarter.then(fall * Constant(0.25), at=8000)
    rise = Warmup(500, start_factor=1 / 501)
    head = rise.then(Constant(total_iters=7500)).then(fall)
    return old, head
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "plan-test", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.composing import check_plan

check_plan(plan)

# %% [markdown] nbgrader={"grade": false, "grade_id": "plan-question", "locked": true, "schema_version": 3, "solution": false, "task": false}
# **Question** (2 points). In the run the loss jumps up at update 1,000. Name two causes between which an
# `LRTrace` can decide, and what it would show for each.

# %% [markdown] nbgrader={"grade": true, "grade_id": "plan-answer", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# **Model answer.** Either the rates are not the plan, or they are and the plan is too bold. In the first case the trace leaves the plan at step
# 1,000: the group of the old layers goes to 0.25 or to 1 at once instead of rising over 500 updates, or `assert_matches` names the step. In
# the second it matches to the last digit, and the old layers are just not ready: a longer rest, a lower peak, or their momentum, which has been gathered all the while at rate 0, should be looked at.
#
# **Rubric.**
#
# - 1 point: a fault in what is applied (no warm-up, a wrong base rate of the group, a border one step off), seen as a trace that leaves the plan at step 1,000
# - 1 point: a plan that is applied exactly and is itself the cause (peak of the old layers, rest too short, stale momentum), seen as a trace that matches it
