"""Compiled kernels of `metrics`: one pair of label maps in, counts and matches out.

A map is read once, in words of 64 bits and without unpacking its pixels. Its runs of
equal labels give every object's area and box, and set the object's pixels in a bitmap.
The boundary of a mask is then a few shifts and exclusive-ors on words. Whether the
other mask has a boundary within the disk is, for each boundary pixel, a test of one
window of bits for each row of the disk, from the middle row outwards.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..system.compiled import compiled

__all__ = ["BOX", "room", "score_frame"]

#: What `_scan` stores for an object in a map: its number of pixels, its first and last
#: row and its first and last column (empty while the first exceeds the last).
BOX = 5

Words: TypeAlias = NDArray[np.uint64]
Labels: TypeAlias = NDArray[np.uint8]
Ints: TypeAlias = NDArray[np.int64]

#: Tolerance of a boundary in Ḟ, as a share of the square root of the object's area.
_ADAPTIVE = 0.1

_FULL = np.uint64(0xFFFFFFFFFFFFFFFF)
_ONE = np.uint64(1)

#: Words that are compared before the result is tested.
_BLOCK = 64


def room(height: int, width: int, largest: int) -> int:
    """Number of words of a frame's boundary, with margins for the largest disk.

    Args:
        height: Rows.
        width: Columns.
        largest: Radius of the largest disk, which is also its index.
    """
    return (height + 2 * largest) * (-(-width // 64) + 2 * (largest // 64 + 1))


@compiled(error_model="numpy", inline="always")
def _popcount(word: Any) -> Any:
    """Count the set bits of a 64-bit word; LLVM makes one instruction of this."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + (
        (word >> np.uint64(2)) & np.uint64(0x3333333333333333)
    )
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@compiled(error_model="numpy", inline="always")
def _first_pixel(difference: Any, depth: int) -> Any:
    """The first pixel of a word, in the order of the file, that has a bit set.

    Bytes come lowest first, and in a byte the left pixel has the highest bits.
    """
    bit = _popcount((difference & (~difference + _ONE)) - _ONE)
    byte = np.int64((difference >> np.uint64(bit & 56)) & np.uint64(255))
    pixel = 0
    while byte >> (8 - depth - depth * pixel) == 0:
        pixel += 1
    return (bit >> 3) * (8 // depth) + pixel


@compiled(error_model="numpy")
def _scan(
    data: Labels,
    stride: int,
    lead: int,
    depth: int,
    width: int,
    slots: Ints,
    side: int,
    bits: Words,
    boxes: Ints,
) -> None:
    """Find all objects of a map in one pass over its runs.

    Args:
        data: Flat uint8, 8-byte aligned: rows of packed pixels.
        stride: Bytes from a row to the next.
        lead: Bytes before the pixels of each row; they are 0.
        depth: Bits of a pixel: 1, 2, 4 or 8.
        width: Pixels in a row.
        slots: The object's index for each value, or -1 for those that are not scored,
            0 among them.
        side: 0 for the truth, 1 for the prediction.
        bits: N×2×H×words uint64 zeros; filled with the objects' pixels.
        boxes: N×2×BOX int64; filled.
    """
    for slot in range(len(boxes)):
        boxes[slot, side, 0] = 0
        boxes[slot, side, 1] = boxes[slot, side, 3] = 1 << 30
        boxes[slot, side, 2] = boxes[slot, side, 4] = -1
    per_byte = 8 // depth
    per_word = 64 // depth
    pitch = stride * per_byte
    margin = lead * per_byte
    size = len(data) * per_byte
    count = len(data) // 8
    words = data[: count * 8].view(np.uint64)
    # The bytes after the last whole word.
    tail = np.uint64(0)
    for byte in range(count * 8, len(data)):
        tail |= np.uint64(data[byte]) << np.uint64(8 * (byte & 7))
    values = np.uint64((1 << depth) - 1)
    spread = _FULL // values
    start = 0
    while start < size:
        index = start // per_word
        pixel = start - index * per_word
        byte = pixel // per_byte
        place = (pixel - byte * per_byte) * depth
        word = words[index] if index < count else tail
        value = (word >> np.uint64(8 * byte + 8 - depth - place)) & values
        pattern = spread * value
        # Pixels before this one in its word do not count as a change.
        passed = np.uint64(0xFF00 >> place) & np.uint64(0xFF)
        passed = (passed << np.uint64(8 * byte)) | ~(_FULL << np.uint64(8 * byte))
        change = (word ^ pattern) & ~passed
        if change == np.uint64(0):
            index += 1
            # Blocks first: that loop has no exit, and an unsigned index cannot count
            # from the end, so that it becomes vector instructions.
            while index + _BLOCK <= count:
                any_change = np.uint64(0)
                base = np.uint64(index)
                for near in range(np.uint64(_BLOCK)):
                    any_change |= words[base + near] ^ pattern
                if any_change:
                    break
                index += _BLOCK
            while index < count and words[index] == pattern:
                index += 1
            change = (words[index] if index < count else tail) ^ pattern
        stop = size
        if change and index <= count:
            stop = min(index * per_word + _first_pixel(change, depth), size)
        slot = slots[np.int64(value)]
        if slot >= 0:
            top = start // pitch
            bottom = (stop - 1) // pitch
            for y in range(top, bottom + 1):
                first = start - y * pitch - margin if y == top else 0
                last = stop - 1 - y * pitch - margin if y == bottom else width - 1
                last = min(last, width - 1)  # Rows are padded to whole bytes.
                if first > last:
                    continue
                boxes[slot, side, 0] += last - first + 1
                boxes[slot, side, 1] = min(boxes[slot, side, 1], y)
                boxes[slot, side, 2] = max(boxes[slot, side, 2], y)
                boxes[slot, side, 3] = min(boxes[slot, side, 3], first)
                boxes[slot, side, 4] = max(boxes[slot, side, 4], last)
                low = first >> 6
                high = last >> 6
                head = _FULL << np.uint64(first & 63)
                end = _FULL >> np.uint64(63 - (last & 63))
                if low == high:
                    bits[slot, side, y, low] |= head & end
                else:
                    bits[slot, side, y, low] |= head
                    for middle in range(low + 1, high):
                        bits[slot, side, y, middle] = _FULL
                    bits[slot, side, y, high] |= end
        start = stop


@compiled(error_model="numpy")
def _trace(
    bits: Words, width: int, top: int, low: int, margin: int, guard: int, edges: Words
) -> int:
    """Draw a mask's boundary: pixels unlike their right, lower or diagonal neighbour.

    Outside the frame the last row and column are repeated, which gives the borders of
    the official `_seg2bmap`.

    Args:
        bits: H×words bitmap of the mask.
        width: Pixels in a row.
        top: First row to draw.
        low: First word of a row to draw.
        margin: Rows that are kept empty above and below.
        guard: Words that are kept empty left and right.
        edges: Rows×words, margins included; overwritten with the boundary.

    Returns:
        The number of boundary pixels.
    """
    height, words = bits.shape
    count = 0
    last = np.uint64((width - 1) & 63)
    edges[:] = np.uint64(0)
    for line in range(margin, edges.shape[0] - margin):
        y = top + line - margin
        below = min(y + 1, height - 1)
        for place in range(guard, edges.shape[1] - guard):
            word = low + place - guard
            here = bits[y, word]
            south = bits[below, word]
            east = here >> _ONE
            south_east = south >> _ONE
            if word + 1 < words:
                east |= bits[y, word + 1] << np.uint64(63)
                south_east |= bits[below, word + 1] << np.uint64(63)
            else:
                east |= here & (_ONE << last)
                south_east |= south & (_ONE << last)
            edge = (here ^ east) | (here ^ south) | (here ^ south_east)
            edges[line, place] = edge
            if edge:
                count += _popcount(edge)
    return count


@compiled(error_model="numpy")
def _match(
    edges: Words,
    others: Words,
    margin: int,
    windows: Ints,
    spans: Words,
    fine: int,
    coarse: int,
    counts: Ints,
) -> None:
    """Count the boundary pixels that have a pixel of the other boundary near.

    Args:
        edges: Rows×words bitmap of the boundary whose pixels are counted.
        others: Bitmap of the other boundary, on the same grid.
        margin: Empty rows above and below.
        windows: See `score_frame`.
        spans: See `score_frame`.
        fine: Index of the smaller disk.
        coarse: Index of the larger disk, which covers the smaller one.
        counts: Two int64, filled: pixels matched under `fine` and under `coarse`.
    """
    # No array is passed to another function here: its reference count would be changed
    # each time, and all threads would wait for it.
    stages = 1 if fine == coarse else 2
    matched = coarse_only = 0
    rows, words = edges.shape
    for y in range(margin, rows - margin):
        for word in range(words):
            left = edges[y, word]
            while left:
                x = word * 64 + _popcount((left & (~left + _ONE)) - _ONE)
                left &= left - _ONE
                for stage in range(stages):
                    disk = coarse if stage else fine
                    near = False
                    for index in range(windows.shape[1]):
                        span = spans[disk, index]
                        if span == np.uint64(0):
                            break
                        line = y + windows[disk, index, 0]
                        first = x + windows[disk, index, 1]
                        place = first >> 6
                        shift = np.uint64(first & 63)
                        here = others[line, place] >> shift
                        # Two steps, because a shift by 64 bits has no meaning.
                        here |= (others[line, place + 1] << _ONE) << (
                            np.uint64(63) - shift
                        )
                        if here & span:
                            near = True
                            break
                    if near:
                        if stage:
                            coarse_only += 1
                        else:
                            matched += 1
                        break
    counts[0] = matched
    counts[1] = matched + coarse_only


@compiled(error_model="numpy")
def _f_measure(
    matched_prediction: int, matched_truth: int, n_prediction: int, n_truth: int
) -> float:
    """F of two boundaries, with the official operations in the official order."""
    if n_prediction == 0 and n_truth == 0:
        return 1.0
    if n_prediction == 0 or n_truth == 0:
        return 0.0
    precision = matched_prediction / n_prediction
    recall = matched_truth / n_truth
    if precision + recall == 0:
        return 0.0
    return 2 * precision * recall / (precision + recall)


@compiled(error_model="numpy")
def score_frame(
    truth: Labels,
    prediction: Labels,
    formats: Ints,
    slots: Ints,
    width: int,
    windows: Ints,
    spans: Words,
    limit: float,
    smoothing: int,
    bits: Words,
    boxes: Ints,
    edges: Words,
    scores: NDArray[np.float64],
) -> None:
    """Score all objects of one frame.

    A disk is a list of windows, nearest rows first: row and first column, relative to
    the disk's middle, and as many low bits set as the window is wide, at most 64. No
    bit set ends the list.

    Args:
        truth: Flat uint8, 8-byte aligned: rows of packed pixels.
        prediction: As `truth`.
        formats: 2×3: stride, lead and depth of both maps; see `_scan`.
        slots: 2×256: slots of both maps; see `_scan`.
        width: Pixels in a row.
        windows: K×windows×2 rows and columns. Disk 0 is the official one of a radius
            that need not be an integer, disk i > 0 that of radius i; the last one is
            the largest.
        spans: K×windows bits.
        limit: 0.008 times the frame's diagonal: a boundary width below it is used as
            it is, any other means disk 0. A negative limit stands for the classic
            measure, the largest disk for everything.
        smoothing: Added to intersection and union: 1 for MOSEv2, 0 for DAVIS.
        bits: N×2×H×words uint64, all zero, and all zero again afterwards.
        boxes: N×2×BOX int64 to work in.
        edges: 2×`room` uint64 to work in.
        scores: N×4 float64, filled: J, Ḟ, F and 1 where the truth is empty.
    """
    for side in range(2):
        _scan(
            prediction if side else truth,
            formats[side, 0],
            formats[side, 1],
            formats[side, 2],
            width,
            slots[side],
            side,
            bits,
            boxes,
        )
    counts = np.empty((2, 2), np.int64)
    largest = len(spans) - 1
    margin = largest
    guard = margin // 64 + 1
    for slot in range(len(boxes)):
        area = boxes[slot, 0, 0]
        scores[slot, 3] = 1.0 if area == 0 else 0.0
        if area + boxes[slot, 1, 0] == 0:
            scores[slot, :3] = 1.0
            continue
        # A boundary reaches one pixel up and left of its mask.
        top = max(min(boxes[slot, 0, 1], boxes[slot, 1, 1]) - 1, 0)
        bottom = max(boxes[slot, 0, 2], boxes[slot, 1, 2])
        low = max(min(boxes[slot, 0, 3], boxes[slot, 1, 3]) - 1, 0) >> 6
        high = max(boxes[slot, 0, 4], boxes[slot, 1, 4]) >> 6
        common = 0
        for y in range(top, bottom + 1):
            for word in range(low, high + 1):
                both = bits[slot, 0, y, word] & bits[slot, 1, y, word]
                common += _popcount(both)
        union = area + boxes[slot, 1, 0] - common
        scores[slot, 0] = (common + smoothing) / (union + smoothing)
        fine = 0
        coarse = 0
        if limit < 0:
            fine = coarse = largest
        elif area > 0:
            reach = math.ceil(_ADAPTIVE * math.sqrt(area))
            if reach < limit:
                fine = int(reach)
                coarse = largest
        shape = (bottom - top + 1 + 2 * margin, high - low + 1 + 2 * guard)
        truth_edges = edges[0, : shape[0] * shape[1]].reshape(shape)
        prediction_edges = edges[1, : shape[0] * shape[1]].reshape(shape)
        n_truth = _trace(bits[slot, 0], width, top, low, margin, guard, truth_edges)
        n_prediction = _trace(
            bits[slot, 1], width, top, low, margin, guard, prediction_edges
        )
        counts[:] = 0
        if n_truth > 0 and n_prediction > 0:
            _match(
                truth_edges,
                prediction_edges,
                margin,
                windows,
                spans,
                fine,
                coarse,
                counts[0],
            )
            _match(
                prediction_edges,
                truth_edges,
                margin,
                windows,
                spans,
                fine,
                coarse,
                counts[1],
            )
        for place in range(2):
            scores[slot, 1 + place] = _f_measure(
                counts[1, place], counts[0, place], n_prediction, n_truth
            )
        bits[slot, :, top : bottom + 1, low : high + 1] = np.uint64(0)
