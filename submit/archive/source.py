"""Reading masks from a zip, in place, or from a folder."""

from __future__ import annotations

import os
import struct
import sys
import threading
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from types import TracebackType
from typing import IO, cast

from zlib_ng import zlib_ng

from ..errors import ArchiveError
from .directory import Directory, Entry, Place

__all__ = ["MaskFolder", "MaskZip", "Masks", "open_masks"]

#: No mask comes near it; a file that claims to be larger is a mistake or an attack.
_LARGEST_FILE = 1 << 28
#: The stub calls this class an instance.
_InflateError = cast("type[Exception]", zlib_ng.error)


class Masks:
    """The masks of a submission: `<video>/<frame>.png`, in a zip or in a folder.

    Hidden files, `__MACOSX` and whatever is not a PNG directly in a video's folder do
    not count; `entries` has them all the same. Where everything lies in one folder
    more, as the official scorer allows, that folder is looked through.

    It can be sent to another process, which opens it anew, and read by many at once.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def entries(self) -> Iterable[Entry]:
        """All files and folders there are, in the order of the zip or sorted."""
        raise NotImplementedError

    def read_entry(self, name: str) -> bytes:
        """Read one file by the name of its entry; of several the last.

        Raises:
            ArchiveError: It is not there, damaged, encrypted or packed in a way that
                cannot be read.
        """
        raise NotImplementedError

    @property
    def wrapper(self) -> str:
        """The one folder around all videos with its `/`, empty where there is none."""
        return self._layout[0]

    def videos(self) -> list[str]:
        """Names of the folders with masks, sorted."""
        return sorted(self._layout[1])

    def frames(self, video: str) -> list[str]:
        """Stems of the masks of a video, in the order of their numbers.

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

    @cached_property
    def _layout(self) -> tuple[str, dict[str, list[str]]]:
        return _layout(self.entries)

    def close(self) -> None:
        """Free the file; what is read afterwards opens it again."""

    def __enter__(self) -> Masks:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class MaskFolder(Masks):
    """The masks in a folder."""

    @cached_property
    def entries(self) -> Iterable[Entry]:
        """All files and folders there are, sorted."""
        return tuple(_walk(self.path, ""))

    def read_entry(self, name: str) -> bytes:
        """Read one file by the name of its entry.

        Raises:
            ArchiveError: It cannot be read.
        """
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise ArchiveError(
                f"{self.path / name}: cannot be read ({error.strerror})"
            ) from error


class MaskZip(Masks):
    """The masks in a zip, read in place.

    Raises:
        ArchiveError: The file is not a zip, or a truncated one.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._stream: IO[bytes] | None = None
        self._opening = threading.Lock()
        _directory(path, _stamp(path))

    @cached_property
    def entries(self) -> Iterable[Entry]:
        """All files and folders there are, in the order of the zip."""
        return self._directory

    @cached_property
    def _layout(self) -> tuple[str, dict[str, list[str]]]:
        return _zip_layout(self.path, _stamp(self.path))

    @property
    def _directory(self) -> Directory:
        return _directory(self.path, _stamp(self.path))

    def read_entry(self, name: str) -> bytes:
        """Read one file by the name of its entry; of several the last.

        Raises:
            ArchiveError: It is not there, damaged, encrypted or packed in a way that
                cannot be read.
        """
        place = self._directory.find(name)
        where = f"{self.path}: {name}"
        if place is None:
            raise ArchiveError(f"{where} is not there")
        entry = place.entry
        if entry.encrypted:
            raise ArchiveError(f"{where} is encrypted; pack the zip without a password")
        if max(entry.size, entry.stored) > _LARGEST_FILE:
            raise ArchiveError(f"{where} says that it has {entry.size} bytes")
        stored = self._stored_bytes(place, where)
        if entry.method == zipfile.ZIP_STORED:
            data = stored
        elif entry.method == zipfile.ZIP_DEFLATED:
            data = _inflate(stored, entry.size, where)
        else:
            data = self._read_with_zipfile(place, where)
        if len(data) != entry.size or zlib.crc32(data) != place.crc:
            raise ArchiveError(f"{where} is damaged; write or download the zip again")
        return data

    def _stored_bytes(self, place: Place, where: str) -> bytes:
        """What lies behind a local header, still compressed."""
        with self._opening:  # Of two threads that open it, one would leak its file.
            if self._stream is None:
                self._stream = _open(self.path)
            file = self._stream.fileno()
        # The local header repeats the name and has an extra field of its own length;
        # with a guess at that, one read suffices.
        start, stored = place.offset, place.entry.stored
        guess = 30 + len(place.entry.name) + 64 + stored
        try:
            block = os.pread(file, guess, start)
            if len(block) < 30 or block[:4] != b"PK\3\4":
                raise ArchiveError(f"{where} is damaged: it has no local header")
            begin = 30 + sum(struct.unpack("<HH", block[26:30]))
            end = begin + stored
            if len(block) < end:
                block += os.pread(file, end - len(block), start + len(block))
        except (OSError, OverflowError) as error:  # Also of offsets that are absurd.
            raise ArchiveError(f"{where} cannot be read ({error})") from error
        if len(block) < end:
            raise ArchiveError(f"{where} is truncated")
        return block[begin:end]

    def _read_with_zipfile(self, place: Place, where: str) -> bytes:
        """Read what is packed in a rare way; zip bombs are cut off."""
        try:
            with zipfile.ZipFile(self.path) as archive:
                info = archive.infolist()[place.index]
                with archive.open(info) as stream:
                    return stream.read(place.entry.size + 1)
        except Exception as error:  # Each of the decompressors has its own.
            raise ArchiveError(
                f"{where} cannot be read: compression method {place.entry.method} "
                f"({error}); pack the zip again without it"
            ) from error

    def close(self) -> None:
        """Free the file; what is read afterwards opens it again."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def __reduce__(self) -> tuple[type[MaskZip], tuple[Path]]:
        return MaskZip, (self.path,)


