"""Progress of a command on stderr: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from ._console import begin_live, end_live, stderr
from ._output import escape, escape_lines, format_count, format_seconds

if TYPE_CHECKING:
    from rich import progress as rich_progress
    from rich.console import Console, RenderableType
    from rich.progress import ProgressColumn, Task, TaskID
    from rich.text import Text

__all__ = ["LINE_EVERY", "Progress", "progress"]

#: Seconds between two lines where stderr is not a terminal.
LINE_EVERY = 10.0


class _Display(Protocol):
    """Shows the state of a `Progress`; called with its lock held."""

    def added(self, name: str, total: int) -> None: ...

    def advanced(self, name: str, count: int) -> None: ...

    def finished(self, name: str) -> None: ...

    def described(self) -> None: ...

    def note(self, message: str) -> None: ...

    def close(self) -> None: ...


class Progress:
    """Counts units of work over several running tasks, from any thread.

    Use it through `progress`. A task is named, such as a video, so that counts can
    come from worker processes, in any order.
    """

    def __init__(
        self,
        title: str,
        *,
        total: int | None,
        unit: str,
        clock: Callable[[], float],
    ) -> None:
        self.title = escape(title)
        self.unit = unit
        self.done = 0
        self.text = ""
        self._fixed_total = total
        self._added_total = 0
        self._clock = clock
        self._start = clock()
        self._totals: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self._lock = threading.RLock()
        self._display: _Display | None = None

    @property
    def total(self) -> int:
        """Units in all: what was announced, or the sum over the tasks so far."""
        if self._fixed_total is None:
            return self._added_total
        return max(self._fixed_total, self.done)

    @property
    def idle(self) -> bool:
        """Whether the total is 0 and nothing was done."""
        return self._fixed_total == 0 and self.done == 0

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._start

    @property
    def rate(self) -> float | None:
        """Units per second; None before the first."""
        elapsed = self.elapsed
        return self.done / elapsed if self.done and elapsed > 0 else None

    @property
    def left(self) -> float | None:
        """Seconds that are left at the present rate; None when unknown."""
        rate = self.rate
        return None if rate is None else max(self.total - self.done, 0) / rate

    @property
    def in_flight(self) -> dict[str, tuple[int, int]]:
        """Count and total of each task that was added and is not finished."""
        return {name: (self._counts[name], self._totals[name]) for name in self._totals}

    def show(self, display: _Display) -> None:
        """Send every change to `display` from now on."""
        self._display = display

    def add(self, name: str, total: int) -> None:
        """Begin a task of `total` units; beginning it again sets its count to 0."""
        with self._lock:
            if name in self._totals:
                self.done -= self._counts[name]
                self._added_total -= self._totals[name]
                self._drop(name)
            self._totals[name] = total
            self._counts[name] = 0
            self._added_total += total
            if self._display is not None:
                self._display.added(name, total)

    def advance(self, name: str, count: int = 1) -> None:
        """Count `count` more units of a task; an unknown name counts in the total."""
        with self._lock:
            self.done += count
            if name in self._counts:
                self._counts[name] += count
            if self._display is not None:
                self._display.advanced(name, count)

    def finish(self, name: str) -> None:
        """End a task, complete or failed; the units it did not do leave the total."""
        with self._lock:
            if name not in self._totals:
                return
            missing = self._totals[name] - self._counts[name]
            self._added_total -= missing
            if self._fixed_total is not None:
                self._fixed_total -= missing
            self._drop(name)

    def describe(self, text: str) -> None:
        """Show what is going on beside the counts, in place of the text before."""
        with self._lock:
            self.text = escape(text)
            if self._display is not None:
                self._display.described()

    def note(self, message: str) -> None:
        """Print a remark without disturbing the bars."""
        with self._lock:
            if self._display is not None:
                self._display.note(escape_lines(message))

    def summary(self, *, complete: bool) -> str:
        """Say what was done in how much time."""
        spent = format_seconds(self.elapsed)
        if not complete:
            return (
                f"{self.title}: stopped after {format_count(self.done)} of "
                f"{format_count(self.total)} {self.unit}, {spent}"
            )
        text = f"{self.title}: {format_count(self.done)} {self.unit} in {spent}"
        return text if self.rate is None else f"{text}, {self.format_rate()}"

    def format_rate(self) -> str:
        """Write the rate, such as `8.2 frames/s`; empty before the first unit."""
        rate = self.rate
        return (
            "" if rate is None else f"{rate:.{1 if rate < 100 else 0}f} {self.unit}/s"
        )

    def _drop(self, name: str) -> None:
        del self._totals[name], self._counts[name]
        if self._display is not None:
            self._display.finished(name)


class _Lines:
    """Plain lines: one at the start and one every `LINE_EVERY` seconds."""

    def __init__(self, state: Progress, console: Console) -> None:
        self._state = state
        self._console = console
        self._last = 0.0
        if state.idle:
            return
        total = f": {format_count(state.total)} {state.unit}" if state.total else ""
        self.note(f"{state.title}{total}")

    def added(self, name: str, total: int) -> None:
        self._maybe_line()

    def advanced(self, name: str, count: int) -> None:
        self._maybe_line()

    def finished(self, name: str) -> None:
        self._maybe_line()

    def described(self) -> None:
        self._maybe_line()

    def note(self, message: str) -> None:
        self._console.print(message)

    def close(self) -> None:
        pass

    def _maybe_line(self) -> None:
        state = self._state
        if state.elapsed - self._last < LINE_EVERY:
            return
        self._last = state.elapsed
        parts = [
            f"{state.title}: {format_count(state.done)} of "
            f"{format_count(state.total)} {state.unit}"
        ]
        if state.left is not None:
            parts += [state.format_rate(), f"{format_seconds(state.left)} left"]
        line = ", ".join(parts)
        flying = [
            f"{escape(name)} {count}/{total}"
            for name, (count, total) in state.in_flight.items()
        ]
        if flying:
            line += f" ({', '.join(flying)})"
        if state.text:
            line += f"; {state.text}"
        self.note(line)


class _Bars:
    """Bars: one for the total, and below it one for each running task."""

    def __init__(self, state: Progress, console: Console) -> None:
        from rich import progress as rich_progress

        self._state = state
        self._bars = _described_bars(state)(
            rich_progress.TextColumn("{task.description}", markup=False),
            rich_progress.BarColumn(bar_width=24),
            rich_progress.MofNCompleteColumn(),
            _whole_column(state),
            console=console,
            transient=True,
            redirect_stdout=False,
        )
        self._ids: dict[str, TaskID] = {}
        self._whole = self._bars.add_task(state.title, total=state.total or None)
        begin_live(self._bars)

    def added(self, name: str, total: int) -> None:
        self._ids[name] = self._bars.add_task(escape(name), total=total)
        self._update()

    def advanced(self, name: str, count: int) -> None:
        if name in self._ids:
            self._bars.advance(self._ids[name], count)
        self._update()

    def finished(self, name: str) -> None:
        self._bars.remove_task(self._ids.pop(name))
        self._update()
        self._bars.refresh()

    def described(self) -> None:
        """Show the text with the next refresh."""

    def note(self, message: str) -> None:
        self._bars.console.print(message)

    def close(self) -> None:
        end_live(self._bars)

    def _update(self) -> None:
        self._bars.update(
            self._whole, completed=self._state.done, total=self._state.total
        )


def _described_bars(state: Progress) -> type[rich_progress.Progress]:
    """Make the class of bars with a line of text below them."""
    from rich import progress as rich_progress
    from rich.text import Text

    class Described(rich_progress.Progress):
        def get_renderables(self) -> Iterator[RenderableType]:
            yield from super().get_renderables()
            if state.text:
                yield Text(state.text, style="dim", no_wrap=True, overflow="ellipsis")

    return Described


def _whole_column(state: Progress) -> ProgressColumn:
    """Make the column with the rate and the time left, for the bar of the total."""
    from rich.progress import ProgressColumn
    from rich.text import Text

    class WholeColumn(ProgressColumn):
        def render(self, task: Task) -> Text:
            if task.id != 0 or state.left is None:
                return Text("")
            return Text(f"{state.format_rate()}, {format_seconds(state.left)} left")

    return WholeColumn()


@contextmanager
def progress(
    title: str,
    *,
    total: int | None = None,
    unit: str = "frames",
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Progress]:
    """Show progress on stderr while the block runs, and a summary line after it.

    Args:
        title: What is being done, such as `predict`.
        total: Units in all. Default: the sum over the tasks added so far. With 0 only
            remarks are shown.
        unit: What is counted, in the plural.
        clock: Seconds that only grow.

    Example:
        with progress("predict", total=66_526) as bar:
            bar.add("00c4f9d1", 82)
            bar.advance("00c4f9d1")
            bar.finish("00c4f9d1")
    """
    state = Progress(title, total=total, unit=unit, clock=clock)
    console = stderr()
    display: _Display
    if console.is_terminal and not console.is_dumb_terminal:
        display = _Bars(state, console)
    else:
        display = _Lines(state, console)
    state.show(display)
    complete = False
    try:
        yield state
        complete = True
    finally:
        display.close()
        if not state.idle:
            display.note(state.summary(complete=complete))
