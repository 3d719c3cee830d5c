"""What some tasks of the book's league are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lrlib import PolynomialDecay
from lrlib.lab.fine_tuning import fine_tuning, renumbered
from lrlib.lab.language import SyntheticLanguage
from lrlib.lab.league.network import Network, remembered
from lrlib.lab.models import Task, language_task
from lrlib.lab.sweep import sweep


def language(vocabulary: int, concentration: Sequence[float], **settings: Any) -> Task:
    """A `lab.language_task` of a `SyntheticLanguage`, from numbers alone."""
    return language_task(language=SyntheticLanguage(vocabulary, tuple(concentration)), **settings)


@dataclass(frozen=True, kw_only=True, eq=False)
class FineTuned(Network):
    """A `Network` that goes on from a trained one, the classes renumbered: see `fine_tuning`.

    Attributes:
        first, rate: updates, on a line to zero, and peak of the run that it goes on from, which
            each seed makes for itself.
        examples: to train on.
    """

    first: int = 2000
    rate: float = 0.08
    examples: int = 200

    def made(self, seed: int) -> Task:
        return remembered(self, seed, lambda: _goes_on(self, seed))


def _goes_on(task: FineTuned, seed: int) -> Task:
    trained = sweep(
        task.make(**task.settings),
        {"line": PolynomialDecay(task.first)},
        [task.rate],
        [seed],
        steps=task.first,
        batch_size=task.batch_size,
        keep_states=True,
        device="cpu",
        progress=False,
    )
    return fine_tuning(trained, renumbered, examples=task.examples)
