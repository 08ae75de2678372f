"""Facts about runs without ground truth: their agreement and their confidence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ..checks.findings import Finding
from ..checks.sanity import Tracks, as_packed
from ..data import SplitVideo
from ..errors import RunError
from ..metrics.frames import FrameScorer, FrameScores, object_score
from ..postprocess import Postprocess, labels_of
from ..runs import VideoMasks
from ..system.pool import checkpoint

__all__ = ["ObjectLook", "VideoLook", "look_at"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ObjectLook:
    """One object of a video in one run.

    Attributes:
        agreement: The J&Ḟ against each other run, by its name, from 0 to 1.
        presence: Mean probability of visibility by the object scores; None if the run
            has none.
        iou: Mean predicted IoU; None if the run has none.
        area: Median share of the frame while visible; 0 if it is never visible.
        absence: Share of the frames in which it is absent.
    """

    agreement: Mapping[str, float]
    presence: float | None
    iou: float | None
    area: float
    absence: float


@dataclass(frozen=True)
class VideoLook:
    """One video in several runs.

    Attributes:
        video: Its name.
        frames: Number of frames.
        objects: By run and object id.
        findings: Suspicious changes in each run's masks from frame to frame.
    """

    video: str
    frames: int
    objects: Mapping[str, Mapping[int, ObjectLook]]
    findings: Mapping[str, tuple[Finding, ...]]


def look_at(
    video: SplitVideo, runs: Mapping[str, tuple[VideoMasks, Postprocess]]
) -> VideoLook:
    """Compare a video in all runs at once, frame by frame.

    As in scoring, the first and the last frame do not count. Of two runs, the first by
    name takes the place of the truth; J is the same either way and Ḟ nearly so.

    Args:
        video: The video in the split.
        runs: The video in each run, and its post-processing.

    Raises:
        RunError: A run has other frames than the split.
    """
    names = sorted(runs)
    for name in names:
        masks, _ = runs[name]
        if masks.frames != video.frames or masks.size != video.size:
            raise RunError(
                f"run {name}: {video.name} has other frames than the split; is this "
                "the split that the run was made from?"
            )
    objects = video.objects
    scorer = FrameScorer(*video.size, objects)
    tracks = {name: Tracks(objects) for name in names}
    areas: dict[str, list[NDArray[np.int64]]] = {name: [] for name in names}
    pairs = list(combinations(names, 2))
    rows: dict[tuple[str, str], list[Floats]] = {pair: [] for pair in pairs}
    first = video.first_mask()
    streams = [labels_of(*runs[name]) for name in names]
    for index, labels in enumerate(zip(*streams, strict=True)):
        checkpoint()
        # The first mask is the annotation, not that of a run.
        packed = {
            name: as_packed(first if index == 0 else one)
            for name, one in zip(names, labels, strict=True)
        }
        for name in names:
            counts = tracks[name].follow(video.frames[index], packed[name])
            areas[name].append(counts[list(objects)])
        if 0 < index < video.length - 1:
            for one, other in pairs:
                rows[one, other].append(scorer.score_packed(packed[one], packed[other]))
    agreement = {pair: _agreement(rows[pair], len(objects)) for pair in pairs}
    return VideoLook(
        video=video.name,
        frames=video.length,
        objects={
            name: _objects(
                name, objects, runs[name][0], agreement, np.stack(areas[name])
            )
            for name in names
        },
        findings={name: tuple(tracks[name].findings(video.name)) for name in names},
    )


def _agreement(rows: list[Floats], count: int) -> list[float]:
    """The J&Ḟ of each object over the frames that count."""
    if not rows:
        return [math.nan] * count
    scores = FrameScores.from_rows(np.stack(rows))
    return [object_score(scores.of(place)).jf_dot for place in range(count)]


def _objects(
    name: str,
    objects: tuple[int, ...],
    masks: VideoMasks,
    agreement: Mapping[tuple[str, str], list[float]],
    areas: NDArray[np.int64],
) -> dict[int, ObjectLook]:
    """The looks of one run's objects; `areas` are T×N pixels."""
    pixels = masks.size[0] * masks.size[1]
    found = {}
    for place, key in enumerate(objects):
        seen = areas[1:, place]
        row = masks.objects.index(key) if key in masks.objects else None
        found[key] = ObjectLook(
            agreement={
                one if other == name else other: values[place]
                for (one, other), values in agreement.items()
                if name in (one, other) and not math.isnan(values[place])
            },
            presence=None
            if row is None
            else _mean(_probabilities(masks.presence[1:, row])),
            iou=None if row is None else _mean(masks.iou[1:, row]),
            area=float(np.median(seen[seen > 0])) / pixels if seen.any() else 0.0,
            absence=float(np.mean(seen == 0)) if len(seen) else 0.0,
        )
    return found


def _probabilities(logits: NDArray[np.float32]) -> Floats:
    return 1 / (1 + np.exp(-np.clip(logits.astype(np.float64), -50, 50)))


def _mean(values: NDArray[np.floating]) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None
