"""Members that are taken whole: the best one of an object, or the next in doubt.

`select` gives each member up to three marks for an object, each in [0, 1], and takes
the one whose mean, times its weight, is highest. Only marks that all candidates have
count, since a mean over different marks would compare different things; agreement can
always be had.

    iou         mean of the predicted IoU, over the frames in which it sees the object
    presence    mean of |2p − 1| with p the object score as a probability
    agreement   mean IoU with each other member's mask, on frames spread evenly

`cascade` asks the members in their order and takes the first one that is not in doubt;
if all are, the first one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ..masks import dequantise
from ..runs import VideoMasks
from .methods import Plane, resized
from .report import overlap_counts
from .settings import Cascade, Selection
from .views import View

__all__ = ["Chooser", "cascade", "preview_size"]

#: At most so many frames of a video are looked at for agreement.
_SAMPLES = 64
#: Longer side, in pixels, of the label maps that are compared.
_PREVIEW = 512

Marks = Mapping[str, float]


def preview_size(size: tuple[int, int]) -> tuple[int, int]:
    """A frame's size, reduced to what is enough to compare masks."""
    scale = min(1.0, _PREVIEW / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


class Chooser:
    """Chooses the best member of each object, for a video or for each frame.

    Args:
        selection: What makes a member the best.
        members: The video as each member has it, by name, sorted.
    """

    def __init__(self, selection: Selection, members: Mapping[str, VideoMasks]) -> None:
        self._selection = selection
        self._members = members
        self._whole: dict[int, dict[str, Marks]] | None = None

    def best(
        self, key: int, views: Sequence[View], weights: Mapping[str, float], index: int
    ) -> View:
        """The best of the members that have an object.

        Args:
            key: The object.
            views: The candidates, sorted by name; the first of equal ones is taken.
            weights: Weight of each of them, above 0.
            index: The frame.
        """
        if len(views) == 1:
            return views[0]
        if self._selection.scope == "frame":
            marks = self._marks([index]).get(key, {})
        else:
            if self._whole is None:
                self._whole = self._marks(range(len(self._first.frames)))
            marks = self._whole.get(key, {})
        common = [
            mark
            for mark in ("iou", "presence", "agreement")
            if mark in self._selection.by
            and all(mark in marks.get(view.name, {}) for view in views)
        ] or ["agreement"]

        def score(view: View) -> float:
            values = marks.get(view.name, {})
            return weights[view.name] * sum(values.get(mark, 0.0) for mark in common)

        # Rounding is not to decide between equal ones.
        top = max(map(score, views))
        return next(view for view in views if score(view) >= top - 1e-9)

    @property
    def _first(self) -> VideoMasks:
        return next(iter(self._members.values()))

    def _marks(self, frames: Sequence[int]) -> dict[int, dict[str, Marks]]:
        """The marks of each object's members over some frames."""
        agreement = self._agreement(frames)
        result: dict[int, dict[str, Marks]] = {}
        for name, video in self._members.items():
            presence = video.presence[np.asarray(frames)].astype(np.float64)
            chance = 1 / (1 + np.exp(-np.clip(presence, -50, 50)))
            iou = video.iou[np.asarray(frames)].astype(np.float64)
            # An IoU that is predicted for a mask nobody is to see says nothing.
            iou = np.where(chance < 0.5, np.nan, iou)
            for row, key in enumerate(video.objects):
                marks = {"agreement": agreement.get((key, name), 0.0)}
                for mark, values in (
                    ("iou", iou[:, row]),
                    ("presence", np.abs(2 * chance[:, row] - 1)),
                ):
                    known = values[~np.isnan(values)]
                    if len(known):
                        marks[mark] = math.fsum(known) / len(known)
                result.setdefault(key, {})[name] = marks
        return result

    def _agreement(self, frames: Sequence[int]) -> dict[tuple[int, str], float]:
        """Mean IoU of each member with each other one, by object and name."""
        size = preview_size(self._first.size)
        stride = max(1, math.ceil(len(frames) / _SAMPLES))
        values: dict[tuple[int, str], list[float]] = {}
        for index in frames[::stride]:
            views = [View(n, video, index) for n, video in self._members.items()]
            maps = [view.labels_at(size) for view in views]
            for a, one in enumerate(views):
                for b in range(a + 1, len(views)):
                    other = views[b]
                    counts = overlap_counts(maps[a], maps[b])
                    for key in one.rows.keys() & other.rows.keys():
                        both = counts[key, key]
                        union = counts[key].sum() + counts[:, key].sum() - both
                        iou = float(both / union) if union else 1.0
                        values.setdefault((key, one.name), []).append(iou)
                        values.setdefault((key, other.name), []).append(iou)
        return {place: math.fsum(ious) / len(ious) for place, ious in values.items()}


def cascade(
    key: int, views: Sequence[View], settings: Cascade, shape: tuple[int, int]
) -> tuple[Plane, View]:
    """Take the first member that is not in doubt about an object.

    Args:
        key: The object.
        views: The members that have it, the most trusted one first.
        settings: What is a doubt.
        shape: Resolution of the result.

    Returns:
        The object's codes, and the member that they come from.
    """
    sure = (n for n, view in enumerate(views) if not _doubts(key, view, settings))
    place = next(sure, 0)
    plane = resized(views[place].plane(key), shape)
    if settings.margin > 0 and place + 1 < len(views):
        other = resized(views[place + 1].plane(key), shape)
        near = np.abs(dequantise(plane)) < settings.margin
        plane = np.where(near, other, plane)
    return plane, views[place]


def _doubts(key: int, view: View, settings: Cascade) -> bool:
    """Whether a member is in doubt about an object."""
    presence, iou = view.presence[key], view.iou[key]
    if iou < settings.min_iou:  # Never so for NaN.
        return True
    if abs(math.tanh(presence / 2)) < settings.min_confidence:  # |2p − 1|
        return True
    return settings.empty and not view.sees(key)
