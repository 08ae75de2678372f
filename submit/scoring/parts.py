"""Scores of parts of a split, kept frame by frame, so that they can be joined."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ScoringError
from ..metrics.frames import FrameScores
from ..system.files import read_json, write_json
from ..system.parts import Part
from .results import VideoFrames

__all__ = ["ScoredPart", "read_scored_parts", "scored_parts"]

#: The file in the folder of a part.
_REQUEST = "part.json"


@dataclass(frozen=True)
class ScoredPart:
    """What was asked of `submit score`, apart from the part.

    Attributes:
        source: The masks, as they were named.
        identity: Digest of the masks; None for a folder.
        runs: Where runs are kept.
        split: The split's folder.
        fingerprint: The split's fingerprint.
        meta: The meta file that was named.
        videos: All videos that are to be scored, in all parts.
        protocol: `mosev2` or `davis`.
        as_server: Whether masks with problems are scored, too.
    """

    source: str
    identity: str | None
    runs: str
    split: str
    fingerprint: str
    meta: str | None
    videos: tuple[str, ...]
    protocol: str
    as_server: bool

    def write(self, folder: Path, videos: Iterable[VideoFrames]) -> None:
        """Keep the frames of a part in its folder.

        Args:
            folder: The folder of the part.
            videos: Its videos.

        Raises:
            StorageError: The disk refuses.
        """
        frames = [
            {
                "video": one.video,
                "objects": one.objects,
                "frames": one.frames,
                "seconds": one.seconds,
                "scores": None
                if one.scores is None
                else {name: rows.tolist() for name, rows in vars(one.scores).items()},
            }
            for one in videos
        ]
        write_json(folder / _REQUEST, {"request": asdict(self), "frames": frames})


def scored_parts(whole: Path) -> tuple[Path, ...]:
    """The folders of parts of a folder of scores."""
    return tuple(Part.places(whole, _REQUEST).values())


def read_scored_parts(whole: Path) -> tuple[ScoredPart, dict[str, VideoFrames]]:
    """Read the scores of all parts of a folder.

    Args:
        whole: The folder that they are parts of.

    Returns:
        What was asked, and the frames of each video.

    Raises:
        ScoringError: A part is missing, damaged, or belongs to another request.
    """
    places = Part.places(whole, _REQUEST)
    counts = sorted({part.count for part in places})
    if len(counts) > 1:
        raise ScoringError(
            f"{whole}: has parts of different divisions, of {counts[0]} and of "
            f"{counts[1]}; delete those that are not meant"
        )
    found = {part: _read(folder) for part, folder in places.items()}
    (first, (request, _)), *others = found.items()
    for part, (other, _) in others:
        if differing := _differences(request, other):
            raise ScoringError(
                f"{places[part]}: was scored with other {', '.join(differing)} than "
                f"{places[first]}; score it again"
            )
    frames = {name: one for _, scored in found.values() for name, one in scored.items()}
    if lacking := [name for name in request.videos if name not in frames]:
        absent = [str(part.index) for part in Part.missing(places)]
        raise ScoringError(
            f"{whole}: {len(lacking)} of {len(request.videos)} videos are not scored, "
            f"such as {lacking[0]}; score part {', '.join(absent)} of {counts[0]}"
        )
    return request, frames


def _read(folder: Path) -> tuple[ScoredPart, dict[str, VideoFrames]]:
    try:
        content = read_json(folder / _REQUEST)
        asked = content["request"]
        request = ScoredPart(**{**asked, "videos": tuple(asked["videos"])})
        frames = [_frames(entry) for entry in content["frames"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ScoringError(
            f"{folder}: cannot be read ({error}); score this part again"
        ) from error
    return request, {one.video: one for one in frames}


def _frames(entry: Mapping[str, Any]) -> VideoFrames:
    objects, frames = tuple(entry["objects"]), tuple(entry["frames"])
    rows = entry["scores"]

    def table(name: str, dtype: type) -> NDArray[Any]:
        return np.array(rows[name], dtype).reshape(len(frames), len(objects))

    return VideoFrames(
        video=entry["video"],
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
        seconds=entry["seconds"],
    )


def _differences(one: ScoredPart, other: ScoredPart) -> list[str]:
    """The names of what differs."""
    other_values = vars(other)
    return [
        name.replace("_", " ")
        for name, value in vars(one).items()
        if json.dumps(value) != json.dumps(other_values[name])
    ]
