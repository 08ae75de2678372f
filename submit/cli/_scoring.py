"""Scoring a whole split, a part of it, and parts that become whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ._dividing import masks_of_parts
from ._progress import progress
from ._runs import reading_executor

if TYPE_CHECKING:
    from ..archive import Masks
    from ..data import Split
    from ..scoring import DavisSplitScore, SplitScore, VideoFrames

__all__ = ["join_scores", "scored"]


def join_scores(folder: Path) -> Sequence[str]:
    """Write the scores of all parts into one folder; returns the videos.

    Raises:
        ScoringError: A part is missing, or the masks or the split have changed.
    """
    from ..scoring import SCORED_PARTS, read_scored_parts, write_scores
    from ..scoring.texts import SCORES_FOLDER
    from ..system.outputs import claim

    parts = read_scored_parts(folder)
    asked = parts.request
    claim(folder, SCORES_FOLDER, inputs=(asked.source, asked.split))
    with masks_of_parts(parts, SCORED_PARTS) as (masks, split):
        scores = scored(masks, split, known=parts.videos, **asked.settings)
    write_scores(scores, folder)
    return asked.videos


def scored(
    masks: Masks,
    split: Split,
    *,
    protocol: str,
    as_server: bool,
    executor: str = "local",
    workers: int | None = None,
    known: Mapping[str, VideoFrames] | None = None,
) -> SplitScore | DavisSplitScore:
    """Score masks, but those of known videos; see `submit score` for the arguments."""
    from ..scoring import frames_to_score, score_davis, score_split

    elsewhere = reading_executor(executor, workers)
    with progress("score", total=frames_to_score(split)) as bar:
        if protocol == "davis":
            return score_davis(
                split,
                masks,
                workers=workers,
                executor=elsewhere,
                known=known,
                progress=bar.advance,
            )
        return score_split(
            split,
            masks,
            workers=workers,
            executor=elsewhere,
            as_server=as_server,
            known=known,
            progress=bar.advance,
        )
