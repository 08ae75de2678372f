"""Mixing sources: which video each clip of a training comes from.

A pure function of the seed and of the clip's number, so that any step can be made again
without those before it. Clips come in blocks; each block holds the same number of clips
of each source, in random order, so that the weights hold through the whole training. A
source is passed through again and again; each pass is in random order, and in each pass
a video occurs as often as its factor says, rounded up or down at random.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Mixture", "apportion", "generator"]

#: Clips of a block: the weights of sources are rounded to this.
_BLOCK = 1000
#: What a random number is for; numbers of different purposes must not be equal.
_ORDER, _PASS = 1, 2


def generator(seed: int, *purpose: int) -> np.random.Generator:
    """Random numbers for one purpose, independent of those for all others."""
    return np.random.Generator(
        np.random.PCG64(np.random.SeedSequence((seed, *purpose)))
    )


def apportion(weights: Sequence[float], total: int) -> NDArray[np.int64]:
    """Split a number in proportion to weights; each positive one gets at least 1.

    >>> apportion([3, 1, 0], 8).tolist()
    [6, 2, 0]
    """
    shares = np.asarray(weights, float)
    exact = shares / shares.sum() * total
    counts = np.where(shares > 0, np.maximum(np.floor(exact), 1), 0).astype(np.int64)
    while counts.sum() != total:
        # One more where most is missing, one less where most is too much.
        missing = np.where(shares > 0, exact - counts, -np.inf)
        if counts.sum() < total:
            counts[np.argmax(missing)] += 1
        else:
            counts[np.argmin(np.where(counts > 1, missing, np.inf))] -= 1
    return counts


class Mixture:
    """The order of all videos of a training.

    Args:
        weights: Share of each source, in any unit.
        factors: For each source, how often each of its videos occurs in a pass.
        seed: Seed of everything random.
    """

    def __init__(
        self,
        weights: Sequence[float],
        factors: Sequence[NDArray[np.float64]],
        seed: int,
    ) -> None:
        self._counts = apportion(weights, _BLOCK)
        self._factors = factors
        self._lengths = [max(round(float(each.sum())), 1) for each in factors]
        self._seed = seed
        self._block: tuple[int, NDArray[np.int64], NDArray[np.int64]] | None = None
        self._passes: dict[int, tuple[int, NDArray[np.int64]]] = {}

    def draw(self, number: int) -> tuple[int, int]:
        """The source and the video of a clip, by its number from 0."""
        block, place = divmod(number, _BLOCK)
        sources, ranks = self._order(block)
        source = int(sources[place])
        before = block * int(self._counts[source]) + int(ranks[place])
        turn, within = divmod(before, self._lengths[source])
        return source, int(self._pass(source, turn)[within])

    def _order(self, block: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The sources of a block in order, and which clip of its source each is."""
        if self._block is None or self._block[0] != block:
            sources = np.repeat(np.arange(len(self._counts)), self._counts)
            sources = generator(self._seed, _ORDER, block).permutation(sources)
            ranks = np.zeros(_BLOCK, np.int64)
            for source, count in enumerate(self._counts):
                ranks[sources == source] = np.arange(count)
            self._block = block, sources, ranks
        return self._block[1], self._block[2]

    def _pass(self, source: int, turn: int) -> NDArray[np.int64]:
        """The videos of one pass through a source, in order."""
        known = self._passes.get(source)
        if known is None or known[0] != turn:
            random = generator(self._seed, _PASS, source, turn)
            factors, length = self._factors[source], self._lengths[source]
            # Equally spaced points on the line of all factors, laid out at random.
            order = random.permutation(len(factors))
            ends = np.cumsum(factors[order])
            points = (np.arange(length) + random.random()) / length * ends[-1]
            chosen = order[
                np.minimum(np.searchsorted(ends, points, "right"), len(ends) - 1)
            ]
            self._passes[source] = known = turn, random.permutation(chosen)
        return known[1]
