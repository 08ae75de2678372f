from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from submit.cli import SECTIONS, _next, _standing, cli
from submit.cli._next import LAST, NEXT, after_run, typed
from submit.errors import RunError
from submit.weights import KNOWN

COMMANDS = {name for part in SECTIONS.values() for name in part}


class Terminal:
    """Stands for stderr where it is a terminal."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    def __call__(self) -> Console:
        return Console(file=self.stream, force_terminal=True, no_color=True, width=200)

    @property
    def said(self) -> str:
        return self.stream.getvalue().replace("\x1b[1m", "").replace("\x1b[0m", "")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    shown = Terminal()
    monkeypatch.setattr(_next, "stderr", shown)
    return shown


def write_run(folder: Path, name: str, *, kind: str = "predict", **more: Any) -> None:
    """Write the manifest of a run of one video."""
    path = folder / name
    path.mkdir(parents=True)
    manifest = {
        "schema": 3,
        "kind": kind,
        "settings": {},
        "split": {"path": str(folder.parent / "split"), "fingerprint": "f"},
        "expected": ["a"],
        "environment": {"created": f"2026-01-0{len(list(folder.iterdir()))}"},
        "videos": {
            "a": {
                "frames": 2,
                "objects": [1],
                "size": [4, 4],
                "seconds": 1.0,
                "digest": "d",
                "soft": True,
            }
        },
        **more,
    }
    (path / "manifest.json").write_text(json.dumps(manifest))


def test_every_command_says_what_follows_or_is_known_to_be_the_last() -> None:
    assert NEXT.keys() | LAST == COMMANDS
    assert not NEXT.keys() & LAST


def test_a_command_is_typed_as_a_shell_needs_it() -> None:
    assert typed("pack", "my run", "-o", Path("a.zip")) == (
        "submit pack 'my run' -o a.zip"
    )


def test_the_next_command_is_said_on_a_terminal(
    runner: CliRunner, terminal: Terminal
) -> None:
    assert runner.invoke(cli, ["predictors"]).exit_code == 0
    assert terminal.said == "Next: submit predictors sam2\n"


def test_nothing_is_said_to_programs(runner: CliRunner, terminal: Terminal) -> None:
    assert runner.invoke(cli, ["predictors", "--json"]).exit_code == 0
    assert terminal.said == ""


def test_nothing_is_said_without_a_terminal(runner: CliRunner) -> None:
    assert "Next" not in runner.invoke(cli, ["predictors"]).stderr


def test_nothing_is_said_after_an_error(
    runner: CliRunner, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: Any, **kwargs: Any) -> None:
        _next.follow(None)
        raise RunError("too late")

    monkeypatch.setattr("submit.cli.predictors.emit", fails)
    assert runner.invoke(cli, ["predictors"]).exit_code == 1
    assert terminal.said == ""


def test_a_hint_that_cannot_be_made_is_left_out(
    runner: CliRunner, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(given: Any, data: Any) -> str:
        raise RunError("gone")

    monkeypatch.setattr(_next, "NEXT", {"predictors": broken})
    assert runner.invoke(cli, ["predictors"]).exit_code == 0
    assert terminal.said == ""


def test_a_run_is_scored_where_there_is_a_truth_and_else_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SUBMIT_RUNS", raising=False)
    write_run(tmp_path / "runs", "plain")
    masks = tmp_path / "split" / "Annotations" / "a"
    masks.mkdir(parents=True)
    (masks / "0.png").touch()
    assert after_run(Path("runs"), "plain") == "submit pack plain -o plain.zip"
    (masks / "1.png").touch()
    assert after_run(Path("runs"), "plain") == "submit score plain --split split"
    elsewhere = after_run(tmp_path / "runs", "plain")
    assert elsewhere.endswith(f"--runs {tmp_path / 'runs'}")


@pytest.mark.parametrize(
    ("name", "folder", "words"),
    [
        ("sam3", None, "--predictor sam3 -o checkpoint=sam3 "),
        ("sam3", "mine", "--predictor sam3 -o checkpoint=mine/sam3.pt "),
        ("mosev2_large", None, "sam2 -o preset=rcms -o checkpoint=mosev2_large "),
        ("deva", None, "-o @examples/models/deva.toml -o files=weights=deva "),
    ],
)
def test_fetched_weights_are_used_by_the_predictor_that_reads_them(
    name: str, folder: str | None, words: str
) -> None:
    given = {
        "action": "fetch",
        "names": (name,),
        "folder": None if folder is None else Path(folder),
    }
    said = NEXT["weights"](given, [{"path": Path("mine", KNOWN[name].file)}])
    assert said is not None
    assert words in said


Stand = Callable[[], str]


@pytest.fixture
def stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runner: CliRunner) -> Stand:
    """Run `submit` alone in a folder, and return what it says is next."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SUBMIT_RUNS", raising=False)

    def run() -> str:
        done = runner.invoke(cli, [])
        assert done.exit_code == 0
        (line,) = [one for one in done.stdout.splitlines() if one.startswith("next")]
        return line.removeprefix("next").strip()

    return run


def test_submit_alone_is_help_where_there_is_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runner: CliRunner
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "[OPTIONS] COMMAND [ARGS]..." in runner.invoke(cli, []).output


def test_submit_alone_says_where_the_chain_stands(stand: Stand, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    write_run(runs, "one")
    assert stand() == "submit pack one -o one.zip"
    write_run(runs, "two")
    assert stand() == "submit ensemble one two --name merged"
    write_run(runs, "both", kind="ensemble")
    assert stand() == "submit pack both -o both.zip"
    (tmp_path / "both.zip").touch()
    os.utime(tmp_path / "both.zip", (4e9, 4e9))
    assert stand() == "submit check both.zip --split split"
    write_run(runs, "more", videos={})
    assert stand() == "repeat the command that made more, for all videos; it continues"


def test_submit_alone_finds_the_runs_of_a_recipe(
    stand: Stand, tmp_path: Path, runner: CliRunner
) -> None:
    write_run(tmp_path / "runs" / "valid", "one")
    assert stand() == "submit pack one -o one.zip --runs runs/valid"
    assert "runs/valid/one" in runner.invoke(cli, []).stdout


def test_submit_alone_passes_over_links_that_lead_nowhere(
    stand: Stand, tmp_path: Path
) -> None:
    write_run(tmp_path / "runs", "one")
    (tmp_path / "gone.zip").symlink_to("nowhere")
    assert stand() == "submit pack one -o one.zip"


def test_submit_alone_names_runs_that_cannot_be_read(
    stand: Stand, tmp_path: Path, runner: CliRunner
) -> None:
    write_run(tmp_path / "runs", "good")
    (tmp_path / "runs" / "bad").mkdir()
    (tmp_path / "runs" / "bad" / "manifest.json").write_text("{")
    assert stand() == "submit pack good -o good.zip"
    shown = runner.invoke(cli, []).stdout
    assert "run bad" in shown
    assert "1 of 1" in shown


def test_only_the_newest_runs_are_listed(
    stand: Stand, tmp_path: Path, runner: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_standing, "_SHOWN", 1)
    for name in ("old", "new"):
        write_run(tmp_path / "runs", name)
    shown = runner.invoke(cli, []).stdout
    assert "further runs  1" in shown
    assert "\nold" not in shown
