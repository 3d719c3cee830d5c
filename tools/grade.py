"""Grade a folder of submissions, student by student, whatever is in them.

    python tools/grade.py 02_step_decay --from submitted --roster class.csv

The folder holds STUDENT/02_step_decay/*.ipynb, as nbgrader collects them, or one file, zip
archive or folder for each student, as an LMS gives them (its zip archive will do). Each student is
graded by nbgrader in a process of its own. grading/02_step_decay/ then has grades.csv,
report.html, feedback/ and logs/; nbgrader's gradebook is grading/nbgrader/gradebook.db. Answers to
open questions are in marking/, and wait for points in marks.csv. Run again, it reads these and
grades what has changed since; grades given by hand stay.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path

import psutil
from grade_collect import Submission, collect, read_roster, unpacked
from grade_marks import Marking, enter_marks
from grade_mend import Note
from grade_report import Row, grades_csv, not_graded_html, report_html, short, summary
from grade_student import FAILED, GRADED, IN_PART, NOTHING, Job, Result, database
from nbgrader.api import Grade, Gradebook, MissingEntry
from notebooks import Fault, grader, notebook_environment, write_whole

ROOT = Path(__file__).resolve().parent.parent
MARK = "LRLIB_GRADING"  # in the environment of every process that grades


class Grading:
    """One sheet's folders and settings."""

    def __init__(self, root: Path, out: Path, sheet: str, timeout: int) -> None:
        self.root, self.sheet, self.timeout = root, sheet, timeout
        self.course, self.out = out / "nbgrader", out / sheet
        self.source = root / "chapters" / "solutions" / sheet
        for folder in (self.course, *(self.out / name for name in ("results", "logs", "feedback"))):
            folder.mkdir(parents=True, exist_ok=True)

    def prepare(self) -> dict[str, float]:
        """Tell nbgrader of the sheet; returns the points of each graded cell, in their order."""
        copied = self.course / "chapters" / "solutions" / self.sheet
        shutil.rmtree(copied, ignore_errors=True)
        shutil.copytree(self.source, copied, ignore=shutil.ignore_patterns(".*", "*.py"))
        config = (self.root / "nbgrader_config.py").read_text(encoding="utf-8")
        write_whole(self.course / "nbgrader_config.py", config)  # for nbgrader's own commands
        api = grader(self.root, self.course)
        api.coursedir.db_url = database(self.course)
        with notebook_environment():
            outcome = api.generate_assignment(self.sheet)
        # Students' code that walks up from its folder shall not find the answers here.
        shutil.rmtree(copied)
        copied.mkdir()
        if not outcome["success"]:
            raise Fault(f"{self.sheet}: nbgrader failed:\n{outcome['log']}{outcome.get('error')}")
        with Gradebook(database(self.course), "lrlib") as gradebook:
            notebooks = gradebook.find_assignment(self.sheet).notebooks
            many = len(notebooks) > 1
            return {
                (f"{notebook.name}/" if many else "") + cell.name: cell.max_score
                for notebook in sorted(notebooks, key=lambda notebook: notebook.name)
                for cell in in_source_order(notebook)
            }

    def fingerprint(self, submission: Submission) -> str:
        """Changes with what was handed in, and with everything that grades it."""
        digest = hashlib.sha256(f"{self.timeout} {submission.named_by_student}".encode())
        code = [*self.source.rglob("*.ipynb"), *(self.root / "lrlib").rglob("*.py")]
        code += Path(__file__).parent.glob("grade*.py")
        for path in [*sorted(code), *sorted(submission.files)]:
            digest.update(f"\n{path.name} ".encode("utf-8", "replace"))
            try:
                with open(path, "rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
            except OSError as error:  # it is reported when the student is graded
                digest.update(str(error).encode("utf-8", "replace"))
        return digest.hexdigest()

    def result_path(self, submission: Submission) -> Path:
        return self.out / "results" / f"{submission.key}.json"

    def earlier(self, submission: Submission) -> Result | None:
        """What an earlier run found, if nothing has changed since."""
        try:
            kept = json.loads(self.result_path(submission).read_text(encoding="utf-8"))
            if kept["fingerprint"] == self.fingerprint(submission):
                return as_result(kept["result"])
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return None

    def grade(self, submission: Submission) -> Result:
        """Grade one student in a process of its own; whatever happens, there is a result."""
        before = self.fingerprint(submission)
        handed_back = self.out / "results" / f"{submission.key}.new"
        handed_back.unlink(missing_ok=True)
        job = Job(
            root=str(self.root),
            course=str(self.course),
            sheet=self.sheet,
            student=submission.key,
            files=[str(path) for path in submission.files],
            named_by_student=submission.named_by_student,
            timeout=self.timeout,
            result=str(handed_back),
        )
        # Ten cells' time for the notebook, one for the cell that runs then, and the start.
        why = run_apart(job, self.out / "logs" / f"{submission.key}.txt", 11 * self.timeout + 300)
        try:
            result = as_result(json.loads(handed_back.read_text(encoding="utf-8")))
            handed_back.unlink()
        except (OSError, ValueError, KeyError, TypeError):
            result = Result(FAILED, [Note(why or "the grader wrote no result (see the log)", True)])
            result.feedback = self.keep_feedback(submission, result)
            self.result_path(submission).unlink(missing_ok=True)  # so it is tried again next time
            return result
        result.feedback = self.keep_feedback(submission, result)
        kept = {"fingerprint": before, "result": asdict(result)}
        write_whole(self.result_path(submission), json.dumps(kept, ensure_ascii=False))
        return result

    def keep_feedback(self, submission: Submission, result: Result) -> list[str]:
        """Put the student's pages where the report links to; returns their names."""
        pages = [Path(page) for page in result.feedback]
        names = [
            f"{submission.key}.html" if len(pages) == 1 else f"{submission.key}-{page.stem}.html"
            for page in pages
        ]
        for page, name in zip(pages, names, strict=True):
            write_whole(self.out / "feedback" / name, page.read_text(encoding="utf-8"))
        if result.status == FAILED:
            row = Row(submission.student, submission.name, result.status, result.notes)
            names = [f"{submission.key}.html"]
            write_whole(self.out / "feedback" / names[0], not_graded_html(self.sheet, row))
        return names

    def mark(self, submissions: list[Submission], results: dict[str, Result]) -> Marking:
        """Enter the points of marks.csv; students with new ones get new feedback."""
        graded = {key for key, result in results.items() if result.status in (GRADED, IN_PART)}
        db = database(self.course)
        try:
            marking = enter_marks(self.course, self.out, self.source, db, submissions, graded)
        except (Fault, OSError) as fault:
            return Marking(faults=[str(fault)])
        api = grader(self.root, self.course)
        api.coursedir.db_url = db
        for submission in submissions:
            if submission.key in marking.changed:
                result = results[submission.key]
                outcome = api.generate_feedback(self.sheet, submission.key)
                pages = self.course / "feedback" / submission.key / self.sheet
                result.feedback = [str(path) for path in sorted(pages.glob("*.html"))]
                result.feedback = self.keep_feedback(submission, result)
                if not outcome["success"]:
                    marking.faults.append(f"{submission.student}: no new feedback could be made")
        return marking

    def row(self, submission: Submission, result: Result, marking: Marking) -> Row:
        """The student's line, with the points as the gradebook has them now."""
        row = Row(
            submission.student,
            submission.name,
            result.status,
            [*submission.notes, *result.notes],
            feedback=[f"feedback/{name}" for name in result.feedback],
        )
        if result.status not in (GRADED, IN_PART):
            return row
        with Gradebook(database(self.course), "lrlib") as gradebook:
            try:
                notebooks = gradebook.find_submission(self.sheet, submission.key).notebooks
            except MissingEntry:
                row.status = FAILED
                row.notes.append(
                    Note("the gradebook has lost this student; grade with --all", True)
                )
                return row
            unearned = []
            for notebook in notebooks:
                prefix = f"{notebook.name}/" if len(notebooks) > 1 else ""
                for mark in notebook.grades:
                    self.add_mark(row, prefix + mark.name, mark, marking)
                    untouched = f"{notebook.name}/{short(mark.name)}" in result.untouched
                    if untouched and mark.auto_score and mark.manual_score is None:
                        unearned.append(prefix + short(mark.name))
        if unearned:
            row.notes.append(points_without_answer(unearned))
        return row

    def add_mark(self, row: Row, name: str, mark: Grade, marking: Marking) -> None:
        """Add one cell's points to the student's line, with what is to be said of them."""
        if mark.manual_score is None and mark.auto_score is None:
            row.notes.append(Note(f"'{name}' waits for its mark"))
            return
        row.points[name] = mark.score
        if name in marking.again.get(row.student, []):
            said = f"'{name}' was marked {mark.score:g} and has been answered again since"
            row.notes.append(Note(said, True))
        elif mark.manual_score is not None and name not in marking.entered.get(row.student, []):
            row.notes.append(Note(f"'{name}' was graded by hand"))


def points_without_answer(names: list[str]) -> Note:
    """A starter earns nothing: other code of the student's has answered, or fooled the test."""
    listed = ", ".join(f"'{name}'" for name in names)
    one = len(names) == 1
    return Note(
        f"{listed} {'is' if one else 'are'} as handed out, and yet the "
        f"test{'' if one else 's'} gave points: look at the other cells",
        True,
    )


def in_source_order(notebook) -> list:
    order = [cell.name for cell in notebook.source_cells]
    return sorted(notebook.grade_cells, key=lambda cell: order.index(cell.name))


def as_result(found: dict) -> Result:
    notes = [Note(*note) for note in found["notes"]]
    return Result(found["status"], notes, found["feedback"], found["untouched"])


# --------------------------------------------------------------------------------------
# Processes


def run_apart(job: Job, log: Path, limit: float) -> str:
    """Run one student's process to its end; returns what went wrong with it, or nothing."""
    mark = uuid.uuid4().hex
    job_file = Path(job.result).with_suffix(".job")
    write_whole(job_file, json.dumps(asdict(job)))
    environment = {"OMP_NUM_THREADS": "1"} | dict(os.environ) | {MARK: f"{os.getpid()} {mark}"}
    command = [sys.executable, str(Path(__file__).with_name("grade_student.py")), str(job_file)]
    with open(log, "w", encoding="utf-8") as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    try:
        status = process.wait(limit)
    except subprocess.TimeoutExpired:
        status = None
    end_marked(mark)
    process.wait()
    job_file.unlink(missing_ok=True)
    if status is None:
        return f"it was not finished after {limit / 60:.0f} minutes"
    if status < 0:
        return f"the grading process was ended (signal {-status}), perhaps by the student's code"
    return f"the grading process failed (exit status {status}; see the log)" if status else ""


def end_marked(mark: str) -> None:
    """End every process that grading a student has started and left behind."""
    for process in psutil.process_iter():
        try:
            if mark in process.environ().get(MARK, "").split():
                process.kill()
        except (psutil.Error, OSError):
            continue


def grade_all(
    grading: Grading, submissions: list[Submission], jobs: int, every: bool
) -> dict[str, Result]:
    """Grade what has changed, `jobs` students at a time, and say so; returns the results by key."""
    results: dict[str, Result] = {}
    todo = []
    for submission in submissions:
        kept = None if every else grading.earlier(submission)
        if not submission.files:
            results[submission.key] = Result(NOTHING)
        elif kept:
            results[submission.key] = kept
        else:
            todo.append(submission)
    if len(todo) < len(submissions):
        print(f"{len(todo)} of {len(submissions)} students to grade.", flush=True)
    pool = ThreadPoolExecutor(jobs)
    try:
        running = {pool.submit(grading.grade, submission): submission for submission in todo}
        for number, future in enumerate(as_completed(running), start=1):
            submission, result = running[future], future.result()
            results[submission.key] = result
            print(f"{number}/{len(todo)} {submission.student}: {result.status}", flush=True)
    except KeyboardInterrupt:
        print("Stopped; run again, it goes on where it was.", file=sys.stderr)
        pool.shutdown(wait=False, cancel_futures=True)
        end_marked(str(os.getpid()))
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    return results


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sheet", help="such as 02_step_decay")
    parser.add_argument(
        "--from", dest="folder", type=Path, default=Path("submitted"), help="folder or zip archive"
    )
    parser.add_argument("--roster", type=Path, help="the class: an id a line, or CSV: id, name")
    parser.add_argument("--out", type=Path, default=Path("grading"), help="where the results go")
    parser.add_argument("--jobs", type=int, default=2, help="students at a time")
    parser.add_argument("--cell-timeout", type=int, default=60, help="seconds for one cell")
    parser.add_argument("--all", action="store_true", help="grade those again that did not change")
    parser.add_argument("--root", type=Path, default=ROOT, help="the folder with chapters/")
    options = parser.parse_args(arguments)
    try:
        known = sorted(path.name for path in (options.root / "chapters/solutions").glob("*/"))
        if options.sheet not in known:
            raise Fault(f"no sheet is named {options.sheet!r}; there are {', '.join(known)}")
        options.folder = options.folder.expanduser()
        if not options.folder.exists():
            raise Fault(
                f"there is no file or folder {options.folder}; what was handed in is where?"
            )
        roster = read_roster(options.roster) if options.roster else {}
        grading = Grading(
            options.root.resolve(), options.out.resolve(), options.sheet, options.cell_timeout
        )
        folder = unpacked(options.folder.resolve(), options.out.resolve() / "unpacked")
        names = [path.stem for path in grading.source.glob("*.ipynb")]
        submissions = collect(folder, options.sheet, known, names, roster)
        if not submissions:
            raise Fault(f"{options.folder} holds nothing that was handed in for {options.sheet}")
        best = grading.prepare()
    except (Fault, ValueError, OSError) as fault:
        print(fault, file=sys.stderr)
        return 1
    try:
        results = grade_all(grading, submissions, options.jobs, options.all)
    except KeyboardInterrupt:
        return 130
    marking = grading.mark(submissions, results)
    rows = [grading.row(one, results[one.key], marking) for one in submissions]
    said = marking.to_mark, marking.faults
    write_whole(grading.out / "grades.csv", grades_csv(rows, best))
    write_whole(grading.out / "report.html", report_html(options.sheet, rows, best, *said))
    print(f"\n{summary(rows, *said)}\n\n{grading.out}/ has grades.csv, report.html and feedback/.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
