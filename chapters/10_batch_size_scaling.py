# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 10 · Batch size
#
# **What you will see.** A recipe that fails when the batch grows; the rate that repairs it, up to a batch size whose order of magnitude can be
# measured beforehand; and beyond it, a wall that no rate removes.
#
# **What you will do.** Find the best peak at eight batch sizes for two optimizers, measure the gradient's noise, trade
# a decaying rate for a growing batch, and train in two processes.
#
# **What you need.** Chapters 1 to 9, or this much of them. A schedule is a *shape* whose factor multiplies the *peak*. An
# *epoch* is one pass over the 4,000 training signals, $4000/B$ steps at batch size $B$. A claim's line gives
# mean, 95 % interval over seeds and what it had to satisfy; bands are the 10th to 90th percentile over seeds, lines the median. Under a minute on
# two CPU cores. `LRLIB_SEED` shifts every seed; `LRLIB_SCALE` multiplies the seeds.

# %%
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
n, seeds = len(data.train_x), lab.seeds(8)
task = lab.Task(data, lambda: lab.mlp(40, 64, 10))
EPOCHS = 8


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
lab.claim("peak kept: error at 512 less at 8 (points)", kept[512] - kept[8], above=15)

# %%
repaired = kept[64] - scaled[64]
lab.claim("at 64: gained by the peak times 8 (points)", repaired, above=4)

# %%
lab.claim(
    "peak times 64: error at 512 less at 8 (points)", scaled[512] - kept[8], above=15
)

# %% [markdown]
# The large batch makes an eighth, or a 64th, of the updates, and at the old rate it does not get far. Multiplying the rate by the same factor as the batch makes up for eight of
# the ten points lost at 64, and hardly helps at 512.
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
lab.claim("steps at 1 over steps at 8", needed[0] / needed[3], within=(7, 8))

# %%
lab.claim("best rate at 8 over that at 1", best[3] / best[0], within=(6.5, 9))

# %%
lab.claim("steps at 512 over steps at 4,096", needed[9] / needed[12], within=(1, 1.2))

# %%
share = best[sizes == 32][0] / (32 * best[0])
lab.claim("best rate at 32 over what the linear rule says", share, within=(0.4, 0.8))

# %%
twice_too_much = np.interp(0.5, (best / (best[0] * sizes))[::-1], sizes[::-1])
ratio = twice_too_much / np.median(weighted)
lab.claim(
    "batch where the linear rule is twice too high over B_noise", ratio, within=(0.5, 2)
)

# %% [markdown]
# Up to batches of 8 the samples are all that counts: you may have them one by one or eight at a time. From 512 on hardly a step is saved: 32 become 29, for eight times the batch. In between lies the
# bend, at the noise scale that weighs with the curvature. $B_{\text{simple}}$ is two to three times larger here, which is one reason to expect no more of it than the order of magnitude. (Flat means: just below the stability limit of chapter 1, which is 2.)

# %% [markdown]
# ## On networks: the best peak over eight batch sizes
#
# Now the network. For each batch size from 8 to 1,024: seven peaks, four seeds, linear decay; the best peak of each seed by a parabola through its lowest
# validation loss and the neighbours. Once with the *epochs* fixed at eight, and once with the *steps* fixed at 100, so that a larger batch sees more samples.
#
# > **Predict.** Up to which batch size will the linear rule hold for SGD? Will the square root do for AdamW?


# %%
def best_peaks(result):
    """Every seed's best peak, by a parabola in the logarithm of the peak."""
    peaks, found = result.peaks[0], []
    for loss in np.nan_to_num(result.at("val_loss")[0], nan=9).T:
        i = int(np.clip(loss.argmin(), 1, len(peaks) - 2))
        bend, slope, _ = np.polyfit([-1, 0, 1], loss[i - 1 : i + 2], 2)
        shift = -slope / (2 * bend) if bend > 0 else np.sign(-slope)
        found.append(peaks[i] * 2 ** np.clip(shift, -1, 1))
    return np.array(found)


# %%
def tuned(batch_size, steps, optimizer):
    """Every seed's best peak; its test error (%) where the mean loss is lowest."""
    if optimizer == "sgd":
        centre = min(0.05 * batch_size / 8, 1.2)
    else:
        centre = min(0.025 * (batch_size / 8) ** 0.5, 0.07)
    grid, few = centre * 2.0 ** np.arange(-3, 4), lab.seeds(4)
    settings = {"steps": steps, "batch_size": batch_size, "optimizer": optimizer}
    runs = lab.sweep(task, {"linear": PolynomialDecay(steps)}, grid, few, **settings)
    loss = np.nan_to_num(runs.at("val_loss")[0], nan=9).mean(-1)
    return best_peaks(runs), 100 * runs.at("test_error")[0, loss.argmin()]


