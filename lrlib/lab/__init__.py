"""The lab: what the chapters experiment with. Needs the extra `book`: pip install 'lrlib[book]'."""

from lrlib.lab import (
    league,
    recorded_defaults,  # noqa: F401 (it adds to RECORDINGS)
    recorded_pretraining,  # noqa: F401 (it adds to RECORDINGS)
    recorded_streams,  # noqa: F401 (it adds to RECORDINGS)
)
from lrlib.lab.averaging import averaged
from lrlib.lab.control import PPO, shortfall
from lrlib.lab.data import (
    Dataset,
    Fresh,
    Pool,
    load_digits,
    load_images,
    load_mnist1d,
    load_text,
)
from lrlib.lab.defaults import Default, defaults, fine_tuned, spread_between_seeds
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
from lrlib.lab.vit import vit, vit_task
from lrlib.lab.watching import Watched, WatchedResult, watch

__all__ = [
    "MARGINS",
    "PPO",
    "RECORDINGS",
    "SGD",
    "AdamW",
    "ClaimError",
    "Default",
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
    "defaults",
    "descend",
    "device",
    "digits_task",
    "fine_tuned",
    "half_interval",
    "images_task",
    "in_order",
    "language_task",
    "league",
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
    "shortfall",
    "spread_between_seeds",
    "squared_error",
    "steps",
    "sweep",
    "task",
    "text_task",
    "token_loss",
    "transformer",
    "tune",
    "vit",
    "vit_task",
    "watch",
]
