from __future__ import annotations

import sys
from pathlib import Path

import pytest

from submit.errors import TrainingError
from submit.training.board import TensorBoardLog
from tests.training.conftest import WriteVideos
from tests.training.toy import run

WANTED = "run.tensorboard=true"


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows of a folder."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {
        name: [(each.step, each.value) for each in events.Scalars(name)]
        for name in events.Tags()["scalars"]
    }


def test_numbers_of_the_log_are_scalars_and_later_steps_are_replaced(
    tmp_path: Path,
) -> None:
    pytest.importorskip("tensorboard")
    board = TensorBoardLog(tmp_path, 0)
    for step in (1, 2, 3):
        board.add({"step": step, "loss": step / 2, "bad": ["clip"], "norm": None})
    board.add({"step": 3, "validation": "ema", "jf_dot": 0.5, "interval": (0, 1)})
    board.close()
    board = TensorBoardLog(tmp_path, 2)
    board.add({"step": 3, "loss": 8.0})
    board.close()
    assert scalars(tmp_path) == {
        "train/loss": [(1, 0.5), (2, 1.0), (3, 8.0)],
        "ema/jf_dot": [],
    }


@pytest.mark.slow
def test_a_recipe_asks_for_it(write_videos: WriteVideos, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    root = write_videos((8, 9, 10))
    run(root, tmp_path / "t", WANTED, until=3)
    run(root, tmp_path / "t", WANTED)
    found = scalars(tmp_path / "t" / "tensorboard")
    assert [step for step, _ in found["train/loss"]] == [1, 2, 3, 4, 5, 6]


def test_the_missing_package_is_named_before_the_work(
    write_videos: WriteVideos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(TrainingError, match=r"pip install 'mose-submit\[tensorboard\]"):
        run(write_videos((8,)), tmp_path / "t", WANTED)
    assert not (tmp_path / "t").exists()
