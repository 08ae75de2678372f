from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

import pytest

from submit.errors import StorageError
from submit.pipeline.behind import Behind


def put_all(behind: Behind[int], items: Iterable[int]) -> None:
    with behind:
        for item in items:
            behind.put(item)


def test_items_are_written_in_order_before_the_block_ends() -> None:
    written: list[int] = []
    put_all(Behind(written.append, waiting=2), range(50))
    assert written == list(range(50))


def test_an_error_of_the_last_item_is_raised_at_the_end() -> None:
    def write(item: int) -> None:
        if item == 3:
            raise StorageError("no space left on device")

    with pytest.raises(StorageError, match="no space left"):
        put_all(Behind(write), range(4))


def test_an_error_stops_the_producer_and_nothing_more_is_written() -> None:
    written: list[int] = []
    items = iter(range(1000))

    def write(item: int) -> None:
        if item == 1:
            raise StorageError("no space left on device")
        written.append(item)

    with pytest.raises(StorageError):
        put_all(Behind(write, waiting=1), items)
    assert written == [0]
    assert next(items) < 10


def test_what_waits_is_dropped_when_the_block_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: list[int] = []
    go = threading.Event()

    def write(item: int) -> None:
        go.wait(30)
        written.append(item)

    def items() -> Iterator[int]:
        yield from range(5)
        raise KeyError("model")

    behind = Behind(write)
    real = behind._queue.put

    def put(item: tuple[int] | None) -> None:
        real(item)
        if item is None:  # The block has failed, and this ends the thread.
            go.set()

    monkeypatch.setattr(behind._queue, "put", put)
    with pytest.raises(KeyError):
        put_all(behind, items())
    # The thread held at most the first item.
    assert len(written) <= 1
