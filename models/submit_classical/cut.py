"""An object cut out of a box around it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .motion import PixelBox

__all__ = ["cut_out"]

#: GrabCut compares colours inside with those around, as far as this share of a side.
_MARGIN = 0.5
_ROUNDS = 5
#: A smaller box has too few pixels to compare.
_LEAST_PIXELS = 64
#: An object fills at least this share of its box; less than that is a failure.
_LEAST_SHARE = 0.15


def cut_out(image: NDArray[np.uint8], box: PixelBox) -> NDArray[np.bool_]:
    """Find the object in a box by its colours (GrabCut).

    Args:
        image: H×W×3.
        box: Holds the whole object, and at least one pixel.

    Returns:
        H×W mask; the whole box if the colours do not separate object and background.
    """
    mask = np.zeros(image.shape[:2], np.bool_)
    mask[box.slices] = True
    down = round(_MARGIN * (box.bottom - box.top)) + 2
    across = round(_MARGIN * (box.right - box.left)) + 2
    around = np.s_[
        max(box.top - down, 0) : box.bottom + down,
        max(box.left - across, 0) : box.right + across,
    ]
    inside = mask[around]
    if box.area < _LEAST_PIXELS or (~inside).sum() < _LEAST_PIXELS:
        return mask
    labels = np.where(inside, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    cv2.setRNGSeed(0)  # It begins with random clusters.
    cv2.grabCut(
        np.ascontiguousarray(image[around]),
        labels,
        (0, 0, 1, 1),  # Ignored in this mode.
        np.zeros((1, 65)),
        np.zeros((1, 65)),
        _ROUNDS,
        cv2.GC_INIT_WITH_MASK,
    )
    found = (labels == cv2.GC_PR_FGD) & inside
    if found.sum() >= _LEAST_SHARE * box.area:
        mask[around] = found
    return mask
