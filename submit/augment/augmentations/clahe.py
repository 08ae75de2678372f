"""The local contrast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...predictors import Frame
from ..augmentation import AUGMENTATIONS
from ..view import FrameAugmentation

__all__ = ["Clahe"]

#: Of contrast-limited adaptive histogram equalisation: how far a tile's histogram may
#: rise above an even one, and tiles in each direction.
_CLIP_LIMIT = 2.0
_TILES = 8


@AUGMENTATIONS.register
@dataclass(frozen=True)
class Clahe(FrameAugmentation):
    """Equalised local contrast, for fog, haze and water."""

    name = "clahe"
    order = 50
    depth = 30

    def show(self, frame: Frame) -> Frame:
        """Equalise the local contrast of the lightness; colours stay."""
        import cv2

        lab = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2LAB)
        clahe = cv2.createCLAHE(_CLIP_LIMIT, (_TILES, _TILES))
        lab[..., 0] = clahe.apply(np.ascontiguousarray(lab[..., 0]))
        return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), np.uint8)
