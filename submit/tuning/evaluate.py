"""The score of a candidate, computed in memory, equal to that of its files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..checks.sanity import as_packed
from ..data import Split
from ..errors import ScoringError
from ..masks import Codes, Labels
from ..metrics.frames import FrameScorer, FrameScores, ObjectScore, object_score
from ..postprocess import frame_labels, steady_frames
from ..runs import Run, VideoMasks
from ..scoring.plan import require_truth
from ..system.machine import cores
from ..system.pool import checkpoint, run_in_threads
from .candidate import Candidate
from .holdout import HoldoutRuns

__all__ = ["Budget", "BudgetSpentError", "Evaluator", "Sample"]

Floats = NDArray[np.float64]


class BudgetSpentError(Exception):
    """The budget of the search is spent; not an error for the user."""


@dataclass
class Budget:
    """The budget of a search.

    Attributes:
        evaluations: Most evaluations of the whole hold-out; parts count as fractions.
        seconds: Longest time. A search that ends by the clock may have another result
            next time.
        clock: The clock.
        spent: Evaluations so far.
    """

    evaluations: float = float("inf")
    seconds: float = float("inf")
    clock: Callable[[], float] = time.monotonic
    spent: float = 0.0

    def __post_init__(self) -> None:
        self._end = self.clock() + self.seconds

    def take(self, share: float) -> None:
        """Spend a share of an evaluation.

        Raises:
            BudgetSpentError: The budget is spent.
        """
        if self.spent + share > self.evaluations + 1e-9 or self.clock() > self._end:
            raise BudgetSpentError
        self.spent += share


@dataclass(frozen=True, eq=False)
class Sample:
    """The values of one measure for the objects of some videos.

    Attributes:
        values: One per object.
        video_of: Number of each object's video.
    """

    values: Floats
    video_of: NDArray[np.intp]

    @property
    def mean(self) -> float:
        """The mean over objects, which is what the totals have."""
        return float(self.values.mean()) if len(self.values) else float("nan")

    @property
    def error(self) -> float:
        """The standard error of the mean, objects of a video taken together.

        That of a ratio of two sums over videos; no number for fewer than two videos.
        """
        numbers, places = np.unique(self.video_of, return_inverse=True)
        count = len(numbers)
        if count < 2:
            return float("nan")
        off = np.bincount(places, self.values - self.mean)
        spread = float((off**2).sum()) * count / (count - 1)
        return float(np.sqrt(spread)) / len(self.values)


class Evaluator:
    """Scores candidates on a hold-out, each video of each once.

    Args:
        split: A split with complete ground truth.
        runs: The runs that candidates may name.
        metric: The measure to improve; an attribute of `ObjectScore`.
        every: Score one frame in so many; 1 is exact. Merging and post-processing
            always use all frames.
        budget: The budget of all evaluations.
        workers: Threads; one for each core by default.
        progress: Called with a video and its number of frames when it is scored.

    Raises:
        ScoringError: The split lacks ground truth.
        RunError: A run lacks a video.
    """

    def __init__(
        self,
        split: Split,
        runs: Mapping[str, Run],
        *,
        metric: str = "jf_dot",
        every: int = 1,
        budget: Budget | None = None,
        workers: int | None = None,
        progress: Callable[[str, int], None] = lambda video, frames: None,
    ) -> None:
        require_truth(split)
        self.split = split
        self.runs = HoldoutRuns(split, runs)
        self.metric = metric
        self.every = every
        self.budget = budget or Budget()
        self._workers = workers or cores()
        self._progress = progress
        self._known: dict[tuple[str, str], dict[int, ObjectScore]] = {}
        frames = {name: video.length for name, video in split.videos.items()}
        total = sum(frames.values())
        self._share = {name: length / total for name, length in frames.items()}
        # Cheap ones first, so that a bad candidate costs little.
        self.videos: tuple[str, ...] = tuple(
            sorted(frames, key=lambda name: (frames[name], name))
        )
        self._number = {name: index for index, name in enumerate(self.videos)}

    def scores(
        self, candidate: Candidate, videos: Sequence[str] | None = None
    ) -> dict[str, dict[int, ObjectScore]]:
        """The scores of each object of some videos; of all without any.

        Raises:
            BudgetSpentError: That would cost more than the budget.
        """
        wanted = self.videos if videos is None else videos
        key = candidate.key
        new = [name for name in wanted if (key, name) not in self._known]
        if new:
            self.budget.take(sum(self._share[name] for name in new))
            found = run_in_threads(
                lambda name: self._score(candidate, name),
                new,
                workers=self._workers,
                done=lambda name, _: self._progress(
                    name, self.split.videos[name].length
                ),
            )
            for name, one in zip(new, found, strict=True):
                self._known[key, name] = one
        return {name: self._known[key, name] for name in wanted}

    def sample(
        self, candidate: Candidate, videos: Sequence[str] | None = None
    ) -> Sample:
        """The measure of each object that has one; see `scores`."""
        values, numbers = [], []
        for name, objects in self.scores(candidate, videos).items():
            for score in objects.values():
                value: float | None = getattr(score, self.metric)
                if value is not None:
                    values.append(value)
                    numbers.append(self._number[name])
        return Sample(np.array(values, np.float64), np.array(numbers, np.intp))

    def mean(self, candidate: Candidate, videos: Sequence[str] | None = None) -> float:
        """The mean of the measure over the objects of some videos.

        Raises:
            ScoringError: No object has a value.
            BudgetSpentError: See `scores`.
        """
        sample = self.sample(candidate, videos)
        if videos is None and not len(sample.values):
            raise ScoringError(
                f"{self.split.place}: no object disappears and reappears, so "
                f"{self.metric} cannot be measured; choose another --metric"
            )
        return sample.mean

    def gain(
        self, candidate: Candidate, current: Candidate, videos: Sequence[str]
    ) -> float | None:
        """The gain of a candidate on some videos: the mean minus its standard error.

        None if the candidate is clearly worse: if the mean loss on the first third of
        the videos, at least three, is more than twice its standard error.
        """
        first = max(3, len(videos) // 3)
        if len(videos) > first:
            start = self.change(candidate, current, videos[:first])
            if start.mean + 2 * start.error < 0:
                return None
        change = self.change(candidate, current, videos)
        return change.mean - change.error

    def change(
        self, candidate: Candidate, current: Candidate, videos: Sequence[str]
    ) -> Sample:
        """The change of a candidate for each object."""
        after, before = self.sample(candidate, videos), self.sample(current, videos)
        return Sample(after.values - before.values, after.video_of)

    def _score(self, candidate: Candidate, name: str) -> dict[int, ObjectScore]:
        video = self.split.videos[name]
        truth = self.runs.truth(name)
        scorer = FrameScorer(*video.size, video.objects)
        masks = self.runs.merged(candidate, name)
        rows = []
        try:
            for index, labels in _labels(masks, candidate, self.every):
                checkpoint()
                rows.append(scorer.score_packed(truth[index], as_packed(labels)))
        finally:
            masks.close()
        if not rows:
            return {key: ObjectScore(0.0, 0.0, 0.0) for key in video.objects}
        frames = FrameScores.from_rows(np.stack(rows))
        return {
            key: object_score(frames.of(column))
            for column, key in enumerate(video.objects)
        }


def _labels(
    masks: VideoMasks, candidate: Candidate, every: int
) -> Iterator[tuple[int, Labels]]:
    """The masks of the frames that are scored, with their index.

    If a frame depends on others, all frames are merged.
    """
    scored = range(1, len(masks.frames) - 1, every)
    post = candidate.post
    if every == 1 or candidate.merge.gate is not None or post.looks_ahead:
        frames: Iterator[tuple[int, Codes]] = (
            (index, codes)
            for index, codes in enumerate(steady_frames(masks, post))
            if index in scored
        )
    else:
        frames = ((index, masks.codes(index)) for index in scored)
    for index, codes in frames:
        objects = masks.objects[: len(codes)]
        yield (
            index,
            frame_labels(codes, objects, masks.size, post, values=masks.values),
        )
