"""Locks on a file system that has none: `flock` says so here."""

from __future__ import annotations

import errno
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from submit.errors import StorageError
from submit.system import holders
from submit.system.files import locked


@pytest.fixture(autouse=True)
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    monkeypatch.setattr(holders, "_BEAT", 0.01)
    monkeypatch.setattr(holders, "_PATIENCE", 0.2)
    monkeypatch.setattr(holders, "_SETTLED", 0.0)


def test_a_second_holder_is_refused_while_the_first_is_alive(tmp_path: Path) -> None:
    path = tmp_path / "run" / ".lock"
    with locked(path) as lock:
        assert lock.is_in_place()
        # It is certain that the holder lives when its file has changed.
        holders._PATIENCE = 60.0
        with pytest.raises(StorageError, match=rf"writing here.*process {os.getpid()}"):
            locked(path).__enter__()
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    with locked(path):
        pass


def test_the_place_of_a_killed_process_is_taken_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holders, "_PATIENCE", 600.0)
    code = (
        "import os, sys; from pathlib import Path; from submit.system import holders\n"
        "with holders.holding(Path(sys.argv[1]), busy=''):\n"
        "    print(flush=True); sys.stdin.read()"
    )
    path = tmp_path / "held"
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=pipe, stdout=pipe
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    assert path.exists()
    with holders.holding(path, busy="busy") as holder:
        assert holder.is_mine()
    assert not path.exists()


def test_a_process_of_another_machine_is_dead_when_its_file_stays_the_same(
    tmp_path: Path,
) -> None:
    path = tmp_path / "held"
    path.write_text("elsewhere 17 abc 000000000003\n")
    with holders.holding(path, busy="busy") as holder:
        assert holder.is_mine()


def test_a_holder_whose_place_was_taken_notices_it(tmp_path: Path) -> None:
    """As one that was suspended for a long time."""
    path = tmp_path / "run" / ".lock"
    with locked(path) as lock:
        (tmp_path / ".run.lock").write_text("elsewhere 17 abc 000000000003\n")
        with pytest.raises(StorageError, match="was removed or renamed"):
            lock.require_in_place()
    assert (tmp_path / ".run.lock").exists()


def test_a_process_of_another_machine_of_the_same_name_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    line = f"{platform.node()} {process.pid} {{}} abc 000000000003\n"
    assert holders._died_here(line.format(holders._boot()))
    assert not holders._died_here(line.format("0b5c7a1e-another-boot"))
