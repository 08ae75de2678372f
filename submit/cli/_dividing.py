"""What is asked of a command with `--part`, and whether it is still the same later."""

from __future__ import annotations

from collections.abc import Mapping
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..data import Split
    from ..system.partial import PartialResults, Request

__all__ = ["digest_of_file", "request_of", "require_unchanged", "split_of_request"]


def request_of(
    source: str, split: Split, *, runs: Path, settings: Mapping[str, Any]
) -> Request:
    """What is asked of a command that reads masks, apart from the part.

    Args:
        source: The masks, as they are named.
        split: All videos that are asked for.
        runs: Where runs are kept.
        settings: What else decides the results.

    Raises:
        RunError: There is no such run, file or folder.
    """
    from ..runs.kept import runs_named
    from ..system.partial import Request

    return Request(
        source=source,
        identity=_identity_of(runs, source),
        runs=runs_named(runs),
        split=str(split.place),
        fingerprint=split.fingerprint,
        meta=split.recorded_meta,
        videos=tuple(split.videos),
        settings=settings,
    )


def split_of_request(asked: Request) -> Split:
    """Open the split of a request, with the videos that were asked for.

    Raises:
        SplitError: It cannot be read, or lacks one of them.
    """
    from ..data import read_split

    names = [escape(name) for name in asked.videos]
    return read_split(asked.split, meta=asked.meta, videos=names)


def require_unchanged(asked: Request, split: Split, kind: PartialResults) -> None:
    """Make sure that the masks and the split are those that the parts have read.

    Args:
        asked: What was asked of the parts.
        split: The split as it is now.
        kind: What they have done.

    Raises:
        SubmitError: They have changed since.
    """
    from ..runs.kept import runs_folder

    found = _identity_of(runs_folder(asked.runs), asked.source)
    for what, there, now in (
        (asked.source, asked.identity, found),
        (asked.split, asked.fingerprint, split.fingerprint),
    ):
        if there != now:
            raise kind.error(
                f"{what}: has changed since its parts were {kind.done}; {kind.verb} "
                "them again"
            )


def digest_of_file(path: Path) -> str | None:
    """A digest of a file; None for a folder, or nothing."""
    from ..system.files import digest

    return digest(path) if path.is_file() else None


def _identity_of(runs: Path, source: str) -> str | None:
    """A digest of a run or a zip; None for a folder."""
    from ..pipeline.sources import find_run

    run = find_run(runs, source)
    return digest_of_file(Path(source)) if run is None else run.identity
