"""A progress line that disappears: nothing of it stays in a saved notebook."""

from __future__ import annotations

import os
import sys
import time


class Progress:
    """Shows share and remaining time of a long loop; silent for the first two seconds.

    In a notebook it is one output that is emptied at the end; in a terminal, one line that is
    erased; elsewhere, or with LRLIB_PROGRESS=0, nothing.
    """

    def __init__(self, total: int, label: str, show: bool = True) -> None:
        self.total, self.label, self.started = total, label, time.monotonic()
        self.next, self.handle, self.drawn = self.started + 2.0, None, False
        self.where = None
        if show and os.environ.get("LRLIB_PROGRESS", "1") != "0":
            if "ipykernel" in sys.modules:
                self.where = "notebook"
            elif sys.stderr.isatty():
                self.where = "terminal"

    def update(self, done: int) -> None:
        if self.where is None or time.monotonic() < self.next:
            return
        elapsed = time.monotonic() - self.started
        left = elapsed * (self.total - done) / max(done, 1)
        self._write(f"{self.label}: {done / self.total:4.0%}, about {left:.0f} s left")
        self.next, self.drawn = time.monotonic() + 0.5, True

    def close(self) -> None:
        if self.drawn:
            self._write("")

    def _write(self, text: str) -> None:
        if self.where == "terminal":
            print(f"\r\x1b[2K{text}", end="", file=sys.stderr, flush=True)
            return
        from IPython.display import display

        if self.handle is None:
            self.handle = display({"text/plain": text}, raw=True, display_id=True)
        else:
            self.handle.update({"text/plain": text} if text else {}, raw=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
