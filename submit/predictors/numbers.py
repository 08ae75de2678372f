"""Checks for impossible numbers in a prediction.

A damaged weight turns all later values into NaN. As "not above 0" that would mean an
absent object. So all numbers from models and files are checked.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["nonsense"]

_LARGEST = float(np.finfo(np.float32).max)

#: Lowest and highest legal value, and their description.
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
    """Describe an impossible number of one frame; None if all are possible.

    Args:
        name: `logits`, `presence` or `iou`.
        values: Values of N objects: N×h×w logits, or N scores; None if the model has
            none.
        objects: The N ids.
        gaps: Whether NaN stands for a missing score.
    """
    if values is None or not values.size:
        return None
    low, high, expected = _RANGES[name]
    # False if any is NaN.
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
