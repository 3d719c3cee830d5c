"""lrlib: learning-rate schedules as pure functions, and one bridge to torch.optim."""

from importlib.metadata import PackageNotFoundError, version

from lrlib.batch_size_scaling import GradientNoiseScale, gradient_noise_scale, scale_lr
from lrlib.cosine_annealing import CosineAnnealing
from lrlib.cyclical import Cyclical, CyclicalMomentum
from lrlib.exponential_decay import ExponentialDecay, InverseTimeDecay, PolynomialDecay
from lrlib.fixed_learning_rate import (
    Constant,
    largest_hessian_eigenvalue,
    noise_floor,
    stability_limit,
)
from lrlib.lr_finder import LRFinderResult, NoSuggestionError, find_lr, training_step
from lrlib.one_cycle import OneCycle
from lrlib.schedule import Product, Schedule, Then
from lrlib.scheduler import ScheduledLR
from lrlib.step_decay import MultiStepDecay, StepDecay
from lrlib.trace import LRTrace
from lrlib.warm_restarts import WarmRestarts, ensemble_probabilities
from lrlib.warmup import InverseSquareRoot, Warmup

try:
    __version__ = version("lrlib")
except PackageNotFoundError:  # imported from a source tree that is not installed
    __version__ = "0+unknown"

__all__ = [
    "Constant",
    "CosineAnnealing",
    "Cyclical",
    "CyclicalMomentum",
    "ExponentialDecay",
    "GradientNoiseScale",
    "InverseSquareRoot",
    "InverseTimeDecay",
    "LRFinderResult",
    "LRTrace",
    "MultiStepDecay",
    "NoSuggestionError",
    "OneCycle",
    "PolynomialDecay",
    "Product",
    "Schedule",
    "ScheduledLR",
    "StepDecay",
    "Then",
    "WarmRestarts",
    "Warmup",
    "ensemble_probabilities",
    "find_lr",
    "gradient_noise_scale",
    "largest_hessian_eigenvalue",
    "noise_floor",
    "scale_lr",
    "stability_limit",
    "training_step",
]