def open_masks(path: Path | str) -> Masks:
    """Open a zip or a folder of `<video>/<frame>.png` for reading.

    Opening the same zip again in the same process is cheap.

    Raises:
        ArchiveError: There is nothing at `path`, or no readable zip.
    """
    path = Path(path)
    if path.is_dir():
        return MaskFolder(path)
    if not path.exists():
        raise ArchiveError(
            f"{path}: no such file or folder; expected a zip or a folder of "
            "<video>/<frame>.png"
        )
    return MaskZip(path)


def _stamp(path: Path) -> tuple[int, int, int]:
    """Changes when the file does.

    Raises:
        ArchiveError: It is gone.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise ArchiveError(f"{path}: cannot be read ({error.strerror})") from error
    return status.st_ino, status.st_size, status.st_mtime_ns


def _open(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise ArchiveError(f"{path}: cannot be read ({error.strerror})") from error


@lru_cache(maxsize=4)
def _directory(path: Path, stamp: tuple[int, int, int]) -> Directory:
    size = stamp[1]
    with _open(path) as stream:
        try:
            return Directory(stream, size)
        except OSError as error:
            raise ArchiveError(f"{path}: cannot be read ({error.strerror})") from error
        except (ValueError, struct.error) as error:
            stream.seek(0)
            if stream.read(4).startswith(b"PK"):
                raise ArchiveError(
                    f"{path}: is a truncated or damaged zip of {size} bytes ({error}); "
                    "write or download it again"
                ) from error
    raise ArchiveError(
        f"{path}: is not a zip; expected a zip or a folder of <video>/<frame>.png"
    )


def _inflate(stored: bytes, size: int, where: str) -> bytes:
    try:
        data: bytes = zlib_ng.decompressobj(-15).decompress(stored, size + 1)
    except _InflateError as error:
        raise ArchiveError(
            f"{where} is damaged ({error}); write or download the zip again"
        ) from error
    return data


def _walk(folder: Path, prefix: str) -> Iterator[Entry]:
    try:
        children = sorted(os.scandir(folder), key=lambda child: child.name)
    except OSError as error:
        raise ArchiveError(f"{folder}: cannot be read ({error.strerror})") from error
    for child in children:
        name = prefix + child.name
        if child.is_dir():
            yield Entry(name + "/", is_folder=True, is_link=child.is_symlink())
            # A video may be a link to a folder, but a link inside could go in circles.
            if not (prefix and child.is_symlink()):
                yield from _walk(folder / child.name, name + "/")
        else:
            size = child.stat().st_size if child.is_file() else 0
            yield Entry(name, size=size, stored=size, is_link=child.is_symlink())


@lru_cache(maxsize=4)
def _zip_layout(
    path: Path, stamp: tuple[int, int, int]
) -> tuple[str, dict[str, list[str]]]:
    return _layout(_directory(path, stamp))


def _layout(entries: Iterable[Entry]) -> tuple[str, dict[str, list[str]]]:
    """Find the masks among all files: the wrapper, and frames by video."""
    paths = [
        parts
        for entry in entries
        if not entry.is_folder
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
    found = {
        name: sorted(set(stems), key=_frame_order) for name, stems in videos.items()
    }
    return wrapper if found else "", found


def _is_mask(parts: Sequence[str]) -> bool:
    return (
        len(parts) == 2
        and bool(parts[0])
        and parts[1].endswith(".png")
        and not parts[1].startswith(".")
        and not parts[0].startswith(".")
    )


def _frame_order(stem: str) -> tuple[int, str]:
    """Frames go by number; stems that are no numbers come first, by text."""
    # Longer numbers are refused by int().
    return (int(stem) if stem.isdecimal() and len(stem) < 1000 else -1, stem)
