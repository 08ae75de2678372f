"""Scoring a whole split, a part of it, and parts that become whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ._dividing import require_unchanged, split_of_request
from ._progress import progress
from ._runs import masks_of, reading_executor

if TYPE_CHECKING:
    from ..data import Split
    from ..scoring import DavisSplitScore, SplitScore, VideoFrames

__all__ = ["join_scores", "scored"]


def join_scores(folder: Path) -> Sequence[str]:
    """Write the scores of all parts into one folder; returns the videos.

    Raises:
        ScoringError: A part is missing, or the masks or the split have changed.
    """
    from ..runs.kept import runs_folder
    from ..scoring import SCORED_PARTS, read_scored_parts, write_scores
    from ..scoring.texts import SCORES_FOLDER
    from ..system.outputs import claim

    asked, known = read_scored_parts(folder)
    claim(folder, SCORES_FOLDER, inputs=(asked.source, asked.split))
    split = split_of_request(asked)
    require_unchanged(asked, split, SCORED_PARTS)
    runs = runs_folder(asked.runs)
    scores = scored(asked.source, split, runs=runs, known=known, **asked.settings)
    write_scores(scores, folder)
    return asked.videos


def scored(
    source: str,
    split: Split,
    *,
    runs: Path,
    protocol: str,
    as_server: bool,
    executor: str = "local",
    workers: int | None = None,
    known: Mapping[str, VideoFrames] | None = None,
) -> SplitScore | DavisSplitScore:
    """Score masks, but those of known videos; see `submit score` for the arguments."""
    from ..scoring import frames_to_score, score_davis, score_split

    with (
        masks_of(runs, source, split, workers=workers, kind=executor) as masks,
        progress("score", total=frames_to_score(split)) as bar,
    ):
        elsewhere = reading_executor(executor, workers)
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
