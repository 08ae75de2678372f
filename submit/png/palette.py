"""Palette PNGs: label maps in the format of the challenge.

A mask file is a PNG of colour type 3 (Pillow calls it mode `P`) whose pixel values are
the object ids; the palette is only for display. `decode` returns exactly the values
that the official scorer sees through Pillow's `Image.open(…).convert("P")`.
"""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from zlib_ng import zlib_ng

from ..errors import MaskError
from ..system.files import read_regular
from ..system.words import counted, size_text
from .pillow import decode_as_server

__all__ = [
    "DAVIS_PALETTE",
    "MOST_PIXELS",
    "PackedLabels",
    "PngHeader",
    "decode",
    "decode_packed",
    "encode",
    "read",
    "read_file",
    "read_header",
    "write",
]

SIGNATURE = b"\x89PNG\r\n\x1a\n"

#: Deflate with a window of 32 KiB, compressed as well as possible.
_ZLIB_HEADER = b"\x78\xda"

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
#: Channels of each colour type, which are also the only legal colour types.
_CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
_COLOUR_NAMES = {
    GREY: "grey",
    RGB: "RGB",
    PALETTE: "palette",
    GREY_ALPHA: "grey with alpha",
    RGBA: "RGBA",
}
_LEGAL_DEPTHS = {
    GREY: (1, 2, 4, 8, 16),
    RGB: (8, 16),
    PALETTE: (1, 2, 4, 8),
    GREY_ALPHA: (8, 16),
    RGBA: (8, 16),
}
#: The stub calls this class an instance.
_InflateError = cast("type[Exception]", zlib_ng.error)
#: Pillow, and so the official scorer, refuses images with more pixels.
MOST_PIXELS = 178_956_970
#: Bytes that deflate can make of one: 258 of each two bits.
_MOST_INFLATION = 1032
#: Memory that a malformed file may use before it is refused.
_HARMLESS = 1 << 26


def _davis_palette() -> NDArray[np.uint8]:
    """Give the bits of each id to red, green and blue in turn, highest bits first."""
    colours = np.zeros((256, 3), np.uint8)
    ids = np.arange(256)
    for bit in range(8):
        channel, shift = bit % 3, 7 - bit // 3
        colours[:, channel] |= (((ids >> bit) & 1) << shift).astype(np.uint8)
    colours.setflags(write=False)
    return colours


#: 256×3 uint8: the colour of each id in DAVIS and later datasets.
DAVIS_PALETTE: NDArray[np.uint8] = _davis_palette()


@dataclass(frozen=True)
class PngHeader:
    """The content of a PNG's first chunk.

    Attributes:
        width: Columns, in pixels.
        height: Rows, in pixels.
        bit_depth: Bits of one sample: 1, 2, 4, 8 or 16.
        colour_type: 0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGBA.
        interlaced: Whether the pixels come in seven passes.
    """

    width: int
    height: int
    bit_depth: int
    colour_type: int
    interlaced: bool = False

    @property
    def kind(self) -> str:
        """The colour type and depth in words, such as `an 8-bit palette`."""
        article = "an" if self.bit_depth == 8 else "a"
        return f"{article} {self.bit_depth}-bit {_COLOUR_NAMES[self.colour_type]}"

    @property
    def row_bytes(self) -> int:
        """Bytes of one row, without the filter's byte."""
        bits = self.width * self.bit_depth * _CHANNELS[self.colour_type]
        return (bits + 7) // 8


@dataclass(frozen=True, eq=False)
class PackedLabels:
    """A label map with several pixels in a byte, as in its file.

    Attributes:
        data: Flat uint8: the rows one after another, of `stride` bytes each. In a byte
            the left pixel has the highest bits.
        shape: Height and width, in pixels.
        stride: Bytes from a row to the next.
        lead: Bytes before the pixels of each row, which are 0.
        depth: Bits of a pixel: 1, 2, 4 or 8.
        step: Factor from stored values to ids.
    """

    data: NDArray[np.uint8]
    shape: tuple[int, int]
    stride: int
    lead: int
    depth: int
    step: int = 1

    def object_ids(self) -> tuple[int, ...]:
        """The ids that occur, ascending, without background; pixels stay packed."""
        if self.shape[1] * self.depth % 8:
            # The padding in the last byte of each row can have any value.
            values = np.flatnonzero(_present(self.unpack().reshape(-1))).tolist()
        else:
            mask, shifts = (1 << self.depth) - 1, range(0, 8, self.depth)
            stored = np.flatnonzero(_present(self.data)).tolist()
            values = sorted(
                {
                    (byte >> shift & mask) * self.step
                    for byte in stored
                    for shift in shifts
                }
            )
        return tuple(value for value in values if value)

    def unpack(self) -> NDArray[np.uint8]:
        """The label map: H×W uint8, a new array."""
        height, width = self.shape
        packed = self.data.reshape(height, self.stride)[:, self.lead :]
        labels = _unpack(packed, self.depth, width)
        if self.step > 1:
            labels *= np.uint8(self.step)
        return labels


