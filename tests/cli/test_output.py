from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner
from rich.text import Text

from submit.cli._output import (
    emit,
    escape,
    facts,
    format_bytes,
    format_count,
    format_score,
    format_seconds,
    note,
    number,
    stack,
    stderr,
    table,
    warn,
)
from submit.cli._progress import LINE_EVERY, Progress, progress


def printed(runner: CliRunner, action: Callable[[], object]) -> tuple[str, str]:
    """Run an action as a command; return what it wrote to stdout and stderr."""

    @click.command()
    def command() -> None:
        action()

    result = runner.invoke(command, catch_exceptions=False)
    return result.stdout, result.stderr


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("00c4f9d1 Ḟ × 中文 [bold]", "00c4f9d1 Ḟ × 中文 [bold]"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("two\nlines\tand\rmore", "two\\nlines\\tand\\rmore"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\x9b31m", "\\x9b31m"),
        ("bad\udcff", "bad\\udcff"),
    ],
    ids=["plain", "escape", "lines", "direction", "c1", "surrogate"],
)
def test_text_from_outside_is_shown_and_not_obeyed(text: str, safe: str) -> None:
    assert escape(text) == safe


def test_numbers_are_written_alike_everywhere() -> None:
    assert format_count(1_234_567) == "1,234,567"
    assert [format_score(x) for x in (0.0, 0.74231, 1.0, None)] == [
        "0.00",
        "74.23",
        "100.00",
        "–",
    ]
    assert [
        format_bytes(n) for n in (0, 999, 1000, 999_949, 999_950, 2_500_000_000_000)
    ] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "999.9 kB",
        "1.0 MB",
        "2.5 TB",
    ]
    assert [format_seconds(s) for s in (0, 59.94, 59.95, 3599.4, 3600, 200_000)] == [
        "0.0 s",
        "59.9 s",
        "1 min 00 s",
        "59 min 59 s",
        "1 h 00 min",
        "2 d 08 h",
    ]


def test_a_table_in_a_pipe_is_plain_aligned_and_never_cut(runner: CliRunner) -> None:
    long = "v" * 300
    view = table(
        ["video", number("frames"), "note"],
        [["a[red]", 12, None], [long, 66526, Text("late")], ["b\x1b", 0, ""]],
        title="Videos",
    )
    out, err = printed(runner, lambda: emit(view, [], as_json=False))
    assert err == ""
    assert out.splitlines() == [
        "Videos",
        f"{'video':300}  frames  note",
        f"{'a[red]':300}      12  –",
        f"{long}  66,526  late",
        "b\\x1b" + " " * 295 + "       0",
    ]


def test_facts_and_tables_stand_apart(runner: CliRunner) -> None:
    view = stack(facts({"name": "a", "checkpoint": None}), table(["x"], [["1"]]), "end")
    out, _ = printed(runner, lambda: emit(view, {}, as_json=False))
    assert out == "name        a\ncheckpoint  –\n\nx\n1\n\nend\n"


@dataclass(frozen=True)
class Inner:
    path: Path
    values: Any


def test_json_takes_what_results_are_made_of(runner: CliRunner) -> None:
    data = {
        "inner": Inner(Path("a/b"), np.array([[1, 2]], np.uint8)),
        "score": np.float32(0.5),
        "ids": {3, 1},
        "none": MappingProxyType({"none": None}),
        "name": "J&Ḟ \x1b \udcff",
        7: (True,),
    }
    out, err = printed(runner, lambda: emit(lambda: 1 / 0, data, as_json=True))  # type: ignore[arg-type, return-value]
    assert err == ""
    assert out.isascii()
    assert json.loads(out) == {
        "inner": {"path": "a/b", "values": [[1, 2]]},
        "score": 0.5,
        "ids": [1, 3],
        "none": {"none": None},
        "name": "J&Ḟ \x1b \udcff",
        "7": [True],
    }


@pytest.mark.parametrize(
    ("data", "error"), [(float("nan"), ValueError), (object(), TypeError)]
)
def test_json_refuses_what_it_cannot_say(
    data: object, error: type[Exception], runner: CliRunner
) -> None:
    with pytest.raises(error):
        printed(runner, lambda: emit("", data, as_json=True))


def test_remarks_go_to_stderr(runner: CliRunner) -> None:
    def remark() -> None:
        note("read [1] \x1b " + "long " * 60)
        warn("video a: no masks")

    out, err = printed(runner, remark)
    assert out == ""
    assert err.splitlines() == [
        "read [1] \\x1b " + "long " * 60,
        "Warning: video a: no masks",
    ]


