"""The synthetic language: its entropies are exact, and no model's expected loss is below them."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lrlib import Constant
from lrlib.lab import SyntheticLanguage, Task, sweep, token_loss, transformer

SMALL = SyntheticLanguage(3, (4.0, 1.0), seed=2)
LANGUAGES = {
    "small": SMALL,
    "order 1": SyntheticLanguage(4, (1.0,), seed=1),
    "order 3": SyntheticLanguage(3, (5.0, 2.0, 0.5), seed=3),
    "default": SyntheticLanguage(),
}
CONTEXT = 5


def probabilities(language, length):
    """P(window) of every window, (vocabulary,) * length, from the transitions alone."""
    v, order = language.vocabulary, language.order
    joint = np.full((v,) * order, v**-order)
    for _ in range(10_000):  # the stationary distribution, by running the chain
        joint = (joint[..., None] * language.transitions).sum(0)
    for _ in range(length - order):  # the last `order` axes choose the row of the next token
        joint = joint[..., None] * language.transitions
    return joint


def entropy(p):
    return -(p * np.log(p)).sum()


def source(language):
    """The language itself as a model: the best there is."""
    return lambda tokens: torch.from_numpy(language.next_token(tokens.numpy())).log()


@pytest.mark.parametrize("name", ["small", "order 1", "order 3"])
def test_entropies_and_floor_equal_brute_force(name):
    language = LANGUAGES[name]
    windows = probabilities(language, CONTEXT + 1)
    assert windows.sum() == pytest.approx(1, abs=1e-12)
    joint = [entropy(windows.sum(tuple(range(k, CONTEXT + 1)))) for k in range(CONTEXT + 2)]
    levels = np.diff(joint)  # H(x_1 … x_k+1) - H(x_1 … x_k)
    assert language.entropies(CONTEXT) == pytest.approx(levels, abs=1e-12)
    assert language.floor(CONTEXT) == pytest.approx(levels[1:].mean(), abs=1e-12)
    assert language.entropy_rate() == pytest.approx(levels[-1], abs=1e-12)


@pytest.mark.parametrize("name", LANGUAGES)
def test_levels_fall_to_the_entropy_rate(name):
    language = LANGUAGES[name]
    order = language.order
    levels = language.entropies(order + 3)
    assert len(levels) == order + 4
    assert (np.diff(levels[: order + 1]) < 0).all()
    assert (levels[order:] == language.entropy_rate()).all()
    assert levels[0] <= np.log(language.vocabulary)
    assert language.floor(order + 3) > language.entropy_rate() or order == 1
    assert language.transitions.sum(-1) == pytest.approx(1) and language.transitions.min() > 0


def test_the_levels_of_the_default_language_are_well_apart():
    for seed in range(10):
        levels = SyntheticLanguage(seed=seed).entropies(2)
        assert (np.diff(levels) < -0.25).all() and levels[2] > 0.4, (seed, levels)


def test_sampled_frequencies_are_those_of_the_source():
    n = 200_000
    tokens = SMALL.sample(n, CONTEXT, seed=5)
    for start in range(CONTEXT - 2):  # stationary: the same at every position
        p = probabilities(SMALL, 3).ravel()
        index = tokens[:, start : start + 3] @ np.array([9, 3, 1])
        found = np.bincount(index, minlength=27) / n
        assert (np.abs(found - p) < 5 * np.sqrt(p * (1 - p) / n)).all()


def test_samples_depend_on_both_seeds_and_on_nothing_else():
    language = SyntheticLanguage(seed=1)
    one = language.sample(50, 9, seed=4)
    assert (one.shape, one.dtype, one.min() >= 0, one.max() < 8) == ((50, 9), np.int64, True, True)
    assert np.array_equal(one, SyntheticLanguage(seed=1).sample(50, 9, seed=4))
    assert not np.array_equal(one, language.sample(50, 9, seed=5))
    assert not np.array_equal(one, SyntheticLanguage(seed=2).sample(50, 9, seed=4))
    assert language == SyntheticLanguage(8, [8, 1], 1) and hash(language)


def test_next_token_equals_brute_force():
    windows = probabilities(SMALL, CONTEXT + 1)
    for window in product(range(3), repeat=CONTEXT):
        truth = SMALL.next_token([window])[0]
        for t in range(CONTEXT):
            seen = windows[window[: t + 1]].reshape(3, -1).sum(1)
            assert truth[t] == pytest.approx(seen / seen.sum(), abs=1e-12)


@pytest.mark.parametrize("name", LANGUAGES)
def test_the_source_itself_attains_the_floor(name):
    language = LANGUAGES[name]
    levels = language.entropies(CONTEXT)[1:]
    losses = language.expected_loss(source(language), CONTEXT, windows=200)
    assert losses == pytest.approx(levels, abs=1e-12) and (losses >= levels).all()
    if name != "default":
        assert language.expected_loss(source(language), CONTEXT) == pytest.approx(levels, abs=1e-12)
    assert losses.mean() == pytest.approx(language.floor(CONTEXT), abs=1e-12)


def test_the_expected_loss_equals_brute_force_and_the_mean_over_samples():
    torch.manual_seed(0)
    model = transformer(3, CONTEXT)
    exact = SMALL.expected_loss(model, CONTEXT)
    windows = probabilities(SMALL, CONTEXT + 1)
    expected = np.zeros(CONTEXT)
    for window in product(range(3), repeat=CONTEXT + 1):
        with torch.no_grad():
            log_q = model(torch.tensor([window[:-1]]))[0].double().log_softmax(-1)
        expected -= windows[window] * log_q[range(CONTEXT), window[1:]].numpy()
    assert exact == pytest.approx(expected, abs=1e-6)
    assert SMALL.expected_loss(model, CONTEXT, windows=20_000) == pytest.approx(exact, rel=0.02)
    tokens = torch.from_numpy(SMALL.sample(20_000, CONTEXT + 1, seed=9))
    with torch.no_grad():
        sampled = token_loss(model(tokens[:, :-1]), tokens[:, 1:]).item()
    assert sampled == pytest.approx(exact.mean(), rel=0.02)


@given(st.integers(0, 2**31), st.floats(0, 1e4), st.sampled_from(("pre", "post", "none")))
def test_no_random_model_is_below_the_floor(seed, size, norm):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = transformer(3, 4, width=4, depth=1, norm=norm)
    with torch.no_grad():
        model.head.weight *= size
    for windows in (None, 20):
        losses = SMALL.expected_loss(model, 4, windows=windows, seed=seed)
        assert (losses >= SMALL.entropies(4)[1:]).all()


@given(st.integers(0, 2**31), st.floats(1e-9, 1))
def test_no_model_near_the_source_is_below_the_floor(seed, distance):
    noise = distance * np.random.default_rng(seed).standard_normal((81, 4, 3))
    losses = SMALL.expected_loss(lambda x: source(SMALL)(x) + torch.from_numpy(noise), 4)
    levels = SMALL.entropies(4)[1:]
    assert (losses >= levels).all() and (losses - levels < 3 * distance**2 + 1e-12).all()


def small_task(context=CONTEXT):
    data = SMALL.dataset(context, train=2_000, val=300, test=200, seed=7)
    return Task(data, lambda: transformer(3, context, width=8), token_loss)


def test_a_trained_model_comes_close_to_the_floor_from_above():
    task = small_task()
    result = sweep(
        task,
        {"a": Constant()},
        [3e-3, 1e-2],
        [1, 2],
        steps=400,
        optimizer="adamw",
        eval_steps=[0, 400],
        keep_states=True,
    )
    for split in ("val", "test"):
        excess = result.metrics[f"{split}_loss"] - task.data.entropy(split)
        assert (excess > 0).all() and (excess[..., -1] < 0.05).all()
        assert (excess[..., 0] > 0.2).all()
    model = result.model("a", 1e-2, 1)
    losses = SMALL.expected_loss(model, CONTEXT)
    assert (losses > SMALL.entropies(CONTEXT)[1:]).all()
    assert losses.mean() - SMALL.floor(CONTEXT) == pytest.approx(
        result.at("val_loss")[0, 1, 0] - task.data.entropy("val"), abs=0.01
    )


def test_the_data_set_has_tokens_to_train_on_and_distributions_to_be_judged_by():
    data = SMALL.dataset(CONTEXT, train=60, val=50, test=40, seed=1)
    assert (data.classes, data.train_x.shape, data.train_x.dtype) == (3, (60, 5), torch.int64)
    assert (data.train_y.shape, data.train_y.dtype) == ((60, 5), torch.int64)
    assert torch.equal(data.train_x[:, 1:], data.train_y[:, :-1])
    assert data.entropy("train") == 0
    for split, size in (("val", 50), ("test", 40)):
        x, y = data.split(split)
        assert (x.shape, y.shape, y.dtype) == ((size, 5), (size, 5, 3), torch.float32)
        assert np.allclose(y, SMALL.next_token(x.numpy()), atol=1e-7)
        assert data.entropy(split) == pytest.approx(SMALL.floor(CONTEXT), abs=0.1)
    large = SMALL.dataset(CONTEXT, val=20_000)
    assert large.entropy("val") == pytest.approx(SMALL.floor(CONTEXT), abs=0.005)
    with pytest.raises(ValueError, match=r"one label, got train_y of shape \(60, 5\)"):
        data.with_label_noise(0.1)


def test_a_model_with_outputs_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"model must give outputs of shape \(81, 4, 3\), got"):
        SMALL.expected_loss(lambda tokens: torch.zeros(len(tokens), 3), 4)
