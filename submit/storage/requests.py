"""Requests to a storage: several at once, and again after a failure that may pass.

A request cannot be stopped, and one to a server that does not answer takes minutes. So
the threads are such that Python does not wait for them, and Ctrl-C ends at once.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

from ..system.pool import checkpoint
from .opening import OpenStorage, is_final

__all__ = ["WAITS", "in_threads", "retried", "threads_for"]

#: Seconds before each further try.
WAITS = (1.0, 3.0, 9.0)

#: Requests at once. Storages answer many, and a frame takes mostly the way there and
#: back.
_AT_ONCE = 16

#: Seconds between two looks at whether the work is to be stopped.
_LOOK = 0.1

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_local = threading.local()


class _StoppedError(Exception):
    """Ends a thread whose result is not waited for any more."""


def threads_for(opened: OpenStorage) -> int:
    """How many requests a storage is sent at once."""
    return _AT_ONCE if getattr(opened.fs, "async_impl", False) else 1


def in_threads(
    work: Callable[[_Item], _Result], items: Sequence[_Item], *, threads: int
) -> list[_Result]:
    """Do some work on each item, in threads that are left alone after an error.

    Args:
        work: Called with an item, in a thread.
        items: The items; they are begun in this order.
        threads: How many threads.

    Returns:
        The results, in the order of the items.

    Raises:
        Exception: The first error of the work; no further item is begun.
    """
    waiting = deque(enumerate(items))
    ended: queue.SimpleQueue[tuple[int, _Result | None, BaseException | None]]
    ended = queue.SimpleQueue()
    stop = threading.Event()

    def run() -> None:
        _local.stop = stop
        while not stop.is_set():
            try:
                index, item = waiting.popleft()
            except IndexError:
                return
            try:
                ended.put((index, work(item), None))
            except BaseException as error:
                # In this order, so that this error is the one that is raised.
                ended.put((index, None, error))
                stop.set()

    for _ in range(min(threads, len(items))):
        threading.Thread(target=run, daemon=True).start()
    results: dict[int, _Result] = {}
    try:
        while len(results) < len(items):
            checkpoint()
            try:
                index, result, error = ended.get(timeout=_LOOK)
            except queue.Empty:
                continue
            if error is not None:
                raise error
            results[index] = result  # type: ignore[assignment]
    finally:
        stop.set()
    return [results[index] for index in range(len(items))]


def retried(request: Callable[[], _Result]) -> _Result:
    """Send a request again after a failure that may pass.

    Raises:
        Exception: The last error of the request.
    """
    for seconds in WAITS:
        try:
            return request()
        except Exception as error:
            if is_final(error):
                raise
        _wait(seconds)
    return request()


def _wait(seconds: float) -> None:
    """Wait, unless the work of this thread is stopped meanwhile."""
    stop = getattr(_local, "stop", None)
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        checkpoint()
        if stop is not None and stop.is_set():
            raise _StoppedError
        time.sleep(min(left, _LOOK))
