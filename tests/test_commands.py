"""Commands run with every option that they declare, over one sample split."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from submit.cli import cli

RECIPE = """
split = "elsewhere"
runs = "built"

[[predict]]
name = "plain"
predictor = "static"

[submission]
run = "plain"
"""

#: In this order: later lines read what earlier ones wrote.
LINES = (
    "sample split --videos 2 --frames 4 --size 96x64 --seed 3 --json",
    "sample split --videos 2 --frames 4 --size 96x64 --seed 4 --force",
    "videos split --meta split/meta_valid.json --videos * --decode --json",
    "holdout split --meta split/meta_valid.json -o held --videos 1 --seed 1"
    " --force --workers 1 --json",
    "holdout split -o again --list held/videos.txt --workers 1",
    "build recipe.toml --split split --meta split/meta_valid.json "
    "--predictor classical -o caution=0.6 --workers 1 --device cpu --force --json",
    "compare plain split/Annotations --split split --meta split/meta_valid.json "
    "--videos * --resamples 100 --workers 1 --runs built-classical --json",
)

COMMANDS = sorted({line.split()[0] for line in LINES})


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each line prints, run one after the other in one folder."""
    folder = tmp_path_factory.mktemp("commands")
    (folder / "recipe.toml").write_text(RECIPE)
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for line in LINES:
            done = CliRunner().invoke(cli, line.split())
            assert done.exit_code == 0, f"{line}\n{done.output}\n{done.exception!r}"
            found[line] = done.stdout
    found["folder"] = str(folder)
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_the_command_is_in_a_line(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    words = {w for line in LINES if line.split()[0] == name for w in line.split()}
    missing = [
        option.opts
        for option in command.params
        if isinstance(option, click.Option) and not words & set(option.opts)
    ]
    assert missing == []


def test_every_line_with_json_prints_json_only(printed: dict[str, str]) -> None:
    for line in LINES:
        if "--json" in line:
            assert json.loads(printed[line]), line


def test_the_list_of_a_holdout_chooses_the_same_videos(
    printed: dict[str, str],
) -> None:
    folder = Path(printed["folder"])
    held, again = (
        [path.name for path in (folder / name / "JPEGImages").iterdir()]
        for name in ("held", "again")
    )
    assert len(held) == 1
    assert again == held


def test_a_build_takes_split_model_and_option_of_the_command_line(
    printed: dict[str, str],
) -> None:
    folder = Path(printed["folder"])
    run = json.loads((folder / "built-classical/plain/manifest.json").read_text())
    assert run["settings"]["predictor"] == "classical"
    assert run["settings"]["options"]["caution"] == 0.6
    assert (folder / "built-classical" / "submission.zip").is_file()
    assert not (folder / "elsewhere").exists()