class Clock:
    """A clock that is advanced by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_progress_without_a_terminal_is_a_line_now_and_then(runner: CliRunner) -> None:
    clock = Clock()

    def work() -> None:
        with progress("predict", total=1200, clock=clock) as bar:
            bar.add("a", 1000)
            bar.add("b\n", 200)
            for _ in range(100):
                clock.now += 0.2
                bar.advance("a", 2)
            bar.advance("b\n", 100)
            clock.now += LINE_EVERY
            bar.note("video b: late object 3")
            bar.finish("b\n")
            clock.now += 70
            bar.advance("a", 800)
            bar.finish("a")

    out, err = printed(runner, work)
    assert out == ""
    assert err.splitlines() == [
        "predict: 1,200 frames",
        "predict: 100 of 1,200 frames, 10.0 frames/s, 1 min 50 s left "
        "(a 100/1000, b\\n 0/200)",
        "predict: 200 of 1,200 frames, 10.0 frames/s, 1 min 40 s left "
        "(a 200/1000, b\\n 0/200)",
        "video b: late object 3",
        "predict: 300 of 1,100 frames, 10.0 frames/s, 1 min 20 s left (a 200/1000)",
        "predict: 1,100 of 1,100 frames, 11.0 frames/s, 0.0 s left (a 1000/1000)",
        "predict: 1,100 frames in 1 min 40 s, 11.0 frames/s",
    ]


def test_progress_that_stops_early_says_how_far_it_came(runner: CliRunner) -> None:
    clock = Clock()

    def work() -> None:
        with progress("score", clock=clock, unit="videos") as bar:
            bar.add("a", 3)
            bar.advance("a")
            clock.now += 2
            raise click.exceptions.Exit(1)

    _, err = printed(runner, work)
    assert err.splitlines() == ["score", "score: stopped after 1 of 3 videos, 2.0 s"]


@pytest.mark.parametrize("terminal", [False, True], ids=["pipe", "terminal"])
def test_progress_of_nothing_shows_its_remarks_only(
    terminal: bool, runner: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    if terminal:
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("FORCE_COLOR", "1")

    def work() -> None:
        with progress("predict", total=0) as bar:
            bar.note("predict: 3 videos are complete already")

    _, err = printed(runner, work)
    assert "frames in" not in err
    assert err.count("predict: 3 videos are complete already\n") == 1
    if not terminal:
        assert err == "predict: 3 videos are complete already\n"


def test_progress_counts_tasks_from_any_order() -> None:
    clock = Clock()
    bar = Progress("x", total=None, unit="frames", clock=clock)
    assert (bar.total, bar.rate, bar.left, bar.format_rate()) == (0, None, None, "")
    bar.add("a", 10)
    bar.add("b", 20)
    bar.advance("b", 5)
    bar.advance("a", 4)
    bar.advance("unknown", 1)
    clock.now += 2
    assert (bar.done, bar.total, bar.rate, bar.left) == (10, 30, 5.0, 4.0)
    assert bar.in_flight == {"a": (4, 10), "b": (5, 20)}
    bar.add("a", 10)  # A retry starts again at 0.
    assert (bar.done, bar.total) == (6, 30)
    bar.finish("b")  # It failed: its other 15 are not counted.
    assert (bar.done, bar.total) == (6, 15)
    bar.finish("b")
    assert bar.in_flight == {"a": (0, 10)}


def test_progress_with_a_total_never_shows_more_than_all() -> None:
    bar = Progress("x", total=4, unit="frames", clock=Clock())
    bar.advance("a", 6)
    assert (bar.done, bar.total) == (6, 6)


def test_progress_on_a_terminal_shows_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    screen = io.StringIO()
    monkeypatch.setattr("sys.stderr", screen)
    assert stderr().is_terminal
    clock = Clock()
    with progress("predict", total=30, clock=clock) as bar:
        bar.add("video_a", 20)
        bar.add("video_b", 10)
        clock.now += 2
        bar.advance("video_a", 8)
        bar.advance("video_b", 2)
        bar.note("video_b: late object 3")
        bar.finish("video_b")
        bar.advance("elsewhere")
    shown = Text.from_ansi(screen.getvalue()).plain
    assert "video_a" in shown
    assert "8/20" in shown
    assert "10/22" in shown  # video_b failed: its other 8 are not counted.
    assert "5.0 frames/s, 2.4 s left" in shown
    assert "video_b: late object 3" in shown
    assert shown.rstrip().endswith("predict: 11 frames in 2.0 s, 5.5 frames/s")
