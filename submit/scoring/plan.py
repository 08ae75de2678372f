"""Planning a score: the frames to score, and reasons to refuse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..archive import (
    FATAL,
    FramePlan,
    Masks,
    MaskZip,
    ServerView,
    plan_frames,
    server_view,
    shown,
    unpacking_problems,
)
from ..data import Split
from ..errors import ScoringError
from ..system.words import counted

__all__ = [
    "ScoringPlan",
    "plan_as_server",
    "plan_davis",
    "plan_split",
    "require_scorable",
    "require_truth",
]

#: Most videos with problems that a message lists.
_LINES = 5


@dataclass(frozen=True)
class ScoringPlan:
    """What is to be scored.

    Attributes:
        prefix: Prefix of `<video>/<frame>.png` in the names of the masks.
        frames: Stems of the frames of each video that has masks.
        notes: Remarks about the scores.
    """

    prefix: str
    frames: dict[str, tuple[str, ...]]
    notes: tuple[str, ...] = ()


def require_truth(split: Split) -> None:
    """Make sure that every frame that is scored has ground truth.

    The first and the last frame of a video are never scored.

    Raises:
        ScoringError: A video lacks truth.
    """
    videos = split.videos.values()
    if all(len(video.masks) <= 1 for video in videos):
        raise ScoringError(
            f"{split.place}: has ground truth for first frames only, against which "
            "nothing can be scored; make a local split with truth from the train set "
            "(submit holdout)"
        )
    for video in videos:
        length = None if video.meta is None else video.meta.length
        if length not in (None, video.length):
            raise ScoringError(
                f"{split.meta_path}: says that {video.name} has {length} frames, "
                f"found {video.length}; extract the split again"
            )
    lacking = [
        video
        for video in videos
        if any(frame not in video.masks for frame in video.frames[1:-1])
    ]
    if lacking:
        video = lacking[0]
        missing = [frame for frame in video.frames[1:-1] if frame not in video.masks]
        raise ScoringError(
            f"{split.place}: {len(lacking)} of {len(split.videos)} videos lack ground "
            f"truth, such as {video.name} in {len(missing)} of {video.length} frames "
            f"({missing[0]}.png); scoring needs a mask for every frame"
        )
    if not any(video.objects for video in videos):
        raise ScoringError(
            f"{split.place}: no video has an object in its first mask or in the meta "
            "file, so there is nothing to score"
        )


def require_scorable(split: Split, masks: Masks) -> None:
    """Make sure, without opening a mask, that the server would score all frames.

    Raises:
        ScoringError: It would not, or the split has no complete truth.
    """
    require_truth(split)
    plan_split(split, masks)


def plan_split(split: Split, masks: Masks) -> ScoringPlan:
    """Plan to score all frames, if the server would score the same ones.

    Raises:
        ScoringError: It would score other frames, or fail.
    """
    view = _view(split, masks)
    if not view.videos.keys() & split.videos.keys():
        return _plan_unseen(split, masks, view)
    plans = _frame_plans(split, view)
    lines = [f"{name}: {plan.problem}" for name, plan in plans.items() if plan.problem]
    if lines:
        raise ScoringError(_lines(lines))
    frames = {name: plan.frames for name, plan in plans.items()}
    _require_unpackable(masks, view.prefix, frames)
    return ScoringPlan(view.prefix, frames, _notes_on_missing(split, view))


def _view(split: Split, masks: Masks) -> ServerView:
    """The view of the masks: the server's, or for some videos the folder they are in.

    A single video may be the only folder, which the server would treat as a wrapper.
    """
    if not split.others:
        return server_view(masks.entries)
    names = masks.videos()
    videos = {name: list(masks.frames(name)) for name in names}
    return ServerView(masks.wrapper, tuple(names), videos)


def _plan_unseen(split: Split, masks: Masks, view: ServerView) -> ScoringPlan:
    """Plan to score masks among which the server finds no video of the split.

    A single video is scored nevertheless: it is a first try, not a submission.

    Raises:
        ScoringError: There is more than one video, or none at all.
    """
    if split.others:
        raise ScoringError(
            f"{masks.path}: holds none of the videos that were asked for, such as "
            f"{next(iter(split.videos))}"
        )
    zero = "the server would score 0.0 for everything"
    there = [name for name in split.videos if name in masks.videos()]
    if not there:
        raise ScoringError(
            f"{masks.path}: holds no video of {split.place}, and {zero}; expected "
            f"folders such as {next(iter(split.videos))}/ at its root, found "
            f"{', '.join(view.roots[:3]) or 'nothing'}"
        )
    if len(there) == len(split.videos) == 1:
        name = there[0]
        plan = plan_frames(split.videos[name].frames, masks.frames(name))
        if plan.problem:
            raise ScoringError(f"{name}: {plan.problem}")
        note = f"the server treats a single folder as a wrapper: {zero} with this one"
        return ScoringPlan(masks.wrapper, {name: plan.frames}, (note,))
    if len(view.roots) == 1:
        raise ScoringError(
            f"{masks.path}: {view.roots[0]}/ is the only folder at its root; the "
            f"server treats it as a wrapper, looks for videos inside, and {zero}"
        )
    raise ScoringError(
        f"{masks.path}: the videos are in {masks.wrapper or 'a folder'}, beside "
        f"{', '.join(name for name in view.roots if f'{name}/' != masks.wrapper)}; the "
        f"server looks at the root only, and {zero}; put the videos there (submit pack)"
    )


def plan_as_server(split: Split, masks: Masks) -> ScoringPlan:
    """Plan to score what the server would score.

    Raises:
        ScoringError: It would fail.
    """
    view = _view(split, masks)
    plans = _frame_plans(split, view)
    wrong = {name: plan for name, plan in plans.items() if plan.problem}
    if fatal := [
        f"{name}: {plan.problem}" for name, plan in wrong.items() if plan.fatal
    ]:
        raise ScoringError(_lines(fatal))
    frames = {name: plan.frames for name, plan in plans.items()}
    _require_unpackable(masks, view.prefix, frames)
    return ScoringPlan(
        view.prefix,
        frames,
        (
            *_notes_on_missing(split, view),
            *(f"{name}: {plan.problem}" for name, plan in wrong.items()),
        ),
    )


def plan_davis(split: Split, masks: Masks) -> ScoringPlan:
    """Plan to score all frames but the first and the last of every video.

    Raises:
        ScoringError: A mask is missing.
    """
    there = set(masks.videos())
    frames: dict[str, tuple[str, ...]] = {}
    lines = []
    for name, video in split.videos.items():
        frames[name] = video.frames[1:-1]
        if not frames[name]:
            lines.append(
                f"{name}: has {counted(video.length, 'frame')}, too few for DAVIS"
            )
        found = set(masks.frames(name)) if name in there else set()
        if missing := [frame for frame in frames[name] if frame not in found]:
            lines.append(
                f"{name}: {len(missing)} of {video.length} masks are missing, such as "
                f"{missing[0]}.png; the DAVIS protocol needs them all"
            )
    if lines:
        raise ScoringError(_lines(lines))
    return ScoringPlan(masks.wrapper, frames)


def _require_unpackable(
    masks: Masks, prefix: str, frames: Mapping[str, Sequence[str]]
) -> None:
    """Make sure that the server can unpack the files that are not read here.

    Args:
        masks: A zip; a folder does not have to be unpacked.
        prefix: Prefix of the names of the videos.
        frames: Stems of the frames of each video that will be read.

    Raises:
        ScoringError: It cannot unpack a file.
    """
    if not isinstance(masks, MaskZip):
        return
    problems = [
        f"{masks.path}: {shown(entry.written)} {problem}"
        for entry, problem in unpacking_problems(masks.entries)
    ]
    known = {f"{prefix}{name}/{f}.png" for name, stems in frames.items() for f in stems}
    problems += [
        f"{masks.path}: {shown(name)} {problem}"
        for name, problem in masks.damaged(known)
    ]
    if problems:
        raise ScoringError(f"{_lines(problems, 'files')}; {FATAL}")


def _frame_plans(split: Split, view: ServerView) -> dict[str, FramePlan]:
    """Plan the frames of each video that the server finds."""
    return {
        name: plan_frames(video.frames, view.videos[name])
        for name, video in split.videos.items()
        if name in view.videos
    }


def _notes_on_missing(split: Split, view: ServerView) -> tuple[str, ...]:
    """A remark about missing videos, if any."""
    missing = [name for name in split.videos if name not in view.videos]
    if not missing:
        return ()
    return (
        f"{len(missing)} of {len(split.videos)} videos have no masks, such as "
        f"{missing[0]}: their objects score 0",
    )


def _lines(lines: list[str], things: str = "videos") -> str:
    """Join the first few problems, one a line."""
    more = len(lines) - _LINES
    tail = [f"and {more} more {things} with such problems"] if more > 0 else []
    return "\n".join(lines[:_LINES] + tail)
