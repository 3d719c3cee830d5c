# %% [markdown]
# # 8 · Warm-up
#
# **What you will see.** A transformer that ignores the text at a rate at which another, with a few slow steps first,
# learns to use it; a badly scaled network that needs a slow start and a well scaled one that does not; and three
# explanations, each measured over the first steps.
#
# **What you will do.** Measure loss above a floor that is known exactly, and look at the first forty steps one by one.
#
# **What you need.** Chapters 1 to 7, or this much of them. $\eta_t$ is the learning rate at step $t$ (updates already
# made); a schedule is a *shape* whose factor multiplies the *peak*. Full-batch gradient descent with momentum $\mu$ is unstable in a direction
# whose curvature exceeds $2(1+\mu)/\eta$ (chapter 1); the largest curvature is called *sharpness*. You should have met Adam and the transformer. A table
# of evidence gives estimate and 95 % interval over seeds, and for a claim what it had to satisfy; bands are the 10th to 90th percentile over
# seeds, lines the median; losses are in nats. About half a minute on two CPU cores. `LRLIB_SEED` shifts every seed;
# `LRLIB_SCALE` multiplies the seeds.

# %%
import itertools
import warnings

import matplotlib.pyplot as plt
import numpy as np
import torch
from lrlib import (
    Constant,
    CosineAnnealing,
    InverseSquareRoot,
    LRTrace,
    ScheduledLR,
    Warmup,
    lab,
)
from lrlib.lab import figures
from torch import nn

figures.use_style()
schedulers = torch.optim.lr_scheduler

# %% [markdown]
# ## A transformer that never looks at the text
#
# Chapter 7 found no use for a rise. Most language models are trained with one, so take a language model: a
# transformer of four layers of width 16, with the normalisation *after* each residual sum as in the original
# (*post-norm*), trained by AdamW on windows of eight tokens, eight windows a batch. Its language is made up: eight tokens, each drawn from a
# distribution that depends on the two before it. So the entropy is known exactly, and with it the floor: no model's expected
# loss lies below it. The loss here is an expectation over the true distribution of the next token, and its
# *excess* over the floor is what is left to learn. The peak is 0.032; a cosine to zero over 160 steps, from the start or after
# a warm-up of 32:

# %%
language = lab.SyntheticLanguage()
levels = language.entropies(2)
print("nats per token, knowing 0, 1, 2 tokens:", np.round(levels, 3))
T = 160


def warm(share, T=T):
    """Warm-up over a share of T steps, then cosine to zero."""
    n = round(share * T)
    if n == 0:
        return CosineAnnealing(T)
    return Warmup(n, start_factor=1 / (n + 1)).then(CosineAnnealing(T - n))


seeds, shapes = lab.seeds(8), {"none": warm(0), "20 %": warm(0.2)}
settings = {"steps": T, "batch_size": 8, "optimizer": "adamw", "evaluate": ["val"]}
moments = [0, 5, 10, 20, *range(40, T + 1, 40)]
post = lab.language_task("post")
watched = lab.sweep(post, shapes, [0.032], seeds, eval_steps=moments, **settings)
floors = np.array([post.data.draw(seed).entropy("val") for seed in seeds])
floor = floors.mean()  # every seed draws its own text; the floors differ by little
print("floor:", round(floor, 3), "±", round(floors.std(), 3))

# %%
fig, (ax, bottom) = plt.subplots(
    2, 1, sharex=True, height_ratios=(3, 1), figsize=(7.6, 4.8)
)
looks = {"none": figures.look("cosine"), "20 %": figures.look("warm-up")}
for i, line in enumerate(looks.values()):
    above = watched.metrics["val_loss"][i, 0] - floors[:, None]
    figures.band(ax, moments, above, **line)
    bottom.plot(watched.lr[i, 0, 0], **line)
for level, text in ((levels[0], "knows frequencies only"), (levels[1], "knows pairs")):
    ax.axhline(level - floor, color="0.4", linewidth=1, linestyle=":")
    figures.name_line(ax, 125, level - floor + 0.06, text, color="0.3", fontsize=9)
figures.name_line(ax, 50, 1.16, "cosine", color=looks["none"]["color"])
figures.name_line(ax, 118, 0.3, "warm-up, cosine", color=looks["20 %"]["color"])
ax.set(ylabel="loss above the floor (nats)", ylim=(0, 2))
bottom.set(xlabel="step", ylabel="applied rate")
ax.set_title("Without warm-up most runs learn how frequent each token is, no more")
plt.show()


# %%
without, with_it = watched.at("val_loss")[:, 0] - floors
lab.claims(
    [
        lab.claim(
            "post-norm, peak 0.032: saved by the warm-up",
            without - with_it,
            above=0,
            unit="nats",
        ),
        lab.claim(
            "post-norm, peak 0.032, without it: loss above that of knowing pairs",
            without - (levels[1] - floors),
            above=0,
            unit="nats",
        ),
    ]
)

