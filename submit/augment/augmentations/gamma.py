"""The brightness."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...predictors import Frame, Session
from ...system.schema import setting
from ..augmentation import AUGMENTATIONS, Augmentation
from ..recolour import RecolouredSession

__all__ = ["Gamma"]


@AUGMENTATIONS.register
@dataclass(frozen=True)
class Gamma(Augmentation):
    """Brightness to the power G: below 1 is brighter, for shots in the dark."""

    name = "gamma"
    order = 40
    depth = 40
    metavar = "G"

    gamma: float = setting(
        1.0, "Exponent of the brightness.", low=math.ulp(0), words="a positive number"
    )

    def wrap(self, session: Session) -> Session:
        """Return a session that shows other brightness to this one."""
        return RecolouredSession(session, _brighten(self.gamma))


def _brighten(gamma: float) -> Callable[[Frame], Frame]:
    """Raise all channels, as fractions of 255, to the power gamma."""
    levels = np.rint(255 * (np.arange(256) / 255) ** gamma).astype(np.uint8)

    def recolour(frame: Frame) -> Frame:
        brightened: NDArray[np.uint8] = levels[frame]
        return brightened

    return recolour
