"""Which videos and frames the official server finds in a submission.

The scorer looks for video folders at the root, or in the only folder at the root. Of a
video it lists the PNGs, sorts them by number and scores those from the second on, two
fewer than the video is long; it opens the truth by the name it found. So a missing mask
shifts everything after it (`main` and `process_video_chunk` of
https://github.com/henghuiding/MOSE-api/blob/241977a/MOSEv2/sam2_rcms/tools/score.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from .entry import Entry, shown

__all__ = [
    "FATAL",
    "FramePlan",
    "ServerView",
    "plan_frames",
    "server_view",
    "unpacking_problems",
]

#: Describes the server's answer to a fatal problem.
FATAL = "the server would fail the whole submission"

#: How many names a message lists.
_SHOWN = 3


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
    names = [entry.name for entry in entries if entry.name]
    parts = [name.split("/") for name in names]
    roots = {path[0]: len(path) > 1 for path in parts if not path[0].startswith(".")}
    prefix = ""
    if len(roots) == 1:
        (root,) = roots
        prefix = f"{root}/" if roots[root] else ""
    # A zip may have two files of one name; the server has one of them.
    videos: dict[str, dict[str, None]] = {}
    for path in parts:
        below = path[1:] if prefix else path
        if len(below) < 2 or (prefix and path[0] != prefix[:-1]):
            continue
        stems = videos.setdefault(below[0], {})
        if len(below) == 2 and _is_mask(below[1]):
            stems[below[1][: -len(".png")]] = None
    return ServerView(
        prefix,
        tuple(sorted(roots)),
        {name: list(stems) for name, stems in videos.items()},
    )


def unpacking_problems(entries: Sequence[Entry]) -> Iterator[tuple[Entry, str]]:
    """Find names that `zipfile.extractall` cannot unpack on Linux.

    Args:
        entries: All files and folders of a zip.

    Yields:
        The entry, and what is wrong with its name.
    """
    folders = {entry.name[:-1] for entry in entries if entry.is_folder}
    parents = {_parent(entry.name.rstrip("/")) for entry in entries}
    while parents := parents - folders:
        folders |= parents
        parents = {_parent(folder) for folder in parents}
    for entry in entries:
        if not entry.is_folder and not entry.name:
            yield entry, "has no name"
        elif not entry.is_folder and entry.name in folders:
            yield entry, "is a file and a folder"
        elif entry.is_too_long:
            yield entry, "has a name that is too long"


def _parent(name: str) -> str:
    """The folder that a path is in, empty at the root."""
    return name.rpartition("/")[0]


def _is_mask(name: str) -> bool:
    return name.endswith(".png") and not name.startswith(".")


@dataclass(frozen=True)
class FramePlan:
    """What the server would do with the masks of one video.

    Attributes:
        frames: Stems of the frames it would score; empty where it would fail.
        problem: What is wrong and what the server would do about it; None if it would
            score the right frames.
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
    known, there, files = set(truth), set(names), set(found)
    missing = [stem for stem in truth if stem not in there]
    if len(scored) < len(wanted):
        what = f"{len(missing)} of {len(truth)} masks are missing"
        return _failure(missing, what, "AssertionError")
    if scored == wanted and files.issuperset(scored):
        return FramePlan(wanted)
    if unknown := [name for name in scored if name not in known]:
        return _failure(unknown, "the truth has no such frame", "FileNotFoundError")
    if renamed := [name for name in scored if name not in files]:
        return _failure(renamed, "only a longer name begins so", "Frame not found")
    return FramePlan(
        scored,
        f"{_list(missing)}: missing; the server would not notice, and score "
        f"{scored[0]}.png to {scored[-1]}.png without it instead of {wanted[0]}.png to "
        f"{wanted[-1]}.png",
    )


def _failure(stems: Sequence[str], what: str, error: str) -> FramePlan:
    """The plan of a video that makes the server fail."""
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
    return ", ".join(shown(f"{stem}.png") for stem in stems[:_SHOWN]) + more
