"""How much each member changed the result of an ensemble.

Two comparisons, on frames spread over each video, with the longer side reduced to at
most 512 pixels:

* the member's masks against the merged masks;
* the masks merged without the member against the merged masks.

Each gives two shares: of the pixels that belong to an object in either mask, the share
with different labels; and of the objects in either mask, the share with an IoU below
one half.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..masks import Labels

__all__ = [
    "Disagreement",
    "FrameInfluence",
    "Influence",
    "MemberSummary",
    "compare_labels",
    "overlap_counts",
    "preview_size",
    "shared_pixels",
    "summarise",
]

#: About this many frames of a video are compared.
_SAMPLES = 16


def overlap_counts(one: Labels, other: Labels) -> NDArray[np.int64]:
    """Count pixels by both labels: entry [a, b] has label a in `one`, b in `other`."""
    from ._kernels import count_pairs

    return count_pairs(one, other)


def shared_pixels(
    counts: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pixels of each label in both maps, and in either, from `overlap_counts`."""
    same = np.diag(counts)
    return same, counts.sum(0) + counts.sum(1) - same


#: Longer side, in pixels, of the label maps that are compared.
_PREVIEW = 512


def preview_size(size: tuple[int, int]) -> tuple[int, int]:
    """Reduce a frame's size for comparisons, to at most 512 pixels on a side."""
    scale = min(1.0, _PREVIEW / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


@dataclass(frozen=True)
class Disagreement:
    """Counts of differences between two sets of masks; they can be added.

    Attributes:
        pixels: Pixels that belong to an object in either mask.
        other_pixels: Of these, the pixels whose labels differ.
        objects: Objects that have pixels in either mask.
        other_objects: Of these, the objects whose masks have an IoU below one half.
    """

    pixels: int = 0
    other_pixels: int = 0
    objects: int = 0
    other_objects: int = 0

    def __add__(self, other: Disagreement) -> Disagreement:
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return Disagreement(*(a + b for a, b in pairs))

    @classmethod
    def between(
        cls, one: Labels, other: Labels, objects: Sequence[int]
    ) -> Disagreement:
        """Count the differences between two label maps of the same size."""
        counts = overlap_counts(one, other)
        same, unions = shared_pixels(counts)
        keys = [key for key in objects if unions[key]]
        pixels = int(counts.sum() - counts[0, 0])
        return cls(
            pixels=pixels,
            other_pixels=pixels - int(same[1:].sum()),
            objects=len(keys),
            other_objects=sum(2 * int(same[key]) < int(unions[key]) for key in keys),
        )


@dataclass(frozen=True)
class FrameInfluence:
    """Comparison of one member with one merged frame.

    Attributes:
        differs: The member's masks against the merged masks.
        changes: The masks merged without the member against the merged masks; None if
            it is the only member.
    """

    differs: Disagreement
    changes: Disagreement | None


def compare_labels(
    objects: Sequence[int], merged: Labels, member: Labels, without: Labels | None
) -> FrameInfluence:
    """Compare a member's labels, and the labels without it, with the merged labels."""
    return FrameInfluence(
        Disagreement.between(merged, member, objects),
        None if without is None else Disagreement.between(merged, without, objects),
    )


class Influence:
    """Adds up the influence of the members in one video.

    Args:
        frames: Number of frames of the video.
    """

    def __init__(self, frames: int) -> None:
        self._stride = max(1, frames // _SAMPLES)
        self._sums: dict[str, FrameInfluence] = {}

    def includes(self, index: int) -> bool:
        """Whether the frame is one of those that are compared."""
        # Not the first frame: its mask is given, so all members agree on it.
        return index % self._stride == self._stride - 1

    def add(self, frame: Mapping[str, FrameInfluence]) -> None:
        """Add a frame."""
        for name, one in frame.items():
            sums = self._sums.get(name, FrameInfluence(Disagreement(), None))
            changes = sums.changes
            if one.changes is not None:
                changes = (changes or Disagreement()) + one.changes
            self._sums[name] = FrameInfluence(sums.differs + one.differs, changes)

    def to_table(self) -> dict[str, Any]:
        """Return the sums as a table for the run's manifest."""
        return {name: dataclasses.asdict(one) for name, one in self._sums.items()}


@dataclass(frozen=True)
class MemberSummary:
    """The influence of one member; a share is None if there was nothing to compare.

    Attributes:
        name: The member.
        weight: Its share of the general weights.
        videos: Number of videos it was merged in.
        differs: Share of the objects' pixels in which it differs from the result.
        objects_differ: Share of the objects with an IoU below one half with the result.
        changes: Share of the pixels that change when it is left out.
        objects_change: Share of the objects that change when it is left out.
    """

    name: str
    weight: float
    videos: int
    differs: float | None
    objects_differ: float | None
    changes: float | None
    objects_change: float | None


def summarise(
    weights: Mapping[str, float], videos: Iterable[Mapping[str, Any]]
) -> tuple[MemberSummary, ...]:
    """Add up the tables of several videos for each member.

    Args:
        weights: Share of each member, in the order of the result.
        videos: The table of `Influence.to_table` for each video.
    """
    tables = list(videos)
    summaries = []
    for name, weight in weights.items():
        mine = [table[name] for table in tables if name in table]
        differs = sum((Disagreement(**one["differs"]) for one in mine), Disagreement())
        changes = sum(
            (Disagreement(**one["changes"]) for one in mine if one["changes"]),
            Disagreement(),
        )
        summaries.append(
            MemberSummary(
                name=name,
                weight=weight,
                videos=len(mine),
                differs=_share(differs.other_pixels, differs.pixels),
                objects_differ=_share(differs.other_objects, differs.objects),
                changes=_share(changes.other_pixels, changes.pixels),
                objects_change=_share(changes.other_objects, changes.objects),
            )
        )
    return tuple(summaries)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
