"""One object over time: where each source sees it, and how well."""

from __future__ import annotations

from collections.abc import Sequence

from ..data import SplitVideo
from ..metrics.frames import FrameScorer
from ..system.pool import checkpoint
from .plots import PlottedTrack
from .views import MaskView

__all__ = ["read_tracks"]


def read_tracks(
    video: SplitVideo, views: Sequence[MaskView], key: int
) -> list[PlottedTrack]:
    """Read one object from the masks of a video.

    Args:
        video: The video.
        views: The truth, if there is any, and the runs.
        key: The object.

    Returns:
        A track for each view. With truth those of the runs have J for all frames but
        the first and the last, which do not count.

    Raises:
        MaskError: A mask cannot be read.
    """
    height, width = video.mask_size
    scorer = FrameScorer(height, width, (key,))
    truth = next((view for view in views if view.is_truth), None)
    last = video.length - 1
    tracks = []
    for view in views:
        present: list[bool] = []
        scores: list[float | None] = []
        for place, frame in enumerate(video.frames):
            checkpoint()
            labels = view.read(frame)
            present.append(labels is not None and bool(scorer.areas(labels)[0]))
            right = None if truth is None else truth.read(frame)
            counts = 0 < place < last and right is not None and labels is not None
            scores.append(
                float(scorer.score_packed(right, labels)[0, 0])
                if counts and right is not None and labels is not None
                else None
            )
        measured = truth is not None and view is not truth
        tracks.append(PlottedTrack(view.name, present, scores if measured else None))
    return tracks
