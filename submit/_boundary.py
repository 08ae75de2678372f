"""Compiled kernels of `metrics`: one pair of label maps in, counts and matches out.

A frame is read once. Its horizontal runs of equal labels give every object's areas,
intersection and box, and set the object's pixels in a bitmap of 64-bit words. The
boundary of a mask is then a few shifts and exclusive-ors on words, and "is there a
boundary of the other mask within the disk" is, for each boundary pixel, a look at one
window of bits per row of the disk, from the middle row outwards.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["BOX", "score_frame"]

#: Columns of the table that `_scan` fills, one row per object: pixels of the truth, of
#: the prediction and of both; then for truth and for prediction the first and last row
#: and the first and last column (empty while the first exceeds the last).
BOX = 11

Words: TypeAlias = NDArray[np.uint64]
Labels: TypeAlias = NDArray[np.uint8]
Ints: TypeAlias = NDArray[np.int64]

F = TypeVar("F", bound=Callable[..., Any])

_FULL = np.uint64(0xFFFFFFFFFFFFFFFF)
_ONE = np.uint64(1)


def _compile(function: F) -> F:
    """Compile without the interpreter lock, and keep the result on disk."""
    compiled: F = njit(nogil=True, cache=True, error_model="numpy")(function)
    return compiled


@_compile
def _popcount(word: Any) -> Any:
    """Count the set bits of a 64-bit word; LLVM makes one instruction of this."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + (
        (word >> np.uint64(2)) & np.uint64(0x3333333333333333)
    )
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@_compile
def _set_bits(row: Words, first: int, last: int) -> None:
    """Set the bits `first` to `last` of a row of words."""
    low = first >> 6
    high = last >> 6
    head = _FULL << np.uint64(first & 63)
    tail = _FULL >> np.uint64(63 - (last & 63))
    if low == high:
        row[low] |= head & tail
        return
    row[low] |= head
    for index in range(low + 1, high):
        row[index] = _FULL
    row[high] |= tail


@_compile
def _add_run(
    bits: Words, box: Ints, side: int, start: int, stop: int, width: int
) -> None:
    """Enter the pixels `start` to `stop` (flat, half-open) of one object.

    Args:
        bits: H×words bitmap of the object in this map.
        box: The object's row of the table.
        side: 0 for the truth, 1 for the prediction.
        start: First pixel.
        stop: One past the last pixel.
        width: Pixels in a row.
    """
    top = start // width
    bottom = (stop - 1) // width
    left = start - top * width
    right = stop - 1 - bottom * width
    box[side] += stop - start
    if top == bottom:
        _set_bits(bits[top], left, right)
    else:
        _set_bits(bits[top], left, width - 1)
        for y in range(top + 1, bottom):
            _set_bits(bits[y], 0, width - 1)
        _set_bits(bits[bottom], 0, right)
        left = 0
        right = width - 1
    corner = 3 + 4 * side
    box[corner] = min(box[corner], top)
    box[corner + 1] = max(box[corner + 1], bottom)
    box[corner + 2] = min(box[corner + 2], left)
    box[corner + 3] = max(box[corner + 3], right)


@_compile
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
        for column in range(BOX):
            boxes[slot, column] = 0
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
    index = 0
    while index <= words:
        # Words that only continue the run need no look at their pixels; eight at once
        # are one step of the machine's widest unit.
        while index + 8 <= words:
            change = np.uint64(0)
            for near in range(8):
                change |= truth_words[index + near] ^ t_word
                change |= prediction_words[index + near] ^ p_word
            if change:
                break
            index += 8
        while index < words and (
            (truth_words[index] ^ t_word) | (prediction_words[index] ^ p_word)
        ) == np.uint64(0):
            index += 1
        for x in range(index * 8, min(index * 8 + 8, size)):
            if truth[x] == t and prediction[x] == p:
                continue
            _close_run(slots, bits, boxes, t, p, start, x, width)
            start = x
            t = truth[x]
            p = prediction[x]
        t_word = spread * np.uint64(t)
        p_word = spread * np.uint64(p)
        index += 1
    _close_run(slots, bits, boxes, t, p, start, size, width)


