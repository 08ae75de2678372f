"""Packing a submission zip: the same bytes for the same masks, everywhere."""

from __future__ import annotations

import hashlib
import stat
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO

from ..errors import ArchiveError
from ..system.files import atomic_open
from .source import Masks, open_masks
from .team import TEAM_FILE, read_team

__all__ = ["Packed", "pack", "write_zip"]


@dataclass(frozen=True)
class Packed:
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
) -> Packed:
    """Write a submission zip: video folders at the root, nothing else.

    The masks are stored as they are, since PNGs do not shrink further; names are
    sorted, times and modes fixed.

    Args:
        source: The masks; whatever else lies beside them is left out.
        path: The zip; it appears, or replaces an older one, when it is complete.
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
    frames = sum(len(source.frames(video)) for video in videos)
    files: Iterable[tuple[str, bytes]] = (
        (f"{video}/{frame}.png", source.read(video, frame))
        for video in videos
        for frame in source.frames(video)
    )
    if extra is not None:
        files = chain([(TEAM_FILE, extra)], files)
    sha256, size = write_zip(path, files)
    return Packed(path, sha256, size, len(videos), frames)


def write_zip(path: Path, files: Iterable[tuple[str, bytes]]) -> tuple[str, int]:
    """Write files into a zip, in this order; returns its SHA-256 and its size.

    Args:
        path: The zip; it appears, or replaces an older one, when it is complete.
        files: Name and content of each file.

    Raises:
        ArchiveError: A name cannot be written into a zip.
        StorageError: The zip cannot be written.
    """
    with atomic_open(path) as stream:
        writer = _ZipWriter(stream)
        for name, data in files:
            writer.add(name, data)
        writer.finish()
    return writer.sha256, writer.size


class _ZipWriter:
    """Writes a zip whose bytes depend on nothing but names and contents.

    Python's own writer would do, but what it writes may change with its version.
    """

    #: Unix, format version 2.0; in this order in the central directory.
    _MADE_BY, _NEEDS, _NEEDS_ZIP64 = 3 << 8 | 20, 20, 45
    #: Day 1 of January 1980, the earliest that a zip can say; time 0.
    _DATE = 1 << 5 | 1
    _MODE = (stat.S_IFREG | 0o644) << 16
    _UTF8 = 1 << 11
    _LIMIT16, _LIMIT32 = 0xFFFF, 0xFFFFFFFF

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._sha = hashlib.sha256()
        self._directory: list[bytes] = []
        self.size = 0

    @property
    def sha256(self) -> str:
        """Digest of what was written so far, in hex."""
        return self._sha.hexdigest()

    def add(self, name: str, data: bytes) -> None:
        """Write one stored file."""
        try:
            encoded = name.encode()
        except UnicodeEncodeError as error:
            raise ArchiveError(
                f"the name {name!r} cannot be written into a zip; rename it"
            ) from error
        flags = 0 if encoded.isascii() else self._UTF8
        common = struct.pack(
            "<HHHHIIIH",
            flags,
            0,
            0,
            self._DATE,
            zlib.crc32(data),
            len(data),
            len(data),
            len(encoded),
        )
        offset, extra, needs = self.size, b"", self._NEEDS
        if offset >= self._LIMIT32:
            extra, needs = struct.pack("<HHQ", 1, 8, offset), self._NEEDS_ZIP64
        self._directory.append(
            struct.pack("<IHH", 0x02014B50, self._MADE_BY, needs)
            + common
            + struct.pack(
                "<HHHHII",
                len(extra),
                0,
                0,
                0,
                self._MODE,
                min(offset, self._LIMIT32),
            )
            + encoded
            + extra
        )
        self._write(struct.pack("<IH", 0x04034B50, self._NEEDS) + common + b"\0\0")
        self._write(encoded)
        self._write(data)

    def finish(self) -> None:
        """Write the central directory; zip64 where there are too many files for it."""
        start, count = self.size, len(self._directory)
        for record in self._directory:
            self._write(record)
        length = self.size - start
        if count >= self._LIMIT16 or self.size >= self._LIMIT32:
            end = self.size
            self._write(
                struct.pack(
                    "<IQHHIIQQQQ",
                    0x06064B50,
                    44,
                    self._MADE_BY & ~0xFF | self._NEEDS_ZIP64,
                    self._NEEDS_ZIP64,
                    0,
                    0,
                    count,
                    count,
                    length,
                    start,
                )
            )
            self._write(struct.pack("<IIQI", 0x07064B50, 0, end, 1))
        short = min(count, self._LIMIT16)
        self._write(
            struct.pack(
                "<IHHHHIIH",
                0x06054B50,
                0,
                0,
                short,
                short,
                min(length, self._LIMIT32),
                min(start, self._LIMIT32),
                0,
            )
        )

    def _write(self, data: bytes) -> None:
        self._stream.write(data)
        self._sha.update(data)
        self.size += len(data)
