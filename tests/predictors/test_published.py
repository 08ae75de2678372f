"""The table of published models agrees with what can be run."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from submit.cli import cli
from submit.predictors import (
    PUBLISHED,
    SOURCES,
    PublishedModel,
    installed,
    load,
    parse_options,
    published_for,
)
from submit.weights import KNOWN


@pytest.mark.parametrize("one", PUBLISHED, ids=lambda one: one.model)
def test_a_row_can_be_run(
    one: PublishedModel, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository)
    assert (one.source is None) == (one.score is None)
    assert one.source is None or one.source in SOURCES
    assert one.strength
    assert ("NC" in one.licence) == (not one.commercial)
    if one.predictor is None:
        return
    words = [word for word in shlex.split(one.options) if word != "-o"]
    checkpoints = [word for word in words if word.startswith("checkpoint=")]
    named = {word.partition("=")[2] for word in checkpoints}
    assert all(name in KNOWN or name.endswith(".pt") for name in named)
    others = [word for word in words if word not in checkpoints]
    if one.predictor == "command":
        # The files of options leave this to the user.
        others.append("files=weights=LICENSE")
    parse_options(one.predictor, load(one.predictor).Options, others)


def test_each_of_our_predictors_has_a_row() -> None:
    ours = {
        name
        for name, point in installed().items()
        if point.dist is not None and point.dist.name == "mose-submit"
    }
    rows = {one.predictor for one in PUBLISHED}
    assert rows - {None} <= ours
    assert {"classical", "command", "sam2", "sam3", "static"} <= rows
    names = [one.model for one in PUBLISHED]
    assert len(names) == len(set(names))


def test_the_best_come_first() -> None:
    scores = [one.score for one in published_for("command") if one.score is not None]
    assert scores == sorted(scores, reverse=True)


def test_the_page_has_every_row(repository: Path) -> None:
    page = (repository / "docs" / "models.md").read_text("utf-8")
    table = dict(re.findall(r"^\| ([^|]+) \| ([–\d.]+)", page, re.MULTILINE))
    for one in PUBLISHED:
        score = "–" if one.score is None else f"{one.score:.1f}"
        assert table[one.model] == score


def test_a_page_of_a_predictor_shows_its_rows(runner: CliRunner) -> None:
    shown = runner.invoke(cli, ["predictors", "command"]).stdout
    assert "DEVA (non-commercial)" in shown
    assert "MOSEv2, validation, as their authors print it" in shown
    data = json.loads(runner.invoke(cli, ["predictors", "sam3", "--json"]).stdout)
    assert data["published"][0]["score"] == 60.3
    assert data["published"][0]["source"] == "SAM 3 paper, Table 6"
