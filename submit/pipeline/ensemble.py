"""`submit ensemble`: merge several runs into one."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data import Split, SplitVideo
from ..ensemble import (
    Influence,
    LabelMethod,
    MemberSummary,
    MergeSettings,
    VideoMerger,
    summarise,
)
from ..errors import RunError, RunMismatchError, SplitError
from ..executors import Executor, Job, Worker
from ..runs import Identity, MaskWriter, Run, SoftWriter, StoredVideo, VideoRecord
from ..runs.identity import fingerprint, take_stock
from ..system.files import atomic_folder, digest, write_json
from ..system.parts import Part
from .outcome import Monitor, StepOutcome, run_jobs, silent
from .parts import PartOf
from .predict import split_of

__all__ = ["ensemble_runs", "member_summaries", "write_summaries"]

#: File in the run's folder: the influence of each member, in all and by video.
REPORT = "members.json"


def ensemble_runs(
    members: Sequence[Path],
    path: Path,
    *,
    executor: Executor,
    settings: MergeSettings | None = None,
    reweight: bool = False,
    split: Split | None = None,
    renew: bool = False,
    part: Part | None = None,
    monitor: Monitor = silent,
) -> StepOutcome:
    """Merge runs; continues where an earlier call stopped.

    Videos whose members have changed are merged again. The outcome's details have the
    `MemberSummary` of each member under `members`.

    Args:
        members: Folders of the runs to merge.
        path: Folder of the run to make.
        executor: Runs the videos.
        settings: How to merge. Default: the mean of the probabilities.
        reweight: Whether the other members get the weight of one that lacks a video or
            an object; otherwise that is an error.
        split: The split of the runs, None for its recorded place; only a vote needs it,
            for the given first mask.
        renew: Whether an ensemble of other settings is replaced.
        part: The part of the videos to merge, where members may be parts as well; None
            for all.
        monitor: Opens the progress bar.

    Raises:
        RunError: A member is missing, or lacks a video.
        RunMismatchError: Members come from different splits, are parts of different
            videos, or the folder holds another ensemble.
        SettingsError: The settings are for other members.
        SplitError: The method is `vote`, and the split is not found.
    """
    runs = [Run.open(member) for member in members]
    _require_distinct(runs)
    merge = (settings or MergeSettings()).for_members([run.name for run in runs])
    by_name = {run.name: run for run in runs}
    runs = [by_name[name] for name in merge.members]
    _require_one_split(runs)
    videos = sorted({name for run in runs for name in run.videos})
    whole = None if part is None else _part_of(part, runs, videos)
    if whole is not None:
        mine = set(_videos_of(whole, runs))
        videos = [name for name in videos if name in mine]
    if not reweight:
        _require_all(runs, videos)
    _require_places(merge, videos if whole is None else whole.videos)
    soft = not isinstance(merge.merging, LabelMethod)
    if not soft and split is None:
        split = _split_for_first_masks(runs[0])
    sources = {
        video: _source(video, [run for run in runs if video in run.videos], len(runs))
        for video in videos
    }
    identity = Identity("ensemble", merge.to_table(), runs[0].split, runs[0].expected)
    environment: dict[str, Any] = {"missing": "reweight" if reweight else "fail"}
    if whole is not None:
        identity = whole.identity(identity, videos)
        environment |= whole.environment()
    with Run.making(
        path,
        identity,
        environment=environment,
        renew=renew,
        upgrade=_upgraded,
    ) as ensemble:
        stock = take_stock(
            videos, lambda video: ensemble.standing(video, sources[video])
        )
        gone = sorted(ensemble.videos.keys() - sources.keys())
        for video in gone:
            ensemble.forget(video)
        jobs = [
            Job(
                video,
                cost=members[0].record.frames,
                payload=_Task(
                    video=video,
                    members=members,
                    path=ensemble.soft_path(video)
                    if soft
                    else ensemble.masks_folder / video,
                    settings=_restricted(
                        merge, [member.run.name for member in members]
                    ),
                    reweight=reweight,
                    split_video=None if soft or split is None else split.videos[video],
                    source=sources[video],
                ),
            )
            for video in videos
            if video in stock.wanted
            for members in [
                tuple(run.stored(video) for run in runs if video in run.videos)
            ]
        ]
        outcome = run_jobs(
            f"ensemble {ensemble.name}",
            StepOutcome(ensemble.name),
            executor=executor,
            build=_build,
            jobs=jobs,
            stock=stock,
            on_done=ensemble.add,
            on_failed=ensemble.fail,
            changed="members have changed",
            gone=gone,
            monitor=monitor,
        )
        outcome.details["members"] = member_summaries(ensemble)
        write_summaries(ensemble)
    return outcome


def _part_of(part: Part, runs: Sequence[Run], videos: Sequence[str]) -> PartOf:
    """What the videos of a part are a part of.

    Args:
        part: The part.
        runs: The members.
        videos: The videos that any of them has.

    Raises:
        RunMismatchError: Members are parts of different videos.
    """
    parts = [(run, found) for run in runs if (found := PartOf.read(run)) is not None]
    if not parts:
        return PartOf(part, tuple(videos), runs[0].expected)
    (first, found), *others = parts
    for run, other in others:
        if (other, run.expected) != (found, first.expected):
            raise RunMismatchError(
                f"{run.path}: is a part of other videos than {first.path}; make both "
                "with the same --videos and --part"
            )
    return found


def _videos_of(whole: PartOf, runs: Sequence[Run]) -> Sequence[str]:
    """The videos of this part: those of members that are parts, else by frames."""
    for run in runs:
        if PartOf.read(run) is not None:
            return run.expected or ()
    frames = {name: r.frames for run in runs for name, r in run.videos.items()}
    return whole.part.of(dict(sorted(frames.items())))


def _source(video: str, having: Sequence[Run], members: int) -> str:
    """Digest of the inputs of a merged video.

    Args:
        video: The video.
        having: The members that have it.
        members: Number of all members.
    """
    records = {run.name: run.videos[video] for run in having}
    objects = {frozenset(record.objects) for record in records.values()}
    return fingerprint(
        {
            "members": {name: record.digest for name, record in records.items()},
            # If nothing is missing, `reweight` does not matter.
            "missing": len(having) < members or len(objects) > 1,
        }
    )


def _upgraded(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the settings of an ensemble of schema 1."""
    older = {key: value for key, value in settings.items() if key != "missing"}
    return {**older, "members": [member["name"] for member in older["members"]]}


