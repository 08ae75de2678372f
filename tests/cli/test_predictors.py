from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, version
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner

from submit.cli import cli
from submit.errors import PredictorError
from submit.predictors import (
    GROUP,
    Description,
    InputSizes,
    Session,
    Video,
    installed,
    option,
)


@dataclass(frozen=True)
class WeightyOptions:
    checkpoint: str | None = option(None, "File with the weights.", metavar="FILE")
    memory: str = option("recent", "Frames to keep.", choices=("all", "recent"))
    flip: bool = option(False, "Track the mirrored video as well.")
    size: int = option(1024, "Side of the input.")


class Weighty:
    """Tracks with weights. Only for tests."""

    Options: ClassVar[type[Any]] = WeightyOptions

    def __init__(self, options: WeightyOptions, *, device: str = "auto") -> None:
        if options.checkpoint is None:
            raise PredictorError("predictor weighty: no checkpoint; -o checkpoint=FILE")

    def describe(self) -> Description:
        return Description(
            model="weighty_b",
            licence="CC-BY-NC-4.0 (non-commercial)",
            checkpoint="ab" * 32,
            sizes=InputSizes(base=1024, step=32, smallest=0.5),
            cores=4,
            details={"dtype": "float32"},
        )

    def session(self, video: Video, *, scale: float = 1.0) -> Session:
        raise NotImplementedError


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> Mapping[str, EntryPoint]:
    """Replace the installed models by one that needs weights and one that is broken."""
    points = {
        "broken": EntryPoint("broken", "no_such_package:Model", GROUP),
        "static": installed()["static"],
        "weighty": EntryPoint("weighty", f"{__name__}:Weighty", GROUP),
    }
    monkeypatch.setattr("submit.predictors.registry.installed", lambda: points)
    monkeypatch.setattr("submit.cli.predictors.installed", lambda: points)
    return points


def test_the_list_shows_every_model_and_what_is_wrong_with_it(
    runner: CliRunner, plugins: object
) -> None:
    result = runner.invoke(cli, ["predictors"])
    assert result.exit_code == 0
    release = f"mose-submit {version('mose-submit')}"
    assert result.stdout.splitlines() == [
        f"predictor  {'package':{len(release)}}  about",
        f"broken     {'–':{len(release)}}  predictor broken (no_such_package:Model) "
        "cannot be imported: ModuleNotFoundError: No module named 'no_such_package'; "
        "reinstall the package of no_such_package",
        f"static     {release}  Repeats the given masks in every frame: the lowest "
        "baseline",
        f"weighty    {'–':{len(release)}}  Tracks with weights",
    ]


def test_the_list_is_there_for_programs(runner: CliRunner, plugins: object) -> None:
    result = runner.invoke(cli, ["predictors", "--json"])
    broken, static, weighty = json.loads(result.stdout)
    assert broken["problem"].startswith("predictor broken (no_such_package:Model)")
    assert static == {
        "name": "static",
        "package": f"mose-submit {version('mose-submit')}",
        "class": "submit.predictors:StaticPredictor",
        "about": "Repeats the given masks in every frame: the lowest baseline",
        "problem": None,
    }
    assert weighty["name"] == "weighty"


def test_a_model_without_options_has_a_page(runner: CliRunner) -> None:
    result = runner.invoke(cli, ["predictors", "static"])
    assert result.stdout == (
        "predictor    static\n"
        "about        Repeats the given masks in every frame: the lowest baseline\n"
        f"package      mose-submit {version('mose-submit')}\n"
        "model        static\n"
        "licence      Apache-2.0\n"
        "checkpoint   none\n"
        "input sizes  the frame's, scale 0.25 to 2\n"
        "prompts      masks, boxes and absences, also for known objects\n"
        "cores        1\n"
        "good for     the lowest baseline\n"
        "\n"
        "It has no options.\n"
    )


def test_a_page_shows_options_sizes_and_licence(
    runner: CliRunner, plugins: object
) -> None:
    arguments = ["predictors", "weighty", "-o", "checkpoint=w.pt"]
    result = runner.invoke(cli, arguments)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "predictor    weighty",
        "about        Tracks with weights",
        "package      –",
        "model        weighty_b",
        "licence      CC-BY-NC-4.0 (non-commercial)",
        f"checkpoint   {'ab' * 32}",
        "input sizes  1024×1024, scale 0.5 to 2, multiples of 32",
        "prompts      masks, once per object",
        "cores        4",
        "dtype        float32",
        "",
        "option      value       default  help",
        "checkpoint  FILE           none  File with the weights.",
        "memory      all|recent   recent  Frames to keep.",
        "flip        bool          false  Track the mirrored video as well.",
        "size        int            1024  Side of the input.",
    ]


def test_a_model_that_lacks_its_weights_still_shows_its_options(
    runner: CliRunner, plugins: object
) -> None:
    result = runner.invoke(cli, ["predictors", "weighty"])
    assert result.exit_code == 0
    assert "not built  predictor weighty: no checkpoint; -o checkpoint=FILE\n" in (
        result.stdout
    )
    assert "checkpoint  FILE" in result.stdout
    data = json.loads(runner.invoke(cli, ["predictors", "weighty", "--json"]).stdout)
    assert data["description"] is None
    assert data["options"][1] == {
        "name": "memory",
        "type": "str",
        "optional": False,
        "default": "recent",
        "choices": ["all", "recent"],
        "low": None,
        "high": None,
        "help": "Frames to keep.",
    }


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["sam9"], 1, "Error: no predictor called 'sam9' is installed; found "),
        (["broken"], 1, "Error: predictor broken (no_such_package:Model) cannot "),
        (["static", "-o", "size=1"], 1, "Error: predictor static has no option 'size'"),
        (["weighty", "-o", "size=big"], 1, "Error: option size=big: expected a w"),
        (["-o", "size=1"], 2, "Usage: "),
    ],
    ids=["unknown", "broken", "no-option", "no-value", "no-name"],
)
def test_what_cannot_be_shown_is_said(
    arguments: list[str], status: int, message: str, runner: CliRunner, plugins: object
) -> None:
    result = runner.invoke(cli, ["predictors", *arguments])
    assert result.exit_code == status
    assert result.stdout == ""
    assert result.stderr.startswith(message)
