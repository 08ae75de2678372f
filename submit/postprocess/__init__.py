"""Post-processing: what may be done to a run's logits and masks at export.

Everything is off unless asked for: by `submit export`, or by a settings file that
`submit tune` has written.
"""

from .settings import Postprocess, read_postprocess
from .video import frame_labels, labels_of

__all__ = ["Postprocess", "frame_labels", "labels_of", "read_postprocess"]
