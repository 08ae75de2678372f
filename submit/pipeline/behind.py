"""Writing finished frames in a thread while the model continues."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Generic, TypeVar

__all__ = ["Behind"]

T = TypeVar("T")

#: Most frames in the queue; a model that is faster than the disk then waits.
WAITING = 8


class Behind(Generic[T]):
    """Calls a function with each item, in order, in a thread of its own.

    An error of the function is raised by the next `put`, or at the end of the block;
    later items are dropped. If the block itself fails, the items in the queue are
    dropped.

    with Behind(write) as behind:
        behind.put(item)
    """

    def __init__(self, write: Callable[[T], None], *, waiting: int = WAITING) -> None:
        self._write = write
        self._queue: queue.Queue[tuple[T] | None] = queue.Queue(waiting)
        self._error: BaseException | None = None
        self._dropped = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Behind[T]:
        self._thread.start()
        return self

    def put(self, item: T) -> None:
        """Add an item to the queue; waits while it is full."""
        self._queue.put((item,))
        if self._error is not None:
            raise self._error

    def settle(self) -> None:
        """Wait until all items so far are written; raises as `put` does."""
        self._queue.join()
        if self._error is not None:
            raise self._error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._dropped = kind is not None
        self._queue.put(None)
        self._thread.join()
        if kind is None and self._error is not None:
            raise self._error

    def _run(self) -> None:
        """Run in the thread: read the queue to its end, also after an error."""
        while (item := self._queue.get()) is not None:
            try:
                if not self._dropped and self._error is None:
                    self._write(*item)
            except BaseException as error:
                self._error = error
            finally:
                self._queue.task_done()
