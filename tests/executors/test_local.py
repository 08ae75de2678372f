from __future__ import annotations

import errno
import functools
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from submit.errors import MaskError, PredictorError, StorageError
from submit.executors import (
    Event,
    Finished,
    Job,
    LocalExecutor,
    Postponed,
    Progressed,
    Warned,
    Worker,
)
from submit.system.threads import prepared_threads

linux_only = pytest.mark.skipif(
    sys.platform != "linux", reason="looks processes up in /proc"
)


class OutOfMemoryError(RuntimeError):
    """As torch calls its own."""


def build(device: str) -> Worker:
    return functools.partial(work, device)


def work(device: str, payload: tuple[str, Any], progress: Callable[[int], None]) -> Any:
    """The work of the workers in these tests."""
    what, value = payload
    if what == "double":
        progress(1)
        progress(2)
        return value * 2
    if what == "raise":
        raise value
    if what == "kill":
        os.kill(os.getpid(), value)
    if what == "where":
        return device, os.getpid(), os.environ.get("OMP_NUM_THREADS")
    if what == "meet":
        # Both workers must run at the same time, so that each gets a job.
        (value / f"{os.getpid()}").touch()
        while len(list(value.iterdir())) < 2:
            time.sleep(0.01)
        return work(device, ("where", None), progress)
    if what == "die later":
        threading.Thread(target=die_when_told, args=(value,), daemon=True).start()
    if what == "warn":
        warnings.warn(value, FutureWarning, stacklevel=1)
    if what == "exit":
        sys.exit(value)
    return None


def die_when_told(folder: Path) -> None:
    (folder / str(os.getpid())).touch()
    while not (folder / "die").exists():
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)


def build_nothing(error: Exception, device: str) -> Worker:
    raise error


def build_suicide(device: str) -> Worker:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def build_at_last(folder: Path, deaths: int, device: str) -> Worker:
    """Make a worker after so many others were killed at this place."""
    if len(list(folder.iterdir())) < deaths:
        (folder / str(os.getpid())).touch()
        build_suicide(device)
    return build(device)


def build_one(folder: Path, device: str) -> Worker:
    """Make one worker; all others are killed."""
    with (folder / "one").open("x"):
        return functools.partial(wait_until_told, folder)


def build_one_or_die(how: str, folder: Path, device: str) -> Worker:
    try:
        return build_one(folder, device)
    except FileExistsError:
        if how == "MemoryError":
            raise MemoryError("2 GiB") from None
        if how == "exit":
            while not (folder / "began").exists():
                time.sleep(0.01)
            sys.exit(3)
        return build_suicide(device)


def wait_until_told(folder: Path, payload: Any, progress: Callable[[int], None]) -> int:
    (folder / "began").touch()
    while not (folder / "told").exists():
        time.sleep(0.01)
    return os.getpid()


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch, repository: Path) -> None:
    """Let workers import this file, however pytest was started."""
    monkeypatch.syspath_prepend(repository)


@pytest.fixture(autouse=True)
def no_workers_left() -> Iterator[None]:
    yield
    assert multiprocessing.active_children() == []


def run(
    jobs: Sequence[Job],
    *,
    workers: int = 1,
    devices: Sequence[str] = ("cpu",),
    build: Callable[[str], Worker] = build,
    threads: int | None = None,
) -> list[Event]:
    events: list[Event] = []
    executor = LocalExecutor(workers=workers, devices=devices)
    executor.map(build, jobs, events.append, threads=threads)
    return events


def finished(events: Sequence[Event]) -> dict[str, Finished]:
    ends = [event for event in events if isinstance(event, Finished)]
    assert len({end.name for end in ends}) == len(ends)
    return {end.name: end for end in ends}


one_or_two = pytest.mark.parametrize("workers", [1, 2])


@one_or_two
def test_every_job_is_done_once_and_its_progress_told(workers: int) -> None:
    jobs = [Job(f"v{n}", cost=n, payload=("double", n)) for n in range(7)]
    events = run(jobs, workers=workers)
    assert {name: end.result for name, end in finished(events).items()} == {
        f"v{n}": 2 * n for n in range(7)
    }
    for job in jobs:
        own = [event for event in events if event.name == job.name]
        assert own == [
            Progressed(job.name, 1),
            Progressed(job.name, 2),
            Finished(job.name, result=job.payload[1] * 2),
        ]


def test_long_jobs_go_first_and_equal_ones_by_name() -> None:
    costs = {"b": 3, "a": 3, "z": 9.5, "m": 1, "c": 3}
    jobs = [Job(name, cost, ("double", 0)) for name, cost in costs.items()]
    assert list(finished(run(jobs))) == ["z", "a", "b", "c", "m"]


