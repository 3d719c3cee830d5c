"""scale_lr, and the gradient noise scale against exact values."""

import copy
import io
import math

import numpy as np
import pytest
import torch
from torch import nn

from lrlib import GradientNoiseScale, gradient_noise_scale, scale_lr

# --- the rate


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("linear", 0.4),
        ("sqrt", 0.2),
        ("none", 0.1),
        (torch.optim.SGD, 0.4),
        (torch.optim.ASGD, 0.4),
        (torch.optim.AdamW, 0.2),
        (torch.optim.RMSprop, 0.2),
        (torch.optim.SGD([torch.zeros(1)]), 0.4),
        (torch.optim.Adam([torch.zeros(1)]), 0.2),
        (type("Mine", (torch.optim.NAdam,), {}), 0.2),
    ],
)
def test_the_rules(rule, expected):
    assert scale_lr(0.1, 256, 1024, rule) == pytest.approx(expected)
    assert scale_lr(scale_lr(0.1, 256, 1024, rule), 1024, 256, rule) == pytest.approx(0.1)
    assert scale_lr(0.1, 256, 256, rule) == 0.1


def test_linear_is_the_default_and_goyals_table_comes_out():
    assert scale_lr(0.1, 256, 8192) == pytest.approx(3.2)


@pytest.mark.parametrize("kind", [torch.optim.LBFGS, torch.optim.Rprop])
def test_an_optimizer_without_a_rule(kind):
    for rule in (kind, kind([torch.zeros(1, requires_grad=True)])):
        with pytest.raises(ValueError, match=r"scale_lr: rule must be .*no rule is known for"):
            scale_lr(0.1, 256, 1024, rule)


# --- the noise scale of a linear model with known covariance


class Linear:
    """Least squares ½ (x·w − y)² with x standard normal and y = noise of deviation `sigma`.

    At w the gradient of a sample is x (x·w − y). Its mean is w; its second moment is
    (|w|² + sigma²) I + 2 w wᵀ, by Isserlis' theorem. So |G|² = |w|² and
    tr Σ = d (|w|² + sigma²) + 2 |w|² − |w|².
    """

    def __init__(self, d=20, sigma=1.0, seed=0):
        self.sigma, self.d = sigma, d
        self.generator = torch.Generator().manual_seed(seed)
        self.w = nn.Parameter(torch.randn(d, generator=self.generator, dtype=torch.float64))

    @property
    def squared_norm(self):
        return self.w.square().sum().item()

    @property
    def trace(self):
        return self.d * (self.squared_norm + self.sigma**2) + self.squared_norm

    @property
    def exact(self):
        return self.trace / self.squared_norm

    def draw(self, *shape):
        return torch.randn(*shape, generator=self.generator, dtype=torch.float64)

    def loss(self, n=8):
        return 0.5 * (self.draw(n, self.d) @ self.w - self.sigma * self.draw(n)).square().mean()

    def gradient(self, n=8):
        return torch.autograd.grad(self.loss(n), self.w)[0]


@pytest.mark.parametrize(("sigma", "batch"), [(0.5, 1), (1.0, 8), (4.0, 8), (10.0, 64)])
def test_it_is_within_ten_percent_of_the_exact_value(sigma, batch):
    model = Linear(sigma=sigma)
    estimate = GradientNoiseScale()
    for _ in range(400):
        estimate.update([model.gradient(batch) for _ in range(8)], batch)
    assert estimate.value == pytest.approx(model.exact, rel=0.1)
    assert estimate.trace == pytest.approx(model.trace, rel=0.1)
    assert estimate.squared_norm == pytest.approx(model.squared_norm, rel=0.1)
    low, high = estimate.interval(0.999)
    assert low < model.exact < high and high / low < 1.6


def test_so_is_the_function_from_a_closure_which_leaves_gradients_alone():
    model = Linear(sigma=2.0)
    model.w.grad = grad = torch.ones_like(model.w)
    found = gradient_noise_scale(model.loss, 8, params=[model.w], microbatches=2000)
    assert found == pytest.approx(model.exact, rel=0.1)
    assert model.w.grad is grad and (grad == 1).all()


def test_a_parameter_that_takes_no_part_counts_as_zero():
    model, unused = Linear(), nn.Parameter(torch.ones(3, dtype=torch.float64))
    twin = Linear()
    both = gradient_noise_scale(model.loss, 8, params=[model.w, unused], microbatches=9)
    assert both == gradient_noise_scale(twin.loss, 8, params=twin.w, microbatches=9)


