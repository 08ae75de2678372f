"""Comparing entries: differences of scores, and whether they are significant.

Both entries are scored on the same objects, so differences are taken per object. Their
intervals come from a bootstrap over videos: scores of objects in one video are
correlated, so whole videos are drawn, with replacement, and the mean over their objects
is computed each time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import ScoringError
from ..metrics.bootstrap import resampled_means
from ..metrics.measures import MEASURES
from ..system.files import read_json
from ..system.words import counted
from .results import SplitScore
from .texts import OFFICIAL_NAMES

__all__ = [
    "Comparison",
    "Difference",
    "ObjectDifference",
    "ScoredEntry",
    "VideoDifference",
    "compare_entries",
    "entry_of",
    "read_metrics",
]

#: Objects whose scores differ by less count as equal: half of the last official digit.
TIE = 0.00005

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ScoredEntry:
    """One entry: the measures of each object.

    Attributes:
        name: Its name.
        objects: By video and object id, the seven measures in the order of `MEASURES`,
            as fractions; None where an object has no value.
    """

    name: str
    objects: Mapping[tuple[str, int], Sequence[float | None]]

    def only(self, videos: Collection[str]) -> ScoredEntry:
        """A copy with the objects of some videos.

        Raises:
            ScoringError: It has none of them.
        """
        kept = {key: found for key, found in self.objects.items() if key[0] in videos}
        if not kept:
            raise ScoringError(
                f"{self.name}: holds no object of the videos that were asked for, such "
                f"as {next(iter(videos))}"
            )
        return ScoredEntry(self.name, kept)


@dataclass(frozen=True)
class Difference:
    """How one measure changes from the baseline to the other entry.

    Attributes:
        measure: Its name, one of `MEASURES`.
        baseline: Mean over the objects that have a value in both; None without any.
        other: The same of the other entry.
        difference: `other` minus `baseline`.
        low: Lower end of the bootstrap interval of the difference.
        high: Upper end.
        better_share: Share of the resamples in which the other entry is better; a tie
            counts as half.
        objects: Number of objects that have a value in both.
        unpaired: Number of objects that have a value in one only, and so do not count:
            those of a video that is missing, in J&Ḟ_d and J&Ḟ_r.
        wins: Objects with which the other entry is better.
        losses: Objects with which it is worse.
        ties: Objects with which both are equal.
    """

    measure: str
    baseline: float | None
    other: float | None
    difference: float | None
    low: float | None
    high: float | None
    better_share: float | None
    objects: int
    unpaired: int
    wins: int
    losses: int
    ties: int

    @property
    def is_clear(self) -> bool:
        """Whether the difference is significant: the interval excludes 0."""
        if self.low is None or self.high is None:
            return False
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class VideoDifference:
    """The contribution of one video to the difference in J&Ḟ.

    Attributes:
        video: Its name.
        difference: Mean difference of its objects.
        share: Its contribution to the total difference; all contributions sum to it.
        objects: Number of its objects.
    """

    video: str
    difference: float
    share: float
    objects: int


@dataclass(frozen=True)
class ObjectDifference:
    """One object in both entries, in J&Ḟ."""

    video: str
    object: int
    baseline: float
    other: float

    @property
    def difference(self) -> float:
        """`other` minus `baseline`."""
        return self.other - self.baseline


@dataclass(frozen=True)
class Comparison:
    """Another entry against a baseline.

    Attributes:
        baseline: The baseline's name.
        other: The other entry's name.
        measures: The differences by measure, in the order of `MEASURES`.
        videos: The videos, sorted by the size of their contribution to the difference
            in J&Ḟ.
        objects: The objects, those with the largest differences first.
        deciding: The fewest videos without which the difference in J&Ḟ would be 0 or
            have the other sign, the most important first; empty if there is no
            difference.
        confidence: Share of the resamples inside the intervals.
        resamples: How many were drawn.
    """

    baseline: str
    other: str
    measures: Mapping[str, Difference]
    videos: tuple[VideoDifference, ...]
    objects: tuple[ObjectDifference, ...]
    deciding: tuple[str, ...]
    confidence: float
    resamples: int


def entry_of(name: str, score: SplitScore) -> ScoredEntry:
    """Take the objects of a scored split."""
    return ScoredEntry(
        name,
        {
            (video, key): tuple(getattr(numbers, each) for each in MEASURES)
            for video, key, numbers in score.objects()
        },
    )


def read_metrics(path: Path) -> ScoredEntry:
    """Read an official `metrics.json`, such as the server gives out for every entry.

    Its numbers are rounded to two decimals of a percent.

    Raises:
        ScoringError: It cannot be read, or is not such a file.
    """
    try:
        content = read_json(path)
    except OSError as error:
        raise ScoringError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ScoringError(str(error)) from error
    objects = {}
    try:
        for name, numbers in content.items():
            if name == "total_time":
                continue
            video, _, key = name.rpartition("_")
            percents = [numbers[each] for each in OFFICIAL_NAMES]
            objects[video, int(key)] = tuple(
                None if value is None else float(value) / 100 for value in percents
            )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise ScoringError(
            f"{path}: is not a metrics.json of the official scorer ({error!r}); "
            "download the output of the scoring step, or compare runs with --split"
        ) from error
    return ScoredEntry(str(path), objects)


def compare_entries(
    baseline: ScoredEntry,
    other: ScoredEntry,
    *,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Compare an entry with a baseline on the same split.

    Args:
        baseline: The entry to compare with.
        other: The entry to judge.
        confidence: Share of the resamples inside the intervals.
        resamples: How many bootstrap resamples of the videos.
        seed: Equal seeds give equal intervals.

    Raises:
        ScoringError: The entries are not scored on the same objects.
    """
    keys = sorted(baseline.objects)
    _require_same_objects(baseline, other)
    before = _table(baseline, keys)
    after = _table(other, keys)
    videos = sorted({video for video, _ in keys})
    place = {video: index for index, video in enumerate(videos)}
    video_of = np.array([place[video] for video, _ in keys])
    measures = {
        measure: _difference(
            measure,
            before[:, column],
            after[:, column],
            video_of,
            confidence=confidence,
            resamples=resamples,
            seed=seed,
        )
        for column, measure in enumerate(MEASURES)
    }
    change = after[:, 0] - before[:, 0]
    sums: Floats = np.bincount(video_of, change, len(videos)).astype(np.float64)
    counts = np.bincount(video_of, minlength=len(videos))
    return Comparison(
        baseline=baseline.name,
        other=other.name,
        measures=measures,
        videos=tuple(
            VideoDifference(
                video=videos[index],
                difference=float(sums[index] / counts[index]),
                share=float(sums[index] / len(keys)),
                objects=int(counts[index]),
            )
            for index in np.argsort(-np.abs(sums), kind="stable")
        ),
        objects=tuple(
            ObjectDifference(
                video=keys[index][0],
                object=keys[index][1],
                baseline=float(before[index, 0]),
                other=float(after[index, 0]),
            )
            for index in np.argsort(-np.abs(change), kind="stable")
        ),
        deciding=tuple(videos[index] for index in _deciding(sums)),
        confidence=confidence,
        resamples=resamples,
    )


