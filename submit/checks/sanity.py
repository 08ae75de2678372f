"""Suspicious masks, found without ground truth: objects lost, leaking, or swapped.

None of this is certainly wrong, so each is only a note. The thresholds are set so that
ordinary tracking stays below them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..masks import Labels
from ..png.palette import PackedLabels
from ..system.words import counted
from .findings import Finding

__all__ = ["ObjectPixels", "Tracks", "as_packed", "object_pixels", "pixels_by_ids"]

#: An object counts as lost when it is absent in the last part of a video, …
_LOST_SHARE = 0.5
#: … and for at least so many frames.
_LOST_FRAMES = 20
#: From one frame to the next an object rarely grows or shrinks by this factor, …
_JUMP = 8.0
#: … unless it is tiny: both masks must have this share of the frame.
_JUMP_SHARE = 0.001
#: In a swap each object covers at least this share of where the other one was.
_SWAP_SHARE = 0.6
_SWAP_PIXELS = 50


class Tracks:
    """The objects of one video from mask to mask.

    Args:
        objects: The ids of the video's objects.
    """

    def __init__(self, objects: Sequence[int]) -> None:
        self._objects = np.array(objects, np.intp)
        self._frames: list[str] = []
        self._areas: list[NDArray[np.int64]] = []
        self._before: PackedLabels | None = None
        self._pixels = 0
        self._swaps: dict[tuple[int, int], list[str]] = {}
        self._moved = False

    def follow(self, frame: str, labels: PackedLabels) -> NDArray[np.int64]:
        """Add the next mask; returns 256 counts, its pixels by id."""
        before = self._before
        if before is None or before.shape != labels.shape:
            before = labels
        counts = pixels_by_ids(before, labels)
        areas = np.zeros(256, np.int64)
        areas[: len(counts)] = counts.sum(axis=0)
        if before is not labels:
            self._moved = self._moved or int(np.trace(counts)) < int(areas.sum())
            self._find_swaps(frame, counts)
        self._frames.append(frame)
        self._areas.append(areas[self._objects])
        self._before = labels
        self._pixels = labels.shape[0] * labels.shape[1]
        return areas

    def skip(self) -> None:
        """Skip a mask that cannot be read."""
        self._before = None
        self._moved = True

    def findings(self, video: str) -> list[Finding]:
        """Return notes about suspicious masks."""
        if len(self._areas) < 2:
            return []
        areas = np.stack(self._areas)
        found = []
        if not self._moved and areas.any():
            what = f"all {len(areas)} masks are the same"
            found.append(Finding.of("frozen", f"{video}/", what, count=len(areas)))
        for column, key in enumerate(self._objects.tolist()):
            found += self._about_presence(video, key, areas[:, column])
            found += self._about_jumps(video, key, areas[:, column])
        for (one, other), frames in self._swaps.items():
            what = f"objects {one} and {other} change places at {frames[0]}.png"
            found.append(
                Finding.of(
                    "swap",
                    f"{video}/",
                    what,
                    count=len(frames),
                    objects=(one, other),
                    frame=frames[0],
                )
            )
        return found

    def _about_presence(
        self, video: str, key: int, areas: NDArray[np.int64]
    ) -> list[Finding]:
        where = _where(video, key)
        later = areas[1:]
        if not later.any():
            what = f"is in none of the {len(later)} masks after the first"
            return [Finding.of("never-predicted", where, what, objects=(key,))]
        gone = len(later) - 1 - int(np.flatnonzero(later)[-1])
        if gone >= max(_LOST_FRAMES, _LOST_SHARE * len(later)):
            frame = self._frames[len(areas) - gone]
            what = (
                f"is in no mask from {frame}.png to the end, {counted(gone, 'frame')}"
            )
            return [Finding.of("lost", where, what, objects=(key,), frame=frame)]
        return []

    def _about_jumps(
        self, video: str, key: int, areas: NDArray[np.int64]
    ) -> list[Finding]:
        small = np.minimum(areas[:-1], areas[1:])
        large = np.maximum(areas[:-1], areas[1:])
        enough = small >= max(_JUMP_SHARE * self._pixels, 1)
        jumps = np.flatnonzero(enough & (large > _JUMP * small)) + 1
        if not len(jumps):
            return []
        first = int(jumps[0])
        what = (
            f"goes from {areas[first - 1]:,} to {counted(areas[first], 'pixel')} at "
            f"{self._frames[first]}.png"
        )
        if len(jumps) > 1:
            what += f" (and {counted(len(jumps) - 1, 'more jump')})"
        return [
            Finding.of(
                "jump",
                _where(video, key),
                what,
                count=len(jumps),
                objects=(key,),
                frame=self._frames[first],
            )
        ]

    def _find_swaps(self, frame: str, counts: NDArray[np.int64]) -> None:
        """Find pairs of objects that have swapped their places.

        Args:
            frame: The later frame.
            counts: N×N pixels by earlier and later id.
        """
        objects = self._objects[self._objects < len(counts)]
        if len(objects) < 2:
            return
        moves = counts[np.ix_(objects, objects)]
        before = np.maximum(counts[objects].sum(axis=1), _SWAP_PIXELS)
        over = moves > _SWAP_SHARE * before[:, None]
        for one, other in np.argwhere(np.triu(over & over.T, 1)).tolist():
            pair = int(objects[one]), int(objects[other])
            self._swaps.setdefault(pair, []).append(frame)


def _where(video: str, key: int) -> str:
    return f"{video}/ object {key}"


def as_packed(labels: Labels) -> PackedLabels:
    """Labels as an 8-bit PNG would hold them."""
    data = np.ascontiguousarray(labels).reshape(-1)
    # Compiled loops take arrays that cannot be written to as another type; those of
    # files cannot.
    data.setflags(write=False)
    height, width = labels.shape
    return PackedLabels(data, (height, width), stride=width, lead=0, depth=8)


def pixels_by_ids(before: PackedLabels, after: PackedLabels) -> NDArray[np.int64]:
    """Count which ids pixels have in one mask and in the next one of the same size.

    Returns:
        N×N, N being 2, 4, 16 or 256: how many pixels go from the row's id to the
        column's.
    """
    from ..png.pixels import transitions

    form = before.stride, before.lead, before.depth
    if form != (after.stride, after.lead, after.depth) or not (
        _is_plain(before) and _is_plain(after)
    ):
        before, after = as_packed(before.unpack()), as_packed(after.unpack())
    counts: NDArray[np.int64] = transitions(before.data, after.data, after.depth)
    # The padding of rows to whole bytes is 0 as well.
    height, width = after.shape
    counts[0, 0] -= height * (after.stride * (8 // after.depth) - width)
    return counts


class ObjectPixels(NamedTuple):
    """Pixels of N objects in two masks of one size, each N int64."""

    one: NDArray[np.int64]
    other: NDArray[np.int64]
    both: NDArray[np.int64]


def object_pixels(
    one: PackedLabels, other: PackedLabels, objects: Sequence[int]
) -> ObjectPixels:
    """Count the pixels of objects in each of two masks of one size, and in both."""
    counts = pixels_by_ids(one, other)
    # An id beyond the depth of both masks has no pixel in either.
    keys = np.array(objects, np.intp)
    known = keys < len(counts)
    keys = np.where(known, keys, 0)
    return ObjectPixels(
        *(
            np.where(known, found[keys], 0)
            for found in (counts.sum(axis=1), counts.sum(axis=0), np.diagonal(counts))
        )
    )


def _is_plain(labels: PackedLabels) -> bool:
    """Whether the data are only ids, and zeros between rows."""
    if labels.step > 1:
        return False
    unused = (labels.stride - labels.lead) * 8 - labels.shape[1] * labels.depth
    if not unused:
        return True
    ends = labels.data[labels.stride - 1 :: labels.stride]
    return not (ends & np.uint8((1 << unused) - 1)).any()
