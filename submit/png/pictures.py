"""PNGs of any kind as values and colours, if it is not certain that values are ids.

A palette PNG has values and a colour for each. A grey PNG has values only. An RGB PNG
has colours only, which are numbered here in the order of red, green and blue.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from ..errors import MaskError
from ..system.words import size_text
from .palette import GREY, PALETTE, SIGNATURE, decode, read_header
from .pillow import decode_as_server, decode_pixels

__all__ = ["Kind", "NoIdsError", "Picture", "decode_picture", "read_palette"]


class NoIdsError(MaskError):
    """A file can be read, but its pixels cannot be object ids."""


class Kind(str, Enum):
    """What the pixels of a PNG hold."""

    #: A value, and its colour.
    PALETTE = "palette"
    #: A value.
    GREY = "grey"
    #: A colour.
    COLOUR = "colour"


@dataclass(frozen=True, eq=False)
class Picture:
    """A PNG whose values may be ids or not.

    Attributes:
        kind: What the pixels hold.
        values: H×W uint8.
        palette: Red, green and blue of each value, one after the other; empty for grey.
        damaged: Whether only a lenient reader accepts the file.
    """

    kind: Kind
    values: NDArray[np.uint8]
    palette: bytes = b""
    damaged: bool = False

    @property
    def used(self) -> tuple[int, ...]:
        """The values that occur, ascending."""
        counts = np.bincount(self.values.ravel(), minlength=256)
        return tuple(np.flatnonzero(counts).tolist())


def read_palette(data: bytes) -> bytes:
    """Read the colours of a palette PNG without decoding it.

    Returns:
        Red, green and blue of each value, one after the other; empty without a palette.
    """
    place = len(SIGNATURE)
    while place + 8 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        kind = data[place + 4 : place + 8]
        if kind == b"PLTE":
            return data[place + 8 : place + 8 + length]
        if kind in (b"IDAT", b"IEND"):
            break
        place += length + 12
    return b""


def decode_picture(
    data: bytes, *, name: str = "mask", size: tuple[int, int] | None = None
) -> Picture:
    """Read a PNG of any kind.

    Grey values of 2 and 4 bits are not stretched: they are what the file stores. Those
    of 1 bit are 0 and 255.

    Args:
        data: The whole file.
        name: What to call it in messages.
        size: Height and width that it must have; another one is refused before
            anything is decoded.

    Raises:
        NoIdsError: It has values above 255, or more than 256 colours.
        MaskError: It is not a readable PNG, or of another size.
    """
    try:
        header = read_header(data, name=name)
    except MaskError:
        # Pillow also reads files that other programs have damaged, safely: it checks
        # the number of pixels first.
        return Picture(Kind.PALETTE, _lenient(data, name, size), b"", damaged=True)
    if size is not None and (header.height, header.width) != size:
        raise MaskError(
            f"{name}: expected {size_text(size)} pixels, found "
            f"{size_text((header.height, header.width))}"
        )
    if header.colour_type == PALETTE:
        palette = read_palette(data)
        try:
            return Picture(Kind.PALETTE, decode(data, name=name), palette)
        except MaskError:
            labels = _lenient(data, name, size)
            return Picture(Kind.PALETTE, labels, palette, damaged=True)
    image = decode_pixels(data, name=name)
    if image.ndim == 3 and image.shape[2] >= 3:
        return _numbered(image[:, :, :3], name)
    grey = image[:, :, 0] if image.ndim == 3 else image
    if header.colour_type == GREY and header.bit_depth < 8:
        # Pillow has stretched the values to 0 … 255. One bit is black or white.
        grey = grey.astype(np.uint8) * (255 if header.bit_depth == 1 else 1)
        if header.bit_depth > 1:
            grey = grey // (255 // ((1 << header.bit_depth) - 1))
    highest = int(grey.max())
    if highest > 255:
        raise NoIdsError(
            f"{name}: is {header.kind} PNG with values up to {highest}; object ids "
            "go from 1 to 254"
        )
    return Picture(Kind.GREY, grey.astype(np.uint8))


def _lenient(data: bytes, name: str, size: tuple[int, int] | None) -> NDArray[np.uint8]:
    labels = decode_as_server(data, name=name)
    if size is not None and labels.shape != size:
        raise MaskError(
            f"{name}: expected {size_text(size)} pixels, found "
            f"{size_text(labels.shape)}"
        )
    return labels


def _numbered(image: NDArray[np.uint8], name: str) -> Picture:
    """Number the colours of an H×W×3 image."""
    if image.dtype != np.uint8:
        raise NoIdsError(
            f"{name}: has colours of 16 bits; write object ids with mode P"
        )
    weights = np.array([1 << 16, 1 << 8, 1], np.int32)
    codes = image.astype(np.int32) @ weights
    found, places = np.unique(codes, return_inverse=True)
    if len(found) > 256:
        raise NoIdsError(
            f"{name}: has {len(found)} colours, as photographs and smoothed masks do; "
            "write object ids with mode P"
        )
    values: NDArray[np.uint8] = places.reshape(codes.shape).astype(np.uint8)
    palette = b"".join(int(code).to_bytes(3, "big") for code in found)
    return Picture(Kind.COLOUR, values, palette)
