"""The interface of a layout of masks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol

from ...archive import Masks
from ...data import SplitVideo
from ...masks import Labels

__all__ = ["ImportFormat", "VideoFiles", "VideoReader", "stems_of"]


@dataclass(frozen=True)
class VideoFiles:
    """The files of one video.

    Attributes:
        masks: The folder or zip.
        video: The video's name.
        names: Name of the entry of each file, by its path below the video's folder.
    """

    masks: Masks
    video: str
    names: Mapping[str, str]

    @property
    def where(self) -> str:
        """The name of the video in messages."""
        return f"{self.masks.path}: {self.video}"

    def label(self, path: str) -> str:
        """The name of a file in messages."""
        return f"{self.masks.path}: {self.names[path]}"

    def read(self, path: str) -> bytes:
        """Read a file by its path below the video's folder.

        Raises:
            ArchiveError: It cannot be read.
        """
        return self.masks.read_entry(self.names[path])


class VideoReader(Protocol):
    """Reads the masks of one video.

    Attributes:
        remarks: Numbers of masks that were changed, by a description of the change.
    """

    remarks: Counter[str]

    def labels(self, frame: str) -> Labels:
        """Read the mask of any frame but the first as H×W object ids.

        Raises:
            ArchiveError: The file cannot be read.
            MaskError: It is not a mask of the video.
        """
        ...


class ImportFormat(Protocol):
    """A layout of masks."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def layout(self) -> str:
        """The path of a file, such as `<video>/<frame>.png`."""
        ...

    @property
    def help(self) -> str:
        """A description of the files, in a few words."""
        ...

    def holds(self, names: Collection[str]) -> bool:
        """Whether a video's files, by their paths in its folder, have this layout."""
        ...

    def open(self, files: VideoFiles, video: SplitVideo) -> VideoReader:
        """Open a video.

        Raises:
            ArchiveError: Masks are missing, or it is not certain which frames or
                objects they belong to.
            MaskError: The annotation cannot be read.
        """
        ...


def stems_of(names: Collection[str], folder: str = "") -> dict[str, str]:
    """The PNGs that lie directly in a folder: their paths by stem."""
    found = {}
    for name in names:
        path = PurePosixPath(name)
        inside = str(path.parent) == (folder or ".")
        if inside and path.suffix.lower() == ".png":
            found[path.stem] = name
    return found
