"""Opening a split for a command, with its videos and its meta file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._options import META
from ._output import note

if TYPE_CHECKING:
    from ..data import Split
    from ..system.urls import Place

__all__ = ["meta_file", "open_split"]


def meta_file() -> Path | None:
    """The meta file that `--meta` names; None without it."""
    found: Path | None = click.get_current_context().meta.get(META)
    return found


def open_split(
    path: Place,
    videos: Sequence[str] = (),
    *,
    say_subset: bool = True,
    say_absent: bool = True,
) -> Split:
    """Open a split, or some of its videos, and print the remarks about it.

    The meta file is that of `--meta`, if the command has the option.

    Args:
        path: The split's folder or URL.
        videos: Shell patterns of the videos, as in `--videos`; without any, all videos.
        say_subset: Whether to say that these are some of the videos only.
        say_absent: Whether to say that the meta file lists videos without a folder.

    Raises:
        SplitError: It cannot be read, or a pattern matches nothing.
        StorageError: It is in a storage that cannot be read.
    """
    from ..data import read_split

    split = read_split(path, meta=meta_file(), videos=videos)
    for text in split.notes:
        note(text)
    if say_absent and split.absent_note is not None:
        note(split.absent_note)
    if say_subset and split.subset_note is not None:
        note(split.subset_note)
    return split
