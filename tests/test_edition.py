"""The second edition's form: each limit is noticed when it is passed, and only then."""

import edition
import nbformat
import pytest

HIDDEN = {"jupyter": {"source_hidden": True}, "tags": ["hide-input"]}
TITLE = (
    "# 4 · A title\n\nThe path, down to *Depth*: 10 minutes. All: 40 minutes.\n"
    "The exercises: 45 minutes for the core (1 to 3), 75 minutes for all. You need chapter 1."
)
FIGURE = '<img alt="A line that falls." src="data:image/png;base64,AAAA">'


def markdown(text, **metadata):
    return nbformat.v4.new_markdown_cell(text, metadata=metadata)


def code(source="x = 1", html=None, png=None, metadata=None):
    data = {"text/html": html} if html else {"image/png": png} if png else {}
    outputs = [nbformat.v4.new_output("display_data", data)] if data else []
    return nbformat.v4.new_code_cell(source, outputs=outputs, metadata=metadata or {})


def chapter(path=(), depth=(), short="**In short.** Do this.", title=None):
    title = title or TITLE
    cells = [markdown(title), markdown(short), *path, markdown("## Depth"), *depth]
    return nbformat.v4.new_notebook(cells=[*cells, markdown("## Exercises")])


def test_a_chapter_within_the_limits_has_no_faults():
    folded = markdown("### A finding", **{edition.COLLAPSED: True})
    plots = [code("plt.show()", html=FIGURE, metadata=HIDDEN) for _ in range(6)]
    made = chapter(
        [markdown("word " * 800), *plots[:5]], [folded, markdown("word " * 5000), plots[5]]
    )
    assert list(edition.faults(made)) == []


def test_chapters_of_the_first_edition_are_left_alone():
    made = chapter(
        [code("plt.show()", png="AAAA") for _ in range(9)], short="**What you will see.** A fall."
    )
    assert list(edition.faults(made)) == []


@pytest.mark.parametrize(
    ("made", "fault"),
    [
        (chapter(short="**In short.** " + "word " * 89), "'In short' has 91 words; 90 at most"),
        (chapter([markdown("word " * 897)]), "the path has 901 words; 900 at most"),
        (chapter([code(html=FIGURE) for _ in range(6)]), "the path has 6 figures; 5 at most"),
        (chapter(title="# 4 · A title"), "does not state the minutes"),
        (chapter(depth=[markdown("### Open")]), "is not collapsed"),
        (chapter([code(png="AAAA")]), "a figure without alternative text"),
        (chapter(depth=[code(html='<img src="x">')]), "a figure without alternative text"),
        (chapter(depth=[code(html='<img alt=" " src="x">')]), "a figure without alternative text"),
        (chapter([code("plt.plot([1])")]), "its code is not folded"),
        (chapter([code("plt.plot([1])", metadata={"tags": ["hide-input"]})]), "is not folded"),
    ],
)
def test_each_limit_is_noticed(made, fault):
    faults = list(edition.faults(made))
    assert len(faults) == 1 and fault in faults[0]


def test_a_chapter_without_depth_is_noticed():
    made = chapter()
    made.cells = [cell for cell in made.cells if cell.source != "## Depth"]
    assert list(edition.faults(made)) == ["there is no heading '## Depth'"]


def test_words_are_those_that_a_reader_reads():
    assert edition.words("Take $\\eta_t = 3$ [the line](https://a.b/c-d), 1.5 points.") == 6
    assert edition.words("$$a\nb$$ one `T_max`") == 3
