"""from_name, against transformers: written out here, and the package itself where it is there."""

import enum
import math

import numpy as np
import pytest
from conftest import torch_rates
from hypothesis import assume, given
from hypothesis import strategies as st

from lrlib import (
    Constant,
    CosineAnnealing,
    CosineCycles,
    InverseSquareRootDecay,
    PolynomialDecay,
    WarmRestarts,
    Warmup,
    from_name,
)

TOTALS, SHARES = st.integers(1, 300), st.floats(0, 1)


def cosine(t, w, n, num_cycles=0.5, min_lr_rate=0.0):
    if t < w:
        return t / w
    wave = (1 + math.cos(math.pi * num_cycles * 2 * (t - w) / max(1, n - w))) / 2
    return max(0, wave * (1 - min_lr_rate) + min_lr_rate)


def restarts(t, w, n, num_cycles=1):
    if t < w:
        return t / w
    progress = (t - w) / max(1, n - w)
    if progress >= 1:
        return 0.0
    return max(0.0, 0.5 * (1 + math.cos(math.pi * ((num_cycles * progress) % 1))))


def polynomial(t, w, n, power=1.0, lr_end=1e-7, peak=1.0):
    if t < w:
        return t / w
    if t > n:
        return lr_end / peak
    return ((peak - lr_end) * (1 - (t - w) / (n - w)) ** power + lr_end) / peak


def inverse_sqrt(t, w, n, timescale=None):
    timescale = timescale or w or 10_000
    return t / w if t < w else ((t + timescale - w) / timescale) ** -0.5


def cosine_warmup(t, w, n, num_cycles=0.5, min_lr_rate=0.0, warmup_lr_rate=None):
    if t < w:
        if warmup_lr_rate is None:
            return (t + 1) / w
        return warmup_lr_rate + (1 - warmup_lr_rate) * t / max(1, w - 1)
    wave = (1 + math.cos(math.pi * num_cycles * 2 * (t - w + 1) / max(1, n - w))) / 2
    return max(0, wave * (1 - min_lr_rate) + min_lr_rate)


def wsd(t, w, n, num_decay_steps, decay_type="cosine", min_lr_ratio=0.0):
    if t < w:
        factor = t / w
    elif t < n - num_decay_steps:
        factor = 1.0
    elif t < n:
        s = (t - n + num_decay_steps) / num_decay_steps
        cosine = (1 + math.cos(math.pi * s)) / 2
        factor = {"linear": 1 - s, "cosine": cosine, "1-sqrt": 1 - math.sqrt(s)}[decay_type]
    else:
        factor = 0.0
    return factor * (1 - min_lr_ratio) + min_lr_ratio


# name: (transformers' factor, settings for both)
THEIRS = {
    "linear": (lambda t, w, n: t / w if t < w else max(0, (n - t) / max(1, n - w)), {}),
    "cosine": (cosine, {}),
    "cosine, waves": (cosine, {"num_cycles": 1.25}),
    "cosine_with_restarts": (restarts, {}),
    "cosine_with_restarts, 4": (restarts, {"num_cycles": 4}),
    "polynomial": (polynomial, {"power": 2.5, "lr_end": 0.01, "peak": 0.5}),
    "constant_with_warmup": (lambda t, w, n: t / w if t < w else 1.0, {}),
    "inverse_sqrt": (inverse_sqrt, {}),
    "inverse_sqrt, timescale": (inverse_sqrt, {"timescale": 17}),
    "cosine_with_min_lr": (cosine, {"min_lr_rate": 0.1}),
    "cosine_with_min_lr, waves": (cosine, {"min_lr_rate": 0.2, "num_cycles": 2}),
    "cosine_warmup_with_min_lr": (cosine_warmup, {"min_lr_rate": 0.1}),
    "cosine_warmup_with_min_lr, from": (
        cosine_warmup,
        {"min_lr_rate": 0.1, "warmup_lr_rate": 0.3, "num_cycles": 1.0},
    ),
    "warmup_stable_decay": (wsd, {"num_decay_steps": 40, "min_lr_ratio": 0.1}),
    "warmup_stable_decay, 1-sqrt": (wsd, {"num_decay_steps": 40, "decay_type": "1-sqrt"}),
    "warmup_stable_decay, linear": (wsd, {"num_decay_steps": 25, "decay_type": "linear"}),
}


