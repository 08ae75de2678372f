"""Routing: which objects of a run go another way, by what the run says of them."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

import numpy as np

from ..data import Split
from ..ensemble import MergeSettings
from ..ensemble.influence import overlap_counts, preview_size, shared_pixels
from ..ensemble.views import View
from ..errors import RunError
from ..runs import Run, VideoMasks
from ..system.pool import run_in_threads
from .conditions import Condition

__all__ = ["only_videos", "routed_objects", "routed_settings"]

#: Agreement is measured in at most so many frames of a video.
_SAMPLES = 64


def routed_objects(
    run: Run,
    against: Sequence[Run],
    condition: Condition,
    *,
    workers: int | None = None,
    progress: Callable[[str, int], None] = lambda video, frames: None,
) -> dict[str, list[int]]:
    """Find the objects of a run that fulfil a condition, by video.

    Args:
        run: The run.
        against: Other runs, whose agreement with it is measured.
        condition: The condition.
        workers: Threads; one for each core by default.
        progress: Called with a video and its frames when it is done.

    Raises:
        RunError: A run lacks a video, or has other frames.
    """
    for other in against:
        if lacking := sorted(run.videos.keys() - other.videos.keys()):
            raise RunError(
                f"run {other.name} lacks {lacking[0]}, whose masks are to be compared "
                f"with those of run {run.name}; complete it first"
            )

    def find(name: str) -> tuple[str, list[int]]:
        with contextlib.ExitStack() as stack:
            opened = []
            for one in (run, *against):
                opened.append(one.read(name))
                stack.callback(opened[-1].close)
            for one, other in zip(against, opened[1:], strict=True):
                if other.frames != opened[0].frames or other.size != opened[0].size:
                    raise RunError(
                        f"run {one.name}: {name} has other frames than in run "
                        f"{run.name}; make both runs from the same split"
                    )
            traits = _traits(opened, condition.names)
        return name, [key for key, mine in traits.items() if condition.holds(mine)]

    frames = {name: record.frames for name, record in run.videos.items()}
    found = run_in_threads(
        find,
        sorted(frames, key=lambda name: -frames[name]),
        workers=workers,
        done=lambda name, _: progress(name, frames[name]),
    )
    return {name: keys for name, keys in sorted(found) if keys}


def _traits(
    runs: Sequence[VideoMasks], names: frozenset[str]
) -> dict[int, dict[str, float]]:
    """What a condition compares, for each object of a video; the first run decides.

    Args:
        runs: The video in each run.
        names: What is compared; other things may be missing in the result.
    """
    first = runs[0]
    count = len(first.frames)
    traits: dict[int, dict[str, float]] = {
        key: {"length": count, "objects": len(first.objects)} for key in first.objects
    }
    if names & {"area", "absent", "disappears", "returns"}:
        shares = _shares(first)
        for row, key in enumerate(first.objects):
            traits[key].update(_visibility(shares[:, row]))
    if "agreement" in names:
        for key, values in _agreements(runs).items():
            traits[key]["agreement"] = math.fsum(values) / len(values)
        for mine in traits.values():
            mine.setdefault("agreement", 0.0)
    return traits


def _shares(video: VideoMasks) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """T×N shares of the frame, before objects compete for pixels."""
    shares = np.zeros((len(video.frames), len(video.objects)))
    for index in range(len(video.frames)):
        inside = video.codes(index) > 0
        if inside.size:
            shares[index, : len(inside)] = inside.mean((1, 2))
    return shares


def _visibility(
    shares: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> dict[str, float]:
    """The numbers and flags that follow from an object's share in each frame."""
    seen = np.flatnonzero(shares)
    missing = np.flatnonzero(shares == 0)
    gone = missing[missing > seen[0]] if len(seen) else missing[:0]
    return {
        "area": float(shares[seen].mean()) if len(seen) else 0.0,
        "absent": len(missing) / len(shares),
        "disappears": len(gone) > 0,
        "returns": len(gone) > 0 and bool(seen[-1] > gone[0]),
    }


def _agreements(runs: Sequence[VideoMasks]) -> dict[int, list[float]]:
    """By object, the IoU of each two runs in some frames; 1 where both lack it."""
    first = runs[0]
    size = preview_size(first.size)
    stride = max(1, math.ceil(len(first.frames) / _SAMPLES))
    found: dict[int, list[float]] = {}
    for index in range(0, len(first.frames), stride):
        views = [View(str(place), run, index) for place, run in enumerate(runs)]
        maps = [view.labels_at(size) for view in views]
        for one, other in combinations(range(len(runs)), 2):
            same, unions = shared_pixels(overlap_counts(maps[one], maps[other]))
            for key in views[0].rows:
                share = int(same[key]) / int(unions[key]) if unions[key] else 1.0
                found.setdefault(key, []).append(share)
    return found


def routed_settings(
    base: str, way: str, objects: Mapping[str, Sequence[int]]
) -> MergeSettings:
    """How the two runs of a route are merged: each object is taken from one of them."""
    if not objects:
        return MergeSettings(method="select", members=(base,))
    return MergeSettings(
        method="select",
        members=(base, way),
        weights={base: 1.0, way: 0.0},
        overrides={
            f"{video}/{key}": {base: 0.0, way: 1.0}
            for video, keys in objects.items()
            for key in keys
        },
    )


def only_videos(split: Split, names: Mapping[str, Sequence[int]]) -> Split:
    """The split with some of its videos only."""
    chosen = {name: one for name, one in split.videos.items() if name in names}
    others = [name for name in split.videos if name not in names]
    return dataclasses.replace(split, videos=chosen, others=(*split.others, *others))
