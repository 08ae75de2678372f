"""What the server would make of a submission: which videos, which frames.

The official scorer looks for video folders at the root, or in the one folder that
stands there alone. Of a video it lists the PNGs, sorts them by number and scores those
from the second on, two fewer than the video is long; it opens the truth by the name it
found. So a missing mask shifts everything after it (`main` and `process_video_chunk` of
https://github.com/henghuiding/MOSE-api/blob/241977a/MOSEv2/sam2_rcms/tools/score.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..archive import Entry, Masks
from ..dataset import Split
from ..errors import ScoringError

__all__ = [
    "FATAL",
    "FramePlan",
    "Plan",
    "ServerView",
    "plan_as_server",
    "plan_davis",
    "plan_frames",
    "plan_split",
    "require_truth",
    "server_view",
]

#: How the server's answer to a fatal problem is described.
FATAL = "the server would fail the whole submission"

#: How many names a message lists.
_SHOWN = 3

#: How many videos with problems a message lists.
_LINES = 5


@dataclass(frozen=True)
class ServerView:
    """Where the server finds masks.

    Attributes:
        prefix: The folder, with its `/`, that it takes for a wrapper and descends
            into; empty where it stays at the root.
        roots: What it sees at the root.
        videos: Stems of the PNGs in each folder that it could take for a video.
    """

    prefix: str
    roots: tuple[str, ...]
    videos: dict[str, list[str]]


def server_view(entries: Iterable[Entry]) -> ServerView:
    """Look at a submission as the server does.

    Args:
        entries: All files and folders of it.
    """
    names = [entry.name for entry in entries]
    parts = [name.split("/") for name in names]
    roots = {path[0]: len(path) > 1 for path in parts if not path[0].startswith(".")}
    prefix = ""
    if len(roots) == 1:
        (root,) = roots
        prefix = f"{root}/" if roots[root] else ""
    videos: dict[str, list[str]] = {}
    for path in parts:
        below = path[1:] if prefix else path
        if len(below) < 2 or (prefix and path[0] != prefix[:-1]):
            continue
        stems = videos.setdefault(below[0], [])
        if len(below) == 2 and _is_mask(below[1]):
            stems.append(below[1][: -len(".png")])
    return ServerView(prefix, tuple(sorted(roots)), videos)


def _is_mask(name: str) -> bool:
    return name.endswith(".png") and not name.startswith(".")


@dataclass(frozen=True)
class FramePlan:
    """What the server would do with the masks of one video.

    Attributes:
        frames: Stems of the frames it would score; empty where it would fail.
        problem: What is wrong and what the server would do about it; None where it
            would score what it should.
        fatal: Whether it would fail the whole submission.
    """

    frames: tuple[str, ...]
    problem: str | None = None
    fatal: bool = False


def plan_frames(truth: Sequence[str], found: Sequence[str]) -> FramePlan:
    """Say which frames of a video the server would score.

    Args:
        truth: Stems of the video's frames, in order.
        found: Stems of the masks in the prediction, in any order.
    """
    wanted = tuple(truth[1:-1])
    if odd := [stem for stem in found if not _is_number(stem.split(".")[0])]:
        return _failure(odd, "expected frame numbers as names", "ValueError")
    if not wanted:
        return FramePlan(())
    names = sorted((stem.split(".")[0] for stem in found), key=int)
    scored = tuple(names[1 : len(truth) - 1])
    missing = [stem for stem in truth if stem not in set(names)]
    if len(scored) < len(wanted):
        what = f"{len(missing)} of {len(truth)} masks are missing"
        return _failure(missing, what, "AssertionError")
    if scored == wanted and set(scored) <= set(found):
        return FramePlan(scored)
    if unknown := [name for name in scored if name not in set(truth)]:
        return _failure(unknown, "the truth has no such frame", "FileNotFoundError")
    if renamed := [name for name in scored if name not in set(found)]:
        return _failure(renamed, "only a longer name begins so", "Frame not found")
    return FramePlan(
        scored,
        f"{_list(missing)}: missing; the server would not notice, and score "
        f"{scored[0]}.png to {scored[-1]}.png without it instead of {wanted[0]}.png to "
        f"{wanted[-1]}.png",
    )


def _failure(stems: Sequence[str], what: str, error: str) -> FramePlan:
    """The plan of a video at which the server gives up."""
    return FramePlan((), f"{_list(stems)}: {what}; {FATAL} ({error})", fatal=True)


def _is_number(text: str) -> bool:
    """Whether Python's `int` takes the text, as the server asks."""
    try:
        int(text)
    except ValueError:
        return False
    return True


def _list(stems: Sequence[str]) -> str:
    """The first few names."""
    more = f" and {len(stems) - _SHOWN} more" if len(stems) > _SHOWN else ""
    return ", ".join(f"{stem}.png" for stem in stems[:_SHOWN]) + more


@dataclass(frozen=True)
class Plan:
    """What is to be scored.

    Attributes:
        prefix: What stands before `<video>/<frame>.png` in the names of the masks.
        frames: Stems of the frames of each video that has masks.
        notes: What a reader of the scores should know.
    """

    prefix: str
    frames: dict[str, tuple[str, ...]]
    notes: tuple[str, ...] = ()


