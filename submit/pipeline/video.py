"""Predicting one video: from its frames to its soft file or its masks."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data import FrameReader, SplitVideo
from ..errors import MaskError, SplitError
from ..masks import quantise
from ..predictors import (
    AnySession,
    Prediction,
    Predictor,
    Prompts,
    Video,
    as_delayed,
)
from ..runs import MaskWriter, SoftWriter, VideoRecord
from ..system.files import atomic_folder, digest
from .behind import Behind
from .prompts import FramePrompts, video_prompts

__all__ = ["VideoPredictor", "VideoTask"]


@dataclass(frozen=True)
class VideoTask:
    """One video for a worker."""

    video: SplitVideo
    path: Path
    soft: bool
    late_objects: bool
    source: str
    prompts: FramePrompts | None = None


class VideoPredictor:
    """Predicts one video after another with one model."""

    def __init__(self, predictor: Predictor, worker: Mapping[str, Any]) -> None:
        self._predictor = predictor
        self._worker = worker

    def __call__(self, task: VideoTask, progress: Callable[[int], None]) -> VideoRecord:
        """Predict a video; the progress counts frames that have their prediction."""
        video, began = task.video, time.perf_counter()
        video.require_images()
        if video.length < 2:
            raise SplitError(
                f"video {video.name}: has one frame, so there is nothing to track; "
                "expected at least 2 in JPEGImages (extract the split again)"
            )
        prompts = video_prompts(video, late=task.late_objects, given=task.prompts)
        first = video.frames.index(next(iter(prompts)))
        images = tuple(video.images.values())[first:]
        session = self._predictor.session(
            Video(video.name, video.height, video.width, video.length, images)
        )
        with contextlib.ExitStack() as stack:
            stack.callback(session.close)
            written = stack.enter_context(_writing(task))
            behind = stack.enter_context(Behind(written.write))
            reader = stack.enter_context(FrameReader(video.images, size=video.size))
            frames = _Frames(video, session)
            objects: tuple[int, ...] = ()

            def keep(predicted: Iterator[_Written]) -> None:
                nonlocal objects
                for one in predicted:
                    behind.put(one)
                    objects = one.objects
                    progress(1)

            for frame, image in reader:
                keep(frames.step(frame, image, prompts.get(frame, {})))
            keep(frames.finish())
        masks = written.masks
        return VideoRecord(
            frames=video.length,
            objects=objects,
            size=video.size,
            seconds=round(time.perf_counter() - began, 3),
            digest=digest(task.path) if masks is None else masks.digest,
            soft=task.soft,
            source=task.source,
            masks=None if masks is None else masks.digests,
            worker=self._worker,
        )


class _Frames:
    """Feeds a session, and gives each prediction the name of its frame.

    Frames before the first object are not shown to the model.
    """

    def __init__(self, video: SplitVideo, session: AnySession) -> None:
        self._video, self._session = video, as_delayed(session)
        #: Frames without a prediction: one, or as many as the model is behind.
        self._awaited: deque[str] = deque()
        self._began = False
        self._shown = ""

    def step(
        self, frame: str, image: NDArray[np.uint8], prompts: Prompts
    ) -> Iterator[_Written]:
        """Show the next frame; yields the predictions that are now final."""
        self._shown = frame
        self._began = self._began or bool(prompts)
        if not self._began:
            nothing = Prediction(objects=(), logits=np.zeros((0, 1, 1), np.float32))
            yield _Written.of(frame, nothing)
            return
        self._awaited.append(frame)
        with self._located():
            found = self._session.step(image, prompts)
        for prediction in found:
            with self._located():
                yield self._written(prediction)

    def finish(self) -> Iterator[_Written]:
        """Yield the predictions of the frames that have none yet."""
        if not self._began:
            return
        rest = self._session.finish()
        while True:
            with self._located():
                prediction = next(rest, None)
                if prediction is None:
                    return
                written = self._written(prediction)
            yield written

    def _written(self, prediction: Prediction) -> _Written:
        written = _Written.of(self._awaited[0], prediction)
        self._awaited.popleft()
        return written

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


@dataclass(frozen=True, eq=False)
class _Written:
    """The data of a frame to write: copies, since a model may reuse its arrays.

    Logits are held as codes of the run store, in a quarter of the memory.
    """

    frame: str
    objects: tuple[int, ...]
    codes: NDArray[np.int8]
    presence: NDArray[np.float32] | None
    iou: NDArray[np.float32] | None

    @classmethod
    def of(cls, frame: str, prediction: Prediction) -> _Written:
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


@dataclass(frozen=True)
class _Writing:
    """The output of a video: a soft file or palette masks."""

    soft: SoftWriter | None = None
    masks: MaskWriter | None = None

    def write(self, w: _Written) -> None:
        """Write a frame."""
        if self.soft is not None:
            self.soft.write(w.frame, w.objects, w.codes, w.presence, w.iou)
        else:
            assert self.masks is not None
            self.masks.write(w.frame, w.objects, w.codes)


@contextlib.contextmanager
def _writing(task: VideoTask) -> Iterator[_Writing]:
    """Open the soft file or the folder of masks that a video is written into."""
    if task.soft:
        with SoftWriter(task.path, size=task.video.size) as soft:
            yield _Writing(soft=soft)
    else:
        with atomic_folder(task.path, parents=False) as folder:
            yield _Writing(masks=MaskWriter(folder, task.video))
