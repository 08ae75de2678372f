"""Workers of a Ray cluster.

The folders of the split and of the runs must be the same on every node, on a shared
file system. Needs the extra `ray`: pip install mose-submit[ray].
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..errors import PredictorError, SubmitError
from ..system.threads import variables
from ..system.warned import warnings_to
from .base import (
    Attempts,
    Build,
    Event,
    Finished,
    Job,
    Progressed,
    Warned,
    Worker,
    do_job,
    longest_first,
)

__all__ = ["RayExecutor"]

#: Seconds between two polls of the workers' messages.
_POLL = 0.5
#: Seconds for which an actor gathers progress before it sends it.
_GATHERED = 0.2
#: How many nodes a job may lose before it is recorded as failed.
_MOST_LOST = 3
#: How many actors may die in a row while they start, apart from those of lost nodes.
_STARTS = 3
#: Seconds in which the cluster notices that a node was lost.
_NOTICED = 20.0
#: Seconds without any worker after which that is said.
_PATIENCE = 30.0


class RayExecutor:
    """Runs jobs in actors of a Ray cluster: that of RAY_ADDRESS, or a local one.

    If a node is lost, its videos are begun again on others, before anything else; one
    that loses three nodes fails. If an actor dies and its node does not, its video is
    tried once more when all others have ended, alone.

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
        build: Build,
        jobs: Sequence[Job],
        notify: Callable[[Event], None],
        *,
        threads: int | None = None,
    ) -> None:
        """Run all jobs, long ones first, and call `notify` with each event."""
        if not jobs:
            return
        # Ray prints there which nodes were lost, where results are expected.
        with contextlib.redirect_stdout(sys.stderr), _connected() as ray:
            self._map(ray, build, jobs, notify, threads or 1)

    def _map(
        self,
        ray: Any,
        build: Build,
        jobs: Sequence[Job],
        notify: Callable[[Event], None],
        threads: int,
    ) -> None:
        found = ray.cluster_resources()
        gpus = int(found.get("GPU", 0)) if self._device in ("auto", "cuda") else 0
        if not gpus and self._device.startswith("cuda"):
            raise PredictorError(
                f"--device {self._device}: the Ray cluster has {found.get('GPU', 0):g} "
                f"GPUs and {found.get('CPU', 0):g} processor cores; expected auto, cpu "
                "or, where there are GPUs, cuda, which Ray numbers by itself"
            )
        fair = gpus or int(found.get("CPU", 1)) // self._cores
        # Without num_cpus=0, a node with more GPUs than cores would leave some idle.
        needs = {"num_gpus": 1, "num_cpus": 0} if gpus else {"num_cpus": self._cores}
        environment = {"env_vars": variables(threads)}
        actor = ray.remote(**needs, runtime_env=environment)(_Actor)
        device = "cuda" if gpus else self._device.replace("auto", "cpu")

        def run(
            build: Build, jobs: Sequence[Job], notify: Callable[[Event], None]
        ) -> None:
            with _Events(ray, notify) as events:
                _Cluster(
                    ray,
                    lambda: actor.remote(build, device, events.queue, os.getcwd()),
                    events,
                    count=max(1, min(self._workers or fair, len(jobs))),
                    needs=", ".join(f"{key}={n}" for key, n in needs.items()),
                ).run(longest_first(jobs))

        attempts = Attempts(build, jobs, notify)
        run(build, jobs, attempts.first)
        for job in attempts.again:
            run(attempts.build, [job], attempts.second)