@_compile
def _close_run(
    slots: Ints,
    bits: Words,
    boxes: Ints,
    t: Any,
    p: Any,
    start: int,
    stop: int,
    width: int,
) -> None:
    """Enter a run of pixels that are all `t` in truth and `p` in prediction."""
    slot = slots[t]
    if slot >= 0:
        _add_run(bits[slot, 0], boxes[slot], 0, start, stop, width)
        if t == p:
            boxes[slot, 2] += stop - start
    slot = slots[p]
    if slot >= 0:
        _add_run(bits[slot, 1], boxes[slot], 1, start, stop, width)


@_compile
def _trace(
    bits: Words, width: int, top: int, bottom: int, low: int, high: int, edges: Words
) -> int:
    """Draw a mask's boundary: pixels unlike their right, lower or diagonal neighbour.

    Outside the frame the last row and column go on, which is what the borders of the
    official `_seg2bmap` come to.

    Args:
        bits: H×words bitmap of the mask.
        width: Pixels in a row.
        top: First row to draw.
        bottom: Last row to draw.
        low: First word of a row to draw.
        high: Last word of a row to draw.
        edges: Rows×words; overwritten with the boundary, `top` and `low` at its origin.

    Returns:
        The number of boundary pixels.
    """
    height, words = bits.shape
    count = 0
    last = np.uint64((width - 1) & 63)
    for y in range(top, bottom + 1):
        row = bits[y]
        below = bits[min(y + 1, height - 1)]
        for word in range(low, high + 1):
            here = row[word]
            south = below[word]
            east = here >> _ONE
            south_east = south >> _ONE
            if word + 1 < words:
                east |= row[word + 1] << np.uint64(63)
                south_east |= below[word + 1] << np.uint64(63)
            else:
                east |= here & (_ONE << last)
                south_east |= south & (_ONE << last)
            edge = (here ^ east) | (here ^ south) | (here ^ south_east)
            edges[y - top, word - low] = edge
            if edge != np.uint64(0):
                count += _popcount(edge)
    return count


@_compile
def _any_bit(bits: Words, y: int, first: int, last: int) -> bool:
    """Whether row `y` has a bit set in `first` to `last`, which may reach outside."""
    first = max(first, 0)
    last = min(last, bits.shape[1] * 64 - 1)
    if first > last:
        return False
    low = first >> 6
    high = last >> 6
    head = _FULL << np.uint64(first & 63)
    tail = _FULL >> np.uint64(63 - (last & 63))
    if low == high:
        return (bits[y, low] & head & tail) != np.uint64(0)
    if (bits[y, low] & head) | (bits[y, high] & tail):
        return True
    for word in range(low + 1, high):
        if bits[y, word]:
            return True
    return False


@_compile
def _nearness(
    edges: Words, y: int, x: int, kernels: Ints, fine: int, coarse: int
) -> int:
    """Say whether a boundary has a pixel under two disks placed at (`y`, `x`).

    Args:
        edges: Rows×words bitmap of the boundary.
        y: Row.
        x: Column.
        kernels: K×rows×3 rows (dy, first dx, last dx), nearest rows first; a row with
            first > last ends a disk.
        fine: Index of the smaller disk; its rows are among the first of `coarse`.
        coarse: Index of the larger disk.

    Returns:
        2 for a pixel under the smaller disk, else 1 for one under the larger, else 0.
    """
    found = 0
    for index in range(kernels.shape[1]):
        if kernels[coarse, index, 1] > kernels[coarse, index, 2]:
            break
        in_fine = kernels[fine, index, 1] <= kernels[fine, index, 2]
        if found and not in_fine:
            break
        line = y + kernels[coarse, index, 0]
        if line < 0 or line >= edges.shape[0]:
            continue
        if _any_bit(
            edges, line, x + kernels[coarse, index, 1], x + kernels[coarse, index, 2]
        ):
            found = 1
            if in_fine and (
                fine == coarse
                or _any_bit(
                    edges,
                    line,
                    x + kernels[fine, index, 1],
                    x + kernels[fine, index, 2],
                )
            ):
                return 2
    return found


