"""`submit predict --direction`: from which prompts each frame is tracked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from submit.cli import cli
from submit.pipeline.direction import plan_passes
from submit.png.palette import decode, encode
from submit.predictors import (
    Absent,
    Box,
    Description,
    Frame,
    MemoryEvent,
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
from tests.killing import Killing
from tests.pipeline.conftest import InstallModels

FRAMES = tuple(f"{index:05}" for index in range(9))
#: Where the prompts of object 1 are, beside its first mask.
LATER = {"00003": (2, 2, 6, 6), "00007": (20, 10, 28, 20)}

Predict = Callable[..., Result]


@dataclass(frozen=True)
class AgedOptions:
    """What goes wrong."""

    until: int = option(10**6, "Steps of all sessions before it stops.", decides=False)


class Aged(StaticPredictor):
    """Repeats the last given mask; the presence is the number of frames since then."""

    Options: ClassVar[type[Any]] = AgedOptions
    steps: ClassVar[int] = 0
    opened: ClassVar[list[Video]] = []

    def __init__(self, options: AgedOptions, *, device: str = "auto") -> None:
        super().__init__(StaticOptions(), device=device)
        self._until = options.until

    def describe(self) -> Description:
        return replace(super().describe(), model="aged")

    def session(self, video: Video, *, scale: float = 1.0) -> Session:
        self.opened.append(video)
        return _AgedSession(super().session(video, scale=scale), self._until)


class _AgedSession:
    def __init__(self, inner: Session, until: int) -> None:
        self._inner, self._until = inner, until
        self._age: dict[int, int] = {}
        self.events = [MemoryEvent(2, 1, "looks good")]

    def step(self, frame: Frame, prompts: Prompts) -> Prediction:
        Aged.steps += 1
        if Aged.steps > self._until:
            raise KeyboardInterrupt
        self._age = {key: age + 1 for key, age in self._age.items()}
        self._age.update(dict.fromkeys(prompts, 0))
        found = self._inner.step(frame, prompts)
        ages = np.array([self._age[key] for key in found.objects], np.float32)
        return replace(found, presence=ages)

    def close(self) -> None:
        self._inner.close()


@pytest.fixture
def predict(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write_split: WriteSplit,
    runner: CliRunner,
    install_models: InstallModels,
) -> Predict:
    """Run `submit predict` with prompts beside a split of one video."""
    install_models(
        aged=f"{__name__}:Aged", later="tests.predictors.later:LaterPredictor"
    )
    monkeypatch.setattr(Aged, "steps", 0)
    monkeypatch.setattr(Aged, "opened", [])
    monkeypatch.chdir(tmp_path)
    write_split(("a",), frames=FRAMES)
    give({frame: {"1": {"box": box}} for frame, box in LATER.items()})

    def call(direction: str, name: str, *options: str, model: str = "aged") -> Result:
        words = ["predict", "split", "--predictor", model, "--name", name]
        words += ["--prompts", "prompts.json", "--direction", direction, *options]
        return runner.invoke(cli, words, env={"SUBMIT_WORKERS": "1"})

    return call


def give(frames: Mapping[str, Any]) -> None:
    content = {"version": 1, "videos": {"a": frames}}
    Path("prompts.json").write_text(json.dumps(content))


@dataclass(frozen=True)
class Stored:
    """A soft file: codes n×h×w by frame, presence T×N, and the ids."""

    codes: list[NDArray[np.int8]]
    presence: NDArray[np.float32]
    objects: tuple[int, ...]


def soft(name: str) -> Stored:
    with np.load(f"runs/{name}/soft/a.npz") as file:
        return Stored(
            [file[frame] for frame in FRAMES],
            file["presence"],
            tuple(file["objects"].tolist()),
        )


def shown(name: str, row: int = 0) -> list[NDArray[np.bool_]]:
    """Where an object is in each frame."""
    return [codes[row] > 0 for codes in soft(name).codes]


def box_at(box: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    return Box(*box).to_mask(24, 32).pixels


def test_backward_frames_come_from_the_next_prompt(predict: Predict) -> None:
    done = predict("backward", "r")
    assert done.exit_code == 0, done.output
    masks = shown("r")
    for index in range(1, 4):
        assert (masks[index] == box_at(LATER["00003"])).all()
    for index in range(4, 9):
        assert (masks[index] == box_at(LATER["00007"])).all()
    # Frames since the prompt; after the last one the frames are tracked forward.
    video = soft("r")
    assert video.presence[:, 0].tolist() == [0, 2, 1, 0, 3, 2, 1, 0, 1]
    # The other object has no later prompt, so it is tracked forward.
    assert video.presence[:, 1].tolist() == list(range(9))
    assert video.objects == (1, 2)


def test_the_model_gets_the_frames_in_the_order_in_which_it_sees_them(
    predict: Predict,
) -> None:
    assert predict("both", "r").exit_code == 0
    _, back, ahead = Aged.opened  # The first one only tries the model.
    assert [path.stem for path in back.images] == list(FRAMES[7::-1])
    assert back.length == 8
    assert [path.stem for path in ahead.images] == list(FRAMES)


def test_both_passes_are_merged_by_the_distance_to_the_prompts(
    predict: Predict,
) -> None:
    done = predict("both", "r")
    assert done.exit_code == 0, done.output
    masks = shown("r")
    first = shown("r", row=1)[0]
    assert not (masks[0] == first).all()
    nearest = [0, 0, 3, 3, 3, None, 7, 7, 7]
    given = {0: masks[0], 3: box_at(LATER["00003"]), 7: box_at(LATER["00007"])}
    for index, prompt in enumerate(nearest):
        if prompt is not None:
            assert (masks[index] == given[prompt]).all(), index
    # Frame 2 is two frames after a prompt and one before the next one.
    ages = soft("r").presence[:, 0]
    np.testing.assert_allclose(ages[2], 2 / 3 * 1 + 1 / 3 * 2, rtol=1e-6)
    np.testing.assert_allclose(ages[5], 2.0)
    # With both passes as far, pixels of one of them have the probability 1/2.
    codes = soft("r").codes[5][0]
    assert set(np.unique(codes[box_at(LATER["00007"])])) <= {-1, 0, 1}


def test_without_later_prompts_both_is_forward(predict: Predict) -> None:
    give({"00004": {"1": {"absent": True}}})
    assert predict("forward", "one").exit_code == 0
    assert predict("both", "two").exit_code == 0
    one, two = (Path(f"runs/{name}/soft/a.npz") for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_an_object_given_only_later_is_tracked_to_the_start(
    predict: Predict, write_split: WriteSplit
) -> None:
    shutil.rmtree("split")
    write_split(("a",), frames=FRAMES, annotated=3)
    for frame in FRAMES[:2]:
        path = Path(f"split/Annotations/a/{frame}.png")
        labels = decode(path.read_bytes()).copy()
        labels[labels == 2] = 0
        path.write_bytes(encode(labels))
    give({"00006": {"2": {"box": LATER["00007"]}}})
    done = predict("both", "prompted")
    assert done.exit_code == 0, done.output
    assert soft("prompted").objects == (1, 2)
    assert [len(codes) for codes in soft("prompted").codes] == [2] * 9
    assert (shown("prompted", 1)[0] == box_at(LATER["00007"])).all()
    done = predict("both", "late", "--late-objects")
    assert done.exit_code == 0, done.output
    # Late objects do not exist before their first mask.
    assert [len(codes) for codes in soft("late").codes] == [1, 1, *[2] * 7]


def test_a_backward_pass_cut_short_gives_the_same_bytes_when_it_is_run_again(
    predict: Predict,
) -> None:
    assert predict("both", "whole").exit_code == 0
    for step in (3, 11):
        Aged.steps = 0
        assert predict("both", "cut", "-o", f"until={step}").exit_code != 0
        assert not list(Path().rglob("*.partial"))
    Aged.steps = 0
    assert predict("both", "cut").exit_code == 0
    whole, cut = (Path(f"runs/{name}/soft/a.npz") for name in ("whole", "cut"))
    assert whole.read_bytes() == cut.read_bytes()
    assert sorted(path.name for path in cut.parent.iterdir()) == ["a.npz"]


@pytest.mark.parametrize("later", [0, 3])
def test_a_delayed_model_goes_both_ways_too(later: int, predict: Predict) -> None:
    assert predict("both", "plain", model="static").exit_code == 0
    done = predict("both", "late", "-o", f"frames={later}", model="later")
    assert done.exit_code == 0, done.output
    plain, late = (Path(f"runs/{name}/soft/a.npz") for name in ("plain", "late"))
    assert plain.read_bytes() == late.read_bytes()


def test_variants_go_both_ways_and_masks_are_written_at_once(
    predict: Predict,
) -> None:
    assert predict("both", "plain").exit_code == 0
    more = ("--variant", "hflip", "--tta", "gamma=0.8")
    done = predict("both", "shown", *more)
    assert done.exit_code == 0, done.output
    for row in (0, 1):
        for one, other in zip(shown("plain", row), shown("shown", row), strict=True):
            assert (one == other).all()
    assert predict("both", "hard", "--no-soft").exit_code == 0
    masks = sorted(path.stem for path in Path("runs/hard/masks/a").iterdir())
    assert masks == list(FRAMES)


def test_the_run_has_its_prompts_and_what_the_model_remembers(
    predict: Predict,
) -> None:
    done = predict("both", "r")
    assert done.exit_code == 0, done.output
    details = Run.open(Path("runs/r")).videos["a"].details
    assert details["prompts"] == [[frame, 1, "box"] for frame in LATER]
    # The third frame of the backward pass, then that of the forward pass.
    backward = FRAMES[FRAMES.index(max(LATER)) - 2]
    assert details["memory"] == [
        [backward, 1, "looks good"],
        [FRAMES[2], 1, "looks good"],
    ]
    assert details["peak_memory"] > 0


def test_the_direction_makes_another_run(predict: Predict) -> None:
    assert predict("both", "r").exit_code == 0
    assert Run.open(Path("runs/r")).settings["direction"] == "both"
    again = predict("backward", "r")
    assert again.exit_code == 1
    assert "direction: it has" in again.stderr
    assert "asked for" in again.stderr


def test_backward_needs_prompts(predict: Predict, runner: CliRunner) -> None:
    words = "predict split --predictor static --name r --direction both"
    done = runner.invoke(cli, words.split())
    assert done.exit_code == 1
    assert "direction both: tracking backward starts at a prompt after" in done.stderr
    assert not Path("runs/r").exists()


def test_nothing_is_tracked_from_an_absence() -> None:
    box = Box(1, 1, 4, 4)
    prompts: dict[str, Prompts] = {
        FRAMES[0]: {1: box},
        FRAMES[4]: {1: box},
        FRAMES[6]: {1: Absent()},
    }
    passes = plan_passes(FRAMES, prompts, direction="backward", late=False)
    assert passes.backward_frames == FRAMES[4::-1]
    assert list(passes.backward) == [FRAMES[4], FRAMES[0]]
    assert list(passes.forward) == [FRAMES[4], FRAMES[6]]


@pytest.mark.slow
def test_killed_at_any_step_of_both_passes_it_ends_with_the_same_bytes(
    predict: Predict, tmp_path: Path
) -> None:
    del predict  # It has written the split and the prompts.
    line = (
        "predict split --predictor static --prompts prompts.json --direction both "
        "--workers 1 --name "
    )
    with Killing() as commands:
        usual = commands.run(f"{line}calm", tmp_path)
        assert usual.status == 0
        assert usual.steps is not None
        for step in range(usual.steps):
            commands.run(f"{line}r{step}", tmp_path, kill=step)
            assert commands.run(f"{line}r{step}", tmp_path).status == 0
    calm = Path("runs/calm/soft/a.npz").read_bytes()
    for step in range(usual.steps):
        assert Path(f"runs/r{step}/soft/a.npz").read_bytes() == calm
    assert not list(Path("runs").rglob("*.partial"))
