"""One pass of a model over the frames of a video, in any order."""

from __future__ import annotations

import contextlib
import operator
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data import FrameReader, SplitVideo
from ..errors import MaskError
from ..masks import quantise
from ..predictors import (
    AnySession,
    Prediction,
    Predictor,
    Prompts,
    State,
    Video,
    as_delayed,
    memory_events,
    restore_session,
    session_state,
)
from ..system.machine import is_out_of_memory
from .saving import Unusable

__all__ = ["PredictedFrame", "Remembered", "tracked"]


class Remembered(NamedTuple):
    """A frame that a model remembers longer than those around it.

    Attributes:
        frame: The frame's stem.
        object: The object it is remembered for.
        reason: Why, in a few words.
    """

    frame: str
    object: int
    reason: str


@dataclass(frozen=True, eq=False)
class PredictedFrame:
    """The data of a frame to write: copies, since a model may reuse its arrays.

    Logits are held as codes of the run store, in a quarter of the memory.

    Attributes:
        frame: The frame's stem.
        objects: N ids.
        codes: N×h×w.
        presence: N object scores as logits, or None.
        iou: N predicted IoUs, or None.
    """

    frame: str
    objects: tuple[int, ...]
    codes: NDArray[np.int8]
    presence: NDArray[np.float32] | None
    iou: NDArray[np.float32] | None

    @classmethod
    def of(cls, frame: str, prediction: Prediction) -> PredictedFrame:
        """Copy a prediction.

        Raises:
            MaskError: A logit is not a number.
        """
        codes = quantise(prediction.logits)
        scores = [
            None if values is None else np.array(values, np.float32)
            for values in (prediction.presence, prediction.iou)
        ]
        return cls(frame, prediction.objects, codes, *scores)


def tracked(
    predictor: Predictor,
    video: SplitVideo,
    frames: Sequence[str],
    prompts: Mapping[str, Prompts],
    *,
    remembered: Callable[[Sequence[Remembered]], None] = lambda found: None,
    resting: Callable[[Callable[[], State | None]], None] = lambda state: None,
    begun: State | None = None,
) -> Generator[PredictedFrame, None, None]:
    """Show a model the frames of a video, and yield what it predicts.

    Frames before the first prompt have no objects; the model does not get them.

    Args:
        predictor: The model.
        video: The video.
        frames: Stems, in the order in which the model gets them.
        prompts: What it is given, by frame; at least one of `frames` has prompts.
        remembered: Called after the last frame with the frames that it remembers.
        resting: Called between two frames, when all predictions so far were taken, with
            a function that returns the state of the pass; None if it cannot be
            continued.
        begun: Such a state of an earlier call, to continue that pass.

    Yields:
        One for each frame, in the order of `frames`; those that `begun` had yielded
        before are left out.

    Raises:
        MaskError: A prediction has impossible numbers.
        SplitError: A frame cannot be read.
        Unusable: `begun` is not the state of such a pass.
    """
    first = next(index for index, frame in enumerate(frames) if prompts.get(frame))
    if begun is None:
        for frame in frames[:first]:
            nothing = Prediction(objects=(), logits=np.zeros((0, 1, 1), np.float32))
            yield PredictedFrame.of(frame, nothing)
    images = {frame: video.images[frame] for frame in frames[first:]}
    session = predictor.session(
        Video(
            video.name, video.height, video.width, len(frames), tuple(images.values())
        )
    )
    with contextlib.ExitStack() as stack:
        stack.callback(session.close)
        fed = _Fed(video, session)
        if begun is not None:
            shown = fed.restore(begun, most=len(images))
            images = {frame: images[frame] for frame in frames[first + shown :]}
        reader = stack.enter_context(FrameReader(images, size=video.size))
        for frame, image in reader:
            yield from fed.step(frame, image, prompts.get(frame, {}))
            resting(fed.state)
        yield from fed.finish()
        given = frames[first:]
        remembered(
            [
                Remembered(given[one.frame], one.object, one.reason)
                for one in memory_events(session)
                if 0 <= one.frame < len(given)
            ]
        )


class _Fed:
    """Feeds a session, and gives each prediction the name of its frame."""

    def __init__(self, video: SplitVideo, session: AnySession) -> None:
        self._video, self._session = video, as_delayed(session)
        #: Frames without a prediction: one, or as many as the model is behind.
        self._awaited: deque[str] = deque()
        self._shown = ""
        self._count = 0

    def step(
        self, frame: str, image: NDArray[np.uint8], prompts: Prompts
    ) -> Iterator[PredictedFrame]:
        """Show the next frame; yields the predictions that are now final."""
        self._shown = frame
        self._count += 1
        self._awaited.append(frame)
        with self._located():
            found = self._session.step(image, prompts)
        for prediction in found:
            with self._located():
                written = self._named(prediction)
            yield written

    def finish(self) -> Iterator[PredictedFrame]:
        """Yield the predictions of the frames that have none yet."""
        rest = self._session.finish()
        while True:
            with self._located():
                prediction = next(rest, None)
                if prediction is None:
                    return
                written = self._named(prediction)
            yield written

    def state(self) -> State | None:
        """What is needed to continue after this frame; None if that is not possible."""
        found = session_state(self._session)
        if found is None:
            return None
        return {
            "shown": self._count,
            "awaited": list(self._awaited),
            "session": found,
        }

    def restore(self, state: State, *, most: int) -> int:
        """Continue after the frame in which another one had this state.

        Args:
            state: The state.
            most: How many frames there are.

        Returns:
            How many frames that one had shown.

        Raises:
            Unusable: It is not the state of such a session.
        """
        try:
            self._count = operator.index(state["shown"])
            self._awaited = deque(map(str, state["awaited"]))
            if not len(self._awaited) <= self._count <= most or self._count < 1:
                raise ValueError(f"it has shown {self._count} of {most} frames")
            restore_session(self._session, state["session"])
            return self._count
        except Exception as error:  # States of other versions raise any exception.
            if is_out_of_memory(error):
                raise
            reason = str(error).partition("\n")[0]
            raise Unusable(f"is not one of this model ({reason})") from error

    def _named(self, prediction: Prediction) -> PredictedFrame:
        named = PredictedFrame.of(self._awaited[0], prediction)
        self._awaited.popleft()
        return named

    @contextlib.contextmanager
    def _located(self) -> Iterator[None]:
        """Name the video and the frame in an error about a prediction."""
        try:
            yield
        except MaskError as error:
            frame = self._awaited[0] if self._awaited else self._shown
            raise MaskError(
                f"video {self._video.name}: frame {frame}: {error}"
            ) from error
