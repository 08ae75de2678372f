"""The progress line and messages above it, as a terminal shows them."""

from __future__ import annotations

import io
import re
import sys
import threading
from collections.abc import Callable

import pytest

from submit.cli import _activity
from submit.cli._activity import Activity, spinning
from submit.cli._console import begin_live, end_live, is_live, stderr, stdout
from submit.cli._output import emit, facts, note, warn
from submit.cli._progress import progress
from submit.cli._transfer import Transfer

_CODE = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])")


class Terminal(io.StringIO):
    """A simulated terminal for both streams; its visible lines can be read."""

    def isatty(self) -> bool:
        return True

    @property
    def lines(self) -> list[str]:
        """The lines on the screen, without trailing spaces."""
        rows, row, column, text = [""], 0, 0, self.getvalue()
        while text:
            code = _CODE.match(text)
            if code is not None:
                count = int(code[1]) if code[1].isdigit() else 1
                if code[2] == "A":
                    row = max(0, row - count)
                elif code[2] == "K":
                    rows[row] = "" if code[1] == "2" else rows[row][:column]
                text = text[code.end() :]
                continue
            character, text = text[0], text[1:]
            if character == "\r":
                column = 0
            elif character == "\n":
                row, column = row + 1, 0
                rows += [""] * (row + 1 - len(rows))
            else:
                line = rows[row].ljust(column)
                rows[row] = line[:column] + character + line[column + 1 :]
                column += 1
        return [line.rstrip() for line in rows]


def use_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Replace both streams by a simulated terminal."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", screen)
    return screen


def test_there_is_one_console_for_each_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use_terminal(monkeypatch)
    assert stderr() is stderr()
    assert stdout() is stdout()
    assert stdout() is not stderr()
    with spinning("working"):
        assert stderr() is stderr()


def test_another_stream_has_another_console(monkeypatch: pytest.MonkeyPatch) -> None:
    first = stderr()
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert stderr() is not first


@pytest.mark.parametrize("moving", ["spinner", "bars", "transfer"])
def test_messages_and_results_have_lines_of_their_own(
    moving: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = use_terminal(monkeypatch)

    def say() -> None:
        note("a remark")
        warn("careful")
        emit(facts({"rank": "3"}), None, as_json=False)
        emit("", {"rank": 3}, as_json=True)

    if moving == "spinner":
        with spinning("watching 9001", "(Ctrl-C leaves it running)"):
            say()
            assert terminal.lines[-1].startswith(("⠋", "⠙", "⠹"))
    elif moving == "bars":
        with progress("check", total=2, unit="masks") as bar:
            say()
            bar.advance("a", 2)
    else:
        transfer = Transfer("upload")
        transfer.begin(100)
        say()
        transfer.sent(100)
        transfer.end(arrived=True)
    shown = [line for line in terminal.lines if line]
    assert shown[:6] == [
        "a remark",
        "Warning: careful",
        "rank  3",
        "{",
        '  "rank": 3',
        "}",
    ]
    assert len(shown) == (6 if moving == "spinner" else 7)
    assert not is_live()


def test_a_request_that_is_answered_soon_shows_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = use_terminal(monkeypatch)
    activity = Activity()
    activity.begin("read competition 10062")
    activity.end()
    activity.end()
    assert terminal.getvalue() == ""


def test_a_request_that_takes_long_shows_what_it_waits_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = use_terminal(monkeypatch)
    monkeypatch.setattr(_activity, "_PATIENCE", 0.0)
    shown = threading.Event()
    begin: Callable[..., None] = begin_live

    def noting(display: object) -> None:
        begin(display)
        shown.set()

    monkeypatch.setattr(_activity, "begin_live", noting)
    activity = Activity()
    activity.begin("read competition 10062")
    assert shown.wait(60)
    assert "waiting for the server: read competition 10062" in terminal.lines[-1]
    activity.retry("cannot read competition 10062: no answer", 5.0)
    activity.end()
    assert [line for line in terminal.lines if line] == [
        "cannot read competition 10062: no answer; trying again in 5 s"
    ]


def test_where_something_moves_already_a_request_shows_nothing_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = use_terminal(monkeypatch)
    monkeypatch.setattr(_activity, "_PATIENCE", 0.0)
    with spinning("watching 9001"):
        activity = Activity()
        activity.begin("read submission 9001")
        timer = activity._timer
        assert timer is not None
        timer.join(60)
        assert "waiting for the server" not in terminal.getvalue()
        activity.end()


def test_without_a_terminal_a_long_wait_is_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_activity, "LINE_EVERY", 0.0)
    activity = Activity()
    activity.begin("read the leaderboard")
    timer = activity._timer
    assert timer is not None
    timer.join(60)
    activity.end()
    assert capsys.readouterr().err == "waiting for the server: read the leaderboard\n"


def test_what_moves_comes_back_after_results(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use_terminal(monkeypatch)

    class Display:
        steps: list[str]

        def start(self) -> None:
            self.steps.append("start")

        def stop(self) -> None:
            self.steps.append("stop")

    display = Display()
    display.steps = []
    begin_live(display)
    emit("result", None, as_json=False)
    end_live(display)
    assert display.steps == ["start", "stop", "start", "stop"]
