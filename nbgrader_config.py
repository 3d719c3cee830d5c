"""nbgrader's settings: how student versions are made, and how a class is graded.

`make grade` grades a class with them (tools/grade.py, which goes on where `nbgrader autograde`
would stop) and copies this file to grading/nbgrader/, beside the gradebook; nbgrader's own
commands work in that folder.
"""

c = get_config()  # noqa: F821  (nbgrader defines it)

c.CourseDirectory.course_id = "lrlib"
c.CourseDirectory.source_directory = "chapters/solutions"
c.CourseDirectory.release_directory = "chapters/exercises"

# The scripts beside the solutions hold the answers: they stay with the teacher.
c.CourseDirectory.ignore = [".ipynb_checkpoints", "__pycache__", "*.pyc", "*.py"]

# The student versions are in the repository already; make them again all the same, so
# that the gradebook learns of the assignment.
c.GenerateAssignment.force = True

# Seconds for one cell; those of the exercises take one to six.
c.Execute.timeout = 60
