"""Compiled loops over pixels that merge the members of an ensemble.

They are in a module of their own, so that importing the methods does not import numba.
Logits are int8 codes, as in a soft file. Tables of 256 have the value of code c at
c + 128. Results are computed in float64 and rounded to the nearest code.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..masks.resample import encode
from ..system.compiled import compiled

__all__ = [
    "count_pairs",
    "look_up",
    "mean",
    "mean_of_odds",
    "occurring",
    "round_with_votes",
    "tally",
    "weighted_sum",
]


@compiled()
def mean(stack: NDArray[np.int8], weights: NDArray[np.float64]) -> NDArray[np.int8]:
    """Weighted mean of the logits of M×h×w codes; the weights sum to 1.

    Logits are clipped to ±16 first.
    """
    height, width = stack.shape[1:]
    result = np.empty((height, width), np.int8)
    line = np.empty(width, np.float64)
    logits = np.empty(width, np.float32)
    for y in range(height):
        _add_up(stack, weights, y, line)
        logits[:] = line
        encode(logits, result[y])
        _keep_equal(stack, y, result[y])
    return result


@compiled()
def weighted_sum(
    stack: NDArray[np.int8], weights: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Weighted sum of the logits of M×h×w codes; see `mean`."""
    height, width = stack.shape[1:]
    result = np.empty((height, width), np.float32)
    line = np.empty(width, np.float64)
    for y in range(height):
        _add_up(stack, weights, y, line)
        result[y] = line
    return result


@compiled()
def _add_up(
    stack: NDArray[np.int8],
    weights: NDArray[np.float64],
    y: int,
    line: NDArray[np.float64],
) -> None:
    """Write the weighted sum of row `y` over all members, in their order, to `line`."""
    line[:] = 0
    for m in range(len(stack)):
        weight, row = weights[m] / 64, stack[m, y]
        for x in range(len(line)):
            # The value of the code, times 64. It is computed because a processor can
            # compute many pixels at once, but looks up a table for one at a time.
            code = int(row[x])
            size = abs(code)
            value = min(((16 + (size & 15)) << (size >> 4)) - 16, 16 * 64)
            line[x] += weight * (value if code > 0 else -value)


@compiled()
def _keep_equal(stack: NDArray[np.int8], y: int, out: NDArray[np.int8]) -> None:
    """Copy pixels of row `y` in which all members are equal, without rounding."""
    first = stack[0, y]
    differing = np.zeros(len(out), np.int8)
    for m in range(1, len(stack)):
        row = stack[m, y]
        for x in range(len(out)):
            differing[x] |= row[x] ^ first[x]
    for x in range(len(out)):
        out[x] = out[x] if differing[x] else first[x]


@compiled()
def mean_of_odds(
    stack: NDArray[np.int8],
    inside: NDArray[np.float64],
    outside: NDArray[np.float64],
    bins: NDArray[np.uint8],
    edges: NDArray[np.float32],
) -> NDArray[np.int8]:
    """Weighted mean of the probabilities of M×h×w codes, as codes.

    The logit of a mean probability p is log(p / (1 − p)). Its code is found without a
    logarithm, by comparing the odds p / (1 − p) with the odds at which the code
    changes. The first 16 bits of the odds as float32 leave two candidates.

    Args:
        stack: The members' codes.
        inside: M×256 probabilities p, times the members' weights.
        outside: M×256 probabilities 1 − p, times the members' weights; computed
            directly, since subtracting from 1 loses digits.
        bins: For each value of the 16 bits, the number of edges that are at most the
            smallest odds with these bits.
        edges: The 254 odds at which the code changes, ascending, and +∞.
    """
    members, height, width = stack.shape
    result = np.empty((height, width), np.int8)
    for y in range(height):
        out = result[y]
        for x in range(width):
            first = stack[0, y, x]
            same = True
            for m in range(1, members):
                same = same and stack[m, y, x] == first
            if same:  # True for most pixels; the result is exact.
                out[x] = first
                continue
            yes = no = 0.0
            for m in range(members):
                place = int(stack[m, y, x]) + 128
                yes += inside[m, place]
                no += outside[m, place]
            odds = np.float32(yes / no)
            low = bins[odds.view(np.int32) >> 16]
            out[x] = np.int8(int(low) + int(odds >= edges[low]) - 127)
    return result


#: Pixels that are compared together; in most blocks all members have one label.
_BLOCK = 64