@pytest.mark.parametrize("key", THEIRS)
@pytest.mark.parametrize("warmup", [0, 1, 2, 10, 60])
def test_the_factors_of_a_run_are_those_of_transformers(key, warmup):
    theirs, settings = THEIRS[key]
    name = key.split(",")[0]
    if name == "cosine_warmup_with_min_lr" and warmup < 1:
        return  # one of those that are on purpose different
    shape = from_name(name, 100, warmup=warmup, **settings)
    expected = [theirs(t, warmup, 100, **settings) for t in range(100)]
    assert np.abs(shape.sample(100) - expected).max() <= 1e-12


@pytest.mark.parametrize("key", THEIRS)
def test_what_is_written_out_here_is_what_transformers_does(key):
    transformers = pytest.importorskip("transformers")
    theirs, settings = THEIRS[key]
    name, peak = key.split(",")[0], settings.get("peak", 0.25)
    given = {setting: value for setting, value in settings.items() if setting != "peak"}

    def build(optimizer):
        optimizer.defaults["lr"] = peak  # the one that they read
        return transformers.get_scheduler(name, optimizer, 10, 100, given)

    rates = torch_rates(build, peak, 110)[:, 0]
    expected = [theirs(t, 10, 100, **settings) for t in range(110)]
    assert np.abs(rates / peak - expected).max() <= 1e-12


def test_every_name_of_transformers_is_known_or_refused_with_its_reason():
    transformers = pytest.importorskip("transformers")
    floor, refused = {"min_lr_rate": 0.1}, set()
    for kind in transformers.SchedulerType:
        try:
            from_name(kind, 100, **(floor if "min_lr" in kind.value else {}))
        except ValueError as error:
            assert "function of the step" in str(error)
            refused.add(kind.value)
    assert refused == {"reduce_lr_on_plateau", "greedy"}


# --- where theirs are not right


@pytest.mark.parametrize("name", ["cosine", "cosine_with_min_lr"])
def test_past_the_end_nothing_rebounds(name):
    settings = {"min_factor": 0.1} if name == "cosine_with_min_lr" else {}
    shape = from_name(name, 50, warmup=5, **settings)
    assert cosine(95, 5, 50) == 1
    assert shape(95) == shape(50) == settings.get("min_factor", 0)


@given(st.integers(1, 400), st.integers(0, 50), st.integers(1, 12))
def test_restarts_come_where_they_should(falls, warmup, num_cycles):
    shape = from_name(
        "cosine_with_restarts", warmup + falls * num_cycles, warmup=warmup, num_cycles=num_cycles
    )
    factors = shape.sample(warmup + falls * num_cycles)[warmup:]
    assert (factors[::falls] == 1).all() and (factors == 1).sum() == num_cycles
    assert np.abs(factors - WarmRestarts(falls).sample(len(factors))).max() <= 1e-12
    assert shape(shape.length) == 0


def test_a_restart_of_theirs_comes_a_step_late():
    late = [n for n in range(2, 60) if restarts(n, 0, 49 * n, num_cycles=49) < 0.5]
    assert late  # their cycle is not over where it should be
    for n in late:
        assert from_name("cosine_with_restarts", 49 * n, num_cycles=49)(n) == 1


@pytest.mark.parametrize("total", [1, 2, 3, 20])
@pytest.mark.parametrize("rate", [0.0, 0.2, 1.0, None])
def test_the_rate_of_a_warm_up_of_one_step_is_applied(total, rate):
    settings = {"min_lr_rate": 0.1, "warmup_lr_rate": rate}
    shape = from_name("cosine_warmup_with_min_lr", total, warmup=1, **settings)
    expected = [cosine_warmup(t, 1, total, **settings) for t in range(total)]
    assert np.abs(shape.sample(total) - expected).max() <= 1e-12
    assert shape(10 * total) == pytest.approx(0.1)


@pytest.mark.parametrize("warmup", [0, 1])
def test_the_peak_is_there_without_a_warm_up(warmup):
    shape = from_name("cosine_warmup_with_min_lr", 50, warmup=warmup, min_factor=0.1)
    assert shape == CosineAnnealing(49, 0.1)
    assert max(cosine_warmup(t, 0, 50, min_lr_rate=0.1) for t in range(50)) < 1


def test_the_trainer_rounds_a_share_that_is_exact():
    assert math.ceil(0.07 * 100) == 8
    assert from_name("linear", 100, warmup=0.07) == from_name("linear", 100, warmup=7)
    assert from_name("linear", 100, warmup=0.071) == from_name("linear", 100, warmup=8)
    assert from_name("linear", 100, warmup=np.float32(0.1)) == from_name("linear", 100, warmup=10)


