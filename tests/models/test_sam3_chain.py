"""From a prediction of `sam3` to a scored zip, by the commands."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from submit.cli import cli, predict
from submit_sam3.checkpoints import arrange
from submit_sam3.config import MODELS
from tests.inline import Inline
from tests.models.prompted import disc
from tests.models.sam3_tiny import NARROW, draw
from tests.splits import meta_of, write_split


def run(line: str) -> str:
    done = CliRunner().invoke(cli, line.split())
    assert done.exit_code == 0, f"{line}\n{done.output}"
    return done.stdout


@pytest.mark.slow
def test_a_prediction_becomes_a_member_of_a_checked_and_scored_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(MODELS, "sam3", NARROW)
    monkeypatch.setattr(predict, "model_executor", lambda *_, **__: Inline())
    torch.save(arrange(draw(NARROW, gain=2.0), "official"), "sam3.pt")
    shown = {
        video: [
            np.where(disc(2, time), 2, disc(1, time)).astype(np.uint8)
            for time in range(first, first + 5)
        ]
        for first, video in enumerate(("one", "two"))
    }
    write_split(tmp_path / "split", shown, meta=meta_of(shown))
    options = "-o checkpoint=sam3.pt -o image_size=56 -o dtype=float32"
    run(f"predict split --predictor sam3 {options} --name sam3")
    run(f"predict split --predictor sam3 {options} --variant hflip --name flipped")
    run("predict split --predictor classical --name classical")
    run("import split/Annotations --name given --split split")
    run("ensemble sam3 flipped classical given --name all")
    run("export all -o masks")
    run("pack masks -o all.zip")
    assert json.loads(run("check all.zip --split split --json"))["findings"] == []
    score = json.loads(run("score all --split split --json"))
    assert 0 < score["totals"]["jf_dot"] < 1
    made = json.loads(Path("runs/sam3/manifest.json").read_text("utf-8"))
    assert "SAM License" in made["environment"]["licence"]