# %% [markdown]
# (The model sees windows of eight tokens, and at the first position it has only one to go by. So the floor, a mean over positions, lies
# a little above the entropy with two tokens known. "Knows pairs" is predicting from the last token alone.) Nothing diverges: no loss is NaN, nothing warns
# you. Most runs without warm-up end at the loss of a model that knows the frequencies of the tokens and ignores the text.
#
# > **Predict.** You will hear three explanations. The loss is too sharply curved at first. Adam's statistics are unreliable in
# > its first steps. The first updates are too large compared with the weights. Which one would you test, and how?

# %% [markdown]
# ## Up in a straight line, and then what you planned
#
# Over $n$ steps the factor goes from `start_factor` $f_0$ to 1,
#
# $$f_t=f_0+(1-f_0)\frac tn\quad(\text{linear}),\qquad f_t=f_0^{\,1-t/n}\quad(\text{exponential}),$$
#
# and then another schedule takes over. Textbooks start at $f_0=0$, so the first update changes nothing; with $f_0=1/(n+1)$ the line
# goes $\frac1{n+1},\frac2{n+1},\dots$ and no update is wasted. The transformer paper (Vaswani et al., 2017, equation 3) joins a
# linear warm-up over $n$ steps to a decay with the inverse square root. With $s=t+1$ the number of the update and $d$ the
# width, its peak is $(dn)^{-1/2}$:
#
# $$\eta=d^{-1/2}\,\min\bigl(s^{-1/2},\;s\,n^{-3/2}\bigr).$$


# %%
def warmup_cosine(t, n, T):
    if t < n:
        return (t + 1) / (n + 1)
    return (1 + np.cos(np.pi * (t - n) / (T - n))) / 2


def inverse_square_root(t, n, d):
    return d**-0.5 * min((t + 1) ** -0.5, (t + 1) * n**-1.5)


# %%
def torch_warmup_cosine(optimizer, n=16):
    line = schedulers.LinearLR(optimizer, 1 / (n + 1), total_iters=n)
    cosine = schedulers.CosineAnnealingLR(optimizer, T - n)
    return schedulers.SequentialLR(optimizer, [line, cosine], milestones=[n])


# %% tags=["nbval-check-output"]
curve = [0.1 * warmup_cosine(t, 16, T) for t in range(T)]
ours = lab.applied(lambda opt: ScheduledLR(opt, warm(0.1)), T)
print("the formula:", np.allclose(ours.lr[:, 0], curve))
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch's SequentialLR warns about itself
    print("torch:", np.allclose(ours.lr, lab.applied(torch_warmup_cosine, T).lr))
paper = [inverse_square_root(t, 50, 512) for t in range(T)]
shape = InverseSquareRoot(warmup_steps=50, d_model=512)
ours = lab.applied(lambda opt: ScheduledLR(opt, shape), T, lr=1.0)
print("the paper:", np.allclose(ours.lr[:, 0], paper))

# %%
fig, ax = plt.subplots(figsize=(7.6, 3))
curves = {
    "from 1/(n + 1), then cosine": (warm(0.2), figures.look("warm-up")),
    "exponential from 0.01": (
        Warmup(32, 0.01, "exponential"),
        figures.look("exponential"),
    ),
    "inverse square root": (InverseSquareRoot(32), figures.look("inverse square root")),
}
for name, (shape, line) in curves.items():
    ax.plot(shape.sample(T), label=name, **line)
ax.set(
    xlabel="step",
    ylabel="factor",
    title="Two ways up and three ways on, 32 steps of warm-up each",
)
ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
plt.show()

# %% [markdown]
# ## The exact case: a quadratic wants no warm-up
#
# On the noisy quadratic of the earlier chapters (curvatures $1,1/2,\dots,1/100$, batches of 256), warm-up and cosine, each at its best peak below
# the stability limit:

# %% tags=["nbval-check-output"]
problem, shares = lab.NoisyQuadratic(batch_size=256), (0, 0.02, 0.05, 0.1, 0.2)
print("final loss over that of the best schedule found; warm-up:", end="")
print(*(f"{share:7.0%}" for share in shares))
for steps in (100, 300, 1000):
    scores = [problem.score(warm(share, steps), steps) for share in shares]
    print(f"{steps:5} steps {'':45}", *(f"{score:6.2f}" for score in scores))

# %%
lab.claim("1,000 steps: 20 % warm-up over none", scores[-1] / scores[0], above=1)

# %% [markdown]
# At no length does a warm-up help, in the short runs that distance limits or in the long ones that noise does; at 100 steps a
# short one costs next to nothing. The curvature of a quadratic is the same everywhere, so a rate that is safe later is safe at
# once, and a slow start only wastes steps. Whatever warm-up is for, it must be something that changes during the first
# steps.

