"""`submit predict` with a model whose predictions come later than their frames."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from submit.cli import cli
from submit.runs import Run
from tests.conftest import WriteSplit
from tests.pipeline.conftest import InstallModels
from tests.predictors.later import LaterPredictor, LaterSession

FRAMES = tuple(f"{index:05}" for index in range(7))

Predict = Callable[..., Result]


@pytest.fixture
def predict(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write_split: WriteSplit,
    runner: CliRunner,
    install_models: InstallModels,
) -> Predict:
    """Run `submit predict` with the toy model or another one."""
    install_models(later="tests.predictors.later:LaterPredictor")
    monkeypatch.chdir(tmp_path)
    write_split(("a", "b"), frames=FRAMES, objects=(3, 1))

    def call(model: str, name: str, *options: str) -> Result:
        words = ["predict", "split", "--predictor", model, "--name", name, *options]
        return runner.invoke(cli, words, env={"SUBMIT_WORKERS": "1"})

    return call


def arrays(run: str, video: str) -> dict[str, Any]:
    with np.load(f"runs/{run}/soft/{video}.npz") as soft:
        return dict(soft)


def same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


@pytest.mark.parametrize("later", [0, 1, 3, 100])
@pytest.mark.parametrize("variant", [(), ("--variant", "hflip+gamma=0.8+clahe")])
def test_the_run_is_that_of_the_same_model_without_delay(
    later: int, variant: tuple[str, ...], predict: Predict
) -> None:
    for model, name in (("static", "plain"), ("later", "late")):
        options = ["-o", f"frames={later}"] if model == "later" else []
        done = predict(model, name, *options, *variant)
        assert done.exit_code == 0, done.output
    for video in ("a", "b"):
        plain, late = arrays("plain", video), arrays("late", video)
        assert list(plain) == list(late)
        assert all(map(same, plain.values(), late.values()))
        assert Run.open(Path("runs/late")).videos[video].objects == (1, 3)


def test_palette_masks_get_the_names_of_their_frames(predict: Predict) -> None:
    done = predict("later", "hard", "--no-soft", "-o", "frames=3")
    assert done.exit_code == 0, done.output
    masks = sorted(path.stem for path in Path("runs/hard/masks/a").iterdir())
    assert masks == list(FRAMES)


def test_frames_before_the_first_object_have_no_delay(
    predict: Predict, write_split: WriteSplit
) -> None:
    write_split(("c",), frames=FRAMES)
    masks = Path("split/Annotations/c")
    (masks / f"{FRAMES[0]}.png").rename(masks / f"{FRAMES[2]}.png")
    for model, name in (("static", "plain"), ("later", "late")):
        assert predict(model, name, "--videos", "c", "--late-objects").exit_code == 0
    plain, late = arrays("plain", "c"), arrays("late", "c")
    assert [len(late[frame]) for frame in FRAMES] == [0, 0, 2, 2, 2, 2, 2]
    assert all(map(same, plain.values(), late.values()))


def test_the_frame_of_an_impossible_number_is_named(predict: Predict) -> None:
    done = predict("later", "r", "-o", "frames=4", "-o", "fault=number")
    assert done.exit_code == 1
    # Four are held back at the end: the third of them is frame 5.
    assert "video a: frame 00005: object 3: logits is nan" in done.stderr


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("too few", "video a: returned predictions of 6 frames after 7 frames"),
        ("too many", "video a: finish returned a prediction more than the 7 frames"),
    ],
)
def test_a_wrong_number_of_predictions_fails_the_video(
    fault: str, words: str, predict: Predict
) -> None:
    assert predict("later", "r", "--videos", "b").exit_code == 0
    done = predict("later", "s", "-o", f"fault={fault}")
    assert done.exit_code == 1
    assert words in done.stderr
    assert not Path("runs/s").exists() or not Run.open(Path("runs/s")).videos


def test_a_run_that_was_cut_short_is_continued(
    predict: Predict, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    original = LaterPredictor.session

    def session(self: LaterPredictor, video: Any, **options: Any) -> Any:
        opened.append(video.name)
        found = original(self, video, **options)
        if len(opened) == 3:  # The first only tries the model.
            monkeypatch.setattr(found, "step", _interrupted)
        return found

    monkeypatch.setattr(LaterPredictor, "session", session)
    assert predict("later", "r").exit_code != 0
    assert list(Run.open(Path("runs/r")).videos) == ["a"]
    opened.clear()
    opened.extend(("x", "x", "x"))
    assert predict("later", "r").exit_code == 0
    assert opened[4:] == ["b"]


def _interrupted(*arguments: object) -> None:
    raise KeyboardInterrupt


def test_predictions_are_written_as_they_come(
    predict: Predict, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At no time does the caller hold more than the session does."""
    sessions: list[LaterSession] = []
    original = LaterPredictor.session

    def session(self: LaterPredictor, video: Any, **options: Any) -> Any:
        found = original(self, video, **options)
        assert isinstance(found, LaterSession)
        sessions.append(found)
        return found

    monkeypatch.setattr(LaterPredictor, "session", session)
    assert predict("later", "r", "-o", "frames=2").exit_code == 0
    assert [one.most_held for one in sessions] == [0, 3, 3]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ("--tta", "hflip", "--tta", "scale=2"),
            "Error: --tta hflip --tta scale=2: later predicts frames later than it "
            "gets them, so variants of it cannot be merged frame by frame; make a run "
            "of each, such as --variant hflip --name hflip, and merge the runs with "
            "submit ensemble",
        ),
        (
            ("--variant", "hflip+zoom"),
            "Error: variant hflip+zoom: zoom needs the prediction of each frame before "
            "the next one, and later predicts frames later; leave zoom out",
        ),
    ],
    ids=["tta", "zoom"],
)
def test_what_needs_predictions_at_once_is_refused_before_the_work(
    options: tuple[str, ...], words: str, predict: Predict
) -> None:
    done = predict("later", "r", *options)
    assert done.exit_code == 1
    assert " ".join(done.stderr.split()) == words
    assert not Path("runs/r").exists()


def test_its_page_says_that_it_is_delayed(
    predict: Predict, runner: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    from submit.predictors import registry

    monkeypatch.setattr("submit.cli.predictors.installed", registry.installed)
    page = runner.invoke(cli, ["predictors", "later", "--json"])
    assert json.loads(page.stdout)["description"]["delayed"] is True
    page = runner.invoke(cli, ["predictors", "later"])
    assert "later than their frames" in page.output
