"""Verdicts into nbgrader's gradebook, by nbgrader's own command, so that all that follows goes as usual.

`nbgrader autograde --no-execute` takes points from the outputs that a notebook has. So it gets notebooks made from the
release with the student's cells in them, and no outputs but the verdicts: an error where a check is not right. It never
sees what was submitted, and runs nothing. Late penalties, manual grades and comments are nbgrader's.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from sslcourse import files as disk
from sslcourse.cli import Refusal, files
from sslcourse.cli.grade import released, repair
from sslcourse.cli.grade.collect import Found
from sslcourse.cli.grade.plan import Graded, Plan, Verdict

BY_HAND = "A person decides: "


def must_be_ready(course: Path) -> None:
    """Raises Refusal where nbgrader or its course folder is missing."""
    try:
        import nbgrader  # noqa: F401
    except ImportError as error:
        raise Refusal("--nbgrader needs nbgrader; install it: pip install 'sslcourse[grading]'.") from error
    if not (course / "nbgrader_config.py").is_file():
        raise Refusal(f"{course} is no nbgrader course; make one: sslcourse release --nbgrader {course}.")
    if not (course / "gradebook.db").is_file():
        raise Refusal(f"{course} has no gradebook yet; run there first: nbgrader generate_assignment WEEK.")


def enter(root: Path, course: Path, plans: dict[str, Plan], found: list[Found], graded: list[Graded]) -> None:
    """Enter the verdicts of a class. Raises Refusal where nbgrader refuses; RESULTS are written by then."""
    by_student = {(one.student, one.week): one for one in graded if not one.refusal}
    for week in sorted({week for _, week in by_student}):
        _, handed = released.notebooks(root, week)
        with tempfile.TemporaryDirectory(prefix="sslcourse-gradebook-") as folder:
            for one in found:
                if one.week == week and (one.student, week) in by_student:
                    _write(Path(folder), plans[week], handed, one, by_student[one.student, week])
            _autograde(course, week, Path(folder))
        _mark(course, plans[week], [one for (_, of), one in by_student.items() if of == week])


def _write(folder: Path, plan: Plan, handed: NotebookNode, one: Found, graded: Graded) -> None:
    made = repair.notebook(plan, handed, one.submitted.cells, graded.task)
    for cell in made.cells:
        grading = cell.metadata.get("nbgrader", {})
        if cell.cell_type == "code" and grading.get("grade"):
            name = grading["grade_id"].removeprefix("check_")
            cell.outputs, cell.execution_count = [_output(graded.verdicts[name])], 1
    place = folder / repair.student_id(one.student) / plan.week
    disk.write(place / f"{plan.notebook}.ipynb", files.as_text(made).encode("utf-8", "replace"))
    repair.copy_stamp(one, place)


def _output(verdict: Verdict) -> NotebookNode:
    message = verdict.message.encode("utf-8", "replace").decode()
    if verdict.kind == "right":
        return nbformat.v4.new_output("stream", name="stdout", text=f"right. {message}\n")
    said = f"{BY_HAND * verdict.for_a_person}{message}"
    return nbformat.v4.new_output("error", ename=verdict.kind, evalue=said, traceback=said.split("\n"))


def _autograde(course: Path, week: str, submitted: Path) -> None:
    command = [sys.executable, "-m", "nbgrader", "autograde", week, "--no-execute", "--force"]
    command.append(f"--CourseDirectory.submitted_directory={submitted}")
    environment = os.environ | {"PYTHONWARNINGS": "ignore"}
    ended = subprocess.run(command, cwd=course, env=environment, capture_output=True, text=True, errors="replace")
    if ended.returncode:
        lines = [line.strip() for line in ended.stderr.splitlines() if "ERROR" in line or "Error" in line]
        raise Refusal(
            f"nbgrader did not take the points of {week} ({lines[-1] if lines else 'no reason given'}); if it "
            f"is new, run in {course}: nbgrader generate_assignment {week}. The results themselves are written."
        )


def _mark(course: Path, plan: Plan, graded: list[Graded]) -> None:
    """Exercises that a person has to look at wait for that in formgrader."""
    waiting = [(one.student, name) for one in graded for name, v in one.verdicts.items() if v.for_a_person]
    if not waiting:
        return
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{(course / 'gradebook.db').resolve()}") as book:
        for student, name in waiting:
            grade = book.find_grade(f"check_{name}", plan.notebook, plan.week, repair.student_id(student))
            grade.needs_manual_grade = grade.manual_score is None
        book.db.commit()
