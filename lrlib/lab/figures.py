"""The look of the book: one style, one colour and one line style for each schedule."""

from __future__ import annotations

import base64
import html
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from lrlib import _checks
from lrlib.lab.evidence import half_interval

if TYPE_CHECKING:
    from lrlib.lab.results import SweepResult

# Okabe and Ito's colours, which colour-blind readers can tell apart; the dashes tell schedules
# apart in greyscale. A schedule keeps its colour through the whole book.
SCHEDULES: dict[str, dict[str, Any]] = {
    "constant": {"color": "#000000", "linestyle": "-"},
    "step": {"color": "#D55E00", "linestyle": "--"},
    "exponential": {"color": "#E69F00", "linestyle": "-."},
    "inverse time": {"color": "#8C6D31", "linestyle": (0, (1, 1))},
    "linear": {"color": "#009E73", "linestyle": (0, (5, 1))},
    "cosine": {"color": "#0072B2", "linestyle": "-"},
    "warm restarts": {"color": "#CC79A7", "linestyle": "--"},
    "cooldown": {"color": "#6B3A1E", "linestyle": (0, (4, 1, 1, 1))},
    "cyclical": {"color": "#56B4E9", "linestyle": "-."},
    "one-cycle": {"color": "#7B3294", "linestyle": "-"},
    "warm-up": {"color": "#B22222", "linestyle": (0, (3, 1, 1, 1))},
    "inverse square root": {"color": "#5E8C31", "linestyle": (0, (1, 1))},
    "optimal": {"color": "#777777", "linestyle": ":", "linewidth": 2.6},
}


def use_style() -> None:
    """Apply the book's style sheet to all figures drawn from now on."""
    plt.style.use(Path(__file__).with_name("book.mplstyle"))


def show(alt: str) -> None:
    """Show the current figure with `alt`, the text for readers who cannot see it, and close it.

    The text says what the figure shows, in a sentence or two. In a notebook the figure becomes an
    HTML image, since JupyterLab gives no alternative text to a plain one; elsewhere it is what
    ``plt.show()`` does.
    """
    if not isinstance(alt, str) or not alt.strip():
        raise TypeError(f"show: alt must be a text, got {alt!r}")
    figure, ipython = plt.gcf(), sys.modules.get("IPython")
    if ipython is None or ipython.get_ipython() is None:
        plt.show()
    elif plt.get_backend().lower() != "agg":  # which is asked for where nobody looks
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=1.5 * figure.dpi, bbox_inches="tight")
        source = base64.b64encode(png.getvalue()).decode()
        width = round(figure.get_figwidth() * figure.dpi)
        image = (
            f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{source}" '
            f'style="width: {width}px; max-width: 100%; background: white;">'
        )
        ipython.display.display({"text/html": image, "text/plain": f"Figure: {alt}"}, raw=True)
    plt.close(figure)


def look(schedule: str) -> dict[str, Any]:
    """Colour and line style of a schedule, as keywords for ``Axes.plot``."""
    _checks.choice("look", "schedule", schedule, tuple(SCHEDULES))
    return dict(SCHEDULES[schedule])


def _numbers(owner: str, name: str, value: object) -> np.ndarray:
    """`value` as a float64 array; NaN is allowed, for runs that diverged."""
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{owner}: {name} must be an array of numbers, got {value!r}") from None


def band(
    ax: Axes,
    x: np.ndarray,
    runs: np.ndarray,
    *,
    interval: tuple[float, float] = (10, 90),
    label: str | None = None,
    **line: Any,
) -> None:
    """Draw the median of `runs` over the first axis, (runs, points), with a percentile band."""
    given, runs = runs, _numbers("band", "runs", runs)
    if runs.ndim != 2 or runs.shape[1] != len(x):
        raise ValueError(
            f"band: runs must have shape (runs, {len(x)}), got shape {runs.shape}: {given!r:.200}"
        )
    if np.shape(interval) != (2,) or not 0 <= interval[0] < interval[1] <= 100:
        raise ValueError(f"band: interval must be two ascending percentiles, got {interval!r}")
    kept = np.isfinite(runs).all(0)  # a rate at which one run diverged has no band
    middle = np.median(runs, axis=0)
    low, high = np.percentile(runs[:, kept], interval, axis=0)
    (drawn,) = ax.plot(np.asarray(x)[kept], middle[kept], label=label, **line)
    ax.fill_between(
        np.asarray(x)[kept], low, high, color=drawn.get_color(), alpha=0.18, linewidth=0
    )


def intervals(ax: Axes, runs: dict[str, np.ndarray], colors: dict[str, Any]) -> None:
    """One row for each of `runs`, from the top: mean over seeds and 95 % interval; a line at 0."""
    for y, (name, values) in enumerate(runs.items()):
        half = half_interval(values)
        ax.errorbar(np.mean(values), -y, xerr=half, fmt="o", color=colors[name], capsize=4)
    ax.axvline(0, color="0.6", linewidth=1)
    ax.set_yticks([-y for y in range(len(runs))], list(runs))


