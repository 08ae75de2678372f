"""The search: keeps changes that improve the score on held-out videos.

Each stage climbs: of all neighbours of the candidate it takes the one with the highest
gain minus its standard error, as long as that is positive and moves are left.
Cross-validation decides whether the stage is kept: for each fold it climbs on the other
folds, and its gain is measured on the held-out videos. It is kept if the bootstrap
interval of these gains is above 0. So no change is judged by the videos that it was
chosen on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..ensemble import MergeSettings
from ..errors import ScoringError
from ..metrics.bootstrap import expanded_interval, resampled_means
from ..system.words import counted
from .candidate import Candidate
from .evaluate import BudgetSpentError, Evaluator, Sample
from .stages import Stage, all_stages

__all__ = ["Gain", "StageResult", "Tuned", "tune"]

#: Fewest videos for cross-validation.
LEAST_VIDEOS = 3
#: Up to this number, each video is a fold; with more there are `_FOLDS` folds.
_SINGLE = 10
_FOLDS = 5
#: A smaller gain counts as 0: half of the last official digit, as in `submit compare`.
_TIE = 0.00005
_RESAMPLES = 10_000
#: Most rounds over all stages; a round that keeps nothing is the last.
_PASSES = 2


@dataclass(frozen=True)
class Gain:
    """A difference of means over objects, with its interval at 95 %."""

    mean: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether the gain is significant: the interval is above 0."""
        return self.mean >= _TIE and self.low > 0


@dataclass(frozen=True)
class StageResult:
    """The result of one stage.

    Attributes:
        stage: Its name.
        tried: Neighbours that were tried on all videos.
        before: The candidate at its start.
        after: The candidate at the end of its climb on all videos; `before` if no
            better.
        seen: Gain on the videos that it climbed on, which is optimistic.
        left_out: Gain on held-out videos; None if there was nothing to judge.
        kept: Whether the search continues from `after`.
    """

    stage: str
    tried: int
    before: Candidate
    after: Candidate
    seen: float
    left_out: Gain | None
    kept: bool


@dataclass(frozen=True)
class Tuned:
    """The result of a search.

    Attributes:
        metric: The measure, an attribute of `ObjectScore`.
        videos: Number of videos.
        objects: Number of objects that have a value.
        singles: The mean of each run on its own, best first; runs with prompts, which
            are second passes, come after the others.
        lead: Gain of the best run over the next one; None for a single one. Second
            passes do not count.
        candidate: The best candidate.
        score: Its mean on the hold-out that it was chosen on.
        gain: Gain over the best single run, on the same videos, which is optimistic.
        stages: The results of the stages: each once, or as often as it was kept.
        without: The mean without each member, for ensembles.
        evaluations: Evaluations that the search has used.
        is_complete: Whether it ended before its budget did.
        every: One frame in so many was scored.
        seed: Seed of folds and intervals.
    """

    metric: str
    videos: int
    objects: int
    singles: Mapping[str, float]
    lead: Gain | None
    candidate: Candidate
    score: float
    gain: Gain
    stages: tuple[StageResult, ...]
    without: Mapping[str, float]
    evaluations: float
    is_complete: bool
    every: int
    seed: int

    @property
    def best_single(self) -> str:
        """The best single run; a second pass only if all runs are."""
        return next(iter(self.singles))


def tune(
    evaluator: Evaluator,
    *,
    seed: int = 0,
    stages: Sequence[Stage] | None = None,
    on_stage: Callable[[StageResult], None] = lambda result: None,
) -> Tuned:
    """Search on a hold-out.

    Args:
        evaluator: The hold-out with its runs and the budget.
        seed: Equal seeds draw equal folds and intervals.
        stages: The stages. Default: all.
        on_stage: Called with the result of each stage.

    Raises:
        ScoringError: There are too few videos, no object has a value, or the budget
            does not suffice for the single runs.
    """
    if len(evaluator.videos) < LEAST_VIDEOS:
        raise ScoringError(
            f"{evaluator.split.place}: has {counted(len(evaluator.videos), 'video')}, "
            f"and tuning needs {LEAST_VIDEOS} to leave some out; make a larger "
            "hold-out (submit holdout)"
        )
    return _Search(evaluator, seed, on_stage).run(stages)