@compiled()
def round_with_votes(
    logits: NDArray[np.float32],
    labels: NDArray[np.uint8],
    key: int,
    weights: NDArray[np.float64],
    high: float,
) -> NDArray[np.int8]:
    """Add the label maps' logits of one object to H×W logits, and round to codes.

    Args:
        logits: The weighted sum of the logits of the soft members.
        labels: M×H×W label maps; a pixel has the logit `high` where its label is
            `key`, otherwise `-high`.
        key: The object id.
        weights: M weights.
        high: The logit of a pixel of the object.
    """
    members, height, width = labels.shape
    result = np.empty((height, width), np.int8)
    outside = np.float32(-high * weights.sum())
    gains = (2 * high * weights).astype(np.float32)
    line = np.empty(width, np.float32)
    for y in range(height):
        row, out = logits[y], result[y]
        for x in range(width):
            line[x] = row[x] + outside
        for m in range(members):
            gain, votes = gains[m], labels[m, y]
            for x in range(width):
                line[x] += gain if votes[x] == key else np.float32(0)
        encode(line, out)
    return result


@compiled()
def look_up(
    labels: NDArray[np.uint8], objects: NDArray[np.uint8], table: NDArray[np.int8]
) -> NDArray[np.int8]:
    """Merge label maps with a table of the results for all combinations of members.

    Args:
        labels: M×H×W label maps.
        objects: The N object ids.
        table: N×2^M codes: the result for each object and each combination of
            members. Bit m of the column is set if member m has the object in the pixel.

    Returns:
        N×H×W codes.
    """
    members, height, width = labels.shape
    count = len(objects)
    result = np.empty((count, height, width), np.int8)
    line = np.empty(_BLOCK, np.int64)
    for n in range(count):
        result[n] = table[n, 0]
    for y in range(height):
        for start in range(0, width, _BLOCK):
            stop = min(start + _BLOCK, width)
            seen = np.uint8(0)
            for m in range(members):
                row = labels[m, y]
                for x in range(start, stop):
                    seen |= row[x]
            if seen == 0:
                continue
            for n in range(count):
                key = objects[n]
                line[:] = 0
                for m in range(members):
                    row = labels[m, y]
                    for x in range(start, stop):
                        line[x - start] |= int(row[x] == key) << m
                for x in range(start, stop):
                    result[n, y, x] = table[n, line[x - start]]
    return result


@compiled()
def count_pairs(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Count the pairs of labels in two H×W label maps; returns 256×256 counts."""
    height, width = one.shape
    counts = np.zeros((256, 256), np.int64)
    for y in range(height):
        a, b, run = one[y, 0], other[y, 0], 0
        for x in range(width):
            if one[y, x] != a or other[y, x] != b:
                counts[a, b] += run
                a, b, run = one[y, x], other[y, x], 0
            run += 1
        counts[a, b] += run
    return counts


@compiled()
def occurring(labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return 256 flags: whether each label occurs in an H×W label map."""
    height, width = labels.shape
    result = np.zeros(256, np.bool_)
    for y in range(height):
        row = labels[y]
        for start in range(0, width, _BLOCK):
            stop = min(start + _BLOCK, width)
            first = row[start]
            result[first] = True
            differing = np.uint8(0)
            for x in range(start, stop):
                differing |= row[x] ^ first
            if differing != 0:
                for x in range(start, stop):
                    result[row[x]] = True
    return result


@compiled()
def tally(
    labels: NDArray[np.uint8],
    objects: NDArray[np.uint8],
    weights: NDArray[np.float64],
) -> NDArray[np.uint8]:
    """Give each pixel the label with the most votes.

    Args:
        labels: M×H×W label maps; every value is 0 or in `objects`.
        objects: The N object ids, ascending.
        weights: M×(1+N): the weight of each member's vote for the background and for
            each object.

    Returns:
        H×W labels. In a tie the lowest label wins: the background before any object.
    """
    members, height, width = labels.shape
    result: NDArray[np.uint8] = labels[0].copy()
    place = np.zeros(256, np.int64)
    for n in range(len(objects)):
        place[objects[n]] = n + 1
    votes = np.zeros(len(objects) + 1, np.float64)
    for y in range(height):
        for start in range(0, width, _BLOCK):
            stop = min(start + _BLOCK, width)
            first = labels[0, y]
            differing = np.uint8(0)
            for m in range(1, members):
                row = labels[m, y]
                for x in range(start, stop):
                    differing |= row[x] ^ first[x]
            if differing == 0:
                continue
            for x in range(start, stop):
                votes[:] = 0
                for m in range(members):
                    choice = place[labels[m, y, x]]
                    votes[choice] += weights[m, choice]
                best, winner = votes[0], 0
                for n in range(len(objects)):
                    # Sums such as 0.1 + 0.2 and 0.3 count as equal.
                    if votes[n + 1] > best + 1e-12:
                        best, winner = votes[n + 1], n + 1
                result[y, x] = objects[winner - 1] if winner else 0
    return result
