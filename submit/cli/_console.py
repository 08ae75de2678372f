"""The consoles for stdout and stderr, and the bar or spinner on them.

There is one console for each stream, so that every message is printed above the bar and
not into its line. Text that is printed without them, such as results when stdout and
stderr are the same terminal, must be inside `uncovered`.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console

__all__ = ["begin_live", "end_live", "is_live", "stderr", "stdout", "uncovered"]

#: Columns of output to a file or a pipe: lines are never wrapped or cut.
_UNLIMITED = 100_000
#: Variables that rich reads when a console is made.
_ENVIRONMENT = ("COLUMNS", "FORCE_COLOR", "NO_COLOR", "TERM", "TTY_COMPATIBLE")

_CONSOLES: dict[bool, tuple[tuple[Any, ...], Console]] = {}


class _Live(Protocol):
    """A bar or a spinner."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


#: The bar or spinner that is shown; at most one, since there is one last line.
_LIVE: list[_Live] = []
_LOCK = threading.RLock()


def stdout() -> Console:
    """The console for results."""
    return _console(stderr=False)


def stderr() -> Console:
    """The console for progress, remarks and errors."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    # While a bar is shown, rich replaces the stream by its own.
    stream = getattr(stream, "rich_proxied_file", stream)
    made_for = (stream, *map(os.environ.get, _ENVIRONMENT))
    if stderr in _CONSOLES and _CONSOLES[stderr][0] == made_for:
        return _CONSOLES[stderr][1]
    # Names of videos are not markup, and numbers in them are not coloured.
    console = Console(
        stderr=stderr, markup=False, emoji=False, highlight=False, soft_wrap=True
    )
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _UNLIMITED
    _CONSOLES[stderr] = (made_for, console)
    return console


def is_live() -> bool:
    """Whether a bar or a spinner is shown."""
    return bool(_LIVE)


def begin_live(display: _Live) -> None:
    """Show a bar or a spinner of `stderr()` until `end_live`."""
    with _LOCK:
        _LIVE.append(display)
        display.start()


def end_live(display: _Live) -> None:
    """Remove the bar or spinner."""
    with _LOCK:
        display.stop()
        _LIVE.remove(display)


@contextmanager
def uncovered() -> Iterator[None]:
    """Hide the bar or spinner during the block, to print without the consoles."""
    with _LOCK:
        for display in _LIVE:
            display.stop()
        try:
            yield
        finally:
            for display in _LIVE:
                display.start()