class _Search:
    """One search."""

    def __init__(
        self,
        evaluator: Evaluator,
        seed: int,
        on_stage: Callable[[StageResult], None],
    ) -> None:
        self._evaluator = evaluator
        self._seed = seed
        self._on_stage = on_stage
        self._folds = _folds(evaluator.videos, seed)
        self._tried = 0

    def run(self, stages: Sequence[Stage] | None) -> Tuned:
        """Go through all stages."""
        evaluator = self._evaluator
        singles = self._singles()
        ranking = [Candidate(MergeSettings(members=(name,))) for name in singles]
        best = ranking[0]
        second = self._second
        if stages is None:
            objects = [len(v.objects) for v in evaluator.split.videos.values()]
            stages = all_stages(
                tuple(singles), several_objects=max(objects) > 1, second=second
            )
        current, complete = best, True
        results: list[StageResult] = []
        try:
            for _ in range(_PASSES):
                start = current
                for stage in stages:
                    result = self._stage(stage, current)
                    if result is not None:
                        self._on_stage(result)
                        results = _with(results, result)
                        current = result.after if result.kept else current
                if current == start:
                    break
        except BudgetSpentError:
            complete = False
        change = evaluator.change(current, best, evaluator.videos)
        return Tuned(
            metric=evaluator.metric,
            videos=len(evaluator.videos),
            objects=len(change.values),
            singles=singles,
            lead=self._interval(evaluator.change(best, ranking[1], evaluator.videos))
            if len(ranking) - len(second) > 1
            else None,
            candidate=current,
            score=evaluator.mean(current),
            gain=self._interval(change),
            stages=tuple(results),
            without=self._without(current),
            evaluations=evaluator.budget.spent,
            is_complete=complete,
            every=evaluator.every,
            seed=self._seed,
        )

    @property
    def _second(self) -> tuple[str, ...]:
        """Runs with prompts, if there are others: the search does not start there.

        Whether a second pass helps is then decided as any other change is, on held-out
        videos.
        """
        runs = self._evaluator.runs.runs
        found = tuple(n for n in sorted(runs) if runs[n].settings.get("prompts"))
        return found if len(found) < len(runs) else ()

    def _singles(self) -> dict[str, float]:
        """The score of each run, second passes last, and best first.

        Of equal ones the first by name comes first.
        """
        found = {}
        for name in sorted(self._evaluator.runs.runs):
            single = Candidate(MergeSettings(members=(name,)))
            try:
                found[name] = self._evaluator.mean(single)
            except BudgetSpentError:
                count = len(self._evaluator.runs.runs)
                raise ScoringError(
                    f"the budget is spent before all {count} runs are scored; give "
                    f"more than {count} evaluations"
                ) from None
        second = self._second
        return dict(
            sorted(
                found.items(), key=lambda item: (item[0] in second, -item[1], item[0])
            )
        )

    def _without(self, current: Candidate) -> dict[str, float]:
        """The score of an ensemble without each member, if the budget allows it."""
        found = {}
        for name in current.members if len(current.members) > 1 else ():
            rest = tuple(other for other in current.members if other != name)
            try:
                found[name] = self._evaluator.mean(_restricted(current, rest))
            except BudgetSpentError:
                break
        return found

    def _stage(self, stage: Stage, current: Candidate) -> StageResult | None:
        """Climb on all videos and judge on held-out ones; None without neighbours."""
        videos = self._evaluator.videos
        self._evaluator.runs.pin(current)
        self._tried = 0
        after = self._climb(stage, current, videos)
        tried = self._tried
        if not tried:
            return None
        if after == current:
            return StageResult(stage.name, tried, current, after, 0.0, None, False)
        seen = self._evaluator.change(after, current, videos).mean
        left_out = self._judge(stage, current)
        return StageResult(
            stage.name, tried, current, after, seen, left_out, left_out.is_clear
        )

    def _climb(
        self, stage: Stage, start: Candidate, videos: Sequence[str]
    ) -> Candidate:
        """Take the best neighbour as long as its gain exceeds its standard error."""
        current = start
        for _ in range(stage.moves):
            best, most = current, _TIE
            for neighbour in stage.neighbours(current):
                self._tried += 1
                sure = self._evaluator.gain(neighbour, current, videos)
                if sure is not None and sure > most:
                    best, most = neighbour, sure
            if best == current:
                break
            current = best
        return current

    def _judge(self, stage: Stage, current: Candidate) -> Gain:
        """The gain of a stage on held-out videos."""
        parts = []
        for fold in self._folds:
            seen = [name for name in self._evaluator.videos if name not in fold]
            chosen = self._climb(stage, current, seen)
            parts.append(self._evaluator.change(chosen, current, fold))
        return self._interval(
            Sample(
                np.concatenate([part.values for part in parts]),
                np.concatenate([part.video_of for part in parts]),
            )
        )

    def _interval(self, change: Sample) -> Gain:
        means = resampled_means(change.values, change.video_of, _RESAMPLES, self._seed)
        low, high = expanded_interval(means, len(np.unique(change.video_of)))
        return Gain(change.mean, low, high)


def _with(results: list[StageResult], new: StageResult) -> list[StageResult]:
    """Add a result; for a stage that is never kept only the first one."""
    if not new.kept and any(one.stage == new.stage for one in results):
        return results
    return [one for one in results if one.kept or one.stage != new.stage] + [new]


def _restricted(candidate: Candidate, members: tuple[str, ...]) -> Candidate:
    """A candidate with fewer members and the same ratios of weights."""
    merge = candidate.merge
    weights = {name: merge.weights[name] for name in members if name in merge.weights}
    restricted = MergeSettings(
        method=merge.method,
        members=members,
        weights=weights,
        gate=merge.gate,
        merging=merge.merging,
    )
    return Candidate(restricted, candidate.post)


def _folds(videos: Sequence[str], seed: int) -> tuple[tuple[str, ...], ...]:
    """Distribute the videos over folds; with few videos each is a fold."""
    names = sorted(videos)
    count = len(names) if len(names) <= _SINGLE else _FOLDS
    order = np.random.default_rng(seed).permutation(len(names))
    return tuple(
        tuple(sorted(names[index] for index in order[start::count]))
        for start in range(count)
    )
