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
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ..errors import StorageError
from .refusals import refusal, refusals_of
from .texts import decode_text, parse_json

__all__ = [
    "PARTIAL",
    "Lock",
    "atomic_folder",
    "atomic_open",
    "digest",
    "folder_digest",
    "locked",
    "open_regular",
    "read_json",
    "read_regular",
    "read_text",
    "remove_partial",
    "removed",
    "require_writable",
    "resolved",
    "stream_digest",
    "user_path",
    "write_bytes",
    "write_json",
]

#: Ends the name of everything that is still being written. The name starts with a
#: dot, so that nothing that lists a folder takes it for a result.
PARTIAL = ".partial"

#: Bytes that no settings file or list has; devices never end.
_LARGEST_TEXT = 1 << 26

#: How often a lock file is tried to be made while others remove its folder.
_LOCK_TRIES = 1000

#: Bytes that the name of a file may have on most file systems.
_LONGEST_NAME = 255


def _partial(path: Path) -> Path:
    """The name while it is being written; no two processes share one."""
    return path.with_name(f"{_partial_start(path)}{os.getpid()}{PARTIAL}")


def _partial_start(path: Path) -> str:
    """How the names begin under which processes write this file or folder."""
    name = os.fsencode(path.name)
    if len(name) + len(f"..{sys.maxsize}{PARTIAL}") < _LONGEST_NAME:
        return f".{path.name}."
    return f".{hashlib.sha256(name).hexdigest()}."


def _remove_leftovers(path: Path) -> None:
    """Remove what killed writers of `path` left, and nothing that is being written.

    A writer holds a lock on what it writes, which ends with the writer.
    """
    start = _partial_start(path)
    with contextlib.suppress(OSError):
        for name in os.listdir(path.parent):
            if not (name.startswith(start) and name.endswith(PARTIAL)):
                continue
            if not name[len(start) : -len(PARTIAL)].isdecimal():
                continue  # It belongs to another file, whose name begins the same.
            _remove_unlocked(path.with_name(name))


def _remove_unlocked(partial: Path) -> None:
    # Where locks are unknown, nothing says that the writer has ended: it stays.
    with contextlib.suppress(OSError), _hold(partial):
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink()


