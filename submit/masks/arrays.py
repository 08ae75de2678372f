"""NumPy's files, `.npy` and `.npz`, read piece by piece.

Only the bytes that are asked for are read and inflated, so that an array of a whole
video takes no more memory than one frame. Nothing is unpickled. Headers are read
without NumPy, which parses them as Python source: two threads that do so at once may
fail (https://github.com/python/cpython/issues/106905).
"""

from __future__ import annotations

import contextlib
import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MaskError
from ..system.files import Closing

__all__ = ["ArrayFile", "ArrayHeader", "parse_header"]

_MAGIC = b"\x93NUMPY"
#: Largest header that is read, in bytes.
_MOST_HEADER = 1 << 14
_HEADER = re.compile(
    rb"\{\s*'descr':\s*'([<>|=]?[biufc]\d{1,2})',\s*'fortran_order':\s*(True|False),\s*"
    rb"'shape':\s*\(((?:\s*\d{1,15}\s*,?)*)\)\s*,?\s*\}\s*"
)
#: Bytes of an array that is read at once.
_MOST = 1 << 26


@dataclass(frozen=True)
class ArrayHeader:
    """What a file says of an array before its numbers.

    Attributes:
        dtype: Type of the numbers.
        shape: Length of each axis.
        offset: Bytes before the first number.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int

    @property
    def size(self) -> int:
        """Bytes of all numbers."""
        return prod(self.shape) * self.dtype.itemsize


def parse_header(data: bytes) -> ArrayHeader:
    """Read the header of NumPy's format, version 1 to 3.

    Args:
        data: The first bytes of a file, at least those of the header.

    Raises:
        ValueError: It is another file, or an array of objects or in Fortran's order.
    """
    wide = 2 if data[len(_MAGIC) : len(_MAGIC) + 1] == b"\1" else 4
    begin = len(_MAGIC) + 2 + wide
    end = begin + int.from_bytes(data[begin - wide : begin], "little")
    if not data.startswith(_MAGIC) or len(data) < end:
        raise ValueError("it is not an array of NumPy's format, or is cut off")
    found = _HEADER.fullmatch(data, begin, end)
    if found is None:
        raise ValueError("it is not an array of NumPy's format that holds numbers")
    kind, fortran, shape = found.groups()
    sides = tuple(int(side) for side in re.findall(rb"\d+", shape))
    if fortran == b"True" and len(sides) > 1:
        raise ValueError("it is in Fortran's order; save np.ascontiguousarray(array)")
    return ArrayHeader(np.dtype(kind.decode()), sides, end)


class ArrayFile(Closing):
    """Reads the arrays of one `.npy` or `.npz` file.

    with ArrayFile(path) as file:
        for index in range(file.header("logits").shape[0]):
            plane = file.read("logits", index)

    Args:
        source: The file, or a stream of it that can seek.
        name: What to call it in messages; the path by default.

    Attributes:
        name: What it is called in messages.
        names: Its arrays; a `.npy` has one, called "".

    Raises:
        MaskError: It cannot be read, or is no such file.
    """

    def __init__(self, source: Path | IO[bytes], *, name: str | None = None) -> None:
        self.name = str(source) if name is None else name
        self._stack = contextlib.ExitStack()
        self._zip: zipfile.ZipFile | None = None
        self._streams: dict[str, IO[bytes]] = {}
        self._headers: dict[str, ArrayHeader] = {}
        with self._explained(), contextlib.ExitStack() as stack:
            stream = source
            if isinstance(stream, Path):
                stream = stack.enter_context(stream.open("rb"))
            begin = stream.read(len(_MAGIC))
            stream.seek(0)
            if begin.startswith(b"PK"):
                self._zip = stack.enter_context(zipfile.ZipFile(stream))
                found = [one.removesuffix(".npy") for one in self._zip.namelist()]
                if len(set(found)) < len(found):
                    raise ValueError("two of its arrays have the same name")
                self.names = tuple(found)
            else:
                self.names = ("",)
                self._streams[""] = stream
                self._headers[""] = parse_header(stream.read(_MOST_HEADER))
            self._stack = stack.pop_all()

    def header(self, array: str = "") -> ArrayHeader:
        """The type and the shape of an array.

        Raises:
            MaskError: The file has no such array, or it cannot be read.
        """
        if array not in self._headers:
            with self._explained(array):
                head = self._stream(array).read(_MOST_HEADER)
                self._headers[array] = parse_header(head)
        return self._headers[array]

    def read(
        self, array: str = "", index: int | None = None, *, most: int | None = None
    ) -> NDArray[Any]:
        """Read an array, or one entry along its first axis.

        Entries of compressed files are read fastest in their order.

        Args:
            array: Its name.
            index: Which entry; None for all.
            most: Bytes that it may have. Default: 64 MB for whole arrays, no limit
                for entries.

        Raises:
            MaskError: It is not there, damaged, or larger.
        """
        header = self.header(array)
        shape = header.shape if index is None else header.shape[1:]
        size = prod(shape) * header.dtype.itemsize
        limit = _MOST if most is None and index is None else most
        with self._explained(array):
            if limit is not None and size > limit:
                raise ValueError(f"it has {size:,} bytes, expected at most {limit:,}")
            if index is not None and not 0 <= index < header.shape[0]:
                raise ValueError(f"it has {header.shape[0]} entries, and none {index}")
            stream = self._stream(array)
            stream.seek(header.offset + (index or 0) * size)
            data = stream.read(size)
            if len(data) < size:
                raise ValueError("it is cut off")
        return np.frombuffer(data, header.dtype).reshape(shape)

    def require(self, arrays: Iterable[str]) -> None:
        """Make sure that the file has some arrays.

        Raises:
            MaskError: It has not.
        """
        for array in arrays:
            if array not in self.names:
                have = ", ".join(map(repr, self.names[:6])) or "none"
                raise MaskError(f"{self.name}: has no array {array!r}; it has {have}")

    def close(self) -> None:
        """Close the file, if it was opened here."""
        if self._zip is not None:
            for stream in self._streams.values():
                stream.close()
        self._streams.clear()
        self._stack.close()

    def _stream(self, array: str) -> IO[bytes]:
        """The bytes of an array, open at any place."""
        self.require([array])
        if array not in self._streams:
            assert self._zip is not None
            member = f"{array}.npy"
            there = member in self._zip.NameToInfo
            self._streams[array] = self._zip.open(member if there else array)
        return self._streams[array]

    @contextlib.contextmanager
    def _explained(self, array: str = "") -> Any:
        """Turn what goes wrong in a file into one error that names it."""
        where = f"{self.name}: array {array}" if array else self.name
        try:
            yield
        except MaskError:
            raise
        except OSError as error:
            reason = error.strerror or str(error)
            raise MaskError(f"{where}: cannot be read ({reason})") from error
        except Exception as error:  # Damaged zips raise exceptions of many types.
            reason = str(error) or type(error).__name__
            raise MaskError(
                f"{where}: is not a readable file of NumPy: {reason}"
            ) from error
