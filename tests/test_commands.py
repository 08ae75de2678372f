"""Every command runs once with every option; the rows are in tests/commands."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from submit.cli import cli
from tests.commands import chain, codabench, looking, masks, models, scores, training
from tests.commands.rows import (
    Row,
    command_of,
    names_of,
    one_process,
    options_of,
    run_row,
    type_line,
)
from tests.submissions import TEAM

ROWS: tuple[Row, ...] = tuple(
    row
    for table in (chain, models, masks, scores, looking, codabench, training)
    for row in table.ROWS
)
NAMES = names_of(cli)

RECIPE = """
split = "split"
runs = "built"

[[predict]]
name = "plain"
predictor = "static"

[submission]
run = "plain"
"""
TUNED = """
[ensemble]
method = "vote"
members = ["one", "true"]

[postprocess]
threshold = 1.5
"""
PROMPTS = {
    "version": 1,
    "videos": {"similar": {"00003": {"1": {"box": [0, 0, 8, 8]}}}},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """The folder in which the rows are typed, as `tests/commands/rows.py` says."""
    folder = tmp_path_factory.mktemp("commands")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        one_process(patch)
        _type("sample split --videos 3 --frames 6 --size 96x64")
        _make_splits()
        _type("predict split --predictor static --name one")
        _type("import split/Annotations --name true --split split")
        _type("import split/Annotations --name part --split split --videos similar")
        _type("export true", "score one --split split -o scores")
        _type("pack one -o one.zip", "pack part -o sample.zip --partial")
        _make_files(repository)
    return folder


def _type(*lines: str) -> None:
    for line in lines:
        code, stdout, stderr = type_line(line)
        assert code == 0, f"{line}\n{stdout}\n{stderr}"


def _make_splits() -> None:
    meta = json.loads(Path("split/meta_valid.json").read_text())
    similar = meta["videos"]["similar"]
    Path("few.json").write_text(
        json.dumps({"videos": {"similar": similar, "gone": similar}})
    )
    shutil.copytree("split", "valid")
    for mask in Path("valid/Annotations").glob("*/*.png"):
        if mask.stem != "00000":
            mask.unlink()


def _make_files(repository: Path) -> None:
    for name in ("notes.txt", "notes.png"):
        Path(name).write_text("years of work")
    Path("recipe.toml").write_text(RECIPE)
    Path("tuned.toml").write_text(TUNED)
    Path("team.json").write_text(json.dumps(TEAM))
    Path("prompts.json").write_text(json.dumps(PROMPTS))
    shutil.copy("scores/scores.json", "scores.json")
    shutil.copy(repository / "examples/predictor_plugin/submit_centre.py", "model.py")
    with zipfile.ZipFile("one.zip") as whole, zipfile.ZipFile("bare.zip", "w") as bare:
        for name in whole.namelist():
            if name != "vanish/00002.png":
                bare.writestr(name, whole.read(name))


def _copy(source: str, target: str) -> None:
    """Copy a file; those of a split are links, since commands never write there."""
    if "JPEGImages" in source or "Annotations" in source:
        os.link(source, target)
    else:
        shutil.copyfile(source, target)


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it as the current folder."""
    copy = tmp_path / "here"
    shutil.copytree(made, copy, copy_function=_copy)
    monkeypatch.chdir(copy)
    return copy


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.line)
def test_a_command_with_options(
    row: Row, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_row(row, monkeypatch)


@pytest.mark.parametrize("name", NAMES)
def test_the_rows_give_exactly_the_options_that_a_command_declares(name: str) -> None:
    given = {option for row in ROWS if row.command == name for option in row.given}
    assert given == options_of(command_of(name))


def test_every_row_says_what_comes_of_it() -> None:
    assert [row.line for row in ROWS if not row.has_outcome] == []
    assert sorted({row.command for row in ROWS}) == sorted(NAMES)
    assert len({row.line for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("name", NAMES)
def test_each_command_prints_its_help(name: str, flag: str) -> None:
    done = CliRunner().invoke(cli, [*name.split(), flag], prog_name="submit")
    assert done.exit_code == 0
    assert done.stdout.startswith(f"Usage: submit {name} ")


def test_the_options_of_the_group_itself() -> None:
    assert options_of(cli) == {"--version"}
    assert type_line("--version")[1].startswith("mose-submit ")
    for flag in ("-h", "--help"):
        assert "The whole chain:" in type_line(flag)[1]
