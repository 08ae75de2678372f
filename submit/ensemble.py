"""Merging runs: the same objects seen by several members, one frame at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .errors import RunError
from .masks import LOGIT_LIMIT, Logits, dequantise, resize_logits
from .runs import VideoMasks

__all__ = ["MergedFrame", "VideoMerger", "normalised"]


@dataclass(frozen=True, eq=False)
class MergedFrame:
    """One frame of an ensemble.

    Attributes:
        objects: Ids of the n objects that some member has in this frame.
        logits: n×h×w weighted mean of the members' logits.
        presence: n mean object scores, NaN where no member has one.
        iou: n mean predicted IoUs, NaN where no member has one.
    """

    objects: tuple[int, ...]
    logits: Logits
    presence: NDArray[np.float32]
    iou: NDArray[np.float32]


def normalised(weights: Sequence[float] | None, count: int) -> tuple[float, ...]:
    """Turn the weights of the members into shares that sum to 1; equal if None.

    Raises:
        RunError: Their number is not `count`, one is negative, or all are 0.
    """
    if weights is None:
        return (1.0 / count,) * count
    if len(weights) != count:
        raise RunError(f"expected {count} weights, one per run, found {len(weights)}")
    total = float(sum(weights))
    if not np.isfinite(total) or total <= 0 or min(weights) < 0:
        raise RunError(
            f"weights must not be negative and not all 0, found {list(weights)}"
        )
    return tuple(weight / total for weight in weights)


class VideoMerger:
    """Merges one video of several runs, frame by frame, in constant memory.

    Logits are averaged at the largest resolution that a member has, before any
    threshold or overlap rule; a mean of logits is the (normalised) geometric mean of
    odds. Since resizing is linear, members of one geometry may be merged before they
    are brought to the size of the frame.

    Args:
        members: The video as each member has it, by run name.
        weights: One share per member, summing to 1 (see `normalised`).
        reweight: Whether members that lack an object leave the others their share;
            otherwise that is an error.

    Raises:
        RunError: Members differ in frames, size or objects.
    """

    def __init__(
        self,
        members: Mapping[str, VideoMasks],
        weights: Sequence[float],
        *,
        reweight: bool = False,
    ) -> None:
        # Sums are taken in the order of the names, so that the order in which members
        # were given does not change a bit of the result.
        order = sorted(zip(members, weights, strict=True))
        members = {name: members[name] for name, _ in order}
        self._names = tuple(members)
        self._members = tuple(members.values())
        self._weights = tuple(weight for _, weight in order)
        first = self._members[0]
        self.frames, self.size = first.frames, first.size
        self.objects: tuple[int, ...] = tuple(
            sorted({key for member in self._members for key in member.objects})
        )
        for name, member in members.items():
            self._require_equal("frames", name, member.frames, self.frames)
            self._require_equal("frame size", name, member.size, self.size)
            if not reweight:
                ids = tuple(sorted(member.objects))
                self._require_equal("objects", name, ids, self.objects)

    def merge(self, index: int) -> MergedFrame:
        """Merge the frame at an index."""
        steps = [member.steps(index) for member in self._members]
        present = [
            {key: row for row, key in enumerate(member.objects[: len(step)])}
            for member, step in zip(self._members, steps, strict=True)
        ]
        objects = tuple(k for k in self.objects if any(k in rows for rows in present))
        shape = max((step.shape[1:] for step in steps), key=lambda s: s[0] * s[1])
        total = np.zeros((len(objects), *shape))
        shares = np.zeros(len(objects))
        for step, rows, weight in zip(steps, present, self._weights, strict=True):
            values = resize_logits(dequantise(step), (shape[0], shape[1]))
            for place, key in enumerate(objects):
                if key in rows:
                    total[place] += weight * values[rows[key]]
                    shares[place] += weight
        # A share is less than 1 only where a member lacks the object: the others then
        # fill its place. An object that only members of weight 0 have stays absent.
        absent = shares == 0
        total[absent] = -LOGIT_LIMIT
        shares[absent] = 1
        logits = (total / shares[:, None, None]).astype(np.float32)
        return MergedFrame(
            objects=objects,
            logits=logits,
            presence=self._mean_score("presence", index, objects, present),
            iou=self._mean_score("iou", index, objects, present),
        )

    def _mean_score(
        self,
        name: str,
        index: int,
        objects: Sequence[int],
        present: Sequence[Mapping[int, int]],
    ) -> NDArray[np.float32]:
        """Weighted mean of a score over the members that have it."""
        totals = np.zeros(len(objects), np.float32)
        shares = np.zeros(len(objects), np.float32)
        for member, rows, weight in zip(
            self._members, present, self._weights, strict=True
        ):
            table = getattr(member, name)
            for place, key in enumerate(objects):
                if key in rows and not np.isnan(table[index, rows[key]]):
                    totals[place] += np.float32(weight) * table[index, rows[key]]
                    shares[place] += np.float32(weight)
        known = shares > 0
        result = np.full(len(objects), np.nan, np.float32)
        result[known] = totals[known] / shares[known]
        return result

    def _require_equal(
        self, what: str, name: str, found: Sequence[object], wanted: Sequence[object]
    ) -> None:
        if tuple(found) == tuple(wanted):
            return
        raise RunError(
            f"run {name} has other {what} than run {self._names[0]}: "
            f"{_summary(found)} against {_summary(wanted)}; predict or import the "
            "video again, or leave the missing objects to the other runs with "
            "--missing reweight"
        )


def _summary(values: Sequence[object]) -> str:
    if len(values) <= 6:
        return ", ".join(map(str, values)) or "none"
    return f"{values[0]} … {values[-1]} ({len(values)})"
