"""The lab: what the chapters experiment with. Needs the extra `book`: pip install 'lrlib[book]'."""

from lrlib.lab import recorded_pretraining, recorded_streams  # noqa: F401 (they add to RECORDINGS)
from lrlib.lab.averaging import averaged
from lrlib.lab.data import (
    Dataset,
    Fresh,
    Pool,
    load_digits,
    load_images,
    load_mnist1d,
    load_text,
)
from lrlib.lab.descending import descend
from lrlib.lab.evidence import (
    ClaimError,
    Estimate,
    Evidence,
    Margin,
    claim,
    claims,
    half_interval,
    measure,
)
from lrlib.lab.language import SyntheticLanguage
from lrlib.lab.measuring import applied, sharpness
from lrlib.lab.models import (
    MARGINS,
    Task,
    convnet,
    digits_task,
    images_task,
    language_task,
    mlp,
    mnist1d_task,
    squared_error,
    task,
    text_task,
    token_loss,
    transformer,
)
from lrlib.lab.noisy_quadratic import NoisyQuadratic, OptimalRates
from lrlib.lab.recordings import RECORDINGS, Recorded, StaleRecording, recorded
from lrlib.lab.results import GridEdgeError, Results, SweepResult
from lrlib.lab.settings import device, scale, seed_offset, seeds, steps
from lrlib.lab.streams import continual_task, in_order
from lrlib.lab.sweep import SGD, AdamW, batches, sweep
from lrlib.lab.tuning import tune
from lrlib.lab.watching import Watched, WatchedResult, watch

__all__ = [
    "MARGINS",
    "RECORDINGS",
    "SGD",
    "AdamW",
    "ClaimError",
    "Dataset",
    "Estimate",
    "Evidence",
    "Fresh",
    "GridEdgeError",
    "Margin",
    "NoisyQuadratic",
    "OptimalRates",
    "Pool",
    "Recorded",
    "Results",
    "StaleRecording",
    "SweepResult",
    "SyntheticLanguage",
    "Task",
    "Watched",
    "WatchedResult",
    "applied",
    "averaged",
    "batches",
    "claim",
    "claims",
    "continual_task",
    "convnet",
    "descend",
    "device",
    "digits_task",
    "half_interval",
    "images_task",
    "in_order",
    "language_task",
    "load_digits",
    "load_images",
    "load_mnist1d",
    "load_text",
    "measure",
    "mlp",
    "mnist1d_task",
    "scale",
    "recorded",
    "seed_offset",
    "seeds",
    "sharpness",
    "squared_error",
    "steps",
    "sweep",
    "task",
    "text_task",
    "token_loss",
    "transformer",
    "tune",
    "watch",
]
