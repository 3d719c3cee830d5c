"""marks.csv: what a teacher writes is entered, kept, and told of where it cannot be."""

import csv
import shutil
from types import SimpleNamespace

import grade_marks
import nbformat
import pytest
from grade_collect import Submission
from grade_marks import enter_marks, written
from nbgrader.api import Gradebook
from notebooks import Fault, notebook_environment, write_notebook

SHEET = "02_a"
MODEL = "**Model answer.** Late.\n\n**Rubric.**\n\n- 2 points: late"
LOCKED = {"grade": False, "solution": False, "locked": True}
OPEN = {"grade": True, "solution": True, "locked": False, "points": 2}
STUDENTS = ("anna", "Bob B", "carl")


def notebook(why, how, *beside):
    cells = [
        markdown("**Question** (2 points). Why?", LOCKED, "why-question"),
        markdown(why, OPEN, "why-answer"),
        markdown("**Question** (2 points). How?", LOCKED, "how-question"),
        *(nbformat.v4.new_markdown_cell(text) for text in beside),
        markdown(how, OPEN, "how-answer"),
    ]
    return nbformat.v4.new_notebook(cells=cells)


def markdown(text, about, name):
    metadata = {"nbgrader": {**about, "grade_id": name}}
    return nbformat.v4.new_markdown_cell(text, metadata=metadata)


