# %% [markdown]
# # 10 · Batch size
#
# **What you will see.** A recipe that fails when the batch grows; the rate that repairs it, up to a batch size whose order of magnitude can be
# measured beforehand; and beyond it, a wall that no rate removes.
#
# **What you will do.** Find the best peak at eight batch sizes for SGD and at four for AdamW, measure the gradient's noise, trade
# a decaying rate for a growing batch, and train in two processes.
#
# **What you need.** Chapters 1 to 9, or this much of them. A schedule is a *shape* whose factor multiplies the *peak*. An
# *epoch* is one pass over the 4,000 training signals that a seed draws, $4000/B$ steps at batch size $B$; all seeds are judged on the same 10,000 test signals. A table of evidence gives
# mean, 95 % interval over seeds and, for claims, what the whole interval had to satisfy; bands are the 10th to 90th percentile over seeds, lines the median. Under a minute on
# two CPU cores. `LRLIB_SEED` shifts every seed; `LRLIB_SCALE` multiplies the seeds.

# %%
import warnings

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
    gradient_noise_scale,
    lab,
    scale_lr,
)
from lrlib.batch_size_scaling import GradientNoiseScale
from lrlib.lab import data_parallel, figures
from scipy import optimize
from torch import nn

# %%
figures.use_style()
data = lab.load_mnist1d()
seeds = lab.seeds(20)
drawn = data.draw(seeds[0])  # what the first seed trains on
n = len(drawn.train_x)
task = lab.Task(data, lambda: lab.mlp(40, 64, 10), margin=lab.MARGINS["mnist1d"])
EPOCHS, MARGIN = 8, task.margin.points  # 2 points of error: the least that matters


def steps_at(batch_size):
    return EPOCHS * n // batch_size


# %% [markdown]
# ## The recipe that was right for 8
#
# A recipe: batches of 8, eight epochs, SGD with momentum 0.9, linear decay from a peak of 0.05. On a larger machine you would like
# larger batches. Keep everything else, the epochs too:


# %%
def errors(batch_size, peak, shapes=None, what=task):
    """Name of a shape -> test error (%) of every seed after eight epochs."""
    steps = steps_at(batch_size)
    shapes = {"linear": PolynomialDecay(steps)} if shapes is None else shapes
    settings = {"steps": steps, "batch_size": batch_size, "evaluate": ["test"]}
    found = lab.sweep(what, shapes, [peak], seeds, **settings).at("test_error")
    return dict(zip(shapes, 100 * np.nan_to_num(found[:, 0], nan=0.9), strict=True))


kept = {B: errors(B, 0.05)["linear"] for B in (8, 64, 512)}
scaled = {B: errors(B, scale_lr(0.05, 8, B))["linear"] for B in (64, 512)}
for B in (64, 512):
    print(f"B = {B:3}: {kept[B].mean():.1f} % with the peak kept, ", end="")
    print(f"{scaled[B].mean():.1f} % with the peak times {B // 8}")
print(f"B =   8: {kept[8].mean():.1f} %")

# %%
repaired, left = kept[64] - scaled[64], scaled[512] - kept[8]
text, also = "at 64: gained by the peak times 8", "at 512: gained by the peak times 64"
lab.claims(
    [
        lab.claim(text, repaired, above=MARGIN, unit="points"),
        lab.measure(also, kept[512] - scaled[512], unit="points"),
        lab.claim("at 512, so: error less at 8", left, above=MARGIN, unit="points"),
    ]
)

# %% [markdown]
# The large batch makes an eighth, or a 64th, of the updates, and at the old rate it does not get far. Multiplying the rate by the same factor as the batch makes up for about nine [8.3, 9.6] of
# the ten points lost at 64. At 512 it gains nothing that we can tell (1.8 points [−1.4, 5.0]) and leaves the run about 33 [30, 36] behind.
#
# > **Predict.** Somewhere between, the rule breaks. What decides where: the network, the data, the optimizer, the number of
# > steps? Could you find the place without training at every batch size?

# %% [markdown]
# ## Why the rate should follow the batch, and why not for ever
#
# A batch's gradient is the true gradient $G$ plus noise of covariance $\Sigma/B$, where $\Sigma$ is that of one sample. Take $k$ small steps at rate $\eta$: as long
# as the gradient hardly changes, they move the weights by $-\eta kG$, with noise of variance $k\eta^2\Sigma/B$. One step with a batch of $kB$ and rate
# $k\eta$ does the same: $-k\eta G$, variance $k^2\eta^2\Sigma/(kB)$. That is the *linear* rule. Adam divides by the gradient's root mean square. Where noise dominates, that is
# $\sigma/\sqrt B$, so one step moves a weight by $\eta\sqrt B\,G/\sigma$, with noise of variance $\eta^2$; $k$ steps by $k\eta\sqrt B\,G/\sigma$, with $k\eta^2$. One step at $kB$ and rate $\eta'$ gives
# $\eta'\sqrt{kB}\,G/\sigma$ and $\eta'^2$. Both agree for $\eta'=\sqrt k\,\eta$ (Malladi et al., 2022): the *square-root* rule. From a rate $\eta$ at $B$ to $B'$:
#
# $$\eta'=\eta\,\frac{B'}B\quad\text{(SGD)},\qquad \eta'=\eta\sqrt{\frac{B'}B}\quad\text{(Adam)}.$$
#
# "As long as the gradient hardly changes" has an end. To second order the expected loss after one step of SGD is a parabola in $\eta$, and McCandlish et al. (2018) find its minimum:
#
# $$\eta(B)=\frac{\eta_{\max}}{1+B_{\text{noise}}/B},\qquad B_{\text{simple}}=\frac{\operatorname{tr}\Sigma}{|G|^2}.$$
#
# Linear for small batches, flat for large ones, with the bend at the *gradient noise scale*: there the linear rule already asks for twice too much. From $B$ to $B'$ the rate changes by $(1+B_{\text{noise}}/B)/(1+B_{\text{noise}}/B')$. (With momentum $\mu$ put $\eta/(1-\mu)$ for $\eta$, as long as a run is much longer than $1/(1-\mu)$ steps.) The exact $B_{\text{noise}}$ weighs both $\Sigma$ and $G$ with the curvature;
# $B_{\text{simple}}$ leaves the curvature out, and can be measured.


