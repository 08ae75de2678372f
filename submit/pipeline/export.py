"""`submit export`: write the palette masks of a run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..data import Split, SplitVideo
from ..errors import MaskError, RunError
from ..executors import Executor, Job, Worker
from ..masks import Labels
from ..postprocess import Postprocess, labels_of
from ..runs import KnownMasks, MaskWriter, Run, StoredVideo, VideoMasks
from ..system.files import atomic_folder, locked
from ..system.pool import run_in_threads
from ..system.words import counted, size_text
from .exported import Exported, ExportRecord
from .outcome import Monitor, StepOutcome, run_jobs, silent

__all__ = ["export_run", "export_video", "exported_masks", "is_exported"]


def export_run(
    run: Run,
    split: Split,
    *,
    executor: Executor,
    folder: Path | None = None,
    postprocess: Postprocess | None = None,
    renew: bool = False,
    videos: Collection[str] | None = None,
    monitor: Monitor = silent,
) -> StepOutcome:
    """Write a run's masks as palette PNGs; continues where an earlier call stopped.

    Args:
        run: The run.
        split: The split it was made from: sizes and first masks.
        executor: Runs the videos.
        folder: The folder to write to; None for the run's own `masks/`.
        postprocess: The post-processing; None for that of the masks that exist, else
            none.
        renew: Whether masks with other post-processing, or of another run, are
            replaced.
        videos: Names of the videos to export; None for all.
        monitor: Opens the progress bar.

    Raises:
        RunError: The run has no videos, a soft file is not the one that was written, or
            the run has masks only, which post-processing would have to overwrite.
        RunMismatchError: The folder was exported with other post-processing, or holds
            the masks of another run.
        ArchiveError: The folder holds files that no export wrote.
    """
    target = run.masks_folder if folder is None else folder
    # A part may have no video.
    if not run.videos and run.expected != ():
        raise RunError(f"{run.path}: has no complete video; run its command again")
    if target == run.masks_folder and not run.is_soft:
        if postprocess is not None and not postprocess.is_off:
            raise RunError(
                f"run {run.name}: has masks and no logits, and its own masks stay as "
                "they are; export them to another folder with -o DIR"
            )
        return _own_masks(run, videos)
    ExportRecord.open(target).require_room()
    own = target == run.masks_folder
    with run.writing() if own else locked(target / ".lock") as lock:
        record = ExportRecord.open(target)
        with record.writing(run, postprocess, lock, renew=renew) as there:
            stock = there if videos is None else there.only(videos)
            _require_soft_files(run, stock.current)
            wanted = [name for name in run.videos if name in stock.wanted]
            _require_in_split(run, split, wanted)
            jobs = [
                Job(
                    name,
                    cost=run.videos[name].frames,
                    payload=_Task(
                        run.stored(name),
                        split.videos[name],
                        target / name,
                        record.postprocess,
                    ),
                )
                for name in wanted
            ]
            return run_jobs(
                f"export {run.name}",
                StepOutcome(run.name),
                executor=executor,
                build=_build,
                jobs=jobs,
                stock=stock,
                on_done=record.add,
                on_failed=lambda name, reason: record.forget(name),
                changed="the run has changed",
                monitor=monitor,
            )


def _own_masks(run: Run, videos: Collection[str] | None) -> StepOutcome:
    """Check the masks of a run without soft files.

    Raises:
        RunError: Some have changed since they were written.
    """
    masks = exported_masks(run, videos)
    for name in masks.videos():
        for frame in masks.frames(name):
            masks.read(name, frame)
    return StepOutcome(run.name, skipped=masks.videos())


def _require_soft_files(
    run: Run, names: Sequence[str], *, workers: int | None = None
) -> None:
    """Make sure that soft files have not changed since the masks were exported.

    A soft file may be missing: users delete them to free space.

    Raises:
        RunError: A soft file is not the one that was written.
    """
    videos = [run.stored(name) for name in names if run.videos[name].soft]
    there = [video for video in videos if video.path.exists()]
    run_in_threads(StoredVideo.require_unchanged, there, workers=workers)


def _require_in_split(run: Run, split: Split, names: Sequence[str]) -> None:
    """Make sure that videos of a run are those of its split.

    Raises:
        RunError: One is not.
    """
    for name in names:
        if name not in split.videos:
            raise RunError(
                f"{run.path}: its manifest names a video {name}, which is not in "
                f"{split.place}; delete the folder and make the run again"
            )


def is_exported(run: Run, videos: Collection[str] | None = None) -> bool:
    """Whether videos of a run, or all, were exported since they were made."""
    if not run.is_soft:
        return True
    record = ExportRecord.open(run.masks_folder)
    return bool(run.videos) and all(
        record.has(name, source=entry.digest)
        for name, entry in run.videos.items()
        if videos is None or name in videos
    )


def exported_masks(
    run: Run,
    videos: Collection[str] | None = None,
    *,
    after: StepOutcome | None = None,
    workers: int | None = None,
) -> KnownMasks:
    """Open the exported palette masks of a run, with any post-processing.

    Each mask is compared with its digest when it is read.

    Args:
        run: The run.
        videos: Names of the videos; None for all. All of them must be exported.
        after: What `export_run` has just returned for the run's own masks. It compared
            the soft files of its videos with their digests, so that they are not read
            again.
        workers: Threads that compare soft files; one for each core by default.

    Raises:
        RunError: They were not exported, the run has changed since, a soft file is not
            the one that was written, or a mask is missing.
    """
    names = [name for name in run.videos if videos is None or name in videos]
    if not is_exported(run, names):
        raise RunError(
            f"run {run.name}: its masks are not exported; do: submit export {run.path}"
        )
    if not run.is_soft:
        for name in names:
            run.stored(name).fetch()
        return KnownMasks(
            run.masks_folder,
            {name: run.stored(name).digests() for name in names},
            remedy=f"run the command that made the run {run.name} again",
        )
    compared = {*after.done, *after.skipped} if after is not None else set()
    others = [name for name in names if name not in compared]
    _require_soft_files(run, others, workers=workers)
    record = ExportRecord.open(run.masks_folder)
    done = "".join(
        f" --{name.replace('_', '-')} {value}"
        for name, value in record.postprocess.to_table().items()
    )
    return record.masks(
        names,
        remedy=(
            f"to write it again, do: submit export {run.path}{done} (to submit "
            "masks that you have changed, copy them to another folder and pack "
            "that)"
        ),
    )


def export_video(
    masks: VideoMasks,
    video: SplitVideo,
    writer: MaskWriter,
    progress: Callable[[int], None],
    *,
    labels: Callable[[VideoMasks], Iterable[Labels]] | None = None,
) -> int:
    """Write all masks of a video.

    Args:
        masks: The video as a run has it.
        video: The video in the split.
        writer: Writes them into an empty folder.
        progress: Called with a number of finished frames.
        labels: Makes the masks of all frames, for example with post-processing.
            Default: the overlap rule.

    Returns:
        The number of masks.

    Raises:
        RunError: The run has other frames than the split.
        MaskError: The run has another frame size than the split.
    """
    if masks.frames != video.frames:
        raise RunError(
            f"video {video.name}: the run has {counted(len(masks.frames), 'frame')}, "
            f"the split {video.length}, or their names differ; is this the split it "
            "was made from?"
        )
    if masks.size != video.size:
        raise MaskError(
            f"video {video.name}: the run has frames of {size_text(masks.size)}, "
            f"the split {size_text(video.size)}"
        )
    if labels is not None:
        for frame, found in zip(masks.frames, labels(masks), strict=True):
            writer.write_labels(frame, found)
            progress(1)
        return len(masks.frames)
    for index, frame in enumerate(masks.frames):
        codes = masks.codes(index)
        objects = masks.objects[: len(codes)]
        writer.write(frame, objects, codes, values=masks.values)
        progress(1)
    return len(masks.frames)


@dataclass(frozen=True)
class _Task:
    """One video for a worker."""

    source: StoredVideo
    video: SplitVideo
    folder: Path
    postprocess: Postprocess


def _build(device: str) -> Worker:
    """Make the worker that exports videos; it needs no device."""
    del device
    return _export


def _export(task: _Task, progress: Callable[[int], None]) -> Exported:
    masks = task.source.open()
    try:
        with atomic_folder(task.folder, parents=False) as folder:
            writer = MaskWriter(folder, task.video)
            export_video(
                masks,
                task.video,
                writer,
                progress,
                labels=None
                if task.postprocess.is_off
                else partial(labels_of, settings=task.postprocess),
            )
    finally:
        masks.close()
    return Exported(task.source.record.digest, writer.digest, writer.digests)
