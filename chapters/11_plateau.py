# %% [markdown]
# # 11 · Plateau
#
# The path, down to *Depth*: 10 minutes. All: 50 minutes. The exercises: 45 minutes for the core, 75 minutes for all. You need
# chapters 1 and 2, or this much: a schedule is a *shape*, a function from the optimizer step to a factor; the learning rate is
# its *peak* times the factor.

# %% [markdown]
# **In short.** TODO

# %% jupyter={"source_hidden": true} tags=["hide-input"]
import math
import warnings

import matplotlib.pyplot as plt
import numpy as np
import torch
from lrlib import (
    Constant,
    LRTrace,
    MultiStepDecay,
    PlateauLR,
    PlateauRule,
    PolynomialDecay,
    Warmup,
    false_drop_probability,
    lab,
    patience_needed,
    plateau_delay,
)
from lrlib.lab import figures
from scipy.stats import norm

figures.use_style()
ReduceLROnPlateau = torch.optim.lr_scheduler.ReduceLROnPlateau
ORANGE, GREEN = figures.look("step")["color"], figures.look("linear")["color"]
BLUE = figures.look("cosine")["color"]

# %% [markdown]
# ## The loss was falling, and the rate was cut to nothing
#
# "Lower the rate when the loss stops falling." Here torch's rule does that on the book's underfit network (MNIST-1D, 4,000 signals drawn by each
# seed, 2,000 steps of SGD with momentum 0.9, batches of 16): every 20 steps it looks at the loss on 100 held-out signals, and after more
# than three *bad* evaluations in a row, none below the best so far, it divides the rate by ten.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
task, T, every, seeds = lab.mnist1d_task(), 2000, 20, lab.seeds(14)
settings = {"steps": T, "batch_size": 16}


def plateau(patience, examples, **rule):
    """torch's rule with this patience, told the loss on so many validation examples."""
    return lab.Watched(
        lambda: PlateauRule(patience=patience, **rule), examples=examples
    )


arms = {
    f"patience {patience}, {n:,} examples": plateau(patience, n)
    for patience in (3, 10)
    for n in (100, 1000)
}
grid = 0.012 * 2.0 ** np.arange(4)
ruled = lab.watch(task, arms, grid, seeds, every=every, **settings)
left_alone = {f"{n:,} examples": plateau(10**6, n) for n in (100, 1000)}
alone = lab.watch(task, left_alone, [0.024], seeds, every=every, **settings)

# %% jupyter={"source_hidden": true} tags=["hide-input"]
at = ruled.heard_at
fig, (top, bottom) = plt.subplots(2, 1, sharex=True, height_ratios=(1.5, 1))
top.plot(at, alone.heard[0, 0, 0], color="0.55", linewidth=1)
top.plot(at, ruled.heard[0, 1, 0], color=ORANGE, linewidth=1.6)
for rates in ruled.lr[0, 1]:
    bottom.step(np.arange(T), rates, color=ORANGE, linewidth=1, alpha=0.7)
bottom.axhline(0.024, color="0.55", linewidth=1)
top.set(ylabel="loss on 100 examples (nats)")
bottom.set(yscale="log", ylim=(1e-9, 0.2), xlabel="step", ylabel="applied rate")
top.annotate("the same run at a constant rate", (1010, 1.38), color="0.4")
top.annotate("under the rule (one seed)", (900, 1.78), color=ORANGE)
bottom.annotate("all seeds", (1150, 1e-4), color=ORANGE)
top.set_title("No plateau anywhere, and the rate is gone by the middle of the run")
figures.show(
    "Above, the validation loss of one seed over 2,000 steps: at a constant rate it keeps "
    "falling, noisily; under the rule it freezes early. Below, the applied rates of all "
    "seeds on a log axis: each falls by factors of ten, beginning near step 400, and "
    "most are below a thousandth of the peak by step 1,000."
)

# %% jupyter={"source_hidden": true} tags=["hide-input"]
def median_step(level):
    """When the rate was first at or below a share of its peak; T for never."""
    there = ruled.factors[0, 1] < 1.01 * level
    return np.median(np.where(there.any(-1), at[there.argmax(-1)], T))


print(f"median step of the first drop {median_step(0.1):g}, second {median_step(0.01):g}")
cost = 100 * (ruled.at("test_error")[0, 1] - alone.at("test_error")[0, 0])
lab.claim(
    "patience 3: cost in test error against leaving the rate alone",
    cost,
    above=task.margin.points,
    unit="points",
)

# %% [markdown]
# TODO why
#
# ## A lucky draw sets the bar