# %% [markdown]
# ## Warm-up raises the peak that post-norm tolerates
#
# The same transformer with the normalisation *before* each block (*pre-norm*), as most have it today. Eight seeds, and peaks
# a factor of two apart:
#
# > **Predict.** Does warm-up move the best peak, or the highest *usable* one, at which a run ends below the loss of knowing
# > pairs?

# %%
pre = lab.language_task("pre")
grids = {"post": 0.004 * 2.0 ** np.arange(5), "pre": 0.004 * 2.0 ** np.arange(6)}
result = {
    "post": lab.sweep(post, shapes, grids["post"], seeds, **settings),
    "pre": lab.sweep(pre, shapes, grids["pre"], seeds, **settings),
}

# %%
fig, axes = plt.subplots(1, 2, sharey=True, figsize=(9.4, 3.9))
for ax, norm in zip(axes, grids, strict=True):
    for i, (name, line) in enumerate(looks.items()):
        excess = result[norm].at("val_loss")[i] - floors
        label = {"none": "cosine", "20 %": "warm-up 20 %, cosine"}[name]
        figures.band(ax, grids[norm], excess.T, marker="o", label=label, **line)
    ax.axhline(levels[0] - floor, color="0.6", linewidth=1, linestyle=":")
    ax.axhline(levels[1] - floor, color="0.6", linewidth=1, linestyle=":")
    ax.set(title=f"{norm}-norm", xscale="log", xlabel="peak learning rate")
    ax.set_xticks(grids[norm], [f"{peak:g}" for peak in grids[norm]])
    ax.minorticks_off()
axes[0].set(ylabel="loss above the floor (nats)", ylim=(0, 1.4))
axes[0].legend(loc="upper left", bbox_to_anchor=(0, 0.87))
fig.suptitle(
    "With warm-up both tolerate a higher peak; at the best peaks little differs",
    fontweight="bold",
)
plt.show()


# %%
def usable(norm, shape):
    """Highest peak of every seed at which the model does better than knowing pairs."""
    good, below = result[norm].at("val_loss")[shape] < levels[1], grids[norm][0] / 2
    return np.array([grids[norm][row].max(initial=below) for row in good.T])


at_0128 = result["pre"].at("val_loss")[:, list(grids["pre"]).index(0.128)]
text = "pre-norm, peak 0.128: saved by warm-up"
rows = [lab.measure(text, at_0128[0] - at_0128[1], unit="nats")]
for norm in grids:
    text = f"{norm}-norm: highest usable peak, warm-up over none"
    gain = usable(norm, 1) / usable(norm, 0)
    rows.append(lab.measure(text, gain, scale="ratio"))
for norm in grids:
    text = f"{norm}-norm, tuned peaks: saved by warm-up"
    saved = result[norm].compare("none", "20 %", metric="val_loss", by="val_loss")
    rows.append(lab.measure(text, saved, unit="nats"))
lost = np.diff(result["post"].at("val_loss")[:, 0], axis=0)[0]
rows.append(lab.measure("post-norm, peak 0.004: lost by warm-up", lost, unit="nats"))
lab.claims(rows)

# %% [markdown]
# (Dotted: the levels of a model that knows frequencies only, and of one that knows pairs.) Warm-up raises the peak that
# either of them tolerates, on grids of factors of two: by a factor of 2.2 [1.8, 2.7] in post-norm and at least 3.1 [2.3, 4.2] in
# pre-norm, whose grid ends before the tolerance with warm-up does. At the tuned peaks it brings 0.005 nats
# [−0.007, 0.017] and 0.02 [0.00, 0.04], and at a low peak it costs 0.01 [−0.01, 0.03]. So when warm-up seems to matter a
# lot, ask whether your peak is too high without it. Kalra and Barkeshli (2024) come to the same view on other networks: its main benefit is to
# tolerate larger target rates. (They also find that this improves the final performance; here it hardly does.)
#
# Xiong et al. (2020) made the comparison of the two norms: in a post-norm transformer the gradients near the output are
# large at the start, and it needed warm-up; a pre-norm one could be trained without. Here, too, pre-norm without
# warm-up stands the higher peak, but it gains room by warm-up as well.

# %% [markdown]
# ## A badly scaled network needs it, a well scaled one does not
#
# Warm-up is not about transformers. MNIST-1D, three hidden layers of 100 units, SGD with momentum 0.9, batches of 64, 300
# steps; torch's default initial weights against He's normal ones made 1.6 times too large.
#
# > **Predict.** What will 20 % warm-up do for each?


# %%
data, ten = lab.load_mnist1d(), lab.seeds(10)
tasks = {
    "default": lab.Task(data, lambda: lab.mlp(40, 100, 100, 100, 10)),
    "too large": lab.Task(data, lambda: lab.mlp(40, 100, 100, 100, 10, gain=1.6)),
}
double = 2.0 ** np.arange(5)
peaks_of = {
    "default": 0.04 * double,
    "too large": {"none": 0.01 * double, "20 %": 0.02 * double},
}
pair = {"none": warm(0, 300), "20 %": warm(0.2, 300)}
mlps, of_mlp = {}, {"steps": 300, "batch_size": 64}
for name, task in tasks.items():
    mlps[name] = lab.sweep(task, pair, peaks_of[name], ten, **of_mlp)

