"""What every step over the videos of a run has in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..errors import RunError
from ..executors import Event, Executor, Finished, Job, Worker

__all__ = ["Monitor", "Outcome", "run_jobs"]


class Monitor(Protocol):
    """Hears how a step goes on, for a progress bar."""

    def start(self, title: str, *, total: int, skipped: int) -> None:
        """A step begins: frames in all, and frames that are complete already."""
        ...

    def advance(self, video: str, frames: int) -> None:
        """Some frames of a video are done."""
        ...

    def failed(self, video: str, reason: str) -> None:
        """A video could not be made."""
        ...


@dataclass
class Outcome:
    """What a step has done.

    Attributes:
        name: Name of what was made.
        done: Videos made now.
        skipped: Videos that were complete already.
        failed: Reason by video for those that are not there.
        frames: Frames made now.
        details: What the step wants to say beyond that.
    """

    name: str
    done: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    frames: int = 0
    details: dict[str, Any] = field(default_factory=dict)

    def require_complete(self, where: str) -> None:
        """Raise if a video is not there.

        Raises:
            RunError: Names the first of them with its reason.
        """
        if not self.failed:
            return
        video, reason = next(iter(sorted(self.failed.items())))
        total = len(self.done) + len(self.skipped) + len(self.failed)
        first = reason.splitlines()[0]
        more = f" (and {len(self.failed) - 1} more)" if len(self.failed) > 1 else ""
        raise RunError(
            f"{len(self.failed)} of {total} videos failed: {video}: {first}{more}; "
            f"the others are complete, all reasons are in {where}, and the same "
            "command tries the failed ones again"
        )


def run_jobs(
    title: str,
    outcome: Outcome,
    *,
    executor: Executor,
    build: Callable[[str], Worker],
    jobs: Sequence[Job],
    skipped: Mapping[str, int],
    on_done: Callable[[str, Any], None],
    on_failed: Callable[[str, str], None],
    monitor: Monitor | None,
) -> Outcome:
    """Run the jobs of a step and keep its outcome, manifest and monitor up to date.

    Args:
        title: What the monitor shows.
        outcome: Filled in and returned.
        executor: Runs the jobs.
        build: Makes a worker; see `Executor`.
        jobs: One per video that is to be made; its cost is its number of frames.
        skipped: Number of frames by video for those that are complete already.
        on_done: Told of each complete video and what the worker returned.
        on_failed: Told of each failed video and the reason.
        monitor: Hears of progress.
    """
    frames = {job.name: int(job.cost) for job in jobs}
    outcome.skipped.extend(skipped)
    if monitor:
        done = sum(skipped.values())
        monitor.start(title, total=done + sum(frames.values()), skipped=done)

    def hear(event: Event) -> None:
        if not isinstance(event, Finished):
            if monitor:
                monitor.advance(event.name, event.frames)
        elif event.error is None:
            on_done(event.name, event.result)
            outcome.done.append(event.name)
            outcome.frames += frames[event.name]
        else:
            on_failed(event.name, event.error)
            outcome.failed[event.name] = event.error
            if monitor:
                monitor.failed(event.name, event.error)

    executor.map(build, jobs, hear)
    return outcome
