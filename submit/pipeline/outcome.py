"""Running the videos of a step, with its progress and its outcome."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..errors import RunError
from ..executors import Event, Executor, Job, Postponed, Progressed, Warned, Worker
from ..runs import Stock

__all__ = ["Bar", "Monitor", "StepOutcome", "run_jobs", "silent"]

#: Most videos that a remark lists.
_LISTED = 4


class Bar(Protocol):
    """Shows the progress of a step."""

    def add(self, name: str, total: int) -> None:
        """Begin a video of `total` frames."""
        ...

    def advance(self, name: str, count: int = 1) -> None:
        """Count finished frames of a video."""
        ...

    def finish(self, name: str) -> None:
        """End a video, complete or failed."""
        ...

    def note(self, message: str) -> None:
        """Print a remark."""
        ...


class Monitor(Protocol):
    """Opens a bar for a step: called with its title and the frames to be done."""

    def __call__(self, title: str, *, total: int) -> AbstractContextManager[Bar]:
        """Open the bar; leaving the block closes it."""
        ...


class _Silence:
    """A bar that shows nothing."""

    def add(self, name: str, total: int) -> None:
        """Show nothing."""

    def advance(self, name: str, count: int = 1) -> None:
        """Show nothing."""

    def finish(self, name: str) -> None:
        """Show nothing."""

    def note(self, message: str) -> None:
        """Show nothing."""


def silent(title: str, *, total: int) -> AbstractContextManager[Bar]:
    """A monitor that shows nothing."""
    del title, total
    return nullcontext(_Silence())


@dataclass
class StepOutcome:
    """The result of a step.

    Attributes:
        name: Name of the run.
        done: Videos made now.
        skipped: Videos that were complete already.
        failed: The reason for each video that failed.
        frames: Frames made now.
        details: Further results of the step.
    """

    name: str
    done: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    frames: int = 0
    details: dict[str, Any] = field(default_factory=dict)

    def require_complete(self, where: str) -> None:
        """Raise if a video failed.

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
    outcome: StepOutcome,
    *,
    executor: Executor,
    build: Callable[[str], Worker],
    jobs: Sequence[Job],
    stock: Stock,
    on_done: Callable[[str, Any], None],
    on_failed: Callable[[str, str], None] = lambda video, reason: None,
    changed: str = "what they are made from has changed",
    gone: Sequence[str] = (),
    threads: int | None = None,
    closing: Callable[[], Iterable[str]] = tuple,
    monitor: Monitor = silent,
) -> StepOutcome:
    """Run the jobs of a step and keep its outcome, manifest and bar up to date.

    Args:
        title: What the bar shows.
        outcome: Filled in and returned.
        executor: Runs the jobs.
        build: Makes a worker; see `Executor`.
        jobs: One per video that is to be made; its cost is its number of frames.
        stock: The state of the requested videos.
        on_done: Called with each complete video and the worker's result.
        on_failed: Called with each failed video and the reason.
        changed: Why videos are outdated, for a remark.
        gone: Videos that were removed, since their source does not exist any more.
        threads: Number of threads that a job computes with; None where the result does
            not depend on it.
        closing: Returns the remarks to print at the end.
        monitor: Opens the bar.
    """
    frames = {job.name: int(job.cost) for job in jobs}
    begun: set[str] = set()
    shown: set[str] = set()
    alike: dict[str, list[str]] = {}
    outcome.skipped.extend(stock.current)
    with monitor(title, total=sum(frames.values())) as bar:
        if outcome.skipped:
            total = len(outcome.skipped) + len(jobs)
            bar.note(f"{title}: already complete: {len(outcome.skipped)} of {total}")
        for remark in stock.remarks(changed, gone):
            bar.note(f"{title}: {remark}")

        def hear(event: Event) -> None:
            if isinstance(event, Warned):
                # Several workers and videos may give the same warning.
                if event.text not in shown:
                    shown.add(event.text)
                    bar.note(f"Warning: {event.text}")
                return
            if isinstance(event, Postponed):
                # Its frames count from the first; those that are saved, at once.
                begun.add(event.name)
                bar.add(event.name, frames[event.name])
                bar.note(
                    f"{event.name}: {event.reason}; it is tried once more, alone, when "
                    "the others have ended"
                )
                return
            if event.name not in begun:
                begun.add(event.name)
                bar.add(event.name, frames[event.name])
            if isinstance(event, Progressed):
                bar.advance(event.name, event.frames)
                return
            bar.finish(event.name)
            if event.error is None:
                on_done(event.name, event.result)
                outcome.done.append(event.name)
                outcome.frames += frames[event.name]
            else:
                on_failed(event.name, event.error)
                outcome.failed[event.name] = event.error
                # One mistake in a model makes every video fail with the same lines.
                named = rf"(?<!\w){re.escape(event.name)}(?!\w)"
                reason = re.sub(named, "", event.error)
                names = alike.setdefault(reason, [])
                names.append(event.name)
                if len(names) == 1:
                    bar.note(f"{event.name} failed: {event.error}")

        executor.map(build, jobs, hear, threads=threads)
        for names in alike.values():
            if len(names) > 1:
                bar.note(_same_reason(names))
        for remark in closing():
            bar.note(f"{title}: {remark}")
    return outcome


def _same_reason(names: Sequence[str]) -> str:
    """Name the videos that failed for the same reason as the first."""
    first, *others = names
    listed = ", ".join(sorted(others)[:_LISTED])
    more = f" and {len(others) - _LISTED} more" if len(others) > _LISTED else ""
    return f"{listed}{more} failed for the same reason as {first}"
