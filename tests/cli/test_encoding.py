"""Tables and messages in every encoding: aligned, without control characters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from submit.cli import SECTIONS, cli
from submit.cli._encoding import spell
from tests.conftest import WriteSplit

ENCODINGS = ("latin-1", "cp1252", "ascii")


@pytest.mark.parametrize(
    ("text", "encoding", "spelled"),
    [
        ("J&Ḟ 70 … 80, 3×4, – −1", "ascii", "J&F. 70 ... 80, 3x4, - -1"),
        ("J&Ḟ 70 … 80, 3×4, – −1", "latin-1", "J&F. 70 ... 80, 3×4, - -1"),
        ("J&Ḟ 70 … 80, 3×4, – −1", "cp1252", "J&F. 70 … 80, 3×4, – -1"),
        ("J&Ḟ 70 … 80", "utf-8", "J&Ḟ 70 … 80"),
        ("vidéo/中.png", "latin-1", "vidéo/\\u4e2d.png"),
        ("bad\udcff", "utf-8", "bad\\udcff"),
    ],
)
def test_what_an_encoding_lacks_is_spelled(
    text: str, encoding: str, spelled: str
) -> None:
    assert spell(text, encoding) == spelled


@pytest.fixture
def folder(
    write_split: WriteSplit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder with a split of four videos, two of strange names, and two runs."""
    write_split(
        ("-c d", "a", "b", "é中"), frames=[f"{n:05d}" for n in range(4)], annotated=4
    )
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        line = f"predict split --predictor static --name {name} --workers 1"
        assert CliRunner().invoke(cli, line.split()).exit_code == 0
    return tmp_path


COMMANDS = (
    "videos split",
    "predictors",
    "predictors sam2",
    "predict split --predictor static --name three --workers 1",
    "ensemble one two --workers 1",
    "export one --workers 1",
    "pack one -o one.zip",
    "check one.zip --split split",
    "repair one.zip --split split -o two.zip",
    "score one --split split --objects",
    "score one --split split --protocol davis",
    "compare one two --split split",
    "preview one two --split split",
    "tune one two --split split -o tuned.toml --budget 2",
)


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_command_prints_in_every_encoding(encoding: str, folder: Path) -> None:
    runner = CliRunner(charset=encoding)
    for line in COMMANDS:
        done = runner.invoke(cli, line.split())
        assert done.exit_code == 0, (line, done.output)
        # Nothing was left to what decodes the output, which puts � for bad bytes.
        done.stdout_bytes.decode(encoding)
        done.stderr_bytes.decode(encoding)


def test_columns_stay_aligned_when_characters_are_spelled(folder: Path) -> None:
    done = CliRunner(charset="ascii").invoke(cli, ["preview", "one", "--split=split"])
    lines = done.stdout.splitlines()
    header, row = lines[0], lines[1]
    assert header.endswith("expected J&F.  90 % interval")
    assert row.endswith(f"{'-':>13}  {'-':>13}")
    assert len(row) == len(header)
    assert "\\xe9\\u4e2d       1" in done.stdout


def test_json_is_the_same_in_every_encoding(folder: Path) -> None:
    printed = {
        CliRunner(charset=encoding)
        .invoke(cli, ["score", "one", "--split", "split", "--json"])
        .stdout_bytes
        for encoding in ("utf-8", *ENCODINGS)
    }
    assert len(printed) == 1
    assert "é中" in json.loads(printed.pop())["videos"]


@pytest.mark.parametrize(
    "name", [name for section in SECTIONS.values() for name in section]
)
def test_help_is_plain_where_the_terminal_is(name: str) -> None:
    done = CliRunner(charset="ascii").invoke(cli, [name, "--help"])
    assert done.exit_code == 0
    assert done.stdout_bytes.isascii()


@pytest.mark.slow
def test_a_real_stream_is_written_in_its_encoding(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "submit", "score", "gone/é中", "--split", "split"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(b"Error: runs/gone/\\xe9\\u4e2d: no such run")


@pytest.fixture(scope="module")
def latin_1(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a German terminal of twenty years ago; skips without it."""
    place = tmp_path_factory.mktemp("locales")
    line = ["localedef", "-i", "de_DE", "-f", "ISO-8859-1", str(place / "de_DE")]
    try:
        # It warns of old encodings by its exit status.
        subprocess.run(line, capture_output=True, check=False)
    except OSError:
        pytest.skip("localedef is not installed")
    if not (place / "de_DE").is_dir():
        pytest.skip("the sources of locales are not installed")
    return {**os.environ, "LOCPATH": str(place), "LC_ALL": "de_DE", "PYTHONUTF8": "0"}


@pytest.mark.slow
def test_names_that_an_8_bit_locale_reads_wrongly_are_refused(
    folder: Path, latin_1: dict[str, str]
) -> None:
    def videos(*options: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "submit", "videos", "split", *options],
            env=latin_1 | variables,
            capture_output=True,
            check=False,
        )

    done = videos()
    assert done.returncode == 1
    assert done.stderr.decode("latin-1") == (
        "Error: split/JPEGImages: 1 name is not ASCII, such as "
        "'\\xc3\\xa9\\xe4\\xb8\\xad', and this locale reads names as iso8859-1; set "
        "PYTHONUTF8=1, or LC_ALL=C.UTF-8\n"
    )
    done = videos("--json", PYTHONUTF8="1")
    names = [video["name"] for video in json.loads(done.stdout)["videos"]]
    assert names == ["-c d", "a", "b", "é中"]
