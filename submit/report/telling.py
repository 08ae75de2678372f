"""Choose the most informative frames: objects reappear, runs differ or fail."""

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
from .views import MaskView

__all__ = ["TellingFrame", "overlaps", "telling_frames"]

Floats = NDArray[np.float64]

#: Weight of a frame in which an object reappears: larger than that of any failure.
_REAPPEARANCE = 2.0


@dataclass(frozen=True)
class TellingFrame:
    """A chosen frame and the reason for it.

    Attributes:
        frame: Its stem.
        reason: The reason in a few words; empty if the user chose the frame.
    """

    frame: str
    reason: str = ""


def telling_frames(
    video: SplitVideo, views: Sequence[MaskView], count: int
) -> tuple[TellingFrame, ...]:
    """Choose the most informative frames, in order of time; includes the first frame.

    With truth these are frames in which an object reappears, and those with the lowest
    J. Without truth they are those in which the runs differ most, or for a single run
    those with the largest change. Chosen frames have a minimum distance.

    Args:
        video: The video.
        views: The truth, if there is any, and the runs.
        count: Number of frames; fewer if the video is shorter.

    Raises:
        MaskError: A mask cannot be read.
    """
    if count >= video.length:
        return tuple(TellingFrame(frame) for frame in video.frames)
    weights, reasons = _weigh_frames(video, views)
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
    """J of each object between two masks of the same size; 1 if both are empty.

    As in the official scorer, one pixel is added to the overlap and to the union.
    """
    found = object_pixels(one, other, objects)
    return np.asarray((found.both + 1) / (found.one + found.other - found.both + 1))


def _weigh_frames(
    video: SplitVideo, views: Sequence[MaskView]
) -> tuple[list[float], list[str]]:
    """The weight of each frame, and the reason in words."""
    objects = video.objects
    truth = next((view for view in views if view.is_truth), None)
    runs = [view for view in views if view is not truth]
    weights, reasons = [], []
    seen: set[int] = set()
    before: frozenset[int] | None = None
    last: Mapping[str, PackedLabels] = {}
    for frame in video.frames:
        checkpoint()
        masks = {view.name: found for view in runs if (found := view.read(frame))}
        real = None if truth is None else truth.read(frame)
        visible = None if real is None else frozenset(real.object_ids())
        reappearing = frozenset[int]()
        if visible is not None and before is not None:
            reappearing = (visible - before) & seen
        seen |= visible or set()
        before = visible if visible is not None else before
        weight, reason = _weigh_frame(masks, real, last, objects)
        last = masks
        if reappearing:
            weight += _REAPPEARANCE
            reason = f"object {', '.join(map(str, sorted(reappearing)))} reappears"
        weights.append(weight)
        reasons.append(reason)
    return weights, reasons


def _weigh_frame(
    masks: Mapping[str, PackedLabels],
    truth: PackedLabels | None,
    before: Mapping[str, PackedLabels],
    objects: Sequence[int],
) -> tuple[float, str]:
    """The weight of a frame from 0 to 1, and the reason in words.

    With truth it is one minus the lowest J, without truth the largest difference of two
    runs, or for a single run the change since the previous frame.
    """

    def mean_overlap(one: PackedLabels, other: PackedLabels) -> float:
        return float(overlaps(one, other, objects).mean())

    if truth is not None and masks:
        scores = {name: mean_overlap(truth, mask) for name, mask in masks.items()}
        worst = min(scores, key=lambda name: scores[name])
        return 1 - scores[worst], f"J {100 * scores[worst]:.0f} {worst}"
    if len(masks) > 1:
        least = min(mean_overlap(*pair) for pair in combinations(masks.values(), 2))
        return 1 - least, f"agreement {100 * least:.0f}"
    both = [name for name in masks if name in before]
    change = [1 - mean_overlap(before[name], masks[name]) for name in both]
    return (change[0], "change") if change else (0.0, "")
