"""Settings that hold for every test, and a few shapes that only the tests have."""

import math
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st

from lrlib import (
    WSD,
    Constant,
    Cooldown,
    CosineAnnealing,
    CosineCycles,
    Cyclical,
    CyclicalMomentum,
    ExponentialDecay,
    InverseSquareRoot,
    InverseSquareRootDecay,
    InverseTimeDecay,
    LRTrace,
    MultiStepDecay,
    OneCycle,
    PolynomialDecay,
    Schedule,
    ScheduledLR,
    StepDecay,
    WarmRestarts,
    Warmup,
)
from lrlib.cyclical import MODES
from lrlib.schedule import FORMS

matplotlib.use("Agg")

# The models are too small to gain from threads, which only get in the way on a shared machine.
torch.set_num_threads(1)

# No deadline: the first example pays for imports, and CI machines stall now and then.
# The same examples every time: a failure in CI is one that you can repeat.
settings.register_profile("lrlib", deadline=None, derandomize=True)
settings.load_profile("lrlib")


# What no exercise asks for: a checker must reject it with a hint, and not crash.
WEIRD = ["text", b"bytes", 3, True, 2.5, {}, [], set(), (1, 2, 3), object(), Constant, math.inf]
WEIRD += [np.zeros((2, 2)), np.array("a"), torch.zeros(3), [None, None], {"a": 1}, 1j]


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch):
    """The tests do not depend on the book's environment variables; figures are closed."""
    for name in (
        "LRLIB_SEED",
        "LRLIB_SCALE",
        "LRLIB_DEVICE",
        "LRLIB_PROGRESS",
        "LRLIB_AUDIT",
        "LRLIB_DASK",
    ):
        monkeypatch.delenv(name, raising=False)
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


@dataclass(frozen=True)
class Ramp(Schedule):
    """Linear from `first` at step 0 to `last` at step `total_iters`."""

    total_iters: int
    first: float = 0.1
    last: float = 1.0

    @property
    def length(self):
        return self.total_iters

    def formula(self, step):
        share = step / self.total_iters
        return (1 - share) * self.first + share * self.last


@dataclass(frozen=True)
class HalfCosine(Schedule):
    """Half a cosine, from 1 to 0. Its formula would rise again past the end."""

    T_max: int

    @property
    def length(self):
        return self.T_max

    def formula(self, step):
        return (1 + math.cos(math.pi * step / self.T_max)) / 2


@dataclass(frozen=True)
class Sawtooth(Schedule):
    """1, 1 - 1/period, … and back to 1; never ends."""

    period: int

    def formula(self, step):
        return 1 - (step % self.period) / self.period


@dataclass(frozen=True)
class Formula(Schedule):
    """Whatever a function gives: for shapes that break the rules."""

    function: object

    def formula(self, step):
        return self.function(step)


def schedules(max_leaves: int = 6) -> st.SearchStrategy[Schedule]:
    """Schedules built from `then` and `*`, nested to any depth."""
    steps, lengths, factors = st.integers(1, 40), st.integers(0, 40), st.floats(0, 4)
    gammas, shares = st.floats(1e-3, 1), st.floats(0, 1)
    milestones = st.sets(steps, min_size=1, max_size=4).map(lambda chosen: tuple(sorted(chosen)))
    cycles = st.builds(
        Cyclical, shares, steps, st.none() | steps, st.sampled_from(MODES), gammas
    ) | st.builds(
        OneCycle,
        lengths,
        st.floats(0, 0.5),
        st.sampled_from(("cos", "linear")),
        st.floats(1, 100),
        st.floats(1, 1e5),
        st.booleans(),
    )
    leaves = (
        st.builds(Constant, factors, st.none() | lengths)
        | st.builds(Ramp, steps, factors, factors)
        | st.builds(HalfCosine, steps)
        | st.builds(Sawtooth, steps)
        | st.builds(StepDecay, steps, gammas)
        | st.builds(MultiStepDecay, milestones, gammas)
        | st.builds(ExponentialDecay, gammas)
        | st.builds(InverseTimeDecay, factors, steps)
        | st.builds(PolynomialDecay, lengths, st.floats(0.1, 4), shares)
        | st.builds(CosineAnnealing, lengths, shares)
        | st.builds(WarmRestarts, steps, st.integers(1, 4), shares, gammas)
        | cycles
        | st.builds(CyclicalMomentum, cycles, shares)
        | st.builds(Warmup, lengths, shares)
        | st.builds(Warmup, lengths, gammas, st.just("exponential"))
        | st.builds(InverseSquareRoot, lengths, st.none() | st.integers(1, 1024))
        | st.builds(InverseSquareRootDecay, steps)
        | st.builds(CosineCycles, lengths, st.integers(1, 5), shares, st.booleans())
        | st.builds(Cooldown, lengths, st.sampled_from(FORMS), st.floats(1, 4), shares)
        | st.builds(
            WSD, lengths, st.floats(0, 0.4), st.floats(0, 0.4), st.sampled_from(FORMS), shares
        )
    )

    @st.composite
    def then(draw, children):
        first, second = draw(children), draw(children)
        at = draw(lengths if first.length is None else st.none() | lengths)
        return first.then(second, at)

    return st.recursive(
        leaves,
        lambda children: then(children) | st.builds(lambda a, b: a * b, children, children),
        max_leaves=max_leaves,
    )


