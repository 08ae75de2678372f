"""The interface of executors."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from ..errors import SubmitError
from ..system.machine import is_out_of_memory, release
from ..system.refusals import explain, storage_failure

__all__ = [
    "Began",
    "Event",
    "Executor",
    "Finished",
    "Job",
    "Progressed",
    "Warned",
    "Worker",
    "do_job",
    "longest_first",
]


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
class Began:
    """A worker has taken a job; not an event for callers.

    If a worker exits before it, the job is not the reason and goes to another worker.
    """

    name: str


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


@dataclass(frozen=True)
class Warned:
    """Code in a worker has raised a warning, during a job or before.

    Attributes:
        name: The video's name; empty before the first one.
        text: What it said.
    """

    name: str
    text: str


Event: TypeAlias = Progressed | Finished | Warned

#: Does one job: called with its payload and a function that reports finished frames.
Worker: TypeAlias = Callable[[Any, Callable[[int], None]], Any]


class Executor(Protocol):
    """Runs jobs in workers.

    `build` is called once in each worker and must be picklable. It gets the device of
    the worker and returns the `Worker`. A job that raises a `SubmitError`, or whose
    worker exits, is reported as failed and the others continue. An error in `build`, or
    a full disk, ends the map, since all other jobs would fail in the same way.
    """

    def map(
        self,
        build: Callable[[str], Worker],
        jobs: Sequence[Job],
        notify: Callable[[Event], None],
        *,
        threads: int | None = None,
    ) -> None:
        """Run all jobs, long ones first, and call `notify` with each event.

        Args:
            build: Makes a worker, given its device.
            jobs: What is to be done.
            notify: Called with each event.
            threads: Number of threads that the numeric libraries use in a job. It does
                not depend on the number of workers, since sums depend on it; None if
                results do not.
        """
        ...


def longest_first(jobs: Sequence[Job]) -> list[Job]:
    """Order jobs by falling cost, so that no long one is left for the end."""
    return sorted(jobs, key=lambda job: (-job.cost, job.name))


def do_job(worker: Worker, job: Job, send: Callable[[Event], None]) -> Finished:
    """Do one job and return how it ended.

    Raises:
        SubmitError: The disk refused a write, so that all other jobs would fail as
            well.
    """
    try:
        result = worker(job.payload, lambda frames: send(Progressed(job.name, frames)))
        return Finished(job.name, result=result)
    except Exception as error:
        if failure := storage_failure(error):
            raise failure from error.__cause__ or error
        if isinstance(error, SubmitError):
            return Finished(job.name, error=str(error))
        if is_out_of_memory(error):
            said = f" ({error})" if str(error) else ""
            return Finished(
                job.name,
                error=f"memory ran out{said}; run the same command again with fewer "
                "--workers, or with a smaller input size under another --name",
            )
        if isinstance(error, OSError) and (text := explain(error)):
            return Finished(job.name, error=text)
        return Finished(
            job.name,
            error=f"{type(error).__name__}: {error} (a bug of {release()}; please "
            f"report it with the lines below)\n{traceback.format_exc()}",
        )
