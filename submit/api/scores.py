"""Scores in scripts and notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..data import read_split
from ..errors import ScoringError
from ..masks import Labels, object_ids
from ..metrics.frames import FrameScorer, FrameScores
from ..metrics.measures import MEASURES
from ..scoring import SplitScore, Totals, VideoFrames, percent, score_split
from ..system.words import counted
from .pictures import as_frame, html_table
from .runs import OpenRun, open_run
from .splits import OpenSplit, split_behind

if TYPE_CHECKING:
    import pandas

__all__ = ["Scores", "score"]

#: Label of pixels that DAVIS and YouTube-VOS do not count; no object has it.
_VOID = 255


def score(
    masks: OpenRun | Path | str | NDArray[np.uint8],
    truth: OpenSplit | Path | str | NDArray[np.uint8],
    *,
    videos: str | Sequence[str] = (),
    workers: int | None = None,
) -> Scores:
    """Score masks against ground truth, exactly as the MOSEv2 server does.

    Args:
        masks: An open run, a run's name or folder, a folder of `<video>/<frame>.png`,
            or a zip of one; or the label maps of one video, T×H×W uint8.
        truth: A split with a mask for every frame, open or its folder; or for label
            maps the true ones, T×H×W uint8. Of T frames the first and the last do not
            count, as in the official scorer.
        videos: Shell patterns of the videos to score; all without one. Not for label
            maps.
        workers: Threads; one for each core by default.

    Raises:
        ScoringError: The split has no complete truth, the masks have a defect, or label
            maps have different shapes or fewer than three frames.
        MaskError: A mask cannot be read.
    """
    if isinstance(masks, np.ndarray) or isinstance(truth, np.ndarray):
        if not isinstance(masks, np.ndarray) or not isinstance(truth, np.ndarray):
            raise ScoringError(
                "label maps are scored against label maps; give both as arrays, or "
                "both as paths"
            )
        return Scores(SplitScore.of([_score_arrays(masks, truth)]))
    patterns = (videos,) if isinstance(videos, str) else tuple(videos)
    split = split_behind(truth, patterns)
    run = masks
    if not isinstance(run, OpenRun):
        run = open_run(run, split=OpenSplit(read_split(split.place)))
    with run.open_masks(split) as opened:
        return Scores(score_split(split, opened, workers=workers))


def _score_arrays(masks: Labels, truth: Labels) -> VideoFrames:
    """Score the label maps of one video."""
    for name, array in (("masks", masks), ("truth", truth)):
        if array.ndim != 3 or array.dtype != np.uint8:
            raise ScoringError(
                f"{name}: expected label maps T×H×W uint8, found {array.dtype} of "
                f"shape {array.shape}"
            )
    if masks.shape != truth.shape or len(masks) < 3:
        raise ScoringError(
            "expected masks and truth of equal shape and at least 3 frames, found "
            f"{masks.shape} and {truth.shape}"
        )
    ids = tuple(key for key in object_ids(truth) if key != _VOID)
    if not ids:
        raise ScoringError("truth: has no object in any frame")
    _, height, width = truth.shape
    scorer = FrameScorer(height, width, ids)
    rows = np.stack(
        [scorer.score(truth[t], masks[t]) for t in range(1, len(truth) - 1)]
    )
    return VideoFrames(
        video="video",
        objects=ids,
        frames=tuple(f"{t:05d}" for t in range(1, len(truth) - 1)),
        scores=FrameScores.from_rows(rows),
    )


class Scores:
    """The official numbers, as fractions from 0 to 1.

    Attributes:
        totals: The seven numbers of the split.
        notes: Remarks about the numbers.
    """

    def __init__(self, found: SplitScore) -> None:
        self._found = found
        self.totals: Totals = found.totals
        self.notes = found.notes

    def rows(
        self, level: Literal["object", "frame"] = "object"
    ) -> list[dict[str, Any]]:
        """Numbers of each object, or of each object in each evaluated frame.

        Args:
            level: "object": video, object, the seven numbers (None where an object has
                no such clip) and the number of frames. "frame": video, object, frame,
                j, f_dot, f and empty (whether the truth has no such object there).
        """
        if level == "object":
            return [
                {
                    "video": video,
                    "object": key,
                    **{name: getattr(one, name) for name in MEASURES},
                    "frames": len(self._found.videos[video].frames.frames),
                }
                for video, key, one in self._found.objects()
            ]
        if level != "frame":
            raise ValueError(f"level: expected 'object' or 'frame', found {level!r}")
        rows = []
        for video in self._found.videos.values():
            scores = video.frames.scores
            if scores is None:
                continue
            for index, key in enumerate(video.frames.objects):
                for t, frame in enumerate(video.frames.frames):
                    rows.append(
                        {
                            "video": video.video,
                            "object": key,
                            "frame": frame,
                            "j": float(scores.j[t, index]),
                            "f_dot": float(scores.f_dot[t, index]),
                            "f": float(scores.f[t, index]),
                            "empty": bool(scores.empty[t, index]),
                        }
                    )
        return rows

    def to_frame(
        self, level: Literal["object", "frame"] = "object"
    ) -> pandas.DataFrame:
        """The rows as a pandas frame; see `rows`.

        Raises:
            SubmitError: pandas is not installed.
        """
        return as_frame(self.rows(level))

    def __repr__(self) -> str:
        cells = (
            f"{name} {percent(getattr(self.totals, field))}"
            for field, name in MEASURES.items()
        )
        count = sum(1 for _ in self._found.objects())
        return f"<scores of {counted(count, 'object')}: {', '.join(cells)}>"

    def _repr_html_(self) -> str:
        header = ("", "", *MEASURES.values())
        rows: list[tuple[object, ...]] = [("all objects", "", *_cells(self.totals))]
        rows += [
            (video, key, *_cells(one)) for video, key, one in self._found.objects()
        ]
        return html_table(header, rows)


def _cells(numbers: object) -> list[str]:
    """Numbers in percent with two decimals, as the server shows them."""
    values = (percent(getattr(numbers, name)) for name in MEASURES)
    return ["–" if value is None else f"{value:.2f}" for value in values]
