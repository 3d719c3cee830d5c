# %% [markdown]
# # 15 · Choosing
#
# The path, down to *Depth*: 10 minutes. All: 45 minutes. The exercises: 45 minutes for the core (1 to 3), 80 minutes for all. You need
# chapters 1 to 4, or this much: a schedule is a *shape*, a function from the optimizer step $t$ to a factor; the
# learning rate is its *peak* times the factor.

# %% [markdown]
# **In short.** Give every shape its own peak before you compare. On fourteen small tasks, twelve runs each, *hold the rate and cool
# down over the last fifth* ended 0.35 margins behind the best [−0.15, 0.86], *hold and average* 0.57 [0.14, 1.01], a line 1.1 [0.4, 1.8], a
# fixed rate and early falls 2.5 and more. Where a branch at a tenth of the rate ends no lower, decay has little to give. With the
# peak known to a factor of four, half of the variance is the seed's.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
import math
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import torch
from lrlib import Constant, LRTrace, PolynomialDecay, ScheduledLR, lab, recipes
from lrlib.lab import figures
from lrlib.lab.folklore import folklore
from scipy import stats

figures.use_style()
league = lab.league.recorded("league")
NAMES, TASKS = list(league.recipes), list(league.tasks)

# %% jupyter={"source_hidden": true} tags=["hide-input"]
KIND = {"fixed": "constant", "30/60/90": "step", "cosine to 10 %": "cosine"}
KIND |= {"restarts": "warm restarts", "inverse root": "inverse square root"}
KIND |= {f"WSD {share} %": "cooldown" for share in (10, 20, 40)}
COLORS = {"average": "#B5179E", "plateau": "#7A7A00"}
for name in NAMES:
    kind = KIND.get(name, name)
    own = figures.SCHEDULES.get(kind, {"color": "0.35"})["color"]
    COLORS.setdefault(name, own)

# %% [markdown]
# ## The worst of fifteen, until it gets a rate of its own
#
# Many tutorials compare schedules by one run each, no rate tuned (the best known: Zhang et al., section 12.11). Do the same: you
# have a rate that works, and try fifteen recipes with it on one small network (MNIST-1D, 600 steps). Then let twelve runs find
# each recipe a peak of its own.


# %% jupyter={"source_hidden": true} tags=["hide-input"]
def at_one_rate(entry):
    """Every recipe at the peak that one seed's twelve runs give the fixed rate."""
    val, test = entry.numbers("val"), entry.numbers("test")
    peaks, fixed, results = entry.results.peaks, NAMES.index("fixed"), []
    for seed in range(val.shape[-1]):
        peak = peaks[fixed, val[fixed, :, seed].argmin()]
        nearest = abs(np.log(peaks / peak)).argmin(1)
        others = np.delete(test, seed, axis=-1)
        results.append(others[np.arange(len(NAMES)), nearest].mean(-1))
    return np.mean(results, axis=0)


FIRST = TASKS[0]
entry, regret = league.entries[FIRST], league.regret()
alike = at_one_rate(entry)
tuned = regret.score[TASKS.index(FIRST)]

# %% jupyter={"source_hidden": true} tags=["hide-input"]
fig, ax = plt.subplots(figsize=(7.6, 4.2))
TOLD = ("exponential", "fixed", "linear", "average")
for name, *ends_ in zip(NAMES, alike, tuned, strict=True):
    told = name in TOLD
    style = {"color": COLORS[name] if told else "0.6", "linewidth": 2.6 if told else 1}
    ax.plot([0, 1], ends_, "o-", markersize=4, **style)
    for at, value in enumerate(ends_ if told else ()):
        side = {"ha": "left" if at else "right", "va": "center"}
        place = {"xytext": (12 * at - 6, 0), "textcoords": "offset points"}
        text = f"{name} {value:.1f}"
        ax.annotate(text, (at, value), color=COLORS[name], **place, **side)
ax.set(xlim=(-0.45, 1.5), ylabel="test error (%)")
words = [
    "all at the rate that\nsuits a fixed one",
    "each at the peak that\ntwelve runs found",
]
ax.set_xticks([0, 1], words)
ax.grid(axis="x", visible=False)
ax.set_title("At one rate for all, the comparison measures the rate")
figures.show(
    "Test error of fifteen recipes on MNIST-1D, twice. At the rate that suits a fixed "
    "one: exponential decay 64.2 %, fixed 55.6, line 54.4, average 51.0. Each at its "
    "own peak: fixed 55.6, exponential 52.7, line 50.7, average 50.0; the others lie "
    "between 50 and 55."
)

# %% [markdown]
# At one rate exponential decay is last, nine points behind a fixed rate; at its own peak it is three ahead. A peak
# that suits a rate held throughout is too low for what decays early.
#
# ## What moves the result?
#
# > **Predict.** Fifteen recipes on fourteen tasks, all runs whose peak lies within a factor of four: how much of the variance of their final
# > results is due to the peak, to the shape, to the seed? And within a factor of 45?

# %% jupyter={"source_hidden": true} tags=["hide-input"]
SPANS = {
    "a factor of 2": 3,
    "a factor of 4": 5,
    "a factor of 16": 9,
    "a factor of 45": 12,
}
shares = {known: lab.league.variance(league, span) for known, span in SPANS.items()}
apart = lab.league.seeds_apart(lab.league.recorded("league_seeds"))
DRAWN = {"data": ("#4D4D4D", "data"), "weights": ("#8C8C8C", "weights")}
DRAWN |= {"data × weights": ("#A8A8A8", "both"), "batches": ("#D0D0D0", "order")}
PARTS = {
    "peak": ("#0072B2", "peak"),
    "peak × shape": ("#7FB2D5", "both"),
    "shape": ("#D55E00", "shape"),
    "seed": ("0.72", "seed"),
}


