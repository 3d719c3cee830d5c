"""lrlib: learning-rate schedules as pure functions, and one bridge to torch.optim.

The schedules need numpy alone. What needs torch is loaded when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lrlib.choosing import CosineCycles, InverseSquareRootDecay, from_name
from lrlib.constant import Constant
from lrlib.cosine_annealing import CosineAnnealing
from lrlib.cyclical import Cyclical, CyclicalMomentum
from lrlib.exponential_decay import ExponentialDecay, InverseTimeDecay, PolynomialDecay
from lrlib.fixed_learning_rate import largest_hessian_eigenvalue, noise_floor, stability_limit
from lrlib.one_cycle import OneCycle
from lrlib.pretraining import WSD
from lrlib.schedule import Cooldown, Product, Schedule, Then
from lrlib.serialization import from_dict, register_schedule
from lrlib.step_decay import MultiStepDecay, StepDecay
from lrlib.warm_restarts import WarmRestarts, ensemble_probabilities
from lrlib.warmup import InverseSquareRoot, Warmup

if TYPE_CHECKING:
    from lrlib.batch_size_scaling import GradientNoiseScale, gradient_noise_scale, scale_lr
    from lrlib.lr_finder import LRFinderResult, NoSuggestionError, find_lr, training_step
    from lrlib.scheduler import ScheduledLR
    from lrlib.trace import LRTrace

    __version__: str

# The modules that load torch, with the names that they give to the package.
_NEED_TORCH = {
    "batch_size_scaling": ("GradientNoiseScale", "gradient_noise_scale", "scale_lr"),
    "lr_finder": ("LRFinderResult", "NoSuggestionError", "find_lr", "training_step"),
    "restoring": (),
    "scheduler": ("ScheduledLR",),
    "trace": ("LRTrace",),
}

__all__ = [
    "Constant",
    "Cooldown",
    "CosineAnnealing",
    "CosineCycles",
    "Cyclical",
    "CyclicalMomentum",
    "ExponentialDecay",
    "GradientNoiseScale",
    "InverseSquareRoot",
    "InverseSquareRootDecay",
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
    "WSD",
    "WarmRestarts",
    "Warmup",
    "ensemble_probabilities",
    "find_lr",
    "from_dict",
    "from_name",
    "gradient_noise_scale",
    "largest_hessian_eigenvalue",
    "noise_floor",
    "register_schedule",
    "scale_lr",
    "stability_limit",
    "training_step",
]


def _loaded(name: str) -> Any:
    """What is not loaded yet (PEP 562): the names that need torch, and the version."""
    if name == "__version__":
        value: Any = _version()
    else:
        for module, names in _NEED_TORCH.items():
            if name == module or name in names:
                break
        else:
            raise AttributeError(f"module 'lrlib' has no attribute {name!r}")
        try:
            loaded = import_module(f"lrlib.{module}")
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "torch":
                raise
            raise ImportError(
                f"lrlib.{name} needs torch, which is not installed (pip install torch); the "
                f"schedules work without it",
                name="torch",
            ) from error
        value = loaded if name == module else getattr(loaded, name)
    globals()[name] = value  # so that this is asked once
    return value


if not TYPE_CHECKING:  # for a type checker every name would be there, misspelt ones too
    __getattr__ = _loaded


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_NEED_TORCH, "__version__"})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("lrlib")
    except PackageNotFoundError:  # imported from a source tree that is not installed
        return "0+unknown"