def member_summaries(ensemble: Run) -> tuple[MemberSummary, ...]:
    """The influence of each member on an ensemble, over all of its videos."""
    return summarise(
        _shares(ensemble),
        [record.details.get("members", {}) for record in ensemble.videos.values()],
    )


def _shares(ensemble: Run) -> dict[str, float]:
    """The general weight of each member."""
    names = ensemble.settings["members"]
    return {name: ensemble.settings["weights"][name] for name in names}


def write_summaries(ensemble: Run) -> None:
    """Write the influence of the members: on the whole, and on each video."""
    shares = _shares(ensemble)
    content: dict[str, Any] = {
        "members": [dataclasses.asdict(one) for one in member_summaries(ensemble)],
        "videos": {
            video: [
                dataclasses.asdict(one)
                for one in summarise(shares, [record.details.get("members", {})])
            ]
            for video, record in ensemble.videos.items()
        },
    }
    write_json(ensemble.path / REPORT, content)


def _split_for_first_masks(run: Run) -> Split:
    try:
        return split_of(run)
    except SplitError as error:
        raise SplitError(
            f"{run.split['path']}: a vote copies the first masks from there, and this "
            "is no longer the split of its members; name its place with --split"
        ) from error


def _restricted(settings: MergeSettings, names: Sequence[str]) -> MergeSettings:
    """The settings for those members that have a video."""

    def kept(weights: Mapping[str, float]) -> dict[str, float]:
        return {name: weights[name] for name in names if name in weights}

    def voices(weights: Mapping[str, float]) -> dict[str, float]:
        # If no member with a weight is left, all have equal weights.
        return {name: weight for name, weight in kept(weights).items() if weight > 0}

    gate = settings.gate
    if gate is not None:
        gate = dataclasses.replace(
            gate,
            weights=voices(gate.weights),
            return_weights=voices(gate.return_weights),
        )
    return dataclasses.replace(
        settings,
        members=tuple(names),
        weights=kept(settings.weights),
        overrides={place: kept(w) for place, w in settings.overrides.items()},
        gate=gate,
    )


