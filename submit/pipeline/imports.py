"""`submit import`: convert masks of any other program to a run."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..archive import open_masks, shown
from ..data import Split, SplitVideo
from ..errors import ArchiveError, RunMismatchError
from ..executors import Executor, Job, Worker
from ..runs import Identity, MaskWriter, Run, Standing, VideoRecord
from ..runs.identity import take_stock
from ..system.files import atomic_folder
from ..system.words import counted
from .formats import Source, open_video
from .outcome import Monitor, StepOutcome, run_jobs, silent

__all__ = ["import_masks"]


def import_masks(
    source: Path,
    path: Path,
    split: Split,
    *,
    executor: Executor,
    renew: bool = False,
    monitor: Monitor = silent,
) -> StepOutcome:
    """Convert a folder or zip of masks, in any of `FORMATS`, to a run of hard masks.

    The content of the masks identifies the run. If some have changed since, those
    videos are imported again; videos that are missing now are removed.

    Args:
        source: The folder or zip; never written to.
        path: The run's folder.
        split: The split the masks are of, or those of its videos that are imported.
        executor: Runs the videos.
        renew: Whether masks from another place may replace the imported ones.
        monitor: Opens the progress bar.

    Raises:
        ArchiveError: The source cannot be read, or holds no video of the split.
        RunMismatchError: The folder holds other masks, imported from another place.
    """
    names = frozenset((*split.videos, *split.others))
    opened = Source(open_masks(source), names)
    with opened:
        there = opened.videos
    chosen = [video for name, video in split.videos.items() if name in there]
    if not chosen:
        raise ArchiveError(
            f"{source}: holds no video of {split.root}; expected folders such as "
            f"{next(iter(split.videos))}/ at its root, found "
            f"{', '.join(map(shown, opened.folders[:3])) or 'none'}"
        )
    absent = sorted(split.videos.keys() - there)
    remarks: Counter[str] = Counter()

    def add(name: str, record: VideoRecord) -> None:
        remarks.update(record.details.get("remarks", {}))
        run.add(name, record)

    def closing() -> Iterator[str]:
        for what, count in remarks.items():
            yield f"{what}: {counted(count, 'mask')}"
        if absent:
            yield (
                f"{source} lacks {counted(len(absent), 'video')} of {split.root}, such "
                f"as {absent[0]}; their objects would score 0, so that submit pack "
                "refuses the run without --partial"
            )

    with (
        opened,
        Run.making(
            path,
            Identity.of("import", {"soft": False}, split),
            environment={"source": str(source.resolve())},
            renew=renew,
            upgrade=lambda settings: {"soft": settings.get("soft")},
        ) as run,
    ):
        stock = take_stock(
            (video.name for video in chosen), partial(_standing, run, opened)
        )
        asked = run.videos.keys() - set(split.others)
        gone = sorted(asked - {video.name for video in chosen})
        if not renew:
            _require_same_masks(run, source, [*stock.outdated, *gone])
        for name in gone:
            run.forget(name)
        jobs = [
            Job(
                video.name,
                cost=video.length,
                payload=_Task(video, run.masks_folder / video.name),
            )
            for video in chosen
            if video.name in stock.wanted
        ]
        details = {"absent": absent, "remarks": remarks}
        return run_jobs(
            f"import {run.name}",
            StepOutcome(run.name, details=details),
            executor=executor,
            build=_Maker(source, names),
            jobs=jobs,
            stock=stock,
            on_done=add,
            on_failed=run.fail,
            changed=f"{source} has changed",
            gone=gone,
            closing=closing,
            monitor=monitor,
        )


def _standing(run: Run, masks: Source, name: str) -> Standing:
    if name not in run.videos:
        return Standing.ABSENT
    return run.standing(name, masks.fingerprint(name))


def _require_same_masks(run: Run, source: Path, changed: Sequence[str]) -> None:
    """Make sure that masks from another place do not replace those of a run.

    If the place is the same, the earlier masks do not exist any more, so nothing is
    lost. At another place they may be those of another program.

    Raises:
        RunMismatchError: They would replace other masks.
    """
    before = run.environment.get("source")
    if changed and before not in (None, str(source.resolve())):
        raise RunMismatchError(
            f"{run.path}: was imported from {before}, and {source} has other masks, or "
            f"none, of {len(changed)} of its {len(run.videos)} videos, such as "
            f"{changed[0]}; choose another name, or delete the folder to import again"
        )


@dataclass(frozen=True)
class _Task:
    """One video for a worker."""

    video: SplitVideo
    path: Path


@dataclass(frozen=True)
class _Maker:
    """Makes the worker that imports videos; it needs no device."""

    source: Path
    names: frozenset[str]

    def __call__(self, device: str) -> Worker:
        del device
        return partial(_import, Source(open_masks(self.source), self.names))


def _import(masks: Source, task: _Task, progress: Callable[[int], None]) -> VideoRecord:
    video, began = task.video, time.perf_counter()
    source = masks.fingerprint(video.name)
    # Closes the file until the next video.
    with masks:
        reader = open_video(masks.files(video.name), video)
        with atomic_folder(task.path, parents=False) as folder:
            writer = MaskWriter(folder, video)
            for index, frame in enumerate(video.frames):
                labels = reader.labels(frame) if index else video.first_mask()
                writer.write_labels(frame, labels)
                progress(1)
    return VideoRecord(
        frames=video.length,
        objects=video.objects,
        size=video.size,
        seconds=round(time.perf_counter() - began, 3),
        digest=writer.digest,
        soft=False,
        details={"remarks": dict(reader.remarks)} if reader.remarks else {},
        source=source,
        masks=writer.digests,
    )
