"""Files: atomic writes, digests and locks."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import itertools
import json
import os
import platform
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, TypeVar

from ..errors import StorageError
from .holders import Holder, holding
from .homes import user_path
from .refusals import refusal, refusals_of
from .texts import decode_text, parse_json

__all__ = [
    "PARTIAL",
    "Closing",
    "Draft",
    "Lock",
    "atomic_folder",
    "atomic_open",
    "checkpoint_path",
    "digest",
    "draft_file",
    "draft_folder",
    "folder_digest",
    "locked",
    "open_regular",
    "read_json",
    "read_regular",
    "read_text",
    "remove_kept",
    "remove_partial",
    "removed",
    "require_writable",
    "resolved",
    "run_path",
    "scratch_file",
    "stream_digest",
    "sync",
    "write_bytes",
    "write_json",
]

_Closing = TypeVar("_Closing", bound="Closing")

#: Ends the name of everything that is still being written. The name starts with a dot,
#: so that it does not count as a result.
PARTIAL = ".partial"

#: Ends the name of what is still being written and belongs to a checkpoint, so that
#: another process can continue it.
_KEPT = ".kept"

#: The name of such a file: the beginning of its checkpoint's, its writer, a number.
_KEPT_NAME = re.compile(rf"(.+\.)\d+\.\d+{re.escape(_KEPT)}", re.DOTALL)

#: Ends the name of a checkpoint.
_CHECKPOINT = "checkpoint"

#: Largest settings file or list in bytes; a device would never end.
_LARGEST_TEXT = 1 << 26

#: Bytes to read at once from a file that is longer than its size says.
_PIECE = 1 << 20

#: What a file system without fsync says.
_NO_SYNC = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP})

#: What a file system without locks says, such as Lustre without its option `flock`.
_NO_LOCKS = frozenset(
    {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}
)

#: How often to try to make a lock file while others remove its folder.
_LOCK_TRIES = 1000

#: Longest name of a file on most file systems, in bytes.
_LONGEST_NAME = 255


def _partial(path: Path) -> Path:
    """The name while it is being written; no two processes share one."""
    return path.with_name(f"{_partial_start(path)}{_writer()}{PARTIAL}")


def _writer() -> str:
    """Digits that no two processes share on a disk of several machines.

    Containers number their processes alike.
    """
    machine = hashlib.sha256(platform.node().encode()).digest()
    return f"{os.getpid()}{int.from_bytes(machine, 'big') % 10**6:06d}"


def _partial_start(path: Path) -> str:
    """The beginning of the temporary names of this file or folder."""
    name = os.fsencode(path.name)
    if len(name) + len(f"..{sys.maxsize}.scratch{PARTIAL}") < _LONGEST_NAME:
        return f".{path.name}."
    return f".{hashlib.sha256(name).hexdigest()}."


def _remove_leftovers(path: Path) -> None:
    """Remove files of killed writers of `path`, and no file that is being written.

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
    # Without locks it is not known whether the writer has ended: the file stays.
    with contextlib.suppress(OSError), _hold(partial):
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink()


