from __future__ import annotations

import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from submit.cli import cli
from submit.png.palette import encode
from submit.predictors import Box, Mask, Predictor, Video, immediate, parse_options


def test_the_plugin_of_the_tutorial_is_a_predictor(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(repository / "examples" / "predictor_plugin")
    from submit_centre import CentrePredictor  # type: ignore[import-not-found]

    model = CentrePredictor(
        parse_options("centre", CentrePredictor.Options, ["radius=3"])
    )
    assert isinstance(model, Predictor)
    mask = np.zeros((20, 30), bool)
    mask[8:13, 10:15] = True
    session = immediate(model.session(Video("v", height=20, width=30, length=2)))
    frame = np.zeros((20, 30, 3), np.uint8)
    session.step(frame, {4: Mask(mask)})
    prediction = session.step(frame, {9: Box(20, 4, 23, 9)})
    assert prediction.objects == (4, 9)
    assert prediction.logits[0, 10, 12] == prediction.logits[1, 6, 21] == 3.0
    assert (prediction.logits > 0).sum((1, 2)).tolist() == [25, 25]


@pytest.mark.slow
def test_the_plugin_of_the_tutorial_installs_and_is_listed(
    repository: Path, tmp_path: Path
) -> None:
    # A copy, since building leaves files beside the source.
    plugin = tmp_path / "plugin"
    shutil.copytree(repository / "examples" / "predictor_plugin", plugin)
    installed = tmp_path / "installed"
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"),
            *("--target", installed, plugin),
        ],
        check=True,
    )
    done = subprocess.run(
        [sys.executable, "-m", "submit", "predictors", "--json"],
        env={"PYTHONPATH": str(installed), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert '"name": "centre"' in done.stdout


def test_a_lost_object_is_found_by_its_template_and_prompted(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runner: CliRunner
) -> None:
    # The object is behind something in frames 2 and 3, and then at another place.
    random = np.random.default_rng(1)
    texture = random.integers(0, 255, (12, 10, 3), dtype=np.uint8)
    pictures, masks = tmp_path / "split/JPEGImages/v", tmp_path / "split/Annotations/v"
    lost = tmp_path / "masks/v"
    for folder in (pictures, masks, lost):
        folder.mkdir(parents=True)
    for frame, top in enumerate((5, 6, None, None, 24, 25)):
        picture = random.integers(90, 110, (48, 64, 3), dtype=np.uint8)
        labels = np.zeros((48, 64), np.uint8)
        if top is not None:
            picture[top : top + 12, 30:40] = texture
            labels[top : top + 12, 30:40] = 1
        Image.fromarray(picture).save(pictures / f"{frame:05d}.jpg", quality=95)
        if frame > 1:
            labels[:] = 0
        (lost / f"{frame:05d}.png").write_bytes(encode(labels))
        if not frame:
            (masks / "00000.png").write_bytes(encode(labels))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SUBMIT_WORKERS", "1")
    done = runner.invoke(cli, ["import", "masks", "--name", "lost", "--split", "split"])
    assert done.exit_code == 0, done.output

    found = runpy.run_path(str(repository / "examples" / "find_lost.py"))["find_lost"](
        "split", "runs/lost"
    )
    assert found["videos"]["v"].keys() == {"00004"}
    assert found["videos"]["v"]["00004"]["1"]["box"] == [30, 24, 40, 36]
    Path("prompts.json").write_text(json.dumps(found))
    words = "predict split --predictor static --name second --prompts prompts.json"
    done = runner.invoke(cli, words.split())
    assert done.exit_code == 0, done.output
    with np.load("runs/second/soft/v.npz") as soft:
        rows, columns = np.nonzero(soft["00005"][0] > 0)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (24, 35, 30, 39)
