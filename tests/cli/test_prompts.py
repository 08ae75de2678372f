"""`submit predict --prompts`: from the file to the masks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from submit.cli import cli
from submit.png.palette import read
from tests.splits import write_masks

WriteSplit = Callable[..., Path]
Run = Callable[..., Result]


@pytest.fixture
def split(write_split: WriteSplit) -> Path:
    return write_split(frames=[f"{n:05d}" for n in range(4)])


@pytest.fixture
def run(runner: CliRunner, tmp_path: Path) -> Run:
    def invoke(*arguments: object) -> Result:
        return runner.invoke(
            cli,
            [str(argument) for argument in arguments],
            env={"SUBMIT_RUNS": str(tmp_path / "runs")},
        )

    return invoke


def predict(run: Run, split: Path, prompts: Path | None, *more: object) -> Result:
    given = () if prompts is None else ("--prompts", prompts)
    static = ("--predictor", "static", "--name", "r")
    return run("predict", split, *static, *given, *more)


def write(tmp_path: Path, videos: Any) -> Path:
    path = tmp_path / "prompts.json"
    path.write_text(json.dumps({"version": 1, "videos": videos}))
    return path


def error(result: Result) -> str:
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)
    (line,) = [row for row in result.stderr.splitlines() if row.startswith("Error: ")]
    return line


def masks(run: Run, tmp_path: Path, video: str) -> list[Any]:
    assert run("export", "r").exit_code == 0
    folder = tmp_path / "runs" / "r" / "masks" / video
    return [read(file) for file in sorted(folder.iterdir())]


BOX = {"a": {"00002": {"1": {"box": [20, 10, 28, 20]}, "2": {"absent": True}}}}


def test_prompts_correct_known_objects_from_their_frame_on(
    run: Run, split: Path, tmp_path: Path
) -> None:
    result = predict(run, split, write(tmp_path, BOX))
    assert result.exit_code == 0, result.output
    first, second, third, fourth = masks(run, tmp_path, "a")
    np.testing.assert_array_equal(second, first)
    assert set(np.unique(first)) == {0, 1, 2}
    box = np.zeros((24, 32), np.uint8)
    box[10:20, 20:28] = 1
    np.testing.assert_array_equal(third, box)
    np.testing.assert_array_equal(fourth, box)
    # The other video has no prompts.
    *_, last = masks(run, tmp_path, "b")
    assert set(np.unique(last)) == {0, 1, 2}


def test_a_folder_of_masks_does_the_same_through_a_mirror(
    run: Run, split: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "painted"
    labels = np.zeros((24, 32), np.uint8)
    labels[3:9, 20:30] = 2
    write_masks(folder / "b", {"00001": labels})
    result = predict(run, split, folder, "--variant", "hflip")
    assert result.exit_code == 0, result.output
    first, second, *_ = masks(run, tmp_path, "b")
    np.testing.assert_array_equal(second == 2, labels == 2)
    np.testing.assert_array_equal(second == 1, first == 1)


def test_a_run_of_other_prompts_is_not_continued(
    run: Run, split: Path, tmp_path: Path
) -> None:
    assert predict(run, split, None).exit_code == 0
    path = write(tmp_path, BOX)
    assert "prompts" in error(predict(run, split, path))


def test_a_run_goes_on_with_the_same_prompts_from_another_file(
    run: Run, split: Path, tmp_path: Path
) -> None:
    path = write(tmp_path, BOX)
    assert predict(run, split, path, "--videos", "a").exit_code == 0
    manifest = (tmp_path / "runs" / "r" / "manifest.json").read_text()
    assert re.search(r'"prompts": "[0-9a-f]{64}"', manifest)
    moved = path.rename(tmp_path / "moved.json")
    result = predict(run, split, moved)
    assert result.exit_code == 0, result.output
    # Not the whole split: one video was complete.
    assert "already complete: 1 of 2" in result.stderr


def test_what_the_model_does_not_take_is_refused_before_the_work(
    run: Run, split: Path, tmp_path: Path
) -> None:
    path = write(tmp_path, {"b": {"00001": {"2": {"points": [[1, 2, 1]]}}}})
    line = error(predict(run, split, path))
    assert line.startswith(
        f"Error: {path}: video b: frame 00001: object 2: predictor static does not "
        "take points; it takes masks, boxes and absences, also for known objects. "
    )
    assert not (tmp_path / "runs" / "r").exists()


@pytest.mark.parametrize("same", [True, False])
def test_the_split_and_the_prompts_do_not_contradict_each_other(
    same: bool, run: Run, split: Path, tmp_path: Path
) -> None:
    """A folder that another program wrote has the first mask too."""
    folder = tmp_path / "painted"
    labels = read(split / "Annotations" / "a" / "00000.png").copy()
    if not same:
        labels[0, 0] = 1
    write_masks(folder / "a", [labels])
    result = predict(run, split, folder)
    if same:
        assert result.exit_code == 0, result.output
    else:
        assert error(result) == (
            f"Error: {folder}: video a: frame 00000: object 1: the split has a mask of "
            "it in this frame, and the prompt is another; remove the prompt"
        )


def test_a_recipe_takes_prompts(run: Run, split: Path, tmp_path: Path) -> None:
    path = write(tmp_path, BOX)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f"""
        split = "{split}"
        runs = "{tmp_path / "runs"}"
        [[predict]]
        name = "r"
        predictor = "static"
        prompts = "{path}"
        [submission]
        run = "r"
        """
    )
    result = run("build", recipe)
    assert result.exit_code == 0, result.output
    *_, last = masks(run, tmp_path, "a")
    assert set(np.unique(last)) == {0, 1}