class _Cluster:
    """The actors and their jobs.

    Args:
        ray: The package.
        start: Starts an actor.
        events: Passes on what actors say.
        count: How many actors there are at most.
        needs: What each of them requests, for a message.
    """

    def __init__(
        self,
        ray: Any,
        start: Callable[[], Any],
        events: _Events,
        *,
        count: int,
        needs: str,
    ) -> None:
        self._ray = ray
        # Of an actor that Ray ends because memory runs out, it raises the second one.
        self._deaths = (
            ray.exceptions.RayActorError,
            ray.exceptions.OutOfMemoryError,
        )
        self._start = start
        self._events = events
        self._count = count
        self._needs = needs
        self._waiting: list[Job] = []
        self._starting: dict[Any, Any] = {}
        self._running: dict[Any, tuple[Any, Job]] = {}
        self._lost: Counter[str] = Counter()
        self._dead_starts = 0
        self._last_death: tuple[float, Exception] | None = None
        self._dead_nodes = self._lost_nodes()
        self._idle_since = time.monotonic()

    def run(self, queue: Sequence[Job]) -> None:
        """Give the jobs to actors, in order, until all have ended."""
        self._waiting = list(reversed(queue))
        try:
            while self._waiting or self._running:
                self._start_actors()
                references = [*self._starting, *self._running]
                if not references:
                    time.sleep(_POLL)
                    continue
                done, _ = self._ray.wait(references, timeout=_POLL)
                self._events.pass_on()
                for reference in done:
                    if reference in self._starting:
                        self._handle_start(reference)
                    else:
                        self._handle_end(reference)
                self._say_idle()
        finally:
            # Without a driver they would end as well, but later.
            for worker in self._starting.values():
                self._ray.kill(worker)
            for worker, _ in self._running.values():
                self._ray.kill(worker)

    def _start_actors(self) -> None:
        """Start as many actors as there are jobs for.

        Raises:
            PredictorError: Several in a row died while they started.
        """
        if not self._may_start():
            return
        there = len(self._starting) + len(self._running)
        wanted = min(self._count - there, len(self._waiting) - len(self._starting))
        for _ in range(wanted):
            worker = self._start()
            self._starting[worker.ready.remote()] = worker

    def _may_start(self) -> bool:
        """Whether actors may be started, after those that died while they started.

        The cluster may notice only later that their node was lost, and not they.

        Raises:
            PredictorError: Several died, no node was lost, and no other actor is left.
        """
        if self._last_death is None or self._dead_starts < _STARTS:
            return True
        lost = self._lost_nodes()
        if lost - self._dead_nodes:
            self._dead_nodes, self._dead_starts = lost, 0
            return True
        when, death = self._last_death
        left = self._starting or self._running
        if left or time.monotonic() - when < _NOTICED:
            return False
        raise PredictorError(
            f"{self._dead_starts} Ray actors died while they started "
            f"({_first(death)}); if the log of the node does not say why, memory ran "
            "out: run with fewer --workers"
        ) from death

    def _lost_nodes(self) -> set[str]:
        return {node["NodeID"] for node in self._ray.nodes() if not node["Alive"]}

    def _handle_start(self, reference: Any) -> None:
        """Give a new actor its first job.

        Raises:
            SubmitError: It cannot make its worker.
        """
        worker = self._starting.pop(reference)
        try:
            error = self._ray.get(reference)
        except self._deaths as death:
            self._dead_starts += 1
            self._last_death = time.monotonic(), death
            return
        if error is not None:
            raise error
        self._dead_starts = 0
        self._give(worker)

    def _handle_end(self, reference: Any) -> None:
        """Note how a job has ended, and give its actor the next one.

        Raises:
            SubmitError: All other jobs would fail as well.
        """
        worker, job = self._running.pop(reference)
        try:
            outcome = self._ray.get(reference)
        except self._deaths as death:
            self._handle_death(job, death)
            return
        except self._ray.exceptions.ObjectLostError:
            # The node was lost after the job had ended, with what it returned.
            self._ray.kill(worker)
            self._handle_loss(job)
            return
        if isinstance(outcome, SubmitError):
            raise outcome
        self._events.say(outcome)
        self._give(worker)

    def _handle_death(self, job: Job, death: Exception) -> None:
        """Return the job of a dead actor, if its node was lost, or record it."""
        reason = f"its Ray actor died ({_first(death)})"
        if not self._is_node_lost(death):
            error = (
                f"{reason}, probably because memory ran out; run the same command "
                "again with fewer --workers"
            )
            self._events.say(Finished(job.name, error=error, again=reason))
            return
        self._handle_loss(job)

    def _handle_loss(self, job: Job) -> None:
        """Begin the job of a lost node again, or record it after several losses."""
        self._lost[job.name] += 1
        if self._lost[job.name] == _MOST_LOST:
            error = (
                f"{_MOST_LOST} nodes of the Ray cluster were lost while they did it; "
                "look at why, and run the same command again"
            )
            self._events.say(Finished(job.name, error=error))
            return
        self._events.say(
            Warned(job.name, f"{job.name}: its node was lost; another one takes it")
        )
        self._waiting.append(job)

    def _give(self, worker: Any) -> None:
        """Give an actor the next job; without one it ends, and its share is free."""
        if not self._waiting:
            self._ray.kill(worker)
            return
        job = self._waiting.pop()
        number = self._lost[job.name]
        self._events.begin(job.name, number)
        self._running[worker.do.remote(job, number)] = (worker, job)

    def _is_node_lost(self, death: Exception) -> bool:
        """Whether an actor died because its node did."""
        text = str(death)
        return "node" in text.lower() and any(
            not node["Alive"] and node["NodeID"] in text for node in self._ray.nodes()
        )

    def _say_idle(self) -> None:
        """Say it if no actor finds room for a long time."""
        if self._running:
            self._idle_since = time.monotonic()
        elif self._waiting and time.monotonic() - self._idle_since > _PATIENCE:
            self._idle_since = float("inf")
            self._events.say(
                Warned(
                    "",
                    "no node of the Ray cluster has room for a worker yet, which needs "
                    f"{self._needs}; waiting",
                )
            )