# %% jupyter={"source_hidden": true} tags=["hide-input"]
n, slope = 90, 0.12
rng = np.random.default_rng(4)  # a sketch: drawn, not measured
line = -slope * np.arange(n)
drawn = line + rng.standard_normal(n)
best = np.minimum.accumulate(drawn)
records = np.flatnonzero(np.diff(best, prepend=np.inf))
ends = np.append(records[1:], n)
longest = int(np.argmax(ends - records))
start, end = records[longest], ends[longest]
fig, ax = plt.subplots(figsize=(7.6, 3.4))
ax.plot(line, color="0.6", linewidth=1)
ax.plot(drawn, "o", color="0.55", markersize=3)
ax.step(np.arange(n), best, where="post", color=ORANGE)
ax.plot(records, drawn[records], "o", color=ORANGE, markersize=6)
ax.plot([start, end], [drawn[start] - 0.6] * 2, color="black", linewidth=1.4)
text = f"{end - start - 1} evaluations, none below"
ax.annotate(text, ((start + end) / 2, drawn[start] - 1.4), ha="center")
ax.annotate("what the loss is on average", (3, 0.9), color="0.4")
ax.set(xlabel="evaluation", ylabel="loss (in σ of its noise)")
ax.set_title("The best so far is luck; the loss has to fall that far to beat it")
figures.show(
    "A sketch. Points scatter about a line that falls evenly. A staircase follows the "
    "best so far, which lies two or three standard deviations below the line. After one "
    "lucky point no other is lower for many evaluations, though the line falls all the "
    "time."
)

# %% [markdown]
# TODO formula

# %%
def plateau_rule(losses, patience, factor=0.1):
    best, bad, level, levels = math.inf, 0, 1.0, []
    for loss in losses:
        bad = 0 if loss < best else bad + 1
        best = min(best, loss)
        if bad > patience:
            level, bad = level * factor, 0
        levels.append(level)
    return levels


print(plateau_rule([1.0, 0.8, 0.9, 0.8, 0.85, 0.7], patience=2))

# %% jupyter={"source_hidden": true} tags=["hide-input"]
def overshoot(ratio):
    """x with ψ(x) = φ(x) − x Q(x) equal to `ratio`, by bisection."""
    low, high = -20.0, 20.0
    for _ in range(60):
        x = (low + high) / 2
        low, high = (x, high) if norm.pdf(x) - x * norm.sf(x) > ratio else (low, x)
    return x


def formula(ratio, evaluations, p=0.05):
    return (norm.isf(p / evaluations) - overshoot(ratio)) / ratio


ratios, lengths = (0.3, 0.1, 0.03, 0.01), (100, 300)
print("patience for one false drop in twenty runs: exact (formula)")
print(f"{'δ/σ':>6}", *(f"{f'{n} evaluations':>18}" for n in lengths))
for ratio in ratios:
    row = (f"{patience_needed(ratio, n)} ({formula(ratio, n):.0f})" for n in lengths)
    print(f"{ratio:6}", *(f"{cell:>18}" for cell in row))

# %% jupyter={"source_hidden": true} tags=["hide-input"]
fig, ax = plt.subplots(figsize=(7.6, 3.3))
rng = np.random.default_rng(0)
walks = rng.standard_normal((1000, 300))
for ratio, color in zip(ratios, figures.shades(4), strict=True):
    up_to = int(1.3 * formula(ratio, 300))
    x = np.unique(np.geomspace(1, up_to, 14).astype(int))
    ax.plot(x, [false_drop_probability(int(p), ratio, 300) for p in x], color=color)
    best = np.minimum.accumulate(walks - ratio * np.arange(300), axis=1)
    waits = np.diff(best, prepend=np.inf, axis=1) < 0
    longest = [np.diff(np.append(np.flatnonzero(w), 300)).max() - 1 for w in waits]
    ax.plot(x, [(np.array(longest) > p).mean() for p in x], ".", color=color)
    ax.plot([formula(ratio, 300)], [0.05], "v", color=color, markersize=9)
    middle = formula(ratio, 300, 0.5)
    ax.annotate(f"δ = {ratio:g} σ", (1.04 * middle, 0.52), color=color, fontsize=9.5)
ax.set(xscale="log", xlabel="patience (evaluations)", ylabel="P(false drop)")
ax.set_xticks([1, 3, 10, 30, 100], ["1", "3", "10", "30", "100"])
ax.set_title("Over 300 evaluations: from certain to rare within a factor of two or three")
figures.show(
    "Probability of at least one false drop in 300 evaluations over the patience, on a "
    "log axis, for a loss that falls by 0.3, 0.1, 0.03 and 0.01 standard deviations of "
    "its noise per evaluation. Each curve falls from 1 to 0, near patience 9, 20, 45 and "
    "90; simulated points lie on the curves, and a triangle at the formula's 5 percent."
)

