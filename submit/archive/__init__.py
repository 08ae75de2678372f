"""Submissions as files: packing a zip, and reading a zip or a folder of masks alike."""

from .entry import Entry, shown
from .packing import SUBMISSION_ZIP, PackedZip, pack, write_zip
from .server import (
    FATAL,
    FramePlan,
    ServerView,
    plan_frames,
    server_view,
    unpacking_problems,
)
from .source import MaskFolder, Masks
from .team import TEAM_FILE, read_team, team_problems
from .zips import MaskZip, open_masks

__all__ = [
    "FATAL",
    "SUBMISSION_ZIP",
    "TEAM_FILE",
    "Entry",
    "FramePlan",
    "MaskFolder",
    "MaskZip",
    "Masks",
    "PackedZip",
    "ServerView",
    "open_masks",
    "pack",
    "plan_frames",
    "read_team",
    "server_view",
    "shown",
    "team_problems",
    "unpacking_problems",
    "write_zip",
]
