"""Soft masks of one video: a NumPy zip of logits, a byte each, frame by frame.

`numpy.load` reads it without this toolkit:

    soft = numpy.load("runs/a/soft/4vznweiu.npz")
    logits = soft["values"][soft["00042"].astype("int16") + 128]    # N×h×w

`soft["objects"]` has the N ids, and `soft["values"]` what each code from −128 to 127
stands for. Files of schema 2 have no `values`: their codes are steps of 1/8.
"""

from __future__ import annotations

import contextlib
import hashlib
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from zlib_ng import zlib_ng

from ..errors import MaskError, RunError
from ..masks import OLD_VALUES, VALUES, Codes, Values, parse_header, quantise
from ..png.palette import MOST_PIXELS
from ..predictors import State
from ..predictors.numbers import nonsense
from ..system.files import draft_file, stream_digest, sync
from ..system.names import plain_name
from ..system.refusals import storage_failure
from ..system.words import counted

__all__ = ["SoftVideo", "SoftWriter", "VideoMasks"]

#: Deflate level of soft files in zlib-ng: writing takes little time compared with any
#: model, and higher levels save less than a tenth.
_LEVEL = 2


_EPOCH = (1980, 1, 1, 0, 0, 0)

#: Bytes that are read at once.
_BLOCK = 1 << 20


#: Largest header of an array in NumPy's format, in bytes.
_MOST_HEADER = 1024

#: The highest id of an object.
_HIGHEST_ID = 254

#: Side of the largest logits of a model that does not work at the frame's size, for a
#: few objects and for any number. SAM 2 and SAM 3 have 256 and 288.
_LARGEST_MODEL, _LARGEST_FOR_MANY = 4096, 1024
_A_FEW_OBJECTS = 8

#: Most numbers that a message lists.
_FEW = 4


_EXTRA = ("objects", "presence", "iou", "size", "values")


Floats = NDArray[np.float32]