def test_no_jobs_need_no_worker() -> None:
    nothing = functools.partial(build_nothing, PredictorError("built for nothing"))
    assert run([], workers=2, build=nothing) == []


@pytest.mark.parametrize(("workers", "count"), [(1, 3), (2, 1)])
def test_the_work_is_done_in_this_process_when_one_worker_does(
    workers: int, count: int
) -> None:
    jobs = [Job(f"v{n}", 1, ("where", None)) for n in range(count)]
    for threads in (None, prepared_threads()):
        events = run(jobs, workers=workers, devices=["mine"], threads=threads)
        for end in finished(events).values():
            assert end.result[:2] == ("mine", os.getpid())


def test_another_number_of_threads_takes_another_process() -> None:
    (end,) = finished(run([Job("a", 1, ("where", None))], threads=5)).values()
    _, process, threads = end.result
    assert process != os.getpid()
    assert threads == "5"


@pytest.mark.slow
def test_workers_share_devices_and_have_the_threads_of_their_jobs(
    tmp_path: Path,
) -> None:
    before = dict(os.environ)
    jobs = [Job(name, 1, ("meet", tmp_path)) for name in "ab"]
    devices = ["cuda:0", "cuda:1", "cuda:2"]
    ends = finished(run(jobs, workers=9, devices=devices, threads=3))
    results = [end.result for end in ends.values()]
    assert {device for device, _, _ in results} == {"cuda:0", "cuda:1"}
    pids = {pid for _, pid, _ in results}
    assert len(pids | {os.getpid()}) == 3
    assert {threads for _, _, threads in results} == {"3"}
    assert dict(os.environ) == before


@pytest.mark.slow
@one_or_two
def test_a_job_that_fails_is_told_and_the_rest_go_on(workers: int) -> None:
    errors: dict[str, Exception] = {
        "mask": MaskError("a/00000.png: is truncated"),
        "bug": ZeroDivisionError("division by zero"),
        "memory": MemoryError(),
        "torch": OutOfMemoryError("CUDA out of memory. Tried 2 GiB"),
        "gone": FileNotFoundError(errno.ENOENT, "No such file"),
        "removed": FileNotFoundError(errno.ENOENT, "No such file", "a/00001.jpg"),
    }
    jobs = [Job(name, 9, ("raise", error)) for name, error in errors.items()]
    jobs += [Job("good1", 99, ("double", 1)), Job("good2", 1, ("double", 2))]
    ends = finished(run(jobs, workers=workers))
    assert ends["good1"].result == 2
    assert ends["good2"].result == 4
    assert ends["mask"] == Finished("mask", error="a/00000.png: is truncated")
    bug = ends["bug"].error
    assert bug is not None
    assert bug.startswith("ZeroDivisionError: division by zero (a bug of mose-submit")
    assert "test_local.py" in bug
    assert ends["memory"].error == (
        "memory ran out; it was tried once more, alone, and the same happened; use a "
        "machine with more memory, or other options (such as a smaller input size) "
        "under another --name"
    )
    assert "(CUDA out of memory. Tried 2 GiB)" in str(ends["torch"].error)
    assert "FileNotFoundError" in str(ends["gone"].error)
    assert ends["removed"] == Finished(
        "removed",
        error="a/00001.jpg: there is no such file or folder; check the path",
    )


def test_a_model_that_says_itself_that_memory_ran_out_is_tried_again() -> None:
    error = PredictorError("net at image_size=1024 ran out of memory; use a GPU")
    error.__cause__ = MemoryError()
    (end,) = finished(run([Job("a", 1, ("raise", error))])).values()
    assert str(end.error).startswith(
        "net at image_size=1024 ran out of memory; it was tried once more, alone, and "
        "the same happened; use a machine with more memory"
    )


@pytest.mark.parametrize(
    ("workers", "error"),
    [
        (1, StorageError("v: the disk is full")),
        (1, OSError(errno.ENOSPC, "No space left")),
        (2, OSError(errno.ENOSPC, "No space left")),
    ],
)
def test_a_disk_that_refuses_ends_everything(workers: int, error: Exception) -> None:
    jobs = [Job(f"v{n}", 1, ("raise", error)) for n in range(5)]
    events: list[Event] = []
    with pytest.raises(StorageError, match="disk is full"):
        LocalExecutor(workers=workers).map(build, jobs, events.append)
    assert events == []


@one_or_two
def test_an_error_in_build_ends_everything(workers: int) -> None:
    error = PredictorError("no checkpoint; download one")
    jobs = [Job(f"v{n}", 1, ("double", n)) for n in range(3)]
    with pytest.raises(PredictorError, match="no checkpoint; download one"):
        run(jobs, workers=workers, build=functools.partial(build_nothing, error))