# %%
fig, axes = plt.subplots(1, 2, sharey=True, figsize=(9.4, 3.9))
lines = figures.look("cosine"), figures.look("warm-up")
for ax, (name, runs) in zip(axes, mlps.items(), strict=True):
    for i, line in enumerate(lines):
        error = 100 * runs.at("test_error")[i]
        label = ("cosine", "20 % warm-up")[i]
        figures.band(ax, runs.peaks[i], error.T, marker="o", label=label, **line)
    ax.set(title=f"weights: {name}", xscale="log", xlabel="peak learning rate")
    ticks = np.unique(runs.peaks.round(3))
    ax.set_xticks(ticks, [f"{peak:g}" for peak in ticks])
    ax.minorticks_off()
axes[0].set(ylabel="test error (%)")
axes[0].legend(loc="upper left")
fig.suptitle("Warm-up rescues the badly scaled network only", fontweight="bold")
plt.show()

# %%
judged = {name: runs.judged()[0] for name, runs in mlps.items()}
gains = {name: 100 * (runs["none"] - runs["20 %"]) for name, runs in judged.items()}
scale_alone = 100 * (judged["too large"]["20 %"] - judged["default"]["none"])
text = "gained by 20 % warm-up, each at its tuned peak"
lab.claims(
    [
        lab.claim(
            f"weights too large: {text}", gains["too large"], above=0, unit="points"
        ),
        lab.measure(
            f"default weights: {text}",
            mlps["default"].compare("none", "20 %"),
            unit="points",
        ),
        lab.measure(
            "error: too large with warm-up, less default without it",
            scale_alone,
            unit="points",
        ),
    ]
)

# %% [markdown]
# Each at its own tuned peak, the one network gains 7.3 points [6.2, 8.4], and the other loses 0.7 [0.1, 1.4]. The default weights *without* warm-up are ahead of the large ones *with* it, by
# 4.8 points [3.7, 6.0]: the better mend is the scale itself.
#
# **Is it the large batch?** Goyal et al. (2017) introduced *gradual warm-up* for batches of 8,192, where the rate is scaled up with the batch. Take the well
# scaled network over five epochs in batches of 256:

# %%
large = lab.sweep(
    tasks["default"],
    {"none": warm(0, 78), "20 %": warm(0.2, 78)},
    0.08 * 2.0 ** np.arange(5),
    seeds,
    steps=78,
    batch_size=256,
)
_, peaks = large.judged()
print("peaks:", {name: float(np.median(peak)) for name, peak in peaks.items()})
lab.measure(
    "batch 256, default weights: gained by 20 % warm-up",
    large.compare("none", "20 %"),
    unit="points",
)

# %% [markdown]
# A large batch alone does not call for warm-up here, even with peaks of 0.64: it costs 1.5 points [0.6, 2.3]. That is no test of their case: 256 is
# their *small* batch, and their rate was not tuned but multiplied by the batch. (ImageNet, ResNet-50, error in %: 23.60 in
# batches of 256; in batches of 8,192 24.84 without warm-up, 25.88 with a low constant rate first, 23.74 with gradual warm-up;
# their table 1.) Chapter 10 comes back to it with the scaling rules.

# %% [markdown]
# ## Why: the start is sharp, and slow steps make it flat
#
# First explanation. Follow the sharpness of the badly scaled network over its first steps at the peak 0.08, with the
# limit $2(1+\mu)/\eta_t$ of plain full-batch descent, and the training loss:

# %%
first_steps = [0, 2, 4, 8, 16, 60, 300]
task, peak = tasks["too large"], 0.08
early = lab.sweep(
    task,
    pair,
    [peak],
    ten,
    eval_steps=first_steps,
    evaluate=[],
    keep_states=True,
    **of_mlp,
)


# %%
def sharpness(model, seed):
    """The largest eigenvalue of the Hessian on 300 of the seed's training signals."""
    return lab.sharpness(task, model, seed, examples=300, tol=0.1)[0]


sharp = {
    name: np.array(
        [
            [sharpness(early.model(name, peak, s, t), s) for t in first_steps[:-1]]
            for s in seeds
        ]
    )
    for name in early.schedules
}
at_start = np.array([sharpness(task.model(seed), seed) for seed in lab.seeds(24)])

# %%
fig, axes = plt.subplots(1, 2, figsize=(9.4, 3.9))
for i, (name, line) in enumerate(zip(early.schedules, lines, strict=True)):
    label = ("cosine", "20 % warm-up")[i]
    figures.band(
        axes[0], first_steps[:-1], sharp[name], marker="o", label=label, **line
    )
    limit = 2 * (1 + 0.9) / early.lr[i, 0, 0, :60]
    axes[0].plot(limit, color=line["color"], linewidth=1, linestyle=":")
    figures.band(axes[1], range(60), early.train_loss[i, 0, :, :60], **line)
