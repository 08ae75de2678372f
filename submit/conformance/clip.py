"""A generated clip: textured boxes that move over a textured background."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..predictors import Absent, Box, Frame, Mask, Point, Points, Prompt, Video

__all__ = ["Clip"]


@dataclass(frozen=True)
class _Moving:
    """A box on its way.

    Attributes:
        top: First row in frame 0.
        left: First column in frame 0.
        height: Rows.
        width: Columns.
        speed: Columns per frame.
        colour: Mean colour, RGB.
        hidden: Frames, of each eight, in which it is not visible.
    """

    top: int
    left: int
    height: int
    width: int
    speed: int
    colour: tuple[int, int, int]
    hidden: tuple[int, ...] = ()


#: No box lies on the mirror image of another one or of itself, nor where rows and
#: columns are swapped, so that a mask at a wrong place is noticed.
_MOVING = {
    7: _Moving(6, 62, 14, 20, -1, (200, 60, 50)),
    3: _Moving(40, 8, 12, 16, 1, (60, 190, 70), hidden=(4, 5)),
    12: _Moving(46, 54, 10, 14, 1, (60, 80, 210)),
}
#: Columns that a box moves before it turns back.
_PATH = 12


@dataclass(frozen=True)
class Clip:
    """Frames, masks and prompts, made when they are asked for.

    Attributes:
        length: Number of frames.
    """

    height: ClassVar[int] = 64
    width: ClassVar[int] = 96
    #: Objects of the first frame, in the order of their prompts.
    first: ClassVar[tuple[int, ...]] = (7, 3)
    #: An object with its first prompt in a later frame, and that frame.
    late: ClassVar[int] = 12
    joins: ClassVar[int] = 3

    length: int = 8

    @property
    def video(self) -> Video:
        """Its facts; there are no files of the frames."""
        return Video("generated", self.height, self.width, self.length)

    def frame(self, index: int) -> Frame:
        """A frame: H×W×3 uint8 RGB, read-only."""
        random = np.random.default_rng(11)
        noise = random.integers(-20, 21, (self.height, self.width, 3))
        across = np.linspace(70, 150, self.width)[None, :, None]
        pixels = across + noise
        for key, box in _MOVING.items():
            texture = random.integers(-25, 26, (box.height, box.width, 3))
            if index % 8 not in box.hidden:
                rows, columns = self._place(key, index)
                pixels[rows, columns] = np.asarray(box.colour) + texture
        frame = np.clip(pixels, 0, 255).astype(np.uint8)
        frame.flags.writeable = False
        return frame

    def mask(self, key: int, index: int) -> NDArray[np.bool_]:
        """The pixels of an object that is visible: H×W."""
        pixels = np.zeros((self.height, self.width), bool)
        pixels[self._place(key, index)] = True
        return pixels

    def prompt(self, kind: str, key: int, index: int) -> Prompt:
        """A prompt.

        Args:
            kind: The `kind` of a prompt, such as `masks`.
            key: The object.
            index: The frame.
        """
        rows, columns = self._place(key, index)
        top, bottom, left, right = rows.start, rows.stop, columns.start, columns.stop
        if kind == Box.kind:
            return Box(left, top, right, bottom)
        if kind == Points.kind:
            inside = Point((left + right) / 2, (top + bottom) / 2)
            return Points((inside, Point(left / 2, 1, inside=False)))
        if kind == Absent.kind:
            return Absent()
        pixels = self.mask(key, index)
        pixels.flags.writeable = False
        return Mask(pixels)

    def _place(self, key: int, index: int) -> tuple[slice, slice]:
        """The rows and columns of a box; it turns back at the end of its path."""
        box = _MOVING[key]
        way = index % (2 * _PATH)
        left = box.left + box.speed * min(way, 2 * _PATH - way)
        return slice(box.top, box.top + box.height), slice(left, left + box.width)
