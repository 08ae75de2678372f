"""The interface of executors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

__all__ = ["Event", "Executor", "Finished", "Job", "Progressed", "Worker"]


@dataclass(frozen=True)
class Job:
    """One video's work.

    Attributes:
        name: The video's name.
        cost: Relative cost, such as its number of frames; long ones go first.
        payload: What the worker is called with; must be picklable.
    """

    name: str
    cost: float
    payload: Any


@dataclass(frozen=True)
class Progressed:
    """A worker has finished some frames of a job."""

    name: str
    frames: int


@dataclass(frozen=True)
class Finished:
    """A job has ended: `error` says why it failed, None if it did not.

    Attributes:
        name: The video's name.
        result: What the worker returned; None when it failed.
        error: One sentence; None when it succeeded.
    """

    name: str
    result: Any = None
    error: str | None = None


Event: TypeAlias = Progressed | Finished

#: Does one job: called with its payload and a function that reports finished frames.
Worker: TypeAlias = Callable[[Any, Callable[[int], None]], Any]


class Executor(Protocol):
    """Runs jobs in workers.

    `build` is called once in each worker and must be picklable; it is given the device
    that the worker shall use and returns the `Worker`. A job that raises a
    `SubmitError`, or whose worker dies, is reported as failed and the rest go on. An
    error in `build`, and one that says that the disk is full, ends everything, since
    every other job would fail in the same way.
    """

    def map(
        self,
        build: Callable[[str], Worker],
        jobs: Sequence[Job],
        notify: Callable[[Event], None],
    ) -> None:
        """Run all jobs, long ones first; `notify` hears what happens as it happens."""
        ...
