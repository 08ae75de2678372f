"""How long jobs take on several workers: what executors do, in virtual time."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

__all__ = ["finish_times", "least_time"]


def finish_times(costs: Sequence[float], workers: int) -> list[float]:
    """When each worker ends, if a free one always takes the longest job that is left.

    >>> finish_times([3, 9, 2, 4, 1], workers=2)
    [9, 10]

    Args:
        costs: What each job takes, in any unit.
        workers: Number of workers.

    Returns:
        One for each worker, ascending, in the same unit.
    """
    ends: list[float] = [0] * workers
    for cost in sorted(costs, reverse=True):
        heapq.heapreplace(ends, ends[0] + cost)
    return sorted(ends)


def least_time(costs: Sequence[float], workers: int) -> float:
    """What no order can go below: the longest job, and an equal share of all."""
    return max([*costs, sum(costs) / workers], default=0)
