"""Chapter 09's checkers: the solution passes, mistakes get hints (starters: test_exercises.py)."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import WEIRD

from lrlib import PolynomialDecay
from lrlib.exercises import Mistake
from lrlib.exercises import lr_finder as check
from lrlib.lr_finder import edge, floor_2, minimum, minimum_10, restored, smooth, steepest, valley

# --------------------------------------------------------------------------------------
# 1. The rates


def rates(start, end, n):
    return np.geomspace(start, end, n)


def multiplied(start, end, n):
    ratio, out = (end / start) ** (1 / (n - 1)), [start]
    while len(out) < n:
        out.append(out[-1] * ratio)
    return out


def in_torch(start, end, n):
    return torch.logspace(math.log10(start), math.log10(end), n)


def logs(start, end, n):
    return np.linspace(math.log10(start), math.log10(end), n)


# --------------------------------------------------------------------------------------
# 2. The range test


def updating(
    loop="rsb",
    first="b",
    rate=lambda rate, ratios, groups, k: [rate * ratio for ratio in ratios],
    stop=lambda loss, losses: not math.isfinite(loss),
    pad=math.nan,
    record=lambda loss, losses: float(loss),
):
    """A test in which any part can be made wrong; r: write the rates, s: step, b: train_step.

    Of several losses for one rate the last counts.
    """

    def range_test(optimizer, train_step, rates):
        groups = optimizer.param_groups
        ratios = [group["lr"] / groups[0]["lr"] for group in groups]
        losses = []
        for _ in first:
            train_step()
        for k, value in enumerate(rates):
            for action in loop:
                if action == "r":
                    for group, new in zip(groups, rate(value, ratios, groups, k), strict=True):
                        group["lr"] = new
                elif action == "s":
                    optimizer.step()
                elif action == "z":
                    optimizer.zero_grad()
                else:
                    loss = train_step()
            losses.append(record(loss, losses))
            if stop(float(loss), losses):
                break
        return losses + [pad] * (len(rates) - len(losses)) if pad is not None else losses

    return range_test


def before_the_loop(optimizer, train_step, rates):
    """Another style: the loss of each call belongs to the rate before."""
    peaks = [group["lr"] for group in optimizer.param_groups]
    losses = torch.full((len(rates) + 1,), torch.nan, dtype=torch.float64)
    for k in range(len(rates) + 1):
        loss = train_step().detach()
        losses[k] = loss
        if k == len(rates) or not torch.isfinite(loss):
            break
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = float(rates[k]) * peak / peaks[0]
        optimizer.step()
    return losses[1:]


def in_turn(rate, ratios, groups, k):
    """The ratio to the first group's rate, when that is the new one already."""
    for group in groups:
        group["lr"] = group["lr"] * rate / groups[0]["lr"]
    return [group["lr"] for group in groups]


def with_closure(optimizer, train_step, rates):
    losses = []
    for rate in rates:
        for group in optimizer.param_groups:
            group["lr"] = rate
        losses.append(float(optimizer.step(train_step)))
    return losses


def all_losses(optimizer, train_step, rates):
    first = []

    def remembering():
        first.append(train_step())
        return first[-1]

    after = updating()(optimizer, remembering, rates)
    return [float(first[0]), *after]


def changed(function):
    """The right test, and `function` of its losses."""
    return lambda *args: function(np.array(updating()(*args)))


def never_tried(value):
    return lambda losses: np.where(np.isnan(losses), value, losses)


# --------------------------------------------------------------------------------------
# 3. Leave no trace

ALL = frozenset(("model", "optimizer", "modes", "random", "gradients"))


