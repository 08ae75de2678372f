"""The precheck: everything that the server would reject, or silently punish."""

from .check import check_masks, masks_to_check
from .report import Finding, Group, Report
from .rules import RULES, Rule, Severity

__all__ = [
    "RULES",
    "Finding",
    "Group",
    "Report",
    "Rule",
    "Severity",
    "check_masks",
    "masks_to_check",
]