many, some = [8, 16, 32, 64, 128, 256, 512, 1024], [8, 32, 128, 512, 1024]
found = {}
for optimizer in ("sgd", "adamw"):
    for B in many:
        found[optimizer, "epochs", B] = tuned(B, steps_at(B), optimizer)
    for B in some:
        found[optimizer, "steps", B] = tuned(B, 100, optimizer)

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
# a run of SGD, four seeds; and once exactly, from the gradients of all 4,000 samples:


# %%
def microbatch_loss(model, seed, batch_size=32):
    rng, (x, y) = np.random.default_rng(seed), data.split("train")

    def loss():
        index = torch.from_numpy(rng.integers(n, size=batch_size))
        return nn.functional.cross_entropy(model(x[index]), y[index])

    return loss


def exact_noise_scale(model):
    """From the gradient of every single sample."""
    params = {name: p.detach() for name, p in model.named_parameters()}

    def loss(params, x, y):
        output = torch.func.functional_call(model, params, (x,))
        return nn.functional.cross_entropy(output, y)

    each = torch.func.vmap(torch.func.grad(loss), (None, 0, 0))
    grads = each(params, *data.split("train")).values()
    grads = torch.cat([g.flatten(1) for g in grads], 1)
    return float(grads.var(0).sum() / grads.mean(0).square().sum())


# %%
moments, few = [0, 20, 100, 200, 300, 400, 480], lab.seeds(4)
run = lab.sweep(
    task,
    {"linear": PolynomialDecay(500)},
    [0.3],
    few,
    steps=500,
    batch_size=64,
    eval_steps=moments,
    evaluate=[],
    keep_states=True,
)
noise = np.empty((len(few), len(moments)))
for k, seed in enumerate(few):
    for j, step in enumerate(moments):
        model = run.model("linear", 0.3, seed, step)
        loss = microbatch_loss(model, [seed, step])
        noise[k, j] = gradient_noise_scale(loss, 32, params=model.parameters())

# %%
checked = {j: run.model("linear", 0.3, few[0], moments[j]) for j in (0, 3, 6)}
exact = {j: exact_noise_scale(model) for j, model in checked.items()}
print("steps:      ", *(f"{step:5}" for step in moments))
print("noise scale:", *(f"{value:5.0f}" for value in np.median(noise, 0)), "samples")
for j, value in exact.items():
    measured = f"{noise[0, j]:.0f} measured, {value:.0f} exactly"
    print(f"first seed, step {moments[j]}: {measured}")

# %%
ratio = noise[0, 3] / exact[3]
lab.claim("noise scale, step 200: measured over exact", ratio, within=(0.6, 1.7))

# %% [markdown]
# After a dip it grows as the gradient shrinks: one to five hundred samples in the first 200 of 500 steps, thousands near the end. Now draw everything on one picture, with the median as a dotted line:


# %%
def draw(ax, optimizer, mode, ladder):
    """Best peaks: seeds, their geometric mean, and both rules from the first one on."""
    peaks = np.array([found[optimizer, mode, B][0] for B in ladder])
    middle, x = np.exp(np.log(peaks).mean(1)), np.array(ladder)
    ax.plot(x, peaks, "o", color="0.6", markersize=4)
    ax.plot(x, middle, color="black")
    ax.plot(x, middle[0] * x / x[0], color="#0072B2", linestyle="--")
    ax.plot(x, middle[0] * (x / x[0]) ** 0.5, color="#D55E00", linestyle="-.")
    ax.axvline(np.median(noise), color="0.5", linewidth=1, linestyle=":")
    ax.set(xscale="log", yscale="log", ylim=(middle[0] / 2, middle[0] * 60))
    name = {"sgd": "SGD", "adamw": "AdamW"}[optimizer]
    ax.set_title(f"{name}, {'eight epochs' if mode == 'epochs' else '100 steps'}")
    ax.set_xticks(many, [str(B) for B in many])
    ax.minorticks_off()


