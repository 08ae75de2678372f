"""Cutie's and XMem's own scripts, through the files of examples/models.

They need copies of the repositories, and a Python that has what those need:

    REFERENCE_CUTIE=~/Cutie REFERENCE_XMEM=~/XMem REFERENCE_PYTHON=~/env/bin/python \
      python -m pytest -m reference tests/models/test_command_reference.py

The weights are random, so that only the first mask says anything: it must be the given
one. It was run with Cutie @ ec5cdd4 and XMem @ f3b841d, torch 2.14.1, on a processor.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from submit.cli import cli
from submit.data import read_split
from submit.runs import Run, SoftVideo
from tests.conftest import WriteSplit

pytestmark = [pytest.mark.reference, pytest.mark.slow]

ON_PROCESSOR = Path(__file__).with_name("on_processor")
FRAMES = ("00000", "00001", "00002")
OBJECTS = (3, 1)


def folder_of(program: str) -> Path:
    """The copy of a repository."""
    for name in (f"REFERENCE_{program.upper()}", "REFERENCE_PYTHON"):
        if name not in os.environ:
            pytest.skip(f"{name} is not set")
    return Path(os.environ[f"REFERENCE_{program.upper()}"]).expanduser()


@pytest.fixture
def predict(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write_split: WriteSplit,
    runner: CliRunner,
    repository: Path,
) -> Callable[..., Result]:
    """Run a program with random weights on a small split."""
    monkeypatch.chdir(tmp_path)

    def call(program: str, options: str, *more: str) -> Result:
        folder = folder_of(program)
        python = os.path.expanduser(os.environ["REFERENCE_PYTHON"])
        path = f"{folder}:{ON_PROCESSOR}"
        subprocess.run(
            [python, ON_PROCESSOR / "make_weights.py", program, tmp_path / "w.pth"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path},
            check=True,
        )
        write_split(("a",), frames=FRAMES, objects=OBJECTS, size=(128, 160))
        words = ["predict", "split", "--predictor", "command", "--name", "r"]
        words += ["--device", "cpu"]
        for option in (
            f"@{repository}/examples/models/{options}.toml",
            f"folder={folder}",
            f"python={python}",
            "files=weights=w.pth",
            f"env=PYTHONPATH={path}",
            # Both take the best 30 places of a memory, so there must be as many.
            "side=96",
            *more,
        ):
            words += ["-o", option]
        return runner.invoke(cli, words)

    return call


def overlaps(soft: SoftVideo) -> list[float]:
    """The IoU of each object's first mask with the given one."""
    labels = read_split(Path("split")).videos["a"].read_mask("00000")
    return [
        float(
            ((codes > 0) & (labels == key)).sum()
            / ((codes > 0) | (labels == key)).sum()
        )
        for key, codes in zip(soft.objects, soft.codes(0), strict=True)
    ]


def test_xmem_gives_soft_masks(predict: Callable[..., Result]) -> None:
    done = predict("xmem", "xmem")
    assert done.exit_code == 0, done.stderr
    run = Run.open(Path("runs/r"))
    assert run.settings["model"] == "xmem"
    with closing(SoftVideo(run.soft_path("a"))) as soft:
        assert len(np.unique(soft.codes(2))) > 20
        # XMem also resizes the given mask; the objects have 28 pixels.
        assert min(overlaps(soft)) > 0.4


def test_cutie_gives_masks(predict: Callable[..., Result]) -> None:
    done = predict("cutie", "cutie")
    assert done.exit_code == 0, done.stderr
    run = Run.open(Path("runs/r"))
    assert run.settings["model"] == "cutie-base-mega"
    with closing(SoftVideo(run.soft_path("a"))) as soft:
        assert soft.frames == FRAMES
        assert overlaps(soft) == [1, 1]


def test_cuties_scores_count_though_it_hangs(predict: Callable[..., Result]) -> None:
    done = predict("cutie", "cutie_soft")
    assert done.exit_code == 0, done.stderr
    with closing(SoftVideo(Run.open(Path("runs/r")).soft_path("a"))) as soft:
        values = [len(np.unique(soft.codes(index))) for index in range(3)]
    # The last frame has a hard mask.
    assert values[1] > 2
    assert values[2] == 2


def test_a_wrong_resolution_fails_with_the_programs_own_words(
    predict: Callable[..., Result],
) -> None:
    done = predict("xmem", "xmem", "side=48")
    assert done.exit_code == 1
    reason = json.loads(Path("runs/r/failed.json").read_text())["a"]
    assert "selected index k out of range" in str(reason)
