"""Post-processing: what may be done to a run's logits and masks at export.

Everything is off unless asked for: by `submit export`, or by a settings file that
`submit tune` has written.
"""

from .frames import steady_frames
from .settings import Postprocess, all_settings, read_postprocess
from .step import STEPS, LabelStep, LogitStep, LookAheadStep, Step
from .video import frame_labels, labels_of

__all__ = [
    "STEPS",
    "LabelStep",
    "LogitStep",
    "LookAheadStep",
    "Postprocess",
    "Step",
    "all_settings",
    "frame_labels",
    "labels_of",
    "read_postprocess",
    "steady_frames",
]
