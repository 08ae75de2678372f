"""The seven official numbers in plain NumPy, to be checked against the paper.

MOSEv2 (arXiv 2508.05630, section 3.3 and equation 1) as its organisers' scorer computes
it (https://github.com/henghuiding/MOSE-api/tree/241977a/MOSEv2/sam2_rcms/tools). The
compiled kernels give the same numbers, bit for bit, a thousand times as fast; a test
compares the two. docs/scoring.md states every decision in words.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .measures import MEASURES

__all__ = ["frame_numbers", "object_numbers"]

Mask = NDArray[np.bool_]


def object_numbers(truth: Mask, prediction: Mask) -> dict[str, float]:
    """Score one object of one video; a split's numbers are the means over objects.

    Args:
        truth: T×H×W bool, T ≥ 3: the true masks of the object.
        prediction: As `truth`.

    Returns:
        The numbers as fractions, by their official names; NaN for J&Ḟ_d and J&Ḟ_r of
        an object without such a clip, which the means leave out.
    """
    rows = map(frame_numbers, truth[1:-1], prediction[1:-1])
    j, f_dot, f = map(np.array, zip(*rows, strict=True))
    absent: Mask = np.asarray(~truth[1:-1].any((1, 2)))
    # A clip that begins at the first scored frame follows no other and does not count.
    clips = [clip for clip in _clips(absent) if clip.start > 0]
    gone = [clip for clip in clips if absent[clip.start]]
    back = [clip for clip in clips if not absent[clip.start]]
    numbers = (
        (j.mean() + f_dot.mean()) / 2,
        j.mean(),
        f_dot.mean(),
        (_mean_over(gone, j) + _mean_over(gone, f_dot)) / 2,
        (_mean_over(back, j) + _mean_over(back, f_dot)) / 2,
        f.mean(),
        (j.mean() + f.mean()) / 2,
    )
    return dict(zip(MEASURES.values(), map(float, numbers), strict=True))


def frame_numbers(truth: Mask, prediction: Mask) -> tuple[float, float, float]:
    """J, Ḟ and F of one object in one frame; both masks are H×W bool."""
    union = np.count_nonzero(truth | prediction)
    j = (np.count_nonzero(truth & prediction) + 1) / (union + 1)
    limit = 0.008 * np.linalg.norm(truth.shape)
    adaptive = np.ceil(0.1 * np.sqrt(np.count_nonzero(truth)))
    if truth.any() and adaptive < limit:
        widths = float(adaptive), float(np.ceil(limit))
    else:
        widths = float(limit), float(limit)  # Officially not rounded, F's neither.
    f_dot, f = (_boundary_f(truth, prediction, width) for width in widths)
    return j, f_dot, f


def _clips(absent: Mask) -> Iterator[slice]:
    """The longest runs of frames in which an object is absent, or is not."""
    bounds = [0, *(np.flatnonzero(absent[1:] != absent[:-1]) + 1), len(absent)]
    return (slice(*bound) for bound in pairwise(bounds))


def _mean_over(clips: list[slice], values: NDArray[np.float64]) -> float:
    """The mean over clips of the mean in each clip."""
    return float(np.mean([values[clip].mean() for clip in clips])) if clips else np.nan


def _boundary_f(truth: Mask, prediction: Mask, width: float) -> float:
    """F: the harmonic mean of precision and recall of the boundary."""
    boundary, found = _boundary(truth), _boundary(prediction)
    if not (boundary.any() and found.any()):
        return float(not boundary.any() and not found.any())
    precision = _dilated(boundary, width)[found].mean()
    recall = _dilated(found, width)[boundary].mean()
    if precision + recall == 0:
        return 0.0
    return float(2 * precision * recall / (precision + recall))


def _boundary(mask: Mask) -> Mask:
    """The pixels that differ from their right, lower or lower right neighbour."""
    padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    neighbours = padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    boundary: Mask = np.any([mask != each for each in neighbours], axis=0)
    return boundary


def _dilated(mask: Mask, radius: float) -> Mask:
    """The union of the disks around the pixels of a mask, as OpenCV dilates.

    A fractional radius gives the off-centre disk of `skimage.morphology.disk`, whose
    anchor OpenCV puts at half the size, rounded down. Of a disk without any pixel
    OpenCV takes the upper left corner.
    """
    axis = np.arange(-radius, radius + 1)
    disk = axis[:, None] ** 2 + axis**2 <= radius**2
    disk[0, 0] |= not disk.any()
    anchor = len(axis) // 2
    padded = np.pad(mask, len(axis))
    shifts = [anchor - offset for offset in np.argwhere(disk)]
    dilated = np.zeros_like(padded)
    for shift in shifts:
        dilated |= np.roll(padded, shift, (0, 1))
    inside = slice(len(axis), -len(axis))
    return dilated[inside, inside]
