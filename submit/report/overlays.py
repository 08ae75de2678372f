"""Masks over frames: tinted areas, outlines and ids in the palette's colours.

All functions take and return arrays. A frame of 854×480 takes a few milliseconds: the
outline is the set of pixels that differ from a neighbour, and only pixels of objects
are blended.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import MaskError
from ..masks import Labels
from ..png.palette import DAVIS_PALETTE
from .lettering import Colour, readable_on, write_text

__all__ = ["Painter", "Style", "colour_of", "overlay", "resize_labels", "resize_pixels"]

Pixels = NDArray[np.uint8]

#: An id is drawn on its object if the object has this many times the area of the text;
#: otherwise beside the object, at this distance in pixels.
_ROOMY, _AWAY = 8, 4


@dataclass(frozen=True)
class Style:
    """How masks are drawn.

    Attributes:
        opacity: Opacity of the tint over objects, from 0 (outlines only) to 1.
        outline: Width of the outline in pixels; 0 for none. A contrasting line of one
            pixel is drawn around it, so that dark colours are visible on dark frames.
        font_size: Height of the ids in pixels; 0 for no ids.
    """

    opacity: float = 0.45
    outline: int = 2
    font_size: int = 14


def colour_of(key: int) -> Colour:
    """Red, green and blue of an object id, as in every mask file."""
    red, green, blue = DAVIS_PALETTE[key].tolist()
    return red, green, blue


def overlay(frame: Pixels, labels: Labels, style: Style | None = None) -> Pixels:
    """Draw the objects of a label map over a frame.

    >>> frame = np.full((4, 6, 3), 200, np.uint8)
    >>> labels = np.zeros((4, 6), np.uint8)
    >>> labels[1:3, 1:4] = 1
    >>> overlay(frame, labels, Style(outline=0, font_size=0))[1, 1].tolist()
    [168, 110, 110]

    Args:
        frame: H×W×3 uint8 RGB.
        labels: h×w uint8 object ids, 0 for background. They are resized to the size of
            the frame by nearest neighbour.
        style: How to draw.

    Returns:
        H×W×3 uint8, a new array.

    Raises:
        MaskError: An array has another type or shape.
    """
    return Painter(style or Style()).paint(frame, labels)


def resize_pixels(frame: Pixels, size: tuple[int, int]) -> Pixels:
    """Resize H×W×3 RGB to a height and width; returns the same array if it has them."""
    if frame.shape[:2] == size:
        return frame
    import cv2

    smaller = frame.shape[0] >= size[0]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(frame, size[::-1], interpolation=how), np.uint8)


def resize_labels(labels: Labels, size: tuple[int, int]) -> Labels:
    """Resize H×W ids to a height and width by nearest neighbour."""
    if labels.shape == size:
        return labels
    import cv2

    # INTER_NEAREST would shift by half a pixel.
    how = cv2.INTER_NEAREST_EXACT
    return np.asarray(cv2.resize(labels, size[::-1], interpolation=how), np.uint8)


class Painter:
    """Draws label maps over frames in one style; caches tables between frames."""

    def __init__(self, style: Style) -> None:
        self._style = style
        self._share = round(256 * style.opacity)
        self._tints = DAVIS_PALETTE.astype(np.uint16) * np.uint16(self._share)
        self._halos = np.array(
            [readable_on(colour_of(key)) for key in range(256)], np.uint8
        )

    def paint(self, frame: Pixels, labels: Labels) -> Pixels:
        """Draw objects over a frame; see `overlay`."""
        _require(frame, labels)
        labels = resize_labels(labels, (frame.shape[0], frame.shape[1]))
        drawn = np.array(frame)
        pixels, flat = drawn.reshape(-1, 3), np.ascontiguousarray(labels).reshape(-1)
        places = np.flatnonzero(flat)
        keys = flat[places]
        if self._share:
            below = pixels[places].astype(np.uint16)
            below *= np.uint16(256 - self._share)
            below += self._tints[keys]
            below >>= 8
            pixels[places] = below
        if self._style.outline:
            self._outline(pixels, labels)
        if self._style.font_size:
            self._write_ids(drawn, places, keys)
        return drawn

    def _outline(self, pixels: Pixels, labels: Labels) -> None:
        """Draw the edge of each object inside it, and a thin line around it."""
        edge = np.zeros(labels.shape, np.bool_)
        for step in range(1, self._style.outline + 1):
            for one, other in _neighbours(labels, step):
                differ = labels[one] != labels[other]
                edge[one] |= differ
                edge[other] |= differ
        places = np.flatnonzero(edge)
        keys = labels.reshape(-1)[places]
        inside = keys != 0
        pixels[places[inside]] = DAVIS_PALETTE[keys[inside]]
        near = np.zeros(labels.shape, np.uint8)
        for one, other in _neighbours(labels, 1):
            np.maximum(near[one], labels[other], out=near[one])
            np.maximum(near[other], labels[one], out=near[other])
        outside = places[~inside]
        beside = near.reshape(-1)[outside]
        touching = beside != 0
        pixels[outside[touching]] = self._halos[beside[touching]]

    def _write_ids(self, drawn: Pixels, places: NDArray[np.intp], keys: Labels) -> None:
        """Write the id of each object in the middle of its middle row.

        The id of a small object is drawn above it, or below it if there is no space.
        """
        height, width = drawn.shape[:2]
        for key in np.flatnonzero(np.bincount(keys, minlength=1)).tolist():
            ours = places[keys == key]
            row = int(ours[len(ours) // 2]) // width
            begin, end = np.searchsorted(ours, (row * width, (row + 1) * width))
            column = int(ours[(begin + end) // 2]) % width
            colour = colour_of(key)
            text = write_text(
                str(key), self._style.font_size, readable_on(colour), colour
            )
            top = row - text.shape[0] // 2
            if len(ours) < _ROOMY * text.shape[0] * text.shape[1]:
                above, below = int(ours[0]) // width, int(ours[-1]) // width
                top = above - text.shape[0] - _AWAY
                top = below + _AWAY if top < 0 else top
            top = min(max(top, 0), max(height - text.shape[0], 0))
            left = min(
                max(column - text.shape[1] // 2, 0), max(width - text.shape[1], 0)
            )
            place = drawn[top : top + text.shape[0], left : left + text.shape[1]]
            place[:] = text[: place.shape[0], : place.shape[1]]


def _neighbours(
    labels: Labels, step: int
) -> tuple[tuple[tuple[slice, ...], tuple[slice, ...]], ...]:
    """The places of pixels and of those that lie so many rows or columns further."""
    whole, first, last = slice(None), slice(None, -step), slice(step, None)
    rows = (first, whole), (last, whole)
    columns = (whole, first), (whole, last)
    height, width = labels.shape
    return tuple(
        pair for pair, length in ((rows, height), (columns, width)) if length > step
    )


def _require(frame: Pixels, labels: Labels) -> None:
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise MaskError(
            f"a frame must be uint8 H×W×3 RGB, found {frame.dtype} "
            f"{'×'.join(map(str, frame.shape))}"
        )
    if labels.ndim != 2 or labels.dtype != np.uint8:
        raise MaskError(
            f"labels must be uint8 H×W object ids, found {labels.dtype} "
            f"{'×'.join(map(str, labels.shape))}"
        )
