"""`submit import`: convert masks of any other program to a run."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..data import Split, SplitVideo
from ..errors import ArchiveError, MaskError, RunMismatchError
from ..executors import Executor, Job, Worker
from ..formats import (
    ForeignFiles,
    ImportHints,
    LabelReader,
    VideoFiles,
    VideoReader,
    find_format,
    open_foreign,
    open_video,
    require_package,
    soft_frames,
)
from ..runs import (
    Identity,
    MaskWriter,
    Run,
    SoftWriter,
    Standing,
    VideoRecord,
)
from ..runs.identity import fingerprint, take_stock
from ..system.files import atomic_folder, digest
from ..system.words import counted
from .outcome import Monitor, StepOutcome, run_jobs, silent

__all__ = ["import_masks"]


def import_masks(
    source: Path,
    path: Path,
    split: Split,
    *,
    executor: Executor,
    hints: ImportHints | None = None,
    renew: bool = False,
    monitor: Monitor = silent,
) -> StepOutcome:
    """Convert masks in any of `FORMATS` to a run.

    Scores stay soft: if one video has them, the run keeps logits of all. The content of
    the masks identifies the run. If some have changed since, those videos are imported
    again; videos that are missing now are removed.

    Args:
        source: The folder, zip or file; never written to.
        path: The run's folder.
        split: The split the masks are of, or those of its videos that are imported.
        executor: Runs the videos.
        hints: What the files do not say themselves.
        renew: Whether masks from another place may replace the imported ones.
        monitor: Opens the progress bar.

    Raises:
        ArchiveError: The source cannot be read, or holds no video of the split.
        RunMismatchError: The folder holds other masks, imported from another place.
    """
    names = frozenset((*split.videos, *split.others))
    hints = hints or ImportHints()
    opened = open_foreign(source, names, hints)
    with opened:
        opened.require_videos(split)
        there = opened.videos
    chosen = [video for name, video in split.videos.items() if name in there]
    soft = _are_soft([opened.files(video.name) for video in chosen], hints)
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
                f"{source} lacks {counted(len(absent), 'video')} of {split.place}, "
                f"such as {absent[0]}; their objects would score 0, so that submit "
                "pack refuses the run without --partial"
            )

    with (
        opened,
        Run.making(
            path,
            Identity.of("import", {"soft": soft}, split),
            environment={"source": str(source.resolve())},
            renew=renew,
            upgrade=lambda settings: {"soft": settings.get("soft")},
        ) as run,
    ):
        stock = take_stock(
            (video.name for video in chosen), partial(_standing, run, opened, hints)
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
                payload=_Task(
                    video,
                    run.soft_path(video.name)
                    if soft
                    else run.masks_folder / video.name,
                    soft=soft,
                ),
            )
            for video in chosen
            if video.name in stock.wanted
        ]
        details = {"absent": absent, "remarks": remarks}
        return run_jobs(
            f"import {run.name}",
            StepOutcome(run.name, details=details),
            executor=executor,
            build=_Maker(source, names, hints),
            jobs=jobs,
            stock=stock,
            on_done=add,
            on_failed=run.fail,
            changed=f"{source} has changed",
            gone=gone,
            closing=closing,
            monitor=monitor,
        )


def _are_soft(videos: Sequence[VideoFiles], hints: ImportHints) -> bool:
    """Whether the files of any video hold scores.

    Raises:
        ArchiveError: Reading them needs a package that is not installed.
    """
    soft = False
    for files in videos:
        try:
            layout = find_format(files, hints)
        except ArchiveError:
            continue  # Reported where the video is imported.
        require_package(layout, files.where)
        soft |= layout.soft
    return soft


def _standing(run: Run, masks: ForeignFiles, hints: ImportHints, name: str) -> Standing:
    if name not in run.videos:
        return Standing.ABSENT
    return run.standing(name, _digest(masks, hints, name))


def _digest(masks: ForeignFiles, hints: ImportHints, name: str) -> str:
    """Digest of everything that decides the masks of a video."""
    files = masks.fingerprint(name)
    return fingerprint([files, hints.given]) if hints.given else files


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
    soft: bool


@dataclass(frozen=True)
class _Maker:
    """Makes the worker that imports videos; it needs no device."""

    source: Path
    names: frozenset[str]
    hints: ImportHints

    def __call__(self, device: str) -> Worker:
        del device
        return _VideoImporter(
            open_foreign(self.source, self.names, self.hints), self.hints
        )


class _VideoImporter:
    """Imports one video after another."""

    def __init__(self, source: ForeignFiles, hints: ImportHints) -> None:
        self._source, self._hints = source, hints

    def __call__(self, task: _Task, progress: Callable[[int], None]) -> VideoRecord:
        video, began = task.video, time.perf_counter()
        source = _digest(self._source, self._hints, video.name)
        # Closes the file until the next video.
        with (
            self._source,
            open_video(self._source.files(video.name), video, self._hints) as reader,
        ):
            if task.soft:
                objects = _write_soft(task, reader, progress)
                masks = None
            else:
                assert isinstance(reader, LabelReader)
                objects = video.objects
                masks = _write_masks(task, reader, progress)
        details = {"remarks": dict(reader.remarks)} if reader.remarks else {}
        return VideoRecord(
            frames=video.length,
            objects=objects,
            size=video.size,
            seconds=round(time.perf_counter() - began, 3),
            digest=digest(task.path) if masks is None else masks.digest,
            soft=task.soft,
            details=details,
            source=source,
            masks=None if masks is None else masks.digests,
        )


def _write_masks(
    task: _Task, reader: LabelReader, progress: Callable[[int], None]
) -> MaskWriter:
    """Write the palette masks of a video."""
    video = task.video
    with atomic_folder(task.path, parents=False) as folder:
        writer = MaskWriter(folder, video)
        for index, frame in enumerate(video.frames):
            labels = reader.labels(frame) if index else video.first_mask()
            writer.write_labels(frame, labels)
            progress(1)
    return writer


def _write_soft(
    task: _Task, reader: VideoReader, progress: Callable[[int], None]
) -> tuple[int, ...]:
    """Write the soft file of a video, also of masks if the run is soft.

    Returns:
        The objects, in the order in which they appear.
    """
    video = task.video
    objects: tuple[int, ...] = ()
    with SoftWriter(task.path, size=video.size) as writer:
        for frame, found in zip(video.frames, soft_frames(reader, video), strict=True):
            try:
                writer.write(
                    frame, found.objects, found.logits, found.presence, found.iou
                )
            except MaskError as error:
                text = str(error).removeprefix(f"{task.path}: ")
                raise MaskError(f"video {video.name}: {text}") from error
            objects = found.objects
            progress(1)
    return objects
