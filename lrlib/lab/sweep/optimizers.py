"""The optimizers that a sweep can train with, as values that check their settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypedDict

import numpy as np
from torch import Tensor

from lrlib import _checks
from lrlib.lab._stacked import StackedAdamW, StackedSGD


@dataclass(frozen=True)
class SGD:
    """torch.optim.SGD, but for its rate, which is the sweep's: ``sweep(optimizer=SGD(0.8))``.

    Attributes:
        momentum: in [0, 1).
        nesterov: whether the momentum is Nesterov's; needs `momentum` above 0.
        weight_decay: at least 0; part of the gradient.

    Raises ValueError or TypeError for bad settings.
    """

    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _checks.number("SGD", "momentum", self.momentum, minimum=0, below=1)
        if not isinstance(self.nesterov, bool | np.bool_):
            raise TypeError(f"SGD: nesterov must be True or False, got {self.nesterov!r}")
        if self.nesterov and not self.momentum:
            raise ValueError(f"SGD: nesterov needs momentum above 0, got momentum={self.momentum}")
        _checks.number("SGD", "weight_decay", self.weight_decay, minimum=0)

    @property
    def base_momentum(self) -> float:
        """The momentum that a schedule of it is a factor on."""
        return float(self.momentum)

    def stacked(self, params: dict[str, Tensor]) -> StackedSGD:
        """The optimizer of stacked parameters."""
        decay = float(self.weight_decay)
        return StackedSGD(params, float(self.momentum), bool(self.nesterov), decay)


@dataclass(frozen=True)
class AdamW:
    """torch.optim.AdamW, but for its rate, which is the sweep's; its decay is 0 unless given.

    Attributes:
        betas: two numbers in [0, 1).
        eps: above 0.
        weight_decay: at least 0; decoupled from the gradient.

    Raises ValueError or TypeError for bad settings.
    """

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.betas, tuple | list) or len(self.betas) != 2:
            raise ValueError(f"AdamW: betas must be two numbers, got {self.betas!r}")
        beta1, beta2 = (_checks.number("AdamW", "betas", b, minimum=0, below=1) for b in self.betas)
        object.__setattr__(self, "betas", (beta1, beta2))
        _checks.number("AdamW", "eps", self.eps, above=0)
        _checks.number("AdamW", "weight_decay", self.weight_decay, minimum=0)

    @property
    def base_momentum(self) -> float:
        """beta1, which a schedule of the momentum is a factor on."""
        return self.betas[0]

    def stacked(self, params: dict[str, Tensor]) -> StackedAdamW:
        """The optimizer of stacked parameters."""
        return StackedAdamW(params, self.betas, float(self.eps), float(self.weight_decay))


class Settings(TypedDict, total=False):
    """The settings of either optimizer, where its name is a string."""

    momentum: float
    nesterov: bool
    betas: tuple[float, float]
    eps: float
    weight_decay: float


_KINDS: dict[str, type[SGD | AdamW]] = {"sgd": SGD, "adamw": AdamW}
OPTIMIZERS = tuple(_KINDS)


def checked_optimizer(optimizer: str | SGD | AdamW, settings: Mapping[str, Any]) -> SGD | AdamW:
    """What `optimizer` and the settings given beside it stand for.

    Settings of the other optimizer must be what they are by default: nothing would use them.
    """
    defaults: dict[str, dict[str, Any]] = {
        kind: {f.name: f.default for f in fields(_KINDS[kind])} for kind in OPTIMIZERS
    }
    for name in settings:
        if not any(name in known for known in defaults.values()):
            raise TypeError(f"sweep() got an unexpected keyword argument {name!r}")
    if isinstance(optimizer, SGD | AdamW):
        for name, value in settings.items():
            raise TypeError(
                f"sweep: {name} belongs into the optimizer, got {name}={value!r:.200} beside "
                f"optimizer={optimizer!r}"
            )
        return optimizer
    if not isinstance(optimizer, str) or optimizer not in OPTIMIZERS:
        raise ValueError(
            f"sweep: optimizer must be one of {', '.join(OPTIMIZERS)}, or an SGD(…) or AdamW(…) "
            f"of lrlib.lab, got {optimizer!r}"
        )
    own = defaults[optimizer]
    for name, value in settings.items():
        if name not in own:
            other = next(kind for kind, known in defaults.items() if name in known)
            if not np.array_equal(value, defaults[other][name]):
                raise ValueError(
                    f"sweep: {name} is a setting of {other!r}, which optimizer={optimizer!r} does "
                    f"not have, got {name}={value!r:.200}; leave it out, or set "
                    f"optimizer={other!r}"
                )
    try:
        return _KINDS[optimizer](**{k: v for k, v in settings.items() if k in own})
    except (TypeError, ValueError) as error:
        raise type(error)(f"sweep: {error}") from None
