"""Reading masks from a zip, in place, or from a folder."""

from __future__ import annotations

import os
import stat
import struct
import threading
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from types import TracebackType
from typing import IO, cast

from zlib_ng import zlib_ng

from ..errors import ArchiveError

__all__ = ["Entry", "MaskFolder", "MaskZip", "Masks", "open_masks"]

_ENCRYPTED = 1
#: No mask comes near it; a file that claims to be larger is a mistake or an attack.
_LARGEST_FILE = 1 << 28
#: The stub calls this class an instance.
_InflateError = cast("type[Exception]", zlib_ng.error)


@dataclass(frozen=True)
class Entry:
    """One file or folder, as it is named in the zip or below the folder.

    Attributes:
        name: Path with `/` between its parts, exactly as it is stored.
        size: Bytes of the file.
        stored: Bytes that it takes in the zip; `size` in a folder.
        is_folder: Whether it is a folder and no file.
        is_link: Whether it is a symbolic link.
        encrypted: Whether a password is needed.
        method: The zip's number of the compression method; 0 is none, 8 deflate.
        zip64: Whether a reader must know zip64.
    """

    name: str
    size: int = 0
    stored: int = 0
    is_folder: bool = False
    is_link: bool = False
    encrypted: bool = False
    method: int = zipfile.ZIP_STORED
    zip64: bool = False


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
    def entries(self) -> tuple[Entry, ...]:
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
        return _layout(entry.name for entry in self.entries if not entry.is_folder)

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
    def entries(self) -> tuple[Entry, ...]:
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
        _index(path, _stamp(path))

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """All files and folders there are, in the order of the zip."""
        return tuple(
            Entry(
                name=info.orig_filename,
                size=info.file_size,
                stored=info.compress_size,
                is_folder=info.orig_filename.endswith("/"),
                is_link=info.create_system == 3
                and stat.S_ISLNK(info.external_attr >> 16),
                encrypted=bool(info.flag_bits & _ENCRYPTED),
                method=info.compress_type,
                zip64=info.extract_version >= zipfile.ZIP64_VERSION,
            )
            for info in self._index.infos
        )

    @cached_property
    def _layout(self) -> tuple[str, dict[str, list[str]]]:
        return self._index.layout

    @property
    def _index(self) -> _Index:
        return _index(self.path, _stamp(self.path))

    def read_entry(self, name: str) -> bytes:
        """Read one file by the name of its entry; of several the last.

        Raises:
            ArchiveError: It is not there, damaged, encrypted or packed in a way that
                cannot be read.
        """
        info = self._index.by_name.get(name)
        where = f"{self.path}: {name}"
        if info is None:
            raise ArchiveError(f"{where} is not there")
        if info.flag_bits & _ENCRYPTED:
            raise ArchiveError(f"{where} is encrypted; pack the zip without a password")
        if max(info.file_size, info.compress_size) > _LARGEST_FILE:
            raise ArchiveError(f"{where} says that it has {info.file_size} bytes")
        stored = self._stored_bytes(info, where)
        if info.compress_type == zipfile.ZIP_STORED:
            data = stored
        elif info.compress_type == zipfile.ZIP_DEFLATED:
            data = _inflate(stored, info.file_size, where)
        else:
            data = self._read_with_zipfile(info, where)
        if len(data) != info.file_size or zlib.crc32(data) != info.CRC:
            raise ArchiveError(f"{where} is damaged; write or download the zip again")
        return data

    def _stored_bytes(self, info: zipfile.ZipInfo, where: str) -> bytes:
        """What lies behind a local header, still compressed."""
        with self._opening:  # Of two threads that open it, one would leak its file.
            if self._stream is None:
                self._stream = _open(self.path)
            file = self._stream.fileno()
        # The local header repeats the name and has an extra field of its own length;
        # with a guess at that, one read suffices.
        start = info.header_offset
        guess = 30 + len(info.orig_filename) + 64 + info.compress_size
        try:
            block = os.pread(file, guess, start)
            if len(block) < 30 or block[:4] != b"PK\3\4":
                raise ArchiveError(f"{where} is damaged: it has no local header")
            begin = 30 + sum(struct.unpack("<HH", block[26:30]))
            end = begin + info.compress_size
            if len(block) < end:
                block += os.pread(file, end - len(block), start + len(block))
        except (OSError, OverflowError) as error:  # Also of offsets that are absurd.
            raise ArchiveError(f"{where} cannot be read ({error})") from error
        if len(block) < end:
            raise ArchiveError(f"{where} is truncated")
        return block[begin:end]

    def _read_with_zipfile(self, info: zipfile.ZipInfo, where: str) -> bytes:
        """Read what is packed in a rare way; zip bombs are cut off."""
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(info) as stream:
                return stream.read(info.file_size + 1)
        except Exception as error:  # Each of the decompressors has its own.
            raise ArchiveError(
                f"{where} cannot be read: compression method {info.compress_type} "
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


class _Index:
    """The central directory of a zip, read once per process."""

    def __init__(self, infos: Sequence[zipfile.ZipInfo]) -> None:
        self.infos = infos
        self.by_name = {info.orig_filename: info for info in infos}

    @cached_property
    def layout(self) -> tuple[str, dict[str, list[str]]]:
        return _layout(name for name in self.by_name if not name.endswith("/"))


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
def _index(path: Path, stamp: tuple[int, int, int]) -> _Index:
    size = stamp[1]
    try:
        with zipfile.ZipFile(path) as archive:
            return _Index(archive.infolist())
    except OSError as error:
        raise ArchiveError(f"{path}: cannot be read ({error.strerror})") from error
    except Exception as error:  # A damaged directory can make zipfile raise anything.
        with _open(path) as stream:
            start = stream.read(4)
        if start.startswith(b"PK"):
            raise ArchiveError(
                f"{path}: is a truncated or damaged zip of {size} bytes ({error}); "
                "write or download it again"
            ) from error
        raise ArchiveError(
            f"{path}: is not a zip; expected a zip or a folder of <video>/<frame>.png"
        ) from error


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


def _layout(names: Iterable[str]) -> tuple[str, dict[str, list[str]]]:
    """Find the masks among the names of all files: the wrapper, and frames by video."""
    paths = [
        parts
        for name in names
        if not (parts := name.split("/"))[0].startswith(".") and parts[0] != "__MACOSX"
    ]
    roots = {parts[0] for parts in paths}
    wrapper = ""
    if len(roots) == 1 and not any(_is_mask(parts) for parts in paths):
        wrapper = f"{roots.pop()}/"
        paths = [parts[1:] for parts in paths]
    videos: dict[str, list[str]] = {}
    for parts in paths:
        if _is_mask(parts):
            videos.setdefault(parts[0], []).append(parts[1][: -len(".png")])
    for frames in videos.values():
        frames.sort(key=_frame_order)
    return wrapper if videos else "", videos


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
