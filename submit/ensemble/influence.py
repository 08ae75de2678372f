"""How much each member changed an ensemble.

Two questions, asked on frames spread over each video, at 512 pixels at most on the
longer side:

* How far does the member differ from the merged masks?
* How far would they be others without the member?

Each is answered by the share of pixels that have another label, of those that belong
to an object in either mask, and by the share of objects whose two masks have an IoU
below one half.
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
    "summarise",
]

#: At about so many frames of a video the members are compared with the result.
_SAMPLES = 16


def overlap_counts(one: Labels, other: Labels) -> NDArray[np.int64]:
    """256×256: pixels with the row's label in one and the column's in the other."""
    from ._kernels import count_pairs

    return count_pairs(one, other)


#: Longer side, in pixels, of the label maps that are compared.
_PREVIEW = 512


def preview_size(size: tuple[int, int]) -> tuple[int, int]:
    """A frame's size, reduced to what is enough to compare masks."""
    scale = min(1.0, _PREVIEW / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


@dataclass(frozen=True)
class Disagreement:
    """What two sets of masks do not have in common, as counts that can be added up.

    Attributes:
        pixels: Pixels that belong to an object in either.
        other_pixels: Those of them that have another label.
        objects: Objects that are in either.
        other_objects: Those of them whose masks have an IoU below one half.
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
        """Count in two label maps of one size."""
        counts = overlap_counts(one, other)
        same = np.diag(counts)
        unions = counts.sum(0) + counts.sum(1) - same
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
    """One member against one merged frame.

    Attributes:
        differs: The member's own masks against the merged ones.
        changes: The masks merged without it against the merged ones; None for an only
            member.
    """

    differs: Disagreement
    changes: Disagreement | None


def compare_labels(
    objects: Sequence[int], merged: Labels, member: Labels, without: Labels | None
) -> FrameInfluence:
    """Compare a member's labels, and those merged without it, with the merged ones."""
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

    def wants(self, index: int) -> bool:
        """Whether the frame is one of those that are looked at."""
        # The first mask is given, so members agree on it whatever they are worth.
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
        """The sums in the form in which a run's manifest keeps them."""
        return {name: dataclasses.asdict(one) for name, one in self._sums.items()}


@dataclass(frozen=True)
class MemberSummary:
    """The influence of one member; shares are None where nothing was seen.

    Attributes:
        name: The member.
        weight: Its share of the general weights.
        videos: Videos it was merged in.
        differs: Share of the objects' pixels in which it differs from the result.
        objects_differ: Share of the objects with an IoU below one half.
        changes: Share of the pixels that change when it is left out.
        objects_change: Share of the objects that do.
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
    """Add up the tables of several videos.

    Args:
        weights: Share of each member, in the order of the result.
        videos: What `Influence.to_table` gave for each video.
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
