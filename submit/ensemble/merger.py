"""Merge one video of all members, frame by frame, in constant memory."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from ..errors import RunError
from ..masks import LOWEST, Codes, Labels, Logits, dequantise, to_labels
from ..runs import HARD_CODE, VideoMasks, hard_codes
from ..system.words import counted, size_text
from .gate import PresenceGate
from .influence import FrameInfluence, compare_labels, preview_size
from .method import ChoiceMethod, Choose, LabelMethod, PixelMethod
from .planes import Plane
from .settings import MergeSettings
from .views import View, sampled

__all__ = ["MergedFrame", "VideoMerger"]

#: Up to this many palette-mask members are merged by a table of all combinations.
_MOST_BITS = 10


class MergedFrame:
    """One frame of an ensemble.

    Attributes:
        objects: Ids of all N objects of the video, the same in every frame.
        presence: N object scores as logits, NaN where no member has one. With a gate
            they are at least 0 if the gate decides that the object is visible.
        iou: N mean predicted IoUs, NaN where no member has one.
        labels: H×W labels at the frame's size where the method gives labels (`vote`);
            otherwise None.
    """

    def __init__(
        self,
        objects: tuple[int, ...],
        presence: NDArray[np.float32],
        iou: NDArray[np.float32],
        *,
        codes: Codes | None = None,
        labels: Labels | None = None,
    ) -> None:
        self.objects = objects
        self.presence = presence
        self.iou = iou
        self.labels = labels
        self._codes = codes

    @functools.cached_property
    def codes(self) -> Codes:
        """N×h×w codes of the logits, as in a soft file; labels become logits of ±5.

        All codes are the lowest for an object that no member knows yet or that the
        gate decided is absent.
        """
        if self._codes is not None:
            return self._codes
        assert self.labels is not None
        return hard_codes(self.labels, self.objects)

    @property
    def logits(self) -> Logits:
        """N×h×w merged logits, rounded as in a soft file."""
        return dequantise(self.codes)

    def labels_at(self, size: tuple[int, int]) -> Labels:
        """The label map at the given size, as export would write it."""
        if self.labels is None:
            return to_labels(self.codes, self.objects, size)
        return sampled(self.labels, size)


@dataclass(frozen=True)
class _Merged:
    """The merged plane and scores of one object; scores may be NaN."""

    plane: Plane
    presence: float = math.nan
    iou: float = math.nan


class VideoMerger:
    """Merges one video of several runs, frame by frame, in constant memory.

    Logits are merged before any threshold or overlap rule, at the largest resolution
    among the members; `vote` counts label maps at the size of the frame.

    Args:
        members: The masks of the video by run name. The order matters for `ordered`
            methods only, and only if the settings do not give one.
        settings: How to merge. Default: equal weights and the default method.
        video: Name of the video, for weights that are set for this video.
        reweight: Whether the other members take the share of a member that lacks an
            object; otherwise such a member is an error.

    Raises:
        RunError: Members differ in frames, size or objects.
        SettingsError: The settings are for other members.
    """

    def __init__(
        self,
        members: Mapping[str, VideoMasks],
        settings: MergeSettings | None = None,
        *,
        video: str = "",
        reweight: bool = False,
    ) -> None:
        # Members are added in the order of their names, so that the order in which they
        # were given does not change the last bits of the result.
        settings = settings or MergeSettings()
        self.settings = settings.for_members(tuple(members))
        self._members = {name: members[name] for name in self.settings.members}
        first = next(iter(self._members.values()))
        self.frames, self.size = first.frames, first.size
        self.objects: tuple[int, ...] = tuple(
            sorted({key for member in self._members.values() for key in member.objects})
        )
        self._check(reweight)
        self._weights = {
            key: self.settings.weights_of(video, key) for key in self.objects
        }
        self._background = self.settings.weights_of(video)
        gate = self.settings.gate
        self._gate = PresenceGate(gate, self.settings.members) if gate else None
        self._method = self.settings.merging
        self._choose: Choose | None = None
        if isinstance(self._method, ChoiceMethod):
            self._choose = self._method.chooser(self._members)
        self._last: tuple[Sequence[View], PresenceGate | None, MergedFrame]

    def merge(self, index: int) -> MergedFrame:
        """Merge the frame with this index; with a gate, call it for frames in order."""
        views = [View(name, video, index) for name, video in self._members.items()]
        gate = self._gate.copy() if self._gate else None
        merged = self._merge(views, self._gate)
        self._last = views, gate, merged
        return merged

    def influence(self) -> dict[str, FrameInfluence]:
        """Measure the influence of each member on the frame that was merged last."""
        views, gate, merged = self._last
        size = preview_size(self.size)
        views = [view.reduced(size) for view in views]
        labels = merged.labels_at(size)
        result = {}
        for view in views:
            rest = [other for other in views if other is not view]
            without = None
            if rest:
                memory = gate.copy() if gate else None
                without = self._merge(rest, memory).labels_at(size)
            result[view.name] = compare_labels(
                self.objects, labels, view.labels_at(size), without
            )
        return result

    def _merge(self, views: Sequence[View], gate: PresenceGate | None) -> MergedFrame:
        """Merge the views of some of the members; this updates the state of `gate`."""
        candidates = {
            key: [
                view
                for view in views
                if key in view.rows and self._weights[key][view.name] > 0
            ]
            for key in self.objects
        }
        verdicts = {
            key: gate.decide(key, candidates[key])
            for key in self.objects
            if gate and candidates[key]
        }
        gated = {key: verdict.presence for key, verdict in verdicts.items()}
        for key, verdict in verdicts.items():
            candidates[key] = [
                view
                for view in candidates[key]
                if verdict.visible and view.name not in verdict.blind
            ]
        if isinstance(self._method, LabelMethod):
            merged = {
                key: _Merged(_NO_PLANE, *_scores(key, seen, self._weights[key]))
                for key, seen in candidates.items()
            }
        else:
            sizes = [view.shape for view in views]
            shape = max(sizes, key=lambda size: size[0] * size[1])
            if self._fits_table(views):
                merged = self._look_up(views, candidates)
            else:
                merged = {
                    key: self._object(key, seen, shape)
                    for key, seen in candidates.items()
                }
        presence = [
            merged[key].presence if (score := gated.get(key)) is None else score
            for key in self.objects
        ]
        iou = [merged[key].iou for key in self.objects]
        scores = np.asarray(presence, np.float32), np.asarray(iou, np.float32)
        if isinstance(self._method, LabelMethod):
            labels = self._labels(self._method, views, candidates)
            return MergedFrame(self.objects, *scores, labels=labels)
        codes = (
            np.stack([merged[key].plane for key in self.objects])
            if self.objects
            else np.zeros((0, *shape), np.int8)
        )
        return MergedFrame(self.objects, *scores, codes=codes)

    def _object(
        self, key: int, views: Sequence[View], shape: tuple[int, int]
    ) -> _Merged:
        """Merge one object from the members that contribute to it."""
        if not views:
            return _Merged(np.full(shape, LOWEST, np.int8))
        weights = self._weights[key]
        if self._choose is not None:
            plane, chosen = self._choose(key, views, weights, shape)
            return _Merged(plane, chosen.presence[key], chosen.iou[key])
        assert isinstance(self._method, PixelMethod)
        shares = _normalised(views, weights)
        hard = [view.labels is not None and view.shape == shape for view in views]
        merged = None
        if any(hard) and not all(hard):
            merged = _merge_kinds(self._method, key, views, shares, hard)
        if merged is None:
            planes = [view.plane(key) for view in views]
            merged = self._method.merge_sizes(planes, shares, shape)
        return _Merged(merged, *_scores(key, views, weights))

    def _fits_table(self, views: Sequence[View]) -> bool:
        """Whether all members are palette masks, and few enough for `_look_up`."""
        return (
            isinstance(self._method, PixelMethod)
            and all(view.labels is not None for view in views)
            and len(views) <= _MOST_BITS
        )

    def _look_up(
        self, views: Sequence[View], candidates: Mapping[int, Sequence[View]]
    ) -> dict[int, _Merged]:
        """Merge palette masks without converting each of them to logits."""
        from ._kernels import look_up

        assert isinstance(self._method, PixelMethod)
        names = [view.name for view in views]
        table = np.full((len(self.objects), 1 << len(views)), LOWEST, np.int8)
        for row, key in zip(table, self.objects, strict=True):
            if seen := candidates[key]:
                bits = [names.index(view.name) for view in seen]
                shares = _normalised(seen, self._weights[key])
                votes = self._method.table_of_votes(shares, bits, HARD_CODE)
                row[:] = np.resize(votes, len(row))
        labels = np.stack([view.labels for view in views if view.labels is not None])
        planes = look_up(labels, np.asarray(self.objects, np.uint8), table)
        return {
            key: _Merged(plane, *_scores(key, candidates[key], self._weights[key]))
            for key, plane in zip(self.objects, planes, strict=True)
        }

    def _labels(
        self,
        method: LabelMethod,
        views: Sequence[View],
        candidates: Mapping[int, Sequence[View]],
    ) -> Labels:
        """Merge the members' labels of the frame.

        The votes for an object are normalised over the members that know it, so that a
        member that does not know the object does not vote against it.
        """
        names = [view.name for view in views]
        weights = np.zeros((len(views), 1 + len(self.objects)))
        weights[:, 0] = [self._background[name] for name in names]
        for place, key in enumerate(self.objects, start=1):
            for view in candidates[key]:
                weights[names.index(view.name), place] = self._weights[key][view.name]
        totals = weights.sum(0)
        weights /= np.where(totals > 0, totals, 1)
        maps = [view.own_labels() for view in views]
        away = [key for key in self.objects if not candidates[key]]
        if away:
            table = np.arange(256, dtype=np.uint8)
            table[away] = 0
            maps = [table[labels] for labels in maps]
        objects = np.asarray(self.objects, np.uint8)
        return method.merge_labels(np.stack(maps), objects, weights)

    def _check(self, reweight: bool) -> None:
        """Check that all members have the same frames, frame size and objects."""
        for name, member in self._members.items():
            if member.frames != self.frames:
                self._refuse(name, "frames", *_differing(member.frames, self.frames))
            if member.size != self.size:
                self._refuse(
                    name, "a frame size", *map(size_text, (member.size, self.size))
                )
            if not reweight and set(member.objects) != set(self.objects):
                lacking = sorted(set(self.objects) - set(member.objects))
                raise RunError(
                    f"run {name} lacks the objects {lacking}; predict or import the "
                    "video again, or leave them to the other runs with --missing "
                    "reweight"
                )

    def _refuse(self, name: str, what: str, found: str, wanted: str) -> NoReturn:
        first = next(iter(self._members))
        raise RunError(
            f"run {name} has {what} other than run {first}: {found} against "
            f"{wanted}; predict or import the video again"
        )


#: The plane of an object where the method merges labels.
_NO_PLANE: Plane = np.zeros((0, 0), np.int8)


def _merge_kinds(
    method: PixelMethod,
    key: int,
    views: Sequence[View],
    shares: Sequence[float],
    hard: Sequence[bool],
) -> Plane | None:
    """Merge soft members and palette masks; None if the method has no short cut."""
    soft = [
        (v.plane(key), s) for v, s, h in zip(views, shares, hard, strict=True) if not h
    ]
    masks = [(v.labels, s) for v, s, h in zip(views, shares, hard, strict=True) if h]
    return method.merge_kinds(
        [plane for plane, _ in soft],
        [share for _, share in soft],
        [labels for labels, _ in masks if labels is not None],
        [share for _, share in masks],
        key=key,
        high=HARD_CODE,
    )


def _normalised(views: Sequence[View], weights: Mapping[str, float]) -> list[float]:
    """Normalise the weights of the members that contribute to an object."""
    total = math.fsum(weights[view.name] for view in views)
    return [weights[view.name] / total for view in views]


def _scores(
    key: int, views: Sequence[View], weights: Mapping[str, float]
) -> tuple[float, float]:
    """Weighted means of presence and of IoU over the members that have them."""
    means = []
    for values in ("presence", "iou"):
        known = [
            (weights[view.name], getattr(view, values)[key])
            for view in views
            if not math.isnan(getattr(view, values)[key])
        ]
        total = math.fsum(weight for weight, _ in known)
        parts = [weight * value for weight, value in known]
        means.append(math.fsum(parts) / total if total > 0 else math.nan)
    return means[0], means[1]


def _differing(found: Sequence[str], wanted: Sequence[str]) -> tuple[str, str]:
    """Describe the first frame in which two lists differ, and their lengths."""
    pairs = zip_longest(found, wanted, fillvalue="none")
    here, there = next(pair for pair in pairs if pair[0] != pair[1])
    return (
        f"{here} ({counted(len(found), 'frame')})",
        f"{there} ({counted(len(wanted), 'frame')})",
    )
