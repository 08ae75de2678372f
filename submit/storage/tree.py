"""A folder of a storage that is written, too: files are sent and deleted in it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from ..system.urls import StorageUrl
from .copies import copy_of
from .files import StoredFile, StoredFiles, bring
from .folder import listed_in
from .opening import open_storage, trouble
from .requests import in_threads, retried, threads_for

__all__ = ["StoredTree"]


class StoredTree:
    """A folder in a storage, and its copy on this machine; it can be sent to workers.

    Paths are those of the copy.

    Args:
        url: The folder, which need not be there yet.

    Raises:
        StorageError: The storage cannot be opened.
    """

    def __init__(self, url: StorageUrl) -> None:
        self.url = url
        self._opened = open_storage(url)

    @property
    def path(self) -> Path:
        """The folder of the copy."""
        return copy_of(self.url)

    def named(self, path: Path) -> str:
        """The URL of a file or folder, for messages."""
        return self._opened.named(self._relative(path))

    def list(self, folder: Path) -> dict[str, StoredFile | None] | None:
        """What is in a folder by name, None for each folder in it.

        Returns:
            None if there is no such folder.

        Raises:
            StorageError: The storage cannot be read.
        """
        return listed_in(self._opened, self._relative(folder))

    def lists(
        self, folders: Iterable[Path]
    ) -> dict[Path, dict[str, StoredFile | None]]:
        """The same for those of several folders that exist.

        Raises:
            StorageError: The storage cannot be read.
        """
        paths = list(dict.fromkeys(folders))
        threads = threads_for(self._opened)
        found = in_threads(self.list, paths, threads=threads)
        return {
            path: one for path, one in zip(paths, found, strict=True) if one is not None
        }

    def bring(self, folder: Path, files: Iterable[StoredFile]) -> None:
        """Fetch files of a folder into the copy.

        Raises:
            StorageError: The storage cannot be read, or the disk refuses.
        """
        named = {file.name: file for file in files}
        bring(StoredFiles(self._opened, self._relative(folder), named))

    def send(self, path: Path) -> None:
        """Send a file of the copy, or a folder with all files in it.

        What the folder in the storage has beside them is deleted.

        Raises:
            StorageError: The storage does not take it.
        """
        if not path.is_dir():
            self._send(path)
            return
        files = [one for one in path.iterdir() if not one.name.startswith(".")]
        in_threads(self._send, files, threads=threads_for(self._opened))
        for name in (self.list(path) or {}).keys() - {one.name for one in files}:
            self.delete(path / name)

    def send_bytes(self, data: bytes, path: Path) -> None:
        """Send the content of a file.

        Raises:
            StorageError: The storage does not take it.
        """
        there = self._opened.path(self._relative(path))
        self._try(path, partial(self._put_bytes, data, there))

    def read(self, path: Path) -> bytes | None:
        """The content of a file; None if it is not there.

        Raises:
            StorageError: The storage cannot be read.
        """
        there = self._opened.path(self._relative(path))
        try:
            return bytes(retried(partial(self._opened.fs.cat_file, there)))
        except FileNotFoundError:
            return None
        except Exception as error:
            raise trouble(error, self.named(path), self.url) from error

    def delete(self, path: Path) -> None:
        """Delete a file, or a folder with all that is in it.

        Raises:
            StorageError: The storage refuses.
        """
        there = self._opened.path(self._relative(path))

        def remove() -> None:
            with contextlib.suppress(FileNotFoundError):
                self._opened.fs.rm(there, recursive=True)
            self._opened.fs.invalidate_cache()

        self._try(path, remove)

    def _send(self, path: Path) -> None:
        there = self._opened.path(self._relative(path))
        size = path.stat().st_size
        self._try(path, partial(self._put_file, path, there, size))

    def _put_file(self, path: Path, there: str, size: int) -> None:
        fs = self._opened.fs
        _make_parent(fs, there)
        fs.put_file(str(path), there)
        _require_size(fs, there, size)

    def _put_bytes(self, data: bytes, there: str) -> None:
        fs = self._opened.fs
        _make_parent(fs, there)
        fs.pipe_file(there, data)
        _require_size(fs, there, len(data))

    def _try(self, path: Path, request: Any) -> None:
        try:
            retried(request)
        except Exception as error:
            raise trouble(error, self.named(path), self.url, sending=True) from error

    def _relative(self, path: Path) -> str:
        relative = path.relative_to(self.path).as_posix()
        return "" if relative == "." else relative


def _make_parent(fs: Any, there: str) -> None:
    """Make the folder of a file, where a storage has folders."""
    if not getattr(fs, "async_impl", False):
        fs.makedirs(there.rpartition("/")[0], exist_ok=True)


def _require_size(fs: Any, there: str, size: int) -> None:
    """Make sure that the whole file has arrived.

    Raises:
        OSError: It has not.
    """
    fs.invalidate_cache()
    came = fs.info(there)["size"]
    if came != size:
        raise OSError(f"only {came:,} of {size:,} bytes arrived")