def shades(n: int) -> list[tuple[float, float, float, float]]:
    """`n` colours from dark to light, for an ordered quantity such as the rate or the batch."""
    n = _checks.integer("shades", "n", n, minimum=1)
    return [plt.get_cmap("viridis")(x) for x in np.linspace(0.0, 0.7, n)]


def loss_and_rate(
    result: SweepResult,
    runs: dict[str, tuple[str, int, dict[str, Any]]],
    *,
    width: int = 1,
    height: float = 4.8,
) -> tuple[Axes, Axes]:
    """Training loss over the steps (median and band over seeds), the applied rates underneath.

    `runs` maps the name of a curve to (schedule, index of its peak, keywords for ``Axes.plot``);
    `width` is the smoothing window in steps. Returns the two axes.
    """
    _, (top, bottom) = plt.subplots(2, 1, sharex=True, height_ratios=(3, 1), figsize=(7.6, height))
    steps = np.arange(result.train_loss.shape[-1])
    for name, (schedule, peak, line) in runs.items():
        i = result.schedules.index(schedule)
        band(top, steps, smooth(result.train_loss[i, peak], width), label=name, **line)
        bottom.plot(steps, result.lr[i, peak, 0], **line)
    top.set(ylabel="training loss (nats)")
    bottom.set(xlabel="step", ylabel="applied rate")
    return top, bottom


def valley(ax: Axes, rates: np.ndarray, values: np.ndarray, name: str = "", **line: Any) -> None:
    """Draw `values`, (rates, seeds), over the learning rate; mark and name the lowest point.

    Median and 10th to 90th percentile over seeds; the triangle marks the lowest median.
    """
    band(ax, rates, np.asarray(values).T, marker="o", markersize=3.5, **line)
    medians = np.median(values, axis=-1)  # NaN where a run diverged
    best = int(np.nanargmin(medians))
    point = rates[best], medians[best]
    color = ax.lines[-1].get_color()
    ax.plot(*point, "v", color=color, markersize=11)
    ax.annotate(
        f"{name}best at {rates[best]:.2g}",
        point,
        xytext=(0, -20),
        textcoords="offset points",
        ha="center",
        color=color,
    )
    ax.set(xscale="log", xlabel="learning rate")


def guessing(ax: Axes, classes: int, name: str = "guessing") -> None:
    """A dotted line at the loss, in nats, of giving every class the same probability."""
    classes = _checks.integer("guessing", "classes", classes, minimum=2)
    ax.axhline(np.log(classes), color="0.6", linewidth=1, linestyle=":")
    ax.annotate(
        name,
        (0.01, np.log(classes)),
        xycoords=("axes fraction", "data"),
        xytext=(0, 3),
        textcoords="offset points",
        color="0.4",
        fontsize=9,
    )


def name_line(ax: Axes, x: float, y: float, text: str, **kwargs: Any) -> None:
    """Write a line's name beside it, at (x, y) in data coordinates."""
    kwargs = {"fontsize": 9.5, "va": "center", "ha": "left", **kwargs}
    ax.annotate(text, (x, y), xytext=(4, 0), textcoords="offset points", **kwargs)


def name_ends(ax: Axes, x: float, ends: dict[str, tuple[float, str]], gap: float = 12) -> None:
    """Write names behind the ends of lines at `x`, pushed apart where they would overlap.

    `ends` maps a name to (y in data coordinates, colour); `gap` is the least distance in points.
    Call it after the limits and scales of the axes are set.
    """
    scale = ax.figure.dpi / 72
    true = {name: ax.transData.transform((x, y))[1] / scale for name, (y, _) in ends.items()}
    names = sorted(true, key=true.__getitem__)
    placed = np.array([true[name] for name in names], dtype=np.float64)
    for _ in range(200):  # neighbours that are too close move apart by the same amount
        lack = np.clip(gap - np.diff(placed), 0, None)
        if lack.max(initial=0) < 0.01:
            break
        placed[:-1] -= lack / 2
        placed[1:] += lack / 2
    for name, height in zip(names, placed, strict=True):
        y, color = ends[name]
        ax.annotate(
            name,
            (x, y),
            xytext=(6, height - true[name]),
            textcoords="offset points",
            color=color,
            fontsize=9.5,
            va="center",
        )


def smooth(values: np.ndarray, width: int) -> np.ndarray:
    """Mean over a centred window of `width` steps along the last axis; the ends use what is there.

    The length stays the same, and nothing is shifted in time.
    """
    width = _checks.integer("smooth", "width", width, minimum=1)
    given, values = values, _numbers("smooth", "values", values)
    if values.ndim == 0 or values.size == 0:
        raise ValueError(f"smooth: values must not be empty or a single number, got {given!r}")
    kernel = np.ones(width)
    n, first = values.shape[-1], (width - 1) // 2

    def total(row: np.ndarray) -> np.ndarray:  # "same" would give max(n, width) entries
        return np.convolve(row, kernel)[first : first + n]

    return np.apply_along_axis(total, -1, values) / total(np.ones(n))
