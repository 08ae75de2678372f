"""Runs: the folders that each step of the chain writes and the next one reads.

    runs/<name>/
        manifest.json            what made it, from what, and what is complete
        manifest.log             while it is written: videos that were completed since
        failed.json              the reason for every video that is not there
        soft/<video>.npz         int8 logits, one member per frame, and the scores
        masks/<video>/<frame>.png  palette masks: exported, imported, or predicted hard

A run holds complete videos only; each is in the manifest with its digest.
"""

from .checkpoint import Checkpoint
from .cost import RunCost, cost_of
from .identity import Identity, Stamps, Standing, Stock
from .manifest import SCHEMA, Run, StoredVideo, VideoRecord
from .masks import HARD_CODE, HardVideo, KnownMasks, MaskWriter, hard_codes
from .names import require_run_name
from .soft import SoftVideo, SoftWriter, VideoMasks

__all__ = [
    "HARD_CODE",
    "SCHEMA",
    "Checkpoint",
    "HardVideo",
    "Identity",
    "KnownMasks",
    "MaskWriter",
    "Run",
    "RunCost",
    "SoftVideo",
    "SoftWriter",
    "Stamps",
    "Standing",
    "Stock",
    "StoredVideo",
    "VideoMasks",
    "VideoRecord",
    "cost_of",
    "hard_codes",
    "require_run_name",
]