def keeping(
    keep=ALL,
    copied=ALL,
    always=True,
    modes=None,
    zero=None,
    result=lambda answer: answer,
    caught=BaseException,
    calls=1,
    at_first=lambda model, optimizer: None,
    at_last=lambda model, optimizer: None,
):
    """A wrapper in which any part can be left out."""

    def without_trace(model, optimizer, test):
        def state(name, part):
            return copy.deepcopy(part.state_dict()) if name in copied else part.state_dict()

        saved = {name: state(name, p) for name, p in (("model", model), ("optimizer", optimizer))}
        training = [part.training for part in model.modules()]
        random = torch.get_rng_state()

        def back():
            if "model" in keep:
                model.load_state_dict(saved["model"])
            if "optimizer" in keep:
                optimizer.load_state_dict(saved["optimizer"])
            if "modes" in keep:
                for part, mode in zip(model.modules(), training, strict=True):
                    part.training = mode
            if modes is not None:
                modes(model, training[0])
            if "gradients" in keep:
                model.zero_grad()
            if "random" in keep:
                torch.set_rng_state(random)
            at_last(model, optimizer)

        at_first(model, optimizer)
        try:
            for _ in range(calls):
                answer = test()
        except caught:
            if always:
                back()
            raise
        back()
        return result(answer)

    return without_trace


def swallowing(model, optimizer, test):
    try:
        return keeping()(model, optimizer, test)
    except Exception:
        return None


def in_finally(model, optimizer, test):
    """A return in `finally` swallows the exception."""
    answer = None
    try:
        answer = keeping()(model, optimizer, test)
    finally:
        return answer  # noqa: B012


def another(model, optimizer, test):
    try:
        return keeping()(model, optimizer, test)
    except Exception as error:
        raise ValueError("the test failed") from error


def by_hand(model, optimizer, test):
    """Without state dictionaries, and with the gradients as before."""
    tensors = [*model.parameters(), *model.buffers()]
    values = [tensor.detach().clone() for tensor in tensors]
    gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    modes = {part: part.training for part in model.modules()}
    state = copy.deepcopy(optimizer.state_dict())
    with torch.random.fork_rng(devices=[]):
        try:
            return test()
        finally:
            with torch.no_grad():
                for tensor, value in zip(tensors, values, strict=True):
                    tensor.data = value
            for p, gradient in zip(model.parameters(), gradients, strict=True):
                p.grad = gradient
            for part, mode in modes.items():
                part.train(mode) if not list(part.children()) else setattr(part, "training", mode)
            optimizer.load_state_dict(state)


def by_the_library(model, optimizer, test):
    with restored(optimizer, model=model):
        return test()


def copies_lost(model, optimizer, test):
    """Names are bound to the copies; the caller's objects stay as the test left them."""
    kept = copy.deepcopy((model, optimizer))
    try:
        return test()
    finally:
        model, optimizer = kept


def new_parameters(model, optimizer):
    model.load_state_dict({k: v.clone() for k, v in model.state_dict().items()}, assign=True)


def new_optimizer_tensors(model, optimizer):
    for group in optimizer.param_groups:
        group["params"] = [p.detach().clone() for p in group["params"]]


def weights_alone(model, optimizer, test):
    weights = [p.detach().clone() for p in model.parameters()]
    try:
        return keeping(keep=ALL - {"model"})(model, optimizer, test)
    finally:
        with torch.no_grad():
            for p, weight in zip(model.parameters(), weights, strict=True):
                p.copy_(weight)


def only_rates(model, optimizer, test):
    kept = [group["lr"] for group in optimizer.param_groups]
    try:
        return keeping(keep=ALL - {"optimizer"})(model, optimizer, test)
    finally:
        for group, rate in zip(optimizer.param_groups, kept, strict=True):
            group["lr"] = rate


def only_state(model, optimizer, test):
    kept = copy.deepcopy({p: dict(s) for p, s in optimizer.state.items()})
    kept = dict(zip(optimizer.state, kept.values(), strict=True))
    try:
        return keeping(keep=ALL - {"optimizer"})(model, optimizer, test)
    finally:
        optimizer.state.clear()
        optimizer.state.update(kept)


def unless_fresh(model, optimizer, test):
    """Puts the optimizer back only if it had a state."""
    keep = ALL if optimizer.state else ALL - {"optimizer"}
    rates = [group["lr"] for group in optimizer.param_groups]
    try:
        return keeping(keep=keep)(model, optimizer, test)
    finally:
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate


