"""Convert an image to text: coloured half blocks, or letters without colours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..masks import Labels
from .overlays import Painter, Style, resize_labels, resize_pixels

__all__ = ["as_half_blocks", "as_letters", "rows_for"]

Pixels = NDArray[np.uint8]

#: Characters for the brightness, from dark to bright.
_GREYS = " .:-=+*#%@"
#: Height of a character divided by its width.
_TALL = 2


def rows_for(size: tuple[int, int], columns: int) -> int:
    """Number of text lines of an image with this number of columns."""
    return max(1, round(columns * size[0] / size[1] / _TALL))


def as_half_blocks(
    frame: Pixels, labels: Labels | None, columns: int
) -> tuple[Pixels, Pixels]:
    """Compute the colours of the upper and the lower half of each character.

    Args:
        frame: H×W×3 uint8.
        labels: h×w uint8 object ids; None for the frame alone.
        columns: Characters side by side.

    Returns:
        Two arrays of rows×columns×3 uint8.
    """
    rows = rows_for((frame.shape[0], frame.shape[1]), columns)
    size = 2 * rows, columns
    small = resize_pixels(frame, size)
    if labels is not None:
        # No outlines: a line would be as wide as the objects.
        painter = Painter(Style(opacity=0.6, outline=0, font_size=0))
        small = painter.paint(small, resize_labels(labels, size))
    return small[0::2], small[1::2]


def as_letters(frame: Pixels, labels: Labels | None, columns: int) -> list[str]:
    """Convert an image to lines of text: brightness as characters, objects as ids.

    An id of more than one digit is a letter: 10 is `A`, 35 is `Z`, others are `?`.

    Args:
        frame: H×W×3 uint8.
        labels: h×w uint8 object ids; None for the frame alone.
        columns: Characters in a line.
    """
    size = rows_for((frame.shape[0], frame.shape[1]), columns), columns
    weights = np.array([77, 150, 29], np.uint32)
    grey = resize_pixels(frame, size).astype(np.uint32) @ weights
    steps = (grey * len(_GREYS) >> 16).tolist()
    if labels is None:
        keys = np.zeros(size, np.uint8).tolist()
    else:
        keys = resize_labels(labels, size).tolist()
    return [
        "".join(
            _letter(key) if key else _GREYS[step]
            for step, key in zip(line, ids, strict=True)
        )
        for line, ids in zip(steps, keys, strict=True)
    ]


def _letter(key: int) -> str:
    return "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[key] if key < 36 else "?"
