"""Validation: the toolkit's own prediction and score on a hold-out, in memory.

The numbers are those of `submit predict`, `submit export` and `submit score` with the
same weights: logits are rounded as in a run, and frames scored as the server does it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..data import Split, SplitVideo, read_frame
from ..errors import TrainingError
from ..masks import binary_masks, object_ids, quantise, to_labels
from ..metrics.bootstrap import expanded_interval, resampled_means
from ..metrics.frames import FrameScorer, FrameScores
from ..metrics.measures import MEASURES
from ..predictors import Mask, Prediction, Predictor, Video, as_delayed
from ..scoring import SplitScore, Totals, VideoFrames
from ..scoring.plan import require_truth
from .ranks import Ranks

__all__ = ["Validated", "require_scorable", "validate"]

#: Means of the bootstrap, and its seed.
_RESAMPLES, _SEED = 10_000, 0


@dataclass(frozen=True)
class Validated:
    """The scores of some weights.

    Attributes:
        totals: The seven official numbers, as fractions.
        interval: The 95 % interval of J&Ḟ, by a bootstrap over videos; None for a
            single video.
        videos: Mean J&Ḟ of the objects of each video.
    """

    totals: Totals
    interval: tuple[float, float] | None
    videos: dict[str, float]

    def as_data(self) -> dict[str, object]:
        """As the log has it."""
        return {
            **{name: getattr(self.totals, name) for name in MEASURES},
            "interval": self.interval,
        }


def require_scorable(split: Split) -> None:
    """Check that a hold-out has frames and truth.

    Raises:
        ScoringError: It lacks truth.
        TrainingError: A video lacks frames, or has no object in its first mask.
    """
    require_truth(split)
    for video in split.videos.values():
        if not video.images:
            raise TrainingError(
                f"{split.place}: video {video.name} has no frames to predict"
            )
        if not object_ids(video.first_mask()):
            raise TrainingError(
                f"{split.place}: video {video.name} has no object in its first mask"
            )


def validate(
    predictor: Predictor,
    split: Split,
    ranks: Ranks,
    *,
    progress: Callable[[str, int], None] = lambda video, frames: None,
) -> Validated:
    """Predict and score a hold-out; processes share its videos.

    Args:
        predictor: The model.
        split: The hold-out.
        ranks: This process among all.
        progress: Called with each video and its number of frames.
    """
    own = _shares(list(split.videos.values()), ranks.world)[ranks.rank]
    found = []
    for video in own:
        found.append(_score(predictor, video))
        progress(video.name, video.length)
    scored = {one.video: one for part in ranks.gather(found) for one in part}
    return _summary([scored[name] for name in split.videos])


def _shares(videos: Sequence[SplitVideo], count: int) -> list[list[SplitVideo]]:
    """Divide videos, the longest first to the process with the least work."""
    shares: list[list[SplitVideo]] = [[] for _ in range(count)]
    work = [0] * count
    for video in sorted(videos, key=lambda video: (-video.length, video.name)):
        least = work.index(min(work))
        shares[least].append(video)
        work[least] += video.length
    return shares


def _score(predictor: Predictor, video: SplitVideo) -> VideoFrames:
    """Predict a video, and score each frame as its prediction comes."""
    scorer = FrameScorer(*video.size, video.objects)
    rows = []
    for frame, prediction in zip(
        video.frames, _predictions(predictor, video), strict=True
    ):
        # The first and the last frame do not count.
        if frame in (video.frames[0], video.frames[-1]):
            continue
        labels = to_labels(quantise(prediction.logits), prediction.objects, video.size)
        truth = video.packed_mask(frame, size=video.size).unpack()
        rows.append(scorer.score(truth, labels))
    shape = (0, len(video.objects), 4)
    scores = FrameScores.from_rows(np.stack(rows) if rows else np.empty(shape))
    return VideoFrames(video.name, video.objects, video.frames[1:-1], scores)


def _predictions(predictor: Predictor, video: SplitVideo) -> Iterator[Prediction]:
    """Predict all frames of a video, given its first mask."""
    first = video.first_mask()
    given = {
        key: Mask(mask) for key, mask in binary_masks(first, object_ids(first)).items()
    }
    session = as_delayed(
        predictor.session(Video(video.name, video.height, video.width, video.length))
    )
    try:
        for place, frame in enumerate(video.frames):
            image = read_frame(video.images[frame], video.size)
            yield from session.step(image, {} if place else given)
        yield from session.finish()
    finally:
        session.close()


def _summary(videos: Sequence[VideoFrames]) -> Validated:
    score = SplitScore.of(videos)
    values, numbers = [], []
    for number, video in enumerate(score.videos.values()):
        for one in video.objects.values():
            values.append(one.jf_dot)
            numbers.append(number)
    interval = None
    if len(score.videos) > 1:
        means = resampled_means(np.array(values), np.array(numbers), _RESAMPLES, _SEED)
        interval = expanded_interval(means, len(score.videos))
    return Validated(
        totals=score.totals,
        interval=interval,
        videos={
            name: float(np.mean([one.jf_dot for one in video.objects.values()]))
            for name, video in score.videos.items()
            if video.objects
        },
    )
