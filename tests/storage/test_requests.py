"""Requests to a storage: in order, stopped at once, and sent again."""

from __future__ import annotations

import threading

import pytest

from submit.storage.requests import in_threads, retried


def test_results_are_in_the_order_of_the_items() -> None:
    assert in_threads(lambda one: 2 * one, range(20), threads=4) == [
        2 * one for one in range(20)
    ]
    assert in_threads(lambda one: 2 * one, [], threads=4) == []


def test_error_does_not_wait_for_a_server_that_does_not_answer() -> None:
    answered, begun = threading.Event(), []

    def ask(item: int) -> None:
        begun.append(item)
        if item == 0:
            answered.wait()
        raise ConnectionError("lost")

    with pytest.raises(ConnectionError, match="lost"):
        in_threads(ask, range(20), threads=2)
    assert not answered.is_set()
    answered.set()
    assert len(begun) < 20


def test_request_that_would_fail_again_is_not_repeated() -> None:
    asked = []

    def refuse() -> None:
        asked.append(1)
        raise PermissionError("no")

    with pytest.raises(PermissionError):
        retried(refuse)
    assert len(asked) == 1
