"""Choosing clips: which frames and which objects of a video."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .index import IndexedVideo
from .tables import ClipTable, DataTable

__all__ = ["ClipChoice", "choose_clip", "video_factors"]


@dataclass(frozen=True)
class ClipChoice:
    """A clip of a video.

    Attributes:
        places: Places of its frames in the video, in order of time of the clip.
        objects: Ids of its objects, all visible in the first frame.
    """

    places: tuple[int, ...]
    objects: tuple[int, ...]

    def describe(self, video: IndexedVideo) -> str:
        """Name it for messages."""
        frames = video.video.frames
        ids = ", ".join(map(str, self.objects))
        return (
            f"{video.video.name}, frames {frames[self.places[0]]} to "
            f"{frames[self.places[-1]]}, object{'s' * (len(self.objects) > 1)} {ids}"
        )


def video_factors(
    videos: tuple[IndexedVideo, ...], table: DataTable
) -> NDArray[np.float64]:
    """How often each video occurs in a pass through its source."""
    return np.array(
        [
            (table.disappearing if video.disappears else 1.0)
            * (table.small if video.is_small(table.small_area) else 1.0)
            for video in videos
        ]
    )


def choose_clip(
    video: IndexedVideo,
    table: DataTable,
    clips: ClipTable,
    random: np.random.Generator,
) -> ClipChoice:
    """Draw a clip in whose first frame at least one object is visible.

    Matches `RandomUniformSampler` of training/dataset/vos_sampler.py
    (facebookresearch/sam2 @ 2b90b9f), which draws until an object is visible; `steps`
    are the gaps of the fork for RCMS.

    Args:
        video: The video.
        table: Its source's table.
        clips: Length and number of objects.
        random: Source of all decisions.
    """
    step = int(random.choice(table.steps))
    # A video that is too short for a large step is taken with a smaller one.
    while step > 1 and (clips.length - 1) * step >= video.length:
        step -= 1
    walks = _walks(video.length, clips.length, step)  # K×T
    if random.random() < clips.reverse:
        walks = walks[:, ::-1]
    visible = video.areas > 0  # T×N
    chances = visible[walks[:, 0]].any(1).astype(float)
    if table.disappearing > 1:
        seen = visible[walks]  # K×T×N
        leaves = (seen[:, :1] & ~seen).any((1, 2))
        chances[leaves] *= table.disappearing
    if not chances.any():
        # No object is visible where a clip of this step can begin.
        walks = _walks(video.length, clips.length, 1, bounce=True)
        chances = visible[walks[:, 0]].any(1).astype(float)
    places = walks[random.choice(len(walks), p=chances / chances.sum())]
    first = int(places[0])
    candidates = np.flatnonzero(visible[first])
    weights = np.ones(len(candidates))
    weights[video.shares[first, candidates] < table.small_area] *= table.small
    count = min(clips.objects, len(candidates))
    chosen = random.choice(candidates, count, replace=False, p=weights / weights.sum())
    return ClipChoice(
        tuple(map(int, places)),
        tuple(video.objects[index] for index in sorted(chosen)),
    )


def _walks(
    frames: int, length: int, step: int, *, bounce: bool = False
) -> NDArray[np.int64]:
    """All clips of a video: K×T places, by their first frame.

    Args:
        frames: Length of the video.
        length: Length of the clip.
        step: Distance between frames.
        bounce: Whether clips may turn at the end of the video; they do in any case
            where it is too short.
    """
    starts = frames - (length - 1) * step
    offsets = np.arange(length) * step
    if starts >= 1 and not bounce:
        return np.arange(starts)[:, None] + offsets
    period = max(2 * (frames - 1), 1)
    places = (np.arange(frames)[:, None] + offsets) % period
    return np.where(places < frames, places, period - places)
