"""The lab: what the chapters experiment with. Needs the extra `book`: pip install 'lrlib[book]'."""

from lrlib.lab.data import Dataset, load_digits, load_mnist1d
from lrlib.lab.evidence import ClaimError, Evidence, claim, half_interval
from lrlib.lab.language import SyntheticLanguage
from lrlib.lab.models import (
    Task,
    digits_task,
    language_task,
    mlp,
    mnist1d_task,
    squared_error,
    token_loss,
    transformer,
)
from lrlib.lab.noisy_quadratic import NoisyQuadratic, OptimalRates
from lrlib.lab.settings import device, scale, seed_offset, seeds, steps
from lrlib.lab.sweep import GridEdgeError, SweepResult, batches, sweep

__all__ = [
    "ClaimError",
    "Dataset",
    "Evidence",
    "GridEdgeError",
    "NoisyQuadratic",
    "OptimalRates",
    "SweepResult",
    "SyntheticLanguage",
    "Task",
    "batches",
    "claim",
    "device",
    "digits_task",
    "half_interval",
    "language_task",
    "load_digits",
    "load_mnist1d",
    "mlp",
    "mnist1d_task",
    "scale",
    "seed_offset",
    "seeds",
    "squared_error",
    "steps",
    "sweep",
    "token_loss",
    "transformer",
]
