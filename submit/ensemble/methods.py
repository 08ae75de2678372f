"""How the members' values of one object become one: arrays in, arrays out.

With l the members' logits, w their shares and σ the logistic function:

    mean_probabilities  logit(Σ w·σ(l)); one very sure member counts for less
    mean_logits         Σ w·l, which is the geometric mean of the odds, with l within
                        ±16: beyond that, one member would have a veto
    geometric_mean      logit(exp(Σ w·log σ(l))); one member that is sure of "no"
                        nearly forbids the pixel
    max                 max l over the members with w > 0

Logits of different resolution are brought to the largest one first. A mean of logits
is linear, so there members of one resolution are added up before that.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..masks import VALUES, Labels, Values, dequantise, quantise, resize_logits

__all__ = ["Plane", "mean_with_masks", "merge_planes", "resized", "table_of_votes"]

#: Logits of one object in one frame: h×w codes of the run store.
Plane = NDArray[np.int8]

Tables = NDArray[np.float64]
Merge = Callable[[NDArray[np.int8], Tables], Plane]


def merge_planes(
    method: str,
    planes: Sequence[Plane],
    shares: Sequence[float],
    shape: tuple[int, int],
) -> Plane:
    """Merge what several members say of one object.

    Args:
        method: `mean_logits`, `mean_probabilities`, `geometric_mean` or `max`.
        planes: At least one, each of any resolution.
        shares: Their weights, which sum to 1.
        shape: Resolution of the result.

    Returns:
        Codes of the exact result.
    """
    if method == "mean_logits" and any(plane.shape != shape for plane in planes):
        return quantise(_sum_of_sizes(planes, shares, shape))
    planes = [resized(plane, shape) for plane in planes]
    if len(planes) == 1:
        return planes[0]
    stack = np.stack(planes)
    weights = np.asarray(shares, np.float64)
    if method == "max":
        highest: Plane = stack[weights > 0].max(0)
        return highest
    return _MEANS[method](stack, weights)


def mean_with_masks(
    planes: Sequence[Plane],
    shares: Sequence[float],
    maps: Sequence[Labels],
    map_shares: Sequence[float],
    *,
    key: int,
    high: int,
) -> Plane:
    """Mean of the logits of soft members, and of hard ones at the size of the frame.

    Args:
        planes: What the soft members say of the object.
        shares: Their weights.
        maps: Label maps of the hard members.
        map_shares: Their weights; all weights sum to 1.
        key: The object.
        high: The code of a pixel inside a mask; outside it is −high.

    Returns:
        Codes at the size of the frame.
    """
    from ._kernels import round_with_votes

    total = _sum_of_sizes(planes, shares, maps[0].shape)
    weights = np.asarray(map_shares, np.float64)
    logit = float(VALUES[high + 128])
    return round_with_votes(total, np.stack(maps), key, weights, logit)


def table_of_votes(
    method: str, shares: Sequence[float], members: Sequence[int], high: int
) -> NDArray[np.int8]:
    """What becomes of a pixel of one object, for all that hard members can say of it.

    Args:
        method: As in `merge_planes`.
        shares: Weights of those members that have the object; they sum to 1.
        members: Which these are among all M, by the number of their bit.
        high: The code of a pixel inside; outside it is −high.

    Returns:
        Codes by the bits of the members that have the pixel inside, for `look_up`. Its
        length is that of the highest bit that is needed.
    """
    bits = np.arange(1 << (max(members) + 1))
    planes = [
        np.where(bits >> member & 1, high, -high).astype(np.int8)[None]
        for member in members
    ]
    merged: Plane = merge_planes(method, planes, shares, (1, len(bits)))[0]
    return merged


def resized(plane: Plane, shape: tuple[int, int]) -> Plane:
    """Bring codes to another resolution, rounded to codes again."""
    if plane.shape == shape:
        return plane
    return quantise(resize_logits(dequantise(plane)[None], shape)[0])


def _sum_of_sizes(
    planes: Sequence[Plane], shares: Sequence[float], shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Weighted sum of logits of several resolutions."""
    from ._kernels import weighted_sum

    total = np.zeros(shape, np.float32)
    # In the order of the members, whatever resolutions they have.
    for size in dict.fromkeys(plane.shape for plane in planes):
        alike = [
            (plane, share)
            for plane, share in zip(planes, shares, strict=True)
            if plane.shape == size
        ]
        part = weighted_sum(
            np.stack([plane for plane, _ in alike]),
            np.asarray([share for _, share in alike], np.float64),
        )
        total += resize_logits(part[None], shape)[0]
    return total


def _mean_of_logits(stack: NDArray[np.int8], weights: Tables) -> Plane:
    from ._kernels import mean

    return mean(stack, weights)


def _mean_of_probabilities(stack: NDArray[np.int8], weights: Tables) -> Plane:
    from ._kernels import mean_of_odds

    inside, outside = _chances(), _chances(-1)
    tables = _weighted(inside, weights), _weighted(outside, weights)
    return mean_of_odds(stack, *tables, *_edges())


def _geometric_mean(stack: NDArray[np.int8], weights: Tables) -> Plane:
    from ._kernels import geometric_mean

    logs = -np.log1p(np.exp(-VALUES.astype(np.float64)))
    return geometric_mean(stack, _weighted(logs, weights))


_MEANS: dict[str, Merge] = {
    "mean_probabilities": _mean_of_probabilities,
    "mean_logits": _mean_of_logits,
    "geometric_mean": _geometric_mean,
}


def _weighted(table: Tables, weights: Tables) -> Tables:
    """M×256: a table, times the weight of each member."""
    return np.multiply.outer(weights, table)


@functools.cache
def _chances(sign: int = 1) -> Tables:
    """The probability of each code; with a sign of −1 that of the opposite."""
    result: Tables = 1 / (1 + np.exp(-sign * VALUES.astype(np.float64)))
    return result


@functools.cache
def _edges() -> tuple[NDArray[np.uint8], Values]:
    """Between which odds a code is the nearest, and where to begin to look."""
    values = VALUES[1:].astype(np.float64)
    edges = np.exp((values[1:] + values[:-1]) / 2).astype(np.float32)
    firsts = (np.arange(1 << 15, dtype=np.int32) << 16).view(np.float32)
    bins = np.searchsorted(edges, firsts, side="right").astype(np.uint8)
    return bins, np.append(edges, np.float32(np.inf))
