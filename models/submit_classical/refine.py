"""Edge-aware smoothing of logits, and removal of blobs in unexpected places."""

from __future__ import annotations

import cv2
import numpy as np

from .features import Floats

__all__ = ["drop_strays", "smooth"]

_STRENGTH = 20.0
_EDGE = 0.15
_ROUNDS = 2
#: Logit of removed blobs.
_STRAY = -2.0


def smooth(logits: Floats, guide: Floats) -> Floats:
    """Smooth H×W logits, but not across the edges of an H×W×C guide image.

    The fast global smoother of Min et al. (2014): weighted least squares, solved
    exactly along rows and along columns, alternately.
    """
    across = _stiffness(guide[:, 1:] - guide[:, :-1])
    down = _stiffness(guide[1:] - guide[:-1])
    for round_ in range(_ROUNDS):
        share = 1.5 * _STRENGTH * 4 ** (_ROUNDS - round_ - 1) / (4**_ROUNDS - 1)
        logits = _smooth_rows(logits, across * share)
        logits = _smooth_rows(logits.T, down.T * share).T
    return logits


def _stiffness(difference: Floats) -> Floats:
    stiffness: Floats = np.exp(-np.sqrt((difference**2).sum(-1)) / _EDGE)
    return stiffness


def _smooth_rows(values: Floats, stiffness: Floats) -> Floats:
    """Solve a tridiagonal system per row: H×W values, H×(W-1) weights to the next."""
    width = values.shape[1]
    before = np.zeros((width, len(values)), np.float32)
    before[1:] = -stiffness.T
    after = np.zeros_like(before)
    after[:-1] = -stiffness.T
    diagonal = 1 - before - after
    solved = np.array(values.T, order="C")
    ahead = np.empty_like(after)
    ahead[0] = after[0] / diagonal[0]
    solved[0] /= diagonal[0]
    for i in range(1, width):
        pivot = 1 / (diagonal[i] - before[i] * ahead[i - 1])
        ahead[i] = after[i] * pivot
        solved[i] = (solved[i] - before[i] * solved[i - 1]) * pivot
    for i in range(width - 2, -1, -1):
        solved[i] -= ahead[i] * solved[i + 1]
    return solved.T


def drop_strays(logits: Floats, expected: Floats, size: float) -> Floats:
    """Remove connected components that are mostly outside the expected position.

    Args:
        logits: H×W.
        expected: H×W probability of the object by its position alone.
        size: Side in pixels of a square with the object's area. Parts whose connection
            is thinner than a twentieth of it count as separate.

    Returns:
        The logits, clipped to at most `_STRAY` in the removed components. The largest
        component is always kept.
    """
    positive = (logits > 0).astype(np.uint8)
    radius = round(0.03 * size)
    core = np.ones((2 * radius + 1,) * 2, np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        cv2.erode(positive, core), connectivity=8
    )
    if count <= 2:
        return logits
    areas = stats[:, cv2.CC_STAT_AREA]
    inner = np.bincount(labels.ravel(), (expected > 0.25).ravel(), minlength=count)
    keep = inner >= 0.3 * areas
    keep[1 + areas[1:].argmax()] = True
    stray = ~keep
    keep[0] = stray[0] = False
    if not stray.any():
        return logits
    # Dilated a little more than they were eroded, so that their boundary goes too.
    around = np.ones((2 * radius + 3,) * 2, np.uint8) if radius else core
    kept = cv2.dilate(keep[labels].astype(np.uint8), around)
    gone = cv2.dilate(stray[labels].astype(np.uint8), around)
    return np.where((gone > 0) & (kept == 0), np.minimum(logits, _STRAY), logits)