axes[0].set(xlabel="step", ylabel="sharpness", yscale="log", ylim=(3, 1000))
figures.name_line(axes[0], 12, 330, "dotted: limit 2(1 + μ)/η", color="0.3", fontsize=9)
axes[1].set(xlabel="step", ylabel="training loss (nats)", yscale="log")
axes[1].set_yticks([2, 5, 10, 20], ["2", "5", "10", "20"])
axes[1].minorticks_off()
axes[0].legend()
fig.suptitle(
    "With warm-up the sharpness falls before the limit reaches it", fontweight="bold"
)
plt.show()

# %%
lab.claim(
    "sharpness at the start over the limit at 0.08",
    at_start / (2 * (1 + 0.9) / peak),
    scale="ratio",
    above=1,
)

# %% [markdown]
# The start is nearly three times too sharp for this rate, in the geometric mean over seeds (measured on 300 signals).
# Without warm-up the loss jumps up, and within eight steps the network lands where the loss is flat (a *catapult*, Lewkowycz et
# al., 2020). With warm-up it reaches a flat region while descending and while the rate is still low; Gilmer et al. (2022)
# find the same on larger networks: warm-up takes them to where the loss is flatter. By step 60 both are
# flat and have nearly the same training loss. What, then, costs the points at this peak in the end? Count the hidden
# units that respond to fewer than one in a hundred training signals:


# %%
@torch.no_grad()
def silent(name, seed, step):
    """Share (%) of hidden units above zero for fewer than 1 % of the signals."""
    h, shares = data.draw(seed).train_x, []
    for layer in early.model(name, peak, seed, step):
        h = layer(h)
        if isinstance(layer, nn.ReLU):
            shares.append(((h > 0).float().mean(0) < 0.01).float().mean())
    return 100 * float(np.mean(shares))


dead = {
    name: np.array([[silent(name, s, t) for t in (0, 8, 60, 300)] for s in ten])
    for name in early.schedules
}
print("silent units (%) after 0, 8, 60, 300 steps")
for name, shares in dead.items():
    print(f"{name:5}", shares.mean(0).round(1))

# %%
more = dead["none"] - dead["20 %"]
lab.claims(
    [
        lab.claim(
            "silent after 8 steps: none less warm-up",
            more[:, 1],
            above=0,
            unit="points",
        ),
        lab.claim(
            "silent at the end: none less warm-up", more[:, -1], above=0, unit="points"
        ),
    ]
)

# %% [markdown]
# Within eight steps the jump silences more than a quarter of the units; by step 60 it is half, and half it stays. With warm-up
# a third are silent at step 60 and a fifth at the end: some come back.
# Is that what costs the points? Give the units a slope of
# 0.1 below zero (leaky ReLU), so that none can fall silent, at the peak 0.04:


# %%
def leaky():
    layers = lab.mlp(40, 100, 100, 100, 10, gain=1.6)
    units = [nn.LeakyReLU(0.1) if isinstance(m, nn.ReLU) else m for m in layers]
    return nn.Sequential(*units)


awake = lab.sweep(lab.Task(data, leaky), pair, [0.04], ten, **of_mlp)
error = 100 * mlps["too large"].at("test_error")
relu = np.array([error[0, 2], error[1, 1]])  # at 0.04, without and with warm-up
awake = 100 * awake.at("test_error")[:, 0]
print("test error (%) without and with warm-up:", end=" ")
print("ReLU", relu.mean(-1).round(1), "leaky ReLU", awake.mean(-1).round(1))

# %%
by_warmup, by_leak, text = relu[0] - relu[1], relu - awake, "peak 0.04: gained by"
leaky_warmup = awake[0] - awake[1]
lab.claims(
    [
        lab.claim(
            f"{text} leaky units without warm-up", by_leak[0], above=0, unit="points"
        ),
        lab.measure(f"{text} leaky units with warm-up", by_leak[1], unit="points"),
        lab.measure(f"{text} warm-up with ReLU", by_warmup, unit="points"),
        lab.measure(f"{text} warm-up with leaky units", leaky_warmup, unit="points"),
        lab.measure(
            f"{text} warm-up, ReLU less leaky units",
            by_warmup - leaky_warmup,
            unit="points",
        ),
    ]
)

# %% [markdown]
# Without warm-up, leaky units gain 7.2 points [5.6, 8.9], about as much as warm-up does with ReLU, 6.1 [4.9, 7.4]. With leaky
# units warm-up still gains 2.7 [1.9, 3.5], and leaky units gain 3.8 [2.8, 4.8] where there is warm-up already. So silent
# units are a part of the damage (warm-up gains 3.4 points [2.2, 4.7] less without them), and not all of it.

