"""Each fault of a model is found, with its reason, and models without one pass."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from submit.cli import cli
from submit.conformance import REQUIREMENTS, Clip, Outcome, examine
from submit.conformance.walk import walk
from submit.errors import PredictorError
from submit.predictors import Box, Mask
from tests.conformance.broken import Good, Session

HERE = Path(__file__).parent
LATER = HERE.parent / "predictors" / "later.py"


@pytest.mark.parametrize(
    ("model", "requirement", "words"),
    [
        ("NoDataclass", "description", "Options is not a dataclass"),
        ("Changeable", "description", "Options can be changed"),
        ("Helpless", "description", "option radius has no help"),
        ("NoLicence", "description", "model 'm' and licence ''"),
        ("WrongDigest", "description", "the checkpoint 'weights.pt', expected a SHA"),
        ("NoCores", "description", "describe() returned 0 cores"),
        ("WrongDetails", "description", "has values that are no texts: size"),
        ("Fickle", "description", "returned two different descriptions"),
        ("NoDescription", "description", "describe returned a NoneType"),
        ("Raising", "tracking", "frame 0: raised KeyError: 'memory' ("),
        ("Sorted", "tracking", "frame 0: returned the objects [3, 7], expected [7, 3]"),
        ("Forgetful", "tracking", "the objects [7, 3], expected [7, 3, 12]"),
        ("WrongShape", "tracking", "frame 0: logits must be N×h×w with N = 2"),
        ("NoNumber", "tracking", "frame 0: object 7: iou is 4, expected a number in"),
        ("WritesFrame", "tracking", "output array is read-only"),
        ("WritesFrameUnseen", "tracking", "changed the pixels of its frame"),
        ("WritesMaskUnseen", "tracking", "changed the mask of object 7 that"),
        ("Doubles", "numbers", "logits: found float64, expected float32"),
        ("Booleans", "numbers", "logits: found bool, expected float32"),
        ("Sometimes", "numbers", "presence is None in some frames only"),
        ("Probabilities", "numbers", "all logits are in [0, 1]"),
        ("NeverNegative", "numbers", "no logit is below 0"),
        ("Transposed", "place", "object 7: its mask lies elsewhere"),
        ("Mirrored", "place", "object 7: its mask lies elsewhere"),
        ("Blind", "place", "object 7: its mask has no pixel above 0"),
        ("SaysAbsent", "place", "presence is -4 in the frame of its prompt"),
        ("Random", "determinism", "other masks the second time"),
        ("OneState", "independence", "other masks while a second one was open"),
        ("Amnesiac", "resumption", "restored after frame 0, a session gave other"),
        (
            "Opaque",
            "resumption",
            "is no plain data: state.inner.masks is a builtins.set",
        ),
        ("Unrestored", "resumption", "restore() after frame 0: raised KeyError"),
        ("NoPoints", "prompts", "raised NotImplementedError: points"),
        ("NoCorrections", "prompts", "correction, frame 2: object 3: its mask lies"),
        ("NoScale", "scale", "at scale 0.5: scale 0.5: expected 1"),
        (
            "ClosesOnce",
            "tracking",
            "close() for the second time: raised AttributeError",
        ),
        ("ClosesAtTheEnd", "close", "close(): raised RuntimeError: no tracker yet"),
        ("KeepsFrames", "memory", "memory grows by 7"),
        ("KeepsTensors", "memory", "memory grows by 4"),
        ("KeepsGradients", "memory", "1 tensor with gradients stay"),
        ("KeepsSessions", "videos", "after each video 8"),
    ],
)
def test_a_fault_is_found(model: str, requirement: str, words: str) -> None:
    found = examine(f"{HERE}/broken.py:{model}", frames=16, only=(requirement,))
    problems = [one for one in found.deviations if one.fails]
    assert [one.requirement for one in problems][:1] == [requirement]
    assert any(words in one.wrong for one in problems), problems
    assert all(one.remedy for one in problems)
    assert found.outcomes[requirement] is Outcome.FAILED
    assert not found.passed


@pytest.mark.parametrize(
    ("model", "requirement", "words"),
    [
        ("Hard", "numbers", "two values only, -1 and 1: hard masks"),
        ("PresenceInRange", "numbers", "all values of presence are in [0, 1]"),
        ("Shrinking", "place", "its mask has IoU 0.25 with the given one"),
        ("SwapsAxes", "prompts", "boxes, frame 0: object 7: its mask has no pixel"),
        ("LastBits", "determinism", "numbers differ by up to "),
    ],
)
def test_a_remark_is_no_fault(model: str, requirement: str, words: str) -> None:
    found = examine(f"{HERE}/broken.py:{model}", frames=16, only=(requirement,))
    assert [one.requirement for one in found.deviations] == [requirement]
    assert words in found.deviations[0].wrong
    assert found.passed


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("too few", "after the 8 frames: video generated: returned predictions of 7"),
        ("too many", "a prediction more than the 8 frames"),
        ("objects", "returned the objects [9, 8], expected [7, 3]"),
        ("number", "object 3: logits is nan"),
    ],
)
def test_a_fault_of_a_delayed_model_is_found(fault: str, words: str) -> None:
    settings = ["frames=7", f"fault={fault}"]
    found = examine(f"{LATER}:LaterPredictor", settings, only=())
    (one,) = found.deviations
    assert (one.requirement, one.fails) == ("tracking", True)
    assert words in one.wrong


@pytest.mark.slow
def test_a_delayed_model_passes() -> None:
    found = examine(f"{LATER}:LaterPredictor", frames=16)
    assert found.passed
    assert set(found.outcomes.values()) == {Outcome.PASSED}


def test_nothing_more_is_tried_after_a_first_fault() -> None:
    found = examine(f"{HERE}/broken.py:Raising")
    tried = [name for name, one in found.outcomes.items() if one is not Outcome.NOT_RUN]
    assert tried == ["description", "tracking"]
    (one,) = found.deviations
    assert one.wrong.endswith("broken.py, line 144, in changed)")
    assert one.remedy == "correct the exception"


def test_what_cannot_be_made_is_an_error() -> None:
    with pytest.raises(PredictorError, match="no predictor called 'sam9'"):
        examine("sam9")
    with pytest.raises(PredictorError, match="checkpoint"):
        examine("sam2")


@pytest.mark.slow
def test_our_models_and_the_example_pass(repository: Path) -> None:
    example = repository / "examples" / "predictor_plugin" / "submit_centre.py"
    for model in ("static", f"{example}:CentrePredictor", f"{HERE}/broken.py:Good"):
        found = examine(model, frames=16)
        assert found.passed, found.deviations
        assert set(found.outcomes.values()) == {Outcome.PASSED}


@pytest.mark.slow
def test_booleans_and_infinite_logits_are_compared() -> None:
    found = examine(f"{HERE}/broken.py:Booleans", frames=16)
    assert {one.requirement for one in found.deviations} == {"numbers"}
    assert found.outcomes["videos"] is Outcome.PASSED
    assert examine(f"{HERE}/broken.py:Infinite", frames=16).deviations == ()


@pytest.mark.slow
def test_the_command_says_what_is_wrong_and_what_to_do(runner: CliRunner) -> None:
    model = f"{HERE}/broken.py:Probabilities"
    done = runner.invoke(cli, ["predictors", "--check", model, "--frames", "16"])
    assert done.exit_code == 1, done.stderr
    shown = " ".join(done.stdout.split())
    assert "numbers failed Arrays are float32" in shown
    assert "these are probabilities or a mask what to do return what stands" in shown
    assert shown.endswith("does not keep to it")


@pytest.mark.slow
def test_the_command_prints_json(runner: CliRunner) -> None:
    model = f"{HERE}/broken.py:Hard"
    line = ["predictors", "--check", model, "--frames", "16", "--json"]
    done = runner.invoke(cli, line)
    assert done.exit_code == 0, done.stderr
    data = json.loads(done.stdout)
    assert data["passed"] is True
    assert data["description"]["model"] == "good"
    assert data["requirements"] == dict.fromkeys(REQUIREMENTS, "passed")
    assert data["deviations"][0]["fails"] is False


def test_the_clip_is_the_same_whenever_it_is_asked_for() -> None:
    clip, again = Clip(), Clip(length=99)
    for index in range(8):
        assert np.array_equal(clip.frame(index), again.frame(index))
    masks = [clip.mask(key, 0) for key in (*clip.first, clip.late)]
    assert (np.sum(masks, 0) <= 1).all()
    box = clip.prompt("boxes", 7, 3)
    mask = clip.prompt("masks", 7, 3)
    assert isinstance(box, Box)
    assert isinstance(mask, Mask)
    assert np.array_equal(box.to_mask(64, 96).pixels, mask.pixels)


def test_a_session_is_closed_after_a_fault() -> None:
    closed = []

    class Failing(Session):
        def step(self, frame: object, prompts: object) -> object:
            raise KeyError("memory")

        def close(self) -> None:
            closed.append(self)
            raise OSError("still open")

    class Model(Good):
        def session(self, video: object, *, scale: float = 1.0) -> Session:
            return Failing(self, scale)

    with pytest.raises(KeyError, match="memory"):
        walk(Model(None), Clip(), {})
    assert len(closed) == 1
