# %% [markdown] nbgrader={"grade": false, "grade_id": "title", "locked": true, "schema_version": 3, "solution": false, "task": false}
# # Exercises to chapter 13: resume
#
# Write your code where it says `YOUR CODE HERE`, and run the cell below it: it tests your function
# and says what is likely wrong. You may run it as often as you like. A function leaves the lists and
# arrays that it is given as they are. Where it says `YOUR ANSWER HERE`, double-click and answer in a
# few sentences; your teacher marks these.
#
# Five exercises, 17 points. Core: exercises 1, 2, 3 and 4, 45 minutes; all: 75 minutes.

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
from lrlib import Constant, PolynomialDecay, Warmup

# %% [markdown] nbgrader={"grade": false, "grade_id": "flaws-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 1. What is missing from this checkpoint? (core, 2 points, 8 minutes)
#
# A script that is started again after every crash. The model has dropout; one pass over the data takes a
# week.
#
# ```python
# torch.manual_seed(0)                                                              # line 1
# model = make_model()
# optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
# saved = torch.load("run.pt", weights_only=True) if os.path.exists("run.pt") else None
# if saved:
#     model.load_state_dict(saved["model"])
#     optimizer.load_state_dict(saved["optimizer"])
# rise = LinearLR(optimizer, 0.01, total_iters=1_000)
# scheduler = SequentialLR(optimizer, [rise, CosineAnnealingLR(optimizer, 99_000)], [1_000])
# if saved:
#     scheduler.load_state_dict(saved["scheduler"])
# step = saved["step"] if saved else 0
# for x, y in DataLoader(data, batch_size=64, shuffle=True):
#     optimizer.zero_grad()
#     loss(model(x), y).backward()
#     optimizer.step()
#     scheduler.step()
#     step += 1
#     if step % 500 == 0:
#         torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(),
#                     "scheduler": scheduler.state_dict(), "step": step}, "run.pt")
# ```
#
# Which of these are true, and so faults of the script? Return the set of their letters.
#
# - **A** The scheduler is built after the optimizer was loaded, so the rates are wrong.
# - **B** Adam's moments are lost.
# - **C** After each crash the data begin anew; if it crashes daily, most of them are never seen.
# - **D** A crash while it saves leaves no good checkpoint.
# - **E** The learning rate is not saved.
# - **F** After each crash dropout repeats the masks of the first steps.
# - **G** `weights_only=True` does not load the optimizer's state.


# %% nbgrader={"grade": false, "grade_id": "flaws", "locked": false, "schema_version": 3, "solution": true, "task": false}
def flaws():
    """The letters of the faults, for example {"A", "C"}."""
    ### BEGIN SOLUTION
    return {"A", "C", "D", "F"}
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "flaws-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.resume import check_flaws

check_flaws(flaws)

# %% [markdown] nbgrader={"grade": false, "grade_id": "save-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 2. Whole or not at all (core, 3 points, 12 minutes)
#
# A process can be killed at any moment, and the power can fail at any moment. You are given a `disk`, on
# which a good checkpoint lies under `name`. Put `text` in its place, so that at *every* moment the file
# under `name` is either the old one or the new one, and whole. Return the disk, and leave no other file on it.
#
# - `disk.write(name, text)` makes a file of that name, in place of any that is there. It takes time: a
#   process may be killed when half of it is written.
# - `disk.sync(name)` waits until the file's content is on the platter. What was not synced is empty after a
#   power cut.
# - `disk.rename(old, new)` gives a file another name, in place of any that has it, in a single step.
# - `disk.remove(name)` deletes a file. A new name needs no sync here.


# %% nbgrader={"grade": false, "grade_id": "save", "locked": false, "schema_version": 3, "solution": true, "task": false}
def save(disk, name, text):
    """Put `text` in place of the file `name`; returns the disk."""
    ### BEGIN SOLUTION
    disk.write(name + ".new", text)
    disk.sync(name + ".new")
    disk.rename(name + ".new", name)
    return disk
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "save-test", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.resume import check_save

check_save(save)

# %% [markdown] nbgrader={"grade": false, "grade_id": "goon-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 3. Resume, bit for bit (core, 4 points, 15 minutes)
#
# `make()` returns a new model, its optimizer (SGD with momentum) and its scheduler (torch's), as at the
# start of the run. `loss(model, step)` is the loss on the batch of step 0, 1, 2, …; call it once for each
# update, and `backward()` on what it returns.
#
# Train up to `steps` updates, counted from the beginning of the run, and return a dict that `torch.save` can
# write. Without `saved` the run begins; with it, the dict of an earlier call, the run goes on from there as if it
# had never stopped: the same rates, the same batches, the same weights in the end, to the last bit.


