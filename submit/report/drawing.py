"""Which videos a report shows, and their strips."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from ..archive import Masks
from ..data import Split, SplitVideo
from ..system.files import atomic_folder
from ..system.pool import run_in_threads
from .strips import Strips, write_strips
from .views import MaskView, has_truth, view_of_masks, view_of_truth

__all__ = ["draw_videos", "shown_videos", "shows_truth"]


def shows_truth(split: Split) -> bool:
    """Whether a report on a split shows its truth: some video has one."""
    return any(has_truth(video) for video in split.videos.values())


def shown_videos(split: Split, masks: Mapping[str, Masks]) -> dict[str, SplitVideo]:
    """The videos that some run has, in the order of the split.

    Args:
        split: The split.
        masks: The masks of each run by name.
    """
    known = {name for one in masks.values() for name in one.videos()}
    return {name: video for name, video in split.videos.items() if name in known}


def draw_videos(
    split: Split,
    masks: Mapping[str, Masks],
    places: Mapping[str, Path],
    *,
    truth: bool,
    most: int,
    long_side: int,
    workers: int | None = None,
    progress: Callable[[str, int], None] = lambda video, frames: None,
) -> dict[str, Strips]:
    """Draw videos, each into a folder of its own.

    Args:
        split: The split, with frames.
        masks: The masks of each run by name.
        places: The folder of each video that is drawn, by name; they are made, in a
            folder that exists.
        truth: Whether the truth is shown.
        most: Largest number of frames shown of each video.
        long_side: Longer side of these frames in pixels.
        workers: Threads; one for each core by default.
        progress: Called with a video and its frames when it is done.

    Returns:
        What was drawn of each video, by name.

    Raises:
        SplitError: A video has no frames, or one cannot be read.
        MaskError: A mask cannot be read.
        StorageError: The disk refuses.
    """
    videos = [split.videos[name] for name in places]
    for video in videos:
        video.require_images()

    def draw(video: SplitVideo) -> Strips:
        views = _views(video, masks, truth=truth)
        with atomic_folder(places[video.name], parents=False) as partial:
            return write_strips(video, views, partial, most=most, long_side=long_side)

    # Long videos first, so that no worker has a long one left at the end.
    ordered = sorted(videos, key=lambda video: -video.length)
    drawn = run_in_threads(
        draw,
        ordered,
        workers=workers,
        done=lambda video, _: progress(video.name, video.length),
    )
    found = {video.name: one for video, one in zip(ordered, drawn, strict=True)}
    return {name: found[name] for name in places}


def _views(
    video: SplitVideo, masks: Mapping[str, Masks], *, truth: bool
) -> list[MaskView]:
    """The truth and all runs; a run that lacks the video has a view without masks."""
    views = [view_of_truth(video)] if truth else []
    for name, one in masks.items():
        if video.name in one.videos():
            views.append(view_of_masks(name, one, video))
        else:
            views.append(MaskView(name, lambda frame: None))
    return views
