"""What a run took in time and memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .manifest import Run

__all__ = ["RunCost", "cost_of"]


@dataclass(frozen=True)
class RunCost:
    """What a run took.

    Attributes:
        seconds: Time of its videos, added up; of an ensemble without its members.
        frames: Frames of these videos.
        memory: Most bytes of memory of a worker; 0 where that was not recorded.
        gpu_memory: Most bytes of memory of a GPU; 0 where there was none.
        member_seconds: Time of the members of an ensemble, where all are known.
    """

    seconds: float
    frames: int
    memory: int = 0
    gpu_memory: int = 0
    member_seconds: float | None = None


def cost_of(run: Run, members: Sequence[Run] = ()) -> RunCost:
    """The cost of a run; of an ensemble with its members, if all of them are given."""
    records = run.videos.values()

    def most(key: str) -> int:
        return max((one.details.get(key, 0) for one in records), default=0)

    return RunCost(
        seconds=sum(one.seconds for one in records),
        frames=sum(one.frames for one in records),
        memory=most("peak_memory"),
        gpu_memory=most("peak_gpu_memory"),
        member_seconds=sum(cost_of(one).seconds for one in members)
        if members
        else None,
    )