# %% jupyter={"source_hidden": true} tags=["hide-input"]
def stacked(ax, y, parts, colors, least=0.075):
    """One bar of shares, each named and numbered where there is room."""
    start = 0.0
    for name, share in parts.items():
        color, word = colors[name]
        ax.barh(y, share, left=start, color=color, height=0.72)
        ink = "white" if color in ("#0072B2", "#D55E00", "#4D4D4D") else "black"
        text = {"ha": "center", "va": "center", "color": ink, "fontsize": 9}
        if share > least:
            ax.text(start + share / 2, y, f"{word}\n{100 * share:.0f}", **text)
        start += share


# %% jupyter={"source_hidden": true} tags=["hide-input"]
fig, (left, right) = plt.subplots(1, 2, figsize=(9.4, 3.4), width_ratios=(1.8, 1))
for y, found in enumerate(reversed(shares.values())):
    stacked(left, y, {p: found.of(p).mean() for p in PARTS}, PARTS)
left.set_yticks(range(len(SPANS)), list(reversed(SPANS)))
left.set_ylabel("peak known within")
for y, row in enumerate(apart.shares[::-1]):
    stacked(right, y, dict(zip(apart.parts, row, strict=True)), DRAWN, 0.12)
right.set_yticks(range(len(apart.tasks)), apart.tasks[::-1])
plain = {"fontsize": 9.5, "fontweight": "normal"}
left.set_title("all runs: shares of the variance (%)", **plain)
right.set_title("of it, what the seed draws (%)", **plain)
for ax in (left, right):
    ax.set(xlim=(0, 1), xticks=[])
    ax.grid(False)
title = "First find the peak; of what is left, about half is the seed"
fig.suptitle(title, x=0.01, ha="left")
figures.show(
    "Stacked bars: shares of the variance of final results. Peak known within a "
    "factor of 2: shape 36, seed 58 percent. Of 4: peak 14, both 8, shape 28, seed "
    "49. Of 16: peak 46, shape 14, seed 32. Of 45: peak 63, shape 8, seed 22. Right, "
    "what a seed draws: MNIST-1D batches 63, weights 26; images data 88; language "
    "weights 68, batches 15, data 14."
)

# %% jupyter={"source_hidden": true} tags=["hide-input"]
of_tasks = {"of": "tasks"}
blind, known = shares["a factor of 45"], shares["a factor of 4"]
more = blind.of("peak") - blind.of("shape")
rows = [
    lab.claim(
        "league (recorded), 45: peak's share less shape's", more, above=0, **of_tasks
    )
] + [
    lab.measure(f"league (recorded), 4: share of {part}", known.of(part), **of_tasks)
    for part in PARTS
]
lab.claims(rows)

# %% [markdown]
# Know the peak to a factor of four, and about half of the variance is the seed's [35, 64 %], a quarter the shape's [16, 41 %]. Know nothing, and two thirds
# are the peak's. So look for the peak first, and run more seeds before you believe a difference of shapes. Which of the seed's
# draws does it depends on the task: the batches' order, the data (on images the test set, too), the initial weights.
#
# ## The league
#
# *Regret* is how far recipe $r$ ends behind the best one on task $k$:
#
# $$R_{rk} = \frac{L_k(r) - L_k(r^*_k)}{m_k},$$
#
# with $L_k(r)$ its test result at the peak that the validation results of twelve runs chose, $r^*_k$ the recipe that is best there on other seeds (so that a regret can be negative), and $m_k$ the
# smallest difference that matters, set beforehand (2 points on MNIST-1D, 0.5 on images, 0.02 nats).


# %%
def bought(val, test):
    """What twelve runs buy: (recipes, peaks, seeds) each -> (recipes,)."""
    results = []
    for seed in range(val.shape[-1]):  # its twelve runs choose the peak ...
        peak = val[:, :, seed].argmin(1)
        others = np.delete(test, seed, axis=-1)  # ... and the others judge it
        results.append(others[np.arange(len(peak)), peak].mean(-1))
    return np.mean(results, axis=0)


by_hand = bought(entry.numbers("val"), entry.numbers("test"))
print("as the library has it:", np.allclose(by_hand, tuned))

# %% jupyter={"source_hidden": true} tags=["hide-input"]
order, far = regret.order()[::-1], 5.6


def row(ax, y, name):
    """A recipe's regrets: a dot for each task, their mean and its interval."""
    values, mean, color = regret.of(name), regret.mean(name), COLORS[name]
    dots = {"color": color, "alpha": 0.35, "markersize": 5, "mew": 0}
    ax.plot(np.minimum(values, far), [y] * len(values), "o", **dots)
    ax.plot([mean.low, min(mean.high, far)], [y, y], color=color, linewidth=2.4)
    ax.plot(min(mean.effect, far), y, "D", color=color, markersize=7)
    wins = round(regret.wins(name).effect * len(values))
    ax.text(far + 0.25, y, f"{wins} of {len(values)}", va="center", fontsize=9.5)


# %% jupyter={"source_hidden": true} tags=["hide-input"]
fig, ax = plt.subplots(figsize=(7.6, 4.9))
for y, name in enumerate(order):
    row(ax, y, name)
ax.text(far + 0.25, len(order) - 0.25, "within 1", fontsize=9.5)
ax.axvline(1, color="0.5", linewidth=1, linestyle=":")
ax.set_yticks(range(len(order)), order)
ax.set(xlim=(-2.0, far + 1.3), ylim=(-0.6, len(order) + 0.4), xticks=range(-1, 6))
ax.set(xlabel="regret (margins of the task; beyond 5.5 at the edge)")
ax.set_title("Hold late or average, and you are near the best; what falls early trails")
figures.show(
    "Mean regret of fifteen recipes over fourteen tasks, in margins, with 95 % "
    "intervals and a dot for each task. WSD 20 % 0.35, average 0.57, WSD 40 % 0.64, "
    "WSD 10 % 0.77; cosines, line and one-cycle 1.0 to 1.2, plateau 1.3, restarts "
    "1.7, step and inverse root 2.5, fixed 2.7, exponential 3.3, 30/60/90 4.0."
)

