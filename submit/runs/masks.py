"""Hard masks of one video: a folder of palette PNGs, read and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..data import SplitVideo
from ..errors import MaskError
from ..masks import LOGIT_STEP, Labels, quantise, to_labels
from ..png.palette import encode
from ..png.palette import read as read_labels
from .soft import Floats

__all__ = ["HARD_LOGIT", "HardVideo", "MaskWriter"]

#: The logit that stands for a pixel of a hard mask, p = 0.993: sure enough to count as
#: a whole vote, and not so sure that soft members cannot outvote it.
HARD_LOGIT = 5.0


class HardVideo:
    """Reads a folder of palette masks as if they were logits of ±`HARD_LOGIT`.

    Args:
        frames: File of each frame by stem, in order.
        objects: The ids to read; others are background.
        size: Height and width that every mask must have.
    """

    def __init__(
        self,
        frames: Mapping[str, Path],
        *,
        objects: Sequence[int],
        size: tuple[int, int],
    ) -> None:
        self._paths = tuple(frames.values())
        self.frames = tuple(frames)
        self.objects = tuple(objects)
        self.size = size
        shape = (len(self.frames), len(self.objects))
        self.presence: Floats = np.full(shape, np.nan, np.float32)
        self.iou: Floats = np.full(shape, np.nan, np.float32)

    def labels(self, index: int) -> Labels:
        """Read a frame's mask as it is.

        Raises:
            MaskError: It is unreadable or of another size.
        """
        labels = read_labels(self._paths[index])
        if labels.shape != self.size:
            raise MaskError(
                f"{self._paths[index]}: expected {self.size[1]}×{self.size[0]} pixels, "
                f"found {labels.shape[1]}×{labels.shape[0]}"
            )
        return labels

    def steps(self, index: int) -> NDArray[np.int8]:
        """The mask of a frame as N×H×W int8 steps, ±`HARD_LOGIT`."""
        ids = np.asarray(self.objects, np.uint8)[:, None, None]
        high = np.int8(HARD_LOGIT / LOGIT_STEP)
        return np.where(self.labels(index) == ids, high, -high).astype(np.int8)

    def close(self) -> None:
        """Nothing is open between frames."""


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
