"""The loops over pixels in which members are merged, compiled.

Kept apart from `methods` so that importing that module does not import the compiler.
All take int8 steps of the run store and give such steps back: the exact result in
float64, rounded half to even.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..system.compiled import compiled

__all__ = [
    "FINISH_GEOMETRIC",
    "FINISH_PROBABILITY",
    "count_pairs",
    "look_up",
    "mean",
    "mean_of_table",
    "occurring",
    "round_steps",
    "round_with_votes",
    "tally",
    "weighted_sum",
]

#: What turns the mean of a table's values back into a logit.
FINISH_PROBABILITY = 0
FINISH_GEOMETRIC = 1


@compiled()
def mean(stack: NDArray[np.int8], weights: NDArray[np.float64]) -> NDArray[np.int8]:
    """Weighted mean of M×h×w steps; the weights sum to 1."""
    members, height, width = stack.shape
    result = np.empty((height, width), np.int8)
    line = np.empty(width, np.float64)
    for y in range(height):
        line[:] = 0
        for m in range(members):
            weight, row = weights[m], stack[m, y]
            for x in range(width):
                line[x] += weight * row[x]
        out = result[y]
        for x in range(width):
            out[x] = np.int8(np.rint(line[x]))
    return result


@compiled()
def weighted_sum(
    stack: NDArray[np.int8], weights: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Weighted sum of M×h×w steps, as logits."""
    members, height, width = stack.shape
    result = np.empty((height, width), np.float32)
    line = np.empty(width, np.float64)
    for y in range(height):
        line[:] = 0
        for m in range(members):
            weight, row = weights[m] * 0.125, stack[m, y]
            for x in range(width):
                line[x] += weight * row[x]
        result[y] = line
    return result


@compiled()
def round_steps(logits: NDArray[np.float32]) -> NDArray[np.int8]:
    """Round h×w logits to steps, clipped; NaN may not occur."""
    height, width = logits.shape
    result = np.empty((height, width), np.int8)
    for y in range(height):
        row, out = logits[y], result[y]
        for x in range(width):
            step = np.rint(row[x] * np.float32(8))
            out[x] = np.int8(min(max(step, np.float32(-127)), np.float32(127)))
    return result


@compiled()
def mean_of_table(
    stack: Any, weights: NDArray[np.float64], table: NDArray[np.float64], finish: int
) -> NDArray[np.int8]:
    """Weighted mean of a function of M×h×w steps, turned back into steps.

    Args:
        stack: int8 steps of the members.
        weights: Their shares, which sum to 1.
        table: The function: its value for the step s at s + 128.
        finish: Which function turns the mean into a logit: `FINISH_PROBABILITY`, or
            `FINISH_GEOMETRIC`, where the mean is that of logarithms.
    """
    members, height, width = stack.shape
    result = np.empty((height, width), np.int8)
    for y in range(height):
        for x in range(width):
            first = stack[0, y, x]
            same = True
            for m in range(1, members):
                same = same and stack[m, y, x] == first
            if same:  # Most pixels, and equal members are exactly themselves.
                result[y, x] = first
                continue
            total = 0.0
            for m in range(members):
                total += weights[m] * table[int(stack[m, y, x]) + 128]
            if finish == FINISH_GEOMETRIC:
                # log(g / (1 − g)) with g = exp(total)
                logit = total - math.log(-math.expm1(total))
            else:
                logit = math.log(total) - math.log1p(-total)
            result[y, x] = np.int8(min(max(np.rint(8 * logit), -127), 127))
    return result


#: Pixels that are looked at together: most blocks have one label in all members.
_BLOCK = 64


@compiled()
def round_with_votes(
    logits: NDArray[np.float32],
    labels: NDArray[np.uint8],
    key: int,
    weights: NDArray[np.float64],
    high: float,
) -> NDArray[np.int8]:
    """Add what label maps say of one object to H×W logits, and round to steps.

    Args:
        logits: The weighted sum of the members that have logits.
        labels: M×H×W label maps, each of which stands for logits of ±high.
        key: The object.
        weights: M weights.
        high: The logit of a pixel inside.
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
        for x in range(width):
            step = np.rint(line[x] * np.float32(8))
            out[x] = np.int8(min(max(step, np.float32(-127)), np.float32(127)))
    return result


@compiled()
def look_up(
    labels: NDArray[np.uint8], objects: NDArray[np.uint8], table: NDArray[np.int8]
) -> NDArray[np.int8]:
    """Merge label maps by a table of all that members can say of a pixel.

    Args:
        labels: M×H×W label maps.
        objects: The N ids.
        table: N×2^M steps. Bit m of a place says that member m has the object there.

    Returns:
        N×H×W steps.
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
    """Count the pairs of labels in two H×W maps; returns 256×256."""
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
    """Which of the 256 values occur in an H×W label map."""
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
        labels: M×H×W label maps with no other values than 0 and the ids of objects
            that somebody may vote for.
        objects: The N ids, ascending.
        weights: M×(1+N): what a member's vote for the background, and for each
            object, counts.

    Returns:
        H×W labels. Of labels with equally many votes the lowest wins, so the
        background before all.
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
                    # Weights such as 0.1 + 0.2 and 0.3 are to count as equal.
                    if votes[n + 1] > best + 1e-12:
                        best, winner = votes[n + 1], n + 1
                result[y, x] = objects[winner - 1] if winner else 0
    return result
