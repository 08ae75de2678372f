from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from submit.cli import cli
from submit.png.palette import encode
from tests.splits import write_split

SIZE = (60, 80)
FRAMES = 8


def truth(frame: int) -> NDArray[np.uint8]:
    """A square that moves, is absent in frames 3 and 4, and a bar that stays."""
    labels = np.zeros(SIZE, np.uint8)
    if frame not in (3, 4):
        labels[5:25, 5 + 5 * frame : 25 + 5 * frame] = 1
    labels[40:50, 10:70] = 2
    return labels


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a split with truth, one with prompts, and the runs one and two."""
    root = tmp_path_factory.mktemp("look")
    maps = [truth(frame) for frame in range(FRAMES)]
    shown = {"a": maps, "b": maps}
    write_split(root / "split", shown)
    write_split(root / "valid", shown, annotated=1)
    (root / "empty.png").write_bytes(encode(np.zeros(SIZE, np.uint8)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for name, more in (("one", ()), ("two", ("--variant", "hflip"))):
            done = CliRunner().invoke(
                cli,
                ["predict", "split", "--predictor=static", "--name", name, *more],
            )
            assert done.exit_code == 0, done.output
            assert CliRunner().invoke(cli, ["export", name]).exit_code == 0
    return root


@pytest.fixture
def here(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`made` as the current folder; outputs go elsewhere."""
    monkeypatch.chdir(made)
    return made