# %%
fig, axes = plt.subplots(2, 2, sharex=True, figsize=(9.4, 7))
for row, optimizer in zip(axes, ("sgd", "adamw"), strict=True):
    draw(row[0], optimizer, "epochs", many)
    draw(row[1], optimizer, "steps", some)
    row[0].set_ylabel("best peak")
figures.name_line(axes[0, 0], 34, 0.75, "linear", color="#0072B2")
figures.name_line(axes[0, 0], 60, 0.075, "square root", color="#D55E00")
figures.name_line(axes[0, 0], 50, 0.03, "noise scale, median", color="0.3")
for ax in axes[1]:
    ax.set_xlabel("batch size")
fig.suptitle(
    "SGD: linear well below the noise scale, then less. AdamW: neither rule",
    fontweight="bold",
)
plt.show()

# %%
print("test error (%) at the best peak")
print("batch size".ljust(16), *(f"{B:6}" for B in many))
for optimizer in ("sgd", "adamw"):
    for mode, ladder in (("epochs", many), ("steps", some)):
        row = {B: f"{found[optimizer, mode, B][1].mean():6.1f}" for B in ladder}
        print(f"{optimizer}, {mode}".ljust(16), *(row.get(B, " " * 6) for B in many))


# %%
def power(optimizer, mode, low, high):
    """By which power of the batch size the best peak grows, for every seed."""
    ratio = found[optimizer, mode, high][0] / found[optimizer, mode, low][0]
    return np.log(ratio) / np.log(high / low)


for optimizer in ("sgd", "adamw"):
    for mode, low, high in (
        ("epochs", 8, 64),
        ("epochs", 128, 1024),
        ("steps", 128, 1024),
    ):
        values = power(optimizer, mode, low, high)
        interval = f"{values.mean():5.2f} ± {lab.half_interval(values):.2f}"
        print(f"{optimizer}, {mode}, from {low} to {high}: power {interval}")

# %%
lab.claim(
    "SGD, epochs, 8 to 64: power", power("sgd", "epochs", 8, 64), within=(0.85, 1.1)
)

# %%
lab.claim(
    "SGD, epochs, 256 to 1,024: power", power("sgd", "epochs", 256, 1024), below=0.7
)

# %%
lab.claim(
    "SGD, steps, 128 to 1,024: power", power("sgd", "steps", 128, 1024), below=0.5
)

# %%
lab.claim(
    "AdamW, epochs, 8 to 1,024: power",
    power("adamw", "epochs", 8, 1024),
    within=(-0.1, 0.4),
)

# %%
lab.claim(
    "AdamW, epochs, 64 to 1,024: power", power("adamw", "epochs", 64, 1024), below=0
)

# %%
at_8, at_256, at_1024 = (found["sgd", "epochs", B][1] for B in (8, 256, 1024))
lab.claim(
    "SGD, tuned, epochs: error at 256 less at 8 (points)", at_256 - at_8, within=(-1, 8)
)

# %%
lab.claim(
    "SGD, tuned, epochs: error at 1,024 less at 8 (points)", at_1024 - at_8, above=10
)

# %% [markdown]
# **SGD** follows the linear rule closely from 8 to 64, and still nearly at 128; at 1,024 the rule would be wrong by a factor of about four. With the number of steps fixed the same: about linear at first,
# then nearly flat. **AdamW** follows neither. From 8 to 64 its best peak grows, by a power that four seeds hardly tell from the square root's or from one; then it *falls*; with 100 steps it does not
# rise from 128 on. We did not look for the cause. (The noise scale was measured along SGD only. And we scaled the rate alone, as most people do. Malladi et al. also replace $1-\beta$ by $\kappa(1-\beta)$ for a batch $\kappa$ times as large, which at
# $\kappa=128$ would leave no $\beta$ at all; so this does not test their rule.) The square root is derived for training dominated by noise, and from 8 to 1,024 it would have
# asked for eleven times the peak, where about twice is best.
#
# The table says what a larger batch is worth. At fixed epochs SGD's error rises by two points up to 64, with an eighth of the updates, and by about four up to 256; beyond, the
# tuned run is worse and worse, since no peak makes up for missing updates. At fixed *steps* a larger batch only helps, until it does nothing.
#
# Does the bend lie at the noise scale? Fit McCandlish et al.'s formula to the best peaks of each seed:


# %%
def predicted(B, log_max, log_noise):
    """McCandlish et al.: logarithm of the best rate."""
    return log_max - np.log1p(np.exp(log_noise) / B)


