"""Scores of parts of a split, kept frame by frame, so that they can be joined."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ScoringError
from ..metrics.frames import FrameScores
from ..system.partial import JoinedResults, PartialResults, Request
from .results import VideoFrames

__all__ = [
    "SCORED_PARTS",
    "entry_of_frames",
    "frames_of_entry",
    "read_scored_parts",
    "write_scored_part",
]

#: What `submit score --part` writes.
SCORED_PARTS = PartialResults(
    file="part.json",
    verb="score",
    done="scored",
    error=ScoringError,
    settings={"protocol": str, "as_server": bool},
)


def write_scored_part(
    folder: Path,
    request: Request,
    videos: Iterable[VideoFrames],
    masks: Mapping[str, str | None],
) -> None:
    """Keep the frames of a part in its folder.

    Args:
        folder: The folder of the part.
        request: What was asked of all parts.
        videos: The videos of this part.
        masks: A digest of the masks of each; None where there are none.

    Raises:
        StorageError: The disk refuses.
    """
    entries = {
        one.video: {"masks": masks[one.video], **entry_of_frames(one)} for one in videos
    }
    SCORED_PARTS.write(folder, request, entries)


def read_scored_parts(whole: Path) -> JoinedResults[VideoFrames]:
    """Read the scores of all parts of a folder.

    Args:
        whole: The folder that they are parts of.

    Raises:
        ScoringError: A part is missing, damaged, or belongs to another request.
    """
    return SCORED_PARTS.join(whole, frames_of_entry)


def entry_of_frames(frames: VideoFrames) -> dict[str, Any]:
    """The frames of a video in types that JSON has, with every bit."""
    scores = frames.scores
    return {
        "objects": frames.objects,
        "frames": frames.frames,
        "seconds": frames.seconds,
        "scores": None
        if scores is None
        else {name: rows.tolist() for name, rows in vars(scores).items()},
    }


def frames_of_entry(video: str, entry: Mapping[str, Any]) -> VideoFrames:
    """The frames of a video from what `entry_of_frames` made.

    Args:
        video: Its name.
        entry: What was made: T frames, N objects, and T×N scores in [0, 1].

    Raises:
        ValueError: It is of another form.
        KeyError: The same.
        TypeError: The same.
    """
    objects, frames = tuple(entry["objects"]), tuple(entry["frames"])
    rows, seconds = entry["scores"], entry["seconds"]
    if type(seconds) not in (int, float) or not math.isfinite(seconds):
        raise ValueError(f"it took {seconds!r:.40} seconds")

    def table(name: str, dtype: type) -> NDArray[Any]:
        found: NDArray[Any] = np.array(rows[name], dtype).reshape(
            len(frames), len(objects)
        )
        if not ((found >= 0) & (found <= 1)).all():
            raise ValueError("a score is not between 0 and 1")
        return found

    return VideoFrames(
        video=video,
        objects=objects,
        frames=frames,
        scores=None
        if rows is None
        else FrameScores(
            j=table("j", np.float64),
            f_dot=table("f_dot", np.float64),
            f=table("f", np.float64),
            empty=table("empty", np.bool_),
        ),
        seconds=seconds,
    )
