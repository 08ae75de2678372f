"""Reading work on videos, in threads of this process or in the workers of an executor.

Threads start at once and share what they read, and reading, inflating and comparing
masks all run without the interpreter lock. The workers of an executor may be on other
machines: each gets the work once, opens its files again, and sends back results.
"""

from __future__ import annotations

import pickle
import platform
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import PredictorError, SubmitError
from ..predictors import Remark
from ..system.machine import is_out_of_memory
from ..system.pool import run_in_threads
from ..system.refusals import storage_failure
from .base import Event, Executor, Finished, Job, Postponed, Progressed, Warned, Worker

__all__ = ["map_jobs"]


def map_jobs(
    work: Worker,
    jobs: Sequence[Job],
    *,
    executor: Executor | None = None,
    workers: int | None = None,
    needs: Sequence[Path] = (),
    progress: Callable[[str, int], None] = lambda name, frames: None,
) -> list[Any]:
    """Do all jobs; the first one that fails ends the others.

    Results do not depend on where the work is done.

    Args:
        work: Does one job. Threads call it at the same time; for an executor it must be
            picklable, and so must its results.
        jobs: What is to be done. Threads begin them in this order, an executor begins
            those of the highest cost.
        executor: Does the work elsewhere; None for threads of this process.
        workers: Number of threads; one for each core by default.
        needs: Files and folders that are read, also on other machines.
        progress: Called with the name of a job and a number of frames that are done,
            from any thread. The number is negative if they have to be done again.

    Returns:
        The results, in the order of the jobs.

    Raises:
        SubmitError: What the work raised.
        PredictorError: A worker died, or a machine lacks a file.
    """
    if executor is None:
        return run_in_threads(
            lambda job: work(job.payload, partial(progress, job.name)),
            jobs,
            workers=workers,
        )
    results: dict[str, Any] = {}
    told: Counter[str] = Counter()

    def hear(event: Event) -> None:
        if isinstance(event, Progressed):
            told[event.name] += event.frames
            progress(event.name, event.frames)
        elif isinstance(event, Finished):
            results[event.name] = _result(event)
        elif isinstance(event, Postponed):
            if again := told.pop(event.name, 0):
                progress(event.name, -again)
            warnings.warn(
                f"{event.name}: {event.reason}; it is tried once more, alone, when the "
                "others have ended",
                Remark,
                stacklevel=2,
            )
        elif isinstance(event, Warned):
            warnings.warn(event.text, Remark, stacklevel=2)

    executor.map(_Build.of(work, needs), jobs, hear)
    return [results[job.name] for job in jobs]


@dataclass(frozen=True)
class _Failed:
    """What a job has raised; sent back as its result, so that its kind is kept."""

    error: SubmitError


def _result(event: Finished) -> Any:
    """The result of a job that has ended.

    Raises:
        SubmitError: What it raised.
        PredictorError: Its worker died, or the like.
    """
    if event.error is not None:
        raise PredictorError(f"{event.name}: {event.error}")
    if isinstance(event.result, _Failed):
        raise event.result.error
    return event.result


@dataclass(frozen=True)
class _Build:
    """Makes the work in a worker.

    Attributes:
        pickled: The work. It is unpickled here, where an error becomes a message.
        needs: Sizes in bytes of the files that are read; None for a folder.
    """

    pickled: bytes
    needs: Mapping[Path, int | None]

    @classmethod
    def of(cls, work: Worker, needs: Sequence[Path]) -> _Build:
        return cls(pickle.dumps(work), {path: _size(path) for path in needs})

    def __call__(self, device: str) -> Worker:
        """Make the work.

        Raises:
            PredictorError: A file is not there, or another one.
        """
        del device
        for path, size in self.needs.items():
            if path.exists() and _size(path) == size:
                continue
            what = "is another file" if path.exists() else "is not there"
            raise PredictorError(
                f"{path}: {what} on {platform.node()}; all nodes need it at the same "
                "path of a shared file system"
            )
        work: Worker = pickle.loads(self.pickled)

        def do(payload: Any, progress: Callable[[int], None]) -> Any:
            try:
                return work(payload, progress)
            except SubmitError as error:
                if is_out_of_memory(error) or storage_failure(error):
                    raise
                return _Failed(error)

        return do


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None
