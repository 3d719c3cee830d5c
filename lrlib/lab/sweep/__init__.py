"""Train every combination of schedule, peak and seed at once, and pick peaks honestly."""

from lrlib.lab.results import SweepResult
from lrlib.lab.sweep.batching import batches
from lrlib.lab.sweep.optimizers import OPTIMIZERS, SGD, AdamW
from lrlib.lab.sweep.run import sweep

__all__ = ["OPTIMIZERS", "SGD", "AdamW", "SweepResult", "batches", "sweep"]
