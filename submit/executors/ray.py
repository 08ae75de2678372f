"""Workers of a Ray cluster.

The folders of the split and of the runs must be the same on every node, on a shared
file system. Needs the extra `ray`: pip install mose-submit[ray].
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import PredictorError, SubmitError
from ..system.threads import variables
from ..system.warned import warnings_to
from .base import Began, Event, Finished, Job, Warned, Worker, do_job, longest_first

__all__ = ["RayExecutor"]

#: Seconds between two polls of the workers' messages.
_POLL = 0.5


class RayExecutor:
    """Runs jobs in actors of a Ray cluster: that of RAY_ADDRESS, or a local one.

    If an actor dies, only its video fails; between two videos, none fails.

    Args:
        workers: Number of actors; None for as many as the cluster has GPUs, or shares
            of `cores` where it has none.
        device: What each actor's model runs on; `auto` requests one GPU per actor if
            the cluster has any, else it uses the processors. Ray shows each actor only
            its own GPU, so `cuda` has no number.
        cores: Processor cores that one actor can use without a GPU.
    """

    def __init__(
        self, *, workers: int | None = None, device: str = "auto", cores: int = 1
    ) -> None:
        self._workers = workers
        self._device = device
        self._cores = cores

    def map(
        self,
        build: Callable[[str], Worker],
        jobs: Sequence[Job],
        notify: Callable[[Event], None],
        *,
        threads: int | None = None,
    ) -> None:
        """Run all jobs, long ones first, and call `notify` with each event."""
        if not jobs:
            return
        ray = _connected()
        from ray.util.queue import Queue

        found = ray.cluster_resources()
        gpus = int(found.get("GPU", 0)) if self._device in ("auto", "cuda") else 0
        if not gpus and self._device.startswith("cuda"):
            raise PredictorError(
                f"--device {self._device}: the Ray cluster has {found.get('GPU', 0):g} "
                f"GPUs and {found.get('CPU', 0):g} processor cores; expected auto, cpu "
                "or, where there are GPUs, cuda, which Ray numbers by itself"
            )
        fair = gpus or int(found.get("CPU", 1)) // self._cores
        count = max(1, min(self._workers or fair, len(jobs)))
        needs = {"num_gpus": 1} if gpus else {"num_cpus": self._cores}
        environment = {"env_vars": variables(threads or 1)}
        device = "cuda" if gpus else self._device.replace("auto", "cpu")
        events = Queue()
        actor = ray.remote(**needs, runtime_env=environment)(_Actor)
        queue = list(reversed(longest_first(jobs)))
        running: dict[Any, tuple[Any, Job]] = {}
        began: set[str] = set()
        returned: set[str] = set()

        def give(worker: Any) -> None:
            job = queue.pop()
            running[worker.do.remote(job)] = (worker, job)

        def hear() -> None:
            for event in events.get_nowait_batch(events.qsize()):
                if isinstance(event, Began):
                    began.add(event.name)
                else:
                    notify(event)

        try:
            for _ in range(count):
                give(actor.remote(build, device, events))
            while running:
                done, _ = ray.wait(list(running), timeout=_POLL)
                hear()
                for reference in done:
                    worker, job = running.pop(reference)
                    try:
                        outcome = ray.get(reference)
                    except ray.exceptions.RayActorError as error:
                        worker = actor.remote(build, device, events)
                        if job.name not in began | returned:
                            # It died before it saw its job, so another actor gets the
                            # job.
                            returned.add(job.name)
                            queue.append(job)
                            give(worker)
                            continue
                        outcome = Finished(job.name, error=_unexpected_exit(error))
                    if isinstance(outcome, SubmitError):
                        raise outcome
                    notify(outcome)
                    if queue:
                        give(worker)
        finally:
            events.shutdown(force=True)
            for worker, _job in running.values():
                ray.kill(worker)


class _Actor:
    """A worker on some node; returns a `SubmitError` if all jobs would fail."""

    def __init__(
        self, build: Callable[[str], Worker], device: str, events: Any
    ) -> None:
        self._build, self._device, self._events = build, device, events
        self._worker: Worker | None = None

    def do(self, job: Job) -> Finished | SubmitError:
        try:
            if self._worker is None:
                self._worker = self._build(self._device)
            self._events.put(Began(job.name))
            with warnings_to(lambda text: self._events.put(Warned(job.name, text))):
                return do_job(self._worker, job, self._events.put)
        except SubmitError as error:
            return error


def _connected() -> Any:
    """Import Ray and join its cluster.

    Raises:
        PredictorError: Ray is not installed, or there is no cluster at the address.
    """
    try:
        import ray
    except ImportError as error:
        raise PredictorError(
            "the executor ray needs the package ray; do: pip install 'mose-submit[ray]'"
        ) from error
    if not ray.is_initialized():
        address = os.environ.get("RAY_ADDRESS")
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except ConnectionError as error:
            raise PredictorError(
                f"no Ray cluster answers at RAY_ADDRESS={address} ({error}); start one "
                "with: ray start --head"
            ) from error
    return ray


def _unexpected_exit(error: Exception) -> str:
    first = str(error).strip().splitlines()[0]
    return (
        f"its Ray actor died ({first}), probably because memory ran out; run the same "
        "command again with fewer --workers"
    )
