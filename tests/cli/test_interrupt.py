"""Ctrl-C ends a command within a frame, in every state of its threads."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
from click.testing import CliRunner

from submit.cli import cli
from tests.conftest import WriteSplit

FRAMES = 12
#: Ctrl-C comes when so many frames are begun.
BEFORE = 3


class InterruptedEvent(threading.Event):
    """An event that sends Ctrl-C to the process at the third call of `is_set`."""

    asked: ClassVar[int] = 0

    def is_set(self) -> bool:
        type(self).asked += 1
        if self.asked == BEFORE:
            main = threading.main_thread().ident
            assert main is not None
            # Python drops an exception in a finaliser, so one Ctrl-C can be lost.
            for _ in range(12):
                signal.pthread_kill(main, signal.SIGINT)
                if self.wait(5):
                    break
            else:
                raise AssertionError("the threads were not stopped")
        return super().is_set()


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Enable Ctrl-C, also if the shell that runs the tests ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def folder(
    write_split: WriteSplit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder with three videos with truth, two runs, their masks and a zip."""
    frames = [f"{n:05d}" for n in range(FRAMES)]
    write_split(("a", "b", "c"), frames=frames, annotated=FRAMES)
    monkeypatch.chdir(tmp_path)
    for line in (
        "predict split --predictor static --name one --workers 1",
        "predict split --predictor static --name two --workers 1",
        "export one --workers 1",
        "pack one -o one.zip",
    ):
        assert CliRunner().invoke(cli, line.split()).exit_code == 0
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    [
        "check one.zip --split split",
        "repair one.zip --split split -o two.zip",
        "score one --split split",
        "compare one one.zip --split split",
        "holdout split -o small --videos 2",
        "preview one two --split split",
        "tune one two --split split -o tuned.toml",
    ],
    ids=lambda line: line.split()[0],
)
def test_a_command_ends_within_a_frame(
    line: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(InterruptedEvent, "asked", 0)
    monkeypatch.setattr(
        "submit.system.pool.threading", SimpleNamespace(Event=InterruptedEvent)
    )
    before = sorted(folder.rglob("*"))
    done = CliRunner().invoke(cli, [*line.split(), "--workers", "1"])
    assert done.exit_code == 130, done.output
    assert done.stderr.endswith("\nError: interrupted\n")
    assert InterruptedEvent.asked == BEFORE
    assert sorted(folder.rglob("*")) == before
