"""Resizing, the overlap rule and rounding to codes: compiled loops over pixels.

Kept apart from `masks` so that importing that module does not import the compiler.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..system.compiled import compiled

__all__ = ["bilinear", "encode", "winners"]


@compiled()
def encode(logits: NDArray[np.float32], codes: NDArray[np.int8]) -> bool:
    """Write the code of the nearest value of `codes.VALUES` for each of n logits.

    With |l| = (m − 16)/64, a value is an m of five significant bits, so that rounding
    is done on the bits of the float32 m, and the code is a part of them.

    Returns:
        Whether all logits are numbers; others get any code.
    """
    numbers = True
    for i in range(len(logits)):
        logit = logits[i]
        numbers &= logit == logit
        # 3968 = 64·61.75 + 16
        scaled = min(abs(logit) * np.float32(64) + np.float32(16), np.float32(3968))
        code = ((np.float32(scaled).view(np.int32) + 0x40000) >> 19) - (131 << 4)
        codes[i] = np.int8(code if logit > 0 else -code)
    return numbers


@compiled()
def _taps(source: int, target: int) -> Any:
    """For each target pixel, the two source pixels around it and the weight.

    Pixel centres are aligned: target i lies at (i + 0.5)·source/target − 0.5, clamped
    to the source (the convention of torch's `interpolate(align_corners=False)`).
    """
    low = np.empty(target, np.int64)
    high = np.empty(target, np.int64)
    weight = np.empty(target, np.float32)
    for i in range(target):
        place = max((i + 0.5) * source / target - 0.5, 0.0)
        low[i] = min(int(place), source - 1)
        high[i] = min(low[i] + 1, source - 1)
        weight[i] = place - low[i]
    return low, high, weight


@compiled()
def bilinear(
    logits: NDArray[np.float32], height: int, width: int
) -> NDArray[np.float32]:
    """Resize N×h×w float32 to N×height×width."""
    count, rows, columns = logits.shape
    top, bottom, down = _taps(rows, height)
    left, right, across = _taps(columns, width)
    result = np.empty((count, height, width), np.float32)
    line = np.empty(columns, np.float32)
    for n in range(count):
        for y in range(height):
            upper, lower, v = logits[n, top[y]], logits[n, bottom[y]], down[y]
            for x in range(columns):
                line[x] = upper[x] + (lower[x] - upper[x]) * v
            for x in range(width):
                a = line[left[x]]
                result[n, y, x] = a + (line[right[x]] - a) * across[x]
    return result


@compiled()
def winners(
    codes: NDArray[np.int8],
    values: NDArray[np.float32],
    objects: NDArray[np.uint8],
    height: int,
    width: int,
) -> NDArray[np.uint8]:
    """Resize and apply the overlap rule in one pass.

    Only the part of a row where an object can be positive is computed: between source
    pixels that are not positive, the bilinear value is not positive either.

    Args:
        codes: N×h×w codes of logits.
        values: The values of the codes, in ascending order.
        objects: The N ids.
        height: Rows of the result.
        width: Columns of the result.

    Returns:
        height×width uint8 labels; of equal logits the earlier object wins.
    """
    count, rows, columns = codes.shape
    top, bottom, down = _taps(rows, height)
    left, right, across = _taps(columns, width)
    result = np.zeros((height, width), np.uint8)
    best = np.empty(width, np.float32)
    line = np.empty(columns, np.float32)
    # The highest code whose value is not positive.
    floor = np.searchsorted(values, np.float32(0), side="right") - 129
    # First and last positive column of every row; (width, −1) without any.
    first = np.full((count, rows), columns, np.int64)
    last = np.full((count, rows), -1, np.int64)
    for n in range(count):
        for y in range(rows):
            for x in range(columns):
                if codes[n, y, x] > floor:
                    first[n, y] = x
                    break
            if first[n, y] < columns:
                for x in range(columns - 1, -1, -1):
                    if codes[n, y, x] > floor:
                        last[n, y] = x
                        break
    # The two current rows of each object; the row y is at y % 2.
    decoded = np.empty((count, 2, columns), np.float32)
    held = np.full((count, 2), -1, np.int64)
    for y in range(height):
        best[:] = 0
        for n in range(count):
            begin = min(first[n, top[y]], first[n, bottom[y]])
            end = max(last[n, top[y]], last[n, bottom[y]])
            if end < begin:
                continue
            for row in (top[y], bottom[y]):
                if held[n, row % 2] != row:
                    held[n, row % 2] = row
                    _decode(codes[n, row], values, decoded[n, row % 2])
            upper, lower = decoded[n, top[y] % 2], decoded[n, bottom[y] % 2]
            begin, end = max(begin - 1, 0), min(end + 1, columns - 1)
            v = down[y]
            for x in range(begin, end + 1):
                line[x] = upper[x] + (lower[x] - upper[x]) * v
            # Target columns both of whose source columns lie in [begin, end].
            start = np.searchsorted(left, begin)
            stop = np.searchsorted(right, end, side="right")
            for x in range(start, stop):
                a = line[left[x]]
                value = a + (line[right[x]] - a) * across[x]
                if value > best[x]:
                    best[x] = value
                    result[y, x] = objects[n]
    return result


@compiled()
def _decode(
    row: NDArray[np.int8], values: NDArray[np.float32], out: NDArray[np.float32]
) -> None:
    """Write the logits of a row of codes."""
    for x in range(len(row)):
        out[x] = values[int(row[x]) + 128]
