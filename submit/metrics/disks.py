"""The tolerance disks of the boundary measures, as in the official scorer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["Disks", "disks_for"]

#: Tolerance of a boundary, as a share of the frame's diagonal.
BOUNDARY = 0.008


@dataclass(frozen=True, eq=False)
class Disks:
    """The disks that a frame of some size can need, as lists of windows.

    Attributes:
        limit: 0.008·D, the radius of disk 0; those after it have the radii 1 to
            ⌈0.008·D⌉.
        windows: K×windows×2 int64: row and first column relative to the middle.
        spans: K×windows uint64: as many low bits set as the window is wide, 0 where
            the disk has no more windows.
    """

    limit: float
    windows: NDArray[np.int64]
    spans: NDArray[np.uint64]

    @property
    def largest(self) -> int:
        """Radius and index of the largest disk."""
        return len(self.spans) - 1


@lru_cache(maxsize=64)
def disks_for(height: int, width: int) -> Disks:
    """Lay out the disks for a frame of this size."""
    limit = BOUNDARY * np.linalg.norm((height, width))
    radii = [limit, *np.arange(1.0, np.ceil(limit) + 1)]
    disks = [
        [
            (dy, start, min(last - start + 1, 64))
            for dy, first, last in _rows_of_disk(radius)
            for start in range(first, last + 1, 64)
        ]
        for radius in radii
    ]
    longest = max(map(len, disks))
    windows = np.zeros((len(disks), longest, 2), np.int64)
    spans = np.zeros((len(disks), longest), np.uint64)
    for index, disk in enumerate(disks):
        windows[index, : len(disk)] = [window[:2] for window in disk]
        spans[index, : len(disk)] = [(1 << window[2]) - 1 for window in disk]
    return Disks(float(limit), windows, spans)


def _rows_of_disk(radius: np.floating) -> list[tuple[int, int, int]]:
    """Offsets (dy, first dx, last dx) that `cv2.dilate` sees under skimage's `disk`.

    Officially the radius may be fractional. skimage then lays its grid from -radius in
    steps of one, which misses zero: the disk has an empty first row and column and lies
    off centre. cv2 puts its anchor at half the size, rounded down, and does not flip
    the kernel. A disk without any pixel acts as its top left pixel.
    """
    axis = np.arange(-radius, radius + 1)
    squares = axis**2
    inside = squares[:, None] + squares[None, :] <= radius**2
    anchor = len(axis) // 2
    if not inside.any():
        return [(-anchor, -anchor, -anchor)]
    rows = []
    for y in np.flatnonzero(inside.any(axis=1)).tolist():
        columns = np.flatnonzero(inside[y])
        rows.append((y - anchor, int(columns[0]) - anchor, int(columns[-1]) - anchor))
    return sorted(rows, key=lambda row: abs(row[0]))
