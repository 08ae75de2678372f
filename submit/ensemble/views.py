"""One frame of one member: its logits or labels, and its scores."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..masks import VALUES, Codes, Labels, Values, quantise, to_labels
from ..runs import HARD_CODE, HardVideo, VideoMasks
from .planes import Plane

__all__ = ["View", "sampled"]


class View:
    """One frame of one member, read once, as logits or as labels.

    Codes of an older table are converted to codes of `VALUES`.

    Attributes:
        name: The member.
        rows: The row of each object that the member knows in this frame, by object id.
        presence: The object score of each of these objects as a logit; NaN: none.
        iou: The predicted IoU of each of these objects; NaN: none.
        labels: H×W labels if the member is a run of palette masks, otherwise None.
        shape: Height and width of the logits.
    """

    def __init__(self, name: str, video: VideoMasks, index: int) -> None:
        self.name = name
        self.labels: Labels | None = None
        self._codes: Codes | None = None
        self._size = video.size
        objects = video.objects
        if isinstance(video, HardVideo):
            self.labels = video.labels(index)
            self.shape = video.size
        else:
            self._codes = _recoded(video.codes(index), video.values)
            objects = objects[: len(self._codes)]
            self.shape = (self._codes.shape[1], self._codes.shape[2])
        self.rows: Mapping[int, int] = {key: row for row, key in enumerate(objects)}
        self.presence: Mapping[int, float] = {
            key: float(video.presence[index, row]) for key, row in self.rows.items()
        }
        self.iou: Mapping[int, float] = {
            key: float(video.iou[index, row]) for key, row in self.rows.items()
        }

    def plane(self, key: int) -> Plane:
        """The codes of an object that the member knows; masks become ±`HARD_CODE`."""
        if self._codes is not None:
            plane: Plane = self._codes[self.rows[key]]
            return plane
        assert self.labels is not None
        table = np.full(256, -HARD_CODE, np.int8)
        table[key] = HARD_CODE
        return table[self.labels]

    def shows(self, key: int) -> bool:
        """Whether the object's mask in this frame has any pixel."""
        if key not in self.rows:
            return False
        if self._codes is not None:
            return bool(self._codes[self.rows[key]].max(initial=-1) > 0)
        return bool(self._occurring[key])

    def labels_at(self, size: tuple[int, int]) -> Labels:
        """The label map at the given size; palette masks are not interpolated.

        Labels of objects that are not the member's become background.
        """
        if self._codes is not None:
            return to_labels(self._codes, tuple(self.rows), size)
        return sampled(self.own_labels(), size)

    def reduced(self, size: tuple[int, int]) -> View:
        """The same view for a smaller frame size; logits keep their resolution."""
        twin = copy.copy(self)
        twin._size = size
        if self.labels is not None:
            twin.labels = sampled(self.labels, size)
            twin.shape = size
        return twin

    def own_labels(self) -> Labels:
        """Labels at the size of the frame; labels of unknown objects become 0."""
        if self.labels is None:
            return self.labels_at(self._size)
        strange = [
            key
            for key in np.flatnonzero(self._occurring)
            if key and key not in self.rows
        ]
        if not strange:
            return self.labels
        table = np.arange(256, dtype=np.uint8)
        table[strange] = 0
        cleaned: Labels = table[self.labels]
        return cleaned

    @functools.cached_property
    def _occurring(self) -> NDArray[np.bool_]:
        """256 flags: which labels occur in the palette mask."""
        from ._kernels import occurring

        assert self.labels is not None
        return occurring(self.labels)


def _recoded(codes: Codes, values: Values) -> Codes:
    """Convert codes of another table to codes of `VALUES`, rounded to the nearest."""
    if np.array_equal(values, VALUES):
        return codes
    recoded: Codes = quantise(values).take(codes.view(np.uint8) ^ np.uint8(128))
    return recoded


def sampled(labels: Labels, size: tuple[int, int]) -> Labels:
    """Resize labels by nearest neighbour, with pixel centres aligned."""
    if labels.shape == size:
        return labels
    rows = _centres(labels.shape[0], size[0])
    return labels[rows][:, _centres(labels.shape[1], size[1])]


def _centres(source: int, target: int) -> NDArray[np.int64]:
    """The index of the nearest source pixel for each target pixel."""
    return ((2 * np.arange(target) + 1) * source) // (2 * target)
