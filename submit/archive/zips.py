"""Reading masks from a zip, in place, as Python's zipfile does."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import struct
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import IO, cast

from zlib_ng import zlib_ng

from ..errors import ArchiveError
from ..system.files import open_regular
from ..system.refusals import refusals_of
from .entry import LARGEST_FILE, Entry, shown, unpacked_name
from .source import MaskFolder, Masks, layout_of, unreadable

__all__ = ["MaskZip", "open_masks"]

#: Bytes to read at once if the decompressor cannot limit its output: bzip2 and LZMA
#: make up to 80 MB of so many.
_PIECE = 1 << 12
#: Which part of the free space of the disk one unpacked file may take.
_SHARE = 2
# The local header of a file: signature, version, flags, method, time, date, CRC, stored
# and full size, lengths of name and extra field (APPNOTE.TXT, section 4.3.7).
_LOCAL = struct.Struct("<4s5H3L2H")
_MARK = b"PK\3\4"
#: Bits of the flags: an encrypted file, a patch of another one, strong encryption; and
#: a name in UTF-8.
_REFUSED, _UTF8 = 1 << 0 | 1 << 5 | 1 << 6, 1 << 11
#: The stub calls this class an instance.
_InflateError = cast("type[Exception]", zlib_ng.error)


class MaskZip(Masks):
    """The masks in a zip, read in place as Python's zipfile does.

    Raises:
        ArchiveError: The file is not a zip, or a truncated one.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._opening = threading.Lock()
        self._stream: IO[bytes] | None = None
        self._archive: zipfile.ZipFile | None = None
        _ = self._contents

    @property
    def _contents(self) -> _Contents:
        return _contents(self.path, _stamp(self.path))

    @property
    def entries(self) -> Sequence[Entry]:
        """All files and folders there are, in the order of the zip."""
        return self._contents.entries

    @property
    def _layout(self) -> tuple[str, dict[str, list[str]]]:
        return self._contents.layout

    def read_entry(self, name: str) -> bytes:
        """Read one file by the name of its entry; if several have the name, the last.

        Raises:
            ArchiveError: It is not there, damaged, encrypted or packed in a way that
                cannot be read.
        """
        info = self._find(name)
        where = f"{self.path}: {shown(name)}"
        if (data := _read_plain(self._open().fileno(), info)) is not None:
            return data
        most = _entry(info).most
        try:
            data = b"".join(self._pieces(info, most=most))
        except Exception as error:  # Each of the decompressors has its own.
            raise ArchiveError(f"{where} {_problem(info, error)}") from error
        if len(data) > most:
            raise ArchiveError(
                f"{where} has more than {most} bytes when it is unpacked, from "
                f"{info.compress_size}, which no mask has"
            )
        return data

    def open_entry(self, name: str) -> IO[bytes]:
        """Unpack one file of any size, and open it.

        Raises:
            ArchiveError: See `read_entry`.
            StorageError: There is no room for it.
        """
        info = self._find(name)
        where = f"{self.path}: {shown(name)}"
        # zipfile makes no more bytes of it than its entry says.
        place = tempfile.gettempdir()
        room = shutil.disk_usage(place).free // _SHARE
        if info.file_size > room:
            raise ArchiveError(
                f"{where} unpacks to {info.file_size:,} bytes, and only {room:,} of "
                f"{place} may be used; unpack it yourself, or set TMPDIR"
            )
        with contextlib.ExitStack() as stack:
            with refusals_of(Path(tempfile.gettempdir())):
                unpacked = stack.enter_context(tempfile.TemporaryFile())
            pieces = self._pieces(info)
            while True:
                try:
                    piece = next(pieces, b"")
                except Exception as error:  # Each of the decompressors has its own.
                    raise ArchiveError(f"{where} {_problem(info, error)}") from error
                if not piece:
                    break
                with refusals_of(Path(tempfile.gettempdir())):
                    unpacked.write(piece)
            unpacked.seek(0)
            stack.pop_all()
        return unpacked

    def _find(self, name: str) -> zipfile.ZipInfo:
        """The file of a name.

        Raises:
            ArchiveError: It is not there, or overlaps with the next one. Files that
                share their bytes could inflate to more than any disk holds.
        """
        contents = self._contents
        info = contents.files.get(name)
        if info is None:
            raise ArchiveError(f"{self.path}: {shown(name)} is not there")
        if info.header_offset in contents.overlapping:
            raise ArchiveError(f"{self.path}: {shown(name)} {_OVERLAPS}")
        return info

    def _checksum(self, name: str) -> tuple[int, int]:
        """Size and CRC-32 of a file, as the zip's directory has them."""
        info = self._contents.files[name]
        return info.file_size, info.CRC

    def damaged(self, known: Collection[str]) -> Iterator[tuple[str, str]]:
        """Find files that the server cannot unpack among those not read yet.

        Huge files are not read, and neither are those that overlap, which Python
        refuses since 3.11.8.

        Args:
            known: Names of entries that were read.

        Yields:
            Name and problem of each file that cannot be unpacked.
        """
        contents = self._contents
        # Of files with equal names the server unpacks the last only.
        for info in {info.filename: info for info in contents.infos}.values():
            name = unpacked_name(info.filename)
            if name in known and contents.files[name] is info:
                continue
            if info.header_offset in contents.overlapping:
                yield info.orig_filename, _OVERLAPS
                continue
            entry = _entry(info)
            if entry.is_huge:
                # The local header is checked without reading the file.
                if (problem := self._why_not_opened(info)) is not None:
                    yield info.orig_filename, problem
                continue
            if _read_plain(self._open().fileno(), info) is not None:
                continue
            try:
                for _ in self._pieces(info, most=entry.most):
                    pass
            except Exception as error:  # Each of the decompressors has its own.
                yield info.orig_filename, _problem(info, error)

    def _open(self) -> IO[bytes]:
        """The zip, open for reading."""
        with self._opening:  # If two threads opened it, one file would stay open.
            if self._stream is None:
                self._stream = _open(self.path)
            return self._stream

    def _zipfile(self) -> zipfile.ZipFile:
        """The zip as Python's zipfile reads it."""
        stream = self._open()
        with self._opening:
            if self._archive is None:
                self._archive = zipfile.ZipFile(stream)
            return self._archive

    def _why_not_opened(self, info: zipfile.ZipInfo) -> str | None:
        """Say why zipfile does not open a file; None where it does."""
        try:
            with self._zipfile().open(info):
                return None
        except Exception as error:  # Each of the decompressors has its own.
            return _problem(info, error)

    def _pieces(
        self, info: zipfile.ZipInfo, *, most: int | None = None
    ) -> Iterator[bytes]:
        """Read a file through zipfile: a mask in one piece, a larger file in a few.

        Reading to the end makes zipfile compare the checksum.

        Args:
            info: The file.
            most: Nothing is read after more bytes than that; None for all of it.
        """
        plain = info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        size = 0
        with self._zipfile().open(info) as file:
            while piece := file.read(1 << 24 if plain else _PIECE):
                yield piece
                size += len(piece)
                if most is not None and size > most:
                    return

    def close(self) -> None:
        """Close the file; the next read opens it again."""
        if self._archive is not None:
            self._archive.close()
            self._archive = None
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def __reduce__(self) -> tuple[type[MaskZip], tuple[Path]]:
        return _SentZip, (self.path,)


