"""Layouts in which other programs write masks, by name; `submit import` reads all.

A new layout is one object in one module here, listed in `FORMATS`.
"""

from __future__ import annotations

from ...data import SplitVideo
from ...errors import ArchiveError
from .base import ImportFormat, VideoFiles, VideoReader
from .frames import FRAMES
from .objects import OBJECTS
from .source import Source

__all__ = ["FORMATS", "ImportFormat", "Source", "VideoReader", "open_video"]

#: In the order in which help lists them.
FORMATS: dict[str, ImportFormat] = {layout.name: layout for layout in (FRAMES, OBJECTS)}


def open_video(files: VideoFiles, video: SplitVideo) -> VideoReader:
    """Open the masks of a video, in whichever known layout they are.

    Raises:
        ArchiveError: They match no known layout, or several; or masks are missing, or
            it is not certain which frames or objects they belong to.
        MaskError: The annotation cannot be read.
    """
    found = [layout for layout in FORMATS.values() if layout.holds(files.names)]
    if len(found) == 1:
        return found[0].open(files, video)
    known = " or ".join(layout.layout for layout in found or FORMATS.values())
    if found:
        raise ArchiveError(
            f"{files.where}: has masks in two layouts, {known}; remove one of them"
        )
    raise ArchiveError(f"{files.where}: has no masks; expected {known}")