def _present(data: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Find which of the 256 values occur in flat bytes."""
    whole = len(data) // 8 * 8
    words = data[:whole].view(np.uint64)
    # Masks are mostly uniform: eight bytes equal to those before add no value.
    changes = np.flatnonzero(words[1:] != words[:-1]) + 1
    found = np.zeros(256, np.bool_)
    found[words[changes].view(np.uint8)] = True
    found[data[:8]] = True
    found[data[whole:]] = True
    return found


def encode(labels: NDArray[np.uint8]) -> bytes:
    """Write labels as a PNG of mode P with the DAVIS palette.

    The highest id decides the bit depth and the length of the palette. Equal labels
    give equal bytes on every machine.

    Args:
        labels: H×W uint8 object ids, 0 for background.

    Raises:
        MaskError: Not a non-empty uint8 H×W array.
    """
    if labels.ndim != 2 or labels.dtype != np.uint8 or labels.size == 0:
        raise MaskError(
            f"labels must be a non-empty uint8 H×W array, found {labels.dtype} "
            f"{'×'.join(map(str, labels.shape))}"
        )
    from .deflate import deflate
    from .pixels import pack

    height, width = labels.shape
    highest = int(labels.max())
    depth = next(depth for depth in (1, 2, 4, 8) if highest < 1 << depth)
    # Every row keeps filter 0: label maps are smallest unfiltered.
    rows = pack(np.ascontiguousarray(labels), depth)
    stream = _ZLIB_HEADER + deflate(rows) + struct.pack(">I", zlib_ng.adler32(rows))
    return b"".join(
        (
            SIGNATURE,
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 3, 0, 0, 0)),
            _chunk(b"PLTE", DAVIS_PALETTE[: max(highest, 1) + 1].tobytes()),
            _chunk(b"IDAT", stream),
            _chunk(b"IEND", b""),
        )
    )


def write(path: Path | str, labels: NDArray[np.uint8]) -> None:
    """Write labels as a palette PNG; see `encode`."""
    Path(path).write_bytes(encode(labels))


def read(path: Path | str, *, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Read a mask file as H×W uint8 object ids; see `decode`.

    Raises:
        MaskError: It is missing, unreadable, not a mask or of another size.
    """
    return decode(read_file(path), name=str(path), size=size)


def read_file(path: Path | str) -> bytes:
    """Read the bytes of a mask file.

    Raises:
        MaskError: It is missing, unreadable or no regular file.
    """
    try:
        return read_regular(path)
    except OSError as error:
        raise MaskError(f"{path}: cannot be read ({error.strerror})") from error


def read_header(data: bytes, *, name: str = "mask") -> PngHeader:
    """Read the header of a PNG; the first 33 bytes are enough.

    Raises:
        MaskError: It is not a PNG, or its header is not a legal one.
    """
    if data[:8] != SIGNATURE:
        raise MaskError(f"{name}: is not a PNG; it begins with {_start(data)}")
    if len(data) < 33 or data[8:16] != b"\0\0\0\x0dIHDR":
        raise MaskError(f"{name}: is truncated or damaged: it has no PNG header")
    if zlib.crc32(data[12:29]) != int.from_bytes(data[29:33], "big"):
        raise MaskError(f"{name}: is damaged: the checksum of its header is wrong")
    width, height, depth, colour, method, filters, interlace = struct.unpack(
        ">IIBBBBB", data[16:29]
    )
    if (
        not (0 < width < 1 << 31 and 0 < height < 1 << 31)
        or depth not in _LEGAL_DEPTHS.get(colour, ())
        or method != 0
        or filters != 0
        or interlace > 1
    ):
        raise MaskError(
            f"{name}: its PNG header is not legal: {size_text((height, width))} "
            f"pixels, {depth} bits, colour type {colour}, methods {method}, "
            f"{filters}, {interlace}"
        )
    return PngHeader(width, height, depth, colour, bool(interlace))


def decode(
    data: bytes, *, name: str = "mask", size: tuple[int, int] | None = None
) -> NDArray[np.uint8]:
    """Read a palette or grey PNG as object ids.

    The values are those that Pillow's `convert("P")` gives. Of a palette PNG they are
    its indices. Of a grey PNG of 8 bits they are its values; those of fewer bits are
    stretched to 0 … 255, as the format demands.

    Args:
        data: The whole file.
        name: Its name in messages.
        size: Height and width that it must have; another one is refused before
            anything is decoded.

    Returns:
        H×W uint8.

    Raises:
        MaskError: It is not a PNG, damaged, truncated, of another size, or of another
            kind, such as RGB or 16 bits.
    """
    return decode_packed(data, name=name, size=size).unpack()


def decode_packed(
    data: bytes,
    *,
    name: str = "mask",
    size: tuple[int, int] | None = None,
    header: PngHeader | None = None,
) -> PackedLabels:
    """Read a palette or grey PNG without unpacking its pixels; see `decode`.

    Args:
        data: The whole file.
        name: What to call it in messages.
        size: Height and width that it must have.
        header: Its header, where it has been read already.
    """
    if header is None:
        header = read_header(data, name=name)
    if size is not None and (header.height, header.width) != size:
        raise MaskError(
            f"{name}: expected {size_text(size)} pixels, found "
            f"{size_text((header.height, header.width))}"
        )
    if header.colour_type not in (PALETTE, GREY) or header.bit_depth == 16:
        raise MaskError(
            f"{name}: expected a palette PNG whose values are object ids, found "
            f"{header.kind} PNG; write it with mode P (submit import and submit repair "
            "do)"
        )
    if header.width * header.height > MOST_PIXELS:
        raise MaskError(
            f"{name}: says that it has {size_text((header.height, header.width))} "
            "pixels; no reader opens so many"
        )
    compressed = b"".join(_image_data(data, name))
    shape = header.height, header.width
    if header.interlaced:
        labels = decode_as_server(data, name=name)
        return PackedLabels(labels.reshape(-1), shape, header.width, lead=0, depth=8)
    stride = header.row_bytes + 1
    raw = np.frombuffer(_inflate(compressed, stride * header.height, name), np.uint8)
    lead = 1  # The number of the row's filter.
    rows = raw.reshape(header.height, stride)
    if rows[:, 0].any():
        raw, lead = _unfilter(rows, name).reshape(-1), 0
        stride = header.row_bytes
    step = 1
    if header.colour_type == GREY:
        step = 255 // ((1 << header.bit_depth) - 1)
    return PackedLabels(raw, shape, stride, lead, header.bit_depth, step)


def _image_data(data: bytes, name: str) -> Iterator[memoryview]:
    """Walk over all chunks, verify them, and yield the contents of the IDATs."""
    view = memoryview(data)
    place, palette, found = 8, False, False
    while True:
        if place + 12 > len(data):
            raise MaskError(f"{name}: is truncated after {counted(len(data), 'byte')}")
        length = int.from_bytes(view[place : place + 4], "big")
        kind, end = data[place + 4 : place + 8], place + 8 + length
        if end + 4 > len(data):
            raise MaskError(
                f"{name}: is truncated after {counted(len(data), 'byte')}, "
                f"in the chunk {_start(kind)}"
            )
        if zlib.crc32(view[place + 4 : end]) != int.from_bytes(
            view[end : end + 4], "big"
        ):
            raise MaskError(
                f"{name}: is damaged: the checksum of its chunk {_start(kind)} is wrong"
            )
        if kind == b"IDAT":
            found = True
            yield view[place + 8 : end]
        elif kind == b"PLTE":
            palette = True
        elif kind == b"IEND":
            break
        elif not kind[0] & 32 and kind != b"IHDR":
            raise MaskError(f"{name}: has the unknown critical chunk {_start(kind)}")
        place = end + 4
    if not found:
        raise MaskError(f"{name}: is damaged: it has no image data")
    if data[25] == PALETTE and not palette:
        raise MaskError(f"{name}: is damaged: it has no palette")


def _inflate(compressed: bytes, size: int, name: str) -> bytes:
    """Inflate image data that must come to `size` bytes, and never to many more."""
    if len(compressed) * _MOST_INFLATION <= max(4 * size, _HARMLESS):
        # Into one block of the right size; growing pieces take 50 % longer. Surplus
        # bytes and damage are checked below.
        with contextlib.suppress(_InflateError):
            whole: bytes = zlib_ng.decompress(compressed, zlib.MAX_WBITS, size + 1)
            if len(whole) == size:
                return whole
    stream = zlib_ng.decompressobj()
    try:
        # With one more byte of room the stream reaches its end and its checksum.
        raw: bytes = stream.decompress(compressed, size + 1)
    except _InflateError as error:
        raise MaskError(
            f"{name}: is damaged: its image data cannot be inflated ({error})"
        ) from error
    if len(raw) < size or not (stream.eof or len(raw) > size):
        raise MaskError(
            f"{name}: is damaged: its image data comes to {len(raw)} of {size} bytes"
        )
    return raw[:size]


def _unfilter(rows: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    """Undo the row filters, which work on whole bytes for these formats.

    Args:
        rows: H×(1+B) uint8, the filter's number first.
        name: The name of the file in messages.
    """
    filters, packed = rows[:, 0], rows[:, 1:]
    if filters.max() > 4:
        raise MaskError(
            f"{name}: is damaged: row {int(np.argmax(filters > 4))} has the unknown "
            f"filter {int(filters.max())}"
        )
    from .pixels import unfilter

    return unfilter(filters, packed)


def _unpack(packed: NDArray[np.uint8], depth: int, width: int) -> NDArray[np.uint8]:
    """Unpack the pixels of H×B bytes; the result is always a new array."""
    if depth == 8:
        return packed.copy()
    if depth == 1:
        return np.unpackbits(packed, axis=1, count=width)
    from .pixels import unpack

    return unpack(packed, depth, width)


def _chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def _start(data: bytes) -> str:
    """The first bytes of some data, safe to print."""
    return ascii(bytes(data[:8]))[1:] if data else "nothing"