class _SentZip(MaskZip):
    """A zip that was sent to a worker; it is closed when the worker drops it."""

    def __del__(self) -> None:
        self.close()


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


class _Contents:
    """What a zip holds.

    Attributes:
        infos: Its directory, as zipfile sees it.
        end: Where the directory begins, after the end of all files.
        files: The file that the server keeps of each name: the last of several.
    """

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.infos = archive.filelist
        self.end = archive.start_dir
        self.files = {
            unpacked_name(info.filename): info
            for info in self.infos
            if not info.filename.endswith("/")
        }

    @property
    def entries(self) -> Sequence[Entry]:
        """Everything in it, in its order; made again each time, since it is large."""
        return tuple(map(_entry, self.infos))

    @cached_property
    def overlapping(self) -> frozenset[int]:
        """Where the files begin that end behind the start of the next one.

        Several entries of one file, which zipfile only warns of, do not count.
        """
        found = set()
        end = self.end
        for info in sorted(self.infos, key=lambda i: i.header_offset, reverse=True):
            name = info.orig_filename.encode(
                "utf-8" if info.flag_bits & _UTF8 else "cp437"
            )
            begin = info.header_offset + _LOCAL.size + len(name)
            if info.header_offset < end < begin + info.compress_size:
                found.add(info.header_offset)
            end = info.header_offset
        return frozenset(found)

    @cached_property
    def layout(self) -> tuple[str, dict[str, list[str]]]:
        """The wrapper, and frames by video."""
        return layout_of(self.entries)


