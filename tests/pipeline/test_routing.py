"""Routes of a recipe: some objects are taken from another way of predicting them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from submit.cli import cli
from submit.errors import RunError
from submit.pipeline.conditions import Condition
from submit.pipeline.routing import routed_objects
from submit.png.palette import decode, encode
from submit.runs import Run
from tests.conftest import WriteSplit

FRAMES = tuple(f"{index:05}" for index in range(6))

#: Object 1 is missing in frame 3 of the imported masks of video `a`.
RECIPE = """
split = "split"
runs = "runs"

[[import]]
name = "masks"
path = "masks"

[[predict]]
name = "plain"
predictor = "static"

[[route]]
name = "routed"
run = "masks"
when = "{when}"
{more}

[submission]
run = "routed"
"""

Build = Callable[..., Result]


@pytest.fixture
def build(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write_split: WriteSplit,
    runner: CliRunner,
) -> Build:
    """Run a recipe with a route."""
    monkeypatch.chdir(tmp_path)
    write_split(("a", "b"), frames=FRAMES, annotated=6)
    shutil.copytree("split/Annotations", "masks")
    path = Path("masks/a/00003.png")
    labels = decode(path.read_bytes()).copy()
    labels[labels == 1] = 0
    path.write_bytes(encode(labels))

    def call(when: str, more: str = "predictor = 'static'") -> Result:
        Path("recipe.toml").write_text(RECIPE.format(when=when, more=more))
        return runner.invoke(cli, ["build", "recipe.toml", "--workers", "1", "--json"])

    return call


def shown(run: str, video: str, key: int) -> list[Any]:
    soft = Run.open(Path("runs") / run).read(video)
    try:
        row = soft.objects.index(key)
        return [soft.codes(index)[row] > 0 for index in range(len(soft.frames))]
    finally:
        soft.close()


def made(done: Result) -> dict[str, int]:
    assert done.exit_code == 0, done.output
    return {run["name"]: run["made"] for run in json.loads(done.stdout)["runs"]}


def same(one: list[Any], other: list[Any]) -> bool:
    return all(map(np.array_equal, one, other))


@pytest.mark.slow
def test_objects_that_fulfil_the_condition_go_the_other_way(build: Build) -> None:
    done = build("returns")
    assert "route routed: 1 of 4 objects: returns" in done.stderr
    assert made(done) == {"plain": 2, "masks": 2, "routed": 2}
    assert list(Run.open(Path("runs/routed-way")).videos) == ["a"]
    assert same(shown("routed", "a", 1), shown("plain", "a", 1))
    assert not same(shown("masks", "a", 1), shown("plain", "a", 1))
    for video, key in (("a", 2), ("b", 1), ("b", 2)):
        assert same(shown("routed", video, key), shown("masks", video, key))
        assert not same(shown("routed", video, key), shown("plain", video, key))


@pytest.mark.slow
def test_nothing_is_made_again_until_something_changes(build: Build) -> None:
    made(build("disappears"))
    again = build("disappears")
    assert made(again) == {"plain": 0, "masks": 0, "routed": 0}
    assert "route routed:" not in again.stderr
    # Another condition: the other video goes the other way too, and is merged again.
    done = build("length > 3")
    assert made(done)["routed"] == 2
    assert list(Run.open(Path("runs/routed-way")).videos) == ["a", "b"]
    assert same(shown("routed", "b", 2), shown("plain", "b", 2))


@pytest.mark.parametrize(
    ("when", "count"),
    [
        ("area < 0.0001", 0),
        ("area > 0.0001", 4),
        ("absent > 0", 1),
        ("objects >= 2 and length <= 6", 4),
        ("agreement < 0.99", 4),
        ("agreement < 0.001", 0),
    ],
)
def test_a_condition_is_measured_in_the_masks(
    when: str, count: int, build: Build
) -> None:
    more = "predictor = 'static'"
    if "agreement" in when:
        more += "\nagainst = ['plain']"
    done = build(when, more)
    assert made(done)["routed"] == 2
    assert f"{count} of 4 objects: {when}" in done.stderr
    assert Run.exists(Path("runs/routed-way")) == (count > 0)


@pytest.mark.slow
def test_runs_of_other_frames_are_not_compared(build: Build, runner: CliRunner) -> None:
    assert build("returns").exit_code == 0
    for folder in ("JPEGImages", "Annotations"):
        for path in Path("split", folder).glob("*/00005.*"):
            path.unlink()
    line = "predict split --predictor static --name short --workers 1"
    done = runner.invoke(cli, line.split())
    assert done.exit_code == 0, done.output
    runs = [Run.open(Path("runs") / name) for name in ("plain", "short")]
    with pytest.raises(RunError, match=r"run short: [ab] has other frames than in"):
        routed_objects(runs[0], runs[1:], Condition.parse("agreement < 1"))


@pytest.mark.slow
def test_a_route_that_was_cut_short_is_continued(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert build("length > 1").exit_code == 0
    whole = {p.name: p.read_bytes() for p in Path("runs/routed/soft").iterdir()}
    shutil.rmtree("runs")
    from submit.pipeline import build as module

    def stopped(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "ensemble_runs", stopped)
        assert build("length > 1").exit_code != 0
    assert made(build("length > 1")) == {"plain": 0, "masks": 0, "routed": 2}
    now = {p.name: p.read_bytes() for p in Path("runs/routed/soft").iterdir()}
    assert now == whole


@pytest.mark.slow
def test_a_second_pass_gets_anchors_of_the_runs(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("submit.pipeline.anchors._MIN_PIXELS", 10)
    more = (
        "predictor = 'static'\n"
        "[[import]]\nname = 'moved'\npath = 'moved'\n"
        "[[anchors]]\nname = 'trusted'\nruns = ['masks', 'moved']\ndistance = 1\n"
        "[[predict]]\nname = 'second'\npredictor = 'static'\nanchors = 'trusted'\n"
        "direction = 'both'"
    )
    shutil.copytree("masks", "moved")
    for video in ("a", "b"):
        folder = Path("moved") / video
        for frame in ("00004", "00005"):
            shutil.copy(folder / "00000.png", folder / f"{frame}.png")
    done = build("length > 99", more)
    assert made(done)["second"] == 2
    prompts = json.loads(Path("runs/trusted.json").read_text())
    assert prompts["videos"]
    settings = Run.open(Path("runs/second")).settings
    assert settings["prompts"]
    assert settings["direction"] == "both"
    # A prompt that a person removes stays removed, and the second pass is another one.
    prompts["videos"].popitem()
    Path("runs/trusted.json").write_text(json.dumps(prompts))
    again = build("length > 99", more)
    assert again.exit_code == 1
    assert "run second" in again.stderr or "runs/second" in again.stderr
    assert json.loads(Path("runs/trusted.json").read_text()) == prompts