@pytest.mark.slow
def test_a_worker_that_dies_at_its_start_is_not_started_for_ever() -> None:
    jobs = [Job(f"v{n}", 1, ("double", n)) for n in range(3)]
    with pytest.raises(PredictorError, match=r"ended while it started \(SIGKILL\)"):
        run(jobs, workers=2, build=build_suicide)


@pytest.mark.slow
def test_a_worker_that_is_killed_while_it_starts_is_started_again(
    tmp_path: Path,
) -> None:
    jobs = [Job(f"v{n}", 1, ("double", n)) for n in range(3)]
    started = functools.partial(build_at_last, tmp_path, 2)
    events = run(jobs, build=started, threads=5)
    assert not any(isinstance(event, Warned) for event in events)
    assert [end.result for end in finished(events).values()] == [0, 2, 4]
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "said"),
    [
        # That worker exits when the other one has begun its job.
        ("exit", "(exit status 3); if nothing above says why, memory ran out: the oth"),
        ("kill", "(SIGKILL); if nothing above says why, memory ran out: the other"),
        ("MemoryError", "(memory ran out: 2 GiB); the other"),
    ],
    ids=["exit", "kill", "memory"],
)
def test_the_workers_that_live_go_on_without_those_that_cannot_start(
    tmp_path: Path, how: str, said: str
) -> None:
    events: list[Event] = []

    def notify(event: Event) -> None:
        events.append(event)
        if isinstance(event, Warned):
            (tmp_path / "told").touch()

    jobs = [Job(f"v{n}", 1, None) for n in range(4)]
    started = functools.partial(build_one_or_die, how, tmp_path)
    LocalExecutor(workers=2).map(started, jobs, notify)
    (warned,) = (event.text for event in events if isinstance(event, Warned))
    assert warned.startswith(f"a worker process ended while it started {said}")
    ends = finished(events)
    assert len(ends) == len(jobs)
    assert len({end.result for end in ends.values()}) == 1


@pytest.mark.slow
def test_memory_that_runs_out_at_every_start_is_said() -> None:
    jobs = [Job(f"v{n}", 1, None) for n in range(2)]
    short = functools.partial(build_nothing, MemoryError("2 GiB"))
    with pytest.raises(PredictorError) as error:
        run(jobs, workers=2, build=short)
    assert str(error.value) == (
        "a worker process ended while it started (memory ran out: 2 GiB); run with "
        "fewer --workers"
    )


@pytest.mark.slow
def test_a_worker_that_dies_costs_its_job_and_no_other() -> None:
    jobs = [
        Job("killed", 9, ("kill", signal.SIGKILL)),
        Job("left", 8, ("exit", 3)),
        *(Job(f"v{n}", 1, ("double", n)) for n in range(4)),
    ]
    ends = finished(run(jobs, workers=2))
    assert [ends[f"v{n}"].result for n in range(4)] == [0, 2, 4, 6]
    for name, how in {"killed": "SIGKILL", "left": "exit status 3"}.items():
        assert str(ends[name].error).startswith(
            f"its worker process was killed ({how}); it was tried once more, alone, "
            "and the same happened; use a machine with more memory"
        )


class Careful:
    """Makes workers that die, unless they are made to be sparing."""

    def __init__(self, spared: bool = False) -> None:
        self._spared = spared

    def __call__(self, device: str) -> Worker:
        return functools.partial(careful, self._spared)

    def sparing(self) -> tuple[Callable[[str], Worker], str]:
        return Careful(spared=True), "batch=1"


def careful(
    spared: bool, payload: tuple[Path, str], progress: Callable[[int], None]
) -> Any:
    """Die or fail in the first attempt, and write down who runs at the same time."""
    folder, what = payload
    mine = folder / str(os.getpid())
    mine.touch()
    progress(1)
    if not spared and what == "killed":
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "hungry" or (not spared and what == "short"):
        raise MemoryError("2 GiB")
    mine.unlink()
    beside = [path.name for path in folder.iterdir() if alive(int(path.name))]
    return spared, beside


@pytest.mark.slow
@linux_only
def test_what_died_or_ran_out_of_memory_is_tried_once_more_alone_and_sparing(
    tmp_path: Path,
) -> None:
    kinds = ["killed", "short", "hungry", "good"]
    jobs = [Job(name, n, (tmp_path, name)) for n, name in enumerate(kinds)]
    events = run(jobs, workers=2, build=Careful())
    ends = finished(events)

    assert ends["good"].result[0] is False
    assert ends["killed"].result == ends["short"].result == (True, [])
    assert str(ends["hungry"].error).startswith(
        "memory ran out (2 GiB); it was tried once more, alone and with batch=1, and "
        "the same happened; use a machine"
    )
    again = {event.name: event.reason for event in events if type(event) is Postponed}
    assert again == {
        "killed": "its worker process was killed (SIGSEGV)",
        "short": "memory ran out (2 GiB)",
        "hungry": "memory ran out (2 GiB)",
    }
    # All others have ended before the first second attempt.
    order = [event.name for event in events if isinstance(event, Finished)]
    assert order == ["good", "hungry", "short", "killed"]


