"""The loops over bytes and pixels of mask files, compiled.

Kept apart from `palette` so that importing that module does not import the compiler.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["unfilter"]


@njit(cache=True, nogil=True)
def unfilter(
    filters: NDArray[np.uint8], packed: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Undo the PNG row filters of an image whose pixels take a byte or less.

    Args:
        filters: H numbers 0 … 4: none, sub, up, average, Paeth.
        packed: H×B filtered bytes.

    Returns:
        H×B bytes, a new array.
    """
    height, width = packed.shape
    result = np.empty((height, width), np.uint8)
    above = np.zeros(width, np.uint8)
    for y in range(height):
        row = result[y]
        kind = filters[y]
        if kind == 0:
            row[:] = packed[y]
        elif kind == 2:
            for x in range(width):
                row[x] = packed[y, x] + above[x]
        else:
            left, corner = 0, 0
            for x in range(width):
                up = int(above[x])
                if kind == 1:
                    guess = left
                elif kind == 3:
                    guess = (left + up) >> 1
                else:
                    guess = _paeth(left, up, corner)
                left = (int(packed[y, x]) + guess) & 255
                row[x] = left
                corner = up
        above = row
    return result


@njit(cache=True, nogil=True)
def _paeth(left: int, up: int, corner: int) -> int:
    """The neighbour that is nearest to left + up − corner; left, then up, on ties."""
    guess = left + up - corner
    far_left, far_up = abs(guess - left), abs(guess - up)
    far_corner = abs(guess - corner)
    if far_left <= far_up and far_left <= far_corner:
        return left
    if far_up <= far_corner:
        return up
    return corner
