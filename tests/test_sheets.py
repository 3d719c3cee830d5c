"""The form of a sheet of exercises: each slip is noticed, and only a slip."""

import dataclasses

import nbformat
import numpy as np
import pytest
import sheets

from lrlib import MultiStepDecay
from lrlib.exercises.lr_finder import problems
from lrlib.lab import NoisyQuadratic, seeds

LOCKED = {"grade": False, "locked": True, "solution": False}
ANSWER = """**Model answer.** Since it was late.

**Rubric.**

- 1 point: it
  was late
- 0 points: it rained"""


def markdown(name, text, **about):
    metadata = {"nbgrader": {"grade_id": name, **LOCKED, **about}}
    return nbformat.v4.new_markdown_cell(text, metadata=metadata)


def answer(name, text=ANSWER, points=1, **about):
    return markdown(name, text, grade=True, locked=False, solution=True, points=points, **about)


def sheet(**changed):
    """Two exercises, four points; `changed` replaces cells by their names."""
    test = {"nbgrader": {**LOCKED, "grade_id": "b", "grade": True, "points": 3}}
    cells = {
        "title": markdown(
            "title", "Two exercises, 4 points. Core: exercise 1, 40\nminutes; all: 60 minutes."
        ),
        "one": markdown("a-text", "## 1. A loop (core, 1 point, 40 minutes)\n\nA text."),
        "question": markdown("a-question", "**Question** (1 point). Why?"),
        "answer": answer("a-answer"),
        "two": markdown("b-text", "## 2. Free (3 points, 20 minutes, open-ended)"),
        "test": nbformat.v4.new_code_cell("check(b)", metadata=test),
    }
    return nbformat.v4.new_notebook(cells=[*(cells | changed).values()])


def test_a_sheet_of_the_form_has_no_faults():
    assert list(sheets.faults(sheet())) == []
    assert sheets.minutes(sheet()) == (40, 60)


def test_a_sheet_that_states_no_minutes_has_none():
    assert sheets.minutes(sheet(title=markdown("title", "# Exercises"))) is None
    assert sheets.minutes(nbformat.v4.new_notebook(cells=[markdown("title", "# A")])) is None


def test_a_rubric_is_read():
    rubric = sheets.read_rubric(ANSWER)
    assert rubric.model == "Since it was late."
    assert rubric.items == [(1, "it was late"), (0, "it rained")]


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"title": markdown("title", "# Exercises")}, "the title cell does not say: Two exerc"),
        (
            {"test": markdown("b", "", grade=True, points=2)},
            "exercise 2 states 3 points and gives 2",
        ),
        ({"answer": answer("a-answer", points=2)}, "the rubric of 'a-answer' gives 1 points"),
        ({"answer": answer("a-answer", "Because.")}, "has no model answer with a rubric"),
        ({"answer": answer("a-answer", ANSWER.replace("1 point:", "One."))}, "a line in its rub"),
        ({"answer": answer("a-why")}, "not a manually graded answer in Markdown named"),
        ({"answer": markdown("a-answer", "What would you write?")}, "no open question has"),
        ({"question": markdown("why", "**Question** (1 point).")}, "before 'a-answer' there is no"),
        ({"question": markdown("a-question", "(1 point)", locked=False)}, "no locked text"),
        ({"question": markdown("a-question", "**Question.** Why?")}, "does not state its points"),
    ],
)
def test_each_slip_is_noticed(changed, fault):
    assert fault in "\n".join(sheets.faults(sheet(**changed)))


@pytest.mark.parametrize(
    ("heading", "fault"),
    [
        ("## 1. A loop (1 point)", "is not as '## 1. A title (core, 2 points, 8 minutes)'"),
        ("## 1. A loop (core, 1 point, 51 minutes)", "the core takes 51 minutes; 35 to 50"),
        ("## 1. A loop (core, 1 point, 34 minutes)", "the core takes 34 minutes; 35 to 50"),
        ("## 3. A loop (core, 1 point, 40 minutes)", "the exercises are numbered [3, 2]"),
        ("## 1. A loop (core, 1 point, 41 minutes)", "the title cell does not say"),
    ],
)
def test_each_slip_of_a_heading_is_noticed(heading, fault):
    assert fault in "\n".join(sheets.faults(sheet(one=markdown("a-text", heading))))


@pytest.mark.parametrize(
    ("milestones", "gamma"), [([110, 230], 1 / 3), ([150, 250], 1 / 3), ([100, 240], 0.25)]
)
def test_what_exercise_4_of_chapter_2_asks_about_is_so(milestones, gamma):
    """Tenths at the steps of two good drops: 1.45 and more, with more noise left."""
    noisy = NoisyQuadratic()
    silent = dataclasses.replace(noisy, batch_size=10**12)

    def score_and_noise(shape):
        peak, loss = noisy.tune(shape, 300)
        distance = silent.loss(peak * shape.sample(300))[-1]
        return np.array([loss, loss - distance]) / noisy.optimal(300).loss

    good = score_and_noise(MultiStepDecay(milestones, gamma))
    tenths = score_and_noise(MultiStepDecay(milestones, 0.1))
    assert good[0] < 1.125 and tenths[0] > 1.45
    assert tenths[1] > 1.1 * good[1]


@pytest.mark.parametrize("chosen", [seeds(12, "tune"), range(100, 124)], ids=["tuning", "others"])
def test_what_exercise_5_of_chapter_9_asks_about_is_so(chosen):
    """Where a test of 100 or 1,000 updates is lowest; the best peak for 400 and 4,000 steps."""
    off = {100: [], 1000: []}
    longer = []
    for seed, problem in enumerate(problems(chosen)):
        quadratic = problem.quadratic
        for updates, found in off.items():
            rates = problem.rates[0] * np.geomspace(1, 1e6, updates)
            with np.errstate(all="ignore"):
                losses = quadratic.sample(rates, 1, seed, 0.9)[0]
            end = np.argmax(losses[1:] > 4 * losses[0]) + 1
            found.append(rates[losses[1 : end + 1].argmin()] / problem.best)
        peaks = problem.best * np.geomspace(0.05, 1, 41)
        finals = quadratic.loss(peaks[:, None] * (1 - np.arange(4000) / 4000), 0.9)[:, -1]
        longer.append(peaks[finals.argmin()] / problem.best)
    assert np.median(off[1000]) / np.median(off[100]) == pytest.approx(1 / 3, rel=0.1)
    assert np.median(longer) == pytest.approx(1 / 7, rel=0.1)
    growth = [1e6 ** (1 / 99), 1e6 ** (10 / 99), 1e6 ** (1 / 999), 1e6 ** (10 / 999)]
    assert growth == pytest.approx([1.15, 4, 1.014, 1.15], rel=0.01)
