"""The zip to upload: its digests, its name on the server, and reading it as a body."""

from __future__ import annotations

import hashlib
import os
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import ArchiveError

__all__ = ["Package", "ZipBody", "is_marked"]

#: The server cuts names to this many characters before the ending.
_LONGEST_NAME = 35
#: Digits of the digest in the name, by which a submission is found again.
_DIGITS = 12
#: Most bytes that storage takes in one request.
LARGEST = 5 << 30

_BLOCK = 1 << 20

_MARKED = re.compile(rf"-[0-9a-f]{{{_DIGITS}}}\b")


def is_marked(name: str) -> bool:
    """Whether a name on the server has the digits of some zip's digest.

    >>> is_marked("base-1-3fa9c1d2e4b5.zip"), is_marked("base-1.zip")
    (True, False)
    """
    return _MARKED.search(name) is not None


@dataclass(frozen=True)
class Package:
    """A zip, with its digests.

    Attributes:
        path: Where it is.
        size: Bytes.
        sha256: Digest that names it.
        md5: Digest that the storage answers with.
        modified: Time of its last change, in nanoseconds.
    """

    path: Path
    size: int
    sha256: str
    md5: str
    modified: int

    @classmethod
    def read(
        cls, path: Path, progress: Callable[[int], None] = lambda count: None
    ) -> Package:
        """Read a zip and compute its digests.

        Args:
            path: The zip.
            progress: Called with a number of bytes that were read.

        Raises:
            ArchiveError: It is missing, no zip, empty, or of a kind that the server
                would treat as a program.
        """
        try:
            before = path.stat()
            _require_submission(path, before.st_size)
            sha, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
            with path.open("rb") as stream:
                while block := stream.read(_BLOCK):
                    sha.update(block)
                    md5.update(block)
                    progress(len(block))
        except OSError as error:
            raise ArchiveError(
                f"{path}: cannot be read ({error.strerror}); make it with submit pack"
            ) from error
        package = cls(
            path, before.st_size, sha.hexdigest(), md5.hexdigest(), before.st_mtime_ns
        )
        package.require_unchanged()
        return package

    @property
    def mark(self) -> str:
        """The digits of the digest that are in the name on the server."""
        return self.mark_of(self.sha256)

    @staticmethod
    def mark_of(sha256: str) -> str:
        """The digits of a digest that are in the name on the server."""
        return sha256[:_DIGITS]

    def file_name(self, label: str) -> str:
        """The name on the server: a label, if any, and the digest.

        >>> Package(Path("a.zip"), 1, "3fa9c1d2e4b5" * 4, "", 0).file_name("é base/1")
        'base-1-3fa9c1d2e4b5.zip'
        """
        room = _LONGEST_NAME - _DIGITS - 1
        plain = re.sub(r"[^A-Za-z0-9._]+", "-", label).strip("-.")[:room].rstrip("-.")
        return f"{plain or 'mosev2'}-{self.mark}.zip"

    def require_unchanged(self) -> None:
        """Make sure that the file has not changed since its digests were computed.

        Raises:
            ArchiveError: It has changed.
        """
        try:
            now = os.stat(self.path)
            changed = (now.st_size, now.st_mtime_ns) != (self.size, self.modified)
        except OSError:
            changed = True
        if changed:
            raise ArchiveError(
                f"{self.path}: has changed since the command began; run it again when "
                "the zip is complete"
            )


def _require_submission(path: Path, size: int) -> None:
    """Refuse a zip that the server would reject after it has counted the attempt."""
    if path.is_dir():
        raise ArchiveError(f"{path}: is a folder; make the zip with submit pack")
    if size > LARGEST:
        raise ArchiveError(
            f"{path}: has {size:,} bytes, the storage takes {LARGEST:,} at most; "
            "remove other files with submit repair"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise ArchiveError(
            f"{path}: is not a zip ({error}); make it with submit pack"
        ) from error
    if not any(not name.endswith("/") for name in names):
        raise ArchiveError(f"{path}: holds no files; make it with submit pack")
    for name in ("metadata", "metadata.yaml"):
        if name in names:
            raise ArchiveError(
                f"{path}: has {name} at its root, so that the server would run it as "
                "a program; remove it with submit repair"
            )


class ZipBody:
    """The bytes of a zip from its beginning, in constant memory, with a digest.

    Attributes:
        failure: What went wrong with the file itself.
        sent: Bytes that were read so far.
    """

    def __init__(
        self, package: Package, progress: Callable[[int], None] = lambda count: None
    ) -> None:
        self._package = package
        self._progress = progress
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._stream = package.path.open("rb")
        self.failure: OSError | None = None
        self.sent = 0

    def __len__(self) -> int:
        return self._package.size

    def __iter__(self) -> Iterator[bytes]:
        while block := self.read(_BLOCK):
            yield block

    def read(self, size: int = -1) -> bytes:
        """Read the next bytes, never beyond the announced size."""
        left = self._package.size - self.sent
        wanted = left if size < 0 else min(size, left)
        try:
            block = self._stream.read(wanted)
            if len(block) < wanted:
                raise OSError("the zip has become shorter")
        except OSError as error:
            self.failure = error
            raise
        self._md5.update(block)
        self.sent += len(block)
        self._progress(len(block))
        return block

    @property
    def md5(self) -> str:
        """MD5 of the bytes that were read so far."""
        return self._md5.hexdigest()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
