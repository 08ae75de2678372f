"""`submit merge-parts`: the parts of a run become one run.

Joining compares every file with its digest and links it; the parts stay as they are.
So it can be stopped and repeated at any time.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import RunError, RunMismatchError
from ..runs import Identity, Run, Standing, StoredVideo
from ..runs.identity import require_facts, standing_of
from ..system.files import atomic_folder, atomic_open, locked, scratch_file
from ..system.parts import Part
from ..system.refusals import refusals_of
from ..system.words import counted
from .ensemble import write_summaries
from .exported import Exported, ExportRecord
from .outcome import Monitor, StepOutcome, silent
from .parts import PartOf

__all__ = ["export_parts", "merge_export", "merge_run", "parts_of_run"]

#: Most videos or parts that a message lists.
_LISTED = 4


def parts_of_run(path: Path) -> tuple[Path, ...]:
    """The folders of what is a part of a run, or of its own masks.

    Args:
        path: The folder of the whole run.
    """
    return (
        *Run.parts(path).values(),
        *ExportRecord.parts(path / "masks").values(),
    )


def export_parts(folder: Path) -> tuple[ExportRecord, ...]:
    """The parts of a folder that a run was exported to."""
    return tuple(map(ExportRecord.open, ExportRecord.parts(folder).values()))


def merge_run(
    path: Path, *, partial: bool = False, monitor: Monitor = silent
) -> StepOutcome:
    """Join the parts of a run, and what was exported of them.

    Files are linked, where the disk has links, and else copied. It can be repeated:
    videos that are joined already are skipped.

    Args:
        path: The folder of the run that they are parts of.
        partial: Whether to join the present videos where others are missing.
        monitor: Opens the progress bar.

    Raises:
        RunError: A part or a video is missing, or a file is not the one that was
            written.
        RunMismatchError: The parts were made with different settings, or the folder
            holds another run.
    """
    folders = Run.parts(path)
    outcome = StepOutcome(path.name)
    if folders:
        parts = [Run.open(folder) for folder in folders.values()]
        _require_one_count(path, folders)
        _require_alike(parts)
        _require_whole(path, folders, parts, outcome, partial=partial)
        _join_run(path, parts, outcome, monitor)
    exports = [
        *(folder / "masks" for folder in folders.values()),
        *ExportRecord.parts(path / "masks").values(),
    ]
    records = [one for folder in exports if (one := ExportRecord.open(folder)).exists]
    if records:
        run = Run.open(path)
        exported = _join_export(
            run, run.masks_folder, records, partial=partial, monitor=monitor
        )
        outcome.details["exported"] = exported.done
        if not folders:
            return exported
    return outcome


def merge_export(
    folder: Path, run: Run, *, partial: bool = False, monitor: Monitor = silent
) -> StepOutcome:
    """Join the parts of a folder that a run was exported to.

    Args:
        folder: The folder that they are parts of.
        run: The whole run.
        partial: See `merge_run`.
        monitor: Opens the progress bar.

    Raises:
        RunError: See `merge_run`.
        RunMismatchError: See `merge_run`.
    """
    _require_one_count(folder, ExportRecord.parts(folder))
    return _join_export(
        run, folder, export_parts(folder), partial=partial, monitor=monitor
    )


def _require_one_count(path: Path, folders: Collection[Part]) -> None:
    """Make sure that all parts come from one division.

    Raises:
        RunError: They do not.
    """
    counts = sorted({part.count for part in folders})
    if len(counts) > 1:
        there = " and ".join(f"part-*-of-{count}" for count in counts)
        raise RunError(
            f"{path.parent}: has parts of {path.name} of different divisions, {there}; "
            f"delete {path.name} in the folders that are not meant"
        )


def _require_alike(parts: Sequence[Run]) -> None:
    """Make sure that parts can be one run.

    Raises:
        RunMismatchError: They differ in what decides the masks.
    """
    first = parts[0]
    facts: Mapping[str, Any] | None = None
    for part in parts:
        if part.schema != first.schema:
            raise RunMismatchError(
                f"{part.path}: has schema {part.schema}, and {first.path} "
                f"{first.schema}; make both with one version"
            )
        if found := part.origin.differences(first.origin):
            raise RunMismatchError(
                f"{part.path}: was made with other settings than {first.path} "
                f"({'; '.join(found[:_LISTED])}); delete the wrong one and make it "
                "again"
            )
        workers = (record.worker for record in part.videos.values())
        for worker in workers:
            if worker is None:
                continue
            facts = worker["facts"] if facts is None else facts
            require_facts(
                facts,
                worker["facts"],
                run=str(part.path),
                remedy=f"which gives other masks than {first.path}; delete the part "
                "and make it again on the same kind of device",
            )


def _require_whole(
    path: Path,
    folders: Mapping[Part, Path],
    parts: Sequence[Run],
    outcome: StepOutcome,
    *,
    partial: bool,
) -> None:
    """Make sure that every video of every part is there.

    Raises:
        RunError: Some are missing, and `partial` is not set.
    """
    count = next(iter(folders)).count
    every = {name for part in parts for name in _part_of(part).videos}
    there = {name for part in parts for name in part.videos}
    for part in parts:
        outcome.failed.update(
            (name, reason)
            for name, reason in part.failures.items()
            if name not in there
        )
    lacking = sorted(every - there)
    if partial or not lacking:
        return
    said = []
    absent = [str(part.index) for part in Part.missing(folders)]
    if absent:
        which = ", ".join(absent[:_LISTED])
        more = f" and {len(absent) - _LISTED} more" if len(absent) > _LISTED else ""
        said.append(f"part {which}{more} of {count} is not there")
    for number, part in zip(folders, parts, strict=True):
        if own := [name for name in part.missing if name in lacking]:
            reason = part.failures.get(own[0])
            why = f" ({reason.splitlines()[0]})" if reason else ""
            videos = counted(len(own), "video")
            said.append(f"part {number} lacks {videos}, such as {own[0]}{why}")
    raise RunError(
        f"{path}: {len(lacking)} of {counted(len(every), 'video')} are missing: "
        f"{'; '.join(said[:_LISTED]) or lacking[0]}; run the same command for these "
        "parts again, or join what is there with --partial"
    )


def _part_of(run: Run) -> PartOf:
    found = PartOf.read(run)
    if found is None:
        raise RunError(
            f"{run.path}: is a whole run in the folder of a part; move it, or delete it"
        )
    return found


def _join_run(
    path: Path, parts: Sequence[Run], outcome: StepOutcome, monitor: Monitor
) -> None:
    """Put the videos of all parts into one run."""
    first = parts[0]
    whole = _part_of(first)
    environment = {k: v for k, v in first.environment.items() if k != "part"}
    videos = {
        name: part.stored(name) for part in reversed(parts) for name in part.videos
    }
    identity = Identity(first.kind, first.settings, first.split, whole.expected)
    total = sum(video.record.frames for video in videos.values())
    with (
        Run.making(path, identity, environment=environment) as run,
        monitor(f"join {run.name}", total=total) as bar,
    ):
        run.require_format(videos if first.schema != run.schema else ())
        for name, video in sorted(videos.items()):
            bar.add(name, video.record.frames)
            here = run.videos.get(name)
            if (
                here is not None
                and here.digest == video.record.digest
                and run.standing(name) is Standing.CURRENT
            ):
                outcome.skipped.append(name)
            else:
                _join_video(video, run)
                run.add(name, video.record)
                outcome.done.append(name)
                outcome.frames += video.record.frames
            bar.advance(name, video.record.frames)
            bar.finish(name)
        for name, reason in outcome.failed.items():
            run.fail(name, reason)
        if run.kind == "ensemble":
            write_summaries(run)


def _join_video(video: StoredVideo, run: Run) -> None:
    """Link a video of a part into the run.

    Raises:
        RunError: Its files are not those that were written.
    """
    if video.record.soft:
        video.require_unchanged()
        target = run.soft_path(video.name)
        target.parent.mkdir(exist_ok=True)
        _link_file(video.path, target)
        return
    _require_masks(video.path, video.record.digest)
    _link_folder(video.path, run.masks_folder / video.name)


def _join_export(
    run: Run,
    target: Path,
    records: Sequence[ExportRecord],
    *,
    partial: bool,
    monitor: Monitor,
) -> StepOutcome:
    """Put the masks of all parts of an export into one folder."""
    first = records[0]
    for record in records:
        if record.postprocess.effective() != first.postprocess.effective():
            raise RunMismatchError(
                f"{record.folder}: was exported with other post-processing than "
                f"{first.folder}; delete the wrong one and export it again"
            )
    there: dict[str, tuple[Path, Exported]] = {}
    for record in records:
        for name, exported in record.videos.items():
            source = run.videos.get(name)
            if source is not None and source.digest == exported.source:
                there.setdefault(name, (record.folder / name, exported))
    lacking = sorted(run.videos.keys() - there.keys())
    if lacking and not partial:
        raise RunError(
            f"{target}: {len(lacking)} of {counted(len(run.videos), 'video')} of run "
            f"{run.name} are not exported in any part, such as {lacking[0]}; export "
            "the missing parts, or join what is there with --partial"
        )
    outcome = StepOutcome(run.name)
    own = target == run.masks_folder
    new = ExportRecord.open(target)
    new.require_room()
    total = sum(run.videos[name].frames for name in there)
    with run.writing() if own else locked(target / ".lock") as lock:
        new = ExportRecord.open(target)
        with (
            new.writing(run, first.postprocess, lock, renew=False) as stock,
            monitor(f"join the masks of {run.name}", total=total) as bar,
        ):
            for name, (folder, exported) in sorted(there.items()):
                frames = run.videos[name].frames
                bar.add(name, frames)
                if name in stock.wanted:
                    _require_masks(folder, exported.masks)
                    _link_folder(folder, target / name)
                    new.add(name, exported)
                    outcome.done.append(name)
                    outcome.frames += frames
                else:
                    outcome.skipped.append(name)
                bar.advance(name, frames)
                bar.finish(name)
    return outcome


def _require_masks(folder: Path, wanted: str) -> None:
    """Make sure that a folder holds the masks that were written there.

    Raises:
        RunError: It does not.
    """
    if standing_of(folder, wanted, None, None) is not Standing.CURRENT:
        raise RunError(
            f"{folder}: holds other masks than those that were written there; run the "
            "command that made the part again"
        )


def _link_file(source: Path, target: Path) -> None:
    """Give a file a second name in one step; it is copied where that is not possible.

    Raises:
        StorageError: The disk refuses.
    """
    with scratch_file(target) as draft:
        scratch = draft.path
        try:
            scratch.unlink(missing_ok=True)
            os.link(source, scratch)
            os.replace(scratch, target)
        except OSError:
            # Another disk, or one without links.
            with (
                refusals_of(target),
                source.open("rb") as data,
                atomic_open(target, parents=False) as copy,
            ):
                shutil.copyfileobj(data, copy)


def _link_folder(source: Path, target: Path) -> None:
    """Link all files of a folder into a new one, which replaces `target`.

    Raises:
        StorageError: The disk refuses.
    """
    with atomic_folder(target) as folder:
        for path in _files(source):
            _link_file(path, folder / path.name)


def _files(folder: Path) -> Iterable[Path]:
    return sorted(path for path in folder.iterdir() if path.name[0] != ".")
