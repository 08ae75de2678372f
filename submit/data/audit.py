"""What is wrong with a split on disk, found before a night is lost to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from ..errors import SubmitError
from ..masks import object_ids
from .frames import read_frame
from .split import Split, SplitVideo, image_size

__all__ = ["Problem", "VideoAudit", "audit_split", "audit_video"]

#: What a complete file ends with, by suffix; some writers pad it.
_ENDS = {".jpg": b"\xff\xd9", ".jpeg": b"\xff\xd9", ".png": b"IEND"}
_TAIL = 1024


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a video.

    Attributes:
        kind: A short name, such as `missing-frame`.
        where: The file, or the video's name.
        what: What was expected and what was found.
        serious: Whether predicting the video would fail or go wrong; the rest is worth
            knowing.
    """

    kind: str
    where: str
    what: str
    serious: bool = True


@dataclass(frozen=True)
class VideoAudit:
    """One video, listed and looked at.

    Attributes:
        name: The video.
        frames: Number of frames.
        size: Height and width in pixels; None where no file can be opened.
        objects: Object ids in the first mask and the meta file.
        annotated: Number of annotated frames.
        problems: What is wrong.
    """

    name: str
    frames: int
    size: tuple[int, int] | None
    objects: tuple[int, ...]
    annotated: int
    problems: tuple[Problem, ...]


def audit_split(split: Split, *, decode: bool = False) -> Iterator[VideoAudit]:
    """Audit the videos of a split in order, and those that only the meta file has.

    Args:
        split: The split.
        decode: Whether to decode every frame; otherwise only headers and ends of files
            are read, which finds truncation and not damage in the middle.
    """
    known = split.meta_path is not None
    for video in split.videos.values():
        yield audit_video(video, meta_expected=known, decode=decode)
    for name in split.absent:
        problem = Problem("absent", name, "is in the meta file and has no folder")
        yield VideoAudit(name, 0, None, (), 0, (problem,))


def audit_video(
    video: SplitVideo, *, meta_expected: bool = False, decode: bool = False
) -> VideoAudit:
    """Look at one video; see `audit_split`.

    Args:
        video: The video.
        meta_expected: Whether the split has a meta file, which then must know it.
        decode: Whether to decode every frame.
    """
    problems: list[Problem] = []
    size: tuple[int, int] | None = None
    objects: tuple[int, ...] = ()
    try:
        size = video.size
    except SubmitError as error:
        problems.append(Problem("unreadable", video.name, str(error)))
    if size is not None:
        problems += _frame_problems(video, decode=decode)
        objects, found = _mask_problems(video)
        problems += found
        problems += _meta_problems(video, objects, meta_expected=meta_expected)
    return VideoAudit(
        name=video.name,
        frames=video.length,
        size=size,
        objects=objects,
        annotated=len(video.masks),
        problems=tuple(problems),
    )


def _frame_problems(video: SplitVideo, *, decode: bool) -> Iterator[Problem]:
    """Missing, surplus, unreadable and odd-sized frames."""
    if not video.images:
        yield Problem("no-frames", video.name, "has masks but no folder in JPEGImages")
        return
    if video.length == 1:
        yield Problem("one-frame", video.name, "has one frame, nothing to track")
    numbers = [int(frame) for frame in video.frames if frame.isdecimal()]
    if len(numbers) < video.length:
        odd = next(frame for frame in video.frames if not frame.isdecimal())
        yield Problem(
            "odd-name", str(video.images[odd]), "frame names are numbers, such as 00000"
        )
    steps = {later - earlier for earlier, later in pairwise(numbers)}
    if 0 in steps:
        yield Problem("odd-name", video.name, "two frames have the same number")
    step = min(steps - {0}, default=0)
    width = len(video.frames[0])
    for earlier, later in pairwise(numbers):
        if later - earlier > step:
            first, last = (
                f"{number:0{width}d}" for number in (earlier + step, later - step)
            )
            yield Problem(
                "missing-frame",
                video.name,
                f"frame {first} is missing"
                if first == last
                else f"frames {first} … {last} are missing",
            )
    for path in video.images.values():
        if problem := _image_problem(path, video.size, decode=decode):
            yield problem


def _image_problem(
    path: Path, size: tuple[int, int], *, decode: bool
) -> Problem | None:
    """What is wrong with one frame's file."""
    try:
        found = image_size(path)
        if decode or not _ends_well(path):
            read_frame(path)
    except (OSError, SubmitError) as error:
        return Problem("unreadable", str(path), str(error))
    if found != size:
        return Problem(
            "size",
            str(path),
            f"expected {size[1]}×{size[0]} as in the first frame, found "
            f"{found[1]}×{found[0]}",
        )
    return None


def _ends_well(path: Path) -> bool:
    """Whether a file has the end of its format; decoding decides otherwise."""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - _TAIL))
        return _ENDS[path.suffix.lower()] in stream.read()


def _mask_problems(
    video: SplitVideo,
) -> tuple[tuple[int, ...], list[Problem]]:
    """The objects, and what is wrong with the masks."""
    problems = []
    frames = set(video.frames)
    surplus = [frame for frame in video.masks if frame not in frames]
    if surplus:
        problems.append(
            Problem(
                "surplus-mask",
                str(video.masks[surplus[0]]),
                f"{len(surplus)} masks belong to no frame",
            )
        )
    first: tuple[int, ...] = ()
    try:
        first = object_ids(video.first_mask())
    except SubmitError as error:
        problems.append(Problem("first-mask", video.name, str(error)))
    else:
        if not first:
            problems.append(
                Problem("first-mask", video.name, "the first mask holds no object")
            )
    later: dict[int, str] = {}
    for frame in video.frames[1:]:
        if frame not in video.masks:
            continue
        try:
            for key in object_ids(video.read_mask(frame)):
                if key not in first:
                    later.setdefault(key, frame)
        except SubmitError as error:
            problems.append(Problem("mask", video.name, str(error)))
    for key, frame in sorted(later.items()):
        problems.append(
            Problem(
                "late-object",
                video.name,
                f"object {key} is not in the first mask; it appears in frame {frame} "
                "(submit predict --late-objects gives it to the model there)",
                serious=False,
            )
        )
    return tuple(sorted({*first, *later})), problems


def _meta_problems(
    video: SplitVideo, objects: tuple[int, ...], *, meta_expected: bool
) -> Iterator[Problem]:
    """Where the meta file disagrees with the files."""
    if video.meta is None:
        if meta_expected:
            yield Problem("meta", video.name, "the meta file does not know this video")
        return
    meta = video.meta
    found = {"length": video.length, "height": video.height, "width": video.width}
    for key, value in found.items():
        said = getattr(meta, key)
        if said is not None and said != value:
            yield Problem(
                "meta", video.name, f"the meta file says {key} {said}, found {value}"
            )
    if meta.objects is not None and meta.objects != objects:
        yield Problem(
            "meta",
            video.name,
            f"the meta file says objects {list(meta.objects)}, the masks have "
            f"{list(objects)}",
        )
