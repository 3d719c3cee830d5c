"""Stability limit, noise floor and sharpness, against simulation and dense linear algebra."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call, hessian

from lrlib import largest_hessian_eigenvalue, noise_floor, stability_limit
from lrlib.lab import NoisyQuadratic

MOMENTA = (0.0, 0.5, 0.9, 0.99)


@pytest.mark.parametrize("curvature", [0.1, 3.0, 250.0])
@pytest.mark.parametrize("momentum", MOMENTA)
def test_torch_diverges_just_above_the_limit_and_not_just_below(curvature, momentum):
    limit = stability_limit(curvature, momentum)
    assert limit == 2 * (1 + momentum) / curvature

    def end(lr):
        theta = torch.ones(1, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.SGD([theta], lr=lr, momentum=momentum)
        for _ in range(2000):
            theta.grad = curvature * theta.detach()
            optimizer.step()
        return abs(theta.item())

    assert end(0.98 * limit) < 1e-3
    assert not end(1.02 * limit) < 1e3  # NaN where it overflowed


@settings(max_examples=30)
@given(
    st.lists(st.floats(0.5, 5), min_size=1, max_size=4),
    st.floats(0, 3),
    st.sampled_from(MOMENTA[:3]),
    st.floats(0.1, 0.8),
    st.integers(1, 64),
)
def test_the_floor_is_where_the_recursion_settles(curvature, variance, momentum, share, batch):
    lr = share * stability_limit(max(curvature), momentum)
    problem = NoisyQuadratic(curvature, variance, batch_size=batch)
    settled = problem.loss(np.full(2000, lr), momentum)[-1]
    floor = noise_floor(lr, curvature, variance, batch, momentum)
    assert settled == pytest.approx(floor, rel=1e-6, abs=1e-12)
    assert problem.noise_floor(lr, momentum) == floor


def test_the_floor_grows_with_the_rate_and_shrinks_with_the_batch():
    assert noise_floor(0.2, 1.0, 1.0) == pytest.approx(0.5 * 0.2 / 1.8, rel=1e-15)
    assert noise_floor(0.2, 1.0, 1.0) > noise_floor(0.1, 1.0, 1.0)
    assert noise_floor(0.2, 1.0, 1.0, 4) == pytest.approx(noise_floor(0.2, 1.0, 1.0) / 4)


@pytest.mark.parametrize("momentum", MOMENTA)
def test_there_is_no_floor_at_or_above_the_limit(momentum):
    limit = stability_limit(2.0, momentum)
    assert noise_floor(limit, [1.0, 2.0], 1.0, momentum=momentum) == np.inf
    assert noise_floor(2 * limit, [1.0, 2.0], 1.0, momentum=momentum) == np.inf
    assert np.isfinite(noise_floor(0.999 * limit, [1.0, 2.0], 1.0, momentum=momentum))


def quadratic(matrix):
    theta = torch.zeros(len(matrix), dtype=matrix.dtype, requires_grad=True)
    return lambda: 0.5 * theta @ matrix @ theta, [theta]


def spectrum(*values, seed=0):
    """A symmetric matrix with these eigenvalues, in a random basis."""
    generator = torch.Generator().manual_seed(seed)
    basis, _ = torch.linalg.qr(torch.randn(len(values), len(values), generator=generator).double())
    return basis @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ basis.T


def test_sharpness_of_a_tanh_network_equals_the_dense_hessians():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)).double()
    x, y = torch.randn(20, 3).double(), torch.randn(20, 2).double()
    params = dict(model.named_parameters())
    sizes = [p.numel() for p in params.values()]

    def loss_of(flat):
        parts = [
            part.view_as(p) for part, p in zip(flat.split(sizes), params.values(), strict=True)
        ]
        outputs = functional_call(model, dict(zip(params, parts, strict=True)), (x,))
        return (outputs - y).square().mean()

    flat = torch.cat([p.detach().reshape(-1) for p in params.values()])
    dense = hessian(loss_of)(flat)
    expected = float(torch.linalg.eigvalsh(dense)[-1])
    value, vector = largest_hessian_eigenvalue(
        lambda: (model(x) - y).square().mean(), model.parameters(), tol=1e-6, max_iter=2000
    )
    assert value == pytest.approx(expected, rel=1e-6)
    assert vector.shape == flat.shape and float(vector.norm()) == pytest.approx(1)
    assert float((dense @ vector - value * vector).norm()) < 2e-6 * value


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "values",
    [
        (3.0, 1.0, 0.5, -0.2),
        (1.0, 0.5, -3.0),  # the most negative one dominates
        (1.0, 0.2, -20.0, -30.0),
        (-1.0, -2.0, -5.0),  # none is positive
        (2.0, 2.0, 2.0),
        (1e-6, 3e-7, -2e-7),
    ],
)
def test_sharpness_of_a_given_spectrum(values, seed):
    value, vector = largest_hessian_eigenvalue(
        *quadratic(spectrum(*values, seed=seed)), tol=1e-3, max_iter=5000
    )
    assert value == pytest.approx(max(values), rel=1e-3)
    assert float(vector.norm()) == pytest.approx(1)


def test_sharpness_of_many_directions_needs_few_products_and_starts_again():
    values = torch.linspace(-1.5, 1, 400, dtype=torch.float64)
    loss, params = quadratic(spectrum(*values.tolist()))
    with pytest.warns(RuntimeWarning, match="is a lower bound"):
        value, vector = largest_hessian_eigenvalue(loss, params, tol=1e-9, max_iter=33)
    assert 0.95 < value < 1  # of the 33rd product, after the start again
    value, vector = largest_hessian_eigenvalue(loss, params, tol=1e-4, max_iter=400)
    assert value == pytest.approx(1, rel=1e-3)
    assert float(vector.norm()) == pytest.approx(1)


def test_tol_is_a_share_of_the_eigenvalue_even_under_a_far_more_negative_one():
    matrix = spectrum(1.0, 0.9, 0.5, -500.0, -1000.0)
    value, _ = largest_hessian_eigenvalue(*quadratic(matrix), tol=1e-2, max_iter=100_000)
    assert min(abs(value - e) for e in (1.0, 0.9)) <= 1e-2 * value
    with pytest.warns(RuntimeWarning, match="not converged after max_iter=2 .* is a lower bound"):
        value, _ = largest_hessian_eigenvalue(*quadratic(matrix), tol=1e-2, max_iter=2)
    assert value <= 1


def test_a_tie_in_magnitude_is_resolved_or_owned_up_to():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        value, _ = largest_hessian_eigenvalue(*quadratic(spectrum(1.0, -1.0, 0.3, seed=1)))
    assert value <= 1 + 1e-9
    assert value == pytest.approx(1, rel=1e-3) or "not converged" in str(caught[0].message)


def test_sharpness_of_losses_without_curvature_is_zero():
    theta, other = (torch.ones(3, requires_grad=True) for _ in range(2))
    losses = {
        "linear": lambda: theta.sum() + other.sum(),
        "zero Hessian with a graph": lambda: 0 * theta.square().sum() + other.sum(),
        "other unused": lambda: theta.sum(),
    }
    for name, loss in losses.items():
        value, vector = largest_hessian_eigenvalue(loss, [theta, other])
        assert (value, vector.shape) == (0, (6,)), name


def test_negative_semidefinite_gives_zero():
    value, _ = largest_hessian_eigenvalue(*quadratic(spectrum(0.0, -1.0, -3.0)), max_iter=5000)
    assert value == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_rounding_errors_do_not_grow_in_single_precision(seed):
    """Far more negative directions, in which they would grow into an eigenvalue of 10⁶.

    Beside those, single precision does not tell 1 from −1, but the estimate is not above it.
    """
    matrix = spectrum(1.0, *-(10.0 ** np.arange(0, 6, 0.2)), seed=seed).float()
    value, _ = largest_hessian_eigenvalue(*quadratic(matrix))
    assert -1.1 < value < 1.1


@pytest.mark.parametrize("seed", range(3))
def test_it_stops_where_rounding_leaves_nothing_to_find(seed):
    """The largest eigenvalue is 0, and a share of 0 is never reached."""
    matrix = spectrum(*[0.0] * 45, -1.0, -2.0, -3.0, -4.0, -5.0, seed=seed).float()
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        value, _ = largest_hessian_eigenvalue(*quadratic(matrix), max_iter=8)
    assert value == pytest.approx(0, abs=1e-6)


def test_it_evaluates_the_loss_once_and_leaves_rng_and_gradients_alone():
    loss, params = quadratic(spectrum(3.0, 1.0))
    calls, state = [], torch.get_rng_state()
    largest_hessian_eigenvalue(lambda: calls.append(1) or loss(), params)
    assert torch.equal(torch.get_rng_state(), state)
    assert len(calls) == 1 and params[0].grad is None


def test_a_start_near_the_answer_converges_at_once():
    matrix = spectrum(1.0, 0.99, 0.5)
    _, vector = largest_hessian_eigenvalue(*quadratic(matrix), tol=1e-6, max_iter=5000)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        value, _ = largest_hessian_eigenvalue(*quadratic(matrix), start=vector, max_iter=1)
    assert value == pytest.approx(1, rel=1e-6)


def test_not_converging_warns():
    matrix = spectrum(1.0, 0.99, 0.98, 0.5)
    with pytest.warns(RuntimeWarning, match="not converged after max_iter=3 products"):
        value, _ = largest_hessian_eigenvalue(*quadratic(matrix), tol=1e-6, max_iter=3)
    assert value <= 1


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda theta: theta.sum() * float("nan"), "must be finite"),
        (lambda theta: theta.abs().sqrt().sum(), "must be finite"),  # finite, but not its gradient
        (lambda theta: torch.tensor(1.0), "must depend on the params"),
        (lambda theta: theta, "must return a scalar"),
        (lambda theta: 1.0, "must return a scalar"),
    ],
)
def test_losses_that_have_no_sharpness_raise(loss, message):
    theta = torch.zeros(3, requires_grad=True)
    with pytest.raises(ValueError, match=message):
        largest_hessian_eigenvalue(lambda: loss(theta), [theta])