class Class:
    """A class whose notebooks have been graded by nbgrader."""

    def __init__(self, folder):
        self.course, self.out = folder / "nbgrader", folder / SHEET
        self.source = folder / "solutions" / SHEET
        self.csv, self.db = self.out / "marks.csv", f"sqlite:///{folder}/gradebook.db"
        self.students = [Submission(name, key=name.replace(" ", "_")) for name in STUDENTS]

    def set_up(self):
        write_notebook(notebook(MODEL, MODEL), self.source / "exercises.ipynb")
        with notebook_environment(), Gradebook(self.db, "lrlib") as gradebook:
            gradebook.add_assignment(SHEET)
            gradebook.add_notebook("exercises", SHEET)
            for name in ("why-answer", "how-answer"):
                cell = {"max_score": 2, "cell_type": "markdown"}
                gradebook.add_grade_cell(name, "exercises", SHEET, **cell)
                gradebook.add_solution_cell(name, "exercises", SHEET)
            for student in self.students:
                gradebook.add_student(student.key)
                gradebook.add_submission(SHEET, student.key)
        self.hand_in("anna", "Since it was late.", "YOUR ANSWER HERE")
        self.hand_in("Bob B", "Rain", "By bus")
        self.hand_in("carl", "YOUR ANSWER HERE", " ")
        self.run()

    def hand_in(self, student, *texts):
        (key,) = [one.key for one in self.students if one.student == student]
        path = self.course / "autograded" / key / SHEET / "exercises.ipynb"
        write_notebook(notebook(*texts), path)

    def run(self):
        graded = {one.key for one in self.students}
        return enter_marks(self.course, self.out, self.source, self.db, self.students, graded)

    def rows(self):
        with open(self.csv, encoding="utf-8-sig", newline="") as file:
            return {(row["student"], row["question"]): row for row in csv.DictReader(file)}

    def give(self, student, question, **values):
        """Write into one line of marks.csv."""
        rows = self.rows()
        rows[student, question] |= values
        self.save([*rows.values()])

    def save(self, rows):
        with open(self.csv, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    def score(self, student, question):
        key = student.replace(" ", "_")
        with Gradebook(self.db, "lrlib") as gradebook:
            mark = gradebook.find_grade(question, "exercises", SHEET, key)
            comment = gradebook.find_comment(question, "exercises", SHEET, key)
            return SimpleNamespace(
                manual=mark.manual_score,
                auto=mark.auto_score,
                needed=mark.needs_manual_grade,
                remark=comment.manual_comment,
            )


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    folder = tmp_path_factory.mktemp("class")
    Class(folder).set_up()
    return folder


@pytest.fixture
def room(template, tmp_path):
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    return Class(tmp_path)


def test_every_answer_has_a_line_and_a_place_on_its_page(room):
    wanted = [("anna", "why-answer"), ("Bob B", "why-answer"), ("Bob B", "how-answer")]
    assert list(room.rows()) == wanted
    assert {row["points"] for row in room.rows().values()} == {""}
    marking = room.run()
    assert [(one.question, one.waiting, one.answers) for one in marking.to_mark] == [
        ("why-answer", 2, 2),
        ("how-answer", 1, 1),
    ]
    page = (room.out / "marking/why-answer.html").read_text(encoding="utf-8")
    for text in ("Why?", "2 points: late", "Since it was late.", "Bob B: waits", "points: carl"):
        assert text in page


def test_an_untouched_or_empty_answer_is_0_and_waits_for_nobody(room):
    for question in ("why-answer", "how-answer"):
        found = room.score("carl", question)
        assert (found.auto, found.manual, found.needed) == (0, None, False)
    assert room.score("anna", "why-answer").needed


def test_points_and_remarks_are_entered(room):
    room.give("anna", "why-answer", points="1,5", remark="Good; see chapter 2")
    marking = room.run()
    found = room.score("anna", "why-answer")
    assert (found.manual, found.remark, found.needed) == (1.5, "Good; see chapter 2", False)
    assert (marking.changed, marking.faults) == ({"anna"}, [])
    assert marking.entered == {"anna": ["why-answer"]}
    assert room.run().changed == set()  # nothing new, no new feedback


@pytest.mark.parametrize("points", ["3", "-1", "two", "nan", "1 2", "inf"])
def test_what_is_no_mark_is_told_by_line_and_stops_nothing_else(room, points):
    room.give("anna", "why-answer", points=points)
    room.give("Bob B", "how-answer", points="2")
    marking = room.run()
    fault = (
        f"marks.csv, line 2 (anna, why-answer): {points!r} is not a number of points from 0 to 2"
    )
    assert marking.faults == [fault]
    assert room.score("anna", "why-answer").needed
    assert room.score("Bob B", "how-answer").manual == 2
    assert room.rows()["anna", "why-answer"]["points"] == points


def test_lines_that_name_nobody_are_told_and_kept(room):
    with open(room.csv, "a", encoding="utf-8") as file:
        file.write("eve,,why-answer,2,1,,\n\nanna,,when,2,1,,\nANNA,,why-answer,2,1,,\n")
        file.write("anna,,how-answer,2,1,well, nearly,,\n")
    marking = room.run()
    assert marking.faults == [
        "marks.csv, line 5: no student is named 'eve'",
        "marks.csv, line 7: no question is named 'when'",
        "marks.csv, line 8: ANNA, why-answer is there twice; the first line counts",
        "marks.csv, line 9: more fields than columns; put a remark with a comma in quotes",
    ]
    text = room.csv.read_text(encoding="utf-8")
    assert "eve,,why-answer,2,1,," in text and "anna,,how-answer,2,1,well, nearly,," in text
    assert room.score("anna", "why-answer").manual is None


def test_a_mark_stays_when_the_student_answers_again_and_that_is_said_until_it_is_seen(room):
    room.give("Bob B", "why-answer", points="1", remark="Hm")
    room.run()
    room.hand_in("Bob B", "It was late", "By bus")
    for _ in range(2):
        marking = room.run()
        row = room.rows()["Bob B", "why-answer"]
        assert (row["points"], row["remark"], row["look"]) == ("1", "Hm", grade_marks.AGAIN)
        assert marking.again == {"Bob B": ["why-answer"]}
        assert room.score("Bob B", "why-answer").manual == 1
    page = (room.out / "marking/why-answer.html").read_text(encoding="utf-8")
    assert "1 of 2, and has answered again since" in page


@pytest.mark.parametrize("seen", [{"points": "2"}, {"look": ""}])
def test_other_points_or_an_emptied_look_say_that_it_was_seen(room, seen):
    room.give("Bob B", "why-answer", points="1")
    room.run()
    room.hand_in("Bob B", "It was late", "By bus")
    room.run()
    room.give("Bob B", "why-answer", **seen)
    assert room.run().again == {}
    assert room.rows()["Bob B", "why-answer"]["look"] == ""
    assert room.score("Bob B", "why-answer").manual == float(seen.get("points", 1))
    room.hand_in("Bob B", "It was late, again", "By bus")
    assert room.run().again == {"Bob B": ["why-answer"]}


def test_points_written_for_an_answer_that_changed_meanwhile_are_said_to_be_so(room):
    room.give("Bob B", "why-answer", points="1")
    room.hand_in("Bob B", "It was late", "By bus")
    assert room.run().again == {"Bob B": ["why-answer"]}


def test_a_mark_for_an_answer_that_is_gone_stays(room):
    room.give("Bob B", "why-answer", points="1")
    room.run()
    room.hand_in("Bob B", "YOUR ANSWER HERE", "By bus")
    assert room.run().again == {"Bob B": ["why-answer"]}
    assert room.score("Bob B", "why-answer").manual == 1


def test_a_mark_can_be_taken_back(room):
    room.give("anna", "why-answer", points="1", remark="Hm")
    room.run()
    room.give("anna", "why-answer", points="", remark="")
    room.run()
    found = room.score("anna", "why-answer")
    assert (found.manual, found.remark, found.needed) == (None, None, True)


def test_a_deleted_line_and_a_deleted_file_come_back_with_their_marks(room):
    room.give("anna", "why-answer", points="1", remark="Hm")
    room.run()
    room.save([row for key, row in room.rows().items() if key[0] != "anna"])
    room.run()
    assert room.rows()["anna", "why-answer"]["points"] == "1"
    room.csv.unlink()
    room.run()
    row = room.rows()["anna", "why-answer"]
    assert (row["points"], row["remark"]) == ("1", "Hm")
    assert room.score("anna", "why-answer").manual == 1


def test_marks_do_not_depend_on_what_the_last_run_remembers(room):
    room.give("anna", "why-answer", points="1")
    room.run()
    (room.out / "results/.marks.json").write_text("[1", encoding="utf-8")
    marking = room.run()
    assert (marking.entered, marking.again) == ({"anna": ["why-answer"]}, {})
    assert room.score("anna", "why-answer").manual == 1


def test_points_of_the_gradebooks_own_stay_and_are_shown(room):
    with Gradebook(room.db, "lrlib") as gradebook:
        mark = gradebook.find_grade("why-answer", "exercises", SHEET, "anna")
        mark.manual_score = 2
        gradebook.db.commit()
    marking = room.run()
    assert room.score("anna", "why-answer").manual == 2
    assert room.rows()["anna", "why-answer"]["look"] == "2 in the gradebook"
    assert (marking.to_mark[0].waiting, marking.entered) == (1, {})


def test_a_file_as_a_spreadsheet_saves_it_is_read_and_keeps_its_form(room):
    lines = ["student;question;points;remark;mine", "anna;why-answer;2;für später;x"]
    room.csv.write_bytes("\r\n".join(lines).encode("cp1252"))
    room.run()
    found = room.score("anna", "why-answer")
    assert (found.manual, found.remark) == (2, "für später")
    text = room.csv.read_text(encoding="utf-8-sig")
    assert text.splitlines()[:2] == [f"{lines[0]};name;of;look", lines[1]]
    assert "Bob B;why-answer;" in text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("who,what\nanna,1\n", "no column points, question, student"),
        (
            'student,question,points,remark\nanna,why-answer,2,"good\nBob B,why-answer,1,\n',
            "line 2",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_left_as_it_is(room, text, why):
    room.csv.write_text(text, encoding="utf-8")
    with pytest.raises(Fault, match=f"was not read and not changed: .*{why}"):
        room.run()
    assert room.csv.read_text(encoding="utf-8") == text


def test_a_file_without_news_is_not_written(room):
    before = room.csv.stat().st_mtime_ns
    room.run()
    assert room.csv.stat().st_mtime_ns == before


def test_what_is_written_beside_the_answer_counts_as_answered():
    one = notebook("YOUR ANSWER HERE", "YOUR ANSWER HERE", "By bus,", "and on foot.")
    assert written(one, "how-answer") == "By bus,\n\nand on foot."
    assert written(one, "why-answer") == ""


def test_questions_of_a_sheet_with_two_notebooks_have_its_name(tmp_path):
    for name in ("a", "b"):
        write_notebook(notebook(MODEL, MODEL), tmp_path / f"{name}.ipynb")
    keys = [question.key for question in grade_marks.questions(tmp_path)]
    assert keys == ["a/why-answer", "a/how-answer", "b/why-answer", "b/how-answer"]
