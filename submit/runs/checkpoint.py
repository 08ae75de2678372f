"""Checkpoints of videos that are being made: files beside their result, until it is.

    soft/.<video>.npz.checkpoint     what is needed to continue: see `Checkpoint`
    soft/.<video>.npz.<…>.kept       the result so far, which a checkpoint names

A checkpoint is replaced as a whole. It counts only for what its fingerprint says; one
that is damaged, or of something else, is deleted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..predictors import State, read_state, write_state
from ..system.files import atomic_open, checkpoint_path, open_regular, remove_kept

__all__ = ["Checkpoint"]


class Checkpoint:
    """The checkpoint of one file or folder.

    Args:
        path: The result that is being made.
        fingerprint: Digest of everything that decides its bytes.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        self._path, self._fingerprint = path, fingerprint
        self._file = checkpoint_path(path)

    def read(self) -> dict[str, Any] | None:
        """Read it; None if there is none.

        Raises:
            ValueError: It is damaged, or of something else; the message says which.
        """
        try:
            with open_regular(self._file) as stream:
                found = read_state(stream)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise ValueError(f"cannot be read ({error.strerror})") from error
        except ValueError as error:
            raise ValueError(f"is damaged ({error})") from error
        if not isinstance(found, dict) or not isinstance(found.get("content"), dict):
            raise ValueError("is damaged (it has no content)")
        if found.get("fingerprint") != self._fingerprint:
            raise ValueError(
                "was made with other settings, files or versions of the programs"
            )
        content: dict[str, Any] = found["content"]
        return content

    def write(self, content: State, *, keeps: list[str]) -> None:
        """Replace it, and remove what only the one before has kept.

        Args:
            content: Plain data: see `submit.predictors.State`.
            keeps: Names of the kept files and folders that it needs.

        Raises:
            TypeError: The content is not plain data.
            StorageError: The disk refuses; the checkpoint before is still there.
        """
        state = {"fingerprint": self._fingerprint, "content": content}
        with atomic_open(self._file, parents=False) as stream:
            write_state(state, stream)
        remove_kept(self._path, but=keeps)

    def delete(self) -> None:
        """Remove it and what it has kept, if it is there."""
        self._file.unlink(missing_ok=True)
        remove_kept(self._path)
