"""Submissions as files: packing a zip, and reading a zip or a folder of masks alike."""

from .packing import TEAM_FILE, Packed, pack
from .source import Entry, MaskFolder, Masks, MaskZip, open_masks

__all__ = [
    "TEAM_FILE",
    "Entry",
    "MaskFolder",
    "MaskZip",
    "Masks",
    "Packed",
    "open_masks",
    "pack",
]