def _require_same_objects(baseline: ScoredEntry, other: ScoredEntry) -> None:
    """Make sure that both entries have the same objects.

    Raises:
        ScoringError: They have different objects.
    """
    only = [
        (name, sorted(these.keys() - those.keys()))
        for name, these, those in (
            (baseline.name, baseline.objects, other.objects),
            (other.name, other.objects, baseline.objects),
        )
    ]
    for name, keys in only:
        if keys:
            video, key = keys[0]
            raise ScoringError(
                f"only {name} has {counted(len(keys), 'object')}, such as {key} of "
                f"{video}; compare entries that were scored on the same split"
            )
    if not baseline.objects:
        raise ScoringError(f"{baseline.name}: holds no objects to compare")


def _table(entry: ScoredEntry, keys: Iterable[tuple[str, int]]) -> Floats:
    """Objects × measures, NaN where there is no value."""
    rows = [
        [np.nan if value is None else value for value in entry.objects[key]]
        for key in keys
    ]
    return np.array(rows, np.float64)


def _difference(
    measure: str,
    before: Floats,
    after: Floats,
    video_of: NDArray[np.intp],
    *,
    confidence: float,
    resamples: int,
    seed: int,
) -> Difference:
    """Compare one measure over the objects that have a value in both entries."""
    there = ~np.isnan(before) & ~np.isnan(after)
    unpaired = int(np.sum(np.isnan(before) != np.isnan(after)))
    if not there.any():
        return Difference(
            measure=measure,
            baseline=None,
            other=None,
            difference=None,
            low=None,
            high=None,
            better_share=None,
            objects=0,
            unpaired=unpaired,
            wins=0,
            losses=0,
            ties=0,
        )
    change = after[there] - before[there]
    means = resampled_means(change, video_of[there], resamples, seed)
    edge = (1 - confidence) / 2
    low, high = np.quantile(means, (edge, 1 - edge))
    return Difference(
        measure=measure,
        baseline=float(before[there].mean()),
        other=float(after[there].mean()),
        difference=float(change.mean()),
        low=float(low),
        high=float(high),
        better_share=float(np.mean(means > 0) + np.mean(means == 0) / 2),
        objects=int(there.sum()),
        unpaired=unpaired,
        wins=int(np.sum(change >= TIE)),
        losses=int(np.sum(change <= -TIE)),
        ties=int(np.sum(np.abs(change) < TIE)),
    )


def _deciding(sums: Floats) -> NDArray[np.intp]:
    """The fewest videos without which a difference is not there.

    Args:
        sums: The contribution of each video.
    """
    total = float(sums.sum())
    if total == 0:
        return np.empty(0, np.intp)
    toward = sums * np.sign(total)
    order = np.argsort(-toward, kind="stable")
    left = abs(total) - np.cumsum(toward[order])
    count = int(np.argmax(left <= 1e-12)) + 1
    # Leaving out all videos does not count.
    return order[:count] if count < len(sums) else np.empty(0, np.intp)
