"""Requests that take long, shown on stderr: a spinner, or a line at times."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ._console import begin_live, end_live, is_live, stderr
from ._output import escape, note
from ._progress import LINE_EVERY

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["Activity", "spinning"]

#: Seconds without an answer after which a spinner is shown.
_PATIENCE = 0.7


class Activity:
    """Shows the user which request takes long.

    It has the methods of a `submit.codabench.Observer`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._spinner: Progress | None = None

    def begin(self, doing: str) -> None:
        """A request is sent."""
        console = stderr()
        moves = console.is_terminal and not console.is_dumb_terminal
        show, after = (self._spin, _PATIENCE) if moves else (self._line, LINE_EVERY)
        self._timer = threading.Timer(after, show, [doing])
        self._timer.daemon = True
        self._timer.start()

    def end(self) -> None:
        """It was answered, or it failed."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if self._spinner is not None:
                end_live(self._spinner)
                self._spinner = None

    def retry(self, problem: str, seconds: float) -> None:
        """It failed and is sent again."""
        note(f"{problem}; trying again in {seconds:.0f} s")

    def _spin(self, doing: str) -> None:
        with self._lock:
            # The answer may have come while this thread waited for the lock.
            if self._timer is threading.current_thread() and not is_live():
                self._spinner = _spinner(f"waiting for the server: {doing}")
                begin_live(self._spinner)

    def _line(self, doing: str) -> None:
        with self._lock:
            if self._timer is threading.current_thread():
                note(f"waiting for the server: {doing}")


@contextmanager
def spinning(title: str, hint: str = "") -> Iterator[None]:
    """Show a spinner on a terminal while the block runs.

    Args:
        title: What it does.
        hint: What the user can do, such as `(Ctrl-C stops it)`.
    """
    console = stderr()
    if not console.is_terminal or console.is_dumb_terminal or is_live():
        yield
        return
    spinner = _spinner(title, hint)
    begin_live(spinner)
    try:
        yield
    finally:
        end_live(spinner)


def _spinner(title: str, hint: str = "") -> Progress:
    from rich import progress

    made = progress.Progress(
        progress.SpinnerColumn(),
        progress.TextColumn("{task.description}", markup=False),
        progress.TimeElapsedColumn(),
        progress.TextColumn(hint, markup=False),
        console=stderr(),
        transient=True,
        redirect_stdout=False,
    )
    made.add_task(escape(title), total=None)
    return made
