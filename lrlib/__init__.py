"""lrlib: learning-rate schedules as pure functions, and one bridge to torch.optim.

The schedules need numpy alone. What needs torch is loaded when it is first asked for.
"""

import inspect
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from lrlib import _checks, recipes
from lrlib.choosing import CosineCycles, InverseSquareRootDecay, from_name
from lrlib.composing import FromFunction, layer_groups
from lrlib.constant import Constant
from lrlib.cosine_annealing import CosineAnnealing
from lrlib.cyclical import Cyclical, CyclicalMomentum
from lrlib.exponential_decay import ExponentialDecay, InverseTimeDecay, PolynomialDecay
from lrlib.fixed_learning_rate import largest_hessian_eigenvalue, noise_floor, stability_limit
from lrlib.one_cycle import OneCycle
from lrlib.plateau import PlateauRule, false_drop_probability, patience_needed, plateau_delay
from lrlib.pretraining import WSD, LastIterateBound, growing_average, last_iterate_bound
from lrlib.schedule import Cooldown, Product, Schedule, Then
from lrlib.serialization import from_dict, register_schedule
from lrlib.step_decay import MultiStepDecay, StepDecay
from lrlib.warm_restarts import WarmRestarts, ensemble_probabilities
from lrlib.warmup import InverseSquareRoot, Warmup

if TYPE_CHECKING:
    from lrlib.batch_size_scaling import GradientNoiseScale, gradient_noise_scale, scale_lr
    from lrlib.lr_finder import LRFinderResult, NoSuggestionError, find_lr, training_step
    from lrlib.plateau_lr import PlateauLR
    from lrlib.resume import ShuffledBatches, load_checkpoint, save_checkpoint
    from lrlib.scheduler import ScheduledLR
    from lrlib.trace import LRTrace

    __version__: str

# The modules that load torch, with the names that they give to the package.
_NEED_TORCH = {
    "batch_size_scaling": ("GradientNoiseScale", "gradient_noise_scale", "scale_lr"),
    "lr_finder": ("LRFinderResult", "NoSuggestionError", "find_lr", "training_step"),
    "plateau_lr": ("PlateauLR",),
    "restoring": (),
    "resume": ("ShuffledBatches", "load_checkpoint", "save_checkpoint"),
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
    "FromFunction",
    "GradientNoiseScale",
    "InverseSquareRoot",
    "InverseSquareRootDecay",
    "InverseTimeDecay",
    "LRFinderResult",
    "LRTrace",
    "LastIterateBound",
    "MultiStepDecay",
    "NoSuggestionError",
    "OneCycle",
    "PlateauLR",
    "PlateauRule",
    "PolynomialDecay",
    "Product",
    "Schedule",
    "ScheduledLR",
    "ShuffledBatches",
    "StepDecay",
    "Then",
    "WSD",
    "WarmRestarts",
    "Warmup",
    "ensemble_probabilities",
    "false_drop_probability",
    "find_lr",
    "from_dict",
    "from_name",
    "gradient_noise_scale",
    "growing_average",
    "largest_hessian_eigenvalue",
    "last_iterate_bound",
    "load_checkpoint",
    "layer_groups",
    "noise_floor",
    "patience_needed",
    "plateau_delay",
    "recipes",
    "register_schedule",
    "save_checkpoint",
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
            message = _checks.needs_torch(name)
            # `from lrlib import …` asks importlib first, and would say "cannot import name" alone.
            frame = inspect.currentframe()
            asker = frame.f_back.f_globals if frame is not None and frame.f_back else {}
            if asker.get("__name__") in ("importlib._bootstrap", "_frozen_importlib"):
                raise ImportError(message, name="torch") from error
            raise AttributeError(message) from error
        value = loaded if name == module else getattr(loaded, name)
    globals()[name] = value  # so that this is asked once
    return value


def _torch_is_there() -> bool:
    try:
        return find_spec("torch") is not None
    except ImportError:
        return False
    except ValueError:  # a module without a spec
        return True


if not TYPE_CHECKING:  # for a type checker every name would be there, misspelt ones too
    __getattr__ = _loaded

# What cannot be loaded is not listed, for ``import *``, `help` and their like.
_LOADABLE = _NEED_TORCH if _torch_is_there() else {}
if not _LOADABLE:
    _missing = {name for names in _NEED_TORCH.values() for name in names}
    __all__[:] = [name for name in __all__ if name not in _missing]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_LOADABLE, "__version__"})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("lrlib")
    except PackageNotFoundError:  # imported from a source tree that is not installed
        return "0+unknown"
