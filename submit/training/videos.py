"""Videos to train on: their frames, and their masks as PNGs or as runs in JSON.

They are small enough to be sent to worker processes: names only, no pixels.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ..data import VOID, read_frame
from ..errors import MaskError, SplitError
from ..masks import Labels, decode_rle
from ..png.palette import decode_packed, read_header
from ..system.files import read_regular
from ..system.words import size_text

__all__ = ["FolderVideo", "RleVideo", "TrainingVideo", "jpeg_size", "read_reduced"]

#: The end of a JPEG, and how far from the end of the file it may be.
_JPEG, _JPEG_END, _TAIL = b"\xff\xd8\xff", b"\xff\xd9", 4096
#: Smaller copies that a JPEG can be decoded as, and the flags that ask for them.
_REDUCED = {
    8: cv2.IMREAD_REDUCED_COLOR_8,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    1: cv2.IMREAD_COLOR,
}


class TrainingVideo(Protocol):
    """A video with masks in every frame that is used."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def frames(self) -> tuple[str, ...]:
        """Stems of the frames that have masks, in order."""
        ...

    def image_path(self, place: int) -> str:
        """The file of a frame."""
        ...

    def labels(self, place: int, size: tuple[int, int]) -> Labels:
        """The masks of a frame as H×W object ids.

        Args:
            place: Which frame.
            size: Height and width that the frame has.

        Raises:
            MaskError: They cannot be read, or have another size.
        """
        ...


@dataclass(frozen=True)
class FolderVideo:
    """A video of a DAVIS-shaped folder: a PNG for each frame.

    Attributes:
        name: Its name.
        frames: Stems of the frames with a mask, in order.
        images: Folder of the frames.
        image_names: Their files.
        masks: Folder of the masks.
        mask_names: Their files.
    """

    name: str
    frames: tuple[str, ...] = field(repr=False)
    images: str
    image_names: tuple[str, ...] = field(repr=False)
    masks: str
    mask_names: tuple[str, ...] = field(repr=False)

    def image_path(self, place: int) -> str:
        """The file of a frame."""
        return os.path.join(self.images, self.image_names[place])

    def labels(self, place: int, size: tuple[int, int]) -> Labels:
        """The masks of a frame; see `TrainingVideo`. Void pixels are background."""
        name = os.path.join(self.masks, self.mask_names[place])
        try:
            data = read_regular(name)
        except OSError as error:
            raise MaskError(f"{name}: cannot be read ({error.strerror})") from error
        header = read_header(data, name=name)
        if (found := (header.height, header.width)) != size:
            raise MaskError(
                f"{name}: expected the size of the frame, {size_text(size)}, found "
                f"{size_text(found)}"
            )
        labels = decode_packed(data, name=name, header=header).unpack()
        labels[labels == VOID] = 0
        return labels


@dataclass(frozen=True)
class RleVideo:
    """A video of a JSON file: a text of runs for each object and frame.

    Attributes:
        name: Its name.
        frames: Stems of the frames with masks, in order.
        paths: Their files.
        tracks: For each object, its masks by the place of the frame.
    """

    name: str
    frames: tuple[str, ...] = field(repr=False)
    paths: tuple[str, ...] = field(repr=False)
    tracks: tuple[Mapping[int, Any], ...] = field(repr=False)

    def image_path(self, place: int) -> str:
        """The file of a frame."""
        return self.paths[place]

    def labels(self, place: int, size: tuple[int, int]) -> Labels:
        """The masks of a frame; see `TrainingVideo`.

        Where objects overlap, a pixel belongs to the smaller one.
        """
        masks = []
        for key, track in enumerate(self.tracks, 1):
            if place not in track:
                continue
            try:
                mask = decode_rle(track[place], size)
            except MaskError as error:
                raise MaskError(
                    f"video {self.name}, frame {self.frames[place]}, object {key}: "
                    f"{error}"
                ) from error
            masks.append((-int(np.count_nonzero(mask)), key, mask))
        labels = np.zeros(size, np.uint8)
        for _, key, mask in sorted(masks, key=lambda item: item[:2]):
            labels[mask] = key
        return labels


def read_reduced(
    path: str, shrink: float = 1.0
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Decode a frame, as a smaller copy where that is enough.

    Args:
        path: The file.
        shrink: How much smaller its copy may be; JPEGs come in 1/2, 1/4 and 1/8.

    Returns:
        H×W×3 uint8 in the order **blue, green, red**, and the height and width of the
        file's own pixels.

    Raises:
        SplitError: It is missing, unreadable or truncated.
    """
    try:
        data = read_regular(path)
    except OSError as error:
        raise SplitError(f"{path}: cannot be read ({error.strerror})") from error
    if data.startswith(_JPEG) and _JPEG_END in data[-_TAIL:]:
        size = jpeg_size(data)
        if size is not None:
            factor = next(each for each in _REDUCED if each <= max(shrink, 1))
            found = cv2.imdecode(
                np.frombuffer(data, np.uint8),
                _REDUCED[factor] | cv2.IMREAD_IGNORE_ORIENTATION,
            )
            if found is not None:
                return np.asarray(found, np.uint8), size
    # Everything that is unusual is read as by the rest of the toolkit, or refused.
    pixels = read_frame(_as_path(path))[:, :, ::-1]
    return np.ascontiguousarray(pixels), (pixels.shape[0], pixels.shape[1])


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Height and width of a JPEG with one or three channels of 8 bits, else None."""
    place = 2
    while place + 9 < len(data):
        if data[place] != 0xFF:
            return None
        marker = data[place + 1]
        if marker == 0xFF:
            place += 1
            continue
        if marker in _FRAME_MARKERS:
            depth, channels = data[place + 4], data[place + 9]
            if depth != 8 or channels not in (1, 3):
                return None
            return (
                int.from_bytes(data[place + 5 : place + 7], "big"),
                int.from_bytes(data[place + 7 : place + 9], "big"),
            )
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return None


#: Markers of the headers of baseline and progressive frames.
_FRAME_MARKERS = frozenset({0xC0, 0xC1, 0xC2})


def _as_path(path: str) -> Any:
    from pathlib import Path

    return Path(path)
