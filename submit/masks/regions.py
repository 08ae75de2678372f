"""Area and box of each object in a label map, compiled.

Kept apart from `postprocess` so that importing that package does not import the
compiler.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..system.compiled import compiled

__all__ = ["boxes"]


@compiled()
def boxes(labels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Find area and box of each id in one pass.

    Args:
        labels: H×W ids.

    Returns:
        256×5: pixels, first row, last row + 1, first column, last column + 1; zeros for
        an id that does not occur.
    """
    height, width = labels.shape
    found = np.zeros((256, 5), np.int64)
    for y in range(height):
        row = labels[y]
        x = 0
        while x < width:
            key = row[x]
            start = x
            x += 1
            while x < width and row[x] == key:
                x += 1
            box = found[key]
            if box[0] == 0:
                box[1] = y
                box[3] = start
            box[0] += x - start
            box[2] = y + 1
            box[3] = min(box[3], start)
            box[4] = max(box[4], x)
    return found