bends = []
for k in range(len(few)):
    y = np.log([found["sgd", "epochs", B][0][k] for B in many])
    (log_max, log_noise), _ = optimize.curve_fit(predicted, many, y, p0=(0, 5))
    bends.append(np.exp(log_noise))
print("bend of the best peak, by seed:", np.round(bends))
print("median noise scale, by seed:   ", np.median(noise, axis=1).round())
print("mean noise scale, by seed:     ", noise.mean(1).round())
ratio = np.array(bends) / np.median(noise, axis=1)
lab.claim("bend over noise scale", ratio, scale="ratio", within=(1 / 4, 4))

# %% [markdown]
# The bend is where the noise scale says, as to the order of magnitude, and no training at any other batch size was needed. More one should not ask: the scale grows forty- to a hundredfold during the run, and
# the mean over the same seven moments, instead of the median, lies several times above the bend. Before you buy more machines, measure it in a run that you have. McCandlish et al. found it to predict the useful
# batch size, as to its order of magnitude, from MNIST to Dota; Shallue et al. (2019), who tuned everything anew at every batch size on many tasks, found the bend wherever they looked, and no rule for the rate that held
# throughout.

# %% [markdown]
# ## Does warm-up rescue the linear rule?
#
# Goyal et al. (2017) trained ResNet-50 on ImageNet for 90 epochs with batches of 256 and of 8,192, with the linear rule. Their validation errors (Table 1), and the same four runs here, with batches
# of 8 and 64. Constant warm-up stays at the small batch's rate for the first eighth of the run, gradual warm-up rises from it. The second network has a hidden layer more and starts with
# weights 1.6 times too large (chapter 8); it gets a peak of 0.025 at 8, from a coarse search not shown. And the first network once more, with 256 in place of 64.
#
# > **Predict.** In which of the three does warm-up matter?


# %%
def large_weights():
    model = lab.mlp(40, 64, 64, 10)
    for layer in model[::2]:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        layer.weight.data *= 1.6
        nn.init.zeros_(layer.bias)
    return model


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
badly_scaled = lab.Task(data, large_weights)
small = {"small batch": kept[8]}
small_bad = {"small batch": errors(8, 0.025, what=badly_scaled)["linear"]}
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
bad, good, far = (
    warm["too large, 64"],
    warm["well scaled, 64"],
    warm["well scaled, 256"],
)
lab.claim(
    "weights too large, 64: gained by gradual warm-up (points)",
    bad["no warm-up"] - bad["gradual warm-up"],
    above=4,
)

# %%
lab.claim(
    "weights too large, 64: gradual warm-up less small batch (points)",
    bad["gradual warm-up"] - bad["small batch"],
    no_difference=4,
)

# %%
lab.claim(
    "well scaled, 64: gained by gradual warm-up (points)",
    good["no warm-up"] - good["gradual warm-up"],
    no_difference=4,
)

# %%
lab.claim(
    "well scaled, 256: gradual warm-up less small batch (points)",
    far["gradual warm-up"] - far["small batch"],
    above=1,
)

# %% [markdown]
# The badly scaled network shows Goyal et al.'s pattern, for a reason of its own. The linear rule alone costs about eleven points; with gradual warm-up the large batch is as good as the small one, as far as we can tell. (Constant warm-up,
# worse than none in the paper, is as good as gradual here. At 256 it is ten points worse than none.) The well scaled network needs no rescue at 64. At 256 warm-up does not help: here and with three other draws of the seeds gradual warm-up
# ended two to five points above none. Of the seven points lost without it, tuning the peak brings back four; the rest is missing updates. So warm-up repairs a bad start of the linear rule, not its end. The paper saw the end too: beyond batches of about 8,000 its errors rise with
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
peaks = [0.02, 0.04, 0.08]
fell = lab.sweep(task, decay, peaks, seeds, steps=steps, batch_size=16)
grew = lab.sweep(
    task, {"batch grows": Constant()}, peaks, seeds, steps=len(sizes), batch_size=sizes
)
print("updates:", steps, "and", len(sizes))
change = 100 * (grew.at("test_error")[0] - fell.at("test_error")[0])
for j, peak in enumerate(peaks):
    a, b = (100 * runs.at("test_error")[0, j].mean() for runs in (fell, grew))
    print(f"peak {peak}: rate falls {a:.1f} %, batch grows {b:.1f} %")

# %%
for peak, difference in zip(peaks, change, strict=True):
    text = f"peak {peak}: batch grows less rate falls (points)"
    lab.claim(text, difference, no_difference=1)

