"""nbgrader's way to execute a notebook, made to survive what students' code does to its kernel.

A cell that ends its kernel, or that cannot be interrupted, costs its own points and no others:
a new kernel repeats the cells before it, without the tests and without the cells that were
stopped, and goes on behind it. What was stopped has an error output with one of the names below.
"""

from __future__ import annotations

from time import monotonic

from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbgrader.preprocessors import Execute
from nbgrader.utils import is_grade
from traitlets import Integer

DIED, TOO_LONG, NOT_RUN = "KernelDied", "CellTimeoutError", "CellNotRun"
STOPS = {
    DIED: "ended its kernel",
    TOO_LONG: "ran for too long and was stopped",
    NOT_RUN: "was not run, as the cells before it had used up the notebook's time",
}
LEFT_OUT = "\n... The rest of the output was left out. ...\n"

# In JupyterLab, exit() ends the kernel. Here it ends its cell, as sys.exit() does.
STAY = (
    "get_ipython().ask_exit = lambda: "
    "(_ for _ in ()).throw(SystemExit('exit() or quit() was called: this cell ends here'))"
)


def was_stopped(cell: NotebookNode) -> bool:
    return any(output.get("ename") in STOPS for output in cell.outputs)


class SturdyExecute(Execute):
    """nbgrader's `Execute` that goes on after a lost kernel, and bounds time and output."""

    notebook_timeout = Integer(600, help="seconds after which no further cell starts").tag(
        config=True
    )
    max_output = Integer(1_000_000, help="characters of output kept of one cell").tag(config=True)

    def preprocess(self, nb, resources, km=None):
        self.deadline = monotonic() + self.notebook_timeout
        self.stopped: set[int] = set()
        self.printed: dict[int, int] = {}
        return super().preprocess(nb, resources, km)

    def preprocess_cell(self, cell, resources, index):
        if cell.cell_type != "code" or not cell.source.strip():
            return cell, resources
        if monotonic() > self.deadline:
            self.mark(cell, index, NOT_RUN)
            return cell, resources
        try:
            cell, resources = super().preprocess_cell(cell, resources, index)
        except (DeadKernelError, CellTimeoutError) as error:
            self.mark(cell, index, DIED if isinstance(error, DeadKernelError) else TOO_LONG)
            self.start_again(index)
        else:
            if was_stopped(cell):
                self.stopped.add(index)  # it could be interrupted: the kernel is still good
        return cell, resources

    def mark(self, cell: NotebookNode, index: int, name: str) -> None:
        """Give the cell an error output that says why it has no result."""
        self.stopped.add(index)
        said = f"this cell {STOPS[name]}"
        error = {"output_type": "error", "ename": name, "evalue": said}
        cell.outputs.append(NotebookNode(error, traceback=[f"{name}: {said}"]))

    def start_again(self, end: int) -> None:
        """A new kernel, in the state that the cells before `end` leave behind."""
        while not self.repeat(end):
            pass

    def repeat(self, end: int) -> bool:
        """Run the cells before `end` in a new kernel; whether it lived through them."""
        self.new_kernel()
        for index, cell in enumerate(self.nb.cells[:end]):
            skipped = cell.cell_type != "code" or is_grade(cell) or index in self.stopped
            if skipped or monotonic() > self.deadline:
                continue
            again = NotebookNode(cell, outputs=[])
            try:
                self.execute_cell(again, index)
            except (DeadKernelError, CellTimeoutError):
                self.stopped.add(index)
                return False
            finally:
                self.nb.cells[index] = cell  # with the outputs of the first time
            if was_stopped(again):
                self.stopped.add(index)
        return True

    def new_kernel(self) -> None:
        self._cleanup_kernel()
        self.km = self.create_kernel_manager()
        self.start_new_kernel()
        self.start_new_kernel_client()
        self.wait_for_reply(self.kc.kernel_info())

    def process_message(self, msg, cell, cell_index):
        """Keep no more than `max_output` of a cell, and let a warning cost no points."""
        content, kind = msg["content"], msg["msg_type"]
        if kind == "stream" and is_grade(cell):
            # nbgrader gives no points to a test that writes to stderr, as a warning does.
            content["name"] = "stdout"
        if kind in ("stream", "display_data", "execute_result", "update_display_data"):
            size = len(str(content.get("text") or content.get("data")))
            before = self.printed.get(cell_index, 0)
            self.printed[cell_index] = before + size
            if before + size > self.max_output:
                if before > self.max_output:
                    return None
                room = max(0, self.max_output - before) if kind == "stream" else 0
                text = str(content.get("text", ""))[:room] + LEFT_OUT
                msg = dict(msg, msg_type="stream", content={"name": "stdout", "text": text})
                msg["header"] = dict(msg["header"], msg_type="stream")
        return super().process_message(msg, cell, cell_index)
