"""Training: sources of videos, clips, augmentation, the loop, and its interface.

A model's trainer imports from here; the loop is in `submit.training.loop`.
"""

from ..system.schema import Scalar, check, setting
from .protocol import Batch, Losses, ParameterGroup, Trainer, TrainerDescription
from .registry import GROUP, installed, load

__all__ = [
    "GROUP",
    "Batch",
    "Losses",
    "ParameterGroup",
    "Scalar",
    "Trainer",
    "TrainerDescription",
    "check",
    "installed",
    "load",
    "setting",
]