@contextlib.contextmanager
def _hold(partial: Path) -> Iterator[None]:
    """Lock an existing file or folder.

    Raises:
        OSError: Another process holds it, or the disk has no locks.
    """
    file = os.open(partial, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(file)


class Draft:
    """A file or folder under its temporary name, which may be continued.

    Attributes:
        path: Where it is now.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._is_kept = False

    def keep(self, path: Path) -> str:
        """Let it stay when its writer fails or is killed, for a checkpoint of `path`.

        Without a checkpoint `remove_partial` removes it all the same.

        Args:
            path: The file or folder that the checkpoint belongs to, in the same folder.

        Returns:
            Its name then.

        Raises:
            OSError: It cannot be renamed.
        """
        if not self._is_kept:
            start = f"{_partial_start(path)}{_writer()}"
            names = (path.with_name(f"{start}.{n}{_KEPT}") for n in itertools.count())
            kept = next(name for name in names if not os.path.lexists(name))
            os.rename(self.path, kept)
            self.path, self._is_kept = kept, True
        return self.path.name

    def remove(self) -> None:
        """Remove it, unless it is kept."""
        if self._is_kept:
            return
        _remove(self.path)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def checkpoint_path(path: Path) -> Path:
    """The checkpoint of a file or folder that is being written: a hidden file."""
    return path.with_name(f"{_partial_start(path)}{_CHECKPOINT}")


def remove_kept(path: Path, *, but: Collection[str] = ()) -> None:
    """Remove what checkpoints of `path` have kept, and nothing that is being written.

    Args:
        path: The file or folder that they belong to.
        but: Names that stay.
    """
    start = _partial_start(path)
    with contextlib.suppress(OSError):
        for name in os.listdir(path.parent):
            if name not in but and _kept_start(name) == start:
                _remove_unlocked(path.with_name(name))


def _kept_start(name: str) -> str | None:
    """What the name of a kept file has in common with its checkpoint's."""
    found = _KEPT_NAME.fullmatch(name)
    return None if found is None else found[1]


@contextlib.contextmanager
def _being_written(path: Path, make: Callable[[Path], object]) -> Iterator[Draft]:
    """Make the temporary file or folder for `path`, and lock it.

    Files of killed writers of `path` are removed first. After an error the draft is
    removed, unless it is kept.
    """
    partial = _partial(path)
    _remove_leftovers(path)
    while True:
        make(partial)
        with contextlib.ExitStack() as stack:
            # If the disk has no locks, it is written without one.
            with contextlib.suppress(OSError):
                stack.enter_context(_hold(partial))
            # Another process may have removed it before it was locked.
            if partial.exists():
                draft = Draft(partial)
                try:
                    yield draft
                except BaseException:
                    draft.remove()
                    raise
                return


def _target(path: Path, *, folder: bool, parents: bool) -> Path:
    """The file to write for a path: for a link its target.

    Its parents are made, or only the last one.

    Raises:
        OSError: There is something else than the wanted file or folder.
    """
    path = resolved(path, folder=folder)
    _make_folder(path.parent, parents=parents)
    return path


def resolved(path: Path, *, folder: bool) -> Path:
    """The target of a path, if it can be written as a file or as a folder.

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
    # The link stays, and its target is made.
    real = Path(os.path.realpath(folder))
    try:
        real.mkdir(parents=parents, exist_ok=True)
    except FileExistsError as error:
        folder.stat()  # For links in a circle the system reports an error.
        raise refusal(errno.ENOTDIR, folder) from error


@contextlib.contextmanager
def _reporting_removal(folder: Path) -> Iterator[None]:
    """If the folder was removed, report that instead of the later error.

    Raises:
        StorageError: It was removed.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ESTALE) and not folder.is_dir():
            raise StorageError(removed(folder)) from error
        raise


def removed(folder: Path) -> str:
    """The error for a folder that was removed while it was written into."""
    return (
        f"{folder}: was removed or renamed while a command was writing into it; run "
        "the same command again"
    )


@contextlib.contextmanager
def atomic_open(
    path: Path, *, private: bool = False, parents: bool = True
) -> Iterator[IO[bytes]]:
    """Open `path` for writing under a temporary name; it is renamed when complete.

    The bytes are synced before the rename, so that after a crash the file is the old
    one, the new one or missing. For a link its target is written. On an error the
    temporary file is removed.

    Args:
        path: The file to write.
        private: Whether only the owner may read it, from its first byte on.
        parents: Whether all parent folders are made; otherwise only the last one, so
            that a folder that was removed meanwhile is not made again.

    Raises:
        StorageError: The disk is full, read-only or forbids the write, or the folder
            was removed.
    """
    with draft_file(path, private=private, parents=parents) as (_, stream):
        yield stream


@contextlib.contextmanager
def draft_file(
    path: Path, *, private: bool = False, parents: bool = True
) -> Iterator[tuple[Draft, IO[bytes]]]:
    """The same as `atomic_open` for a file that may be kept while it is written."""
    with refusals_of(path), _reporting_removal(path.parent):
        path = _target(path, folder=False, parents=parents)
        mode = 0o600 if private else 0o666

        def make(partial: Path) -> None:
            partial.unlink(missing_ok=True)
            partial.touch(mode)

        with _being_written(path, make) as draft:
            with draft.path.open("wb") as stream:
                yield draft, stream
                stream.flush()
                sync(stream.fileno())
            os.replace(draft.path, path)


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
    with draft_folder(path, parents=parents) as draft:
        yield draft.path


@contextlib.contextmanager
def draft_folder(path: Path, *, parents: bool = True) -> Iterator[Draft]:
    """The same as `atomic_folder` for a folder that may be kept while it is filled."""
    with refusals_of(path), _reporting_removal(path.parent):
        path = _target(path, folder=True, parents=parents)

        def make(partial: Path) -> None:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()

        with _being_written(path, make) as draft:
            yield draft
            if path.exists():
                # A folder cannot be replaced in one step. If the process is killed
                # between these two lines there is no folder, and the next run makes
                # it again.
                shutil.rmtree(path)
            os.replace(draft.path, path)


