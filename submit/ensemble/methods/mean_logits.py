"""`mean_logits`: the weighted mean of the logits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...masks import VALUES, Labels, quantise, resize_logits
from ..method import METHODS, PixelMethod
from ..planes import Plane, Tables

__all__ = ["MeanLogits"]


@METHODS.register
@dataclass(frozen=True)
class MeanLogits(PixelMethod):
    """Weighted mean of the logits: Σ w·l, with l clipped to ±16.

    It is the geometric mean of the odds. Without clipping, one member could decide
    alone. The mean is linear, so members of the same resolution are added first, and
    their sum is resized once.
    """

    name = "mean_logits"
    order = 20
    explored = True

    def merge(self, stack: NDArray[np.int8], shares: Tables) -> Plane:
        """Merge M×h×w codes into h×w codes."""
        from .._kernels import mean

        return mean(stack, shares)

    def merge_sizes(
        self, planes: Sequence[Plane], shares: Sequence[float], shape: tuple[int, int]
    ) -> Plane:
        """Merge planes of any resolution; there is one resize for each resolution."""
        if all(plane.shape == shape for plane in planes):
            return super().merge_sizes(planes, shares, shape)
        return quantise(_sum_of_sizes(planes, shares, shape))

    def merge_kinds(
        self,
        planes: Sequence[Plane],
        shares: Sequence[float],
        maps: Sequence[Labels],
        map_shares: Sequence[float],
        *,
        key: int,
        high: int,
    ) -> Plane | None:
        """Merge soft members and palette masks at the size of the frame."""
        from .._kernels import round_with_votes

        total = _sum_of_sizes(planes, shares, maps[0].shape)
        weights = np.asarray(map_shares, np.float64)
        logit = float(VALUES[high + 128])
        return round_with_votes(total, np.stack(maps), key, weights, logit)


def _sum_of_sizes(
    planes: Sequence[Plane], shares: Sequence[float], shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Weighted sum of the logits of planes with several resolutions."""
    from .._kernels import weighted_sum

    total = np.zeros(shape, np.float32)
    # A dict keeps the order of the members; a set would change the last bits.
    for size in dict.fromkeys(plane.shape for plane in planes):
        same_size = [
            (plane, share)
            for plane, share in zip(planes, shares, strict=True)
            if plane.shape == size
        ]
        part = weighted_sum(
            np.stack([plane for plane, _ in same_size]),
            np.asarray([share for _, share in same_size], np.float64),
        )
        total += resize_logits(part[None], shape)[0]
    return total
