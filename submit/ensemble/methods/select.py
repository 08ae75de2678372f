"""The best member of each object."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...system.schema import WrongSettingError, setting
from ..influence import overlap_counts, preview_size
from ..method import METHODS, ChoiceMethod, Choose
from ..planes import Plane, resized

if TYPE_CHECKING:
    from ...runs import VideoMasks
    from ..views import View

__all__ = ["Select"]

#: Most frames of a video that agreement is computed on.
_SAMPLES = 64
#: The names of the marks.
_MARKS = ("iou", "presence", "agreement")

_Marks = Mapping[str, float]


@METHODS.register
@dataclass(frozen=True)
class Select(ChoiceMethod):
    """The best member of each object, for the whole video.

    Each member gets up to three marks for an object, each in [0, 1], and the one whose
    mean, times its weight, is highest is taken. Only marks that all candidates have
    count, since a mean over different marks would compare different things; agreement
    can always be had.

        iou         mean of the predicted IoU, over the frames in which it is visible
        presence    mean of |2p − 1| with p the object score as a probability
        agreement   mean IoU with each other member's mask, on frames spread evenly
    """

    name = "select"
    order = 40

    by: tuple[str, ...] = setting(_MARKS, "Marks whose mean decides.", choices=_MARKS)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.by:
            words = f"expected some of {', '.join(_MARKS)}"
            raise WrongSettingError(("by",), words, self.by)

    def chooser(self, members: Mapping[str, VideoMasks]) -> Choose:
        """Prepare to choose in one video."""
        return _Chooser(self.by, members).choose


class _Chooser:
    """Chooses the best member of each object of a video.

    Args:
        by: The marks that count.
        members: The video as each member has it, by name, sorted.
    """

    def __init__(self, by: Sequence[str], members: Mapping[str, VideoMasks]) -> None:
        self._by = by
        self._members = members

    @functools.cached_property
    def _whole(self) -> dict[int, dict[str, _Marks]]:
        return self._marks(range(len(self._first.frames)))

    def choose(
        self,
        key: int,
        views: Sequence[View],
        weights: Mapping[str, float],
        index: int,
        shape: tuple[int, int],
    ) -> tuple[Plane, View]:
        """Take the plane of the best member that has an object."""
        del index
        best = self.best(key, views, weights)
        return resized(best.plane(key), shape), best

    def best(
        self, key: int, views: Sequence[View], weights: Mapping[str, float]
    ) -> View:
        """The best of the members that have an object.

        Args:
            key: The object.
            views: The candidates, sorted by name; the first of equal ones is taken.
            weights: Weight of each of them, above 0.
        """
        if len(views) == 1:
            return views[0]
        marks = self._whole.get(key, {})
        common = [
            mark
            for mark in _MARKS
            if mark in self._by
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

    def _marks(self, frames: Sequence[int]) -> dict[int, dict[str, _Marks]]:
        """The marks of each object's members over some frames."""
        agreement = self._agreement(frames)
        result: dict[int, dict[str, _Marks]] = {}
        for name, video in self._members.items():
            presence = video.presence[np.asarray(frames)].astype(np.float64)
            chance = 1 / (1 + np.exp(-np.clip(presence, -50, 50)))
            iou = video.iou[np.asarray(frames)].astype(np.float64)
            # The predicted IoU of an absent object means nothing.
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
        from ..views import View

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
