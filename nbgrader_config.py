"""Lets a teacher run nbgrader straight from this folder.

nbgrader generate_assignment 01_fixed_learning_rate
nbgrader autograde 01_fixed_learning_rate    (reads submitted/STUDENT/01_fixed_learning_rate/)
nbgrader export                              (writes the grades to grades.csv)
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

# Some exercises train small networks.
c.Execute.timeout = 600
