"""Packing a submission zip: the same bytes for the same masks, everywhere."""

from __future__ import annotations

import re
import stat
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from ..errors import ArchiveError
from ..system.files import atomic_open, digest
from ..system.outputs import OutputKind
from .entry import Entry, shown
from .source import Masks
from .team import TEAM_FILE, read_team
from .zips import open_masks

__all__ = ["SUBMISSION_ZIP", "PackedZip", "pack", "write_zip"]

#: The time of every file in a zip: the earliest that the format can store.
_EPOCH = (1980, 1, 1, 0, 0, 0)
_MASK = re.compile(r"[^/]+/[^/]+\.png")

#: The system that the zip names as its origin, always Unix: modes are those of Unix.
_UNIX = 3


@dataclass(frozen=True)
class PackedZip:
    """A zip that was written.

    Attributes:
        path: Where it is.
        sha256: Digest of the whole file, in hex.
        size: Bytes of the file.
        videos: Number of videos in it.
        frames: Number of masks in it.
    """

    path: Path
    sha256: str
    size: int
    videos: int
    frames: int


def pack(
    source: Path | str | Masks, path: Path | str, *, team: Path | str | None = None
) -> PackedZip:
    """Write a submission zip: video folders at the root, nothing else.

    The masks are stored as they are, since PNGs do not shrink further; names are
    sorted, times and modes fixed.

    Args:
        source: The masks; other files are left out.
        path: The zip; it is created or replaced when it is complete.
        team: A `team.json`, which test phases demand at the root of the zip.

    Raises:
        ArchiveError: The source holds no masks or cannot be read, or the team file
            lacks what LSVOS asks for.
        StorageError: The zip cannot be written.
    """
    if not isinstance(source, Masks):
        with open_masks(source) as masks:
            return pack(masks, path, team=team)
    path = Path(path)
    extra = None if team is None else read_team(team)
    videos = source.videos()
    if not videos:
        raise ArchiveError(
            f"{source.path}: holds no masks; expected folders of <frame>.png at its "
            "root (submit export makes them)"
        )
    for name in (f"{v}/{f}.png" for v in videos for f in source.frames(v)):
        if Entry(name).is_too_long:
            raise ArchiveError(
                f"{source.path}: {shown(name)} is a name that no server could unpack; "
                "rename it"
            )
    frames = sum(len(source.frames(video)) for video in videos)
    files: Iterable[tuple[str, bytes]] = (
        (f"{video}/{frame}.png", source.read(video, frame))
        for video in videos
        for frame in source.frames(video)
    )
    if extra is not None:
        files = chain([(TEAM_FILE, extra)], files)
    sha256, size = write_zip(path, files)
    return PackedZip(path, sha256, size, len(videos), frames)


def write_zip(path: Path, files: Iterable[tuple[str, bytes]]) -> tuple[str, int]:
    """Write files into a zip, in this order; returns its SHA-256 and its size.

    Its bytes depend only on names and contents: Python's zipfile has written the same
    bytes since version 3.6.

    Args:
        path: The zip; it is created or replaced when it is complete.
        files: Name and content of each file.

    Raises:
        ArchiveError: A name cannot be written into a zip.
        StorageError: The zip cannot be written.
    """
    with atomic_open(path) as stream, zipfile.ZipFile(stream, "w") as archive:
        for name, data in files:
            info = zipfile.ZipInfo(name, date_time=_EPOCH)
            info.create_system = _UNIX
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            try:
                archive.writestr(info, data)
            except UnicodeEncodeError as error:
                raise ArchiveError(
                    f"the name {name!r} cannot be written into a zip; rename it"
                ) from error
    return digest(path), path.stat().st_size


def _find_foreign(path: Path) -> Path | None:
    """Whether a file is not a submission zip as `write_zip` makes it."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except Exception:  # zipfile raises exceptions of many types on damaged files.
        return path
    ours = bool(entries) and all(
        entry.date_time == _EPOCH
        and (entry.filename == TEAM_FILE or _MASK.fullmatch(entry.filename))
        for entry in entries
    )
    return None if ours else path


#: What `submit pack`, `submit repair` and `submit build` write.
SUBMISSION_ZIP = OutputKind("a submission zip", "submit pack", _find_foreign)
