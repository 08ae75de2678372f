"""One file or folder of a submission, and its path after the server has unpacked it.

The server unpacks a zip with `zipfile.extractall` of Python, on Linux. A name ends at
its first NUL; parts that are empty, `.` or `..` are dropped, and so is a `/` in front.
A backslash or a drive letter is a character like any other. All code that reads a
submission uses the name that remains, as the server does.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass

__all__ = ["LARGEST_FILE", "Entry", "shown", "unpacked_name"]

#: Largest size of a mask in bytes; a larger file is a mistake or an attack.
LARGEST_FILE = 1 << 28
#: Largest ratio of unpacked to packed bytes, by compression method.
_MOST_INFLATION = {zipfile.ZIP_STORED: 1, zipfile.ZIP_DEFLATED: 1032}
#: What other methods may add to the ratio of deflate, in bytes: a zip of a million
#: small entries would inflate for hours otherwise.
_SPARE = 1 << 16

#: Characters of a name that a message shows.
_SHOWN = 100
#: Longest part of a path, and longest path, that file systems store, in bytes.
_LONGEST_PART, _LONGEST_PATH = 255, 4000


@dataclass(frozen=True, slots=True)
class Entry:
    """One file or folder of a submission.

    Attributes:
        name: Path with `/` between its parts, as the server unpacks it; a folder's ends
            with `/`. Empty if no part of the name remains.
        size: Bytes of the file.
        stored: Bytes that it takes in the zip; `size` in a folder.
        is_folder: Whether it is a folder and no file.
        is_link: Whether it is a symbolic link.
        encrypted: Whether a password is needed.
        method: The zip's number of the compression method; 0 is none, 8 deflate.
        zip64: Whether a reader must know zip64.
        crc: CRC-32 of a file in a zip; 0 in a folder.
        written: Its name in the zip, exactly as it is stored; in a folder its name.
    """

    name: str
    size: int = 0
    stored: int = 0
    is_folder: bool = False
    is_link: bool = False
    encrypted: bool = False
    method: int = zipfile.ZIP_STORED
    zip64: bool = False
    crc: int = 0
    written: str = ""

    @property
    def is_huge(self) -> bool:
        """Whether it is larger, unpacked, than a mask can be."""
        inflation = _MOST_INFLATION.get(self.method)
        possible = self.size if inflation is None else self.stored * inflation
        return min(self.size, possible) > LARGEST_FILE

    @property
    def most(self) -> int:
        """Most bytes that are read of it; more is a mistake or an attack."""
        if self.method in _MOST_INFLATION:
            return LARGEST_FILE
        # bzip2 and LZMA make more of zeros than of any PNG, which is compressed.
        deflated = self.stored * _MOST_INFLATION[zipfile.ZIP_DEFLATED]
        return min(deflated + _SPARE, LARGEST_FILE)

    @property
    def is_too_long(self) -> bool:
        """Whether the name is too long for file systems."""
        parts = self.name.encode(errors="surrogateescape").split(b"/")
        return (
            max(map(len, parts)) > _LONGEST_PART
            or sum(map(len, parts)) + len(parts) > _LONGEST_PATH
        )


def unpacked_name(name: str) -> str:
    """Say where `zipfile.extractall` puts an entry of a zip, on Linux.

    >>> unpacked_name("./a//00000.png")
    'a/00000.png'
    >>> unpacked_name("../C:/a/")
    'C:/a/'
    """
    if "\0" in name:
        name = name[: name.index("\0")]
    if name[:1] not in ("/", ".") and "//" not in name and "/." not in name:
        return name
    parts = [part for part in name.split("/") if part not in ("", ".", "..")]
    folder = "/" if parts and name.endswith("/") else ""
    return "/".join(parts) + folder


def shown(name: str) -> str:
    """Cut a name that is too long for a message; its two ends stay."""
    if len(name) <= _SHOWN:
        return name
    return f"{name[: _SHOWN // 2]}…{name[-_SHOWN // 2 :]}"
