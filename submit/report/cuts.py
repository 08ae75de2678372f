"""The cuts of a video: where the next shot begins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..data import SplitVideo
from ..errors import SplitError
from ..storage import bring
from ..system.pool import checkpoint

__all__ = ["cuts_among", "find_cuts"]

Floats = NDArray[np.float64]

#: Width and height of the small frames whose colours are counted.
_SMALL = (64, 36)
#: Colours are counted by this many levels of each channel.
_LEVELS = 8
#: At a cut so large a share of the pixels has another colour, …
_SHARE = 0.4
#: … and that many times as large a share as usually in the frames around it, …
_FACTOR = 3.0
#: … which are so many before and after.
_NEAR = 6


def find_cuts(video: SplitVideo) -> tuple[int, ...]:
    """Find the frames in which a new shot begins, by the change of colours.

    JPEGs are decoded at an eighth of their size, in about 2 ms for 854×480.

    Returns:
        Indices of these frames; the first frame is none of them.

    Raises:
        SplitError: A frame cannot be read.
    """
    bring(video.images)
    changes, before = [], None
    for frame in video.frames:
        checkpoint()
        colours = _colours(video.images[frame])
        if before is not None:
            changes.append(float(np.abs(colours - before).sum()) / 2)
        before = colours
    return cuts_among(changes)


def cuts_among(changes: Sequence[float]) -> tuple[int, ...]:
    """Indices of frames that begin a shot.

    Args:
        changes: For each frame but the first, which share of its pixels has another
            colour than before, from 0 to 1.
    """
    found = []
    values = np.asarray(changes, np.float64)
    for place, value in enumerate(values):
        if value < _SHARE:
            continue
        around = [*values[max(0, place - _NEAR) : place]]
        around += [*values[place + 1 : place + 1 + _NEAR]]
        if not around or value >= _FACTOR * float(np.median(around)):
            found.append(place + 1)
    return tuple(found)


def _colours(path: Path) -> Floats:
    """The share of the pixels of each colour; sums to 1."""
    try:
        with Image.open(path) as image:
            image.draft("RGB", _SMALL)
            small = image.convert("RGB").resize(_SMALL, Image.Resampling.BOX)
    except (OSError, ValueError, SyntaxError) as error:
        raise SplitError(f"{path}: cannot be read as an image ({error})") from error
    levels = np.asarray(small).reshape(-1, 3).astype(np.intp) * _LEVELS // 256
    codes = (levels[:, 0] * _LEVELS + levels[:, 1]) * _LEVELS + levels[:, 2]
    counts = np.bincount(codes, minlength=_LEVELS**3)
    return np.asarray(counts / counts.sum(), np.float64)