# %%
fig, axes = plt.subplots(1, 2, sharey=True, figsize=(9.4, 3.9))
for runs, name in ((fell, "step"), (grew, "constant")):
    samples = np.cumsum([16] * steps if runs is fell else sizes) / 1000
    loss = figures.smooth(runs.train_loss[0, -1], 40)
    label = runs.schedules[0]
    figures.band(
        axes[0], np.arange(loss.shape[1]), loss, label=label, **figures.look(name)
    )
    figures.band(axes[1], samples, loss, label=label, **figures.look(name))
axes[0].set(
    xlabel="updates", ylabel="training loss (nats), mean of 40 updates", ylim=(0, 2.4)
)
axes[1].set(xlabel="samples (thousands)")
axes[1].legend()
fig.suptitle(
    "Over samples the same curve, from 2,312 updates in place of 4,000",
    fontweight="bold",
)
plt.show()

# %% [markdown]
# At all three peaks the two end within a point of each other, after 4,000 updates or after 2,312. Smith et al. report the same on ImageNet (76.1 % with ResNet-50, in under half an hour). That fits the explanation by
# $\eta/B$. Where a rate has to fall for another reason, stability say, it promises nothing. (On the right the larger batches seem to lag: a mean over 40 updates spans more samples there.)

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
lab.claim("largest difference between final weights", worst, below=1e-5)

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
# **"Always scale linearly."** For SGD, well below the noise scale (here to about a quarter of it). For AdamW neither rule held over the range.
#
# **"Large batches generalise worse."** At fixed epochs they end worse; they also make fewer updates. Of the runs of 100 steps those with batches of 512 and 1,024 have the lowest test error, but they also see the most samples.
# Neither comparison is at equal training loss, so neither tests the claim.
#
# **A pitfall: a scheduler stepped several times per update.** accelerate advances a prepared scheduler once for each process at every update, for plans that count the steps of one process (issue 1382). If your plan counts updates already, with
# two processes and 1,000 updates:

# %% tags=["nbval-check-output"]
optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
scheduler, trace = ScheduledLR(optimizer, CosineAnnealing(1_000)), LRTrace(optimizer)
for _ in range(1_000):
    optimizer.step()
    for _ in range(2):  # once per process: wrong
        scheduler.step()
print("rate after 250, 499 and 750 updates:", *trace.lr[[250, 499, 750], 0].round(4))

# %% [markdown]
# Half of the run is made at rate zero. (torch's own cosine would climb back to the peak.)
#
# **A pitfall: adding up gradients that should be averaged.** Four microbatches, each loss undivided, give four times the gradient. SGD then trains at four times the rate, and a clipping threshold is in effect four times lower; Adam, its epsilon apart, hides the error.

# %% tags=["nbval-check-output"]
x, y = data.split("train")
for divide in (True, False):
    model = task.model(0)
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
model, (x, y) = task.model(0), data.split("train")
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
for index in lab.batches(0, n, 100, new_batch):  # the first 100 of total_steps
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
# - On a network SGD's best peak grew linearly from 8 to 64 (power 0.96), nearly so to 128, and by a power of 0.27 from 256 on (0.27 to 0.40 in four draws). AdamW's rose up to 64 and then fell; from 8 to 1,024 it only doubled.
# - The noise scale, measured in one run, gave SGD's bend to its order of magnitude.
# - Warm-up let a badly scaled network follow the linear rule (ten points), and did not help where the rule itself had ended.
# - A batch that grows fourfold twice ended within a point of a rate that falls fourfold twice, with 2,312 updates in place of 4,000.
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
# - S. Malladi, K. Lyu, A. Panigrahi, S. Arora (2022). *On the SDEs and scaling rules for adaptive gradient algorithms.* NeurIPS.
# - S. McCandlish, J. Kaplan, D. Amodei et al. (2018). *An empirical model of large-batch training.* arXiv:1812.06162. (Section 2; appendix A.1.)
# - C. J. Shallue et al. (2019). *Measuring the effects of data parallelism on neural network training.* JMLR 20(112).
# - S. L. Smith, P.-J. Kindermans, C. Ying, Q. V. Le (2018). *Don't decay the learning rate, increase the batch size.* ICLR.
# - G. Zhang et al. (2019). *Which algorithmic choices matter at which batch sizes? Insights from a noisy quadratic model.* NeurIPS.