# %% jupyter={"source_hidden": true} tags=["hide-input"]
in_margins = {"unit": "margins", "of": "tasks"}
one_margin = 1.0  # a regret counts in the margins of its task
ahead = regret.between("average", "WSD 20 %")
rows = [
    lab.measure(f"league (recorded): regret of {name}", regret.of(name), **in_margins)
    for name in ("WSD 20 %", "average", "linear", "cosine", "step", "fixed")
]
rows += [
    lab.claim(
        "league (recorded): average less WSD 20 %",
        ahead,
        no_difference=one_margin,
        **in_margins,
    )
]
rows += [
    lab.measure(
        f"league (recorded): {name} less WSD 20 %",
        regret.between(name, "WSD 20 %"),
        **in_margins,
    )
    for name in ("linear", "cosine", "one-cycle", "step", "30/60/90", "fixed")
]
lab.claims(rows)

# %% [markdown]
# A cooldown over the last fifth is within a margin of the best on 11 of 14 tasks, the average on 10, the line on 8, a fixed rate on 3; between the first
# two we see no difference. Step and 30/60/90 trail the cooldown by 2.1 [0.8, 3.5] and 3.6 [1.3, 5.9]. The line does worst on a deep language (3.3), text (3.1) and the pole (2.9).
#
# ## The textbooks' defaults, each run
#
# Vision: a cosine, for transformers after a warm-up. Language: a warm-up, then a cosine. Fine-tuning: a line. Reinforcement
# learning: a line to zero (Huang et al. 2022). What does each gain on a fixed rate?

# %% jupyter={"source_hidden": true} tags=["hide-input"]
ASKED = {
    "convnet: cosine": ("convnet", "cosine"),
    "vision transformer: warm-up, cosine": ("vision transformer", "cosine"),
    "text: warm-up, cosine": ("text", "cosine"),
    "language: warm-up, cosine": ("language, hard", "cosine"),
    "fine-tuning: line": ("fine-tuning", "linear"),
}


def against_fixed(task, recipe, name="fixed"):
    """Paired over seeds, each at the peak that the other seeds choose; in margins."""
    entry = league.entries[task]
    e = entry.results.compare(recipe, name, "test", "val")
    return [x / entry.margin for x in (e.effect, e.low, e.high)]


shown = {label: against_fixed(*words) for label, words in ASKED.items()}
ppo, metrics = lab.recorded("ppo"), ("test_shortfall", "val_shortfall")
line = ppo.compare("linear", "constant", *metrics)
pole = league.entries["pole"].margin
shown["PPO: line"] = [x / pole for x in (line.effect, line.low, line.high)]
falls, _ = ppo.judged(*metrics, schedules=["constant", "linear", "cosine"])


# %% jupyter={"source_hidden": true} tags=["hide-input"]
def rows_of(left):
    for y, (label, (effect, low, high)) in enumerate(reversed(shown.items())):
        color = COLORS["linear" if "line" in label else "cosine"]
        left.plot([low, high], [y, y], color=color, linewidth=2.2)
        left.plot(effect, y, "o", color=color)
    left.axvspan(-1, 1, color="0.93", zorder=0)
    left.axvline(0, color="0.5", linewidth=1)
    left.set_yticks(range(len(shown)), list(reversed(shown)), fontsize=9)
    left.set(xlabel="less a fixed rate (margins): better ← → worse")


# %% jupyter={"source_hidden": true} tags=["hide-input"]
fig, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.2), width_ratios=(1.4, 1))
rows_of(left)
for y, (name, values) in enumerate(reversed(falls.items())):
    spread = np.linspace(-0.25, 0.25, len(values))  # for the eye
    color = COLORS[name.replace("constant", "fixed")]
    dots = {"color": color, "alpha": 0.6, "markersize": 5, "mew": 0}
    right.plot(values, y + spread, "o", **dots)
    right.plot([values.mean()] * 2, [y - 0.35, y + 0.35], color=color)
right.set_yticks(range(len(falls)), list(reversed(falls)))
right.set(xlabel="steps short of 500; a dot a seed")
right.set_title("PPO, each at its own peak", **plain)
fig.suptitle(
    "Of six defaults one gains on a fixed rate, and PPO's seeds lie far apart",
    x=0.01,
    ha="left",
)
figures.show(
    "Left: six defaults less a fixed rate, in margins. Cosine on a convnet and on a "
    "vision transformer: undecided; on text 3 worse, on a synthetic language 4 better; "
    "a line in fine-tuning level, in PPO undecided. Right: how far PPO falls short of "
    "500 steps, sixteen seeds for each of three schedules, from 0 to 380."
)

# %% [markdown]
# On the small language the cosine gains four margins. On text it loses three: there only what holds its rate for long does well. The rest is undecided or level. In PPO a cosine
# falls 53 steps less short than a fixed rate [15, 91], where sixteen seeds of one schedule lie up to 380 apart. In another fine-tuning the rate is the choice: a quarter of the best one cost 0.06 nats of the new language, and forgot 0.53 less of the old (Depth).
#
# ## Noise or curvature? A minute's test
#
# Picture what holds you back. On a wide floor it is *noise*: each batch throws you about, and shorter steps settle. In a gorge it is
# *curvature*: the walls forbid longer steps, and shorter ones only arrive later. Ask the run: halfway, branch off a twentieth of
# its steps at a *tenth* of the rate. Which ends lower, the branch or the run?
#
# > **Predict.** On 42 quadratics, exactly: what does a fixed rate lose where the branch ends lower, and what where it ends higher?


# %% jupyter={"source_hidden": true} tags=["hide-input"]
@dataclass(frozen=True)
class Answer:
    """Of one quadratic."""

    branch: float  # the branch's loss over the run's
    room: float  # the largest stable rate over the best fixed one
    gain: float  # the fixed rate's loss over the best shape's
    late: float  # the WSD's loss over the line's


