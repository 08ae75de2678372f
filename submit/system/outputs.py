"""Checks of outputs before the work: they never replace files of another kind.

A command calls `claim` for each output first. An output is written to a free path, or
replaces an earlier output of the same command, recognised by its content.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import OutputError
from .files import require_writable, resolved
from .refusals import refusals_of
from .urls import Place, StorageUrl

__all__ = ["BEGINNING", "OutputKind", "claim"]

#: Bytes of a file that are read to recognise it.
BEGINNING = 1 << 16


@dataclass(frozen=True)
class OutputKind:
    """One kind of output.

    Attributes:
        words: Its description with an article, such as `a submission zip`.
        writer: The command that writes it, such as `submit pack`.
        find_foreign: Finds a non-empty file or a folder at a path that the command did
            not write; None if there is none.
        is_folder: Whether the output is a folder.
        forcible: Whether `--force` may replace files that the command did not write.
            False if a whole folder would be replaced.
    """

    words: str
    writer: str
    find_foreign: Callable[[Path], Path | None]
    is_folder: bool = False
    forcible: bool = True

    @classmethod
    def of_file(
        cls, words: str, writer: str, *, recognises: Callable[[bytes], bool]
    ) -> OutputKind:
        """Make the kind of a file that is recognised by its first bytes.

        Args:
            words: See `OutputKind`.
            writer: See `OutputKind`.
            recognises: Whether a file with these first bytes, at most `BEGINNING`, is
                of this kind.
        """

        def find_foreign(path: Path) -> Path | None:
            with path.open("rb") as stream:
                beginning = stream.read(BEGINNING)
            return None if recognises(beginning) else path

        return cls(words, writer, find_foreign)

    @classmethod
    def of_folder(cls, words: str, writer: str) -> OutputKind:
        """Make the kind of a folder whose content the command checks itself."""
        return cls(words, writer, lambda folder: None, is_folder=True)


def claim(
    path: Path,
    kind: OutputKind,
    *,
    force: bool = False,
    inputs: Iterable[Place | str | None] = (),
) -> None:
    """Make sure that an output can be written, before hours of work.

    Nothing is changed on disk.

    Args:
        path: The output.
        kind: Its kind.
        force: Whether to replace files of another kind.
        inputs: The inputs of the command, which must not be replaced.

    Raises:
        OutputError: It would replace an input, or a file of another kind.
        StorageError: It cannot be written at this path.
    """
    with refusals_of(path):
        target = resolved(path, folder=kind.is_folder)
        if target.exists():
            _require_no_input(path, inputs)
            lost = kind.is_folder or target.stat().st_size > 0
            found = kind.find_foreign(target) if lost else None
            if found is not None and not (force and kind.forcible):
                raise OutputError(
                    f"{path if found == target else found}: would be replaced, and is "
                    f"not {kind.words} that {kind.writer} wrote; choose another place"
                    + (", or replace it with --force" if kind.forcible else "")
                )
    inside = kind.is_folder and kind.forcible and target.exists()
    require_writable(target / "new" if inside else target)


def _require_no_input(path: Path, inputs: Iterable[Place | str | None]) -> None:
    """Refuse to replace an input, also if it has another name."""
    for source in inputs:
        if source is None or isinstance(source, StorageUrl):
            continue
        # A name without a file is that of a run.
        with contextlib.suppress(OSError):
            if os.path.samefile(path, source):
                raise OutputError(
                    f"{path}: is an input, which is never written to; choose another "
                    "place"
                )