@pytest.mark.slow
@linux_only
def test_a_worker_that_dies_between_two_jobs_costs_none(
    tmp_path: Path,
) -> None:
    events: list[Event] = []

    def notify(event: Event) -> None:
        events.append(event)
        if event.name == "first" and isinstance(event, Finished):
            # It dies now, before it is given its next job.
            wait_for(lambda: any(tmp_path.iterdir()))
            (pid,) = (int(path.name) for path in tmp_path.iterdir())
            (tmp_path / "die").touch()
            wait_for(lambda: not alive(pid))

    jobs = [Job("first", 9, ("die later", tmp_path))]
    jobs += [Job(f"v{n}", 1, ("double", n)) for n in range(5)]
    LocalExecutor(workers=2).map(build, jobs, notify)
    ends = finished(events)
    assert len(ends) == len(jobs)
    assert [end.error for end in ends.values()] == [None] * len(jobs)


@pytest.mark.slow
def test_what_code_in_a_worker_warns_of_is_told_with_its_place() -> None:
    jobs = [Job(f"v{n}", 1, ("warn", f"number {n}")) for n in range(3)]
    events = run(jobs, workers=2)
    warned = {event.name: event.text for event in events if isinstance(event, Warned)}
    assert sorted(warned) == ["v0", "v1", "v2"]
    for n in range(3):
        text = warned[f"v{n}"]
        assert text.startswith("FutureWarning in executors/test_local.py, line ")
        assert text.endswith(f": number {n}")
    assert not any(end.error for end in finished(events).values())


@pytest.mark.slow
def test_an_error_of_the_listener_ends_the_workers() -> None:
    def notify(event: Event) -> None:
        raise KeyboardInterrupt

    jobs = [Job(f"v{n}", 1, ("double", n)) for n in range(3)]
    with pytest.raises(KeyboardInterrupt):
        LocalExecutor(workers=2).map(build, jobs, notify)


ORPHANS = """
import os, signal, sys, time
from pathlib import Path
from submit.executors import Job, LocalExecutor

def build(device):
    return work

def work(folder, progress):
    (folder / str(os.getpid())).touch()
    time.sleep(600)

if __name__ == "__main__":
    # The parent of the tests may ignore Ctrl-C, as a shell's background jobs do.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    folder = Path(sys.argv[1])
    jobs = [Job(name, 1, folder) for name in "ab"]
    LocalExecutor(workers=2).map(build, jobs, print)
"""


IMPORTING = """
import os, signal, sys, time
from pathlib import Path
from submit.executors import Job, LocalExecutor

folder = Path(sys.argv[1])
if __name__ != "__main__":
    # A worker imports this before it does anything else.
    (folder / str(os.getpid())).touch()
    while True:
        time.sleep(0.01)

def build(device):
    raise AssertionError

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    LocalExecutor(workers=2).map(build, [Job(n, 1, None) for n in "ab"], print)
"""


@linux_only
def test_a_terminals_ctrl_c_is_the_parents_alone(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(IMPORTING)
    folder = tmp_path / "pids"
    folder.mkdir()
    with subprocess.Popen(
        [sys.executable, str(script), str(folder)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        start_new_session=True,
    ) as parent:
        wait_for(lambda: len(list(folder.iterdir())) == 2)
        os.killpg(parent.pid, signal.SIGINT)
        _, printed = parent.communicate(timeout=60)
    assert printed.count("Traceback") == 1
    assert printed.endswith("KeyboardInterrupt\n")
    wait_for(lambda: not any(alive(int(path.name)) for path in folder.iterdir()))


def alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@linux_only
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_end_with_their_parent(tmp_path: Path, how: signal.Signals) -> None:
    script = tmp_path / "script.py"
    script.write_text(ORPHANS)
    folder = tmp_path / "pids"
    folder.mkdir()
    with subprocess.Popen(
        [sys.executable, str(script), str(folder)],
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    ) as parent:
        wait_for(lambda: len(list(folder.iterdir())) == 2)
        pids = [int(path.name) for path in folder.iterdir()]
        assert all(map(alive, pids))
        parent.send_signal(how)
        try:
            parent.wait(60)
        finally:
            parent.kill()
    wait_for(lambda: not any(map(alive, pids)))
