"""The book's figure helpers: what is drawn, not how it looks."""

import base64
from html.parser import HTMLParser

import matplotlib as mpl
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbclient import NotebookClient
from scipy.stats import ttest_1samp

from lrlib import Constant
from lrlib.lab import digits_task, figures, sweep


@pytest.fixture
def ax():
    return plt.figure().add_subplot()


def test_every_schedule_has_a_look_of_its_own():
    looks = [(str(look["color"]), str(look["linestyle"])) for look in figures.SCHEDULES.values()]
    assert len(set(looks)) == len({color for color, _ in looks}) == len(looks)
    figures.look("cosine")["color"] = "pink"
    assert figures.look("cosine")["color"] != "pink"
    for name in figures.SCHEDULES:
        plt.plot([0, 1], [0, 1], **figures.look(name))


def test_the_style_sheet_applies():
    with mpl.rc_context():
        mpl.rcdefaults()
        before = dict(mpl.rcParams)
        figures.use_style()
        assert dict(mpl.rcParams) != before


# --- a figure and its text

ALT = 'Two lines: "a" < b & c; the first isn’t the lower one.'


def test_away_from_a_notebook_a_figure_is_shown_and_closed(monkeypatch):
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.gcf()))
    before, figure = plt.figure(), plt.figure()
    figures.show(ALT)
    assert shown == [figure] and plt.get_fignums() == [before.number]


class Images(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.found = []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def run_in_a_kernel(*cells):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    NotebookClient(notebook, kernel_name="python3").execute()
    return [cell.outputs for cell in notebook.cells]


def test_in_a_notebook_a_figure_is_an_image_with_its_text():
    first = f"""
import matplotlib.pyplot as plt
%matplotlib inline
from lrlib.lab import figures
plt.figure(figsize=(4, 2), dpi=100)
plt.plot([1, 2])
figures.show({ALT!r})
"""
    silent = "plt.switch_backend('agg'); plt.plot([1, 2]); figures.show('nobody looks')"
    after = "assert not plt.get_fignums()"
    (shown,), *nothing = run_in_a_kernel(first, after, silent, after)
    assert nothing == [[], [], []]  # nor is it shown a second time
    assert (shown.output_type, shown.data["text/plain"]) == ("display_data", f"Figure: {ALT}")
    ((tag, attributes),) = Images(shown.data["text/html"]).found
    assert (tag, attributes["alt"]) == ("img", ALT)
    kind, _, content = attributes["src"].partition(",")
    png = base64.b64decode(content, validate=True)
    assert kind == "data:image/png;base64" and png.startswith(b"\x89PNG")
    width = int.from_bytes(png[16:20])
    assert 500 < width < 700  # 400 pixels wide in the page, sharp on a fine screen
    assert "width: 400px" in attributes["style"] and "background: white" in attributes["style"]
    assert set(shown.data) == {"text/html", "text/plain"}


@pytest.mark.parametrize("alt", ["", "  \n", None, 3, b"text"])
def test_a_figure_without_a_text_is_refused_and_stays_open(alt):
    figure = plt.figure()
    with pytest.raises(TypeError, match="show: alt must be a text, got"):
        figures.show(alt)
    assert plt.gcf() is figure


def test_band_draws_the_median_and_the_percentiles(ax):
    x, runs = np.arange(5), np.random.default_rng(0).normal(size=(11, 5))
    figures.band(ax, x, runs, label="runs", color="red")
    (line,), (band,) = ax.lines, ax.collections
    assert (line.get_label(), line.get_color()) == ("runs", "red")
    assert line.get_ydata().tolist() == np.median(runs, axis=0).tolist()
    corners = band.get_paths()[0].vertices
    low, high = np.percentile(runs, (10, 90), axis=0)
    for i in x:
        heights = corners[corners[:, 0] == i, 1]
        assert (heights.min(), heights.max()) == pytest.approx((low[i], high[i]))


@pytest.mark.filterwarnings("error", "ignore::ResourceWarning")
def test_band_leaves_out_the_points_at_which_a_run_diverged(ax):
    runs = np.array([[1.0, 2.0, np.nan], [1.0, 4.0, 5.0]])
    figures.band(ax, [1, 2, 3], runs)
    assert ax.lines[0].get_xydata().tolist() == [[1, 1], [2, 3]]
    figures.band(ax, [1, 2, 3], runs * np.nan)
    assert len(ax.lines[1].get_xdata()) == 0


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=30), st.integers(1, 40))
def test_smooth_is_the_mean_over_a_centred_window(values, width):
    smoothed = figures.smooth(np.array([values, values]), width)
    expected = [
        np.mean(values[max(0, i - width // 2) : i + (width + 1) // 2]) for i in range(len(values))
    ]
    assert smoothed.shape == (2, len(values))
    assert smoothed[1] == pytest.approx(np.array(expected), abs=1e-9)


def test_name_line_writes_beside_the_point(ax):
    figures.name_line(ax, 1, 2, "cosine", color="red")
    (text,) = ax.texts
    assert (text.get_text(), text.xy, text.get_color()) == ("cosine", (1, 2), "red")


def test_name_ends_keeps_the_order_and_parts_what_would_overlap(ax):
    ax.set(ylim=(0, 1), xlim=(0, 1))
    ends = {"a": (0.5, "red"), "b": (0.501, "blue"), "c": (0.9, "green"), "d": (0.502, "k")}
    figures.name_ends(ax, 1.0, ends, gap=12)
    dpi = ax.figure.dpi
    heights = {}
    for text in ax.texts:
        (y, color), name = ends[text.get_text()], text.get_text()
        assert text.xy == (1.0, y) and text.get_color() == color
        points = ax.transData.transform(text.xy)[1] * 72 / dpi
        heights[name] = points + text.xyann[1]
    assert sorted(heights, key=heights.get) == ["a", "b", "d", "c"]
    assert np.diff(sorted(heights.values())).min() > 11.9
    c = next(text for text in ax.texts if text.get_text() == "c")
    assert c.xyann == (6, 0)  # what has room stays beside its line


def test_shades_run_from_dark_to_light():
    light = [0.3 * r + 0.6 * g + 0.1 * b for r, g, b, _ in figures.shades(6)]
    assert light == sorted(light) and len(set(light)) == 6


def test_loss_and_rate_draws_what_was_measured_and_applied():
    shape = Constant(1, 3).then(Constant(0.1))
    result = sweep(digits_task(), {"a": shape}, [0.1, 0.2], [0, 1, 2], steps=6)
    top, bottom = figures.loss_and_rate(result, {"drop": ("a", 1, {"color": "red"})})
    assert top.lines[0].get_ydata() == pytest.approx(np.median(result.train_loss[0, 1], axis=0))
    assert bottom.lines[0].get_ydata() == pytest.approx(0.2 * shape.sample(6))


def test_intervals_has_a_row_for_each_with_mean_and_interval(ax):
    runs = {"a": np.array([1.0, 2.0, 4.0]), "b": np.array([-1.0, 0.0, 1.5])}
    figures.intervals(ax, runs, {"a": "red", "b": "blue"})
    assert [text.get_text() for text in ax.get_yticklabels()] == ["a", "b"]
    for y, (bars, values) in enumerate(zip(ax.containers, runs.values(), strict=True)):
        interval = ttest_1samp(values, 0).confidence_interval()
        assert bars.lines[0].get_xydata()[0] == pytest.approx([values.mean(), -y])
        drawn = bars.lines[2][0].get_segments()[0][:, 0]
        assert drawn == pytest.approx([interval.low, interval.high])
