"""`submit ensemble`: several runs become one."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..ensemble import VideoMerger, normalised
from ..errors import RunError, RunMismatchError
from ..executors import Executor, Job, Worker
from ..files import digest
from ..runs import Run, SoftWriter, VideoRecord
from .outcome import Monitor, Outcome, run_jobs, silent

__all__ = ["ensemble_runs"]


def ensemble_runs(
    members: Sequence[Path],
    path: Path,
    *,
    executor: Executor,
    weights: Sequence[float] | None = None,
    reweight: bool = False,
    monitor: Monitor = silent,
) -> Outcome:
    """Average the logits of runs; continues where an earlier call stopped.

    Args:
        members: Folders of the runs to merge.
        path: Folder of the run to make.
        executor: Runs the videos.
        weights: One per run, None for equal ones.
        reweight: Whether the others fill the place of a member that lacks a video or
            an object; otherwise that is an error.
        monitor: Opens the progress bar.

    Raises:
        RunError: A member is missing, or lacks a video.
        RunMismatchError: Members come from different splits, or the folder holds
            another ensemble.
    """
    runs = [Run.open(member) for member in members]
    _require_distinct(runs)
    shares = normalised(weights, len(runs))
    for run in runs[1:]:
        if run.split["fingerprint"] != runs[0].split["fingerprint"]:
            raise RunMismatchError(
                f"run {run.name} was made from {run.split['path']}, run "
                f"{runs[0].name} from {runs[0].split['path']}; runs of one split can "
                "be merged"
            )
    videos = sorted({name for run in runs for name in run.videos})
    if not reweight:
        _require_all(runs, videos)
    ensemble = Run.create(
        path,
        kind="ensemble",
        settings={
            "method": "mean_logits",
            "missing": "reweight" if reweight else "fail",
            "members": [
                {"name": run.name, "digest": run.identity, "weight": share}
                for run, share in sorted(
                    zip(runs, shares, strict=True), key=lambda pair: pair[0].name
                )
            ],
        },
        split=runs[0].split,
    )
    with ensemble.writing():
        lengths = {
            name: next(run.videos[name].frames for run in runs if name in run.videos)
            for name in videos
        }
        skipped = [v for v in videos if ensemble.is_complete(v)]
        jobs = [
            Job(
                video,
                cost=lengths[video],
                payload=_Task(
                    video=video,
                    members={
                        str(run.path): share
                        for run, share in zip(runs, shares, strict=True)
                        if video in run.videos
                    },
                    path=ensemble.soft_path(video),
                    reweight=reweight,
                ),
            )
            for video in videos
            if video not in skipped
        ]
        return run_jobs(
            f"ensemble {ensemble.name}",
            Outcome(ensemble.name),
            executor=executor,
            build=_build,
            jobs=jobs,
            skipped=skipped,
            on_done=ensemble.add,
            on_failed=ensemble.fail,
            monitor=monitor,
        )


def _require_distinct(runs: Sequence[Run]) -> None:
    names = [run.name for run in runs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RunError(
            f"run {twice[0]} is given twice; to count a run more, use --weights"
        )


def _require_all(runs: Sequence[Run], videos: Sequence[str]) -> None:
    for run in runs:
        lacking = [video for video in videos if video not in run.videos]
        if lacking:
            raise RunError(
                f"run {run.name} lacks {len(lacking)} of {len(videos)} videos, such as "
                f"{lacking[0]}; complete it, or leave them to the other runs with "
                "--missing reweight"
            )


@dataclass(frozen=True)
class _Task:
    """One video for a worker; members are run folders with their shares."""

    video: str
    members: Mapping[str, float]
    path: Path
    reweight: bool


def _build(device: str) -> Worker:
    """Make the worker that merges videos; it needs no device."""
    del device
    return _merge


def _merge(task: _Task, report: Callable[[int], None]) -> VideoRecord:
    began = time.perf_counter()
    with contextlib.ExitStack() as stack:
        videos = {}
        for folder in task.members:
            run = Run.open(Path(folder))
            videos[run.name] = run.read(task.video)
            stack.callback(videos[run.name].close)
        shares = normalised(list(task.members.values()), len(task.members))
        merger = VideoMerger(videos, shares, reweight=task.reweight)
        writer = stack.enter_context(SoftWriter(task.path, size=merger.size))
        objects: tuple[int, ...] = ()
        for index, frame in enumerate(merger.frames):
            merged = merger.merge(index)
            objects = merged.objects
            writer.write(frame, objects, merged.logits, merged.presence, merged.iou)
            report(1)
    return VideoRecord(
        frames=len(merger.frames),
        objects=objects,
        size=merger.size,
        seconds=round(time.perf_counter() - began, 3),
        digest=digest(task.path),
    )