# %% [markdown]
# ## What the network's σ and δ are

# %% jupyter={"source_hidden": true} tags=["hide-input"]
quarters = np.array_split(np.arange(len(at)), 4)


def falls_and_noise(heard):
    """δ (one number) and σ (one for each seed) of losses (seeds, evaluations)."""
    x = np.arange(heard.shape[-1])
    bend = np.polyfit(x, heard.T, 2)
    left = heard - (bend[0, :, None] * x**2 + bend[1, :, None] * x + bend[2, :, None])
    sigma = np.sqrt((left**2).sum(-1) / (len(x) - 3))
    return -np.polyfit(x, heard.mean(0), 1)[0], sigma


print("           δ of the mean   σ, 100 ex.   σ, 1,000   σ/δ (1,000)   patience needed")
for quarter in quarters:
    (_, few), (delta, many) = (falls_and_noise(h[:, quarter]) for h in alone.heard[:, 0])
    ratio = max(delta, 1e-4) / many.mean()
    need = patience_needed(ratio, 25, 0.5)
    steps = f"{at[quarter[0]]}–{at[quarter[-1]]}"
    print(f"{steps:12}{delta:12.4f}{few.mean():13.3f}{many.mean():11.3f}"
          f"{1 / ratio:14.1f}{need:18}")
noise = [falls_and_noise(h[:, 25:])[1] for h in alone.heard[:, 0]]
lab.claim(
    "σ with 100 validation examples over σ with 1,000",
    noise[0] / noise[1],
    below=2,
    scale="ratio",
)

# %% jupyter={"source_hidden": true} tags=["hide-input"]
def first_drops(heard, patience):
    """The step of the first drop of each run, T + 1 for none."""
    found = []
    for losses in heard:
        rule = PlateauRule(patience=patience)
        fell = [rule.observe(loss) for loss in losses]
        found.append(every * (fell.index(True) + 1) if any(fell) else T + 1)
    return np.array(found)


fig, ax = plt.subplots(figsize=(7.6, 3.2))
x = np.arange(0, 36)
for name, heard, color in zip(alone.schedules, alone.heard[:, 0], (ORANGE, BLUE), strict=True):
    steps = np.array([first_drops(heard, int(p)) for p in x]).T
    figures.band(ax, x, steps, color=color, label=name)
ax.set(xlabel="patience (evaluations, one every 20 steps)", ylabel="step of the first drop")
ax.legend()
figures.show("todo")

# %% jupyter={"source_hidden": true} tags=["hide-input"]
planned = {
    "constant": Constant(),
    "one drop": MultiStepDecay([1600]),
    "linear": PolynomialDecay(T),
}
grids = {name: 2 * grid for name in planned} | {"constant": grid}
plans = lab.sweep(task, planned, grids, seeds, **settings)
under = plans.joined(ruled)
images, T_images = lab.images_task(hidden=(64,)), 1400
of_images = {"steps": T_images, "batch_size": 64}
arms = {f"patience {p}": plateau(p, 500) for p in (1, 10)}
grid_images = 0.07 * 2.0 ** np.arange(4)
fitted = lab.sweep(
    images,
    {"constant": Constant(), "linear": PolynomialDecay(T_images)},
    grid_images,
    lab.seeds(8),
    **of_images,
).joined(lab.watch(images, arms, grid_images, lab.seeds(8), every=28, **of_images))

# %%
for r in (under, fitted):
    print(r.best_peaks())
    j, _ = r.judged()
    print({k: round(100*v.mean(),2) for k,v in j.items()})
    for i,n in enumerate(r.schedules): print(n, r.peaks[i], (100*r.at("test_error")[i].mean(-1)).round(2))
rows=[lab.measure(f"{n} less linear", under.compare(n,"linear"),unit="points") for n in under.schedules if n!="linear"]
rows+=[lab.measure(f"{n} less constant", under.compare(n,"constant"),unit="points") for n in under.schedules if n!="constant"]
rows+=[lab.measure(f"img {n} less linear", fitted.compare(n,"linear"),unit="points") for n in fitted.schedules if n!="linear"]
rows+=[lab.measure(f"img {n} less constant", fitted.compare(n,"constant"),unit="points") for n in fitted.schedules if n!="constant"]
lab.claims(rows)
