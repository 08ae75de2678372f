"""What the loop tells of its progress, and what of it is shown."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

__all__ = ["Monitor", "TrainingProgress", "silent"]


class TrainingProgress(Protocol):
    """Counts units of work over several running tasks, and shows remarks."""

    def add(self, name: str, total: int) -> None:
        """Begin a task of some units."""
        ...

    def advance(self, name: str, count: int = 1) -> None:
        """Count more units of a task; an unknown name counts in the total."""
        ...

    def finish(self, name: str) -> None:
        """End a task."""
        ...

    def note(self, message: str) -> None:
        """Show a remark that stays."""
        ...

    def describe(self, text: str) -> None:
        """Show what is going on, in place of the text before."""
        ...


#: Opens a progress bar: title, units in all or None, and what is counted.
Monitor = Callable[[str, "int | None", str], AbstractContextManager[TrainingProgress]]


class _Silent:
    """TrainingProgress that is not shown."""

    def add(self, name: str, total: int) -> None:
        pass

    def advance(self, name: str, count: int = 1) -> None:
        pass

    def finish(self, name: str) -> None:
        pass

    def note(self, message: str) -> None:
        pass

    def describe(self, text: str) -> None:
        pass


@contextlib.contextmanager
def silent(title: str, total: int | None, unit: str) -> Iterator[TrainingProgress]:
    """Show nothing."""
    del title, total, unit
    yield _Silent()