# --- what they are made of


def test_they_are_the_librarys_shapes():
    up = Warmup(10)
    assert from_name("linear", 100, warmup=10) == up.then(PolynomialDecay(90))
    assert from_name("cosine", 100, warmup=10) == up.then(CosineAnnealing(90))
    assert from_name("polynomial", 100, warmup=10, power=2, min_factor=0.1) == up.then(
        PolynomialDecay(90, 2.0, 0.1)
    )
    assert from_name("constant", 100) == Constant(1.0, 100)
    assert from_name("linear", 100) == PolynomialDecay(100)
    assert from_name("linear", 10, warmup=10) == up
    assert from_name("linear", 0).sample(3).tolist() == [0, 0, 0]


def test_a_floor_has_several_names_and_needs_the_peak_where_it_is_a_rate():
    one = from_name("cosine_with_min_lr", 100, min_factor=0.1)
    assert from_name("cosine_with_min_lr", 100, min_lr_rate=0.1) == one
    assert from_name("cosine_with_min_lr", 100, min_lr=0.05, peak=0.5) == one
    assert from_name("polynomial", 100, lr_end=0.0) == from_name("linear", 100)
    with pytest.raises(ValueError, match=r"min_lr is a rate, .* give peak= too.* got min_lr=1e-05"):
        from_name("cosine_with_min_lr", 100, min_lr=1e-5)
    with pytest.raises(ValueError, match=r"min_lr / peak must be at most 1, got 10.0"):
        from_name("cosine_with_min_lr", 100, min_lr=1.0, peak=0.1)
    with pytest.raises(ValueError, match=r"only one of .* got min_factor=0.1 and min_lr_rate=0.2"):
        from_name("cosine_with_min_lr", 100, min_factor=0.1, min_lr_rate=0.2)
    for name in ("cosine_with_min_lr", "cosine_warmup_with_min_lr"):
        with pytest.raises(ValueError, match=f"'{name}' needs one of min_factor, .* got none"):
            from_name(name, 100)


def test_names_may_be_an_enumeration():
    class SchedulerType(enum.StrEnum):
        LINEAR = "linear"

    assert from_name(SchedulerType.LINEAR, 9) == from_name("linear", 9)


def test_what_is_unknown_is_refused_with_what_there_is():
    with pytest.raises(ValueError, match=r"name must be one of linear, cosine, .*, got 'cosin'"):
        from_name("cosin", 100)
    with pytest.raises(ValueError, match=r"'cosine' has the settings num_cycles, .*got power=2"):
        from_name("cosine", 100, power=2)
    with pytest.raises(ValueError, match=r"'linear' has the settings none, .*num_cycles=1"):
        from_name("linear", 100, num_cycles=1)
    for name, reason in (("reduce_lr_on_plateau", "stops improving"), ("greedy", "as a metric")):
        with pytest.raises(ValueError, match=f"'{name}' is none: .*{reason}"):
            from_name(name, 100)
    with pytest.raises(ValueError, match="'constant' has no warm-up, 'constant_with_warmup' has"):
        from_name("constant", 100, warmup=10)
    with pytest.raises(ValueError, match="warmup_type must be 'linear', got 'cosine'"):
        from_name("warmup_stable_decay", 100, warmup_type="cosine")


@given(TOTALS, SHARES, st.floats(0.01, 5))
def test_cycles_without_restarts_are_waves(total, floor, num_cycles):
    shape = CosineCycles(total, num_cycles, floor)
    t = np.arange(total + 1)
    wave = (1 + np.cos(2 * np.pi * num_cycles * t / total)) / 2
    assert np.abs(shape.sample(total + 1) - floor - (1 - floor) * wave).max() <= 1e-12
    assert shape(10**9) == shape(total)


@given(TOTALS, SHARES, st.integers(1, 9))
def test_cycles_with_restarts_fall_every_time_and_end_at_the_bottom(total, floor, num_cycles):
    assume(num_cycles <= total)
    shape = CosineCycles(total, num_cycles, floor, restarts=True)
    factors = shape.sample(total)
    assert factors[0] == 1 and shape(total) == shape(total + 7) == floor
    assert (factors >= floor).all() and (factors <= 1).all()
    assert (np.diff(factors) > 1e-9).sum() <= num_cycles - 1


def test_inverse_square_root_decay():
    shape = InverseSquareRootDecay(100)
    assert [shape(0), shape(300), shape(9900)] == [1, 0.5, 0.1] and shape.length is None
