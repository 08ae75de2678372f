"""What every step over the videos of a run has in common."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..errors import RunError
from ..executors import Event, Executor, Job, Progressed, Warned, Worker
from ..runs import Stock

__all__ = ["Bar", "Monitor", "StepOutcome", "run_jobs", "silent"]

#: Videos that a remark lists.
_LISTED = 4


class Bar(Protocol):
    """Shows how a step goes on."""

    def add(self, name: str, total: int) -> None:
        """A video of so many frames is begun."""
        ...

    def advance(self, name: str, count: int = 1) -> None:
        """Some more frames of a video are done."""
        ...

    def finish(self, name: str) -> None:
        """A video has ended, complete or failed."""
        ...

    def note(self, message: str) -> None:
        """Something is worth a line."""
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
    """The monitor of a step that nobody watches."""
    del title, total
    return nullcontext(_Silence())


@dataclass
class StepOutcome:
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
        stock: What is there of the videos that are asked for.
        on_done: Told of each complete video and what the worker returned.
        on_failed: Told of each failed video and the reason.
        changed: Why videos are outdated, for a remark.
        gone: Videos that were taken out, since what they were made from is gone.
        threads: Number of threads that a job computes with; None where the result does
            not depend on it.
        closing: Asked at the end for what is worth a remark.
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
                # Each worker, and each video, may warn of the same.
                if event.text not in shown:
                    shown.add(event.text)
                    bar.note(f"Warning: {event.text}")
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
                # One mistake in a model fails every video with the same lines.
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
    """Name videos that failed for the reason that was shown for the first one."""
    first, *others = names
    listed = ", ".join(sorted(others)[:_LISTED])
    more = f" and {len(others) - _LISTED} more" if len(others) > _LISTED else ""
    return f"{listed}{more} failed for the same reason as {first}"
