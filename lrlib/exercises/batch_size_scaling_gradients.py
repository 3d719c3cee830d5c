"""Checkers of chapter 10: what becomes of the gradients of microbatches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lrlib.exercises import Ask, Limit, Mistake, exercise, rows, short, to_number

# --- 2. A batch in pieces


def _add_up(
    weight=lambda s, m, n: s / n,
    zero="first",
    starts=lambda n, m: range(0, n, m),
    says=np.average,
    of_y=None,
):
    """A loop over pieces of n samples, m at once; one of s samples has a `weight`."""

    def accumulate(model, loss_fn, x, y, m):
        n, losses, sizes = len(x), [], []
        if zero == "first":
            model.zero_grad()
        for p in model.parameters() if zero == "by hand" else ():
            p.grad.zero_()
        for begin in starts(n, m):
            part = slice(begin, begin + m)
            if zero == "each":
                model.zero_grad()
            loss = loss_fn(model(x[part]), y[of_y or part])
            losses.append(loss.item())
            sizes.append(len(x[part]))
            (loss * weight(sizes[-1], m, n)).backward()
        if zero == "last":
            model.zero_grad(set_to_none=False)
        return says(losses, weights=sizes)

    return accumulate


def _left(ask: Ask, samples: int, size: int, mode: str, old: float | None) -> Any:
    """What `accumulate` leaves in .grad, where `old` was before, and what it returns."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(samples)
        model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()
        x, y = torch.randn(samples, 4).double(), torch.randint(3, (samples,))
    model.train(mode != "eval")[0].train(mode == "train")
    weights, passes, limit = list(model.parameters()), [], Limit(10_000, "calls of the model")
    before, modes = [p.detach().clone() for p in weights], [m.training for m in model.modules()]
    for p in weights:
        p.grad = None if old is None else torch.full_like(p, old)

    def record(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        limit()
        mine = (inputs[0].detach().reshape(-1, 1, 4) == x).all(-1).int().argmax(1).tolist()
        kind = "forward" if output.requires_grad else "look"
        passes.append((kind, mine, [m.training for m in model.modules()]))
        if output.requires_grad:
            output.register_hook(lambda _: passes.append(("backward", mine, modes)))

    model.register_forward_hook(record)
    with torch.enable_grad():
        answer = ask(model, cross_entropy, x, y, size)
        recording = torch.is_grad_enabled() and all(p.requires_grad for p in weights)
    grads = [p.grad for p in weights if p.grad is not None]
    now = "train" if model[0].training else "eval"
    faults = {
        **_faults(passes, samples, size),
        "you changed the weights. The step is the caller's.": any(
            not torch.equal(p, was) for p, was in zip(weights, before, strict=True)
        ),
        ".grad is None in the end. Were the gradients zeroed last?": len(grads) < len(weights),
        "your function changed the mode of the model (train or eval) before it called it. With "
        "dropout or batch norm that is another model's gradient. The mode is the caller's.": any(
            used_in != modes for *_, used_in in passes
        ),
        f"your function left the model, or a layer of it, in {now} mode, in which it was not "
        f"before.": [m.training for m in model.modules()] != modes,
        "your function left gradients switched off: no training can go on.": not recording,
    }
    for text in (text for text, is_so in faults.items() if is_so):
        raise Mistake(f"with {samples} samples in microbatches of {size}: {text}")
    return torch.cat([grad.flatten() for grad in grads]).numpy(), answer


def _faults(passes: Sequence[Any], samples: int, size: int) -> dict[str, Any]:
    """What may be wrong with the passes through the model, and whether it is."""
    kinds = [kind for kind, *_ in passes]
    pieces = [mine for kind, mine, _ in passes if kind == "backward"]
    used = [i for mine in pieces for i in mine]
    missing = [i for i in range(samples) if i not in used]
    later = kinds[kinds.index("backward") :] if pieces else []
    most = max((len(mine) for _, mine, _ in passes), default=0)
    return {
        "the model was not called.": not passes,
        f"the model was called with {most} samples at once; there is room for {size}.": most > size,
        "no backward went through the model.": not pieces,
        "all microbatches went forward before the first went backward. Until then what each needs "
        "for its backward stays in memory: call backward() for every microbatch.": (
            kinds.count("forward") > 1 and "forward" not in later
        ),
        f"only {samples - len(missing)} samples went forward and backward, in pieces of "
        f"{short([len(mine) for mine in pieces])}; number {short(missing)[1:-1]} did not. The last "
        f"microbatch may be smaller; it counts too.": missing,
        f"{len(used)} samples went backward: some more than once.": len(used) > samples,
    }


def _accumulated(ask: Ask, samples: int, size: int, mode: str) -> dict[str, Any]:
    fresh, _ = _left(ask, samples, size, mode, None)
    found, answer = _left(ask, samples, size, mode, 0.5)
    if not np.allclose(found, fresh, 1e-5, 1e-6):
        raise Mistake("what was in .grad before is still in it: zero the gradients first.")
    return {"gradient": found, "loss": to_number(answer, f"{ask.name}, for the loss,")}


_WEIGHTS = {
    "the gradients of mean losses are added up, and nothing is divided.": lambda s, m, n: 1,
    "you take the mean of the microbatches' gradients. The last microbatch is smaller, and weighs "
    "as much as one of {microbatch_size}.": lambda s, m, n: 1 / -(-n // m),
    "each microbatch is weighted with {microbatch_size} / {samples}. The last is smaller, and "
    "weighs as much as the others.": lambda s, m, n: m / n,
    "you divide by {samples} // {microbatch_size}, and there is one microbatch more, a smaller "
    "one.": lambda s, m, n: 1 / max(1, n // m),
    "you divide by the size of a microbatch, {microbatch_size}. The mean is over {samples} "
    "samples.": [lambda s, m, n: 1 / m, lambda s, m, n: s / m],
    "you divide means by the number of samples, so by their size twice.": lambda s, m, n: 1 / n,
    "you divide by the number of microbatches times {microbatch_size}. There are {samples} "
    "samples.": lambda s, m, n: s / (-(-n // m) * m),
}
_PIECES = {
    "only the last microbatch is in .grad. Zero the gradients once, before the first.": [
        _add_up(zero="each"),
        *(_add_up(weight, "each") for weight in _WEIGHTS.values() if callable(weight)),
    ],
    "the gradients are 0 in the end: they were zeroed last.": _add_up(zero="last"),
    "a weight that had no gradient yet has None in .grad. "
    "model.zero_grad() copes with that.": _add_up(zero="by hand"),
    "chunk(k) makes k pieces. split(k) makes pieces of k, and the last of them may be smaller than "
    "k.": lambda model, loss_fn, x, y, m: _add_up()(model, loss_fn, x, y, -(-len(x) // m)),
    "the targets are not cut as the inputs are.": _add_up(of_y=slice(None)),
    "each slice begins one sample after the one before, not a whole microbatch.": [
        _add_up(starts=lambda n, m: range(-(-n // m))),
        _add_up(starts=lambda n, m: range(n // m)),
    ],
    "you return the mean of the losses of the microbatches, and the last of them has fewer "
    "samples.": _add_up(says=lambda losses, weights: np.mean(losses)),
    "you return the sum of the microbatches' losses.": _add_up(says=lambda x, weights: sum(x)),
    "you return the loss of the last microbatch.": _add_up(says=lambda x, weights: x[-1]),
    "the loss you return is weighted twice: each microbatch has its share in it already, and gets "
    "it again.": _add_up(says=lambda x, weights: np.dot(x, np.square(weights)) / sum(weights) ** 2),
    "the loss you return is divided by the number of microbatches, although it is made of their "
    "shares.": _add_up(says=lambda x, weights: np.average(x, weights=weights) / len(x)),
    "you return the last microbatch's share of the loss alone. Add up the shares of all the "
    "microbatches.": _add_up(says=lambda x, weights: x[-1] * weights[-1] / sum(weights)),
}
check_accumulate = exercise(
    "Exercise 2: ``accumulate(model, loss_fn, x, y, microbatch_size)``, a batch in pieces.",
    right=_add_up(),
    names=("samples", "microbatch_size", "_mode"),
    cases=((12, 5, "train"), (8, 3, "eval"), (7, 1, "a layer"), (10, 4, "train"), (3, 10, "eval")),
    read=_accumulated,
    wrong=[*rows(_WEIGHTS, _add_up), *rows(_PIECES)],
    say={
        "gradient": {
            "negative": "the sign of the gradient is wrong.",
            "times samples": "that is the gradient of the sum. Divide by the number of samples.",
            "divided samples": "you divide by the number of samples twice.",
        },
        "loss": {"times samples": "you return the sum of the loss over the samples."},
    },
    passed="the gradient of the whole batch, whatever the size of its last piece.",
)


# --- 3. The noise scale


def _measured(updates: Sequence[Any], b: int) -> Any:
    """What the updates show, as arrays over them: squared norms, |G|² and tr Σ."""
    if min(len(update) for update in updates) < 2:
        raise ValueError("an update with one microbatch does not tell noise from gradient")
    raw = [np.asarray(update) for update in updates]
    u = SimpleNamespace(raw=raw, b=b, n=np.array([len(g) for g in raw]), d=raw[0].shape[1])
    u.small = np.array([(g**2).sum(1).mean() for g in raw])
    u.large = np.array([(g.mean(0) ** 2).sum() for g in raw])
    u.B, u.by_n = b * u.n, b * (u.small - u.large)  # the latter, tr Σ with n instead of n - 1
    u.g, u.t = _solved(u, u.small, u.large, u.B)
    return u


def _solved(u, small, large, B):
    """|G|² and tr Σ of each update, from the two squared norms."""
    return (B * large - u.b * small) / (B - u.b), (small - large) / (1 / u.b - 1 / B)


def _estimate(formula=lambda u: (u.g, u.t), covered=lambda square, trace: math.inf):
    """A noise scale by a formula of what was measured, or for |G|² and tr Σ, to be averaged."""

    def noise_scale(updates, b):
        u = _measured(updates, b)
        found = formula(u)
        both = found if isinstance(found, tuple) else (np.sign(u.g.mean()), found)
        square, trace = map(np.mean, both)
        return float(trace / square if square > 0 else covered(square, trace))

    return noise_scale


def _by_coordinate(u, of=np.mean):
    var = np.array([g.var(0, ddof=1) for g in u.raw])
    square = np.array([g.mean(0) ** 2 for g in u.raw]) - var / u.n[:, None]
    return of(u.b * var.mean(0) / square.mean(0))


_ESTIMATES = {
    "you average the ratios of the updates. Where |G|² happens to be near 0, or below, its ratio "
    "is huge, or negative: average the two first, and divide then.": lambda u: (u.t / u.g).mean(),
    "you take the median of the updates' ratios.": lambda u: np.median(u.t / u.g),
    "one update's |G|² may be below 0, and you return infinity at once. Only the average "
    "matters.": lambda u: math.inf if (u.g <= 0).any() else (u.g, u.t),
    "you put estimates of |G|² that are below 0 to 0. Each is right on average only if those below "
    "count as they are: look at the average alone.": lambda u: (np.maximum(u.g, 0), u.t),
    "you leave out the updates whose |G|² is below 0. Those that are left are too large on "
    "average.": [lambda u, f=f: (u.g[u.g > 0], u.t[(u.g > 0) | f]) for f in (True, False)],
    "you take the absolute value of |G|². One below 0 counts as it is.": lambda u: (abs(u.g), u.t),
    "|G|² is the squared norm of the mean, and that still has noise in it: tr Σ / B of it, on "
    "average.": lambda u: (u.large, u.t),
    "you average ratios, and |G|² is the squared norm of the mean, which still has noise in "
    "it.": lambda u: (u.t / u.large).mean(),
    "|G|² is the squared norm of the microbatches, noise and all.": lambda u: (u.small, u.t),
    "the trace is in microbatches: the covariance of one sample is b times that of a mean of b. "
    "And |G|² still has noise in it.": lambda u: (u.large, u.t / u.b),
    "the covariance is multiplied by B. It is that of means over b.": lambda u: (u.g, u.t * u.n),
    "the variance is divided by n, not by n - 1, which is too small when the mean comes from the "
    "same n.": lambda u: (u.large - u.by_n / u.B, u.by_n),
    "the variance of the trace is divided by n. It should be n - 1.": lambda u: (u.g, u.by_n),
    "the variance is divided by n, not by n - 1, and |G|² still has the noise of the mean in "
    "it.": lambda u: (u.large, u.by_n),
    "those are norms. They are to be squared.": lambda u: _solved(
        u, np.array([((g**2).sum(1) ** 0.5).mean() for g in u.raw]), u.large**0.5, u.B
    ),
    "|G| is not squared.": [
        lambda u: (u.large**0.5, u.t),
        lambda u: u.t.mean() / u.g.mean() ** 0.5,
    ],
    "the ratio is upside down: it is noise over signal.": lambda u: u.g.mean() / u.t.mean(),
    "you pool the microbatches of all updates. The gradient itself changes from update to update, "
    "which counts as noise then.": lambda u: _estimate()([np.concatenate(u.raw)], u.b),
    "the updates are weighted by their microbatches, and each is to count the same "
    "in both averages.": lambda u: (u.g * u.n, u.t * u.n),
    "you divide coordinate by coordinate. Sum over the parameters first.": [
        *(lambda u, of=of: _by_coordinate(u, of) for of in (np.mean, np.sum))
    ],
    "that is the last update alone.": lambda u: u.t[-1] / u.g[-1],
    "that is the first update alone.": lambda u: u.t[0] / u.g[0],
    "the noise in the squared norm is added. Take it off.": lambda u: (u.large + u.t / u.B, u.t),
    "you take tr Σ / b off the squared norm of the mean. That is a mean over all n of the "
    "microbatches, B = n b samples.": lambda u: (u.large - u.t / u.b, u.t),
    "B counts samples: n microbatches of b.": lambda u: _solved(u, u.small, u.large, u.n),
    "b is the number of samples in a microbatch, not in the update.": lambda u: (u.g, u.t / u.n),
    "the number of microbatches may differ from update to update. You take that of the "
    "first.": lambda u: _solved(u, u.small, u.large, u.B[0]),
    "|g_b|² and |g_B|² have changed places where you compute |G|². The larger batch has the "
    "smaller norm.": lambda u: (_solved(u, u.large, u.small, u.B)[0], u.t),
    "|g_B|² is the squared norm of the mean over the microbatches, and you take that of their "
    "sum.": lambda u: _solved(u, u.small, u.large * u.n**2, u.B),
    "|g_b|² is a mean over the microbatches of an update, and you take their sum over "
    "them.": lambda u: _solved(u, u.small * u.n, u.large, u.B),
    "one of your squared norms is a mean over the parameters. Both are sums.": lambda u: _solved(
        u, u.small / u.d, u.large, u.B
    ),
    "tr Σ is the difference of the squared norms divided by 1/b - 1/B.": [
        *(lambda u, e=e: (u.g, u.t * (1 / u.b - 1 / u.B) ** e) for e in (1, 2))
    ],
    "|G|² is to be divided by B - b.": lambda u: (u.g * (u.B - u.b), u.t),
    "that is tr Σ. Where is |G|²?": lambda u: u.t.mean(),
    "that is |G|². Where is tr Σ?": lambda u: u.g.mean(),
    "one of the two is a sum over the updates, the other a mean.": [
        *(lambda u, e=e: (u.g, u.t * len(u.n) ** e) for e in (1, -1))
    ],
}


def _updates(counts: Sequence[int], noise: float) -> list[Tensor]:
    """Updates of so many microbatches, around a gradient that changes from one to the next."""
    if not noise:  # |G|² is 0 on average, exactly
        return [2 * torch.eye(2).double(), torch.tensor([1.0, -1.0]).diag().double()]
    draw = np.random.default_rng(counts).standard_normal
    centre, spread = np.linspace(1.5, -0.5, 6), noise * np.linspace(0.4, 1.6, 6)
    return [torch.tensor(np.roll(centre, k) + spread * draw((n, 6))) for k, n in enumerate(counts)]


def _noise(ask: Ask, counts: Sequence[int], b: int, noise: float) -> float:
    found = to_number(ask(_updates(counts, noise), b), ask.name)
    # Rounding can leave a hair of an average that is 0, and then a ratio beyond all sizes.
    return math.inf if not noise and abs(found) > 1e6 else found


check_noise_scale = exercise(
    "Exercise 3: ``noise_scale(updates, b)``, from the gradients of microbatches.",
    right=_estimate(),
    names=("microbatches", "b", "_noise"),
    cases=(
        ((4, 4, 4, 4, 4, 4), 8, 1.0),
        ((2, 2, 2), 16, 0.5),
        ((5,), 1, 1.0),
        ((3, 6, 2, 4), 4, 1.0),
        ((2, 3, 2, 2, 3), 4, 1.5),  # one has a |G|² below 0
        ((2, 2, 2), 4, 4.0),  # so has the average
        ((2, 2), 4, 0.0),
        ((1,), 8, 1.0),
        ((4, 1, 4), 8, 1.0),
    ),
    read=_noise,
    rel=1e-5,
    wrong=[
        *rows(_ESTIMATES, _estimate),
        (
            "the noise covers the gradient where |G|² is not above 0: return math.inf.",
            *(_estimate(covered=covered) for covered in (lambda s, t: t / s, lambda s, t: 0)),
        ),
        (
            "you leave out what does not tell noise from gradient. Raise a ValueError.",
            lambda us, b: _estimate()([update for update in us if len(update) > 1], b),
        ),
    ],
    say={
        "divided b": "the result is in microbatches: the covariance of one sample is b times that "
        "of a mean of b.",
        "negative": "the sign is wrong: which of the two squared norms is larger?",
    },
    passed="unbiased at every update, and the ratio is that of the averages.",
)
