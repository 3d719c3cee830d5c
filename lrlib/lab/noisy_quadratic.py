"""The noisy quadratic: a model on which every schedule's expected loss is known exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from lrlib import _checks
from lrlib.fixed_learning_rate import noise_floor, stability_limit
from lrlib.schedule import Schedule


@dataclass(frozen=True)
class NoisyQuadratic:
    """``L(θ) = ½ Σ hᵢ θᵢ²`` with gradients ``hᵢ θᵢ + εᵢ``, ``Var εᵢ = cᵢ / B``.

    Args:
        curvature: h, one positive number per direction. Default 1, 1/2, …, 1/100, the spectrum of
            Zhang et al. (2019).
        gradient_variance: c, the variance of one sample's gradient per direction, at least 0.
            Default: equal to the curvature.
        start: E θ² at step 0 per direction, at least 0; one number for all, or one each.
        batch_size: B, samples per update.

    Losses are expectations over the noise, computed by recursion, not sampled; infinity where the
    iterates diverge.
    """

    curvature: tuple[float, ...] = tuple(1 / i for i in range(1, 101))
    gradient_variance: float | tuple[float, ...] | None = None
    start: float | tuple[float, ...] = 1.0
    batch_size: int = 1

    def __post_init__(self) -> None:
        owner = "NoisyQuadratic"
        h = np.atleast_1d(_checks.array(owner, "curvature", self.curvature, ndim=(0, 1), above=0))
        c = h if self.gradient_variance is None else self.gradient_variance
        c = _checks.array(owner, "gradient_variance", c, ndim=(0, 1), minimum=0)
        e = _checks.array(owner, "start", self.start, ndim=(0, 1), minimum=0)
        for name, value in (("gradient_variance", c), ("start", e)):
            if value.size not in (1, h.size):
                raise ValueError(
                    f"{owner}: {name} must have 1 or {h.size} entries, got "
                    f"{getattr(self, name)!r:.200}"
                )
        batch_size = _checks.integer(owner, "batch_size", self.batch_size, minimum=1)
        # Tuples keep the problem hashable, so that its optimum can be remembered.
        object.__setattr__(self, "curvature", tuple(h.tolist()))
        for name, value in (("gradient_variance", c), ("start", e)):
            object.__setattr__(self, name, tuple(np.broadcast_to(value.ravel(), h.shape).tolist()))
        object.__setattr__(self, "batch_size", batch_size)

    @classmethod
    def power_law(
        cls,
        capacity: float,
        source: float,
        *,
        directions: int = 400,
        noise: float = 0.09,
        batch_size: int = 1,
    ) -> NoisyQuadratic:
        """The spectrum hᵢ = i^-β in which the loss starts as Σ i^-(sβ + 1) / 2 over directions.

        Args:
            capacity: β, above 0: how fast the curvature falls from one direction to the next.
            source: s, above 0: the smaller, the more of the loss lies in directions of little
                curvature, where no stable rate gets far: a hard task.
            directions: their number, at least 1.
            noise: a sample's gradient variance, in units of the curvature, at least 0.
            batch_size: B, samples per update.

        Hard means s < 1 - 1/β. Raises TypeError or ValueError for bad arguments. Source: Li et
        al. (2026), whose optimal schedule decays from the start on easy tasks, and on hard ones
        holds the largest stable rate until a last, short decay.
        """
        owner = "NoisyQuadratic.power_law"
        beta = _checks.number(owner, "capacity", capacity, above=0)
        s = _checks.number(owner, "source", source, above=0)
        d = _checks.integer(owner, "directions", directions, minimum=1)
        noise = _checks.number(owner, "noise", noise, minimum=0)
        i = np.arange(1.0, d + 1)
        h = i**-beta
        return cls(tuple(h), tuple(noise * h), tuple(i ** -(s * beta + 1) / h), batch_size)

    @cached_property
    def _h(self) -> np.ndarray:
        return np.array(self.curvature)

    @property
    def _variance(self) -> float | tuple[float, ...]:
        return self.curvature if self.gradient_variance is None else self.gradient_variance

    @cached_property
    def _noise(self) -> np.ndarray:
        """Gradient variance per update, c / B."""
        return np.array(self._variance) / self.batch_size

    @cached_property
    def _start(self) -> np.ndarray:
        return np.array(self.start)

    def stability_limit(self, momentum: float = 0.0) -> float:
        """The fixed rate above which the iterates diverge (see lrlib.stability_limit)."""
        return stability_limit(max(self.curvature), momentum)

    def noise_floor(self, lr: float, momentum: float = 0.0) -> float:
        """The expected loss at which a fixed rate settles (see lrlib.noise_floor)."""
        return noise_floor(lr, self.curvature, self._variance, self.batch_size, momentum)

    def loss(self, rates: Sequence[float] | np.ndarray, momentum: float = 0.0) -> np.ndarray:
        """Expected loss before every update and after the last.

        `rates` has shape (…, steps): one learning rate per update, at least 0; leading dimensions
        are separate runs. Returns shape (…, steps + 1). `momentum` in [0, 1) is PyTorch's.
        """
        rates = _checks.array("NoisyQuadratic.loss", "rates", rates, minimum=0)
        if rates.ndim == 0:
            raise ValueError(
                f"NoisyQuadratic.loss: rates must hold one rate per update, got {float(rates)!r}"
            )
        mu = _checks.number("NoisyQuadratic.loss", "momentum", momentum, minimum=0, below=1)
        h, noise = self._h, self._noise
        # Second moments per direction: a = E θ², b = E θv, v = E v².
        a = np.broadcast_to(self._start, (*rates.shape[:-1], h.size)).copy()
        b, v = np.zeros_like(a), np.zeros_like(a)
        out = np.empty((*rates.shape[:-1], rates.shape[-1] + 1))
        with np.errstate(over="ignore", invalid="ignore"):
            for t in range(rates.shape[-1]):
                out[..., t] = 0.5 * a @ h
                eta = rates[..., t, None]
                if mu == 0:
                    a = (1 - eta * h) ** 2 * a + eta**2 * noise
                    continue
                v = mu**2 * v + 2 * mu * h * b + h**2 * a + noise
                s = mu * b + h * a
                a, b = a - 2 * eta * s + eta**2 * v, s - eta * v
            out[..., -1] = 0.5 * a @ h
        return np.where(np.isfinite(out), out, np.inf)

    def average_loss(
        self,
        rates: Sequence[float] | np.ndarray,
        weights: Sequence[float] | np.ndarray,
        mix: float = 0.0,
    ) -> np.ndarray:
        """Expected loss of a running average of the iterates, after every update.

        Update t moves the iterate by its rate and then the average by ``weights[t]`` of the way
        to it; both start at the same point. `rates` and `weights` have shape (…, steps), weights
        in [0, 1]; so has the result. With `mix` in [0, 1] the gradient is taken at (1 - mix) of
        the iterate plus `mix` of the average, as in Schedule-Free (Defazio et al. 2024, β), whose
        weights are 1, 1/2, 1/3, …; with 0 the average only looks on. Without momentum.
        """
        owner = "NoisyQuadratic.average_loss"
        rates = _checks.array(owner, "rates", rates, minimum=0)
        weights = _checks.array(owner, "weights", weights, minimum=0)
        if rates.ndim == 0 or weights.shape[-1:] != rates.shape[-1:]:
            raise ValueError(
                f"{owner}: rates and weights must hold one number per update, got shapes "
                f"{rates.shape} and {weights.shape}"
            )
        if (weights > 1).any():
            raise ValueError(f"{owner}: weights must be at most 1, got {float(weights.max())!r}")
        mix = _checks.number(owner, "mix", mix, minimum=0, maximum=1)
        rates, weights = np.broadcast_arrays(rates, weights)
        h, noise = self._h, self._noise
        # Second moments per direction, of the iterate z and the average x: E z², E z x, E x².
        zz = np.broadcast_to(self._start, (*rates.shape[:-1], h.size)).copy()
        zx, xx = zz.copy(), zz.copy()
        out = np.empty(rates.shape)
        with np.errstate(over="ignore", invalid="ignore"):
            for t in range(rates.shape[-1]):
                eta, w = rates[..., t, None], weights[..., t, None]
                keep, pull = 1 - eta * h * (1 - mix), -eta * h * mix  # z' = keep z + pull x + noise
                moved = keep * zx + pull * xx  # E z' x
                zz = keep**2 * zz + 2 * keep * pull * zx + pull**2 * xx + eta**2 * noise
                xx = (1 - w) ** 2 * xx + 2 * w * (1 - w) * moved + w**2 * zz
                zx = (1 - w) * moved + w * zz
                out[..., t] = 0.5 * xx @ h
        return np.where(np.isfinite(out), out, np.inf)

    def _final_loss(self, rates: np.ndarray) -> float:
        """The last entry of ``loss(rates)``, many times as fast for one run without momentum.

        What is left at the end of the start, and of the noise of every update, is a product over
        the updates that follow.
        """
        h = self._h
        left = np.ones((len(rates) + 1, h.size))
        with np.errstate(over="ignore", invalid="ignore"):
            np.cumprod((1 - rates[::-1, None] * h) ** 2, axis=0, out=left[1:])
            moments = left[-1] * self._start + (rates[::-1] ** 2 @ left[:-1]) * self._noise
            loss = float(0.5 * moments @ h)
        return loss if np.isfinite(loss) else float("inf")

    def sample(
        self, rates: Sequence[float] | np.ndarray, runs: int, seed: int, momentum: float = 0.0
    ) -> np.ndarray:
        """Losses of `runs` simulated runs, shape (runs, steps + 1): the Monte-Carlo check.

        `rates` has shape (steps,). Each run starts from its own normal draw with E θ² = `start`.
        """
        owner = "NoisyQuadratic.sample"
        rates = _checks.array(owner, "rates", rates, ndim=1, minimum=0)
        runs = _checks.integer(owner, "runs", runs, minimum=1)
        mu = _checks.number(owner, "momentum", momentum, minimum=0, below=1)
        rng = np.random.default_rng(_checks.integer(owner, "seed", seed, minimum=0))
        theta = rng.standard_normal((runs, self._h.size)) * np.sqrt(self._start)
        velocity = np.zeros_like(theta)
        out = np.empty((runs, len(rates) + 1))
        for t, eta in enumerate(rates):
            out[:, t] = 0.5 * theta**2 @ self._h
            noise = rng.standard_normal(theta.shape) * np.sqrt(self._noise)
            velocity = mu * velocity + self._h * theta + noise
            theta = theta - eta * velocity
        out[:, -1] = 0.5 * theta**2 @ self._h
        return out

    def greedy(self, steps: int, cap: float | None = None) -> np.ndarray:
        """The rates, shape (steps,), each of which makes the *next* loss as low as possible.

        ``η = Σ h² e / Σ h (h² e + c/B)``, at most `cap` (default 2 / h_max): McCandlish et al.
        (2018), exact here. Greedy is not optimal; see `optimal`.
        """
        steps = _checks.integer("NoisyQuadratic.greedy", "steps", steps, minimum=1)
        cap = self._cap(cap)
        h, e, rates = self._h, self._start.copy(), np.empty(steps)
        for t in range(steps):
            rates[t] = min(cap, _ratio(h**2 @ e, h @ (h**2 * e + self._noise)))
            e = (1 - rates[t] * h) ** 2 * e + rates[t] ** 2 * self._noise
        return rates

    def optimal(self, steps: int, cap: float | None = None) -> OptimalRates:
        """The rates with the lowest expected loss after `steps` updates, each at most `cap`.

        `cap` defaults to 2 / h_max; infinity leaves the rates free. Coordinate descent: every rate
        in turn is set to its exact minimiser given all others, forward and backward through time,
        from several starts, so the loss never rises. The problem is not convex: the result is the
        best of the starts, and no schedule that was tried beats it. Without momentum; of the last
        iterate (averaged iterates can be lower).
        """
        steps = _checks.integer("NoisyQuadratic.optimal", "steps", steps, minimum=1)
        return _optimal(self, steps, self._cap(cap))

    def _cap(self, cap: float | None) -> float:
        if cap is None:
            return 2 / max(self.curvature)
        if cap == np.inf:
            return float("inf")
        return _checks.number("NoisyQuadratic", "cap", cap, above=0)

    def tune(
        self, shape: Schedule, steps: int, momentum: float = 0.0, cap: float | None = None
    ) -> tuple[float, float]:
        """The peak of `shape` with the lowest final loss over `steps`, and that loss.

        A fine logarithmic grid, then a bounded search between the best point's neighbours; the
        largest rate is at most `cap` (default 2 (1 + momentum) / h_max). Needs SciPy.
        """
        from scipy.optimize import minimize_scalar

        owner = "NoisyQuadratic.tune"
        if not isinstance(shape, Schedule):
            raise TypeError(f"{owner}: shape must be a Schedule, got {shape!r}")
        steps = _checks.integer(owner, "steps", steps, minimum=1)
        factors = shape.sample(steps)
        if not factors.any():
            raise ValueError(
                f"{owner}: shape must have a factor above 0 in {steps} steps, got {shape!r}"
            )
        limit = self.stability_limit(momentum)
        highest = limit if cap is None else _checks.number(owner, "cap", cap, above=0)
        grid = np.geomspace(1e-5, 1, 161) * highest / factors.max()
        losses = self.loss(grid[:, None] * factors, momentum)[:, -1]
        i = int(np.argmin(losses))
        final = self._final_loss if momentum == 0 else lambda rates: self.loss(rates, momentum)[-1]
        found = minimize_scalar(
            lambda log_peak: final(np.exp(log_peak) * factors),
            bounds=np.log([grid[max(i - 1, 0)], grid[min(i + 1, len(grid) - 1)]]),
            method="bounded",
            options={"xatol": 1e-8},
        )
        candidates = [(float(losses[i]), float(grid[i])), (float(found.fun), np.exp(found.x))]
        loss, peak = min(candidates)
        return float(peak), loss

    def score(self, shape: Schedule, steps: int) -> float:
        """Final loss of `shape` at its best peak, over the optimum's: at least 1, lower is better.

        Both under the same cap of 2 / h_max, without momentum.
        """
        return self.tune(shape, steps)[1] / self.optimal(steps).loss


@dataclass(frozen=True, eq=False)
class OptimalRates:
    """`rates`, shape (steps,), and their final `loss`.

    `history`: the loss of the start that led to them, and after every sweep.
    """

    rates: np.ndarray
    loss: float
    history: np.ndarray


@lru_cache(maxsize=32)
def _optimal(problem: NoisyQuadratic, steps: int, cap: float) -> OptimalRates:
    h, noise, start = problem._h, problem._noise, problem._start
    left = 1 - np.arange(steps) / steps
    usable = min(cap, 2 / h.max())
    starts = [problem.greedy(steps, usable)]
    for shape in (
        np.ones(steps),
        left,
        left**2,
        np.where(left > 0.2, 1.0, 5 * left),
        1e-2 ** (1 - left),
    ):
        peaks = np.geomspace(1e-3, 1, 49)[:, None] * usable
        starts.append(shape * peaks[np.argmin(problem.loss(peaks * shape)[:, -1])])
    rates = np.array(starts)  # (starts, steps)
    columns = np.stack([np.ones_like(h), h], axis=1)

    def exact(price: np.ndarray, e: np.ndarray) -> np.ndarray:
        """The minimising rate, given the later rates (price) and the earlier ones (e)."""
        slope, curvature = (price * h * e @ columns).T  # Σ price h e and Σ price h² e
        return np.minimum(_ratio(slope, curvature + price @ noise), cap)

    # prices[t]: what one unit of E θ² before update t adds to the final loss.
    prices = np.empty((steps + 1, len(rates), h.size))
    moments = np.empty((steps + 1, len(rates), h.size))
    prices[steps], moments[0] = h / 2, start
    for t in range(steps):
        moments[t + 1] = _after(moments[t], rates[:, t, None], h, noise)
    history = [moments[steps] @ h / 2]
    for _ in range(400):
        for t in range(steps - 1, -1, -1):
            rates[:, t] = exact(prices[t + 1], moments[t])
            prices[t] = (1 - rates[:, t, None] * h) ** 2 * prices[t + 1]
        for t in range(steps):
            rates[:, t] = exact(prices[t + 1], moments[t])
            moments[t + 1] = _after(moments[t], rates[:, t, None], h, noise)
        history.append(moments[steps] @ h / 2)
        if (history[-2] - history[-1] <= 1e-10 * history[-1]).all():
            break
    i = int(np.argmin(history[-1]))
    best = OptimalRates(rates[i].copy(), float(history[-1][i]), np.array(history)[:, i])
    for array in (best.rates, best.history):
        array.flags.writeable = False  # it is remembered, and shared by all who ask again
    return best


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Their quotient; 0 where both are 0, at a minimum without noise: any rate is right there."""
    return numerator / np.where(denominator > 0, denominator, 1.0)


def _after(e: np.ndarray, eta: np.ndarray, h: np.ndarray, noise: np.ndarray) -> np.ndarray:
    return (1 - eta * h) ** 2 * e + eta**2 * noise
