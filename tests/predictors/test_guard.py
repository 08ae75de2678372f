"""Errors of third-party models are not reported as bugs of the toolkit."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from submit.errors import MaskError, PredictorError, PromptError
from submit.predictors import (
    GROUP,
    Absent,
    AcceptedPrompts,
    Box,
    Description,
    Mask,
    Point,
    Points,
    Prediction,
    Predictor,
    Prompt,
    StaticOptions,
    Video,
    build,
    immediate,
)

VIDEO = Video("v", height=4, width=6, length=3)
FRAME = np.zeros((4, 6, 3), np.uint8)
MASK = np.ones((4, 6), bool)


def nothing() -> Any:
    return None


@dataclass
class Model:
    """A model whose methods are replaced by a test."""

    #: By the name of a method; what is not named works.
    doing: ClassVar[dict[str, Callable[[], Any]]] = {}
    Options: ClassVar[type[Any]] = StaticOptions

    options: Any = None
    device: str = field(default="auto", kw_only=True)

    def __post_init__(self) -> None:
        self.do("__init__", None)

    def do(self, name: str, usual: Any) -> Any:
        return self.doing[name]() if name in self.doing else usual

    def describe(self) -> Any:
        return self.do("describe", Description("m", "Apache-2.0"))

    def session(self, video: Video, *, scale: float = 1.0) -> Any:
        return self.do("session", self)

    def step(self, frame: object, prompts: object) -> Any:
        return self.do("step", Prediction((1,), np.zeros((1, 2, 2), np.float32)))

    def close(self) -> Any:
        return self.do("close", None)


@pytest.fixture(params=["their-model", "mose-submit"])
def package(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Install the model as part of a package; returns the package's name."""
    point = EntryPoint("mine", f"{__name__}:Model", GROUP)
    vars(point).update(dist=SimpleNamespace(name=request.param, version="1.2"))
    monkeypatch.setattr("submit.predictors.registry.installed", lambda: {"mine": point})
    return str(request.param)


def use(predictor: Predictor) -> Prediction:
    """Call everything that a model has; returns the last prediction."""
    predictor.describe()
    session = immediate(predictor.session(VIDEO))
    session.step(FRAME, {1: Mask(MASK)})
    found = session.step(FRAME, {})
    session.close()
    return found


METHODS = ("__init__", "describe", "session", "step", "close")


def fail(error: BaseException) -> Callable[[], Any]:
    def failing() -> Any:
        raise error

    return failing


def test_a_model_that_works_is_not_disturbed(package: str) -> None:
    assert use(build("mine", [])).objects == (1,)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("error", [KeyError("x"), SystemExit(3)], ids=repr)
