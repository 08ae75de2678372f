"""The input resolution."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...system.schema import setting
from ..augmentation import AUGMENTATIONS, Augmentation

__all__ = ["Scale"]


@AUGMENTATIONS.register
@dataclass(frozen=True)
class Scale(Augmentation):
    """The model's input at F times its usual resolution, where the model allows it."""

    name = "scale"
    order = 20
    depth = 0
    metavar = "F"
    keeps_frames = True

    factor: float = setting(
        1.0,
        "Input resolution as a multiple of the usual one.",
        low=math.ulp(0),
        words="a positive number",
    )

    @property
    def scale(self) -> float:
        """Input resolution of the model as a multiple of its usual one."""
        return self.factor