# %% [markdown]
# ## Why: is it Adam's second moment?
#
# Second explanation. Adam divides by $\sqrt{\hat v_t}$, the root of an average of squared gradients. In the first step that is
# the square of this very gradient, and nearly every weight moves by $\eta$, whatever its gradient. Liu et al. (2020) hold
# that an average of so few squares varies too much, and that warm-up waits until it does not. The third explanation is about what such
# steps do to the weights. Look at the first forty steps of the post-norm transformer at 0.032, at the root mean square (RMS) of the update
# and at its norm. (Adam rescales every direction, so the limit on the sharpness does not apply to it as it stands; we did not measure that of
# the rescaled loss.)

# %%
first = lab.sweep(
    post,
    shapes,
    [0.032],
    seeds,
    **settings | {"steps": 40, "evaluate": []},
    eval_steps=list(range(41)),
    keep_states=True,
)


# %%
def step_sizes(i):
    """RMS of the update over the rate; its norm over that of the weights."""
    runs = slice(i * len(seeds), (i + 1) * len(seeds))
    flat = [
        torch.cat([p[runs].flatten(1) for p in s.values()], 1) for s in first.states
    ]
    moved = torch.stack([b - a for a, b in itertools.pairwise(flat)], dim=1)
    weights = torch.stack(flat[:-1], dim=1)
    rms = moved.square().mean(-1).sqrt().numpy() / first.lr[i, 0]
    return rms, (moved.norm(dim=-1) / weights.norm(dim=-1)).numpy()


# %%
fig, axes = plt.subplots(1, 2, figsize=(9.4, 3.9))
sizes = [step_sizes(i) for i in (0, 1)]
for (rms, share), line in zip(sizes, looks.values(), strict=True):
    figures.band(axes[0], range(40), rms, **line)
    figures.band(axes[1], range(40), 100 * share, **line)
axes[0].set(xlabel="step", ylabel="RMS of the update over the rate", ylim=(0, 1.05))
axes[1].set(xlabel="step", ylabel="update, % of the weights' norm", ylim=(0, None))
figures.name_line(axes[1], 2, 8, "cosine", color=looks["none"]["color"])
figures.name_line(axes[1], 22, 3.2, "warm-up", color=looks["20 %"]["color"])
fig.suptitle(
    "Adam's first updates are large; a low rate keeps them small for the weights",
    fontweight="bold",
)
plt.show()

# %%
(rms, share), (rms_warm, share_warm) = sizes
lab.claims(
    [
        lab.measure("RMS of the first update over the rate, no warm-up", rms[:, 0]),
        lab.measure("RMS of update 40 over the rate, no warm-up", rms[:, -1]),
        lab.measure(
            "first update, % of the weights' norm", 100 * share[:, 0], unit="%"
        ),
        lab.claim(
            "largest relative update: cosine over warm-up",
            share.max(-1) / share_warm.max(-1),
            scale="ratio",
            above=1,
        ),
    ]
)

# %% [markdown]
# In units of the rate the first update has size one, and the fortieth about a tenth. The other panel shows the
# difference that a warm-up makes: without it the first update alone is an eighth of the weights' norm. Ma and Yarats (2021) hold that
# the size of these updates, not the variance of the statistics, is what warm-up is needed for; Gotmare et al. (2019) find that warm-up
# chiefly keeps the deeper layers from changing much at first.
#
# These figures fit both explanations, so separate them, by a relative of a test that Liu et al. made: hold the weights (here, by a rate of
# *zero*) while Adam gathers its statistics, both moments, for 100 steps. (Theirs, Adam-2k, holds the momentum too, for 2,000.) Then give it the whole cosine from the peak. If the statistics
# are the trouble, this should be about as good as a warm-up.
#
# > **Predict.** Which?

# %%
trials = {f"{share:.0%}": warm(share) for share in (0.02, 0.05, 0.1)}
tried = lab.sweep(post, trials, [0.032], seeds, **settings)
excess = dict(zip(trials, tried.at("val_loss")[:, 0] - floors, strict=True))
excess = {"0%": without} | excess | {"20%": with_it}
held = {"held": Constant(0, total_iters=100).then(CosineAnnealing(T))}
steps = {"steps": 100 + T, "eval_steps": [100, 101, 100 + T], "keep_states": True}
held = lab.sweep(post, held, [0.032], seeds, **settings | steps)
excess["statistics only"] = held.at("val_loss")[0, 0] - floors
for name, runs in excess.items():
    print(f"{name:15}: {(runs < levels[1] - floors).sum()} of {len(runs)} below pairs")

# %%
fig, ax = plt.subplots(figsize=(7.6, 3.4))
for y, (name, runs) in enumerate(excess.items()):
    color = "0.3" if name == "statistics only" else figures.look("warm-up")["color"]
    ax.plot(runs, np.full(len(runs), -y), "o", color=color, alpha=0.4)
    ax.plot(runs.mean(), -y, "|", color=color, markersize=18)
