"""Splits in scripts and notebooks: videos, frames, first masks, truth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..data import Split, SplitVideo, read_split
from ..data.images import read_frame
from ..errors import SplitError
from ..masks import Labels
from ..report.views import find_frame, has_truth
from ..system.words import counted
from .pictures import as_frame, html_picture, html_table, overlay

if TYPE_CHECKING:
    import pandas

__all__ = [
    "OpenSplit",
    "OpenVideo",
    "image_of",
    "open_split",
    "split_behind",
    "stem_of",
]


def open_split(path: Path | str, *, videos: Sequence[str] = ()) -> OpenSplit:
    """Open a split.

    Args:
        path: Its folder, with JPEGImages and Annotations.
        videos: Shell patterns of the videos to take; all without one.

    Raises:
        SplitError: There is no split, or a pattern matches no video.
    """
    return OpenSplit(read_split(path, videos=videos))


class OpenSplit(Mapping[str, "OpenVideo"]):
    """A split: its videos by name.

    Attributes:
        path: The folder.
        videos: Names of the videos, sorted.
    """

    def __init__(self, split: Split) -> None:
        self._split = split
        self.path = split.place
        self.videos = tuple(split.videos)

    def __getitem__(self, name: str) -> OpenVideo:
        """Open a video.

        Raises:
            KeyError: The split has no such video.
        """
        return OpenVideo(self._split.videos[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.videos)

    def __len__(self) -> int:
        return len(self.videos)

    def __repr__(self) -> str:
        return f"<split {self.path}: {counted(len(self), 'video')}>"

    def _repr_html_(self) -> str:
        names = self.videos[:20]
        rows = [_facts(self[name]) for name in names]
        header = tuple(rows[0]) if rows else ()
        return html_table(header, [tuple(r.values()) for r in rows], total=len(self))

    def to_frame(self) -> pandas.DataFrame:
        """A pandas frame with a row for each video.

        Columns: video, frames, height, width, objects (how many), truth (whether later
        frames have a mask too).

        Raises:
            SubmitError: pandas is not installed.
        """
        return as_frame([_facts(video) for video in self.values()])


def _facts(video: OpenVideo) -> dict[str, Any]:
    return {
        "video": video.name,
        "frames": len(video.frames),
        "height": video.size[0],
        "width": video.size[1],
        "objects": len(video.objects),
        "truth": video.has_truth,
    }


class OpenVideo:
    """A video of a split.

    Methods accept a frame by its index (0 is the first, −1 the last) or by its stem,
    such as "00012".

    Attributes:
        name: The video's folder.
        frames: Stems of all frames, in order.
    """

    def __init__(self, video: SplitVideo) -> None:
        self._video = video
        self.name = video.name
        self.frames = video.frames

    @property
    def objects(self) -> tuple[int, ...]:
        """Object ids, ascending."""
        return self._video.objects

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the frames in pixels."""
        return self._video.size

    @property
    def has_truth(self) -> bool:
        """Whether there are masks of later frames than the first."""
        return has_truth(self._video)

    @property
    def annotated(self) -> tuple[str, ...]:
        """Stems of the frames that have a mask."""
        return tuple(self._video.masks)

    def image(self, frame: int | str = 0) -> NDArray[np.uint8]:
        """Decode a frame: H×W×3 uint8 RGB.

        Raises:
            SplitError: There is no such frame, or it cannot be read.
        """
        return image_of(self._video, frame)

    def labels(self, frame: int | str = 0) -> Labels:
        """Read the mask of a frame: H×W uint8 object ids, 0 for background.

        Raises:
            SplitError: There is no such frame.
            MaskError: It has no mask, or one that cannot be read.
        """
        return self._video.read_mask(stem_of(self._video, frame))

    def picture(self, frame: int | str = 0) -> NDArray[np.uint8]:
        """A frame with its mask over it: H×W×3 uint8 RGB.

        Raises:
            SplitError: There is no such frame.
            MaskError: It has no mask, or one that cannot be read.
        """
        return overlay(self.image(frame), self.labels(frame))

    def __repr__(self) -> str:
        return (
            f"<video {self.name}: {counted(len(self.frames), 'frame')}, "
            f"{counted(len(self.objects), 'object')}>"
        )

    def _repr_html_(self) -> str:
        facts = _facts(self)
        table = html_table(tuple(facts), [tuple(facts.values())])
        first = self._video.first_annotated
        if first is None or not self._video.images:
            return table
        text = f"frame {first} of {self.name} with its mask"
        return table + html_picture(self.picture(first), text)


def stem_of(video: SplitVideo, frame: int | str) -> str:
    """The stem of a frame that is named by its place or its stem.

    Raises:
        SplitError: The video has no such frame.
    """
    if isinstance(frame, str):
        return find_frame(video, frame)
    try:
        return video.frames[frame]
    except IndexError:
        raise SplitError(
            f"video {video.name}: has {counted(video.length, 'frame')}, expected a "
            f"place from {-video.length} to {video.length - 1}, found {frame}"
        ) from None


def image_of(video: SplitVideo, frame: int | str) -> NDArray[np.uint8]:
    """Decode a frame of a video: H×W×3 uint8 RGB.

    Raises:
        SplitError: There is no such frame, or the split has no images.
        FrameError: It cannot be read.
    """
    stem = stem_of(video, frame)
    video.require_images()
    return read_frame(video.images[stem], video.size)


def split_behind(split: OpenSplit | Path | str, videos: Sequence[str] = ()) -> Split:
    """The split that a caller named or opened.

    Args:
        split: An open split, or its folder.
        videos: Shell patterns of the videos to take; all without one.

    Raises:
        SplitError: There is no split, or a pattern matches no video.
    """
    if not isinstance(split, OpenSplit):
        return read_split(split, videos=videos)
    own = split._split
    if not videos:
        return own
    return read_split(own.place, meta=own.meta_path, videos=videos)
