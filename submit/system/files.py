"""Files that are either complete or not there: atomic writes, digests and locks."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ..errors import StorageError
from .texts import decode_text, parse_json

__all__ = [
    "PARTIAL",
    "atomic_folder",
    "atomic_open",
    "digest",
    "is_storage_failure",
    "locked",
    "open_regular",
    "read_json",
    "read_regular",
    "read_text",
    "remove_partial",
    "write_bytes",
    "write_json",
]

#: Ends the name of everything that is still being written. The name starts with a
#: dot, so that nothing that lists a folder takes it for a result.
PARTIAL = ".partial"

#: Bytes that no settings file or list has; devices never end.
_LARGEST_TEXT = 1 << 26

_STORAGE_ERRNOS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the disk is read-only",
    errno.EIO: "the disk reports an input/output error",
}


def is_storage_failure(error: BaseException) -> bool:
    """Whether an error says that the disk refused, whatever was being written."""
    return isinstance(error, StorageError) or (
        isinstance(error, OSError) and error.errno in _STORAGE_ERRNOS
    )


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn a refusal of the disk into a sentence about `path`.

    Errors about files elsewhere, such as a checkpoint that is opened while a result is
    being written, go through: they say themselves what they are about.
    """
    try:
        yield
    except OSError as error:
        if error.filename is not None and not _is_within(error.filename, path.parent):
            raise
        if error.errno in _STORAGE_ERRNOS:
            raise StorageError(
                f"{path}: cannot be written, {_STORAGE_ERRNOS[error.errno]}; make "
                "room and run the same command again, it continues where it stopped"
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM):
            raise StorageError(
                f"{path}: cannot be written, permission denied; choose another "
                "folder or change its permissions"
            ) from error
        raise


def _is_within(name: str | bytes | int, folder: Path) -> bool:
    """Whether a file that an error names is `folder`, in it, or one of its parents."""
    if isinstance(name, int):
        return False
    path = Path(os.fsdecode(name))
    return path.is_relative_to(folder) or folder.is_relative_to(path)


def _partial(path: Path) -> Path:
    """The name while it is being written; no two processes share one."""
    return path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")


@contextlib.contextmanager
def atomic_open(path: Path, *, private: bool = False) -> Iterator[IO[bytes]]:
    """Open `path` for writing under a temporary name; it appears when complete.

    The bytes reach the disk before the name does, so that after a crash the file is
    the old one, the new one or not there. Parent folders are made. On an error the
    temporary file is removed.

    Args:
        path: The file to write.
        private: Whether nobody else may read it, from its first byte on.

    Raises:
        StorageError: The disk is full, read-only or forbids the write.
    """
    partial = _partial(path)
    with _translated(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            if private:
                partial.unlink(missing_ok=True)
                partial.touch(0o600)
            with partial.open("wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(partial, path)
        except BaseException:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Fill a folder under a temporary name; it replaces `path` when complete.

    Raises:
        StorageError: The disk is full, read-only or forbids the write.
    """
    partial = _partial(path)
    with _translated(path):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            yield partial
            if path.exists():
                # A folder cannot be replaced in one step. Being killed between these
                # two lines leaves no folder, which the next run makes again.
                shutil.rmtree(path)
            os.replace(partial, path)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise


def open_regular(path: Path | str) -> IO[bytes]:
    """Open a file for reading; a pipe or a device is an error and never waits.

    Raises:
        OSError: It cannot be opened, or is not a regular file.
    """
    # Without waiting for a writer, should it be a pipe; of files that changes nothing.
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return os.fdopen(file, "rb")


def read_regular(path: Path | str) -> bytes:
    """Read a whole file; see `open_regular`."""
    with open_regular(path) as stream:
        return stream.read()


def write_bytes(path: Path, data: bytes, *, private: bool = False) -> None:
    """Write a whole file atomically; a private one nobody else may read."""
    with atomic_open(path, private=private) as stream:
        stream.write(data)


def write_json(path: Path, value: Any, *, private: bool = False) -> None:
    """Write a value as indented UTF-8 JSON, atomically."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    write_bytes(path, (text + "\n").encode(), private=private)


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        ValueError: The file is not JSON; the message names it and the place.
        OSError: The file cannot be read.
    """
    try:
        return parse_json(read_regular(path))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def read_text(path: Path) -> str:
    """Read a text file that the user has named, which may be a pipe.

    Raises:
        ValueError: The file is not UTF-8 text; the message names it.
        OSError: The file cannot be read.
    """
    with path.open("rb") as stream:
        data = stream.read(_LARGEST_TEXT + 1)
    if len(data) > _LARGEST_TEXT:
        raise ValueError(
            f"{path}: has more than {_LARGEST_TEXT} bytes, so it is no text"
        )
    try:
        return decode_text(data)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def digest(path: Path) -> str:
    """SHA-256 in hex of a file, or of a folder's sorted names and contents."""
    sha = hashlib.sha256()
    if path.is_dir():
        for child in sorted(path.iterdir()):
            if not child.name.startswith("."):
                sha.update(f"{child.name}\0{digest(child)}\n".encode())
        return sha.hexdigest()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            sha.update(block)
    return sha.hexdigest()


def remove_partial(folder: Path) -> None:
    """Remove what a killed command left half-written in `folder`."""
    if not folder.is_dir():
        return
    for child in folder.iterdir():
        if child.name.startswith(".") and child.name.endswith(PARTIAL):
            if child.is_dir():
                shutil.rmtree(child, ignore_errors=True)
            else:
                child.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: Path, *, busy: str | None = None) -> Iterator[None]:
    """Hold an exclusive lock on a file for as long as the block runs.

    The lock belongs to the process: it goes when the process does, however it ends.

    Args:
        path: The file, which is made if need be and stays.
        busy: What to say when another process holds the lock.

    Raises:
        StorageError: Another process holds the lock, or the disk knows no locks.
    """
    with _translated(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("a")
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StorageError(
                busy
                or f"{path.parent}: another command is writing here; wait for it to end"
            ) from None
        except OSError as error:  # Some network file systems are mounted without.
            raise StorageError(
                f"{path}: cannot be locked ({error.strerror}); choose a folder on "
                "another disk, with --runs or --name for example"
            ) from error
        yield
