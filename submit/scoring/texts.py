"""Scores as files: the exact official texts, and tables for everything else."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ..metrics.frames import ObjectScore
from ..system.files import write_bytes
from ..system.outputs import OutputKind
from .results import DavisSplitScore, SplitScore, VideoScore

__all__ = [
    "OFFICIAL_NAMES",
    "SCORES_FOLDER",
    "frames_csv",
    "metrics_json",
    "objects_csv",
    "percent",
    "scores_json",
    "scores_txt",
    "write_scores",
]

#: The official names of the seven numbers, in the order of `Totals`.
OFFICIAL_NAMES = (
    "J&F_new",
    "J",
    "F_new",
    "disappear_J&F_new",
    "reappear_J&F_new",
    "F",
    "J&F",
)


def percent(value: float | None) -> float | None:
    """Round a fraction as the official scorer does: to percent with two decimals.

    It calls `round` on NumPy's numbers, which scales, rounds half to even and scales
    back, and so differs from Python's own in the last digit of some ties.
    """
    return None if value is None else float(np.round(np.float64(value) * 100, 2))


def _seven(score: ObjectScore) -> tuple[float | None, ...]:
    """An object's numbers in the official order."""
    return (
        score.jf_dot,
        score.j,
        score.f_dot,
        score.disappear,
        score.reappear,
        score.f,
        score.jf,
    )


def metrics_json(score: SplitScore) -> str:
    """The official `metrics.json`: all objects, in percent."""
    entries: dict[str, object] = {}
    for video in score.videos.values():
        for key, numbers in video.objects.items():
            entries[f"{video.video}_{key}"] = _official_entry(video, numbers)
    entries["total_time"] = sum(video.frames.seconds for video in score.videos.values())
    return json.dumps(entries, indent=4)


def _official_entry(video: VideoScore, score: ObjectScore) -> dict[str, float | None]:
    values = dict(zip(OFFICIAL_NAMES, map(percent, _seven(score)), strict=True))
    if not video.frames.frames:
        # Officially the integer 0 stands for a video without masks or without frames.
        values.update({"J": 0, "F_new": 0, "F": 0})
    return values


def scores_txt(score: SplitScore) -> str:
    """The official `scores.txt`, with the line to paste into a table."""
    rounded = [
        np.nan if value is None else percent(value)
        for value in dataclasses.astuple(score.totals)
    ]
    lines = [
        f"{name}: {value}" for name, value in zip(OFFICIAL_NAMES, rounded, strict=True)
    ]
    lines.append("Copy-Paste: " + ",".join(f"{value:.1f}" for value in rounded))
    return "\n".join(lines) + "\n"


def scores_json(score: SplitScore | DavisSplitScore) -> str:
    """All totals, videos and objects as fractions at full precision."""
    names = _names(score)
    content = {
        "totals": dataclasses.asdict(score.totals),
        "videos": {
            name: {
                "missing": video.frames.scores is None,
                "frames": len(video.frames.frames),
                "objects": {
                    str(key): {each: getattr(one, each) for each in names}
                    for key, one in video.objects.items()
                },
            }
            for name, video in score.videos.items()
        },
        "notes": score.notes,
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def objects_csv(score: SplitScore | DavisSplitScore) -> str:
    """One row per object: its seven numbers, and the frames in which it is absent."""
    names = _names(score)
    rows: list[Sequence[object]] = []
    for video in score.videos.values():
        scores = video.frames.scores
        for index, (key, numbers) in enumerate(video.objects.items()):
            values = [getattr(numbers, name) for name in names]
            gone = "" if scores is None else int(scores.empty[:, index].sum())
            rows.append((video.video, key, *values, len(video.frames.frames), gone))
    return _csv(("video", "object", *names, "frames", "empty_frames"), rows)


def frames_csv(score: SplitScore | DavisSplitScore) -> str:
    """One row per object and evaluated frame."""
    # DAVIS has no boundary measure but the classic one.
    names = ("j", "f_dot", "f") if isinstance(score, SplitScore) else ("j", "f")
    rows: list[Sequence[object]] = []
    for video in score.videos.values():
        scores = video.frames.scores
        if scores is None:
            continue
        for index, key in enumerate(video.frames.objects):
            values = [getattr(scores, name)[:, index].tolist() for name in names]
            empty = scores.empty[:, index].astype(int).tolist()
            rows.extend(
                (video.video, key, *row)
                for row in zip(video.frames.frames, *values, empty, strict=True)
            )
    return _csv(("video", "object", "frame", *names, "empty"), rows)


def _names(score: SplitScore | DavisSplitScore) -> list[str]:
    """The numbers of a protocol; an object's score has the attributes of the totals."""
    return [field.name for field in dataclasses.fields(score.totals)]


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Write a table; None becomes an empty field, numbers keep all their digits."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return stream.getvalue()


def write_scores(score: SplitScore | DavisSplitScore, folder: Path) -> dict[str, Path]:
    """Write all forms of the scores into a folder; returns the files by name.

    The official forms are those of MOSEv2. For scores of DAVIS, older ones in the
    folder are removed.
    """
    texts = {
        "scores.json": scores_json(score),
        "objects.csv": objects_csv(score),
        "frames.csv": frames_csv(score),
    }
    if isinstance(score, SplitScore):
        texts |= {"metrics.json": metrics_json(score), "scores.txt": scores_txt(score)}
    paths = {name: folder / name for name in texts}
    for name, text in texts.items():
        # A name that is not Unicode becomes an escape, which JSON has too.
        write_bytes(paths[name], text.encode(errors="backslashreplace"))
    for name in _FILES:
        if name not in texts:
            (folder / name).unlink(missing_ok=True)
    return paths


#: The files of `write_scores`.
_FILES = ("scores.json", "metrics.json", "scores.txt", "objects.csv", "frames.csv")


def _find_foreign(folder: Path) -> Path | None:
    """A file that would be replaced although `write_scores` did not write it."""
    there = [folder / name for name in _FILES if (folder / name).exists()]
    scores = folder / "scores.json"
    if scores.is_file():
        with scores.open("rb") as stream:
            if stream.read(len(_BEGINNING)) == _BEGINNING:
                return None
    return there[0] if there else None


_BEGINNING = b'{\n  "totals": {'

#: A folder of scores; it may hold other files.
SCORES_FOLDER = OutputKind("scores", "submit score", _find_foreign, is_folder=True)
