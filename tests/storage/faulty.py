"""A storage on disk that fails as its test says, in any process."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

from fsspec import AbstractFileSystem, register_implementation

__all__ = ["Faulty", "FaultyStorage"]


class Faulty(AbstractFileSystem):  # type: ignore[misc]
    """Folders of a disk as a storage, `faulty://<path>`.

    What is to go wrong is in a file beside it, so that processes share it: lines of a
    fault, how often it happens, and a part of the path that it happens to.
    """

    protocol = "faulty"
    cachable = False

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.removeprefix("faulty://").strip("/")

    def ls(self, path: str, detail: bool = True, **more: Any) -> list[Any]:
        """List a folder."""
        del more
        folder = Path(self._strip_protocol(path))
        self._strike("list", str(folder))
        found = [self.info(str(one)) for one in sorted(folder.iterdir())]
        return found if detail else [one["name"] for one in found]

    def info(self, path: str, **more: Any) -> dict[str, Any]:
        """Describe a file or folder."""
        del more
        there = Path(self._strip_protocol(path))
        status = there.stat()
        kind = "directory" if there.is_dir() else "file"
        return {
            "name": str(there),
            "size": status.st_size,
            "type": kind,
            "mtime": status.st_mtime,
        }

    def get_file(self, rpath: str, lpath: str, **more: Any) -> None:
        """Copy a file to the disk, and log that."""
        del more
        path = self._strip_protocol(rpath)
        self._strike("lost", path)
        self._strike("refused", path)
        self._strike("full", path)
        shutil.copyfile(path, lpath)
        with (_place() / "log").open("a") as log:
            log.write(f"{path}\n")
        if self._strikes("truncated", path):
            os.truncate(lpath, os.path.getsize(lpath) // 2)

    def cat_file(self, path: str, **more: Any) -> bytes:
        """Read a file."""
        del more
        self._strike("lost", path)
        return Path(self._strip_protocol(path)).read_bytes()

    def put_file(self, lpath: str, rpath: str, **more: Any) -> None:
        """Copy a file from the disk, and log that."""
        del more
        self.pipe_file(rpath, Path(lpath).read_bytes())

    def pipe_file(self, path: str, value: bytes, **more: Any) -> None:
        """Write a file, and log that."""
        del more
        path = self._strip_protocol(path)
        self._strike("unsent", path)
        # A file of an object storage is there as a whole, or not at all.
        _write(Path(path), value)
        with (_place() / "sent").open("a") as log:
            log.write(f"{path}\n")

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Make a folder."""
        Path(self._strip_protocol(path)).mkdir(parents=True, exist_ok=exist_ok)

    def rm(self, path: str, recursive: bool = False, **more: Any) -> None:
        """Delete a file or folder."""
        del recursive, more
        there = Path(self._strip_protocol(path))
        self._strike("unsent", str(there))
        if there.is_dir():
            shutil.rmtree(there)
        else:
            there.unlink()
        # An object storage has no empty folders.
        with contextlib.suppress(OSError):
            for folder in there.parents:
                folder.rmdir()

    def _strike(self, fault: str, path: str) -> None:
        if not self._strikes(fault, path):
            return
        if fault == "refused":
            raise PermissionError("Access Denied")
        if fault == "full":
            raise OSError(errno.ENOSPC, "No space left on device")
        raise OSError(errno.EIO, "the connection was lost")

    def _strikes(self, fault: str, path: str) -> bool:
        file = _place() / fault
        if not file.exists():
            return False
        left, where = file.read_text().split(" ", 1)
        if int(left) == 0 or where not in path:
            return False
        _write(file, f"{int(left) - 1} {where}".encode())
        return True


def _place() -> Path:
    return Path(os.environ["FAULTY_STORAGE"])


def _write(path: Path, value: bytes) -> None:
    """Write a file that other threads and processes see as a whole, or not at all."""
    whole = _place() / f"{uuid.uuid4()}.new"
    whole.write_bytes(value)
    whole.replace(path)


class FaultyStorage:
    """The storage of a test, and what goes wrong in it.

    Attributes:
        root: The folder on disk whose content is stored.
    """

    def __init__(self, root: Path, place: Path) -> None:
        self.root, self._place = root, place
        register_implementation("faulty", Faulty, clobber=True)

    def url(self, path: Path | str = "") -> str:
        """The URL of a folder below the root."""
        return f"faulty:/{self.root / path}"

    def fail(self, fault: str, *, times: int = -1, where: str = "") -> None:
        """Let something go wrong.

        It is one of `list`, `lost`, `refused`, `full`, `truncated` and `unsent`.

        Args:
            fault: What.
            times: How often; always by default.
            where: A part of the paths that it happens to.
        """
        (self._place / fault).write_text(f"{times} {where}")

    def heal(self) -> None:
        """Let nothing go wrong any more."""
        for file in self._place.iterdir():
            if file.name not in ("log", "sent"):
                file.unlink()

    @property
    def fetched(self) -> list[str]:
        """The files that were fetched, in order, below the root."""
        return self._logged("log")

    @property
    def sent(self) -> list[str]:
        """The files that were written, in order, below the root."""
        return self._logged("sent")

    def _logged(self, name: str) -> list[str]:
        log = self._place / name
        if not log.exists():
            return []
        names = log.read_text().splitlines()
        return [str(Path(name).relative_to(self.root)) for name in names]