def test_microbatches_without_a_gradient_are_refused():
    for gradients in ([None, None], [[None], [None]], [[], []], [torch.ones(2), None]):
        with pytest.raises(ValueError, match="gradient_noise_scale: gradients must hold a tensor"):
            gradient_noise_scale(gradients, 4)
        with pytest.raises(ValueError, match="GradientNoiseScale: gradients must hold a tensor"):
            GradientNoiseScale().update(gradients, 4)
    for gradients in ([3, 4], [["a"], ["b"]]):
        with pytest.raises(TypeError, match="gradient_noise_scale: gradients must hold tensors"):
            gradient_noise_scale(gradients, 4)
    other, own = (nn.Parameter(torch.ones(2)) for _ in range(2))
    with pytest.raises(ValueError, match="must hold a tensor each, got \\(None,\\)"):
        gradient_noise_scale(lambda: other.sum(), 4, params=[own])
    estimate = GradientNoiseScale()
    for _ in range(2):
        estimate.after_backward([own])
    with pytest.raises(ValueError, match="params must have gradients, got none"):
        estimate.end_update(4)


def test_many_microbatches_give_the_textbook_estimate():
    """Of n gradients: tr Σ from the sample covariance, |G|² from the mean, less its own noise."""
    model, n, b = Linear(), 16, 8
    gradients = torch.stack([model.gradient(b) for _ in range(n)])
    mean = gradients.mean(0)
    trace = b * (gradients - mean).square().sum().item() / (n - 1)
    squared_norm = mean.square().sum().item() - trace / (n * b)
    assert gradient_noise_scale(gradients, b) == pytest.approx(trace / squared_norm)


def test_the_single_estimates_are_unbiased_and_the_average_of_ratios_is_not():
    model = Linear(sigma=4.0)
    total, ratios = GradientNoiseScale(), []
    for _ in range(3000):
        one = GradientNoiseScale()
        gradients = [model.gradient() for _ in range(4)]
        for estimate in (one, total):
            estimate.update(gradients, 8)
        ratios.append(one.trace / one.squared_norm)  # may be negative
    assert total.squared_norm == pytest.approx(model.squared_norm, rel=0.05)
    assert total.trace == pytest.approx(model.trace, rel=0.02)
    assert abs(np.mean(ratios) / model.exact - 1) > 0.2 > abs(total.value / model.exact - 1)


def test_microbatches_of_unequal_sizes():
    model, estimate, sizes = Linear(sigma=2.0), GradientNoiseScale(), [16, 8, 8, 1]
    for _ in range(3000):
        estimate.update([model.gradient(n) for n in sizes], sizes)
    assert estimate.value == pytest.approx(model.exact, rel=0.1)


# --- the same from what a training loop has already


def microbatches(net, data, n):
    for x in data.chunk(n):
        yield net(x).square().mean()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_accumulated_microbatches_give_the_same_as_separate_batches(dtype):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 1)).to(dtype)
    unused = nn.Parameter(torch.ones(2, dtype=dtype))
    params = [*net.parameters(), unused]
    separate, accumulated, norms = (GradientNoiseScale(decay=0.9) for _ in range(3))
    for _ in range(5):
        data = torch.randn(32, 6, dtype=dtype)
        gradients = [
            torch.autograd.grad(loss, params, allow_unused=True)
            for loss in microbatches(net, data, 4)
        ]
        separate.update(gradients, batch_size=8)

        for p in params:
            p.grad = None
        for loss in microbatches(net, data, 4):
            (loss / 4).backward()
            accumulated.after_backward(params)
        accumulated.end_update(batch_size=8)

        flat = torch.stack([torch.cat([g.flatten() for g in gs[:-1]]) for gs in gradients])
        big = torch.cat([p.grad.flatten() for p in params[:-1]])
        norms.update_norms(flat.square().sum(1).mean().item(), big.square().sum().item(), 8, 32)
        with torch.no_grad():
            for p in params[:-1]:
                p -= 0.1 * p.grad
    close = 1e-9 if dtype == torch.float64 else 1e-4
    assert separate.updates == accumulated.updates == 5
    for other in (accumulated, norms):
        assert other.value == pytest.approx(separate.value, rel=close)
        assert other.interval() == pytest.approx(separate.interval(), rel=10 * close)


def test_gradients_in_half_precision_are_summed_in_single():
    gradients = [torch.full((70_000,), 1.0 + s, dtype=torch.float16) for s in (-0.5, 0.5)]
    assert gradient_noise_scale(gradients, 1) == pytest.approx(0.5 / 0.75)


# --- averaging


def fed(decay, values):
    estimate = GradientNoiseScale(decay)
    for x, y in values:  # |G|² and tr Σ, as norms of batches of 1 and 2
        estimate.update_norms(x + y, x + y / 2, 1, 2)
    return estimate


def test_without_decay_all_updates_count_the_same():
    estimate = fed(None, [(1, 4), (3, 8)])
    assert (estimate.squared_norm, estimate.trace, estimate.value) == (2, 6, 3)


def test_with_decay_the_newest_count_most_and_the_start_is_corrected():
    first = fed(0.9, [(1, 4)])
    assert (first.squared_norm, first.trace) == pytest.approx((1, 4))
    second = fed(0.9, [(1, 4), (3, 8)])
    assert second.squared_norm == pytest.approx((0.9 * 1 + 3) / 1.9)
    assert fed(0.5, [(1, 4)] * 3 + [(2, 40)] * 60).value == pytest.approx(20)


