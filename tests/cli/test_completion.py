from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.shell_completion import get_completion_class
from click.testing import CliRunner

from submit.cli import COMPLETE, cli
from submit.cli._completion import prepare_shells

Complete = Callable[[str], list[str]]


@pytest.fixture
def complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Complete:
    """Press the key in Bash behind a line, in a folder with two runs and a split."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SUBMIT_RUNS", raising=False)
    for name in ("plain", "pale"):
        (tmp_path / "runs" / name / "soft").mkdir(parents=True)
        (tmp_path / "runs" / name / "manifest.json").write_text("{}")
        (tmp_path / "runs" / name / "soft" / "vanish.npz").touch()
    (tmp_path / "runs" / "other").mkdir()
    (tmp_path / "trainings" / "padded").mkdir(parents=True)
    (tmp_path / "trainings" / "padded" / "log.jsonl").touch()
    (tmp_path / "split" / "JPEGImages" / "crossing").mkdir(parents=True)
    prepare_shells()
    kind = get_completion_class("bash")
    assert kind is not None
    shell = kind(cli, {}, "submit", COMPLETE)

    def run(line: str) -> list[str]:
        # Bash cuts words at these marks, and joins them by spaces.
        words = line.replace("=", " = ").replace("  ", " ").split(" ")
        monkeypatch.setenv("COMP_WORDS", " ".join(words))
        monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
        found = [one.partition(",") for one in shell.complete().splitlines()]
        return [value for kind, _, value in found if kind == "plain"]

    return run


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("submit pre", ["predict", "predictors", "preview"]),
        ("submit score p", ["pale", "plain"]),
        ("submit score plain --prot", ["--protocol"]),
        ("submit score plain --protocol d", ["davis"]),
        ("submit score x --runs nowhere p", []),
        ("submit show plain v", ["vanish"]),
        ("submit show plain --split split c", ["crossing"]),
        ("submit overlay plain va", ["vanish"]),
        ("submit runs p", ["pale", "plain"]),
        ("submit plot training p", ["padded"]),
        ("submit preview plain --split split --videos c", ["crossing"]),
        ("submit predict split --name p", ["pale", "plain"]),
        ("submit predict split --predictor st", ["static"]),
        ("submit predictors cl", ["classical"]),
        ("submit trainers s", ["sam2"]),
        ("submit predict split --variant h", ["hflip"]),
        ("submit predict split --tta hflip+g", ["hflip+gamma="]),
        ("submit predict split --predictor classical -o wa", ["waves="]),
        ("submit predict split --predictor sam2 -o memory=sam2", ["sam2", "sam2long"]),
        ("submit predictors sam2 -o compile=", ["true", "false"]),
        ("submit predictors sam2 -o nothing=", []),
        ("submit predict split -o wa", []),
        ("submit predict split --predictor none -o wa", []),
        (
            "submit predict split --prompter classical --prompter-option wa",
            ["waves="],
        ),
        ("submit weights fetch sam3", ["sam3"]),
        ("submit completion ", ["bash", "zsh", "fish"]),
    ],
)
def test_the_key_completes(line: str, found: list[str], complete: Complete) -> None:
    assert complete(line) == found


def test_other_shells_get_whole_words(
    complete: Complete, monkeypatch: pytest.MonkeyPatch
) -> None:
    del complete  # It only makes the folder.
    kind = get_completion_class("fish")
    assert kind is not None
    monkeypatch.setenv("COMP_WORDS", "submit predictors sam2 -o memory=rc")
    monkeypatch.setenv("COMP_CWORD", "memory=rc")
    assert "memory=rcms" in kind(cli, {}, "submit", COMPLETE).complete()


def test_fish_completes_behind_an_equals_sign(complete: Complete) -> None:
    del complete
    if shutil.which("fish") is None:
        pytest.skip("no fish")
    prepare_shells()
    kind = get_completion_class("fish")
    assert kind is not None
    Path("comp.fish").write_text(kind(cli, {}, "submit", COMPLETE).source())
    Path("submit").write_text("#!/bin/sh\necho plain,davis\n")
    Path("submit").chmod(0o755)
    line = "source comp.fish; complete -C 'submit score plain --protocol=d'"
    done = subprocess.run(
        ["fish", "--no-config", "-c", line],
        env={**os.environ, "PATH": f".:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["--protocol=davis"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_for_the_shell(shell: str, runner: CliRunner) -> None:
    done = runner.invoke(cli, ["completion", shell])
    assert done.exit_code == 0
    assert f"{COMPLETE}={shell}_complete" in done.stdout


def test_bash_takes_the_script(runner: CliRunner, tmp_path: Path) -> None:
    script = runner.invoke(cli, ["completion", "bash"]).stdout
    # A stand-in for the command: it answers with what it is asked.
    (tmp_path / "submit").write_text('#!/bin/sh\nprintf "plain,%s\\n" $COMP_WORDS\n')
    (tmp_path / "submit").chmod(0o755)
    lines = f"""
    {script}
    COMP_WORDS=(submit sco)
    COMP_CWORD=1
    _submit_completion {tmp_path}/submit
    echo "${{COMPREPLY[*]}}"
    """
    done = subprocess.run(
        ["bash", "--norc", "-c", lines], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["submit", "sco"]


def test_completing_a_command_imports_none(complete: Complete) -> None:
    modules = set(sys.modules)
    assert complete("submit le") == ["leaderboard"]
    assert not {name for name in set(sys.modules) - modules if "submit.cli." in name}
