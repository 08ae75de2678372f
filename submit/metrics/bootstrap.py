"""Confidence intervals of a mean over objects: bootstrap over videos.

Scores of objects in one video are correlated. So whole videos are drawn, with
replacement, and the mean over their objects is computed each time.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["expanded_interval", "mean_interval", "resampled_means"]

Floats = NDArray[np.float64]

#: Resamples of an interval that only describes, and decides nothing.
_RESAMPLES = 2000

#: Resamples that are drawn at a time, which limits the memory.
_BATCH = 1000


def resampled_means(
    values: Floats,
    video_of: NDArray[np.intp],
    resamples: int,
    seed: int,
) -> Floats:
    """Means over the objects of videos that are drawn with replacement.

    Args:
        values: Value of each object.
        video_of: Number of each object's video.
        resamples: How many means to take.
        seed: Seed of the random numbers.
    """
    _, dense = np.unique(video_of, return_inverse=True)
    sums = np.bincount(dense, values)
    counts = np.bincount(dense)
    random = np.random.default_rng(seed)
    chances = np.full(len(sums), 1 / len(sums))
    means = [
        (drawn @ sums) / (drawn @ counts)
        for begin in range(0, resamples, _BATCH)
        for drawn in [
            random.multinomial(len(sums), chances, min(_BATCH, resamples - begin))
        ]
    ]
    return np.concatenate(means)


def expanded_interval(
    means: Floats, videos: int, *, confidence: float = 0.95
) -> tuple[float, float]:
    """The interval of bootstrapped means, widened for small numbers of videos.

    Quantiles of a bootstrap are too narrow for small samples, as those of a normal
    distribution are compared with Student's. They are widened by that factor and by
    √(n/(n−1)) (T. Hesterberg, "What Teachers Should Know About the Bootstrap", The
    American Statistician 69:4, 2015, section 5.1, "expanded percentile").

    Args:
        means: From `resampled_means`.
        videos: Number of videos; at least two.
        confidence: What share of the means the interval would hold for many videos.
    """
    from scipy.special import ndtr, stdtrit

    if videos < 2:
        return -math.inf, math.inf
    edge = (1 - confidence) / 2
    far = math.sqrt(videos / (videos - 1)) * stdtrit(videos - 1, edge)
    outer = float(ndtr(far))
    low, high = np.quantile(means, (outer, 1 - outer))
    return float(low), float(high)


def mean_interval(
    values: Floats, video_of: NDArray[np.intp]
) -> tuple[float, float] | None:
    """The 95 % interval of a mean over objects; None for a single video.

    Args:
        values: Value of each object.
        video_of: Number of each object's video.
    """
    videos = len(np.unique(video_of))
    if videos < 2:
        return None
    means = resampled_means(values, video_of, _RESAMPLES, seed=0)
    return expanded_interval(means, videos)
