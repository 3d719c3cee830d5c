"""Chapter 15: what the textbooks say to run, each in one line: ``recipes.linear(10_000)``.

A recipe is a shape for a run of any length, with or without a warm-up, and at times an instruction
beside it. `RECIPES` has all of them by name. Each was run in the league of chapter 15, and
`LEAGUE` has its row there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from lrlib import _checks
from lrlib.constant import Constant
from lrlib.cosine_annealing import CosineAnnealing
from lrlib.exponential_decay import ExponentialDecay, PolynomialDecay
from lrlib.one_cycle import OneCycle
from lrlib.plateau import PlateauRule
from lrlib.pretraining import WSD
from lrlib.schedule import Schedule
from lrlib.step_decay import MultiStepDecay
from lrlib.warm_restarts import WarmRestarts
from lrlib.warmup import InverseSquareRoot, Warmup

INSTRUCTIONS = ("", "average", "plateau")


@dataclass(frozen=True)
class Recipe:
    """One line of advice: called with the length of a run, it is the shape to run.

    >>> linear(1_000, warmup=0.1)(550)
    0.5

    Attributes:
        name: how tables call it.
        fall: the length of the run in optimizer steps -> the shape, without a warm-up. After one,
            it is asked for the steps that are left, of which its shares then are.
        source: who advises it.
        rises: whether the shape has a rise of its own. It is then for the whole run, and no other
            warm-up is put before it.
        then: what is to be done besides: "", nothing; "average", evaluate the growing average of
            the weights (`lrlib.growing_average`); "plateau", multiply the rate by the level of
            the rule that ``Recipe.rule()`` makes, told a validation loss `evaluations` times,
            evenly over the run (`lrlib.PlateauLR` does that in your own loop).
        evaluations: of a run with a plateau rule.

    Raises ValueError or TypeError for bad arguments.
    """

    name: str
    fall: Callable[[int], Schedule]
    source: str
    rises: bool = False
    then: str = ""
    evaluations: int = 50

    def __post_init__(self) -> None:
        for field in ("name", "source"):
            if not isinstance(value := getattr(self, field), str) or not value:
                raise TypeError(f"Recipe: {field} must be a text, got {value!r}")
        if not callable(self.fall):
            raise TypeError(f"Recipe: fall must make a Schedule from a length, got {self.fall!r}")
        _checks.choice("Recipe", "then", self.then, INSTRUCTIONS)
        _checks.integer("Recipe", "evaluations", self.evaluations, minimum=1)

    def __call__(self, total_steps: int, warmup: int | float = 0) -> Schedule:
        """The shape for a run of `total_steps` (at least 1), its warm-up included.

        `warmup`, at most `total_steps`, is an integer, in steps, or a float in [0, 1), a share of
        the run. It rises in a straight line whose first factor is ``1 / (warmup + 1)``, so that no
        update is wasted. Raises ValueError or TypeError for bad arguments, TypeError if `fall`
        gives no Schedule.
        """
        owner = f"Recipe {self.name!r}"
        total_steps = _checks.integer(owner, "total_steps", total_steps, minimum=1)
        rise = _checks.steps(owner, "warmup", warmup, total_steps)
        if rise > total_steps:
            raise ValueError(
                f"{owner}: warmup must be at most total_steps={total_steps}, got {warmup!r}"
            )
        shape = self.fall(total_steps if self.rises else total_steps - rise)
        if not isinstance(shape, Schedule):
            raise TypeError(f"{owner}: fall must give a Schedule, got {shape!r}")
        if self.rises or not rise:
            return shape
        return Warmup(rise, start_factor=1 / (rise + 1)).then(shape)

    def rule(self) -> PlateauRule:
        """The rule of chapter 11: a patience of a tenth of the run, then down to three tenths."""
        return PlateauRule(factor=0.3, patience=max(1, self.evaluations // 10))


@dataclass(frozen=True)
class Row:
    """What a recipe's twelve runs bought in the league of chapter 15, as recorded.

    Attributes:
        regret, low, high: how far it ended behind the best recipe of a task, in that task's margins
            (the smallest difference that matters), the mean over tasks and its 95 % interval.
        wins, tasks: on so many of how many tasks it ended within one margin of the best.
    """

    regret: float
    low: float
    high: float
    wins: int
    tasks: int


# What each makes of a length. Functions with names, so that recipes can be sent to other processes.


def _fixed(steps: int) -> Schedule:
    return Constant()


def _at(*shares: float) -> Callable[[int], Schedule]:
    return _Drops(shares)


@dataclass(frozen=True)
class _Drops:
    """Divided by ten after these shares of the run."""

    shares: tuple[float, ...]

    def __call__(self, steps: int) -> Schedule:
        drops = sorted({round(share * steps) for share in self.shares} - {0})
        return MultiStepDecay(drops) if drops else Constant()  # a run too short for any


@dataclass(frozen=True)
class _Cooled:
    """Held, and cooled down over the last share of the run."""

    share: float

    def __call__(self, steps: int) -> Schedule:
        return WSD(steps, 0, round(self.share * steps))


def _exponential(steps: int) -> Schedule:
    return ExponentialDecay(0.01 ** (1 / max(1, steps)))


def _cosine_to_tenth(steps: int) -> Schedule:
    return CosineAnnealing(steps, 0.1)


def _restarts(steps: int) -> Schedule:
    return WarmRestarts(max(1, math.ceil(steps / 7)), 2)


def _inverse_sqrt(steps: int) -> Schedule:
    return InverseSquareRoot(math.ceil(0.04 * steps))


fixed = Recipe("fixed", _fixed, "chapter 1; the default of torch.optim")
step = Recipe("step", _at(0.5, 0.75), "He et al. (2016), section 4.2: at 32k and 48k of 64k steps")
thirty_sixty_ninety = Recipe(
    "30/60/90", _at(0.3, 0.6, 0.9), "Goyal et al. (2017): epochs 30, 60 and 80 of 90, rounded"
)
exponential = Recipe("exponential", _exponential, "chapter 3: to a hundredth of the peak")
linear = Recipe("linear", PolynomialDecay, "Defazio et al. (2023); Bergsma et al. (2025)")
cosine = Recipe("cosine", CosineAnnealing, "Loshchilov & Hutter (2017), a single cycle")
cosine_to_tenth = Recipe("cosine to 10 %", _cosine_to_tenth, "Hoffmann et al. (2022), Chinchilla")
wsd_10 = Recipe("WSD 10 %", _Cooled(0.1), "Hu et al. (2024), MiniCPM")
wsd_20 = Recipe("WSD 20 %", _Cooled(0.2), "Hägele et al. (2024)")
wsd_40 = Recipe("WSD 40 %", _Cooled(0.4), "chapter 14: a long cooldown")
one_cycle = Recipe("one-cycle", OneCycle, "Smith & Topin (2018); torch's defaults", rises=True)
restarts = Recipe("restarts", _restarts, "Loshchilov & Hutter (2017), SGDR: three cycles, doubling")
inverse_sqrt = Recipe(
    "inverse root", _inverse_sqrt, "Vaswani et al. (2017): 4,000 of 100,000 steps rise", rises=True
)
average = Recipe(
    "average", _fixed, "chapter 14; Shamir & Zhang (2013): held, and averaged", then="average"
)
plateau = Recipe("plateau", _fixed, "chapter 11; torch's ReduceLROnPlateau", then="plateau")

# To add a recipe to the league, add it here: ``make record NAME=league`` trains it alone.
RECIPES = {
    recipe.name: recipe
    for recipe in (
        *(fixed, step, thirty_sixty_ninety, exponential, linear, cosine, cosine_to_tenth),
        *(wsd_10, wsd_20, wsd_40, one_cycle, restarts, inverse_sqrt, average, plateau),
    )
}

# The rows of the recorded league, the best first; a test holds them to it.
LEAGUE: dict[str, Row] = {
    "WSD 20 %": Row(0.35, -0.15, 0.86, 11, 14),
    "average": Row(0.57, 0.14, 1.01, 10, 14),
    "WSD 40 %": Row(0.64, 0.26, 1.03, 11, 14),
    "WSD 10 %": Row(0.77, 0.29, 1.25, 10, 14),
    "cosine to 10 %": Row(1.05, 0.61, 1.48, 8, 14),
    "linear": Row(1.07, 0.35, 1.78, 8, 14),
    "one-cycle": Row(1.11, 0.27, 1.95, 10, 14),
    "cosine": Row(1.21, 0.64, 1.79, 7, 14),
    "plateau": Row(1.32, 0.63, 2.0, 7, 14),
    "restarts": Row(1.71, 0.53, 2.88, 6, 14),
    "step": Row(2.48, 1.35, 3.61, 3, 14),
    "inverse root": Row(2.52, 1.44, 3.6, 2, 14),
    "fixed": Row(2.71, 1.78, 3.64, 3, 14),
    "exponential": Row(3.3, 1.83, 4.78, 2, 14),
    "30/60/90": Row(3.96, 1.96, 5.96, 4, 14),
}
