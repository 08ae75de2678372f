"""The results of scoring: frames, objects, videos and the split, as fractions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..metrics.frames import (
    DavisScore,
    FrameScores,
    ObjectScore,
    davis_score,
    object_score,
)

__all__ = [
    "DavisSplitScore",
    "DavisTotals",
    "DavisVideoScore",
    "SplitScore",
    "Totals",
    "VideoFrames",
    "VideoScore",
]


@dataclass(frozen=True, eq=False)
class VideoFrames:
    """One video, frame by frame.

    Attributes:
        video: Its name.
        objects: Object ids, in the order of the second axis of the scores.
        frames: Stems of the evaluated frames, in the order of the first axis.
        scores: T×N scores; None where the prediction has no such video.
        seconds: Processor time spent on it, reading included.
    """

    video: str
    objects: tuple[int, ...]
    frames: tuple[str, ...]
    scores: FrameScores | None
    seconds: float = 0.0


@dataclass(frozen=True)
class VideoScore:
    """One video's objects under the MOSEv2 protocol.

    Attributes:
        video: Its name.
        objects: The score of each object, by id.
        missing: Whether the prediction has no such video, so that all is 0.
        frames: The scores frame by frame.
    """

    video: str
    objects: dict[int, ObjectScore]
    missing: bool
    frames: VideoFrames = field(repr=False, compare=False)

    @classmethod
    def of(cls, frames: VideoFrames) -> VideoScore:
        """Average the frames of each object."""
        scores = frames.scores
        return cls(
            video=frames.video,
            objects={
                key: ObjectScore(0.0, 0.0, 0.0)
                if scores is None
                else object_score(scores.of(index))
                for index, key in enumerate(frames.objects)
            },
            missing=scores is None,
            frames=frames,
        )


@dataclass(frozen=True)
class Totals:
    """The seven official numbers of a split, in their official order, as fractions.

    Attributes:
        jf_dot: J&Ḟ, which ranks entries.
        j: Mean region similarity.
        f_dot: Mean Ḟ.
        disappear: J&Ḟ_d; None where no object has a disappearance clip.
        reappear: J&Ḟ_r; None where no object has a reappearance clip.
        f: Mean classic F.
        jf: Classic J&F.
    """

    jf_dot: float
    j: float
    f_dot: float
    disappear: float | None
    reappear: float | None
    f: float
    jf: float

    @classmethod
    def of(cls, objects: Iterable[ObjectScore]) -> Totals:
        """Average over objects; those without a clip do not count to d or r."""
        scores = list(objects)
        j = _mean(score.j for score in scores)
        f_dot = _mean(score.f_dot for score in scores)
        f = _mean(score.f for score in scores)
        return cls(
            jf_dot=(j + f_dot) / 2,
            j=j,
            f_dot=f_dot,
            disappear=_mean_of_pair(
                [score.disappear_j for score in scores],
                [score.disappear_f_dot for score in scores],
            ),
            reappear=_mean_of_pair(
                [score.reappear_j for score in scores],
                [score.reappear_f_dot for score in scores],
            ),
            f=f,
            jf=(j + f) / 2,
        )


@dataclass(frozen=True)
class SplitScore:
    """A split scored under the MOSEv2 protocol.

    Attributes:
        totals: The seven official numbers.
        videos: The score of each video, by name, in the split's order.
        notes: Remarks about the numbers.
    """

    totals: Totals
    videos: dict[str, VideoScore]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, videos: Iterable[VideoFrames], notes: Sequence[str] = ()) -> SplitScore:
        """Average frames over objects and objects over the split."""
        scores = {frames.video: VideoScore.of(frames) for frames in videos}
        return cls(
            totals=Totals.of(
                score for video in scores.values() for score in video.objects.values()
            ),
            videos=scores,
            notes=tuple(notes),
        )

    def objects(self) -> Iterator[tuple[str, int, ObjectScore]]:
        """Walk over all objects as (video, id, score)."""
        for video in self.videos.values():
            for key, score in video.objects.items():
                yield video.video, key, score


@dataclass(frozen=True)
class DavisVideoScore:
    """One video's objects under the classic DAVIS protocol.

    Attributes:
        video: Its name.
        objects: The score of each object, by id.
        frames: The scores frame by frame; `f_dot` equals `f`.
    """

    video: str
    objects: dict[int, DavisScore]
    frames: VideoFrames = field(repr=False, compare=False)


@dataclass(frozen=True)
class DavisTotals:
    """The seven numbers of DAVIS 2017 in their usual order, as fractions.

    Attributes:
        jf: J&F.
        j: Mean J.
        j_recall: Share of frames with J above 0.5, mean over objects.
        j_decay: Loss of J from the first quarter to the last, mean over objects.
        f: Mean F.
        f_recall: As `j_recall`.
        f_decay: As `j_decay`.
    """

    jf: float
    j: float
    j_recall: float
    j_decay: float
    f: float
    f_recall: float
    f_decay: float


@dataclass(frozen=True)
class DavisSplitScore:
    """A split scored under the classic DAVIS protocol.

    Attributes:
        totals: Means over all objects.
        videos: The score of each video, by name, in the split's order.
        notes: Remarks about the numbers.
    """

    totals: DavisTotals
    videos: dict[str, DavisVideoScore]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, videos: Iterable[VideoFrames], notes: Sequence[str] = ()
    ) -> DavisSplitScore:
        """Average frames over objects and objects over the split."""
        scores: dict[str, DavisVideoScore] = {}
        for frames in videos:
            assert frames.scores is not None  # DAVIS has no score for a missing video.
            objects = {
                key: davis_score(frames.scores.of(index))
                for index, key in enumerate(frames.objects)
            }
            scores[frames.video] = DavisVideoScore(frames.video, objects, frames)
        every = [score for video in scores.values() for score in video.objects.values()]
        j = _mean(score.j for score in every)
        f = _mean(score.f for score in every)
        totals = DavisTotals(
            jf=(j + f) / 2,
            j=j,
            j_recall=_mean(score.j_recall for score in every),
            j_decay=_mean(score.j_decay for score in every),
            f=f,
            f_recall=_mean(score.f_recall for score in every),
            f_decay=_mean(score.f_decay for score in every),
        )
        return cls(totals, scores, tuple(notes))


def _mean(values: Iterable[float]) -> float:
    """Mean as NumPy computes it, which is that of the official totals."""
    return float(np.mean(list(values)))


def _mean_of_pair(
    j: Sequence[float | None], f_dot: Sequence[float | None]
) -> float | None:
    """Mean of the two means over the objects that have values."""
    js = [value for value in j if value is not None]
    f_dots = [value for value in f_dot if value is not None]
    return (_mean(js) + _mean(f_dots)) / 2 if js and f_dots else None
