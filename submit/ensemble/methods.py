"""How the members' values of one object become one: arrays in, arrays out.

With l the members' logits, w their shares and σ the logistic function:

    mean_logits         Σ w·l, which is the geometric mean of the odds
    mean_probabilities  logit(Σ w·σ(l)); less impressed by one very sure member
    geometric_mean      logit(exp(Σ w·log σ(l))); one member that is sure of "no"
                        nearly forbids the pixel
    max                 max l over the members with w > 0

Logits of different resolution are brought to the largest one first. A mean of logits
is linear, so there members of one resolution are added up before that.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..masks import LOGIT_STEP, Labels, dequantise, resize_logits

__all__ = ["Plane", "mean_with_masks", "merge_planes", "resized", "table_of_votes"]

#: Logits of one object in one frame: h×w int8 steps of the run store.
Plane = NDArray[np.int8]


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
        The exact result, rounded to steps.
    """
    from ._kernels import mean, mean_of_table

    if method == "mean_logits" and any(plane.shape != shape for plane in planes):
        return _mean_of_sizes(planes, shares, shape)
    planes = [resized(plane, shape) for plane in planes]
    if len(planes) == 1:
        return planes[0]
    stack = np.stack(planes)
    weights = np.asarray(shares, np.float64)
    if method == "mean_logits":
        return mean(stack, weights)
    if method == "max":
        highest: Plane = stack[weights > 0].max(0)
        return highest
    table, finish = _tables()[method]
    return mean_of_table(stack, weights, table, finish)


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
        high: The step of a pixel inside a mask; outside it is −high.

    Returns:
        Steps at the size of the frame.
    """
    from ._kernels import round_with_votes

    total = _sum_of_sizes(planes, shares, maps[0].shape)
    weights = np.asarray(map_shares, np.float64)
    return round_with_votes(total, np.stack(maps), key, weights, high * LOGIT_STEP)


def table_of_votes(
    method: str, shares: Sequence[float], members: Sequence[int], high: int
) -> NDArray[np.int8]:
    """What becomes of a pixel of one object, for all that hard members can say of it.

    Args:
        method: As in `merge_planes`.
        shares: Weights of those members that have the object; they sum to 1.
        members: Which these are among all M, by the number of their bit.
        high: The step of a pixel inside; outside it is −high.

    Returns:
        Steps by the bits of the members that have the pixel inside, for `look_up`. Its
        length is that of the highest bit that is needed.
    """
    codes = np.arange(1 << (max(members) + 1))
    planes = [
        np.where(codes >> member & 1, high, -high).astype(np.int8)[None]
        for member in members
    ]
    merged: Plane = merge_planes(method, planes, shares, (1, len(codes)))[0]
    return merged


def resized(plane: Plane, shape: tuple[int, int]) -> Plane:
    """Bring steps to another resolution, rounded to steps again."""
    from ._kernels import round_steps

    if plane.shape == shape:
        return plane
    return round_steps(resize_logits(dequantise(plane)[None], shape)[0])


def _mean_of_sizes(
    planes: Sequence[Plane], shares: Sequence[float], shape: tuple[int, int]
) -> Plane:
    """Mean of logits of several resolutions, each of which is resized once."""
    from ._kernels import round_steps

    return round_steps(_sum_of_sizes(planes, shares, shape))


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


@functools.cache
def _tables() -> dict[str, tuple[NDArray[np.float64], int]]:
    """σ and log σ of each step, and what undoes them."""
    from ._kernels import FINISH_GEOMETRIC, FINISH_PROBABILITY

    logits = np.arange(-128, 128) * LOGIT_STEP
    return {
        "mean_probabilities": (1 / (1 + np.exp(-logits)), FINISH_PROBABILITY),
        "geometric_mean": (-np.log1p(np.exp(-logits)), FINISH_GEOMETRIC),
    }