def _require_distinct(runs: Sequence[Run]) -> None:
    names = [run.name for run in runs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RunError(
            f"run {twice[0]} is given twice; to count a run more, use --weights"
        )


def _require_one_split(runs: Sequence[Run]) -> None:
    for run in runs[1:]:
        if run.split["fingerprint"] != runs[0].split["fingerprint"]:
            raise RunMismatchError(
                f"run {run.name} was made from {run.split['path']}, run "
                f"{runs[0].name} from {runs[0].split['path']}; runs of one split can "
                "be merged"
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


def _require_places(settings: MergeSettings, videos: Sequence[str]) -> None:
    """Refuse weights for a video or an object that no run has."""
    for place in settings.overrides:
        if place.partition("/")[0] not in videos:
            raise RunError(
                f"weights of {place}: no run has such a video; expected "
                "<video> or <video>/<object id>"
            )


@dataclass(frozen=True)
class _Task:
    """One video for a worker.

    Attributes:
        members: The video in each member.
        split_video: The video in the split, for masks that are final.
        source: Digest of its inputs.
    """

    video: str
    members: tuple[StoredVideo, ...]
    path: Path
    settings: MergeSettings
    reweight: bool
    split_video: SplitVideo | None
    source: str


def _build(device: str) -> Worker:
    """Make the worker that merges videos; it needs no device."""
    del device
    return _merge


def _merge(task: _Task, progress: Callable[[int], None]) -> VideoRecord:
    began = time.perf_counter()
    with contextlib.ExitStack() as stack:
        videos = {}
        for member in task.members:
            masks = videos[member.run.name] = member.open()
            stack.callback(masks.close)
        merger = VideoMerger(
            videos, task.settings, video=task.video, reweight=task.reweight
        )
        influence = Influence(len(merger.frames))
        if task.split_video is None:
            _write_soft(task.path, merger, influence, progress)
            written, masks_digests = digest(task.path), None
        else:
            with atomic_folder(task.path, parents=False) as folder:
                writer = MaskWriter(folder, task.split_video)
                _write_labels(writer, merger, influence, progress)
            written, masks_digests = writer.digest, writer.digests
    return VideoRecord(
        frames=len(merger.frames),
        objects=merger.objects,
        size=merger.size,
        seconds=round(time.perf_counter() - began, 3),
        digest=written,
        soft=task.split_video is None,
        details={"members": influence.to_table()},
        source=task.source,
        masks=masks_digests,
    )


def _write_soft(
    path: Path,
    merger: VideoMerger,
    influence: Influence,
    progress: Callable[[int], None],
) -> None:
    """Merge all frames into a soft file."""
    with SoftWriter(path, size=merger.size) as writer:
        for index, frame in enumerate(merger.frames):
            merged = merger.merge(index)
            if influence.includes(index):
                influence.add(merger.influence())
            writer.write(
                frame, merged.objects, merged.codes, merged.presence, merged.iou
            )
            progress(1)


def _write_labels(
    writer: MaskWriter,
    merger: VideoMerger,
    influence: Influence,
    progress: Callable[[int], None],
) -> None:
    """Merge all frames into palette masks, the first of which is the given one."""
    for index, frame in enumerate(merger.frames):
        merged = merger.merge(index)
        if influence.includes(index):
            influence.add(merger.influence())
        writer.write_labels(frame, merged.labels_at(merger.size))
        progress(1)
