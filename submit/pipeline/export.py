"""`submit export`: palette masks of a run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..data import Split, SplitVideo
from ..errors import ArchiveError, MaskError, RunError, RunMismatchError
from ..executors import Executor, Job, Worker
from ..masks import Labels
from ..postprocess import Postprocess, labels_of
from ..runs import MaskWriter, Run, VideoMasks
from ..system.files import (
    atomic_folder,
    digest,
    locked,
    read_json,
    remove_partial,
    write_json,
)
from .outcome import Monitor, Outcome, run_jobs, silent

__all__ = ["export_run", "export_video", "exported_masks"]

#: Beside the exported videos: what they were exported from. Hidden, so that nothing
#: that lists videos sees it.
_RECORD = ".export.json"

_AS_THEY_ARE = Postprocess()


def export_run(
    run: Run,
    split: Split,
    *,
    executor: Executor,
    folder: Path | None = None,
    postprocess: Postprocess = _AS_THEY_ARE,
    monitor: Monitor = silent,
) -> Outcome:
    """Write a run's masks as palette PNGs; continues where an earlier call stopped.

    Args:
        run: The run.
        split: The split it was made from: sizes and first masks.
        executor: Runs the videos.
        folder: Where to; None for the run's own `masks/`.
        postprocess: What to do to the masks.
        monitor: Opens the progress bar.

    Raises:
        RunError: The run has no videos, or it has masks only, which post-processing
            would have to overwrite.
        RunMismatchError: The folder was exported with other post-processing.
        ArchiveError: The folder holds files that no export wrote.
    """
    target = run.masks_folder if folder is None else folder
    if not run.videos:
        raise RunError(f"{run.path}: has no complete video; run its command again")
    if target == run.masks_folder and not run.is_soft:
        if not postprocess.is_off:
            raise RunError(
                f"run {run.name}: has masks and no logits, and its own masks stay as "
                "they are; export them to another folder with -o DIR"
            )
        return Outcome(run.name, skipped=list(run.videos))
    record = _Record.open(target, run)
    record.require(postprocess)
    with run.writing() if folder is None else _writing(target):
        skipped = [
            name
            for name, entry in run.videos.items()
            if record.is_current(name, entry.digest)
        ]
        jobs = [
            Job(
                name,
                cost=entry.frames,
                payload=_Task(
                    str(run.path), split.videos[name], target / name, postprocess
                ),
            )
            for name, entry in run.videos.items()
            if name not in skipped
        ]
        return run_jobs(
            f"export {run.name}",
            Outcome(run.name),
            executor=executor,
            build=_build,
            jobs=jobs,
            skipped=skipped,
            on_done=lambda name, masks: record.add(
                name, _Entry(source=run.videos[name].digest, masks=masks)
            ),
            monitor=monitor,
        )


def exported_masks(run: Run) -> Path:
    """The folder of a run's palette masks, once they are all there and current.

    They may have been exported with any post-processing.

    Raises:
        RunError: They were not exported, or the run has changed since.
    """
    if run.is_soft:
        record = _Record.open(run.masks_folder, run)
        stale = [
            name
            for name, entry in run.videos.items()
            if not record.is_current(name, entry.digest)
        ]
        if stale or not run.videos:
            raise RunError(
                f"run {run.name}: the masks of {len(stale)} videos are not exported; "
                f"do: submit export {run.path}"
            )
    return run.masks_folder


def export_video(
    masks: VideoMasks,
    video: SplitVideo,
    folder: Path,
    report: Callable[[int], None],
    *,
    labels: Callable[[VideoMasks], Iterable[Labels]] | None = None,
) -> int:
    """Write all masks of a video.

    Args:
        masks: The video as a run has it.
        video: The video in the split.
        folder: An existing, empty folder.
        report: Told of finished frames.
        labels: Makes the masks of all frames, with post-processing for example; by
            default the overlap rule does.

    Returns:
        The number of masks.

    Raises:
        RunError: The run has other frames than the split.
        MaskError: The run has another frame size than the split.
    """
    if masks.frames != video.frames:
        raise RunError(
            f"video {video.name}: the run has {len(masks.frames)} frames, the split "
            f"{video.length}, or their names differ; is this the split it was made "
            "from?"
        )
    if masks.size != video.size:
        raise MaskError(
            f"video {video.name}: the run has frames of {masks.size[1]}×"
            f"{masks.size[0]}, the split {video.size[1]}×{video.size[0]}"
        )
    writer = MaskWriter(folder, video)
    if labels is not None:
        for frame, found in zip(masks.frames, labels(masks), strict=True):
            writer.write_labels(frame, found)
            report(1)
        return len(masks.frames)
    for index, frame in enumerate(masks.frames):
        steps = masks.steps(index)
        writer.write(frame, masks.objects[: len(steps)], steps)
        report(1)
    return len(masks.frames)


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Hold a folder for writing, and clear away what a killed export left."""
    with locked(folder / ".lock"):
        remove_partial(folder)
        yield


