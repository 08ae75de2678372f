"""The precheck: everything that the server would reject, or silently score lower."""

from .check import check_masks, check_videos, expected_frames, masks_to_check
from .findings import CheckResult, Finding, Group
from .parts import (
    CHECK_FOLDER,
    CHECKED_PARTS,
    check_json,
    read_checked_parts,
    write_check,
    write_checked_part,
)
from .pixels import VideoCheck
from .rules import RULES, Rule, Severity

__all__ = [
    "CHECKED_PARTS",
    "CHECK_FOLDER",
    "RULES",
    "CheckResult",
    "Finding",
    "Group",
    "Rule",
    "Severity",
    "VideoCheck",
    "check_json",
    "check_masks",
    "check_videos",
    "expected_frames",
    "masks_to_check",
    "read_checked_parts",
    "write_check",
    "write_checked_part",
]