def emptied(model, optimizer):
    optimizer.state.clear()


# --------------------------------------------------------------------------------------
# 4. The suggestion


def suggest(rates, losses):
    keep = np.isfinite(losses)
    x, y = np.log10(rates[keep]), losses[keep]
    slopes = []
    for here in x[: np.argmin(y) + 1]:
        near = np.abs(x - here) < 0.3
        slopes.append(np.polyfit(x[near], y[near], 1)[0])
    return 10 ** x[np.argmin(slopes)]


def with_the_library(rates, losses):
    keep = np.isfinite(losses)
    rates, losses = rates[keep], losses[keep]
    end = np.argmin(losses) + 4
    return steepest(rates[:end], smooth(rates[:end], losses[:end], 0.2))


def reading(per_decade=True, lag=None, up_to_lowest=True, skip=0, finite=True, box=True):
    """The careless finder, its faults one by one; with `box` a mean of both sides."""

    def wrong(rates, losses):
        if finite:
            keep = np.isfinite(losses)
            rates, losses = rates[keep], losses[keep]
        if up_to_lowest:
            end = np.argmin(losses) + 1
            rates, losses = rates[:end], losses[:end]
        if lag is not None:
            mean, smoothed = 0.0, []
            for t, loss in enumerate(losses, start=1):
                mean = lag * mean + (1 - lag) * loss
                smoothed.append(mean / (1 - lag**t))
            losses = np.array(smoothed)
        elif box:
            half = max(1, round(0.25 / math.log10(rates[1] / rates[0])))
            kernel = np.ones(2 * half + 1) / (2 * half + 1)
            losses, rates = np.convolve(losses, kernel, "valid"), rates[half:-half]
        slope = np.gradient(losses, np.log10(rates) if per_decade else rates)
        return rates[np.argmin(slope[skip:])]

    return wrong


def careless(rates, losses):
    return reading(per_decade=False, lag=0.95, up_to_lowest=False, skip=10)(rates, losses)


def index(rates, losses):
    return int(np.argmin(np.abs(rates - suggest(rates, losses))))


def if_large(rates, losses):
    """A fixed number decides whether the curve is taken seriously."""
    return suggest(rates, losses) if np.nanmax(losses[:9]) > 0.1 else rates[30]


def in_usual_range(rates, losses):
    found = suggest(rates, losses)
    return found if 1e-5 < found < 0.1 else 1.2 * found


# --------------------------------------------------------------------------------------
# 5. The rule


def rule(rates, losses):
    return rates[np.argmin(losses)] / 5


def smoothed(rule, divisor=1.0):
    return lambda rates, losses: rule(rates, smooth(rates, losses, 0.2)) / divisor


def scattering():
    """Right in the median: too high and too low in turn, but not when asked at other scales."""
    seen = {}

    def wrong(rates, losses):
        key = losses.tobytes()
        turn = seen.setdefault(key, len(seen))
        return rule(rates, losses) * (8 if turn % 2 else 0.12)

    return wrong


# --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("checker", "solution"),
    [
        (check.check_rates, rates),
        (check.check_rates, multiplied),
        (check.check_rates, in_torch),
        (check.check_rates, lambda *case: tuple(np.exp(np.log(rates(*case))).tolist())),
        (check.check_range_test, updating()),
        (check.check_range_test, before_the_loop),
        (check.check_range_test, updating(record=lambda loss, losses: loss.item())),
        (check.check_range_test, updating(record=lambda loss, losses: loss.detach())),
        (check.check_range_test, changed(never_tried(math.nan))),
        (
            check.check_range_test,
            changed(lambda losses: np.where(losses == np.inf, np.nan, losses)),
        ),
        (check.check_without_trace, keeping()),
        (check.check_without_trace, by_hand),
        (check.check_flaws, lambda: {"C", "D", "F", "G"}),
        (check.check_flaws, lambda: ["g", "f", "d", "c"]),
        (check.check_suggest, suggest),
        (check.check_suggest, reading()),
        (check.check_suggest, lambda *curve: torch.tensor(suggest(*curve))),
        (check.check_rule, rule),
        (check.check_rule, lambda *curve: torch.tensor(rule(*curve))),
        (check.check_rule, smoothed(minimum, 3)),
        (check.check_rule, smoothed(edge, 8)),
    ],
)
def test_the_solution_passes(checker, solution, capsys):
    checker(solution)
    assert capsys.readouterr().out.startswith("Passed: ")


