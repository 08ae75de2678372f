"""The central directory of a zip: what it holds, in the bytes that the zip has for it.

Python's zipfile makes an object of a kilobyte of every entry, also of those that nobody
asks for. Here the directory stays as it is in the file, at some 75 bytes an entry, and
an entry is read when it is wanted. What is found is what zipfile finds, but that a last
entry that is cut off is an error; the format is that of PKWARE's APPNOTE.TXT, sections
4.3.12 to 4.3.16 and 4.5.3.
"""

from __future__ import annotations

import stat
import struct
import zipfile
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import numpy as np

__all__ = ["Directory", "Entry", "Place"]

_ENCRYPTED, _UTF8 = 1 << 0, 1 << 11
_UNIX = 3
#: A 32-bit field with this value refers to the extra field of zip64.
_ELSEWHERE = 0xFFFFFFFF
#: Version 6.3 of the format is the last that zipfile reads.
_LAST_VERSION = 63

# Signature, versions made by and needed, system, flags, method, time, date, CRC, stored
# and full size, lengths of name, extra field and comment, disk, attributes, offset.
_ENTRY = struct.Struct("<4s4B4H3L5H2L")
# Signature, disks, entries here and in all, size and offset of the directory, comment.
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_EXTRA = struct.Struct("<HH")
_END_MARK = b"PK\5\6"


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file lies in a zip.

    Attributes:
        entry: What it is.
        index: Number of the entry in the directory, from 0.
        offset: Where its local header begins; anything in a damaged zip.
        crc: CRC-32 of the file.
    """

    entry: Entry
    index: int
    offset: int
    crc: int


class Directory:
    """The entries of a zip, in order.

    Args:
        stream: The zip, open for reading.
        size: Its bytes.

    Raises:
        ValueError: It is no zip, or its directory is damaged.
        struct.error: It becomes shorter while it is read.
        OSError: It cannot be read.
    """

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self._data, self._shift = _read_directory(stream, size)
        self._begins = array("Q")
        hashes = array("q")
        begin = 0
        while begin < len(self._data):
            end = self._end(begin)
            self._begins.append(begin)
            hashes.append(hash(self.place(len(self._begins) - 1).entry.name))
            begin = end
        # Names are found by their hashes: a dictionary of them takes as much again.
        keys = np.frombuffer(hashes, np.int64)
        self._order = np.argsort(keys, kind="stable").astype(np.uint32)
        self._hashes = keys[self._order]

    def __len__(self) -> int:
        return len(self._begins)

    def __iter__(self) -> Iterator[Entry]:
        return (self.place(index).entry for index in range(len(self)))

    def place(self, index: int) -> Place:
        """The entry of a number, and where it lies."""
        begin = self._begins[index]
        fields = _ENTRY.unpack_from(self._data, begin)
        system, version, flags, method = fields[2], fields[3], fields[5], fields[6]
        crc, stored, size, length, extra_length = fields[9:14]
        attributes, offset = fields[17:]
        begin += _ENTRY.size
        raw = self._data[begin : begin + length]
        name = raw.decode("utf-8" if flags & _UTF8 else "cp437")
        extra = self._data[begin + length : begin + length + extra_length]
        if extra:
            size, stored, offset = _zip64(extra, (size, stored, offset))
        entry = Entry(
            name=name,
            size=size,
            stored=stored,
            is_folder=name.endswith("/"),
            is_link=system == _UNIX and stat.S_ISLNK(attributes >> 16),
            encrypted=bool(flags & _ENCRYPTED),
            method=method,
            zip64=version >= zipfile.ZIP64_VERSION,
        )
        return Place(entry, index, offset + self._shift, crc)

    def find(self, name: str) -> Place | None:
        """Look an entry up; of several with one name the last, as zipfile does."""
        key = hash(name)
        after = int(np.searchsorted(self._hashes, key, "right"))
        while after > 0 and self._hashes[after - 1] == key:
            after -= 1
            place = self.place(int(self._order[after]))
            if place.entry.name == name:
                return place
        return None

    def _end(self, begin: int) -> int:
        """Where the entry that begins here ends; all lengths are checked."""
        if len(self._data) - begin < _ENTRY.size:
            raise ValueError("truncated central directory")
        fields = _ENTRY.unpack_from(self._data, begin)
        if fields[0] != b"PK\1\2":
            raise ValueError("bad signature in the central directory")
        if fields[3] > _LAST_VERSION:
            raise ValueError(f"needs version {fields[3] / 10:.1f} of the format")
        end = begin + _ENTRY.size + sum(fields[12:15])
        if end > len(self._data):
            raise ValueError("truncated central directory")
        return int(end)


def _zip64(extra: bytes, values: tuple[int, int, int]) -> tuple[int, int, int]:
    """Replace what does not fit 32 bits by the values in the extra field."""
    found = list(values)
    while len(extra) >= _EXTRA.size:
        kind, length = _EXTRA.unpack_from(extra)
        if _EXTRA.size + length > len(extra):
            raise ValueError(f"corrupt extra field {kind:04x}")
        if kind == 1:
            begin, end = _EXTRA.size, _EXTRA.size + length
            for i, value in enumerate(found):
                if value == _ELSEWHERE:
                    if begin + 8 > end:
                        raise ValueError("corrupt zip64 extra field")
                    (found[i],) = struct.unpack_from("<Q", extra, begin)
                    begin += 8
        extra = extra[_EXTRA.size + length :]
    size, stored, offset = found
    return size, stored, offset


def _read_directory(stream: IO[bytes], size: int) -> tuple[bytes, int]:
    """Find and read the central directory.

    Returns:
        Its bytes, and what to add to its offsets, where something stands before the
        zip.
    """
    reach = min(size, _END.size + (1 << 16))
    stream.seek(size - reach)
    tail = stream.read(reach)
    last = len(tail) - _END.size
    at = tail.rfind(_END_MARK)
    if last >= 0 and tail.startswith(_END_MARK, last) and tail.endswith(b"\0\0"):
        at = last  # There is no comment, which could hold such a mark.
    if not 0 <= at <= last:
        raise ValueError("no end of a central directory")
    *_, length, offset, _ = _END.unpack_from(tail, at)
    end = size - reach + at
    if wide := _end64(stream, end):
        length, offset = wide
        end -= _END64.size + _LOCATOR.size
    begin = end - length
    if begin < 0:
        raise ValueError("the central directory has a bad offset")
    stream.seek(begin)
    data = stream.read(length)
    if len(data) < length:
        raise ValueError("truncated central directory")
    return data, begin - offset


def _end64(stream: IO[bytes], end: int) -> tuple[int, int] | None:
    """Size and offset of the directory of a zip64, None of any other zip."""
    begin = end - _LOCATOR.size - _END64.size
    if begin < 0:
        return None
    stream.seek(begin)
    block = stream.read(_END64.size + _LOCATOR.size)
    mark, disk, _, disks = _LOCATOR.unpack_from(block, _END64.size)
    if mark != b"PK\6\7":
        return None
    if disk != 0 or disks > 1:
        raise ValueError("zips that span several disks cannot be read")
    mark, *_, length, offset = _END64.unpack_from(block)
    return (length, offset) if mark == b"PK\6\6" else None