def test_what_a_model_raises_names_its_package(
    method: str,
    error: BaseException,
    package: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(Model.doing, method, fail(error))
    with pytest.raises(PredictorError) as caught:
        use(build("mine", []))
    first, *lines = str(caught.value).split("\n")
    what = f"predictor mine ({package} 1.2) raised {type(error).__name__}: {error}; "
    assert first.startswith(what)
    ours = package == "mose-submit"
    assert ("a bug of mose-submit 1.2" in first) is ours
    assert ("to the authors of their-model 1.2" in first) is not ours
    assert lines[0] == "Traceback (most recent call last):"
    # It starts in the model, since the frames of the toolkit do not help.
    assert "submit/predictors" not in lines[1]
    assert any(__file__ in line for line in lines)


@pytest.mark.parametrize("method", ["describe", "step"])
def test_what_a_model_returns_is_looked_at(
    method: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(Model.doing, method, nothing)
    with pytest.raises(PredictorError) as caught:
        use(build("mine", []))
    assert str(caught.value).startswith(
        f"predictor mine ({package} 1.2): {method} returned a NoneType, expected a "
    )


@pytest.mark.parametrize(
    "error",
    [
        PredictorError("no checkpoint; -o checkpoint=FILE"),
        MemoryError(),
        OSError(errno.ENOSPC, "No space left on device"),
        KeyboardInterrupt(),
    ],
    ids=repr,
)
def test_what_says_what_to_do_goes_through(
    error: BaseException, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(Model.doing, "step", fail(error))
    with pytest.raises(type(error)) as caught:
        use(build("mine", []))
    assert caught.value is error


@pytest.mark.parametrize(
    ("accepted", "given", "message"),
    [
        (
            AcceptedPrompts(),
            [{3: Box(0, 0, 2, 2)}],
            "object 3: predictor mine does not take boxes; it takes masks, once per "
            "object. Leave",
        ),
        (
            AcceptedPrompts(masks=False, boxes=True, points=True, corrections=True),
            [{3: Mask(MASK)}],
            "object 3: predictor mine does not take masks; it takes boxes and points, "
            "also for known objects. Leave",
        ),
        (
            AcceptedPrompts(),
            [{1: Mask(MASK)}, {2: Mask(MASK), 1: Mask(MASK)}],
            "object 1: predictor mine takes one prompt per object, and this one is "
            "known already; it takes masks, once per object. Leave",
        ),
        (
            AcceptedPrompts(),
            [{1: Mask(MASK[:3])}],
            "object 1: expected a mask of 4×6 pixels, found 3×6",
        ),
        (
            AcceptedPrompts(boxes=True),
            [{1: Box(0, 0, 6, 5)}],
            "object 1: expected a box within the frame of 6×4 (width × height), found "
            "[0, 0, 6, 5]",
        ),
        (
            AcceptedPrompts(points=True),
            [{1: Points((Point(0, 0), Point(5.6, 0)))}],
            "object 1: expected points within the frame of 6×4 (width × height), found "
            "x = 5.6, y = 0",
        ),
    ],
    ids=["kind", "masks", "correction", "mask size", "box outside", "point outside"],
)
def test_a_prompt_that_the_model_cannot_take_does_not_reach_it(
    accepted: AcceptedPrompts,
    given: list[dict[int, Prompt]],
    message: str,
    package: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    description = Description("m", "Apache-2.0", prompts=accepted)
    monkeypatch.setitem(Model.doing, "describe", lambda: description)
    session = build("mine", []).session(VIDEO)
    *before, last = given
    for prompts in before:
        session.step(FRAME, prompts)
    monkeypatch.setitem(Model.doing, "step", fail(AssertionError("it was called")))
    with pytest.raises(PromptError) as caught:
        session.step(FRAME, last)
    assert str(caught.value).startswith(f"video v: {message}")


def test_a_model_that_takes_everything_gets_everything(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted = AcceptedPrompts(boxes=True, points=True, absences=True, corrections=True)
    description = Description("m", "Apache-2.0", prompts=accepted)
    monkeypatch.setitem(Model.doing, "describe", lambda: description)
    seen: list[Any] = []
    step = Model.step

    def note(self: Model, frame: object, prompts: object) -> Any:
        seen.append(prompts)
        return step(self, frame, prompts)

    monkeypatch.setattr(Model, "step", note)
    session = build("mine", []).session(VIDEO)
    edges = Points((Point(-0.5, 3.5), Point(5.5, -0.5, inside=False)))
    given: list[dict[int, Prompt]] = [
        {1: Mask(MASK)},
        {1: Box(0, 0, 6, 4), 2: edges},
        {},
        {1: Absent()},
    ]
    for prompts in given:
        session.step(FRAME, prompts)
    assert seen == given


def saying(name: str, value: float) -> Callable[[], Any]:
    """A prediction of two objects with one number in the place of the second."""

    def predict() -> Prediction:
        arrays = {
            "logits": np.zeros((2, 3, 4), np.float32),
            "presence": np.zeros(2, np.float32),
            "iou": np.zeros(2, np.float32),
        }
        arrays[name].reshape(-1)[-1] = value
        return Prediction((3, 7), **arrays)

    return predict


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("logits", np.nan, "logits is nan, expected a number"),
        ("presence", np.nan, "presence is nan, expected a finite number"),
        ("presence", np.inf, "presence is inf, expected a finite number"),
        ("presence", -np.inf, "presence is -inf, expected a finite number"),
        ("iou", np.nan, "iou is nan, expected a number in [0, 1]"),
        ("iou", 1.01, "iou is 1.01, expected a number in [0, 1]"),
        ("iou", -0.5, "iou is -0.5, expected a number in [0, 1]"),
        ("iou", np.inf, "iou is inf, expected a number in [0, 1]"),
    ],
)
def test_a_number_that_cannot_be_meant_is_refused(
    name: str,
    value: float,
    said: str,
    package: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(Model.doing, "step", saying(name, value))
    with pytest.raises(MaskError) as caught:
        use(build("mine", []))
    assert str(caught.value).startswith(
        f"object 7: {said}; predictor mine ({package} 1.2) fails here: "
    )


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.finfo(np.float32).min])
def test_logits_may_be_as_large_as_they_are(
    value: float, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some models use the lowest float for "no object"."""
    monkeypatch.setitem(Model.doing, "step", saying("logits", value))
    assert use(build("mine", [])).objects == (3, 7)
