"""The audit of a split on disk: its problems, found before a prediction."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from ..errors import SubmitError
from ..masks import object_ids
from ..storage import bring
from ..system.files import open_regular
from ..system.names import frame_number
from ..system.words import size_text
from .images import ImageHeader, read_frame, read_image_header
from .split import Split, SplitVideo

__all__ = ["Problem", "VideoAudit", "audit_split", "audit_video"]

#: The last bytes of a complete file, by format; some writers add padding. For other
#: formats only decoding tells.
_ENDS = {"JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "PNG": b"IEND"}
_TAIL = 1024


@dataclass(frozen=True)
class Problem:
    """One problem of a video.

    Attributes:
        kind: A short name, such as `missing-frame`.
        where: The file, or the video's name.
        what: What was expected and what was found.
        serious: Whether predicting the video would fail or be wrong; otherwise it is a
            remark.
    """

    kind: str
    where: str
    what: str
    serious: bool = True


@dataclass(frozen=True)
class VideoAudit:
    """One video, listed and checked.

    Attributes:
        name: The video.
        frames: Number of frames.
        size: Height and width in pixels; None where no file can be opened.
        objects: Object ids in the first mask and the meta file.
        annotated: Number of annotated frames.
        problems: Its problems.
    """

    name: str
    frames: int
    size: tuple[int, int] | None
    objects: tuple[int, ...]
    annotated: int
    problems: tuple[Problem, ...]


def audit_split(split: Split, *, decode: bool = False) -> Iterator[VideoAudit]:
    """Audit the videos of a split in order, then those that only the meta file has.

    Args:
        split: The split.
        decode: Whether to decode every frame; otherwise only headers and ends of files
            are read, which finds truncation but no damage in the middle.
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
    """Audit one video; see `audit_split`.

    Args:
        video: The video.
        meta_expected: Whether the split has a meta file, which must then list the
            video.
        decode: Whether to decode every frame.
    """
    problems = [
        Problem(doubt.kind, video.name, doubt.what)
        for doubt in (*video.image_doubts, *video.mask_doubts)
    ]
    size: tuple[int, int] | None = None
    objects: tuple[int, ...] = ()
    if not problems:
        try:
            size = video.size
        except SubmitError as error:
            problems.append(Problem("unreadable", video.name, str(error)))
    if size is not None:
        problems += _frame_problems(video, size, decode=decode)
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


def _frame_problems(
    video: SplitVideo, size: tuple[int, int], *, decode: bool
) -> Iterator[Problem]:
    """Missing, surplus, unreadable, turned and odd-sized frames."""
    if not video.images:
        yield Problem("no-frames", video.name, "has masks, and the split no frames")
        return
    if video.length == 1:
        yield Problem("one-frame", video.name, "has one frame, nothing to track")
    if frame_number(video.frames[0]) is None:
        yield Problem(
            "odd-name",
            video.name,
            f"frame names are not numbers; they are read in the order "
            f"{_listed(video.frames)} (the MOSEv2 server takes numbers only)",
            serious=False,
        )
    for what in _gaps(video.frames):
        yield Problem("missing-frame", video.name, what)
    headers: dict[str, ImageHeader] = {}
    bring(video.images)
    for frame, path in video.images.items():
        try:
            header = read_image_header(path)
            if decode or not _is_complete(path, header):
                read_frame(path)
        except (OSError, SubmitError) as error:
            yield Problem("unreadable", str(path), str(error))
            continue
        headers[frame] = header
        if header.size != size:
            yield Problem(
                "size",
                str(path),
                f"expected {size_text(size)} as in the first frame, found "
                f"{size_text(header.size)}",
            )
    yield from _about_pixels(video, headers)


def _about_pixels(
    video: SplitVideo, headers: Mapping[str, ImageHeader]
) -> Iterator[Problem]:
    """Remarks about unusual pixels, and how they are read."""
    turned: dict[str, list[str]] = {}
    colours: dict[str, list[str]] = {}
    for frame, header in headers.items():
        if header.orientation != 1:
            turned.setdefault(_TURNS[header.orientation], []).append(frame)
        if header.colours is not None:
            colours.setdefault(header.colours, []).append(frame)
    for turn, frames in turned.items():
        yield Problem(
            "turned",
            str(video.images[frames[0]]),
            f"{_count(frames, video)} {turn} in viewers, as EXIF wants it, and not "
            "here, as in the official loaders: masks must lie on the stored pixels",
            serious=False,
        )
    for colour, frames in colours.items():
        yield Problem(
            "colours",
            str(video.images[frames[0]]),
            f"{_count(frames, video)} {colour}",
            serious=False,
        )


