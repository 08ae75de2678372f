"""What is asked of a command with `--part`, and whether it is still the same later."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ._progress import progress
from ._runs import masks_of

if TYPE_CHECKING:
    from ..archive import Masks
    from ..data import Split
    from ..system.partial import JoinedResults, PartialResults, Request
    from ..system.parts import Part

__all__ = [
    "digest_of_file",
    "digests_of",
    "join_masks",
    "masks_of_parts",
    "output_of_part",
    "request_of",
    "require_same_split",
    "split_of_request",
]


def request_of(
    source: str, split: Split, *, runs: Path, settings: Mapping[str, Any]
) -> Request:
    """What is asked of a command that reads masks, apart from the part.

    Args:
        source: The masks, as they are named; of several, as a shell reads them.
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


@contextlib.contextmanager
def masks_of_parts(
    parts: JoinedResults[Any], kind: PartialResults
) -> Iterator[tuple[Masks, Split]]:
    """Open the masks that parts have read, and the split.

    Args:
        parts: What the parts have found.
        kind: What they have done.

    Raises:
        SubmitError: The masks or the split have changed since, or are not there.
    """
    from ..runs.kept import runs_folder

    asked, runs = parts.request, runs_folder(parts.request.runs)
    split = split_of_request(asked)
    require_same_split(asked, split, kind)
    join_masks(runs, asked.source)
    with masks_of(runs, asked.source, split) as masks:
        now = digests_of(masks, parts.masks)
        changed = [name for name in now if now[name] != parts.masks[name]]
        if changed:
            raise kind.error(
                f"{asked.source}: the masks of {changed[0]} have changed since they "
                f"were {kind.done}; {kind.verb} the parts again"
            )
        yield masks, split


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


def output_of_part(output: Path | None, part: Part | None) -> Path | None:
    """Where a command writes whose output may be left out, but for a part.

    Raises:
        UsageError: It is left out for a part.
    """
    if part is None:
        return output
    if output is None:
        raise click.UsageError("--part needs -o DIR, where parts are joined")
    return part.place(output)
