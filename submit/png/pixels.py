"""The loops over bytes and pixels of mask files, compiled.

Kept apart from `palette` so that importing that module does not import the compiler.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..system.compiled import compiled

__all__ = ["pack", "transitions", "unfilter", "unpack"]


@compiled()
def pack(labels: NDArray[np.uint8], depth: int) -> NDArray[np.uint8]:
    """Put 8/depth pixels into each byte, the left one highest.

    Args:
        labels: H×W values below 2**depth.
        depth: 1, 2, 4 or 8 bits for each pixel.

    Returns:
        H×(1+B): each row begins with 0, the number of the filter that does nothing.
    """
    height, width = labels.shape
    rows = np.zeros((height, 1 + (width * depth + 7) // 8), np.uint8)
    count = 8 // depth
    whole = width // count
    for y in range(height):
        source, row = labels[y], rows[y]
        if depth == 8:
            row[1:] = source
            continue
        # One loop for each depth lets the compiler use vectors.
        if depth == 4:
            for x in range(whole):
                row[1 + x] = source[2 * x] << 4 | source[2 * x + 1]
        elif depth == 2:
            for x in range(whole):
                i = 4 * x
                row[1 + x] = (
                    source[i] << 6
                    | source[i + 1] << 4
                    | source[i + 2] << 2
                    | source[i + 3]
                )
        else:
            for x in range(whole):
                byte = 0
                for i in range(8):
                    byte |= source[8 * x + i] << (7 - i)
                row[1 + x] = byte
        for x in range(whole * count, width):
            row[1 + whole] |= source[x] << (8 - depth * (x % count + 1))
    return rows


@compiled()
def unpack(packed: NDArray[np.uint8], depth: int, width: int) -> NDArray[np.uint8]:
    """Undo `pack` for 2 or 4 bits, from H×B bytes without the filters."""
    height = len(packed)
    labels = np.empty((height, width), np.uint8)
    count = 8 // depth
    whole = width // count
    for y in range(height):
        source, row = packed[y], labels[y]
        if depth == 4:
            for x in range(whole):
                byte = source[x]
                row[2 * x], row[2 * x + 1] = byte >> 4, byte & 15
        else:
            for x in range(whole):
                byte, i = source[x], 4 * x
                row[i], row[i + 1] = byte >> 6, byte >> 4 & 3
                row[i + 2], row[i + 3] = byte >> 2 & 3, byte & 3
        for x in range(whole * count, width):
            row[x] = source[whole] >> (8 - depth * (x % count + 1)) & ((1 << depth) - 1)
    return labels


@compiled()
def unfilter(
    filters: NDArray[np.uint8], packed: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Undo the PNG row filters of an image whose pixels take a byte or less.

    Args:
        filters: H numbers 0 … 4: none, sub, up, average, Paeth.
        packed: H×B filtered bytes.

    Returns:
        H×B bytes, a new array.
    """
    height, width = packed.shape
    result = np.empty((height, width), np.uint8)
    above = np.zeros(width, np.uint8)
    for y in range(height):
        row = result[y]
        kind = filters[y]
        if kind == 0:
            row[:] = packed[y]
        elif kind == 2:
            for x in range(width):
                row[x] = packed[y, x] + above[x]
        else:
            left, corner = 0, 0
            for x in range(width):
                up = int(above[x])
                if kind == 1:
                    guess = left
                elif kind == 3:
                    guess = (left + up) >> 1
                else:
                    guess = _paeth(left, up, corner)
                left = (int(packed[y, x]) + guess) & 255
                row[x] = left
                corner = up
        above = row
    return result


@compiled()
def transitions(
    before: NDArray[np.uint8], after: NDArray[np.uint8], depth: int
) -> NDArray[np.int64]:
    """Count which ids pixels have in one mask and in the next one.

    Pixels are not unpacked: pairs of bytes are counted, then the pixels in them.

    Args:
        before: Flat bytes with 8/depth pixels each.
        after: As many bytes.
        depth: 1, 2, 4 or 8 bits for each pixel.

    Returns:
        2^depth×2^depth: how many pixels go from the row's id to the column's.
    """
    by_bytes = np.zeros((256, 256), np.int64)
    whole = len(before) // 8
    old_words = before[: whole * 8].view(np.uint64)
    new_words = after[: whole * 8].view(np.uint64)
    # Eight bytes at once if all equal the byte before them.
    ones = np.uint64(0x0101010101010101)
    a, b, run = np.uint8(0), np.uint8(0), 0
    a_word, b_word = np.uint64(0), np.uint64(0)
    for i in range(whole):
        if old_words[i] == a_word and new_words[i] == b_word:
            run += 8
            continue
        by_bytes[a, b] += run
        run = 0
        for x in range(8 * i, 8 * i + 8):
            by_bytes[before[x], after[x]] += 1
        a, b = before[8 * i + 7], after[8 * i + 7]
        a_word, b_word = ones * np.uint64(a), ones * np.uint64(b)
    by_bytes[a, b] += run
    for x in range(whole * 8, len(before)):
        by_bytes[before[x], after[x]] += 1
    if depth == 8:
        return by_bytes
    counts = np.zeros((1 << depth, 1 << depth), np.int64)
    mask = (1 << depth) - 1
    for old in range(256):
        for new in range(256):
            count = by_bytes[old, new]
            if count > 0:
                for shift in range(0, 8, depth):
                    counts[old >> shift & mask, new >> shift & mask] += count
    return counts


@compiled()
def _paeth(left: int, up: int, corner: int) -> int:
    """The neighbour that is nearest to left + up − corner; left, then up, on ties."""
    guess = left + up - corner
    far_left, far_up = abs(guess - left), abs(guess - up)
    far_corner = abs(guess - corner)
    if far_left <= far_up and far_left <= far_corner:
        return left
    if far_up <= far_corner:
        return up
    return corner
