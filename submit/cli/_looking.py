"""What the commands share that draw masks over frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..errors import SplitError
from ._output import escape
from ._runs import masks_of, require_once
from ._splits import open_split

if TYPE_CHECKING:
    from ..data import Split, SplitVideo
    from ..report.views import MaskView
    from ..system.urls import Place

__all__ = ["no_truth_option", "open_video", "open_views"]

Command = TypeVar("Command", bound=Callable[..., Any])


def no_truth_option(command: Command) -> Command:
    """Add `--no-truth`; the command gets `no_truth: bool`."""
    return click.option(
        "--no-truth", is_flag=True, help="Leave the truth out, where there is any."
    )(command)


def open_video(path: Place, name: str) -> tuple[Split, SplitVideo]:
    """Open one video of a split, whose frames can be read.

    Returns:
        The split with this video only, and the video.

    Raises:
        SplitError: There is no such video, or it has no frames.
    """
    split = open_split(path, (name,), say_subset=False, say_absent=False)
    video = split.videos.get(name)
    if video is None:
        first, *_ = split.videos
        raise SplitError(
            f"{name}: is a pattern; expected the name of one video, such as {first}"
        )
    video.require_images()
    return split, video


def open_views(
    stack: ExitStack,
    runs: Path,
    names: Sequence[str],
    split: Split,
    video: SplitVideo,
    *,
    truth: bool,
) -> list[MaskView]:
    """Open the masks of a video in several sources, the truth first.

    Args:
        stack: Closes what is opened.
        runs: Where runs are kept.
        names: Runs, folders and zips.
        split: The split with this video only.
        video: The video.
        truth: Whether to show the truth, where there is any.

    Raises:
        RunError: A source is not there, or is named twice.
        ArchiveError: A source has no such video.
    """
    from ..report.views import has_truth, view_of_masks, view_of_truth

    views = [view_of_truth(video)] if truth and has_truth(video) else []
    require_once(names)
    shown = [_short(source) for source in names]
    if len(set(shown)) < len(names):  # Such as a/one.zip and b/one.zip.
        shown = list(names)
    for source, name in zip(names, shown, strict=True):
        masks = stack.enter_context(masks_of(runs, source, split))
        views.append(view_of_masks(escape(name), masks, video))
    return views


def _short(source: str) -> str:
    """What a source is called on pictures: the last part of its path."""
    path = Path(source)
    return path.name if path.name not in ("", "masks") else str(path)
