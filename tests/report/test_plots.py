"""Figures: what is drawn, measured by the numbers behind it and by the files."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from submit.cli import cli
from submit.data import read_split
from submit.report.attributes import ATTRIBUTES, ObjectFacts, read_facts
from tests.conftest import WriteSplit

FRAMES = tuple(f"{number:05d}" for number in range(6))
Run = Callable[..., Any]


@pytest.fixture
def split(write_split: WriteSplit) -> Path:
    return write_split(frames=FRAMES, annotated=len(FRAMES))


@pytest.fixture
def draw(split: Path, tmp_path: Path, runner: CliRunner) -> Run:
    """Two runs, and a function that draws a figure of them and returns the data."""
    runs = ["--runs", str(tmp_path / "runs")]
    for name, variant in (("one", "plain"), ("two", "hflip")):
        arguments = ["predict", str(split), "--predictor", "static", "--name", name]
        arguments += ["--variant", variant, "--workers", "1", *runs]
        done = runner.invoke(cli, arguments)
        assert done.exit_code == 0, done.output

    def run(*arguments: str, output: str = "figure.png", status: int = 0) -> Any:
        command = ["plot", *arguments, "--split", str(split), *runs, "--json"]
        done = runner.invoke(cli, [*command, "-o", str(tmp_path / output)])
        assert done.exit_code == status, done.output
        if status:
            return done.stderr
        return json.loads(done.stdout)

    return run


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_equal_data_give_equal_bytes(draw: Run, tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("matplotlib")
    for name in ("a", "b"):
        made = draw("scores", "one", "two", output=f"{name}.{suffix}")
        assert made["size"] > 1000
    first, second = (tmp_path / f"{name}.{suffix}" for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("by", list(ATTRIBUTES))
def test_groups_hold_all_objects(draw: Run, by: str) -> None:
    pytest.importorskip("matplotlib")
    groups = draw("scores", "one", "two", "--by", by)["data"]
    assert sum(group["objects"] for group in groups) == 4
    for group in groups:
        assert set(group["means"]) == {"one", "two"}
        low, high = group["intervals"]["one"]
        assert low <= group["means"]["one"] <= high


@pytest.mark.slow
def test_changes_name_each_object(draw: Run) -> None:
    pytest.importorskip("matplotlib")
    changes = draw("scores", "one", "two", "--by", "change")["data"]
    assert len(changes) == 4
    said = draw("scores", "one", "--by", "change", status=2)
    assert "compares two runs" in said


@pytest.mark.slow
def test_a_timeline_has_the_truth_and_each_run(draw: Run) -> None:
    pytest.importorskip("matplotlib")
    truth, one, two = draw("timeline", "one", "two", "b", "--object", "2")["data"]
    assert [track["name"] for track in (truth, one, two)] == ["truth", "one", "two"]
    assert truth["j"] is None
    assert all(truth["present"])
    # Neither the first nor the last frame counts.
    measured = [value is not None for value in one["j"]]
    assert measured == [False, True, True, True, True, False]
    assert "has the objects 1, 2" in draw(
        "timeline", "one", "b", "--object", "9", status=2
    )


@pytest.mark.slow
def test_a_dollar_in_a_name_is_no_formula(draw: Run, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "runs" / "one").rename(tmp_path / "runs" / "a$_{$")
    truth, one = draw("timeline", "a$_{$", "b", "--object", "2", output="a.svg")["data"]
    assert (truth["name"], one["name"]) == ("truth", "a$_{$")
    assert "a$_{$" in (tmp_path / "a.svg").read_text("utf-8")


@pytest.mark.slow
def test_members_are_merged_in_the_order_of_their_scores(draw: Run) -> None:
    pytest.importorskip("matplotlib")
    steps = draw("ensemble", "two", "one")["data"]
    alone = [step["alone"] for step in steps]
    assert alone == sorted(alone, reverse=True)
    assert steps[0]["merged"] == pytest.approx(steps[0]["alone"])
    # Without one of two members the other is left.
    assert steps[0]["without"] == pytest.approx(steps[1]["alone"])


def test_a_figure_replaces_figures_only(draw: Run, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "figure.png").write_text("mine")
    said = draw("scores", "one", status=1)
    assert "figure.png" in said
    assert (tmp_path / "figure.png").read_text() == "mine"
    assert "ends with .pdf, .svg, .png" in draw(
        "scores", "one", output="figure.jpg", status=2
    )


def test_without_matplotlib_the_way_out_is_named(
    draw: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "pip install matplotlib" in draw("scores", "one", status=1)


def test_facts_are_those_of_the_masks(write_split: WriteSplit) -> None:
    split = read_split(write_split(("a",), frames=FRAMES, annotated=len(FRAMES)))
    first, second = read_facts(split)
    areas = [int((split.videos["a"].read_mask(frame) == 1).sum()) for frame in FRAMES]
    height, width = split.videos["a"].size
    assert first.area == pytest.approx(np.median(areas) / (height * width))
    assert (first.object, second.object) == (1, 2)
    assert (first.length, first.objects, first.absent) == (6, 2, False)


@pytest.mark.parametrize(
    ("attribute", "change", "group"),
    [
        ("area", {"area": 0.00099}, "< 0.1 %"),
        ("area", {"area": 0.001}, "0.1–1 %"),
        ("area", {"area": 0.1}, "≥ 10 %"),
        ("length", {"length": 49}, "< 50"),
        ("length", {"length": 50}, "50–149"),
        ("length", {"length": 500}, "≥ 500"),
        ("objects", {"objects": 1}, "1"),
        ("objects", {"objects": 7}, "4–7"),
        ("absence", {"absent": True}, "absent at times"),
        ("absence", {"absent": False}, "always visible"),
    ],
)
def test_groups_begin_at_their_lower_ends(
    attribute: str, change: dict[str, Any], group: str
) -> None:
    facts = {"area": 0.5, "length": 100, "objects": 2, "absent": False, **change}
    one = ObjectFacts(video="a", object=1, **facts)
    assert ATTRIBUTES[attribute].group_of(one) == group