class _Events:
    """What actors say while they work, in a queue on the node of this process.

    On any other node it could be lost. What an earlier actor said of a job that is
    begun again is not repeated.
    """

    def __init__(self, ray: Any, notify: Callable[[Event], None]) -> None:
        from ray.util.queue import Queue
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = ray.get_runtime_context().get_node_id()
        self.queue = Queue(
            actor_options={
                "num_cpus": 0,
                "scheduling_strategy": NodeAffinitySchedulingStrategy(here, soft=False),
            }
        )
        self._notify = notify
        self._number: dict[str, int] = {}
        self._told: Counter[str] = Counter()
        self._seen: Counter[str] = Counter()

    def begin(self, name: str, number: int) -> None:
        """Note that an actor begins a job, after so many others were lost."""
        self._number[name] = number
        self._seen[name] = 0

    def pass_on(self) -> None:
        """Pass on what has been said since the last call."""
        for number, event in self.queue.get_nowait_batch(self.queue.qsize()):
            if event.name and number != self._number.get(event.name):
                continue
            if isinstance(event, Progressed):
                self._seen[event.name] += event.frames
                new = self._seen[event.name] - self._told[event.name]
                if new <= 0:
                    continue
                self._told[event.name] += new
                event = Progressed(event.name, new)
            self._notify(event)

    def say(self, event: Event) -> None:
        """Pass on something that this process says."""
        self._notify(event)

    def __enter__(self) -> _Events:
        return self

    def __exit__(self, *error: object) -> None:
        self.queue.shutdown(force=True)


class _Actor:
    """A worker on some node; returns a `SubmitError` if all jobs would fail."""

    def __init__(self, build: Build, device: str, events: Any, folder: str) -> None:
        # Paths are those of the driver, also if they are relative.
        with contextlib.suppress(OSError):
            os.chdir(folder)
        self._build, self._device, self._events = build, device, events
        self._worker: Worker | None = None
        self._gathered = 0
        self._sent = 0.0

    def ready(self) -> SubmitError | None:
        """Make the worker."""
        try:
            with warnings_to(lambda text: self._events.put((0, Warned("", text)))):
                self._worker = self._build(self._device)
        except SubmitError as error:
            return error
        return None

    def do(self, job: Job, number: int) -> Finished | SubmitError:
        """Do a job, after so many actors of it were lost."""
        assert self._worker is not None

        def send(event: Event) -> None:
            if isinstance(event, Progressed):
                # A message takes about as long as exporting a frame.
                self._gathered += event.frames
                if time.monotonic() - self._sent < _GATHERED:
                    return
                event = Progressed(job.name, self._gathered)
                self._gathered, self._sent = 0, time.monotonic()
            self._events.put((number, event))

        try:
            with warnings_to(lambda text: send(Warned(job.name, text))):
                ended = do_job(self._worker, job, send)
        except SubmitError as error:
            return error
        if self._gathered:
            self._events.put((number, Progressed(job.name, self._gathered)))
            self._gathered = 0
        return ended


@contextlib.contextmanager
def _connected() -> Iterator[Any]:
    """Import Ray and join its cluster; it is left at the end.

    A process that stayed in it would print what Ray has to say at any time.

    Raises:
        PredictorError: Ray is not installed, or there is no cluster at the address.
    """
    try:
        import ray
    except ImportError as error:
        raise PredictorError(
            "the executor ray needs the package ray; do: pip install 'mose-submit[ray]'"
        ) from error
    if ray.is_initialized():
        yield ray
        return
    address = os.environ.get("RAY_ADDRESS")
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except ConnectionError as error:
        raise PredictorError(
            f"no Ray cluster answers at RAY_ADDRESS={address} ({error}); start one "
            "with: ray start --head"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _first(error: Exception) -> str:
    """The first line of what Ray says."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
