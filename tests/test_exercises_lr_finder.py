"""Chapter 09's checkers, beyond their tables (test_exercises_tables.py)."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from lrlib import PolynomialDecay
from lrlib.exercises import Mistake
from lrlib.exercises import lr_finder as check
from lrlib.exercises.lr_finder_given import CURVES
from lrlib.exercises.lr_finder_reading import BOUND, _finder
from lrlib.exercises.lr_finder_trace import _but
from lrlib.lr_finder import edge, floor_2, minimum, minimum_10, restored, smooth, steepest, valley

geometric, suggest = np.geomspace, _finder()


def multiplied(start, end, n):
    ratio, out = (end / start) ** (1 / (n - 1)), [start]
    while len(out) < n:
        out.append(out[-1] * ratio)
    return out


def before_the_loop(optimizer, train_step, rates):
    """Another style: the loss of each call belongs to the rate before."""
    peaks = [group["lr"] for group in optimizer.param_groups]
    losses = torch.full((len(rates) + 1,), torch.nan, dtype=torch.float64)
    for k in range(len(rates) + 1):
        losses[k] = train_step().detach()
        if k == len(rates) or not torch.isfinite(losses[k]):
            break
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = float(rates[k]) * peak / peaks[0]
        optimizer.step()
    return losses[1:]


def by_hand(model, optimizer, test):
    """Without state dictionaries of the model, and with the gradients as before."""
    tensors = [(t, t.detach().clone()) for t in (*model.parameters(), *model.buffers())]
    gradients = [(p, None if p.grad is None else p.grad.clone()) for p in model.parameters()]
    modes = [(part, part.training) for part in model.modules()]
    state = copy.deepcopy(optimizer.state_dict())
    with torch.random.fork_rng(devices=[]):
        try:
            return test()
        finally:
            for tensor, value in tensors:
                tensor.data = value
            for p, gradient in gradients:
                p.grad = gradient
            for part, mode in modes:
                part.training = mode
            optimizer.load_state_dict(state)


def by_the_library(model, optimizer, test):
    with restored(optimizer, model=model):
        return test()


def another(model, optimizer, test):
    try:
        return _but()(model, optimizer, test)
    except Exception as error:
        raise ValueError("the test failed") from error


def new_in_the_optimizer(model, optimizer, test):
    result = _but()(model, optimizer, test)
    for group in optimizer.param_groups:
        group["params"] = [p.detach().clone() for p in group["params"]]
    return result


def after(action):
    """The right wrapper, once `action` has changed something."""
    return lambda model, *rest: action(model) and _but()(model, *rest)


def with_the_library(rates, losses):
    keep = np.isfinite(losses)
    rates, losses = rates[keep], losses[keep]
    end = np.argmin(losses) + 4
    return steepest(rates[:end], smooth(rates[:end], losses[:end], 0.2))


def if_large(rates, losses):
    """A fixed number decides whether the curve is taken seriously."""
    return suggest(rates, losses) if np.nanmax(losses[:9]) > 0.1 else rates[30]


def in_usual_range(rates, losses):
    found = suggest(rates, losses)
    return found if 1e-5 < found < 0.1 else 1.2 * found


def rule(rates, losses):
    return rates[np.argmin(losses)] / 5


def smoothed(rule, divisor=1.0):
    return lambda rates, losses: rule(rates, smooth(rates, losses, 0.2)) / divisor


def scattering(rates, losses):
    """Right in the median: too high and too low, whatever the unit of the rates."""
    return rule(rates, losses) * (0.12, 1, 8)[sum(losses.tobytes()) // 7 % 3]


@pytest.mark.parametrize(
    ("checker", "solution"),
    [
        (check.check_rates, multiplied),
        (check.check_rates, lambda a, b, n: torch.logspace(math.log10(a), math.log10(b), n)),
        (check.check_range_test, before_the_loop),
        (check.check_range_test, check._test(then=lambda x: np.where(x == np.inf, np.nan, x))),
        (check.check_without_trace, by_hand),
        (check.check_flaws, lambda: ["g", "f", "d", "c"]),
        (check.check_suggest, lambda *curve: torch.tensor(suggest(*curve))),
        (check.check_rule, lambda *curve: torch.tensor(rule(*curve))),
        (check.check_rule, smoothed(minimum, 3)),
        (check.check_rule, smoothed(edge, 8)),
    ],
)
def test_other_solutions_pass(checker, solution, capsys):
    checker(solution)
    assert capsys.readouterr().out.startswith("Passed: ")


MISTAKES = [
    (check.check_without_trace, by_the_library, "of lrlib, which the text of the exercise rules"),
    (check.check_suggest, with_the_library, "of lrlib.lr_finder, which the text of the exercise"),
    # the rates
    (check.check_rates, lambda a, b, n: geometric(b, a, n), "your rates fall"),
    (check.check_rates, lambda a, b, n: geometric(1, b / a, n), "factors on start_lr"),
    (check.check_rates, lambda *case: geometric(*case)[1:], "first rate, start_lr, is missing"),
    (check.check_rates, lambda *case: np.log(geometric(*case)), "rates are e to their power"),
    (check.check_rates, lambda *case: geometric(*case)[None], "return a list of rates"),
    (check.check_rates, lambda a, b, n: geometric(a, b / 2, n), "rate 1 is"),
    # the test
    (check.check_range_test, check._test("rsbb"), r"after so many updates: \(0, 1, 1, 2, 2"),
    (check.check_range_test, check._test(rate=lambda rate, *_: 2 * rate), "had|was 0.002, and"),
    (check.check_range_test, check._test(pad=math.inf), "not tried has the loss inf"),
    (check.check_range_test, check._test(then=np.nan_to_num), "stands there as 0"),
    (check.check_range_test, lambda _, train_step, rates: [train_step()], "hang on the graphs"),
    (check.check_range_test, check._test(then=lambda x: x[:4]), "4 losses for 6 rates"),
    (check.check_range_test, check._test(then=lambda x: (x, x)), "return a list of losses"),
    # no trace
    (check.check_without_trace, another, "raised ValueError: the test failed"),
    (check.check_without_trace, lambda *args: _but()(*args) and 3, "not what test.. returned"),
    (check.check_without_trace, lambda *_: 1, "test was not called"),
    (check.check_without_trace, after(lambda model: model.train()), "began with other modes"),
    (check.check_without_trace, after(lambda _: torch.manual_seed(0)), "began with other random"),
    (check.check_without_trace, new_in_the_optimizer, "new parameter tensors"),
    # the suggestion
    (check.check_suggest, lambda *curve: math.log10(suggest(*curve)), "Is it a logarithm"),
    (check.check_suggest, lambda r, y: int(np.argmin(abs(r - suggest(r, y)))), "Is it an index"),
    (check.check_suggest, lambda *curve: 1e9, "none of the rates that were tried"),
    (check.check_suggest, lambda *curve: math.nan, "which is no rate"),
    (check.check_suggest, if_large, "not with a fixed number"),
    (check.check_suggest, in_usual_range, "Nothing in the curve says what a usual rate is"),
    # the rule
    (check.check_rule, lambda r, y: 0.1, "Read the peak from the curve"),
    (check.check_rule, minimum, "the edge of what the run survived"),
    (check.check_rule, smoothed(edge, 5), "Your peaks are too high"),
    (check.check_rule, minimum_10, "Your peaks are too low"),
    (check.check_rule, smoothed(valley), "Your peaks are too low"),
    (check.check_rule, lambda r, y: r[-1], "Your peak is the last rate"),
    (check.check_rule, lambda r, y: 3 * r[-1], "of them diverged"),
    (check.check_rule, scattering, "they scatter"),
    (check.check_rule, lambda r, y: -r[3], "finite and above 0"),
]


@pytest.mark.parametrize(("checker", "answer", "hint"), MISTAKES)
def test_each_mistake_gets_its_hint(checker, answer, hint):
    with pytest.raises(Mistake, match=hint):
        checker(answer)


def test_the_logistic_curves_are_steepest_where_the_checker_says():
    for made in CURVES:
        rates, losses = replace(made, noise=0.0, gaps=(), num=4000).draw()
        x = np.log10(rates[np.log10(rates) < made.wall - 0.3])
        y = losses[: len(x)]
        assert x[np.argmin(np.gradient(y, x))] == pytest.approx(made.middle, abs=0.01)
        assert losses.min() == pytest.approx(y.min(), abs=0.01)


def test_the_sheets_curve_deceives_the_careless_finder_and_no_other():
    rates, losses, right = check.curve()
    careless = _finder(per_decade=False, lag=0.95, up_to_lowest=False, skip=10)
    assert not right / 10 < careless(rates, losses) < 10 * right
    assert suggest(rates, losses) == pytest.approx(right, rel=0.3)


def test_the_ratio_of_a_problem_is_that_of_its_exact_losses():
    (problem,) = check.problems([3])
    assert problem.ratio(problem.best) == pytest.approx(1)
    peak, loss = problem.quadratic.tune(PolynomialDecay(400), 400, momentum=0.9)
    assert peak == pytest.approx(problem.best, rel=0.1)
    assert loss / problem.least == pytest.approx(1, abs=0.01)
    assert problem.ratio(1e9) == math.inf
    assert (problem.losses[:-1] <= 4.5 * problem.losses[0]).all()


@pytest.mark.parametrize("first", [100, 1000])
def test_on_other_problems_too_a_calibrated_rule_passes_and_the_plain_ones_do_not(first):
    problems = check.problems(range(first, first + 24))

    def median(rule):
        return np.median([p.ratio(rule(p.rates, p.losses)) for p in problems])

    for good in (rule, smoothed(minimum, 3), smoothed(edge, 8), smoothed(floor_2)):
        assert median(good) < BOUND
    for bad in (minimum, smoothed(minimum), minimum_10, smoothed(steepest)):
        assert median(bad) > BOUND
    assert median(lambda r, y: 0.1) > 2
