"""Errors of the operating system in words: one table for all commands and files."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from ..errors import StorageError

__all__ = ["explain", "refusal", "refusals_of", "storage_failure"]

_ROOM = "make room and run the same command again, it continues where it stopped"
_ELSEWHERE = "choose another place"

#: By errno: the error in words, and what to do about it.
_REFUSALS = {
    errno.ENOSPC: ("the disk is full", _ROOM),
    errno.EDQUOT: ("the disk quota is used up", _ROOM),
    errno.EFBIG: (
        "the file would be larger than its file system (FAT32: 4 GB) or ulimit -f "
        "allows",
        "raise the limit, or choose another disk",
    ),
    errno.EROFS: ("the file system is read-only", "choose another folder"),
    errno.EIO: ("the disk reports an input/output error", "look into the system's log"),
    errno.EACCES: (
        "permission denied",
        "choose another place, or check who owns the file and its folder",
    ),
    errno.EPERM: (
        "not permitted",
        "choose another place, or check who owns the file and its folder",
    ),
    errno.ENOENT: ("there is no such file or folder", "check the path"),
    errno.ENOTDIR: ("a part of the path is a file and not a folder", _ELSEWHERE),
    errno.EISDIR: ("it is a folder, expected a file", _ELSEWHERE),
    errno.EEXIST: ("the name is taken", _ELSEWHERE),
    errno.ENOTEMPTY: (
        "something was written into the folder meanwhile",
        "run the command again when nothing else uses the folder",
    ),
    errno.ENAMETOOLONG: ("the name is too long", "choose a shorter one"),
    errno.ELOOP: ("its symbolic links form a circle", "remove one of them"),
    errno.ENXIO: ("it is a device or a pipe, expected a file", _ELSEWHERE),
    errno.ENODEV: ("it is a device or a pipe, expected a file", _ELSEWHERE),
    errno.EBUSY: ("it is in use", "run the command again when it is free"),
    errno.ETXTBSY: ("it is in use", "run the command again when it is free"),
    errno.ESTALE: (
        "the network file system has lost it",
        "mount it again and run the same command again",
    ),
    errno.EMFILE: (
        "too many files are open",
        "raise ulimit -n, or use fewer --workers",
    ),
    errno.ENFILE: ("too many files are open", "close other programs"),
    errno.ENOMEM: ("memory ran out", "close other programs, or use fewer --workers"),
}

#: Errors that would also stop the next file.
_EVERYWHERE = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
)
#: Errors that are clear without the name of a file.
_NAMELESS = _EVERYWHERE | {errno.EMFILE, errno.ENFILE, errno.ENOMEM}


def explain(error: OSError, doing: str = "") -> str | None:
    """Describe an error in one line, with what to do; None if it is not in the table.

    Args:
        error: The error of the system.
        doing: The failed action, such as `cannot be written`.
    """
    if error.errno not in _REFUSALS:
        return None
    if error.filename is None and error.errno not in _NAMELESS:
        return _missing_folder(error) if error.errno == errno.ENOENT else None
    what, advice = _REFUSALS[error.errno]
    file = error.filename
    if error.filename2 is not None and error.errno in _EVERYWHERE:
        file = error.filename2  # A copy fails where it is written.
    name = "" if file is None else f"{os.fsdecode(file)}: "
    return f"{name}{f'{doing}, ' if doing else ''}{what}; {advice}"


def _missing_folder(error: OSError) -> str | None:
    """Say which folder is missing of those that every program has."""
    try:
        os.getcwd()
    except OSError:
        return "the current folder was removed or renamed; change to another one (cd)"
    # What tempfile says if it cannot write anywhere.
    if "temporary directory" in str(error.strerror):
        return "no temporary file can be written; set TMPDIR to a folder with room"
    return None


def storage_failure(error: BaseException) -> StorageError | None:
    """An error as a `StorageError` if it would stop other files too, else None.

    An error that is one already is returned as it is.
    """
    if isinstance(error, StorageError):
        return error if error.everywhere else None
    if isinstance(error, OSError) and error.errno in _EVERYWHERE:
        return StorageError(explain(error) or str(error))
    return None


def refusal(number: int, path: Path) -> OSError:
    """Make the `OSError` that the system would raise for a file."""
    return OSError(number, os.strerror(number), str(path))


@contextlib.contextmanager
def refusals_of(path: Path) -> Iterator[None]:
    """Turn an error of the system into a message about `path`.

    Errors about other files, such as a checkpoint that is opened while a result is
    written, are not changed: they name their file.
    """
    try:
        yield
    except OSError as error:
        if error.filename is not None and not _concerns(error.filename, path):
            raise
        about = OSError(error.errno, error.strerror, str(path))
        if text := explain(about, "cannot be written"):
            everywhere = error.errno in _EVERYWHERE | {errno.EACCES, errno.EPERM}
            raise StorageError(text, everywhere=everywhere) from error
        raise


def _concerns(name: str | bytes | int, path: Path) -> bool:
    """Whether an error is about `path`: itself, its content, or one of its parents.

    It may also be about its hidden temporary name, and about the target of links.
    """
    if isinstance(name, int):
        return False
    found = Path(os.path.abspath(os.fsdecode(name)))
    for target in (Path(os.path.abspath(path)), Path(os.path.realpath(path))):
        if found.is_relative_to(target) or target.is_relative_to(found):
            return True
        if found.is_relative_to(target.parent):
            return found.relative_to(target.parent).parts[0].startswith(".")
    return False