def require_truth(split: Split) -> None:
    """Make sure that every frame of every video can be compared with something.

    Raises:
        ScoringError: A video lacks truth.
    """
    videos = split.videos.values()
    if all(len(video.masks) <= 1 for video in videos):
        raise ScoringError(
            f"{split.root}: has ground truth for first frames only, against which "
            "nothing can be scored; make a local split with truth from the train set "
            "(submit holdout), or judge without truth (submit preview)"
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
        if any(frame not in video.masks for frame in video.frames)
    ]
    if not lacking:
        return
    video = lacking[0]
    missing = [frame for frame in video.frames if frame not in video.masks]
    raise ScoringError(
        f"{split.root}: {len(lacking)} of {len(split.videos)} videos lack ground "
        f"truth, such as {video.name} in {len(missing)} of {video.length} frames "
        f"({missing[0]}.png); scoring needs a mask for every frame"
    )


def plan_split(split: Split, masks: Masks) -> Plan:
    """Plan to score what should be scored, where the server would do the same.

    Raises:
        ScoringError: It would not.
    """
    view = server_view(masks.entries)
    if not view.videos.keys() & split.videos.keys():
        return _plan_unseen(split, masks, view)
    plans = _frame_plans(split, view)
    lines = [f"{name}: {plan.problem}" for name, plan in plans.items() if plan.problem]
    if lines:
        raise ScoringError(_lines(lines))
    frames = {name: plan.frames for name, plan in plans.items()}
    return Plan(view.prefix, frames, _notes_on_missing(split, view))


def _plan_unseen(split: Split, masks: Masks, view: ServerView) -> Plan:
    """Plan to score masks among which the server finds no video of the split.

    A single video is scored all the same: it is somebody's first try, and nobody
    submits it.

    Raises:
        ScoringError: There is more than one video, or none at all.
    """
    zero = "the server would score 0.0 for everything"
    there = [name for name in split.videos if name in masks.videos()]
    if not there:
        raise ScoringError(
            f"{masks.path}: holds no video of {split.root}, and {zero}; expected "
            f"folders such as {next(iter(split.videos))}/ at its root, found "
            f"{', '.join(view.roots[:3]) or 'nothing'}"
        )
    if len(there) == len(split.videos) == 1:
        name = there[0]
        plan = plan_frames(split.videos[name].frames, masks.frames(name))
        if plan.problem:
            raise ScoringError(f"{name}: {plan.problem}")
        note = f"the server takes a single folder for a wrapper: {zero} with this one"
        return Plan(masks.wrapper, {name: plan.frames}, (note,))
    if len(view.roots) == 1:
        raise ScoringError(
            f"{masks.path}: {view.roots[0]}/ is the only folder at its root; the "
            f"server takes it for a wrapper, looks for videos inside, and {zero}"
        )
    raise ScoringError(
        f"{masks.path}: the videos are in {masks.wrapper or 'a folder'}, beside "
        f"{', '.join(name for name in view.roots if f'{name}/' != masks.wrapper)}; the "
        f"server looks at the root only, and {zero}; put the videos there (submit pack)"
    )


def plan_as_server(split: Split, masks: Masks) -> Plan:
    """Plan to score what the server would score.

    Raises:
        ScoringError: It would fail.
    """
    view = server_view(masks.entries)
    plans = _frame_plans(split, view)
    wrong = {name: plan for name, plan in plans.items() if plan.problem}
    if fatal := [
        f"{name}: {plan.problem}" for name, plan in wrong.items() if plan.fatal
    ]:
        raise ScoringError(_lines(fatal))
    return Plan(
        view.prefix,
        {name: plan.frames for name, plan in plans.items()},
        (
            *_notes_on_missing(split, view),
            *(f"{name}: {plan.problem}" for name, plan in wrong.items()),
        ),
    )


def plan_davis(split: Split, masks: Masks) -> Plan:
    """Plan to score all frames but the first and the last of every video.

    Raises:
        ScoringError: A mask is missing.
    """
    there = set(masks.videos())
    frames: dict[str, tuple[str, ...]] = {}
    lines = []
    for name, video in split.videos.items():
        frames[name] = video.frames[1:-1]
        found = set(masks.frames(name)) if name in there else set()
        if missing := [frame for frame in frames[name] if frame not in found]:
            lines.append(
                f"{name}: {len(missing)} of {video.length} masks are missing, such as "
                f"{missing[0]}.png; the DAVIS protocol needs them all"
            )
    if lines:
        raise ScoringError(_lines(lines))
    return Plan(masks.wrapper, frames)


def _frame_plans(split: Split, view: ServerView) -> dict[str, FramePlan]:
    """Plan the frames of each video that the server finds."""
    return {
        name: plan_frames(video.frames, view.videos[name])
        for name, video in split.videos.items()
        if name in view.videos
    }


def _notes_on_missing(split: Split, view: ServerView) -> tuple[str, ...]:
    """Say that videos are missing, if any are."""
    missing = [name for name in split.videos if name not in view.videos]
    if not missing:
        return ()
    return (
        f"{len(missing)} of {len(split.videos)} videos have no masks, such as "
        f"{missing[0]}: their objects score 0",
    )


def _lines(lines: list[str]) -> str:
    """Join the first few problems, one a line."""
    more = len(lines) - _LINES
    tail = [f"and {more} more videos with such problems"] if more > 0 else []
    return "\n".join(lines[:_LINES] + tail)
