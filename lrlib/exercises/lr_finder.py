"""Checkers of chapter 09."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lrlib.exercises import (
    Limit,
    Mistake,
    _runs,
    apart,
    call,
    checker,
    letters,
    number,
    passed,
    run,
    short,
)
from lrlib.exercises._runs import Hints
from lrlib.lab.noisy_quadratic import NoisyQuadratic


def _numbers(answer: Any, where: str, what: str) -> np.ndarray:
    """The learner's list, array or tensor as an array of shape (n,)."""
    if any(isinstance(value, Tensor) and value.requires_grad for value in _items(answer)):
        raise Mistake(
            f"{where}your losses are tensors that still hang on the graphs of their computation, "
            f"which stay in memory with them. Take the number: loss.item() or float(loss)."
        )
    try:
        given = np.asarray(answer, dtype=float)
    except (TypeError, ValueError, RuntimeError):
        raise Mistake(f"{where}return a list of {what}, not {short(answer)}.") from None
    if given.ndim != 1:
        raise Mistake(f"{where}return a list of {what}, not {short(answer)}.")
    return given


def _items(answer: Any) -> Sequence[Any]:
    return answer if isinstance(answer, list | tuple) else [answer]


def _close(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal but for rounding, also of float32; NaN equals NaN."""
    return a.shape == b.shape and np.allclose(a, b, rtol=1e-4, atol=0, equal_nan=True)


def _first(a: np.ndarray, b: np.ndarray) -> int:
    """The first place at which the two are not close."""
    return int(np.argmax(~np.isclose(a, b, rtol=1e-4, atol=0, equal_nan=True)))


# --------------------------------------------------------------------------------------
# 1. The rates


@checker()
def check_rates(rates: Callable[[float, float, int], Any]) -> None:
    """Exercise 1: ``rates(start_lr, end_lr, num_iter)``, equally spaced in the logarithm."""
    for case in ((1e-6, 10.0, 100), (1e-4, 1.0, 5), (0.003, 0.7, 12), (0.5, 8.0, 2)):
        start, end, n = case
        where = f"with start_lr={start:g}, end_lr={end:g}, num_iter={n}: "
        given = _numbers(call(rates, *case), where, "rates")
        right = np.geomspace(*case)
        if _close(given, right):
            continue
        with np.errstate(all="ignore"):
            for wrong, hint in _wrong_rates(*case):
                if _close(given, wrong):
                    raise Mistake(where + hint)
        if len(given) != n:
            raise Mistake(f"{where}you return {len(given)} rates, and {n} are asked for.")
        k = _first(given, right)
        said, wanted = apart(given[k], right[k])
        raise Mistake(f"{where}rate {k} is {said}, and {wanted} is right.")
    passed("every update multiplies the rate by the same factor, from the first to the last.")


def _wrong_rates(start: float, end: float, n: int) -> Hints:
    k, low, high = np.arange(n), math.log10(start), math.log10(end)
    yield (
        np.linspace(start, end, n),
        "your rates are equally spaced themselves: nearly all lie in the last decade. Their "
        "logarithms should be.",
    )
    yield (
        np.geomspace(start, end, n, endpoint=False),
        "the last rate is missing. From the first of n rates to the last it is n - 1 steps.",
    )
    yield (
        np.geomspace(start, end, n + 1)[1:],
        "the first rate is not start_lr. It is n - 1 steps from the first of n rates to the last, "
        "and the first has made none.",
    )
    yield (
        np.geomspace(start, end, n + 1),
        "you return one rate too many: n steps join n + 1 rates.",
    )
    yield np.geomspace(start, end, n + 2)[1:-1], "both ends are missing. They belong to the test."
    if n > 2:
        yield np.geomspace(start, end, n - 1), "you return one rate too few."
        yield np.geomspace(start, end, n)[1:], "the first rate, start_lr, is missing."
        yield np.geomspace(start, end, n)[:-1], "the last rate, end_lr, is missing."
        yield (
            np.sqrt(np.linspace(start**2, end**2, n)),
            "your rates are equally spaced in the square. In the logarithm is asked for.",
        )
        yield (
            start * 10.0**k,
            "you multiply by 10 every time. The factor follows from the ends and from num_iter.",
        )
        yield (
            start * 2.0**k,
            "you double the rate every time. The factor follows from the ends and from num_iter.",
        )
        yield (
            10.0 ** np.round(np.linspace(low, high, n)),
            "your exponents are rounded to whole numbers, so that rates come several times.",
        )
    yield np.geomspace(end, start, n), "your rates fall. The test goes from small rates to large."
    yield (
        10.0 ** np.arange(math.floor(low), math.ceil(high) + 1),
        "those are the powers of ten alone. num_iter rates are asked for, also between them.",
    )
    for logs in (np.linspace(low, high, n), np.linspace(math.log(start), math.log(end), n)):
        yield logs, "those are the logarithms. The rates are 10 (or e) to their power."
    yield (
        np.logspace(start, end, n),
        "np.logspace takes the exponents of the ends. np.geomspace takes the ends themselves.",
    )
    mixed = "the logarithm and the power have different bases. Take 10 in both, or e."
    yield np.exp(np.linspace(low, high, n)), mixed
    yield 10.0 ** np.linspace(math.log(start), math.log(end), n), mixed
    yield np.geomspace(1, end / start, n), "those are the factors on start_lr, not the rates."


# --------------------------------------------------------------------------------------
# 2. The range test


@dataclass
class _Training:
    """A run whose loss is made up from the number of updates; it records what is done."""

    peaks: tuple[float, ...]
    bad: dict[int, float] = field(default_factory=dict)  # losses after so many updates
    events: str = ""  # b: train_step, s: optimizer.step
    applied: list[list[float]] = field(default_factory=list)
    without_gradient: bool = False
    nested: bool = False

    def __post_init__(self) -> None:
        self._weights = [torch.zeros(2, dtype=torch.float64).requires_grad_() for _ in self.peaks]
        self._inside = False
        self._limit = Limit(10_000, "updates and calls of train_step")
        pairs = zip(self._weights, self.peaks, strict=True)
        self.optimizer = torch.optim.SGD([{"params": [w], "lr": lr} for w, lr in pairs])
        self.optimizer.register_step_pre_hook(self._before)
        self.optimizer.register_step_post_hook(self._after)

    def _before(self, *_: Any) -> None:
        self._limit()
        self._inside = True
        self.events += "s"
        self.applied.append([float(group["lr"]) for group in self.optimizer.param_groups])
        gradients = [w.grad for w in self._weights]
        self.without_gradient |= any(g is None or not g.any() for g in gradients)

    def _after(self, *_: Any) -> None:
        self._inside = False

    def train_step(self) -> Tensor:
        self._limit()
        self.nested |= self._inside
        self.events += "b"
        self.optimizer.zero_grad()
        total = torch.stack([w.sum() for w in self._weights]).sum()
        loss = total - total.detach() + self.loss(self.updates)
        loss.backward()
        return loss

    @property
    def updates(self) -> int:
        return self.events.count("s")

    def loss(self, updates: int) -> float:
        return self.bad.get(updates, _runs.made_up_loss(updates))


@checker()
def check_range_test(range_test: Callable[..., Any]) -> None:
    """Exercise 2: ``range_test(optimizer, train_step, rates)``, the losses after each update."""
    cases = (
        (np.geomspace(1e-3, 1, 6), _Training((0.1, 0.01, 0.4))),
        (np.geomspace(1e-2, 10, 9), _Training((0.5, 0.05), {3: 1e4})),  # large, but a number
        (np.geomspace(1e-2, 10, 9), _Training((0.5, 0.05), {5: math.nan})),
        (np.geomspace(1e-4, 1, 7), _Training((2.0,), {4: math.inf})),
    )
    for rates, made in cases:
        n, first = len(rates), min((k for k in made.bad if not np.isfinite(made.bad[k])), default=0)
        where = f"with {n} rates, {len(made.peaks)} group{'s'[: len(made.peaks) > 1]}"
        where += f", and {made.bad[first]} after update {first}: " if first else ": "
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's on tensors made numbers: the hint is ours
            answer = call(range_test, made.optimizer, made.train_step, rates.copy())
        _expect_updates(made, n, first, where)
        _expect_rates(made, rates[: first or n], where)
        _expect_losses(answer, made, n, first, where)
    passed("every update at its rate, and beside the rate the loss that came of it.")


def _expect_updates(run: _Training, n: int, first: int, where: str) -> None:
    """Raise Mistake unless it was b, and then sb for every rate up to the end of the test."""
    wanted, events = first or n, run.events
    if events == "b" + "sb" * wanted:
        if run.without_gradient:
            raise Mistake(
                f"{where}an update found no gradient. train_step() has zeroed the old ones and "
                f"leaves the new: do not zero them again before the update."
            )
        return
    steps, calls = events.count("s"), events.count("b")
    if run.nested:
        raise Mistake(
            f"{where}train_step ran inside optimizer.step(…), before the weights moved, so its "
            f"loss is that before the update. Call the two one after the other."
        )
    if not steps:
        raise Mistake(f"{where}no update was made. train_step() does not step the optimizer.")
    if events.startswith("s"):
        raise Mistake(
            f"{where}the first update came before train_step() had computed any gradient. It is "
            f"called once before the first update."
        )
    if "ss" in events:
        raise Mistake(
            f"{where}two updates came one after the other, without a gradient between them. Step "
            f"the optimizer once for every rate."
        )
    if first and steps > first:
        raise Mistake(
            f"{where}the test went on for {steps - first} updates. The weights are spoilt then: "
            f"stop at the first loss that is not finite."
        )
    if events == "bs" * wanted:
        raise Mistake(
            f"{where}train_step() returns the loss of the weights before the update. You put that "
            f"loss beside the rate of the update that follows, which had no part in it. The loss "
            f"after the last update is missing: train_step() is called once more."
        )
    if steps != wanted:
        end = "it ends at a loss that is not finite, and at no other" if steps < wanted else ""
        raise Mistake(
            f"{where}{steps} updates were made, not {wanted}" + (f": {end}." if end else ".")
        )
    if calls == 2 * wanted:
        raise Mistake(
            f"{where}train_step() ran twice for every update, which uses up twice the batches. "
            f"One call gives both: the loss after the last update, and the gradient for the next."
        )
    raise Mistake(
        f"{where}train_step() was called {calls} times for {steps} updates. It is once before the "
        f"first update and once after each."
    )


def _expect_rates(run: _Training, rates: np.ndarray, where: str) -> None:
    applied, peaks = np.array(run.applied), np.array(run.peaks)
    right = rates[:, None] * peaks / peaks[0]
    if _close(applied, right):
        return
    before = np.vstack([peaks, right[:-1]])
    wrongs: list[tuple[np.ndarray, str]] = [
        (peaks + 0 * right, "the rate never changed. Write it into group['lr'] of every group."),
        (
            before,
            "every rate came one update late: the first update used what was there before. Set "
            "the rate, then step.",
        ),
        (
            rates[:, None] * peaks,
            "the rates were applied as factors on what the groups had. They are the rates of the "
            "first group.",
        ),
    ]
    if len(peaks) > 1:
        only = peaks + 0 * right
        only[:, 0] = rates
        wrongs += [
            (
                only,
                "only the first group's rate changed. The others keep their ratios to it, not "
                "their rates. (Did you compute a ratio when the first rate was the new one?)",
            ),
            (
                rates[:, None] + 0 * right,
                "all groups got the same rate. Keep the ratios that they had at the start.",
            ),
        ]
    for wrong, hint in wrongs:
        if _close(applied, wrong):
            raise Mistake(where + hint)
    if _close(applied[:, 0], rates):
        k, i = map(int, np.argwhere(~np.isclose(applied, right, rtol=1e-4, atol=0))[0])
        given, wanted = apart(applied[k, i], right[k, i])
        raise Mistake(
            f"{where}in update {k} group {i} had the rate {given}. It began with "
            f"{peaks[i] / peaks[0]:.3g} times the first group's, so {wanted} is right."
        )
    k = _first(applied[:, 0], rates)
    given, wanted = apart(applied[k, 0], rates[k])
    raise Mistake(
        f"{where}update {k} used the rate {given} in the first group, and {wanted} is right."
    )


def _expect_losses(answer: Any, run: _Training, n: int, first: int, where: str) -> None:
    given = _numbers(answer, where, "losses")
    made = np.array([run.loss(k) for k in range(n + 1)])
    right = made[1:].copy()
    if first:
        right[first:] = math.nan
    if len(given) == n + 1 and _close(given[: first or n], made[: first or n]):
        raise Mistake(
            f"{where}you return {n + 1} losses. The one from before the first update belongs to no "
            f"rate."
        )
    if first and len(given) in (first - 1, first):
        raise Mistake(
            f"{where}you return {len(given)} losses. Return one for every rate, NaN for those that "
            f"were not tried, so that rates and losses fit together."
        )
    if len(given) != n:
        raise Mistake(f"{where}you return {len(given)} losses for {n} rates.")
    ran = slice(0, first - 1 if first else n)
    wrongs = (
        (
            made[:-1],
            "the loss beside each rate is that from before its update. Beside it belongs the loss "
            "that train_step() returns next.",
        ),
        (
            np.minimum.accumulate(right),
            "you return the lowest loss so far. A blow-up cannot be seen in that.",
        ),
        (right[::-1], "your losses are in reverse order."),
        (right - made[0], "you return the change from the first loss. Return the losses."),
        (np.log(right), "you return the logarithms of the losses. Return the losses."),
    )
    if not _close(given[ran], right[ran]):
        for wrong, hint in wrongs:
            if _close(given[ran], wrong[ran]):
                raise Mistake(where + hint)
        k = _first(given[ran], right[ran])
        said, wanted = apart(given[k], right[k])
        raise Mistake(
            f"{where}beside rate {k} you have the loss {said}; after that update it was {wanted}."
        )
    if first and np.isfinite(given[first - 1]):
        raise Mistake(
            f"{where}the loss that was not finite stands there as {given[first - 1]:.4g}. NaN says "
            f"that there is no number."
        )
    untried = given[first:] if first else np.array([])
    if not np.isnan(untried).all():
        shown = untried[~np.isnan(untried)][0]
        raise Mistake(
            f"{where}a rate that was not tried has the loss {shown:.4g}, as if it had been. Fill "
            f"the rest with NaN."
        )


# --------------------------------------------------------------------------------------
# 3. Leave no trace


class _Broken(Exception):
    """What the checker's test raises."""


def _made(fresh: bool) -> tuple[nn.Module, Optimizer]:
    """A model with everything that a test can leave a trace in, and its optimizer."""
    model = nn.Sequential(
        nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.BatchNorm1d(4), nn.Linear(4, 1)
    )
    model[3].eval()  # frozen, as in fine-tuning, while the rest is in train mode
    groups = [{"params": model[:3].parameters(), "lr": 0.01}, {"params": model[3:].parameters()}]
    optimizer = torch.optim.AdamW(groups, lr=0.1)
    if not fresh:
        for _ in range(2):
            _update(model, optimizer)
    return model, optimizer


def _update(model: nn.Module, optimizer: Optimizer) -> None:
    optimizer.zero_grad()
    model(torch.randn(8, 3)).square().mean().backward()
    optimizer.step()


def _snapshot(model: nn.Module, optimizer: Optimizer) -> dict[str, Any]:
    """A copy of all that a test may not change."""
    groups = [
        {key: value for key, value in group.items() if key != "params"}
        for group in optimizer.param_groups
    ]
    return copy.deepcopy(
        {
            "weights": [p.detach() for p in model.parameters()],
            "buffers": list(model.buffers()),
            "modes": [part.training for part in model.modules()],
            "state": optimizer.state_dict()["state"],
            "groups": groups,
            "random": torch.get_rng_state(),
            "gradients": [p.grad for p in model.parameters()],
        }
    )


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    return type(a) is type(b) and a == b


@checker("lrlib")
def check_without_trace(without_trace: Callable[..., Any]) -> None:
    """Exercise 3: ``without_trace(model, optimizer, test)``, which puts everything back."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _expect_no_trace(without_trace, "", fresh=False, raises=None)
        where = "with an optimizer that has made no update yet: "
        _expect_no_trace(without_trace, where, fresh=True, raises=None)
        where = "when the test raises an exception: "
        _expect_no_trace(without_trace, where, fresh=False, raises=_Broken("out of memory"))
        where = "when you interrupt the test (a KeyboardInterrupt, which is no Exception): "
        _expect_no_trace(without_trace, where, fresh=False, raises=KeyboardInterrupt())
    passed("the run goes on as if there had been no test, also if the test breaks off.")


def _expect_no_trace(
    without_trace: Callable[..., Any], where: str, *, fresh: bool, raises: BaseException | None
) -> None:
    torch.manual_seed(9)
    model, optimizer = _made(fresh)
    loaded: set[str] = set()
    model.register_load_state_dict_post_hook(lambda *_: loaded.add("model"))
    optimizer.register_load_state_dict_post_hook(lambda *_: loaded.add("optimizer"))
    parts = list(model.parameters()), list(model.buffers())
    before = _snapshot(model, optimizer)
    begins: list[dict[str, Any]] = []
    ends: list[dict[str, Any]] = []
    result = object()
    limit = Limit(100, "calls of test")

    def test() -> object:
        limit()
        begins.append(_snapshot(model, optimizer))
        loaded.clear()
        model.train()
        for rate in (0.2, 0.4, 0.8):
            for group in optimizer.param_groups:
                group["lr"] = rate
            _update(model, optimizer)
        model.eval()
        ends.append(_snapshot(model, optimizer))
        if raises is not None:
            raise raises
        return result

    if raises is None:
        answer = call(without_trace, model, optimizer, test)
    else:
        _expect_raised(without_trace, model, optimizer, test, raises, where)
    if not ends:
        raise Mistake(f"{where}test was not called. Call it without arguments.")
    if len(ends) > 1:
        raise Mistake(f"{where}test was called {len(ends)} times. Call it once.")
    for name in before.keys() - {"gradients"}:
        if not _same(begins[0][name], before[name]):
            raise Mistake(
                f"{where}the test began with other {_NAMES[name]} than your function was given. "
                f"Keep a copy before the test, and put it back after it."
            )
    if raises is None and answer is not result:
        raise Mistake(
            f"{where}you returned {short(answer)}, not what test() returned: the curve is lost."
        )
    _expect_the_same_tensors(model, optimizer, parts, where)
    after = _snapshot(model, optimizer)
    for name, hint in _hints(before, ends[0], after, loaded).items():
        if not _same(before[name], after[name]):
            broke = "" if raises is None else " Let it happen in a `finally`."
            if not _same(ends[0][name], after[name]):
                broke = ""
            raise Mistake(where + hint + broke)
    pairs = zip(before["gradients"], after["gradients"], strict=True)
    if not all(new is None or (old is not None and _same(old, new)) for old, new in pairs):
        raise Mistake(
            f"{where}the last gradients of the test are still there, and would be added to the "
            f"next ones by a training loop that accumulates. Set them to None (model.zero_grad() "
            f"does) or put the old ones back."
        )


_NAMES = {
    "weights": "weights",
    "buffers": "buffers",
    "modes": "modes (train or eval)",
    "state": "optimizer state",
    "groups": "rates",
    "random": "random numbers",
}


def _expect_raised(
    without_trace: Callable[..., Any],
    model: nn.Module,
    optimizer: Optimizer,
    test: Callable[[], object],
    raises: BaseException,
    where: str,
) -> None:
    try:
        run(without_trace, model, optimizer, test)
    except type(raises) as error:
        if error is raises:
            return
        if isinstance(error, KeyboardInterrupt):  # of the learner, at the keyboard
            raise
        raise Mistake(f"{where}you raised another exception. Let the test's own pass.") from error
    except Exception as error:
        raise Mistake(
            f"{where}your function raised {type(error).__name__}: {error}. Let the exception of "
            f"the test pass, and put everything back on the way."
        ) from error
    raise Mistake(
        f"{where}your function swallowed the exception: who called it does not learn that there "
        f"is no result. Use `finally` without a `return` in it, rather than `except`."
    )


def _expect_the_same_tensors(
    model: nn.Module, optimizer: Optimizer, parts: tuple[list, list], where: str
) -> None:
    now = list(model.parameters())
    if len(now) != len(parts[0]) or any(a is not b for a, b in zip(now, parts[0], strict=True)):
        raise Mistake(
            f"{where}the model has new parameter tensors, which the optimizer does not know: it "
            f"would go on training the old ones. Write the old values into the tensors that are "
            f"there, as load_state_dict does."
        )
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    if len(trained) != len(now) or any(a is not b for a, b in zip(trained, now, strict=True)):
        raise Mistake(
            f"{where}the optimizer holds other tensors than the model's parameters, and would "
            f"train those. Give it its own state_dict back."
        )


def _hints(
    before: dict[str, Any], end: dict[str, Any], after: dict[str, Any], loaded: set[str]
) -> dict[str, str]:
    """What to say if this part is not as before, in the order in which to look."""
    untouched = {name for name in before if _same(end[name], after[name])}
    reference = (
        "the {} is what the test left, although you loaded a state. A state_dict() holds the "
        "tensors themselves, which the test changes: keep copy.deepcopy({}.state_dict())."
    )
    weights = "the weights are not those of before."
    if "weights" in untouched and "model" in loaded:
        weights = reference.format("model", "model")
    elif "weights" in untouched:
        weights = "the weights are those that the test left."
    modes = "a part of the model is in another mode (train or eval) than before."
    if "modes" in untouched:
        modes = (
            "the model is in the mode in which the test left it. state_dict() knows nothing of "
            "modes."
        )
    elif after["modes"][0] == before["modes"][0]:
        modes = (
            "the model is in train mode again, and so is a part of it that was in eval mode "
            "before, a frozen batch norm. Keep the mode of every one of model.modules()."
        )
    empty = before["state"] and not after["state"]
    state = "the optimizer's state is not that of before."
    if empty:
        state = (
            "the optimizer's state is empty. The run was under way: it had running means of the "
            "gradients, and begins them again."
        )
    elif "state" in untouched and not before["state"]:
        state = (
            "the optimizer keeps the state that the test gave it. It had none, which is a state "
            "too: load_state_dict brings that back."
        )
    elif "optimizer" in loaded:
        state = reference.format("optimizer's state", "optimizer")
    elif "state" in untouched:
        state = (
            "the optimizer's state is what the test left: Adam's running means are those of "
            "rates that blow up. Its state_dict() has them."
        )
    random = "torch's random numbers are not those that would have come without the test."
    random += (
        " Keep torch.get_rng_state()."
        if "random" in untouched
        else " Did you set a seed? Put back torch.get_rng_state() as the last thing you do."
    )
    return {
        "weights": weights,
        "buffers": "the weights are back, and the buffers are not: the running means of batch "
        "norm are those of the test. model.state_dict() has both.",
        "modes": modes,
        "state": state,
        "groups": "the optimizer's state is back, and the rates are those of the test. They stand "
        "in optimizer.param_groups, and state_dict() has them.",
        "random": random,
    }


# --------------------------------------------------------------------------------------
# 4. What is wrong with this finder?


@dataclass(frozen=True)
class _Curve:
    """A made-up range test: it falls as a logistic function of log10(rate), and blows up.

    The fall is steepest per decade at 10**`middle`; `width` is its scale in decades. Past
    10**`wall` the loss climbs, and with `again` falls back to where it began, steeply.
    """

    middle: float
    width: float
    wall: float
    noise: float = 0.0  # in shares of the fall
    again: bool = False
    gaps: tuple[float, ...] = ()  # the last losses, not finite
    num: int = 120
    first: float = -6.0
    last: float = 1.5
    height: float = 2.3
    fall: float = 1.5

    @property
    def right(self) -> float:
        return 10.0**self.middle

    def draw(self) -> tuple[np.ndarray, np.ndarray]:
        x = np.linspace(self.first, self.last, self.num)
        losses = self.height - self.fall / (1 + np.exp(-(x - self.middle) / self.width))
        climb = np.minimum(10.0 ** np.minimum((x - self.wall) / 0.15, 3), 20.0)
        if self.again:
            climb = np.where(x < self.wall + 0.6, climb, 1.0)
        losses += self.fall * climb
        draw = np.random.default_rng(int(1000 * (self.middle + 9) + self.num))
        losses += self.noise * self.fall * draw.standard_normal(self.num)
        if self.gaps:
            losses[-len(self.gaps) :] = self.gaps
        return 10.0**x, losses


_NAN = (math.inf, *[math.nan] * 7)
_CURVES = (
    _Curve(-3.0, 0.5, -0.3),  # so wide that per unit of rate it is steepest at the first
    _Curve(-2.5, 0.3, -0.5),
    _Curve(-3.5, 0.25, -1.5, again=True),
    _Curve(-2.2, 0.3, -0.4, gaps=_NAN),
    _Curve(-3.1, 0.3, -1.0, num=60),
    _Curve(-3.1, 0.3, -1.0, num=400),
    _Curve(-2.6, 0.25, -0.6, noise=0.04),
    _Curve(-4.0, 0.3, -2.0, noise=0.04, again=True, gaps=_NAN, num=160),
    _Curve(-1.8, 0.25, -0.2, noise=0.03, gaps=_NAN, last=1.0),
    _Curve(-3.3, 0.25, -1.2, noise=0.04, again=True, height=0.2),  # some losses are negative
)


def curve() -> tuple[np.ndarray, np.ndarray, float]:
    """Rates and losses of a made-up test, and the rate at which its loss falls fastest."""
    made = _Curve(-2.5, 0.25, -0.6, noise=0.02, again=True, gaps=_NAN)
    return *made.draw(), made.right


@checker()
def check_flaws(flaws: Callable[[], set[str]]) -> None:
    """Exercise 4a: which of the statements A to G name a flaw of the finder."""
    hints = {
        "A": "the rates of the losses that are not finite are dropped as well, so the two still "
        "fit together.",
        "B": "divided by 1 - 0.95**t, the mean of losses that are all 2 is 2 from the first on.",
        "C": "over how many of the last losses does it average, and how many decades are that? "
        "Where is the fall seen then?",
        "D": "the loss falls by 1 from 1e-6 to 1e-5, and by 1 from 0.1 to 1. Which fall has the "
        "larger slope per unit of rate? On the axis of the figure both look the same.",
        "E": "np.gradient takes the neighbours on both sides, and so its slopes lie where the "
        "rates are.",
        "F": "where may the loss fall fastest, once it has blown up?",
        "G": "argmin counts from the first entry of what it is given. Which rate belongs to that?",
    }
    letters(flaws, {"C", "D", "F", "G"}, hints)
    passed("too late, per the wrong unit, after the blow-up, and at another rate than it found.")


@checker("lrlib.lr_finder")
def check_suggest(suggest: Callable[[np.ndarray, np.ndarray], float]) -> None:
    """Exercise 4b: ``suggest(rates, losses)``, the rate at which the loss falls fastest."""
    for made in _CURVES:
        rates, losses = made.draw()
        answer = _asked(suggest, rates, losses)
        if abs(math.log10(answer / made.right)) > (0.3 if made.noise else 0.15):
            raise Mistake(_wrong_suggestion(answer, made, rates, losses))
    rates, losses = _CURVES[6].draw()
    answer = _asked(suggest, rates, losses)
    for what, scale, shift in (
        ("multiplied by 1000", 1000, 0),
        ("divided by 1000", 0.001, 0),
        ("lowered by 50, as some losses are", 1, -50),
        ("raised by 50", 1, 50),
    ):
        other = _asked(suggest, rates, scale * losses + shift)
        if not math.isclose(other, answer, rel_tol=0.02):
            raise Mistake(
                f"if all losses are {what}, your suggestion goes from {answer:.3g} to {other:.3g}. "
                f"The loss falls fastest where it did: compare losses with each other, not with a "
                f"fixed number."
            )
    for scale in (1e-4, 300):
        other = _asked(suggest, scale * rates, losses)
        if not math.isclose(other, scale * answer, rel_tol=0.02):
            raise Mistake(
                f"if all rates are multiplied by {scale:g}, your suggestion is multiplied by "
                f"{other / answer:.3g}. Nothing in the curve says what a usual rate is: work with "
                f"the logarithms of the rates, and with differences of them."
            )
    passed("the steepest point, per decade, within a factor of 2 and whatever the units.")


def _asked(suggest: Callable[..., float], rates: np.ndarray, losses: np.ndarray) -> float:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # numpy's on infinity: the hint is ours
        answer = number(suggest, rates, losses)
    bad = int((~np.isfinite(losses)).sum())
    if not math.isfinite(answer):
        also = f" {bad} of the losses are not finite: leave them out." if bad else ""
        raise Mistake(f"you suggest {answer}, which is no rate.{also}")
    if not rates[0] <= answer <= rates[-1]:
        hint = "It is none of the rates that were tried."
        if answer < 0 and rates[0] <= 10.0**answer:
            hint = "Is it a logarithm? The rate is 10 to its power."
        elif answer == int(answer) and 0 <= answer < len(rates):
            hint = "Is it an index? The rate stands in rates[index]."
        raise Mistake(f"you suggest {answer:.3g}, of rates from {rates[0]:.1g} on. {hint}")
    return answer


def _wrong_suggestion(answer: float, made: _Curve, rates: np.ndarray, losses: np.ndarray) -> str:
    """The message for a suggestion that is far from the right one."""
    bad = ~np.isfinite(losses)
    told = [f"noise of {made.noise:.0%} of the fall"] if made.noise else []
    told += [f"{bad.sum()} losses that are not finite"] if bad.any() else []
    told += ["a blow-up that falls back"] if made.again else []
    where = f"on a curve of {made.num} points" + (f" with {', '.join(told)}" if told else "")
    given, wanted = apart(answer, made.right, 3)
    where += f" your suggestion is {given}, and {wanted} is right: "
    k = int(np.argmin(np.abs(np.log(rates / answer))))
    low = int(np.nanargmin(np.where(bad, np.inf, losses)))
    step = math.log10(rates[1] / rates[0])
    off = math.log10(answer / made.right)
    if bad.any() and not made.again and math.log10(answer) > made.wall + 0.4:
        return (
            f"{where}it lies at the losses that are not finite. np.argmin finds a NaN before any "
            f"number: leave out those losses, and their rates."
        )
    if math.isclose(answer, rates[low], rel_tol=1e-6):
        return (
            f"{where}that is the minimum, where the loss no longer falls. The rate at which it "
            f"falls fastest is asked for."
        )
    if math.isclose(answer, rates[low] / 10, rel_tol=1e-6):
        return f"{where}that is a tenth of the minimum, and not where the loss falls fastest."
    if made.again and math.log10(answer) > made.wall:
        return (
            f"{where}it lies after the blow-up, where the loss falls back. Look for it before the "
            f"lowest loss only."
        )
    if not made.noise and abs(off + 10 * step) < 1.5 * step:
        return (
            f"{where}it is ten points too low. If you skip the first ten slopes, argmin counts "
            f"from the eleventh."
        )
    if not made.noise and math.log10(answer) > made.wall - 0.4:
        return (
            f"{where}there the loss rises fastest. The slope of a fall is negative: take argmin, "
            f"or turn the sign."
        )
    if not made.noise and answer < 10 * rates[0]:
        return (
            f"{where}there the loss falls fastest per unit of rate, and small rates have small "
            f"units. Take the slope per decade, d loss / d log10(rate)."
        )
    if not made.noise and off > 0:
        return (
            f"{where}that is too late by {off / step:.0f} points. A mean of the losses before "
            f"lags behind the curve: average over the neighbours on both sides, or fit a line to "
            f"them."
        )
    if not made.noise:
        return f"{where}that is too early by {-off / step:.0f} points."
    if k < low:
        return (
            f"{where}that may be noise, as the slope between two neighbours is nearly all noise. "
            f"Take it over half a decade or so, by a line fitted to all points there."
        )
    return f"{where}look at the curve, and at what your function makes of it."


# --------------------------------------------------------------------------------------
# 5. A rule, judged by regret

_STEPS, _MOMENTUM, _BOUND = 400, 0.9, 1.4


@dataclass(frozen=True, eq=False)
class Problem:
    """A noisy quadratic, range-tested once; its runs have 400 steps and decay linearly to 0.

    `rates` and `losses`, shape (n,): the test, which ends when the loss is above four times its
    first. ``ratio(peak)`` is the expected final loss of a run with this peak, over that with the
    best peak of a fine grid, `best`; both are exact. SGD with momentum 0.9 throughout.
    """

    seed: int

    @cached_property
    def _draws(self) -> tuple[NoisyQuadratic, float, float, int]:
        """The quadratic, its scale, the first rate times that, and the seed of its noise."""
        draw = np.random.default_rng([9, self.seed])
        scale, power = 10 ** draw.uniform(-2, 2), draw.uniform(0.9, 1.2)
        h = scale * np.arange(1, 101) ** -power
        batch_size = int(2 ** draw.integers(3, 9))
        quadratic = NoisyQuadratic(tuple(h), tuple(scale * h), batch_size=batch_size)
        return quadratic, scale, 10 ** draw.uniform(-4.5, -3.5), int(draw.integers(2**31))

    @cached_property
    def _test(self) -> tuple[np.ndarray, np.ndarray]:
        quadratic, scale, first, seed = self._draws
        rates = first / scale * np.geomspace(1, 1e6, 100)
        losses = quadratic.sample(rates, 1, seed, _MOMENTUM)[0]
        n = int(np.argmax(losses[1:] > 4 * losses[0])) + 1
        return rates[:n], losses[1 : n + 1]

    @property
    def rates(self) -> np.ndarray:
        return self._test[0].copy()

    @property
    def losses(self) -> np.ndarray:
        return self._test[1].copy()

    @cached_property
    def _best(self) -> tuple[float, float]:
        peaks = np.geomspace(1e-3, 3, 61) / self._draws[1]
        losses = self._final(peaks)
        i = int(losses.argmin())
        return float(peaks[i]), float(losses[i])

    def _final(self, peaks: np.ndarray) -> np.ndarray:
        left = 1 - np.arange(_STEPS) / _STEPS
        return self._draws[0].loss(peaks[:, None] * left, _MOMENTUM)[:, -1]

    @property
    def best(self) -> float:
        return self._best[0]

    def ratio(self, peak: float) -> float:
        """The final loss with this peak over that with the best, infinity if the run diverges."""
        return float(self._final(np.array([float(peak)]))[0]) / self._best[1]


@lru_cache(maxsize=256)
def _problem(seed: int) -> Problem:
    return Problem(seed)


def problems(seeds: Sequence[int]) -> list[Problem]:
    """One `Problem` for each of the seeds."""
    return [_problem(int(seed)) for seed in seeds]


_JUDGED = range(2**40, 2**40 + 24)  # problem seeds that lab.seeds never gives


@checker()
def check_rule(rule: Callable[[np.ndarray, np.ndarray], float]) -> None:
    """Exercise 5: ``rule(rates, losses)``, a peak for runs of 400 steps, judged by its regret."""
    judged = problems(_JUDGED)
    found = np.array([_peak(rule, problem.rates, problem.losses) for problem in judged])
    for problem, peak in zip(judged[:3], found, strict=False):
        scaled = _peak(rule, 100 * problem.rates, problem.losses)
        if not math.isclose(scaled, 100 * peak, rel_tol=0.02):
            raise Mistake(
                f"if all rates of a test are multiplied by 100, your peak goes from {peak:.3g} to "
                f"{scaled:.3g}. The best peak goes up a hundredfold then: the problem is the same "
                f"in other units. Read the peak from the curve."
            )
    ratios = np.array([p.ratio(peak) for p, peak in zip(judged, found, strict=True)])
    median = float(np.median(ratios))
    if median <= _BOUND:
        passed(f"the final loss is {median:.2f} times that of the best peak, in the median.")
        return
    off = np.log([peak / p.best for p, peak in zip(judged, found, strict=True)])
    middle, lost = float(np.exp(np.median(off))), int(np.isinf(ratios).sum())
    often = f"{apart(median, _BOUND, 3)[0]} times"
    shown = often if math.isfinite(median) else "infinitely many times"
    told = (
        f"the final loss is {shown} that of the best peak, in the median of {len(judged)} "
        f"problems; {_BOUND} is allowed. "
    )
    lows = [p.rates[p.losses.argmin()] for p in judged]
    if np.allclose(found, lows, rtol=1e-6):
        raise Mistake(
            f"{told}Your peak is the rate with the lowest loss: the edge of what the run survived, "
            f"{middle:.1f} times the best peak in the median."
        )
    if np.allclose(found, [p.rates[-1] for p in judged], rtol=1e-6):
        raise Mistake(f"{told}Your peak is the last rate, at which the test had broken down.")
    if np.allclose(found, [p.rates[0] for p in judged], rtol=1e-6):
        raise Mistake(f"{told}Your peak is the first rate, whatever the curve.")
    if lost > len(judged) // 4:
        raise Mistake(f"{told}{lost} of them diverged: your peaks are far too high.")
    if not 0.6 < middle < 1.7:
        how = "high" if middle > 1 else "low"
        raise Mistake(
            f"{told}Your peaks are too {how}: {middle:.2g} times the best one, in the median. What "
            f"factor would problems(…) have taught you?"
        )
    low, high = np.exp(np.quantile(off, [0.25, 0.75]))
    raise Mistake(
        f"{told}Your peaks are right in the median, but they scatter: half of them lie outside "
        f"{low:.2g} to {high:.2g} times the best. Which point of the curve moves less from test to "
        f"test? Is the curve smooth enough to be read?"
    )


def _peak(rule: Callable[..., float], rates: np.ndarray, losses: np.ndarray) -> float:
    answer = number(rule, rates, losses)
    if not (math.isfinite(answer) and answer > 0):
        raise Mistake(f"your rule gave the peak {answer:g}. It should be finite and above 0.")
    return answer
