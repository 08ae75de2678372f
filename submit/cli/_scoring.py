"""Scoring a whole split, a part of it, and parts that become whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ScoringError
from ._progress import progress
from ._runs import masks_of, reading_executor

if TYPE_CHECKING:
    from ..data import Split
    from ..scoring import DavisSplitScore, ScoredPart, SplitScore, VideoFrames

__all__ = ["identity_of", "join_scores", "scored"]


def join_scores(folder: Path) -> Sequence[str]:
    """Write the scores of all parts into one folder; returns the videos.

    Raises:
        ScoringError: A part is missing, or the masks or the split have changed.
    """
    from ..data import read_split
    from ..scoring import read_scored_parts, write_scores
    from ..scoring.texts import SCORES_FOLDER
    from ..system.outputs import claim

    asked, known = read_scored_parts(folder)
    claim(folder, SCORES_FOLDER, inputs=(asked.source, asked.split))
    split = read_split(asked.split, meta=asked.meta, videos=asked.videos)
    for what, there, now in (
        (asked.source, asked.identity, identity_of(Path(asked.runs), asked.source)),
        (asked.split, asked.fingerprint, split.fingerprint),
    ):
        if there != now:
            raise ScoringError(
                f"{what}: has changed since its parts were scored; score them again"
            )
    write_scores(scored(asked, split, known=known), folder)
    return asked.videos


def scored(
    asked: ScoredPart,
    split: Split,
    *,
    executor: str = "local",
    workers: int | None = None,
    known: Mapping[str, VideoFrames] | None = None,
) -> SplitScore | DavisSplitScore:
    """Score the videos of a split that are not known yet."""
    from ..scoring import frames_to_score, score_davis, score_split

    runs = Path(asked.runs)
    with (
        masks_of(runs, asked.source, split, workers=workers, kind=executor) as masks,
        progress("score", total=frames_to_score(split)) as bar,
    ):
        if asked.protocol == "davis":
            return score_davis(
                split,
                masks,
                workers=workers,
                executor=reading_executor(executor, workers),
                known=known,
                progress=bar.advance,
            )
        return score_split(
            split,
            masks,
            workers=workers,
            executor=reading_executor(executor, workers),
            as_server=asked.as_server,
            known=known,
            progress=bar.advance,
        )


def identity_of(runs: Path, source: str) -> str | None:
    """A digest of a run or a zip; None for a folder."""
    from ..pipeline.sources import find_run
    from ..system.files import digest

    run = find_run(runs, source)
    if run is not None:
        return run.identity
    return digest(Path(source)) if Path(source).is_file() else None
