from __future__ import annotations

import io

import pytest
from rich.text import Text

from submit.cli._transfer import Transfer


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_without_a_terminal_bytes_are_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = Clock()
    transfer = Transfer("upload", clock=clock)
    transfer.begin(300_000_000)
    for _ in range(30):
        clock.now += 1
        transfer.sent(10_000_000)
    transfer.end(arrived=True)
    transfer.note("a \x1b remark")
    assert capsys.readouterr().err.splitlines() == [
        "upload: 300.0 MB",
        "upload: 100.0 MB of 300.0 MB, 10.0 MB/s, 20.0 s left",
        "upload: 200.0 MB of 300.0 MB, 10.0 MB/s, 10.0 s left",
        "upload: 300.0 MB of 300.0 MB, 10.0 MB/s, 0.0 s left",
        "upload: 300.0 MB in 30.0 s, 10.0 MB/s",
        "a \\x1b remark",
    ]


def test_a_transfer_that_breaks_says_how_far_it_came_and_begins_anew(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = Clock()
    transfer = Transfer("upload", clock=clock)
    transfer.begin(1000)
    transfer.sent(300)
    transfer.end(arrived=False)
    transfer.begin(1000)
    transfer.sent(1000)
    transfer.end(arrived=False)
    transfer.begin(1000)
    transfer.sent(1000)
    clock.now += 2
    transfer.end(arrived=True)
    assert capsys.readouterr().err.splitlines() == [
        "upload: 1.0 kB",
        "upload: stopped after 300 B of 1.0 kB",
        "upload: 1.0 kB",
        "upload: stopped without confirmation",
        "upload: 1.0 kB",
        "upload: 1.0 kB in 2.0 s, 500 B/s",
    ]


def test_on_a_terminal_there_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    screen = io.StringIO()
    monkeypatch.setattr("sys.stderr", screen)
    clock = Clock()
    transfer = Transfer("upload", clock=clock)
    transfer.begin(40_000_000)
    transfer.sent(10_000_000)
    transfer.note("still there")
    transfer.sent(30_000_000)
    clock.now += 4
    transfer.end(arrived=True)
    shown = Text.from_ansi(screen.getvalue()).plain
    assert "40.0/40.0 MB" in shown
    assert "100 %" in shown
    assert "still there" in shown
    assert shown.rstrip().endswith("upload: 40.0 MB in 4.0 s, 10.0 MB/s")
