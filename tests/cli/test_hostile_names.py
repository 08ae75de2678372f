"""Names from outside are shown by every command, and drive no terminal."""

from __future__ import annotations

import json
import re
import shutil
import unicodedata
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from submit.cli import cli
from tests.splits import bars, meta_of, write_split

#: Names that a file system takes: escapes, titles, directions, markup, formats.
VIDEOS = (
    "\x1b[2J\x1b]0;owned\x07",
    "\x9b31m\u202egnp",
    "two\nError: all is lost",
    "[bold red]loud[bold]",
    "{0.__class__}%s$\\frac{",
    "<img src=x onerror=alert(1)>",
)
FRAMES = ("00000", "00001", "00002", "00003")
#: Categories of characters that a terminal obeys; see `submit.cli._output`.
ACTIVE = {"Cc", "Cf", "Cs", "Zl", "Zp"}

CHAIN = (
    "videos split",
    "predict split --predictor static --name one",
    "predict split --predictor static --variant hflip --name two",
    "import runs/one/soft --split split --name three",
    "anchors one two --split split -o anchors.json --min-agreement 0",
    "ensemble one two --name both",
    "export both",
    "pack both -o both.zip",
    "check both.zip --split split",
    "repair both.zip --split split -o repaired.zip",
    "score both --split split -o scores",
    "compare one two --split split",
    "preview one two --split split",
    "report one two --split split -o page",
    "show both VIDEO --split split",
    "overlay both VIDEO --split split -o sheet.png --sheet",
    "holdout split -o held --videos 2",
    "videos held",
)


def is_safe(text: str) -> bool:
    """Whether a text has no character that a terminal obeys, but for its lines."""
    return all(one == "\n" or unicodedata.category(one) not in ACTIVE for one in text)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A split of videos with hostile names, in the current folder."""
    maps = {name: bars(FRAMES, (1, 2), (24, 32)) for name in VIDEOS}
    write_split(tmp_path / "split", maps, meta=meta_of(maps))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.usefixtures("here")
def test_no_command_hands_a_name_to_the_terminal(runner: CliRunner) -> None:
    shown = ""
    failed: dict[str, str] = {}
    for line in CHAIN:
        words = [VIDEOS[0] if word == "VIDEO" else word for word in line.split()]
        for more in ([], ["--json"]):
            if more and words[0] in ("show", "overlay", "report", "holdout"):
                continue
            result = runner.invoke(cli, [*words, *more])
            assert result.exit_code in (0, 1), (line, result.output)
            assert "Traceback" not in result.stderr, (line, result.stderr)
            if result.exit_code:
                failed[words[0]] = result.stderr
            assert is_safe(result.stdout), (line, result.stdout)
            assert is_safe(result.stderr), (line, result.stderr)
            # A name cannot look like another message.
            assert not re.search("^Error: all is lost", result.output, re.MULTILINE)
            shown += result.stdout
    # Names in the zip are doubtful, and the runs agree everywhere.
    assert failed.keys() <= {"check", "repair", "anchors"}, failed
    # The names were there.
    assert "\\x1b[2J" in shown
    assert "[bold red]loud[bold]" in shown


@pytest.mark.parametrize(
    "words",
    [
        ["check", "a.zip", "--split", "s", "NAME"],
        ["videos", "NAME", "x"],
        ["NAME"],
        ["pack", "r", "-o", "NAME"],
        ["plot", "scores", "r", "--split", "s", "-o", "NAME"],
        ["predict", "s", "--NAME"],
        ["--NAME"],
        ["predict", "NAME", "--predictor", "static", "--name", "NAME"],
        ["sample", "x", "--size", "NAME"],
        ["score", "NAME", "--split", "NAME"],
    ],
    ids=" ".join,
)
def test_names_of_files_for_a_star_are_safe_in_errors(
    words: list[str], here: Path, runner: CliRunner
) -> None:
    """A shell puts the names of files in the place of `*`."""
    for name in VIDEOS:
        line = [word.replace("NAME", name) for word in words]
        result = runner.invoke(cli, line)
        assert result.exit_code in (1, 2), result.output
        assert is_safe(result.output), result.output
        assert "Traceback" not in result.output


def test_texts_in_files_are_safe_in_errors(here: Path, runner: CliRunner) -> None:
    bad = VIDEOS[0]
    (here / "a.toml").write_text(f"{json.dumps(bad)} = {json.dumps(bad)}\n")
    (here / "a.json").write_text(json.dumps({"version": bad, bad: bad}))
    manifest = here / "runs" / "r" / "manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text(json.dumps({"schema": bad, bad: bad}))
    with zipfile.ZipFile(here / "a.zip", "w") as archive:
        archive.writestr(f"{bad}/{bad}.png", bad)
    lines = (
        ["build", "a.toml"],
        ["train", "a.toml", "--name", "t"],
        ["ensemble", "r", "--name", "x", "--settings", "a.toml"],
        ["predict", "split", "--predictor", "static", "--name", "x", "-o", "@a.toml"],
        ["predict", "split", "--predictor=static", "--name=x", "--prompts", "a.json"],
        ["import", "a.json", "--split", "split", "--name", "x"],
        ["videos", "split", "--meta", "a.json"],
        ["compare", "a.json", "a.json"],
        ["pack", "r", "-o", "b.zip", "--team", "a.json"],
        ["check", "a.zip", "--split", "split"],
        ["repair", "a.zip", "--split", "split", "-o", "b.zip"],
        ["score", "a.zip", "--split", "split"],
        ["export", "r"],
    )
    for line in lines:
        result = runner.invoke(cli, line)
        assert result.exit_code in (1, 2), (line, result.output)
        assert is_safe(result.output), (line, result.output)
        assert "Traceback" not in result.output, (line, result.output)


def test_a_failed_video_is_safe(here: Path, runner: CliRunner) -> None:
    shutil.rmtree(here / "split" / "Annotations" / VIDEOS[0])
    words = ["predict", "split", "--predictor", "static", "--name", "r"]
    result = runner.invoke(cli, words)
    assert result.exit_code == 1
    assert is_safe(result.output)
    assert "\\x1b[2J" in result.stderr
