"""Segment an object inside a box by its colours (GrabCut)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .motion import PixelBox

__all__ = ["cut_out"]

#: Width of the margin around the box that GrabCut sees, as a share of a side.
_MARGIN = 0.5
_ROUNDS = 5
#: GrabCut needs at least this many pixels in the box, and in the margin around it.
_LEAST_PIXELS = 64
#: A result that fills less than this share of the box counts as a failure.
_LEAST_SHARE = 0.15


def cut_out(image: NDArray[np.uint8], box: PixelBox) -> NDArray[np.bool_]:
    """Segment the object in a box by its colours (GrabCut).

    Args:
        image: H×W×3.
        box: Contains the whole object, and at least one pixel.

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
    cv2.setRNGSeed(0)  # GrabCut starts from random clusters.
    cv2.grabCut(
        np.ascontiguousarray(image[around]),
        labels,
        (0, 0, 1, 1),  # OpenCV ignores the rectangle in this mode.
        np.zeros((1, 65)),
        np.zeros((1, 65)),
        _ROUNDS,
        cv2.GC_INIT_WITH_MASK,
    )
    found = (labels == cv2.GC_PR_FGD) & inside
    if found.sum() >= _LEAST_SHARE * box.area:
        mask[around] = found
    return mask
