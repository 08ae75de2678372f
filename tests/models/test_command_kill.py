"""The model `command`, interrupted: nothing of a program outlives the command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from submit.runs import Run
from tests.conftest import WriteSplit
from tests.models.test_command_program import runs, wait_until_ended

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="needs /proc"),
]

TRACKER = Path(__file__).with_name("foreign_tracker.py")
VIDEOS = ("a", "b", "c", "d")

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(
    tmp_path: Path, write_split: WriteSplit, monkeypatch: pytest.MonkeyPatch
) -> Start:
    """Start `submit predict` with the script in a process group of its own."""
    monkeypatch.chdir(tmp_path)
    write_split(VIDEOS, frames=("00000", "00001", "00002"))
    for name in ("temporary", "pids"):
        (tmp_path / name).mkdir()

    def call(*more: str, workers: int = 1, threads: int = 1) -> subprocess.Popen[str]:
        run = f"{{python}} {TRACKER} --video {{frames}} --mask {{mask}} --out {{out}}"
        words = [sys.executable, "-m", "submit", "predict", "split", "--name", "r"]
        words += ["--predictor", "command", "--workers", str(workers)]
        for option in (
            f"run={' '.join((run, *more))}",
            f"python={sys.executable}",
            f"threads={threads}",
            "grace=0.2",
        ):
            words += ["-o", option]
        return subprocess.Popen(
            words,
            env={**os.environ, "TMPDIR": str(tmp_path / "temporary")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return call


def programs(count: int, process: subprocess.Popen[str]) -> list[int]:
    """Wait until so many scripts run, and return their numbers."""
    while len(found := list(Path("pids").iterdir())) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    return [int(path.name) for path in found]


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """The processes of a command that are no helpers of Python."""
    text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [
        int(pid)
        for pid in text.split()
        if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


def wait_until_empty(folder: Path) -> None:
    while list(folder.iterdir()):
        time.sleep(0.01)


@pytest.mark.parametrize("threads", [1, 2], ids=["in the command", "in a worker"])
def test_ctrl_c_ends_a_script_that_ignores_sigterm(threads: int, start: Start) -> None:
    process = start("--pid pids", threads=threads)
    (pid,) = programs(1, process)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate()
    assert process.returncode not in (0, 1)
    wait_until_ended(pid)
    wait_until_empty(Path("temporary"))


def test_kill_of_the_command_ends_all_scripts(start: Start) -> None:
    process = start("--pid pids", workers=2)
    pids = programs(2, process)
    process.kill()
    process.communicate()
    for pid in pids:
        wait_until_ended(pid)
    wait_until_empty(Path("temporary"))


def test_kill_of_a_worker_ends_its_script_and_costs_its_video_only(
    start: Start,
) -> None:
    process = start("--pid pids", workers=2)
    before = programs(2, process)
    os.kill(workers_of(process)[0], signal.SIGKILL)
    programs(3, process)
    assert sum(map(runs, before)) == 1
    os.killpg(process.pid, signal.SIGINT)
    process.communicate()


def test_workers_run_scripts_at_the_same_time(start: Start) -> None:
    process = start(workers=3)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert Run.open(Path("runs/r")).videos.keys() == set(VIDEOS)
    assert list(Path("temporary").iterdir()) == []
