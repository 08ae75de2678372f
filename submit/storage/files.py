"""Files of a storage that are fetched when they are asked for."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..errors import StorageError
from ..system.files import PARTIAL
from ..system.refusals import refusals_of
from .copies import copy_of, own_storage
from .opening import OpenStorage, trouble
from .requests import in_threads, retried, threads_for

__all__ = [
    "StoredFile",
    "StoredFiles",
    "bring",
    "bring_each",
    "fetched",
    "size_of",
]

#: Bytes that stay free on the disk of the copies: below that, the frames of a video are
#: deleted when it is done.
ROOM = 10 << 30

#: Seconds after which a partial file is certainly that of a killed process.
_OLD = 3600.0

#: Errors of a disk that no storage reports.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

#: What file systems call the time of the last change.
_TIMES = ("LastModified", "mtime", "last_modified", "updated", "modified", "created")


@dataclass(frozen=True)
class StoredFile:
    """A file in a listing.

    Attributes:
        name: Its name in its folder.
        size: Bytes; None where the storage lists no sizes.
        time: Seconds since 1970 of the last change; None where it lists none.
    """

    name: str
    size: int | None
    time: float | None

    @classmethod
    def of(cls, name: str, listed: Mapping[str, Any]) -> StoredFile:
        """Read an entry of a listing of fsspec."""
        size = listed.get("size")
        time = next((listed[key] for key in _TIMES if listed.get(key)), None)
        return cls(name, None if size is None else int(size), _seconds(time))

    def is_at(self, path: Path) -> bool:
        """Whether a file on disk is a whole copy of this one, in this version."""
        try:
            status = path.stat()
        except OSError:
            return False
        same_size = self.size is None or status.st_size == self.size
        # Disks keep times with different precision.
        return same_size and (self.time is None or abs(status.st_mtime - self.time) < 1)


def _seconds(time: Any) -> float | None:
    """A time in a listing as seconds since 1970; None where it is of no known kind."""
    if isinstance(time, str):
        try:
            time = datetime.fromisoformat(time.replace("Z", "+00:00"))
        except ValueError:
            return None
    if isinstance(time, datetime):
        return (time if time.tzinfo else time.replace(tzinfo=timezone.utc)).timestamp()
    return float(time) if isinstance(time, (int, float)) else None


class StoredFiles(Mapping[str, Path]):
    """Files of one folder of a storage, by a key.

    Asking for a file fetches it if it is not on this machine yet, and gives its path
    here. It can be sent to workers of other machines, which have copies of their own.

    Args:
        opened: The storage.
        folder: The folder in it, without slashes around.
        files: The files by key, in order.
    """

    def __init__(
        self, opened: OpenStorage, folder: str, files: Mapping[str, StoredFile]
    ) -> None:
        self._opened, self._folder, self._files = opened, folder, dict(files)

    def __getitem__(self, key: str) -> Path:
        """Fetch a file.

        Raises:
            KeyError: There is none with this key.
            StorageError: The storage cannot be read, or the disk refuses.
        """
        file = self._files[key]
        path = self.place / file.name
        if not file.is_at(path):
            self._fetch(file, path)
        return path

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def __contains__(self, key: object) -> bool:
        # That of mappings would fetch the file.
        return key in self._files

    @property
    def place(self) -> Path:
        """The folder of the copies on this machine."""
        return copy_of(self._opened.url).joinpath(*self._folder.split("/"))

    @property
    def threads(self) -> int:
        """How many of the files may be fetched at once."""
        return threads_for(self._opened)

    def size(self, key: str) -> int:
        """Bytes of a file, which is not fetched.

        Raises:
            StorageError: The storage cannot be read.
        """
        if self._files[key].size is None:
            # A storage that lists no sizes is asked for all of them at once.
            unknown = [file for file in self._files.values() if file.size is None]
            sizes = in_threads(self._ask_size, unknown, threads=self.threads)
            known = {file.name: size for file, size in zip(unknown, sizes, strict=True)}
            self._files = {
                one: replace(file, size=known.get(file.name, file.size))
                for one, file in self._files.items()
            }
        size = self._files[key].size
        assert size is not None
        return size

    def _ask_size(self, file: StoredFile) -> int:
        relative = self._relative(file)
        path = self._opened.path(relative)
        try:
            size = retried(lambda: self._opened.fs.info(path)).get("size")
        except Exception as error:
            raise self._trouble(error, file) from error
        if size is None:
            raise StorageError(
                f"{self._opened.named(relative)}: the storage does not tell its size; "
                "copy the files to a disk",
                everywhere=False,
            )
        return int(size)

    def lack_room(self) -> bool:
        """Whether too few bytes are free on the disk of the copies."""
        with contextlib.suppress(OSError):
            return shutil.disk_usage(self.place).free < ROOM
        return False

    def drop(self) -> None:
        """Delete the copies on this machine."""
        for file in self._files.values():
            with contextlib.suppress(OSError):
                (self.place / file.name).unlink(missing_ok=True)

    def remove_leftovers(self) -> None:
        """Delete partial files of processes that were killed some time ago."""
        with contextlib.suppress(OSError):
            for path in self.place.glob(f".*{PARTIAL}"):
                if time.time() - path.stat().st_mtime > _OLD:
                    path.unlink(missing_ok=True)

    def _relative(self, file: StoredFile) -> str:
        return f"{self._folder}/{file.name}" if self._folder else file.name

    def _trouble(self, error: BaseException, file: StoredFile) -> StorageError:
        named = self._opened.named(self._relative(file))
        return trouble(error, named, self._opened.url)

    def _fetch(self, file: StoredFile, path: Path) -> None:
        """Fetch one file under a temporary name, and rename it when it is whole."""
        partial = path.with_name(
            f".{path.name}.{os.getpid()}-{threading.get_ident()}{PARTIAL}"
        )
        with refusals_of(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            # An error of this disk is told from one of the storage.
            partial.touch()
        try:
            retried(lambda: self._transfer(file, partial))
            with refusals_of(path):
                if file.time is not None:
                    os.utime(partial, (file.time, file.time))
                os.replace(partial, path)
        except StorageError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in _FULL:
                raise StorageError(
                    f"{path}: the disk is full; make room (what is in {own_storage()} "
                    "can be fetched again), or name another folder in SUBMIT_STORAGE"
                ) from error
            raise self._trouble(error, file) from error
        finally:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)

    def _transfer(self, file: StoredFile, partial: Path) -> None:
        """Fetch one file once.

        Raises:
            StorageError: It was changed in the storage since it was listed.
            OSError: Less came than the storage has.
        """
        fs, source = self._opened.fs, self._opened.path(self._relative(file))
        fs.get_file(source, str(partial))
        came = partial.stat().st_size
        if file.size is None or came == file.size:
            return
        with contextlib.suppress(AttributeError):
            fs.invalidate_cache()
        now = fs.info(source).get("size")
        if now == came:
            raise StorageError(
                f"{self._opened.named(self._relative(file))}: was changed since the "
                f"command began: it had {file.size:,} bytes, and has {came:,}; run the "
                "same command again",
                everywhere=False,
            )
        raise OSError(f"only {came:,} of {file.size:,} bytes came")


def bring(files: Mapping[str, Path], keys: Iterable[str] | None = None) -> None:
    """Fetch files that are not on this machine, several at once.

    Args:
        files: Files by key; of others than `StoredFiles` none needs it.
        keys: Which of them; all by default.

    Raises:
        StorageError: The storage cannot be read, or the disk refuses.
    """
    bring_each((files, key) for key in (files if keys is None else keys))


def bring_each(wanted: Iterable[tuple[Mapping[str, Path], str]]) -> None:
    """The same for files of several folders, each with its key."""
    stored = [(files, key) for files, key in wanted if isinstance(files, StoredFiles)]
    if stored:
        threads = stored[0][0].threads
        in_threads(lambda one: one[0][one[1]], stored, threads=threads)


@contextlib.contextmanager
def fetched(files: Mapping[str, Path]) -> Iterator[None]:
    """Have files on this machine while the block runs, and as a rule later, too.

    They are deleted after it if less than 10 GiB are free on the disk.

    Raises:
        StorageError: The storage cannot be read, or the disk refuses.
    """
    if isinstance(files, StoredFiles):
        files.remove_leftovers()
    bring(files)
    try:
        yield
    finally:
        if isinstance(files, StoredFiles) and files.lack_room():
            files.drop()


def size_of(files: Mapping[str, Path], key: str) -> int:
    """Bytes of a file; one in a storage is not fetched for it.

    Raises:
        OSError: It cannot be read.
        StorageError: The storage cannot be read.
    """
    if isinstance(files, StoredFiles):
        return files.size(key)
    return files[key].stat().st_size
