"""Predicting one video: from its frames to its soft file or its masks."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data import PackedMask, SplitVideo, StoredPrompt
from ..errors import SplitError
from ..predictors import Predictor
from ..runs import MaskWriter, SoftVideo, SoftWriter, VideoRecord
from ..system.files import atomic_folder, digest, scratch_file
from ..system.machine import peak_memory
from .behind import Behind
from .direction import BothPasses, Passes, plan_passes
from .prompts import FramePrompts, video_prompts
from .tracking import PredictedFrame, Remembered, tracked

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
    direction: str = "forward"


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
        passes = plan_passes(
            video.frames,
            video_prompts(video, late=task.late_objects, given=task.prompts),
            direction=task.direction,
            late=task.late_objects,
        )
        step = _Progress(progress, frames=video.length, steps=passes.steps)
        memory: list[Remembered] = []
        with contextlib.ExitStack() as stack:
            joined = None
            if passes.backward:
                backward = stack.enter_context(
                    self._backward(task, passes, step, memory)
                )
                joined = BothPasses(passes, backward)
            written = stack.enter_context(_writing(task))

            def write(frame: PredictedFrame) -> None:
                written.write(frame if joined is None else joined.join(frame))

            behind = stack.enter_context(Behind(write))
            found = tracked(
                self._predictor,
                video,
                passes.frames,
                passes.forward,
                remembered=memory.extend,
            )
            for frame in stack.enter_context(contextlib.closing(found)):
                behind.put(frame)
                step()
        masks = written.masks
        return VideoRecord(
            frames=video.length,
            objects=tuple(passes.known),
            size=video.size,
            seconds=round(time.perf_counter() - began, 3),
            digest=digest(task.path) if masks is None else masks.digest,
            soft=task.soft,
            details=_details(task, memory),
            source=task.source,
            masks=None if masks is None else masks.digests,
            worker=self._worker,
        )

    @contextlib.contextmanager
    def _backward(
        self,
        task: VideoTask,
        passes: Passes,
        step: Callable[[], None],
        memory: list[Remembered],
    ) -> Iterator[SoftVideo]:
        """Track backward into a file, which is deleted after the block."""
        video, frames = task.video, passes.backward_frames
        with scratch_file(task.path, parents=False) as path:
            with contextlib.ExitStack() as stack:
                soft = stack.enter_context(SoftWriter(path, size=video.size))
                behind = stack.enter_context(Behind(_Writing(soft=soft).write))
                found = tracked(
                    self._predictor,
                    video,
                    frames,
                    passes.backward,
                    remembered=memory.extend,
                )
                for frame in stack.enter_context(contextlib.closing(found)):
                    behind.put(frame)
                    step()
            backward = SoftVideo(path)
            try:
                yield backward
            finally:
                backward.close()


def _details(task: VideoTask, memory: Sequence[Remembered]) -> dict[str, Any]:
    """What the report shows of a video: prompts, memory, and the cost in memory."""
    given = {} if task.prompts is None else task.prompts
    details = {
        "prompts": [
            [frame, key, _kind(prompt)]
            for frame, prompts in given.items()
            for key, prompt in prompts.items()
        ],
        "memory": [list(one) for one in memory],
    }
    return {**{key: one for key, one in details.items() if one}, **peak_memory()}


def _kind(prompt: StoredPrompt) -> str:
    return "mask" if isinstance(prompt, PackedMask) else type(prompt).__name__.lower()


class _Progress:
    """Counts steps of all passes as frames of the video.

    Args:
        progress: Called with numbers of frames, which sum to `frames`.
        frames: Frames of the video.
        steps: Steps of all passes.
    """

    def __init__(
        self, progress: Callable[[int], None], *, frames: int, steps: int
    ) -> None:
        self._progress, self._frames, self._steps = progress, frames, steps
        self._done = self._told = 0

    def __call__(self) -> None:
        self._done += 1
        frames = self._done * self._frames // self._steps
        if frames > self._told:
            self._progress(frames - self._told)
            self._told = frames


@dataclass(frozen=True)
class _Writing:
    """The output of a video: a soft file or palette masks."""

    soft: SoftWriter | None = None
    masks: MaskWriter | None = None

    def write(self, w: PredictedFrame) -> None:
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
