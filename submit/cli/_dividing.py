"""What is asked of a command with `--part`, and whether it is still the same later."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._progress import progress

if TYPE_CHECKING:
    from ..archive import Masks
    from ..data import Split
    from ..system.partial import PartialResults, Request

__all__ = [
    "digest_of_file",
    "digests_of",
    "join_masks",
    "request_of",
    "require_same_masks",
    "require_same_split",
    "split_of_request",
]


def request_of(
    source: str, split: Split, *, runs: Path, settings: Mapping[str, Any]
) -> Request:
    """What is asked of a command that reads masks, apart from the part.

    Args:
        source: The masks, as they are named.
        split: All videos that are asked for.
        runs: Where runs are kept.
        settings: What else decides the results.
    """
    from ..runs.kept import runs_named
    from ..system.partial import Request

    return Request(
        source=source,
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


def require_same_split(asked: Request, split: Split, kind: PartialResults) -> None:
    """Make sure that the split is the one that the parts have read.

    Args:
        asked: What was asked of the parts.
        split: The split as it is now.
        kind: What they have done.

    Raises:
        SubmitError: It has changed since.
    """
    if split.fingerprint != asked.fingerprint:
        raise kind.error(
            f"{asked.split}: has changed since its parts were {kind.done}; {kind.verb} "
            "them again"
        )


def digests_of(masks: Masks, videos: Iterable[str]) -> dict[str, str | None]:
    """A digest of the masks of each video; None where there are none."""
    from ..system.pool import run_in_threads

    names = list(videos)
    return dict(zip(names, run_in_threads(masks.digest_of, names), strict=True))


def require_same_masks(
    masks: Masks, then: Mapping[str, str | None], source: str, kind: PartialResults
) -> None:
    """Make sure that masks are those that the parts have read.

    Args:
        masks: The masks as they are now.
        then: The digest of those of each video.
        source: What they are called.
        kind: What the parts have done.

    Raises:
        SubmitError: Some have changed since.
    """
    now = digests_of(masks, then)
    changed = [name for name in then if now[name] != then[name]]
    if changed:
        raise kind.error(
            f"{source}: the masks of {changed[0]} have changed since they were "
            f"{kind.done}; {kind.verb} the parts again"
        )


def join_masks(runs: Path, source: str) -> None:
    """Join what parts have exported of a run.

    Raises:
        RunError: There is no such run, file or folder, or a mask of a part is not the
            one that was written.
    """
    from ..pipeline.export import is_exported
    from ..pipeline.joining import export_parts, merge_export
    from ..pipeline.sources import find_run

    run = find_run(runs, source)
    if run is None or is_exported(run) or not export_parts(run.masks_folder):
        return
    # What lacks is exported later.
    merge_export(run.masks_folder, run, partial=True, monitor=progress)


def digest_of_file(path: Path) -> str | None:
    """A digest of a file; None for a folder, or nothing."""
    from ..system.files import digest

    return digest(path) if path.is_file() else None
