"""Warnings of Python code as remarks to the user, each once."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["FILTERS", "say", "warnings_to"]

#: Held by a thread that changes the filters of warnings for a moment. They belong to
#: the process, so that a warning of another thread would be lost.
FILTERS = threading.Lock()


def say(text: str, category: type[Warning]) -> None:
    """Give a warning, while no other thread changes the filters."""
    with FILTERS:
        warnings.warn(text, category, stacklevel=3)


@contextmanager
def warnings_to(show: Callable[[str], Any]) -> Iterator[None]:
    """Hand the warnings of the block to a function, each text once.

    Which ones there are is Python's choice, but libraries that change its filters for a
    moment make it forget what it has shown. Of what the toolkit says itself the text
    suffices; for others it names the place.
    """
    shown: set[str] = set()

    def showwarning(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: Any = None,
        line: str | None = None,
    ) -> None:
        text = str(message)
        if not category.__module__.startswith("submit."):
            place = "/".join(Path(filename).parts[-2:])
            text = f"{category.__name__} in {place}, line {lineno}: {text}"
        if text not in shown:
            shown.add(text)
            show(text)

    with warnings.catch_warnings():
        warnings.showwarning = showwarning
        yield