# One of every kind, short enough for runs of a dozen steps.
SHAPES = {
    "constant": Constant(0.3),
    "ramp": Ramp(7),
    "cosine": HalfCosine(9),
    "sawtooth": Sawtooth(3),
    "then": Ramp(4).then(HalfCosine(6)),
    "product": Ramp(5) * Sawtooth(4),
    "nested": (Constant(0.5, 2).then(Sawtooth(3), at=3) * Ramp(8)).then(
        Ramp(2, 1.0, 0.3).then(Constant(0.7)) * HalfCosine(5), at=6
    ),
    "step decay": StepDecay(4, 0.5),
    "multi-step decay": MultiStepDecay((3, 8)),
    "exponential decay": ExponentialDecay(0.9),
    "inverse-time decay": InverseTimeDecay(0.7, 3),
    "polynomial decay": PolynomialDecay(9, 2.0, 0.1),
    "cosine annealing": CosineAnnealing(9, 0.05),
    "warm restarts": WarmRestarts(2, 2, 0.05, 0.7),
    "cyclical": Cyclical(0.1, 2, 3, "triangular2"),
    "cyclical, exp_range": Cyclical(0.2, 3, mode="exp_range", gamma=0.9),
    "one-cycle": OneCycle(10),
    "one-cycle, three phases": OneCycle(11, 0.4, "linear", 10.0, 100.0, three_phase=True),
    "momentum of one-cycle": OneCycle(10).momentum(),
    "momentum of cyclical": Cyclical(0.1, 2).momentum(0.5),
    "warm-up and cosine": Warmup(4, 0.2).then(CosineAnnealing(6)),
    "exponential warm-up": Warmup(5, 0.01, "exponential"),
    "inverse square root": InverseSquareRoot(4),
    "inverse square root, decay alone": InverseSquareRootDecay(4),
    "cosine cycles": CosineCycles(9, 2, 0.1, restarts=True),
    "WSD": WSD(12, 3, 5, min_factor=0.1),
    "cooled down": Sawtooth(5).cooldown(at=6, steps=4, form="cosine"),
    "empty": Warmup(0),
    "inverse square root, Transformer": InverseSquareRoot(3, 512),
    "warmed up and restarted": Ramp(3).then(WarmRestarts(4) * ExponentialDecay(0.95)),
}


def torch_rates(build, peaks, n):
    """The rates that a torch optimizer used in its first `n` steps, an array of shape (n, groups).

    `build(optimizer)` makes the torch scheduler. Peaks may be one number or one per group.
    """
    groups = [
        {"params": [torch.nn.Parameter(torch.zeros(1))], "lr": peak}
        for peak in np.atleast_1d(peaks).tolist()
    ]
    optimizer = torch.optim.SGD(groups)
    scheduler, rates = build(optimizer), []
    for _ in range(n):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return np.array(rates, dtype=np.float64)


def assert_equals_torch(shape, build, peak, n):
    """`peak` times the shape is what the torch scheduler gives, to 1e-12 of the peak."""
    difference = np.abs(torch_rates(build, peak, n)[:, 0] - peak * shape.sample(n))
    assert difference.max() <= 1e-12 * peak, (shape, peak, int(difference.argmax()))


def drive(optimizer, build, n):
    """The trace of an optimizer's first `n` steps under the scheduler that `build` makes."""
    scheduler, trace = build(optimizer), LRTrace(optimizer)
    for _ in range(n):
        optimizer.step()
        scheduler.step()
    return trace


def assert_momentum_equals_torch(shape, min_factor, build, peak, top, kind, n):
    """Rate and momentum that are applied are those under torch's scheduler, to 1e-12.

    `top` is the highest momentum, the one that the optimizer is built with.
    """

    def optimizer():
        momentum = {"momentum": top} if kind is torch.optim.SGD else {"betas": (top, 0.99)}
        return kind([torch.nn.Parameter(torch.zeros(1))], lr=peak, **momentum)

    momentum = shape.momentum(min_factor)
    ours = drive(optimizer(), lambda it: ScheduledLR(it, shape, momentum=momentum), n)
    ours.assert_matches(shape, peak)
    ours.assert_matches(momentum, top, quantity="momentum")
    torchs = drive(optimizer(), build, n)
    assert np.abs(ours.lr - torchs.lr).max() <= 1e-12 * peak, (shape, peak)
    assert np.abs(ours.momentum - torchs.momentum).max() <= 1e-12, (shape, min_factor, top)


def interruptible():
    """For `preexec_fn`: a shell that starts the tests in the background has SIGINT ignored, and
    whatever a process ignores, the programs that it starts ignore too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def processes_of(session):
    """The numbers of the processes of a session that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended
            state, _, _, of_session = (
                path.joinpath("stat").read_text().rpartition(")")[2].split()[:4]
            )
            if int(of_session) == session and state != "Z":
                found.append(int(path.name))
    return found