MISTAKES = [
    (check.check_without_trace, by_the_library, "of lrlib, which the text of the exercise rules"),
    (check.check_suggest, with_the_library, "of lrlib.lr_finder, which the text of the exercise"),
    # the rates
    (check.check_rates, lambda a, b, n: np.linspace(a, b, n), "equally spaced themselves"),
    (check.check_rates, lambda a, b, n: np.geomspace(a, b, n, endpoint=False), "last rate is miss"),
    (check.check_rates, lambda a, b, n: a * (b / a) ** (np.arange(n) / n), "last rate is missing"),
    (check.check_rates, lambda a, b, n: a * (b / a) ** (np.arange(1, n + 1) / n), "not start_lr"),
    (check.check_rates, lambda a, b, n: rates(a, b, n + 1), "one rate too many"),
    (check.check_rates, lambda a, b, n: rates(a, b, n + 2)[1:-1], "both ends are missing"),
    (check.check_rates, lambda a, b, n: rates(a, b, n - 1), "one rate too few"),
    (check.check_rates, lambda a, b, n: rates(a, b, n)[1:], "first rate, start_lr, is missing"),
    (check.check_rates, lambda a, b, n: rates(a, b, n)[:-1], "last rate, end_lr, is missing"),
    (check.check_rates, lambda a, b, n: np.sqrt(np.linspace(a**2, b**2, n)), "in the square"),
    (check.check_rates, lambda a, b, n: a * 10.0 ** np.arange(n), "multiply by 10"),
    (check.check_rates, lambda a, b, n: a * 2.0 ** np.arange(n), "double the rate"),
    (check.check_rates, lambda *case: 10 ** logs(*case).round(), "rounded to whole numbers"),
    (check.check_rates, lambda a, b, n: rates(b, a, n), "your rates fall"),
    (check.check_rates, lambda a, b, n: 10.0 ** np.arange(-6, 2), "powers of ten alone"),
    (check.check_rates, logs, "those are the logarithms"),
    (check.check_rates, lambda *case: np.log(rates(*case)), "those are the logarithms"),
    (check.check_rates, np.logspace, "takes the exponents of the ends"),
    (check.check_rates, lambda *case: np.exp(logs(*case)), "different bases"),
    (check.check_rates, lambda *case: 10 ** np.log(rates(*case)), "different bases"),
    (check.check_rates, lambda a, b, n: rates(1, b / a, n), "factors on start_lr"),
    (check.check_rates, lambda a, b, n: rates(a, b, 3 * n), "300 rates, and 100 are asked for"),
    (check.check_rates, lambda a, b, n: rates(a, b / 2, n), "rate 1 is"),
    (check.check_rates, lambda *case: rates(*case)[None], "return a list of rates"),
    # the test
    (check.check_range_test, updating("bs", ""), "before the update.*The loss after the last"),
    (check.check_range_test, updating("brs", ""), "had no part in it"),
    (check.check_range_test, updating("srb"), "one update late"),
    (check.check_range_test, updating("sb"), "the rate never changed"),
    (
        check.check_range_test,
        updating(rate=lambda rate, ratios, groups, k: [rate, *(g["lr"] for g in groups[1:])]),
        "only the first group's rate changed",
    ),
    (
        check.check_range_test,
        updating(rate=lambda rate, ratios, groups, k: [rate for _ in groups]),
        "all groups got the same rate",
    ),
    (check.check_range_test, updating(rate=in_turn), "when the first rate was the new one"),
    (
        check.check_range_test,
        updating(rate=lambda rate, ratios, groups, k: [rate * 0.1 * r for r in ratios]),
        "applied as factors",
    ),
    (
        check.check_range_test,
        updating(rate=lambda rate, ratios, groups, k: [rate, *(3 * rate for _ in ratios[1:])]),
        "in update 0 group 1 had the rate 0.003",
    ),
    (
        check.check_range_test,
        updating(rate=lambda rate, ratios, groups, k: [2 * rate * ratio for ratio in ratios]),
        "update 0 used the rate 0.002 in the first group",
    ),
    (check.check_range_test, updating(stop=lambda *_: False), "went on for 4 updates"),
    (check.check_range_test, updating(stop=lambda loss, _: math.isnan(loss)), "went on for 3"),
    (
        check.check_range_test,
        updating(stop=lambda loss, _: loss > 100 or not math.isfinite(loss)),
        "3 updates were made, not 9: it ends at a loss that is not finite, and at no other",
    ),
    (
        check.check_range_test,
        updating(stop=lambda loss, losses: len(losses) > 1 and loss > losses[-2]),
        "updates were made, not 6",
    ),
    (check.check_range_test, updating(pad=None), "return 5 losses. Return one for every rate"),
    (check.check_range_test, updating(pad=math.inf), "not tried has the loss inf"),
    (check.check_range_test, updating(pad=0.0), "not tried has the loss 0"),
    (
        check.check_range_test,
        changed(lambda losses: losses[np.isfinite(losses)]),
        "return 4 losses. Return one for every rate",
    ),
    (
        check.check_range_test,
        changed(lambda x: np.where(np.arange(len(x)) == np.isfinite(x).sum(), 99.0, x)),
        "stands there as 99",
    ),
    (check.check_range_test, updating("rssb"), "two updates came one after the other"),
    (check.check_range_test, updating("rbsb", ""), "ran twice for every update"),
    (check.check_range_test, updating("rsbb"), "13 times for 6 updates"),
    (check.check_range_test, updating(first="bb"), "8 times for 6 updates"),
    (check.check_range_test, updating("rsb", ""), "before train_step"),
    (check.check_range_test, updating("rb"), "no update was made"),
    (check.check_range_test, updating("rzsb"), "do not zero them again"),
    (check.check_range_test, with_closure, "inside optimizer.step"),
    (check.check_range_test, updating(record=lambda loss, _: loss), "hang on the graphs"),
    (check.check_range_test, all_losses, "belongs to no rate"),
    (check.check_range_test, changed(lambda x: x[::-1]), "reverse order"),
    (check.check_range_test, changed(np.minimum.accumulate), "lowest loss so far"),
    (check.check_range_test, changed(np.log), "logarithms of the losses"),
    (
        check.check_range_test,
        changed(lambda x: np.append(check._loss(0), x[:-1])),
        "the loss beside each rate is that from before",
    ),
    (check.check_range_test, changed(lambda x: x - check._loss(0)), "the change from"),
    (check.check_range_test, changed(lambda x: 0.9 * x), "after that update it was"),
    (check.check_range_test, changed(lambda x: x[:4]), "4 losses for 6 rates"),
    (check.check_range_test, changed(lambda x: (x, x)), "return a list of losses"),
    # no trace
    (check.check_without_trace, lambda model, optimizer, test: test(), "weights are those that"),
    (check.check_without_trace, copies_lost, "weights are those that the test left"),
    (check.check_without_trace, keeping(copied={"optimizer"}), r"deepcopy\(model.state_dict\(\)\)"),
    (check.check_without_trace, keeping(copied={"model"}), r"deepcopy\(optimizer.state_dict\(\)\)"),
    (check.check_without_trace, weights_alone, "the buffers are not"),
    (check.check_without_trace, keeping(keep=ALL - {"modes"}), "knows nothing of modes"),
    (
        check.check_without_trace,
        keeping(keep=ALL - {"modes"}, modes=lambda model, training: model.train(training)),
        "a frozen batch norm",
    ),
    (check.check_without_trace, keeping(keep=ALL - {"optimizer"}), "Adam's running means"),
    (check.check_without_trace, only_rates, "Adam's running means"),
    (check.check_without_trace, only_state, "the rates are those of the test"),
    (check.check_without_trace, keeping(at_last=emptied), "optimizer's state is empty"),
    (check.check_without_trace, unless_fresh, "no update yet: .*It had none, which is a state too"),
    (check.check_without_trace, keeping(keep=ALL - {"random"}), "Keep torch.get_rng_state"),
    (
        check.check_without_trace,
        keeping(at_last=lambda *_: torch.manual_seed(0)),
        "Did you set a seed",
    ),
    (
        check.check_without_trace,
        keeping(at_last=lambda *_: torch.rand(1)),
        "as the last thing you do",
    ),
    (check.check_without_trace, keeping(keep=ALL - {"gradients"}), "last gradients of the test"),
    (
        check.check_without_trace,
        keeping(always=False),
        "raises an exception: the weights are those.*`finally`",
    ),
    (check.check_without_trace, keeping(caught=Exception), "KeyboardInterrupt.*`finally`"),
    (check.check_without_trace, swallowing, "swallowed the exception"),
    (check.check_without_trace, in_finally, "swallowed the exception"),
    (check.check_without_trace, another, "raised ValueError: the test failed"),
    (check.check_without_trace, keeping(result=lambda answer: 3), "not what test.. returned"),
    (check.check_without_trace, keeping(result=lambda answer: None), "Is a 'return' missing"),
    (check.check_without_trace, keeping(calls=2), "called 2 times"),
    (check.check_without_trace, keeping(calls=0, result=lambda _: 1), "UnboundLocalError"),
    (check.check_without_trace, lambda *_: 1, "test was not called"),
    (
        check.check_without_trace,
        keeping(at_first=lambda model, _: model.train()),
        r"began with other modes \(train or eval\)",
    ),
    (
        check.check_without_trace,
        keeping(at_first=lambda *_: torch.manual_seed(0)),
        "began with other random numbers",
    ),
    (check.check_without_trace, keeping(at_last=new_parameters), "new parameter tensors"),
    (check.check_without_trace, keeping(at_last=new_optimizer_tensors), "holds other tensors"),
    # what is wrong
    *((check.check_flaws, lambda x=x: set("CDFG") - {x}, f"{x} is missing") for x in "CDFG"),
    *((check.check_flaws, lambda x=x: set("CDFG") | {x}, f"{x} is not a flaw") for x in "ABE"),
    (check.check_flaws, lambda: set("CDFGH"), "not among"),
    (check.check_flaws, lambda: "CDFG", "set of letters"),
    # the suggestion
    (check.check_suggest, careless, "per unit of rate"),
    (check.check_suggest, reading(per_decade=False), "per unit of rate"),
    (check.check_suggest, reading(per_decade=False, box=False), "per unit of rate"),
    (check.check_suggest, reading(lag=0.95), "lags behind the curve"),
    (check.check_suggest, reading(lag=0.9, up_to_lowest=False), "lags behind the curve"),
    (check.check_suggest, reading(up_to_lowest=False), "lies after the blow-up"),
    (check.check_suggest, reading(skip=10), "ten points too low"),
    (check.check_suggest, reading(finite=False), "finds a NaN before any number"),
    (check.check_suggest, lambda r, y: r[np.argmin(y)], "that is the minimum"),
    (check.check_suggest, lambda r, y: r[np.nanargmin(y)] / 10, "a tenth of the minimum"),
    (check.check_suggest, lambda r, y: r[np.argmax(np.gradient(y))], "rises fastest"),
    (check.check_suggest, reading(box=False), "that may be noise"),
    (check.check_suggest, lambda *curve: math.log10(suggest(*curve)), "Is it a logarithm"),
    (check.check_suggest, index, "Is it an index"),
    (check.check_suggest, lambda *curve: 1e9, "none of the rates that were tried"),
    (check.check_suggest, lambda *curve: math.nan, "which is no rate"),
    (check.check_suggest, if_large, "not with a fixed number"),
    (check.check_suggest, in_usual_range, "Nothing in the curve says what a usual rate is"),
    (check.check_suggest, lambda r, y: r, "one number"),
    # the rule
    (check.check_rule, lambda r, y: 0.1, "Read the peak from the curve"),
    (check.check_rule, minimum, "the edge of what the run survived"),
    (check.check_rule, smoothed(minimum), "Your peaks are too high"),
    (check.check_rule, smoothed(edge, 5), "Your peaks are too high"),
    (check.check_rule, smoothed(edge), "too high"),
    (check.check_rule, minimum_10, "Your peaks are too low"),
    (check.check_rule, smoothed(steepest), "Your peaks are too low"),
    (check.check_rule, smoothed(valley), "Your peaks are too low"),
    (check.check_rule, lambda r, y: r[-1], "Your peak is the last rate"),
    (check.check_rule, lambda r, y: r[0], "Your peak is the first rate"),
    (check.check_rule, lambda r, y: 3 * r[-1], "of them diverged"),
    (check.check_rule, scattering(), "they scatter"),
    (check.check_rule, lambda r, y: -r[3], "finite and above 0"),
    (check.check_rule, lambda r, y: math.nan, "finite and above 0"),
    (check.check_rule, lambda r, y: r, "one number"),
]


