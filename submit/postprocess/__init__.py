"""Post-processing: optional changes to a run's logits and masks at export.

Everything is off by default. Options of `submit export`, or a settings file of `submit
tune`, turn filters on.
"""

from .filter import FILTERS, LabelFilter, LogitFilter, LookAheadFilter, MaskFilter
from .frames import steady_frames
from .settings import Postprocess, all_settings, read_postprocess
from .video import frame_labels, labels_of

__all__ = [
    "FILTERS",
    "LabelFilter",
    "LogitFilter",
    "LookAheadFilter",
    "MaskFilter",
    "Postprocess",
    "all_settings",
    "frame_labels",
    "labels_of",
    "read_postprocess",
    "steady_frames",
]
