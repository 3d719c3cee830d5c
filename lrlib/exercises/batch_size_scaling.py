"""Checkers of chapter 10."""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss
from torch.optim import Optimizer

from lrlib.exercises import (
    Limit,
    Mistake,
    apart,
    call,
    checker,
    close,
    letters,
    number,
    numbers,
    passed,
    refused,
    same_rates,
    short,
)
from lrlib.trace import LRTrace


def _whole(value: Any, what: str) -> int:
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value.item() if hasattr(value, "item") else value)
    except (TypeError, ValueError, RuntimeError):
        raise Mistake(
            f"{what} should be a whole number, an int, not {short(value)}. (math.ceil gives one; "
            f"/ gives a float.)"
        ) from None


def _real(value: Any, what: str) -> float:
    try:
        value = value.detach() if isinstance(value, Tensor) else value
        found = math.nan if isinstance(value, bool | str) else float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise Mistake(f"{what} should be a finite number, not {short(value)}.")
    return found


def _same(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-6)


# --------------------------------------------------------------------------------------
# 1. A recipe for another batch size

Recipe = Callable[[float, int, int, int, int, str], tuple[float, int, int]]


@checker()
def check_recipe(recipe: Recipe) -> None:
    """Exercise 1: ``recipe(lr, steps, warmup_steps, batch_size, new_batch_size, rule)``."""
    for case in (
        (0.1, 1000, 50, 32, 128, "linear"),
        (3e-4, 1000, 50, 32, 128, "sqrt"),
        (0.8, 100, 9, 256, 96, "linear"),  # a smaller batch
        (2e-3, 100, 9, 256, 96, "sqrt"),
        (0.05, 4000, 10, 8, 1024, "sqrt"),  # less than one step of warm-up
        (0.05, 200, 0, 8, 32, "linear"),  # none
        (0.1, 700, 35, 20, 28, "linear"),  # 700 / (28 / 20) is not 500 in floating point,
        (0.1, 300, 15, 28, 50, "sqrt"),  # and 300 * (28 / 50) not 168
    ):
        answer = call(recipe, *case)
        if not isinstance(answer, tuple | list) or len(answer) != 3:
            raise Mistake(f"return three numbers, (lr, steps, warmup_steps), not {short(answer)}.")
        lr, steps, warmup, old, new, rule = case
        where = f"from batch size {old} to {new}, "
        _expect_rate(_real(answer[0], "the first, the rate,"), lr, old, new, rule, where)
        for given, before, what in (
            (answer[1], steps, "steps"),
            (answer[2], warmup, "warm-up steps"),
        ):
            _expect_count(_whole(given, f"the number of {what}"), before, old, new, where, what)
    passed("every sample is seen as often as before, and the warm-up keeps its samples.")