names = [name.replace("%", " % warm-up") for name in excess]
ax.set_yticks([-y for y in range(len(excess))], names)
figures.name_line(ax, levels[1] - floor, -4.6, "knows pairs", color="0.3", fontsize=9)
ax.axvline(levels[1] - floor, color="0.6", linewidth=1, linestyle=":")
ax.set(xlabel="loss above the floor (nats), eight seeds and their mean", xlim=(0, 1.4))
ax.set_title("Statistics alone do not help; slow steps do, and a few are not enough")
plt.show()

# %%
before, after = (
    torch.cat([p.flatten(1) for p in state.values()], 1) for state in held.states[:2]
)
moved = ((after - before).norm(dim=1) / before.norm(dim=1)).numpy()
only = excess["statistics only"]
lab.claims(
    [
        lab.claim(
            "statistics only less 20 % warm-up",
            only - excess["20%"],
            above=0,
            unit="nats",
        ),
        lab.measure("statistics only less nothing", only - excess["0%"], unit="nats"),
        lab.claim(
            "first update after the statistics over warm-up's largest",
            moved / share_warm.max(-1),
            scale="ratio",
            above=1,
        ),
        lab.measure("2 % warm-up less 20 %", excess["2%"] - excess["20%"], unit="nats"),
    ]
)

# %% [markdown]
# With 100 steps of statistics Adam fails as before, and its first update is still three times [2.6, 3.6] the largest under warm-up. That is not
# what Liu et al. found: after 2,000 steps of gathering only the second moment their translation model trained without warm-up. Our
# test differs in two ways, its length and the momentum, which here starts with an average of gradients instead of nothing. Kalra
# and Barkeshli, too, report that a better first value of the second moment does much of what warm-up does. So: on this
# network, at this rate, statistics are not enough. What is left is the size of the steps, which we have not tested apart from the rate. Kosson et al.
# (2024) have, on GPTs: limiting each update relative to the weights or activations removed much of the need for warm-up.
#
# **How long is enough?** Of eight seeds at this peak, a warm-up of two per cent brings none below the level of pairs, five and ten per cent
# four each, twenty per cent six. At half this peak most need none (the figure with two panels). So tune length and peak together. If you
# must guess for Adam, Ma and Yarats recommend a line over $2/(1-\beta_2)$ updates, which is 2,000 at $\beta_2=0.999$. That is
# meant for long runs (ours has 160 steps, and a fifth of it was enough for most seeds), and we have not tested it.

# %% [markdown]
# ## Folklore and pitfalls
#
# **"Warm-up is for large models."** A network of 25,000 weights gained seven points [6.2, 8.4]. **"It is for large batches."** Batches of 256 did
# not need it, nor is the batch of eight above a large one. **"It lets Adam's statistics settle."** Letting them settle for 100 steps without moving did not help here.
#
# **A pitfall: the first step at rate zero.** Some libraries (and the textbook's line) start at 0. The first update then does
# nothing, and with AdamW not even weight decay acts:

# %% tags=["nbval-check-output"]
weight = torch.ones(1, requires_grad=True)
optimizer = torch.optim.AdamW([weight], lr=0.1)
scheduler, trace = ScheduledLR(optimizer, Warmup(4)), LRTrace(optimizer)
for _ in range(3):
    weight.grad = torch.ones(1)
    optimizer.step()
    scheduler.step()
    print(f"rate {trace.lr[-1, 0]:.3f}, weight {weight.item():.4f}")
try:
    schedulers.LinearLR(optimizer, start_factor=0.0, total_iters=4)
except ValueError as error:
    print("torch's LinearLR:", error)

# %% [markdown]
# It is harmless at 2,000 steps and absurd at four. Say `Warmup(n, start_factor=1 / (n + 1))`.
#
# **A pitfall: a warm-up in epochs for a scheduler in steps.** `Warmup(5)`, meant as five epochs of 250 steps, is over after five updates, and the run
# looks as if it had none. Count in steps: `Warmup(5 * len(loader))`.

# %% tags=["nbval-check-output"]
meant, written = Warmup(5 * 250), Warmup(5)
print(
    "factor after 1 % of 20,000 steps:", meant(200), "meant,", written(200), "written"
)

# %% [markdown]
# **A pitfall: the plan that forgets the warm-up.** `Warmup(n).then(CosineAnnealing(T))` ends $n$ steps after the run and never reaches zero. The cosine has
# `T - n` steps:

# %% tags=["nbval-check-output"]
n, total_steps = 2_000, 10_000
for cosine in (CosineAnnealing(total_steps), CosineAnnealing(total_steps - n)):
    shape = Warmup(n, 1 / (n + 1)).then(cosine)
    print(f"length {shape.length}, last factor {shape(total_steps - 1):.6f}")

# %% [markdown]
# ## In your own code

