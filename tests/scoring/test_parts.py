"""`submit score --part`, joined by `submit merge-parts`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import splits
from tests.conftest import TypeLine

# The package gives the command this name.
score_module: Any = import_module("submit.cli.score")


@pytest.fixture
def submit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, type_line: TypeLine
) -> TypeLine:
    """Type a command in a folder with a split with truth, and masks that differ."""
    monkeypatch.chdir(tmp_path)
    for name, count in {"a": 7, "b": 4, "c": 5, "d": 4}.items():
        frames = [f"{number:05d}" for number in range(count)]
        shown = splits.bars(frames, (1, 2), (24, 32))
        splits.write_split(tmp_path / "split", {name: shown}, pictures=False)
        moved = {frame: np.roll(mask, 2, axis=1) for frame, mask in shown.items()}
        splits.write_masks(tmp_path / "masks" / name, moved)
    return type_line


def _files(folder: str) -> dict[str, str]:
    found = {path.name: path.read_text() for path in Path(folder).iterdir()}
    if "metrics.json" in found:
        # The time that it took.
        numbers = json.loads(found.pop("metrics.json"))
        del numbers["total_time"]
        found["metrics"] = json.dumps(numbers)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("protocol", "count"), [("mosev2", 3), ("davis", 2), ("mosev2", 6)]
)
def test_scores_of_parts_are_joined_to_those_of_the_whole(
    submit: TypeLine, protocol: str, count: int
) -> None:
    line = f"score masks --split split --protocol {protocol}"
    submit(f"{line} -o whole")
    for number in range(1, count + 1):
        submit(f"{line} -o scores --part {number}/{count}")
    submit("merge-parts scores --delete")
    assert _files("scores") == _files("whole")
    assert not list(Path().glob("part-*/scores"))


def test_what_cannot_be_joined_is_said(submit: TypeLine) -> None:
    line = "score masks --split split -o scores"
    submit(f"{line} --part 1/3")
    submit(f"{line} --part 3/3 --as-server")
    said = submit("merge-parts scores", code=1).output
    assert "part-3-of-3/scores: was scored with other as server" in said
    submit(f"{line} --part 3/3")
    said = submit("merge-parts scores", code=1).output
    assert "1 of 4 videos are not scored, such as c; score part 2 of 3" in said
    submit(f"{line} --part 2/3")
    Path("part-2-of-3/scores/part.json").write_text("{}")
    said = submit("merge-parts scores", code=1).output
    assert "part-2-of-3/scores: cannot be read" in said
    assert not Path("scores").exists()


def _score_another_video(videos: dict[str, Any]) -> None:
    for other in {"a", "c", "d"} - videos.keys():
        videos[other] = videos["b"]


def _score_a_stranger(videos: dict[str, Any]) -> None:
    videos["../e"] = videos["b"]


def _score_too_well(videos: dict[str, Any]) -> None:
    videos["b"]["scores"]["j"][0][0] = 7.0


def _score_nothing(videos: dict[str, Any]) -> None:
    videos["b"]["scores"]["f"][0][0] = math.nan


def _score_another_object(videos: dict[str, Any]) -> None:
    videos["b"]["objects"] = [1, 3]


def _take_no_time(videos: dict[str, Any]) -> None:
    videos["b"]["seconds"] = None


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_score_another_video, ", which is not a video of this part; score it again"),
        (_score_a_stranger, "'../e', which is not a video of this part; score it"),
        (_score_too_well, "a score is not between 0 and 1); score this part again"),
        (_score_nothing, "a score is not between 0 and 1); score this part again"),
        (_score_another_object, "video b: its scores so far are of other frames or"),
        (_take_no_time, "it took None seconds); score this part again"),
    ],
)
def test_scores_of_a_damaged_part_do_not_count(
    submit: TypeLine, damage: Callable[[dict[str, Any]], None], message: str
) -> None:
    line = "score masks --split split -o scores"
    for number in (1, 2):
        submit(f"{line} --part {number}/2")
    parts = [Path(f"part-{number}-of-2/scores/part.json") for number in (1, 2)]
    # Their order is that of the parts, and each part has two of the videos.
    (part,) = [path for path in parts if "b" in json.loads(path.read_text())["videos"]]
    content = json.loads(part.read_text())
    damage(content["videos"])
    part.write_text(json.dumps(content))
    assert message in submit("merge-parts scores", code=1).output


def test_scores_of_masks_that_change_meanwhile_do_not_count(
    submit: TypeLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "score masks --split split -o scores"
    submit(f"{line} --part 1/2")
    usual = score_module.scored

    def scored(masks: Any, split: Any, **more: Any) -> Any:
        found = usual(masks, split, **more)
        for name in split.videos:
            mask = Path("masks", name, "00001.png")
            mask.write_bytes(Path("masks", name, "00002.png").read_bytes() + b"x")
        return found

    monkeypatch.setattr(score_module, "scored", scored)
    submit(f"{line} --part 2/2")
    monkeypatch.setattr(score_module, "scored", usual)
    said = submit("merge-parts scores", code=1).output
    assert "have changed since they were scored; score the parts again" in said


def test_a_job_of_an_array_scores_all_unless_told(
    submit: TypeLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "2")
    submit("score masks --split split -o whole")
    assert Path("whole", "scores.json").is_file()
    told = submit("score masks --split split --part 1/2", code=2).stderr
    assert "--part needs -o DIR" in told
