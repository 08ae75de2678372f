"""What a page shows of one video, as plain data that another command can read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ..archive import Masks
from ..checks import Finding, VideoCheck
from ..checks.parts import finding_of_entry
from ..data import SplitVideo
from ..runs import Run, RunCost
from ..scoring import VideoFrames
from ..scoring.parts import entry_of_frames, frames_of_entry
from ..tuning import ObjectLook, VideoLook
from .strips import Counts, Strips

__all__ = [
    "MALFORMED",
    "ReportPiece",
    "ReportedRun",
    "entry_of_piece",
    "piece_of_entry",
    "require_texts",
    "require_whole",
]

#: What data of another form can raise.
MALFORMED = (KeyError, TypeError, ValueError, AttributeError, OverflowError)


@dataclass(frozen=True)
class ReportedRun:
    """A run in the report.

    Attributes:
        name: Its name.
        masks: Its masks.
        facts: How it was made, as names and values.
        details: What its manifest says of each video; see `VideoRecord`.
        cost: What it took; None where that is not known.
        run: The run; None for a folder or a zip.
    """

    name: str
    masks: Masks
    facts: Mapping[str, str]
    details: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    cost: RunCost | None = None
    run: Run | None = None


@dataclass(frozen=True)
class ReportPiece:
    """What a page shows of one video.

    Attributes:
        strips: What was drawn.
        scores: The scores of each run, if there is truth.
        checks: What the check found in the masks of each run that has the video.
        look: The comparison of the runs without truth.
    """

    strips: Strips
    scores: Mapping[str, VideoFrames]
    checks: Mapping[str, VideoCheck]
    look: VideoLook | None


def entry_of_piece(piece: ReportPiece) -> dict[str, Any]:
    """A piece as JSON, in which numbers keep every bit."""
    strips, look = piece.strips, piece.look
    return {
        "strips": {
            "shown": strips.shown,
            "size": strips.size,
            "areas": [areas.tolist() for areas in strips.areas],
            "cuts": strips.cuts,
        },
        "scores": {run: entry_of_frames(one) for run, one in piece.scores.items()},
        "checks": {run: asdict(one) for run, one in piece.checks.items()},
        "look": None
        if look is None
        else {
            "objects": {
                run: {key: asdict(one) for key, one in objects.items()}
                for run, objects in look.objects.items()
            },
            "findings": {
                run: [asdict(one) for one in found]
                for run, found in look.findings.items()
            },
        },
    }


def piece_of_entry(
    entry: Mapping[str, Any], video: SplitVideo, runs: Sequence[str], *, truth: bool
) -> ReportPiece:
    """A piece from JSON.

    Args:
        entry: The JSON.
        video: The video.
        runs: The runs.
        truth: Whether there is truth.

    Raises:
        ValueError: It does not fit the video.
    """
    shape = video.length, len(video.objects)
    strips = entry["strips"]
    shown = [require_whole(place) for place in strips["shown"]]
    cuts = [require_whole(place) for place in strips["cuts"]]
    if not all(0 <= place < video.length for place in (*shown, *cuts)):
        raise ValueError("a frame is beyond the end of the video")
    height, width = (require_whole(side) for side in strips["size"])
    areas = tuple(_areas(one, shape) for one in strips["areas"])
    if len(areas) != len(runs) + truth:
        raise ValueError("it shows other runs")
    scored, look = list(entry["scores"]), entry["look"]
    if scored != (list(runs) if truth else []) or truth == (look is not None):
        raise ValueError("it has scores of other runs")
    if not entry["checks"].keys() <= set(runs):
        raise ValueError("it checks other runs")
    return ReportPiece(
        strips=Strips(
            shown=tuple(shown),
            size=(height, width),
            areas=areas,
            cuts=tuple(cuts),
        ),
        scores={run: _scores(one, video) for run, one in entry["scores"].items()},
        checks={
            run: VideoCheck(
                require_whole(one["frames"]),
                [_finding(found, video) for found in one["findings"]],
            )
            for run, one in entry["checks"].items()
        },
        look=None if look is None else _look(look, video, runs),
    )


def _scores(entry: Mapping[str, Any], video: SplitVideo) -> VideoFrames:
    found = frames_of_entry(video.name, entry)
    scored = () if found.scores is None else video.frames[1:-1]
    if (found.objects, found.frames) != (video.objects, scored):
        raise ValueError("it has scores of other objects or frames")
    return found


def _finding(entry: Mapping[str, Any], video: SplitVideo) -> Finding:
    found = finding_of_entry(entry)
    if found.video not in ("", video.name):
        raise ValueError(f"it has a finding of {found.video!r:.60}")
    return found


def _look(
    entry: Mapping[str, Any], video: SplitVideo, runs: Sequence[str]
) -> VideoLook:
    objects = {
        run: {int(key): _object_look(one, runs) for key, one in found.items()}
        for run, found in entry["objects"].items()
    }
    for run, found in objects.items():
        if run not in runs or tuple(found) != video.objects:
            raise ValueError(f"it compares other objects of {run!r:.60}")
    if not objects or entry["findings"].keys() != objects.keys():
        raise ValueError("it compares other runs")
    return VideoLook(
        video=video.name,
        frames=video.length,
        objects=objects,
        findings={
            run: tuple(_finding(one, video) for one in found)
            for run, found in entry["findings"].items()
        },
    )


def _object_look(entry: Mapping[str, Any], runs: Sequence[str]) -> ObjectLook:
    agreement = {name: _share(value) for name, value in entry["agreement"].items()}
    if not agreement.keys() <= set(runs):
        raise ValueError("it compares other runs")
    return ObjectLook(
        agreement=agreement,
        presence=None if entry["presence"] is None else _share(entry["presence"]),
        iou=None if entry["iou"] is None else _share(entry["iou"]),
        area=_share(entry["area"]),
        absence=_share(entry["absence"]),
    )


def _areas(rows: Any, shape: tuple[int, int]) -> Counts:
    found = np.array(rows)
    if not shape[0] * shape[1]:
        return np.empty(shape, np.int64)
    if found.dtype != np.int64 or found.shape != shape:
        raise ValueError(f"it has not {shape[0]}×{shape[1]} areas")
    return found


def _share(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value <= 1:
        raise ValueError(f"{value!r:.40} is not between 0 and 1")
    return float(value)


def require_whole(value: Any) -> int:
    """Take a number of things.

    Raises:
        ValueError: It is none.
    """
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r:.40} is not a whole number")
    return value


def require_texts(values: Iterable[Any]) -> tuple[str, ...]:
    """Take texts.

    Raises:
        ValueError: One is of another kind.
    """
    found = tuple(values)
    if not all(type(one) is str for one in found):
        raise ValueError("a text is of another kind")
    return found
