"""Text on images: rendered once, then copied."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

__all__ = ["BLACK", "WHITE", "Colour", "line_height", "readable_on", "write_text"]

Pixels = NDArray[np.uint8]
Colour = tuple[int, int, int]

WHITE: Colour = (255, 255, 255)
BLACK: Colour = (0, 0, 0)


def readable_on(colour: Colour) -> Colour:
    """Black or white, whichever has the higher contrast to a colour.

    Contrast is defined as in WCAG 2: both are equal at a relative luminance of 0.18.
    """
    linear = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (channel / 255 for channel in colour)
    ]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return BLACK if luminance > 0.18 else WHITE


def line_height(size: int) -> int:
    """Height of a line of text in pixels, with its margins."""
    return size + max(4, size // 2)


@lru_cache(maxsize=512)
def write_text(
    text: str, size: int, ink: Colour, paper: Colour, *, widest: int | None = None
) -> Pixels:
    """Render one line of text.

    Args:
        text: The text; characters that cannot be printed become `�`.
        size: Height of the letters in pixels.
        ink: Colour of the letters.
        paper: Colour of the background.
        widest: Maximum width in pixels; a longer text is cut and ends with `…`.

    Returns:
        H×W×3 uint8, read-only; H is `line_height(size)`.
    """
    font = _font(size)
    words = "".join(
        one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text
    )
    margin = max(2, size // 4)
    room = None if widest is None else max(1, widest - 2 * margin)
    if room is not None and font.getlength(words) > room:
        while words and font.getlength(f"{words}…") > room:
            words = words[:-1]
        words += "…"
    columns = int(np.ceil(font.getlength(words))) + 2 * margin
    if widest is not None:
        columns = min(columns, widest)
    rows = line_height(size)
    image = Image.new("RGB", (max(1, columns), rows), paper)
    ImageDraw.Draw(image).text(
        (margin, rows / 2), words, fill=ink, font=font, anchor="lm"
    )
    pixels = np.array(image)
    pixels.setflags(write=False)
    return pixels


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont:
    """The font that comes with Pillow, so that images are the same on all machines."""
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font
