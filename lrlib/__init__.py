"""lrlib: learning-rate schedules as pure functions, and one bridge to torch.optim."""

from importlib.metadata import PackageNotFoundError, version

from lrlib.fixed_learning_rate import (
    Constant,
    largest_hessian_eigenvalue,
    noise_floor,
    stability_limit,
)
from lrlib.schedule import Product, Schedule, Then
from lrlib.scheduler import ScheduledLR
from lrlib.trace import LRTrace

try:
    __version__ = version("lrlib")
except PackageNotFoundError:  # imported from a source tree that is not installed
    __version__ = "0+unknown"

__all__ = [
    "Constant",
    "LRTrace",
    "Product",
    "Schedule",
    "ScheduledLR",
    "Then",
    "largest_hessian_eigenvalue",
    "noise_floor",
    "stability_limit",
]