@contextlib.contextmanager
def _hold(partial: Path) -> Iterator[None]:
    """Hold the lock on a file or folder that is there.

    Raises:
        OSError: Another process holds it, or the disk knows no locks.
    """
    file = os.open(partial, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(file)


@contextlib.contextmanager
def _being_written(path: Path, make: Callable[[Path], object]) -> Iterator[Path]:
    """Make the file or folder under whose name `path` is written, and hold its lock.

    What killed writers of `path` left is removed first.
    """
    partial = _partial(path)
    _remove_leftovers(path)
    while True:
        make(partial)
        with contextlib.ExitStack() as stack:
            # Where locks are unknown, it is written without.
            with contextlib.suppress(OSError):
                stack.enter_context(_hold(partial))
            # Another process may have taken it for a leftover before it was locked.
            if partial.exists():
                yield partial
                return


def _target(path: Path, *, folder: bool, parents: bool) -> Path:
    """Where a path leads: a link stays, and what it points to is written.

    Its parents are made, or the last one only.

    Raises:
        OSError: There is something else than a file or a folder, whichever is wanted.
    """
    path = resolved(path, folder=folder)
    _make_folder(path.parent, parents=parents)
    return path


def resolved(path: Path, *, folder: bool) -> Path:
    """Where a path leads, if that can be written as a file or as a folder.

    Raises:
        OSError: There is something of another kind.
    """
    if path.is_symlink():
        path = Path(os.path.realpath(path))
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return path
    if folder and not stat.S_ISDIR(mode):
        raise refusal(errno.ENOTDIR, path)
    if not folder and stat.S_ISDIR(mode):
        raise refusal(errno.EISDIR, path)
    if not folder and not stat.S_ISREG(mode):
        # Replacing a device by a file would break the whole system.
        raise refusal(errno.ENXIO, path)
    return path


def _make_folder(folder: Path, *, parents: bool = True) -> None:
    # A link stays, and what it leads to is made.
    real = Path(os.path.realpath(folder))
    try:
        real.mkdir(parents=parents, exist_ok=True)
    except FileExistsError as error:
        folder.stat()  # Of links that lead in a circle the system says so.
        raise refusal(errno.ENOTDIR, folder) from error


@contextlib.contextmanager
def _staying(folder: Path) -> Iterator[None]:
    """Say of a folder that it was taken away, instead of what came of that.

    Raises:
        StorageError: It was.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ESTALE) and not folder.is_dir():
            raise StorageError(removed(folder)) from error
        raise


def removed(folder: Path) -> str:
    """Say that a folder was taken away while it was written into."""
    return (
        f"{folder}: was removed or renamed while a command was writing into it; run "
        "the same command again"
    )


@contextlib.contextmanager
def atomic_open(
    path: Path, *, private: bool = False, parents: bool = True
) -> Iterator[IO[bytes]]:
    """Open `path` for writing under a temporary name; it appears when complete.

    The bytes reach the disk before the name does, so that after a crash the file is
    the old one, the new one or not there. What a link points to is written. On an error
    the temporary file is removed.

    Args:
        path: The file to write.
        private: Whether nobody else may read it, from its first byte on.
        parents: Whether all parent folders are made; otherwise the last one only, so
            that a folder that was removed meanwhile does not come back.

    Raises:
        StorageError: The disk is full, read-only or forbids the write, or the folder
            was removed.
    """
    with refusals_of(path), _staying(path.parent):
        path = _target(path, folder=False, parents=parents)
        mode = 0o600 if private else 0o666

        def make(partial: Path) -> None:
            partial.unlink(missing_ok=True)
            partial.touch(mode)

        with _being_written(path, make) as partial:
            try:
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
def atomic_folder(path: Path, *, parents: bool = True) -> Iterator[Path]:
    """Fill a folder under a temporary name; it replaces `path` when complete.

    Args:
        path: The folder.
        parents: See `atomic_open`.

    Raises:
        StorageError: The disk is full, read-only or forbids the write, or the folder
            around it was removed.
    """
    with refusals_of(path), _staying(path.parent):
        path = _target(path, folder=True, parents=parents)

        def make(partial: Path) -> None:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()

        with _being_written(path, make) as partial:
            try:
                yield partial
                if path.exists():
                    # A folder cannot be replaced in one step. Being killed between
                    # these two lines leaves no folder, which the next run makes again.
                    shutil.rmtree(path)
                os.replace(partial, path)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise


def user_path(text: str) -> Path:
    """A path as people write it: `~` is the home folder."""
    return Path(os.path.expanduser(text))


def open_regular(path: Path | str) -> IO[bytes]:
    """Open a file for reading; a pipe or a device is an error and never waits.

    Raises:
        OSError: It cannot be opened, or is not a regular file.
    """
    # Without waiting for a writer, should it be a pipe; of files that changes nothing.
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.ENXIO, "it is not a regular file", str(path))
    return os.fdopen(file, "rb")


def read_regular(path: Path | str) -> bytes:
    """Read a whole file; see `open_regular`."""
    with open_regular(path) as stream:
        return stream.read()


def require_writable(path: Path) -> None:
    """Make sure that a file or folder can be written at `path`, which changes nothing.

    Raises:
        StorageError: Its parents are no folders or forbid it, a name is too long, or
            the disk is full or read-only.
    """
    with refusals_of(path):
        folder = path
        while True:
            folder = folder.parent
            # What is not there yet will be made.
            with contextlib.suppress(FileNotFoundError):
                if not stat.S_ISDIR(folder.stat().st_mode):
                    raise refusal(errno.ENOTDIR, folder)
                break
        for name in path.relative_to(folder).parts:
            if len(os.fsencode(name)) > os.pathconf(folder, "PC_NAME_MAX"):
                raise refusal(errno.ENAMETOOLONG, path)
        file, name = tempfile.mkstemp(dir=folder, prefix=".", suffix=PARTIAL)
        try:
            os.unlink(name)
            os.write(file, b"0")
            os.fsync(file)
        finally:
            os.close(file)


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
    """SHA-256 in hex of a file, or of a folder's sorted names and contents.

    Raises:
        OSError: It is not there, or cannot be read.
    """
    if path.is_dir():
        return folder_digest(
            {
                child.name: digest(child)
                for child in path.iterdir()
                if not child.name.startswith(".")
            }
        )
    with open_regular(path) as stream:
        return stream_digest(stream)


def stream_digest(stream: IO[bytes]) -> str:
    """SHA-256 in hex of what an open file still has to give."""
    sha = hashlib.sha256()
    while block := stream.read(1 << 20):
        sha.update(block)
    return sha.hexdigest()


def folder_digest(files: Mapping[str, str]) -> str:
    """The digest of a folder whose files have these digests, by name."""
    sha = hashlib.sha256()
    for name in sorted(files):
        sha.update(f"{name}\0{files[name]}\n".encode())
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


@dataclass(frozen=True)
class Lock:
    """A lock file that this process holds.

    Attributes:
        path: The file.
    """

    path: Path
    _stream: IO[str]

    def is_in_place(self) -> bool:
        """Whether the file is still where others look for it."""
        held = os.fstat(self._stream.fileno())
        try:
            return os.path.samestat(held, self.path.stat())
        except OSError:
            return False

    def require_in_place(self) -> None:
        """Make sure that the folder of the lock was not taken away.

        Raises:
            StorageError: It was.
        """
        if not self.is_in_place():
            raise StorageError(removed(self.path.parent))


@contextlib.contextmanager
def locked(path: Path, *, busy: str | None = None) -> Iterator[Lock]:
    """Hold an exclusive lock on a file for as long as the block runs.

    The lock belongs to the process: it goes when the process does, however it ends.
    Who holds it may remove the file.

    Args:
        path: The file, which is made if need be and stays.
        busy: What to say when another process holds the lock.

    Raises:
        StorageError: Another process holds the lock, or the disk knows no locks.
    """
    while True:
        with _opened_for_lock(path) as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StorageError(
                    busy
                    or f"{path.parent}: another command is writing here; wait for it "
                    "to end"
                ) from None
            except OSError as error:  # Some network file systems are mounted without.
                raise StorageError(
                    f"{path}: cannot be locked ({error.strerror}); choose a folder on "
                    "another disk, with --runs or --name for example"
                ) from error
            lock = Lock(path, stream)
            # Who held it before may have removed the file that was just opened; a lock
            # on that one keeps nobody out.
            if lock.is_in_place():
                yield lock
                return


def _opened_for_lock(path: Path) -> IO[str]:
    """Open a lock file; who held it may remove it and its folder at any moment."""
    with refusals_of(path):
        for _ in range(_LOCK_TRIES):
            with contextlib.suppress(FileNotFoundError):
                _make_folder(path.parent)
                return path.open("a")
        return path.open("a")
