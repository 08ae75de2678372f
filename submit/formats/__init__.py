"""Read masks and scores in the layouts of other programs.

`submit import` reads them into runs. A model that runs another program reads that
program's results with `read_results`. A layout is one object in one file of
`submit/formats/layouts/`.
"""

from .foreign import ForeignFiles, open_foreign
from .format import (
    FORMATS,
    ImportFormat,
    ImportHints,
    LabelReader,
    ScoreReader,
    SoftFrame,
    VideoFiles,
    VideoReader,
    find_format,
)
from .reading import open_video, read_results, require_package, soft_frames

__all__ = [
    "FORMATS",
    "ForeignFiles",
    "ImportFormat",
    "ImportHints",
    "LabelReader",
    "ScoreReader",
    "SoftFrame",
    "VideoFiles",
    "VideoReader",
    "find_format",
    "open_foreign",
    "open_video",
    "read_results",
    "require_package",
    "soft_frames",
]
