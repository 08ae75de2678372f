"""Merging runs: the same objects seen by several members, one frame at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import NoReturn

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
        objects: Ids of all N objects of the video, the same in every frame.
        logits: N×h×w weighted mean of the members' logits; the lowest there is for an
            object that no member has yet.
        presence: N mean object scores, NaN where no member has one.
        iou: N mean predicted IoUs, NaN where no member has one.
    """

    objects: tuple[int, ...]
    logits: Logits
    presence: NDArray[np.float32]
    iou: NDArray[np.float32]


def normalised(weights: Sequence[float] | None, count: int) -> tuple[float, ...]:
    """Turn the weights of the members into shares that sum to 1; equal if None.

    Their order does not change a bit of any share.

    Raises:
        RunError: Their number is not `count`, one is negative, or all are 0.
    """
    if weights is None:
        return (1.0 / count,) * count
    if len(weights) != count:
        raise RunError(f"expected {count} weights, one per run, found {len(weights)}")
    total = math.fsum(weights) if all(map(math.isfinite, weights)) else 0.0
    if not 0 < total < math.inf or min(weights) < 0:
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
            if member.frames != self.frames:
                self._refuse(name, "frames", *_differing(member.frames, self.frames))
            if member.size != self.size:
                self._refuse(
                    name, "a frame size", *map(_pixels, (member.size, self.size))
                )
            if not reweight and set(member.objects) != set(self.objects):
                lacking = sorted(set(self.objects) - set(member.objects))
                raise RunError(
                    f"run {name} lacks the objects {lacking}; predict or import the "
                    "video again, or leave them to the other runs with --missing "
                    "reweight"
                )

    def merge(self, index: int) -> MergedFrame:
        """Merge the frame at an index."""
        steps = [member.steps(index) for member in self._members]
        present = [
            {key: row for row, key in enumerate(member.objects[: len(step)])}
            for member, step in zip(self._members, steps, strict=True)
        ]
        objects = self.objects
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
        # fill its place. An object that no member has yet, or that only members of
        # weight 0 have, is absent.
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

    def _refuse(self, name: str, what: str, found: str, wanted: str) -> NoReturn:
        raise RunError(
            f"run {name} has {what} other than run {self._names[0]}: {found} against "
            f"{wanted}; predict or import the video again"
        )


def _pixels(size: tuple[int, int]) -> str:
    return f"{size[1]}×{size[0]}"


def _differing(found: Sequence[str], wanted: Sequence[str]) -> tuple[str, str]:
    """Say of two lists of frames where they part."""
    pairs = zip_longest(found, wanted, fillvalue="none")
    here, there = next(pair for pair in pairs if pair[0] != pair[1])
    return f"{here} ({len(found)} frames)", f"{there} ({len(wanted)} frames)"