@pytest.mark.parametrize("decay", [None, 0.8])
def test_the_state_survives_a_checkpoint(decay):
    rng = np.random.default_rng(0)
    values = rng.uniform(1, 3, (9, 2)).tolist()
    whole, first = fed(decay, values), fed(decay, values[:5])
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = GradientNoiseScale()
    second.load_state_dict(torch.load(file, weights_only=True))
    for x, y in values[5:]:
        second.update_norms(x + y, x + y / 2, 1, 2)
    assert second.state_dict() == whole.state_dict()
    assert (second.value, second.interval()) == (whole.value, whole.interval())
    assert first.state_dict() == fed(decay, values[:5]).state_dict()


@pytest.mark.parametrize("state", [None, {}, {"decay": None, "updates": 1}])
def test_a_state_of_something_else(state):
    estimate = fed(None, [(1, 4)])
    before = copy.deepcopy(estimate.state_dict())
    with pytest.raises(ValueError, match="GradientNoiseScale: state must come from state_dict"):
        estimate.load_state_dict(state)
    assert estimate.state_dict() == before


# --- where there is no answer


def test_a_single_microbatch_is_refused():
    estimate = GradientNoiseScale()
    with pytest.raises(ValueError, match="at least 2 microbatches, got 1"):
        estimate.update([torch.ones(3)], 8)
    p = nn.Parameter(torch.ones(3))
    p.square().sum().backward()
    estimate.after_backward([p])
    with pytest.raises(ValueError, match="at least 2 microbatches, got 1"):
        estimate.end_update(8)
    with pytest.raises(ValueError, match=r"gradient_noise_scale: .*at least 2 .*, got 0"):
        gradient_noise_scale([], 8)
    assert estimate.updates == 0


def test_before_the_first_update_there_is_nothing():
    for use in (lambda e: e.value, lambda e: e.trace, lambda e: e.interval()):
        with pytest.raises(ValueError, match="nothing was taken in yet"):
            use(GradientNoiseScale())


def test_noise_that_covers_the_gradient_gives_infinity_and_a_lower_bound():
    estimate = fed(None, [(-1.0, 10), (0.6, 11), (-0.2, 12), (0.4, 10), (-0.1, 11)])
    assert estimate.squared_norm < 0 and estimate.value == math.inf
    low, high = estimate.interval()
    assert 1 < low < 100 and high == math.inf


def test_no_noise_and_no_gradient():
    same, none = [torch.ones(3)] * 4, [torch.zeros(3)] * 4
    assert gradient_noise_scale(same, 8) == pytest.approx(0)
    assert math.isnan(gradient_noise_scale(none, 8))


def test_one_update_says_nothing_about_its_uncertainty():
    assert fed(None, [(1, 4)]).interval() == (0.0, math.inf)


@pytest.mark.parametrize("decay", [None, 0.9, 0.5])
def test_the_interval_is_fiellers(decay):
    """At its ends y − r x is z standard errors from 0, by the definition of each, from weights.

    The weights' effective number of updates is (Σ w)² / Σ w², and the variance of their mean the
    weighted variance over that number less 1.
    """
    rng = np.random.default_rng(2)
    x, y = rng.normal(2.0, 0.2, 7), rng.normal(10.0, 1.0, 7)
    weights = (decay or 1.0) ** np.arange(6, -1, -1)
    n = weights.sum() ** 2 / (weights**2).sum()
    for confidence, z in ((0.95, 1.959964), (0.68, 0.994458)):
        ends = fed(decay, zip(x.tolist(), y.tolist(), strict=True)).interval(confidence)
        assert 0 < ends[0] < 5 < ends[1] < 20
        for ratio in ends:
            apart = y - ratio * x
            mean = np.average(apart, weights=weights)
            variance = np.average((apart - mean) ** 2, weights=weights)
            assert abs(mean) == pytest.approx(z * math.sqrt(variance / (n - 1)), rel=1e-5)


@pytest.mark.parametrize(("sigma", "updates"), [(2.0, 30), (10.0, 60)])
def test_the_interval_covers_the_truth_as_often_as_it_says(sigma, updates):
    inside, unbounded = 0, 0
    for seed in range(200):
        model, estimate = Linear(d=5, sigma=sigma, seed=seed), GradientNoiseScale()
        x = model.draw(updates, 4, 8, 5)
        error = x @ model.w.detach() - sigma * model.draw(updates, 4, 8)
        for gradients in (x * error[..., None]).mean(2):
            estimate.update(gradients, 8)
        low, high = estimate.interval(0.9)
        inside += low <= model.exact <= high
        unbounded += high == math.inf
    assert 0.8 <= inside / 200 <= 0.98
    assert unbounded < 150
