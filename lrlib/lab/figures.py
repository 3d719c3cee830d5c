"""The look of the book: one style, one colour and one line style for each schedule."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from lrlib import _checks

# Okabe and Ito's colours, which colour-blind readers can tell apart; the dashes tell schedules
# apart in greyscale. A schedule keeps its colour through the whole book.
SCHEDULES: dict[str, dict[str, object]] = {
    "constant": {"color": "#000000", "linestyle": "-"},
    "step": {"color": "#D55E00", "linestyle": "--"},
    "exponential": {"color": "#E69F00", "linestyle": "-."},
    "inverse time": {"color": "#8C6D31", "linestyle": (0, (1, 1))},
    "linear": {"color": "#009E73", "linestyle": (0, (5, 1))},
    "cosine": {"color": "#0072B2", "linestyle": "-"},
    "warm restarts": {"color": "#CC79A7", "linestyle": "--"},
    "cyclical": {"color": "#56B4E9", "linestyle": "-."},
    "one-cycle": {"color": "#7B3294", "linestyle": "-"},
    "warm-up": {"color": "#B22222", "linestyle": (0, (3, 1, 1, 1))},
    "inverse square root": {"color": "#5E8C31", "linestyle": (0, (1, 1))},
    "optimal": {"color": "#777777", "linestyle": ":"},
}


def use_style() -> None:
    """Apply the book's style sheet to all figures drawn from now on."""
    plt.style.use(Path(__file__).with_name("book.mplstyle"))


def look(schedule: str) -> dict[str, object]:
    """Colour and line style of a schedule, as keywords for ``Axes.plot``."""
    _checks.choice("look", "schedule", schedule, tuple(SCHEDULES))
    return dict(SCHEDULES[schedule])


def band(
    ax: Axes,
    x: np.ndarray,
    runs: np.ndarray,
    *,
    interval: tuple[float, float] = (10, 90),
    label: str | None = None,
    **line: object,
) -> None:
    """Draw the median of `runs` over the first axis, (runs, points), with a percentile band."""
    runs = np.asarray(runs, dtype=np.float64)
    if runs.ndim != 2 or runs.shape[1] != len(x):
        raise ValueError(f"band: runs must have shape (runs, {len(x)}), got {runs.shape}")
    kept = np.isfinite(runs).all(0)  # a rate at which one run diverged has no band
    middle = np.median(runs, axis=0)
    low, high = np.percentile(runs[:, kept], interval, axis=0)
    (drawn,) = ax.plot(np.asarray(x)[kept], middle[kept], label=label, **line)
    ax.fill_between(
        np.asarray(x)[kept], low, high, color=drawn.get_color(), alpha=0.18, linewidth=0
    )


def name_line(ax: Axes, x: float, y: float, text: str, **kwargs: object) -> None:
    """Write a line's name beside it, at (x, y) in data coordinates."""
    kwargs = {"fontsize": 9.5, "va": "center", "ha": "left", **kwargs}
    ax.annotate(text, (x, y), xytext=(4, 0), textcoords="offset points", **kwargs)


def smooth(values: np.ndarray, width: int) -> np.ndarray:
    """Mean over a centred window of `width` steps along the last axis; the ends use what is there.

    The length stays the same, and nothing is shifted in time.
    """
    width = _checks.integer("smooth", "width", width, minimum=1)
    values = np.asarray(values, dtype=np.float64)
    kernel = np.ones(width)
    count = np.convolve(np.ones(values.shape[-1]), kernel, "same")
    return np.apply_along_axis(lambda row: np.convolve(row, kernel, "same") / count, -1, values)
