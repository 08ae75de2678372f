"""Reading masks from a zip, in place, or from a folder."""

from __future__ import annotations

import hashlib
import os
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from ..errors import ArchiveError
from ..system.files import Closing, open_regular, read_regular
from ..system.names import in_natural_order
from .entry import LARGEST_FILE, Entry, shown

__all__ = ["MaskFolder", "Masks", "layout_of", "unreadable"]

#: Bytes to read at once of a file that may be large.
_BLOCK = 1 << 22


class Masks(Closing):
    """The masks of a submission: `<video>/<frame>.png`, in a zip or in a folder.

    Files are named as the server unpacks them, see `unpacked_name`. Hidden files,
    `__MACOSX` and files that are not a PNG directly in a video's folder are not masks;
    `entries` has them too. If everything is inside one more folder, as the official
    scorer allows, that folder is used.

    It can be sent to another process, which opens it again, and many threads can read
    it at once.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def entries(self) -> Sequence[Entry]:
        """All files and folders there are, in the order of the zip or sorted."""
        raise NotImplementedError

    def read_entry(self, name: str) -> bytes:
        """Read one file by the name of its entry; if several have the name, the last.

        Raises:
            ArchiveError: It is not there, damaged, encrypted or packed in a way that
                cannot be read.
        """
        raise NotImplementedError

    def open_entry(self, name: str) -> IO[bytes]:
        """Open one file of any size by the name of its entry, to read parts of it.

        From a zip it is unpacked into a temporary file first.

        Raises:
            ArchiveError: See `read_entry`.
        """
        raise NotImplementedError

    @property
    def wrapper(self) -> str:
        """The one folder around all videos with its `/`; empty if there is none."""
        return self._layout[0]

    def videos(self) -> list[str]:
        """Names of the folders with masks, sorted."""
        return sorted(self._layout[1])

    def frames(self, video: str) -> list[str]:
        """Stems of the masks of a video, in natural order.

        Raises:
            ArchiveError: There is no such video.
        """
        try:
            return self._layout[1][video]
        except KeyError:
            raise ArchiveError(f"{self.path}: holds no video {video}") from None

    def read(self, video: str, frame: str) -> bytes:
        """Read the PNG of a frame; see `read_entry`."""
        return self.read_entry(f"{self.wrapper}{video}/{frame}.png")

    def fingerprint(self, files: Mapping[str, str]) -> str:
        """A digest of some files: the same in a folder and in a zip of it.

        Args:
            files: Names of entries, by what the files are called in the digest.

        Raises:
            ArchiveError: A file cannot be read.
        """
        sha = hashlib.sha256()
        for name in sorted(files):
            size, crc = self._checksum(files[name])
            line = f"{name}\0{size}\0{crc}\n"
            sha.update(line.encode(errors="surrogateescape"))
        return sha.hexdigest()

    def digest_of(self, video: str) -> str | None:
        """A digest of the masks of a video; None if there are none.

        A mask that cannot be read has one of its own.
        """
        if video not in self._layout[1]:
            return None
        sha = hashlib.sha256()
        for frame in self.frames(video):
            try:
                size, crc = self._checksum(f"{self.wrapper}{video}/{frame}.png")
            except ArchiveError:
                size = crc = -1
            line = f"{frame}\0{size}\0{crc}\n"
            sha.update(line.encode(errors="surrogateescape"))
        return sha.hexdigest()

    def _checksum(self, name: str) -> tuple[int, int]:
        """Size and CRC-32 of a file."""
        size = checksum = 0
        with self.open_entry(name) as stream:
            try:
                while piece := stream.read(_BLOCK):
                    size += len(piece)
                    checksum = zlib.crc32(piece, checksum)
            except OSError as error:
                raise unreadable(self.path / name, error) from error
        return size, checksum

    @property
    def _layout(self) -> tuple[str, dict[str, list[str]]]:
        raise NotImplementedError

    def close(self) -> None:
        """Close the file; the next read opens it again."""


class MaskFolder(Masks):
    """The masks in a folder."""

    def __getstate__(self) -> dict[str, Any]:
        # Another process lists the folder itself, if it needs that.
        listed = ("entries", "_layout")
        return {key: value for key, value in vars(self).items() if key not in listed}

    @cached_property
    def entries(self) -> Sequence[Entry]:
        """All files and folders there are, sorted."""
        return tuple(_walk(self.path))

    @cached_property
    def _layout(self) -> tuple[str, dict[str, list[str]]]:
        return layout_of(self.entries)

    def read_entry(self, name: str) -> bytes:
        """Read one file by the name of its entry.

        Raises:
            ArchiveError: It cannot be read, or is no regular file.
        """
        where = self.path / name
        try:
            data = read_regular(where, most=LARGEST_FILE + 1)
        except (OSError, ValueError) as error:
            raise unreadable(where, error) from error
        if len(data) > LARGEST_FILE:
            raise ArchiveError(
                f"{self.path}: {shown(name)} has more than {LARGEST_FILE} bytes, which "
                "no mask has"
            )
        return data

    def open_entry(self, name: str) -> IO[bytes]:
        """Open one file of any size by the name of its entry, to read parts of it.

        Raises:
            ArchiveError: It cannot be read, or is no regular file.
        """
        where = self.path / name
        try:
            return open_regular(where)
        except (OSError, ValueError) as error:
            raise unreadable(where, error) from error


def unreadable(path: Path, error: Exception) -> ArchiveError:
    """The error for a file or folder that cannot be read."""
    reason = error.strerror if isinstance(error, OSError) else None
    return ArchiveError(f"{shown(str(path))}: cannot be read ({reason or error})")


def _walk(root: Path) -> Iterator[Entry]:
    """List all that is below a folder, depth first and sorted."""
    waiting = [iter(_children(root))]
    above = len(os.path.join(root, ""))
    while waiting:
        child = next(waiting[-1], None)
        if child is None:
            waiting.pop()
            continue
        name = child.path[above:]
        link = child.is_symlink()
        try:
            folder = child.is_dir()
            size = child.stat().st_size if child.is_file() else 0
        except OSError:  # A link to itself.
            folder, size = False, 0
        if not folder:
            yield Entry(name, size=size, stored=size, is_link=link, written=name)
            continue
        yield Entry(f"{name}/", is_folder=True, is_link=link, written=f"{name}/")
        # A video may be a link to a folder, but a link inside could go in circles.
        if not (link and len(waiting) > 1):
            waiting.append(iter(_children(child.path)))


def _children(folder: Path | str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as children:
            return sorted(children, key=lambda child: child.name)
    except OSError as error:
        raise unreadable(Path(folder), error) from error


def layout_of(entries: Iterable[Entry]) -> tuple[str, dict[str, list[str]]]:
    """Find the masks among all files: the wrapper, and frames by video."""
    paths = [
        parts
        for entry in entries
        if not entry.is_folder
        and entry.name
        and not (parts := entry.name.split("/"))[0].startswith(".")
        and parts[0] != "__MACOSX"
    ]
    roots = {parts[0] for parts in paths}
    wrapper = ""
    if len(roots) == 1 and not any(_is_mask(parts) for parts in paths):
        wrapper = f"{roots.pop()}/"
        paths = [parts[1:] for parts in paths]
    videos: dict[str, list[str]] = {}
    for parts in paths:
        if _is_mask(parts):
            # All videos have frames of the same names.
            stem = sys.intern(parts[1][: -len(".png")])
            videos.setdefault(parts[0], []).append(stem)
    # A zip may have two files of one name.
    found = {name: in_natural_order(set(stems)) for name, stems in videos.items()}
    return wrapper if found else "", found


def _is_mask(parts: Sequence[str]) -> bool:
    return (
        len(parts) == 2
        and bool(parts[0])
        and parts[1].endswith(".png")
        and not parts[1].startswith(".")
        and not parts[0].startswith(".")
    )
