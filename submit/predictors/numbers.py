"""Which numbers of a prediction can be meant.

A damaged weight makes NaN of all that comes after it. Read as "not above 0", that would
be an object that is absent; so it is looked for wherever numbers come from elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["nonsense"]

_LARGEST = float(np.finfo(np.float32).max)

#: Lowest and highest legal value, and what to call them.
_RANGES = {
    "logits": (-np.inf, np.inf, "a number"),
    "presence": (-_LARGEST, _LARGEST, "a finite number"),
    "iou": (0.0, 1.0, "a number in [0, 1]"),
}


def nonsense(
    name: str,
    values: NDArray[np.floating] | None,
    objects: Sequence[int],
    *,
    gaps: bool = False,
) -> str | None:
    """Say which number of one frame cannot be meant; None where all can.

    Args:
        name: `logits`, `presence` or `iou`.
        values: Those of N objects: N×h×w logits, or N scores; None where there is none.
        objects: The N ids.
        gaps: Whether NaN stands for a score that there is not.
    """
    if values is None or not values.size:
        return None
    low, high, expected = _RANGES[name]
    # Never so if any is NaN.
    if low <= values.min() and values.max() <= high:
        return None
    wrong = ~((values >= low) & (values <= high))
    if gaps:
        wrong &= ~np.isnan(values)
    if not wrong.any():
        return None
    place = tuple(np.argwhere(wrong)[0])
    return (
        f"object {objects[place[0]]}: {name} is {values[place]:g}, expected {expected}"
    )
