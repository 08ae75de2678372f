"""Compiled kernels of `metrics`: one pair of label maps in, counts and matches out.

A frame is read once. Its horizontal runs of equal labels give every object's areas,
intersection and box, and set the object's pixels in a bitmap of 64-bit words. The
boundary of a mask is then a few shifts and exclusive-ors on words, and "is there a
boundary of the other mask within the disk" is, for each boundary pixel, a look at one
window of bits for each row of the disk, from the middle row outwards.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["BOX", "room", "score_frame"]

#: Columns of the table that `_scan` fills, one row per object: pixels of the truth, of
#: the prediction and of both; then for truth and for prediction the first and last row
#: and the first and last column (empty while the first exceeds the last).
BOX = 11

Words: TypeAlias = NDArray[np.uint64]
Labels: TypeAlias = NDArray[np.uint8]
Ints: TypeAlias = NDArray[np.int64]

_FULL = np.uint64(0xFFFFFFFFFFFFFFFF)
_ONE = np.uint64(1)

#: Words of labels that are compared before the first look at the result.
_BLOCK = 64


def room(height: int, width: int, largest: int) -> int:
    """Words that the boundary of a frame takes, with margins for the largest disk.

    Args:
        height: Rows.
        width: Columns.
        largest: Radius of the largest disk, which is also its index.
    """
    return (height + 2 * largest) * (-(-width // 64) + 2 * (largest // 64 + 1))


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _popcount(word: Any) -> Any:
    """Count the set bits of a 64-bit word; LLVM makes one instruction of this."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + (
        (word >> np.uint64(2)) & np.uint64(0x3333333333333333)
    )
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@njit(cache=True, nogil=True, error_model="numpy")
def _scan(
    truth: Labels,
    prediction: Labels,
    width: int,
    slots: Ints,
    bits: Words,
    boxes: Ints,
) -> None:
    """Find all objects of both maps in one pass over their runs.

    Args:
        truth: Flat uint8 labels, 8-byte aligned.
        prediction: As `truth`.
        width: Pixels in a row.
        slots: 256 int64: the object's index, or -1 for labels that are not scored.
        bits: N×2×H×words uint64 zeros; filled with the objects' pixels.
        boxes: N×BOX int64; filled.
    """
    for slot in range(len(boxes)):
        boxes[slot, :3] = 0
        for side in range(2):
            boxes[slot, 3 + 4 * side] = 1 << 30
            boxes[slot, 4 + 4 * side] = -1
            boxes[slot, 5 + 4 * side] = 1 << 30
            boxes[slot, 6 + 4 * side] = -1
    size = len(truth)
    words = size // 8
    truth_words = truth[: words * 8].view(np.uint64)
    prediction_words = prediction[: words * 8].view(np.uint64)
    spread = np.uint64(0x0101010101010101)
    start = 0
    t = truth[0]
    p = prediction[0]
    t_word = spread * np.uint64(t)
    p_word = spread * np.uint64(p)
    while start < size:
        stop = start + 1
        while stop & 7 and stop < size and truth[stop] == t and prediction[stop] == p:
            stop += 1
        if not stop & 7:
            # Words that only continue the run need no look at their pixels. Blocks of
            # words first: that loop has no way out, and becomes vector instructions.
            index = stop >> 3
            while index + _BLOCK <= words:
                change = np.uint64(0)
                for near in range(index, index + _BLOCK):
                    change |= (truth_words[near] ^ t_word) | (
                        prediction_words[near] ^ p_word
                    )
                if change:
                    break
                index += _BLOCK
            while index < words and (
                (truth_words[index] ^ t_word) | (prediction_words[index] ^ p_word)
            ) == np.uint64(0):
                index += 1
            stop = index * 8
            while stop < size and truth[stop] == t and prediction[stop] == p:
                stop += 1
        _enter_run(slots, bits, boxes, t, p, start, stop, width)
        start = stop
        if start < size:
            t = truth[start]
            p = prediction[start]
            t_word = spread * np.uint64(t)
            p_word = spread * np.uint64(p)


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _enter_run(
    slots: Ints,
    bits: Words,
    boxes: Ints,
    t: Any,
    p: Any,
    start: int,
    stop: int,
    width: int,
) -> None:
    """Enter the pixels `start` to `stop`: all `t` in truth and `p` in prediction."""
    for side in range(2):
        slot = slots[p] if side else slots[t]
        if slot < 0:
            continue
        boxes[slot, side] += stop - start
        if side and t == p:
            boxes[slot, 2] += stop - start
        top = start // width
        bottom = (stop - 1) // width
        left = start - top * width
        right = stop - 1 - bottom * width
        for y in range(top, bottom + 1):
            first = left if y == top else 0
            last = right if y == bottom else width - 1
            low = first >> 6
            high = last >> 6
            head = _FULL << np.uint64(first & 63)
            tail = _FULL >> np.uint64(63 - (last & 63))
            if low == high:
                bits[slot, side, y, low] |= head & tail
            else:
                bits[slot, side, y, low] |= head
                for word in range(low + 1, high):
                    bits[slot, side, y, word] = _FULL
                bits[slot, side, y, high] |= tail
        if top < bottom:
            left = 0
            right = width - 1
        corner = 3 + 4 * side
        boxes[slot, corner] = min(boxes[slot, corner], top)
        boxes[slot, corner + 1] = max(boxes[slot, corner + 1], bottom)
        boxes[slot, corner + 2] = min(boxes[slot, corner + 2], left)
        boxes[slot, corner + 3] = max(boxes[slot, corner + 3], right)