@_compile
def _match(
    edges: Words, others: Words, kernels: Ints, fine: int, coarse: int, counts: Ints
) -> None:
    """Count the boundary pixels that have a pixel of the other boundary near.

    Args:
        edges: Rows×words bitmap of the boundary whose pixels are counted.
        others: Bitmap of the other boundary, on the same grid.
        kernels: K×rows×3, see `_nearness`.
        fine: Index of the smaller disk.
        coarse: Index of the larger disk.
        counts: Two int64, filled: pixels matched under `fine` and under `coarse`.
    """
    counts[0] = 0
    counts[1] = 0
    rows, words = edges.shape
    for y in range(rows):
        for word in range(words):
            left = edges[y, word]
            while left:
                x = word * 64 + _popcount((left & (~left + _ONE)) - _ONE)
                left &= left - _ONE
                near = _nearness(others, y, x, kernels, fine, coarse)
                counts[0] += near >> 1
                counts[1] += near > 0


@_compile
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


@_compile
def score_frame(
    truth: Labels,
    prediction: Labels,
    width: int,
    slots: Ints,
    kernels: Ints,
    limit: float,
    smoothing: int,
    bits: Words,
    boxes: Ints,
    edges: Words,
    scores: NDArray[np.float64],
) -> None:
    """Score all objects of one frame.

    Args:
        truth: Flat uint8 labels, 8-byte aligned.
        prediction: As `truth`.
        width: Pixels in a row.
        slots: 256 int64: the object's index, or -1 for labels that are not scored.
        kernels: Disks for `_nearness`, K×rows×3: 0 is the official disk of a
            non-integer radius, i > 0 the disk of radius i; the last one is the largest.
        limit: 0.008 times the frame's diagonal: a boundary width below it is used as
            it is, any other means kernel 0. A negative limit stands for the classic
            measure, the largest kernel for everything.
        smoothing: Added to intersection and union: 1 for MOSEv2, 0 for DAVIS.
        bits: N×2×H×words uint64, all zero, and all zero again afterwards.
        boxes: N×BOX int64 to work in.
        edges: 2×H×words uint64 to work in.
        scores: N×4 float64, filled: J, Ḟ, F and 1 where the truth is empty.
    """
    _scan(truth, prediction, width, slots, bits, boxes)
    height = bits.shape[2]
    counts = np.empty(2, np.int64)
    for slot in range(len(boxes)):
        box = boxes[slot]
        union = box[0] + box[1] - box[2]
        scores[slot, 0] = (
            1.0 if union == 0 else (box[2] + smoothing) / (union + smoothing)
        )
        scores[slot, 3] = 1.0 if box[0] == 0 else 0.0
        if union == 0:
            scores[slot, 1] = 1.0
            scores[slot, 2] = 1.0
            continue
        fine = 0
        coarse = 0
        if limit < 0:
            fine = coarse = len(kernels) - 1
        elif box[0] > 0:
            reach = math.ceil(0.1 * math.sqrt(box[0]))
            if reach < limit:
                fine = int(reach)
                coarse = len(kernels) - 1
        # A boundary reaches one pixel up and left of its mask.
        top = max(min(box[3], box[7]) - 1, 0)
        bottom = max(box[4], box[8])
        low = max(min(box[5], box[9]) - 1, 0) >> 6
        high = max(box[6], box[10]) >> 6
        shape = (bottom - top + 1, high - low + 1)
        truth_edges = edges[0].ravel()[: shape[0] * shape[1]].reshape(shape)
        prediction_edges = edges[1].ravel()[: shape[0] * shape[1]].reshape(shape)
        n_truth = _trace(bits[slot, 0], width, top, bottom, low, high, truth_edges)
        n_prediction = _trace(
            bits[slot, 1], width, top, bottom, low, high, prediction_edges
        )
        fine_truth = coarse_truth = fine_prediction = coarse_prediction = 0
        if n_truth > 0 and n_prediction > 0:
            _match(truth_edges, prediction_edges, kernels, fine, coarse, counts)
            fine_truth, coarse_truth = counts
            _match(prediction_edges, truth_edges, kernels, fine, coarse, counts)
            fine_prediction, coarse_prediction = counts
        scores[slot, 1] = _f_measure(fine_prediction, fine_truth, n_prediction, n_truth)
        scores[slot, 2] = _f_measure(
            coarse_prediction, coarse_truth, n_prediction, n_truth
        )
        for side in range(2):
            for y in range(top, bottom + 1):
                for word in range(low, high + 1):
                    bits[slot, side, y, word] = np.uint64(0)
