"""Work in threads that ends at once on an error or Ctrl-C.

At its end Python always waits for the threads of a pool. So threads must end by
themselves: long work calls `checkpoint` once for each frame, which raises when the pool
has been stopped.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from typing import Any, TypeVar

from .machine import cores

__all__ = ["checkpoint", "run_in_threads", "thread_pool"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_local = threading.local()


class _StoppedError(Exception):
    """Ends a thread of a stopped pool; never reaches the caller."""


def checkpoint() -> None:
    """End the work of this thread if its pool has been stopped.

    Does nothing in a thread without a pool.
    """
    stop = getattr(_local, "stop", None)
    if stop is not None and stop.is_set():
        raise _StoppedError


@contextmanager
def thread_pool(workers: int | None = None) -> Iterator[ThreadPoolExecutor]:
    """Open a pool of threads; if the block fails, their work is stopped.

    Args:
        workers: Number of threads; one for each core by default.
    """
    stop = threading.Event()

    def begin() -> None:
        _local.stop = stop

    with ThreadPoolExecutor(workers or cores(), initializer=begin) as pool:
        try:
            yield pool
        except BaseException:
            # In this order, so that no thread begins another item.
            pool.shutdown(wait=False, cancel_futures=True)
            stop.set()
            raise


def run_in_threads(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int | None = None,
    done: Callable[[Item, Result], Any] = lambda item, result: None,
) -> list[Result]:
    """Do some work on each item, in threads.

    After a failure no item is begun, and running work ends at its next `checkpoint`.

    Args:
        work: Called with an item, in a thread.
        items: The items; they are begun in this order.
        workers: Number of threads; one for each core by default.
        done: Called in this thread with each item and its result, in the order of
            completion.

    Returns:
        The results, in the order of the items.
    """
    with thread_pool(max(1, min(workers or cores(), len(items)))) as pool:
        futures = {pool.submit(work, item): index for index, item in enumerate(items)}
        results: dict[int, Result] = {}
        for future in as_completed(futures):
            index = futures[future]
            results[index] = future.result()
            done(items[index], results[index])
    return [results[index] for index in range(len(items))]
