"""Listing the folders of a split: videos, and the files of their frames.

The result is the same on every disk: frames are in natural order, and if two files
could be the same frame, neither is chosen.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

from ..errors import SplitError
from ..system.names import (
    NaturalKey,
    frame_number,
    in_natural_order,
    is_text,
    natural_key,
    reads_utf_8,
)
from ..system.words import counted
from .images import IMAGE_SUFFIXES

__all__ = [
    "DISK",
    "FRAMES",
    "MASKS",
    "Doubt",
    "FrameFiles",
    "Listing",
    "is_no_video",
    "list_frames",
    "list_videos",
]

#: The two folders of a split.
FRAMES = "JPEGImages"
MASKS = "Annotations"

#: Folders of DAVIS between these and the videos.
_RESOLUTIONS = ("480p", "Full-Resolution", "1080p")

#: Folders that file systems, servers and archivers create.
_NO_VIDEOS = frozenset(
    {
        "@eadir",
        "@recycle",
        "#recycle",
        "$recycle.bin",
        "__macosx",
        "lost+found",
        "system volume information",
    }
)

#: Images that are not read as masks; one beside a mask could be the mask too.
_OTHER_IMAGES = (".gif", ".jfif", ".jpe", ".jp2", ".ppm", ".heic", ".avif", ".tga")


@dataclass(frozen=True)
class Doubt:
    """Why it is not certain which files of a video are meant, so that none is read.

    Attributes:
        kind: A short name, such as `two-files`.
        what: A sentence that names the folder and says what to do.
    """

    kind: str
    what: str


@dataclass(frozen=True)
class FrameFiles:
    """The files of one video in one of the two folders.

    Attributes:
        files: File of each frame by stem, in natural order.
        doubts: Why it is not certain which files are the frames.
        strays: The same for names that do not fit the others.
        others: Names of files that are no frames, sorted.
        exists: Whether there is a folder.
    """

    files: Mapping[str, Path] = field(default_factory=dict)
    doubts: tuple[Doubt, ...] = ()
    strays: tuple[Doubt, ...] = ()
    others: tuple[str, ...] = ()
    exists: bool = True


class Listing(Protocol):
    """Lists folders: those of a disk, or those of a storage by the paths of its copy.

    `submit.storage.StoredFolder` is the one of a storage.
    """

    def folders(self, folder: Path) -> Sequence[str]:
        """Names of the folders in a folder; none where there is no such folder."""
        ...

    def names(self, folder: Path) -> Sequence[str]:
        """Names of everything in a folder.

        Raises:
            OSError: It cannot be listed.
        """
        ...

    def ahead(self, folders: Iterable[Path]) -> None:
        """Get ready to list these folders soon."""
        ...

    def files(self, files: Mapping[str, Path]) -> Mapping[str, Path]:
        """Files of one folder by stem, as they can be opened."""
        ...


class _Disk:
    """Lists folders of this machine."""

    def folders(self, folder: Path) -> Sequence[str]:
        """Names of the folders in a folder; broken links, too."""
        if not folder.is_dir():
            return ()
        with os.scandir(folder) as children:
            return [
                child.name
                for child in children
                if child.is_dir() or (child.is_symlink() and not Path(child).exists())
            ]

    def names(self, folder: Path) -> Sequence[str]:
        """Names of everything in a folder."""
        return os.listdir(folder)

    def ahead(self, folders: Iterable[Path]) -> None:
        """Do nothing: a disk is fast."""

    def files(self, files: Mapping[str, Path]) -> Mapping[str, Path]:
        """The files as they are."""
        return files


#: The folders of this machine.
DISK: Listing = _Disk()


def list_videos(
    root: Path, listing: Listing = DISK
) -> tuple[dict[str, Path], dict[str, Path]]:
    """Find the folders of videos below JPEGImages and below Annotations, by name.

    With the resolutions of DAVIS, both are taken from the same one if possible.

    Args:
        root: The split's folder.
        listing: Lists its folders.

    Raises:
        SplitError: A name is not text, so that no later file could store it.
    """
    folders = partial(_named_folders, listing)
    frames, masks = folders(root / FRAMES), folders(root / MASKS)
    for both in (True, False):
        for resolution in _RESOLUTIONS:
            there = [resolution in tree for tree in (frames, masks) if tree]
            if there and (all(there) if both else any(there)):
                return tuple(  # type: ignore[return-value]
                    folders(tree[resolution]) if resolution in tree else tree
                    for tree in (frames, masks)
                )
    return frames, masks


def is_no_video(name: str) -> bool:
    """Whether a folder of this name was made by a program and is not a video."""
    return name.casefold() in _NO_VIDEOS


def _named_folders(listing: Listing, folder: Path) -> dict[str, Path]:
    """The folders in a folder by name, sorted."""
    found = listing.folders(folder)
    names = sorted(name for name in found if not name.startswith("."))
    if broken := [name for name in names if not is_text(name)]:
        raise SplitError(f"{folder}: {_not_text(broken)}")
    return {name: folder / name for name in names}


def _not_text(names: Sequence[str]) -> str:
    """Say that names cannot be written into a manifest or a zip."""
    if not reads_utf_8():
        files = counted(len(names), "name is not ASCII", "names are not ASCII")
        return (
            f"{files}, such as {ascii(os.fsencode(names[0]))[1:]}, and this locale "
            f"reads names as {sys.getfilesystemencoding()}; set PYTHONUTF8=1, or "
            "LC_ALL=C.UTF-8"
        )
    files = counted(len(names), "name is no", "names are no")
    return (
        f"{files} UTF-8 text, such as {ascii(os.fsencode(names[0]))[1:]}; rename it "
        "(convmv does), or extract again with the right encoding"
    )


def list_frames(
    folder: Path | None, *, masks: bool = False, listing: Listing = DISK
) -> FrameFiles:
    """List the files of a video's frames, or of its masks.

    Args:
        folder: The video's folder; None where there is none.
        masks: Whether to list masks, which are PNGs.
        listing: Lists the folder.
    """
    if folder is None:
        return FrameFiles(exists=False)
    try:
        found = listing.names(folder)
    except OSError as error:
        reason = f"{folder}: cannot be listed ({error.strerror})"
        if folder.is_symlink() and not folder.exists():
            reason = f"{folder}: is a link to {folder.readlink()}, which is not there"
        return FrameFiles(doubts=(Doubt("unreadable", reason),))
    names = [name for name in found if not name.startswith(".")]
    suffixes = (".png",) if masks else IMAGE_SUFFIXES
    stems: dict[str, list[str]] = defaultdict(list)
    others: list[str] = []
    for name in names:
        stem, suffix = os.path.splitext(name)
        if suffix.lower() in suffixes:
            stems[stem].append(name)
        else:
            others.append(name)
    if broken := [name for name in names if not is_text(name)]:
        what = f"{folder}: {_not_text(broken)}"
        return FrameFiles(doubts=(Doubt("odd-name", what),))
    rivals = [n for n in others if masks and _is_image(n)]
    kept, doubts = _one_for_each(folder, stems, rivals)
    return FrameFiles(
        files=listing.files({stem: folder / name for stem, name in kept.items()}),
        doubts=doubts,
        strays=_strays(folder, kept),
        others=tuple(sorted(others)),
    )


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in (*IMAGE_SUFFIXES, *_OTHER_IMAGES)


def _one_for_each(
    folder: Path, stems: Mapping[str, Sequence[str]], rivals: Sequence[str]
) -> tuple[dict[str, str], tuple[Doubt, ...]]:
    """Keep one file for each frame, in natural order, and name frames with several.

    Args:
        folder: The video's folder.
        stems: Names of files by stem.
        rivals: Names of files that matter only beside another file of the same stem.
    """
    if not rivals and _are_plain(stems):
        return {stem: stems[stem][0] for stem in sorted(stems)}, ()
    frames: dict[NaturalKey, list[str]] = defaultdict(list)
    order: dict[NaturalKey, str] = {}
    for stem in in_natural_order(stems):
        key = natural_key(stem)
        order.setdefault(key, stem)
        frames[key] += sorted(stems[stem])
    kept = {stem: sorted(stems[stem])[0] for stem in order.values()}
    for name in sorted(rivals):
        key = natural_key(os.path.splitext(name)[0])
        if key in frames:
            frames[key].append(name)
    several = [found for found in frames.values() if len(found) > 1]
    if not several:
        return kept, ()
    more = counted(len(several) - 1, "more frame")
    also = f" ({more} with several files)" if len(several) > 1 else ""
    what = (
        f"{folder}: {' and '.join(several[0])} are files of one frame{also}; keep one "
        "file for each frame and move the others out of the split"
    )
    return kept, (Doubt("two-files", what),)


def _are_plain(stems: Mapping[str, Sequence[str]]) -> bool:
    """Whether all names are different numbers of one length: the usual case."""
    return (
        len(set(map(len, stems))) == 1
        and all(stem.isdecimal() and stem.isascii() for stem in stems)
        and all(len(names) == 1 for names in stems.values())
    )


def _strays(folder: Path, kept: Mapping[str, str]) -> tuple[Doubt, ...]:
    """Name files without a number if all others are numbered."""
    named = [stem for stem in kept if frame_number(stem) is None]
    if not named or len(named) == len(kept):
        return ()
    example = next(stem for stem in kept if stem not in named)
    files = counted(len(named), "file is", "files are")
    what = (
        f"{folder}: {files} not named by a number as the others are, such "
        f"as {kept[named[0]]} beside {kept[example]}; rename it, or move it out of the "
        "split"
    )
    return (Doubt("odd-name", what),)
