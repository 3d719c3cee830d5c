# %% [markdown]
# # 4 · Cosine annealing
#
# The path, down to *Depth*: 10 minutes. All: 45 minutes. The exercises: 45 minutes for the core (1 to 3), 75 minutes for all. You need
# chapters 1 to 3, or this much: a schedule is a *shape*, a function from the optimizer step $t$ to a factor; the
# learning rate is its *peak* times the factor.

# %% [markdown]
# **In short.** *Length known*: let the rate fall on a line to zero over all *optimizer steps*. Against a constant rate this gained seven
# points of test error with few steps, eight with four times as many, two with too small a network. *Length open, or a
# short run on text*: hold it, then cool down over the last fifth (0.08 nats). *A constant rate fits everything* (one image network):
# no schedule gained half a point. No cosine led the line by that. Planning half the run cost eleven points.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
import math
import warnings
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import torch
from lrlib import (
    Constant,
    CosineAnnealing,
    LRTrace,
    MultiStepDecay,
    PolynomialDecay,
    ScheduledLR,
    Warmup,
    lab,
)
from lrlib.lab import figures
from lrlib.schedule import Schedule

figures.use_style()
CosineAnnealingLR = torch.optim.lr_scheduler.CosineAnnealingLR

# %% [markdown]
# ## It ran, raised nothing, and cost six points
#
# Eight epochs of 250 batches, so `T_max=8`, and `scheduler.step()` after every batch. Here is the rate that the
# optimizer really used.


# %% jupyter={"source_hidden": true} tags=["hide-input"]
meant = lab.applied(lambda opt: CosineAnnealingLR(opt, T_max=8 * 250), 2000, lr=0.08)
got = lab.applied(lambda opt: CosineAnnealingLR(opt, T_max=8), 2000, lr=0.08)

# %% jupyter={"source_hidden": true} tags=["hide-input"]

fig, ax = plt.subplots(figsize=(7.6, 3.0))
ax.plot(got.lr, color="0.72", linewidth=0.5)
ax.plot(meant.lr, **figures.look("cosine"))
ax.annotate(
    "meant",
    (1120, 0.05),
    xytext=(1330, 0.058),
    color=figures.look("cosine")["color"],
    bbox={"facecolor": ax.get_facecolor(), "edgecolor": "none", "pad": 2},
)
ax.annotate("applied, with T_max=8", (20, 0.0855), color="0.35")
ax.set(xlabel="step", ylabel="applied rate", ylim=(-0.002, 0.093))
ax.set_title("Epochs taken for steps: 125 teeth in place of one slope")
figures.show(
    "Learning rate over 2,000 steps. The cosine that was meant falls once from 0.08 "
    "to zero; what was applied goes up and down between them every 16 steps, to the "
    "end."
)

# %% [markdown]
# The scheduler counts its own calls. To see the price we train the book's
# underfit network both ways from one peak: MNIST-1D, 4,000 signals of 40 numbers drawn anew by each seed; two
# hidden layers of 100; SGD with momentum 0.9, batches of 16.


# %% jupyter={"source_hidden": true} tags=["hide-input"]
@dataclass(frozen=True)
class PerBatch(Schedule):  # no length: it goes on for ever, as torch's does
    T_max: int
    shift: int = 0

    def formula(self, step):
        return (1 + math.cos(math.pi * (step + self.shift) / self.T_max)) / 2


task, T = lab.mnist1d_task(), 2000
settings = {"steps": T, "batch_size": 16}
both = {"T_max=8": PerBatch(8), "T_max=2000": CosineAnnealing(T)}
mistake = lab.sweep(task, both, [0.08], lab.seeds(16), **settings)
wrong, right = 100 * mistake.at("test_error")[:, 0]
lab.claim(
    "T_max in epochs, stepped per batch: cost in test error",
    wrong - right,
    above=0,
    unit="points",
)

# %% [markdown]
# ## The formula
#
# $$\eta_t = \eta_{\min} + \tfrac12(\eta_{\max} - \eta_{\min})\left(1 + \cos\frac{\pi t}{T}\right),
# \qquad 0\le t\le T,$$
#
# with the peak $\eta_{\max}$, the final rate $\eta_{\min}$, and $T$ in optimizer *steps* (`T_max`). In `lrlib` the
# final rate is a share of the peak, `min_factor`, so that every parameter group ends at the same share.


# %%
def cosine(t, T, min_factor=0.0):
    half_wave = (1 + math.cos(math.pi * min(t, T) / T)) / 2
    return min_factor + (1 - min_factor) * half_wave


print([round(cosine(t, 2000), 3) for t in (0, 500, 1000, 1500, 2000)])

# %% [markdown]
# ## Two walkers, one distance
#
# Picture the rate as walking speed. A line and a cosine from one peak cover the same distance in the same
# time: the area under both is half the box.

# %% jupyter={"source_hidden": true} tags=["hide-input"]

fig, (top, bottom) = plt.subplots(2, 1, height_ratios=(2.2, 1), figsize=(7.6, 4.2))
t = np.linspace(0, 1, 401)
walkers = {"linear": 1 - t, "cosine": (1 + np.cos(np.pi * t)) / 2}
for y, (name, speed) in zip((1, 0), walkers.items(), strict=True):
    look = figures.look(name)
    top.plot(100 * t, speed, **look)
    walked = np.concatenate([[0], np.cumsum(speed[1:] + speed[:-1])])
    prints = 100 * walked[::40] / walked[-1]
    bottom.plot(prints, np.full(11, y), "|", color=look["color"], markersize=15, mew=2)
    bottom.text(-2, y, name, color=look["color"], ha="right", va="center")
