"""What each member brings to an ensemble, measured where there is truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from ..data import Split
from ..ensemble import DEFAULT_METHOD, MergeSettings
from ..metrics.bootstrap import mean_interval
from ..runs import Run
from .candidate import Candidate
from .evaluate import Evaluator, Sample

__all__ = ["MemberStep", "frames_to_merge", "member_steps"]

#: Low and high end, in percent.
Interval: TypeAlias = tuple[float, float]


@dataclass(frozen=True)
class MemberStep:
    """One more member of an ensemble.

    Attributes:
        member: The run.
        alone: Its own score, in percent.
        merged: The score with all members so far.
        error: The standard error of `merged`; None for a single video.
        without: The score of the whole ensemble without this member; NaN where it is
            the only one.
        alone_interval: The 95 % interval of `alone` by bootstrap over videos; None for
            a single video, as for the others.
        merged_interval: That of `merged`.
        brings: By how much the score of the whole ensemble is higher than `without`;
            None where it is the only one.
        brings_interval: Its interval, from the differences of objects.
    """

    member: str
    alone: float
    merged: float
    error: float | None
    without: float | None
    alone_interval: Interval | None = None
    merged_interval: Interval | None = None
    brings: float | None = None
    brings_interval: Interval | None = None


def frames_to_merge(split: Split, members: int) -> int:
    """Number of frames that `member_steps` scores: the total of its progress."""
    # Each alone, growing ensembles of two and more, and all but each; of two members
    # an ensemble without one of them is the other one, which is known.
    sets = 2 * members - 1 + (members if members > 2 else 0)
    if members > 2:
        sets -= 1  # All but the last one is known from the growing ensembles.
    return sets * sum(video.length for video in split.videos.values())


def member_steps(
    split: Split,
    runs: Mapping[str, Run],
    *,
    method: str | None = None,
    metric: str = "jf_dot",
    workers: int | None = None,
    progress: Callable[[str, int], None] = lambda video, frames: None,
) -> list[MemberStep]:
    """Score members alone, merged in the order of their scores, and left out.

    Nothing is written; scores equal those of the merged files.

    Args:
        split: A split with complete truth.
        runs: The members by name.
        method: How they are merged; None for the default.
        metric: The measure, an attribute of `ObjectScore`.
        workers: Threads; one for each core by default.
        progress: Called with a video and its number of frames when it is scored.

    Raises:
        ScoringError: The split has no complete truth.
        RunError: A run lacks a video.
        SettingsError: There is no such method.
    """
    evaluator = Evaluator(
        split, runs, metric=metric, workers=workers, progress=progress
    )

    def candidate(members: tuple[str, ...]) -> Candidate:
        # In one order, so that equal sets are scored once.
        ordered = tuple(name for name in runs if name in members)
        return Candidate(
            MergeSettings(method=method or DEFAULT_METHOD, members=ordered)
        )

    alone = {name: 100 * evaluator.mean(candidate((name,))) for name in runs}
    whole = candidate(tuple(runs))
    order = sorted(runs, key=lambda name: (-alone[name], name))
    steps = []
    for place, name in enumerate(order, 1):
        merged = evaluator.sample(candidate(tuple(order[:place])))
        rest = tuple(other for other in order if other != name)
        change = (
            evaluator.change(whole, candidate(rest), evaluator.videos) if rest else None
        )
        steps.append(
            MemberStep(
                member=name,
                alone=alone[name],
                merged=100 * merged.mean,
                error=100 * merged.error,
                without=100 * evaluator.mean(candidate(rest)) if rest else float("nan"),
                alone_interval=_interval(evaluator.sample(candidate((name,)))),
                merged_interval=_interval(merged),
                brings=None if change is None else 100 * change.mean,
                brings_interval=None if change is None else _interval(change),
            )
        )
    return steps


def _interval(sample: Sample) -> Interval | None:
    """The interval of a mean in percent; None for a single video."""
    found = mean_interval(sample.values, sample.video_of)
    return found and (100 * found[0], 100 * found[1])
