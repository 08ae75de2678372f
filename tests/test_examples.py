from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

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
