"""What a stranger's model raises or returns is never called our bug."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from submit.errors import PredictorError
from submit.predictors import (
    GROUP,
    Description,
    Prediction,
    Predictor,
    StaticOptions,
    Video,
    build,
)

VIDEO = Video("v", height=4, width=6, length=3)
FRAME = np.zeros((4, 6, 3), np.uint8)
MASKS = {1: np.ones((4, 6), bool)}


def nothing() -> Any:
    return None


@dataclass
class Model:
    """A model whose every part does what a test says."""

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

    def start(self, frame: object, masks: object) -> Any:
        return self.do("start", Prediction((1,), np.zeros((1, 2, 2), np.float32)))

    def add(self, frame: object, masks: object) -> Any:
        return self.do("add", self.start(frame, masks))

    def step(self, frame: object) -> Any:
        return self.do("step", self.start(frame, {}))

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
    session = predictor.session(VIDEO)
    session.start(FRAME, MASKS)
    session.add(FRAME, MASKS)
    found = session.step(FRAME)
    session.close()
    return found


METHODS = ("__init__", "describe", "session", "start", "add", "step", "close")


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
    # It begins in the model: how the toolkit came there helps nobody.
    assert "submit/predictors" not in lines[1]
    assert any(__file__ in line for line in lines)


@pytest.mark.parametrize("method", ["describe", "start", "add", "step"])
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
