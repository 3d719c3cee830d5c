"""Made-up results that chapter 15's checkers ask about."""

import numpy as np

from lrlib.exercises import seal


def valleys(
    seed: int, recipes: int, peaks: int, seeds: int, lost: int = 0, steep: float = 0.5
) -> np.ndarray:
    """Made-up errors, (recipes, peaks, seeds): a valley over the peaks for each recipe, and noise.

    At the `lost` highest peaks all runs of the first recipes diverge, of more than half of them.
    """
    rng = np.random.default_rng(seed)
    grid = np.arange(peaks) - rng.uniform(1, peaks - 2 - lost, (recipes, 1))
    level = rng.uniform(10, 13, (recipes, 1))
    errors = (level + steep * grid**2)[:, :, None] + rng.normal(0, 1, (recipes, peaks, seeds))
    errors[: recipes // 2 + 1, peaks - lost :] = np.nan
    return errors


seal(__name__)
