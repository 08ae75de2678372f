"""What jobs write for `submit merge-parts`: parts of reports, scores and checks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fuzz_kind import FRAMES, HEIGHT, WIDTH, Kind, Places
from fuzz_mutations import damaged_json
from submit.archive import MaskFolder
from submit.checks import (
    CHECKED_PARTS,
    Finding,
    VideoCheck,
    read_checked_parts,
    write_checked_part,
)
from submit.data import SplitVideo
from submit.metrics.frames import FrameScores
from submit.report.parts import (
    REPORT_PARTS,
    PlacedPiece,
    read_report_parts,
    report_settings,
)
from submit.report.pieces import ReportedRun, ReportPiece, entry_of_piece
from submit.report.strips import Strips, strip_names
from submit.scoring import (
    SCORED_PARTS,
    VideoFrames,
    read_scored_parts,
    write_scored_part,
)
from submit.system.files import digest
from submit.system.partial import Request
from submit.tuning import ObjectLook, VideoLook

__all__ = ["parts_kinds"]

RUN = "plain"


def piece_of(video: SplitVideo, *, truth: bool) -> ReportPiece:
    """A piece of a video as a run has it, with or without truth."""
    found = Finding.of("jump", f"{video.name}/ object 1", "grows", objects=(1,))
    scored = video.frames[1:-1]
    half = np.full((len(scored), len(video.objects)), 0.5)
    scores = FrameScores(half, half, half, half > 1)
    looks = {key: ObjectLook({}, 0.5, None, 0.1, 0.0) for key in video.objects}
    areas = np.ones((video.length, len(video.objects)), np.int64)
    return ReportPiece(
        strips=Strips((0, 3), (HEIGHT, WIDTH), (areas,) * (1 + truth), (2,)),
        scores={RUN: VideoFrames(video.name, video.objects, scored, scores)}
        if truth
        else {},
        checks={RUN: VideoCheck(FRAMES, [found])},
        look=None
        if truth
        else VideoLook(video.name, FRAMES, {RUN: looks}, {RUN: (found,)}),
    )


def parts_kinds(places: Places) -> Iterator[Kind]:
    """The list of the pieces of a part, and a piece with truth and without."""
    video = places.split.videos["alpha"]

    def take(path: Path, *, truth: bool) -> None:
        strips = path.parent / "videos" / "0"
        strips.mkdir(parents=True)
        for name in strip_names(1, truth=truth):
            (strips / name).write_bytes(b"")
        placed = PlacedPiece(path.parent, 0, digest(path))
        placed.take(video, sources, path.parent / "copied", truth=truth)

    folder = places.folder("masks")
    sources = [ReportedRun(RUN, MaskFolder(folder), {})]
    empty = places.out / "empty"
    empty.write_bytes(b"")
    for words, truth in (("with truth", True), ("without truth", False)):
        entry = {
            "sources": {},
            "files": dict.fromkeys(strip_names(1, truth=truth), digest(empty)),
            **entry_of_piece(piece_of(video, truth=truth)),
        }
        yield Kind(
            f"piece of a report {words}",
            "0.json",
            json.dumps(entry).encode(),
            damaged_json,
            partial(take, truth=truth),
        )

    def part(path: Path, read: Callable[[Path], object]) -> None:
        place = path.parent / "part-1-of-1" / "whole"
        place.mkdir(parents=True)
        path.rename(place / path.name)
        read(path.parent / "whole")

    def request(settings: Mapping[str, Any]) -> Request:
        return Request(RUN, "runs", "split", "f" * 64, None, ("alpha",), settings)

    piece = piece_of(video, truth=True)
    settings = report_settings(expected=None, frames=24, side=480, members=False)
    found = {"alpha": {"number": 0, "digest": "a" * 64}}
    REPORT_PARTS.write(places.out, request(settings), found)
    masks = {"alpha": "a" * 64}
    settings = {"protocol": "mosev2", "as_server": False}
    write_scored_part(places.out, request(settings), [piece.scores[RUN]], masks)
    settings = {"sample": None, "sample_digest": None, "team": False}
    checks = {"alpha": piece.checks[RUN]}
    write_checked_part(places.out, request(settings), checks, masks)
    for words, kind, read in (
        ("a report", REPORT_PARTS, read_report_parts),
        ("scores", SCORED_PARTS, read_scored_parts),
        ("a check", CHECKED_PARTS, read_checked_parts),
    ):
        data = (places.out / kind.file).read_bytes()
        one = partial(part, read=read)
        yield Kind(f"part of {words}", kind.file, data, damaged_json, one)