@njit(cache=True, nogil=True, error_model="numpy")
def _trace(
    bits: Words, width: int, top: int, low: int, margin: int, guard: int, edges: Words
) -> int:
    """Draw a mask's boundary: pixels unlike their right, lower or diagonal neighbour.

    Outside the frame the last row and column go on, which is what the borders of the
    official `_seg2bmap` come to.

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


@njit(cache=True, nogil=True, error_model="numpy")
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
        counts: Two int64 zeros, filled: pixels matched under `fine` and under `coarse`.
    """
    # No array may be handed to another function here: each time its references would
    # be counted, by all threads in turn.
    stages = 1 if fine == coarse else 2
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
                        counts[stage:] += 1
                        break
    if stages == 1:
        counts[1] = counts[0]


@njit(cache=True, nogil=True, error_model="numpy")
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


@njit(cache=True, nogil=True, error_model="numpy")
def score_frame(
    truth: Labels,
    prediction: Labels,
    width: int,
    slots: Ints,
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
        truth: Flat uint8 labels, 8-byte aligned.
        prediction: As `truth`.
        width: Pixels in a row.
        slots: 256 int64: the object's index, or -1 for labels that are not scored.
        windows: K×windows×2 rows and columns. Disk 0 is the official one of a radius
            that need not be an integer, disk i > 0 that of radius i; the last one is
            the largest.
        spans: K×windows bits.
        limit: 0.008 times the frame's diagonal: a boundary width below it is used as
            it is, any other means disk 0. A negative limit stands for the classic
            measure, the largest disk for everything.
        smoothing: Added to intersection and union: 1 for MOSEv2, 0 for DAVIS.
        bits: N×2×H×words uint64, all zero, and all zero again afterwards.
        boxes: N×BOX int64 to work in.
        edges: 2×`room` uint64 to work in.
        scores: N×4 float64, filled: J, Ḟ, F and 1 where the truth is empty.
    """
    _scan(truth, prediction, width, slots, bits, boxes)
    counts = np.empty((2, 2), np.int64)
    largest = len(spans) - 1
    margin = largest
    guard = margin // 64 + 1
    for slot in range(len(boxes)):
        box = boxes[slot]
        union = box[0] + box[1] - box[2]
        scores[slot, 3] = 1.0 if box[0] == 0 else 0.0
        if union == 0:
            scores[slot, :3] = 1.0
            continue
        scores[slot, 0] = (box[2] + smoothing) / (union + smoothing)
        fine = 0
        coarse = 0
        if limit < 0:
            fine = coarse = largest
        elif box[0] > 0:
            reach = math.ceil(0.1 * math.sqrt(box[0]))
            if reach < limit:
                fine = int(reach)
                coarse = largest
        # A boundary reaches one pixel up and left of its mask.
        top = max(min(box[3], box[7]) - 1, 0)
        bottom = max(box[4], box[8])
        low = max(min(box[5], box[9]) - 1, 0) >> 6
        high = max(box[6], box[10]) >> 6
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
