"""An executor for tests that need no processes of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from submit.executors.base import Event, Job, Worker, do_job


class Inline:
    """Runs jobs in this process; simulates a kill after a number of jobs."""

    def __init__(self, jobs: int = 1000) -> None:
        self._left = jobs

    def map(
        self,
        build: Callable[[str], Worker],
        jobs: Sequence[Job],
        notify: Callable[[Event], None],
        *,
        threads: int | None = None,
    ) -> None:
        del threads
        worker = build("cpu")
        for job in jobs:
            if not self._left:
                raise KeyboardInterrupt
            self._left -= 1
            notify(do_job(worker, job, notify))
