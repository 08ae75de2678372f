"""A window that follows an object through a video, and the way into it and back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..masks import Logits
from ..predictors import Box, Frame, Mask, Point, Points, Prompt

__all__ = ["Window", "box_of", "extent_of", "window_for"]

#: An object's box takes about this share of the window's sides at first …
_FILL = 1 / 3
#: … but a window is enlarged at most by the first factor, and below the second it does
#: not help.
_MOST, _LEAST = 4.0, 1.5
#: Distance of the box's centre from the window's, in sides, above which the window
#: moves.
_SLACK = 1 / 6
#: A box that takes more of a side than this is too large for the window.
_FULL = 0.9
#: Share of a side over which the window's logits are blended with those around it.
_FEATHER = 1 / 16


@dataclass(frozen=True)
class Window:
    """A part of the frame, of the frame's own shape.

    Attributes:
        top: First row, in pixels of the frame.
        left: First column.
        height: Rows.
        width: Columns.
        frame: Height and width of the frame.
    """

    top: int
    left: int
    height: int
    width: int
    frame: tuple[int, int]

    def fits(self, box: Box) -> bool:
        """Whether an object of this size can be tracked in the window."""
        return (
            box.bottom - box.top <= _FULL * self.height
            and box.right - box.left <= _FULL * self.width
        )

    def following(self, box: Box) -> Window:
        """The window, moved just enough that the box's centre is near its own."""
        places = []
        for centre, start, side, whole in zip(
            _centre(box),
            (self.top, self.left),
            (self.height, self.width),
            self.frame,
            strict=True,
        ):
            off = centre - (start + side / 2)
            move = off - min(max(off, -_SLACK * side), _SLACK * side)
            places.append(min(max(round(start + move), 0), whole - side))
        return Window(places[0], places[1], self.height, self.width, self.frame)

    def showing(self, box: Box) -> Window:
        """The window, moved just enough to contain the whole box.

        Args:
            box: In the frame; it must fit.
        """
        places = []
        for start, side, whole, low, high in (
            (self.top, self.height, self.frame[0], box.top, box.bottom),
            (self.left, self.width, self.frame[1], box.left, box.right),
        ):
            place = min(max(start, math.ceil(high) - side), math.floor(low))
            places.append(min(max(place, 0), whole - side))
        return Window(places[0], places[1], self.height, self.width, self.frame)

    def cut(self, frame: Frame) -> Frame:
        """The window's pixels, enlarged to the size of the frame."""
        import cv2

        part = np.ascontiguousarray(self._of(frame))
        # Half pixels at the edges and bilinear: the geometry of `resize_logits`.
        enlarged = cv2.resize(part, self.frame[::-1], interpolation=cv2.INTER_LINEAR)
        return np.asarray(enlarged, np.uint8)

    def cut_mask(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The window's part of a mask, enlarged to the size of the frame."""
        import cv2

        part = np.ascontiguousarray(self._of(mask), np.float32)
        enlarged = cv2.resize(part, self.frame[::-1], interpolation=cv2.INTER_LINEAR)
        return np.asarray(enlarged) >= 0.5

    def cut_prompt(self, prompt: Prompt) -> Prompt | None:
        """The window's part of a prompt, in pixels of the enlarged window.

        Returns:
            A mask's pixels in the window, a box cut at its edges, the points in it, an
            absence as it is. None if the prompt shows nothing of the window.
        """
        if isinstance(prompt, Mask):
            part = self.cut_mask(prompt.pixels)
            return Mask(part) if part.any() or not prompt.pixels.any() else None
        height, width = self.frame
        y, x = height / self.height, width / self.width
        if isinstance(prompt, Box):
            top, bottom = np.clip(
                ((prompt.top - self.top) * y, (prompt.bottom - self.top) * y), 0, height
            )
            left, right = np.clip(
                ((prompt.left - self.left) * x, (prompt.right - self.left) * x),
                *(0, width),
            )
            if top >= bottom or left >= right:
                return None
            return Box(float(left), float(top), float(right), float(bottom))
        if isinstance(prompt, Points):
            # The centre of pixel 0 is half a pixel from the edge, enlarged or not.
            points = [
                Point(
                    (point.x + 0.5 - self.left) * x - 0.5,
                    (point.y + 0.5 - self.top) * y - 0.5,
                    point.inside,
                )
                for point in prompt.points
            ]
            inside = tuple(
                point
                for point in points
                if -0.5 <= point.x <= width - 0.5 and -0.5 <= point.y <= height - 0.5
            )
            return Points(inside) if inside else None
        return prompt

    def paste(self, logits: Logits, patch: Logits) -> None:
        """Write the window's logits into those of the frame.

        Towards edges of the window that are not edges of the frame they are blended
        with the logits of the frame.

        Args:
            logits: h×w of the whole frame; changed in place.
            patch: h'×w' of the window.
        """
        rows, down = _taps(self.top, self.height, self.frame[0], logits, patch, 0)
        columns, across = _taps(self.left, self.width, self.frame[1], logits, patch, 1)
        if not len(rows) or not len(columns):
            return
        low, high, weight = down
        lines = patch[low] + (patch[high] - patch[low]) * weight[:, None]
        low, high, weight = across
        values = lines[:, low] + (lines[:, high] - lines[:, low]) * weight
        share = np.minimum(
            _ramp(rows, self.top, self.height, self.frame[0], len(logits))[:, None],
            _ramp(columns, self.left, self.width, self.frame[1], logits.shape[1]),
        )
        part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        logits[part] += share * (values - logits[part])

    def box_in_frame(self, box: Box) -> Box:
        """A box in the enlarged window, as one in the frame."""
        y, x = self.height / self.frame[0], self.width / self.frame[1]
        return Box(
            left=self.left + box.left * x,
            top=self.top + box.top * y,
            right=self.left + box.right * x,
            bottom=self.top + box.bottom * y,
        )

    def _of(self, array: NDArray[np.generic]) -> NDArray[np.generic]:
        return array[
            self.top : self.top + self.height, self.left : self.left + self.width
        ]


def window_for(box: Box, frame: tuple[int, int]) -> Window | None:
    """The window in which an object is tracked; None if it is too large for one.

    Args:
        box: The object's, in pixels of the frame.
        frame: Height and width of the frame.
    """
    height, width = frame
    share = max((box.bottom - box.top) / height, (box.right - box.left) / width)
    factor = min(_FILL / share, _MOST)
    if factor < _LEAST:
        return None
    # The same factor in both directions, except for rounding, does not distort shapes.
    size = round(height / factor), round(width / factor)
    start = Window(0, 0, *size, (height, width))
    top, left = (
        min(max(round(centre - side / 2), 0), whole - side)
        for centre, side, whole in zip(_centre(box), size, frame, strict=True)
    )
    return Window(top, left, start.height, start.width, start.frame)


def box_of(logits: Logits, frame: tuple[int, ...]) -> Box | None:
    """The box of the positive logits, in pixels of the frame; None without any.

    Args:
        logits: h×w over the whole frame.
        frame: Height and width of the frame.
    """
    inside = logits > 0
    rows = np.flatnonzero(inside.any(1))
    if not len(rows):
        return None
    columns = np.flatnonzero(inside.any(0))
    y, x = frame[0] / logits.shape[0], frame[1] / logits.shape[1]
    return Box(
        left=float(columns[0] * x),
        top=float(rows[0] * y),
        right=float((columns[-1] + 1) * x),
        bottom=float((rows[-1] + 1) * y),
    )


def extent_of(prompt: Prompt) -> Box | None:
    """The box around what a prompt says is the object, in pixels of the frame.

    Returns:
        None for an absence, for an empty mask, and for points outside only.
    """
    if isinstance(prompt, Mask):
        return box_of(prompt.pixels.astype(np.float32), prompt.pixels.shape)
    if isinstance(prompt, Box):
        return prompt
    inside = (
        [p for p in prompt.points if p.inside] if isinstance(prompt, Points) else []
    )
    if not inside:
        return None
    return Box(
        left=min(p.x for p in inside),
        top=min(p.y for p in inside),
        right=max(p.x for p in inside) + 1,
        bottom=max(p.y for p in inside) + 1,
    )


def _centre(box: Box) -> tuple[float, float]:
    """Row and column of a box's centre."""
    return (box.top + box.bottom) / 2, (box.left + box.right) / 2


def _taps(
    start: int, side: int, whole: int, logits: Logits, patch: Logits, axis: int
) -> tuple[NDArray[np.int64], tuple[NDArray[np.int64], NDArray[np.int64], Logits]]:
    """Lines of the frame's logits in the window, and their places in the patch.

    Returns:
        The lines whose centres are in the window; the two lines of the patch that each
        lies between; and the weight of the second one.
    """
    count, source = logits.shape[axis], patch.shape[axis]
    centres = (np.arange(count) + 0.5) * whole / count
    lines = np.flatnonzero((centres >= start) & (centres < start + side))
    places = np.clip((centres[lines] - start) * source / side - 0.5, 0, source - 1)
    low = places.astype(np.int64)
    high = np.minimum(low + 1, source - 1)
    return lines, (low, high, (places - low).astype(np.float32))


def _ramp(
    lines: NDArray[np.int64], start: int, side: int, whole: int, count: int
) -> Logits:
    """The window's share in each of its lines: 1, but less near inner edges."""
    centres = (lines + 0.5) * whole / count
    reach = _FEATHER * side
    share = np.ones(len(lines))
    if start > 0:
        share = np.minimum(share, (centres - start) / reach)
    if start + side < whole:
        share = np.minimum(share, (start + side - centres) / reach)
    return share.astype(np.float32)