# %%
def rule(lr, batch_size, new_batch_size, optimizer):
    ratio = new_batch_size / batch_size
    return lr * (ratio if optimizer == "sgd" else ratio**0.5)


# %% tags=["nbval-check-output"]
pairs = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}
for name, kind in pairs.items():
    same = all(
        np.isclose(rule(0.1, 8, B, name), scale_lr(0.1, 8, B, kind))
        for B in (1, 8, 1000)
    )
    print(f"{name}: 0.1 at 8 is {scale_lr(0.1, 8, 512, kind):.2g} at 512; same: {same}")

# %% [markdown]
# ## The exact case: a line, a bend, a wall
#
# On the noisy quadratic (curvatures $1,1/2,\dots,1/100$) ask for the fewest steps to a loss of 0.1, from 2.6, with a fixed rate, the best one for
# each batch size. Everything is exact:

# %%
sizes, target = 2 ** np.arange(13), 0.1
rates = np.geomspace(0.01, 1.99, 60)
best, needed = [], []
for B in sizes.tolist():
    horizon = min(2_000, 100 + 2_000 // B)
    problem = lab.NoisyQuadratic(batch_size=B)
    reached = problem.loss(np.tile(rates[:, None], horizon)) <= target
    first = np.where(reached.any(1), reached.argmax(1), horizon + 1)
    best.append(rates[first.argmin()])
    needed.append(first.min())
best, needed = np.array(best), np.array(needed)
print("batch sizes:", *sizes)
print("steps:      ", *needed)
print("samples:    ", *(needed * sizes))


# %%
def noise_along(batch_size, rate, steps):
    """B_simple and B_noise at every step at a fixed rate; the variance is h, too."""
    h, e = 1 / np.arange(1, 101), np.ones(100)  # e: expected squared distances
    scales = []
    for _ in range(steps):
        scales.append((h.sum() / (h**2 * e).sum(), (h**2).sum() / (h**3 * e).sum()))
        e = (1 - rate * h) ** 2 * e + rate**2 * h / batch_size
    return np.array(scales).T


# %%
at = list(sizes).index(32)
simple, weighted = noise_along(32, best[at], needed[at])
print(f"B_simple: {simple[0]:.1f} at the start, {np.median(simple):.0f} in the median")
print(
    f"B_noise:  {weighted[0]:.1f} at the start, {np.median(weighted):.0f} in the median"
)
fig, axes = plt.subplots(1, 2, figsize=(9.4, 3.9))
axes[0].plot(sizes, best, "o-", color="black")
axes[0].plot(sizes[:8], best[0] * sizes[:8], color="#0072B2", linestyle="--")
figures.name_line(axes[0], 70, 3.2, "linear rule", color="#0072B2")
axes[0].set(ylabel="best fixed rate", ylim=(0.03, 5), title="The best rate")
axes[1].plot(sizes, needed, "o-", color="black")
axes[1].plot(sizes, needed * sizes, "s--", color="#D55E00")
figures.name_line(axes[1], 1.2, 260, "steps", color="black")
figures.name_line(axes[1], 120, 40_000, "samples", color="#D55E00")
axes[1].set(ylabel="to a loss of 0.1", title="What it costs")
for ax in axes:
    ax.axvline(np.median(weighted), color="0.5", linewidth=1, linestyle=":")
    ax.set(xscale="log", yscale="log", xlabel="batch size B")
fig.suptitle(
    "Twice the batch halves the steps, up to the noise scale (dotted)",
    fontweight="bold",
)
plt.show()

# %%
twice_too_much = np.interp(0.5, (best / (best[0] * sizes))[::-1], sizes[::-1])
bend = twice_too_much / np.median(weighted)
where = "batch where the linear rule is twice too high over B_noise"
few_samples, many_samples = needed[0] / needed[3], needed[9] / needed[12]
lab.claims(
    [
        lab.claim("steps at 1 over steps at 8", few_samples, within=(7, 8)),
        lab.claim("steps at 512 over steps at 4,096", many_samples, within=(1, 1.2)),
        lab.claim(where, bend, within=(0.5, 2)),
    ]
)

# %% [markdown]
# Up to batches of 8 the samples are all that counts: you may have them one by one or eight at a time. From 512 on hardly a step is saved: 32 become 29, for eight times the batch. In between lies the
# bend, at the noise scale that weighs with the curvature. $B_{\text{simple}}$ is two to three times larger here, which is one reason to expect no more of it than the order of magnitude. (Flat means: just below the stability limit of chapter 1, which is 2.)

# %% [markdown]
# ## On networks: the best peak over eight batch sizes
#
# Now the network. Batch sizes from 8 to 1,024; for each, seven peaks, six seeds (ten for AdamW), linear decay; the best peak of each seed by a parabola through its lowest
# validation loss and two neighbours on each side. For SGD once with the *epochs* fixed at eight, and once with the *steps* fixed at 100, so that a larger batch sees more samples. For AdamW always eight epochs,
# once with a fifth of the run as warm-up and once without: eight epochs at 1,024 are 31 updates, and chapter 8 showed how AdamW starts.
#
# > **Predict.** Up to which batch size will the linear rule hold for SGD? Will the square root do for AdamW?


# %%
def best_peaks(result, shape):
    """Every seed's best peak, by a parabola in the logarithm of the peak."""
    peaks, found = result.peaks[0], []
    loss = np.nan_to_num(result.at("val_loss")[result.schedules.index(shape)], nan=9)
    for values in np.minimum(loss, np.log(10)).T:  # no worse than a guess
        i = int(np.clip(values.argmin(), 2, len(peaks) - 3))
        bend, slope, _ = np.polyfit(np.arange(-2, 3), values[i - 2 : i + 3], 2)
        shift = -slope / (2 * bend) if bend > 0 else np.sign(-slope)
        found.append(peaks[i] * 2 ** np.clip(shift, -2, 2))
    return np.array(found)


# %%
def tuned(batch_size, steps, optimizer, few):
    """Shape -> best peaks, test errors (%) at the peak the others choose, the least."""
    centre, shapes = min(0.05 * batch_size / 8, 1.2), {"linear": PolynomialDecay(steps)}
    if optimizer == "adamw":
        centre, rise = min(0.025 * (batch_size / 8) ** 0.5, 0.07), steps // 5
        shapes["warm-up"] = Warmup(rise).then(PolynomialDecay(steps - rise))
    grid = centre * 2.0 ** np.arange(-3, 4)
    settings = {"steps": steps, "batch_size": batch_size, "optimizer": optimizer}
    runs = lab.sweep(task, shapes, grid, few, **settings)
    judged, _ = runs.judged("test_error", by="val_loss")
    least = dict(
        zip(shapes, np.nanmin(100 * runs.at("test_error"), axis=1), strict=True)
    )
    return {s: (best_peaks(runs, s), 100 * judged[s], least[s]) for s in shapes}


# %%
few, ten = lab.seeds(6), lab.seeds(10)
many, some = [8, 16, 32, 64, 128, 256, 512, 1024], [8, 32, 128, 512]
ladders = {"SGD, eight epochs": many, "SGD, 100 steps": some}
for name in ("AdamW, no warm-up", "AdamW, warm-up"):
    ladders[name] = [16, 64, 256, 1024]
found = {}
for B in many:
    found["SGD, eight epochs", B] = tuned(B, steps_at(B), "sgd", few)["linear"]
for B in some:
    found["SGD, 100 steps", B] = tuned(B, 100, "sgd", few)["linear"]
for B in ladders["AdamW, warm-up"]:
    both = tuned(B, steps_at(B), "adamw", ten)
    found["AdamW, no warm-up", B] = both["linear"]
    found["AdamW, warm-up", B] = both["warm-up"]

# %% [markdown]
# Beside it, the noise scale. The expected squared norm of a gradient averaged over $b$ samples is $|G|^2+\operatorname{tr}\Sigma/b$. Measured at two batch sizes, for microbatches of $b$ and for all $B$ samples
# together, it gives both unknowns without bias:
#
# $$|G|^2\approx\frac{B\,|g_B|^2-b\,|g_b|^2}{B-b},\qquad\operatorname{tr}\Sigma\approx\frac{|g_b|^2-|g_B|^2}{1/b-1/B}.$$


# %%
def noise_scale(gradients, b):
    """From the gradients of microbatches of b samples, (microbatches, parameters)."""
    B = b * len(gradients)
    small = gradients.square().sum(1).mean()
    big = gradients.mean(0).square().sum()
    signal = (B * big - b * small) / (B - b)
    return (small - big) / (1 / b - 1 / B) / signal


# %% tags=["nbval-check-output"]
some_gradients = 1 + torch.randn(64, 10, generator=torch.Generator().manual_seed(0))
ours, theirs = noise_scale(some_gradients, 8), gradient_noise_scale(some_gradients, 8)
print(f"by hand {ours:.4f}, lrlib {theirs:.4f}; |G|² = 10 and tr Σ = 80, so 8 is right")

# %% [markdown]
# `gradient_noise_scale` also takes a loss, which it calls on fresh microbatches, 64 of 32 samples here. Along
# a run of SGD and one of AdamW, six seeds each; and at step 200 of SGD's also exactly, from the gradients of all 4,000 samples:


# %%
def microbatch_loss(model, seed, batch_size=32):
    rng, (x, y) = np.random.default_rng(seed), data.draw(seed[0]).split("train")

    def loss():
        index = torch.from_numpy(rng.integers(n, size=batch_size))
        return nn.functional.cross_entropy(model(x[index]), y[index])

    return loss


def exact_noise_scale(model, seed):
    """From the gradient of every single sample that the seed trains on."""
    params = {name: p.detach() for name, p in model.named_parameters()}

    def loss(params, x, y):
        output = torch.func.functional_call(model, params, (x,))
        return nn.functional.cross_entropy(output, y)

    each = torch.func.vmap(torch.func.grad(loss), (None, 0, 0))
    grads = each(params, *data.draw(seed).split("train")).values()
    grads = torch.cat([g.flatten(1) for g in grads], 1)
    return float(grads.var(0).sum() / grads.mean(0).square().sum())


# %%
moments, noise, exact = [0, 20, 100, 200, 300, 400, 480], {}, []
line = {"linear": PolynomialDecay(500)}
for optimizer, peak in (("sgd", 0.3), ("adamw", 0.05)):
    settings = {"steps": 500, "batch_size": 64, "optimizer": optimizer}
    kept_states = {"eval_steps": moments, "evaluate": [], "keep_states": True}
    run = lab.sweep(task, line, [peak], few, **settings, **kept_states)
    noise[optimizer] = np.empty((len(few), len(moments)))
    for k, seed in enumerate(few):
        for j, step in enumerate(moments):
            model = run.model("linear", peak, seed, step)
            loss = microbatch_loss(model, [seed, step])
            value = gradient_noise_scale(loss, 32, params=model.parameters())
            noise[optimizer][k, j] = value
            if optimizer == "sgd" and step == 200:
                exact.append(exact_noise_scale(model, seed))

# %%
print("steps:           ", *(f"{step:5}" for step in moments))
for name, values in noise.items():
    row = (f"{value:5.0f}" for value in np.median(values, 0))
    print(f"{name:6} in samples:", *row)
middle = {name: np.median(values, axis=1) for name, values in noise.items()}
text = "SGD, step 200: noise scale measured over exact"
lab.measure(text, noise["sgd"][:, moments.index(200)] / exact, scale="ratio")

# %% [markdown]
# After a dip it grows as the gradient shrinks: from under a hundred to about five hundred samples in the first 200 of 500 steps, thousands near the end. Now draw everything on one picture, with the median over a run as a dotted line:


# %%
def draw(ax, name):
    """Best peaks: seeds, their geometric mean, and both rules from the first one on."""
    x = np.array(ladders[name])
    peaks = np.array([found[name, B][0] for B in x])
    centre = np.exp(np.log(peaks).mean(1))
    ax.plot(x, peaks, "o", color="0.6", markersize=4)
    ax.plot(x, centre, color="black")
    ax.plot(x, centre[0] * x / x[0], color="#0072B2", linestyle="--")
    ax.plot(x, centre[0] * (x / x[0]) ** 0.5, color="#D55E00", linestyle="-.")
    scale = np.median(noise["sgd" if name.startswith("SGD") else "adamw"])
    ax.axvline(scale, color="0.5", linewidth=1, linestyle=":")
    ax.set(xscale="log", yscale="log", ylim=(centre[0] / 2, centre[0] * 60))
    ax.set_title(name)
    ax.set_xticks(many, [str(B) for B in many])
    ax.minorticks_off()


# %%
fig, axes = plt.subplots(2, 2, sharex=True, figsize=(9.4, 7))
for ax, name in zip(axes.flat, ladders, strict=True):
    draw(ax, name)
for row in axes:
    row[0].set_ylabel("best peak")
figures.name_line(axes[0, 0], 34, 0.75, "linear", color="#0072B2")
figures.name_line(axes[0, 0], 60, 0.075, "square root", color="#D55E00")
figures.name_line(axes[0, 0], 50, 0.03, "noise scale, median", color="0.3")
for ax in axes[1]:
    ax.set_xlabel("batch size")
fig.suptitle(
    "SGD: linear well below the noise scale, then less. AdamW: the start decides",
    fontweight="bold",
)
plt.show()

# %%
print("test error (%) at the best peak")
print("batch size".ljust(18), *(f"{B:6}" for B in many))
for name, ladder in ladders.items():
    row = {B: f"{found[name, B][1].mean():6.1f}" for B in ladder}
    print(name.ljust(18), *(row.get(B, " " * 6) for B in many))


# %%
def growth(name, low, high, power=0):
    """Best peak at one batch size over that at another, over a rule of this power."""
    ratio = found[name, high][0] / found[name, low][0]
    return ratio / (high / low) ** power


sgd, cold, warmed = "SGD, eight epochs", "AdamW, no warm-up", "AdamW, warm-up"
test, least = {B: found[sgd, B][1] for B in (8, 256)}, found[sgd, 1024][2]
near, far = growth(sgd, 8, 64, power=1), growth(sgd, 8, 1024, power=1)

# %%
near_text = "SGD, 8 to 64: best peak over the linear rule's"
far_text = "SGD, 8 to 1,024: best peak over the linear rule's"
flat_text = "SGD, 100 steps: best peak at 512 over that at 128"
some_text = "SGD, tuned: error at 256 less at 8"
lost_text = "SGD, each seed's least error at 1,024 less the tuned one's at 8"
lab.claims(
    [
        lab.claim(near_text, near, within=(0.5, 2), scale="ratio"),
        lab.claim(far_text, far, below=0.5, scale="ratio"),
        lab.measure(flat_text, growth("SGD, 100 steps", 128, 512), scale="ratio"),
        lab.measure(some_text, test[256] - test[8], unit="points"),
        lab.claim(lost_text, least - test[8], above=MARGIN, unit="points"),
    ]
)

# %%
text = "AdamW, best peak from 64 to 1,024: growth with warm-up over that without"
turned = growth(warmed, 64, 1024) / growth(cold, 64, 1024)
rows = [lab.claim(text, turned, above=1, scale="ratio")]
for name in (cold, warmed):
    for low, high, power, what in (
        (16, 64, 0.5, "best peak at 64 over the square root's from 16"),
        (16, 1024, 0.5, "best peak at 1,024 over the square root's from 16"),
        (64, 1024, 0, "best peak at 1,024 over that at 64"),
        (256, 1024, 0, "best peak at 1,024 over that at 256"),
    ):
        ratio = growth(name, low, high, power)
        rows.append(lab.measure(f"{name}: {what}", ratio, scale="ratio"))
lab.claims(rows)

# %% [markdown]
# **SGD** follows the linear rule closely from 8 to 64: its best peak is 0.94 [0.91, 0.98] of what the rule says. At 1,024 the rule would be wrong by a factor of about four. With the number of steps fixed, the best peak grows by 1.3 times [1.1, 1.6] from 128 to 512, where
# the rule says four.
#
# **AdamW** without warm-up follows neither rule. From 16 to 64 its best peak grows more than the square root says, by 1.6 times [1.5, 1.7]; then it *falls*: at 1,024 it is 0.65 [0.55, 0.76] of that at 64. Most of the fall belongs to the start. With a fifth of the run as
# warm-up the best peak at 1,024 is 1.7 times [1.5, 2.0] that at 64: without it, the first of 31 updates bound the rate, as in chapter 8. From 16 to 64 the run with warm-up keeps close to the square root (1.14 of it
# [1.03, 1.27]). From 16 to 1,024 the square root would have asked for eight times the peak, of which about half [0.44, 0.55] is best; it is derived for training dominated by noise.
#
# Li et al. (2024) derive another shape for updates that follow the gradient's sign: a best rate that rises with the batch, is highest where the batch equals the noise scale, and falls beyond. With the start taken care of, our four batch sizes agree with it: the best peak is
# highest at 256, and at 1,024 it is 0.85 [0.74, 0.99] of that; the median noise scale of AdamW's run lies between. They do not prove it, and what looked like such a fall without warm-up was mostly something else. (We scaled the rate alone, as most people do. Malladi et al. also replace $1-\beta$ by $\kappa(1-\beta)$ for a batch $\kappa$ times as large, which at
# $\kappa=128$ would leave no $\beta$ at all; so this does not test their rule.)
#
# The table says what a larger batch is worth. At fixed epochs SGD's error at 256 is about four points [2.8, 5.5] above that at 8, with a 32nd of the updates; at 1,024 it is about 16 [13, 19] above, even at the peak
# that suits each seed's test error best: no peak makes up for missing updates. At fixed *steps* the larger batch has the lower error.
#
# Does the bend lie at the noise scale? Fit McCandlish et al.'s formula to the best peaks of each seed:


# %%
def predicted(B, log_max, log_noise):
    """McCandlish et al.: logarithm of the best rate."""
    return log_max - np.log1p(np.exp(log_noise) / B)


bends = []
for k in range(len(few)):
    y = np.log([found[sgd, B][0][k] for B in many])
    (log_max, log_noise), _ = optimize.curve_fit(predicted, many, y, p0=(0, 5))
    bends.append(np.exp(log_noise))
print("bend of the best peak, by seed:", np.round(bends))
print("median noise scale, by seed:   ", middle["sgd"].round())
mean = noise["sgd"].mean(1)
lab.claims(
    [
        lab.measure("bend over the run's median", bends / middle["sgd"], scale="ratio"),
        lab.measure("bend over the run's mean", bends / mean, scale="ratio"),
    ]
)

# %% [markdown]
# As to the order of magnitude the bend is where the run's median noise scale says, 0.8 times it [0.4, 1.4], and no training at any other batch size was needed. More one should not ask: the scale grows from under a hundred to thousands during the run, and
# the mean over the same seven moments, instead of the median, lies three to four times above the bend. Before you buy more machines, measure it in a run that you have. McCandlish et al. found it to predict the useful
# batch size, as to its order of magnitude, from MNIST to Dota; Shallue et al. (2019), who tuned everything anew at every batch size on many tasks, found the bend wherever they looked, and no rule for the rate that held
# throughout.

# %% [markdown]
# ## Does warm-up rescue the linear rule?
#
# Goyal et al. (2017) trained ResNet-50 on ImageNet for 90 epochs with batches of 256 and of 8,192, with the linear rule. Their validation errors (Table 1), and the same four runs here, with batches
# of 8 and 64. Constant warm-up stays at the small batch's rate for the first eighth of the run, gradual warm-up rises from it. The second network has a hidden layer more and starts with
# weights 1.6 times too large (chapter 8); it gets a peak of 0.025 at 8 (the next cells try its neighbours). And the first network once more, with 256 in place of 64.
#
# > **Predict.** In which of the three does warm-up matter?


# %%
def three_starts(what, peak, large):
    """Test errors of the large batch, whose peak is scaled from a batch of 8."""
    steps, times = steps_at(large), large // 8
    start = steps // 8
    after = PolynomialDecay(steps - start)
    starts = {
        "no warm-up": PolynomialDecay(steps),
        "constant warm-up": Constant(1 / times, total_iters=start).then(after),
        "gradual warm-up": Warmup(start, start_factor=1 / times).then(after),
    }
    return errors(large, scale_lr(peak, 8, large), starts, what)


# %%
badly_scaled = lab.Task(
    data, lambda: lab.mlp(40, 64, 64, 10, gain=1.6), margin=task.margin
)
line, grid = {"linear": PolynomialDecay(steps_at(8))}, [0.0125, 0.025, 0.05]
settings = {"steps": steps_at(8), "batch_size": 8}
tried = lab.sweep(badly_scaled, line, grid, lab.seeds(8), **settings)
for peak, error in zip(grid, tried.at("val_error")[0].mean(-1), strict=True):
    print(f"weights too large, batches of 8, peak {peak}: {error:.1%} validation error")
small = {"small batch": kept[8]}
small_bad = {"small batch": 100 * tried.at("test_error")[0, 1]}

# %%
warm = {
    "well scaled, 64": small | three_starts(task, 0.05, 64),
    "too large, 64": small_bad | three_starts(badly_scaled, 0.025, 64),
    "well scaled, 256": small | three_starts(task, 0.05, 256),
}
goyal = dict(zip(warm["too large, 64"], (23.60, 24.84, 25.88, 23.74), strict=True))
print(f"{'error (%)':18}{'Goyal et al.':>14}", *(f"{name:>17}" for name in warm))
for run, paper in goyal.items():
    cells = (
        f"{r[run].mean():9.1f} ± {lab.half_interval(r[run]):3.1f}"
        for r in warm.values()
    )
    print(f"{run:18}{paper:14.2f}", *(f"{cell:>17}" for cell in cells))

# %%
well, large, well_256 = warm.values()


def gained(runs):
    return runs["no warm-up"] - runs["gradual warm-up"]


def behind(runs):
    small = runs["small batch"]  # of fewer seeds where the weights are too large
    return runs["gradual warm-up"][: len(small)] - small


# %%
text, also = "too large, 64: gained by gradual warm-up", "well, 256: gradual less small"
rest = {
    "too large, 64: gradual less small": behind(large),
    "well scaled, 64: gained by gradual warm-up": gained(well),
    "well scaled, 256: gained by gradual warm-up": gained(well_256),
    "well scaled, 256: no warm-up less small": well_256["no warm-up"] - kept[8],
}
lab.claims(
    [
        lab.claim(text, gained(large), above=MARGIN, unit="points"),
        lab.claim(also, behind(well_256), above=MARGIN, unit="points"),
        *(lab.measure(text, values, unit="points") for text, values in rest.items()),
    ]
)

# %% [markdown]
# The badly scaled network shows Goyal et al.'s pattern, for a reason of its own. The linear rule alone costs about eleven points; gradual warm-up brings back about nine [7.7, 10.6] of them, and leaves the large batch 1.7 points [0.2, 3.3] behind the small one.
# (Constant warm-up, worse than none in the paper, is the best start here; at 256 it is ten points worse than none.) The well scaled network needs no rescue at 64: what gradual warm-up gains, −0.43 points [−0.85, −0.01], is less than the two that would matter. At 256 warm-up costs something:
# gradual warm-up ends four points [2.3, 6.4] above none. Without it the large batch is six points [4.9, 7.6] behind; tuned, four [2.8, 5.5] (the table above), and those are missing updates. So warm-up repairs a bad start of the linear rule, not its end. The paper saw the end too: beyond batches of about 8,000 its errors rise with
# gradual warm-up. And their run at 8,192 had about 14,000 updates; ours at 64 has 500.

# %% [markdown]
# ## A growing batch in place of a falling rate
#
# What matters for the noise is $\eta/B$. So instead of dividing the rate by a factor, Smith et al. (2018) multiply the batch by it: the same fall of the noise, fewer updates. Here with a factor of four: a fixed peak, batches of 16
# for eight epochs, and then two steps, each for four epochs: the rate falls to a quarter and a sixteenth, or the batch grows to 64 and 256.

# %%
half, quarter = 8 * n // 16, 4 * n // 16  # updates, in batches of 16
steps = half + 2 * quarter
decay = {"rate falls": MultiStepDecay([half, half + quarter], gamma=0.25)}
sizes = [16] * half + [64] * (quarter // 4) + [256] * (quarter // 16)
peaks = [0.04, 0.08, 0.16]
fell = lab.sweep(task, decay, peaks, few, steps=steps, batch_size=16)
grew = lab.sweep(
    task, {"batch grows": Constant()}, peaks, few, steps=len(sizes), batch_size=sizes
)
print("updates:", steps, "and", len(sizes))
for j, peak in enumerate(peaks):
    a, b = (100 * runs.at("test_error")[0, j] for runs in (fell, grew))
    half = lab.half_interval(b - a)
    print(f"peak {peak}: rate falls {a.mean():.1f} %, batch grows ", end="")
    print(f"{b.mean():.1f} %; difference {(b - a).mean():.2f} ± {half:.2f}")

# %%
a, b = (100 * next(iter(runs.judged()[0].values())) for runs in (fell, grew))
text = "batch grows less rate falls, each at its best peak"
lab.claims([lab.claim(text, b - a, no_difference=task.margin, unit="points")])


# %%
def over_samples(loss, sizes, width=1_000):
    """Samples and updates made, and the loss as a mean over every 1,000 samples."""
    seen = np.concatenate([[0], np.cumsum(sizes)])
    total = np.insert(np.cumsum(loss * sizes, axis=1), 0, 0, axis=1)
    grid = np.arange(0, seen[-1] + 1, width)
    updates = np.interp(grid[1:], seen, np.arange(len(seen)))
    sums = np.array([np.interp(grid, seen, row) for row in total])
    return grid[1:] / 1_000, updates, np.diff(sums) / width


# %%
fig, axes = plt.subplots(1, 2, sharey=True, figsize=(9.4, 3.9))
for runs, of, line in (
    (fell, [16] * steps, {"color": "#56B4E9", "linewidth": 5}),
    (grew, sizes, {"color": "black", "linewidth": 1.2}),
):
    samples, updates, loss = over_samples(runs.train_loss[0, 1], of)
    for ax, x in zip(axes, (updates, samples), strict=True):
        ax.plot(x, np.median(loss, 0), label=runs.schedules[0], **line)
axes[0].set(xlabel="updates", ylabel="training loss (nats), mean of 1,000 samples")
axes[1].set(xlabel="samples (thousands)", ylim=(0, 2.4))
axes[1].legend()
fig.suptitle(
    "Over samples the same curve, from 2,312 updates in place of 4,000",
    fontweight="bold",
)
plt.show()

# %% [markdown]
# Each at its best peak, the two differ by 0.14 points [−0.15, 0.42], after 4,000 updates or after 2,312; the lines above show that the same holds at every peak tried. Smith et al. report the same on ImageNet (76.1 % with ResNet-50, in under half an hour). That fits the explanation by
# $\eta/B$. Where a rate has to fall for another reason, stability say, it promises nothing.

# %% [markdown]
# ## Accumulated microbatches are a large batch, and so are several processes
#
# A batch of 32 can be computed in one piece; in four pieces of 8 whose gradients add up, each loss divided by four; or by two processes, 16 each, that average their gradients before every
# update (`DistributedDataParallel`). It is the same update. `lab.data_parallel` trains in all three ways, for 24 updates with warm-up and cosine; `launch(2)` has torchrun start two processes that talk over
# this machine's loopback interface:

# %%
whole = data_parallel.train()
pieces = data_parallel.train(microbatches=4)
ranks = data_parallel.launch(2)
for name, run in {
    "four microbatches": pieces,
    "process 0": ranks[0],
    "process 1": ranks[1],
}.items():
    gradient = (run["gradient"] - whole["gradient"]).abs().max()
    weights = (run["weights"] - whole["weights"]).abs().max()
    rates = torch.equal(run["lr"], whole["lr"])
    print(f"{name:17}: gradients differ by {gradient:.0e}, ", end="")
    print(f"weights at the end by {weights:.0e}; same rates: {rates}")

# %%
runs = [pieces, *ranks]
worst = max(float((run["weights"] - whole["weights"]).abs().max()) for run in runs)
lab.claims([lab.claim("largest difference between final weights", worst, below=1e-5)])

# %% [markdown]
# What counts is the *global* batch: samples per process × processes × microbatches. From it follow
#
# | | when the global batch is $k$ times as large |
# | --- | --- |
# | the peak | for SGD times $k$ while the new batch is well below the noise scale; above, tune |
# | the schedule's length, warm-up included, in steps | divided by $k$ for the same number of epochs |
# | `scheduler.step()` | once per *update*, in every process; not once per process or microbatch |
# | the loss | divided by the number of microbatches; the average over processes is taken for you |
# | momentum | unchanged; for Adam's betas see Malladi et al. |
# | the data | a different share in every process, the same weights in all |
#
# And it gives the noise scale without another backward pass. The gradients before and after averaging are those of a small batch and a large one, which is what the estimator needs; the price is one more set of gradients (accumulation), or a hook that sees them before they are averaged (processes). `GradientNoiseScale` is a running
# average from either:

# %%
print(f"from four microbatches of 8:  {pieces['noise_scale']:.0f} samples")
print(f"from two processes of 16:     {ranks[0]['noise_scale']:.0f} samples")

# %% [markdown]
# (After 24 updates both are rough.)
#
# ## Folklore and pitfalls
#
# **"Always scale linearly."** For SGD, well below the noise scale (here to about a quarter of it). For AdamW neither rule held over the range; with warm-up the square root came close up to 64.
#
# **"Large batches generalise worse."** At fixed epochs they end worse; they also make fewer updates. Of the runs of 100 steps the larger batch has the lower test error, but it also sees more samples.
# Neither comparison is at equal training loss, so neither tests the claim.
#
# **A pitfall: a scheduler stepped several times per update.** accelerate advances a prepared scheduler once for each process at every update, for plans that count the steps of one process (issue 1382). If your plan counts updates already, with
# two processes and 1,000 updates:

# %% tags=["nbval-check-output"]
optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
scheduler, trace = ScheduledLR(optimizer, CosineAnnealing(1_000)), LRTrace(optimizer)
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    for _ in range(1_000):
        optimizer.step()
        for _ in range(2):  # once per process: wrong
            scheduler.step()
print(str(said[0].message).split(". ")[0])
print("rate after 250, 499 and 750 updates:", *trace.lr[[250, 499, 750], 0].round(4))

# %% [markdown]
# Half of the run is made at rate zero. (torch's own cosine would climb back to the peak.) `ScheduledLR` sees every update, and says so
# once, at the first.
#
# **A pitfall: adding up gradients that should be averaged.** Four microbatches, each loss undivided, give four times the gradient. SGD then trains at four times the rate, and a clipping threshold is in effect four times lower; Adam, its epsilon apart, hides the error.

# %% tags=["nbval-check-output"]
x, y = drawn.split("train")
for divide in (True, False):
    model = task.model(seeds[0])
    for part in torch.arange(32).split(8):
        loss = nn.functional.cross_entropy(model(x[part]), y[part])
        (loss / 4 if divide else loss).backward()
    norm = torch.cat([p.grad.flatten() for p in model.parameters()]).norm()
    print("divided by four:" if divide else "not divided:    ", f"norm {norm:.3f}")

# %% [markdown]
# **A pitfall: an average of ratios.** One update's estimate of $|G|^2$ is so noisy that it may be negative. Averaging its ratio over updates gives anything; average numerator and denominator, and divide once. Here the true
# noise scale is 80:

# %% tags=["nbval-check-output"]
rng, running, single = torch.Generator().manual_seed(0), GradientNoiseScale(), []
for _ in range(2_000):
    microbatches = 1 + torch.randn(4, 10, generator=rng) * (80 / 8) ** 0.5
    running.update(microbatches, batch_size=8)
    single.append(gradient_noise_scale(microbatches, 8))
usable = np.isfinite(single)
print(f"ratio of averages: {running.value:.0f}")
print(f"average of ratios: {np.mean(np.array(single)[usable]):.0f}, ", end="")
print(f"after leaving out {1 - usable.mean():.0%} that are infinite")

# %% [markdown]
# ## In your own code
#
# A recipe tuned at 32, moved to a global batch of 128 in microbatches of 32. Plain torch:

# %%
old_batch, old_steps, new_batch = 32, 4_000, 128
times, total_steps = new_batch / old_batch, round(old_steps * old_batch / new_batch)
model, (x, y) = task.model(seeds[0]), drawn.split("train")
optimizer = torch.optim.SGD(model.parameters(), lr=0.1 * times, momentum=0.9)
rise = torch.optim.lr_scheduler.LinearLR(optimizer, 1 / times, 1, 50)
fall = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0, total_steps - 50)
plain = torch.optim.lr_scheduler.SequentialLR(optimizer, [rise, fall], [50])

# %% [markdown]
# With `lrlib`, and the noise scale on the way (`GradientNoiseScale(decay=0.99)` follows it through a long run):

# %%
peak = scale_lr(0.1, old_batch, new_batch, optimizer)
optimizer = torch.optim.SGD(model.parameters(), lr=peak, momentum=0.9)
shape = Warmup(50, start_factor=1 / times).then(PolynomialDecay(total_steps - 50))
scheduler, running = ScheduledLR(optimizer, shape), GradientNoiseScale()
for index in lab.batches(seeds[0], n, 100, new_batch):  # the first 100 of total_steps
    optimizer.zero_grad()
    for part in index.split(32):
        loss = nn.functional.cross_entropy(model(x[part]), y[part]) / 4
        loss.backward()
        running.after_backward(model.parameters())
    running.end_update(batch_size=32)  # before clipping
    optimizer.step()
    scheduler.step()  # once per update
low, high = running.interval()
print(f"noise scale {running.value:.0f} [{low:.0f}, {high:.0f}] samples so far")
factor = (1 + running.value / old_batch) / (1 + running.value / new_batch)
print(f"linear rule: peak times {times:g}; with this noise scale: times {factor:.1f}")

# %% [markdown]
# The batch is near the noise scale already, so take the lower factor, or tune.

# %% [markdown]
# ## Summary
#
# - The linear rule keeps signal and noise of the updates as they were; the square root is its version for Adam. At the gradient noise scale the linear rule asks for twice too much.
# - On the quadratic, exactly: twice the batch, half the steps, up to a bend at the noise scale; far beyond it, next to nothing.
# - On a network SGD's best peak grew linearly from 8 to 64 (0.94 of the rule [0.91, 0.98]); at 1,024 it was a quarter of the rule's [0.22, 0.27]. AdamW's fell from 64 to 1,024 (to 0.65 [0.55, 0.76]); with a fifth of the run as warm-up it rose instead (1.7 times [1.5, 2.0]).
# - The noise scale, measured in one run, gave SGD's bend to its order of magnitude.
# - Warm-up let a badly scaled network follow the linear rule (9.1 points [7.7, 10.6]), and did not help where the rule itself had ended.
# - A batch that grows fourfold twice did as well as a rate that falls fourfold twice (0.14 points [−0.15, 0.42]), with 2,312 updates in place of 4,000.
# - Accumulation and data parallelism are a large batch, to rounding. Count updates, and step the scheduler once for each.
#
# This ends the tour of the classical schedules. `CLAIMS.md` lists every claim of the ten chapters with its verdict.
#
# ## Exercises
#
# In `exercises/10_batch_size_scaling/`:
#
# 1. a recipe for another batch size; 2. a batch in pieces; 3. the noise scale, without bias; 4. what is wrong with this script? 5. open: a larger batch in place of a
# lower rate.
#
# ## References
#
# - P. Goyal et al. (2017). *Accurate, large minibatch SGD: training ImageNet in 1 hour.* arXiv:1706.02677. (Section 2; Table 1.)
# - A. Krizhevsky (2014). *One weird trick for parallelizing convolutional neural networks.* arXiv:1404.5997. (Derives the square root for SGD, and uses the linear rule.)
# - S. Li, P. Zhao, H. Zhang et al. (2024). *Surge phenomenon in optimal learning rate and batch size scaling.* NeurIPS. arXiv:2405.14578.
# - S. Malladi, K. Lyu, A. Panigrahi, S. Arora (2022). *On the SDEs and scaling rules for adaptive gradient algorithms.* NeurIPS.
# - S. McCandlish, J. Kaplan, D. Amodei et al. (2018). *An empirical model of large-batch training.* arXiv:1812.06162. (Section 2; appendix A.1.)
# - C. J. Shallue et al. (2019). *Measuring the effects of data parallelism on neural network training.* JMLR 20(112).
# - S. L. Smith, P.-J. Kindermans, C. Ying, Q. V. Le (2018). *Don't decay the learning rate, increase the batch size.* ICLR.
# - G. Zhang et al. (2019). *Which algorithmic choices matter at which batch sizes? Insights from a noisy quadratic model.* NeurIPS.
