"""Views of a video: its ground truth, and the masks of each run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..archive import Masks
from ..data import SplitVideo
from ..errors import ArchiveError, SplitError
from ..masks import Labels
from ..png.palette import PackedLabels, decode_packed

__all__ = [
    "TRUTH",
    "MaskView",
    "find_frame",
    "has_truth",
    "view_of_masks",
    "view_of_truth",
]

#: The name of the ground truth on pictures.
TRUTH = "truth"


@dataclass(frozen=True)
class MaskView:
    """One source of label maps for the frames of a video.

    Attributes:
        name: The title above it.
        read: Returns the packed label map of a frame by its stem; None if there is
            none.
        is_truth: Whether it is the truth. A run may have that name, too.
    """

    name: str
    read: Callable[[str], PackedLabels | None]
    is_truth: bool = False

    def labels(self, frame: str) -> Labels | None:
        """The label map of a frame, H×W uint8; None if there is none.

        Raises:
            MaskError: It cannot be read, or has another size than the video.
        """
        packed = self.read(frame)
        return None if packed is None else packed.unpack()


def has_truth(video: SplitVideo) -> bool:
    """Whether a video has annotations after the first frame."""
    return len(video.masks) > 1


def view_of_truth(video: SplitVideo) -> MaskView:
    """The annotations of a video."""

    def read(frame: str) -> PackedLabels | None:
        if frame not in video.masks:
            return None
        return video.packed_mask(frame, size=video.mask_size)

    return MaskView(TRUTH, read, is_truth=True)


def view_of_masks(name: str, masks: Masks, video: SplitVideo) -> MaskView:
    """The masks of a run, a folder or a zip.

    Raises:
        ArchiveError: It has no such video.
    """
    if video.name not in masks.videos():
        there = ", ".join(masks.videos()[:3]) or "none"
        raise ArchiveError(
            f"{masks.path}: holds no masks of video {video.name}; found {there}"
        )
    frames = frozenset(masks.frames(video.name))
    size = video.mask_size

    def read(frame: str) -> PackedLabels | None:
        if frame not in frames:
            return None
        data = masks.read(video.name, frame)
        where = f"{masks.path}: {video.name}/{frame}.png"
        return decode_packed(data, name=where, size=size)

    return MaskView(name, read)


def find_frame(video: SplitVideo, wanted: str) -> str:
    """The stem of a frame that is named, with or without zeros in front.

    Raises:
        SplitError: The video has no such frame.
    """
    if wanted in video.frames:
        return wanted
    bare = {frame.lstrip("0") or "0": frame for frame in video.frames}
    found = bare.get(wanted.lstrip("0") or "0")
    if found is None:
        raise SplitError(
            f"video {video.name}: has no frame {wanted}; expected one of "
            f"{video.frames[0]} … {video.frames[-1]}"
        )
    return found
