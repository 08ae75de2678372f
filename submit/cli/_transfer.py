"""Progress of an upload on stderr: bytes, speed and time left."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ._console import begin_live, end_live, stderr
from ._output import escape_lines, format_bytes, format_seconds
from ._progress import LINE_EVERY

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["Transfer"]


class Transfer:
    """Shows the bytes sent: a bar on a terminal, plain lines elsewhere.

    It has the methods of a `submit.codabench.Listener`.

    Args:
        title: What is being done, such as `upload`.
        clock: Seconds that only grow.
    """

    def __init__(
        self, title: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._title = title
        self._clock = clock
        self._console = stderr()
        self._bar: Progress | None = None
        self._size = self._done = 0
        self._start = self._last = 0.0

    def begin(self, size: int) -> None:
        """Begin an upload of `size` bytes."""
        self._size, self._done = size, 0
        self._start = self._last = self._clock()
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._bar = self._make_bar()
            self._bar.add_task(self._title, total=size)
            begin_live(self._bar)
        else:
            self._console.print(f"{self._title}: {format_bytes(size)}")

    def sent(self, count: int) -> None:
        """Count bytes."""
        self._done += count
        if self._bar is not None:
            self._bar.advance(self._bar.task_ids[0], count)
        elif self._clock() - self._last >= LINE_EVERY:
            self._last = self._clock()
            self._console.print(self._line())

    def end(self, *, arrived: bool) -> None:
        """Print the result; `begin` may be called again.

        Args:
            arrived: Whether the storage has confirmed all bytes. Bytes that were sent
                may be lost in the buffers of a broken connection.
        """
        if self._bar is not None:
            end_live(self._bar)
            self._bar = None
        size = format_bytes(self._size)
        seconds = self._clock() - self._start
        if not arrived:
            how_far = "without confirmation"
            if self._done < self._size:
                how_far = f"after {format_bytes(self._done)} of {size}"
            self._console.print(f"{self._title}: stopped {how_far}")
            return
        speed = f", {self._speed(seconds)}" if seconds > 0 else ""
        spent = format_seconds(seconds)
        self._console.print(f"{self._title}: {size} in {spent}{speed}")

    def note(self, message: str) -> None:
        """Print a remark."""
        self._console.print(escape_lines(message))

    def _speed(self, seconds: float) -> str:
        return f"{format_bytes(round(self._done / seconds))}/s"

    def _line(self) -> str:
        seconds = self._clock() - self._start
        left = seconds * (self._size - self._done) / max(self._done, 1)
        return (
            f"{self._title}: {format_bytes(self._done)} of {format_bytes(self._size)}, "
            f"{self._speed(seconds)}, {format_seconds(left)} left"
        )

    def _make_bar(self) -> Progress:
        from rich import progress

        return progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(bar_width=24),
            progress.DownloadColumn(),
            progress.TransferSpeedColumn(),
            progress.TextColumn("{task.percentage:>3.0f} %,", markup=False),
            progress.TimeRemainingColumn(),
            progress.TextColumn("left", markup=False),
            console=self._console,
            transient=True,
            redirect_stdout=False,
        )