@pytest.mark.parametrize(("checker", "answer", "hint"), MISTAKES)
def test_each_mistake_gets_its_hint(checker, answer, hint):
    with pytest.raises(Mistake, match=hint):
        checker(answer)


def test_the_logistic_curves_are_steepest_where_the_checker_says():
    for made in check.CURVES:
        quiet = replace(made, noise=0.0, gaps=(), num=4000)
        rates, losses = quiet.draw()
        before = np.log10(rates) < made.wall - 0.3
        x, y = np.log10(rates[before]), losses[before]
        assert x[np.argmin(np.gradient(y, x))] == pytest.approx(made.middle, abs=0.01)
        assert losses.argmin() == y.argmin() or losses.min() == pytest.approx(y.min(), abs=0.01)


def test_the_sheets_curve_deceives_the_careless_finder_and_no_other():
    rates, losses, right = check.curve()
    assert careless(rates, losses) < right / 10 or careless(rates, losses) > 10 * right
    assert suggest(rates, losses) == pytest.approx(right, rel=0.3)


def test_the_ratio_of_a_problem_is_that_of_its_exact_losses():
    (problem,) = check.problems([3])
    quadratic = problem._draws[0]
    assert problem.ratio(problem.best) == pytest.approx(1)
    peak, loss = quadratic.tune(PolynomialDecay(400), 400, momentum=0.9)
    assert peak == pytest.approx(problem.best, rel=0.1)
    assert loss / problem._best[1] == pytest.approx(1, abs=0.01)
    assert problem.ratio(1e9) == math.inf
    assert (problem.losses[:-1] <= 4.5 * problem.losses[0]).all()


@pytest.mark.parametrize("first", [100, 1000])
def test_on_other_problems_too_a_calibrated_rule_passes_and_the_plain_ones_do_not(first):
    problems = check.problems(range(first, first + 24))

    def median(rule):
        return np.median([p.ratio(rule(p.rates, p.losses)) for p in problems])

    for good in (rule, smoothed(minimum, 3), smoothed(edge, 8), smoothed(floor_2)):
        assert median(good) < check.BOUND
    for bad in (minimum, smoothed(minimum), minimum_10, smoothed(steepest)):
        assert median(bad) > check.BOUND
    assert median(lambda r, y: 0.1) > 2


CHECKERS = [value for name, value in vars(check).items() if name.startswith("check_")]


@pytest.mark.parametrize("checker", CHECKERS)
@pytest.mark.parametrize("value", WEIRD, ids=lambda value: str(value)[:20])
def test_whatever_is_returned_the_checker_does_not_crash(checker, value):
    with pytest.raises(Mistake):
        checker(lambda *args: value)