# %% nbgrader={"grade": false, "grade_id": "goon", "locked": false, "schema_version": 3, "solution": true, "task": false}
def go_on(make, loss, steps, saved=None):
    """Train to update `steps`, from the start or from `saved`; returns what to save."""
    ### BEGIN SOLUTION
    model, optimizer, scheduler = make()
    step = 0
    if saved is not None:
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        scheduler.load_state_dict(saved["scheduler"])
        step = saved["step"]
    while step < steps:
        optimizer.zero_grad()
        loss(model, step).backward()
        optimizer.step()
        scheduler.step()
        step += 1
    return {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "step": step,
    }
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "goon-test", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.resume import check_go_on

check_go_on(go_on)

# %% [markdown] nbgrader={"grade": false, "grade_id": "extend-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 4. Extend without changing the past (core, 3 points, 10 minutes)
#
# A run followed `shape`, a schedule that ends after `shape.length` steps. Now it is to have `more` steps. Return
# the schedule for all of it: `shape` as it was; then, within the `more` steps, a rise on a line from zero to
# `share` (of the peak) in `warmup` steps, and a line to zero in the rest.
#
# The parts: `Warmup(n)` rises from 0 to 1 in n steps, `PolynomialDecay(n)` is a line from 1 to 0, `Constant(c)` is
# c for ever; `a.then(b)` puts b after the end of a, `a * b` multiplies.


# %% nbgrader={"grade": false, "grade_id": "extend", "locked": false, "schema_version": 3, "solution": true, "task": false}
def extend(shape, more, share, warmup):
    """`shape`, and after it `more` steps that rise to `share` and fall to zero."""
    ### BEGIN SOLUTION
    again = Warmup(warmup).then(PolynomialDecay(more - warmup))
    return shape.then(Constant(share) * again)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "extend-test", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.resume import check_extend

check_extend(extend)

# %% [markdown] nbgrader={"grade": false, "grade_id": "cost-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## 5. Several lengths, one budget (5 points, 30 minutes, open-ended)
#
# You want a model after each of several `lengths`, in steps. One trunk holds its rate; for a length n it is
# branched at step `n - n // 5`, and the branch cools down in `n // 5` steps. A length that is named twice is
# wanted once. How many updates does it all cost?


# %% nbgrader={"grade": false, "grade_id": "cost", "locked": false, "schema_version": 3, "solution": true, "task": false}
def cost(lengths):
    """The updates of the trunk and of all its branches."""
    ### BEGIN SOLUTION
    trunk = max(n - n // 5 for n in lengths)
    return trunk + sum(n // 5 for n in set(lengths))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "cost-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from lrlib.exercises.resume import check_cost

check_cost(cost)

# %% [markdown] nbgrader={"grade": false, "grade_id": "cost-question", "locked": true, "schema_version": 3, "solution": false, "task": false}
# **Question** (3 points). A group wants models after 10,000, 20,000, 40,000 and 80,000 steps, and has a budget of 120,000
# updates. (a) Does it suffice for a trunk with branches, and for four runs of their own? (b) After 80,000 steps
# somebody asks for 160,000. Which checkpoint do you go on from, and what do you do about the rate? (c) Name one thing that
# would make you decide otherwise.

# %% [markdown] nbgrader={"grade": true, "grade_id": "cost-answer", "locked": false, "points": 3, "schema_version": 3, "solution": true, "task": false}
# **Model answer.** (a) The trunk has 64,000 updates, the branches 2,000 + 4,000 + 8,000 + 16,000 = 30,000: 94,000
# in all, which fits. Four runs take 150,000, which does not. (b) From the trunk's last checkpoint, at 64,000: hold on to 128,000
# and cool down; or from the cooled one at 80,000, re-warmed. In either case the rate is what to try: the old one, a half and a quarter of it,
# each compared after the same number of steps, since a longer run wants a lower rate. (c) If the loss on the training data is near zero, more steps gain nothing; if the trunk's rate is already
# low for so long a run, keep it; if the new steps come on other data, what is forgotten counts too.
#
# **Rubric.**
#
# - 1 point: 94,000 fits and 150,000 does not
# - 1 point: names a checkpoint that exists (64,000 on the trunk, or 80,000 re-warmed) and says that the rate is lowered or tried
# - 1 point: one sound reason against, such as a fitted training set, another data set, or a rate already low
# - 0 points: for (b) "start again from step 0", or "at the old peak" without trying another
