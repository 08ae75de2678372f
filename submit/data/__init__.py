"""Splits on disk: their videos, frames and problems."""

from .audit import (
    Problem,
    VideoAudit,
    audit_split,
    audit_video,
)
from .coco import Coco, Detection, read_coco
from .frames import FrameReader
from .images import image_size, read_frame
from .meta import VOID, VideoMeta
from .prompts import (
    GivenPrompts,
    PackedMask,
    StoredPrompt,
    check_prompts,
    read_prompts,
)
from .selection import FrameSelection
from .split import (
    Split,
    SplitVideo,
    read_split,
)

__all__ = [
    "VOID",
    "Coco",
    "Detection",
    "FrameReader",
    "FrameSelection",
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
    "check_prompts",
    "image_size",
    "read_coco",
    "read_frame",
    "read_prompts",
    "read_split",
]
