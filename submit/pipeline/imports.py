"""`submit import`: masks of any other program become a run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..archive import open_masks
from ..data import Split, SplitVideo
from ..errors import ArchiveError, MaskError
from ..executors import Executor, Job, Worker
from ..masks import object_ids
from ..png.palette import decode, encode
from ..runs import Run, VideoRecord
from ..system.files import atomic_folder, digest
from .outcome import Monitor, Outcome, run_jobs, silent

__all__ = ["import_masks"]


def import_masks(
    source: Path,
    path: Path,
    split: Split,
    *,
    executor: Executor,
    monitor: Monitor = silent,
) -> Outcome:
    """Turn a folder or zip of `<video>/<frame>.png` into a run of hard masks.

    Args:
        source: The folder or zip; never written to.
        path: The run's folder.
        split: The split the masks are of.
        executor: Runs the videos.
        monitor: Opens the progress bar.

    Raises:
        ArchiveError: The source cannot be read, or holds no video of the split.
        RunMismatchError: The folder holds a run of another source.
    """
    with open_masks(source) as masks:
        there = set(masks.videos())
    chosen = [video for name, video in split.videos.items() if name in there]
    if not chosen:
        raise ArchiveError(
            f"{source}: holds no video of {split.root}; expected folders such as "
            f"{next(iter(split.videos))}/ at its root, found "
            f"{', '.join(sorted(there)[:3]) or 'none'}"
        )
    run = Run.create(
        path,
        kind="import",
        settings={"source": str(source.resolve()), "soft": False},
        split={"path": str(split.root.resolve()), "fingerprint": split.fingerprint},
    )
    with run.writing():
        skipped = [v.name for v in chosen if run.is_complete(v.name)]
        jobs = [
            Job(
                video.name,
                cost=video.length,
                payload=_Task(source, video, run.masks_folder / video.name),
            )
            for video in chosen
            if video.name not in skipped
        ]
        return run_jobs(
            f"import {run.name}",
            Outcome(run.name, details={"absent": sorted(split.videos.keys() - there)}),
            executor=executor,
            build=_build,
            jobs=jobs,
            skipped=skipped,
            on_done=run.add,
            on_failed=run.fail,
            monitor=monitor,
        )


@dataclass(frozen=True)
class _Task:
    """One video for a worker."""

    source: Path
    video: SplitVideo
    path: Path


def _build(device: str) -> Worker:
    """Make the worker that imports videos; it needs no device."""
    del device
    return _import


def _import(task: _Task, report: Callable[[int], None]) -> VideoRecord:
    video, began = task.video, time.perf_counter()
    known = set(video.objects)
    with open_masks(task.source) as masks, atomic_folder(task.path) as folder:
        _require_frames(task.source, video, set(masks.frames(video.name)))
        for index, frame in enumerate(video.frames):
            if index == 0:
                labels = video.first_mask()
            else:
                name = f"{task.source}: {video.name}/{frame}.png"
                labels = decode(masks.read(video.name, frame), name=name)
                if labels.shape != video.size:
                    raise MaskError(
                        f"{name}: expected {video.width}×{video.height} pixels, found "
                        f"{labels.shape[1]}×{labels.shape[0]}"
                    )
                if unknown := sorted(set(object_ids(labels)) - known):
                    raise MaskError(
                        f"{name}: holds the ids {unknown}; the video has "
                        f"{sorted(known)} (submit check says more)"
                    )
            (folder / f"{frame}.png").write_bytes(encode(labels))
            report(1)
    return VideoRecord(
        frames=video.length,
        objects=video.objects,
        size=video.size,
        seconds=round(time.perf_counter() - began, 3),
        digest=digest(task.path),
        soft=False,
    )


def _require_frames(source: Path, video: SplitVideo, there: set[str]) -> None:
    """The first mask may be missing, since the annotation takes its place."""
    missing = [frame for frame in video.frames[1:] if frame not in there]
    if missing:
        raise ArchiveError(
            f"{source}: video {video.name} lacks {len(missing)} of {video.length} "
            f"masks, such as {missing[0]}.png (submit check says what that costs)"
        )
