"""Work in a second thread, with a result that is optional."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from ..errors import CodabenchError, NetworkError

__all__ = ["Aside"]

T = TypeVar("T")


class Aside(Generic[T]):
    """Does some work in a thread, for a result that is useful and not required.

    A server that is slow, or sends byte by byte, delays only this thread, which ends
    with the program.

    Args:
        doing: What it is for, such as `read the leaderboard`.
        work: The work. It must not use a `Client` of another thread; see
            `Client.fork`.

    Example:
        other = client.fork()
        board = Aside("read the leaderboard", lambda: other.leaderboard(123))
        ...
        rows = board.get(10.0)
    """

    def __init__(self, doing: str, work: Callable[[], T]) -> None:
        self._doing = doing
        self._work = work
        self._result: T | None = None
        self._error: BaseException | None = None
        self._over = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            self._result = self._work()
        except BaseException as error:  # Raised again by `get`.
            self._error = error
        finally:
            self._over.set()

    def get(self, seconds: float) -> T:
        """Wait for the result for at most so many seconds.

        Raises:
            CodabenchError: It is not there in time, or the work failed.
        """
        if not self._over.wait(seconds):
            raise NetworkError(
                f"cannot {self._doing}: no answer within {seconds:g} seconds",
                "run the command again later",
            )
        if isinstance(self._error, CodabenchError):
            # An exception that was raised before would hold the frames of this thread.
            raise type(self._error)(self._error.problem, self._error.advice)
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]