class VideoMasks(Protocol):
    """One video of a run, as later steps read it, soft or hard.

    Attributes:
        frames: Stems of the frames, in order.
        objects: Ids of the N objects.
        size: Height and width of the frames in pixels.
        presence: T×N object scores as logits; NaN where there is none.
        iou: T×N predicted IoU; NaN where there is none.
        values: The values of the codes; see `masks.VALUES`.
    """

    frames: tuple[str, ...]
    objects: tuple[int, ...]
    size: tuple[int, int]
    presence: Floats
    iou: Floats
    values: Values

    def codes(self, index: int) -> Codes:
        """Logits of a frame as n×h×w codes; n < N while late objects are missing."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class SoftWriter:
    """Writes a soft file frame by frame; it gets its name when it is complete.

    with SoftWriter(path, size=(480, 854)) as writer:
        writer.write("00000", (1, 2), logits, presence, iou)

    Args:
        path: The file.
        size: Height and width of the video's frames.
        begun: What `so_far` of another writer returned, to continue its file.

    Raises:
        ValueError: The file that was begun is not there as it was.
    """

    def __init__(
        self, path: Path, *, size: tuple[int, int], begun: State | None = None
    ) -> None:
        self.path = path
        self._size = size
        self._begun = begun
        self._stack = contextlib.ExitStack()
        self._objects: tuple[int, ...] = ()
        self._presence: list[Floats | None] = []
        self._iou: list[Floats | None] = []
        #: The digest of the bytes that were there at the last `so_far`.
        self._sha, self._digested = hashlib.sha256(), 0

    def __enter__(self) -> SoftWriter:
        with contextlib.ExitStack() as stack:
            self._draft, self._stream = stack.enter_context(
                draft_file(self.path, parents=False)
            )
            self._zip = stack.enter_context(zipfile.ZipFile(self._stream, "w"))
            if self._begun is not None:
                self._continue(self._begun)
            self._stack = stack.pop_all()
        return self

    def sync(self) -> None:
        """Wait until all that was written is on the disk.

        Raises:
            OSError: The disk refuses.
        """
        self._stream.flush()
        sync(self._stream.fileno())

    def so_far(self, path: Path) -> State:
        """Say what was written, so that another writer can continue it.

        The temporary file is kept from here on: see `Draft.keep`.

        Args:
            path: The file or folder whose checkpoint this belongs to, beside this one.

        Raises:
            OSError: The disk refuses.
        """
        self._stream.flush()
        length = self._zip.start_dir
        with self._draft.path.open("rb") as stream:
            stream.seek(self._digested)
            for block in _blocks(stream, length - self._digested):
                self._sha.update(block)
        self._digested = length
        return {
            "name": self._draft.keep(path),
            "length": length,
            "digest": self._sha.hexdigest(),
            "objects": self._objects,
            "presence": self._table(self._presence),
            "iou": self._table(self._iou),
        }

    def _continue(self, begun: State) -> None:
        """Copy what was begun, and take its members into the zip's directory.

        A copy, since its writer may be alive on a node that was lost.

        Raises:
            ValueError: It is not what was written.
        """
        length = begun["length"]
        try:
            with self.path.with_name(plain_name(begun["name"])).open("rb") as source:
                for block in _blocks(source, length):
                    self._sha.update(block)
                    self._stream.write(block)
                infos = _members(source, length)
        except OSError as error:
            if storage_failure(error) is not None:
                raise
            raise ValueError(f"{begun['name']}: {error.strerror}") from error
        if self._sha.hexdigest() != begun["digest"]:
            raise ValueError(f"{begun['name']} is not what was written there")
        self._digested = length
        self._zip.filelist.extend(infos)
        self._zip.NameToInfo.update({info.filename: info for info in infos})
        self._zip.start_dir = length
        self._objects = tuple(begun["objects"])
        self._presence = list(begun["presence"])
        self._iou = list(begun["iou"])
        if not len(infos) == len(self._presence) == len(self._iou):
            raise ValueError(f"{begun['name']} has {len(infos)} frames")

    def write(
        self,
        frame: str,
        objects: Sequence[int],
        logits: NDArray[np.floating] | Codes,
        presence: Floats | None,
        iou: Floats | None,
    ) -> None:
        """Append a frame.

        Args:
            frame: The frame's stem.
            objects: N ids, those of earlier frames first.
            logits: N×h×w, before any threshold; int8 are codes of `VALUES` already.
            presence: N object scores, or None.
            iou: N predicted IoUs, or None.

        Raises:
            RunError: An object of an earlier frame is missing or at another index.
            MaskError: A logit is not a number, a score is impossible, or there are more
                pixels than a reader accepts.
            StorageError: The disk refuses.
        """
        if tuple(objects[: len(self._objects)]) != self._objects:
            raise RunError(
                f"{self.path}: frame {frame} has objects {list(objects)} after "
                f"{list(self._objects)}; an object keeps its place in a video"
            )
        self._objects = tuple(objects)
        try:
            codes = quantise(logits)
            if wrong := _wrong_score(objects, presence, iou):
                raise MaskError(wrong)
            if codes.size > (most := _most_logits(len(objects), self._size)):
                raise MaskError(
                    f"expected at most {most:,} logits for "
                    f"{counted(len(objects), 'object')}, found the shape {codes.shape}"
                )
        except MaskError as error:
            raise MaskError(f"{self.path}: frame {frame}: {error}") from error
        self._member(frame, codes)
        self._presence.append(presence)
        self._iou.append(iou)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            try:
                self._member("objects", np.asarray(self._objects, np.int64))
                self._member("presence", self._table(self._presence))
                self._member("iou", self._table(self._iou))
                self._member("size", np.asarray(self._size, np.int64))
                self._member("values", VALUES)
            except BaseException as failure:
                self._stack.__exit__(type(failure), failure, failure.__traceback__)
                raise
        self._stack.__exit__(kind, error, trace)

    def _table(self, rows: list[Floats | None]) -> Floats:
        """Stack rows of growing length to T×N, NaN where a value is missing."""
        table = np.full((len(rows), len(self._objects)), np.nan, np.float32)
        for index, row in enumerate(rows):
            if row is not None:
                table[index, : len(row)] = row
        return table

    def _member(self, name: str, array: NDArray[Any]) -> None:
        with self._zip.open(_info(name), "w", force_zip64=True) as stream:
            # zipfile has no public way to another compressor. By `writestr` with zlib
            # at level 2, a frame of 2×180×320 takes 0.57 ms in place of 0.41 ms, and
            # 2 % more bytes. If a version of Python renames this attribute, zlib is
            # used.
            raw = -zlib.MAX_WBITS
            stream._compressor = zlib_ng.compressobj(_LEVEL, zlib.DEFLATED, raw)  # type: ignore[attr-defined]
            np.lib.format.write_array(stream, np.ascontiguousarray(array))


def _blocks(stream: IO[bytes], length: int) -> Iterator[bytes]:
    """Read the next bytes of a file in blocks.

    Raises:
        ValueError: It has fewer.
    """
    while length > 0:
        block = stream.read(min(length, _BLOCK))
        if not block:
            raise ValueError("it is shorter than it was")
        yield block
        length -= len(block)


def _members(stream: IO[bytes], length: int) -> list[zipfile.ZipInfo]:
    """The entries of a zip's directory for the members in its first bytes.

    Raises:
        ValueError: One is not as `SoftWriter` writes it.
    """
    found: list[zipfile.ZipInfo] = []
    place = 0
    while place < length:
        stream.seek(place)
        header = stream.read(30)
        name_length, extra_length = struct.unpack("<HH", header[26:30])
        rest = stream.read(name_length + extra_length)
        info = _info(rest[:name_length].decode().removesuffix(".npy"))
        info.header_offset, info.CRC = place, int.from_bytes(header[14:18], "little")
        info.file_size, info.compress_size = struct.unpack("<QQ", rest[-16:])
        # This also completes the entry as writing the member did.
        if info.FileHeader(zip64=True) != header + rest:
            raise ValueError("it has another form")
        found.append(info)
        place += len(header + rest) + info.compress_size
    if place != length:
        raise ValueError("its last frame is not complete")
    return found


def _info(name: str) -> zipfile.ZipInfo:
    """The entry of an array before it is written."""
    info = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    return info


class SoftVideo:
    """Reads a soft file; frames are inflated when they are read.

    Nothing is inflated beyond the size that its entry allows.

    Args:
        path: The file.
        digest: Its SHA-256 when it was written; None where that is not known.

    Raises:
        RunError: The file is missing, truncated, not a soft file, or has changed.
    """

    def __init__(self, path: Path, *, digest: str | None = None) -> None:
        self.path = path
        try:
            with contextlib.ExitStack() as stack:
                self._stream = stack.enter_context(path.open("rb"))
                if digest is not None and stream_digest(self._stream) != digest:
                    raise ValueError("it is not the file that was written here")
                self._zip = stack.enter_context(zipfile.ZipFile(self._stream))
                names = [name.removesuffix(".npy") for name in self._zip.namelist()]
                if len(set(names)) < len(names):
                    raise ValueError("two of its arrays have the same name")
                self.frames = tuple(name for name in names if name not in _EXTRA)
                self.size = _size(self._array("size"))
                self.objects = _objects(self._array("objects"))
                self.values = OLD_VALUES
                if "values" in names:
                    self.values = _values(self._array("values"))
                self.presence: Floats = self._table("presence")
                self.iou: Floats = self._table("iou")
                self._require_scores()
                self._stack = stack.pop_all()
        except FileNotFoundError as error:
            raise RunError(
                f"{path}: is missing; put it back, or run the command that made the "
                "run again"
            ) from error
        except Exception as error:  # Damaged files raise exceptions of many types.
            raise RunError(
                f"{path}: is not a readable soft-mask file ({_reason(error)}); delete "
                "it and run the command that made the run again"
            ) from error

    def codes(self, index: int) -> Codes:
        """Logits of a frame as n×h×w codes.

        Raises:
            RunError: The file is damaged.
        """
        frame = self.frames[index]
        try:
            most = _most_logits(len(self.objects), self.size)
            array = self._array(frame, most=most)
            if array.dtype != np.int8 or array.ndim != 3:
                raise ValueError(
                    f"expected int8 N×h×w, found {array.dtype} of shape {array.shape}"
                )
            if len(array) > len(self.objects) or (len(array) and not array.size):
                raise ValueError(
                    f"expected planes of {counted(len(self.objects), 'object')}, "
                    f"found the shape {array.shape}"
                )
        except Exception as error:  # See above.
            raise RunError(
                f"{self.path}: frame {frame} is damaged ({_reason(error)}); delete the "
                "file and run the command that made the run again"
            ) from error
        return array

    def _table(self, name: str) -> Floats:
        """Read a score of each object in each frame."""
        shape = len(self.frames), len(self.objects)
        array = self._array(name, most=8 * shape[0] * shape[1])
        if array.dtype.kind != "f" or array.shape != shape:
            raise ValueError(
                f"it has {shape[0]} frames of {shape[1]} objects, and {name} is "
                f"{array.dtype} of shape {array.shape}"
            )
        return array.astype(np.float32)

    def _require_scores(self) -> None:
        """Make sure that scores are possible numbers, or name the frame."""
        if not _wrong_score(self.objects, self.presence.T, self.iou.T):
            return
        for frame, presence, iou in zip(
            self.frames, self.presence, self.iou, strict=True
        ):
            if wrong := _wrong_score(self.objects, presence, iou):
                raise ValueError(f"frame {frame}: {wrong}")

    def _array(self, name: str, *, most: int = 8 * 256) -> NDArray[Any]:
        """Read a member as NumPy does, but in half of the time, and from any thread.

        NumPy parses headers as Python source. If two threads do so at once, one may
        fail (https://github.com/python/cpython/issues/106905).

        Args:
            name: The member.
            most: Bytes that the array may have.

        Raises:
            ValueError: It does not match the zip's directory, or is larger.
        """
        try:
            info = self._zip.getinfo(f"{name}.npy")
        except KeyError:
            raise ValueError(f"it has no array {name!r}") from None
        if info.file_size > most + _MOST_HEADER:
            raise ValueError(
                f"{name} inflates to {info.file_size:,} bytes, expected at most "
                f"{most:,}"
            )
        self._stream.seek(info.header_offset)
        header = self._stream.read(30)
        length, extra = struct.unpack("<HH", header[26:30])
        there = self._stream.read(length)
        if header[:4] != b"PK\3\4" or there != info.filename.encode():
            raise ValueError("its header is not where the directory says")
        self._stream.seek(extra, 1)
        data = self._stream.read(info.compress_size)
        if info.compress_type == zipfile.ZIP_DEFLATED:
            # With one more byte of room the stream reaches its end.
            stream = zlib_ng.decompressobj(-zlib.MAX_WBITS)
            data = stream.decompress(data, info.file_size + 1)
        elif info.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"it is packed by method {info.compress_type}")
        if len(data) != info.file_size or zlib_ng.crc32(data) != info.CRC:
            raise ValueError("its checksum is wrong")
        return _parse(data)

    def close(self) -> None:
        """Close the file."""
        self._stack.close()


def _wrong_score(
    objects: Sequence[int], presence: Floats | None, iou: Floats | None
) -> str | None:
    """Describe an impossible score of a frame; NaN is a missing one."""
    return nonsense("presence", presence, objects, gaps=True) or nonsense(
        "iou", iou, objects, gaps=True
    )


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _most_logits(objects: int, size: tuple[int, int]) -> int:
    """Most logits of a frame with so many objects; more objects never have fewer."""
    usual = max(size[0] * size[1], _LARGEST_FOR_MANY**2)
    return max(objects * usual, min(objects, _A_FEW_OBJECTS) * _LARGEST_MODEL**2)


def _size(array: NDArray[Any]) -> tuple[int, int]:
    """Height and width of the frames."""
    sides = array.tolist() if array.shape == (2,) and array.dtype.kind in "iu" else []
    if not sides or min(sides) < 1:
        raise ValueError(
            f"size: expected height and width in pixels, found {_described(array)}"
        )
    if sides[0] * sides[1] > MOST_PIXELS:
        raise ValueError(
            f"size: expected frames of at most {MOST_PIXELS:,} pixels, found "
            f"{sides[0]}×{sides[1]}"
        )
    return sides[0], sides[1]


def _objects(array: NDArray[Any]) -> tuple[int, ...]:
    """The ids."""
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ValueError(
            f"objects: expected a list of integer ids, found {_described(array)}"
        )
    ids = tuple(int(key) for key in array)
    if wrong := [key for key in ids if not 1 <= key <= _HIGHEST_ID]:
        raise ValueError(
            f"objects: expected ids from 1 to {_HIGHEST_ID}, found {wrong[0]}"
        )
    if len(set(ids)) < len(ids):
        raise ValueError("objects: expected different ids, found one twice")
    return ids


def _values(array: NDArray[Any]) -> Values:
    """The values of the codes; the overlap rule relies on their order."""
    if array.dtype.kind != "f" or array.shape != (256,):
        raise ValueError(
            "values: expected 256 floating-point numbers, found "
            f"{array.dtype} of shape {array.shape}"
        )
    values: Values = array.astype(np.float32)
    if not np.isfinite(values).all() or (np.diff(values) < 0).any():
        raise ValueError("values: expected finite numbers in ascending order")
    return values


def _described(array: NDArray[Any]) -> str:
    """An array for a message: its values if they are few, else its type."""
    if array.size <= _FEW:
        return str(array.tolist())
    return f"{array.dtype} of shape {array.shape}"


def _parse(data: bytes) -> NDArray[Any]:
    """Read an array from the bytes of NumPy's format; the array is read-only.

    Raises:
        ValueError: They are not such an array.
    """
    header = parse_header(data)
    array = np.frombuffer(data, header.dtype, offset=header.offset)
    return array.reshape(header.shape)