#: What viewers do to an image, by its EXIF orientation.
_TURNS = {
    2: "are mirrored",
    3: "are turned by 180°",
    4: "are turned upside down and mirrored",
    5: "are turned by 90° and mirrored",
    6: "are turned by 90° clockwise",
    7: "are turned by 90° and mirrored",
    8: "are turned by 90° anticlockwise",
}


def _count(frames: Sequence[str], video: SplitVideo) -> str:
    return f"{len(frames)} of {video.length} frames"


def _listed(frames: Sequence[str]) -> str:
    if len(frames) < 4:
        return ", ".join(frames)
    return f"{frames[0]}, {frames[1]} … {frames[-1]}"


def _gaps(frames: Sequence[str]) -> Iterator[str]:
    """Find missing frames by the numbers in names."""
    numbers = _numbers(frames)
    steps = {later - earlier for earlier, later in pairwise(numbers)}
    step = min(steps - {0}, default=0)
    for place, (earlier, later) in enumerate(pairwise(numbers)):
        if later - earlier > step:
            first, last = (
                _renumbered(frames[place], numbers[place], number)
                for number in (earlier + step, later - step)
            )
            if first == last:
                yield f"frame {first} is missing"
            else:
                yield f"frames {first} … {last} are missing"


def _numbers(frames: Sequence[str]) -> list[int]:
    """The number in each name; empty where names differ in more than one number."""
    plain = [frame_number(frame) for frame in frames]
    if all(number is not None for number in plain):
        return [number for number in plain if number is not None]
    parts = [_DIGITS.split(frame) for frame in frames]
    if len({tuple(each[::2]) for each in parts}) > 1:
        return []
    columns = list(zip(*parts, strict=True))
    varying = [column for column in columns[1::2] if len(set(map(int, column))) > 1]
    return [int(number) for number in varying[0]] if len(varying) == 1 else []


_DIGITS = re.compile(r"([0-9]+)")


def _renumbered(frame: str, old: int, new: int) -> str:
    """The name of a frame with another number, of as many digits."""
    if frame_number(frame) is not None:
        return f"{new:0{len(frame)}d}"
    return _DIGITS.sub(
        lambda found: f"{new:0{len(found[0])}d}" if int(found[0]) == old else found[0],
        frame,
    )


def _is_complete(path: Path, header: ImageHeader) -> bool:
    """Whether a file ends with the end marker of its format; False if it has none."""
    end = _ENDS.get(header.format)
    if end is None:
        return False
    with open_regular(path) as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - _TAIL))
        return end in stream.read()


def _mask_problems(
    video: SplitVideo,
) -> tuple[tuple[int, ...], list[Problem]]:
    """The objects, and what is wrong with the masks."""
    problems = []
    frames = set(video.frames)
    surplus = [frame for frame in video.masks if frame not in frames]
    if surplus:
        masks = (
            "1 mask belongs" if len(surplus) == 1 else f"{len(surplus)} masks belong"
        )
        problems.append(
            Problem(
                "surplus-mask", str(video.masks[surplus[0]]), f"{masks} to no frame"
            )
        )
    bring(video.masks)
    first: tuple[int, ...] = ()
    readable = True
    try:
        first = object_ids(video.first_mask())
    except SubmitError as error:
        readable = False
        problems.append(Problem("first-mask", video.name, str(error)))
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
    if readable and not first:
        problems.append(_no_first_object(video, later))
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


def _no_first_object(video: SplitVideo, later: Mapping[int, str]) -> Problem:
    """A video whose first mask holds no object."""
    if not later:
        return Problem("first-mask", video.name, "no mask holds an object")
    return Problem(
        "late-start",
        video.name,
        "no object is in the first frame; only submit predict --late-objects can "
        "predict the video",
        serious=False,
    )


def _meta_problems(
    video: SplitVideo, objects: tuple[int, ...], *, meta_expected: bool
) -> Iterator[Problem]:
    """Contradictions between the meta file and the files."""
    if video.meta is None:
        if meta_expected:
            yield Problem("meta", video.name, "the meta file does not list this video")
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