blue = figures.look("cosine")["color"]
top.annotate("the cosine stays high, …", (27, 0.9), color=blue)
top.annotate("… then arrives slowly", (50, 0.03), color=blue)
top.set(xlabel="share of the run (%)", ylabel="speed (factor)", xlim=(-1, 101))
bottom.set(xlabel="distance covered (%); a footprint at each tenth of the run")
bottom.set(ylim=(-0.6, 1.6), yticks=[], xlim=(-1, 101))
bottom.grid(False)
top.set_title("Same distance, same time; the cosine dawdles at the end")
figures.show(
    "A sketch. Above, two walkers' speed: the line falls evenly, the cosine stays "
    "high, falls, and flattens out. Below, their footprints at each tenth of the run: "
    "the line's close up evenly, the cosine's last three lie almost on each other."
)

# %% [markdown]
# Distance brings you near the minimum; low speed at the end lets the noise of the batches settle.
# The cosine spends a fifth of its run below a tenth of its peak, the line a tenth. Rest or waste?
#
# ## The exact case: short runs need distance, long runs low noise
#
# On the noisy quadratic of chapter 1 (batches of 256) every final loss is exact. At each shape's best peak,
# the score is its loss over that of the best schedule that a search finds. The *cooldown* holds its rate for 80 % of the
# run and falls to zero on a line.

