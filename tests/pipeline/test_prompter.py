"""`submit predict --prompter`: boxes and points as masks of another model."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from click.testing import CliRunner, Result

from submit.cli import cli
from submit.predictors import (
    AcceptedPrompts,
    Box,
    Description,
    Frame,
    Point,
    Points,
    Prediction,
    Prompts,
    Session,
    StaticOptions,
    StaticPredictor,
    Video,
    option,
)
from submit.runs import Run
from tests.conftest import WriteSplit
from tests.pipeline.conftest import InstallModels

Predict = Callable[..., Result]


class OnlyMasks(StaticPredictor):
    """Takes masks, and corrections by them."""

    def describe(self) -> Description:
        return replace(
            super().describe(),
            model="masks",
            prompts=AcceptedPrompts(corrections=True),
        )


@dataclass(frozen=True)
class SquareOptions:
    """How large."""

    side: int = option(4, "Rows of a square; 0 finds nothing.")


class Squares:
    """Finds a square around the first point, or in the corner of a box."""

    Options: ClassVar[type[Any]] = SquareOptions
    calls: ClassVar[list[tuple[Video, list[int]]]] = []

    def __init__(self, options: SquareOptions, *, device: str = "auto") -> None:
        del device
        self._side = options.side

    def describe(self) -> Description:
        return Description(
            model="squares",
            licence="MIT",
            devices=("cpu",),
            prompts=AcceptedPrompts(masks=False, boxes=True, points=True),
        )

    def session(self, video: Video, *, scale: float = 1.0) -> Session:
        del scale
        return _SquareSession(video, self._side)


class _SquareSession:
    def __init__(self, video: Video, side: int) -> None:
        self._video, self._side = video, side

    def step(self, frame: Frame, prompts: Prompts) -> Prediction:
        Squares.calls.append((self._video, list(prompts)))
        logits = np.full((len(prompts), *frame.shape[:2]), -9, np.float32)
        for plane, prompt in zip(logits, prompts.values(), strict=True):
            if isinstance(prompt, Box):
                row, column = int(prompt.top), int(prompt.left)
            else:
                assert isinstance(prompt, Points)
                row, column = int(prompt.points[0].y), int(prompt.points[0].x)
            plane[row : row + self._side, column : column + self._side] = 9
        return Prediction(tuple(prompts), logits)

    def close(self) -> None:
        """Hold nothing."""


@pytest.fixture
def predict(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write_split: WriteSplit,
    runner: CliRunner,
    install_models: InstallModels,
) -> Predict:
    """Run `submit predict` with a box and a point."""
    install_models(
        masks=f"{__name__}:OnlyMasks",
        squares=f"{__name__}:Squares",
        later="tests.predictors.later:LaterPredictor",
    )
    monkeypatch.setattr(Squares, "calls", [])
    monkeypatch.chdir(tmp_path)
    write_split(("a",), frames=("00000", "00001", "00002"))
    content = {
        "00001": {"1": {"box": [10, 12, 20, 20]}},
        "00002": {"2": {"points": [[3, 5, 1]]}},
    }
    Path("prompts.json").write_text(
        json.dumps({"version": 1, "videos": {"a": content}})
    )

    def call(*options: str, model: str = "masks") -> Result:
        words = ["predict", "split", "--predictor", model, "--name", "r"]
        words += ["--prompts", "prompts.json", *options]
        return runner.invoke(cli, words, env={"SUBMIT_WORKERS": "1"})

    return call


def boxes(frame: str) -> list[list[int]]:
    """First row and column, rows and columns of each object."""
    with np.load("runs/r/soft/a.npz") as file:
        masks = file[frame] > 0
    found = []
    for mask in masks:
        rows, columns = np.nonzero(mask)
        found.append([rows.min(), columns.min(), np.ptp(rows) + 1, np.ptp(columns) + 1])
    return found


def test_boxes_and_points_become_masks(predict: Predict) -> None:
    done = predict("--prompter", "squares")
    assert done.exit_code == 0, done.output
    before = boxes("00000")
    assert boxes("00001") == [[12, 10, 4, 4], before[1]]
    assert boxes("00002") == [[12, 10, 4, 4], [5, 3, 4, 4]]
    # It sees single frames.
    assert [keys for _, keys in Squares.calls] == [[1], [2]]
    assert {video.length for video, _ in Squares.calls} == {1}
    prompter = Run.open(Path("runs/r")).settings["prompter"]
    assert prompter == {"predictor": "squares", "options": {"side": 4}}


def test_other_options_of_the_prompter_make_another_run(predict: Predict) -> None:
    assert predict("--prompter", "squares").exit_code == 0
    again = predict("--prompter", "squares", "--prompter-option", "side=5")
    assert again.exit_code == 1
    assert "prompter" in again.stderr


def test_where_it_finds_nothing_a_known_object_is_not_changed(
    predict: Predict,
) -> None:
    done = predict("--prompter", "squares", "--prompter-option", "side=0")
    assert done.exit_code == 0, done.output
    assert boxes("00001") == boxes("00002") == boxes("00000")


def test_the_prompter_sees_the_plain_frame(predict: Predict) -> None:
    done = predict("--prompter", "squares", "--variant", "hflip")
    assert done.exit_code == 0, done.output
    assert boxes("00002") == [[12, 10, 4, 4], [5, 3, 4, 4]]


def test_a_delayed_model_gets_masks_too(predict: Predict) -> None:
    done = predict("--prompter", "squares", model="later")
    assert done.exit_code == 0, done.output
    # It takes boxes itself, and no points.
    assert [keys for _, keys in Squares.calls] == [[2]]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            (),
            "a: frame 00001: object 1: predictor masks does not take boxes; it takes "
            "masks, also for known objects. Leave the prompt out, turn it into a mask "
            "with --prompter, or choose another",
        ),
        (
            ("--prompter", "masks"),
            "prompter masks: takes neither boxes nor points, but masks",
        ),
        (("--prompter", "later"), "prompter later: predicts frames later"),
        (
            ("--prompter", "static"),
            "frame 00002: object 2: predictor masks does not take points; it takes "
            "masks and boxes",
        ),
        (("--prompter-option", "side=3"), "prompter option side=3: no prompter"),
        (("--prompter", "none"), "no predictor called 'none' is installed"),
    ],
    ids=["without", "masks", "delayed", "no points", "no name", "unknown"],
)
def test_what_cannot_be_done_is_named_before_the_work(
    options: tuple[str, ...], words: str, predict: Predict
) -> None:
    done = predict(*options)
    assert done.exit_code == 1
    assert words in " ".join(done.stderr.split())
    assert not Path("runs/r").exists()


def test_a_new_object_gets_the_pixels_of_its_prompt_if_nothing_is_found() -> None:
    from submit.pipeline.prompter import PromptedPredictor

    inner = OnlyMasks(StaticOptions())
    prompter = Squares(SquareOptions(side=0))
    predictor = PromptedPredictor(inner, prompter, name="squares")
    session = predictor.session(Video("v", height=10, width=12, length=2))
    points = Points((Point(3, 4), Point(8, 1, inside=False)))
    frame = np.zeros((10, 12, 3), np.uint8)
    found = session.step(frame, {1: Box(2, 3, 5, 6), 2: points})
    assert isinstance(found, Prediction)
    assert (found.logits > 0).sum((1, 2)).tolist() == [9, 1]
    assert found.logits[1, 4, 3] > 0
