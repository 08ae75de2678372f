from __future__ import annotations

import threading

import pytest

from submit.system.pool import checkpoint, run_in_threads, thread_pool


@pytest.mark.parametrize("workers", [1, 2, None])
def test_results_come_in_the_order_of_the_items(workers: int | None) -> None:
    seen: dict[int, int] = {}

    def done(item: int, result: int) -> None:
        assert threading.current_thread() is threading.main_thread()
        seen[item] = result

    items = [5, 3, 9, 1]
    squares = run_in_threads(lambda n: n * n, items, workers=workers, done=done)
    assert squares == [25, 9, 81, 1]
    assert seen == dict(zip(items, squares, strict=True))


def test_nothing_to_do_is_done() -> None:
    assert run_in_threads(lambda n: n, []) == []


def work_for_ever(begun: threading.Event) -> None:
    begun.set()
    while True:
        checkpoint()


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_failure_ends_what_would_go_on_for_ever(error: type[BaseException]) -> None:
    begun = threading.Event()

    def work(item: str) -> None:
        if item == "endless":
            work_for_ever(begun)
        begun.wait()

    def fail(item: str, result: None) -> None:
        raise error

    with pytest.raises(error):
        run_in_threads(work, ["endless", "short"], workers=2, done=fail)


def test_an_error_in_a_thread_is_raised_and_nothing_more_is_begun() -> None:
    done: list[int] = []

    def work(item: int) -> None:
        done.append(item)
        if item == 2:
            raise ValueError("item 2")
        while item > 2:
            checkpoint()

    with pytest.raises(ValueError, match="item 2"):
        run_in_threads(work, range(100), workers=1)
    # The thread may begin one more before it is told.
    assert done in ([0, 1, 2], [0, 1, 2, 3])


def test_a_pool_whose_block_fails_gives_up_what_waits() -> None:
    begun = threading.Event()
    with pytest.raises(KeyboardInterrupt), thread_pool(1) as pool:  # noqa: PT012
        pool.submit(work_for_ever, begun)
        later = pool.submit(work_for_ever, begun)
        begun.wait()
        raise KeyboardInterrupt
    assert later.cancelled()


def test_outside_of_a_pool_a_checkpoint_is_nothing() -> None:
    with pytest.raises(KeyboardInterrupt), thread_pool(1):
        raise KeyboardInterrupt
    checkpoint()
