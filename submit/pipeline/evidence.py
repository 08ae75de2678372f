"""What runs say about each object in each frame, and the anchors that follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks.sanity import as_packed, object_pixels
from ..data import Split, SplitVideo
from ..errors import RunError
from ..masks import Labels, encode_rle, to_labels
from ..postprocess.boxes import places
from ..runs import Run, VideoMasks
from ..system.outputs import OutputKind
from ..system.pool import checkpoint, run_in_threads
from .anchors import Anchor, AnchorRules, Evidence, choose_anchors

__all__ = ["ANCHORS_FILE", "ChosenAnchors", "find_anchors"]

Floats = NDArray[np.float64]

#: The file of anchors: prompts that have their reasons.
ANCHORS_FILE = OutputKind.of_file(
    "a file of prompts with reasons",
    "submit anchors",
    recognises=lambda beginning: (
        beginning.startswith(b'{\n  "version": 1,\n  "videos":')
        and b'"why":' in beginning
    ),
)


@dataclass(frozen=True)
class ChosenAnchors:
    """The anchors of a split.

    Attributes:
        prompts: What `prompts.json` holds.
        masks: Number of masks.
        absences: Number of absences.
        objects: Number of objects with at least one anchor.
        all_objects: Number of objects in the videos that all runs have.
        skipped: Videos that a run lacks.
    """

    prompts: Mapping[str, Any]
    masks: int
    absences: int
    objects: int
    all_objects: int
    skipped: tuple[str, ...]


def find_anchors(
    split: Split,
    runs: Mapping[str, Run],
    rules: AnchorRules,
    *,
    workers: int | None = None,
    progress: Callable[[str, int], None] = lambda video, frames: None,
) -> ChosenAnchors:
    """Choose anchors in all videos that all runs have.

    Args:
        split: The split.
        runs: At least two runs, by name.
        rules: What makes a frame an anchor.
        workers: Threads; one for each core by default.
        progress: Called with a video and its frames when it is done.

    Raises:
        RunError: There is one run only, there is no video that all runs have, a run has
            other frames than the split, or no frame can be an anchor.
    """
    if len(runs) < 2:
        raise RunError(
            f"run {', '.join(runs)}: masks are trusted where runs agree; expected at "
            "least two runs, found one. Name another run of the split"
        )
    videos = [
        video
        for video in split.videos.values()
        if all(video.name in run.videos for run in runs.values())
    ]
    if not videos:
        raise RunError(
            f"runs {', '.join(runs)}: no video of {split.place} is in all of them"
        )

    def find(video: SplitVideo) -> tuple[str, int, dict[str, Any]]:
        with ExitStack() as stack:
            opened = {}
            for name in sorted(runs):
                opened[name] = masks = runs[name].read(video.name)
                stack.callback(masks.close)
                if masks.frames != video.frames or masks.size != video.size:
                    raise RunError(
                        f"run {name}: {video.name} has other frames than the split; "
                        "name the split that the run was made from"
                    )
            return video.name, len(video.objects), _of_video(video, opened, rules)

    results = run_in_threads(
        find,
        sorted(videos, key=lambda video: -video.length),
        workers=workers,
        done=lambda video, _: progress(video.name, video.length),
    )
    found = {name: frames for name, _, frames in sorted(results) if frames}
    entries = [
        (name, key, entry)
        for name, frames in found.items()
        for given in frames.values()
        for key, entry in given.items()
    ]
    if not entries:
        raise RunError(
            f"runs {', '.join(runs)}: no frame can be trusted and would help with "
            f"--min-agreement {rules.agreement:g}; lower it, or the runs agree "
            "everywhere and need no anchors"
        )
    masks = sum("mask" in entry for _, _, entry in entries)
    return ChosenAnchors(
        prompts={"version": 1, "videos": found},
        masks=masks,
        absences=len(entries) - masks,
        objects=len({(name, key) for name, key, _ in entries}),
        all_objects=sum(count for _, count, _ in results),
        skipped=tuple(sorted(split.videos.keys() - {one.name for one in videos})),
    )


def _of_video(
    video: SplitVideo, runs: Mapping[str, VideoMasks], rules: AnchorRules
) -> dict[str, Any]:
    """The prompts of a video, by frame and object."""
    evidence = _gather(video, list(runs.values()))
    chosen: dict[int, dict[int, Anchor]] = {}
    for key, one in evidence.items():
        for anchor in choose_anchors(one, rules):
            chosen.setdefault(anchor.frame, {})[key] = anchor
    found: dict[str, Any] = {}
    for index, anchors in sorted(chosen.items()):
        labels = [_labels(masks, index) for masks in runs.values()]
        given: dict[str, Any] = {}
        for key, anchor in anchors.items():
            if anchor.absent:
                given[str(key)] = {"absent": True, "why": anchor.why}
                continue
            best = _central([one == key for one in labels])
            why = f"mask of run {list(runs)[best]}: {anchor.why}"
            given[str(key)] = {"mask": encode_rle(labels[best] == key), "why": why}
        found[video.frames[index]] = given
    return found


def _labels(masks: VideoMasks, index: int) -> Labels:
    codes = masks.codes(index)
    objects = masks.objects[: len(codes)]
    return to_labels(codes, objects, masks.size, values=masks.values)


def _central(masks: list[NDArray[np.bool_]]) -> int:
    """The mask that overlaps most with the others; of equal ones the first."""

    def overlap(one: NDArray[np.bool_]) -> float:
        return sum(
            np.count_nonzero(one & other) / np.count_nonzero(one | other)
            for other in masks
        )

    return max(range(len(masks)), key=lambda place: overlap(masks[place]))


def _gather(video: SplitVideo, runs: list[VideoMasks]) -> dict[int, Evidence]:
    """Read all runs frame by frame; the evidence by object id."""
    objects = np.array(video.objects, np.intp)
    shape = (video.length, len(objects))
    agreement, gap = np.ones(shape), np.full(shape, np.inf)
    areas = np.zeros((len(runs), *shape))
    for index in range(video.length):
        checkpoint()
        labels = [_labels(masks, index) for masks in runs]
        packed = [as_packed(one) for one in labels]
        shares = []
        for one, other in combinations(range(len(runs)), 2):
            pixels = object_pixels(packed[one], packed[other], video.objects)
            areas[one, index], areas[other, index] = pixels.one, pixels.other
            union = pixels.one + pixels.other - pixels.both
            shares.append(np.where(union > 0, pixels.both / np.maximum(union, 1), 1.0))
        agreement[index] = np.mean(shares, axis=0)
        gap[index] = _gaps(labels[0], objects, areas[0, index] > 0)
    presence = _scores(runs, objects, lambda masks: _probabilities(masks.presence))
    iou = _scores(runs, objects, lambda masks: masks.iou.astype(np.float64))
    showing: Floats = (areas > 0).mean(axis=0)
    least: Floats
    most: Floats
    least, most = np.fmin.reduce(presence), np.fmax.reduce(presence)
    certain = np.where(showing == 0, most, least)
    return {
        int(key): Evidence(
            agreement=agreement[:, place],
            showing=showing[:, place],
            pixels=areas[:, :, place].min(axis=0),
            presence=certain[:, place],
            iou=np.fmin.reduce(iou[:, :, place]),
            gap=gap[:, place],
        )
        for place, key in enumerate(objects)
    }


def _gaps(labels: Labels, objects: NDArray[np.intp], seen: NDArray[np.bool_]) -> Floats:
    """Distance from each object's box to the next one's, as a share of the diagonal."""
    gaps = np.full(len(objects), np.inf)
    if np.count_nonzero(seen) < 2:
        return gaps
    boxes = places(labels)
    for one, other in combinations(np.flatnonzero(seen).tolist(), 2):
        a, b = boxes[int(objects[one])], boxes[int(objects[other])]
        # From the last pixel of one to the first of the other.
        down = max(0, a.top - b.bottom + 1, b.top - a.bottom + 1)
        across = max(0, a.left - b.right + 1, b.left - a.right + 1)
        distance = float(np.hypot(down, across) / np.hypot(*labels.shape))
        gaps[one] = min(gaps[one], distance)
        gaps[other] = min(gaps[other], distance)
    return gaps


def _scores(
    runs: list[VideoMasks],
    objects: NDArray[np.intp],
    read: Callable[[VideoMasks], Floats],
) -> Floats:
    """Scores as R×T×N; NaN where a run has none."""
    found = np.full((len(runs), len(runs[0].frames), len(objects)), np.nan)
    for row, masks in enumerate(runs):
        values = read(masks)
        for place, key in enumerate(objects.tolist()):
            if key in masks.objects:
                found[row, :, place] = values[:, masks.objects.index(key)]
    return found


def _probabilities(logits: NDArray[np.float32]) -> Floats:
    return 1 / (1 + np.exp(-np.clip(logits.astype(np.float64), -50, 50)))
