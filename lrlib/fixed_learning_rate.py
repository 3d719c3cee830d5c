"""Chapter 01: the fixed learning rate, and the two limits it runs into."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from lrlib import _checks
from lrlib.constant import Constant as Constant  # it was defined here before it had its own module

if TYPE_CHECKING:
    import numpy as np
    import torch

_BASIS = 32  # vectors kept by the Lanczos method


def stability_limit(curvature: float, momentum: float = 0.0) -> float:
    """The learning rate above which (heavy-ball) gradient descent on a quadratic diverges.

    ``2 (1 + momentum) / curvature``, where `curvature` is the largest eigenvalue of the Hessian
    (loss per squared parameter unit, above 0) and `momentum` is in [0, 1) and in PyTorch's form,
    ``v = momentum * v + g; theta -= lr * v``. Source: Polyak (1964); chapter 01.
    """
    curvature = _checks.number("stability_limit", "curvature", curvature, above=0)
    momentum = _checks.number("stability_limit", "momentum", momentum, minimum=0, below=1)
    return 2 * (1 + momentum) / curvature


def noise_floor(
    lr: float,
    curvature: float | Sequence[float] | np.ndarray,
    gradient_variance: float | Sequence[float] | np.ndarray,
    batch_size: int = 1,
    momentum: float = 0.0,
) -> float:
    """The expected loss at which SGD with a fixed rate stops falling on a quadratic.

    For the loss ``½ Σ h θ²`` and gradients ``h θ + noise`` of variance ``c / batch_size`` per
    direction, the iterates settle at ``½ Σ η c (1+μ) / (B (1−μ) (2(1+μ) − η h))``; without
    momentum ``½ Σ η c / (B (2 − η h))``. Exact, in units of the loss.

    Args:
        lr: learning rate η, above 0.
        curvature: h, one number per direction, each above 0.
        gradient_variance: c, the variance of a single sample's gradient per direction, at least 0;
            one number per direction or one for all.
        batch_size: B, samples per update.
        momentum: μ in [0, 1), PyTorch's form.

    Returns infinity if `lr` is at or above the stability limit: there is no floor then.
    """
    owner = "noise_floor"
    lr = _checks.number(owner, "lr", lr, above=0)
    h = _checks.array(owner, "curvature", curvature, ndim=(0, 1), above=0)
    c = _checks.array(owner, "gradient_variance", gradient_variance, ndim=(0, 1), minimum=0)
    batch_size = _checks.integer(owner, "batch_size", batch_size, minimum=1)
    mu = _checks.number(owner, "momentum", momentum, minimum=0, below=1)
    if c.size not in (1, h.size):
        raise ValueError(
            f"{owner}: gradient_variance must have 1 or {h.size} entries, got "
            f"{gradient_variance!r:.200}"
        )
    if lr >= stability_limit(h.max(), mu):
        return float("inf")
    floor = lr * c * (1 + mu) / (batch_size * (1 - mu) * (2 * (1 + mu) - lr * h))
    return float(0.5 * floor.sum())


def largest_hessian_eigenvalue(
    loss: Callable[[], torch.Tensor],
    params: Iterable[torch.Tensor],
    *,
    start: torch.Tensor | None = None,
    tol: float = 1e-3,
    max_iter: int = 200,
) -> tuple[float, torch.Tensor]:
    """The largest eigenvalue of a loss's Hessian (its sharpness), by the Lanczos method.

    One backward pass is built once; each iteration is one Hessian–vector product, which costs
    about as much as one or two gradients. The estimate is the largest eigenvalue of H on the space
    that the products span, so it never lies above the true one. Needs memory for 33 vectors of d
    entries.

    Args:
        loss: called once, without arguments; returns a scalar tensor that depends on `params`.
        params: the parameters, tensors with ``requires_grad``; any shapes, d entries in total.
        start: first vector, shape (d,), for example the eigenvector of an earlier call; drawn
            from a fixed seed if not given. torch's global random state is not touched.
        tol: stop when ‖Hv − λv‖ ≤ tol·|λ|, which puts λ within tol·|λ| of an eigenvalue.
        max_iter: Hessian–vector products at most; reaching it gives a RuntimeWarning.

    Returns (eigenvalue, unit eigenvector of shape (d,)).
    Raises TypeError or ValueError for bad arguments and if the loss or its gradient is not finite,
    ImportError without torch. Sources: Lanczos (1950); Pearlmutter (1994) for the products.
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        message = _checks.needs_torch("largest_hessian_eigenvalue")
        raise ImportError(message, name="torch") from error

    owner = "largest_hessian_eigenvalue"
    tol = _checks.number(owner, "tol", tol, above=0, below=1)
    max_iter = _checks.integer(owner, "max_iter", max_iter, minimum=1)
    params = [params] if isinstance(params, torch.Tensor) else list(params)
    if not params or not all(isinstance(p, torch.Tensor) and p.requires_grad for p in params):
        raise ValueError(f"{owner}: params must be tensors that require grad, got {params!r:.200}")
    if not callable(loss):
        raise TypeError(f"{owner}: loss must be a function without arguments, got {loss!r}")
    v = _start_vector(owner, start, params)
    eigenvalue, best, converged = _lanczos(_hessian_product(owner, loss, params), v, tol, max_iter)
    if not converged:
        warnings.warn(
            f"{owner}: not converged after max_iter={max_iter} products; the eigenvalue "
            f"{eigenvalue:.4g} is a lower bound",
            RuntimeWarning,
            stacklevel=2,
        )
    return eigenvalue, best / best.norm()


