"""Arrange titled panels: grids for videos, contact sheets for papers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .lettering import BLACK, WHITE, Colour, line_height, write_text

__all__ = ["Grid", "Panel", "draw_sheet"]

Pixels = NDArray[np.uint8]

_DARK: Colour = (24, 24, 27)
#: Pixels between panels.
_GAP = 4


@dataclass(frozen=True, eq=False)
class Panel:
    """An image with a title.

    Attributes:
        title: The text above the image.
        pixels: H×W×3 uint8; all panels of a grid have one size.
    """

    title: str
    pixels: Pixels


class Grid:
    """The layout of the panels in each frame of a video.

    Args:
        panels: Number of panels.
        size: Height and width of a panel.
        columns: Panels side by side. None: a number that gives a shape near 16:9.
        font_size: Height of the titles in pixels; 0 for no titles.
    """

    def __init__(
        self,
        panels: int,
        size: tuple[int, int],
        *,
        columns: int | None = None,
        font_size: int = 16,
    ) -> None:
        self._size = size
        self._font_size = font_size
        self._bar = line_height(font_size) if font_size else 0
        self.columns = min(panels, columns or _best_columns(panels, size))
        self.rows = math.ceil(panels / self.columns)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the whole image; even, as video encoders need them."""
        height = self._bar + self.rows * (self._bar + self._size[0] + _GAP) - _GAP
        width = self.columns * (self._size[1] + _GAP) - _GAP
        return height + height % 2, width + width % 2

    def draw(self, title: str, panels: Sequence[Panel]) -> Pixels:
        """Draw a title and the panels below it; returns H×W×3 uint8."""
        canvas = np.empty((*self.size, 3), np.uint8)
        canvas[:] = _DARK
        if self._font_size:
            self._write(canvas, title, (0, 0), canvas.shape[1])
        for place, panel in enumerate(panels):
            row, column = divmod(place, self.columns)
            top = self._bar + row * (self._bar + self._size[0] + _GAP)
            left = column * (self._size[1] + _GAP)
            if self._font_size:
                self._write(canvas, panel.title, (top, left), self._size[1])
            top += self._bar
            height, width = self._size
            canvas[top : top + height, left : left + width] = panel.pixels
        return canvas

    def _write(
        self, canvas: Pixels, text: str, place: tuple[int, int], widest: int
    ) -> None:
        words = write_text(text, self._font_size, WHITE, _DARK, widest=widest)
        _put(canvas, words, place)


def draw_sheet(
    frames: Sequence[str],
    rows: Sequence[tuple[str, Sequence[Pixels]]],
    *,
    columns: int | None = None,
    font_size: int = 16,
) -> Pixels:
    """Draw a contact sheet: a row for each view, a column for each frame.

    Args:
        frames: The title of each column.
        rows: Name and panels of each row: one panel for each frame, all of one size.
        columns: Frames side by side; more frames are continued below. None: all.
        font_size: Height of the text in pixels; 0 for no text.

    Returns:
        H×W×3 uint8, black on white.
    """
    height, width = rows[0][1][0].shape[:2]
    count = min(columns or len(frames), len(frames))
    bar = line_height(font_size) if font_size else 0
    block = bar + len(rows) * (height + _GAP)
    blocks = math.ceil(len(frames) / count)
    canvas = np.full(
        (blocks * block - _GAP, bar + count * (width + _GAP) - _GAP, 3), 255, np.uint8
    )
    for place, title in enumerate(frames):
        part, column = divmod(place, count)
        left = bar + column * (width + _GAP)
        if font_size:
            words = write_text(title, font_size, BLACK, WHITE, widest=width)
            _put(canvas, words, (part * block, left))
        for row, (_, panels) in enumerate(rows):
            top = part * block + bar + row * (height + _GAP)
            canvas[top : top + height, left : left + width] = panels[place]
    if font_size:
        for part in range(blocks):
            for row, (name, _) in enumerate(rows):
                words = write_text(name, font_size, BLACK, WHITE, widest=height)
                turned = np.rot90(words)
                top = part * block + bar + row * (height + _GAP)
                _put(canvas, turned, (top + (height - turned.shape[0]) // 2, 0))
    return canvas


def _put(canvas: Pixels, picture: Pixels, place: tuple[int, int]) -> None:
    top, left = place
    room = canvas[top : top + picture.shape[0], left : left + picture.shape[1]]
    room[:] = picture[: room.shape[0], : room.shape[1]]


def _best_columns(panels: int, size: tuple[int, int]) -> int:
    """The number of columns that gives a grid with a shape near 16:9."""

    def distance(columns: int) -> float:
        rows = math.ceil(panels / columns)
        return abs(math.log(columns * size[1] / (rows * size[0]) / (16 / 9)))

    return min(range(1, panels + 1), key=distance)
