"""The precheck: everything that the server would reject, or silently score lower."""

from .check import check_masks, expected_frames, masks_to_check
from .findings import CheckResult, Finding, Group
from .rules import RULES, Rule, Severity

__all__ = [
    "RULES",
    "CheckResult",
    "Finding",
    "Group",
    "Rule",
    "Severity",
    "check_masks",
    "expected_frames",
    "masks_to_check",
]
