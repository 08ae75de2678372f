"""Messages of every step during its work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from submit.executors import Event, Finished, Job, Warned, Worker
from submit.pipeline.outcome import StepOutcome, run_jobs
from submit.runs.identity import Stock


class Played:
    """An executor that plays the events of a test."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._events = events

    def map(
        self,
        build: Callable[[str], Worker],
        jobs: Sequence[Job],
        notify: Callable[[Event], None],
        *,
        threads: int | None = None,
    ) -> None:
        for event in self._events:
            notify(event)


class Noted:
    """A progress bar that records remarks."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, name: str, total: int) -> None: ...

    def advance(self, name: str, count: int = 1) -> None: ...

    def finish(self, name: str) -> None: ...

    def note(self, message: str) -> None:
        self.lines.append(message)


def remarks(*events: Event, names: Sequence[str] = tuple("abc")) -> list[str]:
    bar = Noted()

    @contextmanager
    def monitor(title: str, *, total: int) -> Iterator[Noted]:
        yield bar

    run_jobs(
        "predict r",
        StepOutcome("r"),
        executor=Played(events),
        build=lambda device: lambda payload, report: None,
        jobs=[Job(name, 1, None) for name in names],
        stock=Stock((), (), (), tuple(names)),
        on_done=lambda video, result: None,
        monitor=monitor,
    )
    return bar.lines


def test_many_videos_that_fail_in_one_way_show_one_traceback() -> None:
    assert remarks(
        Finished("a", error="bug 1\nTraceback:\n  here"),
        Finished("b", error="bug 1\nTraceback:\n  here"),
        Finished("c", error="bug 2\nTraceback:\n  there"),
    ) == [
        "a failed: bug 1\nTraceback:\n  here",
        "c failed: bug 2\nTraceback:\n  there",
        "b failed for the same reason as a",
    ]


def test_one_reason_is_told_once_however_many_videos_fail_for_it() -> None:
    names = [f"v{number:03}" for number in range(400)]
    lines = remarks(
        *(Finished(name, error=f"video {name}: memory ran out") for name in names),
        names=names,
    )
    assert lines == [
        "v000 failed: video v000: memory ran out",
        "v001, v002, v003, v004 and 395 more failed for the same reason as v000",
    ]


def test_a_warning_of_many_workers_is_told_once() -> None:
    assert remarks(
        Warned("", "no cache"),
        Warned("", "no cache"),
        Warned("a", "old API"),
        Finished("a"),
        Warned("b", "old API"),
        Finished("b"),
        Finished("c"),
    ) == ["Warning: no cache", "Warning: old API"]
