"""The interface of executors."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

from ..errors import SubmitError
from ..system.machine import is_out_of_memory, release
from ..system.refusals import explain, storage_failure

__all__ = [
    "Attempts",
    "Began",
    "Event",
    "Executor",
    "Finished",
    "Job",
    "Postponed",
    "Progressed",
    "SparingBuild",
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
        again: Why it may succeed if it is tried again without other workers, in a few
            words: memory ran out, or its worker died. Empty if it would fail again.
    """

    name: str
    result: Any = None
    error: str | None = None
    again: str = ""


@dataclass(frozen=True)
class Postponed:
    """A job has failed once; it is tried again when no other one runs.

    Its progress counts from the start: a worker reports what it need not do again.

    Attributes:
        name: The video's name.
        reason: Why it failed, in a few words.
    """

    name: str
    reason: str


@dataclass(frozen=True)
class Warned:
    """Code in a worker has raised a warning, during a job or before.

    Attributes:
        name: The video's name; empty before the first one.
        text: What it said.
    """

    name: str
    text: str


Event: TypeAlias = Progressed | Finished | Postponed | Warned

#: Does one job: called with its payload and a function that reports finished frames.
Worker: TypeAlias = Callable[[Any, Callable[[int], None]], Any]

#: Makes a worker, given its device.
Build: TypeAlias = Callable[[str], Worker]


@runtime_checkable
class SparingBuild(Protocol):
    """What makes workers, and can also make some that take less memory."""

    def __call__(self, device: str) -> Worker:
        """Make a worker."""
        ...

    def sparing(self) -> tuple[Build, str]:
        """The same with less memory.

        Returns:
            What makes such workers, and how they differ, such as `batch=1`; empty if
            nothing can be changed without changing results.
        """
        ...


class Executor(Protocol):
    """Runs jobs in workers.

    `build` is called once in each worker and must be picklable. It gets the device of
    the worker and returns the `Worker`. A job that raises a `SubmitError` is reported
    as failed and the others continue. A job whose memory runs out, or whose worker
    exits, is tried once more after all others, alone, by a worker that takes less
    memory if `build` is a `SparingBuild`; see `Attempts`. An error in `build`, or a
    full disk, ends the map, since all other jobs would fail in the same way.
    """

    def map(
        self,
        build: Build,
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


class Attempts:
    """Gives jobs a second attempt after memory ran out or their worker was killed.

    An executor runs all jobs with `first` as their listener, and then those in `again`,
    one after the other and with no other worker, with `second` as their listener and
    workers of `build`:

        attempts = Attempts(build, jobs, notify)
        ...  # all jobs, by workers of `build`; their events go to `attempts.first`
        ...  # `attempts.again`, one by one, by `attempts.build`, to `attempts.second`

    Args:
        build: Makes the workers of the first attempt.
        jobs: All jobs.
        notify: Called with each event; it gets one `Finished` for each job.
    """

    def __init__(
        self, build: Build, jobs: Sequence[Job], notify: Callable[[Event], None]
    ) -> None:
        self._jobs = {job.name: job for job in jobs}
        self._notify = notify
        self._reasons: dict[str, str] = {}
        self._build = build

    @functools.cached_property
    def _spared(self) -> tuple[Build, str]:
        if isinstance(self._build, SparingBuild):
            return self._build.sparing()
        return self._build, ""

    @property
    def build(self) -> Build:
        """Makes the workers of the second attempt."""
        return self._spared[0]

    @property
    def again(self) -> list[Job]:
        """The jobs to try once more, long ones first."""
        return longest_first([self._jobs[name] for name in self._reasons])

    def first(self, event: Event) -> None:
        """Pass an event of the first attempt on, or postpone its job."""
        if isinstance(event, Finished) and event.again:
            self._reasons[event.name] = event.again
            event = Postponed(event.name, event.again)
        self._notify(event)

    def second(self, event: Event) -> None:
        """Pass an event of the second attempt on; an error says what was tried."""
        if isinstance(event, Finished) and event.error is not None:
            reason, change = self._reasons[event.name], self._spared[1]
            how = f"once more, alone{change and f' and with {change}'}"
            error = f"{reason}; it was tried {how}: {event.error}"
            if event.again:
                same = "the same happened" if event.again == reason else event.again
                error = (
                    f"{reason}; it was tried {how}, and {same}; use a machine with "
                    "more memory, or other options (such as a smaller input size) "
                    "under another --name"
                )
            event = Finished(event.name, error=error)
        self._notify(event)


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
        short = is_out_of_memory(error)
        if isinstance(error, SubmitError):
            cause = str(error).partition(";")[0] if short else ""
            return Finished(job.name, error=str(error), again=cause)
        if short:
            said = f" ({error})" if str(error) else ""
            return Finished(
                job.name,
                error=f"memory ran out{said}; run the same command again with fewer "
                "--workers, or with a smaller input size under another --name",
                again=f"memory ran out{said}",
            )
        if isinstance(error, OSError) and (text := explain(error)):
            return Finished(job.name, error=text)
        return Finished(
            job.name,
            error=f"{type(error).__name__}: {error} (a bug of {release()}; please "
            f"report it with the lines below)\n{traceback.format_exc()}",
        )