# %% tags=["nbval-check-output"]
problem = lab.NoisyQuadratic(batch_size=256)
SHAPES = {
    "constant": lambda T: Constant(),
    "one drop": lambda T: MultiStepDecay([int(0.8 * T)]),
    "linear": PolynomialDecay,
    "cosine": CosineAnnealing,
    "cooldown": lambda T: Constant(total_iters=T - T // 5).then(
        PolynomialDecay(T // 5)
    ),
}
score = {
    name: [problem.score(shape(steps), steps) for steps in (100, 1000)]
    for name, shape in SHAPES.items()
}
print("final loss over the best possible   100 steps   1,000 steps")
for name, (short, long) in score.items():
    print(f"{name:34} {short:10.2f} {long:13.2f}")

# %% [markdown]
# In 100 steps distance is short, and a higher peak would diverge: line and cosine, with one area, are level at three and a half
# times the best found; what stays high and cools late comes near it. In 1,000 steps the noise decides: now a long low tail pays, and
# the cosine ends 6 % below the line. Which of the two a network is like, only training it says.
#
# > **Predict.** Five shapes on the underfit network, each at its own best peak. By how many points of test error do
# > line and cosine differ, and which way? And on images that a network fits completely?

# %%
shapes = {name: shape(T) for name, shape in SHAPES.items()}
middles = {"constant": 0.024, "one drop": 0.04, "cooldown": 0.048}
middles |= {"linear": 0.08, "cosine": 0.068}
grids = {name: middles[name] * 2 ** (np.arange(-2, 3) / 2) for name in shapes}


def swept(names, n):
    """Train these shapes at every peak of their grids, on n seeds."""
    some = {name: shapes[name] for name in names}
    grid = {name: grids[name] for name in names}
    return lab.sweep(task, some, grid, lab.seeds(n), **settings)


pair = swept(["linear", "cosine"], 30)  # the chapter's question gets most seeds
rest = swept(["constant", "one drop", "cooldown"], 12)
five = pair.joined(rest)
less_line = {"cosine": pair.compare("cosine", "linear")}
for name in ("constant", "one drop", "cooldown"):
    less_line[name] = five.compare(name, "linear")
best = {name: f"{five.best_peaks()[name]:.2g}" for name in five.schedules}
print("best peaks by validation error:", best)

# %% jupyter={"source_hidden": true} tags=["hide-input"]

ERROR, NATS = ("test_error", "val_error"), ("test_loss", "val_loss")
RECORDED = {
    "four times\nthe steps": "mnist1d_long",
    "text,\nfew steps": "transformer",
    "network\ntoo small": "mlp_shifted",
    "a fifth of\nlabels wrong": "mlp_noisy",
    "all fitted": "mlp_clean",
}


def at_constant_rate(runs, by):
    """What a constant rate reaches: `by` on the test set, its last training loss."""
    i, best = runs.schedules.index("constant"), runs.best_peaks(by[1])["constant"]
    loss = runs.train_loss[i, int(np.argmin(abs(runs.peaks[i] - best)))]
    mean = runs.judged(*by, schedules=["constant"])[0]["constant"].mean()
    reached = f"{mean:.2f} nats" if by is NATS else f"{100 * mean:.1f} %"
    end = loss[:, -loss.shape[-1] // 50 :].mean()
    return f"\nconstant: {reached}\ntraining loss {end:.3f}"


# %% jupyter={"source_hidden": true} tags=["hide-input"]

rows = ("constant", "one drop", "cooldown", "cosine")
panels = {"too few\nsteps" + at_constant_rate(rest, ERROR): less_line}
for title, name in RECORDED.items():
    runs, by = lab.recorded(name), NATS if name == "transformer" else ERROR
    names = {row: "cooldown 20 %" if row == "cooldown" else row for row in rows}
    panels[title + at_constant_rate(runs, by)] = {
        row: runs.compare(shape, "linear", *by) for row, shape in names.items()
    }

# %% jupyter={"source_hidden": true} tags=["hide-input"]

fig, axes = plt.subplots(1, 6, sharey=True, figsize=(9.6, 3.3))
limits = [(-1, 9), (-2, 14), (-0.09, 0.09), *[(-0.8, 2.6)] * 3]
for ax, limit, title in zip(axes, limits, panels, strict=True):
    for y, row in enumerate(reversed(rows)):
        e = panels[title][row]
        color = figures.look({"one drop": "step"}.get(row, row))["color"]
        ax.plot([e.low, e.high], [y, y], color=color, linewidth=2.4)
        ax.plot(e.effect, y, "o", color=color)
    ax.axvline(0, color="0.4", linewidth=1)
    ax.set_title(title, fontsize=9.5, fontweight="normal")
    ax.set(xlim=limit, ylim=(-0.6, 3.6))
axes[2].set_xticks([-0.05, 0.05])
axes[0].set_yticks(range(4), list(reversed(rows)))
fig.supxlabel("worse than the line → (test error, points; text: nats)", size=10.5)
title = "A constant rate loses unless it fits all the data; on text the line is beaten"
fig.suptitle(title, x=0.01, ha="left")
figures.show(
    "Test error less the line's in six panels, with 95 % intervals, and the constant "
    "rate's training loss. Too few steps: constant seven points above the line, drop "
    "and cosine two, cooldown within two. Four times the steps: constant eight above, "
    "drop three, cooldown two. Text: constant and cosine 0.03 nats above, drop and "
    "cooldown below. Too small a network: constant two above, the rest level. Wrong "
    "labels: constant 0.7 above. All fitted, with a training loss of 0.001: level."
)

# %% jupyter={"source_hidden": true} tags=["hide-input"]

clean, noisy, small = (lab.recorded(f"mlp_{x}") for x in ("clean", "noisy", "shifted"))
long, text = lab.recorded("mnist1d_long"), lab.recorded("transformer")
images, points = lab.images_task(hidden=(64,)), {"unit": "points"}
underfit, tie = {"above": task.margin.points}, {"no_difference": images.margin}
noisy_gain = noisy.compare("constant", "cooldown 20 %")
text_gain = text.compare("constant", "cooldown 20 %", *NATS)
fitted, small_gain, long_gain = (
    runs.compare("constant", "linear") for runs in (clean, small, long)
)

# %% jupyter={"source_hidden": true} tags=["hide-input"]
rows = [
    lab.claim(
        "few steps: constant less line", less_line["constant"], **underfit, **points
    ),
    lab.claim("few steps: cosine less line", less_line["cosine"], above=0, **points),
    lab.measure("few steps: one drop less line", less_line["one drop"], **points),
    lab.measure("few steps: cooldown less line", less_line["cooldown"], **points),
    lab.claim(
        "four times the steps (recorded): constant less line",
        long_gain,
        **underfit,
        **points,
    ),
    lab.claim(
        "too small (recorded): constant less line", small_gain, above=0, **points
    ),
    lab.claim("fitted (recorded): constant less line", fitted, **tie, **points),
]
lab.claims(rows)

# %% jupyter={"source_hidden": true} tags=["hide-input"]
in_nats = {"above": lab.MARGINS["text"].nats, "unit": "nats"}
leads = text.compare("cooldown 20 %", "linear", *NATS)
noisy_line = noisy.compare("constant", "linear")
rows = [
    lab.claim("text (recorded): constant less cooldown", text_gain, **in_nats),
    lab.measure("text (recorded): cooldown less line", leads, unit="nats"),
    lab.claim(
        "wrong labels (recorded): constant less cooldown", noisy_gain, above=0, **points
    ),
    lab.measure("wrong labels (recorded): constant less line", noisy_line, **points),
]
lab.claims(rows)

# %% [markdown]
# Every seed is judged at the peak that the other seeds choose; the interval includes that choice's chance. *Half-widths*: how far
# an estimate lies from its bound, in halves of its interval; nothing below three is claimed. All but the first panel were
# recorded (Depth).
#
# *What is a schedule worth, and where?* Over each panel stands the constant rate's own training loss. Where it is
# 0.001, the constant rate is level with all decays. Elsewhere it trails the line by two to eight points;
# where labels are wrong by 0.7 [0.4, 1.0], and the cooldown by 0.9 [0.6, 1.2]; on text the line by 0.027 nats [0.005, 0.050], and the
# cooldown by 0.080 [0.067, 0.092].
#
# *Which decay?* By what matters (2 points on MNIST-1D, 0.5 on images, 0.02 nats; set beforehand) none leads the line but, probably, the
# cooldown on text, by 0.052 nats [0.039, 0.066]. The cosine trails the line there by 0.035 [0.030, 0.040], and on MNIST-1D by 2.0 points
# [1.5, 2.4], with four times the steps by 0.6 [−0.2, 1.3]. For language models trained far longer Bergsma et al. (2025)
# recommend the line.
#
# ## The length has to be known
#
# > **Predict.** Cosines planned for half the run, one and a half, and twice, each at its own best peak, all stopped
# > at 2,000 steps. What does each cost?

# %% jupyter={"source_hidden": true} tags=["hide-input"]

plans = {0.5: CosineAnnealing(T // 2), 1.5: CosineAnnealing(3 * T // 2)}
plans[2.0] = CosineAnnealing(2 * T)
others = {f"planned for {x:g} T": plan for x, plan in plans.items()}
others["torch, T_max = T/2"] = PerBatch(T // 2)  # goes on past its end, uphill
middles = dict(zip(others, (0.048, 0.068, 0.048, 0.024), strict=True))
grid = {name: middle * 2 ** (np.arange(-2, 3) / 2) for name, middle in middles.items()}
stopped = lab.sweep(task, others, grid, lab.seeds(12), **settings)
lengths = pair.joined(stopped)

# %% jupyter={"source_hidden": true} tags=["hide-input"]

planned = {"cosine": 1, "torch, T_max = T/2": 0.5}
planned |= {f"planned for {x:g} T": x for x in plans}
error, peak = lengths.judged(schedules=list(planned))
fig, ax = plt.subplots(figsize=(7.6, 3.0))
for name, share in planned.items():
    values, climbs = 100 * error[name], name.startswith("torch")
    x, half = share * T - 50 * climbs, lab.half_interval(values)
    color = "black" if climbs else figures.look("cosine")["color"]
    marker = "s" if climbs else "o"
    ax.errorbar(x, values.mean(), yerr=half, capsize=4, color=color, fmt=marker)
    text = "torch climbs again:\n" * climbs
    text += f"{values.mean():.1f} %\npeak {np.median(peak[name]):.2g}"
    at = (x + (-70 if climbs else 80), values.mean())
    ax.annotate(text, at, va="center", ha="right" if climbs else "left")
ax.set(xlabel="planned length (steps); the run ends at 2,000", ylabel="test error (%)")
ax.set(xlim=(-250, 4700), xticks=[1000, 2000, 3000, 4000], ylim=(32, 49))
ax.set_title("A plan of half the run costs most; one of twice its length, little")
figures.show(
    "Test error with 95 % intervals against the planned length of a cosine, each at "
    "its own tuned peak; the run ends at 2,000 steps. Planned 1,000: 46 %, held at "
    "zero or climbing again; 2,000: 35 %; 3,000: 34 %; 4,000: 36 %."
)

# %% jupyter={"source_hidden": true} tags=["hide-input"]

rows = [
    lab.claim(
        "a plan of half the run, then held at zero: cost",
        lengths.compare("planned for 0.5 T", "cosine"),
        above=task.margin.points,
        unit="points",
    ),
    lab.claim(
        "torch's T_max of half the run, climbing again: cost",
        lengths.compare("torch, T_max = T/2", "cosine"),
        above=task.margin.points,
        unit="points",
    ),
]
for x in (1.5, 2.0):
    longer = lengths.compare(f"planned for {x:g} T", "cosine")
    rows.append(
        lab.measure(f"a plan of {x:g} T less one that fits", longer, unit="points")
    )
lab.claims(rows)

# %% [markdown]
# Half a plan costs eleven points, held at zero (`lrlib`), which loses half of the updates, or climbing back (torch). The other
# side is gentler: half as long again cost nothing, −0.9 points [−1.7, −0.1], twice as long 1.5 [0.4, 2.5]. Hoffmann et al. (2022) report for language
# models that the cosine has to match the run, and on the quadratic of 1,000 steps a plan of 2 T more than doubles the loss (Depth).
#
# ## Past the end it climbs
#
# A schedule of `lrlib` holds its last value.

# %% jupyter={"source_hidden": true} tags=["hide-input"]

past = lab.applied(lambda opt: CosineAnnealingLR(opt, T_max=100), 250)
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    held = lab.applied(lambda opt: ScheduledLR(opt, CosineAnnealing(100)), 250)
print(str(said[0].message).split(";")[0])
blue = figures.look("cosine")["color"]
fig, ax = plt.subplots(figsize=(7.6, 2.8))
ax.plot(past.lr, color="black")
ax.plot(held.lr, color=blue, linestyle="--")
ax.axvline(100, color="0.6", linewidth=1, linestyle=":")
ax.annotate("T_max", (97, 0.095), color="0.4", ha="right")
ax.annotate("torch, CosineAnnealingLR", (157, 0.05))
ax.annotate("lrlib, CosineAnnealing", (190, 0.005), color=blue)
ax.set(xlabel="step", ylabel="applied rate", ylim=(-0.004, 0.105))
ax.set_title("It does not restart: it climbs back the way it came")
figures.show(
    "Applied rate over 250 steps with T_max of 100. Both fall along a cosine to zero "
    "at step 100. torch's then climbs smoothly back to its peak at step 200; lrlib's "
    "stays at zero."
)

# %% [markdown]
# ## The decision
#
# - *A constant rate fits everything* (training loss near 0.001): a schedule only insures against too high a peak (Depth).
# - *The length is known*: a line to zero, its peak swept: on MNIST-1D three to seven times the constant rate's best, on text twice.
# - *It is open* (to stop at step $s$, cool down for $s/4$ more), or short, as on text: a constant rate, two to three times as high as
#   its own best, and a cooldown.
# - *It has to be a cosine*: `T_max` = all optimizer steps, stepped after each.
#
# ## In your own code
#
# A short warm-up (chapter 8), then the line; with `fall = total_steps // 5`, the cooldown.

# %%
data = lab.load_mnist1d().draw(seed=0)
examples = torch.utils.data.TensorDataset(data.train_x, data.train_y)
loader = torch.utils.data.DataLoader(examples, batch_size=16, shuffle=True)


def make_model():
    first, last = torch.nn.Linear(40, 100), torch.nn.Linear(100, 10)
    return torch.nn.Sequential(first, torch.nn.ReLU(), last)


# %%
epochs, peak_lr = 2, 0.057
total_steps = epochs * len(loader)  # the optimizer's steps (accumulation: see Pitfalls)
warmup = total_steps // 20
fall = total_steps - warmup


def factor(step):
    rise = (step + 1) / (warmup + 1)
    return max(0, min(rise, 1, (total_steps - step) / fall))  # 0 past the end


model = make_model()
optimizer = torch.optim.SGD(model.parameters(), lr=peak_lr, momentum=0.9)
scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
for _ in range(epochs):
    for x, y in loader:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        scheduler.step()  # once per update
with torch.no_grad():
    wrong = (model(data.test_x).argmax(1) != data.test_y).float().mean()
print(f"{total_steps} steps, test error {wrong:.0%}")

# %% [markdown]
# With `lrlib` the shape is put together from its parts, and the last line says whether it is what was applied. For the cooldown
# write `.then(Constant(total_iters=hold)).then(PolynomialDecay(fall))`, with `hold = total_steps - warmup - fall`.

# %%
rise = Warmup(warmup, start_factor=1 / (warmup + 1))
shape = rise.then(PolynomialDecay(fall))
model = make_model()
optimizer = torch.optim.SGD(model.parameters(), lr=peak_lr, momentum=0.9)
scheduler, trace = ScheduledLR(optimizer, shape), LRTrace(optimizer)
for _ in range(epochs):
    for x, y in loader:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        scheduler.step()
trace.assert_matches(shape, peak=peak_lr)

# %% [markdown]
# ## Depth
#
# Each part stands on its own, folded under a heading that says what it finds.

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ### Does it carry? Nine shapes in six recorded experiments

# %% [markdown]
# Longer runs than a chapter can hold were trained once (`make record` trains them again, on their own seeds and data
# draws): an MLP on 3,000 images of digits, clean, with a fifth of the labels wrong, and, too small to fit, on the
# images shifted by up to a pixel; a convolutional network on the clean images; and a transformer of
# 116,000 parameters on the prose of Python's documentation, character by character, for 800 steps of AdamW after
# 40 of warm-up. Nine shapes, four to six peaks each; every number is judged at the peak that the other seeds choose.

# %% jupyter={"source_hidden": true} tags=["hide-input"]

NAMES = ("mlp_clean", "mlp_noisy", "mlp_shifted", "convnet", "transformer")
NAMES += ("mnist1d_long",)
CARRY = {name: lab.recorded(name) for name in NAMES}
cells = {}
for name, runs in CARRY.items():
    by = NATS if name == "transformer" else ERROR
    judged, _ = runs.judged(*by)
    digits = 3 if by is NATS else 2
    for shape in runs.schedules:
        if shape == "constant":
            mean = judged[shape].mean() * (1 if by is NATS else 100)
            cells[shape, name] = f"{mean:.{digits}f}"
        else:
            e = runs.compare(shape, "constant", *by)
            half = (e.high - e.low) / 2
            cells[shape, name] = f"{e.effect:+.{digits}f} ±{half:.{digits}f}"
print(f"{'':15}", *(f"{name:>13}" for name in NAMES))
for shape in CARRY["convnet"].schedules:
    print(f"{shape:15}", *(f"{cells[shape, name]:>13}" for name in NAMES))
print("Constant rate: test error, % (transformer: nats). Others: less the constant.")

# %% [markdown]
# Where the MLP fits its images, no shape is ahead of the constant rate by what matters (half a point); six seeds of the
# convolutional network cannot exclude it for all. Where it cannot fit them, every decay gains, and none
# stands out. On text, far from fitted, the shapes part: the cooldowns lead, and the
# cosine is level with the constant rate and behind the line. One drop, behind the line on MNIST-1D, is ahead of
# it here. Cooldowns over 10, 20 and 40 % are close together. A ranking of decays is a property of the task and of the length of its run.

# %%
rows = []
for name, runs in CARRY.items():
    by, unit = (NATS, "nats") if name == "transformer" else (ERROR, "points")
    line = runs.compare("cosine", "linear", *by)
    rows.append(lab.measure(f"{name} (recorded): cosine less line", line, unit=unit))
lab.claims(rows)

# %% [markdown]
# The fitted images can be trained here and now as well, on fresh draws and fewer seeds:

# %%
live_shapes = {"constant": Constant(), "linear": PolynomialDecay(1400)}
lowest = {"constant": 0.07, "linear": 0.1}  # the valley is flat: seven peaks
live_grids = {name: low * 2 ** (np.arange(7) / 2) for name, low in lowest.items()}
live = lab.sweep(
    images, live_shapes, live_grids, lab.seeds(8), steps=1400, batch_size=64
)
live_tie = live.compare("constant", "linear")
lab.measure("fitted (live): constant less line", live_tie, unit="points")

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ### Vary the length: at none of three does another shape lead the line

# %% [markdown]
# The book's underfit network for a quarter of the path's steps, and (recorded) for four times as many; again each shape at its own peak.

# %%
QUARTER = T // 4
few = {name: SHAPES[name](QUARTER) for name in ("constant", "linear", "cosine")}
few["cooldown"] = SHAPES["cooldown"](QUARTER)
middles = {"constant": 0.024, "linear": 0.057, "cosine": 0.057, "cooldown": 0.034}
grid = {name: middle * 2 ** (np.arange(-3, 3) / 2) for name, middle in middles.items()}
short = lab.sweep(task, few, grid, lab.seeds(10), steps=QUARTER, batch_size=16)
by_length = {QUARTER: short, 4 * T: long}
rows = []
for steps, runs in by_length.items():
    peaks = runs.best_peaks()
    print(f"{steps} steps, best peaks: line {peaks['linear']:.3g}", end=", ")
    print(f"constant {peaks['constant']:.3g}")
    for name in ("constant", "cosine", "cooldown"):
        shape = "cooldown 20 %" if (name, runs) == ("cooldown", long) else name
        gap = runs.compare(shape, "linear")
        rows.append(lab.measure(f"{steps} steps: {name} less line", gap, **points))
lab.claims(rows)

# %% [markdown]
# At a quarter, at the whole and at four times the length the constant rate is 7.1, 7.3 and 8.0 points behind the line, the
# cosine 0.9, 2.0 and 0.6, the cooldown 1.1, 0.6 and 1.7. That a cosine suffers where steps are few is not what this shows: its loss is largest
# in the middle, and at 8,000 steps undecided. The best peak of the line is three, five and seven times the constant rate's.

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ### The mistake with epochs still costs five points at a peak of its own

# %% [markdown]
# The path's mistaken run had the peak of the right one, and ended on top of a tooth. Here it is given its own best peak, and
# another end: shifted by half a tooth, it ends at the bottom of one.

# %%
teeth = {"top": PerBatch(8), "bottom": PerBatch(8, shift=8)}
grid = 0.048 * 2 ** (np.arange(-2, 3) / 2)
both_ends = pair.joined(lab.sweep(task, teeth, grid, lab.seeds(8), **settings))
costs = {
    f"T_max=8, tuned, ends at the {end} of a tooth": both_ends.compare(end, "cosine")
    for end in teeth
} | {"a constant rate, tuned": five.compare("constant", "cosine")}
lab.claims(
    [lab.measure(f"{name}: less cosine", e, **points) for name, e in costs.items()]
)

# %% [markdown]
# With its own peak it costs 5.2 points [3.8, 6.7] if it ends on top, and 6.0 [4.5, 7.4] if it ends at the bottom, about what
# a constant rate costs, 5.6 [4.6, 6.5]. So the last step is not to blame. A low rate for eight steps at a time is no decay.

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ### On fitted images, twice the best peak costs a constant rate more than a line

# %% [markdown]
# Level at their best peaks, the shapes part when the peak is too high. On the fitted images, the error of four
# shapes over their peak, in units of each one's best:

# %% jupyter={"source_hidden": true} tags=["hide-input"]

fig, ax = plt.subplots(figsize=(7.6, 3.2))
for name in ("constant", "cooldown 20 %", "linear", "cosine"):
    i = clean.schedules.index(name)
    x, error = (
        clean.peaks[i] / clean.best_peaks()[name],
        100 * clean.at("test_error")[i],
    )
    style = figures.look("cooldown" if "cooldown" in name else name) | {"label": name}
    style["marker"] = {"constant": "o", "linear": "^", "cosine": "D"}.get(name, "s")
    ax.errorbar(x, error.mean(-1), yerr=lab.half_interval(error), **style)
ax.legend(loc="upper left")
ax.set(xscale="log", xlabel="peak over the shape's own best peak", xlim=(0.34, 3.1))
ax.set(ylabel="test error (%)", ylim=(5.5, 9.6))
ax.set_xticks([0.5, 1, 2], ["½", "1", "2"])
ax.minorticks_off()
ax.set_title(
    "Level at their best peaks; at twice the best, the constant rate pays most"
)
figures.show(
    "Test error over the peak, in units of each shape's own best, on fitted images. A "
    "constant rate, a cooldown and a line have one flat valley near 6 percent; at "
    "twice the best peak the constant rate is at 8.6, the cooldown at 7.2, the line "
    "at 6.7."
)


# %%
def cost_of_twice(runs, name):
    """Test error at twice the shape's best peak less that at the best, in points."""
    i = runs.schedules.index(name)
    best = int(np.argmin(abs(runs.peaks[i] - runs.best_peaks()[name])))
    error = 100 * runs.at("test_error")[i]
    return error[best + 2] - error[best]  # the grid's steps are a factor of √2


more = cost_of_twice(clean, "constant") - cost_of_twice(clean, "linear")
text_ = "fitted (recorded): what twice the best peak costs a constant rate, less a line"
lab.claim(text_, more, above=0, unit="points")

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ### Two halves of a cosine, and an upper bound beside them

# %% [markdown]
# The bends can be tested one at a time. Keep the slow start and arrive at full speed: a quarter of a wave,
# $\cos(\pi t/2T)$. Or leave at full speed and keep the slow arrival: $1-\sin(\pi t/2T)$. With the line and the
# cosine they make a square. (Their areas differ: 0.64 for the slow start alone, 0.36 for the slow arrival alone, 0.50
# for the other two, so the square cannot tell the arrival from what it takes the place of.)


# %%
@dataclass(frozen=True)
class LeaveSlowly(Schedule):
    T: int

    @property
    def length(self):
        return self.T

    def formula(self, step):
        return math.cos(math.pi * step / (2 * self.T))


@dataclass(frozen=True)
class ArriveSlowly(LeaveSlowly):  # the same length, another formula
    def formula(self, step):
        return 1 - math.sin(math.pi * step / (2 * self.T))


halves = {"leave slowly": LeaveSlowly(T), "arrive slowly": ArriveSlowly(T)}
grid = {"leave slowly": 0.068, "arrive slowly": 0.08}
grid = {name: middle * 2 ** (np.arange(-2, 3) / 2) for name, middle in grid.items()}
square = lengths.joined(lab.sweep(task, halves, grid, lab.seeds(8), **settings))

# %%
lab.claims(
    [
        lab.measure(
            "a slow arrival after a fast start, cost",
            square.compare("arrive slowly", "linear"),
            unit="points",
        ),
        lab.measure(
            "a slow arrival after a slow start, cost",
            square.compare("cosine", "leave slowly"),
            unit="points",
        ),
        lab.measure(
            "a slow start before a fast arrival, cost",
            square.compare("leave slowly", "linear"),
            unit="points",
        ),
    ]
)

# %% [markdown]
# Replacing a fast arrival by a slow one, with the area that goes with it, cost two to four points; a slow start showed no
# cost. **A theorem.** Let $f$ be convex, $x_1$ at distance $D$ from a minimum, and $x_{t+1}=x_t-\eta_t g_t$ with unbiased
# subgradients, $\mathbb E\|g_t\|^2\le G^2$ and all $\eta_t>0$. Then the *last* iterate satisfies (Defazio et al. 2023, Schaipp
# et al. 2025) $\mathbb E f(x_T)-f^*\le$
#
# $$\frac{D^2 + G^2\sum_t\eta_t^2}{2\sum_t\eta_t} + \frac{G^2}{2}\sum_{k<T}\frac{\eta_k}{\sum_{t>k}\eta_t}\cdot
# \frac{\sum_{t\ge k}\eta_t^2}{\sum_{t\ge k}\eta_t}.$$
#
# With the peak chosen best it is a number for each shape, times $DG/\sqrt T$. It is an upper bound, and a loose one: for the
# line it gives 2 where 1 can be proved (Zamani and Glineur 2023, without noise), and the network has momentum and is not convex. Its order
# is a suggestion:


# %%
def last_iterate_bound(factors):
    """The bound at its best peak, over D G / sqrt(T)."""
    T, factors = len(factors), np.trim_zeros(factors, "b")  # no step, no change
    squares, tail = factors**2, np.cumsum(factors[::-1])[::-1]
    square_tail = np.cumsum(squares[::-1])[::-1]
    later = (factors[:-1] / tail[1:]) @ (square_tail[:-1] / tail[:-1])
    distance, noise = 1 / (2 * tail[0]), square_tail[0] / (2 * tail[0]) + later / 2
    return 2 * math.sqrt(distance * noise * T)


every = shapes | halves | others
bounds = {name: last_iterate_bound(shape.sample(T)) for name, shape in every.items()}
everyone = square.joined(rest)
judged, _ = everyone.judged(schedules=list(every))
print(f"{'shape':20} bound   measured test error (%)")
for name in sorted(every, key=bounds.get):
    print(f"{name:20} {bounds[name]:.3f}   {100 * judged[name].mean():.1f}")

# %%
order = [bounds[name] for name in ("linear", "leave slowly", "cosine", "arrive slowly")]
lab.claim(
    "the bound: least step from one of the four to the next",
    min(np.diff(order)),
    above=0,
)

# %% [markdown]
# Of the four in the square it puts the two that arrive fast first, then the cosine, then the slow arrival alone, as the
# network does. *Where it fails*: it puts the cooldown behind the cosine, and the plan of 1.5 T level with one drop, and the
# network has both in front. The bound guards against the worst convex loss, which this network is not.

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ### The final factor: a tenth did no harm in the recorded runs, and costs a fifth on the long quadratic

# %% tags=["nbval-check-output"]
lengths_ = (100, 200, 300, 500, 1000)
floors, plans_ = (0.0, 0.01, 0.03, 0.1, 0.3), (0.75, 1.25, 1.5, 2)
table = {
    f"cosine to {f:g}": [problem.score(CosineAnnealing(n, f), n) for n in lengths_]
    for f in floors
} | {
    f"plan of {x:g} T": [
        problem.score(CosineAnnealing(int(x * n)), n) for n in lengths_
    ]
    for x in plans_
}
print(f"{'quadratic, steps':17}", *(f"{n:7}" for n in lengths_))
for name, row in table.items():
    print(f"{name:17}", *(f"{x:7.2f}" for x in row))

# %% [markdown]
# The best final factor on the quadratic is at least 0.3 at 100 steps, where area is short, 0.1 at 200, and 0.03 from 300 on; at 1,000
# steps a tenth costs a fifth of the loss, and 0.03 gains 6 %. In the recorded experiments, a cosine to a tenth less a
# cosine to zero:

# %%
lab.claims(
    [
        lab.measure(
            f"{name} (recorded): to a tenth less to zero",
            runs.compare("cosine to 10 %", "cosine", *by),
            unit="nats" if by is NATS else "points",
        )
        for name, runs in CARRY.items()
        for by in [NATS if name == "transformer" else ERROR]
    ]
)

# %% [markdown]
# On images no difference shows that would matter; on text, where steps are few, the tenth is better by 0.030 nats [0.021, 0.038], as
# on the short quadratic. Bergsma et al. (2025) find a tenth costly for language models, with linear decay and far more steps.

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ### On the quadratic a longer plan helps short runs and hurts long ones

# %% [markdown]
# The lower half of the table above: at 100 steps a plan of 2 T, cut off in the middle, beats the cosine that fits by far, for the
# area; at 1,000 it more than doubles the loss, for the noise that is still on. Where your run stands between the two
# is what the path's measurement cannot tell you.

# %%
plan_2 = np.array(table["plan of 2 T"]) / table["cosine to 0"]
lab.claims(
    [
        lab.claim(
            "quadratic, 100 steps: plan of 2 T over one that fits", plan_2[0], below=1
        ),
        lab.claim(
            "quadratic, 1,000 steps: plan of 2 T over one that fits",
            plan_2[-1],
            above=2,
        ),
    ]
)

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ### Pitfalls: an `eta_min` for all groups, and steps you did not plan

# %% [markdown]
# `eta_min=0.01` with groups at 0.1 and 0.001 sends the second one *up* tenfold, and PyTorch accepts it; a `min_factor`
# above 1 is refused.

# %%
weights = [torch.zeros(1, requires_grad=True) for _ in range(2)]
rates = (0.1, 0.001)
groups = [{"params": [w], "lr": lr} for w, lr in zip(weights, rates, strict=True)]
optimizer = torch.optim.SGD(groups)
scheduler, trace = CosineAnnealingLR(optimizer, 100, eta_min=0.01), LRTrace(optimizer)
for _ in range(101):
    optimizer.step()
    scheduler.step()
print("first and last rates of the groups:", trace.lr[0], trace.lr[-1])

# %% [markdown]
# With gradient accumulation an epoch has `math.ceil(len(loader) / k)` updates if the loop steps on the last, partial group
# (Hugging Face's Trainer does), `len(loader) // k` if it drops it. `epochs * len(loader) // k` is neither: it plans whole groups across
# epochs. Count what your loop does, or let the trace tell: `trace.assert_matches(shape, peak)`.

# %%
for batches, k in ((250, 4), (251, 4), (255, 4)):
    planned = 8 * batches // k
    print(f"{batches} batches: planned {planned}, made {8 * math.ceil(batches / k)}")

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ### Folklore, with verdicts

# %% [markdown]
# - *"`CosineAnnealingLR` restarts at `T_max`."* No: it climbs back smoothly, with period $2T_\max$, as the path's last figure shows. So does
#   the transformers library's cosine with half a cycle, $\max(0,\frac12(1+\cos\pi x))$, for a share $x>1$ of the steps. Off by one is
#   harmless (1 % past the end the factor is 0.0002); half as many steps again is half of the peak.
# - *"Cosine beats step decay."* On the underfit network one drop less cosine is undecided, 0.65 points [−0.28, 1.59]; on text one drop was
#   ahead, by 0.058 nats [0.052, 0.065], and on the recorded images no difference shows.
# - *"Linear to zero is provably optimal."* For the worst convex loss with bounded gradients. The quadratic of 1,000 steps above prefers
#   the cosine, and in the three experiments on images the cooldown is level with it.
# - *"Decay works by settling into a better minimum."* Not needed: in the exact case of 1,000 steps there is one minimum, and
#   decay cuts the loss to a quarter.
#
# Equality with torch, and with the formula, is checked in `tests/test_cosine_annealing.py`.

# %%
drop = five.compare("one drop", "cosine")
lab.measure("underfit: one drop less cosine", drop, unit="points")

# %% [markdown]
# ## Exercises
#
# In `exercises/04_cosine_annealing/`; the core is 1 to 3, 45 minutes.
#
# 1. The cosine from its formula (10 minutes). 2. How long a shape stays high (15). 3. What is wrong with this
#    comparison? (20). 4. Open: a thousand steps more (30).
#
# ## References
#
# - S. Bergsma, N. Dey, G. Gosal, G. Gray, D. Soboleva, J. Hestness (2025). *Straight to zero: why linearly decaying
#   the learning rate to zero works best for LLMs.* ICLR.
# - A. Defazio, A. Cutkosky, H. Mehta, K. Mishchenko (2023). *Optimal linear decay learning rate schedules and further
#   refinements.* arXiv:2310.07831.
# - J. Hoffmann et al. (2022). *Training compute-optimal large language models.* NeurIPS.
# - I. Loshchilov, F. Hutter (2017). *SGDR: stochastic gradient descent with warm restarts.* ICLR. (Equation 5.)
# - M. Zamani, F. Glineur (2023). *Exact convergence rate of the last iterate in subgradient methods.* arXiv:2307.11134.
# - F. Schaipp, A. Hägele, A. Taylor, U. Simsekli, F. Bach (2025). *The surprising agreement between convex
#   optimization theory and learning-rate scheduling for large model training.* ICML.