def _expect_rate(given: float, lr: float, old: int, new: int, rule: str, where: str) -> None:
    ratio = new / old
    linear, root = lr * ratio, lr * math.sqrt(ratio)
    right = linear if rule == "linear" else root
    if _same(given, right):
        return
    wrongs = [
        (lr, "the rate is unchanged."),
        (
            root if rule == "linear" else linear,
            "the rate follows the square root of the ratio. The linear rule is asked for."
            if rule == "linear"
            else "the rate follows the ratio itself. Its square root is asked for.",
        ),
        (
            lr**2 / right,
            "the ratio is upside down: it is new over old. A larger batch has less "
            "noise and bears a larger rate.",
        ),
        (lr / ratio, "the ratio is upside down, and no root was taken."),
        (lr / math.sqrt(ratio), "the ratio is upside down, and a root was taken."),
        (math.sqrt(linear), "you took the root of the rate as well. Only the ratio is under it."),
        (
            lr * (new // old if rule == "linear" else math.sqrt(new // old)),
            "// drops the fraction of the ratio.",
        ),
        (lr * ratio**2, "the ratio is squared. The opposite is asked for."),
        (lr * new, "the rate is multiplied by the new batch size, not by the ratio."),
        (lr * math.sqrt(new), "that is the root of the new batch size, not of the ratio."),
    ]
    for wrong, hint in wrongs:
        if _same(given, wrong) or given == wrong == 0:
            raise Mistake(f"{where}rule {rule!r}: {hint}")
    said, wanted = apart(given, right, 6)
    raise Mistake(f"{where}rule {rule!r}, lr={lr:g}: the new rate is {wanted}, not {said}.")


def _expect_count(given: int, before: int, old: int, new: int, where: str, what: str) -> None:
    samples = before * old
    right = -(-samples // new)
    if given == right:
        return
    where += f"{before} {what} became {given}: "
    lost = f"{samples} samples do not fill {right} batches of {new}, and the rest counts too."
    wrongs = [
        (
            before,
            f"unchanged. Of the new batches that many hold {before * new} samples, not {samples}.",
        ),
        (
            -(-before * new // old),
            "that is the wrong direction. The larger the batch, the fewer "
            "of them hold the same samples.",
        ),
        (before * new // old, "that is the wrong direction, and rounded down."),
        (samples, "that is the number of samples."),
        (samples // new, f"rounded down, as // does, and round for less than a half. {lost}"),
        (max(1, right), "where there was no warm-up, there is none."),
        (
            math.ceil(before / (new / old)),
            f"{new} / {old} is not exact in floating point, and the "
            f"quotient came out a hair above {right}. Multiply the "
            f"whole numbers first, then divide.",
        ),
        (
            math.ceil(before * (old / new)),
            f"{old} / {new} is not exact in floating point, and the "
            f"product came out a hair above {right}. Multiply the "
            f"whole numbers first, then divide.",
        ),
        (
            samples // new + 1,
            "1 was added although nothing is left over. Round up.",
        ),
        (
            math.ceil(before / math.sqrt(new / old)),
            "the square root is for the rate. Samples are steps times the batch size.",
        ),
        (0, "none is left."),
    ]
    for wrong, hint in wrongs:
        if given == wrong:
            raise Mistake(where + hint)
    raise Mistake(f"{where}{samples} samples make {right} batches of {new}.")


# --------------------------------------------------------------------------------------
# 2. A batch in pieces

LossFn = Callable[[Tensor, Tensor], Tensor]


@dataclass
class _Pieces:
    """One call of the learner's `accumulate`: what it should do, and what it did."""

    model: nn.Module
    loss_fn: LossFn
    x: Tensor
    y: Tensor
    size: int

    def __post_init__(self) -> None:
        self.model.double()
        self.x = self.x.double()
        if self.y.is_floating_point():
            self.y = self.y.double()
        self.events: list[tuple[str, int]] = []  # ("forward", "backward", or "look", samples)
        self.called: list[list[bool]] = []  # the modes of the model's parts, at every call
        self.limit = Limit(10_000, "calls of the model")

    def gradient(self, begin: int = 0, stop: int | None = None) -> np.ndarray:
        """The gradient of the mean loss over a part of the batch, flat."""
        loss = self.loss_fn(self.model(self.x[begin:stop]), self.y[begin:stop])
        return _flat(torch.autograd.grad(loss, list(self.model.parameters())))

    def loss(self, begin: int = 0, stop: int | None = None) -> float:
        with torch.no_grad():
            return float(self.loss_fn(self.model(self.x[begin:stop]), self.y[begin:stop]))

    def watch(self) -> None:
        def record(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            self.limit()
            self.called.append(self.modes())
            n = len(inputs[0])
            self.events.append(("forward" if output.requires_grad else "look", n))
            if output.requires_grad:
                output.register_hook(lambda grad: self.events.append(("backward", n)))

        self.handle = self.model.register_forward_hook(record)

    def modes(self) -> list[bool]:
        """Whether each part of the model is in training mode."""
        return [part.training for part in self.model.modules()]

    def sizes(self, kind: str) -> list[int]:
        return [n for what, n in self.events if what == kind]


def _flat(tensors: Sequence[Tensor]) -> np.ndarray:
    return torch.cat([t.detach().flatten() for t in tensors]).numpy().copy()


def _pieces() -> Iterator[_Pieces]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(10)
        line, net = nn.Linear(3, 1), nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
        for n, size in ((12, 5), (8, 4), (7, 1), (6, 6), (3, 10)):
            yield _Pieces(line, mse_loss, torch.randn(n, 3), 2 + torch.randn(n, 1), size)
            classes = torch.randint(3, (n,))
            yield _Pieces(net, cross_entropy, torch.randn(n, 4), classes, size)


@checker()
def check_accumulate(accumulate: Callable[..., float]) -> None:
    """Exercise 2: ``accumulate(model, loss_fn, x, y, microbatch_size)``, a batch in pieces."""
    for k, case in enumerate(_pieces()):
        n = len(case.x)
        where = f"with {n} samples in microbatches of {case.size}: "
        weights = list(case.model.parameters())
        before = _flat(weights)
        for p in weights:  # gradients from before, which do not belong to this batch
            p.grad = None if k % 4 == 3 else torch.full_like(p, 0.5)
        stale = 0.0 if weights[0].grad is None else 0.5
        # In eval mode as a whole, or one layer of it alone, as in fine-tuning, or not at all.
        for i, part in enumerate(case.model.modules()):
            part.training = k % 3 != 1 and not (k % 3 == 2 and i == 1)
        modes = case.modes()
        case.watch()
        try:
            arguments = case.model, case.loss_fn, case.x.clone(), case.y.clone(), case.size
            with torch.enable_grad():
                answer = call(accumulate, *arguments)
                switched_off = not torch.is_grad_enabled()
        finally:
            case.handle.remove()
        if not np.array_equal(_flat(weights), before):
            raise Mistake(
                f"{where}your function changed the weights. It leaves the gradient in .grad; the "
                f"step is the caller's."
            )
        _expect_pieces(case, where)
        if any(p.grad is None for p in weights):
            raise Mistake(f"{where}.grad is None in the end. Were the gradients zeroed last?")
        _expect_gradient(_flat([p.grad for p in weights]), stale, case, where)
        _expect_modes(case, modes, where)
        if switched_off or not all(p.requires_grad for p in weights):
            raise Mistake(
                f"{where}your function left gradients switched off: the training that goes on "
                f"after "
                f"it would fail."
            )
        _expect_loss(_real(answer, f"{where}what you return, the loss,"), case, where)
    passed("the gradient of the whole batch, whatever the size of its last piece.")


def _expect_modes(case: _Pieces, modes: list[bool], where: str) -> None:
    """Raise Mistake unless the model ran in the modes it had, and has them again."""
    if any(called != modes for called in case.called):
        raise Mistake(
            f"{where}your function changed the mode of the model (train or eval) before it called "
            f"it. With dropout or batch norm that is the gradient of another model. The mode is "
            f"the caller's."
        )
    if case.modes() != modes:
        now = "train" if any(case.modes()) else "eval"
        raise Mistake(
            f"{where}your function left the model, or a layer of it, in {now} mode, in which it "
            f"was not before. The training goes on after it: leave the mode as it was."
        )


def _expect_pieces(case: _Pieces, where: str) -> None:
    forward, backward, n = case.sizes("forward"), case.sizes("backward"), len(case.x)
    if not case.events:
        raise Mistake(f"{where}the model was not called.")
    if (most := max(n for _, n in case.events)) > case.size:
        raise Mistake(
            f"{where}the model was called with {most} samples at once. There is room for "
            f"{case.size}."
        )
    if not backward:
        raise Mistake(f"{where}no backward went through the model.")
    kinds = [kind for kind, _ in case.events]
    if len(forward) > 1 and "forward" not in kinds[kinds.index("backward") :]:
        raise Mistake(
            f"{where}all microbatches went forward before the first went backward. Until then "
            f"what each needs for its backward stays in memory, as for the whole batch: call "
            f"backward() for every microbatch."
        )
    if sum(backward) < n:
        raise Mistake(
            f"{where}only {sum(backward)} samples went forward and backward, in pieces of "
            f"{short(backward)}. The last microbatch may be smaller; it counts too."
        )
    if sum(backward) > n:
        raise Mistake(f"{where}{sum(backward)} samples went backward: some more than once.")


def _expect_gradient(given: np.ndarray, stale: float, case: _Pieces, where: str) -> None:
    right = case.gradient()

    def near(wrong: np.ndarray) -> bool:
        return np.allclose(given, wrong, rtol=1e-5, atol=1e-8)

    if near(right):
        return
    n, size = len(case.x), case.size
    starts = range(0, n, size)
    parts = np.array([case.gradient(b, b + size) for b in starts])
    sizes = np.array([len(case.x[b : b + size]) for b in starts])
    last = n % size or min(size, n)
    pieces = len(parts)
    uneven = f"The last microbatch has {last} samples, and weighs as much as one of {size}."
    wrongs = [
        (parts.mean(0), f"you take the mean of the microbatches' gradients. {uneven}"),
        (
            parts.sum(0),
            f"the gradients of {pieces} mean losses are added up, and nothing is divided: the "
            f"result is about {pieces} times too large.",
        ),
        (
            sizes @ parts,
            "that is the gradient of the sum over all samples. Divide by their number.",
        ),
        (
            parts.sum(0) * size / n,
            f"each microbatch is weighted with {size} / {n}. {uneven}",
        ),
        (parts.sum(0) / size, "you divide by the size of a microbatch. How many are there?"),
        (parts.sum(0) / n, "you divide means by the number of samples, so by their size twice."),
        (sizes @ parts / n**2, "you divide by the number of samples twice."),
        (
            parts.sum(0) / max(1, n // size),
            f"you divide by {max(1, n // size)}, and there are {pieces} microbatches; the last "
            f"has {last} samples.",
        ),
        (
            sizes @ parts / (pieces * size),
            f"you divide by {pieces} times {size}. There are {n} samples.",
        ),
        (np.zeros_like(right), "the gradients are 0 in the end: they were zeroed last."),
    ]
    zeroed = "only the last microbatch is in .grad. Zero the gradients once, before the first."
    wrongs += [(parts[-1] * weight, zeroed) for weight in (1, last / n, 1 / pieces, size / n)]
    first = "only the first microbatch is in .grad."
    wrongs += [(parts[0] * weight, first) for weight in (1, sizes[0] / n, 1 / pieces)]
    old = "what was in .grad before is still in it. backward() adds: zero the gradients first."
    wrongs += [(right + stale, old)]
    wrongs += [(wrong + stale, f"{old} And besides: {hint}") for wrong, hint in wrongs[:-1]]
    wrongs += [
        (np.full_like(right, stale), "what was in .grad before is still there, and nothing else."),
        (-right, "the sign of the gradient is wrong."),
    ]
    for wrong, hint in wrongs:
        if near(wrong):
            raise Mistake(where + hint)
    share = apart(float(given @ right / (right @ right)), 1, 3)[0]
    raise Mistake(
        f"{where}your gradient is not that of the mean loss over the whole batch. Along it, it is "
        f"{share} times as long."
    )


def _expect_loss(given: float, case: _Pieces, where: str) -> None:
    right, n, size = case.loss(), len(case.x), case.size
    if math.isclose(given, right, rel_tol=1e-5, abs_tol=1e-8):
        return
    losses = np.array([case.loss(b, b + size) for b in range(0, n, size)])
    wrongs = [
        (
            losses.mean(),
            "you return the mean of the microbatches' losses, and the last is smaller.",
        ),
        (losses.sum(), "you return the sum of the microbatches' losses."),
        (right * n, "you return the sum over the samples."),
        (losses[-1], "you return the loss of the last microbatch."),
        (losses[-1] * (n % size or size) / n, "you return the last microbatch's share alone."),
    ]
    for wrong, hint in wrongs:
        if math.isclose(given, wrong, rel_tol=1e-5):
            raise Mistake(f"{where}the gradient is right, but {hint}")
    said, wanted = apart(given, right)
    raise Mistake(
        f"{where}the gradient is right, but you return {said}; the mean loss over the batch is "
        f"{wanted}."
    )


# --------------------------------------------------------------------------------------
# 3. The noise scale


@checker()
def check_noise_scale(noise_scale: Callable[[list[Tensor], int], float]) -> None:
    """Exercise 3: ``noise_scale(updates, b)``, from the gradients of microbatches."""
    draw = np.random.default_rng(10).standard_normal

    def updates(*counts: int, noise: float = 1.0) -> list[Tensor]:
        """Around a gradient that changes from update to update."""
        spread = noise * np.linspace(0.4, 1.6, 6)
        return [
            torch.tensor(np.roll(np.linspace(1.5, -0.5, 6), k) + spread * draw((n, 6)))
            for k, n in enumerate(counts)
        ]

    for given, b in (
        (updates(4, 4, 4, 4, 4, 4), 8),
        (updates(2, 2, 2, noise=0.5), 16),
        (updates(5), 1),
        (updates(3, 6, 2, 4), 4),
        (_some_below_zero(), 4),
    ):
        counts = {len(update) for update in given}
        many = f"{min(counts)} to {max(counts)}" if len(counts) > 1 else f"{counts.pop()}"
        where = f"for {len(given)} updates of {many} microbatches, b={b}: "
        answer = number(noise_scale, [update.clone() for update in given], b)
        _expect_noise_scale(answer, [update.numpy() for update in given], b, where)

    for where, covered in (
        ("below 0", [[[3.0, 1.0], [-3.0, 1.0]], [[1.0, 2.0], [1.0, -2.5]]]),
        ("exactly 0", [[[2.0, 0.0], [0.0, 2.0]], [[1.0, 0.0], [0.0, -1.0]]]),
    ):
        answer = number(noise_scale, [torch.tensor(update) for update in covered], 4)
        # Rounding can leave a hair of an average that is 0, and then a ratio beyond all sizes.
        if not (answer == math.inf or (where == "exactly 0" and abs(answer) > 1e6)):
            raise Mistake(
                f"where the average of the |G|² is {where}: you return {answer:.4g}. The noise "
                f"covers the gradient there: return math.inf."
            )
    single = "an update with one microbatch does not tell noise from gradient"
    for given in (updates(1), updates(4, 1, 4)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's on a variance of one: the hint is ours
            refused(noise_scale, given, 8, what=single)
    passed("unbiased at every update, and the ratio is that of the averages.")


def _some_below_zero() -> list[Tensor]:
    """Updates of which some show a |G|² below 0, and all together one well above."""
    signal, noise = np.array([1.5, 0.2, 0.0]), np.array([0.3, 0.4, 1.2])
    rows = [[1, -1, 1], [-1, 1, -1], [1, 1, 1], [-1, -1, -1]]
    spread = noise * np.array(rows)
    means = (signal, 0.2 * signal, 0.8 * signal, np.array([0.1, 0.0, 0.1]))
    return [
        torch.tensor(mean + scale * spread)
        for mean, scale in zip(means, (1, 1, 0.7, 0.8), strict=True)
    ]


def _expect_noise_scale(given: float, updates: list[np.ndarray], b: int, where: str) -> None:
    n = np.array([len(g) for g in updates])
    mean_sq = np.array([(g.mean(0) ** 2).sum() for g in updates])  # |g_B|²
    small_sq = np.array([(g**2).sum(1).mean() for g in updates])  # |g_b|²
    trace = b * n / (n - 1) * (small_sq - mean_sq)
    square = mean_sq - trace / (n * b)
    biased = b * (small_sq - mean_sq)  # divided by n, not by n - 1

    def is_(wrong: float) -> bool:
        return bool(np.isfinite(wrong)) and math.isclose(given, wrong, rel_tol=1e-5)

    right = trace.mean() / square.mean()
    if is_(right):
        return

    def pooled() -> float:
        g = np.concatenate(updates)
        t = b * g.var(0, ddof=1).sum()
        return t / ((g.mean(0) ** 2).sum() - t / (len(g) * b))

    def per_coordinate() -> tuple[float, ...]:
        g = np.array([g.mean(0) ** 2 - g.var(0, ddof=1) / len(g) for g in updates])
        t = np.array([b * g.var(0, ddof=1) for g in updates])
        biased = np.array([g.mean(0) ** 2 for g in updates])
        ratios = t.mean(0) / g.mean(0), t / g, t.mean(0) / biased.mean(0), t / biased
        return *(r.mean() for r in ratios), *(r.sum() for r in ratios)

    big, of_one = n * b, n * b * np.sqrt(mean_sq)
    small_norm = np.array([np.sqrt((g**2).sum(1)).mean() for g in updates])
    norms = (small_norm - np.sqrt(mean_sq)) / (1 / b - 1 / big)
    norm_square = (of_one - b * small_norm) / (big - b)
    in_microbatches = (
        "in microbatches. The covariance of one sample is b times that of a mean of b."
    )
    with np.errstate(all="ignore"):
        wrongs = [
            (
                (trace / square).mean(),
                "you average the ratios of the updates. Where |G|² happens to be near 0, or below, "
                "its ratio is huge, or negative: average the two first, and divide then.",
            ),
            (
                trace.mean() / mean_sq.mean(),
                "|G|² is the squared norm of the mean, and that still has noise in it: tr Σ / B "
                "of it, on average.",
            ),
            (
                (trace / mean_sq).mean(),
                "you average ratios, and |G|² is the squared norm of the mean, which still has "
                "noise in it.",
            ),
            (
                trace.mean() / small_sq.mean(),
                "|G|² is the squared norm of the microbatches' gradients, noise and all.",
            ),
            (right / b, f"the result is {in_microbatches}"),
            (
                (trace / b).mean() / mean_sq.mean(),
                f"the trace is {in_microbatches} And |G|² still has noise in it.",
            ),
            (
                (trace * n).mean() / square.mean(),
                "the covariance is multiplied by B. It belongs to a mean over b samples.",
            ),
            (
                biased.mean() / (mean_sq - biased / big).mean(),
                "the variance is divided by n, not by n - 1, which is too small when the mean "
                "comes from the same n.",
            ),
            (
                biased.mean() / square.mean(),
                "the variance of the trace is divided by n. It should be n - 1.",
            ),
            (
                biased.mean() / mean_sq.mean(),
                "the variance is divided by n, not by n - 1, and |G|² still has noise in it.",
            ),
            (norms.mean() / norm_square.mean(), "those are norms. They are to be squared."),
            (trace.mean() / math.sqrt(abs(square.mean())), "|G| is not squared."),
            (trace.mean() / np.sqrt(mean_sq).mean(), "|G| is not squared."),
            (1 / right, "the ratio is upside down: noise over signal."),
            (1 / right / b, "the ratio is upside down: noise over signal."),
            (
                pooled(),
                "you pool the microbatches of all updates. The gradient itself changes from update "
                "to update, and this counts that as noise.",
            ),
            *(
                (wrong, "you divide coordinate by coordinate. Sum over the parameters first.")
                for wrong in per_coordinate()
            ),
            *(
                (
                    trace.mean() / np.maximum(square, least).mean(),
                    "you put estimates of |G|² that are below 0 to 0. Each is right on average "
                    "only if those below count as they are: look at the sign of the average alone.",
                )
                for least in (0, 1e-12, 1e-8)
            ),
            *(
                (
                    over.mean() / square[square > 0].mean(),
                    "you leave out the updates whose estimate of |G|² is below 0. Those that are "
                    "left are too large on average: only the sign of the average matters.",
                )
                for over in (trace, trace[square > 0])
            ),
            (
                trace.mean() / np.abs(square).mean(),
                "you take the absolute value of each estimate of |G|². One below 0 counts as it "
                "is.",
            ),
            (trace[-1] / square[-1], "that is the last update alone."),
            (trace[0] / square[0], "that is the first update alone."),
            (float(np.median(trace / square)), "you take the median of the updates' ratios."),
            (
                trace.mean() / (mean_sq + trace / big).mean(),
                "the noise in the squared norm is added. It is to be taken off.",
            ),
            (
                trace.mean() / (mean_sq - trace / b).mean(),
                "you take tr Σ / b off the squared norm of the mean. That is a mean over all n of "
                "the microbatches, B = n b samples.",
            ),
            (-right, "the sign is wrong: which of the two squared norms is larger?"),
            (trace.mean(), "that is tr Σ. Where is |G|²?"),
            (trace.sum() / square.mean(), "one of the two is a sum over the updates."),
        ]
        for wrong, hint in wrongs:
            if is_(wrong):
                raise Mistake(where + hint)
    said, wanted = apart(given, right)
    raise Mistake(
        f"{where}you return {said}, and {wanted} is right: on average tr Σ is "
        f"{trace.mean():.4g} and |G|² is {square.mean():.4g}."
    )


# --------------------------------------------------------------------------------------
# 4. What is wrong with this script?


@dataclass(frozen=True)
class Job:
    """A recipe, and the machine it is to run on.

    The recipe: peak `lr`, `steps` updates, the first `warmup_steps` of them warm-up, tuned for
    updates of `batch_size` samples on one process. The machine: `processes`, each of which adds
    up the gradients of `accumulate` microbatches of `microbatch_size` samples for an update.
    """

    lr: float
    steps: int
    warmup_steps: int
    batch_size: int
    processes: int
    accumulate: int
    microbatch_size: int


class _Process:
    """One process of a job, and in `backward` what the others contribute to it.

    A linear regression with 20 weights and noise; AdamW. All processes hold the same weights, so
    that one of them stands for all.
    """

    def __init__(self, job: Job, seed: int) -> None:
        draw = torch.Generator().manual_seed(seed)
        self.job = job
        self.spread = torch.arange(1, 21).rsqrt()
        self.weight = torch.randn(20, generator=draw).requires_grad_()  # 0 is right
        self.x = torch.randn(job.steps * job.batch_size, 20, generator=draw) * self.spread
        self.y = 2 * torch.randn(len(self.x), generator=draw)
        self.optimizer = torch.optim.AdamW([self.weight], lr=job.lr, weight_decay=0)
        self.trace = LRTrace(self.optimizer)
        self.held: list[int] = []  # the microbatches in .grad
        self.sum = torch.zeros(20)  # what they should have added up to
        self.limit = Limit(math.inf, "microbatches and updates")
        self.updates: list[list[int]] = []  # the microbatches of each update
        self.scaled: list[float] = []
        self.optimizer.register_step_pre_hook(self._record)

    def _record(self, *_: Any) -> None:
        self.limit()
        grad = self.weight.grad
        empty = grad is None or not grad.any()
        self.updates.append([] if empty else list(self.held))
        same = empty or torch.allclose(grad, self.sum, rtol=1e-4)
        self.scaled.append(1.0 if same else float(grad.norm() / self.sum.norm()))

    def backward(self, i: int) -> None:
        """Add to .grad what microbatch i of every process contributes to the update's mean."""
        self.limit()
        i = operator.index(i)
        if i < 0:
            raise ValueError(f"backward: microbatches are numbered from 0, got {i}")
        job, weight = self.job, self.weight
        if weight.grad is None or not weight.grad.any():
            self.held, self.sum = [], torch.zeros(20)
        n = job.processes * job.microbatch_size
        mine = torch.arange(i * n, (i + 1) * n) % len(self.x)
        x, y = self.x[mine], self.y[mine]
        gradient = x.T @ (x @ weight.detach() - y) / (n * job.accumulate)
        self.held.append(i)
        self.sum = self.sum + gradient
        weight.grad = gradient if weight.grad is None else weight.grad + gradient

    def loss(self) -> float:
        """The expected loss of the present weights above the lowest there is."""
        return float((self.weight.detach() * self.spread).square().sum()) / 2


def process(job: Job, seed: int) -> tuple[Optimizer, Callable[[int], None], Callable[[], float]]:
    """A process of the job: its optimizer, ``backward(i)`` and ``loss()``.

    The optimizer is an AdamW whose rate is ``job.lr``. ``backward(i)`` adds to ``.grad`` the
    gradient of the mean loss over microbatch number i of every process, divided by
    ``job.accumulate``. `seed` sets the initial weights and the samples. ``loss()`` is the loss in
    excess of the lowest there is.
    """
    made = _Process(job, seed)
    return made.optimizer, made.backward, made.loss


@checker()
def check_flaws(flaws: Callable[[], set[str]]) -> None:
    """Exercise 4a: which of the statements A to H name a flaw of the script."""
    hints = {
        "A": "how many samples does the job have per update, all processes together, and how many "
        "updates does it make?",
        "B": "what would they tell each other? Each counts the same updates by the same schedule.",
        "C": "how many samples did the warm-up of the recipe see, and how many does it see now?",
        "D": "the mean in an update is over the samples of all processes. What sets its noise?",
        "E": "the optimizer is an AdamW. Which of the two rules is Adam's?",
        "F": "each process sees its own share of the samples, and that is all of them together.",
        "G": "which i does the second update have? And how many updates are done by then?",
        "H": "that is as good: the first microbatch of an update finds no gradient either way.",
    }
    letters(flaws, {"A", "C", "D", "E", "G"}, hints)
    passed("five choices that are right on one process, and wrong on eight.")


# Sizes for which no two of the likely mistakes give the same numbers.
_JOBS = (
    Job(0.01, 480, 36, 8, processes=3, accumulate=2, microbatch_size=16),  # 12 times the batch
    Job(0.002, 75, 15, 16, processes=5, accumulate=3, microbatch_size=4),
    Job(0.02, 120, 12, 8, processes=1, accumulate=4, microbatch_size=4),
    Job(0.02, 60, 6, 8, processes=1, accumulate=1, microbatch_size=8),
    # 1,000 samples are 41 updates of 24 and 16 more; the 136 of the warm-up are 5 and 16 more.
    Job(0.01, 125, 17, 8, processes=2, accumulate=3, microbatch_size=4),
)


def _shape(t: np.ndarray, steps: int, warmup: int) -> np.ndarray:
    x = np.clip((t - warmup + 1) / (steps - warmup + 1), 0, 1)
    return np.where(t < warmup, (t + 1) / warmup, (1 + np.cos(np.pi * x)) / 2)


@checker()
def check_train(train: Callable[..., Any]) -> None:
    """Exercise 4b: the script repaired, ``train(optimizer, backward, job)``, and its rates."""
    for job in _JOBS:
        made = _Process(job, 10)
        made.limit.most = 20 * job.steps * job.batch_size
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's on the order of the calls: the hint is ours
            answer = call(train, made.optimizer, made.backward, job)
        where = (
            f"with processes={job.processes}, accumulate={job.accumulate}, "
            f"microbatch_size={job.microbatch_size}, and a recipe for batch size "
            f"{job.batch_size}: "
        )
        batch = job.processes * job.accumulate * job.microbatch_size
        updates = -(-job.steps * job.batch_size // batch)
        with_rest = job.steps * job.batch_size % batch
        if with_rest and len(made.updates) == updates - 1:
            raise Mistake(
                f"{where}{updates - 1} updates were made, and {updates} are due: the last "
                f"{with_rest} of the recipe's samples do not fill an update, and count too. Round "
                f"up, and make the last update as large as the others."
            )
        _expect_updates(made, updates, where)
        rates = made.trace.lr[:, 0]
        _expect_rates(rates, job, updates, where)
        _expect_said(answer, rates, where)
    passed("counted in updates, scaled by their samples, whoever computes them.")


def _expect_said(answer: Any, rates: np.ndarray, where: str) -> None:
    said = numbers(answer, "an array of rates")
    if said.shape != rates.shape:
        raise Mistake(
            f"{where}the rates are right, and you return an array of shape {said.shape}. Return "
            f"one for each update, shape {rates.shape}. (A trace's lr has one column for each "
            f"parameter group.)"
        )
    if not same_rates(said, rates) and same_rates(said[:-1], rates[1:]):
        raise Mistake(
            f"{where}the rates are right, but you read each when it was that of the next update. "
            f"An LRTrace reads it when it is used."
        )
    if not same_rates(said, rates):
        raise Mistake(f"{where}the rates are right, but those you return are not those you used.")


def _expect_updates(made: _Process, updates: int, where: str) -> None:
    job, got = made.job, made.updates
    a = job.accumulate
    if not got:
        raise Mistake(f"{where}the optimizer made no update. Call optimizer.step().")
    first = f"{where}the first updates hold the microbatches {short(got[:3])}. "
    if a > 1:
        if all(len(held) == 1 for held in got) and got[0] == [0] and got[1:2] == [[1]]:
            raise Mistake(
                f"{first}optimizer.step() comes after every microbatch. It belongs after every "
                f"{a} of them."
            )
        if got[0] == [a - 1]:
            raise Mistake(
                f"{first}The gradients are zeroed between the microbatches of an update. Zero them "
                f"once per update."
            )
        if got[0] == [0]:
            raise Mistake(
                f"{first}An update comes when {a} are added up: i counts from 0, so that is when "
                f"i + 1 is a multiple of {a}."
            )
    if any(not held for held in got):
        raise Mistake(f"{where}an update had no gradient. Zero the gradients after the step.")
    if any(len(later) > len(earlier) for earlier, later in pairwise(got)):
        raise Mistake(
            f"{first}Gradients of earlier updates are still in .grad: zero them after every update."
        )
    if len(got) != updates:
        samples = job.steps * job.batch_size
        hints = {
            updates * job.processes: f"Each of the {job.processes} processes has its share of "
            f"the samples; you let it make them all.",
            job.steps: "That is as many as in the recipe, with another batch size.",
            updates * a: f"An update takes {a} microbatches.",
            updates // a: f"You count {a} microbatches to an update twice.",
        }
        hint = hints.get(len(got), f"The job is {samples} samples, as in the recipe.")
        raise Mistake(f"{where}{len(got)} updates were made, and {updates} are due. {hint}")
    if got != (right := [list(range(u * a, u * a + a)) for u in range(updates)]):
        if got[:-1] == right[:-1] and got[-1] == right[-1][: len(got[-1])]:
            raise Mistake(
                f"{where}the last update holds the microbatches {got[-1]}, and should hold "
                f"{right[-1]}: it is as large as the others, though the recipe's samples do not "
                f"fill it. (backward goes on with the first samples.)"
            )
        u = next(u for u in range(updates) if got[u] != right[u])
        raise Mistake(
            f"{where}update {u} holds the microbatches {short(got[u])}, and should hold "
            f"{right[u]}. Each is to be used once, in order."
        )
    if changed := next((scale for scale in made.scaled if abs(scale - 1) > 1e-3), None):
        raise Mistake(
            f"{where}the gradient was changed before the step, to {changed:.3g} times its "
            f"size. backward has divided it already, by processes and by microbatches."
        )


@dataclass(frozen=True)
class _Choice:
    """One way to get a number of the plan; as many `faults` as it has."""

    value: Any
    faults: tuple[str, ...] = ()


def _choices(job: Job, updates: int) -> Iterator[tuple[_Choice, ...]]:
    """Ways to choose (peak / lr, steps, warmup, the step at each update), fewest faults first."""
    p, a, m, b = job.processes, job.accumulate, job.microbatch_size, job.batch_size
    linear = (
        "the optimizer is an AdamW, and the rate follows the ratio of the batch sizes "
        "itself. For Adam the root of it is the rule."
    )
    sizes = (
        _Choice(p * a * m),
        _Choice(
            a * m,
            (
                "the rate is scaled by the samples of one process. An update is the mean "
                "over those of all.",
            ),
        ),
        _Choice(
            p * m,
            (
                "the rate is scaled as if an update were one microbatch of each process. "
                "It adds up several.",
            ),
        ),
        _Choice(
            m,
            (
                "the rate is scaled by the size of one microbatch. An update is the mean over "
                "the microbatches of all processes.",
            ),
        ),
    )
    peaks = [_Choice((size.value / b) ** 0.5, size.faults) for size in sizes]
    peaks += [_Choice(size.value / b, (linear, *size.faults)) for size in sizes]
    peaks += [
        _Choice(1, ("the peak is that of the recipe, for another batch size.",)),
        _Choice((b / (p * a * m)) ** 0.5, ("the ratio of the batch sizes is upside down.",)),
        _Choice(1 / job.lr, ("the factors were applied as rates, without the peak.",)),
    ]

    def counts(right: int, before: int, what: str) -> list[_Choice]:
        out = [
            _Choice(right),
            _Choice(
                right - 1,
                (
                    f"{what} is {right - 1} steps. The samples fill no more, and the rest of them "
                    f"counts too: round up, to {right}.",
                ),
            ),
            _Choice(
                before,
                (
                    f"{what} has as many steps as in the recipe, {before}. With the new "
                    f"batch the same samples are {right}.",
                ),
            ),
            _Choice(
                right * p,
                (
                    f"{what} is {right * p} steps, as if one process had to see all "
                    f"samples. They share them: {right} steps.",
                ),
            ),
            _Choice(
                right * a,
                (
                    f"{what} is counted in microbatches, {right * a} of them. A step "
                    f"is an update: {right}.",
                ),
            ),
            _Choice(
                right * a * p,
                (
                    f"{what} is counted in microbatches, and in those of all "
                    f"processes: {right * a * p}. In updates it is {right}.",
                ),
            ),
        ]
        seen = set()
        return [c for c in out if not (c.value in seen or seen.add(c.value))]

    t = np.arange(updates)
    by_microbatch = "the schedule moves on with every microbatch. Its step is one update."
    by_process = "the schedule moves on once for every process. All of them make the same update."
    both = (by_microbatch, by_process)
    when = [_Choice(t)]
    if p > 1:
        when += [_Choice(t * p, (by_process,))]
    if a > 1:
        when += [_Choice(t * a + late, (by_microbatch,)) for late in (a - 1, 0, a)]
    if a > 1 and p > 1:
        when += [_Choice((t * a + late) * p, both) for late in (a - 1, 0, a)]
    when += [
        _Choice(
            t + 1, ("every rate came one update early. The schedule moves on after the step.",)
        ),
        _Choice(np.maximum(t - 1, 0), ("every rate came one update late.",)),
        _Choice(t // max(1, a), ("the schedule moves on once in several updates.",)),
    ]
    lengths = counts(updates, job.steps, "the schedule")
    warmups = counts(-(-job.warmup_steps * b // (p * a * m)), job.warmup_steps, "the warm-up")
    every = product(peaks, lengths, warmups, when)
    yield from sorted(every, key=lambda chosen: sum(len(choice.faults) for choice in chosen))


def _expect_rates(rates: np.ndarray, job: Job, updates: int, where: str) -> None:
    ratio = job.processes * job.accumulate * job.microbatch_size / job.batch_size
    peak = job.lr * math.sqrt(ratio)
    batch = job.processes * job.accumulate * job.microbatch_size
    warmup = -(-job.warmup_steps * job.batch_size // batch)
    right = _shape(np.arange(updates), updates, warmup)
    shares = rates / peak
    if close(shares, right):
        return
    if updates > 1 and np.allclose(rates, rates[0]):
        raise Mistake(f"{where}the rate never changed.")
    for chosen in _choices(job, updates):
        scale, steps, length, t = (choice.value for choice in chosen)
        if length > steps:
            continue
        if close(shares, scale * job.lr / peak * _shape(t, steps, length)):
            first, *others = [fault for choice in chosen for fault in choice.faults]
            more = f" ({len(others)} more after this one.)" if others else ""
            raise Mistake(f"{where}{first}{more}")
    if rates[0] == 0:
        raise Mistake(f"{where}the first update has the rate 0. Use shape(steps, warmup).")
    if close(np.append(right[:-1], 0), np.append(shares[1:], 0)):
        raise Mistake(
            f"{where}the first update used another rate than the schedule's first. Write the rate "
            f"before the update that should use it."
        )
    k = next(k for k in range(updates) if not close(shares[k], right[k]))
    given, wanted = apart(rates[k], peak * right[k])
    raise Mistake(
        f"{where}update {k} has the rate {given}, and {wanted} is right. The "
        f"peak is {peak:.4g}, over {updates} updates, {warmup} of them warm-up."
    )


# --------------------------------------------------------------------------------------
# 5. A larger batch for a lower rate

Grow = Callable[[float, int, int, list[int], float, int], list[tuple[int, float, int]]]


@dataclass(frozen=True)
class _Decay:
    """A step decay at a fixed batch size, and the largest batch there is room for."""

    lr: float
    batch_size: int
    steps: int
    milestones: tuple[int, ...]
    gamma: float
    max_batch_size: int

    def lengths(self) -> list[int]:
        return [b - a for a, b in pairwise((0, *self.milestones, self.steps))]

    def largest(self, k: int) -> int:
        """The batch of phase k with which the rate is highest, and not above `lr`."""
        grown = self.batch_size / self.gamma**k
        return min(self.max_batch_size, math.floor(grown * (1 + 1e-9)))


_DECAYS = (
    _Decay(0.1, 32, 900, (400, 700), 0.25, 10_000),  # room for all
    _Decay(0.2, 32, 1000, (300, 600, 800), 0.25, 256),  # until the third phase, half of it
    _Decay(0.05, 20, 700, (201, 433), 0.3, 1000),  # 20 / 0.3 is no whole number
    _Decay(0.05, 64, 500, (100, 250), 0.1, 64),  # no room
    _Decay(0.3, 32, 1200, (400, 800), 0.1, 4096),  # 32 / 0.1**2 is not 3200 in floating point
    _Decay(0.1, 16, 300, (), 0.5, 512),  # no decay
)


@checker()
def check_grow(grow: Grow) -> None:
    """Exercise 5: ``grow(lr, batch_size, steps, milestones, gamma, max_batch_size)``."""
    told = []
    for case in _DECAYS:
        arguments = case.lr, case.batch_size, case.steps, list(case.milestones), case.gamma
        answer = call(grow, *arguments, case.max_batch_size)
        phases = _phases(answer, case)
        where = (
            f"lr={case.lr:g}, batch size {case.batch_size}, drops to {case.gamma:g} times the rate "
            f"at {list(case.milestones)}, at most {case.max_batch_size}: "
        )
        for k in range(len(phases)):
            _expect_phase(k, phases, case, f"{where}in phase {k} ")
        told.append(f"{case.steps} to {sum(updates for _, _, updates in phases)}")
    passed(f"the ratio and the samples of every phase are kept. Updates: {', '.join(told)}.")


def _phases(answer: Any, case: _Decay) -> list[tuple[int, float, int]]:
    if not isinstance(answer, list | tuple) or not all(
        isinstance(phase, list | tuple) and len(phase) == 3 for phase in answer
    ):
        raise Mistake(
            f"return a list with (batch_size, lr, updates) for every phase, not {short(answer)}."
        )
    count = len(case.milestones) + 1
    if len(answer) != count:
        raise Mistake(
            f"{len(case.milestones)} milestones make {count} phases, from step 0 to the end of the "
            f"run. You return {len(answer)}."
        )
    out = []
    for k, (batch, lr, updates) in enumerate(answer):
        made = (
            _whole(batch, f"the batch size of phase {k}, the first of the three,"),
            _real(lr, f"the rate of phase {k}"),
            _whole(updates, f"the number of updates of phase {k}"),
        )
        for value, what in zip(made, ("batch size", "rate", "number of updates"), strict=True):
            if value <= 0:
                raise Mistake(f"the {what} of phase {k} is {value}. It should be above 0.")
        out.append(made)
    return out


def _expect_phase(k: int, phases: list[tuple[int, float, int]], case: _Decay, where: str) -> None:
    batch, lr, _ = phases[k]
    B, gamma, best = case.batch_size, case.gamma, case.largest(k)
    if batch > case.max_batch_size:
        raise Mistake(
            f"{where}the batch size is {batch}. There is no room for more than "
            f"{case.max_batch_size}."
        )
    before = case.lr * gamma**k
    kept = before * batch / B  # the rate that keeps the ratio at this batch size
    if batch > best and lr > case.lr * (1 + 1e-6):
        if batch - best == 1:
            hint = "The batch size was rounded up: round it down."
        elif k == 0:
            hint = "The first phase is as in the original."
        else:
            hint = "The batch grows by no more than the rate was to fall."
        shown = apart(lr, case.lr, 6)[0]
        raise Mistake(f"{where}the rate is {shown}, above that of the original's start. {hint}")
    if not _same(lr, kept):
        said, wanted = apart(lr, kept, 6)
        held = f"A batch of {batch} keeps the original's lr / batch_size with the rate {wanted}"
        grown = B / gamma**k
        previous = phases[k - 1][1]
        if k and _same(lr, before) and batch > B:
            hint = "The batch has grown and the rate has fallen too: that lowers the noise twice."
        elif k and _same(lr, case.lr) and batch == B:
            hint = "Neither has the rate fallen, nor has the batch grown."
        elif k and _same(lr, case.lr) and batch == case.max_batch_size < grown - 1:
            hint = "The batch has come to its maximum. What it cannot do, the rate must."
        elif k and _same(lr, case.lr) and best - 1 <= batch <= best + 1:
            hint = "The batch was rounded. Compute the rate from the batch size that you return."
        elif k and _same(lr, case.lr) and batch < B:
            hint = "The batch shrinks. A larger one has less noise, as a lower rate has."
        elif k and batch == best and _same(lr, gamma * previous):
            hint = (
                "The batch did part of the drop before it came to its maximum. The rate has "
                "to do the rest, not all of it."
            )
        elif k and _same(lr, case.lr):
            hint = (
                f"Four times the batch stands for a quarter of the rate. From {B}, and for "
                f"{gamma:g}, phase {k} would have {grown:.6g}."
            )
        else:
            hint = "Divide one by the other and compare."
        raise Mistake(f"{where}the rate is {said}. {hint} ({held}.)")
    if batch < best - 1:
        if _same(batch, B):
            hint = "That is the original: the rate falls although there is room for more samples."
        elif k and batch == math.floor(phases[k - 1][0] / gamma * (1 + 1e-9)):
            hint = "It comes from the batch size of the phase before, which was rounded itself."
        else:
            hint = "The rate falls more than it must."
        raise Mistake(f"{where}the batch size is {batch}, and could be {best}. {hint}")
    _expect_samples(k, phases, case, where)


def _expect_samples(k: int, phases: list[tuple[int, float, int]], case: _Decay, where: str) -> None:
    batch, _, updates = phases[k]
    length = case.lengths()[k]
    samples = length * case.batch_size
    right = -(-samples // batch)
    if updates == right:
        return
    made = [batch * updates for batch, _, updates in phases[:k]]
    end = (0, *case.milestones, case.steps)[k + 1]
    wrongs = [
        (length, "as in the original. With a larger batch that is more samples than it saw."),
        (samples // batch, "rounded down, so the last samples of the phase are not seen."),
        (
            -(-length * batch // case.batch_size),
            "that is the wrong direction: the larger the "
            "batch, the fewer updates for the same samples.",
        ),
        (samples, "that is the number of its samples."),
        (end, "that is where the phase ended in the original. How long was it, in samples?"),
        (
            -(-end * case.batch_size // batch),
            "that counts from the beginning of the run. The phase begins at the milestone before.",
        ),
        (right + 1, "one too many: the last of them finds no samples left."),
        (
            math.ceil((end * case.batch_size - sum(made)) / batch),
            "the samples are kept over the run, and this phase is to keep its own.",
        ),
    ]
    for wrong, hint in wrongs:
        if updates == wrong:
            raise Mistake(f"{where}you make {updates} updates: {hint}")
    raise Mistake(
        f"{where}you make {updates} updates of {batch} samples. The original saw {samples} samples "
        f"in it, which takes {right}, the last perhaps not full."
    )
