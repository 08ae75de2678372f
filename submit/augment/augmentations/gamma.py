"""The brightness."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...predictors import Frame
from ...system.schema import setting
from ..augmentation import AUGMENTATIONS
from ..view import FrameAugmentation

__all__ = ["Gamma"]


@AUGMENTATIONS.register
@dataclass(frozen=True)
class Gamma(FrameAugmentation):
    """Brightness to the power G: below 1 is brighter, for shots in the dark."""

    name = "gamma"
    order = 40
    depth = 40
    metavar = "G"

    gamma: float = setting(
        1.0, "Exponent of the brightness.", low=math.ulp(0), words="a positive number"
    )

    def show(self, frame: Frame) -> Frame:
        """Raise all channels, as fractions of 255, to the power gamma."""
        brightness = (np.arange(256) / 255) ** self.gamma
        levels = np.rint(255 * brightness).astype(np.uint8)
        brightened: NDArray[np.uint8] = levels[frame]
        return brightened