@contextlib.contextmanager
def scratch_file(path: Path, *, parents: bool = True) -> Iterator[Draft]:
    """Name a file for data that is needed while `path` is made; it is deleted then.

    Its name is that of a partial file, so that `remove_partial` removes the one of a
    killed process.

    Args:
        path: The file or folder that is made.
        parents: See `atomic_open`.

    Raises:
        StorageError: The disk refuses.
    """
    with refusals_of(path), _reporting_removal(path.parent):
        _make_folder(path.parent, parents=parents)
        scratch = path.with_name(f"{_partial_start(path)}{_writer()}.scratch{PARTIAL}")
    draft = Draft(scratch)
    try:
        yield draft
    finally:
        draft.remove()


def run_path(runs: Path, name: str) -> Path:
    """The folder of a run that is named, or whose folder is given."""
    given = user_path(name)
    if (given / "manifest.json").is_file() or given.is_absolute():
        return given
    return runs / name


def open_regular(path: Path | str) -> IO[bytes]:
    """Open a file for reading; for a pipe or a device raise an error, without waiting.

    Raises:
        OSError: It cannot be opened, or is not a regular file.
    """
    return os.fdopen(_open_regular(path)[0], "rb")


def read_regular(path: Path | str, *, most: int = sys.maxsize) -> bytes:
    """Read a file, or its first `most` bytes.

    Raises:
        OSError: It cannot be read, or is not a regular file.
    """
    file, size = _open_regular(path)
    try:
        # A first read that asks for one byte too many and gets the rest is the whole
        # file; only one that changes meanwhile takes more.
        data = os.read(file, min(size + 1, most))
        while len(data) not in (size, most):
            more = os.read(file, min(_PIECE, most - len(data)))
            if not more:
                break
            data += more
    finally:
        os.close(file)
    return data


def _open_regular(path: Path | str) -> tuple[int, int]:
    """Open a file for reading: its descriptor, and its size in bytes."""
    # Do not wait for a writer if it is a pipe; has no effect on files.
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode):
        os.close(file)
        raise OSError(errno.ENXIO, "it is not a regular file", str(path))
    return file, status.st_size


def require_writable(path: Path) -> None:
    """Make sure that a file or folder can be written at `path`, without changes.

    Raises:
        StorageError: A parent is not a folder or not writable, a name is too long, or
            the disk is full or read-only.
    """
    with refusals_of(path):
        folder = path
        while True:
            folder = folder.parent
            # Missing folders will be made.
            with contextlib.suppress(FileNotFoundError):
                if not stat.S_ISDIR(folder.stat().st_mode):
                    raise refusal(errno.ENOTDIR, folder)
                break
        for name in path.relative_to(folder).parts:
            if len(os.fsencode(name)) > os.pathconf(folder, "PC_NAME_MAX"):
                raise refusal(errno.ENAMETOOLONG, path)
        # It has no name where the system can do that, so that a kill leaves no file.
        try:
            with tempfile.TemporaryFile(dir=folder, prefix=".", suffix=PARTIAL) as file:
                file.write(b"0")
                file.flush()
                sync(file.fileno())
        except OSError as error:
            # Its name says nothing to the user, and may lie far above the path.
            raise OSError(error.errno, error.strerror, str(path)) from error


def sync(file: int) -> None:
    """Wait until the bytes of an open file are on the disk, where the disk can do that.

    Some file systems in user space (of cloud storage, of archives) have no fsync.

    Raises:
        OSError: The disk refuses the bytes.
    """
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


def write_bytes(path: Path, data: bytes, *, private: bool = False) -> None:
    """Write a whole file atomically; a private one only its owner may read."""
    with atomic_open(path, private=private) as stream:
        stream.write(data)


