"""One session over the clip, with all that a caller does."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from ..errors import SubmitError
from ..predictors import (
    Frame,
    ImpossibleNumber,
    Mask,
    ModelFault,
    Prediction,
    Predictor,
    Prompts,
    State,
    as_delayed,
    restore_session,
    session_state,
)
from .clip import Clip

__all__ = ["Broken", "Walk", "explained", "walk"]


class Broken(Exception):
    """A session cannot go on.

    Attributes:
        wrong: What happened, and in which frame.
        remedy: What to do.
    """

    def __init__(self, wrong: str, remedy: str) -> None:
        super().__init__(wrong)
        self.wrong, self.remedy = wrong, remedy


@dataclass(frozen=True)
class _Given:
    """A frame and its prompts as they were given, to notice writes into them."""

    index: int
    frame: Frame
    masks: Mapping[int, NDArray[np.bool_]]

    def require_unchanged(self, clip: Clip) -> None:
        """Make sure that nothing was written into the arrays.

        Raises:
            Broken: Something was.
        """
        if not np.array_equal(self.frame, clip.frame(self.index)):
            raise Broken(
                f"frame {self.index}: step changed the pixels of its frame",
                "copy the frame before you change it: others use the same array",
            )
        for key, pixels in self.masks.items():
            if not np.array_equal(pixels, clip.mask(key, self.index)):
                raise Broken(
                    f"frame {self.index}: step changed the mask of object {key} that "
                    "it was given",
                    "copy the mask before you change it: others use the same array",
                )


class Walk:
    """A session over a clip, frame by frame; `with` closes it.

    After a fault it is closed all the same, without a word if that fails, too: a model
    may hold processes and files.

    Args:
        predictor: The model.
        clip: The clip.
        script: The prompts of each frame that has some.
        scale: Of the model's input.
        keep: Whether to keep the predictions.

    Attributes:
        predictions: Copies of those that have come, in the order of frames.

    Raises:
        Broken: The session cannot be opened.
    """

    def __init__(
        self,
        predictor: Predictor,
        clip: Clip,
        script: Mapping[int, Prompts],
        *,
        scale: float = 1.0,
        keep: bool = True,
    ) -> None:
        self.predictions: list[Prediction] = []
        self._clip, self._script, self._keep = clip, script, keep
        self._frame = 0
        self._objects: tuple[int, ...] = ()
        #: The objects of the frames that have no prediction yet.
        self._awaited: deque[tuple[int, ...]] = deque()
        self._taken = 0
        with explained(f"session of {clip.length} frames at scale {scale:g}"):
            self._session = as_delayed(predictor.session(clip.video, scale=scale))

    def __enter__(self) -> Walk:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
            return
        with contextlib.suppress(Exception):
            self._session.close()

    def step(self) -> None:
        """Give the next frame, and take the predictions that come.

        Raises:
            Broken: The model fails.
        """
        index = self._frame
        self._frame += 1
        prompts = self._script.get(index, {})
        self._objects += tuple(key for key in prompts if key not in self._objects)
        self._awaited.append(self._objects)
        masks = {
            key: one.pixels for key, one in prompts.items() if isinstance(one, Mask)
        }
        given = _Given(index, self._clip.frame(index), masks)
        with explained(f"frame {index}"):
            found = self._session.step(given.frame, prompts)
        given.require_unchanged(self._clip)
        self._take(found)

    def state(self) -> State | None:
        """The state of the session; None if it cannot be continued.

        Raises:
            Broken: The model fails.
        """
        with explained(f"state() after frame {self._frame - 1}"):
            return session_state(self._session)

    def restore(self, state: State, before: Walk) -> None:
        """Continue where another walk stood that had this state.

        Raises:
            Broken: The model fails.
        """
        self._frame, self._taken = before._frame, before._taken
        self._objects, self._awaited = before._objects, before._awaited.copy()
        with explained(f"restore() after frame {self._frame - 1}"):
            restore_session(self._session, state)

    def finish(self) -> None:
        """Take the predictions that are still to come.

        Raises:
            Broken: The model fails.
        """
        rest = self._session.finish()
        while True:
            with explained(f"after the {self._frame} frames"):
                found = next(rest, None)
            if found is None:
                return
            self._take([found])

    def close(self) -> None:
        """Close the session twice, as a caller may.

        Raises:
            Broken: The model fails.
        """
        for time in ("close()", "close() for the second time"):
            with explained(time, remedy="let close() do nothing when it is repeated"):
                self._session.close()

    def _take(self, found: Sequence[Prediction]) -> None:
        """Compare the objects of predictions with those that had a prompt."""
        for prediction in found:
            expected = self._awaited.popleft()
            if prediction.objects != expected:
                raise Broken(
                    f"frame {self._taken}: returned the objects "
                    f"{list(prediction.objects)}, expected {list(expected)}",
                    "return all objects that have had a prompt, also absent ones, in "
                    "the order of their first prompts, by the ids of the prompts",
                )
            self._taken += 1
            if self._keep:
                self.predictions.append(_copied(prediction))


def walk(
    predictor: Predictor,
    clip: Clip,
    script: Mapping[int, Prompts],
    *,
    scale: float = 1.0,
) -> list[Prediction]:
    """Let a model predict a whole clip; returns one prediction for each frame.

    Raises:
        Broken: The model fails.
    """
    with Walk(predictor, clip, script, scale=scale) as session:
        for _ in range(clip.length):
            session.step()
        session.finish()
    return session.predictions


def _copied(prediction: Prediction) -> Prediction:
    """Copy a prediction, since a model may use its arrays again."""
    scores = (prediction.presence, prediction.iou)
    presence, iou = (None if one is None else one.copy() for one in scores)
    return replace(
        prediction, logits=prediction.logits.copy(), presence=presence, iou=iou
    )


@contextlib.contextmanager
def explained(where: str, remedy: str = "") -> Iterator[None]:
    """Turn what a model does wrong into an error that says where, and what to do.

    Args:
        where: The call and the frame; empty leaves all but exceptions unchanged.
        remedy: What to do; empty for what fits the error.

    Raises:
        Broken: The model failed.
    """
    start = f"{where}: " if where else ""
    try:
        yield
    except ModelFault as error:
        wrong = f"{start}{error.wrong}{_line_of(error)}"
        raise Broken(wrong, remedy or _remedy_for(error)) from error
    except ImpossibleNumber as error:
        raise Broken(f"{start}{error.wrong}", _NUMBERS) from error
    except SubmitError as error:
        if not where:
            raise
        wrong = str(error).removesuffix("; this is a bug of the predictor")
        raise Broken(f"{start}{wrong}", remedy or _INTERFACE) from error


_NUMBERS = (
    "return numbers only: NaN is never a result, presence is a finite logit, iou a "
    "value in [0, 1]; where the weights are the reason, get them again"
)
_INTERFACE = "see docs/predictors.md for what each method takes and returns"


def _remedy_for(fault: ModelFault) -> str:
    if "read-only" in fault.wrong:
        return "copy a frame or mask before you change it: others use the same array"
    if fault.__cause__ is not None:
        return "correct the exception"
    return _INTERFACE


def _line_of(error: ModelFault) -> str:
    """The innermost line of an exception's traceback, if there was an exception."""
    traceback = None if error.__cause__ is None else error.__cause__.__traceback__
    if traceback is None:
        return ""
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    code = traceback.tb_frame.f_code
    return f" ({code.co_filename}, line {traceback.tb_lineno}, in {code.co_name})"
