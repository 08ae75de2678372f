"""Models whose predictions come later than their frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import EntryPoint
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from submit.errors import MaskError, PredictorError, SubmitError
from submit.predictors import (
    GROUP,
    DelayedSession,
    Description,
    Frame,
    Mask,
    Prediction,
    Predictor,
    Prompts,
    Session,
    StaticOptions,
    StaticPredictor,
    Video,
    as_delayed,
    build,
    immediate,
)
from tests.predictors.later import LaterPredictor

VIDEO = Video("v", height=4, width=6, length=5)
FRAME = np.zeros((4, 6, 3), np.uint8)
MASK = np.ones((4, 6), bool)

Install = Callable[[type[Any]], None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a class as the model `later` of the package theirs."""

    def do(kind: type[Any]) -> None:
        point = EntryPoint("later", "a:b", GROUP)
        vars(point).update(
            dist=SimpleNamespace(name="theirs", version="1.2"), load=lambda: kind
        )
        monkeypatch.setattr(
            "submit.predictors.registry.installed", lambda: {"later": point}
        )

    return do


def predictions(predictor: Predictor) -> list[list[Prediction]]:
    """Track object 7, and from the third frame on object 2; by step, then the rest."""
    session = as_delayed(predictor.session(VIDEO))
    given: dict[int, Prompts] = {0: {7: Mask(MASK)}, 2: {2: Mask(~MASK)}}
    found = [list(session.step(FRAME, given.get(i, {}))) for i in range(VIDEO.length)]
    found.append(list(session.finish()))
    session.close()
    return found


def test_a_session_without_delay_predicts_at_once() -> None:
    found = predictions(StaticPredictor(StaticOptions()))
    assert [len(step) for step in found] == [1, 1, 1, 1, 1, 0]


def test_a_delayed_model_is_not_disturbed(install: Install) -> None:
    install(LaterPredictor)
    found = predictions(build("later", ["frames=2"]))
    assert [len(step) for step in found] == [0, 0, 1, 1, 1, 2]
    objects = [one.objects for step in found for one in step]
    assert objects == [(7,), (7,), (7, 2), (7, 2), (7, 2)]


def test_a_delayed_session_is_refused_where_none_fits() -> None:
    options = LaterPredictor.Options()
    with pytest.raises(PredictorError, match="predicts frames later"):
        immediate(LaterPredictor(options).session(VIDEO))


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (
            "too few",
            "video v: returned predictions of 4 frames after 5 frames, the last 1 are "
            "missing",
        ),
        (
            "too many",
            "video v: finish returned a prediction more than the 5 frames that it got",
        ),
        (
            "objects",
            "video v: frame 2, counted from the first prompt: finish returned the "
            "objects [9, 8], expected [7, 2]: all that had a prompt up to there",
        ),
    ],
)
def test_wrong_numbers_of_predictions_and_objects_are_the_models_fault(
    fault: str, words: str, install: Install
) -> None:
    install(LaterPredictor)
    with pytest.raises(PredictorError) as caught:
        predictions(build("later", ["frames=3", f"fault={fault}"]))
    text = str(caught.value)
    assert text.startswith(f"predictor later (theirs 1.2): {words}")
    assert text.endswith("please report it to the authors of theirs 1.2")


class Sudden(LaterPredictor):
    """Predicts all frames in the last step; the fourth has an impossible number."""

    def session(self, video: Video, *, scale: float = 1.0) -> DelayedSession:
        return _SuddenSession(as_delayed(super().session(video, scale=scale)))


class _SuddenSession:
    def __init__(self, inner: DelayedSession) -> None:
        self._inner, self._seen = inner, 0

    def step(self, frame: Frame, prompts: Prompts) -> Sequence[Prediction]:
        self._seen += 1
        self._inner.step(frame, prompts)
        if self._seen < VIDEO.length:
            return []
        return list(self._inner.finish())

    def finish(self) -> Iterator[Prediction]:
        return iter(())

    def close(self) -> None:
        self._inner.close()


def test_what_came_before_an_impossible_number_is_returned_first(
    install: Install,
) -> None:
    """So that the caller knows the frame."""
    install(Sudden)
    session = build("later", ["frames=9", "fault=number"]).session(VIDEO)
    assert isinstance(session, DelayedSession)
    prompts: Prompts = {7: Mask(MASK), 2: Mask(MASK)}
    found = [session.step(FRAME, prompts if not i else {}) for i in range(5)]
    assert [len(step) for step in found] == [0, 0, 0, 0, 2]
    with pytest.raises(MaskError, match=r"^object 2: logits is nan, .* later \(theirs"):
        list(session.finish())


class Unfinished(StaticPredictor):
    """Says that it is delayed, and is not."""

    def describe(self) -> Description:
        return Description("m", "MIT", delayed=True)


class Unannounced(LaterPredictor):
    """Is delayed, and does not say so."""

    def describe(self) -> Description:
        return Description("m", "MIT")


class Single(LaterPredictor):
    """Returns a prediction in place of a list."""

    def session(self, video: Video, *, scale: float = 1.0) -> DelayedSession:
        session = super().session(video)
        step = immediate(StaticPredictor(StaticOptions()).session(video)).step
        vars(session)["step"] = step
        return session


class Raising(LaterPredictor):
    """Fails in the end."""

    def session(self, video: Video, *, scale: float = 1.0) -> DelayedSession:
        session = super().session(video)

        def finish() -> Iterator[Prediction]:
            raise KeyError("x")
            yield

        vars(session)["finish"] = finish
        return session


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (
            Unfinished,
            "session returned a _StaticSession without finish(), and "
            "describe().delayed is True; a delayed model has both; please",
        ),
        (
            Unannounced,
            "session returned a LaterSession with finish(), and describe().delayed is "
            "False; a delayed model has both; please",
        ),
        (Single, "step returned a Prediction, expected a list of the predictions"),
        (Raising, "(theirs 1.2) raised KeyError: 'x'; please report it"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_model_that_is_wrong_about_its_delay_is_told(
    kind: type[Any], words: str, install: Install
) -> None:
    install(kind)
    with pytest.raises(SubmitError) as caught:
        predictions(build("later", []))
    assert words in str(caught.value)


def test_both_kinds_are_models() -> None:
    assert isinstance(LaterPredictor(LaterPredictor.Options()), Predictor)
    plain: Session = immediate(StaticPredictor(StaticOptions()).session(VIDEO))
    assert not isinstance(plain, DelayedSession)
