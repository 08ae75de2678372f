"""Listing a folder of a storage, with the interface of folders on disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ..errors import StorageError
from ..system.urls import StorageUrl
from .copies import copy_of
from .files import StoredFile, StoredFiles, bring
from .opening import QUOTED, OpenStorage, open_storage, trouble
from .requests import in_threads, retried, threads_for

__all__ = ["StoredFolder", "listed_in"]


class StoredFolder:
    """A folder in a storage, listed as its copy on this machine would be.

    Paths are those of the copy, in which a file is only after it was fetched. Each
    folder is listed once, so that all that one command sees is of one state.

    Raises:
        StorageError: The storage cannot be opened, or has no such folder.
    """

    def __init__(self, url: StorageUrl) -> None:
        self.url = url
        self.path = copy_of(url)
        self._opened = open_storage(url)
        self._found: dict[str, dict[str, StoredFile | None] | None] = {}
        if (found := self._list("")) is None:
            raise StorageError(
                f"{url}: the storage has no such folder; check the bucket and the path",
                everywhere=False,
            )
        self._found[""] = found

    def ahead(self, folders: Iterable[Path]) -> None:
        """List several folders at once; one that is not there is empty.

        Raises:
            StorageError: The storage cannot be read.
        """
        names = dict.fromkeys(self._relative(one) for one in folders)
        wanted = [name for name in names if name not in self._found]
        threads = threads_for(self._opened)
        listed = in_threads(self._list, wanted, threads=threads)
        self._found.update(zip(wanted, listed, strict=True))

    def folders(self, folder: Path) -> Sequence[str]:
        """Names of the folders in a folder; none where there is no such folder."""
        return [name for name, one in self._there(folder).items() if one is None]

    def names(self, folder: Path) -> Sequence[str]:
        """Names of what is in a folder; none where there is no such folder."""
        return list(self._there(folder))

    def files(self, files: Mapping[str, Path]) -> Mapping[str, Path]:
        """Files of one folder by a key of each, which are fetched when asked for."""
        if not files:
            return {}
        folder = next(iter(files.values())).parent
        there = self._there(folder)
        entries = {key: there[path.name] for key, path in files.items()}
        stored = {key: one for key, one in entries.items() if one is not None}
        return StoredFiles(self._opened, self._relative(folder), stored)

    def bring_beside(self, names: Iterable[str]) -> None:
        """Fetch those of some files that the folder around this one has.

        Others of these names are removed from the copy.

        Raises:
            StorageError: The storage cannot be read, or the disk refuses.
        """
        address, slash, _ = self.url.address.rpartition("/")
        if not slash:
            return
        url = StorageUrl(self.url.protocol, address)
        root = self._opened.root.rpartition("/")[0]
        around = OpenStorage(url, self._opened.fs, root)
        for name in names:
            try:
                info = retried(partial(around.fs.info, around.path(name)))
            except (FileNotFoundError, PermissionError):
                # Who may not list a folder is refused what is not there.
                (self.path.parent / name).unlink(missing_ok=True)
            except Exception as error:
                raise trouble(error, around.named(name), url) from error
            else:
                bring(StoredFiles(around, "", {name: StoredFile.of(name, info)}))

    def bring_small(self, suffix: str) -> None:
        """Fetch the files of a suffix that lie in the folder itself.

        Others of that suffix are removed from the copy, since the storage has none.

        Raises:
            StorageError: The storage cannot be read, or the disk refuses.
        """
        there = self._there(self.path)
        wanted = {name: self.path / name for name in there if name.endswith(suffix)}
        if self.path.is_dir():
            for path in self.path.glob(f"*{suffix}"):
                if path.name not in wanted:
                    path.unlink(missing_ok=True)
        bring(self.files(wanted))

    def _there(self, folder: Path) -> Mapping[str, StoredFile | None]:
        self.ahead([folder])
        return self._found[self._relative(folder)] or {}

    def _relative(self, folder: Path) -> str:
        relative = folder.relative_to(self.path).as_posix()
        return "" if relative == "." else relative

    def _list(self, relative: str) -> dict[str, StoredFile | None] | None:
        return listed_in(self._opened, relative)


def listed_in(
    opened: OpenStorage, relative: str
) -> dict[str, StoredFile | None] | None:
    """What is in a folder by name: files, and None for each folder.

    Returns:
        None if there is no such folder.

    Raises:
        StorageError: The storage cannot be read.
    """
    path = opened.path(relative)

    def look() -> list[dict[str, Any]]:
        return list(opened.fs.ls(path, detail=True))

    try:
        listed = retried(look)
    except FileNotFoundError:
        return None
    except Exception as error:
        raise trouble(error, opened.named(relative), opened.url) from error
    found: dict[str, StoredFile | None] = {}
    for one in listed:
        there = str(one["name"]).rstrip("/")
        above, _, name = there.rpartition("/")
        if opened.url.protocol in QUOTED:
            # A page has links to other places, too.
            if above != path or "?" in name:
                continue
            name = unquote(name)
        # A name that is no name of a file could lead out of the copy; the folder
        # itself is listed by some storages.
        if there == path or name in ("", ".", "..") or {"/", "\0"} & set(name):
            continue
        if one.get("type") == "directory":
            found[name] = None
        else:
            found[name] = StoredFile.of(name, one)
    return found
