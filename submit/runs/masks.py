"""From a run's masks of one video to palette PNGs of the frame's own size."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..data import SplitVideo
from ..errors import MaskError, RunError
from ..masks import Labels, quantise, to_labels
from ..png.palette import encode
from .video import VideoMasks

__all__ = ["MaskWriter", "export_video"]


class MaskWriter:
    """Writes the masks of one video into a folder, the first one as it was given.

    Frame 0 is the annotation itself, whatever a model says of it: it is not scored,
    and servers and people compare it.
    """

    def __init__(self, folder: Path, video: SplitVideo) -> None:
        self._folder = folder
        self._video = video
        self._first: Labels | None = video.first_mask()

    def write(
        self,
        frame: str,
        objects: tuple[int, ...],
        logits: NDArray[np.float32] | NDArray[np.int8],
    ) -> None:
        """Apply the overlap rule to a frame's logits and write the mask.

        Logits are rounded to the steps of the run store first, so that masks which are
        written at once equal those which are exported from a soft file.

        Raises:
            MaskError: A logit is not a number.
        """
        labels = self._first
        if labels is None:
            try:
                if logits.dtype != np.int8:
                    logits = quantise(logits.astype(np.float32, copy=False))
            except MaskError as error:
                raise MaskError(
                    f"video {self._video.name}: frame {frame}: {error}"
                ) from error
            labels = to_labels(logits, objects, self._video.size)
        self._write(frame, labels)

    def write_labels(self, frame: str, labels: Labels) -> None:
        """Write a mask as it is, unless it is the first."""
        self._write(frame, labels if self._first is None else self._first)

    def _write(self, frame: str, labels: Labels) -> None:
        self._first = None
        (self._folder / f"{frame}.png").write_bytes(encode(labels))


def export_video(
    masks: VideoMasks,
    video: SplitVideo,
    folder: Path,
    report: Callable[[int], None],
    *,
    labels: Callable[[VideoMasks], Iterable[Labels]] | None = None,
) -> int:
    """Write all masks of a video.

    Args:
        masks: The video as a run has it.
        video: The video in the split.
        folder: An existing, empty folder.
        report: Told of finished frames.
        labels: Makes the masks of all frames, with post-processing for example; by
            default the overlap rule does.

    Returns:
        The number of masks.

    Raises:
        RunError: The run has other frames than the split.
        MaskError: The run has another frame size than the split.
    """
    if masks.frames != video.frames:
        raise RunError(
            f"video {video.name}: the run has {len(masks.frames)} frames, the split "
            f"{video.length}, or their names differ; is this the split it was made "
            "from?"
        )
    if masks.size != video.size:
        raise MaskError(
            f"video {video.name}: the run has frames of {masks.size[1]}×"
            f"{masks.size[0]}, the split {video.size[1]}×{video.size[0]}"
        )
    writer = MaskWriter(folder, video)
    if labels is not None:
        for frame, found in zip(masks.frames, labels(masks), strict=True):
            writer.write_labels(frame, found)
            report(1)
        return len(masks.frames)
    for index, frame in enumerate(masks.frames):
        steps = masks.steps(index)
        writer.write(frame, masks.objects[: len(steps)], steps)
        report(1)
    return len(masks.frames)