@dataclass(frozen=True)
class _Entry:
    """One exported video: digests of the soft file and of the folder of masks."""

    source: str
    masks: str


class _Record:
    """What an export folder holds, and which post-processing was done to it."""

    def __init__(
        self, folder: Path, videos: dict[str, _Entry], done: dict[str, Any] | None
    ) -> None:
        self._folder = folder
        self._videos = videos
        self._done = done

    @classmethod
    def open(cls, folder: Path, run: Run) -> _Record:
        """Read the record of a folder, or begin one in an empty folder."""
        if (folder / _RECORD).exists():
            try:
                content: dict[str, Any] = read_json(folder / _RECORD)
                videos = {k: _Entry(**v) for k, v in content["videos"].items()}
                done = dict(content.get("postprocess", {}))
            except (ValueError, KeyError, TypeError):
                return cls(folder, {}, None)
            return cls(
                folder, {k: v for k, v in videos.items() if k in run.videos}, done
            )
        strangers = (
            [child.name for child in folder.iterdir() if child.name[0] != "."]
            if folder.is_dir()
            else []
        )
        if strangers:
            raise ArchiveError(
                f"{folder}: holds {min(strangers)}, which no export wrote; choose an "
                "empty folder"
            )
        return cls(folder, {}, None)

    def require(self, postprocess: Postprocess) -> None:
        """Make sure that what is there was post-processed in the same way.

        Raises:
            RunMismatchError: It was not.
        """
        wanted = postprocess.to_table()
        if self._done not in (None, wanted):
            raise RunMismatchError(
                f"{self._folder}: was exported with post-processing "
                f"{_said(self._done)}, asked for {_said(wanted)}; choose another "
                "folder with -o, or delete this one to export anew"
            )
        self._done = wanted

    def is_current(self, video: str, source: str) -> bool:
        """Whether a video is there, unharmed, and made from this soft file."""
        entry = self._videos.get(video)
        path = self._folder / video
        return (
            entry is not None
            and entry.source == source
            and path.is_dir()
            and digest(path) == entry.masks
        )

    def add(self, video: str, entry: _Entry) -> None:
        """Enter a complete video."""
        self._videos[video] = entry
        write_json(
            self._folder / _RECORD,
            {
                **({"postprocess": self._done} if self._done else {}),
                "videos": {k: asdict(v) for k, v in sorted(self._videos.items())},
            },
        )


def _said(table: dict[str, Any] | None) -> str:
    """A table of settings in words."""
    return ", ".join(f"{k} = {v}" for k, v in (table or {}).items()) or "off"


@dataclass(frozen=True)
class _Task:
    """One video for a worker."""

    run: str
    video: SplitVideo
    folder: Path
    postprocess: Postprocess


def _build(device: str) -> Worker:
    """Make the worker that exports videos; it needs no device."""
    del device
    return _export


def _export(task: _Task, report: Callable[[int], None]) -> str:
    masks = Run.open(Path(task.run)).read(task.video.name)
    try:
        with atomic_folder(task.folder) as folder:
            export_video(
                masks,
                task.video,
                folder,
                report,
                labels=None
                if task.postprocess.is_off
                else partial(labels_of, settings=task.postprocess),
            )
    finally:
        masks.close()
    return digest(task.folder)
