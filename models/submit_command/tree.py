"""The folder that a program gets: a split with one video.

    JPEGImages/<video>/00000.jpg …
    Annotations/<video>/00000.png
    list.txt
    out/
    given/

Masks that were given lie once more in `given`, for reading the results.

Frames are numbered from 0; their names in the split do not matter.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from submit.png.palette import write
from submit.predictors import Frame, Video

__all__ = ["Tree"]

_SUFFIXES = {"jpg": (".jpg", ".jpeg"), "png": (".png",)}
#: Of written JPEGs: nearly without loss, and in full colour.
_QUALITY = 95


class Tree:
    """Writes the folder of a video.

    Args:
        video: The video.
        kind: `jpg` or `png`, the kind of files that the program reads.
        link: Whether frames are links to their files, where those are of this kind.
        per_object: Whether each object has a mask of its own, in a folder of its name.
        place: The folder in which this one is made; None for the system's.

    Raises:
        StorageError: It cannot be made.
    """

    def __init__(
        self,
        video: Video,
        *,
        kind: str,
        link: bool,
        per_object: bool,
        place: Path | None = None,
    ) -> None:
        self._video, self._kind, self._link = video, kind, link
        self._per_object = per_object
        self._length = 0
        #: File of each frame, and of each mask that was given, by stem.
        self.frame_files: dict[str, Path] = {}
        self.mask_files: dict[str, Path] = {}
        if place is not None:
            place.mkdir(parents=True, exist_ok=True)
        self.root = Path(tempfile.mkdtemp(prefix="submit-command-", dir=place))
        self.images = self.root / "JPEGImages"
        self.annotations = self.root / "Annotations"
        self.out = self.root / "out"
        self.frames = self.images / video.name
        self.masks = self.annotations / video.name
        self._given = self.root / "given"
        for folder in (self.frames, self.masks, self.out, self._given):
            folder.mkdir(parents=True)
        self.list = self.root / "list.txt"
        self.list.write_text(f"{video.name}\n", "utf-8")

    @property
    def mask(self) -> Path:
        """The first mask, or the folder that has it for each object."""
        return self.masks if self._per_object else self.masks / f"{0:05}.png"

    def add(self, frame: Frame, masks: Mapping[int, NDArray[np.bool_]]) -> None:
        """Add the next frame.

        Args:
            frame: H×W×3 uint8 RGB.
            masks: The H×W masks that are given in it, by object id.
        """
        stem = f"{self._length:05}"
        images = self._video.images
        source = images[self._length] if self._length < len(images) else None
        self._length += 1
        path = self.frame_files[stem] = self.frames / f"{stem}.{self._kind}"
        with _named(self.root):
            self._write(frame, source, path)
            self._write_masks(stem, frame, masks)

    def _write(self, frame: Frame, source: Path | None, path: Path) -> None:
        """Write a frame, or link or copy the file of the split."""
        if source is None or source.suffix.lower() not in _SUFFIXES[self._kind]:
            image = Image.fromarray(frame)
            if self._kind == "jpg":
                image.save(path, "JPEG", quality=_QUALITY, subsampling=0)
            else:
                image.save(path, "PNG", compress_level=1)
        elif not (self._link and _linked(source, path)):
            shutil.copyfile(source, path)

    def _write_masks(
        self, stem: str, frame: Frame, masks: Mapping[int, NDArray[np.bool_]]
    ) -> None:
        """Write the masks that are given in a frame."""
        if not masks:
            return
        labels = np.zeros(frame.shape[:2], np.uint8)
        for key, mask in masks.items():
            labels[mask] = key
        given = self.mask_files[stem] = self._given / f"{stem}.png"
        write(given, labels)
        if not self._per_object:
            shutil.copyfile(given, self.masks / given.name)
            return
        for key, mask in masks.items():
            folder = self.masks / f"{key:03}"
            folder.mkdir(exist_ok=True)
            write(folder / given.name, mask.astype(np.uint8))


@contextlib.contextmanager
def _named(folder: Path) -> Iterator[None]:
    """Name a folder in errors of the disk that name no file."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(folder)) from error


def _linked(source: Path, path: Path) -> bool:
    """Make a link to a file, where the disk has links."""
    try:
        path.symlink_to(os.path.abspath(source))
    except (OSError, NotImplementedError):
        return False
    return True
