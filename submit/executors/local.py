"""Worker processes on this machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, cast

from ..errors import PredictorError, SubmitError
from ..system.machine import end_quickly, is_out_of_memory, release_memory
from ..system.threads import prepared_threads, variables
from ..system.warned import warnings_to
from .base import (
    Attempts,
    Began,
    Build,
    Event,
    Finished,
    Job,
    Progressed,
    Warned,
    do_job,
    longest_first,
)

__all__ = ["LocalExecutor"]

#: How many workers may be killed in a row while they start.
_STARTS = 3
#: How it is said that a process ended by itself.
_EXIT = "exit status"


class LocalExecutor:
    """Runs jobs in processes of this machine.

    If a worker is killed, for example by the system when memory runs out, a new one
    replaces it, and its video is tried once more when all others have ended, alone. If
    it is killed between two videos, nothing is lost. If it is killed while it starts,
    another one starts when no other does; after three in a row the workers that live go
    on without it, and without any the map ends.

    Args:
        workers: Number of processes; with 1 the work is done in this process, unless
            the jobs need another number of threads than this process uses.
        devices: Devices that the workers use in turn.
        processes: Whether one worker gets a process of its own, too.
    """

    def __init__(
        self,
        *,
        workers: int = 1,
        devices: Sequence[str] = ("cpu",),
        processes: bool = False,
    ) -> None:
        self._workers = workers
        self._devices = tuple(devices)
        self._processes = processes

    def map(
        self,
        build: Build,
        jobs: Sequence[Job],
        notify: Callable[[Event], None],
        *,
        threads: int | None = None,
    ) -> None:
        """Run all jobs, long ones first, and call `notify` with each event."""
        count = min(self._workers, len(jobs))
        processes = (
            self._processes or count > 1 or threads not in (None, prepared_threads())
        )

        def run(
            build: Build, jobs: Sequence[Job], notify: Callable[[Event], None]
        ) -> None:
            queue = longest_first(jobs)
            if processes and queue:
                many = min(count, len(queue))
                _Pool(build, self._devices, many, threads or 1).run(queue, notify)
            elif queue:
                worker = build(self._devices[0])
                for job in queue:
                    notify(do_job(worker, job, notify))

        attempts = Attempts(build, jobs, notify)
        run(build, jobs, attempts.first)
        for job in attempts.again:
            release_memory()
            run(attempts.build, [job], attempts.second)


class _Pool:
    """The worker processes and their jobs."""

    def __init__(
        self,
        build: Build,
        devices: Sequence[str],
        count: int,
        threads: int,
    ) -> None:
        self._build = build
        self._variables = variables(threads)
        self._waiting = [devices[index % len(devices)] for index in range(count)]
        self._members: dict[Connection, _Process] = {}
        self._returned: set[str] = set()
        self._dead_starts = 0
        self._missing = ""

    def run(self, queue: Sequence[Job], notify: Callable[[Event], None]) -> None:
        """Give the jobs to workers, in order, until all have ended."""
        jobs = list(reversed(queue))
        try:
            for _ in range(len(self._waiting)):
                self._start()
            while self._members or (self._waiting and jobs):
                # Several that load weights at once may need more memory than there is.
                others = self._members.values()
                if self._waiting and jobs and all(other.ready for other in others):
                    self._start()
                for connection in wait(list(self._members)):
                    self._handle(
                        self._members[cast(Connection, connection)], jobs, notify
                    )
        finally:
            for process in self._members.values():
                process.kill()

    def _start(self) -> None:
        """Start a worker on the next device."""
        device = self._waiting.pop(0)
        process = _Process.start(self._build, device, self._variables)
        self._members[process.connection] = process

    def _handle(
        self, process: _Process, jobs: list[Job], notify: Callable[[Event], None]
    ) -> None:
        """Handle one message of a worker, and give it its next job if it is ready."""
        try:
            message = process.connection.recv()
        except (EOFError, OSError):
            del self._members[process.connection]
            how = process.unexpected_exit()
            if process.job is not None:
                self._handle_death(process, process.job, how, jobs, notify)
            elif jobs:
                self._handle_dead_start(process, how)
                self._say_missing(notify)
            return
        if isinstance(message, SubmitError):
            raise message
        if isinstance(message, Began):
            process.began = True
            return
        if isinstance(message, _Starved):
            process.starved = message.reason
            return
        if message is None:
            process.ready = True
            self._dead_starts = 0
        else:
            notify(message)
        self._say_missing(notify)
        if not isinstance(message, (Progressed, Warned)):
            process.give(jobs.pop() if jobs else None)
            if process.job is None:
                del self._members[process.connection]
                process.stop()

    def _handle_death(
        self,
        process: _Process,
        job: Job,
        how: str,
        jobs: list[Job],
        notify: Callable[[Event], None],
    ) -> None:
        """Record the job of a worker that was killed, or return one not yet begun."""
        if process.began or job.name in self._returned:
            killed = f"its worker process was killed ({how})"
            notify(Finished(job.name, error=killed, again=killed))
        else:
            # If the next worker exits as well, the job is the reason.
            self._returned.add(job.name)
            jobs.append(job)
        self._waiting.append(process.device)

    def _handle_dead_start(self, process: _Process, how: str) -> None:
        """Let another worker start in the place of one that ended before any job.

        After several in a row, or after one that ended by itself, the others go on.

        Raises:
            PredictorError: No other worker may live.
        """
        self._dead_starts += 1
        killed = bool(process.starved) or not how.startswith(_EXIT)
        if killed and self._dead_starts < _STARTS:
            self._waiting.append(process.device)
            return
        why = "" if process.starved else "if nothing above says why, memory ran out: "
        ended = f"a worker process ended while it started ({how}); {why}"
        others = self._members.values()
        if not (others if killed else any(other.ready for other in others)):
            raise PredictorError(f"{ended}run with fewer --workers")
        self._missing = f"{ended}the other workers go on without it"

    def _say_missing(self, notify: Callable[[Event], None]) -> None:
        """Say that there are fewer workers, once one of the others has started."""
        if self._missing and any(other.ready for other in self._members.values()):
            notify(Warned("", self._missing))
            self._missing = ""


@dataclass
class _Process:
    """A worker process as the parent sees it."""

    process: BaseProcess
    connection: Connection
    device: str
    ready: bool = False
    job: Job | None = None
    began: bool = False
    starved: str = ""

    @classmethod
    def start(
        cls,
        build: Build,
        device: str,
        variables: Mapping[str, str],
    ) -> _Process:
        # Spawn and not fork: threads and CUDA do not survive a fork.
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_serve, args=(theirs, pickle.dumps(build), device), daemon=True
        )
        before = {name: os.environ.get(name) for name in variables}
        os.environ.update(variables)
        try:
            # Ctrl-C must not reach it while it imports modules either.
            with _no_interrupts():
                process.start()
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
        theirs.close()
        return cls(process, ours, device)

    def give(self, job: Job | None) -> None:
        """Send a job, or None to let the process end."""
        self.job, self.began = job, False
        # If the process has exited, the end of its pipe reports it.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(job)

    def stop(self) -> None:
        """Wait for the end of a process that has no more work."""
        self.process.join()
        self.connection.close()

    def unexpected_exit(self) -> str:
        """Say in a few words how a process ended that still had work to do."""
        self.process.join()
        self.connection.close()
        code = self.process.exitcode or 0
        if self.starved:
            return self.starved
        return signal.Signals(-code).name if code < 0 else f"{_EXIT} {code}"

    def kill(self) -> None:
        """End a process at once."""
        self.process.terminate()
        self.process.join()
        self.connection.close()


@dataclass(frozen=True)
class _Starved:
    """What a worker says whose memory runs out while it starts."""

    reason: str


@contextlib.contextmanager
def _no_interrupts() -> Iterator[None]:
    """Block Ctrl-C: processes started meanwhile ignore it, this one gets it later."""
    # Starting the first process starts this helper, which would unblock Ctrl-C.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection, pickled: bytes, device: str) -> None:
    """Run in the worker process: build once, then do one job after another.

    Sends None when it is ready, or `_Starved` if memory runs out before. Then it sends
    the events of each job, and a `SubmitError` if all later jobs would fail as well.
    """
    end_quickly()
    sending = threading.Lock()
    name = ""

    def send(message: Any) -> None:
        # Threads that write or decode may warn while another message is sent.
        with sending:
            connection.send(message)

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent handles Ctrl-C.
    threading.Thread(target=_die_with_parent, daemon=True).start()
    try:
        with warnings_to(lambda text: send(Warned(name, text))):
            # Its imports may warn, too.
            try:
                worker = pickle.loads(pickled)(device)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                said = str(error).partition("\n")[0]
                send(_Starved(f"memory ran out{said and f': {said}'}"))
                return
            send(None)
            while (job := connection.recv()) is not None:
                name = job.name
                send(Began(name))
                send(do_job(worker, job, send))
    except SubmitError as error:
        send(error)


def _die_with_parent() -> None:
    """End this process when the parent ends for any reason."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