def _start_vector(
    owner: str, start: torch.Tensor | None, params: list[torch.Tensor]
) -> torch.Tensor:
    """`start`, or else a random vector: of unit length, on the parameters' device."""
    import torch

    size = sum(p.numel() for p in params)
    if start is None:
        start = torch.randn(size, generator=torch.Generator("cpu").manual_seed(0), device="cpu")
    elif not isinstance(start, torch.Tensor) or start.shape != (size,) or not start.any():
        raise ValueError(
            f"{owner}: start must be a non-zero tensor of shape ({size},), got {start!r:.200}"
        )
    v = start.cpu().to(params[0].dtype).to(params[0].device)
    return v / v.norm()


def _hessian_product(
    owner: str, loss: Callable[[], torch.Tensor], params: list[torch.Tensor]
) -> Callable[[torch.Tensor], torch.Tensor]:
    """The function that multiplies a vector, of shape (d,), by the Hessian of the loss."""
    import torch

    value = loss()
    if not isinstance(value, torch.Tensor) or value.numel() != 1:
        raise ValueError(f"{owner}: loss must return a scalar tensor, got {value!r}")
    if not value.requires_grad:
        raise ValueError(f"{owner}: loss must depend on the params, got {value!r}, which does not")
    grads = torch.autograd.grad(
        value, params, create_graph=True, allow_unused=True, materialize_grads=True
    )
    flat = torch.cat([g.reshape(-1) for g in grads])
    if not (torch.isfinite(value).all() and torch.isfinite(flat).all()):
        raise ValueError(f"{owner}: the loss and its gradient must be finite, got loss {value!r}")

    def product(vector: torch.Tensor) -> torch.Tensor:
        if not flat.requires_grad:  # a loss linear in its parameters: the Hessian is zero
            return torch.zeros_like(vector)
        out = torch.autograd.grad(
            flat, params, vector, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        return torch.cat([o.reshape(-1) for o in out])

    return product


def _lanczos(
    product: Callable[[torch.Tensor], torch.Tensor], v: torch.Tensor, tol: float, max_iter: int
) -> tuple[float, torch.Tensor, bool]:
    """Largest eigenvalue of a symmetric matrix, its vector, and whether it came within `tol`.

    `v` is a unit vector, of shape (d,), to begin with; `product` multiplies by the matrix.
    """
    import torch

    best, rounding = v, 4 * torch.finfo(v.dtype).eps
    basis: list[torch.Tensor] = []
    # On the CPU: not every device has float64.
    tridiagonal = torch.zeros(_BASIS, _BASIS, dtype=torch.float64, device="cpu")
    eigenvalue = 0.0
    for _ in range(max_iter):
        if len(basis) == _BASIS:  # full: begin again from the best vector so far
            basis, v = [], best
        basis.append(v)
        k, w = len(basis), product(v)
        rows = torch.stack(basis)
        tridiagonal[k - 1, k - 1] = float(v @ w)
        for _ in range(2):  # once leaves rounding errors, which then grow
            w = w - rows.T @ (rows @ w)
        values, vectors = torch.linalg.eigh(tridiagonal[:k, :k])
        eigenvalue, norm = float(values[-1]), float(w.norm())
        best = vectors[:, -1].to(rows.dtype).to(rows.device) @ rows
        # ‖H best − eigenvalue best‖, and what rounding leaves of products with a larger one
        left, unseen = norm * abs(float(vectors[-1, -1])), rounding * float(values.abs().max())
        if left <= tol * abs(eigenvalue) + unseen:
            return eigenvalue, best, True
        v = w / norm
        if k < _BASIS:
            tridiagonal[k, k - 1] = tridiagonal[k - 1, k] = norm
    return eigenvalue, best, False