def write_json(path: Path, value: Any, *, private: bool = False) -> None:
    """Write a value as indented UTF-8 JSON, atomically."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    write_bytes(path, (text + "\n").encode(), private=private)


def read_json(path: Path, *, unique: bool = False) -> Any:
    """Read a JSON file.

    Args:
        path: The file.
        unique: Whether a table that has a key twice is refused.

    Raises:
        ValueError: The file is not JSON; the message names it and the place.
        OSError: The file cannot be read.
    """
    try:
        return parse_json(read_regular(path), unique=unique)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def read_text(path: Path) -> str:
    """Read a text file that the user has named; it may be a pipe.

    Raises:
        ValueError: The file is not UTF-8 text; the message names it.
        OSError: The file cannot be read.
    """
    with path.open("rb") as stream:
        data = stream.read(_LARGEST_TEXT + 1)
    if len(data) > _LARGEST_TEXT:
        raise ValueError(
            f"{path}: has more than {_LARGEST_TEXT} bytes, so it is not text"
        )
    try:
        return decode_text(data)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def digest(path: Path) -> str:
    """SHA-256 in hex of a file, or of a folder's sorted names and contents.

    Raises:
        OSError: It does not exist, or cannot be read.
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
    """SHA-256 in hex of the rest of an open file."""
    sha = hashlib.sha256()
    while block := stream.read(1 << 20):
        sha.update(block)
    return sha.hexdigest()


def folder_digest(files: Mapping[str, str]) -> str:
    """The digest of a folder from the digests of its files, by name."""
    sha = hashlib.sha256()
    for name in sorted(files):
        sha.update(f"{name}\0{files[name]}\n".encode())
    return sha.hexdigest()


def remove_partial(folder: Path) -> None:
    """Remove the partial files of a killed command in `folder`.

    What belongs to a checkpoint stays, and the checkpoint.
    """
    if not folder.is_dir():
        return
    for child in folder.iterdir():
        if not child.name.startswith("."):
            continue
        start = _kept_start(child.name)
        if child.name.endswith(PARTIAL) or (
            start is not None and not child.with_name(start + _CHECKPOINT).exists()
        ):
            _remove(child)


class Closing:
    """Something that `with` closes at the end of its block."""

    def close(self) -> None:
        """Close what is open."""
        raise NotImplementedError

    def __enter__(self: _Closing) -> _Closing:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


@dataclass(frozen=True)
class Lock:
    """A lock file that this process holds.

    Attributes:
        path: The file.
    """

    path: Path
    _stream: IO[str]
    _holder: Holder | None = None

    def is_in_place(self) -> bool:
        """Whether the file is still at its path, and held by this process."""
        if self._holder is not None and not self._holder.is_mine():
            return False
        held = os.fstat(self._stream.fileno())
        try:
            return os.path.samestat(held, self.path.stat())
        except OSError:
            return False

    def require_in_place(self) -> None:
        """Make sure that the folder of the lock was not removed.

        Raises:
            StorageError: It was removed.
        """
        if not self.is_in_place():
            raise StorageError(removed(self.path.parent))

    @contextlib.contextmanager
    def closing(self, close: Callable[[], None]) -> Iterator[None]:
        """Call `close` at the end of the block, unless the folder was removed.

        After an error in the block, one in `close` is not raised.

        Raises:
            StorageError: The folder of the lock was removed.
        """
        try:
            yield
        except BaseException:
            # The first error says what went wrong.
            with contextlib.suppress(Exception):
                if self.is_in_place():
                    close()
            raise
        self.require_in_place()
        close()


@contextlib.contextmanager
def locked(path: Path, *, busy: str | None = None) -> Iterator[Lock]:
    """Hold an exclusive lock on a file while the block runs.

    The lock belongs to the process and ends with it in any case. Its holder may remove
    the file. On a file system without locks a file beside the folder stands for the
    lock; see `holders`.

    Args:
        path: The file, which is made if it is missing, and stays.
        busy: The message when another process holds the lock.

    Raises:
        StorageError: Another process holds the lock, or the disk refuses.
    """
    busy = busy or (
        f"{path.parent}: another command is writing here; wait for it to end"
    )
    while True:
        with contextlib.ExitStack() as stack:
            stream = stack.enter_context(_opened_for_lock(path))
            holder = None
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StorageError(busy) from None
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise StorageError(
                        f"{path}: cannot be locked ({error.strerror}); choose a folder "
                        "on another disk, with --runs or --name for example"
                    ) from error
                # Not in the folder, which the holder may remove.
                beside = path.parent.with_name(f".{path.parent.name}{path.name}")
                holder = stack.enter_context(holding(beside, busy=busy))
            lock = Lock(path, stream, holder)
            # The last holder may have removed the file that was just opened; then its
            # lock has no effect.
            if lock.is_in_place():
                yield lock
                return


def _opened_for_lock(path: Path) -> IO[str]:
    """Open a lock file; its last holder may remove it and its folder."""
    with refusals_of(path):
        for _ in range(_LOCK_TRIES):
            with contextlib.suppress(FileNotFoundError):
                _make_folder(path.parent)
                return path.open("a")
        return path.open("a")