# %%
model, total_steps = lab.transformer(8, 8, norm="pre"), 200
optimizer = torch.optim.AdamW(model.parameters(), lr=0.016)

# plain torch, stepped after every batch
warmup = schedulers.LinearLR(optimizer, start_factor=1 / 21, total_iters=20)
cosine = schedulers.CosineAnnealingLR(optimizer, T_max=total_steps - 20)
plain = schedulers.SequentialLR(optimizer, [warmup, cosine], milestones=[20])

# %%
optimizer = torch.optim.AdamW(model.parameters(), lr=0.016)
shape = Warmup(20, start_factor=1 / 21).then(CosineAnnealing(total_steps - 20))
scheduler, trace = ScheduledLR(optimizer, shape), LRTrace(optimizer)
for _ in range(total_steps):
    # zero_grad, forward and backward go here
    optimizer.step()
    scheduler.step()
trace.assert_matches(shape, peak=0.016)

# %% [markdown]
# Recipes as expressions, with the peak in the optimizer (the original transformer's formula is the rate itself: build its optimizer with `lr=1`):

# %% tags=["nbval-check-output"]
epoch = 1_281_167 // 256  # ImageNet in batches of 256
recipes = {
    "vision: 5 of 90 epochs, cosine": Warmup(5 * epoch, 1 / (5 * epoch + 1)).then(
        CosineAnnealing(85 * epoch)
    ),
    "language: 2,000 of 100,000 steps, cosine to a tenth": Warmup(
        2_000, 1 / 2_001
    ).then(CosineAnnealing(98_000, min_factor=0.1)),
    "the original transformer": InverseSquareRoot(warmup_steps=4_000, d_model=512),
}
for name, shape in recipes.items():
    points = [0, 1_000, 4_000, 50_000, 99_999]
    print(f"{name}:", ", ".join(f"{shape(t):.2g}" for t in points))

# %% [markdown]
# ## Summary
#
# - Warm-up raises the rate to its peak within $n$ steps; start at $1/(n+1)$ to waste none. Then comes what you planned, over the steps that are left.
# - A post-norm transformer stayed at the frequencies of the tokens at a peak that a warm-up of 32 steps made
#   usable for most seeds. It raised the highest usable peak by a factor of 2.2 [1.8, 2.7] there and of at least
#   3.1 [2.3, 4.2] in pre-norm; at tuned peaks it brought 0.005 nats [−0.007, 0.017] and 0.02 [0.00, 0.04].
# - A badly scaled MLP gained 7.3 points [6.2, 8.4] by it. A well scaled one lost 0.7 [0.1, 1.4] in batches of 64, and
#   1.5 [0.6, 2.3] in batches of 256. A quadratic loses.
# - The start can be too sharp for the peak. Slow steps make it flat without a jump; a jump silenced
#   hidden units for good. Units that cannot fall silent made up for part of it.
# - Adam's first update has the size of the rate in nearly every weight. Gathering its statistics for 100 steps did not help here,
#   though a longer test of the kind did in Liu et al.'s model; slow steps did.
# - At a low peak warm-up is not needed, and costs little.
#
# All these chapters tuned the peak by whole runs, many of them. The next asks how much of that a single short run can replace.
#
# ## Exercises
#
# In `exercises/08_warmup/`:
#
# 1. a warm-up that wastes no step; 2. warm-up and cosine as one schedule; 3. Adam's first updates; 4. what is wrong
# with this warm-up? 5. open: the shortest warm-up that stays stable.
#
# ## References
#
# - P. Goyal et al. (2017). *Accurate, large minibatch SGD: training ImageNet in 1 hour.* arXiv:1706.02677. (Section 2.2.)
# - J. Gilmer et al. (2022). *A loss curvature perspective on training instability in deep learning.* ICLR.
# - A. Gotmare, N. S. Keskar, C. Xiong, R. Socher (2019). *A closer look at deep learning heuristics: learning rate
#   restarts, warmup and distillation.* ICLR.
# - D. S. Kalra, M. Barkeshli (2024). *Why warmup the learning rate? Underlying mechanisms and improvements.* NeurIPS.
# - A. Kosson, B. Messmer, M. Jaggi (2024). *Analyzing and reducing the need for learning rate warmup in GPT training.*
#   NeurIPS.
# - A. Lewkowycz, Y. Bahri, E. Dyer, J. Sohl-Dickstein, G. Gur-Ari (2020). *The large learning rate phase of deep
#   learning: the catapult mechanism.* arXiv:2003.02218.
# - L. Liu et al. (2020). *On the variance of the adaptive learning rate and beyond.* ICLR.
# - J. Ma, D. Yarats (2021). *On the adequacy of untuned warmup for adaptive optimization.* AAAI.
# - A. Vaswani et al. (2017). *Attention is all you need.* NeurIPS. (Section 5.3, equation 3.)
# - R. Xiong et al. (2020). *On layer normalization in the transformer architecture.* ICML.
