"""Splits on disk: their videos, frames and problems."""

from .audit import (
    Problem,
    VideoAudit,
    audit_split,
    audit_video,
)
from .frames import FrameReader
from .images import image_size, read_frame
from .meta import VOID, VideoMeta
from .prompts import GivenPrompts, PackedMask, StoredPrompt, read_prompts
from .split import (
    Split,
    SplitVideo,
    read_split,
)

__all__ = [
    "VOID",
    "FrameReader",
    "GivenPrompts",
    "PackedMask",
    "Problem",
    "Split",
    "SplitVideo",
    "StoredPrompt",
    "VideoAudit",
    "VideoMeta",
    "audit_split",
    "audit_video",
    "image_size",
    "read_frame",
    "read_prompts",
    "read_split",
]
