"""Which frames of a video say most: where objects return, runs differ or fail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ..checks.sanity import object_pixels
from ..data import SplitVideo
from ..png.palette import PackedLabels
from ..system.pool import checkpoint
from .views import TRUTH, MaskView

__all__ = ["TellingFrame", "overlaps", "telling_frames"]

Floats = NDArray[np.float64]

#: What a return of an object adds to how much a frame says: more than any failure.
_RETURN = 2.0


@dataclass(frozen=True)
class TellingFrame:
    """A frame, and what there is to see.

    Attributes:
        frame: Its stem.
        reason: In a few words; empty where the user chose it.
    """

    frame: str
    reason: str = ""


def telling_frames(
    video: SplitVideo, views: Sequence[MaskView], count: int
) -> tuple[TellingFrame, ...]:
    """Choose the frames that say most, in order of time; the first is among them.

    With truth these are frames in which an object returns, and those with the lowest J;
    without it those in which the runs differ most, or in which a single run changes
    most. Chosen frames keep a distance.

    Args:
        video: The video.
        views: The truth, if there is any, and the runs.
        count: How many frames; fewer where the video has no more.

    Raises:
        MaskError: A mask cannot be read.
    """
    if count >= video.length:
        return tuple(TellingFrame(frame) for frame in video.frames)
    weights, reasons = _weigh(video, views)
    distance = max(1, 2 * video.length // (3 * count))
    chosen = {0: "first"}
    while len(chosen) < count and distance:
        free = [
            index
            for index in range(1, video.length)
            if all(abs(index - other) >= distance for other in chosen)
        ]
        if free:
            best = max(free, key=lambda index: (weights[index], -index))
            chosen[best] = reasons[best]
        else:
            distance //= 2
    return tuple(
        TellingFrame(video.frames[index], chosen[index]) for index in sorted(chosen)
    )


def overlaps(one: PackedLabels, other: PackedLabels, objects: Sequence[int]) -> Floats:
    """J of each object between two masks of one size; 1 where both have none of it.

    As in the official scorer, one pixel is added to the overlap and to the union.
    """
    found = object_pixels(one, other, objects)
    return np.asarray((found.both + 1) / (found.one + found.other - found.both + 1))


def _weigh(
    video: SplitVideo, views: Sequence[MaskView]
) -> tuple[list[float], list[str]]:
    """How much each frame says, and what."""
    objects = video.objects
    truth = next((view for view in views if view.name == TRUTH), None)
    runs = [view for view in views if view is not truth]
    weights, reasons = [], []
    seen: set[int] = set()
    before: frozenset[int] | None = None
    last: Mapping[str, PackedLabels] = {}
    for frame in video.frames:
        checkpoint()
        masks = {view.name: found for view in runs if (found := view.read(frame))}
        real = None if truth is None else truth.read(frame)
        there = None if real is None else frozenset(real.object_ids())
        back = frozenset[int]()
        if there is not None and before is not None:
            back = (there - before) & seen
        seen |= there or set()
        before = there if there is not None else before
        weight, reason = _look(masks, real, last, objects)
        last = masks
        if back:
            weight += _RETURN
            reason = "object " + ", ".join(map(str, sorted(back))) + " returns"
        weights.append(weight)
        reasons.append(reason)
    return weights, reasons


def _look(
    masks: Mapping[str, PackedLabels],
    truth: PackedLabels | None,
    before: Mapping[str, PackedLabels],
    objects: Sequence[int],
) -> tuple[float, str]:
    """How much a frame says, from 0 to 1, and what.

    With truth that is the lowest J, without it the largest difference of two runs, or
    for a single run the change since the frame before.
    """

    def alike(one: PackedLabels, other: PackedLabels) -> float:
        return float(overlaps(one, other, objects).mean())

    if truth is not None and masks:
        scores = {name: alike(truth, mask) for name, mask in masks.items()}
        worst = min(scores, key=lambda name: scores[name])
        return 1 - scores[worst], f"J {100 * scores[worst]:.0f} {worst}"
    if len(masks) > 1:
        least = min(alike(*pair) for pair in combinations(masks.values(), 2))
        return 1 - least, f"agreement {100 * least:.0f}"
    change = [1 - alike(before[name], masks[name]) for name in masks if name in before]
    return (change[0], "change") if change else (0.0, "")