# %% jupyter={"source_hidden": true} tags=["hide-input"]
def asked(problem, T, cap=None):
    plans = {"fixed": recipes.fixed(T), "line": recipes.linear(T)}
    plans["WSD"] = recipes.wsd_20(T)
    tuned = {name: problem.tune(plan, T, cap=cap) for name, plan in plans.items()}
    rates = np.full((2, T // 2 + T // 20), tuned["WSD"][0])
    rates[1, T // 2 :] /= 10
    run, branch = problem.loss(rates)[:, -1]
    loss = {name: best for name, (_, best) in tuned.items()}
    room = (cap or problem.stability_limit()) / tuned["fixed"][0]
    gain = loss["fixed"] / min(loss.values())
    return Answer(branch / run, room, gain, loss["WSD"] / loss["line"])


# %% jupyter={"source_hidden": true} tags=["hide-input"]
LAWS = ((1.25, 0.3), (1.5, 0.5), (1.5, 1.0), (2.0, 0.35), (2.0, 0.6), (2.0, 1.0))
answers = []
for batch_size in (1, 16, 256):
    for T in (100, 1000):
        answers.append(asked(lab.NoisyQuadratic(batch_size=batch_size), T))
        for law in LAWS:
            more = {"directions": 200, "batch_size": batch_size}
            problem = lab.NoisyQuadratic.power_law(*law, **more)
            answers.append(asked(problem, T, cap=1 / sum(problem.curvature)))
lower = [a for a in answers if a.branch < 1]
higher = [a for a in answers if a.branch >= 1]

# %% tags=["nbval-check-output"]
print(
    "quadratics   the branch ends   a fixed rate's loss over the best of three shapes'"
)
for end, some in (("lower", lower), ("higher", higher)):
    gains = [a.gain for a in some]
    print(f"{len(some):10}   {end:15}   {min(gains):.2f} to {max(gains):.2f}")


# %% jupyter={"source_hidden": true} tags=["hide-input"]
@dataclass(frozen=True)
class Branched:
    """Of one network: validation loss of the branch over the run's, by seed."""

    ratio: np.ndarray
    seeds: int


def branched(task, peak, n=6):
    """Train half of a run, then a twentieth at the rate and at a tenth of it."""
    half, more = task.steps // 2, task.steps // 20
    held = recipes.fixed(task.steps, task.warmup)
    cut = Constant(1.0, half).then(Constant(0.1))
    result = lab.sweep(
        task.made(0),
        {"run": held, "branch": held * cut},
        [peak],
        lab.seeds(n),
        steps=half + more,
        batch_size=task.batch_size,
        optimizer=lab.SGD() if task.optimizer == "sgd" else lab.AdamW(),
        evaluate=["val"],
    )
    run, branch = result.at("val_loss")[:, 0]
    return branch / run


# %% jupyter={"source_hidden": true} tags=["hide-input"]
net, T = lab.mnist1d_task(), 40
some = (recipes.fixed, recipes.linear, recipes.wsd_20)
plans = {recipe.name: recipe(T) for recipe in some}
lowest = {"fixed": 0.32, "linear": 0.452, "WSD 20 %": 0.32}
settings = {"batch_size": 1000}
large = lab.tune(net, plans, lowest, lab.seeds(16), steps=T, count=4, **settings)
held, cut = Constant(), Constant(1.0, T // 2).then(Constant(0.1))
result = lab.sweep(
    net,
    {"run": held, "branch": cut},
    [large.best_peaks()["WSD 20 %"]],
    lab.seeds(16),
    steps=T // 2 + T // 20,
    evaluate=["val"],
    **settings,
)
of_large = np.divide(*result.at("val_loss")[::-1, 0])

# %% jupyter={"source_hidden": true} tags=["hide-input"]
BOOK = {name: task for name, task in lab.league.TASKS.items() if name in league.tasks}
QUICK = [
    name for name, t in BOOK.items() if t.seconds < 2 and type(t).__name__ == "Network"
]
peaks = league.best_peaks()
branches = {name: branched(BOOK[name], peaks[name]["WSD 20 %"]) for name in QUICK}
ends = {name: math.exp(np.log(ratio).mean()) for name, ratio in branches.items()}
behind = {name: regret.of("fixed")[TASKS.index(name)] for name in QUICK}


# %% jupyter={"source_hidden": true} tags=["hide-input"]
def walk(ax, curvature, noise, rate, start, seed):
    """A sketch: a run on a bowl, and a branch at a tenth of its rate."""
    x, y = np.meshgrid(np.linspace(-2.2, 2.2, 80), np.linspace(-1.1, 1.1, 40))
    heights = curvature[0] * x**2 + curvature[1] * y**2
    ax.contour(x, y, heights, 9, colors="0.85", linewidths=0.7)
    for last, color in ((1, "0.65"), (0.1, "#D55E00")):
        rng, path = np.random.default_rng(seed), [np.array(start)]
        for step in range(60):
            pull = curvature * path[-1] + noise * rng.standard_normal(2)
            path.append(path[-1] - rate * (last if step >= 30 else 1) * pull)
        path = np.array(path)
        ax.plot(*path[30:].T, color=color, linewidth=1.2)
        ax.plot(*path[-1], "o", color=color, markersize=6)
    ax.plot(*path[:31].T, color="0.25", linewidth=0.9)
    ax.set(xticks=[], yticks=[], xlim=(-2.2, 2.2), ylim=(-1.1, 1.1))
    ax.grid(False)


# %% jupyter={"source_hidden": true} tags=["hide-input"]
lost = large.compare("fixed", "WSD 20 %").effect / net.margin.points
points = {name: (ends[name], behind[name]) for name in QUICK}
points |= {"batches of 1,000": (math.exp(np.log(of_large).mean()), lost)}


def sketches(wide, gorge):
    walk(wide, np.array([1.0, 1.5]), 0.55, 0.5, (-1.9, 0.8), 5)
    walk(gorge, np.array([0.08, 4.0]), 0.25, 0.45, (-2.0, 0.7), 4)


def scattered(exact, nets):
    dots = {"color": "0.35", "alpha": 0.55, "mew": 0}
    exact.plot([a.branch for a in answers], [a.gain for a in answers], "o", **dots)
    exact.set(ylabel="fixed rate's loss over the best", ylim=(0.9, 4))
    for name, at in points.items():
        nets.plot(*at, "s" if "1,000" in name else "o", color="#0072B2")
        right = at[0] > 0.9
        up = {"batches of 1,000": 14, "images, shifted": -12}.get(name, 4)
        side = {"ha": "right" if right else "left", "fontsize": 8}
        nets.annotate(
            name, at, (5 - 10 * right, up), textcoords="offset points", **side
        )
    nets.set(ylabel="fixed rate behind the best (margins)")
    for ax in (exact, nets):
        ax.axvline(1, color="0.5", linewidth=1, linestyle=":")


# %% jupyter={"source_hidden": true} tags=["hide-input"]
fig = plt.figure(figsize=(9.6, 3.6))
parts = fig.add_gridspec(2, 3, width_ratios=(0.8, 1.1, 1.1))
places = ((0, 0), (1, 0), (slice(None), 1), (slice(None), 2))
wide, gorge, exact, nets = (fig.add_subplot(parts[place]) for place in places)
sketches(wide, gorge)
scattered(exact, nets)
titles = ("noise: the branch settles", "curvature: it only slows")
titles += ("42 quadratics, exactly", "networks")
for ax, title in zip((wide, gorge, exact, nets), titles, strict=True):
    ax.set_title(title, **plain)
fig.supxlabel("the branch's loss over the run's", size=10.5, x=0.65)
fig.suptitle(
    "Where the branch ends higher, decay gains next to nothing", x=0.01, ha="left"
)
figures.show(
    "Left, a sketch: on a wide bowl with noise the branch at a tenth of the rate "
    "settles in the middle; in a gorge it stays behind the run. Middle: 42 quadratics; "
    "where the branch ends lower than the run, a fixed rate loses 12 % and more, where "
    "it ends higher, at most 4 %. Right: networks; eight have the branch lower, one, "
    "with batches of 1,000, higher, and there a fixed rate is level."
)

# %% jupyter={"source_hidden": true} tags=["hide-input"]
points_, ratio_ = {"unit": "points"}, {"scale": "ratio"}
least, most = min(a.gain for a in lower), max(a.gain for a in higher)
late = large.compare("linear", "WSD 20 %")
early = {name: large.compare(name, "fixed") for name in ("linear", "WSD 20 %")}
rows = [
    lab.claim("quadratics, branch lower: least gain over fixed", least, above=1.1),
    lab.claim("quadratics, branch higher: most gain over fixed", most, below=1.1),
    lab.measure("batches of 1,000: line less cooldown", late, **points_),
    lab.measure("batches of 1,000: line less fixed", early["linear"], **points_),
    lab.measure("batches of 1,000: cooldown less fixed", early["WSD 20 %"], **points_),
    lab.measure("batches of 1,000: branch over run, loss", of_large, **ratio_),
] + [
    lab.measure(f"{name}: branch over run, loss", ratio, **ratio_)
    for name, ratio in branches.items()
]
lab.claims(rows)

# %% [markdown]
# On every quadratic the branch tells: where it ends lower, a fixed rate loses 12 % at least, where it ends higher, 4 % at most. On the eight small networks of the league
# it ends lower (on two within chance), and decay pays; how much, the branch does not say, and where all is fitted (digits, images) it is little. With batches of 1,000 and 40
# steps it ends higher (by 2.2 % [0.7, 3.7]): a fixed rate is level with the cooldown, and the line 2.1 points behind it [1.3, 2.8].
#
# ## The decision
#
# - *Is the length known?* If not, or if it may grow: hold, and cool down over the last fifth of what it became. If it is: the same, or a line, 0.7 behind [0.0, 1.4] (undecided over kinds of data, Depth).
# - *Noise or curvature?* If the branch does not end lower, a decay has little to give: keep it late.
# - *May you average?* Then hold and average: in the mean at most half a margin behind, whatever the length.
#
# First tune the peak, on a grid of $\sqrt2$ to 2; start at the last column's multiple of the fixed rate's best. Then run more seeds.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
ratio = {
    name: np.median([best[name] / best["fixed"] for best in peaks.values()])
    for name in NAMES
}
LINES = {
    "linear": "recipes.linear(total, warmup)",
    "WSD 20 %": "recipes.wsd_20(total, warmup)",
    "average": "recipes.average(total, warmup)",
    "fixed": "recipes.fixed(total, warmup)",
}
print(f"{'':33}regret, margins  worst  within 1  peak ÷ the fixed rate's")
for name, line in LINES.items():
    e, (_, worst) = regret.mean(name), regret.worst(name)
    text = f"{e.effect:.1f} [{e.low:.1f}, {e.high:.1f}]"
    share = f"{100 * regret.wins(name).effect:.0f} %"
    print(f"{line:33}{text:17}{worst:5.1f}{share:>9}{ratio[name]:12.1f}")

# %% [markdown]
# ## In your own code
#
# Six runs for the peak, then the run that counts: a warm-up, a held rate, and a cooldown over the last fifth.

# %%
data = lab.load_mnist1d().draw(seed=0)
examples = torch.utils.data.TensorDataset(data.train_x, data.train_y)
loader = torch.utils.data.DataLoader(examples, batch_size=16, shuffle=True)
loss_of = torch.nn.functional.cross_entropy
epochs, warmup = 2, 25
total = epochs * len(loader)
fall = round(0.2 * (total - warmup))


def make_model():
    first, last = torch.nn.Linear(40, 100), torch.nn.Linear(100, 10)
    return torch.nn.Sequential(first, torch.nn.ReLU(), last)


# %%
def factor(step):
    done = max(0, step - (total - fall)) / fall  # of the cooldown
    return min((step + 1) / (warmup + 1), 1 - math.sqrt(done))


def train(peak):
    model, step = make_model(), 0
    optimizer = torch.optim.SGD(model.parameters(), lr=peak, momentum=0.9)
    for _ in range(epochs):
        for x, y in loader:
            for group in optimizer.param_groups:
                group["lr"] = peak * factor(step)
            optimizer.zero_grad()
            loss_of(model(x), y).backward()
            optimizer.step()
            step += 1
    return model


def validation_loss(model):
    with torch.no_grad():
        return float(loss_of(model(data.val_x), data.val_y))


# %%
torch.manual_seed(0)
grid = 0.01 * 2.0 ** np.arange(6)
losses = [validation_loss(train(float(peak))) for peak in grid]
peak_lr = float(grid[np.nanargmin(losses)])  # at the edge? widen the grid
model = train(peak_lr)
print(f"peak {peak_lr:.3f}, validation loss {validation_loss(model):.2f} nats")

# %% [markdown]
# With `lrlib` the recipe is one line, and another one is another line.

# %%
shape = recipes.wsd_20(total, warmup)  # or recipes.linear, recipes.cosine, …
model = make_model()
optimizer = torch.optim.SGD(model.parameters(), lr=peak_lr, momentum=0.9)
scheduler, trace = ScheduledLR(optimizer, shape), LRTrace(optimizer)
for _ in range(epochs):
    for x, y in loader:
        optimizer.zero_grad()
        loss_of(model(x), y).backward()
        optimizer.step()
        scheduler.step()
trace.assert_matches(shape, peak=peak_lr)

# %% [markdown]
# ## Depth
#
# Each part stands on its own, folded under a heading that says what it finds.

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ### How the league is run, and what its rules forbid

# %% [markdown]
# Every recipe on every task, with every seed, at twelve peaks $\sqrt2$ apart. All of this was fixed before the first result:
#
# - *One budget.* Twelve peaks for each recipe, around a middle that pilots with other seeds had found; the best one must lie inside. Nothing else is
#   tuned. The warm-up belongs to the task and is the same for all recipes but one-cycle and the inverse root, which have their own.
# - *Choosing and judging apart.* The peak is chosen by the validation results of one seed's twelve runs, and judged by the test results of
#   the other seeds, averaged over which seed chose.
# - *No winner's curse.* The best of fifteen is partly the luckiest. The recipe to beat is therefore picked on other seeds than those it is judged
#   on, and a regret may come out below zero.
# - *Margins first.* Those of the whole book (`lab.MARGINS`); for the pole 25 of 500 steps. What diverged counts as a guess.
# - *Average* holds the rate and is evaluated on the growing average of its weights (chapter 14); *plateau* has chapter 11's rule, with a
#   patience of a tenth of the run.
# - *Names*: *WSD 20 %* holds the rate, and cools down over the last fifth as $1-\sqrt s$; *step* and *30/60/90* divide by ten after 50 and 75 %, or 30, 60 and 90 % of the run.
#
# Intervals are Student's, of the mean over tasks; a single task may lie far outside (four of fourteen do, for WSD 20 %). All tasks are small, and yours is not drawn
# from them.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
print(f"{'task':23}{'regime':10}seeds  margin       what")
for entry in league.entries.values():
    seeds, margin = len(entry.results.seeds), f"{entry.margin:g} {entry.unit}"
    print(f"{entry.name:23}{entry.regime:10}{seeds:5}  {margin:12} {entry.about}")

# %% jupyter={"source_hidden": true} tags=["hide-input"]
margin = np.array([league.entries[name].margin for name in TASKS])
cursed = (regret.score - regret.score.min(1, keepdims=True)) / margin[:, None]
by_others = league.regret(tuned="others")
print(f"{league.runs:,} models")
print(f"mean regret of all recipes: {regret.margins.mean():.2f} margins")
print(f"against the luckiest of each task: {cursed.mean():.2f}")
print(f"each peak chosen by all other seeds: {by_others.margins.mean():.2f}")

# %% [markdown]
# Had the luckiest recipe of each task been the mark, the mean regret would be the same; had all other seeds chosen the peaks, 0.1 margins lower. That is
# what twelve runs of one seed leave undone. Five tasks share MNIST's images, and four MNIST-1D, fine-tuning among them: they are not as many
# experiments as they count. With one mean for each kind of data, nothing is decided against the line:

# %% jupyter={"source_hidden": true} tags=["hide-input"]
KINDS = ("MNIST-1D", "digits", "images", "text", "language", "fine-tuning")
of_data = {"convnet": "images", "vision transformer": "images"}
kind = [next((k for k in KINDS if t.startswith(k)), of_data.get(t, t)) for t in TASKS]
rows = []
for name in ("fixed", "cosine", "WSD 20 %", "average"):
    gap = regret.between(name, "linear")
    means = [
        np.mean([g for g, k in zip(gap, kind, strict=True) if k == one])
        for one in dict.fromkeys(kind)
    ]
    text = f"league (recorded), by data: {name} less linear"
    rows.append(lab.measure(text, np.array(means), unit="margins", of="kinds"))
lab.claims(rows)

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ### Every regret, task by task

# %% jupyter={"source_hidden": true} tags=["hide-input"]
print(
    f"{'margins':20}" + "".join(f"{i:>6}" for i in range(1, len(TASKS) + 1)) + "   mean"
)
for name in regret.order():
    row = "".join(f"{x:6.1f}" for x in regret.of(name))
    print(f"{name:20}{row}{regret.mean(name).effect:7.2f}")

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ### The bars with their intervals, and in the tasks' own units

# %% [markdown]
# The path's bars are shares of a variance of *ranks*, so that no run that diverged outweighs the rest. Below are their means over tasks with 95 %
# intervals, and the same in errors and nats. Peaks count from each recipe's own best one; *both* is how differently recipes
# answer to the peak.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
for scale in ("ranks", "linear"):
    print(f"{scale:18}" + "".join(f"{PARTS[part][1]:>16}" for part in PARTS))
    for known, span in SPANS.items():
        found = lab.league.variance(league, span, scale=scale)
        means = [found.mean(part) for part in PARTS]
        cells = [
            f"{100 * m.effect:.0f} [{100 * m.low:.0f}, {100 * m.high:.0f}]"
            for m in means
        ]
        print(f"{known:18}" + "".join(f"{cell:>16}" for cell in cells))

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ### The defaults again: fine-tuning forgets, PPO needs seeds, and a warm-up

# %% [markdown]
# Recorded apart from the league: a transformer trained on one language goes on with a related one; PPO with sixteen seeds; a small
# transformer with and without a warm-up of 2 %. *Old* and *new* are the languages; a quarter of the rate is 0.004, against 0.016, the best for the new one.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
second = lab.fine_tuned()
in_nats, rows = {"unit": "nats"}, []
for which, metric in (("new", "val_loss"), ("old", "test_loss")):
    held = second.compare("linear", "constant", metric, "val_loss")
    best, _ = second.judged(metric, "val_loss", schedules=["linear"])
    quarter = second.at(metric)[second.schedules.index("linear"), 0] - best["linear"]
    name = f"fine-tuning (recorded), {which}"
    rows.append(lab.measure(f"{name}: line less constant", held, **in_nats))
    rows.append(
        lab.measure(f"{name}: a quarter of the rate less the best", quarter, **in_nats)
    )
for name in ("linear", "cosine"):
    gap = ppo.compare(name, "constant", *metrics)
    rows.append(lab.measure(f"PPO (recorded): {name} less constant", gap, unit="steps"))
warm = lab.recorded("language_warmup")
for name in ("warm-up 2 %, constant", "cosine"):
    gap = warm.compare("warm-up 2 %, cosine", name, "test_loss", "val_loss")
    rows.append(
        lab.measure(
            f"language (recorded): warm-up 2 %, cosine less {name}", gap, **in_nats
        )
    )
lab.claims(rows)

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ### What three, six and twelve runs buy, and why not to search over shapes

# %% jupyter={"source_hidden": true} tags=["hide-input"]
budgets = {runs: league.regret(runs=runs) for runs in (3, 6, 12)}


def beyond(runs):
    """How far a budget ends behind the best recipe of twelve runs, in margins."""
    gap = budgets[runs].score - budgets[12].score.min(1, keepdims=True)
    return gap / margin[:, None]


def searched(names, peaks):
    """Regret of one seed's best run among these, by task, in margins."""
    lost, rows = [], [NAMES.index(name) for name in names]
    for task, best in zip(TASKS, budgets[12].score.min(1), strict=True):
        entry = league.entries[task]
        val, test = (entry.numbers(m)[np.ix_(rows, peaks)] for m in ("val", "test"))
        val, test = (x.reshape(-1, x.shape[-1]) for x in (val, test))
        run = val.argmin(0)  # of each seed
        others = [np.delete(test[run[k]], k).mean() for k in range(len(run))]
        lost.append((np.mean(others) - best) / entry.margin)
    return np.array(lost)


# %% jupyter={"source_hidden": true} tags=["hide-input"]
print(f"{'behind the best':24}" + "".join(f"{r:>6} runs" for r in budgets))
lost = {runs: beyond(runs) for runs in budgets}
for name in regret.order():
    row = [lost[runs][:, NAMES.index(name)].mean() for runs in budgets]
    print(f"{name:24}" + "".join(f"{x:11.2f}" for x in row))
FOUR = ("linear", "cosine", "WSD 20 %", "average")
split = np.mean([searched(FOUR, range(i, 12, 4)) for i in range(4)], 0)
everything = searched(NAMES, range(12))
print(f"twelve runs, three on each of {', '.join(FOUR)}: {split.mean():.2f}")
print(f"{12 * len(NAMES)} runs, twelve on each recipe: {everything.mean():.2f}")

# %% [markdown]
# Six runs, a factor of two apart, do about what twelve do; three, a factor of four apart, cost the leaders 0.2 to 0.3 margins. A search over shapes with one seed
# gains nothing on the best recipe: three runs on each of four good ones, or twelve on each of all fifteen, end behind the cooldown alone, though ahead of most recipes chosen
# blind. The best of many runs of one seed is partly its luck.

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ### Which decay? On quadratics the room above the best rate says it; on networks we cannot tell

# %% [markdown]
# The branch says whether decay pays. Which decay, early or late, is another question. On quadratics the *room* answers it: how many times the best fixed rate
# goes into the largest stable one, which the sweep of the peak shows for nothing. Where there is room, noise and not stability had set the rate, and a decay from
# the start wins; where there is none, the highest rate is wanted for as long as possible. For a network we count up to the first rate that loses half of what
# the best one gained (`inf`: none in the grid). Over the league's tasks its rank correlation with the last column is −0.4, that of the branch with the fixed rate's regret 0.3: both
# against the quadratics' direction, and nine of fourteen rooms lie beyond the grid. With so few values neither decides.


# %% jupyter={"source_hidden": true} tags=["hide-input"]
def room(entry):
    """From the best fixed peak to the first that loses half of what was gained."""
    val = entry.numbers("val")[NAMES.index("fixed")].mean(-1)
    best = int(val.argmin())
    lost = val > (val.min() + entry.worst) / 2
    lost[:best] = False
    grid = entry.results.peaks[NAMES.index("fixed")]
    return (grid[lost.argmax()] if lost.any() else np.inf) / grid[best]


# %% jupyter={"source_hidden": true} tags=["hide-input"]
ahead = [(a.room > 3, a.late > 1) for a in answers]
for wide in (True, False):
    some = [line for room_, line in ahead if room_ == wide]
    words = "more than 3" if wide else "at most 3"
    print(f"quadratics, room {words}: the line is ahead in {sum(some)} of {len(some)}")
late = regret.between("WSD 20 %", "linear")
rooms = np.array([room(league.entries[name]) for name in TASKS])
print(f"{'task':24}branch over run   room   WSD 20 % less line (margins)")
for name, r, gap in zip(TASKS, rooms, late, strict=True):
    end = f"{ends[name]:.2f}" if name in ends else "–"
    print(f"{name:24}{end:>15}{r:7.1f}{gap:14.2f}")
rank = stats.spearmanr(rooms, late)[0]
print(f"rank correlation of room and the last column: {rank:.2f}")
x, y = [ends[name] for name in QUICK], [behind[name] for name in QUICK]
print(f"of branch and the fixed rate's regret: {stats.spearmanr(x, y)[0]:.2f}")

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ### Beside other contests: tuning gains more than a third

# %% [markdown]
# | contest | what is equal | what it found | of schedules |
# | --- | --- | --- | --- |
# | AlgoPerf (Kasimbeg et al. 2025) | hardware, eight workloads; five tuning runs each, or none | Distributed Shampoo 28 % faster than the baseline; without tuning, Schedule-Free AdamW 8 % | a cyclical rate, warm-up and cosine in each cycle, came fourth with five runs (score 0.63; the winner's 0.78) |
# | Schmidt et al. (2021) | fifteen optimizers, more than 50,000 runs | no winner on all tasks; trying several optimizers at their defaults does about as well as tuning one | it asks of optimizers what this chapter asks of schedules |
# | modded-nanogpt, optimisation track (Jordan et al. 2026) | data, batch, model; fewest steps to 3.28 nats | Muon 3,600 steps, tuned by others 3,250, all inventions since 2,680 | held, then cooled along a power of 1.2; its authors add that in this record the shape may do little against a WSD |
#
# The last is the closest to this chapter in spirit, and its rules are worth copying. A run counts if $(3.28-\bar L)\sqrt n\ge0.004$, which is a one-sided
# test at $p\approx0.001$ with the run-to-run SD of 0.0013 known beforehand; stopping early is allowed only at one step, the same in all
# runs; a pair is compared after its difference in steps is turned into nats (0.0045 per hundred); who shows that an old record does
# not hold is as welcome as who sets a new one. Several of its records are marked as not better than the one before by that test. As in our bars, what was
# there to tune came first: the same optimizer with the same kind of shape went from 3,600 to 3,250 steps by its rates and weight decay
# alone, more than a third of all that was gained. (It says that weight decay mattered most, then the rate.)

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ### Add your own recipe and your own task

# %% [markdown]
# A recipe is a name, a function from the length to a shape, and a source. A task is a function that makes a `lab.Task`, and the numbers
# around it. `lab.league.play` trains every recipe on every task, here or on any executor; put yours into `RECIPES` and `TASKS`, and
# `make record NAME=league` trains what is missing of the recorded one.

# %%
mine = recipes.Recipe("square", lambda steps: PolynomialDecay(steps, power=2), "mine")
digits = lab.league.Network(
    name="digits, a short run",
    make=lab.digits_task,
    margin=lab.MARGINS["digits"].points,
    worst=90.0,
    steps=200,
    middle=0.2,
)
four = {r.name: r for r in (recipes.fixed, recipes.linear, recipes.wsd_20, mine)}
small = lab.league.play([digits], four, seeds=lab.seeds(6))
for name in small.recipes:
    print(f"{name:12} regret {small.regret().of(name)[0]:.1f} margins")

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ### Pitfalls: a peak that moves house, and a rise too many

# %% [markdown]
# A peak belongs to its shape. Here is what each recipe loses, on average over the tasks, at the peak that twelve runs gave the *fixed* rate.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
kept = np.stack([at_one_rate(league.entries[name]) for name in TASKS])
moved = ((kept - regret.score) / margin[:, None]).mean(0)
print(f"{'':16}best peak ÷ the fixed rate's   cost of keeping that rate (margins)")
for name, cost in zip(NAMES, moved, strict=True):
    print(f"{name:16}{ratio[name]:12.1f}{cost:28.1f}")

# %% [markdown]
# The cooldowns and the average can move in where a fixed rate lived: they hold it for most of the run, so tune a fixed rate, and you have tuned
# them nearly (what is lost stands above). Exponential decay and the line need a peak nearly three times as high.
#
# One-cycle and the inverse root rise by themselves, so `warmup` changes nothing there; do not put another before them.

# %% tags=["nbval-check-output"]
print(recipes.one_cycle(1000, warmup=100) == recipes.one_cycle(1000))
print([round(recipes.wsd_20(1000, warmup=100)(t), 2) for t in (0, 99, 820, 910, 999)])

# %% [markdown] jp-MarkdownHeadingCollapsed=true
# ### Folklore: what the whole book found

# %% [markdown]
# Every statement that chapters 1 to 14 tested is in [the ledger](FOLKLORE.md), with its verdict and the rows that decide it; `make claims`
# makes it from the executed chapters. A verdict is about these small networks and quadratics. What they have in common: many
# wrong statements compare at one rate, one length or one seed.

# %%
book = folklore(last=14)
print(book)
for one in book.of("holds").statements:
    print(f"- chapter {one.chapter}: {one.says}")

# %% [markdown]
# ## Exercises
#
# In `exercises/15_choosing/`; the core is 1 to 3, 45 minutes.
#
# 1. Regret, tuned and judged apart (18 minutes). 2. What a budget buys (14). 3. A variance, split (13). 4. Open: a
#    recipe, defended (20). 5. A recipe of your own (15).
#
# ## References
#
# - S. Bergsma, N. Dey, G. Gosal, G. Gray, D. Soboleva, J. Hestness (2025). *Straight to zero: why linearly decaying
#   the learning rate to zero works best for LLMs.* ICLR.
# - A. Defazio, A. Cutkosky, H. Mehta, K. Mishchenko (2023). *Optimal linear decay learning rate schedules and further
#   refinements.* arXiv:2310.07831.
# - P. Goyal et al. (2017). *Accurate, large minibatch SGD: training ImageNet in 1 hour.* arXiv:1706.02677.
# - A. Hägele, E. Bakouch, A. Kosson, L. Ben Allal, L. von Werra, M. Jaggi (2024). *Scaling laws and compute-optimal
#   training beyond fixed training durations.* NeurIPS.
# - S. Huang, R. Dossa, A. Raffin, A. Kanervisto, W. Wang (2022). *The 37 implementation details of proximal policy
#   optimization.* ICLR blog track.
# - K. Jordan et al. (2026). *Modded-NanoGPT optimization benchmark.* github.com/KellerJordan/modded-nanogpt, folder
#   `records/track_3_optimization`, as of August 2026.
# - P. Kasimbeg et al. (2025). *Accelerating neural network training: an analysis of the AlgoPerf competition.* ICLR.
# - R. Schmidt, F. Schneider, P. Hennig (2021). *Descending through a crowded valley: benchmarking deep learning
#   optimizers.* ICML.
# - A. Zhang, Z. Lipton, M. Li, A. Smola (2023). *Dive into deep learning*, section 12.11. d2l.ai.
#
# The sources of the fifteen recipes are in `lrlib.recipes`.