@lru_cache(maxsize=4)
def _contents(path: Path, stamp: tuple[int, int, int]) -> _Contents:
    """List a zip; `stamp` changes when the file does."""
    with _open(path) as stream:
        try:
            with zipfile.ZipFile(stream) as archive:
                return _Contents(archive)
        except OSError as error:
            raise unreadable(path, error) from error
        except Exception as error:  # zipfile does not catch what decoders raise.
            stream.seek(0)
            if stream.read(4).startswith(b"PK"):
                raise ArchiveError(
                    f"{path}: is a truncated or damaged zip of {stamp[1]} bytes "
                    f"({shown(str(error))}); write or download it again"
                ) from error
    raise ArchiveError(
        f"{path}: is not a zip; expected a zip or a folder of <video>/<frame>.png"
    )


def _open(path: Path) -> IO[bytes]:
    try:
        return open_regular(path)
    except OSError as error:
        raise unreadable(path, error) from error


def _read_plain(file: int, info: zipfile.ZipInfo) -> bytes | None:
    """Read a file that is stored or deflated, without zipfile; None if zipfile has to.

    Threads that read through zipfile wait for each other: with it alone the check of
    66,526 masks of 854×480 takes 10 % longer on two cores. zipfile accepts every file
    that this accepts, and decides about all others.
    """
    utf8 = info.flag_bits & _UTF8
    size, stored = info.file_size, info.compress_size
    if (info.flag_bits & _REFUSED) or max(size, stored) > LARGEST_FILE:
        return None
    name = info.orig_filename.encode("utf-8" if utf8 else "cp437")
    # The extra field behind the name has a length of its own; with a guess at that,
    # one read suffices.
    guess = _LOCAL.size + len(name) + 64 + stored
    try:
        block = os.pread(file, guess, info.header_offset)
        header = _LOCAL.unpack_from(block)
        begin = _LOCAL.size + len(name) + header[-1]
        if (rest := begin + stored - guess) > 0:
            block += os.pread(file, rest, info.header_offset + guess)
    except (OSError, OverflowError, ValueError, struct.error):
        return None
    if (header[0], header[2] & _UTF8, header[-2]) != (_MARK, utf8, len(name)):
        return None
    if not block.startswith(name, _LOCAL.size) or len(block) < begin + stored:
        return None
    data = block[begin : begin + stored]
    if info.compress_type == zipfile.ZIP_DEFLATED:
        stream = zlib_ng.decompressobj(-zlib.MAX_WBITS)
        try:
            data = stream.decompress(data, size + 1)
        except _InflateError:
            return None
        if not stream.eof:
            return None
    elif info.compress_type != zipfile.ZIP_STORED:
        return None
    return data if len(data) == size and zlib.crc32(data) == info.CRC else None


def _entry(info: zipfile.ZipInfo) -> Entry:
    return Entry(
        name=unpacked_name(info.filename),
        size=info.file_size,
        stored=info.compress_size,
        is_folder=info.filename.endswith("/"),
        is_link=info.create_system == 3 and stat.S_ISLNK(info.external_attr >> 16),
        encrypted=bool(info.flag_bits & 1),
        method=info.compress_type,
        zip64=info.extract_version >= zipfile.ZIP64_VERSION,
        crc=info.CRC,
        written=info.orig_filename,
    )


def _problem(info: zipfile.ZipInfo, error: Exception) -> str:
    """Say what is wrong with a file that zipfile does not read."""
    if info.flag_bits & 1:
        return "is encrypted; pack the zip without a password"
    if isinstance(error, NotImplementedError):
        return (
            f"cannot be read: compression method {info.compress_type} ({error}); pack "
            "the zip again without it"
        )
    return _damaged(shown(str(error)) or type(error).__name__)


def _damaged(reason: str) -> str:
    return f"is damaged ({reason}); write or download the zip again"


_OVERLAPS = _damaged("it overlaps with the next file")


def _stamp(path: Path) -> tuple[int, int, int]:
    """Changes when the file does.

    Raises:
        ArchiveError: It does not exist any more.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise unreadable(path, error) from error
    return status.st_ino, status.st_size, status.st_mtime_ns
