"""`select`: the best member for each object."""

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

#: Agreement is computed on at most this many frames of a video.
_SAMPLES = 64
#: The names of the quality measures.
_MEASURES = ("iou", "presence", "agreement")

_Quality = Mapping[str, float]


@METHODS.register
@dataclass(frozen=True)
class Select(ChoiceMethod):
    """For each object, the member with the highest quality, in the whole video.

    The quality is the mean of up to three measures in [0, 1], times the member's
    weight. Only measures that all candidates have are used, so that the means can be
    compared; agreement is always known.

        iou         mean predicted IoU over the frames in which the object is visible
        presence    mean of |2p − 1|, p being the presence as a probability
        agreement   mean IoU with the masks of each other member, on up to 64 frames
    """

    name = "select"
    order = 40

    by: tuple[str, ...] = setting(
        _MEASURES, "Measures whose mean is the quality.", choices=_MEASURES
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.by:
            words = f"expected some of {', '.join(_MEASURES)}"
            raise WrongSettingError(("by",), words, self.by)

    def chooser(self, members: Mapping[str, VideoMasks]) -> Choose:
        """Return the function that chooses a member for each object of one video."""
        return _Chooser(self.by, members).choose


class _Chooser:
    """Chooses the best member of each object of a video.

    Args:
        by: The measures to use.
        members: The members' masks of the video by run name, sorted.
    """

    def __init__(self, by: Sequence[str], members: Mapping[str, VideoMasks]) -> None:
        self._by = by
        self._members = members

    @functools.cached_property
    def _whole(self) -> dict[int, dict[str, _Quality]]:
        return self._measure(range(len(self._first.frames)))

    def choose(
        self,
        key: int,
        views: Sequence[View],
        weights: Mapping[str, float],
        shape: tuple[int, int],
    ) -> tuple[Plane, View]:
        """Take the plane of the best member that knows an object."""
        best = self.best(key, views, weights)
        return resized(best.plane(key), shape), best

    def best(
        self, key: int, views: Sequence[View], weights: Mapping[str, float]
    ) -> View:
        """The best of the members that know an object.

        Args:
            key: The object id.
            views: The candidates, sorted by name; in a tie the first one is taken.
            weights: The weight of each candidate, above 0.
        """
        if len(views) == 1:
            return views[0]
        measures = self._whole.get(key, {})
        common = [
            measure
            for measure in _MEASURES
            if measure in self._by
            and all(measure in measures.get(view.name, {}) for view in views)
        ] or ["agreement"]

        def score(view: View) -> float:
            values = measures.get(view.name, {})
            return weights[view.name] * sum(
                values.get(measure, 0.0) for measure in common
            )

        # A tolerance, so that rounding does not decide ties.
        top = max(map(score, views))
        return next(view for view in views if score(view) >= top - 1e-9)

    @property
    def _first(self) -> VideoMasks:
        return next(iter(self._members.values()))

    def _measure(self, frames: Sequence[int]) -> dict[int, dict[str, _Quality]]:
        """The measures of each object and member over some frames."""
        agreement = self._agreement(frames)
        result: dict[int, dict[str, _Quality]] = {}
        for name, video in self._members.items():
            presence = video.presence[np.asarray(frames)].astype(np.float64)
            chance = 1 / (1 + np.exp(-np.clip(presence, -50, 50)))
            iou = video.iou[np.asarray(frames)].astype(np.float64)
            # The predicted IoU of an absent object has no meaning.
            iou = np.where(chance < 0.5, np.nan, iou)
            for row, key in enumerate(video.objects):
                measures = {"agreement": agreement.get((key, name), 0.0)}
                for measure, values in (
                    ("iou", iou[:, row]),
                    ("presence", np.abs(2 * chance[:, row] - 1)),
                ):
                    known = values[~np.isnan(values)]
                    if len(known):
                        measures[measure] = math.fsum(known) / len(known)
                result.setdefault(key, {})[name] = measures
        return result

    def _agreement(self, frames: Sequence[int]) -> dict[tuple[int, str], float]:
        """Mean IoU of each member with the other members, by object and name."""
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
