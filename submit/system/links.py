"""Folders with the files of other folders: by links, or else by copies.

FAT, exFAT and many network shares have no symbolic links, some no hard links either.
"""

from __future__ import annotations

import enum
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from ..errors import StorageError
from .files import open_regular

__all__ = ["Linker", "Linking"]

#: Bytes that are copied at once.
_BLOCK = 1 << 20


class Linking(str, enum.Enum):
    """The ways to link or copy, the cheapest first."""

    SYMBOLIC = "symbolic links"
    HARD = "hard links"
    COPIES = "copies"


class Linker:
    """Links or copies folders, each in the cheapest way that the disk allows.

    A way that has failed once is not tried again.

    Attributes:
        linking: The way that was used for the last folder.
        copied: Bytes that were copied.
    """

    def __init__(self) -> None:
        self.linking = Linking.SYMBOLIC
        self.copied = 0

    def show(self, files: Iterable[Path], target: Path) -> None:
        """Link or copy files of one folder; a linked folder shows all of its files.

        Args:
            files: Files, all of one folder.
            target: The new folder, whose parent exists.

        Raises:
            StorageError: A file cannot be read.
            OSError: The target cannot be written.
        """
        files = list(files)
        if self.linking is Linking.SYMBOLIC:
            if _is_linked(files[0].parent.resolve(), target):
                return
            self.linking = Linking.HARD
        target.mkdir()
        for file in files:
            self._show_file(file, target / file.name)

    def _show_file(self, file: Path, target: Path) -> None:
        if self.linking is Linking.HARD:
            try:
                os.link(file.resolve(), target)
            except OSError:
                # Other errors are raised when the file is copied.
                self.linking = Linking.COPIES
            else:
                return
        self.copied += _copy(file, target)


def _is_linked(folder: Path, target: Path) -> bool:
    """Make a symbolic link to a folder; returns whether it works."""
    try:
        target.symlink_to(folder, target_is_directory=True)
    except OSError:
        return False
    # Some shares store links as special files.
    if target.is_symlink() and target.is_dir():
        return True
    target.unlink()
    return False


def _copy(file: Path, target: Path) -> int:
    """Copy a file; returns its number of bytes. Errors name the right file."""
    try:
        stream = open_regular(file)
    except OSError as error:
        raise StorageError(f"{file}: cannot be read ({error.strerror})") from error
    with stream, target.open("wb") as copy:
        try:
            shutil.copyfileobj(stream, copy, _BLOCK)
            copy.flush()
        except OSError as error:
            # Python's own copying names the source when the target's disk is full.
            error.filename = str(target)
            raise
        return copy.tell()
